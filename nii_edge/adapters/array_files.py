"""Fitted numbers in a file: a NumPy archive without pickles, known by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nii_edge.errors import BundleError
from nii_edge.seal import Seal

Values = npt.NDArray[np.float64]

MAX_BYTES = 256 << 20
ARCHIVE = b"PK\x03\x04"
"""How the files begin: they are zip archives."""


def write_arrays(path: Path, arrays: Mapping[str, Values]) -> str:
    """Write arrays as float32, or as they are if of bytes; the file's SHA-256."""
    memory = io.BytesIO()
    as_stored: dict[str, Any] = {
        name: value if value.dtype == np.uint8 else value.astype(np.float32) for name, value in arrays.items()
    }
    np.savez_compressed(memory, **as_stored)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(memory.getvalue())
    return hashlib.sha256(memory.getvalue()).hexdigest()


def read_arrays(path: Path, seal: Seal | None = None) -> tuple[dict[str, Values], str]:
    """The arrays, as float64, and the SHA-256 of the very bytes they were read from, which must be as signed
    if there is a `seal`.

    Raises:
        BundleError: the file is not there, too large, damaged, or holds what is not finite.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path}: over {MAX_BYTES} bytes")
        data = path.read_bytes()
        if seal is not None:
            seal.check(path, data)
        if not data.startswith(ARCHIVE):
            raise BundleError(f"{path}: is no archive of arrays (.npz): it begins with {data[:8].hex(' ')}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name], np.float64) for name in archive.files}
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        ValueError, TypeError, RuntimeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise BundleError(f"{path}: is damaged, or holds what is no number: {error}") from error
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise BundleError(f"{path}: {name} holds values that are not finite")
    return arrays, hashlib.sha256(data).hexdigest()

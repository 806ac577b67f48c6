"""Threat libraries: folders of threats for projection into live pictures.

::

    library/
        threats.yaml    a `LibraryIndex`: what there is, with sizes and hashes
        NAME.npz        one threat: `transmission`, float32 (height, width, 2), low and high energy

No pickles. A library is read as a whole or refused.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import yaml
from msgspec import Meta

from nii_edge.config import Config, load
from nii_edge.errors import ConfigError, ThreatError
from nii_edge.records import Name
from nii_edge.xray.projection import SEEN, Threat

INDEX = "threats.yaml"
MAX_THREATS = 10_000
MAX_SIDE = 2_048
MAX_INDEX_BYTES = 8 << 20
MAX_FILE_BYTES = 40 << 20
"""A threat of the largest size is 33.6 MB."""
MAX_LIBRARY_BYTES = 512 << 20
"""Of transmission in memory; a threat of 200 x 200 pixels takes 0.32 MB."""

_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, MemoryError, SyntaxError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What NumPy and zipfile raise for a file that is not what it should be."""

Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]


class ThreatEntry(Config, frozen=True, kw_only=True):
    """One threat, in ``NAME.npz``. `size`: height and width in pixels. `pitch_mm`: of its square pixels, at
    the belt. `sha256`: of the file. `provenance`: where it comes from, and its licence."""

    name: Name
    label: Name
    size: tuple[Side, Side]
    pitch_mm: Annotated[float, Meta(ge=0.01, le=100)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    provenance: Annotated[str, Meta(min_length=1, max_length=500)]


class LibraryIndex(Config, frozen=True, kw_only=True):
    """`threats.yaml`."""

    version: Literal[1]
    threats: tuple[ThreatEntry, ...]

    def __post_init__(self) -> None:
        names = Counter(entry.name for entry in self.threats)
        twice = sorted(name for name, times in names.items() if times > 1)
        if not 1 <= len(self.threats) <= MAX_THREATS:
            raise ValueError(f"{len(self.threats)} threats; expected 1 to {MAX_THREATS}")
        if twice:
            raise ValueError(f"`threats` names {', '.join(twice[:5])} more than once")
        size = sum(8 * entry.size[0] * entry.size[1] for entry in self.threats)
        if size > MAX_LIBRARY_BYTES:
            raise ValueError(f"its threats are {size} bytes together, at most {MAX_LIBRARY_BYTES}")


def read_library(folder: Path) -> tuple[Threat, ...]:
    """All threats of the library in `folder`, in the order of its index.

    Raises:
        ThreatError: a file is missing, altered, too large or not a threat; names it.
    """
    index = folder / INDEX
    try:
        size = index.stat().st_size
    except OSError as error:
        raise ThreatError(
            f"{folder}: no {INDEX} there ({error.strerror}); expected a threat library"
        ) from error
    if size > MAX_INDEX_BYTES:
        raise ThreatError(f"{index}: {size} bytes, at most {MAX_INDEX_BYTES}")
    try:
        found = load(index, LibraryIndex)
    except ConfigError as error:
        raise ThreatError(str(error)) from error
    return tuple(read_threat(folder, entry) for entry in found.threats)


def read_threat(folder: Path, entry: ThreatEntry) -> Threat:
    """The threat that `entry` describes. Raises ThreatError, naming the file."""
    path = folder / f"{entry.name}.npz"
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise ThreatError(f"{path}: cannot be read: {error.strerror}") from error
    if size > MAX_FILE_BYTES:
        raise ThreatError(f"{path}: {size} bytes, at most {MAX_FILE_BYTES}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise ThreatError(f"{path}: altered: its SHA-256 is {digest}, {INDEX} says {entry.sha256}")
    transmission = _transmission(path, data)
    if transmission.shape[:2] != entry.size:
        raise ThreatError(
            f"{path}: {transmission.shape[0]}x{transmission.shape[1]} pixels, {INDEX} says "
            f"{entry.size[0]}x{entry.size[1]}"
        )
    transmission.flags.writeable = False
    return Threat(entry.name, entry.label, transmission, entry.pitch_mm, entry.provenance)


def write_threat(folder: Path, threat: Threat) -> ThreatEntry:
    """Write ``NAME.npz`` and return what the index is to say of it. Equal threats give equal bytes.

    Raises:
        ThreatError: it is none that `read_threat` would take; says why.
    """
    data = io.BytesIO()
    np.savez_compressed(data, transmission=threat.transmission)
    path = folder / f"{threat.name}.npz"
    try:
        entry = msgspec.convert(
            {
                "name": threat.name,
                "label": threat.label,
                "size": threat.transmission.shape[:2],
                "pitch_mm": threat.pitch_mm,
                "sha256": hashlib.sha256(data.getvalue()).hexdigest(),
                "provenance": threat.provenance,
            },
            ThreatEntry,
        )
    except msgspec.ValidationError as error:
        raise ThreatError(f"{folder}: threat {threat.name!r}: {error}") from error
    _check(path, threat.transmission)
    path.write_bytes(data.getvalue())
    return entry


def write_library(folder: Path, threats: Iterable[Threat]) -> LibraryIndex:
    """Write threats and their index. Raises ThreatError as `write_threat`, or for the index."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = tuple(write_threat(folder, threat) for threat in threats)
    try:
        index = LibraryIndex(version=1, threats=entries)
    except ValueError as error:
        raise ThreatError(f"{folder / INDEX}: {error}") from error
    tree = msgspec.to_builtins(index)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)
    (folder / INDEX).write_text(text, encoding="utf-8")
    return index


def _transmission(path: Path, data: bytes) -> Any:
    """The array in the file's bytes, checked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_FILE_BYTES:
            raise ThreatError(f"{path}: {unpacked} bytes unpacked, at most {MAX_FILE_BYTES}")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            transmission = arrays["transmission"]
    except _UNREADABLE as error:
        raise ThreatError(f"{path}: not a threat: {' '.join(str(error).split())[:200]}") from error
    _check(path, transmission)
    return transmission


def _check(path: Path, transmission: Any) -> None:
    """Raises ThreatError if it is no transmission, or one of nothing."""
    if transmission.dtype != np.float32 or transmission.ndim != 3 or transmission.shape[2:] != (2,):
        raise ThreatError(
            f"{path}: transmission {transmission.dtype} {transmission.shape}; expected float32 "
            "(height, width, 2): low and high energy"
        )
    if not 0 < min(transmission.shape) <= max(transmission.shape) <= MAX_SIDE:
        raise ThreatError(f"{path}: {transmission.shape[:2]} pixels; expected 1 to {MAX_SIDE} a side")
    low, high = float(transmission.min()), float(transmission.max())
    if not (low >= 0 and high <= 1):
        raise ThreatError(
            f"{path}: transmission from {low:g} to {high:g}; expected 0 (opaque) to 1 (nothing)"
        )
    if low >= SEEN:
        raise ThreatError(f"{path}: transmission is nowhere below {SEEN}: there is nothing to be seen")

"""NumPy files to pixels of one shape and kind, whatever shape they were saved in."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import RecordingError
from nii_edge.records import Channel, DType
from nii_edge.wire import MAX_SIDE

Channels = tuple[Channel, ...]

MAX_VIEWS = 8
DTYPES: dict[str, DType] = {"uint8": "uint8", "uint16": "uint16", "float32": "float32"}
CHANNELS_BY_COUNT: dict[int, Channels] = {1: ("grey",), 2: ("low", "high"), 3: ("red", "green", "blue")}

_ZIP = b"PK"
_NUMPY_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    SyntaxError,
    RuntimeError,  # an encrypted or oddly packed zip
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)
"""All that `numpy.load` may raise on a damaged file."""


class PixelArray(NamedTuple):
    """Pixels of shape (views, height, width, channels), and what the channels are."""

    pixels: npt.NDArray[np.generic]
    channels: Channels


def load_array(file: Path, channels: Channels | None) -> PixelArray:
    """Read a .npy (mapped, not copied) or .npz file. Pickled objects are refused.

    Raises:
        RecordingError: it is no NumPy file, or not of a shape and type that can be sent. Does not name
            the file.
    """
    try:
        with file.open("rb") as opened:  # numpy.load leaves a damaged .npz open if it opens it itself
            if opened.read(2) == _ZIP:
                opened.seek(0)
                with np.load(opened, allow_pickle=False) as archive:
                    return from_archive(archive, channels)
        return shaped(np.load(file, mmap_mode="r", allow_pickle=False), channels)
    except _NUMPY_ERRORS as error:
        # NumPy takes whatever is not its own for a pickle, and advises to trust it
        said = " ".join(str(error).split())[:200]
        words = "it does not begin as one does, or holds Python objects" if "pickle" in said else said
        raise RecordingError(f"no readable NumPy file: {words}") from error


def shaped(array: npt.NDArray[np.generic], channels: Channels | None) -> PixelArray:
    """`array` with all four axes. Raises RecordingError if it is not such a picture."""
    if array.dtype.name not in DTYPES:
        raise RecordingError(f"pixels of type {array.dtype.name}; convert them to {listed(DTYPES)}")
    shape = array.shape
    if array.ndim == 2:
        array = array[np.newaxis, :, :, np.newaxis]
    elif array.ndim == 3:
        array = array[np.newaxis]
    if array.ndim != 4 or array.shape[3] not in CHANNELS_BY_COUNT:
        raise RecordingError(
            f"shape {shape}; expected (height, width), (height, width, channels) or "
            "(views, height, width, channels) with 1 to 3 channels"
        )
    views, height, width, count = array.shape
    if not (1 <= views <= MAX_VIEWS and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise RecordingError(f"shape {shape}; expected 1 to {MAX_VIEWS} views of 1 to {MAX_SIDE} a side")
    channels = channels or CHANNELS_BY_COUNT[count]
    if len(channels) != count:
        raise RecordingError(f"{count} channels, which cannot be {listed(channels)}")
    return PixelArray(array, channels)


def from_archive(archive: Mapping[str, npt.NDArray[np.generic]], channels: Channels | None) -> PixelArray:
    """The array of an .npz. Raises RecordingError if its keys are others, or do not fit together."""
    if "pixels" in archive:
        return shaped(archive["pixels"], channels)
    energies: Channels = tuple(name for name in ("low", "high") if name in archive)
    if energies and channels not in (None, energies):
        raise RecordingError(f"holds {listed(energies)}, so it is not {listed(channels or ())}")
    planes = [archive[name] for name in energies]
    if not planes:
        raise RecordingError(f"holds {listed(list(archive))}; expected `pixels`, or `low` and `high`")
    if len({(plane.shape, plane.dtype.name) for plane in planes}) != 1:
        raise RecordingError("`low` and `high` differ in shape or type")
    if planes[0].ndim not in (2, 3):
        raise RecordingError(f"`{energies[0]}` has shape {planes[0].shape}; expected (views,) height, width")
    return shaped(np.stack(planes, axis=-1), energies)


def listed(words: Iterable[str]) -> str:
    """`words` as they stand in a message."""
    return ", ".join(words) or "nothing"

"""Pictures that say they are to be shown turned or mirrored (EXIF's Orientation), as cameras write them.

Whoever labels such a picture sees it upright, and the boxes are in those pixels; decoders give the others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Turn = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
TURNS: dict[int, Turn] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p, 1),
}
"""What makes a picture upright, by its Orientation; 1 is upright."""
_ORIENTATION = 0x0112
_MARKS: tuple[tuple[bytes, bytes], ...] = (
    (b"\xff\xd8\xff", b"Exif\0\0"), (b"\x89PNG", b"eXIf"), (b"RIFF", b"EXIF"),
)  # fmt: skip
"""How files begin that may say it, and what stands before it. OpenCV turns a TIFF itself."""


def upright(pixels: npt.NDArray[Any], data: bytes, size: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """The picture as it is to be shown; `data`: its file. `size` (height, width): what its labels say; if
    that is as it is stored, and not as it is shown, they are labels of the stored one, which stays."""
    turn = TURNS.get(_orientation(data))
    if turn is None:
        return pixels
    turned = turn(pixels)
    stored = size == pixels.shape[:2] != turned.shape[:2]
    return pixels if stored else np.ascontiguousarray(turned)


def _orientation(data: bytes) -> int:
    """1 if it does not say."""
    mark = next((mark for start, mark in _MARKS if data.startswith(start)), None)
    at = -1 if mark is None else data.find(mark)
    if mark is None or at < 0:
        return 1
    exif = data[at + len(mark) + 4 * (mark == b"EXIF") :].removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        return 1 if order is None else _tag(exif, order)
    except struct.error:  # cut off
        return 1


def _tag(exif: bytes, order: str) -> int:
    """Raises struct.error."""
    (first,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, first)
    for number in range(count):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, first + 2 + 12 * number)
        if tag == _ORIENTATION:
            return int(value)
    return 1

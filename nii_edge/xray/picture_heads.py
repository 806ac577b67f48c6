"""What a PNG, JPEG or TIFF says of itself in its first bytes, read without decoding the picture.

Formats: https://www.w3.org/TR/png-3/ (IHDR), ITU-T T.81 (frame header), TIFF 6.0 (image file directory).
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from nii_edge.errors import RecordingError
from nii_edge.records import DType, Encoding

ENDINGS: dict[str, Encoding] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""File endings, in lower case, of the pictures we send."""

MAGIC: dict[bytes, Encoding] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
MAGIC_BYTES = 8
"""The longest beginning in `MAGIC`."""


class Head(NamedTuple):
    """A picture's own words.

    `samples` a pixel, as a decoder gives them: 1 grey, 3 colour, 2 or 4 with something more. `dtype` is
    None if it is none of ours. `oddity` says in words what may not decode as one expects; or is empty.
    """

    height: int
    width: int
    samples: int
    dtype: DType | None
    oddity: str = ""


def sniff(data: bytes) -> Encoding | None:
    """The encoding by the first bytes, at least `MAGIC_BYTES` of them; None if it is no such picture."""
    return next((encoding for magic, encoding in MAGIC.items() if data.startswith(magic)), None)


def read_head(data: bytes, encoding: Encoding) -> Head:
    """What the picture `data` says of itself.

    Raises:
        RecordingError: the head is cut short or makes no sense; says where.
    """
    readers = {"png": read_png_head, "jpeg": read_jpeg_head, "tiff": read_tiff_head}
    try:
        head = readers[encoding](data)
    except (struct.error, IndexError) as error:
        raise RecordingError(f"the {encoding.upper()} head is cut short: {len(data)} bytes in all") from error
    if not (0 < head.height <= 0xFFFF_FFFF and 0 < head.width <= 0xFFFF_FFFF):
        raise RecordingError(f"the {encoding.upper()} head gives a size of {head.width} x {head.height}")
    return head


# ---- PNG --------------------------------------------------------------------------------------

_PNG_COLOURS: dict[int, tuple[int, str]] = {
    0: (1, ""),
    2: (3, ""),
    3: (3, ""),  # a palette decodes to colour
    4: (2, "grey with transparency"),
    6: (4, "colour with transparency"),
}
"""Colour type to samples a pixel and oddity."""


def read_png_head(data: bytes) -> Head:
    """IHDR, which must be the first chunk. Depths below 8 bits decode to 8."""
    if sniff(data) != "png":
        raise RecordingError(f"no PNG: it begins with {data[:8].hex(' ')}")
    length, name, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if name != b"IHDR" or length != 13:
        raise RecordingError(f"the PNG does not begin with an IHDR of 13 bytes but with {name!r} of {length}")
    if colour not in _PNG_COLOURS or depth not in (1, 2, 4, 8, 16):
        raise RecordingError(f"PNG of colour type {colour} and {depth} bits, which does not exist")
    samples, oddity = _PNG_COLOURS[colour]
    return Head(height, width, samples, "uint16" if depth == 16 else "uint8", oddity)


# ---- JPEG -------------------------------------------------------------------------------------

_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}  # TEM and RST: markers that stand alone
_FRAME_HEADS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF; not DHT, JPG, DAC


def read_jpeg_head(data: bytes) -> Head:
    """The first frame header (SOF), after any number of other segments."""
    if sniff(data) != "jpeg":
        raise RecordingError(f"no JPEG: it begins with {data[:8].hex(' ')}")
    at = 2
    while True:
        if data[at] != 0xFF:
            raise RecordingError(f"the JPEG has {data[at]:#04x} at byte {at}, where a marker should begin")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAME_HEADS:
            return _jpeg_frame(data, at)
        elif marker in (0xD9, 0xDA):
            raise RecordingError(f"the JPEG comes to its pixels or end at byte {at} without a frame header")
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _jpeg_frame(data: bytes, at: int) -> Head:
    bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
    oddity = ""
    if bits != 8:
        oddity = f"JPEG of {bits} bits, which common decoders refuse"
    elif components == 4:
        oddity = "JPEG of four inks (CMYK)"
    elif components not in (1, 3):
        oddity = f"JPEG of {components} components"
    return Head(height, width, components, "uint8" if bits == 8 else None, oddity)


# ---- TIFF -------------------------------------------------------------------------------------

_TYPE_CODES: dict[int, tuple[Literal["B", "H", "I"], int]] = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}
"""TIFF field types for whole numbers: struct code and bytes."""
_MAX_VALUES = 16
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 262, 277, 339
_PALETTE = 3


def read_tiff_head(data: bytes) -> Head:
    """The first image file directory, in either byte order."""
    if sniff(data) != "tiff":
        raise RecordingError(f"no classic TIFF: it begins with {data[:8].hex(' ')}")
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    tags = dict(_tiff_entry(data, order, directory + 2 + 12 * i) for i in range(entries))
    (another,) = struct.unpack_from(order + "I", data, directory + 2 + 12 * entries)
    if not tags.get(_WIDTH) or not tags.get(_HEIGHT):
        raise RecordingError("the TIFF does not give its width and height")
    bits, formats = set(tags.get(_BITS) or (1,)), set(tags.get(_SAMPLE_FORMAT) or (1,))
    photometric = (tags.get(_PHOTOMETRIC) or (1,))[0]
    samples = 3 if photometric == _PALETTE else (tags.get(_SAMPLES) or (1,))[0]
    dtype, oddity = _tiff_dtype(bits, formats)
    if samples not in (1, 3):
        oddity = oddity or f"TIFF of {samples} samples a pixel"
    if photometric == 0:
        oddity = oddity or "TIFF whose zero is white"
    if another:
        oddity = oddity or "TIFF of several pages, of which only the first is used"
    return Head(tags[_HEIGHT][0], tags[_WIDTH][0], samples, dtype, oddity)


def _tiff_entry(data: bytes, order: str, at: int) -> tuple[int, tuple[int, ...]]:
    """Tag and values of one directory entry; no values if they are not whole numbers or too many."""
    tag, kind, count = struct.unpack_from(order + "HHI", data, at)
    if kind not in _TYPE_CODES or count > _MAX_VALUES:
        return tag, ()
    code, size = _TYPE_CODES[kind]
    inline = count * size <= 4
    place = at + 8 if inline else struct.unpack_from(order + "I", data, at + 8)[0]
    return tag, struct.unpack_from(f"{order}{count}{code}", data, place)


def _tiff_dtype(bits: set[int], formats: set[int]) -> tuple[DType | None, str]:
    """Pixel type and oddity by BitsPerSample and SampleFormat (1 unsigned, 2 signed, 3 float)."""
    if bits == {32} and formats == {3}:
        return "float32", ""
    if formats != {1} or bits not in ({1}, {4}, {8}, {16}):
        return None, f"TIFF of {sorted(bits)} bits and sample format {sorted(formats)}"
    return ("uint16" if bits == {16} else "uint8"), ""

"""Pictures and arrays as frames: what is sent, under which header, and what is told as a problem."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nii_edge.adapters.mcap_recording import McapSource, RecordingWriter
from nii_edge.adapters.pictures import ArraySource, PictureSource, open_source
from nii_edge.errors import RecordingError
from nii_edge.ports import FrameSource, SourceFrame
from nii_edge.records import Channel

RNG = np.random.default_rng(5)
GREY8 = RNG.integers(0, 256, (7, 9), dtype=np.uint8)
GREY16 = RNG.integers(0, 65_536, (7, 9), dtype=np.uint16)
COLOUR8 = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)


def only(source: FrameSource) -> SourceFrame:
    """The one frame of `source`."""
    (frame,) = source
    return frame


def only_problem(source: FrameSource) -> str:
    """The one problem of `source` after reading it through."""
    list(source)
    (problem,) = source.problems
    return problem


def encoded(ending: str, image: np.ndarray) -> bytes:
    """`image` as OpenCV encodes it."""
    return bytes(cv2.imencode(ending, image)[1])


# ---- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "image", "encoding", "channels", "dtype"),
    [
        ("a.png", GREY8, "png", ("grey",), "uint8"),
        ("a.PNG", GREY16, "png", ("grey",), "uint16"),
        ("a.png", COLOUR8, "png", ("red", "green", "blue"), "uint8"),
        ("a.jpg", GREY8, "jpeg", ("grey",), "uint8"),
        ("a.Jpeg", COLOUR8, "jpeg", ("red", "green", "blue"), "uint8"),
        ("a.tif", GREY16, "tiff", ("grey",), "uint16"),
        ("a.TIFF", COLOUR8, "tiff", ("red", "green", "blue"), "uint8"),
        ("a.tiff", GREY16.astype(np.float32), "tiff", ("grey",), "float32"),
    ],
)
def test_pictures_are_sent_as_they_are(
    tmp_path: Path, name: str, image: np.ndarray, encoding: str, channels: tuple[str, ...], dtype: str
) -> None:
    """The payload is the file, byte for byte; the header says what the picture says of itself."""
    data = encoded(name[1:].lower(), image)
    (tmp_path / name).write_bytes(data)
    source = PictureSource(tmp_path)
    header, payload, time = only(source)
    assert (payload, time, source.problems) == (data, None, [])
    assert (header.encoding, header.channels, header.dtype) == (encoding, channels, dtype)
    assert (header.height, header.width, header.crc32) == (7, 9, zlib.crc32(data))
    assert (header.scanner, header.epoch, header.seq, header.view, header.views) == ("replay", 0, 1, 0, 1)
    assert header.carton == name


def test_pictures_come_in_natural_order(tmp_path: Path) -> None:
    """2 comes before 10, whatever the case, and the numbers of the scans follow."""
    for name in ("b10.png", "B2.PNG", "a3.jpg", "b1.tif"):
        (tmp_path / name).write_bytes(encoded(name[-4:].lower(), GREY8))
    frames = list(PictureSource(tmp_path))
    assert [f.header.carton for f in frames] == ["a3.jpg", "b1.tif", "B2.PNG", "b10.png"]
    assert [f.header.seq for f in frames] == [1, 2, 3, 4]


def test_what_is_no_picture_is_told_and_not_sent(tmp_path: Path) -> None:
    """Texts, subfolders and pipes are named, not sent, leave no hole in the numbers; what systems leave
    there is not mentioned."""
    (tmp_path / "a.png").write_bytes(encoded(".png", GREY8))
    (tmp_path / "b.txt").write_text("notes")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "inside.png").write_bytes(encoded(".png", GREY8))
    os.mkfifo(tmp_path / "d.png")
    (tmp_path / "__MACOSX").mkdir()
    for name in (".DS_Store", "Thumbs.db", "._a.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.png").write_bytes(encoded(".png", GREY8))
    source = PictureSource(tmp_path)
    assert [(f.header.carton, f.header.seq) for f in source] == [("a.png", 1), ("e.png", 2)]
    assert source.problems == [
        "b.txt: not of a kind this source reads; not sent",
        "c: a folder, which is not looked into; not sent",
        "d.png: not a regular file; not sent",
    ]


def test_a_vanished_picture_is_told(tmp_path: Path) -> None:
    """A picture that is gone by the time it is read is named, and the rest are sent."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(".png", GREY8))
    source = PictureSource(tmp_path)
    (tmp_path / "a.png").unlink()
    assert [(f.header.carton, f.header.seq) for f in source] == [("b.png", 1)]
    assert source.problems == ["a.png: cannot be read: No such file or directory; not sent"]
    (tmp_path / "b.png").unlink()
    with pytest.raises(RecordingError, match=r"not one picture can be read: a\.png"):
        list(source)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_a_broken_picture_is_sent_wherever_it_is_cut(tmp_path: Path, ending: str) -> None:
    """A picture cut at any byte is sent with its CRC: in silence only if its head was whole."""
    data = encoded(ending, GREY16 if ending != ".jpg" else GREY8)
    path = tmp_path / f"a{ending}"
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        source = PictureSource(path)
        header, payload, _ = only(source)
        assert payload == data[:cut]
        assert header.crc32 == zlib.crc32(data[:cut])
        assert bool(source.problems) == (header.height is None)
        assert header.height in (None, 7)


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.png", b"", "no PNG: it begins with "),
        ("a.png", b"plain text", "no PNG: it begins with 70 6c 61 69 6e 20 74 65"),
        ("a.jpg", b"\xff\xd8\xff\xda", "pixels or end at byte 2 without a frame header"),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x02\x00", "has 0x00 at byte 6, where a marker should begin"),
        ("a.tif", b"II*\0\xff\xff\xff\xff", "the TIFF head is cut short: 8 bytes in all"),
        ("a.tif", struct.pack("<2sHIHI", b"II", 42, 8, 0, 0), "does not give its width and height"),
    ],
)
def test_what_is_wrong_with_a_head_is_told(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    """The problem says what was found in place of the head; the header claims nothing about pixels."""
    (tmp_path / name).write_bytes(data)
    source = PictureSource(tmp_path)
    header = only(source).header
    assert (header.channels, header.dtype, header.height, header.width) == (None, None, None, None)
    assert problem in source.problems[0]


def test_content_goes_before_the_ending(tmp_path: Path) -> None:
    """A JPEG called .png is sent as JPEG, and a PNG without an ending as PNG."""
    (tmp_path / "a.png").write_bytes(encoded(".jpg", GREY8))
    (tmp_path / "b").write_bytes(encoded(".png", GREY8))
    assert [f.header.encoding for f in PictureSource(tmp_path)] == ["jpeg", "png"]


def png(depth: int, colour: int, row: bytes, extra: bytes = b"") -> bytes:
    """A PNG of 8 x 1 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 8, 1, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


PALETTE = struct.pack(">I4s6sI", 6, b"PLTE", b"\0\0\0\xff\0\0", zlib.crc32(b"PLTE\0\0\0\xff\0\0"))


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (png(1, 0, b"\xaa"), ("grey",)),
        (png(4, 0, b"\x12\x34\x56\x78"), ("grey",)),
        (png(1, 3, b"\xaa", PALETTE), ("red", "green", "blue")),
        (png(16, 2, bytes(48)), ("red", "green", "blue")),
    ],
)
def test_headers_say_what_a_decoder_gives(tmp_path: Path, data: bytes, channels: tuple[str, ...]) -> None:
    """Palettes and depths below 8 bits: channels and type in the header are those of the decoded array."""
    (tmp_path / "a.png").write_bytes(data)
    header = only(PictureSource(tmp_path)).header
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert header.channels == channels
    assert decoded.shape[2:] == (() if len(channels) == 1 else (3,))
    assert header.dtype == decoded.dtype.name
    assert decoded.shape[:2] == (header.height, header.width)


@pytest.mark.parametrize(
    ("name", "data", "oddity"),
    [
        ("a.png", png(8, 6, bytes(32)), "colour with transparency"),
        ("a.png", png(8, 4, bytes(16)), "grey with transparency"),
        ("a.jpg", b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 8, 8, 1, 8, 4), "four inks (CMYK)"),
        ("a.jpg", b"\xff\xd8\xff\xc1" + struct.pack(">HBHHB", 8, 12, 1, 8, 1), "JPEG of 12 bits"),
    ],
)
def test_oddities_are_told(tmp_path: Path, name: str, data: bytes, oddity: str) -> None:
    """Pictures that may not decode as one expects are sent, and named."""
    (tmp_path / name).write_bytes(data)
    problem = only_problem(PictureSource(tmp_path))
    assert oddity in problem
    assert problem.endswith("sent as it is")


def tiff(tags: dict[int, int], order: str = ">", another: int = 0) -> bytes:
    """A TIFF head with short values alone."""
    entries = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    mark = b"MM" if order == ">" else b"II"
    return struct.pack(order + "2sHIH", mark, 42, 8, len(tags)) + entries + struct.pack(order + "I", another)


SIZE = {256: 8, 257: 1}


@pytest.mark.parametrize(
    ("tags", "channels", "dtype", "oddity"),
    [
        ({258: 16, 262: 1, 277: 1}, ("grey",), "uint16", ""),
        ({258: 8, 262: 3}, ("red", "green", "blue"), "uint8", ""),
        ({}, ("grey",), "uint8", ""),
        ({258: 8, 277: 4}, None, "uint8", "4 samples a pixel"),
        ({258: 8, 262: 0}, ("grey",), "uint8", "zero is white"),
        ({258: 32, 339: 1}, ("grey",), None, "32] bits"),
        ({258: 16, 339: 2}, ("grey",), None, "sample format [2]"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_tags_are_read_in_both_byte_orders(
    tmp_path: Path,
    tags: dict[int, int],
    channels: tuple[str, ...] | None,
    dtype: str | None,
    oddity: str,
    order: str,
) -> None:
    """Samples, depth and format of a TIFF make channels and type; what is none of ours is left out and
    told."""
    (tmp_path / "a.tif").write_bytes(tiff(SIZE | tags, order))
    source = PictureSource(tmp_path)
    header = only(source).header
    assert (header.channels, header.dtype, header.height, header.width) == (channels, dtype, 1, 8)
    assert (oddity in "".join(source.problems)) if oddity else not source.problems


def test_further_pages_of_a_tiff_are_told(tmp_path: Path) -> None:
    """A TIFF of several pages is sent, and that only the first counts is told."""
    (tmp_path / "a.tif").write_bytes(tiff(SIZE, another=8))
    assert "only the first is used" in only_problem(PictureSource(tmp_path))


def test_channels_can_be_said(tmp_path: Path) -> None:
    """`channels` replaces the default where the count of samples agrees, and is a problem elsewhere."""
    (tmp_path / "a.png").write_bytes(encoded(".png", GREY16))
    (tmp_path / "b.png").write_bytes(encoded(".png", COLOUR8))
    source = PictureSource(tmp_path, channels=("high",))
    assert [f.header.channels for f in source] == [("high",), ("red", "green", "blue")]
    assert "b.png: has 3 samples a pixel, so it is not high" in source.problems[0]


def test_a_name_that_is_not_utf8_can_be_sent(tmp_path: Path) -> None:
    """File names are bytes; one that is no UTF-8, or longer than a barcode may be, still makes a header."""
    from nii_edge import wire

    raw = os.fsencode(tmp_path) + b"/\xff" + b"x" * 200 + b".png"
    with open(raw, "wb") as file:
        file.write(encoded(".png", GREY8))
    header = only(PictureSource(tmp_path)).header
    assert wire.decode_from_scanner([wire.encode(header)]).message == header


# ---- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "views", "channels"),
    [
        ((4, 5), 1, ("grey",)),
        ((4, 5, 1), 1, ("grey",)),
        ((4, 5, 2), 1, ("low", "high")),
        ((4, 5, 3), 1, ("red", "green", "blue")),
        ((3, 4, 5, 2), 3, ("low", "high")),
    ],
)
@pytest.mark.parametrize("dtype", ["<u1", "<u2", ">u2", "<f4", ">f4"])
def test_arrays_are_sent_as_raw_pixels(
    tmp_path: Path, shape: tuple[int, ...], views: int, channels: tuple[str, ...], dtype: str
) -> None:
    """Every shape and byte order becomes little-endian interleaved pixels, a frame for each view."""
    array = RNG.integers(0, 200, shape).astype(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    source = ArraySource(tmp_path / "a.npy")
    frames = list(source)
    assert (len(frames), len(source), source.problems) == (views, views, [])
    for view, (header, payload, time) in enumerate(frames):
        assert (header.seq, header.view, header.views, header.encoding, time) == (1, view, views, "raw", None)
        assert (header.channels, header.dtype) == (channels, array.dtype.name)
        assert (header.height, header.width, header.crc32) == (4, 5, zlib.crc32(payload))
        got = np.frombuffer(payload, array.dtype.newbyteorder("<"))
        assert np.array_equal(got, array.reshape(views, -1)[view])


@pytest.mark.parametrize(
    ("planes", "channels", "views"),
    [
        ({"low": GREY16, "high": GREY16 + np.uint16(1)}, ("low", "high"), 1),
        ({"high": GREY16}, ("high",), 1),
        ({"low": np.stack([GREY16, GREY16]), "high": np.stack([GREY16, GREY16])}, ("low", "high"), 2),
        ({"pixels": COLOUR8}, ("red", "green", "blue"), 1),
    ],
)
def test_archives_name_their_channels(
    tmp_path: Path, planes: dict[str, Any], channels: tuple[str, ...], views: int
) -> None:
    """`low` and `high` of an .npz become interleaved channels, whether compressed or not."""
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **planes)
        frames = list(ArraySource(tmp_path))
        assert [f.header.channels for f in frames] == [channels] * views
        first = np.frombuffer(frames[0].payload, frames[0].header.dtype).reshape(7, 9, -1)
        wanted = np.stack(list(planes.values()), -1) if "pixels" not in planes else planes["pixels"]
        assert np.array_equal(first, wanted if views == 1 else wanted[0])


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((4, 5)), "pixels of type float64; convert them to uint8, uint16, float32"),
        (np.zeros((4, 5), bool), "pixels of type bool"),
        (np.zeros((2, 4, 5), np.uint16), "shape (2, 4, 5); expected (height, width)"),
        (np.zeros((4,), np.uint8), "shape (4,)"),
        (np.zeros((9, 4, 5, 1), np.uint8), "expected 1 to 8 views"),
        (np.zeros((1, 65_536), np.uint8), "1 to 65535 a side"),
        (np.array([[None]]), "no readable NumPy file"),
        (np.zeros((0, 5), np.uint8), "shape (0, 5); expected 1 to 8 views of 1 to 65535 a side"),
    ],
)
def test_arrays_that_are_no_pictures_are_named(tmp_path: Path, array: np.ndarray, problem: str) -> None:
    """A wrong type or shape, or pickled objects, is told with what was expected; others are sent."""
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(RecordingError, match="not one array can be read") as caught:
        list(ArraySource(tmp_path))
    assert problem in str(caught.value)
    np.save(tmp_path / "b.npy", GREY16)
    source = ArraySource(tmp_path)
    assert only(source).header.seq == 1
    assert problem in source.problems[0]
    assert source.problems[0].startswith("a.npy: ")


@pytest.mark.parametrize(
    ("planes", "channels", "problem"),
    [
        ({"image": GREY8}, None, "holds image; expected `pixels`, or `low` and `high`"),
        ({"low": GREY16, "high": GREY8}, None, "`low` and `high` differ in shape or type"),
        ({"high": COLOUR8[None]}, None, "expected (views,) height, width"),
        ({"high": GREY16}, ("grey",), "holds high, so it is not grey"),
        ({"pixels": GREY16}, ("low", "high"), "1 channels, which cannot be low, high"),
    ],
)
def test_archives_that_do_not_fit_are_named(
    tmp_path: Path, planes: dict[str, Any], channels: tuple[Channel, ...] | None, problem: str
) -> None:
    """Other keys, planes that differ, and channels said against the file's own are refused with reason."""
    np.savez(tmp_path / "a.npz", **planes)
    with pytest.raises(RecordingError) as caught:
        list(ArraySource(tmp_path / "a.npz", channels))
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_arrays_raise_nothing_else(tmp_path: Path, name: str) -> None:
    """Cut or flipped anywhere, an array file gives frames or RecordingError and no other exception."""
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, GREY16)
    else:
        np.savez_compressed(path, low=GREY16, high=GREY16)
    data = path.read_bytes()
    refused = 0
    for place in range(len(data)):
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]):
            path.write_bytes(damaged)
            try:
                list(ArraySource(path))
            except RecordingError:
                refused += 1
    assert refused >= len(data), "at least every cut file is refused"


# ---- which source -------------------------------------------------------------------------------


def test_open_source_picks_by_what_is_there(tmp_path: Path) -> None:
    """Recordings, pictures, arrays and folders of either are told apart; channels are handed on."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "arrays").mkdir()
    RecordingWriter(tmp_path / "a.mcap").close()
    (tmp_path / "renamed.bag").write_bytes((tmp_path / "a.mcap").read_bytes())
    (tmp_path / "pictures" / "a.PNG").write_bytes(encoded(".png", GREY16))
    np.save(tmp_path / "arrays" / "a.npy", GREY16)
    assert isinstance(open_source(tmp_path / "a.mcap"), McapSource)
    assert isinstance(open_source(tmp_path / "renamed.bag"), McapSource)
    for path, kind in [
        (tmp_path / "pictures", PictureSource),
        (tmp_path / "pictures" / "a.PNG", PictureSource),
        (tmp_path / "arrays", ArraySource),
        (tmp_path / "arrays" / "a.npy", ArraySource),
    ]:
        source = open_source(path, ("high",))
        assert isinstance(source, kind)
        assert only(source).header.channels == ("high",)


def test_pictures_and_arrays_in_one_folder(tmp_path: Path) -> None:
    """Of a folder that holds both, the pictures are sent and the arrays told."""
    (tmp_path / "a.png").write_bytes(encoded(".png", GREY8))
    np.save(tmp_path / "b.npy", GREY8)
    source = open_source(tmp_path)
    assert only(source).header.carton == "a.png"
    assert source.problems == ["b.npy: not of a kind this source reads; not sent"]


def test_a_folder_with_nothing_to_send_says_what_it_holds(tmp_path: Path) -> None:
    """An empty folder, one of other files, one of recordings: each gets advice of its own."""
    with pytest.raises(RecordingError, match="an empty folder; expected at least one PNG, JPEG or TIFF"):
        open_source(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(RecordingError, match=r"no PNG, JPEG or TIFF picture in it, but 1 other .*a\.txt"):
        open_source(tmp_path)
    RecordingWriter(tmp_path / "b.mcap").close()
    with pytest.raises(RecordingError, match=r"b\.mcap; name one of the recordings"):
        open_source(tmp_path)


def test_paths_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    """A missing path, a pipe and a text file are refused with what they are."""
    with pytest.raises(RecordingError, match="missing: no such file or folder"):
        open_source(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="pipe: neither a regular file nor a folder"):
        open_source(tmp_path / "pipe")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(RecordingError, match="not an MCAP recording: it is a zip archive"):
        open_source(tmp_path / "a.zip")

"""Pictures and arrays as frames, and `open_source`, which picks the source that fits a path.

They know no pace, scanner or epoch: the headers say scanner `replay`, epoch 0, and count from 1.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from nii_edge.adapters.arrays import CHANNELS_BY_COUNT, DTYPES, Channels, PixelArray, listed, load_array
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.errors import RecordingError
from nii_edge.ports import FrameSource, SourceFrame
from nii_edge.records import Encoding
from nii_edge.wire import MAX_SIDE, FrameMessage
from nii_edge.xray.picture_heads import ENDINGS, MAGIC_BYTES, read_head, sniff

SCANNER = "replay"
ARRAY_ENDINGS = (".npy", ".npz")
RECORDING_ENDING = ".mcap"
MAX_CARTON = 128
LEFTOVERS = ("__macosx", "thumbs.db", "desktop.ini")
"""What systems leave in folders of pictures, besides names that begin with a dot."""


def open_source(path: Path, channels: Channels | None = None) -> FrameSource:
    """The source for `path`: an MCAP file, a picture, an array, or a folder of pictures or arrays.

    `channels` says what the pixels are where the file does not; a recording says so itself.

    Raises:
        RecordingError: nothing is there, or nothing that can be replayed.
    """
    if not path.exists():
        raise RecordingError(f"{path}: no such file or folder")
    if path.is_dir():
        arrays = any(_is_array(p) for p in _files(path))
        pictures = any(_encoding_of(p) for p in _files(path))
        return ArraySource(path, channels) if arrays and not pictures else PictureSource(path, channels)
    if not path.is_file():
        raise RecordingError(f"{path}: neither a regular file nor a folder")
    if _is_array(path):
        return ArraySource(path, channels)
    if _encoding_of(path):
        return PictureSource(path, channels)
    return McapSource(path)  # whatever it is called: it names what it finds inside


class PictureSource:
    """PNG, JPEG and TIFF files, sent as they are; each is a scan of one view. A `FrameSource`.

    Files come in natural order (2 before 10). Subfolders and files whose name begins with a dot are not
    looked into. A broken picture is sent all the same, since the daemon has to answer it.
    """

    problems: list[str]

    def __init__(self, path: Path, channels: Channels | None = None) -> None:
        """`path`: a folder, or one picture. `channels`: of pictures with as many samples a pixel.

        Raises:
            RecordingError: it is not there, or holds no picture.
        """
        self.problems = []
        self._channels = channels
        self._path = path
        self._pictures: list[tuple[Path, Encoding]] = []
        self._others: list[Path] = []
        for file in _listing(path):
            encoding = _encoding_of(file)
            if encoding:
                self._pictures.append((file, encoding))
            else:
                self._others.append(file)
        if not self._pictures:
            raise RecordingError(_nothing_in(path, "PNG, JPEG or TIFF picture", self._others))

    def __len__(self) -> int:
        """How many pictures there were when this source was made."""
        return len(self._pictures)

    def __iter__(self) -> Iterator[SourceFrame]:
        """One frame per picture. Raises RecordingError if not one of them can be read."""
        self.problems.clear()
        self.problems.extend(f"{other.name}: {_why_not(other)}; not sent" for other in self._others)
        seq = 0
        for file, encoding in self._pictures:
            try:
                payload = file.read_bytes()
            except OSError as error:
                self.problems.append(f"{file.name}: cannot be read: {error.strerror or error}; not sent")
                continue
            seq += 1
            yield SourceFrame(self._header(file, encoding, payload, seq), payload, None)
        if not seq:
            raise RecordingError(f"{self._path}: not one picture can be read: {'; '.join(self.problems)}")

    def _header(self, file: Path, encoding: Encoding, payload: bytes, seq: int) -> FrameMessage:
        """The header, with as much as the picture's own head says."""
        header = FrameMessage(
            scanner=SCANNER,
            epoch=0,
            seq=seq,
            views=1,
            encoding=sniff(payload) or encoding,
            crc32=zlib.crc32(payload),
            carton=_carton(file),
        )
        try:
            head = read_head(payload, header.encoding)
        except RecordingError as error:
            self.problems.append(f"{file.name}: {error}; sent as it is")
            return header
        if head.oddity:
            self.problems.append(f"{file.name}: {head.oddity}; sent as it is")
        channels = CHANNELS_BY_COUNT.get(head.samples) if head.samples in (1, 3) else None
        if self._channels and len(self._channels) == head.samples:
            channels = self._channels
        elif self._channels:
            self.problems.append(
                f"{file.name}: has {head.samples} samples a pixel, so it is not {listed(self._channels)}; "
                "sent as what it says of itself"
            )
        if max(head.height, head.width) > MAX_SIDE:
            self.problems.append(f"{file.name}: {head.width} x {head.height} pixels; sent as it is")
            return header
        return replace(header, channels=channels, dtype=head.dtype, height=head.height, width=head.width)


class ArraySource:
    """NumPy arrays as raw frames; each file is one scan. A `FrameSource`.

    ``.npy``: shape (height, width), (height, width, channels) or (views, height, width, channels);
    uint8, uint16 or float32 in any byte order. ``.npz``: ``pixels`` likewise, or ``low`` and ``high``
    (or one of them), each (height, width) or (views, height, width). Pickled objects are refused.
    """

    problems: list[str]

    def __init__(self, path: Path, channels: Channels | None = None) -> None:
        """`path`: a folder, or one file. `channels`: by default grey, or low and high, or red, green and
        blue, by their count.

        Raises:
            RecordingError: it is not there, or holds no array.
        """
        self.problems = []
        self._channels = channels
        self._path = path
        listing = _listing(path)
        self._arrays = [p for p in listing if _is_array(p)]
        self._others = [p for p in listing if not _is_array(p)]
        if not self._arrays:
            raise RecordingError(_nothing_in(path, ".npy or .npz array", self._others))

    def __len__(self) -> int:
        """How many frames; 0 if a file is packed (.npz), damaged, or not to be read."""
        total = 0
        for file in self._arrays:
            if file.suffix.lower() != ".npy":
                return 0
            try:
                total += len(load_array(file, self._channels).pixels)
            except RecordingError:
                return 0
        return total

    def __iter__(self) -> Iterator[SourceFrame]:
        """The views of each array. Raises RecordingError if not one array can be read."""
        self.problems.clear()
        self.problems.extend(f"{other.name}: {_why_not(other)}; not sent" for other in self._others)
        seq = 0
        for file in self._arrays:
            try:
                array = load_array(file, self._channels)
            except RecordingError as error:
                self.problems.append(f"{file.name}: {error}; not sent")
                continue
            seq += 1
            yield from _views(array, seq, _carton(file))
        if not seq:
            raise RecordingError(f"{self._path}: not one array can be read: {'; '.join(self.problems)}")


def _views(array: PixelArray, seq: int, carton: str) -> Iterator[SourceFrame]:
    views, height, width, _ = array.pixels.shape
    dtype = DTYPES[array.pixels.dtype.name]
    for view in range(views):
        payload = array.pixels[view].astype(np.dtype(dtype).newbyteorder("<"), order="C").tobytes()
        header = FrameMessage(
            scanner=SCANNER,
            epoch=0,
            seq=seq,
            view=view,
            views=views,
            channels=array.channels,
            dtype=dtype,
            height=height,
            width=width,
            crc32=zlib.crc32(payload),
            carton=carton,
        )
        yield SourceFrame(header, payload, None)


def _files(folder: Path) -> list[Path]:
    """What lies in `folder`, naturally ordered, without leftovers of systems."""
    try:
        entries = [
            p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in LEFTOVERS
        ]
    except OSError as error:
        raise RecordingError(f"{folder}: cannot be read: {error.strerror or error}") from error
    return sorted(entries, key=lambda p: (_natural(p.name), p.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key under which scan2 comes before scan10, whatever the case of letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _listing(path: Path) -> list[Path]:
    """The files of a folder, or the one file. Raises RecordingError if nothing is there."""
    if not path.exists():
        raise RecordingError(f"{path}: no such file or folder")
    return _files(path) if path.is_dir() else [path]


def _encoding_of(file: Path) -> Encoding | None:
    """By the first bytes, else by the ending; None if it is no file or neither tells."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            told = sniff(opened.read(MAGIC_BYTES))
    except OSError:
        told = None
    return told or ENDINGS.get(file.suffix.lower())


def _is_array(file: Path) -> bool:
    return file.suffix.lower() in ARRAY_ENDINGS and file.is_file()


def _why_not(file: Path) -> str:
    if file.is_dir():
        return "a folder, which is not looked into"
    if not file.is_file():
        return "not a regular file"
    return "not of a kind this source reads"


def _nothing_in(path: Path, wanted: str, others: Sequence[Path]) -> str:
    if not path.is_dir():
        return f"{path}: not a {wanted}"
    if not others:
        return f"{path}: an empty folder; expected at least one {wanted}"
    some = listed([other.name for other in others[:5]])
    hint = (
        "; name one of the recordings"
        if any(other.suffix.lower() == RECORDING_ENDING for other in others)
        else ""
    )
    return f"{path}: no {wanted} in it, but {len(others)} other entries ({some}{hint})"


def _carton(file: Path) -> str:
    """The file's name stands in for the barcode, so that a verdict can be traced to its picture."""
    return file.name.encode("utf-8", "replace").decode()[:MAX_CARTON]

"""Labelled pictures into a pool: decoded, cropped to their content and shrunk, once and for all epochs.

A picture is read as the daemon reads it: of 16 bits as many as the data set uses make white (the daemon has
it from the profile's `white`). Content is looked for, and the picture made smaller, with all its bits; only
then they become eight, and grey three equal colours. What is transparent is laid over white, as displays of
scanners have light backgrounds. What is wrong with a picture or a box is counted, and the rest goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.errors import DataError, RecordingError
from nii_edge.learn.pool import Sample, shrunk, write_shard
from nii_edge.learn.readers import Dataset, Labelled, Problems, Seen
from nii_edge.learn.upright import upright
from nii_edge.records import Frame
from nii_edge.xray.content import Rectangle, content
from nii_edge.xray.picture_heads import read_head

Floats = npt.NDArray[np.float32]

BITS = (8, 10, 12, 14, 16)
"""That values of 16-bit pictures use: what detectors and their makers' exports have."""
BLACK = 0.17
"""Brightness up to which displays show black."""
READ_AS = 4
"""Of how pictures are read: raised when that changes, so that no pool holds pictures read in two ways."""
PER_SHARD = 512
MIN_SIDE_PX = 2.0
"""A box narrower than this in the picture is a slip of the mouse."""
SAME_BOX = 0.98
"""Two boxes of a class that overlap by more than this are one, labelled twice."""
OFF_BY = 2.0
"""Pixels by which a box may leave the picture without being counted."""


def read_frame(path: Path, bits: int = 16, size: tuple[int, int] | None = None) -> Frame:
    """The picture as a scanner would send it: grey is one channel, and 16 bits stay 16, so that the front end
    does to it what the daemon does. `bits`: that the values of a picture of 16 bits use; the largest of them
    is white. `size`: what labels say, see `upright`.

    Raises:
        DataError: it cannot be decoded.
    """
    values, alpha = _parted(_pixels(path, size))
    if values.dtype not in (np.uint8, np.uint16) or values.shape[2] not in (1, 3):
        raise DataError(
            f"{path}: {values.shape[2]} channels of {values.dtype}; expected grey (1) or colours (3) of 8 or "
            "16 bits"
        )
    white = 255 if values.dtype == np.uint8 else 2**bits - 1
    values = np.minimum(values, white)
    if alpha is not None:
        share = alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        # decoded TIFF may be multiplied by it already: then no value is above it
        done = path.suffix.lower() in (".tif", ".tiff") and bool((values <= share * white).all())
        laid = (values if done else values * share) + white * (1 - share)
        values = np.round(laid).astype(values.dtype)
    grey = values.shape[2] == 1
    return Frame(
        view=0,
        channels=("grey",) if grey else ("red", "green", "blue"),
        pixels=np.ascontiguousarray(values if grey else values[:, :, ::-1]),
        full_scale=float(white),
        opaque_below=BLACK,
    )


def seen(picture: Labelled) -> Seen:
    """What the daemon would look at: of a recorded frame what was recorded, not the colours it was drawn in;
    else the picture. Raises DataError."""
    if picture.recorded is not None:
        return picture.recorded()
    return Seen(read_frame(picture.file, picture.bits, picture.size))


def eight_bits(frame: Frame) -> npt.NDArray[np.uint8]:
    """The picture of `read_frame` (height, width, 3), 8 bits; grey as three equal colours."""
    values: npt.NDArray[Any] = frame.pixels
    if values.dtype != np.uint8:
        values = np.round(values * np.float32(255 / frame.full_scale)).astype(np.uint8)
    rgb = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
    return np.ascontiguousarray(rgb, np.uint8)


def read_rgb(path: Path, bits: int = 16, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), 8 bits, as `read_frame` and `eight_bits` make it. Raises DataError."""
    return eight_bits(read_frame(path, bits, size))


def bits_of(
    files: Sequence[Path], told: Callable[[int, int], None] = lambda _done, _of: None
) -> tuple[int, list[Path]]:
    """How many bits the values of a data set use, the least of `BITS` that holds them all, and its pictures
    of 16 bits; 16 if there are none, or as soon as one value needs them. Transparency does not count, nor do
    pictures that cannot be read. `told` hears how many files are done, of how many."""
    most, deep = 0, []
    for number, file in enumerate(files, 1):
        told(number, len(files))
        try:
            values = _parted(_pixels(file))[0] if _may_be_deep(file) else None
        except DataError:
            continue  # whoever reads it says so
        if values is None or values.dtype != np.uint16:
            continue
        deep.append(file)
        most = max(most, int(values.max(initial=0)))
        if most >> BITS[-2]:
            break
    return next((bits for bits in BITS if not most >> bits), 16) if deep else 16, deep


def _may_be_deep(path: Path) -> bool:
    """Whether its first bytes allow more than 8 bits a value: TIFF, and PNG that says so."""
    try:
        with path.open("rb") as file:
            head = file.read(25)
    except OSError:
        return False
    return head[:2] in (b"II", b"MM") or (head[:4] == b"\x89PNG" and head[24:] == b"\x10")


def oddity_of(path: Path) -> str:
    """What of a picture is not what its labels may be of, in words: that it is the first of several pages or
    frames, or a TIFF whose zero is white. Empty if nothing is, or it cannot be read."""
    if path.suffix.lower() not in (".tif", ".tiff", ".webp", ".gif"):
        return ""
    try:
        data = path.read_bytes()
        if data[:2] in (b"II", b"MM"):
            head = read_head(data, "tiff")
            return head.oddity if head.dtype is not None and head.samples in (1, 3) else ""
    except (OSError, RecordingError):
        return ""
    moves = (data[:4] == b"RIFF" and b"ANIM" in data[:64]) or (data[:3] == b"GIF" and b"NETSCAPE2.0" in data)
    return "animation, of which only the first picture is used" if moves else ""


def _pixels(path: Path, size: tuple[int, int] | None = None) -> npt.NDArray[np.generic]:
    """As in the file, but `upright`: (height, width, channels), blue before red. Raises DataError."""
    try:
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if pixels is None:
        raise DataError(f"{path}: not a picture that can be decoded")
    return upright(np.atleast_3d(pixels), data.tobytes(), size)


def _parted(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Colours, and how opaque each pixel is (height, width, 1); None if all are. Where nothing is opaque, as
    in bitmaps whose fourth byte nobody set, all are."""
    if pixels.shape[2] not in (2, 4):
        return pixels, None
    alpha = pixels[:, :, -1:]
    return pixels[:, :, :-1], alpha if alpha.any() else None


def frame_of(rgb: npt.NDArray[np.uint8]) -> Frame:
    """The picture as a scanner would send it."""
    return Frame(view=0, channels=("red", "green", "blue"), pixels=rgb, full_scale=255.0, opaque_below=BLACK)


def sample_of(picture: Labelled, problems: Problems, crop: bool = True, side: int | None = None) -> Sample:
    """The decoded picture and its usable boxes, cropped to its content; its longer side `side` pixels at
    most, None: however large it is.

    Raises:
        DataError: it cannot be decoded.
    """
    frame = read_frame(picture.file, picture.bits, picture.size)
    size = int(frame.pixels.shape[0]), int(frame.pixels.shape[1])
    boxes, labels, _ = usable_boxes(picture, size, problems)
    top, left, bottom, right = (picture.content or content(frame)) if crop else (0, 0, *size)
    if crop and len(boxes):  # never away from a label
        left, top = min(left, max(int(boxes[:, 0].min()), 0)), min(top, max(int(boxes[:, 1].min()), 0))
        right, bottom = max(right, int(boxes[:, 2].max()) + 1), max(bottom, int(boxes[:, 3].max()) + 1)
    rgb, scale = cut(frame, (top, left, bottom, right), side)
    return Sample(rgb, (boxes - np.array((left, top, left, top), np.float32)) * scale, labels)


def cut(
    frame: Frame, part: Rectangle, side: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """A part of a picture of `read_frame`, 8 bits, its longer side `side` pixels at most, and the factors for
    boxes (x, y, x, y). It becomes smaller first and loses bits then, as in the daemon's front end."""
    top, left, bottom, right = part
    pixels = frame.pixels[top:bottom, left:right]
    small, scale = shrunk(pixels, max(pixels.shape[:2]) if side is None else side)
    return eight_bits(msgspec.structs.replace(frame, pixels=small)), scale


def usable_boxes(
    picture: Labelled, size: tuple[int, int], problems: Problems
) -> tuple[Floats, npt.NDArray[np.int64], list[int]]:
    """Boxes (n, 4) in pixels of a picture of `size` (height, width), labels (n,), -1 for what is ignored, and
    which of the picture's boxes they are."""
    height, width = size
    scale = (width, height) if picture.relative else (1.0, 1.0)
    if picture.size is not None and picture.size != size:
        problems.add("picture of another size than its labels say", picture.place)
        scale = (width / picture.size[1], height / picture.size[0])
    boxes: list[tuple[float, float, float, float]] = []
    labels: list[int] = []
    which: list[int] = []
    for index, (*corners, label) in enumerate(picture.boxes):
        x0, y0, x1, y1 = (value * scale[k % 2] for k, value in enumerate(corners))
        if min(x0, y0) < -OFF_BY or x1 > width + OFF_BY or y1 > height + OFF_BY:
            problems.add("box reaches out of its picture (cut)", picture.place)
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if x1 - x0 < MIN_SIDE_PX or y1 - y0 < MIN_SIDE_PX:
            problems.add("box is empty (left out)", picture.place)
            continue
        over = {
            other
            for other, box in zip(labels, boxes, strict=True)
            if other >= 0 and _iou((x0, y0, x1, y1), box) > SAME_BOX
        }
        if label in over:
            problems.add("box is there twice (left out)", picture.place)
            continue
        if over and index not in picture.ignored:
            problems.add("box is there with another class, too (both stay)", picture.place)
        boxes.append((x0, y0, x1, y1))
        labels.append(-1 if index in picture.ignored else label)
        which.append(index)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), which


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _problems_of(path: Path) -> Problems:
    """What was wrong with a shard's pictures when it was filled."""
    problems = Problems()
    tree = json.loads(path.read_text(encoding="utf-8"))
    problems.counts.update(tree["counts"])
    problems.examples.update(tree["examples"])
    return problems


def _stamp(file: Path) -> tuple[int, int] | None:
    """Size and time of a file: another one under its name is another picture. None if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def fill(
    dataset: Dataset,
    rows: Sequence[int],
    folder: Path,
    side: int,
    crop: bool = True,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Write the pictures `rows` of a data set into the pool in `folder`; returns how many could be used.

    Shards that are there from an interrupted run with the same pictures (files that have not changed since),
    read the same way, are kept; others are removed.
    """
    used, kept = 0, set()
    for start in range(0, len(rows), PER_SHARD):
        part = [dataset.pictures[row] for row in rows[start : start + PER_SHARD]]
        told_of = (
            READ_AS,
            side,
            crop,
            [(str(p.file), _stamp(p.file), p.size, p.bits, p.boxes, p.content) for p in part],
        )
        key = hashlib.sha256(repr(told_of).encode()).hexdigest()[:16]
        path = folder / f"{start:07d}-{key}"
        kept.add(path.name)
        if path.with_suffix(".npz").is_file():
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
                used += len(archive["counts"])
            dataset.problems.merge(_problems_of(path.with_suffix(".json")))
            continue
        samples, problems = [], Problems()
        for picture in part:
            try:
                samples.append(sample_of(picture, problems, crop, side))  # whole ones would fill memory
            except DataError as error:
                problems.add("picture cannot be decoded (left out)", str(error))
        dataset.problems.merge(problems)
        if samples:
            path.parent.mkdir(parents=True, exist_ok=True)
            found = {"counts": dict(problems.counts), "examples": problems.examples}
            path.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")
            write_shard(path, samples, side)
        used += len(samples)
        told(min(start + PER_SHARD, len(rows)), len(rows))
    for path in [*folder.glob("*.npz"), *folder.glob("*.json")]:
        if path.stem not in kept:
            path.unlink()
    return used

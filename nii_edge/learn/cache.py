"""Labelled pictures into a pool: decoded, cropped to their content and shrunk, once and for all epochs.

A picture is read as the daemon reads it: sixteen bits become eight by its depth, grey becomes three equal
colours. What is wrong with a picture or a box is counted, and the rest goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import DataError
from nii_edge.learn.pool import Sample, shrunk, write_shard
from nii_edge.learn.readers import Dataset, Labelled, Problems
from nii_edge.records import Frame
from nii_edge.xray.content import content

Floats = npt.NDArray[np.float32]

PER_SHARD = 512
MIN_SIDE_PX = 2.0
"""A box narrower than this in the picture is a slip of the mouse."""
SAME_BOX = 0.98
"""Two boxes of a class that overlap by more than this are one, labelled twice."""
OFF_BY = 2.0
"""Pixels by which a box may leave the picture without being counted."""


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), 8 bits.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if pixels is None:
        raise DataError(f"{path}: not a picture that can be decoded")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: pixels of {pixels.dtype}; expected 8 or 16 bits")
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


def frame_of(rgb: npt.NDArray[np.uint8]) -> Frame:
    """The picture as a scanner would send it."""
    return Frame(view=0, channels=("red", "green", "blue"), pixels=rgb, full_scale=255.0, opaque_below=0.17)


def sample_of(picture: Labelled, problems: Problems, crop: bool = True) -> Sample:
    """The decoded picture and its usable boxes, cropped to its content.

    Raises:
        DataError: it cannot be decoded.
    """
    rgb = read_rgb(picture.file)
    boxes, labels, _ = usable_boxes(picture, (rgb.shape[0], rgb.shape[1]), problems)
    if crop:
        top, left, bottom, right = content(frame_of(rgb))
        if len(boxes):  # never away from a label
            left, top = min(left, max(int(boxes[:, 0].min()), 0)), min(top, max(int(boxes[:, 1].min()), 0))
            right, bottom = max(right, int(boxes[:, 2].max()) + 1), max(bottom, int(boxes[:, 3].max()) + 1)
        rgb = np.ascontiguousarray(rgb[top:bottom, left:right])
        boxes = boxes - np.array((left, top, left, top), np.float32)
    return Sample(rgb, boxes, labels)


def _small(sample: Sample, side: int) -> Sample:
    """As large as it is kept: hundreds of whole pictures would not fit into memory."""
    rgb, scale = shrunk(sample.rgb, side)
    return Sample(rgb, sample.boxes * scale, sample.labels)


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
        if any(
            label == other and _iou((x0, y0, x1, y1), box) > SAME_BOX
            for other, box in zip(labels, boxes, strict=True)
        ):
            problems.add("box is there twice (left out)", picture.place)
            continue
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


def fill(
    dataset: Dataset,
    rows: Sequence[int],
    folder: Path,
    side: int,
    crop: bool = True,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Write the pictures `rows` of a data set into the pool in `folder`; returns how many could be used.

    Shards that are there from an interrupted run with the same pictures are kept.
    """
    used = 0
    for start in range(0, len(rows), PER_SHARD):
        part = [dataset.pictures[row] for row in rows[start : start + PER_SHARD]]
        key = hashlib.sha256(repr((side, crop, [(str(p.file), p.boxes) for p in part])).encode()).hexdigest()[
            :16
        ]
        path = folder / f"{start:07d}-{key}"
        if path.with_suffix(".npz").is_file():
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
                used += len(archive["counts"])
            dataset.problems.merge(_problems_of(path.with_suffix(".json")))
            continue
        samples, problems = [], Problems()
        for picture in part:
            try:
                samples.append(_small(sample_of(picture, problems, crop), side))
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
    return used

"""Where in a frame there is anything, and how a long frame is looked at piece by piece. Pure."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame, Pixels
from nii_edge.xray.optics import Air, Optics, air_of, are_raw, planes_of
from nii_edge.xray.transmission import one_reduced

Floats = npt.NDArray[np.float32]
Rectangle = tuple[int, int, int, int]
"""Top, left, bottom and right in a frame's pixels; bottom and right are beyond it."""

THUMBNAIL = 160
"""Pixels of the longer side of the small picture on which a frame's content is looked for."""
GROUND = 0.96
"""Which pixel, sorted by brightness, shows how bright the empty belt is: some of it is in every picture, and
little is brighter. A share of all."""
CONTENT_DARKER = 0.06
"""By which share of the belt's brightness content is darker: a carton's walls, seen edge-on."""
CONTENT_PIXELS = 2
"""Dark pixels that a row or column of the small picture needs to hold content."""
CONTENT_MARGIN = 0.03
"""What is left around the content, as a share of it."""

LONG = 1.6
"""How many times as long as wide content must be to be looked at in pieces."""
PIECE = 1.25
"""How long a piece is, in widths of the content."""
OVERLAP = 0.35
"""What a piece shares with the next, in widths: what is not longer lies in one of them whole."""


def content(frame: Frame, view: Optics | None = None, air: Air | None = None) -> Rectangle:
    """The rectangle (top, left, bottom, right) of a frame that holds all that is darker than the empty belt.

    The belt is what is brightest. With a small margin, and at least a quarter of the frame each way, so that
    a speck is not blown up; the whole frame where nothing is darker. `air`: as in `planes_of`.
    """
    height, width = (int(side) for side in frame.pixels.shape[:2])
    bright, (high, wide) = _small(frame, view, air)
    rank = int(GROUND * (bright.size - 1))
    ground = np.partition(bright, rank, axis=None)[rank]
    dark = bright < ground * np.float32(1 - CONTENT_DARKER)
    rows = np.flatnonzero(dark.sum(axis=1) >= CONTENT_PIXELS)
    columns = np.flatnonzero(dark.sum(axis=0) >= CONTENT_PIXELS)
    if not len(rows) or not len(columns):
        return 0, 0, height, width
    top, bottom = _stretched(rows[0] * high / height, min((rows[-1] + 1) * high / height, 1.0), height)
    left, right = _stretched(columns[0] * wide / width, min((columns[-1] + 1) * wide / width, 1.0), width)
    return top, left, bottom, right


def _small(frame: Frame, view: Optics | None, air: Air | None) -> tuple[Floats, tuple[float, float]]:
    """Brightness of the frame on a small picture, and how many of its pixels, down and across, one is."""
    height, width = (int(side) for side in frame.pixels.shape[:2])
    share = min(1.0, THUMBNAIL / max(height, width))
    size = max(1, round(height * share)), max(1, round(width * share))
    if frame.channels[0] not in ("low", "high"):
        small = cv2.resize(frame.pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        bright: Floats = small.reshape(*size, -1).mean(axis=2, dtype=np.float32)
        return bright * np.float32(1 / frame.full_scale), (height / size[0], width / size[1])
    if view is None or view.detector is None or not are_raw(frame):
        return planes_of(frame, view, size)[-1], (height / size[0], width / size[1])
    axis = 1 if view.detector.belt_axis == "columns" else 0
    lines, step = _fewer_lines(frame.pixels, axis)
    size = (size[0], lines.shape[1]) if axis else (lines.shape[0], size[1])
    steps = (height / size[0], float(step)) if axis else (float(step), width / size[1])
    now = (air or air_of(frame, view)).now
    return one_reduced(lines, view.detector, size, frame.pixels.shape[2] - 1, now), steps


def _fewer_lines(counts: Pixels, axis: int) -> tuple[Pixels, int]:
    """Lines along `axis`, averaged down to about what the small picture has, and how many each is of: a whole
    number, which takes half of the time. What is left at the end is in the mean of the last ones."""
    along = counts if axis else counts.swapaxes(0, 1)
    step = -(-along.shape[1] // THUMBNAIL)
    whole = along.shape[1] // step
    parts = [along[:, : whole * step]] + ([along[:, -step:]] if along.shape[1] % step else [])
    made = []
    for part in parts:
        shown = part if axis else part.swapaxes(0, 1)
        count = part.shape[1] // step
        size = (count, shown.shape[0]) if axis else (shown.shape[1], count)
        small = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        made.append(small.reshape(size[1], size[0], counts.shape[2]))
    return (made[0] if len(made) == 1 else np.concatenate(made, axis=axis)), step


def _stretched(start: float, end: float, side: int) -> tuple[int, int]:
    """Shares 0-1 of a side as pixels, with a margin and at least a quarter of the side."""
    margin = max(CONTENT_MARGIN * (end - start), (0.25 - (end - start)) / 2)
    first = max(0, math.floor((start - margin) * side))
    last = min(side, math.ceil((end + margin) * side))
    return first, max(last, first + 1)


def pieces(area: Rectangle, most: int) -> tuple[Rectangle, ...]:
    """Content cut across its longer side into overlapping pieces of the same length, `most` at most; all of
    it where it is not long.

    A row of bags that is shrunk until it fits into a square shows each of them as small as it is long.
    """
    top, left, bottom, right = area
    height, width = bottom - top, right - left
    long, short = max(height, width), min(height, width)
    if most == 1 or long < LONG * short:
        return (area,)
    shared = OVERLAP * short
    count = min(most, math.ceil((long - shared) / (PIECE * short - shared)))
    length = (long + (count - 1) * shared) / count
    ends = [(round(start), round(start + length)) for start in (k * (length - shared) for k in range(count))]
    if height > width:
        return tuple((top + start, left, min(top + end, bottom), right) for start, end in ends)
    return tuple((top, left + start, bottom, min(left + end, right)) for start, end in ends)

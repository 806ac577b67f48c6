"""Where in a frame there is anything, and how a long frame is looked at piece by piece. Pure."""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame
from nii_edge.xray.optics import Air, Optics, air_of, planes_of

Floats = npt.NDArray[np.float32]
Rectangle = tuple[int, int, int, int]
"""Top, left, bottom and right in a frame's pixels; bottom and right are beyond it."""

THUMBNAIL = 160
"""Pixels of the longer side of the small picture on which a frame's content is looked for."""
ENOUGH_LINES = 2
"""Lines of a frame for each pixel of the small picture at most; of more, some are left out."""
GROUND_PERCENTILE = 96.0
"""How bright the empty belt is: some of it is in every picture, and little is brighter."""
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
    share = min(1.0, THUMBNAIL / max(height, width))
    size = max(1, round(height * share)), max(1, round(width * share))
    if frame.channels[0] in ("low", "high"):
        bright = planes_of(_fewer_lines(frame, view), view, size, air or air_of(frame, view))[-1]
    else:
        small = cv2.resize(frame.pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        bright = small.reshape(*size, -1).mean(axis=2, dtype=np.float32) * np.float32(1 / frame.full_scale)
    ground = np.float32(np.percentile(bright, GROUND_PERCENTILE))
    dark = bright < ground * np.float32(1 - CONTENT_DARKER)
    rows = np.flatnonzero(dark.sum(axis=1) >= CONTENT_PIXELS)
    columns = np.flatnonzero(dark.sum(axis=0) >= CONTENT_PIXELS)
    if not len(rows) or not len(columns):
        return 0, 0, height, width
    top, bottom = _stretched(rows[0] / size[0], (rows[-1] + 1) / size[0], height)
    left, right = _stretched(columns[0] / size[1], (columns[-1] + 1) / size[1], width)
    return top, left, bottom, right


def _fewer_lines(frame: Frame, view: Optics | None) -> Frame:
    """Some lines of calibrated counts, evenly along the belt: enough for a small picture without noise."""
    if view is None or view.detector is None:
        return frame
    height, width = frame.pixels.shape[:2]
    along = view.detector.belt_axis == "columns"
    count = ENOUGH_LINES * THUMBNAIL
    size = (min(width, count), height) if along else (width, min(height, count))
    lines = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_NEAREST)
    return msgspec.structs.replace(frame, pixels=lines.reshape(size[1], size[0], -1))


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

"""One input looked at more than once, turned and mirrored, and what all looks agree on. Pure.

A detector is not as sure of a thing from every side. Cartons and bags lie on a belt any way round, so a
turned picture is as likely as the picture itself, and what is seen in all is surer than what is seen in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect.heads import Detection, overlaps

Floats = npt.NDArray[np.float32]

SAME_IOU = 0.55
"""Boxes of one label from two looks that overlap by more are of the same thing."""


class Way(NamedTuple):
    """How an input is turned: rows for columns first, then mirrored left to right, then upside down."""

    transposed: bool
    mirrored: bool
    upended: bool


AS_IT_IS = Way(False, False, False)
_HALF_ROUND, _OTHER_DIAGONAL = Way(False, True, True), Way(True, True, True)
WAYS: dict[int, tuple[Way, ...]] = {
    1: (AS_IT_IS,),
    2: (AS_IT_IS, Way(True, False, False)),
    4: (AS_IT_IS, _HALF_ROUND, Way(True, False, False), _OTHER_DIAGONAL),
    8: tuple(Way(t, m, u) for t in (False, True) for m in (False, True) for u in (False, True)),
}
"""By the number of looks."""


def turned(tensor: Floats, way: Way, content: tuple[int, int]) -> Floats:
    """A square input (channels, side, side) whose `content` (height, width), in the top left corner, is
    turned and lies there again."""
    if way == AS_IT_IS:
        return tensor
    part = tensor[:, : content[0], : content[1]]
    if way.transposed:
        part = part.transpose(0, 2, 1)
    if way.mirrored:
        part = part[:, :, ::-1]
    if way.upended:
        part = part[:, ::-1]
    made = np.empty_like(tensor)
    made[:] = tensor[:, -1:, -1:]  # padding, where there is any
    made[:, : part.shape[1], : part.shape[2]] = part
    return made


def turned_back(found: Detection, way: Way, content: tuple[int, int]) -> Detection:
    """What was found in an input turned so, in pixels of the input as it is."""
    x0, y0, x1, y1 = found.box
    height, width = (content[1], content[0]) if way.transposed else content
    if way.upended:
        y0, y1 = height - y1, height - y0
    if way.mirrored:
        x0, x1 = width - x1, width - x0
    if way.transposed:
        x0, y0, x1, y1 = y0, x0, y1, x1
    return found._replace(box=(x0, y0, x1, y1))


def agreed(looks: Sequence[Sequence[Detection]]) -> list[Detection]:
    """What was found in all looks at one input: of each thing the mean of its scores, 0 where a look saw
    nothing, and of its boxes, weighed by their scores. The surest first."""
    if len(looks) == 1:
        return list(looks[0])
    things: list[dict[int, Detection]] = []
    told = [(found, number) for number, look in enumerate(looks) for found in look]
    boxes = np.zeros((0, 4), np.float32)
    for found, number in sorted(told, key=lambda each: -each[0].score):
        free = [
            index
            for index, seen in enumerate(things)
            if number not in seen and next(iter(seen.values())).label == found.label
        ]
        shared = overlaps(np.array(found.box, np.float32), boxes[free])
        if free and shared.max() > SAME_IOU:
            things[free[int(shared.argmax())]][number] = found
        else:
            things.append({number: found})
            boxes = np.concatenate([boxes, np.array([found.box], np.float32)])
    made = [_mean(list(seen.values()), len(looks)) for seen in things]
    return sorted(made, key=lambda found: -found.score)


def parted(found: Sequence[Detection], apart: float) -> list[Detection]:
    """Of boxes of one label that overlap by more than `apart` only the surest, surest first: the means of
    several looks may lie nearer to each other than the boxes of any of them."""
    kept: list[Detection] = []
    for each in sorted(found, key=lambda each: -each.score):
        same = [other.box for other in kept if other.label == each.label]
        shared = overlaps(np.array(each.box, np.float32), np.array(same, np.float32).reshape(-1, 4))
        if not len(shared) or shared.max() <= apart:
            kept.append(each)
    return kept


def _mean(seen: Sequence[Detection], looks: int) -> Detection:
    scores = np.array([found.score for found in seen])
    weights = scores if scores.any() else np.ones_like(scores)  # a threshold of 0 lets scores of 0 through
    x0, y0, x1, y1 = np.average([found.box for found in seen], axis=0, weights=weights).tolist()
    return Detection((x0, y0, x1, y1), float(scores.sum()) / looks, seen[0].label)

"""What was found in overlapping pieces of a frame, as if it had been looked at whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nii_edge.records import Box
from nii_edge.xray.content import Rectangle

SAME_IOU = 0.5
"""Boxes of one label from two pieces that overlap by more are the same thing."""
MOSTLY = 0.7
"""A box at a cut is a part of one that covers this share of it."""
ALONG_CUT = 0.5
"""Of two boxes that end at one cut from both sides: how much of what they cover along it must be common."""
AT_CUT = 0.015
"""How near to a cut a box ends that may go on beyond, in lengths of the piece."""


class Told(NamedTuple):
    """Something found in a piece: `box` in the frame's pixels; `label`: an index; `area` in frame pixels, 0
    if only the box is known."""

    box: Box
    label: int
    score: float
    area: float


Piece = tuple[Rectangle, Sequence[Told]]
"""Which part of the frame it is, and what was found there. Pieces follow each other along one side."""


class _Item(NamedTuple):
    """`first`, `last`: the pieces that saw it; `before`, `after`: whether it is cut there and may go on."""

    told: Told
    first: int
    last: int
    before: bool
    after: bool


def joined(pieces: Sequence[Piece]) -> list[Told]:
    """What was found in all pieces of one frame, the surest first, each thing once.

    Two boxes that end at the same cut from both sides are one. What another piece saw as well, or more of, is
    told once, whole rather than cut, and as surely as the surest piece saw it. Within a piece nothing is
    left out.
    """
    upright = pieces[0][0][0] != pieces[-1][0][0]
    items = _across_cuts([_items(pieces, number, upright) for number in range(len(pieces))], upright)
    kept: list[_Item] = []
    for item in sorted(items, key=lambda each: (each.before or each.after, -each.told.score)):
        same = next((k for k, other in enumerate(kept) if _same(item, other)), None)
        if same is None:
            kept.append(item)
        elif item.told.score > kept[same].told.score:
            kept[same] = kept[same]._replace(told=kept[same].told._replace(score=item.told.score))
    return sorted((item.told for item in kept), key=lambda told: -told.score)


def _items(pieces: Sequence[Piece], number: int, upright: bool) -> list[_Item]:
    """What one piece tells, with where it is cut."""
    area, found = pieces[number]
    start, end = (area[0], area[2]) if upright else (area[1], area[3])
    near = AT_CUT * (end - start)
    made = []
    for told in found:
        low, high = _along(told.box, upright)
        before, after = number > 0 and low - start < near, number < len(pieces) - 1 and end - high < near
        made.append(_Item(told, number, number, before, after))
    return made


def _across_cuts(by_piece: list[list[_Item]], upright: bool) -> list[_Item]:
    """All of it, with what goes on from piece to piece put together."""
    done: list[_Item] = []
    open_: list[_Item] = []
    for items in by_piece:
        left, going_on = list(items), list[_Item]()
        for one in sorted(open_, key=lambda each: -each.told.score):
            rests = [item for item in left if item.before and _goes_on(one.told, item.told, upright)]
            if not rests:
                done.append(one)
                continue
            rest = max(rests, key=lambda item: _common(one.told.box, item.told.box, not upright))
            left.remove(rest)
            going_on.append(_Item(_union(one.told, rest.told), one.first, rest.last, one.before, rest.after))
        done += [item for item in (*left, *going_on) if not item.after]
        open_ = [item for item in (*left, *going_on) if item.after]
    return done + open_


def _goes_on(one: Told, rest: Told, upright: bool) -> bool:
    """Whether two boxes of neighbouring pieces, each cut where the other goes on, are of one thing."""
    touching = _along(rest.box, upright)[0] <= _along(one.box, upright)[1]
    return one.label == rest.label and touching and _common(one.box, rest.box, not upright) > ALONG_CUT


def _union(one: Told, other: Told) -> Told:
    a, b = one.box, other.box
    box = Box(view=a.view, x0=min(a.x0, b.x0), y0=min(a.y0, b.y0), x1=max(a.x1, b.x1), y1=max(a.y1, b.y1))
    return Told(box, one.label, max(one.score, other.score), one.area + other.area)


def _same(item: _Item, other: _Item) -> bool:
    """Whether a kept box is of the same thing."""
    apart = item.last < other.first or other.last < item.first
    if not apart or item.told.label != other.told.label:
        return False
    a, b = item.told.box, other.told.box
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return False
    own, others = ((each.x1 - each.x0) * (each.y1 - each.y0) for each in (a, b))
    shared = width * height
    return shared > SAME_IOU * (own + others - shared) or (
        (item.before or item.after) and shared > MOSTLY * own
    )


def _along(box: Box, upright: bool) -> tuple[float, float]:
    return (box.y0, box.y1) if upright else (box.x0, box.x1)


def _common(one: Box, other: Box, upright: bool) -> float:
    """Of what two boxes cover along an axis, the share that both do."""
    (a, b), (c, d) = _along(one, upright), _along(other, upright)
    return max(0.0, min(b, d) - max(a, c)) / max(max(b, d) - min(a, c), 1e-9)

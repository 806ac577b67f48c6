"""What was found in overlapping pieces of a frame, as if it had been looked at whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from nii_edge.records import Box, Finding
from nii_edge.xray.content import Rectangle

SAME_IOU = 0.5
"""Boxes of one label from two pieces that overlap by more are the same thing."""
MOSTLY = 0.7
"""A box at a cut is a part of one that covers this share of it."""
AT_CUT = 0.015
"""How near to a cut a box ends that may go on beyond, in lengths of the piece."""

Piece = tuple[Rectangle, Sequence[Finding]]
"""Which part of the frame it is, and what was found there, in the frame's pixels."""


def joined(pieces: Sequence[Piece]) -> list[Finding]:
    """The findings of all pieces of one frame, the surest first, each thing once.

    Whole boxes go before boxes that a cut may have shortened, and those only stay where no other piece saw
    the thing whole. Within a piece nothing is left out. Findings without a box stay.
    """
    whole = _hull([area for area, _ in pieces])
    told = [
        (_cut(finding.box, area, whole), -finding.score, number, finding)
        for number, (area, findings) in enumerate(pieces)
        for finding in findings
    ]
    kept: list[tuple[int, Finding]] = []
    for cut, _, number, finding in sorted(told, key=lambda row: row[:3]):
        rivals = [other for piece, other in kept if piece != number and other.label == finding.label]
        if not any(_same(finding.box, other.box, cut) for other in rivals):
            kept.append((number, finding))
    return sorted((finding for _, finding in kept), key=lambda finding: -finding.score)


def _hull(areas: Sequence[Rectangle]) -> Rectangle:
    tops, lefts, bottoms, rights = zip(*areas, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _cut(box: Box | None, area: Rectangle, whole: Rectangle) -> bool:
    """Whether a box ends where its piece ends and the picture goes on."""
    if box is None:
        return False
    near = AT_CUT * max(area[2] - area[0], area[3] - area[1])
    starts = ((box.y0, area[0], whole[0]), (box.x0, area[1], whole[1]))
    ends = ((box.y1, area[2], whole[2]), (box.x1, area[3], whole[3]))
    return any(side - edge < near and edge > outer for side, edge, outer in starts) or any(
        edge - side < near and edge < outer for side, edge, outer in ends
    )


def _same(box: Box | None, other: Box | None, cut: bool) -> bool:
    if box is None or other is None:
        return False
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    if width <= 0 or height <= 0:
        return False
    own, others = ((each.x1 - each.x0) * (each.y1 - each.y0) for each in (box, other))
    shared = width * height
    return shared > SAME_IOU * (own + others - shared) or (cut and shared > MOSTLY * own)

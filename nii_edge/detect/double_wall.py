"""A double wall, a false bottom or a lid of one, as a person is told of it. Pure.

A rule beside the joint fusion, which has not learned what it weighs: whatever the papers claim cannot outvote
it.
"""

from __future__ import annotations

from nii_edge.detect.paper_rules import Remark
from nii_edge.xray.carton import Measures
from nii_edge.xray.walls import FLAT, LEADING, TRAILING, Wall

DOUBLE_WALL = "double_wall"
OWN_WALL = 0.06
"""g/cm2 of the carton's own wall, single-wall corrugated board (reference numbers of `simulate.carton`)."""
OWN_FLAPS = 0.3
"""g/cm2 of its bottom and lid together, both doubled flaps."""


def remarks(measures: Measures) -> list[Remark]:
    """What lies along one whole side, if it is more like a double wall than honest cartons are; else empty.
    The score is 0.5 where it just is, 0.75 at twice as much, never quite 1: a rule of thumb, no probability.
    """
    wall = measures.wall
    if wall is None or wall.quality < 1:
        return []
    return [Remark(DOUBLE_WALL, 1 - 1 / (2 * wall.quality), _words(wall, measures))]


def _words(wall: Wall, measures: Measures) -> str:
    length, width, height = measures.length / 10, measures.width / 10, measures.height / 10
    if wall.face == FLAT:
        layer = max(wall.weight - OWN_FLAPS, 0.0)
        return (
            f"Nothing in it is lighter than {wall.weight:.1f} g/cm2: a layer of about "
            f"{layer * length * width / 1000:.1f} kg lies under or over it all, as in a false bottom or lid."
        )
    area = length * (width if wall.face in {"bottom", "top"} else height)
    if wall.face in {LEADING, TRAILING}:
        area = width * height
    kilograms = max(wall.weight - OWN_WALL, 0.0) * area / 1000
    face = f"{wall.face} side" if wall.face in {"left", "right"} else wall.face
    return (
        f"Along the whole {face} lies something flat, {wall.depth:.0f} mm deep with the wall, about "
        f"{kilograms:.1f} kg ({wall.weight:.1f} g/cm2), as in a double wall."
    )

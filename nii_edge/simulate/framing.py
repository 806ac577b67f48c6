"""What a scanner takes for one carton: as a rule one, now and then a part of one, or two at once."""

from __future__ import annotations

from typing import Literal, NamedTuple

from nii_edge.simulate.kit import Generator, Spread, draw
from nii_edge.simulate.scan import behind
from nii_edge.simulate.scene import Scene, all_placed, joined

Shows = Literal["whole", "cut", "merged"]
"""What a frame shows: a carton, one of the two parts of one, or two cartons."""
CUT_AT: Spread = (0.2, 0.8)
"""Share of a carton's lines after which a false light barrier cuts it."""
GAP_MM: Spread = (10, 60)
"""Bare belt between two cartons that are taken for one."""


class Framing(NamedTuple):
    """Of the cartons that come, the share that is cut in two, and the share that the next one is taken into
    one frame with, each from 0 to 1 and together at most 1."""

    cut: float = 0.0
    merged: float = 0.0


ALWAYS_WHOLE = Framing()


def framed(count: int, framing: Framing, rng: Generator) -> list[tuple[tuple[int, ...], Shows]]:
    """Which of `count` cartons that pass one behind the other share a frame, and what it shows. The last
    one has none behind it to be merged with."""
    found: list[tuple[tuple[int, ...], Shows]] = []
    k = 0
    while k < count:
        chance = rng.random()
        if chance < framing.merged and k + 1 < count:
            found.append(((k, k + 1), "merged"))
            k += 2
            continue
        is_cut = framing.merged <= chance < framing.merged + framing.cut
        found.append(((k,), "cut" if is_cut else "whole"))
        k += 1
    return found


def cut_at(rng: Generator) -> float:
    """Where a carton is cut, as a share of its lines."""
    return draw(rng, CUT_AT)


def both(first: Scene, second: Scene, rng: Generator) -> Scene:
    """The second carton on the belt behind the first."""
    move = behind(
        [placed.thing for placed in first.things],
        [placed.thing for placed in second.things],
        draw(rng, GAP_MM),
    )
    moved = joined(tuple(all_placed(second.things, (move, 0, 0))), len(first.things))
    return Scene((*first.things, *moved))

"""Flat spanners by family. They lie along x, flat across z."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
    draw,
    grouped,
    middle,
    pick,
    slab,
)
from nii_edge.simulate.shapes import (
    chain,
    circle,
    merge,
    polygon,
    rectangle,
    regular,
    rounded,
    sector,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Part

STEEL = ("steel", "steel", "stainless")


def turned_outline(outline: Outline, degrees: float) -> Outline:
    """About the origin."""
    return shapely.affinity.rotate(outline, degrees, origin=(0, 0))


def shifted(outline: Outline, x: float, y: float = 0.0) -> Outline:
    """Moved in the plane."""
    return shapely.affinity.translate(outline, x, y)


def open_head(size: float, tilt: float, fat: float = 1.0) -> Outline:
    """An open jaw for a nut `size` mm across flats, opening towards +x, tilted by `tilt` degrees."""
    outer = chain(
        circle(0, 0, (0.98 + 0.14 * fat) * size, 8),
        shapely.affinity.scale(circle(0.25 * size, 0, size, 8), 1.05, 1.02),
    )
    slot = chain(rectangle(0, -size / 2, 3 * size, size / 2), regular(0, 0, size / np.sqrt(3), 6, 30))
    tips = rectangle(0.95 * size, -3 * size, 3 * size, 3 * size)
    return turned_outline(outer.difference(slot).difference(tips), tilt)


def ring_head(size: float, fat: float = 1.0) -> tuple[Outline, Outline]:
    """(the collar, its twelve-pointed hole) for a nut `size` mm across flats."""
    hole = chain(regular(0, 0, 0.585 * size, 6, 0), regular(0, 0, 0.585 * size, 6, 30))
    return circle(0, 0, (0.72 + 0.12 * fat) * size, 8).difference(hole), hole


class Spanner(NamedTuple):
    """A flat spanner: what sits at either end; sizes and lengths as ranges in mm, length per mm of size."""

    ends: tuple[str, str]
    size: Spread = (8, 27)
    ratio: Spread = (9, 13)
    tilt: Spread = (13, 17)
    recess: float = 0.5
    bend: float = 0.0
    waist: Spread = (0.75, 1.0)


DESIGNS: dict[str, Spanner] = {
    "combination": Spanner(("open", "ring")),
    "combination_stubby": Spanner(("open", "ring"), (10, 22), (5, 6.5)),
    "combination_long": Spanner(("open", "ring"), (8, 19), (15, 20), waist=(0.6, 0.8)),
    "double_open": Spanner(("open", "open"), (8, 30), (8.5, 11.5)),
    "double_ring_offset": Spanner(("ring", "ring"), (8, 27), (10, 14), bend=14),
    "double_ring_flat": Spanner(("ring", "ring"), (8, 24), (10, 13), recess=0.0),
    "ratchet_combination": Spanner(("open", "gear"), (8, 22), (9.5, 12)),
    "flare_nut": Spanner(("flare", "flare"), (9, 22), (9, 12)),
    "construction_podger": Spanner(("open", "spike"), (17, 36), (9, 13), (0, 15), 0.3),
    "single_open_slug": Spanner(("open", "butt"), (24, 46), (6, 8.5), (0, 15), 0.0),
    "striking_ring": Spanner(("ring", "butt"), (27, 55), (5, 7), recess=0.0, waist=(1.0, 1.3)),
    "half_moon": Spanner(("ring", "ring"), (9, 19), (10, 12), recess=0.0, bend=40),
    "s_shaped": Spanner(("open", "open"), (9, 22), (8, 11), (35, 60), 0.3, -26),
    "split_ring_open": Spanner(("flare", "open"), (10, 22), (9, 12)),
    "tappet_thin": Spanner(("open", "open"), (10, 22), (11, 15), (10, 20), 0.0, waist=(0.6, 0.8)),
    "hook_pin": Spanner(("hook", "butt"), (22, 48), (4.5, 7), (0, 0), 0.0, waist=(0.4, 0.6)),
}  # fmt: skip


def _end(kind: str, size: float, rng: Generator, design: Spanner) -> tuple[Outline, Outline | None]:
    """The head, pointing to +x from the end of the shank, and what it cuts out of the shank."""
    fat = draw(rng, (0.6, 1.6))
    if kind in {"ring", "gear", "flare"}:
        collar, hole = ring_head(size, fat if kind != "gear" else 1.8)
        if kind == "flare":
            collar = collar.difference(rectangle(0, -0.3 * size, 2 * size, 0.3 * size))
        if kind == "gear":
            collar = circle(0, 0, 0.98 * size, 8).difference(hole)
        return collar, hole
    if kind == "open":
        return open_head(size, draw(rng, design.tilt) * pick(rng, (-1, 1)), fat), None
    if kind == "spike":
        return polygon(
            [(-4, 0.35 * size), (5 * size, 2), (5.2 * size, 0), (5 * size, -2), (-4, -0.35 * size)]
        ), None
    if kind == "hook":
        arm = sector(0.2 * size, 0, 1.5 * size, 1.85 * size, -60, 110)
        return chain(shifted(arm, -1.6 * size), circle(-0.1 * size, 0, 0.3 * size)), None
    return rounded(rectangle(-1, -0.45 * size, 0.8 * size, 0.45 * size), 0.2 * size), None


def make_spanner(design: Spanner, rng: Generator) -> tuple[Part, ...]:
    """Two heads on a shank, often with a recessed panel in the middle, sometimes bent."""
    size = draw(rng, design.size)
    long, thick = size * draw(rng, design.ratio), 0.26 * size + 1.2
    other = size * (draw(rng, (0.82, 1.18)) if design.ends[0] == design.ends[1] else 1.0)
    (first, cut_a), (second, cut_b) = (
        _end(design.ends[0], size, rng, design),
        _end(design.ends[1], other, rng, design),
    )
    wide = 0.78 * size * draw(rng, design.waist)
    t = np.linspace(0, 1, 9)
    axis = np.stack([(t - 0.5) * long, _bend(t, design.bend * size / 15)], axis=1)
    half = wide / 2 * (1 + 0.22 * (2 * t - 1) ** 2)
    shank = polygon(
        np.concatenate([axis + np.stack([0 * t, half], 1), (axis - np.stack([0 * t, half], 1))[::-1]])
    )
    slope = np.degrees(np.arctan2(*(axis[-1] - axis[-2])[::-1]))
    first = shifted(turned_outline(first, slope), *axis[-1])
    second = shifted(turned_outline(second, 180 + slope), *axis[0])
    for cut, spot in ((cut_a, axis[-1]), (cut_b, axis[0])):
        if cut is not None:
            shank = shank.difference(shifted(cut, *spot))
    if design.ends[0] == "open":
        shank = shank.difference(shifted(circle(0, 0, 0.9 * size), *axis[-1]))
    if design.ends[1] == "open":
        shank = shank.difference(shifted(circle(0, 0, 0.9 * other), *axis[0]))
    steel = pick(rng, STEEL)
    meshes = [
        slab(first, thick * 1.1, 0.8),
        slab(second, thick * (1.5 if design.ends[1] in {"ring", "gear"} else 1.1), 0.8),
    ]
    shank = shank.difference(chain(first, second))
    panel = shank.buffer(-0.2 * wide)
    if design.recess > 0 and not panel.is_empty and rng.random() < 0.75:
        meshes += [slab(shank.difference(panel), 0.8 * thick), slab(panel, 0.8 * thick * (1 - design.recess))]
    else:
        meshes.append(slab(shank, 0.8 * thick, 0.6))
    return middle(grouped([Part(merge(meshes), steel)]))


def _bend(t: Floats, by: float) -> Floats:
    """A bow to one side, or an S for a negative `by`."""
    return by * np.sin(np.pi * t) if by >= 0 else by * np.sin(2 * np.pi * t) / 2


def _maker(design: Spanner) -> Maker:
    return lambda rng: make_spanner(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()}

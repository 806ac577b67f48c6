"""Scissors and shears: two blades on a pivot at the origin, points along +x, handles back along -x."""

from __future__ import annotations

from typing import NamedTuple

import shapely

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
    coil,
    draw,
    grouped,
    middle,
    pick,
    pin,
    slab,
)
from nii_edge.simulate.shapes import chain, merge, mirrored, moved, polygon, spline, stroke, turned
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.blades import PROFILES, blade


class Design(NamedTuple):
    """Ranges in mm. `bow`: the size of the finger rings, 0 for plain lever handles."""

    cut: Spread
    high: Spread
    shank: Spread
    bow: Spread
    plastic: float
    thick: Spread = (1.6, 2.8)
    profile: str = "sheepsfoot"
    bend: float = 0.0
    spring: bool = False


DESIGNS: dict[str, Design] = {
    "office": Design((70, 110), (14, 20), (28, 40), (26, 36), 1.0, profile="carving"),
    "household_large": Design((100, 135), (18, 26), (35, 50), (34, 48), 1.0, profile="carving"),
    "all_metal_tailor": Design((110, 150), (20, 28), (45, 65), (36, 50), 0.0, (3, 5), "carving", 18),
    "kitchen": Design((80, 110), (18, 26), (30, 40), (34, 46), 1.0, (2.4, 3.4), "drop"),
    "nail": Design((22, 34), (5, 8), (36, 48), (18, 24), 0.0, (1.4, 2.2), "skinner"),
    "embroidery": Design((35, 55), (6, 10), (26, 36), (18, 26), 0.0, (1.4, 2.2), "needle"),
    "bandage": Design((55, 80), (12, 18), (40, 55), (28, 36), 1.0, profile="table", bend=24),
    "hairdresser": Design((60, 95), (9, 13), (50, 70), (22, 28), 0.0, (1.8, 2.8), "carving"),
    "pruning": Design((45, 65), (20, 30), (90, 120), (0, 0), 0.8, (3, 5), "hawk", spring=True),
    "tin_snips": Design((55, 85), (22, 34), (110, 150), (0, 0), 0.7, (5, 9), "sheepsfoot"),
    "children": Design((45, 65), (14, 18), (20, 28), (24, 32), 1.0, (1.0, 1.6), "table"),
    "hedge_short": Design((130, 200), (24, 34), (120, 180), (0, 0), 1.0, (2.5, 4), "carving"),
}


def _handle(design: Design, rng: Generator, shank: float, bow: float) -> Outline:
    """From the pivot back: a shank, and a ring or a lever, on the lower side."""
    if bow == 0:
        line = spline([(0, 0), (-0.3 * shank, -12), (-0.7 * shank, -20), (-shank, -14)], 5, closed=False)
        return stroke(line, draw(rng, (9, 14)))
    wide = bow * draw(rng, (0.5, 0.75))
    ring = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, quad_segs=8), bow, wide)
    ring = shapely.affinity.rotate(ring, draw(rng, (0, 30)) - design.bend / 2, origin=(0, 0))
    ring = ring.difference(ring.buffer(-draw(rng, (0.16, 0.24)) * bow))
    ring = shapely.affinity.translate(ring, -shank - bow * 0.9, -wide * 0.8 - 4)
    return chain(ring, stroke([(2, 0), (-shank, -wide * 0.5 - 2)], draw(rng, (6, 9))))


def make_scissors(design: Design, rng: Generator) -> tuple[Part, ...]:
    """Two halves, crossed at the pivot and opened by some angle."""
    cut, high, shank, bow = (
        draw(rng, spread) for spread in (design.cut, design.high, design.shank, design.bow)
    )
    thick, opened = draw(rng, design.thick), pick(rng, (draw(rng, (2, 8)), draw(rng, (10, 45))))
    handle_material = pick(rng, ("abs", "polypropylene", "nylon")) if design.plastic > 0.5 else "stainless"
    parts: list[Part] = []
    for side in (-1, 1):
        edge = blade(rng, PROFILES[design.profile], cut + 8, high, thick)
        body = moved(edge, -8, 0.25 * high)
        tang = slab(
            polygon([(-4, 0.4 * high), (-4, -0.2 * high), (-shank, -0.5 * high), (-shank, -0.2 * high)]),
            thick,
        )
        loop = slab(
            _handle(design, rng, shank, bow), draw(rng, (7, 11)) if design.plastic else 1.6 * thick + 2, 1.0
        )
        for mesh, material in ((merge([body, tang]), "stainless"), (loop, handle_material)):
            made = mesh if side > 0 else mirrored(mesh, "y")
            made = turned(made, "z", side * opened / 2 + (design.bend if side > 0 else 0))
            parts.append(Part(moved(made, 0, 0, side * thick * 0.52), material))
    parts.append(Part(pin(0, 0, 0.18 * high + 1.2, 3 * thick), "steel"))
    if design.spring:
        parts.append(Part(coil((-0.35 * shank, -10, 0), (-0.35 * shank, 10, 0), 4, 7, 0.8), "steel"))
    return middle(grouped(parts))


def _maker(design: Design) -> Maker:
    return lambda rng: make_scissors(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()}

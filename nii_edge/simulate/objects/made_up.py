"""Goods that there are none of: bodies of any shape and matter put together at random. Lying flat; mm.

A network that has seen many such learns what goods have in common, not the sorts that the simulator has.
"""

from __future__ import annotations

import math

import numpy as np

from nii_edge.simulate.kit import Generator, draw, grouped, middle, pick, pipe, rod
from nii_edge.simulate.shapes import (
    box,
    crumpled,
    moved,
    repeated,
    rounded_box,
    sheet,
    shell_box,
    stack_bounds,
)
from nii_edge.simulate.solids import Mesh, Part

Extent = tuple[float, float, float]

MATTER: dict[str, tuple[float, float]] = {
    "cotton": (0.08, 0.3), "wool": (0.08, 0.25), "paper": (0.5, 1.0), "wood": (0.6, 1.1), "leather": (0.4, 1.0),
    "polypropylene": (0.2, 1.0), "abs": (0.2, 1.0), "pvc": (0.2, 1.0), "rubber": (0.4, 1.0),
    "food": (0.5, 1.0), "sugar": (0.6, 1.0), "flour": (0.7, 1.0), "water": (0.9, 1.0), "cream": (0.9, 1.0),
    "soap": (0.9, 1.0), "tea": (0.3, 0.9), "glass": (0.3, 1.0), "ceramic": (0.4, 1.0), "salt": (0.7, 1.0),
    "fr4": (0.5, 1.0), "cable": (0.3, 0.8), "licoo2_cell": (0.9, 1.0), "aluminium": (0.1, 1.0),
    "steel": (0.05, 0.6), "brass": (0.1, 0.6),
}  # fmt: skip
"""What they may be made of, and how much of the room that a body takes is matter."""
METALS = frozenset({"aluminium", "steel", "brass", "cable"})
LARGEST_METAL = 2.5e5
"""mm³: larger bodies are not of metal."""
SIDES: tuple[tuple[float, float], ...] = ((45.0, 260.0), (30.0, 190.0), (8.0, 110.0))
"""Of the room it takes, along each axis; logarithms are uniform."""


def anything(rng: Generator) -> tuple[Part, ...]:
    """One piece: a body with or without things in it, a few bodies side by side, rows of the same, or
    layers."""
    extent = tuple(math.exp(draw(rng, (math.log(low), math.log(high)))) for low, high in SIDES)
    x, y, z = extent
    room = (max(x, y), min(x, y), z)
    ways = (_one, _filled, _several, _rows, _layers)
    return middle(grouped(pick(rng, ways)(rng, room)))


def _matter(rng: Generator, extent: Extent) -> tuple[str, float]:
    names = [name for name in MATTER if name not in METALS or math.prod(extent) < LARGEST_METAL]
    name = pick(rng, names)
    return name, draw(rng, MATTER[name])


def _body(rng: Generator, extent: Extent) -> Mesh:
    """A body of about this size about the origin."""
    x, y, z = extent
    kind = int(rng.integers(6))
    if kind == 0:
        return box(x, y, z)
    if kind == 1:
        return rounded_box(x, y, z, 0.3 * min(extent))
    if kind == 2:
        return crumpled(rng, (x / 2, y / 2, z / 2), 0.08, 20)
    if kind == 3:
        return moved(sheet(rng, (x, y), 0.7 * z, 0.1 * z, 0.4 * x, 12))
    if kind == 4:
        return shell_box(x, y, z, draw(rng, (0.04, 0.25)) * min(extent))
    ends, radius = ((-x / 2, 0.0, 0.0), (x / 2, 0.0, 0.0)), min(y, z) / 2
    solid = rng.random() < 0.5
    return rod(*ends, radius) if solid else pipe(*ends, radius, draw(rng, (0.5, 0.9)) * radius)


def _one(rng: Generator, extent: Extent) -> list[Part]:
    return [Part(_body(rng, extent), *_matter(rng, extent))]


def _several(rng: Generator, extent: Extent) -> list[Part]:
    """Up to six bodies anywhere in the room."""
    parts = []
    for _ in range(int(rng.integers(2, 7))):
        own = (
            extent[0] * draw(rng, (0.2, 0.7)),
            extent[1] * draw(rng, (0.2, 0.8)),
            extent[2] * draw(rng, (0.3, 1)),
        )
        at = [draw(rng, (-0.5, 0.5)) * (side - part) for side, part in zip(extent, own, strict=True)]
        parts.append(Part(moved(_body(rng, own), *at), *_matter(rng, own)))
    return parts


def _filled(rng: Generator, extent: Extent) -> list[Part]:
    """A case with bodies in it."""
    wall = draw(rng, (0.5, 3.0))
    inside = tuple(max(side - 2 * wall - 1, 2.0) for side in extent)
    x, y, z = inside
    material = pick(rng, ("abs", "polypropylene", "cardboard", "aluminium", "wood"))
    return [Part(shell_box(*extent, min(wall, 0.2 * min(extent))), material), *_several(rng, (x, y, z))]


def _rows(rng: Generator, extent: Extent) -> list[Part]:
    """The same body again and again in rows and columns."""
    counts = [int(rng.integers(1, 7)), int(rng.integers(1, 5)), int(rng.integers(1, 3))]
    x, y, z = (0.92 * side / count for side, count in zip(extent, counts, strict=True))
    low, high = stack_bounds([body := _body(rng, (x, y, z))])
    steps = [
        max(side / count, float(width)) for side, count, width in zip(extent, counts, high - low, strict=True)
    ]
    grid = np.stack(np.meshgrid(*(np.arange(count) for count in counts), indexing="ij"), -1).reshape(-1, 3)
    return [Part(repeated(body, grid * np.array(steps)), *_matter(rng, extent))]


def _layers(rng: Generator, extent: Extent) -> list[Part]:
    """Sheets of one or two sorts of matter on top of each other."""
    x, y, z = extent
    count = int(rng.integers(2, 9))
    kinds = [_matter(rng, extent) for _ in range(2)]
    thick = z / count
    return [
        Part(
            moved(sheet(rng, (x, y), 0.8 * thick, 0.1 * thick, 0.4 * x, 10), z=(k - count / 2) * thick),
            *kinds[k % 2],
        )
        for k in range(count)
    ]

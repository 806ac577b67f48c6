"""Cartons: a corrugated shell, what is packed into it, and what fills the gaps.

Packing keeps a map of heights over the floor and sets each box down where it comes to lie lowest, so that
nothing floats and no two bounding boxes meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.bulk import box_around
from nii_edge.simulate.kit import Generator, draw, pick
from nii_edge.simulate.scene import Placed, Size, all_placed
from nii_edge.simulate.shapes import (
    box,
    cloth_pile,
    crumpled,
    inside_out,
    merge,
    moved,
    rotation,
    scaled,
    sphere,
    turned,
)
from nii_edge.simulate.shapes.cloth import height_slab
from nii_edge.simulate.solids import Mesh, Part, Thing

WALL_AREAL = 0.05
"""g/cm² of one wall of single-wall corrugated board."""
BOARD_DENSITY = 0.69
"""g/cm³ that a `fill` of 1 stands for: solid board."""
CELL = 8.0
"""mm: the raster of the height map; each box takes whole cells."""


class Unit(NamedTuple):
    """What is packed as one piece: things at rest relative to each other, within `size` about the origin."""

    things: tuple[Placed, ...]
    size: Size


class Packed(NamedTuple):
    """Where units ended up: `spots` are the middles of their boxes, `quarter` how often each was turned by 90
    degrees about z; None where a unit found no room. `heights` is what the map looks like in the end, mm."""

    spots: tuple[tuple[float, float, float] | None, ...]
    quarter: tuple[int, ...]
    heights: npt.NDArray[np.float32]


def unit(things: Sequence[Placed]) -> Unit:
    """The things as one unit, moved so that their box is centred on the origin."""
    low, high = box_around([placed.thing for placed in things])
    a, b, c = (float(v) for v in high - low)
    return Unit(tuple(all_placed(things, -(low + high) / 2)), (a, b, c))


def pack(rng: Generator, room: Size, sizes: Sequence[Size], tidy: bool) -> Packed:
    """Set boxes down one after another, each where it lies lowest.

    Args:
        room: inside of the carton, mm.
        sizes: of the boxes, in the order they are put in.
        tidy: fill row by row from one corner, all one way round; otherwise anywhere, either way round.
    """
    rows, columns = max(int(room[0] // CELL), 1), max(int(room[1] // CELL), 1)
    heights = np.zeros((rows, columns), np.float32)
    order = np.add.outer(np.arange(rows) * 1e-3, np.arange(columns) * 1e-6).astype(np.float32)
    spots: list[tuple[float, float, float] | None] = []
    quarters: list[int] = []
    for size in sizes:
        ways = (0, 1) if not tidy and rng.random() < 0.5 else (0,)
        best: tuple[float, int, int, int] | None = None
        for way in ways:
            a, b = _cells(size, way)
            if a > rows or b > columns:
                continue
            floor = _window_max(heights, a, b)
            taste = order[: rows - a + 1, : columns - b + 1]
            if not tidy:
                taste = rng.uniform(0, 12, floor.shape).astype(np.float32)
            i, j = divmod(int(np.argmin(floor + taste)), floor.shape[1])
            level = float(floor[i, j])
            if level + size[2] <= room[2] and (best is None or level < best[0]):
                best = level, i, j, way
        if best is None:
            spots.append(None)
            quarters.append(0)
            continue
        level, i, j, way = best
        a, b = _cells(size, way)
        heights[i : i + a, j : j + b] = level + size[2] + 0.2
        x, y = (i + a / 2) * CELL - rows * CELL / 2, (j + b / 2) * CELL - columns * CELL / 2
        spots.append((x, y, level + size[2] / 2))
        quarters.append(way)
    return Packed(tuple(spots), tuple(quarters), heights)


def _cells(size: Size, way: int) -> tuple[int, int]:
    a, b = int(np.ceil(size[0] / CELL)), int(np.ceil(size[1] / CELL))
    return (a, b) if way == 0 else (b, a)


def _window_max(heights: npt.NDArray[np.float32], a: int, b: int) -> npt.NDArray[np.float32]:
    """The highest point under an a x b box, for each place of its first corner."""
    high = cv2.dilate(heights, np.ones((a, b), np.uint8), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    made: npt.NDArray[np.float32] = np.asarray(high)[: heights.shape[0] - a + 1, : heights.shape[1] - b + 1]
    return made


def laid(content: Unit, spot: tuple[float, float, float], quarter: int) -> tuple[Placed, ...]:
    """The unit's things where packing put it."""
    return tuple(all_placed(content.things, spot, rotation("z", 90) if quarter else None))


def _board(rng: Generator, x: float, y: float, wall: float) -> Mesh:
    """A corrugated sheet in the x-y plane from z = 0 to `wall`: the flutes' slope thickens it, as it does."""
    wave = draw(rng, (6.5, 8.5))
    count = max(int(x / wave * 5), 8)
    u, v = np.meshgrid(np.linspace(-x / 2, x / 2, count), np.array([-y / 2, y / 2]), indexing="ij")
    steep = np.sqrt(1 + (np.pi * wall / wave * np.cos(2 * np.pi * u / wave)) ** 2)
    half = wall / 2 * (0.55 + 0.45 * steep / steep.mean())
    return height_slab(u, v, wall / 2 - half, wall / 2 + half)


def carton_shell(rng: Generator, room: Size) -> Thing:
    """A closed carton around a room that stands on z = 0: fluted walls, flaps doubled at both ends, tape."""
    x, y, z = room
    wall = draw(rng, (3.0, 5.5))
    fill = WALL_AREAL * draw(rng, (0.8, 1.3)) / (BOARD_DENSITY * wall / 10)
    ends = [
        moved(turned(_board(rng, z, y, wall), "y", 90), s * (x / 2 + wall / 2) - wall / 2, 0, z / 2)
        for s in (-1, 1)
    ]
    sides = [
        moved(turned(_board(rng, x, z, wall), "x", 90), 0, s * (y / 2 + wall / 2) + wall / 2, z / 2)
        for s in (-1, 1)
    ]
    gap = draw(rng, (0, 3))
    flaps = []
    reach = min(0.5 * y, 0.5 * x - 2)
    for level, inner in ((-wall, -2 * wall), (z, z + wall)):
        outer = [
            moved(
                _board(rng, x + 2 * wall, y / 2 - gap / 2 + wall, wall),
                0,
                s * (y / 4 + wall / 2 + gap / 4),
                inner,
            )
            for s in (-1, 1)
        ]
        short = [moved(_board(rng, reach, y, wall), s * (x / 2 - reach / 2), 0, level) for s in (-1, 1)]
        flaps += [*outer, *short]
    wide = draw(rng, (45, 70))
    strips = [moved(box(x + 2 * wall, wide, 0.08), 0, 0, at) for at in (-2 * wall - 0.1, z + 2 * wall + 0.1)]
    strips += [
        moved(box(0.08, wide, 60), s * (x / 2 + wall + 0.1), 0, at)
        for s in (-1, 1)
        for at in (30 - wall, z - 30 + wall)
    ]
    parts = (Part(merge([*ends, *sides, *flaps]), "cardboard", fill), Part(merge(strips), "polypropylene"))
    return Thing("carton", "corrugated", parts)


def _paper(rng: Generator, size: Size) -> Part:
    lump = crumpled(rng, (size[0] / 2, size[1] / 2, size[2] / 2), 0.25, 16)
    return Part(lump, "paper", draw(rng, (0.02, 0.05)))


def _pillow(rng: Generator, size: Size) -> Part:
    ball = scaled(sphere(1.0, 14), size[0] / 2, size[1] / 2, size[2] / 2)
    skin = merge([ball, inside_out(scaled(ball, 0.99, 0.99, 0.985))])
    return Part(skin, "polyethylene", draw(rng, (0.15, 0.4)))


def _foam(rng: Generator, size: Size) -> Part:
    if rng.random() < 0.5:
        return Part(box(*size), "eps", draw(rng, (0.8, 1.4)))
    pile = cloth_pile(rng, size, 2, 30, 0.8, 16)
    return Part(moved(pile, z=-size[2] / 2), "polyurethane", 0.025)


def void_fill(rng: Generator, room: Size, packed: Packed) -> list[Placed]:
    """Paper, air pillows or foam of one kind on top of what is packed and beside it, up to the lid."""
    maker = pick(rng, (_paper, _pillow, _foam))
    heights = packed.heights.copy()
    rows, columns = heights.shape
    made: list[Placed] = []
    for _ in range(int(rng.integers(4, 14))):
        a, b = int(rng.integers(5, 13)), int(rng.integers(5, 13))
        if a > rows or b > columns:
            continue
        floor = _window_max(heights, a, b)
        i, j = divmod(int(np.argmin(floor + rng.uniform(0, 6, floor.shape))), floor.shape[1])
        level = float(floor[i, j])
        high = min(room[2] - level, draw(rng, (40, 90)))
        if high < 12:
            break
        part = maker(rng, (a * CELL * 0.95, b * CELL * 0.95, high * 0.95))
        x, y = (i + a / 2 - rows / 2) * CELL, (j + b / 2 - columns / 2) * CELL
        low, top = part.mesh.vertices[:, 2].min(), part.mesh.vertices[:, 2].max()
        squeeze = min(1.0, 0.95 * high / float(top - low))
        mesh = scaled(part.mesh, 1, 1, squeeze)
        heights[i : i + a, j : j + b] = level + high
        thing = Thing(
            "void_fill",
            maker.__name__.strip("_"),
            (part._replace(mesh=moved(mesh, x, y, level - float(low) * squeeze)),),
        )
        made.append(Placed(thing, "fill"))
    return made

"""Circuit boards, and what devices around them have in common. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle
from nii_edge.simulate.shapes import (
    box,
    cylinder,
    merge,
    moved,
    repeated,
    rounded_box,
    shell_box,
    stretched,
    torus,
    tube,
)
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Mesh, Part

_UNIT = box(1, 1, 1)


def boxes(centres: Floats, sizes: Floats) -> Mesh:
    """Many boxes at once: (n, 3) middles and (n, 3) sizes."""
    return stretched(_UNIT, centres, sizes)


def _spread(rng: Generator, count: int, x: float, y: float, low: float, high: float) -> tuple[Floats, Floats]:
    """Places on a board and sizes in the plane, keyed to a 2.5 mm grid."""
    spots = np.round(rng.uniform(-0.46, 0.46, (count, 2)) * [x, y] / 2.5) * 2.5
    return spots, rng.uniform(low, high, (count, 2))


def board(rng: Generator, x: float, y: float, dense: float = 1.0) -> list[Part]:
    """A populated circuit board about the origin, parts on top: chips, cans, coils, connectors, pins.

    `dense`: how crowded, 1 for a usual board.
    """
    area = dense * x * y / 1000
    parts = [
        Part(box(x, y, 1.5), "fr4"),
        Part(box(0.96 * x, 0.94 * y, 0.14), "copper", draw(rng, (0.4, 1.0))),
    ]
    many = max(int(9 * area), 6)
    spots, sizes = _spread(rng, many, x, y, 1.0, 3.2)
    small = boxes(np.c_[spots, np.full(many, 1.2)], np.c_[sizes, rng.uniform(0.6, 1.2, many)])
    chips = max(int(0.6 * area), 2)
    spots, sizes = _spread(rng, chips, 0.9 * x, 0.9 * y, 4, 16)
    cases = boxes(np.c_[spots, np.full(chips, 2.0)], np.c_[sizes, np.full(chips, 2.2)])
    leads = boxes(np.c_[spots, np.full(chips, 1.2)], np.c_[sizes + 3, np.full(chips, 0.3)])
    dies = boxes(np.c_[spots, np.full(chips, 2.0)], np.c_[sizes * 0.4, np.full(chips, 0.5)])
    parts += [
        Part(small, "ceramic"),
        Part(cases, "abs"),
        Part(merge([leads]), "copper"),
        Part(dies, "silicon"),
    ]
    cans = max(int(0.22 * area), 1)
    metal = []
    for _ in range(min(cans, 14)):
        r, h = draw(rng, (2.5, 7)), draw(rng, (6, 16))
        metal.append(
            moved(tube(r, 0.55 * r, h, 12), draw(rng, (-0.45, 0.45)) * x, draw(rng, (-0.45, 0.45)) * y, 1)
        )
    parts.append(Part(merge(metal), "aluminium"))
    pins = max(int(6 * area), 8)
    rows = np.c_[np.round(rng.uniform(-0.47, 0.47, (pins, 2)) * [x, y] / 2.54) * 2.54, np.zeros(pins)]
    parts.append(Part(repeated(cylinder(0.7, 3.4, 6), rows - [0, 0, 1.7]), "solder"))
    if rng.random() < 0.7:
        shells = [
            moved(
                shell_box(draw(rng, (10, 18)), draw(rng, (8, 15)), draw(rng, (4, 12)), 0.4),
                x / 2 - 6,
                draw(rng, (-0.4, 0.4)) * y,
                5,
            )
            for _ in range(int(rng.integers(1, 5)))
        ]
        parts.append(Part(merge(shells), "steel"))
    if rng.random() < 0.5:
        r = draw(rng, (5, 11))
        at = draw(rng, (-0.35, 0.35)) * x, draw(rng, (-0.35, 0.35)) * y, r * 0.5
        parts.append(Part(moved(torus(r, 0.35 * r, 20, 8), *at), "copper", 0.6))
    if rng.random() < 0.4 and min(x, y) > 50:
        fins = boxes(np.array([(0, k * 4.0 - 14, 9.0) for k in range(8)]), np.tile([32.0, 1.2, 14], (8, 1)))
        spot = draw(rng, (-0.25, 0.25)) * x, draw(rng, (-0.25, 0.25)) * y
        parts.append(Part(merge([moved(fins, *spot, 0), moved(box(32, 32, 2), *spot, 2)]), "aluminium"))
    return parts


def shell(x: float, y: float, z: float, wall: float, radius: float, material: str) -> list[Part]:
    """A rounded hollow case about the origin."""
    inner = rounded_box(x - 2 * wall, y - 2 * wall, z - 2 * wall, max(radius - wall, 0.5), 3)
    return [Part(rounded_box(x, y, z, radius, 3), material), Part(inner, material, -1.0)]


def screws(x: float, y: float, z: float) -> Part:
    """One in each corner."""
    spots = [(i * (x / 2 - 6), j * (y / 2 - 6), -z / 2) for i in (-1, 1) for j in (-1, 1)]
    return Part(repeated(cylinder(1.4, 0.7 * z, 8), spots), "steel")


def lithium_slab(x: float, y: float, z: float) -> list[Part]:
    """A pouch cell inside a device."""
    return [
        Part(rounded_box(x, y, z, 0.4 * z, 2), "licoo2_cell"),
        Part(moved(box(4, 0.5 * y, 0.3), x / 2), "copper"),
    ]


def bare_board(rng: Generator) -> tuple[Part, ...]:
    """A circuit board by itself."""
    return middle(grouped(board(rng, draw(rng, (60, 260)), draw(rng, (40, 190)), draw(rng, (0.7, 1.4)))))


FAMILIES: dict[str, Maker] = {made.__name__: made for made in (bare_board,)}

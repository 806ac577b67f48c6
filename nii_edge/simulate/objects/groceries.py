"""Food in what it is sold in. It lies flat; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick
from nii_edge.simulate.shapes import (
    box,
    crumpled,
    cylinder,
    frustum,
    merge,
    moved,
    random_rotations,
    repeated,
    rounded_box,
    sheet,
    shell_box,
    turned,
)
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.bottles import vessel


def fruit(rng: Generator) -> tuple[Part, ...]:
    """Apples, oranges and their like, heaped."""
    r, count = draw(rng, (24, 44)), int(rng.integers(3, 10))
    spots = [
        (2.0 * r * (k % 3) + draw(rng, (-6, 6)), 1.9 * r * (k // 3), draw(rng, (0, r))) for k in range(count)
    ]
    return middle(
        grouped(
            [
                Part(
                    merge(
                        [
                            moved(crumpled(rng, (r, r * draw(rng, (0.9, 1.05)), r * 0.92), 0.03, 24), *s)
                            for s in spots
                        ]
                    ),
                    pick(rng, ("water", "food")),
                    0.85,
                )
            ]
        )
    )


def grains(rng: Generator) -> tuple[Part, ...]:
    """A bag of nuts, beans, sweets or pellets."""
    a, b, count = draw(rng, (5, 11)), draw(rng, (3.5, 6)), int(rng.integers(120, 320))
    x, y, z = draw(rng, (110, 190)), draw(rng, (80, 140)), draw(rng, (22, 50))
    one = crumpled(rng, (a, b, b), 0.06, 8)
    spots = rng.uniform(-0.5, 0.5, (count, 3)) * [x, y, z]
    spots[:, 2] *= 1 - 0.5 * (2 * np.abs(spots[:, 0]) / x) ** 3
    body = repeated(one, spots, random_rotations(rng, count))
    film = [moved(sheet(rng, (x + 26, y + 20), 0.08, 2, 30, 20), z=s * (z / 2 + 4)) for s in (-1, 1)]
    return middle(
        grouped([Part(body, pick(rng, ("food", "sugar", "starch"))), Part(merge(film), "polyethylene")])
    )


def powder_food(rng: Generator) -> tuple[Part, ...]:
    """A packet of flour, sugar, coffee or spice."""
    x, y, z = draw(rng, (110, 190)), draw(rng, (80, 120)), draw(rng, (30, 65))
    body = moved(rounded_box(x, y, z, 0.25 * z), 0)
    film = [moved(sheet(rng, (x + 16, y + 10), 0.12, 1.2, 25, 20), z=s * z / 2) for s in (-1, 1)]
    return middle(
        grouped(
            [
                Part(body, pick(rng, ("starch", "sugar", "food", "salt")), draw(rng, (0.4, 0.62))),
                Part(merge(film), pick(rng, ("polyethylene", "paper", "aluminium")), 0.6),
            ]
        )
    )


def biscuits(rng: Generator) -> tuple[Part, ...]:
    """Rounds or squares stacked on edge in a tray."""
    r, t, count = draw(rng, (24, 36)), draw(rng, (5, 9)), int(rng.integers(10, 26))
    one = turned(cylinder(r, 0.86 * t, 18), "y", 90)
    return middle(
        grouped(
            [
                Part(repeated(one, [(t * k, draw(rng, (-1, 1)), 0) for k in range(count)]), "food", 0.8),
                Part(
                    moved(shell_box(t * count + 6, 2.15 * r, 2.15 * r, 0.4), t * count / 2), "polypropylene"
                ),
            ]
        )
    )


def chocolate(rng: Generator) -> tuple[Part, ...]:
    """Bars with a grid of pieces, stacked."""
    piece = frustum(10, 8, 7, 4)
    grid = repeated(piece, [(15.0 * i, 15.0 * j, 4) for i in range(8) for j in range(4)])
    bar = merge([grid, moved(box(122, 62, 4), 52, 22, 2)])
    count = int(rng.integers(1, 8))
    foil = moved(box(126, 66, 0.05), 52, 22, 0)
    return middle(
        grouped(
            [
                Part(repeated(bar, [(0, 0, 13.0 * k) for k in range(count)]), "food", 1.6),
                Part(repeated(foil, [(0, 0, 13.0 * k - 0.5) for k in range(count)]), "aluminium"),
            ]
        )
    )


def tin_can(rng: Generator) -> tuple[Part, ...]:
    """Tinned food: steel with seams and beads."""
    r, h = draw(rng, (30, 52)), draw(rng, (38, 115))
    beads = np.concatenate(
        [
            [(r + 1.2, 0), (r + 1.2, 3), (r, 3.4)],
            [(r + 0.5 * (k % 2), h * (0.25 + 0.05 * k)) for k in range(10)],
            [(r, h - 3.4), (r + 1.2, h - 3), (r + 1.2, h)],
        ]
    )
    walls, inside = vessel(beads, 0.22, draw(rng, (0.88, 0.97)))
    made = [Part(walls, "steel"), Part(inside, pick(rng, ("food", "water", "oil")), 1.1)]
    return middle(grouped(Part(turned(p.mesh, "y", 90), p.material, p.fill) for p in made))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        fruit,
        grains,
        powder_food,
        biscuits,
        chocolate,
        tin_can,
    )
}

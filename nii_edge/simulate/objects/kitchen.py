"""Kitchenware, glass and ceramics. They lie flat; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick, slab
from nii_edge.simulate.shapes import (
    box,
    chain,
    crumpled,
    cylinder,
    frustum,
    merge,
    moved,
    polygon,
    rectangle,
    repeated,
    revolve,
    rounded_box,
    shell_box,
    spline,
    sweep,
    torus,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part


def _bowl(profile: list[tuple[float, float]], wall: float, segments: int = 28) -> Mesh:
    """An open vessel: `profile` is its outside, (radius, height), foot first."""
    outer = np.asarray(profile, np.float64)
    inner = outer[1:] - [wall, 0]
    inner[0, 1] += wall
    # one closed profile: up the outside, over the rim, down the inside
    ring = np.concatenate([[[0.5, 0]], outer, inner[::-1], [[0.5, outer[0, 1] + wall + 0.01]]])
    return revolve(ring, segments)


def cup(rng: Generator) -> tuple[Part, ...]:
    """A mug with its handle."""
    r, h = draw(rng, (34, 46)), draw(rng, (75, 115))
    body = _bowl([(0.8 * r, 0), (0.95 * r, 4), (r, 0.4 * h), (r, h)], draw(rng, (3, 5)))
    ear = sweep(
        spline(
            [(r - 2, 0, 0.75 * h), (r + 22, 0, 0.7 * h), (r + 22, 0, 0.3 * h), (r - 4, 0, 0.2 * h)],
            5,
            closed=False,
        ),
        5,
        8,
    )
    return middle(
        grouped([Part(merge([body, ear]), pick(rng, ("ceramic", "ceramic", "glass", "stainless")))])
    )


def plates(rng: Generator) -> tuple[Part, ...]:
    """One plate or a nested few."""
    r = draw(rng, (75, 135))
    one = _bowl([(0.55 * r, 0), (0.66 * r, 4), (0.74 * r, 0.12 * r), (r, 0.2 * r)], draw(rng, (3.5, 5.5)))
    return middle(
        grouped(
            [
                Part(
                    repeated(one, [(0, 0, 7.0 * k) for k in range(int(rng.integers(1, 7)))]),
                    pick(rng, ("ceramic", "ceramic", "glass", "abs")),
                )
            ]
        )
    )


def bowls(rng: Generator) -> tuple[Part, ...]:
    """Nested bowls."""
    r = draw(rng, (55, 105))
    one = _bowl([(0.4 * r, 0), (0.5 * r, 5), (0.85 * r, 0.35 * r), (r, 0.6 * r)], draw(rng, (2.5, 5)))
    return middle(
        grouped(
            [
                Part(
                    repeated(one, [(0, 0, 0.22 * r * k) for k in range(int(rng.integers(1, 5)))]),
                    pick(rng, ("ceramic", "stainless", "glass", "polypropylene")),
                )
            ]
        )
    )


def drinking_glass(rng: Generator) -> tuple[Part, ...]:
    """A tumbler or a stemmed glass on its side."""
    r, h = draw(rng, (28, 42)), draw(rng, (85, 150))
    if rng.random() < 0.5:
        body = _bowl([(0.8 * r, 0), (0.85 * r, 6), (r, h)], draw(rng, (2, 4)))
    else:
        cup_part = moved(
            _bowl([(0.2 * r, 0), (0.8 * r, 0.2 * h), (r, 0.35 * h), (0.8 * r, 0.6 * h)], 1.6), z=0.42 * h
        )
        body = merge([cup_part, cylinder(4, 0.43 * h, 12), frustum(0.85 * r, 4, 4, 24)])
    return middle(grouped([Part(turned(body, "y", 90), "glass")]))


def pan(rng: Generator) -> tuple[Part, ...]:
    """A frying pan or pot with handle and rivets."""
    r, h = draw(rng, (80, 145)), draw(rng, (38, 120))
    metal, wall = pick(rng, (("aluminium", 3.0), ("stainless", 1.2), ("steel", 3.5), ("aluminium", 2.2)))
    body = _bowl([(0.8 * r, 0), (0.9 * r, 3), (r, h)], wall)
    grip = moved(rounded_box(draw(rng, (90, 170)), 24, 15, 6), r + 70, 0, h - 12)
    return middle(
        grouped(
            [
                Part(body, metal),
                Part(grip, pick(rng, ("abs", "wood", "stainless"))),
                Part(moved(box(50, 18, 3), r + 14, 0, h - 14), "steel"),
            ]
        )
    )


def cutlery(rng: Generator) -> tuple[Part, ...]:
    """Forks and spoons in a loose bundle."""
    parts: list[Mesh] = []
    for _ in range(int(rng.integers(2, 9))):
        x = draw(rng, (150, 210))
        shank = polygon([(0, 4), (0.6 * x, 2.4), (0.6 * x, -2.4), (0, -4)])
        if rng.random() < 0.5:
            head = polygon(
                spline(
                    [
                        (0.58 * x, 3),
                        (0.7 * x, 12),
                        (0.82 * x, 12),
                        (0.82 * x, -12),
                        (0.7 * x, -12),
                        (0.58 * x, -3),
                    ],
                    3,
                )
            )
            tines = chain(*(rectangle(0.78 * x, y, x, y + 3) for y in (-11.5, -5.2, 2.0, 8.5)))
            outline = chain(shank, head, tines)
        else:
            outline = chain(
                shank,
                polygon(
                    spline(
                        [
                            (0.58 * x, 2),
                            (0.72 * x, 17),
                            (0.92 * x, 15),
                            (x, 0),
                            (0.92 * x, -15),
                            (0.72 * x, -17),
                            (0.58 * x, -2),
                        ],
                        4,
                    )
                ),
            )
        made = turned(
            moved(slab(outline, draw(rng, (1.6, 3.0)), 0.5), -x / 2),
            "z",
            draw(rng, (-14, 14)) + 180 * int(rng.integers(2)),
        )
        parts.append(moved(made, draw(rng, (-12, 12)), draw(rng, (-30, 30)), draw(rng, (0, 20))))
    return middle(grouped([Part(merge(parts), "stainless")]))


def lunch_box(rng: Generator) -> tuple[Part, ...]:
    """A lidded plastic box with something to eat."""
    x, y, z = draw(rng, (140, 220)), draw(rng, (100, 150)), draw(rng, (45, 80))
    lid = moved(box(x + 6, y + 6, 3), z=z / 2)
    food = [
        moved(crumpled(rng, (0.3 * x, 0.36 * y, 0.32 * z), 0.15), s * 0.2 * x, 0, -0.1 * z) for s in (-1, 1)
    ]
    return middle(
        grouped(
            [
                Part(merge([shell_box(x, y, z, 1.6), lid]), "polypropylene"),
                Part(merge(food), "food", draw(rng, (0.5, 1))),
            ]
        )
    )


def kettle(rng: Generator) -> tuple[Part, ...]:
    """Steel or plastic jug with a heating plate."""
    r, h = draw(rng, (62, 80)), draw(rng, (170, 220))
    body = _bowl([(r, 0), (r, 6), (0.95 * r, 0.4 * h), (0.7 * r, h)], 1.4)
    ear = sweep(
        spline(
            [(0.75 * r, 0, 0.92 * h), (1.6 * r, 0, 0.8 * h), (1.6 * r, 0, 0.25 * h), (r, 0, 0.14 * h)],
            6,
            closed=False,
        ),
        10,
        8,
    )
    parts = [
        Part(body, pick(rng, ("stainless", "glass", "polypropylene"))),
        Part(ear, "polypropylene"),
        Part(moved(cylinder(0.9 * r, 8, 24), z=6), "aluminium"),
        Part(moved(torus(0.6 * r, 4, 24, 8), z=4), "steel"),
    ]
    return middle(grouped(Part(turned(p.mesh, "y", 90), p.material, p.fill) for p in parts))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        cup,
        plates,
        bowls,
        drinking_glass,
        pan,
        cutlery,
        lunch_box,
        kettle,
    )
}

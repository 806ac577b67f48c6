"""Cosmetics and things of the bathroom. They lie flat; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick, pipe, rod, slab
from nii_edge.simulate.shapes import (
    box,
    chain,
    cylinder,
    loft,
    merge,
    moved,
    polygon,
    rectangle,
    repeated,
    rounded_box,
    scaled,
    shell_box,
    spline,
    torus,
    tube,
)
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.bottles import vessel


def cosmetic_jar(rng: Generator) -> tuple[Part, ...]:
    """A squat jar of cream with a thick wall and lid."""
    r, h = draw(rng, (22, 42)), draw(rng, (30, 60))
    shape = np.array([(0.95 * r, 0), (r, 2), (r, 0.7 * h), (0.9 * r, 0.74 * h), (0.9 * r, h)])
    walls, cream = vessel(shape, draw(rng, (2, 6)), draw(rng, (0.7, 0.98)))
    lid = moved(tube(r, 0.91 * r, 0.3 * h, 24), z=0.74 * h)
    return middle(
        grouped(
            [
                Part(walls, pick(rng, ("glass", "polypropylene"))),
                Part(cream, "cream"),
                Part(lid, pick(rng, ("aluminium", "polypropylene", "abs"))),
            ]
        )
    )


def tube_of_paste(rng: Generator) -> tuple[Part, ...]:
    """A squeezed tube, flat at one end."""
    x, r = draw(rng, (110, 190)), draw(rng, (15, 27))
    t, turn = np.linspace(0, 1, 12), np.linspace(0, 2 * np.pi, 18, endpoint=False)
    rings = np.empty((12, 18, 3))
    rings[..., 0] = (t * x)[:, None]
    rings[..., 1] = (r * np.interp(t, [0, 0.9, 1], [1.4, 1.0, 0.4]))[:, None] * np.cos(turn)
    rings[..., 2] = (r * np.interp(t, [0, 0.5, 0.9, 1], [0.06, 0.75, 1.0, 0.4]))[:, None] * np.sin(turn)
    body = loft(rings)
    cap = rod((x, 0, 0), (x + 20, 0, 0), 0.5 * r)
    skin = pick(rng, ("polyethylene", "aluminium"))
    core = loft(rings * [0.98, 0.96, 0.94] + [0.01 * x, 0, 0])
    return middle(
        grouped(
            [
                Part(body, skin),
                Part(core, skin, -1.0),
                Part(core, pick(rng, ("cream", "soap"))),
                Part(cap, "polypropylene"),
            ]
        )
    )


def lipsticks(rng: Generator) -> tuple[Part, ...]:
    """Slim metal and plastic sticks."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 7))):
        y = 22.0 * k
        parts += [
            Part(pipe((0, y, 0), (48, y, 0), 9, 7.6), "aluminium"),
            Part(pipe((40, y, 0), (76, y, 0), 9.6, 9), "abs"),
            Part(rod((20, y, 0), (60, y, 0), 5.6), "cream"),
        ]
    return middle(grouped(parts))


def make_up_box(rng: Generator) -> tuple[Part, ...]:
    """Pressed powders in metal pans behind a mirror."""
    x, y = draw(rng, (90, 180)), draw(rng, (60, 110))
    columns, rows = max(int(x / 30), 1), max(int(y / 30), 1)
    spots = [
        ((i + 0.5) * x / columns - x / 2, (j + 0.5) * y / rows - y / 2, 0)
        for i in range(columns)
        for j in range(rows)
    ]
    pans = repeated(tube(12, 11.6, 4, 18), spots)
    return middle(
        grouped(
            [
                Part(pans, "steel"),
                Part(repeated(cylinder(11.4, 3.4, 18), spots), "starch"),
                Part(shell_box(x + 8, y + 8, 14, 1.6), "abs"),
                Part(moved(box(x, y, 1.6), z=8), "glass"),
            ]
        )
    )


def brushes(rng: Generator) -> tuple[Part, ...]:
    """Tooth, hair or paint brushes and a comb."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 4))):
        x, y = draw(rng, (150, 230)), 30.0 * k
        parts.append(
            Part(
                moved(
                    slab(
                        polygon(spline([(0, 5), (0.6 * x, 4), (x, 8), (x, -8), (0.6 * x, -4), (0, -5)], 3)),
                        8,
                        1.5,
                    ),
                    y=y,
                ),
                pick(rng, ("polypropylene", "wood")),
            )
        )
        tufts = [(0.75 * x + 5.0 * i, y + j * 4.0, 3) for i in range(8) for j in (-1, 0, 1)]
        parts.append(Part(repeated(cylinder(1.2, 12, 6), tufts), pick(rng, ("nylon", "steel", "nylon")), 0.6))
    comb = chain(rectangle(0, 0, 160, 10), *(rectangle(4.0 * i, -18, 4.0 * i + 2.2, 1) for i in range(40)))
    return middle(grouped([*parts, Part(moved(slab(comb, 4), y=-40), "nylon")]))


def soap_bars(rng: Generator) -> tuple[Part, ...]:
    """Bars, side by side."""
    bar = rounded_box(draw(rng, (70, 95)), draw(rng, (48, 60)), draw(rng, (22, 32)), 9)
    return middle(
        grouped([Part(repeated(bar, [(0, 66.0 * k, 0) for k in range(int(rng.integers(1, 4)))]), "soap")])
    )


def glasses(rng: Generator) -> tuple[Part, ...]:
    """Spectacles in a hard case."""
    rims = [moved(scaled(torus(24, 1.4, 24, 6), 1, 0.8, 1), s * 31) for s in (-1, 1)]
    arms = [rod((s * 56, 0, 2), (-s * 50, -6, 8), 1.6) for s in (-1, 1)]
    lens = [moved(scaled(cylinder(23, 2, 24), 1, 0.8, 1), s * 31, 0, -1) for s in (-1, 1)]
    case = (
        [Part(rounded_box(158, 62, 42, 18), "abs"), Part(rounded_box(154, 58, 38, 16), "abs", -1.0)]
        if rng.random() < 0.6
        else []
    )
    hinge = repeated(cylinder(1.4, 5, 8), [(-56, 0, 0), (56, 0, 0)])
    return middle(
        grouped(
            [
                Part(merge([*rims, *arms]), pick(rng, ("steel", "nylon", "zinc"))),
                Part(merge(lens), pick(rng, ("glass", "abs"))),
                Part(hinge, "steel"),
                *case,
            ]
        )
    )


def candle(rng: Generator) -> tuple[Part, ...]:
    """Wax in glass or bare."""
    r, h = draw(rng, (20, 45)), draw(rng, (50, 130))
    walls, wax = vessel(np.array([(r, 0), (r, 3), (r, 0.9 * h), (r, h)]), 2.5, 0.8)
    return middle(grouped([Part(walls, pick(rng, ("glass", "aluminium"))), Part(wax, "oil")]))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        cosmetic_jar,
        tube_of_paste,
        lipsticks,
        make_up_box,
        brushes,
        soap_bars,
        glasses,
        candle,
    )
}

"""Hexagon keys and pocket wrenches. They lie along x, flat across z."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    draw,
    grouped,
    middle,
    pick,
    pin,
    rod,
    slab,
)
from nii_edge.simulate.shapes import (
    chain,
    circle,
    merge,
    moved,
    rectangle,
    regular,
    rounded,
    spline,
    sweep,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part


def allen_keys(rng: Generator) -> tuple[Part, ...]:
    """Bent hexagon keys from large to small, fanned or in a plastic holder."""
    count, fan = int(rng.integers(4, 10)), draw(rng, (0, 9))
    meshes: list[Mesh] = []
    for k in range(count):
        size = 11 * (1 - 0.8 * k / count) + 1
        long = 30 + 13 * size * draw(rng, (0.9, 1.1))
        path = spline([(0, 0.32 * long, 0), (0, 8, 0), (2, 2, 0), (8, 0, 0), (long, 0, 0)], 5, closed=False)
        meshes.append(moved(turned(sweep(path, size / 2, 6), "z", k * fan), 0, -k * (11 - fan * 0.8), 0))
    parts = [Part(merge(meshes), "steel")]
    if fan < 4:
        parts.append(
            Part(
                moved(slab(rounded(rectangle(14, -11 * count, 34, 12), 3), 12), 0),
                pick(rng, ("abs", "polypropylene")),
            )
        )
    return middle(grouped(parts))


def folding_keys(rng: Generator) -> tuple[Part, ...]:
    """A pocket-knife-like set of hexagon keys."""
    long, count = draw(rng, (85, 115)), int(rng.integers(5, 9))
    keys = [moved(turned(rod((0, 0, 0), (0.85 * long, 0, 0), 1 + 0.45 * k), "z", 180 - pick(rng, (0, 0, 0, int(rng.integers(30, 180))))), 4, 0, (k - count / 2) * 5.4)
            for k in range(count)]  # fmt: skip
    body = rounded(rectangle(-long, -11, 8, 11), 9)
    wide = 5.4 * count
    plates = [slab(body, 4, 0.8, side * (wide / 2 + 3)) for side in (-1, 1)]
    return middle(
        grouped(
            [
                Part(merge([*keys, pin(0, 0, 3, wide + 8), pin(-long + 8, 0, 3, wide + 8)]), "steel"),
                Part(merge(plates), pick(rng, ("aluminium", "abs", "steel"))),
            ]
        )
    )


def dumbbell(rng: Generator) -> tuple[Part, ...]:
    """A bicycle multi-spanner: a ball of sockets at either end."""
    long = draw(rng, (80, 120))
    meshes: list[Mesh] = [slab(rectangle(-long / 2, -7, long / 2, 7), 12, 2)]
    for side in (-1, 1):
        hub = circle(side * long / 2, 0, 20, 8)
        holes = chain(
            *(
                regular(side * long / 2 + 11 * np.cos(a), 11 * np.sin(a), draw(rng, (4, 7)), 6)
                for a in np.radians([45, 135, 225, 315])
            )
        )
        meshes.append(slab(hub.difference(holes), draw(rng, (16, 26)), 2))
    return middle(grouped([Part(merge(meshes), pick(rng, ("steel", "zinc")))]))


def flat_multi(rng: Generator) -> tuple[Part, ...]:
    """A stamped plate of openings: bicycle or ski tool."""
    long, wide = draw(rng, (110, 170)), draw(rng, (30, 46))
    plate = rounded(rectangle(-long / 2, -wide / 2, long / 2, wide / 2), 0.3 * wide)
    holes = [
        regular(x, 0, draw(rng, (0.16, 0.32)) * wide, 6, draw(rng, (0, 60)))
        for x in np.linspace(-0.36, 0.3, int(rng.integers(3, 6))) * long
    ]
    slot = rectangle(0.4 * long, -0.2 * wide, long, 0.2 * wide)
    return middle(
        grouped(
            [
                Part(
                    slab(plate.difference(chain(*holes, slot)), draw(rng, (2.5, 5)), 0.4),
                    pick(rng, ("steel", "stainless")),
                )
            ]
        )
    )


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        allen_keys,
        folding_keys,
        dumbbell,
        flat_multi,
    )
}

"""Wrenches that turn a socket. They lie along x, flat across z."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    draw,
    grouped,
    middle,
    pick,
    pipe,
    rod,
    slab,
)
from nii_edge.simulate.shapes import (
    chain,
    circle,
    directed,
    extrude,
    merge,
    moved,
    polygon,
    rectangle,
    regular,
    rounded,
    spline,
    stroke,
    sweep,
    tube,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part
from nii_edge.simulate.threats.spanners import open_head, shifted


def _handle_rod(rng: Generator, start: float, long: float, radius: float) -> list[Part]:
    """A shank with a knurled, bare or cushioned grip."""
    shank = rod((start, 0, 0), (start - long, 0, 0), radius * 0.62)
    at = start - 0.45 * long
    style = pick(rng, ("knurl", "cushion", "bare"))
    if style == "cushion":
        return [
            Part(shank, "steel"),
            Part(
                pipe((at, 0, 0), (start - long, 0, 0), radius * 1.5, radius * 0.62),
                pick(rng, ("pvc", "rubber", "polypropylene")),
            ),
        ]
    if style == "knurl":
        rings = [
            pipe(
                (at - k * long * 0.06, 0, 0),
                (at - k * long * 0.06 - long * 0.035, 0, 0),
                radius,
                radius * 0.62,
                14,
            )
            for k in range(9)
        ]
        return [Part(merge([shank, *rings]), "steel")]
    return [
        Part(merge([shank, pipe((at, 0, 0), (start - long, 0, 0), radius * 0.9, radius * 0.62)]), "steel")
    ]


def _socket(x: float, y: float, size: float, tall: float, rng: Generator) -> Mesh:
    """A socket standing across the plane: round outside, hexagon within, square drive below."""
    outer = circle(x, y, 0.72 * size, 8)
    drive = rectangle(x - 0.25 * size, y - 0.25 * size, x + 0.25 * size, y + 0.25 * size)
    nut = shifted(regular(0, 0, 0.56 * size, 6, draw(rng, (0, 60))), x, y)
    half = tall / 2
    return merge([extrude(outer.difference(nut), 0, half), extrude(outer.difference(drive), -half, 0)])


def ratchet(rng: Generator) -> tuple[Part, ...]:
    """A ratchet with gear, lever, square drive and often a socket on it."""
    long, wide = draw(rng, (120, 270)), draw(rng, (14, 20))
    body = chain(
        circle(0, 0, wide, 8),
        polygon([(-6, wide), (-2.6 * wide, 0.36 * wide), (-2.6 * wide, -0.36 * wide), (-6, -wide)]),
    )
    gear = circle(0, 0, 0.62 * wide, 8)
    meshes = [
        slab(body.difference(gear.buffer(1)), 0.9 * wide, 1.5),
        slab(gear, 0.7 * wide),
        moved(slab(rectangle(-5, -5, 5, 5), 11), 0, 0, 0.8 * wide),
    ]
    meshes.append(slab(stroke([(0, 0), (-0.9 * wide, draw(rng, (-8, 8)))], 5), 3, 0, -0.5 * wide))
    parts = [Part(merge(meshes), "steel"), *_handle_rod(rng, -2.4 * wide, long, 0.5 * wide)]
    if rng.random() < 0.6:
        parts.append(Part(moved(_socket(0, 0, draw(rng, (10, 24)), 28, rng), 0, 0, wide), "steel"))
    return middle(grouped(parts))


def flex_ratchet(rng: Generator) -> tuple[Part, ...]:
    """A ratchet whose head tips on a joint."""
    wide = draw(rng, (12, 17))
    head = turned(
        merge(
            [
                slab(circle(0, 0, wide, 8).difference(circle(0, 0, 5)), wide, 1.5),
                slab(stroke([(-wide, 0), (-1.9 * wide, 0)], 9), 8),
            ]
        ),
        "y",
        draw(rng, (-70, 70)),
    )
    fork = slab(
        chain(
            stroke([(-1.4 * wide, 9), (-3 * wide, 7)], 5),
            stroke([(-1.4 * wide, -9), (-3 * wide, -7)], 5),
            circle(-3 * wide, 0, 9),
        ),
        11,
        1,
    )
    return middle(
        grouped(
            [
                Part(merge([head, fork, rod((-1.7 * wide, -11, 0), (-1.7 * wide, 11, 0), 3)]), "steel"),
                *_handle_rod(rng, -3 * wide, draw(rng, (150, 280)), 8),
            ]
        )
    )


def torque(rng: Generator) -> tuple[Part, ...]:
    """A long tube with spring and scale, small ratchet head, knurled adjusting grip."""
    long, r = draw(rng, (270, 430)), draw(rng, (9, 13))
    head = slab(chain(circle(0, 0, 18, 8), rectangle(-40, -8, 0, 8)).difference(circle(0, 0, 6)), 16, 2)
    tubes = [pipe((-36, 0, 0), (-long, 0, 0), r, r - 2), pipe((-0.7 * long, 0, 0), (-long, 0, 0), r + 3, r)]
    from_x = -0.3 * long
    inner = [rod((-40, 0, 0), (from_x, 0, 0), 5), moved(_spring_x(from_x, -0.66 * long, r - 4), 0)]
    return middle(
        grouped([Part(merge([head, *tubes, *inner, rod((-long - 12, 0, 0), (-long, 0, 0), r)]), "steel")])
    )


def _spring_x(start: float, end: float, radius: float) -> Mesh:
    t = np.linspace(0, 1, 140)
    turns = 2 * np.pi * 15 * t
    return sweep(
        np.stack([start + (end - start) * t, radius * np.cos(turns), radius * np.sin(turns)], 1), 1.4, 5
    )


def breaker_bar(rng: Generator) -> tuple[Part, ...]:
    """A hinged square drive on a long bar, with a socket."""
    long = draw(rng, (230, 380))
    fork = slab(rounded(rectangle(-26, -11, 10, 11), 6), 17, 2)
    drive = moved(slab(rectangle(-6, -6, 6, 6), 26), 0, 0, 8)
    socket = moved(_socket(0, 0, draw(rng, (15, 28)), 34, rng), 0, 0, 26)
    return middle(grouped([Part(merge([fork, drive, socket]), "steel"), *_handle_rod(rng, -22, long, 8.5)]))


def l_socket(rng: Generator) -> tuple[Part, ...]:
    """A bent bar with a socket at one or both ends."""
    long, short, size = draw(rng, (140, 280)), draw(rng, (40, 75)), draw(rng, (10, 24))
    bar = sweep(
        spline([(-long, 0, 0), (-30, 0, 0), (-8, 2, 0), (0, 12, 0), (0, short, 0)], 6, closed=False),
        0.36 * size,
        10,
    )
    ends = [pipe((0, short, 0), (0, short + 1.5 * size, 0), 0.75 * size, 0.5 * size)]
    if rng.random() < 0.6:
        ends.append(pipe((-long, 0, 0), (-long - 1.5 * size, 0, 0), 0.75 * size, 0.5 * size))
    return middle(grouped([Part(merge([bar, *ends]), "steel")]))


def cross_lug(rng: Generator) -> tuple[Part, ...]:
    """A four-way wheel wrench."""
    reach, r = draw(rng, (110, 190)), draw(rng, (6, 9))
    meshes: list[Mesh] = []
    for k in range(4):
        c, s = np.cos(np.pi / 2 * k), np.sin(np.pi / 2 * k)
        size = draw(rng, (9, 14))
        meshes += [
            rod((r * c, r * s, 0), (reach * c, reach * s, 0), r),
            pipe((reach * c, reach * s, 0), ((reach + 30) * c, (reach + 30) * s, 0), size + 4, size),
        ]
    return middle(grouped([Part(merge([*meshes, slab(circle(0, 0, 1.7 * r), 2 * r, 2)]), "steel")]))


def t_handle(rng: Generator) -> tuple[Part, ...]:
    """A T-bar with a socket or hexagon end."""
    long, wide = draw(rng, (130, 280)), draw(rng, (70, 130))
    size = draw(rng, (5, 14))
    meshes = [
        rod((0, 0, 0), (long, 0, 0), 0.5 * size),
        pipe((long, 0, 0), (long + 24, 0, 0), size, 0.66 * size),
    ]
    cross = rod((0, -wide / 2, 0), (0, wide / 2, 0), 5)
    if rng.random() < 0.5:
        return middle(
            grouped(
                [
                    Part(merge(meshes), "steel"),
                    Part(rod((0, -wide / 2, 0), (0, wide / 2, 0), 11), pick(rng, ("abs", "rubber", "nylon"))),
                ]
            )
        )
    return middle(grouped([Part(merge([*meshes, cross]), "steel")]))


def box_tube(rng: Generator) -> tuple[Part, ...]:
    """A tubular box spanner with a bar through its cross holes."""
    long, size = draw(rng, (100, 180)), draw(rng, (10, 28))
    barrel = directed(tube(0.62 * size, 0.62 * size - 2, long, 24), (-long / 2, 0, 0), (long / 2, 0, 0))
    ends = [
        directed(
            extrude(regular(0, 0, 0.68 * size, 6).difference(regular(0, 0, 0.56 * size, 6)), 0, 22),
            (x, 0, 0),
            (x + 1, 0, 0),
        )
        for x in (-long / 2 - 21, long / 2 - 1)
    ]
    bar = rod((0.3 * long, -60, 0), (0.3 * long, 60, 0), 0.2 * size)
    return middle(grouped([Part(merge([barrel, *ends, bar]), "steel")]))


def crowfoot_set(rng: Generator) -> tuple[Part, ...]:
    """Open heads without handles, on a rail."""
    count = int(rng.integers(4, 8))
    meshes: list[Mesh] = [slab(rectangle(-12, -16, 34 * count - 20, -8), 5)]
    for k in range(count):
        size = 10 + 2.2 * k
        base = chain(
            open_head(size, 90), rectangle(-0.5 * size, -1.4 * size, 0.5 * size, -0.7 * size)
        ).difference(rectangle(-5, -1.3 * size, 5, -1.3 * size + 10))
        meshes.append(moved(slab(base, 9, 0.8), 34 * k, 8 + size))
    return middle(grouped([Part(merge(meshes), "steel")]))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        ratchet,
        flex_ratchet,
        torque,
        breaker_bar,
        l_socket,
        t_handle,
        cross_lug,
        box_tube,
        crowfoot_set,
    )
}

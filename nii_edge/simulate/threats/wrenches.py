"""Wrenches that are no flat spanners, by family. They lie along x, flat across z."""

from __future__ import annotations

import numpy as np
import shapely

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    draw,
    grouped,
    inset,
    middle,
    pick,
    pin,
    pipe,
    rod,
    slab,
)
from nii_edge.simulate.shapes import (
    capsule_outline,
    chain,
    circle,
    cylinder,
    directed,
    extrude,
    merge,
    moved,
    polygon,
    rectangle,
    regular,
    rounded,
    sector,
    spline,
    stroke,
    sweep,
    tube,
    turned,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Mesh, Part
from nii_edge.simulate.threats.spanners import STEEL, open_head, shifted, turned_outline


def _hanging_shank(long: float, wide: float, hole: float) -> Outline:
    shank = polygon(
        [
            (0, wide / 2),
            (-0.5 * long, 0.42 * wide),
            (-long, 0.6 * wide),
            (-long, -0.6 * wide),
            (-0.5 * long, -0.42 * wide),
            (0, -wide / 2),
        ]
    )
    return chain(shank, circle(-long, 0, 0.6 * wide)).difference(circle(-long, 0, hole))


def adjustable(rng: Generator) -> tuple[Part, ...]:
    """Fixed jaw, sliding jaw with rack, knurled screw across the head, hole in the end."""
    long = draw(rng, (130, 310))
    u = long / 200
    gap, wide, thick = draw(rng, (0, 24)) * u, draw(rng, (19, 25)) * u, draw(rng, (11, 14)) * u
    head = (
        polygon(
            spline(
                [
                    (-8, 14),
                    (18, 24),
                    (40, 22),
                    (62, 16),
                    (63, 3),
                    (36, 0),
                    (30, -12),
                    (34, -22),
                    (18, -25),
                    (-8, -14),
                ],
                4,
            )
        )
        if long
        else None
    )
    fixed = shapely.affinity.scale(head, u, u, origin=(0, 0))
    window = rectangle(12 * u, -18 * u, 26 * u, 0)
    jaw = polygon([(31, -2), (62, -2), (60, -14), (42, -24), (31, -24)])
    sliding = shifted(shapely.affinity.scale(jaw, u, u, origin=(0, 0)), 0, -gap)
    rack = rectangle(28 * u, -24 * u - 0.6 * gap, 36 * u, 2 * u)
    screw = directed(cylinder(6.5 * u, 13 * u, 16), (19 * u, -15.5 * u, 0), (19 * u, -2.5 * u, 0))
    threads = [
        directed(tube(7.3 * u, 6 * u, 1.2 * u, 16), (19 * u, y * u, 0), (19 * u, y * u + 1, 0))
        for y in (-14, -11, -8, -5)
    ]
    shank = turned_outline(_hanging_shank(long - 50 * u, wide, 5 * u), draw(rng, (-4, 4)))
    body = chain(fixed, shank).difference(window).difference(chain(sliding, rack))
    panel = shank.buffer(-0.27 * wide)
    solid = body.difference(panel)
    meshes = [slab(solid, thick, 1.0), slab(sliding, thick, 1.0), slab(rack, 0.6 * thick), screw, *threads]
    if not panel.is_empty:
        meshes.append(slab(panel.intersection(body), 0.5 * thick))
    parts = [Part(merge(meshes), pick(rng, STEEL))]
    if rng.random() < 0.3:
        sleeve = shank.intersection(rectangle(-long, -40, -0.35 * long, 40)).buffer(2.5)
        parts.append(Part(merge([slab(sleeve, 4, 1, side * (thick / 2 + 2)) for side in (-1, 1)]), "pvc"))
    return middle(grouped(parts))


def pipe_wrench(rng: Generator) -> tuple[Part, ...]:
    """Heavy hook jaw through a yoke with a knurled nut, toothed heel jaw, I-section handle."""
    long = draw(rng, (200, 420))
    u, gap = long / 300, draw(rng, (6, 40)) * long / 300
    hook = polygon([(0, 6), (100, 6), (100 + 14, -6), (112, -34), (96, -34), (96, -14), (60, -10), (0, -10)])
    hook = shifted(shapely.affinity.scale(turned_outline(hook, 0), u, u, origin=(0, 0)), gap - 10 * u, 18 * u)
    heel = shapely.affinity.scale(polygon([(20, -40), (72, -34), (80, -18), (20, -12)]), u, u, origin=(0, 0))
    yoke = shapely.affinity.scale(
        polygon([(14, 32), (50, 32), (60, -20), (14, -14)]).difference(rectangle(14, 8, 70, 26)),
        u,
        u,
        origin=(0, 0),
    )
    nut = directed(tube(15 * u, 9 * u, 14 * u, 20), (-2 * u, 16 * u, 0), (20 * u, 16 * u, 0))
    handle = shapely.affinity.scale(
        polygon([(20, -12), (30, -40), (-20, -36), (-200, -26), (-206, -10), (-20, -12)]), u, u, origin=(0, 0)
    )
    panel = handle.buffer(-5 * u)
    meshes = [
        slab(hook, 15 * u, 1),
        slab(heel, 18 * u, 1),
        slab(yoke, 24 * u),
        nut,
        slab(handle.difference(panel), 20 * u, 1),
    ]
    if not panel.is_empty:
        meshes.append(slab(panel, 7 * u))
    return middle(
        grouped([Part(merge(meshes), pick(rng, ("steel", "steel", "aluminium")) if long > 320 else "steel")])
    )


def monkey(rng: Generator) -> tuple[Part, ...]:
    """An old wrench with jaws at right angles to a screw-adjusted bar and a wooden grip."""
    long, gap = draw(rng, (180, 300)), draw(rng, (0, 35))
    bar = rectangle(-0.5 * long, -7, 40 + gap, 7)
    upper, lower = (
        rectangle(40 + gap, -14, 60 + gap, 40),
        polygon([(38, -14), (38, 40), (20, 40), (8, 14), (8, -14)]),
    )
    screw = rod((-30, -15, 0), (38, -15, 0), 5)
    steel = merge(
        [slab(bar.difference(chain(upper, lower)), 12), slab(upper, 18, 1.5), slab(lower, 18, 1.5), screw]
    )
    grip = rod((-long, 0, 0), (-40, 0, 0), draw(rng, (12, 15)))
    return middle(
        grouped(
            [
                Part(steel, "steel"),
                Part(grip, "wood"),
                *inset(rod((-0.98 * long, 0, 0), (-0.5 * long, 0, 0), 5), "steel", "wood"),
            ]
        )
    )


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


def locking_grip(rng: Generator) -> tuple[Part, ...]:
    """Locking wrench: curved jaws, toggle link, spring and adjusting screw in the handle."""
    long = draw(rng, (130, 250))
    u, gap = long / 200, draw(rng, (2, 20))
    upper = shapely.affinity.scale(
        polygon(spline([(62, 4), (60, 18), (20, 20), (-130, 12), (-136, 2), (-20, 2), (20, 2)], 4)),
        u,
        u,
        origin=(0, 0),
    )
    lower = shapely.affinity.scale(
        polygon(spline([(62, -2), (54, -16), (22, -20), (10, -8), (22, -2)], 4)), u, u, origin=(0, 0)
    )
    lever = shapely.affinity.scale(
        polygon(spline([(24, -16), (-20, -24), (-110, -38), (-112, -30), (-20, -14), (16, -4)], 4)),
        u,
        u,
        origin=(0, 0),
    )
    meshes = [
        slab(upper, 14 * u, 1),
        turned(slab(lower, 13 * u, 1), "z", -gap / 3),
        slab(lever, 12 * u, 1),
        pin(18 * u, -8 * u, 4 * u, 18 * u),
    ]
    meshes += [
        rod((-136 * u, 7 * u, 0), (-168 * u, 7 * u, 0), 5 * u),
        slab(stroke([(-70 * u, 4 * u), (-30 * u, -20 * u)], 6 * u), 6 * u),
    ]
    return middle(grouped([Part(merge(meshes), "steel")]))


def strap(rng: Generator) -> tuple[Part, ...]:
    """A handle with a loop of band or chain for oil filters and pipes."""
    radius, long = draw(rng, (35, 60)), draw(rng, (120, 220))
    if rng.random() < 0.5:
        band = circle(radius, 0, radius, 10).difference(circle(radius, 0, radius - 1.6, 10))
        loop = Part(slab(band, 24), pick(rng, ("steel", "rubber")))
    else:
        angles = np.linspace(0.2, 2 * np.pi - 0.2, int(radius / 2.6))
        links = [
            slab(
                capsule_outline(
                    radius * (1 - np.cos(a)),
                    radius * np.sin(a),
                    radius * (1 - np.cos(a + 0.14)),
                    radius * np.sin(a + 0.14),
                    8,
                ),
                9,
            )
            for a in angles
        ]
        loop = Part(merge(links), "steel")
    return middle(grouped([loop, Part(slab(_hanging_shank(long, 20, 5), 9, 1.2), "steel")]))


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


def basin(rng: Generator) -> tuple[Part, ...]:
    """A long rod with a swinging jaw across one end and a sliding bar at the other."""
    long, at = draw(rng, (240, 340)), draw(rng, (-35, 35))
    jaw = chain(sector(16, 0, 16, 26, 40, 260), rectangle(-16, -6, -8, 6))
    head = turned(slab(jaw, 12, 1.5), "z", at)
    meshes = [
        moved(head, 12),
        rod((0, 0, 0), (-long, 0, 0), 6),
        rod((-long + 12, -55, 0), (-long + 12, 55, 0), 4.5),
    ]
    return middle(grouped([Part(merge(meshes), "steel")]))


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
        adjustable, pipe_wrench, monkey, ratchet, flex_ratchet, torque, breaker_bar, l_socket, cross_lug, t_handle, allen_keys, folding_keys, locking_grip, strap, dumbbell, flat_multi, box_tube, basin, crowfoot_set,
    )
}  # fmt: skip

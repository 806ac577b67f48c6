"""Wrenches with a jaw that moves. They lie along x, flat across z."""

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
    rod,
    slab,
)
from nii_edge.simulate.shapes import (
    capsule_outline,
    chain,
    circle,
    cylinder,
    directed,
    merge,
    moved,
    polygon,
    rectangle,
    sector,
    spline,
    stroke,
    tube,
    turned,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.spanners import STEEL, shifted, turned_outline


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


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        adjustable,
        pipe_wrench,
        monkey,
        locking_grip,
        strap,
        basin,
    )
}

"""Metal things that look like trouble and are none: keys, chains, bearings, scrap. They lie flat; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, rod, slab
from nii_edge.simulate.shapes import (
    box,
    chain,
    circle,
    cylinder,
    extrude,
    frustum,
    merge,
    moved,
    polygon,
    random_rotations,
    rectangle,
    regular,
    repeated,
    rounded,
    sector,
    shell_box,
    spline,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part


def keys(rng: Generator) -> tuple[Part, ...]:
    """A ring of keys with a fob."""
    meshes: list[Mesh] = [turned(torus(14, 1.3, 20, 6), "x", 0)]
    for _ in range(int(rng.integers(2, 8))):
        long, wave = draw(rng, (26, 36)), rng.uniform(0, 2.6, 9)
        cut = [(12 + long * k / 9, -3.6 + wave[k]) for k in range(9)]
        outline = chain(
            circle(2, 0, 11, 5).difference(circle(-3, 0, 3.4, 4)),
            polygon([(10, 4), (12 + long, 3), (12 + long, -2), *cut[::-1], (10, -3.6)]),
        )
        meshes.append(
            moved(
                turned(slab(outline, 2.1), "z", draw(rng, (0, 360))),
                draw(rng, (-9, 9)),
                draw(rng, (-9, 9)),
                draw(rng, (-5, 5)),
            )
        )
    fob = Part(moved(shell_box(48, 26, 12, 1.6), 40, 10), pick(rng, ("abs", "leather", "zinc")))
    return middle(grouped([Part(merge(meshes), pick(rng, ("brass", "steel", "zinc"))), fob]))


def padlock(rng: Generator) -> tuple[Part, ...]:
    """Laminated or cast body with a shackle."""
    x = draw(rng, (28, 60))
    body = slab(
        rounded(rectangle(-x / 2, -0.8 * x, x / 2, 0), 3).difference(circle(0, -0.35 * x, 0.14 * x)),
        0.45 * x,
        1,
    )
    shackle = sweep(
        spline(
            [
                (-0.34 * x, -4, 0),
                (-0.34 * x, 0.35 * x, 0),
                (0, 0.65 * x, 0),
                (0.34 * x, 0.35 * x, 0),
                (0.34 * x, -4, 0),
            ],
            6,
            closed=False,
        ),
        0.09 * x,
        8,
    )
    return middle(
        grouped(
            [
                Part(body, pick(rng, ("brass", "steel", "zinc"))),
                Part(shackle, "steel"),
                Part(rod((0, -0.75 * x, 0), (0, -0.1 * x, 0), 0.12 * x), "brass"),
            ]
        )
    )


def chain_links(rng: Generator) -> tuple[Part, ...]:
    """A length of chain, laid in a curve."""
    r, wire, count = draw(rng, (7, 17)), draw(rng, (1.6, 4.5)), int(rng.integers(12, 36))
    knots = np.cumsum(rng.normal(0, 1, (7, 2)) * 50, axis=0)
    path = spline(np.c_[knots, np.zeros(7)], 40, closed=False)
    steps = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    at = np.arange(count) * 2 * (r + 0.4 * wire)
    at = at[at < steps[-1]]
    spots = np.stack([np.interp(at, steps, path[:, k]) for k in range(3)], axis=1)
    link = Mesh(
        torus(r, wire, 16, 6).vertices * np.array([1.25, 0.8, 1], np.float32), torus(r, wire, 16, 6).faces
    )
    meshes = []
    for k, spot in enumerate(spots):
        ahead = spots[min(k + 1, len(spots) - 1)] - spots[max(k - 1, 0)]
        flat = link if k % 2 == 0 else turned(link, "x", 90)
        meshes.append(moved(turned(flat, "z", float(np.degrees(np.arctan2(ahead[1], ahead[0])))), *spot))
    return middle(grouped([Part(merge(meshes), "steel")]))


def scrap(rng: Generator) -> tuple[Part, ...]:
    """A tangle of rods, nails, strips and angle pieces."""
    meshes: list[Mesh] = []
    spread = draw(rng, (40, 90))
    for _ in range(int(rng.integers(20, 60))):
        x = draw(rng, (40, 200))
        kind = int(rng.integers(4))
        if kind == 0:
            made = moved(cylinder(draw(rng, (1, 4)), x, 8), z=-x / 2)
        elif kind == 1:
            made = moved(merge([cylinder(1.6, x * 0.6, 8), moved(cylinder(4, 1.5, 8), z=0)]), z=-0.3 * x)
        elif kind == 2:
            made = box(2, draw(rng, (8, 20)), x)
        else:
            made = merge([box(2, 16, x), moved(box(16, 2, x), 8, 8)])
        made = turned(turned(made, "x", draw(rng, (55, 125))), "z", draw(rng, (0, 360)))
        meshes.append(moved(made, *(rng.normal(0, 1, 3) * [spread, 0.7 * spread, 12])))
    return middle(grouped([Part(merge(meshes), pick(rng, ("steel", "steel", "aluminium")))]))


def nails(rng: Generator) -> tuple[Part, ...]:
    """A heap of nails, screws or pins in a bag."""
    x, count = draw(rng, (25, 80)), int(rng.integers(60, 180))
    one = moved(merge([cylinder(0.026 * x + 0.6, x, 6), cylinder(0.06 * x + 1, 1.2, 8)]), z=-x / 2)
    spots = rng.normal(0, 1, (count, 3)) * [1.0 * x, 0.7 * x, 0.14 * x]
    ways = random_rotations(rng, count)
    return middle(grouped([Part(repeated(one, spots, ways), "steel")]))


def plates_stack(rng: Generator) -> tuple[Part, ...]:
    """Metal strips or sheets, fanned."""
    x, y = draw(rng, (120, 260)), draw(rng, (25, 90))
    strips = [
        moved(
            turned(box(x, y, draw(rng, (0.6, 2.4))), "z", draw(rng, (-7, 7))),
            draw(rng, (-10, 10)),
            draw(rng, (-8, 8)),
            3.0 * k,
        )
        for k in range(int(rng.integers(2, 9)))
    ]
    return middle(grouped([Part(merge(strips), pick(rng, ("steel", "aluminium", "brass")))]))


def hangers(rng: Generator) -> tuple[Part, ...]:
    """Wire or plastic coat hangers."""
    line = [(-200, 0, 0), (0, 75, 0), (200, 0, 0)]
    parts: list[Part] = []
    wire = rng.random() < 0.5
    for k in range(int(rng.integers(1, 4))):
        body = sweep(spline([*line, (0, -8, 0)], 8), 1.6 if wire else 4.5, 7, closed=True)
        hook = sweep(spline([(0, 72, 0), (0, 105, 0), (20, 125, 0), (36, 105, 0)], 6, closed=False), 1.6, 6)
        parts += [
            Part(moved(body, 6.0 * k, 12.0 * k, 6.0 * k), "steel" if wire else "abs"),
            Part(moved(hook, 6.0 * k, 12.0 * k, 6.0 * k), "steel"),
        ]
    return middle(grouped(parts))


def coins(rng: Generator) -> tuple[Part, ...]:
    """Loose change."""
    made = [
        moved(
            turned(cylinder(draw(rng, (8, 13)), draw(rng, (1.4, 2.4)), 18), "x", draw(rng, (-25, 25))),
            *(rng.normal(0, 1, 3) * [25, 20, 3]),
        )
        for _ in range(int(rng.integers(4, 22)))
    ]
    return middle(grouped([Part(merge(made), pick(rng, ("copper", "zinc", "brass")))]))


def batteries(rng: Generator) -> tuple[Part, ...]:
    """Ordinary cells in a row."""
    r, h = pick(rng, ((5.2, 44.0), (7.2, 50.0), (13.0, 50.0), (16.5, 60.0)))
    rows = [(0, 2.05 * r * k, 0) for k in range(int(rng.integers(2, 9)))]
    can = turned(merge([tube(r, r - 0.4, h, 16), moved(cylinder(0.35 * r, 2, 10), z=h)]), "y", 90)
    return middle(
        grouped(
            [
                Part(repeated(can, rows), "steel"),
                Part(repeated(turned(cylinder(r - 0.5, h - 1, 16), "y", 90), rows), "zinc", 0.4),
            ]
        )
    )


def tap(rng: Generator) -> tuple[Part, ...]:
    """Plumbing: a brass tap, elbows, hose."""
    neck = sweep(
        spline([(0, 0, 0), (0, 60, 0), (40, 110, 0), (110, 110, 0), (130, 80, 0)], 6, closed=False), 11, 12
    )
    inner = sweep(
        spline([(0, 0, 0), (0, 60, 0), (40, 110, 0), (110, 110, 0), (130, 80, 0)], 6, closed=False), 8, 12
    )
    body = merge([turned(moved(cylinder(20, 60, 20), z=-60), "x", -90), rod((-60, -20, 0), (60, -20, 0), 13)])
    material = pick(rng, ("brass", "zinc", "stainless"))
    hose = sweep(spline(rng.normal(0, 1, (6, 3)) * [60, 50, 8] + [0, -90, 0], 8, closed=False), 6, 8)
    return middle(
        grouped(
            [
                Part(neck, material),
                Part(inner, material, -1.0),
                Part(body, material, 0.7),
                Part(hose, "rubber"),
                Part(merge([torus(18, 3, 18, 6)]), "brass"),
            ]
        )
    )


def bearing_parts(rng: Generator) -> tuple[Part, ...]:
    """Ball bearings, gears and shafts."""
    meshes: list[Mesh] = []
    for k in range(int(rng.integers(2, 6))):
        r = draw(rng, (12, 34))
        if rng.random() < 0.5:
            balls = repeated(
                moved(cylinder(0.14 * r, 0.3 * r, 8), z=-0.15 * r),
                [(0.72 * r * np.cos(a), 0.72 * r * np.sin(a), 0.2 * r) for a in np.linspace(0, 5.6, 9)],
            )
            made = merge([tube(r, 0.86 * r, 0.4 * r, 24), tube(0.58 * r, 0.42 * r, 0.4 * r, 20), balls])
        else:
            teeth = chain(
                circle(0, 0, r, 8),
                *(
                    regular(1.04 * r * np.cos(a), 1.04 * r * np.sin(a), 0.14 * r, 4, 45 + np.degrees(a))
                    for a in np.linspace(0, 2 * np.pi, 18, endpoint=False)
                ),
            )
            made = extrude(teeth.difference(circle(0, 0, 0.3 * r)), 0, draw(rng, (5, 14)))
        meshes.append(moved(made, 62.0 * (k % 3), 62.0 * (k // 3)))
    meshes.append(rod((0, -40, 6), (draw(rng, (80, 170)), -40, 6), draw(rng, (5, 12))))
    return middle(grouped([Part(merge(meshes), "steel")]))


def bracket(rng: Generator) -> tuple[Part, ...]:
    """Shelf brackets and hinges, bent sheet with holes."""
    a, b = draw(rng, (80, 180)), draw(rng, (60, 130))
    meshes: list[Mesh] = []
    for k in range(int(rng.integers(1, 5))):
        leg = chain(
            rectangle(0, 0, a, 22), rectangle(0, 0, 22, b), polygon([(18, 18), (0.5 * a, 18), (18, 0.5 * b)])
        )
        holes = chain(
            *(circle(x, 11, 3, 3) for x in np.linspace(34, a - 10, 3)),
            *(circle(11, y, 3, 3) for y in np.linspace(34, b - 10, 3)),
        )
        meshes.append(
            moved(
                turned(slab(leg.difference(holes), draw(rng, (1.6, 3))), "z", draw(rng, (-20, 20))),
                10.0 * k,
                14.0 * k,
                5.0 * k,
            )
        )
    return middle(grouped([Part(merge(meshes), pick(rng, ("steel", "aluminium", "zinc")))]))


def wheel_parts(rng: Generator) -> tuple[Part, ...]:
    """Castor wheels, pulleys, roller skates' trucks."""
    parts: list[Part] = []
    for k in range(int(rng.integers(2, 5))):
        r = draw(rng, (18, 34))
        fork = merge(
            [
                box(4, 1.6 * r, 0.7 * r),
                moved(box(1.5 * r, 2.5, 0.8 * r), 0.5 * r, r),
                moved(box(1.5 * r, 2.5, 0.8 * r), 0.5 * r, -r),
            ]
        )
        wheel = turned(moved(tube(r, 0.3 * r, 0.9 * r, 22), z=-0.45 * r), "x", 90)
        parts += [
            Part(moved(wheel, 0.9 * r, 80.0 * k), pick(rng, ("rubber", "nylon", "polyurethane"))),
            Part(moved(fork, 0, 80.0 * k), "steel"),
            Part(rod((0.9 * r, 80.0 * k - r, 0), (0.9 * r, 80.0 * k + r, 0), 3), "steel"),
        ]
    return middle(grouped(parts))


def nut_and_bolt(rng: Generator) -> tuple[Part, ...]:
    """Large bolts with nuts and washers."""
    meshes: list[Mesh] = []
    for k in range(int(rng.integers(2, 8))):
        d, x = draw(rng, (6, 16)), draw(rng, (40, 120))
        head = extrude(regular(0, 0, 1.0 * d, 6), 0, 0.65 * d)
        nut = extrude(regular(0, 0, 1.0 * d, 6).difference(circle(0, 0, 0.5 * d)), 0.7 * x, 0.7 * x + 0.8 * d)
        one = merge(
            [head, cylinder(0.5 * d, x, 12), nut, moved(frustum(1.1 * d, 1.1 * d, 1.5, 16), z=0.7 * x - 2)]
        )
        meshes.append(
            moved(turned(turned(one, "y", 90), "z", draw(rng, (-40, 40))), draw(rng, (-15, 15)), 28.0 * k)
        )
    return middle(grouped([Part(merge(meshes), pick(rng, ("steel", "stainless", "brass")))]))


def spring_set(rng: Generator) -> tuple[Part, ...]:
    """Loose coil springs."""
    meshes = [
        coil(
            (0, 30.0 * k, 0),
            (draw(rng, (40, 140)), 30.0 * k + draw(rng, (-9, 9)), 0),
            draw(rng, (4, 12)),
            draw(rng, (8, 20)),
            draw(rng, (0.6, 2)),
        )
        for k in range(int(rng.integers(2, 6)))
    ]
    return middle(grouped([Part(merge(meshes), "steel")]))


def horseshoe_parts(rng: Generator) -> tuple[Part, ...]:
    """Curved forged pieces: hooks, shackles, U-bolts."""
    meshes = [
        moved(
            turned(
                slab(
                    sector(0, 0, draw(rng, (20, 34)), draw(rng, (38, 52)), -40, draw(rng, (150, 230))),
                    draw(rng, (6, 14)),
                    1,
                ),
                "z",
                draw(rng, (0, 360)),
            ),
            80.0 * k,
        )
        for k in range(int(rng.integers(1, 4)))
    ]
    return middle(grouped([Part(merge(meshes), pick(rng, ("steel", "zinc", "aluminium")))]))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        keys,
        padlock,
        chain_links,
        scrap,
        nails,
        plates_stack,
        hangers,
        coins,
        batteries,
        tap,
        bearing_parts,
        bracket,
        wheel_parts,
        nut_and_bolt,
        spring_set,
        horseshoe_parts,
    )
}

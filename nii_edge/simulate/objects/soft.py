"""Clothes, shoes, bags and other soft things. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, inset, middle, pick, pin, rod, slab
from nii_edge.simulate.shapes import (
    arc,
    box,
    chain,
    cloth_pile,
    crumpled,
    cylinder,
    extrude,
    loft,
    merge,
    moved,
    polygon,
    rectangle,
    repeated,
    rounded,
    rounded_box,
    scaled,
    sheet,
    spline,
    stroke,
    sweep,
    torus,
    turned,
)
from nii_edge.simulate.solids import Part

FABRICS = ("cotton", "polyester", "wool", "cotton")


def folded(
    rng: Generator, x: float, y: float, z: float, fabric: str, fill: float, layers: int = 5
) -> list[Part]:
    """A folded garment: a slab of rumpled layers, and its thick folded edge."""
    pile = cloth_pile(rng, (x, y, z), layers, draw(rng, (18, 45)), draw(rng, (0.8, 2.0)), cells=40)
    edge = moved(
        turned(crumpled(rng, (0.48 * y, 0.42 * z, 0.42 * z), 0.06, 14), "z", 90), x / 2 - 0.3 * z, 0, z / 2
    )
    return [Part(pile, fabric, fill), Part(edge, fabric, 0.5 * fill)]


def _buttons(rng: Generator, count: int, x: float, z: float, material: str, radius: float) -> Part:
    spots = np.stack([np.linspace(-0.4, 0.4, count) * x, rng.normal(0, 3, count), np.full(count, z)], axis=1)
    return Part(repeated(cylinder(radius, 2.2, 10), spots), material)


def shirt(rng: Generator) -> tuple[Part, ...]:
    """Folded, with buttons along the front and a stiff collar."""
    x, y, z = draw(rng, (230, 320)), draw(rng, (180, 250)), draw(rng, (18, 45))
    parts = folded(rng, x, y, z, pick(rng, FABRICS), draw(rng, (0.12, 0.24)))
    collar = sweep(
        spline([(x * 0.42, -70, z), (x * 0.5, 0, z + 4), (x * 0.42, 70, z)], 5, closed=False), 4, 6
    )
    parts.append(Part(collar, "cotton", 0.5))
    return middle(
        grouped([*parts, _buttons(rng, int(rng.integers(3, 8)), x, z, pick(rng, ("polyester", "nylon")), 5)])
    )


def trousers(rng: Generator) -> tuple[Part, ...]:
    """Folded twice, with a zip, rivets and a metal button."""
    x, y, z = draw(rng, (260, 400)), draw(rng, (170, 260)), draw(rng, (25, 55))
    parts = folded(rng, x, y, z, pick(rng, ("cotton", "cotton", "polyester")), draw(rng, (0.18, 0.32)), 6)
    teeth = repeated(
        box(1.4, 4, 1.6), np.stack([np.linspace(0, 130, 50), np.zeros(50), np.full(50, z)], axis=1)
    )
    studs = repeated(cylinder(4.5, 2, 10), [(x * 0.4, k * 40.0 - 60, z) for k in range(4)])
    metal = pick(rng, ("brass", "copper", "zinc"))
    return middle(
        grouped([*parts, Part(merge([moved(teeth, 0.1 * x), studs, pin(0.4 * x, 10, 9, 3)]), metal)])
    )


def jacket(rng: Generator) -> tuple[Part, ...]:
    """A thick padded or knitted garment with a long zip and cord ends."""
    x, y, z = draw(rng, (300, 420)), draw(rng, (240, 330)), draw(rng, (50, 110))
    parts = folded(rng, x, y, z, pick(rng, ("polyester", "wool", "nylon")), draw(rng, (0.05, 0.14)), 8)
    line = spline([(-0.4 * x, -20, z), (0, 25, z), (0.4 * x, -10, z)], 30, closed=False)
    parts.append(Part(repeated(box(1.6, 5, 1.8), line), pick(rng, ("brass", "nylon", "zinc"))))
    pulls = [
        moved(box(24, 6, 2), *line[-1]),
        moved(cylinder(5, 12, 10), 0.3 * x, 60, z),
        moved(cylinder(5, 12, 10), 0.3 * x, 90, z),
    ]
    return middle(grouped([*parts, Part(merge(pulls), "zinc")]))


def loose_cloth(rng: Generator) -> tuple[Part, ...]:
    """Something thrown in: two or three rumpled layers."""
    x, y = draw(rng, (200, 420)), draw(rng, (160, 320))
    layers = [
        moved(
            sheet(rng, (x, y), draw(rng, (0.5, 1.6)), draw(rng, (6, 18)), draw(rng, (25, 70)), 36), z=14.0 * k
        )
        for k in range(int(rng.integers(1, 4)))
    ]
    return middle(grouped([Part(merge(layers), pick(rng, FABRICS), draw(rng, (0.3, 0.6)))]))


def towel(rng: Generator) -> tuple[Part, ...]:
    """Rolled or folded terry."""
    x, r = draw(rng, (200, 380)), draw(rng, (35, 65))
    turns = np.linspace(0, 2 * np.pi * 4, 70)
    line = np.stack(
        [(8 + turns / turns[-1] * r) * np.cos(turns), (8 + turns / turns[-1] * r) * np.sin(turns)], axis=1
    )
    roll = turned(moved(extrude(stroke(line, 4.5, 2), 0, x), z=-x / 2), "y", 90)
    return middle(grouped([Part(roll, "cotton", draw(rng, (0.2, 0.35)))]))


def socks(rng: Generator) -> tuple[Part, ...]:
    """Balled pairs."""
    balls = [
        moved(crumpled(rng, (42, 34, 26), 0.2), k * 70.0, draw(rng, (-20, 20)), 0)
        for k in range(int(rng.integers(1, 5)))
    ]
    return middle(grouped([Part(merge(balls), pick(rng, FABRICS), draw(rng, (0.14, 0.28)))]))


def underwear_set(rng: Generator) -> tuple[Part, ...]:
    """Moulded cups with wires, hooks and a band."""
    cups = [moved(scaled(turned(torus(48, 3.2, 24, 6), "x", 0), 1, 1, 1.0), k * 110.0, 0, 0) for k in (0, 1)]
    wires = [moved(sweep(arc(52, 190, 350, 24), 1.1, 5), k * 110.0, 0, 0) for k in (0, 1)]
    pads = [moved(crumpled(rng, (46, 46, 16), 0.05), k * 110.0, 0, 0) for k in (0, 1)]
    hooks = repeated(box(3, 2, 2), [(230.0 + 8 * (k % 2), k * 9.0, 0) for k in range(6)])
    return middle(
        grouped(
            [
                Part(merge(pads), "polyester", 0.08),
                Part(merge(cups), "polyester", 0.15),
                Part(merge([*wires, hooks]), "steel"),
            ]
        )
    )


def pillow(rng: Generator) -> tuple[Part, ...]:
    """A cushion, or foam."""
    x, y, z = draw(rng, (260, 420)), draw(rng, (220, 360)), draw(rng, (60, 130))
    body = cloth_pile(rng, (x, y, z), 3, 60, 0.5)
    return middle(grouped([Part(body, pick(rng, ("polyester", "polyurethane")), draw(rng, (0.015, 0.04)))]))


def plush(rng: Generator) -> tuple[Part, ...]:
    """A stuffed animal with glass or plastic eyes, squeaker or beads."""
    r = draw(rng, (45, 90))
    limbs = [
        (0, 0, 1.0),
        (1.35, 0, 0.72),
        (-0.6, 0.9, 0.45),
        (-0.6, -0.9, 0.45),
        (0.5, 1.0, 0.36),
        (0.5, -1.0, 0.36),
        (1.9, 0.5, 0.26),
        (1.9, -0.5, 0.26),
    ]
    body = merge(
        [moved(crumpled(rng, (k * r, k * r * 0.9, k * r * 0.8), 0.08), x * r, y * r) for x, y, k in limbs]
    )
    eyes = repeated(cylinder(0.07 * r, 3, 10), [(1.6 * r, s * 0.2 * r, 0.55 * r) for s in (-1, 1)])
    parts = [Part(body, "polyester", draw(rng, (0.03, 0.07))), Part(eyes, pick(rng, ("abs", "glass")))]
    if rng.random() < 0.5:
        box_at = moved(box(32, 32, 18), 0, 0, 0)
        cells = moved(turned(cylinder(5, 44, 12), "y", 90), -20, 8, 0)
        parts += [Part(box_at, "abs", 0.5), Part(cells, "zinc")]
    return middle(grouped(parts))


def shoe(rng: Generator) -> tuple[Part, ...]:
    """One shoe: sole, upper shell, heel, perhaps a steel shank, eyelets and a steel toe."""
    long, wide, high = draw(rng, (225, 300)), draw(rng, (85, 108)), draw(rng, (55, 95))
    sole_line = [
        (0, 0),
        (0.1, 0.34),
        (0.35, 0.36),
        (0.55, 0.42),
        (0.8, 0.5),
        (0.97, 0.26),
        (1, 0),
        (0.95, -0.28),
        (0.75, -0.46),
        (0.5, -0.34),
        (0.3, -0.3),
        (0.08, -0.3),
    ]
    outline = polygon(spline(np.asarray(sole_line) * [long, wide], 3))
    thick = draw(rng, (9, 26))
    tread = chain(*(rectangle(x, -wide, x + 3, wide) for x in np.arange(8, long, draw(rng, (9, 22)))))
    sole = [extrude(outline.difference(tread), 0, 3), extrude(outline, 3, thick)]
    heel_high = pick(rng, (0.0, 0.0, draw(rng, (8, 60))))
    t = np.linspace(0, 1, 14)
    top = thick + np.interp(t, [0, 0.08, 0.3, 0.5, 0.8, 1], [0.8, 1, 0.95, 0.62, 0.4, 0.12]) * high
    half = np.interp(t, [0, 0.1, 0.35, 0.55, 0.8, 0.95, 1], [0.1, 0.3, 0.32, 0.38, 0.46, 0.26, 0.05]) * wide
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    rings = np.empty((14, 14, 3))
    rings[..., 0] = (t * long)[:, None]
    rings[..., 1] = half[:, None] * np.cos(turn)
    rings[..., 2] = ((top + thick) / 2)[:, None] + ((top - thick) / 2)[:, None] * np.sin(turn)
    outer = loft(rings)
    middle_at = rings.mean(axis=1, keepdims=True)
    inner = loft(middle_at + (rings - middle_at) * 0.9)
    upper = pick(rng, ("leather", "polyester", "polyurethane", "cotton"))
    parts = [
        Part(merge(sole), pick(rng, ("rubber", "polyurethane", "rubber"))),
        Part(outer, upper, 0.7),
        Part(inner, upper, -0.7),
    ]
    if heel_high:
        parts.append(
            Part(
                moved(box(0.2 * long, 0.5 * wide, heel_high), 0.12 * long, 0, -heel_high / 2),
                pick(rng, ("abs", "wood", "rubber")),
            )
        )
    if rng.random() < 0.6:
        parts += inset(
            moved(box(0.42 * long, 12, 1.6), 0.38 * long, 0, thick - 3), "steel", parts[0].material
        )
    if rng.random() < 0.6:
        holes = [(0.45 * long + 14 * k, s * 18.0, thick + 0.5 * high) for k in range(5) for s in (-1, 1)]
        parts.append(Part(repeated(torus(3, 0.8, 10, 5), holes), pick(rng, ("aluminium", "brass"))))
    return middle(grouped(parts))


def shoes(rng: Generator) -> tuple[Part, ...]:
    """A pair, sole to sole or heel to toe."""
    one = shoe(rng)
    wide = float(max(np.ptp(part.mesh.vertices[:, 1]) for part in one)) + 6
    parts = list(one)
    for part in one:
        other = turned(part.mesh, "z", pick(rng, (180.0, 4.0)))
        parts.append(Part(moved(other, draw(rng, (-12, 12)), wide), part.material, part.fill))
    return middle(grouped(parts))


def slippers(rng: Generator) -> tuple[Part, ...]:
    """Foam soles with a strap."""
    parts: list[Part] = []
    for k in range(2):
        sole = rounded(rectangle(0, 0, 265, 95), 44)
        strap = sweep([(170, 4, 14), (180, 20, 44), (180, 75, 44), (170, 91, 14)], 7, 8)
        parts += [
            Part(
                moved(extrude(sole, 0, draw(rng, (14, 30))), 0, k * 100.0),
                pick(rng, ("polyurethane", "rubber")),
                0.3,
            )
        ]
        parts.append(Part(moved(strap, 0, k * 100.0), "pvc", 0.8))
    return middle(grouped(parts))


def cap(rng: Generator) -> tuple[Part, ...]:
    """A domed hat with a stiff peak."""
    dome = moved(sheet(rng, (190, 170), 1.4, 25, 160, 20), 0, 0, 40)
    peak = extrude(polygon(spline([(80, -80), (150, -50), (165, 0), (150, 50), (80, 80)], 4)), 0, 2)
    return middle(
        grouped([Part(dome, "cotton", 0.6), Part(peak, "polyethylene"), Part(pin(-90, 0, 6, 3), "steel")])
    )


def belt(rng: Generator) -> tuple[Part, ...]:
    """A coiled belt with its buckle."""
    turns = np.linspace(0, 2 * np.pi * draw(rng, (2, 3.5)), 60)
    r = 30 + 5.2 * turns / (2 * np.pi)
    line = np.stack([r * np.cos(turns), r * np.sin(turns)], axis=1)
    wide = draw(rng, (22, 40))
    strap = extrude(stroke(line, 3.2, 2), -wide / 2, wide / 2)
    frame = slab(rounded(rectangle(0, 0, 46, wide + 12), 5).difference(rectangle(6, 6, 40, wide + 6)), 4, 0.6)
    buckle = moved(
        turned(merge([frame, rod((20, 0, 0), (20, wide + 10, 0), 1.8)]), "x", 90),
        float(line[-1, 0]),
        float(line[-1, 1]),
        -wide / 2 - 6,
    )
    return middle(
        grouped(
            [Part(strap, pick(rng, ("leather", "pvc"))), Part(buckle, pick(rng, ("zinc", "brass", "steel")))]
        )
    )


def handbag(rng: Generator) -> tuple[Part, ...]:
    """A bag with stiffeners, chain or strap, zip and rings."""
    x, y, z = draw(rng, (200, 320)), draw(rng, (140, 240)), draw(rng, (25, 80))
    skin = pick(rng, ("leather", "polyurethane", "pvc"))
    body = [
        Part(rounded_box(x, y, z, 0.3 * z), skin),
        Part(rounded_box(x - 4, y - 4, z - 4, 0.28 * z), skin, -1.0),
    ]
    strap = spline(
        [(-x / 2, y / 2, 0), (-x / 3, y, 5), (0, 1.25 * y, 0), (x / 3, y, -5), (x / 2, y / 2, 0)],
        8,
        closed=False,
    )
    if rng.random() < 0.4:
        links = [
            moved(turned(torus(6, 1.3, 10, 5), "y" if k % 2 else "x", draw(rng, (0, 90))), *p)
            for k, p in enumerate(strap)
        ]
        parts = [*body, Part(merge(links), pick(rng, ("brass", "zinc")))]
    else:
        parts = [*body, Part(sweep(strap, 5, 8), skin, 0.8)]
    rings = [moved(torus(11, 2, 14, 6), s * x / 2, y / 2) for s in (-1, 1)]
    teeth = repeated(
        box(1.2, 1.6, 4),
        np.stack([np.linspace(-0.42, 0.42, 80) * x, np.full(80, 0.46 * y), np.zeros(80)], axis=1),
    )
    return middle(
        grouped(
            [
                *parts,
                Part(
                    merge([*rings, teeth, moved(box(26, 7, 2.4), 0.4 * x, 0.46 * y)]),
                    pick(rng, ("brass", "zinc")),
                ),
            ]
        )
    )


def wallet(rng: Generator) -> tuple[Part, ...]:
    """Leather with cards, coins and a press stud."""
    x, y = draw(rng, (95, 125)), draw(rng, (80, 100))
    cards = [
        moved(rounded_box(86, 54, 0.8, 0.3), draw(rng, (-3, 3)), draw(rng, (-6, 6)), k * 1.2)
        for k in range(int(rng.integers(3, 9)))
    ]
    skins = [moved(box(x, y, 1.6), z=z) for z in (-4, 12)]
    coins = [
        moved(cylinder(draw(rng, (8, 13)), 2, 16), draw(rng, (-30, 30)), draw(rng, (-25, 25)), -3)
        for _ in range(int(rng.integers(0, 9)))
    ]
    parts = [
        Part(merge(skins), "leather"),
        Part(merge(cards), "pvc"),
        Part(pin(x / 2 - 8, 0, 5, 18), "brass"),
    ]
    return middle(grouped(parts + ([Part(merge(coins), "copper")] if coins else [])))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        shirt, trousers, jacket, loose_cloth, towel, socks, underwear_set, pillow, plush, shoe, shoes, slippers, cap, belt,
        handbag, wallet,
    )
}  # fmt: skip

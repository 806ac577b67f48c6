"""Bags, by type, without what is in them. They lie on their back: x longest, z up from 0; mm.

`Bag.room` is (x, y, z) of what they hold, about the middle of x and y, from z = `floor` up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nii_edge.simulate.kit import Generator, Spread, draw, grouped, pick, pipe, rod, slab
from nii_edge.simulate.shapes import (
    arc,
    box,
    chain,
    cylinder,
    extrude,
    merge,
    moved,
    polygon,
    rectangle,
    repeated,
    rounded,
    sheet,
    shell_box,
    spline,
    stroke,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Mesh, Part


class Bag(NamedTuple):
    """A bag and its room inside."""

    parts: tuple[Part, ...]
    room: tuple[float, float, float]
    floor: float = 4.0


class Design(NamedTuple):
    """Ranges in mm. `corner`: rounding as a share of the shorter side; `taper`: how much narrower the far end is."""

    x: Spread
    y: Spread
    z: Spread
    corner: Spread
    taper: Spread = (0.0, 0.0)
    skin: tuple[str, ...] = ("polyester", "nylon")
    wall: Spread = (0.8, 1.6)
    rims: tuple[int, int] = (1, 3)
    rim_metal: float = 0.2
    rods: float = 0.0
    wheels: tuple[int, ...] = (0,)
    zips: tuple[int, int] = (1, 4)
    straps: float = 0.3
    handles: int = 1
    hard: bool = False


DESIGNS: dict[str, Design] = {
    "trolley_soft": Design((470, 620), (320, 430), (150, 240), (0.08, 0.2), rims=(2, 4), rim_metal=0.6, rods=1.0, wheels=(2, 4), zips=(2, 5)),
    "trolley_hard": Design((480, 650), (330, 450), (180, 260), (0.12, 0.25), skin=("abs", "polypropylene"), wall=(2, 3.2), rims=(2, 3), rim_metal=0.8, rods=1.0, wheels=(4,), hard=True),
    "cabin_small": Design((380, 480), (280, 340), (130, 200), (0.1, 0.3), rims=(2, 3), rim_metal=0.4, rods=0.9, wheels=(2, 4)),
    "backpack": Design((380, 520), (270, 340), (110, 190), (0.3, 0.6), (0.1, 0.35), straps=1.0, zips=(3, 6), rims=(1, 3)),
    "school_bag": Design((330, 420), (250, 320), (100, 160), (0.2, 0.45), (0.05, 0.25), straps=1.0, zips=(2, 4), rims=(2, 3)),
    "duffel": Design((420, 640), (230, 320), (160, 240), (0.35, 0.8), handles=2, zips=(1, 3), rims=(0, 2)),
    "shopper": Design((280, 400), (240, 360), (70, 140), (0.02, 0.1), (-0.2, 0.15), ("leather", "polyurethane", "cotton"), handles=2, zips=(0, 2), rims=(0, 1)),
    "lady_handbag": Design((230, 340), (170, 260), (70, 130), (0.15, 0.5), (0.0, 0.25), ("leather", "polyurethane", "pvc"), handles=2, zips=(1, 3), rims=(0, 2), rim_metal=0.0),
    "briefcase": Design((380, 460), (280, 340), (70, 120), (0.03, 0.1), skin=("leather", "abs"), wall=(2, 3), rims=(2, 2), rim_metal=1.0, hard=True, zips=(0, 0)),
    "laptop_bag": Design((360, 430), (270, 330), (50, 100), (0.06, 0.2), straps=0.9, zips=(2, 4), rims=(1, 3)),
    "tool_case": Design((340, 520), (240, 340), (80, 150), (0.04, 0.12), skin=("polypropylene", "abs"), wall=(2, 3.4), rims=(2, 3), rim_metal=0.0, hard=True, zips=(0, 0)),
    "plastic_bag": Design((260, 420), (220, 360), (60, 140), (0.2, 0.6), (-0.1, 0.3), ("polyethylene",), (0.06, 0.15), (0, 0), zips=(0, 0), handles=2),
    "drawstring": Design((300, 420), (260, 340), (80, 150), (0.3, 0.6), (0.2, 0.5), ("cotton", "polyester"), (0.4, 0.8), (0, 1), zips=(0, 0), straps=0.8),
    "belt_pack": Design((220, 320), (120, 170), (50, 90), (0.3, 0.6), zips=(1, 3), straps=1.0, rims=(0, 2), handles=0),
    "wash_bag": Design((220, 300), (130, 200), (70, 110), (0.2, 0.5), skin=("polyester", "pvc"), zips=(1, 2), rims=(0, 2)),
    "tray": Design((420, 560), (300, 400), (70, 110), (0.08, 0.15), skin=("polypropylene",), wall=(2.4, 3.4), rims=(1, 2), rim_metal=0.0, hard=True, zips=(0, 0), handles=0),
}  # fmt: skip

HELD_OUT_BAGS = frozenset({"cabin_small", "school_bag", "lady_handbag", "drawstring"})
"""Bag types for tests only."""


def _outline(design: Design, rng: Generator, x: float, y: float) -> Outline:
    taper = draw(rng, design.taper) * y / 2
    base = polygon([(-x / 2, -y / 2), (x / 2, -y / 2 + taper), (x / 2, y / 2 - taper), (-x / 2, y / 2)])
    return rounded(base, draw(rng, design.corner) * min(x, y) / 2)


def _along(outline: Outline, inset: float, count: int = 90) -> Floats:
    """Points evenly along the outline, `inset` mm inside it: (count, 2)."""
    line = outline.buffer(-inset).exterior if inset else outline.exterior
    at = np.linspace(0, line.length, count, endpoint=False)
    return np.array([line.interpolate(d).coords[0] for d in at])


def _skin(design: Design, rng: Generator, outline: Outline, z: float) -> list[Part]:
    wall, material = draw(rng, design.wall), pick(rng, design.skin)
    side = extrude(outline.difference(outline.buffer(-wall)), 0, z)
    if design.hard:
        lids = (
            [extrude(outline, 0, wall), extrude(outline, z - wall, z)]
            if rng.random() < 0.9
            else [extrude(outline, 0, wall)]
        )
        ribs = [
            extrude(outline.intersection(rectangle(-999, at, 999, at + 6)), z, z + 3)
            for at in np.linspace(*_inner_y(outline), int(rng.integers(0, 7)) + 2)[1:-1]
        ]
        return [Part(merge([side, *lids, *ribs]), material)]
    x0, y0, x1, y1 = outline.bounds
    sheets = []
    for level in (1.0, z - 1.0, *(draw(rng, (0.2, 0.8)) * z for _ in range(int(rng.integers(0, 3))))):
        made = sheet(
            rng, (0.94 * (x1 - x0), 0.92 * (y1 - y0)), wall, draw(rng, (4, 12)), draw(rng, (40, 110)), 40
        )
        sheets.append(moved(made, (x0 + x1) / 2, (y0 + y1) / 2, level))
    return [Part(side, material), Part(merge(sheets), material, draw(rng, (0.5, 1.0)))]


def _inner_y(outline: Outline) -> tuple[float, float]:
    _, y0, _, y1 = outline.bounds
    return y0, y1


def _rims(design: Design, rng: Generator, outline: Outline, z: float) -> list[Part]:
    """Piping, wire frames and seams that follow the outline, each a little off."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(design.rims[0], design.rims[1] + 1))):
        flat = (
            _along(outline, draw(rng, (0, 14)))
            + np.cumsum(rng.normal(0, 0.25, (90, 2)), axis=0) * np.sin(np.linspace(0, np.pi, 90))[:, None]
        )
        path = np.c_[flat, np.full(90, draw(rng, (0.05, 0.95)) * z)]
        if rng.random() < design.rim_metal:
            parts.append(
                Part(
                    sweep(path, draw(rng, (1.0, 2.4)), 6, closed=True),
                    pick(rng, ("steel", "aluminium", "steel")),
                )
            )
        parts.append(
            Part(
                sweep(path, draw(rng, (2, 4)), 6, closed=True),
                pick(rng, ("pvc", "polyethylene", "rubber")),
                0.7,
            )
        )
    return parts


def _zip(rng: Generator, outline: Outline, z: float) -> list[Part]:
    """A zip along part of the outline or across, its slider and pull."""
    if rng.random() < 0.7:
        line = _along(outline, draw(rng, (2, 40)), 260)
        start, long = int(rng.integers(260)), int(rng.integers(50, 230))
        line = np.roll(line, -start, axis=0)[:long]
    else:
        x0, y0, x1, y1 = outline.bounds
        y = draw(rng, (0.7, 0.95)) * y0 if rng.random() < 0.5 else draw(rng, (0.2, 0.9)) * y1
        line = np.stack(
            [np.linspace(0.8 * x0, 0.8 * x1, 150), y + 6 * np.sin(np.linspace(0, 3, 150))], axis=1
        )
    level = draw(rng, (0.1, 0.95)) * z
    path = np.c_[line, np.full(len(line), level)]
    teeth = repeated(box(1.6, 3.6, 2.0), path)
    parts = [
        Part(teeth, pick(rng, ("nylon", "nylon", "zinc", "brass"))),
        Part(sweep(path[::4], 4, 4), "polyester", 0.4),
    ]
    for end in path[[0, -1]] if rng.random() < 0.4 else path[[-1]]:
        pull = merge(
            [
                box(11, 8, 6),
                moved(
                    turned(
                        slab(
                            chain(rectangle(0, -3, draw(rng, (16, 34)), 3)).difference(
                                rectangle(4, -1.5, 12, 1.5)
                            ),
                            2,
                        ),
                        "y",
                        draw(rng, (-20, 20)),
                    ),
                    4,
                ),
                moved(torus(4, 0.9, 10, 5), 26),
            ]
        )
        parts.append(
            Part(moved(turned(pull, "z", draw(rng, (0, 360))), *end), pick(rng, ("zinc", "steel", "brass")))
        )
    return parts


def _trolley(rng: Generator, x: float, y: float) -> list[Part]:
    """Two telescopic rods with inner tubes, cross pieces and a grip; plates and screws where they are fixed."""
    apart, r, level = draw(rng, (0.25, 0.5)) * y, draw(rng, (6, 11)), draw(rng, (5, 16))
    metal = pick(rng, ("aluminium", "aluminium", "steel"))
    wall = 1.4 if metal == "aluminium" else 0.8
    start, end = -x / 2 + draw(rng, (0, 25)), x / 2 - draw(rng, (-8, 40))
    flat = rng.random() < 0.4
    parts: list[Part] = []
    for side in (-1, 1):
        yy = side * apart / 2
        outer = (
            moved(shell_box(end - start, 2.6 * r, 1.4 * r, wall), (start + end) / 2, yy, level)
            if flat
            else pipe((start, yy, level), (end, yy, level), r, r - wall, 16)
        )
        inner = pipe((start + 20, yy, level), (end - 0.1 * x, yy, level), 0.72 * r, 0.72 * r - wall, 14)
        parts.append(Part(merge([outer, inner]), metal))
        bits = [moved(box(18, 3 * r, 1.6), at, yy, level + r) for at in (start + 20, end - 30)]
        bits += [
            rod((at, yy, level - 6), (at, yy, level + 12), 1.8, 8)
            for at in np.linspace(start + 15, end - 15, 5)
        ]
        parts.append(Part(merge(bits), "steel"))
    grip = moved(box(24, apart + 26, 20), start - 4, 0, level)
    foot = moved(box(30, apart + 60, 16), end - 10, 0, level)
    return [*parts, Part(merge([grip, foot]), "nylon", draw(rng, (0.4, 0.9)))]


def _wheel(rng: Generator, twin: bool) -> list[Part]:
    r, w = draw(rng, (18, 30)), draw(rng, (10, 22))
    halves = [-w / 2 - 2, w / 2 + 2] if twin else [0.0]
    tyres = [turned(moved(tube(r, 0.72 * r, w, 20), z=at - w / 2), "x", 90) for at in halves]
    hubs = [turned(moved(tube(0.72 * r, 0.2 * r, 0.8 * w, 18), z=at - 0.4 * w), "x", 90) for at in halves]
    axle = merge(
        [
            rod((0, -w - 6, 0), (0, w + 6, 0), 3),
            turned(moved(tube(0.32 * r, 3.2, 0.9 * w, 14), z=-0.45 * w), "x", 90),
        ]
    )
    fork = merge([moved(box(1.6 * r, 4, 1.2 * r), -0.4 * r, s * (w + 5)) for s in (-1, 1)])
    return [
        Part(merge(tyres), pick(rng, ("rubber", "polyurethane"))),
        Part(merge(hubs), "nylon", 0.8),
        Part(axle, "steel"),
        Part(fork, pick(rng, ("nylon", "nylon", "steel"))),
    ]


def _wheels(rng: Generator, count: int, x: float, y: float, z: float) -> list[Part]:
    spots = [
        (x / 2 + 12, s * 0.42 * y, h) for s in (-1, 1) for h in ((24.0,) if count == 2 else (24.0, z - 24))
    ]
    model, parts = _wheel(rng, count == 4), []
    for spot in spots:
        turn = draw(rng, (-50, 50)) if count == 4 else 0.0
        parts += [Part(moved(turned(p.mesh, "z", turn), *spot), p.material, p.fill) for p in model]
        parts.append(
            Part(
                repeated(cylinder(1.8, 14, 8), np.asarray(spot) + [(-22, i * 9.0, -7) for i in (-1, 1)]),
                "steel",
            )
        )
    return parts


def _buckle(rng: Generator) -> list[Part]:
    kind, w = int(rng.integers(4)), draw(rng, (18, 40))
    if kind == 0:
        ring = polygon([(-6, -w / 2), (-6, w / 2), (10, w / 2), (16, 0), (10, -w / 2)])
        return [Part(slab(ring.difference(ring.buffer(-3)), 4, 0.6), pick(rng, ("steel", "zinc")))]
    if kind == 1:
        slide = rectangle(-12, -w / 2 - 3, 12, w / 2 + 3).difference(
            chain(rectangle(-9, -w / 2, -2, w / 2), rectangle(2, -w / 2, 9, w / 2))
        )
        return [Part(slab(slide, 4, 0.6), pick(rng, ("steel", "nylon", "zinc")))]
    if kind == 2:
        prongs = chain(
            rectangle(-18, -w / 2, 0, w / 2),
            stroke([(0, 0), (24, 0)], 5),
            stroke([(0, -0.4 * w), (20, -0.46 * w)], 4),
            stroke([(0, 0.4 * w), (20, 0.46 * w)], 4),
        )
        return [Part(slab(prongs, 9, 1), "nylon")]
    hook = sweep(np.r_[arc(9, 0, 300, 20), [[9, -20, 0]]], 2.2, 6)
    return [Part(merge([hook, moved(torus(7, 2, 12, 6), 9, -28)]), pick(rng, ("zinc", "steel")))]


def _strap(rng: Generator, x: float, y: float, z: float) -> list[Part]:
    """A webbing strap lying over or beside the bag, with a buckle and a slide."""
    side = pick(rng, (-1, 1))
    knots = [
        (-0.45 * x, side * 0.3 * y, z),
        (-0.2 * x, side * (0.5 * y + draw(rng, (-60, 50))), draw(rng, (0, 1)) * z),
        (0.2 * x, side * (0.5 * y + draw(rng, (-80, 60))), 0.5 * z),
        (0.46 * x, side * 0.3 * y, 0.3 * z),
    ]
    path = spline(np.asarray(knots), 9, closed=False)
    flat = sweep(path, draw(rng, (7, 16)), 6)
    squeezed = Mesh(flat.vertices * np.array([1, 1, 0.999], np.float32), flat.faces)
    parts = [Part(squeezed, pick(rng, ("nylon", "polyester", "polyurethane")), draw(rng, (0.08, 0.22)))]
    for at in (0.15, 0.8):
        spot = path[int(at * (len(path) - 1))]
        angle = draw(rng, (0, 360))
        parts += [Part(moved(turned(p.mesh, "z", angle), *spot), p.material, p.fill) for p in _buckle(rng)]
    return parts


def _handle(rng: Generator, x: float, y: float, z: float, side: int) -> list[Part]:
    wide, out = draw(rng, (0.25, 0.5)) * x, draw(rng, (0.1, 0.45)) * y
    knots = [
        (-wide / 2, side * y / 2, z / 2),
        (-wide / 2.4, side * (y / 2 + out), z / 2),
        (wide / 2.4, side * (y / 2 + out), z / 2),
        (wide / 2, side * y / 2, z / 2),
    ]
    path = spline(np.asarray(knots), 8, closed=False)
    parts = [
        Part(
            sweep(path, draw(rng, (5, 9)), 8),
            pick(rng, ("polyester", "polyurethane", "leather")),
            draw(rng, (0.3, 0.7)),
        )
    ]
    for spot in path[[0, -1]]:
        parts += [
            Part(moved(turned(p.mesh, "z", draw(rng, (0, 360))), *spot), p.material, p.fill)
            for p in _buckle(rng)
        ]
    return parts


def make_bag(family: str, rng: Generator) -> Bag:
    """An empty bag of a type.

    Raises:
        KeyError: no such type; `DESIGNS` has them all.
    """
    design = DESIGNS[family]
    x, y, z = draw(rng, design.x), draw(rng, design.y), draw(rng, design.z)
    outline = _outline(design, rng, x, y)
    parts = [*_skin(design, rng, outline, z), *_rims(design, rng, outline, z)]
    for _ in range(int(rng.integers(design.zips[0], design.zips[1] + 1))):
        parts += _zip(rng, outline, z)
    if rng.random() < design.rods:
        parts += _trolley(rng, x, y)
    wheels = pick(rng, design.wheels)
    if wheels:
        parts += _wheels(rng, wheels, x, y, z)
    for _ in range(int(design.straps > rng.random()) * int(rng.integers(1, 3))):
        parts += _strap(rng, x, y, z)
    for k in range(design.handles):
        parts += _handle(rng, x, y, z, 1 if k == 0 else pick(rng, (-1, 1)))
    studs = np.c_[
        _along(outline, draw(rng, (8, 30)), 40)[rng.choice(40, 8, replace=False)],
        rng.uniform(0.1, 0.9, 8) * z,
    ]
    parts.append(
        Part(repeated(cylinder(draw(rng, (2, 5)), 3, 10), studs), pick(rng, ("steel", "brass", "zinc")))
    )
    return Bag(grouped(parts), (0.86 * x, 0.84 * y, 0.8 * z), 0.08 * z)

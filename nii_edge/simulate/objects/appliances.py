"""Appliances with motors, magnets, heaters and cables. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, pipe, rod
from nii_edge.simulate.objects.boards import board, lithium_slab, screws, shell
from nii_edge.simulate.objects.devices import fan, shift
from nii_edge.simulate.shapes import (
    arc,
    box,
    cylinder,
    frustum,
    merge,
    moved,
    repeated,
    revolve,
    rounded_box,
    shell_box,
    sphere,
    spline,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.solids import Part


def charger(rng: Generator) -> tuple[Part, ...]:
    """A plug-in supply: transformer, cans, prongs, and its coiled cable."""
    x, y, z = draw(rng, (45, 110)), draw(rng, (32, 60)), draw(rng, (24, 34))
    parts = shell(x, y, z, 2, 4, "abs") + shift(board(rng, 0.86 * x, 0.8 * y, 1.6), 0, 0, -6)
    core = merge([moved(box(0.26 * x, 0.5 * y, 0.5 * z), z=1)])
    prongs = [moved(box(18, 6, 1.6), -x / 2 - 8, s * 6.5) for s in (-1, 1)]
    parts += [
        Part(core, "steel", 0.8),
        Part(moved(torus(7, 3, 14, 8), 0.1 * x, 0, 2), "copper"),
        Part(merge(prongs), "brass"),
    ]
    return middle(grouped(parts + shift(list(cable(rng)), x / 2 + 60)))


def cable(rng: Generator) -> tuple[Part, ...]:
    """A coil of cable with plugs: copper cores in PVC."""
    r, turns, wire = draw(rng, (28, 75)), draw(rng, (1.5, 6)), draw(rng, (1.4, 3.8))
    path = arc(1.0, 0, 360 * turns, int(26 * turns))
    wobble = r * (1 + 0.12 * np.sin(1.7 * np.arange(len(path))[:, None] / 9)) * [1, draw(rng, (0.5, 1)), 0]
    path = (
        path * wobble
        + np.c_[np.cumsum(rng.normal(0, 0.5, (len(path), 2)), axis=0), np.linspace(0, 4 * wire, len(path))]
    )
    parts = [
        Part(sweep(path, wire, 7), "pvc"),
        Part(sweep(path, 0.48 * wire, 5), "copper", 0.75),
        Part(sweep(path, 0.48 * wire, 5), "pvc", -1.0),
    ]
    plugs = [moved(box(draw(rng, (18, 38)), draw(rng, (9, 16)), 7), *p) for p in (path[0], path[-1])]
    shells = [moved(shell_box(14, 10, 5, 0.4), *(p + np.array([16, 0, 0]))) for p in (path[0], path[-1])]
    return middle(grouped([*parts, Part(merge(plugs), "pvc"), Part(merge(shells), "steel")]))


def loose_wires(rng: Generator) -> tuple[Part, ...]:
    """A tangle of thin cables."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(2, 6))):
        knots = rng.normal(0, 1, (8, 3)) * [draw(rng, (50, 120)), draw(rng, (35, 90)), 10]
        path = spline(knots, 8, closed=False)
        w = draw(rng, (0.9, 2.2))
        parts += [Part(sweep(path, w, 6), "pvc"), Part(sweep(path, 0.5 * w, 5), "copper", 0.7)]
    return middle(grouped(parts))


def headphones(rng: Generator) -> tuple[Part, ...]:
    """Two cups with magnets, a sprung band."""
    wide = draw(rng, (72, 88))
    band = sweep(arc(wide, 0, 180, 26), 6, 8)
    spring = sweep(arc(wide, 4, 176, 26), 1.2, 6)
    parts = [Part(band, "abs", 0.7), Part(spring, "steel")]
    for s in (-1, 1):
        cup = [Part(turned(moved(tube(36, 22, 30, 24), z=-15), "y", 90), "polyurethane", 0.25), Part(turned(moved(cylinder(33, 6, 24), z=8 * s), "y", 90), "abs"),
               Part(turned(cylinder(11, 6, 18), "y", 90), "steel"), Part(turned(moved(torus(12, 1.5, 18, 6), z=4), "y", 90), "copper")]  # fmt: skip
        parts += shift(cup, s * wide, -12)
    return middle(grouped(parts))


def speaker(rng: Generator) -> tuple[Part, ...]:
    """One or two drivers with magnets, a cell, a board."""
    x, y, z = draw(rng, (130, 260)), draw(rng, (65, 110)), draw(rng, (60, 95))
    parts = shell(x, y, z, 2.5, 10, pick(rng, ("abs", "wood")))
    r = 0.4 * min(y, z)
    for s in (-1, 1):
        frame = [frustum(r, 0.5 * r, 0.5 * r, 24)]
        magnet = [
            Part(moved(cylinder(0.55 * r, 12, 20), z=0.5 * r), "steel"),
            Part(moved(torus(0.9 * r, 2, 20, 6)), "steel"),
        ]
        cone_part = [
            Part(frame[0], "paper", 0.3),
            Part(moved(tube(0.3 * r, 0.27 * r, 9, 16), z=0.4 * r), "copper"),
        ]
        parts += shift([*magnet, *cone_part], s * 0.28 * x, 0, -0.45 * z)
    return middle(
        grouped(
            parts
            + shift(board(rng, 60, 40), 0, 0, 0.3 * z)
            + shift(lithium_slab(50, 34, 8), 0, 0.1 * y, 0.1 * z)
        )
    )


def hair_dryer(rng: Generator) -> tuple[Part, ...]:
    """Barrel with heater coil and motor, handle with switch and cord."""
    barrel = [
        Part(turned(tube(38, 35.5, 170, 24), "y", 90), "abs"),
        Part(pipe((110, 0, 0), (190, 0, 0), 30, 28.5), "abs"),
    ]
    heater = coil((90, 0, 0), (150, 0, 0), 22, 12, 1.2)
    mica = [moved(box(60, 46, 0.5), 120), moved(turned(box(60, 46, 0.5), "x", 90), 120)]
    motor = [pipe((25, 0, 0), (62, 0, 0), 16, 12), rod((15, 0, 0), (75, 0, 0), 2)]
    fan = [turned(moved(box(2, 26, 9), 80, 16, 0), "x", a) for a in range(0, 360, 60)]
    grip = [Part(rounded_box(34, 120, 34, 12), "abs"), Part(rounded_box(29, 115, 29, 10), "abs", -1.0)]
    switch = Part(moved(merge([box(9, 30, 12), moved(box(6, 6, 16), 0, 20)]), 55, -70), "brass", 0.6)
    parts = [
        *barrel,
        Part(merge([heater]), "steel"),
        Part(merge(mica), "glass", 0.8),
        Part(merge(motor), "steel"),
        Part(pipe((28, 0, 0), (58, 0, 0), 11, 5), "copper", 0.7),
        Part(merge(fan), "nylon"),
    ]
    return middle(grouped([*parts, *shift(grip, 55, -90), switch, *shift(list(cable(rng)), 60, -210)]))


def drill(rng: Generator) -> tuple[Part, ...]:
    """A cordless drill: chuck, gear box, motor, trigger, cells in the foot."""
    chuck = [
        rod((95, 0, 0), (140, 0, 0), 20),
        rod((138, 0, 0), (160, 0, 0), 12),
        pipe((62, 0, 0), (95, 0, 0), 26, 12),
    ]
    motor = [pipe((5, 0, 0), (60, 0, 0), 20, 16), rod((0, 0, 0), (64, 0, 0), 4)]
    body = [Part(rounded_box(120, 62, 58, 20), "nylon"), Part(rounded_box(114, 56, 52, 18), "nylon", -1.0)]
    grip = [Part(rounded_box(38, 120, 34, 12), "nylon"), Part(rounded_box(32, 116, 28, 10), "nylon", -1.0)]
    cells = [moved(turned(cylinder(8.8, 64, 16), "x", 0), k * 19.0 - 9, -165, -32) for k in range(3)]
    foot = [
        Part(moved(shell_box(82, 44, 78, 2.5), 10, -165), "abs"),
        Part(merge(cells), "licoo2_cell"),
        Part(moved(box(60, 2, 66), 8, -146), "steel"),
    ]
    parts = [
        *shift(body, 30),
        *shift(grip, 5, -85),
        *foot,
        Part(merge([*chuck, *motor]), "steel"),
        Part(pipe((12, 0, 0), (52, 0, 0), 15, 6), "copper", 0.7),
    ]
    return middle(grouped(parts + shift(board(rng, 24, 50), 6, -60)))


def bulb(rng: Generator) -> tuple[Part, ...]:
    """An LED lamp: cap, heat sink, board, plastic dome."""
    dome = revolve([(10, 0), (24, 18), (30, 38), (24, 54), (4, 64)], 20)
    inner = revolve([(9, 1), (23, 18), (29, 38), (23, 53), (3, 62.5)], 20)
    cap_mesh = [moved(tube(13, 12.4, 24, 18), z=-24), moved(cylinder(5, 3, 10), z=-27)]
    parts = [
        Part(dome, "polypropylene"),
        Part(inner, "polypropylene", -1.0),
        Part(merge(cap_mesh), "brass"),
        Part(moved(cylinder(20, 2, 20), z=20), "aluminium"),
    ]
    parts.append(
        Part(
            repeated(box(3, 3, 1), [(13 * np.cos(a), 13 * np.sin(a), 23) for a in np.linspace(0, 5.5, 8)]),
            "ceramic",
        )
    )
    return middle(
        grouped(
            Part(turned(p.mesh, "y", 90), p.material, p.fill)
            for p in [*parts, *shift(board(rng, 16, 14), z=4)]
        )
    )


def power_strip(rng: Generator) -> tuple[Part, ...]:
    """Sockets in a row over brass rails, with a switch and a cord."""
    count = int(rng.integers(3, 7))
    x = 55.0 * count + 40
    parts = shell(x, 56, 40, 2.4, 6, "abs")
    rails = [moved(box(x - 50, 6, 0.9), 0, s * 9) for s in (-1, 1)]
    clips = repeated(
        shell_box(12, 7, 18, 0.6),
        [(55.0 * (k + 0.5) - x / 2 + 30, s * 9.0, 4) for k in range(count) for s in (-1, 1)],
    )
    return middle(
        grouped([*parts, Part(merge([*rails, clips]), "brass"), *shift(list(cable(rng)), x / 2 + 70)])
    )


def toy_car(rng: Generator) -> tuple[Part, ...]:
    """A model car with motor, gears, axles, cells and screws."""
    x = draw(rng, (110, 280))
    y, z = 0.46 * x, 0.3 * x
    parts = shell(x, y, z, 2, 0.1 * x, pick(rng, ("abs", "polypropylene")))
    wheels = repeated(
        turned(moved(tube(0.17 * x, 0.07 * x, 0.1 * x, 18), z=-0.05 * x), "x", 90),
        [(i * 0.33 * x, j * 0.48 * y, -0.4 * z) for i in (-1, 1) for j in (-1, 1)],
    )
    axles = [rod((i * 0.33 * x, -0.5 * y, -0.4 * z), (i * 0.33 * x, 0.5 * y, -0.4 * z), 1.5) for i in (-1, 1)]
    motor = [
        pipe((-0.2 * x, 0, -0.2 * z), (-0.2 * x + 26, 0, -0.2 * z), 11, 8.5),
        rod((-0.26 * x, 0, -0.2 * z), (-0.2 * x + 28, 0, -0.2 * z), 1),
    ]
    cells = [
        rod((0.02 * x, (k - 1) * 15.0, -0.1 * z), (0.02 * x + 49, (k - 1) * 15.0, -0.1 * z), 7)
        for k in range(3)
    ]
    return middle(
        grouped(
            [
                *parts,
                Part(wheels, "rubber", 0.5),
                Part(merge([*axles, *motor]), "steel"),
                Part(merge(cells), "zinc", 0.7),
                *shift(board(rng, 36, 26), 0.1 * x, 0, 0.1 * z),
                screws(x, y, z),
            ]
        )
    )


def shaver(rng: Generator) -> tuple[Part, ...]:
    """Handle with motor and cell, metal head."""
    x = draw(rng, (110, 165))
    parts = shell(x, 52, 36, 2, 14, "abs") + shift(board(rng, 60, 26), -10, 0, 8)
    head = merge([moved(sphere(13, 16), x / 2 + 4, k * 17.0) for k in (-1, 0, 1)])
    cell = [
        Part(rod((-0.42 * x, 0, -4), (-0.42 * x + 49, 0, -4), 7), "licoo2_cell"),
        Part(pipe((-0.42 * x, 0, -4), (-0.42 * x + 50, 0, -4), 7.4, 7), "steel"),
    ]
    return middle(
        grouped(
            [
                *parts,
                *cell,
                Part(head, "stainless", 0.25),
                Part(pipe((0.08 * x, 0, 0), (0.08 * x + 28, 0, 0), 12, 9), "steel"),
            ]
        )
    )


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        charger,
        cable,
        loose_wires,
        headphones,
        speaker,
        hair_dryer,
        drill,
        bulb,
        fan,
        power_strip,
        toy_car,
        shaver,
    )
}

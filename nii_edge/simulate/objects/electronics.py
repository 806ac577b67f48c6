"""Electronics: boards, cans, connectors, cables, cells and shells. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, pin, pipe, rod, slab
from nii_edge.simulate.shapes import (
    arc,
    box,
    chain,
    circle,
    cylinder,
    extrude,
    frustum,
    merge,
    moved,
    rectangle,
    repeated,
    revolve,
    rounded,
    rounded_box,
    shell_box,
    sphere,
    spline,
    stretched,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Mesh, Part

_UNIT = box(1, 1, 1)


def boxes(centres: Floats, sizes: Floats) -> Mesh:
    """Many boxes at once: (n, 3) middles and (n, 3) sizes."""
    return stretched(_UNIT, centres, sizes)


def _spread(rng: Generator, count: int, x: float, y: float, low: float, high: float) -> tuple[Floats, Floats]:
    """Places on a board and sizes in the plane, keyed to a 2.5 mm grid."""
    spots = np.round(rng.uniform(-0.46, 0.46, (count, 2)) * [x, y] / 2.5) * 2.5
    return spots, rng.uniform(low, high, (count, 2))


def board(rng: Generator, x: float, y: float, dense: float = 1.0) -> list[Part]:
    """A populated circuit board about the origin, parts on top: chips, cans, coils, connectors, pins.

    `dense`: how crowded, 1 for a usual board.
    """
    area = dense * x * y / 1000
    parts = [
        Part(box(x, y, 1.5), "fr4"),
        Part(box(0.96 * x, 0.94 * y, 0.14), "copper", draw(rng, (0.4, 1.0))),
    ]
    many = max(int(9 * area), 6)
    spots, sizes = _spread(rng, many, x, y, 1.0, 3.2)
    small = boxes(np.c_[spots, np.full(many, 1.2)], np.c_[sizes, rng.uniform(0.6, 1.2, many)])
    chips = max(int(0.6 * area), 2)
    spots, sizes = _spread(rng, chips, 0.9 * x, 0.9 * y, 4, 16)
    cases = boxes(np.c_[spots, np.full(chips, 2.0)], np.c_[sizes, np.full(chips, 2.2)])
    leads = boxes(np.c_[spots, np.full(chips, 1.2)], np.c_[sizes + 3, np.full(chips, 0.3)])
    dies = boxes(np.c_[spots, np.full(chips, 2.0)], np.c_[sizes * 0.4, np.full(chips, 0.5)])
    parts += [
        Part(small, "ceramic"),
        Part(cases, "abs"),
        Part(merge([leads]), "copper"),
        Part(dies, "silicon"),
    ]
    cans = max(int(0.22 * area), 1)
    metal = []
    for _ in range(min(cans, 14)):
        r, h = draw(rng, (2.5, 7)), draw(rng, (6, 16))
        metal.append(
            moved(tube(r, 0.55 * r, h, 12), draw(rng, (-0.45, 0.45)) * x, draw(rng, (-0.45, 0.45)) * y, 1)
        )
    parts.append(Part(merge(metal), "aluminium"))
    pins = max(int(6 * area), 8)
    rows = np.c_[np.round(rng.uniform(-0.47, 0.47, (pins, 2)) * [x, y] / 2.54) * 2.54, np.zeros(pins)]
    parts.append(Part(repeated(cylinder(0.7, 3.4, 6), rows - [0, 0, 1.7]), "solder"))
    if rng.random() < 0.7:
        shells = [
            moved(
                shell_box(draw(rng, (10, 18)), draw(rng, (8, 15)), draw(rng, (4, 12)), 0.4),
                x / 2 - 6,
                draw(rng, (-0.4, 0.4)) * y,
                5,
            )
            for _ in range(int(rng.integers(1, 5)))
        ]
        parts.append(Part(merge(shells), "steel"))
    if rng.random() < 0.5:
        r = draw(rng, (5, 11))
        at = draw(rng, (-0.35, 0.35)) * x, draw(rng, (-0.35, 0.35)) * y, r * 0.5
        parts.append(Part(moved(torus(r, 0.35 * r, 20, 8), *at), "copper", 0.6))
    if rng.random() < 0.4 and min(x, y) > 50:
        fins = boxes(np.array([(0, k * 4.0 - 14, 9.0) for k in range(8)]), np.tile([32.0, 1.2, 14], (8, 1)))
        spot = draw(rng, (-0.25, 0.25)) * x, draw(rng, (-0.25, 0.25)) * y
        parts.append(Part(merge([moved(fins, *spot, 0), moved(box(32, 32, 2), *spot, 2)]), "aluminium"))
    return parts


def _shift(parts: list[Part], x: float = 0.0, y: float = 0.0, z: float = 0.0) -> list[Part]:
    return [Part(moved(part.mesh, x, y, z), part.material, part.fill) for part in parts]


def shell(x: float, y: float, z: float, wall: float, radius: float, material: str) -> list[Part]:
    """A rounded hollow case about the origin."""
    inner = rounded_box(x - 2 * wall, y - 2 * wall, z - 2 * wall, max(radius - wall, 0.5), 3)
    return [Part(rounded_box(x, y, z, radius, 3), material), Part(inner, material, -1.0)]


def screws(x: float, y: float, z: float) -> Part:
    """One in each corner."""
    spots = [(i * (x / 2 - 6), j * (y / 2 - 6), -z / 2) for i in (-1, 1) for j in (-1, 1)]
    return Part(repeated(cylinder(1.4, 0.7 * z, 8), spots), "steel")


def lithium_slab(x: float, y: float, z: float) -> list[Part]:
    """A pouch cell inside a device."""
    return [
        Part(rounded_box(x, y, z, 0.4 * z, 2), "licoo2_cell"),
        Part(moved(box(4, 0.5 * y, 0.3), x / 2), "copper"),
    ]


def bare_board(rng: Generator) -> tuple[Part, ...]:
    """A circuit board by itself."""
    return middle(grouped(board(rng, draw(rng, (60, 260)), draw(rng, (40, 190)), draw(rng, (0.7, 1.4)))))


def phone(rng: Generator) -> tuple[Part, ...]:
    """Glass, cell, two small boards, camera, metal rim."""
    x, y, z = draw(rng, (135, 168)), draw(rng, (65, 78)), draw(rng, (7, 9.5))
    rim = extrude(
        rounded(rectangle(-x / 2, -y / 2, x / 2, y / 2), 8).difference(
            rounded(rectangle(-x / 2 + 2, -y / 2 + 2, x / 2 - 2, y / 2 - 2), 6)
        ),
        -z / 2,
        z / 2,
    )
    parts = [
        Part(rim, pick(rng, ("aluminium", "stainless", "abs"))),
        Part(moved(box(x - 4, y - 4, 0.9), z=z / 2 - 0.5), "glass"),
    ]
    parts += _shift(lithium_slab(0.5 * x, 0.66 * y, 4.4), -0.08 * x, -0.1 * y)
    parts += _shift(board(rng, 0.27 * x, 0.85 * y, 2.4), 0.33 * x) + _shift(
        board(rng, 0.12 * x, 0.8 * y), -0.41 * x
    )
    lenses = [moved(tube(5, 3, 5, 14), 0.4 * x, k * 14 - 14, -z / 2) for k in range(int(rng.integers(1, 4)))]
    return middle(
        grouped(
            [
                *parts,
                Part(merge(lenses), "steel"),
                Part(moved(box(x - 6, y - 6, 0.7), z=-z / 2 + 0.5), pick(rng, ("glass", "abs", "aluminium"))),
            ]
        )
    )


def laptop(rng: Generator) -> tuple[Part, ...]:
    """Lid with panel, keyboard, board, fan, heat pipe, cells, drive, hinges."""
    x, y = draw(rng, (300, 370)), draw(rng, (205, 255))
    case = pick(rng, ("aluminium", "abs", "abs"))
    parts = [Part(moved(box(x, y, 1.0), z=z), case) for z in (-9, 1)]
    parts += [Part(moved(box(x - 4, y - 4, 1.6), z=6), "glass"), Part(moved(box(x, y, 1.0), z=9), case)]
    keys = np.array([(i * 19.0 - 6.5 * 19, j * 18.5 - 10, 0.0) for i in range(14) for j in range(5)]) * [
        0.9 * x / 266,
        1,
        1,
    ]
    parts.append(Part(boxes(keys, np.tile([15.0, 15, 2], (70, 1))), "abs"))
    parts.append(Part(moved(box(0.9 * x, 95, 0.4), 0, 25, -1), "steel"))
    parts += _shift(board(rng, 0.75 * x, 0.42 * y, 1.2), 0, 0.2 * y, -5)
    if rng.random() < 0.5:
        cells = [
            _shift(lithium_slab(0.26 * x, 0.3 * y, 5), (k - 1) * 0.28 * x, -0.32 * y, -5) for k in range(3)
        ]
        parts += [part for each in cells for part in each]
    else:
        rolls = [
            moved(turned(cylinder(8.6, 64, 16), "y", 90), (k - 1.5) * 66 - 32, -0.36 * y, -4)
            for k in range(4)
        ]
        cans = [
            moved(turned(tube(9, 8.7, 65, 16), "y", 90), (k - 1.5) * 66 - 32, -0.36 * y, -4) for k in range(4)
        ]
        parts += [Part(merge(rolls), "licoo2_cell"), Part(merge(cans), "steel")]
    fan = [
        tube(24, 21, 7, 24),
        cylinder(8, 7, 16),
        *(turned(moved(box(14, 1.2, 6), 14, 0, 3), "z", a) for a in range(0, 360, 24)),
    ]
    pipe_line = sweep(
        spline([(0.1 * x, 0.25 * y, -4), (0.25 * x, 0.32 * y, -4), (0.36 * x, 0.3 * y, -4)], 6, closed=False),
        3,
        8,
    )
    hinges = [moved(box(38, 12, 6), s * 0.36 * x, y / 2 - 6, 2) for s in (-1, 1)]
    drive = moved(shell_box(100, 70, 8, 0.9), -0.3 * x, -0.05 * y, -4)
    return middle(
        grouped(
            [
                *parts,
                Part(moved(merge(fan), 0.36 * x, 0.3 * y, -8), "abs"),
                Part(pipe_line, "copper"),
                Part(merge(hinges), "steel"),
                Part(drive, "aluminium"),
                screws(x, y, 8),
            ]
        )
    )


def tablet(rng: Generator) -> tuple[Part, ...]:
    """A flat slab with large cells."""
    x, y, z = draw(rng, (190, 260)), draw(rng, (125, 185)), draw(rng, (7, 10))
    parts = [
        *shell(x, y, z, 0.9, 3, pick(rng, ("aluminium", "abs"))),
        Part(moved(box(x - 8, y - 8, 1.4), z=2), "glass"),
    ]
    for k in (-1, 1):
        parts += _shift(lithium_slab(0.36 * x, 0.6 * y, 3.4), k * 0.2 * x, -0.1 * y, -1)
    return middle(grouped(parts + _shift(board(rng, 0.8 * x, 0.16 * y, 2), 0, 0.36 * y, -2)))


def charger(rng: Generator) -> tuple[Part, ...]:
    """A plug-in supply: transformer, cans, prongs, and its coiled cable."""
    x, y, z = draw(rng, (45, 110)), draw(rng, (32, 60)), draw(rng, (24, 34))
    parts = shell(x, y, z, 2, 4, "abs") + _shift(board(rng, 0.86 * x, 0.8 * y, 1.6), 0, 0, -6)
    core = merge([moved(box(0.26 * x, 0.5 * y, 0.5 * z), z=1)])
    prongs = [moved(box(18, 6, 1.6), -x / 2 - 8, s * 6.5) for s in (-1, 1)]
    parts += [
        Part(core, "steel", 0.8),
        Part(moved(torus(7, 3, 14, 8), 0.1 * x, 0, 2), "copper"),
        Part(merge(prongs), "brass"),
    ]
    return middle(grouped(parts + _shift(list(cable(rng)), x / 2 + 60)))


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
        parts += _shift(cup, s * wide, -12)
    return middle(grouped(parts))


def mouse(rng: Generator) -> tuple[Part, ...]:
    """Shell, board, wheel, perhaps cells."""
    parts = shell(112, 62, 36, 2, 16, "abs") + _shift(board(rng, 80, 48, 0.8), 0, 0, -10)
    wheel = turned(moved(tube(11, 4, 7, 18), z=-3.5), "x", 90)
    parts.append(Part(moved(wheel, 28, 0, 6), "rubber"))
    if rng.random() < 0.6:
        parts += [
            Part(moved(turned(cylinder(7, 48, 14), "y", 90), -45, s * 9.0, -2), "zinc", 0.6) for s in (-1, 1)
        ]
    return middle(grouped(parts))


def remote(rng: Generator) -> tuple[Part, ...]:
    """A long case with rubber keys and two cells."""
    x = draw(rng, (130, 210))
    parts = shell(x, 46, 20, 1.8, 6, "abs") + _shift(board(rng, 0.8 * x, 36, 0.5), 0.05 * x, 0, 2)
    cells = [
        Part(moved(turned(cylinder(5.2, 44, 14), "y", 90), -0.4 * x, s * 6.0, -3), "zinc", 0.7)
        for s in (-1, 1)
    ]
    ends = [coil((-0.44 * x, s * 6, -3), (-0.4 * x, s * 6, -3), 3, 4, 0.5) for s in (-1, 1)]
    return middle(grouped([*parts, *cells, Part(merge(ends), "steel")]))


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
        parts += _shift([*magnet, *cone_part], s * 0.28 * x, 0, -0.45 * z)
    return middle(
        grouped(
            parts
            + _shift(board(rng, 60, 40), 0, 0, 0.3 * z)
            + _shift(lithium_slab(50, 34, 8), 0, 0.1 * y, 0.1 * z)
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
    return middle(grouped([*parts, *_shift(grip, 55, -90), switch, *_shift(list(cable(rng)), 60, -210)]))


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
        *_shift(body, 30),
        *_shift(grip, 5, -85),
        *foot,
        Part(merge([*chuck, *motor]), "steel"),
        Part(pipe((12, 0, 0), (52, 0, 0), 15, 6), "copper", 0.7),
    ]
    return middle(grouped(parts + _shift(board(rng, 24, 50), 6, -60)))


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
            for p in [*parts, *_shift(board(rng, 16, 14), z=4)]
        )
    )


def fan(rng: Generator) -> tuple[Part, ...]:
    """A square computer fan or a row of them."""
    size = pick(rng, (40.0, 60.0, 80.0, 120.0))
    frame = extrude(
        rounded(rectangle(-size / 2, -size / 2, size / 2, size / 2), 5).difference(circle(0, 0, 0.46 * size)),
        0,
        0.2 * size,
    )
    blades = [
        turned(moved(turned(box(0.28 * size, 0.2 * size, 1.6), "x", 35), 0.3 * size, 0, 0.1 * size), "z", a)
        for a in range(0, 360, 52)
    ]
    hub = [
        Part(moved(cylinder(0.16 * size, 0.2 * size, 18)), "abs"),
        Part(moved(torus(0.1 * size, 0.03 * size, 16, 6), z=0.1 * size), "copper"),
        Part(moved(tube(0.15 * size, 0.13 * size, 0.16 * size, 18)), "steel"),
    ]
    return middle(grouped([Part(merge([frame, *blades]), "abs"), *hub]))


def hard_drive(rng: Generator) -> tuple[Part, ...]:
    """Cast case with platters, spindle, arm magnet and a board."""
    x, y, z = pick(rng, ((147.0, 102.0, 26.0), (100.0, 70.0, 9.5)))
    platters = [moved(tube(0.44 * y, 0.13 * y, 1.2, 28), 0.12 * x, 0, k * 0.2 * z) for k in range(-1, 2)]
    arm = slab(chain(circle(-0.36 * x, 0.2 * y, 9), rectangle(-0.36 * x, 0.17 * y, 0, 0.23 * y)), 0.5 * z)
    parts = [
        Part(shell_box(x, y, z, 3), "aluminium"),
        Part(merge(platters), "aluminium"),
        Part(
            merge(
                [
                    arm,
                    pin(0.12 * x, 0, 0.12 * y, 0.7 * z),
                    moved(box(0.2 * x, 0.28 * y, 0.3 * z), -0.38 * x, 0.3 * y),
                ]
            ),
            "steel",
        ),
    ]
    return middle(grouped(parts + _shift(board(rng, 0.9 * x, 0.5 * y, 0.8), 0, -0.2 * y, -0.5 * z - 2)))


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
        grouped([*parts, Part(merge([*rails, clips]), "brass"), *_shift(list(cable(rng)), x / 2 + 70)])
    )


def router(rng: Generator) -> tuple[Part, ...]:
    """A flat box with a big board, ports in a row and aerials."""
    x, y = draw(rng, (140, 240)), draw(rng, (100, 160))
    parts = shell(x, y, 32, 2, 5, "abs") + _shift(board(rng, 0.8 * x, 0.7 * y, 1.2), z=-6)
    jacks = repeated(shell_box(16, 15, 13, 0.5), [(k * 17.0 - 40, y / 2 - 18, 2) for k in range(5)])
    aerials = [
        rod((s * 0.4 * x, y / 2, 0), (s * 0.5 * x, y / 2 + draw(rng, (60, 170)), 10), 5) for s in (-1, 1)
    ]
    cores = [rod((s * 0.4 * x, y / 2, 0), (s * 0.46 * x, y / 2 + 90, 6), 0.9) for s in (-1, 1)]
    return middle(
        grouped([*parts, Part(jacks, "steel"), Part(merge(aerials), "abs"), Part(merge(cores), "copper")])
    )


def watch(rng: Generator) -> tuple[Part, ...]:
    """Case, movement, button cell, strap of links or leather."""
    r = draw(rng, (16, 23))
    case = [tube(r, 0.86 * r, 9, 24), cylinder(0.9 * r, 1.4, 24), pipe((r, 0, 4), (r + 4, 0, 4), 2.4, 0.4)]
    works = [moved(cylinder(0.7 * r, 3, 20), z=2)]
    links = repeated(
        box(8, 17, 3), [(s * (r + 6 + 8.4 * k), 0, 3 - 0.3 * k) for k in range(7) for s in (-1, 1)]
    )
    parts = [
        Part(merge(case), pick(rng, ("stainless", "zinc", "abs"))),
        Part(merge(works), "brass", 0.7),
        Part(moved(cylinder(0.9 * r, 1.6, 24), z=8), "glass"),
    ]
    return middle(
        grouped(
            [
                *parts,
                Part(links, pick(rng, ("stainless", "leather", "rubber"))),
                Part(moved(cylinder(4.6, 2, 14), 3, 3, 2), "steel"),
            ]
        )
    )


def camera(rng: Generator) -> tuple[Part, ...]:
    """Body, lens with glass groups, battery."""
    x, y, z = draw(rng, (95, 140)), draw(rng, (60, 95)), draw(rng, (30, 55))
    parts = shell(x, y, z, 2.4, 8, pick(rng, ("abs", "aluminium"))) + _shift(
        board(rng, 0.8 * x, 0.8 * y, 1.6), z=-0.3 * z
    )
    r = 0.38 * y
    lens = [Part(moved(tube(r, 0.84 * r, 0.9 * y, 26), z=z / 2), "aluminium")]
    glass = [
        Part(
            merge(
                [
                    moved(
                        revolve([(0.5 * r, 0), (0.82 * r, 2), (0.82 * r, 4), (0.5 * r, 7)], 20),
                        z=z / 2 + k * 0.28 * y,
                    )
                    for k in range(3)
                ]
            ),
            "glass",
        )
    ]
    return middle(grouped([*parts, *lens, *glass, *_shift(lithium_slab(34, 0.7 * y, 14), 0.36 * x)]))


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
                *_shift(board(rng, 36, 26), 0.1 * x, 0, 0.1 * z),
                screws(x, y, z),
            ]
        )
    )


def game_pad(rng: Generator) -> tuple[Part, ...]:
    """Two-handed controller: sticks, motors, board, cell."""
    parts = shell(105, 58, 34, 2, 12, "abs")
    for s in (-1, 1):
        horn = [
            Part(rounded_box(38, 80, 32, 15), "abs"),
            Part(rounded_box(34, 76, 28, 13), "abs", -1.0),
            Part(turned(tube(10, 6, 16, 16), "y", 90), "steel"),
        ]
        parts += _shift(horn, s * 62, -22)
        parts += [
            Part(
                moved(merge([cylinder(8, 10, 16), moved(shell_box(17, 17, 10, 0.6), z=-4)]), s * 26, -12, 10),
                "abs",
            )
        ]
    return middle(grouped(parts + _shift(board(rng, 95, 45), z=2) + _shift(lithium_slab(48, 34, 6), z=-8)))


def shaver(rng: Generator) -> tuple[Part, ...]:
    """Handle with motor and cell, metal head."""
    x = draw(rng, (110, 165))
    parts = shell(x, 52, 36, 2, 14, "abs") + _shift(board(rng, 60, 26), -10, 0, 8)
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
        bare_board, phone, laptop, tablet, charger, cable, loose_wires, headphones, mouse, remote, speaker, hair_dryer,
        drill, bulb, fan, hard_drive, power_strip, router, watch, camera, toy_car, game_pad, shaver,
    )
}  # fmt: skip

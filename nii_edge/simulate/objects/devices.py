"""Devices with a board, a cell and a shell. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, pin, pipe, rod, slab
from nii_edge.simulate.objects.boards import board, boxes, lithium_slab, screws, shell
from nii_edge.simulate.shapes import (
    box,
    chain,
    circle,
    cylinder,
    extrude,
    merge,
    moved,
    rectangle,
    repeated,
    revolve,
    rounded,
    rounded_box,
    shell_box,
    spline,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.solids import Part


def shift(parts: list[Part], x: float = 0.0, y: float = 0.0, z: float = 0.0) -> list[Part]:
    """All parts moved."""
    return [Part(moved(part.mesh, x, y, z), part.material, part.fill) for part in parts]


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
    parts += shift(lithium_slab(0.5 * x, 0.66 * y, 4.4), -0.08 * x, -0.1 * y)
    parts += shift(board(rng, 0.27 * x, 0.85 * y, 2.4), 0.33 * x) + shift(
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
    parts += shift(board(rng, 0.75 * x, 0.42 * y, 1.2), 0, 0.2 * y, -5)
    if rng.random() < 0.5:
        cells = [
            shift(lithium_slab(0.26 * x, 0.3 * y, 5), (k - 1) * 0.28 * x, -0.32 * y, -5) for k in range(3)
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
        parts += shift(lithium_slab(0.36 * x, 0.6 * y, 3.4), k * 0.2 * x, -0.1 * y, -1)
    return middle(grouped(parts + shift(board(rng, 0.8 * x, 0.16 * y, 2), 0, 0.36 * y, -2)))


def mouse(rng: Generator) -> tuple[Part, ...]:
    """Shell, board, wheel, perhaps cells."""
    parts = shell(112, 62, 36, 2, 16, "abs") + shift(board(rng, 80, 48, 0.8), 0, 0, -10)
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
    parts = shell(x, 46, 20, 1.8, 6, "abs") + shift(board(rng, 0.8 * x, 36, 0.5), 0.05 * x, 0, 2)
    cells = [
        Part(moved(turned(cylinder(5.2, 44, 14), "y", 90), -0.4 * x, s * 6.0, -3), "zinc", 0.7)
        for s in (-1, 1)
    ]
    ends = [coil((-0.44 * x, s * 6, -3), (-0.4 * x, s * 6, -3), 3, 4, 0.5) for s in (-1, 1)]
    return middle(grouped([*parts, *cells, Part(merge(ends), "steel")]))


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
    return middle(grouped(parts + shift(board(rng, 0.9 * x, 0.5 * y, 0.8), 0, -0.2 * y, -0.5 * z - 2)))


def router(rng: Generator) -> tuple[Part, ...]:
    """A flat box with a big board, ports in a row and aerials."""
    x, y = draw(rng, (140, 240)), draw(rng, (100, 160))
    parts = shell(x, y, 32, 2, 5, "abs") + shift(board(rng, 0.8 * x, 0.7 * y, 1.2), z=-6)
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
    parts = shell(x, y, z, 2.4, 8, pick(rng, ("abs", "aluminium"))) + shift(
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
    return middle(grouped([*parts, *lens, *glass, *shift(lithium_slab(34, 0.7 * y, 14), 0.36 * x)]))


def game_pad(rng: Generator) -> tuple[Part, ...]:
    """Two-handed controller: sticks, motors, board, cell."""
    parts = shell(105, 58, 34, 2, 12, "abs")
    for s in (-1, 1):
        horn = [
            Part(rounded_box(38, 80, 32, 15), "abs"),
            Part(rounded_box(34, 76, 28, 13), "abs", -1.0),
            Part(turned(tube(10, 6, 16, 16), "y", 90), "steel"),
        ]
        parts += shift(horn, s * 62, -22)
        parts += [
            Part(
                moved(merge([cylinder(8, 10, 16), moved(shell_box(17, 17, 10, 0.6), z=-4)]), s * 26, -12, 10),
                "abs",
            )
        ]
    return middle(grouped(parts + shift(board(rng, 95, 45), z=2) + shift(lithium_slab(48, 34, 6), z=-8)))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        phone,
        laptop,
        tablet,
        mouse,
        remote,
        router,
        watch,
        camera,
        hard_drive,
        game_pad,
    )
}

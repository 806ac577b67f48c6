"""Lithium packs. They lie flat, x longest."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick, pipe
from nii_edge.simulate.shapes import (
    box,
    cylinder,
    merge,
    moved,
    rounded_box,
    shell_box,
    tube,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part


def cell(radius: float, high: float) -> tuple[Mesh, Mesh]:
    """A round cell about the origin, along z: (steel can, wound electrodes with their hollow middle)."""
    can = merge([tube(radius, radius - 0.3, high, 20), cylinder(radius - 0.3, 0.4, 20),
                 moved(cylinder(radius - 0.3, 1.2, 20), z=high - 1.2), moved(cylinder(0.35 * radius, 1, 12), z=high)])  # fmt: skip
    roll = moved(tube(radius - 0.5, 1.5, high - 6, 20), z=2)
    return moved(can, z=-high / 2), moved(roll, z=-high / 2)


def cell_block(rng: Generator, columns: int, rows: int, lying: bool = True) -> list[Part]:
    """Round cells in a grid, welded with nickel strips."""
    radius, high = pick(rng, ((9.2, 65.0), (10.6, 70.0), (7.0, 50.0)))
    can, roll = cell(radius, high)
    if lying:
        can, roll = turned(can, "y", 90), turned(roll, "y", 90)
    cans, rolls = [], []
    step = (high + 2 if lying else 2 * radius + 0.6), 2 * radius + 0.6
    for i in range(columns):
        for j in range(rows):
            x, y = (i - (columns - 1) / 2) * step[0], (j - (rows - 1) / 2) * step[1]
            cans.append(moved(can, x, y))
            rolls.append(moved(roll, x, y))
    if lying:
        strips = [
            moved(box(0.3, rows * step[1], 8), (i - columns / 2) * step[0], 0) for i in range(columns + 1)
        ]
    else:
        strips = [moved(box(columns * step[0], 7, 0.3), 0, (j - (rows - 1) / 2) * step[1], z)
                  for j in range(rows) for z in (-high / 2 - 0.8, high / 2 + 1.3)]  # fmt: skip
    return [Part(merge([*cans, *strips]), "steel"), Part(merge(rolls), "licoo2_cell")]


def _board(rng: Generator, x: float, y: float) -> list[Part]:
    chips = [moved(box(draw(rng, (3, 8)), draw(rng, (3, 6)), 1.4), draw(rng, (-0.4, 0.4)) * x, draw(rng, (-0.4, 0.4)) * y, 1.5)
             for _ in range(6)]  # fmt: skip
    return [
        Part(box(x, y, 1.2), "fr4"),
        Part(merge(chips), "silicon"),
        Part(box(0.9 * x, 0.8 * y, 0.07), "copper"),
    ]


def around(parts: list[Part], wall: float, material: str, gap: float = 2.0) -> list[Part]:
    """The parts in a closed box of this wall, `gap` mm off them."""
    low = np.min([part.mesh.vertices.min(axis=0) for part in parts], axis=0)
    high = np.max([part.mesh.vertices.max(axis=0) for part in parts], axis=0)
    x, y, z = (float(v) for v in high - low + 2 * (wall + gap))
    middle_of = (high + low) / 2
    return [*parts, Part(moved(shell_box(x, y, z, wall), *(float(v) for v in middle_of)), material)]


def _shift(parts: list[Part], x: float = 0.0, y: float = 0.0, z: float = 0.0) -> list[Part]:
    return [Part(moved(part.mesh, x, y, z), part.material, part.fill) for part in parts]


def cell_pack(rng: Generator) -> tuple[Part, ...]:
    """Shrink-wrapped round cells with a protection board."""
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(2, 7))
    parts = cell_block(rng, columns, rows)
    high = float(max(part.mesh.vertices[:, 2].max() for part in parts))
    return middle(grouped(around(parts + _shift(_board(rng, 50, 18), z=high + 2), 0.3, "pvc", 0.5)))


def bike_battery(rng: Generator) -> tuple[Part, ...]:
    """A long case full of upright cells."""
    parts = cell_block(rng, int(rng.integers(8, 15)), int(rng.integers(3, 5)), lying=False)
    board = _shift(_board(rng, 60, 60), float(parts[0].mesh.vertices[:, 0].max()) + 36)
    return middle(grouped(around(parts + board, 2.5, pick(rng, ("abs", "aluminium")))))


def laptop_battery(rng: Generator) -> tuple[Part, ...]:
    """Flat case, six to nine round cells in two rows, a board along the edge."""
    parts = cell_block(rng, 3, int(rng.integers(2, 4)))
    board = _shift(_board(rng, 150, 9), y=float(parts[0].mesh.vertices[:, 1].max()) + 6)
    return middle(grouped(around(parts + board, 1.2, "abs", 1.0)))


def _pouch(x: float, y: float, z: float) -> list[Part]:
    tabs = merge([moved(box(14, 8, 0.3), x / 2 + 6, side * 0.25 * y) for side in (-1, 1)])
    foil = merge([shell_box(x, y, z, 0.15), moved(box(8, y, 0.3), x / 2 + 2)])
    return [
        Part(rounded_box(x - 1, y - 1, z - 0.4, 0.45 * z), "licoo2_cell"),
        Part(foil, "aluminium"),
        Part(tabs, "copper"),
    ]


def pouch_stack(rng: Generator) -> tuple[Part, ...]:
    """A model maker's pack: pouch cells on top of each other, fat wires and a plug."""
    x, y, z, count = draw(rng, (65, 160)), draw(rng, (28, 60)), draw(rng, (5, 9)), int(rng.integers(2, 7))
    parts = [part for k in range(count) for part in _shift(_pouch(x, y, z), z=k * (z + 0.4))]
    wires = [
        pipe((x / 2, s * 5, count * z / 2), (x / 2 + 50, s * 9, count * z / 2), 2.2, 1.4) for s in (-1, 1)
    ]
    cores = [
        pipe((x / 2, s * 5, count * z / 2), (x / 2 + 58, s * 9, count * z / 2), 1.4, 0.2) for s in (-1, 1)
    ]
    plug = moved(box(16, 18, 8), x / 2 + 56, 0, count * z / 2)
    return middle(
        grouped([*parts, Part(merge(wires), "rubber"), Part(merge(cores), "copper"), Part(plug, "nylon")])
    )


def power_bank(rng: Generator) -> tuple[Part, ...]:
    """One or two pouch cells or a row of round ones with a board and sockets."""
    if rng.random() < 0.5:
        x, y = draw(rng, (80, 130)), draw(rng, (50, 65))
        parts = [part for k in range(int(rng.integers(1, 3))) for part in _shift(_pouch(x, y, 7), z=7.5 * k)]
    else:
        parts = cell_block(rng, 1, int(rng.integers(1, 5)))
        x, y = 66.0, float(np.ptp(parts[0].mesh.vertices[:, 1]))
    end = float(max(part.mesh.vertices[:, 0].max() for part in parts))
    ports = merge([moved(shell_box(12, 13, 6, 0.4), end + 14, k * 15 - 7) for k in range(2)])
    board = _shift(_board(rng, 20, 0.8 * max(y, 20)), end + 12, 0, 3)
    return middle(
        grouped(around([*parts, *board, Part(ports, "steel")], 1.6, pick(rng, ("abs", "aluminium")), 1.0))
    )


def tool_battery(rng: Generator) -> tuple[Part, ...]:
    """Ten cells in two layers under a slide-on foot."""
    layer = cell_block(rng, 1, 5)
    high = float(np.ptp(layer[0].mesh.vertices[:, 2]))
    parts = layer + _shift(layer, z=high + 1)
    wide = float(np.ptp(layer[0].mesh.vertices[:, 1]))
    foot = Part(moved(shell_box(44, 0.7 * wide, 20, 2.5), z=2 * high + 8), "abs")
    contacts = Part(merge([moved(box(14, 0.8, 10), 0, k * 9 - 18, 2 * high + 8) for k in range(5)]), "copper")
    return middle(grouped([*around(parts, 2.5, "abs"), foot, contacts]))


def loose_cells(rng: Generator) -> tuple[Part, ...]:
    """Round cells lying in a tray."""
    parts = cell_block(rng, int(rng.integers(2, 6)), int(rng.integers(3, 9)), lying=False)
    return middle(grouped(around(parts, 0.6, "paper", 1.0)))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        cell_pack,
        bike_battery,
        laptop_battery,
        pouch_stack,
        power_bank,
        tool_battery,
        loose_cells,
    )
}

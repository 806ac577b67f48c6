"""Lithium packs, pressed blocks, tablets, notes, shielding and small parcels. They lie flat, x longest."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, inset, middle, pick, pipe
from nii_edge.simulate.shapes import (
    box,
    cloth_pile,
    crumpled,
    cylinder,
    merge,
    moved,
    revolve,
    rounded_box,
    scaled,
    sheet,
    shell_box,
    tube,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part

_POWDERS = ("cocaine", "heroin", "fentanyl_hcl", "tnt", "rdx")


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


def _around(parts: list[Part], wall: float, material: str, gap: float = 2.0) -> list[Part]:
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
    return middle(grouped(_around(parts + _shift(_board(rng, 50, 18), z=high + 2), 0.3, "pvc", 0.5)))


def bike_battery(rng: Generator) -> tuple[Part, ...]:
    """A long case full of upright cells."""
    parts = cell_block(rng, int(rng.integers(8, 15)), int(rng.integers(3, 5)), lying=False)
    board = _shift(_board(rng, 60, 60), float(parts[0].mesh.vertices[:, 0].max()) + 36)
    return middle(grouped(_around(parts + board, 2.5, pick(rng, ("abs", "aluminium")))))


def laptop_battery(rng: Generator) -> tuple[Part, ...]:
    """Flat case, six to nine round cells in two rows, a board along the edge."""
    parts = cell_block(rng, 3, int(rng.integers(2, 4)))
    board = _shift(_board(rng, 150, 9), y=float(parts[0].mesh.vertices[:, 1].max()) + 6)
    return middle(grouped(_around(parts + board, 1.2, "abs", 1.0)))


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
        grouped(_around([*parts, *board, Part(ports, "steel")], 1.6, pick(rng, ("abs", "aluminium")), 1.0))
    )


def tool_battery(rng: Generator) -> tuple[Part, ...]:
    """Ten cells in two layers under a slide-on foot."""
    layer = cell_block(rng, 1, 5)
    high = float(np.ptp(layer[0].mesh.vertices[:, 2]))
    parts = layer + _shift(layer, z=high + 1)
    wide = float(np.ptp(layer[0].mesh.vertices[:, 1]))
    foot = Part(moved(shell_box(44, 0.7 * wide, 20, 2.5), z=2 * high + 8), "abs")
    contacts = Part(merge([moved(box(14, 0.8, 10), 0, k * 9 - 18, 2 * high + 8) for k in range(5)]), "copper")
    return middle(grouped([*_around(parts, 2.5, "abs"), foot, contacts]))


def loose_cells(rng: Generator) -> tuple[Part, ...]:
    """Round cells lying in a tray."""
    parts = cell_block(rng, int(rng.integers(2, 6)), int(rng.integers(3, 9)), lying=False)
    return middle(grouped(_around(parts, 0.6, "paper", 1.0)))


def _wrap(rng: Generator, size: tuple[float, float, float], material: str, layers: int) -> list[Part]:
    x, y, z = size
    film = [sheet(rng, (x + 2 + k, y + 2 + k), 0.15, 0.8, 25, 20) for k in range(layers)]
    skins = [moved(mesh, z=side * (z / 2 + 1.0)) for mesh in film for side in (-1, 1)]
    return [Part(merge([*skins, shell_box(x + 1.4, y + 1.4, z + 1.4, 0.4)]), material)]


def brick(rng: Generator) -> tuple[Part, ...]:
    """A pressed block with a stamped mark, in layers of film and tape."""
    x, y, z = draw(rng, (150, 260)), draw(rng, (95, 170)), draw(rng, (22, 65))
    powder = pick(rng, _POWDERS)
    mark = moved(turned(box(0.3 * x, 8, 2.4), "z", draw(rng, (0, 180))), z=z / 2 - 1)
    body = [Part(rounded_box(x, y, z, draw(rng, (3, 9))), powder), Part(mark, powder, -1.0)]
    return middle(
        grouped(
            [
                *body,
                *_wrap(rng, (x, y, z), pick(rng, ("polyethylene", "pvc", "rubber")), int(rng.integers(1, 4))),
            ]
        )
    )


def half_bricks(rng: Generator) -> tuple[Part, ...]:
    """Small pressed slabs stacked and taped together."""
    x, y, z, count = draw(rng, (90, 140)), draw(rng, (60, 90)), draw(rng, (10, 22)), int(rng.integers(2, 7))
    powder = pick(rng, _POWDERS)
    slabs = merge(
        [
            moved(rounded_box(x, y, z, 2.5), draw(rng, (-2, 2)), draw(rng, (-2, 2)), k * (z + 1))
            for k in range(count)
        ]
    )
    cover = moved(shell_box(x + 6, y + 6, count * (z + 1) + 4, 0.5), z=(count - 1) * (z + 1) / 2)
    return middle(
        grouped([Part(slabs, powder), Part(cover, pick(rng, ("polyethylene", "aluminium", "paper")))])
    )


def moulded_charge(rng: Generator) -> tuple[Part, ...]:
    """A block of explosive with a metal tube in it and two wires."""
    x, y, z = draw(rng, (90, 220)), draw(rng, (50, 90)), draw(rng, (30, 60))
    what = pick(rng, ("tnt", "rdx"))
    fuse = pipe((x / 2 - 45, 0, 0), (x / 2 + 8, 0, 0), 3.4, 2.6)
    wires = merge([pipe((x / 2 + 6, s * 2, 0), (x / 2 + 70, s * 14, 0), 0.9, 0.1, 8) for s in (-1, 1)])
    parts = [Part(rounded_box(x, y, z, 3), what), *inset(fuse, "aluminium", what), Part(wires, "copper")]
    return middle(grouped([*parts, *_wrap(rng, (x, y, z), "paper", 1)]))


def powder_bags(rng: Generator) -> tuple[Part, ...]:
    """Soft bags of powder, flattened against each other."""
    powder, parts = pick(rng, (*_POWDERS, "salt")), []
    for k in range(int(rng.integers(1, 5))):
        x, y, z = draw(rng, (60, 150)), draw(rng, (50, 110)), draw(rng, (14, 40))
        lump = scaled(cloth_pile(rng, (x, y, z), 3, 35, 0.5, 24), 1, 1, 1)
        parts += [Part(moved(lump, draw(rng, (-60, 60)), draw(rng, (-50, 50)), k * 30.0), powder, 0.55)]
    return middle(grouped(parts))


def tube_rolls(rng: Generator) -> tuple[Part, ...]:
    """Finger-sized pressed pellets in rows."""
    powder, count = pick(rng, _POWDERS), int(rng.integers(8, 30))
    pellet = turned(rounded_box(1, 1, 1, 0.3), "y", 90)
    pellet = scaled(pellet, draw(rng, (35, 60)), draw(rng, (14, 20)), draw(rng, (14, 20)))
    step = float(np.ptp(pellet.vertices[:, 0])) + 1, float(np.ptp(pellet.vertices[:, 1])) + 1
    spots = [moved(pellet, (k % 4) * step[0], k // 4 * step[1], draw(rng, (-2, 2))) for k in range(count)]
    return middle(grouped(_around([Part(merge(spots), powder)], 0.6, "rubber", 1)))


def blister_packs(rng: Generator) -> tuple[Part, ...]:
    """Strips of tablets behind foil, in a stack."""
    columns, rows, count = int(rng.integers(4, 8)), int(rng.integers(2, 4)), int(rng.integers(2, 12))
    r, h = draw(rng, (3.5, 6)), draw(rng, (2.8, 4.6))
    pill = revolve([(0.6 * r, -h / 2), (r, -0.2 * h), (r, 0.2 * h), (0.6 * r, h / 2)], 12)
    flat = [moved(pill, i * (2 * r + 4), j * (2 * r + 5)) for i in range(columns) for j in range(rows)]
    x, y = columns * (2 * r + 4) + 6, rows * (2 * r + 5) + 4
    strip = merge(flat)
    leaf = moved(box(x, y, 0.3), (columns - 1) * (r + 2), (rows - 1) * (r + 2.5))
    shifts = [(draw(rng, (-6, 6)), draw(rng, (-6, 6)), k * (h + 1.2)) for k in range(count)]
    return middle(grouped([
        Part(merge([moved(strip, *s) for s in shifts]), pick(rng, ("starch", "sugar"))),
        Part(merge([moved(leaf, a, b, c - h / 2 - 0.3) for a, b, c in shifts]), "pvc"),
        Part(merge([moved(scaled(leaf, 1, 1, 0.1), a, b, c - h / 2 - 0.7) for a, b, c in shifts]), "aluminium"),
    ]))  # fmt: skip


def loose_tablets(rng: Generator) -> tuple[Part, ...]:
    """Tablets by the hundred in a bag, a few layers deep."""
    r, h, count = draw(rng, (3.5, 6)), draw(rng, (2.8, 4.6)), int(rng.integers(80, 260))
    pill = revolve([(0.6 * r, -h / 2), (r, -0.2 * h), (r, 0.2 * h), (0.6 * r, h / 2)], 8)
    wide = np.sqrt(count) * r * 1.25
    spots = rng.normal(0, 0.42, (count, 2)) * wide
    levels = rng.uniform(0, 1, count) * 4 * h * np.exp(-((spots / wide) ** 2).sum(axis=1))
    tilts = rng.uniform(-60, 60, count)
    pills = [moved(turned(pill, "x", t), x, y, z) for (x, y), z, t in zip(spots, levels, tilts, strict=True)]
    parts = [Part(merge(pills), pick(rng, ("starch", "sugar", "heroin")))]
    return middle(grouped(_around(parts, 0.08, "polyethylene", 2)))


def banknotes(rng: Generator) -> tuple[Part, ...]:
    """Bundles of notes in bands, stacked."""
    x, y, z = draw(rng, (130, 165)), draw(rng, (62, 78)), draw(rng, (9, 13))
    columns, rows, layers = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 6))
    block = merge(
        [
            moved(box(x, y * draw(rng, (0.985, 1.0)), z / 4), draw(rng, (-1, 1)), 0, (k - 1.5) * z / 4)
            for k in range(4)
        ]
    )
    band = shell_box(28, y + 1, z + 1, 0.4)
    spots = [
        (i * (x + 2), j * (y + 2), k * (z + 0.6))
        for i in range(columns)
        for j in range(rows)
        for k in range(layers)
    ]
    return middle(grouped([
        Part(merge([moved(block, *spot) for spot in spots]), "paper", 0.92),
        Part(merge([moved(band, *spot) for spot in spots]), pick(rng, ("paper", "rubber"))),
    ]))  # fmt: skip


def foil_wrap(rng: Generator) -> tuple[Part, ...]:
    """Crumpled metal foil around nothing or something."""
    x, y, z = draw(rng, (120, 240)), draw(rng, (90, 180)), draw(rng, (30, 70))
    foil = pick(rng, (("aluminium", 0.3), ("lead", 0.15), ("copper", 0.1)))
    skins = [
        moved(sheet(rng, (x, y), foil[1] * draw(rng, (1, 3)), 2.5, 22, 26), z=side * z / 2)
        for side in (-1, 1)
    ]
    return middle(grouped([Part(merge([*skins, shell_box(x, y, z, foil[1])]), foil[0])]))


def lead_sheet(rng: Generator) -> tuple[Part, ...]:
    """A plate of lead, flat or folded over."""
    x, y, t = draw(rng, (120, 260)), draw(rng, (100, 200)), draw(rng, (1.0, 3.0))
    plates = [box(x, y, t)]
    if rng.random() < 0.5:
        plates.append(moved(turned(box(x, 0.8 * y, t), "z", draw(rng, (-4, 4))), z=draw(rng, (12, 40))))
    return middle(grouped([Part(merge(plates), "lead")]))


def lead_box(rng: Generator) -> tuple[Part, ...]:
    """A closed box of lead or steel plate."""
    x, y, z = draw(rng, (90, 220)), draw(rng, (70, 160)), draw(rng, (40, 100))
    material, wall = pick(rng, (("lead", draw(rng, (1.5, 4))), ("steel", draw(rng, (4, 9)))))
    return middle(grouped([Part(shell_box(x, y, z, wall), material)]))


_GOODS = ("abs", "cotton", "food", "paper", "polyester", "soap", "aluminium", "wood", "polyethylene")


def _contents(rng: Generator, x: float, y: float, z: float) -> list[Part]:
    """What an unlooked-into parcel holds: a few lumps of something."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(1, 4))):
        a, b, c = (s * draw(rng, (0.3, 0.62)) for s in (x, y, z))
        lump = pick(rng, (
            rounded_box(a, b, c, 0.15 * min(a, b, c)), shell_box(a, b, c, 2.0),
            crumpled(rng, (a / 2, b / 2, c / 2), 0.15),
        ))  # fmt: skip
        spot = [draw(rng, (-0.45, 0.45)) * (s - t) for s, t in zip((x, y, z), (a, b, c), strict=True)]
        parts.append(Part(moved(lump, *spot), pick(rng, _GOODS), pick(rng, (1.0, 0.6, 0.3))))
    return parts


def small_box(rng: Generator) -> tuple[Part, ...]:
    """A small carton with its flaps doubled top and bottom."""
    x, y, z = draw(rng, (90, 240)), draw(rng, (60, 170)), draw(rng, (30, 110))
    wall = draw(rng, (0.6, 2.4))
    flaps = [moved(box(x - 2 * wall, 0.9 * y, wall), z=side * (z / 2 - 1.5 * wall)) for side in (-1, 1)]
    shell = Part(merge([shell_box(x, y, z, wall), *flaps]), "cardboard", 0.45 if wall > 1.5 else 1.0)
    return middle(grouped([shell, *_contents(rng, x - 4 * wall, y - 4 * wall, z - 6 * wall)]))


def poly_mailer(rng: Generator) -> tuple[Part, ...]:
    """A soft plastic bag with a folded edge."""
    x, y, z = draw(rng, (140, 320)), draw(rng, (110, 240)), draw(rng, (15, 60))
    film = [moved(sheet(rng, (x + 20, y + 14), 0.12, 2.5, 35, 26), z=side * z / 2) for side in (-1, 1)]
    return middle(grouped([Part(merge(film), "polyethylene"), *_contents(rng, x, y, z)]))


def bubble_mailer(rng: Generator) -> tuple[Part, ...]:
    """A paper bag lined with bubbles."""
    x, y, z = draw(rng, (140, 280)), draw(rng, (110, 220)), draw(rng, (15, 45))
    paper = merge([moved(sheet(rng, (x, y), 0.25, 1.5, 40, 24), z=side * (z / 2 + 4)) for side in (-1, 1)])
    bubble = merge([moved(cylinder(4, 3, 6), i, j, side * (z / 2) - 1.5)
                    for i in np.arange(-x / 2 + 8, x / 2, 16) for j in np.arange(-y / 2 + 8, y / 2, 16) for side in (-1, 1)])  # fmt: skip
    return middle(
        grouped([Part(paper, "paper"), Part(bubble, "polyethylene", 0.15), *_contents(rng, x, y, z)])
    )


def book_wrap(rng: Generator) -> tuple[Part, ...]:
    """A folded cardboard sleeve taped round something flat."""
    x, y, z = draw(rng, (180, 300)), draw(rng, (130, 220)), draw(rng, (12, 40))
    lids = [moved(box(x + 30, y + 4, 3), z=side * (z / 2 + 1.5)) for side in (-1, 1)]
    ends = [moved(box(12, y + 4, z + 6), side * (x / 2 + 8)) for side in (-1, 1)]
    return middle(grouped([Part(merge([*lids, *ends]), "cardboard", 0.4), *_contents(rng, x, y, z)]))


def taped_bundle(rng: Generator) -> tuple[Part, ...]:
    """An uneven parcel wound with tape."""
    x, y, z = draw(rng, (100, 220)), draw(rng, (80, 160)), draw(rng, (40, 100))
    tape = [tube(1, 0.985, 1, 20) for _ in range(2)]
    hoops = [scaled(turned(moved(hoop, z=-0.5), "y", 90), 50, y / 2 + 4, z / 2 + 4) for hoop in tape]
    hoops = [moved(hoop, at * x) for hoop, at in zip(hoops, (-0.2, 0.2), strict=True)]
    return middle(grouped([Part(merge(hoops), "pvc"), *_contents(rng, x, y, z)]))


def _of(*makers: Maker) -> dict[str, Maker]:
    return {maker.__name__: maker for maker in makers}


LITHIUM = _of(cell_pack, bike_battery, laptop_battery, pouch_stack, power_bank, tool_battery, loose_cells)
BLOCKS = _of(brick, half_bricks, moulded_charge, powder_bags, tube_rolls)
TABLETS = _of(blister_packs, loose_tablets)
CURRENCY = _of(banknotes)
SHIELDING = _of(foil_wrap, lead_sheet, lead_box)
PARCELS = _of(small_box, poly_mailer, bubble_mailer, book_wrap, taped_bundle)
FAMILIES = LITHIUM | BLOCKS | TABLETS | CURRENCY | SHIELDING | PARCELS

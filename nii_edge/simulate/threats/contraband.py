"""Pressed blocks, tablets, banknotes, shielding. They lie flat, x longest."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, inset, middle, pick, pipe
from nii_edge.simulate.shapes import (
    box,
    cloth_pile,
    directed,
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
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.lithium import around

_POWDERS = ("cocaine", "heroin", "fentanyl_hcl", "tnt", "rdx")


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
    return middle(grouped(around([Part(merge(spots), powder)], 0.6, "rubber", 1)))


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
    return middle(grouped(around(parts, 0.08, "polyethylene", 2)))


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


def note_rolls(rng: Generator) -> tuple[Part, ...]:
    """Notes rolled up, a rubber band around each roll, side by side in layers."""
    long, outer = draw(rng, (62, 78)), draw(rng, (11, 24))
    roll = directed(
        tube(outer, outer * draw(rng, (0.05, 0.3)), long, 20), (0, -long / 2, 0), (0, long / 2, 0)
    )
    band = directed(tube(outer + 1, outer, 3, 20), (0, -1.5, 0), (0, 1.5, 0))
    columns, rows, layers = int(rng.integers(2, 7)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    spots = [
        ((2 * i + k % 2) * (outer + 1), j * (long + 4) + draw(rng, (-2, 2)), 1.75 * k * (outer + 1))
        for i in range(columns) for j in range(rows) for k in range(layers)
    ]  # fmt: skip
    return middle(grouped([
        Part(merge([moved(roll, *spot) for spot in spots]), "banknote_paper", draw(rng, (0.7, 0.9))),
        Part(merge([moved(band, *spot) for spot in spots]), "rubber"),
    ]))  # fmt: skip


def vacuum_bricks(rng: Generator) -> tuple[Part, ...]:
    """Many notes pressed to bricks, each shrunk tight into film, none quite square."""
    x, y, z = draw(rng, (130, 165)), draw(rng, (62, 78)), draw(rng, (30, 95))
    bricks: list[Part] = []
    for k in range(int(rng.integers(1, 5))):
        parts = Part(rounded_box(x, y, z, 2.5), "banknote_paper"), *_wrap(rng, (x, y, z), "polyethylene", 2)
        at, turn = (k % 2 * (x + 6), k // 2 * (y + 8), draw(rng, (0, 4))), draw(rng, (-4, 4))
        bricks += [part._replace(mesh=moved(turned(part.mesh, "z", turn), *at)) for part in parts]
    return middle(grouped(bricks))


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


def _of(*makers: Maker) -> dict[str, Maker]:
    return {maker.__name__: maker for maker in makers}


BLOCKS = _of(brick, half_bricks, moulded_charge, powder_bags, tube_rolls)
TABLETS = _of(blister_packs, loose_tablets)
CURRENCY = _of(banknotes, note_rolls, vacuum_bricks)
SHIELDING = _of(foil_wrap, lead_sheet, lead_box)

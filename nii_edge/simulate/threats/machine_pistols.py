"""Machine pistols and their magazines. The muzzle points along +x."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    cartridge,
    coil,
    draw,
    grouped,
    hollow,
    middle,
    pick,
    pin,
    pipe,
    rod,
    slab,
)
from nii_edge.simulate.shapes import (
    chain,
    circle,
    merge,
    moved,
    polygon,
    rectangle,
    rounded,
    spline,
    stroke,
    sweep,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Part


def magazine(rng: Generator, long: float, deep: float, curve: float = 0.0, wide: float = 22.0) -> list[Part]:
    """A box magazine hanging down from the origin: sheet steel, rounds, follower, spring, foot."""
    t = np.linspace(0, 1, 7)
    back = np.stack([curve * t**2, -long * t], axis=1)
    body = polygon(np.concatenate([back, back[::-1] + np.array([deep, 0])]))
    foot = rectangle(back[-1, 0] - 2, -long - 4, back[-1, 0] + deep + 2, -long)
    parts = [
        Part(hollow(body, wide, draw(rng, (0.8, 1.2))), pick(rng, ("steel", "steel", "aluminium"))),
        Part(slab(foot, wide + 2), pick(rng, ("steel", "nylon"))),
    ]
    pitch = draw(rng, (5.2, 6.4))
    rounds = int(rng.integers(0, int(0.85 * long / pitch)))
    for k in range(rounds):
        y = -6 - k * pitch
        x, side = curve * (y / long) ** 2, 0.18 * wide * (-1) ** k
        parts += cartridge((x + 2, y, side), (x + deep - 2, y + 1, side), min(4.9, 0.8 * pitch))
    low = -8 - rounds * pitch
    if low > -0.9 * long:
        x = curve * (low / long) ** 2
        parts.append(
            Part(coil((x + deep / 2, low, 0), (curve + deep / 2, 2 - long, 0), 0.32 * wide, 8, 0.7), "steel")
        )
    return parts


def _shift(parts: list[Part], x: float, y: float) -> list[Part]:
    return [Part(moved(part.mesh, x, y), part.material, part.fill) for part in parts]


def _handle(rng: Generator, x: float, y: float, material: str, wide: float = 30.0) -> Part:
    lean, high, deep = draw(rng, (4, 18)), draw(rng, (78, 95)), draw(rng, (34, 42))
    outline = polygon([(x, y), (x + deep, y), (x + deep - lean, y - high), (x - lean - 4, y - high)])
    return Part(hollow(rounded(outline, 5), wide, 3.0), material)


def guard(x: float, y: float) -> Part:
    """A trigger guard with its trigger, below (x, y)."""
    line = [(x, y), (x + 4, y - 22), (x + 22, y - 28), (x + 44, y - 20), (x + 48, y)]
    ring = slab(stroke(spline(line, 5, closed=False), 3.5), 10)
    blade = slab(stroke([(x + 20, y), (x + 22, y - 16)], 4), 6)
    return Part(merge([ring, blade]), "steel")


def _receiver(outline: Outline, wide: float, rng: Generator, material: str = "steel") -> list[Part]:
    """A sheet-metal shell with bolt, bolt handle and return spring in it."""
    x0, y0, x1, y1 = outline.bounds
    y, high = (y0 + y1) / 2, y1 - y0
    mid = x0 + draw(rng, (0.4, 0.6)) * (x1 - x0)
    bolt = rod((mid - 0.15 * (x1 - x0), y, 0), (mid + 0.22 * (x1 - x0), y, 0), 0.36 * min(high, wide))
    inner = [bolt, coil((x0 + 6, y, 0), (mid - 0.15 * (x1 - x0), y, 0), 0.25 * min(high, wide), 14, 0.8)]
    port = rectangle(mid, y, mid + 34, y1)
    knob = pin(mid, y + 0.2 * high, 4, wide + 24)
    return [
        Part(hollow(outline, wide, draw(rng, (1.2, 2.2)), port), material),
        Part(merge([*inner, knob]), "steel"),
    ]


def barrel(x: float, reach: float, outer: float = 8.0, inner: float = 4.6, y: float = 0.0) -> Part:
    """A bored tube from x on, `reach` long."""
    return Part(pipe((x, y, 0), (x + reach, y, 0), outer, inner), "steel")


def box_machine_pistol(rng: Generator) -> tuple[Part, ...]:
    """A square receiver with the magazine in the grip and a stub of a barrel."""
    long, high = draw(rng, (220, 270)), draw(rng, (48, 58))
    shell = rounded(rectangle(0, -high / 2, long, high / 2), 4)
    x = 0.42 * long
    grip = rectangle(x, -high / 2 - 88, x + 40, -high / 2)
    parts = [*_receiver(shell, 42, rng), barrel(long, draw(rng, (30, 90))), guard(x + 38, -high / 2)]
    parts.append(Part(hollow(grip, 36, 2.5), "nylon"))
    return middle(grouped(parts + _shift(magazine(rng, draw(rng, (140, 210)), 33), x + 3, -high / 2 + 10)))


def open_bolt_stamped(rng: Generator) -> tuple[Part, ...]:
    """Longer box receiver, ribbed, with fore grip, folding wire stock and top cocking knob."""
    long, high = draw(rng, (290, 340)), draw(rng, (54, 64))
    shell = rectangle(0, -high / 2, long, high / 2)
    ribs = [
        slab(rectangle(x, -high / 4, x + 5, high / 4), 48) for x in np.linspace(0.15 * long, 0.8 * long, 6)
    ]
    x = 0.48 * long
    parts = [
        *_receiver(shell, 44, rng),
        Part(merge(ribs), "steel", 0.2),
        barrel(long, draw(rng, (30, 60)), 10),
    ]
    parts += [_handle(rng, x, -high / 2, "nylon"), guard(x + 36, -high / 2), _wire_stock(rng, -high / 3)]
    parts.append(
        Part(slab(rectangle(0.72 * long, -high / 2 - 22, 0.98 * long, -high / 2), 36, 3), "wood", 0.8)
    )
    return middle(grouped(parts + _shift(magazine(rng, draw(rng, (180, 230)), 33), x + 4, -high / 2 + 10)))


def _wire_stock(rng: Generator, y: float) -> Part:
    out = draw(rng, (150, 220))
    loop = [
        (0, y, 14),
        (-out, y - 12, 14),
        (-out - 6, y - 55, 14),
        (-out - 6, y - 55, -14),
        (-out, y - 12, -14),
        (0, y, -14),
    ]
    return Part(sweep(spline(np.asarray(loop), 3, closed=False), 3.2, 8), "steel")


def tube_side_magazine(rng: Generator) -> tuple[Part, ...]:
    """A plain tube with the magazine to one side and a frame stock."""
    long, radius = draw(rng, (300, 380)), draw(rng, (18, 21))
    shell = pipe((0, 0, 0), (long, 0, 0), radius, radius - 1.6)
    jacket = [circle(long + x, 0, 5) for x in (14, 34, 54, 74)]
    cover = rectangle(long, -radius, long + 90, radius).difference(chain(*jacket))
    bolt = [
        rod((0.45 * long, 0, 0), (0.7 * long, 0, 0), radius - 2),
        coil((6, 0, 0), (0.45 * long, 0, 0), radius - 5, 16, 1),
    ]
    x = 0.78 * long
    mag = [Part(moved(p.mesh, x, 0), p.material, p.fill) for p in magazine(rng, draw(rng, (170, 220)), 30)]
    parts = [
        Part(merge([shell, *bolt, hollow(cover, 2 * radius, 1.6)]), "steel"),
        barrel(long, 100),
        guard(0.4 * long, -radius),
    ]
    stock = [
        stroke([(0, 0), (-150, -20)], 10),
        stroke([(-150, 15), (-165, -95)], 9),
        stroke([(0.3 * long, -radius), (-160, -90)], 9),
    ]
    return middle(grouped([*parts, *mag, Part(slab(chain(*stock), 12), "steel", 0.5)]))


def scorpion_small(rng: Generator) -> tuple[Part, ...]:
    """A small machine pistol: curved magazine before the guard, raked grip, folded wire stock over the top."""
    long, high = draw(rng, (200, 240)), draw(rng, (38, 46))
    shell = polygon(
        [(0, -high / 2), (long, -high / 2), (long, 0.3 * high), (0.9 * long, high / 2), (0, high / 2)]
    )
    parts = [
        *_receiver(shell, 32, rng),
        barrel(long, draw(rng, (40, 70)), 6, 3.9),
        guard(0.34 * long, -high / 2),
    ]
    parts += [_handle(rng, 0.14 * long, -high / 2, pick(rng, ("wood", "abs")), 28)]
    parts += _shift(
        magazine(rng, draw(rng, (90, 150)), 28, draw(rng, (15, 32)), 18), 0.62 * long, -high / 2 + 6
    )
    if rng.random() < 0.7:
        loop = [
            (10, high / 2 + 6, 12),
            (long, high / 2 + 14, 12),
            (long, high / 2 + 14, -12),
            (10, high / 2 + 6, -12),
        ]
        parts.append(Part(sweep(spline(np.asarray(loop), 3, closed=False), 3, 8), "steel"))
    return middle(grouped(parts))


def short_roller(rng: Generator) -> tuple[Part, ...]:
    """Rounded receiver with tube above the barrel, curved magazine in front and a vertical fore grip."""
    long = draw(rng, (270, 320))
    shell = rounded(polygon([(0, -28), (0.72 * long, -30), (long, -12), (long, 26), (0, 26)]), 6)
    parts = [*_receiver(shell, 40, rng), barrel(long, draw(rng, (20, 60)), 8), guard(0.2 * long, -30)]
    parts.append(Part(pipe((0.5 * long, 32, 0), (long, 32, 0), 9, 7), "steel"))
    parts += [_handle(rng, 0.1 * long, -28, "nylon"), _handle(rng, 0.82 * long, -16, "nylon")]
    return middle(
        grouped(
            parts + _shift(magazine(rng, draw(rng, (120, 240)), 30, draw(rng, (12, 30))), 0.5 * long, -22)
        )
    )


def carbine_pistol(rng: Generator) -> tuple[Part, ...]:
    """A short rifle-like gun: two-part receiver, buffer tube, slotted fore end, long curved magazine."""
    long = draw(rng, (190, 220))
    upper, lower = (
        rounded(rectangle(0, -14, long, 24), 4),
        rounded(polygon([(10, -14), (long, -14), (long, -46), (0.5 * long, -40), (10, -30)]), 4),
    )
    reach = draw(rng, (150, 220))
    slots = [rectangle(long + x, -4, long + x + 18, 6) for x in np.arange(12, reach - 24, 28)]
    fore = rectangle(long, -22, long + reach, 24).difference(chain(*slots))
    parts = [*_receiver(upper, 36, rng, "aluminium"), Part(hollow(lower, 32, 3), "aluminium")]
    parts += [
        Part(hollow(fore, 44, 2.5), "aluminium"),
        barrel(long, reach + 50, 8.5, 2.9),
        _handle(rng, 12, -34, "nylon"),
    ]
    parts.append(Part(pipe((-170, 0, 0), (0, 0, 0), 15, 12.5), "aluminium"))
    parts.append(Part(coil((-160, 0, 0), (-5, 0, 0), 10, 20, 0.9), "steel"))
    parts += [
        guard(0.3 * long, -44),
        *_shift(magazine(rng, draw(rng, (120, 180)), 60, 20, 24), 0.62 * long, -30),
    ]
    return middle(grouped(parts))


def loaded_magazines(rng: Generator) -> tuple[Part, ...]:
    """One to three magazines side by side."""
    parts: list[Part] = []
    long, deep, curve = draw(rng, (95, 200)), draw(rng, (28, 60)), pick(rng, (0.0, 0.0, 18.0, 30.0))
    for k in range(int(rng.integers(1, 4))):
        parts += _shift(
            magazine(rng, long, deep, curve), k * (deep + draw(rng, (6, 20))), draw(rng, (-15, 15))
        )
    return middle(grouped(parts))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        box_machine_pistol,
        open_bolt_stamped,
        tube_side_magazine,
        scorpion_small,
        short_roller,
        carbine_pistol,
        loaded_magazines,
    )
}

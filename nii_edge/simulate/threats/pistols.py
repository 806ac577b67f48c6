"""Self-loading pistols, as designs: one silhouette and one inner layout each, with ranges to draw from.

The muzzle points along +x, the grip down along -y, and the bore lies on the x axis.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
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
    box,
    capsule_outline,
    chain,
    circle,
    merge,
    moved,
    polygon,
    rectangle,
    rounded,
    spline,
    stroke,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Mesh, Part


class Design(NamedTuple):
    """Ranges in mm and degrees. `dust`: how far the frame reaches forward, as a share of the length."""

    length: Spread
    slide: Spread
    width: Spread
    grip: Spread
    depth: Spread
    rake: Spread
    top: Literal["full", "open", "tapered", "toggle", "broom", "tube", "vented"] = "full"
    nose: Literal["square", "bevel", "round"] = "square"
    guard: Literal["round", "square", "hook", "none"] = "round"
    shape: Literal["straight", "swell", "flared", "broom", "target", "bird"] = "straight"
    frame: tuple[str, ...] = ("steel",)
    panels: tuple[str, ...] = ("abs", "wood", "rubber")
    hammer: Literal["spur", "ring", "none"] = "spur"
    dust: Spread = (0.55, 0.7)
    bore: float = 4.5
    magazine: Literal["grip", "front", "none"] = "grip"
    extra: Literal["none", "rail", "compensator", "silencer", "scope"] = "none"


DESIGNS: dict[str, Design] = {
    "service_1911": Design((205, 225), (26, 30), (21, 25), (95, 110), (42, 48), (14, 18), dust=(0.6, 0.75)),
    "striker_polymer": Design(
        (175, 205), (28, 32), (24, 28), (95, 112), (46, 54), (18, 24), guard="square", shape="swell",
        frame=("nylon",), panels=("nylon",), hammer="none", dust=(0.78, 0.88), extra="rail",
    ),
    "compact_polymer": Design(
        (150, 170), (26, 30), (22, 26), (70, 88), (44, 50), (15, 22), nose="bevel", frame=("nylon",),
        panels=("nylon",), hammer="none", dust=(0.75, 0.88),
    ),
    "open_slide": Design(
        (205, 220), (26, 30), (26, 32), (105, 118), (46, 54), (16, 20), top="open", frame=("aluminium", "steel"),
        hammer="ring", shape="flared",
    ),
    "blowback_fixed_barrel": Design(
        (150, 168), (26, 30), (22, 27), (78, 92), (40, 46), (10, 15), top="tapered", nose="round",
    ),
    "long_slim_barrel": Design(
        (205, 230), (25, 29), (22, 26), (92, 104), (42, 48), (28, 36), top="toggle", hammer="none", dust=(0.45, 0.55),
    ),
    "broomhandle": Design(
        (270, 310), (30, 36), (20, 25), (95, 110), (34, 40), (18, 26), top="broom", shape="broom",
        magazine="front", panels=("wood",), dust=(0.5, 0.55),
    ),
    "magnum_heavy": Design(
        (255, 275), (36, 42), (28, 32), (105, 118), (56, 64), (14, 19), top="vented", nose="bevel",
        guard="square", dust=(0.8, 0.9), bore=6.0,
    ),
    "pocket_auto": Design(
        (105, 125), (22, 26), (18, 22), (58, 70), (34, 40), (8, 14), hammer="none", nose="round", dust=(0.75, 0.9),
        bore=3.2,
    ),
    "target_rimfire": Design(
        (240, 285), (24, 28), (24, 28), (105, 125), (46, 54), (26, 34), top="tube", shape="target",
        hammer="none", panels=("wood", "abs"), dust=(0.45, 0.55), bore=2.9,
    ),
    "double_stack_alloy": Design(
        (185, 200), (30, 34), (28, 33), (96, 108), (52, 60), (12, 17), nose="bevel", guard="hook", shape="swell",
        frame=("aluminium",), panels=("rubber",), extra="rail",
    ),
    "air_pistol_zinc": Design(
        (190, 240), (30, 38), (26, 34), (95, 112), (44, 54), (14, 24), frame=("zinc",), panels=("abs",), shape="swell",
        top="full", bore=2.3, dust=(0.65, 0.85),
    ),
    "walther_style": Design(
        (208, 222), (27, 31), (24, 28), (96, 108), (46, 52), (20, 26), top="open", nose="round", hammer="spur",
        dust=(0.5, 0.6), panels=("abs",),
    ),
    "police_compact": Design(
        (150, 172), (24, 28), (20, 25), (84, 96), (38, 44), (16, 22), top="tapered", shape="flared", hammer="ring",
    ),
    "race_gun": Design(
        (240, 270), (28, 32), (24, 28), (105, 118), (46, 54), (14, 18), guard="square", extra="compensator",
        shape="flared", dust=(0.85, 0.95),
    ),
    "suppressed_auto": Design(
        (185, 205), (27, 31), (22, 27), (92, 106), (44, 50), (16, 22), extra="silencer", frame=("nylon", "steel"),
        panels=("nylon",),
    ),
    "scoped_auto": Design(
        (215, 255), (30, 36), (26, 30), (100, 115), (50, 58), (15, 20), extra="scope", nose="bevel", bore=5.5,
    ),
    "early_auto": Design(
        (190, 215), (22, 26), (18, 22), (80, 94), (40, 46), (2, 8), top="full", nose="round", hammer="none",
        shape="straight", panels=("rubber", "wood"), dust=(0.5, 0.6), bore=4.0,
    ),
}  # fmt: skip


_SPRING_END = {
    "full": 0.92, "open": 0.92, "vented": 0.5, "tapered": 0.72, "toggle": 0.48, "broom": 0.42, "tube": 0.46,
}  # fmt: skip
"""Where the recoil spring ends, as a share of the length."""


def make_pistol(design: Design, rng: Generator) -> tuple[Part, ...]:
    """One pistol of a design: slide, barrel, spring, frame, guard, trigger, hammer, grips, magazine."""
    length, high, width = draw(rng, design.length), draw(rng, design.slide), draw(rng, design.width)
    under = -0.48 * high
    steel = pick(rng, ("steel", "stainless")) if design.frame[0] != "zinc" else "zinc"
    material = pick(rng, design.frame)
    grip = grip_outline(design, rng, under)
    parts = [Part(mesh, steel) for mesh in top(design, rng, length, high, width)]
    parts += frame(design, rng, grip, (length, under, width), material)
    parts += _extras(design, rng, length, high)
    if design.magazine == "grip" and rng.random() < 0.8:
        parts += grip_magazine(design, rng, grip, under, width)
    if design.magazine == "front":
        parts += [
            Part(slab(rectangle(0.4 * length, under - 34, 0.4 * length + 38, under), width * 0.8), "steel")
        ]
    if design.hammer != "none":
        parts.append(Part(_hammer(design, high, width), "steel"))
    return middle(grouped(parts))


def top(design: Design, rng: Generator, length: float, high: float, width: float) -> list[Mesh]:
    """Slide or receiver with breech block, barrel and recoil spring."""
    up, low, barrel = 0.5 * high, -0.48 * high, 0.32 * high
    wall = draw(rng, (1.4, 3.6))
    breech = 0.38 * length
    made = [
        pipe((breech, 0, 0), (length + 1, 0, 0), max(barrel * 0.75, design.bore + 2.2), design.bore),
        rod((0.08 * length, 0, 0), (breech, 0, 0), 0.3 * high),
        coil((0.3 * length, low * 0.6, 0), (_SPRING_END[design.top] * length, low * 0.6, 0), 3.4, 14, 0.6),
    ]
    nose = {"square": 0.0, "bevel": 0.45, "round": 0.25}[design.nose] * high
    slide = polygon([
        (0, low), (length, low), (length, up - nose), (length - nose, up), (0.03 * length, up), (0, 0.6 * up),
    ])  # fmt: skip
    port = rectangle(0.36 * length, 0.0, 0.56 * length, up)
    if design.top == "open":
        slide = slide.difference(rectangle(0.34 * length, 0.05 * high, 0.9 * length, up + 1))
    elif design.top == "tapered":
        slide = polygon([
            (0, low), (0.78 * length, low), (0.8 * length, -0.1 * up), (length, -0.3 * up), (length, 0.55 * up),
            (0.7 * length, 0.9 * up), (0.04 * length, up), (0, 0.5 * up),
        ])  # fmt: skip
    elif design.top == "vented":
        slide = slide.difference(rectangle(0.5 * length, low, 0.62 * length, 0.35 * low))
        made.append(slab(rectangle(0.42 * length, 0.3 * up, length, up), 0.5 * width, 1.5))
    elif design.top == "toggle":
        slide = polygon(
            [(0, low), (0.5 * length, low), (0.53 * length, 0.7 * up), (0.04 * length, 0.9 * up), (0, 0)]
        )
        made += [
            pin(0.13 * length, 0.7 * up, 0.36 * high, width * 1.5),
            slab(circle(0.13 * length, up, 6), width),
        ]
        made.append(slab(polygon([(length - 14, up * 0.3), (length, up * 0.3), (length - 3, up * 1.0)]), 4))
    elif design.top == "broom":
        slide = polygon(
            [(-8, low), (0.45 * length, low), (0.45 * length, up), (0.06 * length, up), (-8, 0.2 * up)]
        )
        made.append(slab(polygon([(0.4 * length, up), (0.47 * length, up), (0.46 * length, 1.4 * up)]), 6))
    elif design.top == "tube":
        slide = rounded(rectangle(-0.02 * length, low, 0.5 * length, up), 0.2 * high)
        made.append(pipe((0.48 * length, 0, 0), (length, 0, 0), 0.34 * high, design.bore))
    made.append(hollow(rounded(slide, 2), width, wall, port))
    step = draw(rng, (0.012, 0.018)) * length
    ribs = [box(step * 0.5, 0.6 * high, 0.7) for _ in range(6)]
    for side in (-1, 1):
        made += [
            moved(rib, 0.03 * length + k * step, 0, side * (width / 2 + 0.3)) for k, rib in enumerate(ribs)
        ]
    made.append(slab(rectangle(0.03 * length, up, 0.06 * length, up + 3), 8))
    made.append(slab(polygon([(0.95 * length, up), (0.98 * length, up), (0.97 * length, up + 3.5)]), 3))
    return made


def grip_outline(design: Design, rng: Generator, under: float) -> Outline:
    """The grip from the side, hanging from y = `under`."""
    high, deep = draw(rng, design.grip), draw(rng, design.depth)
    lean = np.tan(np.radians(draw(rng, design.rake)))
    swell = {"straight": 0.0, "swell": 0.12, "flared": 0.05, "broom": 0.1, "target": 0.16, "bird": -0.05}[
        design.shape
    ]
    back = [
        (2, 0.0),
        (2 - swell * 0.3 * deep, 0.2),
        (-swell * deep, 0.5),
        (-swell * 0.8 * deep, 0.8),
        (0, 1.0),
    ]
    foot = {"flared": 1.12, "target": 1.2, "broom": 0.82, "bird": 0.75}.get(design.shape, 1.0)
    front = [(deep * foot, 1.0), (deep * 0.95, 0.7), (deep * 0.92, 0.35), (deep * 1.02, 0.0)]
    if design.shape == "broom":
        back[1:4] = [(3, 0.25), (4, 0.5), (-3, 0.85)]
        front = [(deep * 0.9, 1.0), (deep * 0.72, 0.6), (deep * 0.66, 0.25), (deep * 0.8, 0.0)]
    points = [(4 + x - lean * t * high, under - t * high) for x, t in (*back, *front)]
    made = polygon(np.concatenate([spline(points[: len(back)], 4, closed=False), points[len(back) :]]))
    beak = polygon([(-7, under + 1), (14, under - 1), (14, under - 12), (2, under - 9)])
    return rounded(chain(made, beak), 2.5)


def frame(
    design: Design, rng: Generator, grip: Outline, size: tuple[float, float, float], material: str
) -> list[Part]:
    """Dust cover, guard, trigger; grip frame and panels, or one plastic shell."""
    length, under, width = size
    reach, deep, step = draw(rng, design.dust) * length, draw(rng, (10, 14)), draw(rng, (3.5, 5.0))
    front = float(grip.bounds[2])
    rail = polygon(
        [
            (2, under),
            (reach, under),
            (reach, under - 0.6 * deep),
            (front + 34, under - deep),
            (2, under - deep),
        ]
    )
    guard = _guard(design, rng, front - 4, under - deep + 2, step)
    trigger = stroke(
        spline(
            [(front + 15, under - deep + 3), (front + 17, under - deep - 7), (front + 21, under - deep - 15)],
            4,
            False,
        ),
        4.0,
    )
    parts = [
        Part(hollow(rail, width * 0.95, 3.0 if material == "nylon" else 2.4), material),
        Part(slab(guard, width * 0.42, 0.8), material),
        Part(slab(trigger, 7.0, 0.8), "steel" if material != "nylon" else pick(rng, ("steel", "nylon"))),
        Part(
            merge([pin(0.24 * length, under - 5, 2.0, width), pin(0.1 * length, under - 6, 2.4, width)]),
            "steel",
        ),
    ]
    if material == "nylon":
        parts.append(Part(hollow(grip, width * 1.05, 2.8), material))
        parts.append(Part(slab(rectangle(4, under - 3, 0.5 * length, under), width * 0.7), "steel"))
    else:
        parts.append(Part(slab(grip.difference(grip.buffer(-3.2)), width * 0.75, 0.6), material))
        panel = grip.buffer(-1.5).intersection(rectangle(-99, under - 8, 199, -400))
        thick = draw(rng, (4, 7))
        plates = [slab(panel, thick, 1.2, side * (width * 0.4 + thick / 2)) for side in (-1, 1)]
        parts.append(Part(merge(plates), pick(rng, design.panels)))
    return parts


def _guard(design: Design, rng: Generator, x: float, y: float, step: float) -> Outline:
    wide, deep = draw(rng, (40, 48)), draw(rng, (22, 28))
    if design.guard == "none":
        return capsule_outline(x, y, x + 12, y, step)
    line = {
        "round": [(x, y - 2), (x + 3, y - 0.75 * deep), (x + 0.4 * wide, y - deep), (x + 0.8 * wide, y - 0.6 * deep),
                  (x + wide, y)],
        "square": [(x, y - 2), (x + 2, y - 0.85 * deep), (x + 0.3 * wide, y - deep), (x + wide - 3, y - deep * 0.95),
                   (x + wide, y)],
        "hook": [(x, y - 2), (x + 2, y - 0.85 * deep), (x + 0.35 * wide, y - deep), (x + wide + 4, y - 0.85 * deep),
                 (x + wide - 4, y - 0.5 * deep), (x + wide, y)],
    }[design.guard]  # fmt: skip
    return stroke(spline(line, 5, closed=False), step)


def _hammer(design: Design, high: float, width: float) -> Mesh:
    stem = stroke([(2, -0.2 * high), (-7, 0.25 * high)], 7)
    if design.hammer == "ring":
        return slab(
            chain(stem, circle(-8, 0.28 * high, 6).difference(circle(-8, 0.28 * high, 2.6))), width * 0.3
        )
    return slab(chain(stem, stroke([(-7, 0.25 * high), (-14, 0.2 * high)], 4)), width * 0.3)


def grip_magazine(design: Design, rng: Generator, grip: Outline, under: float, width: float) -> list[Part]:
    """A steel box in the grip with rounds in it, follower and spring below, and its foot."""
    low = float(grip.bounds[1])
    body = grip.buffer(-4.5).intersection(rectangle(-200, low, 300, under - 6))
    if body.is_empty:
        return []
    wide = width * 0.55
    parts = [Part(hollow(body, wide + 2, 1.0), "steel")]
    x0, _, x1, _ = grip.intersection(rectangle(-200, low + 6, 300, low)).bounds
    parts.append(
        Part(slab(rectangle(x0 - 1, low - 4, x1 + 3, low), width * 0.9, 0.8), pick(rng, ("steel", "nylon")))
    )
    rounds, pitch = int(rng.integers(0, 9)), 2.1 * (design.bore + 0.6)
    for k in range(rounds):
        y = under - 10 - k * pitch
        if y - pitch < low:
            break
        x0, _, x1, _ = body.intersection(rectangle(-200, y - 1, 300, y + 1)).bounds
        side = 0.25 * wide * (-1) ** k if width > 27 else 0.0
        parts += cartridge((x0 + 2, y, side), (x0 + 0.95 * (x1 - x0), y + 2, side), design.bore + 0.5)
    top = under - 12 - rounds * pitch
    if top > low + 12:
        x0, _, x1, _ = body.intersection(rectangle(-200, top - 2, 300, top)).bounds
        a0, _, a1, _ = body.intersection(rectangle(-200, low + 4, 300, low + 8)).bounds
        parts.append(
            Part(coil(((x0 + x1) / 2, top, 0), ((a0 + a1) / 2, low + 5, 0), 0.3 * wide, 9, 0.6), "steel")
        )
    return parts


def _extras(design: Design, rng: Generator, length: float, high: float) -> list[Part]:
    up = 0.5 * high
    if design.extra == "silencer":
        reach, radius = draw(rng, (110, 180)), draw(rng, (15, 20))
        inner = [
            pipe((length + k * reach / 7, 0, 0), (length + k * reach / 7 + 2, 0, 0), radius - 1, 5)
            for k in range(1, 7)
        ]
        return [
            Part(
                merge([pipe((length, 0, 0), (length + reach, 0, 0), radius, radius - 1.8), *inner]),
                "aluminium",
            )
        ]
    if design.extra == "compensator":
        block = rectangle(length, -0.5 * high, length + 38, 0.5 * high).difference(
            rectangle(length + 8, 0.1 * high, length + 14, high)
        )
        return [
            Part(
                slab(block.difference(rectangle(length + 20, 0.1 * high, length + 27, high)), 20, 1), "steel"
            )
        ]
    if design.extra == "scope":
        y, a, b = up + 18, 0.05 * length, draw(rng, (0.7, 0.95)) * length
        body = [pipe((a, y, 0), (b, y, 0), 13, 11.2), pipe((b - 25, y, 0), (b + 12, y, 0), 18, 16)]
        mount = [slab(rectangle(x, up - 1, x + 12, y - 11), 14) for x in (a + 20, b - 45)]
        glass = [rod((x, y, 0), (x + 4, y, 0), 11, 20) for x in (a + 3, b - 4)]
        return [Part(merge([*body, *mount]), "aluminium"), Part(merge(glass), "glass")]
    if design.extra == "rail":
        teeth = [
            rectangle(0.7 * length + k * 7, -0.5 * high - 12, 0.7 * length + k * 7 + 4, -0.5 * high - 8)
            for k in range(3)
        ]
        return [Part(slab(chain(*teeth), 18), "nylon")]
    return []


def _maker(design: Design) -> Maker:
    return lambda rng: make_pistol(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()}

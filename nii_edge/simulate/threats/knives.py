"""Knives by family: fixed, kitchen and work knives. Axes as in `blades`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
    draw,
    grouped,
    hollow,
    middle,
    pick,
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
    sector,
    stroke,
    turned,
)
from nii_edge.simulate.solids import Part
from nii_edge.simulate.threats.blades import (
    PROFILES,
    blade,
    cross_guard,
    metal_handle,
    moulded_handle,
    scaled_handle,
    skeleton_handle,
)

Handle = Literal["scales", "moulded", "metal", "skeleton"]
_HANDLES: dict[Handle, Callable[[Generator, str, float, float, float], list[Part]]] = {
    "scales": scaled_handle,
    "moulded": moulded_handle,
    "metal": metal_handle,
    "skeleton": skeleton_handle,
}


class Fixed(NamedTuple):
    """A knife that does not fold. Ranges in mm; `haft`: the handle's length; `guard`: half its height or 0."""

    profile: str
    long: Spread
    high: Spread
    thick: Spread
    haft: Spread
    handles: tuple[Handle, ...] = ("scales", "moulded", "metal")
    shape: tuple[str, ...] = ("plain", "hooked", "waist")
    guard: float = 0.0
    grip: Spread = (20, 28)
    steel: tuple[str, ...] = ("stainless",)


DESIGNS: dict[str, Fixed] = {
    "chef": Fixed("chef", (180, 270), (40, 54), (1.6, 2.8), (110, 135)),
    "santoku": Fixed("santoku", (150, 185), (42, 50), (1.5, 2.4), (105, 130)),
    "nakiri": Fixed("nakiri", (155, 185), (46, 58), (1.5, 2.2), (115, 140), ("moulded", "scales"), ("round", "plain")),
    "bone_cleaver": Fixed("cleaver", (150, 190), (72, 100), (3.0, 5.5), (110, 140), shape=("hooked", "plain")),
    "chinese_cleaver": Fixed("tall", (195, 225), (88, 115), (1.8, 2.8), (95, 125), ("moulded", "metal"), ("round", "barrel")),
    "paring": Fixed("paring", (70, 105), (17, 24), (1.2, 1.9), (85, 110), grip=(15, 21)),
    "bread": Fixed("bread", (190, 260), (26, 34), (1.5, 2.2), (110, 135)),
    "carving": Fixed("carving", (200, 280), (22, 30), (1.5, 2.4), (110, 140)),
    "fillet": Fixed("fillet", (150, 210), (22, 30), (1.0, 1.7), (110, 135), ("moulded", "scales"), ("guarded", "hooked")),
    "steak": Fixed("drop", (105, 130), (18, 23), (1.2, 1.9), (95, 115), ("scales", "moulded"), ("plain", "waist"), grip=(16, 22)),
    "hunter_drop_point": Fixed("drop", (85, 125), (24, 33), (3.0, 5.0), (100, 120), ("scales", "moulded"), ("guarded", "waist")),
    "bowie": Fixed("clip", (150, 250), (34, 46), (4.0, 6.0), (110, 130), ("scales", "moulded"), ("waist", "plain"), 32),
    "tanto": Fixed("tanto", (120, 185), (26, 34), (3.5, 5.5), (105, 125), ("scales", "skeleton"), ("plain", "waist"), 16),
    "combat_dagger": Fixed("dagger", (130, 185), (22, 32), (4.0, 6.0), (100, 120), ("moulded", "metal"), ("barrel", "waist"), 28),
    "stiletto": Fixed("needle", (120, 200), (12, 18), (4.0, 7.0), (90, 115), ("metal", "moulded"), ("barrel", "round"), 26, (14, 20)),
    "leaf_thrower": Fixed("leaf", (110, 150), (24, 36), (3.0, 5.0), (80, 120), ("skeleton",), ("plain", "waist"), 0, (14, 22)),
    "karambit": Fixed("hawk", (65, 95), (30, 44), (2.5, 4.5), (95, 115), ("scales", "skeleton"), ("hooked",)),
    "kukri": Fixed("kukri", (240, 320), (80, 110), (4.0, 8.0), (105, 125), ("scales", "moulded"), ("waist", "barrel")),
    "machete": Fixed("machete", (320, 460), (50, 68), (1.6, 2.6), (120, 140), ("scales", "moulded"), ("hooked", "guarded")),
    "panga": Fixed("panga", (300, 400), (66, 90), (1.8, 3.0), (120, 140), ("scales", "moulded"), ("hooked", "plain")),
    "skinner": Fixed("skinner", (80, 120), (34, 48), (2.5, 4.0), (100, 120), ("scales", "moulded"), ("guarded", "hooked")),
    "ceramic_kitchen": Fixed("santoku", (100, 165), (24, 38), (1.6, 2.2), (100, 125), ("moulded",), ("plain", "waist"), steel=("ceramic",)),
    "bayonet": Fixed("clip", (165, 250), (22, 30), (4.0, 6.0), (110, 130), ("moulded", "scales"), ("barrel", "plain"), 34),
    "survival_sawback": Fixed("clip", (140, 190), (30, 38), (4.0, 6.0), (105, 125), ("metal",), ("round", "barrel"), 30, (28, 34)),
    "neck_knife": Fixed("sheepsfoot", (45, 70), (20, 28), (2.0, 3.5), (60, 80), ("skeleton",), ("plain", "hooked"), 0, (14, 20)),
}  # fmt: skip


def make_fixed(design: Fixed, rng: Generator) -> tuple[Part, ...]:
    """Blade, handle, and a guard where the design has one."""
    thick, steel, haft = draw(rng, design.thick), pick(rng, design.steel), draw(rng, design.haft)
    high = draw(rng, design.high)
    parts = [Part(blade(rng, PROFILES[design.profile], draw(rng, design.long), high, thick), steel)]
    kind, grip = pick(rng, design.handles), draw(rng, design.grip)
    wide = thick if kind == "skeleton" else draw(rng, (13, 22))
    made = _HANDLES[kind](rng, pick(rng, design.shape), haft, grip, wide)
    rise = draw(rng, (0.0, 0.9)) * max(0.0, 0.5 * high - 0.5 * grip) if design.guard == 0 else 0.0
    if design.profile in {"kukri", "hawk"}:
        rise = 0.0
    parts += [Part(moved(part.mesh, 0.5, rise), part.material, part.fill) for part in made]
    if design.guard:
        metal = pick(rng, ("stainless", "brass", "aluminium"))
        parts.append(Part(cross_guard(design.guard * draw(rng, (0.7, 1.1)), draw(rng, (8, 16))), metal))
        if rng.random() < 0.5:
            parts.append(Part(moved(cross_guard(0.55 * grip, 16, 8), -haft), metal))
    elif rng.random() < 0.35 and kind != "skeleton":
        parts.append(Part(moved(cross_guard(0.45 * grip, 12, 12), 0, rise), "stainless"))
    return middle(grouped(parts))


def push_dagger(rng: Generator) -> tuple[Part, ...]:
    """A short blade at right angles to a bar held in the fist."""
    long = draw(rng, (50, 90))
    cut = blade(rng, PROFILES[pick(rng, ("dagger", "leaf"))], long, draw(rng, (24, 34)), draw(rng, (3, 5)))
    bar = slab(rounded(rectangle(-46, -40, -26, 40), 9), 20, 3)
    return middle(grouped([
        Part(merge([cut, slab(rectangle(-30, -5, 2, 5), 5)]), "stainless"),
        Part(bar, pick(rng, ("rubber", "abs", "aluminium"))),
    ]))  # fmt: skip


def knuckle_knife(rng: Generator) -> tuple[Part, ...]:
    """A blade on a grip of finger rings."""
    rings = chain(*(circle(-18 - 25 * k, 0, 16, 6) for k in range(4))).difference(
        chain(*(circle(-18 - 25 * k, 1, 11, 6) for k in range(4)))
    )
    palm = stroke([(-8, 26), (-104, 26)], 14)
    posts = chain(*(rectangle(-18 - 25 * k - 4, 10, -18 - 25 * k + 4, 26) for k in (0, 3)))
    cut = blade(
        rng, PROFILES[pick(rng, ("dagger", "clip", "tanto"))], draw(rng, (110, 180)), draw(rng, (24, 34)), 5
    )
    return middle(grouped([
        Part(slab(chain(rings, palm, posts), draw(rng, (9, 14)), 1.5), pick(rng, ("brass", "zinc", "aluminium", "steel"))),
        Part(moved(cut, -4, 12), "stainless"),
    ]))  # fmt: skip


def card_knife(rng: Generator) -> tuple[Part, ...]:
    """A flat folding knife the size of a bank card."""
    cut = blade(rng, PROFILES["drop"], 62, 22, 1.2)
    card = rounded(rectangle(-46, -27, 40, 27), 3).difference(rectangle(-40, 2, 30, 8))
    return middle(grouped([
        Part(moved(turned(cut, "z", pick(rng, (0.0, 180.0))), pick(rng, (-20.0, 0.0))), "stainless"),
        Part(slab(card, 2.2), pick(rng, ("polypropylene", "stainless"))),
    ]))  # fmt: skip


def crescent_chopper(rng: Generator) -> tuple[Part, ...]:
    """A half-moon blade under one or two upright handles."""
    radius = draw(rng, (90, 130))
    moon = sector(0, 0, radius - draw(rng, (28, 40)), radius, 210, 330)
    two = rng.random() < 0.5
    parts: list[Part] = [Part(slab(moon, draw(rng, (1.5, 2.6))), "stainless")]
    for angle in (np.radians(218), np.radians(322)) if two else (np.radians(270),):
        x, y = (radius - 34) * np.cos(angle), (radius - 34) * np.sin(angle)
        parts += [Part(rod((x, y, 0), (x, y + 40, 0), 2.6), "stainless")]
        parts += [Part(rod((x, y + 16, 0), (x, y + 92, 0), draw(rng, (11, 15))), pick(rng, ("wood", "abs")))]
    return middle(grouped(parts))


def sickle(rng: Generator) -> tuple[Part, ...]:
    """A hooked harvest blade on a round handle."""
    radius = draw(rng, (95, 135))
    t = np.radians(np.linspace(-100, 95, 22))
    wide = np.interp(np.linspace(0, 1, 22), [0, 0.4, 1], [16, 24, 2])
    ring = np.stack([np.cos(t), np.sin(t)], axis=1)
    hook = polygon(np.concatenate([ring * radius, (ring * (radius - wide)[:, None])[::-1]]))
    start = ring[0] * (radius - 8)
    return middle(grouped([
        Part(slab(hook, draw(rng, (1.8, 3.0))), "steel"),
        Part(rod((*start, 0), (start[0] - 26, start[1] - 130, 0), 14), "wood"),
        Part(rod((*start, 0), (start[0] - 8, start[1] - 40, 0), 4), "steel"),
    ]))  # fmt: skip


def plastic_sheathed(rng: Generator) -> tuple[Part, ...]:
    """A fixed blade in its sheath."""
    long, high = draw(rng, (95, 150)), draw(rng, (26, 34))
    cut = blade(rng, PROFILES[pick(rng, ("drop", "clip", "tanto"))], long, high, draw(rng, (2.4, 4)))
    sheath = rounded(rectangle(1, -high * 0.62, long + 10, high * 0.62), 6)
    flap = slab(rounded(rectangle(-60, 0.6 * high, 30, high * 0.62 + 16), 6), 3)
    parts = [Part(cut, "stainless"), *moulded_handle(rng, "guarded", draw(rng, (100, 120)), 26, 20)]
    return middle(
        grouped(
            [
                *parts,
                Part(merge([hollow(sheath, 10, 2), flap]), pick(rng, ("leather", "nylon", "polypropylene"))),
            ]
        )
    )


def _maker(design: Fixed) -> Maker:
    return lambda rng: make_fixed(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()} | {
    made.__name__: made for made in (push_dagger, knuckle_knife, card_knife, crescent_chopper, sickle, plastic_sheathed)
}  # fmt: skip

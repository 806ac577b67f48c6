"""Revolvers, as designs. The muzzle points along +x, the grip down along -y; the bore is above the x axis."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
    cartridge,
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
    directed,
    extrude,
    merge,
    polygon,
    rectangle,
    rounded,
    spline,
    stroke,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Mesh, Part


class Design(NamedTuple):
    """Ranges in mm and degrees. `bars`: the grip is a bare frame with cross bars, its plates missing."""

    barrel: Spread
    cylinder: Spread
    chambers: int = 6
    under: Literal["none", "rod", "shroud", "lug", "tube"] = "rod"
    rib: Literal["none", "plain", "vented"] = "plain"
    strap: bool = True
    grip: Literal["bird", "square", "plow", "target", "bars", "snub"] = "square"
    hammer: bool = True
    frame: tuple[str, ...] = ("steel", "stainless")
    bore: float = 4.6


DESIGNS: dict[str, Design] = {
    "snub_nose": Design((45, 58), (33, 36), 5, "rod", grip="snub", rib="none"),
    "service_four_inch": Design((98, 106), (36, 39), under="rod", grip="square"),
    "magnum_six_inch": Design((148, 158), (39, 43), under="lug", rib="vented", grip="target", bore=5.4),
    "single_action_army": Design((118, 195), (40, 43), under="tube", rib="none", grip="plow", bore=5.6),
    "hammerless_bulldog": Design((48, 62), (33, 37), 5, "shroud", grip="bird", hammer=False),
    "open_top_percussion": Design(
        (170, 205), (38, 42), under="lug", rib="none", strap=False, grip="plow", bore=5.0
    ),
    "top_break": Design((100, 152), (38, 42), under="none", rib="plain", grip="bird", bore=5.5),
    "seven_shot_gas_seal": Design((105, 118), (37, 40), 7, "tube", rib="none", grip="bird", bore=4.0),
    "skeleton_grip": Design((95, 160), (34, 40), under="shroud", grip="bars", frame=("zinc", "steel")),
    "hunter_eight_inch": Design((205, 240), (42, 46), 5, "lug", rib="vented", grip="target", bore=6.0),
    "rimfire_kit_gun": Design((70, 105), (30, 33), 9, "rod", rib="plain", grip="square", bore=3.0),
}


def make_revolver(design: Design, rng: Generator, with_cylinder: bool = True) -> tuple[Part, ...]:
    """One revolver of a design: frame, cylinder with chambers (loaded or not), barrel, grip, hammer, trigger."""
    reach, wide = draw(rng, design.barrel), draw(rng, design.cylinder)
    long = wide * draw(rng, (1.05, 1.2))
    rise = 0.3 * wide
    metal = pick(rng, design.frame)
    parts = [Part(mesh, metal) for mesh in _frame(design, rng, wide, long)]
    parts += [Part(mesh, metal) for mesh in _barrel(design, rng, wide, long, reach)]
    if with_cylinder:
        parts += _cylinder(design, rng, wide, long, metal)
    parts += _grip(design, rng, wide, metal)
    parts.append(Part(_trigger(wide), "steel"))
    if design.hammer:
        spur = chain(
            stroke([(-6, -0.1 * wide), (-10, 0.4 * wide)], 8),
            stroke([(-10, 0.4 * wide), (-19, 0.38 * wide)], 4),
        )
        parts.append(Part(slab(spur, 7), "steel"))
    parts.append(Part(merge([pin(-4, -0.3 * wide, 2, 12), rod((0, rise, 0), (4, rise, 0), 1.2)]), "steel"))
    return middle(grouped(parts))


def _frame(design: Design, rng: Generator, wide: float, long: float) -> list[Mesh]:
    half, thick = wide / 2, draw(rng, (12, 15))
    body = polygon([
        (-16, 0.1 * half), (-6, 1.1 * half), (long + 14, 1.16 * half), (long + 14, -0.6 * half), (long + 4, -1.35 * half),
        (0, -1.5 * half), (-14, -1.2 * half), (-24, -0.4 * half),
    ])  # fmt: skip
    window = rectangle(2, -1.02 * half, long + 3, (0.95 if design.strap else 2.0) * half)
    solid = slab(rounded(body.difference(window), 2), thick, 1.2)
    return [
        hollow(rounded(body.difference(window), 2), thick, 3.2) if rng.random() < 0.5 else solid,
        _guard(wide, rng),
    ]


def _guard(wide: float, rng: Generator) -> Mesh:
    half, deep = wide / 2, draw(rng, (20, 25))
    line = [(-6, -1.35 * half), (-4, -1.4 * half - 0.7 * deep), (14, -1.4 * half - deep), (30, -1.4 * half - 0.6 * deep),
            (36, -1.3 * half)]  # fmt: skip
    return slab(stroke(spline(line, 5, closed=False), draw(rng, (3, 4))), 8, 0.8)


def _trigger(wide: float) -> Mesh:
    y = -0.7 * wide
    return slab(stroke(spline([(8, y), (12, y - 8), (9, y - 17)], 4, closed=False), 3.4), 6)


def _barrel(design: Design, rng: Generator, wide: float, long: float, reach: float) -> list[Mesh]:
    rise, start, half = 0.3 * wide, long + 10, wide / 2
    end = start + reach
    outer = draw(rng, (design.bore + 3.2, design.bore + 4.6))
    made = [pipe((start, rise, 0), (end, rise, 0), outer, design.bore, 16)]
    if design.under in {"rod", "shroud"}:
        made.append(rod((start - long, 0, 0), (start + min(0.7 * reach, 55), 0, 0), 2.2))
    if design.under in {"shroud", "lug"}:
        stop = end if design.under == "lug" else start + 0.62 * reach
        shroud = polygon(
            [(start, rise), (stop, rise), (stop, 0.05 * half), (stop - 8, -0.3 * half), (start, -0.35 * half)]
        )
        made.append(slab(shroud, 11, 1.5))
    if design.under == "tube":
        made.append(pipe((start, rise - outer - 4, 3), (start + 0.8 * reach, rise - outer - 4, 3), 4, 2.6))
    if design.rib != "none":
        rib = rectangle(start - 2, rise + 0.8 * outer, end, rise + outer + 5)
        if design.rib == "vented":
            holes = [
                rectangle(x, rise + outer + 0.5, x + 14, rise + outer + 3)
                for x in np.arange(start + 8, end - 16, 24)
            ]
            rib = rib.difference(chain(*holes))
        made.append(slab(rib, 7, 0.6))
    sight = polygon([(end - 16, rise + outer), (end - 3, rise + outer), (end - 4, rise + outer + 8)])
    return [*made, slab(sight, 3)]


def _cylinder(design: Design, rng: Generator, wide: float, long: float, metal: str) -> list[Part]:
    half, ring, room = (
        wide / 2,
        0.33 * wide,
        min(design.bore + 0.7, 0.33 * wide * np.sin(np.pi / design.chambers) - 0.6),
    )
    turn = draw(rng, (0, 60))
    angle = np.radians(turn + np.arange(design.chambers) * 360 / design.chambers)
    spots = np.stack([ring * np.cos(angle), ring * np.sin(angle)], axis=1)
    holes = chain(*(circle(x, y, room, 4) for x, y in spots), circle(0, 0, 3, 3))
    flutes = chain(*(circle(1.56 * half * np.cos(a), 1.56 * half * np.sin(a), 0.66 * half, 6)
                     for a in angle + np.pi / design.chambers))  # fmt: skip
    disc = circle(0, 0, half, 8).difference(holes)
    mesh = merge([extrude(disc, 3, 0.45 * long), extrude(disc.difference(flutes), 0.45 * long, long)])
    parts = [Part(directed(mesh, (0, 0, 0), (1, 0, 0)), metal)]
    if rng.random() < 0.5:
        for k in range(design.chambers):
            y, z = spots[k]
            parts += cartridge((3, y, z), (0.95 * long, y, z), room * 0.96)
    return parts


_GRIPS: dict[str, list[tuple[float, float]]] = {
    "bird": [(-22, -6), (-30, -30), (-38, -58), (-44, -84), (-32, -90), (-16, -76), (-8, -48), (-4, -26)],
    "square": [(-22, -6), (-32, -24), (-36, -48), (-46, -92), (-24, -102), (-14, -70), (-10, -46), (0, -26)],
    "plow": [(-22, -2), (-28, -22), (-32, -52), (-46, -96), (-20, -100), (-10, -66), (-6, -44), (0, -24)],
    "target": [(-22, -2), (-36, -14), (-38, -46), (-52, -106), (-18, -112), (-8, -80), (-14, -56), (2, -26)],
    "bars": [(-22, -4), (-32, -26), (-40, -56), (-52, -92), (-32, -100), (-18, -62), (-10, -42), (-4, -24)],
    "snub": [(-20, -6), (-28, -22), (-30, -42), (-36, -66), (-18, -72), (-10, -52), (-10, -38), (-2, -24)],
}  # fmt: skip


def _grip_outline(design: Design, rng: Generator) -> Outline:
    points = np.asarray(_GRIPS[design.grip]) * [draw(rng, (0.95, 1.15)), draw(rng, (0.9, 1.1))]
    points[2:6] += rng.normal(0, 1.2, (4, 2))
    return polygon(spline(points, 5))


def _grip(design: Design, rng: Generator, wide: float, metal: str) -> list[Part]:
    outline = _grip_outline(design, rng)
    frame = outline.difference(outline.buffer(-draw(rng, (3.0, 4.5))))
    if design.grip == "bars":
        _, low, _, high = outline.bounds
        rungs = [rectangle(-80, y, 20, y + 4) for y in np.linspace(low + 14, high - 20, 3)]
        return [Part(slab(chain(frame, chain(*rungs).intersection(outline)), 10, 0.8), metal)]
    thick = draw(rng, (22, 30)) * wide / 37
    panel = outline.buffer(1.0 if design.grip != "target" else 3.0)
    panels = [slab(panel, thick / 2 - 5, 2.0, side * (thick / 4 + 2.5)) for side in (-1, 1)]
    return [Part(slab(frame, 9), metal), Part(merge(panels), pick(rng, ("wood", "rubber", "abs")))]


def _maker(design: Design) -> Maker:
    return lambda rng: make_revolver(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()}

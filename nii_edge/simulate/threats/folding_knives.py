"""Folding, sliding and many-bladed knives. Axes as in `blades`: the pivot at the origin, the handle along -x."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import (
    Generator,
    Maker,
    Spread,
    coil,
    draw,
    grouped,
    hollow,
    middle,
    pick,
    pin,
    slab,
)
from nii_edge.simulate.shapes import (
    chain,
    circle,
    extrude,
    merge,
    moved,
    polygon,
    rectangle,
    rounded,
    spline,
    stroke,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part
from nii_edge.simulate.threats.blades import (
    PROFILES,
    blade,
)


def _folded(mesh: Mesh, opened: float) -> Mesh:
    """The blade turned about its pivot at the origin: 0 shut, 180 fully out."""
    return turned(mesh, "z", 180 - opened)


def _opening(rng: Generator) -> float:
    return pick(rng, (0.0, 180.0, 180.0, draw(rng, (60, 150))))


def _handle_plates(rng: Generator, long: float, high: float, thick: float, material: str) -> list[Part]:
    """Two liners of steel and two scales, from the pivot at the origin back along -x."""
    spine = [(8, 0.4 * high), (-0.4 * long, 0.52 * high), (-long + 8, 0.42 * high), (-long, 0)]
    belly = [
        (-long + 10, -0.44 * high),
        (-0.5 * long, -0.36 * high),
        (-0.2 * long, -0.52 * high),
        (8, -0.36 * high),
    ]
    outline = polygon(spline([*spine, *belly], 4))
    parts: list[Part] = []
    holes = chain(*(circle(-x * long, 0, 2.5, 3) for x in np.linspace(0.3, 0.8, int(rng.integers(1, 5)))))
    for side in (-1, 1):
        parts.append(
            Part(slab(outline.buffer(-1).difference(holes), 1.2, 0, side * thick * 0.2), "stainless")
        )
        parts.append(Part(slab(outline, thick * 0.3, 0.8, side * thick * 0.38), material))
    spring = stroke(
        spline([(4, 0.3 * high), (-0.4 * long, 0.42 * high), (-long + 10, 0.3 * high)], 4, closed=False), 3.4
    )
    screws = merge([pin(x, 0.1 * high, 2.0, thick) for x in (0.0, -0.55 * long, -long + 9)])
    return [*parts, Part(merge([slab(spring, thick * 0.3), screws]), "stainless")]


def _folder(profile: str, long: Spread, materials: tuple[str, ...], clip: bool) -> Maker:
    def made(rng: Generator) -> tuple[Part, ...]:
        reach = draw(rng, long)
        high = reach * draw(rng, (0.22, 0.3))
        cut = _folded(
            moved(blade(rng, PROFILES[profile], reach, 0.8 * high, draw(rng, (2, 3.8))), -4),
            _opening(rng),
        )
        parts = [
            Part(cut, "stainless"),
            *_handle_plates(rng, reach * 1.22, high, draw(rng, (9, 15)), pick(rng, materials)),
        ]
        if clip:
            bent = stroke([(-0.9 * reach, 2), (-0.4 * reach, 3)], 7)
            parts.append(Part(slab(bent, 1.0, 0, 8.5), "steel"))
        return middle(grouped(parts))

    return made


def many_bladed(rng: Generator) -> tuple[Part, ...]:
    """A red pocket knife: layers of blades, opener, corkscrew, scissors between brass liners."""
    long, high = draw(rng, (78, 112)), draw(rng, (18, 26))
    body = rounded(rectangle(-long, -high / 2, 0, high / 2), 0.49 * high)
    layers = int(rng.integers(2, 6))
    tools: list[Mesh] = []
    for k in range(layers):
        z = (k - (layers - 1) / 2) * 3.2
        made = moved(
            blade(
                rng,
                PROFILES[pick(rng, ("drop", "sheepsfoot", "clip", "table"))],
                0.82 * long,
                0.6 * high,
                2.0,
            ),
            3,
        )
        out = pick(rng, (0.0, 0.0, 0.0, draw(rng, (40, 180))))
        tools.append(moved(turned(made, "z", 180 - out), -4, 0, z))
    wide = 3.2 * layers
    liners = [slab(body.buffer(-1), 0.7, 0, (k - layers / 2) * 3.2) for k in range(layers + 1)]
    scales = [slab(body, 3.0, 0.8, side * (wide / 2 + 2)) for side in (-1, 1)]
    screw = coil((-0.2 * long, -high / 2 - 2, 0), (-0.7 * long, -high / 2 - 2, 0), 3, 5, 1)
    pins = merge([pin(x, 0, 1.3, wide + 6) for x in (-5, -long / 2, 5 - long)])
    return middle(grouped([
        Part(merge([*tools, screw, pins]), "stainless"), Part(merge(liners), pick(rng, ("aluminium", "brass"))),
        Part(merge(scales), pick(rng, ("abs", "wood", "aluminium"))),
    ]))  # fmt: skip


def multi_tool(rng: Generator) -> tuple[Part, ...]:
    """Pliers whose channel handles hold knife, saw and files."""
    long, gap = draw(rng, (92, 108)), draw(rng, (0.0, 45.0))
    jaw = polygon([(0, 0), (6, 12), (26, 7), (48, 1.5), (48, 0)])
    teeth = [
        slab(turned_outline, 7, 0.8)
        for turned_outline in (jaw, polygon([(x, -y) for x, y in jaw.exterior.coords]))
    ]
    parts = [Part(merge([*teeth, pin(4, 0, 5, 14)]), "stainless")]
    for side in (-1, 1):
        channel = hollow(rounded(rectangle(-long, -7, 4, 7), 3), 15, 1.2)
        cuts = [moved(turned(blade(rng, PROFILES[name], 0.85 * long, 10, 1.8), "z", 180), -4, 0, z)
                for name, z in (("drop", -4.0), ("table", 0.0), ("sheepsfoot", 4.0))]  # fmt: skip
        both = merge([channel, *cuts])
        parts.append(Part(moved(turned(both, "z", side * (gap / 2 + 4)), 0, -side * 8), "stainless"))
    return middle(grouped(parts))


def butterfly(rng: Generator) -> tuple[Part, ...]:
    """A blade between two swinging handles with holes; shut, open or half."""
    long, high = draw(rng, (90, 112)), draw(rng, (15, 19))
    cut = blade(
        rng, PROFILES[pick(rng, ("clip", "dagger", "tanto", "drop"))], long, 1.1 * high, draw(rng, (2.5, 4))
    )
    holes = chain(*(circle(-x * long, 0, 0.2 * high, 4) for x in np.linspace(0.2, 1.0, 6)))
    arm = rounded(rectangle(-1.24 * long, -0.33 * high, 5, 0.33 * high), 3).difference(holes)
    arms = []
    spread = pick(rng, (0.0, 0.0, 180.0, draw(rng, (20, 160))))
    for side in (-1, 1):
        plates = merge(
            [slab(arm, 2.4, 0.4, z) for z in (-4.4, 4.4)] + [pin(0, 0, 2.2, 11), pin(-1.2 * long, 0, 1.8, 11)]
        )
        arms.append(moved(turned(plates, "z", -side * spread / 1.0), 0, side * 0.36 * high))
    return middle(
        grouped([Part(cut, "stainless"), Part(merge(arms), pick(rng, ("stainless", "zinc", "aluminium")))])
    )


def push_button(rng: Generator) -> tuple[Part, ...]:
    """A narrow automatic knife: coil spring and bolsters in a slim handle."""
    long, high = draw(rng, (85, 130)), draw(rng, (15, 20))
    cut = moved(
        blade(
            rng, PROFILES[pick(rng, ("needle", "dagger", "clip"))], long, 0.7 * high, draw(rng, (2.2, 3.6))
        ),
        -2,
    )
    out = pick(rng, (True, True, False))
    body = rounded(rectangle(-1.2 * long, -high / 2, 6, high / 2), 4)
    shell = hollow(body, 13, 2.2)
    bolsters = [
        slab(rectangle(-8, -high / 2 - 3, 5, high / 2 + 3), 12),
        slab(rectangle(-1.2 * long, -high / 2, -1.1 * long, high / 2), 12),
    ]
    inner = [coil((-0.9 * long, 0, 0), (-0.2 * long, 0, 0), 3.4, 12, 0.6), pin(-0.3 * long, 0, 3.5, 17)]
    return middle(grouped([
        Part(cut if out else moved(cut, -1.08 * long), "stainless"), Part(shell, pick(rng, ("zinc", "aluminium", "abs"))),
        Part(merge([*bolsters, *inner]), "stainless"),
    ]))  # fmt: skip


def snap_off(rng: Generator) -> tuple[Part, ...]:
    """A box cutter: scored strip blade in a steel channel in a plastic body."""
    long, high = draw(rng, (130, 165)), draw(rng, (14, 26))
    out = draw(rng, (0, 60))
    wide = 0.62 * high
    strip = polygon(
        [
            (-0.55 * long + out, wide / 2),
            (-0.55 * long + out, -wide / 2),
            (out, -wide / 2),
            (out - 0.7 * wide, wide / 2),
        ]
    )
    scores = chain(
        *(
            stroke([(out - 6 * k - 6, -wide / 2), (out - 6 * k - 6 - 0.6 * wide, wide / 2)], 0.5)
            for k in range(1, 9)
        )
    )
    body = rounded(rectangle(-long, -high / 2, 0, high / 2), 4)
    return middle(grouped([
        Part(merge([slab(strip.difference(scores), 0.6), hollow(rectangle(-0.9 * long, -wide * 0.6, -1, wide * 0.6), 4, 0.8)]), "steel"),
        Part(hollow(body, draw(rng, (10, 16)), 2.0), pick(rng, ("abs", "polypropylene"))),
        Part(slab(rounded(rectangle(-0.4 * long, 0, -0.4 * long + 18, high * 0.7), 3), 9), "abs"),
    ]))  # fmt: skip


def trapezoid_cutter(rng: Generator) -> tuple[Part, ...]:
    """A workshop knife with a trapezoid blade and spare ones in its die-cast body."""
    long = draw(rng, (140, 175))
    body = polygon(
        spline(
            [
                (0, -8),
                (0, 8),
                (-0.3 * long, 17),
                (-0.7 * long, 16),
                (-long, 6),
                (-long, -18),
                (-0.6 * long, -14),
                (-0.25 * long, -15),
            ],
            4,
        )
    )
    piece = polygon([(30, -9), (-30, -9), (-18, 9), (18, 9)])
    cuts = [
        moved(extrude(piece, -0.3, 0.3), 0),
        *(moved(extrude(piece, -0.3, 0.3), -0.6 * long, 0, 0.8 * k) for k in range(int(rng.integers(0, 5)))),
    ]
    return middle(grouped([
        Part(merge(cuts), "steel"), Part(hollow(body, 22, draw(rng, (2, 3))), pick(rng, ("zinc", "aluminium", "abs"))),
        Part(merge([pin(-0.5 * long, 0, 3, 18), coil((-0.4 * long, 4, 0), (-0.2 * long, 4, 0), 2.4, 8, 0.5)]), "steel"),
    ]))  # fmt: skip


def straight_razor(rng: Generator) -> tuple[Part, ...]:
    """A hollow-ground razor on two thin scales."""
    long, high = draw(rng, (68, 80)), draw(rng, (18, 24))
    cut = turned(
        moved(blade(rng, PROFILES["razor"], long, high, 5), 18),
        "z",
        180 - pick(rng, (0.0, 200.0, draw(rng, (60, 180)))),
    )
    tail = slab(stroke(spline([(20, 2), (2, 0), (-12, 3), (-24, 9)], 4, closed=False), 5), 3)
    bow = stroke(spline([(4, 0), (-50, -8), (-100, -6), (-140, 2)], 5, closed=False), 13)
    plates = [slab(bow, 2.0, 0.4, z) for z in (-4, 4)]
    return middle(grouped([
        Part(merge([cut, tail, pin(0, 0, 1.6, 11), pin(-132, 0, 1.6, 11)]), "steel"),
        Part(merge(plates), pick(rng, ("abs", "wood", "bone"))),
    ]))  # fmt: skip


FAMILIES: dict[str, Maker] = {
    "lockback": _folder("clip", (70, 100), ("wood", "abs", "brass"), False),
    "frame_lock": _folder("drop", (75, 100), ("aluminium", "stainless", "nylon"), True),
    "slip_joint": _folder("sheepsfoot", (50, 80), ("wood", "bone", "abs"), False),
    "folding_hawkbill": _folder("hawk", (60, 85), ("wood", "aluminium", "nylon"), True),
    "folding_tanto": _folder("tanto", (75, 105), ("aluminium", "nylon"), True),
} | {
    made.__name__: made
    for made in (
        many_bladed, multi_tool, butterfly, push_button, snap_off, trapezoid_cutter, straight_razor,
    )
}  # fmt: skip

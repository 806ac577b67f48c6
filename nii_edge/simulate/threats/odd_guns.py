"""Single-shot, old, home-made and printed guns, and parts of guns. The muzzle points along +x."""

from __future__ import annotations

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
)
from nii_edge.simulate.solids import Mesh, Part
from nii_edge.simulate.threats import pistols, revolvers
from nii_edge.simulate.threats.machine_pistols import barrel, guard


def derringer(rng: Generator) -> tuple[Part, ...]:
    """Two stacked barrels and a bird's-head grip."""
    reach, bore = draw(rng, (62, 85)), draw(rng, (3.5, 5.6))
    gap = 2 * bore + 4
    parts = [barrel(0, reach, bore + 2.6, bore), barrel(0, reach, bore + 2.6, bore, gap)]
    body = polygon(
        spline([(6, gap + 6), (-18, gap), (-34, -12), (-44, -46), (-22, -52), (-12, -26), (6, -10)], 5)
    )
    parts.append(Part(slab(body.difference(body.buffer(-4)), 9), "stainless"))
    parts.append(
        Part(
            merge([slab(body.buffer(-1), 6, 1.5, side * 7.5) for side in (-1, 1)]), pick(rng, ("wood", "abs"))
        )
    )
    parts.append(
        Part(
            merge(
                [
                    slab(stroke([(-16, gap + 2), (-26, gap + 12)], 6), 7),
                    slab(stroke([(-2, -12), (2, -24)], 5), 6),
                ]
            ),
            "steel",
        )
    )
    return middle(grouped(parts))


def flare_gun(rng: Generator) -> tuple[Part, ...]:
    """A wide short barrel on a light frame."""
    reach, bore = draw(rng, (100, 150)), draw(rng, (12.5, 18.5))
    frame = polygon(
        spline(
            [
                (10, 0.5 * bore),
                (-20, 0),
                (-44, -40),
                (-60, -95),
                (-26, -102),
                (-8, -50),
                (44, -24),
                (60, -bore),
            ],
            5,
        )
    )
    metal = pick(rng, ("aluminium", "steel"))
    parts = [Part(pipe((0, 0, 0), (reach, 0, 0), bore + 3, bore, 24), metal), guard(-8, -26)]
    parts += [Part(hollow(frame, 26, 3), pick(rng, ("nylon", "abs", "aluminium")))]
    parts.append(Part(slab(stroke([(-14, 6), (-28, 18)], 7), 9), "steel"))
    return middle(grouped(parts))


def pipe_gun(rng: Generator) -> tuple[Part, ...]:
    """Home-made: water pipe, end cap, a nail and a spring on a wooden stock."""
    reach, bore = draw(rng, (140, 260)), draw(rng, (6, 11))
    stock = rounded(
        polygon(
            [
                (0.55 * reach, -bore - 2),
                (0.55 * reach, -bore - 22),
                (-20, -bore - 24),
                (-60, -110),
                (-92, -98),
                (-50, -bore),
            ]
        ),
        6,
    )
    cap = pipe((-14, 0, 0), (12, 0, 0), bore + 6, bore + 2.5)
    nail = [
        rod((-50, 0, 0), (0, 0, 0), 2),
        coil((-42, 0, 0), (-14, 0, 0), 5, 7, 0.8),
        rod((-18, 0, 0), (-14, 0, 0), bore + 5),
    ]
    clamps = [
        moved(pipe((x, 0, 0), (x + 10, 0, 0), bore + 5, bore + 2.6), 0, 0, 0)
        for x in (0.2 * reach, 0.45 * reach)
    ]
    parts = [Part(merge([pipe((0, 0, 0), (reach, 0, 0), bore + 2.5, bore), cap, *nail, *clamps]), "steel")]
    return middle(
        grouped(
            [
                *parts,
                Part(slab(stock, 32, 3), "wood"),
                Part(slab(stroke([(-14, -bore - 22), (-8, -bore - 44)], 5), 5), "steel"),
            ]
        )
    )


def printed_single_shot(rng: Generator) -> tuple[Part, ...]:
    """All plastic but for a nail: a blocky body, a fat barrel."""
    reach = draw(rng, (70, 110))
    body = chain(rectangle(0, -26, 120, 24), polygon([(10, -24), (48, -24), (36, -110), (-6, -110)]))
    ring = stroke(spline([(46, -26), (52, -52), (76, -56), (92, -26)], 5, closed=False), 6)
    parts = [
        Part(
            hollow(rounded(chain(body, ring), 3), 34, draw(rng, (3, 5))),
            pick(rng, ("abs", "nylon", "polyester")),
        )
    ]
    parts.append(Part(pipe((118, 4, 0), (118 + reach, 4, 0), draw(rng, (15, 19)), 5, 20), "abs"))
    parts.append(
        Part(merge([rod((40, 4, 0), (112, 4, 0), 1.6), coil((44, -12, 0), (80, -12, 0), 6, 5, 0.9)]), "steel")
    )
    return middle(grouped([*parts, *cartridge((112, 4, 0), (136, 4, 0), 4.8)]))


def flintlock(rng: Generator) -> tuple[Part, ...]:
    """A long smooth barrel on a curved wooden stock with a side lock."""
    reach, bore = draw(rng, (190, 280)), draw(rng, (5.5, 8.5))
    line = [(0.85 * reach, -bore - 6), (40, -bore - 8), (-20, -14), (-70, -42), (-104, -92)]
    stock = stroke(spline(line, 6, closed=False), 24)
    lock = [
        slab(stroke([(-8, 4), (-16, 26), (-2, 34)], 7), 8, 0, 17),
        slab(rectangle(-44, -12, 34, 4), 4, 0.8, 17),
    ]
    parts = [
        Part(pipe((-4, 0, 0), (reach, 0, 0), bore + 3, bore, 16), "steel"),
        Part(slab(stock, 28, 5), "wood"),
        guard(-40, -26),
    ]
    cap = Part(slab(circle(-106, -94, 14), 30, 4), "brass")
    return middle(grouped([*parts, Part(merge(lock), "steel"), cap]))


def slide_only(rng: Generator) -> tuple[Part, ...]:
    """A pistol's slide with its barrel and spring."""
    design = pistols.DESIGNS[pick(rng, ("service_1911", "striker_polymer", "open_slide", "magnum_heavy"))]
    high = draw(rng, design.slide)
    meshes = pistols.top(design, rng, draw(rng, design.length), high, draw(rng, design.width))
    return middle(grouped([Part(mesh, "steel") for mesh in meshes]))


def frame_only(rng: Generator) -> tuple[Part, ...]:
    """A pistol's frame with guard and trigger, the slide missing."""
    design = pistols.DESIGNS[
        pick(rng, ("service_1911", "striker_polymer", "double_stack_alloy", "open_slide"))
    ]
    under = -0.48 * draw(rng, design.slide)
    grip = pistols.grip_outline(design, rng, under)
    size = (draw(rng, design.length), under, draw(rng, design.width))
    parts = pistols.frame(design, rng, grip, size, pick(rng, design.frame))
    if rng.random() < 0.5:
        parts += pistols.grip_magazine(design, rng, grip, under, size[2])
    return middle(grouped(parts))


def revolver_frame(rng: Generator) -> tuple[Part, ...]:
    """A revolver without its cylinder."""
    name = pick(rng, tuple(revolvers.DESIGNS))
    return revolvers.make_revolver(revolvers.DESIGNS[name], rng, with_cylinder=False)


def barrel_and_bolt(rng: Generator) -> tuple[Part, ...]:
    """Loose barrel, bolt and springs, as sent apart."""
    reach = draw(rng, (95, 260))
    block = chain(rectangle(-26, -9, 0, 9), rectangle(-20, -18, -4, -9))
    made: list[Mesh] = [
        pipe((0, 0, 0), (reach, 0, 0), draw(rng, (6.5, 9)), draw(rng, (2.9, 5.6))),
        slab(block, 15, 1),
    ]
    bolt = rounded(rectangle(0, 22, draw(rng, (80, 130)), 44), 3).difference(rectangle(50, 34, 72, 45))
    made += [slab(bolt, 20, 2), coil((0, -32, 0), (draw(rng, (90, 180)), -32, 0), 6, 18, 0.8)]
    return middle(grouped([Part(merge(made), "steel")]))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        derringer,
        flare_gun,
        pipe_gun,
        printed_single_shot,
        flintlock,
        slide_only,
        frame_only,
        revolver_frame,
        barrel_and_bolt,
    )
}

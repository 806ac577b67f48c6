"""Hand tools that look like trouble and are none. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick, pin, pipe, rod, slab
from nii_edge.simulate.shapes import (
    arc,
    box,
    chain,
    circle,
    cylinder,
    extrude,
    merge,
    moved,
    polygon,
    rectangle,
    regular,
    shell_box,
    spline,
    stroke,
    sweep,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part


def pliers(rng: Generator) -> tuple[Part, ...]:
    """Jaws, rivet, and handles in plastic sleeves."""
    u, opened = draw(rng, (0.75, 1.25)), draw(rng, (2, 30))
    tip = pick(rng, (6.0, 10.0, 3.0))
    jaw = polygon([(-6, -2), (-6, 11), (12, 12), (48, tip), (50, 0.5), (14, 0.5)])
    leg = stroke(spline([(0, 4), (-24, -12), (-80, -22), (-130, -20)], 5, closed=False), 10)
    parts: list[Part] = []
    for side in (-1, 1):
        half = merge([slab(jaw, 9, 1), slab(leg, 8, 1)])
        half = (
            half if side > 0 else Mesh(half.vertices * np.array([1, -1, 1], np.float32), half.faces[:, ::-1])
        )
        grip = slab(stroke([(-45, -side * 17), (-132, -side * 20)], 15), 13, 2)
        parts += [
            Part(turned(half, "z", side * opened / 2), "steel"),
            Part(turned(grip, "z", side * opened / 2), pick(rng, ("pvc", "rubber")), 0.7),
        ]
    parts.append(Part(pin(0, 0, 6, 13), "steel"))
    return middle(
        grouped(
            Part(Mesh((p.mesh.vertices * u).astype(np.float32), p.mesh.faces), p.material, p.fill)
            for p in parts
        )
    )


def screwdrivers(rng: Generator) -> tuple[Part, ...]:
    """A few, handles fluted."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 6))):
        x, r, y = draw(rng, (60, 180)), draw(rng, (2, 4.5)), 34.0 * k
        lean = draw(rng, (-10, 10))
        grip = turned(
            extrude(
                chain(
                    circle(0, 0, 10),
                    *(circle(9 * np.cos(a), 9 * np.sin(a), 4, 3) for a in np.linspace(0, 5.3, 6)),
                ),
                -100,
                0,
            ),
            "y",
            90,
        )
        shank = merge(
            [
                rod((-50, 0, 0), (x, 0, 0), r),
                slab(polygon([(x - 8, r), (x + 4, r + 1), (x + 4, -r - 1), (x - 8, -r)]), 1.6),
            ]
        )
        parts += [
            Part(moved(turned(shank, "z", lean), y=y), "steel"),
            Part(moved(turned(grip, "z", lean), y=y), pick(rng, ("abs", "wood", "polypropylene"))),
        ]
    return middle(grouped(parts))


def hammer(rng: Generator) -> tuple[Part, ...]:
    """Forged head on a wooden or tubular shaft."""
    x = draw(rng, (220, 340))
    head = polygon(
        [
            (-14, 52),
            (12, 52),
            (12, 30),
            (8, 26),
            (10, -20),
            (4, -62),
            (-2, -62),
            (-12, -20),
            (-10, 26),
            (-14, 30),
        ]
    )
    wood = rng.random() < 0.6
    shaft = (
        Part(rod((0, 0, 0), (-x, 0, 0), 13), "wood")
        if wood
        else Part(pipe((0, 0, 0), (-x, 0, 0), 11, 9), "steel")
    )
    grip = [] if wood else [Part(pipe((-0.5 * x, 0, 0), (-x, 0, 0), 16, 11), "rubber")]
    return middle(grouped([Part(slab(head, 24, 3), "steel"), shaft, *grip]))


def tape_measure(rng: Generator) -> tuple[Part, ...]:
    """Coiled steel tape in a case."""
    r = draw(rng, (22, 32))
    turns = np.linspace(0, 2 * np.pi * 7, 120)
    line = np.stack(
        [
            (8 + (r - 10) * turns / turns[-1]) * np.cos(turns),
            (8 + (r - 10) * turns / turns[-1]) * np.sin(turns),
        ],
        axis=1,
    )
    tape = extrude(stroke(line, 1.2, 2), -8, 8)
    case = moved(shell_box(2.2 * r, 2.2 * r, 28, 2.4), 0)
    return middle(
        grouped(
            [Part(tape, "steel", 0.7), Part(case, "abs"), Part(moved(box(2, 14, 18), 1.15 * r, -r), "steel")]
        )
    )


def sockets(rng: Generator) -> tuple[Part, ...]:
    """Sockets in rows from small to large."""
    meshes: list[Mesh] = []
    x = 0.0
    standing = rng.random() < 0.5
    for k in range(int(rng.integers(5, 14))):
        size = 7 + 1.6 * k
        ring = circle(0, 0, 0.72 * size + 1, 8).difference(regular(0, 0, 0.57 * size, 6))
        one = merge(
            [
                extrude(ring, 0, 14),
                extrude(
                    circle(0, 0, 0.72 * size + 1, 8).difference(
                        rectangle(-4.5, -4.5, 4.5, 4.5) if size > 13 else circle(0, 0, 2.5)
                    ),
                    -12,
                    0,
                ),
            ]
        )
        meshes.append(moved(one if standing else turned(one, "x", 90), x, draw(rng, (-2, 2))))
        x += 1.6 * size + 6
    return middle(grouped([Part(merge(meshes), "steel")]))


def saw(rng: Generator) -> tuple[Part, ...]:
    """A hack saw's frame and blade."""
    x, y = draw(rng, (230, 310)), draw(rng, (75, 100))
    bow = stroke([(0, 0), (0, y), (x, y), (x, 0)], 11)
    strip = chain(
        rectangle(0, -5, x, 5),
        *(polygon([(k, -5), (k + 4, -5), (k + 2, -8)]) for k in np.arange(6, x - 6, 6)),
    )
    grip = stroke([(-10, 20), (-45, -40)], 26)
    return middle(
        grouped(
            [
                Part(merge([slab(bow, 8, 1), slab(strip, 0.9)]), "steel"),
                Part(slab(grip, 24, 4), pick(rng, ("abs", "wood", "aluminium"))),
            ]
        )
    )


def caliper(rng: Generator) -> tuple[Part, ...]:
    """A sliding gauge with jaws."""
    x, at = draw(rng, (150, 240)), draw(rng, (0, 60))
    beam = chain(
        rectangle(-20, -8, x, 8),
        polygon([(-20, -8), (-2, -8), (-2, -46), (-8, -46)]),
        polygon([(-14, 8), (-2, 8), (-4, 26)]),
    )
    slide = chain(
        rectangle(at, -13, at + 58, 13),
        polygon([(at, -8), (at + 16, -8), (at + 5, -46), (at, -46)]),
        polygon([(at, 8), (at + 12, 8), (at + 3, 26)]),
    )
    return middle(
        grouped(
            [
                Part(merge([slab(beam, 3.4), slab(slide, 6, 0.8)]), "stainless"),
                Part(rod((at + 40, -20, 0), (at + 40, -12, 0), 6), "steel"),
            ]
        )
    )


def magnifier(rng: Generator) -> tuple[Part, ...]:
    """A round glass on a stick; a door knob; a stethoscope's bell: discs on rods."""
    r = draw(rng, (22, 48))
    disc = pick(rng, ("glass", "glass", "brass", "aluminium"))
    arcs = sweep(arc(r, 0, 350, 40), 2.6, 6)
    return middle(
        grouped(
            [
                Part(arcs, "brass"),
                Part(moved(cylinder(r - 2, 4, 26), z=-2), disc),
                Part(
                    rod((r, 0, 0), (r + draw(rng, (60, 110)), 0, 0), 6), pick(rng, ("wood", "abs", "steel"))
                ),
            ]
        )
    )


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        pliers,
        screwdrivers,
        hammer,
        tape_measure,
        sockets,
        saw,
        caliper,
        magnifier,
    )
}

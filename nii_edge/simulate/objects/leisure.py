"""Paper, toys, furniture parts, umbrellas. They lie flat, longest along x; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, pin, pipe, rod, slab
from nii_edge.simulate.shapes import (
    box,
    chain,
    circle,
    cloth_pile,
    cylinder,
    frustum,
    inside_out,
    merge,
    moved,
    random_rotations,
    rectangle,
    repeated,
    revolve,
    rounded_box,
    sheet,
    shell_box,
    sphere,
    spline,
    sweep,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Part


def pens(rng: Generator) -> tuple[Part, ...]:
    """Pens and pencils, some with springs and metal tips."""
    parts: list[Part] = []
    for k in range(int(rng.integers(2, 10))):
        y, lean = 11.0 * k, draw(rng, (-10, 10))
        if rng.random() < 0.4:
            parts.append(Part(rod((0, y, 0), (175, y + lean, 0), 3.6, 6), "wood"))
        else:
            parts += [
                Part(pipe((0, y, 0), (135, y + lean, 0), 5, 4), pick(rng, ("abs", "aluminium"))),
                Part(coil((108, y + 0.8 * lean, 0), (130, y + lean, 0), 2.2, 9, 0.3), "steel"),
                Part(rod((134, y + lean, 0), (142, y + lean, 0), 1.6), "brass"),
            ]
    return middle(grouped(parts))


def book(rng: Generator) -> tuple[Part, ...]:
    """Covers, a block of pages and a glued back; magazines have staples."""
    x, y, z = draw(rng, (170, 290)), draw(rng, (110, 215)), draw(rng, (6, 48))
    pages = merge([moved(box(x, y, 0.2 * z), draw(rng, (-1, 1)), 0, (k - 2) * 0.2 * z) for k in range(5)])
    covers = [moved(box(x + 6, y + 5, 2.2), z=s * (z / 2 + 1.1)) for s in (-1, 1)]
    parts = [
        Part(pages, "paper", draw(rng, (0.85, 1.1))),
        Part(merge([*covers, moved(box(x + 6, 2.4, z), 0, -y / 2 - 2)]), "cardboard"),
    ]
    if z < 12:
        parts.append(Part(repeated(box(12, 1, 1), [(s * 0.25 * x, -y / 2, 0) for s in (-1, 1)]), "steel"))
    return middle(grouped(parts))


def notebook(rng: Generator) -> tuple[Part, ...]:
    """Paper on a wire spiral."""
    x, y, z = draw(rng, (140, 295)), draw(rng, (100, 210)), draw(rng, (8, 20))
    wire = coil((-x / 2 + 4, -y / 2, 0), (x / 2 - 4, -y / 2, 0), 0.5 * z + 3, x / 8, 0.5)
    return middle(grouped([Part(box(x, y, z), "paper", 0.9), Part(wire, "steel")]))


def toy_blocks(rng: Generator) -> tuple[Part, ...]:
    """Building bricks with studs, in a heap."""
    brick = merge(
        [
            shell_box(32, 16, 10, 1.4),
            repeated(
                cylinder(2.4, 2, 10), [(8.0 * i - 12, 8.0 * j - 4, 5) for i in range(4) for j in range(2)]
            ),
        ]
    )
    count = int(rng.integers(15, 45))
    spots = rng.uniform(-0.5, 0.5, (count, 3)) * [150, 110, 45]
    return middle(grouped([Part(repeated(brick, spots, random_rotations(rng, count)), "abs")]))


def doll(rng: Generator) -> tuple[Part, ...]:
    """A hollow plastic figure with wired joints."""
    body = [moved(rounded_box(90, 42, 26, 10), 0), moved(sphere(20, 18), 70)]
    limbs = [rod((-45, s * 14, 0), (-150, s * 20, 0), 9) for s in (-1, 1)] + [
        rod((30, s * 22, 0), (-40, s * 48, 0), 6.5) for s in (-1, 1)
    ]
    pins = [pin(30, s * 22, 2, 20) for s in (-1, 1)] + [pin(-45, s * 14, 2, 20) for s in (-1, 1)]
    return middle(
        grouped(
            [
                Part(merge([*body, *limbs]), "pvc", draw(rng, (0.25, 0.5))),
                Part(merge(pins), "steel"),
                Part(cloth_pile(rng, (110, 90, 12), 3, 20, 1.5, 24), "polyester", 0.15),
            ]
        )
    )


def ball(rng: Generator) -> tuple[Part, ...]:
    """A hollow or solid ball."""
    r = draw(rng, (20, 90))
    hull = merge([sphere(r, 28), inside_out(sphere(0.95 * r, 28))]) if r > 35 else sphere(r, 24)
    return middle(grouped([Part(hull, pick(rng, ("rubber", "pvc", "leather")))]))


def puzzle(rng: Generator) -> tuple[Part, ...]:
    """Loose board pieces in a box, dice and cards."""
    count = int(rng.integers(80, 200))
    tile = slab(chain(rectangle(-9, -9, 9, 9), circle(9, 0, 3.4, 3), circle(0, 9, 3.4, 3)), 1.8)
    spots = rng.uniform(-0.45, 0.45, (count, 3)) * [230, 160, 30]
    dice = repeated(rounded_box(14, 14, 14, 2), [(95, 60, 20), (95, -50, 20)])
    return middle(
        grouped(
            [
                Part(repeated(tile, spots), "cardboard"),
                Part(dice, "abs"),
                Part(moved(box(88, 63, 18), -60, 30, 0), "paper"),
                Part(shell_box(250, 180, 45, 1.8), "cardboard"),
            ]
        )
    )


def panels(rng: Generator) -> tuple[Part, ...]:
    """Flat-pack boards with drilled edges, foam and a bag of fittings."""
    x, y, t = draw(rng, (280, 420)), draw(rng, (140, 260)), draw(rng, (12, 19))
    holes = chain(*(circle(i * 0.44 * x, j * 0.4 * y, 4, 3) for i in (-1, 1) for j in (-1, 0, 1)))
    one = slab(rectangle(-x / 2, -y / 2, x / 2, y / 2).difference(holes), t)
    count = int(rng.integers(1, 4))
    parts = [Part(repeated(one, [(0, 0, (t + 1.5) * k) for k in range(count)]), "wood", 1.1)]
    parts.append(Part(moved(box(x, 20, count * t), 0, y / 2 + 12, count * t / 2), "eps"))
    fittings = [
        Part(moved(p.mesh, 0.2 * x, 0, count * (t + 2) + 8), p.material, p.fill) for p in fixings(rng)
    ]
    return middle(grouped([*parts, *fittings]))


def fixings(rng: Generator) -> tuple[Part, ...]:
    """A bag of screws, bolts, dowels and brackets."""
    count = int(rng.integers(15, 50))
    screw = merge(
        [
            frustum(2.0, 1.6, 26, 8),
            moved(frustum(4.2, 2.0, 3, 10), z=-2),
            *(moved(torus(2.2, 0.4, 8, 4), z=6.0 + 5 * k) for k in range(4)),
        ]
    )
    dowel = cylinder(4, 32, 8)
    spots = rng.normal(0, 1, (count, 3)) * [28, 20, 5]
    cut = max(count // 5, 1)
    ways: Floats = random_rotations(rng, count)
    return middle(
        grouped(
            [
                Part(repeated(screw, spots[cut:], ways[cut:]), pick(rng, ("steel", "zinc", "brass"))),
                Part(repeated(dowel, spots[:cut], ways[:cut]), "wood"),
                Part(moved(sheet(rng, (130, 100), 0.1, 2, 30, 14), z=14), "polyethylene"),
            ]
        )
    )


def furniture_leg(rng: Generator) -> tuple[Part, ...]:
    """Turned wooden or steel tube legs with plates."""
    x, r = draw(rng, (180, 400)), draw(rng, (12, 22))
    parts: list[Part] = []
    wooden = rng.random() < 0.5
    for k in range(int(rng.integers(2, 5))):
        y = 2.8 * r * k
        if wooden:
            leg = turned(
                revolve([(0.55 * r, 0), (0.7 * r, 0.4 * x), (1.1 * r, 0.9 * x), (r, x)], 16), "y", 90
            )
            parts.append(Part(moved(leg, 0, y), "wood"))
        else:
            parts.append(Part(pipe((0, y, 0), (x, y, 0), r, r - 1.4), "steel"))
        parts += [
            Part(rod((x, y, 0), (x + 24, y, 0), 4), "steel"),
            Part(pipe((-2, y, 0), (6, y, 0), 0.62 * r, 0.4 * r), "rubber"),
        ]
    return middle(grouped(parts))


def umbrella(rng: Generator) -> tuple[Part, ...]:
    """Folded: a steel shaft, ribs, springs, a curved or straight handle."""
    x = draw(rng, (240, 420))
    shaft = pipe((0, 0, 0), (x, 0, 0), 5, 4)
    ribs = [
        rod((0.12 * x, 3 * np.cos(a), 3 * np.sin(a)), (0.95 * x, 9 * np.cos(a), 9 * np.sin(a)), 1.1, 6)
        for a in np.linspace(0, 5.5, 8)
    ]
    extra = coil((0.3 * x, 0, 0), (0.6 * x, 0, 0), 3, 22, 0.5)
    cloth = turned(moved(tube(15, 11, 0.8 * x, 16), z=0.12 * x), "y", 90)
    grip = (
        sweep(spline([(0, 0, 0), (-60, 0, 0), (-90, 25, 0), (-70, 52, 0)], 6, closed=False), 9, 8)
        if rng.random() < 0.5
        else rod((-70, 0, 0), (0, 0, 0), 13)
    )
    return middle(
        grouped(
            [
                Part(merge([shaft, *ribs, extra]), pick(rng, ("steel", "aluminium"))),
                Part(cloth, "polyester", 0.4),
                Part(grip, pick(rng, ("wood", "abs"))),
            ]
        )
    )


def frame(rng: Generator) -> tuple[Part, ...]:
    """A picture frame: wood or metal, glass, backing, hooks."""
    x, y = draw(rng, (150, 320)), draw(rng, (110, 240))
    rim = rectangle(-x / 2, -y / 2, x / 2, y / 2).difference(
        rectangle(-x / 2 + 16, -y / 2 + 16, x / 2 - 16, y / 2 - 16)
    )
    return middle(
        grouped(
            [
                Part(slab(rim, 16, 1), pick(rng, ("wood", "abs", "aluminium"))),
                Part(box(x - 20, y - 20, 2), "glass"),
                Part(moved(box(x - 20, y - 20, 2.5), z=-4), "cardboard"),
                Part(repeated(box(14, 5, 1), [(s * 0.3 * x, y / 2 - 12, -8) for s in (-1, 1)]), "steel"),
            ]
        )
    )


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        pens,
        book,
        notebook,
        toy_blocks,
        doll,
        ball,
        puzzle,
        panels,
        fixings,
        furniture_leg,
        umbrella,
        frame,
    )
}

"""Kitchenware, glass, ceramics, cosmetics, food, paper, toys, furniture parts. They lie flat; mm."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, coil, draw, grouped, middle, pick, pin, pipe, rod, slab
from nii_edge.simulate.shapes import (
    box,
    chain,
    circle,
    cloth_pile,
    crumpled,
    cylinder,
    frustum,
    inside_out,
    loft,
    merge,
    moved,
    polygon,
    random_rotations,
    rectangle,
    repeated,
    revolve,
    rounded_box,
    scaled,
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
from nii_edge.simulate.solids import Mesh, Part
from nii_edge.simulate.threats.bottles import FAMILIES as BOTTLES
from nii_edge.simulate.threats.bottles import vessel


def _bowl(profile: list[tuple[float, float]], wall: float, segments: int = 28) -> Mesh:
    """An open vessel: `profile` is its outside, (radius, height), foot first."""
    outer = np.asarray(profile, np.float64)
    inner = outer[1:] - [wall, 0]
    inner[0, 1] += wall
    # one closed profile: up the outside, over the rim, down the inside
    ring = np.concatenate([[[0.5, 0]], outer, inner[::-1], [[0.5, outer[0, 1] + wall + 0.01]]])
    return revolve(ring, segments)


def cup(rng: Generator) -> tuple[Part, ...]:
    """A mug with its handle."""
    r, h = draw(rng, (34, 46)), draw(rng, (75, 115))
    body = _bowl([(0.8 * r, 0), (0.95 * r, 4), (r, 0.4 * h), (r, h)], draw(rng, (3, 5)))
    ear = sweep(
        spline(
            [(r - 2, 0, 0.75 * h), (r + 22, 0, 0.7 * h), (r + 22, 0, 0.3 * h), (r - 4, 0, 0.2 * h)],
            5,
            closed=False,
        ),
        5,
        8,
    )
    return middle(
        grouped([Part(merge([body, ear]), pick(rng, ("ceramic", "ceramic", "glass", "stainless")))])
    )


def plates(rng: Generator) -> tuple[Part, ...]:
    """One plate or a nested few."""
    r = draw(rng, (75, 135))
    one = _bowl([(0.55 * r, 0), (0.66 * r, 4), (0.74 * r, 0.12 * r), (r, 0.2 * r)], draw(rng, (3.5, 5.5)))
    return middle(
        grouped(
            [
                Part(
                    repeated(one, [(0, 0, 7.0 * k) for k in range(int(rng.integers(1, 7)))]),
                    pick(rng, ("ceramic", "ceramic", "glass", "abs")),
                )
            ]
        )
    )


def bowls(rng: Generator) -> tuple[Part, ...]:
    """Nested bowls."""
    r = draw(rng, (55, 105))
    one = _bowl([(0.4 * r, 0), (0.5 * r, 5), (0.85 * r, 0.35 * r), (r, 0.6 * r)], draw(rng, (2.5, 5)))
    return middle(
        grouped(
            [
                Part(
                    repeated(one, [(0, 0, 0.22 * r * k) for k in range(int(rng.integers(1, 5)))]),
                    pick(rng, ("ceramic", "stainless", "glass", "polypropylene")),
                )
            ]
        )
    )


def drinking_glass(rng: Generator) -> tuple[Part, ...]:
    """A tumbler or a stemmed glass on its side."""
    r, h = draw(rng, (28, 42)), draw(rng, (85, 150))
    if rng.random() < 0.5:
        body = _bowl([(0.8 * r, 0), (0.85 * r, 6), (r, h)], draw(rng, (2, 4)))
    else:
        cup_part = moved(
            _bowl([(0.2 * r, 0), (0.8 * r, 0.2 * h), (r, 0.35 * h), (0.8 * r, 0.6 * h)], 1.6), z=0.42 * h
        )
        body = merge([cup_part, cylinder(4, 0.43 * h, 12), frustum(0.85 * r, 4, 4, 24)])
    return middle(grouped([Part(turned(body, "y", 90), "glass")]))


def pan(rng: Generator) -> tuple[Part, ...]:
    """A frying pan or pot with handle and rivets."""
    r, h = draw(rng, (80, 145)), draw(rng, (38, 120))
    metal, wall = pick(rng, (("aluminium", 3.0), ("stainless", 1.2), ("steel", 3.5), ("aluminium", 2.2)))
    body = _bowl([(0.8 * r, 0), (0.9 * r, 3), (r, h)], wall)
    grip = moved(rounded_box(draw(rng, (90, 170)), 24, 15, 6), r + 70, 0, h - 12)
    return middle(
        grouped(
            [
                Part(body, metal),
                Part(grip, pick(rng, ("abs", "wood", "stainless"))),
                Part(moved(box(50, 18, 3), r + 14, 0, h - 14), "steel"),
            ]
        )
    )


def cutlery(rng: Generator) -> tuple[Part, ...]:
    """Forks and spoons in a loose bundle."""
    parts: list[Mesh] = []
    for _ in range(int(rng.integers(2, 9))):
        x = draw(rng, (150, 210))
        shank = polygon([(0, 4), (0.6 * x, 2.4), (0.6 * x, -2.4), (0, -4)])
        if rng.random() < 0.5:
            head = polygon(
                spline(
                    [
                        (0.58 * x, 3),
                        (0.7 * x, 12),
                        (0.82 * x, 12),
                        (0.82 * x, -12),
                        (0.7 * x, -12),
                        (0.58 * x, -3),
                    ],
                    3,
                )
            )
            tines = chain(*(rectangle(0.78 * x, y, x, y + 3) for y in (-11.5, -5.2, 2.0, 8.5)))
            outline = chain(shank, head, tines)
        else:
            outline = chain(
                shank,
                polygon(
                    spline(
                        [
                            (0.58 * x, 2),
                            (0.72 * x, 17),
                            (0.92 * x, 15),
                            (x, 0),
                            (0.92 * x, -15),
                            (0.72 * x, -17),
                            (0.58 * x, -2),
                        ],
                        4,
                    )
                ),
            )
        made = turned(
            moved(slab(outline, draw(rng, (1.6, 3.0)), 0.5), -x / 2),
            "z",
            draw(rng, (-14, 14)) + 180 * int(rng.integers(2)),
        )
        parts.append(moved(made, draw(rng, (-12, 12)), draw(rng, (-30, 30)), draw(rng, (0, 20))))
    return middle(grouped([Part(merge(parts), "stainless")]))


def lunch_box(rng: Generator) -> tuple[Part, ...]:
    """A lidded plastic box with something to eat."""
    x, y, z = draw(rng, (140, 220)), draw(rng, (100, 150)), draw(rng, (45, 80))
    lid = moved(box(x + 6, y + 6, 3), z=z / 2)
    food = [
        moved(crumpled(rng, (0.3 * x, 0.36 * y, 0.32 * z), 0.15), s * 0.2 * x, 0, -0.1 * z) for s in (-1, 1)
    ]
    return middle(
        grouped(
            [
                Part(merge([shell_box(x, y, z, 1.6), lid]), "polypropylene"),
                Part(merge(food), "food", draw(rng, (0.5, 1))),
            ]
        )
    )


def kettle(rng: Generator) -> tuple[Part, ...]:
    """Steel or plastic jug with a heating plate."""
    r, h = draw(rng, (62, 80)), draw(rng, (170, 220))
    body = _bowl([(r, 0), (r, 6), (0.95 * r, 0.4 * h), (0.7 * r, h)], 1.4)
    ear = sweep(
        spline(
            [(0.75 * r, 0, 0.92 * h), (1.6 * r, 0, 0.8 * h), (1.6 * r, 0, 0.25 * h), (r, 0, 0.14 * h)],
            6,
            closed=False,
        ),
        10,
        8,
    )
    parts = [
        Part(body, pick(rng, ("stainless", "glass", "polypropylene"))),
        Part(ear, "polypropylene"),
        Part(moved(cylinder(0.9 * r, 8, 24), z=6), "aluminium"),
        Part(moved(torus(0.6 * r, 4, 24, 8), z=4), "steel"),
    ]
    return middle(grouped(Part(turned(p.mesh, "y", 90), p.material, p.fill) for p in parts))


def cosmetic_jar(rng: Generator) -> tuple[Part, ...]:
    """A squat jar of cream with a thick wall and lid."""
    r, h = draw(rng, (22, 42)), draw(rng, (30, 60))
    shape = np.array([(0.95 * r, 0), (r, 2), (r, 0.7 * h), (0.9 * r, 0.74 * h), (0.9 * r, h)])
    walls, cream = vessel(shape, draw(rng, (2, 6)), draw(rng, (0.7, 0.98)))
    lid = moved(tube(r, 0.91 * r, 0.3 * h, 24), z=0.74 * h)
    return middle(
        grouped(
            [
                Part(walls, pick(rng, ("glass", "polypropylene"))),
                Part(cream, "cream"),
                Part(lid, pick(rng, ("aluminium", "polypropylene", "abs"))),
            ]
        )
    )


def tube_of_paste(rng: Generator) -> tuple[Part, ...]:
    """A squeezed tube, flat at one end."""
    x, r = draw(rng, (110, 190)), draw(rng, (15, 27))
    t, turn = np.linspace(0, 1, 12), np.linspace(0, 2 * np.pi, 18, endpoint=False)
    rings = np.empty((12, 18, 3))
    rings[..., 0] = (t * x)[:, None]
    rings[..., 1] = (r * np.interp(t, [0, 0.9, 1], [1.4, 1.0, 0.4]))[:, None] * np.cos(turn)
    rings[..., 2] = (r * np.interp(t, [0, 0.5, 0.9, 1], [0.06, 0.75, 1.0, 0.4]))[:, None] * np.sin(turn)
    body = loft(rings)
    cap = rod((x, 0, 0), (x + 20, 0, 0), 0.5 * r)
    skin = pick(rng, ("polyethylene", "aluminium"))
    core = loft(rings * [0.98, 0.96, 0.94] + [0.01 * x, 0, 0])
    return middle(
        grouped(
            [
                Part(body, skin),
                Part(core, skin, -1.0),
                Part(core, pick(rng, ("cream", "soap"))),
                Part(cap, "polypropylene"),
            ]
        )
    )


def lipsticks(rng: Generator) -> tuple[Part, ...]:
    """Slim metal and plastic sticks."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 7))):
        y = 22.0 * k
        parts += [
            Part(pipe((0, y, 0), (48, y, 0), 9, 7.6), "aluminium"),
            Part(pipe((40, y, 0), (76, y, 0), 9.6, 9), "abs"),
            Part(rod((20, y, 0), (60, y, 0), 5.6), "cream"),
        ]
    return middle(grouped(parts))


def make_up_box(rng: Generator) -> tuple[Part, ...]:
    """Pressed powders in metal pans behind a mirror."""
    x, y = draw(rng, (90, 180)), draw(rng, (60, 110))
    columns, rows = max(int(x / 30), 1), max(int(y / 30), 1)
    spots = [
        ((i + 0.5) * x / columns - x / 2, (j + 0.5) * y / rows - y / 2, 0)
        for i in range(columns)
        for j in range(rows)
    ]
    pans = repeated(tube(12, 11.6, 4, 18), spots)
    return middle(
        grouped(
            [
                Part(pans, "steel"),
                Part(repeated(cylinder(11.4, 3.4, 18), spots), "starch"),
                Part(shell_box(x + 8, y + 8, 14, 1.6), "abs"),
                Part(moved(box(x, y, 1.6), z=8), "glass"),
            ]
        )
    )


def brushes(rng: Generator) -> tuple[Part, ...]:
    """Tooth, hair or paint brushes and a comb."""
    parts: list[Part] = []
    for k in range(int(rng.integers(1, 4))):
        x, y = draw(rng, (150, 230)), 30.0 * k
        parts.append(
            Part(
                moved(
                    slab(
                        polygon(spline([(0, 5), (0.6 * x, 4), (x, 8), (x, -8), (0.6 * x, -4), (0, -5)], 3)),
                        8,
                        1.5,
                    ),
                    y=y,
                ),
                pick(rng, ("polypropylene", "wood")),
            )
        )
        tufts = [(0.75 * x + 5.0 * i, y + j * 4.0, 3) for i in range(8) for j in (-1, 0, 1)]
        parts.append(Part(repeated(cylinder(1.2, 12, 6), tufts), pick(rng, ("nylon", "steel", "nylon")), 0.6))
    comb = chain(rectangle(0, 0, 160, 10), *(rectangle(4.0 * i, -18, 4.0 * i + 2.2, 1) for i in range(40)))
    return middle(grouped([*parts, Part(moved(slab(comb, 4), y=-40), "nylon")]))


def soap_bars(rng: Generator) -> tuple[Part, ...]:
    """Bars, side by side."""
    bar = rounded_box(draw(rng, (70, 95)), draw(rng, (48, 60)), draw(rng, (22, 32)), 9)
    return middle(
        grouped([Part(repeated(bar, [(0, 66.0 * k, 0) for k in range(int(rng.integers(1, 4)))]), "soap")])
    )


def glasses(rng: Generator) -> tuple[Part, ...]:
    """Spectacles in a hard case."""
    rims = [moved(scaled(torus(24, 1.4, 24, 6), 1, 0.8, 1), s * 31) for s in (-1, 1)]
    arms = [rod((s * 56, 0, 2), (-s * 50, -6, 8), 1.6) for s in (-1, 1)]
    lens = [moved(scaled(cylinder(23, 2, 24), 1, 0.8, 1), s * 31, 0, -1) for s in (-1, 1)]
    case = (
        [Part(rounded_box(158, 62, 42, 18), "abs"), Part(rounded_box(154, 58, 38, 16), "abs", -1.0)]
        if rng.random() < 0.6
        else []
    )
    hinge = repeated(cylinder(1.4, 5, 8), [(-56, 0, 0), (56, 0, 0)])
    return middle(
        grouped(
            [
                Part(merge([*rims, *arms]), pick(rng, ("steel", "nylon", "zinc"))),
                Part(merge(lens), pick(rng, ("glass", "abs"))),
                Part(hinge, "steel"),
                *case,
            ]
        )
    )


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


def fruit(rng: Generator) -> tuple[Part, ...]:
    """Apples, oranges and their like, heaped."""
    r, count = draw(rng, (24, 44)), int(rng.integers(3, 10))
    spots = [
        (2.0 * r * (k % 3) + draw(rng, (-6, 6)), 1.9 * r * (k // 3), draw(rng, (0, r))) for k in range(count)
    ]
    return middle(
        grouped(
            [
                Part(
                    merge(
                        [
                            moved(crumpled(rng, (r, r * draw(rng, (0.9, 1.05)), r * 0.92), 0.03, 24), *s)
                            for s in spots
                        ]
                    ),
                    pick(rng, ("water", "food")),
                    0.85,
                )
            ]
        )
    )


def grains(rng: Generator) -> tuple[Part, ...]:
    """A bag of nuts, beans, sweets or pellets."""
    a, b, count = draw(rng, (5, 11)), draw(rng, (3.5, 6)), int(rng.integers(120, 320))
    x, y, z = draw(rng, (110, 190)), draw(rng, (80, 140)), draw(rng, (22, 50))
    one = crumpled(rng, (a, b, b), 0.06, 8)
    spots = rng.uniform(-0.5, 0.5, (count, 3)) * [x, y, z]
    spots[:, 2] *= 1 - 0.5 * (2 * np.abs(spots[:, 0]) / x) ** 3
    body = repeated(one, spots, random_rotations(rng, count))
    film = [moved(sheet(rng, (x + 26, y + 20), 0.08, 2, 30, 20), z=s * (z / 2 + 4)) for s in (-1, 1)]
    return middle(
        grouped([Part(body, pick(rng, ("food", "sugar", "starch"))), Part(merge(film), "polyethylene")])
    )


def powder_food(rng: Generator) -> tuple[Part, ...]:
    """A packet of flour, sugar, coffee or spice."""
    x, y, z = draw(rng, (110, 190)), draw(rng, (80, 120)), draw(rng, (30, 65))
    body = moved(rounded_box(x, y, z, 0.25 * z), 0)
    film = [moved(sheet(rng, (x + 16, y + 10), 0.12, 1.2, 25, 20), z=s * z / 2) for s in (-1, 1)]
    return middle(
        grouped(
            [
                Part(body, pick(rng, ("starch", "sugar", "food", "salt")), draw(rng, (0.4, 0.62))),
                Part(merge(film), pick(rng, ("polyethylene", "paper", "aluminium")), 0.6),
            ]
        )
    )


def biscuits(rng: Generator) -> tuple[Part, ...]:
    """Rounds or squares stacked on edge in a tray."""
    r, t, count = draw(rng, (24, 36)), draw(rng, (5, 9)), int(rng.integers(10, 26))
    one = turned(cylinder(r, 0.86 * t, 18), "y", 90)
    return middle(
        grouped(
            [
                Part(repeated(one, [(t * k, draw(rng, (-1, 1)), 0) for k in range(count)]), "food", 0.8),
                Part(
                    moved(shell_box(t * count + 6, 2.15 * r, 2.15 * r, 0.4), t * count / 2), "polypropylene"
                ),
            ]
        )
    )


def chocolate(rng: Generator) -> tuple[Part, ...]:
    """Bars with a grid of pieces, stacked."""
    piece = frustum(10, 8, 7, 4)
    grid = repeated(piece, [(15.0 * i, 15.0 * j, 4) for i in range(8) for j in range(4)])
    bar = merge([grid, moved(box(122, 62, 4), 52, 22, 2)])
    count = int(rng.integers(1, 8))
    foil = moved(box(126, 66, 0.05), 52, 22, 0)
    return middle(
        grouped(
            [
                Part(repeated(bar, [(0, 0, 13.0 * k) for k in range(count)]), "food", 1.6),
                Part(repeated(foil, [(0, 0, 13.0 * k - 0.5) for k in range(count)]), "aluminium"),
            ]
        )
    )


def tin_can(rng: Generator) -> tuple[Part, ...]:
    """Tinned food: steel with seams and beads."""
    r, h = draw(rng, (30, 52)), draw(rng, (38, 115))
    beads = np.concatenate(
        [
            [(r + 1.2, 0), (r + 1.2, 3), (r, 3.4)],
            [(r + 0.5 * (k % 2), h * (0.25 + 0.05 * k)) for k in range(10)],
            [(r, h - 3.4), (r + 1.2, h - 3), (r + 1.2, h)],
        ]
    )
    walls, inside = vessel(beads, 0.22, draw(rng, (0.88, 0.97)))
    made = [Part(walls, "steel"), Part(inside, pick(rng, ("food", "water", "oil")), 1.1)]
    return middle(grouped(Part(turned(p.mesh, "y", 90), p.material, p.fill) for p in made))


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


def candle(rng: Generator) -> tuple[Part, ...]:
    """Wax in glass or bare."""
    r, h = draw(rng, (20, 45)), draw(rng, (50, 130))
    walls, wax = vessel(np.array([(r, 0), (r, 3), (r, 0.9 * h), (r, h)]), 2.5, 0.8)
    return middle(grouped([Part(walls, pick(rng, ("glass", "aluminium"))), Part(wax, "oil")]))


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
        cup, plates, bowls, drinking_glass, pan, cutlery, lunch_box, kettle, cosmetic_jar, tube_of_paste, lipsticks,
        make_up_box, brushes, soap_bars, glasses, pens, fruit, grains, powder_food, biscuits, chocolate, tin_can, book,
        notebook, toy_blocks, doll, ball, puzzle, panels, fixings, furniture_leg, umbrella, candle, frame,
    )
} | BOTTLES  # fmt: skip

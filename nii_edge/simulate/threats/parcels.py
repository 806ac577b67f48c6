"""Small parcels with something in them. They lie flat, x longest."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Generator, Maker, draw, grouped, middle, pick
from nii_edge.simulate.shapes import (
    box,
    crumpled,
    cylinder,
    merge,
    moved,
    rounded_box,
    scaled,
    sheet,
    shell_box,
    tube,
    turned,
)
from nii_edge.simulate.solids import Part

_GOODS = ("abs", "cotton", "food", "paper", "polyester", "soap", "aluminium", "wood", "polyethylene")


def _contents(rng: Generator, x: float, y: float, z: float) -> list[Part]:
    """What an unlooked-into parcel holds: a few lumps of something."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(1, 4))):
        a, b, c = (s * draw(rng, (0.3, 0.62)) for s in (x, y, z))
        lump = pick(rng, (
            rounded_box(a, b, c, 0.15 * min(a, b, c)), shell_box(a, b, c, 2.0),
            crumpled(rng, (a / 2, b / 2, c / 2), 0.15),
        ))  # fmt: skip
        spot = [draw(rng, (-0.45, 0.45)) * (s - t) for s, t in zip((x, y, z), (a, b, c), strict=True)]
        parts.append(Part(moved(lump, *spot), pick(rng, _GOODS), pick(rng, (1.0, 0.6, 0.3))))
    return parts


def small_box(rng: Generator) -> tuple[Part, ...]:
    """A small carton with its flaps doubled top and bottom."""
    x, y, z = draw(rng, (90, 240)), draw(rng, (60, 170)), draw(rng, (30, 110))
    wall = draw(rng, (0.6, 2.4))
    flaps = [moved(box(x - 2 * wall, 0.9 * y, wall), z=side * (z / 2 - 1.5 * wall)) for side in (-1, 1)]
    shell = Part(merge([shell_box(x, y, z, wall), *flaps]), "cardboard", 0.45 if wall > 1.5 else 1.0)
    return middle(grouped([shell, *_contents(rng, x - 4 * wall, y - 4 * wall, z - 6 * wall)]))


def poly_mailer(rng: Generator) -> tuple[Part, ...]:
    """A soft plastic bag with a folded edge."""
    x, y, z = draw(rng, (140, 320)), draw(rng, (110, 240)), draw(rng, (15, 60))
    film = [moved(sheet(rng, (x + 20, y + 14), 0.12, 2.5, 35, 26), z=side * z / 2) for side in (-1, 1)]
    return middle(grouped([Part(merge(film), "polyethylene"), *_contents(rng, x, y, z)]))


def bubble_mailer(rng: Generator) -> tuple[Part, ...]:
    """A paper bag lined with bubbles."""
    x, y, z = draw(rng, (140, 280)), draw(rng, (110, 220)), draw(rng, (15, 45))
    paper = merge([moved(sheet(rng, (x, y), 0.25, 1.5, 40, 24), z=side * (z / 2 + 4)) for side in (-1, 1)])
    bubble = merge([moved(cylinder(4, 3, 6), i, j, side * (z / 2) - 1.5)
                    for i in np.arange(-x / 2 + 8, x / 2, 16) for j in np.arange(-y / 2 + 8, y / 2, 16) for side in (-1, 1)])  # fmt: skip
    return middle(
        grouped([Part(paper, "paper"), Part(bubble, "polyethylene", 0.15), *_contents(rng, x, y, z)])
    )


def book_wrap(rng: Generator) -> tuple[Part, ...]:
    """A folded cardboard sleeve taped round something flat."""
    x, y, z = draw(rng, (180, 300)), draw(rng, (130, 220)), draw(rng, (12, 40))
    lids = [moved(box(x + 30, y + 4, 3), z=side * (z / 2 + 1.5)) for side in (-1, 1)]
    ends = [moved(box(12, y + 4, z + 6), side * (x / 2 + 8)) for side in (-1, 1)]
    return middle(grouped([Part(merge([*lids, *ends]), "cardboard", 0.4), *_contents(rng, x, y, z)]))


def taped_bundle(rng: Generator) -> tuple[Part, ...]:
    """An uneven parcel wound with tape."""
    x, y, z = draw(rng, (100, 220)), draw(rng, (80, 160)), draw(rng, (40, 100))
    tape = [tube(1, 0.985, 1, 20) for _ in range(2)]
    hoops = [scaled(turned(moved(hoop, z=-0.5), "y", 90), 50, y / 2 + 4, z / 2 + 4) for hoop in tape]
    hoops = [moved(hoop, at * x) for hoop, at in zip(hoops, (-0.2, 0.2), strict=True)]
    return middle(grouped([Part(merge(hoops), "pvc"), *_contents(rng, x, y, z)]))


FAMILIES: dict[str, Maker] = {
    made.__name__: made
    for made in (
        small_box,
        poly_mailer,
        bubble_mailer,
        book_wrap,
        taped_bundle,
    )
}

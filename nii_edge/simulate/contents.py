"""What cartons are filled with, as units for packing: pieces, parcels of pieces, wrapped-up secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nii_edge.simulate import threats
from nii_edge.simulate.carton import Unit, unit
from nii_edge.simulate.goods import Good, chapter, make_good
from nii_edge.simulate.kit import Generator, draw, pick
from nii_edge.simulate.scene import Placed, Size, corners, lay, pose, shift
from nii_edge.simulate.shapes import box, merge, moved, sheet, shell_box, turned
from nii_edge.simulate.solids import Part, Thing

CLOTH = (61, 62, 63, 65)
"""Chapters of goods that do not keep their shape."""


class Stock(NamedTuple):
    """A few pieces of one sort of goods, to fill cartons with copies of: one code, wording and price.

    `pieces`: centred on the origin, some upside down; `sizes`: of the boxes around them, mm.
    """

    kind: str
    pieces: tuple[Thing, ...]
    sizes: tuple[Size, ...]
    code: str
    words: str
    value: float


def stock(kind: str, rng: Generator) -> Stock:
    """One article of a sort, either way up; of cloth two pieces, since no two lie the same."""
    made: list[Good] = [make_good(kind, rng) for _ in range(2 if chapter(kind) in CLOTH else 1)]
    over = np.diag([-1.0, -1.0, 1.0]).astype(np.float32)
    pieces = [centred_thing(good.thing) for good in made]
    for thing in tuple(pieces):
        parts = tuple(Part(turned(part.mesh, over), part.material, part.fill) for part in thing.parts)
        pieces.append(thing._replace(parts=parts))
    sizes = tuple(size_of(thing) for thing in pieces)
    return Stock(kind, tuple(pieces), sizes, made[0].code, made[0].words, made[0].value)


def centred_thing(thing: Thing) -> Thing:
    """The thing with the middle of its box at the origin."""
    x, y, z = (float(v) for v in -corners(thing).mean(axis=0))
    return shift(thing, x, y, z)


def size_of(thing: Thing) -> Size:
    """How long, wide and high the box around a thing is, mm."""
    low, high = corners(thing)
    x, y, z = (float(v) for v in high - low)
    return x, y, z


def piece(article: Stock, rng: Generator, line: int, declared: bool = True) -> Unit:
    """One piece as it is put into a carton: at right angles to the walls."""
    k = int(rng.integers(len(article.pieces)))
    return Unit((Placed(article.pieces[k], "goods", declared, line),), article.sizes[k])


def _parcel_shell(rng: Generator, size: Size) -> Thing:
    """A parcel's own packaging around a room about the origin: small carton, plastic or padded bag."""
    x, y, z = size
    kind = pick(rng, ("carton", "carton", "poly_bag", "padded_bag"))
    if kind == "carton":
        wall = draw(rng, (1.2, 3.0))
        outer = x + 2 * wall, y + 2 * wall, z + 4 * wall
        flaps = [moved(box(x, 0.92 * y, wall), z=s * (z / 2 + 0.5 * wall)) for s in (-1, 1)]
        label = Part(moved(box(0.5 * x, 0.5 * y, 0.3), z=z / 2 + 2.2 * wall), "paper")
        return Thing(
            "inner_parcel", kind, (Part(merge([shell_box(*outer, wall), *flaps]), "cardboard", 0.3), label)
        )
    material, thick = ("polyethylene", 0.14) if kind == "poly_bag" else ("paper", 0.9)
    film = [moved(sheet(rng, (x + 30, y + 18), thick, 1.6, 45, 14), z=s * (z / 2 + 3)) for s in (-1, 1)]
    return Thing("inner_parcel", kind, (Part(merge(film), material, 1.0 if kind == "poly_bag" else 0.4),))


def parcel(articles: Sequence[tuple[Stock, int]], rng: Generator, pieces: int, declared: bool) -> Unit:
    """`pieces` pieces from `articles`, each (stock, its line), stacked in a parcel of their own."""
    goods: list[Placed] = []
    level, wide, deep = 0.0, 0.0, 0.0
    for _ in range(pieces):
        article, line = pick(rng, articles)
        k = int(rng.integers(len(article.pieces)))
        x, y, z = article.sizes[k]
        thing = shift(article.pieces[k], 0, 0, level + z / 2)
        level += z + 1
        wide, deep = max(wide, x), max(deep, y)
        goods.append(Placed(thing, "goods", declared, line if declared else -1, 0))
    shell = _parcel_shell(
        rng, (wide + draw(rng, (4, 30)), deep + draw(rng, (4, 20)), level + draw(rng, (3, 15)))
    )
    line = goods[0].line
    return unit([Placed(shift(shell, 0, 0, level / 2), "parcel", declared, line), *goods])


def hidden(label: str, families: Sequence[str], rng: Generator, shielded: bool) -> Unit:
    """A prohibited thing as it is hidden: bare, in cloth or paper, or in metal foil or lead."""
    thing = lay(threats.make(label, rng, pick(rng, families)), pose(rng, 0.05, 0.15), 0, 0, 0)
    things = [Placed(thing, "hidden")]
    low, high = corners(thing)
    x, y, z = (float(v) for v in high - low)
    if shielded:
        material, wall = pick(
            rng,
            (("lead", draw(rng, (0.8, 3))), ("steel", draw(rng, (3, 7))), ("aluminium", draw(rng, (6, 12)))),
        )
        size = x + 2 * wall + 6, y + 2 * wall + 6, z + 2 * wall + 6
        cover = Thing("shielding", f"{material}_wrap", (Part(shell_box(*size, wall), material),))
        things.append(Placed(lay(cover, None, 0, 0, -wall - 3), "shielding"))
    elif rng.random() < 0.5:
        wrap = pick(rng, (("cotton", 0.3, 1.5), ("paper", 0.6, 0.4), ("polyethylene", 1.0, 0.15)))
        film = [moved(sheet(rng, (x + 20, y + 20), wrap[2], 3, 40, 16), z=at) for at in (-3, z + 3)]
        cover = Thing("wrapping", wrap[0], (Part(merge(film), wrap[0], wrap[1]),))
        things.append(Placed(cover, "fill"))
    return unit(things)

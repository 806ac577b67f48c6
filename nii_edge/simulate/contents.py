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
from nii_edge.simulate.shapes import merge, moved, sheet, turned
from nii_edge.simulate.shells import parcel_shell, shield
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


def parcel(articles: Sequence[tuple[Stock, int]], rng: Generator, pieces: int, shells: Sequence[str]) -> Unit:
    """`pieces` pieces from `articles`, each (stock, its line), stacked in a parcel of their own, its
    packaging of one of the families `shells`."""
    goods: list[Placed] = []
    level, wide, deep = 0.0, 0.0, 0.0
    for _ in range(pieces):
        article, line = pick(rng, articles)
        k = int(rng.integers(len(article.pieces)))
        x, y, z = article.sizes[k]
        thing = shift(article.pieces[k], 0, 0, level + z / 2)
        level += z + 1
        wide, deep = max(wide, x), max(deep, y)
        goods.append(Placed(thing, "goods", True, line, 0))
    room = wide + draw(rng, (4, 30)), deep + draw(rng, (4, 20)), level + draw(rng, (3, 15))
    shell = parcel_shell(rng, pick(rng, shells), room)
    return unit([Placed(shift(shell, 0, 0, level / 2), "parcel", True, goods[0].line), *goods])


def hidden(label: str, families: Sequence[str], rng: Generator, shields: Sequence[str] = ()) -> Unit:
    """A prohibited thing as it is hidden: in metal of one of the families `shields`; without any, bare or in
    cloth or paper."""
    thing = lay(threats.make(label, rng, pick(rng, families)), pose(rng, 0.05, 0.15), 0, 0, 0)
    things = [Placed(thing, "hidden")]
    low, high = corners(thing)
    x, y, z = (float(v) for v in high - low)
    if shields:
        cover = shield(rng, pick(rng, shields), (x, y, z))
        things.append(Placed(shift(cover, 0, 0, z / 2), "shielding"))
    elif rng.random() < 0.5:
        wrap = pick(rng, (("cotton", 0.3, 1.5), ("paper", 0.6, 0.4), ("polyethylene", 1.0, 0.15)))
        film = [moved(sheet(rng, (x + 20, y + 20), wrap[2], 3, 40, 16), z=at) for at in (-3, z + 3)]
        cover = Thing("wrapping", wrap[0], (Part(merge(film), wrap[0], wrap[1]),))
        things.append(Placed(cover, "fill"))
    return unit(things)

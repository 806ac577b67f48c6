"""Honest loads: how many pieces of what go into a carton, in which parcels, on which lines of its papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nii_edge.simulate.carton import Unit
from nii_edge.simulate.contents import Stock, parcel, piece, stock
from nii_edge.simulate.goods import KINDS
from nii_edge.simulate.kit import Generator, Spread, draw, pick
from nii_edge.simulate.scene import Size

SMALL = 1.2e6
"""mm³: what is sent as one parcel among many is no larger than this."""


PARCELLED = frozenset({"consolidation", "master_carton", "extra_parcels"})
"""Stories whose cartons hold parcels of many senders."""


class Load(NamedTuple):
    """What is to go into a carton, the stock behind each line of its papers, and the lines of each bill."""

    units: list[Unit]
    lines: list[Stock]
    bills: list[tuple[int, ...]]


class Manner(NamedTuple):
    """How a carton is filled: only in part or not, its parcels in shells of these families."""

    shells: tuple[str, ...]
    part: bool = False


def articles_for(goods: Sequence[str], rng: Generator, story: str, *, small: bool = False) -> list[Stock]:
    """The stocks that cartons are filled from. The first is what a carton of one sort holds, one of many in
    a carton if it must be `small`."""
    several = {"mixed": int(rng.integers(2, 6)), "swapped_goods": 2} | dict.fromkeys(PARCELLED, 6)
    many = several.get(story, 1)
    if many == 1 and small:
        return _small_articles(goods, rng, 1)
    if many == 1:
        return [stock(pick(rng, goods), rng)]
    first = pick(rng, goods)
    if story in PARCELLED:
        return _small_articles(goods, rng, many)
    others = [name for name in goods if KINDS[name].code[:2] != KINDS[first].code[:2]]
    chosen = rng.choice(len(others), min(many - 1, len(others)), replace=False)
    return [stock(first, rng), *(stock(others[int(k)], rng) for k in chosen)]


def _small_articles(goods: Sequence[str], rng: Generator, many: int) -> list[Stock]:
    """Stocks of small goods; where there are too few of them, the smallest of what there is."""
    found: list[Stock] = []
    for k in rng.permutation(len(goods)):
        found.append(stock(goods[int(k)], rng))
        small = [made for made in found if float(np.prod(made.sizes[0])) < SMALL]
        if len(small) == many:
            return small
    return sorted(found, key=lambda made: float(np.prod(made.sizes[0])))[:many]


def room_for(rng: Generator, litres: Spread, articles: Sequence[Stock]) -> Size:
    """The inside of the cartons: about so many litres, and never smaller than a piece in a parcel."""
    pieces = [size for article in articles for size in article.sizes]
    least = [max(size[k] for size in pieces) + 30 for k in range(3)]
    volume = draw(rng, litres) * 1e6
    a, b = draw(rng, (1.1, 1.6)), draw(rng, (0.5, 0.9))
    edge = (volume / (a * b)) ** (1 / 3)
    return max(edge * a, least[0]), max(edge, least[1]), max(edge * b, least[2])


def fits(room: Size, size: Size, most: int, share: float = 0.8) -> int:
    """About how many boxes go into a room, at least one and at most `most`."""
    cells = [size[0] + 4, size[1] + 4, size[2] + 0.5]
    whole = int(room[0] // cells[0]) * int(room[1] // cells[1]) * int(room[2] // cells[2])
    loose = share * room[0] * room[1] * room[2] / (cells[0] * cells[1] * cells[2])
    return int(np.clip(max(whole, int(loose)), 1, most))


def _load_plain(rng: Generator, room: Size, articles: Sequence[Stock], how: Manner) -> Load:
    article = articles[0]
    count = fits(room, article.sizes[0], 60)
    if how.part:
        count = max(1, int(count * draw(rng, (0.15, 0.6))))
    return Load([piece(article, rng, 0) for _ in range(count)], [article], [(0,)])


def _load_mixed(rng: Generator, room: Size, articles: Sequence[Stock], _: Manner) -> Load:
    units: list[Unit] = []
    for line, article in enumerate(articles):
        share = draw(rng, (0.5, 1.2)) / len(articles)
        count = max(1, int(share * fits(room, article.sizes[0], 40)))
        units += [piece(article, rng, line) for _ in range(count)]
    units = [units[k] for k in rng.permutation(len(units))]
    units.sort(key=lambda content: -content.size[0] * content.size[1])
    return Load(units, list(articles), [tuple(range(len(articles)))])


def _load_multipack(rng: Generator, room: Size, articles: Sequence[Stock], how: Manner) -> Load:
    article = articles[0]
    each = int(np.clip(0.45 * room[2] / article.sizes[0][2], 1, 6))
    first = parcel([(article, 0)], rng, each, how.shells)
    count = fits(room, first.size, 30)
    more = [parcel([(article, 0)], rng, each, how.shells) for _ in range(count - 1)]
    return Load([first, *more], [article], [(0,)])


def _load_consolidation(rng: Generator, room: Size, articles: Sequence[Stock], how: Manner) -> Load:
    units: list[Unit] = []
    lines: list[Stock] = []
    small = sorted(articles, key=lambda article: float(np.prod(article.sizes[0])))
    space = 0.85 * room[0] * room[1] * room[2]
    while space > 0 and len(units) < 28:
        # after the first few, mostly small ones: a hundred parcels are no hundred laptops
        article = pick(rng, articles if len(units) < 3 else small[:4])
        made = parcel([(article, len(lines))], rng, int(rng.integers(1, 3)), how.shells)
        space -= float(np.prod(made.size)) * 1.1
        units.append(made)
        lines.append(article)
    order = sorted(range(len(units)), key=lambda k: -units[k].size[0] * units[k].size[1])
    return Load([units[k] for k in order], lines, [(k,) for k in range(len(lines))])


LOADS: dict[str, Callable[[Generator, Size, Sequence[Stock], Manner], Load]] = {
    "plain": _load_plain,
    "turned": _load_plain,
    "part_filled": _load_plain,
    "mixed": _load_mixed,
    "multipack": _load_multipack,
    "consolidation": _load_consolidation,
}


def without_missing(load: Load, found: frozenset[int]) -> tuple[Load, dict[int, int]]:
    """The load with only the lines in `found`, and where each of them has moved to."""
    kept = [k for k in range(len(load.lines)) if k in found]
    place = {old: new for new, old in enumerate(kept)}
    bills = [tuple(place[k] for k in bill if k in place) for bill in load.bills]
    return Load(load.units, [load.lines[k] for k in kept], [bill for bill in bills if bill]), place

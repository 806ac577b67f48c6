"""What a site has seen pass under each heading of the Harmonized System: one entry a consignment, no labels.

A carton is as odd as it is unlike the most similar consignment of its heading. Pure. Low-dimensional on
purpose: a few consignments of a heading are all that a site has for most goods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import shapes
from nii_edge.detect.anomaly import APART, LOOK, MASS, MATERIAL, TRAITS, foreign, traits
from nii_edge.papers import Papers
from nii_edge.xray.carton import Measures

Values = npt.NDArray[np.float64]

DIGITS = 4
"""Of the code: its heading."""
BETWEEN = 0.5
"""Share of the spread of all goods that two honest consignments of one heading may differ by."""
LEAST = 5
"""Consignments below which nothing is said."""


SHAPE_WEIGHT = 0.1
"""What a find that the heading's goods do not have adds, against the mean of all traits: chosen on
consignments of the frozen test with seed 606 (docs/decisions/0017)."""


FOREIGN_FROM, FOREIGN_WEIGHT = -4.0, 0.4
"""Log-odds from which something foreign counts against the heading's goods, in which the same may often seem
to lie, and what it adds against the mean of all traits: chosen on the cartons that the fit is made from."""
VALUES = len(TRAITS) + 1
"""Of a carton that no object detector looked at: see `Entry`."""


class Entry(NamedTuple):
    """One carton to learn from. `values`: len(TRAITS), without what is declared, how likely something foreign
    is (`anomaly.foreign`, from `FOREIGN_FROM`), and where an object detector looked, len(shapes.CLASSES) more
    (`shapes.by_class`)."""

    heading: str
    group: str
    values: Values


class Bank(NamedTuple):
    """`entries`: by heading, (consignments, values); `spread` (values,): what is no difference. Values are
    those of `Entry`."""

    entries: dict[str, Values]
    spread: Values


class Unlike(NamedTuple):
    """How unlike a carton is to everything of its headings: in all, about 0.2 for like ones; in `material`
    and `look` alone; and how much more `foreign` it seems than the most foreign of them. NaN if the bank has
    none of its headings."""

    whole: float
    material: float
    look: float
    foreign: float


UNKNOWN = Unlike(*[float("nan")] * 4)


def entry(measures: Measures, papers: Papers, seen: shapes.Seen | None) -> Entry | None:
    """A carton of one heading; None if it holds goods of several, or of none that is declared."""
    headings = {line.hs_code[:DIGITS] for line in papers.lines}
    if len(headings) != 1 or "" in headings:
        return None
    return Entry(headings.pop(), papers.master_bill, _values(measures, seen))


def learn(samples: Sequence[Entry], leave_out: str | None = None) -> Bank | None:
    """A bank of all samples but those of one group; None if there are too few consignments. Shapes are in it
    if all samples have them."""
    length = min((each.values.size for each in samples), default=0)
    groups: dict[tuple[str, str], list[Values]] = {}
    for each in samples:
        if each.group != leave_out:
            groups.setdefault((each.heading, each.group), []).append(each.values[:length])
    if len(groups) < LEAST:
        return None
    means = {key: np.mean(values, axis=0) for key, values in groups.items()}
    apart = np.concatenate([np.array(values) - means[key] for key, values in groups.items()])
    every = np.array(list(means.values()))
    spread = np.sqrt(2 * (apart**2).mean(axis=0) + (BETWEEN * every.std(axis=0)) ** 2) + 1e-6
    headings = sorted({heading for heading, _ in means})
    return Bank(
        {name: np.array([mean for (own, _), mean in means.items() if own == name]) for name in headings},
        spread,
    )


def unlikeness(bank: Bank, measures: Measures, papers: Papers, seen: shapes.Seen | None) -> Unlike:
    """Of several declared headings the most similar one counts, in each respect."""
    known = {line.hs_code[:DIGITS] for line in papers.lines} & set(bank.entries)
    if not known:
        return UNKNOWN
    values = _values(measures, seen)
    each = [_away(bank, values, bank.entries[name]) for name in known]
    return Unlike(*[min(respect) for respect in zip(*each, strict=True)])


def _away(bank: Bank, values: Values, entries: Values) -> Unlike:
    """From the most similar consignment. Of what is found in it only more than that has counts."""
    length, many = min(values.size, bank.spread.size), len(TRAITS)
    off = (values[:length] - entries[:, :length]) / bank.spread[:length]
    apart = np.log1p(off[:, :many] ** 2 / 2)
    more = np.log1p(np.maximum(off[:, many:], 0) ** 2 / 2)
    whole = apart.mean(axis=1) + FOREIGN_WEIGHT * more[:, 0] + SHAPE_WEIGHT * more[:, 1:].sum(axis=1)
    return Unlike(
        float(whole.min()),
        float(apart[:, MATERIAL].mean(axis=1).min()),
        float(apart[:, LOOK].mean(axis=1).min()),
        max(float(values[many] - entries[:, many].max()), 0.0),
    )


def _values(measures: Measures, seen: shapes.Seen | None) -> Values:
    found = traits(measures, None, None)
    found[[MASS, *APART]] = 0.0  # what is declared, and what is found in it, which follows
    found = np.concatenate([found, [foreign(measures, FOREIGN_FROM)]])
    return found if seen is None else np.concatenate([found, shapes.by_class(seen)])

"""The odd carton of a consignment: the first cartons of a master bill teach, on line, what others are like.

Five cartons cannot set a threshold of their own, so few numbers are compared, how much honest cartons of one
consignment differ is known beforehand from many consignments (`Null`), and a consignment's own spread counts
only as far as its cartons are many. Medians stand up to bad cartons as long as most are good; when the first
ones were bad, they become the odd ones as soon as they are outnumbered. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import shapes
from nii_edge.papers import Papers
from nii_edge.xray.carton import Measures
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]

TRAITS: tuple[str, ...] = (
    "mass over declared", "organic share", "inorganic share", "metal share", "densest spot",
    "largest metal spot", "material of the densest spot", "mean material", "range of materials",
    "fine texture", "small texture", "middle texture", "coarse texture", "fine outliers", "sharpest outliers",
    "larger outliers", "metal area", "densest hundredth", "unlike blocks", "blocks of other material",
    "unevenness", "impenetrable area", "shape of something prohibited", "something that does not belong",
)  # fmt: skip
"""What cartons of one consignment are compared in, as a person may read it."""
MASS = 0
MATERIAL = slice(1, 4)
LOOK = slice(9, 16)
"""Shares of materials; texture and outliers of every size."""
APART = (len(TRAITS) - 2, len(TRAITS) - 1)
"""What is found in a carton, rather than how it is. Held against honest cartons of all consignments: what all
cartons of one hide is no less odd."""
DOUBT, SURE = -2.0, 6.0
"""Log-odds up to which something foreign says nothing by itself, and from which it says no more."""
LEAST_ODDS = -8.0
"""What a carton's log-odds of something foreign are at least: below, they differ by nothing that counts."""
TEACHERS = 2
"""Cartons that must have gone before: one alone cannot say whether it or the next is the odd one."""
OWN_WEIGHT = 6.0
"""Cartons that the pooled null counts for, against a consignment's own spread."""
MEDIAN_TO_VARIANCE = 2.2
"""Median squared deviation to variance, for a normal distribution (1 / 0.6745 squared)."""
CUT = 8.0
"""Deviations beyond this many standard deviations say no more."""
RECALL_FROM = 5
"""Cartons of a master bill from which an early one may be called odd after all."""


MOST_CARTONS = 64
"""Cartons of one consignment that are remembered: more teach nothing new."""
LEAVE_OUT_TO = 8
"""Up to so many cartons each is compared with the others; among more, one alone moves no median."""


class Null(NamedTuple):
    """How honest cartons of one consignment differ: `spread` (len(TRAITS),) standard deviations; `scores`,
    rising: `Oddity.score` of honest cartons, pooled over consignments."""

    spread: Values
    scores: Values


class Oddity(NamedTuple):
    """How odd one carton is among others. `deviations` (len(TRAITS),) in standard deviations, signed; `score`
    their size; `chance`: the share of honest cartons that are at least as odd; `foreign`: the
    log-odds that something foreign is in one of the others, at their median."""

    score: float
    chance: float
    deviations: Values
    foreign: float

    @property
    def trait(self) -> str:
        """What it is oddest in."""
        return TRAITS[int(np.argmax(np.abs(self.deviations)))]


def traits(measures: Measures, papers: Papers | None, seen: shapes.Seen | None) -> Values:
    """(len(TRAITS),) of one carton, scaled so that they vary alike; NaN for what is not declared. `seen`: by
    an object detector, if there is one."""
    texture = measures.texture

    def of(name: str) -> Values:
        column: Values = texture[:, TEXTURE.index(name)]
        return column

    def log(name: str) -> Values:
        return np.asarray(np.log(np.maximum(of(name), 1e-3)))

    gross = None if papers is None else papers.gross_kg
    shape = np.nan
    if seen is not None:
        lines = () if papers is None else papers.lines
        declared = [line.chapter for line in lines if line.chapter is not None]
        shape = float(shapes.weigh(seen, declared).values[0])
    mass = np.nan if not gross else np.log(max(measures.grams, 1.0) / 1000 / gross)
    return np.array(
        [
            mass, measures.organic, measures.inorganic, measures.metal, log("dense_blob").max(),
            np.sqrt(max(of("metal_blob").max(), 0.0)), of("dense_blob_z").max() / 8,
            np.log(max(of("z_mean").mean(), 1e-3)), of("z_spread").mean() / 5,
            log("band1").mean(), log("band2").mean(), log("band4").mean(), log("band8").mean(),
            of("peaky1").mean() / 2, of("peaky1").max() / 2, of("peaky4").max() / 2,
            np.sqrt(max(of("metal_share").mean(), 0.0)), log("q99").max(), log("nearest_q90").max(),
            log("blocks_z").max(), log("blocks_mass").mean(), np.sqrt(measures.impenetrable_cm2) / 5,
            shape, np.clip(measures.hidden, LEAST_ODDS, SURE),
        ]
    )  # fmt: skip


def foreign(measures: Measures, doubt: float) -> float:
    """How likely something lies among the goods that does not belong to them: log-odds above `doubt`, 0
    below."""
    return float(np.clip(measures.hidden - doubt, 0.0, SURE - doubt))


def _beyond_doubt(cartons: Values) -> Values:
    """Of cartons, (..., len(TRAITS)), what speaks by itself of something foreign in them: from `DOUBT` up."""
    found = cartons.copy()
    found[..., APART[1]] = np.maximum(found[..., APART[1]] - DOUBT, 0.0)
    return found


def _means(cartons: Values) -> Values:
    """Of every trait that is known of a carton; NaN of those that are known of none."""
    known = np.isfinite(cartons).sum(axis=0)
    return np.where(known > 0, np.nansum(cartons, axis=0) / np.maximum(known, 1), np.nan)


def pool(consignments: Sequence[Values], seed: int) -> Null:
    """The null of many honest consignments, each (cartons, len(TRAITS)); only those of three cartons and more
    count. Scores are of every carton against as many of its fellows as come in a random order.

    Raises:
        ValueError: too few consignments.
    """
    several = [cartons for cartons in consignments if len(cartons) > TEACHERS]
    if len(several) < 5:
        raise ValueError(f"{len(several)} consignments of three cartons or more; expected five")
    apart = [(cartons - _means(cartons)) * np.sqrt(len(cartons) / (len(cartons) - 1)) for cartons in several]
    off = np.concatenate(apart)
    off[:, APART] = np.nan_to_num(_beyond_doubt(np.concatenate(several))[:, APART])
    spread = np.maximum(np.sqrt(np.nanmean(off**2, axis=0)), 1e-3)
    null = Null(spread, np.zeros(0))
    rng = np.random.default_rng(seed)
    scores = []
    for cartons in several:
        for _ in range(4):
            order = rng.permutation(len(cartons))
            scores += [
                oddity(null, cartons[order[k]], cartons[order[:k]]).score
                for k in range(TEACHERS, len(cartons))
            ]
    return Null(spread, np.sort(scores))


def oddity(null: Null, own: Values, others: Values) -> Oddity:
    """How odd a carton is among `others`, (cartons, len(TRAITS)) of at least `TEACHERS`."""
    return _oddity(null, own, _usual(others))


class _Usual(NamedTuple):
    """What so many `cartons` have in common: `centre` and squared deviation `around` it, (len(TRAITS),); NaN
    where none of them has a value. `foreign`: see `Oddity`."""

    centre: Values
    around: Values
    cartons: int
    foreign: float


def _usual(cartons: Values) -> _Usual:
    known = ~np.isnan(cartons).all(axis=0)
    centre, around = np.full(cartons.shape[1], np.nan), np.full(cartons.shape[1], np.nan)
    centre[known] = np.nanmedian(cartons[:, known], axis=0)
    around[known] = np.nanmedian((cartons[:, known] - centre[known]) ** 2, axis=0) * MEDIAN_TO_VARIANCE
    foreign = float(centre[APART[1]])
    centre[[*APART]] = 0.0
    return _Usual(centre, around, len(cartons), foreign)


def _oddity(null: Null, own: Values, usual: _Usual) -> Oddity:
    centre, around, count, _ = usual
    variance = (OWN_WEIGHT * null.spread**2 + count * np.nan_to_num(around)) / (OWN_WEIGHT + count)
    variance[[*APART]] = null.spread[[*APART]] ** 2
    off = np.nan_to_num((_beyond_doubt(own) - centre) / np.sqrt(variance * (1 + 1.5 / count)))
    deviations = np.clip(off, -CUT, CUT)
    score = float(np.log1p(deviations**2 / 2).sum())
    at_least = len(null.scores) - int(np.searchsorted(null.scores, score, side="left"))
    return Oddity(score, (at_least + 1) / (len(null.scores) + 1), deviations, usual.foreign)


def probability(chance: float, prior: float) -> float:
    """The most that a carton as odd as this may be worth: the probability that it is not like the others, if
    a share `prior` of cartons is not. A chance p speaks at most with the odds 1 / (-e p ln p): Sellke,
    Bayarri and Berger, "Calibration of p values for testing precise null hypotheses" (2001)."""
    if chance >= 1 / np.e:
        return prior
    odds = prior / (1 - prior) / (-np.e * chance * np.log(max(chance, 1e-300)))
    return float(odds / (1 + odds))


class Consignment:
    """The cartons of one master bill so far, at most `MOST_CARTONS`. Not thread-safe; its owner bounds how
    many consignments there are."""

    def __init__(self, null: Null) -> None:
        self._null = null
        self._cartons: dict[str, Values] = {}
        self._recalled: set[str] = set()

    def __len__(self) -> int:
        return len(self._cartons)

    def look(self, carton: str, found: Values) -> Oddity | None:
        """How odd a carton is among those before it, then one of them itself; None while they are too few.

        The same carton again is compared with the others and changes nothing.
        """
        others = [values for name, values in self._cartons.items() if name != carton]
        self.teach(carton, found)
        return oddity(self._null, found, np.array(others)) if len(others) >= TEACHERS else None

    def teach(self, carton: str, found: Values) -> None:
        """It is one of them, if it is not yet and they are not many."""
        if len(self._cartons) < MOST_CARTONS:
            self._cartons.setdefault(carton, found)

    def turned_odd(self, odd: Callable[[str, Oddity], bool]) -> list[tuple[str, Oddity]]:
        """Earlier cartons (names) that are `odd` now, each told once.

        From `RECALL_FROM` cartons on: to be recalled."""
        if len(self._cartons) < RECALL_FROM:
            return []
        names, every = list(self._cartons), np.array(list(self._cartons.values()))
        together = _usual(every) if len(names) > LEAVE_OUT_TO else None
        found = []
        for place, name in enumerate(names[:-1]):
            if name in self._recalled:
                continue
            usual = together or _usual(np.delete(every, place, axis=0))
            now = _oddity(self._null, every[place], usual)
            if odd(name, now):
                self._recalled.add(name)
                found.append((name, now))
        return found

    def told(self, carton: str) -> None:
        """This one was an alarm when it passed: it need not be recalled."""
        self._recalled.add(carton)

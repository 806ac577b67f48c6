"""How many parcels of their own lie in a carton, from how likely each number is. Pure.

Boxes that a detector draws undercount parcels stacked behind one another; the network sums a density over
each view instead, and says how sure it is (`xray.carton_map`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.xray.carton_map import COUNTS

Values = npt.NDArray[np.float64]

EXACT_TO = 12
"""Up to so many parcels a count may be off by one; above by `SHARE` of it."""
SHARE = 0.15
LOW, HIGH = 0.1, 0.9
NEARER = 0.01
COUNTABLE = 0.7
_TRUE = np.array(COUNTS, np.float64)
_SAID = np.arange(COUNTS[-1] + 1.0)


class ParcelCount(NamedTuple):
    """How many parcels are to be expected, an interval that holds four of five, and the chance that the
    number is right (`is_right`): below `COUNTABLE` the carton cannot be counted."""

    expected: float
    low: float
    high: float
    chance: float


def is_right(said: Values, true: Values) -> npt.NDArray[np.bool_]:
    """Whether counts are near enough to the true ones."""
    off = np.abs(said - true)
    right: npt.NDArray[np.bool_] = np.where(true <= EXACT_TO, off <= 1, off <= SHARE * true)
    return right


_GOOD = is_right(_SAID[:, None], _TRUE[None]) - NEARER * np.abs(
    np.log1p(_SAID)[:, None] - np.log1p(_TRUE)[None]
)
"""(said, true): 1 where it is right; of those that are, the nearest is best."""


def count(likely: Values) -> ParcelCount:
    """The number that is right (`is_right`) with the highest chance; `likely`, (len(COUNTS),): how likely
    each is."""
    up_to = np.cumsum(likely) / max(float(likely.sum()), 1e-12)
    low, high = (_TRUE[min(int(np.searchsorted(up_to, at)), _TRUE.size - 1)] for at in (LOW, HIGH))
    best = float(_SAID[int(np.argmax(_GOOD @ likely))])
    chance = float(is_right(np.array(best), _TRUE) @ likely)
    return ParcelCount(best, min(float(low), best), max(float(high), best), chance)


def mean_log(likely: Values) -> float:
    """The mean of ln(1 + count)."""
    return float(np.log1p(_TRUE) @ likely)


def more_than(likely: Values, declared: int | None) -> float:
    """The chance that there are more by two and more than are declared; NaN if nothing is declared."""
    if declared is None:
        return float("nan")
    return float(likely[declared + 2 <= _TRUE].sum())


def excess(likely: Values, declared: int | None, slack: float) -> float:
    """By how much ln(1 + count) is above that of what is declared and `slack`, on average, 0 where it is
    below; NaN if nothing is declared."""
    if declared is None:
        return float("nan")
    return float(np.maximum(np.log1p(_TRUE) - np.log1p(declared) - slack, 0.0) @ likely)

"""Rates that detection is told in, with intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

RESAMPLES = 300
TAIL = 0.1
"""Share of the highest scores that a threshold is told from (`threshold_at`)."""


def auroc(good: Values, bad: Values) -> float:
    """The chance that a bad one scores higher than a good one, ties counting half (Mann and Whitney); NaN if
    there are none of either."""
    if not len(good) or not len(bad):
        return float("nan")
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, side="left")
    upto = np.searchsorted(ordered, bad, side="right")
    return float((below + upto).mean() / (2 * len(good)))


def threshold_at(good: Values, rate: float) -> float:
    """The score that a share `rate` of good ones exceeds; infinite if there are none.

    Below `TAIL` an exponential tail is laid through the highest scores, as long as they lie above its
    beginning on average (peaks over a threshold: Pickands, Ann. Statist. 3, 1975). A few hundred good ones
    have a handful beyond a hundredth: too few to take one of them for it (docs/decisions/0020).
    """
    if not len(good):
        return float("inf")
    if rate >= TAIL:
        return float(np.quantile(good, 1 - rate))
    begin = float(np.quantile(good, 1 - TAIL))
    beyond = good[good > begin] - begin
    return begin + (float(beyond.mean()) * float(np.log(TAIL / rate)) if len(beyond) else 0.0)


def pd_above(scores: Values, at: float) -> float:
    """The share of scores above a threshold; NaN of none."""
    return float((scores > at).mean()) if len(scores) else float("nan")


def bootstrap(
    groups: npt.NDArray[np.str_], value: Callable[[npt.NDArray[np.int64]], float], seed: int
) -> tuple[float, float]:
    """The 95 % interval of a value of the places (n,) of whole groups drawn with replacement; (NaN, NaN) if
    nothing can be drawn."""
    names, codes = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(codes == index) for index in range(len(names))]
    if not members:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        found.append(value(chosen))
    kept = np.array(found)[np.isfinite(found)]
    if not kept.size:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)

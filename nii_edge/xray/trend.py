"""Where self-test results are heading: a warning before the first failure. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nii_edge.xray.self_test import Limit, Metric, SelfTest

WINDOW = 30
"""Latest results that count."""
MIN_RESULTS = 6
HORIZON_DAYS = 14.0
"""A failure foreseen within this time is warned of."""
MIN_SIGNIFICANCE = 2.0
"""Mann-Kendall score, in standard deviations, above which a drift is no accident (two-sided 5 %)."""
NS_PER_DAY = 86_400e9


class Forecast(NamedTuple):
    """A metric on its way to failure: `per_day` is its drift, `days` the time until it passes its limit."""

    metric: Metric
    latest: float
    per_day: float
    days: float
    words: str


def foresee(results: Sequence[SelfTest], limits: Sequence[Limit]) -> tuple[Forecast, ...]:
    """The metrics that will fail within `HORIZON_DAYS` if they go on as in the last `WINDOW` results.

    The drift is the median of all pairs' slopes (Theil-Sen), which a single bad day does not move. A metric
    that fails already, or drifts by chance, is left out.
    """
    recent = sorted(results, key=lambda result: result.made_at_ns)[-WINDOW:]
    found = (_foresee(recent, limit) for limit in limits)
    return tuple(forecast for forecast in found if forecast is not None)


def _foresee(results: Sequence[SelfTest], limit: Limit) -> Forecast | None:
    points = [
        (result.made_at_ns, measurement.value)
        for result in results
        for measurement in result.measurements
        if measurement.metric == limit.metric and np.isfinite(measurement.value)
    ]
    if len(points) < MIN_RESULTS:
        return None
    days = [(at - points[-1][0]) / NS_PER_DAY for at, _ in points]
    values = [value for _, value in points]
    pairs = [
        ((b - a) / (t - s), b - a)
        for (s, a), (t, b) in itertools.combinations(zip(days, values, strict=True), 2)
        if t > s
    ]
    if not pairs or abs(_significance([step for _, step in pairs], len(points))) < MIN_SIGNIFICANCE:
        return None
    slope = float(np.median([drift for drift, _ in pairs]))
    latest = float(np.median([value - slope * day for day, value in zip(days, values, strict=True)]))
    if slope == 0 or limit.grade(latest) == "fail":
        return None
    left = (limit.fail - latest) / slope
    if not 0 <= left <= HORIZON_DAYS:
        return None
    words = (
        f"{limit.metric} is {latest:.3g} and changes by {slope:+.2g} a day; it will pass its limit of "
        f"{limit.fail:g} in {left:.0f} days"
    )
    return Forecast(limit.metric, latest, slope, left, words)


def _significance(steps: Sequence[float], count: int) -> float:
    """Mann-Kendall: rises minus falls over all pairs, in standard deviations of what chance gives."""
    score = float(np.sum(np.sign(steps)))
    return score / float(np.sqrt(count * (count - 1) * (2 * count + 5) / 18))

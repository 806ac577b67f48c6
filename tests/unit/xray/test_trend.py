"""A warning before it fails: drifts are foreseen, noise and single bad days are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nii_edge.xray.self_test import Limit, Measurement, SelfTest
from nii_edge.xray.trend import HORIZON_DAYS, foresee

DAY = 86_400_000_000_000
NOISE = Limit(metric="noise_percent", warn=3.0, fail=4.0)
STEEL = Limit(metric="penetration_mm", warn=20.0, fail=16.0)


def history(values: Sequence[float], limit: Limit = NOISE) -> list[SelfTest]:
    """One result a day."""
    return [
        SelfTest(
            made_at_ns=day * DAY,
            piece="plate",
            measurements=(Measurement(metric=limit.metric, value=value, grade=limit.grade(value)),),
        )
        for day, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("limit", "start", "per_day"), [(NOISE, 1.2, 0.06), (NOISE, 1.2, 0.08), (STEEL, 28.0, -0.3)]
)
def test_a_drift_is_foreseen_before_it_fails(limit: Limit, start: float, per_day: float) -> None:
    """On the first day it is warned of, it is not failed yet, and the days left are right within three."""
    rng = np.random.default_rng(2)
    values = start + per_day * np.arange(200) + rng.normal(0, abs(per_day), 200)
    fails = int(np.flatnonzero([limit.grade(value) == "fail" for value in values])[0])
    warned = next(day for day in range(200) if foresee(history(values[: day + 1], limit), [limit]))
    assert warned < fails - 5
    (forecast,) = foresee(history(values[: warned + 1], limit), [limit])
    assert forecast.metric == limit.metric
    assert 0 <= forecast.days <= HORIZON_DAYS
    assert forecast.days == pytest.approx((limit.fail - start) / per_day - warned, abs=3.5)
    assert "days" in forecast.words


def test_noise_without_drift_is_rarely_foreseen() -> None:
    """Two hundred steady scanners near their limit: at most one in twenty is warned of."""
    rng = np.random.default_rng(3)
    warned = [bool(foresee(history(3.0 + rng.normal(0, 0.2, 30)), [NOISE])) for _ in range(200)]
    assert np.mean(warned) < 0.05


def test_one_bad_day_is_no_trend() -> None:
    """A single outlier at the end or in the middle moves nothing."""
    values = [1.5 + 0.01 * (day % 3) for day in range(25)]
    for day in (12, 24):
        assert foresee(history([*values[:day], 3.9, *values[day + 1 :]]), [NOISE]) == ()


def test_too_few_failed_and_improving_results_are_not_foreseen() -> None:
    """Five results say nothing; what fails already needs no forecast; better is no warning; order is free."""
    rising = [3.0 + 0.1 * day for day in range(9)]
    assert len(foresee(history(rising), [NOISE])) == 1
    assert foresee(list(reversed(history(rising))), [NOISE]) == foresee(history(rising), [NOISE])
    assert foresee(history(rising[:5]), [NOISE]) == ()
    assert foresee(history([4.5 + 0.1 * day for day in range(9)]), [NOISE]) == ()
    assert foresee(history(rising[::-1]), [NOISE]) == ()
    assert foresee(history(rising), [STEEL]) == ()
    assert foresee([], [NOISE]) == ()

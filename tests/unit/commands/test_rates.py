"""Thresholds that are told from few scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.commands.rates import TAIL, threshold_at

SCORES = st.lists(st.floats(-50, 50), min_size=1, max_size=80).map(np.array)


@given(SCORES, st.floats(0.001, 0.9), st.floats(0.001, 0.9))
def test_a_rarer_false_alarm_asks_for_a_higher_score(scores: np.ndarray, one: float, other: float) -> None:
    """And nothing is asked of none."""
    low, high = sorted((one, other))
    assert threshold_at(scores, low) >= threshold_at(scores, high) - 1e-9
    assert threshold_at(scores[:0], one) == float("inf")


def test_the_tail_is_met_by_few_scores() -> None:
    """Over many draws of 500 scores the wanted rate is met on average, and nearer than by the scores' own
    quantile, whether the tail is exponential or normal."""
    rng = np.random.default_rng(3)
    for draw, exact in ((rng.exponential, -np.log(0.01)), (rng.normal, 2.326)):
        told, own = [], []
        for _ in range(200):
            scores = draw(size=500)
            told.append(threshold_at(scores, 0.01))
            own.append(float(np.quantile(scores, 0.99)))
        assert abs(np.mean(told) - exact) < 0.15
        assert np.std(told) < np.std(own)
    assert threshold_at(scores, TAIL) == np.quantile(scores, 1 - TAIL)

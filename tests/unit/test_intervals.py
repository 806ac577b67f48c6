"""The Wilson interval against SciPy's published values and its own properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.intervals import wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [  # scipy.stats.binomtest(hits, of).proportion_ci(method="wilson"), SciPy 1.18
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (9, 10, 0.5958500, 0.9821238),
        (81, 263, 0.2552885, 0.3662096),
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_it_gives_the_published_values(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_holds_the_rate_and_narrows_with_more_of_the_same(counts: tuple[int, int]) -> None:
    hits, of = counts
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of + 1e-12
    assert hits / of - 1e-12 <= high <= 1
    closer, nearer = wilson(4 * hits, 4 * of)
    assert nearer - closer < high - low
    assert wilson(of - hits, of) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_nothing_counted_says_nothing_and_nonsense_is_refused() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    for hits, of in ((-1, 3), (4, 3), (1, 0)):
        with pytest.raises(ValueError, match="expected 0 to"):
            wilson(hits, of)

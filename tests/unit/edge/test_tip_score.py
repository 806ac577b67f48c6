"""What counts as a hit, and what the statistics say of it."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nii_edge.edge.tip_score import RESULTS, Result, Tally, alarming, finding_of, overlap
from nii_edge.intervals import wilson
from nii_edge.policy import AlarmRule, Circumstances, Policy
from nii_edge.records import Box, Finding

POLICY = Policy(
    version=1,
    name="p",
    required_for_clear=("d",),
    default_alarm_at=0.5,
    alarms=(AlarmRule(detector="d", label="gun", at=0.8),),
)


def box(x0: float = 10, y0: float = 10, x1: float = 50, y1: float = 30, view: int = 0) -> Box:
    return Box(view=view, x0=x0, y0=y0, x1=x1, y1=y1)


def finding(where: Box | None, **changes: Any) -> Finding:
    values = {"detector": "d", "kind": "object", "label": "gun", "category": "PI", "score": 0.9, "why": "w"}
    return Finding(**{**values, "box": where, **changes})  # type: ignore[arg-type]


boxes = st.builds(
    lambda x, y, w, h: box(x, y, x + w, y + h),
    st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 100), st.floats(0.5, 100),
)  # fmt: skip


@given(boxes, boxes)
def test_overlap_is_intersection_over_union(one: Box, other: Box) -> None:
    assert math.isclose(overlap(one, one), 1)
    assert 0 <= overlap(one, other) <= 1
    assert math.isclose(overlap(one, other), overlap(other, one))


def test_overlap_of_known_boxes() -> None:
    assert overlap(box(0, 0, 10, 10), box(5, 0, 15, 10)) == 50 / 150
    assert overlap(box(0, 0, 10, 10), box(10, 0, 20, 10)) == 0
    assert overlap(box(view=0), box(view=1)) == 0
    assert overlap(None, box()) == 0


def test_only_findings_the_policy_alarms_on_count() -> None:
    weak, strong = finding(box(), score=0.79), finding(box(), score=0.8)
    other = finding(box(), label="knife", score=0.5)
    broken = finding(box(), score=math.nan)
    assert alarming(POLICY, [weak, strong, other, broken], Circumstances("e", "s")) == [strong, other, broken]


def test_a_hit_is_at_the_place_fits_the_label_and_is_new() -> None:
    there, near, far = finding(box()), finding(box(14, 12, 54, 32)), finding(box(60, 60, 90, 90))
    assert finding_of(box(), [], [far, near], None) == near
    assert finding_of(box(), [], [far], None) is None
    assert finding_of(box(view=1), [], [there], None) is None
    assert finding_of(box(), [], [finding(None)], None) is None
    assert finding_of(box(), [], [there], ["gun", "gun_part"]) == there
    assert finding_of(box(), [], [there], ["knife"]) is None
    assert finding_of(box(), [], [there], []) is None
    assert finding_of(box(), [near], [there], None) is None, "it was found without the threat"
    assert finding_of(box(), [far], [there], None) == there
    assert finding_of(box(), [finding(box(), label="knife")], [there], None) == there
    better = finding(box(11, 10, 50, 30), score=0.95)
    assert finding_of(box(), [], [there, better], None) == better
    whole = finding(box(0, 0, 400, 300))
    assert finding_of(box(), [], [whole], None) is None, "a box over everything points at nothing"


@given(st.lists(st.tuples(st.sampled_from(["gun", "block"]), st.sampled_from(RESULTS)), max_size=60))
def test_the_statistics_add_up(results: list[tuple[str, Result]]) -> None:
    """Labels add up to the total; Pd and its interval are of what was shown, dropped and others apart."""
    tally = Tally(["gun", "block", "gun"])
    for label, result in results:
        tally.count(label, result)
    report = tally.report(0.5, 3, "")
    assert set(report.labels) == {"gun", "block"}
    total = report.total
    rates = list(report.labels.values())
    for name in ("shown", "hits", "misses", "dropped", "not_placed", "faults"):
        assert getattr(total, name) == sum(getattr(rate, name) for rate in rates)
    assert total.shown + total.dropped + total.not_placed + total.faults == len(results)
    for rate in (total, *rates):
        assert rate.hits + rate.misses == rate.shown
        assert (rate.pd is None) == (rate.shown == 0)
        assert (rate.pd_low, rate.pd_high) == wilson(rate.hits, rate.shown)
        if rate.pd is not None:
            assert rate.pd_low <= rate.pd + 1e-12
            assert rate.pd <= rate.pd_high + 1e-12

"""Thresholds to choose from, held against counting by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from nii_edge.detect.shapes import LOWEST
from nii_edge.learn.looking import Looked
from nii_edge.learn.operating import at_false_alarms, best_f1, judged, operating_points
from nii_edge.learn.readers import Labelled
from nii_edge.learn.scoring import Found, Wanted

HERE, THERE = (10.0, 10.0, 50.0, 50.0), (100.0, 100.0, 140.0, 140.0)


def seen(wanted: tuple[Wanted, ...], *found: tuple[float, tuple[float, float, float, float]]) -> Looked:
    return Looked(Labelled(Path("a.png"), ()), wanted, tuple(Found(box, 0, score) for score, box in found))


def test_thresholds_keep_to_the_false_alarms_that_are_asked_for() -> None:
    """On 200 pictures: the lowest that does, on every rate; recall and precision are of that threshold."""
    rng = np.random.default_rng(8)
    looked = []
    for number in range(200):
        marks = (Wanted(HERE, 0),) if number % 2 else ()
        hits = [(float(rng.uniform(0.3, 0.99)), HERE)] if number % 2 else []
        looked.append(seen(marks, *hits, *((float(s), THERE) for s in rng.uniform(0.02, 0.6, 3))))
    points = operating_points(looked, {"knife": 0.5}, looked)["knife"].points
    assert list(points) == ["bundle", "best_f1", "false_alarms_0.01", "false_alarms_0.1", "false_alarms_1"]
    false = np.array([f.score for one in looked for f in one.found if f.box == THERE])
    right = np.array([f.score for one in looked for f in one.found if f.box == HERE])
    for rate, point in zip((0.01, 0.1, 1.0), list(points.values())[2:], strict=True):
        count = int((false >= point.threshold).sum())
        assert count <= round(rate * 200) <= int((false >= point.threshold - 0.001).sum()), "not one too few"
        assert point.false_alarms == pytest.approx(count / 200)
        assert point.recall == pytest.approx((right >= point.threshold).mean(), abs=1e-4)
        hits = int((right >= point.threshold).sum())
        assert point.precision == pytest.approx(hits / (hits + count), abs=1e-4)
    assert points["bundle"].threshold == 0.5
    assert points["false_alarms_0.01"].threshold > points["false_alarms_1"].threshold


def test_more_false_alarms_allowed_are_never_a_higher_threshold() -> None:
    """Means over looks may lie below what is looked at: no threshold does, whatever is allowed."""
    looked = [seen((Wanted(HERE, 0),), (0.9, HERE), *((score, THERE) for score in (0.011, 0.006)))] * 20
    found = judged(looked, 0)
    rates = (0.0, 0.01, 0.1, 1.0, 1.9, 2.0, 5.0)
    assert [at_false_alarms(found, rate) for rate in rates] == [LOWEST] * len(rates)
    rng = np.random.default_rng(3)
    for _ in range(20):
        looked = [
            seen((), *((float(score), THERE) for score in rng.uniform(0.004, 0.04, 4))) for _ in range(10)
        ]
        found = judged(looked, 0)
        rates = tuple(np.arange(0, 4.5, 0.1).tolist())
        made = [at_false_alarms(found, rate) for rate in rates]
        assert made == sorted(made, reverse=True)
        assert min(made) == LOWEST
        for rate, threshold in zip(rates, made, strict=True):
            assert (found.scores >= threshold).sum() <= rate * 10 + 1e-6


def test_the_best_f1_is_the_best_of_all_thresholds() -> None:
    """By trying each; equal scores are told together."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        looked = [
            seen((Wanted(HERE, 0),), (round(float(a), 1), HERE), (round(float(b), 1), THERE))
            for a, b in rng.uniform(0.1, 0.7, (15, 2))
        ]
        found = judged(looked, 0)

        def f1(threshold: float, found=found) -> float:  # type: ignore[no-untyped-def]
            told = found.scores >= threshold
            return float(2 * found.right[told].sum() / (told.sum() + found.labelled))

        assert f1(best_f1(found)) == pytest.approx(max(f1(score) for score in found.scores))


def test_what_is_ignored_is_neither_right_nor_wrong() -> None:
    """A detection on a crowd is no false alarm; where nothing is found or labelled nothing is claimed."""
    looked = [seen((Wanted(HERE, 0, ignored=True),), (0.9, HERE)), seen(())]
    own = operating_points(looked, {"knife": 0.3, "gun": 0.3}, looked)
    assert own["knife"].labelled == 0
    assert own["knife"].pictures == 2
    assert own["knife"].points["best_f1"].false_alarms == 0
    point = own["gun"].points["false_alarms_0.01"]
    assert (point.threshold, point.recall, point.precision) == (LOWEST, None, None)
    assert best_f1(judged(looked, 1)) == 0.3


def test_the_bundles_own_threshold_is_judged_by_what_the_daemon_sees_with_it() -> None:
    """With the lowest thresholds a thing may reach it by what single looks hardly saw."""
    marks = (Wanted(HERE, 0),)
    own = operating_points([seen(marks, (0.5, HERE))], {"knife": 0.5}, [seen(marks, (0.48, HERE))])
    assert own["knife"].points["bundle"].recall == 0
    assert own["knife"].points["best_f1"].recall == 1

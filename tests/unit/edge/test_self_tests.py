"""The reminder of the daily self-test: what it says, and that it says nothing when all is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from nii_edge.adapters.self_test_files import add_result, read_history
from nii_edge.edge.self_tests import EVERY_S, Duty, SelfTests
from nii_edge.telemetry import Metrics
from nii_edge.xray.self_test import Limit, Measurement, SelfTest

NOW_NS = 2_000_000_000_000_000_000
HOUR_NS = 3_600_000_000_000
LIMIT = Limit(metric="penetration_mm", warn=20, fail=16)


def result(hours_ago: float, value: float = 24.0, problem: str = "") -> SelfTest:
    measured = Measurement(metric="penetration_mm", value=value, grade=LIMIT.grade(value))
    made = NOW_NS - round(hours_ago * HOUR_NS)
    return SelfTest(made_at_ns=made, piece="p", measurements=(measured,), problem=problem)


def said(path: Path, *results: SelfTest) -> tuple[str, ...]:
    """What is said of a history with these results."""
    for one in results:
        add_result(path, one)
    watch = SelfTests({"lane-1": Duty((path,), 24.0, (LIMIT,))}, read_history, Metrics())
    watch.look(0.0, NOW_NS)
    return watch.problems()


def test_nothing_is_said_of_a_test_that_passed_today(tmp_path: Path) -> None:
    """Earlier failures are over."""
    assert said(tmp_path / "h.jsonl", result(30, value=10), result(2)) == ()


def test_a_day_on_which_no_wire_was_seen_is_read_again(tmp_path: Path) -> None:
    """The thinnest wire is infinite then, which JSON cannot say."""
    path = tmp_path / "h.jsonl"
    blind = Measurement(metric="wire_mm", value=float("inf"), grade="fail")
    failed = SelfTest(made_at_ns=NOW_NS, piece="p", measurements=(blind,))
    assert said(path, failed) == ("lane-1 self-test fail: wire_mm inf (h.jsonl)",)
    assert read_history(path) == [failed]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ((), "self-test missing"),
        ((result(25),), "self-test overdue: made 25.0 h ago, at most 24 h"),
        ((result(-3),), "self-test overdue: made -3.0 h ago"),
        ((result(1, value=18),), "self-test warn: penetration_mm 18"),
        ((result(1, value=12),), "self-test fail: penetration_mm 12"),
        ((result(1, problem="no test piece found"),), "self-test fail: no test piece found"),
        (tuple(result(24 * n + 1, value=20 + 0.4 * n) for n in range(9, -1, -1)), "will pass its limit"),
    ],
)
def test_what_is_wrong_is_said_with_the_lane(
    tmp_path: Path, results: tuple[SelfTest, ...], words: str
) -> None:
    """Missing, overdue (a clock that was set back too), failed, weak, and on its way to failure."""
    (problem,) = said(tmp_path / "h.jsonl", *results)
    assert problem.startswith("lane-1 self-test")
    assert words in problem


def test_a_history_that_cannot_be_read_is_a_problem_and_no_error(tmp_path: Path) -> None:
    """The daemon goes on."""
    path = tmp_path / "h.jsonl"
    path.write_bytes(b'{"made_at_ns": \xff}\n')
    (problem,) = said(path)
    assert "lane-1 self-test unreadable" in problem
    assert "h.jsonl, line 1" in problem
    path.unlink()
    path.mkdir()
    assert "cannot be read" in said(path)[0]


def test_a_new_result_is_seen_at_the_next_look_and_shown_as_metrics(tmp_path: Path) -> None:
    """No restart is needed after the test piece was scanned."""
    path, metrics = tmp_path / "h.jsonl", Metrics()
    watch = SelfTests({"lane-1": Duty((path,), 24.0)}, read_history, metrics)
    labels = {"scanner": "lane-1", "history": "h.jsonl"}
    watch.look(0.0, NOW_NS)
    assert metrics.registry.get_sample_value("nii_edge_self_test_good", labels) == 0
    add_result(path, result(2))
    watch.look(EVERY_S / 2, NOW_NS)
    assert watch.problems()
    watch.look(EVERY_S, NOW_NS)
    assert watch.problems() == ()
    assert metrics.registry.get_sample_value("nii_edge_self_test_good", labels) == 1
    assert metrics.registry.get_sample_value("nii_edge_self_test_age_seconds", labels) == 7_200

"""Barcodes that pass twice: what is told, what is not, and how much is remembered."""

from __future__ import annotations

import msgspec
import pytest

from nii_edge.adapters.system_clock import SystemClock
from nii_edge.config import Barcodes
from nii_edge.edge import passages
from nii_edge.edge.case import Case
from nii_edge.edge.decide import decide
from nii_edge.edge.jobs import JobScan
from nii_edge.edge.passages import DETECTOR, LABEL, Passages
from nii_edge.policy import Circumstances, Policy
from nii_edge.ports import Passed
from nii_edge.records import Decision, Finding, Outcome, Reason, ScanId, ScanType, Verdict

LIVE, TEST = ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL


class LateClock(SystemClock):
    """The machine's clock, put forward as a test wishes."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Lane:
    """Cartons that pass, on any scanner of one edge."""

    def __init__(self, rules: Barcodes | None = None) -> None:
        self.clock = LateClock()
        self.passages = Passages(rules or Barcodes(), self.clock)
        self._seq = 0

    def case(self, carton: str | None, scanner: str = "lane-1", scan_type: ScanType = LIVE) -> Case:
        self._seq += 1
        scan = ScanId(edge="e", scanner=scanner, epoch=1, seq=self._seq)
        return Case(JobScan(id=scan, scan_type=scan_type, carton=carton, frames=()), 1, 0.0, ())

    def look(self, case: Case, decision: Decision = Decision.CLEAR) -> Outcome:
        outcome = self.passages.judge(case)
        self.passages.passed(case, decision)
        return outcome

    def passes(
        self, carton: str | None, scanner: str = "lane-1", decision: Decision = Decision.CLEAR
    ) -> tuple[Finding, ...]:
        return self.look(self.case(carton, scanner), decision).findings

    def wait(self, seconds: float) -> None:
        self.clock.ahead_s += seconds


def test_the_second_scan_of_a_barcode_is_told_with_when_where_and_which() -> None:
    """On another scanner too; the words name the scan before, and fit on two lines of the picture."""
    lane = Lane()
    first = lane.case("B-1", "lane-1")
    assert lane.look(first).findings == ()
    assert lane.passes("B-2") == ()
    lane.wait(12 * 60)
    (finding,) = lane.passes("B-1", "lane-2")
    assert (finding.detector, finding.label, finding.score) == (DETECTOR, LABEL, passages.AGAIN)
    assert finding.why == (
        f"This barcode passed 12 minutes ago on lane-1 ({first.id.report_id}): a copy of its label, or the "
        "carton went round again."
    )
    lane.wait(30)
    (third,) = lane.passes("B-1")
    assert "passed 30 s ago on lane-2" in third.why


def test_the_shipped_policy_has_it_looked_at_but_not_what_could_not_be_judged() -> None:
    """A carton that was UNKNOWN is commonly put on the belt again: told, and no ALARM by that alone."""
    policy = Policy(version=1, name="p", required_for_clear=(DETECTOR,), default_alarm_at=0.5)
    where = Circumstances("e", "lane-1")
    lane = Lane()
    lane.passes("B-1", decision=Decision.ALARM)
    assert decide(policy, [lane.look(lane.case("B-1"))], {}, where).decision is Decision.ALARM
    lane.passes("B-2", decision=Decision.UNKNOWN)
    again = lane.look(lane.case("B-2"))
    assert "could not be judged" in again.findings[0].why
    assert decide(policy, [again], {}, where).decision is Decision.CLEAR


def test_an_unknown_between_does_not_make_a_copy_milder() -> None:
    """The verdict that a barcode had is remembered over a later scan that nobody could judge."""
    lane = Lane()
    lane.passes("B-1")
    lane.passes("B-1", decision=Decision.UNKNOWN)
    (finding,) = lane.passes("B-1")
    assert finding.score == passages.AGAIN


def test_after_its_time_it_is_forgotten() -> None:
    """Labels are used again some day; memory is given back."""
    lane = Lane(Barcodes(twice_minutes=5))
    lane.passes("B-1")
    lane.passes("B-2")
    lane.wait(301)
    assert lane.passes("B-1") == ()
    assert len(lane.passages) == 1


def test_the_same_scan_is_not_another_one() -> None:
    """Whatever is asked of one scan twice, it never passed before itself."""
    lane = Lane()
    case = lane.case("B-1")
    lane.look(case)
    assert lane.passages.judge(case).findings == ()


@pytest.mark.parametrize("carton", [None, "", "  ", "NOREAD", "NoRead", " ? "])
def test_no_barcode_is_not_one_barcode(carton: str | None) -> None:
    """What a reader says when it reads none passes all day long."""
    lane = Lane()
    for _ in range(3):
        outcome = lane.look(lane.case(carton))
        assert outcome.findings == ()
        assert outcome.not_applicable
    assert len(lane.passages) == 0


def test_tests_and_lanes_of_a_second_look_are_left_alone() -> None:
    """They neither hear of a carton nor are they remembered."""
    lane = Lane(Barcodes(review_lanes=("again",)))
    lane.passes("B-1")
    for case in (lane.case("B-1", scan_type=TEST), lane.case("B-1", "again")):
        outcome = lane.look(case)
        assert outcome.findings == ()
        assert outcome.not_applicable
    lane.look(lane.case("B-2", scan_type=TEST))
    lane.look(lane.case("B-2", "again"))
    assert lane.passes("B-2") == ()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more barcodes than are remembered the oldest goes first."""
    monkeypatch.setattr(passages, "MOST_BARCODES", 3)
    lane = Lane()
    for carton in ("B-1", "B-2", "B-3", "B-1", "B-4"):
        lane.passes(carton)
    assert len(lane.passages) == 3
    assert lane.passes("B-2") == ()
    assert lane.passes("B-4") != ()


def test_a_clear_that_was_not_to_be_given_counts_as_not_judged() -> None:
    """The ledger was full, or its turn came late: the scanner heard UNKNOWN, and the carton comes again."""
    lane = Lane()
    first, other = lane.case("B-1"), lane.case("B-2")
    lane.look(first)
    lane.look(other)
    full = Verdict(
        id=first.id, scan_type=LIVE, decision=Decision.UNKNOWN, reason=Reason.LEDGER_FULL, carton=" B-1"
    )
    lane.passages.told(full)
    lane.passages.told(msgspec.structs.replace(full, id=first.id, carton="B-2"))  # not the scan remembered
    lane.passages.told(msgspec.structs.replace(full, carton=None))
    assert [finding.score for finding in lane.passes("B-1")] == [passages.REPEATED]
    assert [finding.score for finding in lane.passes("B-2")] == [passages.AGAIN]


def test_after_a_restart_the_ledger_says_what_passed() -> None:
    """As long ago as it was, judged or not, and only what would have been noted."""
    lane = Lane(Barcodes(twice_minutes=30, review_lanes=("second",)))
    now_ns = lane.clock.wall_ns()

    def passed(seq: int, minutes: float, **changes: object) -> Passed:
        scan = ScanId(edge="e", scanner=str(changes.pop("scanner", "lane-1")), epoch=0, seq=seq)
        made = Passed(now_ns - round(minutes * 60e9), scan, LIVE, Decision.CLEAR, f"B-{seq}")
        return made._replace(**changes)  # type: ignore[arg-type]

    lane.passages.resume([
        passed(1, 28), passed(2, 40), passed(3, 2, decision=Decision.UNKNOWN),
        passed(4, 2, scanner="second"), passed(5, 2, scan_type=TEST), passed(6, -5),
    ])  # fmt: skip
    told = {seq: lane.passes(f"B-{seq}") for seq in range(1, 7)}
    assert [seq for seq, findings in told.items() if findings] == [1, 3, 6]
    assert "passed 28 minutes ago on lane-1 (" in told[1][0].why
    assert told[3][0].score == passages.REPEATED
    assert "passed 0 s ago" in told[6][0].why, "the clock was put back since"
    assert lane.passages.since_ns == pytest.approx(now_ns - 30 * 60e9, abs=60e9)

"""The barcodes that passed: has another scan shown this one a little while ago?

A label can be copied, and a carton can go round again. Lives in the edge process because the inference
process keeps nothing and may die (docs/decisions/0012); after a restart the ledger says what passed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from nii_edge.config import Barcodes
from nii_edge.edge.case import Case
from nii_edge.papers import NoRead, barcode_of
from nii_edge.ports import Clock, Passed
from nii_edge.records import Decision, Finding, Outcome, ScanId, ScanType, Verdict

DETECTOR = "barcode"
LABEL = "passed_twice"
MOST_BARCODES = 100_000
"""Barcodes that are remembered, 30 MB of memory in all (measured, of 18 characters each): of more, the
oldest is forgotten. At 3,000 cartons an hour on each of 30 lanes it is an hour."""
AGAIN, REPEATED = 0.6, 0.3
"""Scores of a barcode whose carton had its CLEAR or ALARM, and of one that nobody could judge: such a carton
is commonly put on the belt again, so that this is told and no ALARM by the shipped policy. Neither was
measured: no site's share of copied labels is known."""


class _Passage(NamedTuple):
    """When a barcode passed last (monotonic seconds), as which scan, and whether that could be judged."""

    at: float
    scan: ScanId
    judged: bool


class Passages:
    """Thread-safe. Operational scans alone are compared: tests may pass as often as they like."""

    def __init__(self, rules: Barcodes, clock: Clock) -> None:
        self._within_s = 60 * rules.twice_minutes
        self._no_read = NoRead(rules.no_read)
        self._review_lanes = frozenset(rules.review_lanes)
        self._clock = clock
        self._last: dict[str, _Passage] = {}  # the newest at the end
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._last)

    @property
    def since_ns(self) -> int:
        """Unix ns from which on it matters what passed."""
        return self._clock.wall_ns() - round(self._within_s * 1e9)

    def resume(self, passed: Sequence[Passed]) -> None:
        """What passed before a restart, oldest first."""
        now, now_ns = self._clock.monotonic(), self._clock.wall_ns()
        for each in passed:
            at = now - max(now_ns - each.received_at_ns, 0) / 1e9  # a wall clock may have been put back
            barcode = barcode_of(each.carton)
            if self._not_applicable(each.scan_type, each.scan.scanner, barcode) is None:
                self._note(barcode, _Passage(at, each.scan, each.decision is not Decision.UNKNOWN))

    def judge(self, case: Case) -> Outcome:
        """Whether the scan's barcode passed before, as another scan."""
        barcode = barcode_of(case.scan.carton)
        why = self._not_applicable(case.scan_type, case.id.scanner, barcode)
        if why is not None:
            return Outcome(detector=DETECTOR, not_applicable=why)
        with self._lock:
            before = self._last.get(barcode)
        now = self._clock.monotonic()
        if before is None or before.scan == case.id or now - before.at > self._within_s:
            return Outcome(detector=DETECTOR)
        return Outcome(detector=DETECTOR, findings=(_finding(before, now - before.at),))

    def passed(self, case: Case, decision: Decision) -> None:
        """The scan has its decision: from now on its barcode is known."""
        barcode = barcode_of(case.scan.carton)
        if self._not_applicable(case.scan_type, case.id.scanner, barcode) is None:
            judged = decision is not Decision.UNKNOWN
            self._note(barcode, _Passage(self._clock.monotonic(), case.id, judged))

    def told(self, verdict: Verdict) -> None:
        """What a scan was told in the end: UNKNOWN also where its CLEAR was not to be given."""
        if verdict.decision is not Decision.UNKNOWN:
            return
        barcode = barcode_of(verdict.carton)
        with self._lock:
            last = self._last.get(barcode)
            if last is not None and last.scan == verdict.id:
                self._last[barcode] = last._replace(judged=False)

    def _note(self, barcode: str, passage: _Passage) -> None:
        with self._lock:
            before = self._last.get(barcode)
            recent = before is not None and passage.at - before.at <= self._within_s
            if before is not None and before.judged and recent and not passage.judged:
                return  # that it had its verdict says more than that it could not be judged now
            self._last.pop(barcode, None)
            self._last[barcode] = passage
            self._forget(self._clock.monotonic())

    def _forget(self, now: float) -> None:
        while self._last:
            oldest = next(iter(self._last))
            if len(self._last) <= MOST_BARCODES and now - self._last[oldest].at <= self._within_s:
                return
            del self._last[oldest]

    def _not_applicable(self, scan_type: ScanType, scanner: str, barcode: str) -> str | None:
        if scan_type is not ScanType.OPERATIONAL:
            return "tests may pass as often as they like"
        if scanner in self._review_lanes:
            return "cartons come to this lane a second time"
        if self._no_read.barcode(barcode) is None:
            return f"the reader read no barcode: it said {barcode}" if barcode else "the scan names no carton"
        return None


def _finding(before: _Passage, seconds: float) -> Finding:
    told = "" if before.judged else " and could not be judged"
    why = (
        f"This barcode passed {_ago(seconds)} ago on {before.scan.scanner}{told} ({before.scan.report_id}): "
        "a copy of its label, or the carton went round again."
    )
    score = AGAIN if before.judged else REPEATED
    return Finding(
        detector=DETECTOR, kind="manifest", label=LABEL, category="ANOMALY", score=score, why=why[:200]
    )


def _ago(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3_600:.1f} hours"

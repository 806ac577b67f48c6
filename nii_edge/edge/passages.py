"""The barcodes that passed: has another scan shown this one a little while ago?

A label can be copied, and a carton can go round again. Lives in the edge process because the inference
process keeps nothing and may die (docs/decisions/0012); a restart of the daemon forgets all.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from nii_edge.config import Barcodes
from nii_edge.edge.case import Case
from nii_edge.ports import Clock
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
        self._no_read = frozenset(word.casefold() for word in rules.no_read)
        self._review_lanes = frozenset(rules.review_lanes)
        self._clock = clock
        self._last: dict[str, _Passage] = {}  # the newest at the end
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._last)

    def judge(self, case: Case) -> Outcome:
        """Whether the scan's barcode passed before, as another scan."""
        why = self._not_applicable(case)
        if why is not None:
            return Outcome(detector=DETECTOR, not_applicable=why)
        with self._lock:
            before = self._last.get(_barcode(case))
        now = self._clock.monotonic()
        if before is None or before.scan == case.id or now - before.at > self._within_s:
            return Outcome(detector=DETECTOR)
        return Outcome(detector=DETECTOR, findings=(_finding(before, now - before.at),))

    def passed(self, case: Case, decision: Decision) -> None:
        """The scan has its decision: from now on its barcode is known."""
        if self._not_applicable(case) is not None:
            return
        barcode, now = _barcode(case), self._clock.monotonic()
        judged = decision is not Decision.UNKNOWN
        with self._lock:
            before = self._last.get(barcode)
            if before is not None and before.judged and not judged and now - before.at <= self._within_s:
                return  # that it had its verdict says more than that it could not be judged now
            self._last.pop(barcode, None)
            self._last[barcode] = _Passage(now, case.id, judged)
            self._forget(now)

    def told(self, verdict: Verdict) -> None:
        """What a scan was told in the end: UNKNOWN also where its CLEAR was not to be given."""
        if verdict.decision is not Decision.UNKNOWN:
            return
        barcode = (verdict.carton or "").strip()
        with self._lock:
            last = self._last.get(barcode)
            if last is not None and last.scan == verdict.id:
                self._last[barcode] = last._replace(judged=False)

    def _forget(self, now: float) -> None:
        while self._last:
            oldest = next(iter(self._last))
            if len(self._last) <= MOST_BARCODES and now - self._last[oldest].at <= self._within_s:
                return
            del self._last[oldest]

    def _not_applicable(self, case: Case) -> str | None:
        barcode = _barcode(case)
        if case.scan_type is not ScanType.OPERATIONAL:
            return "tests may pass as often as they like"
        if case.id.scanner in self._review_lanes:
            return "cartons come to this lane a second time"
        if not barcode:
            return "the scan names no carton"
        if barcode.casefold() in self._no_read:
            return f"the reader read no barcode: it said {barcode}"
        return None


def _barcode(case: Case) -> str:
    return (case.scan.carton or "").strip()


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

"""What a person is to look at first: bands since the start, and the most urgent of the latest alerts."""

from __future__ import annotations

import threading
from collections import Counter, deque

import msgspec

from nii_edge.policy import urgency
from nii_edge.records import Band, Decision, Report, ScanType

LATEST = 100
"""Alerts that are remembered."""
SHOWN = 5
"""The most urgent of them that are told."""


class UrgentAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. `risk` 0-100, None if unknown; `rule`: what gave it its band, in words."""

    report_id: str
    scan: str
    carton: str | None
    band: Band
    risk: float | None
    rule: str


class Bands(msgspec.Struct, frozen=True, kw_only=True):
    """OPERATIONAL verdicts since the start by band, and the most `urgent` of the latest 100 alerts, first the
    most urgent one."""

    counts: dict[str, int]
    urgent: tuple[UrgentAlert, ...] = ()


class BandTally:
    """Counts verdicts of OPERATIONAL scans and remembers the latest alerts. Thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[Band] = Counter()
        self._latest: deque[Report] = deque(maxlen=LATEST)
        self._lock = threading.Lock()

    def note(self, report: Report) -> None:
        """One more verdict on disk."""
        verdict = report.verdict
        if verdict.scan_type is not ScanType.OPERATIONAL or verdict.band is None:
            return
        with self._lock:
            self._counts[verdict.band] += 1
            if verdict.decision is not Decision.CLEAR:
                self._latest.append(report)

    def report(self) -> Bands:
        """All that was noted."""
        with self._lock:
            counts, latest = dict(self._counts), list(self._latest)
        first = sorted(latest, key=lambda each: urgency(each.verdict), reverse=True)[:SHOWN]
        return Bands(
            counts={band.value: counts.get(band, 0) for band in Band},
            urgent=tuple(_alert(report) for report in first),
        )


def _alert(report: Report) -> UrgentAlert:
    verdict = report.verdict
    return UrgentAlert(
        report_id=report.report_id,
        scan=str(verdict.id),
        carton=verdict.carton,
        band=verdict.band or Band.REVIEW,
        risk=verdict.risk,
        rule=verdict.rule,
    )

"""Rulings to verdicts on disk: report, preview picture, one commit, then the word to the scanner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from nii_edge.detect.heat import Compared, heats_of
from nii_edge.edge import preview
from nii_edge.edge.case import Case
from nii_edge.edge.committer import Committer
from nii_edge.edge.decide import Ruling, unknown
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.threads import OnFailure, ignore
from nii_edge.edge.urgent import BandTally
from nii_edge.policy import Circumstances, Policy, weigh
from nii_edge.ports import Change, Clock, Conclude
from nii_edge.records import Decision, Preview, Reason, Report, Verdict
from nii_edge.telemetry import Metrics, logger
from nii_edge.xray.optics import Optics

MAX_PREVIEWS_WAITING = 32
"""Beyond this many, alerts go without a picture rather than late."""
LATE = frozenset({Reason.TIMEOUT, Reason.MODEL_FAULT, Reason.OVERLOAD})
"""Verdicts that come when the scanner's time is up: pictures drawn one after the other would delay them."""
MAX_FINDINGS = 200
"""The most findings a report carries, highest scores first: it must fit into one message."""


class Concluder:
    """Thread-safe. `lanes`: what is known of each scanner's views; `bands`: what was concluded so far. What
    `connect` names is called in the ledger's thread, after each commit."""

    def __init__(
        self,
        policy: Policy,
        gate: ClearGate,
        committer: Committer,
        slots: SlotPool,
        clock: Clock,
        metrics: Metrics,
        deadline_s: float,
        lanes: Mapping[str, Sequence[Optics]] | None = None,
    ) -> None:
        self._policy = policy
        self._deadline_s = deadline_s
        self.bands = BandTally()
        self._gate = gate
        self._committer = committer
        self._slots = slots
        self._concluded: Callable[[Report, Callable[[], None]], None] = lambda _, note: note()
        self._clock = clock
        self._metrics = metrics
        self._failed: OnFailure = ignore
        self._lanes = lanes or {}
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._room = threading.Semaphore(MAX_PREVIEWS_WAITING)
        self._lock, self._drawing = threading.Lock(), 0
        self._log = logger("verdict")

    def connect(
        self, concluded: Callable[[Report, Callable[[], None]], None], failed: OnFailure = ignore
    ) -> None:
        """Whom to tell of verdicts on disk, and of one that could not be handed over; before the first
        `conclude`."""
        self._concluded, self._failed = concluded, failed

    def conclude(self, case: Case, ruling: Ruling, models: tuple[str, ...] = ()) -> None:
        """Give `case` its verdict. CLEAR goes straight to disk; the others get a picture first, but what is
        late already only if none is being drawn."""
        ruling = self._gate.passed(ruling)
        report = self._report(case, ruling, models)
        if ruling.decision is Decision.CLEAR or not case.frames:
            self._commit(case, report, None)
        elif ruling.reason in LATE and self._drawing:
            self._metrics.previews_failed.inc()
            self._commit(case, report, None)
        elif self._room.acquire(blocking=False):
            with self._lock:
                self._drawing += 1
            self._painter.submit(self._paint, case, report, ruling.compared).add_done_callback(self._painted)
        else:
            self._metrics.previews_failed.inc()
            self._commit(case, report, None)

    def close(self) -> None:
        """Finish the pictures under way."""
        self._painter.shutdown(wait=True)

    def _paint(self, case: Case, report: Report, compared: Compared | None) -> None:
        picture: Preview | None = None
        try:
            frames = [self._slots.frame(job) for job in case.frames]
            heats = {} if compared is None else heats_of(compared)
            picture = preview.draw(report, frames, self._lanes.get(case.id.scanner, ()), heats)
        except Exception as error:  # noqa: BLE001 - no picture is no reason to lose a verdict
            self._metrics.previews_failed.inc()
            self._log.error("preview failed", scan=str(case.id), error=f"{type(error).__name__}: {error}")
        finally:
            self._room.release()
            with self._lock:
                self._drawing -= 1
            self._commit(case, report, picture)

    def _painted(self, done: Future[None]) -> None:
        error = done.exception()
        if error is not None:  # the verdict was not handed over: only a restart can account for the scan
            self._log.error("verdict not written; the daemon must stop", exc_info=error)
            self._failed(error)

    def _commit(self, case: Case, report: Report, picture: Preview | None) -> None:
        for slot in case.slots:
            self._slots.release(slot)
        if picture is not None:
            report = msgspec.structs.replace(report, preview=picture.sha256)
        told = report

        def timely() -> Change:
            nonlocal told
            told = self._timely(case, report)
            return Conclude(told, picture)

        self._committer.write(timely, then=lambda: self._concluded(told, lambda: self._note(case, told)))

    def _timely(self, case: Case, report: Report) -> Report:
        """CLEAR only while whoever waits at the scanner still believes it."""
        waited_s = self._clock.monotonic() - case.arrived_at
        if report.verdict.decision is not Decision.CLEAR or waited_s < self._deadline_s:
            return report
        detail = f"the ledger's turn came after {waited_s * 1000:.0f} ms, at most {self._deadline_s * 1000:g}"
        return self._report(case, unknown(Reason.TIMEOUT, detail), report.verdict.models)

    def _report(self, case: Case, ruling: Ruling, models: tuple[str, ...]) -> Report:
        """Here and nowhere else a scan gets its band, after all that can change its decision."""
        where = Circumstances(case.id.edge, case.id.scanner, ruling.chapters)
        weight = weigh(self._policy, ruling.decision, ruling.findings, where)
        verdict = Verdict(
            id=case.id,
            scan_type=case.scan_type,
            decision=ruling.decision,
            reason=ruling.reason,
            detail=ruling.detail[:500],
            findings=tuple(sorted(ruling.findings, key=lambda f: -f.score)[:MAX_FINDINGS]),
            not_applicable=ruling.not_applicable,
            policy=self._policy.name,
            models=models,
            carton=case.scan.carton,
            band=weight.band,
            risk=weight.risk,
            rule=weight.rule[:300],
            chapters=ruling.chapters,
        )
        return Report(
            alert_id=case.id.alert_id,
            report_id=case.id.report_id,
            verdict=verdict,
            received_at_ns=case.received_at_ns,
            decided_at_ns=self._clock.wall_ns(),
            frames=case.digests,
        )

    def _note(self, case: Case, report: Report) -> None:
        """Count the verdict and log it."""
        verdict = report.verdict
        seconds = self._clock.monotonic() - case.arrived_at
        reason = verdict.reason.value if verdict.reason is not None else ""
        self._metrics.verdicts.labels(
            verdict.id.scanner, verdict.scan_type.value, verdict.decision.value, reason
        ).inc()
        self._metrics.screening_seconds.observe(seconds)
        if seconds > self._deadline_s and verdict.decision is not Decision.UNKNOWN:
            self._metrics.verdicts_late.labels(verdict.id.scanner, verdict.decision.value).inc()
        self.bands.note(report)
        if verdict.band is not None:
            self._metrics.bands.labels(verdict.id.scanner, verdict.scan_type.value, verdict.band.value).inc()
        for kind, label in sorted({(f.kind, f.label) for f in verdict.findings}):
            if verdict.decision is Decision.ALARM:
                self._metrics.alarms.labels(kind, label).inc()
        self._log.info(
            "scan",
            scan=str(verdict.id),
            report=report.report_id,
            scan_type=verdict.scan_type.value,
            decision=verdict.decision.value,
            band=verdict.band,
            risk=verdict.risk,
            reason=reason or None,
            detail=verdict.detail or None,
            findings=[f"{f.label} {f.score:.2f}" for f in verdict.findings],
            ms=round(seconds * 1000, 2),
        )

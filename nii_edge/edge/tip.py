"""Threat image projection in the running daemon: how often would a threat in today's cartons be found?

After a real scan has its ruling, now and then its frames are copied, a threat is projected into one of them,
and the detectors look a second time, when they have nothing else to do. What they say goes into the
statistics here and nowhere else: a trial has no ticket, no case and no report, so no part of the daemon could
give it a verdict. The copies lie in slots that are reserved for it; a scan's own slots are held for no longer
than copying takes, and only while half of all are free.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from nii_edge.edge.case import Case
from nii_edge.edge.decide import Ruling
from nii_edge.edge.jobs import JobFrame, JobScan
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.tip_score import RESULTS, Result, Tally, TipReport, alarming, finding_of
from nii_edge.edge.trial import Trial, TrialAnswer
from nii_edge.policy import Circumstances, Policy
from nii_edge.ports import Clock
from nii_edge.records import Decision, Finding, Frame, ScanType
from nii_edge.telemetry import Metrics, logger
from nii_edge.xray.optics import Optics
from nii_edge.xray.projection import Placement, Threat, place, project, unfit

Conclude = Callable[[Case, Ruling, tuple[str, ...]], None]

PATIENCE_S = 1.0
"""How long a projection waits for the detectors to have nothing else to do."""
SETTLE_S = 0.1
"""How long it leaves the processor to the scan it is made from, whose verdict is on its way out."""


class TipPlan(NamedTuple):
    """What to project, and where. `rate`: the share of operational scans. `labels`: which findings count for
    a threat's label; any for one that is not listed. `pitches`: pixel pitch in mm, (x, y), by scanner; others
    are left alone. `optics`: what each scanner's views are calibrated with. `library`: where the threats come
    from, for people."""

    rate: float
    threats: tuple[Threat, ...]
    labels: Mapping[str, tuple[str, ...]]
    pitches: Mapping[str, tuple[float, float]]
    optics: Mapping[str, tuple[Optics, ...]]
    library: str


def _nobody(trial: Trial) -> None:
    trial.answer(TrialAnswer(None, begun=False))


class _Order(NamedTuple):
    """A scan whose frames are held, what was found in it and declared of it, and the threat it is to get."""

    case: Case
    findings: tuple[Finding, ...]
    where: Circumstances
    threat: Threat


class Tip:
    """A thread of its own, one projection at a time. Nothing that goes wrong in it reaches the daemon."""

    def __init__(
        self,
        plan: TipPlan,
        policy: Policy,
        slots: SlotPool,
        clock: Clock,
        metrics: Metrics,
        seed: int | None = None,
    ) -> None:
        self._plan = plan
        self._policy = policy
        self._slots = slots
        self._try_out: Callable[[Trial], None] = _nobody
        self._stopping = threading.Event()
        self._clock = clock
        self._metrics = metrics
        self._dice = random.Random(seed)  # noqa: S311 - which carton is tested is no secret
        self._rng = np.random.default_rng(seed)
        self._tally = Tally([threat.label for threat in plan.threats])
        for label in {threat.label for threat in plan.threats}:
            for result in RESULTS:
                metrics.tip.labels(label, result)
        self._free = threading.Semaphore(1)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[TrialAnswer | None] = queue.SimpleQueue()
        self._off = ""
        self._thread = threading.Thread(target=self._run, name="tip")
        self._log = logger("tip")

    def start(self, try_out: Callable[[Trial], None]) -> None:
        """Begin; `try_out` asks the detectors (`Engine.try_out`)."""
        self._try_out = try_out
        self._thread.start()

    def stop(self) -> None:
        """End, whatever is under way. Before the engine ends."""
        self._stopping.set()
        self._orders.put(None)
        self._answers.put(None)
        self._thread.join()

    def report(self) -> TipReport:
        """The statistics since the start."""
        return self._tally.report(self._plan.rate, len(self._plan.threats), self._off)

    def before(self, conclude: Conclude) -> Conclude:
        """`conclude`, which gives up a case's slots, with a look at the case before."""

        def looked(case: Case, ruling: Ruling, models: tuple[str, ...]) -> None:
            self.consider(case, ruling)
            conclude(case, ruling, models)

        return looked

    def consider(self, case: Case, ruling: Ruling) -> None:
        """A scan got its ruling and still holds its slots: perhaps it is to be tried with a threat. Returns
        at once; called from any thread."""
        if (
            self._off
            or self._stopping.is_set()
            or not self._eligible(case, ruling)
            or self._dice.random() >= self._plan.rate
        ):
            return
        threat = self._dice.choice(self._plan.threats)
        usable = self._slots.slots - len(self._slots.reserved)
        if 2 * self._slots.free < usable or not self._free.acquire(blocking=False):
            self._count(threat, "dropped")
            return
        for frame in case.frames:
            self._slots.hold(frame.slot)
        where = Circumstances(case.id.edge, case.id.scanner, ruling.chapters)
        self._orders.put(_Order(case, ruling.findings, where, threat))

    def _eligible(self, case: Case, ruling: Ruling) -> bool:
        return (
            case.scan_type is ScanType.OPERATIONAL
            and ruling.decision is not Decision.UNKNOWN
            and case.id.scanner in self._plan.pitches
            and len(case.frames) <= len(self._slots.reserved)
            and any(unfit(frame.channels) is None for frame in case.frames)
        )

    # ---- the thread

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            result: Result | None = "fault"
            try:
                result = self._show(order)
            except Exception as error:  # noqa: BLE001 - a test that breaks must not stop what it tests
                self._log.error("projection failed", scan=str(order.case.id), exc_info=error)
            self._free.release()
            if result is not None:
                self._count(order.threat, result)

    def _show(self, order: _Order) -> Result | None:
        """One projection, from the copy of the frames to its result; None if the daemon stops meanwhile."""
        began = self._clock.monotonic()
        frames = self._copied(order.case.frames)
        self._stopping.wait(SETTLE_S)
        chosen = self._dice.choice([i for i, frame in enumerate(frames) if unfit(frame.channels) is None])
        frame = self._slots.frame(frames[chosen])
        before = alarming(self._policy, order.findings, order.where)
        taken = [box for finding in before if (box := finding.box) is not None and box.view == frame.view]
        pitch = self._plan.pitches[order.case.id.scanner]
        views = self._plan.optics.get(order.case.id.scanner, ())
        optics = views[frame.view] if frame.view < len(views) else None
        where = place(frame, order.threat, self._rng, pitch, taken, optics)
        if where is None:
            return "not_placed"
        self._put(project(frame, order.threat, where, self._rng, optics), frames[chosen].slot)
        scan = JobScan(
            id=order.case.id,
            scan_type=ScanType.NON_OPERATIONAL,
            carton=order.case.scan.carton,
            frames=frames,
        )
        self._try_out(Trial(scan, self._answers.put, self._clock.monotonic() + PATIENCE_S))
        answer = self._answers.get()
        if answer is None:
            return None
        result, found = self._judge(order, where, frame.view, before, answer)
        self._tell(order, where, frame.view, result, found, self._clock.monotonic() - began)
        return result

    def _copied(self, frames: Sequence[JobFrame]) -> tuple[JobFrame, ...]:
        """The frames in the reserved slots; the scan's own are given back."""
        copies = []
        try:
            for frame, slot in zip(frames, self._slots.reserved, strict=False):
                self._put(self._slots.frame(frame), slot)
                copies.append(msgspec.structs.replace(frame, slot=slot))
        finally:
            for frame in frames:
                self._slots.release(frame.slot)
        return tuple(copies)

    def _put(self, frame: Frame, slot: int) -> None:
        """The frame's pixels into a slot; NumPy copies without holding up the other threads."""
        target = np.frombuffer(self._slots.buffer(slot, frame.pixels.nbytes), frame.pixels.dtype)
        np.copyto(target.reshape(frame.pixels.shape), frame.pixels)

    def _judge(
        self, order: _Order, where: Placement, view: int, before: Sequence[Finding], answer: TrialAnswer
    ) -> tuple[Result, Finding | None]:
        if answer.outcomes is None and not answer.begun:
            return "dropped", None
        if answer.outcomes is None:
            self._off = f"the inference process was lost over {order.threat.name} in {order.case.id}"
            self._log.error("no more projections", why=self._off)
            return "fault", None
        seen = [finding for outcome in answer.outcomes for finding in outcome.findings]
        after = alarming(self._policy, seen, order.where)
        found = finding_of(where.box(view), before, after, self._plan.labels.get(order.threat.label))
        if found is None and any(outcome.fault is not None for outcome in answer.outcomes):
            return "fault", None
        return ("miss" if found is None else "hit"), found

    def _count(self, threat: Threat, result: Result) -> None:
        self._tally.count(threat.label, result)
        self._metrics.tip.labels(threat.label, result).inc()

    def _tell(
        self,
        order: _Order,
        where: Placement,
        view: int,
        result: Result,
        found: Finding | None,
        seconds: float,
    ) -> None:
        """One line for each threat that was put somewhere."""
        self._log.info(
            "tip",
            scan=str(order.case.id),
            threat=order.threat.name,
            label=order.threat.label,
            view=view,
            box=[where.x, where.y, where.x + where.width, where.y + where.height],
            visibility=where.visibility,
            result=result,
            found=None if found is None else f"{found.label} {found.score:.2f}",
            ms=round(seconds * 1000, 2),
        )

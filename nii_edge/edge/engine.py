"""Scans to rulings: feeds the inference process, holds every scan to its deadline, survives its death.

Whoever brings a scan also sends it on its way, so that no time is lost between threads; the engine's own
thread takes the answers and minds the deadlines. Batches are greedy: whatever waits goes in, oldest
deadline first, with two batches at the process: while the network looks at one, the other is made ready.

A trial (a projected threat) goes only when nothing else is at the process or waits for it, so a scan waits
for no more than one, which had begun before it came.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nii_edge.detect.heat import Compared
from nii_edge.edge.case import Case
from nii_edge.edge.children import Child
from nii_edge.edge.decide import Ruling, decide, unknown
from nii_edge.edge.jobs import JOBS_AHEAD, CartonTraits, Failed, Job, JobDone, JobScan, Ready, Setup
from nii_edge.edge.layouts import DETECTOR as LAYOUT
from nii_edge.edge.layouts import Layouts
from nii_edge.edge.mailbox import Mailbox
from nii_edge.edge.oddities import DETECTOR, Oddities
from nii_edge.edge.passages import DETECTOR as BARCODE
from nii_edge.edge.passages import Passages
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure, ignore
from nii_edge.edge.trial import Trial, TrialAnswer
from nii_edge.errors import FrameError, NiiEdgeError
from nii_edge.policy import Circumstances, Policy
from nii_edge.ports import Clock
from nii_edge.records import Outcome, Reason, ScanId
from nii_edge.telemetry import Metrics, logger

RESTART_PAUSE_S = 0.5
"""Between two starts of an inference process that does not come up."""
HANG = 0.9
"""Of the deadline: a batch that runs this long will not be answered in time, and its process hangs."""
FAULTS_IN_A_ROW = 5
"""Scans that passed their checks and on which a detector failed, one after another: what ails the process
(memory that is used up, a driver whose error stays) may end with it, so it is replaced,"""
REPLACE_AGAIN_S = 60.0
"""but for that at most once in so long, since it may be the cartons."""
REAP_S = 5.0
"""How long stopping waits for the inference process to be gone."""


class EngineSettings(NamedTuple):
    """Seconds, and the most frames in a batch."""

    deadline_s: float
    start_timeout_s: float
    batch: int


@dataclass(slots=True)
class _Ticket:
    """A scan in the engine's hands. It is ruled on when both its pixels are `checked` and its
    `outcomes` are in; `answered_by` is the process that gave them, whose models and trust count."""

    case: Case
    deadline: float
    checked: bool = False
    outcomes: Sequence[Outcome] | None = None
    traits: CartonTraits | None = None
    chapters: tuple[int, ...] = ()
    answered_by: Ready | None = None


class _Running(NamedTuple):
    """A batch at the inference process: of `scans`, or of one `trial` and no scan."""

    sent_at: float
    scans: tuple[ScanId, ...]
    slots: tuple[int, ...]
    trial: Trial | None = None


def or_fault(detector: str, judge: Callable[[], Outcome]) -> Outcome:
    """What `judge` says, or that it failed: then the scan is UNKNOWN, and the engine goes on."""
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return _fault(detector, error)


def _fault(detector: str, error: Exception) -> Outcome:
    return Outcome(detector=detector, fault=f"{type(error).__name__}: {error}"[:300])


class Engine:
    """See the module. Thread-safe. `conclude` is called once for every submitted case, from any thread."""

    def __init__(
        self,
        setup: Setup,
        policy: Policy,
        settings: EngineSettings,
        slots: SlotPool,
        conclude: Callable[[Case, Ruling, tuple[str, ...]], None],
        clock: Clock,
        metrics: Metrics,
        failed: OnFailure = ignore,
    ) -> None:
        self._setup = setup
        self._policy = policy
        self._settings = settings
        self._slots = slots
        self._conclude = conclude
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._bell: Mailbox[None] = Mailbox()
        self._wakes_at = 0.0
        self._hang_s = HANG * settings.deadline_s
        self._thread = GuardedThread("engine", self._run, failed)
        self._stopping = threading.Event()
        self._started: threading.Event = threading.Event()
        self._start_error: NiiEdgeError | None = None
        self._child: Child | None = None
        self._ready: Ready | None = None
        self._first: Ready | None = None
        self._child_since = 0.0
        self._tickets: dict[ScanId, _Ticket] = {}
        self._waiting: list[ScanId] = []
        self._running: dict[int, _Running] = {}
        self._trial: Trial | None = None
        self._job_number = 0
        self._noticed: Callable[[Ready | None], None] = lambda _: None
        self._oddities: Oddities | None = None
        self._faults, self._fault = 0, ""
        self._replaced_at = -REPLACE_AGAIN_S
        self._passages: Passages | None = None
        self._layouts: Layouts | None = None
        self._log = logger("engine")

    @property
    def thread(self) -> GuardedThread:
        """The engine's loop."""
        return self._thread

    def connect(
        self,
        noticed: Callable[[Ready | None], None],
        oddities: Oddities | None = None,
        passages: Passages | None = None,
        layouts: Layouts | None = None,
    ) -> None:
        """Whom to tell, in the engine's thread, that an inference process is ready or (None) lost; and who
        knows the consignments, barcodes and layouts that pass, asked under the engine's lock."""
        self._noticed = noticed
        self._oddities, self._passages, self._layouts = oddities, passages, layouts

    # ---- called from other threads

    def start(self) -> Ready:
        """Start the inference process and wait until it is ready.

        Raises:
            NiiEdgeError: it did not come up; its own words are in the message.
        """
        self._thread.start()
        self._started.wait()
        if self._first is None:
            self._thread.join()
            raise self._start_error or NiiEdgeError("the inference process did not start")
        return self._first

    def submit(self, case: Case) -> None:
        """Have a complete scan looked at."""
        ticket = _Ticket(case, case.arrived_at + self._settings.deadline_s)
        with self._lock:
            self._tickets[case.id] = ticket
            self._waiting.append(case.id)
            self._dispatch()
        if ticket.deadline < self._wakes_at:
            self._bell.put(None)

    def checked(self, scan: ScanId, digests: tuple[str, ...], error: FrameError | None) -> None:
        """A submitted scan's payloads were hashed and checked."""
        with self._lock:
            ticket = self._tickets.get(scan)
            if ticket is None:  # ruled on already
                return
            ticket.case = ticket.case._replace(digests=digests)
            ticket.checked = True
            if error is not None:
                self._rule(scan, unknown(error.reason, error.detail))
            elif ticket.outcomes is not None:
                self._judge(scan, ticket)

    def try_out(self, trial: Trial) -> None:
        """Have the detectors look at a trial when they have nothing else to do; one trial at a time."""
        with self._lock:
            if self._trial is not None or self._stopping.is_set():
                trial.answer(TrialAnswer(None, begun=False))
                return
            self._trial = trial
            self._dispatch()

    def stop(self) -> None:
        """Conclude what is left as UNKNOWN(SHUTDOWN), end the inference process and the thread."""
        self._stopping.set()
        self._bell.put(None)
        self._thread.join()
        self._bell.close()

    # ---- the engine's thread

    def _run(self) -> None:
        try:
            self._spawn()
            self._wait_first()
        finally:
            self._started.set()
        if self._first is not None:
            while not self._stopping.is_set():
                self._turn()
        with self._lock:
            for scan in list(self._tickets):
                self._rule(scan, unknown(Reason.SHUTDOWN, "the daemon stopped before the detectors answered"))
            self._give_up_trial()
            reaper = self._drop_child()
        if reaper is not None:
            reaper.join(REAP_S)

    def _turn(self) -> None:
        self._thread.beat()
        with self._lock:
            patience = self._patience()
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if self._child is not None:
            poll.register(self._child.connection, select.POLLIN)
        poll.poll(1000 * patience)
        list(self._bell.take())
        with self._lock:
            self._take_answers()
            self._tend_child()
            self._expire()
            self._dispatch()
        if self._child is None and self._clock.monotonic() >= self._child_since + RESTART_PAUSE_S:
            self._spawn()

    def _patience(self) -> float:
        """Seconds until something must be done though nothing arrives. At most the deadline, so that a scan
        that comes meanwhile is seldom due before that."""
        now = self._clock.monotonic()
        times = [t.deadline for t in self._tickets.values()]
        times += [r.sent_at + self._hang_s for r in self._running.values()]
        times += [self._trial.until] if self._trial is not None else []
        if self._child is None:
            times.append(self._child_since + RESTART_PAUSE_S)
        elif self._ready is None:
            times.append(self._child_since + self._settings.start_timeout_s)
        self._wakes_at = min([now + TURN_S, now + self._settings.deadline_s, *times])
        return max(0.0, self._wakes_at - now)

    def _take_answers(self) -> None:
        while self._child is not None and self._child.has_said_something():
            try:
                answer = self._child.receive(JobDone if self._ready is not None else Ready | Failed)
            except EOFError as error:
                self._bury(f"it died{f': {error}' if str(error) else ''}")
                return
            match answer:
                case Ready() if self._first is not None and answer.models != self._first.models:
                    self._bury(
                        f"its models are {', '.join(answer.models)}, the daemon began with "
                        f"{', '.join(self._first.models)}; start the daemon again to run others"
                    )
                    return
                case Ready():
                    self._greet(answer)
                case Failed(error=why):
                    self._bury(why)
                    return
                case _:
                    self._take_job(answer)

    def _take_job(self, done: JobDone) -> None:
        running = self._running.get(done.number)
        if running is None or len(done.outcomes) != (len(running.scans) if running.trial is None else 1):
            self._bury(f"it answered job {done.number}, which it did not have, or not for all its scans")
            return
        del self._running[done.number]
        behind = min(self._running, default=0)
        if behind > done.number:  # it may have waited for this one, so its time begins now
            self._running[behind] = self._running[behind]._replace(sent_at=self._clock.monotonic())
        for slot in running.slots:
            self._slots.release(slot)
        if running.trial is not None:
            running.trial.answer(TrialAnswer(done.outcomes[0], begun=True))
        for i, scan in enumerate(running.scans):
            ticket = self._tickets.get(scan)
            if ticket is None:  # ruled on already, at its deadline
                continue
            ticket.outcomes = done.outcomes[i]
            ticket.traits = done.traits[i] if i < len(done.traits) else None
            ticket.chapters = done.chapters[i] if i < len(done.chapters) else ()
            ticket.answered_by = self._ready
            if ticket.checked:
                self._judge(scan, ticket)

    def _judge(self, scan: ScanId, ticket: _Ticket) -> None:
        """Rule on a scan that was checked and looked at; an answer after the deadline is none."""
        if self._clock.monotonic() >= ticket.deadline:
            self._rule(scan, self._too_late())
        elif ticket.answered_by is None:
            self._rule(scan, unknown(Reason.MODEL_FAULT, "nobody knows which models answered"))
        else:
            self._note_fault(ticket.outcomes or ())
            where = Circumstances(scan.edge, scan.scanner, ticket.chapters)
            outcomes, compared = self._outcomes(ticket, where)
            ruling = decide(self._policy, outcomes, ticket.answered_by.untrusted, where)
            self._rule(scan, ruling._replace(compared=compared))

    def _note_fault(self, outcomes: Sequence[Outcome]) -> None:
        """Whether a detector failed on a scan whose pixels were sound, as on those before it."""
        fault = next((f"{outcome.detector}: {outcome.fault}" for outcome in outcomes if outcome.fault), "")
        self._faults, self._fault = self._faults + 1 if fault else 0, fault
        if self._faults >= FAULTS_IN_A_ROW:
            self._bell.put(None)

    def _outcomes(self, ticket: _Ticket, where: Circumstances) -> tuple[Sequence[Outcome], Compared | None]:
        """What the detectors said, whether its barcode or a carton like it passed before, and what the carton
        is among those of its master bill."""
        outcomes = tuple(ticket.outcomes or ())
        passages, layouts, case, traits = self._passages, self._layouts, ticket.case, ticket.traits
        if passages is not None:
            outcomes = (*outcomes, or_fault(BARCODE, lambda: passages.judge(case)))
        if layouts is not None:
            outcomes = (*outcomes, or_fault(LAYOUT, lambda: layouts.judge(case, traits, where)))
        if self._oddities is None:
            return outcomes, None
        try:
            return self._oddities.judge(case, traits, where, outcomes)
        except Exception as error:  # noqa: BLE001 - whatever it is, the scan is UNKNOWN and not lost
            return (*outcomes, _fault(DETECTOR, error)), None

    def _rule(self, scan: ScanId, ruling: Ruling) -> None:
        ticket = self._tickets.pop(scan)
        models = ticket.answered_by.models if ticket.answered_by is not None else ()
        if self._passages is not None:
            self._passages.passed(ticket.case, ruling.decision)
        self._conclude(ticket.case, ruling, models)

    def _too_late(self) -> Ruling:
        return unknown(Reason.TIMEOUT, f"no answer within {self._settings.deadline_s * 1000:g} ms")

    def _expire(self) -> None:
        now = self._clock.monotonic()
        late = [scan for scan, ticket in self._tickets.items() if now >= ticket.deadline]
        for scan in late:
            self._rule(scan, self._too_late())
        if self._trial is not None and now >= self._trial.until:
            self._give_up_trial()

    def _give_up_trial(self) -> None:
        """Nobody had time for it."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.answer(TrialAnswer(None, begun=False))

    def _dispatch(self) -> None:
        if self._child is None or self._ready is None:
            return
        self._waiting = [scan for scan in self._waiting if scan in self._tickets]
        self._waiting.sort(key=lambda scan: self._tickets[scan].deadline)
        while self._waiting and len(self._running) < JOBS_AHEAD:
            self._send(self._next_batch())
        if self._trial is not None and not self._running:  # so nothing waits either
            trial, self._trial = self._trial, None
            self._run_job((trial.scan,), (), trial)

    def _next_batch(self) -> list[ScanId]:
        batch = [self._waiting.pop(0)]
        frames = len(self._tickets[batch[0]].case.frames)
        while self._waiting:
            more = len(self._tickets[self._waiting[0]].case.frames)
            if frames + more > self._settings.batch:
                break
            batch.append(self._waiting.pop(0))
            frames += more
        return batch

    def _send(self, batch: list[ScanId]) -> None:
        self._run_job(tuple(self._tickets[scan].case.scan for scan in batch), tuple(batch), None)

    def _run_job(self, scans: tuple[JobScan, ...], ids: tuple[ScanId, ...], trial: Trial | None) -> None:
        if self._child is None:
            return
        slots = tuple(frame.slot for scan in scans for frame in scan.frames)
        for slot in slots:
            self._slots.hold(slot)
        self._job_number += 1
        self._running[self._job_number] = _Running(self._clock.monotonic(), ids, slots, trial)
        self._child.send(Job(number=self._job_number, scans=scans))

    # ---- the inference process

    def _spawn(self) -> None:
        self._child_since = self._clock.monotonic()
        try:
            self._child = Child("nii_edge.inference_process", self._setup)
        except OSError as error:  # no descriptor, no memory: the next try may find some
            self._log.error("inference process not started", error=str(error))
            return
        self._metrics.child_starts.labels("inference").inc()

    def _wait_first(self) -> None:
        """The first start is waited for: nothing is served before the models have proved themselves."""
        child = self._child
        try:
            if child is None or not child.connection.poll(self._settings.start_timeout_s):
                raise NiiEdgeError(
                    f"the inference process was not ready within {self._settings.start_timeout_s:g} s"
                )
            answer = child.receive(Ready | Failed)
            if isinstance(answer, Failed):
                raise NiiEdgeError(answer.error)
            self._first = answer
            self._greet(answer)
        except EOFError:
            self._start_error = NiiEdgeError("the inference process died while starting; see its log above")
        except NiiEdgeError as error:
            self._start_error = error

    def _greet(self, ready: Ready) -> None:
        self._ready = ready
        self._faults = 0
        self._noticed(ready)
        for detector, why in ready.untrusted.items():
            self._log.error("detector not trusted: no CLEAR", detector=detector, why=why)
        seconds = round(self._clock.monotonic() - self._child_since, 2)
        pid = self._child.pid if self._child is not None else 0
        self._log.info("inference ready", pid=pid, device=ready.device, models=ready.models, seconds=seconds)

    def _tend_child(self) -> None:
        """Give up an inference process that hangs or does not come up."""
        now = self._clock.monotonic()
        if self._child is None:
            return
        if self._ready is None:
            if now >= self._child_since + self._settings.start_timeout_s:
                self._bury(f"not ready within {self._settings.start_timeout_s:g} s")
        elif self._running:
            begun = self._running[min(self._running)].sent_at  # those behind it may wait for it
            if now >= begun + self._hang_s:
                self._bury(f"no answer to a batch for {self._hang_s * 1000:g} ms")
        faulty = self._ready is not None and self._faults >= FAULTS_IN_A_ROW
        if faulty and now >= self._replaced_at + REPLACE_AGAIN_S:
            self._replaced_at = now
            self._bury(f"a detector failed on {self._faults} scans in a row, at last with {self._fault}")

    def _bury(self, why: str) -> None:
        """The process is lost: so are the scans it had. The next start is due after a short pause."""
        lost = [scan for run in self._running.values() for scan in run.scans if scan in self._tickets]
        for scan in lost:
            self._rule(scan, unknown(Reason.MODEL_FAULT, why))
        pid = 0 if self._child is None else self._child.pid
        self._log.error("inference process lost", why=why, pid=pid, scans=len(lost))
        self._drop_child()

    def _drop_child(self) -> threading.Thread | None:
        """End the process and take its slots back. Who waits for its end, if there was one."""
        reaper = None if self._child is None else self._child.abandon(self._ended)
        self._faults = 0  # which were that process's
        alone = len(self._running) == 1  # else nobody knows whose fault it was
        for run in self._running.values():
            for slot in run.slots:
                self._slots.release(slot)
            if run.trial is not None:
                run.trial.answer(TrialAnswer(None, begun=alone))
        self._running.clear()
        if self._ready is not None:  # it worked: the next one may start at once
            self._child_since = self._clock.monotonic() - RESTART_PAUSE_S
        self._child = None
        self._ready = None
        self._noticed(None)
        return reaper

    def _ended(self, status: int) -> None:
        self._log.info("inference process ended", status=status)

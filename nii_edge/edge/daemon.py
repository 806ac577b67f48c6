"""The daemon: puts the parts together, starts them in order, stops them in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from nii_edge import __version__
from nii_edge.config import EdgeConfig, Profile
from nii_edge.detect.fellows import ConsignmentFit
from nii_edge.edge.admission import Lane
from nii_edge.edge.assemble import Assembler, Limits
from nii_edge.edge.committer import Committer
from nii_edge.edge.conclude import Concluder
from nii_edge.edge.decoding import Decoding
from nii_edge.edge.engine import Engine, EngineSettings
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.health import Health
from nii_edge.edge.housekeeping import Housekeeping
from nii_edge.edge.ingest import Ingest
from nii_edge.edge.jobs import LaneFiles, ManifestSetup, Ready, Setup
from nii_edge.edge.layouts import Layouts
from nii_edge.edge.manifests import ManifestPull
from nii_edge.edge.memory import Memory
from nii_edge.edge.oddities import Oddities
from nii_edge.edge.passages import MOST_BARCODES, Passages
from nii_edge.edge.self_tests import Duty, SelfTests
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.threads import OnFailure
from nii_edge.edge.tip import Tip, TipPlan
from nii_edge.edge.uplink import Uplink
from nii_edge.policy import Circumstances, Policy, weigh
from nii_edge.ports import (
    AlertSink,
    CartonStore,
    Clock,
    Conclude,
    Intend,
    Ledger,
    LedgerCounts,
    PaperStore,
    Recalled,
    ScannerSide,
)
from nii_edge.records import Decision, Reason, Recall, Report, Verdict
from nii_edge.telemetry import Metrics, logger
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.optics import Optics
from nii_edge.xray.self_test import SelfTest

RECOVERY_S = 600.0
"""How long the ledger may take to say what it holds at the start: it may be large and the disk slow."""


class Parts(NamedTuple):
    """What the command picks for the daemon: configuration read and checked, and ways to make adapters.

    `open_side` binds the sockets, so it is called last, with what to call when it cannot go on. `open_sink`
    is None without a collector. `consignments`: what was fitted to them; None without `manifest`.
    `open_papers`: the store that the collector's manifests go into; None if they are not wanted.
    `open_cartons`: the file of the cartons that passed, and what was set aside for it; None without
    `manifest`.
    """

    config: EdgeConfig
    profiles: Mapping[str, Profile]
    policy: Policy
    bundles: Mapping[str, str]
    calibrations: Mapping[str, LaneFiles]
    optics: Mapping[str, tuple[Optics, ...]]
    state_dir: Path
    open_ledger: Callable[[], Ledger]
    open_side: Callable[[OnFailure], ScannerSide]
    open_sink: Callable[[], AlertSink] | None
    tip: TipPlan | None = None
    manifest: ManifestSetup | None = None
    signers: tuple[str, ...] | None = None
    self_tests: Mapping[str, Duty] = MappingProxyType({})
    read_self_tests: Callable[[Path], Sequence[SelfTest]] = lambda _: ()
    consignments: ConsignmentFit | None = None
    open_papers: Callable[[], PaperStore] | None = None
    open_cartons: Callable[[], tuple[CartonStore, str]] | None = None


class Daemon:
    """One edge. `start`, then `stop`; `failed` is set when it cannot go on and must be stopped,
    `cause` says why."""

    def __init__(self, parts: Parts, clock: Clock, metrics: Metrics) -> None:
        config = parts.config
        self._parts = parts
        self._clock = clock
        self.metrics = metrics
        self.failed = threading.Event()
        self.cause = ""
        self._gate = ClearGate()
        self._passages = None if config.barcodes is None else Passages(config.barcodes, clock)
        self._memory: Memory | None = None
        if parts.open_cartons is not None:
            self._memory = Memory(parts.open_cartons, config.edge, clock, metrics)
        patience_s = (config.deadline_ms + config.view_timeout_ms) / 1000
        self.health = Health(config.edge, __version__, patience_s, self._gate, clock)
        self.health.facts.insecure = config.listen.insecure
        self.health.facts.calibrated_until_ns = {
            f"{name} view {view}": optics.detector.made_at_ns
            + round(config.scanners[name].calibration_hours * 3_600e9)
            for name, views in parts.optics.items()
            for view, optics in enumerate(views)
            if optics.detector is not None
        }
        self.committer = Committer(
            parts.open_ledger, self._fail, self._make_room, metrics.commit_seconds.observe
        )
        self_tests = SelfTests(parts.self_tests, parts.read_self_tests, metrics)
        self.health.self_tests = lambda: self_tests.found
        self._housekeeping = Housekeeping(
            parts.state_dir,
            config.ledger,
            self.committer,
            self._gate,
            self.health,
            clock,
            metrics,
            self._fail,
        )
        self._housekeeping.also = lambda: self_tests.look(clock.monotonic(), clock.wall_ns())
        self._log = logger("daemon")
        self._running: list[Callable[[], None]] = []
        self._news: Callable[[], None] = lambda: None
        self._tell_recall: Callable[[Recall], None] = lambda _: None

    def start(self) -> ScannerSide:
        """Ledger, models, then sockets: nothing is received that could not be answered.

        Raises:
            NiiEdgeError: a part did not start; those that had are stopped again.
        """
        try:
            return self._start()
        except BaseException:
            self._unwind()
            raise

    def stop(self) -> None:
        """Receive no more, finish what is open, send nothing further, write all, end every process."""
        self._unwind()

    def _start(self) -> ScannerSide:
        config, clock = self._parts.config, self._clock
        reserved = 0
        if self._parts.tip is not None:
            reserved = max(len(profile.views) for profile in self._parts.profiles.values())
        slots = SlotPool(config.inference.slots, config.max_frame_bytes, reserved)
        self._running.append(slots.close)
        self.committer.start()
        self._running.append(self.committer.close)
        self._recover()
        self._housekeeping.start()
        self._running.append(self._housekeeping.stop)
        setup = Setup(
            shared_fd=slots.fd,
            slots=slots.slots,
            slot_bytes=slots.slot_bytes,
            bundles=dict(self._parts.bundles),
            inference=config.inference,
            calibrations=dict(self._parts.calibrations),
            manifest=self._parts.manifest,
            signers=self._parts.signers,
        )
        concluder = Concluder(
            self._parts.policy,
            self._gate,
            self.committer,
            slots,
            clock,
            self.metrics,
            self._parts.config.deadline_ms / 1000,
            self._parts.optics,
        )
        self._running.append(concluder.close)
        self.health.bands = concluder.bands.report
        engine = self._start_engine(setup, slots, concluder)
        side = self._parts.open_side(self._fail)
        self._running.append(side.close)
        ingest = Ingest(side, self.committer, clock, config.drain_ms / 1000, self._fail)
        self._tell_recall = ingest.on_recalled
        concluder.connect(self._told(ingest), self._fail)
        decoding = Decoding(setup, slots, ingest.on_decoded, clock, self.metrics, self._fail)
        assembler = self._assembler(slots, ingest)
        assembler.resume(self.committer.answer(lambda ledger: ledger.high_water(), RECOVERY_S))
        uplink = self._start_uplink()
        if uplink is not None:
            self._news = uplink.nudge
        ingest.connect(assembler, engine, decoding, concluder, self._news, self._note_waiting)
        decoding.start()
        self._running.append(decoding.stop)
        ingest.start()
        self._running.append(ingest.stop)
        self.health.watch(
            self.committer.thread, engine.thread, ingest.thread, decoding.thread, self._housekeeping.thread
        )
        return side

    def _start_engine(self, setup: Setup, slots: SlotPool, concluder: Concluder) -> Engine:
        config = self._parts.config
        settings = EngineSettings(
            config.deadline_ms / 1000, config.inference.start_timeout_ms / 1000, config.inference.batch
        )
        tip = None
        if self._parts.tip is not None:
            tip = Tip(self._parts.tip, self._parts.policy, slots, self._clock, self.metrics)
        engine = Engine(
            setup,
            self._parts.policy,
            settings,
            slots,
            concluder.conclude if tip is None else tip.before(concluder.conclude),
            self._clock,
            self.metrics,
            self._fail,
        )
        oddities, layouts = self._oddities(), self._layouts()
        self._remember(oddities, layouts)
        engine.connect(self._note_inference, oddities, self._passages, layouts)
        engine.start()
        self._running.append(engine.stop)
        if tip is not None:
            tip.start(engine.try_out)
            self._running.append(tip.stop)
            self.health.tip = tip.report
        return engine

    def _oddities(self) -> Oddities | None:
        parts = self._parts
        if parts.manifest is None or parts.consignments is None:
            return None
        prior = parts.manifest.prior
        return Oddities(parts.consignments, prior, parts.policy, self._call_back, self._clock, self._memory)

    def _remember(self, oddities: Oddities | None, layouts: Layouts | None) -> None:
        """Begin with the cartons that passed before, and keep those that will."""
        memory = self._memory
        if memory is None or oddities is None:
            return
        for carton in memory.read(self._recalled):
            oddities.resume(carton)
            if layouts is not None:
                layouts.resume(carton.known)
        memory.start()
        self._running.append(memory.stop)

    def _recalled(self, alert_ids: Collection[str]) -> set[str]:
        found: set[str] = self.committer.answer(lambda ledger: ledger.known(alert_ids), RECOVERY_S)
        return found

    def _told(self, ingest: Ingest) -> Callable[[Report, Callable[[], None]], None]:
        """Who hears of verdicts on disk."""
        passages, memory = self._passages, self._memory

        def told(report: Report, note: Callable[[], None]) -> None:
            if passages is not None:
                passages.told(report.verdict)
            if memory is not None:
                memory.nudge()
            ingest.on_concluded(report, note)

        return told

    def _layouts(self) -> Layouts | None:
        parts = self._parts
        rules = None if parts.config.manifest is None else parts.config.manifest.same_layout
        if rules is None or parts.consignments is None:
            return None
        return Layouts(rules, parts.consignments.null.spread)

    def _call_back(self, recall: Recall, noted: Callable[[], None]) -> None:
        """Put a recall on disk, then tell of it: a carton that counts as told before is never called back."""

        def on_disk() -> None:
            noted()
            self.metrics.recalls.labels(recall.scan.scanner, recall.scan_type.value).inc()
            self._log.warning(
                "recall", scan=str(recall.scan), report=recall.scan.report_id, carton=recall.carton,
                because=str(recall.because), why=recall.finding.why,
            )  # fmt: skip
            self._tell_recall(recall)
            self._news()

        self.committer.write(Recalled(recall), then=on_disk)

    def _assembler(self, slots: SlotPool, ingest: Ingest) -> Assembler:
        config = self._parts.config
        limits = Limits(config.deadline_ms / 1000, config.view_timeout_ms / 1000, config.max_frame_bytes)
        lanes = {
            name: Lane(profile, config.scanners[name].overload, _detectors(self._parts.optics.get(name, ())))
            for name, profile in self._parts.profiles.items()
        }
        return Assembler(config.edge, lanes, limits, slots, ingest, self._clock, self.metrics)

    def _start_uplink(self) -> Uplink | None:
        if self._parts.open_sink is None:
            return None
        pull = None
        if self._parts.open_papers is not None:
            pull = ManifestPull(self._parts.open_papers, self._clock, self.metrics, self._fail)
        uplink = Uplink(self._parts.open_sink, self.committer, self._clock, self.metrics, self._fail, pull)
        uplink.start()
        self._running.append(uplink.stop)
        if pull is not None:
            self._start_pull(pull, uplink)
        self.health.watch(uplink.thread)
        self.health.receipt_at = lambda: uplink.heard_at
        return uplink

    def _start_pull(self, pull: ManifestPull, uplink: Uplink) -> None:
        pull.connect(uplink.nudge)
        pull.start()
        self._running.append(pull.stop)
        self.health.watch(pull.thread)
        self.health.manifests = lambda: pull.report

    def _recover(self) -> None:
        """Scans that a crash left without a verdict become UNKNOWN(CRASH)."""
        left: list[Intend] = self.committer.answer(lambda ledger: ledger.in_flight(), RECOVERY_S)
        for intent in left:
            report = self._crashed(intent)
            self.committer.write(Conclude(report, None), then=partial(self._note_crashed, report))
        counts: list[LedgerCounts] = self.committer.answer(lambda ledger: ledger.counts(), RECOVERY_S)
        if left:
            self._log.warning("scans without a verdict after a crash are UNKNOWN now", scans=len(left))
        passages = self._passages
        if passages is not None:
            since_ns = passages.since_ns
            passages.resume(
                self.committer.answer(lambda ledger: ledger.passed_since(since_ns, MOST_BARCODES), RECOVERY_S)
            )
        for row in counts:
            self._log.info("ledger", **row._asdict())

    def _crashed(self, intent: Intend) -> Report:
        scan, policy = intent.scan, self._parts.policy
        weight = weigh(policy, Decision.UNKNOWN, (), Circumstances(scan.edge, scan.scanner))
        verdict = Verdict(
            id=scan,
            scan_type=intent.scan_type,
            decision=Decision.UNKNOWN,
            reason=Reason.CRASH,
            detail="the daemon stopped between receipt and verdict",
            policy=policy.name,
            carton=intent.carton,
            band=weight.band,
            risk=weight.risk,
            rule=weight.rule,
        )
        return Report(
            alert_id=scan.alert_id,
            report_id=scan.report_id,
            verdict=verdict,
            received_at_ns=intent.received_at_ns,
            decided_at_ns=self._clock.wall_ns(),
        )

    def _note_crashed(self, report: Report) -> None:
        """Count a verdict that the start gave, and log its line."""
        verdict, reason = report.verdict, Reason.CRASH.value
        labels = verdict.id.scanner, verdict.scan_type.value, verdict.decision.value, reason
        self.metrics.verdicts.labels(*labels).inc()
        self._log.warning(
            "scan", scan=str(verdict.id), report=report.report_id, scan_type=verdict.scan_type.value,
            decision=verdict.decision.value, band=verdict.band, risk=verdict.risk, reason=reason,
            detail=verdict.detail, carton=verdict.carton,
        )  # fmt: skip

    def _note_inference(self, ready: Ready | None) -> None:
        facts = self.health.facts
        facts.inference_up = ready is not None
        if ready is not None:
            self.metrics.model_info.clear()
            for model in ready.models:
                self.metrics.model_info.labels(model).set(1)
            facts.models, facts.device, facts.untrusted = ready.models, ready.device, tuple(ready.untrusted)

    def _note_waiting(self, since: float | None, silent: Mapping[str, float]) -> None:
        self.health.facts.oldest_open_at, self.health.facts.silent_since = since, silent

    def _make_room(self) -> bool:
        return self._housekeeping.make_room()

    def _fail(self, error: BaseException) -> None:
        """A part cannot go on: stop, and let the next start account for what was open."""
        if not self.cause:
            self.cause = f"{type(error).__name__}: {error}"
        self._log.error("stopping", error=f"{type(error).__name__}: {error}")
        self.failed.set()

    def _unwind(self) -> None:
        """Stop what runs, last started first."""
        while self._running:
            self._running.pop()()


def _detectors(views: Sequence[Optics]) -> tuple[Calibration, ...]:
    """What the lane's counts are corrected with here, if there is a detector calibration for every view."""
    found = tuple(view.detector for view in views if view.detector is not None)
    return found if len(found) == len(views) else ()

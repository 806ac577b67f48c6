"""The daemon: puts the parts together, starts them in order, stops them in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from nii_edge.config import EdgeConfig, Policy, Profile
from nii_edge.edge.assemble import Assembler, Limits
from nii_edge.edge.committer import Committer
from nii_edge.edge.conclude import Concluder
from nii_edge.edge.decoding import Decoding
from nii_edge.edge.engine import Engine, EngineSettings
from nii_edge.edge.ingest import Ingest
from nii_edge.edge.jobs import Setup
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.uplink import Uplink
from nii_edge.ports import AlertSink, Clock, Conclude, Intend, Ledger, LedgerCounts, ScannerSide
from nii_edge.records import Decision, Reason, Report, Verdict
from nii_edge.telemetry import Metrics, logger

RECOVERY_S = 600.0
"""How long the ledger may take to say what it holds at the start: it may be large and the disk slow."""


class Parts(NamedTuple):
    """What the command picks for the daemon: configuration read and checked, and ways to make adapters.

    `open_side` binds the sockets, so it is called last. `open_sink` is None without a collector.
    """

    config: EdgeConfig
    profiles: Mapping[str, Profile]
    policy: Policy
    bundles: Mapping[str, str]
    open_ledger: Callable[[], Ledger]
    open_side: Callable[[], ScannerSide]
    open_sink: Callable[[], AlertSink] | None


class Daemon:
    """One edge. `start`, then `stop`; `failed` is set when it cannot go on and must be stopped."""

    def __init__(self, parts: Parts, clock: Clock, metrics: Metrics) -> None:
        self._parts = parts
        self._clock = clock
        self._metrics = metrics
        self.failed = threading.Event()
        self._log = logger("daemon")
        self._running: list[Callable[[], None]] = []

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
        config, clock, metrics = self._parts.config, self._clock, self._metrics
        slots = SlotPool(config.inference.slots, config.max_frame_bytes)
        self._running.append(slots.close)
        committer = Committer(self._parts.open_ledger, self._fail)
        committer.start()
        self._running.append(committer.close)
        self._recover(committer)
        setup = Setup(
            shared_fd=slots.fd,
            slots=slots.slots,
            slot_bytes=slots.slot_bytes,
            bundles=dict(self._parts.bundles),
            inference=config.inference,
        )
        concluder = Concluder(self._parts.policy.name, committer, slots, clock, metrics, self._fail)
        self._running.append(concluder.close)
        engine = self._start_engine(setup, slots, concluder)
        side = self._parts.open_side()
        ingest = Ingest(side, committer, clock, config.drain_ms / 1000, self._fail)
        concluder.connect(ingest.on_concluded)
        decoding = Decoding(setup, slots, ingest.on_decoded, clock, metrics, self._fail)
        assembler = self._assembler(slots, ingest)
        assembler.resume(committer.answer(lambda ledger: ledger.high_water(), RECOVERY_S))
        uplink = self._start_uplink(committer)
        ingest.connect(assembler, engine, decoding, concluder, uplink.nudge if uplink else lambda: None)
        decoding.start()
        self._running.append(decoding.stop)
        ingest.start()
        self._running.append(ingest.stop)
        return side

    def _start_engine(self, setup: Setup, slots: SlotPool, concluder: Concluder) -> Engine:
        config = self._parts.config
        settings = EngineSettings(
            config.deadline_ms / 1000, config.inference.start_timeout_ms / 1000, config.inference.batch
        )
        engine = Engine(
            setup,
            self._parts.policy,
            settings,
            slots,
            concluder.conclude,
            self._clock,
            self._metrics,
            self._fail,
        )
        engine.start()
        self._running.append(engine.stop)
        return engine

    def _assembler(self, slots: SlotPool, ingest: Ingest) -> Assembler:
        config = self._parts.config
        limits = Limits(config.deadline_ms / 1000, config.view_timeout_ms / 1000, config.max_frame_bytes)
        profiles = dict(self._parts.profiles)
        return Assembler(config.edge, profiles, limits, slots, ingest, self._clock, self._metrics)

    def _start_uplink(self, committer: Committer) -> Uplink | None:
        if self._parts.open_sink is None:
            return None
        uplink = Uplink(self._parts.open_sink, committer, self._clock, self._metrics, self._fail)
        uplink.start()
        self._running.append(uplink.stop)
        return uplink

    def _recover(self, committer: Committer) -> None:
        """Scans that a crash left without a verdict become UNKNOWN(CRASH)."""
        left: list[Intend] = committer.answer(lambda ledger: ledger.in_flight(), RECOVERY_S)
        for intent in left:
            committer.write(Conclude(self._crashed(intent), None))
        counts: list[LedgerCounts] = committer.answer(lambda ledger: ledger.counts(), RECOVERY_S)
        if left:
            self._log.warning("scans without a verdict after a crash are UNKNOWN now", scans=len(left))
        for row in counts:
            self._log.info("ledger", **row._asdict())

    def _crashed(self, intent: Intend) -> Report:
        scan = intent.scan
        verdict = Verdict(
            id=scan,
            scan_type=intent.scan_type,
            decision=Decision.UNKNOWN,
            reason=Reason.CRASH,
            detail="the daemon stopped between receipt and verdict",
            policy=self._parts.policy.name,
        )
        return Report(
            alert_id=scan.alert_id,
            report_id=scan.report_id,
            verdict=verdict,
            received_at_ns=intent.received_at_ns,
            decided_at_ns=self._clock.wall_ns(),
        )

    def _fail(self, error: BaseException) -> None:
        """A part cannot go on: stop, and let the next start account for what was open."""
        self._log.error("stopping", error=f"{type(error).__name__}: {error}")
        self.failed.set()

    def _unwind(self) -> None:
        """Stop what runs, last started first."""
        while self._running:
            self._running.pop()()

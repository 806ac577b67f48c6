"""Is the daemon alive, and does it screen? Alive: its loops turn. Ready: what arrives gets a verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nii_edge.edge.gate import ClearGate
from nii_edge.edge.manifests import PullReport
from nii_edge.edge.self_tests import LaneSelfTest
from nii_edge.edge.threads import GuardedThread
from nii_edge.edge.tip_score import TipReport
from nii_edge.edge.urgent import Bands
from nii_edge.ports import Clock, LedgerCounts, LedgerStats

STALE_S = 10.0
"""A loop that has not turned for this long hangs."""
LATE_S = 2.0
"""Beyond deadline and view time a scan without a verdict means that no verdicts leave."""
SILENT_BELT_S = 30.0
"""A carton in the tunnel for so long without a new line: the belt stands, or the scanner is gone."""
SILENT_UPLINK_S = 60.0
"""Unconfirmed records and no receipt for this long: the collector is away."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One scanner and kind of scan: received = clear + alarm + unknown + in_flight."""

    scanner: str
    scan_type: str
    received: int
    clear: int
    alarm: int
    unknown: int
    in_flight: int
    missing: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `nii-edge status` shows. `not_live` and `not_ready` hold reasons; `degraded` what does not stop
    screening. Ages in seconds."""

    edge: str
    version: str
    live: bool
    ready: bool
    not_live: tuple[str, ...]
    not_ready: tuple[str, ...]
    degraded: tuple[str, ...]
    uptime_s: float
    balance: tuple[Balance, ...]
    ledger: dict[str, Any]
    models: tuple[str, ...]
    device: str
    disk_free_bytes: int
    tip: TipReport | None = None
    self_tests: tuple[LaneSelfTest, ...] = ()
    bands: Bands | None = None
    manifests: PullReport | None = None


class Facts(msgspec.Struct, kw_only=True):
    """What housekeeping and ingest last saw. Written by one thread each, read by the health server."""

    counts: Sequence[LedgerCounts] = ()
    stats: LedgerStats | None = None
    oldest_open_at: float | None = None
    silent_since: Mapping[str, float] = {}
    disk_free_bytes: int = 0
    models: tuple[str, ...] = ()
    device: str = ""
    untrusted: tuple[str, ...] = ()
    inference_up: bool = False
    insecure: bool = False
    clock_untrusted: bool = False
    calibrated_until_ns: dict[str, int] = {}


class Health:
    """Puts the facts together. Thread-safe."""

    def __init__(self, edge: str, version: str, patience_s: float, gate: ClearGate, clock: Clock) -> None:
        """`patience_s`: view time plus deadline, by which every scan must have its verdict."""
        self.facts = Facts()
        self._edge = edge
        self._version = version
        self._patience_s = patience_s
        self._gate = gate
        self._clock = clock
        self._threads: list[GuardedThread] = []
        self._began = clock.monotonic()
        self._lock = threading.Lock()
        self.receipt_at: Callable[[], float | None] = lambda: None
        self.tip: Callable[[], TipReport | None] = lambda: None
        self.bands: Callable[[], Bands | None] = lambda: None
        self.manifests: Callable[[], PullReport | None] = lambda: None
        self.self_tests: Callable[[], tuple[LaneSelfTest, ...]] = lambda: ()

    def watch(self, *threads: GuardedThread) -> None:
        """These loops must turn for the daemon to be alive."""
        with self._lock:
            self._threads.extend(threads)

    def not_live(self) -> tuple[str, ...]:
        """Why the daemon is as good as dead; empty if it lives."""
        now = self._clock.monotonic()
        with self._lock:
            threads = list(self._threads)
        dead = [f"{thread.name}: its thread has ended" for thread in threads if not thread.is_alive()]
        hung = [
            f"{thread.name}: no turn for {now - thread.beat_at:.0f} s"
            for thread in threads
            if thread.is_alive() and now - thread.beat_at > STALE_S
        ]
        return tuple(dead + hung)

    def not_ready(self) -> tuple[str, ...]:
        """Why scans do not get their verdict, or none of them could be CLEAR; empty if all is well."""
        facts, problems = self.facts, list(self.not_live())
        if not facts.inference_up:
            problems.append("the inference process is not up")
        problems += [f"{reason.value}: {detail}" for reason, detail in self._gate.reasons().items()]
        problems += [f"not trusted: {detector}" for detector in facts.untrusted]
        oldest = facts.oldest_open_at
        if oldest is not None:
            age = self._clock.monotonic() - oldest
            if age > self._patience_s + LATE_S:
                problems.append(f"frames arrive and no verdict leaves: one waits for {age:.1f} s")
        return tuple(problems)

    def degraded(self) -> tuple[str, ...]:
        """What a person should look into though screening goes on."""
        facts, found = self.facts, []
        stats = facts.stats
        if stats is not None and stats.parked:
            found.append(f"{stats.parked} records are refused by the collector")
        if facts.clock_untrusted:
            found.append(
                "the clock was put by more than a minute, and nothing is forgotten for an hour; or it is "
                "before 2026, and nothing is forgotten until it is right"
            )
        heard_at = self.receipt_at()
        if stats is not None and stats.pending and heard_at is not None:
            silent = self._clock.monotonic() - heard_at
            if silent > SILENT_UPLINK_S:
                found.append(f"{stats.pending} records wait; no receipt for {silent:.0f} s")
        for view, until_ns in facts.calibrated_until_ns.items():
            late_h = (self._clock.wall_ns() - until_ns) / 3_600e9
            if late_h > 0:
                found.append(f"the calibration of {view} is {late_h:.1f} h older than is allowed; renew it")
        for lane, since in facts.silent_since.items():
            silent = self._clock.monotonic() - since
            if silent > SILENT_BELT_S:
                found.append(
                    f"{lane}: a carton is in the tunnel without a verdict and no line has come for "
                    f"{silent:.0f} s; look at it if the belt does not go on"
                )
        found += [problem for lane in self.self_tests() for problem in lane.problems]
        found += self._beside()
        if facts.insecure:
            found.append("insecure: true; other machines reach plain sockets")
        return tuple(found)

    def _beside(self) -> Iterator[str]:
        """What is wrong with what goes on beside screening."""
        manifests, tip = self.manifests(), self.tip()
        if manifests is not None and manifests.problem:
            yield f"manifests from the collector: {manifests.problem}"
        if tip is not None and tip.off:
            yield f"no threats are projected any more: {tip.off}"

    def status(self) -> Status:
        """All of it."""
        facts = self.facts
        not_live, not_ready = self.not_live(), self.not_ready()
        return Status(
            edge=self._edge,
            version=self._version,
            live=not not_live,
            ready=not not_ready,
            not_live=not_live,
            not_ready=not_ready,
            degraded=self.degraded(),
            uptime_s=round(self._clock.monotonic() - self._began, 1),
            balance=tuple(
                Balance(**{**row._asdict(), "scan_type": row.scan_type.value}) for row in facts.counts
            ),
            ledger=facts.stats._asdict() if facts.stats is not None else {},
            models=facts.models,
            device=facts.device,
            disk_free_bytes=facts.disk_free_bytes,
            tip=self.tip(),
            self_tests=self.self_tests(),
            bands=self.bands(),
            manifests=self.manifests(),
        )

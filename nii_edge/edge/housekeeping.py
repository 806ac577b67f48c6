"""What must be done now and then: the balance, room on the disk, forgetting what the centre has."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from nii_edge.config import LedgerBudget
from nii_edge.edge.committer import Committer
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.health import Health
from nii_edge.edge.threads import GuardedThread, OnFailure, ignore
from nii_edge.errors import LedgerDamagedError, LedgerError, LedgerFullError
from nii_edge.ports import Audit, Clock, Ledger, OutboxItem, Prune
from nii_edge.records import Reason, Report
from nii_edge.telemetry import Metrics, logger

EVERY_S = 1.0
PRUNE_EVERY_S = 1.0
SETTLE_EVERY_S = 10.0
"""How long a disk may fail under what the ledger puts off before somebody hears of it."""
VERIFY_EVERY_S = 3_600.0
"""The chain is verified as a whole at the start, and again so long after each verification."""
VERIFY_AT_ONCE = 1_000
"""Entries verified in one turn: some 20 ms in which no verdict is written."""
CLOCK_STEP_S = 60.0
"""By so much the wall clock may be put, against the one that only runs, before it is not trusted,"""
CLOCK_TRUST_S = 3_600.0
"""for so long: nothing is forgotten meanwhile, since how long the centre has had it cannot be told."""
EARLIEST_NS = 1_767_225_600 * 10**9
"""2026: a clock that says less has lost the time, and nothing is forgotten by it."""
REOPEN_AT = 0.95
"""Of the entry budget: CLEAR is possible again below it."""


class Ballast:
    """Space kept back on the ledger's disk, given up so that the last verdicts can still be written."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def hold(self) -> bool:
        """Take the space if there is twice as much free; True if it is held."""
        try:
            if self._path.exists() and self._path.stat().st_size == self._size:
                return True
            if free_bytes(self._path.parent) < 2 * self._size:
                return False
            with self._path.open("wb") as file:
                if self._size:
                    os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            self.give()
            return False
        return True

    def give(self) -> None:
        """Give the space up."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """What an ordinary process may still write on the folder's disk."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Housekeeping:
    """A thread that keeps books, once a second. `also`: something else to be done then, that never raises."""

    def __init__(
        self,
        state_dir: Path,
        budget: LedgerBudget,
        committer: Committer,
        gate: ClearGate,
        health: Health,
        clock: Clock,
        metrics: Metrics,
        failed: OnFailure = ignore,
    ) -> None:
        self._state_dir = state_dir
        self._budget = budget
        self._committer = committer
        self._gate = gate
        self._health = health
        self._clock = clock
        self._metrics = metrics
        self.also: Callable[[], None] = lambda: None
        self._ballast = Ballast(state_dir / "ballast", budget.ballast_mb << 20)
        self._stopping = threading.Event()
        self._pruned_at = 0.0
        self._settled_at = clock.monotonic()
        self._clock_offset = self._clock_began = self._offset()
        self._trusted_from = 0.0
        self._verified_to: int | None = None
        self._verified_at = clock.monotonic()
        self._failed = failed
        self.thread = GuardedThread("housekeeping", self._run, failed)
        self._log = logger("housekeeping")

    def start(self) -> None:
        """Take the ballast and begin."""
        self._hold()
        self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.thread.join()

    def _hold(self) -> None:
        """Without the ballast nothing is CLEAR: what comes next might not be written."""
        if self._ballast.hold():
            self._gate.open(Reason.DISK_FULL)
        else:
            megabytes = self._budget.ballast_mb
            detail = f"no room for the ballast: {2 * megabytes} MB must be free for its {megabytes} MB"
            self._gate.close(Reason.DISK_FULL, detail)

    def make_room(self) -> bool:
        """The ledger's disk is full: stop CLEAR, give up the ballast. False if that was done before."""
        self._gate.close(Reason.DISK_FULL, "the ledger's disk is full; make room on it")
        held = (self._state_dir / "ballast").exists()
        self._ballast.give()
        return held

    def look(self) -> None:
        """Renew the health's facts and the gauges. Raises LedgerError if the ledger does not answer."""
        facts = self._health.facts
        facts.counts = self._committer.answer(lambda ledger: ledger.counts())
        facts.stats = stats = self._committer.answer(lambda ledger: ledger.stats())
        self._metrics.clear_possible.set(not self._health.not_ready())
        facts.disk_free_bytes = free_bytes(self._state_dir)
        self._metrics.disk_free.set(facts.disk_free_bytes)
        self._metrics.outbox_rows.labels("pending").set(stats.pending)
        self._metrics.outbox_rows.labels("parked").set(stats.parked)
        self._metrics.outbox_bytes.set(stats.pending_bytes)
        self._metrics.ledger_entries.set(stats.entries)
        self._metrics.ledger_bytes.labels("file").set(stats.file_bytes)
        self._metrics.ledger_bytes.labels("pictures").set(stats.picture_bytes)
        self._metrics.outbox_oldest_age.set(self._oldest_age())
        for row in facts.counts:
            for state in ("received", "clear", "alarm", "unknown", "in_flight", "missing"):
                self._metrics.ledger_scans.labels(row.scanner, row.scan_type.value, state).set(
                    getattr(row, state)
                )
        if stats.entries >= self._budget.max_entries:
            detail = f"{stats.entries} entries, at most {self._budget.max_entries}; is the collector away?"
            self._gate.close(Reason.LEDGER_FULL, detail)
        elif stats.entries < REOPEN_AT * self._budget.max_entries:
            self._gate.open(Reason.LEDGER_FULL)

    def _oldest_age(self) -> float:
        """Seconds since the oldest record that waits for a receipt was made; 0 if none waits."""
        waiting: list[OutboxItem] = self._committer.answer(lambda ledger: ledger.outbox("record", 0, 1))
        for item in waiting:
            record = item.record
            made = record.decided_at_ns if isinstance(record, Report) else getattr(record, "noticed_at_ns", 0)
            return max((self._clock.wall_ns() - made) / 1e9, 0.0)
        return 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.thread.beat()
            try:
                self.look()
                self._verify()
            except LedgerError as error:
                self._log.error("the ledger does not answer", error=str(error))
            self._hold()
            self._watch_clock()
            self._prune()
            self._settle()
            self.also()
            self._stopping.wait(EVERY_S)

    def _verify(self) -> None:
        """A few more entries, when it is time again. Damage ends the daemon: the next start sets the file
        aside and carries over what is whole."""
        now = self._clock.monotonic()
        if self._verified_to is None and now < self._verified_at + VERIFY_EVERY_S:
            return
        after = self._verified_to or 0
        audit: Audit = self._committer.answer(lambda ledger: ledger.verify(after, VERIFY_AT_ONCE))
        self._verified_to, self._verified_at = audit.next, now
        if audit.problems:
            self._metrics.chain_failures.inc(len(audit.problems))
            self._log.error("the ledger is damaged", problems=audit.problems[:20])
            self._failed(LedgerDamagedError(f"the ledger is damaged: {audit.problems[0]}"))

    def _offset(self) -> float:
        return self._clock.wall_ns() / 1e9 - self._clock.monotonic()

    def _watch_clock(self) -> None:
        """Whether somebody has put the wall clock: a battery that was empty, a time server, an attacker."""
        offset = self._offset()
        step, self._clock_offset = offset - self._clock_offset, offset
        self._metrics.clock_stepped.set(offset - self._clock_began)
        now = self._clock.monotonic()
        if abs(step) > CLOCK_STEP_S:
            self._trusted_from = now + CLOCK_TRUST_S
            self._log.error("the clock was put; nothing is forgotten for an hour", seconds=round(step))
        self._health.facts.clock_untrusted = self._clock_untrusted()
        self._metrics.clock_untrusted.set(self._clock_untrusted())

    def _clock_untrusted(self) -> bool:
        return self._clock.monotonic() < self._trusted_from or self._clock.wall_ns() < EARLIEST_NS

    def _settle(self) -> None:
        """Errors end the ledger's thread, and with it the daemon, as those of a commit do."""
        now = self._clock.monotonic()
        if now - self._settled_at >= SETTLE_EVERY_S:
            self._settled_at = now
            self._committer.ask(self._settled, lambda _: None)

    def _settled(self, ledger: Ledger) -> None:
        try:
            ledger.settle()
        except LedgerFullError:
            self.make_room()

    def _prune(self) -> None:
        now = self._clock.monotonic()
        if now - self._pruned_at < PRUNE_EVERY_S or self._clock_untrusted():
            return
        self._pruned_at = now
        now_ns = self._clock.wall_ns()
        before = now_ns - round(self._budget.retention_hours * 3_600e9)
        self._committer.write(Prune(before, self._budget.picture_mb << 20, now_ns))

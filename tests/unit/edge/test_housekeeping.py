"""Housekeeping over a real ledger on disk, with a clock that can be put forward."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness import until

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.config import LedgerBudget
from nii_edge.edge import housekeeping
from nii_edge.edge.committer import Committer
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.health import Health
from nii_edge.edge.housekeeping import Housekeeping
from nii_edge.errors import LedgerDamagedError
from nii_edge.ports import Conclude, Confirm, Intend
from nii_edge.records import Decision, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics

ENTRIES = 2_500


class OffsetClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    ahead_s = 0.0
    wall_ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s

    def wall_ns(self) -> int:
        return super().wall_ns() + round((self.ahead_s + self.wall_ahead_s) * 1e9)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        with closing(SqliteLedger(self.path, "e")) as ledger:
            ledger.commit([change for seq in range(1, ENTRIES + 1) for change in scan(seq)])
        self.clock = OffsetClock()
        self.metrics = Metrics()
        self.failures: list[BaseException] = []
        self.committer = Committer(lambda: SqliteLedger(self.path, "e"), self.failures.append)
        self.committer.start()
        gate = ClearGate()
        self.keeper = Housekeeping(
            folder, LedgerBudget(ballast_mb=0), self.committer, gate,
            Health("e", "0", 1.0, gate, self.clock), self.clock, self.metrics, self.failures.append,
        )  # fmt: skip
        self.keeper.start()

    def stop(self) -> None:
        self.keeper.stop()
        self.committer.close()

    def found(self) -> float:
        value = self.metrics.registry.get_sample_value("nii_edge_chain_verify_failures_total")
        assert value is not None
        return value


def scan(seq: int) -> tuple[Intend, Conclude]:
    which = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    verdict = Verdict(id=which, scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR)
    report = Report(
        alert_id=which.alert_id, report_id=which.report_id, verdict=verdict,
        received_at_ns=1, decided_at_ns=2,
    )  # fmt: skip
    return Intend(which, ScanType.OPERATIONAL, 1), Conclude(report, None)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.01)
    made = Rig(tmp_path)
    yield made
    made.stop()


def test_a_whole_ledger_is_verified_again_and_nothing_is_found(rig: Rig) -> None:
    """All slices, then a rest until the next time."""
    rig.clock.ahead_s = housekeeping.VERIFY_EVERY_S + 1
    until(lambda: rig.keeper._verified_at > rig.clock.ahead_s and rig.keeper._verified_to is None)
    assert rig.failures == []
    assert rig.found() == 0


def test_damage_that_comes_while_running_ends_the_daemon(rig: Rig) -> None:
    """A byte that changed on the disk is found at the next verification, counted, and not lived with."""
    change = "UPDATE journal SET body = zeroblob(length(body)) WHERE entry = 2222"
    rig.committer.answer(lambda ledger: ledger._db.execute(change))
    rig.clock.ahead_s = housekeeping.VERIFY_EVERY_S + 1
    until(lambda: rig.failures)
    assert isinstance(rig.failures[0], LedgerDamagedError)
    assert "2222" in str(rig.failures[0])
    assert rig.found() >= 1


def test_without_room_for_the_ballast_nothing_is_clear(tmp_path: Path) -> None:
    """Also at the start, before anything was written: the last verdicts might not find room."""
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    gate, clock, metrics = ClearGate(), SystemClock(), Metrics()
    keeper = Housekeeping(
        tmp_path, LedgerBudget(ballast_mb=1 << 40), committer, gate, Health("e", "0", 1.0, gate, clock),
        clock, metrics,
    )  # fmt: skip
    keeper.start()
    try:
        assert "must be free" in gate.reasons()[Reason.DISK_FULL]
        until(lambda: metrics.registry.get_sample_value("nii_edge_clear_possible") == 0)
    finally:
        keeper.stop()
        committer.close()


def test_a_clock_that_has_lost_the_time_forgets_and_redates_nothing(tmp_path: Path) -> None:
    """A machine that starts in 1970 does not know how long the centre has had what; when the clock is right
    again, all that was confirmed is as old as before."""
    rig = Rig(tmp_path)
    try:
        keys: list[str] = [
            item.key for item in rig.committer.answer(lambda ledger: ledger.outbox("record", 0, 10))
        ]
        rig.committer.write(Confirm(tuple(keys), rig.clock.wall_ns()))
        rig.clock.wall_ahead_s = -rig.clock.wall_ns() / 1e9
        rig.keeper._clock_offset = rig.keeper._offset()  # it was so at the start: no step is seen
        until(lambda: rig.metrics.registry.get_sample_value("nii_edge_clock_untrusted") == 1)
        rig.clock.ahead_s = housekeeping.PRUNE_EVERY_S + 1
        time.sleep(2.5)
        statement = "SELECT min(archived_at_ns) FROM journal WHERE state = 'archived'"
        ((earliest,),) = rig.committer.answer(lambda ledger: ledger._rows(statement))
        assert earliest > housekeeping.EARLIEST_NS
    finally:
        rig.stop()


def test_a_clock_that_was_put_forgets_nothing(tmp_path: Path) -> None:
    """Eight days ahead all that is confirmed would be old enough to go."""
    rig = Rig(tmp_path)
    try:
        keys: list[str] = [
            item.key for item in rig.committer.answer(lambda ledger: ledger.outbox("record", 0, 10))
        ]
        rig.committer.write(Confirm(tuple(keys), rig.clock.wall_ns()))
        until(lambda: rig.metrics.registry.get_sample_value("nii_edge_clock_untrusted") == 0)
        rig.clock.wall_ahead_s = 8 * 24 * 3_600.0
        until(lambda: rig.metrics.registry.get_sample_value("nii_edge_clock_untrusted") == 1)
        stepped = rig.metrics.registry.get_sample_value("nii_edge_clock_stepped_seconds")
        assert stepped == pytest.approx(rig.clock.wall_ahead_s, abs=60)
        rig.clock.ahead_s = housekeeping.PRUNE_EVERY_S + 1
        time.sleep(2.5)
        assert rig.committer.answer(lambda ledger: ledger.stats()).pruned_to == 0
        rig.clock.ahead_s = housekeeping.CLOCK_TRUST_S + 60
        until(lambda: rig.committer.answer(lambda ledger: ledger.stats()).pruned_to == 10)
    finally:
        rig.stop()

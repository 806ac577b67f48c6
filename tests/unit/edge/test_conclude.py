"""Verdicts on their way to disk, through a real ledger: a CLEAR is one only while it is believed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from policies import policy

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.edge.case import Case
from nii_edge.edge.committer import Committer
from nii_edge.edge.conclude import Concluder
from nii_edge.edge.decide import Ruling
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.jobs import JobScan
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.threads import ignore
from nii_edge.ports import Intend
from nii_edge.records import Decision, Reason, Report, ScanId, ScanType
from nii_edge.telemetry import Metrics

DEADLINE_S = 30.0


def case(seq: int, arrived_at: float) -> Case:
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    job = JobScan(id=scan, scan_type=ScanType.OPERATIONAL, carton=None, frames=())
    return Case(job, 1, arrived_at, ())


class OffsetClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Rig:
    """A concluder on a real ledger, whose thread can be held as a disk that stalls holds it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.metrics = path, OffsetClock(), Metrics()
        self.told: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.committer = Committer(lambda: SqliteLedger(path, "e"), ignore)
        self.committer.start()
        self.slots = SlotPool(1, 4096)
        self.concluder = Concluder(
            policy(), ClearGate(), self.committer, self.slots, self.clock, self.metrics, DEADLINE_S
        )
        self.concluder.connect(self._tell)

    def _tell(self, report: Report, note: object) -> None:
        assert callable(note)
        note()
        self.told.put(report)

    def conclude(self, which: Case, decision: Decision = Decision.CLEAR) -> None:
        self.committer.write(Intend(which.id, ScanType.OPERATIONAL, 1))
        self.concluder.conclude(which, Ruling(decision))

    def hold(self) -> threading.Event:
        entered, go_on = threading.Event(), threading.Event()

        def wait(_: object) -> None:
            entered.set()
            assert go_on.wait(60)

        self.committer.ask(lambda _: None, wait)
        assert entered.wait(60)
        return go_on

    def close(self) -> None:
        self.concluder.close()
        self.committer.close()
        self.slots.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with closing(Rig(tmp_path / "ledger.db")) as made:
        yield made


def test_a_clear_in_time_is_clear(rig: Rig) -> None:
    rig.conclude(case(1, rig.clock.monotonic()))
    assert rig.told.get(timeout=60).verdict.decision is Decision.CLEAR


def test_a_clear_that_waits_past_its_deadline_is_unknown_on_disk_too(rig: Rig) -> None:
    """The scanner has said UNKNOWN by then: the books must not say that it was cleared."""
    go_on = rig.hold()
    rig.conclude(case(1, rig.clock.monotonic()))
    rig.clock.ahead_s = DEADLINE_S
    go_on.set()
    verdict = rig.told.get(timeout=60).verdict
    assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, Reason.TIMEOUT)
    assert "the ledger's turn came after" in verdict.detail
    rig.committer.close()
    with closing(SqliteLedger(rig.path, "e")) as ledger:
        found = ledger.find(verdict.id)
        assert found is not None
        assert found.report is not None
        assert found.report.verdict == verdict
        (row,) = ledger.counts()
        assert (row.clear, row.unknown, row.in_flight) == (0, 1, 0)


def test_an_alarm_stays_one_however_late_and_is_counted(rig: Rig) -> None:
    rig.conclude(case(1, rig.clock.monotonic() - DEADLINE_S), Decision.ALARM)
    assert rig.told.get(timeout=60).verdict.decision is Decision.ALARM
    late = rig.metrics.verdicts_late.labels("s", "ALARM")
    assert late._value.get() == 1

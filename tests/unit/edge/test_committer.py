"""The committer over a real ledger: what is said to be on disk is on disk, and failure is said once."""

from __future__ import annotations

import queue
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.edge import committer as committer_module
from nii_edge.edge.committer import MAX_GROUP, Committer
from nii_edge.errors import LedgerError
from nii_edge.ports import Change, Conclude, Intend, Ledger
from nii_edge.records import Decision, Report, ScanId, ScanType, Verdict

PATIENCE_S = 20


def scan(seq: int) -> ScanId:
    return ScanId(edge="e", scanner="s", epoch=1, seq=seq)


def intend(seq: int) -> Intend:
    return Intend(scan(seq), ScanType.OPERATIONAL, seq)


def conclude(seq: int) -> Conclude:
    verdict = Verdict(id=scan(seq), scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR)
    report = Report(
        alert_id=scan(seq).alert_id,
        report_id=scan(seq).report_id,
        verdict=verdict,
        received_at_ns=1,
        decided_at_ns=2,
    )
    return Conclude(report, None)


class Gate:
    """Holds the ledger's thread in a callback until opened, so that what is queued meanwhile is one group."""

    def __init__(self, committer: Committer) -> None:
        self._open = threading.Event()
        self._entered = threading.Event()
        committer.ask(lambda _: None, self._wait)
        assert self._entered.wait(PATIENCE_S)

    def _wait(self, _: object) -> None:
        self._entered.set()
        assert self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def committer(path: Path, failures: list[BaseException]) -> Iterator[Committer]:
    made = Committer(lambda: SqliteLedger(path, "e"), failures.append)
    made.start()
    yield made
    made.close()


def snapshot(path: Path, to: Path) -> Path:
    """The files as they lie on disk now: what a crash at this moment would leave."""
    to.mkdir()
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            shutil.copyfile(file, to / file.name)
    return to / path.name


def rows(path: Path) -> list[tuple[int, bool]]:
    """The scans in a ledger's file: number, and whether it has a report."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT seq, entry IS NOT NULL FROM scans ORDER BY seq").fetchall()


def test_a_callback_runs_only_when_its_change_is_on_disk(committer: Committer, path: Path) -> None:
    """A copy of the files taken inside each callback already holds the change it tells of."""
    seen: queue.SimpleQueue[list[tuple[int, bool]]] = queue.SimpleQueue()
    for name, change in (("a", intend(1)), ("b", intend(2)), ("c", conclude(1))):
        copy = path.parent / name
        committer.write(change, then=lambda copy=copy: seen.put(rows(snapshot(path, copy))))  # type: ignore[misc]
    states = [seen.get(timeout=PATIENCE_S) for _ in range(3)]
    assert (1, False) in states[0] or (1, True) in states[0]
    assert (2, False) in states[1]
    assert (1, True) in states[2]


def test_what_waits_goes_into_one_commit_and_is_told_in_order(committer: Committer, path: Path) -> None:
    """Changes queued while the ledger is busy are all on disk before the first of them is told."""
    gate = Gate(committer)
    told: list[int] = []
    first: queue.SimpleQueue[list[tuple[int, bool]]] = queue.SimpleQueue()
    committer.write(intend(1), then=lambda: first.put(rows(snapshot(path, path.parent / "first"))))
    for seq in range(2, 51):
        committer.write(intend(seq), then=lambda seq=seq: told.append(seq))  # type: ignore[misc]
    gate.open()
    assert [seq for seq, _ in first.get(timeout=PATIENCE_S)] == list(range(1, 51))
    committer.answer(lambda _: None)
    assert told == list(range(2, 51))


def test_more_than_a_group_loses_nothing(committer: Committer) -> None:
    """What does not fit into one commit goes into the next."""
    gate = Gate(committer)
    count = MAX_GROUP + 10
    for seq in range(1, count + 1):
        committer.write(intend(seq))
    gate.open()
    (row,) = committer.answer(lambda ledger: ledger.counts(), PATIENCE_S)
    assert row.received == count


def test_a_question_sees_every_change_queued_before_it(committer: Committer) -> None:
    """Whatever group they fall into, a change and then a question about it go together."""
    for seq in range(1, 30):
        committer.write(intend(seq))
        found = committer.answer(lambda ledger, seq=seq: ledger.find(scan(seq)))  # type: ignore[misc]
        assert found is not None


def test_close_writes_what_is_queued(path: Path) -> None:
    """Nothing handed over before `close` is lost by it."""
    failures: list[BaseException] = []
    committer = Committer(lambda: SqliteLedger(path, "e"), failures.append)
    committer.start()
    told: list[int] = []
    gate = Gate(committer)
    for seq in range(1, 2 * MAX_GROUP):
        committer.write(intend(seq), then=lambda seq=seq: told.append(seq))  # type: ignore[misc]
    gate.open()
    committer.close()
    assert told == list(range(1, 2 * MAX_GROUP))
    assert len(rows(path)) == len(told)
    assert failures == []


def test_a_ledger_that_cannot_be_opened_refuses_the_start(tmp_path: Path) -> None:
    """The ledger's own words come out of `start`, and no thread is left."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database at all" * 100)
    committer = Committer(lambda: SqliteLedger(path, "e"), lambda _: None)
    with pytest.raises(LedgerError, match="not an SQLite file"):
        committer.start()


def test_a_commit_is_timed_when_it_is_on_disk_and_only_then(path: Path) -> None:
    """One time for each group, before its callbacks; none for a commit that failed."""
    order: list[str] = []
    committer = Committer(
        lambda: SqliteLedger(path, "e"), lambda _: None, took=lambda s: order.append("took" if s > 0 else "?")
    )
    committer.start()
    committer.write(intend(1), then=lambda: order.append("told"))
    committer.answer(lambda _: None)
    committer.write(conclude(99), then=lambda: order.append("told"))
    committer.close()
    assert order == ["took", "told"]


Break = Callable[[Committer], None]
BREAKS: dict[str, Break] = {
    "a write": lambda committer: committer.write(conclude(99)),
    "a question": lambda committer: committer.ask(_refuse, lambda _: None),
}


def _refuse(ledger: Ledger) -> None:
    ledger.commit([conclude(99)])


@pytest.mark.parametrize("how", BREAKS)
def test_a_failing_ledger_is_said_once_and_nothing_is_told_afterwards(path: Path, how: str) -> None:
    """After a LedgerError: one call of `failed`, no callback any more, and `answer` raises."""
    failed: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    committer = Committer(lambda: SqliteLedger(path, "e"), failed.put)
    committer.start()
    told: list[str] = []
    gate = Gate(committer)
    BREAKS[how](committer)
    if how == "a write":
        committer.write(intend(1), then=lambda: told.append("with it"))
    gate.open()
    assert "verdict was to be given twice" in str(failed.get(timeout=PATIENCE_S))
    committer.write(intend(2), then=lambda: told.append("after it"))
    BREAKS[how](committer)
    with pytest.raises(LedgerError, match="has stopped"):
        committer.answer(lambda _: None, timeout_s=0.05)
    committer.close()
    assert told == []
    assert failed.empty()
    assert rows(path) == []


def test_the_ledger_is_closed_at_the_end_and_after_a_failure(path: Path) -> None:
    """The file can be opened again at once, whether the committer ended well or not."""
    failed: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    for change in (intend(1), conclude(99)):
        committer = Committer(lambda: SqliteLedger(path, "e"), failed.put)
        committer.start()
        committer.write(change)
        committer.close()
    SqliteLedger(path, "e").close()
    assert failed.qsize() == 1


@pytest.mark.parametrize("where", ["question", "then"])
def test_any_other_error_in_its_thread_is_a_failure_too(path: Path, where: str) -> None:
    """A ledger thread never ends in silence: whatever ended it, `failed` is called."""
    failed: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    committer = Committer(lambda: SqliteLedger(path, "e"), failed.put)
    committer.start()

    def burst(_: object) -> None:
        raise OSError("bad file descriptor")

    if where == "question":
        committer.ask(burst, lambda _: None)
    else:
        committer.ask(lambda _: None, burst)
    committer.close()
    assert failed.qsize() == 1


class CountingLedger(SqliteLedger):
    """Remembers what each commit held."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "e")
        self.commits: list[int] = []

    def commit(self, changes: Sequence[Change]) -> None:
        super().commit(changes)
        self.commits.append(len(changes))


def test_what_is_in_no_hurry_goes_to_disk_with_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intent waits for its verdict and shares its commit; alone it does not wait for long."""
    monkeypatch.setattr(committer_module, "COMPANY_S", PATIENCE_S)
    failures: list[BaseException] = []
    made = Committer(lambda: CountingLedger(tmp_path / "ledger.db"), failures.append)
    made.start()
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    made.write(intend(1), then=lambda: told.put("intent"), hurry=False)
    made.write(conclude(1), then=lambda: told.put("verdict"))
    assert [told.get(timeout=PATIENCE_S / 2), told.get(timeout=PATIENCE_S / 2)] == ["intent", "verdict"]
    monkeypatch.setattr(committer_module, "COMPANY_S", 0.01)
    made.write(intend(2), then=lambda: told.put("alone"), hurry=False)
    assert told.get(timeout=PATIENCE_S) == "alone"
    assert made.answer(lambda ledger: ledger.commits) == [2, 1]
    made.close()
    assert failures == []

"""What the SQLite ledger promises beyond its port: a chain that shows damage, and an end to growth."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.adapters import sqlite_ledger
from nii_edge.adapters.sqlite_ledger import PARKED_AT_ONCE, PRUNE_AT_ONCE, SqliteLedger
from nii_edge.errors import LedgerDamagedError, LedgerError
from nii_edge.ports import Conclude, Confirm, Intend, Miss, Park, Prune
from nii_edge.records import Decision, Gap, Preview, Reason, Report, ScanId, ScanType, Verdict, preview_of

LARGE = 1 << 40


def scan(seq: int) -> ScanId:
    return ScanId(edge="e", scanner="s", epoch=1, seq=seq)


def report(seq: int) -> Report:
    verdict = Verdict(
        id=scan(seq), scan_type=ScanType.OPERATIONAL, decision=Decision.UNKNOWN, reason=Reason.TIMEOUT
    )
    return Report(
        alert_id=scan(seq).alert_id,
        report_id=scan(seq).report_id,
        verdict=verdict,
        received_at_ns=1,
        decided_at_ns=2,
    )


def fill(ledger: SqliteLedger, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        picture = preview_of(f"picture {seq}".encode() * 10, "image/jpeg")
        ledger.commit([Intend(scan(seq), ScanType.OPERATIONAL, seq), Conclude(report(seq), picture)])


def archive(ledger: SqliteLedger, first: int, last: int, at_ns: int) -> None:
    ledger.commit([Confirm(tuple(scan(seq).alert_id for seq in range(first, last + 1)), at_ns)])


def verify(ledger: SqliteLedger, limit: int = 3) -> list[str]:
    """All slices of a verification."""
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        audit = ledger.verify(after, limit)
        found += audit.problems
        after = audit.next
    return found


def tamper(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of ten verdicts and a gap."""
    file = tmp_path / "ledger.db"
    with closing(SqliteLedger(file, "e")) as ledger:
        fill(ledger, 1, 5)
        ledger.commit([Miss(Gap(edge="e", scanner="s", epoch=1, first=6, last=6, noticed_at_ns=0))])
        fill(ledger, 7, 11)
        assert verify(ledger) == []
    return file


def problems(path: Path) -> list[str]:
    with closing(SqliteLedger(path, "e")) as ledger:
        return verify(ledger)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE journal SET body = CAST(replace(body, 'TIMEOUT', 'timeout') AS BLOB) WHERE entry = 4",
            "entry 4",
        ),
        ("UPDATE journal SET crc = crc + 1 WHERE entry = 4", "entry 4"),
        ("UPDATE journal SET link = zeroblob(32) WHERE entry = 4", "entry 4"),
        ("DELETE FROM journal WHERE entry = 4", "entries 4 to 4 are missing"),
        ("DELETE FROM journal WHERE entry = 11", "refers to entry 11"),
        ("UPDATE balance SET clear = clear + 1", "does not add up"),
        ("DELETE FROM scans WHERE seq = 3", "entry 3"),
        ("UPDATE scans SET seq = 99 WHERE seq = 3", "entry 3"),
        ("UPDATE journal SET key = replace(key, '0', '1') WHERE entry = 4", "entry 4"),
        ("UPDATE journal SET key = replace(key, substr(key, 1, 1), 'x') WHERE kind = 'gap'", "entry 6"),
    ],
)
def test_what_was_changed_behind_its_back_is_named(path: Path, statement: str, words: str) -> None:
    """A changed, lost or added row is found by verify, though SQLite's own check says ok."""
    tamper(path, statement)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = problems(path)
    assert any(words in problem for problem in found), found


def test_a_verification_from_beyond_the_end_finds_nothing_wrong(path: Path) -> None:
    """Whoever asks from an entry that there is not yet is told of no damage."""
    with closing(SqliteLedger(path, "e")) as ledger:
        audit = ledger.verify(1_000, 3)
        assert (audit.problems, audit.next) == ((), None)


def test_a_recomputed_tail_is_another_chain(path: Path) -> None:
    """Whoever noted the last link sees that history was written anew, however consistently."""
    with closing(SqliteLedger(path, "e")) as ledger:
        before = ledger.stats().last_link
    tamper(path, "DELETE FROM journal WHERE entry = 11")
    tamper(path, "DELETE FROM scans WHERE entry = 11")
    tamper(path, 'UPDATE balance SET received = received - 1, "unknown" = "unknown" - 1')
    with closing(SqliteLedger(path, "e")) as ledger:
        assert verify(ledger) == []
        assert ledger.stats().last_link != before


def test_flipped_bits_never_pass_unseen(path: Path, tmp_path: Path) -> None:
    """Any flipped bit in the file is an error, a finding, or changes nothing that was recorded."""
    with closing(SqliteLedger(path, "e")) as ledger:
        good = [(e.entry, e.record) for e in ledger.entries(0, 100)]
    data = path.read_bytes()
    rng = random.Random(5)
    for _ in range(150):
        bad = bytearray(data)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        copy = tmp_path / "flipped.db"
        for old in tmp_path.glob("flipped.db*"):
            old.unlink()
        copy.write_bytes(bad)
        try:
            with closing(SqliteLedger(copy, "e")) as ledger:
                found = verify(ledger)
                same = [(e.entry, e.record) for e in ledger.entries(0, 100)] == good
        except LedgerError:
            continue
        assert found or same


def test_a_damaged_body_is_a_damage_error_of_its_own(path: Path) -> None:
    """What cannot be read back is told apart from what cannot be written."""
    tamper(path, "UPDATE journal SET body = x'c1' WHERE entry = 1")
    with closing(SqliteLedger(path, "e")) as ledger, pytest.raises(LedgerDamagedError):
        ledger.find(scan(1))


def test_pruning_keeps_what_the_centre_does_not_have(path: Path) -> None:
    """Only confirmed entries go, oldest first, up to the first that must stay; the chain still verifies."""
    with closing(SqliteLedger(path, "e")) as ledger:
        archive(ledger, 1, 3, at_ns=100)
        archive(ledger, 5, 5, at_ns=100)
        ledger.commit([Park(scan(4).alert_id, "refused")])
        ledger.commit([Prune(archived_before_ns=100, picture_bytes=LARGE)])
        assert ledger.stats().pruned_to == 0, "confirmed at 100 is not before 100"
        ledger.commit([Prune(archived_before_ns=101, picture_bytes=LARGE)])
        stats = ledger.stats()
        assert (stats.pruned_to, stats.entries, stats.parked) == (5, 7, 1)
        assert verify(ledger) == []
        found = ledger.find(scan(4))
        assert found is not None
        assert found.report == report(4), "the centre does not have it"
        assert ledger.high_water() == {("s", 1): 11}
        assert sum(row.received for row in ledger.counts()) == 10
    assert problems(path) == []


def test_a_damaged_record_that_the_centre_refuses_is_not_given_a_new_crc(path: Path) -> None:
    """It would look whole where it stands at the end."""
    with closing(SqliteLedger(path, "e")) as ledger:
        ledger.commit([Park(scan(1).alert_id, "odd")])
        archive(ledger, 2, 3, at_ns=1)
    tamper(path, "UPDATE journal SET crc = crc + 1 WHERE entry = 1")
    with closing(SqliteLedger(path, "e")) as ledger, pytest.raises(LedgerDamagedError):
        ledger.commit([Prune(100, LARGE)])


def test_what_the_centre_refuses_for_good_does_not_keep_all_that_came_after_it(tmp_path: Path) -> None:
    """Refused records stay, more of them than one turn moves, and the others go; the chain is whole, and
    nothing is moved when nothing could go."""
    refused = 3 * PARKED_AT_ONCE + 10
    path = tmp_path / "ledger.db"
    with closing(SqliteLedger(path, "e")) as ledger:
        fill(ledger, 1, refused + 30)
        ledger.commit([Park(scan(seq).alert_id, "odd") for seq in range(1, refused + 1)])
        ledger.commit([Prune(100, LARGE)])
        assert (ledger.stats().pruned_to, ledger.stats().last_entry) == (0, refused + 30)
        archive(ledger, refused + 1, refused + 20, at_ns=1)
        ends = []
        for _ in range(6):
            ledger.commit([Prune(100, LARGE)])
            ends.append(ledger.stats().last_entry - refused - 30)
        assert ends == [PARKED_AT_ONCE, 2 * PARKED_AT_ONCE, 3 * PARKED_AT_ONCE, refused, refused, refused]
        stats = ledger.stats()
        assert (stats.entries, stats.parked, stats.pending) == (refused + 10, refused, 10)
        assert stats.pruned_to == refused + 20
        assert verify(ledger, 1_000) == []
        kept = {item.key for item in ledger.outbox("parked", 0, 1_000)}
    assert kept == {scan(seq).alert_id for seq in range(1, refused + 1)}
    assert problems(path) == []


def test_refused_records_that_are_taken_in_the_end_are_forgotten_in_their_time(tmp_path: Path) -> None:
    """Though the ledger does not look through those again that it has seen refused."""
    with closing(SqliteLedger(tmp_path / "ledger.db", "e")) as ledger:
        fill(ledger, 1, 12)
        ledger.commit([Park(scan(seq).alert_id, "odd") for seq in range(1, 11)])
        ledger.commit([Prune(100, LARGE)])
        archive(ledger, 1, 5, at_ns=1)
        ledger.commit([Prune(100, LARGE)])
        stats = ledger.stats()
        assert (stats.entries, stats.parked, stats.pending) == (7, 5, 2)


def test_forgetting_costs_no_more_where_many_are_refused(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine: it looks through the refused ones once, and not each time."""
    steps = []
    with closing(SqliteLedger(tmp_path / "ledger.db", "e")) as ledger:
        fill(ledger, 1, 3_010)
        ledger.commit([Park(scan(seq).alert_id, "odd") for seq in range(1, 3_001)])
        for _ in range(3):
            taken: list[None] = []
            ledger._db.set_progress_handler(partial(taken.append, None), 1)
            ledger.commit([Prune(100, LARGE)])
            steps.append(len(taken))
    assert steps[1] == steps[2] < steps[0] / 3


def test_a_clock_that_was_ahead_keeps_nothing_for_years(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was confirmed at a time that has not come yet counts as confirmed now, and goes after its time."""
    monkeypatch.setattr(sqlite_ledger, "REDATE_AT_ONCE", 2)
    with closing(SqliteLedger(path, "e")) as ledger:
        archive(ledger, 1, 5, at_ns=1_000_000)
        for _ in range(8):
            ledger.commit([Prune(100, LARGE, now_ns=200)])
        assert ledger.stats().pruned_to == 0
        ledger.commit([Prune(200, LARGE, now_ns=300)])
        assert ledger.stats().pruned_to == 0, "confirmed at 200 is not before 200"
        ledger.commit([Prune(201, LARGE, now_ns=301)])
        assert ledger.stats().pruned_to == 5
        assert verify(ledger) == []


def test_a_pruned_number_is_remembered_as_used(path: Path) -> None:
    """A number whose report was forgotten is not taken for one that was never seen."""
    with closing(SqliteLedger(path, "e")) as ledger:
        archive(ledger, 1, 3, at_ns=1)
        ledger.commit([Prune(2, LARGE)])
        found = ledger.find(scan(2))
        assert found is not None
        assert (found.report, found.pruned) == (None, True)
        assert ledger.find(scan(6)) is None
        assert ledger.find(scan(12)) is None


def test_a_wholly_pruned_ledger_goes_on_with_its_chain(path: Path) -> None:
    """When everything was forgotten the next entry still follows from the last one."""
    with closing(SqliteLedger(path, "e")) as ledger:
        end = ledger.stats().last_link
        keys = tuple(entry.key for entry in ledger.entries(0, 100))
        ledger.commit([Confirm(keys, 1), Prune(2, LARGE)])
        assert (ledger.stats().entries, ledger.stats().last_link) == (0, end)
    with closing(SqliteLedger(path, "e")) as ledger:
        assert ledger.stats().last_link == end
        fill(ledger, 12, 12)
        assert [entry.entry for entry in ledger.entries(0, 10)] == [12]
        assert verify(ledger) == []


def test_confirmed_pictures_make_room_and_others_stay(path: Path) -> None:
    """Over the budget the oldest confirmed pictures go first; those the centre lacks never."""
    with closing(SqliteLedger(path, "e")) as ledger:
        pictures = [item.key for item in ledger.outbox("preview", 0, 100)]
        ledger.commit([Confirm(tuple(pictures[:4]), 50)])
        each = ledger.stats().picture_bytes // len(pictures)
        ledger.commit([Prune(archived_before_ns=1, picture_bytes=7 * each + each // 2)])
        assert ledger.stats().pictures == 7
        ledger.commit([Prune(archived_before_ns=1, picture_bytes=0)])
        assert ledger.stats().pictures == 6
        assert [item.key for item in ledger.outbox("preview", 0, 100)] == pictures[4:]


def pictures_to_send(ledger: SqliteLedger, after: int = 0) -> list[str]:
    return [item.key for item in ledger.outbox("preview", after, 100)]


@pytest.mark.parametrize("restart", [False, True])
def test_pictures_that_were_refused_come_again_with_the_records_that_were(path: Path, restart: bool) -> None:
    """Once the centre takes a record that it had refused, and behind all that were sent already."""
    refused = preview_of(b"refused" * 10, "image/jpeg").sha256
    with closing(SqliteLedger(path, "e")) as ledger:
        shown = report(100), preview_of(b"refused" * 10, "image/jpeg")
        ledger.commit([Intend(scan(100), ScanType.OPERATIONAL, 1), Conclude(*shown)])
        ledger.commit([Park(scan(100).alert_id, "version"), Park(refused, "version")])
        fill(ledger, 101, 103)
        last = max(item[0] for item in ledger.outbox("preview", 0, 100))
        assert refused not in pictures_to_send(ledger)
        archive(ledger, 101, 102, 5)
        assert refused not in pictures_to_send(ledger), "what was never refused says nothing"
        if not restart:
            archive(ledger, 100, 100, 6)
            assert pictures_to_send(ledger, last) == [refused]
    if restart:
        with closing(SqliteLedger(path, "e")) as ledger:
            archive(ledger, 100, 100, 6)
            assert pictures_to_send(ledger, last) == [refused]
            ledger.commit([Confirm((refused,), 7)])
            assert refused not in pictures_to_send(ledger)


def test_refused_pictures_make_room_for_others(path: Path) -> None:
    """Only when there is no other: nothing confirmed is left."""
    with closing(SqliteLedger(path, "e")) as ledger:
        fill(ledger, 100, 104)
        keys = [preview_of(f"picture {seq}".encode() * 10, "image/jpeg").sha256 for seq in range(100, 105)]
        ledger.commit([Park(key, "too large") for key in keys[:3]])
        before = ledger.stats()
        each = before.picture_bytes // before.pictures
        ledger.commit([Prune(0, before.picture_bytes)])
        assert ledger.stats().pictures == before.pictures
        ledger.commit([Prune(0, before.picture_bytes - each - each // 2)])
        assert ledger.stats().pictures == before.pictures - 2
        ledger.commit([Prune(0, 0)])
        assert ledger.stats().pictures == before.pictures - 3
        assert set(keys[3:]) <= set(pictures_to_send(ledger))


def test_a_failed_commit_leaves_the_chain_where_it_was(path: Path) -> None:
    """An undone transaction does not advance the link: the next verdict verifies."""
    with closing(SqliteLedger(path, "e")) as ledger:
        with pytest.raises(LedgerError):
            ledger.commit(
                [
                    Intend(scan(20), ScanType.OPERATIONAL, 1),
                    Conclude(report(20), None),
                    Conclude(report(20), None),
                ]
            )
        fill(ledger, 12, 12)
        assert verify(ledger) == []
        assert ledger.find(scan(20)) is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("conclude"), st.integers(20, 40)),
        st.tuples(st.just("confirm"), st.integers(1, 40)),
        st.tuples(st.just("confirm picture"), st.integers(1, 40)),
        st.tuples(st.just("park"), st.integers(1, 40)),
        st.tuples(st.just("fail"), st.integers(41, 50)),
        st.tuples(st.just("prune"), st.sampled_from([0, 500, LARGE])),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_the_statistics_are_those_of_a_fresh_count(history: list[tuple[str, int]]) -> None:
    """They are kept in step with every change, and undone with it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with closing(SqliteLedger(path, "e")) as ledger:
            go_through(ledger, history)
            kept = ledger.stats()
        with closing(SqliteLedger(path, "e")) as again:
            counted = again.stats()
            assert kept._replace(file_bytes=0) == counted._replace(file_bytes=0)
            assert counted.entries == counted.last_entry - counted.pruned_to
            waiting = [item for kind in ("record", "preview") for item in again.outbox(kind, 0, LARGE)]  # type: ignore[arg-type]
            assert counted.pending_bytes == sum(stored_bytes(item.record) for item in waiting)
            assert verify(again) == []


def stored_bytes(record: object) -> int:
    return len(record.data if isinstance(record, Preview) else msgspec.msgpack.encode(record))


def go_through(ledger: SqliteLedger, history: list[tuple[str, int]]) -> None:
    fill(ledger, 1, 12)
    done = set(range(1, 13))
    for kind, value in history:
        if kind == "conclude" and value not in done:
            fill(ledger, value, value)
            done.add(value)
        elif kind == "confirm":
            archive(ledger, value, value, value)
        elif kind == "confirm picture":
            ledger.commit([Confirm((preview_of(f"picture {value}".encode() * 10, "image/jpeg").sha256,), 5)])
        elif kind == "park":
            ledger.commit([Park(scan(value).alert_id, "no reason")])
        elif kind == "fail":
            picture = preview_of(f"picture {value}".encode() * 10, "image/jpeg")
            twice = Conclude(report(value), picture)
            with pytest.raises(LedgerError):
                ledger.commit([Intend(scan(value), ScanType.OPERATIONAL, 1), twice, twice])
        elif kind == "prune":
            ledger.commit([Prune(30, value)])


def test_a_ledger_of_the_version_before_is_taken_over(path: Path) -> None:
    tamper(path, "DROP INDEX previews_archived")
    tamper(path, "UPDATE meta SET value = '3' WHERE key = 'schema'")
    with closing(SqliteLedger(path, "e")) as ledger:
        pictures = [item.key for item in ledger.outbox("preview", 0, 100)]
        ledger.commit([Confirm(tuple(pictures[:4]), 50), Prune(51, LARGE)])
        assert ledger.stats().pictures == len(pictures) - 4


def test_one_turn_forgets_only_so_much(tmp_path: Path) -> None:
    """Forgetting must not hold up verdicts: the rest goes in the next turns."""
    with closing(SqliteLedger(tmp_path / "many.db", "e")) as ledger:
        for first in range(1, 601, 100):
            changes = [
                part
                for seq in range(first, first + 100)
                for part in (Intend(scan(seq), ScanType.OPERATIONAL, seq), Conclude(report(seq), None))
            ]
            ledger.commit([*changes, Confirm(tuple(scan(seq).alert_id for seq in range(1, 601)), 5)])
        left = []
        for _ in range(4):
            ledger.commit([Prune(6, LARGE)])
            left.append(ledger.stats().entries)
        assert left == [600 - PRUNE_AT_ONCE, 600 - 2 * PRUNE_AT_ONCE, 0, 0]
        found = ledger.find(scan(600))
        assert found is not None
        assert found.pruned


def in_the_file_alone(path: Path, copy: Path) -> int:
    """How many scans the file holds without its log."""
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy)) as db:
        return int(db.execute("SELECT count(*) FROM scans").fetchone()[0])


def test_what_a_killed_process_left_in_the_log_is_in_the_file_before_it_is_told(
    tmp_path: Path,
) -> None:
    """Nobody knows whether that part of the log had reached the disk; what is written anew and synced has."""
    path = tmp_path / "fresh.db"
    SqliteLedger(path, "e").close()
    pid = os.fork()
    if not pid:
        try:
            fill(SqliteLedger(path, "e"), 1, 3)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert in_the_file_alone(path, path.with_name("before.db")) == 0
    with closing(SqliteLedger(path, "e")) as ledger:
        assert ledger.counts()[0].received == 3
        assert in_the_file_alone(path, path.with_name("after.db")) == 3


def test_settling_puts_the_log_into_the_file(tmp_path: Path) -> None:
    """As often as it is asked, and nothing else changes."""
    path = tmp_path / "fresh.db"
    with closing(SqliteLedger(path, "e")) as ledger:
        ledger.settle()
        for last in (1, 2):
            fill(ledger, last, last)
            assert in_the_file_alone(path, path.with_name("before.db")) == last - 1
            ledger.settle()
            assert in_the_file_alone(path, path.with_name("after.db")) == last
        assert verify(ledger) == []

"""What every archive must do, whatever it is made of. A new adapter is one more line in `ADAPTERS`."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.errors import LedgerError, RecordDamagedError
from nii_edge.ports import Archive, Page, Stored
from nii_edge.records import (
    Decision,
    Finding,
    Gap,
    Preview,
    Reason,
    Recall,
    Report,
    ScanId,
    ScanType,
    Verdict,
    preview_of,
)

Opener = Callable[[], Archive]
ADAPTERS: dict[str, Callable[[Path], Archive]] = {"sqlite": lambda folder: SqliteArchive(folder / "a.db")}

ALL = tuple(Decision)
BOTH = tuple(ScanType)
ALERTS = (Decision.ALARM, Decision.UNKNOWN)
LIVE = (ScanType.OPERATIONAL,)
PLENTY = 1 << 30


def report(
    seq: int,
    decision: Decision = Decision.ALARM,
    scan_type: ScanType = ScanType.OPERATIONAL,
    detail: str = "",
) -> Report:
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    reason = Reason.TIMEOUT if decision is Decision.UNKNOWN else None
    verdict = Verdict(id=scan, scan_type=scan_type, decision=decision, reason=reason, detail=detail)
    return Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=1, decided_at_ns=2
    )


def gap(first: int, last: int) -> Gap:
    return Gap(edge="e", scanner="s", epoch=1, first=first, last=last, noticed_at_ns=3)


def recall(seq: int, scan_type: ScanType = ScanType.OPERATIONAL) -> Recall:
    odd = Finding(
        detector="anomaly", kind="anomaly", label="odd_one_out", category="ANOMALY", score=0.6, why="w"
    )
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    later = ScanId(edge="e", scanner="s", epoch=1, seq=seq + 5)
    return Recall(scan=scan, scan_type=scan_type, because=later, finding=odd, noticed_at_ns=4)


def everything(archive: Archive, after: int = 0, limit: int = 1000) -> Page:
    return archive.after(after, limit, ALL, BOTH, PLENTY)


@pytest.fixture(params=ADAPTERS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same archive each time; what is open at the end is closed."""
    opened: list[Archive] = []

    def open_again() -> Archive:
        opened.append(ADAPTERS[request.param](tmp_path))
        return opened[-1]

    yield open_again
    for archive in opened:
        archive.close()


@pytest.fixture
def archive(opener: Opener) -> Archive:
    return opener()


def test_gives_back_what_was_stored(archive: Archive) -> None:
    """Reports and gaps come back equal, in order, numbered from 1, with the time of archiving."""
    first, hole = report(1), gap(2, 5)
    assert archive.store([first, hole], 77) == Stored(2, 0, (), ())
    page = everything(archive)
    assert [(i.number, i.archived_at_ns, i.report, i.gap) for i in page.items] == [
        (1, 77, first, None),
        (2, 77, None, hole),
    ]
    assert page.next == 2 == archive.last_number()


def test_a_recall_stands_beside_its_report(archive: Archive) -> None:
    """It has a number and an id of its own, is an alarm to who asks for alarms, and changes no report."""
    said, later = report(1, Decision.CLEAR), recall(1)
    assert later.alert_id != said.alert_id
    assert archive.store([said, later, later, recall(1, ScanType.NON_OPERATIONAL)], 7).archived == 2
    (found,) = archive.after(0, 9, ALERTS, LIVE, PLENTY).items
    assert (found.number, found.recall, found.report) == (2, later, None)
    assert [item.report for item in everything(archive).items] == [said, None]
    assert archive.counts().recalls == 1
    assert archive.counts().reports == {(ScanType.OPERATIONAL, Decision.CLEAR): 1}


def test_an_empty_archive_is_empty(archive: Archive) -> None:
    """Nothing stored: number 0, no records, no picture."""
    assert archive.last_number() == 0
    assert everything(archive) == Page((), 0)
    assert archive.preview("0" * 64) is None


def test_survives_closing(opener: Opener) -> None:
    """Records, pictures, numbers and counts are the same after opening again."""
    archive = opener()
    picture = preview_of(b"jpeg", "image/jpeg")
    archive.store([report(1), gap(2, 3), picture, report(4, Decision.CLEAR)], 1)
    before = everything(archive), archive.counts()
    archive.close()
    again = opener()
    assert (everything(again), again.counts()) == before
    assert again.preview(picture.sha256) == picture
    again.store([report(9)], 1)
    assert again.last_number() == 4


def test_a_duplicate_is_stored_once(archive: Archive) -> None:
    """The same record again, in the same commit or later, changes nothing but the count of duplicates."""
    assert archive.store([report(1), report(1)], 1) == Stored(1, 1, (), ())
    assert archive.store([report(1), report(2)], 2) == Stored(1, 1, (), ())
    assert [item.archived_at_ns for item in everything(archive).items] == [1, 2]
    assert archive.counts().duplicates == 2


def test_the_first_of_two_contradicting_records_stands(archive: Archive) -> None:
    """An alert id with other content is a conflict: named, counted, and without effect."""
    first, other = report(1, detail="a"), report(1, Decision.CLEAR)
    archive.store([first], 1)
    assert archive.store([other], 2) == Stored(0, 0, (first.alert_id,), ())
    assert [item.report for item in everything(archive).items] == [first]
    assert archive.counts().conflicts == 1


def test_a_picture_with_another_hash_is_refused(archive: Archive) -> None:
    """A picture whose bytes do not hash to its name is not stored; the rest of the commit is."""
    forged = Preview(sha256="ab" * 32, media_type="image/jpeg", data=b"other")
    assert archive.store([report(1), forged], 1) == Stored(1, 0, (), (forged.sha256,))
    assert archive.preview(forged.sha256) is None


def test_pictures_round_trip(archive: Archive) -> None:
    """A picture comes back by its hash; the same one again is a duplicate."""
    picture = preview_of(bytes(range(256)), "image/png")
    assert archive.store([picture, picture], 1) == Stored(1, 1, (), ())
    assert archive.preview(picture.sha256) == picture
    assert archive.counts().previews == 1


def test_filters_by_decision_and_scan_type(archive: Archive) -> None:
    """Only the kinds asked for come back; a gap is UNKNOWN and OPERATIONAL."""
    archive.store(
        [
            report(1, Decision.CLEAR),
            report(2, Decision.ALARM),
            report(3, Decision.UNKNOWN),
            report(4, Decision.ALARM, ScanType.NON_OPERATIONAL),
            gap(5, 6),
        ],
        1,
    )

    def numbers(decisions: tuple[Decision, ...], scan_types: tuple[ScanType, ...]) -> list[int]:
        return [i.number for i in archive.after(0, 100, decisions, scan_types, PLENTY).items]

    assert numbers(ALERTS, LIVE) == [2, 3, 5]
    assert numbers((Decision.UNKNOWN,), LIVE) == [3, 5]
    assert numbers((Decision.ALARM,), BOTH) == [2, 4]
    assert numbers((Decision.UNKNOWN,), (ScanType.NON_OPERATIONAL,)) == []
    assert numbers(ALL, BOTH) == [1, 2, 3, 4, 5]
    assert numbers((), BOTH) == []


def test_the_cursor_passes_what_does_not_match(archive: Archive) -> None:
    """After the last match, `next` is the end of the archive, so nothing is looked at twice."""
    archive.store([report(1), *(report(seq, Decision.CLEAR) for seq in range(2, 50))], 1)
    assert archive.after(0, 10, ALERTS, LIVE, PLENTY).next == 49
    assert archive.after(0, 1, ALERTS, LIVE, PLENTY).next == 1
    assert archive.after(1, 10, ALERTS, LIVE, PLENTY) == Page((), 49)
    assert archive.after(99, 10, ALERTS, LIVE, PLENTY) == Page((), 99)


def test_a_page_is_bounded_in_bytes(archive: Archive) -> None:
    """A page ends before `max_bytes`, gives at least one record, and `next` skips none."""
    archive.store([report(seq, detail="x" * 1000) for seq in range(1, 11)], 1)
    page = archive.after(0, 10, ALL, BOTH, 5_000)
    assert [i.number for i in page.items] == [1, 2, 3]
    assert page.next == 3
    assert 3_000 < len(msgspec.msgpack.encode(page.items)) <= 5_000
    assert [i.number for i in archive.after(3, 10, ALL, BOTH, 1).items] == [4]


def test_a_closed_archive_says_so(archive: Archive) -> None:
    """After `close`, which may come twice, every use is a LedgerError."""
    archive.close()
    archive.close()
    with pytest.raises(LedgerError, match="closed"):
        archive.store([report(1)], 1)


def test_counts_by_kind(archive: Archive) -> None:
    """Reports are counted by scan type and decision, gaps and pictures apart from them."""
    archive.store([report(1), report(2), report(3, Decision.UNKNOWN), gap(4, 4), preview_of(b"p", "x")], 1)
    counts = archive.counts()
    assert counts.reports == {
        (ScanType.OPERATIONAL, Decision.ALARM): 2,
        (ScanType.OPERATIONAL, Decision.UNKNOWN): 1,
    }
    assert (counts.gaps, counts.previews) == (1, 1)


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(BOTH)), max_size=40),
    decisions=st.sets(st.sampled_from(ALL)),
    scan_types=st.sets(st.sampled_from(BOTH)),
    limit=st.integers(1, 7),
    cuts=st.sets(st.integers(0, 40)),
)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_paging_gives_every_match_once(
    adapter: str,
    kinds: list[tuple[Decision, ScanType]],
    decisions: set[Decision],
    scan_types: set[ScanType],
    limit: int,
    cuts: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A reader that follows `next` while records arrive sees each match exactly once, in order."""
    archive = ADAPTERS[adapter](tmp_path_factory.mktemp("paging"))
    seen: list[str] = []
    cursor = 0

    def read() -> None:
        nonlocal cursor
        while True:
            page = archive.after(cursor, limit, tuple(decisions), tuple(scan_types), 700)
            seen.extend(item.report.alert_id for item in page.items if item.report)
            cursor = page.next
            if not page.items:
                return

    reports = [report(seq, *kind) for seq, kind in enumerate(kinds, start=1)]
    try:
        for index, one in enumerate(reports):
            archive.store([one], 1)
            if index in cuts:
                read()
        read()
    finally:
        archive.close()
    assert seen == [
        r.alert_id for r in reports if r.verdict.decision in decisions and r.verdict.scan_type in scan_types
    ]


# ---- SQLite alone -----------------------------------------------------------------------------


def test_sqlite_a_failed_commit_leaves_nothing(tmp_path: Path) -> None:
    """If one item cannot be stored, none is, and the archive is refused until opened again."""
    path = tmp_path / "a.db"
    SqliteArchive(path).close()
    _alter(
        path,
        "CREATE TRIGGER fault BEFORE INSERT ON records WHEN NEW.decision = 'CLEAR' "
        "BEGIN SELECT RAISE(ABORT, 'no more'); END",
    )
    archive = SqliteArchive(path)
    with pytest.raises(LedgerError, match="no more"):
        archive.store([report(1), report(2, Decision.CLEAR)], 1)
    with pytest.raises(LedgerError, match="not used any more"):
        archive.store([report(3)], 1)
    archive.close()
    again = SqliteArchive(path)
    try:
        assert everything(again) == Page((), 0)
    finally:
        again.close()


def test_sqlite_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one process has the file, another is refused by name and told why."""
    archive = SqliteArchive(tmp_path / "a.db")
    code = (
        "import sys; from pathlib import Path; from nii_edge.adapters.sqlite_archive import SqliteArchive; "
        "SqliteArchive(Path(sys.argv[1]))"
    )
    try:
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.db")], capture_output=True, text=True, check=False
        )
    finally:
        archive.close()
    assert second.returncode != 0
    assert "LedgerError" in second.stderr
    assert f"{tmp_path / 'a.db'}: another daemon is using it" in second.stderr


def test_sqlite_refuses_another_schema(tmp_path: Path) -> None:
    """A file of a newer schema is refused, with both numbers in the message."""
    path = tmp_path / "a.db"
    SqliteArchive(path).close()
    _alter(path, "UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(LedgerError, match="archive of schema 99, this version reads schema 2"):
        SqliteArchive(path)


def test_sqlite_takes_over_an_archive_of_schema_1(tmp_path: Path) -> None:
    """It knew no recalls; its records, numbers and pictures stay, and recalls go in from now on."""
    path = tmp_path / "a.db"
    old = SqliteArchive(path)
    old.store([report(1), gap(2, 3), report(4, Decision.CLEAR)], 1)
    before = everything(old)
    old.close()
    with sqlite3.connect(path) as file:
        (made,) = file.execute("SELECT sql FROM sqlite_master WHERE name = 'records'").fetchone()
        file.execute("ALTER TABLE records RENAME TO newer")
        file.execute(made.replace(", 'recall'", ""))
        file.execute("INSERT INTO records SELECT * FROM newer")
        file.execute("DROP TABLE newer")
        file.execute("CREATE INDEX records_by_kind ON records (scan_type, decision)")
        file.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    file.close()
    archive = SqliteArchive(path)
    assert everything(archive) == before
    archive.store([recall(1)], 2)
    assert [item.number for item in everything(archive).items] == [1, 2, 3, 4]
    archive.close()


def test_sqlite_refuses_a_file_of_another_purpose(tmp_path: Path) -> None:
    """An edge's ledger given as the archive is refused instead of being mixed up with it."""
    path = tmp_path / "a.db"
    SqliteArchive(path).close()
    _alter(path, "UPDATE meta SET value = 'ledger' WHERE key = 'purpose'")
    with pytest.raises(LedgerError, match="'ledger', expected a"):
        SqliteArchive(path)


def test_sqlite_notices_damage(tmp_path: Path) -> None:
    """A flipped byte in a record or a picture, which SQLite itself does not notice, is a LedgerError."""
    path = tmp_path / "a.db"
    archive = SqliteArchive(path)
    picture = preview_of(b"picture", "image/png")
    archive.store([report(3), report(1, detail="abc"), report(2), picture], 1)
    archive.close()
    _alter(
        path,
        "UPDATE records SET body = CAST(replace(body, 'abc', 'abd') AS BLOB) WHERE number = 2",
    )
    _alter(path, "UPDATE previews SET data = CAST('Picture' AS BLOB)")
    archive = SqliteArchive(path)
    try:
        page = everything(archive)
        assert ([item.number for item in page.items], page.next) == ([1], 1), "what is before it is given"
        with pytest.raises(RecordDamagedError, match="record 2 is damaged") as damage:
            everything(archive, after=page.next)
        assert damage.value.number == 2
        with pytest.raises(LedgerError, match="is damaged"):
            archive.preview(picture.sha256)
        assert [item.number for item in everything(archive, after=2).items] == [3]
    finally:
        archive.close()


def test_sqlite_refuses_what_is_not_a_database(tmp_path: Path) -> None:
    """A text file, and a folder, given as the archive are refused by name."""
    (tmp_path / "text").write_text("not a database" * 1000)
    for name in ("text", "."):
        with pytest.raises(LedgerError, match=str(tmp_path)):
            SqliteArchive(tmp_path / name)


def test_sqlite_writes_through_to_the_disk(tmp_path: Path) -> None:
    """Before `store` returns, the record is in the files, as a copy taken by another process shows."""
    archive = SqliteArchive(tmp_path / "a.db")
    try:
        archive.store([report(1)], 1)
        for suffix in ("", "-wal"):
            subprocess.run(["cp", f"{tmp_path}/a.db{suffix}", f"{tmp_path}/b.db{suffix}"], check=True)  # noqa: S607
    finally:
        archive.close()
    copy = SqliteArchive(tmp_path / "b.db")
    try:
        assert [item.report for item in everything(copy).items] == [report(1)]
    finally:
        copy.close()


def _alter(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()

"""A damaged ledger: found at the start, set aside, and what it owed is still paid."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from harness import until

from nii_edge.adapters.ledger_rescue import open_ledger
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.errors import LedgerError
from nii_edge.ports import Conclude, Confirm, Intend, Miss
from nii_edge.records import Decision, Gap, Reason, Report, ScanId, ScanType, Verdict, preview_of


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Forty verdicts, the first ten archived, and one scan in flight."""
    file = tmp_path / "ledger.db"
    with closing(SqliteLedger(file, "e")) as ledger:
        for seq in range(1, 41):
            ledger.commit([Intend(scan(seq), ScanType.OPERATIONAL, 1), Conclude(report(seq), None)])
        ledger.commit([Confirm(tuple(scan(seq).alert_id for seq in range(1, 11)), 5)])
        ledger.commit([Intend(scan(41), ScanType.OPERATIONAL, 1)])
    return file


def owed(ledger: SqliteLedger) -> tuple[set[int], set[int]]:
    """Numbers whose report is still to be sent as it was, and numbers without a verdict."""
    sent = {i.record.verdict.id.seq for i in ledger.outbox("record", 0, 1000)}  # type: ignore[union-attr]
    return sent, {intent.scan.seq for intent in ledger.in_flight()}


def test_a_whole_ledger_is_opened_as_it_is(path: Path) -> None:
    """No damage, no new file."""
    opened = open_ledger(path, "e")
    with closing(opened.ledger):
        assert opened.damage == ()
        assert owed(opened.ledger) == (set(range(11, 41)), {41})
    assert list(path.parent.glob("*damaged*")) == []


def test_a_changed_record_becomes_a_scan_without_a_verdict_and_the_rest_is_kept(path: Path) -> None:
    """One bad row costs that row: its scan gets a new verdict, the others go out as they were."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET body = CAST(x'00' || body AS BLOB) WHERE entry = 20")
    opened = open_ledger(path, "e")
    with closing(opened.ledger) as ledger:
        assert any("entry 20" in problem for problem in opened.damage)
        sent, open_scans = owed(ledger)
        assert sent == set(range(11, 41)) - {20}
        assert open_scans == {20, 41}
        assert ledger.high_water() == {("s", 1): 41}
        found = ledger.find(scan(5))
        assert found is not None
        assert found.pruned, "an archived number is still known as used"
    (aside,) = path.parent.glob("ledger.damaged-*.db")
    assert aside.stat().st_size > 0


@pytest.mark.parametrize("part", ["journal_pending", "in_flight", "scans_by_entry"])
@pytest.mark.parametrize("place", ["the page's kind", "an entry"])
def test_a_damaged_index_is_found_at_the_start_and_nothing_of_it_is_used(
    path: Path, part: str, place: str
) -> None:
    """What the chain does not run through: a daemon that found it out only afterwards would end, and so at
    every start; a record that the index does not have would never be sent."""
    if (part, place) == ("in_flight", "an entry"):
        pytest.skip("it is of the scan's own name, which the rows of the scans say again")
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (part,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    bad = bytearray(path.read_bytes())
    start = (page - 1) * size
    cell = start + int.from_bytes(
        bad[start + 8 : start + 10], "big"
    )  # a leaf's first: its length, then its row
    bad[start if place == "the page's kind" else cell + bad[cell]] ^= 8
    path.write_bytes(bad)
    opened = open_ledger(path, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        assert owed(ledger) == (set(range(11, 41)), {41})


@pytest.mark.parametrize("table", ["journal", "previews"])
def test_a_flipped_bit_in_an_index_of_names_is_found_at_the_start(path: Path, table: str) -> None:
    """Wherever it is: what is not found by its name would never be confirmed."""
    with closing(SqliteLedger(path, "e")) as ledger:
        for seq in range(42, 50):
            picture = preview_of(f"picture {seq}".encode(), "image/jpeg")
            shown = msgspec.structs.replace(report(seq), preview=picture.sha256)
            ledger.commit([Intend(scan(seq), ScanType.OPERATIONAL, 1), Conclude(shown, picture)])
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (f"sqlite_autoindex_{table}_1",)
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    whole = path.read_bytes()
    begin = (page - 1) * size
    assert whole[begin] == 10, "one leaf"
    content = int.from_bytes(whole[begin + 5 : begin + 7], "big")
    rng = random.Random(5)
    for place in rng.sample(range(begin + content, begin + size), 40):
        bad = bytearray(whole)
        bad[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        opened = open_ledger(path, "e")
        opened.ledger.close()
        assert opened.damage, f"at {place - begin} of the page"


def test_a_file_that_is_no_database_any_more_is_set_aside(path: Path) -> None:
    """Nothing can be saved of it, which is said; the daemon can go on."""
    path.write_bytes(b"garbage" * 1000)
    opened = open_ledger(path, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        assert owed(ledger) == (set(), set())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE previews SET sha256 = CAST(x'ff' || substr(sha256, 2) AS TEXT) WHERE number = 1",
        "UPDATE previews SET sha256 = replace(sha256, substr(sha256, 1, 1), 'g') WHERE number = 1",
        "UPDATE sqlite_master SET sql = replace(sql, 'carton', 'caruon') WHERE name = 'scans'",
        "UPDATE sqlite_master SET sql = replace(sql, 'parked', 'parkee') WHERE name = 'journal'",
        "UPDATE journal SET kind = 'foo' WHERE entry = 20",
        "UPDATE balance SET scan_type = 'xx'",
        "DROP TABLE anchor",
        "UPDATE anchor SET entry = 'x'",
    ],
)
def test_what_would_end_the_daemon_later_is_found_at_the_start(path: Path, damage: str) -> None:
    """The name of a picture that cannot be read, a column that there is not: whole pictures go along."""
    pictures = [preview_of(f"picture {seq}".encode(), "image/jpeg") for seq in (44, 45)]
    with closing(SqliteLedger(path, "e")) as ledger:
        for seq, picture in zip((44, 45), pictures, strict=True):
            shown = msgspec.structs.replace(report(seq), preview=picture.sha256)
            ledger.commit([Intend(scan(seq), ScanType.OPERATIONAL, 1), Conclude(shown, picture)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(damage)
    opened = open_ledger(path, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        sent, open_scans = owed(ledger)
        assert {*sent, *open_scans} == {*range(11, 42), 44, 45}
        if "previews" in damage:
            assert [item.record for item in ledger.outbox("preview", 0, 10)] == pictures[1:]


RESCUE = """
import sys
from pathlib import Path
from nii_edge.adapters.ledger_rescue import open_ledger
open_ledger(Path(sys.argv[1]), "e")
"""


def test_a_rescue_that_is_killed_is_done_again(tmp_path: Path) -> None:
    """As soon as it has begun to write; nothing that was owed is lost with it."""
    path = tmp_path / "ledger.db"
    last = 3_000
    with closing(SqliteLedger(path, "e")) as ledger:
        ledger.commit([
            change
            for seq in range(1, last)
            for change in (Intend(scan(seq), ScanType.OPERATIONAL, 1), Conclude(report(seq), None))
        ])  # fmt: skip
        ledger.commit([Intend(scan(last), ScanType.OPERATIONAL, 1)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET body = CAST(x'00' || body AS BLOB) WHERE entry = 20")
    rescuer = subprocess.Popen([sys.executable, "-c", RESCUE, str(path)])
    until(lambda: len(list(tmp_path.glob("ledger*.db"))) > 1, what="a second file")
    rescuer.kill()
    rescuer.wait()
    opened = open_ledger(path, "e")
    with closing(opened.ledger) as ledger:
        sent = {item.key for item in ledger.outbox("record", 0, last)}
        assert sent == {scan(seq).alert_id for seq in range(1, last) if seq != 20}
        assert {intent.scan.seq for intent in ledger.in_flight()} == {20, last}
    assert len(list(tmp_path.glob("ledger.damaged-*.db"))) == 1


def test_a_rescue_that_was_cut_off_before_the_last_step_is_finished(path: Path) -> None:
    """The damaged file is aside, the fresh one not yet in its place."""
    fresh = path.rename(path.with_name("ledger.rescue.db"))
    Path(f"{path}-wal").write_bytes(b"of the damaged one")
    with closing(open_ledger(path, "e").ledger) as ledger:
        assert owed(ledger) == (set(range(11, 41)), {41})
    assert not fresh.exists()
    assert path.with_name("ledger.damaged-1.db-wal").read_bytes() == b"of the damaged one"


def test_a_disk_that_takes_no_rescue_loses_nothing(path: Path) -> None:
    """It is said, and the damaged ledger stays where it is until there is room."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET body = CAST(x'00' || body AS BLOB) WHERE entry = 20")
    most = 20 * 4096
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n{RESCUE}"
    refused = subprocess.run(
        [sys.executable, "-c", limited, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "LedgerError" in refused.stderr or "LedgerFullError" in refused.stderr, refused.stderr
    with closing(open_ledger(path, "e").ledger) as ledger:
        assert owed(ledger) == (set(range(11, 41)) - {20}, {20, 41})


def test_a_disk_that_is_full_at_the_last_step_loses_nothing_either(tmp_path: Path) -> None:
    """The log took all of it, the file does not: what is saved gets no name before it is in the file."""
    path, last = tmp_path / "ledger.db", 12_000
    with closing(SqliteLedger(path, "e")) as ledger:
        ledger.commit([
            Miss(Gap(edge="e", scanner="s", epoch=1, first=seq, last=seq, noticed_at_ns=1,
                     scan_type=ScanType.OPERATIONAL))
            for seq in range(1, last + 1)
        ])  # fmt: skip
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE journal SET state = 'odd' WHERE entry = 1")
    most = path.stat().st_size - 200_000
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n{RESCUE}"
    refused = subprocess.run(
        [sys.executable, "-c", limited, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "LedgerError" in refused.stderr or "LedgerFullError" in refused.stderr, refused.stderr
    assert not list(tmp_path.glob("ledger.damaged-*"))
    away = path.rename(tmp_path / "away.db")
    with closing(open_ledger(path, "e").ledger) as ledger:
        assert ledger.stats().entries == 0, "a part is never taken for all of it"
    away.rename(path)
    with closing(open_ledger(path, "e").ledger) as ledger:
        assert ledger.stats().pending == last


def test_random_damage_never_loses_a_number_in_silence(path: Path, tmp_path: Path) -> None:
    """Whatever bits flip or bytes go: every unconfirmed scan is still owed, or the damage is told."""
    data = path.read_bytes()
    rng = random.Random(11)
    refused: list[str] = []
    for round_number in range(24):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        bad = bytearray(data)
        if round_number % 3 == 0:
            del bad[rng.randrange(len(bad)) :]
        for _ in range(rng.randrange(1, 30)):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        copy = folder / "ledger.db"
        copy.write_bytes(bad)
        try:
            opened = open_ledger(copy, "e")
        except LedgerError as error:  # it now says that it is another edge's, or of another version
            refused.append(str(error))
            continue
        with closing(opened.ledger) as ledger:
            sent, open_scans = owed(ledger)
            if not opened.damage:
                assert sent == set(range(11, 41))
                assert open_scans == {41}
    assert all("ledger.db" in words for words in refused)
    assert len(refused) < 8


MANY = 400


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Four hundred verdicts, none archived, in a journal of many pages, and three scans in flight, all of
    cartons with names; the folder's name is one that addresses would take apart."""
    folder = tmp_path / "lane #1 50%"
    folder.mkdir()
    file = folder / "ledger.db"
    with closing(SqliteLedger(file, "e")) as ledger:
        for seq in range(1, MANY + 1):
            intent = Intend(scan(seq), ScanType.OPERATIONAL, 1, f"C{seq}")
            ledger.commit([intent, Conclude(report(seq), None)])
        ledger.commit([Intend(scan(MANY + k), ScanType.OPERATIONAL, 1, f"C{MANY + k}") for k in (1, 2, 3)])
    return file


def leaves(path: Path, table: str) -> list[int]:
    """Numbers of the pages below a table's root, in its order."""
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    data = path.read_bytes()
    page = data[(root - 1) * size : root * size]
    assert page[0] in (2, 5), "an inner page"
    places = [
        int.from_bytes(page[12 + 2 * k : 14 + 2 * k], "big") for k in range(int.from_bytes(page[3:5], "big"))
    ]
    return [int.from_bytes(page[at : at + 4], "big") for at in places] + [int.from_bytes(page[8:12], "big")]


def spoil(path: Path, page: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("which", ["first", "middle", "last", "two"])
def test_a_lost_page_of_the_journal_costs_no_more_than_what_is_on_it(large: Path, which: str) -> None:
    """What lies before and behind it goes out as it was; scans whose report is gone get a verdict anew."""
    pages = leaves(large, "journal")
    lost = {
        "first": pages[:1], "middle": pages[len(pages) // 2 :][:1], "last": pages[-1:],
        "two": [pages[2], pages[-3]],
    }[which]  # fmt: skip
    assert len(pages) > 8
    for page in lost:
        spoil(large, page)
    opened = open_ledger(large, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        sent, open_scans = owed(ledger)
        assert not sent & open_scans
        assert sent | open_scans == set(range(1, MANY + 4))
        assert len(sent) >= MANY * (1 - 1.6 * len(lost) / len(pages))
        names = {intent.scan.seq: intent.carton for intent in ledger.in_flight()}
        assert names == {seq: f"C{seq}" for seq in open_scans}


@pytest.mark.parametrize("which", [0, 1])
def test_a_lost_page_of_scans_loses_none_that_is_in_flight_elsewhere(large: Path, which: int) -> None:
    """What has a report is known by that."""
    spoil(large, leaves(large, "scans")[which])
    opened = open_ledger(large, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        assert owed(ledger) == (set(range(1, MANY + 1)), {MANY + 1, MANY + 2, MANY + 3})


def test_a_lost_page_of_epochs_forgets_no_number(large: Path) -> None:
    """Whole records say which numbers were used: none of them is judged again, none counts as skipped."""
    with closing(SqliteLedger(large, "e")) as ledger:
        ledger.commit([Confirm(tuple(scan(seq).alert_id for seq in range(1, MANY + 1)), 5)])
    with closing(sqlite3.connect(large)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'epochs'").fetchone()
    spoil(large, page)
    opened = open_ledger(large, "e")
    with closing(opened.ledger) as ledger:
        assert opened.damage
        assert ledger.high_water() == {("s", 1): MANY + 3}
        found = ledger.find(scan(50))
        assert found is not None
        assert found.pruned

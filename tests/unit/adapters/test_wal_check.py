"""A write-ahead log in which bits have flipped: what SQLite would leave out in silence is named."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nii_edge.adapters.ledger_rescue import open_ledger
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.wal_check import TORN_COMMITS, wal_damage
from nii_edge.ports import Intend
from nii_edge.records import ScanId, ScanType

COMMITS = 30


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The files of a ledger of 30 scans, as a process that was killed leaves them."""
    (tmp_path / "crashed").mkdir()
    with closing(SqliteLedger(tmp_path / "ledger.db", "e")) as ledger:
        for seq in range(1, COMMITS + 1):
            ledger.commit([Intend(ScanId(edge="e", scanner="s", epoch=1, seq=seq), ScanType.OPERATIONAL, 1)])
        for ending in ("", "-wal"):
            shutil.copyfile(tmp_path / f"ledger.db{ending}", tmp_path / "crashed" / f"ledger.db{ending}")
    return tmp_path / "crashed" / "ledger.db"


def there(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM scans").fetchone()[0])


def test_a_whole_log_is_whole(crashed: Path) -> None:
    """Also cut anywhere, as a power cut may leave it: what is missing at the end was never promised."""
    log = Path(f"{crashed}-wal")
    assert wal_damage(log) is None
    assert wal_damage(Path(f"{crashed}-none")) is None
    data, rng = log.read_bytes(), random.Random(2)
    for _ in range(12):
        log.write_bytes(data[: rng.randrange(len(data))])
        assert wal_damage(log) is None
    log.write_bytes(data)
    with closing(open_ledger(crashed, "e").ledger) as ledger:
        assert len(ledger.in_flight()) == COMMITS


def test_flipped_bits_are_named_or_cost_no_more_than_a_power_cut_may(crashed: Path, tmp_path: Path) -> None:
    """Wherever they are; the damaged log is kept."""
    data, rng = Path(f"{crashed}-wal").read_bytes(), random.Random(3)
    named = 0
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(crashed, folder / "ledger.db")
        bad = bytearray(data)
        bad[rng.randrange(32, len(bad))] ^= 1 << rng.randrange(8)
        (folder / "ledger.db-wal").write_bytes(bad)
        opened = open_ledger(folder / "ledger.db", "e")
        with closing(opened.ledger) as ledger:
            found = len(ledger.in_flight())
        if opened.damage:
            named += 1
            assert found < COMMITS
            assert "commits from there on cannot be read" in opened.damage[0]
            (aside,) = folder.glob("ledger.damaged-1.db-wal")
            assert aside.read_bytes() == bytes(bad)
        else:
            assert found >= COMMITS - TORN_COMMITS
    assert named > 30


def test_what_is_no_log_is_left_to_sqlite(tmp_path: Path) -> None:
    """It has its own words for it."""
    for data in (b"", b"x" * 31, b"x" * 5_000, bytes(5_000)):
        (tmp_path / "a-wal").write_bytes(data)
        assert wal_damage(tmp_path / "a-wal") is None

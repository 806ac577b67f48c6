"""The cartons that passed, in an SQLite file of their own: what a consignment has taught outlives a restart.

Losing it costs what a restart without it does, so nothing waits for the disk: a killed process loses nothing
that was committed, a power cut the last seconds. A file that is damaged, of another version or not of our
making is set aside, one at a time.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from nii_edge.adapters.sqlite_common import ensure_schema, transaction, translated
from nii_edge.errors import LedgerDamagedError, LedgerError
from nii_edge.ports import CartonRow, CartonTold
from nii_edge.records import ScanType

PURPOSE, SCHEMA = "cartons", 1
MOST_ROWS = 50_000
"""Cartons that are kept, 1 to 3 kB each: of more, the oldest are forgotten."""
MAX_BODY = 64 * 1024
MOST_BYTES = 256 << 20
"""Of all bodies that are read at a start, the newest first."""
BUSY_MS = 1_000
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"  # as `ensure_schema` makes it
_CARTONS = (
    "CREATE TABLE cartons (number INTEGER PRIMARY KEY, scan_type TEXT NOT NULL, master TEXT NOT NULL, "
    "carton TEXT NOT NULL, passed_ns INTEGER NOT NULL, told INTEGER NOT NULL, body BLOB NOT NULL, "
    "crc INTEGER NOT NULL)"
)
_INDEX = "CREATE UNIQUE INDEX cartons_by_name ON cartons (scan_type, master, carton)"


class Opened(NamedTuple):
    """A store, and what had to be set aside for it, in words; empty if nothing."""

    store: SqliteCartons
    set_aside: str


def open_cartons(path: Path, stamp: str) -> Opened:
    """The store, a fresh one if what is there cannot be used. `stamp`: what cartons are measured and compared
    with; those of another one are forgotten.

    Raises:
        LedgerError: it can be neither opened nor set aside.
    """
    try:
        return Opened(SqliteCartons(path, stamp), "")
    except LedgerDamagedError as error:
        aside = _set_aside(path)
        return Opened(SqliteCartons(path, stamp), f"it is {aside.name} now: {error}")


def _set_aside(path: Path) -> Path:
    """Out of the way, with its log; in the place of the one before."""
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    try:
        for ending in ("-wal", "-shm", ""):
            Path(f"{aside}{ending}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                Path(f"{path}{ending}").rename(f"{aside}{ending}")
    except OSError as error:
        raise LedgerError(f"{path}: cannot be set aside: {error}") from error
    return aside


class SqliteCartons:
    """ports.CartonStore on a file."""

    def __init__(self, path: Path, stamp: str) -> None:
        """Raises LedgerError; LedgerDamagedError if the file is not to be used."""
        self._path = path
        with translated(path):
            self._db = sqlite3.connect(
                path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
        self._db.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            self._prepare(stamp)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, stamp: str) -> None:
        with translated(self._path):
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("PRAGMA journal_mode=WAL").fetchall()
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._check_tables(fresh_too=True)
        try:
            ensure_schema(
                self._db, self._path, purpose=PURPOSE, version=SCHEMA, statements=(_CARTONS, _INDEX)
            )
        except LedgerError as error:
            if error.__cause__ is not None:  # what SQLite says
                raise
            raise LedgerDamagedError(str(error)) from error
        with translated(self._path):
            self._check_tables()
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise LedgerDamagedError(f"{self._path}: the file is damaged: {found}")
            with transaction(self._db):
                self._stamp(stamp)

    def _check_tables(self, *, fresh_too: bool = False) -> None:
        """Ours and no others: a view or trigger could do anything when it is read or written."""
        found = {sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        if found != {_META, _CARTONS, _INDEX} and not (fresh_too and not found):
            raise LedgerDamagedError(f"{self._path}: its tables are not those of this version")

    def _stamp(self, stamp: str) -> None:
        before = self._db.execute("SELECT value FROM meta WHERE key = 'stamp'").fetchone()
        if before != (stamp,):
            self._db.execute("DELETE FROM cartons")
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('stamp', ?)", (stamp,))

    def rows(self) -> tuple[list[CartonRow], int]:
        """All that can be read, in the order in which they passed, and no more than there may be; and how
        many others there were, which are deleted: they would keep their cartons from being written again."""
        found: list[CartonRow] = []
        numbers: list[tuple[int]] = []
        room = MOST_BYTES
        query = (
            "SELECT number, scan_type, master, carton, passed_ns, told, body, crc FROM cartons "
            "WHERE length(body) <= ? AND typeof(body) = 'blob' ORDER BY number DESC LIMIT ?"
        )
        with translated(self._path), closing(self._db.cursor()) as cursor:
            for row in cursor.execute(query, (MAX_BODY, MOST_ROWS)):
                number, scan_type, master, carton, passed_ns, told, body, crc = row
                room -= len(body)
                if room < 0:
                    break
                with suppress(ValueError):  # no kind of scan that there is
                    if zlib.crc32(body) == crc:
                        kind = ScanType(scan_type)
                        found.append(CartonRow(kind, master, carton, passed_ns, body, bool(told)))
                        numbers.append((number,))
        return found[::-1], self._keep_only(numbers)

    def _keep_only(self, numbers: list[tuple[int]]) -> int:
        """Delete all other rows; how many these were."""
        with translated(self._path):
            (there,) = self._db.execute("SELECT count(*) FROM cartons").fetchone()
            if there == len(numbers):
                return 0
            with transaction(self._db):
                self._db.execute("CREATE TEMP TABLE sound (number INTEGER PRIMARY KEY)")
                self._db.executemany("INSERT INTO sound VALUES (?)", numbers)
                self._db.execute("DELETE FROM cartons WHERE number NOT IN (SELECT number FROM sound)")
                self._db.execute("DROP TABLE sound")
        return int(there) - len(numbers)

    def write(self, changes: Sequence[CartonRow | CartonTold]) -> None:
        """Keep all or, if it raises, none; of a carton that passes twice the first, of too many the last."""
        with translated(self._path), transaction(self._db):
            for change in changes:
                if isinstance(change, CartonRow):
                    body = change.body
                    self._db.execute(
                        "INSERT OR IGNORE INTO cartons (scan_type, master, carton, passed_ns, told, body, "
                        "crc) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (change.scan_type.value, *change[1:4], change.told, body, zlib.crc32(body)),
                    )
                else:
                    self._db.execute(
                        "UPDATE cartons SET told = 1 WHERE scan_type = ? AND master = ? AND carton = ?",
                        (change.scan_type.value, *change[1:]),
                    )
            self._db.execute(
                "DELETE FROM cartons WHERE number <= (SELECT max(number) FROM cartons) - ?", (MOST_ROWS,)
            )

    def forget(self, now_ns: int, quiet_ns: int) -> None:
        """Forget the master bills of which no carton has passed for so long, counted back from the last one
        of all: a clock that is ahead at the start makes nobody forget before a carton has passed by it."""
        with translated(self._path), transaction(self._db):
            (last,) = self._db.execute("SELECT max(passed_ns) FROM cartons").fetchone()
            before = max(0, min(now_ns, last if isinstance(last, int) else now_ns) - quiet_ns)
            self._db.execute(
                "DELETE FROM cartons WHERE (scan_type, master) IN (SELECT scan_type, master FROM cartons "
                "GROUP BY scan_type, master HAVING max(passed_ns) < ?)",
                (before,),
            )

    def close(self) -> None:
        """Finish and close. May be called twice."""
        self._db.close()

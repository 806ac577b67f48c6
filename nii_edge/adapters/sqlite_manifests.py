"""The store of manifests: one SQLite file, written by imports, read by the daemon at the same time.

A carton's papers are one row, found by its barcode. A later import of the same carton under the same master
bill amends it; under another one both are kept apart by nothing but the barcode, so the newest is stored and
marked LISTED_TWICE for ever. A carton that one master bill lists twice is marked until it is amended.

Each carton has a number, given when it was stored or last amended, so that an edge can ask for what came
after one. A store that takes a collector's manifests keeps how far it came, in the same transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from nii_edge.adapters.sqlite_common import ensure_schema, ledger_error, transaction
from nii_edge.errors import LedgerError, ManifestError
from nii_edge.papers import PaperProblem, Papers
from nii_edge.ports import PaperRow, Place, StoredPapers

PURPOSE = "manifests"
SCHEMA = 2
READABLE = ("1", "2")
"""Schemas whose papers can be looked up; 1 has no numbers."""
MAX_STORE_BYTES = 4 << 30
"""What a collector sends does not let a store grow beyond this: the ledger's disk may be the same."""
BUSY_MS = 200
"""How long a look-up waits for the file at most; with a write-ahead log it hardly ever has to."""
_BY_NUMBER = "CREATE UNIQUE INDEX cartons_by_number ON cartons (number)"
_ID = "INSERT INTO meta VALUES ('id', lower(hex(randomblob(16))))"
_STATEMENTS = (
    "CREATE TABLE cartons (barcode TEXT PRIMARY KEY, master TEXT NOT NULL, papers BLOB NOT NULL, "
    "number INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX cartons_by_master ON cartons (master)",
    _BY_NUMBER,
    _ID,
)
_UPGRADES = {
    1: (
        "ALTER TABLE cartons ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
        "UPDATE cartons SET number = rowid",
        _BY_NUMBER,
        _ID,
    )
}
_LAST = "SELECT coalesce(max(number), 0) FROM cartons"
_decoder = msgspec.msgpack.Decoder(Papers)


class ManifestStore:
    """Writes. Not thread-safe; close it."""

    def __init__(self, path: Path, max_bytes: int = MAX_STORE_BYTES) -> None:
        """`max_bytes`: beyond it nothing is taken from a collector any more; imports have no such limit."""
        self._path = path
        self._max_bytes = max_bytes
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            with _translated(path):
                self._connection.execute("PRAGMA journal_mode=WAL").fetchall()
                self._connection.execute("PRAGMA synchronous=FULL")
                ensure_schema(
                    self._connection,
                    path,
                    purpose=PURPOSE,
                    version=SCHEMA,
                    statements=_STATEMENTS,
                    upgrades=_UPGRADES,
                )
        except BaseException:
            self._connection.close()
            raise

    def put(self, every: Sequence[Papers]) -> StoredPapers:
        """Store all or, if it raises, none. Raises ManifestError."""
        with _translated(self._path), transaction(self._connection):
            return self._put(every)

    def mark(self, spoilt: Mapping[str, Collection[PaperProblem]]) -> int:
        """Note with cartons that are in the store what is wrong with newer papers of theirs that could not be
        read; how many there are. The next papers take it back. Raises ManifestError."""
        marked = 0
        with _translated(self._path), transaction(self._connection):
            (number,) = self._connection.execute(_LAST).fetchone()
            for barcode, problems in spoilt.items():
                before = _before(self._connection, barcode)
                if before is None or before.papers is None:
                    continue
                papers = before.papers
                marked += 1
                more = tuple(sorted({*papers.problems, *problems}))
                if more != papers.problems:
                    number += 1
                    self._insert(msgspec.structs.replace(papers, problems=more), number)
        return marked

    def place(self) -> Place | None:
        """See `PaperStore.place`."""
        with _translated(self._path):
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        found = meta.get("taken_from"), meta.get("taken_to", "")
        return None if found[0] is None or not found[1].isdecimal() else Place(found[0], int(found[1]))

    def take(self, papers: Sequence[Papers], place: Place) -> StoredPapers:
        """See `PaperStore.take`."""
        with _translated(self._path), transaction(self._connection):
            self._check_room()
            stored = self._put(papers)
            self._connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                [("taken_from", place.store), ("taken_to", str(place.number))],
            )
        return stored

    def _check_room(self) -> None:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (page,) = self._connection.execute("PRAGMA page_size").fetchone()
        if pages * page > self._max_bytes:
            raise ManifestError(
                f"{self._path}: {pages * page} bytes; what a collector sends may fill it up to "
                f"{self._max_bytes}: move it aside and start again, old cartons are not missed"
            )

    def _put(self, every: Sequence[Papers]) -> StoredPapers:
        new = amended = same = moved = 0
        (number,) = self._connection.execute(_LAST).fetchone()
        for each in every:
            before = _before(self._connection, each.barcode)
            papers = told = _of_before(each, before)
            if before is not None and (_contradicts(before.master, told.master_bill) or before.torn):
                papers = _marked(told)
            if before is None:
                new += 1
            elif before.papers == papers:
                same += 1
                continue
            elif _contradicts(before.master, papers.master_bill):
                moved += 1
            else:
                amended += 1
            number += 1
            self._insert(papers, number)
        return StoredPapers(new, amended, same, moved)

    def _insert(self, papers: Papers, number: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO cartons (barcode, master, papers, number) VALUES (?, ?, ?, ?)",
            (papers.barcode, papers.master_bill, msgspec.msgpack.encode(papers), number),
        )

    def close(self) -> None:
        """Merge the log into the file, so that it can be copied, and close."""
        with _translated(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()


class ManifestReader:
    """Looks up, and changes nothing: the file is opened read-only. Thread-safe; close it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        if not path.is_file():
            raise ManifestError(f"{path}: there is no store of manifests; nii-edge manifest import makes it")
        with _translated(path):
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=BUSY_MS / 1000,
                check_same_thread=False,
            )
            try:
                found = dict(self._connection.execute("SELECT key, value FROM meta"))
            except BaseException:
                self._connection.close()
                raise
        if found.get("purpose") != PURPOSE or found.get("schema") not in READABLE:
            self._connection.close()
            raise ManifestError(
                f"{path}: {found}; expected a store of manifests of schema {' or '.join(READABLE)}"
            )
        self._id: str = found.get("id", "")

    def find(self, barcode: str) -> Papers | None:
        """The papers of a carton; None if it has none. Raises ManifestError."""
        with _translated(self._path), self._lock:
            return _read(self._connection, barcode)

    def end(self) -> Place:
        """See `ManifestSource.end`."""
        with _translated(self._path), self._lock:
            (last,) = self._connection.execute(_LAST).fetchone()
        return Place(self._id, int(last))

    def after(self, number: int, limit: int, max_bytes: int) -> list[PaperRow]:
        """See `ManifestSource.after`."""
        query = "SELECT number, barcode, master, papers FROM cartons WHERE number > ? ORDER BY number LIMIT ?"
        rows: list[PaperRow] = []
        room = max_bytes
        with _translated(self._path), self._lock, closing(self._connection.cursor()) as cursor:
            for row in map(PaperRow._make, cursor.execute(query, (number, limit))):
                room -= len(row.papers)
                if rows and room < 0:
                    break
                rows.append(row)
        return rows

    def counts(self) -> tuple[int, int]:
        """Cartons and master bills in the store. Raises ManifestError."""
        with _translated(self._path):
            row = self._connection.execute("SELECT count(*), count(DISTINCT master) FROM cartons").fetchone()
        return int(row[0]), int(row[1])

    def close(self) -> None:
        """May be called twice."""
        self._connection.close()


def _read(connection: sqlite3.Connection, barcode: str) -> Papers | None:
    row = connection.execute("SELECT papers FROM cartons WHERE barcode = ?", (barcode,)).fetchone()
    return None if row is None else _decoder.decode(row[0])


class _Before(NamedTuple):
    """What the store has of a carton; `papers` None if they are damaged, which new ones may replace."""

    master: str
    papers: Papers | None

    @property
    def torn(self) -> bool:
        """Whether two master bills listed it, or might have: stores of before did not say why."""
        papers = self.papers
        return papers is not None and PaperProblem.LISTED_TWICE in papers.problems and not papers.repeated


def _before(connection: sqlite3.Connection, barcode: str) -> _Before | None:
    row = connection.execute("SELECT master, papers FROM cartons WHERE barcode = ?", (barcode,)).fetchone()
    if row is None:
        return None
    try:
        return _Before(row[0], _decoder.decode(row[1]))
    except msgspec.MsgspecError:
        return _Before(row[0], None)


def _contradicts(before: str, now: str) -> bool:
    """Whether a carton cannot be under both master bills: one that had none contradicts nothing."""
    return bool(before) and before != now


def _of_before(papers: Papers, before: _Before | None) -> Papers:
    """What names no master bill and no goods, since its row says no more or cannot be read, stays under the
    bill it was under: no second one lists it."""
    nameless = not papers.master_bill and not papers.lines
    if before is None or not nameless:
        return papers
    return msgspec.structs.replace(papers, master_bill=before.master)


def _marked(papers: Papers) -> Papers:
    problems = tuple(sorted({*papers.problems, PaperProblem.LISTED_TWICE}))
    return msgspec.structs.replace(papers, problems=problems, repeated=False)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ManifestError(str(ledger_error(path, error))) from error
    except LedgerError as error:
        raise ManifestError(str(error)) from error
    except msgspec.MsgspecError as error:
        raise ManifestError(f"{path}: papers in it are damaged: {error}; import them again") from error
    except OSError as error:
        raise ManifestError(f"{path}: {error}") from error

"""The store of manifests: one SQLite file, written by imports, read by the daemon at the same time.

A carton's papers are one row, found by its barcode. A later import of the same carton under the same master
bill amends it; under another one both are kept apart by nothing but the barcode, so the newest is stored and
marked LISTED_TWICE for ever.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from nii_edge.adapters.sqlite_common import ensure_schema, ledger_error, transaction
from nii_edge.errors import LedgerError, ManifestError
from nii_edge.papers import PaperProblem, Papers

PURPOSE = "manifests"
SCHEMA = 1
BUSY_MS = 200
"""How long a look-up waits for the file at most; with a write-ahead log it hardly ever has to."""
_STATEMENTS = (
    "CREATE TABLE cartons (barcode TEXT PRIMARY KEY, master TEXT NOT NULL, papers BLOB NOT NULL)",
    "CREATE INDEX cartons_by_master ON cartons (master)",
)
_decoder = msgspec.msgpack.Decoder(Papers)


class Stored(NamedTuple):
    """How many cartons of an import were `new`, `amended`, the `same` as before, or `moved` here from another
    master bill."""

    new: int
    amended: int
    same: int
    moved: int


class ManifestStore:
    """Writes. Not thread-safe; close it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            with _translated(path):
                self._connection.execute("PRAGMA journal_mode=WAL").fetchall()
                self._connection.execute("PRAGMA synchronous=FULL")
                ensure_schema(self._connection, path, purpose=PURPOSE, version=SCHEMA, statements=_STATEMENTS)
        except BaseException:
            self._connection.close()
            raise

    def put(self, every: Sequence[Papers]) -> Stored:
        """Store all or, if it raises, none. Raises ManifestError."""
        new = amended = same = moved = 0
        with _translated(self._path), transaction(self._connection):
            for papers in every:
                before = _read(self._connection, papers.barcode)
                if before is None:
                    new += 1
                elif before == papers:
                    same += 1
                    continue
                elif before.master_bill != papers.master_bill:
                    moved += 1
                    papers = _marked(papers)  # noqa: PLW2901 - the one that is stored
                else:
                    amended += 1
                    if PaperProblem.LISTED_TWICE in before.problems:
                        papers = _marked(papers)  # noqa: PLW2901
                self._connection.execute(
                    "INSERT OR REPLACE INTO cartons VALUES (?, ?, ?)",
                    (papers.barcode, papers.master_bill, msgspec.msgpack.encode(papers)),
                )
        return Stored(new, amended, same, moved)

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
        if found != {"purpose": PURPOSE, "schema": str(SCHEMA)}:
            self._connection.close()
            raise ManifestError(f"{path}: {found}; expected a store of manifests of schema {SCHEMA}")

    def find(self, barcode: str) -> Papers | None:
        """The papers of a carton; None if it has none. Raises ManifestError."""
        with _translated(self._path), self._lock:
            return _read(self._connection, barcode)

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


def _marked(papers: Papers) -> Papers:
    problems = tuple(sorted({*papers.problems, PaperProblem.LISTED_TWICE}))
    return msgspec.structs.replace(papers, problems=problems)


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

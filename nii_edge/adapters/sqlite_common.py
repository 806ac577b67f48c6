"""What every SQLite file of this package has in common: durable, locked, of a known schema.

Open with `open_durable`, then `ensure_schema`; write inside `transaction`; wrap both in `translated`
so that only LedgerError leaves the adapter. After a LedgerError from a write, use the file no more:
once a flush to disk has failed, a later one may report success for data that never arrived.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nii_edge.errors import LedgerDamagedError, LedgerError, LedgerFullError

BUSY_TIMEOUT_MS = 1_000
"""How long opening waits for another process to let go of the file, in milliseconds."""

WAL_PAGES = 256
"""Pages (of 4 kB) after which the log is merged into the file: a small log is a small loss if it is damaged,
and leaves room on a disk that is filling up."""

_ADVICE: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "another daemon is using it; stop that one, or give this one a file of its own",
    sqlite3.SQLITE_LOCKED: "another daemon is using it; stop that one, or give this one a file of its own",
    sqlite3.SQLITE_FULL: "the disk is full; free some space and start again",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write; check it, then start again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; move it and its -wal file aside and keep both",
    sqlite3.SQLITE_NOTADB: "this is not an SQLite file; check the path",
    sqlite3.SQLITE_READONLY: "the file cannot be written; check its owner and permissions",
    sqlite3.SQLITE_PERM: "the file cannot be written; check its owner and permissions",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check the path and its folder's permissions",
}
"""What to do, by SQLite's primary result code."""


_KINDS: dict[int, type[LedgerError]] = {
    sqlite3.SQLITE_FULL: LedgerFullError,
    sqlite3.SQLITE_CORRUPT: LedgerDamagedError,
    sqlite3.SQLITE_NOTADB: LedgerDamagedError,
}


def ledger_error(path: Path, error: sqlite3.Error) -> LedgerError:
    """`error` in this package's terms: names the file, what SQLite said, and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    advice = _ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    if "Could not decode" in str(error):  # text that was not written by us; SQLite has no code for it
        return LedgerDamagedError(f"{path}: the file is damaged: {error}")
    kind = _KINDS.get(code & 0xFF, LedgerError) if isinstance(code, int) else LedgerError
    return kind(f"{path}: {advice or 'the database refused'} ({name}: {error})")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn any sqlite3.Error of the body into a LedgerError that names `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(path, error) from error
    except UnicodeDecodeError as error:  # text that was not written by us
        raise LedgerDamagedError(f"{path}: the file is damaged: {error}") from error


def open_durable(path: Path, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """Open or create the SQLite file `path` for one process alone, every commit flushed to disk.

    Write-ahead log, synchronous=FULL, exclusive lock held until closed, no implicit transactions:
    say BEGIN yourself or use `transaction`. The parent folder is created. With `check_same_thread`
    off, the caller sees to it that one thread at a time uses the connection.

    Raises:
        LedgerError: the file is in use, not writable, not a database, or does not take the settings.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{path}: its folder cannot be created: {error}") from error
    with translated(path):
        connection = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=check_same_thread,
        )
        try:
            _set(connection, path, "locking_mode", "EXCLUSIVE", "exclusive")
            _set(connection, path, "journal_mode", "WAL", "wal")
            _set(connection, path, "synchronous", "FULL", 2)
            _set(connection, path, "wal_autocheckpoint", str(WAL_PAGES), WAL_PAGES)
            connection.execute("BEGIN EXCLUSIVE")  # takes the lock, which the locking mode then keeps
            connection.execute("COMMIT")
            with contextlib.suppress(LedgerFullError):  # then the next commit says so
                merge_log(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def merge_log(connection: sqlite3.Connection, path: Path) -> None:
    """Write what is in the log into the file, and both to the disk.

    After a start: a process that was killed, or whose disk failed, may have left commits in the log that can
    be read and were never on the disk. While running: SQLite does the same by itself, and if that fails it
    says nothing.

    Raises:
        LedgerError: the disk does not take it.
    """
    with translated(path):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _set(connection: sqlite3.Connection, path: Path, pragma: str, value: str, expected: str | int) -> None:
    """Set a pragma and ask for it again: a setting that did not take says nothing by itself."""
    connection.execute(f"PRAGMA {pragma}={value}").fetchall()
    row = connection.execute(f"PRAGMA {pragma}").fetchone()
    found = row[0] if row else None
    if found != expected:
        raise LedgerError(
            f"{path}: PRAGMA {pragma} answers {found!r}, needed {expected!r}; "
            "use a local disk whose file system supports locks and a write-ahead log"
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: committed and on disk after the body, undone if the body or commit raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have undone it already
            connection.execute("ROLLBACK")
        raise


def ensure_schema(
    connection: sqlite3.Connection,
    path: Path,
    *,
    purpose: str,
    version: int,
    statements: Sequence[str],
    upgrades: Mapping[int, Sequence[str]] | None = None,
) -> None:
    """Create the tables of a new file by `statements`, or check that an old one is of this schema.

    The table `meta` says what the file is for (`purpose`, for example "archive") and its schema version.
    `upgrades`: by schema, the statements that make a file of it one of the next.

    Raises:
        LedgerError: the file serves another purpose, or was written by another version of the schema.
    """
    with translated(path), transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        found = dict(connection.execute("SELECT key, value FROM meta"))
        if not found:
            for statement in statements:
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)",
                [("purpose", purpose), ("schema", str(version))],
            )
            return
        if found.get("purpose") != purpose:
            raise LedgerError(f"{path}: this file is a {found.get('purpose')!r}, expected a {purpose!r}")
        schema = found.get("schema", "")
        while upgrades and schema.isdecimal() and int(schema) in upgrades:
            for statement in upgrades[int(schema)]:
                connection.execute(statement)
            schema = str(int(schema) + 1)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (schema,))
        if schema != str(version):
            raise LedgerError(
                f"{path}: {purpose} of schema {found.get('schema')}, this version reads schema {version}; "
                "use the version of nii-edge that wrote it"
            )

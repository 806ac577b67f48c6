"""Opening a ledger that may be damaged: what is whole is carried over, what is not is named.

A damaged file is set aside, never written again and never deleted, once the fresh one holds all that it is to
hold: a rescue that is cut off is done again, or finished, at the next start. Into the fresh one go: the
highest numbers of every epoch, so that a used number is not taken for a new one; records that the centre has
not confirmed and that are whole; and every scan whose verdict cannot be read any more, as one without a
verdict.
The daemon then concludes those as UNKNOWN(CRASH). The centre keeps the first report it had of a scan, so
nothing that was archived is changed by this.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from nii_edge.adapters.sqlite_ledger import KINDS, SqliteLedger
from nii_edge.adapters.wal_check import wal_damage
from nii_edge.errors import LedgerDamagedError, LedgerError
from nii_edge.ports import Change, Conclude, Intend, Miss, Recalled
from nii_edge.records import Gap, Preview, Recall, Report, ScanId, ScanType

SLICE = 2_000
AT_ONCE = 500
"""Changes of one commit to the fresh ledger."""


class Opened(NamedTuple):
    """The ledger, and what was wrong with its predecessor: empty if nothing."""

    ledger: SqliteLedger
    damage: tuple[str, ...]


def open_ledger(path: Path, edge: str) -> Opened:
    """The ledger at `path`, verified as a whole; or a fresh one with what could be saved of it.

    Raises:
        LedgerError: it is in use, not writable, of another version, or another edge's.
    """
    _finish(path)
    lost = _lost_from_log(path)
    opened = _whole(path, edge)
    if isinstance(opened, SqliteLedger):
        return Opened(opened, lost)
    saved = _carry_over(path, edge)
    aside = _set_aside(path)
    _finish(path)
    return Opened(SqliteLedger(path, edge), (*lost, *opened[:20], f"the damaged ledger is {aside}", saved))


def _whole(path: Path, edge: str) -> SqliteLedger | list[str]:
    """The ledger at `path` if it is whole; else what is wrong with it, and it is closed: nobody else may read
    a ledger that is open. Raises LedgerError if it cannot be opened and is not known to be damaged."""
    with contextlib.ExitStack() as closing:
        try:
            ledger = closing.enter_context(contextlib.closing(SqliteLedger(path, edge)))
            problems = _verify(ledger)
        except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
            return [f"{type(error).__name__}: {error}"]  # rows of a kind that was never written
        except LedgerError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if not isinstance(error, LedgerDamagedError) and code != sqlite3.SQLITE_ERROR:
                raise
            return [str(error)]  # SQLITE_ERROR: a table or a column is not there
        if problems:
            return problems
        closing.pop_all()
        return ledger


def _fresh(path: Path) -> Path:
    """The fresh ledger, complete; it only waits for its name."""
    return path.with_name(f"{path.stem}.rescue{path.suffix}")


def _growing(path: Path) -> Path:
    """Where the fresh ledger grows until it is complete."""
    return path.with_name(f"{path.stem}.rescue-part{path.suffix}")


def _finish(path: Path) -> None:
    """Put a fresh ledger that is complete into the place of the one that was set aside; its log that is left
    goes after it."""
    fresh = _fresh(path)
    if path.exists() or not fresh.exists():
        return
    for ending in ("-wal", "-shm"):
        companion = Path(f"{path}{ending}")
        if companion.exists():
            companion.rename(_free(path, ending))
    _renamed(fresh, path)


def _renamed(file: Path, to: Path) -> None:
    """On the disk, too."""
    file.rename(to)
    folder = os.open(to.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lost_from_log(path: Path) -> tuple[str, ...]:
    """What a damaged write-ahead log has lost, in words, and where the log was copied to: opening the ledger
    cuts it off."""
    log = Path(f"{path}-wal")
    try:
        damage = wal_damage(log)
        if damage is None:
            return ()
        aside = _free(path, "-wal")
        shutil.copyfile(log, aside)
    except OSError as error:
        raise LedgerError(f"{log}: cannot be read or copied: {error}; mend the disk first") from error
    return damage, f"the damaged log is {aside}; scans that were in it are missing, or get a verdict anew"


def _verify(ledger: SqliteLedger) -> list[str]:
    problems = ledger.check_structure()
    after: int | None = 0
    while after is not None and len(problems) < 20:
        audit = ledger.verify(after, SLICE)
        problems += audit.problems
        after = audit.next
    return problems


def _set_aside(path: Path) -> Path:
    """Rename the file and its companions; the first free number is taken."""
    aside = _free(path, "")
    for ending in ("", "-wal", "-shm"):
        companion = Path(f"{path}{ending}")
        if companion.exists():
            companion.rename(f"{aside}{ending}")
    return aside


def _free(path: Path, ending: str) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}{ending}")).exists():
        number += 1
    return aside


def _carry_over(path: Path, edge: str) -> str:
    """Everything readable that still matters, into a fresh ledger beside it; what it was, in words.

    Raises:
        LedgerError: the disk does not take it.
    """
    into = _growing(path)
    for file in (into, _fresh(path)):  # of rescues that were cut off
        for ending in ("", "-wal", "-shm"):
            Path(f"{file}{ending}").unlink(missing_ok=True)
    records = scans = 0
    with (
        contextlib.closing(SqliteLedger(into, edge)) as fresh,
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as old,
    ):
        old.text_factory = bytes
        high: dict[tuple[str, int], int] = {}
        changes = _saved(old, edge, high)
        while several := list(itertools.islice(changes, AT_ONCE)):
            for change in _taken(fresh, several):
                scans += 1
                records += any(isinstance(part, Conclude | Miss | Recalled) for part in change)
        _epochs(old, high)
        fresh.raise_high_water(high)
        fresh.settle()  # a log that cannot be merged when it is closed says nothing
    log = Path(f"{into}-wal")
    if log.exists() and log.stat().st_size:
        raise LedgerError(f"{log}: the disk did not take what was saved of {path}; mend the disk first")
    _renamed(into, _fresh(path))
    return f"carried over {records} unconfirmed records; {scans - records} scans get a new verdict"


def _taken(fresh: SqliteLedger, several: list[list[Change]]) -> list[list[Change]]:
    """Those that the fresh ledger took: all of them at once, or one by one if one contradicts the others."""
    try:
        fresh.commit([part for change in several for part in change])
    except Exception as error:
        if isinstance(error.__cause__, sqlite3.OperationalError):  # the disk's fault, and not theirs
            raise
        if len(several) == 1:
            return []
        return [taken for change in several for taken in _taken(fresh, [change])]
    return several


def _saved(old: sqlite3.Connection, edge: str, high: dict[tuple[str, int], int]) -> Iterator[list[Change]]:
    """Changes that make the fresh ledger hold what the old one still owed. `high` gets the highest number of
    each epoch that a whole record speaks of: rows of other tables have no check sum."""
    whole: set[int] = set()
    for entry, kind, body, crc, state in _journal(old):
        record = _decoded(kind, body) if isinstance(body, bytes) and zlib.crc32(body) == crc else None
        if record is None:
            continue
        whole.add(entry)
        _raise(high, record)
        if state != b"archived":
            yield _owed(record, old)
    for scanner, epoch, seq, scan_type, received, carton, entry in _scans(old):
        if entry not in whole:
            with contextlib.suppress(ValueError, AttributeError, msgspec.ValidationError):
                scan = msgspec.convert(
                    {"edge": edge, "scanner": scanner.decode(), "epoch": epoch, "seq": seq}, ScanId
                )
                named = None if carton is None else carton.decode()
                yield [Intend(scan, ScanType(scan_type.decode()), int(received), named)]


def _journal(old: sqlite3.Connection) -> Iterator[tuple]:  # type: ignore[type-arg]
    """All entries that can be read, wherever pages are damaged: from either end up to the damage, and between
    these one by one."""
    columns = "SELECT entry, kind, body, crc, state FROM journal"
    last: list[int] = []
    for order in ("ASC", "DESC"):
        ended = 0
        for row in _rows(old, f"{columns} ORDER BY entry {order}"):
            if order == "DESC" and row[0] <= last[0]:
                return
            ended = row[0]
            yield row
        last.append(ended)
    end = last[1]
    if not end:  # the last page is damaged: scans say how far it went
        known = "SELECT entry FROM scans INDEXED BY scans_by_entry WHERE entry IS NOT NULL"
        end = 1 + max((row[0] for row in _rows(old, f"{known} ORDER BY entry DESC LIMIT 1")), default=0)
    for entry in range(last[0] + 1, end):
        yield from _rows(old, f"{columns} WHERE entry = ?", (entry,))


def _scans(old: sqlite3.Connection) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Scans that can be read, from either end of the table up to the damage, and those in flight, which have
    an index of their own; each once. Without names of cartons if these are what cannot be read."""
    seen: set[tuple[object, ...]] = set()
    for carton, rest in itertools.product(
        ("carton", "NULL"),
        (
            "ORDER BY scanner, epoch, seq", "ORDER BY scanner DESC, epoch DESC, seq DESC",
            "INDEXED BY in_flight WHERE entry IS NULL",
        ),
    ):  # fmt: skip
        columns = f"scanner, epoch, seq, scan_type, received_at_ns, {carton}, entry"
        for row in _rows(old, f"SELECT {columns} FROM scans {rest}"):  # noqa: S608
            if row[:3] not in seen:
                seen.add(row[:3])
                yield row
            elif rest.endswith("DESC"):
                break  # the rest was read from the other end


def _raise(high: dict[tuple[str, int], int], record: Report | Gap | Recall) -> None:
    """What a record says of the numbers that were used."""
    if isinstance(record, Report):
        scan = record.verdict.id
        scanner, epoch, seq = scan.scanner, scan.epoch, scan.seq
    elif isinstance(record, Gap):
        scanner, epoch, seq = record.scanner, record.epoch, record.last
    else:
        scanner, epoch, seq = record.scan.scanner, record.scan.epoch, record.scan.seq
    high[scanner, epoch] = max(high.get((scanner, epoch), 0), seq)


def _owed(record: Report | Gap | Recall, old: sqlite3.Connection) -> list[Change]:
    if isinstance(record, Gap):
        return [Miss(record)]
    if isinstance(record, Recall):
        return [Recalled(record)]
    verdict = record.verdict
    intent = Intend(verdict.id, verdict.scan_type, record.received_at_ns, verdict.carton)
    return [intent, Conclude(record, _picture(old, record.preview))]


def _picture(old: sqlite3.Connection, sha256: str | None) -> Preview | None:
    """The picture of a report, if it is whole and the centre does not have it."""
    for media_type, data in _rows(
        old, "SELECT media_type, data FROM previews WHERE sha256 = ? AND state = 'pending'", (sha256,)
    ):
        with contextlib.suppress(AttributeError, TypeError, ValueError, msgspec.ValidationError):
            if hashlib.sha256(data).hexdigest() == sha256:
                found = {"sha256": sha256, "media_type": media_type.decode(), "data": data}
                return msgspec.convert(found, Preview)
    return None


def _decoded(kind: object, body: bytes) -> Report | Gap | Recall | None:
    wanted = KINDS.get(kind.decode("ascii", "replace")) if isinstance(kind, bytes) else None
    try:
        found = None if wanted is None else msgspec.msgpack.decode(body, type=wanted)
    except (msgspec.DecodeError, ValueError, TypeError):
        return None
    return found


def _epochs(old: sqlite3.Connection, high: dict[tuple[str, int], int]) -> None:
    """What the table of epochs says of the numbers that were used."""
    for scanner, epoch, seq in _rows(old, "SELECT scanner, epoch, high FROM epochs"):
        with contextlib.suppress(ValueError, AttributeError):
            key = scanner.decode(), int(epoch)
            high[key] = max(high.get(key, 0), int(seq))


def _rows(
    old: sqlite3.Connection, statement: str, values: tuple[str | int | None, ...] = ()
) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Rows until SQLite stumbles: what comes after that cannot be read that way. LedgerError if it is in
    use."""
    try:
        yield from old.execute(statement, values)
    except (sqlite3.Error, ValueError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise LedgerError(f"the damaged ledger cannot be read: {error}") from error

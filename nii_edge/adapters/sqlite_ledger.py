"""The edge's ledger in SQLite: what was received, what was said of it, what the centre has not confirmed.

WAL with synchronous=FULL: a commit that returned survives a power cut. One connection, used by the
thread that opened it (the edge's committer).

Reports and gaps stand in the `journal`, numbered from 1 without a hole. Each entry carries the CRC-32 of
its body and a link, ``SHA-256(link before || kind || body)``: a changed, lost or added row breaks the chain
from there on, also where SQLite's own integrity check says ok. What is pruned leaves its last link behind as
the anchor of the rest.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nii_edge.adapters.sqlite_common import ensure_schema, open_durable, transaction, translated
from nii_edge.errors import LedgerDamagedError, LedgerError
from nii_edge.ports import (
    Audit,
    Change,
    Conclude,
    Confirm,
    Intend,
    LedgerCounts,
    LedgerEntry,
    LedgerStats,
    Miss,
    OutboxItem,
    OutboxKind,
    Park,
    Prune,
    StoredScan,
)
from nii_edge.records import Gap, Preview, Report, ScanId, ScanType

SCHEMA_VERSION = 2
SCHEMA = (
    # entry: the journal's number of the report, NULL while in flight
    "CREATE TABLE scans (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "scan_type TEXT NOT NULL, received_at_ns INTEGER NOT NULL, carton TEXT, entry INTEGER, "
    "PRIMARY KEY (scanner, epoch, seq)) WITHOUT ROWID",
    "CREATE INDEX in_flight ON scans (scanner) WHERE entry IS NULL",
    "CREATE INDEX scans_by_entry ON scans (entry) WHERE entry IS NOT NULL",
    # kind: report or gap; key: alert id; state: pending, archived or parked; archived_at_ns: when confirmed
    "CREATE TABLE journal (entry INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE, "
    "body BLOB NOT NULL, crc INTEGER NOT NULL, link BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'pending', "
    "archived_at_ns INTEGER, parked TEXT)",
    "CREATE INDEX journal_pending ON journal (entry) WHERE state = 'pending'",
    # pictures are not part of the chain: their name is their hash
    "CREATE TABLE previews (number INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, "
    "media_type TEXT NOT NULL, data BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'pending', "
    "archived_at_ns INTEGER, parked TEXT)",
    "CREATE INDEX previews_pending ON previews (number) WHERE state = 'pending'",
    # high: the highest seq received; pruned: the highest seq whose report is gone, 0 if none
    "CREATE TABLE epochs (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, high INTEGER NOT NULL, "
    "pruned INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scanner, epoch)) WITHOUT ROWID",
    "CREATE TABLE balance (scanner TEXT NOT NULL, scan_type TEXT NOT NULL, "
    "received INTEGER NOT NULL DEFAULT 0, clear INTEGER NOT NULL DEFAULT 0, "
    'alarm INTEGER NOT NULL DEFAULT 0, "unknown" INTEGER NOT NULL DEFAULT 0, '
    "missing INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scanner, scan_type)) WITHOUT ROWID",
    # one row: the last pruned entry and its link; entry 0 has the link of 32 zero bytes
    "CREATE TABLE anchor (entry INTEGER NOT NULL, link BLOB NOT NULL)",
)
FIRST_LINK = bytes(32)
MAX_PROBLEMS = 100
PRUNE_AT_ONCE = 2_000
"""The most entries one `Prune` removes: it must not hold up verdicts."""

T = TypeVar("T")
_KINDS: dict[str, type[Report] | type[Gap]] = {"report": Report, "gap": Gap}


def next_link(link: bytes, kind: str, body: bytes) -> bytes:
    """The link of an entry that follows the one with `link`."""
    return hashlib.sha256(link + kind.encode() + body).digest()


class SqliteLedger:
    """ports.Ledger on a file. Use from the thread that made it; see `Committer`."""

    def __init__(self, path: Path, edge: str) -> None:
        """Open or create the ledger of `edge`.

        Raises:
            LedgerError: not writable, in use, of another version, or another edge's.
        """
        self._path = path
        self._db = open_durable(path)
        self._edge = edge
        try:
            self._prepare()
            self._last, self._link = self._tail()
        except LedgerError:
            self._db.close()
            raise

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all `changes` durable, in order, or none."""
        before = self._last, self._link
        try:
            with translated(self._path), transaction(self._db):
                for change in changes:
                    self._apply(change)
        except BaseException:
            self._last, self._link = before
            raise

    # ---- questions

    def find(self, scan: ScanId) -> StoredScan | None:
        """What is known of a scan; None if it was never received."""
        rows = self._rows(
            "SELECT s.entry, j.body FROM scans s LEFT JOIN journal j ON j.entry = s.entry "
            "WHERE s.scanner = ? AND s.epoch = ? AND s.seq = ?",
            (scan.scanner, scan.epoch, scan.seq),
        )
        if rows:
            entry, body = rows[0]
            return StoredScan(scan, None if entry is None else self._decode(body, Report))
        pruned = self._rows(
            "SELECT pruned FROM epochs WHERE scanner = ? AND epoch = ?", (scan.scanner, scan.epoch)
        )
        if pruned and scan.seq <= pruned[0][0]:
            return StoredScan(scan, None, pruned=True)
        return None

    def high_water(self) -> dict[tuple[str, int], int]:
        """The highest seq received, by (scanner, epoch)."""
        rows = self._rows("SELECT scanner, epoch, high FROM epochs")
        return {(scanner, epoch): seq for scanner, epoch, seq in rows}

    def in_flight(self) -> list[Intend]:
        """Scans received without a verdict, oldest first."""
        rows = self._rows(
            "SELECT scanner, epoch, seq, scan_type, received_at_ns, carton FROM scans WHERE entry IS NULL "
            "ORDER BY received_at_ns, scanner, epoch, seq"
        )
        return [
            Intend(
                ScanId(edge=self._edge, scanner=scanner, epoch=epoch, seq=seq),
                ScanType(scan_type),
                received,
                carton,
            )
            for scanner, epoch, seq, scan_type, received, carton in rows
        ]

    def outbox(self, kind: OutboxKind, after: int, limit: int) -> list[OutboxItem]:
        """Unconfirmed items of a kind, numbered above `after`, oldest first; parked ones left out."""
        if kind == "preview":
            rows = self._rows(
                "SELECT number, sha256, media_type, data FROM previews "
                "WHERE state = 'pending' AND number > ? ORDER BY number LIMIT ?",
                (after, limit),
            )
            return [
                OutboxItem(number, sha256, Preview(sha256=sha256, media_type=media_type, data=data))
                for number, sha256, media_type, data in rows
            ]
        rows = self._rows(
            "SELECT entry, kind, key, body FROM journal "
            "WHERE state = 'pending' AND entry > ? ORDER BY entry LIMIT ?",
            (after, limit),
        )
        return [OutboxItem(entry, key, self._decode(body, _KINDS[kind])) for entry, kind, key, body in rows]

    def counts(self) -> list[LedgerCounts]:
        """The balance. In flight is counted, not inferred, so that it can disagree."""
        rows = self._rows(
            'SELECT b.scanner, b.scan_type, received, clear, alarm, "unknown", (SELECT count(*) FROM scans s '
            "WHERE s.scanner = b.scanner AND s.scan_type = b.scan_type AND entry IS NULL), missing "
            "FROM balance b ORDER BY b.scanner, b.scan_type"
        )
        return [LedgerCounts(row[0], ScanType(row[1]), *row[2:]) for row in rows]

    def stats(self) -> LedgerStats:
        """How much there is of what. Cheap enough to be asked every second."""
        (anchor, _) = self._anchor()
        waiting = "SELECT count(*), coalesce(min(entry), 0) FROM journal WHERE state = 'pending'"
        pending, oldest = self._rows(waiting)[0]
        pictures, picture_bytes = self._rows("SELECT count(*), total(length(data)) FROM previews")[0]
        unsent = self._rows("SELECT count(*) FROM previews WHERE state = 'pending'")[0][0]
        parked = self._rows("SELECT count(*) FROM journal WHERE parked IS NOT NULL")[0][0]
        return LedgerStats(
            entries=self._last - anchor,
            last_entry=self._last,
            last_link=self._link.hex(),
            pruned_to=anchor,
            pending=pending,
            oldest_pending=oldest,
            parked=parked,
            pictures=pictures,
            pictures_pending=unsent,
            picture_bytes=int(picture_bytes),
            file_bytes=self._rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[
                0
            ][0],
        )

    def entries(self, after: int, limit: int) -> list[LedgerEntry]:
        """Journal entries numbered above `after`, in order, as they are: for export."""
        rows = self._rows(
            "SELECT entry, kind, key, state, link, body FROM journal WHERE entry > ? ORDER BY entry LIMIT ?",
            (after, limit),
        )
        return [
            LedgerEntry(entry, key, state, link.hex(), self._decode(body, _KINDS[kind]))
            for entry, kind, key, state, link, body in rows
        ]

    def verify(self, after: int, limit: int) -> Audit:
        """Check entries numbered above `after`; at the end of the chain also what refers to it."""
        problems: list[str] = []
        last = after
        try:
            for number, found in self._check_entries(after, limit):
                last = number
                problems += found
            at_end = last >= self._last or last == after
            if at_end:
                problems += self._check_whole(last)
        except LedgerError as error:  # damage that SQLite itself stumbles over
            return Audit((*problems, str(error))[:MAX_PROBLEMS], None)
        return Audit(tuple(problems[:MAX_PROBLEMS]), None if at_end else last)

    def close(self) -> None:
        """Finish and close. May be called twice."""
        self._db.close()

    def raise_high_water(self, high: dict[tuple[str, int], int]) -> None:
        """After a rescue: these numbers were used, though nothing else is known of them."""
        with translated(self._path), transaction(self._db):
            for (scanner, epoch), seq in high.items():
                self._db.execute(
                    "INSERT INTO epochs (scanner, epoch, high, pruned) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET high = max(high, excluded.high), pruned = excluded.pruned",
                    (scanner, epoch, seq, seq),
                )

    # ---- changes

    def _apply(self, change: Change) -> None:
        match change:
            case Intend():
                self._intend(change)
            case Conclude(report, preview):
                self._conclude(report, preview)
            case Miss(gap):
                self._miss(gap)
            case Confirm(keys, archived_at_ns):
                self._set_state([(key,) for key in keys], "archived", archived_at_ns, None)
            case Park(key, reason):
                self._set_state([(key,)], "parked", None, reason)
            case Prune():
                self._prune(change)

    def _intend(self, intent: Intend) -> None:
        scan = intent.scan
        self._db.execute(
            "INSERT INTO scans (scanner, epoch, seq, scan_type, received_at_ns, carton) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                scan.scanner,
                scan.epoch,
                scan.seq,
                intent.scan_type.value,
                intent.received_at_ns,
                intent.carton,
            ),
        )
        self._db.execute(
            "INSERT INTO epochs (scanner, epoch, high) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET high = max(high, excluded.high)",
            (scan.scanner, scan.epoch, scan.seq),
        )
        self._count(scan.scanner, intent.scan_type, "received", 1)

    def _conclude(self, report: Report, preview: Preview | None) -> None:
        verdict = report.verdict
        scan, key = verdict.id, (verdict.id.scanner, verdict.id.epoch, verdict.id.seq)
        intent = self._db.execute(
            "SELECT scan_type FROM scans WHERE scanner = ? AND epoch = ? AND seq = ? AND entry IS NULL", key
        ).fetchone()
        if intent is None:
            raise LedgerError(f"{self._path}: {scan} has no open intent: a verdict was to be given twice")
        entry = self._append("report", report.alert_id, report)
        self._db.execute(
            "UPDATE scans SET entry = ?, scan_type = ? WHERE scanner = ? AND epoch = ? AND seq = ?",
            (entry, verdict.scan_type.value, *key),
        )
        if intent[0] != verdict.scan_type.value:  # a later view said that it was a real carton
            self._count(scan.scanner, ScanType(intent[0]), "received", -1)
            self._count(scan.scanner, verdict.scan_type, "received", 1)
        if preview is not None:
            # a picture equal to an earlier one (two black frames, say) is kept and sent once
            self._db.execute(
                "INSERT INTO previews (sha256, media_type, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (preview.sha256, preview.media_type, preview.data),
            )
        self._count(scan.scanner, verdict.scan_type, verdict.decision.value.lower(), 1)

    def _miss(self, gap: Gap) -> None:
        # a crash between this and the intent that revealed it makes the same gap come again
        known = self._db.execute("SELECT 1 FROM journal WHERE key = ?", (gap.alert_id,)).fetchone()
        if known is None:
            self._append("gap", gap.alert_id, gap)
            self._count(gap.scanner, gap.scan_type, "missing", gap.last - gap.first + 1)

    def _append(self, kind: str, key: str, record: Report | Gap) -> int:
        body = msgspec.msgpack.encode(record)
        link = next_link(self._link, kind, body)
        entry = self._last + 1
        self._db.execute(
            "INSERT INTO journal (entry, kind, key, body, crc, link) VALUES (?, ?, ?, ?, ?, ?)",
            (entry, kind, key, body, zlib.crc32(body), link),
        )
        self._last, self._link = entry, link
        return entry

    def _set_state(
        self, keys: list[tuple[str]], state: str, archived_at_ns: int | None, parked: str | None
    ) -> None:
        for table, name in (("journal", "key"), ("previews", "sha256")):
            statement = f"UPDATE {table} SET state = ?, archived_at_ns = ?, parked = ? WHERE {name} = ?"  # noqa: S608
            self._db.executemany(statement, [(state, archived_at_ns, parked, key) for (key,) in keys])

    def _prune(self, change: Prune) -> None:
        """Forget the oldest entries that the centre has had for long enough, and pictures over budget."""
        anchor, _ = self._anchor()
        keep = self._db.execute(
            "SELECT coalesce(min(entry), ?) FROM journal "
            "WHERE NOT (state = 'archived' AND archived_at_ns < ?) AND entry <= ?",
            (anchor + PRUNE_AT_ONCE + 1, change.archived_before_ns, anchor + PRUNE_AT_ONCE),
        ).fetchone()[0]
        last = min(keep - 1, self._last)
        if last > anchor:
            self._forget(last)
        self._db.execute(
            "DELETE FROM previews WHERE state = 'archived' AND archived_at_ns < ?",
            (change.archived_before_ns,),
        )
        self._shrink_pictures(change.picture_bytes)

    def _forget(self, last: int) -> None:
        (link,) = self._db.execute("SELECT link FROM journal WHERE entry = ?", (last,)).fetchone()
        self._db.execute(
            "UPDATE epochs SET pruned = max(pruned, (SELECT coalesce(max(seq), 0) FROM scans s "
            "WHERE s.scanner = epochs.scanner AND s.epoch = epochs.epoch AND s.entry <= ?)) "
            "WHERE (scanner, epoch) IN (SELECT scanner, epoch FROM scans WHERE entry <= ?)",
            (last, last),
        )
        self._db.execute("DELETE FROM scans WHERE entry <= ?", (last,))
        self._db.execute("DELETE FROM journal WHERE entry <= ?", (last,))
        self._db.execute("UPDATE anchor SET entry = ?, link = ?", (last, link))

    def _shrink_pictures(self, budget: int) -> None:
        """Drop confirmed pictures, oldest first, until all together fit the budget."""
        (total,) = self._db.execute("SELECT coalesce(sum(length(data)), 0) FROM previews").fetchone()
        for number, size in self._db.execute(
            "SELECT number, length(data) FROM previews WHERE state = 'archived' ORDER BY number LIMIT 1000"
        ).fetchall():
            if total <= budget:
                return
            self._db.execute("DELETE FROM previews WHERE number = ?", (number,))
            total -= size

    def _count(self, scanner: str, scan_type: ScanType, column: str, by: int) -> None:
        key = (scanner, scan_type.value)
        self._db.execute("INSERT INTO balance (scanner, scan_type) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
        statement = f'UPDATE balance SET "{column}" = "{column}" + ? WHERE scanner = ? AND scan_type = ?'  # noqa: S608
        self._db.execute(statement, (by, *key))

    # ---- verification

    def _check_entries(self, after: int, limit: int) -> Iterator[tuple[int, list[str]]]:
        entry, link = self._link_of(after)
        for number, kind, key, body, crc, stored in self._rows(
            "SELECT entry, kind, key, body, crc, link FROM journal WHERE entry > ? ORDER BY entry LIMIT ?",
            (entry, limit),
        ):
            found = []
            if number != entry + 1:
                found.append(f"entries {entry + 1} to {number - 1} are missing")
            elif next_link(link, kind, body) != stored:
                found.append(f"entry {number} ({key}) does not follow from the one before it")
            if zlib.crc32(body) != crc:
                found.append(f"entry {number} ({key}) has a CRC-32 other than its own")
            yield number, found
            entry, link = number, stored

    def _link_of(self, entry: int) -> tuple[int, bytes]:
        """An entry and its link; the anchor for what was pruned."""
        rows = self._rows("SELECT entry, link FROM journal WHERE entry = ?", (entry,))
        return rows[0] if rows else self._anchor()

    def _check_whole(self, last: int) -> list[str]:
        found = []
        if max(last, self._anchor()[0]) != self._last:
            found.append(f"the last entry is {last}, expected {self._last}")
        for scanner, epoch, seq, lost in self._rows(
            "SELECT scanner, epoch, seq, entry FROM scans s WHERE entry IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.entry = s.entry) LIMIT 100"
        ):
            found.append(f"{scanner}/{epoch}/{seq} refers to entry {lost}, which is gone")
        wrong = [r for r in self.counts() if r.received != r.clear + r.alarm + r.unknown + r.in_flight]
        return found + [f"the balance of {row.scanner} does not add up: {row._asdict()}" for row in wrong]

    # ---- plumbing

    def _prepare(self) -> None:
        ensure_schema(self._db, self._path, purpose="edge ledger", version=SCHEMA_VERSION, statements=SCHEMA)
        with translated(self._path), transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('edge', ?)", (self._edge,))
            (edge,) = self._db.execute("SELECT value FROM meta WHERE key = 'edge'").fetchone()
            self._db.execute(
                "INSERT INTO anchor SELECT 0, ? WHERE NOT EXISTS (SELECT 1 FROM anchor)", (FIRST_LINK,)
            )
        if edge != self._edge:
            raise LedgerError(
                f"{self._path} is the ledger of edge {edge!r}, the configuration says {self._edge!r}; "
                "give each edge a state_dir of its own"
            )

    def _anchor(self) -> tuple[int, bytes]:
        entry, link = self._rows("SELECT entry, link FROM anchor")[0]
        return entry, link

    def _tail(self) -> tuple[int, bytes]:
        """The last entry and its link."""
        rows = self._rows("SELECT entry, link FROM journal ORDER BY entry DESC LIMIT 1")
        return rows[0] if rows else self._anchor()

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._db.execute(statement, values).fetchall()

    def _decode(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise LedgerDamagedError(f"{self._path}: a stored {kind.__name__} is damaged: {error}") from error

"""The edge's ledger in SQLite: intents, verdicts, gaps, and what the centre has not confirmed.

WAL with synchronous=FULL: a commit that returned survives a power cut. One connection, used by the
thread that opened it (the edge's committer).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nii_edge.adapters.sqlite_common import ensure_schema, open_durable, transaction, translated
from nii_edge.errors import LedgerError
from nii_edge.ports import (
    Change,
    Conclude,
    Confirm,
    Intend,
    LedgerCounts,
    Miss,
    OutboxItem,
    OutboxKind,
    Park,
    StoredScan,
)
from nii_edge.records import Gap, Preview, Record, Report, ScanId, ScanType

SCHEMA_VERSION = 1
SCHEMA = (
    # report: msgpack Report, NULL while in flight
    "CREATE TABLE scans (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "scan_type TEXT NOT NULL, received_at_ns INTEGER NOT NULL, report BLOB, "
    "PRIMARY KEY (scanner, epoch, seq)) WITHOUT ROWID",
    "CREATE INDEX in_flight ON scans (scanner) WHERE report IS NULL",
    # gap: msgpack Gap; first and last are both missing
    "CREATE TABLE gaps (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, "
    "last INTEGER NOT NULL, gap BLOB NOT NULL, PRIMARY KEY (scanner, epoch, first)) WITHOUT ROWID",
    # high: the highest seq received
    "CREATE TABLE epochs (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, high INTEGER NOT NULL, "
    "PRIMARY KEY (scanner, epoch)) WITHOUT ROWID",
    "CREATE TABLE balance (scanner TEXT NOT NULL, scan_type TEXT NOT NULL, "
    "received INTEGER NOT NULL DEFAULT 0, clear INTEGER NOT NULL DEFAULT 0, "
    'alarm INTEGER NOT NULL DEFAULT 0, "unknown" INTEGER NOT NULL DEFAULT 0, '
    "missing INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scanner, scan_type)) WITHOUT ROWID",
    # key: alert id, or SHA-256 of a picture; parked: why the centre refuses it for good, NULL if it does not
    "CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
    "key TEXT NOT NULL UNIQUE, body BLOB NOT NULL, parked TEXT)",
)

_RECORDS: dict[str, type[Report] | type[Gap] | type[Preview]] = {
    "report": Report, "gap": Gap, "preview": Preview,
}  # fmt: skip

T = TypeVar("T")


class SqliteLedger:
    """ports.Ledger on a file. Use from the thread that made it; see `Committer`."""

    def __init__(self, path: Path, edge: str) -> None:
        """Open or create the ledger of `edge`.

        Raises:
            LedgerError: not writable, in use, damaged, of a newer version, or another edge's.
        """
        self._path = path
        self._db = open_durable(path)
        self._edge = edge
        try:
            self._prepare()
        except LedgerError:
            self._db.close()
            raise

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all `changes` durable, in order, or none."""
        with translated(self._path), transaction(self._db):
            for change in changes:
                self._apply(change)

    def find(self, scan: ScanId) -> StoredScan | None:
        """What is known of a scan; None if it was never received."""
        rows = self._rows(
            "SELECT report FROM scans WHERE scanner = ? AND epoch = ? AND seq = ?",
            (scan.scanner, scan.epoch, scan.seq),
        )
        if not rows:
            return None
        body = rows[0][0]
        return StoredScan(scan, None if body is None else self._decode(body, Report))

    def high_water(self) -> dict[tuple[str, int], int]:
        """The highest seq received, by (scanner, epoch)."""
        rows = self._rows("SELECT scanner, epoch, high FROM epochs")
        return {(scanner, epoch): seq for scanner, epoch, seq in rows}

    def in_flight(self) -> list[Intend]:
        """Scans received without a verdict, oldest first."""
        rows = self._rows(
            "SELECT scanner, epoch, seq, scan_type, received_at_ns FROM scans WHERE report IS NULL "
            "ORDER BY received_at_ns, scanner, epoch, seq"
        )
        return [
            Intend(
                ScanId(edge=self._edge, scanner=scanner, epoch=epoch, seq=seq), ScanType(scan_type), received
            )
            for scanner, epoch, seq, scan_type, received in rows
        ]

    def outbox(self, kind: OutboxKind, after: int, limit: int) -> list[OutboxItem]:
        """Unconfirmed items of a kind, numbered above `after`, oldest first; parked ones left out."""
        kinds = ("preview", "preview") if kind == "preview" else ("report", "gap")
        rows = self._rows(
            "SELECT number, kind, key, body FROM outbox "
            "WHERE number > ? AND kind IN (?, ?) AND parked IS NULL ORDER BY number LIMIT ?",
            (after, *kinds, limit),
        )
        return [
            OutboxItem(number, key, self._decode(body, _RECORDS[kind])) for number, kind, key, body in rows
        ]

    def counts(self) -> list[LedgerCounts]:
        """The balance. In flight is counted, not inferred, so that it can disagree."""
        rows = self._rows(
            'SELECT b.scanner, b.scan_type, received, clear, alarm, "unknown", (SELECT count(*) FROM scans s '
            "WHERE s.scanner = b.scanner AND s.scan_type = b.scan_type AND report IS NULL), missing "
            "FROM balance b ORDER BY b.scanner, b.scan_type"
        )
        return [LedgerCounts(row[0], ScanType(row[1]), *row[2:]) for row in rows]

    def close(self) -> None:
        """Finish and close. May be called twice."""
        self._db.close()

    # ---- changes

    def _apply(self, change: Change) -> None:
        match change:
            case Intend(scan, scan_type, received_at_ns):
                self._db.execute(
                    "INSERT INTO scans (scanner, epoch, seq, scan_type, received_at_ns) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (scan.scanner, scan.epoch, scan.seq, scan_type.value, received_at_ns),
                )
                self._db.execute(
                    "INSERT INTO epochs VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET high = max(high, excluded.high)",
                    (scan.scanner, scan.epoch, scan.seq),
                )
                self._count(scan.scanner, scan_type, "received", 1)
            case Conclude(report, preview):
                self._conclude(report, preview)
            case Miss(gap):
                # a crash between this and the intent that revealed it makes the same gap come again
                done = self._db.execute(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (gap.scanner, gap.epoch, gap.first, gap.last, msgspec.msgpack.encode(gap)),
                )
                if done.rowcount == 1:
                    self._send("gap", gap.alert_id, gap)
                    self._count(gap.scanner, gap.scan_type, "missing", gap.last - gap.first + 1)
            case Confirm(keys):
                self._db.executemany("DELETE FROM outbox WHERE key = ?", [(key,) for key in keys])
            case Park(key, reason):
                self._db.execute("UPDATE outbox SET parked = ? WHERE key = ?", (reason, key))

    def _conclude(self, report: Report, preview: Preview | None) -> None:
        verdict = report.verdict
        scan, key = verdict.id, (verdict.id.scanner, verdict.id.epoch, verdict.id.seq)
        intent = self._db.execute(
            "SELECT scan_type FROM scans WHERE scanner = ? AND epoch = ? AND seq = ? AND report IS NULL", key
        ).fetchone()
        if intent is None:
            raise LedgerError(f"{self._path}: {scan} has no open intent: a verdict was to be given twice")
        self._db.execute(
            "UPDATE scans SET report = ?, scan_type = ? WHERE scanner = ? AND epoch = ? AND seq = ?",
            (msgspec.msgpack.encode(report), verdict.scan_type.value, *key),
        )
        if intent[0] != verdict.scan_type.value:  # a later view said that it was a real carton
            self._count(scan.scanner, ScanType(intent[0]), "received", -1)
            self._count(scan.scanner, verdict.scan_type, "received", 1)
        self._send("report", report.alert_id, report)
        if preview is not None:
            self._send("preview", preview.sha256, preview)
        self._count(scan.scanner, report.verdict.scan_type, report.verdict.decision.value.lower(), 1)

    def _send(self, kind: str, key: str, record: Record) -> None:
        # a picture equal to one that still waits (two black frames, say) is not sent twice
        self._db.execute(
            "INSERT INTO outbox (kind, key, body) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (kind, key, msgspec.msgpack.encode(record)),
        )

    def _count(self, scanner: str, scan_type: ScanType, column: str, by: int) -> None:
        key = (scanner, scan_type.value)
        self._db.execute("INSERT INTO balance (scanner, scan_type) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
        statement = f'UPDATE balance SET "{column}" = "{column}" + ? WHERE scanner = ? AND scan_type = ?'  # noqa: S608
        self._db.execute(statement, (by, *key))

    # ---- plumbing

    def _prepare(self) -> None:
        ensure_schema(self._db, self._path, purpose="edge ledger", version=SCHEMA_VERSION, statements=SCHEMA)
        with translated(self._path), transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('edge', ?)", (self._edge,))
            (edge,) = self._db.execute("SELECT value FROM meta WHERE key = 'edge'").fetchone()
        if edge != self._edge:
            raise LedgerError(
                f"{self._path} is the ledger of edge {edge!r}, the configuration says {self._edge!r}; "
                "give each edge a state_dir of its own"
            )

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._db.execute(statement, values).fetchall()

    def _decode(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            raise LedgerError(f"{self._path}: a stored {kind.__name__} is damaged: {error}") from error

"""The collector's archive in one SQLite file: every record once, numbered in order of commit."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from nii_edge.adapters.sqlite_common import (
    ensure_schema,
    merge_log,
    open_durable,
    transaction,
    translated,
)
from nii_edge.errors import LedgerError, LedgerFullError, RecordDamagedError
from nii_edge.ports import ArchiveCounts, Page, Stored
from nii_edge.records import Decision, Gap, Preview, Recall, Report, ScanType
from nii_edge.telemetry import logger
from nii_edge.wire import Archived

SCHEMA = 2
TOLD = 1_024
"""So many conflicts are not told again: edges send the same now and then."""
SETTLE_EVERY_S = 10.0
"""How long a disk may fail beneath what SQLite does after commits before somebody hears of it."""

_RECORDS = """CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        alert_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('report', 'gap', 'recall')),
        edge TEXT NOT NULL,
        scanner TEXT NOT NULL,
        decision TEXT NOT NULL,
        scan_type TEXT NOT NULL,
        archived_at_ns INTEGER NOT NULL,
        body BLOB NOT NULL,
        crc32 INTEGER NOT NULL
    )"""
# The number follows by itself: an index row ends in the table's integer key.
_BY_KIND = "CREATE INDEX records_by_kind ON records (scan_type, decision)"
_TABLES = (
    _RECORDS,
    _BY_KIND,
    "CREATE TABLE previews (sha256 TEXT PRIMARY KEY, media_type TEXT NOT NULL, data BLOB NOT NULL)",
)
_UPGRADES = {
    1: (  # 1 knew no recalls
        "DROP INDEX records_by_kind",
        "ALTER TABLE records RENAME TO records_of_1",
        _RECORDS,
        "INSERT INTO records SELECT * FROM records_of_1 ORDER BY number",
        "DROP TABLE records_of_1",
        _BY_KIND,
    )
}
_INSERT_RECORD = """INSERT INTO records
    (alert_id, kind, edge, scanner, decision, scan_type, archived_at_ns, body, crc32)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alert_id) DO NOTHING"""
_INSERT_PREVIEW = (
    "INSERT INTO previews (sha256, media_type, data) VALUES (?, ?, ?) ON CONFLICT (sha256) DO NOTHING"
)
_OF_ONE_KIND = """SELECT * FROM (SELECT number FROM records
    WHERE scan_type = ? AND decision = ? AND number > ? ORDER BY number LIMIT ?)"""

_ITEM_OVERHEAD = 64
"""Bytes of an `Archived` on the wire beside its record: field names, number, time; rounded up."""

_encoder = msgspec.msgpack.Encoder()
_report_decoder = msgspec.msgpack.Decoder(Report)
_gap_decoder = msgspec.msgpack.Decoder(Gap)
_recall_decoder = msgspec.msgpack.Decoder(Recall)
_log = logger("archive")


class SqliteArchive:
    """`Archive` in the file `path`, created if it is not there. See `nii_edge.ports.Archive`."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerError if the file is in use, damaged, not an archive, or of another schema."""
        self._path = path
        self._broken: LedgerError | None = None
        self._told: dict[str, None] = {}
        self._settled_at = time.monotonic()
        self._connection = open_durable(path, check_same_thread=False)
        try:
            ensure_schema(
                self._connection,
                path,
                purpose="archive",
                version=SCHEMA,
                statements=_TABLES,
                upgrades=_UPGRADES,
            )
            self._tally = _Tally(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def store(self, items: Sequence[Report | Gap | Recall | Preview], archived_at_ns: int) -> Stored:
        """See `Archive.store`."""
        self._usable()
        batch = _Batch(self._connection, archived_at_ns)
        try:
            with translated(self._path), transaction(self._connection):
                for item in items:
                    batch.add(item)
            self._settle()
        except LedgerError as error:
            self._broken = error
            raise
        self._tally.add(batch)
        for alert_id in batch.conflicts:
            if alert_id not in self._told:
                _log.error("conflict", alert_id=alert_id, standing="the first one")
        self._told = dict.fromkeys([*self._told, *batch.conflicts][-TOLD:])
        return Stored(batch.archived, batch.duplicates, tuple(batch.conflicts), tuple(batch.refused))

    def after(
        self,
        number: int,
        limit: int,
        decisions: Sequence[Decision],
        scan_types: Sequence[ScanType],
        max_bytes: int,
    ) -> Page:
        """See `Archive.after`."""
        self._usable()
        end = max(number, self.last_number())
        kinds = [(scan_type, decision) for scan_type in set(scan_types) for decision in set(decisions)]
        if not kinds or limit < 1:
            return Page((), end if limit >= 1 else number)
        items: list[Archived] = []
        size = 0
        try:
            for item, item_size in self._matching(number, limit, kinds):
                if items and size + item_size > max_bytes:
                    return Page(tuple(items), items[-1].number)
                items.append(item)
                size += item_size
        except RecordDamagedError:
            if not items:
                raise
            return Page(tuple(items), items[-1].number)
        return Page(tuple(items), items[-1].number if len(items) == limit else end)

    def _matching(
        self, number: int, limit: int, kinds: Sequence[tuple[ScanType, Decision]]
    ) -> Iterator[tuple[Archived, int]]:
        """Records of `kinds` above `number` with their size on the wire in bytes, in order of number."""
        union = " UNION ALL ".join([_OF_ONE_KIND] * len(kinds))
        query = (
            "SELECT number, archived_at_ns, kind, body, crc32 FROM records WHERE number IN "  # noqa: S608
            f"(SELECT number FROM ({union}) ORDER BY number LIMIT ?) ORDER BY number"  # constants only
        )
        values: list[str | int] = []
        for scan_type, decision in kinds:
            values += [scan_type.value, decision.value, number, limit]
        with translated(self._path):
            for row in self._connection.execute(query, [*values, limit]):
                yield self._restored(*row), len(row[3]) + _ITEM_OVERHEAD

    def _restored(self, number: int, archived_at_ns: int, kind: str, body: bytes, crc32: int) -> Archived:
        if zlib.crc32(body) != crc32:
            raise RecordDamagedError(
                number, f"{self._path}: record {number} is damaged (its CRC-32 is another)"
            )
        try:
            if kind == "gap":
                gap = _gap_decoder.decode(body)
                return Archived(number=number, archived_at_ns=archived_at_ns, gap=gap)
            if kind == "recall":
                recall = _recall_decoder.decode(body)
                return Archived(number=number, archived_at_ns=archived_at_ns, recall=recall)
            report = _report_decoder.decode(body)
        except (msgspec.DecodeError, ValueError) as error:
            words = f"{self._path}: record {number} cannot be read: {error}"
            raise RecordDamagedError(number, words) from error
        return Archived(number=number, archived_at_ns=archived_at_ns, report=report)

    def last_number(self) -> int:
        """See `Archive.last_number`."""
        self._usable()
        with translated(self._path):
            row = self._connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'records'"
            ).fetchone()
        return int(row[0]) if row else 0

    def preview(self, sha256: str) -> Preview | None:
        """See `Archive.preview`."""
        self._usable()
        with translated(self._path):
            row = self._connection.execute(
                "SELECT media_type, data FROM previews WHERE sha256 = ?", (sha256,)
            ).fetchone()
        if row is None:
            return None
        if hashlib.sha256(row[1]).hexdigest() != sha256:
            raise LedgerError(f"{self._path}: picture {sha256} is damaged")
        return Preview(sha256=sha256, media_type=row[0], data=row[1])

    def counts(self) -> ArchiveCounts:
        """See `Archive.counts`."""
        return self._tally.counts()

    def close(self) -> None:
        """See `Archive.close`."""
        self._broken = self._broken or LedgerError(f"{self._path}: the archive is closed")
        with translated(self._path):
            self._connection.close()

    def _settle(self) -> None:
        """Now and then, merge the log into the file: when SQLite does so by itself it keeps errors to itself.
        A full disk is the next commit's to tell."""
        if time.monotonic() - self._settled_at >= SETTLE_EVERY_S:
            self._settled_at = time.monotonic()
            with contextlib.suppress(LedgerFullError):
                merge_log(self._connection, self._path)

    def _usable(self) -> None:
        if self._broken is not None:
            raise LedgerError(f"not used any more after: {self._broken}") from self._broken


class _Batch:
    """The items of one transaction, and what became of them."""

    def __init__(self, connection: sqlite3.Connection, archived_at_ns: int) -> None:
        self._connection = connection
        self._archived_at_ns = archived_at_ns
        self.reports: Counter[tuple[ScanType, Decision]] = Counter()
        self.gaps = 0
        self.recalls = 0
        self.previews = 0
        self.duplicates = 0
        self.conflicts: list[str] = []
        self.refused: list[str] = []

    @property
    def archived(self) -> int:
        return self.reports.total() + self.gaps + self.recalls + self.previews

    def add(self, item: Report | Gap | Recall | Preview) -> None:
        if isinstance(item, Preview):
            self._add_preview(item)
        elif isinstance(item, Gap):
            self.gaps += self._add_record(
                item, "gap", (item.edge, item.scanner), (item.scan_type, Decision.UNKNOWN)
            )
        elif isinstance(item, Recall):
            self.recalls += self._add_record(
                item, "recall", (item.scan.edge, item.scan.scanner), (item.scan_type, Decision.ALARM)
            )
        else:
            verdict = item.verdict
            kind = (verdict.scan_type, verdict.decision)
            self.reports[kind] += self._add_record(
                item, "report", (verdict.id.edge, verdict.id.scanner), kind
            )

    def _add_record(
        self, item: Report | Gap | Recall, kind: str, place: tuple[str, str], filed: tuple[ScanType, Decision]
    ) -> int:
        """1 if the record is new, else 0."""
        body = _encoder.encode(item)
        scan_type, decision = filed
        row = (item.alert_id, kind, *place, decision.value, scan_type.value, self._archived_at_ns)
        cursor = self._connection.execute(_INSERT_RECORD, (*row, body, zlib.crc32(body)))
        if cursor.rowcount == 1:
            return 1
        standing = self._connection.execute(
            "SELECT body FROM records WHERE alert_id = ?", (item.alert_id,)
        ).fetchone()
        if standing[0] == body:
            self.duplicates += 1
        else:
            self.conflicts.append(item.alert_id)
        return 0

    def _add_preview(self, item: Preview) -> None:
        if hashlib.sha256(item.data).hexdigest() != item.sha256:
            self.refused.append(item.sha256)
            return
        row = (item.sha256, item.media_type, bytes(item.data))
        new = self._connection.execute(_INSERT_PREVIEW, row).rowcount
        self.previews += new
        self.duplicates += 1 - new


class _Tally:
    """What the archive holds: counted once when opened, then kept up with every commit."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._reports: Counter[tuple[ScanType, Decision]] = Counter()
        self._duplicates = 0
        self._conflicts = 0
        with translated(path):
            (self._previews,) = connection.execute("SELECT count(*) FROM previews").fetchone()
            of_kind = dict(connection.execute("SELECT kind, count(*) FROM records GROUP BY kind"))
            for scan_type, decision, count in connection.execute(
                "SELECT scan_type, decision, count(*) FROM records WHERE kind = 'report' "
                "GROUP BY scan_type, decision"
            ):
                self._reports[ScanType(scan_type), Decision(decision)] = count
        self._gaps: int = of_kind.get("gap", 0)
        self._recalls: int = of_kind.get("recall", 0)

    def add(self, batch: _Batch) -> None:
        self._reports.update(batch.reports)
        self._gaps += batch.gaps
        self._recalls += batch.recalls
        self._previews += batch.previews
        self._duplicates += batch.duplicates
        self._conflicts += len(batch.conflicts)

    def counts(self) -> ArchiveCounts:
        reports = {kind: count for kind, count in self._reports.items() if count}
        return ArchiveCounts(
            reports, self._gaps, self._previews, self._duplicates, self._conflicts, self._recalls
        )

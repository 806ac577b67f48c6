"""The edge's ledger in SQLite: what was received, what was said of it, what the centre has not confirmed.

WAL with synchronous=FULL: a commit that returned survives a power cut. One connection, used by the
thread that opened it (the edge's committer).

Reports, gaps and recalls stand in the `journal`, numbered from 1 without a hole. Each entry carries the
CRC-32 of its body and a link, ``SHA-256(link before || kind || body)``: a changed, lost or added row breaks
the chain from there on, also where SQLite's own integrity check says ok. What is pruned leaves its last link
behind as the anchor of the rest.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from nii_edge.adapters import ledger_audit
from nii_edge.adapters.ledger_schema import (
    COUNTING,
    FIRST_LINK,
    SCHEMA,
    SCHEMA_VERSION,
    TALLY,
    UPGRADES,
    next_link,
)
from nii_edge.adapters.sqlite_common import (
    ensure_schema,
    merge_log,
    open_durable,
    transaction,
    translated,
)
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
    Passed,
    Prune,
    Recalled,
    StoredScan,
)
from nii_edge.records import Decision, Gap, Preview, Recall, Report, ScanId, ScanType

MAX_PROBLEMS = 100
PRUNE_AT_ONCE = 250
PICTURES_AT_ONCE = 50
"""The most entries and pictures one `Prune` removes: it must not hold up verdicts."""
PARKED_AT_ONCE = 25
"""The most parked entries that it puts to the end, since each is written anew."""
REDATE_AT_ONCE = 2_000
"""The most entries that it looks at for a time that has not come yet."""
NEVER = 2**63 - 1

T = TypeVar("T")
KINDS: dict[str, type[Report | Gap | Recall]] = {"report": Report, "gap": Gap, "recall": Recall}
"""The records of the journal, by what the column `kind` says."""


class _Whole(NamedTuple):
    """A scan whose verdict goes to disk together with its intent."""

    intent: Intend
    conclusion: Conclude


def _joined(changes: Sequence[Change]) -> Iterator[Change | _Whole]:
    """The changes in order, each intent whose verdict is among them put where its verdict is."""
    concluded = {change.report.verdict.id for change in changes if isinstance(change, Conclude)}
    waiting: dict[ScanId, Intend] = {}
    for change in changes:
        if isinstance(change, Intend) and change.scan in concluded:
            waiting[change.scan] = change
        elif isinstance(change, Conclude) and change.report.verdict.id in waiting:
            yield _Whole(waiting.pop(change.report.verdict.id), change)
        else:
            yield change


class _Verdict(msgspec.Struct, frozen=True):
    """Of a verdict, what `passed_since` tells."""

    id: ScanId
    scan_type: ScanType
    decision: Decision
    carton: str | None = None


class _Told(msgspec.Struct, frozen=True):
    """Of a report."""

    verdict: _Verdict


_told = msgspec.msgpack.Decoder(_Told)


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
        self._redated_to = NEVER
        self._parked_to = 0, 0
        try:
            self._prepare()
            self._last, self._link = self._tail()
            self._pictures_parked = bool(
                self._rows("SELECT EXISTS (SELECT 1 FROM previews WHERE state = 'parked')")[0][0]
            )
        except BaseException:  # nobody else can read a file that is open
            self._db.close()
            raise

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all `changes` durable, in order, or none."""
        before = self._last, self._link, self._redated_to, self._parked_to, self._pictures_parked
        try:
            with translated(self._path), transaction(self._db):
                for change in _joined(changes):
                    self._apply(change)
        except BaseException:
            self._last, self._link, self._redated_to, self._parked_to, self._pictures_parked = before
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

    def passed_since(self, received_ns: int, limit: int) -> list[Passed]:
        """Scans of named cartons that have their verdict, the last `limit`, in the order of verdicts."""
        found = []
        with translated(self._path):
            for received, body in self._db.execute(
                "SELECT s.received_at_ns, j.body FROM scans s JOIN journal j ON j.entry = s.entry "
                "WHERE s.received_at_ns >= ? AND s.carton IS NOT NULL ORDER BY s.entry DESC LIMIT ?",
                (received_ns, limit),
            ):
                with suppress(msgspec.DecodeError, ValueError):
                    told = _told.decode(body).verdict
                    found.append(Passed(received, told.id, told.scan_type, told.decision, told.carton or ""))
        return found[::-1]

    def known(self, alert_ids: Collection[str]) -> set[str]:
        """Which of these ids stand in the journal."""
        with translated(self._path):
            return {each for each in alert_ids if self._known(each)}

    def outbox(self, kind: OutboxKind, after: int, limit: int) -> list[OutboxItem]:
        """See `Ledger.outbox`."""
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
        state = "parked" if kind == "parked" else "pending"
        rows = self._rows(
            f"SELECT entry, kind, key, body FROM journal INDEXED BY journal_{state} "  # noqa: S608
            f"WHERE state = '{state}' AND entry > ? ORDER BY entry LIMIT ?",
            (after, limit),
        )
        return [OutboxItem(entry, key, self._decode(body, KINDS[kind])) for entry, kind, key, body in rows]

    def counts(self) -> list[LedgerCounts]:
        """The balance. In flight is counted, not inferred, so that it can disagree."""
        rows = self._rows(
            'SELECT b.scanner, b.scan_type, received, clear, alarm, "unknown", '
            "(SELECT count(*) FROM scans s INDEXED BY in_flight WHERE s.scanner = b.scanner "
            "AND s.scan_type = b.scan_type AND entry IS NULL), missing FROM balance b "
            "ORDER BY b.scanner, b.scan_type"
        )
        return [LedgerCounts(row[0], ScanType(row[1]), *row[2:]) for row in rows]

    def stats(self) -> LedgerStats:
        """How much there is of what. Takes as long for many records as for few."""
        (anchor, _) = self._anchor()
        pending, parked, pictures, unsent, picture_bytes, pending_bytes = self._rows(
            "SELECT pending, parked, pictures, pictures_pending, picture_bytes, record_bytes + unsent_bytes "
            "FROM tally"
        )[0]
        oldest = self._rows("SELECT entry FROM journal WHERE state = 'pending' ORDER BY entry LIMIT 1")
        size = self._rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return LedgerStats(
            entries=self._last - anchor,
            last_entry=self._last,
            last_link=self._link.hex(),
            pruned_to=anchor,
            pending=pending,
            oldest_pending=oldest[0][0] if oldest else 0,
            parked=parked,
            pictures=pictures,
            pictures_pending=unsent,
            picture_bytes=picture_bytes,
            pending_bytes=pending_bytes,
            file_bytes=size[0][0],
        )

    def entries(self, after: int, limit: int) -> list[LedgerEntry]:
        """Journal entries numbered above `after`, in order, as they are: for export."""
        rows = self._rows(
            "SELECT entry, kind, key, state, link, body FROM journal WHERE entry > ? ORDER BY entry LIMIT ?",
            (after, limit),
        )
        return [
            LedgerEntry(entry, key, state, link.hex(), self._decode(body, KINDS[kind]))
            for entry, kind, key, state, link, body in rows
        ]

    def verify(self, after: int, limit: int) -> Audit:
        """Check entries numbered above `after`; at the end of the chain also what refers to it."""
        problems: list[str] = []
        last = after = min(after, self._last)
        try:
            before = self._link_of(after)
            for number, found in ledger_audit.check_entries(self._rows, self._edge, before, limit):
                last = number
                problems += found
            if problems:  # whose verdicts are lost
                problems += ledger_audit.check_scans(self._rows, after, last)
            at_end = last >= self._last or last == after
            if at_end:
                begin, _ = self._anchor()
                ends = begin, max(last, begin)
                problems += ledger_audit.check_end(self._rows, self.counts(), ends, self._last)
        except LedgerError as error:  # damage that SQLite itself stumbles over
            return Audit((*problems, str(error))[:MAX_PROBLEMS], None)
        return Audit(tuple(problems[:MAX_PROBLEMS]), None if at_end else last)

    def check_structure(self) -> list[str]:
        """What is wrong beside the chain: with the file's pages and indexes, with the names of pictures, or
        so that a question cannot be asked. A verification does not read these; a daemon that began with
        them would end at the first question, and so at every start."""
        try:
            self._db.create_function("crc32", 2, zlib.crc32, deterministic=True)
            found = ledger_audit.check_pages(self._rows) or [
                *ledger_audit.check_names(self._rows),
                *ledger_audit.check_waiting(self._rows),
            ]
            self._ask_all()
        except LedgerError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            if not isinstance(error, LedgerDamagedError) and code != sqlite3.SQLITE_ERROR:
                raise
            return [str(error)]
        return found[:MAX_PROBLEMS]

    def _ask_all(self) -> None:
        """Every question, for as little as an answer can hold."""
        self.high_water()
        self.in_flight()
        self.counts()
        self.stats()
        self.find(ScanId(edge=self._edge, scanner="none", epoch=0, seq=1))
        self.passed_since(NEVER, 1)
        self.known(("none",))
        self.outbox("record", 0, 1)
        self.outbox("preview", 0, 1)
        self.outbox("parked", 0, 1)
        told = "j.archived_at_ns, j.parked, p.archived_at_ns, p.parked"
        self._rows(f"SELECT {told} FROM journal j, previews p LIMIT 0")  # noqa: S608 - a constant

    def settle(self) -> None:
        """See `Ledger.settle`: the write-ahead log goes into the file. A few milliseconds."""
        merge_log(self._db, self._path)

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

    def _apply(self, change: Change | _Whole) -> None:
        match change:
            case _Whole(intent, Conclude(report, preview)):
                self._record(intent, report, preview)
            case Intend():
                self._intend(change)
            case Conclude(report, preview):
                self._conclude(report, preview)
            case Miss(gap):
                self._miss(gap)
            case Recalled(recall):
                if not self._known(recall.alert_id):
                    self._append("recall", recall.alert_id, recall)
            case Confirm() | Park():
                self._deliver(change)
            case Prune():
                self._prune(change)

    def _deliver(self, change: Confirm | Park) -> None:
        match change:
            case Confirm(keys, archived_at_ns):
                freed = self._freed()
                self._set_state([(key,) for key in keys], "archived", archived_at_ns, None)
                if self._pictures_parked and self._freed() > freed:
                    self._try_pictures_again()
            case Park(key, reason):
                self._set_state([(key,)], "parked", None, reason)
                self._pictures_parked = True

    def _intend(self, intent: Intend) -> None:
        self._receive(intent, intent.scan_type, None)
        self._count(intent.scan.scanner, intent.scan_type, "received")

    def _record(self, intent: Intend, report: Report, preview: Preview | None) -> None:
        """A scan and its verdict at once: the usual case, in half the statements."""
        verdict = report.verdict
        entry = self._append("report", report.alert_id, report)
        self._receive(intent, verdict.scan_type, entry)
        self._keep(preview)
        self._count(intent.scan.scanner, verdict.scan_type, "received", verdict.decision.value.lower())

    def _receive(self, intent: Intend, scan_type: ScanType, entry: int | None) -> None:
        scan = intent.scan
        key = (scan.scanner, scan.epoch, scan.seq)
        self._db.execute(
            "INSERT INTO scans (scanner, epoch, seq, scan_type, received_at_ns, carton, entry) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*key, scan_type.value, intent.received_at_ns, intent.carton, entry),
        )
        self._db.execute(
            "INSERT INTO epochs (scanner, epoch, high) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET high = max(high, excluded.high)",
            key,
        )

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
            self._count(scan.scanner, ScanType(intent[0]), "received", by=-1)
            self._count(scan.scanner, verdict.scan_type, "received")
        self._keep(preview)
        self._count(scan.scanner, verdict.scan_type, verdict.decision.value.lower())

    def _keep(self, preview: Preview | None) -> None:
        if preview is not None:
            # a picture equal to an earlier one (two black frames, say) is kept and sent once
            self._db.execute(
                "INSERT INTO previews (sha256, media_type, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (preview.sha256, preview.media_type, preview.data),
            )

    def _miss(self, gap: Gap) -> None:
        # a crash between this and the intent that revealed it makes the same gap come again
        if not self._known(gap.alert_id):
            self._append("gap", gap.alert_id, gap)
            self._count(gap.scanner, gap.scan_type, "missing", by=gap.last - gap.first + 1)

    def _known(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM journal WHERE key = ?", (key,)).fetchone() is not None

    def _append(self, kind: str, key: str, record: Report | Gap | Recall) -> int:
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
        """Forget the oldest entries that the centre has had for long enough, and pictures over budget. Parked
        ones among them are kept, as entries at the end, lest one of them keep all that come after it."""
        anchor, _ = self._anchor()
        keep = self._db.execute(
            "SELECT coalesce(min(entry), ?) FROM journal "
            "WHERE NOT (state = 'parked' OR state = 'archived' AND archived_at_ns < ?) AND entry <= ?",
            (anchor + PRUNE_AT_ONCE + 1, change.archived_before_ns, anchor + PRUNE_AT_ONCE),
        ).fetchone()[0]
        last = self._up_to_parked(min(keep - 1, self._last))
        confirmed_ns = self._first_confirmed(anchor)
        if last > anchor and confirmed_ns < change.archived_before_ns:
            self._keep_parked(last)
            self._forget(last)
        elif change.now_ns < confirmed_ns < NEVER:
            self._redated_to = min(self._redated_to, anchor)
        self._redate(change.now_ns)
        self._drop_pictures(change.archived_before_ns, change.picture_bytes)

    def _first_confirmed(self, anchor: int) -> int:
        """When the first entry was confirmed that is not parked: if that one stays, nothing is won by moving
        those that are. What was found parked is not looked through again until some of it is taken."""
        (freed,) = self._db.execute("SELECT freed FROM tally").fetchone()
        before, upto = self._parked_to
        first = self._db.execute(
            "SELECT entry, state, archived_at_ns FROM journal WHERE entry > ? AND state != 'parked' "
            "ORDER BY entry LIMIT 1",
            (max(anchor, upto) if freed == before else anchor,),
        ).fetchone()
        self._parked_to = freed, self._last if first is None else first[0] - 1
        return first[2] if first is not None and first[1] == "archived" else NEVER

    def _up_to_parked(self, last: int) -> int:
        """Not so far that more than `PARKED_AT_ONCE` parked entries would have to be moved."""
        next_one = self._db.execute(
            "SELECT entry FROM journal INDEXED BY journal_parked WHERE state = 'parked' AND entry <= ? "
            "ORDER BY entry LIMIT 1 OFFSET ?",
            (last, PARKED_AT_ONCE),
        ).fetchone()
        return last if next_one is None else next_one[0] - 1

    def _redate(self, now_ns: int) -> None:
        """Some more of what a clock that was ahead has dated later than now, if there is any."""
        if self._redated_to >= self._last:
            self._redated_to = NEVER
            return
        upto = self._redated_to + REDATE_AT_ONCE
        self._db.execute(
            "UPDATE journal SET archived_at_ns = ? WHERE entry > ? AND entry <= ? "
            "AND state = 'archived' AND archived_at_ns > ?",
            (now_ns, self._redated_to, upto, now_ns),
        )
        self._redated_to = upto

    def _keep_parked(self, last: int) -> None:
        """Parked entries up to `last` stand at the end of the journal from now on."""
        for entry, kind, key, body, crc, parked in self._db.execute(
            "SELECT entry, kind, key, body, crc, parked FROM journal INDEXED BY journal_parked "
            "WHERE state = 'parked' AND entry <= ? ORDER BY entry",
            (last,),
        ).fetchall():
            if zlib.crc32(body) != crc:  # or it would be given a new one
                raise LedgerDamagedError(f"{self._path}: entry {entry} has a CRC-32 other than its own")
            record = self._decode(body, KINDS[kind])
            self._db.execute("UPDATE journal SET key = 'moved ' || entry WHERE entry = ?", (entry,))
            moved = self._append(kind, key, record)
            self._db.execute(
                "UPDATE journal SET state = 'parked', parked = ? WHERE entry = ?", (parked, moved)
            )
            self._db.execute("UPDATE scans SET entry = ? WHERE entry = ?", (moved, entry))

    def _forget(self, last: int) -> None:
        (link,) = self._db.execute("SELECT link FROM journal WHERE entry = ?", (last,)).fetchone()
        highest = self._db.execute(
            "SELECT max(seq), scanner, epoch FROM scans INDEXED BY scans_by_entry WHERE entry <= ? "
            "GROUP BY scanner, epoch",
            (last,),
        ).fetchall()
        self._db.executemany(
            "UPDATE epochs SET pruned = max(pruned, ?) WHERE scanner = ? AND epoch = ?", highest
        )
        self._db.execute("DELETE FROM scans WHERE entry <= ?", (last,))
        self._db.execute("DELETE FROM journal WHERE entry <= ?", (last,))
        self._db.execute("UPDATE anchor SET entry = ?, link = ?", (last, link))

    def _drop_pictures(self, before_ns: int, budget: int) -> None:
        """Drop pictures confirmed before then, and confirmed ones, oldest first, until all together fit the
        budget; not many at once."""
        (total,) = self._db.execute("SELECT picture_bytes FROM tally").fetchone()
        for number, size, archived_at_ns in self._db.execute(
            "SELECT number, length(data), archived_at_ns FROM previews INDEXED BY previews_archived "
            "WHERE state = 'archived' ORDER BY archived_at_ns, number LIMIT ?",
            (PICTURES_AT_ONCE,),
        ).fetchall():
            if total <= budget and archived_at_ns >= before_ns:
                return
            self._db.execute("DELETE FROM previews WHERE number = ?", (number,))
            total -= size
        if total > budget and self._pictures_parked:
            self._drop_parked_pictures(total - budget)

    def _drop_parked_pictures(self, over: int) -> None:
        """Pictures that the centre refused make room for others, oldest first."""
        for number, size in self._db.execute(
            "SELECT number, length(data) FROM previews WHERE state = 'parked' ORDER BY number LIMIT ?",
            (PICTURES_AT_ONCE,),
        ).fetchall():
            if over <= 0:
                return
            self._db.execute("DELETE FROM previews WHERE number = ?", (number,))
            over -= size

    def _freed(self) -> int:
        """Parked records that the centre took after all, since the start."""
        (freed,) = self._db.execute("SELECT freed FROM tally").fetchone()
        return int(freed)

    def _try_pictures_again(self) -> None:
        """The centre takes what it refused: pictures that it refused come once more, after all others."""
        for (number,) in self._db.execute(
            "SELECT number FROM previews WHERE state = 'parked' ORDER BY number"
        ).fetchall():
            self._db.execute(
                "UPDATE previews SET state = 'pending', parked = NULL, "
                "number = (SELECT max(number) + 1 FROM previews) WHERE number = ?",
                (number,),
            )
        self._pictures_parked = False

    def _count(self, scanner: str, scan_type: ScanType, *columns: str, by: int = 1) -> None:
        self._db.execute(COUNTING[columns], (scanner, scan_type.value, *[by] * len(columns)))

    # ---- plumbing

    def _prepare(self) -> None:
        ensure_schema(
            self._db,
            self._path,
            purpose="edge ledger",
            version=SCHEMA_VERSION,
            statements=SCHEMA,
            upgrades=UPGRADES,
        )
        with translated(self._path):
            self._db.execute("PRAGMA temp_store = MEMORY")  # has no effect within a transaction
        with translated(self._path), transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('edge', ?)", (self._edge,))
            (edge,) = self._db.execute("SELECT value FROM meta WHERE key = 'edge'").fetchone()
            self._db.execute(
                "INSERT INTO anchor SELECT 0, ? WHERE NOT EXISTS (SELECT 1 FROM anchor)", (FIRST_LINK,)
            )
            for statement in TALLY:
                self._db.execute(statement)
        if edge != self._edge:
            raise LedgerError(
                f"{self._path} is the ledger of edge {edge!r}, the configuration says {self._edge!r}; "
                "give each edge a state_dir of its own"
            )

    def _link_of(self, entry: int) -> tuple[int, bytes]:
        """An entry and its link; the anchor for what was pruned."""
        rows = self._rows("SELECT entry, link FROM journal WHERE entry = ?", (entry,))
        return rows[0] if rows else self._anchor()

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

"""The tables of the edge's ledger, and the statements and sums that belong to them."""

from __future__ import annotations

import hashlib

from nii_edge.records import Decision

SCHEMA_VERSION = 4
_ARCHIVED_PICTURES = (
    "CREATE INDEX previews_archived ON previews (archived_at_ns, number) WHERE state = 'archived'"
)
UPGRADES = {3: (_ARCHIVED_PICTURES,)}
"""By schema, what makes a file of it one of the next."""
SCHEMA = (
    # entry: the journal's number of the report, NULL while in flight
    "CREATE TABLE scans (scanner TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "scan_type TEXT NOT NULL, received_at_ns INTEGER NOT NULL, carton TEXT, entry INTEGER, "
    "PRIMARY KEY (scanner, epoch, seq)) WITHOUT ROWID",
    "CREATE INDEX in_flight ON scans (scanner) WHERE entry IS NULL",
    "CREATE INDEX scans_by_entry ON scans (entry) WHERE entry IS NOT NULL",
    # kind: report, gap or recall; key: alert id; state: pending, archived or parked
    # archived_at_ns: when confirmed
    "CREATE TABLE journal (entry INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE, "
    "body BLOB NOT NULL, crc INTEGER NOT NULL, link BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'pending', "
    "archived_at_ns INTEGER, parked TEXT)",
    "CREATE INDEX journal_pending ON journal (entry) WHERE state = 'pending'",
    "CREATE INDEX journal_parked ON journal (entry) WHERE state = 'parked'",
    # pictures are not part of the chain: their name is their hash
    "CREATE TABLE previews (number INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE, "
    "media_type TEXT NOT NULL, data BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'pending', "
    "archived_at_ns INTEGER, parked TEXT)",
    "CREATE INDEX previews_pending ON previews (number) WHERE state = 'pending'",
    _ARCHIVED_PICTURES,
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


def _kept(table: str, event: str, *sums: str) -> str:
    """A trigger by which the tally follows a table."""
    return (
        f"CREATE TEMP TRIGGER tally_{table}_{event[:6].lower()} AFTER {event} ON main.{table} "  # noqa: S608
        f"BEGIN UPDATE tally SET {', '.join(sums)}; END"
    )


TALLY = (
    # in memory, of one row, undone with the transaction that changed it: counting half a million rows
    # whenever somebody asks would keep verdicts waiting
    "CREATE TEMP TABLE tally AS SELECT "
    "(SELECT count(*) FROM journal WHERE state = 'pending') AS pending, "
    "(SELECT count(*) FROM journal WHERE state = 'parked') AS parked, 0 AS freed, "  # parked ones taken since
    "(SELECT cast(total(length(body)) AS INTEGER) FROM journal WHERE state = 'pending') AS record_bytes, "
    "count(*) AS pictures, count(*) FILTER (WHERE state = 'pending') AS pictures_pending, "
    "cast(total(length(data)) AS INTEGER) AS picture_bytes, "
    "cast(total(length(data)) FILTER (WHERE state = 'pending') AS INTEGER) AS unsent_bytes FROM previews",
    _kept("journal", "INSERT", "pending = pending + (NEW.state = 'pending')",
          "record_bytes = record_bytes + (NEW.state = 'pending') * length(NEW.body)",
          "parked = parked + (NEW.state = 'parked')"),
    _kept("journal", "DELETE", "pending = pending - (OLD.state = 'pending')",
          "record_bytes = record_bytes - (OLD.state = 'pending') * length(OLD.body)",
          "parked = parked - (OLD.state = 'parked')"),
    _kept("journal", "UPDATE OF state",
          "pending = pending + (NEW.state = 'pending') - (OLD.state = 'pending')",
          "record_bytes = record_bytes "
          "+ ((NEW.state = 'pending') - (OLD.state = 'pending')) * length(NEW.body)",
          "parked = parked + (NEW.state = 'parked') - (OLD.state = 'parked')",
          "freed = freed + (OLD.state = 'parked' AND NEW.state != 'parked')"),
    _kept("previews", "INSERT", "pictures = pictures + 1",
          "pictures_pending = pictures_pending + (NEW.state = 'pending')",
          "picture_bytes = picture_bytes + length(NEW.data)",
          "unsent_bytes = unsent_bytes + (NEW.state = 'pending') * length(NEW.data)"),
    _kept("previews", "DELETE", "pictures = pictures - 1",
          "pictures_pending = pictures_pending - (OLD.state = 'pending')",
          "picture_bytes = picture_bytes - length(OLD.data)",
          "unsent_bytes = unsent_bytes - (OLD.state = 'pending') * length(OLD.data)"),
    _kept("previews", "UPDATE OF state",
          "pictures_pending = pictures_pending + (NEW.state = 'pending') - (OLD.state = 'pending')",
          "unsent_bytes = unsent_bytes "
          "+ ((NEW.state = 'pending') - (OLD.state = 'pending')) * length(NEW.data)"),
)  # fmt: skip


def next_link(link: bytes, kind: str, body: bytes) -> bytes:
    """The link of an entry that follows the one with `link`."""
    return hashlib.sha256(link + kind.encode() + body).digest()


def counting(columns: tuple[str, ...]) -> str:
    """The statement that adds to these columns of a scanner's balance."""
    names = ", ".join(f'"{column}"' for column in columns)
    sums = ", ".join(f'"{column}" = "{column}" + excluded."{column}"' for column in columns)
    values = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO balance (scanner, scan_type, {names}) VALUES (?, ?, {values}) "  # noqa: S608
        f"ON CONFLICT DO UPDATE SET {sums}"
    )


_DECISIONS = tuple(decision.value.lower() for decision in Decision)
COUNTING = {
    columns: counting(columns)
    for columns in (
        ("received",),
        ("missing",),
        *((name,) for name in _DECISIONS),
        *(("received", name) for name in _DECISIONS),
    )
}
"""By what is counted, so that SQLite sees the same few texts and keeps them prepared."""

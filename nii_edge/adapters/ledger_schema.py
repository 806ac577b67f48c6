"""The tables of the edge's ledger, and the statements and sums that belong to them."""

from __future__ import annotations

import hashlib

from nii_edge.records import Decision

SCHEMA_VERSION = 3
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

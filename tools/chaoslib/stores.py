"""Reads the daemon's ledger and the collector's archive after their processes have ended.

Decodes what is stored by itself, without the code that wrote it, and checks chain and checksums anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from chaoslib.books import Id, Row


class Hole(NamedTuple):
    """A range record: numbers that the daemon says it never got."""

    scanner: str
    epoch: int
    first: int
    last: int


@dataclass(slots=True)
class Store:
    """What a file holds. `verdicts` lacks what is in flight, which is in `open`. `problems`: in words.

    `keys` counts how often each record's id stands in the file; `numbers`: its number by id.
    """

    verdicts: dict[Id, Row] = field(default_factory=dict)
    open: set[Id] = field(default_factory=set)
    holes: list[Hole] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, key: str, number: int, kind: str, body: bytes) -> None:
        """Take up one stored record."""
        self.keys[key] = self.keys.get(key, 0) + 1
        self.numbers[key] = number
        tree = msgspec.msgpack.decode(body)
        if kind == "gap":
            self.holes.append(Hole(tree["scanner"], tree["epoch"], tree["first"], tree["last"]))
            return
        if kind == "recall":
            return
        scan = scan_of(tree)
        if scan in self.verdicts:
            self.problems.append(f"{scan} has two verdicts")
        self.verdicts[scan] = row_of(tree, body)


def scan_of(report: dict[str, Any]) -> Id:
    """Which scan a decoded report is about."""
    scan = report["verdict"]["id"]
    return Id(scan["scanner"], scan["epoch"], scan["seq"])


def row_of(report: dict[str, Any], body: bytes) -> Row:
    """The verdict in a decoded report, and the hash of the whole."""
    verdict = report["verdict"]
    digest = hashlib.sha256(body).hexdigest()
    return Row(verdict["decision"], verdict.get("reason"), verdict["scan_type"], digest)


def read_ledger(path: Path) -> Store:
    """The edge's ledger. Its process must have ended."""
    store = Store()
    with contextlib.closing(sqlite3.connect(path)) as db:
        _check_file(db, store)
        entry, link = db.execute("SELECT entry, link FROM anchor").fetchone()
        entries: set[int] = set()
        rows = db.execute("SELECT entry, kind, key, body, crc, link, state FROM journal ORDER BY entry")
        for number, kind, key, body, crc, stored, state in rows:
            if number != entry + 1:
                store.problems.append(f"ledger: entries {entry + 1} to {number - 1} are missing")
            elif hashlib.sha256(link + kind.encode() + body).digest() != stored:
                store.problems.append(f"ledger: entry {number} does not follow from the one before it")
            if zlib.crc32(body) != crc:
                store.problems.append(f"ledger: entry {number} has another CRC-32")
            if state == "parked":
                store.problems.append(f"ledger: entry {number} ({key}) was refused by the collector for good")
            entry, link = number, stored
            entries.add(number)
            store.add(key, number, kind, body)
        for scanner, epoch, seq, number in db.execute("SELECT scanner, epoch, seq, entry FROM scans"):
            scan = Id(scanner, epoch, seq)
            if number is None:
                store.open.add(scan)
            elif number not in entries:
                store.problems.append(f"ledger: {scan} refers to entry {number}, which is gone")
        _check_balance(db, store)
    return store


def read_archive(path: Path) -> Store:
    """The collector's archive. Its process must have ended."""
    store = Store()
    with contextlib.closing(sqlite3.connect(path)) as db:
        _check_file(db, store)
        rows = db.execute("SELECT number, alert_id, kind, body, crc32 FROM records ORDER BY number")
        for number, key, kind, body, crc in rows:
            if zlib.crc32(body) != crc:
                store.problems.append(f"archive: record {number} has another CRC-32")
            store.add(key, number, kind, body)
    return store


def _check_file(db: sqlite3.Connection, store: Store) -> None:
    said = db.execute("PRAGMA integrity_check").fetchone()[0]
    if said != "ok":
        store.problems.append(f"SQLite says: {said}")


def _check_balance(db: sqlite3.Connection, store: Store) -> None:
    """The daemon's own counters against its rows."""
    counted: dict[tuple[str, str], int] = {}
    for scan, row in store.verdicts.items():
        for column in (row.decision.lower(), "received"):
            counted[scan.scanner, column] = counted.get((scan.scanner, column), 0) + 1
    for scan in store.open:
        counted[scan.scanner, "received"] = counted.get((scan.scanner, "received"), 0) + 1
    columns = ("received", "clear", "alarm", "unknown")
    sums = (
        'SELECT scanner, sum(received), sum(clear), sum(alarm), sum("unknown") FROM balance GROUP BY scanner'
    )
    for scanner, *numbers in db.execute(sums):
        for column, said in zip(columns, numbers, strict=True):
            found = counted.get((scanner, column), 0)
            if said != found:
                store.problems.append(
                    f"ledger: the balance of {scanner} says {said} {column}, rows say {found}"
                )

"""Does a ledger hold together? Its chain link by link, then what refers to it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from nii_edge.adapters.ledger_schema import next_link
from nii_edge.ports import LedgerCounts
from nii_edge.records import Gap, Recall, ScanId

Rows = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Asks the database: a statement and its values to all its rows."""


def check_pages(rows: Rows) -> list[str]:
    """What SQLite finds wrong with the file's pages, and with the index of the scans; and pictures whose name
    cannot be one."""
    found = [
        f"the file: {said}"
        for pragma in ("quick_check(20)", "integrity_check(scans)")
        for (said,) in rows(f"PRAGMA {pragma}", ())
        if said != "ok"
    ]
    odd = "sha256 GLOB '*[^0-9a-f]*' OR length(sha256) != 64 OR typeof(sha256) != 'text'"
    return found + [
        f"picture {number} has no name that a picture can have"
        for (number,) in rows(f"SELECT number FROM previews WHERE {odd} LIMIT 20", ())  # noqa: S608 - a constant
    ]


def check_names(rows: Rows) -> list[str]:
    """Whether the indexes by which records and pictures are found by name say the same as the rows. Both are
    summed up in the order in which they lie: to look for each name takes several times as long. Needs an SQL
    function `crc32` of bytes and a number to begin with."""
    found = []
    for table, name, number in (("journal", "key", "entry"), ("previews", "sha256", "number")):
        summed = f"SELECT count(*), sum(crc32(CAST({name} AS BLOB), {number})) FROM {table} "  # noqa: S608 - constants
        if rows(summed + f"INDEXED BY sqlite_autoindex_{table}_1", ()) != rows(summed + "NOT INDEXED", ()):
            found.append(f"the index of the names in {table} is not that of its rows")
    return found


def check_waiting(rows: Rows) -> list[str]:
    """Whether the index by which records are sent says of the same ones that they wait as the journal."""
    waiting = "SELECT count(*), total(entry) FROM journal {} WHERE state = 'pending'"
    ((listed,), (there,)) = (
        rows(waiting.format(place), ()) for place in ("INDEXED BY journal_pending", "NOT INDEXED")
    )
    odd = rows("SELECT count(*) FROM journal WHERE state NOT IN ('pending', 'archived', 'parked')", ())[0][0]
    found = [f"{odd} entries have a state that there is not"] if odd else []
    if listed != there:
        found.append(f"{there[0]} records wait for the centre, and the index has {listed[0]} or others")
    return found


def check_entries(
    rows: Rows, edge: str, before: tuple[int, bytes], limit: int
) -> Iterator[tuple[int, list[str]]]:
    """Each of the next `limit` entries with what is wrong with it. `before`: the entry before them and its
    link."""
    entry, link = before
    for number, kind, key, body, crc, stored, *scan in rows(
        "SELECT j.entry, kind, key, body, crc, link, scanner, epoch, seq FROM journal j "
        "LEFT JOIN scans s ON s.entry = j.entry WHERE j.entry > ? ORDER BY j.entry LIMIT ?",
        (entry, limit),
    ):
        found = []
        if number != entry + 1:
            found.append(f"entries {entry + 1} to {number - 1} are missing")
        elif next_link(link, kind, body) != stored:
            found.append(f"entry {number} ({key}) does not follow from the one before it")
        if zlib.crc32(body) != crc:
            found.append(f"entry {number} ({key}) has a CRC-32 other than its own")
        elif _key(edge, kind, body, scan) != key:
            found.append(f"entry {number} ({key}) is not under the name of its scan")
        yield number, found
        entry, link = number, stored


def _key(edge: str, kind: str, body: bytes, scan: Sequence[Any]) -> str | None:
    """What an entry must be called: a report after the scan that refers to it, the others after themselves.
    None if nothing says it."""
    if kind == "report":
        scanner, epoch, seq = scan
        return None if scanner is None else ScanId(edge=edge, scanner=scanner, epoch=epoch, seq=seq).alert_id
    try:
        return msgspec.msgpack.decode(body, type=Gap if kind == "gap" else Recall).alert_id
    except msgspec.DecodeError:
        return None


def check_scans(rows: Rows, after: int, last: int) -> list[str]:
    """Which scans refer to an entry above `after`, up to `last`, that is gone."""
    return _lost(rows, "entry > ? AND entry <= ?", (after, last))


def check_end(rows: Rows, counts: Sequence[LedgerCounts], ends: tuple[int, int], expected: int) -> list[str]:
    """What is wrong beside the chain: its last entry should be `expected`; scans that refer to what is not
    between its `ends`, the last pruned entry and the last; a balance that does not add up."""
    found = []
    if ends[1] != expected:
        found.append(f"the last entry is {ends[1]}, expected {expected}")
    found += _lost(rows, "entry <= ?", ends[:1]) + _lost(rows, "entry > ?", ends[1:])
    wrong = [row for row in counts if row.received != row.clear + row.alarm + row.unknown + row.in_flight]
    return found + [f"the balance of {row.scanner} does not add up: {row._asdict()}" for row in wrong]


def _lost(rows: Rows, where: str, values: Sequence[int]) -> list[str]:
    return [
        f"{scanner}/{epoch}/{seq} refers to entry {entry}, which is gone"
        for scanner, epoch, seq, entry in rows(
            "SELECT scanner, epoch, seq, entry FROM scans s INDEXED BY scans_by_entry "  # noqa: S608
            f"WHERE {where} AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.entry = s.entry) LIMIT 100",
            values,
        )
    ]

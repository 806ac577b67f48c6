"""Does a ledger hold together? Its chain link by link, then what refers to it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nii_edge.adapters.ledger_schema import next_link
from nii_edge.ports import LedgerCounts

Rows = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Asks the database: a statement and its values to all its rows."""


def check_entries(rows: Rows, before: tuple[int, bytes], limit: int) -> Iterator[tuple[int, list[str]]]:
    """Each of the next `limit` entries with what is wrong with it. `before`: the entry before them and its
    link."""
    entry, link = before
    for number, kind, key, body, crc, stored in rows(
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

"""The tool's own books: what was sent, what was told of it, what a subscriber saw. Not the daemon's word.

Threads write, each its own rows; the audit reads when they rest.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

CLEAR, ALARM, UNKNOWN = "CLEAR", "ALARM", "UNKNOWN"


class Id(NamedTuple):
    """Which scan, without the edge's name."""

    scanner: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.scanner}/{self.epoch}/{self.seq}"


class Row(NamedTuple):
    """A verdict as it was told, stored or seen. `body`: SHA-256 of the whole report, encoded."""

    decision: str
    reason: str | None
    scan_type: str
    body: str


@dataclass(slots=True)
class Sent:
    """One scan as its sender knows it. `allowed`: the decisions that are no mistake. `views`: those sent.

    `told`: the first verdict heard; `contradictions`: later ones that differ from it. `abandoned`: its
    sender was restarted and asks no more. `sent_at`: monotonic seconds.
    """

    id: Id
    kind: str
    allowed: frozenset[str]
    scan_type: str
    views: frozenset[int]
    sent_at: float
    acked: set[int] = field(default_factory=set)
    told: Row | None = None
    contradictions: list[Row] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    abandoned: bool = False

    @property
    def hostile(self) -> bool:
        """True for a scan that must not be CLEAR whatever happens."""
        return CLEAR not in self.allowed


class Seen(NamedTuple):
    """One record a subscriber was given. `id` is None for a gap."""

    number: int
    key: str
    id: Id | None
    row: Row | None


class Books:
    """All of it. Times are monotonic seconds.

    `screened`: by scanner, when the newest scan that got CLEAR or ALARM was sent: how the end of a fault is
    seen. `no_answers`: scans for which the package's client gave up. `second_answers`: what that client said
    beyond one answer a scan. `seen_at`: when the subscriber was last given something.
    """

    def __init__(self) -> None:
        self.sent: dict[Id, Sent] = {}
        self.skipped: set[Id] = set()
        self.seen: list[Seen] = []
        self.seen_keys: set[str] = set()
        self.seen_ids: set[Id] = set()
        self.refused: Counter[str] = Counter()
        self.resent = 0
        self.reused = 0
        self.junk = 0
        self.no_answers = 0
        self.second_answers: list[str] = []
        self.screened: dict[str, float] = {}
        self.seen_at = 0.0
        self._lock = threading.Lock()

    def enter(self, scan: Sent) -> None:
        """A scan is about to be sent."""
        with self._lock:
            self.sent[scan.id] = scan

    def skip(self, scan: Id) -> None:
        """A number that will never be sent."""
        with self._lock:
            self.skipped.add(scan)

    def tell(self, scan: Sent, row: Row) -> None:
        """A verdict was heard for a scan: the first stands, others must be the same."""
        if scan.told is None:
            scan.told = row
            if row.decision != UNKNOWN:
                self.screened[scan.id.scanner] = max(self.screened.get(scan.id.scanner, 0.0), scan.sent_at)
        elif scan.told != row:
            scan.contradictions.append(row)

    def see(self, seen: Seen, now: float) -> None:
        """A subscriber was given a record."""
        self.seen.append(seen)
        self.seen_keys.add(seen.key)
        if seen.id is not None:
            self.seen_ids.add(seen.id)
        self.seen_at = now

    def snapshot(self) -> list[Sent]:
        """All scans sent so far."""
        with self._lock:
            return list(self.sent.values())

"""Fetches that wait for a record to come. Pure: no sockets, no archive, no clock of its own."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from nii_edge.records import Decision, ScanType
from nii_edge.wire import FetchMessage

Kind = tuple[ScanType, Decision]


def kinds_of(fetch: FetchMessage) -> frozenset[Kind]:
    """What a fetch asks for; an empty `decisions` or `scan_types` means all of them."""
    return frozenset(
        (scan_type, decision)
        for scan_type in fetch.scan_types or tuple(ScanType)
        for decision in fetch.decisions or tuple(Decision)
    )


class Held(NamedTuple):
    """One fetch that waits. `due` is monotonic seconds."""

    peer: bytes
    fetch: FetchMessage
    due: float


class Waiting:
    """At most one fetch a peer, at most `limit` in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[bytes, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, held: Held) -> bool:
        """Keep it, instead of an earlier one of the same peer; False if there is no room."""
        if held.peer not in self._held and len(self._held) >= self._limit:
            return False
        self._held[held.peer] = held
        return True

    def drop(self, peer: bytes) -> None:
        """Forget what the peer asked, if anything."""
        self._held.pop(peer, None)

    def interested(self, kinds: Set[Kind]) -> list[Held]:
        """Those that ask for any of `kinds`."""
        return [held for held in self._held.values() if not kinds.isdisjoint(kinds_of(held.fetch))]

    def take_due(self, now: float) -> list[Held]:
        """Those that have waited long enough; they are no longer held."""
        due = [held for held in self._held.values() if held.due <= now]
        for held in due:
            del self._held[held.peer]
        return due

    def take_all(self) -> list[Held]:
        """All of them; none is held any longer."""
        taken = list(self._held.values())
        self._held.clear()
        return taken

    def next_due(self) -> float | None:
        """When the next has waited long enough, in monotonic seconds; None if none waits."""
        return min((held.due for held in self._held.values()), default=None)

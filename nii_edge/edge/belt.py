"""The views of one carton, found by where they lie on the belt. Pure.

Each view cuts its own cartons; those that overlap on the belt are one. It is ready to be judged when no view
can bring anything more to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

from nii_edge.edge.lines import Flaw
from nii_edge.records import Reason


class Lying(Protocol):
    """Something cut out of one view: the places of its edges, and what is wrong with it."""

    first: int
    last: int
    flaw: Flaw | None


P = TypeVar("P", bound=Lying)


class Group(NamedTuple, Generic[P]):
    """One carton: its picture in each view that has one, what else was cut out at the same place, and what is
    wrong with the whole, if anything."""

    views: dict[int, P]
    rest: tuple[P, ...]
    flaw: Flaw | None

    @property
    def number(self) -> int:
        """The place of its trailing edge, as the first view that has it sees it: the scan's number."""
        return self.views[min(self.views)].last

    @property
    def first(self) -> int:
        """The place of its leading edge, in the same view."""
        return self.views[min(self.views)].first


class Matcher(Generic[P]):
    """`add` what each view cut out, in order; `take` the cartons that are complete."""

    def __init__(self, views: int, gap: int) -> None:
        """`gap`: by how many lines the views may disagree about a carton's edges."""
        self._gap = gap
        self._waiting: list[deque[P]] = [deque() for _ in range(views)]

    def add(self, view: int, piece: P) -> None:
        """A view cut this out."""
        self._waiting[view].append(piece)

    def waits_until(self) -> int | None:
        """The place that all views must have passed before the next carton can be judged; None if none
        waits."""
        found = self._next()
        return None if found is None else max(piece.last for pieces in found.values() for piece in pieces)

    def take(self, frontiers: Mapping[int, int], overdue: bool = False) -> Group[P] | None:
        """The next carton in order of place, if every view is past it (or `overdue`: no longer waited for).
        `frontiers`: by view, the place before which it will bring nothing more."""
        until, found = self.waits_until(), self._next()
        if found is None or until is None:
            return None
        if not overdue and any(frontiers.get(view, 0) <= until for view in range(len(self._waiting))):
            return None
        for view, pieces in found.items():
            for _ in pieces:
                self._waiting[view].popleft()
        views = {view: max(pieces, key=lambda p: p.last - p.first) for view, pieces in found.items()}
        chosen = {id(piece) for piece in views.values()}
        rest = tuple(p for pieces in found.values() for p in pieces if id(p) not in chosen)
        return Group(views, rest, self._flaw(found, views))

    def _next(self) -> dict[int, list[P]] | None:
        """By view, the pieces of the carton that ends first, overlaps followed to their end."""
        heads = [waiting[0] for waiting in self._waiting if waiting]
        if not heads:
            return None
        nearest = min(heads, key=lambda piece: piece.last)
        first, last = nearest.first, nearest.last
        while True:
            found = {
                view: [p for p in waiting if p.first <= last and p.last >= first]
                for view, waiting in enumerate(self._waiting)
            }
            pieces = [p for some in found.values() for p in some]
            reach = min(p.first for p in pieces), max(p.last for p in pieces)
            if reach == (first, last):
                return {view: some for view, some in found.items() if some}
            first, last = reach

    def _flaw(self, found: Mapping[int, list[P]], views: Mapping[int, P]) -> Flaw | None:
        for view, pieces in found.items():
            for piece in pieces:
                if piece.flaw is not None:
                    reason, detail = piece.flaw
                    return reason, f"view {view}: {detail}"
        for view, pieces in found.items():
            if len(pieces) > 1:
                return Reason.MERGED, f"view {view} shows {len(pieces)} cartons where another shows one"
        missing = [view for view in range(len(self._waiting)) if view not in views]
        if missing:
            return Reason.MISSING_VIEW, f"view {missing} does not show this carton at its place on the belt"
        firsts, lasts = [p.first for p in views.values()], [p.last for p in views.values()]
        apart = max(max(firsts) - min(firsts), max(lasts) - min(lasts))
        if apart > self._gap:
            return Reason.CUT, f"the views disagree about its edges by {apart} lines; at most {self._gap}"
        return None

"""Which line of the papers a finding contradicts, in words for the person at the screen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nii_edge.papers import HouseBill, Line, Papers

MAX_WORDS = 160
DESCRIPTION = 60
"""Characters of a description that are shown."""


class _Item(NamedTuple):
    """A line with the house bill it stands in."""

    bill: HouseBill
    line: Line


_Key = Callable[[_Item], float]


def _weight(item: _Item) -> float:
    return item.line.weight_kg or 0.0


def _value(item: _Item) -> float:
    return item.line.value_usd or 0.0


def _heavy_piece(item: _Item) -> float:
    return (item.line.weight_kg or 0.0) / (item.line.quantity or 1)


def _silent(item: _Item) -> float:
    """Descriptions that say little are short."""
    return -float(len(item.line.description))


_MOST: dict[str, _Key] = {
    "over_value_limit": _value,
    "unlikely_value": _value,
    "unlikely_piece": _heavy_piece,
    "vague_words": _silent,
}
"""The line that is meant is the one with the most of this; for all other labels the heaviest one."""


def contradicted(label: str, papers: Papers, line: Line | None = None) -> str:
    """The declared line that a finding `label` speaks against, and of how many; empty if none is declared.

    `line`: the one that is meant, if that is known. Findings about the whole carton (its weight, its parcels)
    name the line with most of the declared weight.
    """
    items = [_Item(bill, line) for bill in papers.house_bills for line in bill.lines]
    if not items:
        return ""
    chosen = next((item for item in items if item.line is line), None) or max(
        items, key=_MOST.get(label, _weight)
    )
    words = _words(chosen, papers)
    more = f" (1 of {len(items)} lines)" if len(items) > 1 else ""
    return f"{words[: MAX_WORDS - len(more)]}{more}"


def _words(item: _Item, papers: Papers) -> str:
    line = item.line
    description = line.description[:DESCRIPTION] or "no description"
    parts: Sequence[str | None] = (
        f"{line.hs_code or 'no code'} {description}",
        None if line.quantity is None else f"{line.quantity} pieces",
        None if item.bill.packages is None else f"{item.bill.packages} packages",
        None if line.weight_kg is None else f"{line.weight_kg:g} kg net",
        None if papers.gross_kg is None else f"carton {papers.gross_kg:g} kg",
        None if line.value_usd is None else f"{line.value_usd:g} USD",
        line.origin or None,
    )
    number = f"{item.bill.number}: " if item.bill.number else ""
    return number + ", ".join(part for part in parts if part is not None)

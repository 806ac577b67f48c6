"""What the papers of a carton say against it by themselves, by the rules of the entry regime. Pure."""

from __future__ import annotations

from typing import NamedTuple

from nii_edge.detect import wording
from nii_edge.detect.evidence import is_vague
from nii_edge.papers import HouseBill, Line, PaperProblem, Papers
from nii_edge.regime import Field, Regime

NO_PAPERS = "no_papers"
BAD_PAPERS = "bad_papers"
NOT_DECLARED = "not_declared"
OVER_LIMIT = "over_value_limit"
UNLIKELY_VALUE = "unlikely_value"
VAGUE = "vague_words"
WRONG_WORDS = "words_contradict_code"
NET_OVER_GROSS = "net_over_gross"
PACKAGES = "packages_contradict"
LIGHTEST_PACKAGE_KG = 0.01
"""No package of a shipment is lighter: an envelope with a card in it."""
CONTRADICTS = 0.6
"""Score of papers that contradict themselves: to be looked at by the shipped policy. Chosen, not measured:
how often such a carton is bad no site has counted."""
ROUNDING_KG = 0.1
"""Weights are declared no finer."""


class Remark(NamedTuple):
    """One thing that the papers say against the carton; `score` 0-1: 1 breaks a rule, less makes wonder.
    `line`: the one that is meant, None if it is not one of its own."""

    label: str
    score: float
    why: str
    line: Line | None = None


def remarks(barcode: str | None, papers: Papers | None, regime: Regime) -> list[Remark]:
    """Everything wrong with the papers of the carton `barcode` (None: the scan names none); empty if nothing
    is."""
    if barcode is None:
        return [Remark(NO_PAPERS, 1.0, "The scan names no carton: nobody can tell which papers are its.")]
    if papers is None:
        return [Remark(NO_PAPERS, 1.0, f"There are no papers for carton {barcode}.")]
    found = []
    if papers.problems:
        names = ", ".join(_told(problem) for problem in papers.problems)
        found.append(Remark(BAD_PAPERS, 0.9, f"Its papers do not hold together: {names}."))
    missing = sorted({field for field in regime.required if _lacks(papers, field)})
    if missing:
        found.append(Remark(NOT_DECLARED, 0.9, f"Its papers leave out {', '.join(missing)}."))
    limit = regime.value_limit_usd
    for bill in papers.house_bills:
        value = sum(line.value_usd or 0.0 for line in bill.lines)
        if limit is not None and value > limit:
            found.append(
                Remark(OVER_LIMIT, 0.9, f"House bill {bill.number} is worth {value:.0f} USD, over {limit:g}.")
            )
            break
    net, value_all = papers.net_kg, papers.value_usd
    low, high = regime.value_per_kg_usd
    if net and value_all is not None and not low <= value_all / net <= high:
        found.append(
            Remark(
                UNLIKELY_VALUE, 0.3, f"{value_all / net:.2f} USD a kilogram; {low:g} to {high:g} is usual."
            )
        )
    vague = next((line for line in papers.lines if is_vague(line.description, regime)), None)
    if vague is not None:
        found.append(Remark(VAGUE, 0.3, f'The description "{vague.description[:60]}" says nothing.'))
    return found + _contradictions(papers, regime)


def _told(problem: PaperProblem) -> str:
    """Its name and, where that alone would mislead whoever stands at the screen, what it means."""
    words = _WORDS.get(problem)
    return problem.value if words is None else f"{problem.value} ({words})"


_WORDS = {
    PaperProblem.BAD_ROW: "a row of them cannot be read",
    PaperProblem.LISTED_TWICE: "two master bills or rows list it",
    PaperProblem.NO_LINES: "its contents are not known",
    PaperProblem.TOO_MANY: "only the first lines are kept",
}


def _contradictions(papers: Papers, regime: Regime) -> list[Remark]:
    """Where the papers contradict themselves."""
    found = []
    wrong = wording.contradiction(papers, regime)
    if wrong is not None:
        text, chapter = wrong.line.description[:60], wrong.line.chapter
        why = f'The description "{text}" speaks of {wrong.word}; chapter {chapter} has no such goods.'
        found.append(Remark(WRONG_WORDS, CONTRADICTS, why, wrong.line))
    net, gross = papers.net_kg, papers.gross_kg
    if net is not None and gross is not None and net > gross * (1 + regime.net_over_gross) + ROUNDING_KG:
        why = f"Its goods are declared as {net:.2f} kg, the whole carton as {gross:.2f} kg."
        found.append(Remark(NET_OVER_GROSS, CONTRADICTS, why))
    return found + _packages(papers)


def _packages(papers: Papers) -> list[Remark]:
    """More packages than there can be, which would make any number of parcels look declared."""
    packages, pieces, weight = papers.packages, papers.pieces, papers.gross_kg or papers.net_kg
    if packages is None or packages <= 1:
        return []
    if pieces is not None and packages > pieces:
        why = f"{packages} packages are declared, and {pieces} pieces of goods to be in them."
    elif weight is not None and packages * LIGHTEST_PACKAGE_KG > weight:
        why = f"{packages} packages are declared, and {weight:.2f} kg for all of them."
    else:
        return []
    return [Remark(PACKAGES, CONTRADICTS, why)]


_OF_LINE: tuple[Field, ...] = ("hs_code", "description", "quantity", "weight_kg", "value_usd", "origin")
_OF_BILL: tuple[Field, ...] = ("house_bill", "packages", "shipper", "consignee")


def _lacks(papers: Papers, field: Field) -> bool:
    if field in _OF_LINE:
        return any(_empty(line, field) for line in papers.lines) or not papers.lines
    if field in _OF_BILL:
        return any(_empty(bill, field) for bill in papers.house_bills) or not papers.house_bills
    return getattr(papers, field) in (None, "")


def _empty(record: Line | HouseBill, field: Field) -> bool:
    return getattr(record, "number" if field == "house_bill" else field) in (None, "")

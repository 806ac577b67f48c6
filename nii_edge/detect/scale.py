"""A carton's three weights (declared, by X-rays, by the belt's scale) against each other. Pure.

Three tell more than two: papers may be written to fit what is hidden, a scale cannot be. Where a weight is
missing, nothing is said. These are plain rules beside the joint fusion, in which weight is evidence like any
other: it can be outvoted there, by whatever else the papers claim.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from nii_edge.config import ScaleCheck
from nii_edge.detect.paper_rules import Remark
from nii_edge.papers import Papers
from nii_edge.xray.carton import GOOD_FIT_MM, Measures

AGAINST_PAPERS = "scale_against_papers"
AGAINST_XRAYS = "scale_against_xrays"
XRAYS_AGAINST_PAPERS = "xrays_against_papers"
LABELS = (AGAINST_PAPERS, AGAINST_XRAYS, XRAYS_AGAINST_PAPERS)


LEAD = 11.34
"""g/cm3."""


class _Off(NamedTuple):
    """By how many kg two weights differ, and by how many they may."""

    kilograms: float
    allowed: float

    @property
    def score(self) -> float:
        """0.5 where all that is allowed is used up, 0.75 at twice as much, never quite 1; 0 within it. A rule
        of thumb: what scores mean as probabilities cannot be known of scales that nobody has seen."""
        return 0.0 if self.kilograms <= self.allowed else 1 - self.allowed / (2 * self.kilograms)


def against_papers(scale_kg: float | None, papers: Papers | None, rules: ScaleCheck) -> list[Remark]:
    """The scale against the declared gross weight; without one, against the net weight of the goods, which no
    carton weighs less than. Empty if nothing can be compared, or nothing differs."""
    if not scale_kg or papers is None:
        return []
    gross, net = papers.gross_kg, papers.net_kg
    if gross is not None:
        off, said = abs(scale_kg - gross), f"the papers say {gross:.2f} kg"
    elif net is not None:
        off, said = net - scale_kg, f"the papers say {net:.2f} kg of goods alone"
    else:
        return []
    declared = net or 0.0 if gross is None else gross
    found = _Off(off, rules.declared * declared + _error(scale_kg, rules))
    if not found.score:
        return []
    return [Remark(AGAINST_PAPERS, found.score, f"The scale says {scale_kg:.2f} kg, {said}.")]


def against_xrays(scale_kg: float | None, measures: Measures, rules: ScaleCheck) -> list[Remark]:
    """The scale against what X-rays weigh, `measures` as `mass.weighed` put them right. A carton that is no
    box on the belt is not compared; one with something impenetrable cannot be too light."""
    if not scale_kg or measures.fit_mm > GOOD_FIT_MM:
        return []
    kilograms = measures.grams / 1000
    error = kilograms * measures.grams_error
    off = kilograms - scale_kg if measures.impenetrable_cm2 > 0 else abs(kilograms - scale_kg)
    found = _Off(off, rules.sigmas * error + _error(scale_kg, rules))
    if not found.score:
        return []
    least = "at least " if measures.impenetrable_cm2 > 0 else ""
    why = f"X-rays weigh {least}{kilograms:.2f} ± {error:.2f} kg, the scale says {scale_kg:.2f} kg."
    return [Remark(AGAINST_XRAYS, found.score, why)]


def xrays_against_papers(measures: Measures, papers: Papers, rules: ScaleCheck) -> list[Remark]:
    """What X-rays weigh against the declared gross weight; without one, against the net weight, which no
    carton weighs less than. A carton that is no box on the belt is not compared. Behind what is impenetrable
    there may be lead, as much as the carton has room for."""
    declared = papers.gross_kg if papers.gross_kg is not None else papers.net_kg
    if declared is None or measures.fit_mm > GOOD_FIT_MM:
        return []
    kilograms = measures.grams / 1000
    error, unseen = kilograms * measures.grams_error, _unseen_kg(measures)
    heavier = kilograms - declared if papers.gross_kg is not None else 0.0
    lighter = declared - kilograms - unseen
    found = _Off(max(heavier, lighter), rules.sigmas * error + rules.declared * declared + rules.error_kg)
    if not found.score:
        return []
    goods = " of goods alone" if papers.gross_kg is None else ""
    more = f" and at most {unseen:.1f} kg that cannot be seen" if unseen > error else ""
    why = f"X-rays weigh {kilograms:.2f} ± {error:.2f} kg{more}, the papers say {declared:.2f} kg{goods}."
    return [Remark(XRAYS_AGAINST_PAPERS, found.score, why)]


def _unseen_kg(measures: Measures) -> float:
    """The most that impenetrable areas can hide: lead, from one side of the carton to the other."""
    through_cm = math.hypot(measures.width, measures.height) / 10
    return measures.impenetrable_cm2 * through_cm * LEAD / 1000


def _error(scale_kg: float, rules: ScaleCheck) -> float:
    """How far the scale itself may be off, in kg."""
    return rules.error_kg + rules.error * scale_kg

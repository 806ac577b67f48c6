"""What the belt's scale says of a carton: against its papers, which needs no X-ray, and against what X-rays
weigh. Pure.

Three weights of one carton (declared, X-rays, scale) tell more than two: papers may be written to fit what is
hidden, a scale cannot be. Without a scale weight, and without what it is compared with, nothing is said.
"""

from __future__ import annotations

from typing import NamedTuple

from nii_edge.config import ScaleCheck
from nii_edge.detect.paper_rules import Remark
from nii_edge.papers import Papers
from nii_edge.xray.carton import GOOD_FIT_MM, Measures

AGAINST_PAPERS = "scale_against_papers"
AGAINST_XRAYS = "scale_against_xrays"
LABELS = (AGAINST_PAPERS, AGAINST_XRAYS)


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


def _error(scale_kg: float, rules: ScaleCheck) -> float:
    """How far the scale itself may be off, in kg."""
    return rules.error_kg + rules.error * scale_kg

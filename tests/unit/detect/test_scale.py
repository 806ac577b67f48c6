"""Three weights of one carton: what a scale's is held against, and when nothing is said."""

from __future__ import annotations

import msgspec
import pytest
from cartons import consignment
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.config import ScaleCheck
from nii_edge.detect import scale
from nii_edge.papers import HouseBill, Line, Papers
from nii_edge.xray.carton import Measures

RULES = ScaleCheck(error_kg=0.1, error=0.01, declared=0.1, sigmas=4.0)
PAPERS = Papers(barcode="B", gross_kg=5.0, house_bills=(HouseBill(number="H", lines=(Line(weight_kg=4.5),)),))
NET_ALONE = msgspec.structs.replace(PAPERS, gross_kg=None)
NEITHER = Papers(barcode="B", house_bills=(HouseBill(number="H", lines=(Line(),)),))


def score(scale_kg: float | None, papers: Papers | None = PAPERS) -> float:
    """Of the scale against the papers; 0 if nothing is said."""
    return sum(remark.score for remark in scale.against_papers(scale_kg, papers, RULES))


def measured(**changes: object) -> Measures:
    """Of a carton of 5 kg give or take 2 %, a box without anything impenetrable."""
    plain = consignment().measures[0]
    fields = {"grams": 5000.0, "grams_error": 0.02, "fit_mm": 1.0, "impenetrable_cm2": 0.0}
    return plain._replace(**{**fields, **changes})  # type: ignore[arg-type]


def xray_score(scale_kg: float | None, **changes: object) -> float:
    return sum(remark.score for remark in scale.against_xrays(scale_kg, measured(**changes), RULES))


@pytest.mark.parametrize(
    ("scale_kg", "papers"),
    [(None, PAPERS), (0.0, PAPERS), (9.0, None), (9.0, NEITHER), (9.0, Papers(barcode="B"))],
)
def test_what_is_missing_says_nothing(scale_kg: float | None, papers: Papers | None) -> None:
    """No scale, one that weighed nothing, no papers, papers without any weight."""
    assert score(scale_kg, papers) == 0
    assert xray_score(None) == xray_score(0.0) == 0


def test_the_scale_contradicts_the_declared_gross_weight_both_ways() -> None:
    """Within a tenth, and what the scale may be off, nothing; beyond, the more the surer."""
    assert score(5.5) == score(4.5) == 0
    assert 0.5 < score(5.8) < score(8.0) < score(50.0) < 1
    assert score(3.0) > 0.5
    (remark,) = scale.against_papers(8.0, PAPERS, RULES)
    assert (remark.label, remark.why) == (
        scale.AGAINST_PAPERS, "The scale says 8.00 kg, the papers say 5.00 kg."
    )  # fmt: skip


def test_a_net_weight_alone_is_a_lower_bound() -> None:
    """A carton weighs more than its goods, by how much nobody knows; it cannot weigh less."""
    assert score(9.0, NET_ALONE) == 0
    assert score(3.0, NET_ALONE) > 0.5


def test_a_light_carton_is_not_held_to_grams() -> None:
    """A scale that shows tens of grams is not told from papers that do."""
    light = msgspec.structs.replace(PAPERS, gross_kg=0.05)
    assert score(0.12, light) == 0


def test_x_rays_that_see_less_or_more_than_the_scale_weighs() -> None:
    """Beyond four of their own deviations and what the scale may be off."""
    assert xray_score(5.0) == xray_score(5.5) == xray_score(4.5) == 0
    assert xray_score(6.0) > 0.5
    assert xray_score(3.5) > 0.5
    assert xray_score(6.0, grams_error=0.2) == 0
    (remark,) = scale.against_xrays(7.5, measured(), RULES)
    assert remark.why == "X-rays weigh 5.00 ± 0.10 kg, the scale says 7.50 kg."


def test_what_x_rays_cannot_weigh_is_not_held_against_the_carton() -> None:
    """Something impenetrable: no carton is too heavy for its picture then. No box: no mass at all."""
    assert xray_score(9.0, impenetrable_cm2=3.0) == 0
    assert xray_score(3.0, impenetrable_cm2=3.0) > 0.5
    assert xray_score(9.0, fit_mm=50.0) == 0


@given(st.floats(0, 10_000), st.floats(0.001, 10_000))
def test_scores_are_scores_and_words_are_short(scale_kg: float, gross: float) -> None:
    """Whatever weights there are."""
    papers = msgspec.structs.replace(PAPERS, gross_kg=gross)
    found = scale.against_papers(scale_kg, papers, RULES)
    found += scale.against_xrays(scale_kg, measured(grams=1000 * gross), RULES)
    for remark in found:
        assert 0.5 < remark.score < 1
        assert len(remark.why) < 120


def paper_score(papers: Papers, **changes: object) -> float:
    return sum(remark.score for remark in scale.xrays_against_papers(measured(**changes), papers, RULES))


def test_x_rays_contradict_the_declared_weight_both_ways() -> None:
    """Beyond a tenth, 0.1 kg and four deviations: 1 kg of 5."""
    assert paper_score(PAPERS) == paper_score(PAPERS, grams=5900.0) == paper_score(PAPERS, grams=4100.0) == 0
    assert 0.5 < paper_score(PAPERS, grams=6500.0) < paper_score(PAPERS, grams=20_000.0) < 1
    assert paper_score(PAPERS, grams=3000.0) > 0.5
    assert paper_score(PAPERS, grams=6500.0, grams_error=0.2) == 0
    (remark,) = scale.xrays_against_papers(measured(grams=9000.0), PAPERS, RULES)
    assert (remark.label, remark.why) == (
        scale.XRAYS_AGAINST_PAPERS, "X-rays weigh 9.00 ± 0.18 kg, the papers say 5.00 kg."
    )  # fmt: skip


def test_x_rays_say_nothing_of_a_weight_they_cannot_know() -> None:
    """No box on the belt, no weight on paper, lead where nothing comes through, tare."""
    assert paper_score(PAPERS, grams=1000.0, fit_mm=30.0) == paper_score(NEITHER) == 0
    sides = {"width": 300.0, "height": 400.0}  # 50 cm at most, so 567 g/cm2 of lead
    assert paper_score(PAPERS, grams=1000.0, impenetrable_cm2=8.0, **sides) == 0
    assert paper_score(PAPERS, grams=1000.0, impenetrable_cm2=0.1, **sides) > 0.5
    assert paper_score(PAPERS, grams=9000.0, impenetrable_cm2=8.0, **sides) > 0.5
    assert paper_score(NET_ALONE, grams=9000.0) == 0
    assert paper_score(NET_ALONE, grams=2000.0) > 0.5

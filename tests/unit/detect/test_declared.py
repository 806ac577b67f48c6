"""The line of the papers that a finding is about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nii_edge.detect.declared import MAX_WORDS, contradicted
from nii_edge.papers import HouseBill, Line, Papers

LAMPS = Line(hs_code="940510", description="lamps", quantity=4, weight_kg=8.0, value_usd=60.0, origin="CN")
PHONES = Line(hs_code="851713", description="smart phones", quantity=2, weight_kg=0.4, value_usd=900.0)
GIFT = Line(hs_code="950300", description="gift", quantity=9, weight_kg=0.9)
BILLS = (HouseBill(number="H1", packages=1, lines=(LAMPS, GIFT)), HouseBill(number="H2", lines=(PHONES,)))
PAPERS = Papers(barcode="b", gross_kg=10.0, house_bills=BILLS)


def test_the_line_that_is_meant() -> None:
    """What is about value names the dearest line, vague words the vague one, all else the heaviest."""
    assert contradicted("mass_differs", PAPERS) == (
        "H1: 940510 lamps, 4 pieces, 1 packages, 8 kg net, carton 10 kg, 60 USD, CN (1 of 3 lines)"
    )
    assert contradicted("over_value_limit", PAPERS).startswith("H2: 851713 smart phones, 2 pieces")
    assert "gift" in contradicted("vague_words", PAPERS)
    assert "lamps" in contradicted("unlikely_piece", PAPERS)


def test_what_is_not_declared_is_left_out() -> None:
    """Nothing is made up; without lines there is none to contradict."""
    bare = Papers(barcode="b", house_bills=(HouseBill(lines=(Line(),)),))
    assert contradicted("mass_differs", bare) == "no code no description"
    assert contradicted("mass_differs", Papers(barcode="b")) == ""


@given(st.text(max_size=300), st.text(max_size=40), st.integers(1, 40))
def test_it_is_short_whatever_is_declared(description: str, number: str, lines: int) -> None:
    """It fits beside the picture."""
    line = Line(hs_code="9405", description=description, quantity=10**9, weight_kg=1e9, value_usd=1e12)
    papers = Papers(barcode="b", house_bills=(HouseBill(number=number, lines=(line,) * lines),))
    assert 0 < len(contradicted("not_as_declared", papers)) <= MAX_WORDS

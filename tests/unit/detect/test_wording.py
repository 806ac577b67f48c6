"""Descriptions that contradict their code, by the shipped words, and weights that contradict each other."""

from __future__ import annotations

import msgspec
import pytest
from harness import ROOT

from nii_edge.config import load
from nii_edge.detect import paper_rules
from nii_edge.detect.declared import contradicted
from nii_edge.detect.wording import contradiction
from nii_edge.papers import HouseBill, Line, Papers
from nii_edge.regime import Contradicting, Regime

REGIME = load(ROOT / "configs" / "regime.yaml", Regime)


def papers(*goods: tuple[str, str], gross_kg: float | None = None) -> Papers:
    """One bill with a line of 1 kg for each code and description."""
    lines = tuple(
        Line(hs_code=code, description=words, quantity=1, weight_kg=1.0, value_usd=9.0, origin="CN")
        for code, words in goods
    )
    bill = HouseBill(number="H1", packages=1, shipper="a", consignee="b", lines=lines)
    return Papers(barcode="B", gross_kg=gross_kg, house_bills=(bill,))


@pytest.mark.parametrize(
    ("code", "words", "found"),
    [
        ("610910", "T-SHIRT and mobile phone", "mobile phone"),
        ("610910", "Lithium Batteries 12 pcs", "batteries"),
        ("640411", "kitchen knives", "knives"),
        ("850760", "men's cotton T-shirts", "t shirts"),
        ("850760", "ＪＥＡＮＳ blue", "jeans"),
        ("190590", "smartphone", "smartphone"),
    ],
)
def test_words_of_other_goods_contradict_a_code(code: str, words: str, found: str) -> None:
    """Whatever case, width and hyphens they have; the finding quotes both and points at the line."""
    declared = papers(("610910", "cotton shirts"), (code, words))
    wrong = contradiction(declared, REGIME)
    assert wrong is not None
    assert wrong == (declared.lines[1], found)
    (remark,) = paper_rules.remarks("B", declared, REGIME)
    assert remark.label == paper_rules.WRONG_WORDS
    assert f"speaks of {found}; chapter {int(code[:2])} has no such goods." in remark.why
    assert len(remark.why) <= 200
    assert words in contradicted(remark.label, declared, remark.line)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("610910", "cotton shirts"), ("621010", "jacket with pocket for phone"), ("610910", ""),
        ("621600", "heated gloves, battery"), ("611595", "socks, camera pattern"), ("", "batteries"),
        ("851679", "shoe and socks dryer"), ("392690", "phone case"), ("420212", "laptop bag"),
        ("620433", "knife pleat skirt"), ("851010", "sweater shaver"), ("610910", "megaphones"),
        ("850760", "lithium-ion batteries"), ("610910", "батарея"), ("610910", "手机电池"),
    ],
)  # fmt: skip
def test_what_may_mean_something_else_says_nothing(code: str, words: str) -> None:
    """Nor do codes without words, no code, no description, parts of words, and other scripts."""
    assert contradiction(papers((code, words)), REGIME) is None


def test_the_words_are_the_sites() -> None:
    """Several rules of a chapter add up; without any nothing is said."""
    rules = tuple(Contradicting(chapters=(61,), words=(word,)) for word in ("Gold bar", "silver"))
    own = msgspec.structs.replace(REGIME, contradictions=rules, beside=("plated",))
    for words, found in (
        ("gold  BAR", "gold bar"),
        ("silver", "silver"),
        ("silver plated", None),
        ("gold", None),
    ):
        wrong = contradiction(papers(("610910", words)), own)
        assert (None if wrong is None else wrong.word) == found
    assert (
        contradiction(papers(("610910", "silver")), msgspec.structs.replace(own, contradictions=())) is None
    )
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"chapters": [61], "words": ["-"]}, Contradicting)


def test_goods_cannot_weigh_more_than_their_carton() -> None:
    """Beyond what rounding explains; what is not declared is not compared."""
    two = (("610910", "cotton shirts"), ("610910", "cotton vests"))
    assert paper_rules.remarks("B", papers(*two, gross_kg=1.95), REGIME) == []
    assert paper_rules.remarks("B", papers(*two), REGIME) == []
    (remark,) = paper_rules.remarks("B", papers(*two, gross_kg=1.5), REGIME)
    assert (remark.label, remark.why) == (
        paper_rules.NET_OVER_GROSS, "Its goods are declared as 2.00 kg, the whole carton as 1.50 kg."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("packages", "pieces", "weight_kg", "words"),
    [
        (40, 28, 9.0, "40 packages are declared, and 28 pieces of goods"),
        (200, 5_000, 1.3, "200 packages are declared, and 1.30 kg for all"),
        (28, 28, 9.0, ""), (1, 1, 0.004, ""), (100, 400, 1.3, ""), (9, None, 1.3, ""),
    ],
)  # fmt: skip
def test_more_packages_than_there_can_be(
    packages: int, pieces: int | None, weight_kg: float, words: str
) -> None:
    """They would make any number of parcels look declared."""
    bill = HouseBill(number="H", packages=packages, lines=(Line(quantity=pieces, weight_kg=weight_kg),))
    papers = Papers(barcode="B", gross_kg=weight_kg, house_bills=(bill,))
    told = [
        each.why for each in paper_rules.remarks("B", papers, REGIME) if each.label == paper_rules.PACKAGES
    ]
    assert bool(told) == bool(words)
    assert not words or words in told[0]

"""Counting parcels, the odd one out, banks, fusion: on numbers whose answer is known."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from cartons import consignment
from harness import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.config import load
from nii_edge.detect import anomaly, bank, evidence, fusion, norms, paper_rules, parcels
from nii_edge.papers import HouseBill, Line, PaperProblem, Papers
from nii_edge.regime import Regime
from nii_edge.xray.carton_map import COUNTS

REGIME = load(ROOT / "configs" / "regime.yaml", Regime)
GOOD = Line(
    hs_code="610910", description="cotton t-shirts", quantity=20, weight_kg=5.0, value_usd=100.0, origin="CN"
)
PAPERS = Papers(
    barcode="B",
    master_bill="M",
    gross_kg=5.5,
    house_bills=(HouseBill(number="H", packages=1, lines=(GOOD,)),),
)


def with_line(**changes: object) -> Papers:
    line = msgspec.structs.replace(GOOD, **changes)
    return msgspec.structs.replace(PAPERS, house_bills=(HouseBill(number="H", packages=1, lines=(line,)),))


# ---- papers by themselves


def labels(papers: Papers | None, regime: Regime = REGIME) -> set[str]:
    return {remark.label for remark in paper_rules.remarks("B", papers, regime)}


def test_what_is_wrong_with_papers_is_told_by_name_and_in_words() -> None:
    """Names alone where they say it."""
    bad = msgspec.structs.replace(PAPERS, problems=(PaperProblem.FORMULA, PaperProblem.TOO_MANY))
    (remark,) = paper_rules.remarks("B", bad, REGIME)
    assert remark.why == (
        "Its papers do not hold together: FORMULA, TOO_MANY (only the first lines are kept)."
    )


def test_what_papers_say_against_themselves() -> None:
    """Good papers say nothing; each fault has its own name, and no papers at all is one."""
    assert labels(PAPERS) == set()
    assert labels(None) == {paper_rules.NO_PAPERS}
    assert labels(with_line(weight_kg=None)) == {paper_rules.NOT_DECLARED}
    assert labels(with_line(description="gift 9")) == {paper_rules.VAGUE}
    assert labels(with_line(value_usd=1e6)) == {paper_rules.UNLIKELY_VALUE}
    assert labels(Papers(barcode="B")) == {paper_rules.NOT_DECLARED}
    bad = msgspec.structs.replace(PAPERS, problems=(PaperProblem.LISTED_TWICE,))
    assert labels(bad) == {paper_rules.BAD_PAPERS}
    limited = msgspec.structs.replace(REGIME, value_limit_usd=50.0)
    assert labels(PAPERS, limited) == {paper_rules.OVER_LIMIT}


@pytest.mark.parametrize(
    ("words", "vague"),
    [("daily necessities", True), ("gift", True), ("9", True), ("SKU 4711", True), ("", True),
     ("cotton socks", False), ("gift of chocolate", False)],
)  # fmt: skip
def test_vague_descriptions(words: str, vague: bool) -> None:
    """Words that say nothing, alone; one that says something is enough."""
    assert evidence.is_vague(words, REGIME) is vague


# ---- the odd one out


def null() -> anomaly.Null:
    rng = np.random.default_rng(1)
    return anomaly.pool([rng.normal(size=(5, len(anomaly.TRAITS))) for _ in range(20)], 0)


def test_the_odd_one_out_is_found_and_named() -> None:
    """A carton that differs in one trait by much is odd, and it is said in what; its fellows are not."""
    rng, pooled = np.random.default_rng(2), null()
    cartons = anomaly.Consignment(pooled)
    width = len(anomaly.TRAITS)
    assert cartons.look("1", rng.normal(size=width)) is None
    assert cartons.look("2", rng.normal(size=width)) is None
    scores = []
    for number in range(3, 7):
        odd = cartons.look(str(number), rng.normal(size=width))
        assert odd is not None
        scores.append(odd.score)
    strange = rng.normal(size=width)
    strange[5] += 12
    odd = cartons.look("7", strange)
    assert odd is not None
    assert odd.trait == anomaly.TRAITS[5]
    assert odd.score > max(scores)
    assert cartons.look("7", strange) is not None
    assert len(cartons) == 7


def test_what_all_cartons_of_a_consignment_hide_is_odd_in_each() -> None:
    """A shape of something prohibited is held against honest cartons, not against its fellows."""
    rng, width = np.random.default_rng(4), len(anomaly.TRAITS)
    others = rng.normal(scale=0.5, size=(6, width))
    plain = anomaly.oddity(null(), others[0], others[1:])
    others[:, anomaly.APART[0]] = 9.0
    laden = anomaly.oddity(null(), others[0], others[1:])
    assert laden.trait == "shape of something prohibited"
    assert laden.score > plain.score + 1
    others[:, anomaly.APART[0]] = np.nan
    assert anomaly.oddity(null(), others[0], others[1:]).deviations[anomaly.APART[0]] == 0


def test_first_cartons_that_were_the_bad_ones_are_recalled_once() -> None:
    """Two bad ones teach first; as soon as they are outnumbered they are the odd ones."""
    rng, pooled = np.random.default_rng(3), null()
    cartons = anomaly.Consignment(pooled)
    width = len(anomaly.TRAITS)
    told: list[str] = []
    for number in range(10):
        found = rng.normal(scale=0.6, size=width) + (8.0 if number < 2 else 0.0)
        cartons.look(str(number), found)
        told += [name for name, _ in cartons.turned_odd(lambda _, odd: odd.chance <= 0.01)]
    assert sorted(told) == ["0", "1"]


def test_a_null_needs_consignments() -> None:
    """Few or too small consignments are no null."""
    with pytest.raises(ValueError, match="expected five"):
        anomaly.pool([np.zeros((2, len(anomaly.TRAITS)))] * 9, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**31))
def test_oddity_is_finite_and_its_chance_a_share(count: int, seed: int) -> None:
    """Whatever is compared, also where nothing was declared."""
    rng = np.random.default_rng(seed)
    others = rng.normal(scale=10 ** rng.uniform(-3, 3), size=(count, len(anomaly.TRAITS)))
    others[:, 0] = np.nan
    pooled = anomaly.Null(np.ones(len(anomaly.TRAITS)), np.sort(rng.random(10)))
    odd = anomaly.oddity(pooled, rng.normal(size=len(anomaly.TRAITS)), np.nan_to_num(others))
    assert np.isfinite(odd.score)
    assert 0 < odd.chance <= 1


# ---- counting, banks, norms


LIKELY = st.lists(st.floats(0, 1), min_size=len(COUNTS), max_size=len(COUNTS)).filter(lambda p: sum(p) > 1e-3)


@settings(max_examples=100, deadline=None)
@given(LIKELY)
def test_a_count_lies_in_its_interval(weights: list[float]) -> None:
    """Whatever the network says, the count is a whole number within its interval."""
    said = parcels.count(np.array(weights) / sum(weights))
    assert 0 <= said.low <= said.expected <= said.high <= COUNTS[-1]
    assert said.expected == round(said.expected)


def test_the_count_is_the_one_that_is_right_most_often() -> None:
    """A sure network is believed; an unsure one gives the number that most of its guesses would pass as."""
    sure = np.zeros(len(COUNTS))
    sure[COUNTS.index(7)] = 1.0
    assert parcels.count(sure) == parcels.ParcelCount(7.0, 7.0, 7.0, 1.0)
    torn = np.zeros(len(COUNTS))
    torn[[COUNTS.index(4), COUNTS.index(9), COUNTS.index(10)]] = 0.4, 0.3, 0.3
    assert parcels.count(torn).expected in (9.0, 10.0)
    assert parcels.count(torn).chance == pytest.approx(0.6)
    assert (parcels.count(torn).low, parcels.count(torn).high) == (4.0, 10.0)
    many = np.zeros(len(COUNTS))
    many[[COUNTS.index(20), COUNTS.index(22)]] = 0.5
    assert parcels.is_right(np.array([parcels.count(many).expected] * 2), np.array([20.0, 22.0])).all()


def test_more_parcels_than_declared_weigh_and_fewer_do_not() -> None:
    """The excess is in logarithms, beyond the slack; what is not declared cannot be exceeded."""
    ten = np.zeros(len(COUNTS))
    ten[COUNTS.index(10)] = 1.0
    assert parcels.excess(ten, 1, 0.3) == pytest.approx(np.log(11 / 2) - 0.3)
    assert parcels.excess(ten, 10, 0.0) == parcels.excess(ten, 30, 0.0) == 0
    assert np.isnan(parcels.excess(ten, None, 0.0))
    assert parcels.mean_log(ten) == pytest.approx(np.log(11))


def test_a_site_learns_what_passes_and_says_nothing_before() -> None:
    """Without consignments there is no norm and no bank; with them like goods are the less unlike ones."""
    made = consignment()
    samples = [norms.sample(m, p) for m, p in zip(made.measures, made.papers, strict=True)]
    entries = [bank.entry(m, p, None) for m, p in zip(made.measures, made.papers, strict=True)]
    assert None not in samples
    assert norms.learn([each for each in samples if each is not None]) is None
    assert bank.learn([each for each in entries if each is not None]) is None
    own = [each for each in entries if each is not None]
    rng = np.random.default_rng(5)
    many = [
        each._replace(
            group=f"{each.group}{k}", values=each.values + rng.normal(scale=0.02, size=each.values.size)
        )
        for k in range(4)
        for each in own
    ]
    others = [
        each._replace(group=f"x{each.group}", heading="0101", values=each.values + 1.0) for each in many
    ]
    learned = bank.learn([*many, *others])
    assert learned is not None
    like = bank.unlikeness(learned, made.measures[0], made.papers[0], None)
    pretending = msgspec.structs.replace(PAPERS, house_bills=with_line(hs_code="010110").house_bills)
    other = bank.unlikeness(learned, made.measures[0], pretending, None)
    assert (like.whole, like.material, like.look) < (other.whole, other.material, other.look)
    assert like.material < other.material
    assert like.look < other.look
    assert np.isnan(bank.unlikeness(learned, made.measures[0], PAPERS, None)).all()
    doubtful = made.measures[0]._replace(hidden=bank.FOREIGN_FROM + 9.0)
    assert bank.unlikeness(learned, doubtful, made.papers[0], None).foreign > like.foreign + 1


# ---- fusion


def test_fusion_finds_what_separates_and_ignores_what_is_missing() -> None:
    """The weight goes to the feature that tells; a carton without data gets even odds; terms add up."""
    rng = np.random.default_rng(6)
    bad = rng.random(600) < 0.3
    rows = rng.normal(size=(600, 3))
    rows[:, 0] += 2 * bad
    rows[::7, 1] = np.nan
    fitted = fusion.fit(rows, bad, 3.0)
    assert fitted.weights[0] > 5 * np.abs(fitted.weights[1:]).max()
    odds = fusion.log_odds(fitted, rows)
    assert np.allclose(odds, fusion.terms(fitted, rows).sum(axis=1) + fitted.bias)
    assert np.mean(odds[bad]) > np.mean(odds[~bad]) + 1
    assert float(fusion.log_odds(fitted, np.full(3, np.nan))) == pytest.approx(fitted.bias)
    with pytest.raises(ValueError, match="both kinds"):
        fusion.fit(rows, np.zeros(600, bool), 3.0)


def test_much_of_a_feature_may_say_more_than_its_beginning() -> None:
    """What tells only where there is much of it weighs beyond the knee, and nearly nothing before it."""
    rng = np.random.default_rng(7)
    bad = rng.random(2000) < 0.5
    rows = np.where(bad, rng.uniform(0, 3, 2000), rng.uniform(0, 2, 2000))[:, None]
    fitted = fusion.fit(rows, bad, 1.0)
    low, middle, high = fusion.log_odds(fitted, np.array([[0.0], [1.5], [3.0]]))
    assert fitted.beyond[0] > abs(fitted.weights[0])
    assert middle - low < 0.5 * (high - middle)


def test_ways_to_lie_are_weighed_each_by_itself() -> None:
    """Two lies that pull a feature to opposite sides are both found, which no single sum could; what each
    feature adds is that of the likelier way, and what is missing adds nothing."""
    rng = np.random.default_rng(8)
    kinds = np.array(["", "heavy", "light"])[rng.integers(0, 3, 900)]
    rows = rng.normal(size=(900, 2))
    rows[kinds == "heavy", 0] += 4
    rows[kinds == "light", 0] -= 4
    joint = fusion.fit_joint(rows, kinds, 3.0)
    assert joint.kinds == ("heavy", "light")
    found = fusion.weigh(joint, rows)
    bad = kinds != ""
    assert (found.log_odds[bad] > 0).mean() > 0.9
    assert (found.log_odds[~bad] < 0).mean() > 0.8
    single = fusion.log_odds(fusion.fit(rows, bad, 3.0), rows)
    assert ((single > 0) == bad).mean() < ((found.log_odds > 0) == bad).mean() - 0.05
    assert (found.terms[kinds == "light", 0] > 0).mean() > 0.9
    one = fusion.weigh(joint, rows[0])
    assert one.log_odds == pytest.approx(found.log_odds[0])
    assert np.allclose(one.terms, found.terms[0])
    nothing = fusion.weigh(joint, np.full(2, np.nan))
    assert nothing.terms.tolist() == [0, 0]
    assert float(nothing.log_odds) == pytest.approx(
        np.logaddexp.reduce([part.bias for part in joint.parts]) - np.log(2)
    )
    for honest_only in ("", "heavy"):
        with pytest.raises(ValueError, match="both kinds"):
            fusion.fit_joint(rows, np.full(900, honest_only), 3.0)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    st.lists(st.floats(-30, 30), min_size=2, max_size=2),
)
def test_the_whole_lies_between_its_ways(values: list[float], biases: list[float]) -> None:
    """At most as likely as the likeliest way, at least as their mean."""
    ones = np.ones(3)
    joint = fusion.Joint(
        ("a", "b"),
        tuple(
            fusion.Fusion(0 * ones, ones, sign * ones, -0.5 * sign * ones, b)
            for sign, b in zip((1, -1), biases, strict=True)
        ),
    )
    each = [float(fusion.log_odds(part, np.array(values))) for part in joint.parts]
    whole = float(fusion.weigh(joint, np.array(values)).log_odds)
    assert max(each) - np.log(2) - 1e-9 <= whole <= max(each) + 1e-9


@given(st.floats(-1e3, 1e3), st.floats(0.001, 0.999))
def test_probabilities_are_probabilities(odds: float, prior: float) -> None:
    """At any evidence, and at none the prior itself."""
    assert 0 <= fusion.probability(odds, prior) <= 1
    assert fusion.probability(0.0, prior) == pytest.approx(prior)


def test_evidence_of_a_carton_without_declarations_is_missing_not_zero() -> None:
    """What is not declared does not speak, for or against."""
    made = consignment()
    site = evidence.Site()
    bare = evidence.gather(made.measures[0], Papers(barcode="B"), REGIME, site, None, None).features
    full = evidence.gather(made.measures[0], made.papers[0], REGIME, site, None, None).features
    names = [name for _, name in evidence.FEATURES]
    assert full.shape == bare.shape == (len(names),)
    for name in ("heavier than gross", "over packages", "vague", "score", "unlike its heading"):
        assert np.isnan(bare[names.index(name)])
    assert np.isfinite(full[names.index("heavier than gross")])
    heavier = msgspec.structs.replace(made.papers[0], gross_kg=0.5 * (made.papers[0].gross_kg or 1))
    more = evidence.gather(made.measures[0], heavier, REGIME, site, None, None).features
    assert more[names.index("heavier than gross")] > full[names.index("heavier than gross")] + 5

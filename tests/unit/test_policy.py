"""Bands and risk: which rule counts, what can never be CLEAR, and what comes first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from policies import CHAPTERS, LABELS, NAMES, finding, places, policies, policy, scores, units

from nii_edge.config import load
from nii_edge.errors import ConfigError
from nii_edge.papers import HouseBill, Line, Papers
from nii_edge.policy import (
    AlarmRule,
    Circumstances,
    Policy,
    alarms,
    chapters_of,
    grade,
    risk,
    thresholds,
    urgency,
    weigh,
)
from nii_edge.records import Band, Decision, Finding, Reason, ScanId, ScanType, Verdict

HERE = Circumstances("e", "s", (64,))
findings = st.builds(
    finding, scores, st.sampled_from(NAMES), st.sampled_from(LABELS), joint=st.booleans()
)  # fmt: skip


def rule(at: float, refer_at: float | None = None, **scope: Any) -> AlarmRule:
    return AlarmRule(detector="a", label="x", at=at, refer_at=refer_at, **scope)


# ---- which rule counts

NARROW = policy(
    default_refer_at=0.9,
    alarms=(
        rule(0.6),
        rule(0.5, sites=("e",)),
        rule(0.4, lanes=("s",)),
        rule(0.3, 0.35, chapters=(64, 65)),
        rule(0.2, chapters=(64,), lanes=("t",)),
        rule(0.1, lanes=("s",), sites=("f",)),
    ),
)
COUNTS = [
    ("the default where no rule speaks of the label", "y", HERE, "default_alarm_at", 0.5, 0.9),
    ("goods before lane and site", "x", HERE, "alarms[3] (chapter 64, 65)", 0.3, 0.35),
    ("goods and lane before goods", "x", HERE._replace(lane="t"), "alarms[4] (chapter 64; lane t)", 0.2, 0.9),
    ("lane before site", "x", Circumstances("e", "s", (8,)), "alarms[2] (lane s)", 0.4, 0.9),
    ("lane and site before lane", "x", Circumstances("f", "s", (8,)), "alarms[5] (lane s; site f)", 0.1, 0.9),
    ("site before none", "x", Circumstances("e", "t", (8,)), "alarms[1] (site e)", 0.5, 0.9),
    ("what is left", "x", Circumstances("f", "t", (8,)), "alarms[0]", 0.6, 0.9),
]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "where", "name", "at", "refer_at"), [case[1:] for case in COUNTS], ids=[c[0] for c in COUNTS]
)
def test_the_most_specific_rule_counts(
    label: str, where: Circumstances, name: str, at: float, refer_at: float
) -> None:
    """Of each narrowing the narrower rule, and it is named as it stands in the file."""
    (found,) = thresholds(NARROW, finding(0, label=label), where)
    assert (found.rule, found.at, found.refer_at) == (name, at, refer_at)


@given(policies(), findings, places)
def test_every_finding_has_a_threshold_whatever_the_order_of_the_rules(
    rules: Policy, one: Finding, where: Circumstances
) -> None:
    """No finding is without a rule, an unknown label falls to the default, and order decides nothing."""
    found = thresholds(rules, one, where)
    assert found
    turned = policy(
        default_alarm_at=rules.default_alarm_at,
        default_refer_at=rules.default_refer_at,
        alarms=tuple(reversed(rules.alarms)),
    )
    assert {(each.at, each.refer_at) for each in thresholds(turned, one, where)} == {
        (each.at, each.refer_at) for each in found
    }
    strange = finding(one.score, "somebody", "something")
    assert [each.rule for each in thresholds(rules, strange, where)] == ["default_alarm_at"]


@given(policies(), findings, places, st.sampled_from(CHAPTERS))
def test_saying_less_or_more_of_the_goods_is_never_milder(
    rules: Policy, one: Finding, where: Circumstances, chapter: int
) -> None:
    """Leaving the papers out, or a code, or declaring another chapter besides, lowers no band."""
    named = grade(rules, one, where._replace(chapters=(chapter,))).band.rank
    for chapters in ((), (0,), (0, chapter), tuple({*where.chapters, chapter})):
        assert grade(rules, one, where._replace(chapters=chapters)).band.rank >= named


def test_the_chapters_of_papers() -> None:
    """Each once; goods without a code are not forgotten, and no lines are no goods."""
    bill = HouseBill(lines=(Line(hs_code="640399"), Line(), Line(hs_code="6404"), Line(hs_code="850440")))
    assert chapters_of(Papers(barcode="b", house_bills=(bill,))) == (0, 64, 85)
    assert chapters_of(Papers(barcode="b")) == ()


# ---- bands


@given(policies(), st.lists(findings, max_size=5), places, st.sampled_from(Decision))
def test_only_a_clear_decision_has_the_band_clear(
    rules: Policy, seen: list[Finding], where: Circumstances, decision: Decision
) -> None:
    """Whatever the policy, the findings and the goods: ALARM and UNKNOWN are at least to be looked at."""
    weight = weigh(rules, decision, seen, where)
    assert (weight.band is Band.CLEAR) == (decision is Decision.CLEAR)
    assert weight.risk is None or 0 <= weight.risk <= 100
    assert (weight.risk is None) == (not seen and decision is not Decision.CLEAR)
    assert bool(weight.by) == (decision is not Decision.CLEAR)
    assert weight.by in weight.rule


@given(policies(), st.lists(findings, min_size=1, max_size=5), places)
def test_an_alarm_is_as_urgent_as_its_worst_finding(
    rules: Policy, seen: list[Finding], where: Circumstances
) -> None:
    """No finding is outvoted; one that alarms makes no band milder."""
    bands = [grade(rules, one, where).band for one in seen]
    assert [alarms(rules, one, where) for one in seen] == [band is not Band.CLEAR for band in bands]
    worst = max(bands, key=lambda band: band.rank)
    if worst is not Band.CLEAR:
        assert weigh(rules, Decision.ALARM, seen, where).band is worst


@given(policies(), places, units, units)
def test_a_higher_score_is_never_in_a_milder_band(
    rules: Policy, where: Circumstances, one: float, other: float
) -> None:
    """And one that is no number is in the highest that there is."""
    low, high = sorted((one, other))
    ranks = [grade(rules, finding(score), where).band.rank for score in (low, high, 1.0, math.nan)]
    assert ranks == sorted(ranks)
    assert ranks[-1] >= Band.REVIEW.rank


def test_the_record_explains_the_band() -> None:
    """Which finding, which score, which rule, and what was not known."""
    seen = [finding(0.31), finding(0.7, label="y")]
    assert weigh(NARROW, Decision.ALARM, seen, HERE).rule == ("a/y 0.7 is REVIEW from 0.5, default_alarm_at")
    assert weigh(NARROW, Decision.ALARM, [finding(0.36)], HERE).rule == (
        "a/x 0.36 is REFER from 0.35, alarms[3] (chapter 64, 65)"
    )
    nowhere = Circumstances("f", "t")
    assert weigh(NARROW, Decision.CLEAR, [], nowhere).rule == (
        "not all goods have a chapter, so the strictest rule of any counts"
    )
    unknown = weigh(policy(unknown_band="REFER"), Decision.UNKNOWN, [], nowhere)
    assert unknown == (Band.REFER, None, "nobody could judge it: REFER by unknown_band", "unknown_band")


# ---- risk


@given(st.lists(findings, min_size=1, max_size=6), findings)
def test_risk_is_a_probability_that_more_evidence_of_another_detector_never_lowers(
    seen: list[Finding], more: Finding
) -> None:
    """0 to 100, whatever is said; a word of a detector that had said nothing adds to it or leaves it."""
    before = risk(seen, nothing=None)
    assert before is not None
    assert 0 <= before <= 100
    other = finding(more.score, "somebody", joint=more.joint)
    after = risk([*seen, other], nothing=None)
    assert after is not None
    assert after >= before


def test_what_is_said_twice_counts_once() -> None:
    """A joint finding stands for its detector's others; two detectors are two reasons to look."""
    parts = [finding(0.9), finding(0.8, label="y")]
    assert risk(parts, nothing=0.0) == 90.0
    assert risk([*parts, finding(0.3, joint=True)], nothing=0.0) == 30.0
    assert risk([finding(0.5), finding(0.2, "b")], nothing=0.0) == 60.0
    assert risk([finding(math.nan)], nothing=0.0) == 100.0
    assert risk([], nothing=None) is None


def verdict(decision: Decision, band: Band | None, chance: float | None) -> Verdict:
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=1)
    reason = Reason.TIMEOUT if decision is Decision.UNKNOWN else None
    return Verdict(
        id=scan, scan_type=ScanType.OPERATIONAL, decision=decision, reason=reason, band=band, risk=chance
    )


def test_alerts_come_in_the_order_of_urgency() -> None:
    """The band first, then the risk; the unseen before the seen; old records as if to be reviewed."""
    right = [
        verdict(Decision.ALARM, Band.REFER, 20.0),
        verdict(Decision.UNKNOWN, Band.REVIEW, None),
        verdict(Decision.ALARM, Band.REVIEW, 90.0),
        verdict(Decision.ALARM, Band.REVIEW, 30.0),
        verdict(Decision.CLEAR, Band.CLEAR, 40.0),
        verdict(Decision.CLEAR, None, 1.0),
    ]
    turned = right[::-1]
    assert sorted(turned, key=urgency, reverse=True) == right
    assert urgency(verdict(Decision.ALARM, None, 50.0)) == (Band.REVIEW.rank, 50.0)


@pytest.mark.parametrize(("decision", "band"), [(Decision.ALARM, Band.CLEAR), (Decision.CLEAR, Band.REFER)])
def test_a_record_cannot_say_clear_and_not_clear(decision: Decision, band: Band) -> None:
    """Not even made by hand."""
    with pytest.raises(ValueError, match="the band CLEAR goes with CLEAR"):
        verdict(decision, band, None)


def test_records_of_other_versions_are_read() -> None:
    """One without bands has none; one with fields of the future is read without them."""
    new = verdict(Decision.ALARM, Band.REFER, 20.0)
    tree = msgspec.to_builtins(new)
    old = {key: value for key, value in tree.items() if key not in ("band", "risk", "rule", "chapters")}
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Verdict)
    assert (read.band, read.risk, read.rule, read.chapters) == (None, None, "", ())
    later = msgspec.msgpack.encode(tree | {"colour": "orange"})
    assert msgspec.msgpack.decode(later, type=Verdict) == new


# ---- the file

A = {"detector": "a", "label": "x", "at": 0.5}
WRONG: dict[str, tuple[dict[str, object], str]] = {
    "referred before alarmed": (
        {"alarms": [A | {"refer_at": 0.4}]},
        "`refer_at` 0.4 is below `at` 0.5: only an ALARM can be referred - at `$.alarms[0]`",
    ),
    "the same by default": ({"default_refer_at": 0.4}, "`default_refer_at` 0.4 is below `default_alarm_at`"),
    "a chapter that cannot be": ({"alarms": [A | {"chapters": [0]}]}, "`$.alarms[0].chapters[0]`"),
    "a chapter in words": ({"alarms": [A, A | {"chapters": ["shoes"]}]}, "`$.alarms[1].chapters[0]`"),
    "a lane without a name": ({"alarms": [A | {"lanes": [""]}]}, "`$.alarms[0].lanes[0]`"),
    "an unknown key": ({"alarms": [A | {"commodity": 64}]}, "unknown field `commodity` - at `$.alarms[0]`"),
    "the same rule twice": ({"alarms": [A, A]}, "`alarms[0]` and `alarms[1]` both speak of a/x"),
    "rules that overlap": (
        {"alarms": [A | {"chapters": [64, 65]}, A | {"chapters": [65, 66], "at": 0.1}]},
        "(chapter 64, 65; chapter 65, 66) and neither is more specific",
    ),
    "an UNKNOWN that passes": ({"unknown_band": "CLEAR"}, "`$.unknown_band`"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_named_with_the_place(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    """File first, then what is wrong and where."""
    path = tmp_path / "policy.yaml"
    tree = {"version": 1, "name": "p", "required_for_clear": ["a"], "default_alarm_at": 0.5, **changes}
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as raised:
        load(path, Policy)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_a_file_of_before_bands_still_loads_and_alarms_as_it_did(tmp_path: Path) -> None:
    """What was an ALARM is to be reviewed; nothing is referred unasked."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "{version: 1, name: p, required_for_clear: [a], default_alarm_at: 0.5,"
        " alarms: [{detector: a, label: x, at: 0.2}]}"
    )
    old = load(path, Policy)
    assert [grade(old, finding(score), HERE).band for score in (0.1, 0.2, 1.0)] == [
        Band.CLEAR, Band.REVIEW, Band.REVIEW,
    ]  # fmt: skip

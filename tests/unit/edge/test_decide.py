"""The rule book: what may be called CLEAR, and what every other case is called."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import LABELS, NAMES, finding, places, policies, policy, scores

from nii_edge.edge.decide import Ruling, circumstances, decide, decide_again, unknown
from nii_edge.policy import Circumstances, Policy, alarms
from nii_edge.records import Decision, Outcome, Reason, ScanId, ScanType, Verdict

HERE = Circumstances("e", "s")


def saw(*scores: float, detector: str = "a") -> Outcome:
    return Outcome(detector=detector, findings=tuple(finding(s, detector) for s in scores))


@st.composite
def outcome_of(draw: st.DrawFn, name: str) -> Outcome:
    kind = draw(st.sampled_from(["findings", "findings", "not_applicable", "fault"]))
    if kind == "fault":
        return Outcome(detector=name, fault=draw(st.text(max_size=5)))
    if kind == "not_applicable":
        return Outcome(detector=name, not_applicable=draw(st.text(max_size=5)))
    found = draw(st.lists(st.tuples(scores, st.sampled_from(LABELS)), max_size=3))
    return Outcome(detector=name, findings=tuple(finding(s, name, label) for s, label in found))


@st.composite
def outcome_lists(draw: st.DrawFn) -> tuple[Outcome, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return tuple(draw(outcome_of(name)) for name in names)


untrusteds = st.one_of(st.just({}), st.dictionaries(st.sampled_from(NAMES), st.text(max_size=5), max_size=2))


@given(policies(), outcome_lists(), untrusteds)
def test_clear_exactly_when_it_is_earned(
    rules: Policy, outcomes: tuple[Outcome, ...], untrusted: dict[str, str]
) -> None:
    """CLEAR if and only if all that is required looked, and nothing fails, is untrusted, or scores."""
    spoken = {o.detector: o for o in outcomes}
    covered = all(
        name in spoken and (spoken[name].not_applicable is None or name in rules.may_be_not_applicable)
        for name in rules.required_for_clear
    )
    harmless = not any(alarms(rules, f, HERE) for o in outcomes for f in o.findings)
    faultless = all(o.fault is None for o in outcomes)
    earned = covered and harmless and faultless and not untrusted
    assert (decide(rules, outcomes, untrusted, HERE).decision is Decision.CLEAR) == earned


@given(policies(), outcome_lists(), untrusteds)
def test_unknown_always_says_why_and_nothing_else_does(
    rules: Policy, outcomes: tuple[Outcome, ...], untrusted: dict[str, str]
) -> None:
    """UNKNOWN has a reason and words; CLEAR and ALARM have no reason."""
    ruling = decide(rules, outcomes, untrusted, HERE)
    assert (ruling.reason is not None) == (ruling.decision is Decision.UNKNOWN)
    if ruling.decision is Decision.UNKNOWN:
        assert ruling.detail


@given(policies(), outcome_lists(), untrusteds)
def test_a_score_that_is_not_a_number_alarms(
    rules: Policy, outcomes: tuple[Outcome, ...], untrusted: dict[str, str]
) -> None:
    """A NaN that slipped through every check is an ALARM, never CLEAR."""
    broken = (*outcomes, saw(math.nan, detector="z"))
    assert decide(rules, broken, untrusted, HERE).decision is Decision.ALARM


@given(policies(), outcome_lists(), untrusteds)
def test_nothing_that_was_said_is_lost(
    rules: Policy, outcomes: tuple[Outcome, ...], untrusted: dict[str, str]
) -> None:
    """Every finding and every "not applicable" is in the ruling, whatever the decision."""
    ruling = decide(rules, outcomes, untrusted, HERE)
    assert len(ruling.findings) == sum(len(o.findings) for o in outcomes)
    assert len(ruling.not_applicable) == sum(o.not_applicable is not None for o in outcomes)


FAULT = Outcome(detector="b", fault="out of memory")
ABSENT = Outcome(detector="a", not_applicable="no papers")
EXAMPLES = [
    ("it looked and saw nothing", policy(), [saw()], {}, Decision.CLEAR, None),
    ("a score below the threshold", policy(), [saw(0.49)], {}, Decision.CLEAR, None),
    ("a score at the threshold", policy(), [saw(0.5)], {}, Decision.ALARM, None),
    ("a threshold of 0", policy(default_alarm_at=0.0), [saw(0.0)], {}, Decision.ALARM, None),
    ("no outcome at all", policy(), [], {}, Decision.UNKNOWN, Reason.MODEL_FAULT),
    ("a required one silent", policy(), [saw(detector="b")], {}, Decision.UNKNOWN, Reason.MODEL_FAULT),
    ("a fault of one not required", policy(), [saw(), FAULT], {}, Decision.UNKNOWN, Reason.MODEL_FAULT),
    ("an alarm beside a fault", policy(), [saw(0.9), FAULT], {}, Decision.ALARM, None),
    ("untrusted", policy(), [saw()], {"a": "golden"}, Decision.UNKNOWN, Reason.MODEL_UNTRUSTED),
    ("one not required untrusted", policy(), [saw()], {"b": "g"}, Decision.UNKNOWN, Reason.MODEL_UNTRUSTED),
    ("an alarm of one untrusted", policy(), [saw(0.9)], {"a": "golden"}, Decision.ALARM, None),
    ("not applicable", policy(), [ABSENT], {}, Decision.UNKNOWN, Reason.NOT_COVERED),
    (
        "not applicable, and spared",
        policy(required_for_clear=("a", "b"), may_be_not_applicable=("a",)),
        [ABSENT, saw(detector="b")],
        {},
        Decision.CLEAR,
        None,
    ),
    (
        "spared, but it did not even say that it is not applicable",
        policy(required_for_clear=("a", "b"), may_be_not_applicable=("a",)),
        [saw(detector="b")],
        {},
        Decision.UNKNOWN,
        Reason.MODEL_FAULT,
    ),
]


@pytest.mark.parametrize(
    ("rules", "outcomes", "untrusted", "decision", "reason"),
    [pytest.param(*example[1:], id=example[0]) for example in EXAMPLES],
)
def test_each_case_has_its_name(
    rules: Policy,
    outcomes: list[Outcome],
    untrusted: dict[str, str],
    decision: Decision,
    reason: Reason | None,
) -> None:
    """The cases of the rule book, one by one."""
    ruling = decide(rules, outcomes, untrusted, HERE)
    assert (ruling.decision, ruling.reason) == (decision, reason)


def test_an_alarm_tells_of_the_fault_beside_it() -> None:
    """The person who looks at an ALARM is told that another detector did not."""
    assert decide(policy(), [saw(0.9), FAULT], {}, HERE).detail == "b: out of memory"


def test_the_words_name_the_detector() -> None:
    """Each detail says which detector it is about."""
    assert decide(policy(), [ABSENT], {}, HERE).detail == "a: no papers"
    assert decide(policy(), [], {}, HERE).detail == "a: did not run"
    assert decide(policy(), [saw()], {"a": "golden frame 1"}, HERE).detail == "a: golden frame 1"


def test_unknown_is_unknown() -> None:
    """The short way to an UNKNOWN keeps its reason and words and claims no finding."""
    assert unknown(Reason.TIMEOUT, "late") == Ruling(Decision.UNKNOWN, Reason.TIMEOUT, "late", (), ())


def verdict_of(ruling: Ruling, where: Circumstances = HERE) -> Verdict:
    scan = ScanId(edge=where.site, scanner=where.lane, epoch=1, seq=1)
    return Verdict(
        id=scan, scan_type=ScanType.OPERATIONAL, decision=ruling.decision, reason=ruling.reason,
        detail=ruling.detail, findings=ruling.findings, not_applicable=ruling.not_applicable,
        chapters=ruling.chapters,
    )  # fmt: skip


@given(policies(), policies(), st.tuples(*(outcome_of(name) for name in NAMES)), places)
def test_a_policy_tried_on_a_verdict_says_what_it_would_have_said(
    old: Policy, new: Policy, outcomes: tuple[Outcome, ...], where: Circumstances
) -> None:
    """Where all detectors spoke and were trusted, the verdict of any policy tells enough for any other."""
    verdict = verdict_of(decide(old, outcomes, {}, where), where)
    assert circumstances(verdict) == where
    again, real = decide_again(new, verdict), decide(new, outcomes, {}, where)
    assert (again.decision, again.reason) == (real.decision, real.reason)


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.NOT_COVERED])
def test_no_policy_makes_a_scan_clear_that_nobody_could_look_at(reason: Reason) -> None:
    """What was UNKNOWN for other reasons than the policy's stays so."""
    ruling = decide_again(policy(default_alarm_at=1.0), verdict_of(unknown(reason, "why")))
    assert (ruling.decision, ruling.reason) == (Decision.UNKNOWN, reason)

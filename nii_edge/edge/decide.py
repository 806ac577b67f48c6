"""Findings to a verdict. Pure: no clock, no I/O, no state.

CLEAR is what is left when nothing speaks against it and everything required has spoken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nii_edge.detect.heat import Compared
from nii_edge.policy import Circumstances, Policy, alarms
from nii_edge.records import Decision, Finding, Outcome, Reason, Verdict


class Ruling(NamedTuple):
    """A verdict without its identity. `reason` is set if and only if the decision is UNKNOWN. `chapters`: as
    in `Circumstances`; `compared`: of a carton that is unlike others, for the picture."""

    decision: Decision
    reason: Reason | None = None
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    not_applicable: tuple[str, ...] = ()
    chapters: tuple[int, ...] = ()
    compared: Compared | None = None


def unknown(reason: Reason, detail: str) -> Ruling:
    """A scan that nobody may call clear, and why."""
    return Ruling(Decision.UNKNOWN, reason, detail)


def decide(
    policy: Policy, outcomes: Sequence[Outcome], untrusted: Mapping[str, str], where: Circumstances
) -> Ruling:
    """The ruling on one scan from what its detectors said. `untrusted`: detectors whose model did not
    pass its golden frames, and why.

    An alarming finding is an ALARM even when another detector failed (a person looks either way, and
    sees why). Without one, any fault is UNKNOWN(MODEL_FAULT), and so is a required detector that did
    not speak; a required one that was not applicable is UNKNOWN(NOT_COVERED), unless the policy can do
    without it. Nothing is CLEAR while a detector is untrusted.
    """
    return _decide(policy, outcomes, untrusted, where)._replace(chapters=where.chapters)


def _decide(
    policy: Policy, outcomes: Sequence[Outcome], untrusted: Mapping[str, str], where: Circumstances
) -> Ruling:
    findings = tuple(f for outcome in outcomes for f in outcome.findings)
    skipped = tuple(f"{o.detector}: {o.not_applicable}" for o in outcomes if o.not_applicable is not None)
    faults = [f"{o.detector}: {o.fault}" for o in outcomes if o.fault is not None]
    if any(alarms(policy, finding, where) for finding in findings):
        return Ruling(Decision.ALARM, None, "; ".join(faults), findings, skipped)
    spoken = {o.detector: o for o in outcomes}
    silent = [f"{name}: did not run" for name in policy.required_for_clear if name not in spoken]
    if faults or silent:
        return Ruling(Decision.UNKNOWN, Reason.MODEL_FAULT, "; ".join([*faults, *silent]), findings, skipped)
    if untrusted:
        detail = "; ".join(f"{name}: {why}" for name, why in untrusted.items())
        return Ruling(Decision.UNKNOWN, Reason.MODEL_UNTRUSTED, detail, findings, skipped)
    return _covered(policy, {o.detector: o.not_applicable for o in outcomes}, findings, skipped)


def decide_again(policy: Policy, verdict: Verdict) -> Ruling:
    """What `policy` would have said of a scan that has its verdict, from what the verdict tells.

    It does not tell whether a model was trusted, nor which detectors ran and saw nothing: all that the policy
    requires are taken to have run, and an ALARM that is none any more to have been of trusted models.
    """
    findings, skipped, where = verdict.findings, verdict.not_applicable, circumstances(verdict)
    if any(alarms(policy, finding, where) for finding in findings):
        return Ruling(Decision.ALARM, None, "", findings, skipped)
    if verdict.decision is Decision.UNKNOWN and verdict.reason is not Reason.NOT_COVERED:
        return Ruling(verdict.decision, verdict.reason, verdict.detail, findings, skipped)
    if verdict.decision is Decision.ALARM and verdict.detail:  # faults that the alarm went before
        return Ruling(Decision.UNKNOWN, Reason.MODEL_FAULT, verdict.detail, findings, skipped)
    said = dict(_split(each) for each in skipped)
    return _covered(policy, {name: said.get(name) for name in policy.required_for_clear}, findings, skipped)


def circumstances(verdict: Verdict) -> Circumstances:
    """Where the carton of a verdict was, and what was declared of it."""
    return Circumstances(verdict.id.edge, verdict.id.scanner, verdict.chapters)


def _split(skipped: str) -> tuple[str, str]:
    name, _, why = skipped.partition(": ")
    return name, why


def _covered(
    policy: Policy,
    not_applicable: Mapping[str, str | None],
    findings: tuple[Finding, ...],
    skipped: tuple[str, ...],
) -> Ruling:
    """CLEAR, unless a detector it needs was not applicable."""
    uncovered = [
        f"{name}: {not_applicable[name]}"
        for name in policy.required_for_clear
        if not_applicable[name] is not None and name not in policy.may_be_not_applicable
    ]
    if uncovered:
        return Ruling(Decision.UNKNOWN, Reason.NOT_COVERED, "; ".join(uncovered), findings, skipped)
    return Ruling(Decision.CLEAR, None, "", findings, skipped)

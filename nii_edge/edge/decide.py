"""Findings to a verdict. Pure: no clock, no I/O, no state.

CLEAR is what is left when nothing speaks against it and everything required has spoken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nii_edge.config import Policy
from nii_edge.records import Decision, Finding, Outcome, Reason


class Ruling(NamedTuple):
    """A verdict without its identity. `reason` is set if and only if the decision is UNKNOWN."""

    decision: Decision
    reason: Reason | None = None
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    not_applicable: tuple[str, ...] = ()


def unknown(reason: Reason, detail: str) -> Ruling:
    """A scan that nobody may call clear, and why."""
    return Ruling(Decision.UNKNOWN, reason, detail)


def alarm_at(policy: Policy, finding: Finding) -> float:
    """The score from which this finding is an ALARM, in 0-1."""
    for rule in policy.alarms:
        if (rule.detector, rule.label) == (finding.detector, finding.label):
            return rule.at
    return policy.default_alarm_at


def decide(policy: Policy, outcomes: Sequence[Outcome], untrusted: Mapping[str, str]) -> Ruling:
    """The ruling on one scan from what its detectors said. `untrusted`: detectors whose model did not
    pass its golden frames, and why.

    An alarming finding is an ALARM even when another detector failed (a person looks either way, and
    sees why). Without one, any fault is UNKNOWN(MODEL_FAULT), and so is a required detector that did
    not speak; a required one that was not applicable is UNKNOWN(NOT_COVERED), unless the policy can do
    without it. Nothing is CLEAR while a detector is untrusted.
    """
    findings = tuple(f for outcome in outcomes for f in outcome.findings)
    skipped = tuple(f"{o.detector}: {o.not_applicable}" for o in outcomes if o.not_applicable is not None)
    faults = [f"{o.detector}: {o.fault}" for o in outcomes if o.fault is not None]
    # `not (score < at)` and not `score >= at`: a NaN that slipped through must alarm, not pass
    if any(not (f.score < alarm_at(policy, f)) for f in findings):
        return Ruling(Decision.ALARM, None, "; ".join(faults), findings, skipped)
    spoken = {o.detector: o for o in outcomes}
    silent = [f"{name}: did not run" for name in policy.required_for_clear if name not in spoken]
    if faults or silent:
        return Ruling(Decision.UNKNOWN, Reason.MODEL_FAULT, "; ".join([*faults, *silent]), findings, skipped)
    if untrusted:
        detail = "; ".join(f"{name}: {why}" for name, why in untrusted.items())
        return Ruling(Decision.UNKNOWN, Reason.MODEL_UNTRUSTED, detail, findings, skipped)
    uncovered = [
        f"{name}: {spoken[name].not_applicable}"
        for name in policy.required_for_clear
        if spoken[name].not_applicable is not None and name not in policy.may_be_not_applicable
    ]
    if uncovered:
        return Ruling(Decision.UNKNOWN, Reason.NOT_COVERED, "; ".join(uncovered), findings, skipped)
    return Ruling(Decision.CLEAR, None, "", findings, skipped)

"""`policy.yaml`: from which score a finding alarms, for which goods and where, and how urgent a carton is.

Of the rules that speak of a finding's label the most specific counts. Whoever declares several chapters, or
none, is held to the strictest of what could apply: leaving papers out never makes a threshold milder. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from nii_edge.config import Config, Unit
from nii_edge.papers import Papers
from nii_edge.records import Band, Decision, Finding, Name, Verdict

Chapter = Annotated[int, Meta(ge=1, le=99)]
NO_CHAPTER = 0
"""Stands in a list of declared chapters for a line whose goods have no code of the Harmonized System."""


class AlarmRule(Config, frozen=True, kw_only=True):
    """A finding of this detector and label with a score of at least `at` is an ALARM, from `refer_at` on one
    whose carton is to be opened. Only for goods of these `chapters` of the Harmonized System, on these
    `lanes`, at these `sites` (names of edges); empty: any. `refer_at` left out: the higher one of `at` and
    `default_refer_at`; never, if that is left out too."""

    detector: Name
    label: Name
    at: Unit
    refer_at: Unit | None = None
    chapters: tuple[Chapter, ...] = ()
    lanes: tuple[Name, ...] = ()
    sites: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        _refuse_early_referral("refer_at", self.refer_at, "at", self.at)

    @property
    def specificity(self) -> tuple[bool, bool, bool]:
        """The greater the more specific: goods come before lane, lane before site."""
        return bool(self.chapters), bool(self.lanes), bool(self.sites)

    @property
    def scope(self) -> str:
        """What the rule is narrowed to, in words; empty if to nothing."""
        parts = []
        if self.chapters:
            parts.append(f"chapter {', '.join(map(str, self.chapters))}")
        if self.lanes:
            parts.append(f"lane {', '.join(self.lanes)}")
        if self.sites:
            parts.append(f"site {', '.join(self.sites)}")
        return "; ".join(parts)

    def overlaps(self, other: AlarmRule) -> bool:
        """Whether some finding would have these two rules and neither were the more specific."""
        return (
            (self.detector, self.label) == (other.detector, other.label)
            and self.specificity == other.specificity
            and all(
                not own or bool(set(own) & set(others))
                for own, others in (
                    (self.chapters, other.chapters), (self.lanes, other.lanes), (self.sites, other.sites),
                )
            )
        )  # fmt: skip


class Policy(Config, frozen=True, kw_only=True):
    """How findings become a verdict and its band. `default_refer_at`: None refers only what a rule refers.
    `unknown_band`: what is done with a carton that nobody could judge; never CLEAR."""

    version: Literal[1]
    name: Name
    required_for_clear: tuple[Name, ...]
    may_be_not_applicable: tuple[Name, ...] = ()
    default_alarm_at: Unit
    default_refer_at: Unit | None = None
    unknown_band: Literal["REVIEW", "REFER"] = "REVIEW"
    alarms: tuple[AlarmRule, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.required_for_clear) - set(self.may_be_not_applicable):
            raise ValueError(
                "CLEAR must be earned: `required_for_clear` needs a detector that is not also in "
                "`may_be_not_applicable`"
            )
        _refuse_early_referral(
            "default_refer_at", self.default_refer_at, "default_alarm_at", self.default_alarm_at
        )
        for (i, one), (j, other) in combinations(enumerate(self.alarms), 2):
            if one.overlaps(other):
                scopes = f"{one.scope or 'everywhere'}; {other.scope or 'everywhere'}"
                raise ValueError(
                    f"`alarms[{i}]` and `alarms[{j}]` both speak of {one.detector}/{one.label} ({scopes}) "
                    "and neither is more specific"
                )


def _refuse_early_referral(name: str, refer_at: float | None, other: str, at: float) -> None:
    if refer_at is not None and refer_at < at:
        raise ValueError(f"`{name}` {refer_at:g} is below `{other}` {at:g}: only an ALARM can be referred")


class Circumstances(NamedTuple):
    """Where a carton is and what is declared to be in it: `site` is the edge's name, `lane` the scanner's.
    `chapters` of the Harmonized System, NO_CHAPTER for lines without a code; empty if no papers are known."""

    site: str
    lane: str
    chapters: tuple[int, ...] = ()

    @property
    def goods_known(self) -> bool:
        """Whether all goods are declared with their chapter."""
        return bool(self.chapters) and NO_CHAPTER not in self.chapters


def chapters_of(papers: Papers) -> tuple[int, ...]:
    """What is declared, for `Circumstances`: each chapter once, rising."""
    return tuple(sorted({line.chapter or NO_CHAPTER for line in papers.lines}))


class Threshold(NamedTuple):
    """Scores (0-1) from which a finding is an ALARM and is referred (None: never), and by which `rule`."""

    at: float
    refer_at: float | None
    rule: str

    def band(self, score: float) -> Band:
        """The band of a score; one that is not a number is none to pass with."""
        if score < self.at:
            return Band.CLEAR
        return Band.REVIEW if self.refer_at is None or score < self.refer_at else Band.REFER


class Grade(NamedTuple):
    """The band of one finding and the threshold that gave it."""

    band: Band
    threshold: Threshold


class Weight(NamedTuple):
    """How urgent a carton is. `risk` 0-100, None if nothing was found and not all could be looked for; `rule`
    says in words which rule of the policy gave the band, `by` names that rule alone."""

    band: Band
    risk: float | None
    rule: str
    by: str


def thresholds(policy: Policy, finding: Finding, where: Circumstances) -> tuple[Threshold, ...]:
    """One for each chapter that the carton's goods may be of, the most specific rule's; never empty."""
    about = [
        (i, rule)
        for i, rule in enumerate(policy.alarms)
        if (rule.detector, rule.label) == (finding.detector, finding.label)
        and (not rule.lanes or where.lane in rule.lanes)
        and (not rule.sites or where.site in rule.sites)
    ]
    chapters = set(where.chapters)
    if not where.goods_known:  # they may be of any
        chapters |= {NO_CHAPTER} | {chapter for _, rule in about for chapter in rule.chapters}
    found = {}
    for chapter in sorted(chapters):
        fitting = [(i, rule) for i, rule in about if not rule.chapters or chapter in rule.chapters]
        threshold = _threshold(
            policy, *max(fitting, key=lambda each: each[1].specificity, default=(-1, None))
        )
        found[threshold.rule] = threshold
    return tuple(found.values())


def _threshold(policy: Policy, index: int, rule: AlarmRule | None) -> Threshold:
    if rule is None:
        return Threshold(policy.default_alarm_at, policy.default_refer_at, "default_alarm_at")
    refer_at = rule.refer_at
    if refer_at is None and policy.default_refer_at is not None:
        refer_at = max(rule.at, policy.default_refer_at)
    return Threshold(rule.at, refer_at, f"alarms[{index}]" + (f" ({rule.scope})" if rule.scope else ""))


def grade(policy: Policy, finding: Finding, where: Circumstances) -> Grade:
    """The strictest band that the finding may have."""
    grades = [Grade(each.band(finding.score), each) for each in thresholds(policy, finding, where)]
    return max(grades, key=lambda each: (each.band.rank, -each.threshold.at))


def alarms(policy: Policy, finding: Finding, where: Circumstances) -> bool:
    """Whether the finding by itself makes an ALARM."""
    return grade(policy, finding, where).band is not Band.CLEAR


def weigh(policy: Policy, decision: Decision, findings: Sequence[Finding], where: Circumstances) -> Weight:
    """The band and the risk of a carton that has its decision. The band is CLEAR if and only if that is."""
    chance = risk(findings, nothing=0.0 if decision is Decision.CLEAR else None)
    unnamed = "" if where.goods_known or not any(rule.chapters for rule in policy.alarms) else (
        "not all goods have a chapter, so the strictest rule of any counts"
    )  # fmt: skip
    if decision is Decision.CLEAR:
        return Weight(Band.CLEAR, chance, unnamed, "")
    graded = [(grade(policy, finding, where), finding) for finding in findings]
    worst = max(graded, key=lambda each: (each[0].band.rank, _chance(each[1])), default=None)
    if decision is Decision.UNKNOWN or worst is None or worst[0].band is Band.CLEAR:
        by, words = "unknown_band", f"nobody could judge it: {policy.unknown_band} by unknown_band"
        return Weight(Band(policy.unknown_band), chance, "; ".join(filter(None, (words, unnamed))), by)
    (band, threshold), finding = worst
    from_ = threshold.at if band is Band.REVIEW else threshold.refer_at
    words = (
        f"{finding.detector}/{finding.label} {finding.score:.3g} is {band} from {from_:.3g}, {threshold.rule}"
    )
    return Weight(band, chance, "; ".join(filter(None, (words, unnamed))), threshold.rule)


def risk(findings: Iterable[Finding], nothing: float | None) -> float | None:
    """The risk of a carton, 0-100, one decimal; `nothing` if nothing was found.

    The probability that at least one detector is right, each counted once: with its joint finding if it has
    one (the others are its parts), else with its highest. They see the same carton, so what they say is not
    multiplied as if each were new evidence of one thing.
    """
    joint: dict[str, float] = {}
    highest: dict[str, float] = {}
    for finding in findings:
        chances = joint if finding.joint else highest
        chances[finding.detector] = max(chances.get(finding.detector, 0.0), _chance(finding))
    if not highest and not joint:
        return nothing
    return round(100 * (1 - math.prod(1 - chance for chance in (highest | joint).values())), 1)


def _chance(finding: Finding) -> float:
    """A score as a probability; what is no number is certain."""
    return min(max(finding.score, 0.0), 1.0) if math.isfinite(finding.score) else 1.0


def urgency(verdict: Verdict) -> tuple[int, float]:
    """What alerts are ordered by, the highest first: the band, then the risk. A carton of which nothing is
    known comes before all others of its band; one of an edge that knew no bands counts as REVIEW."""
    band = verdict.band or (Band.CLEAR if verdict.decision is Decision.CLEAR else Band.REVIEW)
    return band.rank, 100.0 if verdict.risk is None else verdict.risk

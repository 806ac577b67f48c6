"""The consignments that pass: is a carton unlike the others of its master bill, or was an earlier one? What
they say goes into the verifier's joint finding, too.

Lives in the edge process because the inference process keeps nothing and may die (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect.anomaly import Consignment, Oddity, probability
from nii_edge.detect.evidence import FUSED, VERIFIER
from nii_edge.detect.fellows import ConsignmentFit, joined
from nii_edge.detect.heat import Blocks, Compared, thinned
from nii_edge.edge.case import Case
from nii_edge.edge.jobs import CartonTraits, ViewBlocks
from nii_edge.edge.memory import Known, Memory, Resumed
from nii_edge.papers import barcode_of
from nii_edge.policy import Circumstances, Policy, alarms, weigh
from nii_edge.ports import Clock
from nii_edge.records import Decision, Finding, Outcome, Recall, ScanId, ScanType

DETECTOR = "anomaly"
LABEL = "odd_one_out"
MOST_CONSIGNMENTS = 4_096
"""Master bills that are remembered: of more, the one that was quiet longest is forgotten."""
MOST_TEACHERS = 4
"""Cartons of a master bill whose views are kept to compare others with: about 10 kB in all."""
SPEAKS_AT = 0.05
"""Share of honest cartons that are as odd, up to which it is told."""


class _First(NamedTuple):
    """The first scan of a carton, and the line of its papers."""

    scan: ScanId
    where: Circumstances
    declared: str


@dataclass(slots=True)
class _Group:
    """Cartons that are held against each other, and the first scan of each, by barcode."""

    cartons: Consignment
    scans: dict[str, _First] = field(default_factory=dict)

    def told(self, carton: str, scan: ScanId) -> None:
        """That scan of it need not be recalled."""
        if carton in self.scans and self.scans[carton].scan == scan:
            self.cartons.told(carton)


@dataclass(slots=True)
class _Passing:
    """One master bill: its cartons since the start and, if some passed before it, `whole` with these, too;
    and the views of a few that were not odd."""

    since_start: _Group
    whole: _Group | None = None
    teachers: list[tuple[Blocks, ...]] = field(default_factory=list)

    @property
    def groups(self) -> list[_Group]:
        """Those that a carton is held against, each by itself."""
        return [self.since_start] if self.whole is None else [self.since_start, self.whole]

    def told(self, carton: str, scan: ScanId) -> None:
        """That scan of it need not be recalled."""
        for group in self.groups:
            group.told(carton, scan)


class _Look(NamedTuple):
    """How odd a carton is among the `before` cartons of a group that went before; whether it is `new`
    there."""

    before: int
    odd: Oddity | None
    new: bool

    @property
    def chance(self) -> float:
        """Of honest cartons that are as odd; 1 while nothing can be said."""
        return 1.0 if self.odd is None else self.odd.chance


class Judged(NamedTuple):
    """What all detectors say of a carton, this one last; if it is odd, what it was `compared` with, for a
    heat map."""

    outcomes: tuple[Outcome, ...]
    compared: Compared | None = None


class Oddities:
    """Not thread-safe: one thread, or one lock. `recall` is told of each earlier carton that `policy` would
    call an ALARM now that more are known, once, and what to call when that is on disk. Tests and operational
    scans never teach each other.

    `memory` keeps the cartons for the next start. What it says of those before this one may add to what is
    found and never takes anything away: who could write its file could else have a carton pass for usual."""

    def __init__(
        self,
        fit: ConsignmentFit,
        prior: float,
        policy: Policy,
        recall: Callable[[Recall, Callable[[], None]], None],
        clock: Clock,
        memory: Memory | None = None,
    ) -> None:
        self._fit, self._prior, self._policy = fit, prior, policy
        self._recall, self._clock, self._memory = recall, clock, memory
        self._passing: dict[tuple[ScanType, str], _Passing] = {}

    def resume(self, carton: Resumed) -> None:
        """One that passed before a restart, the oldest first."""
        known = carton.known
        passing = self._of(known.scan_type, known.master_bill)
        if passing.whole is None:
            passing.whole = _Group(Consignment(self._fit.null))
        passing.whole.cartons.teach(known.carton, np.array(known.values))
        passing.whole.scans.setdefault(known.carton, _First(known.scan, known.where, known.declared))
        if carton.told:
            passing.whole.told(known.carton, known.scan)
        if known.views and len(passing.teachers) < MOST_TEACHERS:
            passing.teachers.append(known.blocks())

    def judge(
        self, case: Case, traits: CartonTraits | None, where: Circumstances, outcomes: tuple[Outcome, ...]
    ) -> Judged:
        """What a carton is among those of its master bill that went before; then it is one of them.
        `outcomes`: of the other detectors.

        Raises:
            DetectorFaultError: the evidence adds up to no number.
        """
        carton = barcode_of(case.scan.carton)
        if traits is None or not carton:
            why = "the carton was not measured, or its papers name no master bill"
            return Judged((*outcomes, Outcome(detector=DETECTOR, not_applicable=why)))
        passing = self._of(case.scan_type, traits.master_bill)
        first = _First(case.id, where, traits.declared)
        looks = [_look(group, carton, np.array(traits.values), first) for group in passing.groups]
        new = any(look.new for look in looks)
        oddest = min(looks, key=lambda look: look.chance)
        own = tuple(each.blocks() for each in traits.views)
        compared: Compared | None = None
        findings: tuple[Finding, ...] = ()
        views: tuple[Blocks, ...] = ()
        alarm = False
        if oddest.odd is not None and oddest.chance <= SPEAKS_AT:
            words = f"Unlike the {oddest.before} cartons of its master bill before it"
            findings = (self._finding(oddest.odd, words, traits.declared),)
            compared = Compared(own, tuple(passing.teachers))
            alarm = self._alarms(oddest.odd, where)
        elif new and len(passing.teachers) < MOST_TEACHERS:
            views = tuple(thinned(each) for each in own)
            passing.teachers.append(views)
        if alarm:
            passing.told(carton, case.id)
        self._keep(case, carton, traits, where, views, alarm)
        self._call_back(case, traits.master_bill, passing)
        weighed = tuple(
            self._weighed(each, traits, looks) if each.detector == VERIFIER else each for each in outcomes
        )
        if looks[0].odd is None and not findings:
            why = "too few cartons of its master bill went before"
            return Judged((*weighed, Outcome(detector=DETECTOR, not_applicable=why)))
        return Judged((*weighed, Outcome(detector=DETECTOR, findings=findings)), compared)

    def _weighed(self, outcome: Outcome, traits: CartonTraits, looks: Sequence[_Look]) -> Outcome:
        """The verifier's outcome with what the fellows say, the one of the `looks` that speaks most against
        the carton."""
        ways = np.array(traits.ways)
        joint, prior = self._fit.joint, self._prior
        said = [
            outcome if look.odd is None else joined(outcome, ways, look.odd, joint, prior, traits.declared)
            for look in looks
        ]
        return max(said, key=_joint_score)

    def _keep(
        self,
        case: Case,
        carton: str,
        traits: CartonTraits,
        where: Circumstances,
        views: tuple[Blocks, ...],
        alarm: bool,
    ) -> None:
        if self._memory is None:
            return
        known = Known(
            scan=case.id,
            scan_type=case.scan_type,
            carton=carton,
            master_bill=traits.master_bill,
            chapters=where.chapters,
            values=traits.values,
            size=traits.size,
            declared=traits.declared,
            views=tuple(ViewBlocks.of(each) for each in views),
        )
        self._memory.put(known, alarm)

    def _of(self, scan_type: ScanType, master_bill: str) -> _Passing:
        key = (scan_type, master_bill)
        passing = self._passing.pop(key, None) or _Passing(_Group(Consignment(self._fit.null)))
        self._passing[key] = passing  # the newest at the end
        if len(self._passing) > MOST_CONSIGNMENTS:
            del self._passing[next(iter(self._passing))]
        return passing

    def _call_back(self, case: Case, master_bill: str, passing: _Passing) -> None:
        for group in passing.groups:
            scans = group.scans
            for carton, odd in group.cartons.turned_odd(
                lambda carton, odd, scans=scans: self._alarms(odd, scans[carton].where)  # type: ignore[misc]
            ):
                passing.told(carton, scans[carton].scan)
                noted: Callable[[], None] = _nothing
                if self._memory is not None:
                    noted = partial(self._memory.told, case.scan_type, master_bill, carton)
                made = self._called(case, carton, scans[carton], odd, len(group.cartons) - 1)
                self._recall(made, noted)

    def _called(self, case: Case, carton: str, first: _First, odd: Oddity, others: int) -> Recall:
        words = f"Unlike the {others} other cartons of its master bill"
        finding = self._finding(odd, words, first.declared)
        weight = weigh(self._policy, Decision.ALARM, (finding,), first.where)
        return Recall(
            scan=first.scan,
            scan_type=case.scan_type,
            carton=carton,
            because=case.id,
            finding=finding,
            noticed_at_ns=self._clock.wall_ns(),
            band=weight.band,
            risk=weight.risk,
        )

    def _alarms(self, odd: Oddity, where: Circumstances) -> bool:
        return odd.chance <= SPEAKS_AT and alarms(self._policy, self._finding(odd, "", ""), where)

    def _finding(self, odd: Oddity, words: str, declared: str) -> Finding:
        return Finding(
            detector=DETECTOR,
            kind="anomaly",
            label=LABEL,
            category="ANOMALY",
            score=probability(odd.chance, self._prior),
            why=f"{words}, most in {odd.trait}.",
            declared=declared,
        )


def _nothing() -> None:
    """Nobody remembers cartons."""


def _look(group: _Group, carton: str, values: npt.NDArray[np.float64], first: _First) -> _Look:
    """At a carton, which is one of the group then."""
    before = len(group.cartons)
    odd = group.cartons.look(carton, values)
    new = len(group.cartons) > before
    if new:
        group.scans.setdefault(carton, first)
    return _Look(before, odd, new)


def _joint_score(outcome: Outcome) -> float:
    """Of the verifier's joint finding; 0 if it has none."""
    return max((finding.score for finding in outcome.findings if finding.label == FUSED), default=0.0)

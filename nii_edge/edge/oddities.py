"""The consignments that pass: is a carton unlike the others of its master bill, or was an earlier one? What
they say goes into the verifier's joint finding, too.

Lives in the edge process because the inference process keeps nothing and may die (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nii_edge.detect.anomaly import Consignment, Oddity, probability
from nii_edge.detect.evidence import VERIFIER
from nii_edge.detect.fellows import ConsignmentFit, joined
from nii_edge.detect.heat import Blocks, Compared, thinned
from nii_edge.edge.case import Case
from nii_edge.edge.jobs import CartonTraits
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
class _Passing:
    """One master bill, the first scan of each of its cartons, by barcode, and the views of a few that were
    not odd."""

    consignment: Consignment
    teachers: list[tuple[Blocks, ...]] = field(default_factory=list)
    scans: dict[str, _First] = field(default_factory=dict)


class Judged(NamedTuple):
    """What all detectors say of a carton, this one last; if it is odd, what it was `compared` with, for a
    heat map."""

    outcomes: tuple[Outcome, ...]
    compared: Compared | None = None


class Oddities:
    """Not thread-safe: one thread, or one lock. `recall` is told of each earlier carton that `policy` would
    call an ALARM now that more are known, once. Tests and operational scans never teach each other."""

    def __init__(
        self,
        fit: ConsignmentFit,
        prior: float,
        policy: Policy,
        recall: Callable[[Recall], None],
        clock: Clock,
    ) -> None:
        self._fit, self._prior, self._policy = fit, prior, policy
        self._recall, self._clock = recall, clock
        self._passing: dict[tuple[ScanType, str], _Passing] = {}

    def judge(
        self, case: Case, traits: CartonTraits | None, where: Circumstances, outcomes: tuple[Outcome, ...]
    ) -> Judged:
        """What a carton is among those of its master bill that went before; then it is one of them.
        `outcomes`: of the other detectors.

        Raises:
            DetectorFaultError: the evidence adds up to no number.
        """
        carton = case.scan.carton
        if traits is None or carton is None:
            why = "the carton was not measured, or its papers name no master bill"
            return Judged((*outcomes, Outcome(detector=DETECTOR, not_applicable=why)))
        passing = self._of(case.scan_type, traits.master_bill)
        before = len(passing.consignment)
        odd = passing.consignment.look(carton, np.array(traits.values))
        if len(passing.consignment) > before:
            passing.scans[carton] = _First(case.id, where, traits.declared)
        own = tuple(each.blocks() for each in traits.views)
        compared: Compared | None = None
        findings: tuple[Finding, ...] = ()
        if odd is not None and odd.chance <= SPEAKS_AT:
            findings = (
                self._finding(
                    odd, f"Unlike the {before} cartons of its master bill before it", traits.declared
                ),
            )
            compared = Compared(own, tuple(passing.teachers))
            if self._alarms(odd, where):
                passing.consignment.told(carton)
        elif len(passing.consignment) > before and len(passing.teachers) < MOST_TEACHERS:
            passing.teachers.append(tuple(thinned(each) for each in own))
        self._call_back(case, passing)
        if odd is None:
            why = "too few cartons of its master bill went before"
            return Judged((*outcomes, Outcome(detector=DETECTOR, not_applicable=why)))
        ways = np.array(traits.ways)
        all_weighed = (
            joined(each, ways, odd, self._fit.joint, self._prior, traits.declared)
            if each.detector == VERIFIER
            else each
            for each in outcomes
        )
        return Judged((*all_weighed, Outcome(detector=DETECTOR, findings=findings)), compared)

    def _of(self, scan_type: ScanType, master_bill: str) -> _Passing:
        key = (scan_type, master_bill)
        passing = self._passing.pop(key, None) or _Passing(Consignment(self._fit.null))
        self._passing[key] = passing  # the newest at the end
        if len(self._passing) > MOST_CONSIGNMENTS:
            del self._passing[next(iter(self._passing))]
        return passing

    def _call_back(self, case: Case, passing: _Passing) -> None:
        cartons = len(passing.consignment)
        for carton, odd in passing.consignment.turned_odd(
            lambda carton, odd: self._alarms(odd, passing.scans[carton].where)
        ):
            first = passing.scans[carton]
            finding = self._finding(
                odd, f"Unlike the {cartons - 1} other cartons of its master bill", first.declared
            )
            weight = weigh(self._policy, Decision.ALARM, (finding,), first.where)
            recall = Recall(
                scan=first.scan,
                scan_type=case.scan_type,
                carton=carton,
                because=case.id,
                finding=finding,
                noticed_at_ns=self._clock.wall_ns(),
                band=weight.band,
                risk=weight.risk,
            )
            self._recall(recall)

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

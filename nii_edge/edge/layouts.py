"""The cartons that passed last: was one packed like this, whose papers speak of other goods?

A shipment that is split over master bills and declared as this and that is packed alike all the same. The
same goods for other consignees are no news: that is what parcels are. Lives in the edge process because the
inference process keeps nothing and may die (docs/decisions/0012); `Memory` knows them after a restart.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from nii_edge.config import SameLayout
from nii_edge.detect.layout import Values, distances, layout
from nii_edge.edge.case import Case
from nii_edge.edge.jobs import CartonTraits
from nii_edge.edge.memory import Known
from nii_edge.papers import barcode_of
from nii_edge.policy import Circumstances
from nii_edge.records import Finding, Outcome, ScanId, ScanType

DETECTOR = "layout"
LABEL = "same_layout"
ALIKE = 0.6
"""Score of a carton packed like another: to be looked at by the shipped policy. Chosen, not measured."""


class _Passed(NamedTuple):
    """One carton: its layout, and what else is known of it."""

    values: Values
    scan: ScanId
    scan_type: ScanType
    carton: str
    master_bill: str
    chapters: frozenset[int]


class Layouts:
    """Not thread-safe: one thread, or one lock. `spread`: of `anomaly.Null`. Tests and operational scans are
    not compared with each other."""

    def __init__(self, rules: SameLayout, spread: Values) -> None:
        self._nearer, self._spread = rules.nearer, spread
        self._passed: deque[_Passed] = deque(maxlen=rules.remembered)

    def __len__(self) -> int:
        return len(self._passed)

    def resume(self, known: Known) -> None:
        """A carton that passed before a restart, the oldest first."""
        values = layout(np.array(known.values), known.size, self._spread)
        if values is not None and known.where.goods_known:
            chapters = frozenset(known.chapters)
            self._passed.append(
                _Passed(values, known.scan, known.scan_type, known.carton, known.master_bill, chapters)
            )

    def judge(self, case: Case, traits: CartonTraits | None, where: Circumstances) -> Outcome:
        """Whether a carton of another master bill and of other chapters was packed like this one; then it is
        one of those that passed."""
        carton = barcode_of(case.scan.carton)
        if traits is None or not carton or not where.goods_known:
            why = "the carton was not measured, or its papers leave out a master bill or a code"
            return Outcome(detector=DETECTOR, not_applicable=why)
        values = layout(np.array(traits.values), traits.size, self._spread)
        if values is None:
            return Outcome(detector=DETECTOR, not_applicable="something that is compared was not measured")
        own = _Passed(values, case.id, case.scan_type, carton, traits.master_bill, frozenset(where.chapters))
        like = self._like(own)
        self._passed.append(own)
        findings = () if like is None else (_finding(own, like, traits.declared),)
        return Outcome(detector=DETECTOR, findings=findings)

    def _like(self, own: _Passed) -> _Passed | None:
        """The most similar carton of those that may be compared, if it is similar enough."""
        others = [each for each in self._passed if _other_goods(own, each)]
        if not others:
            return None
        away = distances(own.values, np.array([each.values for each in others]))
        nearest = int(np.argmin(away))
        return others[nearest] if away[nearest] < self._nearer else None


def _other_goods(own: _Passed, other: _Passed) -> bool:
    return (
        own.scan_type is other.scan_type
        and own.master_bill != other.master_bill
        and own.carton != other.carton
        and own.chapters.isdisjoint(other.chapters)
    )


def _finding(own: _Passed, like: _Passed, declared: str) -> Finding:
    theirs, ours = (", ".join(map(str, sorted(each.chapters)[:3])) for each in (like, own))
    why = (
        f"Packed like carton {like.carton[:40]} of another master bill ({like.scan.report_id}), whose papers "
        f"speak of chapter {theirs}; its own of {ours}."
    )
    return Finding(
        detector=DETECTOR, kind="anomaly", label=LABEL, category="ANOMALY", score=ALIKE, why=why[:200],
        declared=declared,
    )  # fmt: skip

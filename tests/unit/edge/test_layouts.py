"""Cartons packed alike under other goods: what is told, what is not, and how much is remembered."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.config import SameLayout
from nii_edge.detect.anomaly import APART, MASS, TRAITS
from nii_edge.detect.layout import LENGTH, distances, layout
from nii_edge.edge.case import Case
from nii_edge.edge.decide import decide
from nii_edge.edge.engine import or_fault
from nii_edge.edge.jobs import CartonTraits, JobScan
from nii_edge.edge.layouts import DETECTOR, LABEL, Layouts
from nii_edge.edge.memory import Known
from nii_edge.policy import Circumstances, Policy
from nii_edge.records import Decision, Outcome, Reason, ScanId, ScanType

LIVE, TEST = ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL
SPREAD = np.full(len(TRAITS), 0.1)
SIZE = (4.0, 20.0)


class Belt:
    """Cartons that pass one after the other; the same `lot` is packed alike."""

    def __init__(self, remembered: int = 100) -> None:
        self.layouts = Layouts(SameLayout(remembered=remembered), SPREAD)
        self._seq = 0

    def passes(
        self, lot: int, bill: str, *chapters: int, carton: str = "", scan_type: ScanType = LIVE,
        size: tuple[float, float] = SIZE,
    ) -> Outcome:  # fmt: skip
        self._seq += 1
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=self._seq)
        job = JobScan(id=scan, scan_type=scan_type, carton=carton or f"c{self._seq}", frames=())
        own = np.random.default_rng(self._seq).normal(scale=0.03, size=len(TRAITS))
        values = np.random.default_rng(1_000 + lot).normal(size=len(TRAITS)) + own
        traits = CartonTraits(
            master_bill=bill, values=tuple(values.tolist()), ways=(), declared=f"line {self._seq}", size=size
        )
        return self.layouts.judge(Case(job, 1, 0.0, ()), traits, Circumstances("e", "s", chapters))


def test_the_same_lot_under_other_goods_of_another_master_bill_is_told() -> None:
    """The words name the carton before and both chapters; the line of its own papers goes along."""
    belt = Belt()
    assert belt.passes(1, "M1", 61).findings == ()
    assert belt.passes(2, "M2", 85).findings == ()
    (finding,) = belt.passes(1, "M3", 85, 94).findings
    assert (finding.detector, finding.label, finding.declared) == (DETECTOR, LABEL, "line 3")
    report = ScanId(edge="e", scanner="s", epoch=1, seq=1).report_id
    assert finding.why == (
        f"Packed like carton c1 of another master bill ({report}), whose papers speak of chapter 61; "
        "its own of 85, 94."
    )


def test_what_may_well_be_packed_alike_is_not_told() -> None:
    """Of one master bill, of the same goods, in one of several chapters, the same carton again, a test."""
    belt = Belt()
    belt.passes(1, "M1", 61, carton="B")
    assert belt.passes(1, "M1", 85).findings == ()
    assert belt.passes(1, "M2", 61, 85).findings == ()
    assert belt.passes(1, "M3", 85, 61).findings == ()
    again = Belt()
    again.passes(1, "M1", 61, carton="B")
    assert again.passes(1, "M2", 85, carton="B").findings == ()
    assert again.passes(1, "M3", 94, scan_type=TEST).findings == ()
    assert again.passes(1, "M4", 94, size=(6.0, 20.0)).findings != ()
    assert again.passes(1, "M5", 95, size=(40.0, 200.0)).findings == ()


def test_what_is_not_known_is_not_compared() -> None:
    """No code, no papers, no mass: not applicable, and not remembered."""
    belt = Belt()
    for outcome in (
        belt.passes(1, "M1", 0),
        belt.passes(1, "M2"),
        belt.passes(1, "M3", 85, size=(0.0, 20.0)),
    ):
        assert outcome.findings == ()
        assert outcome.not_applicable
    assert len(belt.layouts) == 0


def test_memory_is_bounded() -> None:
    """The oldest is forgotten, whatever it was."""
    belt = Belt(remembered=3)
    belt.passes(1, "M1", 61)
    for lot in (2, 3, 4):
        belt.passes(lot, f"M{lot}", 61)
    assert len(belt.layouts) == 3
    assert belt.passes(1, "M9", 85).findings == ()


def test_what_passed_before_a_restart_is_compared() -> None:
    """As the file has it, traits that layouts do not compare missing; goods without a code still are not."""
    belt = Belt()
    values = np.random.default_rng(1_001).normal(size=len(TRAITS))
    values[[MASS, APART[0]]] = np.nan
    for seq, chapters in ((90, (0, 61)), (91, (61,))):
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
        known = Known(
            scan=scan, scan_type=LIVE, carton=f"c{seq}", master_bill="M1", chapters=chapters,
            values=tuple(values.tolist()), size=SIZE,
        )  # fmt: skip
        belt.layouts.resume(known)
    assert len(belt.layouts) == 1
    (finding,) = belt.passes(1, "M3", 85).findings
    assert finding.why.startswith("Packed like carton c91 of another master bill")


def test_a_layout_leaves_out_what_papers_say_and_what_is_found() -> None:
    """Mass over declared may be missing; any other value may not."""
    values = np.zeros(len(TRAITS))
    values[[MASS, *APART]] = np.nan
    own = layout(values, SIZE, SPREAD)
    assert own is not None
    assert own.shape == (LENGTH,)
    assert distances(own, np.array([own, own + 1])) == pytest.approx([0.0, np.log(1.5)])
    values[3] = np.nan
    assert layout(values, SIZE, SPREAD) is None


def test_one_that_fails_makes_its_scan_unknown_and_ends_nothing() -> None:
    """Measures of another number than a fit has: the engine's thread must not end with it."""
    belt = Belt()
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=1)
    case = Case(JobScan(id=scan, scan_type=LIVE, carton="c", frames=()), 1, 0.0, ())
    short = CartonTraits(master_bill="M", values=(1.0, 2.0), ways=(), declared="", size=SIZE)
    where = Circumstances("e", "s", (61,))
    outcome = or_fault(DETECTOR, lambda: belt.layouts.judge(case, short, where))
    assert outcome.fault.startswith("ValueError: ")
    policy = Policy(version=1, name="p", required_for_clear=(DETECTOR,), default_alarm_at=0.5)
    ruling = decide(policy, (outcome,), {}, where)
    assert (ruling.decision, ruling.reason) == (Decision.UNKNOWN, Reason.MODEL_FAULT)

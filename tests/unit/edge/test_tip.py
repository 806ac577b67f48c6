"""Projection in the daemon: which scans, in which slots, and what comes of it when things go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from harness import until

from nii_edge.adapters.system_clock import SystemClock
from nii_edge.edge.case import Case
from nii_edge.edge.decide import Ruling, unknown
from nii_edge.edge.jobs import JobFrame, JobScan
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.tip import Tip, TipPlan
from nii_edge.edge.tip_score import TipRate
from nii_edge.edge.trial import Trial, TrialAnswer
from nii_edge.policy import Policy
from nii_edge.records import Box, Channel, Decision, Finding, Outcome, Reason, ScanId, ScanType
from nii_edge.telemetry import Metrics
from nii_edge.xray.projection import Threat

POLICY = Policy(version=1, name="p", required_for_clear=("d",), default_alarm_at=0.5)
CLEAR = Ruling(Decision.CLEAR)
SLOTS, VIEWS, SHAPE = 8, 2, (80, 120, 2)
BLOCK = Threat("block-1", "block", np.zeros((20, 20, 2), np.float32), 0.8, "made by the test")

Detectors = Callable[[Trial], TrialAnswer]


def blind(trial: Trial) -> TrialAnswer:
    """Detectors that find nothing."""
    return TrialAnswer((Outcome(detector="d"),), begun=True)


class Rig:
    """A `Tip` whose trials are answered by `detectors` at once; `trials` are all that it asked for, with the
    pixels as they were then."""

    def __init__(self, rate: float = 1.0) -> None:
        self.pool = SlotPool(SLOTS, int(np.prod(SHAPE)) * 2, VIEWS)
        self.metrics = Metrics()
        self.detectors: Detectors = blind
        self.trials: list[tuple[Trial, list[np.ndarray]]] = []
        plan = TipPlan(rate, (BLOCK,), {}, {"lane": (0.8, 0.8)}, {}, "library")
        self.tip = Tip(plan, POLICY, self.pool, SystemClock(), self.metrics, seed=1)
        self.seq = 0

    def start(self) -> None:
        self.tip.start(self._try_out)

    def _try_out(self, trial: Trial) -> None:
        pixels = [self.pool.frame(frame).pixels.copy() for frame in trial.scan.frames]
        self.trials.append((trial, pixels))
        trial.answer(self.detectors(trial))

    def case(
        self,
        scanner: str = "lane",
        scan_type: ScanType = ScanType.OPERATIONAL,
        channels: tuple[Channel, ...] = ("low", "high"),
        goods: float = 0.5,
    ) -> Case:
        """A carton of even goods that holds its slots."""
        self.seq += 1
        rng = np.random.default_rng(self.seq)
        frames = []
        for view in range(VIEWS):
            pixels = (rng.poisson(np.full(SHAPE, goods) * 8_000) * 6).astype(np.uint16)
            slot = self.pool.acquire()
            assert slot is not None
            self.pool.buffer(slot, pixels.nbytes)[:] = pixels.tobytes()
            frames.append(
                JobFrame(
                    view=view,
                    view_name="",
                    slot=slot,
                    shape=SHAPE,
                    dtype="uint16",
                    channels=channels,
                    full_scale=48_000,
                    opaque_below=0.001,
                )
            )
        scan = ScanId(edge="e", scanner=scanner, epoch=1, seq=self.seq)
        job = JobScan(id=scan, scan_type=scan_type, carton="C", frames=tuple(frames))
        return Case(job, 1, 0.0, tuple(frame.slot for frame in frames))

    def conclude(self, case: Case, ruling: Ruling = CLEAR) -> TipRate:
        """Let `Tip` look at a case, give up its slots as the concluder would, wait for what comes of it."""
        before = _known(self.total)

        def concluder(case: Case, ruling: Ruling, models: tuple[str, ...]) -> None:
            for slot in case.slots:
                self.pool.release(slot)

        self.tip.before(concluder)(case, ruling, ())
        until(lambda: _known(self.total) > before, what="a result")
        until(lambda: self.pool.free == SLOTS, what="the slots")
        return self.total

    @property
    def total(self) -> TipRate:
        return self.tip.report().total


def _known(total: TipRate) -> int:
    return total.shown + total.dropped + total.not_placed + total.faults


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.start()
    yield made
    made.tip.stop()
    assert made.pool.free == SLOTS, "slots leaked"
    made.pool.close()


def test_the_detectors_see_a_copy_with_the_threat_in_one_view(rig: Rig) -> None:
    """It is a test by its type, in the reserved slots; one view is darker somewhere, the others are equal to
    the last bit, and the scan's own pixels are untouched."""
    case = rig.case()
    before = [rig.pool.frame(frame).pixels.copy() for frame in case.frames]
    rig.conclude(case)
    ((trial, pixels),) = rig.trials
    assert trial.scan.scan_type is ScanType.NON_OPERATIONAL
    assert trial.scan.carton == "C"
    assert tuple(frame.slot for frame in trial.scan.frames) == rig.pool.reserved
    changed = [not np.array_equal(a, b) for a, b in zip(before, pixels, strict=True)]
    assert sorted(changed) == [False, True]
    dark = pixels[changed.index(True)].astype(int) - before[changed.index(True)]
    assert (dark < -15_000).any(axis=2).sum() > 200
    assert [
        np.array_equal(rig.pool.frame(f).pixels, b) for f, b in zip(case.frames, before, strict=True)
    ] == [
        True,
        True,
    ]


def test_a_finding_at_the_place_is_a_hit(rig: Rig) -> None:
    """Detectors that find what is dark in the picture they are given are right; blind ones miss."""

    def seeing(trial: Trial) -> TrialAnswer:
        findings = []
        for frame in trial.scan.frames:
            rows, columns = np.nonzero(rig.pool.frame(frame).pixels.max(axis=2) < 100)
            if rows.size:
                box = Box(
                    view=frame.view, x0=columns.min(), y0=rows.min(), x1=columns.max() + 1, y1=rows.max() + 1
                )
                findings.append(
                    Finding(
                        detector="d",
                        kind="shielding",
                        label="dark",
                        category="ANOMALY",
                        score=1.0,
                        why="w",
                        box=box,
                    )
                )
        return TrialAnswer((Outcome(detector="d", findings=tuple(findings)),), begun=True)

    rig.detectors = seeing
    for _ in range(4):
        rig.conclude(rig.case())
    assert (rig.total.hits, rig.total.misses) == (4, 0)
    rig.detectors = blind
    rig.conclude(rig.case())
    assert (rig.total.hits, rig.total.misses, rig.total.pd) == (4, 1, 0.8)
    assert (
        rig.metrics.registry.get_sample_value("nii_edge_tip_total", {"label": "block", "result": "hit"}) == 4
    )


@pytest.mark.parametrize(
    ("changes", "ruling"),
    [
        ({"scan_type": ScanType.NON_OPERATIONAL}, CLEAR),
        ({"scanner": "other"}, CLEAR),
        ({"channels": ("grey", "grey")}, CLEAR),
        ({}, unknown(Reason.TIMEOUT, "late")),
    ],
)
def test_other_scans_are_left_alone(rig: Rig, changes: dict[str, object], ruling: Ruling) -> None:
    """Tests, lanes without pitch, display pictures, and scans that were never judged."""
    case = rig.case(**changes)  # type: ignore[arg-type]
    rig.tip.consider(case, ruling)
    for slot in case.slots:
        rig.pool.release(slot)
    rig.conclude(rig.case())
    assert [trial.scan.id.seq for trial, _ in rig.trials] == [2]
    assert _known(rig.total) == 1


def test_no_place_is_counted_and_not_shown(rig: Rig) -> None:
    """In an empty carton there is nowhere to put a threat."""
    assert rig.conclude(rig.case(goods=1.0)).not_placed == 1
    assert rig.trials == []


def test_without_room_or_time_it_is_dropped(rig: Rig) -> None:
    """More than half of the slots taken: no projection. No answer in time: dropped, too."""
    others = [rig.pool.acquire() for _ in range(4)]
    case = rig.case()  # six of eight
    rig.tip.consider(case, CLEAR)
    assert rig.total.dropped == 1
    for slot in (*case.slots, *others):
        assert slot is not None
        rig.pool.release(slot)
    rig.detectors = lambda _: TrialAnswer(None, begun=False)
    assert rig.conclude(rig.case()).dropped == 2
    assert rig.tip.report().off == ""


def test_a_lost_inference_process_ends_projections(rig: Rig) -> None:
    """One process lost over a projection is enough: scans were at risk because of it."""
    rig.detectors = lambda _: TrialAnswer(None, begun=True)
    assert rig.conclude(rig.case()).faults == 1
    assert "lost over block-1" in rig.tip.report().off
    case = rig.case()
    rig.tip.consider(case, CLEAR)
    assert _known(rig.total) == 1
    for slot in case.slots:
        rig.pool.release(slot)


def test_a_fault_is_a_fault_and_the_next_one_works(rig: Rig) -> None:
    """A detector that fails is no miss, and neither is an error of our own; the thread goes on."""
    rig.detectors = lambda _: TrialAnswer((Outcome(detector="d", fault="broke"),), begun=True)
    assert rig.conclude(rig.case()).faults == 1

    def broken(_: Trial) -> TrialAnswer:
        raise RuntimeError("something nobody thought of")

    rig.detectors = broken
    assert rig.conclude(rig.case()).faults == 2
    rig.detectors = blind
    total = rig.conclude(rig.case())
    assert (total.faults, total.misses) == (2, 1)


def test_the_rate_is_a_share_of_scans() -> None:
    """At a rate of 0.25 about a quarter of many scans is tried; one at a time."""
    rig = Rig(rate=0.25)
    rig.start()
    case = rig.case()
    for _ in range(1_000):
        rig.tip.consider(case, CLEAR)
    until(lambda: _known(rig.total) > 200, what="results")
    until(lambda: rig.pool.free == SLOTS - VIEWS, what="the slots")
    assert 200 < _known(rig.total) < 300
    assert rig.total.dropped > 0, "while one was under way"
    rig.tip.stop()
    rig.pool.close()

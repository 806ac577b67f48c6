"""The engine over the real inference process and the real shielding model."""

from __future__ import annotations

import os
import queue
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import SHIELDING, alive, counts, until

from nii_edge.adapters.system_clock import SystemClock
from nii_edge.bundle import read_golden, write_golden
from nii_edge.config import Inference
from nii_edge.edge.case import Case
from nii_edge.edge.decide import Ruling
from nii_edge.edge.engine import FAULTS_IN_A_ROW, REPLACE_AGAIN_S, Engine, EngineSettings
from nii_edge.edge.jobs import JobFrame, JobScan, Setup
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.trial import Trial, TrialAnswer
from nii_edge.errors import FrameError, NiiEdgeError
from nii_edge.policy import Policy
from nii_edge.records import Decision, Reason, ScanId, ScanType
from nii_edge.telemetry import Metrics

PATIENCE_S = 60
SLOTS = 24
POLICY = Policy(version=1, name="p", required_for_clear=("shielding",), default_alarm_at=0.5)


def freeze(pid: int) -> None:
    """Stop a process, and wait until every thread of it stands."""
    os.kill(pid, signal.SIGSTOP)
    stats = [path / "stat" for path in Path(f"/proc/{pid}/task").iterdir()]
    until(lambda: all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T" for stat in stats), PATIENCE_S)


class OffsetClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Rig:
    """An engine with frames in shared memory; what it concludes is collected and its slots released."""

    def __init__(self, bundle: Path = SHIELDING, deadline_s: float = 30, start_timeout_s: float = 60) -> None:
        self.pool = SlotPool(SLOTS, 64 * 96 * 4 * 2)
        self.metrics = Metrics()
        self.clock = OffsetClock()
        self.concluded: queue.SimpleQueue[tuple[ScanId, Ruling, tuple[str, ...]]] = queue.SimpleQueue()
        setup = Setup(
            shared_fd=self.pool.fd,
            slots=self.pool.slots,
            slot_bytes=self.pool.slot_bytes,
            bundles={"shielding": str(bundle)},
            inference=Inference(threads=1, batch=4),
        )
        settings = EngineSettings(deadline_s, start_timeout_s, batch=4)
        self.engine = Engine(
            setup, POLICY, settings, self.pool, self._conclude, self.clock, self.metrics, self._failed
        )
        self.failures: list[BaseException] = []

    def _failed(self, error: BaseException) -> None:
        self.failures.append(error)

    def _conclude(self, case: Case, ruling: Ruling, models: tuple[str, ...]) -> None:
        for slot in case.slots:
            self.pool.release(slot)
        self.concluded.put((case.id, ruling, models))

    def submit(self, seq: int, *views: np.ndarray) -> ScanId:
        """A scan of these views, not checked yet."""
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
        frames = tuple(self._frame(number, view) for number, view in enumerate(views))
        job = JobScan(id=scan, scan_type=ScanType.OPERATIONAL, carton=None, frames=frames)
        slots = tuple(frame.slot for frame in frames)
        self.engine.submit(Case(job, 1, self.clock.monotonic(), slots))
        return scan

    def check(self, scan: ScanId, error: FrameError | None = None) -> None:
        self.engine.checked(scan, ("0:a",), error)

    def screen(self, seq: int, *views: np.ndarray) -> ScanId:
        """A scan of these views, checked."""
        scan = self.submit(seq, *views)
        self.check(scan)
        return scan

    def trial(self, *views: np.ndarray, seconds: float = 60) -> queue.SimpleQueue[tuple[TrialAnswer, int]]:
        """Have a trial of these views tried out: its answer comes with the number of rulings before it."""
        frames = tuple(self._frame(number, view) for number, view in enumerate(views))
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=1)
        job = JobScan(id=scan, scan_type=ScanType.NON_OPERATIONAL, carton=None, frames=frames)
        answers: queue.SimpleQueue[tuple[TrialAnswer, int]] = queue.SimpleQueue()

        def answer(said: TrialAnswer) -> None:
            for frame in frames:
                self.pool.release(frame.slot)
            answers.put((said, self.concluded.qsize()))

        self.engine.try_out(Trial(job, answer, self.clock.monotonic() + seconds))
        return answers

    def results(self, count: int) -> dict[int, Ruling]:
        """The next rulings by number, each scan once."""
        found = [self.concluded.get(timeout=PATIENCE_S) for _ in range(count)]
        assert len({scan for scan, _, _ in found}) == count
        return {scan.seq: ruling for scan, ruling, _ in found}

    def child(self) -> int:
        """The inference process's pid."""
        child = self.engine._child
        assert child is not None
        return child.pid

    def stop(self) -> None:
        self.engine.stop()
        assert self.failures == []
        assert self.pool.free == SLOTS, "slots leaked"
        assert self.concluded.empty(), "something was concluded twice, or nobody asked for it"
        self.pool.close()

    def _frame(self, view: int, pixels: np.ndarray) -> JobFrame:
        slot = self.pool.acquire()
        assert slot is not None
        self.pool.buffer(slot, pixels.nbytes)[:] = pixels.tobytes()
        floats = pixels.dtype == np.float32
        return JobFrame(
            view=view,
            view_name="",
            slot=slot,
            shape=pixels.shape,  # type: ignore[arg-type]
            dtype="float32" if floats else "uint16",
            channels=("low", "high"),
            full_scale=1.0 if floats else 40_000,
            opaque_below=0.001,
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.engine.start()
    yield made
    made.stop()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shielding bundle that a test may spoil."""
    return Path(shutil.copytree(SHIELDING, tmp_path / "bundle"))


def transmission(value: float = 1.0) -> np.ndarray:
    pixels = np.random.default_rng(9).normal(1.0, 0.01, (64, 96, 2)).astype(np.float32)
    pixels[3, 4, 1] = value
    return pixels


def test_mixed_batches_keep_every_scan_its_own_result(rig: Rig) -> None:
    """Scans of one and two views, with and without a block, in shared batches: no result is another's."""
    blocks = {seq: seq % 3 == 0 for seq in range(1, 13)}
    for seq, block in blocks.items():
        views = [counts(seq, block)] if seq % 2 else [counts(seq), counts(seq + 50, block)]
        rig.screen(seq, *views)
    rulings = rig.results(len(blocks))
    assert {seq: ruling.decision is Decision.ALARM for seq, ruling in rulings.items()} == blocks
    for seq, ruling in rulings.items():
        if blocks[seq]:
            assert {f.box.view for f in ruling.findings if f.box is not None} == {1 - seq % 2}


def test_verdicts_cite_the_models_that_looked(rig: Rig) -> None:
    """Name, version and hash of the loaded model come with every ruling."""
    rig.screen(1, counts(1))
    _, ruling, models = rig.concluded.get(timeout=PATIENCE_S)
    assert ruling.decision is Decision.CLEAR
    assert [model.split("#")[0] for model in models] == ["shielding@1.0.0"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_spoils_only_its_own_scan(rig: Rig, bad: float) -> None:
    """A NaN that the checks let pass is a fault of its scan alone; its neighbours are CLEAR."""
    for seq in (1, 2, 3):
        rig.screen(seq, transmission(bad if seq == 2 else 1.0))
    rulings = rig.results(3)
    assert {seq: (r.decision, r.reason) for seq, r in rulings.items()} == {
        1: (Decision.CLEAR, None),
        2: (Decision.UNKNOWN, Reason.MODEL_FAULT),
        3: (Decision.CLEAR, None),
    }


def test_nothing_is_ruled_on_before_its_pixels_are_checked(rig: Rig) -> None:
    """The detectors' answer waits for the checksum: only then CLEAR, and never with a wrong one."""
    waits, damaged = rig.submit(1, counts(1)), rig.submit(2, counts(2))
    rig.screen(3, counts(3))  # its answer comes after theirs
    assert list(rig.results(1)) == [3]
    rig.check(damaged, FrameError(Reason.CORRUPT_FRAME, "CRC"))
    assert rig.results(1)[2].reason is Reason.CORRUPT_FRAME
    rig.check(waits)
    assert rig.results(1)[1].decision is Decision.CLEAR


def test_an_answer_after_the_deadline_is_none(rig: Rig) -> None:
    """Detectors that answered in time do not make CLEAR what was checked too late."""
    late = rig.submit(1, counts(1))
    rig.screen(2, counts(2))
    rig.results(1)
    until(lambda: not rig.engine._running, PATIENCE_S, "the answer on the other scan")
    rig.clock.ahead_s = 1_000
    rig.check(late)
    assert rig.results(1)[1].reason is Reason.TIMEOUT


def test_stop_concludes_the_rest_as_shutdown() -> None:
    """Every scan in the engine's hands gets its verdict, once, before `stop` returns; the process is gone."""
    rig = Rig()
    rig.engine.start()
    child = rig.child()
    for seq in range(1, 9):
        rig.submit(seq, counts(seq))
    rig.engine.stop()
    rulings = rig.results(8)
    assert {ruling.reason for ruling in rulings.values()} == {Reason.SHUTDOWN}
    assert not alive(child)
    assert rig.pool.free == SLOTS
    rig.pool.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_process_costs_its_scans_and_no_slot(how: signal.Signals) -> None:
    """What was in flight is UNKNOWN, the next process screens, and every slot comes back."""
    rig = Rig(deadline_s=1)
    rig.engine.start()
    first = rig.child()
    os.kill(first, how)
    for seq in range(1, 9):
        rig.screen(seq, counts(seq))
    rulings = rig.results(8)
    assert {r.decision for r in rulings.values()} <= {Decision.UNKNOWN, Decision.CLEAR}
    assert {r.reason for r in rulings.values()} <= {None, Reason.MODEL_FAULT, Reason.TIMEOUT}
    if how is signal.SIGSTOP:
        assert rulings[1].reason is Reason.MODEL_FAULT
        assert {r.reason for r in rulings.values()} <= {Reason.MODEL_FAULT, Reason.TIMEOUT}
    numbers = iter(range(100, 200))

    def screens_again() -> bool:
        rig.screen(next(numbers), counts(1))
        return next(iter(rig.results(1).values())).decision is Decision.CLEAR

    until(screens_again, PATIENCE_S, "a CLEAR from the next process")
    assert not alive(first)
    rig.stop()


def test_a_process_whose_detector_fails_again_and_again_is_replaced(rig: Rig) -> None:
    """After so many sound scans in a row, one that goes well between them begins the count anew; for the next
    time a minute must have passed, since the fault may be the cartons' own."""
    first, numbers = rig.child(), iter(range(1, 1000))

    def fail(count: int) -> None:
        for _ in range(count):
            seq = next(numbers)
            rig.screen(seq, transmission(np.nan))
            assert rig.results(1)[seq].reason is Reason.MODEL_FAULT

    def works() -> bool:
        seq = next(numbers)
        rig.screen(seq, counts(1))
        return rig.results(1)[seq].decision is Decision.CLEAR

    fail(FAULTS_IN_A_ROW - 1)
    assert works()
    fail(FAULTS_IN_A_ROW - 1)
    assert rig.child() == first
    fail(1)
    until(lambda: not alive(first), PATIENCE_S, "the end of the process")
    until(works, PATIENCE_S, "a CLEAR from the next process")
    second = rig.child()
    fail(2 * FAULTS_IN_A_ROW)
    assert rig.child() == second
    rig.clock.ahead_s = REPLACE_AGAIN_S + 1
    fail(1)
    until(lambda: not alive(second), PATIENCE_S, "the end of the second process")


def test_the_process_after_a_failing_one_may_take_long_to_start() -> None:
    """It has failed on nothing: it is not replaced because another one had."""
    rig = Rig(start_timeout_s=600)
    rig.engine.start()
    first = rig.child()
    for seq in range(1, FAULTS_IN_A_ROW + 1):
        rig.screen(seq, transmission(np.nan))
        rig.results(1)

    def begun() -> bool:
        child = rig.engine._child
        return child is not None and child.pid != first

    def works() -> bool:
        seq = next(numbers)
        rig.screen(seq, counts(1))
        return rig.results(1)[seq].decision is Decision.CLEAR

    until(begun, PATIENCE_S, "the next process")
    second, numbers = rig.child(), iter(range(100, 10_000))
    rig.clock.ahead_s = REPLACE_AGAIN_S + 1
    rig.engine._bell.put(None)  # as time does
    until(works, PATIENCE_S, "a CLEAR from it")
    assert rig.child() == second
    rig.stop()


def test_an_altered_model_refuses_the_start_in_words(bundle: Path) -> None:
    """A model changed since it was planned is not loaded: the process's own words come out of `start`."""
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    rig = Rig(bundle)
    with pytest.raises(NiiEdgeError, match="SHA-256") as raised:
        rig.engine.start()
    assert str(model) in str(raised.value)
    rig.pool.close()


def test_a_missing_bundle_refuses_the_start_in_words(tmp_path: Path) -> None:
    """A bundle that went away is named."""
    rig = Rig(tmp_path / "nothing")
    with pytest.raises(NiiEdgeError, match=r"no bundle\.yaml there"):
        rig.engine.start()
    rig.pool.close()


def test_a_process_that_does_not_come_up_in_time_refuses_the_start() -> None:
    """A start that takes longer than it may is an error, and the engine has ended."""
    rig = Rig(start_timeout_s=0.001)
    with pytest.raises(NiiEdgeError, match=r"not ready within 0\.001 s"):
        rig.engine.start()
    rig.pool.close()


def test_without_its_golden_frames_a_model_clears_nothing(bundle: Path) -> None:
    """A model that answers its golden frames wrongly still alarms, but nothing is CLEAR, and why is said."""
    path = bundle / "golden" / "counts_block.npz"
    golden = read_golden(path)
    write_golden(path.parent, msgspec.structs.replace(golden, expected=()))
    rig = Rig(bundle)
    ready = rig.engine.start()
    assert "counts_block" in ready.untrusted["shielding"]
    rig.screen(1, counts(1))
    rig.screen(2, counts(2, block=True))
    rulings = rig.results(2)
    assert rulings[1].reason is Reason.MODEL_UNTRUSTED
    assert "counts_block" in rulings[1].detail
    assert rulings[2].decision is Decision.ALARM
    rig.stop()


# ---- trials


def test_a_trial_gets_outcomes_and_no_verdict(rig: Rig) -> None:
    """The detectors' words on a trial are those on a scan of the same pixels; nothing is concluded for it."""
    said, _ = rig.trial(counts(1, block=True)).get(timeout=PATIENCE_S)
    assert said.begun
    assert said.outcomes is not None
    ruling = rig.results(1)[5] if rig.screen(5, counts(1, block=True)) else None
    assert ruling is not None
    assert tuple(f for outcome in said.outcomes for f in outcome.findings) == ruling.findings != ()
    assert rig.concluded.empty()


def test_a_trial_waits_until_no_scan_is_left(rig: Rig) -> None:
    """It goes behind all that runs and waits; scans that come after it still go before it."""
    freeze(rig.child())
    for seq in (1, 2, 3):
        rig.screen(seq, counts(seq))
    answers = rig.trial(counts(9))
    for seq in range(4, 11):
        rig.screen(seq, counts(seq))
    second, _ = rig.trial(counts(9)).get(timeout=PATIENCE_S)
    assert second == TrialAnswer(None, begun=False), "one at a time"
    os.kill(rig.child(), signal.SIGCONT)
    said, rulings_before = answers.get(timeout=PATIENCE_S)
    assert said.begun
    assert rulings_before == 10
    assert {r.decision for r in rig.results(10).values()} == {Decision.CLEAR}


def test_a_scan_waits_for_no_more_than_the_trial_that_runs(rig: Rig) -> None:
    """With one trial running and another offered, a scan is next at the process; it may pass the first."""
    freeze(rig.child())
    first, second = rig.trial(counts(1)), rig.trial(counts(2))
    rig.screen(1, counts(3))
    os.kill(rig.child(), signal.SIGCONT)
    assert first.get(timeout=PATIENCE_S)[0].begun
    said, rulings_before = second.get(timeout=PATIENCE_S)
    assert (said.begun, rulings_before) == (True, 1)
    assert rig.results(1)[1].decision is Decision.CLEAR


def test_a_trial_that_does_not_get_its_turn_is_dropped(rig: Rig) -> None:
    freeze(rig.child())
    rig.screen(1, counts(1))
    said, _ = rig.trial(counts(2), seconds=0.05).get(timeout=PATIENCE_S)
    assert said == TrialAnswer(None, begun=False)
    os.kill(rig.child(), signal.SIGCONT)
    assert rig.results(1)[1].decision is Decision.CLEAR


def test_a_process_lost_over_a_trial_is_said_so_and_replaced(rig: Rig) -> None:
    victim = rig.child()
    freeze(victim)
    answers = rig.trial(counts(1))
    os.kill(victim, signal.SIGKILL)
    assert answers.get(timeout=PATIENCE_S)[0] == TrialAnswer(None, begun=True)
    until(lambda: rig.engine._ready is not None, PATIENCE_S, "a new process")
    rig.screen(1, counts(1))
    assert rig.results(1)[1].decision is Decision.CLEAR


def test_a_trial_lost_beside_a_scan_is_not_to_blame(rig: Rig) -> None:
    """Either of them may have ended the process."""
    victim = rig.child()
    freeze(victim)
    answers = rig.trial(counts(1))
    rig.screen(1, counts(2))
    os.kill(victim, signal.SIGKILL)
    assert answers.get(timeout=PATIENCE_S)[0] == TrialAnswer(None, begun=False)
    assert rig.results(1)[1].reason is Reason.MODEL_FAULT


@pytest.mark.parametrize("running", [True, False])
def test_a_trial_is_answered_when_the_engine_stops(running: bool) -> None:
    rig = Rig()
    rig.engine.start()
    freeze(rig.child())
    if not running:
        rig.screen(1, counts(1))
    answers = rig.trial(counts(2))
    rig.engine.stop()
    assert answers.get(timeout=PATIENCE_S)[0] == TrialAnswer(None, begun=running)
    assert rig.trial(counts(3)).get(timeout=PATIENCE_S)[0] == TrialAnswer(None, begun=False)
    if not running:
        assert rig.results(1)[1].reason is Reason.SHUTDOWN
    assert rig.pool.free == SLOTS
    rig.pool.close()

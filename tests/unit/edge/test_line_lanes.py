"""Line lanes at the assembler: a sender that loses, repeats and reconnects, a daemon that is killed; its
effects in memory, its clock by hand."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import structlog
from belts import WIDTH, Belt, Box
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from nii_edge import wire
from nii_edge.config import LineScan, Profile, load
from nii_edge.edge import admission
from nii_edge.edge.assemble import Assembler, Limits
from nii_edge.edge.case import Case
from nii_edge.edge.decide import Ruling, unknown
from nii_edge.edge.gate import ClearGate
from nii_edge.edge.health import SILENT_BELT_S, Health
from nii_edge.edge.jobs import DecodeJob
from nii_edge.edge.line_lanes import LONGEST_HOLD_S
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Intend, StoredScan
from nii_edge.records import Decision, Gap, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import (
    Buffer,
    BusyMessage,
    FrameMessage,
    LinesAckMessage,
    LinesMessage,
    RefusedMessage,
    ToScanner,
    VerdictMessage,
)
from nii_edge.xray.calibrate import Calibration, Origin, calibrate

GAP, OFFSET = 10, 5
SCAN = LineScan(
    line_pitch_mm=1.0, view_offsets_mm=(0.0, float(OFFSET)), min_length_mm=6, max_length_mm=40,
    min_gap_mm=GAP, margin_mm=2, debounce_lines=2,
)  # fmt: skip
DUAL = load(Path(__file__).parents[3] / "configs" / "scanners" / "dual-energy.yaml", Profile)
TWO = msgspec.structs.replace(DUAL, belt_axis="rows", line_scan=SCAN)
ONE = msgspec.structs.replace(
    TWO, views=("only",), line_scan=msgspec.structs.replace(SCAN, view_offsets_mm=(0.0,))
)
LIMITS = Limits(deadline_s=0.5, view_timeout_s=1.0, max_frame_bytes=64 << 10)
CLEAR = Ruling(Decision.CLEAR)


class HandClock:
    """ports.Clock that stands still until told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)


class Rig:
    """The rest of the daemon in memory. `ledger` and `gaps` outlive a `kill`. Everything submitted is CLEAR
    unless its check says otherwise, so that a CLEAR by accident shows."""

    def __init__(self, profile: Profile = TWO, slots: int = 12, **lane: Any) -> None:
        self.profile = profile
        self.lane = admission.Lane(profile, **lane)
        self.tapped: list[tuple[FrameMessage, bytes]] = []
        self.slots = slots
        self.clock = HandClock()
        self.ledger: dict[ScanId, StoredScan] = {}
        self.gaps: dict[str, Gap] = {}
        self.pictures: dict[int, list[np.ndarray]] = {}
        self.replies: deque[tuple[bytes, ToScanner]] = deque()
        self.start()

    def start(self) -> None:
        self.pool = SlotPool(self.slots, LIMITS.max_frame_bytes)
        self.disk: deque[Callable[[], None]] = deque()
        self.mail: deque[Callable[[], None]] = deque()
        self.engine: dict[ScanId, Case] = {}
        self.metrics = Metrics()
        lanes = {"lane": self.lane, "frames": admission.Lane(DUAL)}
        self.assembler = Assembler("edge-t", lanes, LIMITS, self.pool, self, self.clock, self.metrics)
        high: dict[tuple[str, int], int] = {}
        for scan in self.ledger:
            high[scan.scanner, scan.epoch] = max(scan.seq, high.get((scan.scanner, scan.epoch), 0))
        self.assembler.resume(high)

    def kill(self) -> None:
        """Nothing in memory survives; what has no verdict is CRASH."""
        self.pool.close()
        for scan, stored in self.ledger.items():
            if stored.report is None:
                self.store(scan, unknown(Reason.CRASH, "killed"), ScanType.OPERATIONAL)
        self.start()

    def store(self, scan: ScanId, ruling: Ruling, scan_type: ScanType) -> Report:
        verdict = Verdict(
            id=scan, scan_type=scan_type, decision=ruling.decision, reason=ruling.reason, detail=ruling.detail
        )
        report = Report(
            alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict,
            received_at_ns=1, decided_at_ns=2,
        )  # fmt: skip
        self.ledger[scan] = StoredScan(scan, report)
        return report

    # ---- Effects

    def intend(self, intent: Intend, gap: Gap | None) -> None:
        assert gap is None

        def write() -> None:
            assert intent.scan not in self.ledger, f"{intent.scan} was received twice"
            self.ledger[intent.scan] = StoredScan(intent.scan, None)
            self.mail.append(lambda: self.assembler.intended(intent.scan))

        self.disk.append(write)

    def miss(self, gap: Gap, then: Callable[[], None]) -> None:
        def write() -> None:
            self.gaps.setdefault(gap.alert_id, gap)
            self.mail.append(then)

        self.disk.append(write)

    def find_near(self, scan: ScanId, reach: int, then: Callable[[StoredScan | None], None]) -> None:
        def ask() -> None:
            near = [
                s
                for s in self.ledger
                if (s.scanner, s.epoch) == (scan.scanner, scan.epoch) and abs(s.seq - scan.seq) <= reach
            ]
            nearest = min(near, key=lambda s: abs(s.seq - scan.seq), default=None)
            found = None if nearest is None else self.ledger[nearest]
            self.mail.append(lambda: then(found))

        self.disk.append(ask)

    def look_up(self, scan: ScanId, then: Callable[[StoredScan | None], None]) -> None:
        self.find_near(scan, 0, then)

    def decode(self, scan: ScanId, view: int, job: DecodeJob, until: float) -> None:
        raise AssertionError(f"lines are never encoded: {scan} {view} {job} {until}")

    def submit(self, case: Case) -> None:
        assert len(case.frames) == len(self.profile.views)
        self.engine[case.id] = case
        self.pictures[case.id.seq] = [self.pool.frame(frame).pixels.copy() for frame in case.frames]

    def checked(self, scan: ScanId, digests: tuple[str, ...], error: FrameError | None) -> None:
        case = self.engine.pop(scan)
        assert len(digests) == len(case.frames)
        self.conclude(case, CLEAR if error is None else unknown(error.reason, error.detail))

    def conclude(self, case: Case, ruling: Ruling) -> None:
        def write() -> None:
            assert self.ledger[case.id].report is None, f"{case.id} has a verdict already"
            report = self.store(case.id, ruling, case.scan_type)
            for slot in case.slots:
                self.pool.release(slot)
            self.mail.append(lambda: self.assembler.concluded(report))

        self.disk.append(write)

    def reply(self, peer: bytes, message: ToScanner) -> None:
        self.replies.append((peer, message))

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        self.tapped.append((message, bytes(pixels)))

    def publish(self, message: VerdictMessage) -> None:
        assert message.belt is not None

    # ---- the world

    def settle(self) -> None:
        while self.disk or self.mail:
            (self.disk or self.mail).popleft()()

    def send(self, message: LinesMessage, pixels: bytes, peer: bytes = b"p") -> None:
        self.assembler.receive(peer, [wire.encode(message), pixels])

    def heard(self, kind: type) -> list[Any]:
        return [message for _, message in self.replies if isinstance(message, kind)]

    def verdicts(self) -> list[tuple[int, Decision, Reason | None]]:
        reports = [s.report for s in self.ledger.values() if s.report is not None]
        return sorted((r.verdict.id.seq, r.verdict.decision, r.verdict.reason) for r in reports)


def message(view: int, chunk: int, first: int, lines: int, **changes: Any) -> LinesMessage:
    fields: dict[str, Any] = {
        "scanner": "lane", "epoch": 1, "view": view, "chunk": chunk, "first_line": first, "lines": lines,
        "encoder": first, "width": WIDTH, "acked": 0, "oldest": 1,
    }  # fmt: skip
    return LinesMessage(**{**fields, **changes})


@dataclass
class Kept:
    message: LinesMessage
    pixels: bytes


@dataclass
class Side:
    """One view at the sender: go-back-n, as docs/PROTOCOL.md has it."""

    all: list[Kept]
    acked: int = 0
    cursor: int = 1
    given_up: set[int] = field(default_factory=set)

    @property
    def oldest(self) -> int:
        first = self.acked + 1
        while first in self.given_up:
            first += 1
        return first


class Sender:
    """A belt's lines in chunks, and what the sender knows of them."""

    def __init__(self, rig: Rig, belt: Belt, size: int) -> None:
        self.rig = rig
        self.peer = 0
        self.told: dict[int, Decision] = {}
        self.sides = []
        for view in range(len(belt.offsets)):
            lines = belt.view(view)
            parts = [lines[i : i + size] for i in range(0, len(lines), size)]
            self.sides.append(
                Side([
                    Kept(message(view, n + 1, n * size, len(part)), part.tobytes())
                    for n, part in enumerate(parts)
                ])
            )  # fmt: skip

    def more(self, side: Side) -> bool:
        return side.cursor <= len(side.all)

    def send(self, side: Side, arrives: bool = True) -> None:
        side.cursor = max(side.cursor, side.oldest)
        if not self.more(side):
            return
        kept = side.all[side.cursor - 1]
        header = msgspec.structs.replace(kept.message, acked=side.acked, oldest=side.oldest)
        side.cursor += 1
        if arrives:
            self.rig.send(header, kept.pixels, b"%d" % self.peer)
        self.listen()

    def listen(self) -> None:
        while self.rig.replies:
            peer, heard = self.rig.replies.popleft()
            if peer != b"%d" % self.peer:
                continue
            match heard:
                case LinesAckMessage():
                    side = self.sides[heard.view]
                    side.acked = max(side.acked, heard.chunk)
                    if heard.again:
                        side.cursor = min(side.cursor, heard.next)
                case VerdictMessage():
                    assert self.told.setdefault(heard.seq, heard.decision) is heard.decision
                case RefusedMessage():
                    raise AssertionError(heard)

    def finish(self) -> None:
        """Send all that is left, again and again, until everything is done or nothing changes."""
        for _ in range(6):
            for side in self.sides:
                side.cursor = side.oldest
            while any(self.more(side) for side in self.sides):
                for side in self.sides:
                    self.send(side)
                self.rig.settle()
                self.listen()
            self.rig.clock.now += 2
            self.rig.assembler.expire()
            self.rig.clock.now += 2
            self.rig.assembler.expire()
            self.rig.settle()
            self.listen()


boxes = st.lists(st.tuples(st.integers(14, 30), st.integers(8, 34)), min_size=1, max_size=4)


def laid(sizes: list[tuple[int, int]]) -> list[Box]:
    """Boxes one behind the other, each after so many lines of air."""
    found, at = [], 6
    for air, length in sizes:
        found.append(Box(at + air, length))
        at += air + length
    return found


class Lanes(RuleBasedStateMachine):
    """Whatever happens between scanner and daemon, each carton has one number and one verdict, and none is
    CLEAR of which lines were lost."""

    @initialize(sizes=boxes, size=st.sampled_from([3, 7, 16]), two=st.booleans())
    def begin(self, sizes: list[tuple[int, int]], size: int, two: bool) -> None:
        self.boxes = laid(sizes)
        self.offsets = (0, OFFSET) if two else (0,)
        length = self.boxes[-1].first + self.boxes[-1].length + OFFSET + 6 * GAP
        self.belt = Belt(length, self.boxes, self.offsets)
        self.rig = Rig(TWO if two else ONE)
        self.size = size
        self.sender = Sender(self.rig, self.belt, size)

    @rule(view=st.integers(0, 1), count=st.integers(1, 8))
    def send(self, view: int, count: int) -> None:
        for _ in range(count):
            self.sender.send(self.sender.sides[view % len(self.offsets)])

    @rule(count=st.integers(1, 30))
    def send_all_views(self, count: int) -> None:
        for _ in range(count):
            for side in self.sender.sides:
                self.sender.send(side)

    @rule(view=st.integers(0, 1))
    def on_its_way_it_is_lost(self, view: int) -> None:
        self.sender.send(self.sender.sides[view % len(self.offsets)], arrives=False)

    @rule(view=st.integers(0, 1))
    def from_the_oldest(self, view: int) -> None:
        side = self.sender.sides[view % len(self.offsets)]
        side.cursor = side.oldest

    @precondition(lambda self: sum(len(s.given_up) for s in self.sender.sides) < 4)
    @rule(view=st.integers(0, 1))
    def the_sender_gives_up_its_oldest(self, view: int) -> None:
        side = self.sender.sides[view % len(self.offsets)]
        if side.oldest < min(side.cursor, len(side.all)):
            side.given_up.add(side.oldest)

    @rule()
    def a_new_connection(self) -> None:
        self.sender.peer += 1
        self.rig.replies.clear()

    @rule(count=st.integers(1, 6))
    def disk(self, count: int) -> None:
        for _ in range(min(count, len(self.rig.disk))):
            self.rig.disk.popleft()()

    @rule(count=st.integers(1, 6))
    def mail(self, count: int) -> None:
        for _ in range(min(count, len(self.rig.mail))):
            self.rig.mail.popleft()()

    @rule()
    def everything_is_done(self) -> None:
        self.rig.settle()
        self.sender.listen()

    @rule()
    def kill(self) -> None:
        self.rig.kill()
        self.sender.peer += 1
        self.rig.replies.clear()

    def teardown(self) -> None:
        if not hasattr(self, "sender"):
            return
        self.sender.finish()
        self.check()
        self.rig.pool.close()

    def lost(self) -> list[tuple[int, int]]:
        """First and last place, on the scale of the last view, of chunks that were given up."""
        scale = max(self.offsets)
        spans = []
        for offset, side in zip(self.offsets, self.sender.sides, strict=True):
            for chunk in side.given_up:
                first = (chunk - 1) * self.size + scale - offset + 1
                spans.append((first, first + self.size - 1))
        return spans

    def check(self) -> None:
        rig, lost = self.rig, self.lost()
        assert self.rig.assembler.open_scans == 0
        assert not lost or len(lost) < 9
        scans = rig.verdicts()
        near_lost = [
            box
            for box in self.boxes
            if any(
                first <= self.belt.last(box) + 1 + 2 * GAP
                and last >= self.belt.last(box) + 1 - box.length - 2 * GAP
                for first, last in lost
            )
        ]
        for box in self.boxes:
            place = self.belt.last(box) + 1
            mine = [s for s in scans if place - box.length - GAP < s[0] <= place + GAP]
            if box in near_lost:
                behind = {last + 1 for _, last in lost}  # a new daemon knows only where a loss ended
                holes = [g for g in rig.gaps.values() if g.first <= place + 2 * GAP or g.first in behind]
                assert mine or holes, f"{box} passed unseen and nobody says so"
                continue
            assert [s[0] for s in mine] == [place]
            (_, decision, reason) = mine[0]
            assert decision is Decision.CLEAR or reason is Reason.CRASH
            assert self.sender.told[place] is decision
        if not lost:
            assert len(scans) == len(self.boxes)
            assert rig.gaps == {}
            assert all(len(s.all) - s.acked <= -(-20 // self.size) + 1 for s in self.sender.sides)
        for number, decision, _ in scans:
            if decision is Decision.CLEAR:
                (box,) = [box for box in self.boxes if self.belt.last(box) + 1 == number]
                for view, picture in enumerate(rig.pictures[number]):
                    start = box.first + self.offsets[view]
                    expected = self.belt.view(view)[start - 2 : start + box.length + 2]
                    assert np.array_equal(picture, expected), f"{number} is CLEAR, but not all of it was seen"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lost lines are told of here."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


Lanes.TestCase.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLanes = Lanes.TestCase


def test_a_verdict_is_told_again_though_the_edge_and_then_the_connection_failed() -> None:
    """Nobody heard the first daemon's word; what the next one found in the books and said over a connection
    that broke is still owed."""
    state = Lanes()
    state.begin(sizes=[(14, 8)], size=3, two=False)
    state.send_all_views(count=13)
    state.a_new_connection()
    state.everything_is_done()
    state.kill()
    state.send_all_views(count=9)
    state.a_new_connection()
    state.everything_is_done()
    state.teardown()


BELT = Belt(120, [Box(30, 20)], (0,))


def rig_after(rig: Rig, belt: Belt = BELT, **changes: Any) -> Rig:
    """The belt's lines in chunks of 10, all views in step."""
    views = [belt.view(view) for view in range(len(belt.offsets))]
    for n in range(belt.lines // 10):
        for view, lines in enumerate(views):
            rig.send(message(view, n + 1, 10 * n, 10, **changes), lines[10 * n : 10 * n + 10].tobytes())
    rig.settle()
    return rig


PIXELS = bytes(10 * WIDTH * 4)


@pytest.mark.parametrize(
    ("changes", "pixels", "reason"),
    [
        ({"view": 1}, PIXELS, Reason.BAD_HEADER),
        ({"channels": ("grey",), "dtype": "uint8"}, PIXELS, Reason.PROFILE_MISMATCH),
        ({"scanner": "frames"}, PIXELS, Reason.PROFILE_MISMATCH),
        ({"scanner": "nobody"}, PIXELS, Reason.UNKNOWN_SCANNER),
        ({}, PIXELS[:-1], Reason.CORRUPT_FRAME),
        ({"crc32": 1}, PIXELS, Reason.CORRUPT_FRAME),
        ({"width": 60_000, "lines": 1}, bytes(60_000 * 4), Reason.TOO_LARGE),
        ({"encoder": tuple([0] * 9 + [2**50])}, PIXELS, Reason.BAD_HEADER),
        ({"width": WIDTH + 1}, bytes(10 * (WIDTH + 1) * 4), Reason.BAD_HEADER),
        ({"chunk": 12, "encoder": 110}, PIXELS, Reason.SEQ_REUSED),
        ({"encoder": 1_000, "step": 0, "chunk": 13, "oldest": 12}, PIXELS, None),
    ],
)
def test_a_bad_chunk_is_refused_by_name_and_changes_nothing(
    changes: dict[str, Any], pixels: bytes, reason: Reason | None
) -> None:
    """The lane goes on with the chunk it wanted, and the carton has its one verdict."""
    rig = rig_after(Rig(ONE))
    rig.replies.clear()
    rig.send(message(**{"view": 0, "chunk": 13, "first": 120, "lines": 10} | changes), pixels)
    assert [m.reason for m in rig.heard(RefusedMessage)] == ([] if reason is None else [reason])
    assert rig.verdicts() == [(50, Decision.CLEAR, None)]


def test_a_frame_for_a_lane_of_lines_is_refused() -> None:
    """Numbers of frames and places on the belt must not meet."""
    rig = Rig(ONE)
    rig.assembler.receive(b"p", [wire.encode(wire.FrameMessage(scanner="lane", epoch=1, seq=2**50)), b"1"])
    assert [m.reason for m in rig.heard(RefusedMessage)] == [Reason.PROFILE_MISMATCH]
    assert rig_after(rig).verdicts() == [(50, Decision.CLEAR, None)]


def test_an_encoder_that_starts_over_is_refused_and_not_taken_for_a_belt_that_runs_back() -> None:
    """Otherwise every carton from there on would pass as seen already."""
    belt = Belt(400, [Box(30, 20)], (0,))
    rig = rig_after(Rig(ONE), belt)
    rig.replies.clear()
    rig.send(message(0, 41, 400, 10, encoder=0), PIXELS)
    (refused,) = rig.heard(RefusedMessage)
    assert (refused.reason, refused.chunk) == (Reason.BAD_HEADER, 41)
    assert "epoch" in refused.detail


@pytest.mark.parametrize("first", [0, (*range(120, 125), *range(5))])
def test_an_encoder_that_starts_over_soon_is_refused_until_it_brings_something_new(
    first: int | tuple[int, ...],
) -> None:
    """Back to where the epoch began in one step, though not far: its cartons would pass as seen already. The
    step is between two chunks, or within one that begins with new lines."""
    rig = rig_after(Rig(ONE))
    rig.replies.clear()
    for chunk, encoder in ((13, first), (14, 10), (15, 60)):
        rig.send(message(0, chunk, 10 * chunk, 10, encoder=encoder, oldest=chunk), PIXELS)
        (refused,) = rig.heard(RefusedMessage)
        assert (refused.reason, refused.chunk) == (Reason.BAD_HEADER, chunk)
        assert "begin a new epoch" in refused.detail
        rig.replies.clear()
    rig.send(message(0, 16, 160, 10, encoder=115, oldest=16), PIXELS)
    assert rig.heard(RefusedMessage) == []


@pytest.mark.parametrize("encoder", [(*range(20), *range(20)), (*range(10_000, 10_010), *range(30))])
def test_an_encoder_that_starts_over_within_the_first_chunk_is_refused(encoder: tuple[int, ...]) -> None:
    """What follows in its stead is taken, and what was before it is lost, by name."""
    rig = Rig(ONE)
    pixels = np.full((len(encoder), WIDTH, 2), 50_000, "<u2").tobytes()
    rig.send(message(0, 1, 0, len(encoder), encoder=encoder), pixels)
    (refused,) = rig.heard(RefusedMessage)
    assert (refused.reason, refused.chunk) == (Reason.BAD_HEADER, 1)
    assert "begin a new epoch" in refused.detail
    rig.replies.clear()
    rig.send(message(0, 2, 40, 10, encoder=30, oldest=2), PIXELS)
    assert rig.heard(RefusedMessage) == []


@pytest.mark.parametrize("encoder", [(*range(20), *range(20, 0, -1)), (*range(20), *range(10, 20))])
def test_a_belt_that_runs_back_within_the_first_chunk_is_let_be(encoder: tuple[int, ...]) -> None:
    """Line by line, also to where it began; or unseen, and not so far."""
    rig = Rig(ONE)
    pixels = np.full((len(encoder), WIDTH, 2), 50_000, "<u2").tobytes()
    rig.send(message(0, 1, 0, len(encoder), encoder=encoder), pixels)
    assert rig.heard(RefusedMessage) == []


@pytest.mark.parametrize(
    "encoder", [tuple(range(118, 98, -1)), tuple(range(40, 60)), tuple(range(119, -1, -1))]
)
def test_a_belt_that_runs_back_is_not_taken_for_an_encoder_that_starts_over(encoder: tuple[int, ...]) -> None:
    """Line by line, also to where the epoch began; or unseen, and not so far."""
    rig = rig_after(Rig(ONE))
    rig.replies.clear()
    pixels = np.full((len(encoder), WIDTH, 2), 50_000, "<u2").tobytes()
    rig.send(message(0, 13, 130, len(encoder), encoder=encoder), pixels)
    assert rig.heard(RefusedMessage) == []


def test_lines_of_another_content_under_the_same_chunk_are_refused() -> None:
    """The first ones stand."""
    rig = Rig(ONE)
    lines = BELT.view(0)[:40].tobytes()
    rig.send(message(0, 1, 0, 40), lines)
    rig.send(message(0, 1, 0, 40), lines)
    assert rig.heard(RefusedMessage) == []
    rig.send(message(0, 1, 0, 40), bytes(len(lines)))
    assert [m.reason for m in rig.heard(RefusedMessage)] == [Reason.SEQ_REUSED]


def test_a_carton_under_the_beam_when_a_new_epoch_begins_is_cut() -> None:
    """The scanner was started again in its middle; the old epoch may not come back."""
    rig = Rig(ONE)
    rig.send(message(0, 1, 0, 40), BELT.view(0)[:40].tobytes())
    rig.send(message(0, 1, 0, 10, epoch=2), BELT.view(0)[:10].tobytes())
    rig.settle()
    assert rig.verdicts() == [(40, Decision.UNKNOWN, Reason.CUT)]
    rig.replies.clear()
    rig.send(message(0, 2, 40, 40), BELT.view(0)[40:80].tobytes())
    assert [m.reason for m in rig.heard(RefusedMessage)] == [Reason.SEQ_REUSED]


def test_a_view_that_does_not_come_is_missed_once_the_belt_has_moved_on_and_not_while_it_stands() -> None:
    """Time alone says nothing: the belt may stand for hours with a carton between the views."""
    rig = Rig(TWO)
    lines = BELT.view(0)
    rig.send(message(0, 1, 0, 62), lines[:62].tobytes())
    rig.clock.now += 3_600
    rig.assembler.expire()
    rig.settle()
    assert rig.verdicts() == []
    rig.send(message(0, 2, 62, 58, encoder=62), lines[62:].tobytes())
    rig.assembler.expire()
    rig.clock.now += LIMITS.view_timeout_s
    rig.assembler.expire()
    rig.settle()
    assert rig.verdicts() == [(50 + OFFSET, Decision.UNKNOWN, Reason.MISSING_VIEW)]
    late = Belt(120, [Box(30, 20)], (0, OFFSET)).view(1)
    rig.send(message(1, 1, 0, 120), late.tobytes())
    rig.settle()
    assert len(rig.verdicts()) == 1


def test_a_carton_whose_lines_stop_in_the_tunnel_is_told_of() -> None:
    """The belt may only stand, so there is no verdict; but a person hears of it, and not of an empty belt."""
    rig = Rig(TWO)
    health = Health("edge-t", "0", 1.0, ClearGate(), rig.clock)
    belt = Belt(140, [Box(30, 20)], (0, OFFSET))
    first, second = belt.view(0), belt.view(1)

    def told() -> list[str]:
        health.facts.silent_since = rig.assembler.silent_since()
        return [problem for problem in health.degraded() if "in the tunnel" in problem]

    rig.send(message(0, 1, 0, 20), first[:20].tobytes())
    rig.clock.now += 10 * SILENT_BELT_S
    assert told() == []
    rig.send(message(0, 2, 20, 20, encoder=20), first[20:40].tobytes())
    assert told() == []
    rig.clock.now += SILENT_BELT_S + 1
    rig.send(message(0, 2, 20, 20, encoder=20), first[20:40].tobytes())  # its sender waits for an answer
    (problem,) = told()
    assert problem.startswith(
        "lane: a carton is in the tunnel without a verdict and no line has come for 31 s"
    )
    rig.send(message(0, 3, 40, 100, encoder=40), first[40:].tobytes())
    rig.clock.now += SILENT_BELT_S + 1
    assert len(told()) == 1, "one view has seen it end, the other has not"
    rig.send(message(1, 1, 0, 140), second.tobytes())
    rig.settle()
    rig.clock.now += SILENT_BELT_S + 1
    assert told() == []
    assert [decision for _, decision, _ in rig.verdicts()] == [Decision.CLEAR]


def test_a_carton_that_finds_no_slot_is_unknown_and_the_next_one_is_seen() -> None:
    """Overload is a verdict, not a hole."""
    rig = Rig(ONE, slots=1)
    held = rig.pool.acquire()
    assert held is not None
    rig_after(rig, Belt(100, [Box(30, 20)], (0,)))
    rig.pool.release(held)
    lines = Belt(200, [Box(30, 20), Box(130, 20)], (0,)).view(0)[100:]
    rig.send(message(0, 11, 100, 100, encoder=100), lines.tobytes())
    rig.settle()
    assert rig.verdicts() == [
        (50, Decision.UNKNOWN, Reason.OVERLOAD),
        (150, Decision.CLEAR, None),
    ]


def test_two_cartons_side_by_side_in_one_view_alone_are_merged() -> None:
    """Where the views disagree on how many there are nobody guesses."""
    rig = Rig(TWO)
    two, one = (
        Belt(140, [Box(30, 10), Box(55, 10)], (0,)).view(0),
        Belt(140, [Box(30, 35)], (0, OFFSET)).view(1),
    )
    rig.send(message(0, 1, 0, 140), two.tobytes())
    rig.send(message(1, 1, 0, 140), one.tobytes())
    rig.settle()
    (only,) = rig.verdicts()
    assert only[1:] == (Decision.UNKNOWN, Reason.MERGED)
    assert rig.pool.free == rig.slots


def test_test_pieces_and_cartons_in_one_carton_are_an_operational_unknown() -> None:
    """If any line says OPERATIONAL, it is a real carton, and a person looks."""
    rig = Rig(ONE)
    for n, kind in enumerate([ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL, ScanType.NON_OPERATIONAL]):
        part = BELT.view(0)[40 * n : 40 * n + 40]
        rig.send(message(0, n + 1, 40 * n, 40, scan_type=kind), part.tobytes())
    rig.settle()
    assert rig.verdicts() == [(50, Decision.UNKNOWN, Reason.BAD_HEADER)]
    (stored,) = rig.ledger.values()
    assert stored.report is not None
    assert stored.report.verdict.scan_type is ScanType.OPERATIONAL


def test_a_blocking_lane_holds_its_belt_until_there_is_room_and_loses_no_carton() -> None:
    """The chunk in which a carton would begin is not taken, air before it is; once there is room the belt is
    told that it may move."""
    rig = Rig(ONE, slots=1, overload="block")
    held = rig.pool.acquire()
    assert held is not None
    lines = Belt(120, [Box(32, 20)], (0,)).view(0)
    for n in range(5):
        rig.send(message(0, n + 1, 10 * n, 10), lines[10 * n : 10 * n + 10].tobytes())
    assert [m.chunk for m in rig.heard(BusyMessage)] == [4]
    rig.settle()
    assert rig.verdicts() == []
    rig.pool.release(held)
    rig.replies.clear()
    rig.send(message(0, 4, 30, 10), lines[30:40].tobytes())
    assert next((m.next, m.again) for m in rig.heard(LinesAckMessage)) == (5, False)
    rig.send(message(0, 5, 40, 80), lines[40:].tobytes())
    rig.settle()
    assert rig.verdicts() == [(52, Decision.CLEAR, None)]


def test_a_belt_that_holds_itself_goes_on_without_room() -> None:
    """What holds the slots may wait for lines that are not taken: after a while UNKNOWN, never for ever."""
    rig = Rig(ONE, slots=1, overload="block")
    rig.pool.acquire()
    lines = BELT.view(0)
    rig.send(message(0, 1, 0, 40), lines[:40].tobytes())
    rig.clock.now += LONGEST_HOLD_S
    rig.send(message(0, 1, 0, 40), lines[:40].tobytes())
    rig.send(message(0, 2, 40, 80), lines[40:].tobytes())
    rig.settle()
    assert len(rig.heard(BusyMessage)) == 1
    assert rig.verdicts() == [(50, Decision.UNKNOWN, Reason.OVERLOAD)]


def raw_detector(gain: np.ndarray) -> Calibration:
    """The calibration of pixels with an offset and a gain each, both energies alike."""
    rng = np.random.default_rng(1)
    dark = rng.normal(1_500, 20, (64, WIDTH, 2))
    air = 1_500 + rng.normal(0.9 * 50_000, 200, (64, WIDTH, 2)) * gain[:, None]
    return calibrate(dark.round(), air.round(), Origin("lane", 0, 1, "rows", ("low", "high")))


@pytest.mark.parametrize("calibrated", [True, False])
def test_raw_pixels_that_differ_are_cut_by_their_own_air(calibrated: bool) -> None:
    """Pixels of a raw detector differ by more than a carton's edge weakens them. Without the calibration some
    are always dark and the belt is one carton without an end; with it the carton is found where it lies."""
    gain = np.random.default_rng(2).uniform(0.85, 1.0, WIDTH)
    rig = Rig(ONE, detectors=(raw_detector(gain),) if calibrated else ())
    lines = BELT.view(0).astype(float) * (0.9 / 0.98)
    raw = (1_500 + lines * gain[:, None]).astype(np.uint16)
    for n in range(12):
        rig.send(message(0, n + 1, 10 * n, 10), raw[10 * n : 10 * n + 10].tobytes())
    rig.settle()
    found = rig.verdicts()
    assert (found == [(50, Decision.CLEAR, None)]) is calibrated
    assert calibrated or {reason for *_, reason in found} == {Reason.CUT}


def test_lines_of_another_width_than_the_calibration_are_refused_and_end_no_epoch() -> None:
    """Named with both widths; the lane goes on."""
    rig = Rig(ONE, detectors=(raw_detector(np.ones(WIDTH)),))
    rig.send(message(0, 1, 0, 40), BELT.view(0)[:40].tobytes())
    rig.send(message(0, 1, 0, 10, epoch=2, width=WIDTH - 1), bytes(10 * (WIDTH - 1) * 4))
    (refused,) = rig.heard(RefusedMessage)
    assert refused.reason is Reason.PROFILE_MISMATCH
    assert f"{WIDTH - 1} pixels; view 0 is calibrated for {WIDTH}" in refused.detail
    rig.settle()
    assert rig.verdicts() == []


def test_a_header_that_is_wrong_is_refused_with_its_chunk_so_that_it_can_be_given_up() -> None:
    """Otherwise the scanner would send it again for ever."""
    rig = Rig(ONE)
    tree = {**msgspec.to_builtins(message(0, 7, 0, 10)), "encoder": -1}
    rig.assembler.receive(b"p", [msgspec.msgpack.encode(tree), PIXELS])
    (refused,) = rig.heard(RefusedMessage)
    assert (refused.reason, refused.scanner, refused.epoch, refused.view, refused.chunk) == (
        Reason.MALFORMED, "lane", 1, 0, 7,
    )  # fmt: skip


def test_who_taps_the_line_sees_the_frames_that_were_cut_out_and_where_they_lie() -> None:
    """With all that is needed to play them again; a carton without room for its pixels is not among them."""
    belt = Belt(120, [Box(30, 20)], (0, OFFSET))
    rig = rig_after(Rig(TWO), belt)
    assert [(m.seq, m.view, m.views, m.height, m.width) for m, _ in rig.tapped] == [
        (50 + OFFSET, view, 2, 24, WIDTH) for view in (0, 1)
    ]
    for (shown, pixels), picture in zip(rig.tapped, rig.pictures[50 + OFFSET], strict=True):
        assert shown.belt == wire.Belt(first=30 + OFFSET, last=49 + OFFSET)
        assert pixels == picture.tobytes()

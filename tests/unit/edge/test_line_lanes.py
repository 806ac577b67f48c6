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
from nii_edge.edge.jobs import DecodeJob
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Intend, StoredScan
from nii_edge.records import Decision, Gap, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import LinesAckMessage, LinesMessage, RefusedMessage, ToScanner, VerdictMessage

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

    def __init__(self, profile: Profile = TWO, slots: int = 12) -> None:
        self.profile = profile
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
        lanes = {"lane": admission.Lane(self.profile), "frames": admission.Lane(DUAL)}
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
                holes = [g for g in rig.gaps.values() if g.first <= place + 2 * GAP]
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

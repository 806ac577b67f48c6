"""The assembler alone: its effects in memory, its clock by hand, every interleaving hypothesis finds."""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nii_edge import wire
from nii_edge.config import Overload, Profile, load
from nii_edge.edge import admission
from nii_edge.edge.admission import GIVEN_UP_S
from nii_edge.edge.assemble import MAX_LOOKUPS, Assembler, Limits, digest, verdict_message
from nii_edge.edge.case import Case
from nii_edge.edge.decide import Ruling, unknown
from nii_edge.edge.jobs import Decoded, DecodeJob
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Intend, StoredScan
from nii_edge.records import Decision, Gap, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import (
    AckMessage,
    Buffer,
    BusyMessage,
    FrameMessage,
    RefusedMessage,
    ToScanner,
    VerdictMessage,
)

SCANNERS = Path(__file__).parents[3] / "configs" / "scanners"
PROFILES = {
    "dual": load(SCANNERS / "dual-energy.yaml", Profile),
    "display": load(SCANNERS / "display.yaml", Profile),
    "spare": load(SCANNERS / "display.yaml", Profile),
}
LIMITS = Limits(deadline_s=0.5, view_timeout_s=1.0, max_frame_bytes=4096)
CLEAR = Ruling(Decision.CLEAR)


class HandClock:
    """ports.Clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)


@dataclass
class Order:
    """A picture at the decoder."""

    scan: ScanId
    view: int
    slot: int


@dataclass
class Lane:
    """What happened to one scan, for checking."""

    intents: int = 0
    submits: int = 0
    checks: list[FrameError | None] = field(default_factory=list)
    conclusions: int = 0
    verdicts: list[VerdictMessage] = field(default_factory=list)


class Rig:
    """The rest of the daemon in memory. What the threads of the real one do at any time is done here when
    told: `disk_step` (the ledger's thread), `mail_step` (calls back into the assembler's thread), `paint`,
    `decide`, `decode_step`. Every promise that can be checked at once is checked at once."""

    def __init__(self, slots: int = 6, overload: Overload = "refer") -> None:
        self.lanes = {name: admission.Lane(profile, overload) for name, profile in PROFILES.items()}
        self.clock = HandClock()
        self.pool = SlotPool(slots, LIMITS.max_frame_bytes)
        self.metrics = Metrics()
        self.ledger: dict[ScanId, StoredScan] = {}
        self.gaps: list[Gap] = []
        self.scans: dict[ScanId, Lane] = {}
        self.disk: deque[Callable[[], None]] = deque()
        self.mail: deque[Callable[[], None]] = deque()
        self.painter: deque[tuple[Case, Report]] = deque()
        self.engine: dict[ScanId, Case] = {}
        self.decoder: deque[Order] = deque()
        self.replies: list[tuple[bytes, ToScanner]] = []
        self.published: list[VerdictMessage] = []
        self.start({})

    def start(self, high_water: dict[tuple[str, int], int]) -> None:
        self.assembler = Assembler("edge-t", self.lanes, LIMITS, self.pool, self, self.clock, self.metrics)
        self.assembler.resume(high_water)

    # ---- Effects

    def intend(self, intent: Intend, gap: Gap | None) -> None:
        record = self.scans.setdefault(intent.scan, Lane())
        record.intents += 1
        assert record.intents == 1, f"{intent.scan} was received twice"

        def write() -> None:
            assert intent.scan not in self.ledger
            if gap is not None:
                self.gaps.append(gap)
            self.ledger[intent.scan] = StoredScan(intent.scan, None)
            self.mail.append(lambda: self.assembler.intended(intent.scan))

        self.disk.append(write)

    def look_up(self, scan: ScanId, then: Callable[[StoredScan | None], None]) -> None:
        def ask() -> None:
            found = self.ledger.get(scan)
            self.mail.append(lambda: then(found))

        self.disk.append(ask)

    def decode(self, scan: ScanId, view: int, job: DecodeJob, until: float) -> None:
        assert job.encoding != "raw"
        assert until > self.clock.now
        self.pool.hold(job.slot)
        self.decoder.append(Order(scan, view, job.slot))

    def submit(self, case: Case) -> None:
        record = self.scans[case.id]
        record.submits += 1
        assert (record.submits, record.conclusions) == (1, 0)
        assert len(case.frames) == len(PROFILES[case.id.scanner].views)
        assert [f.view for f in case.frames] == list(range(len(case.frames)))
        assert case.slots == tuple(f.slot for f in case.frames)
        self.engine[case.id] = case

    def checked(self, scan: ScanId, digests: tuple[str, ...], error: FrameError | None) -> None:
        record = self.scans[scan]
        record.checks.append(error)
        assert (record.submits, len(record.checks)) == (1, 1), "checked once, after it was submitted"
        assert [entry.split(":")[0] for entry in digests] == [
            str(v) for v in range(len(PROFILES[scan.scanner].views))
        ]
        if scan in self.engine:
            self.engine[scan] = self.engine[scan]._replace(digests=digests)

    def conclude(self, case: Case, ruling: Ruling) -> None:
        """The assembler's own conclusions; the engine's come through `rule_on`."""
        assert self.scans[case.id].submits == 0, "the engine concludes what it has"
        assert ruling.decision is Decision.UNKNOWN
        self._conclude(case, ruling)

    def reply(self, peer: bytes, message: ToScanner) -> None:
        self.replies.append((peer, message))
        if isinstance(message, RefusedMessage | BusyMessage):
            return
        scan = ScanId(edge="edge-t", scanner=message.scanner, epoch=message.epoch, seq=message.seq)
        assert scan in self.ledger, "acknowledged before its intent was on disk"
        if isinstance(message, VerdictMessage):
            self._check_verdict(scan, message)

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        raise AssertionError(f"frames are tapped at the socket: {message} {len(pixels)}")

    def publish(self, message: VerdictMessage) -> None:
        self.published.append(message)
        self._check_verdict(message.report.verdict.id, message)

    def _check_verdict(self, scan: ScanId, message: VerdictMessage) -> None:
        stored = self.ledger[scan].report
        assert stored is not None, "a verdict was told that is not on disk"
        assert message == verdict_message(stored)
        self.scans.setdefault(scan, Lane()).verdicts.append(message)
        assert self.scans[scan].verdicts[0] == message, "a verdict changed"

    # ---- the other threads

    def disk_step(self) -> None:
        self.disk.popleft()()

    def mail_step(self) -> None:
        self.mail.popleft()()

    def rule_on(self, scan: ScanId, ruling: Ruling) -> None:
        """The engine gives its ruling."""
        self._conclude(self.engine.pop(scan), ruling)

    def judge(self, scan: ScanId) -> None:
        """The engine with its detectors' answers: CLEAR, if the pixels were checked."""
        (error,) = self.scans[scan].checks
        self.rule_on(scan, CLEAR if error is None else unknown(error.reason, error.detail))

    def decode_step(self, result: Decoded | None = None) -> None:
        """The decoder answers for the oldest picture, by default with a good one of 2x3 grey."""
        order = self.decoder.popleft()
        self.pool.release(order.slot)
        done = Decoded(shape=(2, 3, 1), dtype="uint8") if result is None else result
        self.mail.append(lambda: self.assembler.decoded(order.scan, order.view, done))

    def paint(self) -> None:
        self._commit(*self.painter.popleft())

    def settle(self) -> None:
        """Let everything happen that can without time passing."""
        while self.disk or self.mail or self.painter or self.engine or self.decoder:
            if self.disk:
                self.disk_step()
            elif self.mail:
                self.mail_step()
            elif self.painter:
                self.paint()
            elif self.engine:
                self.judge(next(iter(self.engine)))
            else:
                self.decode_step()

    def _conclude(self, case: Case, ruling: Ruling) -> None:
        record = self.scans[case.id]
        record.conclusions += 1
        assert record.conclusions == 1, f"{case.id} was concluded twice"
        verdict = Verdict(
            id=case.id,
            scan_type=case.scan_type,
            decision=ruling.decision,
            reason=ruling.reason,
            detail=ruling.detail,
            carton=case.scan.carton,
        )
        report = Report(
            alert_id=case.id.alert_id,
            report_id=case.id.report_id,
            verdict=verdict,
            received_at_ns=case.received_at_ns,
            decided_at_ns=self.clock.wall_ns(),
            frames=case.digests,
        )
        if ruling.decision is Decision.CLEAR or not case.frames:
            self._commit(case, report)
        else:
            self.painter.append((case, report))

    def _commit(self, case: Case, report: Report) -> None:
        for slot in case.slots:
            self.pool.release(slot)

        def write() -> None:
            stored = self.ledger[case.id]
            assert stored.report is None
            self.ledger[case.id] = StoredScan(case.id, report)
            self.mail.append(lambda: self.assembler.concluded(report))

        self.disk.append(write)

    # ---- a scanner

    def send(self, head: FrameMessage, payload: bytes | None = None, peer: bytes = b"p") -> None:
        parts = [wire.encode(head)] if payload is None else [wire.encode(head), memoryview(payload)]
        self.assembler.receive(peer, parts)

    def said(self, kind: type, peer: bytes | None = None) -> list[object]:
        """The replies of a kind so far, oldest first."""
        return [m for p, m in self.replies if isinstance(m, kind) and peer in (None, p)]

    def verdict(self) -> Verdict:
        """The newest verdict that was told."""
        message = self.said(VerdictMessage)[-1]
        assert isinstance(message, VerdictMessage)
        return message.report.verdict


def pixels(content: int, channels: int = 2, item: int = 2, view: int = 0) -> bytes:
    """Six noisy pixels that differ by `content` and `view`."""
    return random.Random(8 * content + view).randbytes(6 * channels * item)


def dual(seq: int = 1, view: int = 0, content: int = 0, **changes: object) -> tuple[FrameMessage, bytes]:
    """One of the two views of a dual-energy scan."""
    payload = pixels(content, view=view)
    fields: dict[str, object] = {
        "scanner": "dual", "epoch": 7, "seq": seq, "view": view, "height": 2, "width": 3,
        "crc32": zlib.crc32(payload), **changes,
    }  # fmt: skip
    return FrameMessage(**fields), payload  # type: ignore[arg-type]


def grey(seq: int = 1, content: int = 0, **changes: object) -> tuple[FrameMessage, bytes]:
    """The only view of a display scan."""
    payload = pixels(content, 1, 1)
    fields: dict[str, object] = {
        "scanner": "display", "epoch": 7, "seq": seq, "height": 2, "width": 3, "channels": ("grey",),
        "dtype": "uint8", **changes,
    }  # fmt: skip
    return FrameMessage(**fields), payload  # type: ignore[arg-type]


def png(seq: int = 1, content: int = 0, **changes: object) -> tuple[FrameMessage, bytes]:
    """The only view of a display scan, as a picture still to be decoded."""
    payload = b"\x89PNG" + bytes([content])
    fields = {"scanner": "display", "epoch": 7, "seq": seq, "encoding": "png", **changes}
    return FrameMessage(**fields), payload  # type: ignore[arg-type]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.pool.close()


# ---- one case at a time


def test_a_complete_scan_is_submitted_before_its_last_view_is_hashed(rig: Rig) -> None:
    """The detectors begin before the check of the last view ends, and the report has every digest."""
    rig.send(*dual(view=1, content=1))
    rig.send(*dual(view=0, content=2))
    assert rig.scans[next(iter(rig.engine))].checks == [None]
    rig.settle()
    report = rig.published[-1].report
    assert report.verdict.decision is Decision.CLEAR
    assert report.frames == (
        f"0:{digest(*dual(view=0, content=2))}",
        f"1:{digest(*dual(view=1, content=1))}",
    )


def test_an_acknowledgement_waits_for_the_disk(rig: Rig) -> None:
    """No word to the scanner before the intent is durable; then one for each view, to whoever sent it."""
    rig.send(*dual(view=0), peer=b"p")
    rig.send(*dual(view=1), peer=b"q")
    assert rig.replies == []
    rig.disk_step()
    assert rig.replies == []
    rig.mail_step()
    acks = [(peer, m.view) for peer, m in rig.replies if isinstance(m, AckMessage)]
    assert acks == [(b"p", 0), (b"q", 1)]


def test_a_wrong_crc_of_the_last_view_reaches_the_engine(rig: Rig) -> None:
    """A damage found only after the scan was submitted is told to whoever decides on it."""
    rig.send(*dual(view=0))
    rig.send(*dual(view=1, crc32=1))
    (scan,) = rig.engine
    (error,) = rig.scans[scan].checks
    assert error is not None
    assert error.reason is Reason.CORRUPT_FRAME
    rig.settle()
    assert rig.verdict().reason is Reason.CORRUPT_FRAME


def test_a_wrong_crc_of_an_earlier_view_ends_the_scan(rig: Rig) -> None:
    """A damaged first view makes the scan UNKNOWN whatever the second is."""
    rig.send(*dual(view=0, crc32=1))
    rig.send(*dual(view=1))
    assert not rig.engine
    rig.settle()
    assert rig.verdict().reason is Reason.CORRUPT_FRAME
    assert rig.pool.free == rig.pool.slots


def test_a_picture_damaged_on_the_line_is_not_decoded(rig: Rig) -> None:
    """The checksum of an encoded picture is checked before the decoder sees it."""
    rig.send(*png(crc32=1))
    assert not rig.decoder
    rig.settle()
    assert rig.verdict().reason is Reason.CORRUPT_FRAME


CASES = [
    (dual(view=2), Reason.BAD_HEADER, "views count from 0 to 1"),
    (dual(views=1), Reason.PROFILE_MISMATCH, "has 2"),
    (dual(channels=("grey",)), Reason.PROFILE_MISMATCH, "'grey'"),
    (dual(dtype="uint8"), Reason.PROFILE_MISMATCH, "uint8"),
    (dual(height=3), Reason.CORRUPT_FRAME, "expected 36"),
    (dual(height=1000), Reason.TOO_LARGE, "at most 4096"),
    (dual(height=None), Reason.BAD_HEADER, "needs height and width"),
    ((dual()[0], b""), Reason.CORRUPT_FRAME, "expected 24"),
    ((dual()[0], None), Reason.CORRUPT_FRAME, "expected 24"),
    ((png()[0], b""), Reason.CORRUPT_FRAME, "missing or empty"),
    ((png()[0], bytes(4097)), Reason.TOO_LARGE, "4097 bytes"),
]


@pytest.mark.parametrize(("sent", "reason", "words"), CASES)
def test_a_bad_view_makes_its_scan_unknown_in_words(
    rig: Rig, sent: tuple[FrameMessage, bytes | None], reason: Reason, words: str
) -> None:
    """What is wrong with a view is the scan's reason; it is acknowledged and holds nothing."""
    rig.send(*sent)
    rig.settle()
    assert rig.verdict().reason is reason
    assert words in rig.verdict().detail
    assert len(rig.said(AckMessage)) == 1
    assert rig.pool.free == rig.pool.slots


@pytest.mark.parametrize("change", [{"carton": "B"}, {"scan_type": ScanType.NON_OPERATIONAL}])
def test_views_that_disagree_about_their_scan_make_it_unknown(rig: Rig, change: dict[str, object]) -> None:
    """Two views of different cartons, or a test among the real ones, are not one scan."""
    rig.send(*dual(view=0, carton="A"))
    rig.send(*dual(view=1, **{"carton": "A", **change}))
    rig.settle()
    assert rig.verdict().reason is Reason.BAD_HEADER


@pytest.mark.parametrize("told", [(12.5, None), (None, 12.5), (12.5, 12.5), (0.0, 12.5)])
def test_a_scale_weight_may_stand_in_any_view(rig: Rig, told: tuple[float | None, float | None]) -> None:
    """It belongs to the scan, whichever header brings it; 0 is none. It changes nothing about a resend."""
    for view, scale_kg in enumerate(told):
        rig.send(*dual(view=view, scale_kg=scale_kg))
    (case,) = rig.engine.values()
    assert case.scan.scale_kg == 12.5
    rig.send(*dual(view=0))
    rig.settle()
    assert rig.verdict().decision is Decision.CLEAR
    assert not rig.said(RefusedMessage)


def test_two_scale_weights_of_one_scan_make_it_unknown(rig: Rig) -> None:
    """Nobody can tell which is the carton's."""
    rig.send(*dual(view=0, scale_kg=12.5))
    rig.send(*dual(view=1, scale_kg=3.0))
    rig.settle()
    assert rig.verdict().reason is Reason.BAD_HEADER
    assert "scale_kg is 3 here, 12.5 in another view" in rig.verdict().detail


def test_a_lane_that_took_its_share_of_slots_is_unknown_and_the_others_go_on(rig: Rig) -> None:
    """A lane that wants more than its share gets OVERLOAD; every other lane still has room for a scan."""
    for seq in (1, 2):
        rig.send(*dual(seq, 0))
        rig.send(*dual(seq, 1))
    rig.send(*dual(3, 0))
    rig.send(*grey(1))
    rig.send(*grey(1, scanner="spare"))
    assert rig.pool.free == 0
    rig.settle()
    reasons = {(m.scanner, m.seq): m.report.verdict.reason for m in rig.published}
    assert reasons == {
        ("dual", 1): None,
        ("dual", 2): None,
        ("dual", 3): Reason.OVERLOAD,
        ("display", 1): None,
        ("spare", 1): None,
    }
    assert rig.pool.free == rig.pool.slots


def test_several_greedy_lanes_cannot_starve_another() -> None:
    """Two lanes that take all they can leave room for the third lane's scan."""
    rig = Rig(slots=8)
    for seq in range(1, 6):
        for view in (0, 1):
            rig.send(*dual(seq, view))
        rig.send(*grey(seq))
    rig.send(*grey(1, scanner="spare"))
    rig.settle()
    reasons = {(m.scanner, m.seq): m.report.verdict.reason for m in rig.published}
    assert reasons["spare", 1] is None
    assert Reason.OVERLOAD in reasons.values()
    rig.pool.close()


def test_when_slots_are_stuck_elsewhere_a_scan_is_unknown(rig: Rig) -> None:
    """Slots that a hung process still holds are nobody's share: without any left it is OVERLOAD."""
    stuck = [rig.pool.acquire() for _ in range(rig.pool.slots)]
    assert None not in stuck
    rig.send(*grey(1))
    rig.settle()
    assert rig.verdict().reason is Reason.OVERLOAD


def test_a_lane_gets_its_share_back(rig: Rig) -> None:
    """What a lane held no longer counts against it once its scans have their verdicts."""
    for seq in range(1, 10):
        for view in (0, 1):
            rig.send(*dual(seq, view))
        rig.settle()
    assert {m.decision for m in rig.published} == {Decision.CLEAR}
    for seq in range(1, 10):
        rig.send(*grey(seq))
    rig.send(*dual(10, 0))
    rig.send(*dual(10, 1))
    rig.settle()
    reasons = {(m.scanner, m.seq): m.report.verdict.reason for m in rig.published}
    assert reasons["display", 9] is Reason.OVERLOAD
    assert reasons["dual", 10] is None


def test_a_blocking_lane_waits_in_order_and_loses_no_number() -> None:
    """Without room a scan is turned away untouched, and so is every one behind it; once there is room they
    come in order, and there is no hole in the numbers."""
    rig = Rig(slots=6, overload="block")
    for seq in (1, 2, 3, 4):
        for view in (0, 1):
            rig.send(*dual(seq, view))
    turned_away = [(m.seq, m.view) for m in rig.said(BusyMessage)]  # type: ignore[attr-defined]
    assert turned_away == [(seq, view) for seq in (3, 4) for view in (0, 1)]
    rig.settle()
    rig.send(*dual(4, 0))  # there is room, but 3 was promised it
    assert len(rig.said(BusyMessage)) == 5
    for seq in (3, 4):
        for view in (0, 1):
            rig.send(*dual(seq, view))
    rig.settle()
    assert [(m.seq, m.decision) for m in rig.published] == [(seq, Decision.CLEAR) for seq in (1, 2, 3, 4)]
    assert rig.gaps == []
    rig.pool.close()


def test_a_blocking_lane_keeps_room_for_all_views_of_what_it_let_in() -> None:
    """First views of several scans come before the second ones: none that was let in ends as OVERLOAD."""
    rig = Rig(slots=6, overload="block")
    for seq in (1, 2, 3):
        rig.send(*dual(seq, 0))
    assert [m.seq for m in rig.said(BusyMessage)] == [3]  # type: ignore[attr-defined]
    for seq in (1, 2):
        rig.send(*dual(seq, 1))
    rig.settle()
    for view in (0, 1):
        rig.send(*dual(3, view))
    rig.settle()
    assert [(m.seq, m.decision) for m in rig.published] == [(seq, Decision.CLEAR) for seq in (1, 2, 3)]
    rig.send(*dual(4, 0))  # its second view never comes: what was kept for it is free again
    rig.clock.now += LIMITS.view_timeout_s + 1
    rig.assembler.expire()
    rig.settle()
    for seq in (5, 6):
        for view in (0, 1):
            rig.send(*dual(seq, view))
    rig.settle()
    assert [m.report.verdict.reason for m in rig.published[3:]] == [Reason.MISSING_VIEW, None, None]
    rig.pool.close()


def test_a_scan_that_never_comes_back_does_not_block_its_lane_for_ever() -> None:
    """After a time the next one is taken, and the one that stayed away is missing."""
    rig = Rig(slots=6, overload="block")
    for seq in (1, 2, 3):
        for view in (0, 1):
            rig.send(*dual(seq, view))
    rig.settle()
    rig.clock.now += GIVEN_UP_S + 1
    for view in (0, 1):
        rig.send(*dual(4, view))
    rig.settle()
    assert [(gap.first, gap.last) for gap in rig.gaps] == [(3, 3)]
    assert [m.seq for m in rig.published] == [1, 2, 4]
    rig.pool.close()


def test_a_scan_is_not_submitted_while_a_picture_is_being_decoded(rig: Rig) -> None:
    """A raw view that completes the scan waits for the encoded one before it."""
    rig.send(FrameMessage(scanner="dual", epoch=7, seq=1, view=0, encoding="tiff"), b"II*")
    rig.send(*dual(view=1))
    assert not rig.engine
    rig.decode_step(Decoded(shape=(2, 3, 2), dtype="uint16"))
    rig.settle()
    assert rig.verdict().decision is Decision.CLEAR


def test_a_late_number_is_copied_while_it_is_looked_up(rig: Rig) -> None:
    """The pixels judged are those that were sent, though their buffer is used again meanwhile."""
    rig.send(*grey(2))
    rig.settle()
    head, payload = grey(1)
    reused = bytearray(payload)
    rig.assembler.receive(b"p", [wire.encode(head), reused])
    reused[:] = pixels(9, 1, 1)
    rig.settle()
    assert rig.published[-1].report.frames == (f"0:{digest(head, payload)}",)


@pytest.mark.parametrize("first", list(ScanType))
def test_a_scan_is_a_test_only_if_every_view_says_so(rig: Rig, first: ScanType) -> None:
    """Views that disagree about being a test make it a real carton, whichever came first."""
    (second,) = set(ScanType) - {first}
    rig.send(*dual(view=0, scan_type=first))
    rig.send(*dual(view=1, scan_type=second))
    rig.settle()
    assert rig.verdict().scan_type is ScanType.OPERATIONAL
    assert rig.verdict().decision is Decision.UNKNOWN


def test_a_hole_before_a_test_is_a_tests_hole(rig: Rig) -> None:
    """A gap has the type of the scan that revealed it."""
    rig.send(*grey(3, scan_type=ScanType.NON_OPERATIONAL))
    rig.settle()
    assert [g.scan_type for g in rig.gaps] == [ScanType.NON_OPERATIONAL]


def test_a_missing_view_ends_the_scan_at_its_time_and_names_the_view(rig: Rig) -> None:
    """Not before the view time, and with the number of the view that did not come."""
    rig.send(*dual(view=1))
    at = rig.assembler.next_expiry()
    assert at == rig.clock.now + LIMITS.view_timeout_s
    rig.clock.now = at - 1e-6
    rig.assembler.expire()
    rig.settle()
    assert rig.published == []
    rig.clock.now = at
    rig.assembler.expire()
    assert rig.assembler.next_expiry() is None
    rig.settle()
    assert (rig.verdict().reason, rig.verdict().detail) == (
        Reason.MISSING_VIEW,
        "view [0] did not arrive within 1 s",
    )


def test_a_late_view_changes_nothing(rig: Rig) -> None:
    """A view that comes after its scan was given up is acknowledged and takes no slot."""
    rig.send(*dual(view=0))
    rig.clock.now += LIMITS.view_timeout_s
    rig.assembler.expire()
    rig.send(*dual(view=1))
    rig.settle()
    rig.send(*dual(view=1))
    rig.settle()
    assert rig.verdict().reason is Reason.MISSING_VIEW
    assert [m.view for m in rig.said(AckMessage)] == [0, 1, 1]  # type: ignore[attr-defined]
    assert rig.pool.free == rig.pool.slots


def test_a_decoder_that_does_not_answer_in_time_is_not_waited_for(rig: Rig) -> None:
    """An undecoded picture is UNKNOWN(TIMEOUT) at the deadline; the late answer changes nothing."""
    rig.send(*png())
    rig.clock.now += LIMITS.deadline_s
    rig.assembler.expire()
    rig.settle()
    assert rig.verdict().reason is Reason.TIMEOUT
    assert len(rig.published) == 1
    assert rig.pool.free == rig.pool.slots


DECODED = [
    (png(), Decoded(shape=(2, 3, 1), dtype="uint8"), None),
    (png(), Decoded(shape=(2, 3, 3), dtype="uint16"), None),
    (png(height=2, width=3), Decoded(shape=(2, 3, 1), dtype="uint8"), None),
    (png(height=3), Decoded(shape=(2, 3, 1), dtype="uint8"), Reason.CORRUPT_FRAME),
    (png(width=2), Decoded(shape=(2, 3, 1), dtype="uint8"), Reason.CORRUPT_FRAME),
    (png(), Decoded(shape=(2, 3, 2), dtype="uint8"), Reason.PROFILE_MISMATCH),
    (png(), Decoded(shape=(2, 3, 1), dtype="float32"), Reason.PROFILE_MISMATCH),
    (png(channels=("grey",)), Decoded(shape=(2, 3, 3), dtype="uint8"), Reason.PROFILE_MISMATCH),
    (png(dtype="uint16"), Decoded(shape=(2, 3, 1), dtype="uint8"), Reason.PROFILE_MISMATCH),
    (png(dtype="uint16"), Decoded(shape=(2, 3, 1), dtype="uint16"), None),
    (png(channels=("grey",)), Decoded(shape=(2, 3, 1), dtype="uint16"), None),
    (png(), Decoded(reason=Reason.TOO_LARGE, detail="a bomb"), Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("sent", "result", "reason"), DECODED)
def test_a_decoded_picture_is_held_against_header_and_profile(
    rig: Rig, sent: tuple[FrameMessage, bytes], result: Decoded, reason: Reason | None
) -> None:
    """A picture that is not what its header and profile say is UNKNOWN, any other is judged."""
    rig.send(*sent)
    rig.decode_step(result)
    rig.settle()
    assert rig.verdict().reason is reason
    assert rig.pool.free == rig.pool.slots


def test_an_equal_resend_gets_the_recorded_answer(rig: Rig) -> None:
    """Before the verdict a resend is acknowledged, after it the very same report comes again."""
    rig.send(*dual(view=0))
    rig.send(*dual(view=0))
    rig.send(*dual(view=1))
    rig.settle()
    first = rig.published[-1]
    rig.send(*dual(view=1), peer=b"again")
    rig.settle()
    assert rig.said(AckMessage, b"again") == [AckMessage(scanner="dual", epoch=7, seq=1, view=1)]
    assert rig.said(VerdictMessage, b"again") == [first]
    assert len(rig.published) == 1


def test_a_check_that_fails_after_the_scan_was_submitted_reaches_the_engine(rig: Rig) -> None:
    """Blank pixels and one picture sent as two views are found while the detectors already look."""
    for seq, (first, second) in enumerate(((pixels(1), bytes(24)), (pixels(1), pixels(1))), 1):
        for view, payload in enumerate((first, second)):
            rig.send(dual(seq, view, crc32=zlib.crc32(payload))[0], payload)
        scan = next(scan for scan in rig.engine if scan.seq == seq)
        (error,) = rig.scans[scan].checks
        assert error is not None
        assert error.reason is Reason.IMAGE_QUALITY
        assert ("same picture" in error.detail) is (seq == 2)
    rig.settle()


@pytest.mark.parametrize("settled", [False, True])
def test_other_content_under_a_used_number_is_refused(rig: Rig, settled: bool) -> None:
    """SEQ_REUSED before the verdict and after it; the first content is what counts."""
    rig.send(*dual(view=0, content=1))
    rig.send(*dual(view=1, content=1))
    if settled:
        rig.settle()
    rig.send(*dual(view=0, content=2), peer=b"other")
    rig.settle()
    (refused,) = rig.said(RefusedMessage)
    assert isinstance(refused, RefusedMessage)
    assert (refused.reason, refused.seq, refused.view) == (Reason.SEQ_REUSED, 1, 0)
    assert rig.said(AckMessage, b"other") == []
    assert len(rig.published) == 1
    assert rig.verdict().decision is Decision.CLEAR


def test_a_refused_message_does_not_draw_the_verdict_to_its_sender(rig: Rig) -> None:
    """The verdict goes to the peer whose views were taken, not to one whose content was refused."""
    rig.send(*dual(view=0, content=1), peer=b"scanner")
    rig.send(*dual(view=0, content=2), peer=b"intruder")
    rig.clock.now += LIMITS.view_timeout_s
    rig.assembler.expire()
    rig.settle()
    assert len(rig.said(VerdictMessage, b"scanner")) == 1
    assert rig.said(VerdictMessage, b"intruder") == []


def test_a_scanner_that_connected_anew_gets_the_verdict(rig: Rig) -> None:
    """The verdict goes to the peer that sent last, since the one before may be gone."""
    rig.send(*dual(view=0), peer=b"before")
    rig.send(*dual(view=0), peer=b"after")
    rig.send(*dual(view=1), peer=b"after")
    rig.settle()
    assert len(rig.said(VerdictMessage, b"after")) == 1
    assert rig.said(VerdictMessage, b"before") == []


def test_a_hole_is_one_gap_and_a_late_number_is_judged(rig: Rig) -> None:
    """Skipped numbers are one record; one that comes after all gets its verdict and no gap of its own."""
    for seq in (3, 2, 4):
        rig.send(*grey(seq))
        rig.settle()
    assert [(g.scanner, g.epoch, g.first, g.last) for g in rig.gaps] == [("display", 7, 1, 2)]
    assert sorted(m.seq for m in rig.published) == [2, 3, 4]


def test_both_views_of_a_late_number_find_each_other(rig: Rig) -> None:
    """Two views whose numbers were looked up at once become one scan."""
    rig.send(*dual(2, 0))
    rig.send(*dual(2, 1))
    rig.settle()
    rig.send(*dual(1, 0))
    rig.send(*dual(1, 1))
    rig.settle()
    assert rig.verdict().id.seq == 1
    assert rig.verdict().decision is Decision.CLEAR


def test_look_ups_are_bounded_and_what_is_turned_away_may_come_again(rig: Rig) -> None:
    """A flood of old numbers queues so many copies and no more; the rest is neither acknowledged nor lost."""
    last = MAX_LOOKUPS + 3
    rig.send(*grey(last))
    rig.settle()
    for seq in range(1, last):
        rig.send(*grey(seq))
    assert len(rig.disk) == MAX_LOOKUPS
    rig.settle()
    turned_away = {*range(1, last)} - {m.seq for m in rig.published}
    assert len(turned_away) == last - 1 - MAX_LOOKUPS
    assert turned_away.isdisjoint(m.seq for m in rig.said(AckMessage))  # type: ignore[attr-defined]
    for seq in turned_away:
        rig.send(*grey(seq))
        rig.settle()
    assert {m.seq for m in rig.published} == {*range(1, last + 1)}


def test_epochs_and_scanners_count_apart(rig: Rig) -> None:
    """A scanner's new start begins at 1 again, and nobody's numbers are another's holes."""
    rig.send(*grey(1))
    rig.send(*grey(1, epoch=8))
    rig.send(*dual(1))
    assert rig.gaps == []
    assert len(rig.scans) == 3


def test_after_a_restart_old_numbers_have_their_answers(rig: Rig) -> None:
    """With the ledger's high water the next start refuses nothing, repeats nothing, and misses no hole."""
    rig.send(*grey(1))
    rig.settle()
    rig.start({("display", 7): 1})
    rig.send(*grey(1), peer=b"again")
    rig.send(*grey(4))
    rig.settle()
    assert len(rig.said(VerdictMessage, b"again")) == 1
    assert [(g.first, g.last) for g in rig.gaps] == [(2, 3)]


def test_a_readable_number_in_an_unreadable_header_is_a_scan(rig: Rig) -> None:
    """A header that names its scan and is otherwise wrong ends as UNKNOWN(BAD_HEADER), in the ledger."""
    tree = {"version": 1, "type": "frame", "scanner": "display", "epoch": 7, "seq": 1, "height": "2"}
    rig.assembler.receive(b"p", [msgspec.msgpack.encode(tree), b"x"])
    rig.settle()
    assert rig.verdict().reason is Reason.BAD_HEADER
    assert "height" in rig.verdict().detail


def _tree(**changes: object) -> bytes:
    tree = {"version": 1, "type": "frame", "scanner": "display", "epoch": 7, "seq": 1, **changes}
    return msgspec.msgpack.encode(tree)


REFUSED = [
    ([], Reason.MALFORMED),
    ([b""], Reason.MALFORMED),
    ([_tree(seq=0)], Reason.MALFORMED),
    ([_tree(scanner="no name")], Reason.MALFORMED),
    ([_tree(epoch=-1)], Reason.MALFORMED),
    ([_tree(version=2)], Reason.VERSION),
    ([_tree(scanner="nobody")], Reason.UNKNOWN_SCANNER),
    ([_tree(scanner="nobody", height="2")], Reason.UNKNOWN_SCANNER),
    ([b"\xc1" * (wire.MAX_HEADER_BYTES + 1)], Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("parts", "reason"), REFUSED)
def test_a_message_that_names_no_scan_of_ours_is_refused(
    rig: Rig, parts: list[bytes], reason: Reason
) -> None:
    """It is answered with its reason and counted, and no scan is opened."""
    rig.assembler.receive(b"p", parts)
    (refused,) = rig.said(RefusedMessage, b"p")
    assert isinstance(refused, RefusedMessage)
    assert refused.reason is reason
    assert rig.assembler.open_scans == 0
    assert not rig.disk
    count = rig.metrics.registry.get_sample_value("nii_edge_messages_refused_total", {"reason": reason.value})
    assert count == 1


def test_shutdown_concludes_what_the_engine_does_not_have(rig: Rig) -> None:
    """Half scans are UNKNOWN with the given reason; those with the engine stay the engine's."""
    rig.send(*dual(1, 0))
    rig.send(*dual(1, 1))
    rig.send(*dual(2, 0))
    rig.send(*png(1))
    rig.assembler.abandon(Reason.SHUTDOWN, "stopped")
    assert [scan.seq for scan in rig.engine] == [1]
    rig.settle()
    reasons = {(m.scanner, m.seq): m.report.verdict.reason for m in rig.published}
    assert reasons == {
        ("dual", 1): None,
        ("dual", 2): Reason.SHUTDOWN,
        ("display", 1): Reason.SHUTDOWN,
    }
    assert rig.pool.free == rig.pool.slots


def test_a_number_still_being_looked_up_at_shutdown_is_concluded_too(rig: Rig) -> None:
    """A late number whose ledger answer comes after `abandon` does not stay open until its view time."""
    rig.send(*dual(2, 0))
    rig.send(*dual(2, 1))
    rig.settle()
    rig.send(*dual(1, 0))
    rig.assembler.abandon(Reason.SHUTDOWN, "stopped")
    rig.settle()
    assert rig.assembler.open_scans == 0
    assert rig.verdict().reason is Reason.SHUTDOWN


def test_a_digest_tells_payload_and_shape_apart() -> None:
    """Equal for a resend; another for other bytes, shape, type, channels or encoding."""
    head, payload = grey()
    variants = [
        (head, payload),
        (head, pixels(1, 1, 1)),
        *[
            (msgspec.structs.replace(head, **change), payload)
            for change in (
                {"height": 3, "width": 2},
                {"dtype": "uint16"},
                {"channels": ("red", "green", "blue")},
                {"encoding": "png"},
                {"carton": "another"},
                {"scan_type": ScanType.NON_OPERATIONAL},
            )
        ],
    ]
    assert len({digest(*variant) for variant in variants}) == len(variants)
    assert digest(head, bytearray(payload)) == digest(head, payload)
    assert digest(msgspec.structs.replace(head, seq=9, captured_at_ns=5), payload) == digest(head, payload)


# ---- everything at once

FAULTS = (None,) * 12 + (
    "size", "crc", "header", "views", "view", "channels", "carton", "scan_type", "no payload", "encoded",
)  # fmt: skip
PEERS = (b"p", b"q")


class Interleavings(RuleBasedStateMachine):
    """Two lanes, few numbers, five slots, and every thread of the daemon at its own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(slots=5)
        self.good: dict[tuple[ScanId, int], set[str]] = {}
        self.sent: dict[ScanId, int] = {}
        self.peers: set[bytes] = set()

    # ---- the scanners

    @rule(
        lane=st.sampled_from(["dual", "display"]),
        seq=st.integers(1, 6),
        view=st.integers(0, 1),
        content=st.sampled_from([0, 0, 0, 1]),
        fault=st.sampled_from(FAULTS),
        peer=st.sampled_from(PEERS),
    )
    def message(self, lane: str, seq: int, view: int, content: int, fault: str | None, peer: bytes) -> None:
        view = view if lane == "dual" else 0
        if lane == "display" and content:
            head, payload = png(seq, content)
        elif lane == "display":
            head, payload = grey(seq, content)
        else:
            head, payload = dual(seq, view, content)
        self._send(peer, head, payload, fault)

    @rule(lane=st.sampled_from(["dual", "display"]), peer=st.sampled_from(PEERS))
    def good_scan(self, lane: str, peer: bytes) -> None:
        """All views of the number after the highest so far."""
        seq = 1 + max((scan.seq for scan in self.sent if scan.scanner == lane), default=0)
        for view in range(len(PROFILES[lane].views)):
            head, payload = dual(seq, view) if lane == "dual" else grey(seq)
            self._send(peer, head, payload, None)

    def _send(self, peer: bytes, head: FrameMessage, payload: bytes, fault: str | None) -> None:
        scan = ScanId(edge="edge-t", scanner=head.scanner, epoch=head.epoch, seq=head.seq)
        changes: dict[str, object] = {
            "crc": {"crc32": 1},
            "views": {"views": 5},
            "view": {"view": 7},
            "channels": {"channels": ("low",)},
            "carton": {"carton": "another"},
            "scan_type": {"scan_type": ScanType.NON_OPERATIONAL},
            "encoded": {"encoding": "png", "height": None, "width": None, "crc32": None},
        }.get(fault or "", {})
        head = msgspec.structs.replace(head, **changes)
        if fault == "size":
            payload += b"x"
        elif fault == "no payload":
            payload = b""
        harmless = (None, "carton", "scan_type", "encoded")
        if fault in harmless or (fault == "size" and head.encoding != "raw"):  # only raw pixels have a size
            self.good.setdefault((scan, head.view), set()).add(f"{head.view}:{digest(head, payload)}")
        parts: list[bytes] = [wire.encode(head), payload]
        if fault == "header":
            tree = msgspec.msgpack.decode(parts[0])
            parts[0] = msgspec.msgpack.encode({**tree, "views": "two"})
        before, turned_away = len(self.rig.replies), self._turned_away()
        self.rig.assembler.receive(peer, parts)
        if self._turned_away() == turned_away:  # else too much is being looked up: no word, come again
            self.sent[scan] = self.sent.get(scan, 0) + 1
            self.peers.add(peer)
        assert all(isinstance(m, AckMessage | RefusedMessage) for _, m in self.rig.replies[before:])

    def _turned_away(self) -> float:
        refused = self.rig.metrics.registry.get_sample_value
        return refused("nii_edge_messages_refused_total", {"reason": "OVERLOAD"}) or 0

    # ---- the other threads

    @precondition(lambda self: self.rig.disk)
    @rule(steps=st.integers(1, 6))
    def ledger(self, steps: int) -> None:
        for _ in range(min(steps, len(self.rig.disk))):
            self.rig.disk_step()

    @precondition(lambda self: self.rig.mail)
    @rule(steps=st.integers(1, 6))
    def mail(self, steps: int) -> None:
        for _ in range(min(steps, len(self.rig.mail))):
            self.rig.mail_step()

    @precondition(lambda self: self.rig.painter)
    @rule()
    def paint(self) -> None:
        self.rig.paint()

    @precondition(lambda self: self.rig.engine)
    @rule(place=st.integers(0, 9))
    def judge(self, place: int) -> None:
        self.rig.judge(sorted(self.rig.engine)[place % len(self.rig.engine)])

    @precondition(lambda self: self.rig.engine)
    @rule(place=st.integers(0, 9))
    def engine_gives_up(self, place: int) -> None:
        scan = sorted(self.rig.engine)[place % len(self.rig.engine)]
        self.rig.rule_on(scan, unknown(Reason.TIMEOUT, "late"))

    @precondition(lambda self: self.rig.decoder)
    @rule(
        result=st.sampled_from(
            [
                None,
                None,
                Decoded(shape=(2, 3, 2), dtype="uint16"),
                Decoded(reason=Reason.CORRUPT_FRAME, detail="torn"),
                Decoded(shape=(2, 3, 4), dtype="uint8"),
            ]
        )
    )
    def decode(self, result: Decoded | None) -> None:
        self.rig.decode_step(result)

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.1]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.now += seconds
        self.rig.assembler.expire()
        at = self.rig.assembler.next_expiry()
        assert at is None or at > self.rig.clock.now

    # ---- what always holds

    @invariant()
    def the_balance_holds(self) -> None:
        """Received = told + open, for the assembler; on disk: received = concluded + in flight."""
        rig = self.rig
        assert len(rig.scans) == len(rig.published) + rig.assembler.open_scans
        assert all(record.intents == 1 for record in rig.scans.values())
        counted = sum(
            sample.value
            for metric in rig.metrics.scans_received.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )
        assert counted == len(rig.scans)

    @invariant()
    def slots_do_not_leak(self) -> None:
        rig = self.rig
        at_work = {slot for case in rig.engine.values() for slot in case.slots}
        at_work |= {slot for case, _ in rig.painter for slot in case.slots}
        at_work |= {order.slot for order in rig.decoder}
        taken = rig.pool.slots - rig.pool.free
        if rig.assembler.next_expiry() is None:  # no scan is waiting for views or pixels
            assert taken == len(at_work)
        else:
            assert taken >= len(at_work)

    @invariant()
    def clear_is_earned(self) -> None:
        for message in self.rig.published:
            if message.decision is Decision.CLEAR:
                scan, frames = message.report.verdict.id, message.report.frames
                assert len(frames) == len(PROFILES[scan.scanner].views)
                for view, entry in enumerate(frames):
                    assert entry in self.good[scan, view]

    def teardown(self) -> None:
        """Let it come to rest: nothing is left open, held, unanswered or unaccounted for."""
        rig = self.rig
        try:
            rig.settle()
            for _ in range(2):
                rig.clock.now += 10
                rig.assembler.expire()
                rig.settle()
            assert rig.assembler.open_scans == 0
            assert rig.pool.free == rig.pool.slots
            assert set(self.sent) == set(rig.scans) == set(rig.ledger)
            assert all(stored.report is not None for stored in rig.ledger.values())
            assert all(record.conclusions == 1 for record in rig.scans.values())
            assert {peer for peer, _ in rig.replies} == self.peers, "a peer got no word at all"
            assert len(rig.replies) >= sum(self.sent.values()), "a message got no answer"
            self._numbers_are_accounted_for()
            self._resends_get_their_answers()
        finally:
            rig.pool.close()

    def _numbers_are_accounted_for(self) -> None:
        """Up to a lane's highest number, each was received or lies in one gap; late ones both."""
        for lane in PROFILES:
            received = {scan.seq for scan in self.sent if scan.scanner == lane}
            missing = [n for g in self.rig.gaps if g.scanner == lane for n in range(g.first, g.last + 1)]
            assert len(missing) == len(set(missing)), "counted as missing twice"
            assert received | set(missing) == set(range(1, max(received, default=0) + 1))

    def _resends_get_their_answers(self) -> None:
        """Whatever the history, the views of a CLEAR scan sent once more are answered with its report."""
        for message in list(self.rig.published):
            for entry in message.report.frames:
                view = int(entry.split(":")[0])
                for content in (0, 1):
                    head, payload = (
                        dual(message.seq, view, content)
                        if message.scanner == "dual"
                        else grey(message.seq, content)
                    )
                    before = len(self.rig.replies)
                    self.rig.send(head, payload, b"later")
                    self.rig.settle()
                    answers = [m for _, m in self.rig.replies[before:]]
                    if entry == f"{view}:{digest(head, payload)}":
                        assert answers[1:] == [message]
                        assert isinstance(answers[0], AckMessage)
                    else:
                        assert [type(m) for m in answers] == [RefusedMessage]


Interleavings.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase

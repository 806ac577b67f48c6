"""What a scanner's side uses to have cartons looked at. Needs pyzmq and msgspec only.

    with ScannerClient("tcp://127.0.0.1:5555", "lane-1") as client:
        seq = client.send([Picture(pixels, height=832, width=1024)])
        answer = client.wait(seq)          # always an answer: CLEAR, ALARM or UNKNOWN
        divert = answer.decision is not Decision.CLEAR

Off the loopback it needs keys, ``keys=ClientKeys.read(Path("lane-1.key"), "edge-1.pub")``.

The client keeps every view until the daemon says that its scan is on disk, sends it again if it does
not hear that, and outlives restarts of the daemon. Not thread-safe.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from nii_edge import wire
from nii_edge.records import Channel, Decision, DType, Encoding, Reason, Report, ScanType
from nii_edge.scanner_line import OnLine, ScannerLine
from nii_edge.security import ClientKeys
from nii_edge.wire import (
    AckMessage,
    BusyMessage,
    FrameMessage,
    LinesAckMessage,
    RefusedMessage,
    VerdictMessage,
)

KEEP_ANSWERED = 64
"""Scans already answered (by the deadline) but not yet acknowledged that are still sent again."""


ToFrames = AckMessage | BusyMessage | VerdictMessage | RefusedMessage


class Picture(NamedTuple):
    """One view. `payload`: raw little-endian pixels (height, width, channels), or an encoded picture.

    What is None is taken from the scanner's profile; `height` and `width` must be given for raw pixels.
    """

    payload: bytes | bytearray | memoryview
    height: int | None = None
    width: int | None = None
    channels: tuple[Channel, ...] | None = None
    dtype: DType | None = None
    encoding: Encoding = "raw"
    captured_at_ns: int | None = None


class Answer(NamedTuple):
    """The one answer to a scan. `report` is None when the daemon did not give one.

    `latency_s`: from the last byte handed to the transport to the answer.
    """

    seq: int
    decision: Decision
    reason: Reason | None
    detail: str
    report: Report | None
    latency_s: float


@dataclass(slots=True)
class _Pending:
    """A scan that the daemon may not have yet. `views`: the messages, by view. `retry_at`: when to try again
    after the daemon had no room for it."""

    views: dict[int, list[bytes | bytearray | memoryview]]
    unacked: set[int]
    sent_at: float
    last_try: float
    unsent: list[int] = field(default_factory=list)
    answered: bool = False
    retry_at: float | None = None


class ScannerClient(OnLine):
    """A scanner's line to the daemon; see the module."""

    def __init__(
        self,
        endpoint: str,
        scanner: str,
        *,
        epoch: int | None = None,
        scan_type: ScanType = ScanType.OPERATIONAL,
        deadline_s: float = 1.0,
        resend_s: float = 0.4,
        keys: ClientKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """`epoch` numbers this start of the scanner; by default Unix time in milliseconds. `deadline_s`:
        how long after the last byte the answer becomes UNKNOWN(NO_ANSWER). `resend_s`: how long to wait
        for an acknowledgement, or for a verdict, before asking again. `keys`: ours, and the edge's public
        one. `insecure`: go to another machine without.

        Raises:
            ValueError: no name for a scanner; no ZeroMQ address; or another machine, and neither keys nor
                `insecure`.
        """
        super().__init__(ScannerLine(endpoint, scanner, epoch=epoch, keys=keys, insecure=insecure))
        self.scan_type = scan_type
        self._deadline_s = deadline_s
        self._resend_s = resend_s
        self._seq = 0
        self._pending: dict[int, _Pending] = {}
        self._answers: list[Answer] = []

    @property
    def in_flight(self) -> int:
        """Scans without an answer yet."""
        return sum(1 for pending in self._pending.values() if not pending.answered)

    @property
    def busy(self) -> bool:
        """True while the daemon has no room for what was sent: the belt should hold. Only for lanes whose
        `overload` is ``block``."""
        return any(pending.retry_at is not None for pending in self._pending.values())

    def send(self, views: Sequence[Picture], carton: str | None = None, scale_kg: float | None = None) -> int:
        """Hand over all views of one carton; `carton` is its barcode, `scale_kg` its weight by the
        belt's scale. Returns the scan's number.

        Does not block: what cannot leave now leaves in `poll`.

        Raises:
            ValueError: not 1 to 8 views, or no weight that there is.
        """
        if not 1 <= len(views) <= 8:
            raise ValueError(f"{len(views)} views; a scan has 1 to 8")
        if scale_kg is not None and not 0 <= scale_kg <= wire.MAX_SCALE_KG:
            raise ValueError(f"scale_kg {scale_kg}; expected 0 to {wire.MAX_SCALE_KG}, or None")
        return self.send_frames(
            [
                (_header(picture, view, len(views), carton, scale_kg), picture.payload)
                for view, picture in enumerate(views)
            ]
        )

    def send_frames(self, frames: Sequence[tuple[FrameMessage, bytes | bytearray | memoryview]]) -> int:
        """Hand over one carton's views with headers of your own making, as a replay does. Scanner, epoch,
        seq and scan_type are this client's; all else goes out as it is. Returns the scan's number."""
        self._seq += 1
        now = time.monotonic()
        views = {
            header.view: [
                wire.encode(
                    msgspec.structs.replace(
                        header,
                        scanner=self.scanner,
                        epoch=self.epoch,
                        seq=self._seq,
                        scan_type=self.scan_type,
                    )
                ),
                payload,
            ]
            for header, payload in frames
        }
        self._pending[self._seq] = _Pending(views, set(views), now, now, list(views))
        self._push()
        return self._seq

    def poll(self, timeout_s: float = 0.0) -> list[Answer]:
        """Answers that have come, waiting up to `timeout_s` for the first one. Also sends again what was
        not acknowledged, so call it often while scans are in flight."""
        until = time.monotonic() + timeout_s
        while True:
            self._read()
            self._tend()
            left = until - time.monotonic()
            if self._answers or left <= 0:
                answers, self._answers = self._answers, []
                return answers
            self._line.wait(min(left, self._patience()))

    def wait(self, seq: int) -> Answer:
        """The answer to one scan, at the latest at its deadline. Other answers stay for `poll`.

        Raises:
            KeyError: no scan of this number is in flight.
        """
        others: list[Answer] = []
        pending = self._pending.get(seq)
        in_flight = pending is not None and not pending.answered
        if not in_flight and not any(answer.seq == seq for answer in self._answers):
            raise KeyError(f"scan {seq} is not in flight")
        while True:
            others += self.poll(self._deadline_s)
            for place, answer in enumerate(others):
                if answer.seq == seq:
                    self._answers = others[:place] + others[place + 1 :] + self._answers
                    return answer

    # ---- parts

    def _push(self) -> None:
        """Send what is still to be sent, oldest first, as far as the line takes it: a later scan that
        overtook an earlier one would look like a hole in the numbers."""
        for pending in self._pending.values():
            if pending.retry_at is not None:
                return
            while pending.unsent:
                if not self._line.send(pending.views[pending.unsent[0]]):
                    return
                pending.unsent.pop(0)
                pending.last_try = time.monotonic()

    def _tend(self) -> None:
        """Deadlines, and a second try for what was not acknowledged."""
        now, trouble = time.monotonic(), self._line.trouble()
        for seq, pending in list(self._pending.items()):
            if pending.retry_at is not None:
                if now < pending.retry_at:
                    continue
                pending.retry_at = None
                pending.sent_at = pending.last_try = now  # its last byte goes out now
                pending.unsent = sorted(pending.unacked)
            if not pending.answered and now - pending.sent_at >= self._deadline_s:
                detail = f"no verdict within {self._deadline_s:g} s of the last byte{trouble}"
                self._answer(seq, Decision.UNKNOWN, Reason.NO_ANSWER, detail, None)
                if seq not in self._pending:
                    continue
            if not pending.unsent and now - pending.last_try >= self._resend_s:
                pending.unsent = sorted(pending.unacked) or list(pending.views)[:1]
                pending.last_try = now
        self._push()
        kept = [seq for seq, pending in self._pending.items() if pending.answered]
        for seq in kept[: max(0, len(kept) - KEEP_ANSWERED)]:
            del self._pending[seq]

    def _patience(self) -> float:
        """Seconds until `_tend` has something to do."""
        now, waits = time.monotonic(), [1.0]
        for pending in self._pending.values():
            if pending.retry_at is not None:
                waits.append(pending.retry_at - now)
                continue
            waits.append(0.02 if pending.unsent else pending.last_try + self._resend_s - now)
            if not pending.answered:
                waits.append(pending.sent_at + self._deadline_s - now)
        return max(0.001, min(waits))

    def _read(self) -> None:
        for message in self._line.heard():
            if not isinstance(message, LinesAckMessage) and message.seq is not None:
                self._heard(message.seq, message)

    def _heard(self, seq: int, message: ToFrames) -> None:
        pending = self._pending.get(seq)
        if pending is None:
            return
        match message:
            case AckMessage():
                pending.unacked.discard(message.view)
                if pending.answered and not pending.unacked:
                    del self._pending[seq]
            case BusyMessage(retry_ms=retry_ms):
                if not pending.answered:
                    pending.retry_at = time.monotonic() + retry_ms / 1000
            case VerdictMessage():
                verdict = message.report.verdict
                pending.unacked.clear()
                self._answer(seq, message.decision, verdict.reason, verdict.detail, message.report)
            case RefusedMessage():
                pending.unacked.clear()
                self._answer(seq, Decision.UNKNOWN, message.reason, message.detail, None)

    def _answer(
        self, seq: int, decision: Decision, reason: Reason | None, detail: str, report: Report | None
    ) -> None:
        """The first answer stands, whatever comes later."""
        pending = self._pending[seq]
        if not pending.answered:
            latency = time.monotonic() - pending.sent_at
            self._answers.append(Answer(seq, decision, reason, detail, report, latency))
            pending.answered = True
        if not pending.unacked:
            del self._pending[seq]


def _header(
    picture: Picture, view: int, views: int, carton: str | None, scale_kg: float | None
) -> FrameMessage:
    return FrameMessage(
        scanner="any",
        epoch=0,
        seq=1,
        view=view,
        views=views,
        channels=picture.channels,
        dtype=picture.dtype,
        height=picture.height,
        width=picture.width,
        encoding=picture.encoding,
        crc32=zlib.crc32(picture.payload),
        captured_at_ns=picture.captured_at_ns,
        carton=carton,
        scale_kg=scale_kg,
    )

"""What a line scanner's side uses: lines in as the belt moves, verdicts out. Needs pyzmq and msgspec only.

    with LineClient("tcp://127.0.0.1:5555", "lane-1") as client:
        while scanning:
            client.send(LineChunk(pixels, lines=32, width=1152, encoder=count))
            for answer in client.poll():
                divert(answer.belt, answer.decision is not Decision.CLEAR)

Only CLEAR may let a carton pass; what nothing is said about is diverted. The client keeps every chunk until
the daemon is done with it, sends it again after a lost connection or a restart of the daemon, and tells each
verdict once. Lines taken while the belt stands are not sent. Not thread-safe.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from nii_edge import wire
from nii_edge.records import Channel, Decision, DType, Reason, Report, ScanType
from nii_edge.scanner_line import OnLine, ScannerLine
from nii_edge.security import ClientKeys
from nii_edge.wire import (
    Belt,
    BusyMessage,
    LinesAckMessage,
    LinesMessage,
    RefusedMessage,
    ToScanner,
    VerdictMessage,
)

REMEMBERED = 4_096
"""Numbers whose verdict is not told a second time."""


MAX_KEPT_BYTES = 256 << 20
"""Of chunks that are not done; beyond it the oldest are given up, and a person looks at what was on them."""


class LineChunk(NamedTuple):
    """Some lines of one view: raw little-endian pixels (lines, width, channels). `encoder` and `step`, or a
    tuple of counts, and `barrier`, as in `wire.LinesMessage`. `skipped`: lines lost before these."""

    pixels: bytes | bytearray | memoryview
    lines: int
    width: int
    encoder: int | tuple[int, ...]
    step: int = 1
    view: int = 0
    barrier: bytes | None = None
    channels: tuple[Channel, ...] | None = None
    dtype: DType | None = None
    skipped: int = 0

    @property
    def highest(self) -> int:
        """The highest encoder count in it."""
        if isinstance(self.encoder, tuple):
            return max(self.encoder)
        return self.encoder + self.step * (self.lines - 1)


class LineAnswer(NamedTuple):
    """The answer to one carton. `belt`: where it lies; None if a chunk was refused. `seq` is 0 and `report`
    None when the daemon gave no verdict."""

    seq: int
    decision: Decision
    reason: Reason | None
    detail: str
    report: Report | None
    belt: Belt | None


class _Kept(NamedTuple):
    header: LinesMessage
    pixels: bytes | bytearray | memoryview


@dataclass(slots=True)
class _View:
    """`kept`: chunks that are not done, oldest first. `cursor`: the next to be sent. `wanted`: the next the
    daemon wants, as last heard. `held`: the chunk that found no room, 0 if none; it may be
    tried again at `not_before`."""

    kept: deque[_Kept] = field(default_factory=deque)
    chunk: int = 0
    line: int = 0
    highest: int = -1
    acked: int = 0
    cursor: int = 1
    wanted: int = 1
    last_try: float = 0.0
    held: int = 0
    not_before: float = 0.0

    @property
    def oldest(self) -> int:
        return self.kept[0].header.chunk if self.kept else self.chunk + 1


class LineClient(OnLine):
    """A line scanner's line to the daemon; see the module."""

    def __init__(
        self,
        endpoint: str,
        scanner: str,
        *,
        epoch: int | None = None,
        scan_type: ScanType = ScanType.OPERATIONAL,
        deadline_s: float = 1.0,
        resend_s: float = 1.0,
        keys: ClientKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """As `ScannerClient`; `deadline_s` counts from `passed`.

        Raises:
            ValueError: no name for a scanner; no ZeroMQ address; or another machine, and neither keys nor
                `insecure`.
        """
        super().__init__(ScannerLine(endpoint, scanner, epoch=epoch, keys=keys, insecure=insecure))
        self.scan_type = scan_type
        self._deadline_s = deadline_s
        self._resend_s = resend_s
        self._kept_bytes = 0
        self._views: dict[int, _View] = {}
        self._answers: list[LineAnswer] = []
        self._answered: dict[int, None] = {}
        self._expected: list[tuple[int, float]] = []

    @property
    def busy(self) -> bool:
        """True while the daemon says that it has no room for a carton that begins: hold the belt. Only lanes
        whose `overload` is `block` say so; one that is not heard any more holds no belt."""
        now = time.monotonic()
        return any(view.held and now < view.not_before + self._resend_s for view in self._views.values())

    @property
    def kept(self) -> int:
        """Chunks that the daemon is not done with."""
        return sum(len(view.kept) for view in self._views.values())

    def send(self, chunk: LineChunk) -> None:
        """Hand over lines. Does not block: what cannot leave now leaves in `poll`."""
        view = self._views.setdefault(chunk.view, _View())
        view.line += chunk.skipped
        first_line = view.line
        view.line += chunk.lines
        if chunk.highest <= view.highest:
            return  # the belt stood
        view.highest = chunk.highest
        view.chunk += 1
        header = LinesMessage(
            scanner=self.scanner,
            epoch=self.epoch,
            chunk=view.chunk,
            view=chunk.view,
            first_line=first_line,
            lines=chunk.lines,
            encoder=chunk.encoder,
            step=chunk.step,
            width=chunk.width,
            channels=chunk.channels,
            dtype=chunk.dtype,
            barrier=chunk.barrier,
            crc32=zlib.crc32(chunk.pixels),
            scan_type=self.scan_type,
        )
        view.kept.append(_Kept(header, chunk.pixels))
        self._kept_bytes += len(chunk.pixels)
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._give_up_oldest()
        self._push()

    def passed(self, encoder: int) -> None:
        """A carton has just passed the last view, as the scanner knows by itself; somewhere inside it the
        encoder had this count there. If no verdict on a carton at this place comes by the deadline, it is
        answered as UNKNOWN(NO_ANSWER)."""
        self._expected.append((encoder, time.monotonic() + self._deadline_s))

    def poll(self, timeout_s: float = 0.0) -> list[LineAnswer]:
        """Answers that have come, waiting up to `timeout_s` for the first one. Call it often: it also sends
        what could not leave, and again what was lost."""
        until = time.monotonic() + timeout_s
        while True:
            self._read()
            self._tend()
            left = until - time.monotonic()
            if self._answers or left <= 0:
                answers, self._answers = self._answers, []
                return answers
            self._line.wait(min(left, self._patience()))

    # ---- parts

    def _give_up_oldest(self) -> None:
        view = max(self._views.values(), key=lambda view: len(view.kept))
        self._kept_bytes -= len(view.kept.popleft().pixels)
        view.cursor = max(view.cursor, view.oldest)

    def _push(self) -> None:
        """Send what is still to be sent, as far as the line takes it."""
        now = time.monotonic()
        for view in self._views.values():
            while now >= view.not_before and view.kept and view.cursor <= view.chunk:
                if not self._try(view, view.cursor):
                    return
                view.cursor += 1

    def _try(self, view: _View, chunk: int) -> bool:
        header, pixels = view.kept[chunk - view.oldest]
        header = msgspec.structs.replace(header, acked=view.acked, oldest=view.oldest)
        if not self._line.send([wire.encode(header), pixels]):
            return False
        view.last_try = time.monotonic()
        return True

    def _tend(self) -> None:
        """Deadlines, and a second try for what nothing was heard of."""
        now = time.monotonic()
        for encoder, until in [e for e in self._expected if now >= e[1]]:
            self._expected.remove((encoder, until))
            detail = f"no verdict within {self._deadline_s:g} s of its passing{self._line.trouble()}"
            answer = LineAnswer(0, Decision.UNKNOWN, Reason.NO_ANSWER, detail, None, Belt(last=encoder))
            self._answers.append(answer)
        for view in self._views.values():
            if not view.kept or now - view.last_try < self._resend_s or now < view.not_before:
                continue
            if view.oldest <= view.wanted < view.cursor:
                view.cursor = view.wanted
            elif view.cursor > view.oldest:
                self._try(view, view.oldest)  # the reply says what is wanted
            view.last_try = now
        self._push()

    def _patience(self) -> float:
        """Seconds until `_tend` has something to do."""
        now, waits = time.monotonic(), [1.0]
        waits += [until - now for _, until in self._expected]
        for view in self._views.values():
            if view.kept:
                unsent = view.cursor <= view.chunk
                waits.append(0.02 if unsent else view.last_try + self._resend_s - now)
        return max(0.001, min(waits))

    def _read(self) -> None:
        for message in self._line.heard():
            self._heard(message)

    def _heard(self, message: ToScanner) -> None:
        match message:
            case LinesAckMessage():
                self._acked(message)
            case VerdictMessage():
                self._verdict(message)
            case BusyMessage(chunk=chunk, view=number, retry_ms=retry_ms) if chunk is not None:
                view = self._views.get(number)
                if view is not None and view.oldest <= chunk <= view.cursor:
                    view.cursor = view.held = chunk
                    view.not_before = time.monotonic() + retry_ms / 1000
            case RefusedMessage(chunk=chunk, view=number) if chunk is not None:
                self._refused(message, self._views.get(number or 0), chunk)
            case _:
                return

    def _acked(self, message: LinesAckMessage) -> None:
        view = self._views.get(message.view)
        if view is None:
            return
        view.acked = max(view.acked, min(message.chunk, view.chunk))
        while view.kept and view.oldest <= view.acked:
            self._kept_bytes -= len(view.kept.popleft().pixels)
        view.cursor = max(view.cursor, view.oldest)
        view.wanted = message.next
        if message.next > view.held:
            view.held = 0
        elif message.again and time.monotonic() < view.not_before:
            return  # said of what came behind the chunk that found no room
        if message.again and view.oldest <= message.next < view.cursor:
            view.cursor = message.next
            self._push()

    def _verdict(self, message: VerdictMessage) -> None:
        """The first verdict on a number is told, its repetitions are not."""
        verdict, belt = message.report.verdict, message.belt
        if message.seq in self._answered:
            return
        self._answered[message.seq] = None
        if len(self._answered) > REMEMBERED:
            del self._answered[next(iter(self._answered))]
        if belt is not None:
            self._expected = [e for e in self._expected if not (belt.first or 0) <= e[0] <= belt.last]
        answer = LineAnswer(
            message.seq, message.decision, verdict.reason, verdict.detail, message.report, belt
        )
        self._answers.append(answer)

    def _refused(self, message: RefusedMessage, view: _View | None, chunk: int) -> None:
        """The daemon will not have this chunk: what was on it is for a person to look at."""
        if view is None or not view.oldest <= chunk <= view.chunk:
            return
        while view.kept and view.oldest <= chunk:
            self._kept_bytes -= len(view.kept.popleft().pixels)
        view.cursor = max(view.cursor, view.oldest)
        detail = f"chunk {chunk} of view {message.view}: {message.detail}"
        self._answers.append(LineAnswer(0, Decision.UNKNOWN, message.reason, detail, None, None))

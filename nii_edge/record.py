"""What passes through a daemon, to a recording: its tap and its verdicts, as they come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import msgspec
import zmq

from nii_edge import wire
from nii_edge.errors import WireError
from nii_edge.security import ClientKeys, HandshakeWatch, check_line_is_safe
from nii_edge.wire import FrameMessage, VerdictMessage

QUEUE = 256
"""Messages held for us by ZeroMQ when the disk is slow; what goes beyond is missed, and said so."""


class Recorder(Protocol):
    """Where a recording goes (`adapters.mcap_recording.RecordingWriter`)."""

    def write_frame(self, header: FrameMessage, payload: wire.Buffer, log_time_ns: int) -> None:
        """One view."""

    def write_verdict(self, verdict: VerdictMessage, log_time_ns: int) -> None:
        """One verdict."""

    def write_note(self, text: str, log_time_ns: int) -> None:
        """A remark on the recording itself."""


class TapNote(msgspec.Struct, frozen=True):
    """Travels before each tapped frame; `n` counts them, so that a miss can be seen."""

    n: int


class RecordSummary(msgspec.Struct, kw_only=True):
    """What a recording holds. `from_lines`: frames of it that the edge cut out of lines. `missed`: frames
    that passed the daemon but did not reach us."""

    frames: int = 0
    from_lines: int = 0
    verdicts: int = 0
    missed: int = 0
    not_frames: int = 0
    seconds: float = 0.0


class Tap:
    """Listens to a daemon. `progress` is called with the summary so far, several times a second."""

    def __init__(
        self,
        tap: str,
        verdicts: str | None,
        progress: Callable[[RecordSummary], None],
        keys: ClientKeys | None = None,
        insecure: bool = False,
    ) -> None:
        """Raises ValueError: another machine, and neither keys nor `insecure`."""
        for endpoint in filter(None, (tap, verdicts)):
            check_line_is_safe(endpoint, keys, insecure)
        self._keys = keys
        self._watches: list[HandshakeWatch] = []
        self._context = zmq.Context()
        self._progress = progress
        self._poller = zmq.Poller()
        self._tap = self._subscribe(tap)
        self._verdicts = self._subscribe(verdicts) if verdicts is not None else None
        self._last: int | None = None
        self.summary = RecordSummary()
        self.stopped = False

    def record(self, writer: Recorder, seconds: float | None) -> RecordSummary:
        """Write until `stopped` is set, or for `seconds`."""
        began = time.monotonic()
        while not self.stopped and (seconds is None or time.monotonic() - began < seconds):
            ready = dict(self._poller.poll(200))
            if self._tap in ready:
                self._take_frames(writer)
            if self._verdicts is not None and self._verdicts in ready:
                self._take_verdicts(writer)
            self.summary.seconds = round(time.monotonic() - began, 1)
            self.trouble()
            self._progress(self.summary)
        return self.summary

    def trouble(self) -> str | None:
        """Why nothing gets through, in words; None as far as is known."""
        return next(filter(None, (watch.trouble() for watch in self._watches)), None)

    def close(self) -> None:
        """Hang up."""
        for watch in self._watches:
            watch.close()
        self._context.destroy(linger=0)

    def _subscribe(self, endpoint: str) -> zmq.Socket[bytes]:
        made = self._context.socket(zmq.SUB)
        made.setsockopt(zmq.RCVHWM, QUEUE)
        made.setsockopt(zmq.TCP_KEEPALIVE, 1)
        made.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 5)
        made.subscribe(b"")
        if self._keys is not None:
            self._keys.apply(made)
            self._watches.append(HandshakeWatch(made))
        made.connect(endpoint)
        self._poller.register(made, zmq.POLLIN)
        return made

    def _take_frames(self, writer: Recorder) -> None:
        for _ in range(QUEUE):
            try:
                _, note, *parts = self._tap.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            now = time.time_ns()
            self._count(writer, msgspec.msgpack.decode(note.buffer, type=TapNote).n, now)
            try:
                header, payload = wire.decode_frame([part.buffer for part in parts])
            except WireError as error:
                self.summary.not_frames += 1
                writer.write_note(f"a message that is no frame passed: {error}", now)
                continue
            writer.write_frame(header, payload, now)
            self.summary.frames += 1
            self.summary.from_lines += header.belt is not None

    def _count(self, writer: Recorder, number: int, now: int) -> None:
        if self._last is not None and number > self._last + 1:
            missed = number - self._last - 1
            self.summary.missed += missed
            writer.write_note(f"{missed} messages missed: the recorder was too slow", now)
        elif self._last is not None and number <= self._last:
            writer.write_note("the daemon was restarted: messages may be missing here", now)
        self._last = number

    def _take_verdicts(self, writer: Recorder) -> None:
        if self._verdicts is None:
            return
        for _ in range(QUEUE):
            try:
                topic, head = self._verdicts.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if topic.startswith(wire.RECALL_TOPIC.encode()):
                continue  # the archive keeps it
            message = wire.decode_to_scanner([head]).message
            if isinstance(message, VerdictMessage):
                writer.write_verdict(message, time.time_ns())
                self.summary.verdicts += 1

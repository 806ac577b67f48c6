"""What sends frames and takes the time: closed loops (so many in flight) and open loops (whatever happens).

Leaner than `nii_edge.client`: it keeps nothing for a second try, and the CRC-32 of a frame is computed
beforehand, as a scanner computes it while the carton passes. Echo and daemon are sent the very same bytes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

import zmq

from nii_edge import wire
from nii_edge.bench.frames import HEIGHT, WIDTH, Shot
from nii_edge.errors import NiiEdgeError
from nii_edge.records import Decision, Finding, Reason
from nii_edge.wire import FrameMessage, RefusedMessage, VerdictMessage

STUCK_S = 15.0
"""A column that has not answered for so long has failed the benchmark."""
LEAD_IN_S = 0.15
"""Of every slice, the beginning that is not measured: queues fill, caches warm."""


class Answer(NamedTuple):
    """One verdict. `at` is monotonic seconds; `latency_s` from handing the last byte to the transport."""

    seq: int
    at: float
    latency_s: float
    decision: Decision
    reason: Reason | None
    findings: tuple[Finding, ...]


class Slice(NamedTuple):
    """A measured stretch: answers in it, its length and the CPU time it cost, in seconds."""

    answers: list[Answer]
    seconds: float
    cpu_s: float

    @property
    def fps(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds


class Lane:
    """One scanner's connection. `views` views a carton, frames taken in turn from `shots`."""

    def __init__(self, endpoint: str, scanner: str, shots: Sequence[Shot], views: int = 1) -> None:
        self._shots = itertools.cycle(shots)
        self._scanner, self._views = scanner, views
        self._epoch = time.time_ns() // 1_000_000
        self._seq = 0
        self._sent_at: dict[int, float] = {}
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.SNDHWM, 1_000)
        self.socket.setsockopt(zmq.RCVHWM, 10_000)
        self.socket.connect(endpoint)

    @property
    def in_flight(self) -> int:
        """Cartons sent and not answered."""
        return len(self._sent_at)

    def send(self) -> int:
        """One carton, all its views. Returns its number."""
        self._seq += 1
        for view in range(self._views):
            shot = next(self._shots)
            self.socket.send_multipart([self._header(view, shot), shot.payload], copy=False)
        self._sent_at[self._seq] = time.monotonic()
        return self._seq

    def answers(self) -> list[Answer]:
        """What has come. Raises NiiEdgeError for what is no answer to us."""
        found: list[Answer] = []
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return found
            at = time.monotonic()
            message = wire.decode_to_scanner(parts).message
            if isinstance(message, RefusedMessage):
                raise NiiEdgeError(f"a frame was refused: {message.reason.value}: {message.detail}")
            if isinstance(message, VerdictMessage) and message.seq in self._sent_at:
                verdict = message.report.verdict
                latency = at - self._sent_at.pop(message.seq)
                found.append(
                    Answer(message.seq, at, latency, message.decision, verdict.reason, verdict.findings)
                )

    def wait(self, timeout_s: float) -> list[Answer]:
        """What has come, waiting for the first. Raises NiiEdgeError when nothing comes at all."""
        if not self.socket.poll(round(timeout_s * 1000)):
            raise NiiEdgeError(f"no answer for {timeout_s:g} s with {self.in_flight} scans in flight")
        return self.answers()

    def close(self) -> None:
        """Hang up."""
        self.socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _header(self, view: int, shot: Shot) -> bytes:
        return wire.encode(
            FrameMessage(
                scanner=self._scanner,
                epoch=self._epoch,
                seq=self._seq,
                view=view,
                height=HEIGHT,
                width=WIDTH,
                crc32=shot.crc32,
            )
        )


def closed_loop(lane: Lane, in_flight: int, seconds: float, cpu: Callable[[], float]) -> Slice:
    """Keep `in_flight` cartons under way; measure for `seconds` after a lead-in; then let all come home.

    `cpu` says how many seconds of CPU time were spent so far by whoever is measured.
    """
    begin = time.monotonic() + LEAD_IN_S
    _keep_busy(lane, in_flight, begin)
    spent = cpu()
    answers = _keep_busy(lane, in_flight, begin + seconds)
    spent = cpu() - spent
    while lane.in_flight:
        lane.wait(STUCK_S)
    return Slice([answer for answer in answers if begin <= answer.at < begin + seconds], seconds, spent)


def _keep_busy(lane: Lane, in_flight: int, until: float) -> list[Answer]:
    answers: list[Answer] = []
    while time.monotonic() < until:
        while lane.in_flight < in_flight:
            lane.send()
        answers += lane.wait(STUCK_S)
    return answers


class Arrivals(NamedTuple):
    """An open loop's answers by lane, how many cartons were sent, and how late each was sent, in seconds:
    the load generator's own lag, which must stay small for the latencies to mean anything."""

    answers: list[Answer]
    sent: int
    lateness_s: list[float]


def open_loop(lanes: Sequence[Lane], times: Iterator[tuple[float, int]]) -> Arrivals:
    """Send a carton on lane ``n`` at each ``(seconds, n)``, answers or no answers, then wait for the rest."""
    poller = zmq.Poller()
    for lane in lanes:
        poller.register(lane.socket, zmq.POLLIN)
    began, answers, lateness = time.monotonic(), list[Answer](), list[float]()
    for due, number in times:
        while (left := began + due - time.monotonic()) > 0:
            if poller.poll(max(1, int(left * 1000))):
                answers += [answer for lane in lanes for answer in lane.answers()]
        lateness.append(-left)
        lanes[number].send()
    until = time.monotonic() + STUCK_S
    while any(lane.in_flight for lane in lanes) and time.monotonic() < until:
        poller.poll(100)
        answers += [answer for lane in lanes for answer in lane.answers()]
    return Arrivals(answers, len(lateness), lateness)

"""Senders that keep their own record, each a thread.

A lane sends scan after scan, sends again what was not acknowledged, and asks again for what was not
answered, until it has a verdict: over any number of restarts of the daemon.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import zmq

from chaoslib import cartons
from chaoslib.books import Books, Id, Row, Sent
from chaoslib.cartons import Carton
from nii_edge import wire
from nii_edge.errors import WireError
from nii_edge.records import Report
from nii_edge.wire import AckMessage, RefusedMessage, VerdictMessage

RESEND_S = 0.25
ASK_AGAIN_S = 1.2
POLL_MS = 15
REMEMBERED = 64
"""Answered scans that may be sent once more, equal or with their number reused."""


@dataclass(slots=True)
class Traffic:
    """What a lane sends: scans a second, scans in flight, shares of hostile ones, of skipped numbers, of
    frames sent twice, of numbers reused, of tests."""

    rate: float = 30.0
    window: int = 4
    hostile: float = 0.15
    skip: float = 0.01
    twice: float = 0.05
    reuse: float = 0.05
    tests: float = 0.05


@dataclass(slots=True)
class _Open:
    scan: Sent
    frames: dict[int, list[bytes]]
    unsent: list[int]
    last_try: float = 0.0
    tries: int = 0
    told: bool = field(default=False)


class Lane(threading.Thread):
    """One scanner."""

    def __init__(
        self,
        endpoint: str,
        scanner: str,
        books: Books,
        make: Callable[[random.Random, float], Carton],
        seed: int,
        traffic: Traffic,
    ) -> None:
        super().__init__(name=scanner)
        self.scanner = scanner
        self.traffic = traffic
        self._endpoint = endpoint
        self._books = books
        self._make = make
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._epoch = 1_000 + seed % 1_000
        self._seq = 0
        self._open: dict[int, _Open] = {}
        self._answered: list[tuple[Sent, dict[int, list[bytes]]]] = []
        self._next_at = 0.0
        self._sending = threading.Event()
        self._restart = threading.Event()
        self._end = threading.Event()
        self._burst = 0

    # ---- from the outside

    def go(self) -> None:
        """Send new scans."""
        self._sending.set()

    def rest(self) -> None:
        """Send no new scans; those open are still asked for."""
        self._sending.clear()

    def burst(self, scans: int) -> None:
        """Send so many hostile scans as fast as the window lets them."""
        self._burst += scans

    @property
    def bursting(self) -> int:
        """Scans of a burst still to be sent."""
        return self._burst

    @property
    def open_scans(self) -> int:
        """Scans without a verdict, as far as the sender knows."""
        return len(self._open)

    def restart_scanner(self) -> None:
        """Forget everything that is open and go on in the next epoch, as a scanner that was switched off."""
        self._restart.set()

    def end(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()

    # ---- the thread

    def run(self) -> None:
        """The thread's body."""
        context = zmq.Context()
        try:
            socket = self._connect(context)
            while not self._end.is_set():
                if self._restart.is_set():
                    self._restart.clear()
                    socket.close(linger=0)
                    socket = self._connect(context)
                    self._new_epoch()
                self._read(socket)
                self._send_new()
                self._tend(socket)
                socket.poll(POLL_MS if not self._burst else 1)
        finally:
            context.destroy(linger=0)

    def _connect(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.DEALER)
        for option, value in ((zmq.IMMEDIATE, 1), (zmq.SNDHWM, 64), (zmq.LINGER, 0), (zmq.RECONNECT_IVL, 50)):
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        socket.connect(self._endpoint)
        return socket

    def _new_epoch(self) -> None:
        for waiting in self._open.values():
            waiting.scan.abandoned = True
        self._open.clear()
        self._answered.clear()
        self._epoch += 1_000
        self._seq = 0

    def _send_new(self) -> None:
        now = time.monotonic()
        traffic = self.traffic
        while len(self._open) < (32 if self._burst else traffic.window):
            hostile = traffic.hostile
            if self._burst:
                self._burst -= 1
                hostile = 1.0
            elif not self._sending.is_set() or now < self._next_at:
                return
            self._next_at = now + self._random.expovariate(traffic.rate)
            self._seq += 1
            if self._random.random() < traffic.skip:
                self._books.skip(Id(self.scanner, self._epoch, self._seq))
                self._seq += 1
            self._begin(self._make(self._random, hostile), now)

    def _begin(self, carton: Carton, now: float) -> None:
        test = self._random.random() < self.traffic.tests
        scan_type = "NON_OPERATIONAL" if test else "OPERATIONAL"
        base = {"scanner": self.scanner, "epoch": self._epoch, "seq": self._seq, "scan_type": scan_type}
        frames = {
            int(head["view"]): cartons.message({**base, **head}, payload) for head, payload in carton.views
        }
        identity = Id(self.scanner, self._epoch, self._seq)
        scan = Sent(identity, carton.kind, carton.allowed, scan_type, frozenset(frames), now)
        self._books.enter(scan)
        order = list(frames)
        self._random.shuffle(order)
        if self._random.random() < self.traffic.twice:
            order += order
        self._open[self._seq] = _Open(scan, frames, order)

    def _tend(self, socket: zmq.Socket[bytes]) -> None:
        """Send what is to be sent; send again what was not acknowledged; ask for what was not answered."""
        now = time.monotonic()
        for waiting in self._open.values():
            if not waiting.unsent and waiting.last_try:
                unacked = sorted(waiting.scan.views - waiting.scan.acked)
                if now - waiting.last_try >= (RESEND_S if unacked else ASK_AGAIN_S):
                    waiting.tries += 1
                    everything = sorted(waiting.scan.views)  # the one never acknowledged may name no scan
                    waiting.unsent = everything if waiting.tries % 8 == 0 else unacked or everything[:1]
                    self._books.resent += len(waiting.unsent)
            while waiting.unsent:
                if not _try_send(socket, waiting.frames[waiting.unsent[0]]):
                    return
                waiting.unsent.pop(0)
                waiting.last_try = now
        if self._answered and self._random.random() < self.traffic.reuse:
            self._again(socket)

    def _again(self, socket: zmq.Socket[bytes]) -> None:
        """Send an answered scan once more: as it was, or another carton under its number."""
        _, frames = self._random.choice(self._answered)
        view = self._random.choice(sorted(frames))
        head, payload = frames[view]
        if self._random.random() < 0.5 and len(payload) > 100:
            payload = payload[:50] + bytes(50) + payload[100:]
            tree = msgspec.msgpack.decode(head)
            tree.pop("crc32", None)
            head = msgspec.msgpack.encode(tree)
            self._books.reused += 1
        _try_send(socket, [head, payload])

    def _read(self, socket: zmq.Socket[bytes]) -> None:
        while True:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode_to_scanner(parts).message
                if isinstance(message, AckMessage | VerdictMessage | RefusedMessage):
                    self._heard(message)
            except WireError as error:
                self._books.refused[f"the daemon's nonsense: {error}"[:100]] += 1

    def _heard(self, message: AckMessage | VerdictMessage | RefusedMessage) -> None:
        if isinstance(message, RefusedMessage):
            self._books.refused[message.reason.value] += 1
        if message.scanner is None or message.epoch is None or message.seq is None:
            return
        identity = Id(message.scanner, message.epoch, message.seq)
        scan = self._books.sent.get(identity)
        if scan is None:
            return
        if isinstance(message, AckMessage):
            scan.acked.add(message.view)
        elif isinstance(message, RefusedMessage):
            scan.refused[message.reason.value] += 1
        else:
            self._books.tell(scan, row_of(message.report))
            waiting = self._open.pop(message.seq, None) if message.epoch == self._epoch else None
            if waiting is not None:
                self._answered.append((scan, waiting.frames))
                del self._answered[:-REMEMBERED]


def _try_send(socket: zmq.Socket[bytes], parts: list[bytes]) -> bool:
    try:
        socket.send_multipart(parts, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def row_of(report: Report) -> Row:
    """A report as the books keep it."""
    verdict = report.verdict
    body = hashlib.sha256(msgspec.msgpack.encode(report)).hexdigest()
    reason = None if verdict.reason is None else verdict.reason.value
    return Row(verdict.decision.value, reason, verdict.scan_type.value, body)

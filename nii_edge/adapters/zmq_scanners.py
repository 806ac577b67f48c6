"""ports.ScannerSide over ZeroMQ: ROUTER for scanners, XPUB for verdicts on site, XPUB as a tap.

The tap hands on every frame as it came, for recording. It costs nothing while nobody listens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import zmq

from nii_edge.adapters import zmq_transport
from nii_edge.adapters.zmq_transport import Context, Limits, Socket
from nii_edge.config import Listen
from nii_edge.ports import ScannerMessage

HEADROOM = 1 << 20
"""Parts this much above the largest frame still arrive, so that they can be refused in words."""
TAP_TOPIC = b"frame"
SUBSCRIPTIONS_A_TURN = 32
MAX_TOPICS = 1_000
MAX_SUBSCRIPTION_BYTES = 256


class Endpoints(NamedTuple):
    """Where the daemon listens."""

    scanners: str
    verdicts: str
    tap: str | None


class ZmqScanners:
    """See the module."""

    def __init__(self, context: Context, listen: Listen, max_frame_bytes: int) -> None:
        """Bind all sockets. Raises ConfigError naming the endpoint that cannot be bound."""
        self._router = zmq_transport.bind(
            context,
            zmq.ROUTER,
            listen.scanners,
            Limits(max_part_bytes=max_frame_bytes + HEADROOM, queue=64),
        )
        self._verdicts: Socket | None = None
        self._tap: Socket | None = None
        small = Limits(max_part_bytes=MAX_SUBSCRIPTION_BYTES, queue=10_000)
        try:
            self._verdicts = zmq_transport.bind(context, zmq.XPUB, listen.verdicts, small)
            if listen.tap is not None:
                tap_limits = Limits(max_part_bytes=MAX_SUBSCRIPTION_BYTES, queue=64)
                self._tap = zmq_transport.bind(context, zmq.XPUB, listen.tap, tap_limits)
        except BaseException:
            self.close()
            raise
        self._tapped: set[bytes] = set()
        self._topics: set[bytes] = set()
        self._tap_number = 0

    @property
    def endpoints(self) -> Endpoints:
        """The addresses really bound, chosen ports included."""
        where = zmq_transport.bound_endpoint
        verdicts = where(self._verdicts) if self._verdicts is not None else ""
        return Endpoints(where(self._router), verdicts, where(self._tap) if self._tap is not None else None)

    def wait(self, wake_fd: int, timeout_s: float | None) -> None:
        """Until a scanner's message is there, `wake_fd` is readable, or the time is over."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(wake_fd, zmq.POLLIN)
        poller.poll(None if timeout_s is None else max(0, round(timeout_s * 1000 + 0.5)))

    def receive(self) -> ScannerMessage | None:
        """The next message, without copying its pixels."""
        try:
            frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self._pass_on(frames[1:])
        return ScannerMessage(frames[0].bytes, [frame.buffer for frame in frames[1:]])

    def reply(self, peer: bytes, message: bytes) -> bool:
        """Send to one peer; False if it is gone or takes nothing."""
        return zmq_transport.send(self._router, peer, [message])

    def publish(self, topic: str, message: bytes) -> None:
        """Send to the subscribers on site."""
        if self._verdicts is not None:
            _note_subscriptions(self._verdicts, self._topics)
            self._verdicts.send_multipart([topic.encode(), message], zmq.NOBLOCK)

    def close(self) -> None:
        """Send what waits, for at most the linger time, and close."""
        for made in (self._router, self._verdicts, self._tap):
            if made is not None:
                made.close()

    def _pass_on(self, frames: list[zmq.Frame]) -> None:
        if self._tap is None:
            return
        _note_subscriptions(self._tap, self._tapped)
        if self._tapped:
            self._tap_number += 1
            note = msgspec.msgpack.encode({"n": self._tap_number})
            self._tap.send_multipart([TAP_TOPIC, note, *frames], zmq.NOBLOCK, copy=False)


def _note_subscriptions(publisher: Socket, topics: set[bytes]) -> None:
    """Keep `topics` what is subscribed, by what subscribers said: a few messages at a time, whatever they
    send, so that a flood of them does not hold up the frames."""
    for _ in range(SUBSCRIPTIONS_A_TURN):
        try:
            said = publisher.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
        if said[:1] == b"\x01" and len(topics) < MAX_TOPICS:
            topics.add(said[1:])
        elif said[:1] == b"\x00":
            topics.discard(said[1:])


def endpoints_by_name(endpoints: Endpoints) -> Mapping[str, str]:
    """For the endpoints file: name to address, those that exist."""
    return {name: value for name, value in endpoints._asdict().items() if value is not None}

"""ports.ScannerSide over ZeroMQ: ROUTER for scanners, XPUB for verdicts on site, XPUB as a tap.

The tap hands on every frame as it came, or as it was cut out of lines, for recording. It costs nothing while
nobody listens. With a
Doorkeeper every peer needs a key: `scanner` to send frames, `subscriber` to hear verdicts and the tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import zmq

from nii_edge import wire
from nii_edge.adapters import zmq_transport
from nii_edge.adapters.zmq_security import Door, OpenDoor
from nii_edge.adapters.zmq_transport import Context, Limits, Socket
from nii_edge.config import Listen
from nii_edge.errors import ConfigError
from nii_edge.ports import ScannerMessage
from nii_edge.telemetry import logger
from nii_edge.wire import Buffer, FrameMessage

HEADROOM = 1 << 20
"""Parts this much above the largest frame still arrive, so that they can be refused in words."""
TAP_TOPIC = b"frame"
SUBSCRIPTIONS_A_TURN = 32
MAX_TOPICS = 1_000
MAX_SUBSCRIPTION_BYTES = 1_024
"""The limit holds for the commands of a handshake too; that of CURVE has up to some 350 bytes."""
REBIND_S = 0.05
"""Pause between tries to bind an outlet anew."""


class Endpoints(NamedTuple):
    """Where the daemon listens."""

    scanners: str
    verdicts: str
    tap: str | None


class _Outlet:
    """An XPUB socket. What libzmq does not do is to send a subscriber away whose key was revoked, so the
    socket is closed and bound anew then: those that are still allowed come back by themselves."""

    def __init__(self, endpoint: str, limits: Limits, door: Door) -> None:
        self._limits = limits
        self._door = door
        self._socket: Socket | None = self._bind(endpoint)
        self.endpoint = zmq_transport.bound_endpoint(self._socket)
        self.topics: set[bytes] = set()
        self._log = logger("outlet")

    def socket(self) -> Socket | None:
        """The socket with its subscriptions noted; None while it is bound anew."""
        if self._socket is None:
            try:
                self._socket = self._bind(self.endpoint)
            except ConfigError as error:  # the old one is still going
                self._log.debug("not bound yet", error=str(error))
                return None
        _note_subscriptions(self._socket, self.topics)
        return self._socket

    def send_all_away(self) -> None:
        """Everyone must show their key again."""
        if self._socket is None:
            return
        self._socket.unbind(self.endpoint)
        self.close(linger=0)
        self._socket = None
        self.topics.clear()

    @property
    def down(self) -> bool:
        """True while it is bound anew."""
        return self._socket is None

    def close(self, linger: int | None = None) -> None:
        """Close. May be called twice."""
        if self._socket is not None:
            self._door.release(self._socket, linger)

    def _bind(self, endpoint: str) -> Socket:
        return self._door.bind(zmq.XPUB, endpoint, self._limits, "subscriber")


class ZmqScanners:
    """See the module."""

    def __init__(
        self, context: Context, listen: Listen, max_frame_bytes: int, door: Door | None = None
    ) -> None:
        """Bind all sockets; `door` is started here and stopped by `close`. Raises ConfigError naming the
        endpoint that cannot be bound."""
        self._door = OpenDoor(context) if door is None else door
        self._router: Socket | None = None
        self._verdicts: _Outlet | None = None
        self._tap: _Outlet | None = None
        frames = Limits(max_part_bytes=max_frame_bytes + HEADROOM, queue=64)
        try:
            self._door.start()
            self._router = self._door.bind(zmq.ROUTER, listen.scanners, frames, "scanner")
            self._scanners = zmq_transport.bound_endpoint(self._router)
            small = Limits(max_part_bytes=MAX_SUBSCRIPTION_BYTES, queue=10_000)
            self._verdicts = _Outlet(listen.verdicts, small, self._door)
            if listen.tap is not None:
                tap_limits = Limits(max_part_bytes=MAX_SUBSCRIPTION_BYTES, queue=64)
                self._tap = _Outlet(listen.tap, tap_limits, self._door)
        except BaseException:
            self.close()
            raise
        self._revocations = 0
        self._tap_number = 0

    @property
    def endpoints(self) -> Endpoints:
        """The addresses really bound, chosen ports included."""
        verdicts = self._verdicts.endpoint if self._verdicts is not None else ""
        return Endpoints(self._scanners, verdicts, self._tap.endpoint if self._tap is not None else None)

    def wait(self, wake_fd: int, timeout_s: float | None) -> None:
        """Until a scanner's message is there, `wake_fd` is readable, or the time is over."""
        most = self._mind_the_door()
        timeout_s = most if timeout_s is None else min(most, timeout_s)
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(wake_fd, zmq.POLLIN)
        poller.poll(max(0, round(timeout_s * 1000 + 0.5)))

    def receive(self) -> ScannerMessage | None:
        """The next message, without copying its pixels."""
        if self._router is None:
            return None
        try:
            frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        sender = self._door.who(self._router, frames[0], "scanner")
        if sender != "":
            self._pass_on(*frames[1:])
        return ScannerMessage(frames[0].bytes, [frame.buffer for frame in frames[1:]], sender)

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        """Show a frame that was cut out of lines to whoever taps the line."""
        if self._tapped() is not None:
            self._pass_on(wire.encode(message), bytes(pixels))  # a copy: the slot will hold another carton

    def reply(self, peer: bytes, message: bytes) -> bool:
        """Send to one peer; False if it is gone or takes nothing."""
        return self._router is not None and zmq_transport.send(self._router, peer, [message])

    def publish(self, topic: str, message: bytes) -> None:
        """Send to the subscribers on site."""
        outlet = self._verdicts.socket() if self._verdicts is not None else None
        if outlet is not None:
            outlet.send_multipart([topic.encode(), message], zmq.NOBLOCK)

    def close(self) -> None:
        """Send what waits, for at most the linger time, and close. May be called twice."""
        if self._router is not None:
            self._door.release(self._router)
        for outlet in (self._verdicts, self._tap):
            if outlet is not None:
                outlet.close()
        self._door.stop()

    def _tapped(self) -> Socket | None:
        """The tap, if anyone listens."""
        outlet = self._tap.socket() if self._tap is not None else None
        return outlet if self._tap is not None and self._tap.topics else None

    def _pass_on(self, *parts: zmq.Frame | bytes) -> None:
        outlet = self._tapped()
        if outlet is None or (parts and wire.is_lines(_bytes(parts[0]))):
            return
        self._tap_number += 1
        note = msgspec.msgpack.encode({"n": self._tap_number})
        outlet.send_multipart([TAP_TOPIC, note, *parts], zmq.NOBLOCK, copy=False)

    def _mind_the_door(self) -> float:
        """Send subscribers away after a revocation, and see that the door is minded. Seconds until the
        next look."""
        self._door.problem()
        outlets = [outlet for outlet in (self._verdicts, self._tap) if outlet is not None]
        if self._door.revocations != self._revocations:
            self._revocations = self._door.revocations
            for outlet in outlets:
                outlet.send_all_away()
        for outlet in outlets:
            if outlet.down:
                outlet.socket()
        return REBIND_S if any(outlet.down for outlet in outlets) else 1.0


def _bytes(part: zmq.Frame | bytes) -> Buffer:
    return part if isinstance(part, bytes) else part.buffer


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

"""The line of a scanner's side to the daemon: a socket with bounds and keys, and for whom it speaks.

`nii_edge.client` and `nii_edge.line_client` are made of it. Needs pyzmq and msgspec only. Not thread-safe.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import msgspec
import zmq

from nii_edge import wire
from nii_edge.errors import WireError
from nii_edge.records import Name
from nii_edge.security import ClientKeys, HandshakeWatch, check_line_is_safe

MAX_REPLY_BYTES = 2 * wire.MAX_HEADER_BYTES
SOCKET_OPTIONS = (
    (zmq.LINGER, 0), (zmq.IMMEDIATE, 1), (zmq.MAXMSGSIZE, MAX_REPLY_BYTES), (zmq.SNDHWM, 64),
    (zmq.RCVHWM, 1000), (zmq.HANDSHAKE_IVL, 2000), (zmq.RECONNECT_IVL, 100), (zmq.RECONNECT_IVL_MAX, 1000),
    (zmq.CONNECT_TIMEOUT, 2000),
    # a dead peer is found by TCP: ZeroMQ's heartbeats can abort the process (docs/decisions/0005)
    (zmq.TCP_KEEPALIVE, 1), (zmq.TCP_KEEPALIVE_IDLE, 2), (zmq.TCP_KEEPALIVE_INTVL, 2),
    (zmq.TCP_KEEPALIVE_CNT, 3), (zmq.TCP_MAXRT, 6000),
)  # fmt: skip
"""Bounds of the socket; times in milliseconds, those of the keep-alive in seconds."""


class ScannerLine:
    """One start (`epoch`) of one scanner, connected."""

    def __init__(
        self, endpoint: str, scanner: str, *, epoch: int | None, keys: ClientKeys | None, insecure: bool
    ) -> None:
        """`epoch`: None for Unix time in milliseconds. `keys`: ours, and the edge's public one. `insecure`:
        go to another machine without.

        Raises:
            ValueError: no name for a scanner; no ZeroMQ address; or another machine, and neither keys nor
                `insecure`.
        """
        check_line_is_safe(endpoint, keys, insecure)
        try:
            self.scanner = msgspec.convert(scanner, Name)
        except msgspec.ValidationError as error:
            raise ValueError(f"scanner {scanner!r}: {error}") from error
        self.epoch = time.time_ns() // 1_000_000 if epoch is None else epoch
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in SOCKET_OPTIONS:
            self._socket.setsockopt(option, value)
        self._watch: HandshakeWatch | None = None
        if keys is not None:
            keys.apply(self._socket)
            self._watch = HandshakeWatch(self._socket)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ValueError(f"{endpoint!r} is not a ZeroMQ address: {error}") from error

    def send(self, parts: Sequence[bytes | bytearray | memoryview]) -> bool:
        """Whether the line took it; it never waits."""
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def heard(self) -> Iterator[wire.ToScanner]:
        """What has come for this start of the scanner. Anything else is passed over: silence is no CLEAR."""
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode_to_scanner(parts).message
            except WireError:
                continue  # not our protocol: the deadline answers for it
            if (message.scanner, message.epoch) == (self.scanner, self.epoch):
                yield message

    def wait(self, seconds: float) -> None:
        """Until something comes, at most so long."""
        self._socket.poll(max(1, round(1000 * seconds)))

    def trouble(self) -> str:
        """What is wrong with the connection, to be added to a sentence; empty if nothing is known."""
        trouble = self._watch.trouble() if self._watch is not None else None
        return "" if trouble is None else f": {trouble}"

    def close(self) -> None:
        """Hang up."""
        if self._watch is not None:
            self._watch.close()
        self._socket.close(linger=0)
        self._context.term()


class OnLine:
    """What is closed with its line, and may stand in a `with`."""

    def __init__(self, line: ScannerLine) -> None:
        self._line = line

    @property
    def scanner(self) -> str:
        """The scanner's name."""
        return self._line.scanner

    @property
    def epoch(self) -> int:
        """The number of this start of the scanner."""
        return self._line.epoch

    def close(self) -> None:
        """Hang up. What is in flight stays without an answer here; the daemon still concludes it."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

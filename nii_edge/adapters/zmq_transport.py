"""Sockets with every limit set, and the few things one may do with them without ever blocking.

Dead peers are found by TCP keepalive and a bound on unacknowledged data, not by ZeroMQ's own heartbeat:
with that on, libzmq 4.3.5 aborts the whole process when a peer vanishes whose messages have filled the
receive queue (https://github.com/zeromq/libzmq/issues/4364, /3937 and /4767), and cuts off a live peer
whose answers wait behind a full queue.
"""

from __future__ import annotations

import errno
import socket as unix
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import zmq

from nii_edge.errors import ConfigError, RuntimeMissingError
from nii_edge.security import ClientKeys
from nii_edge.wire import Buffer

MIN_LIBZMQ = (4, 3, 5)
"""Older ones have holes that a stranger can use before proving who they are."""

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one socket. Memory is at most about ``queue * max_part_bytes`` a peer and direction.

    A peer that sends a larger part is disconnected, so leave room above what is refused in words. Times
    are in milliseconds. `dead_after_ms`: how long a TCP peer may be silent on the network level, at least
    3,000. `linger_ms`: how long closing waits for what is not yet sent. `reconnect_ms` -1: a connection that
    broke, or did not come about, is not made anew.
    """

    max_part_bytes: int
    queue: int = 1_000
    handshake_ms: int = 2_000
    dead_after_ms: int = 9_000
    reconnect_ms: int = 100
    reconnect_max_ms: int = 2_000
    linger_ms: int = 1_000


class Incoming(NamedTuple):
    """One message at a ROUTER. `address` is the peer's IP address, empty where there is none (ipc). `head`
    is the first frame, which knows the connection it came by."""

    peer: bytes
    address: str
    parts: list[bytes]
    head: zmq.Frame


def new_context() -> Context:
    """The process's ZeroMQ context. Raises RuntimeMissingError if libzmq is too old to be trusted."""
    found = zmq.zmq_version_info()
    if found < MIN_LIBZMQ:
        raise RuntimeMissingError(
            f"libzmq {'.'.join(map(str, found))} found, needed {'.'.join(map(str, MIN_LIBZMQ))} or newer; "
            "install a pyzmq wheel, which brings its own"
        )
    return zmq.Context()


def bind(
    context: Context,
    kind: int,
    endpoint: str,
    limits: Limits,
    prepare: Callable[[Socket], None] = lambda _: None,
) -> Socket:
    """A socket of `kind` (for example zmq.ROUTER) bound to `endpoint`; port ``*`` or 0 takes a free one.
    `prepare` sets further options before that.

    Raises:
        ConfigError: the address is in use or cannot be bound; names the endpoint.
    """
    _check_port(endpoint)
    if _ipc_answers(endpoint):
        raise ConfigError(f"{endpoint}: address in use; stop the other daemon or choose another endpoint")
    made = _make(context, kind, limits, endpoint)
    prepare(made)
    try:
        made.bind(endpoint)
    except zmq.ZMQError as error:
        made.close(linger=0)
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{endpoint}: address in use; stop the other daemon or choose another endpoint"
            ) from error
        raise ConfigError(f"{endpoint}: cannot be bound: {error}") from error
    return made


CONNECT_TIMEOUT_MS = 2_000
"""An attempt to connect is given up after so long and made anew: the kernel asks a silent network again after
1, 2, 4, 8, ... s, and would notice that it is back half a minute late."""


def connect(
    context: Context,
    kind: int,
    endpoint: str,
    limits: Limits,
    keys: ClientKeys | None = None,
    prepare: Callable[[Socket], None] = lambda _: None,
) -> Socket:
    """A socket of `kind` that connects to `endpoint` and keeps trying; sends wait for a connection.
    With `keys` it is encrypted, and only the server of that key is talked to. `prepare` is called with it
    before that.

    Raises:
        ConfigError: the endpoint is not an address one can connect to.
    """
    _check_port(endpoint)
    made = _make(context, kind, limits, endpoint)
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
    made.setsockopt(zmq.RECONNECT_IVL, limits.reconnect_ms)
    made.setsockopt(zmq.RECONNECT_IVL_MAX, limits.reconnect_max_ms)
    if keys is not None:
        keys.apply(made)
    prepare(made)
    try:
        made.connect(endpoint)
    except zmq.ZMQError as error:
        made.close(linger=0)
        raise ConfigError(f"{endpoint}: not an endpoint to connect to: {error}") from error
    return made


def bound_endpoint(made: Socket) -> str:
    """Where a bound socket really listens, the port chosen for a wildcard included."""
    return str(made.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def receive(router: Socket) -> Incoming | None:
    """The next message waiting at a ROUTER, or None. Never blocks."""
    try:
        first = router.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    parts = router.recv_multipart(zmq.NOBLOCK) if first.more else []
    return Incoming(first.bytes, _address(first), parts, first)


def send(router: Socket, peer: bytes, parts: list[bytes | Buffer]) -> bool:
    """Send to one peer of a ROUTER if it is there and has room; False if not. Never blocks."""
    try:
        router.send_multipart([peer, *parts], zmq.NOBLOCK)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True


def _make(context: Context, kind: int, limits: Limits, endpoint: str) -> Socket:
    made = context.socket(kind)
    made.setsockopt(zmq.MAXMSGSIZE, limits.max_part_bytes)
    made.setsockopt(zmq.RCVHWM, limits.queue)
    made.setsockopt(zmq.SNDHWM, limits.queue)
    made.setsockopt(zmq.HANDSHAKE_IVL, limits.handshake_ms)
    third_s = max(1, limits.dead_after_ms // 3_000)
    made.setsockopt(zmq.TCP_KEEPALIVE, 1)
    made.setsockopt(zmq.TCP_KEEPALIVE_IDLE, third_s)
    made.setsockopt(zmq.TCP_KEEPALIVE_INTVL, third_s)
    made.setsockopt(zmq.TCP_KEEPALIVE_CNT, 2)
    made.setsockopt(zmq.TCP_MAXRT, limits.dead_after_ms)
    made.setsockopt(zmq.LINGER, limits.linger_ms)
    if "[" in endpoint:
        made.setsockopt(zmq.IPV6, 1)
    if kind == zmq.ROUTER:
        made.setsockopt(zmq.ROUTER_MANDATORY, 1)
        made.setsockopt(zmq.ROUTER_HANDOVER, 0)
    return made


def _check_port(endpoint: str) -> None:
    """libzmq takes port 99999 for 34463 without a word."""
    port = endpoint.rsplit(":", 1)[-1]
    if endpoint.startswith("tcp://") and port != "*" and not (port.isdecimal() and int(port) < 65_536):
        raise ConfigError(f"{endpoint}: port {port!r}, expected 0 to 65535 or *")


def _address(frame: zmq.Frame) -> str:
    try:
        return str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return ""


def _ipc_answers(endpoint: str) -> bool:
    """True if someone listens on an ipc endpoint: binding would take it from them without a word."""
    path = endpoint.removeprefix("ipc://")
    if path in (endpoint, "*"):
        return False
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return False
    return True

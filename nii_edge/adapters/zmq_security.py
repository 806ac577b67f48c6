"""Who gets through the door: CURVE on server sockets, and the ZAP thread that knows the allow-list.

Without a ZAP handler libzmq lets every CURVE client in, so each locked socket has a domain (the role its
peers must have) and `ZAP_ENFORCE_DOMAIN`: if this thread dies, nobody gets in any more. A peer's User-Id
is its public key; `who` looks it up for every message, so that a key taken out of the list stops counting
at once, also on connections that stand. docs/decisions/0008 says why this is not pyzmq's authenticator.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from nii_edge.adapters import zmq_transport
from nii_edge.adapters.zmq_transport import Context, Limits, Socket
from nii_edge.addresses import is_local
from nii_edge.allow_list import AllowList, read_allow
from nii_edge.errors import ConfigError, NiiEdgeError
from nii_edge.security import Role, SecretKey
from nii_edge.telemetry import logger

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
TURN_MS = 200
"""How soon a changed allow-list is noticed when nobody connects (a connection looks at once), and a stop."""
HUNG_AFTER_S = 5.0
REMEMBERED = 1_024
"""Peer and reason pairs that are logged once; beyond, refusals are only counted for an hour."""
FORGET_S = 3_600.0
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_MONITOR_STOPPED
)  # what ZAP refuses is counted where it is refused
_WHY: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "no_curve",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "wrong_server_key",
}
REASONS = ("unknown_key", "revoked_key", "wrong_role", "no_curve", "wrong_server_key", "handshake")
"""Why connections are refused: the label `reason` of the metric."""


class Security(NamedTuple):
    """A process's own key and the file that says who may talk to it. `loopback_open`: sockets bound to
    the loopback want no keys."""

    key: SecretKey
    allow: Path
    loopback_open: bool = False


def ignore(_: object) -> None:
    """For those who do not want to be told."""


class OpenDoor:
    """No keys: whoever reaches a socket may use it."""

    revocations = 0

    def __init__(self, context: Context) -> None:
        self._context = context

    def start(self) -> None:
        """Nothing to start."""

    def bind(self, kind: int, endpoint: str, limits: Limits, _: Role) -> Socket:
        """As `zmq_transport.bind`."""
        return zmq_transport.bind(self._context, kind, endpoint, limits)

    def who(self, _: Socket, __: zmq.Frame, ___: Role) -> str | None:
        """Nobody knows."""
        return None

    def release(self, made: Socket, linger: int | None = None) -> None:
        """Close a socket of `bind`."""
        made.close(linger)

    def problem(self) -> str | None:
        """There is none."""
        return None

    def stop(self) -> None:
        """Nothing to stop."""


class Doorkeeper:
    """The ZAP thread of one ZeroMQ context, and its locks.

    `rejected` is told the reason of each refused connection; `failed` why the thread died or hangs. Both
    are called from any thread. Use: make, `start`, `bind` sockets, `who` for their messages, close the
    sockets with `release`, `stop`.
    """

    def __init__(
        self,
        context: Context,
        security: Security,
        rejected: Callable[[str], None] = ignore,
        failed: Callable[[BaseException], None] = ignore,
    ) -> None:
        """Raises ConfigError if the allow-list is wrong."""
        self._context = context
        self._security = security
        self._rejected = rejected
        self._failed = failed
        self._stamp = _stamp(security.allow)
        self._allowed: AllowList = read_allow(security.allow)
        self._once: set[str] = set()  # keys that were allowed since the start
        self._told: dict[tuple[str, str], None] = {}
        self._told_since = time.monotonic()
        self._locked: set[Socket] = set()
        self._monitors: dict[Socket, str] = {}
        self._new_monitors: queue.SimpleQueue[tuple[Socket, str]] = queue.SimpleQueue()
        self._stopping = False
        self._beat = time.monotonic()
        self._reported = False
        self._zap: Socket | None = None
        self._thread = threading.Thread(target=self._run, name="zap", daemon=True)
        self.revocations = 0
        """Grows whenever a key was taken out of the allow-list, or got another name or role."""
        self._log = logger("security")

    # ---- called by the sockets' owner

    def start(self) -> None:
        """Begin to answer. Raises ConfigError if the context has a handler already."""
        self._zap = self._context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        try:
            self._zap.bind(ZAP_ENDPOINT)
        except zmq.ZMQError as error:
            self._zap.close()
            raise ConfigError(f"{ZAP_ENDPOINT}: {error}") from error
        self._thread.start()

    def bind(self, kind: int, endpoint: str, limits: Limits, role: Role) -> Socket:
        """`zmq_transport.bind` for peers that hold a key of `role`; open on an open loopback."""
        if self._security.loopback_open and is_local(endpoint):
            return zmq_transport.bind(self._context, kind, endpoint, limits)
        made = zmq_transport.bind(self._context, kind, endpoint, limits, lambda s: self._lock(s, role))
        self._locked.add(made)
        self._watch(made, role)
        return made

    def who(self, made: Socket, frame: zmq.Frame, role: Role) -> str | None:
        """The name a message's sender has on the allow-list now; empty if its key is not there (any more)
        in this role. None if the socket is open to all. `frame`: any of the message's."""
        if made not in self._locked:
            return None
        try:
            peer = self._allowed.get(str(frame.get("User-Id")))
        except zmq.ZMQError:
            return ""
        return peer.name if peer is not None and peer.role == role else ""

    def release(self, made: Socket, linger: int | None = None) -> None:
        """Close a socket of `bind`, locked or not."""
        if not made.closed:
            self._locked.discard(made)
            made.disable_monitor()
            made.close(linger)

    def problem(self) -> str | None:
        """Why nobody can connect any more, in words; None while all is well. The first time, `failed` is
        called. To be asked about once a second."""
        if not self._thread.is_alive():
            return "the thread that checks keys is not running"
        if time.monotonic() - self._beat <= HUNG_AFTER_S:
            return None
        text = f"the thread that checks keys has not moved for {HUNG_AFTER_S:g} s"
        self._report(NiiEdgeError(text))
        return text

    def stop(self) -> None:
        """End the thread; sockets that are not released yet are. May be called twice."""
        for made in list(self._locked):
            self.release(made, linger=0)
        self._stopping = True
        if self._thread.ident is not None:
            self._thread.join(HUNG_AFTER_S)
        while not self._new_monitors.empty():
            monitor, _ = self._new_monitors.get()
            monitor.close(linger=0)
        for monitor in self._monitors:
            monitor.close(linger=0)
        self._monitors.clear()

    def _lock(self, made: Socket, role: Role) -> None:
        made.setsockopt(zmq.CURVE_SERVER, 1)
        made.setsockopt(zmq.CURVE_SECRETKEY, self._security.key.secret.encode())
        made.setsockopt(zmq.ZAP_DOMAIN, role.encode())
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _watch(self, made: Socket, role: Role) -> None:
        """Hear of handshakes that fail before ZAP is asked. Our end is unbounded: libzmq's I/O thread
        waits for room in it, and must never have to."""
        where = f"inproc://door-{id(self)}-{id(made)}-{time.monotonic_ns()}"
        made.monitor(where, _FAILED)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(where)
        self._new_monitors.put((monitor, role))

    # ---- the thread

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - the top of a thread: whatever it is must be told
            self._log.error("the thread that checks keys died; nobody can connect", exc_info=error)
            self._report(error)
        finally:
            if self._zap is not None:
                self._zap.close(linger=0)

    def _serve(self) -> None:
        zap = self._zap
        if zap is None:
            return
        poller = zmq.Poller()
        poller.register(zap, zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll(TURN_MS))
            self._beat = time.monotonic()
            while not self._new_monitors.empty():
                monitor, role = self._new_monitors.get()
                self._monitors[monitor] = role
                poller.register(monitor, zmq.POLLIN)
            self._reload()
            if zap in ready:
                self._answer(zap)
            for monitor in [m for m in self._monitors if m in ready]:
                if self._overhear(monitor):
                    poller.unregister(monitor)
                    del self._monitors[monitor]
                    monitor.close(linger=0)

    def _answer(self, zap: Socket) -> None:
        """One ZAP request (https://rfc.zeromq.org/spec/27).

        Refused with 300, not 400: after a 400 libzmq's client gives up for ever, also when its key is on
        the list a minute later; after a 300 it tries again, here when the handshake's time is over.
        """
        version, request, domain, address, _, mechanism, *credentials = zap.recv_multipart()
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else ""
        reason = self._refusal(key, domain.decode("ascii", "replace"))
        if reason is None:
            zap.send_multipart([version, request, b"200", b"OK", key.encode(), b""])
            return
        self._note(reason, address.decode("ascii", "replace"), key)
        zap.send_multipart([version, request, b"300", reason.encode(), b"", b""])

    def _refusal(self, key: str, role: str) -> str | None:
        peer = self._allowed.get(key)
        if peer is None:
            return "revoked_key" if key in self._once else "unknown_key"
        return None if peer.role == role else "wrong_role"

    def _overhear(self, monitor: Socket) -> bool:
        """What became of handshakes on one socket; True if it is closed. libzmq does not say whose."""
        for _ in range(256):
            try:
                said = parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            if said["event"] == zmq.EVENT_MONITOR_STOPPED:
                return True
            protocol = said["event"] == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            reason = _WHY.get(int(said["value"]), "handshake") if protocol else "handshake"
            self._note(reason, f"{self._monitors[monitor]} socket", "")
        return False

    def _reload(self) -> None:
        """Read the allow-list anew if the file changed. A file that is wrong leaves the last one standing:
        a slip of the pen must not stop the belt."""
        stamp = _stamp(self._security.allow)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            fresh = read_allow(self._security.allow)
        except ConfigError as error:
            self._log.error("the allow-list is wrong; the last one stands", error=str(error))
            return
        before, self._allowed = self._allowed, fresh
        gone = [old for key, old in before.items() if fresh.get(key) != old]
        self._once |= {old.key for old in gone}
        self.revocations += bool(gone)
        added = [public.line() for key, public in fresh.items() if key not in before]
        self._log.info("allow-list read", keys=len(fresh), added=added, gone=[old.line() for old in gone])

    def _note(self, reason: str, peer: str, key: str) -> None:
        self._rejected(reason)
        now = time.monotonic()
        if now - self._told_since > FORGET_S:
            self._told.clear()
            self._told_since = now
        if (peer, reason) in self._told or len(self._told) > REMEMBERED:
            return
        self._told[peer, reason] = None
        if len(self._told) > REMEMBERED:
            self._log.warning("connections of many peers are refused; they are only counted from here")
            return
        known = self._allowed.get(key)
        self._log.warning(
            "connection refused", reason=reason, peer=peer, key=key, name=known.name if known else ""
        )

    def _report(self, error: BaseException) -> None:
        if not self._reported and not self._stopping:
            self._reported = True
            self._failed(error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


Door = OpenDoor | Doorkeeper

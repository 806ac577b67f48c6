"""What a central system uses to hear of every alert once: pyzmq and msgspec, no other part of the daemon.

::

    keys = ClientKeys.read(Path("centre.key"), "collector.pub")  # not needed on the loopback
    with Subscriber("tcp://collector:5561", since=last_number_processed, keys=keys) as alerts:
        for alert in alerts.follow():
            process(alert)  # then remember alert.number
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from types import TracebackType

import zmq
from zmq.utils.monitor import parse_monitor_message

from nii_edge.errors import WireError
from nii_edge.records import Decision, Preview, Reason, ScanType
from nii_edge.security import HANDSHAKE_TROUBLE, ClientKeys, check_line_is_safe
from nii_edge.wire import (
    MAX_HEADER_BYTES,
    MAX_PREVIEW_BYTES,
    Archived,
    ArchivedMessage,
    FetchMessage,
    FetchPreviewMessage,
    Message,
    PreviewMessage,
    Received,
    RefusedMessage,
    ToSubscriber,
    decode_to_subscriber,
    encode,
)

PATIENCE_MS = 2_000
"""How long an answer may take beyond the wait asked for, before the question is asked anew."""
PAGE = 500
"""Records asked for at a time by `follow`."""
OVERLOAD_PAUSE_S = 1.0
RETRY_PAUSE_S = 0.1
SILENT_S = 5.0
"""After which it is worth a word that nothing answers."""
_LOST = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_WATCHED = _LOST | zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED


class Subscriber:
    """Reads a collector's archive in order, from any point, over restarts of either side.

    Not thread-safe. `since` is the number of the last record handed over: nothing up to it comes again,
    everything after it will come. Keep it (or each record's number) to go on after a restart.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        since: int = 0,
        decisions: tuple[Decision, ...] = (Decision.ALARM, Decision.UNKNOWN),
        scan_types: tuple[ScanType, ...] = (ScanType.OPERATIONAL,),
        timeout_s: float | None = None,
        keys: ClientKeys | None = None,
        insecure: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """Connects in the background.

        Args:
            endpoint: the collector's `subscribers` endpoint.
            since: the archive number after which to begin; 0 is the beginning.
            decisions: which to hear of; empty means all. Gaps count as UNKNOWN.
            scan_types: which to hear of; empty means both.
            timeout_s: raise TimeoutError when the collector has been silent this long (an empty answer is
                not silence); None waits for it without end.
            keys: our key, of the role `subscriber`, and the collector's public one.
            insecure: go to another machine without keys.
            told: called when the collector lets us no further than its door, or nothing answers for some
                seconds, in words for a person; we go on knocking.

        Raises:
            ValueError: `endpoint` is not a ZeroMQ address, or it is another machine and there are neither
                keys nor `insecure`.
        """
        check_line_is_safe(endpoint, keys, insecure)
        self._keys = keys
        self._told = told
        self._outside = False
        self._silent = False
        self._at_the_door = False
        self._endpoint = endpoint
        self._since = since
        self._decisions = decisions
        self._scan_types = scan_types
        self._timeout_s = timeout_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self._connect()
        except zmq.ZMQError as error:
            self.close()
            raise ValueError(f"{endpoint!r} is not a ZeroMQ address: {error}") from error

    @property
    def since(self) -> int:
        """The archive number up to which everything asked for has been handed over."""
        return self._since

    def follow(self, wait_ms: int = 5_000) -> Generator[Archived, None, None]:
        """Every record as it comes, for ever, each once. `wait_ms` (0-60,000): the length of a long poll.

        A record counts as handed over when it is yielded.

        Raises:
            TimeoutError: only with `timeout_s`.
            WireError: the collector refuses (NOT_ARCHIVED: its archive never got as far as `since`), or
                answers with something that is not of this protocol.
        """
        while True:
            try:
                page = self._fetch(PAGE, wait_ms)
            except WireError as error:
                if error.reason is not Reason.OVERLOAD:
                    raise
                time.sleep(OVERLOAD_PAUSE_S)
                continue
            for item in page.items:
                self._since = item.number
                yield item
            self._since = page.next

    def fetch_once(self, limit: int = 100, wait_ms: int = 0) -> tuple[Archived, ...]:
        """At most `limit` (1-1000) records, oldest first; they count as handed over. If there are none at
        the moment, waits for one up to `wait_ms` (0-60,000).

        An empty answer means that none came. Raises as `follow`.
        """
        page = self._fetch(limit, wait_ms)
        self._since = page.next
        return page.items

    def preview(self, sha256: str) -> Preview:
        """The picture of a report, its bytes checked against `sha256`.

        Raises:
            WireError: NOT_ARCHIVED if the collector has no such picture; MALFORMED if its bytes are others.
            TimeoutError: only with `timeout_s`.
        """
        received = self._ask(FetchPreviewMessage(sha256=sha256), 0)
        message = received.message
        if not isinstance(message, PreviewMessage):
            raise self._unexpected(message)
        data = bytes(received.payload)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise WireError(Reason.MALFORMED, f"{self._endpoint}: picture {sha256} came with SHA-256 {found}")
        return Preview(sha256=sha256, media_type=message.media_type, data=data)

    def close(self) -> None:
        """Hang up. May be called twice."""
        self._hang_up()
        self._context.term()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, limit: int, wait_ms: int) -> ArchivedMessage:
        question = FetchMessage(
            since=self._since,
            limit=limit,
            wait_ms=wait_ms,
            decisions=self._decisions,
            scan_types=self._scan_types,
        )
        message = self._ask(question, wait_ms).message
        if not isinstance(message, ArchivedMessage):
            raise self._unexpected(message)
        last = self._since
        for item in message.items:
            if item.number <= last:
                raise WireError(Reason.MALFORMED, f"{self._endpoint}: record {item.number} after {last}")
            last = item.number
        if message.next < last:
            raise WireError(Reason.MALFORMED, f"{self._endpoint}: next {message.next} after record {last}")
        return message

    def _ask(self, question: Message, wait_ms: int) -> Received[ToSubscriber]:
        """Ask until there is an answer, each time on a fresh socket, so that no old answer can come late."""
        began = time.monotonic()
        deadline = None if self._timeout_s is None else began + wait_ms / 1000 + self._timeout_s
        while True:
            patience_ms = wait_ms + PATIENCE_MS
            if deadline is not None:
                patience_ms = min(patience_ms, max(0, int((deadline - time.monotonic()) * 1000)))
            parts = self._try(encode(question), patience_ms)
            self._tell_silence(parts is None and time.monotonic() - began > wait_ms / 1000 + SILENT_S)
            if parts is not None:
                return decode_to_subscriber(parts)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"no answer from the collector at {self._endpoint} in {self._timeout_s} s")
            time.sleep(RETRY_PAUSE_S)

    def _try(self, question: bytes, patience_ms: int) -> list[bytes] | None:
        """One question; None, and the socket is gone, if the connection broke or nothing came in time."""
        asked = self._connect()
        until = time.monotonic() + patience_ms / 1000
        parts: list[bytes] | None = None
        try:
            asked.send(question)
            poller = zmq.Poller()
            poller.register(asked, zmq.POLLIN)
            poller.register(self._monitor, zmq.POLLIN)
            while parts is None and not self._lost():
                ready = dict(poller.poll(max(0, round(1000 * (until - time.monotonic())))))
                if asked in ready:
                    parts = asked.recv_multipart(zmq.NOBLOCK)
                elif not ready:
                    break
        finally:
            if parts is None:
                self._hang_up()
        self._tell(outside=parts is None and self._at_the_door)
        return parts

    def _lost(self) -> bool:
        """True if the connection broke. Notes whether we got through the door."""
        while self._monitor is not None and self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
            if event & _LOST:
                return True
            self._at_the_door = event == zmq.EVENT_CONNECTED
        return False

    def _tell(self, outside: bool) -> None:
        """Say once, until it gets better, that we are not let in."""
        if outside and not self._outside and self._told is not None:
            self._told(f"{self._endpoint}: {HANDSHAKE_TROUBLE}")
        self._outside = outside

    def _tell_silence(self, silent: bool) -> None:
        """Say once, until there is an answer, that there is none."""
        if silent and not self._silent and not self._outside and self._told is not None:
            self._told(
                f"{self._endpoint}: nothing answers; is it the collector's `subscribers`, and does it run?"
            )
        self._silent = silent

    def _connect(self) -> zmq.Socket[bytes]:
        if self._socket is not None:
            return self._socket
        if self._context.closed:
            raise ValueError("this subscriber is closed")
        made = self._context.socket(zmq.DEALER)
        self._socket, self._at_the_door = made, False
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.MAXMSGSIZE, max(MAX_HEADER_BYTES, MAX_PREVIEW_BYTES))
        made.setsockopt(zmq.CONNECT_TIMEOUT, 2_000)
        made.setsockopt(zmq.RECONNECT_IVL, 100)
        made.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
        if "[" in self._endpoint:
            made.setsockopt(zmq.IPV6, 1)
        self._monitor = made.get_monitor_socket(_WATCHED)
        if self._keys is not None:
            self._keys.apply(made)
        made.connect(self._endpoint)
        return made

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=0)
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._socket = self._monitor = None

    def _unexpected(self, message: ToSubscriber) -> WireError:
        if isinstance(message, RefusedMessage):
            return WireError(message.reason, f"the collector at {self._endpoint} refused: {message.detail}")
        return WireError(
            Reason.MALFORMED, f"{self._endpoint} gave a {type(message).__name__}, which was not asked for"
        )

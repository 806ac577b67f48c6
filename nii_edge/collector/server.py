"""The collector: one thread, two sockets. Archive first, then the receipt, then manifests for who asks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import zmq

from nii_edge.adapters import zmq_transport as transport
from nii_edge.adapters.zmq_security import Door, Doorkeeper, OpenDoor, Security
from nii_edge.collector.intake import Item, accept, claimed_key, key_of
from nii_edge.collector.manifests import page_for
from nii_edge.collector.waiting import Held, Kind, Waiting, kinds_of
from nii_edge.config import CollectorConfig
from nii_edge.errors import LedgerError, ManifestError, NiiEdgeError, RecordDamagedError, WireError
from nii_edge.ports import Archive, Clock, ManifestSource, Page
from nii_edge.records import Decision, Gap, Preview, Reason, Recall, Report
from nii_edge.security import Role
from nii_edge.telemetry import logger
from nii_edge.wire import (
    MAX_HEADER_BYTES,
    MAX_PREVIEW_BYTES,
    VERSION,
    ArchivedMessage,
    FetchManifestsMessage,
    FetchMessage,
    FetchPreviewMessage,
    Message,
    PreviewMessage,
    ReceiptMessage,
    RefusedMessage,
    decode_from_subscriber,
    encode,
)

BATCH = 256
"""The most edge messages archived in one commit."""
PAGES_A_TURN = 8
"""The most pages of manifests sent before edges are heard again."""
REQUESTS_A_TURN = 64
"""The most subscriber requests answered before edges are heard again."""
MAX_WAITING = 1_024
"""The most fetches that wait at once, and the most questions for manifests."""
TURN_MS = 100
"""The longest a turn of the loop sleeps: how soon a stop is noticed, in milliseconds."""
_PAGE_BYTES = MAX_HEADER_BYTES - 1_024
_REMEMBERED = 1_024
_MOST = 2 * max(MAX_HEADER_BYTES, MAX_PREVIEW_BYTES)
_EDGE_LIMITS = transport.Limits(max_part_bytes=_MOST)
_SUBSCRIBER_LIMITS = transport.Limits(max_part_bytes=4_096, queue=16)  # answers are large: few may wait

_log = logger("collector")


class Endpoints(NamedTuple):
    """Where the collector really listens."""

    edges: str
    subscribers: str


class Collector:
    """Archives what edges send, answers subscribers, gives edges manifests. `archive` and `manifests` stay
    the caller's to close.

    `refused` counts refused messages by reason, `rejected` refused connections by reason, `unsent` the
    answers whose peer was gone or slow; all since the start, and safe to read from another thread.
    """

    def __init__(
        self,
        config: CollectorConfig,
        archive: Archive,
        clock: Clock,
        security: Security | None = None,
        manifests: ManifestSource | None = None,
    ) -> None:
        """Binds both sockets; with `security` peers need keys: `edge` and `subscriber`. Raises ConfigError
        naming an endpoint that cannot be bound."""
        self._archive = archive
        self._manifests = manifests
        self._asking: dict[bytes, FetchManifestsMessage] = {}
        self._clock = clock
        self._waiting = Waiting(MAX_WAITING)
        self._told: set[tuple[str, Reason]] = set()
        self.refused: Counter[Reason] = Counter()
        self.rejected: Counter[str] = Counter()
        self.unsent = 0
        self._context = transport.new_context()
        self._door: Door = OpenDoor(self._context)
        self._revocations = 0
        try:
            if security is not None:
                self._door = Doorkeeper(self._context, security, self._count_rejected)
            self._door.start()
            self._edges = self._door.bind(zmq.ROUTER, config.edges, _EDGE_LIMITS, "edge")
            self._subscribers = self._door.bind(
                zmq.ROUTER, config.subscribers, _SUBSCRIBER_LIMITS, "subscriber"
            )
        except BaseException:
            self._door.stop()
            self._context.destroy(linger=0)
            raise
        self._endpoints = Endpoints(
            transport.bound_endpoint(self._edges), transport.bound_endpoint(self._subscribers)
        )

    @property
    def endpoints(self) -> Endpoints:
        """The addresses bound, with the real ports."""
        return self._endpoints

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, then answer those that wait and close the sockets.

        Raises:
            LedgerError: archiving failed. Nothing unarchived was acknowledged; the edges keep it.
            NiiEdgeError: keys cannot be checked any more, so nobody could connect.
        """
        poller = zmq.Poller()
        poller.register(self._edges, zmq.POLLIN)
        poller.register(self._subscribers, zmq.POLLIN)
        try:
            _log.info("ready", edges=self._endpoints.edges, subscribers=self._endpoints.subscribers)
            while not stop.is_set():
                self._mind_the_door()
                ready = dict(poller.poll(self._sleep_ms()))
                if self._edges in ready:
                    self._hear_edges()
                self._give_manifests()
                if self._subscribers in ready:
                    self._hear_subscribers()
                for held in self._waiting.take_due(self._clock.monotonic()):
                    self._answer(held.peer, Page((), held.fetch.since))
            for held in self._waiting.take_all():
                self._answer(held.peer, Page((), held.fetch.since))
        finally:
            self.close()

    def close(self) -> None:
        """Close the sockets. Only for a collector that is not running; may be called twice."""
        for made in (self._edges, self._subscribers):
            self._door.release(made)
        self._door.stop()
        self._context.term()

    def _count_rejected(self, reason: str) -> None:
        self.rejected[reason] += 1

    def _mind_the_door(self) -> None:
        """Fetches that wait are answered empty when a key was revoked: who may, asks again."""
        problem = self._door.problem()
        if problem is not None:
            raise NiiEdgeError(problem)
        if self._door.revocations != self._revocations:
            self._revocations = self._door.revocations
            for held in self._waiting.take_all():
                self._answer(held.peer, Page((), held.fetch.since))

    def _sender(self, router: transport.Socket, incoming: transport.Incoming, role: Role) -> str | None:
        """Whose key the message came with; None on a line without keys.

        Raises:
            WireError: NOT_ALLOWED, the key is not on the list any more.
        """
        name = self._door.who(router, incoming.head, role)
        if name == "":
            raise WireError(Reason.NOT_ALLOWED, "this key is not in the allow-list any more")
        return name

    def _sleep_ms(self) -> int:
        if self._asking:
            return 0
        due = self._waiting.next_due()
        if due is None:
            return TURN_MS
        return min(TURN_MS, max(0, int((due - self._clock.monotonic()) * 1000) + 1))

    # ---- edges --------------------------------------------------------------------------------

    def _hear_edges(self) -> None:
        """Archive what has come, in one commit, and only then say so."""
        accepted: list[tuple[bytes, Item]] = []
        for incoming in _pending(self._edges, BATCH):
            try:
                sender = self._sender(self._edges, incoming, "edge")
                item = accept(incoming.parts, sender)
                if isinstance(item, FetchManifestsMessage):
                    self._note_asking(incoming.peer, item)
                else:
                    accepted.append((incoming.peer, item))
            except WireError as error:
                # what is refused for its sender's sake alone is named no id: it is not refused for good
                key = None if error.reason is Reason.NOT_ALLOWED else claimed_key(incoming.parts)
                self._refuse(self._edges, incoming, error, key)
        if not accepted:
            return
        stored = self._archive.store([item for _, item in accepted], self._clock.wall_ns())
        receipts: dict[bytes, list[str]] = {}
        for peer, item in accepted:
            if key_of(item) in stored.conflicts:
                self._send(self._edges, peer, _conflict(key_of(item)))
            elif key_of(item) not in stored.refused:
                receipts.setdefault(peer, []).append(key_of(item))
        for peer, keys in receipts.items():
            self._send(self._edges, peer, ReceiptMessage(ids=tuple(keys)))
        self._wake({_kind_of(item) for _, item in accepted if not isinstance(item, Preview)})

    def _note_asking(self, peer: bytes, fetch: FetchManifestsMessage) -> None:
        """One question a peer, the newest; without room it is dropped, and the edge asks again."""
        if peer in self._asking or len(self._asking) < MAX_WAITING:
            self._asking[peer] = fetch

    def _give_manifests(self) -> None:
        """Answer some of those that ask, longest first."""
        for peer in list(self._asking)[:PAGES_A_TURN]:
            fetch = self._asking.pop(peer)
            try:
                message, payload = page_for(fetch, self._manifests)
            except ManifestError as error:
                self.refused[Reason.NOT_ARCHIVED] += 1
                _log.error("manifests unreadable", error=str(error))
                detail = "the store of manifests cannot be read; see the collector's log"
                self._send(self._edges, peer, RefusedMessage(reason=Reason.NOT_ARCHIVED, detail=detail))
                continue
            self._send(self._edges, peer, message, payload)

    def _wake(self, kinds: set[Kind]) -> None:
        """Answer the fetches that wait for records of these kinds."""
        for held in self._waiting.interested(kinds):
            page = self._look(held.peer, held.fetch)
            if page is None or page.items:
                self._waiting.drop(held.peer)
            if page is not None and page.items:
                self._answer(held.peer, page)

    # ---- subscribers --------------------------------------------------------------------------

    def _hear_subscribers(self) -> None:
        for incoming in _pending(self._subscribers, REQUESTS_A_TURN):
            try:
                self._sender(self._subscribers, incoming, "subscriber")
                request = decode_from_subscriber(incoming.parts).message
                if isinstance(request, FetchPreviewMessage):
                    self._give_preview(incoming.peer, request.sha256)
                else:
                    self._fetch(incoming.peer, request)
            except WireError as error:
                self._refuse(self._subscribers, incoming, error, None)

    def _fetch(self, peer: bytes, fetch: FetchMessage) -> None:
        """Answer at once, or hold the fetch until something comes or its time is over."""
        self._waiting.drop(peer)
        last = self._archive.last_number()
        if fetch.since > last:
            raise WireError(
                Reason.NOT_ARCHIVED,
                f"number {fetch.since} was never given, the last is {last}: is this the right archive?",
            )
        page = self._look(peer, fetch)
        if page is None:
            return
        if page.items or fetch.wait_ms == 0:
            self._answer(peer, page)
            return
        due = self._clock.monotonic() + fetch.wait_ms / 1000
        if not self._waiting.hold(Held(peer, msgspec.structs.replace(fetch, since=page.next), due)):
            raise WireError(Reason.OVERLOAD, f"{MAX_WAITING} fetches wait already; ask again later")

    def _look(self, peer: bytes, fetch: FetchMessage) -> Page | None:
        """What the archive has for a fetch; None if that is damaged, which the peer has been told then."""
        kinds = kinds_of(fetch)
        try:
            return self._archive.after(
                fetch.since,
                fetch.limit,
                tuple({decision for _, decision in kinds}),
                tuple({scan_type for scan_type, _ in kinds}),
                _PAGE_BYTES,
            )
        except LedgerError as error:
            self._tell_damage(peer, error)
            return None

    def _give_preview(self, peer: bytes, sha256: str) -> None:
        try:
            preview = self._archive.preview(sha256)
        except LedgerError as error:
            self._tell_damage(peer, error)
            return
        if preview is None:
            raise WireError(Reason.NOT_ARCHIVED, f"no picture with SHA-256 {sha256}")
        message = PreviewMessage(sha256=preview.sha256, media_type=preview.media_type)
        self._send(self._subscribers, peer, message, preview.data)

    def _answer(self, peer: bytes, page: Page) -> None:
        self._send(self._subscribers, peer, ArchivedMessage(items=page.items, next=page.next))

    # ---- both ---------------------------------------------------------------------------------

    def _tell_damage(self, peer: bytes, error: LedgerError) -> None:
        """Reading failed: say so loudly, but go on archiving, which fails by itself if it must."""
        self.refused[Reason.NOT_ARCHIVED] += 1
        _log.error("unreadable", error=str(error))
        detail = "the archive cannot read this; see the collector's log"
        if isinstance(error, RecordDamagedError):
            detail = f"record {error.number} is damaged; to go on without it, fetch since {error.number}"
        self._send(self._subscribers, peer, RefusedMessage(reason=Reason.NOT_ARCHIVED, detail=detail))

    def _refuse(
        self, router: transport.Socket, incoming: transport.Incoming, error: WireError, key: str | None
    ) -> None:
        self.refused[error.reason] += 1
        sender = incoming.address or incoming.peer.hex()
        if (sender, error.reason) not in self._told:
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told.add((sender, error.reason))
            _log.warning("refused", peer=sender, reason=error.reason.value, detail=error.detail[:200])
        supported = (VERSION,) if error.reason is Reason.VERSION else None
        message = RefusedMessage(
            reason=error.reason, detail=error.detail[:1_000], alert_id=key, supported=supported
        )
        self._send(router, incoming.peer, message)

    def _send(self, router: transport.Socket, peer: bytes, message: Message, *payload: bytes) -> None:
        if not transport.send(router, peer, [encode(message), *payload]):
            self.unsent += 1


def _conflict(key: str) -> RefusedMessage:
    """No receipt for what is not archived: the edge keeps it, and a person looks into it."""
    detail = "archived before with other content, which stands; two edges of one name, or a number used twice"
    return RefusedMessage(reason=Reason.SEQ_REUSED, detail=detail, alert_id=key)


def _pending(router: transport.Socket, most: int) -> Iterator[transport.Incoming]:
    for _ in range(most):
        incoming = transport.receive(router)
        if incoming is None:
            return
        yield incoming


def _kind_of(record: Report | Gap | Recall) -> Kind:
    if isinstance(record, Gap):
        return record.scan_type, Decision.UNKNOWN
    if isinstance(record, Recall):
        return record.scan_type, Decision.ALARM
    return record.verdict.scan_type, record.verdict.decision

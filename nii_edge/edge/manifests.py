"""Manifests from the collector: asks for what is new, checks it, and stores it together with how far it came.

The uplink lends its line: it hands `wanted` over when no report waits, and brings the answers.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec

from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure, ignore
from nii_edge.errors import ManifestError, WireError
from nii_edge.manifest_pages import Entry, checked, stand_in, unpack
from nii_edge.papers import Papers
from nii_edge.ports import Clock, PaperStore, Place
from nii_edge.telemetry import Metrics, logger
from nii_edge.wire import FetchManifestsMessage, ManifestsMessage, Received

ASK_EVERY_S = 10.0
"""When all was taken, or something went wrong, the collector is asked again after this."""
ANSWER_S = 30.0
"""A question that was sent and not answered for this long is asked again."""
TOLD = 20
"""Refused papers of one page that are logged one by one; all are counted."""

Page = Received[ManifestsMessage]


class PullReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `nii-edge status` shows. `taken` of `last`: numbers in the collector's store; `last` is None if
    it has not said yet or has no manifests. `refused`: papers, and pages, since the start. `problem`: why it
    does not go on, empty if it does."""

    taken: int = 0
    last: int | None = None
    refused: int = 0
    problem: str = ""


class ManifestPull:
    """A thread that keeps the edge's store up with the collector's. `open_store` raises ManifestError."""

    def __init__(
        self,
        open_store: Callable[[], PaperStore],
        clock: Clock,
        metrics: Metrics,
        failed: OnFailure = ignore,
    ) -> None:
        self._open_store = open_store
        self._clock = clock
        self._metrics = metrics
        self._nudge: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._answers: queue.SimpleQueue[Page | None] = queue.SimpleQueue()
        self._asks = 0
        self._open_ask: int | None = None
        self._sent_at = 0.0
        self.wanted: FetchManifestsMessage | None = None
        self.report = PullReport()
        self.thread = GuardedThread("manifests", self._run, failed)
        self._log = logger("manifests")

    # ---- the uplink's side

    def connect(self, nudge: Callable[[], None]) -> None:
        """`nudge`: says that something is wanted."""
        self._nudge = nudge

    def sent(self) -> None:
        """`wanted` was handed to the line."""
        self._sent_at = self._clock.monotonic()
        self.wanted = None

    def take(self, page: Page) -> None:
        """An answer came; one that was not asked for is dropped."""
        if page.message.ask == self._open_ask:
            self._open_ask = None
            self._answers.put(page)

    # ---- the daemon's side

    def start(self) -> None:
        """Begin asking."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread; what was stored stays, the rest is asked for at the next start."""
        self._stopping.set()
        self._answers.put(None)
        self.thread.join()

    # ---- its own thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with closing(self._open_store()) as store:
                    self._follow(store)
            except ManifestError as error:
                self._metrics.manifests.labels("failed").inc()
                self._trouble(f"they cannot be stored: {error}")
                self._rest()

    def _follow(self, store: PaperStore) -> None:
        place = store.place()
        self.report = msgspec.structs.replace(self.report, taken=0 if place is None else place.number)
        while not self._stopping.is_set():
            page = self._ask(place)
            if page is None:
                continue
            try:
                place, more = self._apply(store, place, page)
            except WireError as error:
                self._count("damaged", 1)
                self._trouble(f"the collector sent a page that is refused: {error}")
                more = False
            if not more:
                self._rest()

    def _ask(self, place: Place | None) -> Page | None:
        """The answer to a question for what comes after `place`; None if none came, or we are to stop."""
        self._asks += 1
        self._open_ask = self._asks
        store, since = place if place is not None else (None, 0)
        self.wanted = FetchManifestsMessage(ask=self._asks, store=store, since=since)
        self._nudge()
        while not self._stopping.is_set():
            self.thread.beat()
            try:
                return self._answers.get(timeout=TURN_S)
            except queue.Empty:
                if self._overdue():
                    return None
        return None

    def _overdue(self) -> bool:
        """Was the question sent, and not answered for too long?"""
        return self.wanted is None and self._clock.monotonic() - self._sent_at > ANSWER_S

    def _apply(self, store: PaperStore, place: Place | None, page: Page) -> tuple[Place | None, bool]:
        """Store a page; the new place, and whether there is more at once.

        Raises:
            WireError: the page as a whole is refused; nothing of it was stored.
            ManifestError: it cannot be stored; nothing of it was.
        """
        message = page.message
        if message.store is None:
            self.report = msgspec.structs.replace(self.report, last=None, problem="")
            return place, False
        goes_on = place is not None and place.store == message.store and place.number <= message.next
        since = place.number if place is not None and goes_on else 0
        entries = unpack(message, page.payload, since)
        if place is not None and not goes_on:
            self._log.warning(
                "the collector has another store of manifests, or an older state of it; taken anew",
                taken=place.number, last=message.last,
            )  # fmt: skip
        papers, refused = self._papers(entries)
        reached = Place(message.store, message.next)
        if entries or reached != place:
            stored = store.take(papers, reached)
            for result, count in stored._asdict().items():
                self._count(result, count)
            if entries:
                self._log.info(
                    "taken", cartons=len(entries) - refused, refused=refused, upto=message.next,
                    last=message.last, **stored._asdict(),
                )  # fmt: skip
        self._metrics.manifests_behind.set(message.last - message.next)
        self.report = msgspec.structs.replace(self.report, taken=message.next, last=message.last, problem="")
        return reached, bool(entries) and message.next < message.last

    def _papers(self, entries: Sequence[Entry]) -> tuple[list[Papers], int]:
        """What is stored, and how many papers are refused: named, counted, and stood in for by papers that
        say nothing, so that no older ones of the carton stay in force."""
        stored: list[Papers] = []
        refused = 0
        for entry in entries:
            try:
                stored.append(checked(entry.papers))
            except ManifestError as error:
                refused += 1
                instead = stand_in(entry.papers)
                if instead is not None:
                    stored.append(instead)
                if refused <= TOLD:
                    self._log.error(
                        "papers are refused", number=entry.number, why=str(error),
                        carton=instead.barcode if instead else "cannot be told: its older papers stay",
                    )  # fmt: skip
        self._count("refused", refused)
        return stored, refused

    def _count(self, result: str, count: int) -> None:
        self._metrics.manifests.labels(result).inc(count)
        if count and result in ("refused", "damaged"):
            self.report = msgspec.structs.replace(self.report, refused=self.report.refused + count)

    def _trouble(self, words: str) -> None:
        """Say it once."""
        if words != self.report.problem:
            self._log.error("manifests do not come", why=words)
        self.report = msgspec.structs.replace(self.report, problem=words)

    def _rest(self) -> None:
        until = self._clock.monotonic() + ASK_EVERY_S
        while (left := until - self._clock.monotonic()) > 0 and not self._stopping.is_set():
            self.thread.beat()
            self._stopping.wait(min(left, TURN_S))

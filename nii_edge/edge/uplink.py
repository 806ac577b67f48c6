"""Everything the ledger holds for the centre, sent until the centre confirms it.

At least once, with the same id for ever; records in order, pictures when no record waits. Then, too, what
the centre refused for good is tried again, a little at a time, and the line is lent to `manifests`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from nii_edge.edge.committer import Committer
from nii_edge.edge.mailbox import Mailbox
from nii_edge.edge.manifests import ManifestPull
from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure, ignore
from nii_edge.errors import LedgerError
from nii_edge.ports import AlertSink, Clock, Confirm, OutboxItem, OutboxKind, Park
from nii_edge.records import Preview
from nii_edge.telemetry import Metrics, logger

WINDOW = 256
"""Records sent and not yet confirmed, at most."""
PICTURE_WINDOW = 8
"""Pictures at most; one at a time until the line has shown that it carries more."""
SLOWEST_BYTES_S = 4_000
"""A picture under way is waited for as long as so slow a line takes, if no record waits behind it."""
RESEND_AFTER_S = 5.0
"""Without any confirmation for this long, what is outstanding is sent again."""
OVERTAKEN_S = 1.0
"""The collector confirms in the order in which it is sent to. What is not confirmed although something was
that was sent so much later has been lost on the way."""
RETRY_EVERY_S = 60.0
RETRIED = 8
"""So many refused records are sent again so often: the centre may be of a newer version by now. Once it takes
some, twice as many follow at once, up to a window."""
CONNECT_AFTER_S = 0.1
CONNECT_AFTER_MOST_S = TURN_S
"""After a line that broke the next one is made so soon, later each time while none brings anything back."""
IDLE_S = 1.0
"""Pause between looks at the ledger when nothing says that there is news."""


class _Sent(NamedTuple):
    kind: OutboxKind
    at: float
    size: int


class Uplink:
    """A thread that drains the ledger's outbox into a sink, made by `open_sink` in that thread."""

    def __init__(
        self,
        open_sink: Callable[[], AlertSink],
        committer: Committer,
        clock: Clock,
        metrics: Metrics,
        failed: OnFailure = ignore,
        pull: ManifestPull | None = None,
    ) -> None:
        self._open_sink = open_sink
        self._committer = committer
        self._clock = clock
        self._metrics = metrics
        self._pull = pull
        self._mail: Mailbox[None] = Mailbox()
        self._stopping = threading.Event()
        self.thread = GuardedThread("uplink", self._run, failed)
        self._outstanding: dict[str, _Sent] = {}
        self._heard_of = 0.0
        self._overtaken = ""
        self._pictures = 1
        self._cursor: dict[OutboxKind, int] = {"record": 0, "preview": 0, "parked": 0}
        self._retry_at = 0.0
        self._retaken = 0
        self._progress_at = 0.0
        self.heard_at = clock.monotonic()
        self._log = logger("uplink")

    def start(self) -> None:
        """Begin sending."""
        self.thread.start()

    def nudge(self) -> None:
        """There is something new in the outbox."""
        if not len(self._mail):
            self._mail.put(None)

    def stop(self) -> None:
        """Stop sending; what is not confirmed stays in the ledger."""
        self._stopping.set()
        self._mail.put(None)
        self.thread.join()
        self._mail.close()

    def _run(self) -> None:
        pause = CONNECT_AFTER_S
        while not self._stopping.is_set():
            self.thread.beat()
            sink = self._open_sink()
            heard_at = self.heard_at
            self._progress_at = self._clock.monotonic()
            try:
                self._use(sink)
            finally:
                sink.close()
            pause = CONNECT_AFTER_S if self.heard_at != heard_at else min(2 * pause, CONNECT_AFTER_MOST_S)
            self._stopping.wait(pause)

    def _use(self, sink: AlertSink) -> None:
        """Send until told to stop, or until the line has broken or been silent: then what is outstanding is
        sent again, over another one, before all that comes after it."""
        while not (self._stopping.is_set() or self._lost(sink) or self._silent()):
            try:
                self._turn(sink)
            except LedgerError as error:  # busy, or ended: then the daemon is told to stop
                self._log.error("the uplink waits for the ledger", error=str(error))
                self._stopping.wait(IDLE_S)

    def _turn(self, sink: AlertSink) -> None:
        self.thread.beat()
        for _ in self._mail.take():
            pass
        self._hear(sink)
        moved, refused = self._send(sink, "record", WINDOW)
        if not refused and not self._records():  # a line that comes up between the two is for records first
            pictures, _ = self._send(sink, "preview", self._pictures)
            moved += pictures + self._retry(sink)
            self._ask_for_manifests(sink)
        self._metrics.archived_lag.set(self._records())
        if not moved:
            sink.wait(self._mail.fileno(), IDLE_S)

    def _retry(self, sink: AlertSink) -> int:
        """Send the next of the refused records again, if the last ones were answered and it is time, or some
        of them were taken; how many went out."""
        now = self._clock.monotonic()
        under_way = any(sent.kind == "parked" for sent in self._outstanding.values())
        if under_way or not (self._retaken or now >= self._retry_at):
            return 0
        wanted = min(2 * self._retaken, WINDOW) or RETRIED
        self._retaken, self._retry_at = 0, now + RETRY_EVERY_S
        sent, refused = self._send(sink, "parked", wanted)
        if sent < wanted and not refused:
            self._cursor["parked"] = 0  # from the oldest on again
        return sent

    def _ask_for_manifests(self, sink: AlertSink) -> None:
        wanted = None if self._pull is None else self._pull.wanted
        if self._pull is not None and wanted is not None and sink.ask(wanted):
            self._pull.sent()

    def _hear(self, sink: AlertSink) -> None:
        for reply in sink.replies():
            if reply.page is not None:  # no receipt: it says nothing of what waits for one
                if self._pull is not None:
                    self._pull.take(reply.page)
                continue
            self.heard_at = self._clock.monotonic()
            self._progress_at = self._clock.monotonic()
            if reply.archived:
                self._metrics.uplink.labels("archived").inc(len(reply.archived))
                self._committer.write(Confirm(reply.archived, self._clock.wall_ns()))
                for key in reply.archived:
                    sent = self._outstanding.pop(key, None)
                    if sent is not None:
                        self._heard_of = max(self._heard_of, sent.at)
                        self._retaken += sent.kind == "parked"
                        self._judge_speed(sent)
            if reply.refused is not None:
                self._refused(reply.refused, reply.why)

    def _refused(self, key: str, why: str) -> None:
        self._metrics.uplink.labels("refused").inc()
        self._committer.write(Park(key, why))
        sent = self._outstanding.pop(key, None)
        if sent is None or sent.kind != "parked":
            self._log.error("the collector refuses a record for good", key=key, why=why)

    def _records(self) -> int:
        """How many records are under way: sent on this connection and not confirmed."""
        return sum(sent.kind == "record" for sent in self._outstanding.values())

    def _judge_speed(self, sent: _Sent) -> None:
        if sent.kind == "preview" and self._clock.monotonic() - sent.at < RESEND_AFTER_S / 2:
            self._pictures = min(2 * self._pictures, PICTURE_WINDOW)

    def _patience(self) -> float:
        """How long the line may be silent: longer while only pictures are under way."""
        if self._records():
            return RESEND_AFTER_S
        return RESEND_AFTER_S + sum(sent.size for sent in self._outstanding.values()) / SLOWEST_BYTES_S

    def _lost(self, sink: AlertSink) -> bool:
        if not sink.broken():
            return False
        if self._outstanding:
            self._begin_again("the line broke; connecting anew")
        return True

    def _silent(self) -> bool:
        """True once when nothing was confirmed for too long (the line may be dead and not know it), or what
        was sent well after the oldest was: that one went down on the way."""
        if not self._outstanding:
            self._progress_at = self._clock.monotonic()
        key, oldest = next(((k, sent.at) for k, sent in self._outstanding.items()), ("", float("inf")))
        overtaken = self._heard_of - oldest > OVERTAKEN_S and key != self._overtaken
        if self._clock.monotonic() - self._progress_at <= self._patience() and not overtaken:
            return False
        if overtaken:
            self._overtaken = key  # once: if it is never answered, the line shall live all the same
        self._begin_again("no receipt; connecting anew")
        return True

    def _begin_again(self, why: str) -> None:
        """With what is not confirmed, from the oldest on."""
        self._pictures = 1
        self._log.warning(why, outstanding=len(self._outstanding))
        self._metrics.uplink.labels("resent").inc(len(self._outstanding))
        self._outstanding.clear()
        self._metrics.archived_lag.set(0)
        self._cursor |= {"record": 0, "preview": 0}

    def _send(self, sink: AlertSink, kind: OutboxKind, window: int) -> tuple[int, bool]:
        """Send what fits into the window; how many items went out, and whether the line took no more."""
        room = window - sum(1 for sent in self._outstanding.values() if sent.kind == kind)
        if room <= 0:
            return 0, False
        items: list[OutboxItem] = self._committer.answer(
            lambda ledger: ledger.outbox(kind, self._cursor[kind], room)
        )
        for before, item in enumerate(items):
            if not sink.send(item.record):
                return before, True
            size = len(item.record.data) if isinstance(item.record, Preview) else 0
            self._outstanding[item.key] = _Sent(kind, self._clock.monotonic(), size)
            self._cursor[kind] = item.number
            self._metrics.uplink.labels("sent").inc()
        return len(items), False

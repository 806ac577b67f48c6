"""Lines of line scanners, chunk by chunk: taken in order, cut by view, and acknowledged once nothing on them
is needed any more.

A chunk is done when every carton in it has its verdict on disk; what the cartons become is `line_cartons`'.
All calls come from the ingest thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from nii_edge.edge import line_chunk
from nii_edge.edge.admission import RETRY_S, Lane
from nii_edge.edge.line_cartons import Cartons, Surroundings
from nii_edge.edge.line_chunk import Chunk, line_scan
from nii_edge.edge.line_view import Claim, LineView, Loss, Piece, Store
from nii_edge.edge.lines import cut_of
from nii_edge.errors import FrameError
from nii_edge.records import Gap, Reason, Report
from nii_edge.telemetry import logger
from nii_edge.wire import Buffer, BusyMessage, LinesAckMessage, LinesMessage

FINISHED = 16
"""Lanes of epochs that are over whose last verdicts may still come."""
OVER = 1_024
"""Epochs remembered as over."""
LONGEST_HOLD_S = 5.0
"""A belt held for so long holds itself: what its own cartons wait for lies on lines that are not taken. The
next carton is taken without room then, and is UNKNOWN(OVERLOAD)."""


class LineLane:
    """One epoch of one line scanner; see the module."""

    def __init__(self, scanner: str, epoch: int, lane: Lane, high: int, around: Surroundings) -> None:
        """`high`: the highest number this epoch has in the ledger."""
        self.epoch = epoch
        self._scanner = scanner
        self._lane = lane
        self._scan = line_scan(lane.profile)
        self._around = around
        self._store = Store(scanner, around.slots, around.admission)
        self._views: dict[int, LineView] = {}
        self._cartons = Cartons(scanner, epoch, lane.profile, high, around, self._store, self._acknowledge)
        self._heard_at = around.clock.monotonic()
        self._log = logger("lines")

    # ---- chunks

    def take(self, peer: bytes, chunk: Chunk) -> None:
        """A chunk that holds together. One that is not the next is not taken; the reply names the next.

        Raises:
            FrameError: it does not follow what came before: SEQ_REUSED or BAD_HEADER.
        """
        message = chunk.message
        view = self._view(chunk)
        self._greet(peer, view, message)
        wanted = view.wanted(message)
        if view.next and message.chunk < view.next:
            self._again(peer, view, chunk)
            return
        if message.chunk != wanted:
            self._reply(peer, view, wanted, again=True)
            return
        view.check(chunk.lines.encoder)
        held = view.held_since is not None
        if self._must_wait(view, chunk):
            self._turn_away(peer, message)
            return
        view.take(chunk)
        self._heard_at = self._around.clock.monotonic()
        self._around.metrics.lines_received.labels(self._scanner).inc(message.lines)
        self._cartons.passed(int(chunk.lines.encoder.max()) // self._scan.counts_per_line + 1)
        self._cartons.judge(self._frontiers())
        if held:
            self._reply(peer, view, view.next)  # the belt may move again
        self._acknowledge([view])

    def _view(self, chunk: Chunk) -> LineView:
        """The view, made at its first chunk. Raises FrameError if its lines have changed."""
        message, form = chunk.message, chunk.form
        view = self._views.get(message.view)
        if view is None:
            detector = self._lane.detectors[message.view] if self._lane.detectors else None
            cut = cut_of(self._scan, form, message.view, detector)
            view = LineView(message.view, form, message.width, cut, self._store, self._ended, self._lost)
            self._views[message.view] = view
        elif (view.width, view.form) != (message.width, form):
            raise FrameError(
                Reason.BAD_HEADER,
                f"lines of {message.width} pixels, {list(form.channels)} {form.dtype}; this epoch began with "
                f"{view.width}, {list(view.form.channels)} {view.form.dtype}. Begin a new epoch",
            )
        return view

    def _again(self, peer: bytes, view: LineView, chunk: Chunk) -> None:
        """A chunk that was taken before: the verdicts of what ends in it, then how far things are done."""
        message = chunk.message
        if not view.same_as_before(message.chunk, chunk.crc32):
            raise FrameError(Reason.SEQ_REUSED, f"chunk {message.chunk} has come with other content")
        self._cartons.tell_again(view.view, message.acked)
        self._reply(peer, view, view.next)

    def _greet(self, peer: bytes, view: LineView, message: LinesMessage) -> None:
        """The scanner's newest connection gets all answers, also those that an older one may have lost."""
        if peer != self._cartons.peer:
            self._cartons.heard_over(peer)
        if view.peer != peer:
            view.peer = peer
            self._cartons.tell_again(view.view, message.acked)

    def _must_wait(self, view: LineView, chunk: Chunk) -> bool:
        """True if a carton may begin in this chunk that there is no room for, and the lane blocks then."""
        if self._lane.overload != "block":
            return False
        begins = view.begins(chunk.lines)
        if begins and not self._around.admission.has_slots(self._scanner, begins):
            now = self._around.clock.monotonic()
            view.held_since = now if view.held_since is None else view.held_since
            if now < view.held_since + LONGEST_HOLD_S:
                return True
        view.held_since = None
        return False

    def _turn_away(self, peer: bytes, message: LinesMessage) -> None:
        self._around.metrics.overloads.labels(self._scanner, "block").inc()
        busy = BusyMessage(
            scanner=self._scanner,
            epoch=self.epoch,
            chunk=message.chunk,
            view=message.view,
            retry_ms=round(1000 * RETRY_S),
        )
        self._around.effects.reply(peer, busy)

    def _acknowledge(self, views: Iterable[LineView]) -> None:
        peer = self._cartons.peer
        for view in views:
            if view.settle() and view.peer == peer:  # else its verdicts have to be told again first
                self._reply(peer, view, view.next)

    def _reply(self, peer: bytes, view: LineView, wanted: int, again: bool = False) -> None:
        message = LinesAckMessage(
            scanner=self._scanner,
            epoch=self.epoch,
            view=view.view,
            chunk=view.done,
            next=wanted,
            again=again,
        )
        self._around.effects.reply(peer, message)

    # ---- what the views find

    def _frontiers(self) -> dict[int, int]:
        return {number: view.frontier for number, view in self._views.items()}

    def _ended(self, piece: Piece) -> None:
        self._cartons.ended(self._views[piece.view], piece)

    def _lost(self, view: int, loss: Loss) -> None:
        """A stretch of the belt passed unseen. If a carton may have been on it, that is a hole in the ledger;
        its chunk is not done before that is on disk."""
        if loss.lines is not None:
            self._around.metrics.lines_lost.labels(self._scanner).inc(loss.lines)
        known = loss.lines is not None and loss.lines < self._scan.lines(self._scan.min_length_mm)
        self._log.warning(
            "lines lost", scanner=self._scanner, view=view, place=loss.first, lines=loss.lines, harmless=known
        )
        if known:
            return
        gap = Gap(
            edge=self._around.edge,
            scanner=self._scanner,
            epoch=self.epoch,
            first=loss.first,
            last=loss.first,
            noticed_at_ns=self._around.clock.wall_ns(),
            scan_type=loss.scan_type,
        )
        claim = Claim(loss.first - 1)  # with a line from before it, so that a resend shows it again
        side = self._views[view]
        side.claims.append(claim)
        self._around.metrics.scans_missing.labels(self._scanner).inc()

        def on_disk() -> None:
            side.claims.remove(claim)
            self._acknowledge([side])

        self._around.effects.miss(gap, on_disk)

    # ---- verdicts and time

    def concluded(self, report: Report) -> bool:
        """The verdict of a scan is on disk and was sent. False if the scan is none of this lane's."""
        return self._cartons.concluded(report)

    def silent_since(self) -> float | None:
        """Since when no line has come while a carton is in the tunnel (monotonic seconds); None if none
        is. The belt may only stand: there is no verdict yet, and its lines are not acknowledged."""
        inside = self._cartons.waiting or any(view.open for view in self._views.values())
        return self._heard_at if inside else None

    def due(self) -> float | None:
        """When `expire` has something to do, in monotonic seconds; None if nothing is waited for."""
        return self._cartons.due()

    def expire(self) -> None:
        """Judge cartons without the views that did not come in time."""
        self._cartons.expire()

    def finish(self, why: str) -> None:
        """The epoch is over: what is still open is CUT."""
        for view in self._views.values():
            view.finish(why)
        self._cartons.judge(self._frontiers(), overdue=True)


class LineLanes:
    """The lines of all scanners, each in its newest epoch."""

    def __init__(self, lanes: Mapping[str, Lane], max_bytes: int, around: Surroundings) -> None:
        """`max_bytes`: the largest picture of a carton."""
        self._configured = dict(lanes)
        self._max_bytes = max_bytes
        self._around = around
        self._high: dict[tuple[str, int], int] = {}
        self._lanes: dict[str, LineLane] = {}
        self._finished: deque[LineLane] = deque(maxlen=FINISHED)
        self._over: dict[tuple[str, int], None] = {}

    def resume(self, high_water: Mapping[tuple[str, int], int]) -> None:
        """Go on where the ledger stopped."""
        self._high = dict(high_water)

    def receive(self, peer: bytes, message: LinesMessage, payload: Buffer) -> None:
        """A chunk of a scanner that is in the configuration. Raises FrameError: it is not taken, and why."""
        name, epoch = message.scanner, message.epoch
        configured = self._configured[name]
        chunk = line_chunk.read(message, payload, configured, self._max_bytes)
        lane = self._lanes.get(name)
        if lane is None or lane.epoch != epoch:
            if (name, epoch) in self._over:
                raise FrameError(Reason.SEQ_REUSED, f"epoch {epoch} is over: {name} has begun another")
            if lane is not None:
                self._end(name, lane)
            high = self._high.get((name, epoch), 0)
            lane = self._lanes[name] = LineLane(name, epoch, configured, high, self._around)
        lane.take(peer, chunk)

    def _end(self, name: str, lane: LineLane) -> None:
        lane.finish("a new epoch began before its end")
        self._finished.append(lane)
        self._over[name, lane.epoch] = None
        if len(self._over) > OVER:
            del self._over[next(iter(self._over))]

    def concluded(self, report: Report) -> None:
        """A verdict is on disk and was sent."""
        for lane in (*self._lanes.values(), *self._finished):
            if lane.concluded(report):
                return

    def expire(self) -> None:
        """Judge cartons without the views that did not come in time."""
        for lane in self._lanes.values():
            lane.expire()

    def silent_since(self) -> dict[str, float]:
        """By lane with a carton in its tunnel, since when no line has come."""
        found = {name: lane.silent_since() for name, lane in self._lanes.items()}
        return {name: since for name, since in found.items() if since is not None}

    def due(self) -> list[float]:
        """When `expire` has something to do, in monotonic seconds."""
        return [due for lane in self._lanes.values() if (due := lane.due()) is not None]

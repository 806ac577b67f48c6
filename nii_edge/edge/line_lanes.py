"""Lines of line scanners to scans: cuts each view, finds the views of one carton, numbers it by its place on
the belt, and tells the scanner which chunks it may forget.

A scan's number is the place of its trailing edge. So the same lines give the same number, whatever was lost
before them and however often daemon or scanner were restarted; what ends within a gap of a recorded carton is
that carton. A chunk is done when every carton in it has its verdict on disk. All calls come from the ingest
thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from nii_edge.config import Profile
from nii_edge.edge import fit, line_chunk
from nii_edge.edge.admission import Admission
from nii_edge.edge.belt import Group, Matcher
from nii_edge.edge.case import Effects
from nii_edge.edge.line_chunk import Chunk, line_scan
from nii_edge.edge.line_view import Claim, LineView, Loss, Piece, Store
from nii_edge.edge.lines import cut_of
from nii_edge.edge.open_scan import OpenScan, View, verdict_message
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Clock, StoredScan
from nii_edge.records import Gap, Reason, Report, ScanId, ScanType
from nii_edge.telemetry import Metrics, logger
from nii_edge.wire import Belt, Buffer, FrameMessage, LinesAckMessage, LinesMessage, RefusedMessage

FINISHED = 16
"""Lanes of epochs that are over whose last verdicts may still come."""
OVER = 1_024
"""Epochs remembered as over."""
RECENT = 256
"""Cartons whose verdict is sent again when their lines come again."""


class Surroundings(NamedTuple):
    """What the lanes share. `begin`: make a scan of a complete carton; its error, if any, is its verdict."""

    edge: str
    slots: SlotPool
    admission: Admission
    effects: Effects
    clock: Clock
    metrics: Metrics
    view_timeout_s: float
    begin: Callable[[OpenScan, FrameError | None], None]


class _Told(NamedTuple):
    """A carton with a verdict, where it lies, and by view a chunk it had ended in."""

    report: Report
    belt: Belt
    chunks: Mapping[int, int]


class _Pending(NamedTuple):
    """A carton on its way to its verdict, the claims on its lines, and by view a chunk it had ended in."""

    group: Group[Piece]
    claims: tuple[tuple[LineView, Claim], ...]
    chunks: Mapping[int, int]


class _Late(NamedTuple):
    """Since when cartons are waited for that the belt has brought past the last view, and how far it was."""

    since: float
    passed: int


class LineLane:
    """One epoch of one line scanner; see the module."""

    def __init__(self, scanner: str, epoch: int, profile: Profile, high: int, around: Surroundings) -> None:
        """`high`: the highest number this epoch has in the ledger."""
        self.epoch = epoch
        self._scanner = scanner
        self._profile = profile
        self._scan = line_scan(profile)
        self._gap = self._scan.lines(self._scan.min_gap_mm)
        self._high = high
        self._around = around
        self._store = Store(scanner, around.slots, around.admission)
        self._views: dict[int, LineView] = {}
        self._matcher: Matcher[Piece] = Matcher(len(profile.views), self._gap)
        self._claims: dict[Piece, Claim] = {}
        self._pending: dict[ScanId, _Pending] = {}
        self._told: deque[_Told] = deque(maxlen=RECENT)
        self._opened: dict[ScanId, OpenScan] = {}
        self._passed = 0
        self._late: _Late | None = None
        self._peer = b""
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
        view.take(chunk)
        self._around.metrics.lines_received.labels(self._scanner).inc(message.lines)
        self._passed = max(self._passed, int(chunk.lines.encoder.max()) // self._scan.counts_per_line + 1)
        self._judge_complete()
        self._acknowledge(view)

    def _view(self, chunk: Chunk) -> LineView:
        """The view, made at its first chunk. Raises FrameError if its lines have changed."""
        message, form = chunk.message, chunk.form
        view = self._views.get(message.view)
        if view is None:
            cut = cut_of(self._scan, form, message.view)
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
        self._tell_again(view, message)
        self._reply(peer, view, view.next)

    def _greet(self, peer: bytes, view: LineView, message: LinesMessage) -> None:
        """The scanner's newest connection gets all answers, also those that an older one may have lost."""
        if peer != self._peer:
            self._peer = peer
            for opened in self._opened.values():
                opened.peer = peer
        if view.peer != peer:
            view.peer = peer
            self._tell_again(view, message)

    def _tell_again(self, view: LineView, message: LinesMessage) -> None:
        """Verdicts that the sender may not have heard, since their chunks are not acknowledged to it."""
        for carton in self._told:
            if carton.chunks.get(view.view, 0) > message.acked:
                self._tell(carton.report, carton.belt)

    def _acknowledge(self, *views: LineView) -> None:
        for view in views:
            if view.settle() and view.peer == self._peer:  # else its verdicts have to be told again first
                self._reply(self._peer, view, view.next)

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

    # ---- cartons

    def _ended(self, piece: Piece) -> None:
        """A view has cut a carton out: its lines are needed until it has its verdict."""
        view = self._views[piece.view]
        self._claims[piece] = claim = Claim(piece.first - view.cut.reach)
        view.claims.append(claim)
        self._matcher.add(piece.view, piece)

    def _judge_complete(self, overdue: bool = False) -> None:
        frontiers = {number: view.frontier for number, view in self._views.items()}
        while (group := self._matcher.take(frontiers, overdue)) is not None:
            self._judge(group)

    def _judge(self, group: Group[Piece]) -> None:
        """A complete carton: new, or one that has its number in the ledger."""
        pieces = (*group.views.values(), *group.rest)
        claims = tuple((self._views[piece.view], self._claims.pop(piece)) for piece in pieces)
        for piece in group.rest:
            self._store.give_back(piece)
        scan = self._scan_at(group.number)
        chunks = {view.view: view.next - 1 for view, _ in claims}
        pending = _Pending(group, claims, chunks)
        if group.number > self._high + self._gap:
            self._begin(scan, pending)
        else:
            self._around.effects.find_near(scan, self._gap, lambda stored: self._known(scan, pending, stored))

    def _known(self, scan: ScanId, pending: _Pending, stored: StoredScan | None) -> None:
        """The ledger's word on what ends near this place."""
        if stored is None:
            self._begin(scan, pending)
            return
        for piece in pending.group.views.values():
            self._store.give_back(piece)
        if stored.report is not None:
            self._tell(stored.report, self._belt(pending.group))
        if stored.pruned:
            self._refuse_old(scan, pending)
        self._release(pending)

    def _refuse_old(self, scan: ScanId, pending: _Pending) -> None:
        """Its number had a verdict so long ago that only the archive knows it; or its encoder restarted."""
        detail = (
            f"place {scan.seq} of the belt had its verdict long ago; if the encoder started over, begin a "
            "new epoch"
        )
        self._log.warning("lines of long ago", scan=str(scan))
        for view, chunk in pending.chunks.items():
            message = RefusedMessage(
                reason=Reason.SEQ_REUSED,
                detail=detail,
                scanner=self._scanner,
                epoch=self.epoch,
                view=view,
                chunk=chunk,
            )
            self._around.effects.reply(self._peer, message)

    def _begin(self, scan: ScanId, pending: _Pending) -> None:
        """Make a scan of a carton and have it looked at, or give it its UNKNOWN."""
        group, clock = pending.group, self._around.clock
        self._high = max(self._high, scan.seq)
        pieces = group.views
        now = clock.monotonic()
        opened = OpenScan(
            id=scan,
            first=self._header(scan, pieces[min(pieces)], _scan_type(group)),
            peer=self._peer,
            views_expected=len(self._profile.views),
            received_at_ns=clock.wall_ns(),
            first_at=now,
            complete_at=now,
            belt=self._belt(group),
        )
        for number, piece in pieces.items():
            if piece.slot is not None:
                opened.views[number] = self._picture(scan, piece, piece.slot)
        self._pending[scan] = pending
        self._opened[scan] = opened
        self._around.begin(opened, _error(group))

    def _picture(self, scan: ScanId, piece: Piece, slot: int) -> View:
        message = self._header(scan, piece, piece.scan_type)
        frame = fit.frame(message, self._profile, piece.form, slot, piece.shape)
        return View(slot=slot, message=message, frame=frame, digest=piece.digest.hexdigest())

    def _header(self, scan: ScanId, piece: Piece, scan_type: ScanType) -> FrameMessage:
        return FrameMessage(
            scanner=scan.scanner,
            epoch=scan.epoch,
            seq=scan.seq,
            view=piece.view,
            channels=piece.form.channels,
            dtype=piece.form.dtype,
            height=max(1, piece.rows),
            width=piece.width,
            scan_type=scan_type,
        )

    def concluded(self, report: Report) -> bool:
        """The verdict of a scan is on disk and was sent. False if the scan is none of this lane's."""
        scan = report.verdict.id
        if scan not in self._opened:
            return False
        opened, pending = self._opened.pop(scan), self._pending.pop(scan)
        self._told.append(_Told(report, opened.belt or self._belt(pending.group), pending.chunks))
        self._release(pending)
        return True

    def _release(self, pending: _Pending) -> None:
        for view, claim in pending.claims:
            view.claims.remove(claim)
        self._acknowledge(*{view.view: view for view, _ in pending.claims}.values())

    def _tell(self, report: Report, belt: Belt) -> None:
        self._around.effects.reply(self._peer, verdict_message(report, belt))

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
            self._acknowledge(side)

        self._around.effects.miss(gap, on_disk)

    def _scan_at(self, place: int) -> ScanId:
        return ScanId(edge=self._around.edge, scanner=self._scanner, epoch=self.epoch, seq=place)

    def _belt(self, group: Group[Piece]) -> Belt:
        counts = self._scan.counts_per_line
        return Belt(first=(group.first - 1) * counts, last=group.number * counts - 1)

    # ---- time

    def due(self) -> float | None:
        """When cartons whose other views do not come are given up, in monotonic seconds; None if none waits.
        Time counts once the belt has brought them past the last view."""
        until = self._matcher.waits_until()
        if until is None or self._passed <= until + self._gap:
            self._late = None
            return None
        if self._late is None:
            self._late = _Late(self._around.clock.monotonic(), self._passed)
        return self._late.since + self._around.view_timeout_s

    def expire(self) -> None:
        """Judge cartons without the views that did not come in time."""
        due, late = self.due(), self._late
        if due is None or late is None or self._around.clock.monotonic() < due:
            return
        while (until := self._matcher.waits_until()) is not None and until + self._gap < late.passed:
            group = self._matcher.take({}, overdue=True)
            if group is not None:
                self._judge(group)
        self._late = None

    def finish(self, why: str) -> None:
        """The epoch is over: what is still open is CUT."""
        for view in self._views.values():
            view.finish(why)
        self._judge_complete(overdue=True)


class LineLanes:
    """The lines of all scanners, each in its newest epoch."""

    def __init__(self, profiles: Mapping[str, Profile], max_bytes: int, around: Surroundings) -> None:
        """`max_bytes`: the largest picture of a carton."""
        self._profiles = dict(profiles)
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
        profile = self._profiles[name]
        chunk = line_chunk.read(message, payload, profile, self._max_bytes)
        lane = self._lanes.get(name)
        if lane is None or lane.epoch != epoch:
            if (name, epoch) in self._over:
                raise FrameError(Reason.SEQ_REUSED, f"epoch {epoch} is over: {name} has begun another")
            if lane is not None:
                self._end(name, lane)
            high = self._high.get((name, epoch), 0)
            lane = self._lanes[name] = LineLane(name, epoch, profile, high, self._around)
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

    def due(self) -> list[float]:
        """When `expire` has something to do, in monotonic seconds."""
        return [due for lane in self._lanes.values() if (due := lane.due()) is not None]


def _scan_type(group: Group[Piece]) -> ScanType:
    """OPERATIONAL if any view says so."""
    real = any(piece.scan_type is ScanType.OPERATIONAL for piece in group.views.values())
    return ScanType.OPERATIONAL if real else ScanType.NON_OPERATIONAL


def _error(group: Group[Piece]) -> FrameError | None:
    """Why a carton cannot be looked at, if it cannot."""
    pieces = group.views.values()
    if len({piece.scan_type for piece in pieces}) > 1:
        return FrameError(Reason.BAD_HEADER, "scan_type differs between the views of one carton")
    if group.flaw is not None:
        return FrameError(*group.flaw)
    return next((piece.error for piece in pieces if piece.error is not None), None)

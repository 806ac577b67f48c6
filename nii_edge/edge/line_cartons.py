"""The cartons of one epoch of a line scanner: found in each view, brought together, numbered by their place
on the belt, looked at, and told.

A scan's number is the place of its trailing edge. So the same lines give the same number, whatever was lost
before them and however often daemon or scanner were restarted; what ends within a gap of a recorded carton is
that carton. All calls come from the ingest thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from nii_edge.config import Profile
from nii_edge.edge import fit
from nii_edge.edge.admission import Admission
from nii_edge.edge.belt import Group, Matcher
from nii_edge.edge.case import Effects
from nii_edge.edge.line_chunk import line_scan
from nii_edge.edge.line_view import Claim, LineView, Piece, Store
from nii_edge.edge.open_scan import OpenScan, View, verdict_message
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Clock, StoredScan
from nii_edge.records import Reason, Report, ScanId, ScanType
from nii_edge.telemetry import Metrics, logger
from nii_edge.wire import Belt, FrameMessage, RefusedMessage

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


class Cartons:
    """See the module. `peer`: the connection that hears of them."""

    def __init__(
        self,
        scanner: str,
        epoch: int,
        profile: Profile,
        high: int,
        around: Surroundings,
        store: Store,
        done: Callable[[Iterable[LineView]], None],
    ) -> None:
        """`high`: the highest number this epoch has in the ledger. `done`: called with views of whose lines
        fewer are needed."""
        self.peer = b""
        self._scanner = scanner
        self._epoch = epoch
        self._profile = profile
        self._scan = line_scan(profile)
        self._gap = self._scan.lines(self._scan.min_gap_mm)
        self._high = high
        self._around = around
        self._store = store
        self._done = done
        self._matcher: Matcher[Piece] = Matcher(len(profile.views), self._gap)
        self._claims: dict[Piece, tuple[LineView, Claim]] = {}
        self._pending: dict[ScanId, _Pending] = {}
        self._told: deque[_Told] = deque(maxlen=RECENT)
        self._opened: dict[ScanId, OpenScan] = {}
        self._passed = 0
        self._late: _Late | None = None
        self._log = logger("lines")

    def heard_over(self, peer: bytes) -> None:
        """The scanner has a new connection: it gets all answers, also those that an older one may have
        lost."""
        self.peer = peer
        for opened in self._opened.values():
            opened.peer = peer

    def ended(self, view: LineView, piece: Piece) -> None:
        """A view has cut a carton out: its lines are needed until it has its verdict."""
        claim = Claim(piece.first - view.cut.reach)
        self._claims[piece] = view, claim
        view.claims.append(claim)
        self._matcher.add(piece.view, piece)

    def judge(self, frontiers: Mapping[int, int], overdue: bool = False) -> None:
        """Have all complete cartons looked at. `frontiers` as in `Matcher.take`."""
        while (group := self._matcher.take(frontiers, overdue)) is not None:
            self._judge(group)

    def tell_again(self, view: int, acked: int) -> None:
        """Verdicts that the sender may not have heard, since their chunks are not acknowledged to it."""
        for carton in self._told:
            if carton.chunks.get(view, 0) > acked:
                self._tell(carton.report, carton.belt)

    def concluded(self, report: Report) -> bool:
        """The verdict of a scan is on disk and was sent. False if the scan is none of this lane's."""
        scan = report.verdict.id
        if scan not in self._opened:
            return False
        opened, pending = self._opened.pop(scan), self._pending.pop(scan)
        self._told.append(_Told(report, opened.belt or self._belt(pending.group), pending.chunks))
        self._release(pending)
        return True

    # ---- time

    @property
    def waiting(self) -> bool:
        """A carton has ended in a view, and not in all of them."""
        return bool(self._claims)

    def passed(self, place: int) -> None:
        """The belt has come so far."""
        self._passed = max(self._passed, place)

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

    # ---- parts

    def _judge(self, group: Group[Piece]) -> None:
        """A complete carton: new, or one that has its number in the ledger."""
        pieces = (*group.views.values(), *group.rest)
        claims = tuple(self._claims.pop(piece) for piece in pieces)
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
            told = _Told(stored.report, self._belt(pending.group), pending.chunks)
            self._told.append(told)  # this answer may be lost with its connection, too
            self._tell(told.report, told.belt)
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
                epoch=self._epoch,
                view=view,
                chunk=chunk,
            )
            self._around.effects.reply(self.peer, message)

    def _begin(self, scan: ScanId, pending: _Pending) -> None:
        """Make a scan of a carton and have it looked at, or give it its UNKNOWN."""
        group, clock = pending.group, self._around.clock
        self._high = max(self._high, scan.seq)
        pieces = group.views
        now = clock.monotonic()
        opened = OpenScan(
            id=scan,
            first=self._header(scan, pieces[min(pieces)], _scan_type(group)),
            peer=self.peer,
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

    def _release(self, pending: _Pending) -> None:
        for view, claim in pending.claims:
            view.claims.remove(claim)
        self._done({view.view: view for view, _ in pending.claims}.values())

    def _tell(self, report: Report, belt: Belt) -> None:
        self._around.effects.reply(self.peer, verdict_message(report, belt))

    def _scan_at(self, place: int) -> ScanId:
        return ScanId(edge=self._around.edge, scanner=self._scanner, epoch=self._epoch, seq=place)

    def _belt(self, group: Group[Piece]) -> Belt:
        counts = self._scan.counts_per_line
        return Belt(first=(group.first - 1) * counts, last=group.number * counts - 1)


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

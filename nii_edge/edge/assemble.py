"""Views to scans. Knows which scans are open, holds every number to exactly one verdict, owns no socket.

All calls come from the ingest thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from isal import isal_zlib

from nii_edge import wire
from nii_edge.config import Format
from nii_edge.edge import fit
from nii_edge.edge.admission import Admission, Lane
from nii_edge.edge.case import Effects
from nii_edge.edge.decide import unknown
from nii_edge.edge.jobs import Decoded, DecodeJob
from nii_edge.edge.line_cartons import Surroundings
from nii_edge.edge.line_lanes import LineLanes
from nii_edge.edge.open_scan import OpenScan, View, ack, busy, digest, verdict_message
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import CalibrationFault, FrameError, WireError
from nii_edge.ports import Clock, Intend, StoredScan
from nii_edge.records import Gap, Reason, Report, ScanId, ScanType
from nii_edge.telemetry import Metrics, logger
from nii_edge.wire import Buffer, FrameMessage, FromScanner, LinesMessage, RefusedMessage
from nii_edge.xray import quality, whole
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.transmission import misfit

MAX_LOOKUPS = 32
"""Frames kept while the ledger is asked about their number; what comes on top must be sent again."""


class Limits(NamedTuple):
    """Times in seconds, sizes in bytes."""

    deadline_s: float
    view_timeout_s: float
    max_frame_bytes: int


class Arrival(NamedTuple):
    """A frame message that names a lane of ours; `error` if its header is otherwise wrong."""

    peer: bytes
    message: FrameMessage
    payload: Buffer
    error: FrameError | None = None


class Assembler:
    """Frames of many scanners to scans; see the module."""

    def __init__(
        self,
        edge: str,
        lanes: Mapping[str, Lane],
        limits: Limits,
        slots: SlotPool,
        effects: Effects,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._edge = edge
        self._profiles = {name: lane.profile for name, lane in lanes.items()}
        self._detectors = {name: lane.detectors for name, lane in lanes.items() if lane.detectors}
        self._limits = limits
        self._slots = slots
        self._effects = effects
        self._clock = clock
        self._metrics = metrics
        self._open: dict[ScanId, OpenScan] = {}
        self._high: dict[tuple[str, int], int] = {}
        self._admission = Admission(lanes, slots, clock, metrics)
        around = Surroundings(
            edge, slots, self._admission, effects, clock, metrics, limits.view_timeout_s, self._adopt
        )
        self._lines = LineLanes(lanes, limits.max_frame_bytes, around)
        self._looking_up = 0
        self._told: set[tuple[bytes, str]] = set()
        self._leaving: FrameError | None = None
        self._log = logger("ingest")

    def resume(self, high_water: dict[tuple[str, int], int]) -> None:
        """Go on where the ledger stopped."""
        self._high = dict(high_water)
        self._lines.resume(high_water)

    @property
    def open_scans(self) -> int:
        """Scans without a verdict on disk."""
        return len(self._open)

    # ---- frames

    def receive(self, peer: bytes, parts: Sequence[Buffer], sender: str | None = None) -> None:
        """One message from a scanner; `sender` as in `ScannerMessage`. Never raises for what a peer sent."""
        try:
            message, payload = wire.decode_from_scanner(parts)
        except WireError as error:
            self._unreadable(peer, parts, sender, error)
            return
        if not self._may_say(peer, message, sender):
            return
        if message.scanner not in self._profiles:
            self._refuse(peer, message, Reason.UNKNOWN_SCANNER, self._no_such(message.scanner))
            return
        if isinstance(message, LinesMessage):
            self._receive_lines(peer, message, payload)
            return
        self._metrics.frames_received.labels(message.scanner).inc()
        self._metrics.last_frame.labels(message.scanner).set(self._clock.wall_ns() / 1e9)
        self._place(Arrival(peer, message, payload))

    def _receive_lines(self, peer: bytes, message: LinesMessage, payload: Buffer) -> None:
        if self._leaving is not None:  # not acknowledged: they will be sent to the next daemon
            return
        try:
            self._lines.receive(peer, message, payload)
        except FrameError as error:
            self._refuse(peer, message, error.reason, error.detail)

    def _may_say(self, peer: bytes, message: FromScanner, sender: str | None) -> bool:
        """A scanner speaks for itself alone, as its key has it."""
        if sender is None or sender == message.scanner:
            return True
        detail = (
            f"this key is {sender}'s, the message says {message.scanner}" if sender
            else "this key is not in the allow-list any more"
        )  # fmt: skip
        self._refuse(peer, message, Reason.NOT_ALLOWED, detail)
        return False

    def _unreadable(self, peer: bytes, parts: Sequence[Buffer], sender: str | None, error: WireError) -> None:
        identity = wire.identify(parts)
        if identity is None or error.reason is Reason.VERSION:
            lines = None if error.reason is Reason.VERSION else wire.identify_lines(parts)
            if lines is None or self._may_say(peer, lines, sender):
                self._refuse(peer, lines, error.reason, error.detail)
            return
        message = FrameMessage(
            scanner=identity.scanner,
            epoch=identity.epoch,
            seq=identity.seq,
            view=identity.view_index,
            scan_type=ScanType.NON_OPERATIONAL if identity.is_test else ScanType.OPERATIONAL,
        )
        if not self._may_say(peer, message, sender):
            return
        if identity.scanner not in self._profiles:
            self._refuse(peer, message, Reason.UNKNOWN_SCANNER, self._no_such(identity.scanner))
            return
        self._metrics.frames_received.labels(message.scanner).inc()
        self._metrics.last_frame.labels(message.scanner).set(self._clock.wall_ns() / 1e9)
        self._place(Arrival(peer, message, b"", FrameError(Reason.BAD_HEADER, error.detail)))

    def _place(self, arrival: Arrival) -> None:
        """A view of an open scan, a new scan, or a number that was used before."""
        message = arrival.message
        if self._profiles[message.scanner].line_scan is not None:  # frames have numbers of another kind
            detail = f"a frame; the profile {self._profiles[message.scanner].name!r} has lines (`line_scan`)"
            self._refuse(arrival.peer, message, Reason.PROFILE_MISMATCH, detail)
            return
        scan = ScanId(edge=self._edge, scanner=message.scanner, epoch=message.epoch, seq=message.seq)
        lane, high = (message.scanner, message.epoch), self._high.get((message.scanner, message.epoch), 0)
        if scan in self._open:
            self._add(self._open[scan], arrival)
        elif scan.seq <= high:
            self._look_up(scan, arrival)
        elif arrival.error is None and self._leaving is None and self._admission.must_wait(scan):
            self._effects.reply(arrival.peer, busy(scan, message.view))
        else:
            gap = self._gap(scan, message.scan_type, high + 1) if scan.seq > high + 1 else None
            self._high[lane] = scan.seq
            self._begin(scan, arrival, gap)

    def _look_up(self, scan: ScanId, arrival: Arrival) -> None:
        if self._looking_up >= MAX_LOOKUPS:
            self._metrics.messages_refused.labels(Reason.OVERLOAD.value).inc()
            return  # not acknowledged: it will be sent again
        self._looking_up += 1
        kept = arrival._replace(payload=bytes(arrival.payload))
        self._effects.look_up(scan, lambda stored: self._used_before(scan, kept, stored))

    def _used_before(self, scan: ScanId, arrival: Arrival, stored: StoredScan | None) -> None:
        """The ledger's word on a number at or below the highest seen."""
        self._looking_up -= 1
        if scan in self._open:
            self._add(self._open[scan], arrival)
        elif stored is None:  # it fills a hole: late, but never seen
            self._begin(scan, arrival)
        elif stored.report is not None:
            self._answer_again(arrival, stored.report)
        elif stored.pruned:
            detail = "this number had its verdict long ago; the archive has its report"
            self._refuse(arrival.peer, arrival.message, Reason.SEQ_REUSED, detail)

    def _answer_again(self, arrival: Arrival, report: Report) -> None:
        message = arrival.message
        known = dict(entry.split(":", 1) for entry in report.frames)
        before = known.get(str(message.view))
        if before is not None and before != digest(message, arrival.payload):
            self._refuse(arrival.peer, message, Reason.SEQ_REUSED, f"report {report.report_id} stands")
            return
        self._metrics.frame_duplicates.labels(message.scanner).inc()
        self._effects.reply(arrival.peer, ack(report.verdict.id, message.view))
        self._effects.reply(arrival.peer, verdict_message(report))

    def _gap(self, scan: ScanId, scan_type: ScanType, first: int) -> Gap:
        gap = Gap(
            edge=self._edge,
            scanner=scan.scanner,
            epoch=scan.epoch,
            first=first,
            last=scan.seq - 1,
            noticed_at_ns=self._clock.wall_ns(),
            scan_type=scan_type,
        )
        self._metrics.scans_missing.labels(scan.scanner).inc(scan.seq - first)
        self._log.warning("numbers missing", scanner=scan.scanner, first=gap.first, last=gap.last)
        return gap

    def _begin(self, scan: ScanId, arrival: Arrival, gap: Gap | None = None) -> None:
        opened = OpenScan(
            id=scan,
            first=arrival.message,
            peer=arrival.peer,
            views_expected=len(self._profiles[scan.scanner].views),
            received_at_ns=self._clock.wall_ns(),
            first_at=self._clock.monotonic(),
        )
        self._open[scan] = opened
        self._metrics.scans_received.labels(scan.scanner, opened.first.scan_type).inc()
        intent = Intend(scan, opened.first.scan_type, opened.received_at_ns, opened.first.carton)
        self._effects.intend(intent, gap)
        self._add(opened, arrival)

    def _adopt(self, opened: OpenScan, error: FrameError | None) -> None:
        """A carton cut out of lines: all of it is here, hashed and in shared memory."""
        self._open[opened.id] = opened
        self._show(opened)
        self._metrics.scans_received.labels(opened.id.scanner, opened.first.scan_type).inc()
        self._effects.intend(Intend(opened.id, opened.first.scan_type, opened.received_at_ns), None)
        if error is not None:
            self._reject(opened, error)
            return
        self._submit_if_complete(opened)
        try:
            for view in opened.views.values():
                self._look_over(opened, view)
        except FrameError as found:
            error = found
        self._effects.checked(opened.id, opened.case().digests, error)

    def _show(self, opened: OpenScan) -> None:
        """Frames cut out of lines, to the tap as if they had come as frames."""
        for view in opened.views.values():
            if view.frame is not None:
                shown = msgspec.structs.replace(view.message, views=opened.views_expected, belt=opened.belt)
                self._effects.tap(shown, self._slots.frame(view.frame).pixels.data.cast("B"))

    def _add(self, opened: OpenScan, arrival: Arrival) -> None:
        """One more message for an open scan: a view, a resend, or something wrong."""
        message = arrival.message
        seen = opened.views.get(message.view)
        if seen is not None and seen.digest is not None and arrival.error is None:
            if seen.digest != digest(message, arrival.payload):
                self._refuse(arrival.peer, message, Reason.SEQ_REUSED, "this view has arrived already")
                return
            self._metrics.frame_duplicates.labels(message.scanner).inc()
            opened.peer = arrival.peer
            self._ack(opened, arrival)
            return
        opened.peer = arrival.peer
        if opened.submitted or opened.closing:
            self._ack(opened, arrival)  # its verdict comes without this view
            return
        self._ack(opened, arrival)
        try:
            error = arrival.error or self._leaving
            if error is not None:
                raise error
            self._take(opened, arrival)
        except FrameError as found:
            self._reject(opened, found)

    def _take(self, opened: OpenScan, arrival: Arrival) -> None:
        """Check a view and move it to shared memory. Raises FrameError."""
        message, payload = arrival.message, arrival.payload
        form = self._check(opened, message, payload)
        slot = self._admission.acquire(message.scanner, opened.id)
        self._slots.buffer(slot, len(payload))[:] = payload
        view = View(slot=slot, message=message)
        opened.views[message.view] = view
        if len(opened.views) == opened.views_expected:
            opened.complete_at = self._clock.monotonic()
        if message.encoding != "raw":
            self._finish_check(opened, view, payload)
            job = DecodeJob(slot=slot, size=len(payload), encoding=message.encoding)
            self._effects.decode(opened.id, message.view, job, self._expires_at(opened))
            return
        if message.height is None or message.width is None:
            raise FrameError(Reason.BAD_HEADER, "a raw frame needs height and width")
        view.frame = fit.frame(
            view.message,
            self._profiles[view.message.scanner],
            form,
            view.slot,
            (message.height, message.width, len(form.channels)),
        )
        self._fits(view, form, (message.height, message.width))
        # submit first: hashing then overlaps the detectors' work
        self._submit_if_complete(opened)
        self._finish_check(opened, view, payload)

    def _check(self, opened: OpenScan, message: FrameMessage, payload: Buffer) -> Format:
        """The format of a view that fits its profile and the rest of its scan. Raises FrameError."""
        if (message.scan_type, message.carton) != (opened.first.scan_type, opened.first.carton):
            if message.scan_type is ScanType.OPERATIONAL:  # if any view says so, it is a real carton
                opened.first = msgspec.structs.replace(opened.first, scan_type=message.scan_type)
            raise FrameError(Reason.BAD_HEADER, "scan_type or carton differs between the views of one scan")
        if message.scale_kg and opened.scale_kg and message.scale_kg != opened.scale_kg:
            detail = f"scale_kg is {message.scale_kg:g} here, {opened.scale_kg:g} in another view of the scan"
            raise FrameError(Reason.BAD_HEADER, detail)
        form = fit.format_of(message, self._profiles[message.scanner])
        wire.check_payload(message, len(form.channels), form.dtype, payload, self._limits.max_frame_bytes)
        return form

    def _finish_check(self, opened: OpenScan, view: View, payload: Buffer) -> None:
        """Hash and check a payload; then tell whoever decides on the scan."""
        error: FrameError | None = None
        view.digest = digest(view.message, payload)
        try:
            wire.check_crc(view.message, payload, isal_zlib.crc32)
            self._look_over(opened, view)
        except FrameError as found:
            error = found
        if opened.submitted:
            self._effects.checked(opened.id, opened.case().digests, error)
        elif error is not None:
            raise error

    def _look_over(self, opened: OpenScan, view: View) -> None:
        """Can this be a view of a carton? Raises FrameError if not."""
        if view.frame is None:  # not decoded yet
            return
        frame, detector = self._slots.frame(view.frame), self._detector(view)
        profile = self._profiles[view.message.scanner]
        bare = profile.shows == "carton" or profile.line_scan is not None
        problem = quality.problem(frame, detector, bare=bare) or whole.problem(frame, profile, detector)
        if problem is not None:
            raise FrameError(*problem)
        if frame.channels[0] in ("low", "high"):  # two views that carry noise are never equal
            equal = [number for number, other in opened.views.items() if other.digest == view.digest]
            if len(equal) > 1:
                detail = f"views {' and '.join(map(str, sorted(equal)))} are the same picture"
                raise FrameError(Reason.IMAGE_QUALITY, detail)

    def _fits(self, view: View, form: Format, shape: Sequence[int]) -> None:
        """Were counts seen by the detector that the lane is calibrated for? Raises FrameError if not."""
        detector = self._detector(view) if form.is_counts and form.dtype != "float32" else None
        words = None if detector is None else misfit(shape, detector)
        if words is not None:
            fault = CalibrationFault.WRONG_WIDTH.value
            raise FrameError(Reason.PROFILE_MISMATCH, f"view {view.message.view}: {fault}: {words}")

    def _detector(self, view: View) -> Calibration | None:
        detectors = self._detectors.get(view.message.scanner)
        return None if detectors is None else detectors[view.message.view]

    # ---- events

    def decoded(self, scan: ScanId, view_index: int, result: Decoded) -> None:
        """The decoder is done with a view."""
        opened = self._open.get(scan)
        if opened is None or opened.closing:
            return
        view = opened.views[view_index]
        try:
            if result.reason is not None:
                raise FrameError(result.reason, result.detail)
            form = fit.format_of_decoded(view.message, self._profiles[scan.scanner], result)
            view.frame = fit.frame(
                view.message, self._profiles[view.message.scanner], form, view.slot, result.shape
            )
            self._fits(view, form, result.shape)
            self._look_over(opened, view)
        except FrameError as error:
            self._reject(opened, error)
            return
        self._submit_if_complete(opened)
        if opened.submitted:
            self._effects.checked(opened.id, opened.case().digests, None)

    def intended(self, scan: ScanId) -> None:
        """The intent is on disk: the scanner may forget what it sent."""
        opened = self._open.get(scan)
        if opened is None:
            return
        opened.intended = True
        for peer, view in opened.to_ack:
            self._effects.reply(peer, ack(scan, view))
        opened.to_ack.clear()

    def concluded(self, report: Report) -> None:
        """The verdict is on disk: tell the scanner and the site, and close the scan."""
        opened = self._open.pop(report.verdict.id, None)
        self._admission.forget(report.verdict.id)
        message = verdict_message(report, None if opened is None else opened.belt)
        if opened is not None:
            self._admission.returned(opened.id.scanner, len(opened.views))
            self._effects.reply(opened.peer, message)
            self._lines.concluded(report)
        self._effects.publish(message)

    def expire(self) -> None:
        """Give up on scans whose views did not all come, or whose pictures were not decoded, in time."""
        now = self._clock.monotonic()
        if self._leaving is None:
            self._lines.expire()
        for opened in list(self._open.values()):
            if opened.submitted or opened.closing or now < self._expires_at(opened):
                continue
            if opened.complete_at is None:
                missing = [v for v in range(opened.views_expected) if v not in opened.views]
                detail = f"view {missing} did not arrive within {self._limits.view_timeout_s:g} s"
                self._reject(opened, FrameError(Reason.MISSING_VIEW, detail))
            else:
                self._reject(opened, FrameError(Reason.TIMEOUT, "its pictures were not decoded in time"))

    def oldest_open(self) -> float | None:
        """Since when the oldest scan without a verdict waits, in monotonic seconds; None if none does."""
        first = next(iter(self._open.values()), None)
        return None if first is None else first.first_at

    def silent_since(self) -> dict[str, float]:
        """By line lane with a carton in its tunnel, since when no line has come, in monotonic seconds."""
        return self._lines.silent_since()

    def next_expiry(self) -> float | None:
        """When `expire` has something to do, in monotonic seconds; None if nothing is waited for."""
        times = [self._expires_at(o) for o in self._open.values() if not (o.submitted or o.closing)]
        times += self._lines.due()
        return min(times, default=None)

    def abandon(self, reason: Reason, detail: str) -> None:
        """Conclude every scan that the engine does not have yet, and any that is still being looked up."""
        self._leaving = FrameError(reason, detail)
        for opened in list(self._open.values()):
            if not (opened.submitted or opened.closing):
                self._reject(opened, self._leaving)

    # ---- parts

    def _expires_at(self, opened: OpenScan) -> float:
        if opened.complete_at is None:
            return opened.first_at + self._limits.view_timeout_s
        return opened.complete_at + self._limits.deadline_s

    def _submit_if_complete(self, opened: OpenScan) -> None:
        if opened.complete_at is not None and all(v.frame is not None for v in opened.views.values()):
            opened.submitted = True
            self._effects.submit(opened.case())

    def _reject(self, opened: OpenScan, error: FrameError) -> None:
        opened.closing = True
        self._effects.conclude(opened.case(), unknown(error.reason, error.detail))

    def _ack(self, opened: OpenScan, arrival: Arrival) -> None:
        if opened.intended:
            self._effects.reply(arrival.peer, ack(opened.id, arrival.message.view))
        else:
            opened.to_ack.append((arrival.peer, arrival.message.view))

    def _refuse(self, peer: bytes, message: FromScanner | None, reason: Reason, detail: str) -> None:
        self._metrics.messages_refused.labels(reason.value).inc()
        if (peer, reason.value) not in self._told:
            if len(self._told) > 10_000:
                self._told.clear()
            self._told.add((peer, reason.value))
            self._log.warning("message refused", reason=reason.value, detail=detail, peer=peer.hex())
        self._effects.reply(
            peer,
            RefusedMessage(
                reason=reason,
                detail=detail,
                scanner=None if message is None else message.scanner,
                epoch=None if message is None else message.epoch,
                seq=message.seq if isinstance(message, FrameMessage) else None,
                chunk=message.chunk if isinstance(message, LinesMessage) else None,
                view=None if message is None else message.view,
                supported=(wire.VERSION,) if reason is Reason.VERSION else None,
            ),
        )

    def _no_such(self, scanner: str) -> str:
        return f"no scanner {scanner!r} in the configuration; it has {', '.join(sorted(self._profiles))}"

"""Recorded frames as the lines they may have been: to a line lane's door, chunk by chunk, as the belt moves.

Each scan is laid on a belt, air before it and behind it, and every view sees it where it stands along
the belt. Air is what the brighter end of a recorded frame shows. So the daemon cuts the cartons anew; what
was recorded cut comes out whole if air is around it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.config import Format, LineScan, Profile
from nii_edge.errors import ConfigError
from nii_edge.line_client import LineAnswer, LineChunk, LineClient
from nii_edge.ports import FrameSource
from nii_edge.records import Decision
from nii_edge.replay import WINDOW, Outgoing, ReplaySettings, Summary, Told, percentiles, scans

Lines = npt.NDArray[np.generic]
CHUNK = 32
"""Lines in a message: 50 ms of a fast belt."""
AIR = 8
"""Lines of air taken from a frame's end, to be laid between cartons in turn."""
GAPS = 1.5
"""Least gaps of air between two cartons."""


class LineSettings(NamedTuple):
    """`replay`: as for frames, but that its `rate` is lines a second. `profile`: the lane's. `belt`: the axis
    of the recorded frames along which their belt ran."""

    replay: ReplaySettings
    profile: Profile
    belt: Literal["rows", "columns"]


@dataclass(slots=True)
class _Laid:
    """A scan on the belt: its first line and the line behind it, as the last view sees them."""

    scan: Outgoing
    first: int
    end: int
    passed: bool = False


@dataclass(slots=True)
class _View:
    """The lines of one view that are still to be sent; `turn` goes round the lines of `air`."""

    form: Format
    air: Lines
    queue: deque[Lines] = field(default_factory=deque)
    waiting: int = 0
    turn: int = 0

    def put(self, lines: Lines) -> None:
        self.queue.append(lines)
        self.waiting += len(lines)

    def put_air(self, count: int) -> None:
        if count > 0:
            self.put(self.air[(self.turn + np.arange(count)) % len(self.air)])
            self.turn += count

    def take(self, count: int) -> Lines:
        """The next lines, at most as many as wait."""
        found: list[Lines] = []
        while count and self.queue:
            lines = self.queue.popleft()
            found.append(lines[:count])
            if len(lines) > count:
                self.queue.appendleft(lines[count:])
            count -= len(found[-1])
        self.waiting -= sum(map(len, found))
        return np.concatenate(found)


class _Belt:
    """One lane: what lies on its belt, and its line to the daemon."""

    def __init__(self, client: LineClient, scan: LineScan, profile: Profile, belt: str) -> None:
        self.client = client
        self._scan = scan
        self._profile = profile
        self._across = belt == "columns"
        offsets = [scan.lines(mm) for mm in scan.view_offsets_mm]
        self._offsets, self.reach = offsets, max(offsets)
        self.gap = scan.lines(scan.min_gap_mm)
        self._air = int(GAPS * self.gap) + 1
        self._views: list[_View] = []
        self._end = 0
        self.sent = 0
        self.times: deque[tuple[int, float]] = deque(maxlen=100_000)
        self.laid: list[_Laid] = []

    def lay(self, scan: Outgoing) -> str | None:
        """Lay a scan behind what lies there; why not, if it cannot be."""
        frames = [self._lines(scan, view) for view in range(len(self._offsets))]
        for number, found in enumerate(frames):
            if isinstance(found, str):
                return f"{scan.scanner}, {scan.frames[0][0].seq}: view {number}: {found}; left out"
        pictures, forms = zip(*(one for one in frames if not isinstance(one, str)), strict=True)
        if not self._views:
            self._views = [
                _View(form, _bright_end(lines)) for lines, form in zip(pictures, forms, strict=True)
            ]
            for view, offset in zip(self._views, self._offsets, strict=True):
                view.put_air(offset + self._air)
            self._end = self._air
        for view, lines in zip(self._views, pictures, strict=True):
            fresh = _bright_end(lines)
            view.air = fresh if fresh.mean() >= 0.9 * view.air.mean() else view.air
        length = max(map(len, pictures))
        for view, lines in zip(self._views, pictures, strict=True):
            view.put(lines)
            view.put_air(length - len(lines) + self._air)
        self.laid.append(_Laid(scan, self._end + self.reach, self._end + length + self.reach))
        self._end += length + self._air
        return None

    def finish(self) -> None:
        """Nothing more is laid: let the last carton pass all views."""
        for view in self._views:
            view.put_air(self._end + self.reach + self._air - self.sent - view.waiting)

    @property
    def ready(self) -> bool:
        """A chunk of every view can be sent."""
        return bool(self._views) and all(view.waiting >= CHUNK for view in self._views)

    def send(self) -> None:
        """The next lines of all views."""
        count = min(CHUNK, *(view.waiting for view in self._views))
        per_line = self._scan.counts_per_line
        for number, view in enumerate(self._views):
            lines = view.take(count)
            self.client.send(
                LineChunk(
                    pixels=np.ascontiguousarray(lines).tobytes(),
                    lines=count,
                    width=lines.shape[1],
                    encoder=self.sent * per_line,
                    step=per_line,
                    view=number,
                    barrier=bytes(-(-count // 8)) if self._scan.barrier else None,  # the picture tells
                    channels=view.form.channels,
                    dtype=view.form.dtype,
                )
            )
        self.sent += count
        self.times.append((self.sent, time.monotonic()))
        for laid in self.laid:
            if not laid.passed and self.sent >= laid.end + self._air:
                laid.passed = True
                self.client.passed((laid.first + laid.end) // 2 * per_line)

    def sent_at(self, line: int) -> float | None:
        """When this line of the last view was sent, in monotonic seconds; None if it was not yet."""
        return next((at for sent, at in self.times if sent > line), None)

    def at(self, encoder: int) -> _Laid | None:
        """What lies there, and is lifted off."""
        line = encoder // self._scan.counts_per_line
        near = self._air // 2
        found = next((one for one in self.laid if one.first - near <= line < one.end + near), None)
        if found is not None:
            self.laid.remove(found)
        return found

    # ---- parts

    def _lines(self, scan: Outgoing, view: int) -> tuple[Lines, Format] | str:
        """A view's lines, or why it has none."""
        frame = next((frame for frame in scan.frames if frame[0].view == view), None)
        if frame is None:
            return "is missing"
        header, payload = frame
        form = self._profile.format_for(header.channels, header.dtype)
        if header.encoding != "raw" or form is None or not header.height or not header.width:
            formats = ", ".join(f"{'+'.join(f.channels)} {f.dtype}" for f in self._profile.formats)
            return f"no raw frame of {formats}"
        shape = (header.height, header.width, len(form.channels))
        pixels: Lines = np.frombuffer(payload, np.dtype(form.dtype).newbyteorder("<"))
        if pixels.size != np.prod(shape):
            return f"{pixels.size} values, expected {shape[0]} x {shape[1]} x {shape[2]}"
        lines = pixels.reshape(shape).swapaxes(0, 1) if self._across else pixels.reshape(shape)
        if self._views:
            before, was = self._views[view].form, self._views[view].air.shape[1]
            if (lines.shape[1], form) != (was, before):
                return (
                    f"lines of {lines.shape[1]} pixels {form.dtype}, {was} {before.dtype} before; does "
                    "the belt run along rows or columns?"
                )
        return lines, form


def _bright_end(lines: Lines) -> Lines:
    """The lines at the frame's brighter end: air, if there is any."""
    first, last = lines[:AIR], lines[-AIR:]
    return first if first.mean() >= last.mean() else last


class LineReplayer:
    """Plays a source once, or over and over until stopped. `told` is called for every carton answered."""

    def __init__(self, source: FrameSource, settings: LineSettings, told: Callable[[Told], None]) -> None:
        """Raises ConfigError: the profile is one of frames."""
        if settings.profile.line_scan is None:
            raise ConfigError(
                f"the profile {settings.profile.name!r} has no `line_scan`; name that of the line lane"
            )
        self._scan: LineScan = settings.profile.line_scan
        self._source = source
        self._settings, self._profile, self._along = settings.replay, settings.profile, settings.belt
        self._told = told
        self._belts: dict[str, _Belt] = {}
        self._verdicts: Counter[str] = Counter({decision.value: 0 for decision in Decision})
        self._reasons: Counter[str] = Counter()
        self._edge_s: list[float] = []
        self._gap_s: list[float] = []
        self._problems: dict[str, None] = {}
        self._extra = 0
        self._next_at: float | None = None
        self.stopped = False

    def run(self) -> Summary:
        """Send everything, wait for every answer. Raises RecordingError."""
        began, count = time.monotonic(), 0
        try:
            while True:
                count += self._play()
                if not self._settings.loop or self.stopped:
                    break
            for belt in self._belts.values():
                belt.finish()
            while any(belt.ready for belt in self._belts.values()):
                self._step()
            while any(belt.laid for belt in self._belts.values()):
                self._collect(0.1)
        finally:
            for belt in self._belts.values():
                belt.client.close()
        if self._extra:
            self._problems[f"{self._extra} more cartons were cut out of the lines than were laid"] = None
        return Summary(
            scans_sent=count,
            verdicts=dict(self._verdicts),
            reasons=dict(self._reasons),
            latency_ms=percentiles(self._edge_s),
            after_gap_ms=percentiles(self._gap_s),
            seconds=round(time.monotonic() - began, 3),
            problems=[*self._source.problems, *self._problems],
        )

    def _play(self) -> int:
        count = 0
        for scan in scans(self._source, self._settings.scanner):
            if self.stopped:
                break
            problem = self._belt(scan.scanner).lay(scan)
            if problem is not None:
                self._problems[problem] = None
                continue
            count += 1
            while any(belt.ready for belt in self._belts.values()) and not self.stopped:
                self._step()
        return count

    def _belt(self, scanner: str) -> _Belt:
        if scanner not in self._belts:
            given = self._settings
            client = LineClient(
                given.endpoint,
                scanner,
                scan_type=given.scan_type,
                deadline_s=given.deadline_s,
                keys=given.keys,
                insecure=given.insecure,
            )
            self._belts[scanner] = _Belt(client, self._scan, self._profile, self._along)
        return self._belts[scanner]

    def _step(self) -> None:
        """A chunk of every view of each belt, when it is due and the belt may move."""
        rate = self._settings.rate
        while any(belt.client.busy for belt in self._belts.values()) and not self.stopped:
            self._collect(0.02)
        if rate is None:
            while sum(laid.passed for belt in self._belts.values() for laid in belt.laid) >= WINDOW:
                self._collect(0.1)
        else:
            due = time.monotonic() if self._next_at is None else self._next_at
            while (left := due - time.monotonic()) > 0:
                self._collect(left)
            self._next_at = due + CHUNK / rate
        for belt in self._belts.values():
            if belt.ready:
                belt.send()
        self._collect(0.0)

    def _collect(self, timeout_s: float) -> None:
        for scanner, belt in self._belts.items():
            for answer in belt.client.poll(timeout_s / len(self._belts)):
                self._take(scanner, belt, answer, time.monotonic())

    def _take(self, scanner: str, belt: _Belt, answer: LineAnswer, now: float) -> None:
        if answer.belt is None:  # a chunk that was refused: its cartons answer for themselves
            self._note(scanner, answer)
            return
        self._verdicts[answer.decision.value] += 1
        if answer.reason is not None:
            self._reasons[answer.reason.value] += 1
        laid = belt.at(answer.belt.last)
        if laid is None:
            self._extra += 1
            return
        if answer.report is None:
            self._note(scanner, answer)
        else:
            edge = answer.belt.last // self._scan.counts_per_line
            for found, line in ((self._edge_s, edge), (self._gap_s, edge + belt.gap)):
                at = belt.sent_at(line)
                if at is not None:
                    found.append(now - at)
        self._told(Told(laid.scan, answer))

    def _note(self, scanner: str, answer: LineAnswer) -> None:
        reason = answer.reason.value if answer.reason else ""
        self._problems[f"{scanner}: {reason}: {answer.detail}"] = None

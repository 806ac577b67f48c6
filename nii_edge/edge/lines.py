"""Lines of one view to cartons, as the belt moves. Pure: no clock, no I/O.

Every line has a place on the belt, counted in belt lines by the encoder. Places only grow: lines taken while
the belt stood or ran back are left out, up to `Cut.skip` places that it was too fast for are filled with the
line after them, and more than that is a loss.

A pixel is dark below a share of what it shows of air: its own air where the lane is calibrated, otherwise
the profile's for all. A line is dark if enough of its pixels are, or if the light barrier is interrupted.
Runs of dark lines, holes of up to `Cut.debounce` lines closed, are cartons if they hold `Cut.debounce` dark
lines; half as many dark pixels are enough to belong to one (hysteresis). Runs nearer to each other than
`Cut.gap` cannot be told apart. However the same lines are divided into calls, the same cartons come out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.config import Format, LineScan
from nii_edge.records import Reason
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.pixels import PixelState

Pixels = npt.NDArray[np.generic]
Flaw = tuple[Reason, str]
"""Why what was cut out is not one whole carton: CUT or MERGED, and in words."""

FORGET = 2
"""In longest cartons: what is still dark after so much is given up as CUT."""


class Cut(NamedTuple):
    """How one view is cut. All lengths in belt lines; `level` in pixel values, for all pixels or for each.

    `shift` (encoder counts) puts the places of all views on one scale: that of the last view along the belt.
    """

    counts: int
    shift: int
    skip: int
    debounce: int
    gap: int
    margin: int
    shortest: int
    longest: int
    level: float | npt.NDArray[np.float32]
    dark_pixels: int
    barrier: bool

    @property
    def rows(self) -> int:
        """The most lines a carton's picture may have."""
        return self.longest + 2 * self.margin

    @property
    def reach(self) -> int:
        """How many lines before a carton's leading edge are needed to cut it the same way again."""
        return self.margin + self.debounce + 1


def picture_rows(scan: LineScan) -> int:
    """The most lines a carton's picture may have."""
    return scan.lines(scan.max_length_mm) + 2 * scan.lines(scan.margin_mm)


def cut_of(scan: LineScan, form: Format, view: int, detector: Calibration | None = None) -> Cut:
    """The settings for one view and kind of pixels; `detector`: what its counts are corrected with."""
    offsets = [scan.lines(mm) for mm in scan.view_offsets_mm]
    return Cut(
        counts=scan.counts_per_line,
        shift=(max(offsets) - offsets[view]) * scan.counts_per_line,
        skip=scan.skip_lines,
        debounce=scan.debounce_lines,
        gap=scan.lines(scan.min_gap_mm),
        margin=scan.lines(scan.margin_mm),
        shortest=scan.lines(scan.min_length_mm),
        longest=scan.lines(scan.max_length_mm),
        level=_level(scan, form, detector),
        dark_pixels=scan.dark_pixels,
        barrier=scan.barrier,
    )


def _level(scan: LineScan, form: Format, detector: Calibration | None) -> float | npt.NDArray[np.float32]:
    """Below which value a pixel is dark. Raw pixels differ by more than a thin carton weakens them."""
    full = (form.air if form.is_counts else form.white) or 1.0
    if detector is None or not form.is_counts or form.dtype == "float32":
        return scan.threshold * full
    index = detector.channels.index(form.channels[0])
    level = detector.offset[index] + np.float32(scan.threshold) / detector.gain[index]
    usable = detector.states[index] == PixelState.GOOD
    return np.where(usable, level, -np.inf).astype(np.float32)


class Lines(NamedTuple):
    """Consecutive lines of a view. `encoder`: shape (n,), counts. `pixels`: shape (n, width, channels).
    `barrier`: shape (n,), True where the light barrier is interrupted."""

    encoder: npt.NDArray[np.int64]
    pixels: Pixels
    barrier: npt.NDArray[np.bool_] | None = None


class Begin(NamedTuple):
    """A carton has begun."""


class Rows(NamedTuple):
    """More lines of the carton, shape (n, width, channels); valid until the next call."""

    pixels: Pixels


class End(NamedTuple):
    """The carton has ended: the places of its edges, and what is wrong with it."""

    first: int
    last: int
    flaw: Flaw | None


class Lost(NamedTuple):
    """Places of the belt, both included, that passed unseen."""

    first: int
    last: int


Event = Begin | Rows | End | Lost


@dataclass(slots=True)
class _Run:
    first: int
    last: int


@dataclass(slots=True)
class _Carton:
    """`written`: the place of the next line to hand out."""

    first: int
    last: int
    written: int
    cut: str = ""
    merged: str = ""


class Cutter:
    """See the module. `high` is the highest place seen, None before the first line."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.high: int | None = None
        self._began = 0
        self._loose: _Run | None = None
        self._firm: _Run | None = None
        self._taken = False
        self._carton: _Carton | None = None
        self._window: Pixels = np.empty((0, 0, 0), np.uint8)
        self._base = 0
        self._events: list[Event] = []

    def places(self, encoder: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The places on the belt, from 1, of lines with these encoder counts."""
        return (encoder + self._cut.shift) // self._cut.counts + 1

    @property
    def frontier(self) -> int:
        """No carton that has not ended yet begins before this place."""
        if self._carton is not None:
            return self._carton.first
        at = (self.high or 0) + 1
        run = self._loose
        return at if run is None or at - run.last - 1 > self._cut.debounce else self._since(run, at)

    @property
    def needed(self) -> int:
        """Lines before this place would change nothing if they came again."""
        return self.frontier - self._cut.reach

    def feed(self, lines: Lines) -> list[Event]:
        """Take lines and say what they lead to, in order of place."""
        self._events = []
        places = self.places(lines.encoder)
        before = int(places[0]) - 1 if self.high is None else self.high
        if self.high is None:
            self._began = int(places[0])
        best = np.maximum.accumulate(np.concatenate([[before], places]))
        steps = np.diff(best)
        index = np.flatnonzero(steps)
        steps = steps[index]
        firm, loose = self._dark(lines)
        edges = [0, *np.flatnonzero(steps > self._cut.skip + 1).tolist(), len(index)]
        for start, stop in itertools.pairwise(edges):
            if start == stop:
                continue
            times = steps[start:stop].copy()
            if times[0] > self._cut.skip + 1:
                self._lose(int(best[index[start]]) + 1, int(places[index[start]]) - 1)
                times[0] = 1
            rows = np.repeat(index[start:stop], times)
            self._take(lines.pixels[rows], firm[rows].tolist(), loose[rows].tolist())
        return self._events

    def begins(self, lines: Lines) -> int:
        """At most so many cartons begin in these lines."""
        places = self.places(lines.encoder)[self._dark(lines)[0]]
        places = places[places > self._at]
        if not len(places):
            return 0
        before = places[:1] if self._carton is None else np.array([self._carton.last])
        jumps = np.diff(np.maximum.accumulate(np.concatenate([before, places])))
        return int(np.count_nonzero(jumps > self._cut.gap)) + (self._carton is None)

    def finish(self, why: str) -> list[Event]:
        """No line will follow: an open carton is CUT."""
        self._events = []
        if self._carton is not None:
            self._carton.cut = why
            self._end(self._carton, min(self._at, self._carton.last + self._cut.margin))
        return self._events

    # ---- parts

    @property
    def _at(self) -> int:
        return self.high or 0

    def _dark(self, lines: Lines) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which lines are surely, and which perhaps, inside a carton."""
        values = lines.pixels[:, :, 0]  # low energy: what is weakened most
        if lines.pixels.shape[2] == 3:
            values = lines.pixels.min(axis=2)
        dark = np.count_nonzero(~np.greater_equal(values, self._cut.level), axis=1)  # NaN is dark
        firm = dark >= self._cut.dark_pixels
        loose = 2 * dark >= self._cut.dark_pixels
        if self._cut.barrier and lines.barrier is not None:
            return firm | lines.barrier, loose | lines.barrier
        return firm, loose

    def _take(self, pixels: Pixels, firm: list[bool], loose: list[bool]) -> None:
        """Lines at the places after `high`, without a hole."""
        start = self._at + 1 if self.high is not None else self._began
        kept = max(0, start - self._base - self._keep()) if len(self._window) else 0
        if len(self._window):
            self._window = np.concatenate([self._window[kept:], pixels])
            self._base += kept
        else:
            self._window, self._base = pixels, start
        for offset, (surely, perhaps) in enumerate(zip(firm, loose, strict=True)):
            self._line(start + offset, surely, perhaps)
        if self._carton is not None:
            self._write(self._carton, min(self._at, self._carton.last + self._cut.margin))

    def _keep(self) -> int:
        """How many of the last lines may still become part of a carton's picture."""
        cut = self._cut
        usual = 2 * cut.gap + cut.reach + cut.debounce
        return usual if self._carton is None else max(usual, self._at + 1 - self._carton.written)

    def _line(self, at: int, firm: bool, loose: bool) -> None:
        self.high = at
        if loose:
            if self._loose is None or not self._joins(self._loose, at):
                self._loose, self._taken = _Run(at, at), False
            self._loose.last = at
        if firm:
            if self._firm is None or not self._joins(self._firm, at):
                self._firm = _Run(at, at)
            self._firm.last = at
            sure = at - self._firm.first + 1 >= self._cut.debounce
            if sure and not self._taken and self._loose is not None:
                self._sure(self._loose, at)
        carton = self._carton
        if carton is None:
            return
        if loose and self._taken:
            carton.last = at
            if at - carton.first + 1 >= FORGET * self._cut.longest:
                carton.cut = (
                    f"still no end after {at - carton.first + 1} lines; is what the empty belt shows below "
                    "`threshold` of air (no calibration, a weak tube), or the light barrier covered?"
                )
                self._end(carton, at)
                self._forget(at + 1)
        elif self._is_over(carton, at):
            self._end(carton, carton.last + self._cut.margin)

    def _joins(self, run: _Run, at: int) -> bool:
        return at - run.last - 1 <= self._cut.debounce

    def _since(self, run: _Run, at: int) -> int:
        """Where a run begins that becomes a carton at this place: a long faint one not at its beginning."""
        return max(run.first, at - self._cut.gap)

    def _sure(self, run: _Run, at: int) -> None:
        """The run is no noise: it begins a carton, or belongs to the last one."""
        self._taken = True
        first = self._since(run, at)
        carton = self._carton
        if carton is not None and first - carton.last - 1 < self._cut.gap:
            carton.merged = (
                f"{first - carton.last - 1} lines between two cartons, {self._cut.gap} tell them apart"
            )
            return
        if carton is not None:
            self._end(carton, carton.last + self._cut.margin)
        written = max(self._base, first - self._cut.margin)
        self._carton = _Carton(first, at, written)
        if first - self._began <= self._cut.debounce:
            self._carton.cut = "the lines began inside a carton"
        self._events.append(Begin())

    def _is_over(self, carton: _Carton, at: int) -> bool:
        if at - carton.last < self._cut.gap:
            return False
        run = self._loose
        if run is None or self._taken or not self._joins(run, at + 1):
            return True
        return self._since(run, at) - carton.last - 1 >= self._cut.gap

    def _end(self, carton: _Carton, upto: int) -> None:
        self._write(carton, upto)
        self._carton = None
        self._events.append(End(carton.first, carton.last, self._flaw(carton)))

    def _flaw(self, carton: _Carton) -> Flaw | None:
        length = carton.last - carton.first + 1
        if carton.cut:
            return Reason.CUT, carton.cut
        if carton.merged:
            return Reason.MERGED, carton.merged
        if length > self._cut.longest:
            return Reason.MERGED, f"{length} lines; the longest carton has {self._cut.longest}"
        if length < self._cut.shortest:
            return Reason.CUT, f"{length} lines; the shortest carton has {self._cut.shortest}"
        return None

    def _write(self, carton: _Carton, upto: int) -> None:
        """Hand out the lines up to this place."""
        if upto >= carton.written:
            rows = self._window[carton.written - self._base : upto + 1 - self._base]
            carton.written = upto + 1
            if len(rows):
                self._events.append(Rows(rows))

    def _lose(self, first: int, last: int) -> None:
        """Lines were lost: an open carton is CUT, and with room for a gap inside it also ends here."""
        carton, lost = self._carton, last - first + 1
        self._events.append(Lost(first, last))
        if carton is not None:
            carton.cut = f"{lost} lines were lost inside"
            self._write(carton, self._at)
            carton.written = last + 1
        if carton is None or lost >= self._cut.gap:
            if carton is not None:
                self._end(carton, self._at)
            self._forget(last + 1)
        self._window = self._window[:0]
        self.high = last

    def _forget(self, began: int) -> None:
        """What comes from this place on stands for itself."""
        self._loose = self._firm = None
        self._taken = False
        self._began = began

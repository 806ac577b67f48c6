"""Lines of a frame that never change: detector pixels that stand still, or lines that were filled in.

What a calibration knows as bad is repaired and says nothing. All else is seen as it stands: a few pixels side
by side that keep the value of air show a strip of air whatever lies there. So do those that keep it but for
the noise of their electronics: what is measured has the noise of its photons. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame, Pixels
from nii_edge.xray.calibrate import MAX_RUN, Calibration
from nii_edge.xray.pixels import PixelState

MAX_STUCK = 0.02
"""Of a frame's lines: so many may never change that no calibration repairs; more hide too much."""
QUIET = 0.2
"""Of the noise that belongs to what a pixel shows, as a share: one with less counts no photons. In a dozen
lines sound ones have hardly less than a third."""
CALM = 0.15
"""So many of the lit pixels show next to nothing but air along a whole frame, or are stuck."""
DRIFTED = 0.05
"""Share of the variance that belongs to them, by the calibration, which sound pixels have at least: less is
no drift of its tube any more, but a large part of the detector that is stuck."""
QUIET_LINES = 8
"""Sampled lines that say something of noise."""
QUIET_SHOWN = 0.1
"""Transmission from which photons make most of the noise."""
MIN_STUCK = 3
"""Lines that must be stuck at least, so that a narrow frame's single dead pixel is not a fault."""

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


class Lines(NamedTuple):
    """The lines of a frame along one axis. `name`: in words; `of_detector`: each is known to be what one
    detector pixel saw; `known` (lines, channels): those that the calibration repairs; `dark`, of the same
    shape: the value up to which nothing comes through."""

    name: str
    of_detector: bool
    known: Flags
    dark: Floats


def lines_crossing(crossed: str, frame: Frame, detector: Calibration | None) -> Lines:
    """The lines that cross the frame's `crossed`, "rows" or "columns"; `detector`: what its counts are read
    with."""
    height, width, channels = frame.pixels.shape
    shape = (width if crossed == "rows" else height), channels
    name = "columns" if crossed == "rows" else "rows"
    opaque = np.float32(frame.opaque_below * frame.full_scale)
    if detector is None:
        return Lines(name, False, np.zeros(shape, np.bool_), np.full(shape, opaque, np.float32))
    # where the belt runs along the columns, each row is what one detector pixel saw
    of_detector = detector.belt_axis == crossed
    named = f"{'detector pixels' if of_detector else 'lines of the belt'} ({name})"
    if not of_detector or detector.states.T.shape != shape:  # that it does not fit is told elsewhere
        return Lines(named, of_detector, np.zeros(shape, np.bool_), np.full(shape, opaque, np.float32))
    known: Flags = np.not_equal(detector.states.T, PixelState.GOOD)
    return Lines(named, of_detector, known, detector.offset.T + opaque)


def stuck(some: Pixels, lines: Lines) -> str | None:
    """What is wrong with lines that have the same value in all of `some`, (sampled, lines, channels), which
    cross them, in any channel, in words."""
    count = some.shape[1]
    same = some[0] == some[-1]  # of most lines this says it all
    suspects = np.flatnonzero(same[:, 0] | same[:, -1])
    if not suspects.size:
        return None
    values = some[0, suspects]
    same = np.logical_and.reduce(some[:, suspects] == values, axis=0)
    if suspects.size == count and bool(same.all()):
        return "every line is the same; the detector is off or stuck"
    same &= ~lines.known[suspects]
    which = suspects[same.any(axis=1)]
    if which.size >= max(MIN_STUCK, MAX_STUCK * count):
        return f"{which.size} of {count} {lines.name} never change; {_why(values[same])}"
    shows = suspects[(same & (values > lines.dark[suspects])).any(axis=1)]
    return _side_by_side(which, shows, lines, _why(values[same]) if which.size else "")


def quiet(some: Pixels, lines: Lines, detector: Calibration | None) -> str | None:
    """What is wrong with detector pixels side by side that have less noise in `some`, (sampled, lines,
    channels), than the photons that they would have counted, in any channel, in words."""
    if detector is None or not lines.of_detector or detector.states.T.shape != some.shape[1:]:
        return None
    if len(some) < QUIET_LINES:
        return None
    moved = some.astype(np.float32)
    moved -= moved[0].copy()
    count, total = len(some), np.einsum("ijk->jk", moved)  # much quicker than NumPy's sum
    squares = np.einsum("ijk,ijk->jk", moved, moved) - total * total / count
    gain = detector.gain.T
    mean = (some[0] + total / count - detector.offset.T) * gain
    dark, air = np.square(np.asarray((detector.dark_noise, detector.air_noise), np.float32))
    belongs = (count - 1) * (dark + np.maximum(air - dark, 0) * mean)
    lit = (mean > QUIET_SHOWN) & ~lines.known
    share = np.where(lit, squares * gain * gain / np.maximum(belongs, np.float32(1e-12)), np.float32(1))
    still = (share < QUIET**2 * _usual(share, lit)) & lit
    held: Flags = np.logical_or.reduce(still, axis=1)
    first, end = _longest_run(held, np.flatnonzero(held))
    if end - first < 2:
        return None
    return (
        f"{end - first} {lines.name} side by side, {first} to {end - 1}, have next to none of the noise of "
        "photons; they are stuck, and a wire or a blade may hide there: calibrate anew, or have the detector "
        "seen to"
    )


def _usual(share: npt.NDArray[np.float32], lit: Flags) -> npt.NDArray[np.float32]:
    """What the calmer lit pixels of each channel, with air alone, have of the variance that belongs to them,
    `DRIFTED` to 1: a tube that drifted while it was calibrated makes it too large for all of them."""
    channels = zip(share.T, lit.T, strict=True)
    found = [np.quantile(own[on], CALM) if on.any() else 1.0 for own, on in channels]
    return np.clip(np.asarray(found, np.float32), DRIFTED, 1)


def _why(values: Pixels) -> str:
    if values.dtype.kind == "u" and int(values.min()) == 2 ** (8 * values.dtype.itemsize) - 1:
        return "they are at the end of their range: saturated, or detector pixels are stuck there"
    return "detector pixels are dead or stuck"


def _side_by_side(
    which: npt.NDArray[np.intp], shows: npt.NDArray[np.intp], lines: Lines, why: str
) -> str | None:
    """Of lines that never change: two together hide what lies there if they show something; if they are dark,
    they show up themselves, and only many hide much. One beside repaired ones spoils their repair."""
    held: Flags = np.logical_or.reduce(lines.known, axis=1)
    held[shows] = True
    longest = _longest_run(held, shows)
    held[which] = True
    dark = _longest_run(held, which)
    if longest[1] - longest[0] < 2 and dark[1] - dark[0] <= MAX_RUN:
        return None
    first, end = longest if longest[1] - longest[0] >= 2 else dark
    return (
        f"{end - first} {lines.name} side by side, {first} to {end - 1}, never change; {why}, and a wire "
        "or a blade may hide there: calibrate anew, or have the detector seen to"
    )


def _longest_run(held: Flags, among: npt.NDArray[np.intp]) -> tuple[int, int]:
    """The first line and the one after the last of the longest run of `held` that has one of `among`."""
    if not among.size:
        return 0, 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]])))
    starts, ends = edges[::2], edges[1::2]
    own = np.unique(np.searchsorted(ends, among, side="right"))
    best = own[int(np.argmax(ends[own] - starts[own]))]
    return int(starts[best]), int(ends[best])

"""Frames that cannot be judged, whatever a detector says of them. Pure and cheap: looks at some lines only.

Counts always carry photon noise. Lines that repeat each other exactly were not measured; a pixel that never
changes is no detector; noise far above a few per cent of air means that hardly any photons came. A stopped
belt whose lines differ by noise alone looks like uniform goods: only the belt's encoder can tell.

Display pictures have none of this: white may be constant there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame, Pixels, Reason
from nii_edge.xray.transmission import energies_swapped

ROWS, COLUMNS = 24, 10
"""Lines of each axis that are looked at, spread over the frame; fewer columns, for memory is in rows."""
SPARSE = 6
"""Of the sampled rows every so many serve for levels and noise: a few thousand values are enough."""
MAX_SATURATED = 0.2
"""Of the values looked at: a scanner in working order clips a few, not a fifth of them."""
PLAUSIBLE = (-0.5, 4.0)
"""Bounds of float values, in units of full scale."""
MAX_STUCK = 0.02
"""Of a frame's lines: so many may never change. A calibration repairs them; more hide too much."""
MIN_STUCK = 3
"""Lines that must be stuck at least, so that a narrow frame's single dead pixel is not a fault."""
MAX_REPEATED = 3
"""Lines that may be exactly equal to the line before: a lost line may be filled like this now and then."""
MIN_AIR = 0.25
"""Of full scale: what looks like air and has less comes from a tube or detector that does not work."""
AIR_SPREAD = 0.06
"""Two opposite borders are air if they are even within this share of their level ..."""
BRIGHTER = 0.25
"""... and nothing else is brighter than they by more than this, which leaves room for noise."""
BORDER = (4, 8)
"""Lines and pixels along them over which a border is averaged before it is judged."""
MAX_NOISE = 0.1
"""Of the level, in bright areas: fewer than a hundred photons a pixel. Working scanners have thousands."""
BRIGHT = 0.3
"""Of full scale: where noise is looked at."""

Problem = tuple[Reason, str]


def problem(frame: Frame) -> Problem | None:
    """Why this view cannot be judged, if it cannot: not finite, blank, stuck, saturated, lines that do not
    change or repeat, too few photons, energies swapped."""
    found = _not_finite(frame)
    if found is None and frame.channels[0] in ("low", "high"):
        found = _counts(frame)
    return found


def _not_finite(frame: Frame) -> Problem | None:
    if frame.pixels.dtype.kind != "f":
        return None
    wrong = frame.pixels.size - int(np.isfinite(frame.pixels).sum())
    if wrong:
        detail = f"view {frame.view}: {wrong} of {frame.pixels.size} values are NaN or infinite"
        return Reason.NOT_FINITE, detail
    low, high = float(frame.pixels.min()) / frame.full_scale, float(frame.pixels.max()) / frame.full_scale
    if low < PLAUSIBLE[0] or high > PLAUSIBLE[1]:
        detail = f"view {frame.view}: values from {low:.3g} to {high:.3g} of full scale; is its format right?"
        return Reason.PROFILE_MISMATCH, detail
    return None


def _counts(frame: Frame) -> Problem | None:
    """What is wrong with counts, in words."""
    across = frame.pixels
    down = frame.pixels.swapaxes(0, 1)
    rows, columns = _some(across, ROWS), _some(down, COLUMNS)
    words = (
        _stuck(rows, "columns")
        or _stuck(columns, "rows")
        or _saturated(rows)
        or _repeated(columns, frame, "rows")
        or _repeated(rows, frame, "columns")
        or _dim(frame, rows)
        or _noisy(frame, rows)
    )
    if words is not None:
        return Reason.IMAGE_QUALITY, f"view {frame.view}: {words}"
    if frame.channels == ("low", "high") and energies_swapped(
        np.moveaxis(rows, 2, 0).astype(np.float32) / np.float32(frame.full_scale)
    ):
        detail = (
            f"view {frame.view}: more of the low energy comes through than of the high; are they swapped?"
        )
        return Reason.PROFILE_MISMATCH, detail
    return None


def _some(lines: Pixels, count: int) -> Pixels:
    """About `count` of the lines along the first axis."""
    return np.ascontiguousarray(lines[:: max(1, lines.shape[0] // count)])


def _stuck(some: Pixels, crossing: str) -> str | None:
    """Lines that cross the sampled ones and have the same value in all of them, in any channel."""
    same = _all(some == some[:1])
    stuck = int(np.count_nonzero(np.logical_or.reduce(same, axis=1)))
    if stuck == same.shape[0] and bool(same.all()):
        return "every line is the same; the detector is off or stuck"
    if stuck >= max(MIN_STUCK, MAX_STUCK * same.shape[0]):
        return f"{stuck} of {same.shape[0]} {crossing} never change; detector pixels are dead or stuck"
    return None


def _all(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Over the first axis of (lines, pixels, channels)."""
    flat: npt.NDArray[np.bool_] = np.logical_and.reduce(flags.reshape(len(flags), -1), axis=0)
    return flat.reshape(flags.shape[1:])


def _saturated(rows: Pixels) -> str | None:
    if rows.dtype.kind != "u":
        return None
    share = float((rows == 2 ** (8 * rows.dtype.itemsize) - 1).mean())
    if share > MAX_SATURATED:
        return f"{share:.0%} of the values are at the end of their range"
    return None


def _repeated(some: Pixels, frame: Frame, which: str) -> str | None:
    """Lines equal to the one before in all sampled places, where anything gets through at all.

    `some` holds crossing lines, so its second axis counts the lines meant.
    """
    equal = np.flatnonzero(np.logical_and.reduce(_all(some[:, 1:] == some[:, :-1]), axis=1))
    if equal.size <= MAX_REPEATED:
        return None
    opaque = frame.opaque_below * frame.full_scale
    repeated = int(np.count_nonzero(some[:, equal + 1].astype(np.float32).max(axis=(0, 2)) > opaque))
    if repeated > MAX_REPEATED:
        return f"{repeated} {which} repeat the one before; the belt stopped or lines were lost"
    return None


def _dim(frame: Frame, rows: Pixels) -> str | None:
    """Air that has too few counts. Air is where two opposite borders are even and as bright as anything."""
    brightest = float(max((_grouped(row).max(initial=0.0) for row in rows[::SPARSE, :, -1]), default=0.0))
    if brightest >= MIN_AIR * frame.full_scale or brightest <= frame.opaque_below * frame.full_scale:
        return None
    pixels, (lines, _) = frame.pixels[:, :, -1], BORDER
    for one, other in ((pixels[:lines], pixels[-lines:]), (pixels[:, :lines].T, pixels[:, -lines:].T)):
        border = np.concatenate([_averaged(one), _averaged(other)])
        if not border.size:  # shorter than a group
            continue
        level = float(border.mean())
        if np.ptp(border) < 2 * AIR_SPREAD * level and brightest < (1 + BRIGHTER) * level:
            share = level / frame.full_scale
            return f"what looks like air has {share:.0%} of its counts; is the tube all right?"
    return None


def _averaged(border: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Means of groups of pixels along a border of a few lines."""
    return _grouped(border.astype(np.float32).mean(axis=0))


def _grouped(line: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    whole = line[: line.size // BORDER[1] * BORDER[1]].reshape(-1, BORDER[1])
    means: npt.NDArray[np.float32] = whole.mean(axis=1, dtype=np.float32)
    return means


def _noisy(frame: Frame, rows: Pixels) -> str | None:
    """Noise in bright areas from second differences along the rows, which slopes do not touch."""
    values: npt.NDArray[np.float32] = rows[::SPARSE, :, -1].astype(np.float32)
    left, middle, right = values[:, :-2], values[:, 1:-1], values[:, 2:]
    bright = middle > BRIGHT * frame.full_scale
    if np.count_nonzero(bright) < 100:
        return None
    second = np.abs(left + right - 2 * middle)[bright] / middle[bright]
    noise = 1.4826 * float(np.median(second)) / 6**0.5
    if noise > MAX_NOISE:
        return f"noise is {noise:.0%} of the signal; too few photons"
    return None

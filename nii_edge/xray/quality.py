"""Frames that cannot be judged, whatever a detector says of them. Pure and cheap: looks at some lines only.

Counts always carry photon noise. Lines that repeat each other exactly were not measured; a pixel that never
changes is no detector; noise far above a few per cent of air means that hardly any photons came. Where no
line differs from the mean of all by more than noise, nothing went by: the belt is empty, or it stood. A belt
that stood for a part of the scan looks like uniform goods there: only its encoder can tell. Dark areas with
less noise than their photons leave hold an offset nobody subtracted: what is opaque would look as if
something came through.

Display pictures have little of this: white may be constant there, but not all over the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import CalibrationError
from nii_edge.records import Frame, Pixels, Reason
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.stuck import Lines, lines_crossing, quiet, stuck
from nii_edge.xray.transmission import SWAP_PIXELS, air_now, compared, energies_swapped, outgrown

ROWS = 24
"""Rows that are looked at, spread over the frame."""
COMPARED = (ROWS, 400)
"""Rows, and pixels of each, about, whose energies are compared at first ..."""
COMPARED_CLOSELY = (200, 4_000)
"""... and where a small carton, or a thin one, fills too few of them to tell."""
BANDS, BAND = 3, 4
"""So many bands of so many columns each: neighbours share a line of the cache."""
ENOUGH = 4_000
"""Values that serve for levels and noise, about: every so many of the sampled lines."""
MAX_SATURATED = 0.2
"""Of the values looked at: a scanner in working order clips a few, not a fifth of them."""
PLAUSIBLE = (-0.5, 4.0)
"""Bounds of float values, in units of full scale."""
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
EMPTY = 0.015
"""Where no block of a view differs by a larger share from the mean of its detector pixels over all lines,
nothing went by: 0.07 g/cm2 of paper or cloth at 160 kV. A carton's own board is about twice that."""
BLOCK = 16
"""Pixels and lines of such a block, whose mean has little noise left."""
FEWEST = 60
"""Values needed to say anything of noise."""
DARK = 0.1
"""Of full scale: offsets of detectors lie below it."""
PLATEAU = 1.25
"""Dark values up to this factor above the darkest tenth are one level."""
TOO_QUIET = 0.45
"""Of the photon noise that belongs to the level: an area with less is mostly offset. What shows nothing, by a
limit of 0.1 % of air, is seen to stand on an offset from about 0.5 % of air."""

_NORMAL_MEDIAN, _NORMAL_QUARTILE = 1 / (0.67449 * 6**0.5), 1 / (0.31864 * 6**0.5)
"""From quantiles of the size of a second difference of normal noise to the noise's standard deviation."""

Problem = tuple[Reason, str]
Floats = npt.NDArray[np.float32]


def problem(frame: Frame, detector: Calibration | None = None, *, bare: bool = False) -> Problem | None:
    """Why this view cannot be judged, if it cannot: not finite, blank, stuck, saturated, lines that do not
    change or repeat, too few photons, an offset left in, a calibration outgrown, energies swapped.

    `detector`: what its counts are read with; they may have an offset then, which that subtracts. `bare`: the
    frame is known to begin and end with empty belt.
    """
    found = _not_finite(frame)
    if found is not None:
        return found
    if frame.channels[0] in ("low", "high"):
        return _counts(frame, detector if frame.pixels.dtype.kind == "u" else None, bare)
    return _display(frame)


def _display(frame: Frame) -> Problem | None:
    """A display picture in which nothing is shown."""
    colour = frame.pixels[0, 0]
    if not (_some(frame.pixels, ROWS) != colour).any():
        words = f"every pixel is {colour.tolist()}; the display shows nothing"
    else:
        found = _empty(frame, _some(frame.pixels, ROWS), _bands(frame.pixels.swapaxes(0, 1)))
        if found is None:
            return None
        words = found
    return Reason.IMAGE_QUALITY, f"view {frame.view}: {words}"


def _empty(frame: Frame, rows: Pixels, columns: Pixels) -> str | None:
    """Whether no line of the view shows anything that the others do not, whichever way the belt runs."""
    bright = BRIGHT * frame.full_scale
    for axis, some in enumerate((rows, columns)):
        # two lines of one channel, green in displays, tell of almost every view that it is not empty
        line = some[:, :, some.shape[2] // 2]
        if not _alike(_grouped(line[:: max(1, len(line) // 2)]), 0, bright, 2 * EMPTY):
            continue
        if not _alike(_grouped(line), 0, bright, 2 * EMPTY):
            continue
        height, width = frame.pixels.shape[:2]
        size = max(1, width // BLOCK), max(1, height // BLOCK)
        planes = (cv2.extractChannel(frame.pixels, index) for index in range(frame.pixels.shape[2]))
        blocks = [
            cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32) for plane in planes
        ]
        if all(_alike(plane, axis, bright, EMPTY) for plane in blocks):
            return "nothing but air or what never changes; no carton went by, or the belt stood"
    return None


def _alike(blocks: Floats, axis: int, bright: float, share: float) -> bool:
    """Whether `blocks` differ from their mean along `axis` by no more than a share, and some are `bright`."""
    mean = blocks.mean(axis=axis, keepdims=True)
    lit = mean > bright
    return bool(lit.any()) and bool(((np.abs(blocks - mean) <= share * mean) | ~lit).all())


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


def _counts(frame: Frame, detector: Calibration | None, bare: bool) -> Problem | None:
    """What is wrong with counts, in words."""
    across = frame.pixels
    down = frame.pixels.swapaxes(0, 1)
    rows, columns = _some(across, ROWS), _bands(down)
    across_rows = lines_crossing("rows", frame, detector)
    across_columns = lines_crossing("columns", frame, detector)
    words = (
        _saturated(rows)
        or stuck(rows, across_rows)
        or stuck(columns, across_columns)
        or quiet(rows, across_rows, detector)
        or quiet(columns, across_columns, detector)
        or _repeated(columns, across_columns)
        or _repeated(rows, across_rows)
    )
    if words is None and detector is not None:
        found = _outgrown(frame, detector, bare)
        if found is not None:
            return found
    words = (
        words
        or _dim(frame, rows)
        or _empty(frame, rows, columns)
        or _noise(frame, (_fewer(rows), _fewer(columns)), detector is not None)
    )
    if words is not None:
        return Reason.IMAGE_QUALITY, f"view {frame.view}: {words}"
    if frame.channels == ("low", "high") and _swapped(frame, detector):
        detail = (
            f"view {frame.view}: more of the low energy comes through than of the high; are they swapped?"
        )
        return Reason.PROFILE_MISMATCH, detail
    return None


def _outgrown(frame: Frame, detector: Calibration, bare: bool) -> Problem | None:
    """Whether its calibration is of another tube or detector than the air at its ends shows, or of the same
    with the energies the other way round."""
    try:
        words = outgrown(frame.pixels, detector, bare=bare)
        other = frame.pixels[:, :, ::-1]
        swapped = (
            words is not None
            and air_now(other, detector) is not None
            and outgrown(other, detector, bare=bare) is None
        )
    except CalibrationError as error:
        return Reason.PROFILE_MISMATCH, f"view {frame.view}: {error}"
    if words is None:
        return None
    if swapped and frame.channels == ("low", "high"):
        return (
            Reason.PROFILE_MISMATCH,
            f"view {frame.view}: the air at its ends is that of the other energy's calibration; are low and "
            "high swapped?",
        )
    return Reason.IMAGE_QUALITY, f"view {frame.view}: {words}"


def _swapped(frame: Frame, detector: Calibration | None) -> bool:
    """Whether more of the low energy comes through, which no matter does."""
    some = _transmission(frame, detector, COMPARED)
    if compared(some) < SWAP_PIXELS:
        some = _transmission(frame, detector, COMPARED_CLOSELY)
    return energies_swapped(some)


def _transmission(frame: Frame, detector: Calibration | None, count: tuple[int, int]) -> Floats:
    """Of about `count` rows of a frame, and pixels of each, (channels, height, width)."""
    height, width = frame.pixels.shape[:2]
    every = max(1, height // count[0]), max(1, width // count[1])
    planes: Floats = np.moveaxis(frame.pixels[:: every[0], :: every[1]], 2, 0).astype(np.float32)
    if detector is None:
        planes /= np.float32(frame.full_scale)
        return planes
    along, shape = (every[0], (2, -1, 1)) if detector.belt_axis == "columns" else (every[1], (2, 1, -1))
    planes -= detector.offset[:, ::along].reshape(shape)
    planes *= detector.gain[:, ::along].reshape(shape)
    return planes


def _some(lines: Pixels, count: int) -> Pixels:
    """About `count` of the lines along the first axis."""
    return np.ascontiguousarray(lines[:: max(1, lines.shape[0] // count)])


def _fewer(lines: Pixels) -> Pixels:
    """Some of the lines, in the last channel, which is the high energy if there are two."""
    return lines[:: max(1, lines.shape[0] * lines.shape[1] // ENOUGH), :, -1]


def _bands(columns: Pixels) -> Pixels:
    """Some columns (the first axis), in groups of neighbours; all of a narrow frame's."""
    count = columns.shape[0]
    if count <= BANDS * BAND:
        return np.ascontiguousarray(columns)
    starts = [round((2 * band + 1) * (count - BAND) / (2 * BANDS)) for band in range(BANDS)]
    return np.concatenate([columns[start : start + BAND] for start in starts])


def _saturated(rows: Pixels) -> str | None:
    if rows.dtype.kind != "u":
        return None
    share = np.count_nonzero(rows == 2 ** (8 * rows.dtype.itemsize) - 1) / rows.size
    if share > MAX_SATURATED:
        return f"{share:.0%} of the values are at the end of their range"
    return None


def _repeated(some: Pixels, lines: Lines) -> str | None:
    """Lines equal to the one before in all sampled places, where anything gets through at all and nothing
    repairs them.

    `some` holds crossing lines, so its second axis counts the `lines` meant.
    """
    same = some[0, 1:] == some[0, :-1]
    equal = np.flatnonzero(same[:, 0] & same[:, -1])
    if equal.size:  # in the first of the crossing lines; and in the others?
        same = some[:, equal + 1] == some[:, equal]
        equal = equal[np.logical_and.reduce(same, axis=(0, 2))]
    if equal.size <= MAX_REPEATED:
        return None
    shown = some[:, equal + 1].astype(np.float32) > lines.dark[equal + 1]
    repeated = int(np.count_nonzero((shown & ~lines.known[equal + 1]).any(axis=(0, 2))))
    if repeated > MAX_REPEATED:
        why = "a part of it is read twice" if lines.of_detector else "the belt stopped or lines were lost"
        return f"{repeated} {lines.name} repeat the one before; {why}"
    return None


def _dim(frame: Frame, rows: Pixels) -> str | None:
    """Air that has too few counts. Air is where two opposite borders are even and as bright as anything."""
    brightest = float(_grouped(_fewer(rows)).max(initial=0.0))
    if brightest >= MIN_AIR * frame.full_scale or brightest <= frame.opaque_below * frame.full_scale:
        return None
    pixels, (lines, _) = frame.pixels[:, :, -1], BORDER
    for one, other in ((pixels[:lines], pixels[-lines:]), (pixels[:, :lines].T, pixels[:, -lines:].T)):
        border = np.concatenate([_grouped(side.mean(axis=0, dtype=np.float32)) for side in (one, other)])
        if not border.size:  # shorter than a group
            continue
        level = float(border.mean())
        if np.ptp(border) < 2 * AIR_SPREAD * level and brightest < (1 + BRIGHTER) * level:
            share = level / frame.full_scale
            return f"what looks like air has {share:.0%} of its counts; is the tube all right?"
    return None


def _grouped(lines: npt.NDArray[np.generic]) -> Floats:
    """Means of groups of pixels along the last axis; a rest that fills no group is left out."""
    groups = lines.shape[-1] // BORDER[1]
    whole = lines[..., : groups * BORDER[1]].reshape(*lines.shape[:-1], groups, BORDER[1])
    means: Floats = whole.mean(axis=-1, dtype=np.float32)
    return means


def _noise(frame: Frame, ways: Sequence[npt.NDArray[np.generic]], may_have_offset: bool) -> str | None:
    """Too much noise where it is bright, or too little where it is dark; lines along both axes, since only
    along the belt one and the same pixel of the detector is followed. Along the other, pixels that differ
    look like noise."""
    found = []
    for lines in ways:
        values: Floats = lines.astype(np.float32)
        middle = values[:, 1:-1]
        # second differences: slopes do not touch them
        second = np.abs(values[:, :-2] + values[:, 2:] - 2 * middle)
        bright = middle > BRIGHT * frame.full_scale
        if np.count_nonzero(bright) < FEWEST:
            continue
        found.append(_NORMAL_MEDIAN * _quantile(second[bright] / middle[bright], 0.5))
        words = None if may_have_offset else _offset(frame, middle, second, bright)
        if words is not None:
            return words
    noise = min(found, default=0.0)
    return f"noise is {noise:.0%} of the signal; too few photons" if noise > MAX_NOISE else None


def _offset(frame: Frame, middle: Floats, second: Floats, bright: npt.NDArray[np.bool_]) -> str | None:
    """Photon noise grows with the root of the level, by a factor that bright areas tell; the lower quartile
    there, since texture adds to noise and never takes away."""
    dark = middle < DARK * frame.full_scale
    dark &= middle > frame.opaque_below * frame.full_scale
    if np.count_nonzero(dark) < FEWEST:
        return None
    levels = middle[dark]
    plateau = levels < PLATEAU * _quantile(levels, 0.1)
    if np.count_nonzero(plateau) < FEWEST:
        return None
    level = float(levels[plateau].mean())
    found = _NORMAL_MEDIAN * _quantile(second[dark][plateau], 0.5)
    rooted = (second[bright] / np.sqrt(middle[bright])).astype(np.float32)
    root = _NORMAL_QUARTILE * _quantile(rooted, 0.25)
    photons = root * float(np.sqrt(level))
    if found < TOO_QUIET * photons:
        return (
            f"dark areas have {level / frame.full_scale:.1%} of air but {found / photons:.0%} of the noise "
            "of so many photons: an offset was not subtracted; see `nii-edge scanner calibrate`"
        )
    return None


def _quantile(values: Floats, share: float) -> float:
    """The nearest value below, without sorting the rest or interpolating as NumPy does."""
    rank = int(share * (values.size - 1))
    return float(np.partition(values, rank)[rank])

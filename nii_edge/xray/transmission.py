"""Counts to transmission with a scanner's calibration. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.pixels import Floats, repair

Planes = npt.NDArray[np.float32]
"""Transmission, shape (channels, height, width): 0 opaque, 1 air, noise on both sides of them."""

AIR_LINES = 8
"""Lines at each end of a frame in which `air_now` looks for air."""
_ENDS = slice(None, AIR_LINES), slice(-AIR_LINES, None)
AIR_RANGE = (0.9, 1.1)
"""Tube output against that of the calibration, within which lines may be air. A tube that is further off
needs a new calibration, and what lets nine tenths through may be cloth."""
AIR_SPREAD = 0.05
"""Largest difference from line end to line end, as a share, of what is nothing but air."""

MATTER_RATIO = 1.1
"""ln T_low / ln T_high of matter is above this; of a tube with less current it is 1."""
SAME_AIR = 0.02
"""Stretches of the detector whose means at both ends of a frame differ by less than this share are alike."""
STRETCH = 32
"""Detector pixels that are judged together: half of a card, or one."""
MIN_STRETCHES = 3
MIN_LINES_TOLD = 4 * AIR_LINES
"""Shorter frames have ends that are hardly apart."""
MAX_GRAIN = 0.015
"""By which share single pixels may differ from what the calibration says of them."""
OF_MEDIANS = 0.242
"""Median of the square of what a normal variable differs by from the median of five, in squares of its
standard deviation."""

CARD_DRIFT = 0.03
"""What a card may have drifted by, as a share, since the calibration."""
MEDIANS = 3
"""Medians of five pixels in a row, one after another."""

SWAP_SPAN = (0.03, 0.85)
"""Transmissions in which the two energies are compared: surely matter, surely above the noise."""
SWAP_PIXELS = 200
"""Pixels needed to say that energies are swapped."""
SWAP_RATIO = 0.97
"""ln T_low / ln T_high is above 1 in all matter between 30 and 200 keV (PE 1.15, see domain tables)."""


def apply(counts: npt.NDArray[np.generic], calibration: Calibration, air: Floats | None = None) -> Planes:
    """Transmission of a frame of counts, shape (height, width, channels) to (channels, height, width).

    Not cut: noise makes it a little more than 1 in air and a little less than 0 in the dark. `air`: what air
    shows now against the calibration, (channels, detector pixels) (`air_now`).

    Raises:
        CalibrationError: WRONG_WIDTH or PROFILE_MISMATCH; says what was found and expected.
    """
    _check(counts, calibration)
    planes = np.empty((counts.shape[2], *counts.shape[:2]), np.float32)
    for index, plane in enumerate(planes):
        np.copyto(plane, cv2.extractChannel(counts, index), casting="unsafe")
        _correct(plane, calibration, index, air)
    return planes


def apply_reduced(
    counts: npt.NDArray[np.generic], calibration: Calibration, size: tuple[int, int],
    air: Floats | None = None,
) -> Planes:  # fmt: skip
    """`apply`, then averaged down to `size` (height, width), neither larger than the frame, in less time.

    Offset and gain belong to detector pixels and are the same in every line, so lines may be averaged first
    and corrected when there are fewer. Averages of counts are rounded: off by half a count at most.

    Raises:
        CalibrationError: see `apply`.
    """
    _check(counts, calibration)
    height, width = size
    fewer = (width, counts.shape[0]) if calibration.belt_axis == "columns" else (counts.shape[1], height)
    lines = cv2.resize(counts, fewer, interpolation=cv2.INTER_AREA)
    return np.stack([one_reduced(lines, calibration, size, k, air) for k in range(counts.shape[2])])


def one_reduced(
    lines: npt.NDArray[np.generic], calibration: Calibration, size: tuple[int, int], channel: int,
    air: Floats | None = None,
) -> Floats:  # fmt: skip
    """One channel of `apply_reduced`, (height, width), from lines that are fewer already. Whether they fit
    the calibration is not asked again."""
    plane = cv2.extractChannel(lines, channel).astype(np.float32)
    _correct(plane, calibration, channel, air)
    made: Floats = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
    return made


def misfit(shape: Sequence[int], calibration: Calibration) -> str | None:
    """Why counts of this shape (height, width, channels) were not seen by this detector; None if they may."""
    axis = _detector_axis(calibration)
    if shape[axis] == calibration.width:
        return None
    return (
        f"the frame has {shape[axis]} detector pixels along its {('columns', 'rows')[axis]}, "
        f"the calibration {calibration.width}"
    )


def _check(counts: npt.NDArray[np.generic], calibration: Calibration) -> None:
    if counts.ndim != 3 or counts.shape[2] != len(calibration.channels):
        raise CalibrationError(
            CalibrationFault.PROFILE_MISMATCH,
            f"a frame of shape {counts.shape} for channels {'+'.join(calibration.channels)}",
        )
    words = misfit(counts.shape, calibration)
    if words is not None:
        raise CalibrationError(CalibrationFault.WRONG_WIDTH, words)


def _detector_axis(calibration: Calibration) -> int:
    return 0 if calibration.belt_axis == "columns" else 1


def _correct(plane: Floats, calibration: Calibration, channel: int, air: Floats | None = None) -> None:
    """Counts of one channel to transmission, in place."""
    axis = _detector_axis(calibration)
    along = (slice(None), None) if axis == 0 else (None, slice(None))
    gain = calibration.gain[channel] if air is None else calibration.gain[channel] / air[channel]
    plane -= calibration.offset[channel][along]
    plane *= gain[along]
    repair(plane, calibration.repairs[channel], axis)


def air_now(counts: npt.NDArray[np.generic], calibration: Calibration) -> Floats | None:
    """What air shows against the calibration, (channels, detector pixels): the tube's output, and the cards'
    own drift. From lines of air at either end of a frame of counts (height, width, channels); None if neither
    end is air.

    Raises:
        CalibrationError: see `apply`.
    """
    _check(counts, calibration)
    for end in _ENDS:
        profiles = _profiles(counts, calibration, end)
        level = _level(profiles)
        if _within(level) and _is_even(profiles, level):
            now: Floats = _of_cards(profiles / level[:, None]) * level[:, None]
            return now
    return None


def outgrown(counts: npt.NDArray[np.generic], calibration: Calibration, *, bare: bool = False) -> str | None:
    """Why the air at the ends of a frame of counts (height, width, channels) is not that of the calibration,
    in words; None if it is, or if nothing can be said.

    Looked at are stretches of the detector that show the same at both ends. `bare`: the ends are known to be
    empty belt; otherwise what weakens the low energy more may be goods that reach over both.

    Raises:
        CalibrationError: see `apply`.
    """
    _check(counts, calibration)
    ends = np.stack([_profiles(counts, calibration, end) for end in _ENDS])
    lines = counts.shape[1 - _detector_axis(calibration)]
    count = ends.shape[2] // STRETCH
    if lines < MIN_LINES_TOLD or count < MIN_STRETCHES:
        return None
    parts = ends[:, :, : count * STRETCH].reshape(*ends.shape[:2], count, STRETCH)
    means = np.maximum(parts.mean(axis=3), np.float32(1e-3))
    alike = (np.abs(means[0] - means[1]) < SAME_AIR * means[0]).all(axis=0)
    if np.count_nonzero(alike) < MIN_STRETCHES:
        return None
    shown: Floats = means[0][:, alike]
    level = np.median(shown, axis=1)
    matter = np.full(shown.shape[1], False) if bare else _may_be_matter(shown)
    other = ((shown < AIR_RANGE[0]) | (shown > AIR_RANGE[1])).any(axis=0)
    off = other & ~matter
    if 2 * np.count_nonzero(off) > off.size:
        said = " and ".join(f"{a:.0%} of {name}" for a, name in zip(level, calibration.channels, strict=True))
        return (
            f"the air at its ends shows {said}, against 100% when the calibration was made: the tube, or the "
            "channels, are not what they were; see to it, then `nii-edge scanner calibrate`"
        )
    share = shown / level[:, None]
    uneven = (np.abs(share - 1) > AIR_SPREAD).any(axis=0)
    odd = uneven & ~matter & ~(np.zeros(off.size, np.bool_) if bare else _may_be_matter(share))
    if odd.any() and not off.all():
        worst = float(share[:, odd].flat[int(np.argmax(np.abs(share[:, odd] - 1)))])
        return (
            f"a part of the detector shows air as {worst:.0%} of what the rest of it does, at both ends: a "
            "card has changed; `nii-edge scanner calibrate`"
        )
    grain = _grain(parts[:, :, alike][:, :, ~other & ~uneven])
    if grain > MAX_GRAIN:
        return (
            f"single detector pixels show air {grain:.1%} too bright or too dark at both ends of the frame: "
            "the calibration is of another detector, or too old; `nii-edge scanner calibrate`"
        )
    return None


def _profiles(counts: npt.NDArray[np.generic], calibration: Calibration, end: slice) -> Floats:
    """Transmission (channels, detector pixels) of the lines at one end of a frame, as a mean."""
    axis = 1 - _detector_axis(calibration)
    lines = (counts[:, end] if axis else counts[end]).astype(np.float32)
    mean = cv2.reduce(lines, axis, cv2.REDUCE_AVG).reshape(-1, counts.shape[2])  # much quicker than NumPy's
    profiles: Floats = np.ascontiguousarray(mean.T)
    profiles -= calibration.offset
    profiles *= calibration.gain
    for profile, plan in zip(profiles, calibration.repairs, strict=True):
        repair(profile[:, None], plan, 0)
    return profiles


def _level(profiles: Floats) -> Floats:
    """The middle of each channel (channels, pixels)."""
    level: Floats = np.median(profiles, axis=1)
    return level


def _within(level: Floats) -> bool:
    return bool(((level > AIR_RANGE[0]) & (level < AIR_RANGE[1])).all())


def _is_even(profiles: Floats, level: Floats) -> bool:
    """Whether one thing covers the whole detector: air, or matter as wide as the tunnel."""
    smooth = _box(profiles, max(1, profiles.shape[1] // 16))
    return bool((np.abs(smooth - level[:, None]).max(axis=1) < AIR_SPREAD * np.minimum(level, 1)).all())


def _may_be_matter(level: Floats) -> npt.NDArray[np.bool_]:
    """Where (channels, places) matter could leave so much: it takes more of the low energy, a tube that gives
    less takes the same of both."""
    low, high = np.log(np.maximum(level[[0, -1]], np.float32(1e-3)))
    weaker = (level < 1).all(axis=0)
    return np.asarray(weaker & (low < MATTER_RATIO * high) if len(level) > 1 else weaker, np.bool_)


def _grain(parts: Floats) -> float:
    """By which share (standard deviation) single pixels differ from their neighbours in the same way at both
    ends, where that is most; `parts` (ends, channels, stretches, pixels). Of most pixels of a stretch: edges
    that run along the belt are few."""
    if not parts.size:
        return 0.0
    even = (parts / parts.mean(axis=3, keepdims=True)).reshape(-1, parts.shape[3])
    fine = np.stack([row - cv2.medianBlur(row[None], 5)[0] for row in even]).reshape(parts.shape)
    common = np.median(fine[0] * fine[1], axis=2) / OF_MEDIANS
    return float(np.sqrt(np.maximum(common, 0)).max())


def _of_cards(profiles: Floats) -> Floats:
    """Air along the detector (channels, pixels) without the noise of single pixels: medians keep the steps
    from card to card sharp, and the mean of few takes most of the rest. 1 where it is off by more than
    `CARD_DRIFT`: something lies there, or a pixel died."""
    smooth = np.ascontiguousarray(profiles)
    for _ in range(MEDIANS):
        smooth = np.stack([cv2.medianBlur(row[None], 5)[0] for row in smooth])
    made = _box(smooth, 3)
    return np.where(np.abs(made - 1) > CARD_DRIFT, np.float32(1), made)


def energies_swapped(planes: Planes) -> bool:
    """True if matter in this dual-energy view lets more of the low energy through than of the high one.

    False also where there is too little matter to say.
    """
    low, high = planes[0], planes[-1]
    both = _comparable(planes)
    pixels = np.count_nonzero(both)
    if pixels < SWAP_PIXELS:
        return False
    # both logarithms are negative; more than half of the ratios below the limit is their median below it
    return bool(2 * np.count_nonzero(np.log(low[both]) > SWAP_RATIO * np.log(high[both])) > pixels)


def compared(planes: Planes) -> int:
    """Pixels in which the energies can be compared; below `SWAP_PIXELS` they say nothing."""
    return int(np.count_nonzero(_comparable(planes)))


def _comparable(planes: Planes) -> npt.NDArray[np.bool_]:
    low, high = planes[0], planes[-1]
    inside: npt.NDArray[np.bool_] = np.minimum(low, high) > SWAP_SPAN[0]
    inside &= np.maximum(low, high) < SWAP_SPAN[1]
    return inside


def _box(rows: Floats, width: int) -> Floats:
    smooth: Floats = cv2.blur(np.ascontiguousarray(rows), (width, 1), borderType=cv2.BORDER_REPLICATE)
    return smooth

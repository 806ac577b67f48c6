"""Offset and gain of every detector pixel, from dark and air lines. Pure.

    T = (counts - dark) / (air - dark)

per pixel and energy, the two-point correction of every flat-panel and line detector (for example
ASTM E2597, "offset and gain correction"). Bad pixels are found on the way and filled from their neighbours.

Lines from the scanner have shape (lines, detector pixels, channels). In a frame the detector lies along
rows or columns, as the profile's `belt_axis` says: ``columns``, each image column is one line and the
detector runs down the image; ``rows``, each image row is one line and the detector runs across it.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.config import Profile
from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.records import Channel
from nii_edge.xray.geometry import room_for
from nii_edge.xray.pixels import (
    MAD_TO_SIGMA,
    PixelState,
    Repair,
    States,
    classify,
    longest_run,
    plan_repair,
    statistics,
)

Floats = npt.NDArray[np.float32]

MIN_LINES = 32
"""Dark or air lines needed: their standard deviation is then known to about an eighth."""
MAX_BAD_SHARE = 0.05
"""Of a channel's pixels. More is a broken detector, not a calibration matter."""
MAX_RUN = 8
"""Bad pixels side by side; a wider hole hides a wire or a blade."""
MIN_RESPONSE_SIGMAS = 5.0
"""Air must stand out of the dark by this many standard deviations."""
ROOM_SPARE = 0.02
"""By which share a detector may have more or fewer pixels than its drawing has room for."""
AIR_TOLERANCE = 0.5
"""How far the measured air level may be from the profile's `air`, as a share of it."""
MAX_AIR_CHANGE = 0.05
"""Of a pixel's air level, between the first and the second half of the air lines."""


LINE_FLICKER = 0.015
"""By which share of air no tube changes from line to line; the pixels of most detectors differ by more."""


class Noise(NamedTuple):
    """Standard deviation of one pixel's transmission, (low, high), in the dark and in air."""

    dark: tuple[float, float]
    air: tuple[float, float]


class Calibration(NamedTuple):
    """What turns one view's counts into transmission.

    `offset` (channels, detector pixels): dark counts. `gain`, same shape: 1 / (air - dark), 1 for bad
    pixels, which are replaced. `states`, same shape: a `PixelState` each. `air`: mean counts of air above
    dark, one per channel. `dark_noise`, `air_noise`: standard deviation of a good pixel's transmission, one
    per channel. `digest`: SHA-256 of everything else, in hex, to be cited in reports.
    """

    scanner: str
    view: int
    made_at_ns: int
    belt_axis: Literal["rows", "columns"]
    channels: tuple[Channel, ...]
    offset: Floats
    gain: Floats
    states: States
    air: tuple[float, ...]
    dark_noise: tuple[float, ...]
    air_noise: tuple[float, ...]
    repairs: tuple[Repair, ...]
    digest: str

    @property
    def width(self) -> int:
        """Detector pixels."""
        return int(self.offset.shape[1])

    @property
    def noise(self) -> Noise:
        """Of a dual-energy view, as material tables need it."""
        return Noise(
            (self.dark_noise[0], self.dark_noise[-1]),
            (self.air_noise[0], self.air_noise[-1]),
        )


class Origin(NamedTuple):
    """Where calibration lines come from. `made_at_ns` is Unix time."""

    scanner: str
    view: int
    made_at_ns: int
    belt_axis: Literal["rows", "columns"]
    channels: tuple[Channel, ...]


def calibrate(dark: npt.NDArray[np.generic], air: npt.NDArray[np.generic], origin: Origin) -> Calibration:
    """A calibration from lines of shape (lines, detector pixels, channels), tube off and tube on.

    Raises:
        CalibrationError: TOO_FEW_LINES; PROFILE_MISMATCH if the shapes contradict each other or the
            channels, or the arrays are turned; NOT_AIR if the tube was off; BAD_DETECTOR beyond what
            neighbours can replace, or counts that are not finite.
    """
    _check_lines(dark, air, origin)
    in_dark, in_air = statistics(dark), statistics(air)
    response = in_air.mean - in_dark.mean
    _check_response(response, in_air.std, origin)
    _check_turned(air, in_dark.mean, origin)
    _check_steady(air, response, origin)
    states = classify(in_dark, in_air)
    _check_states(states, origin)
    usable = np.where(states == PixelState.GOOD, response, 1.0)
    gain = (1.0 / usable).astype(np.float32)
    good = [row == PixelState.GOOD for row in states]
    return assemble(
        origin,
        in_dark.mean.astype(np.float32),
        gain,
        states,
        tuple(float(np.mean(row[ok])) for row, ok in zip(response, good, strict=True)),
        tuple(float(np.median((row * g)[ok])) for row, g, ok in zip(in_dark.std, gain, good, strict=True)),
        tuple(float(np.median((row * g)[ok])) for row, g, ok in zip(in_air.std, gain, good, strict=True)),
    )


def assemble(
    origin: Origin,
    offset: Floats,
    gain: Floats,
    states: States,
    air: tuple[float, ...],
    dark_noise: tuple[float, ...],
    air_noise: tuple[float, ...],
) -> Calibration:
    """The record from its measured parts: adds the repair plan and the digest."""
    digest = hashlib.sha256(b"nii-edge calibration 1\n")
    digest.update(repr((tuple(origin), offset.shape, air, dark_noise, air_noise)).encode())
    for array in (offset, gain, states):
        digest.update(np.ascontiguousarray(array).tobytes())
    repairs = tuple(plan_repair(row) for row in states)
    return Calibration(*origin, offset, gain, states, air, dark_noise, air_noise, repairs, digest.hexdigest())


def check_fits(
    calibration: Calibration, scanner: str, view: int, profile: Profile, now_ns: int, max_age_ns: int
) -> None:
    """Refuse a calibration that is not this scanner's or view's, or too old.

    Raises:
        CalibrationError: STALE (also if made in the future), WRONG_WIDTH, or PROFILE_MISMATCH naming the
            field.
    """
    form = next((form for form in profile.formats if form.channels == calibration.channels), None)
    problems = (
        (calibration.scanner != scanner, f"it is scanner {calibration.scanner}'s, not {scanner}'s"),
        (calibration.view != view, f"it is for view {calibration.view}, not {view}"),
        (
            calibration.belt_axis != profile.belt_axis,
            f"its belt runs along {calibration.belt_axis}, the profile's along {profile.belt_axis}",
        ),
        (
            form is None or form.air is None,
            f"the profile has no counts of channels {'+'.join(calibration.channels)}",
        ),
    )
    for wrong, detail in problems:
        if wrong:
            raise CalibrationError(CalibrationFault.PROFILE_MISMATCH, detail)
    check_room(calibration.width, view, profile)
    age = now_ns - calibration.made_at_ns
    if not 0 <= age <= max_age_ns:
        raise CalibrationError(
            CalibrationFault.STALE,
            f"made {age / 3.6e12:.1f} h ago; at most {max_age_ns / 3.6e12:.1f} h are allowed: make a new one",
        )
    nominal = form.air if form is not None and form.air is not None else 1.0
    for name, level in zip(calibration.channels, calibration.air, strict=True):
        if not abs(level - nominal) <= AIR_TOLERANCE * nominal:  # NaN is refused too
            raise CalibrationError(
                CalibrationFault.PROFILE_MISMATCH,
                f"{name}: air is {level:.0f} counts, the profile says {nominal:.0f}",
            )


def check_room(width: int, view: int, profile: Profile) -> None:
    """Refuse a detector of `width` pixels where the profile's drawing has room for others.

    Raises:
        CalibrationError: WRONG_WIDTH.
    """
    if profile.geometry is None or view >= len(profile.geometry):
        return
    room = room_for(profile.geometry[view])
    if abs(width - room) > max(ROOM_SPARE * room, 1):
        raise CalibrationError(
            CalibrationFault.WRONG_WIDTH,
            f"view {view}: the detector has {width} pixels, the profile's `geometry` has room for {room}; "
            "sizes and masses would be wrong",
        )


def _check_lines(dark: npt.NDArray[np.generic], air: npt.NDArray[np.generic], origin: Origin) -> None:
    for name, lines in (("dark", dark), ("air", air)):
        if lines.ndim != 3 or lines.shape[2] != len(origin.channels) or lines.shape[1:] != dark.shape[1:]:
            raise CalibrationError(
                CalibrationFault.PROFILE_MISMATCH,
                f"{name} lines of shape {lines.shape}; expected (lines, detector pixels, "
                f"{len(origin.channels)}) for {'+'.join(origin.channels)}, dark and air alike",
            )
        if lines.shape[0] < MIN_LINES:
            raise CalibrationError(
                CalibrationFault.TOO_FEW_LINES,
                f"{lines.shape[0]} {name} lines; at least {MIN_LINES} are needed",
            )
        wrong = int(np.count_nonzero(~np.isfinite(lines)))
        if wrong:
            raise CalibrationError(
                CalibrationFault.BAD_DETECTOR,
                f"{wrong} of {lines.size} {name} counts are NaN or infinite; expected counts: save the "
                "lines as the detector gives them",
            )


def _check_response(
    response: npt.NDArray[np.float64], noise: npt.NDArray[np.float64], origin: Origin
) -> None:
    for name, values, sigma in zip(origin.channels, response, noise, strict=True):
        level, spread = float(np.median(values)), float(np.median(sigma))
        if level < max(MIN_RESPONSE_SIGMAS * spread, 1.0):
            raise CalibrationError(
                CalibrationFault.NOT_AIR,
                f"{name}: air is only {level:.1f} counts above dark with noise {spread:.1f}; is the tube on?",
            )


def _check_turned(air: npt.NDArray[np.generic], dark: npt.NDArray[np.float64], origin: Origin) -> None:
    """Pixels differ from their neighbours, and lines hardly: where it is the other way round, they are
    pixels."""
    values = np.moveaxis(air, 2, 0).astype(np.float64) - dark[:, None]
    for name, plane in zip(origin.channels, values, strict=True):
        lines, pixels = _roughness(plane.mean(axis=1)), _roughness(plane.mean(axis=0))
        if lines > max(LINE_FLICKER, 3 * pixels):
            raise CalibrationError(
                CalibrationFault.PROFILE_MISMATCH,
                f"{name}: air differs by {lines:.1%} from line to line and by {pixels:.1%} from one detector "
                "pixel to the next, expected the other way round: the arrays are turned, or the profile's "
                f"`belt_axis` ({origin.belt_axis}) is wrong",
            )


def _roughness(values: npt.NDArray[np.float64]) -> float:
    """By which share neighbours differ, as a standard deviation; slopes and a few odd ones are no matter."""
    bends = np.abs(values[:-2] + values[2:] - 2 * values[1:-1])
    if not bends.size:
        return 0.0
    return float(MAD_TO_SIGMA * np.median(bends) / 6**0.5 / max(float(np.median(values)), 1.0))


def _check_steady(air: npt.NDArray[np.generic], response: npt.NDArray[np.float64], origin: Origin) -> None:
    """Nothing may pass by while air is measured, nor the tube change its output, nor counts be cut off."""
    if air.dtype.kind == "u":
        ceiling = 2 ** (8 * air.dtype.itemsize) - 1
        clipped = float(np.mean(air == ceiling))
        if clipped > MAX_BAD_SHARE:
            raise CalibrationError(
                CalibrationFault.NOT_AIR,
                f"{clipped:.0%} of the air counts are {ceiling}, the end of their range; lower the gain",
            )
    half = air.shape[0] // 2
    change = air[half:].mean(axis=0, dtype=np.float64) - air[:half].mean(axis=0, dtype=np.float64)
    for index, name in enumerate(origin.channels):
        share = np.abs(change[:, index]) / np.maximum(response[index], 1.0)
        moved = float(np.mean(share > MAX_AIR_CHANGE))
        if moved > MAX_BAD_SHARE:
            raise CalibrationError(
                CalibrationFault.NOT_AIR,
                f"{name}: {moved:.0%} of the pixels changed by more than {MAX_AIR_CHANGE:.0%} between the "
                "two halves of the air lines; empty the tunnel and let the tube warm up",
            )


def _check_states(states: States, origin: Origin) -> None:
    for name, row in zip(origin.channels, states, strict=True):
        share, run = float(np.mean(row != PixelState.GOOD)), longest_run(row)
        if share > MAX_BAD_SHARE or run > MAX_RUN:
            raise CalibrationError(
                CalibrationFault.BAD_DETECTOR,
                f"{name}: {share:.1%} of {row.size} pixels are bad (at most {MAX_BAD_SHARE:.0%}), "
                f"{run} side by side (at most {MAX_RUN}); the detector needs service",
            )

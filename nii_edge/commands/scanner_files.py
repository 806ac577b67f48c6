"""What `nii-edge scanner` does with a scanner's files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from nii_edge.adapters.arrays import load_array
from nii_edge.adapters.calibration_files import read_calibration, read_optics, write_calibration
from nii_edge.adapters.self_test_files import PieceFile, add_result, read_history
from nii_edge.config import Config, Profile, load
from nii_edge.errors import CalibrationError, ConfigError, RecordingError
from nii_edge.records import Channel, Frame, Name
from nii_edge.xray import self_test, trend
from nii_edge.xray.calibrate import Calibration, Origin, check_fits, check_room
from nii_edge.xray.calibrate import calibrate as make_calibration
from nii_edge.xray.optics import optics as optics_of
from nii_edge.xray.optics import planes_of
from nii_edge.xray.self_test import SelfTest
from nii_edge.xray.transmission import apply
from nii_edge.xray.wedges import Wedge, WedgeStep

CHANNELS: tuple[Channel, ...] = ("low", "high")
MIDDLE = 0.25
"""Of a wedge's step this share of each side is left out: its edges are blurred and scattered into."""
MAX_HOURS = 876_000
"""A hundred years: older than any scanner."""

_ALONG = {"rows": "across the picture", "columns": "down the picture"}
"""Where the detector lies, by the axis along which the belt runs."""


class ScannedStep(Config, frozen=True, kw_only=True):
    """A step of a wedge and its scan: a .npy file that shows nothing but this step."""

    thickness_mm: Annotated[float, Meta(gt=0)]
    scan: str


class ScannedWedge(Config, frozen=True, kw_only=True):
    """A wedge of one material; see `xray.wedges.Wedge`."""

    name: str
    z: Annotated[float, Meta(ge=1, le=100)]
    density: Annotated[float, Meta(gt=0)]
    steps: tuple[ScannedStep, ...]
    k_edge: bool = False


class WedgeScans(Config, frozen=True, kw_only=True):
    """The file that --wedges names."""

    version: Literal[1]
    wedges: tuple[ScannedWedge, ...]


def calibrate(
    scanner: str, view: int, profile: Path, dark: Path, air: Path, wedges: Path | None, out: Path
) -> str:
    """Write a view's calibration file; what it holds, in words.

    Raises:
        CalibrationError: no calibration can be made of this; says why.
        ConfigError, RecordingError: a file is not what it should be.
    """
    form = load(profile, Profile)
    origin = Origin(_name(scanner), view, time.time_ns(), form.belt_axis, CHANNELS)
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: expected a file to write, in a folder that exists")
    lines = _lines(air, form)
    detector = make_calibration(_lines(dark, form), lines, origin)
    check_room(detector.width, view, form)
    measured = () if wedges is None else _measured(wedges, detector)
    try:
        optics_of(detector, measured, form.penetration_limit)  # refuses wedges that make no table
    except CalibrationError as error:
        raise CalibrationError(error.fault, f"{wedges}: {error.detail}") from error
    write_calibration(out, detector, measured)
    bad = int(np.count_nonzero(detector.states))
    return (
        f"{out}: {detector.width} detector pixels {_ALONG[form.belt_axis]}, {len(lines)} lines of air; "
        f"{bad} of {detector.states.size} pixels bad and replaced; "
        f"noise of air {100 * detector.air_noise[-1]:.2f}%; {len(measured)} wedges"
    )


class Lane(NamedTuple):
    """Whose calibration a self-test may use. `scanner` and `view`: None if nobody said; `hours`: as
    `calibration_hours` of the lane."""

    scanner: str | None = None
    view: int | None = None
    hours: float = 168.0


class Tested(NamedTuple):
    """A self-test's result, what is on its way to failure, and the calibration used, in words."""

    result: SelfTest
    ahead: list[str]
    calibration: str


def test_piece(
    scan: Path, piece: Path, profile: Path, calibration: Path | None, history: Path | None, lane: Lane
) -> Tested:
    """Measure a scan of the test piece, and add the result to the history.

    Raises:
        ConfigError, RecordingError: a file is not what it should be.
        CalibrationError: the same, or it is another scanner's or view's, or too old.
    """
    form, layout = load(profile, Profile), load(piece, PieceFile)
    if form.pixel_pitch_mm is None:
        raise ConfigError(f"{profile}: pixel_pitch_mm is null; a test piece needs the size of a pixel")
    optics, words = None, "none"
    if calibration is not None:
        words = _checked(calibration, form, lane)
        optics = read_optics(calibration, form.penetration_limit)
    planes = planes_of(_frame(scan, form), optics)
    materials = None if optics is None else optics.materials
    result = self_test.run(
        planes, layout.piece, form.pixel_pitch_mm, layout.limits, time.time_ns(), materials
    )
    earlier = read_history(history)
    if history is not None:
        add_result(history, result)
    ahead = [forecast.words for forecast in trend.foresee([*earlier, result], layout.limits)]
    return Tested(result, ahead, words)


def _checked(path: Path, profile: Profile, lane: Lane) -> str:
    """Whose calibration it is, in words. Raises CalibrationError where a daemon would not start with it."""
    if not 0 < lane.hours <= MAX_HOURS:
        raise ConfigError(f"--calibration-hours {lane.hours:g}: expected above 0, at most {MAX_HOURS}")
    made = read_calibration(path).calibration
    now_ns = time.time_ns()
    scanner = made.scanner if lane.scanner is None else lane.scanner
    view = made.view if lane.view is None else lane.view
    try:
        check_fits(made, scanner, view, profile, now_ns, round(lane.hours * 3_600e9))
    except CalibrationError as error:
        raise CalibrationError(error.fault, f"{path}: {error.detail}") from error
    return f"{path}: {made.scanner}, view {made.view}, made {(now_ns - made.made_at_ns) / 3.6e12:.1f} h ago"


def _name(scanner: str) -> str:
    try:
        return msgspec.convert(scanner, Name)
    except msgspec.ValidationError as error:
        raise ConfigError(f"scanner {scanner!r}: {error}; expected the lane's name in edge.yaml") from error


def _measured(path: Path, detector: Calibration) -> tuple[Wedge, ...]:
    """The wedges with the transmissions that their scans show."""
    wedges = []
    for wedge in load(path, WedgeScans).wedges:
        steps = []
        for step in wedge.steps:
            pixels = _pixels(path.parent / step.scan)
            try:
                planes = apply(pixels, detector)
            except CalibrationError as error:
                raise CalibrationError(error.fault, f"{path.parent / step.scan}: {error.detail}") from error
            height, width = planes.shape[1:]
            middle = planes[
                :,
                int(MIDDLE * height) : max(1, height - int(MIDDLE * height)),
                int(MIDDLE * width) : max(1, width - int(MIDDLE * width)),
            ]
            low, high = (float(value) for value in middle.mean(axis=(1, 2)))
            steps.append(WedgeStep(thickness_mm=step.thickness_mm, t_low=low, t_high=high))
        wedges.append(
            Wedge(name=wedge.name, z=wedge.z, density=wedge.density, steps=tuple(steps), k_edge=wedge.k_edge)
        )
    return tuple(wedges)


def _lines(path: Path, profile: Profile) -> npt.NDArray[np.generic]:
    """Lines of shape (lines, detector pixels, channels), whichever way the belt runs in the file."""
    pixels = _pixels(path)
    return pixels if profile.belt_axis == "rows" else pixels.swapaxes(0, 1)


def _pixels(path: Path) -> npt.NDArray[np.generic]:
    try:
        pixels: npt.NDArray[np.generic] = load_array(path, CHANNELS).pixels[0]
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
    return pixels


def _frame(path: Path, profile: Profile) -> Frame:
    pixels = _pixels(path)
    form = next((f for f in profile.formats if f.channels == CHANNELS and f.dtype == pixels.dtype.name), None)
    if form is None or form.air is None:
        raise ConfigError(
            f"{path}: {pixels.dtype.name} counts of both energies; the profile has no such format"
        )
    return Frame(
        view=0,
        channels=CHANNELS,
        pixels=np.ascontiguousarray(pixels),
        full_scale=form.air,
        opaque_below=profile.penetration_limit,
    )

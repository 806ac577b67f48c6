"""All that is known of one view of one scanner, and a frame's transmission by it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from nii_edge.errors import CalibrationError, FrameError
from nii_edge.records import Frame, Reason
from nii_edge.xray.calibrate import Calibration, Noise
from nii_edge.xray.colour import ColourTable, colour_table
from nii_edge.xray.material import MaterialTable, build_table
from nii_edge.xray.pixels import Floats
from nii_edge.xray.transmission import Planes, air_now, apply, apply_reduced
from nii_edge.xray.wedges import Wedge


class Optics(NamedTuple):
    """What frames of one view are read with.

    `detector`: offset and gain of its pixels; None if the scanner corrects its counts itself. `materials` and
    `colours`: from its wedges; None if none were scanned, and then nothing is said of materials.
    """

    detector: Calibration | None = None
    materials: MaterialTable | None = None
    colours: ColourTable | None = None


def optics(
    detector: Calibration | None,
    wedges: Sequence[Wedge] = (),
    penetration_limit: float = 1e-3,
    noise: Noise | None = None,
) -> Optics:
    """Everything built that the calibration allows. `noise` is the detector's own if there is one; without
    either nothing is said of materials.

    Raises:
        CalibrationError: see `material.build_table`.
    """
    if detector is not None and len(detector.channels) == 2:
        noise = detector.noise
    if not wedges or noise is None:
        return Optics(detector)
    materials = build_table(wedges, noise, penetration_limit)
    return Optics(detector, materials, colour_table(materials))


def are_raw(frame: Frame) -> bool:
    """Whether its pixels are counts that a calibration corrects: no display picture, and no transmission."""
    return frame.channels[0] in ("low", "high") and frame.pixels.dtype.kind == "u"


class Air(NamedTuple):
    """What `transmission.air_now` said of a frame: kept by those who read it more than once."""

    now: Floats | None


def air_of(frame: Frame, view: Optics | None) -> Air:
    """What air shows now at the frame's ends; nothing if its counts are not corrected here.

    Raises:
        FrameError: PROFILE_MISMATCH if the frame does not fit the calibration.
    """
    if view is None or view.detector is None or not are_raw(frame):
        return Air(None)
    try:
        return Air(air_now(frame.pixels, view.detector))
    except CalibrationError as error:
        raise FrameError(Reason.PROFILE_MISMATCH, f"view {frame.view}: {error}") from error


def planes_of(
    frame: Frame, view: Optics | None = None, size: tuple[int, int] | None = None, air: Air | None = None
) -> Planes:
    """Transmission (channels, height, width) of a frame of counts or of transmission, resized to `size`
    (height, width) if that is given. Counts follow the tube and the detector's cards, as far as air at
    the frame's ends shows them, or as `air` says.

    Raises:
        FrameError: PROFILE_MISMATCH if the frame is a display picture or does not fit the calibration.
    """
    if frame.channels[0] not in ("low", "high"):
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"view {frame.view}: a display picture ({'+'.join(frame.channels)}) has no transmission",
        )
    height, width = frame.pixels.shape[:2]
    shrinks = size is not None and size[0] <= height and size[1] <= width
    if view is None or view.detector is None or frame.pixels.dtype.kind == "f":
        return _resized(_scaled(frame), size, shrinks)
    try:
        now = (air or air_of(frame, view)).now
        if size is not None and shrinks:
            return apply_reduced(frame.pixels, view.detector, size, now)
        return _resized(apply(frame.pixels, view.detector, now), size, shrinks)
    except CalibrationError as error:
        raise FrameError(Reason.PROFILE_MISMATCH, f"view {frame.view}: {error}") from error


def _scaled(frame: Frame) -> Planes:
    split = [cv2.extractChannel(frame.pixels, index) for index in range(frame.pixels.shape[2])]
    planes: Planes = np.stack(split).astype(np.float32)
    planes *= np.float32(1.0 / frame.full_scale)
    return planes


def _resized(planes: Planes, size: tuple[int, int] | None, shrinks: bool) -> Planes:
    if size is None:
        return planes
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (size[1], size[0]), interpolation=how) for plane in planes])

"""Whether a frame shows one whole carton: belt before it, belt behind it, and nothing else. Pure.

A scanner that cuts its own frames may cut a carton in two, or send two at once. What is missing was not
inspected, and papers are of one carton: neither is for a detector to guess at.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nii_edge.config import Profile
from nii_edge.errors import CalibrationError
from nii_edge.records import Frame, Reason
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.transmission import AIR_RANGE, apply_reduced

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

LINES, PIXELS = 4, 8
"""Belt lines and detector pixels that are averaged before anything is judged: little noise is left."""
AIR_AT = 0.9
"""Share of a line's pixels that are darker than what counts as its air: tubes flicker from line to line."""
DARKER = 0.05
"""By which share what lies at a frame's end is darker than the air beside it. Detector cards drift by less;
where a carton is empty its walls, seen along them, take more, nearly always (tools/cut_and_merge.py)."""
SEEN = 0.015
"""By which share a carton, be it empty, is darker than air that the same pixels saw at the frame's ends: its
board, twice, takes about 3 % at 160 kV."""


def problem(frame: Frame, profile: Profile, detector: Calibration | None) -> tuple[Reason, str] | None:
    """Why a frame is not what a lane of whole cartons (`shows: carton`) is to show; None on other lanes."""
    if profile.shows != "carton" or detector is None:
        return None
    try:
        found = flaw(frame.pixels, detector)
    except CalibrationError as error:
        return Reason.PROFILE_MISMATCH, f"view {frame.view}: {error}"
    return None if found is None else (found[0], f"view {frame.view}: {found[1]}")


def flaw(counts: npt.NDArray[np.generic], calibration: Calibration) -> tuple[Reason, str] | None:
    """Why a frame of counts (height, width, channels) does not show one whole carton: CUT or MERGED, and in
    words. None if it does, or shows none at all.

    Raises:
        CalibrationError: see `transmission.apply`.
    """
    lines = _lines(counts, calibration)
    place = max(0, int(AIR_AT * lines.shape[1]) - 1)
    air = np.partition(lines, place, axis=1)[:, place : place + 1]
    covered = air[:, 0] < AIR_RANGE[0]
    lines /= np.maximum(air, np.float32(AIR_RANGE[0]))
    first, last = (_side_by_side(lines < 1 - DARKER) | covered)[[0, -1]].tolist()
    if first or last:
        where = "begins and ends" if first and last else "begins" if first else "ends"
        return Reason.CUT, f"the frame {where} in mid-carton; a carton must have belt before and behind it"
    seen = np.flatnonzero(_side_by_side(lines < (1 - SEEN) * lines[[0, -1]].mean(axis=0)) | covered)
    things = 1 + int(np.count_nonzero(np.diff(seen) > 1))
    if things > 1:
        return (
            Reason.MERGED,
            f"the frame shows {things} things with bare belt between them; expected one carton",
        )
    return None


def _lines(counts: npt.NDArray[np.generic], calibration: Calibration) -> Floats:
    """High-energy transmission (lines, pixels), averaged."""
    along, across = (1, 0) if calibration.belt_axis == "columns" else (0, 1)
    size = [0, 0]
    size[along], size[across] = (
        max(1, counts.shape[axis] // step) for axis, step in ((along, LINES), (across, PIXELS))
    )
    planes = apply_reduced(counts, calibration, (size[0], size[1]))
    high: Floats = planes[-1]
    return high if along == 0 else high.T


def _side_by_side(dark: Flags) -> Flags:
    """Lines with two dark places next to each other: one may be a pixel that died."""
    return np.asarray((dark[:, 1:] & dark[:, :-1]).any(axis=1), np.bool_)

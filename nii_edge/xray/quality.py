"""Frames that cannot be a scan, whatever a detector says of them. Cheap: looks at a few lines only.

A first line of defence; image quality proper is the quality detector's work.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nii_edge.records import Frame, Reason, Scan

LINES = 24
"""Lines of each axis that are looked at, spread over the frame."""
MAX_SATURATED = 0.2
"""Of the values looked at: a scanner in working order clips a few, not a fifth of them."""
PLAUSIBLE = (-0.5, 4.0)
"""Bounds of float values, in units of full scale."""

Problem = tuple[Reason, str]


def problem(scan: Scan) -> Problem | None:
    """Why this scan cannot be judged, if it cannot: not finite, blank, stuck, saturated, one view twice."""
    counts = [frame for frame in scan.frames if frame.channels[0] in ("low", "high")]
    checks = [*map(_not_finite, scan.frames), *map(_dead, counts), _same_view_twice(counts)]
    return next((found for found in checks if found is not None), None)


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


def _dead(frame: Frame) -> Problem | None:
    """Counts always carry noise: lines that are all alike come from a detector that is off or stuck."""
    rows = frame.pixels[:: max(1, frame.pixels.shape[0] // LINES)]
    columns = frame.pixels[:, :: max(1, frame.pixels.shape[1] // LINES)]
    for lines, first in ((rows, rows[:1]), (columns, columns[:, :1])):
        if bool((lines == first).all()):
            detail = f"view {frame.view}: every line is the same; the detector is off or stuck"
            return Reason.IMAGE_QUALITY, detail
    if frame.pixels.dtype.kind == "u":
        ceiling = 2 ** (8 * frame.pixels.dtype.itemsize) - 1
        share = float((rows == ceiling).mean())
        if share > MAX_SATURATED:
            detail = f"view {frame.view}: {share:.0%} of the values are at the end of their range"
            return Reason.IMAGE_QUALITY, detail
    return None


def _same_view_twice(frames: Sequence[Frame]) -> Problem | None:
    for i, one in enumerate(frames):
        for other in frames[i + 1 :]:
            if np.array_equal(one.pixels, other.pixels):
                detail = f"views {one.view} and {other.view} are the same picture"
                return Reason.IMAGE_QUALITY, detail
    return None

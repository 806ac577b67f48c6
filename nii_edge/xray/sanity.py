"""Frames that cannot be a scan, whatever a detector says of them. Cheap: looks at a few lines only.

A first line of defence; image quality proper is the quality detector's work.
"""

from __future__ import annotations

import numpy as np

from nii_edge.records import Frame, Reason

LINES = 24
"""Rows that are looked at, spread over the frame: reading along rows is what costs least."""
MAX_SATURATED = 0.2
"""Of the values looked at: a scanner in working order clips a few, not a fifth of them."""
PLAUSIBLE = (-0.5, 4.0)
"""Bounds of float values, in units of full scale."""

Problem = tuple[Reason, str]


def problem(frame: Frame) -> Problem | None:
    """Why this view cannot be judged, if it cannot: not finite, senseless, blank, stuck, saturated."""
    found = _not_finite(frame)
    if found is None and frame.channels[0] in ("low", "high"):
        found = _dead(frame)
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


def _dead(frame: Frame) -> Problem | None:
    """Counts always carry noise: lines that are all alike come from a detector that is off or stuck."""
    rows = frame.pixels[:: max(1, frame.pixels.shape[0] // LINES)]
    for first in (rows[:1], rows[:, :1]):  # row by row the same, or all columns the same
        if bool((rows == first).all()):
            detail = f"view {frame.view}: every line is the same; the detector is off or stuck"
            return Reason.IMAGE_QUALITY, detail
    if frame.pixels.dtype.kind == "u":
        ceiling = 2 ** (8 * frame.pixels.dtype.itemsize) - 1
        share = float((rows == ceiling).mean())
        if share > MAX_SATURATED:
            detail = f"view {frame.view}: {share:.0%} of the values are at the end of their range"
            return Reason.IMAGE_QUALITY, detail
    return None

"""What is measured on a test piece: contrast to noise, wires, sharpness of an edge. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""
OVERSAMPLING = 4
"""Bins per pixel of an edge's profile (ISO 12233, slanted edge)."""
WIRE_REACH = 2
"""Pixels by which a wire may lie off its place."""
MAX_REACH = 16
"""Pixels on each side of an edge that belong to its profile."""
MTF_LEVEL = 0.2
"""The modulation at which resolution is stated (ASTM E2002 and ISO 19232-5 take a dip of 20 %)."""


def contrast_to_noise(one: Floats, other: Floats) -> float:
    """Difference of two areas' means over the noise of one pixel; 0 if either is empty."""
    if not one.size or not other.size:
        return 0.0
    noise = float(np.sqrt((one.var() + other.var()) / 2))
    return abs(float(one.mean()) - float(other.mean())) / max(noise, 1e-12)


def wire_visibility(area: Floats) -> float:
    """How far a wire that runs down the middle of `area`, (height, width), stands out, in standard deviations
    of the profile beside it; the profile is the mean of all rows."""
    height, width = area.shape
    if height < 4 or width < 9:
        return 0.0
    profile = area.mean(axis=0, dtype=np.float64)
    third = width // 3
    beside = np.concatenate([profile[:third], profile[-third:]])
    at = np.concatenate([np.arange(third), np.arange(width - third, width)])
    line = np.polyfit(at, beside, 1)
    rest = profile - np.polyval(line, np.arange(width))
    noise = max(float(np.std(np.concatenate([rest[:third], rest[-third:]]), ddof=2)), 1e-12)
    middle = rest[width // 2 - WIRE_REACH : width // 2 + WIRE_REACH + 1]
    return float(-middle.min()) / noise


def edge_resolution(area: Floats) -> float:
    """Cycles per pixel across an edge that runs down `area`, (height, width), at `MTF_LEVEL` of modulation; 0
    if there is no edge, at most 0.5.

    The slanted-edge method of ISO 12233: the edge is found in each row, a straight line laid through it, and
    all rows are gathered into one finer profile, whose derivative's spectrum is the MTF.
    """
    if area.shape[0] < 8 or area.shape[1] < 12:
        return 0.0
    values = area.astype(np.float64)
    slope = np.abs(np.diff(values, axis=1))
    strength = slope - np.median(slope, axis=1, keepdims=True)
    peak = np.argmax(np.abs(np.diff(values.mean(axis=0))))
    near = np.abs(np.arange(slope.shape[1]) - peak) <= max(4, area.shape[1] // 4)
    weight = np.where(near, np.maximum(strength, 0), 0)
    total = weight.sum(axis=1)
    if np.count_nonzero(total) < 8:
        return 0.0
    rows = np.flatnonzero(total)
    centre = (weight[rows] * (np.arange(weight.shape[1]) + 0.5)).sum(axis=1) / total[rows]
    line = np.polyfit(rows, centre, 1)
    distance = np.arange(values.shape[1]) - np.polyval(line, np.arange(values.shape[0]))[:, None]
    reach = float(min(MAX_REACH, area.shape[1] // 2))
    return _level_of(_spectrum(distance.ravel(), values.ravel(), reach))


def noise_of(area: Floats) -> float:
    """Standard deviation of one pixel over the mean, robust against a few outliers."""
    if area.size < 16:
        return 0.0
    middle = float(np.median(area))
    return MAD_TO_SIGMA * float(np.median(np.abs(area - middle))) / max(abs(middle), 1e-12)


def _spectrum(distance: Curve, values: Curve, reach: float) -> tuple[Curve, Curve]:
    """Frequencies in cycles per pixel, and the MTF, from an edge's profile up to `reach` pixels off."""
    edges = np.arange(-reach, reach + 1e-9, 1 / OVERSAMPLING)
    index = np.digitize(distance, edges) - 1
    inside = (index >= 0) & (index < edges.size - 1)
    count = np.bincount(index[inside], minlength=edges.size - 1)
    mean = np.bincount(index[inside], values[inside], minlength=edges.size - 1) / np.maximum(count, 1)
    filled = np.flatnonzero(count)
    profile = np.interp(np.arange(edges.size - 1), filled, mean[filled])
    spread = np.diff(profile) * np.hanning(profile.size - 1)
    modulation = np.abs(np.fft.rfft(spread))
    frequency = np.asarray(np.fft.rfftfreq(spread.size, 1 / OVERSAMPLING), np.float64)
    blur = np.sinc(frequency / OVERSAMPLING) ** 2  # of the bins and of the difference between them
    relative: Curve = modulation / max(float(modulation[0]), 1e-12) / np.maximum(blur, 0.5)
    return frequency, relative


def _level_of(spectrum: tuple[Curve, Curve]) -> float:
    frequency, modulation = spectrum
    below = np.flatnonzero(modulation < MTF_LEVEL)
    if not below.size or below[0] == 0:
        return 0.5 if not below.size else 0.0
    last = int(below[0])
    share = (modulation[last - 1] - MTF_LEVEL) / (modulation[last - 1] - modulation[last])
    step = frequency[last] - frequency[last - 1]
    return float(min(frequency[last - 1] + share * step, 0.5))

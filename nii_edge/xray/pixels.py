"""Detector pixels that do not do their work: found in dark and air lines, replaced by their neighbours."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
States = npt.NDArray[np.uint8]

NEIGHBOURHOOD = 31
"""Pixels over which a pixel is compared with its neighbours; odd."""
DEAD_BELOW = 0.3
"""Response to air below this share of the neighbours' is none."""
HOT_SIGMAS = 12.0
"""A dark level this many robust standard deviations from the neighbours' is wrong."""
NOISY_ABOVE = 3.0
"""Noise above this multiple of the neighbours' is no photon noise."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""


class PixelState(IntEnum):
    """What is wrong with a detector pixel."""

    GOOD = 0
    DEAD = 1  # answers nothing, or much less than its neighbours
    HOT = 2  # dark level far off
    NOISY = 3  # noise far above its neighbours'
    GAP = 4  # always the same value: no diode there (filler between two detector cards)


class Repair(NamedTuple):
    """Bad pixels of one channel and what they are made of: ``(1 - weight) * left + weight * right``.

    All of shape (bad pixels,): `bad`, `left`, `right` are detector pixels, `weight` is 0-1.
    """

    bad: npt.NDArray[np.intp]
    left: npt.NDArray[np.intp]
    right: npt.NDArray[np.intp]
    weight: Floats


class Statistics(NamedTuple):
    """Mean and standard deviation over lines, shape (channels, detector pixels), in counts."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]


def statistics(lines: npt.NDArray[np.generic]) -> Statistics:
    """Of `lines`, shape (lines, detector pixels, channels)."""
    values = np.moveaxis(lines, 2, 0).astype(np.float64)
    return Statistics(values.mean(axis=1), values.std(axis=1, ddof=1))


def classify(dark: Statistics, air: Statistics) -> States:
    """A `PixelState` for every pixel of every channel, shape (channels, detector pixels)."""
    response = air.mean - dark.mean
    states = np.zeros(response.shape, np.uint8)
    noise = np.maximum(_local_median(air.std), np.finfo(np.float64).tiny)
    off = np.abs(dark.mean - _local_median(dark.mean))
    spread = MAD_TO_SIGMA * np.median(off, axis=1, keepdims=True)
    floor = np.median(dark.std, axis=1, keepdims=True)
    states[(air.std > NOISY_ABOVE * noise) | (dark.std > NOISY_ABOVE * np.maximum(floor, 1.0))] = (
        PixelState.NOISY
    )
    states[off > HOT_SIGMAS * np.maximum(spread, np.maximum(floor, 1.0))] = PixelState.HOT
    states[response < DEAD_BELOW * _local_median(response)] = PixelState.DEAD
    states[(dark.std == 0) & (air.std == 0)] = PixelState.GAP
    return states


def plan_repair(states: npt.NDArray[np.uint8]) -> Repair:
    """How to fill the bad pixels of one channel; `states` has shape (detector pixels,), one at least good.

    Between two good neighbours linearly, at an end of the detector with its nearest good pixel.
    """
    good = np.flatnonzero(states == PixelState.GOOD)
    bad = np.flatnonzero(states != PixelState.GOOD)
    after = np.searchsorted(good, bad)
    left = good[np.maximum(after - 1, 0)]
    right = good[np.minimum(after, good.size - 1)]
    left, right = np.where(after == 0, right, left), np.where(after == good.size, left, right)
    span = np.maximum(right - left, 1)
    weight = np.where(right == left, 0.0, (bad - left) / span).astype(np.float32)
    return Repair(bad, left, right, weight)


def repair(plane: Floats, plan: Repair, axis: int) -> None:
    """Fill the bad pixels of `plane`, shape (height, width), in place; `axis` runs along the detector."""
    if not plan.bad.size:
        return
    along = plane if axis == 0 else plane.T
    weight = plan.weight[:, None]
    along[plan.bad] = along[plan.left] * (1 - weight) + along[plan.right] * weight


def longest_run(states: npt.NDArray[np.uint8]) -> int:
    """The most bad pixels side by side in one channel."""
    edges = np.diff(np.concatenate(([0], (states != PixelState.GOOD).astype(np.int8), [0])))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    return int(lengths.max(initial=0))


def _local_median(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Running median along the detector, mirrored at its ends."""
    half = min(NEIGHBOURHOOD, 2 * ((values.shape[1] - 1) // 2) + 1) // 2
    padded = np.pad(values, ((0, 0), (half, half)), mode="reflect" if half else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1)
    median: npt.NDArray[np.float64] = np.median(windows, axis=2)
    return median

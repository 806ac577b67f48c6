"""What can be told of areal densities (materials, height, width) in one pass over them. Compiled."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@numba.njit(cache=True, nogil=True)
def above(planes: Floats, limit: float) -> Flags:
    """Where any of `planes` is above `limit`: (height, width)."""
    found = np.zeros(planes.shape[1:], np.bool_)
    for plane in range(planes.shape[0]):
        for row in range(planes.shape[1]):
            for column in range(planes.shape[2]):
                found[row, column] |= planes[plane, row, column] > limit
    return found


@numba.njit(cache=True, nogil=True)
def touched(planes: Floats, limit: float) -> tuple[int, int, int, int]:
    """The smallest window, rows and columns with their ends excluded, that holds every value further than
    `limit` from 0; all 0 if there is none."""
    top, bottom, left, right = planes.shape[1], 0, planes.shape[2], 0
    for plane in range(planes.shape[0]):
        for row in range(planes.shape[1]):
            for column in range(planes.shape[2]):
                if abs(planes[plane, row, column]) > limit:
                    top, bottom = min(top, row), max(bottom, row + 1)
                    left, right = min(left, column), max(right, column + 1)
    return (top, bottom, left, right) if bottom else (0, 0, 0, 0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_rest(whole: Floats, own: Floats, mask: Flags) -> float:
    """The mean over `mask` of what all planes of `whole` hold beyond all planes of `own`, none below 0."""
    total, count = 0.0, 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column]:
                rest = 0.0
                for plane in range(whole.shape[0]):
                    rest += whole[plane, row, column]
                for plane in range(own.shape[0]):
                    rest -= own[plane, row, column]
                total += max(rest, 0.0)
                count += 1
    return total / count

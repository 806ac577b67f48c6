"""Which line of a view crosses a place on the belt, which pixel of its detector sees a point. Compiled."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.geometry import Point

Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

FAR = 1e6
"""mm: beyond the end of any detector. Rays that miss the line of their panel are seen there."""


@numba.njit(cache=True, nogil=True)
def line_table(lines: Values) -> Integers:
    """The first line beyond each of as many evenly spaced places, from the first line to the last."""
    count = lines.shape[0]
    table = np.zeros(count + 1, np.int32)
    if count > 1:
        step, line = (lines[-1] - lines[0]) / (count - 1), 0
        for place in range(count + 1):
            while line < count and lines[line] <= lines[0] + place * step:
                line += 1
            table[place] = line
    return table


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def first_line(lines: Values, table: Integers, x: float) -> int:
    """The first line beyond x: a vertex on a line counts as before it. `table` is that of the lines."""
    count: int = lines.shape[0]
    if count == 0 or x < lines[0]:
        return 0
    if x >= lines[count - 1]:
        return count
    line = int(table[int((x - lines[0]) / (lines[count - 1] - lines[0]) * (count - 1))])
    while line > 0 and lines[line - 1] > x:  # rounding
        line -= 1
    while lines[line] <= x:
        line += 1
    return line


@numba.njit(cache=True, nogil=True, error_model="numpy")
def arc_of(point: Point, frame: Values, panels: Values) -> float:
    """Arc length along the detector at which (y, z) is seen; `FAR` to either side if it is not."""
    if frame[2] == 0.0:
        return float((point[0] - panels[0, 0]) * panels[0, 2] + (point[1] - panels[0, 1]) * panels[0, 3])
    ray_y, ray_z = point[0] - frame[0], point[1] - frame[1]
    panel = _ahead(ray_y, ray_z, frame, panels)
    along_y, along_z = panels[panel, 2], panels[panel, 3]
    facing = (ray_y * along_z - ray_z * along_y) * frame[3]
    if facing * FAR < panels[panel, 5] * (abs(ray_y) + abs(ray_z)):
        return FAR if ray_y * along_y + ray_z * along_z > 0 else -FAR
    scale = panels[panel, 5] / facing
    return float(
        panels[panel, 4]
        + (frame[0] + ray_y * scale - panels[panel, 0]) * along_y
        + (frame[1] + ray_z * scale - panels[panel, 1]) * along_z
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _ahead(ray_y: float, ray_z: float, frame: Values, panels: Values) -> int:
    """The panel in the direction of a ray from the source; the first or last one beyond the ends."""
    panel = 0
    while panel + 1 < panels.shape[0]:
        corner_y, corner_z = panels[panel + 1, 0] - frame[0], panels[panel + 1, 1] - frame[1]
        if (corner_y * ray_z - corner_z * ray_y) * frame[3] < 0:
            break
        panel += 1
    return panel


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def panel_of(y: float, z: float, frame: Values, panels: Values) -> int:
    """The panel that a point is seen on, 0 for parallel rays; -1 if it is beyond `FAR`."""
    if frame[2] == 0.0:
        return 0
    ray_y, ray_z = y - frame[0], z - frame[1]
    panel = _ahead(ray_y, ray_z, frame, panels)
    facing = (ray_y * panels[panel, 3] - ray_z * panels[panel, 2]) * frame[3]
    return -1 if facing * FAR < panels[panel, 5] * (abs(ray_y) + abs(ray_z)) else panel


Spacing = tuple[float, float, float, float]
"""Pixels per mm, pixels in a card, the length of a card with its gap in mm, cards per mm; 0 cards for
detectors without gaps, which are one long card."""


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def spacing_of(frame: Values) -> Spacing:
    """How pixels lie along the detector of a `frame`."""
    if frame[6] == 0.0:
        return 1 / frame[4], 0.0, 0.0, 0.0
    length = frame[5] * frame[4] + frame[6]
    return 1 / frame[4], frame[5], length, 1 / length


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def first_pixel(arc: float, spacing: Spacing, width: int) -> int:
    """The first of `width` pixels whose middle lies at or beyond `arc`; `width` if there is none."""
    per_mm, card, length, cards = spacing
    if card == 0.0:
        index = np.ceil(arc * per_mm - 0.5)
    else:
        whole = np.floor(arc * cards)
        index = whole * card + min(max(np.ceil((arc - whole * length) * per_mm - 0.5), 0.0), card)
    return int(min(max(index, 0.0), float(width)))


@numba.njit(cache=True, nogil=True, inline="always")
def middle_of(pixel: int, frame: Values) -> float:
    """The arc length of a pixel's middle."""
    pitch, card, gap = frame[4], int(frame[5]), frame[6]
    return float((pixel + 0.5) * pitch + (pixel // card) * gap)

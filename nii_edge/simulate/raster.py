"""How far rays run through closed meshes, compiled. `nii_edge.simulate.project` is its only user.

Every scan line cuts a triangle in a straight piece, and every ray that crosses the piece meets the
surface at one depth. Depths where rays leave count plus, where they enter minus; over a closed surface
the sum is the length inside. Cuts and projections of an edge are the same numbers in both triangles that
share it, and a ray belongs to the half-open side of a border, so no ray slips through a seam.

Solids are met by one ray in the middle of each pixel, or averaged over the pixel, for those so thin that
rays a pixel apart would miss them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.geometry import Point, Rays

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

_GRAZING = 1e-4
"""Sine of the angle to a surface below which depth is interpolated, since the exact formula divides by it."""
FAR = 1e6
"""mm: beyond the end of any detector. Rays that miss the line of their panel are seen there."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_mesh(
    plane: Floats,
    weight: float,
    vertices: Values,
    faces: Integers,
    lines: Values,
    per_line: int,
    view: Rays,
) -> None:
    """Add `weight` times the length in mm of each ray inside the mesh to `plane` (lines, pixels).

    `lines` are ascending x in mm, `per_line` of them to each line of the plane. With 1 every pixel is one
    ray; with more it is the mean over its width and over its lines. Indexes are not checked.
    """
    # arrays one by one: compiled calls that get them in a record take about a third longer
    share, rays, frame, panels = weight / per_line, view.rays, view.frame, view.panels
    for face in range(faces.shape[0]):
        low, middle, high, even = _ordered(vertices, faces[face])
        first, last = _first_line(lines, vertices[low, 0]), _first_line(lines, vertices[high, 0])
        for line in range(first, last):
            x = lines[line]
            long = _cut(vertices, low, high, x)
            if x <= vertices[middle, 0]:
                short = _cut(vertices, low, middle, x)
            else:
                short = _cut(vertices, middle, high, x)
            # a piece runs from the edge that rises through x to the edge that falls through it
            start, end = (short, long) if even else (long, short)
            if per_line == 1:
                _add_piece(plane, line, share, start, end, rays, frame, panels)
            else:
                _add_piece_averaged(plane, line // per_line, share, start, end, rays, frame, panels)


@numba.njit(cache=True, nogil=True, inline="always")
def _ordered(vertices: Values, face: Integers) -> tuple[int, int, int, bool]:
    """A triangle's vertices by rising x, and whether that is the order they go round in."""
    low, middle, high, even = face[0], face[1], face[2], True
    if vertices[middle, 0] < vertices[low, 0]:
        low, middle, even = middle, low, not even
    if vertices[high, 0] < vertices[low, 0]:
        low, high, even = high, low, not even
    if vertices[high, 0] < vertices[middle, 0]:
        middle, high, even = high, middle, not even
    return low, middle, high, even


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_piece(
    plane: Floats,
    line: int,
    weight: float,
    start: Point,
    end: Point,
    rays: Values,
    frame: Values,
    panels: Values,
) -> None:
    """Add what one straight piece of surface, from `start` to `end` (y, z), contributes to its line."""
    start_arc, end_arc = arc_of(start, frame, panels), arc_of(end, frame, panels)
    left = max(_first_pixel(min(start_arc, end_arc), frame), 0)
    right = min(_first_pixel(max(start_arc, end_arc), frame), plane.shape[1])
    if left >= right:
        return
    sign = -frame[3] * weight if end_arc > start_arc else frame[3] * weight
    normal_y, normal_z = start[1] - end[1], end[0] - start[0]
    offset = normal_y * start[0] + normal_z * start[1]
    slope = normal_y * rays[2, left] + normal_z * rays[3, left]
    if abs(slope) < _GRAZING * math.hypot(normal_y, normal_z):
        middle_y, middle_z = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        for pixel in range(left, right):
            depth = (middle_y - rays[0, pixel]) * rays[2, pixel] + (middle_z - rays[1, pixel]) * rays[
                3, pixel
            ]
            plane[line, pixel] += np.float32(sign * depth)
        return
    for pixel in range(left, right):
        depth = (offset - normal_y * rays[0, pixel] - normal_z * rays[1, pixel]) / (
            normal_y * rays[2, pixel] + normal_z * rays[3, pixel]
        )
        plane[line, pixel] += np.float32(sign * depth)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_piece_averaged(
    plane: Floats,
    line: int,
    weight: float,
    start: Point,
    end: Point,
    rays: Values,
    frame: Values,
    panels: Values,
) -> None:
    """As `_add_piece`, each pixel by how much of its width the piece covers."""
    start_arc, end_arc = arc_of(start, frame, panels), arc_of(end, frame, panels)
    low, high = min(start_arc, end_arc), max(start_arc, end_arc)
    pitch = frame[4]
    left = max(_first_pixel(low - pitch / 2, frame), 0)
    right = min(_first_pixel(high + pitch / 2, frame), plane.shape[1])
    sign = -frame[3] * weight if end_arc > start_arc else frame[3] * weight
    for pixel in range(left, right):
        middle = _middle(pixel, frame)
        begin, stop = max(low, middle - pitch / 2), min(high, middle + pitch / 2)
        if begin < stop:
            depth = _depth(start, end, pixel, ((begin + stop) / 2 - middle) / pitch, rays)
            plane[line, pixel] += np.float32(sign * depth * (stop - begin) / pitch)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _depth(start: Point, end: Point, pixel: int, aside: float, rays: Values) -> float:
    """Depth at which the ray `aside` pixels from the middle of `pixel` meets the line through the piece."""
    near = min(max(pixel + (1 if aside > 0 else -1), 0), rays.shape[1] - 1)
    share = abs(aside)
    y = rays[0, pixel] + share * (rays[0, near] - rays[0, pixel])
    z = rays[1, pixel] + share * (rays[1, near] - rays[1, pixel])
    along_y = rays[2, pixel] + share * (rays[2, near] - rays[2, pixel])
    along_z = rays[3, pixel] + share * (rays[3, near] - rays[3, pixel])
    normal_y, normal_z = start[1] - end[1], end[0] - start[0]
    slope = normal_y * along_y + normal_z * along_z
    if abs(slope) < _GRAZING * math.hypot(normal_y, normal_z):
        return float(((start[0] + end[0]) / 2 - y) * along_y + ((start[1] + end[1]) / 2 - z) * along_z)
    return float((normal_y * (start[0] - y) + normal_z * (start[1] - z)) / slope)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_chord(vertices: Values, faces: Integers) -> float:
    """The mean length of lines through a solid, 4 volumes over its surface (Cauchy), in mm."""
    volume, surface = 0.0, 0.0
    for face in range(faces.shape[0]):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        normal_x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        normal_y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
        normal_z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        volume += (normal_x * a[0] + normal_y * a[1] + normal_z * a[2]) / 6
        surface += math.sqrt(normal_x**2 + normal_y**2 + normal_z**2) / 2
    return 4 * abs(volume) / surface if surface > 0 else 0.0


@numba.njit(cache=True, nogil=True, inline="always")
def _first_line(lines: Values, x: float) -> int:
    """The first line beyond x: a vertex on a line counts as before it."""
    low, high = 0, lines.shape[0]
    while low < high:
        middle = (low + high) // 2
        if lines[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _cut(vertices: Values, near: int, far: int, x: float) -> Point:
    """Where the edge from `near` (before x) to `far` (at or beyond x) crosses x: (y, z)."""
    share = (x - vertices[near, 0]) / (vertices[far, 0] - vertices[near, 0])
    y = vertices[near, 1] + share * (vertices[far, 1] - vertices[near, 1])
    z = vertices[near, 2] + share * (vertices[far, 2] - vertices[near, 2])
    return y, z


@numba.njit(cache=True, nogil=True, error_model="numpy")
def arc_of(point: Point, frame: Values, panels: Values) -> float:
    """Arc length along the detector at which (y, z) is seen; `FAR` to either side if it is not."""
    if frame[2] == 0.0:
        return float((point[0] - panels[0, 0]) * panels[0, 2] + (point[1] - panels[0, 1]) * panels[0, 3])
    ray_y, ray_z = point[0] - frame[0], point[1] - frame[1]
    panel = 0
    while panel + 1 < panels.shape[0]:
        corner_y, corner_z = panels[panel + 1, 0] - frame[0], panels[panel + 1, 1] - frame[1]
        if (corner_y * ray_z - corner_z * ray_y) * frame[3] < 0:
            break
        panel += 1
    along_y, along_z = panels[panel, 2], panels[panel, 3]
    facing = (ray_y * along_z - ray_z * along_y) * frame[3]
    if facing * FAR < panels[panel, 5] * math.hypot(ray_y, ray_z):
        return FAR if ray_y * along_y + ray_z * along_z > 0 else -FAR
    scale = panels[panel, 5] / facing
    return float(
        panels[panel, 4]
        + (frame[0] + ray_y * scale - panels[panel, 0]) * along_y
        + (frame[1] + ray_z * scale - panels[panel, 1]) * along_z
    )


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _first_pixel(arc: float, frame: Values) -> int:
    """The first pixel whose middle lies at or beyond `arc`."""
    pitch, card, gap = frame[4], int(frame[5]), frame[6]
    if gap == 0.0:
        index: int = math.ceil(arc / pitch - 0.5)
        return index
    length = card * pitch + gap
    whole = math.floor(arc / length)
    within = math.ceil((arc - whole * length) / pitch - 0.5)
    return int(whole) * card + min(max(int(within), 0), card)


@numba.njit(cache=True, nogil=True, inline="always")
def _middle(pixel: int, frame: Values) -> float:
    """The arc length of a pixel's middle."""
    pitch, card, gap = frame[4], int(frame[5]), frame[6]
    return float((pixel + 0.5) * pitch + (pixel // card) * gap)

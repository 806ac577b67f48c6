"""How far rays run through closed meshes, compiled. `nii_edge.simulate.project` is its only user.

Every scan line cuts a triangle in a straight piece, and every ray that crosses the piece meets the
surface at one depth. Depths where rays leave count plus, where they enter minus; over a closed surface
the sum is the length inside. Cuts and projections of an edge are the same numbers in both triangles that
share it, and a ray belongs to the half-open side of a border, so no ray slips through a seam.

Solids are met by one ray in the middle of each pixel, or averaged over the pixel, for those so thin that
rays a pixel apart would miss them.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.geometry import Point, Rays
from nii_edge.simulate.sight import arc_of, first_line, first_pixel, line_table, middle_of, panel_of

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_GRAZING = 1e-4
"""Sine of the angle to a surface below which depth is interpolated, since the exact formula divides by it."""
Piece = tuple[float, float, float, float, float, float]
"""What a line sees of a triangle: weight; across, normal_y, normal_z of the line normal_y y + normal_z z =
across that it lies on; and its middle (y, z), which is its depth for rays that graze it."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_meshes(
    areal: Floats,
    vertices: Values,
    faces: Integers,
    bounds: Integers,
    planes: Integers,
    weights: Values,
    thin: Flags,
    lines: Values,
    fine: Values,
    view: Rays,
) -> None:
    """Add to `areal` (planes, lines, pixels) what closed meshes put on each ray.

    Mesh number k adds `weights[k]` times the length in mm inside it to plane `planes[k]`. Its vertices are
    the rows from `bounds[k, 0]` of `vertices` (n, 3), its faces the rows `bounds[k, 1]` to
    `bounds[k + 1, 1]` of `faces` (m, 3), which count from its own first vertex. `lines` are ascending x in
    mm; `fine` the same number of ascending x to each of them. Where `thin[k]`, every pixel is the mean over
    its width and its fine lines; else it is one ray. Indexes are not checked.
    """
    # arrays one by one: compiled calls that get them in a record take about a third longer
    rays, frame, panels = view.rays, view.frame, view.panels
    per_line = fine.shape[0] // lines.shape[0] if lines.shape[0] else 1
    table, fine_table = line_table(lines), line_table(fine)
    beyond, panel = np.empty(vertices.shape[0], np.int32), np.empty(vertices.shape[0], np.int32)
    arcs = np.empty((2, fine.shape[0]))
    middles = np.empty(rays.shape[1])
    for pixel in range(rays.shape[1]):
        middles[pixel] = middle_of(pixel, frame)
    for k in range(planes.shape[0]):
        here, index = (fine, fine_table) if thin[k] else (lines, table)
        own = vertices[bounds[k, 0] : bounds[k + 1, 0]]
        for vertex in range(own.shape[0]):
            beyond[vertex] = first_line(here, index, own[vertex, 0])
            panel[vertex] = panel_of(own[vertex, 1], own[vertex, 2], frame, panels)
        plane, own_faces = areal[planes[k]], faces[bounds[k, 1] : bounds[k + 1, 1]]
        weight = weights[k] / per_line if thin[k] else weights[k]
        half = frame[4] / 2 if thin[k] else 0.0
        for face in range(own_faces.shape[0]):
            a, b, c = own_faces[face, 0], own_faces[face, 1], own_faces[face, 2]
            if beyond[a] == beyond[b] and beyond[b] == beyond[c]:
                continue
            low, middle, high, even = _ordered(own, a, b, c)
            first, turn, last = beyond[low], beyond[middle], beyond[high]
            long, short = (1, 0) if even else (0, 1)
            _edge(long, first, first, last, low, high, arcs, own, here, panel, frame, panels)
            _edge(short, first, first, turn, low, middle, arcs, own, here, panel, frame, panels)
            _edge(short, first, turn, last, middle, high, arcs, own, here, panel, frame, panels)
            normal = _normal(own, low, middle, high)
            offset = normal[0] * own[low, 0] + normal[1] * own[low, 1] + normal[2] * own[low, 2]
            for at in range(first, last):
                # a piece runs from the edge that rises through x to the edge that falls through it
                start, end = arcs[0, at - first], arcs[1, at - first]
                begin, stop = min(start, end), max(start, end)
                left = max(first_pixel(begin - half, frame), 0)
                right = min(first_pixel(stop + half, frame), plane.shape[1])
                if left >= right:
                    continue
                sign = -frame[3] * weight if end > start else frame[3] * weight
                near, far = (low, middle) if at < turn else (middle, high)
                spot = _between(own, low, high, near, far, here[at])
                piece = (sign, offset - normal[0] * here[at], normal[1], normal[2], spot[0], spot[1])
                if thin[k]:
                    row = plane[at // per_line]
                    _add_averaged(row, left, right, begin, stop, piece, rays, frame[4], middles)
                else:
                    _add_run(plane[at], left, right, piece, rays)


@numba.njit(cache=True, nogil=True, inline="always")
def _ordered(vertices: Values, low: int, middle: int, high: int) -> tuple[int, int, int, bool]:
    """A triangle's vertices by rising x, and whether that is the order they go round in."""
    even = True
    if vertices[middle, 0] < vertices[low, 0]:
        low, middle, even = middle, low, not even
    if vertices[high, 0] < vertices[low, 0]:
        low, high, even = high, low, not even
    if vertices[high, 0] < vertices[middle, 0]:
        middle, high, even = high, middle, not even
    return low, middle, high, even


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _edge(
    row: int,
    first: int,
    begin: int,
    stop: int,
    near: int,
    far: int,
    arcs: Values,
    vertices: Values,
    lines: Values,
    panel: Integers,
    frame: Values,
    panels: Values,
) -> None:
    """Where lines `begin` to `stop` see the edge from `near` to `far`: arc lengths in `arcs[row]`, which
    begins with line `first`. On one panel they are a ratio of linear functions of x."""
    if begin >= stop:
        return
    x, y, z = vertices[near, 0], vertices[near, 1], vertices[near, 2]
    run = vertices[far, 0] - x
    slope_y, slope_z = (vertices[far, 1] - y) / run, (vertices[far, 2] - z) / run
    here, found = lines[begin:stop], arcs[row, begin - first : stop - first]
    own = panel[near]
    if own != panel[far] or own < 0:
        for k in range(here.shape[0]):
            along = here[k] - x
            found[k] = arc_of((y + along * slope_y, z + along * slope_z), frame, panels)
        return
    along_y, along_z = panels[own, 2], panels[own, 3]
    rise = slope_y * along_y + slope_z * along_z
    if frame[2] == 0.0:
        base = (y - panels[0, 0]) * along_y + (z - panels[0, 1]) * along_z
        for k in range(here.shape[0]):
            found[k] = base + (here[k] - x) * rise
        return
    base = panels[own, 4] + (frame[0] - panels[own, 0]) * along_y + (frame[1] - panels[own, 1]) * along_z
    ray_y, ray_z, far_off = y - frame[0], z - frame[1], panels[own, 5]
    start = (ray_y * along_y + ray_z * along_z) * far_off
    rise *= far_off
    facing = (ray_y * along_z - ray_z * along_y) * frame[3]
    nearing = (slope_y * along_z - slope_z * along_y) * frame[3]
    for k in range(here.shape[0]):
        along = here[k] - x
        found[k] = base + (start + along * rise) / (facing + along * nearing)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _between(vertices: Values, low: int, high: int, near: int, far: int, x: float) -> Point:
    """The middle (y, z) of the piece that line x cuts out between the edges low-high and near-far."""
    share = (x - vertices[low, 0]) / (vertices[high, 0] - vertices[low, 0])
    other = (x - vertices[near, 0]) / (vertices[far, 0] - vertices[near, 0])
    y = vertices[low, 1] + share * (vertices[high, 1] - vertices[low, 1])
    z = vertices[low, 2] + share * (vertices[high, 2] - vertices[low, 2])
    other_y = vertices[near, 1] + other * (vertices[far, 1] - vertices[near, 1])
    other_z = vertices[near, 2] + other * (vertices[far, 2] - vertices[near, 2])
    return (y + other_y) / 2, (z + other_z) / 2


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _normal(vertices: Values, a: int, b: int, c: int) -> tuple[float, float, float]:
    """At right angles to a triangle; only its direction matters."""
    b_x, b_y = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
    c_x, c_y = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
    b_z, c_z = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
    return b_y * c_z - b_z * c_y, b_z * c_x - b_x * c_z, b_x * c_y - b_y * c_x


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_averaged(
    row: Floats,
    left: int,
    right: int,
    begin: float,
    stop: float,
    piece: Piece,
    rays: Values,
    pitch: float,
    middles: Values,
) -> None:
    """Add the mean depth over each pixel's width of a piece from arc length `begin` to `stop`: pixels with a
    share of their width in the piece, and those between with all of it."""
    half = pitch / 2
    if middles[left] - half < begin:
        share = min(stop, middles[left] + half) - begin
        aside = (begin + share / 2 - middles[left]) / pitch
        row[left] += np.float32(piece[0] * max(share, 0.0) / pitch * _depth(left, aside, piece, rays))
        left += 1
    if left < right and middles[right - 1] + half > stop:
        right -= 1
        share = stop - max(begin, middles[right] - half)
        aside = (stop - share / 2 - middles[right]) / pitch
        row[right] += np.float32(piece[0] * max(share, 0.0) / pitch * _depth(right, aside, piece, rays))
    if left < right:
        _add_run(row, left, right, piece, rays)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_run(row: Floats, left: int, right: int, piece: Piece, rays: Values) -> None:
    """Add the depths at which the rays of pixels `left` to `right` meet a piece."""
    weight, across, normal_y, normal_z, middle_y, middle_z = piece
    slope = normal_y * rays[2, left] + normal_z * rays[3, left]
    if abs(slope) <= _GRAZING * (abs(normal_y) + abs(normal_z)):
        for pixel in range(left, right):
            depth = (middle_y - rays[0, pixel]) * rays[2, pixel] + (middle_z - rays[1, pixel]) * rays[
                3, pixel
            ]
            row[pixel] += np.float32(weight * depth)
        return
    for pixel in range(left, right):
        depth = (across - normal_y * rays[0, pixel] - normal_z * rays[1, pixel]) / (
            normal_y * rays[2, pixel] + normal_z * rays[3, pixel]
        )
        row[pixel] += np.float32(weight * depth)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _depth(pixel: int, aside: float, piece: Piece, rays: Values) -> float:
    """As in `_add_run`, of the ray `aside` pixels from the middle of `pixel`."""
    _, across, normal_y, normal_z, middle_y, middle_z = piece
    near = min(max(pixel + (1 if aside > 0 else -1), 0), rays.shape[1] - 1)
    share = abs(aside)
    y = rays[0, pixel] + share * (rays[0, near] - rays[0, pixel])
    z = rays[1, pixel] + share * (rays[1, near] - rays[1, pixel])
    along_y = rays[2, pixel] + share * (rays[2, near] - rays[2, pixel])
    along_z = rays[3, pixel] + share * (rays[3, near] - rays[3, pixel])
    slope = normal_y * along_y + normal_z * along_z
    if abs(slope) <= _GRAZING * (abs(normal_y) + abs(normal_z)):
        return float((middle_y - y) * along_y + (middle_z - z) * along_z)
    return float((across - normal_y * y - normal_z * z) / slope)

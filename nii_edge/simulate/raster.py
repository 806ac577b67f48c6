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
from nii_edge.simulate.sight import (
    arc_of,
    first_line,
    first_pixel,
    line_table,
    middle_of,
    panel_of,
    spacing_of,
)

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_GRAZING = 1e-4
"""Sine of the angle to a surface below which depth is interpolated, since the exact formula divides by it."""
Piece = tuple[float, float, float, float, float, float]
"""What a line sees of a triangle: weight; across, normal_y, normal_z of the line normal_y y + normal_z z =
across that it lies on; the slope of a ray against it below which the ray grazes it; and the depth in mm that
is counted as 0."""
Cut = tuple[int, int, int, bool, float]
"""Where a line cuts a triangle: its vertices by rising x, whether before the middle one, and x."""


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
    frame, panels = view.frame, view.panels
    beams, behind = _beams(view.rays, frame)
    per_line = fine.shape[0] // lines.shape[0] if lines.shape[0] else 1
    table, fine_table = line_table(lines), line_table(fine)
    beyond, panel = np.empty(vertices.shape[0], np.int32), np.empty(vertices.shape[0], np.int32)
    arcs = np.empty((2, fine.shape[0]))
    middles = np.empty(beams.shape[1])
    for pixel in range(beams.shape[1]):
        middles[pixel] = middle_of(pixel, frame)
    for k in range(planes.shape[0]):
        here, index = (fine, fine_table) if thin[k] else (lines, table)
        weight = weights[k] / per_line if thin[k] else weights[k]
        _add_mesh(
            areal[planes[k]],
            vertices[bounds[k, 0] : bounds[k + 1, 0]],
            faces[bounds[k, 1] : bounds[k + 1, 1]],
            weight, thin[k], per_line, here, index, frame, panels, beams, behind, middles,
            beyond, panel, arcs,
        )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False, fastmath={"contract"})
def _add_mesh(
    plane: Floats,
    vertices: Values,
    faces: Integers,
    weight: float,
    thin: bool,
    per_line: int,
    here: Values,
    index: Integers,
    frame: Values,
    panels: Values,
    beams: Values,
    behind: float,
    middles: Values,
    beyond: Integers,
    panel: Integers,
    arcs: Values,
) -> None:
    """One mesh of `add_meshes`, met at the lines `here` with their table `index`. `beyond`, `panel` and
    `arcs` are room to work in. `_nrt=False`: it allocates nothing, and views of arrays are not counted, which
    would take half of the time. Products and sums may be fused, which rounds less."""
    spacing, half, turn_sign, width = spacing_of(frame), frame[4] / 2, frame[3], beams.shape[1]
    aside = half if thin else 0.0
    for vertex in range(vertices.shape[0]):
        beyond[vertex] = first_line(here, index, vertices[vertex, 0])
        panel[vertex] = panel_of(vertices[vertex, 1], vertices[vertex, 2], frame, panels)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if beyond[a] == beyond[b] and beyond[b] == beyond[c]:
            continue
        low, middle, high, even = _ordered(vertices, a, b, c)
        first, turn, last = beyond[low], beyond[middle], beyond[high]
        long, short = (1, 0) if even else (0, 1)
        _edge(long, first, first, last, low, high, arcs, vertices, here, panel, frame, panels)
        _edge(short, first, first, turn, low, middle, arcs, vertices, here, panel, frame, panels)
        _edge(short, first, turn, last, middle, high, arcs, vertices, here, panel, frame, panels)
        normal_x, normal_y, normal_z = _normal(vertices, low, middle, high)
        offset = normal_x * vertices[low, 0] + normal_y * vertices[low, 1] + normal_z * vertices[low, 2]
        flat = _GRAZING * (abs(normal_y) + abs(normal_z))
        for at in range(first, last):
            # a piece runs from the edge that rises through x to the edge that falls through it
            start, end = arcs[0, at - first], arcs[1, at - first]
            begin, stop = min(start, end), max(start, end)
            left = first_pixel(begin - aside, spacing, width)
            right = first_pixel(stop + aside, spacing, width)
            if left >= right:
                continue
            sign = -turn_sign * weight if end > start else turn_sign * weight
            piece = (sign, offset - normal_x * here[at], normal_y, normal_z, flat, behind)
            cut = (low, middle, high, at < turn, here[at])
            if thin:
                row = plane[at // per_line]
                _add_ends(row, left, right, begin, stop, half, piece, cut, vertices, beams, middles)
                left, right = left + 1, right - 1
            else:
                row = plane[at]
            if left < right:
                _add_run(row, left, right, piece, cut, vertices, beams)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _beams(rays: Values, frame: Values) -> tuple[Values, float]:
    """Rays (8, pixels): start (y, z), direction (y, z), and how all four change by a pitch to the right. The
    rays of a fan start at its source; depth is counted from the second value on, mm, so that sums in single
    precision stay exact."""
    width = rays.shape[1]
    beams, behind = np.zeros((8, width)), 0.0
    beams[:4] = rays
    if frame[2] != 0.0:
        behind = math.hypot(rays[0, 0] - frame[0], rays[1, 0] - frame[1])
        beams[0], beams[1] = frame[0], frame[1]
    for pixel in range(width):
        # by neighbours on the same card: between cards there is a gap
        card = pixel // int(frame[5])
        before = pixel - 1 if pixel > 0 and (pixel - 1) // int(frame[5]) == card else pixel
        after = pixel + 1 if pixel + 1 < width and (pixel + 1) // int(frame[5]) == card else pixel
        for row in range(4):
            if after > before:
                beams[row + 4, pixel] = (beams[row, after] - beams[row, before]) / (after - before)
    return beams, behind


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
    per_x = 1 / (vertices[far, 0] - x)
    slope_y, slope_z = (vertices[far, 1] - y) * per_x, (vertices[far, 2] - z) * per_x
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
def _middle(cut: Cut, vertices: Values) -> Point:
    """The middle (y, z) of a piece."""
    low, middle, high, early, x = cut
    near, far = (low, middle) if early else (middle, high)
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
def _add_ends(
    row: Floats,
    left: int,
    right: int,
    begin: float,
    stop: float,
    half: float,
    piece: Piece,
    cut: Cut,
    vertices: Values,
    beams: Values,
    middles: Values,
) -> None:
    """Add a piece from arc length `begin` to `stop` to the first and the last of its pixels: its mean depth
    there times the share of the pixel's width, twice `half`, that is in it."""
    sign, across, normal_y, normal_z, flat, behind = piece
    share = 1 / (2 * half)
    for number in range(1 if right - left == 1 else 2):
        pixel = right - 1 if number else left
        here, there = max(begin, middles[pixel] - half), min(stop, middles[pixel] + half)
        if here >= there:
            continue
        off = ((here + there) / 2 - middles[pixel]) * share
        y, z = beams[0, pixel] + off * beams[4, pixel], beams[1, pixel] + off * beams[5, pixel]
        along_y = beams[2, pixel] + off * beams[6, pixel]
        along_z = beams[3, pixel] + off * beams[7, pixel]
        slope = normal_y * along_y + normal_z * along_z
        if abs(slope) > flat:
            depth = (across - normal_y * y - normal_z * z) / slope
        else:
            spot = _middle(cut, vertices)
            depth = (spot[0] - y) * along_y + (spot[1] - z) * along_z
        row[pixel] += np.float32(sign * (there - here) * share * (depth - behind))


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_run(
    row: Floats, left: int, right: int, piece: Piece, cut: Cut, vertices: Values, beams: Values
) -> None:
    """Add the depths at which the rays of pixels `left` to `right` meet a piece."""
    sign, across, normal_y, normal_z, flat, behind = piece
    if abs(normal_y * beams[2, left] + normal_z * beams[3, left]) <= flat:
        spot = _middle(cut, vertices)
        for pixel in range(left, right):
            depth = (spot[0] - beams[0, pixel]) * beams[2, pixel]
            depth += (spot[1] - beams[1, pixel]) * beams[3, pixel]
            row[pixel] += np.float32(sign * (depth - behind))
        return
    out, y, z = row[left:right], beams[0, left:right], beams[1, left:right]
    along_y, along_z = beams[2, left:right], beams[3, left:right]
    for k in range(right - left):
        depth = (across - normal_y * y[k] - normal_z * z[k]) / (normal_y * along_y[k] + normal_z * along_z[k])
        out[k] += np.float32(sign * (depth - behind))

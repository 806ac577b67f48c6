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

from nii_edge.simulate.flats import CORNERS, flat, normal_of
from nii_edge.simulate.geometry import Point, Rays
from nii_edge.simulate.sight import (
    Spacing,
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
"""What a line sees of faces in a plane: weight; across, normal_y, normal_z of the line normal_y y +
normal_z z = across that it lies on; the slope of a ray against it below which the ray grazes it; and the
depth in mm that is counted as 0."""
Cut = tuple[int, int, float]
"""Where a line cuts the outline of faces in a plane: its corners, the number of the line, and its x."""


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
    arcs, reach = np.empty((2, fine.shape[0])), np.empty((2, fine.shape[0]), np.int32)
    ring, depths = np.empty(CORNERS, np.int32), np.empty((2, beams.shape[1]))
    slants = np.empty((beams.shape[1], 9))  # what the end of a piece needs of a pixel, side by side
    for pixel in range(beams.shape[1]):
        slants[pixel, :8] = beams[:, pixel]
        slants[pixel, 8] = middle_of(pixel, frame)
    for k in range(planes.shape[0]):
        here, index = (fine, fine_table) if thin[k] else (lines, table)
        weight = weights[k] / per_line if thin[k] else weights[k]
        _add_mesh(
            areal[planes[k]],
            vertices[bounds[k, 0] : bounds[k + 1, 0]],
            faces[bounds[k, 1] : bounds[k + 1, 1]],
            weight, thin[k], per_line, here, index, frame, panels, beams, behind, slants,
            beyond, panel, arcs, reach, ring, depths,
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
    slants: Values,
    beyond: Integers,
    panel: Integers,
    arcs: Values,
    reach: Integers,
    ring: Integers,
    depths: Values,
) -> None:
    """One mesh of `add_meshes`, met at the lines `here` with their table `index`. `beyond`, `panel`, `arcs`,
    `reach`, `ring` and `depths` are room to work in. `_nrt=False`: it allocates nothing, and views of arrays
    are not counted, which would take half of the time. Products and sums may be fused, which rounds less."""
    spacing, half, turn_sign, width = spacing_of(frame), frame[4] / 2, frame[3], beams.shape[1]
    aside, inset = (half, 1) if thin else (0.0, 0)
    for vertex in range(vertices.shape[0]):
        beyond[vertex] = first_line(here, index, vertices[vertex, 0])
        panel[vertex] = panel_of(vertices[vertex, 1], vertices[vertex, 2], frame, panels)
    face = 0
    while face < faces.shape[0]:
        a = faces[face, 0]
        normal = normal_of(vertices, a, faces[face, 1], faces[face, 2])
        normal_x, normal_y, normal_z = normal
        offset = normal_x * vertices[a, 0] + normal_y * vertices[a, 1] + normal_z * vertices[a, 2]
        grazing = _GRAZING * (abs(normal_y) + abs(normal_z))
        taken, corners = flat(vertices, faces, face, normal, ring)
        face += taken
        first, last = _outline(ring, corners, beyond, panel, arcs, vertices, here, frame, panels)
        _pixels(arcs[0, : last - first], arcs[1, : last - first], aside, spacing, width, reach)
        _rates(reach, last - first, inset, (normal_y, normal_z), behind, beams, depths)
        line, left_over = first // per_line, first % per_line
        for at in range(first, last):
            row = plane[line if thin else at]
            left_over += 1
            if left_over == per_line:
                line, left_over = line + 1, 0
            left, right = reach[0, at - first], reach[1, at - first]
            if left >= right:
                continue
            # a piece runs from the edge that rises through x to the edge that falls through it
            start, end = arcs[0, at - first], arcs[1, at - first]
            sign = -turn_sign * weight if end > start else turn_sign * weight
            piece = (sign, offset - normal_x * here[at], normal_y, normal_z, grazing, behind)
            cut = (corners, at, here[at])
            if thin:
                begin, stop = min(start, end), max(start, end)
                _add_end(row, left, begin, stop, half, piece, cut, vertices, ring, beyond, slants)
                if right - left > 1:
                    _add_end(row, right - 1, begin, stop, half, piece, cut, vertices, ring, beyond, slants)
                left, right = left + 1, right - 1
            if left < right:
                _add_run(row, left, right, piece, cut, vertices, ring, beyond, beams, depths)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _outline(
    ring: Integers,
    corners: int,
    beyond: Integers,
    panel: Integers,
    arcs: Values,
    vertices: Values,
    lines: Values,
    frame: Values,
    panels: Values,
) -> tuple[int, int]:
    """Where lines see the edges of a convex outline: arc lengths of those that rise through x into `arcs[0]`,
    of those that fall into `arcs[1]`. The first line that cuts it and the one after the last."""
    first, last = beyond[ring[0]], beyond[ring[0]]
    for corner in range(1, corners):
        first, last = min(first, beyond[ring[corner]]), max(last, beyond[ring[corner]])
    if first == last:
        return first, last
    for corner in range(corners):
        near, far = ring[corner], ring[corner + 1 if corner + 1 < corners else 0]
        falls = 0 if beyond[near] < beyond[far] else 1
        near, far = (far, near) if falls else (near, far)
        begin, stop = beyond[near], beyond[far]
        _edge(falls, first, begin, stop, near, far, arcs, vertices, lines, panel, frame, panels)
    return first, last


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _pixels(
    rising: Values, falling: Values, aside: float, spacing: Spacing, width: int, reach: Integers
) -> None:
    """The first pixel of each piece and the one after its last, into `reach` (2, lines). `aside`: how far
    beyond a piece the middle of a pixel may lie that is part of it, in mm."""
    for k in range(rising.shape[0]):
        reach[0, k] = first_pixel(min(rising[k], falling[k]) - aside, spacing, width)
        reach[1, k] = first_pixel(max(rising[k], falling[k]) + aside, spacing, width)


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
def _middle(cut: Cut, vertices: Values, ring: Integers, beyond: Integers) -> Point:
    """The middle (y, z) of a piece."""
    corners, at, x = cut
    y, z = 0.0, 0.0
    for corner in range(corners):
        near, far = ring[corner], ring[corner + 1 if corner + 1 < corners else 0]
        if (beyond[near] <= at) != (beyond[far] <= at):
            share = (x - vertices[near, 0]) / (vertices[far, 0] - vertices[near, 0])
            y += vertices[near, 1] + share * (vertices[far, 1] - vertices[near, 1])
            z += vertices[near, 2] + share * (vertices[far, 2] - vertices[near, 2])
    return y / 2, z / 2


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_end(
    row: Floats,
    pixel: int,
    begin: float,
    stop: float,
    half: float,
    piece: Piece,
    cut: Cut,
    vertices: Values,
    ring: Integers,
    beyond: Integers,
    slants: Values,
) -> None:
    """Add a piece from arc length `begin` to `stop` to its first or its last pixel: its mean depth there
    times the share of the pixel's width, twice `half`, that is in it."""
    sign, across, normal_y, normal_z, grazing, behind = piece
    share = 1 / (2 * half)
    middle = slants[pixel, 8]
    here, there = max(begin, middle - half), min(stop, middle + half)
    if here >= there:
        return
    off = ((here + there) / 2 - middle) * share
    y, z = slants[pixel, 0] + off * slants[pixel, 4], slants[pixel, 1] + off * slants[pixel, 5]
    along_y = slants[pixel, 2] + off * slants[pixel, 6]
    along_z = slants[pixel, 3] + off * slants[pixel, 7]
    slope = normal_y * along_y + normal_z * along_z
    if abs(slope) > grazing:
        depth = (across - normal_y * y - normal_z * z) / slope
    else:
        spot = _middle(cut, vertices, ring, beyond)
        depth = (spot[0] - y) * along_y + (spot[1] - z) * along_z
    row[pixel] += np.float32(sign * (there - here) * share * (depth - behind))


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _add_run(
    row: Floats,
    left: int,
    right: int,
    piece: Piece,
    cut: Cut,
    vertices: Values,
    ring: Integers,
    beyond: Integers,
    beams: Values,
    depths: Values,
) -> None:
    """Add the depths at which the rays of pixels `left` to `right` meet a piece."""
    sign, across, _, _, grazing, behind = piece
    if not abs(depths[0, left]) * grazing < 1:
        spot = _middle(cut, vertices, ring, beyond)
        for pixel in range(left, right):
            depth = (spot[0] - beams[0, pixel]) * beams[2, pixel]
            depth += (spot[1] - beams[1, pixel]) * beams[3, pixel]
            row[pixel] += np.float32(sign * (depth - behind))
        return
    out, per_across, least = row[left:right], depths[0, left:right], depths[1, left:right]
    for k in range(right - left):
        out[k] += np.float32(sign * (across * per_across[k] - least[k]))


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _rates(
    reach: Integers, count: int, inset: int, plane: Point, behind: float, beams: Values, depths: Values
) -> None:
    """How deep rays meet a plane, across / slope - (normal_y y + normal_z z) / slope - `behind`, for all
    lines alike: 1 / slope and the rest into `depths` (2, pixels). `plane`: normal_y and normal_z; only the
    pixels in `reach` (2, `count`) without `inset` at both ends."""
    low, high = depths.shape[1], 0
    for k in range(count):
        if reach[1, k] - reach[0, k] > 2 * inset:
            low, high = min(low, reach[0, k] + inset), max(high, reach[1, k] - inset)
    for pixel in range(low, high):
        rate = 1 / (plane[0] * beams[2, pixel] + plane[1] * beams[3, pixel])
        depths[0, pixel] = rate
        depths[1, pixel] = (plane[0] * beams[0, pixel] + plane[1] * beams[1, pixel]) * rate + behind

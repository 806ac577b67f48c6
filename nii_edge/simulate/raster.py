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
Flags = npt.NDArray[np.bool_]

_GRAZING = 1e-4
"""Sine of the angle to a surface below which depth is interpolated, since the exact formula divides by it."""
FAR = 1e6
"""mm: beyond the end of any detector. Rays that miss the line of their panel are seen there."""


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
    table, fine_table = _table(lines), _table(fine)
    beyond, panel = np.empty(vertices.shape[0], np.int32), np.empty(vertices.shape[0], np.int32)
    arcs = np.empty((2, fine.shape[0]))
    middles = np.empty(rays.shape[1])
    for pixel in range(rays.shape[1]):
        middles[pixel] = _middle(pixel, frame)
    for k in range(planes.shape[0]):
        here, index = (fine, fine_table) if thin[k] else (lines, table)
        own = vertices[bounds[k, 0] : bounds[k + 1, 0]]
        for vertex in range(own.shape[0]):
            beyond[vertex] = _first_line(here, index, own[vertex, 0])
            panel[vertex] = _panel(own[vertex, 1], own[vertex, 2], frame, panels)
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
            if first < turn:
                _edge(short, first, first, turn, low, middle, arcs, own, here, panel, frame, panels)
            if turn < last:
                _edge(short, first, turn, last, middle, high, arcs, own, here, panel, frame, panels)
            normal_x, normal_y, normal_z = _normal(own, low, middle, high)
            offset = normal_x * own[low, 0] + normal_y * own[low, 1] + normal_z * own[low, 2]
            for at in range(first, last):
                # a piece runs from the edge that rises through x to the edge that falls through it
                start, end = arcs[0, at - first], arcs[1, at - first]
                begin, stop = min(start, end), max(start, end)
                sign = -frame[3] * weight if end > start else frame[3] * weight
                across = offset - normal_x * here[at]
                left = max(_first_pixel(begin - half, frame), 0)
                right = min(_first_pixel(stop + half, frame), plane.shape[1])
                if left >= right:
                    continue
                near, far = (low, middle) if at < turn else (middle, high)
                middle_y, middle_z = _between(own, low, high, near, far, here[at])
                if not thin[k]:
                    _add_run(
                        plane, at, left, right, sign, across, normal_y, normal_z, middle_y, middle_z, rays
                    )
                    continue
                # pixels with a share of their width in the piece, and those between with all of it
                line = at // per_line
                if middles[left] - half < begin:
                    share = min(stop, middles[left] + half) - begin
                    aside = (begin + share / 2 - middles[left]) / frame[4]
                    plane[line, left] += np.float32(
                        sign
                        * max(share, 0.0)
                        / frame[4]
                        * _depth(left, aside, across, normal_y, normal_z, middle_y, middle_z, rays)
                    )
                    left += 1
                if left < right and middles[right - 1] + half > stop:
                    right -= 1
                    share = stop - max(begin, middles[right] - half)
                    aside = (stop - share / 2 - middles[right]) / frame[4]
                    plane[line, right] += np.float32(
                        sign
                        * max(share, 0.0)
                        / frame[4]
                        * _depth(right, aside, across, normal_y, normal_z, middle_y, middle_z, rays)
                    )
                if left < right:
                    _add_run(
                        plane, line, left, right, sign, across, normal_y, normal_z, middle_y, middle_z, rays
                    )


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
def _add_run(
    plane: Floats,
    line: int,
    left: int,
    right: int,
    weight: float,
    across: float,
    normal_y: float,
    normal_z: float,
    middle_y: float,
    middle_z: float,
    rays: Values,
) -> None:
    """Add the depths at which the rays of pixels `left` to `right` meet normal_y y + normal_z z = across, or,
    where they graze it, the middle of the piece."""
    slope = normal_y * rays[2, left] + normal_z * rays[3, left]
    if abs(slope) <= _GRAZING * (abs(normal_y) + abs(normal_z)):
        for pixel in range(left, right):
            depth = (middle_y - rays[0, pixel]) * rays[2, pixel] + (middle_z - rays[1, pixel]) * rays[
                3, pixel
            ]
            plane[line, pixel] += np.float32(weight * depth)
        return
    for pixel in range(left, right):
        depth = (across - normal_y * rays[0, pixel] - normal_z * rays[1, pixel]) / (
            normal_y * rays[2, pixel] + normal_z * rays[3, pixel]
        )
        plane[line, pixel] += np.float32(weight * depth)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _depth(
    pixel: int,
    aside: float,
    across: float,
    normal_y: float,
    normal_z: float,
    middle_y: float,
    middle_z: float,
    rays: Values,
) -> float:
    """As in `_add_run`, of the ray `aside` pixels from the middle of `pixel`."""
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


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _panel(y: float, z: float, frame: Values, panels: Values) -> int:
    """The panel that a point is seen on, 0 for parallel rays; -1 if it is beyond `FAR`."""
    if frame[2] == 0.0:
        return 0
    ray_y, ray_z = y - frame[0], z - frame[1]
    panel = 0
    while panel + 1 < panels.shape[0]:
        corner_y, corner_z = panels[panel + 1, 0] - frame[0], panels[panel + 1, 1] - frame[1]
        if (corner_y * ray_z - corner_z * ray_y) * frame[3] < 0:
            break
        panel += 1
    facing = (ray_y * panels[panel, 3] - ray_z * panels[panel, 2]) * frame[3]
    return -1 if facing * FAR < panels[panel, 5] * (abs(ray_y) + abs(ray_z)) else panel


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_chords(vertices: Values, faces: Integers, bounds: Integers) -> Values:
    """The mean length in mm of lines through each solid, 4 volumes over its surface (Cauchy). Arguments as
    for `add_meshes`."""
    chords = np.zeros(bounds.shape[0] - 1)
    for k in range(chords.shape[0]):
        volume, surface = 0.0, 0.0
        first = bounds[k, 0]
        for face in range(bounds[k, 1], bounds[k + 1, 1]):
            a, b, c = first + faces[face, 0], first + faces[face, 1], first + faces[face, 2]
            a_x, a_y, a_z = vertices[a, 0], vertices[a, 1], vertices[a, 2]
            b_x, b_y, b_z = vertices[b, 0] - a_x, vertices[b, 1] - a_y, vertices[b, 2] - a_z
            c_x, c_y, c_z = vertices[c, 0] - a_x, vertices[c, 1] - a_y, vertices[c, 2] - a_z
            normal_x, normal_y = b_y * c_z - b_z * c_y, b_z * c_x - b_x * c_z
            normal_z = b_x * c_y - b_y * c_x
            volume += (normal_x * a_x + normal_y * a_y + normal_z * a_z) / 6
            surface += math.sqrt(normal_x**2 + normal_y**2 + normal_z**2) / 2
        chords[k] = 4 * abs(volume) / surface if surface > 0 else 0.0
    return chords


@numba.njit(cache=True, nogil=True, error_model="numpy")
def first_wrong(vertices: Values, faces: Integers, bounds: Integers, frame: Values, ahead: Values) -> int:
    """The first mesh with a face that names a vertex it has not, with a vertex that is no number, or, for a
    source in `frame`, behind that source as seen in the direction `ahead` (y, z); -1 if all are well."""
    for k in range(bounds.shape[0] - 1):
        count = bounds[k + 1, 0] - bounds[k, 0]
        for face in range(bounds[k, 1], bounds[k + 1, 1]):
            for corner in range(3):
                if faces[face, corner] < 0 or faces[face, corner] >= count:
                    return k
        for vertex in range(bounds[k, 0], bounds[k + 1, 0]):
            x, y, z = vertices[vertex, 0], vertices[vertex, 1], vertices[vertex, 2]
            if not math.isfinite(x + y + z):
                return k
            depth = (y - frame[0]) * ahead[0] + (z - frame[1]) * ahead[1]
            if frame[2] != 0.0 and depth <= 0.0:
                return k
    return -1


@numba.njit(cache=True, nogil=True)
def _table(lines: Values) -> Integers:
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
def _first_line(lines: Values, table: Integers, x: float) -> int:
    """The first line beyond x: a vertex on a line counts as before it. `table` is that of the lines."""
    count = lines.shape[0]
    if count == 0 or x < lines[0]:
        return 0
    if x >= lines[count - 1]:
        return count
    line = table[int((x - lines[0]) / (lines[count - 1] - lines[0]) * (count - 1))]
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
    panel = 0
    while panel + 1 < panels.shape[0]:
        corner_y, corner_z = panels[panel + 1, 0] - frame[0], panels[panel + 1, 1] - frame[1]
        if (corner_y * ray_z - corner_z * ray_y) * frame[3] < 0:
            break
        panel += 1
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

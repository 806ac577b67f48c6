"""What can be measured of meshes in one pass. Compiled: scenes have hundreds of thousands of faces."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.solids import Points, Triangles

Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


@numba.njit(cache=True, nogil=True)
def bounding_box(vertices: Points) -> Points:
    """(2, 3): the lowest and the highest corner around vertices (n, 3), one at least."""
    corners = np.empty((2, 3), np.float32)
    for axis in range(3):
        low = high = vertices[0, axis]
        for vertex in range(1, vertices.shape[0]):
            low, high = min(low, vertices[vertex, axis]), max(high, vertices[vertex, axis])
        corners[0, axis], corners[1, axis] = low, high
    return corners


@numba.njit(cache=True, nogil=True, error_model="numpy")
def enclosed_volume(vertices: Points, faces: Triangles) -> float:
    """mm³ by the divergence theorem, about the first vertex. Indexes are not checked."""
    total = 0.0
    if faces.shape[0] == 0:
        return total
    start = faces[0, 0]
    x, y, z = np.float64(vertices[start, 0]), np.float64(vertices[start, 1]), np.float64(vertices[start, 2])
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        a_x, a_y, a_z = vertices[a, 0] - x, vertices[a, 1] - y, vertices[a, 2] - z
        b_x, b_y, b_z = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        c_x, c_y, c_z = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        total += a_x * (b_y * c_z - b_z * c_y) + a_y * (b_z * c_x - b_x * c_z) + a_z * (b_x * c_y - b_y * c_x)
    return total / 6


@numba.njit(cache=True, nogil=True)
def bounding_boxes(vertices: Points, starts: Integers) -> Points:
    """(n, 2, 3): the lowest and the highest corner around each run of vertices, from one of `starts` (n + 1,)
    to the next; none may be empty."""
    boxes = np.empty((starts.shape[0] - 1, 2, 3), np.float32)
    for k in range(boxes.shape[0]):
        boxes[k] = bounding_box(vertices[starts[k] : starts[k + 1]])
    return boxes


@numba.njit(cache=True, nogil=True, error_model="numpy")
def enclosed_volumes(vertices: Points, faces: Triangles, bounds: Integers) -> Values:
    """mm³ of each mesh. Arguments as for `add_meshes`, vertices in single precision."""
    volumes = np.empty(bounds.shape[0] - 1)
    for k in range(volumes.shape[0]):
        own = vertices[bounds[k, 0] : bounds[k + 1, 0]]
        volumes[k] = enclosed_volume(own, faces[bounds[k, 1] : bounds[k + 1, 1]])
    return volumes


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

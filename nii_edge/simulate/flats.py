"""Neighbouring faces of a mesh in one plane, taken together: a line cuts them in one piece. Compiled."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Normal = tuple[float, float, float]

PLANE_MM = 1e-4
"""Corners so near to a plane lie in it: vertices are kept in single precision, which 0.5 m from the middle of
the belt is a third of this."""
CORNERS = 32
"""Most corners that are taken together."""


@numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def flat(vertices: Values, faces: Integers, face: int, normal: Normal, ring: Integers) -> tuple[int, int]:
    """The convex outline, into `ring`, of `face` with this normal and of those that follow it in the list for
    as long as they lie beside it in its plane: how many faces, how many corners.

    The outline keeps every vertex on it, so neighbours still share whole edges.
    """
    corners, taken = 3, 1
    for corner in range(3):
        ring[corner] = faces[face, corner]
    limit = PLANE_MM * PLANE_MM * (normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    while face + taken < faces.shape[0] and corners < ring.shape[0]:
        spot, new = _beside(ring, corners, faces, face + taken)
        if spot < 0:
            break
        off = normal[0] * (vertices[new, 0] - vertices[ring[0], 0])
        off += normal[1] * (vertices[new, 1] - vertices[ring[0], 1])
        off += normal[2] * (vertices[new, 2] - vertices[ring[0], 2])
        if not off * off < limit or not _bulges(vertices, ring, corners, spot, new, normal):
            break  # as does a face of no area, which has no normal
        for corner in range(corners, spot + 1, -1):
            ring[corner] = ring[corner - 1]
        ring[spot + 1] = new
        corners, taken = corners + 1, taken + 1
    return taken, corners


@numba.njit(cache=True, nogil=True, inline="always")
def _beside(ring: Integers, corners: int, faces: Integers, face: int) -> tuple[int, int]:
    """Behind which corner of the ring a face with an edge of it has its third vertex, and which that is; -1
    if it has no edge of it."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    spot, new = -1, 0
    for corner in range(corners):
        near, far = ring[corner], ring[corner + 1 if corner + 1 < corners else 0]
        if near == c and far == b:
            spot, new = corner, a
        elif near == a and far == c:
            spot, new = corner, b
        elif near == b and far == a:
            spot, new = corner, c
    return spot, new


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _bulges(vertices: Values, ring: Integers, corners: int, spot: int, new: int, normal: Normal) -> bool:
    """Whether the ring stays convex with a vertex between corner `spot` and the next, and grows by it."""
    near, far = ring[spot], ring[spot + 1 if spot + 1 < corners else 0]
    before, after = ring[spot - 1 if spot > 0 else corners - 1], ring[(spot + 2) % corners]
    return bool(
        _turn(vertices, near, new, far, normal) > 0
        and _turn(vertices, before, near, new, normal) >= 0
        and _turn(vertices, new, far, after, normal) >= 0
    )


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _turn(vertices: Values, a: int, b: int, c: int, normal: Normal) -> float:
    """Above 0 if the way from `a` over `b` to `c` turns as a face goes round that has this normal."""
    x, y, z = normal_of(vertices, a, b, c)
    return float(x * normal[0] + y * normal[1] + z * normal[2])


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def normal_of(vertices: Values, a: int, b: int, c: int) -> Normal:
    """At right angles to a triangle, of twice its area."""
    b_x, b_y = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
    c_x, c_y = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
    b_z, c_z = vertices[b, 2] - vertices[a, 2], vertices[c, 2] - vertices[a, 2]
    return b_y * c_z - b_z * c_y, b_z * c_x - b_x * c_z, b_x * c_y - b_y * c_x

"""Surfaces made by carrying a ring through space: lofts, bodies of revolution, rods and cables, springs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Mesh, Triangles


@lru_cache(maxsize=512)
def _tube_faces(rows: int, ring: int, closed: bool) -> Triangles:
    """Quads between `rows` rings of `ring` points, as triangles; `closed` joins the last row to the first."""
    i, j = np.meshgrid(np.arange(rows if closed else rows - 1), np.arange(ring), indexing="ij")
    up, right = (i + 1) % rows * ring, (j + 1) % ring
    a, b, c, d = i * ring + j, i * ring + right, up + right, up + j
    return np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3).astype(np.int32)


@lru_cache(maxsize=512)
def _capped_faces(rows: int, ring: int) -> Triangles:
    j = np.arange(ring)
    right, top, count = (j + 1) % ring, (rows - 1) * ring, rows * ring
    bottom = np.stack([np.full(ring, count), right, j], axis=-1)
    lid = np.stack([np.full(ring, count + 1), top + j, top + right], axis=-1)
    return np.concatenate([_tube_faces(rows, ring, False), bottom, lid]).astype(np.int32)


def loft(rings: npt.ArrayLike) -> Mesh:
    """A skin over cross-sections, closed at both ends.

    Args:
        rings: (n, k, 3) in mm, n ≥ 2 rings of k ≥ 3 points, each counter-clockwise seen from where the
            loft is heading, and star-shaped about its mean.
    """
    points = np.asarray(rings, dtype=np.float32)
    rows, ring, _ = points.shape
    ends = np.stack([points[0].mean(axis=0), points[-1].mean(axis=0)])
    return Mesh(np.concatenate([points.reshape(-1, 3), ends]), _capped_faces(rows, ring))


def ring_loft(rings: npt.ArrayLike) -> Mesh:
    """A skin over cross-sections whose last joins the first again (see `loft`)."""
    points = np.asarray(rings, dtype=np.float32)
    return Mesh(points.reshape(-1, 3), _tube_faces(len(points), points.shape[1], True))


def revolve(profile: npt.ArrayLike, segments: int = 24) -> Mesh:
    """A body of revolution about z.

    Args:
        profile: (n, 2) of (radius, height) in mm, heights rising; radius 0 at an end makes a point of it.
    """
    r, h = np.asarray(profile, np.float64).T
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rings = np.empty((len(r), segments, 3))
    rings[..., 0], rings[..., 1] = np.outer(r, np.cos(angle)), np.outer(r, np.sin(angle))
    rings[..., 2] = h[:, None]
    return loft(rings)


def _frames(path: Floats, closed: bool) -> tuple[Floats, Floats]:
    """Two unit vectors across the path at every point, turned as little as can be from one to the next."""
    tangents = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-9)
    helper = np.eye(3)[np.argmin(np.abs(tangents).mean(axis=0))]
    across = np.empty_like(path)
    last = helper
    for row, tangent in enumerate(tangents):
        last = last - tangent * (last @ tangent)
        size = np.linalg.norm(last)
        last = last / size if size > 1e-6 else np.roll(tangent, 1)
        across[row] = last
    return across, np.cross(tangents, across)


def sweep(path: npt.ArrayLike, radius: float | npt.ArrayLike, sides: int = 8, closed: bool = False) -> Mesh:
    """A round rod, cable or wire along a curve.

    Args:
        path: (n, 3) in mm, n ≥ 2 points, no two neighbours equal.
        radius: mm; one, or one per point.
        closed: the path runs back to its start (which is not repeated).
    """
    line = np.asarray(path, np.float64)
    u, v = _frames(line, closed)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    wide = np.broadcast_to(np.asarray(radius, np.float64), (len(line),))[:, None, None]
    ring = u[:, None] * np.cos(angle)[None, :, None] + v[:, None] * np.sin(angle)[None, :, None]
    rings = line[:, None] + wide * ring
    if not closed:
        return loft(rings)
    # the frame need not come back as it left: turn the twist out of it along the way
    twist = np.arctan2(u[0] @ v[-1], u[0] @ u[-1])
    back = angle[None] + np.linspace(0, twist, len(line))[:, None]
    ring = u[:, None] * np.cos(back)[..., None] + v[:, None] * np.sin(back)[..., None]
    return ring_loft(line[:, None] + wide * ring)


def arc(
    radius: float, start: float = 0.0, end: float = 360.0, points: int = 24, pitch: float = 0.0
) -> Floats:
    """(points, 3) along a circle about z, from `start` to `end` degrees, rising by `pitch` mm per turn."""
    turns = np.linspace(np.radians(start), np.radians(end), points)
    height = (turns - turns[0]) * pitch / (2 * np.pi)
    return np.stack([radius * np.cos(turns), radius * np.sin(turns), height], axis=1)


def torus(radius: float, thickness: float, segments: int = 24, sides: int = 8) -> Mesh:
    """A ring of round wire about z: `radius` to the middle of the wire, `thickness` the wire's radius."""
    path = arc(radius, 0, 360, segments + 1)[:-1]
    return sweep(path, thickness, sides, closed=True)


def spring(radius: float, length: float, turns: float, wire: float, per_turn: int = 10) -> Mesh:
    """A coil spring along z from 0 to `length`: `radius` to the middle of the wire of radius `wire`."""
    path = arc(radius, 0, 360 * turns, max(int(turns * per_turn), 4), length / turns)
    out = path * [1, 1, 0] / radius
    ahead = np.stack(
        [-radius * out[:, 1], radius * out[:, 0], np.full(len(path), length / turns / (2 * np.pi))], 1
    )
    across = np.cross(ahead / np.linalg.norm(ahead, axis=1, keepdims=True), out)
    angle = np.linspace(0, 2 * np.pi, 5, endpoint=False)[None, :, None]
    return loft(path[:, None] + wire * (out[:, None] * np.cos(angle) + across[:, None] * np.sin(angle)))

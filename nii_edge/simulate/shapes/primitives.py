"""Boxes, cylinders, spheres and their hollow kin. Round ones stand along z from 0; boxes are centred."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.shapes.sweep import loft, revolve, ring_loft
from nii_edge.simulate.shapes.transform import inside_out, merge, moved
from nii_edge.simulate.solids import Mesh

_CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
_BOX = np.array([(*corner, z) for z in (-0.5, 0.5) for corner in _CORNERS], np.float32)
_BOX_FACES = np.array(
    [
        (0, 3, 2), (0, 2, 1), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4),
        (1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6), (3, 0, 4), (3, 4, 7),
    ],
    np.int32,
)  # fmt: skip


def box(x: float, y: float, z: float) -> Mesh:
    """A box of this size about the origin."""
    return Mesh(_BOX * np.array([x, y, z], np.float32), _BOX_FACES)


def shell_box(x: float, y: float, z: float, wall: float) -> Mesh:
    """A closed hollow box: outer size and wall thickness; `wall` below half of the smallest side."""
    return merge([box(x, y, z), inside_out(box(x - 2 * wall, y - 2 * wall, z - 2 * wall))])


def rounded_box(x: float, y: float, z: float, radius: float, corner: int = 4) -> Mesh:
    """A box about the origin with all edges rounded by `radius` (at most half of the smallest side)."""
    radius = min(radius, 0.499 * min(x, y, z))
    quarter = np.linspace(0, np.pi / 2, corner)
    lift = np.concatenate([quarter - np.pi / 2, quarter])
    turn = (quarter + np.pi / 2 * np.arange(4)[:, None]).ravel()
    signs = np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], corner, axis=0)
    cx, cy, cz = x / 2 - radius, y / 2 - radius, z / 2 - radius
    rings = np.empty((len(lift), len(turn), 3))
    rings[..., 0] = signs[:, 0] * cx + radius * np.cos(lift)[:, None] * np.cos(turn)
    rings[..., 1] = signs[:, 1] * cy + radius * np.cos(lift)[:, None] * np.sin(turn)
    rings[..., 2] = (np.repeat([-cz, cz], corner) + radius * np.sin(lift))[:, None]
    return loft(rings)


def cylinder(radius: float, height: float, segments: int = 24) -> Mesh:
    """A cylinder from z = 0 to `height`."""
    return revolve([(radius, 0), (radius, height)], segments)


def frustum(bottom: float, top: float, height: float, segments: int = 24) -> Mesh:
    """A cone cut off at the top, between two radii."""
    return revolve([(bottom, 0), (top, height)], segments)


def cone(radius: float, height: float, segments: int = 24) -> Mesh:
    """A cone with its point (a hundredth of the radius wide) up."""
    return frustum(radius, radius / 100, height, segments)


def tube(outer: float, inner: float, height: float, segments: int = 24) -> Mesh:
    """A pipe, open at both ends."""
    profile = np.array([(inner, 0), (outer, 0), (outer, height), (inner, height)])
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rings = np.empty((segments, 4, 3))
    rings[..., 0], rings[..., 1] = (
        np.cos(angle)[:, None] * profile[:, 0],
        np.sin(angle)[:, None] * profile[:, 0],
    )
    rings[..., 2] = profile[:, 1]
    return ring_loft(rings[:, ::-1])


def sphere(radius: float, segments: int = 20) -> Mesh:
    """A ball about the origin."""
    lift = np.linspace(-np.pi / 2, np.pi / 2, max(segments // 2, 4) + 1)
    profile = np.stack([radius * np.cos(lift), radius * np.sin(lift)], axis=1)
    profile[[0, -1], 0] = radius * 1e-3
    return revolve(profile, segments)


def capsule(radius: float, length: float, segments: int = 16) -> Mesh:
    """A cylinder with round ends, from z = 0 to `length` over all (at least twice the radius)."""
    lift = np.linspace(0, np.pi / 2, 5)
    down = np.stack([radius * np.sin(lift), radius * (1 - np.cos(lift))], axis=1)
    down[0, 0] = radius * 1e-3
    up = down[::-1] * [1, -1] + [0, max(length, 2.001 * radius)]
    return moved(revolve(np.concatenate([down, up]), segments))

"""Moving, turning and measuring meshes. Millimetres, degrees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.measures import bounding_box, enclosed_volume
from nii_edge.simulate.solids import Mesh, Points

Axis = Literal["x", "y", "z"]
Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def rotation(axis: Axis, degrees: float) -> Matrix:
    """The (3, 3) matrix that turns column vectors right-handedly about an axis."""
    s, c = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    made = np.eye(3, dtype=np.float32)
    made[i, i] = made[j, j] = c
    made[i, j], made[j, i] = -s, s
    return made


def moved(mesh: Mesh, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
    """The mesh, shifted."""
    return Mesh(mesh.vertices + np.array([x, y, z], np.float32), mesh.faces)


def turned(mesh: Mesh, axis: Axis | Matrix, degrees: float = 0.0) -> Mesh:
    """The mesh turned about the origin: about an axis, or by a (3, 3) rotation matrix."""
    matrix = rotation(axis, degrees) if isinstance(axis, str) else axis
    return Mesh((mesh.vertices @ matrix.T).astype(np.float32, copy=False), mesh.faces)


def scaled(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    """The mesh stretched about the origin; all three factors must be positive."""
    return Mesh(mesh.vertices * np.array([x, y, z], np.float32), mesh.faces)


def mirrored(mesh: Mesh, axis: Axis) -> Mesh:
    """The mirror image across the plane through the origin at right angles to `axis`; still outward."""
    signs = np.ones(3, np.float32)
    signs["xyz".index(axis)] = -1
    return Mesh(mesh.vertices * signs, mesh.faces[:, ::-1])


def inside_out(mesh: Mesh) -> Mesh:
    """The same surface as the wall of a cavity."""
    return Mesh(mesh.vertices, mesh.faces[:, ::-1])


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """All surfaces in one mesh. Where two of them overlap, the material counts twice."""
    parts = list(meshes)
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in parts)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in parts]),
        np.concatenate([mesh.faces + np.int32(start) for mesh, start in zip(parts, starts, strict=False)]),
    )


def repeated(mesh: Mesh, offsets: npt.ArrayLike, rotations: npt.ArrayLike | None = None) -> Mesh:
    """Copies of a mesh: at every offset (n, 3), each first turned by its rotation (n, 3, 3)."""
    spots = np.asarray(offsets, np.float32)
    bodies = mesh.vertices[None]
    if rotations is not None:
        bodies = np.einsum("nij,vj->nvi", np.asarray(rotations, np.float32), mesh.vertices)
    vertices = (bodies + spots[:, None]).astype(np.float32, copy=False)
    starts = (np.arange(len(spots), dtype=np.int32) * len(mesh.vertices))[:, None, None]
    return Mesh(vertices.reshape(-1, 3), (mesh.faces[None] + starts).reshape(-1, 3))


def stretched(mesh: Mesh, offsets: npt.ArrayLike, sizes: npt.ArrayLike) -> Mesh:
    """Copies of a mesh, each scaled about the origin by its row of `sizes` (n, 3), then moved by `offsets`."""
    spots, factors = np.asarray(offsets, np.float32), np.asarray(sizes, np.float32)
    vertices = mesh.vertices[None] * factors[:, None] + spots[:, None]
    starts = (np.arange(len(spots), dtype=np.int32) * len(mesh.vertices))[:, None, None]
    return Mesh(vertices.reshape(-1, 3), (mesh.faces[None] + starts).reshape(-1, 3))


def random_rotations(rng: np.random.Generator, count: int) -> Floats:
    """(count, 3, 3): uniform over all orientations."""
    q = rng.normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def directed(mesh: Mesh, start: npt.ArrayLike, end: npt.ArrayLike) -> Mesh:
    """The mesh with its z axis laid from `start` along the line to `end`; it keeps its length."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    z = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    helper = np.array([1.0, 0, 0]) if abs(z[0]) < 0.9 else np.array([0, 1.0, 0])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    return Mesh((mesh.vertices @ frame.T + a).astype(np.float32), mesh.faces)


def bounds(mesh: Mesh) -> Points:
    """(2, 3): the lowest and the highest corner."""
    if not len(mesh.vertices):
        raise ValueError("a mesh without vertices has no bounds")
    corners: Points = bounding_box(np.ascontiguousarray(mesh.vertices, np.float32))
    return corners


def stack_bounds(meshes: Iterable[Mesh]) -> Points:
    """(2, 3): the corners of the box around all of them."""
    each = np.stack([bounds(mesh) for mesh in meshes])
    return np.stack([each[:, 0].min(axis=0), each[:, 1].max(axis=0)])


def centred(mesh: Mesh) -> Mesh:
    """The mesh with the middle of its bounding box at the origin."""
    middle = bounds(mesh).mean(axis=0)
    return Mesh(mesh.vertices - middle, mesh.faces)


def _plain(mesh: Mesh) -> Mesh:
    """The mesh in the one layout that is compiled for."""
    return Mesh(np.ascontiguousarray(mesh.vertices, np.float32), np.ascontiguousarray(mesh.faces, np.int32))


def volume(mesh: Mesh) -> float:
    """mm³, by the divergence theorem; cavities count negative."""
    return float(enclosed_volume(*_plain(mesh)))

"""Solids whose volume and path lengths have formulas, for tests of the simulator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.solids import Mesh, Part, Thing

_BOX_FACES = np.array(
    [
        (0, 2, 1), (0, 3, 2), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4),
        (1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6), (3, 0, 4), (3, 4, 7),
    ],
    np.int32,
)  # fmt: skip


def box(size: tuple[float, float, float], middle: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A box of `size` (x, y, z)."""
    x, y, z = (np.array((-0.5, 0.5)) * side for side in size)
    corners = [(x[i], y[j], z[k]) for k in (0, 1) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    return Mesh((np.array(corners) + middle).astype(np.float32), _BOX_FACES)


def ball(radius: float, middle: tuple[float, float, float] = (0.0, 0.0, 0.0), rings: int = 64) -> Mesh:
    """A ball with `rings` rings from pole to pole and twice as many points on each."""
    around = 2 * rings
    polar = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    shell = np.stack(
        np.broadcast_arrays(
            np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn
        ),
        axis=-1,
    ).reshape(-1, 3)
    points = np.concatenate((shell, [(0, 0, 1), (0, 0, -1)]))
    top, bottom = len(shell), len(shell) + 1
    faces = []
    for j in range(around):
        k = (j + 1) % around
        faces.append((top, j, k))
        for i in range(rings - 2):
            a, b = i * around, (i + 1) * around
            faces += [(a + j, b + j, b + k), (a + j, b + k, a + k)]
        last = (rings - 2) * around
        faces.append((bottom, last + k, last + j))
    return Mesh((points * radius + middle).astype(np.float32), np.array(faces, np.int32))


def joined(*meshes: Mesh) -> Mesh:
    """Several surfaces as one mesh."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]).astype(
            np.int32
        ),
    )


def inside_out(mesh: Mesh) -> Mesh:
    """The same surface as the wall of a cavity."""
    return mesh._replace(faces=mesh.faces[:, ::-1].copy())


def turned(mesh: Mesh, rng: np.random.Generator, middle: tuple[float, float, float]) -> Mesh:
    """The mesh turned at random about the origin and then moved."""
    turn: npt.NDArray[np.float64] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if np.linalg.det(turn) < 0:
        turn[:, 0] *= -1
    return mesh._replace(vertices=(mesh.vertices @ turn.T + middle).astype(np.float32))


def thing(mesh: Mesh, material: str = "water", fill: float = 1.0) -> Thing:
    """A thing of one part."""
    return Thing("solid", "analytic", (Part(mesh, material, fill),))

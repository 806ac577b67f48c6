"""What scenes are made of and scanners look through: closed meshes of one material each.

Millimetres; x along the belt, y across it, z up from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Triangles = npt.NDArray[np.int32]


class Mesh(NamedTuple):
    """A closed surface. `vertices` (n, 3) in mm; `faces` (m, 3) indices into them, counter-clockwise seen
    from outside. A cavity is a second surface in the same mesh that is turned inside out."""

    vertices: Points
    faces: Triangles


class Part(NamedTuple):
    """A mesh filled with one material (a name in `nii_edge.simulate.materials`).

    `fill` scales its density: 0.2 for loosely folded cloth, -1 to take the material of a host away where
    another part sits inside it.
    """

    mesh: Mesh
    material: str
    fill: float = 1.0


class Thing(NamedTuple):
    """One object with everything in it. `label` is what it is (``gun``, ``shirt``); `family` the shape family
    it was drawn from, by which training and test are kept apart; `chapter` the two-digit HS chapter of
    goods, 0 for what is no goods."""

    label: str
    family: str
    parts: tuple[Part, ...]
    chapter: int = 0

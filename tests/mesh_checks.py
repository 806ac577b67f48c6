"""What every mesh has to be."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.shapes import volume
from nii_edge.simulate.solids import Mesh, Thing


def is_closed(mesh: Mesh) -> bool:
    """Each edge is used exactly twice, once in either direction."""
    f = mesh.faces.astype(np.int64)
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    there = np.sort(edges[:, 0] * len(mesh.vertices) + edges[:, 1])
    back = np.sort(edges[:, 1] * len(mesh.vertices) + edges[:, 0])
    return bool((np.diff(there) > 0).all() and np.array_equal(there, back))


def assert_sound(thing: Thing) -> None:
    """Closed, outward, finite, of the right types; more of every material than is taken away."""
    assert thing.parts
    for part in thing.parts:
        where = f"{thing.label}/{thing.family}: {part.material}"
        assert part.mesh.vertices.dtype == np.float32, where
        assert part.mesh.faces.dtype == np.int32, where
        assert np.isfinite(part.mesh.vertices).all(), where
        assert is_closed(part.mesh), where
        assert volume(part.mesh) > 0, where
    for material in {part.material for part in thing.parts}:
        kept = sum(volume(p.mesh) * p.fill for p in thing.parts if p.material == material)
        assert kept > 0, f"{thing.label}/{thing.family}: more {material} is taken away than there is"

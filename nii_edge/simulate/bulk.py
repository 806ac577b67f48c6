"""Many things at once: a carton holds hundreds of meshes, mostly small ones, and one call for each costs more
than what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.measures import bounding_boxes, enclosed_volumes
from nii_edge.simulate.solids import Mesh, Part, Points, Thing, Triangles

Integers = npt.NDArray[np.int32]


class Bundle(NamedTuple):
    """The meshes of many parts, one after another. `vertices` (n, 3); `faces` (m, 3), which count from their
    own mesh's first vertex; `bounds` (parts + 1, 2): where each mesh's vertices and faces begin, and the
    ends."""

    vertices: Points
    faces: Triangles
    bounds: Integers


def bundled(parts: Sequence[Part]) -> Bundle:
    """The meshes of `parts`, at least one of which has vertices, in their order."""
    meshes = [part.mesh for part in parts]
    bounds = np.zeros((len(parts) + 1, 2), np.int32)
    np.cumsum([(len(mesh.vertices), len(mesh.faces)) for mesh in meshes], axis=0, out=bounds[1:])
    vertices = vertices_of(parts)
    faces = np.concatenate([mesh.faces for mesh in meshes]).astype(np.int32, copy=False)
    return Bundle(vertices, faces, bounds)


def vertices_of(parts: Sequence[Part]) -> Points:
    """The vertices (n, 3) of all parts, in order."""
    together = np.concatenate([part.mesh.vertices for part in parts])
    plain: Points = np.ascontiguousarray(together, np.float32)
    return plain


def parts_of(things: Sequence[Thing]) -> list[Part]:
    """All parts of all things, in order."""
    return [part for thing in things for part in thing.parts]


def with_vertices(things: Sequence[Thing], vertices: Points) -> list[Thing]:
    """The things with other `vertices` (n, 3), those of all parts in order."""
    made, start = [], 0
    for thing in things:
        parts = []
        for (before, faces), material, fill in thing.parts:
            stop = start + len(before)
            parts.append(Part(Mesh(vertices[start:stop], faces), material, fill))
            start = stop
        made.append(Thing(thing.label, thing.family, tuple(parts), thing.chapter))
    return made


def all_moved(
    things: Sequence[Thing], step: npt.ArrayLike, turn: npt.NDArray[np.float32] | None = None
) -> list[Thing]:
    """The things turned about the origin by `turn` (3, 3) if there is one, then moved by `step` (3,) mm."""
    parts = parts_of(things)
    if not parts:
        return list(things)
    vertices = vertices_of(parts)
    if turn is not None:
        vertices = vertices @ turn.T.astype(np.float32, copy=False)
    return with_vertices(things, vertices + np.asarray(step, np.float32))


def part_boxes(parts: Sequence[Part]) -> Points:
    """(n, 2, 3): the lowest and the highest corner of each part that has vertices; one must have some."""
    solid = [part for part in parts if len(part.mesh.vertices)]
    starts = np.zeros(len(solid) + 1, np.int32)
    np.cumsum([len(part.mesh.vertices) for part in solid], out=starts[1:])
    boxes: Points = bounding_boxes(vertices_of(solid), starts)
    return boxes


def box_around(things: Sequence[Thing]) -> Points:
    """(2, 3): the lowest and the highest corner of the box around all of them."""
    boxes = part_boxes(parts_of(things))
    return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def all_masses(things: Sequence[Thing], density: Mapping[str, float]) -> list[dict[str, float]]:
    """Grams by material of each thing: mesh volume x density (g/cm³) x fill.

    Raises:
        KeyError: `density` lacks one of the things' materials.
    """
    parts = parts_of(things)
    volumes = iter(enclosed_volumes(*bundled(parts)).tolist() if parts else ())
    made: list[dict[str, float]] = []
    for thing in things:
        grams: dict[str, float] = {}
        for part in thing.parts:
            own = next(volumes) / 1000 * density[part.material] * part.fill
            grams[part.material] = grams.get(part.material, 0.0) + own
        made.append(grams)
    return made

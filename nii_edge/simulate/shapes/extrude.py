"""Flat outlines, holes and all, given a thickness."""

from __future__ import annotations

import mapbox_earcut
import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import Polygon
from shapely.geometry.polygon import orient

from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.shapes.transform import merge
from nii_edge.simulate.solids import Mesh, Triangles

SIMPLIFY = 0.05
"""mm by which an outline may change to lose corners that cannot be seen."""


def extrude(outline: Outline, z0: float, z1: float) -> Mesh:
    """The solid over an outline from `z0` up to `z1`.

    Raises:
        ValueError: the outline is empty, or `z1` is not above `z0`.
    """
    if not z1 > z0:
        raise ValueError(f"extrude: from z {z0:.3g} to {z1:.3g}; expected the second above the first")
    parts = [part for part in _polygons(outline.simplify(SIMPLIFY)) if part.area > 1e-3]
    if not parts:
        raise ValueError("extrude: the outline is empty; draw one with an area")
    return merge([_extrude_one(part, z0, z1) for part in parts])


def puffed(outline: Outline, z0: float, z1: float, edge: float) -> Mesh:
    """Like `extrude`, with outer and inner edges stepped back by `edge` towards both faces."""
    inner = outline.buffer(-edge)
    if inner.is_empty or inner.area < 0.3 * outline.area:
        return extrude(outline, z0, z1)
    step = min(edge, 0.3 * (z1 - z0))
    layers = [(inner, z0, z0 + step), (outline, z0 + step, z1 - step), (inner, z1 - step, z1)]
    return merge([extrude(shape, low, high) for shape, low, high in layers])


def _polygons(outline: Outline) -> list[Polygon]:
    return [orient(part) for part in shapely.get_parts(outline) if isinstance(part, Polygon)]


def _extrude_one(part: Polygon, z0: float, z1: float) -> Mesh:
    rings = [np.asarray(ring.coords)[:-1] for ring in (part.exterior, *part.interiors)]
    flat = np.concatenate(rings)
    ends = np.cumsum([len(ring) for ring in rings])
    lid, count = _triangulated(part, flat, ends), len(flat)
    here = np.arange(count)
    after = here + 1
    after[ends - 1] = np.concatenate([[0], ends[:-1]])
    walls = np.stack([here, after, after + count, here, after + count, here + count], axis=1).reshape(-1, 3)
    vertices = np.empty((2 * count, 3), np.float32)
    vertices[:count, :2] = vertices[count:, :2] = flat
    vertices[:count, 2], vertices[count:, 2] = z0, z1
    return Mesh(vertices, np.concatenate([lid[:, ::-1], lid + count, walls]).astype(np.int32))


def _triangulated(part: Polygon, flat: npt.NDArray[np.float64], ends: npt.NDArray[np.int64]) -> Triangles:
    """(m, 3), counter-clockwise, using every corner: a triangulation that skips one would leave a slit."""
    found = mapbox_earcut.triangulate_float64(flat, ends.astype(np.uint32))
    made: Triangles = found.reshape(-1, 3).astype(np.int32)
    if len(made) == len(flat) + 2 * len(ends) - 4:
        a, b, c = (flat[made[:, i]] for i in range(3))
        area = np.sum((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
        return made if area > 0 else made[:, ::-1]
    index = {(float(x), float(y)): i for i, (x, y) in enumerate(flat)}
    triangles = [orient(t) for t in shapely.get_parts(shapely.constrained_delaunay_triangles(part))]
    return np.array([[index[x, y] for x, y in t.exterior.coords[:3]] for t in triangles], np.int32)

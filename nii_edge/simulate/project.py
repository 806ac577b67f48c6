"""What lies on each ray: the mass of every material per area, as one view of a line scanner sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import SceneError
from nii_edge.simulate.geometry import View, pixel_arcs, rays_of
from nii_edge.simulate.materials import material
from nii_edge.simulate.measures import first_wrong, mean_chords
from nii_edge.simulate.planes import above, touched
from nii_edge.simulate.raster import add_meshes
from nii_edge.simulate.sight import arc_of
from nii_edge.simulate.solids import Part, Thing

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


class Projection(NamedTuple):
    """`areal` (materials, lines, pixels) in g/cm² along each ray, never negative; `materials` names its
    planes. `lines` (lines,): where on the belt each line was taken, x in mm, ascending."""

    materials: tuple[str, ...]
    areal: Floats
    lines: Values


class Footprint(NamedTuple):
    """What one thing alone puts into a projection: `areal` (materials, height, width) in g/cm², its top
    left corner at line `top` and pixel `left`. Where it carves its surroundings, `areal` is negative.
    A thing that no ray meets has height and width 0."""

    materials: tuple[str, ...]
    areal: Floats
    top: int
    left: int

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Where the thing is: any of its material on the ray (height, width)."""
        return np.asarray(above(self.areal, TRACE))

    @property
    def window(self) -> tuple[slice, slice]:
        """Its lines and pixels in the projection."""
        height, width = self.areal.shape[1:]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


PER_LINE = 3
"""Rays along the belt that a line's mean is taken of, for thin parts."""
THIN_MM, THIN_AREAL = 2.0, 1.0
"""A part whose mean chord is below both, in mm and g/cm², is averaged over pixels. Averaging lengths is
averaging intensities only where little is absorbed, so thick parts are met by single rays."""
TRACE = 1e-4
"""g/cm²: less than this is rounding, or nothing a scanner could see (a hair is 5e-3)."""


def project(things: Sequence[Thing], view: View, lines: Values) -> Projection:
    """The areal densities of `things`, at the belt positions `lines` in mm.

    Meshes must be closed and lie between source and detector; what lies outside the fan is cut off.

    Raises:
        SceneError: an unknown material, a mesh that is not one, or one behind the source.
    """
    parts = [part for thing in things for part in thing.parts]
    materials = tuple(sorted({part.material for part in parts}))
    areal = _areal(parts, materials, view, lines, _between(lines))
    np.maximum(areal, np.float32(0), out=areal)
    return Projection(materials, areal, lines)


def footprint(thing: Thing, view: View, lines: Values) -> Footprint:
    """What `thing` alone puts into the projection at `lines`, in its smallest window.

    Raises:
        SceneError: as `project`.
    """
    materials = tuple(sorted({part.material for part in thing.parts}))
    corners = [part.mesh.vertices for part in thing.parts if len(part.mesh.vertices)]
    lows = min((float(points[:, 0].min()) for points in corners), default=0.0)
    highs = max((float(points[:, 0].max()) for points in corners), default=0.0)
    first, last = (int(edge) for edge in np.searchsorted(lines, (lows, highs), side="right"))
    first, last = max(first - 1, 0), min(last + 1, len(lines))  # thin parts count half a line further
    fine = _between(lines)[first * PER_LINE : last * PER_LINE]
    areal = _areal(thing.parts, materials, view, lines[first:last], fine)
    top, bottom, left, right = touched(areal, TRACE)
    return Footprint(materials, areal[:, top:bottom, left:right].copy(), first + top, left)


def taken_out(whole: Floats, names: tuple[str, ...], own: Floats, own_names: tuple[str, ...]) -> Floats:
    """Areal densities `whole` (names, ...) without `own` (own names, ...) on the same rays, in g/cm²."""
    rest = whole.copy()
    for name, plane in zip(own_names, own, strict=True):
        rest[names.index(name)] -= plane
    return np.maximum(rest, np.float32(0), out=rest)


def pixel_of(view: View, y: float, z: float) -> float:
    """The pixel at which the point (y, z) is seen, 0 being the middle of the first; -1 before the first
    and the number of pixels beyond the last."""
    arcs, rays = pixel_arcs(view), rays_of(view)
    ends = np.array((arcs[0] - view.pitch / 2, *arcs, arcs[-1] + view.pitch / 2))
    places = np.array((-0.5, *range(len(arcs)), len(arcs) - 0.5))
    return float(np.interp(arc_of((y, z), rays.frame, rays.panels), ends, places, left=-1.0, right=len(arcs)))


def magnification(view: View, y: float, z: float) -> float:
    """How many mm along the detector 1 mm at right angles to the ray through (y, z) takes up."""
    rays = rays_of(view)
    if view.source is None:
        return 1.0
    ray_y, ray_z = y - view.source[0], z - view.source[1]
    step = 0.01 / math.hypot(ray_y, ray_z)
    ends = [
        arc_of((y - sign * ray_z * step, z + sign * ray_y * step), rays.frame, rays.panels)
        for sign in (-1, 1)
    ]
    return float(abs(ends[1] - ends[0]) / 0.02)


def _areal(
    parts: Sequence[Part], materials: tuple[str, ...], view: View, lines: Values, fine: Values
) -> Floats:
    """Areal densities (materials, lines, pixels), carved ones below 0."""
    rays = rays_of(view)
    areal = np.zeros((len(materials), len(lines), rays.rays.shape[1]), np.float32)
    parts = [part for part in parts if len(part.mesh.faces)]
    if not parts:
        return areal
    for part in parts:
        _check_shape(part)
    vertices = np.concatenate([part.mesh.vertices for part in parts]).astype(np.float64)
    faces = np.concatenate([part.mesh.faces for part in parts]).astype(np.int32, copy=False)
    bounds = np.zeros((len(parts) + 1, 2), np.int32)
    np.cumsum([(len(part.mesh.vertices), len(part.mesh.faces)) for part in parts], axis=0, out=bounds[1:])
    wrong = first_wrong(vertices, faces, bounds, rays.frame, rays.rays[2:].mean(axis=1))
    if wrong >= 0:
        raise SceneError(_complaint(parts[wrong], view))
    weights = np.array([part.fill * material(part.material).density / 10 for part in parts])
    planes = np.array([materials.index(part.material) for part in parts], np.int32)
    chords = mean_chords(vertices, faces, bounds)
    thin = (chords < THIN_MM) & (chords * np.abs(weights) < THIN_AREAL)
    add_meshes(areal, vertices, faces, bounds, planes, weights, thin, lines, fine, rays)
    return areal


def _between(lines: Values) -> Values:
    """`PER_LINE` positions to each line, spread evenly over its share of the belt."""
    if not len(lines):
        return lines
    steps = np.diff(lines, append=lines[-1] + (lines[-1] - lines[-2] if len(lines) > 1 else 1.0))
    offsets = (np.arange(PER_LINE) + 0.5) / PER_LINE - 0.5
    return np.maximum.accumulate((lines[:, None] + steps[:, None] * offsets).ravel())


def _check_shape(part: Part) -> None:
    vertices, faces = part.mesh
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise SceneError(
            f"a mesh of {part.material} has vertices {vertices.shape} and faces {faces.shape}; "
            "expected (n, 3) and (m, 3)"
        )


def _complaint(part: Part, view: View) -> str:
    """What is wrong with a part: the compiled code reads what it is told to, so nothing out of bounds may
    reach it."""
    vertices, faces = part.mesh
    if not (faces.min() >= 0 and faces.max() < len(vertices)):
        return (
            f"a mesh of {part.material} has faces with vertices {faces.min()} to {faces.max()}; "
            f"expected 0 to {len(vertices) - 1}"
        )
    if not np.isfinite(vertices).all():
        return f"a mesh of {part.material} has vertices that are NaN or infinite"
    return (
        f"a mesh of {part.material} reaches behind the source of view {view.name!r}; "
        "expected it between source and detector"
    )

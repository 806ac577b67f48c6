"""Where rays run in the plane across the belt, and the box that a carton fills there. Pure.

Millimetres; y across the belt from its middle, z up from it. Along the belt all rays are parallel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.config import ViewGeometry

Values = npt.NDArray[np.float64]

STEPS = 12
"""Gauss-Newton steps of `fit_box`; it settles in five."""
PRIOR_ASPECT = 0.75
"""Height over width of a carton whose height no second view tells."""
NEAREST_MM = 1.0


class Rays(NamedTuple):
    """The rays of a view's pixels. `origin`, `direction` (pixels, 2), direction of length 1 from the source
    on; `width` (pixels,): radians between neighbours in a fan, mm in a curtain."""

    origin: Values
    direction: Values
    width: Values
    fan: bool


class Box(NamedTuple):
    """A carton's outline across the belt, standing on it. `residual`: mm by which edges are off it."""

    left: float
    right: float
    height: float
    residual: float


@lru_cache(maxsize=64)
def rays_of(view: ViewGeometry, pixels: int) -> Rays:
    """The rays of the first `pixels` pixels of a view; of pixels beyond its panels those of the last one."""
    index = np.arange(pixels)
    arcs = (index + 0.5) * view.pitch_mm + (index // view.card if view.card else 0) * view.gap_mm
    corners = np.array(view.detector_mm, np.float64)
    along = np.diff(corners, axis=0)
    lengths = np.linalg.norm(along, axis=1)
    along /= lengths[:, None]
    before = np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
    panel = np.clip(np.searchsorted(before, arcs, side="right") - 1, 0, len(lengths) - 1)
    places = corners[:-1][panel] + along[panel] * (arcs - before[panel])[:, None]
    if view.source_mm is None:
        direction = np.repeat([[-along[0, 1], along[0, 0]]], pixels, axis=0)
        return Rays(places, direction, np.full(pixels, view.pitch_mm), fan=False)
    source = np.array(view.source_mm)
    toward = places - source
    distance = np.linalg.norm(toward, axis=1)
    direction = toward / distance[:, None]
    cosine = np.abs(direction[:, 0] * along[panel, 1] - direction[:, 1] * along[panel, 0])
    return Rays(
        np.repeat(source[None], pixels, axis=0), direction, view.pitch_mm * cosine / distance, fan=True
    )


def room_for(view: ViewGeometry) -> int:
    """How many pixels a view's panels have room for."""
    corners = np.array(view.detector_mm, np.float64)
    length = float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())
    cards = np.ceil(length / (view.card * view.pitch_mm + view.gap_mm)) if view.card else 0
    return round((length - max(cards - 1, 0) * view.gap_mm) / view.pitch_mm)


def chords(rays: Rays, box: Box) -> tuple[Values, Values]:
    """Per pixel: how long its ray runs in the box, mm, and how far from the source the middle of that is."""
    low, high = np.array([box.left, 0.0]), np.array([box.right, box.height])
    safe = np.where(np.abs(rays.direction) < 1e-9, 1e-9, rays.direction)
    one, other = (low - rays.origin) / safe, (high - rays.origin) / safe
    enter = np.minimum(one, other).max(axis=1)
    leave = np.maximum(one, other).min(axis=1)
    length = np.maximum(leave - enter, 0.0)
    return length, np.where(length > 0, (enter + leave) / 2, 0.0)


class Sight(NamedTuple):
    """How a view's rays run through a carton, row by row of its map. `path` (rows,): mm in the box; `aside`
    (rows,): where along y the middle of that is, mm; `lean` (rows,): the sine of the angle between the ray
    and the vertical, towards +y; `faces`: the sides of the carton that the first and the last row are at;
    `square`: mm a side of the map's squares."""

    path: Values
    aside: Values
    lean: Values
    faces: tuple[str, str]
    square: float


def sight_of(rays: Rays, box: Box, across: tuple[int, int], rows: int, square: float) -> Sight:
    """That of the pixels from one to another, both inclusive, in so many rows."""
    first, last = across
    length, distance = chords(rays, box)
    places = np.linspace(first, last + 1, rows, endpoint=False) + (last + 1 - first) / rows / 2 - 0.5
    pixels = np.arange(len(length))
    upward = rays.direction[:, 0] * np.sign(rays.direction[:, 1] + 1e-12)
    path, aside, lean = (
        np.interp(places, pixels, each)
        for each in (length, rays.origin[:, 0] + distance * rays.direction[:, 0], upward)
    )
    ends = [rays.origin[p] + max(distance[(first + last) // 2], 1.0) * rays.direction[p] for p in across]
    y, z = ends[1] - ends[0]
    faces = ("left", "right") if abs(y) >= abs(z) else ("bottom", "top")
    return Sight(path, aside, lean, faces if (y if abs(y) >= abs(z) else z) > 0 else faces[::-1], square)


def fit_box(views: list[tuple[Rays, int, int]]) -> Box:
    """The box on the belt whose shadow in each view reaches from one pixel to another (both inclusive).

    Least squares over the box's two sides and height, in mm at the box; two views settle it. With one view
    the height is `PRIOR_ASPECT` of the width, softly.
    """
    edges = [(rays, first, last) for rays, first, last in views if last > first]
    if not edges:
        return Box(0.0, 0.0, 0.0, 0.0)
    state = np.array([-150.0, 150.0, 200.0])

    def residuals(s: Values) -> Values:
        found = [value for rays, first, last in edges for value in _off(rays, first, last, s)]
        weak = 0.2 if len(edges) == 1 else 0.005
        return np.array([*found, weak * (s[2] - PRIOR_ASPECT * (s[1] - s[0]))])

    for _ in range(STEPS):
        now = residuals(state)
        slopes = np.stack([(residuals(state + step) - now) / 0.1 for step in 0.1 * np.eye(3)], axis=1)
        move = np.linalg.lstsq(slopes, -now, rcond=None)[0]
        state = state + np.clip(move, -150, 150)
        state[2] = max(state[2], 5.0)
        state[1] = max(state[1], state[0] + 5.0)
    off = residuals(state)[:-1]
    return Box(float(state[0]), float(state[1]), float(state[2]), float(np.sqrt((off**2).mean())))


def _off(rays: Rays, first: int, last: int, state: Values) -> tuple[float, float]:
    """How far the two edge rays miss the box's outermost corners, mm; signed."""
    left, right, height = state
    corners = np.array([[left, 0.0], [right, 0.0], [left, height], [right, height]])
    middle = rays.direction[(first + last) // 2]
    normal = np.array([-middle[1], middle[0]])
    sides = []
    for pixel in (first, last):
        direction, origin = rays.direction[pixel], rays.origin[pixel]
        away = np.array([-direction[1], direction[0]])
        outward = float(np.sign((direction - middle) @ normal)) if rays.fan else 0.0
        if outward == 0.0:
            outward = float(np.sign((origin - rays.origin[(first + last) // 2]) @ normal)) or 1.0
        sides.append(float(((corners - origin) @ away * outward).max()))
    return sides[0], sides[1]

"""Where rays run: one view of a line scanner, in the plane across the belt.

The belt's direction is always parallel: every line is a fan (or a curtain) in one plane x = constant.
Within that plane a view has a point source, or none for parallel rays, and a detector folded along a
line of one, two or more straight panels. Millimetres; y across the belt from its middle, z up from it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import SceneError

Values = npt.NDArray[np.float64]
Point = tuple[float, float]


class View(NamedTuple):
    """One source and its detector.

    `source` (y, z), None for rays at right angles to the first panel; `detector` the corners (y, z) of
    its panels in the order of its pixels; `pitch` of the pixels; `card` pixels to a detector card and
    `gap` the dead stretch between cards.
    """

    name: str
    source: Point | None
    detector: tuple[Point, ...]
    pitch: float
    card: int = 64
    gap: float = 0.0


class Rays(NamedTuple):
    """What the rasteriser needs of a view with `width` pixels.

    `rays` (4, width): a point (y, z) of each pixel's ray in the middle of the view, and its direction
    (y, z) of length 1 from source to pixel. `distance` (width,) mm from the source to the pixel, 1 for
    parallel rays; `cosine` (width,) of the angle to the panel's normal. `panels` (n, 6): start (y, z),
    direction (y, z), arc length before it, distance of its line from the source. `frame` (7,): source
    (y, z, 1), or zeros for parallel rays; 1 if arc length rises counter-clockwise as seen from the source
    with y to the right and z up, else -1; pitch, card, gap.
    """

    rays: Values
    distance: Values
    cosine: Values
    panels: Values
    frame: Values


def pixel_count(view: View) -> int:
    """Pixels along the whole detector: full cards, and of the last card what fits."""
    length = sum(math.dist(*panel) for panel in _panels(view))
    card = view.card * view.pitch + view.gap
    cards, rest = divmod(length + 1e-9, card)
    return int(cards) * view.card + min(view.card, int(rest / view.pitch))


def pixel_arcs(view: View) -> Values:
    """Arc lengths (pixels,) in mm of the pixels' middles along the detector."""
    index = np.arange(pixel_count(view))
    arcs: Values = (index + 0.5) * view.pitch + index // view.card * view.gap
    return arcs


@lru_cache(maxsize=256)
def rays_of(view: View) -> Rays:
    """The rays of a view.

    Raises:
        SceneError: fewer than two corners, no pixel fits, or a panel seen edge-on or from behind.
    """
    if len(view.detector) < 2 or pixel_count(view) < 1:
        raise SceneError(
            f"view {view.name!r}: corners {view.detector} with pitch {view.pitch} mm; "
            "expected two corners or more and room for a pixel"
        )
    starts = np.array(view.detector[:-1])
    along = np.diff(np.array(view.detector), axis=0)
    lengths = np.linalg.norm(along, axis=1)
    along /= lengths[:, None]
    before = np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
    arcs = pixel_arcs(view)
    panel = np.searchsorted(before, arcs, side="right") - 1
    places = starts[panel] + along[panel] * (arcs - before[panel])[:, None]
    if view.source is None:
        directions = np.repeat([[-along[0, 1], along[0, 0]]], len(arcs), axis=0)
        distance, origins, source = np.ones(len(arcs)), places, np.zeros(3)
        heights, turn = np.ones(len(starts)), -1.0
    else:
        toward = places - np.array(view.source)
        distance = np.linalg.norm(toward, axis=1)
        directions = toward / distance[:, None]
        origins = np.array(view.source) + directions * (distance.mean() / 2)
        source = np.array((*view.source, 1.0))
        turns = _cross(starts - source[:2], along)
        turn, heights = float(np.sign(turns[0])), np.abs(turns)
        if (turns * turn < 1e-6).any():
            raise SceneError(
                f"view {view.name!r}: the detector {view.detector} turns back as seen from {view.source}"
            )
    cosine = np.abs(_cross(directions, along[panel]))
    panels = np.column_stack((starts, along, before, heights))
    rays = np.ascontiguousarray(np.concatenate((origins, directions), axis=1).T)
    frame = np.array((*source, turn, view.pitch, view.card, view.gap))
    return Rays(rays, distance, cosine, panels, frame)


def _panels(view: View) -> list[tuple[Point, Point]]:
    return list(zip(view.detector[:-1], view.detector[1:], strict=True))


def _cross(first: Values, second: Values) -> Values:
    """y1 z2 - z1 y2, along the last axis."""
    cross: Values = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return cross

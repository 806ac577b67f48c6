"""What a network reads a carton from, the map of each view in squares of `MAP_MM`, and what it answers.

Maps are in true millimetres and grams, so that the network of one scanner reads those of another. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]
"""(3, height, width): areal density in g/cm2, effective Z, share of metal 0-1; columns along the belt."""
Inputs = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

MAP_MM = 2.0
COUNTS: tuple[int, ...] = (*range(25), 27, 30, 33, 37, 41, 46, 52, 60, 75)
"""The numbers of inner parcels that the network tells apart."""
MOST_SQUARES = 600
"""Of a map a side: what is longer than 1.2 m has larger squares, so that no frame takes long."""
PLANES = 6
"""Of its input: see `planes`."""
SCALARS = 8
"""What it is told besides: see `carton.described`."""
CELL = 8
"""Squares a side of a cell of its heat."""
STEP = 16
"""Inputs are multiples of so many squares."""
MARGIN = 8
"""Squares of nothing around a map, at least."""
MOST_AREAL = 60.0
AROUND = 9
"""Squares a side of a neighbourhood."""
SOME = 0.3
"""g/cm2 below which Z is not believed."""


FALL = 1.0
"""By how much less the neighbours of the hottest cell may be hot to be one place with it."""


class Reading(NamedTuple):
    """`parcels`, (len(COUNTS),): how likely each count is, 1 in all. `hidden`: log-odds that something lies
    among the goods that does not belong to them; `heat`, (views, rows, columns): log-odds of each cell that
    it does, cells of `CELL` squares of a `stacked` map."""

    parcels: Values
    hidden: float
    heat: npt.NDArray[np.float32]


Read = Callable[[Sequence[Map], Values], Reading]
"""Reads the maps of a carton's views, at least one, with what is `described` of it. Raises
DetectorFaultError."""


def planes(view: Map) -> Inputs:
    """(PLANES, height, width) of a map: density against the view's mean, against its neighbourhood, and by
    itself, Z, metal, and where the carton is."""
    mass = np.clip(view[0], 0, MOST_AREAL)
    mean = max(float(mass.mean()), 0.05)
    blur = cv2.blur(mass, (AROUND, AROUND), borderType=cv2.BORDER_REPLICATE)
    believed = np.minimum(mass / SOME, 1)
    made = [
        np.log(mass / mean + 0.1),
        3 * (mass - blur) / (blur + 0.3 * mean),
        np.log(mass + 0.05) / 2,
        np.clip((view[1] - 8) / 4, -1, 5) * believed,
        view[2],
        np.ones_like(mass),
    ]
    return np.stack(made).astype(np.float32)


def hottest(heat: npt.NDArray[np.float32]) -> tuple[int, tuple[int, int, int, int]]:
    """The view with the hottest cell, and the box around its place, x0, y0, x1, y1 in squares of that view's
    map; it may reach beyond it."""
    view, row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    hot = (heat[view] >= heat[view, row, column] - FALL).astype(np.uint8)
    _, places, stats, _ = cv2.connectedComponentsWithStats(hot)
    x, y, width, height = (int(value) for value in stats[places[row, column]][:4])
    low, high = (x, y), (x + width, y + height)
    return int(view), tuple(CELL * end - MARGIN for end in (*low, *high))  # type: ignore[return-value]


def stacked(views: Sequence[Map]) -> Inputs:
    """(views, PLANES, height, width) of all maps: each in the upper left, `MARGIN` from the edge, 0 around
    it."""
    height = max(view.shape[1] for view in views) + 2 * MARGIN
    width = max(view.shape[2] for view in views) + 2 * MARGIN
    made = np.zeros((len(views), PLANES, -(-height // STEP) * STEP, -(-width // STEP) * STEP), np.float32)
    for whole, view in zip(made, views, strict=True):
        rows, columns = view.shape[1:]
        whole[:, MARGIN : MARGIN + rows, MARGIN : MARGIN + columns] = planes(view)
    return made

"""Whether something flat lies along one whole side of a carton, as in a double wall or a false bottom. Pure.

Where a view looks along that side, it is a straight band: of one density as far as the side goes, and with a
straight inner border. Where every view looks through it (a bottom, seen from above) it is a floor that no
part of the carton is lighter than. A carton that stands askew on the belt is set straight first.

What honestly fills one whole side as evenly (printed matter of just the size of the wall) looks the same.
Limits were chosen on simulated cartons (tools/count_walls.py, docs/DETECTION.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.xray.carton_map import Map
from nii_edge.xray.geometry import Sight

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

LEADING, TRAILING, FLAT = "leading side", "trailing side", "bottom or lid"
DEEPEST = 44
"""Squares (88 mm) from the carton's edge inwards that are looked at."""
THICKEST = 29
"""Squares (58 mm): 50 mm and the carton's wall."""
SOME = 0.04
"""g/cm3 along a ray from which there is a carton: a quarter of corrugated board."""
SHORTEST_MM = 40.0
"""Of a ray in the carton: what runs through less of it divides by an edge that is known to some mm only."""
LONG = 0.4
"""Of the longest ray: rows with less see a corner."""
CORNER_MM = 10.0
"""Of either end of a side: the walls that it meets there."""
UNEVEN = 0.1
"""Share of a side that may be lighter, or without the border: gaps between packets."""
LEAST_G_CM2 = 0.6
"""Of the layer as it would lie flat, g/cm2, the carton's own wall included: bottom and lid together weigh
0.3, a hard board of 6 mm 0.55."""
LEAST_BAND = 0.4
"""Of evenness times sharpness."""
LIGHTER = 0.75
"""Of a band's density, the most that what lies behind it may have: rows of goods are all alike."""
INNER = 0.85
"""Of a carton's length and width: its middle, in which a floor is looked for. In a fan a lid is smaller."""
FLOOR = 0.03
"""Share of the middle that may be lighter than its floor: tape, gaps between packets."""
GAP, CLOSED = 0.005, 0.65
"""Share of it that may be lighter than this share of its floor: between packs of goods much more is."""
FLOORS_G_CM2 = (1.1, 4.5)
"""Of a floor, at least and at most: packs of goods in several layers reach 1, 50 mm of pressed powder 4.5."""
ALIKE = 1.2
"""By which factor, and 0.03 g/cm2, what is nothing but floor may be heavier than its lightest part."""
LEAST_FLOOR = 0.15
"""Share of the middle that shows nothing but the floor."""
LOPSIDED = 0.6
"""Of a band's weight, the most that as much of the opposite side may have: goods with two heavy ends are no
double wall, nor are rows of them."""
AGREES = 0.5
"""Share of the weight that another view must show, too, nearly everywhere along the side."""
ASKEW_MM = 100.0
"""By which rays are spread along a side from which nothing of it is told: they see it flat, more or less."""
CLOSE = 2.5
"""Squares by which lines may begin off the edge of the side that they belong to."""
WHOLE = 0.6
"""Of a view's lines that a side takes, at least: one that stands as much askew as may be takes 0.8."""
LEAST_SPAN_MM = 60.0
"""Across the belt, that a view must see for the carton to be set straight by it."""
MOST_TURN = 0.2
"""Tangent of the angle that a carton stands askew."""


class Wall(NamedTuple):
    """What lies along one side of a carton. `face`: the side; `view`: which map shows it, and `place` there,
    x0, y0, x1, y1 in squares. `depth`: mm, of a floor 0, which nobody sees; `density`: g/cm3 along the rays;
    `weight`: g/cm2 as it lies flat, the carton's wall included. `even`: 0-1, its lightest parts over its
    usual ones; `share`: of the side or the middle, 0-1; `sharp`: 0-1, how much of its density ends at the
    border; `agrees`: the weight that another view shows over this one's, NaN where no other could. `quality`:
    over 1 is more like a double wall than simulated honest cartons are."""

    face: str
    view: int
    place: tuple[int, int, int, int]
    depth: float
    density: float
    weight: float
    even: float
    share: float
    sharp: float
    agrees: float
    quality: float


class _View(NamedTuple):
    """`density`, (rows, columns): g/cm3 along the rays; `on`: where there is a carton; `edges`: its first and
    last column, row by row, of the rows in `long`, which see no mere corner."""

    number: int
    areal: Floats
    density: Floats
    on: npt.NDArray[np.bool_]
    sight: Sight
    long: npt.NDArray[np.intp]
    edges: tuple[Values, Values]


class _Strip(NamedTuple):
    """One side, set straight. `density`, (DEEPEST, along), from the edge inwards; `starts`, (along,): the
    square that each begins at; `smear`: mm over which rays that run askew spread an edge; `end`: which side
    of the map it is: x0, x1, y0, y1; `of`: how many lines the view has; `lines`: the rows or columns of the
    map that are the side's."""

    view: _View
    face: str
    density: Floats
    starts: npt.NDArray[np.intp]
    smear: float
    end: int
    of: int
    lines: npt.NDArray[np.intp]


def find(maps: Sequence[Map], sights: Sequence[Sight]) -> Wall | None:
    """The most likely such layer of a carton; None if nothing is like one at all."""
    views = [
        seen
        for number, (view, sight) in enumerate(zip(maps, sights, strict=True))
        if (seen := _view(number, view, sight)) is not None
    ]
    turn = _turn(views)
    strips = [strip for view in views for strip in _strips(view, turn)]
    floors = {view.number: floor for view in views if (floor := _floor(view)) is not None}
    found = [wall for strip in strips if (wall := _band(strip, strips, floors)) is not None]
    found += [wall for wall in floors.values() if FLOORS_G_CM2[0] <= wall.weight <= FLOORS_G_CM2[1]]
    return max(found, key=lambda wall: wall.quality, default=None)


def _view(number: int, view: Map, sight: Sight) -> _View | None:
    long = np.flatnonzero((sight.path > LONG * sight.path.max()) & (sight.path > SHORTEST_MM))
    path = (np.maximum(sight.path, SHORTEST_MM) / 10).astype(np.float32)
    density = view[0] / path[:, None]
    whole = density > SOME
    on = whole[long]
    filled = on.any(axis=1)
    if filled.sum() < DEEPEST / 2:
        return None
    on, long = on[filled], long[filled]
    edges = on.argmax(axis=1), on.shape[1] - 1 - on[:, ::-1].argmax(axis=1)
    return _View(
        number, view[0], density, whole, sight, long, (edges[0].astype(float), edges[1].astype(float))
    )


def _turn(views: Sequence[_View]) -> float:
    """The tangent of the angle by which the carton stands askew: how far its leading and trailing edges run
    along the belt while rays go across, in the view whose rays do so most. 0 if no view tells."""
    best, widest = 0.0, LEAST_SPAN_MM
    for view in views:
        aside = view.sight.aside[view.long]
        wide = float(np.ptp(aside))
        if wide > widest:
            lines = [_slope(aside, edge * view.sight.square) for edge in view.edges]
            best, widest = max(lines, key=lambda line: line[1])[0], wide
    return float(np.clip(best, -MOST_TURN, MOST_TURN))


def _slope(x: Values, y: Values) -> tuple[float, float]:
    """That of the line along most points, and the share of them on it: near its corners another side of the
    carton is seen."""
    half = len(x) // 2
    apart = x[half:] - x[: len(x) - half]
    far = np.abs(apart) > np.ptp(x) / 5
    if far.sum() < 5:
        return 0.0, 0.0
    slope = _middle((y[half:] - y[: len(y) - half])[far] / apart[far])
    for within in (12.0, 6.0, 3.0):
        off = y - slope * x
        near = np.abs(off - _middle(off)) < within
        centred = x[near] - x[near].mean()
        spread = float(centred @ centred)
        if near.sum() < 5 or spread <= 0:
            break
        slope = float(centred @ y[near]) / spread
    return slope, float(near.mean())


def _strips(view: _View, turn: float) -> Iterator[_Strip]:
    """The sides that a view looks along, more or less."""
    sight = view.sight
    aside = sight.aside[view.long] * turn / sight.square
    aside -= _middle(aside)
    smear = _middle(np.abs(sight.lean[view.long]) * sight.path[view.long]) * abs(turn)
    last = view.density.shape[1] - 1
    for end, face in enumerate((LEADING, TRAILING)):
        edge, shift = (view.edges[0], aside) if end == 0 else (last - view.edges[1], -aside)
        yield _cut(view, face, edge, shift, smear, end, view.long)
    columns = np.flatnonzero(view.on.any(axis=0))
    upright = np.sqrt(np.clip(1 - sight.lean**2, 0, 1))
    for end, face in enumerate(sight.faces):
        row = -1 if end else 0
        sideways = face in {"left", "right"}
        smear = float(sight.path.max() * (abs(sight.lean[row]) if sideways else upright[row]))
        if smear > ASKEW_MM:
            continue
        on = view.on[:, columns]
        slope = turn * upright[row] * np.sign(sight.aside[-1] - sight.aside[0]) if sideways else 0.0
        shift = (columns - columns.mean()) * slope * (1 if end else -1)
        edge = (on[::-1] if end else on).argmax(axis=0).astype(float)
        yield _cut(view, face, edge, shift, smear, 2 + end, columns)


def _cut(
    view: _View, face: str, edge: Values, shift: Values, smear: float, end: int, lines: npt.NDArray[np.intp]
) -> _Strip:
    """The strip along one side, from corner to corner; its edge lies where three in ten of its lines begin
    before it."""
    straight = edge - shift
    start = _middle(straight, 0.3)
    side = np.flatnonzero(np.abs(straight - start) <= CLOSE)
    corners = slice(int(side[0]), int(side[-1]) + 1)
    lines, starts = lines[corners], np.round(start + shift[corners]).astype(np.intp)
    turned = view.density if end < 2 else view.density.T
    size = turned.shape[1]
    places = starts + np.arange(DEEPEST)[:, None]
    places = np.clip(places if end % 2 == 0 else size - 1 - places, 0, size - 1)
    return _Strip(view, face, turned[lines, places], starts, smear, end, len(edge), lines)


def _band(strip: _Strip, strips: Sequence[_Strip], floors: dict[int, Wall]) -> Wall | None:
    """The most likely band along a side; None if nothing there is heavy enough, or if another view does not
    show it."""
    square = strip.view.sight.square
    corner = round(CORNER_MM / square)
    lines = strip.density[:, corner : strip.density.shape[1] - corner]
    density = (lines[:, : lines.shape[1] // 2 * 2 : 2] + lines[:, 1::2]) / np.float32(2)
    across = density.shape[1]
    if across < max(WHOLE * strip.of / 2, 8):
        return None
    few, half = int(UNEVEN * across), across // 2
    profile = np.partition(density, half, axis=1)[:, half]
    sums = np.concatenate(([0.0], np.cumsum(profile)))
    depths = np.arange(2, THICKEST)
    weight = sums[depths + 1] * square / 10
    depths, weight = depths[weight >= LEAST_G_CM2], weight[weight >= LEAST_G_CM2]
    if not len(depths):
        return None
    whole = np.cumsum(density[:THICKEST], axis=0)
    core = np.maximum(depths - 2, 1)
    inside = (whole[core] - whole[0]) / core[:, None].astype(np.float32)
    beyond = (density[depths + 1] + density[depths + 2]) / np.float32(2)
    ordered = np.partition(inside, (few, half), axis=1)
    usual = np.maximum(ordered[:, half], 1e-3)
    even = np.minimum(ordered[:, few] / usual, 1)
    sharp = np.clip(np.partition(inside - beyond, few, axis=1)[:, few] / usual, 0, 1)
    ends = np.minimum(2 * depths + 2, DEEPEST)
    behind = (sums[ends] - sums[depths + 1]) / (ends - depths - 1)
    quality = np.where(behind <= LIGHTER * usual, even * sharp / LEAST_BAND, 0.0)
    best = int(quality.argmax())
    if quality[best] <= 0:
        return None
    depth, heavy = int(depths[best]), float(weight[best])
    agrees = _agreement(strip, strips, floors, depth * square, heavy)
    if agrees < AGREES or _opposite(strip, strips, depth) > LOPSIDED * heavy:
        return None
    share = float((inside[best] > 0.6 * usual[best]).mean())
    return Wall(
        strip.face, strip.view.number, _place(strip, depth), depth * square, float(usual[best]), heavy,
        float(even[best]), share, float(sharp[best]), agrees, float(quality[best]),
    )  # fmt: skip


def _agreement(
    strip: _Strip, strips: Sequence[_Strip], floors: dict[int, Wall], depth: float, weight: float
) -> float:
    """The weight that other views show there, at most, over this one's; NaN where none could."""
    shown = []
    for other in strips:
        if other.face == strip.face and other.view is not strip.view:
            deep = min(int((depth + other.smear) / other.view.sight.square) + 1, DEEPEST)
            lines = other.density[:deep].sum(axis=0) * other.view.sight.square / 10
            corner = min(round(CORNER_MM / other.view.sight.square), (len(lines) - 1) // 2)
            shown.append(_middle(lines[corner : len(lines) - corner], UNEVEN))
    if strip.face in {"bottom", "top"}:
        shown += [floor.weight for number, floor in floors.items() if number != strip.view.number]
    return max(shown) / weight if shown else float("nan")


def _opposite(strip: _Strip, strips: Sequence[_Strip], depth: int) -> float:
    """The weight of the other side of the same view, as deep; 0 if it is not seen."""
    for other in strips:
        if other.view is strip.view and other.end == strip.end ^ 1:
            return _middle(other.density[: depth + 1].sum(axis=0)) * strip.view.sight.square / 10
    return 0.0


def _place(strip: _Strip, depth: int) -> tuple[int, int, int, int]:
    """Where a band lies in its map."""
    starts, size = strip.starts, strip.view.density.shape[1 if strip.end < 2 else 0]
    near, far = int(starts.min()), int(starts.max()) + depth + 1
    across = (near, far) if strip.end % 2 == 0 else (size - far, size - near)
    along = int(strip.lines[0]), int(strip.lines[-1]) + 1
    (x0, x1), (y0, y1) = (across, along) if strip.end < 2 else (along, across)
    return x0, y0, x1, y1


def _floor(view: _View) -> Wall | None:
    """What nothing in the middle of a carton is lighter than, seen from above or below; else None."""
    upright = np.sqrt(np.clip(1 - view.sight.lean**2, 0, 1))
    if upright.mean() < 0.6:
        return None
    ends = [np.stack([edge, view.long], axis=1) for edge in view.edges]
    centre, (one, other), angle = cv2.minAreaRect(np.concatenate(ends).astype(np.float32))
    inner = cv2.boxPoints((centre, (INNER * one, INNER * other), angle))
    middle = np.zeros(view.areal.shape, np.uint8)
    cv2.fillConvexPoly(middle, np.round(inner).astype(np.int32), 1)
    flat = cv2.blur(view.areal * upright[:, None].astype(np.float32), (3, 3))[middle > 0]
    if len(flat) < 100:
        return None
    gaps, few = int(GAP * len(flat)), int(FLOOR * len(flat))
    ordered = np.partition(flat, (gaps, few))
    floor = max(float(ordered[few]), 1e-3)
    even = float(np.clip(ordered[gaps] / floor, 0, 1))
    share = float((flat < ALIKE * floor + 0.03).mean())
    low, high = np.clip(inner.min(axis=0), 0, None), inner.max(axis=0)
    place = int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1
    through = _middle(view.sight.path[view.long])
    return Wall(
        FLAT, view.number, place, 0.0, floor * 10 / max(through, 1.0), floor, even, share, 1.0, float("nan"),
        min(share / LEAST_FLOOR, even / CLOSED),
    )  # fmt: skip


def _middle(values: Values | Floats, share: float = 0.5) -> float:
    """The value below which a share of them lies."""
    place = min(int(share * len(values)), len(values) - 1)
    return float(np.partition(values, place)[place])

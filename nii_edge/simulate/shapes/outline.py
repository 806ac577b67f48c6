"""Flat outlines in mm, as shapely polygons: union, difference and buffer come with them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon

from nii_edge.simulate.shapes.transform import Floats

Outline: TypeAlias = "Polygon | MultiPolygon"
Pairs = npt.ArrayLike


def polygon(points: Pairs) -> Outline:
    """A straight-edged outline; one that crosses itself is mended."""
    made = Polygon(points)
    return made if made.is_valid else made.buffer(0)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Outline:
    """From corner to corner, in either order."""
    return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def circle(x: float, y: float, radius: float, quarter: int = 6) -> Outline:
    """A disc of 4 x `quarter` corners."""
    return Point(x, y).buffer(radius, quad_segs=quarter)


def regular(x: float, y: float, radius: float, sides: int, degrees: float = 0.0) -> Outline:
    """A regular polygon by its outer radius, its first corner at `degrees`."""
    angle = np.radians(degrees) + np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return Polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1))


def sector(x: float, y: float, inner: float, outer: float, start: float, end: float) -> Outline:
    """A piece of an annulus between two angles in degrees."""
    angle = np.radians(np.linspace(start, end, max(int(abs(end - start) / 10), 3)))
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return polygon(np.concatenate([ring * outer, ring[::-1] * inner]) + np.array([x, y]))


def spline(points: Pairs, per_span: int = 5, closed: bool = True) -> Floats:
    """A smooth curve through the points (Catmull-Rom): (n, 2)."""
    p = np.asarray(points, np.float64)
    if closed:
        before, after, last = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)
    else:
        padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
        before, p, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, per_span, endpoint=False)[None, :, None]
    a, b, c, d = before[:, None], p[:, None], after[:, None], last[:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat: Floats = curve.reshape(-1, p.shape[1])
    return flat if closed else np.concatenate([flat, after[-1:]])


def rounded(outline: Outline, radius: float) -> Outline:
    """Outer corners rounded by `radius`, where there is room for it."""
    made = outline.buffer(-radius, join_style="mitre").buffer(radius, quad_segs=4)
    return outline if made.is_empty else made


def stroke(points: Pairs, width: float, quarter: int = 4) -> Outline:
    """A band of this width along a line, with round ends."""
    return LineString(points).buffer(width / 2, quad_segs=quarter)


def capsule_outline(x0: float, y0: float, x1: float, y1: float, width: float) -> Outline:
    """A slot or a bar with round ends between two points."""
    return stroke([(x0, y0), (x1, y1)], width)


def chain(*outlines: Outline) -> Outline:
    """All of them as one outline."""
    return shapely.union_all(list(outlines))

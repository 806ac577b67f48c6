"""What X-rays say of a whole carton: its box, mass, materials, and how its contents are spread. Pure.

Two views settle the box (`geometry.fit_box`), and with it how much every ray is magnified; then mass is a
sum, and texture is measured in millimetres, so that scanners can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.config import Profile, ViewGeometry
from nii_edge.errors import FrameError
from nii_edge.records import Box, Frame, Reason
from nii_edge.xray.carton_map import COUNTS, MAP_MM, MOST_SQUARES, Map, Read, hottest
from nii_edge.xray.geometry import Box as Outline
from nii_edge.xray.geometry import Rays, Sight, chords, fit_box, rays_of, sight_of
from nii_edge.xray.material import Material, MaterialClass, MaterialTable, log_of, look_up
from nii_edge.xray.optics import Optics, planes_of
from nii_edge.xray.texture import TEXTURE, texture
from nii_edge.xray.transmission import Planes
from nii_edge.xray.walls import Wall, find

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

AIR_LINES = 8
"""Lines at either end of a frame that are air, against which every detector pixel is set to 1 again."""
AIR_RANGE = 0.25
"""A pixel that differs more from its calibration there sees no air."""
BELT_X = 0.06
"""Opacity of a line's densest pixels, on average, from which it belongs to the carton: two walls of it."""
BELT_PIXELS = 60
ACROSS_X = 0.015
"""Mean opacity of a detector pixel over all lines of the carton from which it belongs to it."""
HOLE = 6
"""Lines or pixels of air that do not end a carton."""
LEAST_PIXELS = 12
GRID_MM = 2.5
"""A pixel of the map that texture is measured on."""
GOOD_FIT_MM = 8.0
"""Edges off the box by more than this belong to no one box on the belt."""
MASS_ERROR, METAL_ERROR = 0.05, 0.15
"""How far a mass may be off as a share, one standard deviation: without metal, and more for each share of
it."""


class Measures(NamedTuple):
    """One carton. Lengths in mm, `litres` of its box; `grams` is a lower bound if `impenetrable_cm2` is above
    0; `grams_error`: one standard deviation of it as a share. `organic`, `inorganic`, `metal`: shares of the
    mass that is not too thin to tell. `texture`, (views, `len(TEXTURE)`): see `texture.TEXTURE`. `spread`:
    how far the views' masses are apart, as a share. What a network reads from the maps of all views:
    `parcels`, (len(carton_map.COUNTS),), how likely each number of inner parcels is; `hidden`, the log-odds
    that something lies among the goods that does not belong to them, and `hidden_at`, where that is most
    likely. `wall`: what lies along one whole side, most like a double wall, and `wall_at`, where."""

    length: float
    width: float
    height: float
    litres: float
    fit_mm: float
    grams: float
    grams_error: float
    spread: float
    impenetrable_cm2: float
    organic: float
    inorganic: float
    metal: float
    texture: Values
    parcels: Values
    hidden: float
    hidden_at: Box | None
    wall: Wall | None = None
    wall_at: Box | None = None

    @property
    def finite(self) -> bool:
        """True if no measure is broken: missing evidence weighs nothing, and none may pass for that."""
        single = [value for value in self if isinstance(value, float)]
        single += [] if self.wall is None else [self.wall.quality, self.wall.depth, self.wall.weight]
        several = (self.texture, self.parcels)
        return bool(np.isfinite(single).all() and all(np.isfinite(values).all() for values in several))

    @property
    def density(self) -> float:
        """Kilograms a litre of the box."""
        return self.grams / 1000 / max(self.litres, 1e-6)


class _Seen(NamedTuple):
    """The view `number`: its material and the (first, last) lines and detector pixels of the carton, rows
    across."""

    number: int
    material: Material
    rays: Rays
    lines: tuple[int, int]
    across: tuple[int, int]


def missing(profile: Profile, optics: Sequence[Optics], frames: Sequence[Frame]) -> str | None:
    """What is lacking for measuring a carton, in words; None if nothing is."""
    if profile.geometry is None or profile.pixel_pitch_mm is None:
        return "the scanner's profile has no `geometry` and `pixel_pitch_mm`: no true size, no mass"
    for frame in frames:
        if frame.channels != ("low", "high"):
            return f"view {frame.view} is {'+'.join(frame.channels)}; mass and material need low+high counts"
        if frame.view >= len(optics) or optics[frame.view].materials is None:
            return f"view {frame.view} has no wedge calibration: no mass and no material"
    return None


def measure(
    profile: Profile, optics: Sequence[Optics], frames: Sequence[Frame], read: Read
) -> Measures | None:
    """Everything measured on one carton, and what `read` makes of its maps; None if the frames show nothing.

    Raises:
        FrameError: PROFILE_MISMATCH if something is `missing` or a frame does not fit its calibration.
        DetectorFaultError: the network cannot run.
    """
    located = locate(profile, optics, frames)
    if located is None:
        return None
    measures = located.measures
    if not measures.finite:  # whoever asks has to look at that; the network would make something of it
        return measures
    reading = read(located.maps, described(measures))
    place = _place(located, *hottest(reading.heat), profile.belt_axis)
    wall = find(located.maps, located.sights)
    return measures._replace(
        parcels=reading.parcels,
        hidden=reading.hidden,
        hidden_at=place,
        wall=wall,
        wall_at=None if wall is None else _place(located, wall.view, wall.place, profile.belt_axis),
    )


def _place(located: Located, number: int, box: tuple[int, int, int, int], belt_axis: str) -> Box | None:
    """A box of a map in pixels of its frame; None if it lies beyond the carton."""
    rows, columns = located.maps[number].shape[1:]
    spans = []
    for low, high, size, (first, last) in (
        (box[0], box[2], columns, located.lines[number]), (box[1], box[3], rows, located.across[number])
    ):  # fmt: skip
        scale = (last - first + 1) / size
        ends = first + max(low, 0) * scale, first + min(high, size) * scale
        if ends[1] <= ends[0]:
            return None
        spans.append(ends)
    (x0, x1), (y0, y1) = spans if belt_axis == "columns" else spans[::-1]
    return Box(view=located.views[number], x0=x0, y0=y0, x1=x1, y1=y1)


def described(measures: Measures) -> Values:
    """What the network is told besides, (carton_map.SCALARS,): size, mass and materials."""
    sides = measures.length, measures.width, measures.height
    return described_as(sides, measures.litres, measures.grams, measures.metal, measures.inorganic)


def described_as(
    sides: tuple[float, float, float], litres: float, grams: float, metal: float, inorganic: float
) -> Values:
    """`described` in plain numbers: sides in mm, shares of metal and of other inorganic matter by mass."""
    density = grams / 1000 / max(litres, 1e-6)
    bounded = [*(max(side, 1.0) for side in sides), max(litres, 0.1), max(grams, 1.0), max(density, 1e-3)]
    return np.array([*(np.log(bounded) - (6, 6, 6, 3, 9, -1.5)), metal * 2, inorganic * 2])


class Located(NamedTuple):
    """A carton that was found in its frames: what is measured, before anybody read the `maps` of its views,
    which `views` these are, which `lines` and detector pixels (`across`) of the frames they show, first and
    last, and how the rays of the maps' rows run through the box (`sights`)."""

    measures: Measures
    maps: tuple[Map, ...]
    views: tuple[int, ...]
    lines: tuple[tuple[int, int], ...]
    across: tuple[tuple[int, int], ...]
    sights: tuple[Sight, ...]


def locate(profile: Profile, optics: Sequence[Optics], frames: Sequence[Frame]) -> Located | None:
    """Where the carton is, its maps and measures; None if the frames show nothing. Raises as `measure`."""
    lack = missing(profile, optics, frames)
    if lack is not None or profile.geometry is None or profile.pixel_pitch_mm is None:
        raise FrameError(Reason.PROFILE_MISMATCH, lack or "no geometry")
    belt_pitch = profile.pixel_pitch_mm[0 if profile.belt_axis == "columns" else 1]
    seen = []
    for frame in frames:
        view = optics[frame.view]
        planes = planes_of(frame, view)
        if profile.belt_axis == "rows":
            planes = np.ascontiguousarray(planes.swapaxes(1, 2))
        found = None if view.materials is None else _see(planes, view.materials, profile.geometry, frame.view)
        if found is not None:
            seen.append(found)
    if not seen:
        return None
    box = fit_box([(each.rays, *each.across) for each in seen])
    return _measured(seen, box, belt_pitch)


def _see(planes: Planes, table: MaterialTable, geometry: Sequence[ViewGeometry], number: int) -> _Seen | None:
    """Where in a view the carton is, and of what; None if it is not there."""
    # pixel by pixel, at both ends: what the front end left, for sums over a whole carton
    ends = np.concatenate([planes[:, :, :AIR_LINES], planes[:, :, -AIR_LINES:]], axis=2).mean(axis=2)
    ends[np.abs(ends - 1) > AIR_RANGE] = 1
    planes = planes / ends[:, :, None]
    opacity = -log_of(planes[-1])
    dense = np.sort(opacity, axis=0)[-BELT_PIXELS:].mean(axis=0)
    lines = longest(dense, BELT_X)
    if lines is None:
        return None
    across = longest(opacity[:, lines[0] : lines[1] + 1].mean(axis=1), ACROSS_X)
    if across is None:
        return None
    rays = rays_of(geometry[number], planes.shape[1])
    return _Seen(number, look_up(planes, table), rays, lines, across)


def longest(profile: Floats, threshold: float) -> tuple[int, int] | None:
    """First and last place of the run above `threshold` with the most in it; None if none is `LEAST_PIXELS`
    long."""
    on = np.flatnonzero(profile > threshold)
    if not on.size:
        return None
    cuts = np.flatnonzero(np.diff(on) > HOLE)
    starts, ends = on[np.r_[0, cuts + 1]], on[np.r_[cuts, on.size - 1]]
    sums = [float(profile[a : b + 1].sum()) for a, b in zip(starts, ends, strict=True)]
    best = int(np.argmax(sums))
    first, last = int(starts[best]), int(ends[best])
    return (first, last) if last - first >= LEAST_PIXELS else None


def _measured(seen: Sequence[_Seen], box: Outline, belt_pitch: float) -> Located:
    grams, blind, shares, textures, maps, sights = [], [], [], [], [], []
    for view in seen:
        a, b = view.lines
        _, distance = chords(view.rays, box)
        millimetres = view.rays.width * (distance if view.rays.fan else 1.0)
        area = (millimetres * belt_pitch / 100).astype(np.float32)[:, None]  # cm² of a pixel at the box
        density = view.material.areal_density[:, a : b + 1]
        classes = view.material.classes[:, a : b + 1]
        mass = np.maximum(density, 0) * area
        grams.append(float((density * area).sum(dtype=np.float64)))
        blind.append(float(((classes == MaterialClass.IMPENETRABLE) * area).sum()))
        by_class = np.bincount(classes.ravel(), mass.ravel(), 6)
        shares.append(by_class[1:4] / max(float(by_class[1:4].sum()), 1e-9))
        first, last = view.across
        pitch = float(np.median(millimetres[first : last + 1])) or 1.0
        z = view.material.z[first : last + 1, a : b + 1]
        cut = [
            np.ascontiguousarray(plane, np.float32)
            for plane in (
                density[first : last + 1], z, classes[first : last + 1] >= MaterialClass.METAL,
            )
        ]  # fmt: skip
        extent = (b - a + 1) * belt_pitch, (last - first + 1) * pitch
        small = _resized(cut, extent, GRID_MM)
        square = max(MAP_MM, max(extent) / MOST_SQUARES)
        maps.append(_resized(cut, extent, square))
        sights.append(sight_of(view.rays, box, (first, last), maps[-1].shape[1], square))
        textures.append(texture(*small))
    organic, inorganic, metal_share = np.mean(shares, axis=0)
    length = float(np.mean([view.lines[1] - view.lines[0] + 1 for view in seen])) * belt_pitch
    width = box.right - box.left
    mean = float(np.mean(grams))
    measures = Measures(
        length=length,
        width=width,
        height=box.height,
        litres=length * width * box.height / 1e6,
        fit_mm=box.residual,
        grams=mean,
        grams_error=MASS_ERROR + METAL_ERROR * float(metal_share),
        spread=float(np.ptp(grams)) / max(mean, 1e-6),
        impenetrable_cm2=float(np.max(blind)),
        organic=float(organic),
        inorganic=float(inorganic),
        metal=float(metal_share),
        texture=np.stack(textures),
        parcels=np.zeros(len(COUNTS)),
        hidden=0.0,
        hidden_at=None,
    )
    return Located(
        measures,
        tuple(maps),
        tuple(view.number for view in seen),
        tuple(view.lines for view in seen),
        tuple(view.across for view in seen),
        tuple(sights),
    )


def _resized(planes: Sequence[Floats], extent: tuple[float, float], grid: float) -> Map:
    """Planes (3, height, width) in squares of `grid`; `extent`: mm along and across."""
    size = (max(8, round(extent[0] / grid)), max(8, round(extent[1] / grid)))
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])


__all__ = ["TEXTURE", "Located", "Measures", "described", "locate", "measure", "missing"]

"""What makers' displays do to a scan before a person, or a model that learns from colour, sees it. Pure.

A calibrated Z never drives colour here. As on real displays, hue also depends on thickness (thin steel is
greenish, thick or overlapped steel turns teal or green, thick organics olive), dark rims surround what is
dense, light areas are speckled, and the densest parts are a plateau of one colour: black with some makers,
pure blue with others.

A pixel's colour is ``background * ink ** depth``: `depth` rises with -ln T_high to about 1, `ink` is the
colour a material reaches, found between five stations from organic over olive, green and teal to blue. All
numbers were read off pictures of real displays; every picture draws its own around them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.families import FAMILIES, HELD_OUT, Colour, Family, Span
from nii_edge.simulate.noise import normal
from nii_edge.simulate.overlays import draw_overlays

Floats = npt.NDArray[np.float32]
Rgb = npt.NDArray[np.uint8]

STATIONS_Z = (8.0, 10.5, 13.0, 17.0, 25.0)
"""Effective Z of organic, olive, green, teal and blue, before a display's own shift of hue."""
RESAMPLE: Span = (0.8, 1.25)
"""Pixels of the picture per pixel of the scan, along each axis by itself."""
JPEG: Span = (50, 95)
"""Quality of the stored picture."""
HUE_JITTER = 0.06
"""Standard deviation of an ink's components from picture to picture, as a share of them."""
X_MAX = 8.0
"""The -ln T_high up to which colours differ."""
TABLE = (256, 64)
"""Rows and columns of a display's table of colours."""
PLATEAU_RISE = 6.0
"""The plateau sets in over the inverse of this, in -ln T_high."""

TRAINING = tuple(name for name in FAMILIES if name not in HELD_OUT)
"""Families that models may learn from."""


class Display(NamedTuple):
    """One maker's display, as set up for one picture.

    `background` and `inks` (organic, olive, green, teal, blue) are red, green, blue in 0-1, inks as a share
    of the background. Lengths called x are in units of -ln T_high, lengths called px in pixels of the scan.

    `depth_x`: x at which a colour has come 1 - 1/e of the way to its ink. `dark_x`, `dark_rate`: from this x
    on brightness falls by this rate per x. `olive`: stations by which thick organics move towards green.
    `thin`, `thick`: stations by which thin and thick metal move towards green, thick from `thick_x` on.
    `plateau_x`, `plateau`: from this x on there is one colour. `edge`, `edge_px`: gain and width of the edge
    enhancement, `halo` the share of it that brightens the outer side. `speckle`, `speckle_px`: hue noise in
    light areas, in stations, and its grain. `grain`: brightness noise. `streaks`: brightness noise of whole
    lines along x. `hue_px`: how much more blurred hue is than brightness, dense matter spreading its own.
    `resample`: (down, across). `cursor`, `frames`: whether a cursor is drawn in, and how many rectangles.
    """

    family: str
    background: Colour
    inks: tuple[Colour, ...]
    depth_x: float
    dark_x: float
    dark_rate: float
    olive: float
    thin: float
    thick: float
    thick_x: float
    plateau_x: float
    plateau: Colour
    edge: float
    edge_px: float
    halo: float
    speckle: float
    speckle_px: float
    grain: float
    streaks: float
    hue_px: float
    gamma: float
    resample: tuple[float, float]
    jpeg: int
    cursor: bool
    frames: int


def draw_display(rng: np.random.Generator, family: str) -> Display:
    """A display of this family (a key of `families.FAMILIES`; those in `HELD_OUT` are for tests only)."""
    ranges: Family = FAMILIES[family]

    def one(span: Span) -> float:
        return float(rng.uniform(*span))

    def colour(low_high: tuple[Colour, Colour]) -> Colour:
        share = rng.uniform(0, 1)
        return tuple(float(a + (b - a) * share) for a, b in zip(*low_high, strict=True))  # type: ignore[return-value]

    inks = np.array(ranges.inks) * rng.normal(1, HUE_JITTER, (len(ranges.inks), 3))
    return Display(
        family=family,
        background=colour(ranges.background),
        inks=tuple(tuple(map(float, ink)) for ink in np.clip(inks, 0.005, 1)),  # type: ignore[misc]
        depth_x=one(ranges.depth_x),
        dark_x=one(ranges.dark_x),
        dark_rate=one(ranges.dark_rate),
        olive=one(ranges.olive),
        thin=one(ranges.thin),
        thick=one(ranges.thick),
        thick_x=one(ranges.thick_x),
        plateau_x=one(ranges.plateau_x),
        plateau=colour(ranges.plateau),
        edge=one(ranges.edge),
        edge_px=one(ranges.edge_px),
        halo=one(ranges.halo),
        speckle=one(ranges.speckle),
        speckle_px=one((0.5, 1.4)),
        grain=one((0.0, 0.025)),
        streaks=one((0.0, 0.012)),
        hue_px=one(ranges.hue_px),
        gamma=one((0.85, 1.2)),
        resample=(one(RESAMPLE), one(RESAMPLE)),
        jpeg=round(one(JPEG)),
        cursor=bool(rng.random() < 0.05),
        frames=int(rng.choice([0, 1, 2], p=[0.94, 0.05, 0.01])),
    )


def render(planes: Floats, display: Display, rng: np.random.Generator) -> Rgb:
    """The picture, (height, width, 3) red green blue, of `planes` (2, height, width): -ln T_high, negative
    where noise is brighter than air, and effective Z, of any value where there is next to nothing.

    Its size is that of the planes times `display.resample`: scale boxes and masks by the ratio of the sizes.
    """
    data, _ = render_jpeg(planes, display, rng)
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), np.uint8)


def render_jpeg(planes: Floats, display: Display, rng: np.random.Generator) -> tuple[bytes, tuple[int, int]]:
    """The same picture as the JPEG that the display stores, and its (height, width)."""
    x = np.maximum(planes[0], np.float32(0))
    station = _stations(x, planes[1], display, rng)
    rgb = _painted(x, station, _shading(x, display, rng), display)
    size = tuple(max(1, round(side * scale)) for side, scale in zip(x.shape, display.resample, strict=True))
    shown = cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
    picture = cv2.convertScaleAbs(shown, alpha=255)
    draw_overlays(picture, rng, display.cursor, display.frames)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, display.jpeg]
    )
    return data.tobytes(), (int(picture.shape[0]), int(picture.shape[1]))


def _stations(x: Floats, z: Floats, display: Display, rng: np.random.Generator) -> Floats:
    """Where between organic (0) and blue (4) each pixel's hue lies."""
    station = np.empty_like(x)
    _hues(station, x, np.asarray(z, np.float32), display.thick_x, display.olive, display.thin, display.thick)
    noise = cv2.GaussianBlur(
        normal((x.shape[0], x.shape[1]), rng), (0, 0), display.speckle_px, borderType=cv2.BORDER_REFLECT
    )
    spread = float(cv2.meanStdDev(noise)[1][0, 0])
    weighted = np.empty((*x.shape, 2), np.float32)
    _speckle(weighted, station, x, noise, display.speckle / max(spread, 1e-6))
    blurred = cv2.GaussianBlur(weighted, (0, 0), display.hue_px)
    smooth: Floats = blurred[:, :, 0] / blurred[:, :, 1]
    return smooth


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hues(
    station: Floats, x: Floats, z: Floats, thick_x: float, olive: float, thin: float, thick: float
) -> None:
    """Where each pixel's hue lies before any noise: by its Z, moved by how thick it is."""
    last = len(STATIONS_Z) - 1
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            here, deep = z[row, column], x[row, column]
            place = 0.0
            if here >= STATIONS_Z[last]:
                place = float(last)
            elif here > STATIONS_Z[0]:
                k = 0
                while here >= STATIONS_Z[k + 1]:
                    k += 1
                place = k + (here - STATIONS_Z[k]) / (STATIONS_Z[k + 1] - STATIONS_Z[k])
            metal = min(max(place - 2, 0.0), 1.0)
            if place < 1:
                place += (1 - place) * olive * min(max((deep - 1.2) / 2, 0.0), 1.0)
            if metal > 0:
                thickness = min(max((deep - thick_x) / 2, 0.0), 1.0)
                place -= metal * (thin * math.exp(-deep / 0.35) + thick * thickness)
            station[row, column] = place


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _speckle(weighted: Floats, station: Floats, x: Floats, noise: Floats, amount: float) -> None:
    """Hue with its noise, strong where there is little matter, times its weight; and the weight."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            deep = x[row, column]
            weight = deep * deep + np.float32(0.01)
            hue = station[row, column] + np.float32(amount) * noise[row, column] / (1 + 4 * deep)
            weighted[row, column, 0], weighted[row, column, 1] = hue * weight, weight


def _painted(x: Floats, station: Floats, shade: Floats, display: Display) -> Floats:
    """``background * ink ** depth`` and the plateau, by a table, times `shade`."""
    rgb = np.empty((*x.shape, 3), np.float32)
    _paint(rgb, _colours(display), x, station, shade)
    return rgb


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint(rgb: Floats, table: Floats, x: Floats, station: Floats, shade: Floats) -> None:
    """Colours between those of the table, whose ends go on for ever, times the pixel's shade, not below 0."""
    rows, columns = np.float32(table.shape[0] - 1), np.float32(table.shape[1] - 1)
    per_x, per_station = rows / np.float32(X_MAX), columns / np.float32(len(STATIONS_Z) - 1)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            down = min(max(x[row, column] * per_x, np.float32(0)), rows)
            along = min(max(station[row, column] * per_station, np.float32(0)), columns)
            above = max(min(int(down), table.shape[0] - 2), 0)  # also of what is no number
            left = max(min(int(along), table.shape[1] - 2), 0)
            down -= np.float32(above)
            along -= np.float32(left)
            bright = max(shade[row, column], np.float32(0))
            for colour in range(3):
                top, low = table[above, left, colour], table[above + 1, left, colour]
                top += (table[above, left + 1, colour] - top) * along
                low += (table[above + 1, left + 1, colour] - low) * along
                rgb[row, column, colour] = (top + (low - top) * down) * bright


def _colours(display: Display) -> Floats:
    """The colour for every x (rows, 0 to `X_MAX`) and station (columns)."""
    x = np.linspace(0, X_MAX, TABLE[0])[:, None]
    stops = np.arange(len(display.inks))
    at = np.linspace(0, stops[-1], TABLE[1])
    inks = np.log(np.array(display.inks))
    ink = np.stack([np.interp(at, stops, inks[:, i]) for i in range(3)], axis=1)
    depth = 1 - np.exp(-x / display.depth_x)
    rgb = np.array(display.background) * np.exp(depth[:, :, None] * ink[None])
    rgb *= np.exp(-display.dark_rate * np.maximum(x - display.dark_x, 0))[:, :, None]
    inside = np.clip((x - display.plateau_x) * PLATEAU_RISE + 0.5, 0, 1)[:, :, None]
    colours = rgb * (1 - inside) + np.array(display.plateau) * inside
    return np.asarray(colours**display.gamma, np.float32)


def _shading(x: Floats, display: Display, rng: np.random.Generator) -> Floats:
    """Edge enhancement, dark inside and a halo outside, and noise of brightness."""
    detail = x - cv2.GaussianBlur(x, (0, 0), display.edge_px, borderType=cv2.BORDER_REFLECT)
    detail *= np.float32(-display.edge)
    np.clip(detail, -3, display.halo, out=detail)
    shade: Floats = cv2.exp(detail, dst=detail)
    grain = normal((x.shape[0], x.shape[1]), rng)
    streaks = rng.standard_normal(x.shape[0], np.float32) * np.float32(display.streaks)
    _add_grain(shade, x, grain, np.float32(display.grain), streaks)
    return shade


@numba.njit(cache=True, nogil=True)
def _add_grain(shade: Floats, x: Floats, grain: Floats, amount: float, streaks: Floats) -> None:
    """Noise of each pixel, times `amount`, and of each line, where there is matter."""
    for row in range(shade.shape[0]):
        for column in range(shade.shape[1]):
            noise = grain[row, column] * amount + streaks[row]
            shade[row, column] += noise if x[row, column] > np.float32(0.02) else np.float32(0)

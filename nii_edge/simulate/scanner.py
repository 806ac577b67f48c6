"""Virtual scanners: what differs between makes, and between one unit on one day and the same the next.

A `VirtualScanner` is what a data sheet and a serial number fix. `Drift` is how far the unit has moved
since it was calibrated; calibration frames are taken in the `steady` state.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import SceneError
from nii_edge.simulate.detector import Layers, response
from nii_edge.simulate.geometry import View, pixel_count, rays_of
from nii_edge.simulate.project import pixel_of
from nii_edge.simulate.spectrum import Tube

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Optics(NamedTuple):
    """What smears a picture before it is counted.

    `blur` standard deviations (along the belt in lines, along the detector in pixels) from focal spot and
    aperture; `crosstalk` the share of a pixel's light that reaches each neighbour; `lag` the share of a
    line's signal that is left over into the next; `scatter` scattered over primary signal behind a wide
    object, per unit of -ln T, with `scatter_reach` its standard deviation in mm along the detector;
    `registration` (lines, pixels) by which the high picture lies beside the low one.
    """

    blur: tuple[float, float] = (0.5, 0.6)
    crosstalk: float = 0.02
    lag: float = 0.01
    scatter: float = 0.02
    scatter_reach: float = 80.0
    registration: tuple[float, float] = (0.0, 0.0)


class Electronics(NamedTuple):
    """What counts the signal. All but the shares in counts of the 16-bit output.

    `full_scale` of the brightest pixel in air; `offset` of a dark pixel and its spread between pixels;
    `noise` rms; `gain_spread` between pixels, relative; `dead` and `hot` shares of the pixels.
    """

    full_scale: float = 50000.0
    offset: float = 1200.0
    offset_spread: float = 150.0
    noise: float = 8.0
    gain_spread: float = 0.08
    dead: float = 0.001
    hot: float = 0.001


class Stability(NamedTuple):
    """Standard deviations of what changes between calibration and scan, and within a scan.

    `kilovolts` of the tube; `filtration` extra mm of aluminium its ageing target amounts to (half-normal);
    `output` of the tube and `gain` of a detector card, relative; `offset` in counts; `ripple` of the
    output from line to line, `belt` of its speed, both relative.
    """

    kilovolts: float = 0.6
    filtration: float = 0.15
    output: float = 0.01
    gain: float = 0.004
    offset: float = 3.0
    ripple: float = 0.001
    belt: float = 0.01


class VirtualScanner(NamedTuple):
    """One scanner of one make. `tunnel` (width, height) in mm, standing on the belt and centred on it;
    `line_pitch` mm; `photons` per pixel and line on the way to the brightest pixel in air; `serial` seeds
    what differs between units of a make. A `held_out` scanner is for tests alone, never for training."""

    name: str
    tube: Tube
    layers: Layers
    views: tuple[View, ...]
    tunnel: tuple[float, float]
    line_pitch: float
    photons: float
    optics: Optics = Optics()
    electronics: Electronics = Electronics()
    stability: Stability = Stability()
    serial: int = 1
    held_out: bool = False


class Drift(NamedTuple):
    """How far a unit is from where it was calibrated: `kilovolts` more, `filtration` mm of aluminium more,
    `output` relative; per view `gains` (2, pixels) relative and `offsets` (2, pixels) in counts more."""

    kilovolts: float
    filtration: float
    output: float
    gains: tuple[Floats, ...]
    offsets: tuple[Floats, ...]


class Pixels(NamedTuple):
    """What every pixel of a view is like, arrays (2, pixels) for low and high. `flux` (pixels,): photons
    in air against the brightest pixel; `gain` in counts at full flux, 1 being air; `offset` in counts;
    `dead` report `stuck` whatever comes; `hot` ones lie `glow` counts too high and are noisy."""

    flux: Floats
    gain: Floats
    offset: Floats
    dead: Flags
    stuck: Floats
    hot: Flags
    glow: Floats


KV_STEP, FILTRATION_STEP = 0.5, 0.1
"""Drifts are rounded to these (kV, mm), so that a handful of spectra serves all scans."""
HOT_NOISE = 12.0
"""A hot pixel's electronic noise against a good one's."""


def steady(scanner: VirtualScanner) -> Drift:
    """No drift: the state in which a scanner is calibrated."""
    widths = [pixel_count(view) for view in scanner.views]
    return Drift(
        0.0,
        0.0,
        1.0,
        tuple(np.ones((2, width), np.float32) for width in widths),
        tuple(np.zeros((2, width), np.float32) for width in widths),
    )


def drift_of(scanner: VirtualScanner, rng: np.random.Generator) -> Drift:
    """A drift as large as this scanner's usually is."""
    moves = scanner.stability
    kilovolts = round(rng.normal(0, moves.kilovolts) / KV_STEP) * KV_STEP
    filtration = round(abs(rng.normal(0, moves.filtration)) / FILTRATION_STEP) * FILTRATION_STEP
    gains, offsets = [], []
    for view in scanner.views:
        width = pixel_count(view)
        card = np.arange(width) // view.card
        per_card = rng.normal(1, moves.gain, (2, int(card[-1]) + 1))
        gains.append((per_card[:, card] * rng.normal(1, moves.gain / 4, (2, width))).astype(np.float32))
        offsets.append(rng.normal(0, moves.offset, (2, width)).astype(np.float32))
    output = float(np.exp(rng.normal(0, moves.output)))
    return Drift(kilovolts, filtration, output, tuple(gains), tuple(offsets))


def drifted_tube(scanner: VirtualScanner, drift: Drift) -> Tube:
    """The tube as it is under `drift`."""
    tube = scanner.tube
    filters = tube.filters + ((("aluminium", drift.filtration),) if drift.filtration else ())
    return tube._replace(kilovolts=tube.kilovolts + drift.kilovolts, filters=filters)


def air_level(scanner: VirtualScanner, drift: Drift) -> Floats:
    """Signal in air under `drift` over that at calibration, (2,) for low and high."""
    now = response(drifted_tube(scanner, drift), scanner.layers).output
    then = response(scanner.tube, scanner.layers).output
    return (drift.output * now / then).astype(np.float32)


@lru_cache(maxsize=256)
def pixels_of(scanner: VirtualScanner, view: int) -> Pixels:
    """The pixels of one view of this unit; the same for the same `serial`.

    Flux falls with the square of the distance and with the slant of the panel.
    """
    rays, counts = rays_of(scanner.views[view]), scanner.electronics
    rng = np.random.default_rng((scanner.serial, view))
    shape = (2, len(rays.distance))
    flux = rays.cosine / rays.distance**2
    gain = counts.full_scale * np.exp(rng.normal(0, counts.gain_spread, shape)) * (flux / flux.max())
    gain *= counts.full_scale / gain.max()
    dead = rng.random(shape) < counts.dead
    stuck = np.where(rng.random(shape) < 0.7, 0.0, rng.uniform(0, 65535, shape))
    return Pixels(
        (flux / flux.max()).astype(np.float32),
        gain.astype(np.float32),
        np.maximum(rng.normal(counts.offset, counts.offset_spread, shape), 0).astype(np.float32),
        dead,
        stuck.astype(np.float32),
        (rng.random(shape) < counts.hot) & ~dead,
        (rng.uniform(0.03, 0.3, shape) * counts.full_scale).astype(np.float32),
    )


def opaque_below(scanner: VirtualScanner, sigmas: float = 3.0) -> float:
    """The transmission whose high signal is `sigmas` times its noise in the brightest pixel: below it, a
    frame shows nothing. The root of t = sigmas sqrt(t v / n + e²), with photon noise v / n of air's
    spectrum and electronic noise e."""
    per_photon = float(response(scanner.tube, scanner.layers).variance[1].sum()) / scanner.photons
    electronic = scanner.electronics.noise / scanner.electronics.full_scale
    half = sigmas**2 * per_photon / 2
    return half + math.sqrt(half**2 + (sigmas * electronic) ** 2)


@lru_cache(maxsize=256)
def check_scanner(scanner: VirtualScanner) -> None:
    """Refuse a scanner whose fans do not cover its tunnel, or that has no view.

    Raises:
        SceneError: which view misses which corner.
    """
    if not scanner.views:
        raise SceneError(f"scanner {scanner.name!r} has no view; expected one or more")
    width, height = scanner.tunnel
    corners = [(y, z) for y in (-width / 2, width / 2) for z in (0.0, height)]
    for view in scanner.views:
        found = rays_of(view)
        for y, z in corners:
            if found.frame[2] and np.dot((y, z) - found.frame[:2], found.rays[2:].mean(axis=1)) <= 0:
                raise SceneError(f"{scanner.name}: the source of view {view.name!r} is inside the tunnel")
            if not -0.5 <= pixel_of(view, y, z) <= pixel_count(view) - 0.5:
                raise SceneError(
                    f"{scanner.name}: view {view.name!r} does not see the tunnel's corner ({y}, {z}); "
                    "expected a detector that covers it"
                )

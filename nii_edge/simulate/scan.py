"""Scans of scenes, and the frames a scanner is calibrated from, all through the same chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import SceneError
from nii_edge.simulate import materials
from nii_edge.simulate.bulk import all_moved, box_around, part_boxes, parts_of
from nii_edge.simulate.detector import transmissions
from nii_edge.simulate.exposure import dark, expose
from nii_edge.simulate.project import Footprint, Projection, project, taken_out
from nii_edge.simulate.scanner import (
    Drift,
    VirtualScanner,
    check_scanner,
    drift_of,
    drifted_tube,
    pixels_of,
    steady,
)
from nii_edge.simulate.solids import Thing

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint16]

MOST_PIXELS = 1500
"""Pixels of a thing that are looked at to tell how far it stands out."""
LEAD_MM = 20.0
"""Empty belt before and after what is scanned."""


class ScannedView(NamedTuple):
    """`counts` (lines, pixels, 2): raw low and high counts, neither offset nor gain corrected.
    `projection` is the truth behind them."""

    name: str
    counts: Counts
    projection: Projection


def belt_lines(
    scanner: VirtualScanner, span: tuple[float, float], rng: np.random.Generator | None = None
) -> Values:
    """Belt positions (lines,) in mm from `span[0]` to about `span[1]`.

    With `rng` the belt's speed wavers, with a memory of some ten lines; the encoder does not know.
    """
    count = max(1, round((span[1] - span[0]) / scanner.line_pitch))
    steps = np.full(count, scanner.line_pitch)
    if rng is not None and scanner.stability.belt:
        shocks = rng.normal(0, scanner.stability.belt, count + 40)
        smooth = np.convolve(shocks, 0.9 ** np.arange(40), "full")[40 : 40 + count] * np.sqrt(1 - 0.9**2)
        steps *= np.maximum(1 + smooth, 0.1)
    return span[0] + np.cumsum(steps)


def span_of(things: Sequence[Thing]) -> tuple[float, float]:
    """The stretch of belt in mm that holds `things`, with `LEAD_MM` of empty belt at both ends."""
    if not any(len(part.mesh.vertices) for part in parts_of(things)):
        return -LEAD_MM, LEAD_MM
    low, high = box_around(things)[:, 0].tolist()
    return low - LEAD_MM, high + LEAD_MM


def scan(
    things: Sequence[Thing],
    scanner: VirtualScanner,
    rng: np.random.Generator,
    span: tuple[float, float] | None = None,
    drift: Drift | None = None,
) -> list[ScannedView]:
    """One scan: a picture per view of `scanner`, of the stretch of belt `span` (`span_of` the things).

    Without `drift` the scanner has drifted as it usually has.

    Raises:
        SceneError: a thing does not fit into the tunnel, or names a material there is not.
    """
    check_fit(things, scanner)
    drift = drift_of(scanner, rng) if drift is None else drift
    lines = belt_lines(scanner, span or span_of(things), rng)
    tube = drifted_tube(scanner, drift)
    views = []
    for index, view in enumerate(scanner.views):
        truth = project(things, view, lines)
        signal = transmissions(truth.areal, truth.materials, tube, scanner.layers)
        views.append(ScannedView(view.name, expose(signal, scanner, index, drift, rng), truth))
    return views


def ideal(projection: Projection, scanner: VirtualScanner) -> Floats:
    """What a perfectly calibrated scanner without noise, blur and scatter shows of a projection:
    transmissions (lines, pixels, 2) of low and high, 1 in air."""
    signal = transmissions(projection.areal, projection.materials, scanner.tube, scanner.layers)
    return np.ascontiguousarray(np.moveaxis(signal[:2], 0, -1))


def visibility(projection: Projection, thing: Footprint, scanner: VirtualScanner, view: int) -> Floats:
    """How far a thing stands out from the noise, at pixels (n,) spread evenly over its mask, at most about
    `MOST_PIXELS`.

    The change of both signals when the thing is taken away, in standard deviations of one pixel.
    """
    lines, columns = np.nonzero(thing.mask)
    step = -(-len(lines) // MOST_PIXELS) or 1
    lines, columns = lines[::step], columns[::step]
    window = lines * thing.areal.shape[2] + columns
    at = columns + thing.left
    places = (lines + thing.top) * projection.areal.shape[2] + at
    whole = projection.areal.reshape(len(projection.materials), -1).take(places, axis=1)
    own = thing.areal.reshape(len(thing.materials), -1).take(window, axis=1)
    rest = taken_out(whole, projection.materials, own, thing.materials)
    present = transmissions(whole, projection.materials, scanner.tube, scanner.layers)
    absent = transmissions(rest, projection.materials, scanner.tube, scanner.layers)
    pixels = pixels_of(scanner, view)
    photons = scanner.photons * pixels.flux[at]
    electronic = scanner.electronics.noise / pixels.gain[:, at]
    variance = absent[2:] / photons + electronic**2
    distance: Floats = np.sqrt(((present[:2] - absent[:2]) ** 2 / variance).sum(axis=0))
    return distance


def check_fit(things: Sequence[Thing], scanner: VirtualScanner) -> None:
    """Refuse what would hit the tunnel's wall or lie below the belt (by more than 1 mm).

    Raises:
        SceneError: which thing, and by how much.
    """
    check_scanner(scanner)
    width, height = scanner.tunnel
    solid = [(thing, part) for thing in things for part in thing.parts if len(part.mesh.vertices)]
    if not solid:
        return
    boxes = part_boxes([part for _, part in solid])
    out = (boxes[:, 0, 1] < -width / 2 - 1) | (boxes[:, 1, 1] > width / 2 + 1)
    out |= (boxes[:, 0, 2] < -1) | (boxes[:, 1, 2] > height + 1)
    if out.any():
        first = int(np.argmax(out))
        thing, part = solid[first]
        (_, left, low), (_, right, high) = boxes[first].tolist()
        raise SceneError(
            f"{thing.label} ({part.material}) reaches from y {left:.0f} to {right:.0f} mm and z "
            f"{low:.0f} to {high:.0f} mm; the tunnel of {scanner.name} is {width:.0f} x "
            f"{height:.0f} mm"
        )


def dark_frames(
    scanner: VirtualScanner, rng: np.random.Generator, lines: int = 128, drift: Drift | None = None
) -> list[Counts]:
    """Counts (lines, pixels, 2) per view with the tube off, in the `steady` state or drifted."""
    state = drift or steady(scanner)
    return [dark(scanner, view, state, rng, lines) for view in range(len(scanner.views))]


def air_frames(
    scanner: VirtualScanner, rng: np.random.Generator, lines: int = 128, drift: Drift | None = None
) -> list[Counts]:
    """Counts (lines, pixels, 2) per view of the empty tunnel, in the `steady` state or drifted."""
    state = drift or steady(scanner)
    return [frames[0] for frames in _slabs(scanner, "air", np.zeros(1), rng, lines, state)]


def wedge_scan(
    scanner: VirtualScanner,
    material: str,
    thicknesses_mm: Sequence[float],
    rng: np.random.Generator,
    lines: int = 64,
    drift: Drift | None = None,
) -> list[Counts]:
    """Counts (steps, lines, pixels, 2) per view of slabs of a material that fill the whole fan, every ray
    passing through the stated thickness. In the `steady` state or drifted.

    Raises:
        SceneError: an unknown material, or a thickness that is negative or no number.
    """
    steps = np.asarray(thicknesses_mm, np.float64)
    if steps.ndim != 1 or not np.isfinite(steps).all() or (steps < 0).any():
        raise SceneError(f"wedge steps {thicknesses_mm}; expected thicknesses in mm, none below 0")
    return _slabs(scanner, material, steps, rng, lines, drift or steady(scanner))


def _slabs(
    scanner: VirtualScanner,
    material: str,
    steps: Values,
    rng: np.random.Generator,
    lines: int,
    drift: Drift,
) -> list[Counts]:
    tube = drifted_tube(scanner, drift)
    areal = (steps * materials.material(material).density / 10).astype(np.float32)
    signals = transmissions(areal[None], (material,), tube, scanner.layers)
    return [
        np.stack(
            [
                expose(
                    np.tile(signals[:, step, None, None], (1, lines, len(pixels_of(scanner, view).flux))),
                    scanner,
                    view,
                    drift,
                    rng,
                )
                for step in range(len(steps))
            ]
        )
        for view in range(len(scanner.views))
    ]


def cut(views: Sequence[ScannedView], share: float) -> tuple[list[ScannedView], list[ScannedView]]:
    """A carton cut in two pictures after `share` (0-1) of its lines, as a false light barrier does."""
    if not 0 < share < 1:
        raise SceneError(f"a carton is cut at a share of its lines above 0 and below 1, not at {share}")
    heads: list[ScannedView] = []
    tails: list[ScannedView] = []
    for view in views:
        at = min(max(round(len(view.counts) * share), 1), len(view.counts) - 1)
        truth = view.projection
        for found, part in ((heads, slice(None, at)), (tails, slice(at, None))):
            lines = Projection(truth.materials, truth.areal[:, part], truth.lines[part])
            found.append(ScannedView(view.name, view.counts[part], lines))
    return heads, tails


def behind(first: Sequence[Thing], second: Sequence[Thing], gap_mm: float) -> float:
    """How far along the belt, in mm, the second must go to lie `gap_mm` behind the first. Below 0 they
    overlap, as cartons lying askew do in the picture."""
    return span_of(first)[1] - span_of(second)[0] - 2 * LEAD_MM + gap_mm


def moved_along(thing: Thing, distance: float) -> Thing:
    """The thing `distance` mm further along the belt."""
    return all_moved([thing], (distance, 0, 0))[0]

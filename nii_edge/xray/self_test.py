"""The daily self-test: one scan of a test piece becomes numbers, each passed, warned of or failed. Pure.

In the spirit of ASTM F792 (cabinet systems, routine test): how much steel is penetrated, which wire is seen,
how sharp the picture is along both axes, whether materials are told apart, how noisy air is, and whether the
piece has its size (belt speed, geometry). The standard sets no minima; the limits are the owner's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import cv2
import msgspec
import numpy as np
from msgspec import Meta

from nii_edge.xray.material import MaterialTable, look_up
from nii_edge.xray.measures import (
    Floats,
    contrast_to_noise,
    edge_resolution,
    noise_of,
    wire_visibility,
)
from nii_edge.xray.transmission import Planes, energies_swapped

MATTER_BELOW = 0.93
"""High-energy transmission of the test piece's base plate and everything on it."""
MEDIAN_PX = 5
"""Window of the median that takes noise away before the piece is looked for; it leaves edges in place."""
SIZE_TOLERANCE = 0.15
"""How far the piece's size may be off, as a share, before something else is taken to lie on the belt."""
VISIBLE = 3.0
"""Contrast to noise above which a detail counts as seen (Rose takes 3 to 5)."""

SWAPPED = (
    "ENERGIES_SWAPPED: more of the first plane's energy comes through the test piece than of the second's; "
    "expected the low energy first, then the high one; exchange the two planes where the scanner's frames "
    "are made, and calibrate again if its dark and air lines were exchanged too"
)
"""What is said of a scan whose energies stand in the wrong order."""

Metric = Literal[
    "penetration_mm",
    "wire_mm",
    "resolution_across_lp_mm",
    "resolution_along_lp_mm",
    "material_separation",
    "z_error",
    "noise_percent",
    "size_error_percent",
]
"""Thickest steel behind which a bar is seen; thinnest wire seen; line pairs per mm at 20 % modulation across
and along the belt; smallest distance of two materials in standard deviations; largest error of effective Z;
noise of air; deviation of the piece's size."""
Grade = Literal["pass", "warn", "fail"]

_NEEDS: dict[Metric, str] = {
    "penetration_mm": "`steps` of the piece",
    "wire_mm": "`wires` of the piece",
    "resolution_across_lp_mm": "`edges` of the piece that run down",
    "resolution_along_lp_mm": "`edges` of the piece that run across",
    "material_separation": "two `patches` of the piece and both energies",
    "z_error": "`patches` of the piece and a calibration with wedges (`nii-edge scanner calibrate --wedges`)",
}
"""What cannot be measured without; all else is measured of every piece."""

Place = tuple[float, float, float, float]
"""x0, y0, x1, y1 in mm from the piece's top left corner, x along image columns, y down image rows."""


class Piece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what makes up a test piece."""


class Step(Piece, frozen=True, kw_only=True):
    """A steel step: `bar` is an area with a lead or steel bar behind it, `beside` one without."""

    steel_mm: Annotated[float, Meta(gt=0)]
    bar: Place
    beside: Place


class Wire(Piece, frozen=True, kw_only=True):
    """A wire in the middle of `place`. `runs`: along image rows or columns, that is across or down."""

    diameter_mm: Annotated[float, Meta(gt=0)]
    place: Place
    runs: Literal["across", "down"]


class Edge(Piece, frozen=True, kw_only=True):
    """A straight edge in the middle of `place`, tilted by 2 to 10 degrees from the way it runs."""

    place: Place
    runs: Literal["across", "down"]


class Patch(Piece, frozen=True, kw_only=True):
    """A patch of one material and its effective Z; nothing else lies in the beam there."""

    material: str
    z: float
    place: Place


class TestPiece(Piece, frozen=True, kw_only=True):
    """The layout. `size_mm` (width, height) of the base plate, by which the piece is found in the picture."""

    __test__ = False  # no test case, whatever its name makes pytest think

    name: str
    size_mm: tuple[float, float]
    steps: tuple[Step, ...] = ()
    wires: tuple[Wire, ...] = ()
    edges: tuple[Edge, ...] = ()
    patches: tuple[Patch, ...] = ()


class Limit(Piece, frozen=True, kw_only=True):
    """Worse than `warn` is a warning, than `fail` a failure; worse is less if `fail` is below `warn`."""

    metric: Metric
    warn: float
    fail: float

    def grade(self, value: float) -> Grade:
        """Of a measured value; what is not a number fails."""
        sign = 1 if self.fail < self.warn else -1
        if not sign * value >= sign * self.fail:
            return "fail"
        return "pass" if sign * value >= sign * self.warn else "warn"


class Measurement(Piece, frozen=True, kw_only=True):
    """One number and what is thought of it; "pass" where there is no limit."""

    metric: Metric
    value: float
    grade: Grade


class SelfTest(Piece, frozen=True, kw_only=True):
    """One day's result. `problem` says in words why nothing could be measured, or not all that has a limit,
    or is empty."""

    made_at_ns: int
    piece: str
    measurements: tuple[Measurement, ...]
    problem: str = ""

    @property
    def grade(self) -> Grade:
        """The worst of all; "fail" if something could not be measured."""
        grades = {measurement.grade for measurement in self.measurements}
        if self.problem or "fail" in grades:
            return "fail"
        return "warn" if "warn" in grades else "pass"


class Scale(NamedTuple):
    """Where the piece lies: its corner in pixels, pixels per mm along x and y, and its size over the true."""

    x: int
    y: int
    per_mm: tuple[float, float]
    size_share: tuple[float, float]


def run(
    planes: Planes,
    piece: TestPiece,
    pixel_pitch_mm: tuple[float, float],
    limits: Sequence[Limit],
    made_at_ns: int,
    materials: MaterialTable | None = None,
) -> SelfTest:
    """Measure a scan of the test piece, lying upright with nothing else on the belt.

    `planes`: transmission (channels, height, width). `pixel_pitch_mm`: along rows (from one column to the
    next) and along columns, as the profile says. `materials` for errors of Z, which are left out without; a
    limit of what was left out is a failure.
    """
    swapped = len(planes) > 1 and energies_swapped(planes)  # first: with the other's air, the belt looks dark
    scale, problem = (None, SWAPPED) if swapped else locate(planes[-1], piece, pixel_pitch_mm)
    if scale is None:
        return SelfTest(made_at_ns=made_at_ns, piece=piece.name, measurements=(), problem=problem)
    by_metric = {limit.metric: limit for limit in limits}
    measurements = tuple(
        Measurement(
            metric=metric,
            value=value,
            grade=by_metric[metric].grade(value) if metric in by_metric else "pass",
        )
        for metric, value in _measure(planes, piece, scale, materials)
    )
    problem = _unmeasured([name for name in by_metric if name not in {m.metric for m in measurements}])
    return SelfTest(made_at_ns=made_at_ns, piece=piece.name, measurements=measurements, problem=problem)


def _unmeasured(metrics: Sequence[Metric]) -> str:
    """What is said of limits that nothing was held against; a test that is not made is not passed."""
    if not metrics:
        return ""
    why = "; ".join(f"{metric} needs {_NEEDS[metric]}" for metric in metrics)
    return f"not measured, though it has a limit: {why}; see to it, or take the limit out of the piece's file"


def locate(high: Floats, piece: TestPiece, pixel_pitch_mm: tuple[float, float]) -> tuple[Scale | None, str]:
    """Where the piece lies in a plane of high-energy transmission; None, and why, if it does not."""
    matter = cv2.medianBlur(np.ascontiguousarray(high, np.float32), MEDIAN_PX) < MATTER_BELOW
    columns = np.flatnonzero(matter.mean(axis=0) > 0.1)
    rows = np.flatnonzero(matter.mean(axis=1) > 0.1)
    if not columns.size or not rows.size:
        return None, f"no test piece: nothing in the picture is darker than {MATTER_BELOW}"
    found = (int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
    per_mm = (1 / pixel_pitch_mm[0], 1 / pixel_pitch_mm[1])
    share = tuple(
        pixels / (mm * scale) for pixels, mm, scale in zip(found, piece.size_mm, per_mm, strict=True)
    )
    if max(abs(value - 1) for value in share) > SIZE_TOLERANCE:
        mm = tuple(round(pixels / scale) for pixels, scale in zip(found, per_mm, strict=True))
        return None, (
            f"what lies on the belt measures {mm[0]} x {mm[1]} mm, the test piece {piece.name} "
            f"{piece.size_mm[0]:g} x {piece.size_mm[1]:g} mm; is it the right piece, upright and alone?"
        )
    stretched = (per_mm[0] * share[0], per_mm[1] * share[1])
    return Scale(int(columns[0]), int(rows[0]), stretched, (share[0], share[1])), ""


def _measure(
    planes: Planes, piece: TestPiece, scale: Scale, materials: MaterialTable | None
) -> Iterator[tuple[Metric, float]]:
    high = planes[-1]
    if piece.steps:
        yield "penetration_mm", _penetration(high, piece, scale)
    if piece.wires:
        yield "wire_mm", _thinnest(high, piece, scale)
    for runs, metric, axis in (
        ("down", "resolution_across_lp_mm", 0),
        ("across", "resolution_along_lp_mm", 1),
    ):
        found = [
            edge_resolution(_turned(_cut(high, edge.place, scale), runs)) * scale.per_mm[axis]
            for edge in piece.edges
            if edge.runs == runs
        ]
        if found:
            yield metric, min(found)  # type: ignore[misc]
    if len(piece.patches) > 1 and len(planes) > 1:
        yield "material_separation", _separation(planes, piece, scale)
    if piece.patches and materials is not None:
        yield "z_error", _z_error(planes, piece, scale, materials)
    yield "noise_percent", 100 * noise_of(high[: max(scale.y - 4, 0)])
    yield "size_error_percent", 100 * max(abs(share - 1) for share in scale.size_share)


def _penetration(high: Floats, piece: TestPiece, scale: Scale) -> float:
    """The thickest step up to which all steps show their bar."""
    deepest = 0.0
    for step in sorted(piece.steps, key=lambda step: step.steel_mm):
        if contrast_to_noise(_cut(high, step.bar, scale), _cut(high, step.beside, scale)) < VISIBLE:
            break
        deepest = step.steel_mm
    return deepest


def _thinnest(high: Floats, piece: TestPiece, scale: Scale) -> float:
    """The thinnest wire down to which all wires are seen; infinite if none is."""
    thinnest = float("inf")
    for wire in sorted(piece.wires, key=lambda wire: -wire.diameter_mm):
        if wire_visibility(_turned(_cut(high, wire.place, scale), wire.runs)) < VISIBLE:
            break
        thinnest = wire.diameter_mm
    return thinnest


def _ratio(planes: Planes, place: Place, scale: Scale) -> Floats:
    low, high = (np.clip(_cut(plane, place, scale), 1e-6, 0.999) for plane in (planes[0], planes[-1]))
    return np.asarray(np.log(low) / np.log(high), np.float32)


def _separation(planes: Planes, piece: TestPiece, scale: Scale) -> float:
    """Of neighbours by Z, the least contrast to noise of ln T_low / ln T_high.

    Whichever is the larger: mostly that of the higher Z, but not of thick steel beside thin aluminium, nor of
    lead (K edge at 88 keV) beside steel.
    """
    ordered = sorted(piece.patches, key=lambda patch: patch.z)
    areas = [_ratio(planes, patch.place, scale) for patch in ordered]
    return min(contrast_to_noise(one, other) for one, other in itertools.pairwise(areas))


def _z_error(planes: Planes, piece: TestPiece, scale: Scale, materials: MaterialTable) -> float:
    errors = []
    for patch in piece.patches:
        means = [_cut(plane, patch.place, scale).mean() for plane in (planes[0], planes[-1])]
        pixel = np.array(means, np.float32).reshape(2, 1, 1)
        errors.append(abs(float(look_up(pixel, materials).z[0, 0]) - patch.z))
    return max(errors)


def _cut(plane: Floats, place: Place, scale: Scale) -> Floats:
    x0, y0, x1, y1 = (
        round(corner + mm * per_mm)
        for mm, corner, per_mm in zip(place, (scale.x, scale.y) * 2, scale.per_mm * 2, strict=True)
    )
    return plane[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]


def _turned(area: Floats, runs: str) -> Floats:
    """So that what runs across runs down."""
    return area if runs == "down" else area.T

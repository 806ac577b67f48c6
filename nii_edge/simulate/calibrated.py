"""Virtual scanners as their owners have them: calibrated from their own dark, air and wedge scans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.config import Format, Profile, ViewGeometry
from nii_edge.simulate.project import magnification
from nii_edge.simulate.scan import air_frames, dark_frames, wedge_scan
from nii_edge.simulate.scanner import VirtualScanner, opaque_below, steady
from nii_edge.xray.calibrate import Calibration, Origin, calibrate
from nii_edge.xray.optics import Optics, optics
from nii_edge.xray.transmission import apply
from nii_edge.xray.wedges import Wedge, WedgeStep

WEDGES: tuple[tuple[str, float, float, tuple[float, ...]], ...] = (
    ("polyethylene", 5.44, 0.94, (5, 15, 40, 90, 160, 260)),
    ("water", 7.42, 1.0, (5, 15, 40, 90, 160, 260)),
    ("aluminium", 13.0, 2.70, (1, 4, 10, 25, 50, 90)),
    ("steel", 26.0, 7.87, (0.3, 1, 2.5, 6, 12, 20)),
)
"""What is engraved on a usual set of wedges: material, effective Z, density in g/cm³, steps in mm."""
LINES = 128
MADE_AT_NS = 1_767_225_600_000_000_000
"""2026-01-01: what is simulated must not depend on the day."""


class Calibrated(NamedTuple):
    """A scanner with what its calibrations say, view by view."""

    scanner: VirtualScanner
    profile: Profile
    detectors: tuple[Calibration, ...]
    wedges: tuple[tuple[Wedge, ...], ...]
    optics: tuple[Optics, ...]


def upright(lines: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Lines (lines, pixels, …) as a frame whose columns are lines: the belt runs to the right."""
    if lines.dtype == np.uint16 and lines.ndim == 3:
        # by blocks that stay in the cache: many times faster than a copy
        return np.asarray(cv2.transpose(lines), np.uint16)
    return np.ascontiguousarray(lines.swapaxes(0, 1))


_KNOWN: dict[VirtualScanner, Calibrated] = {}


def know(units: Iterable[Calibrated]) -> None:
    """Take these as calibrated: for worker processes, which need not do it all again."""
    _KNOWN.update({unit.scanner: unit for unit in units})


def calibrated(scanner: VirtualScanner) -> Calibrated:
    """The scanner, calibrated while it was steady; the same every time. Takes about a second at first."""
    if scanner not in _KNOWN:
        _KNOWN[scanner] = _calibrated(scanner)
    return _KNOWN[scanner]


def _calibrated(scanner: VirtualScanner) -> Calibrated:
    rng = np.random.default_rng((scanner.serial, 0xCA1))
    still = steady(scanner)
    profile = profile_of(scanner)
    darks, airs = dark_frames(scanner, rng, LINES, still), air_frames(scanner, rng, LINES, still)
    scans = {name: wedge_scan(scanner, name, steps, rng, 64, still) for name, _, _, steps in WEDGES}
    detectors, wedges, found = [], [], []
    for view, (dark, air) in enumerate(zip(darks, airs, strict=True)):
        origin = Origin(scanner.name, view, MADE_AT_NS, "columns", ("low", "high"))
        detector = calibrate(dark, air, origin)
        measured = tuple(
            Wedge(
                name=name,
                z=z,
                density=density,
                steps=tuple(
                    _step(mm, lines, detector) for mm, lines in zip(steps, scans[name][view], strict=True)
                ),
            )
            for name, z, density, steps in WEDGES
        )
        detectors.append(detector)
        wedges.append(measured)
        found.append(optics(detector, measured, profile.penetration_limit))
    return Calibrated(scanner, profile, tuple(detectors), tuple(wedges), tuple(found))


def profile_of(scanner: VirtualScanner) -> Profile:
    """What `configs/scanners` would say of it. Pixels are measured where the first view sees the belt."""
    first = scanner.views[0]
    pitch = round(scanner.line_pitch, 3), round(first.pitch / magnification(first, 0.0, 0.0), 3)
    counts = Format(channels=("low", "high"), dtype="uint16", air=scanner.electronics.full_scale)
    return Profile(
        version=1,
        name=f"virtual scanner {scanner.name}",
        views=tuple(view.name for view in scanner.views),
        formats=(counts,),
        pixel_pitch_mm=pitch,
        belt_axis="columns",
        palette="none",
        penetration_limit=round(opaque_below(scanner), 6),
        black_level=0.17,
        geometry=tuple(
            ViewGeometry(
                source_mm=view.source,
                detector_mm=view.detector,
                pitch_mm=view.pitch,
                card=view.card,
                gap_mm=view.gap,
            )
            for view in scanner.views
        ),
    )


def _step(mm: float, lines: npt.NDArray[np.uint16], detector: Calibration) -> WedgeStep:
    low, high = (float(value) for value in apply(upright(lines), detector).mean(axis=(1, 2)))
    return WedgeStep(thickness_mm=mm, t_low=low, t_high=high)

"""Virtual scanners as different as makes are. None is any real product.

Voltages, filters, layer thicknesses, pitches and line rates span what is published of parcel scanners;
photon numbers scale 7.7e3 a pixel and line (0.7 mA, 4 ms, 0.8 mm square at 1.2 m) by the pixel's area.
"""

from __future__ import annotations

from nii_edge.simulate.detector import Layers
from nii_edge.simulate.geometry import View
from nii_edge.simulate.scanner import Electronics, Optics, Stability, VirtualScanner
from nii_edge.simulate.spectrum import Tube

_QUAY = VirtualScanner(
    name="quay",
    tube=Tube(160.0),
    layers=Layers(),
    views=(
        View("up", (-420.0, -250.0), ((-330.0, 620.0), (460.0, 620.0), (460.0, 30.0)), 2.0, 64, 0.4),
        View("down", (-420.0, 700.0), ((-330.0, -170.0), (460.0, -170.0), (460.0, 420.0)), 2.0, 64, 0.4),
    ),
    tunnel=(650.0, 450.0),
    line_pitch=1.2,
    photons=26000.0,
    serial=11,
)
"""Two diagonal fans on folded detectors, a slow belt, the layers of the ratio table."""

_DEPOT = VirtualScanner(
    name="depot",
    tube=Tube(140.0, 20.0, (("aluminium", 2.0), ("polycarbonate", 6.0))),
    layers=Layers(0.2, 0.4, 3.0),
    views=(View("below", (0.0, 1100.0), ((-430.0, -80.0), (430.0, -80.0)), 1.3, 32, 0.2),),
    tunnel=(500.0, 400.0),
    line_pitch=0.9,
    photons=14000.0,
    optics=Optics((0.6, 0.8), 0.03, 0.02, 0.03, 60.0, (0.3, 0.0)),
    electronics=Electronics(42000.0, 2100.0, 300.0, 12.0, 0.12, 0.002, 0.001),
    stability=Stability(1.0, 0.2, 0.02, 0.006, 6.0, 0.002, 0.015),
    serial=23,
)
"""A soft beam from above on a flat detector: small parcels, an older unit."""

_SORTER = VirtualScanner(
    name="sorter",
    tube=Tube(180.0, 15.0, (("aluminium", 3.0), ("copper", 0.3))),
    layers=Layers(0.4, 0.8, 5.0),
    views=(View("above", (0.0, -650.0), ((-530.0, 480.0), (530.0, 480.0)), 1.6, 128, 0.0),),
    tunnel=(600.0, 400.0),
    line_pitch=1.6,
    photons=18000.0,
    optics=Optics((0.8, 0.6), 0.015, 0.04, 0.015, 120.0, (0.0, 0.4)),
    electronics=Electronics(60000.0, 700.0, 60.0, 6.0, 0.05, 0.0005, 0.0005),
    stability=Stability(0.5, 0.1, 0.008, 0.003, 2.0, 0.0015, 0.03),
    serial=37,
)
"""A hard filtered beam from below and a fast belt: few photons, long lines."""

_GANTRY = VirtualScanner(
    name="gantry",
    tube=Tube(160.0, 25.0, (("aluminium", 4.0),)),
    layers=Layers(0.25, 1.0, 4.0),
    views=(
        View("above", None, ((-325.0, 600.0), (325.0, 600.0)), 1.0, 64, 0.0),
        View("side", None, ((420.0, -5.0), (420.0, 485.0)), 1.0, 64, 0.0),
    ),
    tunnel=(640.0, 480.0),
    line_pitch=1.0,
    photons=12000.0,
    optics=Optics((0.4, 0.5), 0.01, 0.005, 0.01, 100.0, (0.15, 0.1)),
    electronics=Electronics(52000.0, 1500.0, 100.0, 7.0, 0.03, 0.001, 0.001),
    stability=Stability(0.4, 0.1, 0.005, 0.002, 2.0, 0.001, 0.005),
    serial=41,
)
"""Parallel rays, the two views at right angles: what a far source comes near to."""

_BORDER = VirtualScanner(
    name="border",
    tube=Tube(170.0, 12.0, (("aluminium", 2.5), ("copper", 0.1), ("polycarbonate", 4.0))),
    layers=Layers(0.15, 0.5, 0.8, scintillator="gadolinium_oxysulfide", swank=0.8),
    views=(
        View("up", (350.0, -420.0), ((360.0, 640.0), (-480.0, 640.0), (-480.0, 0.0)), 1.8, 48, 0.6),
        View("side", (-900.0, 260.0), ((440.0, -340.0), (440.0, 640.0)), 1.5, 48, 0.6),
    ),
    tunnel=(620.0, 420.0),
    line_pitch=1.3,
    photons=20000.0,
    optics=Optics((0.7, 0.9), 0.04, 0.03, 0.025, 90.0, (-0.3, -0.4)),
    electronics=Electronics(47000.0, 900.0, 200.0, 10.0, 0.1, 0.002, 0.002),
    stability=Stability(0.8, 0.2, 0.015, 0.006, 4.0, 0.002, 0.02),
    serial=53,
    held_out=True,
)
"""Another scintillator, another side of the belt, two fans of different kinds: for tests alone."""

SCANNERS: dict[str, VirtualScanner] = {
    scanner.name: scanner for scanner in (_QUAY, _DEPOT, _SORTER, _GANTRY, _BORDER)
}
"""Every virtual scanner by its name."""

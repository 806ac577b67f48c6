"""A dual-energy scanner in fifteen energy bins, independent of the simulator: wedges and slabs for tests.

Weights: a 160 kV tungsten spectrum behind 3 mm Al (spekpy 2.5.4), seen by CsI 0.3 mm and, behind 0.6 mm Cu,
CsI 4 mm. Attenuation in cm2/g (xraydb 4.5.8), averaged over each bin. Bin edges in keV: 15 22 28 34 40 46 52
58 64 72 80 88 98 110 125 160; lead's K edge is at 88.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nii_edge.xray.wedges import Wedge, WedgeStep

Array = npt.NDArray[np.float64]

_TABLE = """
     low      high      PE   water cellulose     POM   glass     PVC      Al      Fe      Pb
  0.0044         0  0.4282  0.8007  0.6396  0.6557   2.511    4.51   3.392   25.27   84.65
  0.0253  2.36e-06  0.3167  0.4977  0.4139  0.4222   1.345   2.369    1.78   13.25   46.98
  0.0498 0.0001817   0.263  0.3561  0.3078  0.3126  0.7978   1.352   1.025   7.348   27.44
   0.093 0.0002965  0.2364  0.2894  0.2574  0.2606  0.5441  0.8774  0.6764    4.52   17.56
   0.106  0.002069  0.2206  0.2527  0.2293  0.2317  0.4089  0.6243  0.4912   2.986   11.96
  0.1033  0.008313    0.21  0.2302  0.2118  0.2136  0.3296  0.4765  0.3832   2.083   8.526
  0.1365   0.03316  0.2013  0.2135  0.1985     0.2  0.2749  0.3753  0.3092   1.466    6.08
  0.1563   0.06468  0.1968  0.2055   0.192  0.1934  0.2505  0.3308  0.2766   1.195   4.977
  0.1137   0.09481  0.1905  0.1954  0.1836  0.1848  0.2221  0.2797  0.2389  0.8874   3.687
   0.056    0.0825  0.1848  0.1871  0.1766  0.1776  0.2014  0.2433  0.2119  0.6734   2.764
  0.0432   0.09844    0.18  0.1807   0.171   0.172  0.1872  0.2192  0.1938  0.5357   2.152
  0.0396    0.1334  0.1753  0.1748  0.1658  0.1667  0.1757  0.2002  0.1793  0.4319   6.717
   0.032    0.1564  0.1702  0.1688  0.1604  0.1612  0.1652  0.1838  0.1666  0.3476   5.072
  0.0239    0.1636  0.1648  0.1626  0.1547  0.1555  0.1559  0.1699  0.1555  0.2815   3.755
   0.017    0.1621  0.1578  0.1552  0.1478  0.1485  0.1459  0.1561  0.1442  0.2242   2.586
"""
_NAMES = _TABLE.split()[:11]
_ROWS = np.array(_TABLE.split()[11:], np.float64).reshape(15, 11)
LOW, HIGH = _ROWS[:, 0], _ROWS[:, 1]
ATTENUATION = dict(zip(_NAMES[2:], _ROWS[:, 2:].T, strict=True))
DENSITY = {"PE": 0.95, "water": 1.0, "cellulose": 1.5, "POM": 1.41, "glass": 2.4, "PVC": 1.38, "Al": 2.7}
DENSITY |= {"Fe": 7.87, "Pb": 11.35}
Z = {"PE": 5.44, "water": 7.42, "POM": 6.95, "glass": 11.6, "PVC": 14.2, "Al": 13.0, "Fe": 26.0, "Pb": 82.0}
"""Effective atomic numbers, the usual power mean with exponent 2.94 (Mayneord)."""

STEPS = {
    "PE": (5, 10, 20, 40, 80, 120, 160, 220),
    "water": (5, 10, 20, 40, 80, 120, 180),
    "Al": (1, 2, 5, 10, 20, 40, 60, 80),
    "Fe": (0.2, 0.5, 1, 2, 4, 8, 14, 20),
    "Pb": (0.1, 0.2, 0.5, 1, 1.5, 2),
}
"""Wedge steps in mm."""


def transmission(masses: dict[str, float]) -> tuple[float, float]:
    """(low, high) through layers of so many g/cm2 of each material."""
    exponent = sum(ATTENUATION[name] * grams for name, grams in masses.items())
    through = np.exp(-np.asarray(exponent) * np.ones_like(LOW))
    return float(LOW @ through / LOW.sum()), float(HIGH @ through / HIGH.sum())


def wedge(name: str, k_edge: bool = False) -> Wedge:
    """A noiseless step wedge."""
    steps = []
    for mm in STEPS[name]:
        low, high = transmission({name: DENSITY[name] * mm / 10})
        steps.append(WedgeStep(thickness_mm=mm, t_low=low, t_high=high))
    return Wedge(name=name, z=Z[name], density=DENSITY[name], steps=tuple(steps), k_edge=k_edge)


def wedges(*names: str) -> tuple[Wedge, ...]:
    """Those named; PE, water, Al and Fe if none is."""
    return tuple(wedge(name) for name in names or ("PE", "water", "Al", "Fe"))


def planes(
    low: Array | float,
    high: Array | float,
    shape: tuple[int, int] = (32, 32),
    photons: float = 0.0,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Transmission planes (2, height, width), with the photon noise of so many quanta in air per pixel."""
    both = np.stack([np.broadcast_to(low, shape), np.broadcast_to(high, shape)]).astype(np.float64)
    if photons:
        both = np.random.default_rng(seed).poisson(both * photons) / photons
    return both.astype(np.float32)

"""Step wedges: what a scanner measured of known materials, as smooth curves. Pure.

A scanner's response to a material is known only from wedges of that material scanned by that scanner:
tube, filters and detector layers all enter. With x = -ln T_high and R = ln T_low / ln T_high,

    R(x)       falls from thin to thick as the beam hardens,
    h(x) = areal density / x   rises slowly,

both nearly straight lines in u = ln(x + `KNEE`); each is a polynomial of at most the fourth degree in u here.
Beyond the measured steps a curve goes on straight in u.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from nii_edge.errors import CalibrationError, CalibrationFault

Curve = npt.NDArray[np.float64]

KNEE = 0.1
"""Added to x before its logarithm, so that thin steps do not dominate a fit."""
MIN_STEPS = 4
MIN_WEDGES = 3
MAX_MISFIT = 0.06
"""Largest relative deviation of a step from its wedge's curve: beyond it a step was measured wrongly."""
USABLE = (3e-4, 0.97)
"""Transmissions of steps that are used: outside, noise and offset errors rule."""
R_FLOOR = 1.005
"""R is above 1 for every material between 30 and 200 keV."""
BOUND = 2.0
"""How far beyond `_ATTENUATION` a wedge may be: for other beams, scatter, and mixtures (hydrogen)."""
_ATTENUATION = np.array([
    (1, 0.265, 0.326), (4, 0.119, 0.149), (6, 0.135, 0.175), (9, 0.130, 0.192), (13, 0.138, 0.278),
    (17, 0.148, 0.439), (20, 0.167, 0.658), (26, 0.196, 1.205), (30, 0.234, 1.761), (40, 0.378, 3.744),
    (50, 0.607, 6.566), (60, 0.948, 10.33), (69, 1.335, 14.09), (79, 1.852, 8.895), (83, 1.858, 7.333),
    (92, 1.380, 7.033),
])  # fmt: skip
"""Z, and the least and greatest mass attenuation of that element between 60 and 150 keV in cm2/g (Elam,
Ravel and Sieber 2002, by xraydb 4.5.8). The thick layer of a scanner of 120 to 225 kV sees 60 to 150 keV
in the mean."""


class WedgeStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step, averaged over many pixels. Transmissions are fractions of air."""

    thickness_mm: Annotated[float, Meta(gt=0)]
    t_low: float
    t_high: float


class Wedge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One material's steps.

    `z`: its effective atomic number. `density`: g/cm3. `k_edge`: a heavy metal whose K edge lies within the
    spectrum (lead, tungsten, gold): it marks what two energies cannot tell apart, and takes no part in Z.
    """

    name: str
    z: Annotated[float, Meta(ge=1, le=100)]
    density: Annotated[float, Meta(gt=0)]
    steps: tuple[WedgeStep, ...]
    k_edge: bool = False


class Response(NamedTuple):
    """A wedge as curves. `ratio` and `mass` are polynomial coefficients in u, highest power first;
    `u_span` and `x_span` are what was measured."""

    name: str
    z: float
    ratio: Curve
    mass: Curve
    u_span: tuple[float, float]
    x_span: tuple[float, float]

    def ratio_at(self, x: Curve) -> Curve:
        """R at x = -ln T_high, at least `R_FLOOR`."""
        return np.maximum(self._at(self.ratio, x), R_FLOOR)

    def mass_at(self, x: Curve) -> Curve:
        """Areal density over x, g/cm2."""
        return np.maximum(self._at(self.mass, x), 0.0)

    def _at(self, coefficients: Curve, x: Curve) -> Curve:
        u = np.log(np.maximum(x, 0.0) + KNEE)
        inside = np.clip(u, *self.u_span)
        value: Curve = np.polyval(coefficients, inside) + np.polyval(np.polyder(coefficients), inside) * (
            u - inside
        )
        return value


def respond(wedges: Sequence[Wedge]) -> tuple[Response, ...]:
    """The curves of all wedges without a K edge, by rising Z.

    Raises:
        CalibrationError: BAD_WEDGES if there are fewer than `MIN_WEDGES`, two of one Z, too few steps, steps
            that contradict each other or no material of their Z could be, or materials the scanner cannot
            tell apart; ENERGIES_SWAPPED.
    """
    plain = sorted((wedge for wedge in wedges if not wedge.k_edge), key=lambda wedge: wedge.z)
    if len(plain) < MIN_WEDGES or len({wedge.z for wedge in plain}) < len(plain):
        raise CalibrationError(
            CalibrationFault.BAD_WEDGES,
            f"wedges {[(wedge.name, wedge.z) for wedge in plain]}; at least {MIN_WEDGES} of different Z are "
            "needed, for example PE, aluminium and iron",
        )
    responses = tuple(fit(wedge) for wedge in plain)
    for lower, upper in itertools.pairwise(responses):
        first, last = max(lower.x_span[0], upper.x_span[0]), min(lower.x_span[1], upper.x_span[1])
        x = np.linspace(first, max(first, last), 32)
        if np.any(upper.ratio_at(x) <= lower.ratio_at(x)):
            raise CalibrationError(
                CalibrationFault.BAD_WEDGES,
                f"{upper.name} (Z {upper.z}) should have a higher ln T_low / ln T_high than {lower.name} "
                f"(Z {lower.z}) at equal T_high, and has not everywhere; were the wedges exchanged?",
            )
    return responses


def fit(wedge: Wedge) -> Response:
    """The curves of one wedge.

    Raises:
        CalibrationError: BAD_WEDGES, ENERGIES_SWAPPED.
    """
    t = np.array([(step.thickness_mm, step.t_low, step.t_high) for step in wedge.steps], np.float64)
    t = t.reshape(-1, 3)
    if not np.isfinite(t).all():
        raise CalibrationError(CalibrationFault.BAD_WEDGES, f"wedge {wedge.name}: values that are not finite")
    usable = ((t[:, 1:] > USABLE[0]) & (t[:, 1:] < USABLE[1])).all(axis=1)
    t = t[usable]
    if len(t) < MIN_STEPS:
        raise CalibrationError(
            CalibrationFault.BAD_WEDGES,
            f"wedge {wedge.name}: {len(t)} of {usable.size} steps have transmissions within {USABLE}; "
            f"at least {MIN_STEPS} are needed",
        )
    x_low, x = -np.log(t[:, 1]), -np.log(t[:, 2])
    ratio = x_low / x
    if np.median(ratio) < 1:
        raise CalibrationError(
            CalibrationFault.ENERGIES_SWAPPED,
            f"wedge {wedge.name}: the low energy penetrates better than the high one (ln T_low / ln T_high "
            f"is {np.median(ratio):.2f}, expected above 1); exchange the two planes where the scanner's "
            "frames are sent and recorded, so that the low energy comes first, and calibrate again",
        )
    _check_sizes(wedge, t[:, 0], x)
    mass = wedge.density * t[:, 0] / 10 / x
    u = np.log(x + KNEE)
    degree = min(4, max(2, len(np.unique(u)) - 3))
    curves = [np.polyfit(u, values, degree, w=1 / values) for values in (ratio, mass)]
    for values, curve, what in zip((ratio, mass), curves, ("T_low", "T_high"), strict=True):
        misfit = np.abs(np.polyval(curve, u) / values - 1)
        worst = int(np.argmax(misfit))
        if misfit[worst] > MAX_MISFIT:
            raise CalibrationError(
                CalibrationFault.BAD_WEDGES,
                f"wedge {wedge.name}: {what} of the step of {t[worst, 0]:g} mm is {misfit[worst]:.0%} off "
                f"the curve of the other steps (at most {MAX_MISFIT:.0%}); measure it again",
            )
    return Response(
        wedge.name,
        wedge.z,
        curves[0],
        curves[1],
        (float(u.min()), float(u.max())),
        (float(x.min()), float(x.max())),
    )


def plausible(z: float) -> tuple[float, float]:
    """The least and greatest -ln T_high over areal density, cm2/g, that a wedge of this Z may show."""
    low, high = (
        float(np.exp(np.interp(z, _ATTENUATION[:, 0], np.log(_ATTENUATION[:, which])))) for which in (1, 2)
    )
    return low / BOUND, high * BOUND


def _check_sizes(wedge: Wedge, mm: Curve, x: Curve) -> None:
    """Refuse steps that no material of this Z can be: masses would be wrong by as much. Raises BAD_WEDGES."""
    found = x / (wedge.density * mm / 10)
    least, most = plausible(wedge.z)
    off = np.maximum(found / most, least / found)
    worst = int(np.argmax(off))
    if not off[worst] <= 1:
        raise CalibrationError(
            CalibrationFault.BAD_WEDGES,
            f"wedge {wedge.name}: by thickness and density the step of {mm[worst]:g} mm attenuates the high "
            f"energy by {found[worst]:.3g} cm2/g, expected {least:.2g} to {most:.2g} for Z {wedge.z:g}; "
            f"correct its thickness_mm (in mm), its density ({wedge.density:g}, in g/cm3) or its Z, or scan "
            "it again",
        )

"""A two-layer detector: a thin scintillator, a filter, a thick scintillator, each read by its own diodes.

Scintillators integrate energy: what a layer reports is the number of photons it absorbs times their
energy. The thin layer sees mostly soft photons (`low`), the filtered thick one mostly hard ones (`high`).

Many energies are needed to be right and few to be fast, so the fine spectrum is gathered into some two
dozen bins, and every material gets one attenuation per bin: the mean over the bin, weighted by what the
layers see there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.materials import mass_attenuation, material
from nii_edge.simulate.spectrum import Tube, spectrum

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

BINS = 26
"""Energy bins. Against the fine spectrum, ln T of any common material is right within 1 % down to a
transmission of 1e-4 (tests/unit/simulate/test_detector.py)."""
BIN_POWER = 1 / 3
"""Bins hold equal shares of the seen spectrum to this power: narrow where much is seen, but never so
wide in the tails that attenuation varies much within one bin."""
K_EDGES = (29.2, 88.0)
"""keV; a bin ends at the K edges of tin and lead (xraydb), across which their attenuation jumps."""


class Layers(NamedTuple):
    """Thicknesses in mm, materials by name. `swank`: the share of the noise-free information that the
    spread of light per photon leaves (Swank, J. Appl. Phys. 44, 1973); about 0.9 for caesium iodide."""

    low: float = 0.3
    filter: float = 0.6
    high: float = 4.0
    scintillator: str = "caesium_iodide"
    filter_material: str = "copper"
    swank: float = 0.9


class Response(NamedTuple):
    """How one tube and one detector see.

    `energies` (bins,) keV; `signal` (2, bins): the share of each bin in the signal of the low and the high
    layer in air, each row adding up to 1; `variance` (2, bins): the same for the variance of that signal,
    times the number of photons that reach a pixel; `output` (2,): keV absorbed per mAs and cm² at 1 m.
    """

    energies: Values
    signal: Values
    variance: Values
    output: Values


def absorbed_shares(energies: Values, layers: Layers) -> Values:
    """The shares (2, n) of photons of `energies` (n,) in keV that the low and the high layer absorb."""
    scintillator, between = material(layers.scintillator), material(layers.filter_material)
    per_mm = mass_attenuation(layers.scintillator, energies) * scintillator.density / 10
    barrier = mass_attenuation(layers.filter_material, energies) * between.density / 10
    through = np.exp(-per_mm * layers.low - barrier * layers.filter)
    return np.stack((1 - np.exp(-per_mm * layers.low), through * (1 - np.exp(-per_mm * layers.high))))


@lru_cache(maxsize=128)
def response(tube: Tube, layers: Layers) -> Response:
    """The response of a tube and a detector, in about `BINS` energy bins."""
    source = spectrum(tube)
    caught = source.photons * absorbed_shares(source.energies, layers)
    seen = caught * source.energies
    output = seen.sum(axis=1)
    # a photon adds E / output to the signal, so its square to the variance
    spread = caught * source.energies**2 * (source.photons.sum() / layers.swank) / output[:, None] ** 2
    middles = _mean(source.energies, tube, layers)
    return Response(
        middles, _gathered(seen / output[:, None], tube, layers), _gathered(spread, tube, layers), output
    )


@lru_cache(maxsize=4096)
def bin_attenuation(name: str, tube: Tube, layers: Layers) -> Values:
    """Mass attenuation (bins,) of a material in cm²/g: means over each bin."""
    return _mean(mass_attenuation(name, spectrum(tube).energies), tube, layers)


def transmissions(areal: Floats, names: tuple[str, ...], tube: Tube, layers: Layers) -> Floats:
    """Beer and Lambert's law over all energies.

    `areal` (materials, ...) is in g/cm². Returns float32 (4, ...): the signals of low and high as
    fractions of air, and their variances for one photon reaching the pixel in air (divide by the number
    that really does).
    """
    answer = response(tube, layers)
    weights = np.concatenate((answer.signal, answer.variance)).astype(np.float32)
    flat = areal.reshape(len(names), math.prod(areal.shape[1:]))
    exponents = np.zeros((len(answer.energies), len(names)), np.float32)
    for column, name in enumerate(names):
        exponents[:, column] = -bin_attenuation(name, tube, layers)
    result = np.empty((4, flat.shape[1]), np.float32)
    result[:] = weights.sum(axis=1, keepdims=True)
    for start in range(0, flat.shape[1], _BLOCK):
        block = flat[:, start : start + _BLOCK]
        # most pixels are air, and most materials are not here
        here = block.any(axis=1)
        block = block[here]
        matter = np.flatnonzero(block.any(axis=0))
        if len(matter):
            depth = exponents[:, here] @ block[:, matter]
            np.exp(depth, out=depth)
            result[:, start + matter] = weights @ depth
    return result.reshape(4, *areal.shape[1:])


_BLOCK = 8192
"""Pixels at a time: with all bins they stay in a core's second-level cache."""


@lru_cache(maxsize=128)
def _bins(tube: Tube, layers: Layers) -> tuple[npt.NDArray[np.int64], Values]:
    """The bin of each fine energy, and what both layers see there.

    Bins hold equal shares of what is seen to `BIN_POWER`, and are cut once more at `K_EDGES`.
    """
    source = spectrum(tube)
    seen = source.photons * source.energies * absorbed_shares(source.energies, layers)
    weights: Values = (seen / seen.sum(axis=1, keepdims=True)).sum(axis=0)
    grown, whole = np.cumsum(weights**BIN_POWER), BINS - len(K_EDGES)
    shares = np.minimum((grown / grown[-1] * whole).astype(np.int64), whole - 1)
    shares += np.searchsorted(K_EDGES, source.energies)
    return np.unique(shares, return_inverse=True)[1].astype(np.int64), weights


def _gathered(rows: Values, tube: Tube, layers: Layers) -> Values:
    """Sums (rows, bins) of fine `rows` (rows, n)."""
    bin_of, _ = _bins(tube, layers)
    return np.stack([np.bincount(bin_of, row) for row in rows])


def _mean(fine: Values, tube: Tube, layers: Layers) -> Values:
    """Means (bins,) of `fine` (n,), weighted by what is seen."""
    bin_of, weights = _bins(tube, layers)
    mean: Values = np.bincount(bin_of, weights * fine) / np.bincount(bin_of, weights)
    return mean

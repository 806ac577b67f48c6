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

import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.materials import mass_attenuation, material
from nii_edge.simulate.spectrum import Tube, spectrum

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

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


@lru_cache(maxsize=512)
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
    flat = np.ascontiguousarray(areal.reshape(len(names), math.prod(areal.shape[1:])), np.float32)
    exponents = np.zeros((len(names), len(answer.energies)), np.float32)
    for row, name in enumerate(names):
        exponents[row] = bin_attenuation(name, tube, layers) * -math.log2(math.e)
    result = np.empty((4, flat.shape[1]), np.float32)
    _transmit(flat, exponents, weights, result)
    return result.reshape(4, *areal.shape[1:])


_BLOCK = 256
"""Pixels at a time: they and all that is worked out for them stay in a core's first-level cache."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _transmit(areal: Floats, exponents: Floats, weights: Floats, result: Floats) -> None:
    """`result` (4, pixels): the sums over energies of `weights` (4, bins) times 2 to the power of `exponents`
    (materials, bins) times `areal` (materials, pixels), whose exponents are 0 or below.

    Most pixels are air, and most materials are not where others are: both are left out. 2^x is a whole power,
    set as the exponent of a float, times the Taylor series of the rest, right to 2e-7.
    """
    count, air = areal.shape[0], weights.sum(axis=1)
    places, present = np.empty(_BLOCK, np.int64), np.empty(count, np.int64)
    here = np.zeros((count, _BLOCK), np.float32)
    # one array each, not rows of one: of those the compiler knows that they do not overlap
    low, high = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    low_spread, high_spread = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    depth, share = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    bits = np.empty(_BLOCK, np.int32)
    pixel = 0
    while pixel < areal.shape[1]:
        filled = 0
        while pixel < areal.shape[1] and filled < _BLOCK:
            matter = False
            for m in range(count):
                matter |= areal[m, pixel] != 0
            places[filled] = pixel
            filled += matter
            result[:, pixel] = air
            pixel += 1
        kinds = _gather(areal, places[:filled], here, present)
        low[:], high[:], low_spread[:], high_spread[:] = 0, 0, 0, 0
        for bin_ in range(exponents.shape[1]):
            depth[:] = 0
            for kind in range(kinds):
                each, own = exponents[present[kind], bin_], here[kind]
                for n in range(_BLOCK):
                    depth[n] += each * own[n]
            _power_of_two(depth, share, bits, bits.view(np.float32))
            a, b, c, d = weights[0, bin_], weights[1, bin_], weights[2, bin_], weights[3, bin_]
            for n in range(_BLOCK):
                low[n] += a * share[n]
                high[n] += b * share[n]
                low_spread[n] += c * share[n]
                high_spread[n] += d * share[n]
        for n in range(filled):
            place = places[n]
            result[0, place], result[1, place] = low[n], high[n]
            result[2, place], result[3, place] = low_spread[n], high_spread[n]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather(areal: Floats, places: Places, here: Floats, present: Places) -> int:
    """The rows of `areal` that are not 0 all over `places`: what is there into the rows of `here`, which rows
    they are into `present`, and how many."""
    kinds = 0
    for m in range(areal.shape[0]):
        matter = False
        for n in range(len(places)):
            here[kinds, n] = areal[m, places[n]]
            matter |= here[kinds, n] != 0
        if matter:
            present[kinds] = m
            kinds += 1
    return kinds


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _power_of_two(exponent: Floats, power: Floats, bits: Integers, whole: Floats) -> None:
    """`power` (n,): 2 to the `exponent` (n,), which is 0 or below and at least -125 counts. `whole` is the
    memory of `bits` (n,) read as floats."""
    for n in range(_BLOCK):
        x = max(exponent[n], np.float32(-125))
        steps = np.float32(np.int32(x - np.float32(0.5)))
        bits[n] = np.int32((steps + np.float32(127)) * np.float32(8388608))
        exponent[n] = (x - steps) * np.float32(0.6931472)
    for n in range(_BLOCK):
        r = exponent[n]
        tail = np.float32(1 / 24) + r * (np.float32(1 / 120) + r * np.float32(1 / 720))
        series = np.float32(1 / 2) + r * (np.float32(1 / 6) + r * tail)
        power[n] = (np.float32(1) + r * (np.float32(1) + r * series)) * whole[n]


@lru_cache(maxsize=512)
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

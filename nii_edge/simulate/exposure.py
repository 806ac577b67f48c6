"""From signal at the detector to raw counts: everything that stands between physics and a picture."""

from __future__ import annotations

import cv2
import numba
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.detector import response
from nii_edge.simulate.noise import normal
from nii_edge.simulate.scanner import HOT_NOISE, Drift, Optics, VirtualScanner, air_level, pixels_of

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint16]

FEW_QUANTA = 30.0
"""Signals of fewer quanta are drawn from a Poisson distribution, others from the normal one near it."""
_REDUCED = 8
"""Scatter is worked out on pixels so many times wider: it is smooth over hundreds."""
_LINE_TAPS, _PIXEL_TAPS = 7, 9
"""Lengths of the blur kernels, odd; they hold shifts of up to a pixel."""


def expose(
    signal: Floats, scanner: VirtualScanner, view: int, drift: Drift, rng: np.random.Generator
) -> Counts:
    """Raw counts (lines, pixels, 2) of low and high, as view number `view` of `scanner` would give them.

    `signal` (4, lines, pixels) is what `nii_edge.simulate.detector.transmissions` returns, for the tube as
    drifted; it is overwritten.
    """
    pixels = pixels_of(scanner, view)
    width = signal.shape[2]
    level = air_level(scanner, drift)
    _add_scatter(signal, scanner, view)
    _blur(signal, scanner.optics)
    ripple = 1 + rng.standard_normal((signal.shape[1], 1), np.float32) * scanner.stability.ripple
    counts = np.empty((signal.shape[1], width, 2), np.uint16)
    offsets = _offsets(scanner, view, drift)
    for channel in range(2):
        # tube output raises photons and signal alike
        photons = (scanner.photons * pixels.flux * level[channel]).astype(np.float32)
        seen = _with_quanta(signal[channel], signal[channel + 2], photons, ripple, rng)
        if scanner.optics.crosstalk:
            share = scanner.optics.crosstalk
            kernel = np.array((share, 1 - 2 * share, share), np.float32)
            seen = cv2.sepFilter2D(seen, -1, kernel, np.ones(1, np.float32), borderType=cv2.BORDER_REPLICATE)
        rms = np.full(width, scanner.electronics.noise, np.float32)
        rms[pixels.hot[channel]] *= HOT_NOISE
        gain = pixels.gain[channel] * drift.gains[view][channel] * level[channel]
        noise = normal((signal.shape[1], width), rng)
        _count(seen, ripple, gain, noise, rms, offsets[channel], counts, channel)
        counts[:, pixels.dead[channel], channel] = np.rint(pixels.stuck[channel, pixels.dead[channel]])
    return counts


def dark(scanner: VirtualScanner, view: int, drift: Drift, rng: np.random.Generator, lines: int) -> Counts:
    """Raw counts (lines, pixels, 2) with the tube off."""
    nothing = np.zeros((4, lines, len(pixels_of(scanner, view).flux)), np.float32)
    return expose(nothing, scanner, view, drift, rng)


def _offsets(scanner: VirtualScanner, view: int, drift: Drift) -> Floats:
    """Dark counts (2, pixels)."""
    pixels = pixels_of(scanner, view)
    glow = np.where(pixels.hot, pixels.glow, np.float32(0))
    offsets: Floats = pixels.offset + drift.offsets[view] + glow
    return offsets


def _add_scatter(signal: Floats, scanner: VirtualScanner, view: int) -> None:
    """Scattered light of each line, all over its own fan: the slit keeps that of other lines out.

    What an object scatters towards the detector goes as its depth times what gets through, -T ln T
    (Ohnesorge, Flohr and Klingenbeck-Regn, Eur. Radiol. 9, 1999).
    """
    optics = scanner.optics
    if not optics.scatter:
        return
    lines, width = signal.shape[1:]
    sigma = optics.scatter_reach / scanner.views[view].pitch / _REDUCED
    size = (-(-width // _REDUCED), lines)
    per_signal = response(scanner.tube, scanner.layers).variance.sum(axis=1)
    for channel in range(2):
        small = cv2.resize(signal[channel], size, interpolation=cv2.INTER_AREA)
        np.clip(small, np.float32(1e-9), np.float32(1), out=small)
        small *= -np.log(small)
        # constant beyond the ends: half of a wide object's scatter is lost there otherwise
        small = cv2.GaussianBlur(small, (0, 1), sigma, sigmaY=1e-3, borderType=cv2.BORDER_REPLICATE)
        small *= np.float32(optics.scatter)
        scattered = cv2.resize(small, (width, lines), interpolation=cv2.INTER_LINEAR)
        signal[channel] += scattered
        scattered *= np.float32(per_signal[channel])
        signal[channel + 2] += scattered


def _blur(signal: Floats, optics: Optics) -> None:
    """Focal spot, aperture, lag, and the high layer's place beside the low one, in one pass a plane."""
    for plane in range(4):
        shift = optics.registration if plane % 2 else (0.0, 0.0)
        along = _gauss(_LINE_TAPS, optics.blur[0], shift[0])
        if optics.lag:
            # cv2 correlates: taps before the middle are earlier lines
            left_over = optics.lag ** np.arange(_LINE_TAPS // 2, -1, -1, dtype=np.float64)
            along = np.convolve(along, np.concatenate((left_over, np.zeros(_LINE_TAPS // 2))), "same")
            along /= along.sum()
        across = _gauss(_PIXEL_TAPS, optics.blur[1], shift[1])
        cv2.sepFilter2D(signal[plane], -1, across, along, dst=signal[plane], borderType=cv2.BORDER_REPLICATE)


def _gauss(taps: int, sigma: float, shift: float) -> npt.NDArray[np.float64]:
    """A kernel of sum 1 that smears by `sigma` and moves a picture by `shift` pixels to higher indexes."""
    places = np.arange(taps) - taps // 2
    if sigma <= 0:
        return np.asarray(np.maximum(1 - np.abs(places + shift), 0.0))
    # the whole of each tap, so that the sum and the centre hold for a sigma below a pixel
    fine = np.linspace(-0.5, 0.5, 33)[:, None]
    kernel = np.exp(-(((places + fine + shift) / sigma) ** 2) / 2).sum(axis=0)
    return np.asarray(kernel / kernel.sum())


def _with_quanta(
    mean: Floats, spread: Floats, photons: Floats, ripple: Floats, rng: np.random.Generator
) -> Floats:
    """`mean` as so many photons would draw it: a scaled Poisson variable of the right mean and variance.
    `photons` (pixels,) in air, times `ripple` (lines, 1)."""
    seen = normal((mean.shape[0], mean.shape[1]), rng)
    few = np.empty(mean.shape, np.bool_)
    if _draw(seen, mean, spread, photons, ripple, few):
        lines, pixels = np.nonzero(few)
        middle = np.maximum(mean[lines, pixels], np.float32(1e-12))
        size = spread[lines, pixels] / (photons[pixels] * ripple[lines, 0]) / middle
        seen[lines, pixels] = rng.poisson(middle / np.maximum(size, np.float32(1e-12))) * size
    return seen


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _draw(
    seen: Floats, mean: Floats, spread: Floats, photons: Floats, ripple: Floats, few: npt.NDArray[np.bool_]
) -> bool:
    """Standard normal values to those of `mean`, in place. `few`: which pixels have too few quanta for them;
    whether there are any."""
    found = False
    for line in range(seen.shape[0]):
        for pixel in range(seen.shape[1]):
            variance = spread[line, pixel] / (photons[pixel] * ripple[line, 0])
            middle = mean[line, pixel]
            few[line, pixel] = middle * middle < np.float32(FEW_QUANTA) * variance
            found |= few[line, pixel]
            seen[line, pixel] = seen[line, pixel] * np.sqrt(variance) + middle
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(
    seen: Floats, ripple: Floats, gain: Floats, noise: Floats, rms: Floats, offset: Floats, counts: Counts,
    channel: int,
) -> None:  # fmt: skip
    """Signals (lines, pixels), 1 in air, to whole counts within 16 bits."""
    for line in range(seen.shape[0]):
        for pixel in range(seen.shape[1]):
            value = seen[line, pixel] * ripple[line, 0] * gain[pixel] + noise[line, pixel] * rms[pixel]
            value = np.rint(value + offset[pixel])
            counts[line, pixel, channel] = np.uint16(min(max(value, np.float32(0)), np.float32(65535)))

"""From signal to counts: noise as photons make it, smears that keep their sums, pixels that misbehave."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.simulate.detector import transmissions
from nii_edge.simulate.exposure import expose
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.scanner import (
    Electronics,
    Optics,
    Stability,
    VirtualScanner,
    air_level,
    drift_of,
    drifted_tube,
    pixels_of,
    steady,
)

STILL = Optics((0.0, 0.0), 0.0, 0.0, 0.0, 80.0, (0.0, 0.0))
QUIET = Electronics(50000.0, 1000.0, 100.0, 0.0, 0.05, 0.0, 0.0)
SMOOTH = Stability(0, 0, 0, 0, 0, 0, 0)
PLAIN = SCANNERS["gantry"]._replace(
    optics=STILL, electronics=QUIET, stability=SMOOTH, views=SCANNERS["gantry"].views[:1]
)


def slab(scanner: VirtualScanner, areal: float, lines: int = 200, material: str = "water") -> np.ndarray:
    """The signal of a slab over all of view 0."""
    width = len(pixels_of(scanner, 0).flux)
    plane = np.full((1, lines, width), areal, np.float32)
    return transmissions(plane, (material,), scanner.tube, scanner.layers)


def calibrated(scanner: VirtualScanner, signal: np.ndarray, seed: int = 0) -> np.ndarray:
    """Transmissions (lines, pixels, 2) by the true offset and gain of every pixel."""
    counts = expose(signal.copy(), scanner, 0, steady(scanner), np.random.default_rng(seed))
    pixels = pixels_of(scanner, 0)
    return (counts.astype(np.float64) - pixels.offset.T) / pixels.gain.T


def bar(scanner: VirtualScanner) -> np.ndarray:
    """The signal of air with an opaque bar across lines 80 to 119 and pixels 300 to 339."""
    signal = slab(scanner, 0.0)
    signal[:, 80:120, 300:340] = 0
    return signal


@pytest.mark.parametrize("areal", [0.0, 5.0, 20.0])
def test_noise_falls_with_the_root_of_the_photons_as_predicted(areal: float) -> None:
    for photons in (4000.0, 16000.0, 64000.0):
        scanner = PLAIN._replace(photons=photons)
        signal = slab(scanner, areal)
        seen = calibrated(scanner, signal)
        expected = np.sqrt(signal[2:, 0, 0] / photons)
        np.testing.assert_allclose(seen.std(axis=(0, 1)), expected, rtol=0.02)
        np.testing.assert_allclose(seen.mean(axis=(0, 1)), signal[:2, 0, 0], rtol=0.005)


def test_few_quanta_are_drawn_with_the_right_mean_and_variance_and_never_below_zero() -> None:
    scanner = PLAIN._replace(photons=12000.0)
    signal = slab(scanner, 40.0, material="steel")
    quanta = signal[1, 0, 0] ** 2 / signal[3, 0, 0] * scanner.photons
    assert quanta < 5
    seen = calibrated(scanner, signal)
    rounding = 1 / 50000
    np.testing.assert_allclose(seen.mean(axis=(0, 1))[1], signal[1, 0, 0], rtol=0.02, atol=rounding)
    np.testing.assert_allclose(
        seen.std(axis=(0, 1))[1], np.sqrt(signal[3, 0, 0] / scanner.photons), rtol=0.02
    )
    assert seen.min() > -2 * rounding


def test_low_and_high_noise_are_independent() -> None:
    seen = calibrated(PLAIN, slab(PLAIN, 1.0))
    assert abs(np.corrcoef(seen[..., 0].ravel(), seen[..., 1].ravel())[0, 1]) < 0.01


def test_blur_and_crosstalk_soften_an_edge_and_keep_the_signal() -> None:
    many = PLAIN._replace(photons=1e9)
    soft = many._replace(optics=STILL._replace(blur=(0.8, 1.0), crosstalk=0.03))
    sharp_bar, soft_bar = calibrated(many, bar(many)), calibrated(soft, bar(soft))
    assert sharp_bar[100, 299:301, 0] == pytest.approx([1, 0], abs=1e-3)
    assert 0.2 < soft_bar[100, 300, 0] < 0.5 < soft_bar[100, 299, 0] < 0.8
    np.testing.assert_allclose(soft_bar.sum(axis=(0, 1)), sharp_bar.sum(axis=(0, 1)), rtol=1e-4)


def test_crosstalk_ties_the_noise_of_neighbours_together() -> None:
    tied = PLAIN._replace(optics=STILL._replace(crosstalk=0.1))
    for scanner, expected in ((PLAIN, 0.0), (tied, 2 * 0.1 * 0.8 / (0.8**2 + 2 * 0.1**2))):
        seen = calibrated(scanner, slab(scanner, 0.0))[..., 1]
        tie = np.corrcoef(seen[:, :-1].ravel(), seen[:, 1:].ravel())[0, 1]
        assert tie == pytest.approx(expected, abs=0.01)


def test_lag_reaches_later_lines_only() -> None:
    slow = PLAIN._replace(photons=1e9, optics=STILL._replace(lag=0.2))
    seen = calibrated(slow, bar(slow))[:, 320, 1]
    assert seen[79] == pytest.approx(1, abs=1e-3)
    assert seen[80] == pytest.approx(0.2, abs=0.01)
    assert seen[81] == pytest.approx(0.04, abs=0.01)
    assert seen[119] == pytest.approx(0, abs=1e-3)
    assert seen[120] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("blur", [(0.0, 0.0), (0.6, 0.6)])
def test_the_high_picture_lies_beside_the_low_one(blur: tuple[float, float]) -> None:
    apart = PLAIN._replace(photons=1e9, optics=STILL._replace(blur=blur, registration=(0.4, -0.3)))
    missing = 1 - calibrated(apart, bar(apart))
    lines, pixels = np.arange(missing.shape[0]), np.arange(missing.shape[1])
    middles = [
        (np.average(lines, weights=plane.sum(axis=1)), np.average(pixels, weights=plane.sum(axis=0)))
        for plane in np.moveaxis(missing, -1, 0)
    ]
    np.testing.assert_allclose(np.subtract(middles[1], middles[0]), (0.4, -0.3), atol=0.02)


@pytest.mark.parametrize("scatter", [0.01, 0.05])
def test_scatter_is_its_stated_share_of_primary_behind_a_wide_object(scatter: float) -> None:
    cloudy = PLAIN._replace(photons=1e9, optics=STILL._replace(scatter=scatter))
    signal = slab(cloudy, 8.0)
    primary = signal[:2, 0, 0]
    seen = calibrated(cloudy, signal).mean(axis=(0, 1))
    np.testing.assert_allclose(seen / primary - 1, scatter * -np.log(primary), rtol=0.03)


def test_scatter_fills_the_shadow_of_steel_between_light_goods_and_leaves_air_lines_alone() -> None:
    cloudy = PLAIN._replace(photons=1e9, optics=STILL._replace(scatter=0.03))
    signal = slab(cloudy, 0.0)
    signal[:, 80:120] = slab(cloudy, 5.0)[:, 80:120]
    signal[:, 80:120, 300:340] = 0
    seen = calibrated(cloudy, signal)
    assert 0.003 < seen[100, 320, 1] < 0.02
    np.testing.assert_allclose(seen[10], 1, atol=2e-3)


def test_dead_pixels_are_stuck_and_hot_ones_glow_in_every_frame() -> None:
    flawed = PLAIN._replace(electronics=QUIET._replace(dead=0.02, hot=0.02, noise=5.0))
    pixels = pixels_of(flawed, 0)
    assert pixels.dead.any()
    assert pixels.hot.any()
    assert not (pixels.dead & pixels.hot).any()
    for areal in (0.0, 10.0):
        counts = expose(slab(flawed, areal), flawed, 0, steady(flawed), np.random.default_rng(1))
        for channel in range(2):
            dead = counts[:, pixels.dead[channel], channel]
            stuck = np.rint(pixels.stuck[channel, pixels.dead[channel]])
            np.testing.assert_array_equal(dead, np.broadcast_to(stuck, dead.shape))
    nothing = np.zeros_like(slab(flawed, 0.0))
    darkness = expose(nothing, flawed, 0, steady(flawed), np.random.default_rng(1)).astype(float)
    for channel in range(2):
        hot, fine = pixels.hot[channel], ~(pixels.hot | pixels.dead)[channel]
        above = darkness[..., channel].mean(axis=0) - pixels.offset[channel]
        assert above[hot].min() > 1000
        assert np.abs(above[fine]).max() < 5
        spread = darkness[..., channel].std(axis=0)
        assert spread[hot].min() > 3 * spread[fine].max()


def test_counts_are_clipped_at_sixteen_bits() -> None:
    bright = PLAIN._replace(electronics=QUIET._replace(full_scale=66000.0, offset=500.0))
    counts = expose(slab(bright, 0.0), bright, 0, steady(bright), np.random.default_rng(0))
    assert counts.dtype == np.uint16
    assert (counts == 65535).any()
    assert counts.min() > 30000


def test_the_electronics_add_their_own_noise() -> None:
    noisy = PLAIN._replace(electronics=QUIET._replace(noise=25.0))
    darkness = expose(np.zeros_like(slab(noisy, 0.0)), noisy, 0, steady(noisy), np.random.default_rng(0))
    np.testing.assert_allclose(darkness.astype(float).std(axis=0).mean(axis=0), 25, rtol=0.02)


def test_a_higher_voltage_raises_the_air_and_the_share_that_gets_through() -> None:
    scanner = SCANNERS["quay"]
    state = steady(scanner)._replace(kilovolts=2.0)
    assert (air_level(scanner, state) > 1.01).all()
    np.testing.assert_allclose(air_level(scanner, steady(scanner)), 1)
    plane = np.full((1, 1, 1), 10.0, np.float32)
    harder = transmissions(plane, ("water",), drifted_tube(scanner, state), scanner.layers)
    usual = transmissions(plane, ("water",), scanner.tube, scanner.layers)
    assert (harder[:2] > usual[:2]).all()
    aged = steady(scanner)._replace(filtration=0.5)
    assert (air_level(scanner, aged) < 1).all()


@pytest.mark.parametrize("name", SCANNERS)
def test_drifts_are_as_large_as_the_scanners_stability_says(name: str) -> None:
    scanner, rng = SCANNERS[name], np.random.default_rng(5)
    drifts = [drift_of(scanner, rng) for _ in range(200)]
    moves = scanner.stability
    kilovolts = np.std([drift.kilovolts for drift in drifts])
    assert kilovolts == pytest.approx(np.hypot(moves.kilovolts, 0.5 / np.sqrt(12)), rel=0.25)
    assert np.std([drift.output for drift in drifts]) == pytest.approx(moves.output, rel=0.25)
    assert min(drift.filtration for drift in drifts) >= 0
    gains = np.array([drift.gains[0] for drift in drifts])
    assert gains.std() == pytest.approx(moves.gain * np.hypot(1, 0.25), rel=0.1)

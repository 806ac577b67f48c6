"""The two-layer detector: the published ratios, Beer and Lambert's law, and what binning costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from nii_edge.simulate.detector import Layers, absorbed_shares, response, transmissions
from nii_edge.simulate.materials import MATERIALS, mass_attenuation
from nii_edge.simulate.spectrum import Tube, spectrum

TUBE, LAYERS = Tube(160.0), Layers()

RATIOS = {
    "polyethylene": (1.18, 1.17, 1.16, 1.15),
    "cellulose": (1.26, 1.24, 1.22, 1.20),
    "water": (1.30, 1.28, 1.24, 1.21),
    "tnt": (1.27, 1.25, 1.23, 1.20),
    "heroin": (1.23, 1.21, 1.20, 1.18),
    "fentanyl_hcl": (1.42, 1.37, 1.31, 1.26),
    "quartz": (1.76, 1.60, 1.47, 1.37),
    "aluminium": (1.94, 1.72, 1.54, 1.41),
    "pvc": (2.08, 1.81, 1.60, 1.45),
    "salt": (2.23, 1.90, 1.65, 1.48),
    "lithium_cobalt_oxide": (2.93, 2.34, 1.91, 1.60),
    "iron": (3.12, 2.44, 1.96, 1.63),
    "copper": (3.22, 2.51, 2.00, 1.64),
}
"""ln T of low over ln T of high where high lets 0.8, 0.5, 0.2 and 0.05 through: 160 kV, 3 mm aluminium,
caesium iodide 0.3 mm, copper 0.6 mm, caesium iodide 4 mm, energy-integrating."""


def signals(name: str, areal: float | np.ndarray) -> np.ndarray:
    return transmissions(np.atleast_1d(areal)[None].astype(np.float32), (name,), TUBE, LAYERS)[:2]


def fine_signals(name: str, areal: np.ndarray) -> np.ndarray:
    """The same without binning, straight from the formula."""
    source = spectrum(TUBE)
    seen = source.photons * source.energies * absorbed_shares(source.energies, LAYERS)
    seen /= seen.sum(axis=1, keepdims=True)
    return seen @ np.exp(-np.outer(mass_attenuation(name, source.energies), areal))


@pytest.mark.parametrize("name", RATIOS)
def test_the_ratio_table_holds_within_one_percent(name: str) -> None:
    for through, expected in zip((0.8, 0.5, 0.2, 0.05), RATIOS[name], strict=True):
        areal = brentq(lambda x, t=through: float(signals(name, x)[1, 0]) - t, 1e-3, 200)
        low, high = np.log(signals(name, areal)[:, 0])
        assert low / high == pytest.approx(expected, rel=0.01)


def test_lead_looks_lighter_the_thicker_it_gets_from_its_k_edge() -> None:
    low, high = np.log(signals("lead", np.array((0.05, 3.0))))
    ratios = low / high
    assert ratios[0] > 1.7
    assert ratios[1] < 1.4


def test_the_layers_see_mean_energies_of_60_and_97_kev() -> None:
    found = response(TUBE, LAYERS)
    np.testing.assert_allclose(found.signal @ found.energies, (60, 97), rtol=0.01)
    np.testing.assert_allclose(found.signal.sum(axis=1), 1)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MATERIALS
        if name not in ("silver", "gold", "tungsten", "gadolinium_oxysulfide", "caesium_iodide")
    ],
)
def test_binning_costs_less_than_one_percent_of_depth(name: str) -> None:
    areal = np.geomspace(0.01, 300, 300)
    fine = fine_signals(name, areal)
    kept = (fine > 1e-4) & (fine < 0.98)
    assert kept.sum() > 50
    np.testing.assert_allclose(np.log(signals(name, areal)[kept]), np.log(fine[kept]), rtol=0.01)


@given(
    st.sampled_from(sorted(set(MATERIALS) - {"air"})),
    st.floats(0.01, 50),
    st.floats(1.01, 3),
)
def test_more_of_anything_lets_less_through_at_both_energies(name: str, areal: float, times: float) -> None:
    thin, thick = signals(name, np.array((areal, areal * times))).T
    assert (thin <= 1).all()
    assert (thick <= thin).all()
    assert (thick < thin).all() or thin.min() < 1e-6


def test_materials_behind_each_other_add_up() -> None:
    """Half and half of one material under two names is all of it under one."""
    areal = np.array((0.5, 2.0, 8.0), np.float32)
    both = transmissions(np.stack((areal, areal)), ("cellulose", "cotton"), TUBE, LAYERS)
    once = transmissions(2 * areal[None], ("cellulose",), TUBE, LAYERS)
    np.testing.assert_allclose(both, once, rtol=1e-5)


def test_no_material_is_air() -> None:
    seen = transmissions(np.zeros((0, 3, 5), np.float32), (), TUBE, LAYERS)
    assert seen.shape == (4, 3, 5)
    np.testing.assert_allclose(seen[:2], 1, rtol=1e-5)


def test_the_noise_of_counted_energy_exceeds_that_of_counted_photons() -> None:
    """Variance per photon is at least 1 over the absorbed share, by Cauchy and Schwarz."""
    source = spectrum(TUBE)
    absorbed = (source.photons * absorbed_shares(source.energies, LAYERS)).sum(axis=1)
    least = source.photons.sum() / absorbed / LAYERS.swank
    found = response(TUBE, LAYERS).variance.sum(axis=1)
    assert (found >= least).all()
    assert (found <= 1.3 * least).all()

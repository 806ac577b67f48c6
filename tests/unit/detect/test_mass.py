"""Masses put right, on cartons whose true mass and whose scanner's faults are known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from cartons import consignment
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.detect import mass, ridge
from nii_edge.xray.carton import Measures

RNG = np.random.default_rng(7)
CARTONS = 240


def biased() -> tuple[list[Measures], np.ndarray, list[str]]:
    """Cartons that weigh more the more metal they hold, and less surely."""
    one = consignment().measures[0]
    metal, true = RNG.uniform(0, 0.8, CARTONS), RNG.uniform(2000, 9000, CARTONS)
    seen = true * np.exp(0.3 * metal + RNG.normal(size=CARTONS) * (0.01 + 0.12 * metal))
    made = [
        one._replace(grams=float(g), metal=float(m), organic=float(1 - m), inorganic=0.0)
        for g, m in zip(seen, metal, strict=True)
    ]
    return made, true, [str(number // 4) for number in range(CARTONS)]


@lru_cache(maxsize=1)
def learned() -> tuple[mass.MassModel, Measures]:
    measures, true, groups = biased()
    return mass.fit(measures, true, groups)[0], measures[0]


def test_a_bias_is_learned_and_so_is_how_sure_a_mass_is() -> None:
    measures, true, groups = biased()
    model, held_out = mass.fit(measures, true, groups)
    before = np.array([abs(np.log(each.grams / g)) for each, g in zip(measures, true, strict=True)])
    after = np.array([abs(np.log(each.grams / g)) for each, g in zip(held_out, true, strict=True)])
    assert np.median(after) < 0.6 * np.median(before)
    light, heavy = (
        mass.weighed(model, measures[0]._replace(metal=share, organic=1 - share)).grams_error
        for share in (0.05, 0.75)
    )
    assert heavy > 1.5 * light
    sigmas = [np.log(each.grams / g) / each.grams_error for each, g in zip(held_out, true, strict=True)]
    assert 0.7 < float(np.std(sigmas)) < 1.4
    with pytest.raises(ValueError, match="five or more"):
        mass.fit(measures[:8], true[:8], groups[:8])


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e9), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(-1e3, 1e3))
def test_whatever_was_measured_a_mass_stays_near_it(
    grams: float, metal: float, blind: float, off_mm: float, texture: float
) -> None:
    """Never more than by the limit, also far from all that was learned; and its error is a share."""
    model, one = learned()
    odd = one._replace(
        grams=grams,
        metal=metal,
        impenetrable_cm2=blind,
        fit_mm=off_mm,
        texture=one.texture + texture,
    )
    found = mass.weighed(model, odd)
    assert abs(np.log(found.grams / grams)) <= mass.MOST_OFF / 2 + 1e-9
    assert mass.LEAST_ERROR <= found.grams_error <= mass.MOST_ERROR


def test_far_from_every_example_the_mean_is_all_that_is_known() -> None:
    rows = RNG.normal(size=(50, 3))
    model = ridge.fit(rows, rows[:, 0] + 5, ridge.Kernel(0.5, 0.01))
    assert ridge.predict(model, np.full((1, 3), 100.0))[0] == pytest.approx(float(model.mean))
    assert ridge.predict(model, rows)[:5] == pytest.approx(rows[:5, 0] + 5, abs=0.3)

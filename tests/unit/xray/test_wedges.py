"""Step wedges: what is measured becomes a curve; what contradicts itself is refused by name."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import polychromatic as model
import pytest
import xraydb

from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.xray.wedges import BOUND, Wedge, WedgeStep, fit, plausible, respond


def fault(*wedges: Wedge) -> CalibrationFault:
    """Why these are refused."""
    with pytest.raises(CalibrationError) as caught:
        respond(wedges)
    return caught.value.fault


def changed(wedge: Wedge, index: int, **values: float) -> Wedge:
    steps = list(wedge.steps)
    steps[index] = msgspec.structs.replace(steps[index], **values)
    return msgspec.structs.replace(wedge, steps=tuple(steps))


@pytest.mark.parametrize("name", list(model.STEPS))
def test_a_curve_runs_through_its_steps(name: str) -> None:
    """Ratio and mass at a step's x are the step's, within 1 %."""
    response = fit(model.wedge(name))
    for step in model.wedge(name).steps:
        if min(step.t_low, step.t_high) > 3e-4 and max(step.t_low, step.t_high) < 0.97:
            x = np.array([-math.log(step.t_high)])
            assert response.ratio_at(x)[0] == pytest.approx(-math.log(step.t_low) / x[0], rel=0.01)
            grams = model.DENSITY[name] * step.thickness_mm / 10
            assert response.mass_at(x)[0] * x[0] == pytest.approx(grams, rel=0.01)


def test_curves_go_on_beyond_their_steps() -> None:
    """Extrapolated ratios stay above 1 and keep falling; masses stay positive."""
    x = np.linspace(0, 15, 400)
    for name in ("PE", "Al", "Fe"):
        response = fit(model.wedge(name))
        ratio = response.ratio_at(x)
        assert np.all(ratio > 1)
        assert np.all(np.diff(ratio) <= 1e-9)
        assert np.all(response.mass_at(x) > 0)


def test_responses_come_by_rising_z() -> None:
    """Whatever order the wedges were scanned in; a heavy metal's wedge is left out."""
    responses = respond((model.wedge("Fe"), model.wedge("Pb", k_edge=True), *model.wedges("Al", "PE")))
    assert [response.name for response in responses] == ["PE", "Al", "Fe"]


def test_two_wedges_are_not_enough() -> None:
    """Three materials at least, of different Z."""
    assert fault(*model.wedges("PE", "Fe")) is CalibrationFault.BAD_WEDGES
    assert fault(*model.wedges("PE", "Fe", "Fe")) is CalibrationFault.BAD_WEDGES


def test_swapped_energies_are_named() -> None:
    """A scanner whose low channel penetrates better has them the wrong way round."""
    swapped = [
        msgspec.structs.replace(
            wedge,
            steps=tuple(
                WedgeStep(thickness_mm=s.thickness_mm, t_low=s.t_high, t_high=s.t_low) for s in wedge.steps
            ),
        )
        for wedge in model.wedges()
    ]
    assert fault(*swapped) is CalibrationFault.ENERGIES_SWAPPED
    with pytest.raises(CalibrationError, match="exchange the two planes where the scanner's frames are sent"):
        fit(swapped[0])  # a profile names the low energy first, so nothing can be exchanged there


def test_exchanged_wedges_are_named() -> None:
    """Aluminium scanned as water and water as aluminium."""
    pe, water, aluminium, iron = model.wedges()
    wrong = (
        msgspec.structs.replace(water, steps=aluminium.steps),
        msgspec.structs.replace(aluminium, steps=water.steps),
    )
    assert fault(pe, *wrong, iron) is CalibrationFault.BAD_WEDGES


@pytest.mark.parametrize(
    "values", [{"t_high": 0.5}, {"thickness_mm": 30.0}, {"t_low": math.nan}, {"t_low": 0.25}]
)
def test_a_step_that_contradicts_the_others_is_named(values: dict[str, float]) -> None:
    """One transmission or thickness noted wrongly is found, by its wedge."""
    bad = changed(model.wedge("Al"), 4, **values)
    with pytest.raises(CalibrationError, match="wedge Al") as caught:
        respond((*model.wedges("PE", "Fe"), bad))
    assert caught.value.fault is CalibrationFault.BAD_WEDGES


def test_too_few_steps_within_range_are_named() -> None:
    """Steps that let nearly everything or nothing through do not count."""
    thin = msgspec.structs.replace(model.wedge("Al"), steps=model.wedge("Al").steps[:3])
    assert fault(*model.wedges("PE", "Fe"), thin) is CalibrationFault.BAD_WEDGES


@pytest.mark.parametrize("name", list(model.STEPS))
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_wedge_in_other_units_is_named(name: str, factor: float) -> None:
    """Centimetres for millimetres, or kg/m3 and the like for a density: masses would be wrong tenfold."""
    wedge = model.wedge(name)
    thinner = tuple(
        msgspec.structs.replace(step, thickness_mm=step.thickness_mm * factor) for step in wedge.steps
    )
    for wrong in (
        msgspec.structs.replace(wedge, steps=thinner),
        msgspec.structs.replace(wedge, density=wedge.density * factor),
    ):
        with pytest.raises(CalibrationError, match=f"wedge {name}: by thickness .*in mm.*g/cm3") as caught:
            fit(wrong)
        assert caught.value.fault is CalibrationFault.BAD_WEDGES


def test_steel_of_the_density_of_water_is_named() -> None:
    """An eighth of its density; found at the thinnest step, which is furthest off."""
    steel = msgspec.structs.replace(model.wedge("Fe"), density=1.0)
    with pytest.raises(CalibrationError, match=r"the step of 0.2 mm .* expected 0.098 to 2.4 for Z 26"):
        fit(steel)


@pytest.mark.parametrize("name", list(model.STEPS))
def test_wedges_in_order_are_far_from_the_bounds(name: str) -> None:
    """By a factor of 1.8 at least."""
    for step in model.wedge(name).steps:
        found = -math.log(step.t_high) / (model.DENSITY[name] * step.thickness_mm / 10)
        least, most = plausible(model.Z[name])
        assert 1.8 * least < found < most / 1.8


def test_bounds_are_those_of_the_elements() -> None:
    """From beryllium to uranium within a fifth of xraydb's numbers between 60 and 150 keV."""
    energies = np.arange(60.0, 150.5, 0.5) * 1e3
    for z in range(4, 93):
        known = xraydb.mu_elam(xraydb.atomic_symbol(z), energies)
        found = np.array(plausible(z)) * (BOUND, 1 / BOUND)
        np.testing.assert_allclose(found, (known.min(), known.max()), rtol=0.2)

"""What material a pixel shows, known from a scanner's own wedges and nothing else."""

from __future__ import annotations

import numpy as np
import polychromatic as model
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.xray.calibrate import Noise
from nii_edge.xray.material import (
    Mass,
    Material,
    MaterialClass,
    build_table,
    look_up,
    mass_grams,
)

QUIET = Noise(dark=(1e-5, 1e-5), air=(1e-4, 1e-4))
REAL = Noise(dark=(2e-4, 2e-4), air=(0.0125, 0.0114))
"""About 7,700 quanta a pixel in air."""
LIMIT = 1e-3
TABLE = build_table(model.wedges(), QUIET, LIMIT)
NOISY = build_table(model.wedges(), REAL, LIMIT)


def seen(masses: dict[str, float], photons: float = 0.0) -> Material:
    """A slab of so many g/cm2 of each material, as the table of the same scanner sees it."""
    low, high = model.transmission(masses)
    return look_up(model.planes(low, high, photons=photons), NOISY if photons else TABLE)


@pytest.mark.parametrize("name", ["PE", "water", "Al", "Fe"])
@given(share=st.floats(0.05, 0.95))
def test_wedge_materials_come_back_with_their_z_and_mass(name: str, share: float) -> None:
    """At any thickness within the wedge, between its steps too: Z within 0.4, areal density within 2 %."""
    thickness = float(np.interp(share, [0, 1], [model.STEPS[name][1], model.STEPS[name][-2]]))
    grams = model.DENSITY[name] * thickness / 10
    material = seen({name: grams})
    assert material.z[0, 0] == pytest.approx(model.Z[name], abs=0.4)
    assert material.areal_density[0, 0] == pytest.approx(grams, rel=0.02)
    assert not material.extrapolated.any()


@pytest.mark.parametrize("name", ["POM", "glass", "PVC"])
@pytest.mark.parametrize("grams", [0.5, 1.0, 3.0, 6.0])
def test_materials_between_the_wedges_are_interpolated(name: str, grams: float) -> None:
    """No wedge of these was scanned: Z within 1.5, areal density within 10 %."""
    material = seen({name: grams})
    assert material.z[0, 0] == pytest.approx(model.Z[name], abs=1.5)
    assert material.areal_density[0, 0] == pytest.approx(grams, rel=0.1)


@pytest.mark.parametrize(
    ("masses", "expected"),
    [
        ({"PE": 2.0}, MaterialClass.ORGANIC),
        ({"PE": 15.0}, MaterialClass.ORGANIC),
        ({"water": 0.5}, MaterialClass.ORGANIC),
        ({"water": 15.0}, MaterialClass.ORGANIC),
        ({"cellulose": 8.0}, MaterialClass.ORGANIC),
        ({"glass": 1.0}, MaterialClass.INORGANIC),
        ({"Al": 0.5}, MaterialClass.INORGANIC),
        ({"Al": 15.0}, MaterialClass.INORGANIC),
        ({"PVC": 2.0}, MaterialClass.INORGANIC),
        ({"Fe": 0.4}, MaterialClass.METAL),
        ({"Fe": 10.0}, MaterialClass.METAL),
        ({"Fe": 40.0}, MaterialClass.IMPENETRABLE),
        ({"Pb": 20.0}, MaterialClass.IMPENETRABLE),
        ({}, MaterialClass.UNDEFINED),
    ],
)
def test_classes_hold_from_thin_to_thick(masses: dict[str, float], expected: MaterialClass) -> None:
    """The class does not change with thickness, though ln T_low / ln T_high halves for steel."""
    assert np.all(seen(masses).classes == expected)


@pytest.mark.parametrize(
    "masses",
    [
        {"cellulose": 0.3},
        {"cellulose": 4.0},
        {"PE": 1.0, "cellulose": 0.5},
        {"water": 8.0},
        {"POM": 3.0},
        {"glass": 2.0},
        {"Al": 1.5, "PE": 1.0},
        {"PVC": 1.0, "cellulose": 1.0},
    ],
)
def test_mass_closes_within_ten_percent_under_noise(masses: dict[str, float]) -> None:
    """Non-metals of 7,700 quanta a pixel on a scanner that knows only its own wedges."""
    truth = sum(masses.values()) * 32 * 32 * 0.0064
    mass = mass_grams(seen(masses, photons=7_700), pixel_area_cm2=0.0064)
    assert mass.grams == pytest.approx(truth, rel=0.1)
    assert not mass.lower_bound


def test_steel_behind_plastic_weighs_what_it_weighs() -> None:
    """Areal density of overlapping materials is between theirs, not two or three times the truth."""
    material = seen({"Fe": 3.0, "PE": 3.0})
    assert material.areal_density[0, 0] == pytest.approx(6.0, rel=0.15)


def test_air_weighs_nothing() -> None:
    """Noise around air does not add up to mass: a square metre weighs less than 10 g."""
    air = look_up(model.planes(1.0, 1.0, (1250, 1250), photons=7_700), NOISY)
    assert abs(mass_grams(air, pixel_area_cm2=0.0064).grams) < 10
    assert np.mean(air.classes == MaterialClass.UNDEFINED) > 0.99


def test_noise_takes_the_class_away_where_it_must() -> None:
    """Thin paper has no class on a noisy scanner and has one on a quiet one; its mass is there on both."""
    low, high = model.transmission({"cellulose": 0.1})
    quiet = look_up(model.planes(low, high), TABLE)
    noisy = look_up(model.planes(low, high), NOISY)
    assert np.all(quiet.classes == MaterialClass.ORGANIC)
    assert np.all(noisy.classes == MaterialClass.UNDEFINED)
    assert noisy.areal_density[0, 0] == pytest.approx(0.1, rel=0.1)


def test_what_cannot_be_seen_through_is_a_lower_bound() -> None:
    """Behind the limit the mass is at least the lightest material's at the limit, and says so."""
    truth = 60.0
    mass = mass_grams(seen({"Fe": truth}), pixel_area_cm2=0.01)
    assert mass.lower_bound
    assert mass.impenetrable_cm2 == pytest.approx(32 * 32 * 0.01)
    assert 0 < mass.grams < truth * 32 * 32 * 0.01


def test_lead_is_not_called_aluminium_when_a_lead_wedge_was_scanned() -> None:
    """Above its K edge lead looks like a light metal; the table of a scanner that knows lead says unknown."""
    low, high = model.transmission({"Pb": 1.0})
    pixels = model.planes(low, high)
    assert np.all(look_up(pixels, TABLE).classes < MaterialClass.METAL)
    table = build_table((*model.wedges(), model.wedge("Pb", k_edge=True)), QUIET, LIMIT)
    assert np.all(look_up(pixels, table).classes == MaterialClass.UNKNOWN)
    water = look_up(model.planes(*model.transmission({"water": 4.0})), table)
    assert np.all(water.classes == MaterialClass.ORGANIC)


def test_beyond_the_wedges_is_flagged() -> None:
    """Organic matter thicker than any wedge of its neighbours still has a class, and a flag."""
    table = build_table(
        tuple(
            model.Wedge(name=w.name, z=w.z, density=w.density, steps=w.steps[:5])
            for w in model.wedges("PE", "water", "Al", "Fe")
        ),
        QUIET,
        LIMIT,
    )
    assert look_up(model.planes(*model.transmission({"PE": 20.0})), table).extrapolated.all()
    assert not look_up(model.planes(*model.transmission({"PE": 5.0})), table).extrapolated.any()


def test_no_pixel_is_left_without_an_answer() -> None:
    """Negative, zero and larger than air: finite numbers and a class, whatever the counts."""
    values = np.array([-0.1, 0.0, 1e-9, 1e-4, 0.5, 0.999, 1.0, 1.0001, 2.0], np.float32)
    low, high = np.meshgrid(values, values)
    material = look_up(np.stack([low, high]), NOISY)
    assert np.isfinite(material.z).all()
    assert np.isfinite(material.areal_density).all()
    assert set(np.unique(material.classes)) <= {int(each) for each in MaterialClass}
    assert np.all(material.classes[high <= LIMIT] == MaterialClass.IMPENETRABLE)


def test_magnification_and_mask_scale_the_mass() -> None:
    """Twice as wide across the fan is half the area; a mask counts what is in it."""
    material = seen({"water": 2.0})
    whole = mass_grams(material, pixel_area_cm2=0.01)
    half = np.zeros((32, 32), bool)
    half[:16] = True
    assert mass_grams(material, 0.01, magnification=2.0).grams == pytest.approx(whole.grams / 2)
    assert mass_grams(material, 0.01, mask=half).grams == pytest.approx(whole.grams / 2)
    assert Mass(1.0, 0.0).lower_bound is False
    with pytest.raises(ValueError, match="magnification 0"):
        mass_grams(material, 0.01, magnification=0)


@pytest.mark.parametrize(
    ("limit", "noise"),
    [(0.0, QUIET), (1.0, QUIET), (LIMIT, Noise((0.0, 0.0), (2.0, 0.1))), (LIMIT, Noise((-1.0, 0.0), (0, 0)))],
)
def test_senseless_limits_and_noise_are_refused(limit: float, noise: Noise) -> None:
    """A limit or noise that is no fraction is named."""
    with pytest.raises(CalibrationError) as caught:
        build_table(model.wedges(), noise, limit)
    assert caught.value.fault is CalibrationFault.PROFILE_MISMATCH

"""Materials: their attenuation is the tabulated one, their classes those of an operator's display."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.errors import SceneError
from nii_edge.simulate.materials import (
    MATERIALS,
    effective_z,
    mass_attenuation,
    material,
    material_class,
)


@pytest.mark.parametrize("name", MATERIALS)
def test_every_material_is_whole_and_has_attenuation_that_falls_with_energy_between_its_edges(
    name: str,
) -> None:
    made = material(name)
    assert sum(share for _, share in made.mix) == pytest.approx(1, abs=1e-9)
    assert 0.001 < made.density < 20
    values = mass_attenuation(name, np.array((95.0, 110.0, 130.0, 160.0)))
    assert (values > 0.05).all()
    assert values[1] > values[2] > values[3]


@pytest.mark.parametrize(
    ("name", "energy", "expected"),
    [
        ("water", 60.0, 0.2059),
        ("water", 100.0, 0.1707),
        ("aluminium", 60.0, 0.2778),
        ("polyethylene", 100.0, 0.1719),
        ("iron", 100.0, 0.3717),
        ("copper", 60.0, 1.593),
        ("lead", 100.0, 5.549),
        ("lead", 80.0, 2.419),
    ],
)
def test_attenuation_is_that_of_the_nist_tables(name: str, energy: float, expected: float) -> None:
    """Hubbell and Seltzer, NISTIR 5632, total with coherent scattering, cm²/g."""
    assert mass_attenuation(name, np.array((energy,)))[0] == pytest.approx(expected, rel=0.01)


def test_an_element_is_its_own_effective_number_and_water_has_the_textbook_one() -> None:
    assert effective_z("aluminium") == pytest.approx(13)
    assert effective_z("copper") == pytest.approx(29)
    assert effective_z("water") == pytest.approx(7.42, abs=0.02)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, "organic") for name in ("polyethylene", "water", "cotton", "sugar", "tnt", "cocaine_hcl")),
        *((name, "inorganic") for name in ("aluminium", "glass", "pvc", "salt", "concrete", "fr4", "bone")),
        *((name, "metal") for name in ("steel", "stainless", "brass", "copper", "zamak", "lead", "solder")),
    ],
)
def test_classes_are_those_an_operator_sees(name: str, expected: str) -> None:
    assert material_class(name) == expected


def test_a_name_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(SceneError, match=r"'unobtainium'.*polyethylene"):
        material("unobtainium")

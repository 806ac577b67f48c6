"""What goes around things leaves them their room, and hides what it should from a beam."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.simulate.scene import corners
from nii_edge.simulate.shapes import volume
from nii_edge.simulate.shells import PARCELS, SHIELDS, parcel_shell, shield
from nii_edge.simulate.solids import Thing

ROOMS = ((180.0, 120.0, 60.0), (90.0, 140.0, 25.0), (300.0, 40.0, 200.0))
DENSITY = {"lead": 11.35, "steel": 7.85, "aluminium": 2.7, "copper": 8.96}


def _around(thing: Thing, room: tuple[float, float, float]) -> bool:
    low, high = corners(thing)
    return all(a < -side / 2 + 1 and b > side / 2 - 1 for a, b, side in zip(low, high, room, strict=True))


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("family", sorted(set(PARCELS["all"])))
def test_packaging_lies_around_its_room_and_weighs_little(
    family: str, room: tuple[float, float, float]
) -> None:
    made = parcel_shell(np.random.default_rng(3), family, room)
    assert (made.label, made.family) == ("inner_parcel", family)
    assert _around(made, room)
    share = sum(volume(part.mesh) * part.fill for part in made.parts) / np.prod(room)
    assert 0 < share < 0.25


@pytest.mark.parametrize("seed", range(20))
def test_what_is_made_up_is_each_time_another_packaging(seed: int) -> None:
    room = ROOMS[seed % 3]
    made, again, other = (
        parcel_shell(np.random.default_rng(number), "made_up", room) for number in (seed, seed, seed + 20)
    )
    assert corners(made)[0].tolist() == corners(again)[0].tolist()
    assert corners(made)[0].tolist() != corners(other)[0].tolist()
    low, high = corners(made)
    assert ((high - low) > 0.95 * np.array(room)).all(), "it is smaller than what is in it"
    assert ((high - low) < np.array(room) + 65).all(), "it is much larger than what is in it"
    assert sum(volume(part.mesh) * part.fill for part in made.parts) / np.prod(room) < 0.3


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("family", SHIELDS["all"])
def test_shielding_lies_around_its_room_and_takes_most_of_a_beam(
    family: str, room: tuple[float, float, float]
) -> None:
    """A millimetre of lead is 1.1 g/cm2 and takes nine tenths at 160 kV."""
    made = shield(np.random.default_rng(5), family, room)
    assert (made.label, made.family) == ("shielding", family)
    assert _around(made, room)
    grams = sum(volume(part.mesh) * part.fill * DENSITY[part.material] / 1000 for part in made.parts)
    x, y, z = (side / 10 for side in room)
    assert grams / (2 * (x * y + y * z + z * x)) > 0.4


def test_a_family_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="shoebox"):
        parcel_shell(np.random.default_rng(0), "shoebox", ROOMS[0])
    with pytest.raises(KeyError, match="bag_of_lead"):
        shield(np.random.default_rng(0), "bag_of_lead", ROOMS[0])

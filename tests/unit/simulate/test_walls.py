"""Double walls lie along a whole side, outside of all that is packed; what honestly lies there is lighter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nii_edge.simulate.materials import DENSITIES
from nii_edge.simulate.scene import Placed, corners, mass
from nii_edge.simulate.walls import LINING, LININGS, SLAB, SLABS, Walled, bare, double_wall, lining

ROOM = (320.0, 240.0, 180.0)


def box(placed: Placed) -> npt.NDArray[np.float64]:
    return corners(placed.thing).astype(float)


def inside(walled: Walled) -> npt.NDArray[np.float64]:
    x, y, z = walled.room
    low = np.array(walled.middle) - (x / 2, y / 2, 0)
    return np.stack([low, low + np.array((x, y, z))])


@pytest.mark.parametrize("seed", range(30))
def test_a_slab_covers_a_whole_side_between_two_walls(seed: int) -> None:
    walled = double_wall(np.random.default_rng(seed), ROOM)
    wall, slab = walled.things
    assert (slab.thing.label, slab.role, slab.declared) == (SLAB, "hidden", False)
    size, thick = np.ptp(box(slab), axis=0), np.ptp(box(wall), axis=0).min()
    axis = int(np.argmin(size))
    for other in {0, 1, 2} - {axis}:
        assert walled.room[other] == ROOM[other]
        assert ROOM[other] - 3.1 <= size[other] <= ROOM[other]
    assert walled.room[axis] == pytest.approx(ROOM[axis] + size[axis] + thick + 1, abs=1e-3)
    packed = np.array([[-ROOM[0] / 2, -ROOM[1] / 2, 0], [ROOM[0] / 2, ROOM[1] / 2, ROOM[2]]])
    for placed in walled.things:
        low, high = box(placed)
        assert (low >= inside(walled)[0] - 1e-3).all()
        assert (high <= inside(walled)[1] + 1e-3).all()
        assert low[axis] >= packed[1][axis] - 1e-3 or high[axis] <= packed[0][axis] + 1e-3, "among the goods"


def test_every_sort_of_slab_and_of_lining_occurs_and_is_told_apart_by_its_weight() -> None:
    """What is hidden weighs something; what protects goods does not, but for printed matter, and boards."""
    slabs: dict[str, list[float]] = {}
    linings: dict[str, list[float]] = {}
    for seed in range(150):
        slab = double_wall(np.random.default_rng(seed), ROOM).things[1]
        slabs.setdefault(slab.thing.family, []).append(_areal(slab))
        made = lining(np.random.default_rng(seed), ROOM)
        for placed in made.things:
            assert (placed.thing.label, placed.role) == (LINING, "fill")
            linings.setdefault(placed.thing.family, []).append(_areal(placed))
    assert set(slabs) == set(SLABS)
    assert set(linings) == set(LININGS)
    assert all(min(areal) > 0.3 for areal in slabs.values())
    assert max(max(linings[family]) for family in ("foam", "pads", "stiffener")) < 0.6


def _areal(placed: Placed) -> float:
    """g/cm2 of something flat."""
    size = np.sort(box(placed)[1] - box(placed)[0])
    return mass(placed.thing, DENSITIES) / float(size[1] * size[2] / 100)


def test_the_same_seed_gives_the_same_walls_and_none_changes_nothing() -> None:
    one, other = (double_wall(np.random.default_rng(5), ROOM) for _ in range(2))
    assert one.room == other.room
    for left, right in zip(one.things, other.things, strict=True):
        assert (left.thing.parts[0].mesh.vertices == right.thing.parts[0].mesh.vertices).all()
    assert bare(ROOM) == Walled([], ROOM, (0.0, 0.0, 0.0))

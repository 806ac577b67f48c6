"""Packing: nothing outside the carton, nothing through anything else, nothing in mid-air."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_checks import assert_sound

from nii_edge.simulate.carton import (
    BOARD_DENSITY,
    CELL,
    WALL_AREAL,
    Packed,
    carton_shell,
    laid,
    pack,
    unit,
    void_fill,
)
from nii_edge.simulate.scene import Placed, corners
from nii_edge.simulate.shapes import rounded_box, volume
from nii_edge.simulate.solids import Part, Thing

SIDE = st.floats(15, 260)
SIZES = st.lists(st.tuples(SIDE, SIDE, SIDE), min_size=1, max_size=25)
ROOM = (400.0, 300.0, 260.0)


def boxes(packed: Packed, sizes: list[tuple[float, float, float]]) -> np.ndarray:
    """(n, 2, 3): the corners of what found room."""
    made = []
    for spot, quarter, size in zip(packed.spots, packed.quarter, sizes, strict=True):
        if spot is not None:
            half = np.array([size[1], size[0], size[2]] if quarter else size) / 2
            made.append([np.array(spot) - half, np.array(spot) + half])
    return np.array(made).reshape(-1, 2, 3)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sizes=SIZES, tidy=st.booleans())
def test_packed_boxes_stay_inside_and_out_of_each_other(
    seed: int, sizes: list[tuple[float, float, float]], tidy: bool
) -> None:
    found = boxes(pack(np.random.default_rng(seed), ROOM, sizes, tidy), sizes)
    assert (found[:, 0, :2] >= -np.array(ROOM[:2]) / 2 - 1e-3).all()
    assert (found[:, 1, :2] <= np.array(ROOM[:2]) / 2 + 1e-3).all()
    assert (found[:, 0, 2] >= -1e-3).all()
    assert (found[:, 1, 2] <= ROOM[2] + 1e-3).all()
    for i in range(len(found)):
        for j in range(i):
            overlap = np.minimum(found[i, 1], found[j, 1]) - np.maximum(found[i, 0], found[j, 0])
            assert overlap.min() <= 1e-3, "two boxes meet"


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sizes=SIZES)
def test_every_box_rests_on_the_floor_or_on_another(
    seed: int, sizes: list[tuple[float, float, float]]
) -> None:
    found = boxes(pack(np.random.default_rng(seed), ROOM, sizes, False), sizes)
    for low, high in found:
        if low[2] < 1:
            continue
        beneath = [
            other for other in found
            if abs(other[1, 2] - low[2]) < 1
            and (np.minimum(other[1, :2], high[:2]) - np.maximum(other[0, :2], low[:2]) > -2 * CELL).all()
        ]  # fmt: skip
        assert beneath, "a box hangs in the air"


def test_an_empty_carton_takes_any_box_that_is_smaller_and_none_that_is_larger() -> None:
    rng = np.random.default_rng(0)
    assert pack(rng, ROOM, [(390, 290, 259)], True).spots[0] is not None
    assert pack(rng, ROOM, [(410, 290, 100)], True).spots == (None,)
    assert pack(rng, ROOM, [(100, 100, 261)], False).spots == (None,)


def test_a_unit_lies_where_it_was_packed() -> None:
    block = Thing("block", "block", (Part(rounded_box(60, 40, 20, 3), "wood"),))
    content = unit([Placed(block, "goods", True, 0)])
    for quarter in (0, 1):
        placed = laid(content, (100.0, -50.0, 10.0), quarter)[0]
        low, high = corners(placed.thing)
        np.testing.assert_allclose((low + high) / 2, [100, -50, 10], atol=1e-3)
        np.testing.assert_allclose(high - low, [40, 60, 20] if quarter else [60, 40, 20], atol=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_a_shell_surrounds_its_room_and_has_the_weight_of_board(seed: int) -> None:
    thing = carton_shell(np.random.default_rng(seed), ROOM)
    assert_sound(thing)
    low, high = corners(thing)
    assert (low < [-ROOM[0] / 2, -ROOM[1] / 2, 0]).all()
    assert (high > [ROOM[0] / 2, ROOM[1] / 2, ROOM[2]]).all()
    x, y, z = (side / 10 for side in ROOM)
    flaps = 2 * (x * y) + 2 * 2 * (min(0.5 * y, 0.5 * x - 0.2) * y)
    walls = 2 * (x + y) * z + flaps
    board = next(part for part in thing.parts if part.material == "cardboard")
    grams = volume(board.mesh) / 1000 * board.fill * BOARD_DENSITY
    assert 0.7 * WALL_AREAL * walls < grams < 1.6 * WALL_AREAL * walls


@pytest.mark.parametrize("seed", range(8))
def test_filling_lies_above_the_goods_and_below_the_lid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packed = pack(rng, ROOM, [(150, 120, 80)] * 5, False)
    filling = void_fill(rng, ROOM, packed)
    assert filling
    for placed in filling:
        assert_sound(placed.thing)
        low, high = corners(placed.thing)
        assert low[2] >= -0.1
        assert high[2] <= ROOM[2] + 0.1
        assert np.abs(low[:2]).max() <= ROOM[0] / 2 + 0.1
        cell = ((low + high) / 2)[:2] / CELL + np.array(packed.heights.shape) / 2
        assert low[2] >= packed.heights[int(cell[0]), int(cell[1])] - 0.1, "it lies inside the goods"

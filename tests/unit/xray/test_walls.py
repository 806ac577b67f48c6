"""Double walls on made-up maps: found where they lie, with their depth and weight; not where something is
missing of them, nor in what rows of goods look like."""

from __future__ import annotations

import time

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.config import ViewGeometry
from nii_edge.xray.geometry import Box, Sight, rays_of, sight_of
from nii_edge.xray.walls import FLAT, LEADING, TRAILING, Wall, find

Map = npt.NDArray[np.float32]
SQUARE = 2.0
LENGTH, WIDTH, HEIGHT = 170, 130, 110
"""Squares of the made-up carton: 340 x 260 x 220 mm."""
BOARD = 0.12
"""g/cm3 of corrugated board, two squares of it."""


def from_above() -> Sight:
    """Parallel rays: rows run across the belt."""
    rows = WIDTH + 40
    return Sight(
        np.full(rows, HEIGHT * SQUARE),
        (np.arange(rows) - rows / 2) * SQUARE,
        np.zeros(rows),
        ("left", "right"),
        SQUARE,
    )


def from_beside() -> Sight:
    """Parallel rays along y: rows run upwards."""
    return Sight(
        np.full(HEIGHT, WIDTH * SQUARE), np.zeros(HEIGHT), np.ones(HEIGHT), ("bottom", "top"), SQUARE
    )


def carton(seed: int, inside: float = 0.15) -> npt.NDArray[np.float64]:
    """g/cm3, (x, y, z): board around boxes of goods with gaps between them."""
    rng = np.random.default_rng(seed)
    made = np.zeros((LENGTH, WIDTH, HEIGHT))
    made[:] = BOARD
    made[2:-2, 2:-2, 2:-2] = 0
    for x in range(6, LENGTH - 30, 32):
        for y in range(6, WIDTH - 30, 32):
            made[x : x + 28, y : y + 28, 3 : 3 + int(rng.integers(40, 100))] = inside * rng.uniform(0.3, 2)
    return made


def with_slab(made: npt.NDArray[np.float64], face: str, squares: int, density: float) -> None:
    """Fill one side behind the wall, an empty gap of 6 mm before the goods."""
    cut = slice(2, 2 + squares), slice(2 + squares, 5 + squares)
    back = slice(-2 - squares, -2), slice(-5 - squares, -2 - squares)
    for place, value in zip(back if face in {TRAILING, "right", "top"} else cut, (density, 0.0), strict=True):
        index = [slice(2, -2)] * 3
        index[{LEADING: 0, TRAILING: 0, "left": 1, "right": 1}.get(face, 2)] = place
        made[tuple(index)] = value


def maps_of(made: npt.NDArray[np.float64], degrees: float = 0.0) -> list[Map]:
    """Both views, the carton turned about the vertical in the first one alone."""
    above = np.pad(made.sum(axis=2).T * SQUARE / 10, ((20, 20), (20, 20))).astype(np.float32)
    middle = (above.shape[1] / 2 - 0.5, above.shape[0] / 2 - 0.5)
    size = (above.shape[1], above.shape[0])
    above = cv2.warpAffine(above, cv2.getRotationMatrix2D(middle, degrees, 1.0), size)
    beside = (made.sum(axis=1).T * SQUARE / 10).astype(np.float32)
    return [np.stack([view, np.full_like(view, 7.0), np.zeros_like(view)]) for view in (above, beside)]


def told(made: npt.NDArray[np.float64], degrees: float = 0.0) -> Wall | None:
    found = find(maps_of(made, degrees), [from_above(), from_beside()])
    return found if found is not None and found.quality >= 1 else None


@settings(max_examples=40, deadline=None)
@given(
    face=st.sampled_from([LEADING, TRAILING, "left", "right", "bottom", "top"]),
    squares=st.integers(5, 25),
    density=st.floats(0.75, 1.6),
    seed=st.integers(0, 99),
    degrees=st.floats(-9, 9),
)
def test_a_slab_along_a_whole_side_is_found_and_measured(
    face: str, squares: int, density: float, seed: int, degrees: float
) -> None:
    made = carton(seed)
    with_slab(made, face, squares, density)
    wall = told(made, degrees if face in {"left", "right"} else 0.0)
    assert wall is not None
    assert wall.face in {face, FLAT}
    if wall.face == FLAT:
        assert face in {"bottom", "top"}
    else:
        assert wall.depth == pytest.approx(SQUARE * (squares + 2), abs=8)
        assert wall.weight == pytest.approx(density * squares * SQUARE / 10 + 0.05, rel=0.25)
        assert min(wall.even, wall.share, wall.sharp) > 0.5
    x0, y0, x1, y1 = wall.place
    assert x1 > x0
    assert y1 > y0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), degrees=st.floats(-9, 9), inside=st.floats(0.02, 1.0))
def test_goods_in_rows_are_no_double_wall(seed: int, degrees: float, inside: float) -> None:
    assert told(carton(seed, inside), degrees) is None


@pytest.mark.parametrize("degrees", [-8.0, 0.0, 5.0])
def test_a_slab_is_found_in_a_carton_that_stands_askew(degrees: float) -> None:
    """In the view from above; one from beside alone sees it smeared."""
    made = carton(1)
    with_slab(made, LEADING, 12, 0.8)
    wall = find(maps_of(made, degrees)[:1], [from_above()])
    assert wall is not None
    assert (wall.face, wall.quality > 1.5) == (LEADING, True)
    assert wall.depth == pytest.approx(28, abs=6)


def test_what_leaves_a_fifth_of_the_side_free_is_none() -> None:
    """A flat box that stands along a wall: it does not reach from corner to corner."""
    made = carton(2)
    with_slab(made, LEADING, 12, 0.8)
    made[2:14, 2:36, 2:-2] = 0
    assert told(made) is None


def test_foam_and_corrugated_pads_are_too_light() -> None:
    for density, squares in ((0.03, 20), (0.15, 8)):
        made = carton(3)
        for face in (LEADING, TRAILING, "left", "right"):
            with_slab(made, face, squares, density)
            assert told(made) is None


def test_goods_with_two_heavy_ends_are_none() -> None:
    made = carton(4)
    with_slab(made, LEADING, 12, 0.8)
    with_slab(made, TRAILING, 12, 0.8)
    assert told(made) is None


def test_another_view_must_show_it_too() -> None:
    """What one view shows and the other does not is something else: a bar over the goods."""
    made = carton(5)
    with_slab(made, LEADING, 12, 0.8)
    assert told(made) is not None
    without = maps_of(made)[:1] + maps_of(carton(5))[1:]
    found = find(without, [from_above(), from_beside()])
    assert found is None or found.quality < 1


def test_a_false_bottom_seen_from_above_is_a_floor() -> None:
    made = carton(6)
    with_slab(made, "bottom", 12, 0.8)
    wall = find(maps_of(made)[:1], [from_above()])
    assert wall is not None
    assert (wall.face, wall.quality > 1, wall.depth) == (FLAT, True, 0.0)
    assert wall.weight == pytest.approx(0.8 * 2.4 + 4 * BOARD * 0.2, rel=0.1)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(8, 60), columns=st.integers(8, 60), seed=st.integers(0, 99), most=st.floats(0, 60))
def test_whatever_the_maps_show_is_a_finite_answer(rows: int, columns: int, seed: int, most: float) -> None:
    rng = np.random.default_rng(seed)
    shown = (rng.random((3, rows, columns)) * most - 0.01).astype(np.float32)
    sight = Sight(
        rng.uniform(0, 300, rows),
        np.linspace(-50, 90, rows),
        rng.uniform(-1, 1, rows),
        ("top", "bottom"),
        SQUARE,
    )
    wall = find([shown, shown[:, ::-1]], [sight, sight])
    if wall is not None:
        assert np.isfinite([wall.depth, wall.density, wall.weight, wall.even, wall.sharp, wall.quality]).all()
        assert 0 <= wall.even <= 1
        assert 0 <= wall.share <= 1


def test_no_carton_waits_for_it() -> None:
    """Some 1 ms for two views on a machine that does nothing else; here others may work beside it."""
    made = carton(7)
    with_slab(made, LEADING, 12, 0.8)
    maps, sights = maps_of(made, 4.0), [from_above(), from_beside()]
    taken = []
    for _ in range(15):
        began = time.process_time()
        find(maps, sights)
        taken.append(time.process_time() - began)
    assert min(taken) < 0.01


@pytest.mark.parametrize("flipped", [False, True])
def test_a_sight_says_how_rays_run_and_which_sides_are_at_the_ends(flipped: bool) -> None:
    """A curtain of rays upwards: as long as the carton is high, straight, left to right."""
    ends = ((-200.0, 500.0), (200.0, 500.0))
    view = ViewGeometry(detector_mm=ends[::-1] if flipped else ends, pitch_mm=1.0, source_mm=None)
    box = Box(-150.0, 100.0, 220.0, 0.0)
    across = (100, 349) if flipped else (50, 299)
    sight = sight_of(rays_of(view, 400), box, across, 125, SQUARE)
    assert sight.faces == (("right", "left") if flipped else ("left", "right"))
    assert sight.path == pytest.approx(np.full(125, 220.0))
    assert np.abs(sight.lean) == pytest.approx(np.zeros(125))
    assert np.sort(sight.aside)[[0, -1]] == pytest.approx([-149.0, 99.0], abs=1.1)

"""What the network that reads cartons is given, and where its heat lies in the frame."""

from __future__ import annotations

import msgspec
import numpy as np
from cartons import consignment, read
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.xray.carton import described, locate, measure
from nii_edge.xray.carton_map import (
    CELL,
    COUNTS,
    MAP_MM,
    MARGIN,
    MOST_SQUARES,
    PLANES,
    SCALARS,
    STEP,
    Map,
    Reading,
    hottest,
    planes,
    stacked,
)

SIDES = st.integers(8, 90)


def view(rows: int, columns: int, seed: int = 1) -> Map:
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0, 20, (rows, columns))
    return np.stack([mass, rng.uniform(6, 30, mass.shape), mass > 15]).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3))
def test_views_of_any_size_are_laid_into_one_input(sizes: list[tuple[int, int]]) -> None:
    """Each whole, `MARGIN` from the edge, nothing around it."""
    views = [view(*size, seed) for seed, size in enumerate(sizes)]
    laid = stacked(views)
    assert laid.shape[:2] == (len(sizes), PLANES)
    assert all(side % STEP == 0 for side in laid.shape[2:])
    for whole, own, (rows, columns) in zip(laid, views, sizes, strict=True):
        inner = whole[:, MARGIN : MARGIN + rows, MARGIN : MARGIN + columns]
        assert np.array_equal(inner, planes(own))
        assert np.count_nonzero(whole[-1]) == rows * columns
        assert np.count_nonzero(whole) == np.count_nonzero(inner)


def test_planes_of_what_cannot_be_are_finite() -> None:
    """Emptiness, noise below zero and more than any carton weighs."""
    for mass in (0.0, -3.0, 1e6):
        assert np.isfinite(planes(np.full((3, 20, 20), mass, np.float32))).all()


def test_the_hottest_place_is_a_box_around_it() -> None:
    """Cells nearly as hot beside it are of it; those apart are not."""
    heat = np.full((2, 8, 8), -10.0, np.float32)
    heat[1, 3:5, 2] = 2.0, 2.5
    heat[1, 7, 7] = 2.2
    number, box = hottest(heat)
    assert number == 1
    assert box == (2 * CELL - MARGIN, 3 * CELL - MARGIN, 3 * CELL - MARGIN, 5 * CELL - MARGIN)


def test_what_is_too_long_for_a_carton_is_read_in_larger_squares() -> None:
    """No frame makes the network look for long; the place of what is hot is still one of the frame."""
    made = consignment()
    frames = [
        msgspec.structs.replace(frame, pixels=np.repeat(frame.pixels, 6, axis=1)) for frame in made.frames[0]
    ]
    located = locate(made.lane.profile, made.lane.optics, frames)
    assert located is not None
    assert located.measures.length > 1300
    assert max(located.maps[0].shape) == MOST_SQUARES
    measures = measure(made.lane.profile, made.lane.optics, frames, read())
    assert measures is not None
    assert measures.finite
    place = measures.hidden_at
    assert place is None or place.x1 <= frames[place.view].pixels.shape[1]


def test_maps_are_in_true_millimetres_and_heat_comes_back_to_the_frame() -> None:
    """A carton's two views are as long; the place of a hot cell is where it is in the frame."""
    made = consignment()
    profile, optics, frames = made.lane.profile, made.lane.optics, made.frames[0]
    located = locate(profile, optics, frames)
    assert located is not None
    lengths = [own.shape[2] * MAP_MM for own in located.maps]
    assert np.allclose(lengths, located.measures.length, rtol=0.05)
    assert described(located.measures).shape == (SCALARS,)

    def answer(maps: object, scalars: object) -> Reading:
        heat = np.full((2, *(side // CELL for side in stacked(located.maps).shape[2:])), -9.0, np.float32)
        heat[1, 2, 3] = 1.0
        return Reading(np.eye(len(COUNTS))[4], -2.0, heat)

    measures = measure(profile, optics, frames, answer)
    assert measures is not None
    assert measures.hidden_at is not None
    first, last = located.lines[1]
    start = first + (3 * CELL - MARGIN) * (last - first + 1) / located.maps[1].shape[2]
    assert (measures.hidden_at.view, measures.hidden_at.x0) == (1, start)
    assert located.across[1][0] <= measures.hidden_at.y0 < measures.hidden_at.y1 <= located.across[1][1] + 1
    assert (measures.hidden, int(np.argmax(measures.parcels))) == (-2.0, 4)

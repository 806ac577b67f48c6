"""What is written of a simulated thing: its mask in runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nii_edge.simulate.labels import annotation, runs
from nii_edge.simulate.produce import Seen, Shot

SIDES = st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(0, 6))
"""Before the box, in it, after it."""


@given(st.data(), SIDES, SIDES)
def test_runs_are_the_mask_down_the_columns(
    data: st.DataObject, down: tuple[int, int, int], across: tuple[int, int, int]
) -> None:
    """As COCO reads them, runs give the mask back, wherever in the frame it lies, and end where it ends."""
    (top, high, below), (left, wide, right) = down, across
    mask = data.draw(arrays.arrays(np.bool_, (high, wide)))
    height, width = top + high + below, left + wide + right
    seen = Seen(0, "gun", "threat", "x", (left, top, left + wide, top + high), mask, 1.0, 0.0, False, False)
    counts = runs(seen, height, width)
    values = np.arange(len(counts)) % 2 == 1
    read = np.repeat(values, counts).reshape(width, height).T
    whole = np.zeros((height, width), np.bool_)
    whole[top : top + high, left : left + wide] = mask
    assert np.array_equal(read, whole)
    assert all(count > 0 for count in counts[1:])


@given(st.data(), SIDES, SIDES, st.integers(1, 40), st.integers(1, 40))
def test_what_is_thin_keeps_its_mask_on_a_picture_of_any_size(
    data: st.DataObject, down: tuple[int, int, int], across: tuple[int, int, int], rows: int, columns: int
) -> None:
    """However much smaller the picture, something of a thing is on it, within one pixel of its box."""
    (top, high, below), (left, wide, right) = down, across
    mask = data.draw(arrays.arrays(np.bool_, (high, wide)))
    place = data.draw(st.integers(0, high - 1)), data.draw(st.integers(0, wide - 1))
    mask[place] = True
    frame = top + high + below, left + wide + right
    seen = Seen(0, "gun", "threat", "x", (left, top, left + wide, top + high), mask, 1.0, 0.0, False, False)
    shot = Shot(np.zeros((*frame, 2), np.uint16), (seen,), None, (rows, columns), "")
    tree = annotation(1, 1, seen, shot, (rows, columns))
    counts = tree["segmentation"]["counts"]
    assert sum(counts) == rows * columns
    whole = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(columns, rows).T
    assert whole.any()
    x, y, width, height = tree["bbox"]
    ys, xs = np.nonzero(whole)
    assert x - 1 <= xs.min() <= xs.max() <= x + width + 1
    assert y - 1 <= ys.min() <= ys.max() <= y + height + 1

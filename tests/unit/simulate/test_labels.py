"""What is written of a simulated thing: its mask in runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nii_edge.simulate.labels import runs
from nii_edge.simulate.produce import Seen

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

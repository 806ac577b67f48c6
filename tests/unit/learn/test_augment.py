"""Augmentation keeps boxes on what they were drawn around."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.learn.augment import NOTHING, PAD, Strength, augmented
from nii_edge.learn.pool import Sample

GROUND = (230, 220, 240)


def picture(height: int, width: int, box: tuple[int, int, int, int]) -> Sample:
    """A dark thing on an even ground."""
    rgb = np.full((height, width, 3), GROUND, np.uint8)
    x0, y0, x1, y1 = box
    rgb[y0:y1, x0:x1] = 20
    return Sample(rgb, np.array([box], np.float32), np.array([3], np.int64))


@given(
    st.integers(0, 10_000),
    st.integers(80, 300),
    st.integers(80, 300),
    st.integers(64, 256),
    st.none() | st.integers(200, 400),
)
def test_the_box_stays_on_the_thing(seed: int, height: int, width: int, size: int, fits: int | None) -> None:
    rng = np.random.default_rng(seed)
    x0, y0 = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
    sample = picture(height, width, (x0, y0, x0 + 36, y0 + 24))
    strength = Strength(fits=fits, overlay=0, display=0, grey=0)
    made = augmented(sample, None, size, strength, rng)
    assert made.input.shape == (3, size, size)
    assert np.allclose(made.ground, np.array(GROUND) / 255, atol=0.01)
    dark = (made.input[0] > PAD / 2) & (made.input[0] < 0.4)
    for left, top, right, bottom in made.boxes:
        assert 0 <= left < right <= size
        assert 0 <= top < bottom <= size
        # pixels that lie in it as a whole are dark, and what is dark lies in pixels that it touches
        whole = dark[math.ceil(top) : math.floor(bottom), math.ceil(left) : math.floor(right)]
        touched = dark[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
        assert whole.mean() > 0.6
        assert touched.sum() > 0.8 * dark.sum()


def test_a_part_shows_what_it_was_chosen_for() -> None:
    sample = picture(300, 400, (330, 250, 366, 280))
    strength = Strength((1.0, 1.2), fits=400, focus=1.0, overlay=0, display=0, grey=0, quarter=False)
    for seed in range(40):
        made = augmented(sample, None, 128, strength, np.random.default_rng(seed))
        assert made.labels.tolist() == [3]
        sides = made.boxes[0, 2:] - made.boxes[0, :2]
        assert sides == pytest.approx((36, 30), rel=0.25)
    without = strength._replace(focus=0.0)
    shown = [
        len(augmented(sample, None, 128, without, np.random.default_rng(seed)).labels) for seed in range(40)
    ]
    assert 0 < sum(shown) < 40


def test_nothing_changes_nothing() -> None:
    sample = picture(90, 120, (30, 20, 66, 44))
    made = augmented(sample, None, 120, NOTHING, np.random.default_rng(1))
    assert made.boxes.tolist() == sample.boxes.tolist()
    shown = made.input[:, :90].transpose(1, 2, 0)
    assert np.array_equal(np.round(shown * 255), sample.rgb)
    assert (made.input[:, 90:] == PAD).all()

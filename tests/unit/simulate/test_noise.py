"""Noise for whole pictures: normal, and the same from the same state."""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.noise import normal


def test_it_is_normal_far_into_its_tails() -> None:
    drawn = normal((1000, 1000), np.random.default_rng(4)).astype(np.float64).ravel()
    assert abs(drawn.mean()) < 0.005
    assert abs(drawn.std() - 1) < 0.005
    shares = [(np.abs(drawn) > sigma).mean() for sigma in (1, 2, 3, 4)]
    np.testing.assert_allclose(shares[:3], [0.31731, 0.04550, 0.00270], rtol=0.05)
    assert 3e-5 < shares[3] < 1e-4


def test_neighbours_and_pictures_drawn_one_after_the_other_have_nothing_in_common() -> None:
    rng = np.random.default_rng(4)
    one, other = normal((400, 500), rng), normal((400, 500), rng)
    for left, right in ((one, other), (one[1:], one[:-1]), (one[:, 1:], one[:, :-1])):
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.01


def test_the_same_state_draws_the_same_and_moves_on() -> None:
    first, again = np.random.default_rng(7), np.random.default_rng(7)
    np.testing.assert_array_equal(normal((30, 40), first), normal((30, 40), again))
    assert first.random() == again.random()
    assert (normal((30, 40), first) != normal((30, 40), np.random.default_rng(7))).any()

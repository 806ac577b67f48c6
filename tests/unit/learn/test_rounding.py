"""Rounded weights: next to the exact ones, and a mean output that stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("onnx")

from nii_edge.learn.rounding import rounded

SHAPES = st.sampled_from([(3, 4, 1, 1), (2, 3, 3, 3), (5, 1, 3, 3), (4, 1, 5, 5), (1, 1, 1, 1)])
WEIGHTS = SHAPES.flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-2, 2, width=32, allow_subnormal=False))
)


@given(WEIGHTS, st.sampled_from([64, 127]), st.integers(0, 2**32 - 1))
def test_every_weight_lies_on_a_step_next_to_it(weights: np.ndarray, steps: int, seed: int) -> None:
    outputs, inputs = weights.shape[:2]
    means = np.random.default_rng(seed).uniform(0, 3, outputs if inputs == 1 else inputs)
    made = rounded(weights, means, steps)
    step = np.abs(weights.reshape(outputs, -1)).max(axis=1) / steps
    step[step < 1e-30] = 1
    whole = made / step[:, None, None, None]
    assert np.allclose(whole, np.round(whole), atol=1e-3)
    assert np.abs(whole).max() <= steps + 1e-3
    assert np.all(np.abs(made - weights) <= step[:, None, None, None] * 1.001)


@pytest.mark.parametrize(
    ("shape", "share"), [((16, 48, 1, 1), 0.2), ((32, 1, 5, 5), 0.25), ((8, 6, 3, 3), 0.2)]
)
def test_the_mean_output_shifts_less_than_by_plain_rounding(shape: tuple[int, ...], share: float) -> None:
    """A depthwise kernel's errors add up to half a step at most, where 25 of them reach more than one."""
    rng = np.random.default_rng(5)
    weights = rng.normal(size=shape).astype(np.float32)
    channels = shape[0] if shape[1] == 1 else shape[1]
    means = rng.uniform(0.1, 2.0, channels)

    def shift(made: np.ndarray) -> float:
        taps = (made - weights).astype(np.float64).sum(axis=(2, 3))
        outputs = taps[:, 0] * means if shape[1] == 1 else taps @ means
        return float(np.abs(outputs).mean())

    step = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 64
    assert shift(rounded(weights, means, 64)) < share * shift(np.round(weights / step) * step)

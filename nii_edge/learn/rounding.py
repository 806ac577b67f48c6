"""Weights are rounded so that a convolution's mean output stays.

To the nearest step each weight is as near as can be, but inputs behind a rectifier are all positive, and the
errors of a kernel that happen to lean one way add up to a shift of its whole output. Here a few weights near
the middle between two steps go the other way, until the errors, weighted with the mean inputs, cancel out. In
the spirit of Nagel, van Baalen, Blankevoort and Welling (ICCV 2019), who correct the bias instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]


def with_rounded_weights(model: bytes, steps: Mapping[str, int], inputs: Sequence[Floats]) -> bytes:
    """The model with weights that lie on steps already, so that rounding them to the nearest moves none.

    `steps`: for each convolution's name how many steps lie between zero and its largest weight of a channel.
    `inputs` (3, height, width) show what comes in on average.
    """
    made = onnx.load_from_string(model)
    stored = {item.name: item for item in made.graph.initializer}
    convolutions = [node for node in made.graph.node if node.name in steps]
    means = _means(model, sorted({node.input[0] for node in convolutions}), inputs)
    for node in convolutions:
        item = stored[node.input[1]]
        weights = rounded(numpy_helper.to_array(item), means[node.input[0]], steps[node.name])
        item.CopyFrom(numpy_helper.from_array(weights, item.name))
    return bytes(made.SerializeToString())


def rounded(weights: Floats, means: npt.NDArray[Any], steps: int) -> Floats:
    """Weights (outputs, inputs, height, width), depthwise ones (channels, 1, height, width), on `steps` from
    zero to the largest of each output. `means` of the input channels, in any unit."""
    outputs, inputs, height, width = weights.shape
    rows = weights.reshape(outputs, -1).astype(np.float64)
    step = np.abs(rows).max(axis=1, keepdims=True) / steps
    step[step == 0] = 1
    exact = rows / step
    each = means[:, None] if inputs == 1 else np.tile(np.repeat(means, height * width), (outputs, 1))
    each = np.broadcast_to(each, rows.shape)
    made = np.stack([_balanced(row, mean, steps) for row, mean in zip(exact, each, strict=True)])
    return np.asarray((made * step).reshape(weights.shape), np.float32)


def _balanced(exact: npt.NDArray[Any], means: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """Whole numbers, each next to the exact one, whose errors weighted with `means` all but cancel out."""
    whole = np.round(exact)
    error = whole - exact
    excess = float(error @ means)
    turnable = np.flatnonzero((error * means * excess > 0) & (np.abs(exact) < steps - 0.5))
    turnable = turnable[np.argsort(-np.abs(error[turnable]))]
    gained = np.concatenate([[0.0], np.cumsum(np.abs(means[turnable]))])
    turned = turnable[: int(np.argmin(np.abs(gained - abs(excess))))]
    whole[turned] -= np.sign(error[turned])
    return whole


def _means(model: bytes, names: Sequence[str], inputs: Sequence[Floats]) -> dict[str, npt.NDArray[Any]]:
    """The mean of each channel of tensors (1, channels, height, width)."""
    watched = onnx.load_from_string(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = [
        [found.mean(axis=(0, 2, 3)) for found in session.run(None, {"image": one[None]})] for one in inputs
    ]
    return {name: np.mean(rows, axis=0) for name, rows in zip(names, zip(*seen, strict=True), strict=True)}

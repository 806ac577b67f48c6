"""The reference network as an ONNX file: plain convolutions, ReLU, a YOLO-like grid head, seeded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nii_edge.errors import RuntimeMissingError

SEED = 20_261_124
SIZE = 320
CHANNELS = 3
OPSET = 17
IR_VERSION = 8

_BODY = (
    (CHANNELS, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1),
    (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1),
)  # fmt: skip
"""Input channels, output channels and stride of each convolution down to a stride of 16 pixels."""
_TAIL = ((128, 256, 2), (256, 256, 1), (256, 256, 1))
"""From there to a stride of 32 pixels."""
_SIZES_PX = {16: 64.0, 32: 128.0}
"""The usual side of a box at each stride, in pixels."""


def build(labels: int, scale: float = 1.0, shift: float = 0.0) -> bytes:
    """The model: input ``image`` (batch, 3, 320, 320), output ``grid`` (batch, 4 + labels, anchors).

    Class logits are multiplied by `scale`, then `shift` is added.

    Raises:
        RuntimeMissingError: the `onnx` package is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise RuntimeMissingError("bench builds its model with onnx: install the extra `bench`") from error
    graph = _Graph(onnx.helper, labels, scale, shift)
    return graph.model()


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, helper: Any, labels: int, scale: float, shift: float) -> None:
        self._helper = helper
        self._rng = np.random.default_rng(SEED)
        self._labels, self._scale, self._shift = labels, scale, shift
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def model(self) -> bytes:
        """The finished file."""
        sixteen = self._stack("image", _BODY)
        thirty_two = self._stack(sixteen, _TAIL)
        heads = [self._head(sixteen, 128, 16), self._head(thirty_two, 256, 32)]
        self._node("Concat", heads, "grid", axis=2)
        helper, floats = self._helper, 1  # onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "nii-edge reference",
            [helper.make_tensor_value_info("image", floats, ["batch", CHANNELS, SIZE, SIZE])],
            [helper.make_tensor_value_info("grid", floats, ["batch", 4 + self._labels, "anchors"])],
            self._weights,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        data: bytes = model.SerializeToString()
        return data

    def _stack(self, source: str, layers: tuple[tuple[int, int, int], ...]) -> str:
        for inputs, outputs, stride in layers:
            source = self._conv(source, inputs, outputs, stride=stride)
        return source

    def _conv(self, source: str, inputs: int, outputs: int, *, stride: int = 1) -> str:
        """A 3 x 3 convolution with ReLU; He's initial weights keep the signal's size through the layers."""
        spread = np.sqrt(2.0 / (9 * inputs))
        weight = self._rng.normal(0, spread, (outputs, inputs, 3, 3))
        parts = [source, self._constant(weight), self._constant(np.zeros(outputs))]
        summed = self._node("Conv", parts, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
        return self._node("Relu", [summed])

    def _head(self, source: str, channels: int, stride: int) -> str:
        """Boxes (centre x, y, width, height in pixels) and scores of one stride, (batch, rows, cells)."""
        hidden = self._conv(source, channels, 128)
        rows = 4 + self._labels
        weight = self._rng.normal(0, np.sqrt(1.0 / 128), (rows, 128, 1, 1))
        weight[4:] *= self._scale
        bias = np.concatenate([np.zeros(4), np.full(self._labels, self._shift)])
        raw = self._node("Conv", [hidden, self._constant(weight), self._constant(bias)], kernel_shape=[1, 1])
        shape = self._helper.make_tensor(f"shape{len(self._weights)}", 7, [3], [0, rows, -1])
        self._weights.append(shape)
        unit = self._node("Sigmoid", [self._node("Reshape", [raw, shape.name])])
        cells = SIZE // stride
        row, column = np.divmod(np.arange(cells * cells), cells)
        offset = np.zeros((1, rows, cells * cells))
        offset[0, :2] = (column * stride, row * stride)
        factor = np.ones((1, rows, 1))
        factor[0, :2], factor[0, 2:4] = stride, _SIZES_PX[stride]
        scaled = self._node("Mul", [unit, self._constant(factor)])
        return self._node("Add", [scaled, self._constant(offset)])

    def _node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, values: npt.NDArray[np.float64]) -> str:
        name = f"weight{len(self._weights)}"
        data = values.astype("<f4")
        self._weights.append(self._helper.make_tensor(name, 1, data.shape, data.tobytes(), raw=True))
        return name

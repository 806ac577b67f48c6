"""A trained network as one ONNX file of standard operators, in 32 bits and in eight.

Decoding and suppression are in the file, so that every runtime finds the same boxes. In eight bits are the
convolutions and what lies between them; what comes before them needs the whole range of the picture, and what
comes after decides about fractions of a pixel.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nii_edge.learn.network import Detector
from nii_edge.learn.rounding import with_rounded_weights

NMS_IOU = 0.55
LOWEST_SCORE = 0.02
"""What scores less is not reported, whatever a label's threshold."""
MOST_PER_CLASS = 50
OPSET = 17
OUTPUTS = ("boxes", "scores", "labels")
FULL, REDUCED = 127, 64
"""Steps from zero to the largest weight, in eight bits and in seven."""
BETWEEN = ("Add", "Clip", "Concat", "MaxPool", "Relu", "Resize", "Split")
"""What lies between convolutions: with any of these in 32 bits, more time goes into converting there and back
than eight bits save."""


class _Plain(nn.Module):
    """Scores (1, classes, cells) and boxes (1, cells, 4), as suppression wants them."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.detector(image)
        return logits.sigmoid().transpose(1, 2), boxes


def fused(detector: Detector) -> Detector:
    """A copy in which each batch norm is part of the convolution before it."""
    made: Detector = copy.deepcopy(detector).eval()
    for module in list(made.modules()):
        children = list(module.named_children())
        for (name, layer), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module.add_module(name, fuse_conv_bn_eval(layer, norm))
                module.add_module(norm_name, nn.Identity())
    return made


def to_onnx(detector: Detector, size: int) -> bytes:
    """The network with decode and suppression. Input `image` (1, 3, size, size); outputs `boxes` (n, 4) in
    input pixels, `scores` (n,), `labels` (n,) from 0."""
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of itself
        torch.onnx.export(
            _Plain(fused(detector)).eval(),
            (torch.zeros(1, 3, size, size),),
            data,
            input_names=["image"],
            output_names=["all_scores", "all_boxes"],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(data.getvalue())
    _suppressing(model.graph)
    model = onnx.load_from_string(_simplified(bytes(model.SerializeToString())))
    _without_identities(model.graph)
    model.producer_name, model.producer_version = "nii_edge", ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _simplified(model: bytes) -> bytes:
    """What is constant is computed, and padding becomes part of the convolution after it: in 32 bits every
    runtime does so for itself, in eight none does."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "simple.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        made = onnx.load(target)
    standard = [domain for domain in made.opset_import if domain.domain == ""]
    del made.opset_import[:]
    made.opset_import.extend(standard)
    return bytes(made.SerializeToString())


def _without_identities(graph: Any) -> None:
    """Equal weights are exported once and passed on; give everyone their own again, as eight bits need it."""
    stored = {item.name: item for item in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.input[0] in stored]:
        twin = graph.initializer.add()
        twin.CopyFrom(stored[node.input[0]])
        twin.name = node.output[0]
        graph.node.remove(node)


def _suppressing(graph: Any) -> None:
    """Non-maximum suppression, class by class, and the three outputs that the `boxes` head reads."""

    def constant(name: str, values: Any, kind: Any) -> None:
        graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))

    constant("nms_most", [MOST_PER_CLASS], np.int64)
    constant("nms_iou", [NMS_IOU], np.float32)
    constant("nms_score", [LOWEST_SCORE], np.float32)
    constant("nms_class", [1], np.int64)
    constant("nms_cell", [2], np.int64)
    constant("nms_first", [0], np.int64)
    nodes = [
        (
            "NonMaxSuppression",
            ["all_boxes", "all_scores", "nms_most", "nms_iou", "nms_score"],
            "nms_kept",
            {},
        ),
        ("Gather", ["nms_kept", "nms_class"], "nms_classes", {"axis": 1}),
        ("Gather", ["nms_kept", "nms_cell"], "nms_cells", {"axis": 1}),
        ("Squeeze", ["nms_classes", "nms_class"], "labels", {}),
        ("Squeeze", ["nms_cells", "nms_class"], "nms_rows", {}),
        ("Squeeze", ["all_boxes", "nms_first"], "nms_all", {}),
        ("Gather", ["nms_all", "nms_rows"], "boxes", {"axis": 0}),
        ("GatherND", ["all_scores", "nms_which"], "scores", {}),
    ]
    constant("nms_order", [0, 1, 2], np.int64)
    nodes.insert(7, ("Gather", ["nms_kept", "nms_order"], "nms_which", {"axis": 1}))
    for kind, inputs, output, attributes in nodes:
        graph.node.append(helper.make_node(kind, inputs, [output], name=f"suppress/{output}", **attributes))
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["found", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["found"]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["found"]),
        ]
    )


class _Calibration(CalibrationDataReader):
    def __init__(self, inputs: Iterable[npt.NDArray[np.float32]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next input by name."""
        made = next(self._inputs, None)
        return None if made is None else {"image": made[None]}


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """ONNX Runtime logs warnings with advice to its developers, which whoever trains can do nothing about."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def quantised(model: bytes, inputs: Sequence[npt.NDArray[np.float32]], spared: Sequence[str] = ()) -> bytes:
    """The same in eight bits from the second convolution to the last but one of each head, by the ranges that
    `inputs` (3, size, size) call up.

    Activations are unsigned, so that a rectifier costs nothing: it is where the range begins. Weights are
    signed, of each channel by itself, and of seven bits where channels are mixed: processors without VNNI add
    two products in 16 bits, and 2 · 255 · 64 just fits, where eight bits saturate silently (`reduce_range` in
    ONNX Runtime's documentation). Depthwise, products are added in 32 bits everywhere (its
    `mlas/lib/qdwconv.cpp`). `spared`: nodes that stay as they are.
    """
    exact = {*_kept_exact(model), *spared}
    depthwise = _depthwise(model)
    steps = {
        name: FULL if name in depthwise else REDUCED for name in _convolutions(model) if name not in exact
    }
    whole: dict[str, Any] = {
        "quant_type": QuantType.QInt8,
        "reduce_range": False,
        "symmetric": True,
        "axis": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(with_rounded_weights(model, steps, inputs))
        with _without_advice():
            quantize_static(
                str(source),
                str(target),
                _Calibration(inputs),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv", *BETWEEN],
                nodes_to_exclude=list(exact),
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "TensorQuantOverrides": {
                        weights: [whole] for name, weights in depthwise.items() if name in steps
                    }
                },
            )
        return target.read_bytes()


def _convolutions(model: bytes) -> dict[str, str]:
    """Names of convolutions and of their weights."""
    graph = onnx.load_from_string(model).graph
    return {node.name: node.input[1] for node in graph.node if node.op_type == "Conv"}


def _depthwise(model: bytes) -> dict[str, str]:
    """Those of them that do not mix channels."""
    lone = {item.name for item in onnx.load_from_string(model).graph.initializer if item.dims[1:2] == [1]}
    return {name: weights for name, weights in _convolutions(model).items() if weights in lone}


def _kept_exact(model: bytes) -> list[str]:
    """The first convolution and all before it, those whose outputs are scores and sides, and all after."""
    graph = onnx.load_from_string(model).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    first = convolutions[0]
    last = [
        node
        for node in convolutions
        if "heads" in node.name and "Relu" not in {user.op_type for user in users.get(node.output[0], [])}
    ]
    makers = {name: node for node in graph.node for name in node.output}
    before = _reached([first], lambda node: [makers[name] for name in node.input if name in makers])
    after = _reached(last, lambda node: [user for name in node.output for user in users.get(name, [])])
    return [*before, *after]


def _reached(starts: Sequence[Any], onward: Callable[[Any], list[Any]]) -> list[str]:
    """The names of nodes that are reached from some, these included."""
    found: dict[str, None] = {}
    waiting = list(starts)
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = None
            waiting += onward(node)
    return list(found)


def halved(model: bytes) -> bytes:
    """The same with convolutions in 16 bits, for GPUs; everything else, input and outputs stay in 32."""
    made = onnx.load_from_string(model)
    stored = {item.name: item for item in made.graph.initializer}
    nodes = []
    for node in made.graph.node:
        if node.op_type != "Conv":
            nodes.append(node)
            continue
        inner = f"{node.output[0]}/half"
        nodes.append(
            helper.make_node(
                "Cast", [node.input[0]], [f"{inner}/in"], to=TensorProto.FLOAT16, name=f"{inner}/in"
            )
        )
        node.input[0] = f"{inner}/in"
        for name in node.input[1:]:
            if stored[name].data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(stored[name]).astype(np.float16)
                stored[name].CopyFrom(numpy_helper.from_array(values, name))
        outer = node.output[0]
        node.output[0] = inner
        nodes.append(node)
        nodes.append(helper.make_node("Cast", [inner], [outer], to=TensorProto.FLOAT, name=f"{inner}/out"))
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())

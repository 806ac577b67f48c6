"""A trained network as one ONNX file of standard operators, in 32 bits and in eight.

Decoding and suppression are in the file, so that every runtime finds the same boxes. In eight bits only the
convolutions are: what comes after them decides about fractions of a pixel.
"""

from __future__ import annotations

import copy
import io
import itertools
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
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

NMS_IOU = 0.55
LOWEST_SCORE = 0.02
"""What scores less is not reported, whatever a label's threshold."""
MOST_PER_CLASS = 50
OPSET = 17
OUTPUTS = ("boxes", "scores", "labels")


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
    _without_identities(model.graph)
    _suppressing(model.graph)
    model.producer_name, model.producer_version = "nii_edge", ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


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


def quantised(model: bytes, inputs: Sequence[npt.NDArray[np.float32]], spared: Sequence[str] = ()) -> bytes:
    """The same with convolutions in eight bits, by the ranges that `inputs` (3, size, size) call up.

    Weights are signed and of each channel by itself, activations signed too: unsigned by signed saturates on
    processors without VNNI. The first convolution and the last of each head stay as they are, besides
    `spared`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model)
        quantize_static(
            str(source),
            str(target),
            _Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[*_kept_exact(model), *spared],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return target.read_bytes()


def _kept_exact(model: bytes) -> list[str]:
    """The first convolution, and those whose outputs are scores and sides."""
    graph = onnx.load_from_string(model).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    users: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node.op_type)
    last = [
        node.name
        for node in convolutions
        if "heads" in node.name and "Relu" not in users.get(node.output[0], [])
    ]
    return [convolutions[0].name, *last]


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

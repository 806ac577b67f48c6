"""The shipped network: plain convolutions and ReLU, one stage, no anchors, about 1.5 million weights.

The layout is that of the YOLO family (a backbone of cross-stage blocks, features merged down and up, separate
towers for class and box), with ReLU so that eight bits are enough, and a front of fixed arithmetic that turns
a maker's colours into what X-rays mean.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - as everyone calls it
from torch import Tensor, nn

from nii_edge.learn.backbone import TAPS, Lite0

Variant = Literal["imagenet", "imagenet-rgb", "imagenet-grey", "imagenet-xray", "xray", "rgb", "grey"]
"""What the network sees (`Front`): with ImageNet's features, as in what is shipped, or from scratch."""
STRIDES = (8, 16, 32)
DARKEST = 1 / 48
"""The darkest share of the ground's brightness whose logarithm is taken: displays have no darker levels."""
CHROMA_DROPOUT = 0.3
"""How often the colours of a training picture are hidden, so that shape must do."""


class Front(nn.Module):
    """RGB in 0-1, below 0 beyond the picture, to five planes.

    Density -ln((R + G) / 2) against the picture's own ground (blue is left out: thick metal is pure blue),
    two differences of -ln between colours (which material), and density less its neighbourhood's mean, in
    two sizes. `ground` (batch, 3), 0-1: that of a picture of which the input is a part. `grey` lacks the
    colours, `rgb` gives colours as they are, ground and all.

    For ImageNet's features to three planes from -1 to 1: colours against the ground (`imagenet`), as they are
    (`-rgb`), their mean against the ground (`-grey`), or density and the two differences (`-xray`).
    """

    planes = 5

    def __init__(self, variant: Variant = "xray") -> None:
        super().__init__()
        self.variant = variant

    def forward(self, x: Tensor, ground: Tensor | None = None) -> Tensor:
        inside = (x[:, :1] > -0.5).to(x.dtype)
        x = x.clamp(0, 1)
        if self.variant == "rgb":
            return torch.cat([(1 - x) * inside, torch.zeros_like(x[:, :2])], 1)
        if self.variant == "imagenet-rgb":
            return _as_photograph(x, inside)
        ground = self._ground(x, inside) if ground is None else ground[:, :, None, None].clamp(0.25, 1)
        lit = (x / ground).clamp(0, 1)
        if self.variant == "imagenet":
            return _as_photograph(lit, inside)
        if self.variant == "imagenet-grey":
            return _as_photograph(lit.mean(1, keepdim=True).expand_as(lit), inside)
        return self._physical(lit.clamp(min=DARKEST), inside)

    def _physical(self, lit: Tensor, inside: Tensor) -> Tensor:
        """Density and differences between colours, of colours against the ground."""
        depth = -torch.log((lit[:, :1] + lit[:, 1:2]) / 2)
        logs = torch.log(lit)
        red, green, blue = logs[:, :1], logs[:, 1:2], logs[:, 2:]
        warm = (red - blue).clamp(-2, 2)
        leaf = (green - (red + blue) / 2).clamp(-2, 2)
        if self.variant == "grey":
            warm, leaf = warm * 0, leaf * 0
        elif self.training:
            keep = (torch.rand(len(lit), 1, 1, 1) > CHROMA_DROPOUT).to(lit.dtype)
            warm, leaf = warm * keep, leaf * keep
        if self.variant == "imagenet-xray":
            planes = [1 + 2 * depth / math.log(DARKEST), warm / 2, leaf / 2]
            return torch.cat(planes, 1) * inside + (1 - inside)
        depth = depth * inside
        near = depth - F.avg_pool2d(depth, 5, 1, 2)
        coarse = F.avg_pool2d(F.avg_pool2d(depth, 8), 3, 1, 1)
        far = depth - F.interpolate(coarse, scale_factor=8.0, mode="bilinear", align_corners=False)
        return torch.cat([depth * 0.7, warm, leaf, near * 2, far], 1) * inside

    @staticmethod
    def _ground(x: Tensor, inside: Tensor) -> Tensor:
        """The mean colour of where all three colours are bright: (batch, 3, 1, 1)."""
        coarse = F.avg_pool2d(x * inside, 8)
        least = coarse.min(dim=1, keepdim=True).values
        weight = torch.exp(60 * (least - least.amax(dim=(2, 3), keepdim=True)))
        ground = (coarse * weight).sum(dim=(2, 3), keepdim=True) / weight.sum(dim=(2, 3), keepdim=True)
        return ground.clamp(0.25, 1)


def _as_photograph(x: Tensor, inside: Tensor) -> Tensor:
    """0-1 as ImageNet's features take pictures, white beyond this one."""
    return (x * inside + (1 - inside)) * 2 - 1


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


class Stage(nn.Module):
    """Half of the channels pass `depth` residual blocks, and all stages of them are merged."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.half = outputs // 2
        self.into = conv(inputs, outputs, 1)
        self.blocks = nn.ModuleList(Residual(self.half) for _ in range(depth))
        self.out = conv(self.half * (2 + depth), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.into(x).split(self.half, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        result: Tensor = self.out(torch.cat(parts, 1))
        return result


class Wide(nn.Module):
    """Three poolings in a row, merged: a field of view as wide as the picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = conv(width, width // 2, 1), conv(width * 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.into(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        result: Tensor = self.out(torch.cat(parts, 1))
        return result


class Head(nn.Module):
    """Per level: class logits and distances of the box's sides from the cell, in strides."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.into = conv(inputs, width)
        self.scores = nn.Sequential(conv(width, width), nn.Conv2d(width, classes, 1))
        self.sides = nn.Sequential(conv(width, width), nn.Conv2d(width, 4, 1))
        nn.init.constant_(self.scores[-1].bias, -4.6)
        nn.init.constant_(self.sides[-1].bias, 1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.into(x)
        return self.scores(x), self.sides(x)


class Detector(nn.Module):
    """`forward`: (batch, 3, height, width) to scores' logits (batch, cells, classes) and boxes (batch, cells,
    4), x0 y0 x1 y1 in input pixels. Height and width are multiples of 32."""

    def __init__(self, classes: int, variant: Variant = "xray") -> None:
        super().__init__()
        self.classes = classes
        self.front = Front(variant)
        a, b, c, d, e = 16, 32, 64, 112, 160
        self.lite = Lite0() if variant.startswith("imagenet") else None
        if self.lite is None:
            self.stem = nn.Sequential(conv(Front.planes, a, 3, 2), conv(a, b, 3, 2))
        if self.lite is None:
            self.p3 = nn.Sequential(conv(b, c, 3, 2), Stage(c, c, 2))
            self.p4 = nn.Sequential(conv(c, d, 3, 2), Stage(d, d, 2))
            self.p5 = nn.Sequential(conv(d, e, 3, 2), Stage(e, e, 1), Wide(e))
        else:
            three, four, five = TAPS.values()
            self.p3, self.p4 = conv(three, c, 1), conv(four, d, 1)
            self.p5 = nn.Sequential(conv(five, e, 1), Wide(e))
        self.down4, self.down3 = Stage(d + e, d, 1), Stage(c + d, c, 1)
        self.to4, self.up4 = conv(c, c, 3, 2), Stage(c + d, d, 1)
        self.to5, self.up5 = conv(d, d, 3, 2), Stage(d + e, e, 1)
        self.heads = nn.ModuleList(Head(width, 48, classes) for width in (c, d, e))

    def forward(self, x: Tensor, ground: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.decoded(self.features(self.front(x, ground)))

    def features(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per level: logits (batch, classes, h, w) and sides (batch, 4, h, w)."""
        if self.lite is None:
            three = self.p3(self.stem(x))
            four = self.p4(three)
            five = self.p5(four)
        else:
            three, four, five = (
                side(tap) for side, tap in zip((self.p3, self.p4, self.p5), self.lite(x), strict=True)
            )
        four = self.down4(torch.cat([four, F.interpolate(five, scale_factor=2.0, mode="nearest")], 1))
        three = self.down3(torch.cat([three, F.interpolate(four, scale_factor=2.0, mode="nearest")], 1))
        four = self.up4(torch.cat([self.to4(three), four], 1))
        five = self.up5(torch.cat([self.to5(four), five], 1))
        return [head(level) for head, level in zip(self.heads, (three, four, five), strict=True)]

    def decoded(self, levels: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Logits and boxes of all cells of all levels."""
        logits, boxes = [], []
        for (scores, sides), stride in zip(levels, STRIDES, strict=True):
            points = cells(scores.shape[2], scores.shape[3], stride)
            reach = F.softplus(sides.float()).flatten(2).transpose(1, 2) * stride
            boxes.append(torch.cat([points - reach[..., :2], points + reach[..., 2:]], -1))
            logits.append(scores.float().flatten(2).transpose(1, 2))
        return torch.cat(logits, 1), torch.cat(boxes, 1)


def cells(height: int, width: int, stride: int) -> Tensor:
    """Middles (height * width, 2) of a level's cells, x and y in input pixels."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * float(stride)


def all_cells(size: tuple[int, int]) -> Tensor:
    """Middles and strides (cells, 3) of all levels for an input of (height, width)."""
    rows = []
    for stride in STRIDES:
        points = cells(size[0] // stride, size[1] // stride, stride)
        rows.append(torch.cat([points, torch.full((len(points), 1), float(stride))], 1))
    return torch.cat(rows)

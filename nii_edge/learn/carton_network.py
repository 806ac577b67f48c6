"""The network that reads a whole carton: how many parcels lie in it, and whether something is hidden in it.

One trunk looks at the map of each view (`xray.carton_map`). Parcels are counted as crowds are: as the sum of
a density over the view, which needs no box around each, and stacked ones add up (Lempitsky and Zisserman,
Learning to count objects in images, 2010). Then all views speak together. Plain convolutions and ReLU.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import onnx
import torch
import torch.nn.functional as F  # noqa: N812 - as everyone calls it
from onnx import numpy_helper
from torch import Tensor, nn

from nii_edge.errors import BundleError
from nii_edge.learn.export import OPSET
from nii_edge.learn.network import Residual, conv
from nii_edge.xray.carton_map import CELL, COUNTS, PLANES, SCALARS, STEP, Inputs

TRAITS = 24
"""Numbers that tell sorts of goods apart: they only teach the trunk to look at goods."""
SORTS_SCALE = 16.0
NEVER = -10.0
"""Log-odds of something hidden where there is no carton."""
LEAST_CARTON = 0.3
"""Share of a cell that is carton from which it counts."""
COUNT_SIGMA = 0.05
"""Of ln(1 + count): counts so near to the true one are as good."""
LOSSES = {"density": 0.5, "total": 1.0, "count": 1.0, "heat": 1.0, "hidden": 0.5, "sort": 0.3}
"""What each part of the loss weighs."""


class Batch(NamedTuple):
    """Cartons to learn from. `planes` (views, PLANES, height, width); `owner` (views,): whose view it is;
    `density`, `heat` (views, height / CELL, width / CELL): parcels, and where something is hidden;
    `scalars` (cartons, SCALARS); `parcels`, `hidden`, `sort` (cartons,), `sort` -1 where it is not known."""

    planes: Tensor
    owner: Tensor
    density: Tensor
    heat: Tensor
    scalars: Tensor
    parcels: Tensor
    hidden: Tensor
    sort: Tensor


class Answer(NamedTuple):
    """`density`, `heat`: as in `Batch`, heat in log-odds; `counts` (cartons, len(COUNTS)) logits; `hidden`
    (cartons,) log-odds; `sorts` (cartons, sorts) logits."""

    density: Tensor
    heat: Tensor
    counts: Tensor
    hidden: Tensor
    sorts: Tensor


class CartonNetwork(nn.Module):
    """`sorts`: of goods."""

    def __init__(self, sorts: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(PLANES, 24, 3, 2), conv(24, 32, 3, 2), Residual(32), Residual(32))
        self.middle = nn.Sequential(conv(32, 64, 3, 2), Residual(64), Residual(64), Residual(64))
        self.end = nn.Sequential(conv(64, 96, 3, 2), Residual(96), Residual(96))
        self.density = nn.Conv2d(64 + 96, 1, 1)
        self.heat = nn.Conv2d(64 + 96, 1, 1)
        nn.init.constant_(self.heat.bias, -4.0)
        nn.init.constant_(self.density.bias, -4.0)
        self.view = nn.Sequential(nn.Linear(96 * 2 + 64 + 2, 128), nn.ReLU())
        self.both = nn.Sequential(nn.Linear(128 * 2 + SCALARS + 4, 128), nn.ReLU(), nn.Dropout(0.1))
        self.counts = nn.Linear(128, len(COUNTS))
        self.hidden = nn.Linear(128, 1)
        self.traits = nn.Linear(128, TRAITS)
        self.sorts = nn.Parameter(torch.randn(sorts, TRAITS))

    def forward(self, planes: Tensor, owner: Tensor, scalars: Tensor) -> Answer:
        """See `Batch` and `Answer`."""
        density, heat, seen = self._look(planes)
        each = self.view(seen)
        ends = seen[:, -2:]
        pools = [_pooled(values, owner, len(scalars), how) for values, how in (
            (each, "mean"), (each, "amax"), (ends, "mean"), (ends, "amax")
        )]  # fmt: skip
        return self._together(density, heat, [*pools[:2], scalars, *pools[2:]])

    def read(self, planes: Tensor, scalars: Tensor) -> Answer:
        """The same for the views of one carton."""
        density, heat, seen = self._look(planes)
        each = self.view(seen)
        ends = seen[:, -2:]
        pools = [way for values in (each, ends) for way in (values.mean(0, True), values.amax(0, True))]
        return self._together(density, heat, [*pools[:2], scalars, *pools[2:]])

    def _look(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Density and heat of every view, and what is said of it."""
        inside = planes[:, -1:]
        middle = self.middle(self.stem(planes))
        end = self.end(middle)
        both = torch.cat([middle, F.interpolate(end, scale_factor=2.0, mode="nearest")], 1)
        own = (F.avg_pool2d(inside, CELL) > LEAST_CARTON).to(both.dtype)
        density = F.softplus(self.density(both)) * own
        heat = self.heat(both) * own + NEVER * (1 - own)
        coarse = (F.avg_pool2d(inside, 2 * CELL) > LEAST_CARTON).to(both.dtype)
        seen = [
            (end * coarse).sum((2, 3)) / coarse.sum((2, 3)).clamp(min=1),
            (end * coarse).amax((2, 3)),
            (middle * own).sum((2, 3)) / own.sum((2, 3)).clamp(min=1),
            torch.log1p(density.sum((2, 3))),
            heat.amax((2, 3)) / 4,
        ]
        return density[:, 0], heat[:, 0], torch.cat(seen, 1)

    def _together(self, density: Tensor, heat: Tensor, said: list[Tensor]) -> Answer:
        whole = self.both(torch.cat([part.float() for part in said], 1))
        traits = F.normalize(self.traits(whole), dim=1)
        sorts = SORTS_SCALE * traits @ F.normalize(self.sorts, dim=1).T
        return Answer(density, heat, self.counts(whole), self.hidden(whole)[:, 0], sorts)


def _pooled(values: Tensor, owner: Tensor, cartons: int, how: str) -> Tensor:
    """(cartons, values) of all views of each."""
    values = values.float()
    made = torch.zeros(cartons, values.shape[1])
    return made.scatter_reduce(0, owner[:, None].expand_as(values), values, how, include_self=False)


def losses(answer: Answer, batch: Batch) -> dict[str, Tensor]:
    """The parts of the loss, by the names of `LOSSES`."""
    true = batch.density.sum((1, 2))
    off = torch.log1p(answer.density.float().sum((1, 2))) - torch.log1p(true)
    found = torch.sigmoid(answer.heat.float())
    focal = torch.where(batch.heat > 0, (1 - found) ** 2, found**2)
    heat = F.binary_cross_entropy_with_logits(answer.heat.float(), batch.heat, reduction="none")
    wanted = F.log_softmax(answer.counts.float(), 1)
    known = batch.sort >= 0
    sorts = answer.sorts.float()
    return {
        "density": ((answer.density.float() - batch.density).abs().sum((1, 2)) / (1 + true)).mean(),
        "total": F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.2),
        "count": -(_near(batch.parcels) * wanted).sum(1).mean(),
        "heat": (heat * focal).sum() / (batch.heat.sum() + 20),
        "hidden": F.binary_cross_entropy_with_logits(answer.hidden.float(), batch.hidden),
        "sort": F.cross_entropy(sorts[known], batch.sort[known]) if known.any() else sorts.sum() * 0,
    }


def _near(parcels: Tensor) -> Tensor:
    """(cartons, len(COUNTS)): how good each answer is, 1 in all."""
    apart = torch.log1p(parcels)[:, None] - torch.log1p(torch.tensor(COUNTS, dtype=torch.float32))[None]
    weight = torch.exp(-0.5 * (apart / COUNT_SIGMA) ** 2) + 1e-9 * torch.exp(-apart.abs())
    return weight / weight.sum(1, keepdim=True)


class _Reading(nn.Module):
    def __init__(self, network: CartonNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, maps: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answer = self.network.read(maps, scalars)
        return answer.counts.softmax(1), answer.hidden, answer.heat


def to_onnx(network: CartonNetwork) -> bytes:
    """Inputs `maps` (views, PLANES, height, width), `scalars` (1, SCALARS) of one carton; outputs `parcels`
    (1, len(COUNTS)), `hidden` (1,), `heat` (views, height / CELL, width / CELL): see
    `adapters.carton_reader`."""
    data = io.BytesIO()
    reading = _Reading(copy.deepcopy(network).float().eval())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of itself
        torch.onnx.export(
            reading,
            (torch.zeros(2, PLANES, 8 * STEP, 6 * STEP), torch.zeros(1, SCALARS)),
            data,
            input_names=["maps", "scalars"],
            output_names=["parcels", "hidden", "heat"],
            dynamic_axes={
                "maps": {0: "views", 2: "height", 3: "width"},
                "heat": {0: "views", 1: "rows", 2: "columns"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(data.getvalue())
    for output, shape in zip(model.graph.output, ((1, len(COUNTS)), (1,)), strict=False):
        for place, size in zip(output.type.tensor_type.shape.dim, shape, strict=True):
            place.dim_value = size
    model.producer_name, model.producer_version = "nii_edge", ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def from_onnx(model: bytes, sorts: int, batches: Iterable[Batch]) -> CartonNetwork:
    """The network in a file of `to_onnx`, to be taught further.

    The file holds each convolution and its batch norm as one; the norms get the statistics that `batches`
    have there, so that nothing it says changes. What only teaches (`traits`, `sorts`) begins anew.

    Raises:
        BundleError: it is another network.
    """
    network = CartonNetwork(sorts)
    network.eval()
    blocks = [each for each in network.modules() if isinstance(each, nn.Sequential) and _is_block(each)]
    norms = [block[1] for block in blocks]
    layers = [block[0] for block in blocks] + [network.density, network.heat]
    layers += [network.view[0], network.both[0], network.counts, network.hidden]
    held = _layers_of(model)
    if [layer.weight.shape for layer in layers] != [weight.shape for weight, _ in held]:
        raise BundleError("the file holds another network than this version's, which cannot go on from it")
    with torch.no_grad():
        for layer, (weight, _) in zip(layers, held, strict=True):
            layer.weight.copy_(weight)
        for layer, (_, bias) in zip([*norms, *layers[len(norms) :]], held, strict=True):
            layer.bias.copy_(bias)
        for norm in norms:
            norm.weight.fill_(1 + norm.eps).sqrt_()  # mean 0 and variance 1 pass unchanged
        _measure(norms, network, batches)
    return network


def _layers_of(model: bytes) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of all convolutions, then of all linear layers, in the order they are run."""
    graph = onnx.load_from_string(model).graph
    held = {each.name: each for each in graph.initializer}
    for node in graph.node:  # of equal values only one is kept, and the others say so
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    nodes = [node for kind in ("Conv", "Gemm") for node in graph.node if node.op_type == kind]
    weights = [[numpy_helper.to_array(held[name]).copy() for name in node.input[1:3]] for node in nodes]
    return [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in weights]


def _is_block(block: nn.Sequential) -> bool:
    """Whether it is a `conv`."""
    return len(block) > 1 and isinstance(block[0], nn.Conv2d) and isinstance(block[1], nn.BatchNorm2d)


def _measure(norms: list[nn.BatchNorm2d], network: CartonNetwork, batches: Iterable[Batch]) -> None:
    """Give norms that pass everything unchanged but for their bias the statistics of what comes to them."""
    sums = {norm: [torch.zeros(norm.num_features, dtype=torch.float64) for _ in range(3)] for norm in norms}

    def note(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        values = given[0].double()
        count, first, second = sums[norm]
        count += values.numel() / values.shape[1]
        first += values.sum((0, 2, 3))
        second += values.square().sum((0, 2, 3))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    for batch in batches:
        network(batch.planes, batch.owner, batch.scalars)
    for hook in hooks:
        hook.remove()
    for norm, (count, first, second) in sums.items():
        mean = first / count
        norm.running_mean = mean.float()
        norm.running_var = (second / count - mean.square()).clamp(min=1e-6).float()
        norm.bias.add_(mean.float())
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())


def as_planes(stacked: Inputs) -> Tensor:
    """Inputs (views, PLANES, height, width) as the network wants them."""
    return torch.from_numpy(stacked).contiguous(memory_format=torch.channels_last)

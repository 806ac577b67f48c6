"""Training within a given time: the schedule runs over minutes, not epochs, and may be interrupted.

AdamW, a short warm-up, a cosine down to almost nothing, a running mean of the weights (EMA) that is what gets
validated and exported, a checkpoint every few minutes.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nii_edge.learn.feed import Batch
from nii_edge.learn.loss import losses
from nii_edge.learn.network import Detector, all_cells


class Plan(NamedTuple):
    """`minutes` of wall time in all; `rate` the highest learning rate; `decay` of the weights; `ema` of the
    running mean; `checkpoint_s` between checkpoints, `validate_s` between validations; `sizes`: from which
    share of the time on inputs have which side; `steps`: end after so many, if
    the time is not up before."""

    minutes: float
    rate: float = 2e-3
    decay: float = 0.03
    ema: float = 0.998
    warmup: int = 150
    checkpoint_s: float = 180.0
    validate_s: float = 600.0
    sizes: tuple[tuple[float, int], ...] = ((0.0, 224), (0.4, 320))
    steps: int | None = None

    def size(self, share: float) -> int:
        """The input's side at a share 0-1 of the time: small pictures first, which are quicker."""
        return next(size for start, size in reversed(self.sizes) if share >= start)


class Progress(NamedTuple):
    """How far a run is: seconds spent, steps and pictures taken, and the curve so far."""

    seconds: float
    steps: int
    images: int
    curve: list[dict[str, float]]


class Mean:
    """The running mean of a network's weights."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step of the network in; at first the mean follows quickly."""
        self.steps += 1
        keep = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mine.dtype.is_floating_point:
                mine.mul_(keep).add_(theirs, alpha=1 - keep)
            else:
                mine.copy_(theirs)


def train(
    network: Detector,
    feed: Callable[[int], Iterator[Batch]],
    plan: Plan,
    folder: Path,
    *,
    validate: Callable[[Detector], dict[str, float]] | None = None,
    told: Callable[[dict[str, float]], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Detector, Progress]:
    """Train until the time is up; returns the mean network and how it went. Resumes from `folder`."""
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(_groups(network, plan.decay), lr=plan.rate, betas=(0.9, 0.99))
    mean = Mean(network, plan.ema)
    stepping: nn.Module = network
    shared = dist.is_available() and dist.is_initialized()
    leads = not shared or dist.get_rank() == 0
    done = _resumed(folder, network, mean, optimiser)
    size = 0
    if shared:
        stepping = nn.parallel.DistributedDataParallel(network)
    began = time.monotonic() - done.seconds
    steps, images, curve = done.steps, done.images, done.curve
    saved = checked = time.monotonic()
    total = plan.minutes * 60
    recent: list[tuple[float, float]] = []
    while True:
        spent = _together(time.monotonic() - began, shared)
        share = max(spent / total, steps / plan.steps if plan.steps else 0.0)
        if share >= 1 or stop():
            break
        if size != plan.size(share):
            size = plan.size(share)
            batches, points = feed(size), all_cells((size, size))
        rate = plan.rate * min((steps + 1) / plan.warmup, 1) * (0.01 + 0.99 * _cosine(share))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = next(batches)
        logits, boxes = stepping(batch.inputs.contiguous(memory_format=torch.channels_last))
        loss = losses(logits, boxes, points, batch.targets)
        optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        if leads:
            mean.update(network)
        steps, images = steps + 1, images + len(batch.inputs) * (dist.get_world_size() if shared else 1)
        recent.append((float(loss.scores), float(loss.boxes)))
        if not leads:
            continue
        if steps % 20 == 0:
            scores, placed = (sum(values) / len(recent) for values in zip(*recent, strict=True))
            recent = []
            told({"minutes": spent / 60, "steps": steps, "scores": scores, "boxes": placed, "rate": rate,
                  "images_per_s": images / max(spent, 1e-9)})  # fmt: skip
            curve.append({"minutes": spent / 60, "scores": scores, "boxes": placed})
        now = time.monotonic()
        if validate is not None and now - checked > plan.validate_s:
            curve.append({"minutes": spent / 60, **validate(mean.network)})
            told(curve[-1])
            checked = time.monotonic()
        if now - saved > plan.checkpoint_s:
            _save(folder, network, mean, optimiser, Progress(now - began, steps, images, curve))
            saved = now
    progress = Progress(time.monotonic() - began, steps, images, curve)
    if leads:
        _save(folder, network, mean, optimiser, progress)
    return mean.network, progress


def _together(seconds: float, shared: bool) -> float:
    """The same time for all processes that train together: that of the first."""
    if not shared:
        return seconds
    value = torch.tensor([seconds], dtype=torch.float64)
    dist.broadcast(value, 0)
    return float(value)


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Biases and norms are not decayed."""
    flat: list[Tensor] = [p for p in network.parameters() if p.ndim <= 1]
    deep: list[Tensor] = [p for p in network.parameters() if p.ndim > 1]
    return [{"params": deep, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}]


def _save(
    folder: Path, network: nn.Module, mean: Mean, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "checkpoint.part"
    torch.save(
        {
            "network": network.state_dict(),
            "mean": mean.network.state_dict(),
            "mean_steps": mean.steps,
            "optimiser": optimiser.state_dict(),
            "progress": json.dumps(progress._asdict()),
        },
        part,
    )
    part.rename(folder / "checkpoint.pt")


def _resumed(folder: Path, network: nn.Module, mean: Mean, optimiser: torch.optim.Optimizer) -> Progress:
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return Progress(0.0, 0, 0, [])
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    mean.network.load_state_dict(state["mean"])
    mean.steps = int(state["mean_steps"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**json.loads(state["progress"]))

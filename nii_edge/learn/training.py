"""Training within a given time: the schedule runs over minutes, not epochs, and may be interrupted.

AdamW, a short warm-up, a cosine down to almost nothing, a running mean of the weights (EMA) that is what gets
validated and exported, a checkpoint every few minutes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nii_edge.errors import DataError
from nii_edge.learn.feed import Batch
from nii_edge.learn.loss import losses
from nii_edge.learn.network import Detector, all_cells

TOLD_EVERY = 20
"""Steps."""
LEAST_MINUTES = 0.02
"""Of training, if everything before it has used up the time."""
TRIALS = 5
"""Of what is timed to choose between ways."""
KNOWN_RATE = 0.25
"""The learning rate of ImageNet's features against that of what begins with nothing."""


@cache
def multiplies_short() -> bool:
    """Whether this processor learns faster with products of bfloat16 than in 32 bits.

    Where it can do them at all (AMX, or AVX-512 with BF16), some take twice as long as others: so a
    convolution is tried both ways, in a fraction of a second (tools/time_training.py times whole steps).
    """
    able = torch.cpu.get_capabilities()
    if not (able.get("amx_bf16", False) or able.get("avx512_bf16", False)):
        return False
    layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    inputs = torch.ones(8, 64, 40, 40).contiguous(memory_format=torch.channels_last).requires_grad_()
    return _quickest(layer, inputs, short=True) < _quickest(layer, inputs, short=False)


def _quickest(layer: nn.Module, inputs: torch.Tensor, *, short: bool) -> float:
    """Seconds of CPU time of the fastest of `TRIALS` passes there and back."""
    times = []
    for _ in range(TRIALS):
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            answer = layer(inputs)
        answer.float().sum().backward()
        times.append(time.process_time() - began)
    return min(times)


class Plan(NamedTuple):
    """`minutes` of wall time, those of earlier starts and what came `before` training included; `before`:
    seconds that this start spent so; `rate` the highest learning rate; `decay` of the weights; `ema` of the
    running mean; `checkpoint_s` between checkpoints, `validate_s` between validations; `sizes`: from which
    share of the time on inputs have which side; `steps`: end after so many, if
    the time is not up before; `finish`: the share from which a run that is to `stop` early goes on."""

    minutes: float
    rate: float = 2e-3
    decay: float = 0.03
    ema: float = 0.998
    warmup: int = 150
    checkpoint_s: float = 180.0
    validate_s: float = 600.0
    sizes: tuple[tuple[float, int], ...] = ((0.0, 224), (0.4, 320))
    steps: int | None = None
    finish: float = 0.85
    before: float = 0.0

    def size(self, share: float) -> int:
        """The input's side at a share 0-1 of the time: small pictures first, which are quicker."""
        return next(size for start, size in reversed(self.sizes) if share >= start)


class Progress(NamedTuple):
    """How far a run is, all its starts together: seconds spent on training, steps and pictures taken, the
    curve so far, and seconds spent before training."""

    seconds: float
    steps: int
    images: int
    curve: list[dict[str, float]]
    before: float = 0.0


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


class Watch(NamedTuple):
    """Who hears of a run. `validate`: measures the mean network now and then; `told`: every row of the curve;
    `stop`: whether to end early, with the last part of the schedule shortened to what was spent; `warned`: of
    what went wrong without ending it."""

    validate: Callable[[Detector], dict[str, float]] | None = None
    told: Callable[[dict[str, float]], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    warned: Callable[[str], None] = lambda _: None


def train(
    network: Detector, feed: Callable[[int], Iterator[Batch]], plan: Plan, folder: Path, watch: Watch
) -> tuple[Detector, Progress]:
    """Train until the time is up; returns the mean network and how it went. Resumes from `folder`.

    `feed` gives endless batches of inputs of a side. Where torch.distributed is set up, all processes share
    their gradients, and the first one keeps the mean and the files.
    """
    run = _Run(network, plan, folder, watch)
    size = 0
    points: Tensor = torch.empty(0)
    batches: Iterator[Batch] = iter(())
    while (share := run.share()) < 1:
        if size != plan.size(share):
            size = plan.size(share)
            batches, points = feed(size), all_cells((size, size))
            run.look_at(size)
        run.step(next(batches), points, share)
        if run.leads:
            run.note()
    if run.leads:
        run.save()
    return run.mean.network, run.progress()


class _Run:
    """One training under way."""

    def __init__(self, network: Detector, plan: Plan, folder: Path, watch: Watch) -> None:
        self._network = network.to(memory_format=torch.channels_last).train()
        self._plan, self._folder, self._watch = plan, folder, watch
        self._optimiser = torch.optim.AdamW(
            _groups(network, plan.decay), lr=plan.rate, betas=(0.9, 0.99), fused=True
        )
        self.mean = Mean(network, plan.ema)
        self._shared = dist.is_available() and dist.is_initialized()
        self.leads = not self._shared or dist.get_rank() == 0
        done, minutes = _resumed(folder, network, self.mean, self._optimiser)
        self._before = done.before + plan.before
        left = max(plan.minutes - self._before / 60, LEAST_MINUTES)
        self._plan, self._ending = plan._replace(minutes=min(left, minutes)), minutes < left
        self._stepping: nn.Module = network
        if self._shared:
            self._stepping = nn.parallel.DistributedDataParallel(network, forward_sync_buffers=False)
        self._steps, self._images, self._curve = done.steps, done.images, done.curve
        self._began = time.monotonic() - done.seconds
        self._saved = self._checked = time.monotonic()
        self._recent: list[tuple[float, float]] = []
        self._short = multiplies_short()
        if done.steps and self.leads:
            spent = (self._before + done.seconds) / 60
            watch.told({"steps": done.steps, "minutes_spent": spent, "of": plan.minutes})

    def share(self) -> float:
        """How much of the run is over, 0 to 1 and beyond."""
        over = (time.monotonic() - self._began) / (self._plan.minutes * 60)
        over = max(over, self._steps / self._plan.steps if self._plan.steps else 0.0)
        if over < self._plan.finish and self._watch.stop():  # the last part all the same, in less time
            minutes = (time.monotonic() - self._began) / 60 / self._plan.finish
            self._plan, self._ending = self._plan._replace(minutes=minutes, steps=None), True
            over = self._plan.finish
        return _together(over, self._shared)

    def look_at(self, size: int) -> None:
        """Inputs have this side from now on."""
        if self._network.lite is not None:
            self._network.lite.quicken(size)

    def step(self, batch: Batch, points: Tensor, share: float) -> None:
        """Learn from one batch."""
        rate = self._plan.rate * min((self._steps + 1) / self._plan.warmup, 1) * (0.01 + 0.99 * cosine(share))
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["share"]
        inputs = batch.inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._short):
            logits, boxes = self._stepping(inputs, batch.grounds)
        loss = losses(logits, boxes, points, batch.targets)
        self._optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 10.0)
        self._optimiser.step()
        if self.leads:
            self.mean.update(self._network)
        self._steps += 1
        self._images += len(batch.inputs) * (dist.get_world_size() if self._shared else 1)
        self._recent.append((float(loss.scores), float(loss.boxes)))

    def note(self) -> None:
        """Tell, validate and save when it is time to."""
        minutes = (time.monotonic() - self._began) / 60
        if self._steps % TOLD_EVERY == 0:
            scores, boxes = (sum(values) / len(self._recent) for values in zip(*self._recent, strict=True))
            self._recent = []
            self._curve.append({"minutes": minutes, "scores": scores, "boxes": boxes})
            speed = self._images / max(60 * minutes, 1e-9)
            self._watch.told({**self._curve[-1], "steps": self._steps, "images_per_s": speed})
        now = time.monotonic()
        if now - self._saved > self._plan.checkpoint_s:
            self.save()
            self._saved = now
        if self._watch.validate is not None and now - self._checked > self._plan.validate_s:
            self._curve.append({"minutes": minutes, **self._watch.validate(self.mean.network)})
            self._watch.told(self._curve[-1])
            self._checked = time.monotonic()

    def progress(self) -> Progress:
        """How far it is."""
        seconds = time.monotonic() - self._began
        return Progress(seconds, self._steps, self._images, self._curve, self._before)

    def save(self) -> None:
        """Write a checkpoint, all of it or none. One that cannot be written is no reason to end."""
        part, path = self._folder / "checkpoint.part", self._folder / "checkpoint.pt"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(part)
            part.replace(path)
        except (OSError, RuntimeError) as error:  # torch has the latter for a full disk
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            why = error.strerror if isinstance(error, OSError) else f"as on a full disk (torch: {error})"
            kept = "the one before stays" if path.is_file() else "there is none before it"
            self._watch.warned(
                f"{path}: the checkpoint cannot be written, {why}, {_free(self._folder)}; training goes "
                f"on, {kept}; make room on the disk, or an interruption loses what was learned since"
            )

    def _write(self, part: Path) -> None:
        """Raises OSError, RuntimeError."""
        state = {
            "network": self._network.state_dict(),
            "mean": self.mean.network.state_dict(),
            "mean_steps": self.mean.steps,
            "optimiser": self._optimiser.state_dict(),
            "progress": json.dumps(self.progress()._asdict()),
            "minutes": self._plan.minutes if self._ending else math.inf,
        }
        torch.save(state, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())


def _free(folder: Path) -> str:
    """How much of the disk is free, in words."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free"
    except OSError as error:
        return f"the folder cannot be read: {error.strerror}"


def _together(share: float, shared: bool) -> float:
    """The same for all processes that train together: that of the first."""
    if not shared:
        return share
    value = torch.tensor([share], dtype=torch.float64)
    dist.broadcast(value, 0)
    return float(value)


def cosine(share: float) -> float:
    """From 1 at the beginning to 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Biases and norms are not decayed, what ImageNet taught moves more slowly, what is frozen is out."""
    groups = []
    for known in (False, True):
        own = [
            p
            for name, p in network.named_parameters()
            if p.requires_grad and name.startswith("lite.") == known
        ]
        share = KNOWN_RATE if known else 1.0
        groups += [
            {"params": [p for p in own if p.ndim > 1], "weight_decay": decay, "share": share},
            {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "share": share},
        ]
    return groups


def _resumed(
    folder: Path, network: nn.Module, mean: Mean, optimiser: torch.optim.Optimizer
) -> tuple[Progress, float]:
    """How far the run was, and the minutes to which it was shortened, infinite if it was not."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return Progress(0.0, 0, 0, []), math.inf
    try:
        state = torch.load(path, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete it, and the run starts anew") from error
    network.load_state_dict(state["network"])
    mean.network.load_state_dict(state["mean"])
    mean.steps = int(state["mean_steps"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**json.loads(state["progress"])), float(state.get("minutes", math.inf))

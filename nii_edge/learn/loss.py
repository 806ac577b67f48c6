"""What a prediction should have been, and how far off it is.

Cells are assigned to boxes by how well they classify and place them already (task-aligned assignment: Feng et
al., "TOOD", ICCV 2021), class scores learn the quality of their box, boxes learn by complete IoU (Zheng et
al., "Distance-IoU Loss", AAAI 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

TOP = 10
"""Cells that a box gets at most."""
ALPHA, BETA = 0.5, 6.0
"""Powers of score and IoU in the alignment."""
BOX_WEIGHT, SCORE_WEIGHT = 5.0, 1.0


class Losses(NamedTuple):
    """Their weighted sum, and both parts."""

    total: Tensor
    scores: Tensor
    boxes: Tensor


def iou(a: Tensor, b: Tensor, complete: bool = False) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast; with `complete` less what middles and
    proportions are off."""
    corner0, corner1 = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (corner1 - corner0).clamp(min=0).prod(-1)
    side_a, side_b = (a[..., 2:] - a[..., :2]).clamp(min=1e-3), (b[..., 2:] - b[..., :2]).clamp(min=1e-3)
    ratio = shared / (side_a.prod(-1) + side_b.prod(-1) - shared + 1e-7)
    if not complete:
        return ratio
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    angles = torch.atan(side_b[..., 0] / side_b[..., 1]) - torch.atan(side_a[..., 0] / side_a[..., 1])
    form = 4 / math.pi**2 * angles**2
    with torch.no_grad():
        weight = form / (1 - ratio + form + 1e-7)
    return ratio - apart / ((hull**2).sum(-1) + 1e-7) - weight * form


def losses(logits: Tensor, boxes: Tensor, cells: Tensor, targets: Sequence[tuple[Tensor, Tensor]]) -> Losses:
    """The losses of a batch.

    `logits` (batch, cells, classes), `boxes` (batch, cells, 4), `cells` (cells, 3) x, y, stride; per picture
    target boxes (n, 4) and labels (n,), -1 for areas in which nothing is punished.
    """
    wanted = torch.zeros_like(logits)
    weights = torch.ones(logits.shape[:2], device=logits.device)
    own, goal, quality = [], [], []
    for index, (target, labels) in enumerate(targets):
        known = labels >= 0
        if (~known).any():
            weights[index, _inside(cells, target[~known]).any(1)] = 0
        if not known.any():
            continue
        rows, which, aligned = _assigned(
            logits[index].detach().sigmoid(), boxes[index].detach(), cells, target[known], labels[known]
        )
        wanted[index, rows, labels[known][which]] = aligned
        weights[index, rows] = 1
        own.append(boxes[index, rows])
        goal.append(target[known][which])
        quality.append(aligned)
    total = wanted.sum().clamp(min=1)
    scores = (
        F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weights[..., None]
    ).sum() / total
    placed = boxes.sum() * 0
    if own:
        apart = 1 - iou(torch.cat(own), torch.cat(goal), complete=True)
        placed = (apart * torch.cat(quality)).sum() / total
    return Losses(SCORE_WEIGHT * scores + BOX_WEIGHT * placed, scores.detach(), placed.detach())


def _inside(cells: Tensor, boxes: Tensor) -> Tensor:
    """(cells, n): whether a cell's middle lies in a box, boxes being at least a stride wide."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    away = (cells[:, None, :2] - middle[None]).abs()
    reach = torch.maximum(half[None], cells[:, None, 2:] * 0.75)
    return (away < reach).all(-1)


def _assigned(
    scores: Tensor, boxes: Tensor, cells: Tensor, target: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which cells (rows) learn which boxes, and the quality each should state."""
    inside = _inside(cells, target)
    overlap = iou(boxes[:, None], target[None]) * inside
    metric = scores[:, labels].pow(ALPHA) * overlap.pow(BETA) * inside
    # a box that nothing predicts yet gets the cells nearest to its middle
    apart = (cells[:, None, :2] - ((target[:, :2] + target[:, 2:]) / 2)[None]).norm(dim=-1)
    metric = metric + inside * 1e-9 / (1 + apart / cells[:, None, 2])
    best, rows = metric.topk(min(TOP, len(cells)), dim=0)
    chosen = torch.zeros_like(metric)
    chosen.scatter_(0, rows, (best > 0).to(metric.dtype))
    several = chosen.sum(1) > 1
    if several.any():
        only = F.one_hot(overlap[several].argmax(1), len(labels)).to(chosen.dtype)
        chosen[several] = only * inside[several]
    taken, which = chosen.nonzero(as_tuple=True)
    top = (metric * chosen).amax(0).clamp(min=1e-12)
    reached = (overlap * chosen).amax(0)
    aligned = metric[taken, which] / top[which] * reached[which].clamp(min=0.02)
    return taken, which, aligned

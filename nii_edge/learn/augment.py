"""What a picture may look like besides: other places and sizes, other displays, other matter in front.

Nothing here changes what a thing is made of: colours move all together, as from maker to maker, and matter in
front multiplies, as X-rays have it. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.learn.pool import Sample

Floats = npt.NDArray[np.float32]

PAD = -1.0
"""The value of an input pixel beyond the picture; the network takes it for air."""
MIN_SIDE = 3.0
"""Input pixels: a box that becomes smaller is not taught."""
MIN_KEPT = 0.5
"""The share of a box that must stay in the picture for it to be taught; with less it is ignored."""


class Strength(NamedTuple):
    """How much is changed. `scale`: of the picture against one that just fits into `fits` pixels (None: the
    input's side), so that a small input may show a part of a picture at the size that a large one has it;
    `focus`: how often that part is one with something in it; `overlay`: how often another picture lies in
    front; `display`: how often colours change; `grey`: how often they are lost; `quarter`: whether pictures
    are turned by quarters."""

    scale: tuple[float, float] = (0.6, 1.3)
    fits: int | None = None
    focus: float = 0.75
    overlay: float = 0.12
    display: float = 0.8
    grey: float = 0.12
    quarter: bool = True


class Augmented(NamedTuple):
    """`input` (3, size, size) in 0-1, `PAD` outside; `boxes` (n, 4) and `labels` (n,) in it; `ground` (3,),
    the brightest colour of the whole picture, which the input may not show."""

    input: Floats
    boxes: Floats
    labels: npt.NDArray[np.int64]
    ground: Floats


NOTHING = Strength((1.0, 1.0), None, 0.0, 0.0, 0.0, 0.0, quarter=False)


def augmented(
    sample: Sample, other: Sample | None, size: int, strength: Strength, rng: np.random.Generator
) -> Augmented:
    """An input made of `sample`, and at times of `other` in front of it."""
    fits = strength.fits or size
    share = fits / max(sample.rgb.shape[:2]) * float(np.exp(rng.uniform(*np.log(strength.scale))))
    sample = _turned(_resized(sample, share), strength, rng)
    if other is not None and rng.random() < strength.overlay:
        sample = overlaid(sample, other, rng)
    rgb = sample.rgb
    if rng.random() < strength.display:
        rgb = displayed(rgb, rng)
    if rng.random() < strength.grey:
        rgb = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    return _placed(Sample(rgb, sample.boxes, sample.labels), size, strength, rng)


def _resized(sample: Sample, share: float) -> Sample:
    """The picture made smaller or larger."""
    height, width = sample.rgb.shape[:2]
    new = max(1, round(width * share)), max(1, round(height * share))
    rgb = cv2.resize(sample.rgb, new, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR)
    boxes = sample.boxes * np.array((new[0] / width, new[1] / height) * 2, np.float32)
    return Sample(np.asarray(rgb, np.uint8), boxes, sample.labels)


def _placed(sample: Sample, size: int, strength: Strength, rng: np.random.Generator) -> Augmented:
    """Somewhere in the input, which may show only a part."""
    height, width = sample.rgb.shape[:2]
    moving = strength.scale != (1.0, 1.0)
    shown = None
    if len(sample.boxes) and rng.random() < strength.focus:
        shown = sample.boxes[int(rng.integers(len(sample.boxes)))]
    left, top = (
        _start(side, size, None if shown is None else (shown[axis], shown[axis + 2]), rng) if moving else 0
        for axis, side in enumerate((width, height))
    )
    made = np.full((size, size, 3), PAD, np.float32)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, size), min(top + height, size)
    made[y0:y1, x0:x1] = sample.rgb[y0 - top : y1 - top, x0 - left : x1 - left] * np.float32(1 / 255)
    boxes = sample.boxes + np.array((left, top, left, top), np.float32)
    whole = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3), axis=1)
    boxes = np.clip(boxes, 0, size)
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = np.prod(sides, axis=1) / whole
    labels = np.where(kept < MIN_KEPT, -1, sample.labels)
    there = (sides.min(axis=1) >= MIN_SIDE) & (kept > 0.05) if len(boxes) else np.zeros(0, np.bool_)
    ground = np.percentile(sample.rgb.reshape(-1, 3)[::7], 98, axis=0).astype(np.float32) / np.float32(255)
    return Augmented(np.ascontiguousarray(made.transpose(2, 0, 1)), boxes[there], labels[there], ground)


def _start(side: int, size: int, shown: tuple[float, float] | None, rng: np.random.Generator) -> int:
    """Where a picture's `side` begins in an input of `size`: all of the smaller lies in the larger, and
    `shown`, from and to, lies in the input if there is room."""
    low, high = float(min(size - side, 0)), float(max(size - side, 0))
    if shown is not None and side > size:
        first, last = sorted((-shown[0], size - shown[1]))
        low, high = min(max(low, first), high), max(min(high, last), low)
    return round(float(rng.uniform(low, high)))


def _turned(sample: Sample, strength: Strength, rng: np.random.Generator) -> Sample:
    """Mirrored and turned by quarters."""
    if not strength.quarter:
        return sample
    rgb, boxes = sample.rgb, sample.boxes
    if rng.random() < 0.5:
        width = rgb.shape[1]
        rgb, boxes = (
            rgb[:, ::-1],
            np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1),
        )
    if rng.random() < 0.5:
        height = rgb.shape[0]
        rgb, boxes = (
            rgb[::-1],
            np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], 1),
        )
    if rng.random() < 0.5:
        rgb, boxes = rgb.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    return Sample(np.ascontiguousarray(rgb), boxes, sample.labels)


def overlaid(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """Another picture in front: transmissions multiply, as far as a display shows them.

    The other's own background is taken out first; it is stretched over this picture, and both keep their
    boxes.
    """
    height, width = sample.rgb.shape[:2]
    front = cv2.resize(other.rgb, (width, height), interpolation=cv2.INTER_AREA)
    ground = np.percentile(front.reshape(-1, 3)[::17], 98, axis=0).astype(np.float32)
    share = np.minimum(front * (1 / np.maximum(ground, 1)), 1) ** np.float32(rng.uniform(0.25, 0.8))
    scale = np.array((width / other.rgb.shape[1], height / other.rgb.shape[0]) * 2, np.float32)
    rgb = (sample.rgb * share).astype(np.uint8)
    boxes = np.concatenate([sample.boxes, other.boxes * scale]).astype(np.float32)
    return Sample(rgb, boxes, np.concatenate([sample.labels, other.labels]))


def displayed(rgb: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """As another display would show it: hue, saturation, gamma, ground, sharpness, noise."""
    if rng.random() < 0.6:
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int16) + int(rng.normal(0, 5))) % 180
        hsv[:, :, 1] = cv2.convertScaleAbs(hsv[:, :, 1], alpha=float(rng.uniform(0.5, 1.5)))
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    gamma = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.06, 3))
    ground = float(rng.uniform(0.72, 1.0)) + rng.uniform(-0.05, 0.05, 3) if rng.random() < 0.5 else np.ones(3)
    levels = np.linspace(0, 1, 256)[:, None] ** gamma * np.clip(ground, 0.5, 1)
    rgb = cv2.LUT(rgb, np.round(255 * levels).astype(np.uint8).reshape(256, 1, 3))
    kind = rng.random()
    if kind < 0.3:
        soft = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.8, 2.5)))
        amount = float(rng.uniform(0.3, 1.5))
        rgb = cv2.addWeighted(rgb, 1 + amount, soft, -amount, 0)
    elif kind < 0.4:
        rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.5, 1.1)))
    if rng.random() < 0.2:
        noise = rng.normal(0, float(rng.uniform(1, 7)), (*rgb.shape[:2], 1)).astype(np.float32)
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    return rgb

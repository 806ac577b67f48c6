"""Where in a view a carton is unlike the other cartons of its master bill: a heat map for people. Pure.

Each view is cut into blocks, and a block is as warm as it is unlike the most similar block, anywhere in the
same view, of the cartons that went before (a small patch bank). How unlike blocks of these are to one another
says what is usual, so that goods of many shapes do not glow. It shows a place; whether the carton is odd is
said by `anomaly`, from what is measured on it as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame
from nii_edge.xray.carton import BELT_X, longest
from nii_edge.xray.material import log_of, look_up
from nii_edge.xray.optics import Optics, planes_of

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

LONGEST = 480
"""Pixels of the view's longer side that are looked at."""
BLOCK = 6
"""Of these, a block's side."""
FEATURES = 3
"""Of a block: areal density, effective Z, roughness; 0-255 each, scaled to weigh alike."""
DENSEST = 24
"""Pixels of a line that tell whether it belongs to the carton."""
DENSITY = (0.05, 20.0)
"""Areal density in g/cm2 from 0 to 255, logarithmic."""
Z_MOST = 20.0
ROUGH_MOST = 0.5
"""Roughness that is 255: the gradient of the logarithm of density from pixel to pixel."""
TEACHERS = 2
"""Cartons that must have gone before: what is usual is how far they are apart."""
MOST_BLOCKS = 400
"""Blocks of a view that are compared with, taken evenly."""
USUAL = 0.99
"""Share of the blocks of the cartons before that are as unlike the others as is usual."""
NOISE = 1.0
"""Of a feature, in 0-255: blocks never differ less than this."""
THIN = 51.0
"""Blocks this much below the median density (in 0-255: 0.3 of it) are walls and air, and stay cold."""
HOT = 2.0
"""From so many times as unlike as is usual a block is as hot as it gets."""

SPEAKS_FROM = 0.5
"""Heat from which there is something to show."""

Box = tuple[float, float, float, float]
"""Half-open, in pixels of the frame: x0, y0, x1, y1."""


class Blocks(NamedTuple):
    """The blocks of one view of one carton, (rows, columns, FEATURES), and where they lie in the frame."""

    view: int
    box: Box
    values: Codes


class Heat(NamedTuple):
    """`values` (rows, columns) from 0, as usual, to 1; `box`: where they lie in the frame of `view`."""

    view: int
    box: Box
    values: Floats

    @property
    def speaks(self) -> bool:
        """Whether any place stands out."""
        return bool(self.values.max() >= SPEAKS_FROM)


class Compared(NamedTuple):
    """The views of a carton, and those of the cartons that it is compared with."""

    own: tuple[Blocks, ...]
    others: tuple[tuple[Blocks, ...], ...]


def blocks_of(frame: Frame, view: Optics) -> Blocks | None:
    """The blocks of one view; None where no material can be named or no carton is seen.

    Raises:
        FrameError: the frame does not fit `view`.
    """
    if view.materials is None or frame.channels != ("low", "high"):
        return None
    height, width = frame.pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    planes = np.nan_to_num(planes_of(frame, view, size), nan=0.0)
    opacity = -log_of(planes[-1])
    rows, columns = longest(_densest(opacity.T), BELT_X), longest(_densest(opacity), BELT_X)
    if rows is None or columns is None:
        return None
    inside = slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)
    material = look_up(np.ascontiguousarray(planes[:, inside[0], inside[1]]), view.materials)
    sy, sx = height / size[0], width / size[1]
    box = (columns[0] * sx, rows[0] * sy, (columns[1] + 1) * sx, (rows[1] + 1) * sy)
    return Blocks(frame.view, box, _features(material.areal_density, material.z))


def _densest(opacity: Floats) -> Floats:
    """The mean of each column's densest pixels: a wall of a carton is more than the noise of air."""
    dense: Floats = np.sort(opacity, axis=0)[-DENSEST:].mean(axis=0)
    return dense


def _features(density: Floats, z: Floats) -> Codes:
    """(rows, columns, FEATURES) of a view's maps."""
    size = max(1, density.shape[1] // BLOCK), max(1, density.shape[0] // BLOCK)
    least, most = DENSITY
    level = np.log(np.clip(density, least, most) / least) / np.float32(np.log(most / least))
    soft = cv2.GaussianBlur(level.astype(np.float32), (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    rough = cv2.magnitude(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)) / ROUGH_MOST
    weight = np.maximum(density, least)
    means = [
        cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (weight, weight * z, soft, rough)
    ]
    found = np.stack([means[2], means[1] / means[0] / np.float32(Z_MOST), means[3]], axis=-1)
    codes: Codes = np.round(255 * np.clip(np.nan_to_num(found), 0, 1)).astype(np.uint8)
    return codes


def thinned(blocks: Blocks) -> Blocks:
    """At most `MOST_BLOCKS` of them, in one row, to be compared with."""
    flat = blocks.values.reshape(-1, FEATURES)
    places = np.linspace(0, len(flat) - 1, min(len(flat), MOST_BLOCKS)).astype(np.int64)
    return blocks._replace(values=np.ascontiguousarray(flat[places][None]))


def heat_of(own: Blocks, others: Sequence[Blocks]) -> Heat | None:
    """How unlike the `others` (the same view of other cartons) each block is; None if they are too few."""
    if len(others) < TEACHERS:
        return None
    flat = [each.values.reshape(-1, FEATURES).astype(np.float32) for each in others]
    rest = [np.concatenate([flat[j] for j in range(len(flat)) if j != i]) for i in range(len(flat))]
    apart = np.concatenate([_apart(each, other) for each, other in zip(flat, rest, strict=True)])
    spread = np.sqrt((apart * apart).mean(axis=0)) + np.float32(NOISE)
    usual = max(float(np.quantile(_size(apart / spread), USUAL)), 1.0)
    unlike = _size(_apart(own.values.reshape(-1, FEATURES).astype(np.float32), np.concatenate(flat)) / spread)
    warm = np.clip((unlike / usual - 1) / (HOT - 1), 0, 1).astype(np.float32).reshape(own.values.shape[:2])
    level = own.values[:, :, 0].astype(np.float32)
    warm[level < np.median(level) - THIN] = 0
    return Heat(own.view, own.box, warm)


def heats_of(compared: Compared) -> dict[int, Heat]:
    """The heat maps by view, of those in which something stands out."""
    found = {}
    for own in compared.own:
        heat = heat_of(own, [each for carton in compared.others for each in carton if each.view == own.view])
        if heat is not None and heat.speaks:
            found[own.view] = heat
    return found


def _apart(blocks: Floats, others: Floats) -> Floats:
    """Each block less the most similar of the others, (blocks, FEATURES)."""
    distance = (others * others).sum(axis=1)[None] - 2 * (blocks @ others.T)
    apart: Floats = blocks - others[distance.argmin(axis=1)]
    return apart


def _size(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt((vectors * vectors).sum(axis=1))
    return lengths

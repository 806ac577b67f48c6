"""The cartons the benchmark sends: seeded, made once, the same for every column."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.records import Channel, Frame

HEIGHT, WIDTH = 832, 1024
CHANNELS: tuple[Channel, ...] = ("low", "high")
AIR = 50_000.0
"""Counts with nothing in the beam; the profile the benchmark writes says the same."""
PENETRATION_LIMIT = 0.001
FRAMES = 6
"""Different frames sent in turn, so that no cache holds the only one."""
GOLDEN_SEED = 1_000


Counts = npt.NDArray[np.uint16]


class Shot(NamedTuple):
    """One view ready to be sent: pixels, their bytes (no copy), and the CRC-32 a scanner would add."""

    pixels: Counts
    payload: memoryview
    crc32: int


def carton(seed: int) -> Counts:
    """A carton of boxes within boxes, dual energy, (HEIGHT, WIDTH, 2) uint16 counts with noise."""
    rng = np.random.default_rng(seed)
    path = np.zeros((HEIGHT, WIDTH), np.float32)
    path[60:-60, 80:-80] += 0.15
    for _ in range(24):
        top, left = int(rng.integers(60, HEIGHT - 200)), int(rng.integers(80, WIDTH - 260))
        height, width = int(rng.integers(30, 140)), int(rng.integers(30, 180))
        path[top : top + height, left : left + width] += np.float32(rng.uniform(0.1, 0.7))
    transmission = np.exp(-np.stack([1.5 * path, path], axis=-1))
    counts = AIR * transmission + rng.normal(0, 120, transmission.shape)
    pixels = np.clip(counts, 0, 65_535).astype(np.uint16)
    pixels.setflags(write=False)
    return pixels


def shots(seeds: Sequence[int] = range(FRAMES)) -> list[Shot]:
    """Frames of these seeds, ready to be sent."""
    made = []
    for seed in seeds:
        pixels = carton(seed)
        payload = pixels.reshape(-1).view(np.uint8).data
        made.append(Shot(pixels, payload, zlib.crc32(payload)))
    return made


def as_frame(pixels: Counts) -> Frame:
    """The pixels as detectors see them."""
    return Frame(
        view=0,
        view_name="view-0",
        channels=CHANNELS,
        pixels=pixels,
        full_scale=AIR,
        opaque_below=PENETRATION_LIMIT,
    )

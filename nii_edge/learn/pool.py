"""Decoded pictures on disk, so that an epoch costs no decoding: shards of equal squares, mapped into memory.

A shard is ``NAME.npy`` (n, side, side, 3) uint8 RGB, pictures in the top left corner, and ``NAME.npz`` with
`sizes` (n, 2) height and width, `counts` (n,), `boxes` (sum, 4) x0 y0 x1 y1 in pixels and `labels` (sum,), -1
for what neither teaches nor is punished.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Depth = TypeVar("Depth", bound=np.generic)


class Sample(NamedTuple):
    """`rgb` (height, width, 3); `boxes` (n, 4) x0 y0 x1 y1 in its pixels; `labels` (n,), -1: ignore."""

    rgb: Rgb
    boxes: Floats
    labels: Integers


class Pool:
    """All samples of some shards. `refresh` takes in new ones."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)
        self._known: set[Path] = set()
        self._shards: list[tuple[Rgb, dict[str, npt.NDArray[np.generic]], npt.NDArray[np.int64]]] = []
        self._index: list[tuple[int, int]] = []
        self.refresh()

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> Sample:
        shard, row = self._index[number]
        pixels, meta, starts = self._shards[shard]
        height, width = (int(side) for side in meta["sizes"][row])
        own = slice(int(starts[row]), int(starts[row + 1]))
        boxes = np.asarray(meta["boxes"][own], np.float32)
        return Sample(
            np.asarray(pixels[row, :height, :width]), boxes, np.asarray(meta["labels"][own], np.int64)
        )

    def refresh(self) -> None:
        """Take in shards that have been finished since."""
        for folder in self._folders:
            for path in sorted(folder.glob("*.npz")):
                if path in self._known:
                    continue
                self._known.add(path)
                with np.load(path, allow_pickle=False) as archive:
                    meta = {name: archive[name] for name in archive.files}
                pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
                starts = np.concatenate([[0], np.cumsum(meta["counts"])])
                self._index += [(len(self._shards), row) for row in range(len(meta["counts"]))]
                self._shards.append((pixels, meta, starts))


def write_shard(path: Path, samples: Sequence[Sample], side: int) -> None:
    """Write `samples`, the longer side of each at most `side`; larger ones are made smaller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(
        path.with_suffix(".npy"), mode="w+", dtype=np.uint8, shape=(len(samples), side, side, 3)
    )
    sizes, boxes, labels = [], [], []
    for row, sample in enumerate(samples):
        small, scale = shrunk(sample.rgb, side)
        pixels[row, : small.shape[0], : small.shape[1]] = small
        sizes.append(small.shape[:2])
        boxes.append(sample.boxes * scale)
        labels.append(sample.labels)
    pixels.flush()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            sizes=np.array(sizes, np.int32).reshape(-1, 2),
            counts=np.array([len(one) for one in labels], np.int32),
            boxes=np.concatenate([*boxes, np.zeros((0, 4))]).astype(np.float32),
            labels=np.concatenate([*labels, np.zeros(0)]).astype(np.int64),
        )
    part.rename(path.with_suffix(".npz"))


def shrunk(pixels: npt.NDArray[Depth], side: int) -> tuple[npt.NDArray[Depth], Floats]:
    """The picture (height, width, channels) with its longer side at most `side`, and the factors for boxes
    (x, y, x, y)."""
    height, width, channels = pixels.shape
    share = min(1.0, side / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    factors = np.array((size[0] / width, size[1] / height) * 2, np.float32)
    if share == 1.0:
        return pixels, factors
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return small.reshape(size[1], size[0], channels).astype(pixels.dtype, copy=False), factors

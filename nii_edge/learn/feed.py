"""Endless batches of augmented samples, made in processes beside the one that trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from nii_edge.learn.augment import Augmented, Strength, augmented
from nii_edge.learn.pool import Pool


class Batch(NamedTuple):
    """`inputs` (batch, 3, size, size); `grounds` (batch, 3); per picture boxes (n, 4) and labels (n,)."""

    inputs: Tensor
    grounds: Tensor
    targets: list[tuple[Tensor, Tensor]]


class _Endless(IterableDataset[Any]):
    """Samples at random from pools, each pool as often as its weight says; new shards are taken in."""

    REFRESH = 500

    def __init__(
        self, folders: Sequence[tuple[Sequence[Path], float]], size: int, strength: Strength, seed: int
    ) -> None:
        self._folders, self._size, self._strength, self._seed = folders, size, strength, seed

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        rng = np.random.default_rng((self._seed, info.id if info else 0))
        cv2.setNumThreads(1)
        pools = [Pool(list(folders)) for folders, _ in self._folders]
        chances = np.array([weight for _, weight in self._folders])
        count = 0
        while True:
            full = chances * [len(pool) > 0 for pool in pools]
            first, second = (pools[int(rng.choice(len(pools), p=full / full.sum()))] for _ in range(2))
            sample = first[int(rng.integers(len(first)))]
            other = second[int(rng.integers(len(second)))] if self._strength.overlay else None
            yield augmented(sample, other, self._size, self._strength, rng)
            count += 1
            if count % self.REFRESH == 0:
                for pool in pools:
                    pool.refresh()


def _collated(rows: list[Augmented]) -> Batch:
    inputs = torch.from_numpy(np.stack([row.input for row in rows]))
    grounds = torch.from_numpy(np.stack([row.ground for row in rows]))
    targets = [(torch.from_numpy(row.boxes), torch.from_numpy(row.labels)) for row in rows]
    return Batch(inputs, grounds, targets)


def feed(
    folders: Sequence[tuple[Sequence[Path], float]],
    size: int,
    batch: int,
    strength: Strength,
    seed: int,
    workers: int = 1,
) -> Iterator[Batch]:
    """Batches without end. `folders`: pools of shards, each with how often it is drawn from."""
    data = _Endless(folders, size, strength, seed)
    return iter(
        DataLoader(
            data,
            batch_size=batch,
            collate_fn=_collated,
            num_workers=workers,
            prefetch_factor=3 if workers else None,
            # a fork of a process in which OpenCV has threads hangs at its first call
            multiprocessing_context="spawn" if workers else None,
        )
    )

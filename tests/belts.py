"""Belts with cartons on them, as a line scanner sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nii_edge.line_client import LineChunk

WIDTH = 48
AIR = 50_000


class Box(NamedTuple):
    """A carton on the belt, in lines; with a `block` that nothing gets through."""

    first: int
    length: int
    block: bool = False


class Belt(NamedTuple):
    """What passes: `boxes` on `lines` lines of belt. `offsets`: how many lines along it each view stands."""

    lines: int
    boxes: Sequence[Box]
    offsets: Sequence[int] = (0, 20)
    seed: int = 0

    def view(self, view: int) -> np.ndarray:
        """The lines of a view from the start of the encoder, (lines, WIDTH, 2) uint16 counts with noise."""
        rng = np.random.default_rng([self.seed, view])
        mean = np.full((self.lines, WIDTH, 2), 0.98 * AIR)
        for box in self.boxes:
            start = box.first + self.offsets[view]
            mean[start : start + box.length, 4:44] *= 0.5
            if box.block:
                mean[start + 8 : start + box.length - 8, 12:36] = 8
        return rng.normal(mean, np.where(mean > 100, 150.0, 2.0)).clip(0, 65_535).astype(np.uint16)

    def chunks(self, size: int) -> Iterator[LineChunk]:
        """All views in step, so many lines a chunk."""
        views = [self.view(view) for view in range(len(self.offsets))]
        for start in range(0, self.lines, size):
            for number, lines in enumerate(views):
                part = lines[start : start + size]
                yield LineChunk(part.tobytes(), len(part), WIDTH, encoder=start, view=number)

    def last(self, box: Box) -> int:
        """The encoder count at which the box's trailing edge passes the last view."""
        return box.first + box.length - 1 + max(self.offsets)

"""What goods of a chapter of the Harmonized System look like on this site, learned from cartons that passed.

A simulated or foreign norm weighs nothing: without a norm of its own a site's findings about it do not apply.
Chapters with few consignments lean on all goods together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.papers import Papers
from nii_edge.xray.carton import Measures
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]

_TEXTURES = (
    "mean", "spread", "q95", "band1", "band2", "band4", "band8", "peaky1", "aligned", "z_mean", "z_spread",
    "metal_share",
)  # fmt: skip
_PLACES = [TEXTURE.index(name) for name in _TEXTURES]
NORM: tuple[str, ...] = ("density", "organic", "inorganic", "metal", *_TEXTURES, "piece_kg")
"""What a norm speaks of; masses, densities and textures as logarithms. `piece_kg` is declared."""
MATERIAL = slice(0, 4)
LOOK = slice(4, len(NORM) - 1)
LEAST = 3
"""Consignments below which all goods together are no norm either."""
OWN_SPREAD = 0.7
"""How much less one chapter spreads than all goods do: what a chapter of few consignments starts from."""


class Sample(NamedTuple):
    """One carton of one chapter. `group`: its master bill, since cartons of one are alike."""

    chapter: int
    group: str
    values: Values


class Norm(NamedTuple):
    """One chapter. `consignments` behind it; `mean`, `spread` (len(NORM),)."""

    consignments: int
    mean: Values
    spread: Values


class Norms(NamedTuple):
    """All chapters of a site, and `every` good together for chapters never seen."""

    every: Norm
    chapters: dict[int, Norm]


def values(measures: Measures, papers: Papers) -> Values:
    """(len(NORM),) of one carton; `piece_kg` is NaN where it is not declared."""
    texture = np.log(np.maximum(measures.texture.mean(axis=0)[_PLACES], 1e-3))
    net, pieces = papers.net_kg, papers.pieces
    piece = np.log(max(net, 1e-4) / pieces) if net is not None and pieces else np.nan
    shares = [measures.organic, measures.inorganic, measures.metal]
    return np.concatenate([[np.log(max(measures.density, 1e-4))], shares, texture, [piece]])


def sample(measures: Measures, papers: Papers) -> Sample | None:
    """A carton to learn from; None if it holds goods of more than one chapter, or leaves something out."""
    chapters = {line.chapter for line in papers.lines}
    found = values(measures, papers)
    if len(chapters) != 1 or None in chapters or not np.isfinite(found).all():
        return None
    (chapter,) = chapters
    return None if chapter is None else Sample(chapter, papers.master_bill, found)


def learn(samples: Sequence[Sample], leave_out: str | None = None) -> Norms | None:
    """Norms of all samples but those of one group; None if there are too few consignments."""
    kept = [each for each in samples if each.group != leave_out]
    every = _means(kept)
    if len(every) < LEAST:
        return None
    middle, spread = every.mean(axis=0), every.std(axis=0) + 1e-6
    chapters = {}
    for chapter in sorted({each.chapter for each in kept}):
        own = _means([each for each in kept if each.chapter == chapter])
        mean = (own.sum(axis=0) + middle) / (len(own) + 1)
        apart = ((own - mean) ** 2).sum(axis=0)
        chapters[chapter] = Norm(
            len(own), mean, np.sqrt((apart + 2 * (OWN_SPREAD * spread) ** 2) / (len(own) + 2))
        )
    return Norms(Norm(len(every), middle, spread), chapters)


def distance(norms: Norms, chapters: Sequence[int], found: Values) -> Values:
    """How far a carton is off the norm of its chapters, (len(NORM),) in standard deviations; of several
    declared chapters the nearest counts, as the carton may be mostly that."""
    best: Values | None = None
    for chapter in sorted(set(chapters)):
        norm = norms.chapters.get(chapter, norms.every)
        off = (found - norm.mean) / norm.spread
        if best is None or np.nanmean(off**2) < np.nanmean(best**2):
            best = off
    return np.full(len(NORM), np.nan) if best is None else best


def _means(samples: Sequence[Sample]) -> Values:
    """One row for each group."""
    groups = sorted({each.group for each in samples})
    rows = [np.mean([each.values for each in samples if each.group == group], axis=0) for group in groups]
    return np.array(rows).reshape(len(rows), len(NORM))

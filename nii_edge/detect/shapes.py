"""What an object detector sees in a carton, as evidence: how sure it is of each class, below thresholds too.

A shape that is prohibited in most cartons weighs with everything else that is known of this one; by itself it
is told only where it speaks. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.bundle import Bundle
from nii_edge.records import Finding

Values = npt.NDArray[np.float64]

DECLARED: dict[str, frozenset[int]] = {
    "gun": frozenset({93}),
    "knife": frozenset({73, 82, 93}),
    "scissors": frozenset({73, 82}),
    "wrench": frozenset({73, 82, 84, 87}),
    "lithium_pack": frozenset({85}),
    "bottle": frozenset({15, 20, 21, 22, 28, 29, 30, 32, 33, 34, 38, 39, 70, 76, 96}),
    "pressed_block": frozenset({8, 9, 11, 12, 17, 18, 19, 20, 21, 34, 40, 48, 49, 68, 69}),
}
"""The detector's labels that are evidence, and chapters of the Harmonized System whose goods look like them:
arms, but not toys, whose guns a person should see; tools, cutlery and other goods of steel; machinery and
parts of vehicles, which come with spanners; electrical goods; what is sold in bottles; food, soap, rubber,
paper, stone and ceramics in bars and slabs."""
CLASSES: tuple[str, ...] = tuple(DECLARED)
SHAPES: tuple[str, ...] = ("surest", "surest of few")
"""The numbers of a carton: log-odds of the best score in any view, and of the best less the logarithm of how
many of its class there are in that view, since goods are many and what is hidden is alone; both from `DOUBT`
up."""
DOUBT = -1.0
"""Log-odds (a score of 0.27) up to which scores say nothing: honest cartons are full of such."""
LOWEST = 0.02
"""Scores from which anything is weighed; the detector's own thresholds are for telling."""
ALIKE = 0.5
"""Of the best score: what has at least this share of it counts as another one of the same."""


class Seen(NamedTuple):
    """By class: `odds` (len(CLASSES),), the log-odds of its best score; `many` (len(CLASSES),), how many are
    alike in one view; `best`, where there is one."""

    odds: Values
    many: Values
    best: tuple[Finding | None, ...]


class Weighed(NamedTuple):
    """`values` (len(SHAPES),); `surest`: the surest finding of what is not declared, None without one."""

    values: Values
    surest: Finding | None


def unfit(bundle: Bundle) -> str | None:
    """Why a bundle cannot give this evidence, in words; None if it can."""
    lacks = sorted(set(CLASSES) - {label.name for label in bundle.manifest.labels})
    return f"finds no {', '.join(lacks)}" if lacks else None


def seen(findings: Sequence[Finding]) -> Seen:
    """What a detector with thresholds of `LOWEST` found in one scan, by class."""
    odds, many, best = [], [], []
    for label in CLASSES:
        own = [finding for finding in findings if finding.label == label]
        top = max(own, key=lambda each: each.score, default=None)
        least = 1.0 if top is None else ALIKE * top.score
        views = Counter(each.box.view for each in own if each.box is not None and each.score >= least)
        odds.append(_log_odds(LOWEST if top is None else top.score))
        many.append(max(views.values(), default=1))
        best.append(top)
    return Seen(np.array(odds), np.array(many, np.float64), tuple(best))


def weigh(seen: Seen, chapters: Collection[int]) -> Weighed:
    """The evidence, less what goods of the declared `chapters` look like anyway."""
    expected = np.array([not DECLARED[label].isdisjoint(chapters) for label in CLASSES])
    odds = np.where(expected, _log_odds(LOWEST), seen.odds)
    few = odds - np.where(expected, 0.0, np.log(seen.many))
    values = np.maximum(np.array([odds.max(), few.max()]) - DOUBT, 0.0)
    surest = int(np.where(expected, -np.inf, odds).argmax())
    return Weighed(values, None if expected[surest] else seen.best[surest])


def by_class(seen: Seen) -> Values:
    """How sure it is of each class, (len(CLASSES),), from 0 at `DOUBT` up, whatever is declared."""
    sure: Values = np.maximum(seen.odds - DOUBT, 0.0)
    return sure


def _log_odds(score: float) -> float:
    inside = min(max(score, LOWEST), 0.999)
    return float(np.log(inside / (1 - inside)))

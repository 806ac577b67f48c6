"""Thresholds to choose from: what each would have found, missed and alarmed at on the validation pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.detect.shapes import LOWEST
from nii_edge.learn.looking import Looked
from nii_edge.learn.scoring import right_or_not

FALSE_ALARMS = (0.01, 0.1, 1.0)
"""Of a class, per picture, for which thresholds are told."""
USUAL, LEAST, MOST = 0.3, 0.1, 0.7
"""The threshold of a class that was never found, and the bounds of those of the best F1."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold. `recall`: share of the labelled things that are found, None if there is none;
    `precision`: share of what is told that is right, None if nothing is told; `false_alarms`: per picture."""

    threshold: float
    recall: float | None
    precision: float | None
    false_alarms: float


class Operating(msgspec.Struct, frozen=True, kw_only=True):
    """Of one class: how many `labelled` things and `pictures` the figures rest on, and `points`: `bundle`,
    which the bundle has, `best_f1`, and `false_alarms_R`, the lowest from `LOWEST` on with no more than R
    false alarms a picture."""

    labelled: int
    pictures: int
    points: dict[str, Point]


class Judged(NamedTuple):
    """Detections of one class, best first: `scores` (n,) and whether they are `right` (n,); how many things
    are labelled, on how many pictures."""

    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    labelled: int
    pictures: int


def judged(looked: Sequence[Looked], label: int) -> Judged:
    """What was found of a class; detections on what is ignored are neither right nor wrong."""
    wanted = [[mark for mark in one.wanted if mark.ignored or mark.label == label] for one in looked]
    pairs = right_or_not(wanted, [[f for f in one.found if f.label == label] for one in looked])
    scores = np.array([score for score, _ in pairs], np.float64)
    order = np.argsort(-scores, kind="stable")
    return Judged(
        scores[order],
        np.array([right for _, right in pairs], np.bool_)[order],
        sum(not mark.ignored for marks in wanted for mark in marks),
        len(looked),
    )


def best_f1(found: Judged) -> float:
    """The threshold at which precision and recall have the best harmonic mean, `LEAST` to `MOST`, rounded
    down to what a bundle writes."""
    if not found.right.any():
        return USUAL
    hits, told = np.cumsum(found.right), np.arange(1, len(found.right) + 1)
    f1 = 2 * hits / (told + found.labelled)
    f1[:-1][found.scores[:-1] == found.scores[1:]] = 0.0  # of equal scores all are told or none
    return math.floor(1e3 * float(np.clip(found.scores[int(np.argmax(f1))], LEAST, MOST))) / 1e3


def at_false_alarms(found: Judged, rate: float) -> float:
    """The lowest threshold from `LOWEST` to 1 with no more than `rate` false alarms a picture, rounded up.
    (Detections may have less than `LOWEST`, being means over looks, but not all that have are there.)"""
    false = found.scores[~found.right]
    allowed = int(rate * found.pictures + 1e-9)
    if len(false) <= allowed:
        return LOWEST
    return min(max(math.floor(float(false[allowed]) * 1e3 + 1) / 1e3, LOWEST), 1.0)


def point_at(found: Judged, threshold: float) -> Point:
    """What a threshold would have done."""
    told = found.scores >= threshold
    hits, count = int(found.right[told].sum()), int(told.sum())
    return Point(
        threshold=threshold,
        recall=round(hits / found.labelled, 4) if found.labelled else None,
        precision=round(hits / count, 4) if count else None,
        false_alarms=round((count - hits) / max(found.pictures, 1), 4),
    )


def operating_points(
    looked: Sequence[Looked], thresholds: Mapping[str, float], daemons: Sequence[Looked]
) -> dict[str, Operating]:
    """For each class, in the order of the names, what its threshold in the bundle does, by what the daemon
    sees with them (`daemons`), and what those to choose from would, by what is seen with the lowest ones
    (`looked`): what one of several looks sees counts from a share of the threshold."""
    made = {}
    for label, (name, threshold) in enumerate(thresholds.items()):
        found = judged(looked, label)
        own = point_at(judged(daemons, label), threshold)
        points = {"bundle": own, "best_f1": point_at(found, best_f1(found))}
        for rate in FALSE_ALARMS:
            points[f"false_alarms_{rate:g}"] = point_at(found, at_false_alarms(found, rate))
        made[name] = Operating(labelled=found.labelled, pictures=found.pictures, points=points)
    return made

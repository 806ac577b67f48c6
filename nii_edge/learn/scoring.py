"""How good boxes are: average precision by faster-coco-eval, over the classes that the annotations have."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.errors import RuntimeMissingError
from nii_edge.learn.names import is_made_up, plain, singulars

IOUS = tuple(float(value) for value in np.round(np.arange(0.5, 0.96, 0.05), 2))
MOST = 100
"""Detections of a picture that count, best first."""


class Found(NamedTuple):
    """One detection: (x0, y0, x1, y1) in pixels, an index into the names, score 0-1."""

    box: tuple[float, float, float, float]
    label: int
    score: float


class Wanted(NamedTuple):
    """One label; `ignored`: found or not, it does not matter."""

    box: tuple[float, float, float, float]
    label: int
    ignored: bool = False


class Scores(NamedTuple):
    """Means over the classes that occur. `per_class`: at IoU 0.5; `per_class30`: at 0.3."""

    map50: float
    map: float
    ap30: float
    per_class: dict[str, float]
    per_class30: dict[str, float]


def average_precision(
    wanted: Sequence[Sequence[Wanted]], found: Sequence[Sequence[Found]], names: Sequence[str]
) -> Scores:
    """Scores of as many pictures' detections. Classes without a label that counts are left out.

    Raises:
        RuntimeMissingError: faster-coco-eval is not installed.
    """
    present = sorted({mark.label for marks in wanted for mark in marks if not mark.ignored})
    if not present:
        return Scores(0.0, 0.0, 0.0, {}, {})
    precision = _precisions(wanted, found, present)
    at50, at30 = precision[1], precision[0]
    return Scores(
        map50=float(at50.mean()),
        map=float(precision[1:].mean()),
        ap30=float(at30.mean()),
        per_class={names[label]: round(float(value), 4) for label, value in zip(present, at50, strict=True)},
        per_class30={
            names[label]: round(float(value), 4) for label, value in zip(present, at30, strict=True)
        },
    )


def _precisions(
    wanted: Sequence[Sequence[Wanted]], found: Sequence[Sequence[Found]], present: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Average precision (IoUs 0.3 and `IOUS`, classes)."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as missing:
        raise RuntimeMissingError(
            "faster-coco-eval is not installed: pip install '.[evaluate]' in the project's folder"
        ) from missing
    truth: dict[str, Any] = {
        "images": [{"id": number + 1, "height": 1, "width": 1} for number in range(len(wanted))],
        "categories": [{"id": label + 1, "name": str(label)} for label in present],
        "annotations": [],
    }
    for number, marks in enumerate(wanted):
        for mark in marks:
            if mark.label in present:
                box = _coco_box(mark.box)
                truth["annotations"].append(
                    {
                        "id": len(truth["annotations"]) + 1,
                        "image_id": number + 1,
                        "category_id": mark.label + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": int(mark.ignored),
                    }
                )
    rows = [
        {"image_id": number + 1, "category_id": one.label + 1, "bbox": _coco_box(one.box), "score": one.score}
        for number, ones in enumerate(found)
        for one in ones
        if one.label in present
    ]
    if not rows:
        return np.zeros((1 + len(IOUS), len(present)))
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO(truth)
        judge = COCOeval_faster(gold, gold.loadRes(rows), "bbox", print_function=lambda *_: None)
        judge.params.iouThrs = np.array((0.3, *IOUS))
        judge.params.maxDets = [1, 10, MOST]
        judge.evaluate()
        judge.accumulate()
    curve = judge.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class
    means: npt.NDArray[np.float64] = np.where(curve < 0, 0.0, curve).mean(axis=1)
    return means


def _coco_box(box: tuple[float, float, float, float]) -> list[float]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return [x0, y0, x1 - x0, y1 - y0]


def calibration_error(scores: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: how far the mean score of a bin lies from its share of right ones.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    values, hits = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    if not len(values):
        return 0.0
    place = np.minimum((values * bins).astype(int), bins - 1)
    error = 0.0
    for index in range(bins):
        own = place == index
        if own.any():
            error += own.mean() * abs(float(values[own].mean()) - float(hits[own].mean()))
    return float(error)


def scaled(scores: Sequence[float], right: Sequence[bool], new: Sequence[float]) -> npt.NDArray[np.float64]:
    """`new` scores as probabilities by what is known of `scores`: 1 / (1 + exp(-(a x + b))), x being their
    log-odds, a and b of the greatest likelihood (Platt, "Probabilistic Outputs for Support Vector
    Machines", 1999). As they are where all of `right` are alike."""
    if len(set(right)) < 2:
        return np.asarray(new, np.float64)
    x, y = _log_odds(scores), np.asarray(right, np.float64)
    rows, weights = np.stack([x, np.ones_like(x)], axis=1), np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (y - p) - 1e-3 * (weights - (1.0, 0.0))
        step = np.linalg.solve((rows.T * (p * (1 - p))) @ rows + 1e-3 * np.eye(2), slope)
        weights += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    made: npt.NDArray[np.float64] = 1 / (1 + np.exp(-(weights[0] * _log_odds(new) + weights[1])))
    return made


def _log_odds(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    inside = np.clip(np.asarray(scores, np.float64), 1e-4, 1 - 1e-4)
    odds: npt.NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def right_or_not(
    wanted: Sequence[Sequence[Wanted]], found: Sequence[Sequence[Found]], iou: float = 0.5
) -> list[tuple[float, bool]]:
    """Score of every detection and whether it meets a label of its class that no better one has taken.
    Detections on ignored labels are left out."""
    made: list[tuple[float, bool]] = []
    for marks, ones in zip(wanted, found, strict=True):
        free = [mark for mark in marks if not mark.ignored]
        vague = [mark for mark in marks if mark.ignored]
        for one in sorted(ones, key=lambda detection: -detection.score):
            fitting = [m for m in free if m.label == one.label and overlap(m.box, one.box) >= iou]
            if fitting:
                free.remove(max(fitting, key=lambda mark: overlap(mark.box, one.box)))
                made.append((one.score, True))
            elif not any(overlap(mark.box, one.box) >= iou for mark in vague):
                made.append((one.score, False))
    return made


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def matched_names(
    ours: Sequence[str], theirs: Sequence[str], called: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> tuple[dict[int, int], list[str]]:
    """Index of each of their names in ours, and their names that are none of ours.

    Whatever is `called` just as in the labels that taught ours is what it was there. All others of ours are
    taken once at most: by what they are called, then by their own names, in both cases equal names first,
    then those that differ in case, blanks, underscores or hyphens only, then those of which either is a
    plural (`singulars`), unless several may be meant. Names that were made up (`is_made_up`) count for
    nothing.
    """
    own = [() if is_made_up(name, called.get(name, ())) else (name,) for name in ours]
    taught = [tuple(called.get(name, ())) for name in ours]
    known = {word: index for index, words in enumerate(taught) for word in words}
    pairs = {index: known[name] for index, name in enumerate(theirs) if name in known}
    ways: tuple[Callable[[str], str], ...] = (str, plain)
    for words in (taught, own):
        for way in ways:
            free = _free(words, way, set(pairs.values()))
            for index, name in enumerate(theirs):
                fit = None if index in pairs else free.get(way(name))
                if fit is not None and fit not in pairs.values():
                    pairs[index] = fit
        pairs |= _plurals(words, theirs, pairs)
    return pairs, [name for index, name in enumerate(theirs) if index not in pairs]


def alike(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """Those of their names that are some of ours (`matched_names`), and which."""
    return {theirs[index]: ours[own] for index, own in matched_names(ours, theirs)[0].items()}


def _free(words: Sequence[Sequence[str]], way: Callable[[str], str], taken: set[int]) -> dict[str, int]:
    """Index of what is not taken by its words, the first of those that are alike."""
    made: dict[str, int] = {}
    for index, own in enumerate(words):
        for word in own if index not in taken else ():
            made.setdefault(way(word), index)
    return made


def _plurals(
    words: Sequence[Sequence[str]], theirs: Sequence[str], pairs: Mapping[int, int]
) -> dict[int, int]:
    """Names of theirs and what they are of ours but for a plural, where each may be just one of the other's
    that are not in `pairs`; the first of those that are alike."""
    free = [index for index in range(len(words)) if index not in pairs.values()]
    forms = {index: {form for word in words[index] for form in singulars(word)} for index in free}
    fits = {
        index: [own for own in free if forms[own] & singulars(name)]
        for index, name in enumerate(theirs)
        if index not in pairs
    }
    found: dict[int, int] = {}
    for index, owns in fits.items():
        meant = {plain(theirs[other]) for other, others in fits.items() if set(others) & set(owns)}
        if len(owns) == 1 and len(meant) == 1 and owns[0] not in found.values():
            found[index] = owns[0]
    return found


def detection_rate(
    best: Mapping[str, float], threats: Mapping[str, bool], false_alarms: float
) -> tuple[float, float, float]:
    """Pd, achieved Pfa and the threshold, for cartons by name: their best score, and whether they hold a
    threat.

    The threshold is the lowest at which no more than the share `false_alarms` of honest cartons alarm.
    """
    honest = np.sort([score for name, score in best.items() if not threats[name]])[::-1]
    lying = np.array([score for name, score in best.items() if threats[name]])
    allowed = int(false_alarms * len(honest))
    threshold = float(np.nextafter(honest[allowed], 2.0)) if len(honest) > allowed else 0.0
    achieved = float((honest >= threshold).mean()) if len(honest) else 0.0
    return (float((lying >= threshold).mean()) if len(lying) else 0.0), achieved, threshold

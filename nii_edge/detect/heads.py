"""From a model's output tensors to detections, one function per kind of head. Pure.

A tensor of the wrong shape, a value that is not finite, or a score outside 0-1 is a
`DetectorFaultError`: it must never look like "nothing found". Comparisons with NaN are false, so
every tensor is checked before anything is compared. A model that does its own suppression (the boxes
head) may have dropped its NaN already; only golden frames find that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.config import BoxesHead, DenseHead, GridHead, Head, Label, QueriesHead
from nii_edge.errors import DetectorFaultError
from nii_edge.ports import Array
from nii_edge.xray.frontend import Placement

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Corners = tuple[float, float, float, float]

MAX_PER_LABEL = 100
"""Of more detections of one label in one picture, the best so many are kept (areas: the largest)."""
SCORE_SLACK = 1e-4
"""A score may leave 0-1 by this much: rounding in half precision."""
MAX_COORDINATE = 1e6
"""Coordinates beyond this, in input pixels or fractions, are nonsense; products of saner ones are finite."""


class Detection(NamedTuple):
    """One detection. `box` is (x0, y0, x1, y1) in INPUT pixels, half-open; `score` is in 0-1.

    `label` is an index into the manifest's labels. `area` is in input pixels, 0 if only the box is known.
    """

    box: Corners
    score: float
    label: int
    area: float = 0.0


def output_names(head: Head) -> tuple[str, ...]:
    """The tensors a head reads, in the order its configuration lists them."""
    if isinstance(head, BoxesHead):
        return head.boxes, head.scores, head.labels
    if isinstance(head, QueriesHead):
        return head.logits, head.boxes
    return (head.output,)


def decode(
    head: Head, outputs: Mapping[str, Array], labels: Sequence[Label], placements: Sequence[Placement]
) -> list[list[Detection]]:
    """The detections at or above their labels' thresholds, one list per picture of the batch.

    Raises:
        DetectorFaultError: a tensor is missing, misshapen, not finite, or out of range.
    """
    if isinstance(head, BoxesHead):
        return decode_boxes(head, outputs, labels, placements)
    if isinstance(head, GridHead):
        return decode_grid(head, outputs, labels, placements)
    if isinstance(head, QueriesHead):
        return decode_queries(head, outputs, labels, placements)
    return decode_dense(head, outputs, labels, placements)


def decode_boxes(
    head: BoxesHead, outputs: Mapping[str, Array], labels: Sequence[Label], placements: Sequence[Placement]
) -> list[list[Detection]]:
    """torchvision's boxes (n, 4), scores (n,) and labels (n,) of one picture."""
    if len(placements) != 1:
        raise DetectorFaultError(f"the boxes head takes one picture at a time, not {len(placements)}")
    scores = _scores(_floats(outputs, head.scores, (None,)), head.scores)
    boxes = _near(_floats(outputs, head.boxes, (len(scores), 4)), head.boxes)
    classes = _integers(outputs, head.labels, len(scores)) - int(head.background)
    wrong = (classes < -int(head.background)) | (classes >= len(labels))
    if wrong.any():
        raise DetectorFaultError(
            f"output {head.labels!r}: label {int(classes[wrong][0]) + int(head.background)}; "
            f"expected 0 to {len(labels) - 1 + int(head.background)}"
        )
    seen = classes >= 0
    return [_select(boxes[seen], scores[seen], classes[seen], labels, head.boxes)]


def decode_grid(
    head: GridHead, outputs: Mapping[str, Array], labels: Sequence[Label], placements: Sequence[Placement]
) -> list[list[Detection]]:
    """YOLO's (batch, 4 + classes, anchors), with non-maximum suppression per label."""
    rows = 4 + int(head.objectness) + len(labels)
    shape = (len(placements), None, rows) if head.transposed else (len(placements), rows, None)
    grid = _floats(outputs, head.output, shape)
    if not head.transposed:
        grid = grid.transpose(0, 2, 1)
    scores = _scores(grid[:, :, 4:], head.output)
    if head.objectness:
        scores = scores[:, :, 1:] * scores[:, :, :1]
    found = []
    for boxes, values in zip(_corners(grid[:, :, :4], head.output), scores, strict=True):
        picked = _select_all(boxes, values, labels, head.output)
        found.append(suppress(picked, head.nms_iou)[: head.max_boxes])
    return found


def decode_queries(
    head: QueriesHead, outputs: Mapping[str, Array], labels: Sequence[Label], placements: Sequence[Placement]
) -> list[list[Detection]]:
    """DETR's logits (batch, queries, classes) and boxes (batch, queries, 4) as fractions of the input."""
    softmax = head.activation == "softmax"
    logits = _floats(outputs, head.logits, (len(placements), None, len(labels) + int(softmax)))
    boxes = _floats(outputs, head.boxes, (len(placements), logits.shape[1], 4))
    scores = _softmax(logits)[:, :, :-1] if softmax else _sigmoid(logits)
    found = []
    for fractions, values, placement in zip(_corners(boxes, head.boxes), scores, placements, strict=True):
        height, width = placement.size
        pixels = fractions * np.array((width, height, width, height), np.float32)
        found.append(_select_all(pixels, values, labels, head.boxes))
    return found


def decode_dense(
    head: DenseHead, outputs: Mapping[str, Array], labels: Sequence[Label], placements: Sequence[Placement]
) -> list[list[Detection]]:
    """Maps (batch, labels, height / stride, width / stride): connected areas of at least `min_area`."""
    maps = _scores(_floats(outputs, head.output, (len(placements), len(labels), None, None)), head.output)
    found = []
    for planes, placement in zip(maps, placements, strict=True):
        stride = _stride(planes, placement, head.output)
        rows, columns = (-(-side // stride) for side in placement.content)
        found.append(
            [
                detection
                for index, label in enumerate(labels)
                for detection in _areas(
                    planes[index, :rows, :columns], index, label, head.min_area, placement, stride
                )
            ]
        )
    return found


def suppress(detections: Sequence[Detection], iou: float) -> list[Detection]:
    """Non-maximum suppression: of boxes of one label that overlap by more than `iou`, the best stays.

    The result is ordered by falling score.
    """
    ordered = sorted(detections, key=lambda found: -found.score)
    boxes = np.array([found.box for found in ordered], np.float32).reshape(-1, 4)
    labels = np.array([found.label for found in ordered])
    alive = np.ones(len(ordered), np.bool_)
    for index in range(len(ordered)):
        if alive[index]:
            rest = slice(index + 1, None)
            alive[rest] &= (labels[rest] != labels[index]) | (overlaps(boxes[index], boxes[rest]) <= iou)
    return [found for found, keep in zip(ordered, alive, strict=True) if keep]


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box (4,) with others (n, 4); 0 where both are empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _areas(
    plane: Floats, index: int, label: Label, min_area: float, placement: Placement, stride: int
) -> list[Detection]:
    """Connected areas (8 neighbours) of one map that shows the frame and nothing else."""
    mask = (plane >= label.threshold).astype(np.uint8)
    if not mask.any():
        return []
    _, marks, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    frame_area = float(placement.content[0] * placement.content[1])
    areas = np.minimum(stats[:, cv2.CC_STAT_AREA] * float(stride * stride), frame_area)
    large = [
        int(i) for i in np.argsort(-areas, kind="stable") if i != 0 and areas[i] >= min_area * frame_area
    ]
    found = []
    for i in large[:MAX_PER_LABEL]:
        x, y, width, height = (int(value) for value in stats[i, :4])
        part = np.s_[y : y + height, x : x + width]
        score = float(plane[part][marks[part] == i].max())
        corners = (x * stride, y * stride, (x + width) * stride, (y + height) * stride)
        found.append(Detection(corners, score, index, float(areas[i])))
    return found


def _stride(planes: Floats, placement: Placement, name: str) -> int:
    """Input pixels per map pixel, the same whole number both ways."""
    (height, width), (rows, columns) = placement.size, planes.shape[1:]
    if not rows or not columns or height % rows or width % columns or height // rows != width // columns:
        raise DetectorFaultError(
            f"output {name!r}: maps of {rows} x {columns} for an input of {height} x {width}; "
            "expected the input's size divided by one whole number"
        )
    return int(height // rows)


def _select_all(boxes: Floats, scores: Floats, labels: Sequence[Label], name: str) -> list[Detection]:
    """From boxes (n, 4) and scores (n, labels): every label that reaches its threshold."""
    thresholds = np.array([label.threshold for label in labels], np.float32)
    rows, classes = np.nonzero(scores >= thresholds)
    return _select(boxes[rows], scores[rows, classes], classes.astype(np.int64), labels, name)


def _select(
    boxes: Floats, scores: Floats, classes: Integers, labels: Sequence[Label], name: str
) -> list[Detection]:
    """From boxes (n, 4), scores (n,) and label indexes (n,): those at their thresholds, best first."""
    thresholds = np.array([label.threshold for label in labels], np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= thresholds[classes[order]]]
    inverted = (boxes[order, 2:] < boxes[order, :2]).any(axis=1)
    if inverted.any():
        box = [float(side) for side in boxes[order][inverted][0]]
        raise DetectorFaultError(f"output {name!r}: box {box}; expected x0 <= x1 and y0 <= y1")
    places = [np.flatnonzero(classes[order] == index)[:MAX_PER_LABEL] for index in range(len(labels))]
    kept = np.sort(np.concatenate(places))
    return [_detection(boxes[i], scores[i], classes[i]) for i in order[kept]]


def _detection(box: Floats, score: np.float32, label: np.int64) -> Detection:
    x0, y0, x1, y1 = (float(side) for side in box)
    return Detection((x0, y0, x1, y1), float(score), int(label))


def _corners(boxes: Floats, name: str) -> Floats:
    """(..., centre x, y, width, height) to (..., x0, y0, x1, y1)."""
    boxes = _near(boxes, name)
    half = boxes[..., 2:] / 2
    return np.concatenate((boxes[..., :2] - half, boxes[..., :2] + half), axis=-1)


def _softmax(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # a difference of minus infinity has the power 0, as it should
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def _sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) in a form that does not overflow."""
    scores: Floats = np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * logits))
    return scores


def _near(boxes: Floats, name: str) -> Floats:
    """`boxes`, after a check that no coordinate is absurd."""
    if boxes.size and float(np.abs(boxes).max()) > MAX_COORDINATE:
        raise DetectorFaultError(f"output {name!r}: a coordinate beyond {MAX_COORDINATE:.0g}")
    return boxes


def _scores(values: Floats, name: str) -> Floats:
    """`values` cut to 0-1, after a check that they lie there but for rounding."""
    if values.size and not (values.min() >= -SCORE_SLACK and values.max() <= 1 + SCORE_SLACK):
        raise DetectorFaultError(
            f"output {name!r}: scores from {values.min():.4g} to {values.max():.4g}; expected 0 to 1"
        )
    return np.clip(values, np.float32(0), np.float32(1))


def _floats(outputs: Mapping[str, Array], name: str, shape: tuple[int | None, ...]) -> Floats:
    """The named tensor as float32, of that shape (None: any length) and finite."""
    tensor = _tensor(outputs, name, shape)
    if tensor.dtype.kind != "f":
        raise DetectorFaultError(f"output {name!r}: type {tensor.dtype}; expected floating point")
    values = tensor.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise DetectorFaultError(f"output {name!r}: holds NaN or infinity; expected finite values")
    return values


def _integers(outputs: Mapping[str, Array], name: str, length: int) -> Integers:
    """The named tensor of shape (length,) as int64."""
    tensor = _tensor(outputs, name, (length,))
    if tensor.dtype.kind not in "iu":
        raise DetectorFaultError(f"output {name!r}: type {tensor.dtype}; expected whole numbers")
    return tensor.astype(np.int64)


def _tensor(outputs: Mapping[str, Array], name: str, shape: tuple[int | None, ...]) -> Array:
    tensor = outputs.get(name)
    if tensor is None:
        raise DetectorFaultError(f"output {name!r}: missing; the model gave {sorted(outputs)}")
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise DetectorFaultError(f"output {name!r}: shape {tensor.shape}; expected ({wanted})")
    return tensor

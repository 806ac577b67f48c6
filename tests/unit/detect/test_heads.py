"""Output heads: from tensors to detections, and what is refused on the way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nii_edge.config import BoxesHead, DenseHead, GridHead, Head, Label, QueriesHead
from nii_edge.detect.heads import MAX_PER_LABEL, Detection, decode, output_names, suppress
from nii_edge.errors import DetectorFaultError
from nii_edge.xray.frontend import Placement

Outputs = dict[str, npt.NDArray[np.generic]]

LABELS = (
    Label(name="gun", category="PI", threshold=0.5, why=""),
    Label(name="knife", category="PI", threshold=0.3, why=""),
)
WHOLE = Placement((64, 64), (64, 64), (64, 64))
BOXES = BoxesHead(boxes="b", scores="s", labels="l")
GRID = GridHead(output="o")
QUERIES = QueriesHead(logits="z", boxes="b")
DENSE = DenseHead(output="m")


def boxes_outputs(n: int = 3) -> Outputs:
    return {
        "b": np.tile(np.array([[4, 4, 20, 30]], np.float32), (n, 1)),
        "s": np.full(n, 0.9, np.float32),
        "l": np.ones(n, np.int64),
    }


def grid_outputs(n: int = 3) -> Outputs:
    grid = np.zeros((1, 6, n), np.float32)
    grid[0, :, 0] = (12, 17, 16, 26, 0.9, 0.1)
    return {"o": grid}


def query_outputs(n: int = 3) -> Outputs:
    logits = np.full((1, n, 3), -9, np.float32)
    logits[0, :, 2] = 9
    logits[0, 0] = (9, -9, -9)
    return {"z": logits, "b": np.full((1, n, 4), 0.25, np.float32)}


def dense_outputs(side: int = 32) -> Outputs:
    maps = np.zeros((1, 2, side, side), np.float32)
    maps[0, 0, 4:8, 2:10] = 0.8
    maps[0, 0, 5, 5] = 0.9
    return {"m": maps}


MAKERS: dict[str, tuple[Head, Callable[[], Outputs]]] = {
    "boxes": (BOXES, boxes_outputs),
    "grid": (GRID, grid_outputs),
    "queries": (QUERIES, query_outputs),
    "dense": (DENSE, dense_outputs),
}
EVERY_TENSOR = [
    (name, tensor)
    for name, (_, make) in MAKERS.items()
    for tensor, value in make().items()
    if value.dtype.kind == "f"
]


@pytest.mark.parametrize("name", MAKERS)
def test_each_head_finds_what_was_put_in(name: str) -> None:
    """The fixtures of this file do give a detection, so that the refusals below mean something."""
    head, make = MAKERS[name]
    outputs = make()
    assert set(output_names(head)) == set(outputs)
    (found,) = decode(head, outputs, LABELS, [WHOLE])
    assert found
    assert found[0].label == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "tensor"), EVERY_TENSOR)
def test_a_value_that_is_not_finite_is_a_fault(name: str, tensor: str, bad: float) -> None:
    """One NaN or infinity in the last place of any tensor is a fault that names the tensor."""
    head, make = MAKERS[name]
    outputs = make()
    outputs[tensor].flat[-1] = bad
    with pytest.raises(DetectorFaultError, match=f"'{tensor}'.*NaN or infinity"):
        decode(head, outputs, LABELS, [WHOLE])


@pytest.mark.parametrize(
    ("name", "tensor"), [(name, tensor) for name, (_, make) in MAKERS.items() for tensor in make()]
)
def test_a_wrong_shape_or_missing_tensor_is_a_fault(name: str, tensor: str) -> None:
    """A tensor with a dimension too many, or none at all, is a fault that names it."""
    head, make = MAKERS[name]
    outputs = make()
    outputs[tensor] = outputs[tensor][None]
    with pytest.raises(DetectorFaultError, match=rf"'{tensor}'.*expected \("):
        decode(head, outputs, LABELS, [WHOLE])
    del outputs[tensor]
    with pytest.raises(DetectorFaultError, match=f"'{tensor}': missing"):
        decode(head, outputs, LABELS, [WHOLE])


@pytest.mark.parametrize("bad", [1.1, -0.1])
@pytest.mark.parametrize(("name", "tensor", "at"), [("boxes", "s", 0), ("grid", "o", -1), ("dense", "m", 0)])
def test_a_score_outside_its_range_is_a_fault(name: str, tensor: str, at: int, bad: float) -> None:
    """Logits in place of scores are found out."""
    head, make = MAKERS[name]
    outputs = make()
    outputs[tensor].flat[at] = bad
    with pytest.raises(DetectorFaultError, match=r"scores from .* expected 0 to 1"):
        decode(head, outputs, LABELS, [WHOLE])


@pytest.mark.parametrize("tensor", ["b", "s", "l"])
def test_the_wrong_type_of_number_is_a_fault(tensor: str) -> None:
    """Whole numbers for scores, or fractions for labels, are not what was agreed."""
    outputs = boxes_outputs()
    outputs[tensor] = outputs[tensor].astype(np.float32 if tensor == "l" else np.int32)
    with pytest.raises(DetectorFaultError, match=f"'{tensor}': type"):
        decode(BOXES, outputs, LABELS, [WHOLE])


@pytest.mark.parametrize(("background", "label"), [(True, 3), (True, -1), (False, 2), (False, -1)])
def test_a_label_out_of_range_is_a_fault(background: bool, label: int) -> None:
    """A label the manifest does not name cannot be reported, and is not dropped either."""
    outputs = boxes_outputs()
    outputs["l"] = np.array([0, 1, label])
    head = BoxesHead(boxes="b", scores="s", labels="l", background=background)
    with pytest.raises(DetectorFaultError, match=f"'l': label {label}"):
        decode(head, outputs, LABELS, [WHOLE])


def test_boxes_background_and_thresholds() -> None:
    """The background is no finding, each label has its own threshold, the best comes first."""
    outputs = boxes_outputs(4)
    outputs["s"] = np.array([0.99, 0.49, 0.31, 0.5], np.float32)
    outputs["l"] = np.array([0, 1, 2, 1])
    (found,) = decode(BOXES, outputs, LABELS, [WHOLE])
    assert [(d.label, round(d.score, 2)) for d in found] == [(0, 0.5), (1, 0.31)]
    assert found[0].box == (4, 4, 20, 30)


def test_an_inverted_box_is_a_fault() -> None:
    """A box whose right side is left of its left one is nonsense, not an empty box."""
    outputs = boxes_outputs()
    outputs["b"] = outputs["b"][:, ::-1]
    with pytest.raises(DetectorFaultError, match="x0 <= x1"):
        decode(BOXES, outputs, LABELS, [WHOLE])


@pytest.mark.parametrize("name", ["boxes", "grid", "queries"])
def test_an_absurd_coordinate_is_a_fault(name: str) -> None:
    """A coordinate so large that areas overflow is a fault, before any overlap is computed from it."""
    head, make = MAKERS[name]
    outputs = make()
    outputs["o" if name == "grid" else "b"].flat[0] = 3e38
    with pytest.raises(DetectorFaultError, match="coordinate beyond"):
        decode(head, outputs, LABELS, [WHOLE])


def test_the_boxes_head_takes_one_picture() -> None:
    """Lists of boxes do not say which picture they belong to."""
    with pytest.raises(DetectorFaultError, match="one picture"):
        decode(BOXES, boxes_outputs(), LABELS, [WHOLE, WHOLE])


def test_grid_with_objectness_and_transposed() -> None:
    """With objectness the score is the product; transposed or not, the boxes are the same."""
    rows = np.zeros((1, 2, 7), np.float32)
    rows[0, 0] = (20, 30, 10, 20, 0.8, 0.9, 0.1)
    head = GridHead(output="o", objectness=True, transposed=True)
    (found,) = decode(head, {"o": rows}, LABELS, [WHOLE])
    assert [(d.box, d.label, d.area) for d in found] == [((15, 20, 25, 40), 0, 0)]
    assert found[0].score == pytest.approx(0.72)
    upright = GridHead(output="o", objectness=True)
    assert decode(upright, {"o": rows.transpose(0, 2, 1)}, LABELS, [WHOLE]) == [found]


def test_grid_suppresses_within_a_label_only() -> None:
    """Of two boxes nearly alike the better stays, unless they are different things."""
    grid = np.zeros((1, 6, 3), np.float32)
    grid[0, :, 0] = (20, 20, 10, 10, 0.8, 0)
    grid[0, :, 1] = (21, 20, 10, 10, 0.9, 0)
    grid[0, :, 2] = (20, 20, 10, 10, 0, 0.4)
    (found,) = decode(GRID, {"o": grid}, LABELS, [WHOLE])
    assert [(d.label, d.box[0]) for d in found] == [(0, 16), (1, 15)]


def test_grid_keeps_pictures_apart() -> None:
    """Each picture of a batch gets its own detections."""
    grid = np.concatenate([grid_outputs()["o"], np.zeros((1, 6, 3), np.float32)])
    first, second = decode(GRID, {"o": grid}, LABELS, [WHOLE, WHOLE])
    assert len(first) == 1
    assert second == []


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_queries_scale_boxes_to_the_input(activation: str) -> None:
    """DETR boxes are fractions of the whole input, whose sides may differ."""
    placement = Placement((50, 100), (50, 100), (80, 100))
    logits = np.array([[[-5, 3.0, -5]]], np.float32)[:, :, : 3 if activation == "softmax" else 2]
    head = QueriesHead(logits="z", boxes="b", activation=activation)  # type: ignore[arg-type]
    boxes = np.array([[[0.5, 0.5, 0.2, 0.5]]], np.float32)
    (found,) = decode(head, {"z": logits, "b": boxes}, LABELS, [placement])
    (only,) = found
    assert only.label == 1
    assert only.box == pytest.approx((40, 20, 60, 60))
    total = np.exp(logits[0, 0]).sum() if activation == "softmax" else 1 + math.exp(3)
    assert only.score == pytest.approx(math.exp(3) / total, rel=1e-4)


def test_dense_area_box_and_score() -> None:
    """An area's box and size are in input pixels, its score is its best pixel's."""
    (found,) = decode(DENSE, dense_outputs(), LABELS, [WHOLE])
    assert [(d.box, d.label, d.area) for d in found] == [((4, 8, 20, 16), 0, 4 * 8 * 4)]
    assert found[0].score == pytest.approx(0.9)


def test_dense_leaves_small_areas_and_the_padding_out() -> None:
    """The least area is a fraction of the frame, not of the input; what lies in the padding is nothing."""
    maps = np.zeros((1, 2, 32, 32), np.float32)
    maps[0, 1, 0:2, 0:2] = 1  # 16 input pixels
    maps[0, 1, 20:32, :] = 1  # below the frame
    placement = Placement((200, 400), (32, 64), (64, 64))
    at_limit = DenseHead(output="m", min_area=16 / (32 * 64))
    above = DenseHead(output="m", min_area=17 / (32 * 64))
    (found,) = decode(at_limit, {"m": maps}, LABELS, [placement])
    assert [d.box for d in found] == [(0, 0, 4, 4)]
    assert decode(above, {"m": maps}, LABELS, [placement]) == [[]]


def test_dense_areas_that_touch_at_a_corner_are_one() -> None:
    """Diagonal neighbours belong together: a thing seen aslant is one finding."""
    maps = np.zeros((1, 2, 32, 32), np.float32)
    maps[0, 0, 3, 3] = maps[0, 0, 4, 4] = 0.7
    (found,) = decode(DENSE, {"m": maps}, LABELS, [WHOLE])
    assert [d.area for d in found] == [8]


@pytest.mark.parametrize("shape", [(30, 30), (32, 16), (0, 0), (128, 128)])
def test_dense_maps_that_do_not_fit_the_input_are_a_fault(shape: tuple[int, int]) -> None:
    """A map must be the input divided by one whole number, or its boxes would be elsewhere."""
    with pytest.raises(DetectorFaultError, match="'m': maps of"):
        decode(DENSE, {"m": np.zeros((1, 2, *shape), np.float32)}, LABELS, [WHOLE])


@pytest.mark.parametrize("name", ["boxes", "grid", "queries", "dense"])
def test_a_flood_of_detections_is_cut(name: str) -> None:
    """A model gone wild cannot fill the report: the best of each label are kept."""
    n = 4 * MAX_PER_LABEL
    outputs: Outputs
    if name == "boxes":
        outputs = boxes_outputs(n)
    elif name == "grid":
        grid = np.zeros((1, 6, n), np.float32)
        grid[0, 0] = np.arange(n) * 10
        grid[0, 2:4] = 5
        grid[0, 4] = 0.9
        outputs = {"o": grid}
    elif name == "queries":
        outputs = {
            "z": np.tile(query_outputs()["z"][:, :1], (1, n, 1)),
            "b": np.full((1, n, 4), 0.2, np.float32),
        }
    else:
        maps = np.zeros((1, 2, 64, 64), np.float32)
        maps[0, 0, ::2, ::2] = 1
        outputs = {"m": maps}
    (found,) = decode(MAKERS[name][0], outputs, LABELS, [WHOLE])
    assert len(found) == MAX_PER_LABEL


WILD = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=200)
@given(
    name=st.sampled_from(["grid", "queries", "boxes", "dense"]),
    data=st.data(),
)
def test_no_tensor_gives_a_detection_that_is_not_a_number(name: str, data: st.DataObject) -> None:
    """Whatever floats a model returns: a fault, or detections with finite boxes and scores of 0-1."""
    head, make = MAKERS[name]
    outputs = make()
    for tensor, value in outputs.items():
        if value.dtype.kind == "f" and data.draw(st.booleans()):
            elements = data.draw(st.sampled_from([WILD, st.floats(0, 1, width=32)]))
            outputs[tensor] = data.draw(hnp.arrays(np.float32, value.shape, elements=elements))
    wild = any(not np.isfinite(value).all() for value in outputs.values())
    try:
        (found,) = decode(head, outputs, LABELS, [WHOLE])
    except DetectorFaultError:
        return
    assert not wild
    for detection in found:
        assert all(math.isfinite(side) for side in detection.box)
        assert LABELS[detection.label].threshold - 1e-6 <= detection.score <= 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(0, 20),
            st.integers(0, 9),
            st.integers(0, 9),
            st.floats(0, 1),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_suppression_keeps_the_best_of_each_crowd(
    rows: list[tuple[int, int, int, int, float, bool]], iou: float
) -> None:
    """No two kept boxes of a label overlap by more than the limit, and each one dropped has its reason."""
    given_boxes = [Detection((x, y, x + w, y + h), score, int(label)) for x, y, w, h, score, label in rows]
    kept = suppress(given_boxes, iou)
    assert [d.score for d in kept] == sorted((d.score for d in kept), reverse=True)
    for index, one in enumerate(kept):
        assert all(overlap(one, other) <= iou + 1e-6 for other in kept[:index] if other.label == one.label)
    for dropped in (d for d in given_boxes if d not in kept):
        assert any(
            overlap(dropped, other) > iou - 1e-6 and other.score >= dropped.score
            for other in kept
            if other.label == dropped.label
        )


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union, written out plainly."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = one.box, other.box
    shared = max(0.0, min(a1, c1) - max(a0, c0)) * max(0.0, min(b1, d1) - max(b0, d0))
    union = (a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - shared
    return shared / union if union > 0 else 0.0

"""Shapes as evidence: the surest counts, many alike count less, what is declared does not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.bundle import load_bundle
from nii_edge.detect import shapes
from nii_edge.learn.looking import evidence_detector
from nii_edge.records import Box, Finding


def thing(label: str, score: float, view: int = 0) -> Finding:
    box = Box(view=view, x0=10.0, y0=20.0, x1=60.0, y1=50.0)
    return Finding(detector="d", kind="object", label=label, category="ANOMALY", score=score, why="", box=box)


def odds(score: float) -> float:
    return math.log(score / (1 - score)) - shapes.DOUBT


def test_the_surest_thing_counts_and_is_pointed_at() -> None:
    """In whichever view; doubtful scores say nothing, and nothing found says nothing."""
    gun = thing("gun", 0.7, view=1)
    found = shapes.weigh(shapes.seen([thing("knife", 0.4), gun, thing("gun", 0.1)]), [64])
    assert found.surest == gun
    assert found.values == pytest.approx([odds(0.7)] * 2)
    for nothing in ([], [thing("knife", 0.25)], [thing("inner_parcel", 0.99)]):
        assert not shapes.weigh(shapes.seen(nothing), [64]).values.any()


def test_many_alike_in_one_view_are_goods() -> None:
    """Ten of them weigh a tenth, and as many views of one thing do not make it two."""
    ten = shapes.weigh(shapes.seen([thing("wrench", 0.8 - 0.01 * n) for n in range(10)]), [64]).values
    assert ten == pytest.approx([odds(0.8), odds(0.8) - math.log(10)])
    one = shapes.weigh(shapes.seen([thing("wrench", 0.8, view) for view in (0, 1)]), [64]).values
    assert one == pytest.approx([odds(0.8)] * 2)


def test_what_is_declared_looks_like_itself() -> None:
    """Declared scissors are no evidence; a gun beside them is."""
    seen = shapes.seen([thing("scissors", 0.9), thing("gun", 0.5)])
    assert shapes.weigh(seen, [64]).values[0] == pytest.approx(odds(0.9))
    declared = shapes.weigh(seen, [64, 82])
    assert declared.values[0] == pytest.approx(odds(0.5))
    assert declared.surest is not None
    assert declared.surest.label == "gun"
    alone = shapes.weigh(shapes.seen([thing("gun", 0.9)]), [93])
    assert (alone.surest, alone.values.any()) == (None, False)


@given(
    st.lists(
        st.tuples(st.sampled_from((*shapes.CLASSES, "inner_parcel")), st.floats(0, 1), st.integers(0, 2))
    ),
    st.sets(st.integers(1, 97)),
)
def test_evidence_is_finite_and_papers_only_take_away(
    things: list[tuple[str, float, int]], chapters: set[int]
) -> None:
    """Whatever is found and declared."""
    seen = shapes.seen([thing(*each) for each in things])
    bare, declared = shapes.weigh(seen, []).values, shapes.weigh(seen, chapters).values
    assert np.isfinite(bare).all()
    assert (declared <= bare).all()
    assert (declared >= 0).all()
    assert bare[1] <= bare[0]


def test_a_detector_of_other_classes_is_no_witness() -> None:
    """And says which it lacks."""
    assert shapes.unfit(load_bundle(evidence_detector())) is None
    words = shapes.unfit(load_bundle(evidence_detector().parent.parent / "shielding" / "1.0.0"))
    assert words is not None
    assert "gun" in words

"""What pieces of a frame found, told once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nii_edge.detect.joining import Told, joined
from nii_edge.records import Box
from nii_edge.xray.content import Rectangle, pieces

WHOLE = (0, 0, 100, 500)
LEFT, RIGHT = (0, 0, 100, 300), (0, 200, 100, 500)
SCORES = st.lists(st.floats(0.1, 1), min_size=16, max_size=16)


def told(x0: float, x1: float, score: float, label: int = 0, y: float = 20.0, upright: bool = False) -> Told:
    """Something 50 pixels across, from x0 to x1 along the belt."""
    box = Box(view=0, x0=x0, y0=y, x1=x1, y1=y + 50)
    if upright:
        box = Box(view=0, x0=box.y0, y0=box.x0, x1=box.y1, y1=box.x1)
    return Told(box, label, score, 0.0)


@given(
    start=st.floats(0, 490), length=st.floats(8, 500), scores=SCORES, most=st.integers(2, 16),
    upright=st.booleans(),
)  # fmt: skip
def test_a_thing_is_told_once_and_whole_and_as_surely_as_a_piece_saw_it(
    start: float, length: float, scores: list[float], most: int, upright: bool
) -> None:
    """Wherever it lies, however long it is, and however sure each piece is of what it sees of it."""
    end = min(start + length, 500.0)
    whole = (0, 0, 500, 100) if upright else WHOLE
    found = []
    for area, score in zip(pieces(whole, most), scores, strict=False):
        first, last = (area[0], area[2]) if upright else (area[1], area[3])
        x0, x1 = max(start, first), min(end, last)
        found.append((area, [told(x0, x1, score, upright=upright)] if x1 - x0 > 4 else []))
    every = [one for _, ones in found for one in ones]
    (only,) = joined(found)
    x0, x1 = (only.box.y0, only.box.y1) if upright else (only.box.x0, only.box.x1)
    assert abs(x0 - start) <= 4
    assert abs(x1 - end) <= 4
    assert only.score == max(one.score for one in every)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.floats(0, 1), st.floats(0.05, 1), st.floats(0, 50), st.floats(0, 1), st.integers(0, 1)
            ),
            max_size=6,
        ),
        min_size=2, max_size=5,
    )
)  # fmt: skip
def test_no_label_becomes_less_sure(rows: list[list[tuple[float, float, float, float, int]]]) -> None:
    """Whatever pieces tell: the surest score of each label stays, and nothing is invented."""
    areas = pieces((0, 0, 100, 100 + 90 * len(rows)), len(rows))
    found: list[tuple[Rectangle, list[Told]]] = []
    for area, row in zip(areas, rows, strict=False):
        long = area[3] - area[1]
        found.append((area, [
            told(area[1] + at * 0.9 * long, area[1] + min(at * 0.9 + size, 1) * long, score, label, y)
            for at, size, y, score, label in row
        ]))  # fmt: skip
    every = [one for _, ones in found for one in ones]
    made = joined(found)
    for label in (0, 1):
        best = [
            max((one.score for one in ones if one.label == label), default=None) for ones in (every, made)
        ]
        assert best[0] == best[1]
    assert len(made) <= len(every)
    assert [one.score for one in made] == sorted((one.score for one in made), reverse=True)


def test_other_labels_and_neighbours_are_other_things() -> None:
    """Overlapping boxes of two labels, and of one label in one piece, all stay, the surest first."""
    same = [told(210, 240, 0.5), told(215, 245, 0.4)]
    found = joined([(LEFT, [told(210, 240, 0.6, 1)]), (RIGHT, same)])
    assert [(one.label, one.score) for one in found] == [(1, 0.6), (0, 0.5), (0, 0.4)]


def test_two_things_that_end_at_a_cut_beside_each_other_stay_two() -> None:
    """They are of one label, but one lies above the other."""
    found = joined([(LEFT, [told(250, 300, 0.9, y=0)]), (RIGHT, [told(200, 400, 0.8, y=50)])])
    assert len(found) == 2

"""What pieces of a frame found, told once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nii_edge.detect.joining import joined
from nii_edge.records import Box, Finding
from nii_edge.xray.content import Rectangle, pieces

WHOLE = (0, 0, 100, 500)
LEFT, RIGHT = (0, 0, 100, 300), (0, 200, 100, 500)


def finding(x0: float, x1: float, score: float, label: str = "gun", y: float = 20.0) -> Finding:
    box = Box(view=0, x0=x0, y0=y, x1=x1, y1=y + 50)
    return Finding(
        detector="d", kind="object", label=label, category="PI", score=score, why="", box=box, area_px=1
    )


@given(
    start=st.floats(1, 440),
    length=st.floats(8, 30),
    scores=st.lists(st.floats(0.1, 1), min_size=8, max_size=8),
)
def test_a_thing_is_told_once_and_whole(start: float, length: float, scores: list[float]) -> None:
    """Wherever it lies, and however sure each piece is of what it sees of it."""
    areas = pieces(WHOLE, 8)
    told = []
    for area, score in zip(areas, scores, strict=False):
        x0, x1 = max(start, area[1]), min(start + length, area[3])
        told.append((area, [finding(x0, x1, score)] if x1 - x0 > 4 else []))
    (only,) = joined(told)
    assert only.box is not None
    assert (only.box.x0, only.box.x1) == (start, start + length)


def test_what_no_piece_saw_whole_stays_in_parts() -> None:
    """A thing longer than what pieces share: each part is told, since neither covers the other."""
    parts: list[tuple[Rectangle, list[Finding]]] = [
        (LEFT, [finding(40, 300, 0.9)]),
        (RIGHT, [finding(200, 460, 0.8)]),
    ]
    assert [one.score for one in joined(parts)] == [0.9, 0.8]


def test_other_labels_and_neighbours_are_other_things() -> None:
    """Overlapping boxes of two labels, and of one label in one piece, all stay, the surest first."""
    same = [finding(210, 240, 0.5), finding(215, 245, 0.4)]
    found = joined([(LEFT, [finding(210, 240, 0.6, "knife")]), (RIGHT, same)])
    assert [(one.label, one.score) for one in found] == [("knife", 0.6), ("gun", 0.5), ("gun", 0.4)]


def test_a_finding_without_a_box_stays() -> None:
    """It is about the whole piece, and nothing says that another is the same."""
    about = Finding(detector="d", kind="object", label="gun", category="PI", score=0.3, why="")
    assert joined([(LEFT, [about]), (RIGHT, [about])]) == [about, about]

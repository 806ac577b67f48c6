"""An input looked at turned and mirrored, and what all looks agree on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.detect.heads import Detection, overlaps
from nii_edge.detect.looks import AS_IT_IS, WAYS, Way, agreed, parted, turned, turned_back

EVERY = WAYS[8]
BOX = (3.0, 2.0, 9.0, 5.0)


@given(
    height=st.integers(6, 16), width=st.integers(10, 16), seed=st.integers(0, 99), way=st.sampled_from(EVERY)
)  # fmt: skip
def test_what_is_seen_turned_is_found_where_it_is(height: int, width: int, seed: int, way: Way) -> None:
    """A block drawn into content that does not fill the input: in the turned input, boxed there, turned back.
    The padding stays padding, and the content stays in the corner."""
    rng = np.random.default_rng(seed)
    tensor = np.full((2, 16, 16), -1.0, np.float32)
    tensor[:, :height, :width] = rng.uniform(0, 0.5, (2, height, width))
    x0, y0 = int(rng.integers(0, width - 3)), int(rng.integers(0, height - 2))
    tensor[:, y0 : y0 + 2, x0 : x0 + 3] = 1
    seen = turned(tensor, way, (height, width))
    rows, columns = np.nonzero(seen[0] == 1)
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    back = turned_back(Detection(box, 0.5, 1), way, (height, width))
    assert back.box == (x0, y0, x0 + 3, y0 + 2)
    inside = np.argwhere(seen[0] > -1)
    assert len(inside) == height * width
    assert tuple(inside.max(axis=0) + 1) == ((width, height) if way.transposed else (height, width))


def test_ways_are_all_different_and_begin_with_the_picture_itself() -> None:
    """Each count of looks begins with the input as it is."""
    for count, ways in WAYS.items():
        assert len(set(ways)) == count == len(ways)
        assert ways[0] == AS_IT_IS


def test_agreement_is_the_mean_of_all_looks() -> None:
    """Seen in two of four looks: half as sure; the box is nearer to the surer one. Another label and another
    place are other things."""
    moved = (3.0, 2.0, 10.0, 5.0)
    looks = [
        [Detection(BOX, 0.8, 0), Detection((20, 20, 30, 30), 0.4, 0)],
        [Detection(moved, 0.4, 0), Detection(BOX, 0.1, 1)],
        [],
        [],
    ]
    found = agreed(looks)
    assert [(one.label, pytest.approx(one.score)) for one in found] == [(0, 0.3), (0, 0.1), (1, 0.025)]
    assert found[0].box == pytest.approx((3, 2, 9 + 1 / 3, 5))


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1), st.integers(0, 1)), max_size=5),
        min_size=2,
        max_size=8,
    )
)
def test_nothing_is_lost_or_made_surer_than_the_surest(rows: list[list[tuple[float, float, int]]]) -> None:
    """Scores of a label add up to the mean over looks; no thing is surer than the surest look; one look alone
    says what it saw."""
    looks = [[Detection((x, 0, x + 5, 5), score, label) for x, score, label in row] for row in rows]
    found = agreed(looks)
    for label in (0, 1):
        own = [one.score for look in looks for one in look if one.label == label]
        made = [one.score for one in found if one.label == label]
        assert sum(made) == pytest.approx(sum(own) / len(looks))
        assert max(made, default=0) <= max(own, default=0) + 1e-9
    assert agreed([looks[0]]) == looks[0]


def test_scores_of_nothing_have_a_box_too() -> None:
    """A threshold of 0 lets them through; their boxes weigh alike."""
    moved = (4.0, 2.0, 10.0, 5.0)
    (found,) = agreed([[Detection(BOX, 0.0, 0)], [Detection(moved, 0.0, 0)], [], []])
    assert found == Detection((3.5, 2.0, 9.5, 5.0), 0.0, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.floats(0, 1), st.integers(0, 1)), max_size=12
    )
)
def test_of_boxes_that_lie_on_each_other_the_surest_is_kept(rows: list[tuple[int, int, float, int]]) -> None:
    """Of one label; what is dropped overlaps with something surer that is kept, and what is kept does not."""
    found = [Detection((x, y, x + 10, y + 10), score, label) for x, y, score, label in rows]
    kept = parted(found, 0.45)
    assert [each.score for each in kept] == sorted((each.score for each in kept), reverse=True)

    def near(one: Detection, other: Detection) -> bool:
        shared = overlaps(np.array(one.box, np.float32), np.array([other.box], np.float32))
        return one.label == other.label and bool(shared[0] > 0.45)

    assert not any(near(a, b) for i, a in enumerate(kept) for b in kept[:i])
    for each in found:
        assert each in kept or any(near(each, other) and other.score >= each.score for other in kept)
    assert parted(found, 1.0) == sorted(found, key=lambda each: -each.score)

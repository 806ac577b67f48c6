"""Where figures mean little, that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nii_edge.learn.few import cautions, learned_cautions
from nii_edge.learn.looking import Looked
from nii_edge.learn.readers import Labelled
from nii_edge.learn.scoring import Wanted

BOX = (0.0, 0.0, 9.0, 9.0)


def looked(count: int, *labels: int) -> list[Looked]:
    wanted = tuple(Wanted(BOX, label) for label in labels)
    return [Looked(Labelled(Path(f"{number}.png"), ()), wanted, ()) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "labels", "said"),
    [
        (20, (0, 1), []),
        (1, (0, 0, 0, 0, 0, 1, 1, 1, 1, 1), ["rest on 1 picture, where 20 is the least"]),
        (19, (0, 1), ["rest on 19 pictures, where 20 is the least"]),
        (20, (0,), ["Nothing is known of knife"]),
        (4, (0, 1), ["rest on 4 pictures", "gun (4), knife (4) mean little: fewer than 5"]),
    ],
)
def test_few_pictures_and_few_labels_are_named(count: int, labels: tuple[int, ...], said: list[str]) -> None:
    found = cautions(looked(count, *labels), ("gun", "knife"))
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_what_is_ignored_is_no_label() -> None:
    one = looked(1)[0]._replace(wanted=(Wanted(BOX, 0, ignored=True),))
    assert "Nothing is known of gun" in cautions([one] * 20, ("gun",))[0]


def test_what_was_learned_by_heart_or_never_is_named() -> None:
    assert learned_cautions([3, 1], ("gun", "knife"), same=False) == []
    found = learned_cautions([3, 0], ("gun", "knife"), same=True)
    assert "measured on the pictures that taught" in found[0]
    assert "cannot find knife" in found[1]

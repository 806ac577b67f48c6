"""Scenes composed of sprites: what is marked lies in the picture, where there is something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nii_edge.errors import DataError
from nii_edge.learn.compose import Composer, _full, _kit, _turn
from nii_edge.learn.sprites import (
    CLASSES,
    Sprite,
    bag_sprite,
    carton_sprites,
    clutter_sprite,
    read,
    save,
    threat_sprite,
)
from nii_edge.resources import shipped
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.recipe import load_recipe

RECIPE = load_recipe(shipped("configs") / "simulate" / "train.yaml")


@pytest.fixture(scope="module")
def sprites() -> list[Sprite]:
    """A few of each kind, from above and from the side."""
    rng = np.random.default_rng(3)
    made = []
    for side in (False, True):
        made += [threat_sprite("knife", "chef", rng, side), threat_sprite("wrench", "combination", rng, side)]
        made += [clutter_sprite("metal", rng, side) for _ in range(3)]
        made.append(bag_sprite("briefcase", rng, side))
    for _ in range(3):
        made += carton_sprites(RECIPE, rng)
    return made


def test_sprites_are_kept_as_they_are(sprites: list[Sprite], tmp_path: Path) -> None:
    """What is written is read back, which side is seen included."""
    save(tmp_path / "sprites.npz", sprites)
    for one, other in zip(read(tmp_path / "sprites.npz"), sprites, strict=True):
        assert (one.kind, one.name, one.marked, one.side) == (
            other.kind,
            other.name,
            other.marked,
            other.side,
        )
        assert np.array_equal(one.areal, other.areal)
        assert one.room == pytest.approx(other.room, rel=1e-6)


def test_a_thing_from_the_side_is_seen_along_its_length() -> None:
    """A knife lies flat: from the side it is narrower, and thicker where it is."""
    above, side = (
        [threat_sprite("knife", "chef", np.random.default_rng(seed), seen) for seed in range(12)]
        for seen in (False, True)
    )
    narrow = [np.mean([sprite.areal.shape[2] for sprite in every]) for every in (above, side)]
    dense = [np.mean([sprite.areal[1].max() for sprite in every]) for every in (above, side)]
    assert narrow[1] < 0.6 * narrow[0]
    assert dense[1] > 1.5 * dense[0]


def test_boxes_lie_in_the_picture_around_something(sprites: list[Sprite]) -> None:
    """Of every class there is, over many scenes: in each box something is darker than the ground."""
    composer = Composer(sprites, [SCANNERS["depot"]])
    rng, classes = np.random.default_rng(7), set()
    for _ in range(60):
        made = composer.scene(rng, 256)
        height, width = made.rgb.shape[:2]
        ground = np.percentile(made.rgb.mean(axis=2), 98)
        for (x0, y0, x1, y1), label in zip(made.boxes, made.labels, strict=True):
            assert -1 <= x0 < x1 <= width + 1
            assert -1 <= y0 < y1 <= height + 1
            if label >= 0 and min(x1 - x0, y1 - y0) > 6:
                classes.add(CLASSES[int(label)])
                part = made.rgb[int(max(y0, 0)) : int(y1) + 1, int(max(x0, 0)) : int(x1) + 1]
                assert part.mean(axis=2).min() < ground - 10
    assert classes >= {"knife", "wrench"}


def test_a_carton_full_of_one_thing_is_marked_piece_by_piece(sprites: list[Sprite]) -> None:
    """Rows and columns of one class; each mark has matter in it."""
    kit = _kit([sprite for sprite in sprites if not sprite.side])
    most = 0
    for seed in range(20):
        canvas, marks = _full(kit, np.random.default_rng(seed))
        assert len({mark.label for mark in marks if mark.label}) <= 1
        most = max(most, len(marks))
        for mark in marks:
            x0, y0, x1, y1 = mark.box
            assert 0 <= x0 < x1 <= canvas.shape[2]
            assert 0 <= y0 < y1 <= canvas.shape[1]
            assert canvas[:, y0:y1, x0:x1].sum(axis=0).max() > 0.1
    assert most > 12


def test_from_the_side_most_things_lie_flat() -> None:
    """Their turn is about none or half a round; from above any."""
    rng = np.random.default_rng(1)
    flat = []
    for side in (True, False):
        turns = np.array([_turn(side, rng) for _ in range(500)]) % 180
        flat.append(float((np.minimum(turns, 180 - turns) < 30).mean()))
    assert flat[0] > 0.8
    assert 0.2 < flat[1] < 0.5


def test_sprites_of_no_use_are_named(sprites: list[Sprite]) -> None:
    """Bags alone make no scene."""
    bags = Composer([sprite for sprite in sprites if sprite.kind == "bag"], [SCANNERS["depot"]])
    with pytest.raises(DataError, match="sprites"):
        bags.scene(np.random.default_rng(0), 200)

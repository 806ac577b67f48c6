"""Goods of all the chapters asked for, sound, of plausible size and worth something."""

from __future__ import annotations

import numpy as np
import pytest
from mesh_checks import assert_sound

from nii_edge.simulate.goods import HELD_OUT_GOODS, KINDS, chapter, make_good
from nii_edge.simulate.scene import corners


@pytest.mark.parametrize("kind", KINDS)
def test_every_sort_of_goods_is_sound_and_worded(kind: str) -> None:
    for seed in range(3):
        good = make_good(kind, np.random.default_rng(seed))
        assert_sound(good.thing)
        low, high = corners(good.thing)
        assert 20 < (high - low).max() < 700
        assert good.thing.chapter == int(good.code[:2]) == chapter(kind)
        assert len(good.code) == 6
        assert good.code.isdigit()
        assert good.words in KINDS[kind].words
        assert KINDS[kind].value[0] - 0.01 <= good.value <= KINDS[kind].value[1] + 0.01


def test_all_the_chapters_of_parcel_trade_are_there_in_training_and_test() -> None:
    wanted = {61, 62, 64, 85, 95, 33, 22, 39, 82, 49, 19, 20, 21, 94, 73, 76, 69, 70, 42}
    assert wanted <= {chapter(kind) for kind in KINDS}
    assert set(KINDS) >= HELD_OUT_GOODS
    assert 0.15 <= len(HELD_OUT_GOODS) / len(KINDS) <= 0.3
    assert len({chapter(kind) for kind in HELD_OUT_GOODS}) >= 10


def test_an_unknown_sort_is_refused() -> None:
    with pytest.raises(KeyError, match="moon_rock"):
        make_good("moon_rock", np.random.default_rng(0))

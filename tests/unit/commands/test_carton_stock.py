"""Simulated cartons are made once and kept: the same for the same seed, and never another run's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from cartons import FIT
from harness import ROOT

from nii_edge.commands.carton_stock import Stock
from nii_edge.commands.sight import Eyes
from nii_edge.errors import ConfigError
from nii_edge.learn.looking import evidence_detector
from nii_edge.simulate.recipe import Recipe, load_recipe

EYES = Eyes(FIT, evidence_detector())


def small_recipe() -> Recipe:
    recipe = load_recipe(ROOT / "configs" / "simulate" / "test.yaml")
    consignments = msgspec.structs.replace(
        recipe.consignments, stories={"plain": 1.0}, cartons=(3, 3), litres=(8.0, 9.0)
    )
    return msgspec.structs.replace(recipe, consignments=consignments)


def test_cartons_are_kept_and_found_again(tmp_path: Path) -> None:
    """A second run reads what the first made, to the last bit; another run's, or damaged, is refused."""
    recipe, steps = small_recipe(), list[tuple[int, int]]()
    made = Stock(recipe, 5, 1, tmp_path, EYES).take(1, lambda done, of: steps.append((done, of)))
    assert steps == [(0, 1), (1, 1)]
    assert len(made) == 3
    steps.clear()
    again = Stock(recipe, 5, 1, tmp_path, EYES).take(1, lambda done, of: steps.append((done, of)))
    assert steps == [(1, 1)]
    for one, other in zip(made, again, strict=True):
        assert one.papers == other.papers
        for value, again_value in zip(one.measures, other.measures, strict=True):
            assert np.array_equal(np.asarray(value), np.asarray(again_value))
        assert one[2:-1] == other[2:-1]
        assert one.seen is not None
        assert other.seen is not None
        assert one.seen.best == other.seen.best
        assert np.array_equal(one.seen.odds, other.seen.odds)
    with pytest.raises(ConfigError, match="seed 5, wanted 6"):
        Stock(recipe, 6, 1, tmp_path, EYES)
    with pytest.raises(ConfigError, match=r"detector [0-9a-f]{16}, wanted none"):
        Stock(recipe, 5, 1, tmp_path, EYES._replace(detector=None))
    (kept,) = tmp_path.glob("0*.msgpack")
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="delete it, and it is made again"):
        Stock(recipe, 5, 1, tmp_path, EYES).take(1, lambda *_: None)

"""Scanners and goods that are made up from a number: sound, each its own, the same every time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from nii_edge.commands.cartons import frames_of
from nii_edge.errors import ConfigError
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.goods import HELD_OUT_GOODS, MADE_UP
from nii_edge.simulate.made_up import made_up_scanner
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.produce import Job, produce
from nii_edge.simulate.recipe import Recipe, load_recipe
from nii_edge.simulate.scanner import check_scanner
from nii_edge.xray.carton import locate

RECIPE = Path(__file__).parents[3] / "configs" / "simulate" / "train.yaml"
MANY = 60


def varied(scanners: tuple[int, int], goods: float) -> Recipe:
    recipe = load_recipe(RECIPE)
    cartons = msgspec.structs.replace(
        recipe.consignments, made_up_goods=goods, stories={"consolidation": 1.0}
    )
    return msgspec.structs.replace(recipe, made_up_scanners=scanners, consignments=cartons)


def test_every_scanner_covers_its_tunnel_and_is_like_no_other() -> None:
    made = [made_up_scanner(number) for number in range(MANY)]
    for number, scanner in enumerate(made):
        check_scanner(scanner)
        assert scanner == made_up_scanner(number)
        assert scanner.name not in SCANNERS
        assert not scanner.held_out
        assert len({view.name for view in scanner.views}) == len(scanner.views)
    assert len({scanner._replace(name="", serial=0) for scanner in made}) == MANY
    assert len({scanner.serial for scanner in (*made, *SCANNERS.values())}) == MANY + len(SCANNERS)
    assert {len(scanner.views) for scanner in made} == {1, 2}
    sources = [view.source for scanner in made for view in scanner.views]
    assert any(source is None for source in sources)
    assert {np.sign(source[1]) for source in sources if source is not None} == {-1.0, 1.0}


def test_a_recipe_has_as_many_of_them_as_it_says() -> None:
    recipe = varied((7, 10), 0.4)
    names = [scanner.name for scanner in recipe.makes()]
    assert names == [*(name for name in SCANNERS if name != "border"), "made-up-7", "made-up-8", "made-up-9"]
    goods = recipe.for_consignments().goods
    assert goods.count(MADE_UP) / len(goods) == pytest.approx(0.4, abs=0.01)
    assert not set(goods) & HELD_OUT_GOODS
    for name, made_up in (("train.yaml", 0), ("fit.yaml", 12), ("test.yaml", 0)):
        usual = load_recipe(RECIPE.with_name(name))
        assert sum(scanner.name not in SCANNERS for scanner in usual.makes()) == made_up
        assert MADE_UP not in usual.for_consignments().goods


@pytest.mark.parametrize("number", [8, 11])
def test_cartons_of_made_up_goods_weigh_what_they_do_on_made_up_scanners(number: int) -> None:
    """Geometry, calibration and physics of a scanner that nobody drew by hand agree with each other."""
    made = produce(Job(varied((number, number + 1), 0.9), "consignment", 5, 1, f"made-up-{number}", False))
    unit = calibrated(made_up_scanner(number))
    assert any(truth.label == MADE_UP for carton in made.cartons for truth in carton.truth)
    for carton in range(len(made.cartons)):
        located = locate(unit.profile, unit.optics, frames_of(made, carton))
        assert located is not None
        assert located.measures.fit_mm < 10
        grams = sum(truth.mass for truth in made.cartons[carton].truth)
        assert located.measures.grams == pytest.approx(grams, rel=0.15)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 1", "version: 1\nmade_up_scanners: [9, 3]", "made_up_scanners: .* the smaller one first"),
        ("version: 1", "version: 1\nmade_up_scanners: [-1, 3]", "made_up_scanners"),
        ("  goods: training", "  goods: training\n  made_up_goods: 1.0", "made_up_goods"),
    ],
)
def test_wrong_numbers_and_shares_are_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = RECIPE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        load_recipe(path)

"""The shipped recipes load, the two share nothing that is held out, and wrong ones are refused by name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nii_edge.errors import ConfigError
from nii_edge.simulate import shells, threats
from nii_edge.simulate.goods import HELD_OUT_GOODS, KINDS, MADE_UP
from nii_edge.simulate.luggage.bags import HELD_OUT_BAGS
from nii_edge.simulate.recipe import load_recipe

HONEST = """    plain: 4
    multipack: 2
    consolidation: 2
    mixed: 2
    part_filled: 1
    turned: 1
"""
FOLDER = Path(__file__).parents[3] / "configs" / "simulate"


def test_training_and_test_share_no_family_no_bag_and_no_goods() -> None:
    train, test = load_recipe(FOLDER / "train.yaml"), load_recipe(FOLDER / "test.yaml")
    bags = [set(recipe.for_luggage().bag_types) for recipe in (train, test)]
    assert all(bags)
    assert not bags[0] & bags[1]
    assert bags[1] == HELD_OUT_BAGS
    goods = [set(recipe.for_consignments().goods) for recipe in (train, test)]
    assert not goods[0] & goods[1]
    assert goods[0] | goods[1] == set(KINDS) - {MADE_UP}
    assert goods[1] == HELD_OUT_GOODS
    seen, unseen = (recipe.for_consignments() for recipe in (train, test))
    fitted = load_recipe(FOLDER / "fit.yaml").for_consignments()
    packed = [set(recipe.shells) for recipe in (seen, fitted, unseen)]
    assert set().union(*packed) == set(shells.PARCELS["all"])
    assert sum(map(len, packed)) == len(set(shells.PARCELS["all"])), "a way of packing is in two of them"
    assert fitted._replace(shells=seen.shells) == seen
    assert set(seen.shields) | set(unseen.shields) == set(shells.SHIELDS["all"])
    assert not set(seen.shields) & set(unseen.shields)
    for part in ("for_luggage", "for_consignments"):
        known, new = (getattr(recipe, part)().families for recipe in (train, test))
        assert {"gun", "knife", "wrench"} <= set(known)
        for label, names in known.items():
            assert names == threats.training_families(label)
            assert set(new[label]) == threats.HELD_OUT_FAMILIES[label] != frozenset()


def test_training_and_test_share_no_scanner_no_display_and_no_bottle() -> None:
    train, test = load_recipe(FOLDER / "train.yaml"), load_recipe(FOLDER / "test.yaml")
    makes = [{make.name for make in recipe.makes()} for recipe in (train, test)]
    assert makes[1] == {"border"}
    assert not makes[0] & makes[1]
    displays = [set(recipe.display_families()) for recipe in (train, test)]
    assert all(displays)
    assert not displays[0] & displays[1]
    bottles = [set(recipe.for_luggage().bottles) for recipe in (train, test)]
    assert bottles[1] == threats.HELD_OUT_FAMILIES["bottle"]
    assert not bottles[0] & bottles[1]


def test_double_walls_are_simulated_beside_the_frozen_test_not_in_it() -> None:
    """All but their stories is the frozen test's."""
    test, walls = load_recipe(FOLDER / "test.yaml"), load_recipe(FOLDER / "double_wall.yaml")
    assert {name for name, weight in walls.consignments.stories.items() if weight} == {"double_wall", "lined"}
    own = walls.for_consignments()._replace(stories=test.for_consignments().stories)
    assert own == test.for_consignments()
    for name in ("train.yaml", "fit.yaml", "test.yaml"):
        assert not {"double_wall", "lined"} & set(load_recipe(FOLDER / name).consignments.stories)


FROZEN = "2d65433523728873"
"""Of all that the frozen test is drawn from. It may only change to make the test harder; say so where the
figures are (docs/TRAINING.md, docs/DETECTION.md) and give the new ones."""


def test_what_the_frozen_test_is_drawn_from_does_not_change_by_accident() -> None:
    """Its file says `held_out`; what that means stands in code."""
    recipe = load_recipe(FOLDER / "test.yaml")
    makes = sorted(make.name for make in recipe.makes())
    displays = sorted(recipe.display_families())
    resolved = (recipe.for_luggage(), recipe.for_consignments(), makes, displays)
    assert hashlib.sha256(repr(resolved).encode()).hexdigest()[:16] == FROZEN


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{gun: 3", "{cannon: 3", "no shapes for cannon"),
        ("bags: [0.62, 0.23, 0.10, 0.05]", "bags: [0, 0, 0, 0]", "luggage.bags: all weights are 0"),
        ("cartons: [3, 8]", "cartons: [8, 3]", "consignments.cartons: .* expected the smaller one first"),
        ("families: training", "families: some", "families"),
        (HONEST, "", "only lies"),
        ("threat_rate: 0.6", "threat_rate: 1.6", "threat_rate"),
        ("  litres: [8, 55]\n", "  litres: [8, 55]\n  colour: red\n", "colour"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (FOLDER / "train.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        load_recipe(path)

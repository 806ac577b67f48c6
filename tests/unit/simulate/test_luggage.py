"""Bags hold clutter, now and then something prohibited, and only what their recipe allows."""

from __future__ import annotations

import numpy as np
import pytest
from mesh_checks import assert_sound

from nii_edge.simulate import luggage, threats
from nii_edge.simulate.luggage.bags import DESIGNS, make_bag
from nii_edge.simulate.scene import Scene, by_material, corners, mass
from nii_edge.simulate.shapes import volume
from nii_edge.simulate.solids import Thing

TRAINING = luggage.LuggageRecipe(
    bags=(0.6, 0.2, 0.1, 0.1),
    bag_types=luggage.bag_types(held_out=False),
    threat_rate=0.6,
    labels={"gun": 1, "knife": 1, "wrench": 1, "scissors": 0.5},
    families={label: threats.training_families(label) for label in threats.LABELS},
    clutter=(3, 8),
    bottles=threats.training_families("bottle"),
)
CLUTTER = [(kind, name) for kind, makers in luggage.CLUTTER.items() for name in makers]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [luggage.make_luggage(TRAINING, np.random.default_rng(seed)) for seed in range(12)]


@pytest.mark.parametrize(("kind", "name"), CLUTTER)
def test_every_piece_of_clutter_is_sound(kind: str, name: str) -> None:
    for seed in range(3):
        assert_sound(Thing(name, name, luggage.CLUTTER[kind][name](np.random.default_rng(seed))))


@pytest.mark.parametrize("family", DESIGNS)
def test_every_bag_is_sound_and_has_room(family: str) -> None:
    bag = make_bag(family, np.random.default_rng(1))
    assert_sound(Thing("bag", family, bag.parts))
    assert min(bag.room) > 20


def test_scenes_hold_only_what_the_recipe_allows(scenes: list[Scene]) -> None:
    found = [placed for scene in scenes for placed in scene.things]
    assert {p.thing.family for p in found if p.role == "bag"} <= set(luggage.bag_types(held_out=False))
    assert not {p.thing.family for p in found if p.role == "bag"} & luggage.HELD_OUT_BAGS
    prohibited = [p for p in found if p.role == "threat"]
    assert prohibited
    for placed in prohibited:
        assert placed.thing.label in TRAINING.labels
        assert placed.thing.family in TRAINING.families[placed.thing.label]
    clutter = {p.thing.family for p in found if p.role == "clutter"}
    assert not {p.thing.label for p in found if p.role == "clutter"} & set(TRAINING.labels)
    assert clutter & set(TRAINING.bottles), "no bottle: nothing was shown"
    assert not clutter & threats.HELD_OUT_FAMILIES["bottle"]


def test_some_bags_are_innocent_and_some_scenes_have_several(scenes: list[Scene]) -> None:
    bags = [sum(p.role == "bag" for p in scene.things) for scene in scenes]
    assert set(bags) >= {1, 2}
    assert max(bags) <= 4
    assert any(not any(p.role == "threat" for p in scene.things) for scene in scenes)


def test_everything_lies_on_the_belt_and_in_its_bag(scenes: list[Scene]) -> None:
    for scene in scenes:
        for placed in scene.things:
            low, high = corners(placed.thing)
            assert low[2] > -0.01
            assert low[0] > -0.01
            if placed.parcel >= 0:
                bag = scene.things[placed.parcel]
                assert bag.role == "bag"
                around = corners(bag.thing)
                assert (low + high)[0] / 2 > around[0, 0]
                assert (low + high)[0] / 2 < around[1, 0]


def test_parts_by_material_weigh_what_the_things_weigh(scenes: list[Scene]) -> None:
    density = {
        part.material: 1.0 + 0.1 * len(part.material)
        for s in scenes
        for p in s.things
        for part in p.thing.parts
    }
    scene = scenes[0]
    things = sum(mass(p.thing, density) for p in scene.things)
    parts = sum(volume(p.mesh) / 1000 * density[p.material] * p.fill for p in by_material(scene))
    assert parts == pytest.approx(things, rel=1e-3)


def test_the_same_seed_packs_the_same_bags() -> None:
    one, same = (luggage.make_luggage(TRAINING, np.random.default_rng(9)) for _ in range(2))
    assert [p.thing.family for p in one.things] == [p.thing.family for p in same.things]
    for a, b in zip(one.things, same.things, strict=True):
        for left, right in zip(a.thing.parts, b.thing.parts, strict=True):
            np.testing.assert_array_equal(left.mesh.vertices, right.mesh.vertices)

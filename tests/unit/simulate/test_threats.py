"""Every family makes sound things; families differ, and those held out are kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from mesh_checks import assert_sound

from nii_edge.simulate import shapes, threats
from nii_edge.simulate.scene import corners

EVERY = [(label, family) for label in threats.LABELS for family in threats.families(label)]
METALS = {"steel", "stainless", "zinc", "brass", "aluminium", "copper"}


@pytest.mark.parametrize(("label", "family"), EVERY)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_family_makes_sound_things(label: str, family: str, seed: int) -> None:
    thing = threats.make(label, np.random.default_rng(seed), family)
    assert (thing.label, thing.family) == (label, family)
    assert_sound(thing)
    low, high = corners(thing)
    assert np.abs(low + high).max() < 0.1, "not centred"
    assert 15 < (high - low).max() < 900, "not of this world's size"


@pytest.mark.parametrize(("label", "family"), EVERY)
def test_the_same_seed_makes_the_same_thing_and_another_makes_another(label: str, family: str) -> None:
    one, same, other = (threats.make(label, np.random.default_rng(seed), family) for seed in (5, 5, 6))
    for a, b in zip(one.parts, same.parts, strict=True):
        assert a.material == b.material
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        np.testing.assert_array_equal(a.mesh.faces, b.mesh.faces)
    assert not np.array_equal(corners(one), corners(other))


@pytest.mark.parametrize("label", ["gun", "knife", "wrench"])
def test_there_are_thirty_families_and_a_fifth_are_held_out(label: str) -> None:
    names, held = threats.families(label), threats.HELD_OUT_FAMILIES[label]
    assert len(set(names)) == len(names) >= 30
    assert 0.15 <= len(held) / len(names) <= 0.3


@pytest.mark.parametrize("label", threats.LABELS)
def test_training_never_sees_a_held_out_family(label: str) -> None:
    held, training = threats.HELD_OUT_FAMILIES[label], set(threats.training_families(label))
    assert held <= set(threats.families(label)), "a held-out family that does not exist holds nothing out"
    assert training
    assert not held & training
    assert held | training == set(threats.families(label))


def shadow(label: str, family: str) -> np.ndarray:
    """Which cells of a 24 x 24 grid stretched over its box have some of the thing's corners."""
    thing = threats.make(label, np.random.default_rng(3), family)
    points = np.concatenate([part.mesh.vertices for part in thing.parts])[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    cells = np.clip(((points - low) / (high - low) * 24).astype(int), 0, 23)
    grid = np.zeros((24, 24), bool)
    grid[cells[:, 0], cells[:, 1]] = True
    return grid


@pytest.mark.parametrize("label", ["gun", "knife", "wrench"])
def test_no_two_families_have_their_corners_in_the_same_places(label: str) -> None:
    grids = {family: shadow(label, family) for family in threats.families(label)}
    names = list(grids)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert (grids[a] != grids[b]).sum() >= 10, f"{a} and {b} look the same"


@pytest.mark.parametrize("family", threats.families("gun"))
def test_a_gun_has_metal_in_it_and_more_than_a_plate(family: str) -> None:
    thing = threats.make("gun", np.random.default_rng(0), family)
    metal = [part.mesh for part in thing.parts if part.material in METALS]
    assert metal
    low, high = shapes.stack_bounds(metal)
    solid = float(np.prod(high - low))
    assert sum(shapes.volume(mesh) for mesh in metal) < 0.6 * solid


def test_what_is_unknown_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="cannon"):
        threats.families("cannon")
    with pytest.raises(KeyError, match="bread_knife"):
        threats.make("knife", np.random.default_rng(0), "bread_knife")

"""Papers tell the truth of honest cartons; every lie differs from its papers, and no twin does."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from nii_edge.commands.rates import auroc
from nii_edge.simulate import threats
from nii_edge.simulate.consignment import (
    FEWEST_PACKS,
    LIES,
    MANY_PARCELS,
    TWINS,
    Consignment,
    ConsignmentRecipe,
    Story,
    make_consignment,
)
from nii_edge.simulate.goods import KINDS
from nii_edge.simulate.judging import EXTRA_PARCELS, faults
from nii_edge.simulate.scene import Scene, corners, mass, truths
from nii_edge.simulate.shells import PARCELS, SHIELDS

DENSITY: dict[str, float] = defaultdict(lambda: 1.0) | {
    "steel": 7.85, "stainless": 8.0, "lead": 11.3, "cardboard": 0.69, "cotton": 1.5, "glass": 2.5,
    "eps": 0.02,
}  # fmt: skip
SEEDS = range(3)


def recipe(story: Story, careful: float = 0.0) -> ConsignmentRecipe:
    families = {label: threats.training_families(label) for label in threats.LABELS}
    return ConsignmentRecipe(
        {story: 1.0}, (2, 3), (8, 40), tuple(KINDS), families, PARCELS["all"], SHIELDS["all"], careful
    )


@pytest.fixture(scope="module")
def made() -> dict[tuple[Story, int], Consignment]:
    return {
        (story, seed): make_consignment(recipe(story), np.random.default_rng(seed), DENSITY)
        for story in (*LIES, *TWINS)
        for seed in SEEDS
    }


def pieces(scene: Scene) -> Counter[int]:
    return Counter(p.line for p in scene.things if p.role == "goods" and p.declared)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("story", TWINS)
def test_honest_cartons_have_no_fault(
    story: Story, seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    consignment = made[story, seed]
    for k, carton in enumerate(consignment.cartons):
        assert carton.lie is None
        assert not faults(carton.scene, consignment.master.lines_of(k), DENSITY)
        assert all(p.declared for p in carton.scene.things if p.role in {"goods", "parcel"})
        assert not any(p.role in {"hidden", "shielding"} for p in carton.scene.things)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("story", LIES)
def test_lying_cartons_have_the_fault_of_their_lie_and_their_fellows_none(
    story: Story, seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    consignment = made[story, seed]
    assert any(carton.lie == story for carton in consignment.cartons)
    for k, carton in enumerate(consignment.cartons):
        found = faults(carton.scene, consignment.master.lines_of(k), DENSITY)
        if carton.lie is None:
            assert not found
        else:
            assert LIES[story] in found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("story", [*TWINS, "hidden_object", "shielding", "wrong_weight"])
def test_quantities_on_paper_are_what_is_in_the_carton(
    story: Story, seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    consignment = made[story, seed]
    for k, carton in enumerate(consignment.cartons):
        lines = consignment.master.lines_of(k)
        assert lines
        assert pieces(carton.scene) == Counter({i: line.quantity for i, line in enumerate(lines)})
        parcels = sum(p.role == "parcel" for p in carton.scene.things)
        bills = consignment.master.of_carton(k)
        assert sum(bill.packages for bill in bills) == (parcels or len(bills))
        for placed in carton.scene.things:
            if placed.role == "goods":
                assert lines[placed.line].hs_code == KINDS[placed.thing.label].code


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("story", TWINS)
def test_honest_weights_add_up(story: Story, seed: int, made: dict[tuple[Story, int], Consignment]) -> None:
    consignment = made[story, seed]
    assert len(consignment.master.gross_kg) == len(consignment.cartons) == consignment.master.cartons
    for k, carton in enumerate(consignment.cartons):
        found = truths(carton.scene, DENSITY)
        net = sum(t.mass for t in found if t.role in {"goods", "parcel"}) / 1000
        gross = sum(t.mass for t in found) / 1000
        assert sum(line.weight_kg for line in consignment.master.lines_of(k)) == pytest.approx(
            net, rel=0.04, abs=0.01
        )
        assert consignment.master.gross_kg[k] == pytest.approx(gross, rel=0.03)
        assert gross == pytest.approx(sum(mass(p.thing, DENSITY) for p in carton.scene.things) / 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_master_carton_looks_like_a_consolidation_and_differs_only_on_paper(
    seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    liar = made["master_carton", seed]
    for k, carton in enumerate(liar.cartons):
        parcels = [p for p in carton.scene.things if p.role == "parcel"]
        assert len(parcels) >= MANY_PARCELS
        bills = liar.master.of_carton(k)
        if carton.lie is None:
            assert len(bills) == len(parcels)
        else:
            assert len(bills) == len(bills[0].lines) == bills[0].packages == 1
            assert not any(p.declared for p in carton.scene.things)


def test_retail_packs_are_about_as_many_as_undeclared_parcels() -> None:
    """The number of parcels alone must not tell a carton full of undeclared ones from packs of one sort."""
    counts: dict[Story, list[int]] = {}
    for story in ("master_carton", "multipack"):
        counts[story] = [
            sum(placed.role == "parcel" for placed in carton.scene.things)
            for seed in range(25)
            for carton in make_consignment(recipe(story), np.random.default_rng((7, seed)), DENSITY).cartons
            if story == "multipack" or carton.lie is not None
        ]
    assert min(counts["multipack"]) >= FEWEST_PACKS
    assert auroc(np.array(counts["multipack"], float), np.array(counts["master_carton"], float)) < 0.72


@pytest.mark.parametrize("seed", SEEDS)
def test_a_careful_liar_declares_what_an_honest_sender_of_one_sort_would(seed: int) -> None:
    """Goods that are in the carton, their weight and their price, and no word of the parcels."""
    liar = make_consignment(recipe("master_carton", 1.0), np.random.default_rng(seed), DENSITY)
    lying = 0
    for k, carton in enumerate(liar.cartons):
        if carton.lie is None:
            continue
        lying += 1
        (bill,) = liar.master.of_carton(k)
        (line,) = bill.lines
        goods = [p.thing for p in carton.scene.things if p.role == "goods"]
        codes = {KINDS[thing.label].code: mass(thing, DENSITY) / 1000 for thing in goods}
        assert line.hs_code in codes
        assert "undeclared_parcels" in faults(carton.scene, bill.lines, DENSITY)
        found = truths(carton.scene, DENSITY)
        net = sum(t.mass for t in found if t.role in {"goods", "parcel"}) / 1000
        assert line.weight_kg == pytest.approx(net, rel=0.04, abs=0.01)
        alike = [mass(t, DENSITY) / 1000 for t in goods if KINDS[t.label].code[:2] == line.hs_code[:2]]
        assert line.quantity == pytest.approx(net / np.mean(alike), rel=0.05, abs=1)
    assert lying


@pytest.mark.parametrize("seed", SEEDS)
def test_extra_parcels_are_in_the_carton_and_on_no_paper(
    seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    """All others are declared, each by a house bill of its own, and hold what it says."""
    liar = made["extra_parcels", seed]
    for k, carton in enumerate(liar.cartons):
        parcels = [p for p in carton.scene.things if p.role == "parcel"]
        declared = sum(p.declared for p in parcels)
        bills, lines = liar.master.of_carton(k), liar.master.lines_of(k)
        assert len(bills) == len(lines) == sum(bill.packages for bill in bills) == declared
        assert pieces(carton.scene) == Counter({i: line.quantity for i, line in enumerate(lines)})
        for placed in carton.scene.things:
            if placed.parcel >= 0:
                assert placed.declared == carton.scene.things[placed.parcel].declared
        if carton.lie is None:
            assert declared == len(parcels)
        else:
            assert EXTRA_PARCELS <= len(parcels) - declared < len(parcels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_part_filled_last_carton_holds_less_than_its_fellows(
    seed: int, made: dict[tuple[Story, int], Consignment]
) -> None:
    counts = [sum(pieces(carton.scene).values()) for carton in made["part_filled", seed].cartons]
    assert counts[-1] <= min(counts[:-1])


def test_every_carton_stands_on_the_belt_with_all_it_holds_inside(
    made: dict[tuple[Story, int], Consignment],
) -> None:
    for (story, _), consignment in made.items():
        for carton in consignment.cartons:
            shell = next(p for p in carton.scene.things if p.role == "carton")
            low, high = corners(shell.thing)
            np.testing.assert_allclose(
                np.min([corners(p.thing)[0] for p in carton.scene.things], axis=0), 0, atol=0.01
            )
            for placed in carton.scene.things:
                at = corners(placed.thing)
                # soft packaging may bulge into the board, not through it
                assert (at[0] >= low - 1).all(), f"{story}: {placed.thing.label} sticks out"
                assert (at[1] <= high + 1).all(), f"{story}: {placed.thing.label} sticks out"


def test_goods_in_a_parcel_say_which_one(made: dict[tuple[Story, int], Consignment]) -> None:
    seen = 0
    for consignment in made.values():
        for carton in consignment.cartons:
            for placed in carton.scene.things:
                if placed.parcel >= 0:
                    around = carton.scene.things[placed.parcel]
                    assert around.role == "parcel"
                    assert around.line == placed.line
                    seen += 1
    assert seen > 50


def test_the_same_seed_makes_the_same_consignment() -> None:
    one, same = (make_consignment(recipe("mixed"), np.random.default_rng(4), DENSITY) for _ in range(2))
    assert one.master == same.master
    for a, b in zip(one.cartons, same.cartons, strict=True):
        for left, right in zip(a.scene.things, b.scene.things, strict=True):
            assert left.thing.family == right.thing.family
            for p, q in zip(left.thing.parts, right.thing.parts, strict=True):
                np.testing.assert_array_equal(p.mesh.vertices, q.mesh.vertices)


def test_a_density_that_is_missing_is_named() -> None:
    consignment = make_consignment(recipe("plain"), np.random.default_rng(0), DENSITY)
    used = {part.material for c in consignment.cartons for p in c.scene.things for part in p.thing.parts}
    assert "cardboard" in used
    with pytest.raises(KeyError, match="cardboard"):
        make_consignment(recipe("plain"), np.random.default_rng(0), dict.fromkeys(used - {"cardboard"}, 1.0))

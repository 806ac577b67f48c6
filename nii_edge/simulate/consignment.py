"""Consignments: like cartons under one master bill, honest or not, with the papers that go with them.

For every lie there is an honest twin that looks like it: what makes a carton prohibited is never the drawing
alone but what its papers say of it (`faults`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from nii_edge.errors import SceneError
from nii_edge.simulate.bulk import all_masses
from nii_edge.simulate.carton import CELL, Unit, carton_shell, laid, pack, void_fill
from nii_edge.simulate.contents import Stock, hidden, piece, stock
from nii_edge.simulate.declaring import papers_of
from nii_edge.simulate.goods import KINDS
from nii_edge.simulate.judging import EXTRA_PARCELS, MATERIALS, OBJECTS
from nii_edge.simulate.kit import Generator, Spread, draw, pick
from nii_edge.simulate.loads import (
    LOADS,
    PARCELLED,
    Load,
    Manner,
    articles_for,
    fits,
    room_for,
    without_missing,
)
from nii_edge.simulate.papers import Fault, HouseBill, MasterBill
from nii_edge.simulate.scene import Placed, Scene, Size, joined, set_down, shift
from nii_edge.simulate.shapes import rotation
from nii_edge.simulate.shapes.transform import Axis
from nii_edge.simulate.walls import Walled, bare, double_wall, lining

Story = Literal[
    "plain", "multipack", "consolidation", "mixed", "part_filled", "turned",
    "master_carton", "extra_parcels", "swapped_goods", "hidden_object", "undeclared_material", "shielding",
    "wrong_weight", "lined", "double_wall",
]  # fmt: skip

LIES: dict[Story, Fault] = {
    "master_carton": "undeclared_parcels",
    "extra_parcels": "undeclared_parcels",
    "swapped_goods": "other_goods",
    "hidden_object": "prohibited_object",
    "undeclared_material": "undeclared_material",
    "shielding": "shielding",
    "wrong_weight": "weight",
    "double_wall": "double_wall",
}
"""The fault that each lying story is about; a lie may bring others with it (a hidden object also weighs)."""
TWINS: tuple[Story, ...] = ("plain", "multipack", "consolidation", "mixed", "part_filled", "turned", "lined")
_TIDY = frozenset({"plain", "multipack", "part_filled", "turned", "lined", *LIES} - PARCELLED)
"""Stories whose cartons are packed in rows."""

MANY_PARCELS = 10
"""So many parcels make a carton of them."""
MANY_PACKS, FEWEST_PACKS = 0.7, 2
"""The share of consignments of retail packs whose cartons hold as many packs as others hold parcels, and the
fewest packs in a carton of the others."""
SHARE_UNDECLARED = (0.25, 0.6)
"""Of the parcels of a carton that holds more than its papers say."""


class ConsignmentRecipe(NamedTuple):
    """What consignments are made of.

    Attributes:
        stories: how likely each is.
        cartons: the fewest and the most cartons under one master bill.
        litres: of goods in a carton.
        goods: the sorts there may be.
        families: which families hidden things are drawn from, by label.
        shells, shields: which families the packaging of parcels and the metal around shielded things are of.
        careful: the share of cartons full of undeclared parcels whose papers are written to look right.
        parcels: the fewest in a carton of many senders' parcels.
    """

    stories: Mapping[Story, float]
    cartons: tuple[int, int]
    litres: Spread
    goods: tuple[str, ...]
    families: Mapping[str, tuple[str, ...]]
    shells: tuple[str, ...]
    shields: tuple[str, ...]
    careful: float
    parcels: int = MANY_PARCELS


class Carton(NamedTuple):
    """One carton on the belt. `lie`: the story it was packed for, None if it was packed honestly."""

    scene: Scene
    lie: Story | None


class Consignment(NamedTuple):
    """All cartons of one master bill, in the order they pass the scanner."""

    story: Story
    master: MasterBill
    cartons: tuple[Carton, ...]


def make_consignment(recipe: ConsignmentRecipe, rng: Generator, density: Mapping[str, float]) -> Consignment:
    """One consignment.

    Args:
        density: g/cm³ by material, from which true weights come; honest papers are within 3 % of them.

    Raises:
        KeyError: `density` lacks a material.
    """
    names = list(recipe.stories)
    chances = np.asarray([recipe.stories[name] for name in names])
    story = names[int(rng.choice(len(names), p=chances / chances.sum()))]
    count = int(rng.integers(recipe.cartons[0], recipe.cartons[1] + 1))
    least = _least_parcels(recipe, rng, story)
    articles = articles_for(recipe.goods, rng, story, small=least >= recipe.parcels)
    room = _tight(rng, story, room_for(rng, recipe.litres, articles), articles, Manner(recipe.shells))
    lying = _lying(rng, story, count)
    cartons: list[Carton] = []
    bills: list[HouseBill] = []
    gross: list[float] = []
    for k in range(count):
        lie = story if k in lying else None
        things, load = _loaded(recipe, rng, (story, lie), room, articles, least, k == count - 1)
        scene = _on_belt(rng, things, story == "turned")
        weighed = all_masses([placed.thing for placed in scene.things], density)
        kilos = [sum(grams.values()) / 1000 for grams in weighed]
        papers = papers_of(rng, k, load, scene, kilos, _told(rng, lie, recipe.careful))
        said = sum(line.weight_kg for bill in papers for line in bill.lines)
        empty = sum(kg for p, kg in zip(scene.things, kilos, strict=True) if p.role in {"carton", "fill"})
        gross.append(round(sum(kilos) * draw(rng, (0.98, 1.02)) if lie is None else said + empty, 3))
        bills += papers
        cartons.append(Carton(scene, lie))
    number = f"{int(rng.integers(100, 999))}-{int(rng.integers(10**7, 10**8))}"
    master = MasterBill(number=number, cartons=count, gross_kg=tuple(gross), house_bills=tuple(bills))
    return Consignment(story, master, tuple(cartons))


def _least_parcels(recipe: ConsignmentRecipe, rng: Generator, story: Story) -> int:
    """The fewest parcels in each carton. Retail packs under one bill look most like parcels of many senders
    where there are as many of them."""
    if _honest(story) == "multipack":
        return recipe.parcels if rng.random() < MANY_PACKS else FEWEST_PACKS
    return recipe.parcels if _honest(story) == "consolidation" else 0


def _honest(story: Story) -> Story:
    """The honest load that a story starts from."""
    if story in {"plain", "part_filled", "turned", "mixed", "multipack", "consolidation"}:
        return story
    return "consolidation" if story in PARCELLED else "plain"


def _told(rng: Generator, lie: Story | None, careful: float) -> str | None:
    """How the papers lie."""
    if lie == "master_carton" and careful and rng.random() < careful:
        return "careful_master_carton"
    return lie


def _lying(rng: Generator, story: Story, count: int) -> frozenset[int]:
    """Which cartons lie: all of them, or some, at least one."""
    if story not in LIES:
        return frozenset()
    if rng.random() < 0.4:
        return frozenset(range(count))
    many = int(rng.integers(1, max(count // 2, 1) + 1))
    return frozenset(int(k) for k in rng.choice(count, many, replace=False))


def _tampered(recipe: ConsignmentRecipe, rng: Generator, story: Story, load: Load, room: Size) -> list[Unit]:
    """What a lying carton gets besides, or instead: put in first, so that goods cover it."""
    if story == "swapped_goods":
        other = _other(recipe, rng, load.lines[0])
        count = fits(room, other.sizes[0], 60)
        return [piece(other, rng, -1, declared=False) for _ in range(count)]
    if story in {"hidden_object", "undeclared_material", "shielding"}:
        every = MATERIALS if story == "undeclared_material" else OBJECTS
        labels = tuple(label for label in every if recipe.families.get(label))
        tries = (
            hidden(label, recipe.families[label], rng, recipe.shields if story == "shielding" else ())
            for label in (pick(rng, labels) for _ in range(40))
        )
        for made in tries:
            if all(size < space for size, space in zip(made.size, room, strict=True)):
                return [made]
        raise SceneError(f"nothing prohibited fits a carton of {room} mm in 40 tries; make `litres` larger")
    return []


def _other(recipe: ConsignmentRecipe, rng: Generator, first: Stock) -> Stock:
    names = [name for name in recipe.goods if KINDS[name].code[:2] != first.code[:2]]
    return stock(pick(rng, names), rng)


def _loaded(
    recipe: ConsignmentRecipe, rng: Generator, told: tuple[Story, Story | None], room: Size,
    articles: Sequence[Stock], least: int, last: bool,
) -> tuple[list[Placed], Load]:  # fmt: skip
    """One carton's things at rest in their shell, and the load they come from, less what found no room.
    `told`: the consignment's story, and this carton's lie.

    It is packed again in a larger carton until what the story needs is in it, `least` parcels among it.
    """
    story, lie = told
    tidy, how = story in _TIDY, Manner(recipe.shells, part=story == "part_filled" and last)
    for _ in range(12):
        load = LOADS[_honest(story)](rng, room, articles, how)
        extra = [] if lie is None else _tampered(recipe, rng, lie, load, room)
        at = int(rng.integers(len(load.units) // 2 + 1))
        units = extra if lie == "swapped_goods" else [*load.units[:at], *extra, *load.units[at:]]
        packed = pack(rng, room, [content.size for content in units], tidy)
        things: list[Placed] = []
        for content, spot, quarter in zip(units, packed.spots, packed.quarter, strict=True):
            if spot is not None:
                things += joined(laid(content, spot, quarter), len(things))
        roles = [placed.role for placed in things]
        hiding = len(extra) == 1 and "hidden" not in roles and lie != "swapped_goods"
        if "goods" in roles and not hiding and roles.count("parcel") >= least:
            break
        x, y, z = room
        room = 1.15 * x, 1.15 * y, 1.15 * z
    else:
        raise SceneError(f"a carton of {room} mm still has no room for what {story} needs; use smaller goods")
    if lie == "extra_parcels":
        things = _some_undeclared(rng, things)
    if lie != "swapped_goods":
        found = frozenset(placed.line for placed in things if placed.role == "goods")
        load, place = without_missing(load, found)
        things = [placed._replace(line=place.get(placed.line, -1)) for placed in things]
    if lie == "master_carton":
        things = [placed._replace(declared=False, line=-1) for placed in things]
    filling = void_fill(rng, room, packed) if rng.random() < 0.6 else []
    walls = _walls(rng, told, room)
    shell = Placed(shift(carton_shell(rng, walls.room), *walls.middle), "carton")
    return [*things, *filling, *walls.things, shell], load


def _walls(rng: Generator, told: tuple[Story, Story | None], room: Size) -> Walled:
    """What lies along the carton's walls; `told` as in `_loaded`."""
    story, lie = told
    if lie == "double_wall":
        return double_wall(rng, room)
    return lining(rng, room) if story == "lined" else bare(room)


def _some_undeclared(rng: Generator, things: list[Placed]) -> list[Placed]:
    """The same, several parcels of which, with their goods, are on no paper."""
    lines = sorted({placed.line for placed in things if placed.role == "parcel"})
    many = max(EXTRA_PARCELS, round(len(lines) * draw(rng, SHARE_UNDECLARED)))
    chosen = frozenset(int(line) for line in rng.choice(lines, min(many, len(lines) - 1), replace=False))
    return [
        placed._replace(declared=False, line=-1) if placed.line in chosen else placed for placed in things
    ]


def _tight(rng: Generator, story: Story, room: Size, articles: Sequence[Stock], how: Manner) -> Size:
    """The room that all cartons of a consignment get: just enough for what a full one holds honestly."""
    load = LOADS[_honest(story)](rng, room, articles, how)
    heights = pack(rng, room, [content.size for content in load.units], story in _TIDY).heights
    rows, columns = np.nonzero(heights.any(axis=1))[0], np.nonzero(heights.any(axis=0))[0]
    if not len(rows):
        return room
    slack = draw(rng, (2, 24))
    return (
        (int(rows[-1]) + 1) * CELL + slack,
        (int(columns[-1]) + 1) * CELL + slack,
        float(heights.max()) + 0.5 * slack,
    )


def _on_belt(rng: Generator, things: list[Placed], turned: bool) -> Scene:
    """The carton set down: nearly straight, or, turned, any way round and on any of its sides."""
    turn = rotation("z", draw(rng, (-9, 9)))
    if turned:
        sides: tuple[tuple[Axis, float], ...] = (("x", 90.0), ("y", 90.0), ("x", 180.0), ("z", 0.0))
        turn = (rotation("z", draw(rng, (0, 360))) @ rotation(*pick(rng, sides))).astype(np.float32)
    return Scene(tuple(set_down(things, turn)))

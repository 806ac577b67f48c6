"""Luggage on the belt: one to four bags full of clutter, with or without something prohibited in them.

Much of the clutter looks like a gun, a knife or a wrench to a careless eye; none of it is labelled as one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from nii_edge.simulate import threats
from nii_edge.simulate.bulk import box_around
from nii_edge.simulate.kit import Generator, Maker, Spread, draw, pick
from nii_edge.simulate.luggage.bags import DESIGNS, HELD_OUT_BAGS, Bag, make_bag
from nii_edge.simulate.objects import (
    appliances,
    boards,
    devices,
    groceries,
    hand_tools,
    hardware,
    kitchen,
    leisure,
    soft,
    toiletries,
)
from nii_edge.simulate.scene import Placed, Scene, all_placed, corners, joined, lay, pose, shift
from nii_edge.simulate.shapes import cloth_pile, rotation
from nii_edge.simulate.solids import Part, Thing
from nii_edge.simulate.threats import bottles

__all__ = ["CLUTTER", "HELD_OUT_BAGS", "LuggageRecipe", "bag_types", "clutter_of", "make_luggage"]

CLUTTER: dict[str, dict[str, Maker]] = {
    "soft": soft.FAMILIES,
    "electronics": boards.FAMILIES | devices.FAMILIES | appliances.FAMILIES,
    "household": kitchen.FAMILIES
    | groceries.FAMILIES
    | toiletries.FAMILIES
    | leisure.FAMILIES
    | bottles.FAMILIES,
    "metal": hand_tools.FAMILIES | hardware.FAMILIES,
}
"""Everything that fills bags, by kind."""

_MOODS: tuple[dict[str, float], ...] = (
    {"soft": 5, "electronics": 1, "household": 2, "metal": 0.5},
    {"soft": 1, "electronics": 5, "household": 1, "metal": 2},
    {"soft": 0.6, "electronics": 1, "household": 1, "metal": 6},
    {"soft": 1, "electronics": 0.5, "household": 5, "metal": 0.6},
    {"soft": 2, "electronics": 2, "household": 2, "metal": 2},
)
"""How full of what a bag is: a traveller's, an engineer's, a workman's, a shopper's, anyone's."""


class LuggageRecipe(NamedTuple):
    """What luggage scenes are made of.

    Attributes:
        bags: how likely one, two, three and four bags are.
        bag_types: which there may be.
        threat_rate: the share of bags with a prohibited thing in them; a few of those get a second one.
        labels: how likely each label is among those.
        families: which families each label may be drawn from.
        clutter: how many things lie in a bag, for one of 10 litres; it grows with the square root of the room.
        bottles: the families of bottles among them; those of other recipes are not.
    """

    bags: tuple[float, float, float, float]
    bag_types: tuple[str, ...]
    threat_rate: float
    labels: dict[str, float]
    families: dict[str, tuple[str, ...]]
    clutter: Spread
    bottles: tuple[str, ...] = tuple(bottles.FAMILIES)


def clutter_of(kind: str, bottle_families: Collection[str]) -> tuple[str, ...]:
    """The names of a kind of clutter, with no bottles but these: bottles are labelled, so those held out for
    tests may be in no training picture."""
    return tuple(n for n in CLUTTER[kind] if n not in bottles.FAMILIES or n in bottle_families)


def bag_types(held_out: bool) -> tuple[str, ...]:
    """The bag types: those for tests, or those for training."""
    return tuple(name for name in DESIGNS if (name in HELD_OUT_BAGS) == held_out)


def make_luggage(recipe: LuggageRecipe, rng: Generator) -> Scene:
    """One to four bags in a row along the belt, some touching."""
    weights = np.asarray(recipe.bags) / sum(recipe.bags)
    things: tuple[Placed, ...] = ()
    start = 0.0
    for _ in range(1 + int(rng.choice(4, p=weights))):
        bag = _packed(recipe, rng)
        turn = rotation("z", draw(rng, (0, 360)))
        turned_bag = all_placed(bag, (0, 0, 0), turn)
        low, high = box_around([p.thing for p in turned_bag])
        side = draw(rng, (0, 60))
        moved_bag = all_placed(turned_bag, (start - float(low[0]), side - float(low[1]), -float(low[2])))
        things += joined(tuple(moved_bag), len(things))
        start += float(high[0] - low[0]) + draw(rng, (-25, 140))
    return Scene(things)


def _packed(recipe: LuggageRecipe, rng: Generator) -> list[Placed]:
    """One bag with its contents; the bag comes first, and all the others name it as their parcel."""
    family = pick(rng, recipe.bag_types)
    bag = make_bag(family, rng)
    things = [Placed(Thing("bag", family, bag.parts), "bag")]
    things += [Placed(thing, "clutter", parcel=0) for thing in _padding(bag, rng)]
    litres = bag.room[0] * bag.room[1] * bag.room[2] / 1e6
    count = int(draw(rng, recipe.clutter) * np.sqrt(litres / 10)) + 1
    mood = pick(rng, _MOODS)
    for _ in range(count):
        kind = str(rng.choice(list(mood), p=np.asarray(list(mood.values())) / sum(mood.values())))
        name = pick(rng, clutter_of(kind, recipe.bottles))
        thing = _fitted(Thing(name, name, CLUTTER[kind][name](rng)), bag, rng)
        if thing is not None:
            things.append(Placed(thing, "clutter", parcel=0))
    if rng.random() < recipe.threat_rate:
        for _ in range(1 + int(rng.random() < 0.15)):
            threat = _threat(recipe, bag, rng)
            if threat is not None:
                things.append(Placed(threat, "threat", parcel=0))
    return things


def _padding(bag: Bag, rng: Generator) -> list[Thing]:
    """Clothes spread over the whole bag, some bags hardly any."""
    made: list[Thing] = []
    x, y, z = bag.room
    for _ in range(int(rng.integers(0, 4))):
        high = draw(rng, (0.08, 0.35)) * z
        flat = x * draw(rng, (0.6, 0.96)), y * draw(rng, (0.6, 0.96)), high
        pile = cloth_pile(
            rng, flat, 6, draw(rng, (20, 60)), draw(rng, (0.8, 2.4)), ragged=draw(rng, (0.1, 0.5))
        )
        part = Part(pile, pick(rng, soft.FABRICS), draw(rng, (0.05, 0.22)))
        spot = draw(rng, (-0.1, 0.1)) * x, draw(rng, (-0.1, 0.1)) * y
        made.append(
            lay(Thing("clothes", "clothes", (part,)), None, *spot, bag.floor + draw(rng, (0, 0.6)) * z)
        )
    return made


def _threat(recipe: LuggageRecipe, bag: Bag, rng: Generator) -> Thing | None:
    """A prohibited thing that fits the bag; several tries, then none."""
    names = list(recipe.labels)
    chances = np.asarray([recipe.labels[name] for name in names])
    for _ in range(6):
        label = str(rng.choice(names, p=chances / chances.sum()))
        thing = threats.make(label, rng, pick(rng, recipe.families[label]))
        placed = _fitted(thing, bag, rng, 1.12)
        if placed is not None:
            return placed
    return None


def _fitted(thing: Thing, bag: Bag, rng: Generator, slack: float = 1.0) -> Thing | None:
    """The thing somewhere in the bag as it might lie there, or None if it will not go in."""
    for _ in range(5):
        turn = pose(rng)
        laid = lay(thing, turn, 0, 0, 0)
        low, high = corners(laid)
        size = high - low
        spare = np.asarray(bag.room) * slack - size
        if (spare > 0).all():
            at = rng.uniform(-0.5, 0.5, 2) * spare[:2]
            height = bag.floor + float(rng.random()) ** 1.5 * float(spare[2])
            return shift(laid, float(at[0]), float(at[1]), height)
    return None

"""Whether a carton may pass: a rule on what is in it and what its papers say, never on the drawing alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nii_edge.simulate.bulk import all_masses
from nii_edge.simulate.papers import Fault, Line
from nii_edge.simulate.scene import Scene
from nii_edge.simulate.walls import SLAB

OBJECTS = ("gun", "knife", "scissors", "wrench")
"""Labels that must not lie undeclared in a carton."""
MATERIALS = ("pressed_block", "tablets", "currency", "lithium_pack", "bottle")
"""Labels of matter that must be declared."""
EXTRA_PARCELS = 3
"""So many parcels that no paper speaks of are unmanifested shipments, no miscount."""
WEIGHT_TOLERANCE = 0.2
"""Share of the true weight by which the declared one may differ."""


def faults(scene: Scene, lines: Sequence[Line], density: Mapping[str, float]) -> frozenset[Fault]:
    """What is wrong with a carton; empty if it may pass.

    Args:
        scene: the carton and all in it.
        lines: of its house bills, in the order that `Placed.line` counts in.
        density: g/cm³ by material.
    """
    found: set[Fault] = set()
    undeclared = [placed for placed in scene.things if not placed.declared]
    labels = {placed.thing.label for placed in undeclared if placed.role == "hidden"}
    if sum(placed.role == "parcel" for placed in undeclared) >= EXTRA_PARCELS:
        found.add("undeclared_parcels")
    if labels & set(OBJECTS):
        found.add("prohibited_object")
    if SLAB in labels:
        found.add("double_wall")
    if labels & set(MATERIALS):
        found.add("undeclared_material")
    if any(placed.role == "shielding" for placed in undeclared):
        found.add("shielding")
    chapters = {int(line.hs_code[:2]) for line in lines}
    loose = [placed for placed in undeclared if placed.role == "goods" and placed.parcel < 0]
    if any(placed.thing.chapter not in chapters for placed in loose):
        found.add("other_goods")
    counted = Counter(placed.line for placed in scene.things if placed.role == "goods" and placed.declared)
    if any(counted[index] != line.quantity for index, line in enumerate(lines)):
        found.add("count")
    carried = {"goods", "parcel", "hidden", "shielding"}
    loaded = [placed.thing for placed in scene.things if placed.role in carried]
    true = sum(sum(grams.values()) for grams in all_masses(loaded, density)) / 1000
    if abs(sum(line.weight_kg for line in lines) - true) > WEIGHT_TOLERANCE * true:
        found.add("weight")
    return frozenset(found)

"""Prohibited and hidden things, as families of shapes: what training and test draw from, kept apart by family.

A family is one design with ranges to draw from; `HELD_OUT_FAMILIES` never occur in training. Things come
centred on the origin, broadside to z, longest along x, in mm.
"""

from __future__ import annotations

import numpy as np

from nii_edge.simulate.kit import Maker, pick
from nii_edge.simulate.solids import Thing
from nii_edge.simulate.threats import (
    bottles,
    contraband,
    folding_knives,
    jaw_wrenches,
    knives,
    lithium,
    machine_pistols,
    odd_guns,
    parcels,
    pistols,
    revolvers,
    scissors,
    small_wrenches,
    socket_wrenches,
    spanners,
)

_MAKERS: dict[str, dict[str, Maker]] = {
    "gun": pistols.FAMILIES | revolvers.FAMILIES | machine_pistols.FAMILIES | odd_guns.FAMILIES,
    "knife": knives.FAMILIES | folding_knives.FAMILIES,
    "scissors": scissors.FAMILIES,
    "wrench": spanners.FAMILIES | jaw_wrenches.FAMILIES | socket_wrenches.FAMILIES | small_wrenches.FAMILIES,
    "lithium_pack": lithium.FAMILIES,
    "bottle": bottles.FAMILIES,
    "pressed_block": contraband.BLOCKS,
    "inner_parcel": parcels.FAMILIES,
    "tablets": contraband.TABLETS,
    "currency": contraband.CURRENCY,
    "shielding": contraband.SHIELDING,
}

LABELS: tuple[str, ...] = tuple(_MAKERS)
"""Everything `make` knows. The first eight are the object detector's classes."""

HELD_OUT_FAMILIES: dict[str, frozenset[str]] = {
    "gun": frozenset({
        "walther_style", "early_auto", "double_stack_alloy", "air_pistol_zinc", "top_break", "single_action_army",
        "scorpion_small", "flare_gun", "frame_only",
    }),
    "knife": frozenset({
        "nakiri", "bowie", "leaf_thrower", "panga", "skinner", "lockback", "butterfly", "straight_razor",
        "plastic_sheathed",
    }),
    "scissors": frozenset({"bandage", "all_metal_tailor"}),
    "wrench": frozenset({
        "combination_stubby", "double_ring_flat", "s_shaped", "pipe_wrench", "flex_ratchet", "cross_lug", "flat_multi",
    }),
    "lithium_pack": frozenset({"tool_battery", "laptop_battery"}),
    "bottle": frozenset({"chemical_round", "spirit_flat", "steel_flask"}),
    "pressed_block": frozenset({"half_bricks"}),
    "inner_parcel": frozenset({"book_wrap"}),
    "tablets": frozenset({"loose_tablets"}),
    "currency": frozenset({"note_rolls", "vacuum_bricks"}),
    "shielding": frozenset({"lead_box"}),
}  # fmt: skip
"""About a fifth of each label's families, by hand and of all kinds: for tests only."""


def families(label: str) -> tuple[str, ...]:
    """The names of a label's families, held-out ones included.

    Raises:
        KeyError: no such label; `LABELS` has them all.
    """
    if label not in _MAKERS:
        raise KeyError(f"no shape families for the label {label!r}; there are some for {', '.join(LABELS)}")
    return tuple(_MAKERS[label])


def training_families(label: str) -> tuple[str, ...]:
    """The families that training may see."""
    return tuple(name for name in families(label) if name not in HELD_OUT_FAMILIES[label])


def make(label: str, rng: np.random.Generator, family: str | None = None) -> Thing:
    """A fresh thing of a label: of one family, or of any.

    Raises:
        KeyError: no such label, or no such family of it.
    """
    name = pick(rng, families(label)) if family is None else family
    if name not in _MAKERS[label]:
        raise KeyError(f"{label!r} has no family {name!r}; it has {', '.join(_MAKERS[label])}")
    return Thing(label, name, _MAKERS[label][name](rng))

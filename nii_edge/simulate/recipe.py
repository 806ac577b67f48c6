"""What a run of the simulator draws from, read from `configs/simulate/*.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from nii_edge.config import Config, load
from nii_edge.errors import ConfigError
from nii_edge.simulate import threats
from nii_edge.simulate.consignment import LIES, MANY_PARCELS, TWINS, ConsignmentRecipe, Story
from nii_edge.simulate.families import FAMILIES, HELD_OUT
from nii_edge.simulate.goods import HELD_OUT_GOODS, KINDS, MADE_UP
from nii_edge.simulate.judging import EXTRA_PARCELS
from nii_edge.simulate.luggage import LuggageRecipe
from nii_edge.simulate.luggage.bags import DESIGNS, HELD_OUT_BAGS
from nii_edge.simulate.made_up import made_up_scanner
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.scanner import VirtualScanner
from nii_edge.simulate.shells import PARCELS, SHIELDS, Which, Wrapped

Weight = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Number = Annotated[int, Meta(ge=0)]


class Luggage(Config, frozen=True, kw_only=True):
    """Bags on the belt. `bags`: weights of one, two, three and four of them; `labels`: weights of what is
    prohibited in them; `clutter`: fewest and most things in a bag of 10 litres."""

    bags: tuple[Weight, Weight, Weight, Weight]
    bag_types: Which
    threat_rate: Share
    labels: dict[str, Weight]
    clutter: tuple[Positive, Positive]


class Consignments(Config, frozen=True, kw_only=True):
    """Cartons and their papers. `stories`: weights; `cartons`: fewest and most under one master bill;
    `litres`: smallest and largest carton; `hidden_labels`: what may be hidden in them; `careful`: the share
    of cartons full of undeclared parcels whose papers are written to look right; `parcels`: the fewest in a
    carton of many senders' parcels; `shells`: what these are packed in, as the recipe's `families` if left
    out; `made_up_goods`: the share of articles that are of no sort there is (`goods.MADE_UP`)."""

    stories: dict[Story, Weight]
    cartons: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]]
    litres: tuple[Positive, Positive]
    goods: Which
    hidden_labels: tuple[str, ...]
    careful: Share = 0.0
    parcels: Annotated[int, Meta(ge=EXTRA_PARCELS + 1)] = MANY_PARCELS
    shells: Wrapped | None = None
    made_up_goods: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Recipe(Config, frozen=True, kw_only=True):
    """The whole of it. `families`: which shape families there are of prohibited things, of the packaging of
    parcels and of shielding; `scanners` and `displays`: which scanners see them, and on which makers'
    displays pictures are drawn; `made_up_scanners`: the numbers of scanners besides, the first and the one
    behind the last, that are made up (`made_up_scanner`)."""

    version: Literal[1]
    name: str
    families: Which
    scanners: Which
    displays: Which
    luggage: Luggage
    consignments: Consignments
    made_up_scanners: tuple[Number, Number] = (0, 0)

    def __post_init__(self) -> None:
        _known("luggage.labels", self.luggage.labels, threats.LABELS)
        _known("consignments.hidden_labels", self.consignments.hidden_labels, threats.LABELS)
        _some_weight("luggage.labels", self.luggage.labels.values())
        _some_weight("luggage.bags", self.luggage.bags)
        _some_weight("consignments.stories", self.consignments.stories.values())
        spans = (
            ("luggage.clutter", self.luggage.clutter), ("consignments.cartons", self.consignments.cartons),
            ("consignments.litres", self.consignments.litres), ("made_up_scanners", self.made_up_scanners),
        )  # fmt: skip
        for path, (low, high) in spans:
            if low > high:
                raise ValueError(f"{path}: [{low}, {high}]; expected the smaller one first")

    def makes(self) -> tuple[VirtualScanner, ...]:
        """The virtual scanners."""
        held_out = frozenset(name for name, scanner in SCANNERS.items() if scanner.held_out)
        described = tuple(SCANNERS[name] for name in _chosen(SCANNERS, held_out, self.scanners))
        return described + tuple(made_up_scanner(number) for number in range(*self.made_up_scanners))

    def display_families(self) -> tuple[str, ...]:
        """The makers' displays, keys of `simulate.families.FAMILIES`."""
        return _chosen(FAMILIES, frozenset(HELD_OUT), self.displays)

    def for_luggage(self) -> LuggageRecipe:
        """What `luggage.make_luggage` takes."""
        return LuggageRecipe(
            bags=self.luggage.bags,
            bag_types=_chosen(DESIGNS, HELD_OUT_BAGS, self.luggage.bag_types),
            threat_rate=self.luggage.threat_rate,
            labels=dict(self.luggage.labels),
            families={label: families(label, self.families) for label in self.luggage.labels},
            clutter=self.luggage.clutter,
            bottles=families("bottle", self.families),
        )

    def for_consignments(self) -> ConsignmentRecipe:
        """What `consignment.make_consignment` takes."""
        sorts = _chosen([kind for kind in KINDS if kind != MADE_UP], HELD_OUT_GOODS, self.consignments.goods)
        share = self.consignments.made_up_goods
        return ConsignmentRecipe(
            stories=dict(self.consignments.stories),
            cartons=self.consignments.cartons,
            litres=self.consignments.litres,
            goods=sorts + (MADE_UP,) * round(len(sorts) * share / (1 - share)),
            families={label: families(label, self.families) for label in self.consignments.hidden_labels},
            shells=PARCELS[self.consignments.shells or self.families],
            shields=SHIELDS[self.families],
            careful=self.consignments.careful,
            parcels=self.consignments.parcels,
        )


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: names the file, the path inside it, and what was expected.
    """
    recipe = load(path, Recipe)
    lies = {story for story, weight in recipe.consignments.stories.items() if weight and story in LIES}
    twins = {story for story, weight in recipe.consignments.stories.items() if weight and story in TWINS}
    if lies and not twins:
        raise ConfigError(f"{path}: $.consignments.stories: only lies; add honest ones: {', '.join(TWINS)}")
    return recipe


def families(label: str, which: Which) -> tuple[str, ...]:
    """The families of a label."""
    return _chosen(threats.families(label), threats.HELD_OUT_FAMILIES[label], which)


def _chosen(every: Iterable[str], held_out: frozenset[str], which: Which) -> tuple[str, ...]:
    if which == "all":
        return tuple(every)
    return tuple(name for name in every if (name in held_out) == (which == "held_out"))


def _known(path: str, labels: Iterable[str], every: tuple[str, ...]) -> None:
    unknown = sorted(set(labels) - set(every))
    if unknown:
        raise ValueError(f"{path}: no shapes for {', '.join(unknown)}; there are some for {', '.join(every)}")


def _some_weight(path: str, weights: Iterable[float]) -> None:
    if not sum(weights) > 0:
        raise ValueError(f"{path}: all weights are 0; give at least one of them some")

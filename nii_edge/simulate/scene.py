"""Scenes: things laid on the belt, and what is true of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.bulk import all_masses, all_moved, box_around, parts_of, vertices_of, with_vertices
from nii_edge.simulate.kit import draw
from nii_edge.simulate.shapes import merge, rotation
from nii_edge.simulate.shapes.transform import Matrix
from nii_edge.simulate.solids import Part, Points, Thing

Role = Literal["bag", "clutter", "threat", "carton", "fill", "parcel", "goods", "hidden", "shielding"]
Size = tuple[float, float, float]


class Placed(NamedTuple):
    """A thing where it lies, and what it is there for.

    Attributes:
        declared: whether the papers of its carton speak of it (goods and parcels; packaging never is).
        line: the house-bill line it was declared on, or was meant to be; -1 for none.
        parcel: index in the scene of the parcel or bag it lies in; -1 if it lies in none.
    """

    thing: Thing
    role: Role
    declared: bool = False
    line: int = -1
    parcel: int = -1


class Scene(NamedTuple):
    """Everything that passes the scanner together. Millimetres; the belt is at z = 0, and x runs from 0."""

    things: tuple[Placed, ...]

    @property
    def size(self) -> Size:
        """The far corner of the box from the origin around it all."""
        high = box_around([placed.thing for placed in self.things])[1]
        return float(high[0]), float(high[1]), float(high[2])


class Truth(NamedTuple):
    """What is true of one thing. `material`: the one it has most of; `mass` in g; `box`: (2, 3) corners;
    `parcel`: as `Placed`."""

    label: str
    family: str
    role: Role
    material: str
    mass: float
    declared: bool
    line: int
    box: Points
    parcel: int


def corners(thing: Thing) -> Points:
    """(2, 3): the lowest and the highest corner of the box around a thing."""
    return box_around([thing])


def lay(thing: Thing, turn: Matrix | None, x: float, y: float, z: float) -> Thing:
    """The thing turned about its own middle, its box centred over (x, y), its lowest point at `z`."""
    there = thing if turn is None else all_moved([thing], (0, 0, 0), turn)[0]
    low, high = corners(there)
    return shift(there, x - float(low[0] + high[0]) / 2, y - float(low[1] + high[1]) / 2, z - float(low[2]))


def shift(thing: Thing, x: float, y: float, z: float) -> Thing:
    """The thing moved as it is."""
    return all_moved([thing], (x, y, z))[0]


def all_placed(things: Sequence[Placed], step: npt.ArrayLike, turn: Matrix | None = None) -> list[Placed]:
    """Placed things turned together about the origin if there is a `turn`, then moved by `step` (3,) mm."""
    there = all_moved([placed.thing for placed in things], step, turn)
    return [placed._replace(thing=thing) for placed, thing in zip(things, there, strict=True)]


def set_down(things: Sequence[Placed], turn: Matrix) -> list[Placed]:
    """Placed things turned together about the origin, then moved until the box around them begins there."""
    bare = [placed.thing for placed in things]
    vertices = vertices_of(parts_of(bare)) @ turn.T.astype(np.float32, copy=False)
    there = with_vertices(bare, vertices - vertices.min(axis=0))
    return [placed._replace(thing=thing) for placed, thing in zip(things, there, strict=True)]


def pose(rng: np.random.Generator, steep: float = 0.1, tilted: float = 0.25) -> Matrix:
    """A way of lying: any heading, either face up; mostly within 20 degrees of flat.

    `tilted`: how often up to 50 degrees; `steep`: how often anything, all tilts alike, up to on end.
    """
    kind = rng.random()
    limit = 90.0 if kind < steep else 50.0 if kind < steep + tilted else 20.0
    tilt, flatter = draw(rng, (-limit, limit)), float(rng.random()) ** 0.5
    tilt *= 1.0 if kind < steep else flatter
    face = 180.0 * float(rng.integers(2))
    roll = draw(rng, (-1, 1)) * limit / 2
    heading = rotation("z", draw(rng, (0, 360)))
    return (heading @ rotation("y", tilt) @ rotation("x", face + roll)).astype(np.float32)


def mass(thing: Thing, density: Mapping[str, float]) -> float:
    """Grams in all. Raises KeyError if `density` (g/cm³) lacks one of the thing's materials."""
    return sum(all_masses([thing], density)[0].values())


def truths(scene: Scene, density: Mapping[str, float]) -> tuple[Truth, ...]:
    """One record per placed thing, in the scene's order."""
    made = []
    things = [placed.thing for placed in scene.things]
    for placed, by_material in zip(scene.things, all_masses(things, density), strict=True):
        thing = placed.thing
        made.append(Truth(
            thing.label, thing.family, placed.role, max(by_material, key=lambda name: by_material[name]),
            sum(by_material.values()), placed.declared, placed.line, corners(thing), placed.parcel,
        ))  # fmt: skip
    return tuple(made)


def joined(things: tuple[Placed, ...], first: int) -> tuple[Placed, ...]:
    """The same things, their `parcel` indices counted on from `first`: to put scenes one after another."""
    return tuple(p._replace(parcel=p.parcel + first) if p.parcel >= 0 else p for p in things)


def by_material(scene: Scene) -> tuple[Part, ...]:
    """All matter of a scene in one part per material and fill: enough for a picture without labels."""
    kinds: dict[tuple[str, float], list[Part]] = {}
    for placed in scene.things:
        for part in placed.thing.parts:
            kinds.setdefault((part.material, part.fill), []).append(part)
    return tuple(Part(merge([p.mesh for p in parts]), *kind) for kind, parts in kinds.items())

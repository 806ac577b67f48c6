"""Single simulated things as small maps of two basis materials, to compose any number of scenes from.

Whatever is not a heavy metal weakens X-rays of these energies as some mixture of polyethylene and steel does
(Alvarez and Macovski, Phys. Med. Biol. 21, 1976). So a thing is kept as two maps in g/cm2, and a scene is
their sum: a new bag costs milliseconds where a simulated scan takes a second, and hardening of the beam is
right again because the sum, not each picture, goes through the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from nii_edge.errors import SceneError
from nii_edge.simulate import goods, threats
from nii_edge.simulate.consignment import make_consignment
from nii_edge.simulate.detector import Layers, absorbed_shares
from nii_edge.simulate.geometry import View
from nii_edge.simulate.kit import pick
from nii_edge.simulate.luggage import CLUTTER, clutter_of
from nii_edge.simulate.luggage.bags import make_bag
from nii_edge.simulate.materials import DENSITIES, mass_attenuation
from nii_edge.simulate.produce import shape_of
from nii_edge.simulate.project import footprint
from nii_edge.simulate.recipe import Recipe
from nii_edge.simulate.scene import Placed, corners, lay, pose, shift
from nii_edge.simulate.shapes import rotation
from nii_edge.simulate.solids import Part, Thing
from nii_edge.simulate.spectrum import Tube, spectrum
from nii_edge.simulate.threats import bottles

Floats = npt.NDArray[np.float32]
Kind = Literal["threat", "clutter", "bag", "carton"]

PITCH_MM = 1.25
"""Of a sprite's square pixels."""
CLASSES: tuple[str, ...] = threats.LABELS[:8]
"""What the shipped detector tells apart."""
SHAPED = 0.4
"""How many consignments are of goods that have the shape of a class."""
SEEN_AREAL = 0.02
"""g/cm2 from which a thing counts for its box: a sheet of paper."""
_REACH_MM = 1400.0
_BASIS = ("polyethylene", "steel")
_ENERGIES = np.arange(25.0, 160.0, 2.5)


class Marked(NamedTuple):
    """A thing of a class within a sprite: (x0, y0, x1, y1) in its pixels."""

    label: str
    box: tuple[int, int, int, int]


class Sprite(NamedTuple):
    """`areal` float16 (2, height, width): polyethylene and steel in g/cm2. `name`: its family. `marked`: what
    of it is of a class. `room`: (height, width) in pixels where more fits in, 0 for what is not a bag.
    `side`: seen from the side instead of from above, columns being heights."""

    kind: Kind
    name: str
    areal: npt.NDArray[np.float16]
    marked: tuple[Marked, ...]
    room: tuple[float, float] = (0.0, 0.0)
    side: bool = False


@lru_cache(maxsize=512)
def basis(material: str) -> tuple[float, float]:
    """Grams of polyethylene and of steel that weaken X-rays as a gram of `material` does, none below 0."""
    weights = np.interp(_ENERGIES, *_seen_spectrum()) ** 0.5
    columns = np.stack([mass_attenuation(name, _ENERGIES) for name in _BASIS], axis=1)
    shares, _ = nnls(columns * weights[:, None], mass_attenuation(material, _ENERGIES) * weights)
    return float(shares[0]), float(shares[1])


@lru_cache(maxsize=1)
def _seen_spectrum() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    source = spectrum(Tube(160.0))
    seen = (source.photons * absorbed_shares(source.energies, Layers())).sum(axis=0)
    return source.energies, seen / seen.max()


_VIEW = View("flat", None, ((-_REACH_MM / 2, _REACH_MM), (_REACH_MM / 2, _REACH_MM)), PITCH_MM, 64, 0.0)


def flatten(things: list[Thing]) -> tuple[Floats, list[tuple[int, int, Floats]]]:
    """All things from above, in their smallest common window, and each one's own (top, left, areal (2, h,
    w))."""
    low = np.min([corners(thing)[0] for thing in things], axis=0)
    high = np.max([corners(thing)[1] for thing in things], axis=0)
    lines = np.arange(float(low[0]) - PITCH_MM, float(high[0]) + 2 * PITCH_MM, PITCH_MM)
    middle = -float(low[1] + high[1]) / 2
    parts: list[tuple[int, int, Floats]] = []
    for thing in things:
        print_ = footprint(shift(thing, 0.0, middle, 0.0), _VIEW, lines)
        shares = np.array([basis(name) for name in print_.materials], np.float32).T
        parts.append((print_.top, print_.left, np.tensordot(shares, print_.areal, 1).astype(np.float32)))
    solid = [part for part in parts if part[2].size]
    if not solid:
        raise SceneError(f"{things[0].label}: no ray meets it")
    top, left = min(part[0] for part in solid), min(part[1] for part in solid)
    bottom = max(part[0] + part[2].shape[1] for part in solid)
    right = max(part[1] + part[2].shape[2] for part in solid)
    whole = np.zeros((2, bottom - top, right - left), np.float32)
    for y, x, areal in solid:
        whole[:, y - top : y - top + areal.shape[1], x - left : x - left + areal.shape[2]] += areal
    placed = [(y - top, x - left, areal) for y, x, areal in parts]
    return np.maximum(whole, 0), placed


def _half(areal: Floats) -> npt.NDArray[np.float16]:
    return np.minimum(areal, 6e4).astype(np.float16)


def _marks(label: str, top: int, left: int, areal: Floats) -> Marked | None:
    seen = areal.sum(axis=0) > SEEN_AREAL
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    return Marked(
        label,
        (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1),
    )


def threat_sprite(label: str, family: str, rng: np.random.Generator, side: bool) -> Sprite:
    """One prohibited thing, lying somehow, from above or from the side."""
    thing = lay(threats.make(label, rng, family), pose(rng), 0, 0, 0)
    if side:
        thing = _tipped(thing)
    whole, parts = flatten([thing])
    mark = _marks(label, *parts[0])
    return Sprite("threat", family, _half(whole), (mark,) if mark else (), side=side)


def clutter_sprite(kind: str, rng: np.random.Generator, side: bool) -> Sprite:
    """One lawful thing of a kind of clutter. Bottles are marked: a bottle is one whoever packed it."""
    name = pick(rng, clutter_of(kind, threats.training_families("bottle")))
    thing = lay(Thing(name, name, CLUTTER[kind][name](rng)), pose(rng), 0, 0, 0)
    if side:
        thing = _tipped(thing)
    whole, parts = flatten([thing])
    mark = _marks("bottle", *parts[0]) if name in bottles.FAMILIES else None
    return Sprite("clutter", name, _half(whole), (mark,) if mark else (), side=side)


def bag_sprite(name: str, rng: np.random.Generator, side: bool) -> Sprite:
    """An empty bag from above or from the side."""
    bag = make_bag(name, rng)
    thing, room = Thing("bag", name, bag.parts), (bag.room[0], bag.room[1])
    if side:
        thing, room = lay(thing, rotation("x", 90.0), 0, 0, 0), (bag.room[0], bag.room[2])
    whole, _ = flatten([thing])
    return Sprite("bag", name, _half(whole), (), (room[0] / PITCH_MM, room[1] / PITCH_MM), side)


def _goods(recipe: Recipe, rng: np.random.Generator) -> tuple[str, ...]:
    """All sorts of goods, or only those that have the shape of a class: whoever declared it, a carton of
    kitchen knives shows knives, many of them."""
    every = recipe.for_consignments().goods
    shapes = tuple(name for name in every if goods.shape_of(name) in CLASSES)
    return shapes if shapes and rng.random() < SHAPED else every


def carton_sprites(recipe: Recipe, rng: np.random.Generator) -> Iterator[Sprite]:
    """Cartons of one consignment, from above or from the side."""
    wanted = recipe.for_consignments()._replace(goods=_goods(recipe, rng))
    for carton in make_consignment(wanted, rng, DENSITIES).cartons[:3]:
        placed = list(carton.scene.things)
        side = bool(rng.random() < 0.5)
        if side:
            placed = [p._replace(thing=_tipped(p.thing)) for p in placed]
        whole, parts = flatten([p.thing for p in placed])
        marks = [_carton_mark(p, part) for p, part in zip(placed, parts, strict=True)]
        room = (0.8 * whole.shape[1], 0.8 * whole.shape[2])
        yield Sprite("carton", carton.lie or "honest", _half(whole), tuple(m for m in marks if m), room, side)


def _carton_mark(placed: Placed, part: tuple[int, int, Floats]) -> Marked | None:
    label = shape_of(placed)
    return _marks(label, *part) if label in CLASSES else None


def _tipped(thing: Thing) -> Thing:
    """Seen from the side: turned by a quarter about the belt's direction."""
    turn = rotation("x", 90.0)
    return thing._replace(
        parts=tuple(
            Part(part.mesh._replace(vertices=part.mesh.vertices @ turn.T), part.material, part.fill)
            for part in thing.parts
        )
    )


def save(path: Path, sprites: list[Sprite]) -> None:
    """All sprites in one archive without pickles."""
    flat = np.concatenate([sprite.areal.ravel() for sprite in sprites])
    marks = [[mark.label, *map(str, mark.box)] for sprite in sprites for mark in sprite.marked]
    np.savez(
        path,
        areal=flat,
        shapes=np.array([sprite.areal.shape[1:] for sprite in sprites], np.int32),
        kinds=np.array([sprite.kind for sprite in sprites]),
        names=np.array([sprite.name for sprite in sprites]),
        rooms=np.array([sprite.room for sprite in sprites], np.float32),
        sides=np.array([sprite.side for sprite in sprites], np.bool_),
        counts=np.array([len(sprite.marked) for sprite in sprites], np.int32),
        marks=np.array(marks if marks else np.empty((0, 5), "U1")),
    )


def read(path: Path) -> list[Sprite]:
    """What `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        flat, marks = archive["areal"], archive["marks"]
        columns = ("shapes", "kinds", "names", "rooms", "counts", "sides")
        rows = zip(*(archive[name] for name in columns), strict=True)
        made, at, mark = [], 0, 0
        for (height, width), kind, name, room, count, side in rows:
            size = 2 * int(height) * int(width)
            own = tuple(
                Marked(str(row[0]), (int(row[1]), int(row[2]), int(row[3]), int(row[4])))
                for row in marks[mark : mark + count]
            )
            areal = flat[at : at + size].reshape(2, height, width)
            wide = float(room[0]), float(room[1])
            made.append(Sprite(str(kind), str(name), areal, own, wide, bool(side)))  # type: ignore[arg-type]
            at, mark = at + size, mark + int(count)
    return made

"""Scenes out of sprites, as pictures: what the shipped detector learns from.

A bag or carton, what lies in it, and what is prohibited are added up in grams of basis material, go through
the spectrum, the detector and the calibration of one of the training scanners, and are drawn on a maker's
display, or as this project's own front end colours counts. Every picture is another scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import DataError
from nii_edge.learn.sprites import CLASSES, PITCH_MM, Marked, Sprite
from nii_edge.simulate.calibrated import Calibrated, calibrated
from nii_edge.simulate.detector import transmissions
from nii_edge.simulate.display import TRAINING, draw_display, render
from nii_edge.simulate.kit import pick
from nii_edge.simulate.scanner import VirtualScanner
from nii_edge.xray.material import look_up
from nii_edge.xray.render import pseudo_colour

Floats = npt.NDArray[np.float32]
Rgb = npt.NDArray[np.uint8]

GRID = 192
MAX_AREAL = 90.0
"""g/cm2 of each basis material where the table ends."""
SEEN = 0.02
HIDDEN_T = 0.003
"""Mean transmission below which a thing is taken as not to be seen, and neither taught nor punished."""
DEPTH = np.array((0.18, 0.42), np.float32)
"""About -ln T_high of a g/cm2 of each basis material."""
BLIND_DEPTH, BLIND_SHARE = 4.3, 0.6
"""A thing with more than this share of its area behind more than this -ln T counts as hidden too: displays
show less than 1/70 of their ground as black."""
CARTONS = 0.3
"""The share of cartons among them."""
ABOVE_MM, SIDE_MM = 120.0, 350.0
"""How far a bag reaches along the rays, from above and from the side: how much lies in it depends on that."""
GOODS = 0.4
"""The share of cartons that are full of one thing, in rows and layers, as goods are packed."""
PIECES = (0.6, 0.28, 0.12)
"""How often one, two and three bags or cartons lie together: longer rows are looked at in pieces."""
IGNORED = ""
CLUTTER_MOODS: tuple[tuple[float, float], ...] = ((2, 8), (4, 16), (8, 26))
THREAT_WEIGHTS: dict[str, float] = {
    "gun": 3, "knife": 4, "wrench": 4, "scissors": 2.5, "lithium_pack": 1.5, "bottle": 1.0,
    "pressed_block": 1.5, "inner_parcel": 0.6, "tablets": 0.3, "currency": 0.3,
}  # fmt: skip


class Kit(NamedTuple):
    """Sprites of one direction of view. `threats`: by label and family; `side`: seen from the side."""

    threats: dict[str, dict[str, list[Sprite]]]
    clutter: list[Sprite]
    bags: list[Sprite]
    cartons: list[Sprite]
    side: bool


Piece = tuple[Floats, list[Marked]]
"""g/cm2 of the basis materials (2, height, width), and what of it is of a class."""


class Table(NamedTuple):
    """`signal` (GRID, GRID, 2): transmission of low and high; rows polyethylene, columns steel, by root."""

    unit: Calibrated
    signal: Floats
    photons: float


class Composed(NamedTuple):
    """`rgb` (height, width, 3) uint8; `boxes` (n, 4) x0 y0 x1 y1 in its pixels; `labels` (n,) index into
    `CLASSES`, -1 for what is to be ignored."""

    rgb: Rgb
    boxes: Floats
    labels: npt.NDArray[np.int64]


def table_of(scanner: VirtualScanner) -> Table:
    """What a scanner measures behind any amounts of the basis materials."""
    steps = np.linspace(0, 1, GRID) ** 2 * MAX_AREAL
    areal = np.stack(np.meshgrid(steps, steps, indexing="ij")).astype(np.float32)
    signal = transmissions(areal, ("polyethylene", "steel"), scanner.tube, scanner.layers)[:2]
    return Table(calibrated(scanner), np.ascontiguousarray(np.moveaxis(signal, 0, -1)), scanner.photons)


class Composer:
    """Draws scenes. `sprites`: objects, bags and cartons; `scanners`: who sees them."""

    def __init__(self, sprites: Sequence[Sprite], scanners: Sequence[VirtualScanner]) -> None:
        self._kits = [_kit([sprite for sprite in sprites if sprite.side == side]) for side in (False, True)]
        self._tables = [table_of(scanner) for scanner in scanners]

    def scene(self, rng: np.random.Generator, side: int) -> Composed:
        """One picture of at most about `side` pixels."""
        pieces = [self._piece(rng) for _ in range(1 + int(rng.choice(len(PIECES), p=PIECES)))]
        areal, marks = _row(pieces, rng)
        return self._shown(areal, marks, rng, side)

    def alone(self, sprite: Sprite, rng: np.random.Generator) -> Floats:
        """A sprite by itself on some display, as shares 0-1 of the empty belt's colour (height, width, 3)."""
        areal = np.pad(sprite.areal.astype(np.float32), ((0, 0), (6, 6), (6, 6)))
        shown = self._shown(areal, [], rng, max(areal.shape[1:]), noisy=False).rgb.astype(np.float32)
        edges = np.concatenate([shown[:3].reshape(-1, 3), shown[-3:].reshape(-1, 3)])
        share: Floats = np.minimum(shown / np.maximum(np.median(edges, axis=0), 1), 1).astype(np.float32)
        return share

    def _piece(self, rng: np.random.Generator) -> Piece:
        """A bag or a carton, from above or from the side, as far as there are sprites of such."""
        kits = [kit for kit in self._kits if kit.threats and (kit.cartons or (kit.bags and kit.clutter))]
        if not kits:
            raise DataError("the sprites make no scene: threats, and bags with clutter or cartons are needed")
        kit = pick(rng, kits)
        if not (kit.bags and kit.clutter) or (kit.cartons and rng.random() < CARTONS):
            return _full(kit, rng) if rng.random() < GOODS else _carton(kit, rng)
        return _bag(kit, rng)

    def _shown(
        self, areal: Floats, marks: list[Marked], rng: np.random.Generator, side: int, noisy: bool = True
    ) -> Composed:
        own = noisy and rng.random() < 0.2
        stretch = np.exp(rng.normal(0, 0.12, 2))
        share = side / max(areal.shape[1] * stretch[0], areal.shape[2] * stretch[1])
        size = [max(32, round(n * s * share)) for n, s in zip(areal.shape[1:], stretch, strict=True)]
        small = cv2.resize(np.moveaxis(areal, 0, -1), (size[1], size[0]), interpolation=cv2.INTER_AREA)
        table = self._tables[int(rng.integers(len(self._tables)))]
        planes = _measured(small, table, rng)
        optics = table.unit.optics[int(rng.integers(len(table.unit.optics)))]
        if own and optics.colours is not None:
            rgb = np.ascontiguousarray(pseudo_colour(planes, optics.colours)[:, :, ::-1])
        else:
            assert optics.materials is not None  # noqa: S101 - wedges are always scanned
            display = draw_display(rng, TRAINING[int(rng.integers(len(TRAINING)))])
            display = display._replace(resample=(1.0, 1.0))
            if not noisy:
                display = display._replace(cursor=False, frames=0, grain=0.0, streaks=0.0)
            material = look_up(planes, optics.materials)
            opacity = -np.log(np.maximum(planes[1], np.float32(1e-6)))
            rgb = render(np.stack([opacity, material.z]), display, rng)
        scale = np.array([size[1] / areal.shape[2], size[0] / areal.shape[1]] * 2, np.float32)
        boxes = np.array([mark.box for mark in marks], np.float32).reshape(-1, 4) * scale
        labels = np.array([-1 if m.label == IGNORED else CLASSES.index(m.label) for m in marks], np.int64)
        for index, (x0, y0, x1, y1) in enumerate(boxes.round().astype(int)):
            if planes[1, y0:y1, x0:x1].size and planes[1, y0:y1, x0:x1].mean() < HIDDEN_T:
                labels[index] = -1
        return Composed(rgb, boxes, labels)


def _kit(sprites: Sequence[Sprite]) -> Kit:
    threats: dict[str, dict[str, list[Sprite]]] = {}
    for sprite in sprites:
        if sprite.kind == "threat":
            label = sprite.marked[0].label if sprite.marked else "nothing"
            threats.setdefault(label, {}).setdefault(sprite.name, []).append(sprite)
    clutter, bags, cartons = (
        [sprite for sprite in sprites if sprite.kind == kind] for kind in ("clutter", "bag", "carton")
    )
    return Kit(threats, clutter, bags, cartons, bool(sprites and sprites[0].side))


def _bag(kit: Kit, rng: np.random.Generator) -> Piece:
    """A bag, what lies in it, and perhaps what is prohibited."""
    bag = pick(rng, kit.bags)
    canvas, middle, marks = _on_canvas(bag, 60)
    canvas *= np.float32(rng.uniform(0.6, 1.6))
    low, high = CLUTTER_MOODS[int(rng.integers(len(CLUTTER_MOODS)))]
    litres = bag.room[0] * bag.room[1] * PITCH_MM**2 * (SIDE_MM if kit.side else ABOVE_MM) / 1e6
    tidy = rng.random() < 0.15
    kinds = None if rng.random() < 0.5 else {pick(rng, kit.clutter).name for _ in range(6)}
    pool = kit.clutter if kinds is None else [s for s in kit.clutter if s.name in kinds]
    for _ in range(0 if tidy else int(rng.uniform(low, high) * np.sqrt(litres / 10)) + 1):
        sprite = pick(rng, pool)
        _add(canvas, marks, sprite, _varied(sprite.areal, _turn(kit.side, rng), rng), middle, bag.room, rng)
    _threaten(canvas, marks, kit, middle, bag.room, rng, 0.8)
    return canvas, marks


def _carton(kit: Kit, rng: np.random.Generator) -> Piece:
    """A carton that was simulated with its goods, and perhaps something prohibited in it."""
    carton = pick(rng, kit.cartons)
    canvas, middle, marks = _on_canvas(carton, 30)
    canvas *= np.float32(rng.uniform(0.7, 1.3))
    _threaten(canvas, marks, kit, middle, carton.room, rng, 0.65)
    return canvas, marks


def _full(kit: Kit, rng: np.random.Generator) -> Piece:
    """A carton full of one thing, in rows, columns and layers; its last rows may be empty."""
    sprite = _a_threat(kit, rng)
    turn = float(90 * rng.integers(4) + rng.normal(0, 3))
    one = _varied(sprite.areal, turn, rng)
    height, width = one.shape[1:]
    gaps = rng.uniform(-0.15, 0.25, 2) * min(height, width)
    pitch = max(height + gaps[0], 4.0), max(width + gaps[1], 4.0)
    count = [int(np.clip(rng.uniform(80, 420) / each, 1, 12)) for each in pitch]
    layers = 1 + int(rng.choice(4, p=(0.35, 0.3, 0.2, 0.15)))
    last = int(np.ceil(count[0] * (1.0 if rng.random() < 0.6 else rng.uniform(0.3, 1))))
    inner = [int(n * each + 8) for n, each in zip(count, pitch, strict=True)]
    canvas = np.zeros((2, inner[0] + 60, inner[1] + 60), np.float32)
    _board(canvas[:, 26:-26, 26:-26], rng)
    heights = 1 + np.arange(layers) * float(rng.uniform(0.005, 0.06))  # nearer to the tube is larger
    whole, taken = canvas.shape[1:], []
    for layer, row, column in itertools.product(range(layers), range(last), range(count[1])):
        if rng.random() < 0.02:
            continue
        shaken = rng.normal(0, 1.0, 2)
        place = [
            n / 2 + ((k - (m - 1) / 2) * each) * heights[layer] + s
            for n, k, m, each, s in zip(whole, (row, column), count, pitch, shaken, strict=True)
        ]
        top, left = round(place[0] - height / 2), round(place[1] - width / 2)
        if top < 0 or left < 0 or top + height > whole[0] or left + width > whole[1]:
            continue
        part = one[:, :, ::-1] if rng.random() < 0.05 else one
        canvas[:, top : top + height, left : left + width] += part
        taken.append((part, top, left))
    marks: list[Marked] = []
    for part, top, left in taken:
        _mark(marks, sprite, canvas[:, top : top + height, left : left + width] - part, part, (top, left))
    return canvas, marks


def _board(canvas: Floats, rng: np.random.Generator) -> None:
    """A carton's walls: two of them seen flat, four edge-on."""
    board = float(rng.uniform(0.04, 0.16))
    canvas[0] += 2 * board
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:2], np.s_[-2:]):
        canvas[0][edge] += board * float(rng.uniform(8, 25))


def _a_threat(kit: Kit, rng: np.random.Generator) -> Sprite:
    names = [name for name in THREAT_WEIGHTS if name in kit.threats]
    weights = np.array([THREAT_WEIGHTS[name] for name in names])
    families = kit.threats[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    return pick(rng, families[pick(rng, sorted(families))])


def _threaten(
    canvas: Floats, marks: list[Marked], kit: Kit, middle: tuple[float, float], room: tuple[float, float],
    rng: np.random.Generator, rate: float,
) -> None:  # fmt: skip
    if rng.random() >= rate:
        return
    for _ in range(1 + int(rng.choice(4, p=(0.45, 0.3, 0.17, 0.08)))):
        sprite = _a_threat(kit, rng)
        _add(canvas, marks, sprite, _varied(sprite.areal, _turn(kit.side, rng), rng), middle, room, rng)


def _add(
    canvas: Floats, marks: list[Marked], sprite: Sprite, areal: Floats, middle: tuple[float, float],
    room: tuple[float, float], rng: np.random.Generator,
) -> None:  # fmt: skip
    height, width = areal.shape[1:]
    if height > room[0] * 1.15 and width > room[1] * 1.15 and rng.random() < 0.8:
        return
    spare = max(room[0] - height, 12.0), max(room[1] - width, 12.0)
    top = round(middle[0] + float(rng.uniform(-0.5, 0.5)) * spare[0] - height / 2)
    left = round(middle[1] + float(rng.uniform(-0.5, 0.5)) * spare[1] - width / 2)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, canvas.shape[1]), min(left + width, canvas.shape[2])
    if y1 - y0 < 0.7 * height or x1 - x0 < 0.7 * width:
        return
    part = areal[:, y0 - top : y1 - top, x0 - left : x1 - left]
    _mark(marks, sprite, canvas[:, y0:y1, x0:x1], part, (y0, x0))
    canvas[:, y0:y1, x0:x1] += part


def _mark(marks: list[Marked], sprite: Sprite, others: Floats, part: Floats, at: tuple[int, int]) -> None:
    """The box of a thing of a class whose top left corner lies `at`; `others`: what else lies there."""
    if not sprite.marked or sprite.marked[0].label not in CLASSES:
        return
    seen = part.sum(axis=0) > SEEN
    if not seen.any():
        return
    blind = float((np.tensordot(DEPTH, others, 1)[seen] > BLIND_DEPTH).mean()) > BLIND_SHARE
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    y, x = at
    box = x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1
    marks.append(Marked(IGNORED if blind else sprite.marked[0].label, box))


def _turn(side: bool, rng: np.random.Generator) -> float:
    """Degrees by which a thing is turned in its picture: any from above; from the side things lie flat, most
    of them, either way round."""
    if not side or rng.random() < 0.15:
        return float(rng.uniform(0, 360))
    return float(180 * rng.integers(2) + rng.normal(0, 12))


def _on_canvas(sprite: Sprite, margin: int) -> tuple[Floats, tuple[float, float], list[Marked]]:
    height, width = sprite.areal.shape[1:]
    canvas = np.zeros((2, height + 2 * margin, width + 2 * margin), np.float32)
    canvas[:, margin : margin + height, margin : margin + width] = sprite.areal
    marks = [
        mark._replace(box=tuple(value + margin for value in mark.box))  # type: ignore[arg-type]
        for mark in sprite.marked
    ]
    return canvas, (canvas.shape[1] / 2, canvas.shape[2] / 2), marks


def _varied(areal: npt.NDArray[np.float16], angle: float, rng: np.random.Generator) -> Floats:
    """Turned by `angle` degrees, mirrored or not, a little larger or smaller, more or less of the same
    material."""
    values = np.moveaxis(areal.astype(np.float32), 0, -1)
    if rng.random() < 0.5:
        values = values[:, ::-1]
    height, width = values.shape[:2]
    scale = float(np.exp(rng.normal(0, 0.12)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    wide, high = int(height * sin + width * cos) + 2, int(height * cos + width * sin) + 2
    matrix[:, 2] += (wide - width) / 2, (high - height) / 2
    turned = cv2.warpAffine(np.ascontiguousarray(values), matrix, (wide, high), flags=cv2.INTER_LINEAR)
    turned *= np.float32(np.exp(rng.normal(0, 0.2)))
    result: Floats = np.moveaxis(turned, -1, 0)
    return result


def _row(pieces: list[tuple[Floats, list[Marked]]], rng: np.random.Generator) -> tuple[Floats, list[Marked]]:
    """Pieces side by side, quarter-turned and mirrored as may be, cropped to what is in them."""
    turned = [_turned(*piece, rng) for piece in pieces]
    height = max(areal.shape[1] for areal, _ in turned)
    gap = int(rng.integers(-10, 60))
    width = sum(areal.shape[2] for areal, _ in turned) + gap * (len(turned) - 1)
    whole = np.zeros((2, height, max(width, 8)), np.float32)
    marks: list[Marked] = []
    at = 0
    for areal, own in turned:
        top = int(rng.integers(0, height - areal.shape[1] + 1))
        end = min(at + areal.shape[2], whole.shape[2])
        whole[:, top : top + areal.shape[1], at:end] += areal[:, :, : end - at]
        for mark in own:
            x0, y0, x1, y1 = mark.box
            marks.append(Marked(mark.label, (x0 + at, y0 + top, x1 + at, y1 + top)))
        at += areal.shape[2] + gap
    seen = whole.sum(axis=0) > SEEN
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return whole, marks
    pad = rng.integers(2, 30, 4)
    y0, y1 = max(int(rows[0] - pad[0]), 0), int(rows[-1] + pad[1])
    x0, x1 = max(int(columns[0] - pad[2]), 0), int(columns[-1] + pad[3])
    moved = [Marked(m.label, (m.box[0] - x0, m.box[1] - y0, m.box[2] - x0, m.box[3] - y0)) for m in marks]
    return whole[:, y0:y1, x0:x1], moved


def _turned(areal: Floats, marks: list[Marked], rng: np.random.Generator) -> tuple[Floats, list[Marked]]:
    if rng.random() < 0.5:
        width = areal.shape[2]
        areal = areal[:, :, ::-1]
        marks = [Marked(m.label, (width - m.box[2], m.box[1], width - m.box[0], m.box[3])) for m in marks]
    if rng.random() < 0.5:
        height = areal.shape[1]
        areal = areal[:, ::-1]
        marks = [Marked(m.label, (m.box[0], height - m.box[3], m.box[2], height - m.box[1])) for m in marks]
    if rng.random() < 0.5:
        areal = areal.swapaxes(1, 2)
        marks = [Marked(m.label, (m.box[1], m.box[0], m.box[3], m.box[2])) for m in marks]
    return areal, marks


def _measured(areal: Floats, table: Table, rng: np.random.Generator) -> Floats:
    """Transmissions (2, height, width), with noise and blur."""
    root = np.sqrt(np.clip(areal, 0, MAX_AREAL) * np.float32(1 / MAX_AREAL)) * np.float32(GRID - 1)
    signal = cv2.remap(
        table.signal,
        np.ascontiguousarray(root[:, :, 1]),
        np.ascontiguousarray(root[:, :, 0]),
        cv2.INTER_LINEAR,
    )
    sigma = float(rng.uniform(0, 0.9))
    if sigma > 0.3:
        signal = cv2.GaussianBlur(signal, (0, 0), sigma)
    signal = signal + np.float32(rng.uniform(0, 0.006)) * signal.mean()
    photons = table.photons * float(np.exp(rng.normal(0, 0.5))) * 0.6
    floor = 2e-4 * float(np.exp(rng.normal(0, 0.7)))
    noise = rng.standard_normal(signal.shape, np.float32)
    signal = signal + noise * np.sqrt(np.maximum(signal, 0) / photons + floor**2)
    result: Floats = np.ascontiguousarray(np.moveaxis(signal, -1, 0), np.float32)
    return result

"""Scenes out of sprites, as pictures: what the shipped detector learns from.

A bag or carton, what lies in it, and what is prohibited are added up in grams of basis material, go through
the spectrum, the detector and the calibration of one of the training scanners, and are drawn on a maker's
display, or as this project's own front end colours counts. Every picture is another scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.learn.sprites import CLASSES, Marked, Sprite
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
CARTONS = 0.22
"""The share of cartons among them."""
PIECES = (0.45, 0.3, 0.15, 0.1)
"""How often one, two, three and four bags or cartons lie together, as `configs/simulate/` has it."""
IGNORED = ""
CLUTTER_MOODS: tuple[tuple[float, float], ...] = ((2, 8), (4, 16), (8, 26))
THREAT_WEIGHTS: dict[str, float] = {
    "gun": 3, "knife": 4, "wrench": 4, "scissors": 2.5, "lithium_pack": 1.5, "bottle": 1.0,
    "pressed_block": 1.5, "inner_parcel": 0.6, "tablets": 0.3, "currency": 0.3,
}  # fmt: skip


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
        self._threats: dict[str, dict[str, list[Sprite]]] = {}
        for sprite in sprites:
            if sprite.kind == "threat":
                label = sprite.marked[0].label if sprite.marked else "nothing"
                self._threats.setdefault(label, {}).setdefault(sprite.name, []).append(sprite)
        self._clutter = [sprite for sprite in sprites if sprite.kind == "clutter"]
        self._bags = [sprite for sprite in sprites if sprite.kind == "bag"]
        self._cartons = [sprite for sprite in sprites if sprite.kind == "carton"]
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

    def _piece(self, rng: np.random.Generator) -> tuple[Floats, list[Marked]]:
        if self._cartons and rng.random() < CARTONS:
            return self._carton(rng)
        bag = pick(rng, self._bags)
        canvas, (y, x), marks = _on_canvas(bag, 60)
        room = bag.room
        canvas *= np.float32(rng.uniform(0.6, 1.6))
        low, high = CLUTTER_MOODS[int(rng.integers(len(CLUTTER_MOODS)))]
        litres = room[0] * room[1] * 1.25**2 * 120 / 1e6
        tidy = rng.random() < 0.15
        kinds = None if rng.random() < 0.5 else {pick(rng, self._clutter).name for _ in range(6)}
        pool = self._clutter if kinds is None else [s for s in self._clutter if s.name in kinds]
        for _ in range(0 if tidy else int(rng.uniform(low, high) * np.sqrt(litres / 10)) + 1):
            self._add(canvas, marks, pick(rng, pool), (y, x), room, rng)
        self._threaten(canvas, marks, (y, x), room, rng, 0.8)
        return canvas, marks

    def _carton(self, rng: np.random.Generator) -> tuple[Floats, list[Marked]]:
        carton = pick(rng, self._cartons)
        canvas, middle, marks = _on_canvas(carton, 30)
        canvas *= np.float32(rng.uniform(0.7, 1.3))
        self._threaten(canvas, marks, middle, carton.room, rng, 0.65)
        return canvas, marks

    def _threaten(
        self, canvas: Floats, marks: list[Marked], middle: tuple[float, float], room: tuple[float, float],
        rng: np.random.Generator, rate: float,
    ) -> None:  # fmt: skip
        if rng.random() >= rate:
            return
        names = [name for name in THREAT_WEIGHTS if name in self._threats]
        weights = np.array([THREAT_WEIGHTS[name] for name in names])
        for _ in range(1 + int(rng.choice(4, p=(0.45, 0.3, 0.17, 0.08)))):
            families = self._threats[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
            sprite = pick(rng, families[pick(rng, sorted(families))])
            self._add(canvas, marks, sprite, middle, room, rng)

    def _add(
        self, canvas: Floats, marks: list[Marked], sprite: Sprite, middle: tuple[float, float],
        room: tuple[float, float], rng: np.random.Generator,
    ) -> None:  # fmt: skip
        areal = _varied(sprite.areal, rng)
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
        behind = np.tensordot(DEPTH, canvas[:, y0:y1, x0:x1], 1)
        canvas[:, y0:y1, x0:x1] += part
        if sprite.marked and sprite.marked[0].label in CLASSES:
            seen = part.sum(axis=0) > SEEN
            blind = bool(seen.any()) and float((behind[seen] > BLIND_DEPTH).mean()) > BLIND_SHARE
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            if len(rows):
                box = (
                    x0 + int(columns[0]),
                    y0 + int(rows[0]),
                    x0 + int(columns[-1]) + 1,
                    y0 + int(rows[-1]) + 1,
                )
                marks.append(Marked(IGNORED if blind else sprite.marked[0].label, box))

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


def _on_canvas(sprite: Sprite, margin: int) -> tuple[Floats, tuple[float, float], list[Marked]]:
    height, width = sprite.areal.shape[1:]
    canvas = np.zeros((2, height + 2 * margin, width + 2 * margin), np.float32)
    canvas[:, margin : margin + height, margin : margin + width] = sprite.areal
    marks = [
        mark._replace(box=tuple(value + margin for value in mark.box))  # type: ignore[arg-type]
        for mark in sprite.marked
    ]
    return canvas, (canvas.shape[1] / 2, canvas.shape[2] / 2), marks


def _varied(areal: npt.NDArray[np.float16], rng: np.random.Generator) -> Floats:
    """Turned, mirrored, a little larger or smaller, more or less of the same material."""
    values = np.moveaxis(areal.astype(np.float32), 0, -1)
    if rng.random() < 0.5:
        values = values[:, ::-1]
    height, width = values.shape[:2]
    angle, scale = float(rng.uniform(0, 360)), float(np.exp(rng.normal(0, 0.12)))
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

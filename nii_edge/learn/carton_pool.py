"""Simulated cartons for the network that reads them: kept in files, changed a little, laid into batches.

What is random keeps what it is about: a carton may lie the other way round, be weighed a little wrongly, be
of other stuff or somewhat larger, be scanned less sharply, and the contents of another may lie in it too,
since areal densities and parcels add up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from nii_edge.learn.carton_network import Batch, as_planes
from nii_edge.xray.carton_map import CELL, MARGIN, PLANES, STEP, Map, planes

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Generator = np.random.Generator

GAIN, OWN_GAIN, SHADE, FINE_SHADE, TELL = 0.04, 0.02, 0.25, 0.05, 0.03
"""Standard deviations of what is changed: masses of a carton and of one view (shares), Z of both, and what
is told besides."""
NOISE = 0.02
"""The most noise that is added: g/cm2 at 1 g/cm2, as the square root of density."""
OTHER_STUFF, STUFF = 0.3, (0.7, 1.3)
"""How often Z is further from, or nearer to, that of most goods, and by what factor."""
PLASTIC_Z = 8.0
OTHER_DENSITY, DENSER = 0.3, 0.4
"""How often all of a carton is denser or less dense, and by how much at most, as a logarithm."""
OTHER_SIZE, LARGER = 0.4, 0.15
"""How often it is larger or smaller, of parcels that are, and by how much at most, as a logarithm."""
SHARP, BLUR = 0.4, 1.1
"""How often a carton stays as sharp as it is, and the most that another scanner may blur it by: standard
deviation in squares, along and across."""
OVERLAID = 0.35
"""How often a carton holds what another one holds, too."""
ONE_VIEW = 0.2
"""How often a carton of two views shows one."""
ALIKE = 24
"""Batches that are made of cartons of like sizes at once, so that little of them is empty."""
TRIES = 12
SIDES, LITRES, GRAMS, DENSITY, SHARES = slice(0, 3), 3, 4, 5, slice(6, 8)
"""Places in `xray.carton.described`; all but the last are logarithms."""
COVERED = 0.4
"""Share of a cell that something hidden covers from which it is hot."""


class View(NamedTuple):
    """One view: its map; `boxes` (things, 4) in squares of it, x0 y0 x1 y1; which of these are `parcels`: the
    others are hidden."""

    map: Map
    boxes: Floats
    parcels: Flags


class Sample(NamedTuple):
    """One carton. `scalars`: as `xray.carton.described`; `sort`: the heading of honest goods, empty if there
    are several."""

    views: tuple[View, ...]
    scalars: Floats
    parcels: int
    hidden: bool
    sort: str

    @property
    def area(self) -> int:
        """Squares of the largest view."""
        return max(int(view.map[0].size) for view in self.views)


def write_samples(file: Path, samples: Sequence[Sample]) -> None:
    """Write a file as a whole."""
    arrays: dict[str, Any] = {}
    about = []
    for number, sample in enumerate(samples):
        for place, view in enumerate(sample.views):
            arrays[f"map_{number}_{place}"] = view.map.astype(np.float16)
            arrays[f"boxes_{number}_{place}"] = view.boxes
            arrays[f"parcels_{number}_{place}"] = view.parcels
        arrays[f"scalars_{number}"] = sample.scalars
        about.append(
            {
                "views": len(sample.views),
                "parcels": sample.parcels,
                "hidden": sample.hidden,
                "sort": sample.sort,
            }
        )
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.rename(file)


def read_samples(files: Iterable[Path]) -> list[Sample]:
    """All samples of some files of `write_samples`; maps stay in 16 bits."""
    made = []
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            for number, about in enumerate(json.loads(arrays["about"].tobytes())):
                views = tuple(
                    View(*(arrays[f"{name}_{number}_{place}"] for name in ("map", "boxes", "parcels")))
                    for place in range(about["views"])
                )
                scalars = arrays[f"scalars_{number}"]
                made.append(Sample(views, scalars, about["parcels"], about["hidden"], about["sort"]))
    return made


def feed(samples: Sequence[Sample], sorts: Mapping[str, int], size: int, rng: Generator) -> Iterator[Batch]:
    """Endless batches of `size` cartons, changed at random."""
    waiting: list[int] = []
    while True:
        while len(waiting) < ALIKE * size:
            waiting += rng.permutation(len(samples)).tolist()
        own = sorted((waiting.pop() for _ in range(ALIKE * size)), key=lambda at: samples[at].area)
        for batch in rng.permutation(ALIKE):
            chosen = [samples[at] for at in own[batch * size : (batch + 1) * size]]
            yield lay([varied(_perhaps_more(sample, samples, rng), rng) for sample in chosen], sorts, rng)


def _perhaps_more(sample: Sample, samples: Sequence[Sample], rng: Generator) -> Sample:
    if rng.random() < OVERLAID:
        for _ in range(TRIES):
            other = samples[int(rng.integers(len(samples)))]
            if fits(other, sample):
                return overlaid(sample, other, rng)
    return sample


def fits(other: Sample, sample: Sample) -> bool:
    """Whether each view of one carton has room for that of the other."""
    return len(other.views) == len(sample.views) and all(
        inner <= outer
        for small, large in zip(other.views, sample.views, strict=True)
        for inner, outer in zip(small.map.shape, large.map.shape, strict=True)
    )


def overlaid(sample: Sample, other: Sample, rng: Generator) -> Sample:
    """All of `other`, which `fits`, in the carton, too, its walls as well: it is that much heavier and as
    large as before; Z and metal are means by mass."""
    along = float(rng.random())
    views = []
    for own, more in zip(sample.views, other.views, strict=True):
        made, added = own.map.astype(np.float32), more.map.astype(np.float32)
        rows, columns = added.shape[1:]
        y = int(rng.random() * (made.shape[1] - rows + 1))
        x = int(along * (made.shape[2] - columns))
        part = made[:, y : y + rows, x : x + columns]
        mass = np.maximum(part[0], 0), np.maximum(added[0], 0)
        share = mass[1] / np.maximum(mass[0] + mass[1], 1e-3)
        part[1:] += share * (added[1:] - part[1:])
        part[0] += added[0]
        boxes = np.concatenate([own.boxes, more.boxes + np.array([x, y, x, y], np.float32)])
        views.append(View(made, boxes, np.concatenate([own.parcels, more.parcels])))
    return Sample(
        tuple(views),
        _heavier(sample.scalars, other.scalars),
        sample.parcels + other.parcels,
        sample.hidden or other.hidden,
        "",
    )


def _heavier(own: Floats, more: Floats) -> Floats:
    """What is told of both together: see `xray.carton.described`."""
    made = own.copy()
    heavier = float(np.logaddexp(own[GRAMS], more[GRAMS]))
    share = float(np.exp(more[GRAMS] - heavier))
    made[GRAMS] = heavier
    made[DENSITY] += heavier - own[GRAMS]
    made[SHARES] += share * (more[SHARES] - own[SHARES])
    return made


class _Change(NamedTuple):
    """What becomes of all views of a carton: `size` and `density` are factors, `shade` is added to Z, `blur`
    in squares along and across."""

    size: float
    density: float
    shade: float
    blur: tuple[float, float]


def varied(sample: Sample, rng: Generator) -> Sample:
    """The same carton as it might have been scanned and filled otherwise."""
    views = sample.views
    if len(views) == 2 and rng.random() < ONE_VIEW:
        views = (views[int(rng.integers(2))],)
    denser = rng.uniform(-DENSER, DENSER) if rng.random() < OTHER_DENSITY else 0.0
    larger = rng.uniform(-LARGER, LARGER) if rng.random() < OTHER_SIZE else 0.0
    change = _Change(
        size=float(np.exp(larger)),
        density=float(np.exp(denser + rng.normal(0, GAIN))),
        shade=float(rng.normal(0, SHADE)),
        blur=(0.0, 0.0) if rng.random() < SHARP else (rng.uniform(0.2, BLUR), rng.uniform(0.2, BLUR)),
    )
    told = sample.scalars + rng.normal(0, TELL, sample.scalars.shape).astype(np.float32)
    told[SIDES] += larger
    told[LITRES] += 3 * larger
    told[GRAMS] += denser + 2 * larger
    told[DENSITY] += denser - larger
    return sample._replace(views=tuple(_varied(view, change, rng) for view in views), scalars=told)


def _varied(view: View, change: _Change, rng: Generator) -> View:
    made, boxes = view.map.astype(np.float32), view.boxes.copy()
    if change.size != 1:
        height, width = (max(round(side * change.size), 1) for side in made.shape[1:])
        boxes *= np.tile((width / made.shape[2], height / made.shape[1]), 2).astype(np.float32)
        made = np.stack([cv2.resize(plane, (width, height)) for plane in made])
    height, width = made.shape[1:]
    if rng.random() < 0.5:
        made, boxes[:, [0, 2]] = made[:, :, ::-1], width - boxes[:, [2, 0]]
    if rng.random() < 0.5:
        made, boxes[:, [1, 3]] = made[:, ::-1], height - boxes[:, [3, 1]]
    made = made.copy()
    if max(change.blur) > 0:
        along, across = change.blur
        made = np.stack([cv2.GaussianBlur(plane, (0, 0), sigmaX=along, sigmaY=across) for plane in made])
    made[0] *= change.density * float(np.exp(rng.normal(0, OWN_GAIN)))
    noise = rng.standard_normal(made[0].shape, np.float32)
    made[0] += noise * np.float32(rng.uniform(0, NOISE)) * np.sqrt(np.maximum(made[0], 0.2))
    made[1] += change.shade + float(rng.normal(0, FINE_SHADE))
    if rng.random() < OTHER_STUFF:
        made[1] = PLASTIC_Z + (made[1] - PLASTIC_Z) * float(rng.uniform(*STUFF))
    return View(np.maximum(made, 0), boxes, view.parcels)


def lay(samples: Sequence[Sample], sorts: Mapping[str, int], rng: Generator | None = None) -> Batch:
    """Cartons as one batch, each view at a random place of its input, or without `rng` where the daemon lays
    it."""
    sizes = [view.map.shape[1:] for sample in samples for view in sample.views]
    height, width = (-(-(max(size[axis] for size in sizes) + 2 * MARGIN) // STEP) * STEP for axis in range(2))
    inputs: Floats = np.zeros((len(sizes), PLANES, height, width), np.float32)
    density: Floats = np.zeros((len(sizes), height // CELL, width // CELL), np.float32)
    heat = density.copy()
    owner = [number for number, sample in enumerate(samples) for _ in sample.views]
    views = [view for sample in samples for view in sample.views]
    for at, view in enumerate(views):
        rows, columns = view.map.shape[1:]
        y, x = MARGIN, MARGIN
        if rng is not None:
            y, x = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        inputs[at, :, y : y + rows, x : x + columns] = planes(view.map.astype(np.float32))
        boxes = (view.boxes + np.array([x, y, x, y], np.float32)) / CELL
        for box, parcel in zip(boxes, view.parcels, strict=True):
            share = _shares(box, density[at].shape)
            if not parcel:
                heat[at] = np.maximum(heat[at], share > COVERED)
            elif (whole := float(share.sum())) > 1e-3:
                density[at] += share / np.float32(whole)
    return Batch(
        as_planes(inputs),
        torch.tensor(owner),
        torch.from_numpy(density),
        torch.from_numpy(heat),
        torch.from_numpy(np.stack([sample.scalars for sample in samples])),
        torch.tensor([float(sample.parcels) for sample in samples]),
        torch.tensor([float(sample.hidden) for sample in samples]),
        torch.tensor([sorts.get(sample.sort, -1) for sample in samples]),
    )


def _shares(box: Floats, shape: tuple[int, ...]) -> Floats:
    """How much of each cell a box covers, in cells (height, width)."""
    sides = []
    for low, high, count in ((box[1], box[3], shape[0]), (box[0], box[2], shape[1])):
        cells = np.arange(count, dtype=np.float32)
        sides.append(np.clip(np.minimum(cells + 1, high) - np.maximum(cells, low), 0, 1))
    covered: Floats = sides[0][:, None] * sides[1][None]
    return covered

"""`nii-edge export`: a trained bundle anew, of another size or other bits."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec

from nii_edge.bundle import CARD
from nii_edge.errors import ConfigError, DataError, RuntimeMissingError

try:
    from nii_edge.learn.bundling import (
        About,
        Shape,
        Trial,
        bundle_of,
        frames_of,
        manifest_beside,
        write_metrics,
    )
    from nii_edge.learn.operating import Operating
    from nii_edge.learn.weights import FILE, detector_for, load_weights
except ImportError as missing:
    raise RuntimeMissingError(
        f"{missing.name or missing} is not installed; exporting needs the extra: "
        "pip install '.[train]' in the project's folder"
    ) from missing

from nii_edge.commands.labelled import Labels, read_labelled
from nii_edge.commands.outcome import check_bundle_place
from nii_edge.learn.few import cautions
from nii_edge.learn.names import METRICS, said, taught_names
from nii_edge.learn.readers import Dataset
from nii_edge.learn.scoring import matched_names

CALIBRATION_PICTURES = 96


class Request(NamedTuple):
    """The command's options; None: as the weights' bundle has it. `lanes`: what recorded the frames, see
    `labelled.Labels`; `false_alarms`: see `Trial`."""

    weights: Path
    annotations: Path
    images: Path | None
    out: Path
    size: int | None
    bits: int
    looks: Literal[1, 2, 4, 8] | None = None
    pieces: int | None = None
    lanes: Path | None = None
    false_alarms: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints, and metrics.json keeps beside what was known of the training: `map50`, `map` and
    `per_class` (AP at IoU 0.5) of what was written, `map50_exact` in 32 bits (16 with `--bits 16`),
    `map50_eight_bits` if these were tried, all on the pictures that were given; `weights`: name and version
    of the bundle that they are from; `operating_points`: thresholds to choose from, by class; `taken_names`:
    which names of the labels were taken for others of the bundle's, in words; `cautions`: why figures mean
    little, if they do."""

    map50: float
    map: float
    per_class: dict[str, float]
    map50_exact: float
    map50_eight_bits: float | None
    bits: int
    size: int
    looks: int
    megabytes: float
    images: int
    weights: str
    operating_points: dict[str, Operating]
    taken_names: list[str]
    cautions: list[str]
    problems: list[str]


def run(request: Request) -> Summary:
    """Write the bundle.

    Raises:
        ConfigError: the weights' bundle cannot be read, or `out` is a bundle already or cannot be written.
        DataError: the labels cannot be used, or none of their names is one of the bundle's.
    """
    check_bundle_place(request.out)
    with TemporaryDirectory(prefix="nii_edge-") as work:
        return _export(request, Path(work))


def _export(request: Request, work: Path) -> Summary:
    manifest, called = manifest_beside(request.weights), taught_names(request.weights)
    names = tuple(label.name for label in manifest.labels)
    labels = Labels(request.annotations, request.images, request.lanes, "validation")
    dataset = read_labelled(labels, work)
    pairs, strange = matched_names(names, dataset.names, called)
    if not pairs:
        raise DataError(f"{request.annotations}: none of {', '.join(dataset.names)} is in {', '.join(names)}")
    _say_strange(dataset, strange)
    detector = detector_for(request.weights / FILE, len(names))
    left = load_weights(request.weights / FILE, detector, tuple(range(len(names))))
    if left:
        raise ConfigError(
            f"{request.weights / FILE}: lacks {', '.join(left[:3])}; not weights of this network"
        )
    given, trained = manifest.input, _trained(request.weights)
    shape = Shape(request.size or given.size[0], request.looks or given.looks, request.pieces or given.pieces)
    own = renamed(dataset, pairs, names)
    rows = range(len(own.pictures))
    file = request.weights / CARD
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    about = About(manifest.name, manifest.model_version, manifest.description, manifest.licence, card, called)
    frames = frames_of(own, rows, CALIBRATION_PICTURES) if request.bits == 8 else []
    trial = Trial(own, rows, frames, request.false_alarms)
    chosen = bundle_of(detector, shape, names, trial, about, request.out, half=request.bits == 16)
    summary = Summary(
        map50=round(chosen.scores.map50, 4),
        map=round(chosen.scores.map, 4),
        per_class=chosen.scores.per_class,
        map50_exact=round(chosen.exact.map50, 4),
        map50_eight_bits=None if chosen.rounded is None else round(chosen.rounded.map50, 4),
        bits=8 if chosen.eight_bits else 16 if request.bits == 16 else 32,
        size=shape.size,
        looks=shape.looks,
        megabytes=round(len(chosen.bundle.model) / 1e6, 2),
        images=len(chosen.looked),
        weights=f"{manifest.name} {manifest.model_version}",
        operating_points=chosen.operating_points,
        taken_names=said(names, dataset.names, pairs, called),
        cautions=cautions(chosen.looked, names),
        problems=own.problems.lines(),
    )
    write_metrics(request.out, {**msgspec.to_builtins(summary), "trained": trained})
    return summary


def _say_strange(dataset: Dataset, strange: Collection[str]) -> None:
    """Name among the problems what the labels have and the bundle has not, thing by thing."""
    for picture in dataset.pictures:
        for *_, label in picture.boxes:
            if dataset.names[label] in strange:
                dataset.problems.add(
                    f"thing of class {dataset.names[label]!r}, which the bundle has not (left out; what is "
                    "found there is a false alarm when thresholds are chosen)",
                    picture.place,
                )


def _trained(folder: Path) -> dict[str, Any] | None:
    """What the weights' bundle says of its training, as `train` wrote it or an export handed it on; None if
    it says nothing that can be read."""
    try:
        tree = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(tree, dict):
        return None
    handed_on = tree.get("trained", tree)
    return handed_on if isinstance(handed_on, dict) else None


def renamed(dataset: Dataset, pairs: dict[int, int], names: tuple[str, ...]) -> Dataset:
    """The data set with the bundle's classes; labels of other classes are left out."""
    pictures = []
    for picture in dataset.pictures:
        kept = [k for k, (*_, label) in enumerate(picture.boxes) if label in pairs]
        boxes = tuple((*picture.boxes[k][:4], pairs[picture.boxes[k][4]]) for k in kept)
        ignored = frozenset(new for new, k in enumerate(kept) if k in picture.ignored)
        extras = tuple(picture.extras[k] for k in kept if k < len(picture.extras))
        pictures.append(picture._replace(boxes=boxes, ignored=ignored, extras=extras))
    return Dataset(names, tuple(pictures), dataset.problems)

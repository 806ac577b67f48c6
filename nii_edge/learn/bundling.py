"""A trained network as a bundle: exported, in eight bits if that costs nothing, with thresholds, golden
frames and a card."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.bundle import CARD, MANIFEST, Bundle, GoldenFrame, load_bundle, write_bundle
from nii_edge.config import BoxesHead, BundleManifest, Label, ModelInput
from nii_edge.detect.heads import Detection
from nii_edge.detect.looks import parted
from nii_edge.detect.shapes import LOWEST
from nii_edge.errors import ConfigError, DataError
from nii_edge.learn.augment import PAD
from nii_edge.learn.cache import frame_of, read_rgb, seen
from nii_edge.learn.export import halved, quantised, to_onnx
from nii_edge.learn.looking import Eye, Looked, look_at
from nii_edge.learn.names import METRICS
from nii_edge.learn.network import Detector
from nii_edge.learn.operating import Judged, Operating, at_false_alarms, best_f1, judged, operating_points
from nii_edge.learn.readers import Dataset, Problems, Seen
from nii_edge.learn.scoring import Found, Scores, alike, average_precision
from nii_edge.learn.weights import FILE, save_weights
from nii_edge.records import Category
from nii_edge.xray.frontend import model_input

UNFINISHED = "weights.json"
"""Beside weights of which no bundle could be made: the manifest that it would have had."""
MAX_LOSS = 0.01
"""Of mAP50, that eight bits may cost."""
GOLDEN = 3
GOLDEN_SIDE = 480
GOLDEN_CLEAR_OF = 0.025
"""A golden frame has no score this near to its threshold: another machine's rounding must not decide."""
CATEGORIES: dict[str, Category] = {
    "pressed_block": "CONTRABAND", "lithium_pack": "OTHER", "bottle": "OTHER", "inner_parcel": "OTHER",
}  # fmt: skip
"""Of the shipped detector's classes; everything else is a prohibited item."""


APART, LEAST_GAIN = (0.65, 0.55, 0.45), 1e-3
"""What is tried for `BoxesHead.apart`, and what mAP50 has to gain by it."""
LOOKS: Literal[4] = 4
"""Looks at each input: four times the time of one, for what docs/TRAINING.md says."""


class About(NamedTuple):
    """What the bundle is to say of itself; `names`: see `taught_names`."""

    name: str
    version: str
    description: str
    licence: str
    card: str
    names: Mapping[str, Sequence[str]] = MappingProxyType({})


class Chosen(NamedTuple):
    """`bundle`, and whether its convolutions are in eight bits. On the validation set: the scores of both
    with the lowest thresholds, and what was `seen` so by the one that was taken; with the bundle's
    thresholds, as the daemon looks, `scores` and what is `looked`."""

    bundle: Bundle
    eight_bits: bool
    exact: Scores
    rounded: Scores | None
    seen: list[Looked]
    scores: Scores
    looked: list[Looked]

    @property
    def operating_points(self) -> dict[str, Operating]:
        """What thresholds do on the validation pictures, by class."""
        thresholds = {label.name: label.threshold for label in self.bundle.manifest.labels}
        return operating_points(self.seen, thresholds, self.looked)


class Shape(NamedTuple):
    """How pictures are given to a network: the input's side in pixels, how often each input is looked at, and
    into how many pieces a long picture may be cut; `apart`: see `BoxesHead`."""

    size: int
    looks: Literal[1, 2, 4, 8] = LOOKS
    pieces: int = 1
    apart: float = 1.0


def input_of(shape: Shape) -> ModelInput:
    """What the network is given."""
    return ModelInput(
        name="image",
        channels=("red", "green", "blue"),
        size=(shape.size, shape.size),
        crop="content",
        pieces=shape.pieces,
        looks=shape.looks,
        pad=PAD,
        batch=False,
    )


def manifest_of(
    about: About, shape: Shape, names: Sequence[str], thresholds: Mapping[str, float]
) -> BundleManifest:
    """The manifest, but for the model's hash."""
    own = {name: CATEGORIES[known] for name, known in alike(tuple(CATEGORIES), names).items()}
    return BundleManifest(
        version=1,
        name=about.name,
        model_version=about.version,
        description=about.description,
        licence=about.licence,
        kind="object",
        format="onnx",
        model="model.onnx",
        sha256="0" * 64,
        input=input_of(shape),
        output=BoxesHead(
            boxes="boxes", scores="scores", labels="labels", background=False, apart=shape.apart
        ),
        labels=tuple(
            Label(
                name=name,
                category=own.get(name, "PI"),
                threshold=round(float(thresholds.get(name, 0.3)), 3),
                why=f"It looks like a {name.replace('_', ' ')} in the {{view}} view (score {{score}})",
            )
            for name in names
        ),
        golden="golden",
    )


def in_memory(
    detector_model: bytes, shape: Shape, names: Sequence[str], thresholds: Mapping[str, float] | None = None
) -> Bundle:
    """A bundle that was never written, to measure with; `thresholds`: as low as they may be, if None."""
    about = About("measuring", "0", "not to be shipped", "none", "")
    manifest = manifest_of(about, shape, names, thresholds or dict.fromkeys(names, LOWEST))
    return Bundle(folder=Path(), manifest=manifest, model=detector_model, golden=())


def scores_of(
    model: bytes,
    shape: Shape,
    dataset: Dataset,
    rows: Sequence[int],
    names: Sequence[str],
    problems: Problems | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> tuple[Scores, list[Looked]]:
    """How good a model is on pictures of a data set whose classes are the model's, with `thresholds` (see
    `in_memory`). What is wrong with them is counted in `problems`, if they are looked at for the first
    time."""
    eye = Eye(in_memory(model, shape, names, thresholds))
    try:
        looked = look_at(eye, dataset, rows, problems=Problems() if problems is None else problems)
    finally:
        eye.close()
    return average_precision([one.wanted for one in looked], [one.found for one in looked], names), looked


def calibration_inputs(frames: Sequence[Seen], shape: Shape) -> list[npt.NDArray[np.float32]]:
    """What the network sees of frames."""
    spec = input_of(shape)
    return [model_input(frame, spec, view)[0] for frame, view in frames]


def frames_of(dataset: Dataset, rows: Sequence[int], most: int) -> list[Seen]:
    """The first readable pictures as the daemon would look at them."""
    made: list[Seen] = []
    for row in rows:
        if len(made) == most:
            break
        try:
            made.append(seen(dataset.pictures[row]))
        except DataError:
            continue
    return made


class Trial(NamedTuple):
    """What a network is measured on: pictures `rows` of a data set whose classes are its own; `calibration`:
    frames for eight bits, none if they are not wanted; `false_alarms`: a picture, that thresholds are to keep
    to, None for those of the best F1; `spare`: rows for golden frames, if none of the others is clear
    enough."""

    dataset: Dataset
    rows: Sequence[int]
    calibration: Sequence[Seen]
    false_alarms: float | None = None
    spare: Sequence[int] = ()

    def threshold(self, found: Judged) -> float:
        """Of a class of which so much was found."""
        return best_f1(found) if self.false_alarms is None else at_false_alarms(found, self.false_alarms)


def bundle_of(
    detector: Detector,
    shape: Shape,
    names: Sequence[str],
    trial: Trial,
    about: About,
    folder: Path,
    half: bool = False,
) -> Chosen:
    """Export, measure on a trial, and write the bundle that is to be used. What is wrong with the trial's
    pictures is counted, once, among the problems of its data set. The weights are written first.

    With `half` the convolutions are in 16 bits, for GPUs. Eight bits are taken if they lose no more than
    `MAX_LOSS` of mAP50. Raises BundleError if it cannot be read back, DataError if no picture has anything
    clear to be found on it.
    """
    _keep(folder, detector, manifest_of(about, shape, names, {}), about)
    exact_model = to_onnx(detector, shape.size)
    given = trial.dataset
    exact, exact_looked = scores_of(exact_model, shape, given, trial.rows, names, given.problems)
    shape = shape._replace(apart=best_apart(exact_looked, names))
    if shape.apart < 1:
        exact, exact_looked = scores_of(exact_model, shape, trial.dataset, trial.rows, names)
    rounded: Scores | None = None
    model, looked = exact_model, exact_looked
    if half:
        model = halved(exact_model)
        exact, looked = scores_of(model, shape, trial.dataset, trial.rows, names)
    if trial.calibration:
        small = quantised(exact_model, calibration_inputs(trial.calibration, shape))
        rounded, rounded_looked = scores_of(small, shape, trial.dataset, trial.rows, names)
        if rounded.map50 >= exact.map50 - MAX_LOSS:
            model, looked = small, rounded_looked
    thresholds = {name: trial.threshold(judged(looked, label)) for label, name in enumerate(names)}
    manifest = manifest_of(about, shape, names, thresholds)
    golden = golden_frames(model, manifest, given, trial.rows) or golden_frames(
        model, manifest, given, trial.spare
    )
    if not golden:
        raise DataError(_why_none(len({*trial.rows, *trial.spare}), folder, given.problems))
    bundle = write_bundle(folder, manifest, model, golden, about.card)
    (folder / UNFINISHED).unlink()
    own = scores_of(model, shape, given, trial.rows, names, thresholds=thresholds)
    return Chosen(bundle, rounded is not None and model is not exact_model, exact, rounded, looked, *own)


def _why_none(looked_at: int, folder: Path, problems: Problems) -> str:
    """Why there is no bundle, what to do, and what was wrong with the pictures, which may be why."""
    said = "; ".join(problems.lines())
    return (
        f"nothing on {looked_at} pictures is clear enough to be a golden frame, so there is no bundle; the "
        f"weights are in {folder / FILE}: train longer (`--minutes`, the same --out), or try "
        f"`nii-edge export --weights {shlex.quote(str(folder))}` with other pictures or `--false-alarms`"
        + (f". Besides: {said}" if said else "")
    )


def _keep(folder: Path, detector: Detector, manifest: BundleManifest, about: About) -> None:
    """The weights, and what `export` needs to go on from them if no bundle comes of it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / FILE, detector)
    (folder / UNFINISHED).write_bytes(msgspec.json.encode(manifest))
    (folder / CARD).write_text(about.card, encoding="utf-8")
    write_metrics(folder, {"names": dict(about.names)})


def manifest_beside(folder: Path) -> BundleManifest:
    """The manifest of the bundle in `folder`, or of the one that would have come of the weights there.

    Raises:
        ConfigError: neither can be read.
    """
    if (folder / MANIFEST).exists() or not (folder / UNFINISHED).is_file():
        return load_bundle(folder).manifest
    try:
        return msgspec.json.decode((folder / UNFINISHED).read_bytes(), type=BundleManifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{folder / UNFINISHED}: not what `nii-edge train` writes beside weights: {error}; train anew"
        ) from error


def best_apart(looked: Sequence[Looked], names: Sequence[str]) -> float:
    """By how much boxes of one class may overlap (`BoxesHead.apart`): bags want doubles gone, cartons full of
    one thing want them all. Whichever finds best; all of them if it makes no difference."""
    wanted = [one.wanted for one in looked]
    best, found = 1.0, average_precision(wanted, [one.found for one in looked], names).map50
    for apart in APART:
        kept = [
            [
                Found(each.box, each.label, each.score)
                for each in parted([Detection(f.box, f.score, f.label) for f in one.found], apart)
            ]
            for one in looked
        ]
        value = average_precision(wanted, kept, names).map50
        if value > found + LEAST_GAIN:
            best, found = apart, value
    return best


def golden_frames(
    model: bytes, manifest: BundleManifest, dataset: Dataset, rows: Sequence[int]
) -> tuple[GoldenFrame, ...]:
    """Small pictures with clear findings, and what must be found on them; none if nothing is clear."""
    import cv2

    from nii_edge.bundle import Expected

    floors = {index: label.threshold for index, label in enumerate(manifest.labels)}
    eye = Eye(Bundle(folder=Path(), manifest=manifest, model=model, golden=()))
    made: list[GoldenFrame] = []
    try:
        for row in rows:
            try:
                rgb = read_rgb(dataset.pictures[row].file, dataset.pictures[row].bits)
            except DataError:
                continue
            scale = min(1.0, GOLDEN_SIDE / max(rgb.shape[:2]))
            small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frame = frame_of(np.ascontiguousarray(small, np.uint8))
            found = eye.look(frame)
            sure = [one for one in found if one.score >= floors[one.label]]
            near = [one for one in found if abs(one.score - floors[one.label]) < GOLDEN_CLEAR_OF]
            if near or not sure or len(sure) > 8:
                continue
            expected = tuple(
                Expected(label=manifest.labels[one.label].name, score=one.score, box=one.box) for one in sure
            )
            made.append(GoldenFrame(name=f"found_{len(made) + 1}", frame=frame, expected=expected))
            if len(made) == GOLDEN:
                break
    finally:
        eye.close()
    return tuple(made)


def write_metrics(folder: Path, tree: Any) -> None:
    """``metrics.json`` beside the card: what was measured, for machines."""
    (folder / METRICS).write_text(json.dumps(msgspec.to_builtins(tree), indent=1) + "\n", encoding="utf-8")

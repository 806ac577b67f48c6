"""How a detector is made, from nothing but the simulator, in five steps, and what its input may be.

    python tools/train_detector.py sprites WORK --seed 11        things, bags and cartons (extra `simulate`)
    python tools/train_detector.py pictures WORK --seed 1        scenes of them, on makers' displays
    python tools/train_detector.py train WORK --minutes 60       the network (extra `train`); goes on
    python tools/train_detector.py bundle WORK VALIDATION OUT    export, thresholds, golden frames, card
    python tools/train_detector.py metrics OUT VALIDATION        its metrics.json
    python tools/train_detector.py compare WORK TEST             mAP of every --variant trained in WORK

WORK is a folder of several GB. VALIDATION is one that `nii-edge simulate` wrote with the training recipe.
Several `sprites` and `pictures` with different seeds may run beside each other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import msgspec
import numpy as np

if TYPE_CHECKING:
    from nii_edge.learn.bundling import Shape

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "models" / "detector" / "0.5.0"
CLASSES = ("gun", "knife", "scissors", "wrench", "lithium_pack", "bottle", "pressed_block", "inner_parcel")
VARIANTS = ("imagenet", "imagenet-rgb", "imagenet-grey", "imagenet-xray", "xray", "rgb", "grey")
"""`nii_edge.learn.network.Variant`."""
WEIGHTS: dict[str, float] = {
    "gun": 3, "knife": 3, "wrench": 3, "scissors": 2, "lithium_pack": 1, "bottle": 1, "pressed_block": 1,
    "inner_parcel": 0.6, "tablets": 0.3, "currency": 0.3,
}  # fmt: skip
"""How often each sort of threat is made."""
CLUTTER = {"soft": 0.3, "electronics": 0.22, "household": 0.22, "metal": 0.26}
SIDEWAYS = 0.5
"""How many things are seen from the side: scanners of two views have one that looks across the belt."""
LARGEST = 520
"""Pixels: what is larger than this, other than bags and cartons, is left out."""
SIDE = 352
PER_SHARD = 300
ADAPTING = 40
"""Batches to which the norms of ImageNet's features are fitted."""


def sprites(work: Path, seed: int, things: int, cartons: int) -> None:
    """Two archives: things and bags, and cartons."""
    from nii_edge.learn.sprites import save

    (work / "sprites").mkdir(parents=True, exist_ok=True)
    made = [sprite for sprite in _things(things, np.random.default_rng(seed)) if _keeps(sprite)]
    save(work / "sprites" / f"things-{seed}.npz", made)
    packed = list(_cartons(cartons, np.random.default_rng(seed + 1)))
    save(work / "sprites" / f"cartons-{seed}.npz", packed)
    sys.stderr.write(f"{len(made)} things and bags, {len(packed)} cartons\n")


def _keeps(sprite) -> bool:  # type: ignore[no-untyped-def]
    return sprite.kind in ("bag", "carton") or max(sprite.areal.shape) < LARGEST


def _things(count: int, rng: np.random.Generator) -> Iterator:  # type: ignore[type-arg]
    from nii_edge.errors import SceneError
    from nii_edge.learn.sprites import bag_sprite, clutter_sprite, threat_sprite
    from nii_edge.simulate import threats
    from nii_edge.simulate.kit import pick
    from nii_edge.simulate.luggage import bag_types

    labels, chances = list(WEIGHTS), np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    for number in range(count * 17 // 8):
        side = bool(rng.random() < SIDEWAYS)
        try:
            if number < count:
                label = labels[int(rng.choice(len(labels), p=chances))]
                yield threat_sprite(label, pick(rng, threats.training_families(label)), rng, side)
            elif number < 2 * count:
                yield clutter_sprite(str(rng.choice(list(CLUTTER), p=list(CLUTTER.values()))), rng, side)
            else:
                yield bag_sprite(pick(rng, bag_types(held_out=False)), rng, side)
        except SceneError as error:
            sys.stderr.write(f"{error}\n")


def _cartons(count: int, rng: np.random.Generator) -> Iterator:  # type: ignore[type-arg]
    from nii_edge.errors import SceneError
    from nii_edge.learn.sprites import carton_sprites
    from nii_edge.simulate.recipe import load_recipe

    recipe = load_recipe(ROOT / "configs" / "simulate" / "train.yaml")
    made = 0
    while made < count:
        try:
            for sprite in carton_sprites(recipe, rng):
                made += 1
                yield sprite
        except SceneError as error:
            sys.stderr.write(f"{error}\n")


def pictures(work: Path, seed: int, shards: int) -> None:
    """Shards of scenes, made of all sprites there are."""
    from nii_edge.learn.compose import Composer
    from nii_edge.learn.pool import Sample, write_shard
    from nii_edge.learn.sprites import read
    from nii_edge.simulate.makes import SCANNERS

    cv2.setNumThreads(1)
    things = [sprite for path in sorted((work / "sprites").glob("*.npz")) for sprite in read(path)]
    composer = Composer(things, [scanner for scanner in SCANNERS.values() if not scanner.held_out])
    for shard in range(shards):
        rng = np.random.default_rng((seed, shard))
        samples = [Sample(*composer.scene(rng, SIDE)) for _ in range(PER_SHARD)]
        write_shard(work / "pool" / f"s{seed}_{shard:04d}", samples, SIDE)
        sys.stderr.write(f"{PER_SHARD * (shard + 1)} pictures\n")


class Training(NamedTuple):
    """How to train. `start`: a bundle whose weights it begins with; `batch`: pictures a step; `steps`: the
    schedule ends after so many, if the time is not up before."""

    work: Path
    minutes: float
    steps: int | None
    batch: int
    variant: str
    seed: int
    start: Path | None


def train(asked: Training, processes: int | None) -> None:
    """In as many processes as are good here, if not told."""
    from nii_edge.heap import keep_freed_memory
    from nii_edge.learn.together import led, processes_for

    keep_freed_memory()
    count = processes or processes_for(asked.batch)
    with led(count, learn, asked, count):
        learn(asked, count)


def learn(asked: Training, processes: int) -> None:
    """What each of the processes does."""
    import torch

    from nii_edge.learn.augment import Strength
    from nii_edge.learn.backbone import load_imagenet
    from nii_edge.learn.feed import feed
    from nii_edge.learn.network import Detector
    from nii_edge.learn.together import rank
    from nii_edge.learn.training import Plan, Watch
    from nii_edge.learn.training import train as run
    from nii_edge.learn.weights import FILE, detector_for, load_weights

    seed = asked.seed + 1000 * rank()
    torch.manual_seed(seed)
    detector = Detector(len(CLASSES), asked.variant)  # type: ignore[arg-type]
    pools = [([asked.work / "pool"], 1.0)]
    if asked.start is not None:
        detector = detector_for(asked.start / FILE, len(CLASSES))
        load_weights(asked.start / FILE, detector, tuple(range(len(CLASSES))))
    elif detector.lite is not None:
        load_imagenet(detector.lite)
        few = feed(pools, 192, 24, Strength(fits=320), 99, workers=0)
        with torch.no_grad():
            detector.lite.adapt(detector.front(*next(few)[:2]) for _ in range(ADAPTING))

    def told(row: dict[str, float]) -> None:
        sys.stderr.write(" ".join(f"{key} {value:.4g}" for key, value in row.items()) + "\n")

    run(
        detector,
        lambda size: feed(pools, size, asked.batch // processes, Strength(fits=320), seed + size, workers=0),
        Plan(asked.minutes, steps=asked.steps, sizes=((0.0, 192), (0.9, 288))),
        asked.work / f"run-{asked.variant}",
        Watch(told=told),
    )


def bundle(work: Path, validation: Path, out: Path, variant: str, shape: Shape) -> None:
    """The bundle of the mean weights; its card is written by hand and kept."""
    import torch

    from nii_edge.commands.export import renamed
    from nii_edge.learn.bundling import About, Trial, bundle_of, frames_of
    from nii_edge.learn.network import Detector
    from nii_edge.learn.readers import read_dataset
    from nii_edge.learn.scoring import matched_names

    detector = Detector(len(CLASSES), variant)  # type: ignore[arg-type]
    state = torch.load(work / f"run-{variant}" / "checkpoint.pt", weights_only=True)
    detector.load_state_dict(state["mean"])
    dataset = read_dataset(validation / "annotations.json", validation / "images")
    pairs, _ = matched_names(CLASSES, dataset.names)
    own = renamed(dataset, pairs, CLASSES)
    rows = range(len(own.pictures))
    card = out / "CARD.md"
    about = About(
        "detector", SHIPPED.name, "Guns, knives, scissors, wrenches, lithium packs, bottles, pressed "
        "blocks and inner "
        "parcels in X-ray pictures of bags and cartons", "Apache-2.0",
        card.read_text(encoding="utf-8") if card.is_file() else f"# detector {SHIPPED.name}\n",
    )  # fmt: skip
    chosen = bundle_of(detector, shape, CLASSES, Trial(own, rows, frames_of(own, rows[::2], 96)), about, out)
    rounded = "" if chosen.rounded is None else f", in eight bits {chosen.rounded.map50:.4f}"
    sys.stderr.write(
        f"{out}: mAP50 {chosen.exact.map50:.4f}{rounded}; eight bits taken: {chosen.eight_bits}\n"
    )
    for label in chosen.bundle.manifest.labels:
        sys.stderr.write(f"{label.name}: threshold {label.threshold}\n")


def metrics(folder: Path, validation: Path) -> None:
    """What the bundle in `folder` finds on pictures, and what other thresholds would: its metrics.json."""
    from nii_edge.bundle import load_bundle
    from nii_edge.commands.export import renamed
    from nii_edge.config import BoxesHead
    from nii_edge.learn.bundling import Shape, scores_of, write_metrics
    from nii_edge.learn.operating import operating_points
    from nii_edge.learn.readers import read_dataset
    from nii_edge.learn.scoring import matched_names

    held = load_bundle(folder)
    given, output = held.manifest.input, held.manifest.output
    dataset = read_dataset(validation / "annotations.json", validation / "images")
    pairs, _ = matched_names(CLASSES, dataset.names)
    own = renamed(dataset, pairs, CLASSES)
    apart = output.apart if isinstance(output, BoxesHead) else 1.0
    rows, shape = range(len(own.pictures)), Shape(given.size[0], given.looks, given.pieces, apart)
    thresholds = {label.name: label.threshold for label in held.manifest.labels}
    _, seen = scores_of(held.model, shape, own, rows, CLASSES)
    scores, looked = scores_of(held.model, shape, own, rows, CLASSES, thresholds=thresholds)
    tree = {
        "map50": round(scores.map50, 4), "map": round(scores.map, 4), "per_class": scores.per_class,
        "images": len(looked), "sha256": held.manifest.sha256, "trained": None,
        "operating_points": msgspec.to_builtins(operating_points(seen, thresholds, looked)),
    }  # fmt: skip
    write_metrics(folder, tree)
    sys.stderr.write(f"{folder}: mAP50 {scores.map50:.4f} on {len(looked)} pictures\n")


def compare(work: Path, folder: Path) -> None:
    """Tell what each input that was tried reaches on the same pictures, in 32 bits, with one look."""
    import torch

    from nii_edge.commands.export import renamed
    from nii_edge.learn.bundling import Shape, scores_of
    from nii_edge.learn.export import to_onnx
    from nii_edge.learn.network import Detector
    from nii_edge.learn.readers import read_dataset
    from nii_edge.learn.scoring import matched_names

    dataset = read_dataset(folder / "annotations.json", folder / "images")
    pairs, _ = matched_names(CLASSES, dataset.names)
    own = renamed(dataset, pairs, CLASSES)
    for variant in VARIANTS:
        file = work / f"run-{variant}" / "checkpoint.pt"
        if not file.is_file():
            continue
        detector = Detector(len(CLASSES), variant)  # type: ignore[arg-type]
        state = torch.load(file, weights_only=True)
        detector.load_state_dict(state["mean"])
        shape = Shape(320, looks=1)
        scores, _ = scores_of(to_onnx(detector.eval(), 320), shape, own, range(len(own.pictures)), CLASSES)
        seen = json.loads(state["progress"])["images"]
        sys.stdout.write(f"{variant}: {seen} views, mAP50 {scores.map50:.4f}, AP30 {scores.ap30:.4f}\n")
        sys.stdout.flush()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("sprites", "pictures", "train", "bundle", "metrics", "compare"))
    parser.add_argument("work", type=Path)
    parser.add_argument("validation", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--things", type=int, default=3000)
    parser.add_argument("--cartons", type=int, default=700)
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, help="the schedule by steps, if they end before the time")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step")
    parser.add_argument("--processes", type=int, help="that learn together; one a core, if left out")
    parser.add_argument("--start", type=Path, help="a bundle of the same classes to begin with")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--looks", type=int, choices=(1, 2, 4, 8), default=4, help="at each input")
    parser.add_argument("--pieces", type=int, default=1, help="of a long picture, at most")
    parser.add_argument("--variant", choices=VARIANTS, default="imagenet", help="what the network sees")
    given = parser.parse_args()
    if given.step == "sprites":
        sprites(given.work, given.seed, given.things, given.cartons)
    elif given.step == "pictures":
        pictures(given.work, given.seed, given.shards)
    elif given.step == "train":
        train(
            Training(
                given.work, given.minutes, given.steps, given.batch, given.variant, given.seed, given.start
            ),
            given.processes,
        )
    elif given.validation is None:
        parser.error(f"{given.step} needs a folder of pictures")
    elif given.step in ("compare", "metrics"):
        {"compare": compare, "metrics": metrics}[given.step](given.work, given.validation)
    else:
        from nii_edge.learn.bundling import Shape

        bundle(
            given.work,
            given.validation,
            given.out,
            given.variant,
            Shape(given.size, given.looks, given.pieces),
        )


if __name__ == "__main__":
    main()

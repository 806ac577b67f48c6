"""`nii-edge train` and `nii-edge export`: from anyone's labels to a bundle."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from nii_edge.errors import ConfigError, DataError, RuntimeMissingError

try:
    import torch

    from nii_edge.heap import keep_freed_memory
    from nii_edge.learn.augment import Strength
    from nii_edge.learn.bundling import (
        About,
        Chosen,
        Shape,
        Trial,
        bundle_of,
        frames_of,
        manifest_beside,
        scores_of,
        write_metrics,
    )
    from nii_edge.learn.cache import fill
    from nii_edge.learn.export import to_onnx
    from nii_edge.learn.feed import feed
    from nii_edge.learn.network import Detector
    from nii_edge.learn.operating import Operating
    from nii_edge.learn.report import write_report
    from nii_edge.learn.together import led, processes_for, rank
    from nii_edge.learn.training import Plan, Progress, Watch, train
    from nii_edge.learn.weights import FILE, detector_for, load_weights
except ImportError as missing:
    raise RuntimeMissingError(
        f"{missing.name or missing} is not installed; training needs the extra: pip install '.[train]' in "
        "the project's folder"
    ) from missing

from nii_edge.commands.labelled import drawn, with_bits
from nii_edge.commands.outcome import check_bundle_place
from nii_edge.learn.few import cautions, learned_cautions
from nii_edge.learn.looking import shipped_detector
from nii_edge.learn.names import is_made_up, said, taught_names
from nii_edge.learn.readers import MOST_LETTERS, Dataset, named, read_dataset
from nii_edge.learn.scoring import matched_names

VALIDATION_SHARE, MOST_VALIDATION = 0.1, 400
CALIBRATION_PICTURES = 96
SHARE_FOR_EXPORT = 0.06
"""Of the time, for export and the last measurement."""
PART, WHOLE_FROM = 0.6, 0.85
"""The side of a part against the whole, and the share of the time from which whole pictures are shown."""
CLEARLY = 0.01
"""mAP50 on validation by which an earlier network must be better than the last to be exported."""
PATIENCE = 3
"""Validations without a better one after which training ends early."""
BYTES_FREE, BYTES_A_PROCESS = 2 << 30, 1 << 30
"""Memory that must be free besides, and for every further process."""
Pools = list[tuple[list[Path], float]]
Classes = tuple[tuple[str, ...], ...]
"""Of each class the names by which weights may know it."""


class Request(NamedTuple):
    """The command's options. `weights`: start from this bundle's; None: the shipped detector's; `scratch`:
    from nothing; `steps`: end after so many, if the time is not up before; `processes` that learn together,
    None: as many as are good here; `workers` beside each of them prepare pictures; `lanes`: what recorded the
    frames (`labelled.Labels`)."""

    annotations: Path
    images: Path | None
    out: Path
    minutes: float
    size: int
    batch: int
    seed: int
    weights: Path | None
    scratch: bool
    project_into: Path | None
    workers: int
    steps: int | None = None
    processes: int | None = None
    lanes: Path | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `map50`: of the exported bundle on the validation pictures, which were not trained
    on; `minutes` in all, those of interrupted starts up to their last checkpoint included; `images_per_s`
    while training; `map50_exact` in 32 bits, `map50_eight_bits` if these were tried; `operating_points`:
    thresholds to choose from, by class; `names`: what the labels call the bundle's classes;
    `taken_names`: which of these began with what the weights know under another name, in words; `cautions`:
    why figures mean little, if they do."""

    map50: float
    map: float
    minutes: float
    images_per_s: float
    images: int
    validation_images: int
    steps: int
    per_class: dict[str, float]
    eight_bits: bool
    map50_exact: float
    cautions: list[str]
    problems: list[str]
    bundle: str
    seed: int
    map50_eight_bits: float | None
    operating_points: dict[str, Operating]
    names: dict[str, tuple[str, ...]]
    taken_names: list[str]


def run(request: Request, told: Callable[[str, dict[str, float]], None]) -> Summary:
    """Train and export. An interrupted run goes on where its last checkpoint was, if it is started again;
    `minutes` are of all its starts together.

    Raises:
        ConfigError: `out` is a bundle already, belongs to another run or cannot be written.
        DataError: the labels or pictures cannot be used.
    """
    check_bundle_place(request.out)
    began = time.monotonic()
    dataset = named(read_dataset(request.annotations, request.images))
    _check_boxes(request, dataset)
    keep_freed_memory()
    processes = request.processes or processes_for(request.batch)
    if request.batch < processes:
        raise ConfigError(f"{request.batch} pictures a step, {processes} processes: each needs one at least")
    names, classes = dataset.names, _words(dataset)
    _begun(request, classes)  # what is wrong with the weights is said before long work
    work, side = request.out.with_name(request.out.name + ".work"), round(request.size * 1.15)
    _claim(work, request, dataset)
    dataset = drawn(dataset, work / "recorded", request.lanes, _every(512, "drawing", told))
    dataset = with_bits(dataset, _every(512, "counting bits", told))
    _check_boxes(request, dataset)
    rows, held_out = split(dataset)
    _check_room(work, len(rows), side, processes, _size_of(work / "pool"))
    used = fill(
        dataset, rows, work / "pool", side, told=lambda done, of: told("reading", {"done": done, "of": of})
    )
    if used < 2:
        raise DataError(
            f"{request.annotations}: pictures that can be learned from: {used}; at least 2 are needed, and "
            "hundreds are better: " + ("; ".join(dataset.problems.lines()) or "no more are listed")
        )
    pools: Pools = [([work / "pool"], 1.0)]
    if request.project_into is not None:
        from nii_edge.learn.projecting import project_into

        project_into(request.project_into, names, work / "projected", side, request.seed, dataset.problems)
        pools.append(([work / "projected"], 0.5))
    patience, best = _Patience(), _Best()

    def measured(mean: Detector) -> float:
        quick = Shape(request.size, looks=1)
        scores, _ = scores_of(to_onnx(mean, request.size), quick, dataset, held_out[:150], names)
        return scores.map50

    def validate(mean: Detector) -> dict[str, float]:
        value = measured(mean)
        patience.saw(value)
        best.saw(value, mean)
        return {"map50": value}

    def warned(words: str) -> None:
        told(words, {})
        dataset.problems.add("checkpoint could not be written (training went on)", words)

    watch = Watch(validate, lambda row: told("training", row), lambda: patience.over, warned)
    given = (request, classes, pools, time.monotonic() - began, work)
    with led(processes, _learn, *given, request.batch // processes):
        mean, progress = _learn(*given, request.batch // processes, watch)
    ended = time.monotonic()
    mean = best.of(mean, measured)
    trial = Trial(
        dataset, held_out, frames_of(dataset, rows, CALIBRATION_PICTURES), spare=rows[:MOST_VALIDATION]
    )
    chosen = bundle_of(mean, Shape(request.size), names, trial, _about(request, dataset, used), request.out)
    minutes = (progress.before + progress.seconds + time.monotonic() - ended) / 60
    summary = _summary(request, dataset, chosen, progress, used, minutes, (rows, held_out))
    write_metrics(request.out, summary)
    write_report(request.out / "report.html", summary, progress, chosen.looked, names)
    return summary


def _check_boxes(request: Request, dataset: Dataset) -> None:
    """Raises DataError if there is nothing to learn."""
    if not any(picture.boxes for picture in dataset.pictures):
        lines = "; ".join(dataset.problems.lines()) or "no label was read"
        raise DataError(f"{request.annotations}: not one box in {len(dataset.pictures)} pictures: {lines}")


def _taught(dataset: Dataset, rows: list[int]) -> list[int]:
    """How many things of each class are labelled on the pictures to learn from."""
    labels = [label for row in rows for *_, label in dataset.pictures[row].boxes]
    return [labels.count(label) for label in range(len(dataset.names))]


def _every(
    count: int, stage: str, told: Callable[[str, dict[str, float]], None]
) -> Callable[[int, int], None]:
    """Tell of each `count`-th, and the last."""

    def heard(done: int, of: int) -> None:
        if done % count == 0 or done == of:
            told(stage, {"done": done, "of": of})

    return heard


def _claim(work: Path, request: Request, dataset: Dataset) -> None:
    """Make `work` this run's, or go on in it. Raises ConfigError if it was begun for another one: its weights
    and pictures would be taken for this one's."""
    start = "nothing" if request.scratch else request.weights or shipped_detector()
    given: tuple[object, ...] = (
        dataset.names, request.size, request.seed, str(start), str(request.project_into)
    )  # fmt: skip
    given = given if request.lanes is None else (*given, str(request.lanes))
    digest = hashlib.sha256(repr(given).encode())
    for picture in dataset.pictures:
        digest.update(repr((picture.place, picture.boxes, sorted(picture.ignored))).encode())
        digest.update(picture.part.encode())
    mark = work / "run.sha256"
    if mark.is_file() and mark.read_text(encoding="ascii") == digest.hexdigest():
        return
    if work.exists() and any(work.iterdir()):
        raise ConfigError(
            f"{work}: belongs to a run with other labels, classes, size, seed or beginning; delete it, or "
            "name another --out"
        )
    work.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest.hexdigest(), encoding="ascii")


def _learn(
    request: Request,
    classes: Classes,
    pools: Pools,
    before: float,
    work: Path,
    batch: int,
    watch: Watch | None = None,
) -> tuple[Detector, Progress]:
    """What each of the processes that learn together does; only the first has a `watch`. `before`: seconds
    that this start has taken until now."""
    seed = request.seed + 1000 * rank()
    torch.manual_seed(seed)
    strength = Strength(display=0.5, grey=0.05, overlay=0.1, fits=request.size)
    minutes = request.minutes * (1 - SHARE_FOR_EXPORT)
    every = max(minutes * 60 / 8, 60.0)
    plan = Plan(minutes, sizes=_sizes(request.size), validate_s=every, steps=request.steps, before=before)
    return train(
        _begun(request, classes),
        lambda size: feed(pools, size, batch, strength, seed + size, request.workers),
        plan,
        work,
        watch or Watch(),
    )


class _Best:
    """The network that validated best on the way. Not kept over an interruption."""

    def __init__(self) -> None:
        self._value = -1.0
        self._state: dict[str, torch.Tensor] | None = None

    def saw(self, value: float, network: Detector) -> None:
        """Take one in."""
        if value > self._value:
            self._value, self._state = value, copy.deepcopy(network.state_dict())

    def of(self, last: Detector, measured: Callable[[Detector], float]) -> Detector:
        """The last one, unless one on the way was clearly better: then that."""
        if self._state is not None and self._value > measured(last) + CLEARLY:
            last.load_state_dict(self._state)
        return last


class _Patience:
    """Counts validations without a better one."""

    def __init__(self) -> None:
        self._best, self._worse = -1.0, 0

    def saw(self, value: float) -> None:
        """Take one in."""
        self._worse = 0 if value > self._best else self._worse + 1
        self._best = max(self._best, value)

    @property
    def over(self) -> bool:
        """Whether to end."""
        return self._worse >= PATIENCE


def split(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Rows to learn from and rows to validate on: what the labels name for that, else by the hash of what
    belongs together (a carton's views, else the picture), so that it is the same at every run. Both hold
    something wherever there are two pictures. Raises DataError if there are only pictures to validate on."""
    # copies of one picture that were made to have more of them (NAME.rf.HASH.jpg) belong together
    keys = [
        str(picture.about.get("carton") or picture.file.name.split(".rf.")[0]) for picture in dataset.pictures
    ]
    shares = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) / 2**32 for key in keys]
    named_for_it = [row for row, picture in enumerate(dataset.pictures) if picture.part == "val"]
    if named_for_it:
        rows = [row for row, picture in enumerate(dataset.pictures) if picture.part != "val"]
        if not rows:
            raise DataError("there are pictures to validate on (`val`), and none to learn from (`train`)")
        held_out = sorted(named_for_it, key=shares.__getitem__)[:MOST_VALIDATION]
        return _without_twins(dataset, rows, held_out), held_out
    held_out = [row for row, value in enumerate(shares) if value < VALIDATION_SHARE][:MOST_VALIDATION]
    if not held_out:
        held_out = [int(np.argmin(shares))]
    kept = set(held_out)
    rows = _without_twins(dataset, [row for row in range(len(keys)) if row not in kept], held_out)
    return rows or held_out, held_out


def _without_twins(dataset: Dataset, rows: list[int], held_out: list[int]) -> list[int]:
    """`rows` but for pictures that are, byte for byte, one of those to validate on, under another name: what
    was learned by heart says nothing. They are counted among the problems."""
    files = [dataset.pictures[row].file for row in held_out]
    known = {_digest(file) for file in files} - {None}
    sizes = {_size(file) for file in files} - {None}
    kept = []
    for row in rows:
        file = dataset.pictures[row].file
        if _size(file) in sizes and _digest(file) in known:
            dataset.problems.add("the same picture is validated on (not learned from)", file)
        else:
            kept.append(row)
    return kept


def _size(file: Path) -> int | None:
    """In bytes; None if it cannot be read, which is named when it is."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _words(dataset: Dataset) -> Classes:
    """Of a data set with names for a bundle."""
    return tuple(
        called if is_made_up(name, called) else (*called, name)
        for name, called in zip(dataset.names, dataset.called, strict=True)
    )


def _begun(request: Request, classes: Classes) -> Detector:
    """A detector with weights, unless from scratch; classes of the same name keep what they know."""
    folder = request.weights or shipped_detector()
    path = folder / FILE
    if request.scratch or (request.weights is None and not path.is_file()):
        return Detector(len(classes))
    if not path.is_file():
        raise ConfigError(f"{path}: not there; name a bundle that `nii-edge train` wrote")
    known, _ = _known(folder, classes)
    detector = detector_for(path, len(classes))
    load_weights(path, detector, tuple(known.get(index) for index in range(len(classes))))
    return detector


def _known(folder: Path, classes: Classes) -> tuple[dict[int, int], list[str]]:
    """The classes that weights know, and as which of theirs; in words, if under another name."""
    theirs, called = tuple(label.name for label in manifest_beside(folder).labels), taught_names(folder)
    words = [(index, word) for index, own in enumerate(classes) for word in own]
    names = [word for _, word in words]
    pairs, _ = matched_names(theirs, names, called)
    best: dict[int, tuple[int, int]] = {}
    for row, fit in pairs.items():  # the best ones first
        best.setdefault(words[row][0], (row, fit))
    lines = said(theirs, names, dict(best.values()), called)
    return {index: fit for index, (_, fit) in best.items()}, [f"{line} of the weights" for line in lines]


def _taken(request: Request, classes: Classes) -> list[str]:
    """Which classes begin with what the weights know under another name."""
    folder = request.weights or shipped_detector()
    return [] if request.scratch or not (folder / FILE).is_file() else _known(folder, classes)[1]


def _sizes(size: int) -> tuple[tuple[float, int], ...]:
    """Parts of pictures for most of the time, where something lies in them and as large as in whole ones:
    2.8 times as many for the same work."""
    small = max(96, round(size * PART / 32) * 32)
    return ((0.0, small), (WHOLE_FROM, size))


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0


def _check_room(folder: Path, pictures: int, side: int, processes: int, there: int) -> None:
    """Raises DataError if the decoded pictures, of which so many bytes are `there`, do not fit on the disk or
    training not into memory."""
    disk = os.statvfs(folder)
    free, needed = disk.f_bavail * disk.f_frsize, max(pictures * side * side * 3 - there, 0)
    if free < needed * 1.1:
        raise DataError(
            f"{folder}: {free / 1e9:.1f} GB free on the disk; the decoded pictures need {needed / 1e9:.1f} GB"
        )
    available, least = _memory_available(), BYTES_FREE + (processes - 1) * BYTES_A_PROCESS
    if available < least:
        raise DataError(
            f"{available / 1e9:.1f} GB of memory free, training needs {least / 1e9:.1f} GB: close "
            "something or use fewer --processes"
        )


def _memory_available() -> int:
    """Bytes that could be had, what the system can give back included."""
    table = Path("/proc/meminfo")
    if table.exists():
        for line in table.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _about(request: Request, dataset: Dataset, used: int) -> About:
    name = request.out.parent.name if request.out.name[:1].isdigit() else request.out.name
    version = request.out.name if request.out.name[:1].isdigit() else "1.0.0"
    card = (
        f"# {name} {version}\n\nTrained by `nii-edge train` on {used} pictures of "
        f"{request.annotations.name}, seed "
        f"{request.seed}; classes: {', '.join(dataset.names)}. Figures are in "
        "metrics.json and report.html, measured on "
        "pictures of the same set that were not trained on: expect less on other "
        "scanners. Thresholds are those of the "
        "best F1 there; metrics.json says what others do (`operating_points`): set your own in the policy.\n"
    )
    return About(
        _plain(name),
        version,
        f"Objects in X-ray pictures: {', '.join(dataset.names)}"[:300],
        "see the data",
        card,
        dict(zip(dataset.names, dataset.called, strict=True)),
    )


def _plain(name: str) -> str:
    """A folder's name as one that a bundle can have, which has ASCII only."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("-_.")
    return kept[:MOST_LETTERS].strip("-_.") or "detector"


def _summary(
    request: Request,
    dataset: Dataset,
    chosen: Chosen,
    progress: Progress,
    used: int,
    minutes: float,
    parted: tuple[list[int], list[int]],
) -> Summary:
    """`parted`: see `split`."""
    scores, (rows, held_out) = chosen.scores, parted
    doubts = learned_cautions(_taught(dataset, rows), dataset.names, set(rows) == set(held_out))
    return Summary(
        map50=round(scores.map50, 4),
        map=round(scores.map, 4),
        minutes=round(minutes, 2),
        images_per_s=round(progress.images / max(progress.seconds, 1e-9), 2),
        images=used,
        validation_images=len(chosen.looked),
        steps=progress.steps,
        per_class=scores.per_class,
        eight_bits=chosen.eight_bits,
        map50_exact=round(chosen.exact.map50, 4),
        cautions=doubts + cautions(chosen.looked, dataset.names),
        problems=dataset.problems.lines(),
        bundle=str(request.out),
        seed=request.seed,
        map50_eight_bits=None if chosen.rounded is None else round(chosen.rounded.map50, 4),
        operating_points=chosen.operating_points,
        names=dict(zip(dataset.names, dataset.called, strict=True)),
        taken_names=_taken(request, _words(dataset)),
    )

"""`nii-edge simulate`: consignments and luggage as recordings, pictures, labels and papers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from nii_edge.adapters.calibration_files import write_calibration
from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.errors import ConfigError, RuntimeMissingError

try:
    from nii_edge.commands.workers import get_ready, in_order, never
    from nii_edge.simulate import labels
    from nii_edge.simulate.calibrated import MADE_AT_NS, Calibrated, calibrated
    from nii_edge.simulate.framing import Framing
    from nii_edge.simulate.produce import Framed, Made, Seen, Shot, jobs, produce
    from nii_edge.simulate.recipe import load_recipe
except ImportError as missing:
    raise RuntimeMissingError(
        f"{missing.name or missing} is not installed; the simulator needs the extra: pip install "
        "'.[simulate]' in the project's folder"
    ) from missing

CARTON_NS = 1_200_000_000
"""From one carton to the next in the recording: 3,000 an hour."""


class Request(NamedTuple):
    """The command's options. `objects`: annotate every thing there is, in a file of its own. `cut`, `merged`:
    see `simulate.framing.Framing`."""

    out: Path
    consignments: int
    luggage: int
    seed: int
    recipe: Path
    scanner: str | None
    recording: bool
    pictures: bool
    objects: bool
    workers: int
    cut: float = 0.0
    merged: float = 0.0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `scans`: what the scanners took for a carton, or a stretch of luggage; `cartons`:
    what really passed; `images`: what annotations.json lists, the pictures written or, without pictures, the
    recorded views; `threats`: annotated things that are prohibited or hidden; `cartons_per_s` with everything
    written."""

    scans: int
    cartons: int
    views: int
    images: int
    annotations: int
    threats: int
    lying_cartons: int
    seconds: float
    cartons_per_s: float
    seed: int


def simulate(
    request: Request, told: Callable[[int, int], None], stopped: Callable[[], bool] = never
) -> Summary:
    """Do all jobs on all cores and write what they made, in order: the same seed gives the same files.

    `told` hears how many jobs are done, of how many. What is made lies in `unfinished(out)` until all of it
    is there; only then it gets its name. `stopped` is asked now and then.

    Raises:
        ConfigError: the folder is not empty or cannot be made, or the recipe is wrong.
        SceneError: nothing fits the scanner.
        StoppedError: `stopped` said so.
    """
    recipe = load_recipe(request.recipe)
    if not (request.consignments or request.luggage):
        raise ConfigError("--consignments 0 --luggage 0: nothing to simulate; ask for some of either")
    if request.objects and not (request.pictures or request.recording):
        raise ConfigError("--objects: boxes and masks are of pictures or recorded frames; write one of them")
    if request.cut + request.merged > 1:
        raise ConfigError(f"--cut {request.cut:g} --merged {request.merged:g}: expected at most 1 together")
    finished, out = request.out, _begun(request.out)
    request = request._replace(out=out)
    names = [make.name for make in recipe.makes()]
    if request.scanner is not None and request.scanner not in names:
        raise ConfigError(f"{request.recipe}: has no scanner {request.scanner!r}; it has {', '.join(names)}")
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be made: {error.strerror}") from error
    work = jobs(
        recipe, request.seed, request.consignments, request.luggage, request.scanner, request.pictures,
        "everything" if request.objects else "labelled", Framing(request.cut, request.merged),
    )  # fmt: skip
    get_ready()
    makes = [make for make in recipe.makes() if request.scanner in (None, make.name)]
    units = [calibrated(make) for make in makes]
    _write_scanners(request.out, units, "belt" if request.luggage else "carton")
    began = time.monotonic()
    with ExitStack() as stack:
        writer = stack.enter_context(_Writer(request))
        for number, made in enumerate(in_order(produce, work, units, request.workers, stopped), 1):
            writer.add(made)
            told(number, len(work))
    out.replace(finished)
    return writer.summary(time.monotonic() - began)


def unfinished(out: Path) -> Path:
    """Where a simulation lies that is under way, or was stopped."""
    return out.with_name(out.name + ".part")


def _begun(out: Path) -> Path:
    """Where to make what is to become `out`. Raises ConfigError."""
    part = unfinished(out)
    if out.is_mount() or not out.name:
        raise ConfigError(f"--out {out}: name a folder in it, that does not exist yet")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder that does not exist yet")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"--out {out}: is not empty; name a folder that is, or does not exist yet")
    if part.exists():
        raise ConfigError(
            f"{part}: a simulation that was not finished, or is under way; delete it if it is not"
        )
    return part


class _Writer:
    """Writes what comes, file by file."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._recording = RecordingWriter(request.out / "recording.mcap") if request.recording else None
        if request.pictures:
            (request.out / "images").mkdir()
        self._seqs: dict[str, int] = {}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._manifests: list[dict[str, Any]] = []
        self._papers: list[Made] = []
        self._views = 0
        self._threats = 0

    def add(self, made: Made) -> None:
        """One job's cartons."""
        if made.master is not None:
            self._manifests.append(labels.manifest(made))
            self._papers.append(made._replace(cartons=()))
        first = self._seqs.get(made.scanner, 0) + 1
        self._truth += [
            labels.truth(made, carton) | {"scans": labels.scans(made, carton, first)}
            for carton in range(len(made.cartons))
        ]
        threats: set[tuple[tuple[int, ...], int]] = set()
        for scan in made.scans:
            threats |= {(scan.cartons, seen.thing) for seen in scan.shots[0].seen if _is_threat(seen)}
            self._add_scan(made, scan)
        self._threats += len(threats)

    def summary(self, seconds: float) -> Summary:
        """What was written."""
        return Summary(
            scans=sum(self._seqs.values()),
            cartons=len(self._truth),
            views=self._views,
            images=len(self._images),
            annotations=len(self._annotations),
            threats=self._threats,
            lying_cartons=sum(tree["lie"] is not None for tree in self._truth),
            seconds=round(seconds, 1),
            cartons_per_s=round(len(self._truth) / max(seconds, 1e-9), 2),
            seed=self._request.seed,
        )

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._recording is not None:
            self._recording.close()
        if kind is not None:
            return
        out = self._request.out
        coco = {
            "info": {"description": "nii_edge simulation", "seed": self._request.seed},
            "images": self._images,
            "annotations": self._annotations,
            "categories": labels.categories(),
        }
        (out / "annotations.json").write_bytes(msgspec.json.encode(coco))
        if self._request.objects:
            every = {"annotations": self._objects, "categories": labels.role_categories()}
            (out / "objects.json").write_bytes(msgspec.json.encode(coco | every))
        (out / "truth.json").write_bytes(_readable(self._truth))
        (out / "manifests.json").write_bytes(_readable(self._manifests))
        (out / "manifests.csv").write_text(labels.manifest_csv(self._papers), encoding="utf-8")

    def _add_scan(self, made: Made, scan: Framed) -> None:
        seq = self._seqs[made.scanner] = self._seqs.get(made.scanner, 0) + 1
        at = MADE_AT_NS + sum(self._seqs.values()) * CARTON_NS
        code = labels.barcode(made, scan.cartons[0])
        for view, shot in enumerate(scan.shots):
            self._views += 1
            if self._recording is not None:
                views = len(scan.shots)
                self._recording.write_frame(
                    *labels.frame_message(made.scanner, seq, view, views, code, shot, at), at
                )
            where = {"carton": code, "seq": seq, "view": view, "shows": scan.shows}
            if shot.picture is not None:
                number = len(self._images) + 1
                file = f"{number:06d}.jpg"
                (self._request.out / "images" / file).write_bytes(shot.picture)
                self._note(number, file, shot.picture_size, made, {**where, "display": shot.display}, shot)
            elif self._recording is not None:
                number = len(self._images) + 1
                size = (int(shot.counts.shape[0]), int(shot.counts.shape[1]))
                self._note(number, f"recording.mcap#{made.scanner}/{seq}/{view}", size, made, where, shot)

    def _note(
        self, number: int, file: str, size: tuple[int, int], made: Made, where: dict[str, Any], shot: Shot
    ) -> None:
        self._images.append(labels.image(number, file, size, made, where))
        for seen in shot.seen:
            if seen.label is not None:
                count = len(self._annotations) + 1
                self._annotations.append(labels.annotation(count, number, seen, shot, size))
            if self._request.objects:
                count = len(self._objects) + 1
                self._objects.append(labels.role_annotation(count, number, seen, shot, size))


def _is_threat(seen: Seen) -> bool:
    return seen.label not in (None, "inner_parcel") and not seen.lawful


def _write_scanners(out: Path, units: list[Calibrated], shows: Literal["belt", "carton"]) -> None:
    """A profile and a calibration for each scanner, as a daemon's configuration names them."""
    (out / "scanners").mkdir()
    for unit in units:
        name = unit.scanner.name
        tree = msgspec.to_builtins(msgspec.structs.replace(unit.profile, shows=shows))
        (out / "scanners" / f"{name}.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        for view, (detector, wedges) in enumerate(zip(unit.detectors, unit.wedges, strict=True)):
            write_calibration(out / "scanners" / f"{name}-{view}.cal", detector, wedges)


def _readable(tree: object) -> bytes:
    """JSON for people to read too."""
    return msgspec.json.format(msgspec.json.encode(tree), indent=1)

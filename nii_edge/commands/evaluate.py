"""`nii-edge evaluate`: a bundle's boxes against labels, and cartons where the labels know them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from nii_edge.bundle import load_bundle
from nii_edge.commands.labelled import Labels, read_labelled
from nii_edge.commands.outcome import check_file_place
from nii_edge.errors import DataError
from nii_edge.intervals import wilson
from nii_edge.learn.few import cautions
from nii_edge.learn.looking import Eye, Looked, look_at, shipped_detector
from nii_edge.learn.names import said, taught_names
from nii_edge.learn.scoring import (
    Scores,
    alike,
    average_precision,
    calibration_error,
    detection_rate,
    matched_names,
    right_or_not,
    scaled,
)

PFA = (0.01, 0.02, 0.05, 0.1)
LAWFUL = ("bottle", "inner_parcel")
"""Classes that are not prohibited in themselves, and raise no alarm of a carton by themselves."""
RESAMPLES = 200


class Request(NamedTuple):
    """The command's options. `report`: where to write the page with plots, or None; `lanes`: what recorded
    the frames, see `labelled.Labels`."""

    bundle: Path | None
    images: Path | None
    annotations: Path
    report: Path | None
    seed: int
    threads: int
    lanes: Path | None = None


class CartonRate(msgspec.Struct, frozen=True, kw_only=True):
    """Pd of cartons at a wanted Pfa, the Pfa that the threshold really had, both with Wilson intervals."""

    pfa_wanted: float
    pfa: float
    pfa_interval: tuple[float, float]
    pd: float
    pd_interval: tuple[float, float]
    threshold: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `calibration_error_scaled`: scaled by the other half of the groups of pictures;
    `per_class`: AP at IoU 0.5; `interval`: of map50, 95 %, bootstrap over pictures (or cartons); `by`: map50
    by what the labels say of pictures; `taken_names`: which names of the labels were taken for others of the
    bundle's, in words; `cautions`: why figures mean little, if they do; `cartons`: only
    where labels know cartons."""

    map50: float
    map: float
    ap30: float
    interval: tuple[float, float]
    per_class: dict[str, float]
    per_class30: dict[str, float]
    images: int
    unmatched_names: list[str]
    taken_names: list[str]
    cautions: list[str]
    problems: list[str]
    calibration_error: float
    calibration_error_scaled: float
    by: dict[str, dict[str, float]]
    cartons: list[CartonRate]
    carton_counts: dict[str, int]
    ms_per_image: float


def evaluate(request: Request, told: Callable[[int, int], None]) -> Summary:
    """Look at all pictures and compare. Frames of recordings are drawn into a folder of the system's for
    temporary files. `told` hears how many are done, of how many: first drawn, then looked at.

    Raises:
        ConfigError: the bundle cannot be used, or the report not be written.
        DataError: the labels cannot be used, or none of their names is one of the bundle's.
    """
    if request.report is not None:
        check_file_place(request.report)
    with TemporaryDirectory(prefix="nii_edge-") as work:
        return _evaluate(request, Path(work), told)


def _evaluate(request: Request, work: Path, told: Callable[[int, int], None]) -> Summary:
    folder = request.bundle or shipped_detector()
    bundle = load_bundle(folder)
    names = tuple(label.name for label in bundle.manifest.labels)
    labels = Labels(request.annotations, request.images, request.lanes, "testing")
    dataset = read_labelled(labels, work, told)
    called = taught_names(bundle.folder)
    pairs, strange = matched_names(names, dataset.names, called)
    if not pairs:
        raise DataError(
            f"{request.annotations}: its classes are {', '.join(dataset.names)}; "
            f"the bundle's are {', '.join(names)}"
        )
    eye = Eye(bundle, request.threads)
    began = time.perf_counter()
    try:
        looked = look_at(eye, dataset, None, told)
    finally:
        eye.close()
    spent = time.perf_counter() - began
    if not looked:
        raise DataError("no picture could be looked at: " + "; ".join(dataset.problems.lines()))
    ours = [_renamed(one, pairs) for one in looked]
    # a carton with something that the bundle has no name for is neither one that it should find nor honest
    strange_groups = {_group(one) for one in looked if any(mark.label not in pairs for mark in one.wanted)}
    judged = [one for one in ours if _group(one) not in strange_groups]
    occurring = {dataset.names[label] for p in dataset.pictures for *_, label in p.boxes}
    scores = _scores(ours, names)
    summary = Summary(
        map50=round(scores.map50, 4),
        map=round(scores.map, 4),
        ap30=round(scores.ap30, 4),
        interval=_bootstrapped(ours, names, request.seed),
        per_class=scores.per_class,
        per_class30=scores.per_class30,
        images=len(looked),
        unmatched_names=sorted(name for name in strange if name in occurring),
        taken_names=said(names, dataset.names, pairs, called),
        cautions=cautions(ours, names),
        problems=dataset.problems.lines(),
        calibration_error=round(_calibration(ours), 4),
        calibration_error_scaled=round(_calibration_scaled(ours), 4),
        by=_by(ours, names),
        cartons=_cartons(judged, names),
        carton_counts=_counts(judged, names),
        ms_per_image=round(1000 * spent / len(looked), 2),
    )
    if request.report is not None:
        from nii_edge.learn.page import write_page

        write_page(request.report, summary, ours, names, _carton_scores(judged, names))
    return summary


def _renamed(one: Looked, pairs: dict[int, int]) -> Looked:
    """With the bundle's indices; what the bundle has no name for is left out."""
    kept = [(m, extra) for m, extra in zip(one.wanted, one.extras, strict=True) if m.label in pairs]
    wanted = tuple(mark._replace(label=pairs[mark.label]) for mark, _ in kept)
    return one._replace(wanted=wanted, extras=tuple(extra for _, extra in kept))


def _scores(looked: list[Looked], names: tuple[str, ...]) -> Scores:
    return average_precision([one.wanted for one in looked], [one.found for one in looked], names)


def _calibration(looked: list[Looked]) -> float:
    sure = _sure(looked)
    return calibration_error([score for score, _ in sure], [right for _, right in sure])


def _calibration_scaled(looked: list[Looked]) -> float:
    """Each half of the groups scaled by what is known of the other."""
    place = {group: number % 2 for number, group in enumerate(sorted({_group(one) for one in looked}))}
    halves = [_sure([one for one in looked if place[_group(one)] == half]) for half in (0, 1)]
    scores: list[float] = []
    for own, other in (halves, halves[::-1]):
        known = [score for score, _ in other], [right for _, right in other]
        scores += scaled(*known, [score for score, _ in own]).tolist()
    return calibration_error(scores, [right for half in halves for _, right in half])


def _sure(looked: list[Looked]) -> list[tuple[float, bool]]:
    """What is told with a score that says something, and whether it is right."""
    pairs = right_or_not([one.wanted for one in looked], [one.found for one in looked])
    return [(score, right) for score, right in pairs if score >= 0.05]


def _group(one: Looked) -> str:
    """Pictures of one carton or stretch of belt belong together."""
    about = one.picture.about
    return str(about.get("carton") or one.picture.file)


def _bootstrapped(looked: list[Looked], names: tuple[str, ...], seed: int) -> tuple[float, float]:
    """Of map50, over groups of pictures that belong together."""
    groups: dict[str, list[Looked]] = {}
    for one in looked:
        groups.setdefault(_group(one), []).append(one)
    rng, keys = np.random.default_rng(seed), list(groups)
    values = []
    for _ in range(RESAMPLES if len(keys) > 1 else 0):
        drawn = [one for key in rng.integers(0, len(keys), len(keys)) for one in groups[keys[int(key)]]]
        values.append(_scores(drawn, names).map50)
    if not values:
        return 0.0, 1.0
    low, high = np.percentile(values, (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def _by(looked: list[Looked], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """map50 by scanner, display and story of the picture, by how cluttered it is, and by how much covers an
    object."""
    made: dict[str, dict[str, float]] = {}
    for key in ("scanner", "display", "story"):
        values = sorted({str(one.picture.about[key]) for one in looked if one.picture.about.get(key)})
        if len(values) > 1:
            made[key] = {
                value: round(
                    _scores([o for o in looked if str(o.picture.about.get(key)) == value], names).map50, 4
                )
                for value in values
            }
    clutter = [one.clutter for one in looked]
    if len(set(clutter)) > 2:
        made["clutter"] = {
            f"{low:.3f}-{high:.3f}": round(
                _scores([one for one in looked if low <= one.clutter < high], names).map50, 4
            )
            for low, high in itertools.pairwise([0.0, *np.percentile(clutter, (33, 67)).tolist(), 1.01])
        }
    covered = [
        float(extra["cover_g_cm2"]) for one in looked for extra in one.extras if "cover_g_cm2" in extra
    ]
    if covered:
        edges = [0.0, *np.percentile(covered, (33, 67)).tolist(), float("inf")]
        made["cover_g_cm2"] = {
            f"{low:.1f}-{high:.1f}": round(_scores(_only_covered(looked, low, high), names).map50, 4)
            for low, high in itertools.pairwise(edges)
        }
    return made


def _only_covered(looked: list[Looked], low: float, high: float) -> list[Looked]:
    """The same with objects outside the span ignored."""
    made = []
    for one in looked:
        marks = tuple(
            mark._replace(ignored=mark.ignored or not low <= float(extra.get("cover_g_cm2", low)) < high)
            for mark, extra in zip(one.wanted, one.extras, strict=True)
        )
        made.append(one._replace(wanted=marks))
    return made


def _carton_scores(looked: list[Looked], names: tuple[str, ...]) -> dict[str, tuple[float, bool]]:
    """Per carton the best score of a prohibited class in any view, and whether one is in it, seen or not.

    Cartons with lawful goods of such a shape, declared knives for instance, are in neither group: the
    detector is right to see them, and the papers decide.
    """
    harmless = alike(LAWFUL, names)
    prohibited = {index for index, name in enumerate(names) if name not in harmless}
    made: dict[str, tuple[float, bool]] = {}
    lawful: set[str] = set()
    for one in looked:
        if not one.picture.about.get("carton"):
            continue
        key = _group(one)
        best, threat = made.get(key, (0.0, False))
        marks = [(m, extra) for m, extra in zip(one.wanted, one.extras, strict=True) if m.label in prohibited]
        if any(extra.get("lawful") for _, extra in marks):
            lawful.add(key)
        own = max((f.score for f in one.found if f.label in prohibited), default=0.0)
        made[key] = max(best, own), threat or any(not extra.get("lawful") for _, extra in marks)
    return {key: value for key, value in made.items() if key not in lawful}


def _counts(looked: list[Looked], names: tuple[str, ...]) -> dict[str, int]:
    cartons = _carton_scores(looked, names)
    return {
        "with_threat": sum(t for _, t in cartons.values()),
        "without": sum(not t for _, t in cartons.values()),
    }


def _cartons(looked: list[Looked], names: tuple[str, ...]) -> list[CartonRate]:
    """Thresholds come from every other carton without a threat, rates from the rest."""
    cartons = _carton_scores(looked, names)
    honest = sorted(key for key, (_, threat) in cartons.items() if not threat)
    lying = [key for key, (_, threat) in cartons.items() if threat]
    if len(honest) < 20 or not lying:
        return []
    made = []
    for wanted in PFA:
        calibrating = {key: cartons[key][0] for key in [*honest[::2], *lying]}
        _, _, threshold = detection_rate(calibrating, {key: cartons[key][1] for key in calibrating}, wanted)
        false = sum(cartons[key][0] >= threshold for key in honest[1::2])
        hits = sum(cartons[key][0] >= threshold for key in lying)
        rest = len(honest[1::2])
        made.append(
            CartonRate(
                pfa_wanted=wanted,
                pfa=round(false / rest, 4),
                pfa_interval=_rounded(wilson(false, rest)),
                pd=round(hits / len(lying), 4),
                pd_interval=_rounded(wilson(hits, len(lying))),
                threshold=round(threshold, 4),
            )
        )
    return made


def _rounded(pair: tuple[float, float]) -> tuple[float, float]:
    return round(pair[0], 4), round(pair[1], 4)


def show(summary: Summary, out: Console) -> None:
    """Tables for people."""
    table = Table("class", "AP50", "AP30")
    for name, value in summary.per_class.items():
        table.add_row(name, f"{value:.3f}", f"{summary.per_class30[name]:.3f}")
    table.add_row("mean", f"{summary.map50:.3f}", f"{summary.ap30:.3f}")
    out.print(table)
    low, high = summary.interval
    out.print(
        f"{summary.images} pictures, {summary.ms_per_image} ms each; "
        f"mAP50 {summary.map50:.3f} ({low:.3f}-{high:.3f}), "
        f"mAP50-95 {summary.map:.3f}",
        highlight=False,
    )
    for rate in summary.cartons:
        out.print(
            f"cartons: Pd {rate.pd:.3f} {rate.pd_interval} at Pfa {rate.pfa:.3f} {rate.pfa_interval}",
            highlight=False,
        )
    for line in summary.taken_names:
        out.print(line, markup=False, highlight=False)
    for line in summary.cautions:
        out.print(line, style="yellow", markup=False, highlight=False)
    for name in summary.unmatched_names:
        line = f"no such class in the bundle: {name}"
        out.print(line, style="yellow", markup=False, highlight=False)
    for line in summary.problems:
        out.print(line, style="yellow", markup=False, highlight=False)

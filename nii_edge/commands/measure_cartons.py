"""`nii-edge evaluate-cartons` and `nii-edge fit-cartons`: from recipes or folders to numbers."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np

from nii_edge.adapters.array_files import write_arrays
from nii_edge.commands import evaluate_cartons, fit_cartons
from nii_edge.commands.carton_stock import Stock
from nii_edge.commands.cartons import Carton, frames_of, papers_of, recorded, regime, seconds
from nii_edge.commands.outcome import check_file_place
from nii_edge.commands.sight import Eyes, Sight, scan_of, shield_detector
from nii_edge.detect import anomaly, evidence, fusion, heat, mass
from nii_edge.detect.carton_fit import CartonFit, to_arrays
from nii_edge.errors import ConfigError, DataError
from nii_edge.inference_process import read_fit
from nii_edge.learn.looking import evidence_detector
from nii_edge.resources import shipped
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.produce import Job, produce
from nii_edge.simulate.recipe import Recipe, load_recipe
from nii_edge.xray.carton import measure

Told = Callable[[str, int, int], None]

PER_CONSIGNMENT = 5.5
"""Cartons of a consignment on average: recipes say 3 to 8."""
HISTORY_SEED = 7_919
"""Added to the seed for the site's history: consignments that the test never sees."""
HISTORY_SHARE = 0.7
"""Cartons of history to one of the test: with half as many the threshold for 2 % of honest cartons let 1.5 to
3.2 % pass as alarms, and banks missed goods that had hardly passed before (docs/DETECTION.md)."""
LEAST_HISTORY = 40
"""Consignments of it at least."""
SHIPPED_FIT = "carton/1.8.0/fit.npz"


def fit_file() -> Path:
    """The shipped fit."""
    return shipped("models") / SHIPPED_FIT


class Request(NamedTuple):
    """The options of `nii-edge evaluate-cartons`. `folders`: the test's and the history's, instead of
    simulating; `data`: where what is simulated is kept, None for nowhere; `detector`: the bundle
    that looks at cartons, None for the shipped one if `fit` was fitted with one."""

    cartons: int
    seed: int
    recipe: Path
    folders: tuple[Path, Path] | None
    data: Path | None
    fit: Path
    detector: Path | None
    workers: int


def evaluate(request: Request, told: Told) -> evaluate_cartons.Result:
    """Everything that `nii-edge evaluate-cartons` prints. `told` hears which stage is how far."""
    began = time.monotonic()
    fitted, digest = read_fit(request.fit, None)
    if request.detector is None and fitted.detector:
        request = request._replace(detector=evidence_detector())
    sight = Sight(Eyes(request.fit, request.detector))
    check_fitted(request.fit, fitted.detector, sight.digest)
    recipe = load_recipe(request.recipe)
    if request.folders is not None:
        test, past = (recorded(folder, sight) for folder in request.folders)
    else:
        test, past = _simulated(request, recipe, told)
    told("evaluating", 0, 1)
    found = evaluate_cartons.evaluate(test, past, fitted, request.seed)
    each = _seconds_each(
        recipe, request.seed, fitted, fit_cartons.history_of(fit_cartons.weighed(past, fitted)), sight
    )
    told("evaluating", 1, 1)
    tree: dict[str, Any] = {
        **found,
        "ms_per_carton": 1000 * each,
        "cartons": len(test),
        "consignments": len({each.papers.master_bill for each in test}),
        "history_cartons": len(past),
        "seed": request.seed,
        "fit": digest[:12],
        "seconds": round(time.monotonic() - began, 1),
    }
    return msgspec.convert(_rounded(tree), evaluate_cartons.Result)


def _simulated(request: Request, recipe: Recipe, told: Told) -> tuple[list[Carton], list[Carton]]:
    """The test's cartons, at least as many as asked for, and the history's."""

    def stock(part: str, seed: int) -> Stock:
        folder = None if request.data is None else request.data / part
        return Stock(recipe, seed, request.workers, folder, Eyes(request.fit, request.detector))

    test, history = stock("test", request.seed), stock("history", request.seed + HISTORY_SEED)
    wanted = math.ceil(request.cartons / PER_CONSIGNMENT)
    before = max(LEAST_HISTORY, math.ceil(HISTORY_SHARE * wanted))
    past = history.take(before, lambda done, of: told("history, consignments", done, of))
    found: list[Carton] = []
    while len(found) < request.cartons:
        found = test.take(wanted, lambda done, of: told("test, consignments", done, of))
        wanted += max(1, math.ceil((request.cartons - len(found)) / PER_CONSIGNMENT))
    return found, past


class FitRequest(NamedTuple):
    """The options of `nii-edge fit-cartons`. `folders`: instead of simulating; `data`: as in `Request`;
    `network`: the ONNX file of the network that reads cartons, or an earlier fit; `detector`: the bundle
    whose shapes are evidence, None for none."""

    consignments: int
    seed: int
    recipe: Path
    folders: Sequence[Path]
    data: Path | None
    network: Path
    detector: Path | None
    workers: int


def fit_and_write(request: FitRequest, out: Path, told: Told) -> dict[str, Any]:
    """Fit everything on freshly simulated consignments (kept in `data`), or on folders, and write it.

    Raises:
        ConfigError: recipe, folders or detector cannot be used, or `out` not be written. DataError: too few
        cartons of a kind.
    """
    check_file_place(out)
    eyes = Eyes(request.network, request.detector)
    sight = Sight(eyes)
    if request.folders:
        cartons: list[Carton] = []
        for number, folder in enumerate(request.folders, 1):
            cartons += recorded(folder, sight)
            told("read", number, len(request.folders))
    else:
        stock = Stock(load_recipe(request.recipe), request.seed, request.workers, request.data, eyes)
        cartons = stock.take(request.consignments, lambda done, of: told("training, consignments", done, of))
    try:
        fitted = fit_cartons.fit(cartons, sight.network, request.seed, sight.digest)
    except ValueError as error:
        raise DataError(f"{len(cartons)} cartons cannot be fitted to: {error}; take more of them") from error
    digest = write_arrays(out, to_arrays(fitted))
    return {
        "cartons": len(cartons),
        "lying": sum(bool(each.lie) for each in cartons),
        "detector": fitted.detector[:12],
        "network": sight.network_digest[:12],
        "sha256": digest,
    }


def check_fitted(file: Path, wanted: str, given: str) -> None:
    """Raises ConfigError: evidence is fitted to one detector's shapes."""
    if wanted != given:
        names = [digest[:12] or "none" for digest in (wanted, given)]
        raise ConfigError(
            f"{file} was fitted with detector {names[0]}, this one is {names[1]}; name the one that it was "
            "fitted with, or fit again (nii-edge fit-cartons)"
        )


def _seconds_each(
    recipe: Recipe, seed: int, fit: CartonFit, learned: fit_cartons.History, sight: Sight
) -> float:
    """Seconds for all carton detectors, that for shielding among them, on one carton of two views, on two
    cores."""
    makes = [make for make in recipe.makes() if len(make.views) == 2] or list(recipe.makes())
    made = produce(Job(recipe, "consignment", seed, 0, makes[0].name, False))
    unit, papers, rules = calibrated(makes[0]), papers_of(made), regime()
    shields = shield_detector(made.scanner, unit.optics)
    site = learned.site()
    consignment = anomaly.Consignment(fit.null)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)

    def look(number: int) -> float:
        frames = frames_of(made, number)
        measures = measure(unit.profile, unit.optics, frames, sight.read)
        seen = sight.look(made.scanner, unit.optics, frames)
        shields.detect([scan_of(made.scanner, frames)])
        for frame in frames:
            heat.blocks_of(frame, unit.optics[frame.view])
        if measures is None:
            return float("nan")
        measures = mass.weighed(fit.mass, measures)
        odd = consignment.look(papers[number].barcode, anomaly.traits(measures, papers[number], seen))
        found = evidence.gather(measures, papers[number], rules, site, odd, seen)
        return float(fusion.weigh(fit.fusion, found.features).log_odds)

    with contextlib.ExitStack() as closing:
        closing.callback(cv2.setNumThreads, threads)
        look(0)
        return float(np.median([seconds(partial(look, number), 3) for number in range(len(papers))]))


def _rounded(value: Any) -> Any:
    """Numbers with four digits after the point; what is not a number has no place in JSON: -1 says that there
    was nothing to tell it from."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else -1.0
    return value

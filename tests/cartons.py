"""One small simulated consignment with its scanner's calibration and its papers, made once a test run."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from harness import ROOT, Site, command

from nii_edge.adapters.calibration_files import write_calibration
from nii_edge.commands.cartons import frames_of, papers_of
from nii_edge.commands.sight import Eyes, Sight
from nii_edge.detect.manifest import Lane
from nii_edge.learn.looking import evidence_detector
from nii_edge.papers import Papers
from nii_edge.records import Frame
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.produce import Job, Made, produce
from nii_edge.simulate.recipe import load_recipe
from nii_edge.xray.carton import Measures, measure
from nii_edge.xray.carton_map import Read

SCANNER = "border"


FIT = ROOT / "models" / "carton" / "1.8.0" / "fit.npz"


@lru_cache(maxsize=1)
def read() -> Read:
    """With the shipped network."""
    return Sight(Eyes(FIT, None)).read


class Consignment(NamedTuple):
    made: Made
    lane: Lane
    papers: list[Papers]
    frames: list[tuple[Frame, ...]]
    measures: list[Measures]


@lru_cache(maxsize=1)
def consignment() -> Consignment:
    """Three plain cartons of one sort of goods on a two-view scanner."""
    recipe = load_recipe(ROOT / "configs" / "simulate" / "test.yaml")
    small = msgspec.structs.replace(
        recipe.consignments, stories={"plain": 1.0}, cartons=(3, 3), litres=(8.0, 10.0)
    )
    made = produce(
        Job(msgspec.structs.replace(recipe, consignments=small), "consignment", 3, 0, SCANNER, False)
    )
    make = next(make for make in recipe.makes() if make.name == SCANNER)
    unit = calibrated(make)
    frames = [frames_of(made, number) for number in range(3)]
    found = [measure(unit.profile, unit.optics, each, read()) for each in frames]
    return Consignment(
        made,
        Lane(unit.profile, unit.optics),
        papers_of(made),
        frames,
        [each for each in found if each is not None],
    )


def calibrated_lane(
    site: Site, table: Path, policy: dict[str, object], **manifest: object
) -> dict[str, object]:
    """An edge's configuration: the virtual scanner with its own calibration, the papers of `table` in a
    store, a policy, and what `manifest` has besides."""
    unit = calibrated(SCANNERS[SCANNER])
    files = []
    for view, (detector, wedges) in enumerate(zip(unit.detectors, unit.wedges, strict=True)):
        files.append(str(site.folder / f"{SCANNER}-{view}.cal"))
        write_calibration(Path(files[-1]), detector, wedges)
    store = site.folder / "manifests.db"
    subprocess.run(
        command("manifest", "import", str(table), "--store", str(store), "--json"),
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    scanner = {
        "profile": str(site.write("scanner.yaml", msgspec.to_builtins(unit.profile))),
        "calibration": files,
        "calibration_hours": 1e6,
    }
    return {
        "scanners": {SCANNER: scanner},
        "policy": str(site.write("policy.yaml", policy)),
        "deadline_ms": 60_000,
        "manifest": {
            "store": str(store),
            "regime": str(ROOT / "configs" / "regime.yaml"),
            "fit": str(FIT),
            "detector": str(evidence_detector()),
            **manifest,
        },
    }

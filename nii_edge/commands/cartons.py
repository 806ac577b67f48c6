"""Simulated cartons with their papers and their truth, measured: for fitting and for evaluating."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.manifest_files import add_items, read_into
from nii_edge.adapters.manifest_rows import Collecting
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.commands.sight import Eyes, Sight
from nii_edge.config import Profile, load
from nii_edge.detect import shapes
from nii_edge.errors import ConfigError
from nii_edge.papers import Papers
from nii_edge.records import Frame
from nii_edge.regime import Columns, Regime
from nii_edge.resources import shipped
from nii_edge.simulate import labels
from nii_edge.simulate.calibrated import Calibrated, calibrated
from nii_edge.simulate.produce import Job, Made, produce
from nii_edge.simulate.shells import BAGS
from nii_edge.xray.carton import Measures, measure
from nii_edge.xray.optics import Optics

METALS = frozenset(
    {"aluminium", "magnesium", "titanium", "steel", "stainless", "iron", "nickel", "brass", "bronze",
     "copper", "zinc", "zamak", "tin", "solder", "lead", "silver", "gold", "tungsten"}
)  # fmt: skip
NAMES_KEY = bytes(32)
"""Simulated names need no secret."""


class Carton(NamedTuple):
    """One carton. `views`: how many; `lie` is empty and `faults` false where it may pass; `parcels` and
    `grams` are true; `metal`: true share of its mass in things of metal; `bags`: the share of its parcels
    packed in bags; `deep`: how many of these lie over one place at most; `seen`: by an object detector, None
    without one."""

    measures: Measures
    papers: Papers
    views: int
    story: str
    lie: str
    faults: bool
    parcels: int
    grams: float
    metal: float
    bags: float
    deep: int
    seen: shapes.Seen | None = None

    @property
    def honest(self) -> bool:
        """Whether it may pass."""
        return not self.lie and not self.faults


def regime() -> Regime:
    """The shipped rules."""
    return load(shipped("configs") / "regime.yaml", Regime)


def frames_of(made: Made, carton: int) -> tuple[Frame, ...]:
    """A simulated carton's frames as the daemon would have them, of a consignment without cut and merged ones
    (`simulate.framing`)."""
    profile = _unit(made).profile
    return tuple(_frame(profile, view, shot.counts) for view, shot in enumerate(made.scans[carton].shots))


def papers_of(made: Made) -> list[Papers]:
    """A simulated consignment's papers, by the same import that customers' files take."""
    rows = Collecting(regime(), Columns(version=1), NAMES_KEY)
    tree = json.loads(json.dumps(labels.manifest(made)))
    add_items("simulated", [tree], Columns(version=1), rows)
    return rows.papers()


def recorded(folder: Path, sight: Sight) -> list[Carton]:
    """Cartons that `nii-edge simulate` wrote to a folder, of those that it shows whole. Raises ConfigError,
    RecordingError."""
    truth = {tree["barcode"]: tree for tree in json.loads((folder / "truth.json").read_text())}
    columns = Columns(version=1)
    rows = Collecting(regime(), columns, NAMES_KEY)
    read_into(folder / "manifests.json", columns, rows)
    papers = {each.barcode: each for each in rows.papers()}
    units: dict[str, tuple[Profile, list[Optics]]] = {}
    for path in sorted((folder / "scanners").glob("*.yaml")):
        profile = load(path, Profile)
        files = [path.with_name(f"{path.stem}-{view}.cal") for view in range(len(profile.views))]
        units[path.stem] = profile, [read_optics(file, profile.penetration_limit) for file in files]
    found = []
    for scanner, barcode, frames in _scans(folder / "recording.mcap"):
        if barcode not in papers or any(scan["shows"] != "whole" for scan in truth[barcode].get("scans", ())):
            continue  # luggage; cut, or merged with another
        profile, optics = units[scanner]
        shown = [_frame(profile, view, counts) for view, counts in enumerate(frames)]
        measures = measure(profile, optics, shown, sight.read)
        carton = _carton(measures, papers[barcode], len(frames), truth[barcode])
        if carton is not None:
            found.append(carton._replace(seen=sight.look(scanner, optics, shown)))
    if not found:
        raise ConfigError(f"{folder}: no cartons with papers; nii-edge simulate --consignments N makes some")
    return found


def _scans(path: Path) -> Iterator[tuple[str, str, list[npt.NDArray[np.uint16]]]]:
    frames: list[npt.NDArray[np.uint16]] = []
    for source in McapSource(path):
        header = source.header
        pixels = np.frombuffer(source.payload, "<u2").reshape(header.height or 0, header.width or 0, 2)
        frames.append(pixels)
        if len(frames) == header.views:
            yield header.scanner, header.carton or "", frames
            frames = []


def _unit(made: Made) -> Calibrated:
    make = next(make for make in made.job.recipe.makes() if make.name == made.scanner)
    return calibrated(make)


@lru_cache(maxsize=1)
def _sight(eyes: Eyes) -> Sight:
    return Sight(eyes)


def one(job: Job, eyes: Eyes) -> list[Carton]:
    """One consignment, simulated, measured and looked at, in a worker."""
    sight = _sight(eyes)
    made = produce(job._replace(seen="nothing"))
    unit, papers = _unit(made), papers_of(made)
    found = []
    for number, declared in enumerate(papers):
        frames = frames_of(made, number)
        measures = measure(unit.profile, unit.optics, frames, sight.read)
        carton = _carton(measures, declared, len(frames), labels.truth(made, number))
        if carton is not None:
            found.append(carton._replace(seen=sight.look(made.scanner, unit.optics, frames)))
    return found


def _frame(profile: Profile, view: int, counts: npt.NDArray[np.uint16]) -> Frame:
    return Frame(
        view=view,
        view_name=profile.views[view],
        channels=("low", "high"),
        pixels=counts,
        full_scale=profile.formats[0].air or 1.0,
        opaque_below=profile.penetration_limit,
    )


def _carton(measures: Measures | None, papers: Papers, views: int, truth: dict[str, Any]) -> Carton | None:
    if measures is None:
        return None
    things = truth["things"]
    inner = [thing for thing in things if thing["role"] == "parcel"]
    grams = sum(thing["mass_g"] for thing in things)
    metal = sum(thing["mass_g"] for thing in things if thing["material"] in METALS)
    return Carton(
        measures=measures,
        papers=papers,
        views=views,
        story=truth["story"],
        lie=truth["lie"] or "",
        faults=bool(truth["faults"]),
        parcels=len(inner),
        grams=grams,
        metal=metal / max(grams, 1e-9),
        bags=sum(thing["family"] in BAGS for thing in inner) / max(len(inner), 1),
        deep=deepest(np.array([thing["box_mm"] for thing in inner])),
    )


def deepest(boxes: npt.NDArray[np.float64]) -> int:
    """How many of the `boxes` (things, 2, 3), lowest and highest corners, lie over one of their middles at
    most, whatever their height."""
    if not len(boxes):
        return 0
    low, high = boxes[:, 0, :2], boxes[:, 1, :2]
    middle = (low + high)[:, None] / 2
    return int(((low <= middle) & (middle <= high)).all(axis=2).sum(axis=1).max())


def seconds(call: Callable[[], object], times: int) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))

"""How surely cartons that a scanner cut in two, or sent two at once, are told from whole ones.

    nii-edge simulate --out sim --consignments 40 --luggage 0 --seed 71 --recipe configs/simulate/train.yaml
    python tools/cut_and_merge.py sim [--seed 1] [--json]

Every carton of the recording is looked at as it is (`nii_edge.xray.whole`), cut at a random place of its
middle eight tenths, and joined to the next one of its scanner with 10 to 50 mm of belt between them. A
carton counts as told if one of its views is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.commands.recorded_scans import frames_of, scans_of
from nii_edge.config import Profile, load
from nii_edge.records import Reason
from nii_edge.xray import whole
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.transmission import apply

Counts = npt.NDArray[np.generic]
THROUGH = 0.95
"""Transmission below which a pixel shows the carton, when its edges are looked for."""
ENOUGH = 6
"""Such pixels in a line."""
GAP_MM = (10.0, 50.0)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of nii-edge simulate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    told: Counter[str] = Counter()
    before: dict[str, list[Counts]] = {}
    lanes: dict[str, Lane] = {}
    source = McapSource(given.folder / "recording.mcap")
    for (scanner, *_), frames in scans_of(source):
        if scanner not in lanes:
            lanes[scanner] = Lane(given.folder / "scanners", scanner)
        lane = lanes[scanner]
        views = [frame.pixels for frame in frames_of(lane.profile, frames)]
        told[f"whole, {lane.said(views) or 'none'}"] += 1
        told[f"cut, {lane.said(lane.cut(views, rng)) or 'none'}"] += 1
        if scanner in before:
            both = lane.joined(before[scanner], views, float(rng.uniform(*GAP_MM)))
            told[f"merged, {lane.said(both) or 'none'}"] += 1
        before[scanner] = views
    if given.json:
        sys.stdout.write(json.dumps(dict(sorted(told.items()))) + "\n")
        return
    for name, count in sorted(told.items()):
        sys.stdout.write(f"{name}: {count}\n")


class Lane:
    """A scanner's cartons, whichever way its belt runs."""

    def __init__(self, folder: Path, scanner: str) -> None:
        self.profile = load(folder / f"{scanner}.yaml", Profile)
        self._axis = 1 if self.profile.belt_axis == "columns" else 0
        if self.profile.pixel_pitch_mm is None:
            raise SystemExit(f"{folder}: {scanner} has no `pixel_pitch_mm`")
        self._pitch = self.profile.pixel_pitch_mm[self._axis]
        self._detectors: list[Calibration] = []
        for view in range(len(self.profile.views)):
            detector = read_optics(folder / f"{scanner}-{view}.cal", self.profile.penetration_limit).detector
            if detector is None:
                raise SystemExit(f"{folder}: {scanner} has no air calibration")
            self._detectors.append(detector)

    def said(self, views: list[Counts]) -> str | None:
        """The reason, CUT before MERGED."""
        found = [
            flaw[0]
            for view, detector in zip(views, self._detectors, strict=True)
            if (flaw := whole.flaw(view, detector)) is not None
        ]
        return Reason.CUT if Reason.CUT in found else found[0] if found else None

    def cut(self, views: list[Counts], rng: np.random.Generator) -> list[Counts]:
        """The part before or behind a place of the carton, in every view."""
        share, lead = float(rng.uniform(0.1, 0.9)), bool(rng.random() < 0.5)
        made = []
        for view, detector in zip(views, self._detectors, strict=True):
            first, last = self._edges(view, detector)
            at = int(first + share * (last - first))
            made.append(self._lines(view, at, None) if lead else self._lines(view, 0, at))
        return made

    def joined(self, one: list[Counts], other: list[Counts], gap_mm: float) -> list[Counts]:
        """Both in one frame."""
        half = round(gap_mm / self._pitch / 2)
        made = []
        for left, right, detector in zip(one, other, self._detectors, strict=True):
            end, start = self._edges(left, detector)[1] + 1, self._edges(right, detector)[0]
            parts = self._lines(left, 0, end + half), self._lines(right, max(0, start - half), None)
            made.append(np.concatenate(parts, axis=self._axis))
        return made

    def _edges(self, view: Counts, detector: Calibration) -> tuple[int, int]:
        high = apply(view, detector)[-1]
        lines = high.T if self._axis == 1 else high
        air = np.median(lines[:8], axis=0)
        shown = np.flatnonzero((lines < THROUGH * air).sum(axis=1) >= ENOUGH)
        return int(shown[0]), int(shown[-1])

    def _lines(self, view: Counts, first: int, beyond: int | None) -> Counts:
        return np.ascontiguousarray(
            np.moveaxis(np.moveaxis(view, self._axis, 0)[first:beyond], 0, self._axis)
        )


if __name__ == "__main__":
    main()

"""How surely cartons that a scanner cut in two, or sent two at once, are told from whole ones.

    nii-edge simulate --out sim --consignments 10 --luggage 0 --seed 71 --no-pictures --recipe RECIPE.yaml
    python tools/cut_and_merge.py sim [--json]

Every carton of the recording is looked at as it is (`nii_edge.xray.whole`), cut at every twentieth of its
length between a tenth and nine tenths, before and behind the cut, and joined to the next one of its scanner
with several lengths of belt between them. Told: in one of its views at least, as a daemon has it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.commands.recorded_scans import frames_of, scans_of
from nii_edge.config import Profile, load
from nii_edge.errors import NiiEdgeError
from nii_edge.records import Reason
from nii_edge.xray import whole
from nii_edge.xray.calibrate import Calibration
from nii_edge.xray.transmission import apply

Counts = npt.NDArray[np.generic]
PLACES = np.arange(2, 19) / 20
GAPS_MM = (10, 15, 20, 30, 50)
THROUGH = 0.96
"""Transmission, of a mean of pixels in a row, below which a line shows the carton."""
ROW = 12
AIR = 6
"""Lines of belt that repeat where more of it is wanted."""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of nii-edge simulate")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        told, took = measured(given.folder)
    except NiiEdgeError as error:
        raise SystemExit(str(error)) from error
    each = round(statistics.median(took), 2)
    if given.json:
        sys.stdout.write(json.dumps(dict(sorted(told.items())) | {"ms_a_whole_view": each}) + "\n")
        return
    sys.stdout.write(f"a whole view takes {each} ms, median of {len(took)}\n")
    for name, (right, count) in sorted(told.items()):
        sys.stdout.write(f"{name}: {right} of {count}\n")


def measured(folder: Path) -> tuple[dict[str, list[int]], list[float]]:
    """How many were told, of how many, by what was done to them and by scanner; and the milliseconds that
    each view of a whole carton took. Raises NiiEdgeError."""
    took: list[float] = []
    told: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def note(scanner: str, name: str, *, right: bool) -> None:
        for key in (name, f"{scanner}, {name}"):
            told[key][0] += right
            told[key][1] += 1

    before: dict[str, list[Counts]] = {}
    lanes: dict[str, Lane] = {}
    for (scanner, *_), frames in scans_of(McapSource(folder / "recording.mcap")):
        if scanner not in lanes:
            lanes[scanner] = Lane(folder / "scanners", scanner)
        lane = lanes[scanner]
        views: list[Counts] = [frame.pixels for frame in frames_of(lane.profile, frames)]
        began = time.perf_counter()
        note(scanner, "whole, passed", right=not lane.said(views))
        took.append(1000 * (time.perf_counter() - began) / len(views))
        for share in PLACES:
            for lead in (False, True):
                note(scanner, "cut, told", right=Reason.CUT in lane.said(lane.cut(views, share, lead=lead)))
        if scanner in before:
            for gap in GAPS_MM:
                both = lane.joined(before[scanner], views, gap)
                note(scanner, f"merged at {gap} mm, told", right=Reason.MERGED in lane.said(both))
        before[scanner] = views
    return told, took


class Lane:
    """A scanner's cartons, whichever way its belt runs."""

    def __init__(self, folder: Path, scanner: str) -> None:
        self.profile = load(folder / f"{scanner}.yaml", Profile)
        self._axis = 1 if self.profile.belt_axis == "columns" else 0
        if self.profile.pixel_pitch_mm is None:
            raise SystemExit(f"{folder}: {scanner} has no `pixel_pitch_mm`")
        self._pitch = self.profile.pixel_pitch_mm[1 - self._axis]
        self._detectors: list[Calibration] = []
        for view in range(len(self.profile.views)):
            file = folder / f"{scanner}-{view}.cal"
            detector = read_optics(file, self.profile.penetration_limit).detector
            if detector is None:
                raise SystemExit(f"{file}: has no air calibration")
            self._detectors.append(detector)

    def said(self, views: list[Counts]) -> set[Reason]:
        """The reasons that its views give."""
        flaws = (whole.flaw(view, detector) for view, detector in zip(views, self._detectors, strict=True))
        return {flaw[0] for flaw in flaws if flaw is not None}

    def cut(self, views: list[Counts], share: float, *, lead: bool) -> list[Counts]:
        """The part before or behind a place of the carton, in every view."""
        made = []
        for view, detector in zip(views, self._detectors, strict=True):
            first, last = self._edges(view, detector)
            at = int(first + share * (last - first))
            made.append(self._lines(view, at, None) if lead else self._lines(view, 0, at))
        return made

    def joined(self, one: list[Counts], other: list[Counts], gap_mm: float) -> list[Counts]:
        """Both in one frame."""
        gap = round(gap_mm / self._pitch)
        made = []
        for left, right, detector in zip(one, other, self._detectors, strict=True):
            end, start = self._edges(left, detector)[1] + 1, self._edges(right, detector)[0]
            air = np.repeat(self._lines(left, 0, AIR), -(-gap // AIR), axis=self._axis)
            parts = self._lines(left, 0, end), self._lines(air, 0, gap), self._lines(right, start, None)
            made.append(np.concatenate(parts, axis=self._axis))
        return made

    def _edges(self, view: Counts, detector: Calibration) -> tuple[int, int]:
        """The first and the last line in which anything is seen."""
        high = apply(view, detector)[-1]
        lines = high.T if self._axis == 1 else high
        lines = lines / np.quantile(lines, 0.9, axis=1, keepdims=True)
        groups = lines[:, : lines.shape[1] // ROW * ROW].reshape(len(lines), -1, ROW).mean(axis=2)
        shown = np.flatnonzero((groups < THROUGH).any(axis=1))
        return int(shown[0]), int(shown[-1])

    def _lines(self, view: Counts, first: int, beyond: int | None) -> Counts:
        return np.ascontiguousarray(
            np.moveaxis(np.moveaxis(view, self._axis, 0)[first:beyond], 0, self._axis)
        )


if __name__ == "__main__":
    main()

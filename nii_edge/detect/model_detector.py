"""A model bundle as a detector: front end, runtime, head, findings. No I/O of its own."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from nii_edge.bundle import Bundle, Expected, GoldenFrame
from nii_edge.detect.heads import Detection, decode
from nii_edge.detect.joining import joined
from nii_edge.errors import DetectorFaultError, FrameError
from nii_edge.ports import Runtime
from nii_edge.records import Finding, Frame, Scan, ScanId, ScanType
from nii_edge.xray.content import Rectangle
from nii_edge.xray.frontend import Placement, missing_channel, model_input, parts_of
from nii_edge.xray.optics import Optics

SCORE_TOLERANCE = 0.02
"""How far a golden frame's score may be off: kernels differ between devices."""
BOX_TOLERANCE_PX = 1.0
"""How far each side of a golden frame's box may be off, in frame pixels."""


class _Piece(NamedTuple):
    """One input of the model: which scan of the call, and what of which frame (None: all of it)."""

    scan: int
    frame: Frame
    optics: Optics | None
    part: Rectangle | None


class ModelDetector:
    """`nii_edge.ports.Detector` for one bundle on one runtime. Thread-safe.

    `max_batch` is the most frames in one run of the model; models whose input says ``batch: false`` get
    them one by one.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        name: str,
        max_batch: int,
        lanes: Mapping[str, tuple[Optics, ...]] | None = None,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch {max_batch}; expected at least 1")
        self.name = name
        self._manifest = bundle.manifest
        self._runtime = runtime
        self._lanes = lanes or {}
        self._batch = max_batch if bundle.manifest.input.batch else 1

    def ways(self) -> list[ModelDetector]:
        """This detector on each of the ways its runtime may go."""
        ways = []
        for runtime in self._runtime.ways():
            way = copy.copy(self)
            way._runtime = runtime
            ways.append(way)
        return ways

    def lowered(self, threshold: float) -> ModelDetector:
        """This detector, telling of whatever scores as much as `threshold`."""
        labels = tuple(msgspec.structs.replace(label, threshold=threshold) for label in self._manifest.labels)
        made = copy.copy(self)
        made._manifest = msgspec.structs.replace(self._manifest, labels=labels)
        return made

    def not_applicable(self, scan: Scan) -> str | None:
        """Which channel the model needs and a frame of the scan lacks, in words; None if it can look."""
        for frame in scan.frames:
            missing = missing_channel(frame.channels, self._manifest.input, self._optics(scan, frame))
            if missing is not None:
                return f"view {frame.view}: {missing}"
        return None

    def detect(self, scans: Sequence[Scan]) -> list[tuple[Finding, ...]]:
        """The findings of each scan, batched over scans and views.

        Raises:
            DetectorFaultError: the model broke its contract, or a frame cannot be given to it; findings
                of the other scans of the call are lost with it.
        """
        pieces = [
            _Piece(index, frame, optics, part)
            for index, scan in enumerate(scans)
            for frame in scan.frames
            for optics in (self._optics(scan, frame),)
            for part in self._parts(frame, optics)
        ]
        looked = [
            findings
            for start in range(0, len(pieces), self._batch)
            for findings in self._look(pieces[start : start + self._batch])
        ]
        found: list[list[Finding]] = [[] for _ in scans]
        rows = zip(pieces, looked, strict=True)
        for (index, _), own in itertools.groupby(rows, key=lambda row: (row[0].scan, row[0].frame.view)):
            found[index].extend(_of_frame(list(own)))
        return [tuple(findings) for findings in found]

    def _parts(self, frame: Frame, optics: Optics | None) -> tuple[Rectangle | None, ...]:
        try:
            return parts_of(frame, self._manifest.input, optics)
        except FrameError as error:
            raise self._refused(error) from error

    def _refused(self, error: FrameError) -> DetectorFaultError:
        return DetectorFaultError(f"{self.name}: a frame cannot be given to the model: {error}")

    def _optics(self, scan: Scan, frame: Frame) -> Optics | None:
        """What is known of the scanner's view; None without a calibration."""
        views = self._lanes.get(scan.id.scanner, ())
        return views[frame.view] if frame.view < len(views) else None

    def _look(self, pieces: Sequence[_Piece]) -> list[list[Finding]]:
        """The findings of each piece, from one run of the model."""
        manifest = self._manifest
        try:
            inputs = [model_input(each.frame, manifest.input, each.optics, each.part) for each in pieces]
        except FrameError as error:
            raise self._refused(error) from error
        batch = np.stack([tensor for tensor, _ in inputs])
        outputs = self._runtime.run(batch)
        placements = [placement for _, placement in inputs]
        decoded = decode(manifest.output, outputs, manifest.labels, placements)
        return [
            [
                finding
                for detection in detections
                if (finding := self._finding(detection, placement, each.frame)) is not None
            ]
            for detections, placement, each in zip(decoded, placements, pieces, strict=True)
        ]

    def _finding(self, detection: Detection, placement: Placement, frame: Frame) -> Finding | None:
        """A detection in frame coordinates; None if it lies in the input's padding."""
        box = placement.to_frame(frame.view, detection.box)
        if box is None:
            return None
        scale_x, scale_y = placement.scale
        label = self._manifest.labels[detection.label]
        area = detection.area / (scale_x * scale_y)
        covered = area or (box.x1 - box.x0) * (box.y1 - box.y0)
        share = covered / (placement.frame[0] * placement.frame[1])
        return Finding(
            detector=self.name,
            kind=self._manifest.kind,
            label=label.name,
            category=label.category,
            score=detection.score,
            why=label.why.format(
                score=f"{detection.score:.2f}",
                percent=percent(share),
                view=frame.view_name or f"no. {frame.view}",
            ),
            box=box,
            area_px=round(area),
        )


def _of_frame(rows: Sequence[tuple[_Piece, list[Finding]]]) -> list[Finding]:
    """What was found in all pieces of one frame."""
    if len(rows) == 1:
        return rows[0][1]
    return joined([(each.part, findings) for each, findings in rows if each.part is not None])


def percent(share: float) -> str:
    """A share of 0-1 in words for people: ``37%``, below ten with one decimal, ``under 0.1%``."""
    value = 100 * share
    if value < 0.1:
        return "under 0.1%"
    return f"{value:.1f}%" if value < 10 else f"{value:.0f}%"


def check_golden(detector: ModelDetector, bundle: Bundle) -> list[str]:
    """What is wrong with the detector's answers to its golden frames, whatever way its model runs, in words;
    empty if all is well."""
    found = [problem for way in detector.ways() for problem in _golden_problems(way, bundle)]
    return list(dict.fromkeys(found))


def _golden_problems(detector: ModelDetector, bundle: Bundle) -> list[str]:
    problems: list[str] = []
    for golden in bundle.golden:
        scan = Scan(id=_GOLDEN_SCAN, scan_type=ScanType.NON_OPERATIONAL, frames=(golden.frame,))
        reason = detector.not_applicable(scan)
        if reason is not None:
            problems.append(f"golden frame {golden.name}: not applicable: {reason}")
            continue
        try:
            (findings,) = detector.detect([scan])
        except DetectorFaultError as error:
            problems.append(f"golden frame {golden.name}: {error}")
            continue
        problems.extend(differences(golden, findings))
    return problems


def differences(golden: GoldenFrame, findings: Sequence[Finding]) -> list[str]:
    """Expected findings that are not there and findings that are not expected, whatever their order."""
    left = list(findings)
    problems = []
    for expected in golden.expected:
        fitting = [finding for finding in left if _distance(expected, finding) <= 1]
        if fitting:
            left.remove(min(fitting, key=lambda finding: _distance(expected, finding)))
        else:
            problems.append(f"golden frame {golden.name}: no {expected}")
    return problems + [f"golden frame {golden.name}: unexpected {finding}" for finding in left]


def expected_from(findings: Sequence[Finding]) -> tuple[Expected, ...]:
    """Findings as a golden frame keeps them, for export tools. All must have a box."""
    return tuple(
        Expected(label=found.label, score=found.score, box=(box.x0, box.y0, box.x1, box.y1))
        for found in findings
        if (box := found.box) is not None
    )


def _distance(expected: Expected, finding: Finding) -> float:
    """How far apart, in units of what is tolerated; infinite for another label or no box."""
    if finding.box is None or finding.label != expected.label:
        return math.inf
    box = (finding.box.x0, finding.box.y0, finding.box.x1, finding.box.y1)
    sides = max(abs(a - b) for a, b in zip(box, expected.box, strict=True))
    return max(sides / BOX_TOLERANCE_PX, abs(finding.score - expected.score) / SCORE_TOLERANCE)


_GOLDEN_SCAN = ScanId(edge="golden", scanner="golden", epoch=0, seq=1)

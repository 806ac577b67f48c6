"""A model bundle as a detector: front end, runtime, head, findings. No I/O of its own."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.bundle import Bundle, Expected, GoldenFrame
from nii_edge.config import BoxesHead, Label
from nii_edge.detect.heads import Detection, decode
from nii_edge.detect.joining import Told, joined
from nii_edge.detect.looks import WAYS, Way, agreed, parted, turned, turned_back
from nii_edge.errors import DetectorFaultError, FrameError
from nii_edge.ports import Runtime
from nii_edge.records import Finding, Frame, Scan, ScanId, ScanType
from nii_edge.xray.content import Rectangle
from nii_edge.xray.frontend import Placement, missing_channel, model_inputs
from nii_edge.xray.optics import Optics

Floats = npt.NDArray[np.float32]

SCORE_TOLERANCE = 0.02
"""How far a golden frame's score may be off: kernels differ between devices."""
BOX_TOLERANCE_PX = 1.0
"""How far each side of a golden frame's box may be off, in frame pixels."""


SINGLE_LOOK = 0.25
"""Share of its threshold from which what one of several looks saw counts."""


class _Piece(NamedTuple):
    """One input of the model: of which scan and frame of the call, and what of the frame (None: all)."""

    scan: int
    number: int
    frame: Frame
    part: Rectangle | None
    tensor: Floats
    placement: Placement


class ModelDetector:
    """`nii_edge.ports.Detector` for one bundle on one runtime. Thread-safe.

    `max_batch` is the most inputs in one run of the model; models whose input says ``batch: false`` get
    them one by one. An input shows a frame, or a piece of a long one.
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
        self._ways = WAYS[bundle.manifest.input.looks]
        self._labels = self._each_look()

    def ways(self) -> list[ModelDetector]:
        """This detector on each of the ways its runtime may go."""
        ways = []
        for runtime in self._runtime.ways():
            way = copy.copy(self)
            way._runtime = runtime
            ways.append(way)
        return ways

    def glancing(self) -> ModelDetector:
        """This detector, looking once at each input, however often its bundle says."""
        made = copy.copy(self)
        made._ways = WAYS[1]
        made._labels = made._each_look()
        return made

    def lowered(self, threshold: float) -> ModelDetector:
        """This detector, telling of whatever scores as much as `threshold`."""
        labels = tuple(msgspec.structs.replace(label, threshold=threshold) for label in self._manifest.labels)
        made = copy.copy(self)
        made._manifest = msgspec.structs.replace(self._manifest, labels=labels)
        made._labels = made._each_look()
        return made

    def telling(self, threshold: float) -> ModelDetector:
        """As `lowered`, but of several looks a single one counts from where it does now: what reaches a
        label's own threshold has the score that this detector gives it."""
        made = self.lowered(threshold)
        if len(self._ways) > 1:
            made._labels = self._labels
        return made

    def _each_look(self) -> tuple[Label, ...]:
        """The labels with what a single look must reach to count."""
        share = 1.0 if len(self._ways) == 1 else SINGLE_LOOK
        return tuple(
            msgspec.structs.replace(label, threshold=share * label.threshold)
            for label in self._manifest.labels
        )

    def beside(self, scan: Scan) -> tuple[Finding, ...]:  # noqa: ARG002 - a port's method
        """Nothing: it knows what it sees, and no more."""
        return ()

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
            piece
            for index, scan in enumerate(scans)
            for number, frame in enumerate(scan.frames)
            for piece in self._pieces(index, number, frame, self._optics(scan, frame))
        ]
        looked = [
            told
            for start in range(0, len(pieces), self._batch)
            for told in self._look(pieces[start : start + self._batch])
        ]
        found: list[list[Finding]] = [[] for _ in scans]
        rows = zip(pieces, looked, strict=True)
        for (index, _), own in itertools.groupby(rows, key=lambda row: (row[0].scan, row[0].number)):
            of_frame = list(own)
            frame = of_frame[0][0].frame
            found[index] += [self._finding(told, frame) for told in _of_frame(of_frame)]
        return [tuple(findings) for findings in found]

    def _pieces(self, scan: int, number: int, frame: Frame, optics: Optics | None) -> list[_Piece]:
        """The inputs of one frame."""
        try:
            return [
                _Piece(scan, number, frame, part, tensor, placement)
                for part, tensor, placement in model_inputs(frame, self._manifest.input, optics)
            ]
        except FrameError as error:
            raise DetectorFaultError(f"{self.name}: a frame cannot be given to the model: {error}") from error

    def _optics(self, scan: Scan, frame: Frame) -> Optics | None:
        """What is known of the scanner's view; None without a calibration."""
        views = self._lanes.get(scan.id.scanner, ())
        return views[frame.view] if frame.view < len(views) else None

    def _look(self, pieces: Sequence[_Piece]) -> list[list[Told]]:
        """What is found in each piece, in its frame's pixels, from one run of the model for each look."""
        looks = [self._looked(pieces, way) for way in self._ways]
        thresholds = [label.threshold for label in self._manifest.labels]
        head = self._manifest.output
        apart = head.apart if isinstance(head, BoxesHead) else 1.0
        return [
            [
                told
                for detection in (agreed(seen) if apart == 1.0 else parted(agreed(seen), apart))
                if detection.score >= thresholds[detection.label]
                and (told := _told(detection, each)) is not None
            ]
            for each, seen in zip(pieces, zip(*looks, strict=True), strict=True)
        ]

    def _looked(self, pieces: Sequence[_Piece], way: Way) -> list[list[Detection]]:
        """What one look finds in each piece, in input pixels. A look may be less sure than all together."""
        placements = [each.placement for each in pieces]
        tensors = [turned(each.tensor, way, each.placement.content) for each in pieces]
        outputs = self._runtime.run(np.stack(tensors))
        decoded = decode(self._manifest.output, outputs, self._labels, placements)
        return [
            [turned_back(found, way, placement.content) for found in every]
            for every, placement in zip(decoded, placements, strict=True)
        ]

    def _finding(self, told: Told, frame: Frame) -> Finding:
        label, box = self._manifest.labels[told.label], told.box
        covered = told.area or (box.x1 - box.x0) * (box.y1 - box.y0)
        share = covered / (frame.pixels.shape[0] * frame.pixels.shape[1])
        return Finding(
            detector=self.name,
            kind=self._manifest.kind,
            label=label.name,
            category=label.category,
            score=told.score,
            why=label.why.format(
                score=f"{told.score:.2f}",
                percent=percent(share),
                view=frame.view_name or f"no. {frame.view}",
            ),
            box=box,
            area_px=round(told.area),
        )


def _told(detection: Detection, piece: _Piece) -> Told | None:
    """A detection in frame coordinates; None if it lies in the input's padding."""
    box = piece.placement.to_frame(piece.frame.view, detection.box)
    if box is None:
        return None
    scale_x, scale_y = piece.placement.scale
    return Told(box, detection.label, detection.score, detection.area / (scale_x * scale_y))


def _of_frame(rows: Sequence[tuple[_Piece, list[Told]]]) -> list[Told]:
    """What was found in all pieces of one frame."""
    if len(rows) == 1:
        return rows[0][1]
    return joined([(each.part, told) for each, told in rows if each.part is not None])


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

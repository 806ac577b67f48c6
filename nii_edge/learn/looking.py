"""A bundle's detections on labelled pictures, by the daemon's own path: front end, runtime, head. No
torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.adapters import onnx_runtime
from nii_edge.bundle import Bundle
from nii_edge.config import Inference
from nii_edge.detect.heads import output_names
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.detect.shapes import LOWEST
from nii_edge.errors import DataError, DetectorFaultError
from nii_edge.learn.cache import eight_bits, frame_of, read_frame, seen, usable_boxes
from nii_edge.learn.readers import Dataset, Labelled, Problems, Seen
from nii_edge.learn.scoring import Found, Wanted
from nii_edge.records import Frame, Scan, ScanId, ScanType
from nii_edge.xray.optics import Optics

_SCAN = ScanId(edge="evaluate", scanner="evaluate", epoch=0, seq=1)


CLUTTER_SIDE, NOT_GROUND = 320, 242
"""Pixels of the longer side that edges are looked for on, and the grey value, of 255, below which something
lies there."""


class Looked(NamedTuple):
    """A picture that could be read, what its labels want (indices into the data set's names) and what was
    found (indices into the bundle's labels). `extras`: what else the labels say of each wanted thing.
    `clutter`: see `clutter_of`."""

    picture: Labelled
    wanted: tuple[Wanted, ...]
    found: tuple[Found, ...]
    extras: tuple[dict[str, Any], ...] = ()
    clutter: float = 0.0


class Eye:
    """One bundle, ready to look at frames: the daemon's findings, and below the bundle's thresholds what has
    at least the score `lowest` in one of its looks. Close it."""

    def __init__(self, bundle: Bundle, threads: int = 2, lowest: float = LOWEST) -> None:
        manifest = bundle.manifest
        names = output_names(manifest.output)
        self._runtime = onnx_runtime.load(bundle.model, manifest.input, Inference(threads=threads), names)
        self._lanes: dict[str, tuple[Optics, ...]] = {_SCAN.scanner: ()}
        whole = ModelDetector(bundle, self._runtime, manifest.name, 1, self._lanes)
        self._detector = whole.telling(lowest / manifest.input.looks)  # scores are means over looks
        self._index = {label.name: number for number, label in enumerate(manifest.labels)}

    def look(self, frame: Frame, view: Optics | None = None) -> tuple[Found, ...]:
        """What is found in a frame, in its pixels. `view`: the calibration of the frame's view, if there is
        one. Not thread-safe.

        Raises:
            DataError: the bundle cannot look at such frames.
        """
        self._lanes[_SCAN.scanner] = () if view is None else (view,) * (frame.view + 1)
        scan = Scan(id=_SCAN, scan_type=ScanType.NON_OPERATIONAL, frames=(frame,))
        reason = self._detector.not_applicable(scan)
        if reason is not None:
            raise DataError(reason)
        try:
            (findings,) = self._detector.detect([scan])
        except DetectorFaultError as error:
            raise DataError(str(error)) from error
        return tuple(
            Found((box.x0, box.y0, box.x1, box.y1), self._index[finding.label], finding.score)
            for finding in findings
            if (box := finding.box) is not None
        )

    def close(self) -> None:
        """Let the runtime go."""
        self._runtime.close()


Changed = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]


def look_at(
    eye: Eye,
    dataset: Dataset,
    rows: Sequence[int] | None = None,
    told: Callable[[int, int], None] = lambda _done, _of: None,
    change: Changed | None = None,
    problems: Problems | None = None,
) -> list[Looked]:
    """Look at pictures of a data set as the daemon does (`cache.seen`), or with a `change` (of 8 bits) made
    before; those that cannot be read are counted in `problems`, by default its own."""
    problems = dataset.problems if problems is None else problems
    chosen = range(len(dataset.pictures)) if rows is None else rows
    made = []
    for number, row in enumerate(chosen, 1):
        picture = dataset.pictures[row]
        try:
            frame, view = (
                seen(picture)
                if change is None
                else Seen(read_frame(picture.file, picture.bits, picture.size))
            )
            size = int(frame.pixels.shape[0]), int(frame.pixels.shape[1])
            if change is not None:
                frame = frame_of(np.ascontiguousarray(change(eight_bits(frame))))
            found = eye.look(frame, view)
        except DataError as error:
            problems.add("picture cannot be looked at (left out)", str(error))
            continue
        boxes, labels, rows_used = usable_boxes(picture, size, problems)
        wanted = tuple(
            Wanted(
                (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                picture.boxes[k][4],
                bool(label < 0),
            )
            for box, label, k in zip(boxes, labels, rows_used, strict=True)
        )
        extras = tuple(picture.extras[k] if k < len(picture.extras) else {} for k in rows_used)
        made.append(Looked(picture, wanted, found, extras, clutter_of(frame)))
        told(number, len(chosen))
    return made


def clutter_of(frame: Frame) -> float:
    """How cluttered a picture is, 0 to 1: the share of edges (Canny) in what is darker than its ground."""
    pixels = np.nan_to_num(frame.pixels.astype(np.float32), posinf=0.0, neginf=0.0)
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    scale = CLUTTER_SIDE / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    ground = max(float(np.percentile(grey, 99)), 1e-6)
    shown = np.clip(grey * (255 / ground), 0, 255).astype(np.uint8)
    edges = cv2.Canny(shown, 40, 120) > 0
    return float(edges.sum() / max(int((shown < NOT_GROUND).sum()), int(edges.sum()), 1))


def evidence_detector() -> Path:
    """The folder of the detector whose shapes the shipped fit of cartons was fitted with. It is one from
    before: as evidence the newer one brought less (docs/decisions/0018)."""
    from nii_edge.resources import shipped

    return shipped("models") / "detector" / "0.4.0"


def shipped_detector() -> Path:
    """The folder of the detector that comes with this package."""
    from nii_edge.resources import shipped

    return shipped("models") / "detector" / "0.5.0"

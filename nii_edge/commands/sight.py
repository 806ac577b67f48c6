"""An object detector that looks at cartons outside of the daemon, as the manifest verifier has it look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nii_edge.bundle import load_bundle
from nii_edge.config import Inference
from nii_edge.detect import shapes
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.inference_process import open_shapes
from nii_edge.records import Frame, Scan, ScanId, ScanType
from nii_edge.xray.optics import Optics


class Sight:
    """An object detector that looks at cartons of several scanners. None: of none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._detectors: dict[str, ModelDetector] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of its model; empty without. Raises BundleError."""
        return "" if self._folder is None else load_bundle(self._folder).manifest.sha256

    def look(self, scanner: str, optics: Sequence[Optics], frames: Sequence[Frame]) -> shapes.Seen | None:
        """What it sees in one carton. Raises BundleError, DetectorFaultError."""
        if self._folder is None:
            return None
        if scanner not in self._detectors:
            detector, _ = open_shapes(self._folder, Inference(threads=1), {scanner: tuple(optics)})
            self._detectors[scanner] = detector.glancing().lowered(shapes.LOWEST)
        scan = Scan(
            id=ScanId(edge="cartons", scanner=scanner, epoch=0, seq=1),
            scan_type=ScanType.NON_OPERATIONAL,
            frames=tuple(frames),
        )
        (found,) = self._detectors[scanner].detect([scan])
        return shapes.seen(found)

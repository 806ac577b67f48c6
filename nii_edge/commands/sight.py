"""What looks at cartons outside of the daemon, as the manifest verifier has it look."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nii_edge.adapters.array_files import read_arrays
from nii_edge.adapters.carton_reader import CartonReader
from nii_edge.bundle import load_bundle
from nii_edge.config import Inference
from nii_edge.detect import shapes
from nii_edge.detect.carton_fit import from_arrays
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.errors import BundleError, ConfigError
from nii_edge.inference_process import open_detector, open_shapes
from nii_edge.records import Frame, Scan, ScanId, ScanType
from nii_edge.resources import shipped
from nii_edge.xray.optics import Optics


class Eyes(NamedTuple):
    """`network`: the ONNX file of the network that reads cartons, or a fit that has one; `detector`: the
    bundle that looks for shapes, None for none."""

    network: Path
    detector: Path | None


class Sight:
    """A network and an object detector that look at cartons of several scanners."""

    def __init__(self, eyes: Eyes) -> None:
        """Raises ConfigError, BundleError: the network cannot be used."""
        self._folder = eyes.detector
        self._detectors: dict[str, ModelDetector] = {}
        self.network = network_of(eyes.network)
        try:
            self.read = CartonReader(self.network)
        except BundleError as error:
            raise BundleError(f"{eyes.network}: {error}") from error

    @property
    def network_digest(self) -> str:
        """SHA-256 of the network."""
        return hashlib.sha256(self.network).hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of the detector's model; empty without. Raises BundleError."""
        return "" if self._folder is None else load_bundle(self._folder).manifest.sha256

    def look(self, scanner: str, optics: Sequence[Optics], frames: Sequence[Frame]) -> shapes.Seen | None:
        """What the detector sees in one carton. Raises BundleError, DetectorFaultError."""
        if self._folder is None:
            return None
        if scanner not in self._detectors:
            detector, _ = open_shapes(self._folder, Inference(threads=1), {scanner: tuple(optics)})
            self._detectors[scanner] = detector.glancing().lowered(shapes.LOWEST)
        (found,) = self._detectors[scanner].detect([scan_of(scanner, frames)])
        return shapes.seen(found)


def scan_of(scanner: str, frames: Sequence[Frame]) -> Scan:
    """One carton's frames as a detector gets them."""
    return Scan(
        id=ScanId(edge="cartons", scanner=scanner, epoch=0, seq=1),
        scan_type=ScanType.NON_OPERATIONAL,
        frames=tuple(frames),
    )


def shield_detector(scanner: str, optics: Sequence[Optics]) -> ModelDetector:
    """The shipped one for shielding and dense blocks. Raises BundleError, RuntimeMissingError."""
    folder = max((shipped("models") / "shielding").iterdir())
    detector, _, _ = open_detector("shielding", folder, Inference(threads=2), {scanner: tuple(optics)})
    return detector


def network_of(file: Path) -> bytes:
    """The ONNX file `file`, or that in the fit `file`. Raises ConfigError, BundleError."""
    if file.suffix == ".npz":
        return from_arrays(read_arrays(file)[0]).network.tobytes()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error

"""What every peer runs: the daemon's own front end, runtime and head, on the bundle the environment names."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.bench.frames import HEIGHT, WIDTH, as_frame
from nii_edge.bench.reference import NAME, scan_of
from nii_edge.config import Inference
from nii_edge.inference_process import open_detector

BUNDLE, THREADS = "PEERS_BUNDLE", "PEERS_THREADS"
"""Names of environment variables."""


class Looker:
    """Opens the bundle; then looks at frames."""

    def __init__(self) -> None:
        threads = int(os.environ[THREADS])
        cv2.setNumThreads(threads)
        self._detector, _, _ = open_detector(NAME, Path(os.environ[BUNDLE]), Inference(threads=threads))

    def look(self, payload: bytes | npt.NDArray[np.uint16]) -> bytes:
        """The findings in a frame's little-endian counts, as JSON."""
        pixels = np.frombuffer(payload, "<u2").reshape(HEIGHT, WIDTH, 2)
        (findings,) = self._detector.detect([scan_of(as_frame(pixels))])
        return msgspec.json.encode(findings)

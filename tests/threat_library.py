"""A small library of threats, as a daemon is given one to project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nii_edge.adapters.threat_files import write_library
from nii_edge.xray.projection import Threat


def library(folder: Path, through: float | tuple[float, float] = 0.0) -> Path:
    """One block nearly as high as the carton, that lets `through` of the X-rays pass, or of each energy."""
    passed = np.ones((40, 40, 2), np.float32) * np.float32(through)
    block = Threat("block-1", "block", passed, 0.8, "made by the test")
    write_library(folder, [block])
    return folder

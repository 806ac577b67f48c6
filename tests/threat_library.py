"""A small library of threats, as a daemon is given one to project."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nii_edge.adapters.threat_files import write_library
from nii_edge.xray.projection import Threat


def library(folder: Path, through: float = 0.0) -> Path:
    """One block that lets `through` of the X-rays pass, and takes nearly the whole carton's height."""
    block = Threat("block-1", "block", np.full((40, 40, 2), through, np.float32), 0.8, "made by the test")
    write_library(folder, [block])
    return folder

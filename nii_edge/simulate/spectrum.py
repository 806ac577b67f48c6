"""What an X-ray tube sends out, by spekpy, kept on disk since one spectrum costs half a second."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import spekpy

from nii_edge.errors import SceneError
from nii_edge.simulate.materials import mass_attenuation, material

Values = npt.NDArray[np.float64]

BIN_KEV = 0.5
"""Width of the energy bins spekpy is asked for."""
KILOVOLTS = (40.0, 300.0)
"""The range of tube voltages spekpy's model holds for and scanners of parcels use."""
_FORMAT = 1
"""Part of the name of a kept spectrum: raised whenever what is stored changes."""


class Tube(NamedTuple):
    """A tungsten tube with everything fixed between it and the scene.

    `kilovolts` peak; `angle` of the anode in degrees; `filters` pairs of (material, mm), from the window
    of the tube to the belt.
    """

    kilovolts: float
    angle: float = 20.0
    filters: tuple[tuple[str, float], ...] = (("aluminium", 3.0),)


class Spectrum(NamedTuple):
    """`energies` (n,) in keV, the middles of equal bins; `photons` (n,) per cm² and mAs at 1 m and bin."""

    energies: Values
    photons: Values


@lru_cache(maxsize=128)
def spectrum(tube: Tube) -> Spectrum:
    """What comes through the filters of `tube`.

    Raises:
        SceneError: a voltage outside `KILOVOLTS`, or a filter of an unknown material.
    """
    bare = _bare(tube.kilovolts, tube.angle)
    depth = np.zeros(len(bare.energies))
    for name, thickness in tube.filters:
        depth += mass_attenuation(name, bare.energies) * (material(name).density * thickness / 10)
    return Spectrum(bare.energies, bare.photons * np.exp(-depth))


def cache_folder() -> Path:
    """Where spectra are kept: `nii-edge/spectra` in $XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nii-edge" / "spectra"


def _bare(kilovolts: float, angle: float) -> Spectrum:
    """The unfiltered spectrum, from disk if it is there and whole."""
    if not KILOVOLTS[0] <= kilovolts <= KILOVOLTS[1]:
        raise SceneError(f"tube voltage {kilovolts} kV; expected {KILOVOLTS[0]:.0f} to {KILOVOLTS[1]:.0f} kV")
    key = f"{_FORMAT} spekpy {spekpy.__version__} W {kilovolts} kV {angle} deg {BIN_KEV} keV"
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    kept = _load(path)
    if kept is None:
        made = spekpy.Spek(kvp=kilovolts, th=angle, dk=BIN_KEV, targ="W", z=100.0, mas=1.0)
        energies, per_kev = made.get_spectrum()
        kept = np.array((energies, per_kev * BIN_KEV), np.float64)
        _store(path, kept)
    return Spectrum(kept[0], kept[1])


def _load(path: Path) -> Values | None:
    """The kept array (2, n); None if it is not there or not whole, and must be made again."""
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = kept.dtype == np.float64 and kept.ndim == 2 and len(kept) == 2 and np.isfinite(kept).all()
    return kept if whole else None


def _store(path: Path, values: Values) -> None:
    """Keep `values` for the next process. A cache that cannot be written is none, and no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.save(file, values)
        os.replace(file.name, path)
    except OSError:
        return

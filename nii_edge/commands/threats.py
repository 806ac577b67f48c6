"""`nii-edge threats`: a library of simulated threats, to be projected into live scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nii_edge import __version__
from nii_edge.adapters.threat_files import write_library
from nii_edge.errors import ConfigError, RuntimeMissingError, SceneError
from nii_edge.xray.projection import Threat

try:
    from nii_edge.simulate import threats
    from nii_edge.simulate.detector import Layers, transmissions
    from nii_edge.simulate.geometry import View
    from nii_edge.simulate.project import footprint
    from nii_edge.simulate.recipe import families
    from nii_edge.simulate.scene import corners, lay, pose, shift
    from nii_edge.simulate.shells import Which
    from nii_edge.simulate.spectrum import Tube
except ImportError as missing:
    raise RuntimeMissingError(
        f"{missing.name or missing} is not installed; simulated threats need the extra: pip install "
        "'.[simulate]' in the project's folder"
    ) from missing

LABELS = threats.LABELS
USUAL = tuple(label for label in LABELS if label not in ("bottle", "inner_parcel"))
"""What is prohibited in itself."""
REACH_MM = 3_000.0
"""Half of the detector: wider than any threat."""
TRIES = 20


class Request(NamedTuple):
    """The command's options. `each`: threats of a label; `pitch_mm` of their pixels at the belt; `which` of
    the shape families."""

    out: Path
    labels: tuple[str, ...]
    each: int
    kilovolts: float
    pitch_mm: float
    seed: int
    which: Which = "held_out"


def write(request: Request, told: Callable[[int, int], None]) -> int:
    """Write the library and return how many threats are in it; the same seed gives the same files. `told`
    hears how many are made, of how many.

    Raises:
        ConfigError: an unknown label, or the folder is not empty.
        SceneError: a tube voltage that no tube of this kind has.
    """
    unknown = [label for label in request.labels if label not in LABELS]
    if unknown or not request.labels:
        raise ConfigError(f"--labels: {', '.join(unknown) or 'none'}; there are {', '.join(LABELS)}")
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise ConfigError(f"--out {request.out}: name a folder that is empty or does not exist yet")
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {request.out}: cannot be made: {error.strerror}") from error
    count = len(request.labels) * request.each

    def made() -> Iterator[Threat]:
        for number, threat in enumerate(_all(request), 1):
            told(number, count)
            yield threat

    return len(write_library(request.out, made()).threats)


def _all(request: Request) -> Iterator[Threat]:
    """`each` of every label, of as many families as there are; of all where none is held out."""
    for label in request.labels:
        rng = np.random.default_rng((request.seed, LABELS.index(label)))
        drawn = rng.permutation(families(label, request.which)).tolist()
        for number in range(request.each):
            yield _threat(label, drawn[number % len(drawn)], number, request, rng)


def _threat(label: str, family: str, number: int, request: Request, rng: np.random.Generator) -> Threat:
    """One threat as it lies on the belt, seen straight from above."""
    pitch, half = request.pitch_mm, REACH_MM / 2
    view = View("above", None, ((-half, REACH_MM), (half, REACH_MM)), pitch, 64, 0.0)
    for _ in range(TRIES):
        thing = lay(threats.make(label, rng, family), pose(rng), 0, 0, 0)
        low, high = corners(thing)
        lines = np.arange(float(low[0]) - pitch, float(high[0]) + 2 * pitch, pitch)
        print_ = footprint(shift(thing, 0.0, -float(low[1] + high[1]) / 2, 0.0), view, lines)
        if print_.areal.size:
            break
    else:
        raise SceneError(f"{label} of the family {family}: no ray met it in {TRIES} tries")
    areal = np.maximum(print_.areal, np.float32(0))
    signal = transmissions(areal, print_.materials, Tube(request.kilovolts), Layers())[:2]
    return Threat(
        name=f"{label}-{number + 1:02d}",
        label=label,
        transmission=np.ascontiguousarray(np.clip(np.moveaxis(signal, 0, -1), 0, 1), np.float32),
        pitch_mm=pitch,
        provenance=f"simulated by nii_edge {__version__}, family {family}, seed {request.seed}; Apache-2.0",
    )

"""Weights as a NumPy archive: no pickles, so that reading them can run no code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from nii_edge.errors import DataError
from nii_edge.learn.backbone import FROZEN, load_imagenet
from nii_edge.learn.network import Detector

FILE = "weights.npz"


def detector_for(path: Path | None, classes: int) -> Detector:
    """An untrained detector whose features are of the kind that the weights in `path` have.

    Raises:
        DataError: the file is not one of weights.
        RuntimeMissingError: they build on ImageNet's features, which are not installed.
    """
    if path is None:
        return Detector(classes)
    try:
        with np.load(path, allow_pickle=False) as archive:
            lite = any(name.startswith("lite.") for name in archive.files)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of weights: {error}") from error
    detector = Detector(classes, "imagenet" if lite else "xray")
    if detector.lite is not None:
        load_imagenet(detector.lite)
    return detector


def save_weights(path: Path, detector: Detector) -> None:
    """Half precision: 3 to 9 MB. Batch norms' counters are left out, and frozen ImageNet weights, which
    `detector_for` takes from where they come from."""
    arrays = {
        name: value.detach().cpu().numpy().astype(np.float16)
        for name, value in detector.state_dict().items()
        if value.dtype.is_floating_point and not _is_frozen(name, value)
    }
    data = io.BytesIO()
    np.savez(data, **arrays)
    path.write_bytes(data.getvalue())


def load_weights(path: Path, detector: Detector, classes: tuple[int | None, ...] | None = None) -> list[str]:
    """Start `detector` from saved weights; returns the names of what did not fit and was left as it was.

    `classes`: for each class of the detector the class of the weights that is the same thing, or None.

    Raises:
        DataError: the file is not one of weights.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of weights: {error}") from error
    own = detector.state_dict()
    left = []
    for name, value in own.items():
        if not value.dtype.is_floating_point or _is_frozen(name, value):
            continue
        given = stored.get(name)
        if given is not None and given.shape == value.shape and not _of_classes(name):
            value.copy_(given)
        elif given is not None and _of_classes(name) and classes is not None:
            for mine, theirs in enumerate(classes):
                if theirs is not None and theirs < len(given):
                    value[mine].copy_(given[theirs])
        else:
            left.append(name)
    return left


def _is_frozen(name: str, value: torch.Tensor) -> bool:
    """Convolutions of the ImageNet features that do not learn."""
    parts = name.split(".")
    if parts[0] != "lite" or value.ndim != 4:
        return False
    return parts[1] != "_blocks" or int(parts[2]) < FROZEN


def _of_classes(name: str) -> bool:
    """The last layer of scores has a row for each class."""
    return ".scores.1." in name

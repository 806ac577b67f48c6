"""Everything the carton detectors have fitted: as one record, and as plain arrays for a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect.anomaly import TRAITS, Null
from nii_edge.detect.evidence import FEATURES
from nii_edge.detect.fusion import Fusion
from nii_edge.detect.parcels import ParcelModel
from nii_edge.errors import BundleError
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]

INPUTS = 10 + 2 * len(TEXTURE)
"""Values of `parcels.inputs`."""


class CartonFit(NamedTuple):
    """`fusion`: all evidence; `master`: that for undeclared parcels alone; `papers`: what papers say without
    any X-ray."""

    parcels: ParcelModel
    several: ParcelModel
    null: Null
    fusion: Fusion
    master: Fusion
    papers: Fusion


def to_arrays(fit: CartonFit) -> dict[str, Values]:
    """Arrays by name, for a file."""
    arrays: dict[str, Values] = {}
    for part in ("parcels", "several"):
        model: ParcelModel = getattr(fit, part)
        arrays |= {f"{part}.{name}": np.asarray(value) for name, value in model._asdict().items()}
    arrays |= {f"null.{name}": np.asarray(value) for name, value in fit.null._asdict().items()}
    for part in ("fusion", "master", "papers"):
        found: Fusion = getattr(fit, part)
        arrays |= {f"{part}.{name}": np.asarray(value) for name, value in found._asdict().items()}
    return arrays


def from_arrays(arrays: Mapping[str, Values]) -> CartonFit:
    """The record of `to_arrays`.

    Raises:
        BundleError: an array is missing, or belongs to other features than this version's.
    """

    def get(name: str, *shape: int | None) -> Values:
        if name not in arrays:
            raise BundleError(f"{name} is missing; fit again with this version")
        found = arrays[name]
        fits = found.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise BundleError(f"{name}: shape {found.shape}, expected {shape}; fit again with this version")
        return found

    def fusion(part: str) -> Fusion:
        many = len(FEATURES)
        return Fusion(
            get(f"{part}.centre", many),
            get(f"{part}.scale", many),
            get(f"{part}.weights", many),
            float(get(f"{part}.bias")),
        )

    def parcels(part: str) -> ParcelModel:
        support = get(f"{part}.support", None, INPUTS)
        return ParcelModel(
            get(f"{part}.centre", INPUTS),
            get(f"{part}.scale", INPUTS),
            support,
            get(f"{part}.alpha", len(support)),
            float(get(f"{part}.mean")),
            float(get(f"{part}.low")),
            float(get(f"{part}.high")),
        )

    return CartonFit(
        parcels("parcels"),
        parcels("several"),
        Null(get("null.spread", len(TRAITS)), get("null.scores", None)),
        fusion("fusion"),
        fusion("master"),
        fusion("papers"),
    )

"""Everything the carton detectors have fitted: as one record, and as plain arrays for a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import mass
from nii_edge.detect.anomaly import TRAITS, Null
from nii_edge.detect.evidence import FEATURES
from nii_edge.detect.fusion import Fusion, Joint
from nii_edge.detect.mass import MassModel
from nii_edge.detect.ridge import Ridge
from nii_edge.errors import BundleError

Values = npt.NDArray[np.float64]


class CartonFit(NamedTuple):
    """`mass` puts masses right before anything else looks at them. `network`: the bytes of an ONNX file that
    reads cartons (`xray.carton_map`). `fusion`: all evidence; `papers`: what papers say without any
    X-ray; `detector`: SHA-256 of the model whose shapes were evidence, empty if none were."""

    mass: MassModel
    network: npt.NDArray[np.uint8]
    null: Null
    fusion: Joint
    papers: Joint
    detector: str = ""


def to_arrays(fit: CartonFit) -> dict[str, Values]:
    """Arrays by name, for a file."""
    parts: dict[str, NamedTuple] = {
        "mass.off": fit.mass.off,
        "mass.error": fit.mass.error,
        "null": fit.null,
    }
    arrays = {
        f"{part}.{name}": np.asarray(value)
        for part, found in parts.items()
        for name, value in found._asdict().items()
    }
    single: dict[str, object] = {
        "mass.wider": fit.mass.wider,
        "network": fit.network,
        "detector": list(bytes.fromhex(fit.detector)),
    }
    joint = {
        f"{part}.{name}": value
        for part, found in (("fusion", fit.fusion), ("papers", fit.papers))
        for name, value in _of_joint(found).items()
    }
    return arrays | joint | {name: np.asarray(value) for name, value in single.items()}


def _of_joint(joint: Joint) -> dict[str, Values]:
    """Names of its kinds, and (kinds, ...) of all parts."""
    made = {name: np.array([getattr(part, name) for part in joint.parts]) for name in Fusion._fields}
    return made | {"kinds": np.frombuffer("\n".join(joint.kinds).encode(), np.uint8)}


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

    def positive(name: str, *shape: int | None) -> Values:
        found = get(name, *shape)
        if not (found > 0).all():
            raise BundleError(f"{name}: not above 0 everywhere; fit again")
        return found

    def joint(part: str) -> Joint:
        kinds = _names(f"{part}.kinds", get(f"{part}.kinds", None))
        shape = len(kinds), len(FEATURES)
        centre, scale = get(f"{part}.centre", *shape), positive(f"{part}.scale", *shape)
        weights, beyond = get(f"{part}.weights", *shape), get(f"{part}.beyond", *shape)
        each = zip(centre, scale, weights, beyond, get(f"{part}.bias", len(kinds)).tolist(), strict=True)
        return Joint(kinds, tuple(Fusion(*values) for values in each))

    def ridge(part: str, many: int) -> Ridge:
        support = get(f"{part}.support", None, many)
        return Ridge(
            float(positive(f"{part}.gamma")),
            get(f"{part}.centre", many),
            positive(f"{part}.scale", many),
            support,
            get(f"{part}.alpha", len(support)),
            float(get(f"{part}.mean")),
        )

    return CartonFit(
        mass=MassModel(
            ridge("mass.off", mass.INPUTS), ridge("mass.error", mass.INPUTS), float(positive("mass.wider"))
        ),
        network=_bytes("network", get("network", None)),
        null=Null(positive("null.spread", len(TRAITS)), _rising("null.scores", get("null.scores", None))),
        fusion=joint("fusion"),
        papers=joint("papers"),
        detector=_bytes("detector", get("detector", None)).tobytes().hex(),
    )


def _rising(name: str, values: Values) -> Values:
    if not values.size or (np.diff(values) < 0).any():
        raise BundleError(f"{name}: {values.size} values, expected some that rise; fit again")
    return values


def _names(name: str, values: Values) -> tuple[str, ...]:
    try:
        found = tuple(_bytes(name, values).tobytes().decode().split("\n"))
    except UnicodeDecodeError as error:
        raise BundleError(f"{name}: no text; fit again") from error
    if len(set(found)) < len(found) or "" in found:
        raise BundleError(f"{name}: {found}, expected names that differ; fit again")
    return found


def _bytes(name: str, values: Values) -> npt.NDArray[np.uint8]:
    found = values.astype(np.uint8)
    if not np.array_equal(found, values):
        raise BundleError(f"{name}: not whole numbers from 0 to 255; fit again")
    return found

"""Bundles of what is normal: a folder with `normal.yaml` and the arrays whose SHA-256 it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import yaml
from msgspec import Meta

from nii_edge.adapters.array_files import read_arrays, write_arrays
from nii_edge.config import Config, load
from nii_edge.errors import BundleError
from nii_edge.records import Name
from nii_edge.signing import Signers, read_seal

Values = npt.NDArray[np.float64]

MANIFEST = "normal.yaml"
ARRAYS = "normal.npz"
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class NormalManifest(Config, frozen=True, kw_only=True):
    """`normal.yaml`. `fit`: the SHA-256 of what cartons were weighed by (`manifest.fit` in edge.yaml);
    `headings`: how many consignments were learned from, by heading; `recordings`: names of the files;
    `skipped`: cartons that were left out, by reason."""

    version: Literal[1]
    name: Name
    sha256: Digest
    fit: Digest
    cartons: int
    consignments: int
    headings: dict[str, int]
    recordings: tuple[str, ...]
    skipped: dict[str, int]


class NormalBundle(NamedTuple):
    """A bundle whose arrays are those that its manifest names."""

    manifest: NormalManifest
    arrays: dict[str, Values]

    @property
    def id(self) -> str:
        """As verdicts cite it."""
        return f"normal@{self.manifest.name}#{self.manifest.sha256[:12]}"


def write_normal(folder: Path, manifest: NormalManifest, arrays: Mapping[str, Values]) -> NormalBundle:
    """Write a bundle and read it back. The manifest's `sha256` is replaced. Raises BundleError."""
    digest = write_arrays(folder / ARRAYS, arrays)
    sealed = msgspec.structs.replace(manifest, sha256=digest)
    text = yaml.safe_dump(msgspec.to_builtins(sealed), sort_keys=False, allow_unicode=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return read_normal(folder)


def read_normal(folder: Path, fit: str | None = None, signers: Signers = None) -> NormalBundle:
    """Read and verify a bundle; also that its cartons were weighed by this `fit` (SHA-256), if one is named,
    and that one of the `signers`, if there are any, has signed it.

    Raises:
        ConfigError: the manifest is not one. BundleError: a file is missing, damaged or altered,
            or what was learned does not go with the fit.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: no {MANIFEST} there; nii-edge learn-normal writes such a folder")
    seal = read_seal(folder, signers)
    manifest = load(folder / MANIFEST, NormalManifest, lambda data: seal.check(folder / MANIFEST, data))
    arrays, digest = read_arrays(folder / ARRAYS, seal)
    if digest != manifest.sha256:
        raise BundleError(f"{folder / ARRAYS}: its SHA-256 is {digest}, {MANIFEST} says {manifest.sha256}")
    if fit not in (None, manifest.fit):
        raise BundleError(
            f"{folder}: its cartons were weighed by the fit {manifest.fit[:12]}, but the configuration's is "
            f"{fit[:12]}; run nii-edge learn-normal again"
        )
    return NormalBundle(manifest, arrays)

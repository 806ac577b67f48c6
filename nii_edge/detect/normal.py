"""What a site has learned to be normal: as records, and as plain arrays for a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import bank, norms, shapes
from nii_edge.detect.evidence import Site
from nii_edge.errors import BundleError
from nii_edge.papers import Papers
from nii_edge.xray.carton import Measures

Values = npt.NDArray[np.float64]


class Lesson(NamedTuple):
    """What one honest carton teaches: about its chapter, and about its heading; None where it can teach
    nothing, since goods of several lie in it or their code is not declared."""

    sample: norms.Sample | None
    entry: bank.Entry | None


def lesson(measures: Measures, papers: Papers, seen: shapes.Seen | None) -> Lesson:
    """What a carton teaches. `seen`: by an object detector, if there is one."""
    return Lesson(norms.sample(measures, papers), bank.entry(measures, papers, seen))


def learn(lessons: Sequence[Lesson]) -> Site:
    """Norms of chapters and a bank of headings; either is None if there are too few consignments for it."""
    samples = [each.sample for each in lessons if each.sample is not None]
    entries = [each.entry for each in lessons if each.entry is not None]
    return Site(norms.learn(samples), bank.learn(entries))


def to_arrays(site: Site) -> dict[str, Values]:
    """Arrays by name, for a file."""
    arrays: dict[str, Values] = {}
    if site.norms is not None:
        for name, norm in (("every", site.norms.every), *site.norms.chapters.items()):
            arrays |= {f"norms.{name}.{part}": np.asarray(value) for part, value in norm._asdict().items()}
    if site.bank is not None:
        arrays["bank.spread"] = site.bank.spread
        arrays |= {f"bank.heading.{name}": values for name, values in site.bank.entries.items()}
    return arrays


def from_arrays(arrays: Mapping[str, Values]) -> Site:
    """The site of `to_arrays`.

    Raises:
        BundleError: something is missing or of the wrong form, or it is of other features.
    """
    return Site(_norms(arrays), _bank(arrays))


def _norms(arrays: Mapping[str, Values]) -> norms.Norms | None:
    names = sorted({name.split(".")[1] for name in arrays if name.startswith("norms.")})
    if not names:
        return None
    found = {
        name: norms.Norm(
            int(_get(arrays, f"norms.{name}.consignments")),
            _get(arrays, f"norms.{name}.mean", len(norms.NORM)),
            _spread(arrays, f"norms.{name}.spread", len(norms.NORM)),
        )
        for name in ("every", *names)
    }
    every = found.pop("every")
    if not all(name.isdigit() and len(name) <= 2 for name in found):
        raise BundleError(f"norms of {', '.join(found)}; expected chapters of the Harmonized System")
    return norms.Norms(every, {int(name): norm for name, norm in found.items()})


def _bank(arrays: Mapping[str, Values]) -> bank.Bank | None:
    prefix = "bank.heading."
    names = [name for name in arrays if name.startswith(prefix)]
    if not names:
        return None
    with_shapes = bank.VALUES + len(shapes.CLASSES)
    length = with_shapes if arrays.get("bank.spread", np.zeros(0)).size == with_shapes else bank.VALUES
    entries = {name.removeprefix(prefix): _get(arrays, name, None, length) for name in names}
    return bank.Bank(entries, _spread(arrays, "bank.spread", length))


def _spread(arrays: Mapping[str, Values], name: str, length: int) -> Values:
    found = _get(arrays, name, length)
    if not (found > 0).all():
        raise BundleError(f"{name}: a spread that is not above 0; learn again")
    return found


def _get(arrays: Mapping[str, Values], name: str, *shape: int | None) -> Values:
    if name not in arrays:
        raise BundleError(f"{name} is missing; learn again with this version")
    found = arrays[name]
    fits = found.ndim == len(shape) and all(
        have > 0 and want in (None, have) for want, have in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise BundleError(f"{name}: shape {found.shape}, expected {shape}; learn again with this version")
    return found

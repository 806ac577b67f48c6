"""How many parcels of their own lie in a carton: kernel ridge regression on what was measured. Pure.

Boxes that a detector draws undercount parcels stacked behind one another; repeats, walls, blobs and how
finely mass is spread, in both views, do not need to see each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.xray.carton import Measures

Values = npt.NDArray[np.float64]

GAMMA = 0.003
RIDGE = 0.5
SEVERAL = 2.0
MOST_LOG = 5.0
"""ln(1 + count) is cut here: 147 parcels."""


class ParcelModel(NamedTuple):
    """`centre`, `scale` (values,) standardise; `support` (samples, values) standardised; `alpha` (samples,);
    `mean` of ln(1 + count); `low`, `high`: quantiles 0.1 and 0.9 of what cross-validation missed by, in that
    logarithm."""

    centre: Values
    scale: Values
    support: Values
    alpha: Values
    mean: float
    low: float
    high: float


class ParcelCount(NamedTuple):
    """How many parcels are to be expected, and an interval that holds four of five."""

    expected: float
    low: float
    high: float


def inputs(measures: Measures) -> Values:
    """What the regression sees of one carton, (values,)."""
    whole = [
        np.log(max(value, 1e-3))
        for value in (measures.length, measures.width, measures.height, measures.litres, measures.grams,
                      measures.density)
    ]  # fmt: skip
    parts = [measures.organic, measures.inorganic, measures.metal, min(measures.spread, 1.0)]
    texture = measures.texture
    every = np.concatenate([whole, parts, texture.mean(axis=0), texture.max(axis=0)])
    squeezed: Values = np.sign(every) * np.log1p(3 * np.abs(every))
    return squeezed


def fit(rows: Values, counts: Values, groups: Sequence[str]) -> ParcelModel:
    """The model of `rows` (samples, values), and its interval by five-fold cross-validation over `groups`.

    Raises:
        ValueError: fewer than five groups.
    """
    folds = _folds(groups)
    missed = np.zeros(len(rows))
    for fold in range(5):
        inside = folds != fold
        model = _solve(rows[inside], counts[inside])
        missed[~inside] = np.log1p(counts[~inside]) - _predict(model, rows[~inside])
    low, high = np.quantile(missed, [0.1, 0.9])
    return _solve(rows, counts)._replace(low=float(low), high=float(high))


def held_out(rows: Values, counts: Values, groups: Sequence[str]) -> Values:
    """Counts (samples,) as a model says that never saw the sample's group: to fit what comes after on."""
    folds, found = _folds(groups), np.zeros(len(rows))
    for fold in range(5):
        inside = folds != fold
        found[~inside] = np.expm1(_predict(_solve(rows[inside], counts[inside]), rows[~inside]))
    return np.maximum(found, 0)


def count(model: ParcelModel, measures: Measures, several: ParcelModel | None = None) -> ParcelCount:
    """How many parcels lie in a carton. Where `model` says that there are more than `SEVERAL`, `several`,
    fitted on cartons that do hold parcels, says how many: it does not lean towards none."""
    log = float(_predict(model, inputs(measures)[None])[0])
    if several is not None and np.expm1(log) > SEVERAL:
        model = several
        log = float(_predict(several, inputs(measures)[None])[0])
    low, middle, high = (max(0.0, float(np.expm1(log + off))) for off in (model.low, 0.0, model.high))
    return ParcelCount(middle, low, high)


def _folds(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    names = sorted(set(groups))
    if len(names) < 5:
        raise ValueError(f"{len(names)} groups; expected five or more")
    place = {name: index % 5 for index, name in enumerate(names)}
    return np.array([place[group] for group in groups])


def _solve(rows: Values, counts: Values) -> ParcelModel:
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    support = (rows - centre) / scale
    target = np.log1p(counts)
    kernel = _kernel(support, support) + RIDGE * np.eye(len(rows))
    alpha = np.linalg.solve(kernel, target - target.mean())
    return ParcelModel(centre, scale, support, alpha, float(target.mean()), 0.0, 0.0)


def _predict(model: ParcelModel, rows: Values) -> Values:
    log: Values = _kernel((rows - model.centre) / model.scale, model.support) @ model.alpha + model.mean
    return np.clip(log, 0.0, MOST_LOG)


def _kernel(one: Values, other: Values) -> Values:
    apart = (one * one).sum(axis=1)[:, None] + (other * other).sum(axis=1)[None] - 2 * one @ other.T
    kernel: Values = np.exp(-GAMMA * np.maximum(apart, 0))
    return kernel

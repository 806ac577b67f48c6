"""How many parcels of their own lie in a carton: kernel ridge regression on what was measured. Pure.

Boxes that a detector draws undercount parcels stacked behind one another; repeats, walls, blobs and how
finely mass is spread, in both views, do not need to see each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import ridge
from nii_edge.detect.ridge import Kernel, Ridge
from nii_edge.xray.carton import Measures
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]

KERNEL = Kernel(0.003, 0.5)
INPUTS = 10 + 2 * len(TEXTURE)
"""Values of `inputs`."""
SEVERAL = 2.0
MOST_LOG = 5.0
"""ln(1 + count) is cut here: 147 parcels."""


class ParcelModel(NamedTuple):
    """`log`: of ln(1 + count); `low`, `high`: quantiles 0.1 and 0.9 of what cross-validation missed by, in
    that logarithm."""

    log: Ridge
    low: float
    high: float


class ParcelCount(NamedTuple):
    """How many parcels are to be expected, and an interval that holds four of five."""

    expected: float
    low: float
    high: float


def inputs(measures: Measures) -> Values:
    """What the regression sees of one carton, (INPUTS,)."""
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
    logs = np.log1p(counts)
    low, high = np.quantile(logs - _cut(ridge.held_out(rows, logs, groups, KERNEL)), [0.1, 0.9])
    return ParcelModel(ridge.fit(rows, logs, KERNEL), float(low), float(high))


def held_out(rows: Values, counts: Values, groups: Sequence[str]) -> Values:
    """Counts (samples,) as a model says that never saw the sample's group: to fit what comes after on."""
    found: Values = np.expm1(_cut(ridge.held_out(rows, np.log1p(counts), groups, KERNEL)))
    return found


def count(model: ParcelModel, measures: Measures, several: ParcelModel | None = None) -> ParcelCount:
    """How many parcels lie in a carton. Where `model` says that there are more than `SEVERAL`, `several`,
    fitted on cartons that do hold parcels, says how many: it does not lean towards none."""
    row = inputs(measures)[None]
    log = float(_cut(ridge.predict(model.log, row))[0])
    if several is not None and np.expm1(log) > SEVERAL:
        model = several
        log = float(_cut(ridge.predict(several.log, row))[0])
    low, middle, high = (max(0.0, float(np.expm1(log + off))) for off in (model.low, 0.0, model.high))
    return ParcelCount(middle, low, high)


def _cut(log: Values) -> Values:
    return np.clip(log, 0.0, MOST_LOG)

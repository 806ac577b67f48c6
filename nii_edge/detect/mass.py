"""What X-rays weigh wrongly, and by how much, learned from cartons whose mass is known. Pure.

Metal, thick goods and impenetrable areas bias a mass that is summed up from areal density: how much depends
on what lies in the carton, which the other measures tell. Who knows how wrong a mass may be can hold a light
carton of clothes to a few percent without suspecting every box of tools.
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

OFF, ERROR = Kernel(0.01, 0.3), Kernel(0.003, 2.0)
MOST_OFF = 0.5
"""ln of true over measured mass is cut here when learning, at half of it when correcting."""
LEAST_ERROR, MOST_ERROR = 0.02, 0.6
LOG_FROM = 0.01
"""What is missed by less than this share counts as this."""
LARGEST_FIT_MM = 30.0
INPUTS = 12 + 2 * len(TEXTURE)
"""Values of `inputs`."""


class MassModel(NamedTuple):
    """`off`: of ln(true / measured); `error`: of ln of what that misses by; `wider`: by how much more that is
    a standard deviation."""

    off: Ridge
    error: Ridge
    wider: float


def inputs(measures: Measures) -> Values:
    """What the regressions see of one carton, (INPUTS,)."""
    whole = [
        np.log(max(value, 1e-3))
        for value in (measures.length, measures.width, measures.height, measures.litres, measures.grams,
                      measures.density)
    ]  # fmt: skip
    parts = [measures.organic, measures.inorganic, measures.metal, min(measures.spread, 1.0)]
    texture = measures.texture
    every = np.concatenate([whole, parts, texture.mean(axis=0), texture.max(axis=0)])
    more = [np.log1p(measures.impenetrable_cm2), min(measures.fit_mm, LARGEST_FIT_MM) / 10]
    return np.concatenate([np.sign(every) * np.log1p(3 * np.abs(every)), more])


def fit(
    measures: Sequence[Measures], grams: Values, groups: Sequence[str]
) -> tuple[MassModel, list[Measures]]:
    """The model of cartons of true mass `grams` (cartons,), and these cartons as a model weighs them that
    never saw their group: to fit what comes after on.

    Raises:
        ValueError: fewer than five groups.
    """
    rows = np.array([inputs(each) for each in measures])
    logs = np.log(grams / np.array([each.grams for each in measures])).clip(-MOST_OFF, MOST_OFF)
    off = ridge.held_out(rows, logs, groups, OFF)
    missed = np.log(np.abs(logs - off) + LOG_FROM)
    error = ridge.held_out(rows, missed, groups, ERROR)
    wider = float(np.sqrt((((logs - off) / np.exp(error)) ** 2).mean()))
    model = MassModel(ridge.fit(rows, logs, OFF), ridge.fit(rows, missed, ERROR), wider)
    weighed = [_corrected(*each, wider) for each in zip(measures, off, error, strict=True)]
    return model, weighed


def weighed(model: MassModel, measures: Measures) -> Measures:
    """The carton with its mass put right, and how far that may be off."""
    row = inputs(measures)[None]
    off, error = float(ridge.predict(model.off, row)[0]), float(ridge.predict(model.error, row)[0])
    return _corrected(measures, off, error, model.wider)


def _corrected(measures: Measures, off: float, error: float, wider: float) -> Measures:
    share = float(np.clip(wider * np.exp(min(error, 0.0)), LEAST_ERROR, MOST_ERROR))
    factor = float(np.exp(np.clip(off, -MOST_OFF / 2, MOST_OFF / 2)))
    return measures._replace(grams=measures.grams * factor, grams_error=share)

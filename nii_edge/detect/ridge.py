"""Kernel ridge regression: smooth functions of a few dozen numbers, from a few thousand examples. Pure.

Far from every example it falls back to their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

FOLDS = 5


class Kernel(NamedTuple):
    """`gamma` of the Gaussian kernel on standardised rows, and the `penalty` on its weights."""

    gamma: float
    penalty: float


class Ridge(NamedTuple):
    """`gamma`; `centre`, `scale` (values,) standardise; `support` (samples, values) standardised; `alpha`
    (samples,); `mean` of the target."""

    gamma: float
    centre: Values
    scale: Values
    support: Values
    alpha: Values
    mean: float


def fit(rows: Values, target: Values, kernel: Kernel) -> Ridge:
    """The function of `rows` (samples, values) that comes near to `target` (samples,)."""
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    support, mean = (rows - centre) / scale, float(target.mean())
    matrix = _kernel(support, support, kernel.gamma) + kernel.penalty * np.eye(len(rows))
    alpha = np.asarray(np.linalg.solve(matrix, target - mean), np.float64)
    return Ridge(kernel.gamma, centre, scale, support, alpha, mean)


def predict(model: Ridge, rows: Values) -> Values:
    """(samples,) of `rows` (samples, values)."""
    standard = (rows - model.centre) / model.scale
    found: Values = _kernel(standard, model.support, model.gamma) @ model.alpha + model.mean
    return found


def held_out(rows: Values, target: Values, groups: Sequence[str], kernel: Kernel) -> Values:
    """(samples,) as functions say that never saw the sample's group.

    Raises:
        ValueError: fewer than five groups.
    """
    names = sorted(set(groups))
    if len(names) < FOLDS:
        raise ValueError(f"{len(names)} groups; expected five or more")
    place = {name: index % FOLDS for index, name in enumerate(names)}
    folds, found = np.array([place[group] for group in groups]), np.zeros(len(rows))
    for fold in range(FOLDS):
        inside = folds != fold
        found[~inside] = predict(fit(rows[inside], target[inside], kernel), rows[~inside])
    return found


def _kernel(one: Values, other: Values, gamma: float) -> Values:
    apart = (one * one).sum(axis=1)[:, None] + (other * other).sum(axis=1)[None] - 2 * one @ other.T
    kernel: Values = np.exp(-gamma * np.maximum(apart, 0))
    return kernel

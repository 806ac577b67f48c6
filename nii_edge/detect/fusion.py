"""All evidence to one probability: for each way in which a carton may lie, a regularised logistic regression
against honest ones, so that what is said twice counts once; each way is as likely as the next beforehand.

Each feature adds its own term to the log-odds of a way: by one slope, and beyond `KNEE` by another one
besides, since much of something may say more, or less, than its beginning. What it adds to the whole is the
mean over ways, each as likely as it is now; the terms of one indicator together are its likelihood ratio,
which is published. What is missing adds nothing. The site sets the prior. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

CUT = 4.0
"""Standardised features are cut here: none may decide alone by being absurd."""
KNEE = 1.0
"""Standard deviations from which a feature's second slope counts: chosen by cross-validation
(docs/decisions/0020)."""
STEPS = 50


class Fusion(NamedTuple):
    """`centre`, `scale`, `weights`, `beyond` (features,) and `bias`, for classes as frequent as each other.
    `beyond`: what a standardised feature weighs besides where it is above `KNEE`."""

    centre: Values
    scale: Values
    weights: Values
    beyond: Values
    bias: float


class Joint(NamedTuple):
    """`kinds`: the ways in which a carton may lie; `parts`: the `Fusion` of each against honest cartons."""

    kinds: tuple[str, ...]
    parts: tuple[Fusion, ...]


class Weighed(NamedTuple):
    """`log_odds` (...,) at even prior odds that a carton lies, in whatever way; `terms` (..., features): what
    each feature adds to them; `ways` (kinds, ...): the log-odds of each way, to `add` to."""

    log_odds: Values
    terms: Values
    ways: Values


def fit_joint(rows: Values, kinds: npt.NDArray[np.str_], ridge: float) -> Joint:
    """Fit to `rows` (samples, features) of cartons that lie in one of the `kinds` (samples,), or, empty, do
    not.

    Raises:
        ValueError: there is no honest carton, or none that lies.
    """
    names = sorted(set(kinds.tolist()) - {""})
    if not names:
        raise ValueError(f"none of {len(kinds)} cartons lies; expected some of both kinds")
    parts = []
    for name in names:
        use = (kinds == "") | (kinds == name)
        parts.append(fit(rows[use], kinds[use] == name, ridge))
    return Joint(tuple(names), tuple(parts))


def weigh(joint: Joint, features: Values) -> Weighed:
    """The evidence of cartons, `features` (..., features), put together."""
    bias = np.array([part.bias for part in joint.parts])
    return add(joint, bias.reshape(-1, *[1] * (features.ndim - 1)), features)


def add(joint: Joint, ways: Values, features: Values) -> Weighed:
    """More evidence, `features` (..., features) that were missing before, on top of the log-odds of each way,
    `ways` (kinds, ...)."""
    added = np.stack([terms(part, features) for part in joint.parts])
    each = ways + added.sum(axis=-1)
    whole = np.logaddexp.reduce(each, axis=0)
    likely = np.exp(each - whole)
    return Weighed(whole - np.log(len(each)), (likely[..., None] * added).sum(axis=0), each)


def fit(rows: Values, bad: npt.NDArray[np.bool_], ridge: float) -> Fusion:
    """Fit to `rows` (samples, features) with NaN where data are missing. Both classes weigh the same.

    Newton's method on the penalised likelihood (iteratively reweighted least squares).

    Raises:
        ValueError: one of the classes is not there.
    """
    if not bad.any() or bad.all():
        raise ValueError(f"{int(bad.sum())} bad of {len(bad)} cartons; expected some of both kinds")
    known = np.isfinite(rows)
    many = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, rows, 0).sum(axis=0) / many
    scale = np.sqrt((np.where(known, rows - centre, 0) ** 2).sum(axis=0) / many) + 1e-6
    plain = _standard(rows, centre, scale)
    inputs = np.column_stack([plain, _beyond(plain), np.ones(len(rows))])
    each = np.where(bad, 1 / bad.sum(), 1 / (~bad).sum()) * len(rows) / 2
    penalty = np.append(np.full(inputs.shape[1] - 1, ridge), 1e-6)
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (each * (chance - bad)) + penalty * weights
        curve = (inputs * (each * chance * (1 - chance))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    slopes, beyond = np.split(weights[:-1], 2)
    return Fusion(centre, scale, slopes, beyond, float(weights[-1]))


def terms(fusion: Fusion, features: Values) -> Values:
    """What each feature adds to the log-odds, (..., features)."""
    plain = _standard(features, fusion.centre, fusion.scale)
    added: Values = plain * fusion.weights + _beyond(plain) * fusion.beyond
    return added


def log_odds(fusion: Fusion, features: Values) -> Values:
    """Log-odds at even prior odds, (...,)."""
    odds: Values = terms(fusion, features).sum(axis=-1) + fusion.bias
    return odds


def probability(log_odds_even: float, prior: float) -> float:
    """The probability at a `prior` in 0-1, both ends excluded."""
    odds = log_odds_even + float(np.log(prior / (1 - prior)))
    return float(1 / (1 + np.exp(-np.clip(odds, -60, 60))))


def by_group(added: Values, groups: Sequence[str]) -> dict[str, float]:
    """Sums of (features,) `added` over each group's features: log likelihood ratios."""
    total: dict[str, float] = {}
    for value, group in zip(added, groups, strict=True):
        total[group] = total.get(group, 0.0) + float(value)
    return total


def _beyond(standard: Values) -> Values:
    return np.maximum(standard - KNEE, 0.0)


def _standard(rows: Values, centre: Values, scale: Values) -> Values:
    standard: Values = np.nan_to_num(np.clip((rows - centre) / scale, -CUT, CUT))
    return standard

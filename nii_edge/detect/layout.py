"""How alike two cartons are packed, whatever their papers say. Pure.

What cartons of one master bill are compared in (`anomaly.TRAITS`), without what depends on the papers or is
found rather than packed, and in mass and size: numbers that differ little from carton to carton of one lot.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nii_edge.detect.anomaly import APART, MASS, TRAITS

Values = npt.NDArray[np.float64]

_LEFT_OUT = (MASS, TRAITS.index("impenetrable area"), *APART)
COMPARED = tuple(k for k in range(len(TRAITS)) if k not in _LEFT_OUT)
"""Places in `anomaly.TRAITS` that are compared. Not impenetrable areas: nearly all cartons have none."""
SIZE_LOG = 0.05
"""ln of mass or volume that cartons of one lot differ by."""
LENGTH = len(COMPARED) + 2
"""Values of a layout."""


def layout(traits: Values, size: tuple[float, float], spread: Values) -> Values | None:
    """(LENGTH,) of one carton, each in what cartons of one lot differ by; None if something is not known.
    `traits` and `spread` (`anomaly.Null`): (len(TRAITS),); `size`: kilograms, and litres of its box."""
    if not min(size) > 0:
        return None
    found = np.concatenate([(traits / spread)[[*COMPARED]], np.log(size) / SIZE_LOG])
    return found if np.isfinite(found).all() else None


def distances(own: Values, others: Values) -> Values:
    """(cartons,) from one layout to others, (cartons, LENGTH): 0 for the same. Large differences in few
    values count less than small ones in many."""
    return np.asarray(np.log1p((others - own) ** 2 / 2).mean(axis=1))

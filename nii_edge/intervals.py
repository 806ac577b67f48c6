"""Intervals of rates that were counted."""

from __future__ import annotations

import math

Z95 = 1.959964
"""The 97.5 % quantile of the normal distribution: both sides together leave 5 %."""


def wilson(hits: int, of: int, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a rate, `hits` of `of` independent trials; (0, 1) of none.

    ``(p + z^2/2n ± z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n)``: E. B. Wilson, "Probable inference, the
    law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927) 209-212.

    Raises:
        ValueError: counts that cannot be.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} hits of {of}; expected 0 to {of}")
    if of == 0:
        return 0.0, 1.0
    rate = hits / of
    middle = rate + z * z / (2 * of)
    half = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

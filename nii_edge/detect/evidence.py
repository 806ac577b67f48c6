"""What speaks for or against a carton being what its papers say, as numbers: `FEATURES`, by indicator. Pure.

NaN is where data are missing: it weighs nothing, and the indicator does not apply.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.detect import bank, norms, parcels, shapes
from nii_edge.detect.anomaly import APART, MASS, MATERIAL, Oddity
from nii_edge.detect.parcels import ParcelCount
from nii_edge.papers import Papers
from nii_edge.records import Finding
from nii_edge.regime import Regime
from nii_edge.xray.carton import GOOD_FIT_MM, Measures
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]

Indicator = Literal[
    "mass_differs", "more_parcels", "unlikely_piece", "vague_words", "other_material", "dense_spot",
    "mixed_contents", "odd_one_out", "prohibited_shape", "foreign_object",
]  # fmt: skip
"""The warning indicators (reference numbers of the domain list in docs/DETECTION.md)."""

FEATURES: tuple[tuple[Indicator, str], ...] = (
    ("mass_differs", "heavier than gross"),
    ("mass_differs", "lighter than gross"),
    ("mass_differs", "gross off by far"),
    ("mass_differs", "heavier than net"),
    ("mass_differs", "lighter than net"),
    ("more_parcels", "over packages"),
    ("more_parcels", "far over packages"),
    ("more_parcels", "more than packages of several lines"),
    ("more_parcels", "over pieces"),
    ("more_parcels", "count"),
    ("more_parcels", "few packages"),
    ("more_parcels", "one line"),
    ("unlikely_piece", "weight off the norm"),
    ("unlikely_piece", "heavier than the norm"),
    ("unlikely_piece", "few pieces"),
    ("unlikely_piece", "litres a piece"),
    ("unlikely_piece", "kilograms a piece"),
    ("unlikely_piece", "value a kilogram"),
    ("vague_words", "vague"),
    ("other_material", "shares off the norm"),
    ("other_material", "look off the norm"),
    ("other_material", "unlike its heading"),
    ("other_material", "material unlike its heading"),
    ("other_material", "look unlike its heading"),
    ("other_material", "metal"),
    ("dense_spot", "impenetrable"),
    ("dense_spot", "densest spot"),
    ("dense_spot", "metal spot"),
    ("dense_spot", "material of the spot"),
    ("dense_spot", "spot in light goods"),
    ("mixed_contents", "uneven"),
    ("mixed_contents", "uneven with one line"),
    ("mixed_contents", "repeats along"),
    ("mixed_contents", "repeats across"),
    ("odd_one_out", "score"),
    ("odd_one_out", "largest deviation"),
    ("odd_one_out", "mass deviation"),
    ("odd_one_out", "material deviation"),
    *(("prohibited_shape", name) for name in shapes.SHAPES),
    ("foreign_object", "read from the maps"),
    ("foreign_object", "more than its heading has"),
    ("foreign_object", "what its fellows have"),
)
"""Every number of the joint fusion, with the indicator whose contribution it is part of."""
PAPERS_ALONE: tuple[str, ...] = (
    "one line", "few packages", "weight off the norm", "heavier than the norm", "few pieces",
    "kilograms a piece", "value a kilogram", "vague",
)  # fmt: skip
"""Features that need no X-ray: what they reveal alone is reported apart."""

OF_CONSIGNMENT: tuple[str, ...] = (
    "score", "largest deviation", "mass deviation", "material deviation", "what its fellows have",
)  # fmt: skip
"""Features that need the cartons of its master bill that went before (`of_consignment`)."""
_LATE = [[name for _, name in FEATURES].index(name) for name in OF_CONSIGNMENT]
VERIFIER, FUSED = "manifest", "not_as_declared"
"""Who weighs the evidence, and the label of the finding that says what all of it comes to."""
SPEAKS_FROM = float(np.log(3.0))
"""Log likelihood ratio from which an indicator is told by itself."""
SHOWN_FROM = 0.02
"""Probability from which the whole is told though no indicator is."""
CLEAR_SIGMA = 2.0
"""Standard deviations that a mass may be off by chance."""
TARE_LOG = 0.15
"""ln of total over net mass that a carton and its filling explain."""
MISCOUNT = 0.3
"""ln of counted over declared parcels that a miscount explains."""
HIDDEN_TO = 8.0
"""Log-odds of something hidden that say no more."""
_WORD = re.compile(r"[^\W\d_]+")
MOST_WORDS = 8
"""Words of a description that are looked at."""


class Site(NamedTuple):
    """What a site has learned of the goods that pass it; nothing at first."""

    norms: norms.Norms | None = None
    bank: bank.Bank | None = None


class Evidence(NamedTuple):
    """`features` (len(FEATURES),); what findings need to say besides: `kilograms` give or take
    `kilograms_error`; a `lower_bound` where something is impenetrable; the `shape` that looks most
    like something prohibited."""

    features: Values
    parcels: ParcelCount
    kilograms: float
    kilograms_error: float
    lower_bound: bool
    oddity: Oddity | None
    shape: Finding | None = None


def is_vague(description: str, regime: Regime) -> bool:
    """Whether a description consists of nothing but words that say nothing, numbers and codes, or begins with
    `MOST_WORDS` of them: whoever has something to say says it before."""
    empty = _empty_words(regime.vague_words)
    words = islice(_WORD.finditer(description.casefold()), MOST_WORDS)
    return all(word[0] in empty for word in words)


@lru_cache(maxsize=4)
def _empty_words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(words)


def gather(
    measures: Measures,
    papers: Papers,
    regime: Regime,
    site: Site,
    odd: Oddity | None,
    seen: shapes.Seen | None,
) -> Evidence:
    """The evidence of one carton. `seen`: by an object detector, if there is one."""
    lines, net, gross = papers.lines, papers.net_kg, papers.gross_kg
    pieces, packages, value = papers.pieces, papers.packages, papers.value_usd
    kilograms = max(measures.grams / 1000, 1e-3)
    off = _log(kilograms, gross) / measures.grams_error if measures.fit_mm <= GOOD_FIT_MM else np.nan
    if measures.impenetrable_cm2 > 0:  # a lower bound cannot be too light
        off = max(off, 0.0) if np.isfinite(off) else off
    tare = _log(kilograms, net) - TARE_LOG
    away = np.full(len(norms.NORM), np.nan)
    chapters = [line.chapter for line in lines if line.chapter is not None]
    if site.norms is not None and chapters:
        away = norms.distance(site.norms, chapters, norms.values(measures, papers))
    shape = None if seen is None else shapes.weigh(seen, chapters)
    unlike = bank.UNKNOWN if site.bank is None else bank.unlikeness(site.bank, measures, papers, seen)
    texture = measures.texture
    top = texture.max(axis=0)

    def most(name: str) -> float:
        return float(top[TEXTURE.index(name)])

    likely, single = measures.parcels, float(len(lines) == 1)
    uneven = float(texture[:, TEXTURE.index("blocks_mass")].mean())
    spot = np.log(max(most("dense_blob"), 1e-3))
    features = np.array(
        [
            max(off, 0.0), max(-off, 0.0), max(abs(off) - CLEAR_SIGMA, 0.0), max(tare, 0.0), max(-tare, 0.0),
            parcels.excess(likely, packages, 0.0), parcels.excess(likely, packages, MISCOUNT),
            parcels.more_than(likely, packages) * (1.0 - single) if lines else np.nan,
            parcels.excess(likely, pieces, 0.0),
            parcels.mean_log(likely),
            -_log1p(packages), single if lines else np.nan,
            abs(away[-1]), max(away[-1], 0.0), -_log1p(pieces), _log(measures.litres, pieces),
            _log(net, pieces), _log(value, net),
            float(any(is_vague(line.description, regime) for line in lines)) if lines else np.nan,
            np.sqrt((away[norms.MATERIAL] ** 2).mean()), np.sqrt((away[norms.LOOK] ** 2).mean()),
            unlike.whole, unlike.material, unlike.look, measures.metal,
            np.log1p(measures.impenetrable_cm2), spot, most("metal_blob"), most("dense_blob_z"),
            spot * (1.0 - min(measures.metal, 1.0)),
            uneven, uneven * single, most("repeat_along"), most("repeat_across"),
            *[np.nan] * (len(OF_CONSIGNMENT) - 1),
            *([np.nan] * len(shapes.SHAPES) if shape is None else shape.values),
            float(np.clip(measures.hidden, -HIDDEN_TO, HIDDEN_TO)), unlike.foreign, np.nan,
        ]
    )  # fmt: skip
    if odd is not None:
        features[_LATE] = of_consignment(odd)[_LATE]
    error = kilograms * measures.grams_error
    return Evidence(
        features,
        parcels.count(likely),
        kilograms,
        error,
        measures.impenetrable_cm2 > 0,
        odd,
        None if shape is None else shape.surest,
    )


def of_consignment(odd: Oddity) -> Values:
    """The evidence that comes from a carton's fellows alone, (len(FEATURES),); all else is NaN."""
    # less what is found in it, which is evidence of its own
    apart = np.abs(np.delete(odd.deviations, APART))
    score = odd.score - float(np.log1p(odd.deviations[[*APART]] ** 2 / 2).sum())
    material = np.abs(odd.deviations[MATERIAL]).max()
    features = np.full(len(FEATURES), np.nan)
    features[_LATE] = min(score, 40.0) / 10, apart.max(), abs(odd.deviations[MASS]), material, odd.foreign
    return features


def _log(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return float("nan")
    return float(np.log(max(one, 1e-4) / max(other, 1e-4)))


def _log1p(count: int | None) -> float:
    return float("nan") if count is None else float(np.log1p(count))

"""`nii-edge evaluate-cartons`: the whole carton against the truth of freshly simulated consignments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.commands.cartons import Carton
from nii_edge.commands.fit_cartons import PAPERS, History, Looked, history_of, look_at, weighed
from nii_edge.commands.rates import auroc, bootstrap, pd_above, threshold_at
from nii_edge.detect import anomaly, fusion, parcels
from nii_edge.detect.bank import DIGITS
from nii_edge.detect.carton_fit import CartonFit
from nii_edge.intervals import wilson
from nii_edge.xray.texture import TEXTURE

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CONTENTS = ("hidden_object", "undeclared_material", "shielding", "swapped_goods")
"""Lies about contents: what an anomaly detector is for."""
ORDERS = 10
"""Random orders in which each consignment passes, for the odd one out."""
FROM_CARTON = 6
NON_METAL = 0.05
"""True share of metal up to which a carton's mass counts for `mass_error_median`."""
LEAST_IN_BANK = 5
ALONE = 0.5
"""Pd at Pfa 2 % from papers alone, from which papers alone reveal a lie."""


RECALL_AT = 0.02
"""Share of honest cartons that are as odd, at which an early one is called back."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints; docs/DETECTION.md says what each key means."""

    auroc_bank: float
    auroc_online: float
    auroc_online_honest_majority: float
    master_carton_pd_at_pfa1: float
    count_ok: float
    mass_error_median: float
    fused_pd_at_pfa2: float
    fused_pd_at_pfa2_beyond_papers: float
    ms_per_carton: float
    intervals: dict[str, tuple[float, float]]
    baselines: dict[str, dict[str, float]]
    per_lie: dict[str, dict[str, float]]
    banks: dict[str, dict[str, float]]
    count_by_size: dict[str, dict[str, float]]
    count_by_packing: dict[str, dict[str, float]]
    count_by_depth: dict[str, dict[str, float]]
    countable: dict[str, float]
    achieved_pfa: dict[str, float]
    poisoned: dict[str, float]
    cartons: int
    consignments: int
    history_cartons: int
    seed: int
    fit: str
    seconds: float


MASTER = "master_carton"
MOSTLY = 0.6
"""The share of a carton's parcels from which they count as packed in bags, or in boxes."""


class Scores(NamedTuple):
    """What each carton got: `fused`, `master`, `papers` log-odds; `bank`: how unlike it is to what passed
    under its heading, NaN if nothing did."""

    fused: Values
    master: Values
    papers: Values
    bank: Values


def evaluate(
    cartons: Sequence[Carton], history: Sequence[Carton], fit: CartonFit, seed: int
) -> dict[str, Any]:
    """Every key of `Result` that needs no clock. Thresholds and norms come from `history` alone."""
    cartons, history = weighed(cartons, fit), weighed(history, fit)
    learned = history_of(history)
    calibration = _scores(history, fit, learned, own=True)
    scores = _scores(cartons, fit, learned, own=False)
    passed = np.array([each.honest for each in history])
    data = _Data(cartons, scores, seed)
    out: dict[str, Any] = {"intervals": {}, "baselines": {}, "achieved_pfa": {}}
    _fused(out, data, calibration, passed)
    _master(out, data, calibration, passed)
    _bank(out, data)
    _online(out, data, fit)
    _mass_and_count(out, data)
    return out


class _Data:
    """The test as arrays, one entry a carton."""

    def __init__(self, cartons: Sequence[Carton], scores: Scores, seed: int) -> None:
        self.cartons, self.scores, self.seed = cartons, scores, seed
        self.lies = np.array([each.lie for each in cartons])
        self.honest: Mask = np.array([each.honest for each in cartons])
        self.groups = np.array([each.papers.master_bill for each in cartons])
        self.trivial = {
            "total_mass": np.array([each.measures.grams for each in cartons]),
            "mean_density": np.array([each.measures.density for each in cartons]),
            "metal_fraction": np.array([each.measures.metal for each in cartons]),
            "edge_density": np.array([each.measures.texture[:, _EDGE].mean() for each in cartons]),
        }

    def over(self, value: Callable[[npt.NDArray[np.int64]], float]) -> tuple[float, float]:
        """The interval of a value of the cartons at some places, by bootstrap over consignments."""
        return bootstrap(self.groups, value, self.seed)


_EDGE = TEXTURE.index("along")


def _scores(cartons: Sequence[Carton], fit: CartonFit, learned: History, own: bool) -> Scores:
    found: Looked = look_at(cartons, fit.null, learned, own)
    return Scores(
        fusion.weigh(fit.fusion, found.features).log_odds,
        _of_master(fit, found.features),
        fusion.weigh(fit.papers, np.where(PAPERS, found.features, np.nan)).log_odds,
        found.distance,
    )


def _of_master(fit: CartonFit, features: Values) -> Values:
    """Log-odds of a carton full of undeclared parcels; all the same if the fit never saw one."""
    if MASTER not in fit.fusion.kinds:
        return np.zeros(len(features))
    return fusion.log_odds(fit.fusion.parts[fit.fusion.kinds.index(MASTER)], features)


def _fused(out: dict[str, Any], data: _Data, calibration: Scores, passed: Mask) -> None:
    lies = sorted(set(data.lies.tolist()) - {""})
    at = threshold_at(calibration.fused[passed], 0.02)
    at_papers = threshold_at(calibration.papers[passed], 0.02)
    per_lie = {}
    for lie in lies:
        true = data.lies == lie
        per_lie[lie] = {
            "cartons": int(true.sum()),
            "pd_at_pfa2": pd_above(data.scores.fused[true], at),
            "auroc": auroc(data.scores.fused[data.honest], data.scores.fused[true]),
            "papers_alone_pd_at_pfa2": pd_above(data.scores.papers[true], at_papers),
            "papers_alone_auroc": auroc(data.scores.papers[data.honest], data.scores.papers[true]),
        }
    hard = [lie for lie in lies if per_lie[lie]["papers_alone_pd_at_pfa2"] < ALONE]

    def macro(which: Sequence[str]) -> Callable[[npt.NDArray[np.int64]], float]:
        def value(places: npt.NDArray[np.int64]) -> float:
            own = data.lies[places]
            rates = [pd_above(data.scores.fused[places][own == lie], at) for lie in which]
            known = [rate for rate in rates if np.isfinite(rate)]
            return float(np.mean(known)) if known else float("nan")

        return value

    every = np.arange(len(data.lies))
    for key, which in (("fused_pd_at_pfa2", lies), ("fused_pd_at_pfa2_beyond_papers", hard)):
        out[key] = macro(which)(every)
        out["intervals"][key] = data.over(macro(which))
    out["per_lie"] = per_lie
    out["achieved_pfa"]["fused"] = pd_above(data.scores.fused[data.honest], at)
    bad = data.lies != ""
    out["baselines"]["fused"] = _trivial(data, data.honest, bad) | {
        "detector": auroc(data.scores.fused[data.honest], data.scores.fused[bad])
    }


def _master(out: dict[str, Any], data: _Data, calibration: Scores, passed: Mask) -> None:
    at = threshold_at(calibration.master[passed], 0.01)
    true = data.lies == MASTER
    hits = int((data.scores.master[true] > at).sum())
    out["master_carton_pd_at_pfa1"] = pd_above(data.scores.master[true], at)
    out["intervals"]["master_carton_pd_at_pfa1"] = wilson(hits, int(true.sum()))
    out["achieved_pfa"]["master_carton"] = pd_above(data.scores.master[data.honest], at)
    out["baselines"]["master_carton"] = _trivial(data, data.honest, true) | {
        "detector": auroc(data.scores.master[data.honest], data.scores.master[true])
    }


def _bank(out: dict[str, Any], data: _Data) -> None:
    """Hidden and swapped contents against what passed under the declared heading, heading by heading."""
    headings = np.array([_heading(each) for each in data.cartons])
    bad = np.isin(data.lies, CONTENTS)
    known = np.isfinite(data.scores.bank) & (headings != "")

    def by_heading(places: npt.NDArray[np.int64], scores: Values) -> dict[str, dict[str, float]]:
        found = {}
        for heading in sorted(set(headings[places][known[places]].tolist())):
            own = places[known[places] & (headings[places] == heading)]
            good, wrong = own[data.honest[own]], own[bad[own]]
            if len(good) >= LEAST_IN_BANK and len(wrong) >= 2:
                value = auroc(scores[good], scores[wrong])
                found[heading] = {"auroc": value, "honest": len(good), "odd": len(wrong)}
        return found

    def mean(places: npt.NDArray[np.int64]) -> float:
        values = [bank["auroc"] for bank in by_heading(places, data.scores.bank).values()]
        return float(np.mean(values)) if values else float("nan")

    def trivial(scores: Values) -> float:
        """The same of a trivial score: whichever way round is better, the same for all headings."""
        values = [bank["auroc"] for bank in by_heading(every, scores).values()]
        return max(float(np.mean(values)), 1 - float(np.mean(values))) if values else float("nan")

    every = np.arange(len(data.lies))
    out["banks"] = by_heading(every, data.scores.bank)
    out["auroc_bank"] = mean(every)
    out["intervals"]["auroc_bank"] = data.over(mean)
    out["baselines"]["auroc_bank"] = {name: trivial(values) for name, values in data.trivial.items()}


def _heading(carton: Carton) -> str:
    """The one heading that is declared; empty if there are several."""
    headings = {line.hs_code[:DIGITS] for line in carton.papers.lines}
    return headings.pop() if len(headings) == 1 else ""


def _online(out: dict[str, Any], data: _Data, fit: CartonFit) -> None:
    """The odd one out from the sixth carton on, every consignment in several orders."""
    rng = np.random.default_rng(data.seed)
    scores, places, majority = [], [], []
    early, recalled, false_recalls, fair = 0, 0, 0, 0
    traits = np.array([anomaly.traits(each.measures, each.papers, each.seen) for each in data.cartons])
    for group in sorted(set(data.groups.tolist())):
        own = np.flatnonzero(data.groups == group)
        if len(own) < FROM_CARTON:
            continue
        honest_most = float((data.lies[own] != "").mean()) < 0.5
        for _ in range(ORDERS):
            order = rng.permutation(own)
            for k in range(FROM_CARTON - 1, len(order)):
                odd = anomaly.oddity(fit.null, traits[order[k]], traits[order[:k]])
                scores.append(odd.score)
                places.append(int(order[k]))
                majority.append(honest_most)
        if honest_most:  # poisoned: the bad ones come first
            order = np.concatenate([own[data.lies[own] != ""], own[data.lies[own] == ""]])
            consignment = anomaly.Consignment(fit.null)
            told = []
            for place in order:
                consignment.look(str(place), traits[place])
                told += [int(name) for name, _ in consignment.turned_odd(_recalled)]
            contents = np.isin(data.lies[own], CONTENTS)
            early += int(contents.sum())
            recalled += sum(data.lies[place] in CONTENTS for place in told)
            fair += int(data.honest[own].sum())
            false_recalls += sum(bool(data.honest[place]) for place in told)
    score, at, most = np.array(scores), np.array(places, np.int64), np.array(majority, np.bool_)
    groups = data.groups[at] if len(at) else np.array([])
    bad, good = np.isin(data.lies[at], CONTENTS), data.honest[at]

    def value(which: Mask) -> Callable[[npt.NDArray[np.int64]], float]:
        return lambda chosen: auroc(
            score[chosen][(good & which)[chosen]], score[chosen][(bad & which)[chosen]]
        )

    every = np.arange(len(at))
    for key, which in (
        ("auroc_online", np.ones(len(at), np.bool_)), ("auroc_online_honest_majority", most)
    ):  # fmt: skip
        out[key] = value(which)(every)
        out["intervals"][key] = bootstrap(groups, value(which), data.seed)
    seen = np.unique(at)
    mask = np.isin(np.arange(len(data.lies)), seen)
    out["baselines"]["auroc_online"] = _trivial(data, data.honest & mask, np.isin(data.lies, CONTENTS) & mask)
    out["poisoned"] = {
        "bad_cartons_first": early,
        "recalled": recalled / early if early else float("nan"),
        "honest_recalled": false_recalls / fair if fair else float("nan"),
    }


def _recalled(_: str, odd: anomaly.Oddity) -> bool:
    return odd.chance <= RECALL_AT


def _mass_and_count(out: dict[str, Any], data: _Data) -> None:
    light: Mask = np.array([each.metal <= NON_METAL for each in data.cartons])
    off = np.array([abs(each.measures.grams - each.grams) / each.grams for each in data.cartons])
    true = np.array([each.parcels for each in data.cartons])
    counts = [parcels.count(each.measures.parcels) for each in data.cartons]
    said = np.array([each.expected for each in counts])
    sure = np.array([each.chance >= parcels.COUNTABLE for each in counts])
    right = parcels.is_right(said, true)
    several = true >= 2

    def median(places: npt.NDArray[np.int64]) -> float:
        own = places[light[places]]
        return float(np.median(off[own])) if len(own) else float("nan")

    def rate(places: npt.NDArray[np.int64]) -> float:
        own = places[several[places]]
        return float(right[own].mean()) if len(own) else float("nan")

    every = np.arange(len(true))
    out["mass_error_median"], out["count_ok"] = median(every), rate(every)
    out["intervals"] |= {"mass_error_median": data.over(median), "count_ok": data.over(rate)}
    both = sure & several
    out["countable"] = {
        "share": float(sure[several].mean()) if several.any() else float("nan"),
        "count_ok": float(right[both].mean()) if both.any() else float("nan"),
    }
    bags = np.array([each.bags for each in data.cartons])
    deep = np.array([each.deep for each in data.cartons])
    kinds: dict[str, dict[str, Mask]] = {
        "count_by_size": {
            "none": true == 0, "one": true == 1, "2-5": (true >= 2) & (true <= 5),
            "6-12": (true >= 6) & (true <= 12), "13 and more": true >= 13,
        },
        "count_by_packing": {
            "boxes": several & (bags < 1 - MOSTLY), "bags": several & (bags > MOSTLY),
            "both": several & (bags >= 1 - MOSTLY) & (bags <= MOSTLY),
        },
        "count_by_depth": {
            "one": several & (deep == 1), "two": several & (deep == 2), "three": several & (deep == 3),
            "four and more": several & (deep > 3),
        },
    }  # fmt: skip
    for key, masks in kinds.items():
        out[key] = {
            name: {"cartons": int(own.sum()), "ok": float(right[own].mean()) if own.any() else float("nan")}
            for name, own in masks.items()
        }


def _trivial(data: _Data, good: Mask, bad: Mask) -> dict[str, float]:
    """The AUROC of each trivial score, whichever way round is better."""
    found = {}
    for name, values in data.trivial.items():
        value = auroc(values[good], values[bad])
        found[name] = max(value, 1 - value)
    return found

"""What the carton detectors fit: masses, the null of the odd one out, the joint fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.commands.cartons import Carton, regime
from nii_edge.detect import anomaly, bank, evidence, fusion, mass, norms
from nii_edge.detect.carton_fit import CartonFit

Values = npt.NDArray[np.float64]

RIDGE = 20.0
"""Penalty on squared standardised weights, against a likelihood summed over all cartons."""
UNLIKE = evidence.FEATURES.index(("other_material", "unlike its heading"))
PAPERS = np.array([name in evidence.PAPERS_ALONE for _, name in evidence.FEATURES])


class History(NamedTuple):
    """What a site learns from: cartons that turned out to be honest."""

    samples: list[norms.Sample]
    entries: list[bank.Entry]

    def site(self, leave_out: str | None = None) -> evidence.Site:
        """What is learned from all consignments but one."""
        return evidence.Site(norms.learn(self.samples, leave_out), bank.learn(self.entries, leave_out))


def history_of(cartons: Sequence[Carton]) -> History:
    """What a site learns from these cartons."""
    honest = [each for each in cartons if each.honest]
    samples = [norms.sample(each.measures, each.papers) for each in honest]
    entries = [bank.entry(each.measures, each.papers, each.seen) for each in honest]
    return History(
        [each for each in samples if each is not None], [each for each in entries if each is not None]
    )


class Looked(NamedTuple):
    """`features` (cartons, features); `distance` (cartons,) to what is known of its heading, NaN without."""

    features: Values
    distance: Values


def look_at(
    cartons: Sequence[Carton],
    null: anomaly.Null,
    learned: History,
    own: bool,
) -> Looked:
    """The evidence of cartons in the order they pass.

    `own`: the norms were learned from these very cartons, so each consignment is judged by norms without it.
    """
    rules = regime()
    by_group: dict[str | None, evidence.Site] = {}
    consignments: dict[str, anomaly.Consignment] = {}
    found, away = [], []
    for carton in cartons:
        group = carton.papers.master_bill
        if group not in consignments:
            consignments[group] = anomaly.Consignment(null)
        traits = anomaly.traits(carton.measures, carton.papers, carton.seen)
        odd = consignments[group].look(carton.papers.barcode, traits)
        out = group if own else None
        if out not in by_group:
            by_group[out] = learned.site(out)
        site = by_group[out]
        found.append(evidence.gather(carton.measures, carton.papers, rules, site, odd, carton.seen).features)
        away.append(found[-1][UNLIKE])
    return Looked(np.array(found), np.array(away))


def weighed(cartons: Sequence[Carton], fit: CartonFit) -> list[Carton]:
    """The cartons with their masses put right."""
    return [each._replace(measures=mass.weighed(fit.mass, each.measures)) for each in cartons]


def null_of(cartons: Sequence[Carton], seed: int) -> anomaly.Null:
    """How honest cartons of one consignment differ."""
    every: dict[str, list[Values]] = {}
    for each in cartons:
        if each.honest:
            traits = anomaly.traits(each.measures, each.papers, each.seen)
            every.setdefault(each.papers.master_bill, []).append(traits)
    return anomaly.pool([np.array(group) for group in every.values()], seed)


def fit(cartons: Sequence[Carton], network: bytes, seed: int = 0, detector: str = "") -> CartonFit:
    """Everything, from labelled cartons of many consignments, which `network` has read and never learned
    from, and which `detector` (SHA-256) has seen.

    Raises:
        ValueError: too few cartons of a kind.
    """
    groups = [each.papers.master_bill for each in cartons]
    masses, measured = mass.fit(
        [each.measures for each in cartons], np.array([each.grams for each in cartons]), groups
    )
    cartons = [each._replace(measures=own) for each, own in zip(cartons, measured, strict=True)]
    null = null_of(cartons, seed)
    found = look_at(cartons, null, history_of(cartons), True).features
    lies = np.array([each.lie for each in cartons])
    honest = np.array([each.honest for each in cartons])
    use = honest | (lies != "")
    return CartonFit(
        mass=masses,
        network=np.frombuffer(network, np.uint8),
        null=null,
        fusion=fusion.fit_joint(found[use], lies[use], RIDGE),
        papers=fusion.fit_joint(np.where(PAPERS, found, np.nan)[use], lies[use], RIDGE),
        detector=detector,
    )

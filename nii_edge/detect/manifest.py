"""The manifest verifier: is this carton what its papers say? No I/O of its own; papers are looked up by what
it is given.

It measures the carton, gathers the evidence, and says one finding for the whole (`not_as_declared`, the joint
fusion) and one for each indicator that speaks against the carton by itself. Wrong papers are findings too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.config import Barcodes, Profile, ScaleCheck
from nii_edge.detect import (
    anomaly,
    double_wall,
    evidence,
    fusion,
    heat,
    mass,
    paper_rules,
    parcels,
    scale,
    shapes,
)
from nii_edge.detect.carton_fit import CartonFit
from nii_edge.detect.declared import contradicted
from nii_edge.detect.evidence import FUSED, SHOWN_FROM, SPEAKS_FROM, VERIFIER
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.errors import DetectorFaultError, FrameError
from nii_edge.papers import Line, NoRead, Papers
from nii_edge.records import Box, Finding, Scan, ScanId
from nii_edge.regime import Regime
from nii_edge.xray import carton
from nii_edge.xray.carton_map import Read
from nii_edge.xray.optics import Optics

SHAPE: evidence.Indicator = "prohibited_shape"
FOREIGN: evidence.Indicator = "foreign_object"
GROUPS: tuple[str, ...] = tuple(indicator for indicator, _ in evidence.FEATURES)
LABELS: tuple[str, ...] = (
    FUSED, *dict.fromkeys(GROUPS), paper_rules.NO_PAPERS, paper_rules.BAD_PAPERS, paper_rules.NOT_DECLARED,
    paper_rules.OVER_LIMIT, paper_rules.UNLIKELY_VALUE, paper_rules.WRONG_WORDS,
    paper_rules.NET_OVER_GROSS, paper_rules.PACKAGES, *scale.LABELS,
    double_wall.DOUBLE_WALL,
)  # fmt: skip
"""Every label that a policy may speak of."""


NO_SITE = evidence.Site()
NO_READ = NoRead(Barcodes().no_read)

Declared = Callable[[ScanId, Papers], None]
"""Hears of a scan the papers of its carton, if there are any."""
Values = npt.NDArray[np.float64]


class Compared(NamedTuple):
    """What cartons are compared in: `traits` (`anomaly.TRAITS`), `size` in kilograms and litres of the box,
    and `blocks` of views."""

    traits: Values
    size: tuple[float, float]
    blocks: tuple[heat.Blocks, ...]


Measured = Callable[[ScanId, Papers, Compared, Values], None]
"""Hears of a scan its papers, what cartons are compared in, and the log-odds of each way to lie
(`fusion.Weighed.ways`)."""


def ignore(*_: object) -> None:
    """Nobody wants to hear it."""


class Told(NamedTuple):
    """Who hears of cartons besides."""

    measured: Measured = ignore
    declared: Declared = ignore


NOBODY = Told()


class Lane(NamedTuple):
    """What is known of one scanner."""

    profile: Profile
    optics: tuple[Optics, ...]


class Rules(NamedTuple):
    """What papers may say, how far weights may be apart, and what a reader says that read no barcode: such a
    carton has no papers, whatever the store holds under that word."""

    regime: Regime
    scale: ScaleCheck = ScaleCheck()
    no_read: NoRead = NO_READ


class Fitted(NamedTuple):
    """What was fitted, and its network, loaded."""

    fit: CartonFit
    read: Read


class ManifestDetector:
    """`nii_edge.ports.Detector`. `find` gives a barcode's papers and may raise; `prior`: the share of cartons
    that are not what they say, as the site expects it; `site`: what it has learned, at first nothing;
    `detector`: whose shapes are evidence too, with thresholds of `shapes.LOWEST`; None if there is none;
    `measured` is told of every carton that was measured and has a master bill, `declared` of all papers."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        find: Callable[[str], Papers | None],
        rules: Rules,
        fitted: Fitted,
        prior: float,
        site: evidence.Site = NO_SITE,
        told: Told = NOBODY,
        detector: ModelDetector | None = None,
    ) -> None:
        self.name = VERIFIER
        self._lanes, self._find, self._rules = lanes, find, rules
        self._fit, self._read, self._prior, self._site = fitted.fit, fitted.read, prior, site
        self._told = told
        self._detector = detector

    def not_applicable(self, scan: Scan) -> str | None:
        """Why the carton cannot be compared with its papers; None if it can."""
        if self._barcode(scan) is None:
            return "the scan names no carton, so nobody can tell which papers are its"
        return self._lacks(scan)

    def _barcode(self, scan: Scan) -> str | None:
        """The carton that the scan names."""
        return self._rules.no_read.barcode(scan.carton)

    def beside(self, scan: Scan) -> tuple[Finding, ...]:
        """What the papers say against a carton by themselves; without a barcode it has none.

        Raises:
            ManifestError: the store cannot be read.
        """
        barcode = self._barcode(scan)
        return self._remarks(scan, None if barcode is None else self._papers(scan.id, barcode))

    def _remarks(self, scan: Scan, papers: Papers | None) -> tuple[Finding, ...]:
        """What the papers say by themselves, and what the scale says against them."""
        said = paper_rules.remarks(self._barcode(scan), papers, self._rules.regime)
        return self._findings(
            [*said, *scale.against_papers(scan.scale_kg, papers, self._rules.scale)], papers
        )

    def _findings(
        self, remarks: Sequence[paper_rules.Remark], papers: Papers | None, where: Box | None = None
    ) -> tuple[Finding, ...]:
        """`where` in a view what all of them are about is seen."""
        found = [
            self._finding(remark.label, remark.score, remark.why, papers, line=remark.line)
            for remark in remarks
        ]
        return tuple(msgspec.structs.replace(finding, box=where) for finding in found)

    def detect(self, scans: Sequence[Scan]) -> list[tuple[Finding, ...]]:
        """The findings of each scan.

        Raises:
            DetectorFaultError: a frame cannot be measured. ManifestError: the store cannot be read.
        """
        return [self._look(scan) for scan in scans]

    def _papers(self, scan: ScanId, carton: str) -> Papers | None:
        papers = self._find(carton)
        if papers is not None:
            self._told.declared(scan, papers)
        return papers

    def _lacks(self, scan: Scan) -> str | None:
        lane = self._lanes.get(scan.id.scanner)
        if lane is None:
            return "the scanner has no calibration: no mass, no material"
        return carton.missing(lane.profile, lane.optics, scan.frames)

    def _look(self, scan: Scan) -> tuple[Finding, ...]:
        barcode = self._barcode(scan)
        if barcode is None:
            raise DetectorFaultError("asked for a scan that names no carton")
        papers = self._papers(scan.id, barcode)
        found = self._remarks(scan, papers)
        if papers is None:
            return found
        lane = self._lanes[scan.id.scanner]
        try:
            measures = carton.measure(lane.profile, lane.optics, scan.frames, self._read)
            blocks = _blocks(lane, scan) if papers.master_bill else ()
        except FrameError as error:
            raise DetectorFaultError(f"{self.name}: {error}") from error
        if measures is None:
            why = "The frames show nothing where a carton was announced."
            return (*found, self._finding(FUSED, 1.0, why, papers, joint=True))
        for made in (measures, measures := mass.weighed(self._fit.mass, measures)):
            if not made.finite:  # missing evidence weighs nothing, and none may pass for that
                raise DetectorFaultError(f"{self.name}: a measure is not finite: {made}"[:300])
        weights = [
            *scale.against_xrays(scan.scale_kg, measures, self._rules.scale),
            *scale.xrays_against_papers(measures, papers, self._rules.scale),
        ]
        found += self._findings(weights, papers)
        found += self._findings(double_wall.remarks(measures), papers, measures.wall_at)
        seen = self._seen(scan)
        compared, ways = self._compared(measures, papers, seen)
        if papers.master_bill:
            traits, size = anomaly.traits(measures, papers, seen), (measures.grams / 1000, measures.litres)
            self._told.measured(scan.id, papers, Compared(traits, size, blocks), ways)
        return (*found, *compared)

    def _seen(self, scan: Scan) -> shapes.Seen | None:
        """What the object detector sees in it; None if it cannot look."""
        if self._detector is None or self._detector.not_applicable(scan) is not None:
            return None
        (found,) = self._detector.detect([scan])
        return shapes.seen(found)

    def _compared(
        self, measures: carton.Measures, papers: Papers, seen: shapes.Seen | None
    ) -> tuple[list[Finding], Values]:
        """What is found, and the log-odds of each way to lie."""
        facts = evidence.gather(measures, papers, self._rules.regime, self._site, None, seen)
        weighed = fusion.weigh(self._fit.fusion, facts.features)
        ratios = fusion.by_group(weighed.terms, GROUPS)
        total = float(weighed.log_odds)
        if not np.isfinite(total) or not np.isfinite(weighed.terms).all():
            raise DetectorFaultError(f"{self.name}: the evidence adds up to {total}; fit again")
        whole = fusion.probability(total, self._prior)
        strongest = sorted(ratios, key=lambda group: -ratios[group])
        found = []
        if whole >= SHOWN_FROM or ratios[strongest[0]] >= SPEAKS_FROM:  # parts never go without their whole
            against = [
                group for group in strongest if ratios[group] > 0 and _to_be_said(group, facts, papers)
            ]
            words = (
                " ".join(sentence(group, facts, papers) for group in against[:2])
                or "Nothing by itself; all together."
            )
            joint = self._finding(FUSED, whole, words, papers, joint=True)
            line = contradicted((against or strongest)[0], papers)
            found.append(msgspec.structs.replace(joint, declared=line))
        for group in strongest:
            if ratios[group] >= SPEAKS_FROM and _to_be_said(group, facts, papers):
                words = f"{sentence(group, facts, papers)} (likelihood ratio {np.exp(ratios[group]):.0f})"
                # evidence that the rest outweighs is no surer by itself than with the rest
                chance = min(fusion.probability(ratios[group], self._prior), whole)
                finding = self._finding(group, chance, words, papers)
                where = self._where(group, facts, measures)
                if where is not None:
                    finding = msgspec.structs.replace(finding, box=where)
                found.append(finding)
        return found, weighed.ways

    @staticmethod
    def _where(group: str, facts: evidence.Evidence, measures: carton.Measures) -> Box | None:
        """Where to look."""
        if group == SHAPE:
            return None if facts.shape is None else facts.shape.box
        return measures.hidden_at if group == FOREIGN else None

    def _finding(
        self,
        label: str,
        score: float,
        why: str,
        papers: Papers | None,
        *,
        joint: bool = False,
        line: Line | None = None,
    ) -> Finding:
        return Finding(
            detector=self.name, kind="manifest", label=label, category="ANOMALY", score=score, why=why[:200],
            joint=joint, declared="" if papers is None else contradicted(label, papers, line),
        )  # fmt: skip


def _blocks(lane: Lane, scan: Scan) -> tuple[heat.Blocks, ...]:
    """Of the views in which the carton is seen. Raises FrameError."""
    found = [heat.blocks_of(frame, lane.optics[frame.view]) for frame in scan.frames]
    return tuple(blocks for blocks in found if blocks is not None)


def _to_be_said(indicator: str, facts: evidence.Evidence, papers: Papers) -> bool:
    """Whether what an indicator saw contradicts the papers by itself: no more parcels than are declared do
    not, nor do mixed contents of several lines (they may weigh something all the same)."""
    if indicator == "more_parcels" and papers.packages is not None:
        return round(facts.parcels.expected) > papers.packages
    return indicator != "mixed_contents" or len(papers.lines) <= 1


def _known(facts: evidence.Evidence, indicator: str, name: str) -> bool:
    """Whether a feature is not missing."""
    return bool(np.isfinite(facts.features[evidence.FEATURES.index((indicator, name))]))


def _named(shape: Finding | None) -> str:
    return "something prohibited" if shape is None else f"a {shape.label.replace('_', ' ')}"


def _counted(found: parcels.ParcelCount) -> str:
    if found.chance < parcels.COUNTABLE:
        return f"at least {found.low:.0f} inner parcels, perhaps {found.expected:.0f}"
    return f"{found.expected:.0f} inner parcels, at least {found.low:.0f}"


def _declared_weight(papers: Papers) -> str:
    gross, net = papers.gross_kg, papers.net_kg
    parts = [f"{gross:.2f} kg" if gross is not None else "", f"{net:.2f} kg of goods" if net else ""]
    return ", ".join(part for part in parts if part) or "nothing"


def sentence(indicator: str, facts: evidence.Evidence, papers: Papers) -> str:
    """What an indicator saw, for the person at the screen."""
    chapters = ", ".join(sorted({str(line.chapter) for line in papers.lines if line.chapter is not None}))
    weight, error = facts.kilograms, facts.kilograms_error
    weighs = f"at least {weight - error:.2f} kg" if facts.lower_bound else f"{weight:.2f} ± {error:.2f} kg"
    packages = "no number" if papers.packages is None else f"{papers.packages}"
    if any(bill.packages is None for bill in papers.house_bills):
        packages = f"no number for each bill (taken for {papers.packages} in all)"
    usual = f"unusual for chapter {chapters or '?'}"
    if not _known(facts, "unlikely_piece", "weight off the norm"):
        usual = "unusual"
    materials = f"not those of chapter {chapters or '?'} on this site"
    if not _known(facts, "other_material", "shares off the norm"):
        materials = "unusual for what is declared"
    words = {
        "mass_differs": f"X-rays weigh {weighs}, the papers say {_declared_weight(papers)}.",
        "more_parcels": f"The image shows {_counted(facts.parcels)}, the papers say {packages}.",
        "unlikely_piece": f"Weight, size or value of a piece is {usual}.",
        "vague_words": "The description says nothing.",
        "other_material": f"Its materials are {materials}.",
        "dense_spot": "Something much denser lies among the goods.",
        "mixed_contents": "Contents are mixed where one sort of goods is declared.",
        "odd_one_out": "It differs from the other cartons of its master bill.",
        SHAPE: f"Something in it looks like {_named(facts.shape)}.",
        FOREIGN: "Something among the goods does not belong to them.",
    }
    return words[indicator]

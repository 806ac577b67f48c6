"""A double wall through the verifier: told with its place, and to be looked at by the shipped policy."""

from __future__ import annotations

from functools import lru_cache

import msgspec
import pytest
from cartons import FIT, SCANNER, consignment, read
from harness import ROOT

from nii_edge.adapters.array_files import read_arrays
from nii_edge.commands.cartons import frames_of, papers_of
from nii_edge.config import load
from nii_edge.detect.carton_fit import from_arrays
from nii_edge.detect.double_wall import DOUBLE_WALL, remarks
from nii_edge.detect.manifest import LABELS, Fitted, ManifestDetector, Rules
from nii_edge.edge.decide import decide
from nii_edge.edge.inference import _ask
from nii_edge.papers import Papers
from nii_edge.policy import Circumstances, Policy, grade
from nii_edge.records import Band, Decision, Finding, Frame, Scan, ScanId, ScanType
from nii_edge.regime import Regime
from nii_edge.simulate.produce import Job, Made, produce
from nii_edge.simulate.recipe import load_recipe
from nii_edge.xray.walls import FLAT, LEADING, Wall

WALL = Wall(LEADING, 0, (0, 5, 14, 90), 26.0, 0.8, 1.86, 0.95, 1.0, 0.9, 1.0, 2.0)


@lru_cache(maxsize=1)
def walled() -> Made:
    """Three small cartons, the second with 23 mm of pressed powder behind its trailing side."""
    recipe = load_recipe(ROOT / "configs" / "simulate" / "double_wall.yaml")
    small = msgspec.structs.replace(
        recipe.consignments, stories={"double_wall": 1.0}, cartons=(3, 3), litres=(8.0, 14.0)
    )
    job = Job(msgspec.structs.replace(recipe, consignments=small), "consignment", 3, 1, SCANNER, False)
    return produce(job)


def scan(frames: tuple[Frame, ...], papers: Papers, seq: int = 1) -> Scan:
    return Scan(
        id=ScanId(edge="e", scanner=SCANNER, epoch=1, seq=seq),
        scan_type=ScanType.OPERATIONAL,
        frames=frames,
        carton=papers.barcode,
    )


def detector(*papers: Papers) -> ManifestDetector:
    known = {each.barcode: each for each in papers}
    return ManifestDetector(
        {SCANNER: consignment().lane},
        known.get,
        Rules(load(ROOT / "configs" / "regime.yaml", Regime)),
        Fitted(from_arrays(read_arrays(FIT)[0]), read()),
        0.02,
    )


def told(frames: tuple[Frame, ...], papers: Papers) -> Finding | None:
    (findings,) = detector(papers).detect([scan(frames, papers)])
    return next((finding for finding in findings if finding.label == DOUBLE_WALL), None)


def test_a_double_wall_is_told_with_its_place() -> None:
    made = walled()
    assert made.cartons[1].lie == "double_wall"
    frames = frames_of(made, 1)
    finding = told(frames, papers_of(made)[1])
    assert finding is not None
    assert DOUBLE_WALL in LABELS
    assert (finding.kind, finding.category, finding.joint) == ("manifest", "ANOMALY", False)
    assert 0.6 < finding.score < 1
    assert "trailing side" in finding.why
    assert "0.5 kg" in finding.why
    box = finding.box
    assert box is not None
    lines = frames[box.view].pixels.shape[1]
    assert 0.6 * lines < box.x0 < box.x1 <= lines
    assert box.y1 - box.y0 > 3 * (box.x1 - box.x0)


def test_the_shipped_policy_has_a_person_look_at_it() -> None:
    """Whatever else is said, and though the detector that CLEAR needs is not there."""
    made = walled()
    papers = papers_of(made)[1]
    policy = load(ROOT / "configs" / "policy.yaml", Policy)
    outcomes = _ask(detector(papers), [scan(frames_of(made, 1), papers)])
    alone = [
        msgspec.structs.replace(
            outcome, findings=tuple(f for f in outcome.findings if f.label == DOUBLE_WALL)
        )
        for outcome in outcomes
    ]
    nowhere = Circumstances("e", SCANNER, ())
    ruling = decide(policy, alone, {}, nowhere)
    assert ruling.decision is Decision.ALARM
    (finding,) = ruling.findings
    assert grade(policy, finding, nowhere).band is Band.REVIEW


def test_honest_cartons_have_none() -> None:
    made = consignment()
    for frames, papers in zip(made.frames, made.papers, strict=True):
        assert told(frames, papers) is None


def test_pictures_alone_say_nothing_of_walls() -> None:
    """Without raw counts of both energies nothing is measured."""
    made = walled()
    papers = papers_of(made)[1]
    shown = tuple(
        msgspec.structs.replace(frame, channels=("red", "green", "blue")) for frame in frames_of(made, 1)
    )
    (outcome,) = _ask(detector(papers), [scan(shown, papers)])
    assert outcome.not_applicable is not None
    assert "low+high counts" in outcome.not_applicable
    assert DOUBLE_WALL not in {finding.label for finding in outcome.findings}


@pytest.mark.parametrize(
    ("wall", "score", "words"),
    [
        (WALL, 0.75, "Along the whole leading side lies something flat, 26 mm deep with the wall"),
        (WALL._replace(quality=1.0, face="left"), 0.5, "whole left side lies"),
        (WALL._replace(quality=1.5, face="bottom"), 0.667, "whole bottom lies"),
        (WALL._replace(quality=1.25, face=FLAT, depth=0.0), 0.6, "under or over it all"),
        (WALL._replace(quality=0.99), None, ""),
        (None, None, ""),
    ],
)
def test_how_sure_it_is_and_in_which_words(wall: Wall | None, score: float | None, words: str) -> None:
    measures = consignment().measures[0]._replace(wall=wall)
    found = remarks(measures)
    if score is None:
        assert not found
        return
    (remark,) = found
    assert remark.score == pytest.approx(score, abs=1e-3)
    assert words in remark.why
    assert " kg" in remark.why
    assert len(remark.why) <= 200

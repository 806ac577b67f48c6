"""The manifest verifier on simulated cartons: what it says, and when it does not apply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cartons import FIT, SCANNER, consignment, read
from harness import ROOT

from nii_edge.adapters.array_files import read_arrays, write_arrays
from nii_edge.adapters.threat_files import read_library
from nii_edge.commands.threats import Request as Asked
from nii_edge.commands.threats import write
from nii_edge.config import Inference, load
from nii_edge.detect import evidence, paper_rules, scale, shapes
from nii_edge.detect.carton_fit import CartonFit, from_arrays, to_arrays
from nii_edge.detect.manifest import FUSED, GROUPS, LABELS, SHAPE, Fitted, ManifestDetector, Rules
from nii_edge.edge.decide import decide
from nii_edge.edge.inference import _ask
from nii_edge.errors import BundleError, DetectorFaultError, ManifestError
from nii_edge.inference_process import open_shapes
from nii_edge.learn.looking import evidence_detector
from nii_edge.papers import Papers
from nii_edge.policy import Circumstances, Policy
from nii_edge.records import Decision, Finding, Reason, Scan, ScanId, ScanType
from nii_edge.regime import Regime
from nii_edge.xray.carton_map import COUNTS
from nii_edge.xray.optics import planes_of
from nii_edge.xray.projection import place, project

REGIME = load(ROOT / "configs" / "regime.yaml", Regime)


def shipped() -> CartonFit:
    return from_arrays(read_arrays(FIT)[0])


def scan(number: int = 0, carton: str | None = "own", scanner: str = SCANNER) -> Scan:
    made = consignment()
    name = made.papers[number].barcode if carton == "own" else carton
    return Scan(
        id=ScanId(edge="e", scanner=scanner, epoch=1, seq=number + 1),
        scan_type=ScanType.OPERATIONAL,
        frames=made.frames[number],
        carton=name,
    )


def detector(find: Callable[[str], Papers | None] | None = None) -> ManifestDetector:
    made = consignment()
    known = {papers.barcode: papers for papers in made.papers}
    return ManifestDetector(
        {SCANNER: made.lane}, find or known.get, Rules(REGIME), Fitted(shipped(), read()), 0.02
    )


def with_shapes() -> ManifestDetector:
    """The same, with the shipped detector's shapes."""
    made = consignment()
    known = {papers.barcode: papers for papers in made.papers}
    seeing, _ = open_shapes(evidence_detector(), Inference(threads=1), {SCANNER: tuple(made.lane.optics)})
    return ManifestDetector(
        {SCANNER: made.lane},
        known.get,
        Rules(REGIME),
        Fitted(shipped(), read()),
        0.02,
        detector=seeing.glancing().lowered(shapes.LOWEST),
    )


def found(papers: Papers | None, number: int = 0) -> dict[str, Finding]:
    (findings,) = detector(lambda _: papers).detect([scan(number)])
    assert {finding.label for finding in findings} <= set(LABELS)
    return {finding.label: finding for finding in findings}


def test_honest_cartons_do_not_alarm() -> None:
    """What the papers say is what is there: nothing reaches even odds."""
    for findings in detector().detect([scan(number) for number in range(3)]):
        assert all(finding.score < 0.5 for finding in findings)


def test_knives_among_the_goods_are_pointed_at(tmp_path: Path) -> None:
    """Simulated knives, put into an honest picture: many are told, each at its place."""
    seeing, honest = with_shapes(), scan()
    assert all(finding.label != SHAPE for finding in seeing.detect([honest])[0])
    write(Asked(tmp_path / "knives", ("knife",), 12, 160.0, 1.0, 3), lambda *_: None)
    lane, rng, told, put = consignment().lane, np.random.default_rng(1), 0, 0
    pitch, frame = lane.profile.pixel_pitch_mm or (1.0, 1.0), honest.frames[0]
    for knife in read_library(tmp_path / "knives"):
        spot = place(frame, knife, rng, pitch, view=lane.optics[0])
        if spot is None:  # no room for it
            continue
        put += 1
        with_it = project(frame, knife, spot, rng, lane.optics[0])
        laden = msgspec.structs.replace(honest, frames=(with_it, *honest.frames[1:]))
        for finding in seeing.detect([laden])[0]:
            if finding.label == SHAPE and finding.box is not None and finding.box.view == 0:
                middle = (finding.box.x0 + finding.box.x1) / 2, (finding.box.y0 + finding.box.y1) / 2
                told += abs(middle[0] - spot.x - spot.width / 2) < spot.width
                assert "looks like a" in finding.why
    assert put >= 6
    assert told >= put // 3


def test_a_master_carton_on_paper_is_told_in_words() -> None:
    """One piece of a gift, of half the weight: more likely than before, with the numbers that contradict."""
    papers = consignment().papers[0]
    (bill,) = papers.house_bills
    line = msgspec.structs.replace(
        bill.lines[0], description="gift", quantity=1, weight_kg=0.4 * (bill.lines[0].weight_kg or 1)
    )
    bent = msgspec.structs.replace(
        papers,
        gross_kg=0.5 * (papers.gross_kg or 1),
        house_bills=(msgspec.structs.replace(bill, lines=(line,)),),
    )
    honest = found(papers).get(FUSED)
    bad = found(bent)
    assert bad[FUSED].score > 0.2 > (honest.score if honest else 0.0)
    assert "kg" in bad["mass_differs"].why
    assert "about 0 inner parcels" not in bad[FUSED].why
    assert paper_rules.VAGUE in bad
    assert all(len(finding.why) <= 200 for finding in bad.values())


@pytest.mark.parametrize(("packages", "pieces"), [(1, 4), (100, 100), (1_000, 1_000), (10**9, 10**9)])
def test_no_counts_on_paper_outvote_a_weight_that_is_far_off(packages: int, pieces: int) -> None:
    """Whoever writes the papers chooses them; what X-rays weigh stands against them all the same."""
    papers = consignment().papers[0]
    (bill,) = papers.house_bills
    lines = tuple(msgspec.structs.replace(line, quantity=pieces) for line in bill.lines)
    bent = msgspec.structs.replace(
        papers,
        gross_kg=4 * (papers.gross_kg or 1),
        house_bills=(msgspec.structs.replace(bill, packages=packages, lines=lines),),
    )
    told = found(bent)[scale.XRAYS_AGAINST_PAPERS]
    assert told.score > 0.7
    assert f"the papers say {bent.gross_kg:.2f} kg" in told.why


def test_nothing_is_surer_by_itself_than_all_evidence_together() -> None:
    """And what is told contradicts the papers: not fewer parcels than declared, no norm that nobody knows."""
    papers = consignment().papers[0]
    (bill,) = papers.house_bills
    for packages in (1, 3, 40):
        told = found(
            msgspec.structs.replace(papers, house_bills=(msgspec.structs.replace(bill, packages=packages),))
        )
        whole = told[FUSED].score if FUSED in told else 0.0
        assert all(told[label].score <= whole for label in GROUPS if label in told)
        assert "more_parcels" not in told or packages == 1
        assert not any("on this site" in finding.why for finding in told.values())


@pytest.mark.parametrize("word", ["NOREAD", " noread ", "NR", "", "  "])
def test_what_a_reader_says_that_read_nothing_is_no_barcode(word: str) -> None:
    """Even if somebody imported papers under that word."""
    verifier = detector(lambda _: consignment().papers[0])
    unread = scan(carton=word)
    assert "names no carton" in (verifier.not_applicable(unread) or "")
    assert [(finding.label, finding.score) for finding in verifier.beside(unread)] == [
        (paper_rules.NO_PAPERS, 1.0)
    ]


def test_spaces_around_a_barcode_are_none_of_it() -> None:
    asked: list[str] = []
    verifier = detector(asked.append)
    assert [finding.label for finding in verifier.beside(scan(carton=" T03 "))] == [paper_rules.NO_PAPERS]
    assert asked == ["T03"]


def test_a_carton_without_papers_is_a_finding() -> None:
    """Certain, whatever the image shows."""
    assert found(None)[paper_rules.NO_PAPERS].score == 1.0


def test_when_it_does_not_apply_it_says_why() -> None:
    """No barcode, or a lane that cannot weigh; what the papers say by themselves is told all the same."""
    verifier = detector()
    assert "names no carton" in (verifier.not_applicable(scan(carton=None)) or "")
    assert "calibration" in (verifier.not_applicable(scan(scanner="other")) or "")
    assert verifier.not_applicable(scan()) is None
    for asked, case in ((verifier, scan(carton=None)), (detector(lambda _: None), scan(scanner="other"))):
        (outcome,) = _ask(asked, [case])
        assert outcome.not_applicable is not None
        assert [finding.label for finding in outcome.findings] == [paper_rules.NO_PAPERS]
        assert outcome.findings[0].score == 1.0


def test_worse_papers_never_earn_a_better_verdict() -> None:
    """On a lane that cannot weigh, a CLEAR that needs the verifier is not had by a vague description."""
    policy = Policy(version=1, name="p", required_for_clear=("manifest",), default_alarm_at=0.5)
    papers = consignment().papers[0]
    (bill,) = papers.house_bills
    vague = msgspec.structs.replace(bill.lines[0], description="gift")
    worse = msgspec.structs.replace(papers, house_bills=(msgspec.structs.replace(bill, lines=(vague,)),))
    where = Circumstances("e", "other", ())
    for told in (papers, worse):
        outcomes = _ask(detector(lambda _, told=told: told), [scan(scanner="other")])
        ruling = decide(policy, outcomes, {}, where)
        assert (ruling.decision, ruling.reason) == (Decision.UNKNOWN, Reason.NOT_COVERED)
    assert [finding.label for finding in ruling.findings] == [paper_rules.VAGUE]


def test_a_count_that_is_not_declared_is_held_against_one_for_each_bill() -> None:
    """A carton full of parcels whose papers do not say how many speaks as if they said one."""
    papers, ten = consignment().papers[0], np.zeros(len(COUNTS))
    ten[COUNTS.index(10)] = 1.0
    (bill,) = papers.house_bills
    measures = consignment().measures[0]._replace(parcels=ten)
    one, other = (
        evidence.gather(
            measures,
            msgspec.structs.replace(
                papers, house_bills=(msgspec.structs.replace(bill, packages=packages),)
            ),
            REGIME, evidence.Site(), None, None,
        ).features
        for packages in (1, None)
    )  # fmt: skip
    assert np.array_equal(one, other, equal_nan=True)
    assert one[[name for _, name in evidence.FEATURES].index("over packages")] > 1


def test_a_store_that_fails_is_a_fault_and_nothing_else() -> None:
    """The scan gets a fault, so it cannot be CLEAR; never "no papers", never "not applicable"."""

    def broken(_: str) -> Papers | None:
        raise ManifestError("the disk is gone")

    for each in (scan(), scan(scanner="other")):
        (outcome,) = _ask(detector(broken), [each])
        assert outcome.fault is not None
        assert "the disk is gone" in outcome.fault
        assert outcome.not_applicable is None


@pytest.mark.parametrize("part", ["mass", "fusion"])
def test_evidence_that_is_no_number_is_a_fault(part: str) -> None:
    """Numbers of a fit that are finite, and whose sums are not: never missing evidence, never silence."""
    fit = shipped()
    if part == "mass":
        fit = fit._replace(mass=fit.mass._replace(off=fit.mass.off._replace(gamma=-1e30)))
    else:
        first, *rest = fit.fusion.parts
        many = np.where(np.arange(first.weights.size) % 2, 1e308, -1e308)
        first = first._replace(weights=many, scale=np.full_like(many, 1e-6))
        fit = fit._replace(fusion=fit.fusion._replace(parts=(first, *rest)))
    made = consignment()
    known = {papers.barcode: papers for papers in made.papers}
    broken = ManifestDetector({SCANNER: made.lane}, known.get, Rules(REGIME), Fitted(fit, read()), 0.02)
    with np.errstate(all="ignore"), pytest.raises(DetectorFaultError, match=r"not finite|adds up to"):
        broken.detect([scan()])


def test_frames_of_nothing_are_no_carton() -> None:
    """A carton was announced and nothing is there: certain to be looked at."""
    own = scan()
    empty = tuple(
        msgspec.structs.replace(frame, pixels=np.repeat(frame.pixels[:, :1], 200, axis=1))
        for frame in own.frames
    )
    (findings,) = detector().detect([msgspec.structs.replace(own, frames=empty)])
    assert any(finding.label == FUSED and finding.score == 1.0 for finding in findings)


def test_the_fit_is_kept_as_it_was_and_another_is_refused(tmp_path: Path) -> None:
    """Through the file and back; what is missing, misshapen or damaged is named."""
    fit = shipped()
    path = tmp_path / "fit.npz"
    digest = write_arrays(path, to_arrays(fit))
    arrays, again = read_arrays(path)
    assert digest == again
    kept = from_arrays(arrays).fusion
    assert kept.kinds == fit.fusion.kinds
    for one, other in zip(kept.parts, fit.fusion.parts, strict=True):
        assert all(np.allclose(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    with pytest.raises(BundleError, match=r"null\.spread"):
        from_arrays({name: value for name, value in arrays.items() if name != "null.spread"})
    with pytest.raises(BundleError, match="shape"):
        from_arrays({**arrays, "fusion.weights": np.zeros(3)})
    for name, value, words in (
        ("mass.off.scale", np.zeros_like(arrays["mass.off.scale"]), "not above 0"),
        ("mass.error.gamma", np.array(-1e6), "not above 0"),
        ("fusion.kinds", np.frombuffer(b"same\nsame", np.uint8), "names that differ"),
        ("papers.kinds", np.array([255.0, 254.0]), "no text"),
        ("null.scores", np.zeros(0), "expected some that rise"),
        ("network", np.array([-1.0, 300.0]), "whole numbers"),
    ):
        with pytest.raises(BundleError, match=words):
            from_arrays({**arrays, name: value})
    write_arrays(path, {"a": np.array([np.nan])})
    with pytest.raises(BundleError, match="not finite"):
        read_arrays(path)
    path.write_bytes(b"no archive")
    with pytest.raises(BundleError, match="is no archive"):
        read_arrays(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_measure_that_is_not_finite_is_a_fault_and_not_missing_evidence(value: float) -> None:
    """What is missing weighs nothing: a broken pixel must not pass for that."""
    whole = scan()
    lane = consignment().lane
    frames = []
    for frame, optics in zip(whole.frames, lane.optics, strict=True):
        pixels = np.ascontiguousarray(np.moveaxis(planes_of(frame, optics), 0, 2))
        middle = np.unravel_index(pixels[..., 1].argmin(), pixels.shape[:2])
        pixels[middle] = value
        frames.append(msgspec.structs.replace(frame, pixels=pixels, full_scale=1.0))
    (outcome,) = _ask(detector(), [msgspec.structs.replace(whole, frames=tuple(frames))])
    assert outcome.fault is not None
    assert "not finite" in outcome.fault


def test_a_detector_that_cannot_even_say_whether_it_applies_faults_its_scan_alone() -> None:
    """The process and the other scan of the job go on."""

    def find(barcode: str) -> Papers | None:
        raise ZeroDivisionError(barcode)

    nowhere = scan(0, scanner="no-such-lane")  # papers are asked for to say whether it applies
    nameless = scan(1, carton=None)
    one, other = _ask(detector(find), [nowhere, nameless])
    assert one.fault is not None
    assert "ZeroDivisionError" in one.fault
    assert other.not_applicable is not None

"""A daemon that compares cartons with their papers: real processes, the demo's recording, a real store."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import numpy as np
import pytest
import yaml
from cartons import FIT
from harness import ROOT, Process, Site, command, until

from nii_edge.adapters.array_files import read_arrays, write_arrays
from nii_edge.adapters.mcap_recording import McapSource, RecordingWriter
from nii_edge.adapters.sqlite_manifests import ManifestReader
from nii_edge.client import Answer, Picture, ScannerClient
from nii_edge.commands.status import ask
from nii_edge.config import ViewGeometry
from nii_edge.edge.health import Status
from nii_edge.edge.manifests import PullReport
from nii_edge.learn.looking import evidence_detector
from nii_edge.papers import HouseBill, PaperProblem, Papers, hash_name
from nii_edge.records import Band, Decision, Finding, Reason, ScanType, Verdict
from nii_edge.simulate.makes import SCANNERS
from nii_edge.subscriber import Subscriber

DEMO = ROOT / "nii_edge" / "demo"
KNOWN, UNKNOWN_HERE = "256-74797722-001", "256-74797722-002"
"""Two honest cartons of the demo; the store has the papers of the first alone."""
PAPERS = {
    "barcode": KNOWN, "master_bill": "256-74797722", "carton": "1", "house_bill": "H1", "packages": "2",
    "shipper": "A", "consignee": "B", "hs_code": "852589", "description": "digital cameras", "quantity": "2",
    "weight_kg": "1.5", "value_usd": "300", "origin": "CN", "gross_kg": "2.0",
}  # fmt: skip


def geometry() -> list[dict[str, object]]:
    """Of the virtual scanner that the demo was recorded at."""
    views = SCANNERS["quay"].views
    found: list[dict[str, object]] = msgspec.to_builtins(
        [
            ViewGeometry(
                source_mm=view.source, detector_mm=view.detector, pitch_mm=view.pitch, card=view.card,
                gap_mm=view.gap,
            )
            for view in views
        ]
    )  # fmt: skip
    return found


def pictures(barcode: str) -> list[Picture]:
    """The views of one of the demo's cartons."""
    frames = [frame for frame in McapSource(DEMO / "demo.mcap") if frame.header.carton == barcode]
    return [Picture(f.payload, f.header.height, f.header.width, ("low", "high"), "uint16") for f in frames]


def import_at(store: Path, *every: dict[str, str]) -> dict[str, Any]:
    """Import rows with the command; what it says of them."""
    rows = store.parent / f"{store.name}.csv"
    rows.parent.mkdir(exist_ok=True)
    with rows.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(PAPERS))
        writer.writeheader()
        writer.writerows(every)
    done = subprocess.run(
        command("manifest", "import", str(rows), "--store", str(store), "--json"),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the papers of one carton, filled on site."""
    store = tmp_path_factory.mktemp("imported") / "manifests.db"
    assert import_at(store, PAPERS)["cartons"] == 1
    return store


def lane_config(site: Site, store: Path) -> dict[str, Any]:
    """What makes an edge's configuration one that needs the verifier for CLEAR."""
    profile = yaml.safe_load((DEMO / "scanner.yaml").read_text()) | {"geometry": geometry()}
    policy = {
        "version": 1, "name": "papers", "default_alarm_at": 0.9,
        "required_for_clear": ["shielding", "manifest"],
        "alarms": [
            {"detector": "manifest", "label": "no_papers", "at": 0.5},
            {"detector": "manifest", "label": "no_papers", "at": 0.5, "refer_at": 0.9, "chapters": [93]},
        ],
    }  # fmt: skip
    scanner = {
        "profile": str(site.write("scanner.yaml", profile)),
        "calibration": [str(DEMO / f"scanner-{view}.cal") for view in (0, 1)],
        "calibration_hours": 1e6,
    }
    return {
        "scanners": {"lane-1": scanner},
        "policy": str(site.write("policy.yaml", policy)),
        "deadline_ms": 60_000,  # nothing here is about speed
        "manifest": {
            "store": str(store),
            "regime": str(ROOT / "configs" / "regime.yaml"),
            "fit": str(FIT),
            "detector": str(evidence_detector()),
        },
    }


def start_edge(site: Site, store: Path, collector: Process | None = None) -> Process:
    """Such a daemon."""
    return site.edge(collector, **lane_config(site, store))


def stored(imported: Path, folder: Path) -> Path:
    """A copy of the store that may be changed."""
    return Path(shutil.copy(imported, folder))


@pytest.fixture(scope="module")
def edge(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A daemon that needs the verifier for CLEAR, for all tests that leave it as they found it."""
    site = Site(tmp_path_factory.mktemp("shared"))
    yield start_edge(site, stored(imported, site.folder))
    site.close()


def screened(edge: Process, carton: str | None, barcode: str = KNOWN) -> Answer:
    """What the daemon says of a demo carton that arrives under the name `carton`."""
    with ScannerClient(
        edge.endpoints["scanners"], "lane-1", deadline_s=60, scan_type=ScanType.NON_OPERATIONAL
    ) as scanner:
        return scanner.wait(scanner.send(pictures(barcode), carton=carton))


def test_a_carton_is_compared_with_its_papers_and_one_without_is_an_alarm(edge: Process) -> None:
    """Papers that fit are looked at and cited; none at all is a finding; no barcode is no CLEAR."""
    known = screened(edge, KNOWN)
    assert known.report is not None
    models = [model.partition("@")[0] for model in known.report.verdict.models]
    assert models[-2:] == ["manifest", "detector"]
    assert known.decision is not Decision.UNKNOWN, known.detail
    assert not [f for f in known.report.verdict.findings if f.label == "no_papers"]
    assert known.report.verdict.chapters == (85,)
    other = screened(edge, UNKNOWN_HERE, UNKNOWN_HERE)
    assert other.decision is Decision.ALARM
    assert other.report is not None
    assert "no_papers" in {finding.label for finding in other.report.verdict.findings}
    _goods_that_nobody_declared_are_held_to_the_strictest_rule(other.report.verdict)
    nameless = screened(edge, None)
    assert nameless.decision is Decision.ALARM
    assert nameless.report is not None
    assert [finding.label for finding in nameless.report.verdict.findings] == ["no_papers"]
    assert any(why.startswith("manifest: ") for why in nameless.report.verdict.not_applicable)


def _goods_that_nobody_declared_are_held_to_the_strictest_rule(verdict: Verdict) -> None:
    assert (verdict.band, verdict.risk, verdict.chapters) == (Band.REFER, 100.0, ())
    assert verdict.rule == (
        "manifest/no_papers 1 is REFER from 0.9, alarms[1] (chapter 93); "
        "not all goods have a chapter, so the strictest rule of any counts"
    )


def test_what_a_scale_says_is_held_against_papers_and_x_rays(edge: Process, tmp_path: Path) -> None:
    """The papers say 2 kg. A weight that fits is not told, nor is one of 0; and a replay brings it along."""
    with ScannerClient(
        edge.endpoints["scanners"], "lane-1", deadline_s=60, scan_type=ScanType.NON_OPERATIONAL
    ) as scanner:
        told = {
            kg: scale_findings(scanner.wait(scanner.send(pictures(KNOWN), KNOWN, kg))) for kg in (2.0, 0.0)
        }
        heavy = scale_findings(scanner.wait(scanner.send(pictures(KNOWN), KNOWN, 20.0)))
    assert "scale_against_papers" not in told[2.0]
    assert told[0.0] == {}
    assert set(heavy) == {"scale_against_papers", "scale_against_xrays"}
    assert heavy["scale_against_papers"].why == "The scale says 20.00 kg, the papers say 2.00 kg."
    assert heavy["scale_against_papers"].declared.startswith("H1: 852589 digital cameras")
    assert replayed_weights(edge, tmp_path) == {"scale_against_papers", "scale_against_xrays"}


def scale_findings(answer: Answer) -> dict[str, Finding]:
    """Those of a verdict that a scale led to, by label."""
    assert answer.report is not None
    return {f.label: f for f in answer.report.verdict.findings if f.label.startswith("scale_")}


def replayed_weights(edge: Process, folder: Path) -> set[str]:
    """What is found of a carton whose weight stands in a recording that `nii-edge replay` plays."""
    made = folder / "weighed.mcap"
    with RecordingWriter(made) as writer:
        for frame in McapSource(DEMO / "demo.mcap"):
            if frame.header.carton == KNOWN:
                writer.write_frame(msgspec.structs.replace(frame.header, scale_kg=20.0), frame.payload, 1)
    before = len(exported(edge))
    done = subprocess.run(
        command("replay", str(made), "--to", edge.endpoints["scanners"], "--scanner", "lane-1", "--json"),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout)["scans_sent"] == 1
    ((*_, report),) = exported(edge, before)
    labels = {finding["label"] for finding in report["verdict"]["findings"]}
    return {label for label in labels if label.startswith("scale_")}


def exported(edge: Process, after: int = 0) -> list[Any]:
    """The ledger's entries after a number."""
    where = f"{edge.endpoints['health']}/ledger/export?after={after}"
    with urlopen(where, timeout=10) as answer:  # noqa: S310 - http
        return [json.loads(line) for line in answer]


def test_a_store_that_breaks_is_a_fault_and_never_a_clear(site: Site, imported: Path) -> None:
    """Its bytes are overwritten while the daemon runs."""
    store = stored(imported, site.folder)
    edge = start_edge(site, store)
    store.write_bytes(b"no database " * 4_000)
    answer = screened(edge, KNOWN)
    assert answer.decision is Decision.UNKNOWN
    assert answer.reason is Reason.MODEL_FAULT


def test_another_detector_by_the_verifiers_name_is_refused(tmp_path: Path) -> None:
    """Two of one name would hide each other's words."""
    site = Site(tmp_path)
    bundle = {"bundle": str(ROOT / "models" / "shielding" / "1.0.0")}
    manifest = {"store": "m.db", "regime": "r.yaml", "fit": "f.npz"}
    config = site.edge_config(detectors={"shielding": bundle, "manifest": bundle}, manifest=manifest)
    done = subprocess.run(
        command("check", str(config), "--json"), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "would be two detectors of one name" in json.loads(done.stdout)["problems"][0]


@pytest.mark.parametrize(
    ("fitted", "bundle", "words"),
    [
        (None, ROOT / "models" / "shielding" / "1.0.0", "finds no bottle, gun"),
        ([0] * 32, evidence_detector(), "was fitted with 000000000000"),
        ([], evidence_detector(), "was fitted without a detector"),
    ],
)
def test_a_detector_that_the_fit_does_not_know_is_refused(
    tmp_path: Path, imported: Path, fitted: list[int] | None, bundle: Path, words: str
) -> None:
    """What its scores mean was fitted with it, and holds for no other."""
    site, store, fit = Site(tmp_path), stored(imported, tmp_path), tmp_path / "fit.npz"
    arrays, _ = read_arrays(FIT)
    write_arrays(fit, arrays if fitted is None else arrays | {"detector": np.array(fitted)})
    manifest = {
        "store": str(store), "regime": str(ROOT / "configs" / "regime.yaml"), "fit": str(fit),
        "detector": str(bundle),
    }  # fmt: skip
    done = subprocess.run(
        command("check", str(site.edge_config(manifest=manifest)), "--json"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert words in json.loads(done.stdout)["problems"][0]


def test_the_verifier_may_be_the_only_detector(tmp_path: Path, imported: Path) -> None:
    """A site with papers needs no model bundle; one with neither is refused."""
    site, store = Site(tmp_path), stored(imported, tmp_path)
    manifest = {
        "store": str(store), "regime": str(ROOT / "configs" / "regime.yaml"),
        "fit": str(FIT),
    }  # fmt: skip
    policy = {"version": 1, "name": "p", "default_alarm_at": 0.5, "required_for_clear": ["manifest"]}
    changes = {"detectors": {}, "policy": str(site.write("policy.yaml", policy))}
    for more, status in (({"manifest": manifest}, 0), ({}, 1)):
        done = subprocess.run(
            command("check", str(site.edge_config(**changes, **more)), "--json"),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
    assert "so does `detectors` without `manifest`" in json.loads(done.stdout)["problems"][0]


# ---- manifests that are imported at the collector


def papers_of(store: Path, barcode: str) -> Papers | None:
    with closing(ManifestReader(store)) as reader:
        return reader.find(barcode)


def status(edge: Process) -> Status:
    return ask(edge.endpoints["health"])


def pulled(edge: Process, upto: int) -> PullReport:
    """Wait until the edge has taken the collector's manifests up to a number."""

    def there() -> PullReport | None:
        found = status(edge).manifests
        return found if found is not None and found.last is not None and found.taken == upto else None

    report: PullReport = until(there, 60, f"manifests up to {upto}")
    return report


def labels(answer: Answer) -> set[str]:
    assert answer.report is not None
    return {finding.label for finding in answer.report.verdict.findings}


def test_a_manifest_imported_at_the_collector_reaches_the_edge_through_every_restart(
    tmp_path: Path,
) -> None:
    """An edge without a store, one that was away, a collector that was away, damaged and hostile papers."""
    site, store, centre = Site(tmp_path), tmp_path / "site" / "m.db", tmp_path / "centre" / "m.db"
    site.waits = {"nii_edge.edge.manifests.ASK_EVERY_S": 0.5}
    try:
        collector = site.collector(manifests="centre/m.db")
        edge = start_edge(site, store, collector)
        assert "no_papers" in labels(screened(edge, KNOWN))

        import_at(centre, PAPERS)
        assert pulled(edge, 1) == PullReport(taken=1, last=1)
        assert "no_papers" not in labels(screened(edge, KNOWN))
        _names_are_the_centres_hashes(store, centre)

        edge.kill()
        other = {**PAPERS, "barcode": UNKNOWN_HERE, "carton": "2"}
        import_at(centre, other)
        edge = start_edge(site, store, collector)
        pulled(edge, 2)
        assert papers_of(store, UNKNOWN_HERE) == papers_of(centre, UNKNOWN_HERE) is not None

        collector.kill()
        import_at(centre, {**PAPERS, "quantity": "3"})
        endpoints = collector.endpoints
        collector = site.collector(endpoints["edges"], endpoints["subscribers"], manifests="centre/m.db")
        pulled(edge, 3)
        known = papers_of(store, KNOWN)
        assert known is not None
        assert known.pieces == 3

        _spoil(centre)
        import_at(centre, {**PAPERS, "barcode": "LAST", "carton": "9"})
        assert pulled(edge, 6) == PullReport(taken=6, last=6, refused=1)
        assert papers_of(store, "LAST") == papers_of(centre, "LAST") is not None
        refused = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
        assert papers_of(store, "DAMAGED") == Papers(barcode="DAMAGED", master_bill="M", problems=refused)
        assert papers_of(store, "HOSTILE") == Papers(barcode="HOSTILE", problems=refused)
        _what_was_refused_is_named_and_counted(edge, collector)
        last = screened(edge, KNOWN)
        _every_report_came(edge, collector, last)
        assert edge.stop() == collector.stop() == 0
    finally:
        site.close()


def _names_are_the_centres_hashes(store: Path, centre: Path) -> None:
    """The edge needs no key: none is made there, and the names' hashes are the centre's."""
    key = bytes.fromhex((centre.parent / "names.key").read_text())
    papers = papers_of(store, KNOWN)
    assert papers is not None
    assert papers.house_bills[0].consignee == hash_name(PAPERS["consignee"], key)
    assert not (store.parent / "names.key").exists()


def _spoil(centre: Path) -> None:
    """Papers that no import made, in the middle of the store."""
    hostile = Papers(barcode="HOSTILE", house_bills=(HouseBill(consignee="Bob Taker"),))
    with closing(sqlite3.connect(centre)) as other, other:
        other.executemany(
            "INSERT INTO cartons (barcode, master, papers, number) VALUES (?, 'M', ?, ?)",
            [("DAMAGED", b"\xff\x00", 4), ("HOSTILE", msgspec.msgpack.encode(hostile), 5)],
        )


def _what_was_refused_is_named_and_counted(edge: Process, collector: Process) -> None:
    refused = edge.events("papers are refused")
    assert [(line["number"], line["carton"]) for line in refused] == [(5, "HOSTILE")]
    assert "HOSTILE" in refused[0]["why"]
    damaged = collector.events("papers in the store are damaged; import them again")
    assert [(line["count"], line["first"]) for line in damaged] == [(1, ["DAMAGED"])]
    with urlopen(edge.endpoints["health"] + "/metrics") as answer:  # noqa: S310 - http
        lines = answer.read().decode().splitlines()
    assert 'nii_edge_manifests_total{result="refused"} 1.0' in lines
    assert "nii_edge_manifests_behind 0.0" in lines


def _every_report_came(edge: Process, collector: Process, last: Answer) -> None:
    assert last.report is not None
    until(lambda: status(edge).ledger["pending"] == 0)
    assert status(edge).ledger["parked"] == 0
    with Subscriber(
        collector.endpoints["subscribers"], timeout_s=60, decisions=(), scan_types=()
    ) as subscriber:
        reports = [item.report for item in subscriber.fetch_once()]
    assert len(reports) == 3
    assert reports[-1] == last.report


@pytest.mark.parametrize("from_collector", [True, False])
def test_a_store_that_is_not_there_is_refused_unless_the_collector_fills_it(
    tmp_path: Path, from_collector: bool
) -> None:
    """`check` says which, and makes no file."""
    site, store = Site(tmp_path), tmp_path / "m.db"
    tree = lane_config(site, store)
    tree["manifest"]["from_collector"] = from_collector
    config = site.edge_config(collector={"endpoint": "tcp://127.0.0.1:5560"}, **tree)
    done = subprocess.run(
        command("check", str(config), "--json"), capture_output=True, text=True, check=False, timeout=60
    )
    found = json.loads(done.stdout)
    assert found["ok"] is from_collector, found["problems"]
    told = [line for line in found["would_run"] if "papers that the collector has" in line]
    assert len(told) == from_collector
    assert from_collector or "nii-edge manifest import" in found["problems"][0]
    assert not store.exists()

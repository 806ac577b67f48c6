"""`nii-edge learn-normal`: from a recording and a store of papers to a bundle that a daemon runs with."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import yaml
from cartons import FIT, SCANNER, calibrated_lane, consignment
from harness import Site, command

from nii_edge.adapters.array_files import read_arrays, write_arrays
from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.adapters.normal_files import read_normal
from nii_edge.client import Picture, ScannerClient
from nii_edge.detect import normal
from nii_edge.records import Decision, Report, ScanId, ScanType, Verdict
from nii_edge.wire import FrameMessage, VerdictMessage

BILLS, EACH = 6, 3
COLUMNS = (
    "barcode", "master_bill", "carton", "house_bill", "packages", "shipper", "consignee", "hs_code",
    "description", "quantity", "weight_kg", "value_usd", "origin", "gross_kg",
)  # fmt: skip
Views = list[np.ndarray]


def barcode(bill: int, carton: int) -> str:
    return f"777-0000000{bill}-{carton:03d}"


def views(bill: int, carton: int) -> Views:
    """The simulated carton, a little thicker or thinner in each consignment."""
    rng = np.random.default_rng(bill)
    power = rng.uniform(0.97, 1.03)
    found = []
    for frame in consignment().frames[carton % 3]:
        air = np.maximum(frame.pixels[:, :8].mean(axis=1, keepdims=True), 1)
        thick = air * (np.maximum(frame.pixels, 1) / air) ** power
        found.append(np.clip(thick, 0, 65_535).astype(np.uint16))
    return found


class Tape:
    """A recording, scan by scan."""

    def __init__(self, path: Path) -> None:
        self._writer = RecordingWriter(path)
        self._seq = 0

    def add(self, name: str | None, shown: Views, **changes: Any) -> None:
        self._seq += 1
        for view, pixels in enumerate(shown):
            header = FrameMessage(
                scanner=SCANNER, epoch=1, seq=self._seq, view=view, views=2, channels=("low", "high"),
                dtype="uint16", height=pixels.shape[0], width=pixels.shape[1], carton=name,
            )  # fmt: skip
            header = msgspec.structs.replace(header, **changes)
            self._writer.write_frame(header, pixels.tobytes(), self._seq * 1_000)

    def alarmed(self) -> None:
        """The last one was an ALARM."""
        scan = ScanId(edge="e", scanner=SCANNER, epoch=1, seq=self._seq)
        live = ScanType.OPERATIONAL
        verdict = Verdict(id=scan, scan_type=live, decision=Decision.ALARM)
        report = Report(
            alert_id=scan.alert_id,
            report_id=scan.report_id,
            verdict=verdict,
            received_at_ns=1,
            decided_at_ns=2,
        )
        message = VerdictMessage(
            scanner=SCANNER, epoch=1, seq=self._seq, decision=Decision.ALARM, scan_type=live, report=report
        )
        self._writer.write_verdict(message, self._seq * 1_000)

    def close(self) -> None:
        self._writer.close()


def lane(site: Site, **manifest: Any) -> dict[str, object]:
    """The calibrated virtual scanner, and papers for every carton."""
    own, line = consignment().papers[0], consignment().papers[0].house_bills[0].lines[0]
    table = site.folder / "papers.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for bill in range(BILLS):
            for carton in range(EACH + 1):
                writer.writerow(
                    [barcode(bill, carton), f"777-0000000{bill}", carton + 1, "H1", 1, "A", "B", line.hs_code,
                     line.description, line.quantity, line.weight_kg, line.value_usd, "CN", own.gross_kg]
                )  # fmt: skip
    policy: dict[str, object] = {
        "version": 1, "name": "p", "default_alarm_at": 1.0, "required_for_clear": ["shielding", "manifest"],
    }  # fmt: skip
    return calibrated_lane(site, table, policy, **manifest)


def learned(site: Site, config: Path, *recordings: Path) -> tuple[int, str, str]:
    out = str(site.folder / "n")
    done = subprocess.run(
        command("learn-normal", str(config), *map(str, recordings), "--out", out, "--json"),
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def with_metal(shown: Views) -> Views:
    """A plate that lets little through, over a quarter of each view."""
    found = [view.copy() for view in shown]
    for view in found:
        rows, columns = np.nonzero(view[:, :, 1] < 0.8 * np.median(view[:, :8, 1]))
        top, left = int(np.median(rows)), int(np.median(columns))
        view[top - 30 : top + 30, left - 30 : left + 30] //= 12
    return found


@pytest.mark.timeout(300)
def test_a_site_learns_what_is_normal_and_runs_with_it(tmp_path: Path) -> None:
    """What cannot teach is named and counted, the rest makes a bundle; the daemon cites it."""
    site = Site(tmp_path)
    config = site.edge_config(**lane(site))
    tape = Tape(tmp_path / "monday.mcap")
    for bill in range(BILLS):
        for carton in range(EACH):
            tape.add(barcode(bill, carton), views(bill, carton))
    fine = views(0, 0)
    tape.add(barcode(0, 0), fine)
    tape.add(None, fine)
    tape.add("888-1", fine)
    tape.add(barcode(1, 3), fine[:1])
    tape.add(barcode(1, 3), fine, scanner="lane-9")
    tape.add(barcode(1, 3), fine, encoding="png")
    tape.add(barcode(1, 3), fine, height=7)
    tape.add(barcode(1, 3), fine)
    tape.alarmed()
    tape.add(barcode(2, 3), with_metal(views(2, 0)))
    tape.close()

    status, out, err = learned(site, config, tmp_path / "monday.mcap")
    assert status == 0, err
    found = json.loads(out)
    assert found["skipped"] == {
        "bad_frame": 1, "encoded": 1, "missing_view": 1, "no_barcode": 1, "no_papers": 1, "not_clear": 1,
        "odd": 1, "other_lane": 1, "seen_before": 1,
    }  # fmt: skip
    assert found["scans"] == found["learned"] + sum(found["skipped"].values())
    assert (found["learned"], found["consignments"], found["norms"], found["bank"]) == (18, BILLS, True, True)
    assert list(found["headings"].values()) == [BILLS]
    assert any("no_papers: carton 888-1 is not in the store" in words for words in found["examples"])
    shown = subprocess.run(
        command("learn-normal", str(config), str(tmp_path / "monday.mcap"), "--out", str(tmp_path / "m")),
        capture_output=True, text=True, check=True, timeout=280,
    )  # fmt: skip
    assert f"learned from 18 of {found['scans']} cartons, 6 consignments of 1 headings" in shown.stdout
    assert "left out, seen_before: 1" in shown.stdout
    assert "monday.mcap" in shown.stderr  # how far it is
    bundle = read_normal(tmp_path / "n")
    assert bundle.manifest.sha256 == found["sha256"]
    assert normal.from_arrays(bundle.arrays).bank is not None

    edge = site.edge(**lane(site, normal=str(tmp_path / "n")))
    with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=60) as scanner:
        pictures = [
            Picture(v.tobytes(), v.shape[0], v.shape[1], ("low", "high"), "uint16") for v in views(0, 1)
        ]
        answer = scanner.wait(scanner.send(pictures, carton=barcode(0, 3)))
    assert answer.report is not None
    assert f"normal@normal-1#{found['sha256'][:12]}" in answer.report.verdict.models
    site.close()

    arrays = tmp_path / "n" / "normal.npz"
    arrays.write_bytes(arrays.read_bytes()[:-9] + b"x" * 9)
    checked = subprocess.run(
        command("check", str(tmp_path / "edge.yaml"), "--json"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 1
    assert "normal.npz" in json.loads(checked.stdout)["problems"][0]


def with_mute_network(arrays: dict[str, np.ndarray]) -> None:
    """The network answers what is no number."""
    model = onnx.load_from_string(arrays["network"].astype(np.uint8).tobytes())
    (bias,) = (each for each in model.graph.initializer if each.name == "network.counts.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(bias.dims), np.nan, np.float32), bias.name))
    arrays["network"] = np.frombuffer(model.SerializeToString(), np.uint8)


@pytest.mark.timeout(200)
def test_what_a_fit_cannot_read_teaches_nothing(tmp_path: Path) -> None:
    """Every carton is left out by name, and nothing is written."""
    site = Site(tmp_path)
    arrays, _ = read_arrays(FIT)
    arrays["network"] = arrays["network"].astype(np.uint8)
    with_mute_network(arrays)
    write_arrays(tmp_path / "fit.npz", arrays)
    config = site.edge_config(**lane(site, fit=str(tmp_path / "fit.npz"), detector=None))
    tape = Tape(tmp_path / "short.mcap")
    tape.add(barcode(0, 0), views(0, 0))
    tape.add(barcode(1, 0), views(1, 0))
    tape.close()
    status, out, err = learned(site, config, tmp_path / "short.mcap")
    assert (status, out) == (1, "")
    assert "0 cartons of 0 consignments are too few" in err
    assert "left out: 2 bad_frame; such as " in err
    assert "answers what cannot be" in err
    assert not (tmp_path / "n").exists()
    site.close()


@pytest.mark.timeout(200)
def test_too_little_and_nothing_at_all_are_said(tmp_path: Path) -> None:
    """Two consignments are no norm, an empty configuration knows no goods, no recording is no recording."""
    site = Site(tmp_path)
    config = site.edge_config(**lane(site))
    tape = Tape(tmp_path / "short.mcap")
    tape.add(barcode(0, 0), views(0, 0))
    tape.add("888-1", views(0, 0))
    tape.close()
    status, out, err = learned(site, config, tmp_path / "short.mcap")
    assert (status, out) == (1, "")
    assert "1 cartons of 1 consignments are too few" in err
    assert "left out: 1 no_papers" in err
    assert not (tmp_path / "n").exists()
    status, _, err = learned(site, config, tmp_path / "nowhere.mcap")
    assert status == 1
    assert "nowhere.mcap" in err
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "normal.yaml").write_text("somebody runs with it")
    status, _, err = learned(site, config, tmp_path / "short.mcap")
    assert status == 1
    assert "is there already" in err
    assert (tmp_path / "n" / "normal.yaml").read_text() == "somebody runs with it"
    (tmp_path / "n" / "normal.yaml").unlink()
    tree = yaml.safe_load(config.read_text()) | {"manifest": None}
    status, _, err = learned(site, site.write("bare.yaml", tree), tmp_path / "short.mcap")
    assert status == 1
    assert "`manifest` is null" in err
    site.close()

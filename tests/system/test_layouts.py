"""A carton that passes again under other papers, at a real daemon with the shipped fit."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cartons import SCANNER, calibrated_lane, consignment
from harness import Site, command, until

from nii_edge.client import Picture, ScannerClient

FIELDS = (
    "barcode", "master_bill", "carton", "house_bill", "packages", "shipper", "consignee", "hs_code",
    "description", "quantity", "weight_kg", "value_usd", "origin", "gross_kg",
)  # fmt: skip
BILLS = {"A-1": ("A", "610910"), "A-2": ("A", "610910"), "B-1": ("B", "610910"), "C-1": ("C", "851830")}


def table(folder: Path) -> Path:
    """Four cartons of three master bills: two of shirts, one of headphones."""
    path = folder / "today.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for barcode, (bill, code) in BILLS.items():
            words = {"6109": "cotton shirts", "8518": "headphones"}[code[:4]]
            writer.writerow(
                [barcode, bill, 1, f"H{barcode}", 1, "S", "C", code, words, 9, 2.5, 90, "CN", 3.0]
            )
    return path


def pictures(number: int) -> list[Picture]:
    """Both views of a simulated carton."""
    views = [np.ascontiguousarray(frame.pixels) for frame in consignment().frames[number]]
    return [Picture(v.tobytes(), *v.shape[:2], channels=("low", "high"), dtype="uint16") for v in views]


@pytest.mark.parametrize("wanted", [True, False])
def test_only_other_goods_of_another_master_bill_are_told(tmp_path: Path, wanted: bool) -> None:
    """The very same carton under other papers, where the configuration asks for it; and check says so."""
    site = Site(tmp_path)
    policy = {"version": 1, "name": "p", "required_for_clear": ["shielding"], "default_alarm_at": 1.0}
    if wanted:
        policy["alarms"] = [{"detector": "layout", "label": "same_layout", "at": 0.5}]
    changes = calibrated_lane(site, table(tmp_path), policy, **({"same_layout": {}} if wanted else {}))
    checked = subprocess.run(
        command("check", str(site.edge_config(**changes)), "--json"),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert ("detector layout: " in str(json.loads(checked.stdout)["would_run"])) is wanted
    edge = site.edge(**changes)
    told = []
    with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=60) as scanner:
        for number, barcode in ((0, "A-1"), (1, "A-2"), (0, "B-1"), (0, "C-1")):
            answer = scanner.wait(scanner.send(pictures(number), carton=barcode))
            assert answer.report is not None
            if any(finding.label == "same_layout" for finding in answer.report.verdict.findings):
                told.append(barcode)
    assert told == (["C-1"] if wanted else [])
    site.close()


def test_a_layout_is_known_after_a_kill(tmp_path: Path) -> None:
    """The carton of before the kill is named."""
    site = Site(tmp_path)
    policy = {
        "version": 1, "name": "p", "required_for_clear": ["shielding"], "default_alarm_at": 1.0,
        "alarms": [{"detector": "layout", "label": "same_layout", "at": 0.5}],
    }  # fmt: skip
    changes = calibrated_lane(site, table(tmp_path), policy, same_layout={})
    reports = []
    for barcode in ("A-1", "C-1"):
        edge = site.edge(**changes)
        with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=60) as scanner:
            reports.append(scanner.wait(scanner.send(pictures(0), carton=barcode)).report)
        until(lambda barcode=barcode: _kept(site, barcode), what="the carton on disk")
        edge.kill()
    last = reports[-1]
    assert last is not None
    (why,) = [each.why for each in last.verdict.findings if each.label == "same_layout"]
    assert why.startswith("Packed like carton A-1 of another master bill")
    site.close()


def _kept(site: Site, barcode: str) -> bool:
    """Whether the file of cartons has it."""
    with closing(sqlite3.connect(site.edge_state / "cartons.db")) as file:
        return file.execute("SELECT 1 FROM cartons WHERE carton = ?", (barcode,)).fetchone() is not None

"""Barcodes at a real daemon: another scan of one is told, the same scan sent again is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from harness import Process, Site, command, dual

from nii_edge.client import Answer, ScannerClient
from nii_edge.records import Band, Decision, ScanType

EPOCH = 77


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Process]:
    site = Site(tmp_path)
    yield site.edge(barcodes={}, deadline_ms=60_000)
    site.close()


def client(edge: Process, epoch: int, **options: object) -> ScannerClient:
    return ScannerClient(edge.endpoints["scanners"], "lane-1", epoch=epoch, deadline_s=60, **options)  # type: ignore[arg-type]


def labels(answer: Answer) -> list[str]:
    assert answer.report is not None
    return [finding.label for finding in answer.report.verdict.findings]


def test_a_barcode_that_passes_twice_is_an_alarm_to_be_looked_at(edge: Process) -> None:
    """Two views of a scan are one passage, a resend is the same scan, tests may come often."""
    with client(edge, EPOCH) as scanner:
        first = scanner.wait(scanner.send(dual(1), carton="B-1"))
        assert first.decision is Decision.CLEAR
        assert scanner.wait(scanner.send(dual(2), carton="B-2")).decision is Decision.CLEAR
    with client(edge, EPOCH) as restarted:  # the same numbers again, with the same pixels
        resent = restarted.wait(restarted.send(dual(1), carton="B-1"))
    assert resent.decision is Decision.CLEAR
    assert resent.report == first.report
    with client(edge, EPOCH + 1) as scanner:
        again = scanner.wait(scanner.send(dual(3), carton="B-1"))
    assert (again.decision, labels(again)) == (Decision.ALARM, ["passed_twice"])
    assert first.report is not None
    assert again.report is not None
    assert first.report.report_id in again.report.verdict.findings[0].why
    assert again.report.verdict.band is Band.REVIEW
    with client(edge, EPOCH + 2, scan_type=ScanType.NON_OPERATIONAL) as tests:
        assert tests.wait(tests.send(dual(4), carton="B-1")).decision is Decision.CLEAR


def test_a_restart_forgets_no_barcode(tmp_path: Path) -> None:
    """Killed, so that nothing could be put away first."""
    site = Site(tmp_path)
    edge = site.edge(barcodes={})
    with client(edge, EPOCH) as scanner:
        first = scanner.wait(scanner.send(dual(1), carton="B-1"))
    edge.kill()
    edge = site.edge(barcodes={})
    with client(edge, EPOCH + 1) as scanner:
        again = scanner.wait(scanner.send(dual(2), carton="B-1"))
        other = scanner.wait(scanner.send(dual(3), carton="B-2"))
    site.close()
    assert (first.decision, other.decision) == (Decision.CLEAR, Decision.CLEAR)
    assert (again.decision, labels(again)) == (Decision.ALARM, ["passed_twice"])


def test_a_policy_may_speak_of_it_and_check_says_that_it_runs(tmp_path: Path) -> None:
    """Its label is known where `barcodes` is there, and only there."""
    site = Site(tmp_path)
    policy = {
        "version": 1, "name": "twice", "required_for_clear": ["shielding"], "default_alarm_at": 0.5,
        "alarms": [{"detector": "barcode", "label": "passed_twice", "at": 0.5, "refer_at": 0.6}],
    }  # fmt: skip
    changes = {"policy": str(site.write("policy.yaml", policy))}
    assert "again within 5 minutes" in str(check(site.edge_config(**changes, barcodes={"twice_minutes": 5})))
    waiting = str(check(site.edge_config(**changes)))
    assert "alarms[0] waits: `barcode` is not configured, so nobody looks for 'passed_twice'" in waiting
    assert "'ok': True" in waiting
    policy["alarms"] = [{"detector": "barcode", "label": "passed_once", "at": 0.5}]
    wrong = {"policy": str(site.write("wrong.yaml", policy))}
    assert "barcode has no label 'passed_once'" in str(check(site.edge_config(**wrong)))
    lanes = {"review_lanes": ["lane-9"]}
    assert "'lane-9' is not in `scanners`" in str(check(site.edge_config(**changes, barcodes=lanes)))


def check(config: Path) -> object:
    done = subprocess.run(
        command("check", str(config), "--json"), capture_output=True, text=True, check=False, timeout=60
    )
    return msgspec.convert(json.loads(done.stdout), dict)

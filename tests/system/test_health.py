"""What a running daemon says of itself, and what it does when its disk or its budget is full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import Process, Site, command, dual, get, until, value

from nii_edge.client import Picture, ScannerClient
from nii_edge.records import Decision, Reason


def screen(edge: Process, count: int, block: bool = False, epoch: int | None = None) -> list[Decision]:
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10, epoch=epoch) as scanner:
        return [scanner.wait(scanner.send(dual(i, block))).decision for i in range(count)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=60)


def test_a_healthy_daemon_is_live_ready_and_its_balance_adds_up(site: Site) -> None:
    """Probes answer 200; the metrics and the status give the balance of each scanner."""
    edge = site.edge()
    assert screen(edge, 3) == [Decision.CLEAR] * 3
    screen(edge, 1, block=True)
    until(lambda: 'state="received"} 4.0' in get(edge, "/metrics")[1], what="the balance in the metrics")
    assert get(edge, "/livez") == (200, "ok\n")
    assert get(edge, "/readyz") == (200, "ok\n")
    (row,) = json.loads(get(edge, "/status")[1])["balance"]
    assert (row["received"], row["clear"], row["alarm"], row["unknown"], row["in_flight"]) == (4, 3, 1, 0, 0)
    metrics = get(edge, "/metrics")[1]
    assert (
        'nii_edge_verdicts_total{reason="",scan_type="OPERATIONAL",scanner="lane-1",verdict="CLEAR"} 3.0'
        in metrics
    )
    assert get(edge, "/nowhere")[0] == 404


def test_each_commit_is_timed_and_each_picture_that_fails_is_counted(site: Site) -> None:
    """A scan is a commit or two; a PNG that is cut short is a failure to decode, a whole one is none."""
    edge = site.edge()
    commits = "nii_edge_ledger_commit_duration_seconds_count"
    damaged = 'nii_edge_decoder_failures_total{reason="CORRUPT_FRAME"}'
    before = value(edge, commits)
    assert screen(edge, 3) == [Decision.CLEAR] * 3
    assert value(edge, commits) >= before + 3
    assert value(edge, commits.replace("_count", "_sum")) > 0
    assert value(edge, damaged) == 0
    image = np.random.default_rng(1).integers(0, 255, (96, 128), dtype=np.uint8)
    whole = cv2.imencode(".png", image)[1].tobytes()
    with ScannerClient(edge.endpoints["scanners"], "replay", deadline_s=10) as scanner:
        for data in (whole, whole[: len(whole) // 2]):
            answer = scanner.wait(scanner.send([Picture(data, encoding="png")]))
    assert answer.reason is Reason.CORRUPT_FRAME
    assert value(edge, damaged) == 1
    until(lambda: value(edge, 'nii_edge_ledger_bytes{what="file"}') > 0, what="the size of the ledger")


def test_what_a_silent_collector_has_not_confirmed_is_its_lag(site: Site) -> None:
    """A collector that stands still is sent records and confirms none; when it goes on nothing lags."""
    collector = site.collector()
    edge = site.edge(collector)
    assert screen(edge, 1) == [Decision.CLEAR]
    lag = "nii_edge_archived_lag_rows"
    until(lambda: value(edge, 'nii_edge_uplink_publish_total{result="archived"}') == 1, what="the receipt")
    until(lambda: value(edge, lag) == 0, what="the lag of what is archived")
    os.kill(collector.pid, signal.SIGSTOP)
    try:
        screen(edge, 3)
        until(lambda: value(edge, lag) == 3, what="the lag behind a collector that stands still")
    finally:
        os.kill(collector.pid, signal.SIGCONT)
    until(lambda: value(edge, lag) == 0, 30, "the lag after it went on")
    until(lambda: value(edge, 'nii_edge_outbox_rows{state="pending"}') == 0, what="the outbox's drain")


def test_ready_turns_false_when_the_models_are_gone_and_true_again(site: Site) -> None:
    """A daemon that cannot screen says so, though it lives."""
    edge = site.edge(deadline_ms=500)
    victim = edge.child()
    os.kill(victim, signal.SIGSTOP)
    screen(edge, 1)  # ends as MODEL_FAULT; the process is replaced
    until(lambda: get(edge, "/readyz")[0] == 200 and edge.child() != victim, what="ready again")
    assert get(edge, "/livez")[0] == 200


def test_status_and_ledger_commands_ask_the_running_daemon(site: Site, tmp_path: Path) -> None:
    """`status`, `ledger stats`, `verify` and `export` work beside a running daemon."""
    edge = site.edge()
    screen(edge, 2)
    screen(edge, 1, block=True)
    config = str(site.folder / "edge.yaml")
    shown = run("status", config)
    assert shown.returncode == 0, shown.stderr
    assert "ready" in shown.stdout
    assert "lane-1" in shown.stdout
    assert "bands since the start: CLEAR 2, REVIEW 1, REFER 0" in shown.stdout
    assert "shielding/impenetrable_area" in shown.stdout  # what to look at first, and by which rule
    assert json.loads(run("status", config, "--json").stdout)["ready"] is True
    stats = json.loads(run("ledger", "stats", config, "--json").stdout)
    assert (stats["entries"], stats["pending"], stats["pictures"]) == (3, 3, 1)
    verified = run("ledger", "verify", config, "--json")
    assert (verified.returncode, json.loads(verified.stdout)) == (0, {"ok": True, "problems": []})
    lines = [json.loads(line) for line in run("ledger", "export", config).stdout.splitlines()]
    assert [line[0] for line in lines] == [1, 2, 3]
    assert {line[4]["verdict"]["decision"] for line in lines} == {"CLEAR", "ALARM"}
    assert edge.stop() == 0
    asked = run("status", config)
    assert asked.returncode == 1
    assert "does not answer" in asked.stderr


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ledger/export?after=9999999999999999999999", "after: '9999999999999999999999'"),
        ("ledger/verify?limit=-1", "limit: '-1'"),
        ("ledger/export?after=x", "after: 'x'"),
        ("ledger/export?after=", "after: ''"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_and_screening_goes_on(
    site: Site, query: str, found: str
) -> None:
    """Whoever reaches the health port can ask for any number; none of them ends the ledger's thread."""
    edge = site.edge()
    status, words = get(edge, f"/{query}")
    assert status == 400
    assert words.startswith(found)
    assert "expected" in words
    assert get(edge, "/ledger/export?after=7") == (200, "")
    assert screen(edge, 1) == [Decision.CLEAR]
    assert get(edge, "/ledger/verify?after=7") == (200, '{"problems":[],"next":null}\n')
    assert get(edge, "/ledger/verify?limit=0")[1].startswith('{"problems":[]')


def test_at_the_entry_budget_nothing_is_clear_any_more(site: Site) -> None:
    """A ledger that the centre does not empty stops CLEAR before it stops the daemon."""
    edge = site.edge(ledger={"max_entries": 1_000, "ballast_mb": 0})
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=20) as scanner:
        for i in range(1_000):
            scanner.send(dual(i % 3))
            if scanner.in_flight >= 8:
                scanner.poll(5)
        until(lambda: scanner.poll(0.1) is not None and scanner.in_flight == 0, 60, "all answers")
        until(lambda: "LEDGER_FULL" in get(edge, "/readyz")[1], what="the gate to close")
        answer = scanner.wait(scanner.send(dual(1)))
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.LEDGER_FULL)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_on_a_full_disk_the_last_verdicts_are_unknown_and_room_heals_it(site: Site) -> None:
    """Disk full: UNKNOWN(DISK_FULL) on disk thanks to the ballast, never CLEAR; with room CLEAR is back."""
    site.edge_state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(site.edge_state)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode()}")
    try:
        edge = site.edge(ledger={"ballast_mb": 8})
        assert screen(edge, 1) == [Decision.CLEAR]
        filler = site.edge_state / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))

                except OSError:
                    continue
        with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10) as scanner:
            answers = [scanner.wait(scanner.send(dual(i))) for i in range(40)]
        full = [a for a in answers if a.reason is Reason.DISK_FULL]
        assert full, "the disk was never felt"
        first = answers.index(full[0])
        assert all(a.reason is Reason.DISK_FULL for a in answers[first:])
        assert get(edge, "/readyz")[0] == 503
        filler.unlink()
        until(lambda: get(edge, "/readyz")[0] == 200, what="healing")
        assert screen(edge, 1) == [Decision.CLEAR]
        assert edge.stop() == 0
    finally:
        site.close()
        subprocess.run(["umount", "-l", str(site.edge_state)], check=False)  # noqa: S607

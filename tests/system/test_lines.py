"""Line scanners at the real daemon: real processes, real sockets, a real model."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from belts import Belt, Box
from harness import ROOT, Process, Site, command, until

from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.line_client import LineAnswer, LineChunk, LineClient
from nii_edge.record import Tap
from nii_edge.records import Decision, Gap, Reason, Report

SCAN = {
    "line_pitch_mm": 1.0, "view_offsets_mm": [0, 20], "min_length_mm": 20, "max_length_mm": 150,
    "min_gap_mm": 20, "margin_mm": 6,
}  # fmt: skip


def line_site(folder: Path, **changes: object) -> Site:
    site = Site(folder)
    profile = yaml.safe_load((ROOT / "configs/scanners/dual-energy.yaml").read_text())
    profile |= {"belt_axis": "rows", "line_scan": SCAN | changes}
    path = site.write("line-scanner.yaml", profile)
    site.profiles["lane-1"] = path
    return site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = line_site(tmp_path)
    yield made
    made.close()


def send(client: LineClient, chunks: list[LineChunk], pause_s: float = 0.0) -> list[LineAnswer]:
    answers = []
    for chunk in chunks:
        client.send(chunk)
        answers += client.poll(pause_s)
    return answers


def finish(
    client: LineClient, count: int, answers: list[LineAnswer], seconds: float = 30
) -> list[LineAnswer]:
    """Wait for this many answers in all."""
    end = time.monotonic() + seconds
    while len(answers) < count and time.monotonic() < end:
        answers += client.poll(0.2)
    assert len(answers) == count, f"{len(answers)} answers, expected {count}: {answers}"
    return answers


def edge_of(answer: LineAnswer) -> int:
    assert answer.belt is not None
    return answer.belt.last


def test_cartons_are_found_in_the_lines_and_each_gets_the_verdict_of_what_is_in_it(site: Site) -> None:
    """A clear carton, one with a block, two too close, one cut by the start: each named for what it is, with
    its place on the belt."""
    edge = site.edge()
    boxes = [Box(60, 80), Box(200, 80, block=True), Box(340, 60), Box(410, 60), Box(540, 70)]
    belt = Belt(700, boxes)
    with LineClient(edge.endpoints["scanners"], "lane-1") as client:
        answers = finish(client, 4, send(client, list(belt.chunks(32))))
    said = [(a.decision, a.reason) for a in sorted(answers, key=edge_of)]
    assert said == [
        (Decision.CLEAR, None),
        (Decision.ALARM, None),
        (Decision.UNKNOWN, Reason.MERGED),
        (Decision.CLEAR, None),
    ]
    whole = [boxes[0], boxes[1], boxes[3], boxes[4]]
    assert [edge_of(a) for a in sorted(answers, key=edge_of)] == [belt.last(box) for box in whole]


def numbers(site: Site) -> list[tuple[int, str, Reason | None]]:
    """Number, decision and reason of each scan in the ledger; fails if one is in flight."""
    with sqlite3.connect(f"file:{site.edge_state / 'ledger.db'}?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT body FROM journal WHERE kind = 'report' ORDER BY entry").fetchall()
        (open_scans,) = ledger.execute("SELECT count(*) FROM scans WHERE entry IS NULL").fetchone()
    assert open_scans == 0
    verdicts = [msgspec.msgpack.decode(body, type=Report).verdict for (body,) in rows]
    return [(v.id.seq, v.decision.value, v.reason) for v in verdicts]


def restarted(site: Site, edge: Process) -> Process:
    edge.kill()
    return site.edge(listen={"scanners": edge.endpoints["scanners"], "verdicts": "tcp://127.0.0.1:*"})


@pytest.mark.parametrize("moments", [(100,), (60, 230, 250), (145, 300, 301)])
def test_a_daemon_killed_in_mid_carton_gives_every_carton_one_verdict(
    site: Site, moments: tuple[int, ...]
) -> None:
    """kill -9 at these lines, while cartons are under the beam: the scanner sends again what was not done,
    and the new daemon cuts the same cartons with the same numbers. Nothing twice, nothing silent."""
    edge = site.edge()
    boxes = [Box(50, 80), Box(180, 90, block=True), Box(330, 70)]
    belt = Belt(560, boxes, seed=moments[0])
    answers: list[LineAnswer] = []
    with LineClient(edge.endpoints["scanners"], "lane-1", resend_s=0.3) as client:
        for chunk in belt.chunks(16):
            answers += send(client, [chunk], 0.01)
            if chunk.view == 1 and any(0 <= m - int(chunk.encoder) < 16 for m in moments):  # type: ignore[arg-type]
                edge = restarted(site, edge)
        finish(client, 3, answers)
        end = time.monotonic() + 20
        while client.kept > 8 and time.monotonic() < end:
            assert client.poll(0.1) == []
    edge.stop()
    answers.sort(key=edge_of)
    assert [edge_of(a) for a in answers] == [belt.last(box) for box in boxes]
    expected = [Decision.CLEAR, Decision.ALARM, Decision.CLEAR]
    for answer, decision in zip(answers, expected, strict=True):
        crashed = answer.decision is Decision.UNKNOWN and answer.reason is Reason.CRASH
        assert crashed or answer.decision is decision, answer
    if len(moments) == 1:  # no intent was written before the only kill
        assert [a.decision for a in answers] == expected
    assert sorted(number - 1 for number, *_ in numbers(site)) == [edge_of(a) for a in answers]


def test_lines_that_are_lost_on_the_belt_make_a_cut_carton_and_a_recorded_gap(site: Site) -> None:
    """Lines missing in a carton: CUT. A stretch missing in the air in which one may have been: a gap."""
    edge = site.edge()
    boxes = [Box(60, 80), Box(420, 80)]
    belt = Belt(640, boxes)
    kept = [c for c in belt.chunks(16) if not (96 <= c.encoder < 112 or 256 <= c.encoder < 304)]  # type: ignore[operator]
    with LineClient(edge.endpoints["scanners"], "lane-1") as client:
        answers = finish(client, 2, send(client, kept))
        assert client.poll(0.5) == []
    edge.stop()
    answers.sort(key=edge_of)
    assert [(a.decision, a.reason) for a in answers] == [
        (Decision.UNKNOWN, Reason.CUT),
        (Decision.CLEAR, None),
    ]
    with sqlite3.connect(f"file:{site.edge_state / 'ledger.db'}?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT body FROM journal WHERE kind = 'gap'").fetchall()
    places = sorted(msgspec.msgpack.decode(body, type=Gap).first for (body,) in rows)
    assert places == [
        256 + 1,
        256 + 20 + 1,
    ]  # in the side view, which stands 20 lines on, and in the top view


def test_a_carton_that_the_scanner_knows_of_and_nobody_answers_for_is_unknown(tmp_path: Path) -> None:
    """No daemon, no CLEAR: at its deadline the carton is UNKNOWN(NO_ANSWER), with its place."""
    with LineClient(f"ipc://{tmp_path}/nobody", "lane-1", deadline_s=0.2) as client:
        client.send(next(Belt(100, [Box(30, 40)]).chunks(100)))
        client.passed(50)
        (answer,) = client.poll(5)
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NO_ANSWER)
    assert edge_of(answer) == 50


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=60)


def test_what_a_line_lane_cut_out_is_recorded_and_plays_as_lines_again(site: Site, tmp_path: Path) -> None:
    """The recording holds the cartons as frames and where they lay; laid on a belt again they get the same
    verdicts, and the edge's numbers stay its own."""
    edge = site.edge()
    boxes = [Box(60, 80), Box(220, 80, block=True), Box(380, 60)]
    recording = tmp_path / "day.mcap"
    writer = RecordingWriter(recording)
    tap = Tap(edge.endpoints["tap"], edge.endpoints["verdicts"], lambda _: None)
    listening = threading.Thread(target=tap.record, args=(writer, 60.0))
    listening.start()
    time.sleep(0.5)  # subscriptions take effect when they do
    with LineClient(edge.endpoints["scanners"], "lane-1") as client:
        finish(client, 3, send(client, list(Belt(560, boxes).chunks(32))))
    until(lambda: tap.summary.frames == 6 and tap.summary.verdicts == 3)
    tap.stopped = True
    listening.join()
    tap.close()
    writer.close()
    assert tap.summary.from_lines == 6
    assert tap.summary.not_frames == 0
    profile = str(site.profiles["lane-1"])
    to = ("replay", str(recording), "--to", edge.endpoints["scanners"])
    played = run(*to, "--as-lines", profile, "--rate", "max", "--json")
    assert played.returncode == 0, played.stderr
    found = json.loads(played.stdout)
    assert found["scans_sent"] == 3
    assert found["verdicts"] == {"CLEAR": 2, "ALARM": 1, "UNKNOWN": 0}
    assert found["after_gap_ms"]["p50"] <= found["latency_ms"]["p50"]
    wrong = run(*to, "--as-lines", str(ROOT / "configs/scanners/dual-energy.yaml"))
    assert wrong.returncode == 1
    assert "has no `line_scan`" in wrong.stderr

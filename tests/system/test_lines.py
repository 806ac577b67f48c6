"""Line scanners at the real daemon: real processes, real sockets, a real model."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from belts import Belt, Box
from harness import ROOT, Process, Site

from nii_edge.line_client import LineAnswer, LineChunk, LineClient
from nii_edge.records import Decision, Reason

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

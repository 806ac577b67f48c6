"""A wall clock that is put by an hour while the daemon runs: by a time server, an empty battery, an attacker.

Real processes, whose wall clock alone is put (wall_clock.c); the machine's own stays as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from harness import Process, Site, dual, get, preloaded, until, value

from nii_edge.client import Answer, ScannerClient
from nii_edge.records import Decision, Reason, Report
from nii_edge.subscriber import Subscriber
from nii_edge.wire import FrameMessage

WALL_CLOCK = Path(__file__).with_name("wall_clock.c")
HOUR_S = 3_600
EPOCH = 7

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to put a clock with")


class WallClock:
    """Of the processes that the site starts from now on."""

    def __init__(self, site: Site) -> None:
        self._ahead = site.folder / "ahead"
        self.put(0)
        site.environment = {**preloaded(WALL_CLOCK, site.folder), "NII_WALL_CLOCK": str(self._ahead)}

    def put(self, ahead_s: int) -> None:
        """So many seconds ahead of the machine's, at once."""
        with self._ahead.open("r+b" if self._ahead.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("<q", ahead_s * 10**9))


def client(edge: Process, epoch: int = EPOCH) -> ScannerClient:
    return ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=20, epoch=epoch)


def screened(edge: Process, count: int, epoch: int = EPOCH) -> list[Answer]:
    with client(edge, epoch) as scanner:
        return [scanner.wait(scanner.send(dual(seed))) for seed in range(count)]


def send_half(scanner: ScannerClient, seed: int) -> int:
    """One of the two views of a carton; its number."""
    view = dual(seed)[0]
    header = FrameMessage(
        scanner="lane-1", epoch=EPOCH, seq=1, view=0, views=2,
        height=view.height, width=view.width, channels=view.channels, dtype=view.dtype,
    )  # fmt: skip
    return scanner.send_frames([(header, view.payload)])


def test_a_clock_put_forward_ends_no_scan_early(site: Site) -> None:
    """A carton whose second view comes after the jump is CLEAR: the hour that passed on the wall is none."""
    clock = WallClock(site)
    edge = site.edge(deadline_ms=60_000, view_timeout_ms=60_000)
    with client(edge) as first, client(edge) as both:
        send_half(first, 0)
        taken = 'nii_edge_scans_received_total{scan_type="OPERATIONAL",scanner="lane-1"}'
        until(lambda: first.poll(0.1) or f"{taken} 1.0" in get(edge, "/metrics")[1], what="its first view")
        clock.put(HOUR_S)
        until(lambda: value(edge, "nii_edge_clock_untrusted") == 1, what="that the jump was noticed")
        assert both.wait(both.send(dual(0))).decision is Decision.CLEAR


@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
def test_a_clock_that_was_put_holds_up_no_deadline(site: Site, ahead_s: int) -> None:
    """A view that never comes and detectors that hang end as without the jump: an hour back on the wall is
    no hour more to wait."""
    clock = WallClock(site)
    edge = site.edge(deadline_ms=1_000, view_timeout_ms=1_000)
    with client(edge) as scanner:
        half = send_half(scanner, 1)
        clock.put(ahead_s)
        assert scanner.wait(half).reason is Reason.MISSING_VIEW
        os.kill(edge.child(), signal.SIGSTOP)
        hung = scanner.send(dual(2))
        clock.put(0)
        assert scanner.wait(hung).reason is Reason.MODEL_FAULT
        until(lambda: scanner.wait(scanner.send(dual(3))).decision is Decision.CLEAR, what="CLEAR again")
    assert edge.stop() == 0


def test_the_order_is_the_numbers_and_the_clock_is_said_to_be_put(site: Site) -> None:
    """Forward, back, and further back over a restart: each verdict as ever, the ledger and the archive in the
    order of the numbers whatever their times say, and an operator is told."""
    collector = site.collector()
    clock = WallClock(site)
    edge = site.edge(collector)
    with client(edge) as scanner:
        answers = []
        for seed in range(9):
            clock.put((0, HOUR_S, -HOUR_S)[seed // 3])
            answers.append(scanner.wait(scanner.send(dual(seed))))
    assert {answer.decision for answer in answers} == {Decision.CLEAR}
    until(lambda: value(edge, "nii_edge_clock_untrusted") == 1, what="that the jump was noticed")
    until(lambda: abs(value(edge, "nii_edge_clock_stepped_seconds") + HOUR_S) < 1, what="by how much")
    assert any("the clock was put" in said for said in json.loads(get(edge, "/status")[1])["degraded"])
    assert edge.events("the clock was put; nothing is forgotten for an hour")
    edge.kill()
    clock.put(-2 * HOUR_S)
    again = site.edge(collector)
    assert [answer.report for answer in screened(again, 9)] == [answer.report for answer in answers]
    assert {answer.decision for answer in screened(again, 3, epoch=EPOCH - 1)} == {Decision.CLEAR}
    order = [(EPOCH, seq) for seq in range(1, 10)] + [(EPOCH - 1, seq) for seq in range(1, 4)]
    with Subscriber(collector.endpoints["subscribers"], decisions=(), timeout_s=20) as subscriber:
        follow = subscriber.follow()
        archived = [report for report in (next(follow).report for _ in order) if report is not None]
    assert again.stop() == 0
    with closing(sqlite3.connect(site.edge_state / "ledger.db")) as db:
        bodies = db.execute("SELECT body FROM journal ORDER BY entry").fetchall()
    filed = [msgspec.msgpack.decode(body, type=Report) for (body,) in bodies]
    assert filed == archived
    assert [(report.verdict.id.epoch, report.verdict.id.seq) for report in filed] == order
    times = [report.decided_at_ns for report in filed]
    assert times != sorted(times), "the clock was not put at all"

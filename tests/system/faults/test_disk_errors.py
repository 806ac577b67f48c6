"""A disk that answers with an I/O error (EIO), at each call with which the ledger uses it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from harness import Process, Site, dual, preloaded, until

from nii_edge.client import Answer, ScannerClient
from nii_edge.records import Decision, Reason, Report
from nii_edge.subscriber import Subscriber

BAD_DISK = Path(__file__).with_name("bad_disk.c")
EPOCH = 5
OFTEN = {
    "nii_edge.edge.housekeeping.SETTLE_EVERY_S": 4.0,
    "nii_edge.adapters.sqlite_archive.SETTLE_EVERY_S": 5.0,
}
"""How often what the disk has not taken is looked for, which is ten seconds for real: late enough after a
start that all of a test's scans were told before."""
MANY = 20
"""Scans at once, as many as find room."""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a bad disk with")


class Disk:
    """What the edge's disk refuses to do."""

    def __init__(self, site: Site) -> None:
        self._orders = site.folder / "bad-disk"
        site.environment = {**preloaded(BAD_DISK, site.folder), "NII_BAD_DISK": str(self._orders)}

    def fail(self, call: str, ending: str, often: str) -> None:
        """From now on; see bad_disk.c."""
        part = self._orders.with_suffix(".part")
        part.write_text(f"{call} {ending} {often}\n")
        part.rename(self._orders)

    @property
    def felt(self) -> bool:
        """True once what was to fail once has failed."""
        return not self._orders.exists()

    def mend(self) -> None:
        self._orders.unlink(missing_ok=True)


@pytest.fixture
def disk(site: Site) -> Disk:
    site.waits = OFTEN
    return Disk(site)


def ask(edge: Process, count: int, deadline_s: float = 10) -> list[Answer]:
    """The answers to the first scans of one epoch, all sent before the first is waited for; those that were
    sent before are sent again."""
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=deadline_s, epoch=EPOCH) as scanner:
        return [scanner.wait(seq) for seq in [scanner.send(dual(seq)) for seq in range(1, count + 1)]]


def on_disk(site: Site, folder: str) -> dict[int, Decision | None]:
    """The ledger's scans as a start would find them now, and what was decided: None if nothing yet."""
    copy = site.folder / folder
    shutil.copytree(site.edge_state, copy)
    with closing(sqlite3.connect(copy / "ledger.db")) as db:
        rows = db.execute("SELECT seq, body FROM scans LEFT JOIN journal USING (entry)").fetchall()
    reports = {seq: body and msgspec.msgpack.decode(body, type=Report) for seq, body in rows}
    assert len(reports) == len(rows)
    return {seq: report.verdict.decision if report else None for seq, report in reports.items()}


@pytest.mark.parametrize(("call", "often"), [("pwrite", "once"), ("sync", "once"), ("sync", "always")])
def test_an_error_in_a_commit_ends_the_daemon_and_every_scan_is_accounted_for(
    site: Site, disk: Disk, call: str, often: str
) -> None:
    """Also one error alone, after which the disk says that all is well again: nothing is told that is not on
    disk, the status is 1 with a sentence, and after a restart each scan has one verdict, those told before
    the same."""
    edge = site.edge()
    assert ask(edge, 1)[0].decision is Decision.CLEAR
    disk.fail(call, "ledger.db-wal", often)
    told = ask(edge, 4, deadline_s=1.5)
    assert until(edge.ended, what="the daemon's end") == 1
    assert "the disk failed to read or write; check it, then start again" in edge.log_path.read_text()
    assert disk.felt or often == "always"
    assert {answer.reason for answer in told[1:]} == {Reason.NO_ANSWER}
    left = on_disk(site, "left")
    assert left[1] is Decision.CLEAR
    disk.mend()
    again = site.edge()
    answers = ask(again, 4)
    assert answers[0].decision is Decision.CLEAR
    assert all(answer.reason in {None, Reason.CRASH} for answer in answers)
    assert {answer.seq: answer.decision for answer in answers} == on_disk(site, "after")
    assert again.stop() == 0


@pytest.mark.parametrize(("call", "often"), [("pwrite", "always"), ("sync", "once")])
def test_an_error_that_no_commit_tells_of_ends_the_daemon_too(
    site: Site, disk: Disk, call: str, often: str
) -> None:
    """Commits go to the log and are sound. What merges the log into the file fails, and SQLite keeps that to
    itself: the daemon finds out within seconds, ends, and after a restart all that was told is in the
    ledger."""
    edge = site.edge()
    assert ask(edge, 1)[0].decision is Decision.CLEAR
    disk.fail(call, "ledger.db", often)
    told = ask(edge, MANY)
    assert until(edge.ended, 30, "the daemon's end") == 1
    assert "the disk failed to read or write; check it, then start again" in edge.log_path.read_text()
    left = on_disk(site, "left")
    assert all(left[answer.seq] is answer.decision for answer in told if answer.report is not None)
    disk.mend()
    again = site.edge()
    assert [answer.report for answer in ask(again, MANY)] == [answer.report for answer in told]
    assert again.stop() == 0


@pytest.mark.parametrize("call", ["sync", "pread"])
def test_a_disk_that_fails_at_the_start_refuses_it(site: Site, disk: Disk, call: str) -> None:
    """What a killed daemon left in the log must reach the file before anything is told from it."""
    edge = site.edge()
    assert ask(edge, 1)[0].decision is Decision.CLEAR
    edge.kill()
    disk.fail(call, "ledger.db", "always")
    with pytest.raises(AssertionError, match="the disk failed to read or write; check it, then start again"):
        site.edge()
    disk.mend()
    assert ask(site.edge(), 1)[0].decision is Decision.CLEAR


def test_the_collector_ends_too_and_what_it_confirmed_is_archived(site: Site, disk: Disk) -> None:
    """Its disk fails where no commit tells of it. The edge goes on and keeps what was not confirmed; once the
    disk is mended every record is in the archive, once."""
    collector = site.collector()
    edges, subscribers = collector.endpoints["edges"], collector.endpoints["subscribers"]
    site.environment = {}
    edge = site.edge(collector)
    disk.fail("sync", "archive.db", "always")
    answers: list[Answer] = []
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10, epoch=EPOCH) as scanner:

        def ended() -> int | None:
            answers.append(scanner.wait(scanner.send(dual(len(answers)))))
            time.sleep(0.5)
            return collector.ended()

        assert until(ended, 40, "the collector's end") == 1
    assert "the disk failed to read or write; check it, then start again" in collector.log_path.read_text()
    disk.mend()
    site.collector(edges, subscribers)
    with Subscriber(subscribers, decisions=(), timeout_s=20) as subscriber:
        follow = subscriber.follow()
        assert [next(follow).report for _ in answers] == [answer.report for answer in answers]

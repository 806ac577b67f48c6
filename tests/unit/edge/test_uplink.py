"""The uplink over a real ledger: to a real collector, and over lines that lose or delay what is in flight."""

from __future__ import annotations

import hashlib
import select
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from harness import until

from nii_edge.adapters import zmq_transport
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.adapters.zmq_uplink import ZmqUplink
from nii_edge.collector.server import Collector
from nii_edge.config import CollectorConfig
from nii_edge.edge.committer import Committer
from nii_edge.edge.uplink import Uplink
from nii_edge.ports import Conclude, Intend, LedgerStats, SinkReply
from nii_edge.records import Decision, Gap, Preview, Recall, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import FetchManifestsMessage

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tools"))

from chaoslib.proxy import Proxy  # noqa: E402 - tools is no package of ours

LOST = 3


class LossyLine:
    """A centre that archives all it gets, at the end of a line that swallows what is sent first: as ZeroMQ
    does when it connects anew beneath its socket."""

    def __init__(self, archive: list[str], swallow: int) -> None:
        self._archive, self._swallow = archive, swallow
        self._waiting: list[str] = []

    def broken(self) -> bool:
        return False

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        select.select([wake_fd], [], [], 0.01 if self._waiting else timeout_s)

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        key = record.sha256 if isinstance(record, Preview) else record.alert_id
        if self._swallow:
            self._swallow -= 1
        else:
            self._waiting.append(key)
        return True

    def ask(self, question: FetchManifestsMessage) -> bool:  # noqa: ARG002 - a port's method
        return True

    def replies(self) -> list[SinkReply]:
        found, self._waiting = tuple(self._waiting), []
        self._archive += found
        return [SinkReply(archived=found)] if found else []

    def close(self) -> None:
        self._waiting = []


class NoLine(LossyLine):
    """Nobody is at the other end."""

    def broken(self) -> bool:
        return True


class ThinLine(LossyLine):
    """A line on which a picture takes `SECONDS`, one after the other; nothing is lost."""

    SECONDS = 0.5

    def __init__(self, archive: list[str]) -> None:
        super().__init__(archive, 0)
        self._arrives: list[tuple[float, str]] = []

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        select.select([wake_fd], [], [], min(timeout_s, 0.02))

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        begins = max([time.monotonic(), *(at for at, _ in self._arrives)])
        picture = isinstance(record, Preview)
        key = record.sha256 if isinstance(record, Preview) else record.alert_id
        self._arrives.append((begins + (self.SECONDS if picture else 0.0), key))
        return True

    def replies(self) -> list[SinkReply]:
        now = time.monotonic()
        self._waiting = [key for at, key in self._arrives if at <= now]
        self._arrives = [(at, key) for at, key in self._arrives if at > now]
        return super().replies()


def scan(seq: int) -> ScanId:
    return ScanId(edge="e", scanner="s", epoch=1, seq=seq)


def other(seq: int) -> Report:
    """Another report of the same name."""
    return msgspec.structs.replace(concluded(seq)[1].report, received_at_ns=7)


def concluded(seq: int) -> tuple[Intend, Conclude]:
    verdict = Verdict(id=scan(seq), scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR)
    report = Report(
        alert_id=scan(seq).alert_id, report_id=scan(seq).report_id, verdict=verdict, received_at_ns=1,
        decided_at_ns=2,
    )  # fmt: skip
    return Intend(scan(seq), ScanType.OPERATIONAL, seq), Conclude(report, None)


class ClockByHand(SystemClock):
    """Runs only when it is told to."""

    seconds = -1.0

    def monotonic(self) -> float:
        return self.seconds


class Centre:
    """A collector in a thread of its own, with an archive of its own."""

    def __init__(self, path: Path, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.archive = SqliteArchive(path)
        config = CollectorConfig(
            version=1, archive=str(path), edges=endpoint, subscribers="tcp://127.0.0.1:*"
        )
        collector = Collector(config, self.archive, SystemClock())
        self.endpoint = collector.endpoints.edges
        self._path, self._stop = path, threading.Event()
        self._thread = threading.Thread(target=collector.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> list[int]:
        """The numbers of the scans in the archive, in the order in which they came."""
        self._stop.set()
        self._thread.join(10)
        self.archive.close()
        with closing(sqlite3.connect(self._path)) as db:
            rows = db.execute("SELECT body FROM records ORDER BY number").fetchall()
        return [msgspec.msgpack.decode(body, type=Report).verdict.id.seq for (body,) in rows]


def test_refused_records_are_tried_a_few_at_a_time_until_a_centre_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A centre refuses them, since it has others of these names; the next one does not. Meanwhile they are
    counted as refused, two of them come again each time, and they keep nothing else from being sent."""
    monkeypatch.setattr("nii_edge.edge.uplink.RETRY_EVERY_S", 2.0)
    monkeypatch.setattr("nii_edge.edge.uplink.RETRIED", 2)
    monkeypatch.setattr("nii_edge.edge.uplink.IDLE_S", 0.01)
    refusing = Centre(tmp_path / "first.db")
    refusing.archive.store([other(seq) for seq in range(1, 31)], 1)
    context = zmq_transport.new_context()
    metrics, clock = Metrics(), ClockByHand()
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    uplink = Uplink(lambda: ZmqUplink(context, refusing.endpoint), committer, clock, metrics)
    uplink.start()

    def waiting() -> tuple[int, int]:
        stats: LedgerStats = committer.answer(lambda ledger: ledger.stats())
        return stats.parked, stats.pending

    def told(what: str) -> int:
        return int(metrics.registry.get_sample_value("nii_edge_uplink_publish_total", {"result": what}) or 0)

    try:
        committer.write(*(change for seq in range(1, 41) for change in concluded(seq)), then=uplink.nudge)
        until(lambda: waiting() == (30, 0))
        for rounds in range(1, 15):
            clock.seconds = 2.0 * rounds
            until(lambda: told("refused") == 30 + 2 * rounds)  # noqa: B023 - it is over before the next
        committer.write(*concluded(41), then=uplink.nudge)
        until(lambda: told("archived") == 11)
        assert told("sent") == 41 + 2 * rounds
        assert waiting() == (30, 0)
        refusing.stop()
        taking = Centre(tmp_path / "second.db", refusing.endpoint)

        def taken() -> bool:
            clock.seconds += 0.5
            return waiting() == (0, 0)

        until(taken)
        assert sorted(taking.stop()) == list(range(1, 31))
    finally:
        uplink.stop()
        committer.close()
        context.destroy(linger=0)


def test_records_stay_in_order_where_a_connection_breaks_and_the_next_one_comes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are lost with the first connection; what comes after them does not arrive before them."""
    monkeypatch.setattr("nii_edge.edge.uplink.IDLE_S", 0.01)
    centre = Centre(tmp_path / "archive.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = Proxy(port, int(centre.endpoint.rsplit(":", 1)[1]))
    proxy.start()
    context = zmq_transport.new_context()
    metrics = Metrics()
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    uplink = Uplink(lambda: ZmqUplink(context, f"tcp://127.0.0.1:{port}"), committer, SystemClock(), metrics)
    uplink.start()

    def pending() -> int:
        stats: LedgerStats = committer.answer(lambda ledger: ledger.stats())
        return stats.pending

    def report(first: int, last: int) -> None:
        committer.write(*(c for seq in range(first, last + 1) for c in concluded(seq)), then=uplink.nudge)

    try:
        report(1, 5)
        until(lambda: uplink.heard_at and pending() == 0)
        proxy.make_stale()
        report(6, 9)
        until(lambda: metrics.uplink.labels("sent")._value.get() == 9)
        proxy.set("reset")
        proxy.set("pass")
        report(10, 20)
        until(lambda: pending() == 0)
    finally:
        uplink.stop()
        committer.close()
        proxy.close()
        context.destroy(linger=0)
    assert centre.stop() == list(range(1, 21))


def test_an_uplink_that_finds_nobody_is_not_taken_for_one_that_hangs(tmp_path: Path) -> None:
    """It goes on trying, and its thread says so."""
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    opened: list[NoLine] = []

    def line() -> NoLine:
        opened.append(NoLine([], 0))
        return opened[-1]

    uplink = Uplink(line, committer, SystemClock(), Metrics())
    uplink.start()
    try:
        until(lambda: opened)
        began = uplink.thread.beat_at
        until(lambda: uplink.thread.beat_at > began and len(opened) > 2)
    finally:
        uplink.stop()
        committer.close()


def test_what_went_down_with_a_connection_is_sent_again_while_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New records are confirmed all the time, so the line is never silent; the first ones come, too."""
    monkeypatch.setattr("nii_edge.edge.uplink.OVERTAKEN_S", 0.2)
    monkeypatch.setattr("nii_edge.edge.uplink.IDLE_S", 0.05)
    archive: list[str] = []
    lines = iter([LossyLine(archive, LOST)])
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    uplink = Uplink(lambda: next(lines, LossyLine(archive, 0)), committer, SystemClock(), Metrics())
    uplink.start()
    try:
        for seq in range(1, 2_000):
            committer.write(*concluded(seq), then=uplink.nudge)
            time.sleep(0.02)
            if scan(1).alert_id in archive:
                break
        until(lambda: {scan(k).alert_id for k in range(1, seq + 1)} <= set(archive))
        assert seq < 500
        found: int = committer.answer(lambda ledger: ledger.stats().pending)
        until(lambda: committer.answer(lambda ledger: ledger.stats().pending) == 0)
        assert found <= seq
    finally:
        uplink.stop()
        committer.close()


def test_pictures_get_through_a_line_that_takes_long_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a record may take: nobody gives up what is still on its way, and the line stays."""
    monkeypatch.setattr("nii_edge.edge.uplink.RESEND_AFTER_S", 0.2)
    monkeypatch.setattr("nii_edge.edge.uplink.SLOWEST_BYTES_S", 100)
    archive: list[str] = []
    opened: list[ThinLine] = []
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    shas = []
    for seq in range(1, 5):
        intend, told = concluded(seq)
        data = bytes([seq]) * 200
        picture = Preview(sha256=hashlib.sha256(data).hexdigest(), media_type="image/jpeg", data=data)
        shas.append(picture.sha256)
        committer.write(intend, told._replace(preview=picture))

    def line() -> ThinLine:
        opened.append(ThinLine(archive))
        return opened[-1]

    uplink = Uplink(line, committer, SystemClock(), Metrics())
    uplink.start()
    try:
        until(lambda: set(shas) <= set(archive))
        assert len(opened) == 1
        assert [key for key in archive if key in shas] == shas
    finally:
        uplink.stop()
        committer.close()

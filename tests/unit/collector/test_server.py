"""The collector over real sockets on the loopback and a real SQLite file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nii_edge.adapters import zmq_transport as transport
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.collector.server import Collector
from nii_edge.config import CollectorConfig
from nii_edge.errors import ConfigError, LedgerError, WireError
from nii_edge.ports import Stored
from nii_edge.records import (
    Decision,
    Gap,
    Preview,
    Reason,
    Report,
    ScanId,
    ScanType,
    Verdict,
    preview_of,
)
from nii_edge.subscriber import Subscriber
from nii_edge.wire import (
    MAX_HEADER_BYTES,
    MAX_PREVIEW_BYTES,
    ArchivedMessage,
    FetchMessage,
    FetchPreviewMessage,
    FromCollector,
    GapMessage,
    Message,
    PreviewMessage,
    ReceiptMessage,
    RefusedMessage,
    ReportMessage,
    decode_from_collector,
    decode_to_subscriber,
    encode,
)

PATIENCE_MS = 5_000
ANYWHERE = "tcp://127.0.0.1:*"
LIMITS = transport.Limits(max_part_bytes=1 << 22, linger_ms=0, reconnect_ms=20, reconnect_max_ms=100)


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ns(self) -> int:
        return time.time_ns()


def report(
    seq: int,
    decision: Decision = Decision.ALARM,
    scan_type: ScanType = ScanType.OPERATIONAL,
    detail: str = "",
) -> Report:
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    reason = Reason.TIMEOUT if decision is Decision.UNKNOWN else None
    verdict = Verdict(id=scan, scan_type=scan_type, decision=decision, reason=reason, detail=detail)
    return Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=1, decided_at_ns=2
    )


class Running:
    """A collector in a thread of its own, over an archive file."""

    def __init__(self, path: Path, edges: str = ANYWHERE, subscribers: str = ANYWHERE) -> None:
        self.archive = SqliteArchive(path)
        config = CollectorConfig(version=1, archive=str(path), edges=edges, subscribers=subscribers)
        try:
            self.collector = Collector(config, self.archive, RealClock())
        except ConfigError:
            self.archive.close()
            raise
        self.edges, self.subscribers = self.collector.endpoints
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.collector.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.archive.close()


class Peer:
    """The bare other end: sends parts, gets parts."""

    def __init__(self, endpoint: str) -> None:
        self._context = transport.new_context()
        self.socket = transport.connect(self._context, zmq.DEALER, endpoint, LIMITS)
        self.socket.setsockopt(zmq.SNDTIMEO, PATIENCE_MS)

    def send(self, message: Message, *payload: bytes) -> None:
        self.socket.send_multipart([encode(message), *payload])

    def parts(self, wait_ms: int = PATIENCE_MS) -> list[bytes] | None:
        return self.socket.recv_multipart() if self.socket.poll(wait_ms) else None

    def answer(self) -> FromCollector:
        parts = self.parts()
        assert parts is not None, "the collector did not answer"
        return decode_from_collector(parts).message

    def deliver(self, *items: Report | Gap | Preview) -> list[str]:
        """Send all, and return what was receipted once all are."""
        for item in items:
            if isinstance(item, Report):
                self.send(ReportMessage(report=item))
            elif isinstance(item, Gap):
                self.send(GapMessage(gap=item))
            else:
                self.send(PreviewMessage(sha256=item.sha256, media_type=item.media_type), item.data)
        ids: list[str] = []
        while len(ids) < len(items):
            answer = self.answer()
            assert isinstance(answer, ReceiptMessage), answer
            ids.extend(answer.ids)
        return ids

    def close(self) -> None:
        self.socket.close()
        self._context.term()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path / "a.db")
    yield started
    started.stop()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Peer]]:
    peers: list[Peer] = []

    def make(endpoint: str) -> Peer:
        peers.append(Peer(endpoint))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture
def edge(running: Running, connect: Callable[[str], Peer]) -> Peer:
    return connect(running.edges)


@pytest.fixture
def central(running: Running, connect: Callable[[str], Peer]) -> Peer:
    return connect(running.subscribers)


# ---- edges ------------------------------------------------------------------------------------


def test_what_is_sent_is_archived_and_receipted(running: Running, edge: Peer) -> None:
    """A report, a gap and a picture are each receipted under their own key, and can be fetched."""
    picture = preview_of(b"jpeg", "image/jpeg")
    hole = Gap(edge="e", scanner="s", epoch=1, first=2, last=3, noticed_at_ns=9)
    ids = edge.deliver(report(1), hole, picture)
    assert ids == [report(1).alert_id, hole.alert_id, picture.sha256]
    with Subscriber(running.subscribers, timeout_s=5) as alerts:
        items = alerts.fetch_once()
        assert [(item.report, item.gap) for item in items] == [(report(1), None), (None, hole)]
        assert alerts.preview(picture.sha256) == picture


def test_each_edge_gets_its_own_receipts(running: Running, connect: Callable[[str], Peer]) -> None:
    """Records of several edges in flight at once are receipted to the edge that sent them, and no other."""
    one, two = connect(running.edges), connect(running.edges)
    for seq in range(1, 101):
        one.send(ReportMessage(report=report(seq)))
        two.send(ReportMessage(report=report(1000 + seq)))
    assert one.deliver() == []
    got: dict[int, list[str]] = {0: [], 1: []}
    for which, peer in enumerate((one, two)):
        while len(got[which]) < 100:
            answer = peer.answer()
            assert isinstance(answer, ReceiptMessage)
            got[which].extend(answer.ids)
    assert got[0] == [report(seq).alert_id for seq in range(1, 101)]
    assert got[1] == [report(1000 + seq).alert_id for seq in range(1, 101)]


def test_duplicates_are_receipted_and_archived_once(running: Running, edge: Peer) -> None:
    """Sending a record twice gives two receipts and one record."""
    edge.deliver(report(1), report(1))
    assert edge.deliver(report(1)) == [report(1).alert_id]
    with Subscriber(running.subscribers, timeout_s=5) as alerts:
        assert len(alerts.fetch_once()) == 1
    assert running.archive.counts().duplicates == 2


def test_a_conflict_is_refused_and_the_first_stands(running: Running, edge: Peer) -> None:
    """The same alert id with other content gets no receipt but a refusal, is counted, and changes nothing."""
    edge.deliver(report(1, detail="first"))
    edge.send(ReportMessage(report=report(1, detail="second")))
    refused = edge.answer()
    assert isinstance(refused, RefusedMessage)
    assert (refused.reason, refused.alert_id) == (Reason.SEQ_REUSED, report(1).alert_id)
    with Subscriber(running.subscribers, timeout_s=5) as alerts:
        assert [item.report for item in alerts.fetch_once()] == [report(1, detail="first")]
    assert running.archive.counts().conflicts == 1


class SlowArchive(SqliteArchive):
    """Commits only when told to; or fails instead."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = threading.Event()
        self.go = threading.Event()
        self.fail = False

    def store(self, items: Sequence[Report | Gap | Preview], archived_at_ns: int) -> Stored:
        self.asked.set()
        assert self.go.wait(10)
        if self.fail:
            raise LedgerError("the disk failed")
        return super().store(items, archived_at_ns)


def _slow(path: Path) -> tuple[SlowArchive, Collector]:
    archive = SlowArchive(path)
    config = CollectorConfig(version=1, archive=str(path), edges=ANYWHERE, subscribers=ANYWHERE)
    return archive, Collector(config, archive, RealClock())


def test_no_receipt_before_the_commit(tmp_path: Path, connect: Callable[[str], Peer]) -> None:
    """While the archive has not committed, the edge hears nothing; afterwards it gets its receipt."""
    archive, collector = _slow(tmp_path / "a.db")
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,), daemon=True)
    thread.start()
    try:
        peer = connect(collector.endpoints.edges)
        peer.send(ReportMessage(report=report(1)))
        assert archive.asked.wait(5)
        assert peer.parts(wait_ms=300) is None
        archive.go.set()
        assert peer.answer() == ReceiptMessage(ids=(report(1).alert_id,))
    finally:
        archive.go.set()
        stop.set()
        thread.join(10)
        archive.close()


def test_no_receipt_when_the_commit_fails(tmp_path: Path, connect: Callable[[str], Peer]) -> None:
    """When archiving fails the collector stops with LedgerError, and has acknowledged nothing."""
    archive, collector = _slow(tmp_path / "a.db")
    archive.fail = True
    archive.go.set()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            collector.run(threading.Event())
        except LedgerError as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    peer = connect(collector.endpoints.edges)
    peer.send(ReportMessage(report=report(1)))
    thread.join(10)
    archive.close()
    assert [str(error) for error in ended] == ["the disk failed"]
    assert peer.parts(wait_ms=200) is None


_PROCESS = """
import sys, threading, time
from pathlib import Path
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.collector.server import Collector
from nii_edge.config import CollectorConfig

class RealClock:
    def monotonic(self): return time.monotonic()
    def wall_ns(self): return time.time_ns()

anywhere = "tcp://127.0.0.1:*"
config = CollectorConfig(version=1, archive=sys.argv[1], edges=anywhere, subscribers=anywhere)
collector = Collector(config, SqliteArchive(Path(sys.argv[1])), RealClock())
print(collector.endpoints.edges, file=sys.stderr, flush=True)
collector.run(threading.Event())
"""


def test_what_is_receipted_survives_a_kill(tmp_path: Path, connect: Callable[[str], Peer]) -> None:
    """A collector killed under load at the first receipt has every receipted record on disk."""
    path = tmp_path / "a.db"
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            peer = connect(process.stderr.readline().strip())
            for seq in range(1, 501):
                peer.send(ReportMessage(report=report(1000 * round_ + seq)))
            receipted = peer.answer()
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            process.stderr.close()
        assert isinstance(receipted, ReceiptMessage)
        ids = set(receipted.ids)
        while (parts := peer.parts(wait_ms=100)) is not None:
            later = decode_from_collector(parts).message
            assert isinstance(later, ReceiptMessage)
            ids |= set(later.ids)
        archive = SqliteArchive(path)
        page = archive.after(0, 10_000, tuple(Decision), tuple(ScanType), 1 << 30)
        archive.close()
        assert ids
        assert ids <= {item.report.alert_id for item in page.items if item.report}


# ---- refusals ---------------------------------------------------------------------------------


def _refusal(peer: Peer) -> RefusedMessage:
    answer = peer.answer()
    assert isinstance(answer, RefusedMessage), answer
    return answer


def test_a_report_under_another_scans_id_is_refused(edge: Peer) -> None:
    """An alert id or report id that is not the scan's own is MALFORMED, and the refusal names the record."""
    alien = report(2)
    forged = msgspec.structs.replace(report(1), alert_id=alien.alert_id)
    edge.send(ReportMessage(report=forged))
    refusal = _refusal(edge)
    assert (refusal.reason, refusal.alert_id) == (Reason.MALFORMED, alien.alert_id)
    edge.send(ReportMessage(report=msgspec.structs.replace(report(1), report_id=alien.report_id)))
    refusal = _refusal(edge)
    assert (refusal.reason, refusal.alert_id) == (Reason.MALFORMED, report(1).alert_id)


def test_a_picture_with_another_hash_is_refused(running: Running, edge: Peer) -> None:
    """A picture is refused, by its claimed SHA-256, when its bytes hash to something else."""
    edge.send(PreviewMessage(sha256="ab" * 32, media_type="image/png"), b"other")
    refusal = _refusal(edge)
    assert (refusal.reason, refusal.alert_id) == (Reason.MALFORMED, "ab" * 32)
    with Subscriber(running.subscribers, timeout_s=5) as alerts, pytest.raises(WireError) as caught:
        alerts.preview("ab" * 32)
    assert caught.value.reason is Reason.NOT_ARCHIVED


def test_what_is_too_large_is_refused_in_words(edge: Peer) -> None:
    """An oversized record, header or picture is refused as TOO_LARGE, and the connection lives on."""
    edge.send(ReportMessage(report=report(1, detail="x" * (MAX_HEADER_BYTES - 1_000))))
    assert _refusal(edge).reason is Reason.TOO_LARGE
    edge.send(ReportMessage(report=report(1, detail="x" * MAX_HEADER_BYTES)))
    assert _refusal(edge).reason is Reason.TOO_LARGE
    big = preview_of(b"x" * (MAX_PREVIEW_BYTES + 1), "image/png")
    edge.send(PreviewMessage(sha256=big.sha256, media_type=big.media_type), big.data)
    assert _refusal(edge).reason is Reason.TOO_LARGE
    assert edge.deliver(report(2)) == [report(2).alert_id]


def test_the_largest_record_can_be_fetched(running: Running, edge: Peer) -> None:
    """Whatever is accepted can be delivered: records just below the limit arrive, one an answer."""
    large = [report(seq, detail="x" * (MAX_HEADER_BYTES - 2_400)) for seq in (1, 2, 3)]
    edge.deliver(*large)
    with Subscriber(running.subscribers, timeout_s=5) as alerts:
        seen = [item.report for _ in large for item in alerts.fetch_once()]
    assert seen == large


def test_another_version_is_told_what_is_spoken(edge: Peer) -> None:
    """A message of another version is refused as VERSION with the versions this side speaks."""
    edge.socket.send(msgspec.msgpack.encode({"version": 2, "type": "report"}))
    refusal = _refusal(edge)
    assert (refusal.reason, refusal.supported) == (Reason.VERSION, (1,))


def test_a_gap_that_ends_before_it_begins_is_refused(edge: Peer) -> None:
    """A gap from 5 to 4 is MALFORMED."""
    edge.send(GapMessage(gap=Gap(edge="e", scanner="s", epoch=1, first=5, last=4, noticed_at_ns=0)))
    assert _refusal(edge).reason is Reason.MALFORMED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.binary(max_size=60), min_size=1, max_size=4), to_edges=st.booleans())
def test_garbage_is_refused_and_the_loop_goes_on(
    running: Running, edge: Peer, central: Peer, parts: list[bytes], to_edges: bool
) -> None:
    """Arbitrary bytes on either socket get a refusal, and the next good message is served."""
    peer = edge if to_edges else central
    peer.socket.send_multipart(parts)
    assert _refusal(peer).reason in (Reason.MALFORMED, Reason.VERSION)
    assert edge.deliver(report(1)) == [report(1).alert_id]


def test_refusals_are_counted(running: Running, edge: Peer) -> None:
    """Every refused message is counted under its reason."""
    for _ in range(5):
        edge.socket.send(b"garbage")
    for _ in range(5):
        _refusal(edge)
    assert running.collector.refused == {Reason.MALFORMED: 5}


def test_refusals_are_logged_once(running: Running, edge: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that keeps sending nonsense fills no log: one line for each reason."""
    for _ in range(5):
        edge.socket.send(b"garbage")
    for _ in range(5):
        _refusal(edge)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("MALFORMED") == 1


# ---- subscribers ------------------------------------------------------------------------------


def test_a_fetch_that_waits_is_answered_on_arrival(edge: Peer, central: Peer) -> None:
    """A long poll is answered when a record that matches comes, long before its time is over."""
    central.send(FetchMessage(since=0, wait_ms=60_000))
    assert central.parts(wait_ms=300) is None
    edge.deliver(report(1, Decision.CLEAR), report(2, scan_type=ScanType.NON_OPERATIONAL))
    assert central.parts(wait_ms=300) is None
    edge.deliver(report(3))
    parts = central.parts()
    assert parts is not None
    answer = decode_to_subscriber(parts).message
    assert isinstance(answer, ArchivedMessage)
    assert [item.report for item in answer.items] == [report(3)]
    assert answer.next == 3


def test_a_fetch_that_waits_in_vain_is_answered_in_time(edge: Peer, central: Peer) -> None:
    """After `wait_ms` an empty answer comes, whose cursor is past what did not match."""
    edge.deliver(report(1, Decision.CLEAR))
    began = time.monotonic()
    central.send(FetchMessage(since=0, wait_ms=400))
    parts = central.parts()
    assert parts is not None
    assert 0.35 <= time.monotonic() - began < 3
    assert decode_to_subscriber(parts).message == ArchivedMessage(items=(), next=1)


def test_a_new_fetch_replaces_the_waiting_one(edge: Peer, central: Peer) -> None:
    """A peer has one fetch waiting: the newest is answered, the earlier one never."""
    central.send(FetchMessage(since=0, wait_ms=60_000))
    central.send(FetchMessage(since=0, wait_ms=60_000, decisions=(Decision.CLEAR,)))
    assert central.parts(wait_ms=200) is None
    edge.deliver(report(1), report(2, Decision.CLEAR))
    parts = central.parts()
    assert parts is not None
    answer = decode_to_subscriber(parts).message
    assert isinstance(answer, ArchivedMessage)
    assert [item.report for item in answer.items] == [report(2, Decision.CLEAR)]
    assert central.parts(wait_ms=200) is None


def test_an_answered_fetch_ends_the_waiting_one(edge: Peer, central: Peer) -> None:
    """A fetch that is answered at once also ends the one that waited: nothing comes unasked later."""
    central.send(FetchMessage(since=0, wait_ms=60_000))
    central.send(FetchMessage(since=0, wait_ms=0))
    assert central.parts() is not None
    edge.deliver(report(1))
    assert central.parts(wait_ms=200) is None


def test_too_many_waiting_fetches_are_refused(
    tmp_path: Path, connect: Callable[[str], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit a fetch is refused as OVERLOAD instead of being kept without bound."""
    monkeypatch.setattr("nii_edge.collector.server.MAX_WAITING", 2)
    started = Running(tmp_path / "b.db")
    try:
        peers = [connect(started.subscribers) for _ in range(3)]
        for peer in peers:
            peer.send(FetchMessage(since=0, wait_ms=60_000))
            assert peer.parts(wait_ms=200) is None or peer is peers[-1]
        with Subscriber(started.subscribers, timeout_s=5) as alerts:
            assert alerts.fetch_once() == ()
    finally:
        started.stop()
    assert started.collector.refused[Reason.OVERLOAD] == 1


def test_a_number_beyond_the_archive_is_refused(running: Running, edge: Peer) -> None:
    """A subscriber that comes with another archive's number is told, instead of missing records."""
    edge.deliver(report(1))
    with Subscriber(running.subscribers, since=5, timeout_s=5) as alerts:
        with pytest.raises(WireError, match="the last is 1") as caught:
            alerts.fetch_once()
        assert caught.value.reason is Reason.NOT_ARCHIVED


def test_an_unknown_picture_is_refused(central: Peer) -> None:
    """A picture that is not there is refused as NOT_ARCHIVED."""
    central.send(FetchPreviewMessage(sha256="cd" * 32))
    parts = central.parts()
    assert parts is not None
    answer = decode_to_subscriber(parts).message
    assert isinstance(answer, RefusedMessage)
    assert answer.reason is Reason.NOT_ARCHIVED


def test_a_peer_that_is_gone_stops_nobody(running: Running, edge: Peer) -> None:
    """When a waiting subscriber and a sending edge are gone, their answers are dropped and counted."""
    lost = Peer(running.subscribers)
    lost.send(FetchMessage(since=0, wait_ms=60_000))
    assert lost.parts(wait_ms=200) is None
    lost.close()
    deadline = time.monotonic() + 10
    seq = 0
    while running.collector.unsent == 0 and time.monotonic() < deadline:
        seq += 1
        edge.deliver(report(seq))
    assert running.collector.unsent == 1
    assert edge.deliver(report(1000)) == [report(1000).alert_id]


def test_a_peer_that_does_not_read_stops_nobody(running: Running, edge: Peer, central: Peer) -> None:
    """A subscriber that asks and never reads is dropped at its limit; edges are served meanwhile."""
    edge.deliver(*(report(seq, detail="x" * 10_000) for seq in range(1, 21)))
    for _ in range(6_000):
        central.send(FetchMessage(since=0, limit=20))
    assert edge.deliver(report(99)) == [report(99).alert_id]
    deadline = time.monotonic() + 30
    while running.collector.unsent == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.collector.unsent > 0
    assert edge.deliver(report(100)) == [report(100).alert_id]


# ---- the subscriber's side --------------------------------------------------------------------


def test_follow_from_the_middle(running: Running, edge: Peer) -> None:
    """With `since` a subscriber begins after that number; what did not match does not come."""
    edge.deliver(report(1), report(2), report(3, Decision.CLEAR), report(4), report(5, Decision.UNKNOWN))
    with Subscriber(running.subscribers, since=1, timeout_s=5) as alerts:
        follow = alerts.follow(wait_ms=100)
        assert [next(follow).number for _ in range(3)] == [2, 4, 5]
        assert alerts.since == 5
    with Subscriber(running.subscribers, since=2, decisions=(), timeout_s=5) as alerts:
        assert [item.number for item in alerts.fetch_once()] == [3, 4, 5]


def test_a_damaged_record_keeps_back_only_itself(tmp_path: Path) -> None:
    """A subscriber gets all that is before it, is told its number, and can go on behind it."""
    archive = SqliteArchive(tmp_path / "a.db")
    archive.store([report(seq) for seq in (1, 2, 3, 4)], 1)
    archive.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as db, db:
        db.execute("UPDATE records SET crc32 = crc32 + 1 WHERE number = 3")
    running = Running(tmp_path / "a.db")
    got: list[int] = []
    try:
        with Subscriber(running.subscribers, timeout_s=5) as subscriber:
            with pytest.raises(WireError, match=r"record 3 is damaged; .* since 3"):
                got.extend(item.number for item in subscriber.follow(0))
            assert (got, subscriber.since) == ([1, 2], 2)
        with Subscriber(running.subscribers, since=3, timeout_s=5) as subscriber:
            assert [item.number for item in subscriber.fetch_once()] == [4]
    finally:
        running.stop()


def test_leaving_follow_neither_skips_nor_repeats(running: Running, edge: Peer) -> None:
    """After leaving `follow` in the middle of a page, following again goes on with the next record."""
    edge.deliver(*(report(seq) for seq in range(1, 8)))
    with Subscriber(running.subscribers, timeout_s=5) as alerts:
        seen = []
        for _ in range(3):
            follow = alerts.follow(wait_ms=100)
            seen += [next(follow).number, next(follow).number]
            follow.close()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_subscriber_survives_restarts_of_the_collector(tmp_path: Path) -> None:
    """Over three restarts on the same ports, a following subscriber sees every record once, in order."""
    started = Running(tmp_path / "a.db")
    edges, subscribers = started.edges, started.subscribers
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        with Subscriber(subscribers, timeout_s=20) as alerts:
            for item in alerts.follow(wait_ms=2_000):
                assert item.report is not None
                seen.append(item.report.verdict.id.seq)
                if item.report.verdict.id.seq == 400:
                    break
        done.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    peer = Peer(edges)
    try:
        for round_ in range(4):
            peer.deliver(*(report(100 * round_ + seq) for seq in range(1, 101)))
            if round_ < 3:
                started.stop()
                time.sleep(0.2)
                started = Running(tmp_path / "a.db", edges, subscribers)
        assert done.wait(30)
    finally:
        peer.close()
        thread.join(30)
        started.stop()
    assert seen == list(range(1, 401))


def test_a_subscriber_may_start_first(tmp_path: Path) -> None:
    """A subscriber that asks before there is a collector gets its answer when there is one."""
    started = Running(tmp_path / "a.db")
    edges, subscribers = started.edges, started.subscribers
    started.stop()
    got: list[int] = []

    def ask() -> None:
        with Subscriber(subscribers, timeout_s=20) as alerts:
            got.append(next(alerts.follow(wait_ms=1_000)).number)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    time.sleep(0.3)
    started = Running(tmp_path / "a.db", edges, subscribers)
    peer = Peer(edges)
    try:
        peer.deliver(report(1))
        thread.join(20)
        assert got == [1]
    finally:
        peer.close()
        started.stop()


def test_a_silent_collector_times_out_only_if_asked(tmp_path: Path) -> None:
    """With `timeout_s` the silence of a collector is a TimeoutError that names it."""
    with (
        Subscriber(f"ipc://{tmp_path}/nobody", timeout_s=0.3) as alerts,
        pytest.raises(TimeoutError, match=r"nobody in 0\.3 s"),
    ):
        alerts.fetch_once()


def test_a_forged_picture_is_refused_by_the_subscriber(tmp_path: Path) -> None:
    """A picture whose bytes do not hash to the number asked for never reaches the caller."""
    context = transport.new_context()
    router = transport.bind(context, zmq.ROUTER, ANYWHERE, LIMITS)

    def forge() -> None:
        peer, _ = router.recv_multipart()
        message = PreviewMessage(sha256="ab" * 32, media_type="image/png")
        transport.send(router, peer, [encode(message), b"forged"])

    thread = threading.Thread(target=forge, daemon=True)
    thread.start()
    try:
        with (
            Subscriber(transport.bound_endpoint(router), timeout_s=5) as alerts,
            pytest.raises(WireError, match="came with SHA-256"),
        ):
            alerts.preview("ab" * 32)
    finally:
        thread.join(5)
        router.close()
        context.term()


# ---- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_an_address_in_use_is_named(scheme: str, tmp_path: Path) -> None:
    """Binding where another daemon listens is refused by name, over ipc too, and leaves it at work."""
    edges = ANYWHERE if scheme == "tcp" else f"ipc://{tmp_path}/edges"
    started = Running(tmp_path / "a.db", edges=edges)
    try:
        with pytest.raises(ConfigError, match=f"{started.edges}: address in use"):
            Running(tmp_path / "b.db", edges=started.edges)
        peer = Peer(started.edges)
        try:
            assert peer.deliver(report(1)) == [report(1).alert_id]
        finally:
            peer.close()
    finally:
        started.stop()


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:99999", "tcp://nowhere", "ipc:///no/such/folder/x"])
def test_an_address_that_cannot_be_bound_is_named(endpoint: str, tmp_path: Path) -> None:
    """An endpoint that is no address here is a ConfigError that names it."""
    context = transport.new_context()
    try:
        with pytest.raises(ConfigError, match=endpoint):
            transport.bind(context, zmq.ROUTER, endpoint, LIMITS)
    finally:
        context.term()


def test_every_limit_is_set(tmp_path: Path) -> None:
    """No socket is left with libzmq's boundless defaults, nor with the heartbeat that can abort it."""
    context = transport.new_context()
    limits = transport.Limits(max_part_bytes=123, queue=7)
    made = transport.bind(context, zmq.ROUTER, ANYWHERE, limits)
    found = {
        name: made.getsockopt(getattr(zmq, name))
        for name in ("MAXMSGSIZE", "RCVHWM", "SNDHWM", "HANDSHAKE_IVL", "LINGER", "HEARTBEAT_IVL")
    }
    keepalive = made.getsockopt(zmq.TCP_KEEPALIVE), made.getsockopt(zmq.TCP_MAXRT)
    made.close()
    context.term()
    assert found == {
        "MAXMSGSIZE": 123, "RCVHWM": 7, "SNDHWM": 7, "HANDSHAKE_IVL": 2_000, "LINGER": 1_000,
        "HEARTBEAT_IVL": 0,
    }  # fmt: skip
    assert keepalive == (1, 9_000)


def test_ports_are_known_before_running(tmp_path: Path) -> None:
    """A collector on wildcard ports tells its real endpoints at once, and can be closed without running."""
    archive = SqliteArchive(tmp_path / "a.db")
    config = CollectorConfig(version=1, archive="a.db", edges=ANYWHERE, subscribers="tcp://127.0.0.1:0")
    collector = Collector(config, archive, RealClock())
    ports = [int(endpoint.rsplit(":", 1)[1]) for endpoint in collector.endpoints]
    assert all(port > 0 for port in ports)
    assert ports[0] != ports[1]
    collector.close()
    collector.close()
    archive.close()

"""The edge's side of pushed manifests: real sockets, ledger and stores; the centre is a script."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from harness import until

from nii_edge.adapters import zmq_transport as transport
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.adapters.zmq_uplink import ZmqUplink
from nii_edge.edge import manifests
from nii_edge.edge.committer import Committer
from nii_edge.edge.manifests import ManifestPull
from nii_edge.edge.uplink import Uplink
from nii_edge.manifest_pages import pack
from nii_edge.papers import HouseBill, PaperProblem, Papers
from nii_edge.ports import Conclude, Intend, PaperRow, Place
from nii_edge.records import Decision, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import (
    FetchManifestsMessage,
    ManifestsMessage,
    Message,
    ReceiptMessage,
    RefusedMessage,
    ReportMessage,
    ToCollector,
    decode_to_collector,
    encode,
)

REFUSED = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
STORE, OTHER = "a" * 32, "b" * 32
LIMITS = transport.Limits(max_part_bytes=1 << 20, linger_ms=0)


def rows(first: int, *names: str) -> list[PaperRow]:
    return [
        PaperRow(number, name, "M", msgspec.msgpack.encode(Papers(barcode=name, master_bill="M")))
        for number, name in enumerate(names, first)
    ]


class Centre:
    """A ROUTER that says what a test tells it to."""

    def __init__(self) -> None:
        self._context = transport.new_context()
        self._router = transport.bind(self._context, zmq.ROUTER, "tcp://127.0.0.1:*", LIMITS)
        self.endpoint = transport.bound_endpoint(self._router)
        self._peer = b""

    def hear(self) -> ToCollector:
        assert self._router.poll(20_000), "the edge says nothing"
        incoming = transport.receive(self._router)
        assert incoming is not None
        self._peer = incoming.peer
        return decode_to_collector(incoming.parts).message

    def asked(self) -> FetchManifestsMessage:
        """The next question; reports before it are receipted."""
        while not isinstance(heard := self.hear(), FetchManifestsMessage):
            assert isinstance(heard, ReportMessage)
            self.say(ReceiptMessage(ids=(heard.report.alert_id,)))
        return heard

    def receipt(self, report: Report) -> None:
        """Hear a report, which comes next, and say so."""
        assert self.hear() == ReportMessage(report=report)
        self.say(ReceiptMessage(ids=(report.alert_id,)))

    def say(self, message: Message, payload: bytes = b"") -> None:
        assert transport.send(self._router, self._peer, [encode(message), payload])

    def give(
        self,
        ask: int,
        sent: list[PaperRow],
        store: str = STORE,
        last: int | None = None,
    ) -> None:
        """A whole page."""
        payload = pack(sent)
        end = sent[-1].number
        self.say(
            ManifestsMessage(
                ask=ask, store=store, next=end, last=end if last is None else last, crc32=zlib.crc32(payload)
            ),
            payload,
        )

    def silent(self) -> bool:
        return not self._router.poll(0)

    def close(self) -> None:
        self._router.close()
        self._context.term()


class Edge:
    """Ledger, uplink and pull of one edge."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.path = folder / "manifests.db"
        ManifestStore(self.path).close()
        self.metrics = Metrics()
        self.failures: list[BaseException] = []
        clock = SystemClock()
        self._context = transport.new_context()
        self.committer = Committer(lambda: SqliteLedger(folder / "ledger.db", "e"), self.failures.append)
        self.committer.start()
        self.pull = ManifestPull(lambda: ManifestStore(self.path), clock, self.metrics, self.failures.append)
        self.uplink = Uplink(
            lambda: ZmqUplink(self._context, endpoint), self.committer, clock, self.metrics,
            self.failures.append, self.pull,
        )  # fmt: skip
        self.pull.connect(self.uplink.nudge)

    def start(self) -> None:
        self.uplink.start()
        self.pull.start()

    def report(self, seq: int) -> Report:
        """Put a report on disk and say so."""
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
        verdict = Verdict(id=scan, scan_type=ScanType.OPERATIONAL, decision=Decision.ALARM)
        report = Report(
            alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=1,
            decided_at_ns=2,
        )  # fmt: skip
        self.committer.write(Intend(scan, ScanType.OPERATIONAL, 1))
        self.committer.write(Conclude(report, None), then=self.uplink.nudge)
        return report

    def pending(self) -> int:
        stats = self.committer.answer(lambda ledger: ledger.stats())
        return int(stats.pending + stats.parked)

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("nii_edge_manifests_total", {"result": result}) or 0.0

    def stored(self) -> tuple[int, int]:
        with closing(ManifestReader(self.path)) as reader:
            return reader.counts()

    def place(self) -> Place | None:
        with closing(ManifestStore(self.path)) as store:
            return store.place()

    def stop(self) -> None:
        self.pull.stop()
        self.uplink.stop()
        self.committer.close()
        self._context.term()
        assert self.failures == []


@pytest.fixture
def centre() -> Iterator[Centre]:
    made = Centre()
    yield made
    made.close()


@pytest.fixture
def edge(tmp_path: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    monkeypatch.setattr(manifests, "ASK_EVERY_S", 0.05)
    made = Edge(tmp_path, centre.endpoint)
    made.start()
    yield made
    made.stop()


def test_page_after_page_is_taken_and_the_place_with_it(centre: Centre, edge: Edge, tmp_path: Path) -> None:
    """The next question says where the last page ended; after a restart, too."""
    first = centre.asked()
    assert (first.store, first.since) == (None, 0)
    centre.give(first.ask, rows(1, "A", "B"), last=3)
    second = centre.asked()
    assert (second.store, second.since) == (STORE, 2)
    assert edge.stored() == (2, 1)
    assert edge.pull.report == manifests.PullReport(taken=2, last=3)
    centre.give(second.ask, rows(3, "C"))
    third = centre.asked()
    assert (third.store, third.since) == (STORE, 3)
    edge.pull.stop()
    assert edge.place() == Place(STORE, 3)
    assert [edge.count(kind) for kind in ("new", "refused", "damaged", "failed")] == [3, 0, 0, 0]
    edge.pull = ManifestPull(lambda: ManifestStore(edge.path), SystemClock(), edge.metrics)
    edge.uplink._pull = edge.pull
    edge.pull.connect(edge.uplink.nudge)
    edge.pull.start()
    fresh = centre.asked()
    assert (fresh.store, fresh.since) == (STORE, 3)


def test_papers_that_are_refused_are_named_counted_and_passed_over(centre: Centre, edge: Edge) -> None:
    """A damaged and a hostile carton among good ones; reports go on beside it."""
    hostile = Papers(barcode="H", house_bills=(HouseBill(shipper="Ann Sender"),))
    sent = rows(1, "A", "X", "H", "B")
    sent[1] = sent[1]._replace(papers=b"\xff\x00")
    sent[2] = sent[2]._replace(papers=msgspec.msgpack.encode(hostile))
    centre.give(centre.asked().ask, sent)
    assert centre.asked().since == 4
    with closing(ManifestReader(edge.path)) as reader:
        assert [reader.find(name) is not None for name in "AXHB"] == [True, False, True, True]
        assert reader.find("H") == Papers(barcode="H", problems=REFUSED)
    assert [edge.count(kind) for kind in ("new", "refused", "damaged")] == [3, 2, 0]
    assert edge.pull.report.refused == 2
    centre.receipt(edge.report(1))
    until(lambda: edge.pending() == 0)


@pytest.mark.parametrize(
    "change",
    [
        {"gross_kg": -1.0},
        {"problems": ["A_PROBLEM_OF_TOMORROW"]},
        {"house_bills": [{"shipper": "Ann Sender"}]},
        {"house_bills": 5},
        {"barcode": " A "},
        {"master_bill": 5},
    ],
)
def test_refused_papers_leave_no_older_ones_in_force(
    centre: Centre, edge: Edge, change: dict[str, Any]
) -> None:
    """The centre changed a carton and the edge cannot use the change: what it had of it counts no more, until
    the centre has sent something that it can use."""
    bill = HouseBill(number="H1", packages=1)
    old = Papers(barcode="A", master_bill="M", gross_kg=30.0, house_bills=(bill,))
    sent = [PaperRow(1, "A", "M", msgspec.msgpack.encode(old))]
    centre.give(centre.asked().ask, sent)
    bad = {**msgspec.to_builtins(old), **change}
    asked = centre.asked()
    with closing(ManifestReader(edge.path)) as reader:
        assert reader.find("A") == old
        centre.give(asked.ask, [PaperRow(2, "A", "M", msgspec.msgpack.encode(bad))])
        asked = centre.asked()
        assert asked.since == 2
        assert reader.find("A") == Papers(barcode="A", master_bill="M", problems=REFUSED)
        assert edge.pull.report.refused == 1
        centre.give(asked.ask, [PaperRow(3, "A", "M", sent[0].papers)])
        assert centre.asked().since == 3
        assert reader.find("A") == old


Spoil = Callable[[ManifestsMessage, bytes], tuple[ManifestsMessage, bytes]]
replace = msgspec.structs.replace


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message, payload: (message, payload[:-1]),
        lambda message, _: (message, b""),
        lambda message, payload: (replace(message, next=9), payload),
        lambda message, payload: (replace(message, last=0), payload),
        lambda message, _: (replace(message, crc32=zlib.crc32(b"hostile")), b"hostile"),
    ],
    ids=["cut off", "nothing", "another end", "an end beyond the last", "not compressed"],
)
def test_a_page_that_is_refused_leaves_nothing_and_is_asked_for_again(
    centre: Centre, edge: Edge, spoil: Spoil
) -> None:
    """Counted and shown, until a whole one comes; the report meanwhile has its receipt."""
    ask = centre.asked().ask
    payload = pack(rows(1, "A", "B"))
    whole = ManifestsMessage(ask=ask, store=STORE, next=2, last=2, crc32=zlib.crc32(payload))
    centre.say(*spoil(whole, payload))
    edge.report(1)
    again = centre.asked()
    assert (again.store, again.since) == (None, 0)
    assert edge.stored() == (0, 0)
    assert edge.count("damaged") == 1
    assert "refused" in edge.pull.report.problem
    until(lambda: edge.pending() == 0)
    centre.give(again.ask, rows(1, "A", "B"))
    centre.asked()
    assert edge.stored() == (2, 1)
    assert edge.pull.report.problem == ""


def test_no_question_while_a_report_waits_for_its_receipt(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports come first; manifests when the last of them has its receipt."""
    edge = Edge(tmp_path, centre.endpoint)
    report = edge.report(1)
    until(lambda: edge.pending() == 1)
    edge.start()
    heard = centre.hear()
    assert heard == ReportMessage(report=report)
    until(lambda: edge.pull.wanted is not None)
    second = edge.report(2)
    assert centre.hear() == ReportMessage(report=second)
    assert centre.silent()
    centre.say(ReceiptMessage(ids=(report.alert_id,)))
    until(lambda: edge.pending() == 1)
    assert centre.silent()
    centre.say(ReceiptMessage(ids=(second.alert_id,)))
    assert isinstance(centre.hear(), FetchManifestsMessage)
    edge.stop()


def test_what_was_not_asked_for_is_dropped(centre: Centre, edge: Edge) -> None:
    """A page under another number, and the same page a second time."""
    ask = centre.asked().ask
    centre.give(ask + 1, rows(1, "X"))
    centre.give(ask, rows(1, "A"))
    centre.give(ask, rows(1, "Y"))
    assert centre.asked().since == 1
    with closing(ManifestReader(edge.path)) as reader:
        assert [reader.find(name) is not None for name in "XAY"] == [False, True, False]


def test_another_store_or_an_older_state_of_it_is_taken_from_the_beginning(
    centre: Centre, edge: Edge
) -> None:
    """What was taken before stays; the same cartons are the same."""
    centre.give(centre.asked().ask, rows(1, "A", "B"))
    centre.give(centre.asked().ask, rows(1, "A", "C"), store=OTHER)
    ask = centre.asked()
    assert (ask.store, ask.since) == (OTHER, 2)
    centre.give(ask.ask, rows(1, "A"), store=OTHER)
    ask = centre.asked()
    assert (ask.store, ask.since) == (OTHER, 1)
    assert edge.stored() == (3, 1)
    assert [edge.count(kind) for kind in ("new", "same", "amended")] == [3, 2, 0]


def test_a_collector_that_does_not_know_the_question_does_no_harm(centre: Centre, edge: Edge) -> None:
    """It refuses what it cannot read, naming no record: nothing is parked, and reports are receipted."""
    centre.asked()
    centre.say(RefusedMessage(reason=Reason.MALFORMED, detail="bad 'fetch_manifests' message"))
    centre.receipt(edge.report(1))
    until(lambda: edge.pending() == 0)
    assert edge.pull.report == manifests.PullReport()


def test_a_collector_without_manifests_is_asked_again_later(centre: Centre, edge: Edge) -> None:
    """It may have some by then."""
    centre.say(ManifestsMessage(ask=centre.asked().ask))
    again = centre.asked()
    assert edge.pull.report == manifests.PullReport()
    centre.give(again.ask, rows(1, "A"))
    centre.asked()
    assert edge.stored() == (1, 1)


def test_a_question_without_an_answer_is_asked_again(
    centre: Centre, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first, when it comes after all, is dropped."""
    monkeypatch.setattr(manifests, "ANSWER_S", 0.0)
    first = centre.asked()
    second = centre.asked()
    assert second.ask > first.ask
    monkeypatch.setattr(manifests, "ANSWER_S", 30.0)
    centre.give(first.ask, rows(1, "X"))
    while edge.stored() != (1, 1):
        centre.give(second.ask, rows(1, "A"))
        second = centre.asked()
    with closing(ManifestReader(edge.path)) as reader:
        assert reader.find("X") is None


def test_a_store_that_cannot_be_written_is_told_of_and_tried_again(centre: Centre, edge: Edge) -> None:
    """Nothing of the page is kept then, reports go on, and once it can be written the page comes again."""
    with closing(sqlite3.connect(edge.path)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON cartons BEGIN SELECT RAISE(ABORT, 'the disk says no'); END"
        )
        centre.give(centre.asked().ask, rows(1, "A"))
        again = centre.asked()
        assert (again.store, again.since) == (None, 0)
        assert "the disk says no" in edge.pull.report.problem
        assert edge.count("failed") == 1
        centre.receipt(edge.report(1))
        until(lambda: edge.pending() == 0)
        other.execute("DROP TRIGGER no")
    centre.give(again.ask, rows(1, "A"))
    assert centre.asked().since == 1
    assert edge.stored() == (1, 1)
    assert edge.pull.report.problem == ""

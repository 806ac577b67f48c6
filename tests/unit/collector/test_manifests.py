"""Manifests from a real collector: real sockets on the loopback, a real store that imports write."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq

from nii_edge.adapters import zmq_transport as transport
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.collector.server import Collector
from nii_edge.config import CollectorConfig
from nii_edge.manifest_pages import Entry, checked, shortened, unpack
from nii_edge.papers import HouseBill, Line, PaperProblem, Papers
from nii_edge.records import Gap, Reason
from nii_edge.wire import (
    FetchManifestsMessage,
    FromCollector,
    GapMessage,
    ManifestsMessage,
    Message,
    ReceiptMessage,
    Received,
    RefusedMessage,
    decode_from_collector,
    encode,
)

ANYWHERE = "tcp://127.0.0.1:*"
LIMITS = transport.Limits(max_part_bytes=256 * 1024, linger_ms=0)
GAP = Gap(edge="e", scanner="s", epoch=1, first=2, last=3, noticed_at_ns=9)


def carton(name: str, words: int = 0) -> Papers:
    """Papers that compress badly, of some `words`."""
    rng = random.Random(name)
    text = [rng.randbytes(200).hex() for _ in range(words)]
    return Papers(
        barcode=name,
        master_bill="M",
        house_bills=(HouseBill(lines=tuple(Line(description=words) for words in text)),),
    )


def store(path: Path, *every: Papers) -> None:
    with closing(ManifestStore(path)) as writer:
        writer.put(every)


class Edge:
    """The bare other end of a collector in a thread."""

    def __init__(self, folder: Path, manifests: Path | None, run: bool = True) -> None:
        config = CollectorConfig(version=1, archive="", edges=ANYWHERE, subscribers=ANYWHERE)
        self.archive = SqliteArchive(folder / "archive.db")
        self._reader = None
        if manifests is not None:
            store(manifests)
            self._reader = ManifestReader(manifests)
        self.collector = Collector(config, self.archive, SystemClock(), None, self._reader)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.collector.run, args=(self._stop,))
        if run:
            self._thread.start()
        self._context = transport.new_context()
        self.socket = transport.connect(self._context, zmq.DEALER, self.collector.endpoints.edges, LIMITS)
        self.socket.setsockopt(zmq.SNDTIMEO, 10_000)

    def send(self, message: Message) -> None:
        self.socket.send_multipart([encode(message)])

    def hear(self) -> Received[FromCollector]:
        assert self.socket.poll(10_000), "the collector did not answer"
        return decode_from_collector(self.socket.recv_multipart())

    def ask(self, at: ManifestsMessage | None) -> tuple[ManifestsMessage, list[Entry]]:
        """The page after another; its numbers are looked at as an edge would."""
        since = 0 if at is None else at.next
        self.send(FetchManifestsMessage(ask=7, store=None if at is None else at.store, since=since))
        message, payload = self.hear()
        assert isinstance(message, ManifestsMessage)
        assert message.ask == 7
        return message, unpack(message, payload, since if message.next >= since else 0)

    def close(self) -> None:
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
        self.collector.close()
        self.archive.close()
        if self._reader is not None:
            self._reader.close()
        self.socket.close()
        self._context.term()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifests.db"


@pytest.fixture
def edge(tmp_path: Path, path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path, path)
    yield made
    made.close()


def names(entries: list[Entry]) -> list[str]:
    return [checked(entry.papers).barcode for entry in entries]


def test_what_is_imported_is_told_page_by_page_each_carton_once(edge: Edge, path: Path) -> None:
    """More than one page, in the order of import, and nothing more after that."""
    empty, entries = edge.ask(None)
    assert (empty.next, empty.last, entries) == (0, 0, [])
    cartons = [carton(f"B{k}", words=1 + k % 40) for k in range(100)]
    store(path, *cartons)
    told: list[Papers] = []
    pages, at = 0, empty
    while not pages or at.next < at.last:
        at, entries = edge.ask(at)
        told += [checked(entry.papers) for entry in entries]
        pages += 1
    assert told == cartons
    assert pages > 2
    again, entries = edge.ask(at)
    assert (again.store, again.next, again.last, entries) == (at.store, at.next, at.last, [])


def test_a_correction_comes_to_those_who_have_it_and_once_to_those_who_have_not(
    edge: Edge, path: Path
) -> None:
    """An edge that was away gets the last state alone."""
    store(path, carton("A"), carton("B"))
    at, _ = edge.ask(None)
    store(path, carton("A", words=1))
    later, entries = edge.ask(at)
    assert [checked(entry.papers) for entry in entries] == [carton("A", words=1)]
    assert later.next == later.last == 3
    _, entries = edge.ask(None)
    assert names(entries) == ["B", "A"]


def test_who_comes_from_another_store_or_a_later_state_begins_anew(edge: Edge, path: Path) -> None:
    """So that an archive put back from a copy, or a new one, leaves nothing out."""
    store(path, carton("A"), carton("B"))
    at, _ = edge.ask(None)
    for place in (
        ManifestsMessage(ask=0, store="0" * 32, next=1),
        ManifestsMessage(ask=0, store=at.store, next=3),
    ):
        edge.send(FetchManifestsMessage(ask=1, store=place.store, since=place.next))
        message, payload = edge.hear()
        assert isinstance(message, ManifestsMessage)
        assert (message.store, names(unpack(message, payload, 0))) == (at.store, ["A", "B"])


def test_a_carton_too_large_for_the_line_comes_in_part_and_holds_nothing_up(edge: Edge, path: Path) -> None:
    """Its last lines are left out, and that speaks against it; the next carton comes."""
    store(path, carton("LARGE", words=1_500), carton("B"))
    at, (large,) = edge.ask(None)
    papers = checked(large.papers)
    assert papers == shortened(carton("LARGE", words=1_500))
    assert 300 < len(papers.lines) < 1_500
    assert papers.problems == (PaperProblem.TOO_MANY,)
    _, entries = edge.ask(at)
    assert names(entries) == ["B"]


def test_a_collector_without_manifests_says_so(tmp_path: Path) -> None:
    """And archives as ever."""
    edge = Edge(tmp_path, None)
    edge.send(FetchManifestsMessage(ask=3))
    assert edge.hear() == (ManifestsMessage(ask=3), b"")
    edge.send(GapMessage(gap=GAP))
    assert edge.hear().message == ReceiptMessage(ids=(GAP.alert_id,))
    edge.close()


def test_receipts_come_before_manifests(tmp_path: Path, path: Path) -> None:
    """What is heard together is answered in this order, whatever order it was sent in."""
    edge = Edge(tmp_path, path, run=False)
    store(path, carton("A"))
    edge.send(FetchManifestsMessage(ask=4))
    edge.send(GapMessage(gap=GAP))
    while not edge.archive.counts().gaps:  # the question came before it
        edge.collector._hear_edges()
    assert edge.hear().message == ReceiptMessage(ids=(GAP.alert_id,))
    assert not edge.socket.poll(0)
    edge.collector._give_manifests()
    assert isinstance(edge.hear().message, ManifestsMessage)
    edge.close()


def test_many_questions_of_one_edge_get_one_answer_a_turn(edge: Edge, path: Path) -> None:
    """The newest is answered; the last of all always is."""
    store(path, carton("A"))
    for ask in range(200):
        edge.send(FetchManifestsMessage(ask=ask))
    answered = []
    while not answered or answered[-1] != 199:
        message = edge.hear().message
        assert isinstance(message, ManifestsMessage)
        answered.append(message.ask)
    assert answered == sorted(set(answered))


def test_a_damaged_store_is_told_of_and_reports_go_on(edge: Edge, path: Path) -> None:
    """The question is refused without an id, so that no record is taken for refused."""
    store(path, *[carton(f"B{k}", words=5) for k in range(50)])
    whole = path.read_bytes()
    path.write_bytes(whole[:4_096] + b"no database " * (len(whole) // 12))
    edge.send(FetchManifestsMessage(ask=1))
    refused = edge.hear().message
    assert isinstance(refused, RefusedMessage)
    assert (refused.reason, refused.alert_id) == (Reason.NOT_ARCHIVED, None)
    edge.send(GapMessage(gap=GAP))
    assert edge.hear().message == ReceiptMessage(ids=(GAP.alert_id,))


def test_papers_damaged_in_the_store_are_sent_as_a_mark_on_their_carton(edge: Edge, path: Path) -> None:
    """They spoil no others, and the edge hears which carton it is that they are of."""
    store(path, carton("A"), carton("B"), carton("C"))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE cartons SET papers = x'ff00' WHERE barcode = 'B'")
    _, entries = edge.ask(None)
    problems = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
    damaged = Papers(barcode="B", master_bill="M", problems=problems)
    assert [checked(entry.papers) for entry in entries] == [carton("A"), damaged, carton("C")]

"""A poisoned consignment at a real daemon: the first cartons are the bad ones, and are called back."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zmq
from cartons import SCANNER, calibrated_lane, consignment
from harness import Process, Site, command, until

from nii_edge import wire
from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.client import Picture, ScannerClient
from nii_edge.papers import Papers
from nii_edge.record import Tap
from nii_edge.records import Decision, Frame, Report
from nii_edge.subscriber import Subscriber
from nii_edge.wire import Archived, RecallMessage

BAD, GOOD = 2, 5
"""Cartons with a block of metal in them come first, as many honest ones as this follow."""
BILL = "777-00000001"


def barcode(number: int) -> str:
    return f"{BILL}-{number:03d}"


def papers(folder: Path) -> Path:
    """Everything of the master bill, as the simulated carton it is made of was declared."""
    (own,) = {papers.house_bills[0].lines[0] for papers in consignment().papers[:1]}
    first: Papers = consignment().papers[0]
    path = folder / "today.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["barcode", "master_bill", "carton", "house_bill", "packages", "shipper", "consignee", "hs_code",
             "description", "quantity", "weight_kg", "value_usd", "origin", "gross_kg"]
        )  # fmt: skip
        for number in range(1, BAD + GOOD + 1):
            writer.writerow(
                [barcode(number), BILL, number, "H1", 1, "A", "B", own.hs_code, own.description,
                 own.quantity, own.weight_kg, own.value_usd, own.origin or "CN", first.gross_kg]
            )  # fmt: skip
    return path


def with_metal(frame: Frame) -> np.ndarray:
    """In the middle of the carton a block that lets a third of the harder rays through."""
    pixels = frame.pixels.copy()
    low = pixels[:, :, 0]
    inside = low < 0.9 * np.median(low[:, :20])
    rows, columns = np.flatnonzero(inside.sum(axis=1) > 5), np.flatnonzero(inside.sum(axis=0) > 5)
    block = tuple(
        slice(int(0.65 * on[0] + 0.35 * on[-1]), int(0.35 * on[0] + 0.65 * on[-1])) for on in (rows, columns)
    )
    pixels[block] = (pixels[block] * np.array([0.25, 0.35])).astype(np.uint16)
    return pixels


def pictures(number: int) -> list[Picture]:
    """Views of carton `number`, from 1."""
    frames = consignment().frames[number % 3]
    views = [with_metal(frame) if number <= BAD else frame.pixels for frame in frames]
    return [Picture(v.tobytes(), v.shape[0], v.shape[1], ("low", "high"), "uint16") for v in views]


def status(site: Site) -> str:
    done = subprocess.run(
        command("status", str(site.folder / "edge.yaml"), "--json"),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def lane(site: Site) -> dict[str, object]:
    """A daemon's configuration, with a policy that calls odd ones alarms and nothing else."""
    policy: dict[str, object] = {
        "version": 1, "name": "odd", "default_alarm_at": 1.0,
        "required_for_clear": ["shielding", "manifest", "anomaly"], "may_be_not_applicable": ["anomaly"],
        "alarms": [{"detector": "anomaly", "label": "odd_one_out", "at": 0.08}],
    }  # fmt: skip
    return calibrated_lane(site, papers(site.folder), policy)


def screen(endpoint: str) -> zmq.Socket[bytes]:
    """Whoever can still fetch a carton."""
    made = zmq.Context.instance().socket(zmq.SUB)
    made.linger = 0
    made.subscribe(b"recall/operational/")
    made.connect(endpoint)
    return made


def archived(endpoint: str, recalls: int) -> list[Archived]:
    """Everything the collector has, once it has so many recalls."""
    found: list[Archived] = []
    with Subscriber(endpoint, decisions=(), timeout_s=60) as subscriber:

        def all_there() -> bool:
            found.extend(subscriber.fetch_once(100, 200))
            return sum(item.recall is not None for item in found) == recalls

        until(all_there, 60, f"{recalls} recalls")
    return found


@pytest.mark.timeout(300)  # cartons are simulated, which takes some 20 s of one free core
def test_first_cartons_that_were_the_bad_ones_are_recalled(site: Site) -> None:
    """They pass as CLEAR, since nobody knows better yet; when enough honest ones went by each is recalled
    under an id of its own, and its verdict and the balance stay as they were."""
    collector = site.collector()
    edge = site.edge(collector, **lane(site))
    on_site = screen(edge.endpoints["verdicts"])
    recording = RecordingWriter(site.folder / "day.mcap")
    tap = Tap(edge.endpoints["tap"], edge.endpoints["verdicts"], lambda _: None)
    listening = threading.Thread(target=tap.record, args=(recording, 200.0))
    listening.start()
    with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=90) as scanner:
        answers = [
            scanner.wait(scanner.send(pictures(number), carton=barcode(number)))
            for number in range(1, BAD + GOOD + 1)
        ]
    assert [answer.decision for answer in answers[:BAD]] == [Decision.CLEAR] * BAD
    assert Decision.UNKNOWN not in {answer.decision for answer in answers}
    assert answers[-1].decision is Decision.CLEAR

    items = archived(collector.endpoints["subscribers"], BAD)
    recalls = [item.recall for item in items if item.recall is not None]
    reports = {item.report.alert_id: item.report for item in items if item.report is not None}
    assert {recall.carton for recall in recalls} == {barcode(number) for number in range(1, BAD + 1)}
    for recall in recalls:
        assert recall.alert_id not in reports
        assert reports[recall.scan.alert_id].verdict.decision is Decision.CLEAR
        assert "Unlike the" in recall.finding.why
        assert recall.finding.declared.startswith("H1: ")
        assert recall.band is not None

    assert len(edge.events("recall")) == BAD
    told = []
    while len(told) < BAD:
        assert on_site.poll(30_000), f"{len(told)} of {BAD} recalls were told on site"
        topic, head = on_site.recv_multipart()
        assert topic == f"recall/operational/{SCANNER}".encode()
        told.append(wire.decode_to_collector([head]).message)
    on_site.close()
    tap.stopped = True
    listening.join()
    tap.close()
    recording.close()
    assert tap.summary.verdicts == BAD + GOOD
    assert [message.recall for message in told if isinstance(message, RecallMessage)] == recalls
    until(
        lambda: f'"received": {BAD + GOOD}' in status(site), what="the balance"
    )  # it is renewed every second
    exported = subprocess.run(
        command("ledger", "export", str(site.folder / "edge.yaml")),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert len(exported.stdout.splitlines()) == BAD + GOOD + BAD
    assert edge.stop() == 0


def kept(site: Site) -> int:
    """Cartons in the file of them."""
    with closing(sqlite3.connect(site.edge_state / "cartons.db")) as file:
        return int(file.execute("SELECT count(*) FROM cartons").fetchone()[0])


def shown(edge: Process, numbers: Sequence[int]) -> list[Report]:
    """The reports of these cartons, one after the other."""
    with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=90) as scanner:
        answers = [scanner.wait(scanner.send(pictures(number), carton=barcode(number))) for number in numbers]
    return [answer.report for answer in answers if answer.report is not None]


def said(report: Report) -> tuple[Decision, dict[str, str]]:
    """What was decided, and what the consignment has to do with it."""
    verdict = report.verdict
    return verdict.decision, {each.label: each.why for each in verdict.findings if each.detector == "anomaly"}


@pytest.mark.timeout(300)
def test_a_kill_in_the_middle_of_a_consignment_changes_nothing(site: Site) -> None:
    """Two honest cartons before the kill, then an odd one: an ALARM as without the kill."""
    changes = lane(site)
    edge = site.edge(**changes)
    shown(edge, [3, 4])
    until(lambda: kept(site) == 2, what="two cartons on disk")
    edge.kill()
    edge = site.edge(**changes)
    (odd,) = shown(edge, [1])
    decision, words = said(odd)
    assert decision is Decision.ALARM
    assert words["odd_one_out"].startswith("Unlike the 2 cartons of its master bill before it")
    assert edge.stop() == 0


@pytest.mark.timeout(300)
def test_what_was_recalled_is_not_recalled_again_after_a_kill(site: Site) -> None:
    """The bad ones came first; one kill before enough honest ones have passed, one after."""
    changes = lane(site)
    edge = site.edge(**changes)
    shown(edge, [1, 2, 3])
    until(lambda: kept(site) == 3, what="three cartons on disk")
    edge.kill()
    edge = site.edge(**changes)
    shown(edge, [4, 5, 6])
    until(lambda: len(edge.events("recall")) == BAD, what="the recalls")
    assert {event["carton"] for event in edge.events("recall")} == {barcode(1), barcode(2)}
    until(lambda: kept(site) == 6, what="six cartons on disk")
    edge.kill()
    edge = site.edge(**changes)
    shown(edge, [7])
    assert edge.stop() == 0
    assert edge.events("recall") == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("spoil", ["damaged", "another version"])
def test_a_file_of_cartons_that_cannot_be_used_holds_nothing_up(site: Site, spoil: str) -> None:
    """Set aside, named in the log and counted; cartons get their verdicts as without it."""
    changes = lane(site)
    edge = site.edge(**changes)
    shown(edge, [3, 4])
    until(lambda: kept(site) == 2, what="two cartons on disk")
    edge.kill()
    file = site.edge_state / "cartons.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = '2' WHERE key = 'schema'")
    if spoil == "damaged":
        file.write_bytes(file.read_bytes()[:6_000] + bytes(6_000))
    edge = site.edge(**changes)
    (report,) = shown(edge, [5])
    assert said(report) == (Decision.CLEAR, {})
    (event,) = edge.events("the file of cartons is not used; begun anew")
    assert "cartons.damaged.db" in event["what"]
    until(lambda: kept(site) == 1, what="the carton in a fresh file")
    assert edge.stop() == 0

"""Threat projection over the real daemon: it is counted, and nobody else ever hears of it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import msgspec
import numpy as np
import zmq
from harness import Process, Site, command, until
from threat_library import library

from nii_edge import wire
from nii_edge.client import Answer, Picture, ScannerClient
from nii_edge.records import Decision, ScanType
from nii_edge.subscriber import Subscriber
from nii_edge.wire import Archived

SHAPE = (160, 240, 2)
KINDS = (ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL)


def carton(seed: int, plate: bool = False) -> list[Picture]:
    """Two views of a carton of even goods in air, perhaps with an impenetrable plate at its end."""
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(2):
        t = np.ones(SHAPE)
        t[16:144, 20:220] = 0.5
        if plate:
            t[60:120, 24:50] = 1e-6
        counts = rng.poisson(t * 8_000) * 6.0
        views.append(np.clip(counts, 0, 65_535).astype(np.uint16))
    return [
        Picture(v.tobytes(), height=160, width=240, channels=("low", "high"), dtype="uint16") for v in views
    ]


def get(edge: Process, path: str) -> str:
    with urlopen(edge.endpoints["health"] + path, timeout=10) as answer:  # noqa: S310
        body: str = answer.read().decode()
        return body


def tip(edge: Process) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(edge, "/status"))["tip"]
    return found


def seen(edge: Process) -> int:
    """Threats whose fate is known."""
    total = tip(edge)["total"]
    return sum(total[name] for name in ("shown", "dropped", "not_placed", "faults"))


class Heard(NamedTuple):
    """All that anybody outside heard of a run, without times."""

    verdicts: list[tuple[Decision, int]]
    published: list[tuple[bytes, bytes]]
    tapped: list[tuple[bytes, ...]]
    ledger: list[Any]
    archived: list[Archived]
    balance: list[Any]
    metrics: list[str]


def timeless(value: Any) -> Any:
    """`value` without its times."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if not key.endswith("_at_ns")}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def listen(context: zmq.Context[Any], endpoint: str) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.connect(endpoint)
    socket.subscribe(b"")
    return socket


def drain(socket: zmq.Socket[bytes]) -> list[tuple[bytes, ...]]:
    found = []
    while socket.poll(500):
        found.append(tuple(socket.recv_multipart()))
    return found


def run(folder: Path, tip_config: dict[str, Any] | None, scans: int) -> tuple[Heard, dict[str, Any] | None]:
    """A site with collector and everyone who could listen, screening `scans` cartons of each kind."""
    folder.mkdir()
    site = Site(folder)
    context: zmq.Context[Any] = zmq.Context()
    try:
        collector = site.collector()
        edge = site.edge(collector, tip=tip_config)
        topics = listen(context, edge.endpoints["verdicts"])
        tap = listen(context, edge.endpoints["tap"])
        time.sleep(0.5)
        answers = []
        for epoch, kind in enumerate(KINDS, 1):
            where = edge.endpoints["scanners"]
            # on a busy machine frames would be sent again in one run and not in the other
            once = {"deadline_s": 60.0, "resend_s": 60.0}
            with ScannerClient(where, "lane-1", epoch=epoch, scan_type=kind, **once) as scanner:
                for i in range(scans):
                    answers.append(scanner.wait(scanner.send(carton(i, plate=i % 4 == 0), carton=f"B{i}")))
                    if tip_config is not None and kind is ScanType.OPERATIONAL:
                        until(lambda n=i: seen(edge) > n, what="the projection's end")
        total = 2 * scans
        until(lambda: f'state="received"}} {scans}.0' in get(edge, "/metrics"), what="the balance")
        until(lambda: _waiting(edge) == 0, what="the collector's receipts")
        where = collector.endpoints["subscribers"]
        with Subscriber(where, decisions=(), scan_types=(), timeout_s=10) as subscriber:
            follow = subscriber.follow()
            archived = [next(follow) for _ in range(total)]
            assert subscriber.fetch_once() == ()
        exported = subprocess.run(
            command("ledger", "export", str(folder / "edge.yaml")), capture_output=True, check=True, text=True
        ).stdout
        return (
            Heard(
                verdicts=[(a.decision, a.seq) for a in answers],
                published=[(topic, _body(body)) for topic, body in drain(topics)],  # type: ignore[misc]
                tapped=[parts[2:] for parts in drain(tap)],
                ledger=[_entry(json.loads(line)) for line in exported.splitlines()],
                archived=[timeless(msgspec.to_builtins(item)) for item in archived],
                balance=json.loads(get(edge, "/status"))["balance"],
                metrics=_counted(get(edge, "/metrics")),
            ),
            tip(edge) if tip_config is not None else None,
        )
    finally:
        context.destroy(linger=0)
        site.close()


def _waiting(edge: Process) -> int:
    found: int = json.loads(get(edge, "/status"))["ledger"]["pending"]
    return found


def _body(body: bytes) -> bytes:
    message = wire.decode_to_scanner([body]).message
    return json.dumps(timeless(msgspec.to_builtins(message)), sort_keys=True).encode()


def _entry(line: list[Any]) -> Any:
    number, key, *_, record = line
    return number, key, timeless(record)


def _counted(metrics: str) -> list[str]:
    """Scans, verdicts, alarms, frames, pictures and the balance; not sums of seconds, not the projections."""
    names = ("frames_received", "scans_received", "verdicts", "alarms", "overloads", "ledger_scans",
             "previews_failed", "messages_refused", "screening_duration_seconds_count", "uplink")  # fmt: skip
    lines = [line for line in metrics.splitlines() if line.startswith(tuple(f"nii_edge_{n}" for n in names))]
    return sorted(line for line in lines if "_created" not in line)


def test_projections_are_counted_and_nobody_else_hears_of_them(tmp_path: Path) -> None:
    """A run that tries every carton with an opaque block finds the blocks, and looks to scanner, site, tap,
    ledger, collector, balance and metrics exactly like the same run without."""
    scans = 12
    threats = library(tmp_path / "threats")
    with_tip, found = run(tmp_path / "with", {"library": str(threats), "rate": 1.0}, scans)
    without, nothing = run(tmp_path / "without", None, scans)
    assert nothing is None
    assert found is not None
    total = found["total"]
    assert total["shown"] >= scans // 2, found
    assert total["hits"] == total["shown"], "the shielding detector finds what is opaque"
    assert sum(total[name] for name in ("shown", "dropped", "not_placed", "faults")) == scans
    assert total["pd"] == 1.0
    assert 0.5 < total["pd_low"] < total["pd_high"] == 1.0
    assert found["labels"] == {"block": total}
    assert {decision for decision, _ in without.verdicts} == {Decision.CLEAR, Decision.ALARM}
    assert len(without.published) == len(without.ledger) == len(without.archived) == 2 * scans
    assert len(without.tapped) == 4 * scans
    for name in Heard._fields:
        assert getattr(with_tip, name) == getattr(without, name), name


def test_misses_lower_the_rate_and_people_can_read_it(site: Site) -> None:
    """A block that shielding cannot see is a miss; status, metrics and log say so, and no alarm does."""
    threats = library(site.folder / "threats", through=0.3)
    edge = site.edge(tip={"library": str(threats), "rate": 1.0})
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=20) as scanner:
        for i in range(8):
            assert scanner.wait(scanner.send(carton(i))).decision is Decision.CLEAR
            until(lambda n=i: seen(edge) > n, what="the projection's end")
    total = tip(edge)["total"]
    assert total["hits"] == 0
    assert total["misses"] == total["shown"] >= 4
    assert total["pd"] == 0.0
    shown = subprocess.run(
        command("status", str(site.folder / "edge.yaml")), capture_output=True, check=True, text=True
    ).stdout
    assert f"0.000-{total['pd_high']:.3f}" in shown
    assert "block" in shown
    metrics = get(edge, "/metrics")
    assert f'nii_edge_tip_total{{label="block",result="miss"}} {total["misses"]}.0' in metrics
    assert 'nii_edge_tip_total{label="block",result="hit"} 0.0' in metrics
    assert 'verdict="ALARM"' not in metrics
    lines = until(lambda: edge.events("tip"), what="a log line")
    assert {line["result"] for line in lines} <= {"miss", "dropped"}
    assert all(line["visibility"] >= 2 and line["threat"] == "block-1" for line in lines)
    assert edge.stop() == 0


def test_tests_and_display_pictures_are_left_alone(site: Site) -> None:
    """NON_OPERATIONAL scans and lanes that give only pictures are never tried with a threat."""
    edge = site.edge(tip={"library": str(library(site.folder / "threats")), "rate": 1.0})
    where = edge.endpoints["scanners"]
    with ScannerClient(where, "lane-1", deadline_s=20, scan_type=ScanType.NON_OPERATIONAL) as scanner:
        assert scanner.wait(scanner.send(carton(1))).decision is Decision.CLEAR
    with ScannerClient(where, "replay", deadline_s=20) as scanner:
        picture = Picture(bytes([200]) * (48 * 64 * 3), height=48, width=64)
        scanner.wait(scanner.send([picture]))
    assert seen(edge) == 0
    with ScannerClient(where, "lane-1", deadline_s=20) as scanner:
        scanner.wait(scanner.send(carton(1)))
    until(lambda: seen(edge) == 1, what="the operational scan's projection")


def test_under_load_projections_are_dropped_and_verdicts_are_not(site: Site) -> None:
    """With scans always waiting, projections fall away and every scan still gets its own verdict."""
    threats = library(site.folder / "threats")
    edge = site.edge(tip={"library": str(threats), "rate": 1.0}, inference={"slots": 8})
    count, answers = 150, list[Answer]()
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=60) as scanner:
        views = [carton(seed) for seed in range(4)]
        sent = 0
        while len(answers) < count:
            while sent < count and scanner.in_flight < 3:
                scanner.send(views[sent % 4])
                sent += 1
            answers += scanner.poll(10)
    assert [a.decision for a in answers] == [Decision.CLEAR] * count
    until(lambda: seen(edge) == count, what="every scan's projection is accounted for")
    total = tip(edge)["total"]
    assert total["dropped"] > count // 2, total
    assert total["hits"] == total["shown"]
    metrics = get(edge, "/metrics")
    assert f'nii_edge_tip_total{{label="block",result="dropped"}} {total["dropped"]}.0' in metrics
    overloads = re.findall(r"^nii_edge_overloads_total\{.*\} (.*)$", metrics, re.M)
    assert set(overloads) == {"0.0"}
    assert edge.stop() == 0

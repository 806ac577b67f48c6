"""Locked processes as their users meet them: keys from the command, an edge and a collector, clients."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zmq
from harness import FREE, Process, Site, command, dual, until

from nii_edge.adapters import zmq_transport
from nii_edge.client import Answer, ScannerClient
from nii_edge.errors import WireError
from nii_edge.records import Decision, Reason
from nii_edge.security import ClientKeys
from nii_edge.subscriber import Subscriber
from nii_edge.wire import (
    FetchManifestsMessage,
    ManifestsMessage,
    RefusedMessage,
    decode_from_collector,
    encode,
)

OPEN = "tcp://0.0.0.0:*"
"""Every interface: what may not be bound without keys."""


def run(*arguments: str | Path, seconds: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*map(str, arguments)), capture_output=True, text=True, check=False, timeout=seconds
    )


class Locked(Site):
    """A site whose edge and collector want keys, and listen to the whole network."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.keys = folder / "keys"
        self.allow = folder / "allowed.keys"

    def key(self, name: str, role: str, listed: bool = True) -> Path:
        where = self.keys / role
        more = ("--allow", self.allow) if listed else ()
        done = run("keys", "new", name, "--role", role, "--out", where, *more)
        assert done.returncode == 0, done.stderr
        return where / f"{name}.key"

    def of(self, name: str, role: str, server: str = "edge/edge-t") -> ClientKeys:
        return ClientKeys.read(self.keys / role / f"{name}.key", str(self.keys / f"{server}.pub"))

    def locked_edge(
        self, collector: Process | None = None, own: str | None = None, **changes: Any
    ) -> Process:
        return self._start("run", self.edge_file(collector, own, **changes), self.edge_state)

    def edge_file(self, collector: Process | None = None, own: str | None = None, **changes: Any) -> Path:
        """A configuration."""
        security = {"key": "keys/edge/edge-t.key", "allow": "allowed.keys"}
        listen = {"scanners": OPEN, "verdicts": OPEN, "tap": OPEN}
        link = None
        if collector is not None:
            server = "keys/collector/centre.pub"
            link = {"endpoint": here(collector, "edges"), "server_key": server, "key": own}
        return self.edge_config(**{"security": security, "listen": listen, "collector": link, **changes})

    def locked_collector(self, **changes: Any) -> Process:
        return self._start("collect", self.collector_file(**changes), self.collector_state)

    def collector_file(self, **changes: Any) -> Path:
        """A configuration."""
        security = {"key": "keys/collector/centre.key", "allow": "allowed.keys"}
        tree = {"version": 1, "archive": "collector/archive.db", "edges": OPEN, "subscribers": OPEN}
        return self.write("collector.yaml", {**tree, "security": security, **changes})

    def revoke(self, which: str) -> None:
        done = run("keys", "revoke", which, "--allow", self.allow)
        assert done.returncode == 0, done.stderr


def here(process: Process, name: str) -> str:
    """Where a socket that is bound to every interface is reached from here."""
    return process.endpoints[name].replace("//0.0.0.0:", "//127.0.0.1:")


def ask(endpoint: str, keys: ClientKeys | None, scanner: str = "lane-1", deadline_s: float = 10.0) -> Answer:
    with ScannerClient(endpoint, scanner, deadline_s=deadline_s, keys=keys) as client:
        return client.wait(client.send(dual(1)))


@pytest.fixture(scope="module")
def made_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys that every test begins with: made once, by the command."""
    made = Locked(tmp_path_factory.mktemp("keys"))
    for name, role in (
        ("edge-t", "edge"), ("centre", "collector"), ("lane-1", "scanner"), ("screen", "subscriber")
    ):  # fmt: skip
        made.key(name, role)
    return made.folder


@pytest.fixture
def locked(made_keys: Path, tmp_path: Path) -> Iterator[Locked]:
    """With a copy of the keys, so that a test may add and revoke."""
    shutil.copytree(made_keys, tmp_path, dirs_exist_ok=True)
    made = Locked(tmp_path)
    yield made
    made.close()


def rejected(edge: Process) -> dict[str, int]:
    """How often which refusal was logged."""
    found: dict[str, int] = {}
    for line in edge.events("connection refused"):
        found[line["reason"]] = found.get(line["reason"], 0) + 1
    return found


def test_a_scan_goes_from_scanner_to_centre_under_lock_and_key(locked: Locked) -> None:
    """Scanner, edge, collector and subscriber, each with a key, over sockets open to the network."""
    collector = locked.locked_collector()
    edge = locked.locked_edge(collector)
    with ScannerClient(
        here(edge, "scanners"), "lane-1", deadline_s=10, keys=locked.of("lane-1", "scanner")
    ) as scanner:
        answer = scanner.wait(scanner.send(dual(1, block=True)))
    assert answer.decision is Decision.ALARM
    with Subscriber(
        here(collector, "subscribers"),
        timeout_s=20,
        keys=locked.of("screen", "subscriber", "collector/centre"),
    ) as alerts:
        (item,) = until(alerts.fetch_once, 20, "the alert")
    assert item.report is not None
    assert answer.report is not None
    assert item.report.alert_id == answer.report.alert_id
    assert edge.stop() == 0
    assert collector.stop() == 0


def test_who_has_no_key_gets_no_answer_and_leaves_no_scan(locked: Locked) -> None:
    """Stranger, wrong server key, no key, another role's key: UNKNOWN(NO_ANSWER) with a hint, counted by
    the edge, nothing in its ledger; a listed key goes on as if nothing had been."""
    edge = locked.locked_edge()
    where = here(edge, "scanners")
    locked.key("stranger", "scanner", listed=False)
    strangers = [
        locked.of("stranger", "scanner"),
        locked.of("lane-1", "scanner", "collector/centre"),
        locked.of("screen", "subscriber"),
        None,
    ]
    with ThreadPoolExecutor(len(strangers)) as together:  # each waits in vain
        answers = list(together.map(lambda keys: ask(where, keys, deadline_s=2.5), strangers))
    for keys, answer in zip(strangers, answers, strict=True):
        assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NO_ANSWER)
        if keys is not None:
            assert "does not complete the handshake" in answer.detail
    assert ask(where, locked.of("lane-1", "scanner")).decision is Decision.CLEAR
    assert edge.stop() == 0
    assert {"unknown_key", "wrong_role", "wrong_server_key"} <= set(rejected(edge))
    assert all(count == 1 for count in rejected(edge).values())
    (line,) = edge.events("scan")
    assert line["scan"].startswith("lane-1/")


def test_a_key_speaks_for_its_own_scanner_alone(locked: Locked) -> None:
    """lane-1's key cannot send as replay: NOT_ALLOWED, no scan, and lane-1 is served as before."""
    edge = locked.locked_edge()
    mine = locked.of("lane-1", "scanner")
    answer = ask(here(edge, "scanners"), mine, "replay")
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NOT_ALLOWED)
    assert "lane-1" in answer.detail
    assert ask(here(edge, "scanners"), mine).decision is Decision.CLEAR
    assert edge.stop() == 0
    assert [line["scan"].split("/")[0] for line in edge.events("scan")] == ["lane-1"]


def test_a_revoked_scanner_is_refused_while_connected(locked: Locked) -> None:
    """The line that stands is refused within a second, a new one is not let in."""
    edge = locked.locked_edge()
    keys = locked.of("lane-1", "scanner")
    with ScannerClient(here(edge, "scanners"), "lane-1", deadline_s=10, keys=keys) as scanner:
        assert scanner.wait(scanner.send(dual(1))).decision is Decision.CLEAR
        locked.revoke("lane-1")
        until(lambda: edge.events("allow-list read"), 5, "revocation")
        assert scanner.wait(scanner.send(dual(2))).reason is Reason.NOT_ALLOWED
    assert ask(here(edge, "scanners"), keys, deadline_s=1.5).reason is Reason.NO_ANSWER
    assert edge.stop() == 0
    assert "revoked_key" in rejected(edge)


def test_a_key_is_rotated_while_scans_go_on(locked: Locked) -> None:
    """Old and new key are answered at once; after `revoke` the new one alone."""
    edge = locked.locked_edge()
    where, old = here(edge, "scanners"), locked.of("lane-1", "scanner")
    key_file = locked.keys / "scanner" / "lane-1.key"
    assert run("keys", "rotate", key_file, "--allow", locked.allow).returncode == 0
    new = locked.of("lane-1", "scanner")
    assert new.own.public.key != old.own.public.key
    for keys in (old, new):
        assert ask(where, keys).decision is Decision.CLEAR
    locked.revoke(old.own.public.key)
    assert ask(where, old, deadline_s=1.5).reason is Reason.NO_ANSWER
    assert ask(where, new).decision is Decision.CLEAR
    assert edge.stop() == 0


def test_an_edge_reports_for_itself_alone_and_loses_nothing_by_it(locked: Locked) -> None:
    """Another edge's key is NOT_ALLOWED at the collector: nothing is archived, nothing parked; with the
    right key in its place everything arrives."""
    collector = locked.locked_collector()
    locked.key("edge-x", "edge")
    edge = locked.locked_edge(collector, own="keys/edge/edge-x.key")
    with ScannerClient(
        here(edge, "scanners"), "lane-1", deadline_s=10, keys=locked.of("lane-1", "scanner")
    ) as scanner:
        assert scanner.wait(scanner.send(dual(1, block=True))).decision is Decision.ALARM
    until(lambda: edge.events("the collector refuses us"), 20, "refusal")
    assert edge.stop() == 0
    assert not edge.events("the collector refuses a record for good")
    keys = locked.of("screen", "subscriber", "collector/centre")
    with Subscriber(here(collector, "subscribers"), timeout_s=20, keys=keys) as alerts:
        assert alerts.fetch_once() == ()
        again = locked.locked_edge(collector)
        assert len(until(alerts.fetch_once, 20, "the alert")) == 1
    assert again.stop() == 0
    assert collector.stop() == 0


def test_manifests_go_to_listed_edges_alone(locked: Locked) -> None:
    """An edge's key opens the door, a scanner's does not; a revoked edge is refused while connected."""
    collector = locked.locked_collector(manifests="manifests.db")
    context = zmq_transport.new_context()
    sockets = {
        role: zmq_transport.connect(
            context, zmq.DEALER, here(collector, "edges"),
            zmq_transport.Limits(max_part_bytes=1 << 20, linger_ms=0),
            locked.of(name, role, "collector/centre"),
        )
        for name, role in (("lane-1", "scanner"), ("edge-t", "edge"))
    }  # fmt: skip
    question = encode(FetchManifestsMessage(ask=1))
    edge, scanner = sockets["edge"], sockets["scanner"]
    try:
        edge.setsockopt(zmq.SNDTIMEO, 20_000)
        edge.send(question)
        assert edge.poll(20_000)
        answer = decode_from_collector(edge.recv_multipart()).message
        assert isinstance(answer, ManifestsMessage)
        assert answer.store is not None
        until(lambda: collector.events("connection refused"), 20, "refusal of the scanner")
        with pytest.raises(zmq.Again):
            scanner.send(question, zmq.NOBLOCK)
        locked.revoke("edge-t")
        until(lambda: collector.events("allow-list read"), 5, "revocation")
        edge.send(question)
        assert edge.poll(20_000)
        refused = decode_from_collector(edge.recv_multipart()).message
        assert isinstance(refused, RefusedMessage)
        assert refused.reason is Reason.NOT_ALLOWED
    finally:
        for socket_ in sockets.values():
            socket_.close(linger=0)
        context.term()
    assert collector.stop() == 0


def test_a_revoked_subscriber_hears_no_more(locked: Locked) -> None:
    """Its waiting question is answered empty, its next one refused; who stays outside is told why."""
    collector = locked.locked_collector()
    where = here(collector, "subscribers")
    keys = locked.of("screen", "subscriber", "collector/centre")
    with Subscriber(where, timeout_s=20, keys=keys) as alerts:
        assert alerts.fetch_once() == ()
        locked.revoke("screen")
        until(lambda: collector.events("allow-list read"), 5, "revocation")
        with pytest.raises(WireError) as refused:
            alerts.fetch_once()
    assert refused.value.reason is Reason.NOT_ALLOWED
    told: list[str] = []
    with Subscriber(where, timeout_s=4, keys=keys, told=told.append) as alerts, pytest.raises(TimeoutError):
        alerts.fetch_once()
    assert len(told) == 1
    assert "allow-list" in told[0]
    assert collector.stop() == 0


def test_replay_record_and_subscribe_take_keys(locked: Locked, tmp_path: Path) -> None:
    """The commands go the same locked way, and say what is missing when it is."""
    collector = locked.locked_collector()
    locked.key("replay", "scanner")
    edge = locked.locked_edge(collector)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    pale = np.full((64, 64, 3), 255, np.uint8)
    pale[8:56, 8:56] = 200
    cv2.imwrite(str(pictures / "a.png"), pale)
    server = ("--server-key", locked.keys / "edge" / "edge-t.pub")
    screen = ("--keys", locked.keys / "subscriber" / "screen.key")
    recording = subprocess.Popen(
        command(
            "record", str(tmp_path / "a.mcap"), "--tap", here(edge, "tap"), "--verdicts",
            here(edge, "verdicts"), "--seconds", "6", "--json", *map(str, (*screen, *server)),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    until((tmp_path / "a.mcap").exists, what="the recorder's start")
    time.sleep(0.5)  # subscriptions travel on their own
    lane = ("--keys", locked.keys / "scanner" / "replay.key")
    done = run("replay", pictures, "--to", here(edge, "scanners"), "--json", *lane, *server)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"]["CLEAR"] == 1
    out, err = recording.communicate(timeout=30)
    assert recording.returncode == 0, err
    summary = json.loads(out)
    assert (summary["frames"], summary["verdicts"]) == (1, 1)
    centre = ("--server-key", locked.keys / "collector" / "centre.pub")
    heard = until(
        lambda: run(
            "subscribe", here(collector, "subscribers"), "--json-lines", "--until-idle", "--clear",
            "--non-operational", *screen, *centre,
        ).stdout, 20, "the record",
    )  # fmt: skip
    assert json.loads(heard)["report"]["verdict"]["id"]["scanner"] == "replay"
    half = run("replay", pictures, "--to", here(edge, "scanners"), *lane)
    assert half.returncode == 1
    assert "--server-key" in half.stderr
    far = run("replay", pictures, "--to", "tcp://192.0.2.1:5555")
    assert far.returncode == 1
    assert "--insecure" in far.stderr
    assert edge.stop() == 0
    assert collector.stop() == 0


DEATH = """
from nii_edge.adapters.zmq_security import Doorkeeper
def broken(*_):
    raise RuntimeError("broken on purpose")
Doorkeeper._answer = broken
from nii_edge.cli import main
main()
"""
"""The command with a ZAP thread that dies of its first question."""


@pytest.mark.parametrize("name", ["run", "collect"])
def test_a_process_whose_door_nobody_minds_lets_nobody_in_and_ends(locked: Locked, name: str) -> None:
    """The thread that checks keys dies: the peer is not let in, and the process ends with status 1, to be
    started again by its supervisor."""
    config = locked.collector_file() if name == "collect" else locked.edge_file()
    state = locked.collector_state if name == "collect" else locked.edge_state
    dying = subprocess.Popen(
        [sys.executable, "-c", DEATH, name, str(config)], stderr=subprocess.PIPE, text=True
    )
    until((state / "endpoints.json").exists, 30, "start")
    where = json.loads((state / "endpoints.json").read_text())
    if name == "run":
        endpoint = where["scanners"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        answer = ask(endpoint, locked.of("lane-1", "scanner"), deadline_s=3)
        assert answer.reason is Reason.NO_ANSWER
    else:
        endpoint = where["subscribers"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        keys = locked.of("screen", "subscriber", "collector/centre")
        with Subscriber(endpoint, timeout_s=3, keys=keys) as alerts, pytest.raises(TimeoutError):
            alerts.fetch_once()
    _, said = dying.communicate(timeout=30)
    assert dying.returncode == 1
    assert "the thread that checks keys died; nobody can connect" in said


def test_check_looks_at_the_keys(locked: Locked) -> None:
    """It says who may connect; a secret open to others, a wrong list or another role's key is a problem."""
    security = {"key": "keys/edge/edge-t.key", "allow": "allowed.keys"}
    listen = {"scanners": OPEN, "verdicts": OPEN}
    config = locked.edge_config(security=security, listen=listen)
    found = json.loads(run("check", config, "--json").stdout)
    assert found["ok"], found
    text = "\n".join(found["would_run"])
    assert "scanners with a key: lane-1" in text
    assert "scanner replay has no key" in text
    (locked.keys / "edge" / "edge-t.key").chmod(0o644)
    assert "chmod 600" in run("check", config, "--json").stdout
    other = {**security, "key": "keys/scanner/lane-1.key"}
    assert "role edge expected" in run(
        "check", locked.edge_config(security=other, listen=listen), "--json"
    ).stdout  # fmt: skip
    (locked.keys / "edge" / "edge-t.key").chmod(0o600)
    locked.allow.write_text("scanner lane-1")
    done = run("run", locked.edge_config(security=security, listen=listen))
    assert done.returncode == 1
    assert "allowed.keys: line 1" in done.stderr


def test_the_loopback_needs_no_keys(locked: Locked) -> None:
    """`loopback: open` leaves the sockets of this machine open while others stay locked."""
    edge = locked.locked_edge(
        security={"key": "keys/edge/edge-t.key", "allow": "allowed.keys", "loopback": "open"},
        listen={"scanners": FREE, "verdicts": OPEN},
    )
    assert ask(edge.endpoints["scanners"], None).decision is Decision.CLEAR
    assert edge.stop() == 0


def test_strangers_at_the_door_do_not_hold_up_a_scanner(locked: Locked) -> None:
    """200 connections that never finish their handshake, and a known scanner is served in time."""
    edge = locked.locked_edge()
    port = int(edge.endpoints["scanners"].rsplit(":", 1)[1])
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    keys = locked.of("lane-1", "scanner")
    with ScannerClient(here(edge, "scanners"), "lane-1", deadline_s=10, keys=keys) as scanner:
        answers = [scanner.wait(scanner.send(dual(n))) for n in range(10)]
    assert all(answer.decision is Decision.CLEAR for answer in answers)
    for peer in peers:
        peer.close()
    assert edge.stop() == 0

"""The door: who is let in, who is not, and that nobody is when nobody minds it. Real sockets."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from harness import until

from nii_edge.adapters import zmq_transport as transport
from nii_edge.adapters.zmq_scanners import ZmqScanners
from nii_edge.adapters.zmq_security import Doorkeeper, OpenDoor, Security
from nii_edge.adapters.zmq_transport import Limits, Socket
from nii_edge.config import Listen
from nii_edge.errors import ConfigError
from nii_edge.security import ClientKeys, Public, Role, SecretKey, new_key

ANYWHERE = "tcp://127.0.0.1:*"
LIMITS = Limits(max_part_bytes=1 << 20, handshake_ms=300, linger_ms=100)
SOON_S = 0.7
"""Longer than a refused handshake, shorter than patience."""


class Gate:
    """A locked ROUTER that echoes, an allow-list that can be changed, and clients."""

    def __init__(self, folder: Path, **options: bool) -> None:
        self.path = folder / "allowed.keys"
        self.own = new_key("edge", "edge-1")
        self.allowed: list[Public] = []
        self.write()
        self.rejected: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self.context = transport.new_context()
        self.door = Doorkeeper(
            self.context, Security(self.own, self.path, **options), self._count, self.failures.append
        )
        self.door.start()
        self.router = self.door.bind(zmq.ROUTER, ANYWHERE, LIMITS, "scanner")
        self.endpoint = transport.bound_endpoint(self.router)
        self.clients: list[tuple[zmq.Context[zmq.Socket[bytes]], Socket]] = []

    def _count(self, reason: str) -> None:
        self.rejected[reason] += 1

    def allow(self, *keys: SecretKey) -> None:
        self.allowed += [key.public for key in keys]
        self.write()

    def forbid(self, key: SecretKey) -> None:
        self.allowed.remove(key.public)
        self.write()

    def write(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(public.line() + "\n" for public in self.allowed))
        fresh.replace(self.path)

    def client(self, key: SecretKey | None, server: str | None = None) -> Socket:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        keys = None if key is None else ClientKeys(key, server or self.own.public.key)
        limits = Limits(max_part_bytes=1 << 20, linger_ms=0, reconnect_max_ms=200)
        made = transport.connect(context, zmq.DEALER, self.endpoint, limits, keys)
        self.clients.append((context, made))
        return made

    def hear(self, seconds: float = SOON_S) -> str | None:
        """Whose message comes next, by the door's word; None if none comes."""
        if not self.router.poll(seconds * 1000):
            return None
        frames = self.router.recv_multipart(copy=False)
        return self.door.who(self.router, frames[0], "scanner")

    def hears(self, client: Socket, seconds: float = 5.0) -> str | None:
        """Whose message arrives, sent as soon as the line is there; None if it never is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                client.send(b"hello", zmq.NOBLOCK)
            except zmq.Again:
                time.sleep(0.02)
                continue
            return self.hear(5)
        return None

    def close(self) -> None:
        for context, made in self.clients:
            made.close(linger=0)
            context.term()
        self.door.release(self.router, linger=0)
        self.door.stop()
        self.context.term()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()
    assert not [t for t in threading.enumerate() if t.name == "zap"]


def key(role: Role = "scanner", name: str = "lane-1") -> SecretKey:
    return new_key(role, name)


def test_a_listed_key_gets_in_under_its_name(gate: Gate) -> None:
    """The name comes from the list, not from what the peer says."""
    mine = key()
    gate.allow(mine)
    assert gate.hears(gate.client(mine)) == "lane-1"
    assert not gate.rejected


def test_a_stranger_is_refused_and_counted_and_comes_in_once_listed(gate: Gate) -> None:
    """No byte of a stranger's arrives; listed later, the same waiting client gets through by itself."""
    mine = key()
    client = gate.client(mine)
    assert gate.hears(client, SOON_S) is None
    until(lambda: gate.rejected["unknown_key"], 5, "count")
    gate.allow(mine)
    assert gate.hears(client) == "lane-1"


def test_a_peer_without_keys_is_refused(gate: Gate) -> None:
    """NULL is not spoken here."""
    assert gate.hears(gate.client(None), SOON_S) is None
    until(lambda: gate.rejected["no_curve"] + gate.rejected["handshake"], 5, "count")


def test_a_client_that_means_another_server_is_not_talked_to(gate: Gate) -> None:
    """A wrong server key fails the handshake on both sides, although the client's own key is listed."""
    mine = key()
    gate.allow(mine)
    assert gate.hears(gate.client(mine, key("edge").public.key), SOON_S) is None
    until(lambda: gate.rejected["wrong_server_key"], 5, "count")


def test_a_key_of_another_role_is_refused(gate: Gate) -> None:
    """A subscriber's key does not send frames."""
    mine = key("subscriber")
    gate.allow(mine)
    assert gate.hears(gate.client(mine), SOON_S) is None
    until(lambda: gate.rejected["wrong_role"], 5, "count")


def test_a_revoked_key_counts_no_more_on_a_line_that_stands(gate: Gate) -> None:
    """Its next messages have no name, and a new connection is refused at once."""
    mine = key()
    gate.allow(mine)
    client = gate.client(mine)
    assert gate.hears(client) == "lane-1"
    gate.forbid(mine)
    until(lambda: gate.door.revocations == 1, 5, "revocation")
    assert gate.hears(client) == ""
    assert gate.hears(gate.client(mine), SOON_S) is None
    assert gate.rejected["revoked_key"] >= 1


def test_two_keys_of_a_name_are_valid_at_once(gate: Gate) -> None:
    """Rotation: old and new both get in as lane-1; without the old one, the new one's line goes on."""
    old, new = key(), key()
    gate.allow(old)
    before = gate.client(old)
    assert gate.hears(before) == "lane-1"
    gate.allow(new)
    after = gate.client(new)
    assert gate.hears(after) == "lane-1"
    assert gate.hears(before) == "lane-1"
    gate.forbid(old)
    until(lambda: gate.door.revocations == 1, 5, "revocation")
    assert gate.hears(before) == ""
    assert gate.hears(after) == "lane-1"


def test_a_wrong_list_leaves_the_last_one_standing(gate: Gate) -> None:
    """A slip of the pen, or a file gone, neither stops those inside nor lets anyone else in."""
    mine = key()
    gate.allow(mine)
    client = gate.client(mine)
    assert gate.hears(client) == "lane-1"
    for spoil in (lambda: gate.path.write_text("scanner lane-1"), gate.path.unlink):
        spoil()
        assert gate.hears(gate.client(key("scanner", "lane-2")), SOON_S) is None
        assert gate.hears(client) == "lane-1"
        assert gate.hears(gate.client(mine)) == "lane-1"
    assert not gate.failures


def test_when_the_thread_dies_nobody_gets_in(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZAP_ENFORCE_DOMAIN: without a handler even a listed key is refused, and the owner is told."""
    mine = key()
    gate.allow(mine)

    def broken(_: Socket) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(gate.door, "_answer", broken)
    assert gate.hears(gate.client(mine), SOON_S) is None
    until(lambda: gate.failures, 5, "the owner's being told")
    assert gate.door.problem() == "the thread that checks keys is not running"
    assert gate.hears(gate.client(mine), SOON_S) is None
    assert len(gate.failures) == 1


def test_a_thread_that_hangs_is_noticed_and_lets_nobody_in(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake that is not answered ends; `problem` says so and tells the owner once."""
    mine = key()
    gate.allow(mine)
    going = threading.Event()
    monkeypatch.setattr("nii_edge.adapters.zmq_security.HUNG_AFTER_S", 0.5)
    monkeypatch.setattr(gate.door, "_answer", lambda _: going.wait(20))
    assert gate.hears(gate.client(mine), 1.5) is None
    assert "has not moved" in str(gate.door.problem())
    gate.door.problem()
    assert len(gate.failures) == 1
    going.set()


def test_refusals_are_logged_once_a_peer_and_reason(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a stranger knocks, one line; of too many strangers, none but the count."""
    lines: list[str] = []
    monkeypatch.setattr(gate.door, "_log", type("Log", (), {"warning": lambda _, e, **__: lines.append(e)})())
    for n in range(5_000):
        gate.door._note("unknown_key", f"10.0.{n // 250}.{n % 250}", "")
        gate.door._note("unknown_key", "10.0.0.1", "")
    assert gate.rejected["unknown_key"] == 10_000
    assert len(lines) < 1_100
    assert len(gate.door._told) < 1_100


def test_garbage_and_silence_at_the_door_end(gate: Gate) -> None:
    """A peer that speaks no ZeroMQ, or nothing, is cut off, and those with keys go on."""
    host, port = gate.endpoint.removeprefix("tcp://").split(":")
    peers = [socket.create_connection((host, int(port))) for _ in range(20)]
    for peer in peers[:10]:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
    mine = key()
    gate.allow(mine)
    assert gate.hears(gate.client(mine)) == "lane-1"
    for peer in peers:
        peer.settimeout(5)
        assert _ends(peer)
        peer.close()


def _ends(peer: socket.socket) -> bool:
    """True once the other side has hung up."""
    try:
        while peer.recv(1000):
            pass
    except ConnectionError:
        pass
    return True


def test_an_open_loopback_wants_no_keys(tmp_path: Path) -> None:
    """`loopback: open`: sockets that only this machine can reach know no names."""
    gate = Gate(tmp_path, loopback_open=True)
    try:
        assert gate.hears(gate.client(None)) is None
        client = gate.client(None)
        client.send(b"x")
        assert gate.router.poll(5000)
        with pytest.raises(ConfigError):
            Doorkeeper(gate.context, Security(gate.own, tmp_path / "nowhere"))
    finally:
        gate.close()


def test_one_context_has_one_door(gate: Gate) -> None:
    """A second ZAP handler is refused in words."""
    with pytest.raises(ConfigError, match="zap"):
        Doorkeeper(gate.context, Security(gate.own, gate.path)).start()


def test_without_a_door_everybody_is_nobody(tmp_path: Path) -> None:
    """The open door binds, closes, and knows no names."""
    context = transport.new_context()
    door = OpenDoor(context)
    door.start()
    made = door.bind(zmq.ROUTER, ANYWHERE, LIMITS, "scanner")
    assert door.problem() is None
    door.release(made)
    door.stop()
    context.term()


# ---- subscribers


def test_a_revoked_subscriber_is_sent_away(tmp_path: Path) -> None:
    """PUB never hears its peers, so they are made to show their keys anew: the revoked one hears nothing
    more, the other goes on by itself, on the same port."""
    gate = Gate(tmp_path)
    first, second = key("subscriber", "screen-1"), key("subscriber", "screen-2")
    gate.allow(first, second)
    gate.door.release(gate.router, linger=0)
    gate.door.stop()
    context = transport.new_context()
    door = Doorkeeper(context, Security(gate.own, gate.path))
    side = ZmqScanners(context, Listen(scanners=ANYWHERE, verdicts=ANYWHERE, tap=ANYWHERE), 1 << 20, door)
    listeners = zmq.Context()
    where = side.endpoints

    def listen(mine: SecretKey) -> Socket:
        made = listeners.socket(zmq.SUB)
        made.setsockopt(zmq.RECONNECT_IVL, 50)
        made.subscribe(b"")
        ClientKeys(mine, gate.own.public.key).apply(made)
        made.connect(where.verdicts)
        return made

    try:
        ears = [listen(first), listen(second)]
        said = _publish(side)
        until(lambda: (said(), all(ear.poll(50) for ear in ears))[1], 10, "hearing")
        gate.forbid(first)
        until(lambda: (said(), door.revocations)[1], 5, "revocation")
        for _ in range(20):
            said()
        for ear in ears:
            while ear.poll(300):
                ear.recv_multipart()
        until(lambda: (said(), ears[1].poll(50))[1], 10, "the other's return")
        assert not ears[0].poll(1_000)
        assert side.endpoints == where
    finally:
        listeners.destroy(linger=0)
        side.close()
        side.close()
        context.term()
        gate.context.term()


def _publish(side: ZmqScanners) -> Callable[[], None]:
    reading, _ = os.pipe()

    def say() -> None:
        side.wait(reading, 0.01)
        side.publish("operational/lane-1", b"verdict")

    return say

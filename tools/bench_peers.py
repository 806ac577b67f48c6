"""The daemon beside servers that others wrote, in the same rounds: imagezmq, mosec, LitServe.

    pip install -e '.[bench]' imagezmq mosec litserve python-multipart
    python tools/bench_peers.py [--rounds N] [--seconds S] [--in-flight N] [--json]

All do the same work on the same frames (docs/PERFORMANCE.md): front end, ONNX Runtime, head, with the same
threads, one frame at a time. What differs is everything around it. imagezmq (REQ/REP over ipc) and mosec (the
pixels as an HTTP body) get a connection for each scan in flight, LitServe (multipart, its fast queue) as
well; they check nothing and keep nothing. The daemon checks each frame and has the verdict on disk
before it answers. Before anything is timed, all must find what the bare runtime finds.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from nii_edge.bench import sites
from nii_edge.bench.columns import Bare, Remote, Spread, Timing, same, spread, timing
from nii_edge.bench.frames import HEIGHT, WIDTH, Shot, shots
from nii_edge.bench.load import LEAD_IN_S, STUCK_S, Answer, Lane, Slice
from nii_edge.bench.machine import cpu_seconds
from nii_edge.bench.reference import write_reference
from nii_edge.errors import NiiEdgeError
from nii_edge.records import Decision, Finding

START_S = 90.0
SERVERS = Path(__file__).resolve().parent / "peers"
PEERS = ("imagezmq", "mosec", "litserve")
THREADS = max(1, len(os.sched_getaffinity(0)))
Ask = Callable[[Shot], bytes]


@contextmanager
def imagezmq_line(address: str) -> Iterator[Ask]:
    import imagezmq

    sender = imagezmq.ImageSender(address)
    try:
        yield lambda shot: sender.send_image("lane-1", shot.pixels)
    finally:
        sender.zmq_socket.close(linger=0)
        sender.zmq_context.term()


@contextmanager
def http_line(address: str, path: str, head: bytes, tail: bytes, kind: str) -> Iterator[Ask]:
    """A connection kept open. The body is `head`, the pixels, `tail`."""
    line = http.client.HTTPConnection(address.removeprefix("tcp://"), timeout=STUCK_S)
    line.connect()
    line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Content-Type": kind, "Content-Length": str(len(head) + HEIGHT * WIDTH * 4 + len(tail))}

    def ask(shot: Shot) -> bytes:
        line.request("POST", path, itertools.chain([head], [shot.payload], [tail]), headers)
        response = line.getresponse()
        body = response.read()
        if response.status != http.HTTPStatus.OK:
            raise NiiEdgeError(f"{address}{path} answered {response.status}: {body[:200]!r}")
        return body

    try:
        yield ask
    finally:
        line.close()


def line_to(name: str, address: str) -> AbstractContextManager[Ask]:
    """A connection to a peer."""
    if name == "imagezmq":
        return imagezmq_line(address)
    if name == "mosec":
        return http_line(address, "/inference", b"", b"", "application/octet-stream")
    head = b'--b\r\nContent-Disposition: form-data; name="frame"; filename="frame"\r\n\r\n'
    return http_line(address, "/predict", head, b"\r\n--b--\r\n", "multipart/form-data; boundary=b")


class Peer:
    """A server of another's, as a column."""

    def __init__(self, name: str, address: str, pid: int, frames: Sequence[Shot]) -> None:
        self._name, self._address, self._pid, self._frames = name, address, pid, frames

    def measure(self, in_flight: int, seconds: float, /) -> Slice:
        """A thread and a connection for each scan in flight."""
        begin = time.monotonic() + LEAD_IN_S
        answers: list[Answer] = []
        shots_in_turn = itertools.cycle(self._frames)
        failed: list[BaseException] = []

        def keep_asking() -> None:
            try:
                with line_to(self._name, self._address) as ask:
                    while (began := time.monotonic()) < begin + seconds:
                        ask(next(shots_in_turn))
                        at = time.monotonic()
                        answers.append(Answer(0, at, at - began, Decision.CLEAR, None, ()))
            except BaseException as error:  # noqa: BLE001 - the thread's end; told below
                failed.append(error)

        threads = [threading.Thread(target=keep_asking) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        time.sleep(max(0.0, begin - time.monotonic()))
        spent = cpu_seconds(self._pid)
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        spent = cpu_seconds(self._pid) - spent
        for thread in threads:
            thread.join()
        if failed:
            raise NiiEdgeError(f"{self._name}: {failed[0]!r}")
        kept = [answer for answer in answers if begin <= answer.at < begin + seconds]
        return Slice(kept, seconds, spent)

    def prove(self, expected: Sequence[tuple[Finding, ...]]) -> None:
        """Raises NiiEdgeError unless it finds what the bare runtime finds."""
        with line_to(self._name, self._address) as ask:
            for number, (shot, wanted) in enumerate(zip(self._frames, expected, strict=True)):
                found = msgspec.json.decode(ask(shot), type=tuple[Finding, ...])
                if not same(wanted, found):
                    raise NiiEdgeError(f"{self._name}: frame {number}: other findings than the bare runtime")


@contextmanager
def peer(name: str, folder: Path, bundle: Path, frames: Sequence[Shot]) -> Iterator[Peer]:
    """A running peer that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"ipc://{folder / name}.ipc" if name == "imagezmq" else f"tcp://127.0.0.1:{port}"
    where = {
        "imagezmq": [address],
        "mosec": ["--port", str(port), "--timeout", "30000"],
        "litserve": [str(port)],
    }
    line = [sys.executable, str(SERVERS / f"{name}_server.py"), *where[name]]
    environment = {**os.environ, "PEERS_BUNDLE": str(bundle), "PEERS_THREADS": str(THREADS)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            line,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        _await(name, address, port, process, folder / f"{name}.log")
        yield Peer(name, address, process.pid, frames)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):  # workers that it left behind
            os.killpg(process.pid, signal.SIGKILL)


def _await(name: str, address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    there = Path(address.removeprefix("ipc://"))
    while time.monotonic() < until and process.poll() is None:
        try:
            if name == "imagezmq":
                if there.exists():
                    return
            else:
                path = {"mosec": "/", "litserve": "/health"}[name]
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                line.request("GET", path)
                if line.getresponse().status == http.HTTPStatus.OK:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise NiiEdgeError(f"{name} did not come up: {log.read_text('utf-8', 'replace')[-500:]}")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One column. `over_echo_ms`: its p50 at one in flight less the echo's, within each round; `to_echo`: its
    frames a second, saturated, over the echo's."""

    p50: Spread
    p99: Spread
    over_echo_ms: Spread
    fps: Spread
    to_echo: Spread
    cpu_ms: Spread


def measure(rounds: int, seconds: float, in_flight: int) -> dict[str, Row]:
    """All columns in interleaved rounds, each going first in turn."""
    taken: dict[tuple[str, int], list[Timing]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
        frames, bundle = shots(), write_reference(folder / "reference").folder
        bare = Bare(bundle, THREADS, frames)
        expected = bare.findings()
        bare.close()
        tree = sites.reference_edge(folder, bundle, THREADS, in_flight)
        columns: dict[str, Remote | Peer] = {}
        for name, service in (
            ("echo", sites.echo(folder, bundle, THREADS)),
            ("nii_edge", sites.edge(folder / "edge", tree)),
        ):
            running = stack.enter_context(service)
            lane = stack.enter_context(Lane(running.endpoint, "lane-1", frames))
            columns[name] = Remote(name, running.pid, lane)
        for name in PEERS:
            columns[name] = stack.enter_context(peer(name, folder, bundle, frames))
        for column in columns.values():
            column.prove(expected)
            column.measure(in_flight, 1.0)
        names = list(columns)
        for number in range(rounds):
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
            turn = number % len(names)
            for count in (1, in_flight):
                for name in names[turn:] + names[:turn]:
                    taken[name, count].append(timing(columns[name].measure(count, seconds)))
    return {name: _row(taken, name, in_flight) for name in columns}


def _row(taken: dict[tuple[str, int], list[Timing]], name: str, in_flight: int) -> Row:
    ones, many = taken[name, 1], taken[name, in_flight]
    echo, echoes = taken["echo", 1], taken["echo", in_flight]
    return Row(
        p50=spread([one.p50 for one in ones]),
        p99=spread([one.p99 for one in ones]),
        over_echo_ms=spread([one.p50 - other.p50 for one, other in zip(ones, echo, strict=True)]),
        fps=spread([one.fps for one in many]),
        to_echo=spread([one.fps / other.fps for one, other in zip(many, echoes, strict=True)]),
        cpu_ms=spread([one.cpu for one in many]),
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measure(given.rounds, given.seconds, given.in_flight)
    if given.json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    sys.stdout.write(f"{'':10s} one in flight, ms{'':19s} {given.in_flight} in flight\n")
    sys.stdout.write(f"{'':10s} {'p50':>7s} {'p99':>7s} {'over echo':>18s}   {'1/s':>6s} {'to echo':>20s}\n")
    for name, row in rows.items():
        over = f"{row.over_echo_ms.median:.1f} ({row.over_echo_ms.min:.1f}–{row.over_echo_ms.max:.1f})"
        ratio = f"{row.to_echo.median:.2f} ({row.to_echo.min:.2f}–{row.to_echo.max:.2f})"
        sys.stdout.write(
            f"{name:10s} {row.p50.median:7.1f} {row.p99.median:7.1f} {over:>18s}   "
            f"{row.fps.median:6.1f} {ratio:>20s}\n"
        )


if __name__ == "__main__":
    main()

"""A TCP line that can be cut: between the edge and the collector, in ways that a network can be."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from typing import Literal

Mode = Literal["pass", "blackhole", "half_open", "reset", "delay", "refuse", "drop"]
"""blackhole: nothing passes, nothing is lost, no one is told. half_open: what goes towards the edge
vanishes. reset: every connection is reset, also new ones. delay: every piece waits `DELAY_S`. refuse: every
connection is reset, and nobody listens for new ones. drop: as blackhole, and who connects hears nothing."""

DELAY_S = 0.3
ACCEPT_S = 0.01
"""Between two looks for new connections."""
HANGS_S = 0.2
"""A connection to the loopback that is not there after so long has had no answer."""
MAX_FILLERS = 16
_RESET = struct.pack("ii", 1, 0)


class Proxy(threading.Thread):
    """Listens on `port` of the loopback and passes on to `target`. `modes`: how often it was set to what."""

    def __init__(self, port: int, target: int) -> None:
        super().__init__(name="proxy", daemon=True)
        self._port, self._target = port, target
        self._lock = threading.Lock()
        self._closed = False
        self._listener: socket.socket | None = _listen(port)
        self._deaf: list[socket.socket] = []
        self._mode: Mode = "pass"
        self.modes: Counter[str] = Counter()
        self._tainted = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stale: set[socket.socket] = set()

    def set(self, mode: Mode) -> None:
        """Change what the network does. Connections that lost bytes are reset when it heals."""
        with self._lock:
            self._mode = mode
            self.modes[mode] += 1
            self._set_door(mode)
        if mode in {"reset", "refuse"} or (mode == "pass" and self._tainted):
            self._reset_all()
            self._tainted = False

    def make_stale(self) -> None:
        """Every connection there is goes dead, and neither end is told: a firewall that lost its state."""
        self._stale |= {end for pair in self._pairs for end in pair}

    def run(self) -> None:
        """The thread's body."""
        while not self._closed:
            with self._lock:
                near = self._next()
            if near is None:
                time.sleep(ACCEPT_S)
            else:
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        with self._lock:
            self._closed = True
            self._set_door("refuse")
        self._reset_all()

    def _set_door(self, mode: Mode) -> None:
        """What meets a new connection: one who listens, nobody, or one who is deaf."""
        if self._listener is not None and mode in {"refuse", "drop"}:
            self._listener.close()
            self._listener = None
        while self._deaf:
            self._deaf.pop().close()
        if mode == "drop":
            self._deaf = _deaf(self._port)
        elif mode != "refuse" and self._listener is None:
            self._listener = _listen(self._port)

    def _next(self) -> socket.socket | None:
        """A new connection; None if none has come, or none is let in."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if self._listener is not None:
                near, _ = self._listener.accept()
                near.setblocking(True)
                return near
        return None

    def _serve(self, near: socket.socket) -> None:
        self._hold()
        try:
            if self._mode == "reset":
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _abort(near)
            return
        self._pairs.append((near, far))
        threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()
        self._pump(near, far, towards_edge=False)

    def _pump(self, source: socket.socket, sink: socket.socket, towards_edge: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._hold()
                if self._mode == "delay":
                    time.sleep(DELAY_S)
                vanishes = self._mode == "half_open" and towards_edge
                self._tainted = self._tainted or vanishes
                if not vanishes and source not in self._stale:
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _hold(self) -> None:
        while self._mode in {"blackhole", "drop"}:
            time.sleep(0.01)

    def _reset_all(self) -> None:
        while self._pairs:
            for end in self._pairs.pop():
                _abort(end)


def _listen(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    return listener


def _deaf(port: int) -> list[socket.socket]:
    """A listener whose queue is full, so that the kernel answers no further connection, and what fills it."""
    held = [socket.create_server(("127.0.0.1", port), backlog=0)]
    for _ in range(MAX_FILLERS):
        filler = socket.socket()
        held.append(filler)
        filler.settimeout(HANGS_S)
        try:
            filler.connect(("127.0.0.1", port))
        except TimeoutError:
            return held
    for end in held:
        end.close()
    raise RuntimeError(
        f"port {port}: {MAX_FILLERS} connections fit into a queue of none; this kernel cannot be made deaf, "
        "so the fault that drops new connections cannot be done here"
    )


def _abort(end: socket.socket) -> None:
    """Close with RST. Wakes a thread that reads from it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RD)
    end.close()

"""A TCP line that can be cut: between the edge and the collector, in ways that a network can be."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Literal

Mode = Literal["pass", "blackhole", "half_open", "reset", "delay"]
"""blackhole: nothing passes, nothing is lost, no one is told. half_open: what goes towards the edge
vanishes. reset: every connection is reset, also new ones. delay: every piece waits `DELAY_S`."""

DELAY_S = 0.3
_RESET = struct.pack("ii", 1, 0)


class Proxy(threading.Thread):
    """Listens on `port` of the loopback and passes on to `target`."""

    def __init__(self, port: int, target: int) -> None:
        super().__init__(name="proxy", daemon=True)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._target = target
        self._mode: Mode = "pass"
        self._tainted = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stale: set[socket.socket] = set()

    def set(self, mode: Mode) -> None:
        """Change what the network does. Connections that lost bytes are reset when it heals."""
        self._mode = mode
        if mode == "reset" or (mode == "pass" and self._tainted):
            self._reset_all()
            self._tainted = False

    def make_stale(self) -> None:
        """Every connection there is goes dead, and neither end is told: a firewall that lost its state."""
        self._stale |= {end for pair in self._pairs for end in pair}

    def run(self) -> None:
        """The thread's body."""
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset_all()

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
        while self._mode == "blackhole":
            time.sleep(0.01)

    def _reset_all(self) -> None:
        while self._pairs:
            for end in self._pairs.pop():
                _abort(end)


def _abort(end: socket.socket) -> None:
    """Close with RST. Wakes a thread that reads from it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RD)
    end.close()

"""Child processes that may hang, crash or be killed without harm to the daemon."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nii_edge.edge.jobs import Setup
from nii_edge.heap import SERVICE_BYTES, keep_freed_memory

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 << 20
STUCK_US = 300_000
"""Microseconds without the rest of an answer after which a child counts as lost."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent dies."""


class Child:
    """One running child process and the line to it. Not thread-safe.

    The child dies with the thread that started it, so start it in a thread that lives long.
    """

    def __init__(self, module: str, setup: Setup) -> None:
        """Start ``python -m MODULE`` and send it its `setup`."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(), setup.shared_fd),
                stdin=subprocess.DEVNULL,
                # OpenCV reads this when it is imported: no picture may have more pixels than fit a slot
                env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": str(setup.slot_bytes)},
            )
        # an answer that stops in its midst must not stop its reader, who may hold a lock
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, STUCK_US))
        self.connection: Connection[bytes, bytes] = Connection(ours.detach())
        self._poll = select.poll()
        self._poll.register(self.connection, select.POLLIN)
        self.send(setup)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def send(self, message: msgspec.Struct) -> None:
        """Send a message. A dead child is noticed when reading, so a broken line is no error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(msgspec.msgpack.encode(message))

    def has_said_something(self) -> bool:
        """True if `receive` need not wait. Cheaper than asking the connection, which makes a selector."""
        return bool(self._poll.poll(0))

    def receive(self, kind: Any) -> Any:
        """The next message. Blocks. Raises EOFError if the child is gone, falls silent or talks nonsense."""
        try:
            return msgspec.msgpack.decode(self.connection.recv_bytes(MAX_ANSWER_BYTES), type=kind)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise EOFError(str(error)) from error

    def kill(self) -> int:
        """End it at once, whatever it does (SIGKILL also ends a stopped one). Returns its exit code."""
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        return code

    def abandon(self, ended: Callable[[int], None]) -> threading.Thread:
        """Like `kill`, without waiting: a process that hangs in a driver may take its time to die. A thread
        waits for it and calls `ended` with its exit code."""
        self._process.kill()
        self.connection.close()
        waiting = threading.Thread(target=lambda: ended(self._process.wait()), name="reaper", daemon=True)
        waiting.start()
        return waiting


def enter() -> tuple[Connection[bytes, bytes], Setup]:
    """First call in a child: die with the parent, leave Ctrl-C to it, open the line, read the setup."""
    keep_freed_memory(SERVICE_BYTES)
    connection_fd, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl took hold
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(
        OSError
    ):  # if memory runs out, the kernel shall take the child and not the daemon
        Path("/proc/self/oom_score_adj").write_text("1000")
    connection: Connection[bytes, bytes] = Connection(connection_fd)
    return connection, msgspec.msgpack.decode(connection.recv_bytes(), type=Setup)


def tell(connection: Connection[bytes, bytes], message: msgspec.Struct) -> None:
    """Say something to the parent."""
    connection.send_bytes(msgspec.msgpack.encode(message))


def serve(
    connection: Connection[bytes, bytes],
    kind: type[T],
    answer: Callable[[T], msgspec.Struct],
    at_once: int = 1,
) -> None:
    """Answer messages of type `kind` until the parent closes the line, up to `at_once` of them at a time, in
    threads; their answers may come in another order. An `answer` that raises ends the process."""
    reading, writing = threading.Lock(), threading.Lock()

    def work() -> None:
        while True:
            with reading:
                try:
                    message = connection.recv_bytes()
                except EOFError:
                    return
            answered = answer(msgspec.msgpack.decode(message, type=kind))
            with writing:
                tell(connection, answered)

    def work_or_end() -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the top of a thread: whatever it is ends the process
            traceback.print_exc()
            os._exit(1)

    for _ in range(at_once - 1):
        threading.Thread(target=work_or_end, name="answer", daemon=True).start()
    work()

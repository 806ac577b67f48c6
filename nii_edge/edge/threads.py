"""Threads that neither die nor hang unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nii_edge.telemetry import logger

OnFailure = Callable[[BaseException], None]

TURN_S = 1.0
"""The longest a loop waits before it turns again, so that one that hangs can be told from one at rest."""


def ignore(_: BaseException) -> None:
    """For tests and tools that watch the log instead."""


class GuardedThread(threading.Thread):
    """Runs `work`, which calls `beat` at each turn of its loop. An exception that leaves it is a defect of
    ours: it is logged with its traceback and `failed` is called, so that the daemon stops instead of
    looking alive."""

    def __init__(self, name: str, work: Callable[[], None], failed: OnFailure) -> None:
        super().__init__(name=name)
        self._work = work
        self._failed = failed
        self.beat_at = time.monotonic()

    def beat(self) -> None:
        """The loop goes on."""
        self.beat_at = time.monotonic()

    def run(self) -> None:
        """The thread's body."""
        self.beat()
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the top of a thread: whatever it is must be told
            logger(self.name).error("thread died; the daemon must stop", exc_info=error)
            self._failed(error)

"""Threads that do not die unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nii_edge.telemetry import logger

OnFailure = Callable[[BaseException], None]


def ignore(_: BaseException) -> None:
    """For tests and tools that watch the log instead."""


class GuardedThread(threading.Thread):
    """Runs `work`. An exception that leaves it is a defect of ours: it is logged with its traceback and
    `failed` is called, so that the daemon stops instead of looking alive."""

    def __init__(self, name: str, work: Callable[[], None], failed: OnFailure) -> None:
        super().__init__(name=name)
        self._work = work
        self._failed = failed

    def run(self) -> None:
        """The thread's body."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the top of a thread: whatever it is must be told
            logger(self.name).error("thread died; the daemon must stop", exc_info=error)
            self._failed(error)

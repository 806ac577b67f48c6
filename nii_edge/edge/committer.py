"""The one thread that talks to the ledger: group commit, and answers to questions.

Whatever waits when a commit begins goes into it together, so that one fsync serves many scans.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, NamedTuple

from nii_edge.edge.threads import GuardedThread, OnFailure
from nii_edge.errors import LedgerError
from nii_edge.ports import Change, Ledger
from nii_edge.telemetry import logger

MAX_GROUP = 512
"""The most changes in one commit."""


class _Write(NamedTuple):
    change: Change
    then: Callable[[], None] | None


class _Ask(NamedTuple):
    question: Callable[[Ledger], Any]
    then: Callable[[Any], None]


class Committer:
    """Runs a ledger in a thread of its own. `failed` is called once, when the ledger cannot be written."""

    def __init__(self, open_ledger: Callable[[], Ledger], failed: OnFailure) -> None:
        self._open = open_ledger
        self._failed = failed
        self._queue: queue.SimpleQueue[_Write | _Ask | None] = queue.SimpleQueue()
        self._thread = GuardedThread("ledger", self._run, failed)
        self._log = logger("ledger")

    def start(self) -> None:
        """Open the ledger and begin. Raises LedgerError if it cannot be opened."""
        opened: queue.SimpleQueue[LedgerError | None] = queue.SimpleQueue()
        self._opened = opened
        self._thread.start()
        error = opened.get()
        if error is not None:
            self._thread.join()
            raise error

    def write(self, change: Change, then: Callable[[], None] | None = None) -> None:
        """Queue a change; `then` runs in the ledger's thread once it is on disk."""
        self._queue.put(_Write(change, then))

    def ask(self, question: Callable[[Ledger], Any], then: Callable[[Any], None]) -> None:
        """Queue a question; `then` gets the answer, in the ledger's thread."""
        self._queue.put(_Ask(question, then))

    def answer(self, question: Callable[[Ledger], Any], timeout_s: float = 10) -> Any:
        """Ask and wait for the answer. Not to be called from the ledger's own thread.

        Raises:
            LedgerError: no answer came; the ledger's thread has ended or hangs.
        """
        box: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ask(question, box.put)
        try:
            return box.get(timeout=timeout_s)
        except queue.Empty:
            raise LedgerError(f"the ledger did not answer within {timeout_s} s") from None

    def close(self) -> None:
        """Write what is queued, close the ledger, end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            ledger = self._open()
        except LedgerError as error:
            self._opened.put(error)
            return
        self._opened.put(None)
        try:
            while self._group(ledger):
                pass
        except LedgerError as error:
            self._log.error("the ledger cannot be written; stopping", error=str(error))
            self._failed(error)
        finally:
            ledger.close()

    def _group(self, ledger: Ledger) -> bool:
        """Commit what waits and answer what was asked. False when told to end."""
        items: list[_Write | _Ask | None] = [self._queue.get()]
        while len(items) < MAX_GROUP and not self._queue.empty():
            items.append(self._queue.get())
        writes = [item for item in items if isinstance(item, _Write)]
        if writes:
            ledger.commit([item.change for item in writes])
        for item in items:
            if isinstance(item, _Write):
                if item.then is not None:
                    item.then()
            elif isinstance(item, _Ask):
                item.then(item.question(ledger))
        return None not in items

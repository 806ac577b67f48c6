"""The one thread that talks to the ledger: group commit, and answers to questions.

Whatever waits when a commit begins goes into it together, so that one fsync serves many scans. What is in
no hurry waits a moment for company: an intent usually goes to disk with its own verdict.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure
from nii_edge.errors import LedgerError, LedgerFullError
from nii_edge.ports import Change, Ledger
from nii_edge.telemetry import logger

MAX_GROUP = 512
"""The most writes and questions in one turn."""
COMPANY_S = 0.02
"""How long a write that is in no hurry waits for others."""


Late = Callable[[], Change]
"""A change that is made up when the commit begins, since it depends on how late that is."""


class _Write(NamedTuple):
    changes: tuple[Change | Late, ...]
    then: Callable[[], None] | None
    hurry: bool


class _Ask(NamedTuple):
    question: Callable[[Ledger], Any]
    then: Callable[[Any], object]


class Committer:
    """Runs a ledger in a thread of its own. `failed` is called once, when the ledger cannot be written."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        failed: OnFailure,
        make_room: Callable[[], bool] = lambda: False,
        took: Callable[[float], object] = lambda _: None,
    ) -> None:
        """`make_room` is called when the disk is full; the commit is tried again if it says True. `took` is
        told how many seconds each commit took that is on disk, before anyone is told of what was in it."""
        self._open = open_ledger
        self._make_room = make_room
        self._took = took
        self._failed = failed
        self._queue: queue.SimpleQueue[_Write | _Ask | None] = queue.SimpleQueue()
        self.thread = GuardedThread("ledger", self._run, failed)
        self._log = logger("ledger")

    def start(self) -> None:
        """Open the ledger and begin. Raises LedgerError if it cannot be opened."""
        opened: queue.SimpleQueue[LedgerError | None] = queue.SimpleQueue()
        self._opened = opened
        self.thread.start()
        error = opened.get()
        if error is not None:
            self.thread.join()
            raise error

    def write(
        self, *changes: Change | Late, then: Callable[[], None] | None = None, hurry: bool = True
    ) -> None:
        """Queue changes for one commit; `then` runs in the ledger's thread once it is on disk."""
        self._queue.put(_Write(changes, then, hurry))

    def ask(self, question: Callable[[Ledger], Any], then: Callable[[Any], object]) -> None:
        """Queue a question; `then` gets the answer, in the ledger's thread."""
        self._queue.put(_Ask(question, then))

    def answer(self, question: Callable[[Ledger], Any], timeout_s: float = 10) -> Any:
        """Ask and wait for the answer. Not to be called from the ledger's own thread.

        Raises:
            LedgerError: no answer came in time, or none will: the ledger's thread has ended.
        """
        box: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ask(question, box.put)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            try:
                return box.get(timeout=0.1)
            except queue.Empty:
                if not self.thread.is_alive():
                    raise LedgerError("the ledger has stopped") from None
        raise LedgerError(f"the ledger did not answer within {timeout_s:g} s")

    def close(self) -> None:
        """Write what is queued, close the ledger, end the thread."""
        self._queue.put(None)
        self.thread.join()

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
        self.thread.beat()
        items = self._gather()
        writes = [item for item in items if isinstance(item, _Write)]
        if writes:
            waited = [change for item in writes for change in item.changes]
            self._commit(ledger, [change() if callable(change) else change for change in waited])
        for item in items:
            if isinstance(item, _Write):
                if item.then is not None:
                    item.then()
            elif isinstance(item, _Ask):
                item.then(item.question(ledger))
        return None not in items

    def _gather(self) -> list[_Write | _Ask | None]:
        """What waits, and what joins it while nothing of it is in a hurry. Empty if nothing comes at all."""
        items: list[_Write | _Ask | None] = []
        patience = TURN_S
        until = time.monotonic() + patience
        while len(items) < MAX_GROUP:
            try:
                item = self._queue.get(timeout=patience) if patience > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if not items:
                until = time.monotonic() + COMPANY_S
            items.append(item)
            if not isinstance(item, _Write) or item.hurry:
                until = 0.0
            patience = until - time.monotonic()
        return items

    def _commit(self, ledger: Ledger, changes: list[Change]) -> None:
        began = time.monotonic()
        try:
            ledger.commit(changes)
        except LedgerFullError:
            if not self._make_room():
                raise
            began = time.monotonic()
            ledger.commit(changes)
        self._took(time.monotonic() - began)

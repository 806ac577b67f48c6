"""A central system that follows the archive from 0, over every restart of either side."""

from __future__ import annotations

import threading
import time

from chaoslib.books import Books, Id, Seen
from chaoslib.lanes import row_of
from nii_edge.errors import WireError
from nii_edge.subscriber import Subscriber


class Follower(threading.Thread):
    """See the module. It may itself be restarted."""

    def __init__(self, endpoint: str, books: Books) -> None:
        super().__init__(name="subscriber")
        self._endpoint = endpoint
        self._books = books
        self._restart = threading.Event()
        self._end = threading.Event()
        self.errors: list[str] = []

    def restart_subscriber(self) -> None:
        """Drop the connection and go on from the last record kept."""
        self._restart.set()

    def end(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()

    def run(self) -> None:
        """The thread's body."""
        since = 0
        while not self._end.is_set():
            self._restart.clear()
            with Subscriber(
                self._endpoint, since=since, decisions=(), scan_types=(), timeout_s=0.5
            ) as subscriber:
                since = self._follow(subscriber, since)

    def _follow(self, subscriber: Subscriber, since: int) -> int:
        try:
            while not (self._end.is_set() or self._restart.is_set()):
                for item in subscriber.fetch_once(limit=500):
                    record = item.report or item.gap or item.recall
                    assert record is not None
                    identity = row = None
                    if item.report is not None:
                        scan = item.report.verdict.id
                        identity, row = Id(scan.scanner, scan.epoch, scan.seq), row_of(item.report)
                    self._books.see(Seen(item.number, record.alert_id, identity, row), time.monotonic())
                    since = item.number
                self._end.wait(0.05)
        except TimeoutError:
            pass
        except WireError as error:
            self.errors.append(str(error))
            self._end.wait(0.2)
        return since

"""A scanner that uses the package's own client, as a maker would: its answers against the books.

The client gives up at its deadline with UNKNOWN(NO_ANSWER); the scan may still be in the ledger, or not.
"""

from __future__ import annotations

import random
import threading
import time

from chaoslib import cartons
from chaoslib.books import Books, Id, Sent
from chaoslib.lanes import Traffic, row_of
from nii_edge.client import Answer, Picture, ScannerClient
from nii_edge.records import Decision, Reason

DEADLINE_S = 1.5
WINDOW = 3


class ClientLane(threading.Thread):
    """One scanner, with sound cartons and blocked ones. Same handles as `lanes.Lane`."""

    bursting = 0

    def __init__(self, endpoint: str, scanner: str, books: Books, seed: int, traffic: Traffic) -> None:
        super().__init__(name=scanner)
        self.scanner = scanner
        self.traffic = traffic
        self._endpoint = endpoint
        self._books = books
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._epoch = 1
        self._open: dict[int, Sent] = {}
        self._sending = threading.Event()
        self._restart = threading.Event()
        self._end = threading.Event()

    @property
    def open_scans(self) -> int:
        """Scans the client has not answered."""
        return len(self._open)

    def go(self) -> None:
        """Send new scans."""
        self._sending.set()

    def rest(self) -> None:
        """Send no new scans."""
        self._sending.clear()

    def burst(self, scans: int) -> None:
        """Not of this lane."""

    def restart_scanner(self) -> None:
        """Forget everything and begin a new epoch."""
        self._restart.set()

    def end(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()

    def run(self) -> None:
        """The thread's body: one client for each epoch."""
        while not self._end.is_set():
            self._restart.clear()
            with ScannerClient(
                self._endpoint, self.scanner, epoch=self._epoch, deadline_s=DEADLINE_S, resend_s=0.25
            ) as client:
                while not (self._end.is_set() or self._restart.is_set()):
                    self._turn(client)
            for scan in self._open.values():
                scan.abandoned = True
            self._open.clear()
            self._epoch += 1

    def _turn(self, client: ScannerClient) -> None:
        if self._sending.is_set() and len(self._open) < WINDOW:
            self._send(client)
        for answer in client.poll(self._random.expovariate(self.traffic.rate)):
            self._answered(answer)

    def _send(self, client: ScannerClient) -> None:
        carton = cartons.dual_energy(self._random, hostile=0.0)
        fields = ("height", "width", "channels", "dtype")
        views = [Picture(payload, **{name: head[name] for name in fields}) for head, payload in carton.views]
        now = time.monotonic()
        number = client.send(views)
        identity = Id(self.scanner, self._epoch, number)
        scan = Sent(identity, f"client_{carton.kind}", carton.allowed, "OPERATIONAL", frozenset({0, 1}), now)
        self._books.enter(scan)
        self._open[number] = scan

    def _answered(self, answer: Answer) -> None:
        scan = self._open.pop(answer.seq, None)
        if scan is None:
            self._books.second_answers.append(f"{self.scanner}/{self._epoch}/{answer.seq}: {answer.decision}")
            return
        if answer.report is not None:
            self._books.tell(scan, row_of(answer.report))
        elif (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NO_ANSWER):
            scan.abandoned = True
            self._books.no_answers += 1
        else:
            self._books.second_answers.append(
                f"{scan.id}: {answer.decision} ({answer.reason}) without a report"
            )

"""The thread between the scanners' sockets and the assembler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from nii_edge import wire
from nii_edge.edge.assemble import Assembler
from nii_edge.edge.case import Case
from nii_edge.edge.committer import Committer
from nii_edge.edge.conclude import Concluder
from nii_edge.edge.decide import Ruling
from nii_edge.edge.decoding import Decoding
from nii_edge.edge.engine import Engine
from nii_edge.edge.jobs import Decoded, DecodeJob
from nii_edge.edge.mailbox import Mailbox
from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure, ignore
from nii_edge.errors import FrameError
from nii_edge.ports import Clock, Intend, Ledger, Miss, ScannerSide, StoredScan
from nii_edge.records import Gap, Reason, Recall, Report, ScanId
from nii_edge.telemetry import logger
from nii_edge.wire import RECALL_TOPIC, Buffer, FrameMessage, RecallMessage, ToScanner, VerdictMessage

BURST = 32
"""Messages read in one turn before verdicts get their chance to leave."""


class Ingest:
    """Owns the sockets and the assembler, and is the assembler's `Effects`.

    Other threads reach it through its mailbox of calls. Parts that need each other are given in
    `connect` before `start`.
    """

    def __init__(
        self,
        side: ScannerSide,
        committer: Committer,
        clock: Clock,
        drain_s: float,
        failed: OnFailure = ignore,
    ) -> None:
        self._side = side
        self._committer = committer
        self._clock = clock
        self._drain_s = drain_s
        self._mail: Mailbox[Callable[[], None]] = Mailbox()
        self._stopping = threading.Event()
        self._thread = GuardedThread("ingest", self._run, failed)
        self._news: Callable[[], None] = lambda: None
        self._seen: Callable[[float | None, Mapping[str, float]], None] = lambda *_: None
        self._log = logger("ingest")

    def connect(
        self,
        assembler: Assembler,
        engine: Engine,
        decoding: Decoding,
        concluder: Concluder,
        news: Callable[[], None],
        seen: Callable[[float | None, Mapping[str, float]], None] = lambda *_: None,
    ) -> None:
        """The parts this one works with. `news` is called when something for the centre is on disk; `seen`
        at each turn, with the time (monotonic) since when the oldest open scan waits, None if none does, and
        that since when no line has come of lanes with a carton in their tunnel."""
        self._assembler = assembler
        self._engine = engine
        self._decoding = decoding
        self._concluder = concluder
        self._news = news
        self._seen = seen

    @property
    def thread(self) -> GuardedThread:
        """The loop between sockets and assembler."""
        return self._thread

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """Receive no more, give what is open its verdict, tell the scanners, close the sockets."""
        self._stopping.set()
        self._mail.put(lambda: None)
        self._thread.join()
        self._mail.close()

    # ---- from other threads

    def on_decoded(self, scan: ScanId, view: int, result: Decoded) -> None:
        """A picture was decoded, or not."""
        self._mail.put(lambda: self._assembler.decoded(scan, view, result))

    def on_concluded(self, report: Report, note: Callable[[], None]) -> None:
        """A verdict is on disk: tell whoever waits for it, then `note` it."""

        def tell() -> None:
            self._assembler.concluded(report)
            note()

        if not self._mail.put(tell):  # after the sockets are closed
            note()
        self._news()

    def on_recalled(self, recall: Recall) -> None:
        """An earlier carton was called back, on disk: tell the site, where it may still be fetched."""
        topic = f"{RECALL_TOPIC}{recall.scan_type.value.lower()}/{recall.scan.scanner}"
        self._mail.put(lambda: self._side.publish(topic, wire.encode(RecallMessage(recall=recall))))

    # ---- Effects, in this thread

    def intend(self, intent: Intend, gap: Gap | None) -> None:
        """Put the intent on disk, and the hole that its number revealed, in one commit."""
        scan = intent.scan

        def on_disk() -> None:
            self._mail.put(lambda: self._assembler.intended(scan))
            if gap is not None:
                self._news()

        changes = (intent,) if gap is None else (Miss(gap), intent)
        self._committer.write(*changes, then=on_disk, hurry=False)

    def look_up(self, scan: ScanId, then: Callable[[StoredScan | None], None]) -> None:
        """Ask the ledger."""
        self._committer.ask(
            lambda ledger: ledger.find(scan), lambda found: self._mail.put(lambda: then(found))
        )

    def find_near(self, scan: ScanId, reach: int, then: Callable[[StoredScan | None], None]) -> None:
        """Ask the ledger for the nearest number."""
        near = sorted(range(max(1, scan.seq - reach), scan.seq + reach + 1), key=lambda n: abs(n - scan.seq))
        scans = [msgspec.structs.replace(scan, seq=number) for number in near]

        def ask(ledger: Ledger) -> StoredScan | None:
            known = [found for near in scans if (found := ledger.find(near)) is not None]
            return min(known, key=lambda found: found.pruned, default=None)

        self._committer.ask(ask, lambda found: self._mail.put(lambda: then(found)))

    def miss(self, gap: Gap, then: Callable[[], None]) -> None:
        """Put a hole in the numbers on disk."""

        def on_disk() -> None:
            self._mail.put(then)
            self._news()

        self._committer.write(Miss(gap), then=on_disk)

    def decode(self, scan: ScanId, view: int, job: DecodeJob, until: float) -> None:
        """Have a picture decoded."""
        self._decoding.decode(scan, view, job, until)

    def submit(self, case: Case) -> None:
        """Have the detectors look."""
        self._engine.submit(case)

    def checked(self, scan: ScanId, digests: tuple[str, ...], error: FrameError | None) -> None:
        """A submitted scan was checked."""
        self._engine.checked(scan, digests, error)

    def conclude(self, case: Case, ruling: Ruling) -> None:
        """Give the verdict."""
        self._concluder.conclude(case, ruling)

    def reply(self, peer: bytes, message: ToScanner) -> None:
        """Answer a scanner. One that is gone asks again when it is back."""
        self._side.reply(peer, wire.encode(message))

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        """Show a view that was cut out of lines to whoever taps the line."""
        self._side.tap(message, pixels)

    def publish(self, message: VerdictMessage) -> None:
        """Tell the site. The topic keeps operational and other scans apart."""
        topic = f"{message.scan_type.value.lower()}/{message.scanner}"
        self._side.publish(topic, wire.encode(message))

    # ---- the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._side.wait(self._mail.fileno(), self._patience())
            self._work()
            for _ in range(BURST):
                message = self._side.receive()
                if message is None:
                    break
                self._assembler.receive(message.peer, message.parts, message.sender)
        self._drain()
        self._side.close()

    def _work(self) -> None:
        self._thread.beat()
        for call in self._mail.take():
            call()
        self._assembler.expire()
        self._seen(self._assembler.oldest_open(), self._assembler.silent_since())

    def _patience(self) -> float:
        at = self._assembler.next_expiry()
        return TURN_S if at is None else min(TURN_S, max(0.0, at - self._clock.monotonic()))

    def _drain(self) -> None:
        """Wait for the verdicts of what was received, at most the drain time."""
        until = self._clock.monotonic() + self._drain_s
        self._assembler.abandon(Reason.SHUTDOWN, "the daemon stopped before all of it had arrived")
        while self._assembler.open_scans and self._clock.monotonic() < until:
            self._side.wait(self._mail.fileno(), 0.05)
            self._work()
        if self._assembler.open_scans:
            self._log.warning("stopped with open scans", open=self._assembler.open_scans)

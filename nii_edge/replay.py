"""Recorded or stored frames to a daemon, at a pace, as a scanner would send them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from nii_edge.client import Answer, ScannerClient
from nii_edge.line_client import LineAnswer
from nii_edge.ports import FrameSource, SourceFrame
from nii_edge.records import Decision, ScanType
from nii_edge.security import ClientKeys
from nii_edge.wire import FrameMessage

WINDOW = 4
"""Scans in flight when replaying flat out: enough to keep the daemon busy, too few to overload it."""


class ReplaySettings(NamedTuple):
    """`rate`: times the recorded pace, or scans a second where the source knows none; None is flat out.

    `scanner`: the lane to play as; None takes the recorded names.
    """

    endpoint: str
    rate: float | None
    scanner: str | None
    scan_type: ScanType
    loop: bool
    deadline_s: float
    keys: ClientKeys | None = None
    insecure: bool = False


class Outgoing(NamedTuple):
    """One scan from a source, ready to be sent. `due_s`: seconds after the first one at the recorded
    pace; None if the source knows no pace."""

    scanner: str
    frames: list[tuple[FrameMessage, bytes]]
    due_s: float | None


class Summary(msgspec.Struct, kw_only=True):
    """What came of a replay. Latencies in milliseconds from last byte sent to verdict received; of lines,
    from the carton's last line. `after_gap_ms`: from the line with which it is known to have ended."""

    scans_sent: int
    verdicts: dict[str, int]
    reasons: dict[str, int]
    latency_ms: dict[str, float | None]
    seconds: float
    problems: list[str]
    after_gap_ms: dict[str, float | None] | None = None

    @property
    def answered(self) -> bool:
        """True if the daemon gave every scan a verdict and the whole source could be read."""
        return not self.problems


class Told(NamedTuple):
    """An answer with what it answers."""

    scan: Outgoing
    answer: Answer | LineAnswer


def scans(source: FrameSource, scanner: str | None) -> Iterator[Outgoing]:
    """The source's frames, gathered to scans. Raises RecordingError."""
    first_time: int | None = None
    group: list[SourceFrame] = []
    for frame in source:
        if group and _key(frame) != _key(group[0]):
            yield _outgoing(group, scanner, first_time)
            group = []
        if first_time is None:
            first_time = frame.log_time_ns
        group.append(frame)
    if group:
        yield _outgoing(group, scanner, first_time)


def _key(frame: SourceFrame) -> tuple[str, int, int]:
    return frame.header.scanner, frame.header.epoch, frame.header.seq


def _outgoing(group: list[SourceFrame], scanner: str | None, first_time: int | None) -> Outgoing:
    header = group[0].header
    time_ns = group[-1].log_time_ns
    due = None if time_ns is None or first_time is None else (time_ns - first_time) / 1e9
    frames = [(frame.header, frame.payload) for frame in group]
    return Outgoing(scanner or header.scanner, frames, due)


class Replayer:
    """Plays a source once, or over and over until stopped. `told` is called for every answer."""

    def __init__(self, source: FrameSource, settings: ReplaySettings, told: Callable[[Told], None]) -> None:
        self._source = source
        self._settings = settings
        self._told = told
        self._clients: dict[str, ScannerClient] = {}
        self._sent: dict[tuple[str, int], Outgoing] = {}
        self._verdicts: Counter[str] = Counter({decision.value: 0 for decision in Decision})
        self._reasons: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._refusals: dict[str, str] = {}
        self.stopped = False

    def run(self) -> Summary:
        """Send everything, wait for every answer. Raises RecordingError."""
        began = time.monotonic()
        count = 0
        try:
            while True:
                count += self._play()
                if not self._settings.loop or self.stopped:
                    break
            while self._sent:
                self._collect(0.1)
        finally:
            for client in self._clients.values():
                client.close()
        return Summary(
            scans_sent=count,
            verdicts=dict(self._verdicts),
            reasons=dict(self._reasons),
            latency_ms=percentiles(self._latencies),
            seconds=round(time.monotonic() - began, 3),
            problems=[
                *self._source.problems,
                *(f"{reason}: {detail}" for reason, detail in self._refusals.items()),
            ],
        )

    def _play(self) -> int:
        began = time.monotonic()
        count = 0
        for scan in scans(self._source, self._settings.scanner):
            if self.stopped:
                break
            self._hold_pace(scan, began, count)
            client = self._client(scan.scanner)
            self._sent[scan.scanner, client.send_frames(scan.frames)] = scan
            self._collect(0.0)
            count += 1
        return count

    def _hold_pace(self, scan: Outgoing, began: float, count: int) -> None:
        rate = self._settings.rate
        if rate is None:
            while len(self._sent) >= WINDOW:
                self._collect(0.1)
            return
        due = began + (count if scan.due_s is None else scan.due_s) / rate
        while (left := due - time.monotonic()) > 0:
            self._collect(min(left, 0.1))

    def _client(self, scanner: str) -> ScannerClient:
        if scanner not in self._clients:
            self._clients[scanner] = ScannerClient(
                self._settings.endpoint,
                scanner,
                scan_type=self._settings.scan_type,
                deadline_s=self._settings.deadline_s,
                keys=self._settings.keys,
                insecure=self._settings.insecure,
            )
        return self._clients[scanner]

    def _collect(self, timeout_s: float) -> None:
        if not self._clients:
            time.sleep(timeout_s)
        for scanner, client in self._clients.items():
            for answer in client.poll(timeout_s / len(self._clients)):
                scan = self._sent.pop((scanner, answer.seq))
                self._verdicts[answer.decision.value] += 1
                if answer.reason is not None:
                    self._reasons[answer.reason.value] += 1
                self._latencies.append(answer.latency_s)
                if answer.report is None and answer.reason is not None:
                    self._refusals.setdefault(answer.reason.value, answer.detail)
                self._told(Told(scan, answer))


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles in milliseconds; None of nothing."""
    ordered = sorted(seconds)

    def rank(percent: int) -> float | None:
        return round(1000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)], 3) if ordered else None

    return {"p50": rank(50), "p99": rank(99)}

"""The columns of the comparison, each measured the same way."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

import cv2
import msgspec

from nii_edge.bench.frames import Shot, as_frame
from nii_edge.bench.load import LEAD_IN_S, Answer, Lane, Slice, closed_loop
from nii_edge.bench.machine import cpu_seconds
from nii_edge.bench.reference import NAME, scan_of
from nii_edge.config import Inference
from nii_edge.errors import NiiEdgeError
from nii_edge.inference_process import open_detector
from nii_edge.records import Decision, Finding

SCORE_TOLERANCE = 0.02
BOX_TOLERANCE_PX = 2.0


class Column(Protocol):
    """Something that looks at scans."""

    def measure(self, in_flight: int, seconds: float, /) -> Slice:
        """Closed loop for so long, its beginning not counted."""


class Bare:
    """Front end, runtime and head in a loop in this process: the ceiling. One at a time."""

    def __init__(self, bundle: Path, threads: int, shots: Sequence[Shot]) -> None:
        cv2.setNumThreads(threads)
        self._detector, self._runtime, _ = open_detector(NAME, bundle, Inference(threads=threads))
        self._scans = [scan_of(as_frame(shot.pixels)) for shot in shots]
        self._next = 0

    def measure(self, _: int, seconds: float, /) -> Slice:
        """Always one in flight: there is nobody to wait for."""
        self._loop(time.monotonic() + LEAD_IN_S)
        spent, end = time.process_time(), time.monotonic() + seconds
        answers = self._loop(end)
        spent = time.process_time() - spent
        return Slice([answer for answer in answers if answer.at < end], seconds, spent)

    def findings(self) -> list[tuple[Finding, ...]]:
        """What the model finds in each frame: what the other columns must find as well."""
        self._next = 0
        return [self._look() for _ in self._scans]

    def close(self) -> None:
        """Free the model."""
        self._runtime.close()

    def _loop(self, until: float) -> list[Answer]:
        answers: list[Answer] = []
        while (began := time.monotonic()) < until:
            findings = self._look()
            at = time.monotonic()
            answers.append(Answer(self._next, at, at - began, Decision.CLEAR, None, findings))
        return answers

    def _look(self) -> tuple[Finding, ...]:
        scan = self._scans[self._next % len(self._scans)]
        self._next += 1
        return self._detector.detect([scan])[0]


class Remote:
    """The echo or the daemon, at the other end of a lane."""

    def __init__(self, name: str, pid: int, lane: Lane) -> None:
        self._name, self._pid, self._lane = name, pid, lane

    def measure(self, in_flight: int, seconds: float, /) -> Slice:
        """Raises NiiEdgeError when a scan was not looked at: an UNKNOWN is fast, and no work."""
        found = closed_loop(self._lane, in_flight, seconds, lambda: cpu_seconds(self._pid))
        for answer in found.answers:
            if answer.decision is not Decision.CLEAR:
                raise NiiEdgeError(f"{self._name}: {answer.decision.value} {answer.reason or ''}")
        return found

    def prove(self, expected: Sequence[tuple[Finding, ...]]) -> None:
        """Send every frame once; raise NiiEdgeError unless the findings are those of the bare runtime."""
        for number, wanted in enumerate(expected):
            seq = self._lane.send()
            answers: list[Answer] = []
            while not answers:
                answers = self._lane.wait(60)
            if answers[0].seq != seq or not same(wanted, answers[0].findings):
                raise NiiEdgeError(f"{self._name}: frame {number} gave other findings than the bare runtime")


def same(wanted: Sequence[Finding], found: Sequence[Finding]) -> bool:
    """True if the best wanted finding is among those found, and there are about as many."""
    if not wanted or abs(len(wanted) - len(found)) > 1:
        return False
    best = max(wanted, key=lambda finding: finding.score)
    return any(_near(best, finding) for finding in found)


def _near(one: Finding, other: Finding) -> bool:
    if one.box is None or other.box is None or one.label != other.label:
        return False
    sides = (one.box.x0 - other.box.x0, one.box.y0 - other.box.y0, one.box.x1 - other.box.x1)
    return abs(one.score - other.score) < SCORE_TOLERANCE and max(map(abs, sides)) < BOX_TOLERANCE_PX


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The median over the rounds, and how far they lie apart."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median=round(median(values), 4), min=round(min(values), 4), max=round(max(values), 4))


def percentile_ms(latencies_s: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile in milliseconds of at least one latency."""
    ordered = sorted(latencies_s)
    return round(1000 * ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)], 3)


class Timing(NamedTuple):
    """One slice in numbers; latencies, and CPU time for each frame, in milliseconds."""

    frames: int
    fps: float
    p50: float
    p99: float
    cpu: float


def timing(found: Slice) -> Timing:
    """Raises NiiEdgeError for a slice without an answer."""
    if not found.answers:
        raise NiiEdgeError("a slice went by without an answer; use more --seconds")
    latencies = [answer.latency_s for answer in found.answers]
    p50, p99 = percentile_ms(latencies, 50), percentile_ms(latencies, 99)
    return Timing(len(latencies), found.fps, p50, p99, 1000 * found.cpu_s / len(latencies))

"""The open loop: cartons arrive on several lanes whether or not the last one was answered."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Literal, NamedTuple

import msgspec

from nii_edge.bench.columns import percentile_ms
from nii_edge.bench.frames import Shot
from nii_edge.bench.load import Lane, open_loop
from nii_edge.records import Decision

Pattern = Literal["poisson", "jittered"]
"""`poisson`: gaps on each lane are exponential, as if cartons knew nothing of each other: bunches the belt
could not bring. `jittered`: evenly spaced, each carton up to half a gap late."""
SEED = 7
WARM_UP_S = 2.0
"""Arrivals of the first seconds are not counted."""


class Traffic(NamedTuple):
    """What arrives: `per_hour` cartons on each of `lanes`, `views` views each, for `seconds`."""

    lanes: int
    per_hour: float
    views: int
    seconds: float
    pattern: Pattern


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. p50, p99 and max in milliseconds from handing over a carton's last byte to its
    verdict. `late_p99_ms`: how late the load generator itself was. `unanswered`: cartons that got none."""

    models: str
    lanes: int
    cartons_per_hour: float
    views: int
    pattern: str
    view_frames_per_s: float
    cartons: int
    p50: float | None
    p99: float | None
    max: float | None
    unknown: int
    unanswered: int
    verdicts: dict[str, int]
    reasons: dict[str, int]
    late_p99_ms: float | None


def run(endpoint: str, models: str, traffic: Traffic, shots: Sequence[Shot]) -> OpenLoop:
    """Send it to the daemon at `endpoint`, whose lanes are ``lane-1`` and so on."""
    with ExitStack() as stack:
        lanes = [
            stack.enter_context(Lane(endpoint, f"lane-{n + 1}", _turned(shots, n), traffic.views))
            for n in range(traffic.lanes)
        ]
        open_loop(lanes, arrivals(traffic._replace(seconds=min(WARM_UP_S, traffic.seconds))))
        came = open_loop(lanes, arrivals(traffic))
    latencies = [answer.latency_s for answer in came.answers]
    verdicts = Counter(answer.decision.value for answer in came.answers)
    reasons = Counter(answer.reason.value for answer in came.answers if answer.reason is not None)
    return OpenLoop(
        models=models,
        lanes=traffic.lanes,
        cartons_per_hour=traffic.per_hour,
        views=traffic.views,
        pattern=traffic.pattern,
        view_frames_per_s=round(came.sent * traffic.views / traffic.seconds, 2),
        cartons=came.sent,
        p50=percentile_ms(latencies, 50) if latencies else None,
        p99=percentile_ms(latencies, 99) if latencies else None,
        max=percentile_ms(latencies, 100) if latencies else None,
        unknown=verdicts[Decision.UNKNOWN.value],
        unanswered=came.sent - len(came.answers),
        verdicts=dict(verdicts),
        reasons=dict(reasons),
        late_p99_ms=percentile_ms(came.lateness_s, 99) if came.lateness_s else None,
    )


def arrivals(traffic: Traffic) -> Iterator[tuple[float, int]]:
    """When a carton comes, in seconds from the start, and on which lane; in order of time."""
    return heapq.merge(*(_lane(traffic, lane) for lane in range(traffic.lanes)))


def _lane(traffic: Traffic, lane: int) -> Iterator[tuple[float, int]]:
    rng = random.Random(SEED + lane)  # noqa: S311 - arrivals, not secrets
    gap = 3600.0 / traffic.per_hour
    due = rng.uniform(0, gap)
    while due < traffic.seconds:
        if traffic.pattern == "poisson":
            yield due, lane
            due += rng.expovariate(1.0 / gap)
        else:
            yield due + rng.uniform(0, gap / 2), lane
            due += gap


def _turned(shots: Sequence[Shot], by: int) -> list[Shot]:
    """Every lane begins with another frame."""
    start = by % len(shots)
    return [*shots[start:], *shots[:start]]

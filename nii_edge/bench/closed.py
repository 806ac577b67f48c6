"""Closed loops: bare runtime, echo and daemon in interleaved rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from nii_edge.bench.columns import Column, Spread, Timing, spread, timing
from nii_edge.bench.machine import Others

WARM_UP_S = 1.0

Key = tuple[str, int]
"""A column's name and how many scans are in flight."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One column at one number in flight. `frames` were measured; latencies in milliseconds; `cpu_ms`: CPU
    time of the column's processes for each frame, the load generator's not counted."""

    frames: int
    fps: Spread
    p50: Spread
    p99: Spread
    cpu_ms: Spread


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Ratios of frames a second: the daemon's, saturated, over the echo's, saturated, and over the bare
    runtime's. `overhead_ms` is what the daemon adds to the echo's latency at one in flight;
    `echo_overhead_ms` what the echo adds to the bare runtime's. All are taken within each round.
    `others_cores`: what other processes took of the machine meanwhile, round by round."""

    ratio_to_echo: Spread
    ratio_to_bare: Spread
    overhead_ms: dict[str, Spread]
    echo_overhead_ms: dict[str, Spread]
    others_cores: Spread
    columns: dict[str, dict[str, Cell]]


class Plan(NamedTuple):
    """How many rounds, seconds a slice, and scans in flight when saturated."""

    rounds: int
    seconds: float
    in_flight: int


def measure(columns: Mapping[str, Column], plan: Plan, tell: Callable[[str], None]) -> Comparison:
    """All rounds. `columns` are ``bare``, ``echo`` and ``daemon``. Raises NiiEdgeError if one fails."""
    for name, column in columns.items():
        tell(f"warming up: {name}")
        column.measure(plan.in_flight, WARM_UP_S if plan.seconds >= 1 else plan.seconds)
    timings: dict[Key, list[Timing]] = defaultdict(list)
    busy: list[float] = []
    others = Others()
    for number in range(plan.rounds):
        tell(f"round {number + 1} of {plan.rounds}")
        for name, in_flight in order(number, plan.in_flight):
            timings[name, in_flight].append(timing(columns[name].measure(in_flight, plan.seconds)))
        busy.append(others.cores())
    return compare(timings, plan.in_flight, busy)


def order(number: int, in_flight: int) -> list[Key]:
    """Every column goes first in turn, and what is compared stands side by side."""
    ones: list[Key] = [("bare", 1), ("echo", 1), ("daemon", 1)]
    turn = number % 3
    saturated: list[Key] = [("echo", in_flight), ("daemon", in_flight)]
    return ones[turn:] + ones[:turn] + (saturated[::-1] if number % 2 else saturated)


def compare(
    timings: Mapping[Key, Sequence[Timing]], in_flight: int, others_cores: Sequence[float]
) -> Comparison:
    """The numbers of all rounds, paired round by round."""
    bare, echo, daemon = (timings[name, 1] for name in ("bare", "echo", "daemon"))
    full_echo, full_daemon = timings["echo", in_flight], timings["daemon", in_flight]
    columns: dict[str, dict[str, Cell]] = defaultdict(dict)
    for (name, count), rounds in timings.items():
        columns[name]["one" if count == 1 else "saturated"] = _cell(rounds)
    return Comparison(
        ratio_to_echo=spread([d.fps / e.fps for d, e in zip(full_daemon, full_echo, strict=True)]),
        ratio_to_bare=spread([d.fps / b.fps for d, b in zip(full_daemon, bare, strict=True)]),
        overhead_ms=_added(daemon, echo),
        echo_overhead_ms=_added(echo, bare),
        others_cores=spread(others_cores),
        columns=dict(columns),
    )


def _added(ones: Sequence[Timing], others: Sequence[Timing]) -> dict[str, Spread]:
    pairs = list(zip(ones, others, strict=True))
    return {
        "p50": spread([one.p50 - other.p50 for one, other in pairs]),
        "p99": spread([one.p99 - other.p99 for one, other in pairs]),
    }


def _cell(rounds: Sequence[Timing]) -> Cell:
    return Cell(
        frames=sum(timing.frames for timing in rounds),
        fps=spread([timing.fps for timing in rounds]),
        p50=spread([timing.p50 for timing in rounds]),
        p99=spread([timing.p99 for timing in rounds]),
        cpu_ms=spread([timing.cpu for timing in rounds]),
    )

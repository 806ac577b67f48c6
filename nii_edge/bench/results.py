"""`nii-edge bench`: runs everything and says what came of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from nii_edge.bench import closed, lanes, reference, sites
from nii_edge.bench.closed import Comparison, Plan
from nii_edge.bench.columns import Bare, Remote
from nii_edge.bench.frames import Shot, shots
from nii_edge.bench.lanes import OpenLoop, Traffic
from nii_edge.bench.load import Lane
from nii_edge.bench.machine import Machine, describe

Models = Literal["shipped", "reference"]


class Request(NamedTuple):
    """The command's options. `threads`: of every inference, in all columns; 0 takes what there is, at most 2.
    `collected`: the daemon also reports to a collector."""

    plan: Plan
    traffic: Traffic
    models: Models
    threads: int
    collected: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. The first four keys are medians of `closed_loop`, where their spread stands.
    `problems`: what went wrong, in words; empty if nothing did."""

    ratio_to_echo: float
    ratio_to_bare: float
    overhead_ms: dict[str, float]
    rounds: int
    seconds: float
    in_flight: int
    threads: int
    collector: bool
    closed_loop: Comparison
    open_loop: OpenLoop
    machine: Machine
    problems: list[str]


def bench(request: Request, tell: Callable[[str], None]) -> Result:
    """Measure. Raises NiiEdgeError when a column fails or gives other answers than the bare runtime."""
    threads = request.threads or max(1, min(2, len(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory(prefix="nii-edge-bench-") as name:
        folder = Path(name)
        machine = describe(folder)
        tell("building the reference model and the frames")
        bundle = reference.write_reference(folder / "reference").folder
        frames = shots()
        comparison = _closed(request, folder, bundle, threads, frames, tell)
        tell(f"open loop: {request.traffic.lanes} lanes, {request.traffic.seconds:g} s")
        opened = _open(request, folder, bundle, threads, frames)
    return Result(
        ratio_to_echo=comparison.ratio_to_echo.median,
        ratio_to_bare=comparison.ratio_to_bare.median,
        overhead_ms={key: value.median for key, value in comparison.overhead_ms.items()},
        rounds=request.plan.rounds,
        seconds=request.plan.seconds,
        in_flight=request.plan.in_flight,
        threads=threads,
        collector=request.collected,
        closed_loop=comparison,
        open_loop=opened,
        machine=machine,
        problems=_problems(opened),
    )


def _closed(
    request: Request,
    folder: Path,
    bundle: Path,
    threads: int,
    frames: list[Shot],
    tell: Callable[[str], None],
) -> Comparison:
    """The three columns, proved to do the same work, then measured."""
    with ExitStack() as stack:
        bare = Bare(bundle, threads, frames)
        stack.callback(bare.close)
        tree = sites.reference_edge(folder, bundle, threads, request.plan.in_flight)
        services = {
            "echo": stack.enter_context(sites.echo(folder, bundle, threads)),
            "daemon": stack.enter_context(sites.edge(folder / "closed", tree, collected=request.collected)),
        }
        expected = bare.findings()
        remotes = {}
        for name, service in services.items():
            lane = stack.enter_context(Lane(service.endpoint, "lane-1", frames))
            remotes[name] = Remote(name, service.pid, lane)
            remotes[name].prove(expected)
        return closed.measure({"bare": bare, **remotes}, request.plan, tell)


def _open(request: Request, folder: Path, bundle: Path, threads: int, frames: list[Shot]) -> OpenLoop:
    traffic = request.traffic
    if request.models == "shipped":
        tree = sites.lanes_of_shipped(folder, threads, traffic.lanes, traffic.views)
    else:
        tree = sites.lanes_of_reference(folder, bundle, threads, traffic.lanes, traffic.views)
    with sites.edge(folder / "open", tree, collected=request.collected) as service:
        return lanes.run(
            service.endpoint, f"{request.models}: {', '.join(tree['detectors'])}", traffic, frames
        )


def _problems(opened: OpenLoop) -> list[str]:
    problems = []
    if not opened.cartons:
        problems.append("open loop: no carton was sent; use more --minutes")
    if opened.unanswered:
        problems.append(f"open loop: {opened.unanswered} cartons without a verdict")
    if opened.unknown:
        reasons = ", ".join(f"{reason} {count}" for reason, count in opened.reasons.items())
        problems.append(f"open loop: {opened.unknown} UNKNOWN ({reasons})")
    return problems

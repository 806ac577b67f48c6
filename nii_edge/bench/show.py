"""The benchmark's numbers as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from nii_edge.bench.closed import Cell
from nii_edge.bench.columns import Spread
from nii_edge.bench.results import Result


def show(result: Result, console: Console) -> None:
    """Machine, columns, comparison, open loop."""
    m = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in m.versions.items())
    console.print(
        f"{m.cpu}, {m.cores} cores, {m.memory_gib} GiB, {m.system}, load {m.load}, ledger on {m.ledger_on}"
    )
    console.print(versions, style="dim", highlight=False)
    console.print(_columns(result))
    c = result.closed_loop
    console.print(
        f"the daemon over the echo: {_of(c.ratio_to_echo)} of its frames/s saturated, "
        f"+{_of(c.overhead_ms['p50'])} ms p50 and +{_of(c.overhead_ms['p99'])} ms p99 at one in flight",
        highlight=False,
    )
    console.print(
        f"over the bare runtime: {_of(c.ratio_to_bare)} of its frames/s; the echo itself adds "
        f"{_of(c.echo_overhead_ms['p50'])} ms p50",
        highlight=False,
    )
    console.print(f"others used {_of(c.others_cores)} of the {m.cores} cores meanwhile", highlight=False)
    console.print(_lanes(result))
    for problem in result.problems:
        console.print(f"wrong: {problem}", style="red", markup=False, highlight=False)


def _columns(result: Result) -> Table:
    table = Table(
        title=f"{result.rounds} rounds of {result.seconds:g} s, {result.threads} threads: median (min-max)"
    )
    for name in ("column", "in flight", "frames", "frames/s", "p50 ms", "p99 ms", "CPU ms"):
        table.add_column(name, justify="left" if name == "column" else "right")
    for name, cells in result.closed_loop.columns.items():
        for load, cell in cells.items():
            table.add_row(name, "1" if load == "one" else str(result.in_flight), *_row(cell))
    return table


def _row(cell: Cell) -> list[str]:
    return [str(cell.frames), *(_of(value, 1) for value in (cell.fps, cell.p50, cell.p99, cell.cpu_ms))]


def _of(value: Spread, digits: int = 2) -> str:
    return f"{value.median:.{digits}f} ({value.min:.{digits}f}-{value.max:.{digits}f})"


def _lanes(result: Result) -> Table:
    o = result.open_loop
    title = f"open loop, {o.models}: {o.lanes} lanes of {o.cartons_per_hour:g} cartons/h, {o.pattern}"
    table = Table(title=title)
    for name in ("frames/s", "cartons", "p50 ms", "p99 ms", "max ms", "UNKNOWN", "sent late p99 ms"):
        table.add_column(name, justify="right")
    numbers = (o.view_frames_per_s, o.cartons, o.p50, o.p99, o.max, o.unknown, o.late_p99_ms)
    table.add_row(*("-" if number is None else str(number) for number in numbers))
    return table

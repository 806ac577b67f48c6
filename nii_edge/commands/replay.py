"""`nii-edge replay`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from nii_edge.adapters.pictures import open_source
from nii_edge.commands.line import Line
from nii_edge.config import Profile, load
from nii_edge.errors import ConfigError
from nii_edge.line_replay import LineReplayer, LineSettings
from nii_edge.ports import FrameSource
from nii_edge.records import Channel, ScanType
from nii_edge.replay import Replayer, ReplaySettings, Summary, Told

BELT_MM_S = 500.0
"""What rate 1 is for lines: the belt of a fast parcel scanner, 0.5 m/s."""


class Request(NamedTuple):
    """The command's options."""

    source: Path
    endpoint: str
    rate: str | None
    loop: bool
    scanner: str | None
    channels: str | None
    scan_type: ScanType
    deadline_s: float
    line: Line
    as_lines: Path | None = None
    belt: Literal["rows", "columns"] = "rows"


def replay(
    request: Request, console: Console, *, quiet: bool, on_stop: Callable[[Callable[[], None]], None]
) -> Summary:
    """Play the source; a progress bar on a terminal. Raises RecordingError, ConfigError."""
    source = open_source(request.source, _channels(request.channels))
    paced = request.source.suffix.lower() == ".mcap"
    with _progress(console, quiet) as progress:
        task = progress.add_task("replay", total=len(source) or None, worst="")
        player = _player(request, source, paced, lambda told: _advance(progress, told))
        on_stop(lambda: setattr(player, "stopped", True))
        summary = player.run()
        progress.update(task, visible=not quiet)
    return summary


def _player(
    request: Request, source: FrameSource, paced: bool, told: Callable[[Told], None]
) -> Replayer | LineReplayer:
    rate = _rate(request.rate, paced or request.as_lines is not None)
    settings = ReplaySettings(
        endpoint=request.endpoint,
        rate=rate,
        scanner=request.scanner,
        scan_type=request.scan_type,
        loop=request.loop,
        deadline_s=request.deadline_s,
        keys=request.line.keys([request.endpoint]),
        insecure=request.line.insecure,
    )
    if request.as_lines is None:
        return Replayer(source, settings, told)
    profile = load(request.as_lines, Profile)
    pitch = 1.0 if profile.line_scan is None else profile.line_scan.line_pitch_mm
    settings = settings._replace(rate=None if rate is None else rate * BELT_MM_S / pitch)
    return LineReplayer(source, LineSettings(settings, profile, request.belt), told)


def show(summary: Summary, console: Console) -> None:
    """The summary as a table, and what could not be read."""
    table = Table(title=f"{summary.scans_sent} scans in {summary.seconds:.1f} s")
    table.add_column("verdict")
    table.add_column("scans", justify="right")
    for verdict, count in summary.verdicts.items():
        table.add_row(verdict, str(count))
    for reason, count in sorted(summary.reasons.items()):
        table.add_row(f"  {reason}", str(count))
    console.print(table)
    latency = summary.latency_ms
    if latency["p50"] is not None:
        console.print(f"last byte to verdict: p50 {latency['p50']} ms, p99 {latency['p99']} ms")
    gap = summary.after_gap_ms
    if gap is not None and gap["p50"] is not None:
        console.print(
            f"  of that, once the gap behind it had passed: p50 {gap['p50']} ms, p99 {gap['p99']} ms"
        )
    for problem in summary.problems:
        console.print(f"problem: {problem}", style="red", markup=False, highlight=False)


def _rate(text: str | None, paced: bool) -> float | None:
    if text is None:
        return 1.0 if paced else None
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise ConfigError(f"--rate {text}: expected a number above 0, or max")
    return rate


def _channels(text: str | None) -> tuple[Channel, ...] | None:
    if text is None:
        return None
    known = {name: name for name in get_args(Channel)}
    try:
        return tuple(known[name] for name in text.split(","))
    except KeyError as error:
        raise ConfigError(f"--channels {text}: {error} is none of {', '.join(known)}") from error


def _progress(console: Console, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[worst]}"),
        console=console,
        disable=quiet or not console.is_terminal,
    )


def _advance(progress: Progress, told: Told) -> None:
    task = progress.tasks[0].id
    progress.advance(task, len(told.scan.frames))
    reason = f" {told.answer.reason.value}" if told.answer.reason is not None else ""
    progress.update(task, worst=f"{told.answer.decision.value}{reason}")

"""The commands. Results go to stdout (with --json exactly one JSON object), logs to stderr."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from nii_edge import __version__
from nii_edge.errors import NiiEdgeError
from nii_edge.records import ScanType
from nii_edge.telemetry import configure_logs, logger

app = typer.Typer(
    name="nii-edge",
    help="The open edge daemon for X-ray inspection of cartons.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration file.")]


def main() -> None:
    """Entry point: an error this package knows is one sentence and exit status 1, not a traceback."""
    try:
        app()
    except NiiEdgeError as error:
        _err.print(f"nii-edge: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        _out.print(__version__)
        raise typer.Exit


@app.command(epilog="Example: nii-edge run configs/edge.yaml")
def run(config: ConfigPath) -> None:
    """Run the edge daemon until SIGTERM or Ctrl-C: then finish what is in flight and exit 0."""
    from nii_edge import compose
    from nii_edge.adapters.zmq_scanners import ZmqScanners, endpoints_by_name

    plan = compose.plan_edge(config)
    configure_logs(plan.config.log.level, plan.config.log.format)
    log = logger("run")
    stop = _stop_on_signals()
    daemon = compose.edge(plan)
    side = daemon.start()
    if isinstance(side, ZmqScanners):
        compose.write_endpoints(plan.state_dir, endpoints_by_name(side.endpoints))
        log.info(
            "ready", edge=plan.config.edge, insecure=plan.config.listen.insecure, **side.endpoints._asdict()
        )
    while not stop.is_set() and not daemon.failed.is_set():
        stop.wait(0.2)
    log.info("stopping")
    daemon.stop()
    log.info("stopped")
    if daemon.failed.is_set():
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge collect configs/collector.yaml")
def collect(config: ConfigPath) -> None:
    """Run the collector: archive what edges report, serve subscribers, until SIGTERM or Ctrl-C."""
    from nii_edge import compose

    stop = _stop_on_signals()
    settings, archive, collector = compose.collector(config)
    configure_logs(settings.log.level, settings.log.format)
    folder = (config.resolve().parent / settings.archive).parent
    compose.write_endpoints(folder, collector.endpoints._asdict())
    try:
        collector.run(stop)
    finally:
        archive.close()


@app.command(epilog="Example: nii-edge check configs/edge.yaml")
def check(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """Say what `nii-edge run CONFIG` would do and what is wrong, without opening a socket."""
    from nii_edge import compose

    found = compose.check_edge(config)
    ok = not found.problems
    if as_json:
        _print_json({"ok": ok, "problems": found.problems, "would_run": found.would_run})
    else:
        for line in found.would_run:
            _out.print(f"  {line}", markup=False, highlight=False)
        for problem in found.problems:
            _out.print(f"  wrong: {problem}", style="red", markup=False, highlight=False)
        _out.print("ok" if ok else f"{len(found.problems)} problem(s)", style="green" if ok else "red")
    if not ok:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge replay pictures/ --to tcp://127.0.0.1:5555 --rate max")
def replay(
    source: Annotated[
        Path, typer.Argument(help="An MCAP recording, a folder of images or arrays, or one file of these.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="ENDPOINT", help="The daemon's `scanners` endpoint.")],
    rate: Annotated[
        str | None,
        typer.Option(
            help="N: N times the recorded pace, or N scans a second for pictures. max: flat out. "
            "Default: 1 for recordings, max for pictures."
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Over and over, until Ctrl-C.")] = False,
    scanner: Annotated[
        str | None,
        typer.Option(help="The lane to play as. Default: the recorded one; `replay` for pictures."),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="For pictures and arrays: what their channels are, for example low,high or high."),
    ] = None,
    operational: Annotated[
        bool,
        typer.Option(
            "--operational", help="Send as OPERATIONAL: for demonstrations only. It counts as real."
        ),
    ] = False,
    deadline: Annotated[
        float, typer.Option(help="Seconds to wait for each verdict before it is UNKNOWN(NO_ANSWER).")
    ] = 10.0,
    as_json: JsonFlag = False,
) -> None:
    """Send recorded or stored frames to a daemon, as NON_OPERATIONAL scans of a fresh epoch."""
    from nii_edge.commands import replay as command

    request = command.Request(
        source=source,
        endpoint=to,
        rate=rate,
        loop=loop,
        scanner=scanner,
        channels=channels,
        scan_type=ScanType.OPERATIONAL if operational else ScanType.NON_OPERATIONAL,
        deadline_s=deadline,
    )
    summary = command.replay(request, _err, quiet=as_json, on_stop=_call_on_signals)
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, _out)
    if not summary.answered:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge record day.mcap --tap tcp://127.0.0.1:5557 --seconds 60")
def record(
    file: Annotated[Path, typer.Argument(help="The MCAP file to write. Must not exist yet.")],
    tap: Annotated[
        str, typer.Option(metavar="ENDPOINT", help="The daemon's `tap` endpoint.")
    ] = "tcp://127.0.0.1:5557",
    verdicts: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help="The daemon's `verdicts` endpoint.")
    ] = "tcp://127.0.0.1:5556",
    seconds: Annotated[float | None, typer.Option(help="How long. Default: until Ctrl-C.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Record the frames and verdicts that pass through a running daemon."""
    from nii_edge.commands import record as command

    summary = command.record(file, tap, verdicts, seconds, _err, quiet=as_json, on_stop=_call_on_signals)
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, file, _out)
    if summary.missed:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge subscribe tcp://127.0.0.1:5561 --since 0 --json-lines")
def subscribe(
    endpoint: Annotated[str, typer.Argument(help="The collector's `subscribers` endpoint.")],
    since: Annotated[int, typer.Option(help="Begin after this archive number; 0 is the beginning.")] = 0,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="One JSON object a line.")] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when everything archived so far was printed.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="CLEAR verdicts too.")] = False,
    non_operational: Annotated[
        bool, typer.Option("--non-operational", help="Replays and tests too.")
    ] = False,
    previews: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save each alert's picture here.")
    ] = None,
) -> None:
    """Print alerts as a central system gets them: from any point, then live, each exactly once."""
    from nii_edge.commands import subscribe as command

    request = command.Request(
        endpoint=endpoint,
        since=since,
        json_lines=json_lines,
        until_idle=until_idle,
        clear=clear,
        non_operational=non_operational,
        previews=previews,
    )
    command.subscribe(request, _out, _err)


@app.command(epilog="Example: nii-edge demo --stay")
def demo(
    as_json: JsonFlag = False,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running until Ctrl-C.")] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep configurations, archive and pictures here.")
    ] = None,
) -> None:
    """Run collector, daemon and a replayed recording as three processes, and show what came of it."""
    from nii_edge.demo import show

    result = show.demo(_err, stay=stay, keep=keep)
    if as_json:
        _print_json(msgspec.to_builtins(result.numbers))
    else:
        show.table(result, _out)
    if not result.well:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = threading.Event()
    _call_on_signals(stop.set)
    return stop


def _call_on_signals(call: Callable[[], None]) -> None:
    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        call()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)

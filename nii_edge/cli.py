"""The commands. Results go to stdout (with --json exactly one JSON object), logs to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from nii_edge import __version__
from nii_edge.commands.keys import app as keys_app
from nii_edge.commands.line import Line
from nii_edge.commands.manifest import app as manifest_app
from nii_edge.commands.models import app as models_app
from nii_edge.commands.policy import app as policy_app
from nii_edge.commands.scanner import app as scanner_app
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
KeysOption = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="Our secret key (nii-edge keys new).")
]
ServerKeyOption = Annotated[
    str | None, typer.Option("--server-key", metavar="FILE", help="The server's .pub file or public key.")
]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Talk to another machine without keys. On your own network only.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep what is simulated here: a stopped run goes on, a next one reuses it."
    ),
]
DetectorOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The bundle whose shapes are evidence; the shipped one."),
]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration file.")]

SWITCH_S = 0.0001
"""The daemon's threads hand scans to each other: none may keep the others waiting for Python's usual 5 ms."""


def main() -> None:
    """Entry point: an error this package knows is one sentence and exit status 1, not a traceback."""
    try:
        app()
    except NiiEdgeError as error:
        _err.print(f"nii-edge: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
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
    from nii_edge.heap import SERVICE_BYTES, keep_freed_memory

    plan = compose.plan_edge(config)
    configure_logs(plan.config.log.level, plan.config.log.format)
    log = logger("run")
    sys.setswitchinterval(SWITCH_S)
    keep_freed_memory(SERVICE_BYTES)
    stop = _stop_on_signals()
    daemon = compose.edge(plan)
    with contextlib.ExitStack() as closing:
        server = compose.status_server(daemon, plan.config)
        if server is not None:
            closing.callback(server.close)
        side = daemon.start()
        closing.callback(daemon.stop)
        where = dict(endpoints_by_name(side.endpoints)) if isinstance(side, ZmqScanners) else {}
        if server is not None:
            server.start()
            where["health"] = server.endpoint
        compose.write_endpoints(plan.state_dir, where)
        locked = plan.security is not None
        log.info("ready", edge=plan.config.edge, insecure=plan.config.listen.insecure, locked=locked, **where)
        while not stop.is_set() and not daemon.failed.is_set():
            stop.wait(0.2)
        log.info("stopping")
    log.info("stopped")
    if daemon.failed.is_set():
        raise NiiEdgeError(f"stopped, because of {daemon.cause}")


@app.command(epilog="Example: nii-edge collect configs/collector.yaml")
def collect(config: ConfigPath) -> None:
    """Run the collector: archive what edges report, serve subscribers, until SIGTERM or Ctrl-C."""
    from nii_edge import compose

    stop = _stop_on_signals()
    settings, collector, close = compose.collector(config)
    configure_logs(settings.log.level, settings.log.format)
    folder = (config.resolve().parent / settings.archive).parent
    compose.write_endpoints(folder, collector.endpoints._asdict())
    try:
        collector.run(stop)
    finally:
        close()


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
            help="N: N times the recorded pace, or N scans a second for pictures; as lines, N times "
            "0.5 m/s. max: flat out. Default: 1 for recordings, max for pictures."
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
        float,
        typer.Option(min=0.001, help="Seconds to wait for each verdict before it is UNKNOWN(NO_ANSWER)."),
    ] = 10.0,
    as_lines: Annotated[
        Path | None,
        typer.Option(
            "--as-lines",
            metavar="PROFILE",
            help="Lay the frames on a belt and send them line by line, to a lane with this profile.",
        ),
    ] = None,
    belt: Annotated[
        Literal["rows", "columns"],
        typer.Option(help="As lines: the axis of the frames along which their belt ran (`belt_axis`)."),
    ] = "rows",
    as_json: JsonFlag = False,
    keys: KeysOption = None,
    server_key: ServerKeyOption = None,
    insecure: InsecureFlag = False,
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
        line=Line(keys, server_key, insecure),
        deadline_s=deadline,
        as_lines=as_lines,
        belt=belt,
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
    keys: KeysOption = None,
    server_key: ServerKeyOption = None,
    insecure: InsecureFlag = False,
) -> None:
    """Record the frames and verdicts that pass through a running daemon."""
    from nii_edge.commands import record as command

    summary = command.record(
        file,
        tap,
        verdicts,
        seconds,
        Line(keys, server_key, insecure),
        _err,
        quiet=as_json,
        on_stop=_call_on_signals,
    )
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, file, _out)
    if summary.missed or not (summary.frames or summary.verdicts):
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge subscribe tcp://127.0.0.1:5561 --since 0 --json-lines")
def subscribe(
    endpoint: Annotated[str, typer.Argument(help="The collector's `subscribers` endpoint.")],
    since: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Begin after this archive number; 0 is the beginning.")
    ] = 0,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="One JSON object a line.")] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when everything archived so far was printed.")
    ] = False,
    by_risk: Annotated[
        bool, typer.Option("--by-risk", help="The most urgent first; only with --until-idle.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="CLEAR verdicts too.")] = False,
    non_operational: Annotated[
        bool, typer.Option("--non-operational", help="Replays and tests too.")
    ] = False,
    previews: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save each alert's picture here.")
    ] = None,
    keys: KeysOption = None,
    server_key: ServerKeyOption = None,
    insecure: InsecureFlag = False,
) -> None:
    """Print alerts as a central system gets them: from any point, then live, each exactly once."""
    from nii_edge.commands import subscribe as command

    request = command.Request(
        endpoint=endpoint,
        since=since,
        json_lines=json_lines,
        until_idle=until_idle,
        by_risk=by_risk,
        clear=clear,
        non_operational=non_operational,
        previews=previews,
        line=Line(keys, server_key, insecure),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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

    def tell(result: show.Result) -> None:
        if as_json:
            _print_json(msgspec.to_builtins(result.numbers))
        else:
            show.table(result, _out)

    result = show.demo(_err, keep=keep, show=tell, stay=stay)
    if not result.well:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge status configs/edge.yaml")
def status(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """Ask the running daemon how it is: live, ready, the balance of every scanner, what waits."""
    from nii_edge.commands import status as command

    found = command.ask(command.endpoint_of(config))
    if as_json:
        _print_json(msgspec.to_builtins(found))
    else:
        command.show(found, _out)
    if not (found.live and found.ready):
        raise typer.Exit(1)


ledger_app = typer.Typer(
    help="The running daemon's ledger: verdicts on disk, and what the collector has not confirmed.",
    no_args_is_help=True,
)
app.add_typer(ledger_app, name="ledger")


@ledger_app.command("stats", epilog="Example: nii-edge ledger stats configs/edge.yaml")
def ledger_stats(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """How much the ledger holds, and the end of its hash chain."""
    from nii_edge.commands import status as command

    stats = command.ledger_stats(command.endpoint_of(config))
    if as_json:
        _print_json(stats)
    else:
        command.show_stats(stats, _out)


@ledger_app.command("verify", epilog="Example: nii-edge ledger verify configs/edge.yaml")
def ledger_verify(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """Check every entry's CRC and the hash chain across them, while the daemon goes on."""
    from nii_edge.commands import status as command

    problems = command.ledger_verify(command.endpoint_of(config), _err, quiet=as_json)
    if as_json:
        _print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            _out.print(f"wrong: {problem}", style="red", markup=False, highlight=False)
        _out.print("the chain is whole" if not problems else f"{len(problems)} problem(s)")
    if problems:
        raise typer.Exit(1)


@ledger_app.command("export", epilog="Example: nii-edge ledger export configs/edge.yaml > reports.jsonl")
def ledger_export(
    config: ConfigPath,
    since: Annotated[int, typer.Option(help="Begin after this entry; 0 is the oldest kept.")] = 0,
) -> None:
    """Print every report, gap and recall the ledger holds, one JSON array a line."""
    from nii_edge.commands import status as command

    for line in command.ledger_export(command.endpoint_of(config), since):
        sys.stdout.write(line + "\n")


@app.command(epilog="Example: nii-edge bench --json")
def bench(
    as_json: JsonFlag = False,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds of the closed loops.")] = 12,
    seconds: Annotated[float, typer.Option(min=0.05, help="Seconds a column is measured in a round.")] = 1.5,
    in_flight: Annotated[int, typer.Option(min=2, max=256, help="Scans in flight when saturated.")] = 8,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of an inference. 0: at most 2.")] = 0,
    lanes: Annotated[int, typer.Option(min=1, max=64, help="Open loop: scanner lanes.")] = 8,
    cartons_per_hour: Annotated[float, typer.Option(min=1, help="Open loop: cartons/h of each lane.")] = 3000,
    views: Annotated[int, typer.Option(min=1, max=8, help="Open loop: views of a carton.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.001, help="Open loop: how long.")] = 1,
    arrivals: Annotated[
        Literal["poisson", "jittered"], typer.Option(help="Open loop: in bunches, or nearly even.")
    ] = "poisson",
    models: Annotated[
        Literal["shipped", "reference"], typer.Option(help="Open loop: what looks at the scans.")
    ] = "shipped",
    with_collector: Annotated[
        bool, typer.Option("--with-collector", help="The daemon reports to a collector meanwhile.")
    ] = False,
) -> None:
    """Measure the daemon beside the bare runtime and a plain echo, and under arrivals on many lanes."""
    from nii_edge.bench import results, show
    from nii_edge.bench.closed import Plan
    from nii_edge.bench.lanes import Traffic

    request = results.Request(
        plan=Plan(rounds, seconds, in_flight),
        traffic=Traffic(lanes, cartons_per_hour, views, 60 * minutes, arrivals),
        models=models,
        threads=threads,
        collected=with_collector,
    )
    _call_on_signals(lambda: sys.exit(130))  # unwinds, so that the measured processes end too
    result = results.bench(request, lambda word: _err.print(word, style="dim", highlight=False))
    if as_json:
        _print_json(msgspec.to_builtins(result))
    else:
        show.show(result, _out)
    if result.problems:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge simulate --out sim --consignments 20 --luggage 100 --seed 1")
def simulate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    consignments: Annotated[int, typer.Option(min=0, help="Master bills, of 3 to 8 cartons each.")] = 10,
    luggage: Annotated[int, typer.Option(min=0, help="Stretches of belt with 1 to 4 bags each.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    recipe: Annotated[
        Path | None, typer.Option(help="What is drawn from; the shipped configs/simulate/train.yaml.")
    ] = None,
    scanner: Annotated[str | None, typer.Option(help="One of the recipe's virtual scanners alone.")] = None,
    recording: Annotated[bool, typer.Option(help="Write raw counts as an MCAP recording.")] = True,
    pictures: Annotated[
        bool, typer.Option(help="Write colour pictures, as makers' displays show them.")
    ] = True,
    objects: Annotated[
        bool, typer.Option("--objects", help="Also write objects.json: every thing's mask and box.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one for each core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Simulate scans of cartons and luggage: recording, pictures, COCO labels, papers, the whole truth."""
    from nii_edge.resources import shipped

    # no exception on Ctrl-C: some libraries, while they load, take any for a fault of their own
    stopped = _stop_on_signals()
    from nii_edge.commands import simulate as command

    path = recipe or shipped("configs") / "simulate" / "train.yaml"
    request = command.Request(
        out, consignments, luggage, seed, path, scanner, recording, pictures, objects,
        workers or command.cores(),
    )  # fmt: skip
    part, before = command.unfinished(out), command.unfinished(out).exists()
    try:
        with Progress(console=_err, transient=True, disable=as_json and not sys.stderr.isatty()) as progress:
            bar = progress.add_task("simulating", total=None)
            summary = command.simulate(
                request,
                lambda done, total: progress.update(bar, completed=done, total=total),
                stopped.is_set,
            )
    except command.StoppedError:
        sys.exit(130)
    finally:
        if part.exists() and not before:
            _err.print(f"{part}: not finished; delete it", style="yellow", markup=False, highlight=False)
    tree = msgspec.to_builtins(summary)
    if as_json:
        _print_json(tree)
    else:
        _out.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in tree.items()), highlight=False)


@app.command(epilog="Example: nii-edge threats --out threats --labels gun,knife --each 10")
def threats(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    labels: Annotated[
        str | None, typer.Option(help="Comma-separated; all that are prohibited in themselves if left out.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, max=500, help="Threats of every label.")] = 5,
    kilovolts: Annotated[float, typer.Option(help="Of the scanner's tube.")] = 160.0,
    pitch_mm: Annotated[float, typer.Option(min=0.2, max=10, help="Of their pixels, at the belt.")] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Make a library of simulated threats, to be projected into live scans (`tip.library`)."""
    from nii_edge.commands import threats as command

    asked = command.USUAL if labels is None else tuple(label.strip() for label in labels.split(","))
    request = command.Request(out, asked, each, kilovolts, pitch_mm, seed)
    with Progress(console=_err, transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        bar = progress.add_task("making threats", total=None)
        count = command.write(request, lambda done, total: progress.update(bar, completed=done, total=total))
    if as_json:
        _print_json({"threats": count, "labels": list(asked), "library": str(out)})
    else:
        _out.print(f"{out}: {count} threats: {', '.join(asked)}", highlight=False, markup=False)


@app.command(epilog="Example: nii-edge evaluate --images sim/images --annotations sim/annotations.json")
def evaluate(
    annotations: Annotated[
        Path, typer.Option(help="COCO's .json, a folder of VOC's .xml, YOLO's data.yaml or folder of .txt.")
    ],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The pictures; `images` beside the labels if left out.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What to evaluate; the shipped detector if left out.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="A page with plots.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Compare a detector's boxes with labels: average precision, and per carton Pd at Pfa. Needs no torch."""
    from nii_edge.commands import evaluate as command

    request = command.Request(bundle, images, annotations, report, seed, threads)
    with Progress(console=_err, transient=True, disable=as_json and not sys.stderr.isatty()) as progress:
        bar = progress.add_task("looking", total=None)
        summary = command.evaluate(request, lambda done, of: progress.update(bar, completed=done, total=of))
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, _out)


@app.command(
    epilog="Example: nii-edge train --annotations c.json --images pics --out models/mine --minutes 90"
)
def train(
    annotations: Annotated[
        Path, typer.Option(help="COCO's .json, a folder of VOC's .xml, YOLO's data.yaml or folder of .txt.")
    ],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder of the bundle to be written.")],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The pictures; `images` beside the labels if left out.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.05, help="How long, everything included.")] = 90,
    size: Annotated[int, typer.Option(min=96, max=1280, help="Side of the input, a multiple of 32.")] = 320,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Pictures in a step.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 1,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Start from this one; the shipped detector if left out."),
    ] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="Start from nothing.")] = False,
    project_into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures without threats, to put simulated ones into.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that learn together; one a core, if --batch allows, if left out."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes beside each of them that prepare pictures.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many, if time is left.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a detector on anyone's labels and write its bundle. Start an interrupted run again, and it goes
    on."""
    from nii_edge.commands import train as command

    if size % 32:
        raise typer.BadParameter(f"--size {size}: must be a multiple of 32")
    request = command.Request(
        annotations,
        images,
        out,
        minutes,
        size,
        batch,
        seed,
        weights,
        scratch,
        project_into,
        workers,
        steps,
        processes,
    )

    def told(stage: str, row: dict[str, float]) -> None:
        _err.print(
            stage, ", ".join(f"{key} {value:.4g}" for key, value in row.items()), style="dim", highlight=False
        )

    summary = command.run(request, told)
    tree = msgspec.to_builtins(summary)
    if as_json:
        _print_json(tree)
    else:
        _out.print(
            f"{out}: mAP50 {summary.map50:.3f} on {summary.validation_images} pictures", highlight=False
        )
        for line in summary.problems:
            _out.print(line, style="yellow", markup=False, highlight=False)


@app.command(epilog="Example: nii-edge export --weights models/mine --annotations c.json --out models/mine8")
def export(
    weights: Annotated[Path, typer.Option(metavar="BUNDLE", help="A bundle that `train` wrote.")],
    annotations: Annotated[Path, typer.Option(help="Labels to choose thresholds and check eight bits by.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder of the bundle to be written.")],
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="The pictures of the labels.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input; the bundle's if left out.")] = None,
    bits: Annotated[Literal["8", "16", "32"], typer.Option(help="16 is for GPUs.")] = "8",
    as_json: JsonFlag = False,
) -> None:
    """Export a trained bundle anew: another input size, or 8, 16 or 32 bits."""
    from nii_edge.commands import export as command

    if size is not None and (size % 32 or size < 96):
        raise typer.BadParameter(f"--size {size}: must be a multiple of 32, at least 96")
    summary = command.run(command.Request(weights, annotations, images, out, size, int(bits)))
    tree = msgspec.to_builtins(summary)
    if as_json:
        _print_json(tree)
    else:
        _out.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in tree.items()), highlight=False)


@app.command(
    "evaluate-cartons",
    epilog="Example: nii-edge evaluate-cartons --cartons 2000 --seed 7 --data var/cartons --json",
)
def evaluate_cartons(
    cartons: Annotated[int, typer.Option(min=50, help="Cartons to simulate at least.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cartons.")] = 1,
    recipe: Annotated[Path | None, typer.Option(help="The shipped configs/simulate/test.yaml.")] = None,
    folders: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--from", metavar="TEST HISTORY", help="Folders of nii-edge simulate, for engineers."),
    ] = None,
    data: DataOption = None,
    fit: Annotated[Path | None, typer.Option(help="What fit-cartons wrote; the shipped one.")] = None,
    detector: DetectorOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one for each core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure what is found in whole cartons, on freshly simulated consignments with their papers."""
    from nii_edge.commands import measure_cartons as command
    from nii_edge.resources import shipped

    path = recipe or shipped("configs") / "simulate" / "test.yaml"
    request = command.Request(
        cartons, seed, path, folders, data, fit or command.fit_file(), detector, workers or command.cores()
    )
    with Progress(console=_err, transient=True, disable=not sys.stderr.isatty()) as progress:
        result = command.evaluate(request, _bar(progress))
    tree = msgspec.to_builtins(result)
    if as_json:
        _print_json(tree)
    else:
        _out.print_json(json.dumps(tree))


@app.command(
    "fit-cartons", epilog="Example: nii-edge fit-cartons --consignments 400 --seed 111 --out fit.npz"
)
def fit_cartons(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    consignments: Annotated[int, typer.Option(min=20, help="Consignments to simulate.")] = 400,
    counting: Annotated[
        int, typer.Option(min=0, help="Consignments more, with parcels in them, to learn counting from.")
    ] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cartons.")] = 111,
    recipe: Annotated[Path | None, typer.Option(help="The shipped configs/simulate/train.yaml.")] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Folders of nii-edge simulate; may be repeated."),
    ] = None,
    data: DataOption = None,
    detector: DetectorOption = None,
    without_detector: Annotated[
        bool, typer.Option("--without-detector", help="Fit without shapes as evidence.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one for each core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Fit the carton detectors: parcel counts, how honest cartons differ, the joint fusion."""
    from nii_edge.commands import measure_cartons as command
    from nii_edge.learn.looking import shipped_detector
    from nii_edge.resources import shipped

    path = recipe or shipped("configs") / "simulate" / "train.yaml"
    with Progress(console=_err, transient=True, disable=not sys.stderr.isatty()) as progress:
        request = command.FitRequest(
            consignments,
            counting,
            seed,
            path,
            folders or [],
            data,
            None if without_detector else detector or shipped_detector(),
            workers or command.cores(),
        )
        tree = command.fit_and_write(request, out, _bar(progress))
    if as_json:
        _print_json(tree)
    else:
        _out.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in tree.items()), highlight=False)


@app.command(epilog="Example: nii-edge view sim/recording.mcap --lanes sim/scanners --out out --as inverse")
def view(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="An MCAP recording.")],
    lanes: Annotated[
        Path,
        typer.Option(
            metavar="CONFIG", help="An edge's configuration, or the folder scanners/ of nii-edge simulate."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the PNG files go.")],
    look: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="LOOK",
            help="colour, organic_stripped, metal_stripped, grey, inverse or high_penetration.",
        ),
    ] = "colour",
    carton: Annotated[
        list[str] | None, typer.Option(metavar="BARCODE", help="Only this carton; may be repeated.")
    ] = None,
    longest: Annotated[int, typer.Option(min=16, help="Pixels of a picture's longer side.")] = 1200,
    as_json: JsonFlag = False,
) -> None:
    """Draw the scans of a recording as an operator's screen shows them, a PNG file for each view.

    Exit status 1 if the recording is damaged or nothing could be drawn.
    """
    from nii_edge.commands import view as command

    request = command.Request(recording, lanes, out, look, tuple(carton or ()), longest)  # type: ignore[arg-type]
    with Progress(console=_err, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("drawing", total=None)
        summary = command.view(request, lambda done, of: progress.update(bar, completed=done, total=of))
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, _out)
    if summary.problems or not summary.pictures:
        raise typer.Exit(1)


@app.command(
    "learn-normal",
    epilog="Example: nii-edge learn-normal configs/edge.yaml monday.mcap tuesday.mcap --out models/normal/1",
)
def learn_normal(
    config: ConfigPath,
    recordings: Annotated[
        list[Path],
        typer.Argument(metavar="RECORDING...", help="Recordings of honest cartons."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The bundle to write.")],
    name: Annotated[str, typer.Option(help="Its name, which verdicts cite.")] = "normal-1",
    all_verdicts: Annotated[
        bool, typer.Option("--all", help="Also cartons that were no CLEAR when they were recorded.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Learn from recordings what is normal for the goods that pass this site; nothing runs meanwhile.

    Goods are known by their papers, lanes by CONFIG. Exit status 1 if a recording is damaged, or nothing
    could be learned.
    """
    from nii_edge.commands import learn_normal as command

    request = command.Request(config, recordings, out, name, all_verdicts)
    with Progress(console=_err, transient=True, disable=not sys.stderr.isatty()) as progress:
        summary = command.learn(request, _bar(progress))
    if as_json:
        _print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, _out)
    if summary.damaged:
        raise typer.Exit(1)


TELL_S = 20.0
"""Without a terminal, progress is a line on stderr so often, and at the beginning and end of each stage."""


def _bar(progress: Progress) -> Callable[[str, int, int], None]:
    """Shows how far each of several stages is: bars on a terminal, otherwise a line from time to time."""
    bars: dict[str, Any] = {}
    told_at: dict[str, float] = {}

    def told(stage: str, done: int, of: int) -> None:
        if not progress.disable:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=of)
            progress.update(bars[stage], completed=done, total=of)
            return
        now = time.monotonic()
        if stage not in told_at or done == of or now >= told_at[stage] + TELL_S:
            told_at[stage] = now
            _err.print(f"{stage}: {done} of {of}", highlight=False)

    return told


app.add_typer(keys_app, name="keys")
app.add_typer(models_app, name="models")
app.add_typer(scanner_app, name="scanner")
app.add_typer(manifest_app, name="manifest")
app.add_typer(policy_app, name="policy")


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

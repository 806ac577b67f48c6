"""The commands of the running system: the edge daemon and the collector, and what asks them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from nii_edge.cli.shared import (
    ERR,
    OUT,
    ConfigPath,
    JsonFlag,
    call_on_signals,
    print_json,
    stop_on_signals,
)
from nii_edge.errors import NiiEdgeError
from nii_edge.telemetry import configure_logs, logger

app = typer.Typer()

SWITCH_S = 0.0001
"""The daemon's threads hand scans to each other: none may keep the others waiting for Python's usual 5 ms."""


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
    stop = stop_on_signals()
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

    stop = stop_on_signals()
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
        print_json({"ok": ok, "problems": found.problems, "would_run": found.would_run})
    else:
        for line in found.would_run:
            OUT.print(f"  {line}", markup=False, highlight=False)
        for problem in found.problems:
            OUT.print(f"  wrong: {problem}", style="red", markup=False, highlight=False)
        OUT.print("ok" if ok else f"{len(found.problems)} problem(s)", style="green" if ok else "red")
    if not ok:
        raise typer.Exit(1)


@app.command(epilog="Example: nii-edge status configs/edge.yaml")
def status(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """Ask the running daemon how it is: live, ready, the balance of every scanner, what waits."""
    from nii_edge.commands import status as command

    found = command.ask(command.endpoint_of(config))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        command.show(found, OUT)
    if not (found.live and found.ready):
        raise typer.Exit(1)


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
            print_json(msgspec.to_builtins(result.numbers))
        else:
            show.table(result, OUT)

    result = show.demo(ERR, keep=keep, show=tell, stay=stay)
    if not result.well:
        raise typer.Exit(1)


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
    call_on_signals(lambda: sys.exit(130))  # unwinds, so that the measured processes end too
    result = results.bench(request, lambda word: ERR.print(word, style="dim", highlight=False))
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        show.show(result, OUT)
    if result.problems:
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
        print_json(stats)
    else:
        command.show_stats(stats, OUT)


@ledger_app.command("verify", epilog="Example: nii-edge ledger verify configs/edge.yaml")
def ledger_verify(config: ConfigPath, as_json: JsonFlag = False) -> None:
    """Check every entry's CRC and the hash chain across them, while the daemon goes on."""
    from nii_edge.commands import status as command

    problems = command.ledger_verify(command.endpoint_of(config), ERR, quiet=as_json)
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            OUT.print(f"wrong: {problem}", style="red", markup=False, highlight=False)
        OUT.print("the chain is whole" if not problems else f"{len(problems)} problem(s)")
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

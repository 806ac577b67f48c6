"""The commands that send, record, follow and show scans and verdicts."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.progress import Progress

from nii_edge.cli.shared import (
    ERR,
    OUT,
    JsonFlag,
    call_on_signals,
    print_json,
)
from nii_edge.commands.line import Line
from nii_edge.records import ScanType

KeysOption = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="Our secret key (nii-edge keys new).")
]
ServerKeyOption = Annotated[
    str | None, typer.Option("--server-key", metavar="FILE", help="The server's .pub file or public key.")
]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Talk to another machine without keys. On your own network only.")
]


app = typer.Typer()


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
    summary = command.replay(request, ERR, quiet=as_json, on_stop=call_on_signals)
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, OUT)
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
        ERR,
        quiet=as_json,
        on_stop=call_on_signals,
    )
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, file, OUT)
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
    command.subscribe(request, OUT, ERR)


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

    Scans that the daemon would not judge, with exchanged energies or an outgrown calibration for example, are
    drawn too, and named with its reason. Exit status 1 if the recording is damaged, a carton is not in it, or
    nothing could be drawn.
    """
    from nii_edge.commands import view as command

    request = command.Request(recording, lanes, out, look, tuple(carton or ()), longest)  # type: ignore[arg-type]
    with Progress(console=ERR, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("drawing", total=None)
        summary = command.view(request, lambda done, of: progress.update(bar, completed=done, total=of))
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, OUT)
    if summary.problems or not summary.pictures:
        raise typer.Exit(1)

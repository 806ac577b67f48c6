"""The commands of those who simulate, train, fit and measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.progress import Progress

from nii_edge.cli.shared import (
    ERR,
    OUT,
    ConfigPath,
    JsonFlag,
    print_json,
    stages_on,
    stop_on_signals,
)

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep what is simulated here: a stopped run goes on, a next one reuses it."
    ),
]
DetectorOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The bundle whose shapes are evidence; detector 0.4.0, as shipped.",
    ),
]
LanesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Labels of a recording: edge.yaml, or a folder of profiles and calibrations, of its scanners; "
        "`scanners` beside it if left out.",
    ),
]

LOOKS: dict[str, Literal[1, 2, 4, 8]] = {"1": 1, "2": 2, "4": 4, "8": 8}
"""The option's words."""

app = typer.Typer()


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
    cut: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the cartons that the scanner cuts in two.")
    ] = 0.0,
    merged: Annotated[
        float, typer.Option(min=0, max=1, help="Share of them that it sends in one frame with the next.")
    ] = 0.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one for each core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Simulate scans of cartons and luggage: recording, pictures, COCO labels, papers, the whole truth."""
    from nii_edge.resources import shipped

    # no exception on Ctrl-C: some libraries, while they load, take any for a fault of their own
    stopped = stop_on_signals()
    from nii_edge.commands import simulate as command  # first: it says what is missing
    from nii_edge.commands.workers import StoppedError, cores

    path = recipe or shipped("configs") / "simulate" / "train.yaml"
    request = command.Request(
        out, consignments, luggage, seed, path, scanner, recording, pictures, objects,
        workers or cores(), cut, merged,
    )  # fmt: skip
    part, before = command.unfinished(out), command.unfinished(out).exists()
    try:
        with Progress(console=ERR, transient=True, disable=as_json and not sys.stderr.isatty()) as progress:
            bar = progress.add_task("simulating", total=None)
            summary = command.simulate(
                request,
                lambda done, total: progress.update(bar, completed=done, total=total),
                stopped.is_set,
            )
    except StoppedError:
        sys.exit(130)
    finally:
        if part.exists() and not before:
            ERR.print(f"{part}: not finished; delete it", style="yellow", markup=False, highlight=False)
    tree = msgspec.to_builtins(summary)
    if as_json:
        print_json(tree)
    else:
        OUT.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in tree.items()), highlight=False)


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
    families: Annotated[
        Literal["held_out", "training", "all"],
        typer.Option(help="Shapes that the shipped detector never saw, those it saw, or both."),
    ] = "held_out",
    as_json: JsonFlag = False,
) -> None:
    """Make a library of simulated threats, to be projected into live scans (`tip.library`)."""
    from nii_edge.commands import threats as command

    asked = command.USUAL if labels is None else tuple(label.strip() for label in labels.split(","))
    request = command.Request(out, asked, each, kilovolts, pitch_mm, seed, families)
    with Progress(console=ERR, transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        bar = progress.add_task("making threats", total=None)
        count = command.write(request, lambda done, total: progress.update(bar, completed=done, total=total))
    if as_json:
        print_json({"threats": count, "labels": list(asked), "library": str(out)})
    else:
        OUT.print(f"{out}: {count} threats: {', '.join(asked)}", highlight=False, markup=False)


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
    minutes: Annotated[
        float,
        typer.Option(
            min=0.05,
            help="How long, everything included. An interrupted run that is started again has the rest of "
            "what is given then.",
        ),
    ] = 90,
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
    lanes: LanesOption = None,
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
        lanes,
    )

    def told(stage: str, row: dict[str, float]) -> None:
        ERR.print(
            stage,
            ", ".join(f"{key} {value:.4g}" for key, value in row.items()),
            style="dim",
            highlight=False,
            markup=False,
        )

    summary = command.run(request, told)
    tree = msgspec.to_builtins(summary)
    if as_json:
        print_json(tree)
    else:
        OUT.print(
            f"{out}: mAP50 {summary.map50:.3f} on {summary.validation_images} pictures", highlight=False
        )
        for line in summary.taken_names:
            OUT.print(line, markup=False, highlight=False)
        for line in summary.cautions + summary.problems:
            OUT.print(line, style="yellow", markup=False, highlight=False)


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
    lanes: LanesOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare a detector's boxes with labels: average precision, and per carton Pd at Pfa. Needs no torch."""
    from nii_edge.commands import evaluate as command

    request = command.Request(bundle, images, annotations, report, seed, threads, lanes)
    with Progress(console=ERR, transient=True, disable=as_json and not sys.stderr.isatty()) as progress:
        bar = progress.add_task("looking", total=None)
        summary = command.evaluate(request, lambda done, of: progress.update(bar, completed=done, total=of))
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, OUT)


@app.command(epilog="Example: nii-edge export --weights models/mine --annotations c.json --out models/mine8")
def export(
    weights: Annotated[Path, typer.Option(metavar="BUNDLE", help="A bundle that `train` wrote.")],
    annotations: Annotated[Path, typer.Option(help="Labels to choose thresholds and check eight bits by.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder of the bundle to be written.")],
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="The pictures of the labels.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input; the bundle's if left out.")] = None,
    bits: Annotated[Literal["8", "16", "32"], typer.Option(help="16 is for GPUs.")] = "8",
    looks: Annotated[
        Literal["1", "2", "4", "8"] | None, typer.Option(help="How often each input is looked at, turned.")
    ] = None,
    pieces: Annotated[
        int | None, typer.Option(min=1, max=16, help="Into how many a long picture may be cut.")
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            min=0, max=10, help="Choose thresholds by so many of a class a picture; by best F1 if left out."
        ),
    ] = None,
    lanes: LanesOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Export a trained bundle anew: another input size, 8, 16 or 32 bits, other looks and pieces."""
    from nii_edge.commands import export as command

    if size is not None and (size % 32 or size < 96):
        raise typer.BadParameter(f"--size {size}: must be a multiple of 32, at least 96")
    often = None if looks is None else LOOKS[looks]
    request = command.Request(
        weights, annotations, images, out, size, int(bits), often, pieces, lanes, false_alarms
    )
    summary = command.run(request)
    tree = msgspec.to_builtins(summary)
    if as_json:
        print_json(tree)
        return
    figures = {key: value for key, value in tree.items() if isinstance(value, int | float)}
    OUT.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in figures.items()), highlight=False)
    for line in summary.taken_names:
        OUT.print(line, markup=False, highlight=False)
    for line in summary.cautions + summary.problems:
        OUT.print(line, style="yellow", markup=False, highlight=False)


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
    with Progress(console=ERR, transient=True, disable=not sys.stderr.isatty()) as progress:
        summary = command.learn(request, stages_on(progress))
    if as_json:
        print_json(msgspec.to_builtins(summary))
    else:
        command.show(summary, OUT)
    if summary.damaged:
        raise typer.Exit(1)


@app.command(
    "fit-cartons", epilog="Example: nii-edge fit-cartons --consignments 400 --seed 111 --out fit.npz"
)
def fit_cartons(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    consignments: Annotated[int, typer.Option(min=20, help="Consignments to simulate.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cartons.")] = 111,
    recipe: Annotated[Path | None, typer.Option(help="The shipped configs/simulate/fit.yaml.")] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Folders of nii-edge simulate; may be repeated."),
    ] = None,
    data: DataOption = None,
    network: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ONNX file of the network that reads cartons; the shipped fit's."),
    ] = None,
    detector: DetectorOption = None,
    without_detector: Annotated[
        bool, typer.Option("--without-detector", help="Fit without shapes as evidence.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one for each core.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Fit the carton detectors: masses, how honest cartons differ, the joint fusion."""
    from nii_edge.commands import measure_cartons as command
    from nii_edge.commands.workers import cores
    from nii_edge.learn.looking import evidence_detector
    from nii_edge.resources import shipped

    path = recipe or shipped("configs") / "simulate" / "fit.yaml"
    with Progress(console=ERR, transient=True, disable=not sys.stderr.isatty()) as progress:
        request = command.FitRequest(
            consignments,
            seed,
            path,
            folders or [],
            data,
            network or command.fit_file(),
            None if without_detector else detector or evidence_detector(),
            workers or cores(),
        )
        tree = command.fit_and_write(request, out, stages_on(progress))
    if as_json:
        print_json(tree)
    else:
        OUT.print(f"{out}: " + ", ".join(f"{key} {value}" for key, value in tree.items()), highlight=False)


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
    from nii_edge.commands.workers import cores
    from nii_edge.resources import shipped

    path = recipe or shipped("configs") / "simulate" / "test.yaml"
    request = command.Request(
        cartons, seed, path, folders, data, fit or command.fit_file(), detector, workers or cores()
    )
    with Progress(console=ERR, transient=True, disable=not sys.stderr.isatty()) as progress:
        result = command.evaluate(request, stages_on(progress))
    tree = msgspec.to_builtins(result)
    if as_json:
        print_json(tree)
    else:
        OUT.print_json(json.dumps(tree))

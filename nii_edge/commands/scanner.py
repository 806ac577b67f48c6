"""`nii-edge scanner`: calibrations from dark, air and wedge scans, and the daily self-test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from nii_edge.commands.scanner_files import Tested

app = typer.Typer(help="A scanner's calibration, and its daily self-test.", no_args_is_help=True)
_out = Console(soft_wrap=True)


@app.command(
    "calibrate",
    epilog="Example: nii-edge scanner calibrate lane-1 --profile configs/scanners/dual-energy.yaml "
    "--dark dark.npy --air air.npy --wedges wedges.yaml --out lane-1-top.cal",
)
def calibrate_view(
    scanner: Annotated[str, typer.Argument(metavar="SCANNER", help="The lane's name.")],
    profile: Annotated[Path, typer.Option(help="The scanner's profile.")],
    dark: Annotated[Path, typer.Option(help="Lines with the tube off: .npy, (height, width, 2).")],
    air: Annotated[Path, typer.Option(help="Lines with the tube on and an empty belt.")],
    out: Annotated[Path, typer.Option(help="The calibration file to write.")],
    view: Annotated[int, typer.Option(min=0, max=7, help="Which view.")] = 0,
    wedges: Annotated[
        Path | None, typer.Option(help="YAML: wedges of known materials and their scans.")
    ] = None,
) -> None:
    """Make a view's calibration file: offset, gain and bad pixels, and materials if wedges were scanned.

    Arrays are oriented as the scanner's frames are.
    """
    from nii_edge.commands import scanner_files

    words = scanner_files.calibrate(scanner, view, profile, dark, air, wedges, out)
    _out.print(words, markup=False, highlight=False)


@app.command(
    "self-test",
    epilog="Example: nii-edge scanner self-test piece.npy --piece configs/test-piece.yaml "
    "--profile configs/scanners/dual-energy.yaml --scanner lane-1 --view 0 --calibration lane-1-top.cal "
    "--history lane-1.jsonl",
)
def run_self_test(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="A scan of the test piece, .npy.")],
    piece: Annotated[Path, typer.Option(help="YAML: the piece's layout, and your limits.")],
    profile: Annotated[Path, typer.Option(help="The scanner's profile.")],
    calibration: Annotated[Path | None, typer.Option(help="The view's calibration file.")] = None,
    scanner: Annotated[
        str | None,
        typer.Option(help="The lane's name: a calibration of another is refused. If left out, any is taken."),
    ] = None,
    view: Annotated[
        int | None,
        typer.Option(
            min=0, max=7, help="Which view: a calibration of another is refused. If left out, any is taken."
        ),
    ] = None,
    calibration_hours: Annotated[
        float, typer.Option(help="Older calibrations are refused; as in edge.yaml.")
    ] = 168.0,
    history: Annotated[
        Path | None, typer.Option(help="Earlier results, one a line; this one is added.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure a test piece: penetration, wires, resolution, materials, noise, size. Fails with exit status 1.

    With a history it warns of what drifts towards its limit before it gets there.
    """
    from nii_edge.commands import scanner_files

    lane = scanner_files.Lane(scanner, view, calibration_hours)
    tested = scanner_files.test_piece(scan, piece, profile, calibration, history, lane)
    _tell(tested, as_json)
    if tested.result.grade == "fail":
        raise typer.Exit(1)


def _tell(tested: Tested, as_json: bool) -> None:
    result = tested.result
    if as_json:
        tree: dict[str, Any] = {**msgspec.to_builtins(result), "grade": result.grade}
        tree |= {"forecasts": tested.ahead, "calibration": tested.calibration}
        typer.echo(msgspec.json.encode(tree).decode())  # no infinity, which is no JSON
        return
    table = Table("measure", "value", "grade", title=f"{result.piece}: {result.grade}")
    for measurement in result.measurements:
        table.add_row(measurement.metric.replace("_", " "), f"{measurement.value:.3g}", measurement.grade)
    _out.print(table)
    _out.print(f"calibration: {tested.calibration}", markup=False, highlight=False)
    for words in [result.problem, *tested.ahead]:
        if words:
            _out.print(words, style="red", markup=False, highlight=False)

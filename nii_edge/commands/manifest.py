"""`nii-edge manifest`: what was declared, into the store that the daemon looks it up in."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from nii_edge.adapters.manifest_files import read_into
from nii_edge.adapters.manifest_rows import Collecting
from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.config import load
from nii_edge.errors import ManifestError
from nii_edge.papers import PaperProblem
from nii_edge.regime import Columns, Regime
from nii_edge.resources import shipped

app = typer.Typer(help="What was declared of each carton.", no_args_is_help=True)
_out = Console(soft_wrap=True)

KEY_BYTES = 32
SHOWN = 20
"""Rows without a barcode that are printed with their place; --json has more."""
StoreOption = Annotated[Path, typer.Option(metavar="FILE", help="The store; edge.yaml names it too.")]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `new`, `amended`, `same` and `moved` add up to `cartons`; `marked`: others, which
    the store has and a row that cannot be read may name; `problems` counts by name, `examples` tells some in
    words; `unused`: columns of the file that were used for nothing; `nameless`: where rows without a barcode
    stand, the first thousand."""

    rows: int
    cartons: int
    master_bills: int
    house_bills: int
    lines: int
    new: int
    amended: int
    same: int
    moved: int
    marked: int
    cartons_with_problems: int
    problems: dict[str, int]
    examples: list[str]
    unused: list[str]
    nameless: list[str]


@app.command("import", epilog="Example: nii-edge manifest import today.csv --store var/manifests.db")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON.")],
    store: StoreOption = Path("var/manifests.db"),
    columns: Annotated[
        Path | None, typer.Option(help="YAML: how the file names things (configs/manifest-columns.yaml).")
    ] = None,
    regime: Annotated[Path | None, typer.Option(help="The rules; the shipped configs/regime.yaml.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key for hashing names; names.key beside the store, made if missing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read a manifest into the store. What is wrong with it is told, and kept with the cartons it touches.

    Exit status 1 only if nothing could be read or stored: no carton at all, for one.
    """
    summary = import_file(file, store, columns, regime, key)
    if not summary.cartons and not as_json:
        found = "; ".join([*summary.examples, f"{summary.rows} rows"])
        raise ManifestError(
            f"{file}: no carton in it ({found}); each needs a barcode (`--columns` says where it stands)"
        )
    tree: dict[str, Any] = msgspec.to_builtins(summary)
    if as_json:
        _out.print(json.dumps(tree), markup=False, highlight=False)
        if not summary.cartons:
            raise typer.Exit(1)
        return
    _out.print(
        f"{file}: {summary.cartons} cartons of {summary.master_bills} master bills: {summary.new} new, "
        f"{summary.amended} amended, {summary.same} known, {summary.moved} from another master bill; "
        f"{summary.house_bills} house bills, {summary.lines} lines",
        markup=False,
        highlight=False,
    )
    if summary.marked:
        told = f"  marked in the store: {summary.marked} cartons that a row which cannot be read may name"
        _out.print(told, markup=False, highlight=False)
    if summary.unused:
        _out.print(f"  used for nothing: {', '.join(summary.unused)}", markup=False, highlight=False)
    if summary.nameless:
        told = ", ".join(summary.nameless[:SHOWN])
        more = summary.problems[PaperProblem.NO_BARCODE] - SHOWN
        rest = f" and {more} more (--json)" if more > 0 else ""
        _out.print(f"  left out, without a barcode: {told}{rest}", markup=False, highlight=False)
    for name, count in summary.problems.items():
        _out.print(f"  {name}: {count}", markup=False, highlight=False)
    for example in summary.examples:
        _out.print(f"    {example}", style="dim", markup=False, highlight=False)


@app.command("show", epilog="Example: nii-edge manifest show 418-80002064-001 --store var/manifests.db")
def show(
    barcode: Annotated[str, typer.Argument(metavar="BARCODE", help="What stands on the carton.")],
    store: StoreOption = Path("var/manifests.db"),
) -> None:
    """Print the papers of a carton as JSON; exit status 1 if it has none."""
    reader = ManifestReader(store)
    try:
        papers = reader.find(barcode)
    finally:
        reader.close()
    if papers is None:
        raise ManifestError(f"{store}: no papers for {barcode!r}")
    text = msgspec.json.format(msgspec.json.encode(papers), indent=1)
    _out.print(text.decode(), markup=False, highlight=False)


def import_file(
    file: Path, store: Path, columns: Path | None, regime: Path | None, key: Path | None
) -> Summary:
    """What `nii-edge manifest import` does. Raises ManifestError, ConfigError."""
    naming = Columns(version=1) if columns is None else load(columns, Columns)
    rules = load(regime or shipped("configs") / "regime.yaml", Regime)
    collecting = Collecting(rules, naming, names_key(key or store.parent / "names.key"))
    read_into(file, naming, collecting)
    papers = collecting.papers()
    target = ManifestStore(store)
    try:
        marked = target.mark(collecting.spoilt())
        stored = target.put(papers)
    finally:
        target.close()
    return Summary(
        rows=collecting.rows,
        cartons=len(papers),
        master_bills=len({each.master_bill for each in papers}),
        house_bills=sum(len(each.house_bills) for each in papers),
        lines=sum(len(bill.lines) for each in papers for bill in each.house_bills),
        new=stored.new,
        amended=stored.amended,
        same=stored.same,
        moved=stored.moved,
        marked=marked,
        cartons_with_problems=sum(bool(each.problems) for each in papers),
        problems={problem.value: count for problem, count in sorted(collecting.count.items())},
        examples=collecting.examples,
        unused=list(collecting.unused),
        nameless=collecting.nameless,
    )


def names_key(path: Path) -> bytes:
    """The key under which names are hashed; made, for its owner alone, if it is not there.

    Raises:
        ManifestError: the file cannot be read or made, or holds no key.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(KEY_BYTES) + "\n")
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ManifestError(
            f"{path}, the key for names beside the store: {error.strerror}; `--store` and `--key` say where"
        ) from error
    except ValueError as error:
        raise ManifestError(f"{path}: holds no key; expected {2 * KEY_BYTES} hex digits") from error
    if len(key) != KEY_BYTES:
        raise ManifestError(f"{path}: {len(key)} bytes; expected {KEY_BYTES}")
    return key

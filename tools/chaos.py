#!/usr/bin/env python3
"""Faults against the running system, and whether anything was lost.

    tools/chaos.py --cycles 100 --seed 1
    tools/chaos.py --cycles 1000 --fault edge_kill --json

Real processes on the loopback, in a folder of their own; senders and a subscriber that keep their own
books; one fault a cycle. Exit status 0 only if nothing was lost, doubled, unaccounted for or wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaoslib import power_cut
from chaoslib.faults import FAULTS, ON_REQUEST
from chaoslib.lanes import Traffic
from chaoslib.run import Run, plan
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

BATCH = 25
"""Cycles between two checks of the books."""
COUNTS = (
    "scans", "archived", "skipped_and_noticed", "resent_frames", "reused_numbers", "garbage_messages",
    "client_no_answer",
    "hostile", "hostile_clear", "never_acknowledged", "lost", "duplicates", "unaccounted", "wrong",
)  # fmt: skip
"""Of the summary, for the table."""


def main() -> int:
    """Entry point; the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="nii-edge-chaos-"))
    began = time.monotonic()
    names = options.fault or _usual_faults()
    run = Run(
        folder,
        options.seed,
        Traffic(rate=options.rate),
        tmpfs=options.tmpfs,
        power=any("power" in name for name in names),
        lying_disk=options.lying_disk,
    )
    try:
        with run, _progress(options.json) as progress:
            _cycles(run, plan(options.cycles, names, options.seed), options, progress)
            if options.keep is not None:
                shutil.copytree(folder, options.keep, dirs_exist_ok=True)
        summary = run.summary(time.monotonic() - began, options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(summary))
    else:
        _show(summary)
    return 0 if run.well else 1


def _cycles(run: Run, faults: Sequence[str], options: argparse.Namespace, progress: Progress) -> None:
    """Fault after fault, with a look at the books after each batch; ends early at the first finding, since
    the rest would only bury it."""
    bar = progress.add_task("", total=len(faults), fault="starting")
    end = time.monotonic() + 60 * (options.minutes or 1e6)
    for i, name in enumerate(faults, 1):
        progress.update(bar, fault=name)
        run.cycle(name)
        progress.advance(bar)
        if run.stuck or i == len(faults) or time.monotonic() > end:
            break
        if i % options.batch == 0:
            progress.update(bar, fault="holding the books")
            run.check()
            if not run.well:
                break
    progress.update(bar, fault="holding the books")
    run.check(go_on=False)


def _usual_faults() -> list[str]:
    usual = [name for name in FAULTS if name not in ON_REQUEST]
    return usual if power_cut.available() else [name for name in usual if "power" not in name]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools/chaos.py"
    )
    parser.add_argument("--cycles", type=int, default=50, help="faults to do (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="for which faults, when, and what is sent")
    parser.add_argument(
        "--fault",
        action="append",
        choices=sorted(FAULTS),
        metavar="NAME",
        help=f"only this; may be repeated: {', '.join(FAULTS)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--rate", type=float, default=20.0, help="scans a second and lane (default: 20)")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"cycles between checks (default: {BATCH})")
    parser.add_argument("--minutes", type=float, help="begin no new cycle after so many minutes")
    parser.add_argument(
        "--tmpfs", action="store_true", help="the edge's state on a small disk that really fills (root only)"
    )
    parser.add_argument(
        "--lying-disk",
        action="store_true",
        help="a control that must fail: syncs are not kept; with power_cut",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy ledger, archive and logs here")
    return parser.parse_args()


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("[bold]chaos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[fault]}"),
        console=Console(stderr=True), transient=True, disable=quiet and not sys.stderr.isatty(),
    )  # fmt: skip


def _show(summary: dict[str, Any]) -> None:
    out = Console(soft_wrap=True)
    faults = Table("fault", "cycles", "screening back, p50 s", "max s", title="Faults")
    for name, count in summary["faults"].items():
        back = summary["screening_back_s"].get(name, {})
        faults.add_row(name, str(count), str(back.get("p50", "-")), str(back.get("max", "-")))
    out.print(faults)
    books = Table("what", "count", title=f"Books after {summary['cycles']} cycles, {summary['seconds']} s")
    for key in COUNTS:
        books.add_row(key.replace("_", " "), f"{summary[key]:,}")
    for decision, count in summary["verdicts"].items():
        books.add_row(f"  {decision}", f"{count:,}")
    for reason, count in sorted(summary["unknown_reasons"].items()):
        books.add_row(f"  UNKNOWN({reason})", f"{count:,}")
    out.print(books)
    out.print(f"uplink back after a heal, s: {summary['uplink_back_s']}", markup=False)
    for name, growth in summary["growth"].items():
        out.print(f"{name}: {growth}", markup=False)
    for key in ("stuck", "unexpected_ends", "subscriber_errors", "findings"):
        for line in summary[key]:
            out.print(f"{key}: {line}", style="red", markup=False)


if __name__ == "__main__":
    sys.exit(main())

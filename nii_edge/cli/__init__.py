"""The commands. Results go to stdout (with --json exactly one JSON object), logs to stderr."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from nii_edge import __version__
from nii_edge.cli import learning, service, streams
from nii_edge.cli.shared import ERR, OUT
from nii_edge.commands import keys, manifest, models, policy, scanner
from nii_edge.errors import NiiEdgeError

app = typer.Typer(
    name="nii-edge",
    help="The open edge daemon for X-ray inspection of cartons.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Entry point: an error this package knows is one sentence and exit status 1, not a traceback."""
    try:
        app()
    except NiiEdgeError as error:
        ERR.print(f"nii-edge: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        ERR.print(f"nii-edge: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        OUT.print(__version__)
        raise typer.Exit


for part in (service, streams, learning):
    app.add_typer(part.app)
for name, group in (
    ("keys", keys), ("models", models), ("scanner", scanner), ("manifest", manifest), ("policy", policy)
):  # fmt: skip
    app.add_typer(group.app, name=name)

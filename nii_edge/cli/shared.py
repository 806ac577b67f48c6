"""What all commands share: where results and words go, options, progress, signals."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

OUT = Console(soft_wrap=True)
ERR = Console(stderr=True, soft_wrap=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration file.")]

TELL_S = 20.0
"""Without a terminal, progress is a line on stderr so often, and at the beginning and end of each stage."""


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def stages_on(progress: Progress) -> Callable[[str, int, int], None]:
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
            ERR.print(f"{stage}: {done} of {of}", highlight=False)

    return told


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = threading.Event()
    call_on_signals(stop.set)
    return stop


def call_on_signals(call: Callable[[], None]) -> None:
    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        call()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)

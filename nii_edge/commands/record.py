"""`nii-edge record`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.commands.line import Line
from nii_edge.record import RecordSummary, Tap


def record(
    file: Path,
    tap: str,
    verdicts: str | None,
    seconds: float | None,
    line: Line,
    console: Console,
    *,
    quiet: bool,
    on_stop: Callable[[Callable[[], None]], None],
) -> RecordSummary:
    """Listen and write until told to stop. Raises RecordingError."""
    keys = line.keys([tap, *([verdicts] if verdicts is not None else [])])
    with RecordingWriter(file) as writer, console.status("recording") as status:

        def progress(summary: RecordSummary) -> None:
            if not quiet and console.is_terminal:
                status.update(f"{summary.frames} frames, {summary.verdicts} verdicts, Ctrl-C ends")

        listener = Tap(tap, verdicts, progress, keys, line.insecure)
        on_stop(lambda: setattr(listener, "stopped", True))
        try:
            summary = listener.record(writer, seconds)
            trouble = listener.trouble()
        finally:
            listener.close()
    if trouble is not None:
        console.print(trouble, style="red", markup=False, highlight=False)
    return summary


def show(summary: RecordSummary, file: Path, console: Console) -> None:
    """What was recorded, in a line or two."""
    console.print(
        f"{file}: {summary.frames} frames and {summary.verdicts} verdicts in {summary.seconds:.1f} s",
        markup=False,
        highlight=False,
    )
    if summary.from_lines:
        console.print(
            f"{summary.from_lines} of the frames were cut out of lines by the edge; the lines are not kept"
        )
    if not (summary.frames or summary.verdicts):
        console.print("nothing was heard; does the daemon run, and is this its tap?", style="red")
    if summary.missed:
        console.print(f"{summary.missed} messages missed: the disk was too slow", style="red")
    if summary.not_frames:
        console.print(f"{summary.not_frames} messages were no frames; the recording's notes name them")

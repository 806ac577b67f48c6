"""`nii-edge view`: the scans of a recording as pictures, in any of the operator's looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import cv2
import msgspec
import numpy as np
from rich.console import Console

from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.commands.recorded_scans import LeftOutError, frames_of, known_lanes, scans_of
from nii_edge.detect.manifest import Lane
from nii_edge.errors import ConfigError, FrameError
from nii_edge.records import Frame
from nii_edge.xray import quality, render, whole
from nii_edge.xray.colour import colour_table
from nii_edge.xray.optics import Optics, planes_of

Look: TypeAlias = Literal[
    "colour", "organic_stripped", "metal_stripped", "grey", "inverse", "high_penetration"
]
LOOKS: tuple[Look, ...] = get_args(Look)
MOST_TOLD = 3
"""Scans for each reason that are told in words, left out or doubtful; all are counted."""

Told: TypeAlias = Callable[[int, int], None]


class Request(NamedTuple):
    """The command's options. `lanes`: an edge's configuration, or a folder of ``NAME.yaml`` and
    ``NAME-VIEW.cal``, as `nii-edge simulate` writes it; `cartons`: barcodes, empty for all; `longest`: pixels
    of a picture's longer side."""

    recording: Path
    lanes: Path
    out: Path
    look: Look
    cartons: tuple[str, ...]
    longest: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `left_out`: scans by reason; `doubtful`: those drawn that the daemon would not
    judge, by its reason; `examples`: some of both in words; `problems`: damage of the recording, and cartons
    that are not in it."""

    out: str
    scans: int
    pictures: int
    left_out: dict[str, int]
    doubtful: dict[str, int]
    examples: list[str]
    problems: list[str]


def view(request: Request, told: Told) -> Summary:
    """Write a picture of each view, ``SCANNER-EPOCH-SEQ-VIEW.png``. `told` hears how many frames are done.

    Raises:
        ConfigError: an option is wrong or a file of the lanes cannot be read. RecordingError: the recording
            cannot be read at all.
    """
    if request.look not in LOOKS:
        raise ConfigError(f"--as {request.look}: there are {', '.join(LOOKS)}")
    if request.out.exists() and not request.out.is_dir():
        raise ConfigError(f"--out {request.out}: is no folder")
    lanes = known_lanes(request.lanes)
    source = McapSource(request.recording)
    left, doubtful, examples = Counter[str](), Counter[str](), list[str]()
    missing, scans, pictures, done = set(request.cartons), 0, 0, 0
    request.out.mkdir(parents=True, exist_ok=True)
    for (scanner, epoch, seq), sources in scans_of(source):
        done += len(sources)
        told(min(done, len(source)), len(source))
        if request.cartons and sources[0].header.carton not in request.cartons:
            continue
        missing.discard(sources[0].header.carton or "")
        scans += 1
        try:
            lane = lanes.get(scanner)
            if lane is None:
                raise LeftOutError("other_lane", f"{scanner} is not in {request.lanes}")
            frames = frames_of(lane.profile, sources)
            shown = [_shown(frame, lane, request) for frame in frames]
        except LeftOutError as reason:
            examples += _told_of(left, f"{scanner}/{epoch}/{seq}", reason.why, str(reason))
            continue
        for why, words in _doubts(frames, lane)[:1]:
            examples += _told_of(doubtful, f"{scanner}/{epoch}/{seq}", why, words)
        for number, picture in enumerate(shown):
            name = f"{scanner}-{epoch}-{seq}-{number}.png"
            (request.out / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            pictures += 1
    return Summary(
        out=str(request.out), scans=scans, pictures=pictures, left_out=dict(left), doubtful=dict(doubtful),
        examples=examples, problems=[*source.problems, *map(_not_there, sorted(missing))],
    )  # fmt: skip


def _not_there(carton: str) -> str:
    return f"--carton {carton}: no scan of the recording names it; `nii-edge view` without it draws all"


def _told_of(counts: Counter[str], scan: str, why: str, words: str) -> list[str]:
    """Count a scan; one of the first few in words."""
    counts[why] += 1
    return [f"{scan}: {why}: {words}"[:300]] if counts[why] <= MOST_TOLD else []


def _doubts(frames: tuple[Frame, ...], lane: Lane) -> list[quality.Problem]:
    """Why the daemon would not judge these views, if it would not: what is drawn of them may be wrong."""
    bare = lane.profile.shows == "carton" or lane.profile.line_scan is not None
    found = []
    for frame in frames:
        detector = lane.optics[frame.view].detector if lane.optics else None
        problem = quality.problem(frame, detector, bare=bare) or whole.problem(frame, lane.profile, detector)
        found += [problem] if problem is not None else []
    return found


def _shown(frame: Frame, lane: Lane, request: Request) -> render.Picture:
    optics = lane.optics[frame.view] if lane.optics else None
    try:
        return _drawn(frame, optics, request)
    except FrameError as error:
        raise LeftOutError("bad_frame", str(error)) from error


def _drawn(frame: Frame, optics: Optics | None, request: Request) -> render.Picture:
    """Display pictures are shown as they are. Raises FrameError, LeftOutError."""
    if request.look == "colour" or frame.channels[0] not in ("low", "high"):
        return render.picture(frame, request.longest, optics)
    if request.look in ("organic_stripped", "metal_stripped"):
        if optics is None or optics.materials is None or frame.channels != ("low", "high"):
            raise LeftOutError("cannot_weigh", "materials need both energies and the scanner's wedges")
        colours = colour_table(optics.materials, request.look)
        return render.picture(frame, request.longest, optics._replace(colours=colours))
    high = np.nan_to_num(planes_of(frame, optics)[-1], nan=0.0)
    scale = min(1.0, request.longest / max(high.shape))
    size = max(1, round(high.shape[1] * scale)), max(1, round(high.shape[0] * scale))
    small = cv2.resize(high, size, interpolation=cv2.INTER_AREA)
    draw = {"grey": render.grey, "inverse": render.inverse, "high_penetration": render.high_penetration}
    return draw[request.look](np.asarray(small, np.float32))


def show(summary: Summary, console: Console) -> None:
    """The result for a person."""
    console.print(
        f"{summary.out}: {summary.pictures} pictures of {summary.scans} scans", markup=False, highlight=False
    )
    for why, count in summary.left_out.items():
        console.print(f"  left out, {why}: {count}", markup=False, highlight=False)
    for why, count in summary.doubtful.items():
        console.print(
            f"  drawn, but the daemon would not judge them, {why}: {count}", markup=False, highlight=False
        )
    for words in (*summary.examples, *summary.problems):
        console.print(f"    {words}", style="dim", markup=False, highlight=False)

"""Scans of a recording as the detectors see them, and why one is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.compose import calibration_files_of
from nii_edge.config import EdgeConfig, Profile, load
from nii_edge.detect.manifest import Lane
from nii_edge.edge.fit import format_of
from nii_edge.errors import ConfigError, FrameError
from nii_edge.ports import SourceFrame
from nii_edge.records import Frame
from nii_edge.wire import DTYPE_BYTES

Key: TypeAlias = tuple[str, int, int]
"""Scanner, epoch, seq."""

Why = Literal[
    "not_clear", "other_lane", "cannot_weigh", "missing_view", "encoded", "bad_frame", "no_barcode",
    "no_papers", "bad_papers", "no_master_bill", "seen_before", "nothing_seen", "several_goods", "odd",
]  # fmt: skip
"""Why a carton teaches nothing; docs/DETECTION.md says each in words."""


class LeftOutError(Exception):
    """A carton teaches nothing."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why: Why = why


def known_lanes(place: Path) -> dict[str, Lane]:
    """What is known of each scanner; calibrations of any age, since recordings have any age.

    `place`: an edge's configuration, or a folder of ``NAME.yaml`` and ``NAME-VIEW.cal``, as `nii-edge
    simulate` writes it. Raises ConfigError, CalibrationError.
    """
    if place.is_dir():
        profiles = {path.stem: load(path, Profile) for path in sorted(place.glob("*.yaml"))}
        if not profiles:
            raise ConfigError(f"--lanes {place}: no NAME.yaml of a scanner is there")
        files: dict[str, Sequence[Path]] = {
            name: [place / f"{name}-{view}.cal" for view in range(len(profile.views))]
            for name, profile in profiles.items()
        }
        files = {name: own for name, own in files.items() if all(file.exists() for file in own)}
    else:
        config, here = load(place, EdgeConfig), place.resolve().parent
        profiles = {name: load(here / lane.profile, Profile) for name, lane in config.scanners.items()}
        found = calibration_files_of(config, profiles, here)
        files = {name: [Path(file) for file in lane.files] for name, lane in found.items()}
    return {
        name: Lane(
            profile, tuple(read_optics(file, profile.penetration_limit) for file in files.get(name, ()))
        )
        for name, profile in profiles.items()
    }


def scans_of(source: McapSource) -> Iterator[tuple[Key, list[SourceFrame]]]:
    """The scans of a recording with their frames."""

    def key(frame: SourceFrame) -> Key:
        return frame.header.scanner, frame.header.epoch, frame.header.seq

    for scan, frames in groupby(source, key):
        yield scan, list(frames)


def frames_of(profile: Profile, sources: Sequence[SourceFrame]) -> tuple[Frame, ...]:
    """A scan's views in their order, as the daemon would have them. Raises LeftOutError."""
    by_view = {source.header.view: source for source in sources}
    if sorted(by_view) != list(range(len(profile.views))):
        raise LeftOutError("missing_view", f"views {sorted(by_view)}; the scanner has {len(profile.views)}")
    return tuple(frame_of(profile, by_view[view]) for view in sorted(by_view))


def frame_of(profile: Profile, source: SourceFrame) -> Frame:
    """One view with raw pixels, as the daemon would have it. Raises LeftOutError."""
    header = source.header
    if header.encoding != "raw":
        raise LeftOutError("encoded", f"view {header.view} is {header.encoding}; only raw counts are taken")
    try:
        form = format_of(header, profile)
    except FrameError as error:
        raise LeftOutError("bad_frame", str(error)) from error
    shape = header.height or 0, header.width or 0, len(form.channels)
    size = int(np.prod(shape)) * DTYPE_BYTES[form.dtype]
    if not size or len(source.payload) != size:
        raise LeftOutError("bad_frame", f"view {header.view}: {len(source.payload)} bytes, expected {size}")
    pixels = np.frombuffer(source.payload, np.dtype(form.dtype).newbyteorder("<")).reshape(shape)
    return Frame(
        view=header.view,
        view_name=profile.views[header.view],
        channels=form.channels,
        pixels=pixels,
        full_scale=form.air or form.white or 1.0,
        opaque_below=profile.penetration_limit if form.is_counts else profile.black_level,
    )

"""Scans of a recording as the detectors see them, and why one is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

import numpy as np

from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.config import Profile
from nii_edge.edge.fit import format_of
from nii_edge.errors import FrameError
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
    return tuple(_frame(profile, by_view[view]) for view in sorted(by_view))


def _frame(profile: Profile, source: SourceFrame) -> Frame:
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

"""Chunks of lines held against themselves and their scanner's profile. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from nii_edge import wire
from nii_edge.config import Format, LineScan, Profile
from nii_edge.edge.admission import Lane
from nii_edge.edge.lines import Lines, picture_rows
from nii_edge.errors import FrameError
from nii_edge.records import Reason
from nii_edge.wire import Buffer, LinesMessage


class Chunk(NamedTuple):
    """A chunk that holds together: its lines, its kind of pixels, the CRC-32 of the pixels."""

    message: LinesMessage
    lines: Lines
    form: Format
    crc32: int


def read(message: LinesMessage, payload: Buffer, lane: Lane, limit: int) -> Chunk:
    """Check a chunk against itself and its scanner's profile and calibration.

    Raises:
        FrameError: PROFILE_MISMATCH, BAD_HEADER, CORRUPT_FRAME or TOO_LARGE (a longest carton of this width
            would be over `limit` bytes).
    """
    profile, scan = lane.profile, line_scan(lane.profile)
    if message.view >= len(profile.views):
        last = len(profile.views) - 1
        raise FrameError(Reason.BAD_HEADER, f"view {message.view}; views count from 0 to {last}")
    form = profile.format_for(message.channels, message.dtype)
    if form is None:
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"lines of {list(message.channels or ['any'])} {message.dtype or 'any'}; the profile "
            f"{profile.name!r} has " + ", ".join(f"{list(f.channels)} {f.dtype}" for f in profile.formats),
        )
    wire.check_lines(message, len(form.channels), form.dtype, payload)
    if scan.barrier and message.barrier is None:
        raise FrameError(
            Reason.PROFILE_MISMATCH, "no barrier bits; the profile says there is a light barrier"
        )
    expected = lane.detectors[message.view].width if lane.detectors else message.width
    if message.width != expected:
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"lines of {message.width} pixels; view {message.view} is calibrated for {expected}",
        )
    row_bytes = message.width * len(form.channels) * wire.DTYPE_BYTES[form.dtype]
    size = row_bytes * picture_rows(scan)
    if size > limit:
        raise FrameError(
            Reason.TOO_LARGE,
            f"the longest carton, {message.width} pixels wide, has {size} bytes; at most {limit} "
            "(`max_frame_bytes`)",
        )
    wire.check_crc(message, payload, isal_zlib.crc32)
    return Chunk(message, _lines(message, payload, form), form, isal_zlib.crc32(payload))


def _lines(message: LinesMessage, payload: Buffer, form: Format) -> Lines:
    kind = np.dtype(form.dtype).newbyteorder("<")
    pixels = np.frombuffer(payload, kind).reshape(message.lines, message.width, len(form.channels))
    if isinstance(message.encoder, tuple):
        encoder = np.array(message.encoder, np.int64)
    else:
        encoder = message.encoder + message.step * np.arange(message.lines, dtype=np.int64)
    barrier = None
    if message.barrier is not None:
        bits = np.frombuffer(message.barrier, np.uint8)
        barrier = np.unpackbits(bits, count=message.lines, bitorder="little").astype(bool)
    return Lines(encoder, pixels, barrier)


def line_scan(profile: Profile) -> LineScan:
    """How this scanner's lines become cartons. Raises FrameError(PROFILE_MISMATCH) if it sends frames."""
    if profile.line_scan is None:
        raise FrameError(
            Reason.PROFILE_MISMATCH, f"lines; the profile {profile.name!r} has frames (no `line_scan`)"
        )
    return profile.line_scan

"""What every FrameSource promises, whatever it reads from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from nii_edge import wire
from nii_edge.adapters.mcap_recording import McapSource, RecordingWriter
from nii_edge.adapters.pictures import ArraySource, PictureSource, open_source
from nii_edge.ports import FrameSource, SourceFrame
from nii_edge.wire import FrameMessage

SCANS = 4
Make = Callable[[Path], FrameSource]


def pixels(scan: int, view: int = 0) -> np.ndarray:
    """A small dual-energy picture that no other scan or view has."""
    return np.random.default_rng([scan, view]).integers(0, 65_536, (6, 5, 2), dtype=np.uint16)


def recording(folder: Path) -> FrameSource:
    """Two lanes interleaved, so that the views of one scan do not lie next to each other."""
    path = folder / "lanes.mcap"
    with RecordingWriter(path) as writer:
        for scan in range(1, SCANS // 2 + 1):
            for view in (0, 1):
                for lane in ("lane-1", "lane-2"):
                    data = pixels(scan, view).tobytes()
                    header = FrameMessage(
                        scanner=lane, epoch=3, seq=scan, view=view, views=2, crc32=zlib.crc32(data),
                        channels=("low", "high"), dtype="uint16", height=6, width=5,
                    )  # fmt: skip
                    writer.write_frame(header, data, 10**9 * scan + view)
    return McapSource(path)


def pictures(folder: Path) -> FrameSource:
    """PNG files."""
    for scan in range(SCANS):
        cv2.imwrite(str(folder / f"{scan}.png"), pixels(scan)[:, :, 0])
    return PictureSource(folder)


def one_view_arrays(folder: Path) -> FrameSource:
    """.npy files of one view."""
    for scan in range(SCANS):
        np.save(folder / f"{scan}.npy", pixels(scan))
    return ArraySource(folder)


def two_view_arrays(folder: Path) -> FrameSource:
    """.npy files of two views."""
    for scan in range(SCANS):
        np.save(folder / f"{scan}.npy", np.stack([pixels(scan), pixels(scan, 1)]))
    return ArraySource(folder)


def archives(folder: Path) -> FrameSource:
    """.npz files."""
    for scan in range(SCANS):
        np.savez(folder / f"{scan}.npz", low=pixels(scan)[:, :, 0], high=pixels(scan)[:, :, 1])
    return ArraySource(folder)


@pytest.fixture(params=[recording, pictures, one_view_arrays, two_view_arrays, archives])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FrameSource:
    """Each source in turn, with `SCANS` scans."""
    make: Make = request.param
    return make(tmp_path)


def scan_of(frame: SourceFrame) -> tuple[str, int, int]:
    """The identity of the frame's scan."""
    return (frame.header.scanner, frame.header.epoch, frame.header.seq)


def test_iterating_twice_gives_the_same(source: FrameSource) -> None:
    """A source can be read again from its beginning, with the same frames and problems."""
    first, problems = list(source), list(source.problems)
    assert len({scan_of(frame) for frame in first}) == SCANS
    assert list(source) == first
    assert source.problems == problems == []


def test_views_of_a_scan_stand_together(source: FrameSource) -> None:
    """Between two views of one scan no frame of another comes."""
    order = [scan_of(frame) for frame in source]
    changes = 1 + sum(a != b for a, b in pairwise(order))
    assert changes == len(set(order)) == SCANS


def test_each_scan_is_whole(source: FrameSource) -> None:
    """Each scan has as many frames as its header has views, numbered from 0."""
    views: dict[tuple[str, int, int], list[int]] = {}
    for frame in source:
        views.setdefault(scan_of(frame), []).append(frame.header.view)
        assert frame.header.views is not None
        assert frame.header.view < frame.header.views
    assert len({tuple(v) for v in views.values()}) == 1
    assert all(v == list(range(len(v))) for v in views.values())


def test_length_counts_the_frames_or_is_zero(source: FrameSource) -> None:
    """The length is the number of frames, or 0 where it is unknown, before and after iterating."""
    before = len(source)
    assert before in (0, len(list(source)))
    assert len(source) == before


def test_frames_hold_together(source: FrameSource) -> None:
    """Every frame has its CRC-32, encodes as a message, and raw ones have the size their header says."""
    for frame in source:
        assert frame.header.crc32 == zlib.crc32(frame.payload)
        header = frame.header
        assert wire.decode_from_scanner([wire.encode(header), frame.payload]).message == header
        assert header.channels is not None
        assert header.dtype is not None
        wire.check_payload(header, len(header.channels), header.dtype, frame.payload, 1 << 20)


def test_times_do_not_go_back(source: FrameSource) -> None:
    """Either no frame has a recorded time, or each scan begins no earlier than the one before."""
    starts: dict[tuple[str, int, int], int | None] = {}
    for frame in source:
        starts.setdefault(scan_of(frame), frame.log_time_ns)
    times = [time for time in starts.values() if time is not None]
    assert len(times) in (0, len(starts))
    assert times == sorted(times)


@pytest.mark.parametrize("make", [recording, pictures, one_view_arrays, archives])
def test_open_source_picks_the_same(make: Make, tmp_path: Path) -> None:
    """`open_source` on the folder or file finds what the named source finds."""
    made = make(tmp_path)
    path = tmp_path / "lanes.mcap" if make is recording else tmp_path
    opened = open_source(path)
    assert type(opened) is type(made)
    assert list(opened) == list(made)

"""The bundled recording is what tools/draw_demo.py draws, and shows what it is meant to show."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import nii_edge.demo
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.ports import SourceFrame

DEMO = Path(nii_edge.demo.__file__).parent
TOOL = Path(__file__).parents[2] / "tools" / "draw_demo.py"
TRUTH = {entry["seq"]: entry for entry in json.loads((DEMO / "demo.json").read_text(encoding="utf-8"))}
CLEAR_AREA = 100
"""Opaque pixels without noise from which a view shows an impenetrable area beyond doubt."""


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("draw_demo", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    monkeypatch.undo()


@pytest.fixture(scope="module")
def frames() -> list[SourceFrame]:
    """The bundled recording."""
    source = McapSource(DEMO / "demo.mcap")
    read = list(source)
    assert source.problems == []
    return read


def high(frame: SourceFrame) -> np.ndarray:
    """Transmission at the high energy."""
    header = frame.header
    counts = np.frombuffer(frame.payload, "<u2").reshape(header.height or 0, header.width or 0, 2)
    return counts[:, :, 1] / 50_000


def test_it_is_what_the_script_draws(tool: ModuleType, frames: list[SourceFrame], tmp_path: Path) -> None:
    """Drawing again gives the same frames, times and truth as lie in the package."""
    tool.draw(tmp_path)
    assert list(McapSource(tmp_path / "demo.mcap")) == frames
    assert (tmp_path / "demo.json").read_bytes() == (DEMO / "demo.json").read_bytes()


def test_it_is_small_and_complete(frames: list[SourceFrame]) -> None:
    """Twelve cartons of two views with barcodes, 1.2 s apart, in at most 5 MB."""
    assert (DEMO / "demo.mcap").stat().st_size <= 5_000_000
    assert [(f.header.seq, f.header.view) for f in frames] == [(s, v) for s in range(1, 13) for v in (0, 1)]
    assert len({f.header.carton for f in frames}) == 12
    times = [f.log_time_ns or 0 for f in frames if f.header.view == 0]
    assert set(np.diff(times)) == {1_200_000_000}


def test_air_is_where_it_should_be(frames: list[SourceFrame]) -> None:
    """The belt before the carton reads 50,000 counts, with noise about it, and no pixel is clipped."""
    for frame in frames:
        belt = high(frame)[:8]
        assert belt.mean() == pytest.approx(1.0, abs=0.002)
        assert 0.005 < belt.std() < 0.02
        assert high(frame).max() < 65_535 / 50_000


def test_impenetrable_blocks_are_black_and_nothing_else_is(frames: list[SourceFrame]) -> None:
    """Where the truth says opaque, that many pixels read below 1e-3; elsewhere not one does."""
    blocked = set()
    for frame in frames:
        view = ("top", "side")[frame.header.view]
        opaque = TRUTH[frame.header.seq]["opaque_px"][view]
        black = int((high(frame) < 1e-3).sum())
        assert black == pytest.approx(opaque, rel=0.03, abs=8 if opaque else 0), frame.header
        if opaque >= CLEAR_AREA:
            blocked.add((frame.header.seq, view))
    assert {seq for seq, _ in blocked} == {4, 7, 10, 11, 12}
    assert (10, "top") not in blocked


def test_thick_metal_can_be_seen_through(frames: list[SourceFrame]) -> None:
    """Carton 8 holds steel that lets less than 5 % through, in either view, yet well over the limit."""
    for frame in frames:
        if frame.header.seq == 8:
            assert 0.005 < np.quantile(high(frame), 0.01) < 0.05

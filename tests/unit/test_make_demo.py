"""The bundled recording is what tools/make_demo.py makes, and shows what it is meant to show."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from nii_edge import demo
from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.config import Inference, Profile, load
from nii_edge.inference_process import open_detector
from nii_edge.records import Frame, Scan, ScanId, ScanType

HERE = Path(demo.__file__).parent
ROOT = Path(__file__).parents[2]
TRUTH = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))


def counts() -> dict[tuple[int, int], np.ndarray]:
    source = McapSource(HERE / "demo.mcap")
    found = {
        (frame.header.seq, frame.header.view): np.frombuffer(frame.payload, "<u2").reshape(
            frame.header.height or 0, frame.header.width or 0, 2
        )
        for frame in source
    }
    assert source.problems == []
    return found


def test_it_is_small_and_some_cartons_lie() -> None:
    """Small enough to ship; honest and lying cartons; one lie that this detector does not see."""
    assert (HERE / "demo.mcap").stat().st_size < 10_000_000
    assert {entry["lie"] for entry in TRUTH} == {None, "shielding"}
    assert all(entry["lie"] for entry in TRUTH if entry["alarms"])
    assert any(entry["lie"] and not entry["alarms"] for entry in TRUTH)


def test_the_shipped_model_says_what_is_written() -> None:
    """Scan by scan, read with the bundled profile and calibrations."""
    profile = load(HERE / "scanner.yaml", Profile)
    optics = tuple(read_optics(HERE / f"scanner-{v}.cal", profile.penetration_limit) for v in (0, 1))
    detector, runtime, _ = open_detector(
        "shielding", ROOT / "models/shielding/1.0.0", Inference(threads=1), {"lane-1": optics}
    )
    pixels = counts()
    for entry in TRUTH:
        frames = tuple(
            Frame(
                view=view, channels=("low", "high"), pixels=pixels[entry["seq"], view],
                full_scale=profile.formats[0].air or 1.0, opaque_below=profile.penetration_limit,
            )
            for view in (0, 1)
        )  # fmt: skip
        scan = Scan(
            id=ScanId(edge="e", scanner="lane-1", epoch=1, seq=entry["seq"]),
            scan_type=ScanType.OPERATIONAL, frames=frames,
        )  # fmt: skip
        assert bool(detector.detect([scan])[0]) is entry["alarms"], entry
    runtime.close()


@pytest.mark.timeout(300)
def test_the_tool_makes_the_same_again() -> None:
    """Pixel by pixel, but for what other processors round otherwise."""
    spec = importlib.util.spec_from_file_location("make_demo", ROOT / "tools" / "make_demo.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = tool.consignment()
    kept = counts()
    assert [carton.lie for carton in made.cartons] == [entry["lie"] for entry in TRUTH]
    for number, scan in enumerate(made.scans, 1):
        for view, shot in enumerate(scan.shots):
            stored = kept[number, view]
            assert shot.counts.shape == stored.shape
            off = np.abs(shot.counts.astype(np.int32) - stored)
            assert float((off > 2).mean()) < 0.001

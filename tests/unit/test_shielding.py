"""The shipped bundle `shielding`: what it marks, what it leaves, and that it is what the tool builds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from nii_edge.adapters.onnx_runtime import load
from nii_edge.bundle import load_bundle
from nii_edge.config import Inference
from nii_edge.detect.heads import output_names
from nii_edge.detect.model_detector import ModelDetector, check_golden
from nii_edge.records import Channel, Finding, Frame, Scan, ScanId, ScanType

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "shielding" / "1.0.0"
LIMIT, AIR = 0.002, 50_000


@pytest.fixture(scope="module")
def detector() -> ModelDetector:
    bundle = load_bundle(SHIPPED)
    runtime = load(bundle.model, bundle.manifest.input, Inference(), output_names(bundle.manifest.output))
    return ModelDetector(bundle, runtime, "shielding", 4)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("onnx")
    spec = importlib.util.spec_from_file_location("export_shielding", ROOT / "tools" / "export_shielding.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["export_shielding"] = module
    spec.loader.exec_module(module)
    return module


def look(detector: ModelDetector, pixels: npt.NDArray[np.generic]) -> tuple[Finding, ...]:
    """The findings on one frame: counts if uint16, else a display picture of white 255 and black 0.17."""
    counts = pixels.dtype == np.uint16
    names: tuple[Channel, ...] = ("low", "high") if counts else ("red", "green", "blue")
    frame = Frame(
        view=0,
        channels=names,
        pixels=pixels,
        full_scale=AIR if counts else 255,
        opaque_below=LIMIT if counts else 0.17,
    )
    identity = ScanId(edge="e", scanner="s", epoch=0, seq=1)
    return detector.detect([Scan(id=identity, scan_type=ScanType.NON_OPERATIONAL, frames=(frame,))])[0]


def carton(
    transmission: float, box: tuple[int, int, int, int] = (300, 200, 420, 340)
) -> npt.NDArray[np.uint16]:
    """A noisy 832 x 1024 dual-energy carton with a block of that transmission."""
    clean = np.full((832, 1024, 2), 0.8)
    x0, y0, x1, y1 = box
    clean[y0:y1, x0:x1] = transmission
    counts = np.random.default_rng(7).normal(clean * AIR, np.sqrt(clean * AIR) + 5)
    return np.clip(counts, 0, 65_535).round().astype(np.uint16)


def test_the_shipped_bundle_passes_its_golden_frames(detector: ModelDetector) -> None:
    """The committed model gives the findings that follow from the drawings."""
    assert check_golden(detector, load_bundle(SHIPPED)) == []


def test_a_block_beyond_the_limit_is_marked(detector: ModelDetector) -> None:
    """A block at a tenth of the limit is one finding, in the right place, of the right size."""
    (finding,) = look(detector, carton(LIMIT / 10))
    assert (finding.kind, finding.label) == ("shielding", "impenetrable_area")
    assert finding.score > 0.9
    assert finding.box is not None
    assert (finding.box.x0, finding.box.y0) == pytest.approx((300, 200), abs=4)
    assert (finding.box.x1, finding.box.y1) == pytest.approx((420, 340), abs=4)
    assert finding.area_px == pytest.approx(120 * 140, rel=0.08)
    assert finding.why == "X-rays do not get through 2.0% of the no. 0 view: it cannot be seen what is there"


@pytest.mark.parametrize("transmission", [0.8, 0.05, LIMIT * 3])
def test_what_still_lets_rays_through_is_left(detector: ModelDetector, transmission: float) -> None:
    """Thick but penetrated is not impenetrable, noise and all."""
    assert look(detector, carton(transmission)) == ()


def test_no_counts_at_all_is_impenetrable(detector: ModelDetector) -> None:
    """A carton lined with lead all over is the clearest case, not a blank picture."""
    (finding,) = look(detector, np.zeros((832, 1024, 2), np.uint16))
    assert finding.area_px == pytest.approx(832 * 1024)


@pytest.mark.parametrize("box", [(0, 0, 1024, 8), (500, 0, 508, 832), (300, 200, 320, 220)])
def test_the_thin_and_the_small_are_left(detector: ModelDetector, box: tuple[int, int, int, int]) -> None:
    """A wire, a dead detector's line, a screw: too thin or too small to hide a thing."""
    assert look(detector, carton(0.0, box)) == ()


@pytest.mark.parametrize(
    "box", [(0, 300, 60, 400), (964, 300, 1024, 400), (400, 772, 500, 832), (0, 0, 80, 80)]
)
def test_a_block_at_the_edge_of_the_frame_counts_whole(
    detector: ModelDetector, box: tuple[int, int, int, int]
) -> None:
    """Neither the frame's edge nor the padding beyond it eats into an area."""
    (finding,) = look(detector, carton(0.0, box))
    assert finding.area_px == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), rel=0.1)


def test_blue_metal_is_penetrated_and_black_is_not(detector: ModelDetector) -> None:
    """On a pseudo-colour picture only black counts; outlines in black do not."""
    picture = np.full((600, 800, 3), 255, np.uint8)
    picture[100:500, 100:700] = (240, 180, 90)
    picture[150:300, 150:300] = (0, 0, 255)
    cv2.rectangle(picture, (100, 100), (700, 500), (0, 0, 0), 4)
    assert look(detector, picture) == ()
    picture[350:450, 400:520] = (28, 30, 33)
    (finding,) = look(detector, picture)
    assert finding.box is not None
    assert (finding.box.x0, finding.box.y0) == pytest.approx((400, 350), abs=4)


def test_the_tool_builds_the_shipped_bundle(tool: ModuleType, tmp_path: Path) -> None:
    """Built twice the bundle is the same to the byte, and its model is the committed one."""
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        tool.export(folder)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 6
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
    for name in ("model.onnx", "bundle.yaml", "CARD.md"):
        assert (first / name).read_bytes() == (SHIPPED / name).read_bytes()
    assert [str(golden) for golden in load_bundle(first).golden] == [
        str(g) for g in load_bundle(SHIPPED).golden
    ]

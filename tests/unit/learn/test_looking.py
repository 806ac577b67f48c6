"""What `evaluate` sees is what the daemon tells, and below the thresholds more."""

from __future__ import annotations

import msgspec
import numpy as np
from harness import ROOT

from nii_edge.adapters import onnx_runtime
from nii_edge.bundle import Bundle, load_bundle
from nii_edge.config import Inference
from nii_edge.detect.heads import output_names
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.learn.looking import Eye, clutter_of
from nii_edge.records import Frame, Scan, ScanId, ScanType

SHIPPED = load_bundle(ROOT / "models" / "detector" / "0.5.0")


def with_thresholds(threshold: float) -> Bundle:
    """The shipped bundle, which looks four times, with one threshold for all of its classes."""
    manifest = SHIPPED.manifest
    labels = tuple(msgspec.structs.replace(label, threshold=threshold) for label in manifest.labels)
    return msgspec.structs.replace(SHIPPED, manifest=msgspec.structs.replace(manifest, labels=labels))


def daemons(detector: ModelDetector, frame: Frame) -> list[tuple[str, float, float]]:
    """What the daemon finds: label, score, left side."""
    scan = Scan(
        id=ScanId(edge="e", scanner="s", epoch=0, seq=1), scan_type=ScanType.NON_OPERATIONAL, frames=(frame,)
    )
    (found,) = detector.detect([scan])
    return sorted((one.label, one.score, one.box.x0) for one in found if one.box is not None)


def test_above_the_thresholds_an_eye_sees_what_the_daemon_tells() -> None:
    """What one of the four looks hardly sees counts for neither, so scores and boxes are the same; with the
    lowest thresholds it would count, and one thing more would be told."""
    bundle = with_thresholds(0.25)
    eye, (golden,) = Eye(bundle, 1), [one.frame for one in bundle.golden if one.name == "found_2"]
    manifest = bundle.manifest
    names = output_names(manifest.output)
    runtime = onnx_runtime.load(bundle.model, manifest.input, Inference(threads=1), names)
    detector = ModelDetector(bundle, runtime, "daemon", 1)
    others = 0
    try:
        for turn in range(4):
            pixels = np.ascontiguousarray(np.rot90(golden.pixels, turn))
            frame = msgspec.structs.replace(golden, pixels=pixels)
            seen = eye.look(frame)
            told = sorted(
                (manifest.labels[one.label].name, one.score, one.box[0]) for one in seen if one.score >= 0.25
            )
            assert told == daemons(detector, frame)
            assert any(one.score < 0.25 for one in seen), "curves need what is below, too"
            lowest = daemons(detector.lowered(0.005), frame)
            others += [one for one in lowest if one[1] >= 0.25] != told
    finally:
        eye.close()
        runtime.close()
    assert others, "the pictures are no test"


def test_what_has_more_in_it_is_more_cluttered() -> None:
    """Whatever the ground around it, the number of channels and of bits."""

    def frame(things: int, around: int, full: int = 255) -> Frame:
        pixels = np.full((200 + 2 * around, 300 + 2 * around, 3), 0.95 * full, np.float32)
        pixels[around : 200 + around, around : 300 + around] = 0.7 * full
        for k in range(things):
            x, y = around + 20 + 28 * (k % 10), around + 20 + 40 * (k // 10)
            pixels[y : y + 24, x : x + 14] = 0.3 * full
        kind = np.uint8 if full == 255 else np.uint16
        return Frame(
            view=0,
            channels=("red", "green", "blue"),
            pixels=pixels.astype(kind),
            full_scale=float(full),
            opaque_below=0.0,
        )

    found = [clutter_of(frame(things, 20)) for things in (0, 5, 20, 40)]
    assert found == sorted(found)
    assert 0 <= found[0] < 0.5 * found[3] < 0.5
    assert abs(clutter_of(frame(20, 80)) / found[2] - 1) < 0.35
    assert abs(clutter_of(frame(20, 20, 65_535)) / found[2] - 1) < 0.05
    grey = frame(20, 20)
    assert (
        clutter_of(msgspec.structs.replace(grey, channels=("high",), pixels=grey.pixels[:, :, 0])) == found[2]
    )

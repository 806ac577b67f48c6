"""The reference model's bundle: fixed work for every column, so that what differs is everything around it.

The network has learned nothing. Its class logits are scaled so that a few places of each frame reach the
threshold: the head has boxes to suppress, and the golden frame has findings to expect.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nii_edge.adapters import onnx_runtime
from nii_edge.bench import frames, network
from nii_edge.bundle import Bundle, GoldenFrame, write_bundle
from nii_edge.config import BundleManifest, GridHead, Inference, Label, ModelInput
from nii_edge.detect.model_detector import ModelDetector, expected_from
from nii_edge.records import Finding, Frame, Scan, ScanId, ScanType
from nii_edge.xray.frontend import model_input

NAME = "reference"
LABELS = ("first", "second", "third")
ALARM_AT = 0.999
"""For the policy: findings are reported, none alarms, so every verdict is a CLEAR as on most cartons."""
MEAN_LOGIT = -3.0
FINDINGS = (10, 40)
"""About how many places of the golden frame may reach the threshold."""

Floats = npt.NDArray[np.float32]

_INPUT = ModelInput(
    name="image",
    channels=("transmission_low", "transmission_high", "opacity"),
    size=(network.SIZE, network.SIZE),
    fit="stretch",
)
_CARD = """# reference

For `nii-edge bench` only: seeded weights that have learned nothing. Its findings mean nothing.
"""


def write_reference(folder: Path) -> Bundle:
    """Build the bundle in `folder`. Raises RuntimeMissingError when `onnx` is not installed."""
    golden = frames.as_frame(frames.carton(frames.GOLDEN_SEED))
    raw = _logits(network.build(len(LABELS)), golden)
    scale = 1.0 / float(raw.std())
    shift = MEAN_LOGIT - scale * float(raw.mean())
    model = network.build(len(LABELS), scale, shift)
    manifest = _manifest(_threshold(raw * scale + shift))
    findings = _look(Bundle(folder=folder, manifest=manifest, model=model, golden=()), golden)
    example = GoldenFrame(name="carton", frame=golden, expected=expected_from(findings))
    return write_bundle(folder, manifest, model, [example], _CARD)


def scan_of(frame: Frame) -> Scan:
    """A scan of one view, for looking at it without a daemon."""
    return Scan(id=_NO_SCAN, scan_type=ScanType.NON_OPERATIONAL, frames=(frame,))


def _logits(model: bytes, frame: Frame) -> Floats:
    """The class logits of a frame, of all labels and places."""
    runtime = onnx_runtime.load(model, _INPUT, Inference(), ("grid",))
    tensor, _ = model_input(frame, _INPUT)
    scores = np.asarray(runtime.run(tensor[None])["grid"], np.float64)[0, 4:]
    runtime.close()
    logits: Floats = np.log(scores / (1.0 - scores)).astype(np.float32)
    return logits


def _threshold(logits: Floats) -> float:
    """A score in the widest gap that leaves a sensible number of places above it, so that the small
    differences between machines and batch sizes do not move a place across."""
    best = np.sort(logits.max(axis=0))[::-1][FINDINGS[0] : FINDINGS[1]]
    at = int(np.argmax(best[:-1] - best[1:]))
    middle = float(best[at] + best[at + 1]) / 2
    return round(1.0 / (1.0 + math.exp(-middle)), 6)


def _manifest(threshold: float) -> BundleManifest:
    why = "the reference model, which knows nothing, gives {score} here"
    labels = tuple(Label(name=name, category="OTHER", threshold=threshold, why=why) for name in LABELS)
    return BundleManifest(
        version=1,
        name=NAME,
        model_version="1.0.0",
        description="Fixed work for the benchmark. Not trained.",
        licence="Apache-2.0",
        kind="object",
        format="onnx",
        model="model.onnx",
        sha256="0" * 64,
        input=_INPUT,
        output=GridHead(output="grid"),
        labels=labels,
        golden="golden",
    )


def _look(bundle: Bundle, frame: Frame) -> tuple[Finding, ...]:
    runtime = onnx_runtime.load(bundle.model, _INPUT, Inference(), ("grid",))
    (findings,) = ModelDetector(bundle, runtime, NAME, 1).detect([scan_of(frame)])
    runtime.close()
    return findings


_NO_SCAN = ScanId(edge="bench", scanner="bench", epoch=0, seq=1)

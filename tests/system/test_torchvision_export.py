"""A real torchvision detector, exported, through the bundle and the detector: the same boxes as torch's."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

from nii_edge.bundle import Bundle, Expected, GoldenFrame, write_bundle
from nii_edge.config import BoxesHead, BundleManifest, DenseHead, Head, Inference, Label, ModelInput
from nii_edge.detect.heads import output_names
from nii_edge.detect.model_detector import ModelDetector, check_golden, expected_from
from nii_edge.records import Box, Finding, Frame, Scan, ScanId, ScanType
from nii_edge.xray.frontend import model_input

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("onnx")

pytestmark = [pytest.mark.torch, pytest.mark.timeout(300)]

SIDE = 320
NAMES = ("gun", "knife", "wrench")
THRESHOLD = 0.35
HEAD = BoxesHead(boxes="boxes", scores="scores", labels="labels")


class OnePicture(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A torchvision detector as a bundle wants it: one batched tensor in, three tensors out."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Any) -> tuple[Any, Any, Any]:
        (made,) = self.detector([image[0]])
        return made["boxes"], made["scores"], made["labels"]


class Spots(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A plain convolutional net with a map of scores for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, stride=2, padding=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, len(NAMES), 3, padding=1),
            torch.nn.Sigmoid(),
        )

    def forward(self, image: Any) -> Any:
        return {"score": self.layers(image)}


def frames(n: int) -> list[Frame]:
    """Seeded colour pictures of rectangles, of several shapes."""
    random = np.random.default_rng(5)
    made = []
    for _ in range(n):
        height, width = (int(side) for side in random.integers(300, 700, 2))
        pixels = random.integers(180, 255, (height, width, 3)).astype(np.uint8)
        for _ in range(12):
            x, y = (int(random.integers(0, side - 40)) for side in (width, height))
            pixels[y : y + int(random.integers(20, 200)), x : x + int(random.integers(20, 200))] = (
                random.integers(0, 255, 3)
            )
        made.append(
            Frame(view=0, channels=("red", "green", "blue"), pixels=pixels, full_scale=255, opaque_below=0.17)
        )
    return made


def network() -> Any:
    """ssdlite320 with seeded weights that were never trained, brought to life.

    Statistics of batch normalisation come from a few pictures, else every box would have one score; the
    class layers are scaled up, so that scores are apart and their order is not chance.
    """
    torch.manual_seed(11)
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=len(NAMES) + 1, detections_per_img=40
    )
    detector.transform.image_mean = [0.0] * 3
    detector.transform.image_std = [1.0] * 3
    inputs = [torch.from_numpy(model_input(frame, spec(batch=False))[0]) for frame in frames(8)]
    detector.backbone.train()
    with torch.no_grad():
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.5
        for _ in range(4):
            detector.backbone(torch.stack(inputs))
        for module in detector.head.classification_head.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1):
                module.weight *= 40
    return OnePicture(detector.eval()).eval()


def spec(batch: bool) -> ModelInput:
    return ModelInput(name="image", channels=("red", "green", "blue"), size=(SIDE, SIDE), batch=batch)


def manifest(form: Literal["onnx", "torch-export"], head: Head, threshold: float) -> BundleManifest:
    return BundleManifest(
        version=1,
        name="untrained",
        model_version="0",
        description="seeded weights, for a test",
        licence="BSD-3-Clause",
        kind="object",
        format=form,
        model="model.bin",
        sha256="0" * 64,
        input=spec(batch=isinstance(head, DenseHead)),
        output=head,
        labels=tuple(Label(name=name, category="PI", threshold=threshold, why="{score}") for name in NAMES),
        golden="golden",
    )


def to_onnx(net: Any) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own: deprecation, and tracing of Python numbers
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, SIDE, SIDE),),
            stream,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=list(output_names(HEAD)),
            dynamic_axes={"boxes": {0: "n"}, "scores": {0: "n"}, "labels": {0: "n"}},
        )
    return stream.getvalue()


def to_program(net: Any, batch: bool) -> bytes:
    stream = io.BytesIO()
    example = torch.rand(2 if batch else 1, 3, SIDE, SIDE)
    shapes = ({0: torch.export.Dim("n")},) if batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it traces and writes
        torch.export.save(torch.export.export(net, (example,), dynamic_shapes=shapes), stream)
    return stream.getvalue()


def scan(frame: Frame) -> Scan:
    identity = ScanId(edge="e", scanner="s", epoch=0, seq=1)
    return Scan(id=identity, scan_type=ScanType.NON_OPERATIONAL, frames=(frame,))


def by_torch(net: Any, frame: Frame) -> list[tuple[str, float, tuple[float, ...]]]:
    """torch's own boxes in frame pixels, scaled and cut here by plain arithmetic."""
    tensor, _ = model_input(frame, spec(batch=False))
    with torch.no_grad():
        boxes, scores, labels = (made.numpy() for made in net(torch.from_numpy(tensor)[None]))
    height, width = frame.pixels.shape[:2]
    factor = max(height, width) / SIDE
    found: list[tuple[str, float, tuple[float, ...]]] = []
    for box, score, label in zip(boxes, scores, labels, strict=True):
        x0, x1 = np.clip(box[[0, 2]] * factor, 0, width)
        y0, y1 = np.clip(box[[1, 3]] * factor, 0, height)
        if score >= THRESHOLD and x0 < x1 and y0 < y1:
            found.append((NAMES[int(label) - 1], float(score), (x0, y0, x1, y1)))
    return found


def assert_same(findings: tuple[Finding, ...], wanted: list[tuple[str, float, tuple[float, ...]]]) -> None:
    """Equal as sets: label, score within 0.01, each side within one pixel."""
    left = list(wanted)
    for finding in findings:
        assert finding.box is not None
        sides = (finding.box.x0, finding.box.y0, finding.box.x1, finding.box.y1)
        match = next(
            (
                one
                for one in left
                if one[0] == finding.label
                and abs(one[1] - finding.score) < 0.01
                and max(abs(a - b) for a, b in zip(sides, one[2], strict=True)) <= 1
            ),
            None,
        )
        assert match is not None, f"{finding} is not among {left}"
        left.remove(match)
    assert left == []


@pytest.fixture(scope="module")
def net() -> Any:
    return network()


def detector_for(bundle: Bundle) -> ModelDetector:
    from nii_edge.adapters import onnx_runtime, torch_runtime

    load = onnx_runtime.load if bundle.manifest.format == "onnx" else torch_runtime.load
    names = output_names(bundle.manifest.output)
    return ModelDetector(bundle, load(bundle.model, bundle.manifest.input, Inference(), names), "objects", 4)


def bundle_of(folder: Path, net: Any, model: bytes) -> Bundle:
    """A bundle whose golden frame expects what torch itself found."""
    frame = frames(1)[0]
    expected = expected_from(
        [
            Finding(
                detector="torch",
                kind="object",
                label=label,
                category="PI",
                score=score,
                why="",
                box=Box(view=0, x0=float(x0), y0=float(y0), x1=float(x1), y1=float(y1)),
            )
            for label, score, (x0, y0, x1, y1) in by_torch(net, frame)
        ]
    )
    golden = GoldenFrame(name="drawn", frame=frame, expected=expected)
    return write_bundle(folder, manifest("onnx", HEAD, THRESHOLD), model, [golden], "untrained\n")


def test_boxes_are_torchs_own(tmp_path: Path, net: Any) -> None:
    """Exported, bundled and run by the detector, the model finds the boxes torch finds, to a pixel."""
    bundle = bundle_of(tmp_path / "b", net, to_onnx(net))
    detector = detector_for(bundle)
    assert check_golden(detector, bundle) == []
    seen = 0
    for frame in frames(6):
        wanted = by_torch(net, frame)
        seen += len(wanted)
        assert_same(detector.detect([scan(frame)])[0], wanted)
    assert seen >= 30, "too few detections to compare: the test would prove nothing"


def test_a_net_as_a_program_gives_the_same_as_in_torch(tmp_path: Path) -> None:
    """A plain net saved by torch.export, batched, marks the areas its own maps show."""
    torch.manual_seed(3)
    net = Spots().eval()
    batch = frames(5)
    with torch.no_grad():
        inputs = [model_input(frame, spec(batch=True)) for frame in batch]
        maps = net(torch.from_numpy(np.stack([tensor for tensor, _ in inputs])))["score"].numpy()
    threshold = float(np.quantile(maps, 0.9))
    head = DenseHead(output="score", min_area=0.002)
    golden = GoldenFrame(
        name="any", frame=batch[0], expected=(Expected(label="gun", score=1, box=(0, 0, 1, 1)),)
    )
    bundle = write_bundle(
        tmp_path / "b", manifest("torch-export", head, threshold), to_program(net, batch=True), [golden], ""
    )
    found = detector_for(bundle).detect([scan(frame) for frame in batch])
    for findings, planes, (_, placement) in zip(found, maps, inputs, strict=True):
        rows, columns = (-(-side // 2) for side in placement.content)
        expected = 0
        for plane in planes[:, :rows, :columns]:
            _, _, stats, _ = cv2.connectedComponentsWithStats(
                (plane >= threshold).astype(np.uint8), connectivity=8
            )
            least = 0.002 * placement.content[0] * placement.content[1]
            expected += sum(bool(area * 4 >= least) for area in stats[1:, cv2.CC_STAT_AREA])
        assert len(findings) == expected
    assert sum(len(findings) for findings in found) > 5


def test_golden_frames_find_broken_weights(tmp_path: Path, net: Any) -> None:
    """A detector with NaN in its weights drops every box in its own suppression; golden frames notice."""
    broken = network()
    with torch.no_grad():
        broken.detector.backbone.features[0][0][0].weight[0, 0, 0, 0] = float("nan")
    bundle = bundle_of(tmp_path / "b", net, to_onnx(broken))
    detector = detector_for(bundle)
    assert detector.detect([scan(frames(1)[0])]) == [()]
    assert check_golden(detector, bundle) != []

"""A bundle as a detector: batching, coordinates, words, golden frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from nii_edge.bundle import Bundle, Expected, GoldenFrame
from nii_edge.config import BundleManifest, DenseHead, GridHead, Head, Label, ModelInput
from nii_edge.detect.model_detector import ModelDetector, check_golden, differences, expected_from, percent
from nii_edge.errors import DetectorFaultError
from nii_edge.ports import Array
from nii_edge.records import Box, Channel, Finding, Frame, Scan, ScanId, ScanType

Floats = npt.NDArray[np.float32]


class FunctionRuntime:
    """A runtime in memory: a plain function from batch to outputs. Remembers the batch sizes."""

    device = "memory"

    def __init__(self, function: Callable[[Floats], Mapping[str, Array]]) -> None:
        self._function = function
        self.sizes: list[int] = []
        self.others: list[FunctionRuntime] = []

    def run(self, batch: Floats) -> Mapping[str, Array]:
        self.sizes.append(len(batch))
        return self._function(batch)

    def ways(self) -> list[FunctionRuntime]:
        return [self, *self.others]

    def close(self) -> None:
        pass


def brightness(batch: Floats) -> Mapping[str, Array]:
    """The input itself as the map of scores: what is white is a finding."""
    return {"score": batch}


def blocks(batch: Floats) -> Mapping[str, Array]:
    """A YOLO-like head that boxes every connected white area."""
    rows = []
    for picture in batch[:, 0]:
        _, _, stats, _ = cv2.connectedComponentsWithStats((picture > 0.95).astype(np.uint8))
        boxes = [(x + w / 2, y + h / 2, w, h, 0.9) for x, y, w, h, _ in stats[1:]]
        rows.append(np.array([*boxes, *[(0, 0, 0, 0, 0)] * (8 - len(boxes))], np.float32).T)
    return {"grid": np.stack(rows)}


def bundle(head: Head | None = None, batch: bool = True, channel: str = "grey") -> Bundle:
    manifest = BundleManifest(
        version=1,
        name="test",
        model_version="1",
        description="",
        licence="",
        kind="object",
        format="onnx",
        model="m",
        sha256="0" * 64,
        input=ModelInput(name="x", channels=(channel,), size=(64, 64), batch=batch),  # type: ignore[arg-type]
        output=head or DenseHead(output="score"),
        labels=(
            Label(name="white", category="PI", threshold=0.5, why="{percent} of view {view}, score {score}"),
        ),
        golden="g",
    )
    frame = picture(0, (40, 20, 80, 60))
    golden = GoldenFrame(
        name="block", frame=frame, expected=(Expected(label="white", score=1.0, box=(40, 20, 80, 60)),)
    )
    return Bundle(folder=Path(), manifest=manifest, model=b"", golden=(golden,))


def picture(view: int, box: tuple[int, int, int, int] | None, channel: Channel = "grey") -> Frame:
    """128 x 128, black but for a white box."""
    pixels = np.zeros((128, 128, 1), np.uint8)
    if box is not None:
        pixels[box[1] : box[3], box[0] : box[2]] = 255
    return Frame(view=view, channels=(channel,), pixels=pixels, full_scale=255.0, opaque_below=0.2)


def scan(seq: int, *frames: Frame) -> Scan:
    identity = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    return Scan(id=identity, scan_type=ScanType.OPERATIONAL, frames=frames)


def test_findings_are_in_frame_coordinates_and_words() -> None:
    """A finding's box, area and sentence speak of the frame, not of the model's input."""
    detector = ModelDetector(bundle(), FunctionRuntime(brightness), "det", 4)
    ((finding,),) = detector.detect([scan(1, picture(2, (40, 20, 80, 60)))])
    assert finding == Finding(
        detector="det",
        kind="object",
        label="white",
        category="PI",
        score=1.0,
        why="9.8% of view no. 2, score 1.00",
        box=Box(view=2, x0=40, y0=20, x1=80, y1=60),
        area_px=1600,
    )


def test_batches_run_over_scans_and_views() -> None:
    """Five views of three scans in batches of two: findings return to their own scan and view."""
    runtime = FunctionRuntime(brightness)
    detector = ModelDetector(bundle(), runtime, "det", 2)
    scans = [
        scan(1, picture(0, (0, 0, 40, 40)), picture(1, None)),
        scan(2, picture(0, None)),
        scan(3, picture(0, (80, 80, 120, 120)), picture(1, (0, 60, 30, 90))),
    ]
    found = detector.detect(scans)
    assert runtime.sizes == [2, 2, 1]
    places = [[(f.box.view, f.box.x0) for f in findings if f.box] for findings in found]
    assert places == [[(0, 0)], [], [(0, 80), (1, 0)]]


def test_a_long_frame_is_looked_at_in_pieces_and_told_as_one() -> None:
    """Two white blocks on a black belt five times as long as wide: each is found once, in the frame's pixels,
    from inputs of one piece each."""
    pixels = np.full((100, 500, 1), 90, np.uint8)
    pixels[:4], pixels[-4:], pixels[:, -30:] = 200, 200, 200
    pixels[30:60, 100:140] = pixels[30:60, 210:250] = 255
    frame = Frame(view=0, channels=("grey",), pixels=pixels, full_scale=255.0, opaque_below=0.2)
    long = bundle(GridHead(output="grid"))
    wanted = msgspec.structs.replace(long.manifest.input, crop="content", pieces=6)
    long = msgspec.structs.replace(long, manifest=msgspec.structs.replace(long.manifest, input=wanted))
    runtime = FunctionRuntime(blocks)
    (findings,) = ModelDetector(long, runtime, "det", 4).detect([scan(1, frame)])
    assert sum(runtime.sizes) > 3
    places = sorted((f.box.x0, f.box.y0, f.box.x1, f.box.y1) for f in findings if f.box)
    assert np.abs(np.array(places) - [(100, 30, 140, 60), (210, 30, 250, 60)]).max() <= 2


@pytest.mark.parametrize("looks", [2, 4, 8])
def test_more_looks_find_the_same_where_the_model_sees_alike(looks: int) -> None:
    """A model that sees a block from every side is as sure of it, at the same place; one that sees it in the
    picture as it is alone is half, a quarter, an eighth as sure."""
    made = bundle(GridHead(output="grid"))
    spec = msgspec.structs.replace(made.manifest.input, looks=looks)
    label = msgspec.structs.replace(made.manifest.labels[0], threshold=0.1)
    manifest = msgspec.structs.replace(made.manifest, input=spec, labels=(label,))
    made = msgspec.structs.replace(made, manifest=manifest)
    frame = picture(0, (40, 20, 80, 60))
    ((once,),) = ModelDetector(made, FunctionRuntime(blocks), "det", 4).detect([scan(1, frame)])
    assert once.box is not None
    assert (once.box.x0, once.box.y0, once.box.x1, once.box.y1) == (40, 20, 80, 60)
    assert once.score == pytest.approx(0.9)

    def blocks_upright(batch: Floats) -> Mapping[str, Array]:
        """Sees the block only where it lies in the picture as it is."""
        there = batch[0, 0, 10:30, 20:40].min() > 0.95
        return blocks(batch if there else 0 * batch)

    runtime = FunctionRuntime(blocks_upright)
    found = ModelDetector(made, runtime, "det", 4).detect([scan(1, frame)])[0]
    assert len(runtime.sizes) == looks
    assert [one.score for one in found] == ([pytest.approx(0.9 / looks)] if 0.9 / looks >= 0.1 else [])


def test_models_without_batching_run_one_by_one() -> None:
    """A model that says `batch: false` never sees two pictures at once."""
    runtime = FunctionRuntime(brightness)
    ModelDetector(bundle(batch=False), runtime, "det", 8).detect(
        [scan(1, picture(0, None), picture(1, None))]
    )
    assert runtime.sizes == [1, 1]


def test_no_scans_no_run() -> None:
    """An empty call answers with nothing and leaves the model alone."""
    runtime = FunctionRuntime(brightness)
    assert ModelDetector(bundle(), runtime, "det", 4).detect([]) == []
    assert runtime.sizes == []


def test_a_batch_of_none_is_refused() -> None:
    """A batch limit below one could never look at anything."""
    with pytest.raises(ValueError, match="max_batch 0"):
        ModelDetector(bundle(), FunctionRuntime(brightness), "det", 0)


def test_one_view_that_lacks_a_channel_makes_it_not_applicable() -> None:
    """A detector that could see only some of the views says so, and names view and channel."""
    detector = ModelDetector(bundle(), FunctionRuntime(brightness), "det", 4)
    whole = scan(1, picture(0, None), picture(1, None))
    partly = scan(2, picture(0, None), picture(1, None, channel="high"))
    assert detector.not_applicable(whole) is None
    reason = detector.not_applicable(partly)
    assert reason is not None
    assert "view 1" in reason
    assert "grey" in reason
    with pytest.raises(DetectorFaultError, match=r"det: .*grey"):
        detector.detect([partly])


def test_a_detection_in_the_padding_is_none() -> None:
    """What a model sees wholly outside the frame is not reported."""

    def everywhere(batch: Floats) -> Mapping[str, Array]:
        grid = np.zeros((len(batch), 5, 2), np.float32)
        grid[:, :, 0] = (32, 60, 8, 8, 0.9)
        grid[:, :, 1] = (32, 16, 8, 8, 0.8)
        return {"o": grid}

    wide = Frame(
        view=0, channels=("grey",), pixels=np.zeros((64, 128, 1), np.uint8), full_scale=255, opaque_below=0.2
    )
    detector = ModelDetector(bundle(GridHead(output="o")), FunctionRuntime(everywhere), "det", 4)
    ((finding,),) = detector.detect([scan(1, wide)])
    assert finding.score == pytest.approx(0.8)
    assert finding.area_px == 0
    assert finding.why.startswith("3.1%")


def test_pixels_that_are_not_finite_are_a_fault() -> None:
    """NaN in a frame ends as a fault of the detector, never as no finding."""
    pixels = np.full((128, 128, 1), np.nan, np.float32)
    frame = Frame(view=0, channels=("grey",), pixels=pixels, full_scale=1.0, opaque_below=0.2)
    with pytest.raises(DetectorFaultError, match="NOT_FINITE"):
        ModelDetector(bundle(), FunctionRuntime(brightness), "det", 4).detect([scan(1, frame)])


def test_golden_frames_pass_and_fail() -> None:
    """The model as built passes; one that is blind, shifted, over-eager or broken does not."""
    good = bundle()

    def problems(function: Callable[[Floats], Mapping[str, Array]]) -> list[str]:
        return check_golden(ModelDetector(good, FunctionRuntime(function), "det", 4), good)

    assert problems(brightness) == []
    assert any("no Expected" in p for p in problems(lambda x: {"score": 0 * x}))
    assert len(problems(lambda x: {"score": np.roll(x, 2, axis=-1)})) == 2
    assert any(
        "unexpected" in p for p in problems(lambda x: {"score": np.maximum(x, np.eye(64, dtype=np.float32))})
    )
    assert any("NaN" in p for p in problems(lambda x: {"score": x * np.float32("nan")}))


def test_golden_frames_are_looked_at_whatever_way_the_model_may_run() -> None:
    """A model that sees with all threads and is blind with half of them does not pass."""
    good = bundle()
    runtime = FunctionRuntime(brightness)
    runtime.others = [FunctionRuntime(lambda x: {"score": 0 * x})]
    assert any("no Expected" in p for p in check_golden(ModelDetector(good, runtime, "det", 4), good))


def test_a_golden_frame_it_cannot_look_at_is_a_problem() -> None:
    """A bundle whose golden frame lacks the model's channel has checked nothing."""
    blind = bundle(channel="transmission_high")
    (problem,) = check_golden(ModelDetector(blind, FunctionRuntime(brightness), "det", 4), blind)
    assert "not applicable" in problem


def found(label: str, score: float, x0: float) -> Finding:
    box = Box(view=0, x0=x0, y0=0, x1=x0 + 10, y1=10)
    return Finding(detector="d", kind="object", label=label, category="PI", score=score, why="", box=box)


@pytest.mark.parametrize(
    ("findings", "problems"),
    [
        ([found("a", 0.5, 0), found("b", 0.6, 50)], 0),
        ([found("b", 0.6, 50), found("a", 0.5, 0)], 0),
        ([found("a", 0.519, 0.9), found("b", 0.581, 49.1)], 0),
        ([found("a", 0.53, 0), found("b", 0.6, 50)], 2),
        ([found("a", 0.5, 1.1), found("b", 0.6, 50)], 2),
        ([found("b", 0.5, 0), found("b", 0.6, 50)], 2),
        ([found("a", 0.5, 0)], 1),
        ([found("a", 0.5, 0), found("b", 0.6, 50), found("b", 0.6, 50)], 1),
    ],
)
def test_golden_findings_are_compared_as_sets(findings: list[Finding], problems: int) -> None:
    """Order is free, label is not; score and box may be off by what is tolerated; one answers one."""
    golden = GoldenFrame(
        name="g",
        frame=picture(0, None),
        expected=expected_from([found("a", 0.5, 0), found("b", 0.6, 50)]),
    )
    assert len(differences(golden, findings)) == problems


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "under 0.1%"), (0.0009, "under 0.1%"), (0.0234, "2.3%"), (0.374, "37%"), (1, "100%")],
)
def test_percent_in_words(share: float, words: str) -> None:
    """Shares are written as people read them; a small one is never nothing."""
    assert percent(share) == words

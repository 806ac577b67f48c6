"""`nii-edge simulate` as its users meet it: files that hold together, and that the daemon can read."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nii_edge.adapters.calibration_files import read_calibration
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.config import Profile, load
from nii_edge.xray import whole

ARGUMENTS = ("--consignments", "2", "--luggage", "2", "--seed", "11", "--json")


def simulate(out: Path, *more: str) -> dict[str, Any]:
    line = [sys.executable, "-m", "nii_edge", "simulate", "--out", str(out), *ARGUMENTS, *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One run on one scanner."""
    out = tmp_path_factory.mktemp("simulated") / "out"
    return out, simulate(out, "--scanner", "depot")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.timeout(300)
def test_what_is_written_holds_together(made: tuple[Path, dict[str, Any]]) -> None:
    """Counts agree between summary, recording, pictures, labels, truth and papers."""
    out, summary = made
    coco, truth, manifests = (read(out / f"{n}.json") for n in ("annotations", "truth", "manifests"))
    frames = list(McapSource(out / "recording.mcap"))
    assert summary["scans"] == len(truth) == len({frame.header.seq for frame in frames})
    assert summary["views"] == len(frames) == summary["images"] == len(coco["images"])
    assert len(list((out / "images").iterdir())) == summary["images"]
    codes = [code for tree in manifests for code in tree["barcodes"]]
    assert codes == [tree["barcode"] for tree in truth if tree["story"] != "luggage"]
    assert {frame.header.carton for frame in frames} == {tree["barcode"] for tree in truth}
    assert summary["lying_cartons"] == sum(tree["lie"] is not None for tree in truth)
    for tree in truth:
        assert (tree["lie"] is not None) == bool(tree["faults"])
    with (out / "manifests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["barcode"] for row in rows} <= set(codes)
    assert sum(int(row["quantity"]) for row in rows) == sum(
        line["quantity"] for tree in manifests for bill in tree["house_bills"] for line in bill["lines"]
    )


@pytest.mark.timeout(300)
def test_labels_lie_in_their_pictures(made: tuple[Path, dict[str, Any]]) -> None:
    """Boxes are inside, masks fill their boxes, and pictures have the size that is said."""
    out, _ = made
    coco = read(out / "annotations.json")
    images = {image["id"]: image for image in coco["images"]}
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert list(names.values())[:8] == [
        "gun", "knife", "scissors", "wrench", "lithium_pack", "bottle", "pressed_block", "inner_parcel",
    ]  # fmt: skip
    for image in images.values():
        picture = cv2.imread(str(out / "images" / image["file_name"]))
        assert picture.shape[:2] == (image["height"], image["width"])
    for found in coco["annotations"]:
        image = images[found["image_id"]]
        x, y, width, height = found["bbox"]
        assert width > 0
        assert height > 0
        assert -0.01 <= x <= x + width <= image["width"] + 0.5
        assert -0.01 <= y <= y + height <= image["height"] + 0.5
        size = found["segmentation"]["size"]
        assert size == [image["height"], image["width"]]
        counts = found["segmentation"]["counts"]
        assert sum(counts) == size[0] * size[1]
        flat = np.repeat(np.arange(len(counts)) % 2, counts)
        rows, columns = np.nonzero(flat.reshape(size, order="F"))
        assert columns.min() == pytest.approx(x, abs=1)
        assert rows.max() + 1 == pytest.approx(y + height, abs=1)


@pytest.mark.timeout(300)
def test_a_lane_can_be_made_of_what_was_written(made: tuple[Path, dict[str, Any]]) -> None:
    """Profile and calibration fit the recorded frames."""
    out, _ = made
    profile = load(out / "scanners" / "depot.yaml", Profile)
    calibration = read_calibration(out / "scanners" / "depot-0.cal").calibration
    frame = next(iter(McapSource(out / "recording.mcap")))
    assert frame.header.height == calibration.width
    assert profile.format_for(frame.header.channels, frame.header.dtype) is not None


@pytest.mark.timeout(300)
def test_the_same_seed_gives_the_same_files(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """To the byte, with another number of workers."""
    out, _ = made
    simulate(tmp_path / "again", "--scanner", "depot", "--workers", "1")
    for file in sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()):
        assert (out / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


@pytest.mark.timeout(300)
def test_cartons_that_are_cut_and_merged(tmp_path: Path) -> None:
    """Each carton's truth says which scans it is in; what they show is what a lane of whole cartons finds;
    labels lie in their parts."""
    asked = ("--scanner", "depot", "--luggage", "0", "--consignments", "3")
    summary = simulate(tmp_path / "out", *asked, "--cut", "0.4", "--merged", "0.3")
    coco, truth = (read(tmp_path / "out" / f"{name}.json") for name in ("annotations", "truth"))
    shown = {scan["seq"]: scan["shows"] for tree in truth for scan in tree["scans"]}
    assert set(shown) == set(range(1, summary["scans"] + 1))
    assert {"whole", "cut", "merged"} == set(shown.values())
    for tree in truth:
        assert [scan["shows"] for scan in tree["scans"]] in (["whole"], ["cut", "cut"], ["merged"])
    assert summary["cartons"] == len(truth)
    profile = load(tmp_path / "out" / "scanners" / "depot.yaml", Profile)
    files = [tmp_path / "out" / "scanners" / f"depot-{view}.cal" for view in range(len(profile.views))]
    detectors = [read_calibration(file).calibration for file in files]
    told: dict[int, set[str]] = {seq: set() for seq in shown}
    for frame in McapSource(tmp_path / "out" / "recording.mcap"):
        header = frame.header
        assert header.height is not None
        assert header.width is not None
        counts = np.frombuffer(frame.payload, "<u2").reshape(header.height, header.width, -1)
        found = whole.flaw(counts, detectors[header.view])
        told[header.seq] |= {"whole" if found is None else found[0].value.lower()}
    for seq, shows in shown.items():
        assert shows in told[seq], (seq, shows, told[seq])
    for image in coco["images"]:
        assert image["shows"] == shown[image["seq"]]
    seen = {image["id"]: image for image in coco["images"]}
    for found in coco["annotations"]:
        x, _, width, _ = found["bbox"]
        assert 0 <= x <= x + width <= seen[found["image_id"]]["width"] + 0.5


def test_wrong_use_is_said_in_words(tmp_path: Path) -> None:
    """A folder that is not empty, a scanner that the recipe must not use."""
    (tmp_path / "precious").write_text("x")
    for out, more, words in (
        (tmp_path, (), "is not empty"),
        (tmp_path / "new", ("--scanner", "border"), "has no scanner 'border'"),
        (tmp_path / "new", ("--consignments", "0", "--luggage", "0"), "nothing to simulate"),
    ):
        line = [sys.executable, "-m", "nii_edge", "simulate", "--out", str(out), *ARGUMENTS, *more]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=110)
        assert done.returncode == 1
        assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.timeout(120)
def test_a_simulation_that_is_stopped_is_recognised_at_once(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the workers too: one sentence, no process left, and nothing under the name
    that was asked for."""
    out, part = tmp_path / "out", tmp_path / "out.part"
    line = [sys.executable, "-m", "nii_edge", "simulate", "--out", str(out), "--consignments", "50"]
    line += ["--scanner", "depot", "--workers", "2"]
    with subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        while running.poll() is None and not (part / "recording.mcap").exists():
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=100)
    assert running.returncode == 130
    assert f"{part}: not finished; delete it" in said
    assert "Traceback" not in said
    assert not out.exists()
    again = subprocess.run(line, capture_output=True, text=True, check=False, timeout=100)
    assert again.returncode == 1
    assert "was not finished, or is under way" in again.stderr


@pytest.mark.timeout(300)
def test_every_thing_has_a_mask_if_asked_for(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """`--objects` adds a file and changes nothing else; in it every thing that a view shows is marked once,
    by what it is there for, and what has a label has the same mask as in annotations.json."""
    out, every = made[0], tmp_path / "out"
    simulate(every, "--scanner", "depot", "--objects")
    names = {path.relative_to(every) for path in every.rglob("*")}
    assert names == {path.relative_to(out) for path in out.rglob("*")} | {Path("objects.json")}
    assert (every / "annotations.json").read_bytes() == (out / "annotations.json").read_bytes()
    assert (every / "recording.mcap").read_bytes() == (out / "recording.mcap").read_bytes()
    coco, objects, truth = (read(every / f"{name}.json") for name in ("annotations", "objects", "truth"))
    assert objects["images"] == coco["images"]
    roles = {row["id"]: row["name"] for row in objects["categories"]}
    carton = {row["id"]: row["carton"] for row in objects["images"]}
    things = {tree["barcode"]: tree["things"] for tree in truth}
    marked = {(row["image_id"], row["thing"]): row for row in objects["annotations"]}
    assert len(marked) == len(objects["annotations"]) > len(coco["annotations"])
    for (image, thing), row in marked.items():
        told = things[carton[image]][thing]
        assert (roles[row["category_id"]], row["family"]) == (told["role"], told["family"])
    assert len(marked) > 0.98 * sum(len(things[code]) for code in carton.values())
    for row in coco["annotations"]:
        same = marked[row["image_id"], row["thing"]]
        assert same["segmentation"] == row["segmentation"]
        assert same["label"] == next(c["name"] for c in coco["categories"] if c["id"] == row["category_id"])


@pytest.mark.timeout(300)
def test_a_detector_is_evaluated_on_a_recording_without_pictures(tmp_path: Path) -> None:
    """Labels that name frames of the recording: the commands as they stand in docs/TRAINING.md."""
    pytest.importorskip("faster_coco_eval")
    out = tmp_path / "out"
    summary = simulate(out, "--scanner", "depot", "--no-pictures", "--consignments", "1", "--luggage", "1")
    assert not (out / "images").exists()
    line = [sys.executable, "-m", "nii_edge", "evaluate", "--annotations", str(out / "annotations.json")]
    done = subprocess.run([*line, "--json"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["images"] == summary["views"]
    assert not [problem for problem in found["problems"] if "frame" in problem or "recording" in problem]
    assert found["map50"] > 0.2, "far more than by chance: boxes lie where things are drawn"

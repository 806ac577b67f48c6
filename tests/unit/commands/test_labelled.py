"""Labels of a recording's frames: drawn as the daemon colours them, what cannot be is named and counted."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness import ROOT

from nii_edge.adapters import onnx_runtime
from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource, RecordingWriter
from nii_edge.bundle import load_bundle
from nii_edge.commands.labelled import Labels, read_labelled
from nii_edge.commands.recorded_scans import frame_of, known_lanes
from nii_edge.config import Inference, ModelInput, Profile, load
from nii_edge.detect.heads import output_names
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.detect.shapes import LOWEST
from nii_edge.errors import ConfigError, DataError
from nii_edge.learn.cache import frame_of as frame_of_picture
from nii_edge.learn.cache import read_frame, read_rgb, sample_of
from nii_edge.learn.looking import Eye, look_at, shipped_detector
from nii_edge.learn.readers import Problems
from nii_edge.records import Scan, ScanId, ScanType
from nii_edge.wire import FrameMessage
from nii_edge.xray.content import content
from nii_edge.xray.frontend import model_input

DEMO = ROOT / "nii_edge" / "demo"
FIRST = next(iter(McapSource(DEMO / "demo.mcap")))
LANE, SEQ = FIRST.header.scanner, FIRST.header.seq
DISPLAY = """version: 1
name: display
views: [top]
formats:
- {channels: [red, green, blue], dtype: uint8, white: 255}
- {channels: [grey], dtype: uint16, white: 4095}
pixel_pitch_mm: null
belt_axis: rows
palette: orange-green-blue
penetration_limit: 0.001
black_level: 0.1
"""


def recorded(folder: Path) -> Path:
    """The demo's recording with its scanner beside it, as `nii-edge simulate` lays them out."""
    (folder / "scanners").mkdir(parents=True)
    shutil.copy(DEMO / "demo.mcap", folder / "recording.mcap")
    shutil.copy(DEMO / "scanner.yaml", folder / "scanners" / f"{LANE}.yaml")
    for view in (0, 1):
        shutil.copy(DEMO / f"scanner-{view}.cal", folder / "scanners" / f"{LANE}-{view}.cal")
    return folder


def labels(folder: Path, *names: str, **more: Any) -> Path:
    """A box in each of the pictures so called."""
    tree = {
        "images": [{"id": number, "file_name": name, **more} for number, name in enumerate(names)],
        "categories": [{"id": 1, "name": "knife"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 20, 30, 40]}
            for number in range(len(names))
        ],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(tree))
    return path


def test_a_frame_is_drawn_as_the_daemon_shows_it_to_a_model(tmp_path: Path) -> None:
    """As large as the frame, and the front end makes of the picture what it makes of the counts."""
    folder = recorded(tmp_path / "data")
    names = [f"recording.mcap#{LANE}/{SEQ}/{view}" for view in (0, 1)]
    found = read_labelled(Labels(labels(folder, *names), None), tmp_path / "drawn")
    assert not found.problems.counts
    assert len(found.pictures) == 2
    assert {one.about["carton"] for one in found.pictures} == {FIRST.header.carton}, "views stay together"
    profile = load(folder / "scanners" / f"{LANE}.yaml", Profile)
    optics = read_optics(folder / "scanners" / f"{LANE}-0.cal", profile.penetration_limit)
    counts = frame_of(profile, FIRST)
    rgb = read_rgb(found.pictures[0].file)
    assert rgb.shape[:2] == counts.pixels.shape[:2]
    assert int(np.ptp(rgb.astype(int), axis=2).max()) > 40, "in colours"
    spec = ModelInput(name="image", channels=("red", "green", "blue"), size=(224, 224))
    by_counts, by_picture = (
        model_input(counts, spec, optics)[0],
        model_input(frame_of_picture(rgb), spec)[0],
    )
    assert float(np.abs(by_counts - by_picture).mean()) < 0.01
    assert found.pictures[0].boxes == ((10, 20, 40, 60, 0),)
    assert found.pictures[0].place == str(folder / names[0]), "problems name the frame"


def test_a_frame_teaches_what_the_daemon_would_show_of_it(tmp_path: Path) -> None:
    """Cut to what its counts show; in colours thin board may be as bright as the belt. Drawn before, it is
    the same."""
    folder = recorded(tmp_path / "data")
    path = labels(folder, f"recording.mcap#{LANE}/{SEQ}/0")
    profile = load(folder / "scanners" / f"{LANE}.yaml", Profile)
    optics = read_optics(folder / "scanners" / f"{LANE}-0.cal", profile.penetration_limit)
    wanted = content(frame_of(profile, FIRST), optics)
    for _ in range(2):
        (one,) = read_labelled(Labels(path, None), tmp_path / "drawn").pictures
        assert one.content == wanted
        sample = sample_of(one._replace(boxes=()), Problems())
        assert sample.rgb.shape[:2] == (wanted[2] - wanted[0], wanted[3] - wanted[1])
    narrower = wanted[0] + 9, wanted[1] + 7, wanted[2] - 9, wanted[3] - 7
    sample = sample_of(one._replace(boxes=(), content=narrower), Problems())
    assert sample.rgb.shape[:2] == (narrower[2] - narrower[0], narrower[3] - narrower[1])


def test_a_frame_is_evaluated_as_the_daemon_looks_at_it(tmp_path: Path) -> None:
    """By its counts and calibration: the same boxes and scores, of all views, which the drawn picture does
    not give; and if it was drawn before, too."""
    folder = recorded(tmp_path / "data")
    sources = list(McapSource(DEMO / "demo.mcap"))[:4]
    names = [f"recording.mcap#{one.header.scanner}/{one.header.seq}/{one.header.view}" for one in sources]
    path = labels(folder, *names)
    (lane,) = known_lanes(folder / "scanners").values()
    bundle = load_bundle(shipped_detector())
    spec, head = bundle.manifest.input, bundle.manifest.output
    runtime = onnx_runtime.load(bundle.model, spec, Inference(threads=1), output_names(head))
    daemons = ModelDetector(bundle, runtime, "objects", 1, {LANE: lane.optics}).telling(LOWEST / spec.looks)
    read_labelled(Labels(path, None), tmp_path / "drawn")
    dataset = read_labelled(Labels(path, None), tmp_path / "drawn")
    as_drawn = dataset._replace(pictures=tuple(p._replace(recorded=None) for p in dataset.pictures))
    eye, by_colours, boxes = Eye(bundle, 1), 0, 0
    try:
        rows = zip(sources, look_at(eye, dataset), look_at(eye, as_drawn), strict=True)
        for source, looked, other in rows:
            scan = Scan(
                id=ScanId(edge="e", scanner=LANE, epoch=0, seq=1),
                scan_type=ScanType.OPERATIONAL,
                frames=(frame_of(lane.profile, source),),
            )
            (findings,) = daemons.detect([scan])
            told = [(one.label, one.score, one.box.x0, one.box.y1) for one in findings if one.box]
            seen = [(one.label, one.score, one.box[0], one.box[3]) for one in looked.found]
            assert told == [(bundle.manifest.labels[label].name, *rest) for label, *rest in seen]
            boxes += len(told)
            by_colours += looked.found != other.found
    finally:
        eye.close()
        runtime.close()
    assert boxes, "nothing to compare"
    assert by_colours, "the drawn picture would have done"


def test_what_rounds_a_network_is_what_the_daemon_would_show_it(tmp_path: Path) -> None:
    """The frames for eight bits are the recorded ones."""
    pytest.importorskip("torch")
    from nii_edge.learn.bundling import Shape, calibration_inputs, frames_of, input_of

    folder = recorded(tmp_path / "data")
    found = read_labelled(Labels(labels(folder, f"recording.mcap#{LANE}/{SEQ}/1"), None), tmp_path / "drawn")
    (lane,) = known_lanes(folder / "scanners").values()
    (given,) = frames_of(found, [0], 9)
    (shown,) = calibration_inputs([given], Shape(160))
    source = next(one for one in McapSource(DEMO / "demo.mcap") if one.header.view == 1)
    wanted, _ = model_input(frame_of(lane.profile, source), input_of(Shape(160)), lane.optics[1])
    assert np.array_equal(shown, wanted)


def test_a_recording_that_is_another_one_by_now_is_named(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "data")
    path = labels(folder, f"recording.mcap#{LANE}/{SEQ}/0")
    found = read_labelled(Labels(path, None), tmp_path / "drawn")
    (folder / "recording.mcap").write_bytes(b"no recording")
    eye = Eye(load_bundle(shipped_detector()), 1)
    try:
        assert look_at(eye, found) == []
    finally:
        eye.close()
    assert found.problems.counts == {"picture cannot be looked at (left out)": 1}


def test_frames_of_sixteen_bits_keep_them(tmp_path: Path) -> None:
    """What 8 bits cannot tell apart stays apart, and white is what the profile says it is."""
    grey = np.full((60, 80), 2048, np.uint16)
    grey[20:40, 20:40] = 2050
    folder = display(tmp_path / "data", (1, 1, png(grey)))
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "a.png"), np.full((60, 80), 1000, np.uint16))
    found = read_labelled(Labels(labels(folder, "day.mcap#lane/1/0", "a.png"), None), tmp_path / "drawn")
    frame = read_frame(found.pictures[0].file, found.pictures[0].bits)
    shares = frame.pixels[:, :, 0] / frame.full_scale
    assert frame.channels == ("grey",)
    assert shares[0, 0] == pytest.approx(2048 / 4095, abs=1e-5)
    assert shares[30, 30] == pytest.approx(2050 / 4095, abs=1e-5)
    assert [one.bits for one in found.pictures] == [16, 10]


def test_frames_that_cannot_be_read_are_named_and_the_others_stay(tmp_path: Path) -> None:
    """Not recorded, of nobody's scanner, of a recording that is not there; a picture beside them is kept."""
    folder = recorded(tmp_path / "data")
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "a.png"), np.full((90, 90, 3), 200, np.uint8))
    good = f"recording.mcap#{LANE}/{SEQ}/0"
    path = labels(folder, good, "recording.mcap#other/1/0", f"recording.mcap#{LANE}/999999/0", "a.png",
                  "gone.mcap#a/1/0")  # fmt: skip
    found = read_labelled(Labels(path, None), tmp_path / "drawn")
    assert [one.file.name for one in found.pictures][1:] == ["a.png"]
    assert found.problems.counts == {"frame is not in the recording": 2, "recording is not there": 1}
    assert "gone.mcap" in "\n".join(found.problems.lines())
    (folder / "scanners" / f"{LANE}.yaml").rename(folder / "scanners" / "nobody.yaml")
    found = read_labelled(Labels(path, None), tmp_path / "none")
    assert [one.file.name for one in found.pictures] == ["a.png"]
    assert found.problems.counts["frame cannot be drawn, other_lane (left out)"] == 1


def test_a_recording_that_was_cut_off_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "data")
    frames = [frame.header for frame in McapSource(folder / "recording.mcap")]
    names = [f"recording.mcap#{one.scanner}/{one.seq}/{one.view}" for one in frames]
    data = (folder / "recording.mcap").read_bytes()
    (folder / "recording.mcap").write_bytes(data[: len(data) // 2])
    found = read_labelled(Labels(labels(folder, *names), None), tmp_path / "drawn")
    assert 0 < len(found.pictures) < len(names)
    assert found.problems.counts["frame is not in the recording"] == len(names) - len(found.pictures)
    assert found.problems.counts["recording is damaged"] >= 1
    (folder / "recording.mcap").write_bytes(b"no recording")
    with pytest.raises(DataError, match="recording cannot be read"):
        read_labelled(Labels(folder / "annotations.json", None), tmp_path / "drawn")


def test_without_its_scanners_a_recording_is_refused_in_words(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "data")
    path = labels(folder, f"recording.mcap#{LANE}/{SEQ}/0")
    (folder / "scanners").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"scanners: not there; .* --lanes"):
        read_labelled(Labels(path, None), tmp_path / "drawn")
    assert len(read_labelled(Labels(path, None, tmp_path / "elsewhere"), tmp_path / "drawn").pictures) == 1


def display(folder: Path, *frames: tuple[int, int, bytes]) -> Path:
    """A recording of a scanner that sends PNG: epoch, seq, payload."""
    (folder / "scanners").mkdir(parents=True)
    (folder / "scanners" / "lane.yaml").write_text(DISPLAY)
    with RecordingWriter(folder / "day.mcap") as writer:
        for number, (epoch, seq, payload) in enumerate(frames):
            header = FrameMessage(
                scanner="lane", epoch=epoch, seq=seq, views=1, encoding="png", crc32=zlib.crc32(payload)
            )
            writer.write_frame(header, payload, 1_000 + number)
    return folder


def png(pixels: Any) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_pictures_that_a_scanner_sent_encoded_are_taken_too(tmp_path: Path) -> None:
    """In colour as they are, of 12 bits by what the profile calls white; what is no picture is named. Frames
    of two epochs are told apart by their full name alone."""
    rng = np.random.default_rng(5)
    colours = rng.integers(0, 255, (60, 80, 3), np.uint8)
    grey = np.full((60, 80), 2048, np.uint16)
    sent = ((1, 1, colours), (1, 2, grey), (1, 4, grey), (2, 4, colours), (1, 1, colours))
    frames = [(epoch, seq, png(pixels)) for epoch, seq, pixels in sent]
    folder = display(tmp_path / "data", *frames, (1, 3, b"\x89PNG no"))
    names = ("lane/1/0", "lane/2/0", "lane/3/0", "lane/4/0")
    path = labels(folder, *(f"day.mcap#{name}" for name in names))
    found = read_labelled(Labels(path, None), tmp_path / "drawn")
    first, second = (read_rgb(one.file) for one in found.pictures)
    assert np.array_equal(first, colours[:, :, ::-1])
    assert (second == 128).all()
    assert found.problems.counts == {
        "frame cannot be drawn, bad_frame (left out)": 1,
        "frame is there in several epochs (left out): name SCANNER/EPOCH/SEQ/VIEW": 1,
    }
    path = labels(folder, "day.mcap#lane/1/4/0", "day.mcap#lane/2/4/0")
    found = read_labelled(Labels(path, None), tmp_path / "drawn")
    assert not found.problems.counts
    assert [int(read_rgb(one.file).std() > 10) for one in found.pictures] == [0, 1]


def test_pictures_drawn_before_are_kept(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "data")
    path = labels(folder, f"recording.mcap#{LANE}/{SEQ}/0")
    (one,) = read_labelled(Labels(path, None), tmp_path / "drawn").pictures
    before = one.file.stat().st_mtime_ns
    (again,) = read_labelled(Labels(path, None), tmp_path / "drawn").pictures
    assert again._replace(recorded=None) == one._replace(recorded=None)
    assert one.file.stat().st_mtime_ns == before


def test_pictures_of_several_pages_or_frames_are_told(tmp_path: Path) -> None:
    """Of which the first is taken; whether labels are of that one nobody knows."""
    (tmp_path / "images").mkdir()
    both = [np.full((60, 80, 3), 200, np.uint8), np.full((60, 80, 3), 100, np.uint8)]
    cv2.imwritemulti(str(tmp_path / "images" / "a.tif"), both)
    cv2.imwrite(str(tmp_path / "images" / "b.tif"), both[0])
    cv2.imwrite(str(tmp_path / "images" / "c.webp"), both[0])
    still = (tmp_path / "images" / "c.webp").read_bytes()
    flags = struct.pack("<4sIB3x", b"VP8X", 10, 2) + bytes((79, 0, 0, 59, 0, 0))
    part = (
        struct.pack("<4sI", b"ANMF", 16 + len(still) - 12)
        + bytes(6)
        + bytes((79, 0, 0, 59, 0, 0, 100, 0, 0, 0))
    )
    moving = b"WEBP" + flags + struct.pack("<4sIIH", b"ANIM", 6, 0, 0) + 2 * (part + still[12:])
    (tmp_path / "images" / "d.webp").write_bytes(struct.pack("<4sI", b"RIFF", len(moving)) + moving)
    path = labels(tmp_path, "a.tif", "b.tif", "c.webp", "d.webp")
    found = read_labelled(Labels(path, None), tmp_path / "drawn")
    assert found.problems.counts == {
        "TIFF of several pages, of which only the first is used": 1,
        "animation, of which only the first picture is used": 1,
    }
    assert [int(read_rgb(one.file)[0, 0, 0]) for one in found.pictures] == pytest.approx([200] * 4, abs=2)


def test_pictures_of_twelve_bits_are_as_bright_as_they_were_taken(tmp_path: Path) -> None:
    """By what the data set uses, in evaluation and training alike; the command's problems say so."""
    (tmp_path / "images").mkdir()
    for name, value in (("a.png", 4000), ("b.png", 1000)):
        cv2.imwrite(str(tmp_path / "images" / name), np.full((60, 80), value, np.uint16))
    found = read_labelled(Labels(labels(tmp_path, "a.png", "b.png"), None), tmp_path / "drawn")
    assert [one.bits for one in found.pictures] == [12, 12]
    assert found.problems.counts == {"picture of 16 bits, 12 of them used (white is 4095)": 2}
    shown = [sample_of(one, found.problems, crop=False).rgb[0, 0].tolist() for one in found.pictures]
    assert shown == [[249] * 3, [62] * 3]

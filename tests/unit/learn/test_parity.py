"""What is taught is what the daemon shows: the same picture, and the same counts, by both ways."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from cartons import consignment
from harness import ROOT

from nii_edge.bundle import load_bundle
from nii_edge.config import ModelInput
from nii_edge.learn.augment import NOTHING, augmented
from nii_edge.learn.cache import Sample, frame_of, sample_of
from nii_edge.learn.looking import Eye, look_at
from nii_edge.learn.readers import Dataset, Labelled, Problems
from nii_edge.records import Frame
from nii_edge.xray.content import content
from nii_edge.xray.frontend import model_inputs
from nii_edge.xray.optics import planes_of
from nii_edge.xray.render import pseudo_colour

BUNDLE = ROOT / "models" / "detector" / "0.5.0"


@pytest.fixture(scope="module")
def spec() -> ModelInput:
    return load_bundle(BUNDLE).manifest.input


def taught(sample: Sample, spec: ModelInput) -> np.ndarray:
    """A picture as training shows it when nothing is changed at random."""
    return augmented(sample, None, spec.size[0], NOTHING, np.random.default_rng(0)).input


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference where either shows something, 0-1."""
    shown = (one >= 0) | (other >= 0)
    return float(np.abs(one - other)[shown].mean())


def test_pictures_are_shown_as_they_are_taught(tmp_path: Path, spec: ModelInput) -> None:
    rng = np.random.default_rng(3)
    for number in range(4):
        picture = np.full((300 + 60 * number, 500, 3), 245, np.uint8)
        for _ in range(25):
            y, x = rng.integers(30, 240), rng.integers(30, 430)
            picture[y : y + 40, x : x + 40] = rng.integers(0, 220, 3)
        (shown,) = model_inputs(frame_of(picture), spec)
        cv2.imwrite(str(tmp_path / "picture.png"), picture[:, :, ::-1])
        sample = sample_of(Labelled(tmp_path / "picture.png", ()), Problems())
        assert apart(taught(sample, spec), shown.tensor) < 0.004


def test_grey_pictures_are_shown_as_they_are_taught(tmp_path: Path, spec: ModelInput) -> None:
    """A grey scanner's frames, of 8 and of 12 bits, run in the daemon as a grey file is read to teach."""
    rng = np.random.default_rng(5)
    for bits, dtype in ((8, np.uint8), (12, np.uint16)):
        white = 2**bits - 1
        picture = np.full((340, 500, 1), 0.95 * white).astype(dtype)
        for _ in range(25):
            y, x = rng.integers(30, 270), rng.integers(30, 430)
            picture[y : y + 40, x : x + 40] = rng.integers(0, int(0.85 * white))
        grey = Frame(view=0, channels=("grey",), pixels=picture, full_scale=float(white), opaque_below=0.17)
        (shown,) = model_inputs(grey, spec)
        cv2.imwrite(str(tmp_path / "grey.png"), picture)
        sample = sample_of(Labelled(tmp_path / "grey.png", (), bits=bits), Problems())
        assert apart(taught(sample, spec), shown.tensor) < 0.004


def faint(picture: np.ndarray, white: int) -> np.ndarray:
    """It in the middle of an empty belt, and around it something so faint that 8 bits take it for content and
    16 for belt. `picture`: fractions of white (height, width, channels)."""
    height, width, channels = picture.shape
    belt = np.full((2 * height, 2 * width, channels), 0.95 * white)
    belt[height // 4 : 7 * height // 4, width // 4 : 7 * width // 4] = 0.95 * 0.941 * white
    belt[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = 0.95 * white * picture
    return np.round(belt).astype(np.uint16)


def test_sixteen_bits_are_cut_to_the_same_content_when_taught(tmp_path: Path) -> None:
    """All bits tell what is content: by eight of them faint things would lie on the other side."""
    picture = np.full((200, 300, 1), 0.99)
    picture[20:180, 20:280] = 0.5
    pixels = faint(picture, 4095)
    cv2.imwrite(str(tmp_path / "grey.png"), pixels)
    grey = Frame(view=0, channels=("grey",), pixels=pixels, full_scale=4095.0, opaque_below=0.17)
    top, left, bottom, right = content(grey)
    eight = frame_of(np.repeat((pixels >> 4).astype(np.uint8), 3, axis=2))
    assert np.abs(np.subtract(content(eight), (top, left, bottom, right))).max() > 8, "the picture is no test"
    box = (180.0, 125.0, 350.0, 270.0, 0)
    sample = sample_of(Labelled(tmp_path / "grey.png", (box,), bits=12), Problems())
    assert sample.rgb.shape[:2] == (bottom - top, right - left)
    assert sample.boxes.tolist() == [[180 - left, 125 - top, 350 - left, 270 - top]]
    small = sample_of(Labelled(tmp_path / "grey.png", (box,), bits=12), Problems(), side=100)
    assert max(small.rgb.shape[:2]) == 100
    scale = np.array(small.rgb.shape[1::-1] * 2) / np.array(sample.rgb.shape[1::-1] * 2)
    assert small.boxes == pytest.approx(sample.boxes * scale, abs=1e-3)


def test_the_boxes_of_sixteen_bits_are_those_of_the_daemon(tmp_path: Path) -> None:
    """`evaluate` looks at the file as the daemon at the frame: within a pixel, and as sure."""
    bundle = load_bundle(BUNDLE)
    golden = next(one.frame for one in bundle.golden if one.expected)
    pixels = faint(golden.pixels / golden.full_scale, 65535)
    frame = msgspec.structs.replace(golden, pixels=pixels, full_scale=65535.0)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels[:, :, ::-1])
    eye = Eye(bundle, 1)
    try:
        daemons = eye.look(frame)
        (looked,) = look_at(
            eye, Dataset(("gun",), (Labelled(tmp_path / "deep.png", (), bits=16),), Problems())
        )
    finally:
        eye.close()
    assert max(one.score for one in daemons) > 0.1, "nothing to compare"
    assert len(looked.found) == len(daemons)
    for own, theirs in zip(looked.found, daemons, strict=True):
        assert own.box == pytest.approx(theirs.box, abs=1.0)
        assert (own.label, own.score) == (theirs.label, pytest.approx(theirs.score, abs=1e-3))


def test_counts_are_shown_as_their_colours_are_taught(spec: ModelInput) -> None:
    """The daemon makes counts smaller and then colours them; pictures are coloured first. What of a frame is
    shown is found on counts there and on colours here, which differ by little of its length: thin board is
    hardly darker than the belt in colour."""
    found = consignment()
    for frames in found.frames:
        for frame, view in zip(frames, found.lane.optics, strict=True):
            assert view.colours is not None
            picture = np.ascontiguousarray(pseudo_colour(planes_of(frame, view), view.colours)[:, :, ::-1])
            (shown,) = model_inputs(frame, spec, view)
            assert shown.placement.part is not None
            top, left, high, wide = (round(side) for side in shown.placement.part)
            own = picture[top : top + high, left : left + wide]
            none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
            made = taught(Sample(np.ascontiguousarray(own), *none), spec)
            assert apart(made, shown.tensor) < 0.03
            near = np.subtract(content(frame_of(picture)), shown.part)
            assert np.abs(near).max() < 0.1 * max(frame.pixels.shape)

"""Cropping to what is not empty belt, and the way back for boxes."""

from __future__ import annotations

import itertools
from typing import Literal

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.config import ModelInput
from nii_edge.records import Frame
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.scan import air_frames
from nii_edge.xray.calibrate import Origin, assemble
from nii_edge.xray.content import OVERLAP, content, pieces
from nii_edge.xray.frontend import model_input, model_inputs
from nii_edge.xray.optics import Optics


def cropping(size: tuple[int, int]) -> ModelInput:
    return ModelInput(name="image", channels=("grey",), size=size, crop="content", pad=-1.0)


def drawn(shape: tuple[int, int], block: tuple[int, int, int, int], ground: int = 230) -> Frame:
    """A belt of one grey with a dark block (x0, y0, x1, y1)."""
    pixels = np.full((*shape, 1), ground, np.uint8)
    x0, y0, x1, y1 = block
    pixels[y0:y1, x0:x1] = 60
    return Frame(view=0, channels=("grey",), pixels=pixels, full_scale=255, opaque_below=0.2)


@given(
    shape=st.tuples(st.integers(60, 900), st.integers(60, 900)),
    shares=st.tuples(*[st.floats(0, 0.8)] * 2, *[st.floats(0.12, 0.4)] * 2),
    ground=st.integers(150, 255),
)
def test_content_holds_the_block_and_little_else(
    shape: tuple[int, int], shares: tuple[float, float, float, float], ground: int
) -> None:
    """Whatever the belt's brightness, all of a block is kept; at most a quarter of the frame is, or not much
    more than the block."""
    height, width = shape
    x0, y0 = int(shares[0] * width), int(shares[1] * height)
    x1, y1 = min(width, x0 + int(shares[2] * width) + 4), min(height, y0 + int(shares[3] * height) + 4)
    top, left, bottom, right = content(drawn(shape, (x0, y0, x1, y1), ground))
    assert top <= y0
    assert left <= x0
    assert bottom >= y1
    assert right >= x1
    assert bottom - top <= max(1.1 * (y1 - y0), 0.26 * height) + 0.04 * height + 8
    assert right - left <= max(1.1 * (x1 - x0), 0.26 * width) + 0.04 * width + 8


def test_an_empty_belt_is_shown_whole() -> None:
    """Nothing darker, nothing cropped; lines of noise one pixel wide are nothing."""
    frame = drawn((200, 300), (0, 0, 0, 0))
    assert content(frame) == (0, 0, 200, 300)


def test_a_cropped_block_maps_back_to_where_it_was() -> None:
    """Found in the input, a block's box returns to its own pixels."""
    frame = drawn((832, 1024), (600, 500, 760, 580))
    tensor, placement = model_input(frame, cropping((320, 320)))
    x, y, width, height = cv2.boundingRect(((tensor[0] < 0.5) & (tensor[0] >= 0)).astype(np.uint8))
    box = placement.to_frame(3, (x, y, x + width, y + height))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((600, 500, 760, 580), abs=1.0)
    assert width > 160, "the block is enlarged, not shrunk"
    assert (tensor[0, placement.content[0] :] == -1).all()


def test_calibrated_counts_are_cropped_too() -> None:
    """Counts with a calibration of their own pixels: the block is found, and its box returns to its place."""
    unit = calibrated(SCANNERS["depot"])
    pixels = (
        air_frames(unit.scanner, np.random.default_rng(3), lines=400)[0].transpose(1, 0, 2).astype(np.float64)
    )
    offset = 1500.0
    pixels[200:300, 120:260] = offset + 0.02 * (pixels[200:300, 120:260] - offset)
    counts = np.ascontiguousarray(np.clip(pixels, 0, 65_535).astype(np.uint16))
    frame = Frame(view=0, channels=("low", "high"), pixels=counts, full_scale=50_000, opaque_below=0.002)
    spec = ModelInput(
        name="image", channels=("transmission_high",), size=(320, 320), crop="content", pad=-1.0
    )
    tensor, placement = model_input(frame, spec, unit.optics[0])
    dark = ((tensor[0] < 0.6) & (tensor[0] > -0.5)).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)))
    box = placement.to_frame(0, (x, y, x + width, y + height))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((120, 200, 260, 300), abs=2.0)
    assert placement.shown.width < 0.6 * counts.shape[1]


@given(
    corner=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    short=st.integers(8, 900),
    ratio=st.floats(1, 30),
    most=st.integers(1, 16),
    upright=st.booleans(),
)
def test_pieces_cover_all_of_a_long_content_and_share_what_lies_at_a_cut(
    corner: tuple[int, int], short: int, ratio: float, most: int, upright: bool
) -> None:
    """Every pixel is in a piece, none is outside, neighbours share at least the overlap, there are no more
    than may be; what is not long stays whole."""
    long = round(short * ratio)
    height, width = (long, short) if upright else (short, long)
    area = corner[0], corner[1], corner[0] + height, corner[1] + width
    made = pieces(area, most)
    axis = 0 if upright else 1
    assert 1 <= len(made) <= most
    assert (made[0][axis], made[-1][axis + 2]) == (area[axis], area[axis + 2])
    assert all((each[1 - axis], each[3 - axis]) == (area[1 - axis], area[3 - axis]) for each in made)
    for one, following in itertools.pairwise(made):
        assert one[axis] < following[axis]
        assert one[axis + 2] - following[axis] >= OVERLAP * short - 1.5
    lengths = [each[axis + 2] - each[axis] for each in made]
    assert max(lengths) - min(lengths) <= 1
    assert len(made) == 1 or ratio > 1.55
    assert len(made) > 1 or most == 1 or ratio < 1.65


@pytest.mark.parametrize("crop", ["none", "content"])
def test_a_picture_on_a_calibrated_lane_is_shown_as_on_any_other(crop: Literal["none", "content"]) -> None:
    """A lane may send counts, which its calibration corrects, and pictures, which it does not."""
    shape = (2, 90)
    detector = assemble(
        Origin("lane", 0, 1, "columns", ("low", "high")), np.zeros(shape, np.float32),
        np.full(shape, 2e-5, np.float32), np.zeros(shape, np.uint8), (5e4, 5e4), (1e-3, 1e-3), (1e-2, 1e-2),
    )  # fmt: skip
    pixels = np.random.default_rng(1).integers(200, 250, (90, 140, 3)).astype(np.uint8)
    pixels[30:60, 40:80] = 40
    picture = Frame(
        view=0, channels=("red", "green", "blue"), pixels=pixels, full_scale=255.0, opaque_below=0.17
    )  # fmt: skip
    spec = msgspec.structs.replace(cropping((64, 64)), channels=("red", "green", "blue"), crop=crop)
    with_it, without = model_input(picture, spec, Optics(detector)), model_input(picture, spec)
    assert np.array_equal(with_it[0], without[0])
    assert with_it[1] == without[1]


@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("bar", [1, 2, 5])
def test_nothing_narrow_is_lost_in_a_long_frame_of_counts(axis: Literal["rows", "columns"], bar: int) -> None:
    """A bar across the belt, a line or two wide and far from the goods, is content wherever it lies."""
    shape, lines = (2, 400), 1_700
    detector = assemble(
        Origin("lane", 0, 1, axis, ("low", "high")), np.zeros(shape, np.float32),
        np.full(shape, 2e-5, np.float32), np.zeros(shape, np.uint8), (5e4, 5e4), (1e-3, 1e-3), (1e-2, 1e-2),
    )  # fmt: skip
    rng = np.random.default_rng(bar)
    for at in (*range(100, 112), lines - 30):
        through = np.ones((400, lines, 2))
        through[100:300, 700:1_200] = 0.5
        through[150:200, at : at + bar] = 0.01
        counts = (rng.poisson(through * 8_000) * 6.25).astype(np.uint16)
        if axis == "rows":
            counts = np.ascontiguousarray(counts.swapaxes(0, 1))
        frame = Frame(
            view=0, channels=("low", "high"), pixels=counts, full_scale=5e4, opaque_below=1e-3
        )  # fmt: skip
        found = content(frame, Optics(detector))
        first, last = (found[1], found[3]) if axis == "columns" else (found[0], found[2])
        assert first <= min(at, 700)
        assert last >= max(at + bar, 1_200)


def test_a_row_of_bags_is_shown_in_pieces_as_large_as_one_bag() -> None:
    """A thing in a belt picture five times as long as wide is four times as large in its piece, and its box
    returns to its place from there."""
    frame = drawn((240, 1000), (0, 20, 1000, 220))
    frame.pixels[60:120, 700:760] = 0
    spec = msgspec.structs.replace(cropping((320, 320)), pieces=6)
    shown = model_inputs(frame, spec)
    assert len(shown) > 3
    seen = []
    for _, tensor, placement in shown:
        x, y, width, height = cv2.boundingRect(((tensor[0] < 0.1) & (tensor[0] >= 0)).astype(np.uint8))
        box = placement.to_frame(0, (x, y, x + width, y + height)) if width else None
        if box is not None and box.x1 - box.x0 > 55:
            seen.append((box, width))
    assert seen
    for box, width in seen:
        assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((700, 60, 760, 120), abs=1.0)
        assert width > 3.5 * 60 * 320 / 1000

"""The front end: what a model sees of a frame, and where."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.config import FrontEndChannel, ModelInput
from nii_edge.errors import FrameError
from nii_edge.records import Channel, Frame, Reason
from nii_edge.xray.frontend import MAX_OPACITY, missing_channel, model_input, model_inputs, place

DUAL: tuple[Channel, ...] = ("low", "high")
COLOUR: tuple[Channel, ...] = ("red", "green", "blue")


def spec(*channels: FrontEndChannel, size: tuple[int, int] = (8, 8), **more: object) -> ModelInput:
    return ModelInput(name="image", channels=channels, size=size, **more)  # type: ignore[arg-type]


def flat(
    values: tuple[float, ...],
    channels: tuple[Channel, ...],
    scale: tuple[float, float],
    dtype: type[np.generic] = np.uint16,
    shape: tuple[int, int] = (16, 16),
) -> Frame:
    """A frame of one value per channel; `scale` is (full_scale, opaque_below)."""
    pixels: npt.NDArray[np.generic] = np.full((*shape, len(channels)), values, dtype)
    pixels.setflags(write=False)
    return Frame(view=0, channels=channels, pixels=pixels, full_scale=scale[0], opaque_below=scale[1])


def value(frame: Frame, channel: FrontEndChannel) -> float:
    """What a flat frame becomes in one channel; asserts that it stays flat."""
    tensor, _ = model_input(frame, spec(channel))
    assert tensor.dtype == np.float32
    assert np.ptp(tensor) <= 1e-6
    return float(tensor[0, 0, 0])


@pytest.mark.parametrize(
    ("transmission", "expected"), [(1.0, 0.0), (1.1, 0.0), (0.01, 1.0), (0.1, 0.5), (1e-4, 1.5), (0.0, 1.5)]
)
def test_opacity_of_counts_is_path_length_in_units_of_the_limit(transmission: float, expected: float) -> None:
    """Opacity is log T over log of the limit: 0 for air, 1 at the limit, cut at its maximum."""
    frame = flat((1.0, 50_000 * transmission), DUAL, (50_000, 0.01))
    assert value(frame, "opacity") == pytest.approx(expected, abs=1e-3)


def test_opacity_prefers_the_high_energy() -> None:
    """Opacity comes from the high channel if there is one, because it penetrates further."""
    assert value(flat((0, 50_000), DUAL, (50_000, 0.01)), "opacity") == pytest.approx(0)
    assert value(flat((500,), ("low",), (50_000, 0.01)), "opacity") == pytest.approx(1)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((255, 255, 255), 0.0), ((0, 0, 255), 0.0), ((51, 51, 51), 1.0), ((0, 0, 0), 1.25), ((0, 153, 0), 0.5)],
)
def test_opacity_of_colour_takes_the_brightest_channel(rgb: tuple[int, int, int], expected: float) -> None:
    """Black is opaque; the pure blue of thick metal is not."""
    assert value(flat(rgb, COLOUR, (255, 0.2), np.uint8), "opacity") == pytest.approx(expected, abs=1e-5)


def test_opacity_of_grey() -> None:
    """A grey picture's opacity is its darkness relative to the black level."""
    assert value(flat((0.2,), ("grey",), (1.0, 0.2), np.float32), "opacity") == pytest.approx(1)


def test_display_channels_are_fractions_of_white() -> None:
    """Red, green and blue are fractions of white; grey of a colour picture is its luma."""
    frame = flat((4095, 0, 2048), COLOUR, (4095, 0.1))
    assert value(frame, "red") == pytest.approx(1)
    assert value(frame, "green") == 0
    assert value(frame, "blue") == pytest.approx(2048 / 4095)
    assert value(frame, "grey") == pytest.approx(0.299 + 0.114 * 2048 / 4095)


def test_transmission_is_not_cut_at_air() -> None:
    """Noise above the mean of air stays visible to a model that looks at transmission."""
    frame = flat((55_000, 25_000), DUAL, (50_000, 0.01))
    assert value(frame, "transmission_low") == pytest.approx(1.1)
    assert value(frame, "transmission_high") == pytest.approx(0.5)


def test_eight_bits_and_dark_pictures_are_not_rescaled() -> None:
    """The range comes from the header alone: a dark picture stays dark, whatever its pixels are."""
    assert value(flat((1,), ("grey",), (255, 0.2), np.uint8), "grey") == pytest.approx(1 / 255)
    assert value(flat((1,), ("grey",), (65_535, 0.2), np.uint16), "grey") == pytest.approx(1 / 65_535)


def test_resizing_averages_counts_and_not_their_logarithms() -> None:
    """Half air and half nothing is half the counts: one number tells which came first."""
    pixels = np.zeros((16, 16, 1), np.uint16)
    pixels[:, ::2] = 50_000
    frame = Frame(view=0, channels=("high",), pixels=pixels, full_scale=50_000, opaque_below=0.01)
    tensor, _ = model_input(frame, spec("opacity"))
    assert tensor == pytest.approx(np.log(0.5) / np.log(0.01), abs=1e-4)


def test_letterbox_pads_before_mean_and_deviation() -> None:
    """A wide frame fills the top; the rest holds the pad value, normalised like any other."""
    frame = flat((128,), ("grey",), (255, 0.2), np.uint8, shape=(8, 16))
    tensor, placement = model_input(frame, spec("grey", pad=1.0, mean=(0.5,), std=(0.25,)))
    assert placement.content == (4, 8)
    assert tensor[0, :4] == pytest.approx((128 / 255 - 0.5) / 0.25, abs=1e-6)
    assert tensor[0, 4:] == pytest.approx(2.0)


def test_stretch_fills_the_input() -> None:
    """With `stretch` there is no padding and the two scales differ."""
    frame = flat((9,), ("grey",), (255, 0.2), np.uint8, shape=(4, 16))
    tensor, placement = model_input(frame, spec("grey", fit="stretch", pad=9.0))
    assert placement.scale == (0.5, 2.0)
    assert tensor.max() < 1


def test_channels_keep_the_order_of_the_model() -> None:
    """Channel order is the manifest's, not the frame's."""
    tensor, _ = model_input(flat((10, 20, 30), COLOUR, (100, 0.2), np.uint8), spec("blue", "red", "opacity"))
    assert tensor[:, 0, 0] == pytest.approx([0.3, 0.1, 0.7 / 0.8])


@pytest.mark.parametrize(
    ("available", "wanted", "fits"),
    [
        (DUAL, ("opacity", "transmission_low", "transmission_high"), True),
        (COLOUR, ("opacity", "grey", "red"), True),
        (("grey",), ("grey", "opacity"), True),
        (DUAL, ("red",), False),
        (COLOUR, ("transmission_high",), False),
        (("high",), ("transmission_low",), False),
        (("grey",), ("red", "green", "blue"), True),
        (("grey",), ("transmission_low",), False),
        (("high",), ("blue",), False),
    ],
)
def test_missing_channel_names_both_sides(
    available: tuple[Channel, ...], wanted: tuple[FrontEndChannel, ...], fits: bool
) -> None:
    """A bundle that cannot take a scanner's frames says which channel it lacks and what there is."""
    reason = missing_channel(available, spec(*wanted))
    assert (reason is None) == fits
    if reason is not None:
        assert wanted[0] in reason
        assert "+".join(available) in reason


def test_grey_is_three_equal_colours() -> None:
    """What a detector of colours learned from grey pictures, it is shown of a grey scanner: cut, in pieces
    and shrunk alike. A colour frame and counts give what they gave."""
    rng = np.random.default_rng(6)
    wanted = spec("red", "green", "blue", size=(96, 96), crop="content", pieces=3, pad=-1.0)
    for dtype, white in ((np.uint8, 255.0), (np.uint16, 4095.0), (np.float32, 1.0)):
        pixels = np.full((300, 900, 1), 0.95 * white)
        for y, x in zip(rng.integers(30, 240, 40), rng.integers(30, 840, 40), strict=True):
            pixels[y : y + 30, x : x + 40] = rng.uniform(0, 0.9) * white
        grey = Frame(
            view=0, channels=("grey",), pixels=pixels.astype(dtype), full_scale=white, opaque_below=0.1
        )
        colour = msgspec.structs.replace(grey, channels=COLOUR, pixels=np.repeat(grey.pixels, 3, axis=2))
        pairs = list(zip(model_inputs(grey, wanted), model_inputs(colour, wanted), strict=True))
        assert len(pairs) > 1
        for ours, theirs in pairs:
            assert ours.placement == theirs.placement
            assert np.abs(ours.tensor - theirs.tensor).max() <= 1e-6


def test_ways_that_are_missing_are_all_named() -> None:
    """Whoever has one energy only is told of every way to colours."""
    reason = missing_channel(("high",), spec("red"))
    assert reason == (
        "the model needs red, made from red+green+blue or grey or low+high and the scanner's wedges; "
        "the scanner gives high"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", ["opacity", "transmission_high"])
def test_values_that_are_not_finite_are_refused(bad: float, channel: FrontEndChannel) -> None:
    """One NaN or infinity anywhere in the picture is an error, never clear air."""
    pixels = np.ones((37, 53, 2), np.float32)
    pixels[36, 52, 1] = bad
    frame = Frame(view=3, channels=DUAL, pixels=pixels, full_scale=1.0, opaque_below=0.01)
    with pytest.raises(FrameError, match="view 3") as caught:
        model_input(frame, spec(channel))
    assert caught.value.reason is Reason.NOT_FINITE


@pytest.mark.parametrize(
    "scale", [(0.0, 0.1), (np.nan, 0.1), (np.inf, 0.1), (1.0, 1.0), (1.0, 0.0), (1.0, np.nan)]
)
def test_a_senseless_header_is_refused(scale: tuple[float, float]) -> None:
    """A full scale or limit that would turn every pixel into air or NaN is an error."""
    with pytest.raises(FrameError) as caught:
        model_input(flat((1,), ("grey",), scale, np.float32), spec("opacity"))
    assert caught.value.reason is Reason.PROFILE_MISMATCH


def test_a_frame_without_the_channel_is_refused() -> None:
    """Asking for a channel the frame lacks is an error, also when nobody asked `missing_channel`."""
    with pytest.raises(FrameError, match="red"):
        model_input(flat((1, 1), DUAL, (1, 0.1), np.float32), spec("red"))


@given(
    frame=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    fit=st.sampled_from(["letterbox", "stretch"]),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_boxes_return_to_where_they_were(
    frame: tuple[int, int], size: tuple[int, int], fit: str, corners: tuple[float, ...]
) -> None:
    """A frame box scaled into the input and mapped back is the same box, whatever the shapes."""
    placement = place(frame, spec("grey", size=size, fit=fit))
    assert placement.content[0] <= size[0]
    assert placement.content[1] <= size[1]
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    scale_x, scale_y = placement.scale
    there = (
        x0 * frame[1] * scale_x,
        y0 * frame[0] * scale_y,
        x1 * frame[1] * scale_x,
        y1 * frame[0] * scale_y,
    )
    back = placement.to_frame(5, there)
    if back is None:
        assert x1 - x0 < 1e-9 or y1 - y0 < 1e-9
    else:
        assert back.view == 5
        assert (back.x0, back.x1) == pytest.approx((x0 * frame[1], x1 * frame[1]), abs=1e-6)
        assert (back.y0, back.y1) == pytest.approx((y0 * frame[0], y1 * frame[0]), abs=1e-6)


def test_boxes_are_cut_at_the_frame() -> None:
    """A box that reaches into the padding ends at the frame; one wholly inside the padding is none."""
    placement = place((10, 20), spec("grey", size=(40, 40)))
    box = placement.to_frame(0, (-4.0, 10.0, 44.0, 30.0))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == (0, 5, 20, 10)
    assert placement.to_frame(0, (0.0, 20.0, 40.0, 40.0)) is None


@given(
    st.sampled_from(["uint8", "uint16"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_opacity_stays_in_its_range(dtype: str, height: int, width: int, seed: int) -> None:
    """Whatever integer pixels arrive, opacity is finite and lies in 0 to its maximum."""
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top + 1, (height, width, 2)).astype(dtype)
    frame = Frame(view=0, channels=DUAL, pixels=pixels, full_scale=top * 0.8, opaque_below=0.002)
    tensor, _ = model_input(frame, spec("opacity", size=(13, 17)))
    assert tensor.min() >= 0
    assert tensor.max() <= MAX_OPACITY


def test_a_drawn_box_lands_where_the_placement_says() -> None:
    """Pixels and boxes use one convention: a bright block is found at its mapped corners."""
    pixels = np.zeros((200, 300, 1), np.uint8)
    pixels[40:120, 60:180] = 255
    frame = Frame(view=0, channels=("grey",), pixels=pixels, full_scale=255, opaque_below=0.2)
    tensor, placement = model_input(frame, spec("grey", size=(150, 150)))
    x, y, width, height = cv2.boundingRect((tensor[0] > 0.5).astype(np.uint8))
    box = placement.to_frame(0, (x, y, x + width, y + height))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((60, 40, 180, 120))

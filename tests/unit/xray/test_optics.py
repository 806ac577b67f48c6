"""A calibrated view, from counts to what a model gets."""

from __future__ import annotations

import cv2
import numpy as np
import polychromatic as model
import pytest

from nii_edge.config import FrontEndChannel, ModelInput
from nii_edge.errors import FrameError
from nii_edge.records import Channel, Frame, Reason
from nii_edge.xray.calibrate import Noise, Origin, calibrate
from nii_edge.xray.frontend import missing_channel, model_input
from nii_edge.xray.optics import optics, planes_of
from nii_edge.xray.transmission import apply, apply_reduced

DUAL: tuple[Channel, ...] = ("low", "high")
RNG = np.random.default_rng(11)
OFFSET = RNG.normal(700, 50, (96, 2))
RESPONSE = RNG.normal(40_000, 3_000, (96, 2))
NOISE = Noise((1e-4, 1e-4), (0.005, 0.005))


def lines(transmission: np.ndarray) -> np.ndarray:
    """Counts of the detector above, (lines, detector pixels, channels); pixel 40 is dead."""
    quanta = RNG.poisson(transmission * 40_000) / 40_000
    counts = OFFSET + RESPONSE * quanta + RNG.normal(0, 3, transmission.shape)
    counts[:, 40] = OFFSET[40]
    return np.clip(np.round(counts), 0, 65_535).astype(np.uint16)


def a_view(belt_axis: str = "columns") -> tuple[Frame, object]:
    """Left half water, right half steel, along the belt; and the calibration."""
    detector = calibrate(
        lines(np.zeros((64, 96, 2))),
        lines(np.ones((64, 96, 2))),
        Origin("s", 0, 0, belt_axis, DUAL),  # type: ignore[arg-type]
    )
    matter = np.empty((128, 96, 2))
    matter[:64], matter[64:] = model.transmission({"water": 4.0}), model.transmission({"Fe": 4.0})
    counts = lines(matter)
    pixels = counts if belt_axis == "rows" else counts.swapaxes(0, 1)
    frame = Frame(
        view=0,
        channels=DUAL,
        pixels=np.ascontiguousarray(pixels),
        full_scale=40_000.0,
        opaque_below=1e-3,
    )
    return frame, optics(detector, model.wedges(), 1e-3)


def spec(*channels: FrontEndChannel, size: tuple[int, int] = (24, 32)) -> ModelInput:
    return ModelInput(name="image", channels=channels, size=size, fit="stretch")


@pytest.mark.parametrize("belt_axis", ["rows", "columns"])
def test_averaging_lines_first_gives_the_same(belt_axis: str) -> None:
    """The short way from counts to a small picture is the long way's result, to float precision."""
    frame, view = a_view(belt_axis)
    detector = view.detector  # type: ignore[attr-defined]
    for size in ((30, 41), frame.pixels.shape[:2], (1, 1)):
        full = apply(frame.pixels, detector)
        expected = [cv2.resize(p, size[::-1], interpolation=cv2.INTER_AREA) for p in full]
        np.testing.assert_allclose(apply_reduced(frame.pixels, detector, size), expected, atol=2e-5)


@pytest.mark.parametrize("belt_axis", ["rows", "columns"])
def test_a_model_gets_z_and_mass_of_a_calibrated_view(belt_axis: str) -> None:
    """Water and steel by number and by weight, from raw counts of a detector with uneven pixels."""
    frame, view = a_view(belt_axis)
    tensor, _ = model_input(frame, spec("effective_z", "areal_density"), view)  # type: ignore[arg-type]
    z, density = tensor if belt_axis == "columns" else tensor.swapaxes(1, 2)
    half = z.shape[1] // 2
    assert z[:, : half - 1].mean() == pytest.approx(7.42, abs=0.5)
    assert z[:, half + 1 :].mean() == pytest.approx(26, abs=1.0)
    assert density[:, : half - 1].mean() == pytest.approx(4.0, rel=0.03)
    assert density[:, half + 1 :].mean() == pytest.approx(4.0, rel=0.05)


def test_a_colour_model_runs_on_a_calibrated_dual_energy_view() -> None:
    """Red, green and blue come from the wedges: water is orange, steel blue."""
    frame, view = a_view()
    tensor, _ = model_input(frame, spec("red", "green", "blue"), view)  # type: ignore[arg-type]
    red, _, blue = tensor
    assert np.all(red[:, :14] > blue[:, :14] + 0.2)
    assert np.all(blue[:, 18:] > red[:, 18:] + 0.2)
    assert 0 <= tensor.min() <= tensor.max() <= 1


def test_without_wedges_nothing_is_said_of_materials() -> None:
    """The channel is missing, by name, and asking for it anyway is an error."""
    frame, _ = a_view()
    for wanted in ("effective_z", "areal_density"):
        reason = missing_channel(DUAL, spec(wanted))
        assert reason is not None
        assert f"needs {wanted}, made from low+high and the scanner's wedges" in reason
        with pytest.raises(FrameError):
            model_input(frame, spec(wanted))
    assert missing_channel(("high",), spec("effective_z"), optics(None, model.wedges(), noise=NOISE))
    assert missing_channel(DUAL, spec("red"))
    assert missing_channel(DUAL, spec("red"), optics(None, model.wedges(), noise=NOISE)) is None


def test_material_needs_no_offset_and_gain_of_ours() -> None:
    """A scanner that corrects its own counts, or sends transmission, needs wedges and its noise only."""
    view = optics(None, model.wedges(), 1e-3, NOISE)
    assert view.detector is None
    low, high = model.transmission({"Al": 3.0})
    pixels = np.moveaxis(model.planes(low, high), 0, 2)
    for scaled, full in ((pixels, 1.0), ((pixels * 50_000).astype(np.uint16), 50_000.0)):
        frame = Frame(
            view=0,
            channels=DUAL,
            pixels=np.ascontiguousarray(scaled),
            full_scale=full,
            opaque_below=1e-3,
        )
        tensor, _ = model_input(frame, spec("effective_z"), view)
        assert tensor.mean() == pytest.approx(13.0, abs=0.4)
    assert optics(None).materials is None
    assert optics(None, model.wedges()).materials is None


def test_a_frame_that_does_not_fit_its_calibration_is_named() -> None:
    """Another number of detector pixels, at full and at reduced size."""
    frame, view = a_view()
    wrong = Frame(
        view=3,
        channels=DUAL,
        pixels=np.ascontiguousarray(frame.pixels[:90]),
        full_scale=40_000.0,
        opaque_below=1e-3,
    )
    for call in (
        lambda: planes_of(wrong, view),  # type: ignore[arg-type]
        lambda: model_input(wrong, spec("opacity"), view),  # type: ignore[arg-type]
    ):
        with pytest.raises(FrameError, match="view 3: WRONG_WIDTH: the frame has 90") as caught:
            call()
        assert caught.value.reason is Reason.PROFILE_MISMATCH

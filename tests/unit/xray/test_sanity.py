"""Frames that are no scan are told by name; frames of a working scanner are not."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.records import Frame, Reason
from nii_edge.xray import sanity

RNG = np.random.default_rng(3)
GOOD = RNG.normal(40_000, 150, (64, 96, 2)).astype(np.uint16)


def frame(pixels: np.ndarray, view: int = 0, channels: tuple[str, ...] = ("low", "high")) -> Frame:
    return Frame(
        view=view,
        channels=channels,  # type: ignore[arg-type]
        pixels=pixels,
        full_scale=1.0 if pixels.dtype == np.float32 else 50_000.0,
        opaque_below=1e-3,
    )


def test_a_noisy_view_is_a_view() -> None:
    """Nothing is said against what a working scanner sends, a wholly opaque carton included."""
    opaque = RNG.integers(0, 12, (64, 96, 2)).astype(np.uint16)
    assert sanity.problem(frame(GOOD)) is None
    assert sanity.problem(frame(opaque)) is None
    assert sanity.problem(frame((GOOD / 50_000).astype(np.float32))) is None


def _half_saturated() -> np.ndarray:
    pixels = GOOD.copy()
    pixels[:32] = 65_535
    return pixels


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros_like(GOOD), Reason.IMAGE_QUALITY),
        (np.full_like(GOOD, 40_000), Reason.IMAGE_QUALITY),
        (np.full_like(GOOD, 65_535), Reason.IMAGE_QUALITY),
        (np.repeat(GOOD[:1], 64, axis=0), Reason.IMAGE_QUALITY),
        (np.repeat(GOOD[:, :1], 96, axis=1), Reason.IMAGE_QUALITY),
        (_half_saturated(), Reason.IMAGE_QUALITY),
        (GOOD[:1, :1], Reason.IMAGE_QUALITY),
        (GOOD[:, :1], Reason.IMAGE_QUALITY),
        (np.full(GOOD.shape, np.nan, np.float32), Reason.NOT_FINITE),
        (GOOD.astype(np.float32), Reason.PROFILE_MISMATCH),
    ],
)
def test_blank_stuck_saturated_and_senseless_frames_are_named(pixels: np.ndarray, reason: Reason) -> None:
    """The scan cannot be judged, and the view is named."""
    for number in (0, 3):
        found = sanity.problem(frame(pixels, number))
        assert found is not None
        assert found[0] is reason
        assert f"view {number}" in found[1]


def test_a_white_display_picture_is_an_empty_belt() -> None:
    """Pictures for the eye may well be constant: white is white."""
    white = np.full((48, 64, 3), 255, np.uint8)
    assert sanity.problem(frame(white, channels=("red", "green", "blue"))) is None

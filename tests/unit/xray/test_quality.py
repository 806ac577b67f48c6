"""Frames that are no scan are told by name; frames of a working scanner are not."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.records import Frame, Reason, Scan, ScanId, ScanType
from nii_edge.xray import quality

RNG = np.random.default_rng(3)
GOOD = RNG.normal(40_000, 150, (64, 96, 2)).astype(np.uint16)
OTHER = RNG.normal(40_000, 150, (64, 96, 2)).astype(np.uint16)


def scan(*views: np.ndarray, channels: tuple[str, ...] = ("low", "high")) -> Scan:
    frames = tuple(
        Frame(
            view=i,
            channels=channels,  # type: ignore[arg-type]
            pixels=pixels,
            full_scale=1.0 if pixels.dtype == np.float32 else 50_000.0,
            opaque_below=1e-3,
        )
        for i, pixels in enumerate(views)
    )
    scan_id = ScanId(edge="e", scanner="s", epoch=1, seq=1)
    return Scan(id=scan_id, scan_type=ScanType.OPERATIONAL, frames=frames)


def test_two_noisy_views_are_a_scan() -> None:
    """Nothing is said against what a working scanner sends, a wholly opaque carton included."""
    opaque = RNG.integers(0, 12, (64, 96, 2)).astype(np.uint16)
    assert quality.problem(scan(GOOD, OTHER)) is None
    assert quality.problem(scan(opaque, OTHER)) is None
    assert quality.problem(scan((GOOD / 50_000).astype(np.float32), OTHER)) is None


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
    """Whichever view it is, the scan cannot be judged, and the view is named."""
    for views, number in (((pixels, OTHER), 0), ((OTHER, pixels), 1)):
        found = quality.problem(scan(*views))
        assert found is not None
        assert found[0] is reason
        assert f"view {number}" in found[1]


def test_one_view_sent_as_two_is_noticed() -> None:
    """Two views of one carton are never equal to the last count."""
    found = quality.problem(scan(GOOD, GOOD.copy()))
    assert found == (Reason.IMAGE_QUALITY, "views 0 and 1 are the same picture")


def test_a_white_display_picture_is_an_empty_belt() -> None:
    """Pictures for the eye may well be constant: white is white."""
    white = np.full((48, 64, 3), 255, np.uint8)
    assert quality.problem(scan(white, channels=("red", "green", "blue"))) is None

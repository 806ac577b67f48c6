"""What a person sees: hues by material, darkness by thickness, and what the stripping buttons take away."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
import polychromatic as model
import pytest

from nii_edge.errors import FrameError
from nii_edge.records import Frame
from nii_edge.xray.calibrate import Noise
from nii_edge.xray.colour import Look, colour_table
from nii_edge.xray.optics import optics
from nii_edge.xray.render import grey, high_penetration, inverse, picture, pseudo_colour

VIEW = optics(None, model.wedges(), 1e-3, Noise((1e-4, 1e-4), (0.005, 0.005)))
assert VIEW.materials is not None


def shown(masses: dict[str, float], look: Look = "colour") -> tuple[int, int, int]:
    """The colour (red, green, blue) of a slab of so many g/cm2 of each material."""
    assert VIEW.materials is not None
    painted = pseudo_colour(model.planes(*model.transmission(masses)), colour_table(VIEW.materials, look))
    assert painted.dtype == np.uint8
    assert painted.shape == (32, 32, 3)
    blue, green, red = (int(value) for value in painted[16, 16])
    return red, green, blue


def hue(rgb: tuple[int, int, int]) -> float:
    """Degrees: red 0, green 120, blue 240."""
    return 360 * colorsys.rgb_to_hsv(*(value / 255 for value in rgb))[0]


def saturation(rgb: tuple[int, int, int]) -> float:
    return colorsys.rgb_to_hsv(*(value / 255 for value in rgb))[1]


@pytest.mark.parametrize(
    ("name", "masses", "hues"),
    [
        ("PE", (1, 4, 10), (20, 45)),
        ("water", (1, 4, 10), (20, 45)),
        ("Al", (1, 4, 10), (75, 165)),
        ("glass", (1, 4, 10), (75, 165)),
        ("Fe", (1, 4, 10), (205, 250)),
    ],
)
def test_hue_is_by_material_at_any_thickness(
    name: str, masses: tuple[float, ...], hues: tuple[float, float]
) -> None:
    """Organic orange, inorganic green, metal blue; more of it is darker."""
    colours = [shown({name: grams}) for grams in masses]
    assert all(hues[0] < hue(colour) < hues[1] for colour in colours), [hue(c) for c in colours]
    assert sum(colours[0]) > sum(colours[1]) > sum(colours[2])


def test_air_is_white_and_the_impenetrable_black() -> None:
    """Nothing in the way, and nothing getting through."""
    assert min(shown({})) > 250
    assert shown({"Fe": 60}) == (0, 0, 0)


def test_stripping_takes_away_its_own_material_only() -> None:
    """What is stripped is a pale shadow without colour; the rest is as it was; black stays."""
    organic, metal = {"water": 4.0}, {"Fe": 4.0}
    assert saturation(shown(organic, "organic_stripped")) < 0.02
    assert min(shown(organic, "organic_stripped")) > 150
    assert shown(metal, "organic_stripped") == shown(metal)
    assert saturation(shown(metal, "metal_stripped")) < 0.02
    assert shown(organic, "metal_stripped") == shown(organic)
    for look in ("organic_stripped", "metal_stripped"):
        assert shown({"Fe": 60}, look) == (0, 0, 0)  # type: ignore[arg-type]


def test_grey_falls_with_thickness_and_inverse_rises() -> None:
    """Grey from white to black, its negative the other way; high penetration keeps thin matter white."""
    high: npt.NDArray[np.float32] = np.geomspace(1, 1e-3, 64).astype(np.float32)[None, :]
    levels = grey(high)[0, :, 0].astype(int)
    assert levels[0] == 255
    assert levels[-1] == 0
    assert np.all(np.diff(levels) < 0)
    np.testing.assert_array_equal(inverse(high), 255 - grey(high))
    deep = high_penetration(high)[0, :, 0].astype(int)
    assert np.all(deep >= levels)
    assert np.all(deep[:12] == 255)
    assert np.all(np.diff(deep[16:]) < 0)


def test_every_value_has_a_colour() -> None:
    """Below zero, zero, above air: no exception, and black only where nothing gets through."""
    assert VIEW.colours is not None
    values = np.array([-1, 0, 1e-9, 1e-3, 0.1, 1, 1.2, 50], np.float32)
    low, high = np.meshgrid(values, values)
    painted = pseudo_colour(np.stack([low, high]), VIEW.colours)
    black = painted.max(axis=2) == 0
    np.testing.assert_array_equal(black[high <= 0.9e-3], True)
    np.testing.assert_array_equal(black[high > 0.05], False)


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 4), (3, 700)])
def test_a_calibrated_frame_is_shown_in_colour(shape: tuple[int, int]) -> None:
    """Of any shape; without calibration it is grey; what does not fit is refused."""
    pixels = (np.moveaxis(model.planes(*model.transmission({"Fe": 4.0}), shape), 0, 2) * 50_000).astype(
        np.uint16
    )
    frame = Frame(view=0, channels=("low", "high"), pixels=pixels, full_scale=50_000.0, opaque_below=1e-3)
    coloured = picture(frame, 350, VIEW)
    assert coloured.shape == (
        max(1, round(shape[0] / 2)) if shape[1] > 350 else shape[0],
        min(shape[1], 350),
        3,
    )
    assert coloured[0, 0, 0] > coloured[0, 0, 2] + 50
    plain = picture(frame, 350)
    assert np.ptp(plain[0, 0]) == 0


def test_display_pictures_have_no_transmission() -> None:
    """They are shown as they are, calibrated or not."""
    from nii_edge.xray.optics import planes_of

    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 200
    frame = Frame(
        view=1, channels=("red", "green", "blue"), pixels=pixels, full_scale=255.0, opaque_below=0.17
    )
    assert tuple(picture(frame, 100, VIEW)[0, 0]) == (0, 0, 200)
    with pytest.raises(FrameError, match="view 1: a display picture"):
        planes_of(frame)

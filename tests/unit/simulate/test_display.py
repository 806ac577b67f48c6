"""Makers' displays: colours as on real ones, every picture another, and nothing that tells a label."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.simulate.display import TRAINING, Display, draw_display, render
from nii_edge.simulate.families import FAMILIES, HELD_OUT
from nii_edge.simulate.overlays import draw_overlays

WATER, ALUMINIUM, STEEL = 7.4, 13.0, 26.0


def slab(x: float, z: float, shape: tuple[int, int] = (48, 64)) -> npt.NDArray[np.float32]:
    """Planes of one thickness, in -ln T_high, and one Z."""
    return np.stack([np.full(shape, x, np.float32), np.full(shape, z, np.float32)])


def displays(family: str, count: int = 12, **changes: object) -> list[Display]:
    """Several of a family, without noise and overlays."""
    rng = np.random.default_rng(5)
    quiet = {"speckle": 0.0, "grain": 0.0, "streaks": 0.0, "cursor": False, "frames": 0, **changes}
    return [draw_display(rng, family)._replace(**quiet) for _ in range(count)]  # type: ignore[arg-type]


def colour(display: Display, x: float, z: float) -> tuple[float, float, float]:
    """Red, green, blue in 0-1 in the middle of a slab."""
    picture = render(slab(x, z), display, np.random.default_rng(0))
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    return tuple(float(value) / 255 for value in middle)  # type: ignore[return-value]


def hue(rgb: tuple[float, float, float]) -> float:
    return 360 * colorsys.rgb_to_hsv(*rgb)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_organics_are_warm_and_steel_is_cold(family: str) -> None:
    """Water from orange to olive; 3 mm of steel from teal to blue; more of either is darker."""
    for display in displays(family):
        assert 5 < hue(colour(display, 1.0, WATER)) < 70
        assert 60 < hue(colour(display, 0.7, ALUMINIUM)) < 175
        assert 140 < hue(colour(display, 1.2, STEEL)) < 260
        for z in (WATER, ALUMINIUM, STEEL):
            brightness = [sum(colour(display, x, z)) for x in (0.05, 0.3, 0.8, 1.25)]
            assert all(a > b - 0.02 for a, b in itertools.pairwise(brightness))


@pytest.mark.parametrize("family", FAMILIES)
def test_air_is_the_background(family: str) -> None:
    """Also where noise is brighter than air; whatever Z it pretends to have."""
    for display in displays(family, 4):
        for x, z in ((0.0, 7.0), (-0.05, 26.0)):
            expected = np.array(display.background) ** display.gamma
            assert np.abs(np.array(colour(display, x, z)) - expected).max() < 0.03


@pytest.mark.parametrize("family", FAMILIES)
def test_hue_of_steel_drifts_with_thickness(family: str) -> None:
    """Z alone does not make the colour: thin steel is greener than medium steel on most displays."""
    drawn = displays(family, 20)
    drift = [hue(colour(d, d.thick_x * 0.8, STEEL)) - hue(colour(d, 0.15, STEEL)) for d in drawn]
    assert np.median(drift) > 5


def test_thick_metal_is_a_plateau_of_one_colour_within_dark_rims() -> None:
    """On lilac displays pure blue; its rim is darker than its middle."""
    bar = slab(0.0, STEEL, (80, 80))
    bar[0, 20:60, 20:60] = 5.0
    for display in displays("lilac", 6, resample=(1.0, 1.0), jpeg=95):
        picture = render(bar, display, np.random.default_rng(0)).astype(int)
        red, green, blue = picture[40, 40]
        assert blue > 120
        assert red + green < 60
        assert picture[20:23, 30:50].sum(axis=2).mean() < picture[38:42, 38:42].sum(axis=2).mean() - 20


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
)
def test_every_draw_renders(family: str, seed: int, height: int, width: int) -> None:
    """Any seed and size, values far out of range included; its size is the scan's times `resample`."""
    rng = np.random.default_rng(seed)
    display = draw_display(rng, family)
    planes = np.stack([rng.normal(1, 3, (height, width)), rng.normal(13, 30, (height, width))])
    picture = render(planes.astype(np.float32), display, rng)
    assert picture.dtype == np.uint8
    down, across = display.resample
    assert picture.shape == (max(1, round(height * down)), max(1, round(width * across)), 3)
    assert 0.8 <= min(down, across) <= max(down, across) <= 1.25
    assert 50 <= display.jpeg <= 95


def test_pictures_are_reproducible_and_differ() -> None:
    """The same seed gives the same picture, another seed another display."""
    planes = slab(0.6, ALUMINIUM)

    def one(seed: int) -> tuple[Display, npt.NDArray[np.uint8]]:
        rng = np.random.default_rng(seed)
        display = draw_display(rng, "white")
        return display, render(planes, display, rng)

    assert one(1)[0] == one(1)[0]
    np.testing.assert_array_equal(one(1)[1], one(1)[1])
    assert one(1)[0] != one(2)[0]


def test_light_areas_are_speckled_in_hue() -> None:
    """Where there is little matter hue is noise; where there is much it is not."""
    (display,) = displays("white", 1, speckle=1.0, speckle_px=0.8, jpeg=95, resample=(1.0, 1.0))

    def spread(x: float) -> float:
        picture = render(slab(x, WATER), display, np.random.default_rng(0)).astype(float)
        return float((picture[..., 0] - picture[..., 2]).std() / (255 - picture.mean()))

    assert spread(0.1) > 2 * spread(2.0)


def test_overlays_are_rare_and_tell_nothing() -> None:
    """A few per cent of displays have any; their place depends on the generator, not on the matter."""
    rng = np.random.default_rng(8)
    drawn = [draw_display(rng, "lilac") for _ in range(2_000)]
    assert 0.02 < np.mean([display.cursor for display in drawn]) < 0.09
    assert 0.02 < np.mean([display.frames > 0 for display in drawn]) < 0.12

    def touched(ground: int) -> npt.NDArray[np.bool_]:
        picture = np.full((200, 300, 3), ground, np.uint8)
        draw_overlays(picture, np.random.default_rng(3), cursor=True, frames=2)
        return np.asarray((picture != ground).any(axis=2))

    assert touched(201).any()
    assert np.mean(touched(201) != touched(77)) < 1e-3  # blended rims may meet the ground's own level


def test_families_for_tests_are_held_out() -> None:
    """At least two, and none of them to be learned from."""
    assert len(HELD_OUT) >= 2
    assert set(TRAINING).isdisjoint(HELD_OUT)
    assert set(TRAINING) | set(HELD_OUT) == set(FAMILIES)

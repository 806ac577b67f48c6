"""A carton's box, mass and materials, against what the simulator put in it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from cartons import consignment, read

from nii_edge.config import ViewGeometry
from nii_edge.errors import FrameError
from nii_edge.xray.carton import longest, measure, missing
from nii_edge.xray.geometry import Box, Rays, chords, fit_box, rays_of
from nii_edge.xray.texture import TEXTURE, texture

FAN = ViewGeometry(
    source_mm=(350.0, -420.0), detector_mm=((360.0, 640.0), (-480.0, 640.0), (-480.0, 0.0)), pitch_mm=1.8
)
SIDE = ViewGeometry(source_mm=(-900.0, 260.0), detector_mm=((440.0, -340.0), (440.0, 640.0)), pitch_mm=1.5)
CURTAIN = ViewGeometry(source_mm=None, detector_mm=((-325.0, 600.0), (325.0, 600.0)), pitch_mm=1.0)
WALL = ViewGeometry(source_mm=None, detector_mm=((420.0, -5.0), (420.0, 485.0)), pitch_mm=1.0)

PIXELS = {FAN: 816, SIDE: 648, CURTAIN: 648, WALL: 488}


def shadow(rays: Rays, box: Box) -> tuple[int, int]:
    """First and last pixel whose ray meets the box."""
    hit = np.flatnonzero(chords(rays, box)[0] > 0)
    return int(hit[0]), int(hit[-1])


@pytest.mark.parametrize("views", [(FAN, SIDE), (CURTAIN, WALL), (FAN, WALL)])
@pytest.mark.parametrize("box", [Box(-150, 160, 200, 0), Box(-40, 90, 60, 0), Box(-240, 230, 330, 0)])
def test_two_shadows_settle_the_box(views: tuple[ViewGeometry, ...], box: Box) -> None:
    """From where the shadow begins and ends in each view the box comes back within two pixels."""
    rays = [rays_of(view, PIXELS[view]) for view in views]
    found = fit_box([(each, *shadow(each, box)) for each in rays])
    assert np.allclose(found[:3], box[:3], atol=4.0)
    assert found.residual < 2.0


def test_a_box_that_no_view_sees_is_none() -> None:
    """Nothing seen is a box of no size, not an error."""
    assert fit_box([])[:3] == (0.0, 0.0, 0.0)


def test_area_of_a_box_from_its_chords() -> None:
    """Chord lengths times each ray's width add up to the box's cross-section: so does mass."""
    box = Box(-150, 160, 200, 0)
    for view in (FAN, SIDE):
        rays = rays_of(view, PIXELS[view])
        length, distance = chords(rays, box)
        assert float((length * distance * rays.width).sum()) == pytest.approx(310 * 200, rel=0.02)


@pytest.mark.parametrize(
    "change", [{"detector_mm": [[0, 0]]}, {"detector_mm": [[0, 0], [0, 0]]}, {"source_mm": [440, -340]}]
)
def test_geometry_that_cannot_be(change: dict[str, object]) -> None:
    """A detector of no length, or a source inside it, is refused."""
    tree = {**msgspec.to_builtins(SIDE), **change}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tree, ViewGeometry)


def test_box_and_mass_of_simulated_cartons() -> None:
    """Size within 2 cm (cartons stand askew), mass within 12 %, on a scanner whose tube has drifted."""
    made = consignment()
    assert len(made.measures) == 3
    for number, found in enumerate(made.measures):
        truth = made.made.cartons[number].truth
        grams = sum(thing.mass for thing in truth)
        boxes = np.array([thing.box for thing in truth])
        size = boxes[:, 1].max(axis=0) - boxes[:, 0].min(axis=0)
        assert found.length == pytest.approx(size[0], abs=10)
        assert found.width == pytest.approx(size[1], abs=60)
        assert found.height == pytest.approx(size[2], abs=10)
        assert found.grams == pytest.approx(grams, rel=0.12)
        assert found.texture.shape == (2, len(TEXTURE))
        assert np.isfinite(found.texture).all()
        assert 0.99 < found.organic + found.inorganic + found.metal < 1.01


def test_an_empty_belt_is_no_carton() -> None:
    """Frames of nothing but air give nothing, not a carton of no mass."""
    made = consignment()
    frames = [
        msgspec.structs.replace(frame, pixels=np.repeat(frame.pixels[:, :1], 300, axis=1))
        for frame in made.frames[0]
    ]
    assert measure(made.lane.profile, made.lane.optics, frames, read()) is None


def test_what_is_missing_is_said() -> None:
    """Without geometry, without wedges, or from a colour picture nothing is measured."""
    made = consignment()
    profile, optics = made.lane
    frames = made.frames[0]
    bare = msgspec.structs.replace(profile, geometry=None)
    assert "geometry" in (missing(bare, optics, frames) or "")
    assert "wedge" in (missing(profile, [each._replace(materials=None) for each in optics], frames) or "")
    grey = msgspec.structs.replace(frames[0], channels=("grey",))
    assert "grey" in (missing(profile, optics, [grey]) or "")
    assert missing(profile, optics, frames) is None
    with pytest.raises(FrameError, match="geometry"):
        measure(bare, optics, frames, read())


def test_longest_run() -> None:
    """The run with the most in it, small holes bridged; None where nothing is long enough."""
    profile = np.zeros(100, np.float32)
    profile[10:30] = 1
    profile[34:50] = 1
    profile[80:99] = 0.5
    assert longest(profile, 0.1) == (10, 49)
    assert longest(profile * 0, 0.1) is None
    assert longest(profile[:15], 0.1) is None


@pytest.mark.parametrize("shape", [(8, 8), (9, 200), (130, 170)])
def test_texture_of_anything_is_finite(shape: tuple[int, int]) -> None:
    """An even map, an empty one, and noise: never NaN, always of one length."""
    rng = np.random.default_rng(1)
    for mass in (np.ones(shape), np.zeros(shape), rng.normal(2, 1, shape)):
        plane = mass.astype(np.float32)
        found = texture(plane, np.full(shape, 7, np.float32), np.zeros(shape, np.float32))
        assert found.shape == (len(TEXTURE),)
        assert np.isfinite(found).all()


def test_repeats_are_seen() -> None:
    """Goods that stand in rows of 20 pixels repeat at that lag, noise does not."""
    x = np.arange(160)
    rows = np.tile(1 + 0.5 * np.sin(2 * np.pi * x / 20), (120, 1)).astype(np.float32)
    z, none = np.full(rows.shape, 7, np.float32), np.zeros(rows.shape, np.float32)
    found = texture(rows, z, none)
    assert found[TEXTURE.index("lag_along")] == pytest.approx(20, abs=1)
    assert found[TEXTURE.index("repeat_along")] > 0.9
    noise = np.random.default_rng(2).normal(1, 0.5, rows.shape).astype(np.float32)
    assert texture(noise, z, none)[TEXTURE.index("repeat_along")] < 0.5

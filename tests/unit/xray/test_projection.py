"""Threats in pictures: transmissions multiply, noise grows as it must, places are plausible."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nii_edge.errors import FrameError
from nii_edge.records import Box, Channel, Frame, Reason
from nii_edge.xray.calibrate import Origin, calibrate
from nii_edge.xray.optics import Optics, planes_of
from nii_edge.xray.projection import (
    AIR,
    MIN_VISIBILITY,
    SEEN,
    Noise,
    Placement,
    Pose,
    Threat,
    footprint,
    laid_out,
    measure_noise,
    place,
    project,
    unfit,
    visibility,
)

AIR_COUNTS = 50_000.0
QUANTA = 8_000.0
"""Photons of a pixel in air."""
FLOOR = 9.0
PITCH = (0.8, 0.8)
UPRIGHT = Pose(0.0, False, PITCH)


def threat(low: float, high: float, size: tuple[int, int] = (24, 40), pitch_mm: float = 0.8) -> Threat:
    """A plate that lets `low` and `high` of the two energies through."""
    plate = np.empty((*size, 2), np.float32)
    plate[:] = low, high
    return Threat("plate", "block", plate, pitch_mm, "made by the test")


def scanned(transmission: np.ndarray, seed: int, dtype: str = "uint16") -> Frame:
    """A frame of (height, width, 2) as a scanner with Poisson and electronic noise would take it."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(transmission * QUANTA) * (AIR_COUNTS / QUANTA)
    counts = counts + rng.normal(0, FLOOR, counts.shape)
    floats = dtype == "float32"
    pixels = (counts / AIR_COUNTS).astype(np.float32) if floats else counts.clip(0, 65_535).astype(np.uint16)
    return frame(pixels)


def frame(pixels: np.ndarray, channels: tuple[Channel, ...] = ("low", "high")) -> Frame:
    full = 1.0 if pixels.dtype == np.float32 else AIR_COUNTS
    return Frame(view=1, channels=channels, pixels=pixels, full_scale=full, opaque_below=0.001)


def carton(seed: int, goods: float = 0.5, shape: tuple[int, int] = (260, 400)) -> Frame:
    """Air with a carton in rows 40-220, columns 60-340: goods all over, but air at the right end and an
    impenetrable plate at the left one."""
    t = np.ones((*shape, 2))
    t[40:220, 60:340] = 0.967
    t[44:216, 64:280] = goods
    t[44:216, 64:110] = 1e-5
    return scanned(t, seed)


def at(x: int, y: int, like: Threat, pose: Pose = UPRIGHT) -> Placement:
    height, width = laid_out(like, pose).shape[:2]
    return Placement(pose, x, y, width, height, 0.0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from(["uint16", "float32"]), turn=st.floats(0, 360))
def test_nothing_changes_where_the_threat_lets_all_through(seed: int, dtype: str, turn: float) -> None:
    """Pixels outside of it, and inside where its transmission is 1, keep every bit; the original too."""
    picture = scanned(np.full((90, 120, 2), 0.4), seed, dtype)
    before = picture.pixels.copy()
    plate = threat(0.3, 0.5).transmission.copy()
    plate[8:16, 10:30] = 1.0
    ring = Threat("ring", "block", plate, 0.8, "test")
    pose = Pose(turn, False, PITCH)
    there = laid_out(ring, pose)
    projected = project(picture, ring, at(30, 20, ring, pose), np.random.default_rng(seed)).pixels
    through = np.ones((90, 120, 2), np.float32)
    through[20 : 20 + there.shape[0], 30 : 30 + there.shape[1]] = there
    assert (through == 1).mean() > 0.5
    assert np.array_equal(projected[through == 1], before[through == 1])
    assert np.array_equal(picture.pixels, before)
    assert (projected != before).any()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_each_energy_is_multiplied_by_its_own_transmission(dtype: str) -> None:
    """The mean of each channel falls by that channel's transmission, and to none by the other's."""
    picture = scanned(np.full((300, 300, 2), 0.6), 1, dtype)
    plate = threat(0.2, 0.7, (200, 200))
    projected = project(picture, plate, at(50, 50, plate), np.random.default_rng(2)).pixels
    inside = (slice(50, 250), slice(50, 250))
    ratio = projected[inside].mean((0, 1)) / picture.pixels[inside].mean((0, 1))
    assert ratio == pytest.approx([0.2, 0.7], abs=1e-3)
    one = frame(np.ascontiguousarray(picture.pixels[:, :, 1:]), ("high",))
    alone = project(one, plate, at(50, 50, plate), np.random.default_rng(2)).pixels
    assert alone[inside].mean() / one.pixels[inside].mean() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("through", [0.9, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_noise_behind_a_threat_is_that_of_a_scan_with_it(through: float, dtype: str) -> None:
    """Mean and variance of a projection are those of a scan of carton and threat together, and its noise in
    proportion is more than before."""
    shape = (400, 400, 2)
    empty = scanned(np.full(shape, 0.5), 3, dtype)
    real = scanned(np.full(shape, 0.5 * through), 4, dtype).pixels.astype(float)
    plate = threat(through, through, (360, 360))
    projected = project(empty, plate, at(20, 20, plate), np.random.default_rng(5)).pixels[20:380, 20:380]
    made = projected.astype(float)
    assert made.mean() == pytest.approx(real.mean(), rel=5e-3)
    assert made.std() == pytest.approx(real.std(), rel=0.04)
    before = empty.pixels.astype(float)
    assert made.std() / made.mean() > before.std() / before.mean()
    naive = before.std() * through
    assert made.std() > 1.02 * naive, "multiplying alone would have left too little noise"


def test_nothing_gets_brighter_beyond_noise() -> None:
    """No pixel rises by more than five standard deviations of what is added to it."""
    picture = carton(6)
    rng = np.random.default_rng(7)
    plate = threat(0.3, 0.6)
    where = place(picture, plate, rng, PITCH)
    assert where is not None
    projected = project(picture, plate, where, rng).pixels.astype(float)
    rise = projected - picture.pixels
    sigma = np.sqrt(AIR_COUNTS / QUANTA * picture.pixels * 0.25 + FLOOR**2)
    assert (rise < 5.5 * sigma + 1).all()
    assert rise.min() < -1_000


@given(through=st.floats(0.2, 1), floor=st.sampled_from([9.0, 40.0]))
@example(through=0.417036883931365, floor=9.0)
@settings(deadline=None, max_examples=20)
def test_the_noise_is_measured_from_the_picture(through: float, floor: float) -> None:
    """Gain and floor of a picture that goes from opaque to bright come out as they were put in."""
    rng = np.random.default_rng(8)
    t = np.clip(np.linspace(-0.1, through, 600), 0, 1)[:, None, None] * np.ones((1, 500, 2))
    counts = rng.poisson(t * QUANTA) * (AIR_COUNTS / QUANTA) + rng.normal(0, floor, t.shape)
    noise = measure_noise(
        msgspec.structs.replace(frame((counts / AIR_COUNTS).astype(np.float32)), full_scale=1.0)
    )
    assert noise.gain * AIR_COUNTS == pytest.approx([AIR_COUNTS / QUANTA] * 2, rel=0.12)
    assert np.sqrt(noise.floor) * AIR_COUNTS == pytest.approx([floor] * 2, rel=0.2)


def test_noise_that_a_picture_does_not_show_is_not_made_up() -> None:
    """A bright picture says nothing of the electronics' noise: only rounding is assumed."""
    assert measure_noise(scanned(np.full((200, 200, 2), 0.5), 1)).floor == pytest.approx([1 / 12] * 2)


def test_edges_do_not_pass_for_noise() -> None:
    """A picture full of walls and things gives the gain of a flat one."""
    rng = np.random.default_rng(9)
    t = np.ones((400, 400, 2))
    for _ in range(80):
        y, x = rng.integers(0, 360, 2)
        t[y : y + 30, x : x + 40] *= rng.uniform(0.4, 0.95)
    noise = measure_noise(scanned(t, 10))
    assert noise.gain == pytest.approx([AIR_COUNTS / QUANTA] * 2, rel=0.1)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32), low=st.floats(0.0, 0.7), size=st.sampled_from([(12, 20), (40, 60), (8, 90)])
)
def test_a_place_is_inside_the_carton_on_goods_and_seen(seed: int, low: float, size: tuple[int, int]) -> None:
    """Never in air, at the carton's empty end, or mostly on what is impenetrable; always visible."""
    picture = carton(seed % 7)
    plate = threat(low, (low + 1) / 2, size)
    where = place(picture, plate, np.random.default_rng(seed), PITCH)
    assert where is not None
    assert where.visibility >= MIN_VISIBILITY
    there = footprint(laid_out(plate, where.pose))
    assert there.shape == (where.height, where.width)
    rows, columns = np.nonzero(there)
    rows, columns = rows + where.y, columns + where.x
    assert rows.min() >= 40
    assert rows.max() < 220
    assert columns.min() >= 60
    assert columns.max() < 340
    assert (columns < 280).mean() > 0.8, "on goods"
    assert (columns < 108).mean() < 0.35, "where something can be seen"
    box = where.box(1)
    assert (box.x0, box.y0) == (where.x, where.y)
    assert (box.x1 - box.x0, box.y1 - box.y0) == (where.width, where.height)


@pytest.mark.parametrize("belt_axis", ["rows", "columns"])
def test_raw_counts_are_projected_into_by_their_calibration(belt_axis: Literal["rows", "columns"]) -> None:
    """Pixels with offsets and gains of their own: the calibrated transmission is multiplied, the place is
    where the carton is, and the noise is that of the photons, not the pattern of the detector."""
    rng = np.random.default_rng(11)
    t = np.ones((300, 240, 2))  # lines, detector pixels
    t[60:250, 40:200] = 0.5
    offset, gains = rng.normal(900, 80, (240, 2)), rng.normal(1, 0.05, (240, 2))

    def scan(transmission: np.ndarray) -> np.ndarray:
        quanta = rng.poisson(np.broadcast_to(transmission, (300, 240, 2)) * QUANTA) / QUANTA
        counts = offset + AIR_COUNTS * gains * quanta + rng.normal(0, FLOOR, quanta.shape)
        return counts.clip(0, 65_535).round().astype(np.uint16)

    origin = Origin("s", 0, 1, belt_axis, ("low", "high"))
    view = Optics(calibrate(scan(np.array(0.0)), scan(np.array(1.0)), origin))
    lines = scan(t)
    pixels = np.ascontiguousarray(lines if belt_axis == "rows" else lines.swapaxes(0, 1))
    raw = frame(pixels)
    noise = measure_noise(raw, view)
    assert noise.gain == pytest.approx([AIR_COUNTS / QUANTA] * 2, rel=0.1)
    plate = threat(0.25, 0.6)
    where = place(raw, plate, rng, PITCH, view=view)
    assert where is not None
    across, along = (where.x, where.y) if belt_axis == "rows" else (where.y, where.x)
    assert 39 <= across <= 200
    assert 59 <= along <= 250
    made = project(raw, plate, where, rng, view)
    middle = (
        slice(where.y + where.height // 2 - 5, where.y + where.height // 2 + 5),
        slice(where.x + where.width // 2 - 5, where.x + where.width // 2 + 5),
    )
    before, after = (planes_of(one, view)[:, *middle].mean((1, 2)) for one in (raw, made))
    assert after / before == pytest.approx([0.25, 0.6], rel=0.02)
    same = project(raw, plate._replace(transmission=np.ones_like(plate.transmission)), where, rng, view)
    assert np.array_equal(same.pixels, raw.pixels)
    narrow = frame(np.ascontiguousarray(pixels[1:, 1:]))
    with pytest.raises(FrameError, match=r"calibration") as caught:
        place(narrow, plate, rng, PITCH, view=view)
    assert caught.value.reason is Reason.PROFILE_MISMATCH


def test_places_and_poses_differ() -> None:
    """Chance decides, over the whole carton; the same seed gives the same place."""
    picture, plate = carton(1), threat(0.2, 0.4)
    found = [place(picture, plate, np.random.default_rng(seed), PITCH) for seed in range(12)]
    assert len({(p.x, p.y) for p in found if p is not None}) == 12
    assert len({round(p.pose.turn_deg) for p in found if p is not None}) > 6
    assert {p.pose.mirrored for p in found if p is not None} == {True, False}
    assert place(picture, plate, np.random.default_rng(3), PITCH) == found[3]


def test_no_place_is_no_placement() -> None:
    """Air alone, a carton that is too small, one nothing gets through, and one that is full of findings."""
    rng = np.random.default_rng(4)
    plate = threat(0.2, 0.4)
    assert place(scanned(np.ones((200, 300, 2)), 1), plate, rng, PITCH) is None
    assert place(scanned(np.full((200, 300, 2), 1e-5), 1), plate, rng, PITCH) is None
    assert place(carton(1), threat(0.2, 0.4, (400, 400)), rng, PITCH) is None
    assert place(carton(1), threat(0.2, 0.4, (300, 60)), rng, PITCH) is None
    everywhere = Box(view=1, x0=0, y0=0, x1=400, y1=260)
    assert place(carton(1), plate, rng, PITCH, avoid=[everywhere]) is None
    assert place(carton(1), plate, rng, PITCH) is not None


def test_what_would_drown_in_noise_is_not_placed() -> None:
    """A thin sheet shows in light goods and not behind dense ones."""
    sheet = threat(0.96, 0.96)
    rng = np.random.default_rng(5)
    assert place(carton(2, goods=0.9), sheet, rng, PITCH) is not None
    assert place(carton(2, goods=0.01), sheet, rng, PITCH) is None


def test_boxes_to_avoid_are_avoided() -> None:
    """With all but a strip taken the threat lies in the strip."""
    plate = threat(0.2, 0.4, (14, 14))
    taken = [Box(view=1, x0=0, y0=0, x1=180, y1=260), Box(view=1, x0=230, y0=0, x1=400, y1=260)]
    for seed in range(6):
        where = place(carton(3), plate, np.random.default_rng(seed), PITCH, taken)
        assert where is not None
        assert 180 <= where.x <= where.x + where.width <= 230


@settings(deadline=None, max_examples=40)
@given(
    turn=st.floats(0, 360),
    mirrored=st.booleans(),
    pitch=st.tuples(st.floats(0.4, 2.0), st.floats(0.4, 2.0)),
    own=st.floats(0.2, 2.0),
)
def test_a_threat_keeps_its_size_in_millimetres(
    turn: float, mirrored: bool, pitch: tuple[float, float], own: float
) -> None:
    """Whatever the pose and the pitches, its area and its transmission stay."""
    side = round(60 / own)
    plate = threat(0.25, 0.5, (side, side), own)
    there = laid_out(plate, Pose(turn, mirrored, pitch))
    area = footprint(there).sum() * pitch[0] * pitch[1]
    assert area == pytest.approx((side * own) ** 2, rel=0.2)
    assert (there.min(axis=(0, 1)) >= [0.25 - 1e-3, 0.5 - 1e-3]).all()
    assert there.max() <= 1 + 1e-6
    middle = there[there.shape[0] // 2, there.shape[1] // 2]
    assert middle == pytest.approx([0.25, 0.5], abs=1e-3)


def test_mirrored_and_turned_as_said() -> None:
    """A corner that is opaque goes where mirroring and a quarter turn take it."""
    wedge = threat(0.9, 0.9, (20, 20)).transmission.copy()
    wedge[:8, :8] = 0.0
    corner = Threat("corner", "block", wedge, 0.8, "test")

    def darkest(pose: Pose) -> tuple[bool, bool]:
        there = laid_out(corner, pose)[:, :, 0]
        rows, columns = np.nonzero(there < 0.1)
        return bool(rows.mean() < there.shape[0] / 2), bool(columns.mean() < there.shape[1] / 2)

    assert darkest(UPRIGHT) == (True, True)
    assert darkest(Pose(0, True, PITCH)) == (True, False)
    assert darkest(Pose(90, False, PITCH)) == (True, False)
    assert darkest(Pose(180, False, PITCH)) == (False, False)


def test_visibility_counts_in_units_of_the_noise() -> None:
    """A change of as much as the noise of the difference is 1; nothing there is 0."""
    noise = Noise(np.array([4.0, 4.0], np.float32), np.array([0.0, 0.0], np.float32))
    through = 0.5
    mean = 4 * (1 + through) / (1 - through) ** 2  # (mean (1 - t))^2 = 4 mean (1 + t)
    before = np.full((5, 5, 2), mean, np.float32)
    assert visibility(before, np.full((5, 5, 2), through, np.float32), noise) == pytest.approx(1, rel=1e-5)
    assert visibility(before, np.ones((5, 5, 2), np.float32), noise) == 0


@pytest.mark.parametrize("channels", [("grey",), ("red", "green", "blue")])
def test_display_pictures_are_refused_by_name(channels: tuple[Channel, ...]) -> None:
    picture = frame(np.full((90, 120, len(channels)), 128, np.uint8), channels)
    picture = msgspec.structs.replace(picture, full_scale=255.0)
    plate = threat(0.2, 0.4)
    assert "display picture" in (unfit(channels) or "")
    assert unfit(("low", "high")) is None
    for act in (
        lambda: project(picture, plate, at(10, 10, plate), np.random.default_rng(1)),
        lambda: place(picture, plate, np.random.default_rng(1), PITCH),
    ):
        with pytest.raises(FrameError, match=r"view 1: .*display picture") as caught:
            act()
        assert caught.value.reason is Reason.PROFILE_MISMATCH


def test_a_threat_must_lie_within_the_frame() -> None:
    plate = threat(0.2, 0.4)
    picture = scanned(np.full((60, 60, 2), 0.5), 1)
    for x, y in ((-1, 0), (0, -1), (30, 0), (0, 40)):
        with pytest.raises(FrameError, match="leaves a frame of 60x60"):
            project(picture, plate, at(x, y, plate), np.random.default_rng(1))


def test_what_is_seen_nowhere_is_laid_out_as_nothing() -> None:
    ghost = threat((1 + SEEN) / 2, 1.0)
    assert laid_out(ghost, UPRIGHT).shape == (0, 0, 2)
    assert place(carton(1), ghost, np.random.default_rng(1), PITCH) is None
    assert AIR < 0.967, "bare walls count as air"

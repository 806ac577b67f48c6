"""Frames that are no scan are told by name; frames of a working scanner are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.records import Frame, Reason
from nii_edge.xray import quality
from nii_edge.xray.calibrate import Calibration, Origin, assemble
from nii_edge.xray.pixels import PixelState
from nii_edge.xray.transmission import outgrown

RNG = np.random.default_rng(3)
GOOD = RNG.normal(40_000, 150, (64, 96, 2)).astype(np.uint16)
GOOD[20:40, 30:60] //= 2


def frame(pixels: np.ndarray, view: int = 0, channels: tuple[str, ...] = ("low", "high")) -> Frame:
    scales = {"float32": 1.0, "uint8": 255.0, "uint16": 50_000.0}
    return Frame(
        view=view,
        channels=channels,  # type: ignore[arg-type]
        pixels=pixels,
        full_scale=scales[pixels.dtype.name],
        opaque_below=1e-3,
    )


def test_a_noisy_view_is_a_view() -> None:
    """Nothing is said against what a working scanner sends, a wholly opaque carton included."""
    opaque = RNG.integers(0, 12, (64, 96, 2)).astype(np.uint16)
    assert quality.problem(frame(GOOD)) is None
    assert quality.problem(frame(opaque)) is None
    assert quality.problem(frame((GOOD / 50_000).astype(np.float32))) is None


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
        found = quality.problem(frame(pixels, number))
        assert found is not None
        assert found[0] is reason
        assert f"view {number}" in found[1]


def test_white_around_something_is_white() -> None:
    """Pictures for the eye may well be constant in places."""
    white = np.full((48, 64, 3), 255, np.uint8)
    white[20:30, 20:40] = (255, 210, 140)
    assert quality.problem(frame(white, channels=("red", "green", "blue"))) is None


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_display_of_an_empty_belt_shows_nothing(turned: bool, noise: float) -> None:
    """White, or the same in every line, is no carton."""
    picture = np.full((48, 64, 3), 240.0) + RNG.normal(0, noise, (48, 64, 3))
    picture[:, 20:40] *= 0.7
    seen = np.clip(picture.swapaxes(0, 1) if turned else picture, 0, 255).astype(np.uint8)
    found = quality.problem(frame(seen, channels=("red", "green", "blue")))
    assert found is not None
    assert found[0] is Reason.IMAGE_QUALITY
    assert "no carton went by" in found[1]


@pytest.mark.parametrize("photons", [2_000, 20_000])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("stands", [False, True])
def test_an_empty_belt_and_one_that_stood_are_named(turned: bool, stands: bool, photons: float) -> None:
    """Every line shows the same, but for the noise; one thin thing of thirty pixels, and it does not."""
    rng = np.random.default_rng(5)
    gain = 1 + 0.05 * rng.standard_normal((1, WIDTH, 2))
    belt = np.ones((HEIGHT, WIDTH, 2)) * gain
    if stands:
        belt[:, 60:140] *= carton()[100:101, 60:140] / 50_000
    with_bag = belt.copy()
    with_bag[90:120, 180:210] *= 0.95
    for through, empty in ((belt, True), (with_bag, False)):
        seen = np.clip(rng.poisson(through * photons) / photons * 50_000, 0, 65_535).astype(np.uint16)
        found = words(np.ascontiguousarray(seen.swapaxes(0, 1)) if turned else seen)
        assert (found is not None and "no carton went by" in found) == empty


@pytest.mark.parametrize("colour", [(0, 0, 0), (127, 127, 127), (20, 60, 230), (255, 255, 255)])
def test_a_display_picture_of_one_colour_shows_nothing(colour: tuple[int, int, int]) -> None:
    """A display that hangs, a cable that came off, or an empty belt."""
    picture = np.full((48, 64, 3), colour, np.uint8)
    shown = frame(picture, channels=("red", "green", "blue"))
    found = quality.problem(shown)
    assert found is not None
    assert found[0] is Reason.IMAGE_QUALITY
    picture[20:30, 30:50] += 90
    picture[2::3] += 3
    assert quality.problem(shown) is None


HEIGHT, WIDTH = 208, 256


def carton(photons: float = 8_000, level: float = 50_000, seed: int = 1) -> np.ndarray:
    """Counts of a carton with goods, some of them steel, and a margin of air."""
    rng = np.random.default_rng(seed)
    low, high = np.ones((2, HEIGHT, WIDTH))
    low[20:190, 30:230], high[20:190, 30:230] = 0.9, 0.92
    for _ in range(40):
        y, x = rng.integers(20, 170), rng.integers(30, 200)
        depth = rng.exponential(0.8)
        low[y : y + 20, x : x + 30] *= np.exp(-1.5 * depth)
        high[y : y + 20, x : x + 30] *= np.exp(-depth)
    both = np.stack([low, high], axis=2)
    counts = rng.poisson(both * photons) / photons * level + rng.normal(0, 6, both.shape)
    return np.clip(np.round(counts), 0, 65_535).astype(np.uint16)


def detector(offset: float = 0.0, turned: bool = False, air: float | np.ndarray = 50_000.0) -> Calibration:
    """What a lane of such cartons is calibrated with, its belt along the columns or, `turned`, the rows;
    `air`: its counts, of all pixels or of each."""
    shape = (2, HEIGHT)
    origin = Origin("lane", 0, 1, "rows" if turned else "columns", ("low", "high"))
    return assemble(
        origin,
        np.full(shape, offset, np.float32),
        np.full(shape, 1 / np.asarray(air), np.float32),
        np.zeros(shape, np.uint8),
        (50_000.0, 50_000.0),
        (0.001, 0.001),
        (0.01, 0.01),
    )


def words(pixels: np.ndarray) -> str | None:
    """What is said against a scan with this first view."""
    found = quality.problem(frame(pixels))
    if found is None:
        return None
    assert found[0] is Reason.IMAGE_QUALITY
    return found[1]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("photons", [800, 8_000, 80_000])
def test_nothing_is_said_against_real_cartons(photons: float, seed: int) -> None:
    """From few photons to many, upright or turned, as counts or as transmission."""
    pixels = carton(photons, seed=seed)
    assert words(pixels) is None
    assert words(np.ascontiguousarray(pixels.swapaxes(0, 1))) is None
    assert words((pixels / 50_000).astype(np.float32)) is None


def test_single_dead_pixels_and_lost_lines_are_tolerated() -> None:
    """A calibration repairs two dead pixels, and a filled line or two hides nothing."""
    pixels = carton()
    pixels[[50, 120]] = 17
    pixels[:, 80] = pixels[:, 79]
    assert words(pixels) is None


@pytest.mark.parametrize("turned", [False, True])
def test_many_dead_lines_are_named(turned: bool) -> None:
    """A dead card of sixteen pixels, in either orientation and in one energy only."""
    pixels = carton()
    pixels[100:116, :, 0] = 903
    which = "rows"
    if turned:
        pixels, which = np.ascontiguousarray(pixels.swapaxes(0, 1)), "columns"
    said = words(pixels)
    assert said is not None
    assert f"16 of {HEIGHT} {which} never change" in said


@pytest.mark.parametrize(
    ("lines", "value", "named"), [(1, 30_000, False), (2, 30_000, True), (8, 0, False), (9, 0, True)]
)
def test_lines_side_by_side_that_stand_still_are_named_with_their_place(
    lines: int, value: int, named: bool
) -> None:
    """Two that show something hide what lies there; dark ones are seen to be dark."""
    counts = np.random.default_rng(2).normal(40_000, 150, (900, 64, 2)).astype(np.uint16)
    counts[100:200, 20:40] //= 2
    counts[400 : 400 + lines] = value
    said = words(counts)
    assert (said is not None) == named
    assert said is None or f"{lines} rows side by side, 400 to {399 + lines}, never change" in said


def with_bad(known: slice, turned: bool = False) -> Calibration:
    """The lane's calibration, which repairs some of its pixels in the low energy."""
    made = detector(600.0, turned, 25_000.0)
    states = made.states.copy()
    states[0, known] = PixelState.DEAD
    return made._replace(states=states)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("known", "stuck", "words"),
    [
        (slice(0), slice(60, 62), "2 detector pixels (rows) side by side, 60 to 61, never change"),
        (slice(60, 68), slice(60, 68), ""),
        (slice(60, 64), slice(64, 65), "5 detector pixels (rows) side by side, 60 to 64, never change"),
        (slice(60, 64), slice(66, 67), ""),
        (slice(60, 64), slice(60, 66), "6 detector pixels (rows) side by side, 60 to 65, never change"),
        (slice(0, 10), slice(0, 10), ""),
    ],
)
def test_pixels_that_got_stuck_since_the_calibration_are_named(
    known: slice, stuck: slice, words: str, turned: bool
) -> None:
    """At the value of air, so that a carton there looks as if nothing was in it. What the calibration knows
    is repaired, and what stands beside it spoils the repair."""
    pixels = carton() // 2 + 600
    pixels[stuck, :, 0] = 25_000
    if turned:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
    found = quality.problem(frame(pixels), with_bad(known, turned))
    said = "" if found is None else found[1]
    assert bool(said) == bool(words)
    assert (words.replace("rows", "columns") if turned else words) in said


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("count", "level", "named"),
    [(2, 25_000, True), (30, 12_000, True), (1, 25_000, False)],
)
def test_pixels_that_are_stuck_but_for_the_noise_of_their_electronics_are_named(
    count: int, level: int, named: bool, turned: bool
) -> None:
    """They change a little from line to line, as no pixel does that counts photons."""
    pixels = carton() // 2 + 600
    noise = np.random.default_rng(3).normal(level, 8, (count, *pixels.shape[1:2]))
    pixels[60 : 60 + count, :, 0] = noise.astype(np.uint16)
    if turned:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
    found = quality.problem(frame(pixels), detector(600.0, turned, 25_000.0))
    assert (found is not None) == named, found
    if found is not None:
        which = "columns" if turned else "rows"
        assert f"{count} detector pixels ({which}) side by side, 60 to {59 + count}, have next to" in found[1]


def test_a_large_part_of_the_detector_that_is_stuck_so_is_named_too() -> None:
    """Its calm is not taken for that of all pixels; how far it reaches is not told exactly."""
    pixels = carton() // 2 + 600
    noise = np.random.default_rng(3).normal(12_000, 8, (90, pixels.shape[1]))
    pixels[60:150, :, 0] = noise.astype(np.uint16)
    found = quality.problem(frame(pixels), detector(600.0, air=25_000.0))
    assert found is not None
    assert "side by side" in found[1]
    assert "noise of photons" in found[1]


@pytest.mark.parametrize("turned", [False, True])
def test_a_calibration_whose_lines_drifted_calls_no_sound_pixel_stuck(turned: bool) -> None:
    """Its noise of air is ten times what photons have, for all pixels alike."""
    pixels = carton(photons=80_000)
    if turned:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
    drifted = detector(0.0, turned)._replace(air_noise=(0.04, 0.04))
    assert quality.problem(frame(pixels), drifted) is None


def test_repaired_pixels_say_nothing_though_they_are_all_alike() -> None:
    """Eight in a row, dead in both energies at one value, which looks like lines that repeat."""
    pixels = carton() // 2 + 600
    pixels[60:68] = 25_000
    known = with_bad(slice(60, 68))
    states = known.states.copy()
    states[:, 60:68] = PixelState.DEAD
    assert quality.problem(frame(pixels), known._replace(states=states)) is None
    assert quality.problem(frame(pixels), known) is not None


@pytest.mark.parametrize("gain", [1.35, 2.0, 3.0])
@pytest.mark.parametrize("calibrated", [False, True])
def test_saturation_has_its_name(gain: float, calibrated: bool) -> None:
    """Air at the end of the range never changes either, and is no dead pixel for that."""
    pixels = np.minimum(carton() * gain, 65_535).astype(np.uint16)
    found = quality.problem(frame(pixels), detector() if calibrated else None)
    assert found is not None
    assert found[0] is Reason.IMAGE_QUALITY
    assert "end of their range" in found[1]


@pytest.mark.parametrize("lines", [2, 12])
def test_a_few_lines_of_air_that_are_saturated_are_no_stuck_pixels_for_sure(lines: int) -> None:
    pixels = carton()
    pixels[:lines] = 65_535
    said = words(pixels)
    assert said is not None
    assert "never change; they are at the end of their range: saturated, or" in said


@pytest.mark.parametrize("turned", [False, True])
def test_repeated_lines_are_named(turned: bool) -> None:
    """The belt stopped for twelve lines while the last one was sent again and again."""
    pixels = carton()
    pixels[:, 61:73] = pixels[:, 60:61]
    which = "columns"
    if turned:
        pixels, which = np.ascontiguousarray(pixels.swapaxes(0, 1)), "rows"
    said = words(pixels)
    assert said is not None
    assert f"12 {which} repeat the one before" in said


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_weak_air_is_named(share: float) -> None:
    """A tube at a fraction of its output, with the photon noise that goes with it."""
    said = words(carton(8_000 * share, 50_000 * share))
    assert said is not None
    assert f"what looks like air has {share:.0%}" in said


def test_too_few_photons_are_named_though_the_level_is_right() -> None:
    """Forty photons amplified to full scale: the level is right, the noise is not."""
    said = words(carton(photons=40))
    assert said is not None
    assert "too few photons" in said


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_differ_are_no_noise(turned: bool) -> None:
    """Raw counts of a detector whose pixels answer differently by a fifth: its calibration evens them out."""
    uneven = RNG.normal(1, 0.2, (HEIGHT, 1, 1)).clip(0.5, 1.3)
    pixels = (carton(level=40_000) * uneven).astype(np.uint16)
    if turned:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
    assert quality.problem(frame(pixels), detector(turned=turned, air=40_000 * uneven[:, 0, 0])) is None


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("share", [1.2, 0.85, 0.5, 0.1, 0.03])
def test_a_tube_that_is_not_what_it_was_is_named(share: float, turned: bool) -> None:
    """Its air is far from that of the calibration: all of it would be read as matter, or as none."""
    pixels = carton(8_000 * share, 50_000 * share)
    if turned:
        pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
    found = quality.problem(frame(pixels), detector(turned=turned))
    assert found is not None
    assert found[0] is Reason.IMAGE_QUALITY
    assert "the air at its ends shows" in found[1]


@pytest.mark.parametrize("share", [0.94, 1.06])
def test_a_tube_that_drifts_is_followed(share: float) -> None:
    assert quality.problem(frame(carton(8_000 * share, 50_000 * share)), detector()) is None


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.2])
def test_the_calibration_of_another_detector_is_named(spread: float) -> None:
    """Of the same width and level, but its pixels answer otherwise."""
    uneven = RNG.normal(1, spread, (HEIGHT, 1, 1)).clip(0.5, 1.3)
    pixels = (carton(level=40_000) * uneven).astype(np.uint16)
    found = quality.problem(frame(pixels), detector(air=40_000 * uneven[::-1, 0, 0]))
    assert found is not None
    assert found[0] is Reason.IMAGE_QUALITY
    assert "the calibration is of another detector" in found[1] or "a card has changed" in found[1]


def test_frames_that_begin_in_goods_say_nothing_of_air() -> None:
    """Goods with edges along the belt reach over both ends of the frame: no fault of tube or calibration."""
    counts = carton().astype(np.float32)
    goods = np.random.default_rng(4).uniform(0.3, 0.9, (8, 1, 2)).repeat(HEIGHT // 8, axis=0)
    goods[..., 0] *= goods[..., 1]
    covered = (counts[: len(goods)] * goods)[:, 35:225]
    filled = np.concatenate([covered, counts[len(goods) :, 35:225]]).astype(np.uint16)
    assert outgrown(filled, detector()) is None


def test_a_frame_without_air_is_not_dim() -> None:
    """A dense carton that fills the frame, structured or wholly opaque, is no fault of the tube."""
    rng = np.random.default_rng(2)
    dense = carton()[25:185, 40:220]
    assert words(np.ascontiguousarray((dense * 0.15).astype(np.uint16))) is None
    assert words(rng.integers(0, 12, (HEIGHT, WIDTH, 2)).astype(np.uint16)) is None


def shielded(offset: float, photons: float = 8_000, seed: int = 1) -> np.ndarray:
    """The carton with a lead box in it, and an offset of the detector, in counts, that nobody subtracts: the
    same for all pixels or, as in real detectors, a little different for each."""
    rng = np.random.default_rng(seed)
    pixels = carton(photons, level=45_000, seed=seed).astype(np.float64)
    pixels[60:120, 80:160] = np.abs(rng.normal(0, 8, (60, 80, 2)))
    column = rng.normal(1, 0.05, (HEIGHT, 1, 2))
    return np.clip(np.round(pixels + offset * column), 0, 65_535).astype(np.uint16)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [300, 1_000, 2_500])
@pytest.mark.parametrize("photons", [800, 8_000])
def test_an_offset_that_nobody_subtracted_is_named(offset: float, photons: float, seed: int) -> None:
    """Lead on an offset of 2 % of air would pass for something that lets 2 % through: never CLEAR by that.
    A lane whose calibration subtracts it has it by right, in counts; transmission has none."""
    pixels = shielded(offset, photons, seed)
    for turned in (pixels, np.ascontiguousarray(pixels.swapaxes(0, 1))):
        said = words(turned)
        assert said is not None
        assert "an offset was not subtracted" in said
        found = quality.problem(frame(turned), detector(offset, air=45_000.0, turned=turned is not pixels))
        assert found is None
        ratio = (turned / 50_000).astype(np.float32)
        assert quality.problem(frame(ratio), detector()) is not None


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("photons", [800, 8_000, 80_000])
def test_dark_areas_with_the_noise_of_their_photons_have_no_offset(photons: float, seed: int) -> None:
    """Steel that lets 0.3 to 8 % through, and lead that lets nothing through, on counts without an offset."""
    assert words(shielded(0, photons, seed)) is None
    rng = np.random.default_rng(seed)
    for share in (0.003, 0.01, 0.03, 0.08):
        pixels = carton(photons, seed=seed)
        area = pixels[60:120, 80:160]
        counts = rng.poisson(share * photons, area.shape) / photons * 50_000 + rng.normal(0, 6, area.shape)
        area[...] = np.clip(np.round(counts), 0, 65_535)
        assert words(pixels) is None


@pytest.mark.parametrize("turned", [False, True])
def test_swapped_energies_of_raw_counts_are_named(turned: bool) -> None:
    """On an offset and a gain of its own, each energy looks like less matter than there is: only the
    calibration tells which one is weakened more."""
    pixels = (carton(level=46_000) * np.array([0.9, 1.0]) + np.array([2_500, 800])).astype(np.uint16)
    known = detector(turned=turned)
    known = known._replace(
        offset=known.offset + np.float32([[2_500], [800]]),
        gain=np.repeat(np.float32([[1 / 41_400], [1 / 46_000]]), HEIGHT, axis=1),
    )
    for swapped in (False, True):
        seen = pixels[:, :, ::-1] if swapped else pixels
        found = quality.problem(frame(np.ascontiguousarray(seen.swapaxes(0, 1) if turned else seen)), known)
        assert (found is not None) is swapped
        assert found is None or (found[0] is Reason.PROFILE_MISMATCH and "swapped" in found[1])


def test_display_pictures_are_left_alone() -> None:
    """Constant areas, black and white, repeated lines: all of it is normal on a display."""
    picture = np.full((64, 96, 3), 255, np.uint8)
    picture[20:40, 30:60] = (20, 60, 230)
    assert quality.problem(frame(picture, channels=("red", "green", "blue"))) is None
    assert quality.problem(frame(picture[..., :1], channels=("grey",))) is None


def test_swapped_energies_are_named() -> None:
    """The low energy is always attenuated more: the other way round, somebody swapped the channels."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        path = rng.uniform(0.1, 1.5, (12, 16)).repeat(20, axis=0).repeat(20, axis=1)
        both = np.exp(-np.stack([1.25 * path, path], axis=-1)) * 50_000
        counts = np.clip(rng.normal(both, 80), 0, 65_535).astype(np.uint16)
        assert quality.problem(frame(counts)) is None
        found = quality.problem(frame(np.ascontiguousarray(counts[:, :, ::-1])))
        assert found is not None
        assert found[0] is Reason.PROFILE_MISMATCH
        assert "swapped" in found[1]


@pytest.mark.parametrize("swapped", [False, True])
def test_swapped_energies_of_a_small_thing_are_named(swapped: bool) -> None:
    """A flat parcel in a wide tunnel: few of the rows that are looked at first cross it."""
    rng = np.random.default_rng(4)
    path = np.zeros((800, 900))
    path[300:340, 500:540] = rng.uniform(0.3, 0.9, (40, 40))
    both = np.exp(-np.stack([1.25 * path, path], axis=-1)) * 50_000
    counts = np.clip(rng.normal(both, 80), 0, 65_535).astype(np.uint16)
    found = quality.problem(frame(np.ascontiguousarray(counts[:, :, ::-1]) if swapped else counts))
    assert (found is not None) is swapped


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([("low", "high"), ("low",), ("high",), ("grey",), ("red", "green", "blue")]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    level=st.sampled_from([0.0, 1e-3, 0.1, 1.0, 200.0, 5_000.0, 65_535.0]),
    spread=st.sampled_from([0.0, 0.01, 1.0]),
    full_scale=st.sampled_from([1.0, 255.0, 50_000.0]),
    odd=st.sampled_from([None, np.nan, np.inf, -1.0]),
    seed=st.integers(0, 9),
)
@settings(max_examples=400, deadline=None)
def test_no_frame_whatever_its_shape_is_more_than_it_can_take(
    shape: tuple[int, int], channels: tuple[str, ...], dtype: type, level: float, spread: float,
    full_scale: float, odd: float | None, seed: int,
) -> None:  # fmt: skip
    """An answer in words or none, never an exception: it would end the thread that all lanes come through."""
    rng = np.random.default_rng(seed)
    values = level * (1 + spread * rng.standard_normal((*shape, len(channels))))
    if dtype is np.float32:
        pixels = values.astype(np.float32)
        if odd is not None:
            pixels[0, 0, 0] = odd
    else:
        pixels = np.clip(values, 0, np.iinfo(dtype).max).astype(dtype)
    made = Frame(
        view=0, channels=channels, pixels=pixels, full_scale=full_scale, opaque_below=1e-3  # type: ignore[arg-type]
    )  # fmt: skip
    found = quality.problem(made)
    assert found is None or (isinstance(found[0], Reason) and found[1].startswith("view 0: "))


@pytest.mark.parametrize("shape", [(7, 33, 1), (33, 7, 1), (7, 7, 1), (5, 200, 1)])
def test_dim_frames_too_small_for_a_border_are_taken(shape: tuple[int, int, int]) -> None:
    """Uneven frames at a tenth of air whose short sides have no group of eight pixels."""
    for _ in range(5):
        pixels = RNG.uniform(100, 9_000, shape).astype(np.uint16)
        assert quality.problem(frame(pixels, channels=("low",))) is None

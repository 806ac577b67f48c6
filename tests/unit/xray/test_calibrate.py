"""Offset, gain and bad pixels from dark and air lines; frames of the same scanner as transmission."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polychromatic as model
import pytest

from nii_edge.config import Profile, ViewGeometry, load
from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.records import Channel
from nii_edge.xray.calibrate import Calibration, Origin, calibrate, check_fits
from nii_edge.xray.pixels import PixelState, longest_run, plan_repair
from nii_edge.xray.transmission import air_now, apply, energies_swapped, outgrown

DUAL: tuple[Channel, ...] = ("low", "high")
NOW = 1_800_000_000_000_000_000
HOUR = 3_600_000_000_000
WIDTH = 200
AIR = 40_000.0
PROFILE = load(Path(__file__).parents[3] / "configs" / "scanners" / "dual-energy.yaml", Profile)


class Detector:
    """A line detector with its own offsets and gains; `lines` measures a transmission with it."""

    def __init__(self, seed: int = 1, width: int = WIDTH) -> None:
        self.rng = np.random.default_rng(seed)
        self.width = width
        self.offset = self.rng.normal(800, 60, (width, 2))
        self.response = AIR * self.rng.normal(1, 0.05, (width, 2)) * (0.8 + 0.3 * np.hanning(width)[:, None])
        self.response *= AIR / self.response.mean()
        self.noise = np.full((width, 2), 6.0)
        self.stuck = np.zeros((width, 2), bool)

    def lines(
        self, transmission: npt.NDArray[np.float64], photons: float = 8_000.0
    ) -> npt.NDArray[np.uint16]:
        """Counts (lines, detector pixels, channels) for transmission of that shape."""
        quanta = self.rng.poisson(np.broadcast_to(transmission, transmission.shape) * photons) / photons
        counts = self.offset + self.response * quanta + self.rng.normal(0, 1, quanta.shape) * self.noise
        counts = np.where(self.stuck, 1_234.0, counts)
        return np.clip(np.round(counts), 0, 65_535).astype(np.uint16)

    def flat(self, transmission: float, count: int = 200) -> npt.NDArray[np.uint16]:
        return self.lines(np.full((count, self.width, 2), transmission))

    def calibration(self, belt_axis: str = "columns") -> Calibration:
        origin = Origin("s1", 0, NOW, belt_axis, DUAL)  # type: ignore[arg-type]
        return calibrate(self.flat(0.0), self.flat(1.0), origin)


def frame(lines: npt.NDArray[np.generic], belt_axis: str) -> npt.NDArray[np.generic]:
    """Lines as the image they become."""
    return np.ascontiguousarray(lines if belt_axis == "rows" else lines.swapaxes(0, 1))


def faults(dark: npt.NDArray[np.generic], air: npt.NDArray[np.generic]) -> CalibrationFault:
    with pytest.raises(CalibrationError) as caught:
        calibrate(dark, air, Origin("s1", 0, NOW, "rows", DUAL))
    return caught.value.fault


@pytest.mark.parametrize("belt_axis", ["rows", "columns"])
@pytest.mark.parametrize("truth", [1.0, 0.5, 0.05])
def test_a_uniform_absorber_comes_out_uniform(belt_axis: str, truth: float) -> None:
    """Whatever each pixel's offset and gain; the mean of every pixel is the truth within its noise."""
    detector = Detector()
    calibration = detector.calibration(belt_axis)
    planes = apply(frame(detector.flat(truth), belt_axis), calibration)
    assert planes.shape == ((2, WIDTH, 200) if belt_axis == "columns" else (2, 200, WIDTH))
    per_pixel = planes.mean(axis=2 if belt_axis == "columns" else 1)
    assert np.abs(per_pixel - truth).max() < 0.006
    assert planes.mean() == pytest.approx(truth, abs=2e-3)


def test_noise_is_measured() -> None:
    """Air noise is that of 8,000 quanta, dark noise that of the electronics, as fractions of air."""
    calibration = Detector().calibration()
    assert calibration.noise.air == pytest.approx((8_000**-0.5, 8_000**-0.5), rel=0.1)
    assert calibration.noise.dark == pytest.approx((6 / AIR, 6 / AIR), rel=0.15)
    assert calibration.air == pytest.approx((AIR, AIR), rel=0.03)


def test_bad_pixels_are_found_by_kind_and_nothing_else() -> None:
    """One dead, one hot, one noisy pixel and a gap of two, at the ends of the detector too."""
    detector = Detector()
    detector.response[0] = 0.0
    detector.offset[40] += 4_000
    detector.noise[90] = 200
    detector.stuck[150:152] = True
    states = detector.calibration().states
    expected = np.zeros((2, WIDTH), np.uint8)
    expected[:, 0], expected[:, 40], expected[:, 90] = PixelState.DEAD, PixelState.HOT, PixelState.NOISY
    expected[:, 150:152] = PixelState.GAP
    np.testing.assert_array_equal(states, expected)


@pytest.mark.parametrize("belt_axis", ["rows", "columns"])
def test_bad_pixels_are_filled_from_their_neighbours(belt_axis: str) -> None:
    """A ramp across the detector runs on through its holes; at an end the neighbour is repeated."""
    detector = Detector()
    detector.stuck[[0, 77, 78, 79, WIDTH - 1]] = True
    calibration = detector.calibration(belt_axis)
    ramp = np.broadcast_to(np.linspace(0.2, 0.9, WIDTH)[None, :, None], (400, WIDTH, 2))
    planes = apply(frame(detector.lines(ramp), belt_axis), calibration)
    mean = planes.mean(axis=2 if belt_axis == "columns" else 1)
    np.testing.assert_allclose(mean[:, 1:-1], ramp[0, 1:-1].T, atol=0.01)
    np.testing.assert_allclose(mean[:, 0], ramp[0, 1], atol=0.01)
    np.testing.assert_allclose(mean[:, -1], ramp[0, -2], atol=0.01)


def test_repair_plans_end_at_good_pixels() -> None:
    """Both sources of every repaired pixel are good, and the nearest ones."""
    states = np.array([1, 1, 0, 0, 2, 3, 4, 0, 1], np.uint8)
    plan = plan_repair(states)
    assert list(plan.bad) == [0, 1, 4, 5, 6, 8]
    assert list(plan.left) == [2, 2, 3, 3, 3, 7]
    assert list(plan.right) == [2, 2, 7, 7, 7, 7]
    np.testing.assert_allclose(plan.weight, [0, 0, 0.25, 0.5, 0.75, 0])
    assert longest_run(states) == 3
    assert longest_run(np.zeros(4, np.uint8)) == 0


def test_frames_of_another_width_are_refused() -> None:
    """The message names both widths; other channels are another fault."""
    calibration = Detector().calibration("columns")
    with pytest.raises(CalibrationError, match="has 199 detector pixels along its columns") as caught:
        apply(np.zeros((199, 50, 2), np.uint16), calibration)
    assert caught.value.fault is CalibrationFault.WRONG_WIDTH
    with pytest.raises(CalibrationError) as caught:
        apply(np.zeros((WIDTH, 50, 3), np.uint16), calibration)
    assert caught.value.fault is CalibrationFault.PROFILE_MISMATCH


def test_measurements_that_make_no_calibration_are_named() -> None:
    """Too few lines, tube off, clipped, a carton passing by, shapes that differ, a broken detector."""
    detector = Detector()
    dark, air = detector.flat(0.0), detector.flat(1.0)
    assert faults(dark[:5], air) is CalibrationFault.TOO_FEW_LINES
    assert faults(dark, air[:5]) is CalibrationFault.TOO_FEW_LINES
    assert faults(dark, detector.flat(0.0)) is CalibrationFault.NOT_AIR
    carton = np.ones((200, WIDTH, 2))
    carton[120:, 60:140] = 0.4
    assert faults(dark, detector.lines(carton)) is CalibrationFault.NOT_AIR
    assert faults(dark, np.minimum(air.astype(np.uint32) * 2, 65_535).astype(np.uint16)) is (
        CalibrationFault.NOT_AIR
    )
    assert faults(dark, air[:, 1:]) is CalibrationFault.PROFILE_MISMATCH
    assert faults(dark[..., :1], air[..., :1]) is CalibrationFault.PROFILE_MISMATCH
    detector.stuck[100:112] = True
    assert faults(detector.flat(0.0), detector.flat(1.0)) is CalibrationFault.BAD_DETECTOR


@pytest.mark.parametrize(
    ("changes", "fault", "words"),
    [
        ({"made_at_ns": NOW - 25 * HOUR}, CalibrationFault.STALE, "25.0 h ago"),
        ({"made_at_ns": NOW + HOUR}, CalibrationFault.STALE, "-1.0 h ago"),
        ({"scanner": "s2"}, CalibrationFault.PROFILE_MISMATCH, "scanner s2's"),
        ({"view": 2}, CalibrationFault.PROFILE_MISMATCH, "for view 2, not 0"),
        ({"belt_axis": "rows"}, CalibrationFault.PROFILE_MISMATCH, "along rows"),
        ({"channels": ("low",)}, CalibrationFault.PROFILE_MISMATCH, "no counts of channels low"),
        ({"air": (9_000.0, 40_000.0)}, CalibrationFault.PROFILE_MISMATCH, "low: air is 9000"),
    ],
)
def test_a_calibration_that_does_not_fit_is_named(
    changes: dict[str, object], fault: CalibrationFault, words: str
) -> None:
    """Each field that contradicts the profile, the scanner or the clock is refused in words."""
    calibration = Detector().calibration()
    check_fits(calibration, "s1", 0, PROFILE, NOW + HOUR, 24 * HOUR)
    with pytest.raises(CalibrationError, match=words) as caught:
        check_fits(calibration._replace(**changes), "s1", 0, PROFILE, NOW, 24 * HOUR)  # type: ignore[arg-type]
    assert caught.value.fault is fault


def test_the_digest_tells_calibrations_apart() -> None:
    """Equal measurements have equal digests; another time or pixel another one."""
    one, same, other = Detector(1).calibration(), Detector(1).calibration(), Detector(2).calibration()
    assert one.digest == same.digest
    assert len({one.digest, other.digest, Detector(1).calibration("rows").digest}) == 3


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_the_tube_is_followed_where_there_is_air(axis: str) -> None:
    """A tube 6 % weaker shows in the air before the carton or after it; without air nothing is said."""
    detector = Detector()
    calibration = detector.calibration(axis)  # type: ignore[arg-type]
    lines = np.full((100, WIDTH, 2), 0.94)
    lines[20:, 30:150] *= 0.3
    for seen in (lines, lines[::-1]):
        counts = frame(detector.lines(np.ascontiguousarray(seen)), axis)  # type: ignore[arg-type]
        now = air_now(counts, calibration)
        assert now is not None
        assert now == pytest.approx(0.94, abs=0.02)
        air = np.moveaxis(apply(counts, calibration, now), 0, 2)[:, :, 1]
        assert np.median(air if axis == "rows" else air.T, axis=0)[:20] == pytest.approx(1, abs=0.03)
    lines[:, 30:150] = 0.3
    counts = frame(detector.lines(lines), axis)  # type: ignore[arg-type]
    assert air_now(counts, calibration) is None


@pytest.mark.parametrize(("wide", "through"), [(4, 0.4), (3, 0.2), (8, 0.1), (3, 0.0)])
def test_a_strip_along_the_belt_is_no_drift(wide: int, through: float) -> None:
    """What reaches over an end of the frame is still there, and a pixel that died is not divided by."""
    detector = Detector()
    calibration = detector.calibration("rows")
    lines = np.ones((60, WIDTH, 2))
    lines[:, 80 : 80 + wide] = through
    counts = frame(detector.lines(lines), "rows")
    now = air_now(counts, calibration)
    assert now is None or now == pytest.approx(1, abs=0.04)
    seen = np.moveaxis(apply(counts, calibration, now), 0, 2)[:, 80 : 80 + wide, 1]
    assert np.median(seen) == pytest.approx(through, abs=0.05)


def test_cloth_before_the_whole_detector_is_no_air() -> None:
    """Nor is a tube that lost more than a tenth."""
    detector = Detector()
    counts = frame(detector.lines(np.full((40, WIDTH, 2), 0.85)), "rows")
    assert air_now(counts, detector.calibration("rows")) is None


@pytest.mark.parametrize("name", ["PE", "water", "Al", "Fe"])
def test_swapped_energies_show_in_any_scan_with_matter(name: str) -> None:
    """Every material lets more high energy through; air and opaque frames say nothing either way."""
    low, high = model.transmission({name: 1.0})
    right = model.planes(low, high, (64, 64), photons=8_000)
    assert not energies_swapped(right)
    assert energies_swapped(right[::-1])
    for level in (1.0, 1e-4):
        assert not energies_swapped(model.planes(level, level, (64, 64), photons=8_000))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["dark", "air"])
def test_counts_that_are_not_finite_make_no_calibration(which: str, value: float) -> None:
    """One is enough: every comparison with NaN is false, so its pixel would count as good."""
    detector = Detector()
    lines = {"dark": detector.flat(0.0).astype(np.float32), "air": detector.flat(1.0).astype(np.float32)}
    lines[which][50, 20, 1] = value
    with pytest.raises(CalibrationError, match=f"1 of 80000 {which} counts are NaN or infinite") as caught:
        calibrate(lines["dark"], lines["air"], Origin("s1", 0, NOW, "columns", DUAL))
    assert caught.value.fault is CalibrationFault.BAD_DETECTOR


def test_an_air_level_that_is_no_number_does_not_fit() -> None:
    """Whatever made it."""
    broken = Detector().calibration()._replace(air=(float("nan"), AIR))
    with pytest.raises(CalibrationError, match="low: air is nan") as caught:
        check_fits(broken, "s1", 0, PROFILE, NOW, HOUR)
    assert caught.value.fault is CalibrationFault.PROFILE_MISMATCH


@pytest.mark.parametrize(("card", "gap"), [(0, 0.0), (50, 0.0), (32, 1.5)])
def test_a_detector_that_its_drawing_has_no_room_for_is_refused(card: int, gap: float) -> None:
    """Millimetres come from the drawing: with another number of pixels they would be wrong."""
    length = WIDTH * 1.6 + ((WIDTH - 1) // card * gap if card else 0.0)
    drawn = ViewGeometry(
        source_mm=(0.0, 900.0), detector_mm=((-length / 2, -20.0), (length / 2, -20.0)), pitch_mm=1.6,
        card=card, gap_mm=gap,
    )  # fmt: skip
    profile = msgspec.structs.replace(PROFILE, geometry=(drawn, drawn))
    check_fits(Detector().calibration(), "s1", 0, profile, NOW, HOUR)
    for width in (WIDTH - 20, WIDTH + 8):
        with pytest.raises(CalibrationError, match=f"has {width} pixels, .* has room for") as caught:
            check_fits(Detector(width=width).calibration(), "s1", 0, profile, NOW, HOUR)
        assert caught.value.fault is CalibrationFault.WRONG_WIDTH


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_air_tells_another_detector_and_another_tube(axis: str) -> None:
    """Its own detector, drifted a little, is told nothing of; another of the same make, its own with the
    energies swapped, and a weak tube are."""
    own, other = Detector(seed=1), Detector(seed=2)
    calibration = own.calibration(axis)
    drifted = own.flat(0.95) * (1 + 0.003 * np.sin(np.arange(WIDTH)))[:, None]
    assert outgrown(frame(drifted, axis), calibration) is None
    said = outgrown(frame(other.flat(1.0), axis), calibration)
    assert said is not None
    assert "of another detector" in said
    said = outgrown(frame(own.flat(0.6), axis), calibration)
    assert said is not None
    assert "60% of low and 60% of high" in said
    assert outgrown(frame(own.flat(1.0)[:, :, ::-1], axis), calibration) is not None


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("factor", [0.7, 1.08, 1.3])
def test_air_tells_a_card_that_has_changed(axis: str, factor: float) -> None:
    """One of its cards, whether its level changed or its pixels did."""
    own = Detector()
    calibration = own.calibration(axis)
    counts = own.flat(1.0).astype(np.float32)
    counts[:, 64:128] *= factor
    said = outgrown(frame(counts.astype(np.uint16), axis), calibration, bare=True)
    assert said is not None
    assert "a card has changed" in said
    counts = own.flat(1.0).astype(np.float32)
    counts[:, 64:128] *= np.random.default_rng(3).normal(1, 0.04, 64)[:, None]
    said = outgrown(frame(counts.astype(np.uint16), axis), calibration)
    assert said is not None
    assert "of another detector" in said


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_goods_over_both_ends_are_no_fault_of_the_calibration(axis: str) -> None:
    """A sheet as wide as the tunnel, ribs along the belt, and something nearly opaque; where the ends are
    known to be bare, the sheet is none."""
    own = Detector()
    calibration = own.calibration(axis)
    sheet = own.lines(np.broadcast_to([0.55, 0.62], (200, WIDTH, 2)))
    assert outgrown(frame(sheet, axis), calibration) is None
    assert outgrown(frame(sheet, axis), calibration, bare=True) is not None
    ribs = np.where(np.arange(WIDTH)[:, None] % 8 < 4, 0.5, 0.9) ** np.array([1.3, 1.0])
    assert outgrown(frame(own.lines(np.broadcast_to(ribs, (200, WIDTH, 2))), axis), calibration) is None
    dark = own.lines(np.broadcast_to([0.003, 0.006], (200, WIDTH, 2)))
    assert outgrown(frame(dark, axis), calibration) is None
    for count in (1, 8, 16, 31):
        assert outgrown(frame(own.flat(0.5, count), axis), calibration) is None, "too short to tell"

"""Whole scans: reproducible, true to the ideal once calibrated, and calibration frames by the same chain."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import ball, box, inside_out, joined, thing

from nii_edge.errors import SceneError
from nii_edge.records import Frame
from nii_edge.simulate.calibrated import calibrated as calibrated_unit
from nii_edge.simulate.geometry import rays_of
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.project import footprint, magnification, pixel_of
from nii_edge.simulate.scan import (
    LEAD_MM,
    MOST_PIXELS,
    ScannedView,
    air_frames,
    behind,
    belt_lines,
    cut,
    dark_frames,
    ideal,
    moved_along,
    scan,
    span_of,
    visibility,
    wedge_scan,
)
from nii_edge.simulate.scanner import check_scanner, opaque_below, pixels_of, steady
from nii_edge.simulate.solids import Thing
from nii_edge.xray.optics import planes_of
from nii_edge.xray.transmission import apply

CARTON = thing(
    joined(box((200, 180, 150), (0, 0, 80)), inside_out(box((194, 174, 144), (0, 0, 80)))), "corrugated"
)
CONTENTS = [
    thing(ball(40, (-40, 20, 80)), "water"),
    thing(box((60, 50, 8), (40, -30, 60)), "steel"),
    thing(box((80, 60, 40), (40, 30, 90)), "cotton", 0.3),
]
SCENE = [CARTON, *CONTENTS]


def calibrated(view: ScannedView, air: np.ndarray, dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transmissions (lines, pixels, 2) by dark and air frames alone, and which pixels are fit for it."""
    zero, full = dark.mean(axis=0), air.mean(axis=0)
    fit = ((full - zero) > 3000) & (dark.std(axis=0) < 40) & (zero < 3500)
    return (view.counts - zero) / np.where(fit, full - zero, np.inf), fit


@pytest.mark.parametrize("name", SCANNERS)
def test_the_same_seed_gives_the_same_counts_and_another_does_not(name: str) -> None:
    first, again, other = (scan(SCENE, SCANNERS[name], np.random.default_rng(seed)) for seed in (1, 1, 2))
    for left, right, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(left.counts, right.counts)
        assert (left.counts != different.counts).mean() > 0.5


@pytest.mark.parametrize("name", SCANNERS)
def test_counts_calibrated_with_their_own_frames_are_the_ideal_transmissions(name: str) -> None:
    rng = np.random.default_rng(3)
    scanner = SCANNERS[name]
    views = scan(SCENE, scanner, rng, drift=steady(scanner))
    airs, darks = air_frames(scanner, rng, 400), dark_frames(scanner, rng, 400)
    assert len(views) == len(scanner.views)
    for view, air, dark in zip(views, airs, darks, strict=True):
        assert view.counts.dtype == np.uint16
        seen, fit = calibrated(view, air, dark)
        assert fit.mean() > 0.98
        expected = ideal(view.projection, scanner)
        difference = (seen - expected)[:, fit.all(axis=1)]
        assert np.abs(np.median(difference)) < 0.003
        assert np.sqrt((difference**2).mean()) < 0.06  # noise, and blur at the edges
        empty = expected[:, fit.all(axis=1)] > 0.999
        assert difference[empty].mean() == pytest.approx(0, abs=0.003)


def test_drift_leaves_a_trace_that_calibration_does_not_know_of() -> None:
    scanner = SCANNERS["depot"]
    rng = np.random.default_rng(3)
    still = air_frames(scanner, rng)[0].astype(float)
    moved = scan([], scanner, np.random.default_rng(8), span=(0.0, 100.0))[0].counts.astype(float)
    fine = ~(pixels_of(scanner, 0).dead | pixels_of(scanner, 0).hot).any(axis=0)
    ratio = np.median(moved, axis=0)[fine] / still.mean(axis=0)[fine]
    assert np.abs(np.median(ratio, axis=0) - 1).max() > 0.005
    assert ratio.std(axis=0).max() > 0.002


def _steps(planes: np.ndarray, card: int) -> float:  # type: ignore[type-arg]
    """How far the air levels of whole cards are apart at the end that is not looked at first."""
    profile = planes[:, :, -6:].mean(axis=2)
    width = profile.shape[1] // card * card
    return float(np.median(profile[:, :width].reshape(2, -1, card), axis=2).std(axis=1).mean())


@pytest.mark.parametrize("name", SCANNERS)
def test_the_front_end_follows_the_tube(name: str) -> None:
    """What drifted since the calibration shows in the air around a carton, and is taken out everywhere."""
    unit = calibrated_unit(SCANNERS[name])
    outputs, cards = [], []
    for seed in range(3):
        for number, view in enumerate(scan(SCENE, unit.scanner, np.random.default_rng(seed))):
            counts = np.ascontiguousarray(view.counts.swapaxes(0, 1))
            frame = Frame(
                view=number, channels=("low", "high"), pixels=counts, full_scale=65_535.0, opaque_below=1e-3
            )
            own = unit.optics[number]
            assert own.detector is not None
            before, after = apply(counts, own.detector), planes_of(frame, own)
            # the end that it does not look at first
            outputs.append([np.median(planes[:, :, -6:], axis=(1, 2)) for planes in (before, after)])
            cards.append([_steps(planes, unit.scanner.views[number].card) for planes in (before, after)])
    assert np.mean(cards, axis=0)[1] < 0.9 * np.mean(cards, axis=0)[0]
    off = np.abs(np.array(outputs) - 1).max(axis=(0, 2))
    assert off[0] > 0.004
    assert off[1] < max(0.002, 3 * unit.scanner.stability.ripple)


@pytest.mark.parametrize("name", SCANNERS)
def test_a_fan_sees_the_mass_of_a_small_thing_by_its_magnification(name: str) -> None:
    scanner = SCANNERS[name]
    small = thing(ball(15, (0, 0, 100)), "water")
    volume = 4 / 3 * np.pi * 1.5**3
    lines = belt_lines(scanner, (-30, 30))
    for view in scanner.views:
        alone = footprint(small, view, lines)
        pixel = view.pitch / magnification(view, 0, 100)
        gaps = 1 + view.gap / (view.card * view.pitch)
        mass = alone.areal.sum() * pixel * scanner.line_pitch / 100
        assert mass == pytest.approx(volume, rel=0.03 * gaps)


@pytest.mark.parametrize("name", SCANNERS)
@pytest.mark.parametrize(
    ("material", "steps"),
    [("polyethylene", (0, 10, 30, 80, 200)), ("aluminium", (0, 3, 10, 25, 60)), ("steel", (0, 1, 3, 8, 15))],
)
def test_wedges_darken_step_by_step_at_both_energies(
    name: str, material: str, steps: tuple[int, ...]
) -> None:
    scanner = SCANNERS[name]
    rng = np.random.default_rng(0)
    darks = dark_frames(scanner, rng)
    for counts, dark, view in zip(
        wedge_scan(scanner, material, steps, rng), darks, range(len(darks)), strict=True
    ):
        width = len(pixels_of(scanner, view).flux)
        assert counts.shape == (len(steps), 64, width, 2)
        net = counts.mean(axis=1) - dark.mean(axis=0)
        dead = pixels_of(scanner, view).dead.any(axis=0)
        medians = np.median(net[:, ~dead], axis=1)
        assert (np.diff(medians, axis=0) < 0).all()
        ratio = np.log(medians[1:, 0] / medians[0, 0]) / np.log(medians[1:, 1] / medians[0, 1])
        assert (ratio > 1.03).all()


def test_wedges_see_the_same_state_as_air_frames() -> None:
    scanner = SCANNERS["quay"]
    rng = np.random.default_rng(0)
    wedge, air = wedge_scan(scanner, "water", (0,), rng, 256)[0][0], air_frames(scanner, rng, 256)[0]
    np.testing.assert_allclose(wedge.mean(axis=0), air.mean(axis=0), rtol=0.006, atol=3)


@pytest.mark.parametrize("steps", [(-1.0,), (float("nan"),), ((1.0,),)])
def test_wedges_that_cannot_be_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(SceneError, match="wedge steps"):
        wedge_scan(SCANNERS["quay"], "steel", steps, np.random.default_rng(0))


def test_the_belt_wavers_by_its_stated_share_and_never_runs_back() -> None:
    scanner = SCANNERS["sorter"]
    steps = np.diff(belt_lines(scanner, (0, 20000), np.random.default_rng(0))) / scanner.line_pitch
    assert (steps > 0).all()
    assert steps.mean() == pytest.approx(1, abs=0.01)
    assert steps.std() == pytest.approx(scanner.stability.belt, rel=0.15)
    np.testing.assert_allclose(np.diff(belt_lines(scanner, (0, 100))), scanner.line_pitch)


def test_a_scan_spans_its_things_and_a_lead_at_both_ends() -> None:
    assert span_of(SCENE) == (-100 - LEAD_MM, 100 + LEAD_MM)
    (view,) = scan(SCENE, SCANNERS["sorter"], np.random.default_rng(0))
    assert len(view.counts) == round((200 + 2 * LEAD_MM) / SCANNERS["sorter"].line_pitch)
    air = view.projection.areal.sum(axis=(0, 2)) == 0
    assert air[:5].all()
    assert air[-5:].all()
    assert not air[15:-15].any()


def test_steel_stands_out_and_a_sheet_of_paper_behind_steel_does_not() -> None:
    scanner = SCANNERS["quay"]
    view = scanner.views[0]
    plate, sheet = CONTENTS[1], thing(box((40, 30, 0.1), (40, -30, 66)), "paper")
    (first, *_rest) = scan([*SCENE, sheet], scanner, np.random.default_rng(0))
    lines = first.projection.lines
    seen = visibility(first.projection, footprint(plate, view, lines), scanner, 0)
    hidden = visibility(first.projection, footprint(sheet, view, lines), scanner, 0)
    assert np.median(seen) > 10
    assert MOST_PIXELS / 2 < len(seen) <= MOST_PIXELS < footprint(plate, view, lines).mask.sum()
    assert hidden.max() < 1


def test_a_cut_carton_is_its_two_halves() -> None:
    views = scan(SCENE, SCANNERS["quay"], np.random.default_rng(0))
    heads, tails = cut(views, 0.3)
    for head, tail, whole in zip(heads, tails, views, strict=True):
        np.testing.assert_array_equal(np.concatenate((head.counts, tail.counts)), whole.counts)
        assert len(head.counts) == round(0.3 * len(whole.counts))
        assert head.projection.areal.shape[1:] == head.counts.shape[:2]
        assert tail.projection.lines[0] > head.projection.lines[-1]
    with pytest.raises(SceneError, match="not at 1"):
        cut(views, 1.0)


@pytest.mark.parametrize("gap", [-20.0, 0.0, 30.0])
def test_merged_cartons_lie_as_far_apart_as_asked(gap: float) -> None:
    move = behind([CARTON], SCENE, gap)
    both = [CARTON, *(moved_along(thing, move) for thing in SCENE)]
    (first_low, first_high), (second_low, _) = (span_of(part) for part in (both[:1], both[1:]))
    assert second_low - first_high + 2 * LEAD_MM == pytest.approx(gap, abs=1e-3)
    assert first_low == -100 - LEAD_MM
    (view,) = scan(both, SCANNERS["sorter"], np.random.default_rng(0))
    assert view.counts.shape[0] == round((400 + gap + 2 * LEAD_MM) / SCANNERS["sorter"].line_pitch)


@pytest.mark.parametrize(
    ("size", "middle"), [((10, 800, 10), (0, 0, 50)), ((10, 10, 600), (0, 0, 300)), ((10, 10, 10), (0, 0, 0))]
)
def test_what_does_not_fit_the_tunnel_is_refused_by_name(
    size: tuple[float, float, float], middle: tuple[float, float, float]
) -> None:
    with pytest.raises(SceneError, match=r"solid \(water\) reaches.*tunnel of quay"):
        scan([thing(box(size, middle))], SCANNERS["quay"], np.random.default_rng(0))


def test_an_unknown_material_is_refused() -> None:
    with pytest.raises(SceneError, match="'phlogiston'"):
        scan([thing(box((9, 9, 9), (0, 0, 50)), "phlogiston")], SCANNERS["quay"], np.random.default_rng(0))


def test_an_empty_belt_and_a_thing_of_no_parts_are_scanned_as_air() -> None:
    for things in ([], [Thing("nothing", "none", ())]):
        (view,) = scan(things, SCANNERS["depot"], np.random.default_rng(0))
        assert view.projection.materials == ()
        assert view.counts.shape[0] == round(2 * LEAD_MM / SCANNERS["depot"].line_pitch)


def test_there_are_four_makes_to_train_on_and_one_held_out() -> None:
    assert sum(not scanner.held_out for scanner in SCANNERS.values()) >= 4
    assert sum(scanner.held_out for scanner in SCANNERS.values()) == 1
    for field in ("tube", "layers", "views", "line_pitch", "photons", "optics", "serial"):
        values = [getattr(scanner, field) for scanner in SCANNERS.values()]
        assert len(set(values)) >= 4, field


@pytest.mark.parametrize("name", SCANNERS)
def test_every_make_sees_all_of_its_tunnel_through_about_640_pixels(name: str) -> None:
    scanner = SCANNERS[name]
    check_scanner(scanner)
    assert scanner.name == name
    for index, _ in enumerate(scanner.views):
        pixels = pixels_of(scanner, index)
        assert 450 <= len(pixels.flux) <= 850
        assert pixels.gain.max() <= scanner.electronics.full_scale * 1.0001
    assert 1e-4 < opaque_below(scanner) < 0.01


def test_the_two_views_of_a_scanner_look_at_right_angles_or_nearly() -> None:
    for name in ("quay", "gantry", "border"):
        first, second = SCANNERS[name].views
        directions = []
        for view in (first, second):
            middle = round(pixel_of(view, 0, 200))
            directions.append(rays_of(view).rays[2:, middle])
        angle = np.degrees(np.arccos(np.clip(abs(np.dot(*directions)), 0, 1)))
        assert 55 < angle <= 90, name


def test_a_detector_that_misses_a_corner_of_the_tunnel_is_refused() -> None:
    scanner = SCANNERS["depot"]
    with pytest.raises(SceneError, match="does not see the tunnel's corner"):
        check_scanner(scanner._replace(tunnel=(700.0, 400.0)))
    with pytest.raises(SceneError, match="no view"):
        check_scanner(scanner._replace(views=()))
    inside = scanner.views[0]._replace(source=(0.0, 200.0))
    with pytest.raises(SceneError, match="inside the tunnel"):
        check_scanner(scanner._replace(views=(inside,)))

"""Projection: path lengths of solids with formulas leaks, in parallel rays and in fans."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import ball, box, inside_out, joined, thing, turned
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nii_edge.errors import SceneError
from nii_edge.simulate.geometry import View, pixel_arcs, pixel_count, rays_of
from nii_edge.simulate.project import TRACE, footprint, magnification, pixel_of, project, taken_out
from nii_edge.simulate.solids import Mesh, Part, Thing

DOWN = View("down", None, ((-160.0, 300.0), (160.0, 300.0)), 1.0)
ACROSS = View("across", None, ((200.0, -20.0), (200.0, 300.0)), 1.0)
FAN = View("fan", (0.0, -400.0), ((-300.0, 400.0), (300.0, 400.0)), 1.0)
FOLDED = View("folded", (-250.0, -200.0), ((-200.0, 350.0), (260.0, 350.0), (260.0, -60.0)), 1.5)
LINES = np.arange(-100, 100) + 0.25


def areal(mesh: Mesh, view: View = DOWN, lines: np.ndarray = LINES) -> np.ndarray:
    """g/cm² of the mesh as water, which is its path length in cm."""
    return project([thing(mesh)], view, lines).areal[0]


def test_a_balls_path_lengths_are_its_chords() -> None:
    radius, middle = 60.0, (5.0, -8.0, 120.0)
    found = areal(ball(radius, middle))
    y = rays_of(DOWN).rays[0]
    squares = radius**2 - (LINES[:, None] - middle[0]) ** 2 - (y[None] - middle[1]) ** 2
    chords = 2 * np.sqrt(np.maximum(squares, 0)) / 10
    inside = squares > 200
    np.testing.assert_allclose(found[inside], chords[inside], rtol=0.01)
    assert found[squares < 0].max() < TRACE


@pytest.mark.parametrize("view", [DOWN, ACROSS])
def test_a_boxs_mass_and_thickness_are_exact(view: View) -> None:
    size = (100.0, 80.0, 60.0)
    found = areal(box(size, (0.0, 10.0, 100.0)), view)
    through = (size[2] if view is DOWN else size[1]) / 10
    across = size[1] if view is DOWN else size[2]
    assert found.sum() == pytest.approx(through * size[0] * across, rel=1e-5)
    np.testing.assert_allclose(found[found > TRACE], through, rtol=1e-5)


def test_a_hollow_box_is_its_walls() -> None:
    wall = 3.0
    shell = joined(box((120, 100, 90), (0, 0, 100)), inside_out(box((114, 94, 84), (0, 0, 100))))
    found = areal(shell)
    assert found[100, 160] == pytest.approx(2 * wall / 10, rel=1e-4)
    assert found.sum() / 100 == pytest.approx((120 * 100 * 90 - 114 * 94 * 84) / 1000, rel=0.01)


def test_a_negative_part_carves_its_host_and_leaves_itself() -> None:
    host, inner = box((100, 100, 100), (0, 0, 100)), box((40, 40, 40), (0, 0, 100))
    carved = Thing(
        "box",
        "analytic",
        (Part(host, "water"), Part(inner, "water", -1.0), Part(inner, "steel", 0.5)),
    )
    found = project([carved], DOWN, LINES)
    planes = dict(zip(found.materials, found.areal[:, 100, 160], strict=True))
    assert planes == pytest.approx({"water": 6.0, "steel": 0.5 * 7.85 * 4}, rel=1e-4)
    assert found.areal[found.materials.index("water"), 100, 120] == pytest.approx(10, rel=1e-4)


def test_carving_more_than_there_is_leaves_nothing_and_no_negative_mass() -> None:
    found = project([thing(box((50, 50, 50), (0, 0, 100)), "water", -1.0)], DOWN, LINES)
    assert (found.areal == 0).all()


@given(seed=st.integers(0, 10**6), view=st.sampled_from([DOWN, ACROSS]))
@settings(max_examples=40, deadline=None)
def test_whichever_way_a_solid_lies_its_mass_stays_and_no_ray_leaks(seed: int, view: View) -> None:
    rng = np.random.default_rng(seed)
    middle = (float(rng.uniform(-20, 20)), float(rng.uniform(-40, 40)), float(rng.uniform(90, 160)))
    mesh = turned(box((70.0, 50.0, 20.0)), rng, middle)
    found = areal(mesh, view)
    assert found.sum() / 100 == pytest.approx(70, rel=0.02)
    assert found.max() < np.sqrt(70**2 + 50**2 + 20**2) / 10 + 1e-3
    seen = rays_of(view).rays[0 if view is DOWN else 1]
    points = mesh.vertices[:, 1 if view is DOWN else 2]
    outside = (seen < points.min() - 1e-3) | (seen > points.max() + 1e-3)
    assert (found[:, outside] == 0).all()


@given(seed=st.integers(0, 10**6), view=st.sampled_from([FAN, FOLDED]))
@settings(max_examples=40, deadline=None)
def test_in_a_fan_every_ray_through_a_turned_box_has_its_analytic_length(seed: int, view: View) -> None:
    """Slab by slab: a ray is inside a box between the latest entry and the earliest exit."""
    rng = np.random.default_rng(seed)
    middle = np.array((float(rng.uniform(-20, 20)), float(rng.uniform(-60, 60)), float(rng.uniform(80, 150))))
    half = np.array((45.0, 30.0, 15.0))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if np.linalg.det(turn) < 0:
        turn[:, 0] *= -1
    made = box(tuple(2 * half))
    mesh = made._replace(vertices=(made.vertices @ turn.T + middle).astype(np.float32))
    found = areal(mesh, view)

    rays = rays_of(view).rays
    origins = np.zeros((len(LINES), rays.shape[1], 3))
    origins[..., 0], origins[..., 1], origins[..., 2] = LINES[:, None], rays[0], rays[1]
    directions = np.stack((np.zeros(rays.shape[1]), rays[2], rays[3]), axis=-1) @ turn
    starts = (origins - middle) @ turn
    with np.errstate(divide="ignore"):
        near = (-np.sign(directions) * half - starts) / directions
        far = (np.sign(directions) * half - starts) / directions
    length = np.maximum(far.min(axis=-1) - near.max(axis=-1), 0) / 10
    different = np.abs(found - length) > 2e-3
    assert length.max() > 2
    # rays within rounding of an edge may fall to either side of it
    assert different.sum() <= 4


@given(seed=st.integers(0, 10**6), across=st.floats(0.1, 1.5), view=st.sampled_from([DOWN, ACROSS]))
@settings(max_examples=40, deadline=None)
def test_wires_thinner_than_a_pixel_keep_their_mass_and_never_break(
    seed: int, across: float, view: View
) -> None:
    rng = np.random.default_rng(seed)
    mesh = turned(box((80.0, across, across)), rng, (0.0, 10.0, 120.0))
    length = np.ptp(mesh.vertices[:, 0])
    assume(length >= 6)  # one that lies along a line may slip between the fine lines: docs/SIMULATOR.md
    found = areal(mesh, view)
    assert found.sum() / 100 == pytest.approx(0.08 * across**2, rel=0.02)
    ends = [np.searchsorted(LINES, mesh.vertices[:, 0].mean() + side * (length / 2 - 2)) for side in (-1, 1)]
    assert (found[ends[0] : ends[1]].sum(axis=1) > 0).all()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_thin_plate_in_a_fan_is_as_heavy_as_many_times_finer_rays_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = turned(box((90.0, 70.0, 0.4)), rng, (0.0, -20.0, 110.0))
    coarse = areal(mesh, FAN)
    finer = FAN._replace(pitch=FAN.pitch / 4, card=FAN.card * 4)
    lines = (LINES[:, None] + (np.arange(4) - 1.5) / 4).ravel()
    fine = areal(mesh, finer, lines).reshape(len(LINES), 4, -1, 4).mean(axis=(1, 3))
    assert coarse.sum() == pytest.approx(fine.sum(), rel=0.01)
    assert np.abs(coarse - fine).sum() < 0.12 * fine.sum()


def test_pixels_beside_the_gaps_between_cards_see_as_much_as_finer_rays_say() -> None:
    """Across their width, as others do: the neighbour beyond the gap is farther away than a pixel."""
    gapped = FAN._replace(card=40, gap=5.0)
    finer = gapped._replace(pitch=gapped.pitch / 8, card=gapped.card * 8)
    lines = (LINES[:, None] + (np.arange(8) - 3.5) / 8).ravel()
    off, seen = 0.0, 0.0
    for seed in range(8):
        mesh = turned(box((70.0, 60.0, 0.4)), np.random.default_rng(seed), (0.0, -20.0, 110.0))
        coarse = areal(mesh, gapped)
        fine = areal(mesh, finer, lines).reshape(len(LINES), 8, -1, 8).mean(axis=(1, 3))
        ends = np.isin(np.arange(coarse.shape[1]) % gapped.card, (0, gapped.card - 1))
        off += np.abs(coarse - fine)[:, ends].sum()
        seen += fine[:, ends].sum()
    assert off < 0.015 * seen


def test_a_sheet_has_its_thickness_whether_met_by_rays_or_averaged() -> None:
    thin, thick = (areal(box((120, 90, height), (0, 0, 100)), FAN) for height in (0.5, 50.0))
    middle = np.s_[60:140, 240:360]
    slant = 1 / rays_of(FAN).rays[3][middle[1]]
    np.testing.assert_allclose(thin[middle], np.broadcast_to(0.05 * slant, thin[middle].shape), rtol=1e-3)
    assert np.median(thick[middle]) == pytest.approx(5, rel=0.03)


def test_a_slab_in_a_fan_is_crossed_aslant() -> None:
    found = areal(box((400, 300, 20), (0, 0, 100)), FAN)
    slant = 1 / rays_of(FAN).rays[3]
    middle = slice(100, 500)
    np.testing.assert_allclose(found[100, middle], 2 * slant[middle], rtol=1e-4)


@pytest.mark.parametrize("height", [0.0, 100.0, 250.0])
def test_a_fan_magnifies_by_the_ratio_of_the_distances(height: float) -> None:
    expected = 800 / (400 + height)
    seen = areal(box((60, 40, 1), (0, 0, height)), FAN)[100] > TRACE
    assert seen.sum() == pytest.approx(40 * expected, abs=2)
    assert magnification(FAN, 0, height) == pytest.approx(expected, rel=1e-6)
    assert magnification(DOWN, 0, height) == 1


@pytest.mark.parametrize("view", [FAN, FOLDED])
def test_points_are_seen_where_the_rays_say(view: View) -> None:
    rays = rays_of(view)
    for pixel in range(0, pixel_count(view), 37):
        y, z = rays.rays[:2, pixel]
        assert pixel_of(view, float(y), float(z)) == pytest.approx(pixel, abs=1e-6)


def test_a_detector_read_from_the_other_end_sees_the_mirror_image() -> None:
    mesh = turned(box((70, 50, 20)), np.random.default_rng(3), (0, 30, 120))
    for view in (DOWN, FAN, FOLDED):
        back = view._replace(detector=view.detector[::-1])
        if view.source is None:
            direction = rays_of(view).rays[2:] + rays_of(back).rays[2:]
            np.testing.assert_allclose(direction, 0, atol=1e-12)
        arcs, mirrored = pixel_arcs(view), pixel_arcs(back)
        assert len(arcs) == len(mirrored)
        length = sum(
            np.hypot(*np.diff(pair, axis=0)[0])
            for pair in zip(view.detector, view.detector[1:], strict=False)
        )
        seen = areal(mesh, view)[:, np.abs(arcs - length / 2) < length / 2 - 5]
        other = areal(mesh, back)[:, np.abs(mirrored - length / 2) < length / 2 - 5][:, ::-1]
        assert seen.sum() == pytest.approx(other.sum(), rel=0.01)
        assert np.abs(seen - other).max() < 0.5


def test_card_gaps_shift_what_lies_beyond_them_and_lose_what_lies_in_them() -> None:
    gapped = DOWN._replace(card=40, gap=5.0)
    assert pixel_count(gapped) < pixel_count(DOWN)
    bar = box((50, 3.5, 10), (0, -160 + 40 + 2.5, 100))
    assert areal(bar, gapped).max() == 0
    assert areal(bar, DOWN).max() > 0.9
    beyond = box((50, 10, 10), (0, 0, 100))
    assert pixel_of(gapped, 0, 100) < pixel_of(DOWN, 0, 100)
    assert areal(beyond, gapped).sum() == pytest.approx(areal(beyond, DOWN).sum(), rel=1e-4)


def test_what_lies_outside_fan_and_lines_is_cut_off() -> None:
    wide = box((1000, 700, 20), (0, 0, 100))
    found = areal(wide, FAN)
    assert (found > 1.9).all()
    assert areal(box((20, 20, 20), (500, 0, 100)), FAN).max() == 0
    assert areal(box((20, 20, 20), (0, 600, 100)), FAN).max() == 0
    assert areal(box((20, 20, 20), (0, -180, 100)), FOLDED).max() > 1
    assert areal(box((20, 20, 20), (0, -275, -150)), FOLDED).max() == 0


def test_a_footprint_is_what_a_thing_adds() -> None:
    first = thing(box((60, 60, 40), (0, 0, 100)), "steel")
    second = thing(ball(30, (15, 20, 150)), "water")
    whole = project([first, second], FAN, LINES)
    alone = footprint(second, FAN, LINES)
    rows, columns = alone.window
    np.testing.assert_allclose(
        alone.areal[0], whole.areal[whole.materials.index("water")][rows, columns], atol=1e-5
    )
    outside = whole.areal[whole.materials.index("water")].copy()
    outside[rows, columns] = 0
    assert outside.max() < TRACE
    assert alone.mask.any(axis=0).all()
    assert alone.mask.any(axis=1).all()
    rest = taken_out(whole.areal[:, rows, columns], whole.materials, alone.areal, alone.materials)
    np.testing.assert_allclose(rest[whole.materials.index("water")], 0, atol=1e-5)
    steel = whole.materials.index("steel")
    np.testing.assert_array_equal(rest[steel], whole.areal[steel][rows, columns])


def test_what_no_ray_meets_has_an_empty_footprint() -> None:
    nothing = footprint(thing(box((20, 20, 20), (900, 0, 100))), DOWN, LINES)
    assert nothing.mask.size == 0
    assert not nothing.mask.any()
    assert footprint(Thing("empty", "analytic", ()), DOWN, LINES).areal.size == 0


def test_an_empty_belt_has_no_materials() -> None:
    found = project([], DOWN, LINES)
    assert found.materials == ()
    assert found.areal.shape == (0, len(LINES), pixel_count(DOWN))


@pytest.mark.parametrize(
    ("mesh", "complaint"),
    [
        (Mesh(np.zeros((3, 2), np.float32), np.zeros((1, 3), np.int32)), r"expected \(n, 3\)"),
        (Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 3]], np.int32)), "expected 0 to 2"),
        (Mesh(np.zeros((3, 3), np.float32), np.array([[0, -1, 2]], np.int32)), "expected 0 to 2"),
        (Mesh(np.full((3, 3), np.nan, np.float32), np.array([[0, 1, 2]], np.int32)), "NaN"),
        (box((10, 10, 10), (0, 0, -500)), "behind the source"),
    ],
)
def test_meshes_that_are_none_are_refused(mesh: Mesh, complaint: str) -> None:
    with pytest.raises(SceneError, match=complaint):
        project([thing(mesh)], FAN, LINES)


@pytest.mark.parametrize(
    "view",
    [
        View("point", None, ((0.0, 0.0),), 1.0),
        View("short", None, ((0.0, 0.0), (0.5, 0.0)), 1.0),
        View("back", (0.0, -100.0), ((-50.0, 100.0), (50.0, 100.0), (-50.0, 120.0)), 1.0),
        View("edge on", (0.0, 0.0), ((10.0, 0.0), (60.0, 0.0)), 1.0),
    ],
)
def test_views_that_cannot_be_are_refused(view: View) -> None:
    with pytest.raises(SceneError, match=view.name):
        rays_of(view)

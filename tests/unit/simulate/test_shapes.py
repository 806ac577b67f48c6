"""Meshes are closed, outward, and as large as their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_checks import is_closed

from nii_edge.simulate import shapes as s
from nii_edge.simulate.solids import Mesh

LENGTH = st.floats(1.0, 300.0)


def polygon_area(sides: int) -> float:
    """Of a regular polygon of outer radius 1."""
    return sides / 2 * np.sin(2 * np.pi / sides)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (s.box(2, 3, 4), 24.0),
        (s.shell_box(10, 10, 10, 1), 1000.0 - 512),
        (s.cylinder(5, 10, 24), polygon_area(24) * 25 * 10),
        (s.tube(5, 4, 10, 24), polygon_area(24) * (25 - 16) * 10),
        (s.frustum(6, 3, 9, 24), polygon_area(24) * 9 / 3 * (36 + 18 + 9)),
        (s.sphere(10, 120), 4 / 3 * np.pi * 1000),
        (s.capsule(5, 30, 96), np.pi * 25 * 20 + 4 / 3 * np.pi * 125),
        (s.torus(20, 3, 96, 48), 2 * np.pi**2 * 20 * 9),
        # the core, a slab on each face, a quarter cylinder on each edge, an eighth of a ball on each corner
        (
            s.rounded_box(40, 30, 20, 5, 12),
            30 * 20 * 10 + 2 * 5 * (600 + 300 + 200) + np.pi * 25 * 60 + 4 / 3 * np.pi * 125,
        ),
        (s.extrude(s.rectangle(0, 0, 10, 8).difference(s.rectangle(2, 2, 5, 6)), -1, 2), (80 - 12) * 3.0),
        (s.sweep([(0, 0, 0), (50, 0, 0), (100, 0, 0)], 4, 48), np.pi * 16 * 100),
        (s.spring(10, 60, 8, 1.0, 48), polygon_area(5) * 8 * np.hypot(2 * np.pi * 10, 60 / 8)),
    ],
    ids=str,
)  # fmt: skip
def test_a_primitive_has_the_volume_of_its_formula(mesh: Mesh, expected: float) -> None:
    assert is_closed(mesh)
    assert s.volume(mesh) == pytest.approx(expected, rel=0.015)


@given(x=LENGTH, y=LENGTH, z=LENGTH, share=st.floats(0.05, 0.49))
def test_boxes_fill_exactly_the_size_they_were_asked_for(x: float, y: float, z: float, share: float) -> None:
    for mesh in (
        s.box(x, y, z),
        s.rounded_box(x, y, z, share * min(x, y, z)),
        s.shell_box(x, y, z, share * min(x, y, z)),
    ):
        low, high = s.bounds(mesh)
        np.testing.assert_allclose(high - low, [x, y, z], rtol=1e-4)
        assert is_closed(mesh)
        assert 0 < s.volume(mesh) <= x * y * z * 1.0001


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), holes=st.integers(0, 12))
def test_any_outline_with_any_holes_becomes_a_closed_solid_of_its_area(seed: int, holes: int) -> None:
    rng = np.random.default_rng(seed)
    points = s.spline(
        np.c_[np.cos(a := np.sort(rng.uniform(0, 6.28, 9))), np.sin(a)] * rng.uniform(20, 60, (9, 1)), 5
    )
    outline = s.polygon(points)
    for _ in range(holes):
        x, y, r = *rng.uniform(-40, 40, 2), rng.uniform(1, 9)
        outline = outline.difference(
            s.circle(x, y, r) if rng.random() < 0.5 else s.rectangle(x, y, x + r, y + r)
        )
    area = outline.area
    if area < 50:
        return
    mesh = s.extrude(outline, 0, 3)
    assert is_closed(mesh)
    assert s.volume(mesh) == pytest.approx(3 * area, rel=0.02)


def test_extruding_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        s.extrude(s.rectangle(0, 0, 1, 1).difference(s.rectangle(-1, -1, 2, 2)), 0, 1)
    with pytest.raises(ValueError, match="above"):
        s.extrude(s.rectangle(0, 0, 1, 1), 1, 1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), layers=st.integers(1, 9), sharpness=st.floats(0, 3))
def test_cloth_keeps_its_bulk_whatever_its_creases(seed: int, layers: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    mesh = s.cloth_pile(rng, (300, 200, 30), layers, 30.0, sharpness, 32)
    assert is_closed(mesh)
    assert s.volume(mesh) == pytest.approx(300 * 200 * 30, rel=0.12)
    assert s.bounds(mesh)[0, 2] >= 0
    for other in (s.sheet(rng, (200, 120), 1.0, 12.0), s.crumpled(rng, (40, 30, 20), 0.3)):
        assert is_closed(other)
        assert s.volume(other) > 0


def test_creases_are_denser_than_flat_cloth() -> None:
    flat = s.cloth_pile(np.random.default_rng(1), (300, 300, 20), 1, 30.0, 0.0, 64)
    creased = s.cloth_pile(np.random.default_rng(1), (300, 300, 20), 1, 30.0, 3.0, 64)
    spread = []
    for mesh in (flat, creased):
        half = len(mesh.vertices) // 2
        thick = (mesh.vertices[half:, 2] - mesh.vertices[:half, 2]).reshape(65, 65)[12:-12, 12:-12]
        spread.append(float(thick.std() / thick.mean()))
    assert spread[1] > 2 * spread[0]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_moving_turning_and_mirroring_keep_volume_and_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = s.moved(s.tube(7, 5, 20), *rng.uniform(-500, 500, 3))
    before = s.volume(mesh)
    ways = s.random_rotations(rng, 3)
    np.testing.assert_allclose(
        ways @ ways.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(ways), 1.0)
    for made in (
        s.turned(mesh, ways[0]),
        s.mirrored(mesh, "y"),
        s.directed(mesh, (0, 0, 0), rng.normal(size=3)),
        s.centred(mesh),
    ):
        assert is_closed(made)
        assert s.volume(made) == pytest.approx(before, rel=1e-3)
    assert s.volume(s.inside_out(mesh)) == pytest.approx(-before, rel=1e-6)
    many = s.repeated(mesh, rng.uniform(-900, 900, (3, 3)), ways)
    assert is_closed(many)
    assert s.volume(many) == pytest.approx(3 * before, rel=1e-3)

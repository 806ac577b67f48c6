"""Faces in one plane taken together: the same path lengths in fewer pieces."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import box, thing
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.simulate.flats import CORNERS, flat, normal_of
from nii_edge.simulate.geometry import View
from nii_edge.simulate.project import project
from nii_edge.simulate.shapes.extrude import extrude
from nii_edge.simulate.shapes.outline import polygon
from nii_edge.simulate.shapes.primitives import cylinder, shell_box, tube
from nii_edge.simulate.shapes.transform import moved
from nii_edge.simulate.shapes.transform import turned as tilted
from nii_edge.simulate.solids import Mesh

FAN = View("fan", (0.0, -400.0), ((-300.0, 400.0), (300.0, 400.0)), 1.0)
DOWN = View("down", None, ((-160.0, 300.0), (160.0, 300.0)), 1.0)
LINES = np.arange(-100, 100) + 0.25
STAR = [(40.0 * np.cos(k * np.pi / 5) * (1 - k % 2 / 2), 40.0 * np.sin(k * np.pi / 5) * (1 - k % 2 / 2))
        for k in range(10)]  # fmt: skip
SOLIDS = {
    "cylinder": cylinder(40.0, 60.0),
    "tube": tube(40.0, 30.0, 60.0),
    "star": extrude(polygon(STAR), -20.0, 20.0),
    "shell": shell_box(80.0, 60.0, 50.0, 0.4),
}


def outlines(mesh: Mesh) -> list[tuple[int, list[int]]]:
    """How many faces each outline is of, and its corners."""
    ring = np.zeros(CORNERS, np.int32)
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces.astype(np.int32)
    found, face = [], 0
    while face < len(faces):
        taken, corners = flat(vertices, faces, face, normal_of(vertices, *faces[face]), ring)
        found.append((taken, ring[:corners].tolist()))
        face += taken
    return found


def test_a_box_has_six_rectangles() -> None:
    assert sorted(taken for taken, _ in outlines(box((100, 80, 60), (3, 4, 50)))) == [2] * 6


@pytest.mark.parametrize("name", SOLIDS)
def test_outlines_are_convex_and_cover_the_faces(name: str) -> None:
    mesh = SOLIDS[name]
    points = mesh.vertices.astype(np.float64)
    first = 0
    for taken, ring in outlines(mesh):
        corners = points[ring]
        faces = points[mesh.faces[first : first + taken]]
        normal = np.cross(faces[0, 1] - faces[0, 0], faces[0, 2] - faces[0, 0])
        edges = np.roll(corners, -1, axis=0) - corners
        turns = np.cross(edges, np.roll(edges, -1, axis=0)) @ normal
        assert (turns >= -1e-6 * normal @ normal).all()
        area = np.linalg.norm(np.cross(corners[1:-1] - corners[0], corners[2:] - corners[0]).sum(axis=0))
        whole = np.linalg.norm(np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0]), axis=1).sum()
        assert area == pytest.approx(whole, rel=1e-6)
        first += taken
    assert first == len(mesh.faces)


def test_what_is_folded_back_or_has_no_area_is_not_taken_along() -> None:
    points = np.array([(0, 0, 0), (10, 0, 0), (10, 10, 0), (2, 1, 0), (5, 5, 0)], np.float32)
    folded = Mesh(points, np.array([(0, 1, 2), (2, 1, 3)], np.int32))
    on_the_edge = Mesh(points, np.array([(0, 1, 2), (0, 2, 4)], np.int32))
    first_empty = Mesh(points, np.array([(0, 4, 2), (2, 4, 1)], np.int32))
    for mesh in (folded, on_the_edge, first_empty):
        assert [taken for taken, _ in outlines(mesh)] == [1, 1]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(SOLIDS)), st.sampled_from([FAN, DOWN]), st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(1, 359)] * 2),
)  # fmt: skip
def test_the_order_of_faces_changes_no_path_length(
    name: str, view: View, seed: int, degrees: tuple[float, float]
) -> None:
    mesh = moved(tilted(tilted(SOLIDS[name], "x", degrees[0]), "z", degrees[1]), 3.0, 5.0, 110.0)
    shuffled = Mesh(mesh.vertices, np.random.default_rng(seed).permutation(mesh.faces))
    assert len(outlines(shuffled)) > len(outlines(mesh))
    one, other = (project([thing(each)], view, LINES).areal[0] for each in (mesh, shuffled))
    # Vertices are in single precision, so two triangles of a turned square differ by about 1e-5 mm in their
    # plane. A ray that just grazes it meets them up to millimetres apart, and is in or out beside an edge.
    off = np.abs(one - other)
    assert (off > 1e-4).mean() < 1e-2
    assert (off > 2e-2).mean() < 1e-3
    assert one.sum() == pytest.approx(other.sum(), rel=2e-3)


def test_a_turned_boxs_mass_is_that_of_its_volume() -> None:
    mesh = moved(tilted(tilted(box((100, 80, 60), (0, 0, 0)), "x", 17.0), "z", 63.0), 0.0, 0.0, 130.0)
    assert project([thing(mesh)], DOWN, LINES).areal[0].sum() / 100 == pytest.approx(480.0, rel=0.01)

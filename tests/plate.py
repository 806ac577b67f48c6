"""The test piece of configs/test-piece.yaml as a thing to be scanned; without its wires and edges."""

from __future__ import annotations

from harness import ROOT

from nii_edge.adapters.self_test_files import PieceFile
from nii_edge.config import load
from nii_edge.simulate.shapes.primitives import box
from nii_edge.simulate.shapes.transform import moved
from nii_edge.simulate.solids import Mesh, Part, Thing

PIECE = load(ROOT / "configs" / "test-piece.yaml", PieceFile).piece
BASE_MM, BAR_MM = 6.4, 1.8
PATCH_MM = {"polyethylene": 64.0, "aluminium": 15.0, "steel": 1.5}


def plate() -> Thing:
    """It lies on the belt, x along it."""
    parts = [Part(_block((0, 0, *PIECE.size_mm), 0, BASE_MM), "polyethylene")]
    for step in PIECE.steps:
        left, right = step.bar[0] - 2, step.beside[2] + 2
        parts.append(Part(_block((left, 8, step.bar[2] + 1, 44), BASE_MM, BAR_MM), "lead"))
        parts.append(Part(_block((left, 8, right, 44), BASE_MM + BAR_MM, step.steel_mm), "steel"))
    for patch in PIECE.patches:
        x0, y0, x1, y1 = patch.place
        around = x0 - 2, y0 - 2, x1 + 2, y1 + 2
        parts.append(Part(_block(around, 0, BASE_MM), "polyethylene", -1.0))
        parts.append(Part(_block(around, BASE_MM, PATCH_MM[patch.material]), patch.material))
    return Thing("test piece", PIECE.name, tuple(parts))


def _block(place: tuple[float, float, float, float], above: float, high: float) -> Mesh:
    """Of the piece's millimetres, its middle in the middle of the belt."""
    x0, y0, x1, y1 = place
    middle = (x0 + x1 - PIECE.size_mm[0]) / 2, (y0 + y1 - PIECE.size_mm[1]) / 2
    return moved(box(x1 - x0, y1 - y0, high), *middle, above + high / 2)

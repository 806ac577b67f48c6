#!/usr/bin/env python3
"""Compare the simulator's projections with gVirtualXRay's, an independent simulator, on a few scenes.

Needs `pip install gvxr` beside this package, and OpenGL; without a screen, Mesa and Xvfb do::

    apt-get install xvfb libgl1 libegl1 libgl1-mesa-dri libxcb-res0 libxcb-ewmh2 libxcb-composite0 \
        libxcb-xinerama0 libxcb-keysyms1 libxcb-icccm4
    xvfb-run -a tools/compare_gvxr.py

Each scene is seen in parallel rays, whole, and in one line of a fan, at two energies. Both sides get the
same meshes, formulas and densities; gvxr has its own ray casting and its own attenuation tables. What is
printed are differences in depth, -ln T, as shares of the scene's greatest depth. Not run by CI.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gvxrPython3 import gvxr

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from analytic import ball, box, inside_out, joined, turned  # noqa: E402

from nii_edge.simulate.geometry import View  # noqa: E402
from nii_edge.simulate.materials import mass_attenuation, material  # noqa: E402
from nii_edge.simulate.project import project  # noqa: E402
from nii_edge.simulate.solids import Mesh, Part, Thing  # noqa: E402

Floats = npt.NDArray[np.float64]

ENERGIES = (60.0, 100.0)
"""keV: about the mean energies of the two layers."""
PIXELS = 257
"""Per side of the picture, of 1 mm; odd, so that the middle line of gvxr's cone of rays is a fan."""
SOURCE, DETECTOR = -400.0, 400.0
"""Heights of fan source and detector in mm; the belt is at 0."""
FINER = 5
"""How often the triangles of boxes are split in four for gvxr."""
DEEPEST = 15.0
"""-ln T beyond which gvxr's single precision is not compared."""
LIMITS = {"median": 0.001, "p95": 0.01}
"""Of the differences; a pixel on an edge may fall to either side of it."""


def scenes() -> dict[str, tuple[Part, ...]]:
    """Parts of pure compounds only: gvxr's mixtures are of elements."""
    rng = np.random.default_rng(4)
    shell = joined(box((180, 160, 120), (0, 0, 90)), inside_out(box((172, 152, 112), (0, 0, 90))))
    return {
        "ball of water": (Part(ball(60, (0, 0, 90)), "water"),),
        "iron plate aslant": (Part(turned(box((90, 70, 4)), rng, (0, 0, 90)), "iron"),),
        "carton": (
            Part(shell, "cardboard"),
            Part(turned(box((60, 40, 30)), rng, (-20, 20, 80)), "polyethylene"),
            Part(ball(25, (10, -30, 90)), "pvc"),
            Part(turned(box((70, 20, 6)), rng, (0, 40, 100)), "aluminium"),
            Part(turned(box((50, 30, 2)), rng, (0, -40, 70)), "copper"),
        ),
    }


def ours(parts: tuple[Part, ...], view: View, lines: Floats, energy: float) -> Floats:
    """Depth (lines, pixels) by this package."""
    found = project([Thing("scene", "scene", parts)], view, lines)
    weights = [mass_attenuation(name, np.array((energy,)))[0] for name in found.materials]
    return np.tensordot(np.array(weights), found.areal.astype(np.float64), axes=1)


def split(mesh: Mesh, times: int) -> Mesh:
    """The same surface with each triangle split in four, `times` over."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    for _ in range(times):
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        corners = np.concatenate(
            [np.stack(part, axis=1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
    return Mesh(
        corners.reshape(-1, 3).astype(np.float32), np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
    )


def load(parts: tuple[Part, ...]) -> None:
    """Give the parts to gvxr, in triangles so small that its interpolation of depth over each of them is
    exact: in a cone of rays, a plate of two large triangles a side comes out up to 2 % wrong."""
    gvxr.removePolygonMeshesFromSceneGraph()
    for index, part in enumerate(parts):
        label = f"part{index}"
        fine = split(part.mesh, FINER if len(part.mesh.faces) < 100 else 0)
        gvxr.makeTriangularMesh(label, fine.vertices.ravel().tolist(), fine.faces.ravel().tolist(), "mm")
        made = material(part.material)
        ((formula, _),) = made.mix
        gvxr.setCompound(label, formula)
        gvxr.setDensity(label, made.density * part.fill, "g/cm3")
        gvxr.addPolygonMeshAsInnerSurface(label)


def theirs(energy: float, parallel: bool) -> Floats:
    """Depth (lines along x, pixels along y) by gvxr, of what is loaded."""
    gvxr.setSourcePosition(0.0, 0.0, SOURCE, "mm")
    if parallel:
        gvxr.useParallelBeam()
    else:
        gvxr.usePointSource()
    gvxr.setMonoChromatic(energy, "keV", 1000)
    gvxr.setDetectorPosition(0.0, 0.0, DETECTOR, "mm")
    gvxr.setDetectorUpVector(1, 0, 0)
    gvxr.setDetectorNumberOfPixels(PIXELS, PIXELS)
    side = 1.0 if parallel else (DETECTOR - SOURCE) / -SOURCE
    gvxr.setDetectorPixelSize(side, side, "mm")
    picture = np.array(gvxr.computeXRayImage(), np.float64)
    depth: npt.NDArray[np.float64] = -np.log(np.maximum(picture / picture.max(), 1e-12))
    return depth


def orientation(reference: Floats, picture: Floats) -> tuple[bool, int]:
    """How gvxr's axes lie to ours: whether to mirror its pictures, and quarter turns after that."""
    return min(
        ((mirror, turns) for mirror in (False, True) for turns in range(4)),
        key=lambda way: float(np.abs(turned_like(picture, way) - reference).sum()),
    )


def turned_like(picture: Floats, way: tuple[bool, int]) -> Floats:
    """A picture of gvxr's in our axes."""
    return np.rot90(picture[:, ::-1] if way[0] else picture, way[1])


def difference(reference: Floats, picture: Floats) -> dict[str, float]:
    """Shares of the greatest depth by which the pictures differ, where either shows anything."""
    seen = (np.maximum(reference, picture) > 1e-3) & (reference < DEEPEST)
    reference, picture = reference[seen], picture[seen]
    shares = np.abs(reference - picture) / reference.max()
    return {
        "greatest_depth": round(float(reference.max()), 4),
        "median": round(float(np.median(shares)), 5),
        "p95": round(float(np.percentile(shares, 95)), 5),
        "total": round(float(picture.sum() / reference.sum()), 5),
    }


def main() -> int:
    """Print one JSON object; exit status 1 if a scene differs by more than `LIMITS`."""
    gvxr.createOpenGLContext()
    half, side = PIXELS // 2, PIXELS / 2
    flat = View("flat", None, ((-side, DETECTOR), (side, DETECTOR)), 1.0)
    wide = side * (DETECTOR - SOURCE) / -SOURCE
    fan = View("fan", (0.0, SOURCE), ((-wide, DETECTOR), (wide, DETECTOR)), 2 * wide / PIXELS)
    lines = np.arange(PIXELS, dtype=np.float64) - half
    report: dict[str, dict[str, float]] = {}
    lopsided = scenes()["carton"]
    load(lopsided)
    way = orientation(ours(lopsided, flat, lines, ENERGIES[1]), theirs(ENERGIES[1], parallel=True))
    for name, parts in scenes().items():
        load(parts)
        for energy in ENERGIES:
            for rays, view, middle in (("parallel", flat, slice(None)), ("fan", fan, slice(half, half + 1))):
                picture = turned_like(theirs(energy, parallel=view is flat), way)
                report[f"{name}, {rays}, {energy:.0f} keV"] = difference(
                    ours(parts, view, lines, energy)[middle], picture[middle]
                )
    agrees = all(found[key] <= limit for found in report.values() for key, limit in LIMITS.items())
    print(json.dumps({"agrees": agrees, "limits": LIMITS, "scenes": report}, indent=2))
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())

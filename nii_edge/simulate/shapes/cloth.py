"""Cloth and paper: thin layers full of creases.

Where a sheet of thickness t stands at an angle, the way straight through it is t·sqrt(1 + |slope|²): creases
show as lines. A pile of layers is one slab whose thickness carries the creases of all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.shapes.primitives import sphere
from nii_edge.simulate.solids import Mesh, Triangles

Grid = npt.NDArray[np.float64]
Generator = np.random.Generator


@lru_cache(maxsize=64)
def _sheet_faces(rows: int, columns: int) -> Triangles:
    """Two grids of points, the lower one first, closed by a rim."""
    count = rows * columns
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    b, c, d = a + columns, a + columns + 1, a + 1
    top = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]) + count
    edge = np.concatenate([
        np.arange(rows - 1) * columns,
        (rows - 1) * columns + np.arange(columns - 1),
        np.arange(rows - 1, 0, -1) * columns + columns - 1,
        np.arange(columns - 1, 0, -1),
    ])  # fmt: skip
    after = np.roll(edge, -1)
    rim = np.concatenate(
        [np.stack([edge, after, after + count], 1), np.stack([edge, after + count, edge + count], 1)]
    )
    return np.concatenate([top[:, ::-1] - count, top, rim]).astype(np.int32)


def height_slab(x: Grid, y: Grid, low: Grid, high: Grid) -> Mesh:
    """The solid between two height fields over a grid.

    Args:
        x, y, low, high: (rows, columns) in mm; x grows with the row, y with the column; low below high.
    """
    vertices = np.empty((2, *x.shape, 3), np.float32)
    vertices[..., 0], vertices[..., 1] = x, y
    vertices[0, ..., 2], vertices[1, ..., 2] = low, high
    return Mesh(vertices.reshape(-1, 3), _sheet_faces(*x.shape))


class Creases(NamedTuple):
    """A rumpled height field over a grid: `height` (mean 0, about ±1), `slope` (the square of its slope times
    the wavelength²), and `lines`, 1 along the crests of sharp folds and 0 between them."""

    height: Grid
    slope: Grid
    lines: Grid


def creases(rng: Generator, x: Grid, y: Grid, wavelength: float, folds: int) -> Creases:
    """Bent waves in random directions, deep here and shallow there."""
    angle, phase = rng.uniform(0, np.pi, folds), rng.uniform(0, 2 * np.pi, folds)
    size = 2 * np.pi / (wavelength * rng.uniform(0.35, 1.6, folds))
    kx, ky = size * np.cos(angle), size * np.sin(angle)
    bend = rng.uniform(-1, 1, (2, folds)) * 1.5
    height, slope_x, slope_y, lines = (np.zeros_like(x) for _ in range(4))
    for k in range(folds):
        across, along = kx[k] * x + ky[k] * y, kx[k] * y - ky[k] * x
        run = across + phase[k] + bend[0, k] * np.sin(0.23 * along + phase[-k])
        depth = (0.6 + 0.4 * np.sin(0.31 * along + 3 * bend[1, k])) / np.sqrt(folds)
        crest = np.sin(run)
        height += depth * crest
        slope = depth * np.cos(run) * wavelength
        slope_x += slope * kx[k]
        slope_y += slope * ky[k]
        # crest^16 keeps a sixth of the wave: a fold pressed to a line
        lines += np.clip(crest, 0, 1) ** 16 * np.clip(np.sin(0.5 * along + 5 * bend[1, k]), 0, 1)
    return Creases(height, slope_x**2 + slope_y**2, lines)


def sheet(
    rng: Generator, size: tuple[float, float], thickness: float, rumple: float, wavelength: float = 40.0,
    cells: int = 32,
) -> Mesh:  # fmt: skip
    """One rumpled layer about the origin: `rumple` is how high its folds are, `wavelength` how wide, in mm."""
    x, y = _grid(size, cells, 0.0, np.zeros(4))
    folds = creases(rng, x, y, wavelength, 6)
    half = thickness / 2 * (np.sqrt(1 + folds.slope * (rumple / wavelength) ** 2) + 2 * folds.lines)
    return height_slab(x, y, rumple * folds.height - half, rumple * folds.height + half)


def cloth_pile(
    rng: Generator,
    size: tuple[float, float, float],
    layers: int = 6,
    wavelength: float = 30.0,
    sharpness: float = 1.2,
    cells: int = 64,
    ragged: float = 0.06,
) -> Mesh:
    """Folded or crumpled cloth: one slab of this mean size, standing on z = 0, for a `fill` below 1.

    `layers`: how many rumpled layers show through; the more, the finer and fainter the pattern.
    `sharpness`: how much denser creases are than flat cloth, 0 for none.
    `ragged`: by what share of its size the outline waves in and out.
    """
    x, y = _grid(size[:2], cells, ragged, rng.uniform(0, 2 * np.pi, 4))
    thick = np.zeros_like(x)
    top = creases(rng, x, y, 2.2 * wavelength, 4).height
    for _ in range(layers):
        folds = creases(rng, x, y, wavelength * float(rng.uniform(0.5, 1.6)), 3)
        thick += np.sqrt(1 + folds.slope * (0.2 * sharpness) ** 2) + sharpness * folds.lines
    thick *= _soft_edge(x.shape) * (1 + 0.12 * top)
    thick *= size[2] / float(thick.mean())
    low = np.maximum(0.0, 0.5 * (float(thick.max()) - thick) * 0.5)
    return height_slab(x, y, low, low + np.maximum(thick, 0.05 * size[2]))


def crumpled(
    rng: Generator, radii: tuple[float, float, float], roughness: float = 0.25, segments: int = 20
) -> Mesh:
    """A lump about the origin: a crumpled ball of paper, a sock, a piece of fruit at low roughness."""
    ball = sphere(1.0, segments)
    v = ball.vertices.astype(np.float64)
    ways = rng.normal(size=(3, 7)) * 3.5
    bumps = np.sin(v @ ways + rng.uniform(0, 6.3, 7)).mean(axis=1) * 1.6
    swollen = v * (1 + roughness * bumps)[:, None] * np.asarray(radii)
    return Mesh(swollen.astype(np.float32), ball.faces)


def _grid(size: tuple[float, float], cells: int, ragged: float, phase: Grid) -> tuple[Grid, Grid]:
    rows = max(4, int(cells * min(1.0, size[0] / max(size[1], 1e-6))) + 1)
    columns = max(4, int(cells * min(1.0, size[1] / max(size[0], 1e-6))) + 1)
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, rows), np.linspace(-0.5, 0.5, columns), indexing="ij")
    bow_x = 1 - ragged / 4 * (2 + np.sin(6.6 * v + phase[0]) + np.sin(14 * v + phase[1]))
    bow_y = 1 - ragged / 4 * (2 + np.sin(6.6 * u + phase[2]) + np.sin(14 * u + phase[3]))
    return size[0] * u * bow_x, size[1] * v * bow_y


def _soft_edge(shape: tuple[int, ...]) -> Grid:
    """Over a grid: 1 inside, falling to a third over the outermost sixth of the half width."""
    u, v = (1 - np.abs(np.linspace(-1, 1, count)) for count in shape)
    near = np.minimum(u[:, None], v[None])
    edge: Grid = 0.34 + 0.66 * np.clip(near / 0.16, 0, 1) ** 0.5
    return edge

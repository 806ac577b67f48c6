"""What all makers of objects share: draws, hollow bodies, rods, cartridges. Side views lie in x-y."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import shapely

from nii_edge.simulate.shapes import (
    cylinder,
    directed,
    extrude,
    merge,
    moved,
    puffed,
    revolve,
    spring,
    stack_bounds,
    tube,
)
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.solids import Mesh, Part

Generator = np.random.Generator
Maker = Callable[[Generator], tuple[Part, ...]]
Spread = tuple[float, float]
T = TypeVar("T")


def draw(rng: Generator, spread: Spread) -> float:
    """One number from a range."""
    return float(rng.uniform(*spread))


def pick(rng: Generator, options: Sequence[T]) -> T:
    """One of several."""
    return options[int(rng.integers(len(options)))]


def grouped(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The same matter in as few parts as there are pairs of material and fill."""
    kinds: dict[tuple[str, float], list[Mesh]] = {}
    for part in parts:
        kinds.setdefault((part.material, part.fill), []).append(part.mesh)
    return tuple(
        Part(merge(meshes) if len(meshes) > 1 else meshes[0], material, fill)
        for (material, fill), meshes in kinds.items()
    )


def middle(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts moved together so that the box around them is centred on the origin."""
    every = tuple(parts)
    x, y, z = (float(v) for v in -stack_bounds([part.mesh for part in every]).mean(axis=0))
    return tuple(Part(moved(part.mesh, x, y, z), part.material, part.fill) for part in every)


def slab(outline: Outline, thickness: float, edge: float = 0.0, z: float = 0.0) -> Mesh:
    """A plate about z: full, or with edges stepped back by `edge`."""
    low, high = z - thickness / 2, z + thickness / 2
    return puffed(outline, low, high, edge) if edge > 0 else extrude(outline, low, high)


def hollow(outline: Outline, thickness: float, wall: float, port: Outline | None = None) -> Mesh:
    """A box with this outline and walls all round; `port` is cut out of the wall on the upper side."""
    half = thickness / 2
    core = outline.buffer(-wall)
    if core.is_empty or wall >= half:
        return slab(outline, thickness)
    upper = outline if port is None else outline.difference(port)
    return merge([
        extrude(outline, -half, wall - half),
        extrude(outline.difference(core), wall - half, half - wall),
        extrude(upper, half - wall, half),
    ])  # fmt: skip


def slanted(outline: Outline, shift: float, y0: float, y1: float) -> Outline:
    """The outline leaning: unmoved at y = `y0`, moved by `shift` along x at `y1`."""
    lean = shift / (y1 - y0)
    return shapely.affinity.affine_transform(outline, [1, lean, 0, 1, -lean * y0, 0])


def rod(start: Sequence[float], end: Sequence[float], radius: float, segments: int = 16) -> Mesh:
    """A round bar between two points of space."""
    return directed(cylinder(radius, float(np.linalg.norm(np.subtract(end, start))), segments), start, end)


def pipe(
    start: Sequence[float], end: Sequence[float], outer: float, inner: float, segments: int = 20
) -> Mesh:
    """A tube between two points of space."""
    length = float(np.linalg.norm(np.subtract(end, start)))
    return directed(tube(outer, inner, length, segments), start, end)


def coil(start: Sequence[float], end: Sequence[float], radius: float, turns: float, wire: float) -> Mesh:
    """A coil spring between two points of space."""
    length = float(np.linalg.norm(np.subtract(end, start)))
    return directed(spring(radius, length, turns, wire, per_turn=8), start, end)


def pin(x: float, y: float, radius: float, length: float) -> Mesh:
    """A round pin through the plane, about z = 0."""
    return moved(cylinder(radius, length, 10), x, y, -length / 2)


def cartridge(base: Sequence[float], tip: Sequence[float], radius: float) -> list[Part]:
    """A loaded round: brass case, powder, lead bullet."""
    length = float(np.linalg.norm(np.subtract(tip, base)))
    case = tube(radius, 0.86 * radius, 0.62 * length, 12)
    head = cylinder(radius * 1.05, 0.1 * length, 12)
    bullet = revolve([
        (0.86 * radius, 0.5 * length), (0.86 * radius, 0.7 * length), (0.5 * radius, 0.92 * length),
        (0.05 * radius, length),
    ], 12)  # fmt: skip
    powder = moved(cylinder(0.85 * radius, 0.35 * length, 12), z=0.12 * length)
    return [
        Part(directed(merge([case, head]), base, tip), "brass"),
        Part(directed(bullet, base, tip), "lead"),
        Part(directed(powder, base, tip), "gunpowder"),
    ]


def inset(mesh: Mesh, material: str, host: str) -> list[Part]:
    """Something inside a body of another material, which gives way to it."""
    return [Part(mesh, material), Part(mesh, host, -1.0)]

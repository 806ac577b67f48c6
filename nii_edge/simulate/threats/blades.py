"""Blades and handles. The point lies along +x, the heel at x = 0, the edge along -y, the flat across z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nii_edge.simulate.kit import Generator, draw, inset, pick, pin, slab
from nii_edge.simulate.shapes import chain, circle, extrude, loft, merge, polygon, spline
from nii_edge.simulate.shapes.outline import Outline
from nii_edge.simulate.shapes.transform import Floats
from nii_edge.simulate.solids import Mesh, Part

Stations = Sequence[tuple[float, float, float]]


class Profile(NamedTuple):
    """A blade from the side: (share of the length, spine, edge), both as shares of the height, edge below.

    `double`: ground on both sides, so thickest along its middle. `grind`: where the bevel begins, as a share
    of the height above the edge.
    """

    stations: Stations
    grind: float = 0.5
    double: bool = False
    saw: float = 0.0


PROFILES: dict[str, Profile] = {
    "chef": Profile([(0, 0.5, -0.5), (0.3, 0.49, -0.5), (0.6, 0.42, -0.4), (0.85, 0.22, -0.14), (1, -0.02, -0.03)], 0.9),
    "santoku": Profile([(0, 0.5, -0.5), (0.6, 0.49, -0.49), (0.85, 0.4, -0.42), (0.95, 0.1, -0.38), (1, -0.3, -0.34)], 0.7),
    "nakiri": Profile([(0, 0.5, -0.48), (0.5, 0.5, -0.5), (0.93, 0.48, -0.46), (1, 0.36, -0.34)], 0.8),
    "cleaver": Profile([(0, 0.44, -0.5), (0.5, 0.48, -0.5), (0.97, 0.5, -0.48), (1, 0.48, -0.44)], 0.4),
    "tall": Profile([(0, 0.5, -0.48), (0.4, 0.5, -0.5), (0.96, 0.48, -0.46), (1, 0.42, -0.4)], 0.7),
    "paring": Profile([(0, 0.5, -0.5), (0.5, 0.42, -0.48), (0.85, 0.16, -0.3), (1, -0.1, -0.12)], 0.8),
    "bread": Profile([(0, 0.5, -0.46), (0.5, 0.5, -0.5), (0.92, 0.46, -0.44), (1, 0.1, -0.06)], 0.3, saw=0.08),
    "carving": Profile([(0, 0.5, -0.5), (0.6, 0.46, -0.46), (0.9, 0.3, -0.2), (1, 0.1, 0.06)], 0.8),
    "fillet": Profile([(0, 0.5, -0.5), (0.15, 0.3, -0.4), (0.6, 0.24, -0.22), (0.9, 0.36, 0.1), (1, 0.5, 0.46)], 0.8),
    "drop": Profile([(0, 0.5, -0.4), (0.4, 0.5, -0.5), (0.75, 0.36, -0.36), (0.93, 0.16, -0.08), (1, 0.02, 0)], 0.55),
    "clip": Profile([(0, 0.5, -0.44), (0.55, 0.5, -0.5), (0.64, 0.46, -0.48), (0.82, 0.1, -0.3), (0.95, 0.04, -0.08), (1, 0.04, 0.02)], 0.45),
    "tanto": Profile([(0, 0.5, -0.5), (0.6, 0.5, -0.5), (0.78, 0.5, -0.46), (0.8, 0.49, -0.42), (1, 0.44, 0.4)], 0.5),
    "dagger": Profile([(0, 0.42, -0.42), (0.1, 0.5, -0.5), (0.55, 0.4, -0.4), (0.85, 0.2, -0.2), (1, 0.02, -0.02)], 0.5, True),
    "needle": Profile([(0, 0.5, -0.5), (0.3, 0.4, -0.4), (0.8, 0.2, -0.2), (1, 0.04, -0.04)], 0.5, True),
    "leaf": Profile([(0, 0.3, -0.3), (0.2, 0.26, -0.26), (0.6, 0.5, -0.5), (0.85, 0.3, -0.3), (1, 0.02, -0.02)], 0.5, True),
    "hawk": Profile([(0, 0.3, -0.5), (0.3, 0.5, -0.32), (0.6, 0.46, -0.2), (0.85, 0.1, -0.35), (1, -0.48, -0.5)], 0.5),
    "kukri": Profile([(0, 0.1, -0.12), (0.3, 0.3, 0.02), (0.5, 0.26, -0.25), (0.75, -0.02, -0.5), (0.92, -0.3, -0.48), (1, -0.5, -0.5)], 0.4),
    "machete": Profile([(0, 0.3, -0.3), (0.5, 0.4, -0.4), (0.85, 0.5, -0.5), (0.96, 0.3, -0.4), (1, 0.02, -0.1)], 0.15),
    "panga": Profile([(0, 0.24, -0.26), (0.4, 0.3, -0.32), (0.75, 0.36, -0.5), (0.92, 0.5, -0.46), (1, 0.48, 0.2)], 0.2),
    "skinner": Profile([(0, 0.3, -0.36), (0.3, 0.36, -0.5), (0.7, 0.4, -0.46), (0.93, 0.5, -0.06), (1, 0.5, 0.34)], 0.5),
    "sheepsfoot": Profile([(0, 0.5, -0.5), (0.7, 0.5, -0.5), (0.9, 0.3, -0.5), (1, -0.42, -0.5)], 0.5),
    "razor": Profile([(0, 0.34, -0.36), (0.2, 0.5, -0.5), (0.94, 0.5, -0.5), (1, 0.38, -0.46)], 0.85),
    "table": Profile([(0, 0.4, -0.4), (0.5, 0.46, -0.5), (0.88, 0.4, -0.5), (1, 0.1, -0.2)], 0.4),
}  # fmt: skip


def blade(rng: Generator, profile: Profile, long: float, high: float, thick: float, cells: int = 26) -> Mesh:
    """A blade ground to an edge: full thickness along the spine, tapering to the point.

    The stations of the profile are shaken a little, so that no two blades of a family are alike.
    """
    table = np.asarray(profile.stations, np.float64)
    table[1:-1, 1:] += rng.normal(0, 0.018, (len(table) - 2, 2))
    t = np.unique(np.concatenate([np.linspace(0, 1, cells), table[:, 0]]))
    spine, edge = (_curve(table, column, t) * high for column in (1, 2))
    edge = np.minimum(edge, spine - 0.02 * high)
    if profile.saw > 0:
        fine = np.linspace(0, 1, 90)
        spine, edge, t = np.interp(fine, t, spine), np.interp(fine, t, edge), fine
        edge = edge + profile.saw * high * (np.arange(90) % 3 == 0) * (t < 0.93)
    taper = thick * np.clip(1 - 0.55 * t, 0.2, 1) / 2
    grind = edge + (0.5 if profile.double else profile.grind) * (spine - edge)
    back = np.full_like(t, 0.1) if profile.double else taper
    rings = np.empty((len(t), 6, 3))
    rings[..., 0] = (t * long)[:, None]
    rings[..., 1] = np.stack([edge, grind, spine, spine, grind, edge], axis=1)
    rings[..., 2] = np.stack([-0.1 + 0 * t, -taper, -back, back, taper, 0.1 + 0 * t], axis=1)
    return loft(rings)


def _curve(table: Floats, column: int, t: Floats) -> Floats:
    return np.interp(t, table[:, 0], table[:, column])


def grip(profile: Stations, long: float, high: float, thick: float, sides: int = 12) -> Mesh:
    """A rounded handle from x = 0 back to -`long`: stations as in `Profile`, going back from the heel."""
    table = np.asarray(profile, np.float64)
    t = np.linspace(0, 1, 18)
    top, low = np.interp(t, table[:, 0], table[:, 1]) * high, np.interp(t, table[:, 0], table[:, 2]) * high
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    plump = np.where((t < 0.03) | (t > 0.97), 0.75, 1.0)[:, None]
    rings = np.empty((len(t), sides, 3))
    rings[..., 0] = (-t * long)[:, None]
    rings[..., 1] = ((top + low) / 2)[:, None] + ((top - low) / 2)[:, None] * plump * np.cos(angle)
    rings[..., 2] = thick / 2 * plump * np.sin(angle)
    return loft(rings[::-1])


HANDLES: dict[str, Stations] = {
    "plain": [(0, 0.46, -0.46), (0.5, 0.5, -0.44), (1, 0.42, -0.5)],
    "hooked": [(0, 0.44, -0.44), (0.3, 0.5, -0.36), (0.7, 0.46, -0.42), (0.9, 0.3, -0.74), (1, 0.1, -0.8)],
    "waist": [(0, 0.5, -0.5), (0.25, 0.4, -0.36), (0.6, 0.5, -0.5), (0.85, 0.4, -0.4), (1, 0.5, -0.5)],
    "guarded": [(0, 0.55, -0.9), (0.07, 0.5, -0.84), (0.12, 0.5, -0.44), (0.6, 0.46, -0.5), (1, 0.44, -0.46)],
    "round": [(0, 0.34, -0.34), (0.3, 0.46, -0.46), (0.7, 0.5, -0.5), (1, 0.3, -0.3)],
    "barrel": [(0, 0.36, -0.36), (0.5, 0.5, -0.5), (1, 0.34, -0.34)],
}


def _outline(profile: Stations, long: float, high: float) -> Outline:
    table = np.asarray(profile, np.float64)
    top = np.stack([-table[:, 0] * long, table[:, 1] * high], axis=1)
    low = np.stack([-table[:, 0] * long, table[:, 2] * high], axis=1)[::-1]
    return polygon(np.concatenate([spline(top, 4, closed=False), spline(low, 4, closed=False)]))


def scaled_handle(
    rng: Generator, kind: str, long: float, high: float, thick: float, steel: str = "stainless"
) -> list[Part]:
    """A full tang between two riveted plates of wood or plastic."""
    tang = _outline(HANDLES[kind], long, high)
    material = pick(rng, ("wood", "abs", "nylon", "wood"))
    plates = [slab(tang.buffer(-0.4), thick / 2, 1.5, side * (thick / 4 + 1.2)) for side in (-1, 1)]
    count, parts = int(rng.integers(2, 5)), [Part(slab(tang, 2.4), steel), Part(merge(plates), material)]
    rivets = merge(
        [pin(-long * x, 0, draw(rng, (1.6, 3.0)), thick + 2) for x in np.linspace(0.15, 0.85, count)]
    )
    return [*parts, Part(rivets, pick(rng, ("brass", "stainless", "aluminium")))]


def moulded_handle(
    rng: Generator,
    kind: str,
    long: float,
    high: float,
    thick: float,
    material: str | None = None,
    reach: float = 0.7,
) -> list[Part]:
    """A plastic, wooden or rubber handle around a hidden tang that goes `reach` of its length in."""
    made = material or pick(rng, ("abs", "polypropylene", "wood", "rubber", "nylon"))
    tang = polygon(
        [(1, 0.28 * high), (1, -0.28 * high), (-reach * long, -0.12 * high), (-reach * long, 0.12 * high)]
    )
    return [Part(grip(HANDLES[kind], long, high, thick), made), *inset(slab(tang, 2.0), "stainless", made)]


def metal_handle(rng: Generator, kind: str, long: float, high: float, thick: float) -> list[Part]:
    """A steel handle, a thin shell or nearly solid, with a bolster."""
    outer = grip(HANDLES[kind], long, high, thick)
    bore = draw(rng, (0.55, 0.86))
    inner = grip(HANDLES[kind], 0.9 * long, bore * high, bore * thick)
    inner = type(inner)(inner.vertices - np.array([0.05 * long, 0, 0], np.float32), inner.faces)
    return [Part(outer, "stainless"), Part(inner, "stainless", -1.0)]


def skeleton_handle(rng: Generator, kind: str, long: float, high: float, thick: float) -> list[Part]:
    """One piece of steel with holes in it, bare or bound with cord."""
    tang = _outline(HANDLES[kind], long, high)
    spots = np.linspace(0.2, 0.85, int(rng.integers(2, 5)))
    holes = chain(*(circle(-x * long, 0, draw(rng, (0.15, 0.3)) * high, 4) for x in spots))
    parts = [Part(slab(tang.difference(holes), thick, 0.4), "stainless")]
    if rng.random() < 0.4:
        body = _outline(HANDLES[kind], 0.9 * long, high)
        wrap = [slab(body.buffer(1.5), 3, 0.5, side * (thick / 2 + 1.5)) for side in (-1, 1)]
        parts.append(Part(merge(wrap), "nylon", 0.7))
    return parts


def cross_guard(high: float, thick: float, wide: float = 5.0) -> Mesh:
    """A bar across the heel."""
    return extrude(
        polygon([(-wide, high), (1, high), (1, -high), (-wide, -high)]).buffer(1), -thick / 2, thick / 2
    )

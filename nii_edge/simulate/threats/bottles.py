"""Containers with something liquid in them. They stand along z before they are laid down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.simulate.kit import Generator, Maker, Spread, draw, grouped, middle, pick
from nii_edge.simulate.shapes import (
    box,
    inside_out,
    merge,
    moved,
    revolve,
    rounded_box,
    sphere,
    torus,
    tube,
    turned,
)
from nii_edge.simulate.solids import Mesh, Part

Profile = tuple[tuple[float, float], ...]


class Design(NamedTuple):
    """`profile`: (radius, height) as shares of the body radius and of the height; `level`: how full."""

    profile: Profile
    radius: Spread
    high: Spread
    wall: Spread
    walls: tuple[str, ...]
    liquids: tuple[str, ...]
    cap: tuple[str, ...] = ("polypropylene", "polyethylene", "aluminium")
    level: Spread = (0.45, 0.93)
    flat: Spread = (1.0, 1.0)


_WAIST: Profile = (
    (0.8, 0),
    (1, 0.03),
    (1, 0.3),
    (0.9, 0.36),
    (1, 0.45),
    (1, 0.62),
    (0.5, 0.86),
    (0.36, 0.9),
    (0.36, 0.97),
)
_WINE: Profile = ((0.95, 0), (1, 0.02), (1, 0.6), (0.8, 0.68), (0.4, 0.76), (0.36, 0.97))
_JAR: Profile = ((0.94, 0), (1, 0.04), (1, 0.78), (0.84, 0.86), (0.84, 0.97))
_CAN: Profile = ((0.86, 0), (1, 0.04), (1, 0.92), (0.84, 0.99))
_SPRAY: Profile = ((0.9, 0), (1, 0.02), (1, 0.74), (0.8, 0.8), (0.4, 0.84), (0.4, 0.9))
_PUMP: Profile = ((0.94, 0), (1, 0.03), (1, 0.68), (0.5, 0.78), (0.34, 0.82), (0.34, 0.86))
_FLASK: Profile = ((0.95, 0), (1, 0.03), (1, 0.82), (0.6, 0.88), (0.6, 0.97))
_BEER: Profile = ((0.95, 0), (1, 0.02), (1, 0.56), (0.7, 0.68), (0.42, 0.8), (0.42, 0.97))
_VIAL: Profile = ((0.9, 0), (1, 0.04), (1, 0.7), (0.55, 0.78), (0.55, 0.95))
_ROUND: Profile = ((0.7, 0), (0.95, 0.12), (1, 0.3), (0.9, 0.5), (0.4, 0.7), (0.3, 0.74), (0.3, 0.96))

DESIGNS: dict[str, Design] = {
    "pet_bottle": Design(_WAIST, (30, 46), (200, 330), (0.35, 0.7), ("polyester",), ("water", "water", "ethanol", "oil")),
    "wine_bottle": Design(_WINE, (35, 40), (290, 335), (3, 5), ("glass",), ("water", "oil"), ("wood", "aluminium")),
    "spirit_flat": Design(_WINE, (40, 55), (180, 260), (3, 4.5), ("glass",), ("ethanol", "water"), flat=(0.45, 0.7)),
    "beer_bottle": Design(_BEER, (28, 33), (200, 250), (2.5, 4), ("glass",), ("water",), ("steel",)),
    "glass_jar": Design(_JAR, (30, 50), (80, 150), (2.5, 4), ("glass",), ("oil", "water", "food", "cream"), ("steel",)),
    "drink_can": Design(_CAN, (26, 34), (110, 170), (0.14, 0.25), ("aluminium",), ("water",), ("aluminium",), (0.85, 0.95)),
    "spray_can": Design(_SPRAY, (18, 33), (130, 260), (0.25, 0.5), ("aluminium", "steel"), ("ethanol", "oil"), level=(0.3, 0.7)),
    "pump_bottle": Design(_PUMP, (26, 44), (150, 240), (0.8, 1.5), ("polyethylene", "polyester"), ("soap", "cream")),
    "shampoo_oval": Design(_FLASK, (30, 44), (150, 230), (0.9, 1.5), ("polyethylene",), ("soap", "cream"), flat=(0.5, 0.75)),
    "steel_flask": Design(_FLASK, (33, 42), (190, 300), (0.6, 1.0), ("stainless",), ("water", "ethanol", "oil")),
    "perfume": Design(_VIAL, (18, 34), (60, 120), (3, 6), ("glass",), ("ethanol",), ("aluminium", "zinc", "abs"), flat=(0.4, 1.0)),
    "chemical_round": Design(_ROUND, (35, 60), (120, 200), (1.8, 3), ("glass",), ("ethanol", "oil", "water")),
    "reagent_plastic": Design(_JAR, (28, 50), (110, 200), (1.2, 2.2), ("polyethylene",), ("ethanol", "oil", "water"), ("polypropylene",)),
    "small_vials": Design(_VIAL, (8, 14), (35, 65), (1.0, 1.6), ("glass",), ("water", "oil", "ethanol"), ("aluminium",)),
}  # fmt: skip


def vessel(
    profile: npt.NDArray[np.float64], wall: float, level: float, segments: int = 24
) -> tuple[Mesh, Mesh]:
    """(the walls, what fills them up to the share `level` of the height): a body of revolution about z.

    `profile`: (n, 2) of radius and height in mm, heights rising; `wall` in mm.
    """
    inner = profile.copy()
    inner[:, 0] = np.maximum(inner[:, 0] - wall, 0.3 * inner[:, 0])
    top = profile[-1, 1]
    inner[:, 1] = wall + inner[:, 1] * (top - 1.2 * wall) / top
    shell = merge([revolve(profile, segments), inside_out(revolve(inner, segments))])
    surface = inner[0, 1] + level * (inner[-1, 1] - inner[0, 1])
    below = inner[inner[:, 1] < surface]
    edge = np.interp(surface, inner[:, 1], inner[:, 0])
    return shell, revolve(np.concatenate([below, [[edge, surface]]]), segments)


def make_bottle(design: Design, rng: Generator) -> tuple[Part, ...]:
    """One bottle, jar or can with its cap and liquid."""
    radius, high, wall = draw(rng, design.radius), draw(rng, design.high), draw(rng, design.wall)
    shape = np.asarray(design.profile) * [radius, high]
    shape[1:-1, 0] *= rng.uniform(0.96, 1.04, len(shape) - 2)
    flat = draw(rng, design.flat)
    shell, liquid = vessel(shape, wall, draw(rng, design.level))
    neck = shape[-1, 0]
    cap = moved(
        revolve([(neck + 1.6, 0), (neck + 2, 0.1 * high), (0.9 * neck, 0.11 * high)], 20),
        z=shape[-1, 1] - 0.06 * high,
    )
    void = moved(revolve([(neck, 0), (neck, 0.06 * high)], 20), z=shape[-1, 1] - 0.06 * high + 0.01)
    parts = [
        Part(shell, pick(rng, design.walls)), Part(liquid, pick(rng, design.liquids)),
        Part(merge([cap, inside_out(void)]), pick(rng, design.cap)),
    ]  # fmt: skip
    if design.profile is _SPRAY:
        ball = moved(sphere(4, 10), 0.3 * radius, 0, 8)
        parts.append(Part(ball, pick(rng, ("steel", "glass"))))
    if design.profile is _PUMP:
        stem = [
            moved(tube(3, 2, 0.75 * high, 10), z=0.1 * high),
            moved(box(2.2 * neck, 0.8 * neck, 8), 0.6 * neck, 0, 1.02 * high),
        ]
        parts.append(Part(merge(stem), "polypropylene"))
    if flat < 1:
        squeeze = np.array([1, flat, 1], np.float32)
        parts = [Part(Mesh(part.mesh.vertices * squeeze, part.mesh.faces), part.material) for part in parts]
    return middle(grouped(Part(turned(part.mesh, "y", 90), part.material, part.fill) for part in parts))


def canister(rng: Generator) -> tuple[Part, ...]:
    """A square can with a handle and a screw cap."""
    x, y, z = draw(rng, (80, 190)), draw(rng, (50, 110)), draw(rng, (110, 260))
    wall, r = draw(rng, (1.2, 2.4)), 0.12 * x
    level = draw(rng, (0.4, 0.92))
    inner = rounded_box(x - 2 * wall, y - 2 * wall, z - 2 * wall, r)
    shell = merge([rounded_box(x, y, z, r), inside_out(inner)])
    body = rounded_box(x - 2 * wall, y - 2 * wall, level * (z - 2 * wall), r)
    liquid = moved(body, z=-(1 - level) * (z - 2 * wall) / 2)
    grip = moved(turned(torus(0.18 * z, 7, 20, 8), "x", 90), -0.15 * x, 0, 0.5 * z + 5)
    cap = moved(tube(17, 14, 22, 18), 0.33 * x, 0, z / 2)
    material = pick(rng, ("polyethylene", "polyethylene", "steel"))
    shell = merge([shell, grip, cap]) if material == "polyethylene" else merge([shell, cap])
    parts = [Part(shell, material), Part(liquid, pick(rng, ("water", "ethanol", "oil", "soap")))]
    return middle(grouped(Part(turned(part.mesh, "y", 90), part.material) for part in parts))


def thermos(rng: Generator) -> tuple[Part, ...]:
    """A double-walled steel flask."""
    radius, high = draw(rng, (32, 45)), draw(rng, (200, 320))
    outer = np.asarray(_FLASK) * [radius, high]
    shell, _ = vessel(outer, 0.6, 0.5)
    inner, liquid = vessel(outer * [0.84, 0.95], 0.5, draw(rng, (0.3, 0.95)))
    lid = moved(revolve([(0.75 * radius, 0), (0.75 * radius, 0.1 * high)], 20), z=0.96 * high)
    parts = [
        Part(merge([shell, moved(inner, z=6)]), "stainless"),
        Part(moved(liquid, z=6), "water"),
        Part(lid, "polypropylene"),
    ]
    return middle(grouped(Part(turned(part.mesh, "y", 90), part.material) for part in parts))


def _maker(design: Design) -> Maker:
    return lambda rng: make_bottle(design, rng)


FAMILIES: dict[str, Maker] = {name: _maker(design) for name, design in DESIGNS.items()} | {
    "canister": canister,
    "thermos": thermos,
}

"""What goods are sold in: cartons, blisters, bags, sleeves. Everything about the origin; mm."""

from __future__ import annotations

from typing import Literal

from nii_edge.simulate.kit import Generator, draw, grouped, middle, pick
from nii_edge.simulate.shapes import box, merge, moved, sheet, shell_box, stack_bounds
from nii_edge.simulate.solids import Part

Packaging = Literal["box", "blister", "polybag", "sleeve", "foam", "none"]


def packed(rng: Generator, parts: tuple[Part, ...], how: Packaging) -> tuple[Part, ...]:
    """The goods in their retail packaging, centred."""
    goods = middle(parts)
    low, high = stack_bounds([part.mesh for part in goods])
    x, y, z = (float(v) for v in high - low)
    if how == "box":
        wall, gap = draw(rng, (0.4, 0.9)), draw(rng, (1, 6))
        outer = x + 2 * (wall + gap), y + 2 * (wall + gap), z + 2 * (wall + 0.5 * gap)
        tucks = [moved(box(2 * wall, 0.9 * y, 0.8 * z), s * (outer[0] / 2 - 2 * wall)) for s in (-1, 1)]
        made = [Part(merge([shell_box(*outer, wall), *tucks]), "cardboard")]
        if rng.random() < 0.5:
            made.append(
                Part(moved(sheet(rng, (0.7 * x, 0.7 * y), 0.15, 1, 60, 8), z=outer[2] / 2 - 2), "paper")
            )
        return middle(grouped([*goods, *made]))
    if how == "blister":
        dome = shell_box(x + 4, y + 4, z + 3, 0.4)
        card = moved(box(x + 34, y + 44, 0.7), z=-z / 2 - 2)
        return middle(grouped([*goods, Part(dome, pick(rng, ("pvc", "polyester"))), Part(card, "cardboard")]))
    if how == "polybag":
        film = [moved(sheet(rng, (x + 24, y + 16), 0.06, 1.2, 40, 12), z=s * (z / 2 + 1.4)) for s in (-1, 1)]
        return middle(grouped([*goods, Part(merge(film), "polyethylene")]))
    if how == "sleeve":
        band = [moved(box(0.5 * x, y + 2, 0.5), z=s * (z / 2 + 0.5)) for s in (-1, 1)]
        return middle(grouped([*goods, Part(merge(band), "cardboard")]))
    if how == "foam":
        ends = [moved(box(0.12 * x + 8, y + 16, z + 12), s * (0.44 * x + 8)) for s in (-1, 1)]
        shell = shell_box(1.12 * x + 34, y + 20, z + 16, 1.2)
        return middle(grouped([*goods, Part(merge(ends), "eps"), Part(shell, "cardboard", 0.5)]))
    return goods

"""Families of makers' displays: within what bounds the settings of a picture are drawn."""

from __future__ import annotations

from typing import NamedTuple

Colour = tuple[float, float, float]
"""Red, green, blue in 0-1."""
Span = tuple[float, float]


class Family(NamedTuple):
    """Bounds for the fields of `display.Display` of the same names; `background` and `plateau` lie
    between two colours, `inks` are those of the display in the middle of the family."""

    background: tuple[Colour, Colour]
    inks: tuple[Colour, Colour, Colour, Colour, Colour]
    depth_x: Span
    dark_x: Span
    dark_rate: Span
    olive: Span
    thin: Span
    thick: Span
    thick_x: Span
    plateau_x: Span
    plateau: tuple[Colour, Colour]
    edge: Span
    edge_px: Span
    halo: Span
    speckle: Span
    hue_px: Span


FAMILIES: dict[str, Family] = {
    # white ground, pale hues, much speckle, thick steel nearly black with a green cast
    "white": Family(
        background=((1.0, 1.0, 1.0), (1.0, 1.0, 0.99)),
        inks=(
            (0.93, 0.52, 0.13),
            (0.55, 0.56, 0.14),
            (0.20, 0.52, 0.16),
            (0.08, 0.47, 0.44),
            (0.07, 0.42, 0.70),
        ),
        depth_x=(0.45, 0.8),
        dark_x=(1.0, 1.8),
        dark_rate=(0.45, 0.9),
        olive=(0.0, 0.5),
        thin=(0.6, 1.6),
        thick=(0.5, 1.6),
        thick_x=(1.5, 2.6),
        plateau_x=(3.4, 5.0),
        plateau=((0.03, 0.10, 0.03), (0.11, 0.15, 0.10)),
        edge=(0.7, 2.0),
        edge_px=(1.2, 3.0),
        halo=(0.0, 0.08),
        speckle=(0.35, 1.1),
        hue_px=(0.6, 1.6),
    ),
    # white ground, strong orange, thick organics olive, bright blue metal, flat dark grey where nothing shows
    "carton": Family(
        background=((1.0, 1.0, 1.0), (1.0, 0.995, 0.985)),
        inks=(
            (0.90, 0.56, 0.13),
            (0.52, 0.50, 0.08),
            (0.27, 0.53, 0.11),
            (0.10, 0.43, 0.40),
            (0.07, 0.40, 0.76),
        ),
        depth_x=(0.55, 1.0),
        dark_x=(1.6, 2.6),
        dark_rate=(0.1, 0.35),
        olive=(0.8, 1.8),
        thin=(0.2, 0.9),
        thick=(0.0, 0.3),
        thick_x=(2.5, 4.0),
        plateau_x=(3.2, 5.0),
        plateau=((0.10, 0.10, 0.11), (0.16, 0.16, 0.16)),
        edge=(0.2, 0.8),
        edge_px=(1.0, 2.0),
        halo=(0.0, 0.08),
        speckle=(0.35, 1.0),
        hue_px=(0.6, 1.2),
    ),
    # pale lilac or grey ground, rusty organics, dark teal steel, a pure blue plateau within black edges
    "lilac": Family(
        background=((0.885, 0.885, 0.885), (0.90, 0.875, 0.905)),
        inks=(
            (0.84, 0.50, 0.17),
            (0.50, 0.54, 0.11),
            (0.07, 0.42, 0.12),
            (0.03, 0.36, 0.32),
            (0.02, 0.26, 0.50),
        ),
        depth_x=(0.45, 0.85),
        dark_x=(1.0, 2.0),
        dark_rate=(0.15, 0.45),
        olive=(0.0, 0.8),
        thin=(0.4, 1.2),
        thick=(0.2, 1.2),
        thick_x=(1.2, 2.2),
        plateau_x=(1.3, 2.8),
        plateau=((0.0, 0.03, 0.62), (0.02, 0.05, 0.86)),
        edge=(1.2, 2.6),
        edge_px=(1.2, 2.6),
        halo=(0.0, 0.06),
        speckle=(0.1, 0.5),
        hue_px=(0.6, 1.2),
    ),
    # grey belt, rust red organics, dark greens and blues
    "belt": Family(
        background=((0.76, 0.77, 0.76), (0.79, 0.785, 0.79)),
        inks=(
            (0.78, 0.37, 0.12),
            (0.40, 0.42, 0.13),
            (0.20, 0.42, 0.20),
            (0.12, 0.34, 0.36),
            (0.10, 0.24, 0.58),
        ),
        depth_x=(0.45, 0.8),
        dark_x=(1.3, 2.2),
        dark_rate=(0.35, 0.75),
        olive=(0.0, 0.4),
        thin=(0.3, 1.0),
        thick=(0.0, 1.0),
        thick_x=(1.2, 2.4),
        plateau_x=(2.8, 4.5),
        plateau=((0.01, 0.05, 0.01), (0.06, 0.14, 0.60)),
        edge=(1.0, 2.4),
        edge_px=(1.0, 2.0),
        halo=(0.0, 0.06),
        speckle=(0.05, 0.35),
        hue_px=(0.6, 1.4),
    ),
    # pale cyan ground, otherwise between lilac and white
    "cyan": Family(
        background=((0.80, 0.87, 0.87), (0.83, 0.90, 0.90)),
        inks=(
            (0.90, 0.52, 0.17),
            (0.52, 0.55, 0.12),
            (0.10, 0.45, 0.14),
            (0.04, 0.40, 0.36),
            (0.03, 0.30, 0.58),
        ),
        depth_x=(0.45, 0.9),
        dark_x=(1.0, 2.0),
        dark_rate=(0.2, 0.6),
        olive=(0.0, 0.8),
        thin=(0.3, 1.2),
        thick=(0.2, 1.4),
        thick_x=(1.2, 2.4),
        plateau_x=(1.5, 3.6),
        plateau=((0.0, 0.02, 0.70), (0.02, 0.04, 0.02)),
        edge=(0.8, 2.2),
        edge_px=(1.0, 2.2),
        halo=(0.0, 0.06),
        speckle=(0.1, 0.7),
        hue_px=(0.6, 1.4),
    ),
    # for tests: cream ground, pure hues, hardly any edges
    "vivid": Family(
        background=((0.97, 0.96, 0.90), (0.99, 0.98, 0.93)),
        inks=(
            (0.98, 0.46, 0.05),
            (0.66, 0.66, 0.05),
            (0.12, 0.62, 0.14),
            (0.05, 0.50, 0.56),
            (0.10, 0.22, 0.80),
        ),
        depth_x=(0.6, 1.1),
        dark_x=(1.2, 2.4),
        dark_rate=(0.3, 0.8),
        olive=(0.0, 0.3),
        thin=(0.0, 0.6),
        thick=(0.3, 1.4),
        thick_x=(1.4, 2.6),
        plateau_x=(3.0, 4.6),
        plateau=((0.0, 0.0, 0.0), (0.08, 0.0, 0.10)),
        edge=(0.0, 0.5),
        edge_px=(1.4, 3.0),
        halo=(0.0, 0.1),
        speckle=(0.2, 0.8),
        hue_px=(0.8, 2.2),
    ),
    # for tests: blue grey ground, brown organics, violet blue metal, hard edges
    "slate": Family(
        background=((0.70, 0.73, 0.78), (0.75, 0.77, 0.82)),
        inks=(
            (0.78, 0.50, 0.24),
            (0.55, 0.50, 0.20),
            (0.22, 0.48, 0.26),
            (0.10, 0.36, 0.46),
            (0.16, 0.20, 0.60),
        ),
        depth_x=(0.4, 0.8),
        dark_x=(0.9, 1.8),
        dark_rate=(0.3, 0.7),
        olive=(0.2, 1.0),
        thin=(0.4, 1.4),
        thick=(0.4, 1.6),
        thick_x=(1.0, 2.2),
        plateau_x=(2.2, 3.8),
        plateau=((0.02, 0.02, 0.05), (0.05, 0.02, 0.55)),
        edge=(1.4, 3.0),
        edge_px=(0.8, 1.6),
        halo=(0.02, 0.12),
        speckle=(0.1, 0.5),
        hue_px=(0.6, 1.2),
    ),
}
"""By name. The first five were read off pictures of real displays, the others differ from all of them."""

HELD_OUT = ("vivid", "slate")
"""Never to be learned from: on these is tested whether a model knows more than the displays it saw."""

"""The operator's colours as a table over -ln T_high and ln T_low / ln T_high. Pure.

Hue says what it is made of (organic orange, inorganic green, metal blue: the convention of all makers of
baggage scanners), saturation and darkness how much of it there is, black that nothing gets through.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.xray.material import R_MAX, SIZE, MaterialClass, MaterialTable

Table = npt.NDArray[np.uint8]
Look = Literal["colour", "organic_stripped", "metal_stripped"]
"""All materials; without the organic ones; without metals. What is stripped stays as a pale grey shadow."""

FINE = 4
"""Rows of a colour table per row of the material table: without it thin areas show steps."""

HUES: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (1.0, (255, 165, 60)),
    (7.0, (250, 140, 30)),
    (9.5, (225, 140, 30)),
    (10.5, (130, 170, 40)),
    (13.0, (60, 165, 60)),
    (16.5, (30, 150, 100)),
    (19.0, (30, 95, 210)),
    (26.0, (20, 60, 230)),
)
"""Effective Z and the full colour (red, green, blue) of a medium thickness of it; between them linear."""
UNKNOWN_HUE = (95, 80, 95)
SATURATES_AT = 0.55
"""-ln T_high at which a colour has lost 1 - 1/e of its white."""
DARKEST = 0.28
"""Brightness just before nothing gets through, as a share of a hue's own."""
VAGUE = 0.35
"""Share of its saturation that a pixel without a class keeps."""
STRIPPED = 0.25
"""Share of its darkness that a stripped material keeps."""


class ColourTable(NamedTuple):
    """`bgr` (rows, columns, 3): rows -ln T_high from 0 to `x_max`, columns R from 0 to `R_MAX`."""

    x_max: float
    bgr: Table


def colour_table(materials: MaterialTable, look: Look = "colour") -> ColourTable:
    """The colours of one view of one scanner."""
    rows = SIZE * FINE
    z = cv2.resize(materials.z, (SIZE, rows), interpolation=cv2.INTER_LINEAR)
    classes = cv2.resize(materials.codes[:, :, 0], (SIZE, rows), interpolation=cv2.INTER_NEAREST)
    x = np.linspace(0, materials.x_max, rows)[:, None]
    stops = [stop for stop, _ in HUES]
    hue = np.stack([np.interp(z, stops, [rgb[i] for _, rgb in HUES]) for i in range(3)], axis=2)
    hue[classes == MaterialClass.UNKNOWN] = UNKNOWN_HUE
    saturation = 1 - np.exp(-x / SATURATES_AT)
    saturation = np.where(classes == MaterialClass.UNDEFINED, VAGUE * saturation, saturation)[:, :, None]
    brightness = 1 - (1 - DARKEST) * np.clip(x / materials.x_max, 0, 1)[:, :, None]
    rgb = (255 * (1 - saturation) + hue * saturation) * brightness
    shadow = 255 * (1 - STRIPPED * (1 - brightness * (1 - 0.5 * saturation)))
    if look != "colour":
        gone = (
            np.isin(classes, (MaterialClass.ORGANIC, MaterialClass.UNDEFINED))
            if look == "organic_stripped"
            else classes == MaterialClass.METAL
        )
        rgb = np.where(gone[:, :, None], shadow, rgb)
    rgb[classes == MaterialClass.IMPENETRABLE] = 0
    return ColourTable(materials.x_max, np.ascontiguousarray(np.round(rgb[:, :, ::-1]).astype(np.uint8)))


def paint(x_log: npt.NDArray[np.float32], ratio: npt.NDArray[np.float32], colours: ColourTable) -> Table:
    """Colours of pixels with ln T_high and ln T_low / ln T_high, both (height, width): (height, width, 3)."""
    rows, columns = colours.bgr.shape[:2]
    row = x_log * np.float32(-(rows - 1) / colours.x_max)
    column = ratio * np.float32((columns - 1) / R_MAX)
    painted: Table = cv2.remap(colours.bgr, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return painted

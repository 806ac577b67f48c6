"""Frames as pictures for people. All pure: transmission in, a picture out.

`grey`, `inverse` and `high_penetration` need one energy, `pseudo_colour` both and a colour table of that
scanner (`colour.colour_table`), which also decides what is stripped.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame
from nii_edge.xray.colour import ColourTable, paint
from nii_edge.xray.material import log_of, logs
from nii_edge.xray.optics import Optics, planes_of
from nii_edge.xray.transmission import Planes

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), blue green red, 0-255, as OpenCV draws and encodes it."""

DARKEST = 1e-3
"""The transmission shown black; the display is logarithmic between it and 1 (air, white)."""
PENETRATION_FROM = 0.2
"""Share of the logarithmic range that `high_penetration` leaves white, to spend all greys on the rest."""


def picture(frame: Frame, longest: int, view: Optics | None = None) -> Picture:
    """The frame for a person, at most `longest` pixels on its longer side.

    Counts are shown in pseudo-colour where `view` has colours, in grey otherwise, black where nothing gets
    through; display pictures as they are. What is not a number is black.

    Raises:
        FrameError: the frame does not fit `view`.
    """
    counts = frame.channels[0] in ("low", "high")
    if counts and view is not None and view.colours is not None and frame.channels == ("low", "high"):
        planes = np.nan_to_num(planes_of(frame, view), copy=False, nan=0.0)
        small = np.stack([_shrink(plane[:, :, np.newaxis], longest)[:, :, 0] for plane in planes])
        return pseudo_colour(small, view.colours)
    pixels = _shrink(frame.pixels, longest)
    relative = np.nan_to_num(pixels.astype(np.float32) / np.float32(frame.full_scale), nan=0.0)
    if counts:
        return grey(relative[:, :, frame.channels.index("high") if "high" in frame.channels else 0])
    shown = np.round(255 * np.clip(relative, 0, 1)).astype(np.uint8)
    if shown.shape[2] == 1:
        return np.ascontiguousarray(np.repeat(shown, 3, axis=2))
    return np.ascontiguousarray(shown[:, :, ::-1])


def pseudo_colour(planes: Planes, colours: ColourTable) -> Picture:
    """The operator's picture of `planes`, (2, height, width) low and high transmission."""
    return paint(*logs(planes), colours)


def grey(high: npt.NDArray[np.float32], darkest: float = DARKEST) -> Picture:
    """Black and white of one transmission plane, (height, width): path length from white to black."""
    return _levels(high, darkest, 0.0)


def inverse(high: npt.NDArray[np.float32], darkest: float = DARKEST) -> Picture:
    """`grey` as a negative: air black, what stops all rays white."""
    negative: Picture = cv2.bitwise_not(grey(high, darkest))
    return negative


def high_penetration(high: npt.NDArray[np.float32], darkest: float = DARKEST) -> Picture:
    """Greys for dense matter only: thin matter is white."""
    return _levels(high, darkest, PENETRATION_FROM)


def _levels(high: npt.NDArray[np.float32], darkest: float, white_up_to: float) -> Picture:
    """White up to a share of the logarithmic range, from there falling to black at its end."""
    scale = 255 / (1 - white_up_to)
    level = log_of(high) * np.float32(-scale / np.log(darkest))
    level += np.float32(scale + 0.5)
    shown: Picture = cv2.cvtColor(np.clip(level, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    return shown


def _shrink(pixels: npt.NDArray[np.generic], longest: int) -> npt.NDArray[np.generic]:
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: npt.NDArray[np.generic] = cv2.resize(
        np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA
    )
    return small if small.ndim == 3 else small[:, :, np.newaxis]

"""Frames as pictures for people."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.records import Frame

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), blue green red, 0-255, as OpenCV draws and encodes it."""

DARKEST = 1e-3
"""The transmission shown black; the display is logarithmic between it and 1 (air, white)."""


def picture(frame: Frame, longest: int) -> Picture:
    """The frame for a person, at most `longest` pixels on its longer side.

    Counts are shown in grey, black where nothing gets through; display pictures as they are. What is not a
    number is black.
    """
    pixels = _shrink(frame.pixels, longest)
    relative = np.nan_to_num(pixels.astype(np.float32) / np.float32(frame.full_scale), nan=0.0)
    if frame.channels[0] in ("low", "high"):
        high = relative[:, :, frame.channels.index("high") if "high" in frame.channels else 0]
        depth = np.log(np.clip(high, DARKEST, 1.0)) / np.log(DARKEST)
        grey = np.round(255 * (1 - depth)).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[:, :, np.newaxis], 3, axis=2))
    shown = np.round(255 * np.clip(relative, 0, 1)).astype(np.uint8)
    if shown.shape[2] == 1:
        return np.ascontiguousarray(np.repeat(shown, 3, axis=2))
    return np.ascontiguousarray(shown[:, :, ::-1])


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

"""What operators leave on a picture: a cursor, rectangles. Placed at random, so that they tell nothing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

ARROW = np.array([(0, 0), (0, 16), (4, 12), (7, 18), (9, 17), (6, 11), (11, 11)], np.int32)
"""The outline of a mouse cursor, in pixels."""
INKS = ((255, 0, 0), (255, 255, 0), (0, 200, 0), (255, 0, 255), (0, 0, 0))
"""Colours rectangles are drawn in: red, green, blue."""


def draw_overlays(
    picture: npt.NDArray[np.uint8], rng: np.random.Generator, cursor: bool, frames: int
) -> None:
    """Draw into `picture`, (height, width, 3) red green blue."""
    height, width = picture.shape[:2]
    for _ in range(frames):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        across, down = (round(side * rng.uniform(0.08, 0.4)) for side in (width, height))
        ink = INKS[int(rng.integers(len(INKS)))]
        cv2.rectangle(picture, (x, y), (x + across, y + down), ink, int(rng.integers(1, 4)))
    if cursor:
        at = np.array([rng.integers(0, width), rng.integers(0, height)], np.int32)
        outline = (ARROW * rng.uniform(0.8, 1.5)).astype(np.int32) + at
        cv2.fillPoly(picture, [outline], (255, 255, 255), cv2.LINE_AA)
        cv2.polylines(picture, [outline], isClosed=True, color=(0, 0, 0), thickness=1, lineType=cv2.LINE_AA)

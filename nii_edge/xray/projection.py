"""Threat image projection (TIP): a threat from a library in the picture of a real carton. Pure.

X-rays that pass two things are weakened by both, so transmissions multiply, at each energy by itself:
``T = T_carton * T_threat`` (Rogers et al., "Threat Image Projection (TIP) into X-ray images of cargo
containers for training humans and machines", IEEE ICCST 2016). What does not multiply is left out: scatter,
the hardening of a beam that both share, and blur of the carton's own picture under the threat's edges.

A threat also takes photons away, and fewer photons are noisier in proportion. A pixel of mean ``v`` has the
variance ``gain * v + floor``: counting photons, and the electronics. Multiplied by the threat's transmission
``t`` it would have ``t^2 * (gain * v + floor)``; behind a real threat it has ``gain * v * t + floor``. The
difference, ``gain * v * t * (1 - t) + floor * (1 - t^2)``, is added as Gaussian noise. (For the photons that
is the variance of thinning: each of a Poisson number of photons passes with probability ``t``.)

All of it is said of counts above the dark. Where a lane has a calibration (`Optics.detector`) its offsets are
taken away first and put back after; where it has none, the scanner has done so.

Display pictures are refused: their brightness is no transmission, and a product of them is no picture of
anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.errors import FrameError
from nii_edge.records import Box, Channel, Frame, Reason
from nii_edge.xray.optics import Optics, planes_of

Floats = npt.NDArray[np.float32]

ENERGIES: tuple[Channel, ...] = ("low", "high")
"""The channels of a threat, in this order."""
SEEN = 0.98
"""A threat is where its transmission is below this at some energy."""
AIR = 0.95
"""Above this transmission there is nothing but air, or a carton's bare walls: two of corrugated board of 0.05
g/cm2 let 0.967 through at 0.33 cm2/g."""
MIN_SOLID = 0.9
"""Of a threat's area that must lie on goods, not in a hole among them."""
MAX_BLIND = 0.2
"""Of a threat's area that may lie where the scanner shows nothing of what is behind."""
MIN_VISIBILITY = 2.0
"""Below this a threat would drown in noise: see `Placement.visibility`."""
POSES = 4
"""Orientations that are tried before a carton counts as one in which there is no place."""
TRIES = 8
"""Places that are tried for each orientation."""
GRID = 256
"""Cells along the longer side of the map on which a place is looked for, at most."""
NOISE_LINES = 144
"""Rows from which the noise is estimated, spread over the frame."""
NOISE_BINS = 16
"""Levels of brightness for which it is estimated separately."""


class Threat(NamedTuple):
    """A threat by itself. `transmission`: float32 (height, width, 2), low and high energy, 0 opaque to 1
    nothing there, with square pixels of `pitch_mm` at the belt. `provenance` says where it comes from."""

    name: str
    label: str
    transmission: Floats
    pitch_mm: float
    provenance: str


class Pose(NamedTuple):
    """How a threat lies: mirrored or not, then turned, in pixels of `pitch_mm` (x along a row, y across)."""

    turn_deg: float
    mirrored: bool
    pitch_mm: tuple[float, float]


class Placement(NamedTuple):
    """Where and how a threat lies in a frame: the top left corner (`x`, `y`), `width` and `height` in pixels.

    `visibility`: what it changes against the noise, as root mean square over its pixels: 1 is a pixel that
    changes by the standard deviation of the difference of two pictures with and without it. The energy that
    shows more counts.
    """

    pose: Pose
    x: int
    y: int
    width: int
    height: int
    visibility: float

    def box(self, view: int) -> Box:
        """What it covers."""
        return Box(view=view, x0=self.x, y0=self.y, x1=self.x + self.width, y1=self.y + self.height)


class Noise(NamedTuple):
    """A pixel of mean v has the variance ``gain * v + floor``; both per channel, in values of the frame."""

    gain: Floats
    floor: Floats


def unfit(channels: tuple[Channel, ...]) -> str | None:
    """Why nothing can be projected into frames of these channels, in words; None if it can."""
    if set(channels) <= set(ENERGIES):
        return None
    return (
        f"{'+'.join(channels)} is a display picture: its brightness is no transmission, so nothing multiplies"
    )


def project(
    frame: Frame,
    threat: Threat,
    placement: Placement,
    rng: np.random.Generator,
    view: Optics | None = None,
) -> Frame:
    """`frame` with the threat in it, as new pixels of the same type; see the module for the formula. `view`:
    what the lane is calibrated with.

    Raises:
        FrameError: PROFILE_MISMATCH if it is a display picture or does not fit the calibration, or if the
            threat would lie outside of it.
    """
    _check(frame)
    there = _channels(laid_out(threat, placement.pose), frame)
    y, x, (height, width) = placement.y, placement.x, there.shape[:2]
    if min(x, y) < 0 or y + height > frame.pixels.shape[0] or x + width > frame.pixels.shape[1]:
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"{threat.name} of {height}x{width} pixels at ({x}, {y}) leaves a frame of "
            f"{frame.pixels.shape[0]}x{frame.pixels.shape[1]}",
        )
    noise = measure_noise(frame, view)
    dark = _dark(frame, view)[y : y + height, x : x + width]
    before = frame.pixels[y : y + height, x : x + width].astype(np.float32) - dark
    photons = noise.gain * np.maximum(before, 0) * there * (1 - there)
    missing = photons + noise.floor * (1 - there * there)
    after = dark + before * there + rng.standard_normal(there.shape, np.float32) * np.sqrt(missing)
    pixels = np.array(frame.pixels)
    if pixels.dtype.kind == "u":
        after = np.clip(np.rint(after), 0, 2 ** (8 * pixels.dtype.itemsize) - 1)
    pixels[y : y + height, x : x + width] = after
    pixels.flags.writeable = False
    return msgspec.structs.replace(frame, pixels=pixels)


def place(
    frame: Frame,
    threat: Threat,
    rng: np.random.Generator,
    pitch_mm: tuple[float, float],
    avoid: Sequence[Box] = (),
    view: Optics | None = None,
) -> Placement | None:
    """A plausible place for the threat, at random; None if there is none.

    Plausible: wholly inside what the carton holds, on goods and not in a hole among them, not where nothing
    would be seen of it, and outside of the boxes to `avoid`. `pitch_mm` is that of the frame, (x, y);
    `view` what the lane is calibrated with.

    Raises:
        FrameError: PROFILE_MISMATCH if it is a display picture, or does not fit the calibration.
    """
    _check(frame)
    ground = _survey(frame, avoid, view)
    noise = measure_noise(frame, view)
    dark = _dark(frame, view)
    for _ in range(POSES):
        pose = Pose(float(rng.uniform(0, 360)), bool(rng.integers(2)), pitch_mm)
        there = laid_out(threat, pose)
        spots = _spots(ground, footprint(there))
        for spot in rng.permutation(spots)[:TRIES]:
            y, x = (int(side) * ground.cell for side in spot)
            height, width = there.shape[:2]
            here = slice(y, y + height), slice(x, x + width)
            before = frame.pixels[here].astype(np.float32) - dark[here]
            seen = visibility(before, _channels(there, frame), noise)
            if seen >= MIN_VISIBILITY:
                return Placement(pose, x, y, width, height, round(seen, 2))
    return None


def laid_out(threat: Threat, pose: Pose) -> Floats:
    """The threat's transmission as it lies in that pose, float32 (height, width, 2), cut to where it is seen.

    Empty, (0, 0, 2), if it is seen nowhere. Transmissions are averaged, as a coarser detector would.
    """
    picture = threat.transmission[:, ::-1] if pose.mirrored else threat.transmission
    finer = threat.pitch_mm / min(pose.pitch_mm)
    if finer < 1:
        size = tuple(max(1, round(side * finer)) for side in picture.shape[1::-1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    pitch = [threat.pitch_mm * a / b for a, b in zip(threat.transmission.shape[1::-1], picture.shape[1::-1])]  # noqa: B905
    angle = math.radians(pose.turn_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.diag(1 / np.array(pose.pitch_mm)) @ turn @ np.diag(pitch)
    sides = np.array(picture.shape[1::-1])
    width, height = (int(side) for side in np.ceil(np.abs(matrix) @ sides) + 2)
    shift = (np.array([width, height]) - 1) / 2 - matrix @ ((sides - 1) / 2)
    turned: Floats = cv2.warpAffine(
        np.ascontiguousarray(picture),
        np.column_stack([matrix, shift]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(1.0, 1.0),
    )
    seen = footprint(turned)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return np.ones((0, 0, 2), np.float32)
    return turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def footprint(there: Floats) -> npt.NDArray[np.bool_]:
    """Where a threat of transmission `there` (height, width, channels) is: (height, width)."""
    seen: npt.NDArray[np.bool_] = there.min(axis=2) < SEEN
    return seen


def visibility(before: Floats, there: Floats, noise: Noise) -> float:
    """What a threat of transmission `there` changes in the pixels `before`, both (height, width, channels),
    against the noise; see `Placement.visibility`."""
    seen = footprint(there)
    mean = np.maximum(before[seen], 0)
    through = there[seen]
    variance = noise.gain * mean * (1 + through) + 2 * noise.floor
    squares = (mean * (1 - through)) ** 2 / variance
    return float(np.sqrt(squares.mean(axis=0).max())) if seen.any() else 0.0


def measure_noise(frame: Frame, view: Optics | None = None) -> Noise:
    """The noise of a frame of counts or transmission, from its own pixels.

    The second difference of three neighbours in a row (or along the belt, where a calibration says which way
    that is: they are of one detector pixel) has six times the variance of one; its median size
    over pixels of like brightness gives that, since few pixels lie on edges (the standard deviation is 1.4826
    times the median size of Gaussian noise). The lower quartile over the brighter levels is `gain`: goods
    with structure only add to it. `floor` is what the darkest level has beyond that, if it is most of its
    noise; a frame without dark areas does not show it, and then it is the 1/12 of rounding to whole numbers.
    Noise that neighbours share (blur) is underestimated.
    """
    pixels, dark = frame.pixels, _dark(frame, view)
    if view is not None and view.detector is not None and view.detector.belt_axis == "rows":
        pixels, dark = pixels.swapaxes(0, 1), dark.swapaxes(0, 1)
    step = max(1, pixels.shape[0] // NOISE_LINES)
    rows: Floats = pixels[::step].astype(np.float32) - dark[::step]
    whole = frame.pixels.dtype.kind == "u"
    least = np.float32(1 / 12) if whole else np.float32((1e-6 * frame.full_scale) ** 2)
    found = [_noise_of(rows[:, :, channel], least) for channel in range(rows.shape[2])]
    return Noise(np.array([g for g, _ in found], np.float32), np.array([f for _, f in found], np.float32))


class _Ground(NamedTuple):
    """Maps of a frame in cells of `cell` x `cell` pixels, float32 (rows, columns): 1 where the carton is
    (`inside`), where goods are (`solid`), and where nothing may be put or seen (`blind`, `taken`)."""

    cell: int
    inside: Floats
    solid: Floats
    blind: Floats
    taken: Floats


def _check(frame: Frame) -> None:
    why = unfit(frame.channels)
    if why is not None:
        raise FrameError(Reason.PROFILE_MISMATCH, f"view {frame.view}: {why}")


def _channels(there: Floats, frame: Frame) -> Floats:
    """The energies the frame has, in its order."""
    return there[:, :, [ENERGIES.index(name) for name in frame.channels]]


def _dark(frame: Frame, view: Optics | None) -> Floats:
    """The counts of nothing, in the frame's shape; of whole numbers only, as calibrations are."""
    dark = np.zeros((1, 1, 1), np.float32)
    if view is not None and view.detector is not None and frame.pixels.dtype.kind == "u":
        along = view.detector.offset.T  # (detector pixels, channels)
        dark = along[:, None] if view.detector.belt_axis == "columns" else along[None]
    try:
        return np.broadcast_to(dark, frame.pixels.shape)
    except ValueError as error:
        detail = f"view {frame.view}: {frame.pixels.shape} pixels, a calibration of {dark.shape}"
        raise FrameError(Reason.PROFILE_MISMATCH, detail) from error


def _noise_of(rows: Floats, least: np.float32) -> tuple[float, float]:
    """Gain and floor of one channel from some rows of it."""
    if rows.shape[1] < 3:
        return 0.0, float(least)
    bends = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]).ravel()
    levels = ((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 3).ravel()
    bins = np.array_split(np.argsort(levels, kind="stable"), min(NOISE_BINS, levels.size))
    level = np.array([levels[one].mean() for one in bins])
    variance = np.array([(1.4826 * np.median(bends[one])) ** 2 / 6 for one in bins])
    bright = (level >= 0.5 * level[-1]) & (level > 0)
    gain = float(np.quantile(variance[bright] / level[bright], 0.25)) if bright.any() else 0.0
    photons = gain * max(float(level[0]), 0.0)
    beyond = float(variance[0]) - photons
    return gain, max(beyond, float(least)) if beyond > photons else float(least)


def _survey(frame: Frame, avoid: Sequence[Box], view: Optics | None) -> _Ground:
    """What is where in a frame. The carton is the largest thing in it, with its holes filled."""
    cell = max(1, math.ceil(max(frame.pixels.shape[:2]) / GRID))
    rows, columns = (max(1, side // cell) for side in frame.pixels.shape[:2])
    small = cv2.blur(planes_of(frame, view, (rows, columns))[-1], (3, 3))
    solid = (small < AIR).astype(np.uint8)
    closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    inside = np.zeros_like(solid)
    if outlines:
        cv2.drawContours(inside, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    taken = np.zeros_like(solid)
    for box in avoid:
        top, left = int(box.y0) // cell, int(box.x0) // cell
        taken[top : math.ceil(box.y1 / cell), left : math.ceil(box.x1 / cell)] = 1
    blind = small <= frame.opaque_below
    return _Ground(cell, *(layer.astype(np.float32) for layer in (inside, solid, blind, taken)))


def _spots(ground: _Ground, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Cells (row, column) at which the top left corner of a threat with this outline may lie, (n, 2)."""
    if not seen.any():
        return np.zeros((0, 2), np.intp)
    rows, columns = (math.ceil(side / ground.cell) for side in seen.shape)
    if rows > ground.inside.shape[0] or columns > ground.inside.shape[1]:
        return np.zeros((0, 2), np.intp)
    whole = np.zeros((rows * ground.cell, columns * ground.cell), np.float32)
    whole[: seen.shape[0], : seen.shape[1]] = seen
    outline = (cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA) > 0).astype(np.float32)
    area = float(outline.sum())

    def covered(layer: Floats) -> Floats:
        """Of the outline, how many cells are set, for each place of its top left cell."""
        here: Floats = cv2.filter2D(layer, cv2.CV_32F, outline, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        return here

    fits = (
        (covered(ground.inside) > area - 0.5)
        & (covered(ground.solid) >= MIN_SOLID * area)
        & (covered(ground.blind) <= MAX_BLIND * area + 0.5)
        & (covered(ground.taken) < 0.5)
    )
    return np.argwhere(fits)

"""The one front end: a frame of any scanner to the input tensor of any model. Pure.

Training and the daemon both call `model_input`, so that a model sees the same thing in both. What a
value means comes from the frame's own header (`full_scale`, `opaque_below`), never from its pixels.

The picture is resized first, on its linear values, and only then turned into logarithms: averaging
counts is what a coarser scanner would have done, and it is several times cheaper.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.config import FrontEndChannel, ModelInput
from nii_edge.errors import FrameError
from nii_edge.records import Box, Channel, Frame, Reason

Floats = npt.NDArray[np.float32]

MAX_OPACITY = 1.5
"""Opacity is cut here: beyond it a scanner only measures its own noise."""
TINY_TRANSMISSION = 1e-6
"""Below any scanner's noise floor; keeps the logarithm of a zero count finite."""

_COLOUR: tuple[Channel, ...] = ("red", "green", "blue")
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in the brightness of a colour picture (ITU-R BT.601)."""

_SOURCES: dict[FrontEndChannel, tuple[tuple[Channel, ...], ...]] = {
    "opacity": (("high",), ("low",), ("grey",), _COLOUR),
    "transmission_low": (("low",),),
    "transmission_high": (("high",),),
    "grey": (("grey",), _COLOUR),
    "red": (_COLOUR,),
    "green": (_COLOUR,),
    "blue": (_COLOUR,),
}
"""What each model channel can be made from, best first."""


class Placement(NamedTuple):
    """Where a frame lies in a model input: its top left corner is the input's.

    `frame`, `content` and `size` are (height, width): the frame in its own pixels, the part of the
    input that shows it, and the whole input.
    """

    frame: tuple[int, int]
    content: tuple[int, int]
    size: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per frame pixel: (x, y)."""
        return self.content[1] / self.frame[1], self.content[0] / self.frame[0]

    def to_frame(self, view: int, box: tuple[float, float, float, float]) -> Box | None:
        """A box (x0, y0, x1, y1) in input pixels as a box of the frame, cut at its edges.

        None if nothing of it lies within the frame.
        """
        (scale_x, scale_y), (height, width) = self.scale, self.frame
        x0, x1 = (min(max(x / scale_x, 0.0), float(width)) for x in (box[0], box[2]))
        y0, y1 = (min(max(y / scale_y, 0.0), float(height)) for y in (box[1], box[3]))
        return Box(view=view, x0=x0, y0=y0, x1=x1, y1=y1) if x0 < x1 and y0 < y1 else None


def missing_channel(available: tuple[Channel, ...], spec: ModelInput) -> str | None:
    """Why a model with this input cannot take frames with these channels, in words; None if it can."""
    for wanted in spec.channels:
        if _source(wanted, available) is None:
            ways = " or ".join("+".join(way) for way in _SOURCES[wanted])
            return f"the model needs {wanted}, made from {ways}; the scanner gives {'+'.join(available)}"
    return None


def place(frame: tuple[int, int], spec: ModelInput) -> Placement:
    """Where a frame of (height, width) lies in the input that `spec` describes."""
    if spec.fit == "stretch":
        return Placement(frame, spec.size, spec.size)
    scale = min(spec.size[0] / frame[0], spec.size[1] / frame[1])
    height, width = (
        max(1, min(most, round(side * scale))) for side, most in zip(frame, spec.size, strict=True)
    )
    return Placement(frame, (height, width), spec.size)


def model_input(frame: Frame, spec: ModelInput) -> tuple[Floats, Placement]:
    """The input tensor for `frame`, float32 (channels, height, width), and where the frame lies in it.

    Channels, before mean and standard deviation: `opacity` 0 for air, 1 where the frame's profile says
    that nothing behind is shown any more, up to `MAX_OPACITY`; `transmission_*` 0 to about 1, a little
    more where noise lifts air above its mean; `grey`, `red`, `green`, `blue` brightness 0-1.

    Raises:
        FrameError: PROFILE_MISMATCH if the frame lacks a channel (see `missing_channel`) or its header
            makes no sense; NOT_FINITE if pixels that matter hold NaN or infinity.
    """
    missing = missing_channel(frame.channels, spec)
    if missing is not None:
        raise FrameError(Reason.PROFILE_MISMATCH, missing)
    _check_header(frame)
    placement = place((int(frame.pixels.shape[0]), int(frame.pixels.shape[1])), spec)
    height, width = placement.content
    planes = _resized(frame, _needed(frame.channels, spec), placement)
    tensor = np.full((len(spec.channels), *spec.size), spec.pad, np.float32)
    for index, channel in enumerate(spec.channels):
        tensor[index, :height, :width] = _channel(channel, planes, frame)
    if spec.mean:
        tensor -= np.asarray(spec.mean, np.float32)[:, None, None]
    if spec.std:
        tensor /= np.asarray(spec.std, np.float32)[:, None, None]
    return tensor, placement


def _source(wanted: FrontEndChannel, available: tuple[Channel, ...]) -> tuple[Channel, ...] | None:
    return next((way for way in _SOURCES[wanted] if set(way) <= set(available)), None)


def _needed(available: tuple[Channel, ...], spec: ModelInput) -> tuple[Channel, ...]:
    """The frame's channels that the model's are made from, in the frame's order."""
    used = {source for wanted in spec.channels for source in _source(wanted, available) or ()}
    return tuple(channel for channel in available if channel in used)


def _check_header(frame: Frame) -> None:
    if frame.pixels.ndim != 3 or frame.pixels.shape[2] != len(frame.channels) or 0 in frame.pixels.shape:
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"view {frame.view}: pixels {frame.pixels.shape} for channels {'+'.join(frame.channels)}",
        )
    if not (0 < frame.full_scale < np.inf and 0 < frame.opaque_below < 1):
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"view {frame.view}: full_scale {frame.full_scale} must be above 0 and opaque_below "
            f"{frame.opaque_below} between 0 and 1",
        )


def _resized(frame: Frame, names: tuple[Channel, ...], placement: Placement) -> dict[Channel, Floats]:
    """The named planes at the size of the placement's content, as fractions of full scale.

    Integer pixels are resized as integers, so a value may be off by half a count.
    """
    height, width = placement.content
    shrinks = height <= placement.frame[0] and width <= placement.frame[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if names == frame.channels:
        small = cv2.resize(frame.pixels, (width, height), interpolation=how)
    else:
        planes = [cv2.extractChannel(frame.pixels, frame.channels.index(name)) for name in names]
        small = cv2.merge([cv2.resize(plane, (width, height), interpolation=how) for plane in planes])
    small = small.reshape(height, width, len(names))
    if small.dtype.kind == "f" and not np.isfinite(small).all():
        raise FrameError(Reason.NOT_FINITE, f"view {frame.view}: pixels hold NaN or infinity")
    values = small.astype(np.float32) * np.float32(1.0 / frame.full_scale)
    return {name: values[:, :, index] for index, name in enumerate(names)}


def _channel(wanted: FrontEndChannel, planes: dict[Channel, Floats], frame: Frame) -> Floats:
    source = _source(wanted, frame.channels) or ()
    if wanted == "opacity":
        values = [planes[name] for name in source]
        counts = source[0] in ("low", "high")
        return (_opacity_of_counts if counts else _opacity_of_display)(values, frame.opaque_below)
    if wanted == "grey" and source == _COLOUR:
        luma: Floats = np.stack([planes[name] for name in _COLOUR], axis=-1) @ _LUMA
        return luma
    if wanted in ("red", "green", "blue"):
        return planes[wanted]
    return planes[source[0]]


def _opacity_of_counts(values: list[Floats], opaque_below: float) -> Floats:
    """Path length in units of what makes this scanner blind: log T / log of its limit."""
    transmission = np.clip(values[0], np.float32(TINY_TRANSMISSION), np.float32(1))
    opacity: Floats = np.log(transmission) * np.float32(1.0 / np.log(opaque_below))
    return np.minimum(opacity, np.float32(MAX_OPACITY))


def _opacity_of_display(values: list[Floats], opaque_below: float) -> Floats:
    """Darkness relative to the level that counts as black. A pure blue (thick metal) is not dark."""
    brightness = values[0]
    for other in values[1:]:
        brightness = np.maximum(brightness, other)
    opacity: Floats = (np.float32(1) - brightness) * np.float32(1.0 / (1.0 - opaque_below))
    return np.clip(opacity, np.float32(0), np.float32(MAX_OPACITY))

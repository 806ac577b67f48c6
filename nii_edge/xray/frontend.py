"""The one front end: a frame of any scanner to the input tensor of any model. Pure.

A model must see the same thing in training and in the daemon. Detectors of colours learn from pictures, cut
to the same `content`; that the daemon shows pictures, and counts that it colours itself, just so is held by
tests/unit/learn/test_parity.py. What a value means comes from the frame's own header (`full_scale`,
`opaque_below`), never from its pixels.

A scanner whose calibration we hold gives more: transmission by its own pixels' offset and gain, effective Z
and areal density by its own wedges, and the operator's colours, all by way of `Optics`.

The picture is resized first, on its linear values, and only then turned into logarithms: averaging
counts is what a coarser scanner would have done, and it is several times cheaper.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.config import FrontEndChannel, ModelInput
from nii_edge.errors import FrameError
from nii_edge.records import Box, Channel, Frame, Reason
from nii_edge.xray.content import Rectangle, content, pieces
from nii_edge.xray.material import named_z_and_density
from nii_edge.xray.optics import Air, Optics, air_of, are_raw, planes_of
from nii_edge.xray.render import pseudo_colour

Floats = npt.NDArray[np.float32]

MAX_OPACITY = 1.5
"""Opacity is cut here: beyond it a scanner only measures its own noise."""
TINY_TRANSMISSION = 1e-6
"""Below any scanner's noise floor; keeps the logarithm of a zero count finite."""

_COLOUR: tuple[Channel, ...] = ("red", "green", "blue")
_DUAL: tuple[Channel, ...] = ("low", "high")
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in the brightness of a colour picture (ITU-R BT.601)."""

_SOURCES: dict[FrontEndChannel, tuple[tuple[Channel, ...], ...]] = {
    "opacity": (("high",), ("low",), ("grey",), _COLOUR),
    "transmission_low": (("low",),),
    "transmission_high": (("high",),),
    "effective_z": (),
    "areal_density": (),
    "grey": (("grey",), _COLOUR),
    "red": (_COLOUR, ("grey",)),
    "green": (_COLOUR, ("grey",)),
    "blue": (_COLOUR, ("grey",)),
}
"""What each model channel can be made from, best first. Grey is three equal colours, as in training."""

_BY_WEDGES: tuple[FrontEndChannel, ...] = ("effective_z", "areal_density", "red", "green", "blue")
"""What can be made from both energies too, if the scanner's wedges are known."""


class Part(NamedTuple):
    """A rectangle of a frame, in its pixels."""

    top: float
    left: float
    height: float
    width: float


class Placement(NamedTuple):
    """Where a frame, or a part of it, lies in a model input: its top left corner is the input's.

    `frame`, `content` and `size` are (height, width): the frame in its own pixels, the part of the
    input that shows it, and the whole input. `part`: what of the frame is shown; None: all of it.
    """

    frame: tuple[int, int]
    content: tuple[int, int]
    size: tuple[int, int]
    part: Part | None = None

    @property
    def shown(self) -> Part:
        """What of the frame the input shows."""
        return self.part or Part(0.0, 0.0, float(self.frame[0]), float(self.frame[1]))

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per frame pixel: (x, y)."""
        return self.content[1] / self.shown.width, self.content[0] / self.shown.height

    def to_frame(self, view: int, box: tuple[float, float, float, float]) -> Box | None:
        """A box (x0, y0, x1, y1) in input pixels as a box of the frame, cut at its edges.

        None if nothing of it lies within the frame.
        """
        (scale_x, scale_y), (height, width), part = self.scale, self.frame, self.shown
        x0, x1 = (min(max(x / scale_x + part.left, 0.0), float(width)) for x in (box[0], box[2]))
        y0, y1 = (min(max(y / scale_y + part.top, 0.0), float(height)) for y in (box[1], box[3]))
        return Box(view=view, x0=x0, y0=y0, x1=x1, y1=y1) if x0 < x1 and y0 < y1 else None


def missing_channel(
    available: tuple[Channel, ...], spec: ModelInput, view: Optics | None = None
) -> str | None:
    """Why a model with this input cannot take frames with these channels, in words; None if it can."""
    for wanted in spec.channels:
        if _source(wanted, available, view) is None:
            ways = ["+".join(way) for way in _SOURCES[wanted]]
            if wanted in _BY_WEDGES:
                ways.append("low+high and the scanner's wedges")
            given = "+".join(available)
            return f"the model needs {wanted}, made from {' or '.join(ways)}; the scanner gives {given}"
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


class Shown(NamedTuple):
    """One input: which rectangle of the frame (None: all of it), the tensor (channels, height, width), and
    where the frame lies in it."""

    part: Rectangle | None
    tensor: Floats
    placement: Placement


def model_input(frame: Frame, spec: ModelInput, view: Optics | None = None) -> tuple[Floats, Placement]:
    """The input tensor for all of `frame`, float32 (channels, height, width), and where the frame lies in it.

    Channels, before mean and standard deviation: `opacity` 0 for air, 1 where the frame's profile says
    that nothing behind is shown any more, up to `MAX_OPACITY`; `transmission_*` 0 to about 1, a little
    more where noise lifts air above its mean; `effective_z` the atomic number, 0 where no material can be
    named; `areal_density` in g/cm2, around 0 in air; `grey`, `red`, `green`, `blue` brightness 0-1.

    `view` is the calibration of the frame's view, None if there is none.

    Raises:
        FrameError: PROFILE_MISMATCH if the frame lacks a channel (see `missing_channel`), its header
            makes no sense or it does not fit its calibration; NOT_FINITE if pixels that matter hold NaN or
            infinity.
    """
    (shown,) = model_inputs(frame, msgspec.structs.replace(spec, pieces=1), view)
    return shown.tensor, shown.placement


def model_inputs(frame: Frame, spec: ModelInput, view: Optics | None = None) -> list[Shown]:
    """As `model_input`, but a frame whose content is long is shown in up to `spec.pieces` pieces."""
    missing = missing_channel(frame.channels, spec, view)
    if missing is not None:
        raise FrameError(Reason.PROFILE_MISMATCH, missing)
    _check_header(frame)
    names = _needed(frame.channels, spec, view)
    if spec.crop != "content":
        placement = place((int(frame.pixels.shape[0]), int(frame.pixels.shape[1])), spec)
        planes = _resized(frame, names, placement, view)
        return [Shown(None, _tensor(frame, planes, spec, view), placement)]
    air = air_of(frame, view)
    parts = pieces(content(frame, view, air), spec.pieces)
    calibrated = are_raw(frame) and view is not None and view.detector is not None
    whole = _scaled(frame, names, parts[0], spec, view, air) if calibrated else None
    made = []
    for part in parts:
        if whole is None:
            placement, planes = _cropped(frame, names, part, spec, view)
        else:
            placement, planes = _window(whole, part, spec)
        made.append(Shown(part, _tensor(frame, planes, spec, view), placement))
    return made


def _tensor(frame: Frame, planes: dict[Channel, Floats], spec: ModelInput, view: Optics | None) -> Floats:
    """The input that shows `planes`, all of one size, in its top left corner."""
    height, width = next(iter(planes.values())).shape
    extra = _materials(planes, spec, view)
    tensor = np.full((len(spec.channels), *spec.size), spec.pad, np.float32)
    for index, channel in enumerate(spec.channels):
        made = extra[channel] if channel in extra else _channel(channel, planes, frame)
        tensor[index, :height, :width] = made
    if spec.mean:
        tensor -= np.asarray(spec.mean, np.float32)[:, None, None]
    if spec.std:
        tensor /= np.asarray(spec.std, np.float32)[:, None, None]
    return tensor


class _Scaled(NamedTuple):
    """All of a frame of `frame` (height, width) pixels, at the size that its parts have in inputs. `scale`:
    input pixels for a pixel, (y, x)."""

    frame: tuple[int, int]
    scale: tuple[float, float]
    planes: dict[Channel, Floats]


def _scaled(
    frame: Frame, names: tuple[Channel, ...], part: Rectangle, spec: ModelInput, view: Optics | None,
    air: Air,
) -> _Scaled:  # fmt: skip
    """Where pixels have a calibration of their own, the whole frame is resized, once for all its parts."""
    whole = int(frame.pixels.shape[0]), int(frame.pixels.shape[1])
    sides = part[2] - part[0], part[3] - part[1]
    fits = place(sides, spec).content
    scale = fits[0] / sides[0], fits[1] / sides[1]
    size = max(1, round(whole[0] * scale[0])), max(1, round(whole[1] * scale[1]))
    return _Scaled(whole, scale, _resized(frame, names, Placement(whole, size, size), view, air))


def _window(whole: _Scaled, part: Rectangle, spec: ModelInput) -> tuple[Placement, dict[Channel, Floats]]:
    """A part of a frame that has its size already; `Placement.part` says what came of it."""
    size = next(iter(whole.planes.values())).shape
    (scale_y, scale_x), (top, left, bottom, right) = whole.scale, part
    y, x = min(round(top * scale_y), size[0] - 1), min(round(left * scale_x), size[1] - 1)
    high = min(max(1, round((bottom - top) * scale_y)), spec.size[0])
    wide = min(max(1, round((right - left) * scale_x)), spec.size[1])
    window = np.s_[y : min(y + high, size[0]), x : min(x + wide, size[1])]
    cut = {name: np.ascontiguousarray(plane[window]) for name, plane in whole.planes.items()}
    height, width = next(iter(cut.values())).shape
    back_y, back_x = whole.frame[0] / size[0], whole.frame[1] / size[1]
    shown = Part(y * back_y, x * back_x, height * back_y, width * back_x)
    return Placement(whole.frame, (height, width), spec.size, shown), cut


def _cropped(
    frame: Frame, names: tuple[Channel, ...], part: Rectangle, spec: ModelInput, view: Optics | None
) -> tuple[Placement, dict[Channel, Floats]]:
    """A part of the frame at the size it has in the input."""
    top, left, bottom, right = part
    small = place((bottom - top, right - left), spec)
    inner = msgspec.structs.replace(frame, pixels=np.ascontiguousarray(frame.pixels[top:bottom, left:right]))
    shown = Part(float(top), float(left), float(bottom - top), float(right - left))
    whole = int(frame.pixels.shape[0]), int(frame.pixels.shape[1])
    return small._replace(frame=whole, part=shown), _resized(inner, names, small, view)


def _source(
    wanted: FrontEndChannel, available: tuple[Channel, ...], view: Optics | None
) -> tuple[Channel, ...] | None:
    found = next((way for way in _SOURCES[wanted] if set(way) <= set(available)), None)
    if found is None and wanted in _BY_WEDGES and view is not None and view.materials is not None:
        return _DUAL if available == _DUAL else None
    return found


def _needed(available: tuple[Channel, ...], spec: ModelInput, view: Optics | None) -> tuple[Channel, ...]:
    """The frame's channels that the model's are made from, in the frame's order."""
    used = {source for wanted in spec.channels for source in _source(wanted, available, view) or ()}
    return tuple(channel for channel in available if channel in used)


def _materials(
    planes: dict[Channel, Floats], spec: ModelInput, view: Optics | None
) -> dict[FrontEndChannel, Floats]:
    """The channels that only the scanner's wedges can give, as far as `spec` wants them of counts."""
    if view is None or view.materials is None or view.colours is None or not set(_DUAL) <= set(planes):
        return {}
    both = np.stack([planes["low"], planes["high"]])
    wanted = set(spec.channels)
    made: dict[FrontEndChannel, Floats] = {}
    if wanted & {"effective_z", "areal_density"}:
        made["effective_z"], made["areal_density"] = named_z_and_density(both, view.materials)
    if wanted & {"red", "green", "blue"}:
        shown = pseudo_colour(both, view.colours) * np.float32(1 / 255)
        made["blue"], made["green"], made["red"] = shown[:, :, 0], shown[:, :, 1], shown[:, :, 2]
    return made


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


def _resized(
    frame: Frame, names: tuple[Channel, ...], placement: Placement, view: Optics | None,
    air: Air | None = None,
) -> dict[Channel, Floats]:  # fmt: skip
    """The named planes at the size of the placement's content, as fractions of full scale.

    Integer pixels without a calibration are resized as integers, so a value may be off by half a count.
    """
    height, width = placement.content
    shrinks = height <= placement.frame[0] and width <= placement.frame[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if are_raw(frame) and view is not None and view.detector is not None:
        planes = planes_of(frame, view, (height, width), air)
        return {name: planes[frame.channels.index(name)] for name in names}
    if names == frame.channels:
        small = cv2.resize(frame.pixels, (width, height), interpolation=how)
    else:
        several = [cv2.extractChannel(frame.pixels, frame.channels.index(name)) for name in names]
        small = cv2.merge([cv2.resize(plane, (width, height), interpolation=how) for plane in several])
    small = small.reshape(height, width, len(names))
    if small.dtype.kind == "f" and not np.isfinite(small).all():
        raise FrameError(Reason.NOT_FINITE, f"view {frame.view}: pixels hold NaN or infinity")
    values = small.astype(np.float32) * np.float32(1.0 / frame.full_scale)
    return {name: values[:, :, index] for index, name in enumerate(names)}


def _channel(wanted: FrontEndChannel, planes: dict[Channel, Floats], frame: Frame) -> Floats:
    source = _source(wanted, frame.channels, None) or ()
    if wanted == "opacity":
        values = [planes[name] for name in source]
        counts = source[0] in ("low", "high")
        return (_opacity_of_counts if counts else _opacity_of_display)(values, frame.opaque_below)
    if wanted == "grey" and source == _COLOUR:
        luma: Floats = np.stack([planes[name] for name in _COLOUR], axis=-1) @ _LUMA
        return luma
    return planes[wanted] if wanted in source else planes[source[0]]


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

"""Frames held against their scanner's profile. Pure."""

from __future__ import annotations

from nii_edge.config import Format, Profile
from nii_edge.edge.jobs import Decoded, JobFrame
from nii_edge.errors import FrameError
from nii_edge.records import Reason
from nii_edge.wire import FrameMessage


def format_of(message: FrameMessage, profile: Profile) -> Format:
    """Which of the profile's formats a header means.

    Raises:
        FrameError: PROFILE_MISMATCH or BAD_HEADER, naming what was found and expected.
    """
    views = len(profile.views)
    if message.views not in (None, views):
        raise FrameError(
            Reason.PROFILE_MISMATCH, f"views {message.views}, the profile {profile.name!r} has {views}"
        )
    if message.view >= views:
        raise FrameError(Reason.BAD_HEADER, f"view {message.view}; views count from 0 to {views - 1}")
    form = profile.format_for(message.channels, message.dtype)
    if form is None:
        sent = f"{list(message.channels or ('profile',))} {message.dtype or ''}"
        raise FrameError(
            Reason.PROFILE_MISMATCH,
            f"{sent.strip()}; the profile {profile.name!r} has "
            + ", ".join(f"{list(f.channels)} {f.dtype}" for f in profile.formats),
        )
    return form


def format_of_decoded(message: FrameMessage, profile: Profile, result: Decoded) -> Format:
    """Which format a decoded picture is, its header and profile allowing.

    Raises:
        FrameError: CORRUPT_FRAME if it has not the size its header says, PROFILE_MISMATCH if it is of no
            format the profile knows.
    """
    height, width, channels = result.shape
    if (message.height or height, message.width or width) != (height, width):
        raise FrameError(
            Reason.CORRUPT_FRAME,
            f"a picture of {height}x{width}, the header says {message.height}x{message.width}",
        )
    for form in profile.formats:
        allowed = message.channels in (None, form.channels) and message.dtype in (None, form.dtype)
        if allowed and (len(form.channels), form.dtype) == (channels, result.dtype):
            return form
    raise FrameError(
        Reason.PROFILE_MISMATCH,
        f"the picture has {channels} x {result.dtype}; the profile {profile.name!r} expects "
        + " or ".join(f"{list(f.channels)} {f.dtype}" for f in profile.formats),
    )


def frame(
    message: FrameMessage, profile: Profile, form: Format, slot: int, shape: tuple[int, int, int]
) -> JobFrame:
    """A view whose pixels lie in `slot`, shape (height, width, channels), with what its profile says."""
    full_scale = form.air if form.is_counts else form.white
    if full_scale is None:
        raise FrameError(Reason.PROFILE_MISMATCH, f"the profile {profile.name!r} gives no full scale")
    return JobFrame(
        view=message.view,
        view_name=profile.views[message.view],
        slot=slot,
        shape=shape,
        dtype=form.dtype,
        channels=form.channels,
        full_scale=full_scale,
        opaque_below=profile.penetration_limit if form.is_counts else profile.black_level,
    )

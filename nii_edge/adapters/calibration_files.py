"""Calibrations in files: one MessagePack file per view of a scanner, with a checksum over all of it.

A file holds the offset and gain of every detector pixel, and the wedge scans of that scanner if there were
any. Tables are not stored: they are built from the wedges when the file is read. Wedges can also be read
from YAML that a person wrote.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from nii_edge.config import Config, load
from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.records import Channel, Name, ViewIndex
from nii_edge.xray.calibrate import Calibration, Origin, assemble
from nii_edge.xray.optics import Optics, optics
from nii_edge.xray.wedges import Wedge

MAGIC = b"nii-edge calibration 1\n"
MAX_BYTES = 16 << 20
"""A file of 64k pixels and four channels has 3 MB."""
MAX_PIXELS = 65_536


class StoredCalibration(NamedTuple):
    """What a calibration file holds. `wedges` is empty if none were scanned."""

    calibration: Calibration
    wedges: tuple[Wedge, ...]


class WedgeFile(Config, frozen=True, kw_only=True):
    """Wedge scans as YAML."""

    version: Literal[1]
    wedges: tuple[Wedge, ...]


class _Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arrays are little-endian, row by row, of shape (channels, width)."""

    scanner: Name
    view: ViewIndex
    made_at_ns: int
    belt_axis: Literal["rows", "columns"]
    channels: tuple[Channel, ...]
    width: int
    offset: bytes
    gain: bytes
    states: bytes
    air: tuple[float, ...]
    dark_noise: tuple[float, ...]
    air_noise: tuple[float, ...]
    digest: str
    wedges: tuple[Wedge, ...]


def write_calibration(path: Path, calibration: Calibration, wedges: tuple[Wedge, ...] = ()) -> None:
    """Write `path`, whole or not at all: it appears under its name only when complete."""
    stored = _Stored(
        scanner=calibration.scanner,
        view=calibration.view,
        made_at_ns=calibration.made_at_ns,
        belt_axis=calibration.belt_axis,
        channels=calibration.channels,
        width=calibration.width,
        offset=calibration.offset.astype("<f4").tobytes(),
        gain=calibration.gain.astype("<f4").tobytes(),
        states=calibration.states.tobytes(),
        air=calibration.air,
        dark_noise=calibration.dark_noise,
        air_noise=calibration.air_noise,
        digest=calibration.digest,
        wedges=wedges,
    )
    body = msgspec.msgpack.encode(stored)
    part = path.with_name(path.name + ".part")
    part.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
    part.replace(path)


def read_calibration(path: Path) -> StoredCalibration:
    """Read what `write_calibration` wrote.

    Raises:
        CalibrationError: DAMAGED; names the file and what is wrong with it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _damaged(path, f"{path.stat().st_size} bytes; at most {MAX_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    head, body = data[: len(MAGIC) + 32], data[len(MAGIC) + 32 :]
    if not head.startswith(MAGIC):
        raise _damaged(path, f"no calibration file: it begins with {head[:16]!r}")
    if hashlib.sha256(body).digest() != head[len(MAGIC) :]:
        raise _damaged(path, "its checksum does not fit; restore it or calibrate again")
    try:
        stored = msgspec.msgpack.decode(body, type=_Stored)
    except msgspec.DecodeError as error:
        raise _damaged(path, str(error)) from error
    calibration = _calibration(path, stored)
    if calibration.digest != stored.digest:
        raise _damaged(path, f"digest {calibration.digest[:16]}, expected {stored.digest[:16]}")
    return StoredCalibration(calibration, stored.wedges)


def read_optics(path: Path, penetration_limit: float) -> Optics:
    """All that a calibration file says of its view.

    Raises:
        CalibrationError: DAMAGED, or what `wedges.respond` says of its wedges; names the file.
    """
    stored = read_calibration(path)
    try:
        return optics(stored.calibration, stored.wedges, penetration_limit)
    except CalibrationError as error:
        raise CalibrationError(error.fault, f"{path}: {error.detail}") from error


def read_wedges(path: Path) -> tuple[Wedge, ...]:
    """Wedge scans from a YAML file: ``version: 1`` and ``wedges``, each with name, z, density and steps of
    thickness_mm, t_low, t_high.

    Raises:
        ConfigError: names the file, the path inside it, and what was expected.
    """
    return load(path, WedgeFile).wedges


def _calibration(path: Path, stored: _Stored) -> Calibration:
    shape = (len(stored.channels), stored.width)
    if not (0 < stored.width <= MAX_PIXELS and stored.channels):
        raise _damaged(path, f"{len(stored.channels)} channels of {stored.width} pixels")
    count = shape[0] * shape[1]
    lengths = (len(stored.offset), len(stored.gain), len(stored.states))
    if lengths != (4 * count, 4 * count, count):
        raise _damaged(path, f"arrays of {lengths} bytes for {shape[0]} channels of {shape[1]} pixels")
    for name in ("air", "dark_noise", "air_noise"):
        if len(getattr(stored, name)) != shape[0]:
            raise _damaged(path, f"`{name}` has {len(getattr(stored, name))} values for {shape[0]} channels")
    offset = np.frombuffer(stored.offset, "<f4").reshape(shape).astype(np.float32)
    gain = np.frombuffer(stored.gain, "<f4").reshape(shape).astype(np.float32)
    for name, values in (
        ("offset", offset),
        ("gain", gain),
        ("air", stored.air),
        ("dark_noise", stored.dark_noise),
        ("air_noise", stored.air_noise),
    ):
        if not np.isfinite(values).all():
            raise _damaged(path, f"`{name}` holds NaN or infinity; calibrate again")
    return assemble(
        Origin(stored.scanner, stored.view, stored.made_at_ns, stored.belt_axis, stored.channels),
        offset,
        gain,
        np.frombuffer(stored.states, np.uint8).reshape(shape),
        stored.air,
        stored.dark_noise,
        stored.air_noise,
    )


def _damaged(path: Path, detail: str) -> CalibrationError:
    return CalibrationError(CalibrationFault.DAMAGED, f"{path}: {detail}")

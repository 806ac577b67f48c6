"""Self-test results in files: JSON lines, one result each, and the piece they were made with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import msgspec

from nii_edge.config import Config
from nii_edge.errors import ConfigError
from nii_edge.xray.self_test import Grade, Limit, Measurement, Metric, SelfTest, TestPiece

MAX_BYTES = 1 << 20
"""Of a history are read, from its end: some years of daily results."""


class PieceFile(Config, frozen=True, kw_only=True):
    """The file that --piece names: the test piece's layout, and the owner's limits."""

    version: Literal[1]
    piece: TestPiece
    limits: tuple[Limit, ...] = ()


def read_history(path: Path | None) -> list[SelfTest]:
    """Earlier results, oldest first; none if there is no such file yet.

    Raises:
        ConfigError: names the line that is no result, or says why the file cannot be read.
    """
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_BYTES))
            lines = file.read().splitlines()[size > MAX_BYTES :]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    results = []
    for number, line in enumerate(lines, 1):
        try:
            results.append(_result(line))
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path}, line {number}: no self-test result: {error}") from error
    return results


def add_result(path: Path, result: SelfTest) -> None:
    """One more result at the end of a history; JSON has no infinity, it becomes null. Raises OSError."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")


class _Measured(msgspec.Struct, forbid_unknown_fields=True):
    metric: Metric
    value: float | None
    grade: Grade


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    made_at_ns: int
    piece: str
    measurements: tuple[_Measured, ...]
    problem: str = ""


def _result(line: bytes) -> SelfTest:
    """Null is what was infinite: the thinnest wire seen, where none was."""
    stored = msgspec.json.decode(line, type=_Stored)
    measurements = tuple(
        Measurement(metric=one.metric, value=math.inf if one.value is None else one.value, grade=one.grade)
        for one in stored.measurements
    )
    return SelfTest(
        made_at_ns=stored.made_at_ns, piece=stored.piece, measurements=measurements, problem=stored.problem
    )

"""Self-test results in files: JSON lines, one result each, and the piece they were made with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from nii_edge.config import Config
from nii_edge.errors import ConfigError
from nii_edge.xray.self_test import Limit, SelfTest, TestPiece

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
            results.append(msgspec.json.decode(line, type=SelfTest))
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path}, line {number}: no self-test result: {error}") from error
    return results


def add_result(path: Path, result: SelfTest) -> None:
    """One more result at the end of a history. Raises OSError."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")

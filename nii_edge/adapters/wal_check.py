"""Is a write-ahead log whole? SQLite reads it up to the first frame whose checksum is wrong and takes what
comes after for a commit that a power cut tore: so a damaged log loses commits without a word.

The format is SQLite's (https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log"): a header of 32 bytes,
then frames of a header of 24 bytes and a page. Each checksum goes on from the one before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER, _FRAME = 32, 24
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""The first word, and the byte order in which checksums are made."""
TORN_COMMITS = 1
"""Commits from the first bad frame on that a power cut may leave: the last one was never said to be on disk,
and its pages may reach the disk in any order."""

Sums = tuple[int, int]


class _Frame(NamedTuple):
    number: int
    commits: bool
    follows: bool


def wal_damage(path: Path) -> str | None:
    """What is wrong with the log at `path`, in words; None if nothing is, or if there is none.

    Raises:
        OSError: it cannot be read.
    """
    if not path.exists():
        return None
    data = path.read_bytes()
    bad, commits, last = 0, 0, 0
    for frame in _frames(data):
        last = frame.number
        if not bad and not frame.follows:
            bad, commits = frame.number, int(frame.commits)
        elif bad and frame.follows and frame.commits:
            commits += 1
    if commits <= TORN_COMMITS:
        return None
    return f"{path}: frame {bad} of {last} is damaged; {commits} commits from there on cannot be read"


def _frames(data: bytes) -> Iterator[_Frame]:
    """The frames of this log's own generation, each held against the checksum that is written before it."""
    if len(data) < _HEADER:
        return
    magic, _, page, _, salt_1, salt_2, sum_1, sum_2 = struct.unpack(">8I", data[:_HEADER])
    order = _MAGIC.get(magic)
    if order is None or not 512 <= page <= 65_536 or page & (page - 1):
        return
    before, size = (sum_1, sum_2), _FRAME + page
    strange: list[_Frame] = []
    stored = last = before
    for number, start in enumerate(range(_HEADER, len(data) - size + 1, size), 1):
        head = struct.unpack(">6I", data[start : start + _FRAME])
        stored, last = last, (head[4], head[5])
        if head[2:4] != (salt_1, salt_2):
            # of an earlier generation, or damaged itself if more of this one come after it
            strange.append(_Frame(number, head[1] != 0, follows=False))
            continue
        if strange:
            yield from strange
            strange, before = [], stored
        own = head[4], head[5]
        body = data[start : start + 8] + data[start + _FRAME : start + size]
        yield _Frame(number, head[1] != 0, _summed(body, before, order) == own)
        before = own


def _summed(data: bytes, before: Sums, order: str) -> Sums:
    one, two = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two

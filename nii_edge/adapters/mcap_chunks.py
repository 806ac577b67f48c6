"""Messages out of an MCAP file, in order of time, stepping over what is damaged and saying so.

The library's readers stop at the first damaged chunk, and take a record that the file ends inside of
for a short one. So the chunks are found here, through the index at the end or, where that is missing
or damaged, record by record from the front; the library parses them and checks their CRC.

Format: https://mcap.dev/spec
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, Message
from mcap.stream_reader import breakup_chunk
from zstandard import ZstdError

from nii_edge.errors import RecordingError

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 1 << 30
"""The largest chunk that is unpacked."""

_HEAD = struct.Struct("<BQ")  # opcode, length of what follows
_FOOTER = struct.Struct("<BQQQI")  # opcode, length, summary start, summary offset start, summary CRC
_CHUNK_START = struct.Struct("<Q")
_COMPRESSIONS = ("", "zstd", "lz4")

FOREIGN_ERRORS = (
    McapError,
    ZstdError,
    struct.error,
    ValueError,  # CRCValidationError, UnicodeDecodeError and IntEnum are ValueErrors
    KeyError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,  # lz4
)
"""All that parsing a damaged record may raise."""

OTHER_FILES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"#ROSBAG", "a ROS 1 bag"),
)
"""How files begin that are mistaken for recordings."""

Tell = Callable[[str], None]
"""Takes one problem, in words."""


class Stored(NamedTuple):
    """One message as it lies in the file."""

    topic: str
    log_time_ns: int
    offset: int
    data: bytes


class ChunkPlace(NamedTuple):
    """Where a chunk lies. `channels`: ids of those with messages in it; empty if that is unknown."""

    start_ns: int
    offset: int
    length: int
    channels: frozenset[int] = frozenset()


class Contents(NamedTuple):
    """What a file holds: its chunks, topics by channel id, and messages by topic (None: unknown)."""

    chunks: list[ChunkPlace]
    topics: dict[int, str]
    counts: dict[str, int] | None


class _NoIndexError(Exception):
    """The index is missing or damaged; the message says which."""


def check_magic(path: Path) -> None:
    """Raises RecordingError, naming what was found, if `path` is not an MCAP file."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head.startswith(MAGIC):
        return
    if not head:
        found = "it is empty"
    elif MAGIC.startswith(head):
        found = f"it is cut after {len(head)} bytes, within the first mark"
    else:
        kind = next((kind for magic, kind in OTHER_FILES if head.startswith(magic)), "something else")
        found = f"it is {kind}, beginning with {head[:8].hex(' ')}"
    raise RecordingError(f"{path}: not an MCAP recording: {found}")


def survey(file: BinaryIO, tell: Tell) -> Contents:
    """Find the chunks of an MCAP file: by its index, else record by record. Damage goes to `tell`."""
    size = file.seek(0, 2)
    try:
        return _indexed(file, size)
    except _NoIndexError as error:
        tell(str(error))
        return _walked(file, size, tell)
    except FOREIGN_ERRORS as error:
        tell(f"the index at the end cannot be read ({_words(error)})")
        return _walked(file, size, tell)


def messages(file: BinaryIO, contents: Contents, topics: Collection[str], tell: Tell) -> Iterator[Stored]:
    """The messages on `topics` by log time, equal times in file order. Bad chunks go to `tell`.

    Holds in memory only the chunks whose spans of time overlap.
    """
    wanted = {number for number, topic in contents.topics.items() if topic in topics}
    waiting: list[tuple[int, int, int, Stored]] = []
    for place in sorted(contents.chunks):
        if place.channels and not place.channels & wanted:
            continue
        while waiting and waiting[0][0] < place.start_ns:
            yield heapq.heappop(waiting)[3]
        for position, record in enumerate(_records(file, place, tell)):
            if isinstance(record, Message) and record.channel_id in wanted:
                stored = Stored(
                    contents.topics[record.channel_id], record.log_time, place.offset, record.data
                )
                heapq.heappush(waiting, (stored.log_time_ns, place.offset, position, stored))
    while waiting:
        yield heapq.heappop(waiting)[3]


def _indexed(file: BinaryIO, size: int) -> Contents:
    """By the summary section, after checking its CRC, which the library does not."""
    footer_at = size - len(MAGIC) - _FOOTER.size
    if footer_at < len(MAGIC):
        raise _NoIndexError("the end of the file, with its index, is missing")
    file.seek(footer_at)
    tail = file.read(_FOOTER.size + len(MAGIC))
    opcode, _, start, _, crc = _FOOTER.unpack_from(tail)
    if tail[_FOOTER.size :] != MAGIC or opcode != Opcode.FOOTER:
        raise _NoIndexError("the end of the file, with its index, is missing")
    if not len(MAGIC) <= start < footer_at:
        raise _NoIndexError("there is no index at the end")
    file.seek(start)
    if crc and zlib.crc32(file.read(footer_at + _FOOTER.size - 4 - start)) != crc:
        raise _NoIndexError("the index at the end is damaged: its CRC is wrong")
    file.seek(0)
    summary = SeekingReader(file, record_size_limit=size).get_summary()
    if summary is None or summary.statistics is None or not summary.channels:
        raise _NoIndexError("the index at the end is incomplete")
    if summary.statistics.message_count and not summary.chunk_indexes:
        raise _NoIndexError("the index at the end lists no chunks")
    topics = {number: str(channel.topic) for number, channel in summary.channels.items()}
    counts: dict[str, int] = {}
    for number, count in summary.statistics.channel_message_counts.items():
        counts[topics[number]] = counts.get(topics[number], 0) + int(count)
    chunks = [
        ChunkPlace(
            c.message_start_time, c.chunk_start_offset, c.chunk_length, frozenset(c.message_index_offsets)
        )
        for c in summary.chunk_indexes
    ]
    return Contents(chunks, topics, counts)


def _walked(file: BinaryIO, size: int, tell: Tell) -> Contents:
    """By going through the file. Chunks are unpacked to learn the channels, damaged ones left out."""
    chunks: list[ChunkPlace] = []
    topics: dict[int, str] = {}
    loose = 0
    for opcode, offset, length in _heads(file, size, tell):
        if opcode == Opcode.MESSAGE:
            loose += 1
        if opcode != Opcode.CHUNK:
            continue
        file.seek(offset + _HEAD.size)
        start = file.read(_CHUNK_START.size)
        place = ChunkPlace(_CHUNK_START.unpack(start)[0] if len(start) == 8 else 0, offset, length)
        found = list(_records(file, place, tell))
        topics.update((r.id, str(r.topic)) for r in found if isinstance(r, Channel))
        unknown = {r.channel_id for r in found if isinstance(r, Message)} - topics.keys()
        if unknown:
            tell(f"the chunk at byte {offset} has messages whose channel was described in a lost part")
        if found:
            chunks.append(place)
    if loose:
        tell(f"{loose} messages outside chunks were not read; `mcap compress` packs them into chunks")
    return Contents(chunks, topics, None)


def _heads(file: BinaryIO, size: int, tell: Tell) -> Iterator[tuple[int, int, int]]:
    """Opcode, offset and whole length of every complete record up to the footer."""
    offset = len(MAGIC)
    while offset < size:
        file.seek(offset)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            tell(f"the file is cut at byte {size}, inside the record that begins at byte {offset}")
            return
        opcode, length = _HEAD.unpack(head)
        whole = _HEAD.size + length
        if opcode == 0 or Opcode.DATA_END < opcode < 0x80:
            tell(f"damaged at byte {offset}: {opcode:#04x} begins no MCAP record; not read beyond")
            return
        if offset + whole > size:
            tell(
                f"the record at byte {offset} should have {whole} bytes, but the file ends at byte {size}: "
                "it is cut, or damaged there; not read beyond"
            )
            return
        yield opcode, offset, whole
        offset += whole
        if opcode == Opcode.FOOTER:
            return


def _records(file: BinaryIO, place: ChunkPlace, tell: Tell) -> Iterable[object]:
    """What is in one chunk; nothing, and a word to `tell`, if it is damaged."""
    try:
        file.seek(place.offset)
        head = file.read(_HEAD.size)
        opcode, length = _HEAD.unpack(head)
        if opcode != Opcode.CHUNK or length != place.length - _HEAD.size:
            raise ValueError("no chunk of the expected length begins there")
        chunk = Chunk.read(ReadDataStream(BytesIO(file.read(length))))
        if chunk.compression not in _COMPRESSIONS or chunk.uncompressed_size > MAX_CHUNK_BYTES:
            raise ValueError(f"{chunk.uncompressed_size} bytes, packed as {chunk.compression!r}")
        records: list[object] = breakup_chunk(chunk, validate_crc=True)
    except FOREIGN_ERRORS as error:
        tell(f"the chunk of {place.length} bytes at byte {place.offset} is damaged ({_words(error)})")
        return ()
    if not chunk.uncompressed_crc:
        tell("its chunks carry no CRC, so that damage inside them cannot be seen")
    return records


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

"""Recordings: frames and verdicts in one MCAP file, which also opens in Foxglove and other tools.

Topics, all of msgpack maps described by a JSON Schema inside the file:

- ``/frames``: `RecordedFrame`, one message per view;
- ``/verdicts``: `nii_edge.wire.VerdictMessage`;
- ``/notes``: `Note`, what the recorder itself has to say, above all what it missed.

`log_time` is when the recorder received the message, `publish_time` when the view was captured, where
known. Every message is a chunk of its own, zstd-packed, with a CRC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import msgspec
from mcap.writer import CompressionType, Writer

from nii_edge import __version__
from nii_edge.adapters import mcap_chunks
from nii_edge.errors import RecordingError
from nii_edge.ports import SourceFrame
from nii_edge.wire import VERSION, Buffer, FrameMessage, VerdictMessage

FRAMES = "/frames"
VERDICTS = "/verdicts"
NOTES = "/notes"
METADATA = "nii_edge"
"""Name of the metadata record that gives `version` (of this package) and `protocol`."""
SCANS_HELD = 8
"""How many newer scans may begin before a scan is given on without the views it still lacks."""


class RecordedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One view as it came: its header, and its payload (pixels or an encoded picture)."""

    header: FrameMessage
    payload: Buffer


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A remark of the recorder, for example how many frames it missed and why."""

    text: str


class _StoredFrame(msgspec.Struct, frozen=True, kw_only=True):
    header: FrameMessage
    payload: bytes


_SCHEMAS: dict[str, tuple[str, type]] = {
    FRAMES: ("nii_edge.RecordedFrame", _StoredFrame),
    VERDICTS: ("nii_edge.VerdictMessage", VerdictMessage),
    NOTES: ("nii_edge.Note", Note),
}
M = TypeVar("M")
_ENCODER = msgspec.msgpack.Encoder()
_FRAME = msgspec.msgpack.Decoder(_StoredFrame)
_VERDICT = msgspec.msgpack.Decoder(VerdictMessage)
_NOTE = msgspec.msgpack.Decoder(Note)


class RecordingWriter:
    """Writes a new recording. Not thread-safe.

    What a `write_...` call was given is with the operating system when it returns: killing the recorder
    later loses none of it. It is not forced to disk, so a power cut may cost the last half minute.
    """

    def __init__(self, path: Path) -> None:
        """Create the file `path`.

        Raises:
            RecordingError: it exists already, or cannot be created.
        """
        self._path = path
        self._sequence = 0
        try:
            self._file: BinaryIO | None = path.open("xb")
        except FileExistsError as error:
            raise RecordingError(f"{path}: exists already; name another file or remove it first") from error
        except OSError as error:
            raise RecordingError(f"{path}: cannot be created: {error.strerror or error}") from error
        self._writer = Writer(self._file, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._channels: dict[str, int] = {}
        self._guarded(self._begin)

    def write_frame(self, header: FrameMessage, payload: Buffer, log_time_ns: int) -> None:
        """Add one view, received at `log_time_ns` (Unix time, at least 0). Raises RecordingError."""
        captured = header.captured_at_ns
        published = captured if captured is not None and 0 <= captured < 2**64 else log_time_ns
        self._write(FRAMES, RecordedFrame(header=header, payload=payload), log_time_ns, published)

    def write_verdict(self, verdict: VerdictMessage, log_time_ns: int) -> None:
        """Add a verdict, heard at `log_time_ns` (Unix time, at least 0). Raises RecordingError."""
        self._write(VERDICTS, verdict, log_time_ns, log_time_ns)

    def write_note(self, text: str, log_time_ns: int) -> None:
        """Add a remark; whoever reads the recording is told it as a problem. Raises RecordingError."""
        self._write(NOTES, Note(text=text), log_time_ns, log_time_ns)

    def close(self) -> None:
        """Write the index and close the file. May be called twice.

        Raises:
            RecordingError: the index could not be written; the messages can be read all the same.
        """
        if self._file is None:
            return
        self._guarded(self._writer.finish)
        file, self._file = self._file, None
        file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._writer.start(library=f"nii_edge {__version__}")
        self._writer.add_metadata(METADATA, {"version": __version__, "protocol": str(VERSION)})
        for topic, (name, kind) in _SCHEMAS.items():
            schema = json.dumps(msgspec.json.schema(kind), sort_keys=True).encode()
            schema_id = self._writer.register_schema(name, "jsonschema", schema)
            self._channels[topic] = self._writer.register_channel(topic, "msgpack", schema_id)
        self._writer.flush()

    def _write(self, topic: str, message: object, log_time_ns: int, published_ns: int) -> None:
        data = _ENCODER.encode(message)
        self._sequence += 1

        def add() -> None:
            self._writer.add_message(
                self._channels[topic], log_time_ns, data, published_ns, self._sequence & 0xFFFF_FFFF
            )
            self._writer.flush()

        self._guarded(add)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run `step`; after a failure the end of the file is unknown, so nothing is added any more."""
        if self._file is None:
            raise RecordingError(f"{self._path}: this recording is closed")
        try:
            step()
        except OSError as error:
            with suppress(OSError):
                self._file.close()
            self._file = None
            raise RecordingError(
                f"{self._path}: recording stopped: {error.strerror or error}; what was written before "
                "can still be read"
            ) from error


class McapSource:
    """Frames and verdicts of a recording, whole or damaged. A `nii_edge.ports.FrameSource`."""

    problems: list[str]

    def __init__(self, path: Path) -> None:
        """Raises RecordingError if `path` cannot be read or is not MCAP."""
        mcap_chunks.check_magic(path)
        self._path = path
        self.problems = []
        self._damaged = False
        self._contents: mcap_chunks.Contents | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        """Frames by log time; views of a scan stand together where its first one stood.

        Raises:
            RecordingError: the file is damaged so that not one frame can be read.
        """
        self.problems.clear()
        self._damaged = False
        scans = _Scans()
        count, last_ns = 0, 0
        for frame in self._frames():
            count, last_ns = count + 1, frame.log_time_ns or 0
            yield from scans.add(frame)
        yield from scans.rest()
        if self._damaged and not count:
            raise RecordingError(f"{self._path}: no frame can be read: {'; '.join(self.problems)}")
        if self._damaged:
            self._add(f"read {count} frames in all, the last one recorded at {_utc(last_ns)}")

    def __len__(self) -> int:
        """The number of frames by the index; 0 if it is missing or damaged."""
        with self._path.open("rb") as file:
            contents = mcap_chunks.survey(file, lambda _: None)
        return (contents.counts or {}).get(FRAMES, 0)

    def again(self, header: FrameMessage, log_time_ns: int) -> SourceFrame:
        """A frame that was read before, by its header and when it was recorded, without all the others.

        Raises:
            RecordingError: it is not there any more.
        """
        try:
            with self._path.open("rb") as file:
                self._contents = self._contents or mcap_chunks.survey(file, lambda _: None)
                for chunk in sorted(
                    self._contents.chunks, reverse=True
                ):  # it is in one of the last before it
                    alone = self._contents._replace(chunks=[chunk] if chunk.start_ns <= log_time_ns else [])
                    for stored in mcap_chunks.messages(file, alone, (FRAMES,), lambda _: None):
                        if stored.log_time_ns != log_time_ns:
                            continue
                        frame = self._decoded(stored, _FRAME)
                        if frame is not None and frame.header == header:
                            return SourceFrame(frame.header, frame.payload, log_time_ns)
        except OSError as error:
            raise RecordingError(f"{self._path}: cannot be read: {error.strerror or error}") from error
        raise RecordingError(
            f"{self._path}: the frame of {_utc(log_time_ns)} that was read before is not there any more"
        )

    def verdicts(self) -> Iterator[VerdictMessage]:
        """The recorded verdicts by log time. Damage is told by `problems`."""
        for stored in self._messages(VERDICTS):
            message = self._decoded(stored, _VERDICT)
            if message is not None:
                yield message

    def _frames(self) -> Iterator[SourceFrame]:
        for stored in self._messages(FRAMES, NOTES):
            if stored.topic == NOTES:
                note = self._decoded(stored, _NOTE)
                if note is not None:
                    self._add(f"the recorder noted at {_utc(stored.log_time_ns)}: {note.text}")
                continue
            frame = self._decoded(stored, _FRAME)
            if frame is not None:
                yield SourceFrame(frame.header, frame.payload, stored.log_time_ns)

    def _messages(self, *topics: str) -> Iterator[mcap_chunks.Stored]:
        try:
            with self._path.open("rb") as file:
                contents = mcap_chunks.survey(file, self._tell)
                yield from mcap_chunks.messages(file, contents, topics, self._tell)
        except OSError as error:
            raise RecordingError(f"{self._path}: cannot be read: {error.strerror or error}") from error

    def _decoded(self, stored: mcap_chunks.Stored, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
        """The message, or None and a problem."""
        where = f"message on {stored.topic} at {_utc(stored.log_time_ns)}, chunk at byte {stored.offset}"
        try:
            message = decoder.decode(stored.data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            self._tell(f"{where}: not of this protocol: {error}")
            return None
        header = message.header if isinstance(message, _StoredFrame) else message
        version = getattr(header, "version", VERSION)
        if version != VERSION:
            self._tell(f"{where}: of protocol version {version}, read here: {VERSION}")
            return None
        return message

    def _tell(self, damage: str) -> None:
        self._damaged = True
        self._add(damage)

    def _add(self, problem: str) -> None:
        text = f"{self._path.name}: {problem}"
        if text not in self.problems:
            self.problems.append(text)


class _Scans:
    """Brings the views of one scan next to each other, whatever other lanes sent in between."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int], list[SourceFrame]] = {}

    def add(self, frame: SourceFrame) -> Iterator[SourceFrame]:
        """Take `frame`; give the frames that need wait no longer."""
        key = (frame.header.scanner, frame.header.epoch, frame.header.seq)
        self._open.setdefault(key, []).append(frame)
        while self._open:
            oldest = next(iter(self._open))
            if len(self._open) <= SCANS_HELD and not _complete(self._open[oldest]):
                return
            yield from self._open.pop(oldest)

    def rest(self) -> Iterator[SourceFrame]:
        """The frames still held, at the end."""
        for frames in self._open.values():
            yield from frames


def _complete(frames: list[SourceFrame]) -> bool:
    views = max((f.header.views or 0) for f in frames)
    return 0 < views <= len({f.header.view for f in frames})


def _utc(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC) if time_ns < 2**37 * 10**9 else None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else f"{time_ns} ns"

"""Recordings: round trip, interleaved lanes, damage of every kind, and a recorder that is killed."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, Writer

from nii_edge import __version__
from nii_edge.adapters import mcap_chunks
from nii_edge.adapters.mcap_recording import FRAMES, METADATA, NOTES, VERDICTS, McapSource, RecordingWriter
from nii_edge.errors import RecordingError
from nii_edge.ports import SourceFrame
from nii_edge.records import Decision, Report, ScanId, ScanType, Verdict
from nii_edge.wire import VERSION, FrameMessage, VerdictMessage

DATA_END = struct.pack("<BQ", 0x0F, 4)
"""How the record that closes the data section begins."""
START = 1_767_603_600 * 10**9


def frame(seq: int, view: int = 0, scanner: str = "lane-1", views: int | None = 1) -> FrameMessage:
    """A frame header."""
    return FrameMessage(scanner=scanner, epoch=7, seq=seq, view=view, views=views, crc32=seq)


def verdict(seq: int) -> VerdictMessage:
    """A CLEAR verdict."""
    scan = ScanId(edge="edge-1", scanner="lane-1", epoch=7, seq=seq)
    said = Verdict(id=scan, scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR)
    report = Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=said, received_at_ns=1, decided_at_ns=2
    )
    return VerdictMessage(
        scanner="lane-1",
        epoch=7,
        seq=seq,
        decision=Decision.CLEAR,
        scan_type=ScanType.OPERATIONAL,
        report=report,
    )


def payload(seq: int) -> bytes:
    """64 bytes that zstd cannot make smaller, other ones for each number."""
    return b"".join(zlib.crc32(bytes([seq, i])).to_bytes(4, "little") for i in range(16))


def write_recording(path: Path, scans: int = 5) -> list[SourceFrame]:
    """A recording of single-view scans, each with its verdict; returns the frames."""
    with RecordingWriter(path) as writer:
        for seq in range(1, scans + 1):
            writer.write_frame(frame(seq), payload(seq), START + seq)
            writer.write_verdict(verdict(seq), START + seq)
    return [SourceFrame(frame(seq), payload(seq), START + seq) for seq in range(1, scans + 1)]


@pytest.fixture
def whole(tmp_path: Path) -> tuple[bytes, list[SourceFrame]]:
    """The bytes of an intact recording, and its frames."""
    frames = write_recording(tmp_path / "whole.mcap")
    return (tmp_path / "whole.mcap").read_bytes(), frames


def read(path: Path, data: bytes) -> tuple[list[SourceFrame], list[str]]:
    """Frames and problems of a recording of these bytes; a refusal counts as a problem."""
    path.write_bytes(data)
    frames: list[SourceFrame] = []
    try:
        source = McapSource(path)
        frames.extend(source)
    except RecordingError as error:
        return frames, [str(error)]
    return frames, source.problems


# ---- what is written is read --------------------------------------------------------------------

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
headers = st.builds(
    FrameMessage,
    scanner=names,
    epoch=st.integers(0, 2**53 - 1),
    seq=st.integers(1, 2**53 - 1),
    view=st.integers(0, 7),
    views=st.none() | st.integers(1, 8),
    channels=st.none() | st.just(("low", "high")) | st.just(("grey",)),
    dtype=st.none() | st.sampled_from(["uint8", "uint16", "float32"]),
    height=st.none() | st.integers(1, 65_535),
    width=st.none() | st.integers(1, 65_535),
    encoding=st.sampled_from(["raw", "png", "jpeg", "tiff"]),
    crc32=st.none() | st.integers(0, 2**32 - 1),
    captured_at_ns=st.none() | st.integers(-(2**63), 2**63 - 1),
    scan_type=st.sampled_from(ScanType),
    carton=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=128),
)
recorded = st.builds(SourceFrame, headers, st.binary(max_size=200), st.integers(0, 2**64 - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(recorded, max_size=12))
def test_what_is_written_is_read(frames: list[SourceFrame]) -> None:
    """Every frame comes back with its header, payload and time, none twice, and nothing is a problem."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.mcap"
        with RecordingWriter(path) as writer:
            for header, data, time_ns in frames:
                assert time_ns is not None
                writer.write_frame(header, memoryview(data), time_ns)
        source = McapSource(path)
        key = msgspec.msgpack.encode
        assert sorted(source, key=key) == sorted(frames, key=key)
        assert source.problems == []
        assert len(source) == len(frames)


def test_verdicts_and_frames_are_kept_apart(tmp_path: Path) -> None:
    """`verdicts()` gives every recorded verdict and no frame, iterating every frame and no verdict."""
    frames = write_recording(tmp_path / "a.mcap")
    source = McapSource(tmp_path / "a.mcap")
    assert list(source.verdicts()) == [verdict(seq) for seq in range(1, 6)]
    assert list(source) == frames


def test_views_recorded_apart_come_together(tmp_path: Path) -> None:
    """Views of two lanes that arrived in turn are given scan by scan, in the order the scans began."""
    order = [(1, "a", 0), (1, "b", 0), (2, "a", 0), (1, "a", 1), (2, "a", 1), (1, "b", 1)]
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        for time, (seq, lane, view) in enumerate(order):
            writer.write_frame(frame(seq, view, lane, views=2), b"x", START + time)
    got = [(f.header.seq, f.header.scanner, f.header.view) for f in McapSource(tmp_path / "a.mcap")]
    assert got == [(1, "a", 0), (1, "a", 1), (1, "b", 0), (1, "b", 1), (2, "a", 0), (2, "a", 1)]


def test_views_come_together_when_their_number_is_unknown(tmp_path: Path) -> None:
    """Headers that leave the number of views to the profile are grouped all the same."""
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        for time, (seq, view) in enumerate([(1, 0), (2, 0), (1, 1), (2, 1)]):
            writer.write_frame(frame(seq, view, views=None), b"x", START + time)
    assert [f.header.seq for f in McapSource(tmp_path / "a.mcap")] == [1, 1, 2, 2]


def test_a_scan_that_lacks_a_view_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    """A scan without its second view is given on as it is after a few more, not at the end of the file."""
    path = tmp_path / "a.mcap"
    with RecordingWriter(path) as writer:
        for seq in range(1, 41):
            for view in (0, 1) if seq > 1 else (0,):
                writer.write_frame(frame(seq, view, views=2), payload(seq), START + seq)
    data = path.read_bytes()
    path.write_bytes(data.replace(payload(30), payload(31)))  # damage, told when reading comes to it
    source = McapSource(path)
    frames = iter(source)
    assert next(frames).header.seq == 1
    assert source.problems == [], "the first frame came after scan 30 had been read"
    assert [f.header.seq for f in frames] == [seq for seq in range(2, 41) if seq != 30 for _ in (0, 1)]
    assert source.problems


def test_chunks_that_overlap_in_time_are_merged(tmp_path: Path) -> None:
    """Chunks of other tools may hold messages whose times interleave; they come by time all the same."""
    out = io.BytesIO()
    writer = Writer(out)
    writer.start()
    channel = writer.register_channel(FRAMES, "msgpack", writer.register_schema("x", "jsonschema", b"{}"))
    for chunk in ((4, 1), (5, 2), (3, 6)):
        for seq in chunk:
            message = msgspec.msgpack.encode({"header": frame(seq), "payload": b"x"})
            writer.add_message(channel, START + seq, message, START)
        writer.flush()
    writer.finish()
    frames, problems = read(tmp_path / "a.mcap", out.getvalue())
    assert [f.header.seq for f in frames] == [1, 2, 3, 4, 5, 6]
    assert problems == []


def test_frames_come_in_order_of_time(tmp_path: Path) -> None:
    """A clock that was set back while recording does not put frames out of order."""
    times = [50, 60, 10, 20, 70]
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        for seq, time in enumerate(times, start=1):
            writer.write_frame(frame(seq), b"x", START + time)
    assert [f.log_time_ns for f in McapSource(tmp_path / "a.mcap")] == [START + t for t in sorted(times)]


def test_the_recorder_s_notes_are_told(tmp_path: Path) -> None:
    """What the recorder noted is among the problems, with its time, and is not taken for damage."""
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.write_note("missed 3 frames: the queue was full", START)
    source = McapSource(tmp_path / "a.mcap")
    assert list(source) == []
    (problem,) = source.problems
    assert "2026-01-05T09:00:00Z: missed 3 frames: the queue was full" in problem


# ---- what other tools see -----------------------------------------------------------------------


def test_other_tools_can_read_it(whole: tuple[bytes, list[SourceFrame]]) -> None:
    """The library's strictest reader accepts the file, every CRC of the data section included."""
    data, frames = whole
    found = list(NonSeekingReader(io.BytesIO(data), validate_crcs=True).iter_messages())
    assert len(found) == 2 * len(frames)
    place = data.rindex(DATA_END) + len(DATA_END)
    assert struct.unpack_from("<I", data, place) != (0,), "a CRC of 0 would mean that there is none"


def test_the_file_describes_itself(whole: tuple[bytes, list[SourceFrame]]) -> None:
    """Topics, encodings, JSON Schemas, times and versions are in the file, by the public MCAP means."""
    reader = make_reader(io.BytesIO(whole[0]), validate_crcs=True)
    summary = reader.get_summary()
    assert {c.topic for c in summary.channels.values()} == {FRAMES, VERDICTS, NOTES}
    assert {c.message_encoding for c in summary.channels.values()} == {"msgpack"}
    assert {s.encoding for s in summary.schemas.values()} == {"jsonschema"}
    assert {c.compression for c in summary.chunk_indexes} == {"zstd"}
    schema, _, message = next(iter(reader.iter_messages(FRAMES)))
    described = json.loads(schema.data)["$defs"]
    stored = msgspec.msgpack.decode(message.data)
    assert set(stored) == {"header", "payload"}
    assert set(stored["header"]) <= set(described["FrameMessage"]["properties"])
    (metadata,) = reader.iter_metadata()
    assert metadata.name == METADATA
    assert metadata.metadata == {"version": __version__, "protocol": str(VERSION)}


@pytest.mark.parametrize(
    ("captured", "published"), [(START - 5, START - 5), (None, START), (-1, START), (0, 0)]
)
def test_publish_time_is_when_it_was_captured(tmp_path: Path, captured: int | None, published: int) -> None:
    """`publish_time` is the capture time where the header gives one MCAP can hold, else the log time."""
    header = msgspec.structs.replace(frame(1), captured_at_ns=captured)
    with RecordingWriter(tmp_path / "a.mcap") as writer:
        writer.write_frame(header, b"x", START)
    with (tmp_path / "a.mcap").open("rb") as file:
        ((_, _, message),) = make_reader(file).iter_messages(FRAMES)
    assert (message.log_time, message.publish_time) == (START, published)


@pytest.mark.parametrize("compression", list(CompressionType))
def test_files_repacked_by_other_tools_are_read(
    whole: tuple[bytes, list[SourceFrame]], tmp_path: Path, compression: CompressionType
) -> None:
    """A recording packed anew, in one chunk of any compression, gives the same frames."""
    data, frames = whole
    assert read(tmp_path / "a.mcap", repacked(data, compression=compression)) == (frames, [])


def repacked(data: bytes, **options: Any) -> bytes:
    """`data` as another tool might write it."""
    out = io.BytesIO()
    writer = Writer(out, **options)
    writer.start()
    channels: dict[int, int] = {}
    for schema, channel, message in make_reader(io.BytesIO(data)).iter_messages():
        if channel.id not in channels:
            schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
            channels[channel.id] = writer.register_channel(channel.topic, "msgpack", schema_id)
        writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
    writer.finish()
    return out.getvalue()


def test_a_frame_is_read_again_without_the_others(
    whole: tuple[bytes, list[SourceFrame]], tmp_path: Path
) -> None:
    """From one chunk each and from one that holds all; where it is damaged or gone by then it is named."""
    data, frames = whole
    (tmp_path / "again.mcap").write_bytes(data)
    (tmp_path / "one.mcap").write_bytes(repacked(data))
    for path in (tmp_path / "again.mcap", tmp_path / "one.mcap"):
        source = McapSource(path)
        for one in reversed(frames):
            assert source.again(one.header, one.log_time_ns or 0) == one
        with pytest.raises(RecordingError, match="not there any more"):
            source.again(frames[0].header, START + 2)
    source = McapSource(tmp_path / "again.mcap")
    (tmp_path / "again.mcap").write_bytes(data.replace(payload(3), payload(4)))
    assert source.again(frames[3].header, START + 4) == frames[3]
    with pytest.raises(RecordingError, match="not there any more"):
        source.again(frames[2].header, START + 3)


def test_missing_checksums_are_told(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """A file whose chunks have no CRC is read, and that nobody checks it is a problem."""
    frames, problems = read(tmp_path / "a.mcap", repacked(whole[0], enable_crcs=False))
    assert frames == whole[1]
    assert any("carry no CRC" in problem for problem in problems)


def test_messages_outside_chunks_are_told(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """A file without chunks is refused with the number of messages in it and what to do."""
    _, problems = read(tmp_path / "a.mcap", repacked(whole[0], use_chunking=False))
    assert "10 messages outside chunks" in problems[0]
    assert "mcap compress" in problems[0]


def foreign(data: bytes) -> bytes:
    """A recording with one message `data` on the frames' topic."""
    out = io.BytesIO()
    writer = Writer(out)
    writer.start()
    channel = writer.register_channel(FRAMES, "msgpack", writer.register_schema("x", "jsonschema", b"{}"))
    writer.add_message(channel, START, data, START)
    writer.finish()
    return out.getvalue()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\xc1", "not of this protocol"),
        (msgspec.msgpack.encode({"header": {"scanner": "a"}, "payload": b""}), "not of this protocol"),
        (
            msgspec.msgpack.encode(
                {
                    "header": {"type": "frame", "version": 2, "scanner": "a", "epoch": 0, "seq": 1},
                    "payload": b"",
                }
            ),
            "protocol version 2, read here: 1",
        ),
    ],
)
def test_messages_that_are_not_ours_are_told(tmp_path: Path, message: bytes, expected: str) -> None:
    """A message that is no frame of this protocol is not given on; its place and fault are told."""
    frames, (problem,) = read(tmp_path / "a.mcap", foreign(message))
    assert frames == []
    assert expected in problem
    assert "2026-01-05T09:00:00Z" in problem


# ---- damage -------------------------------------------------------------------------------------


def cuts(size: int) -> Iterator[int]:
    """Byte offsets to cut at: all near the ends, every 13th between."""
    yield from range(64)
    yield from range(64, size - 64, 13)
    yield from range(size - 64, size)


def test_a_cut_file_gives_its_beginning(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """Wherever a file is cut, the frames before are read, none is altered, and the cut is told."""
    data, frames = whole
    most = 0
    for cut in cuts(len(data)):
        got, problems = read(tmp_path / "a.mcap", data[:cut])
        assert got == frames[: len(got)], cut
        assert problems, cut
        assert len(got) >= most, "a later cut must not lose frames that an earlier one kept"
        most = len(got)
    assert most == len(frames)


def test_a_cut_is_told_with_its_place(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """The problems name the missing end, the byte of the cut, and how many frames were read until when."""
    data, _ = whole
    reader = make_reader(io.BytesIO(data))
    chunk = sorted(c.chunk_start_offset for c in reader.get_summary().chunk_indexes)[4]
    _, problems = read(tmp_path / "a.mcap", data[: chunk + 40])
    text = " ".join(problems)
    assert "the end of the file, with its index, is missing" in text
    assert f"the record at byte {chunk}" in text
    assert f"the file ends at byte {chunk + 40}" in text
    assert "read 2 frames in all, the last one recorded at 2026-01-05T09:00:00Z" in text


def test_no_flipped_byte_alters_a_frame(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """Whichever byte is flipped, each frame comes unaltered, or is missing and a problem says so."""
    data, frames = whole
    for place in range(0, len(data), 4):  # each takes a millisecond or two
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        got, problems = read(tmp_path / "a.mcap", bytes(damaged))
        assert all(f in frames for f in got), place
        assert got == frames or problems, place


def test_a_flipped_byte_costs_one_chunk(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """A bit that flipped in a frame's pixels is found by the CRC; only that frame is lost."""
    data, frames = whole
    place = data.index(payload(3))
    damaged = bytearray(data)
    damaged[place] ^= 1
    got, problems = read(tmp_path / "a.mcap", bytes(damaged))
    assert got == [f for f in frames if f.header.seq != 3]
    assert "CRCValidationError: crc validation failed in Chunk" in problems[0]
    assert "read 4 frames in all" in problems[-1]


def test_a_damaged_index_costs_nothing(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """A flipped byte in the index is found by its CRC, told, and all frames are read without it."""
    data, frames = whole
    damaged = bytearray(data)
    damaged[-60] ^= 1
    got, problems = read(tmp_path / "a.mcap", bytes(damaged))
    assert got == frames
    assert "the index at the end is damaged: its CRC is wrong" in problems[0]


def test_damage_is_told_anew_each_time(whole: tuple[bytes, list[SourceFrame]], tmp_path: Path) -> None:
    """Reading a damaged file twice gives the same problems, not twice as many; once it is mended, none."""
    path = tmp_path / "a.mcap"
    path.write_bytes(whole[0][:-200])
    source = McapSource(path)
    first = (list(source), list(source.problems))
    assert (list(source), source.problems) == first
    assert len(source) == 0
    path.write_bytes(whole[0])
    assert (list(source), source.problems) == (whole[1], [])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_after_the_mark_is_refused(rubbish: bytes) -> None:
    """Whatever follows the MCAP mark, nothing but RecordingError comes out."""
    with tempfile.TemporaryDirectory() as folder:
        frames, problems = read(Path(folder) / "a.mcap", mcap_chunks.MAGIC + rubbish)
    assert frames == []
    assert problems


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"", "it is empty"),
        (b"\x89MCA", "it is cut after 4 bytes"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture, beginning with 89 50 4e 47"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"#ROSBAG V2.0\n", "a ROS 1 bag"),
        (b"hello, world", "something else, beginning with 68 65 6c 6c 6f 2c 20 77"),
    ],
)
def test_other_files_are_named(tmp_path: Path, head: bytes, found: str) -> None:
    """A file that is not MCAP is refused by name, saying what it is instead."""
    (tmp_path / "a.mcap").write_bytes(head)
    with pytest.raises(RecordingError, match=r"a\.mcap: not an MCAP recording") as caught:
        McapSource(tmp_path / "a.mcap")
    assert found in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path with nothing there is refused with the system's words."""
    with pytest.raises(RecordingError, match=r"nothing\.mcap: cannot be read: No such file"):
        McapSource(tmp_path / "nothing.mcap")


# ---- writing ------------------------------------------------------------------------------------


def test_no_recording_is_overwritten(tmp_path: Path) -> None:
    """A file that exists is refused and left as it is."""
    (tmp_path / "a.mcap").write_bytes(b"precious")
    with pytest.raises(RecordingError, match="exists already"):
        RecordingWriter(tmp_path / "a.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == b"precious"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """A recording depends on nothing but what was recorded."""
    for name in ("a.mcap", "b.mcap"):
        write_recording(tmp_path / name)
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()


def test_a_closed_recording_takes_no_more(tmp_path: Path) -> None:
    """Closing twice is fine; writing after it is refused."""
    writer = RecordingWriter(tmp_path / "a.mcap")
    writer.close()
    writer.close()
    with pytest.raises(RecordingError, match="closed"):
        writer.write_frame(frame(1), b"", START)


def test_a_full_disk_stops_the_recording(tmp_path: Path) -> None:
    """When the disk is full the write fails by name, later ones too, and what was written is readable."""
    path = tmp_path / "a.mcap"
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from nii_edge.adapters.mcap_recording import RecordingWriter\n"
        "from nii_edge.errors import RecordingError\n"
        "from nii_edge.wire import FrameMessage\n"
        "import os\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\n"
        "for seq in range(1, 9):\n"
        "    try: writer.write_frame(FrameMessage(scanner='a', epoch=0, seq=seq), os.urandom(3000), seq)\n"
        "    except RecordingError as error: print(error)\n"
        "writer.close()\n"
    )
    said = run(program, path).stdout.splitlines()
    assert "recording stopped: File too large" in said[0]
    assert all("this recording is closed" in line for line in said[1:])
    source = McapSource(path)
    assert [f.header.seq for f in source] == list(range(1, 9 - len(said)))
    assert source.problems


def run(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `program` with the argument `path`."""
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), timeout=60)


def environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same package."""
    import nii_edge

    return {**os.environ, "PYTHONPATH": str(Path(nii_edge.__file__).parent.parent)}


def test_a_killed_recorder_loses_nothing_it_had_written(tmp_path: Path) -> None:
    """After kill -9, every frame whose write had returned is read, and the missing end is told."""
    path = tmp_path / "a.mcap"
    program = (
        "import itertools, sys; from pathlib import Path\n"
        "from nii_edge.adapters.mcap_recording import RecordingWriter\n"
        "from nii_edge.wire import FrameMessage\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\n"
        "for seq in itertools.count(1):\n"
        "    writer.write_frame(FrameMessage(scanner='a', epoch=0, seq=seq), seq.to_bytes(4) * 500, seq)\n"
        "    print(seq, flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert child.stdout is not None
    written = 0
    try:
        while written < 50:
            written = int(child.stdout.readline())
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().splitlines()
        child.stdout.close()
        child.wait()
    written = int(rest[-1]) if rest and rest[-1].isdecimal() else written
    source = McapSource(path)
    frames = list(source)
    assert [f.header.seq for f in frames] == list(range(1, len(frames) + 1))
    assert len(frames) >= written - 1
    assert all(f.payload == f.header.seq.to_bytes(4) * 500 for f in frames)
    assert "the end of the file, with its index, is missing" in source.problems[0]

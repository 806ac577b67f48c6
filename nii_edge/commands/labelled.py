"""Labelled pictures as `train`, `evaluate` and `export` take them: frames of recordings become pictures, and
values have as many bits as the data set uses.

A frame is drawn once, as large as it is, in the colours that the operator sees and the front end gives to
models of colours (`xray.render`), by its scanner's profile and calibration: that teaches, and people see it.
What of it is content is found on the frame itself, as in the daemon, before it is drawn; and what a bundle
finds is measured on the frame itself, which is read again from its recording.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.adapters.arrays import DTYPES
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.commands.recorded_scans import LeftOutError, frame_of, known_lanes
from nii_edge.detect.manifest import Lane
from nii_edge.edge.fit import format_of_decoded
from nii_edge.edge.jobs import Decoded
from nii_edge.errors import ConfigError, DataError, FrameError, RecordingError
from nii_edge.learn.cache import bits_of, oddity_of
from nii_edge.learn.readers import Dataset, Labelled, Problems, Seen, Use, read_dataset
from nii_edge.ports import SourceFrame
from nii_edge.records import Frame
from nii_edge.wire import MAX_SIDE, FrameMessage, check_crc
from nii_edge.xray import render
from nii_edge.xray.content import Rectangle, content
from nii_edge.xray.optics import Optics

SCANNERS = "scanners"
"""The folder beside a recording in which `nii-edge simulate` says what its scanners are."""
Told = Callable[[int, int], None]


class Labels(NamedTuple):
    """Where labels, pictures and what recorded them are, as `--annotations`, `--images` and `--lanes` say.
    `lanes`: an edge's configuration or a folder of profiles and calibrations; None: beside the recording.
    `use`: see `read_dataset`."""

    annotations: Path
    images: Path | None
    lanes: Path | None = None
    use: Use = "training"


class _Scanners(NamedTuple):
    """A recording, and what is known of scanners, by name, with a mark of it: when that changes, pictures are
    others."""

    recording: McapSource
    lanes: Mapping[str, Lane]
    marks: Mapping[str, str]


class _Drawn(NamedTuple):
    """A frame's picture, what its header says of the carton, or which scan it is, what of it the daemon
    shows to a model that wants content, and how the frame itself is read."""

    file: Path
    carton: str
    content: Rectangle
    recorded: Callable[[], Seen] | None = None


def drawn(
    dataset: Dataset, folder: Path, lanes: Path | None, told: Told = lambda _done, _of: None
) -> Dataset:
    """The data set with frames of recordings drawn into `folder`; those that cannot be are left out, counted
    and named. Pictures that are there from before are kept. `told` hears how many frames are read, of how
    many.

    Raises:
        ConfigError: what is known of the scanners is not there or wrong.
        DataError: the folder cannot be written, or nothing is left.
    """
    made: dict[str, _Drawn] = {}
    for recording in sorted({picture.file for picture in dataset.pictures if picture.frame}):
        own = [picture for picture in dataset.pictures if picture.frame and picture.file == recording]
        known = known_lanes(_lanes_of(recording, lanes))
        made |= _draw(recording, own, known, folder, dataset.problems, told)
    if not made and not any(picture.frame for picture in dataset.pictures):
        return dataset
    pictures = tuple(
        _with_file(picture, made[picture.place]) if picture.frame else picture
        for picture in dataset.pictures
        if not picture.frame or picture.place in made
    )
    if not pictures:
        raise DataError("no frame of the recording can be used: " + "; ".join(dataset.problems.lines()))
    return dataset._replace(pictures=pictures)


def with_bits(dataset: Dataset, told: Told = lambda _done, _of: None) -> Dataset:
    """The data set with how many bits the values of its pictures use, said among its problems if these are
    fewer than they have, and what is odd about them (`oddity_of`). Frames of recordings, whose scanner's
    profile says what is white, have 16."""
    own = [picture for picture in dataset.pictures if not picture.called]
    bits, deep = bits_of([picture.file for picture in own], told)
    if bits < 16:
        for file in deep:
            dataset.problems.add(f"picture of 16 bits, {bits} of them used (white is {2**bits - 1})", file)
    for picture in own:
        if why := oddity_of(picture.file):
            dataset.problems.add(why, picture.file)
    pictures = (picture if picture.called else picture._replace(bits=bits) for picture in dataset.pictures)
    return dataset._replace(pictures=tuple(pictures))


def read_labelled(labels: Labels, folder: Path, told: Told = lambda _done, _of: None) -> Dataset:
    """`read_dataset`, with frames of recordings as pictures in `folder` (`drawn`), and `with_bits`."""
    dataset = read_dataset(labels.annotations, labels.images, labels.use)
    return with_bits(drawn(dataset, folder, labels.lanes, told))


def _lanes_of(recording: Path, lanes: Path | None) -> Path:
    place = lanes or recording.parent / SCANNERS
    if place.exists():
        return place
    raise ConfigError(
        f"{place}: not there; frames can only be drawn by the profile and calibration of the scanner that "
        f"recorded {recording.name}: name an edge's configuration, or a folder of them, with --lanes"
    )


def _with_file(picture: Labelled, found: _Drawn) -> Labelled:
    """What its labels say comes first; views of one scan belong together in any case."""
    about = picture.about if picture.about.get("carton") else {**picture.about, "carton": found.carton}
    return picture._replace(
        file=found.file,
        frame="",
        called=picture.place,
        about=about,
        content=found.content,
        recorded=found.recorded,
    )


def _draw(
    recording: Path,
    pictures: Sequence[Labelled],
    lanes: Mapping[str, Lane],
    folder: Path,
    problems: Problems,
    told: Told,
) -> dict[str, _Drawn]:
    """Pictures of those frames of a recording that labels name, by `Labelled.place`."""
    places = {picture.frame: picture.place for picture in pictures}
    made: dict[str, _Drawn] = {}
    epochs: dict[str, set[int]] = {}
    marks = {name: f"{zlib.crc32(pickle.dumps(lane)):08x}" for name, lane in lanes.items()}
    try:
        source = McapSource(recording)
        scanners = _Scanners(source, lanes, marks)
        total = len(source)
        for number, frame in enumerate(source, 1):
            told(min(number, total), total)
            for name in (name for name in _names(frame) if name in places):
                again = frame.header.epoch in epochs.setdefault(name, set())
                epochs[name].add(frame.header.epoch)
                if again and places[name] in made:
                    continue  # sent once more
                found = _told(frame, places[name], scanners, folder, problems)
                made |= {places[name]: found} if found is not None else {}
        for damage in source.problems:
            problems.add("recording is damaged", damage)
    except RecordingError as error:
        problems.add("recording cannot be read", error)
    for name, place in places.items():
        if not epochs.get(name):
            problems.add("frame is not in the recording", place)
        elif len(epochs[name]) > 1:
            problems.add("frame is there in several epochs (left out): name SCANNER/EPOCH/SEQ/VIEW", place)
            made.pop(place, None)
    return made


def _names(source: SourceFrame) -> tuple[str, str]:
    """What labels may call a frame."""
    header = source.header
    rest = f"{header.seq}/{header.view}"
    return f"{header.scanner}/{rest}", f"{header.scanner}/{header.epoch}/{rest}"


def _told(
    source: SourceFrame, place: str, scanners: _Scanners, folder: Path, problems: Problems
) -> _Drawn | None:
    """The frame's picture; None, among the problems, if it cannot be drawn."""
    try:
        picture = _picture(source, scanners, folder)
    except LeftOutError as reason:
        problems.add(f"frame cannot be drawn, {reason.why} (left out)", f"{place}: {reason}")
        return None
    header, lane = source.header, scanners.lanes[source.header.scanner]
    read = functools.partial(_recorded, scanners.recording, header, source.log_time_ns or 0, lane)
    return picture._replace(recorded=read)


def _recorded(recording: McapSource, header: FrameMessage, log_time_ns: int, lane: Lane) -> Seen:
    """A frame that was drawn before. Raises DataError."""
    try:
        frame = _frame(recording.again(header, log_time_ns), lane)
    except (RecordingError, LeftOutError, FrameError) as error:
        raise DataError(str(error)) from error
    return Seen(frame, lane.optics[frame.view] if lane.optics else None)


def _picture(source: SourceFrame, scanners: _Scanners, folder: Path) -> _Drawn:
    """Raises LeftOutError: it cannot be drawn; DataError: it cannot be written."""
    header = source.header
    scan = f"{header.scanner}-{header.epoch}-{header.seq}"
    mark = f"{zlib.crc32(source.payload):08x}-{scanners.marks.get(header.scanner, '')}"
    file, carton = folder / f"{scan}-{header.view}-{mark}.png", header.carton or scan
    told = file.with_suffix(".json")
    if file.is_file() and told.is_file():
        with contextlib.suppress(msgspec.DecodeError):  # cut off: drawn anew
            return _Drawn(file, carton, msgspec.json.decode(told.read_bytes(), type=Rectangle))
    lane = scanners.lanes.get(header.scanner)
    if lane is None:
        raise LeftOutError("other_lane", f"{header.scanner} is not one of {', '.join(scanners.lanes)}")
    try:
        check_crc(header, source.payload)
        frame = _frame(source, lane)
        view = lane.optics[frame.view] if lane.optics else None
        shown, part = _shown(frame, view), content(frame, view)
    except FrameError as error:
        raise LeftOutError("bad_frame", str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told.write_bytes(msgspec.json.encode(part))
        half = file.with_suffix(".part")
        half.write_bytes(cv2.imencode(".png", shown)[1].tobytes())
        half.replace(file)
    except OSError as error:
        raise DataError(
            f"{file}: the picture of a recorded frame cannot be written: {error.strerror}"
        ) from error
    return _Drawn(file, carton, part)


def _shown(frame: Frame, view: Optics | None) -> npt.NDArray[np.generic]:
    """The frame as a picture, blue before red: counts in colours; what a display shows with all its bits,
    65535 being white where it has more than 8. Raises FrameError."""
    if frame.channels[0] in ("low", "high") or frame.pixels.dtype == np.uint8:
        return render.picture(frame, MAX_SIDE, view)
    share = np.nan_to_num(frame.pixels.astype(np.float64) / frame.full_scale)
    return np.round(65535 * np.clip(share, 0, 1)).astype(np.uint16)[:, :, ::-1]


def _frame(source: SourceFrame, lane: Lane) -> Frame:
    """Raises LeftOutError, FrameError."""
    if source.header.encoding == "raw":
        return frame_of(lane.profile, source)
    if source.header.view >= len(lane.profile.views):
        raise LeftOutError("missing_view", f"view {source.header.view} of {len(lane.profile.views)}")
    try:
        pixels = cv2.imdecode(np.frombuffer(source.payload, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise LeftOutError("bad_frame", f"a {source.header.encoding} that is refused: {error}") from error
    if pixels is None or pixels.dtype.name not in DTYPES:
        raise LeftOutError("bad_frame", f"no {source.header.encoding} that can be decoded")
    pixels = np.atleast_3d(pixels)[:, :, ::-1]  # OpenCV decodes to blue, green, red
    shape = Decoded(shape=pixels.shape, dtype=DTYPES[pixels.dtype.name])
    form = format_of_decoded(source.header, lane.profile, shape)
    return Frame(
        view=source.header.view,
        channels=form.channels,
        pixels=np.ascontiguousarray(pixels),
        full_scale=form.air or form.white or 1.0,
        opaque_below=lane.profile.penetration_limit if form.is_counts else lane.profile.black_level,
    )

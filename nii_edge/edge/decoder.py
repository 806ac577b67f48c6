"""The decoder process (``python -m nii_edge.edge.decoder``): encoded pictures to pixels, bounded.

Pictures come from outside, so a child with little memory and no say over the daemon decodes them. It
is killed when it takes too long.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
from typing import IO, Any

import cv2
import numpy as np

from nii_edge.edge import children
from nii_edge.edge.jobs import Decoded, DecodeJob
from nii_edge.edge.slots import SlotView
from nii_edge.errors import RecordingError
from nii_edge.records import DType, Reason
from nii_edge.wire import DTYPE_BYTES
from nii_edge.xray.picture_heads import read_head, sniff

_LOG_HEAD = re.compile(r"^\[[^]]*\] global \S+ ")
"""What OpenCV's own log puts before a library's words."""
EXTRA_MEMORY = 1 << 30
"""Address space beyond the shared slots: the interpreter, OpenCV, and one picture being decoded."""


def confine(slots: SlotView) -> None:
    """Bound this process: memory, files it writes. Its parent bounded the pixels of a picture."""
    limit = slots.slots * slots.slot_bytes + EXTRA_MEMORY + 8 * slots.slot_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


class PictureDecoder:
    """Decodes pictures within their slots."""

    def __init__(self, slots: SlotView) -> None:
        cv2.setNumThreads(1)
        self._slots = slots
        self._complaints = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as we

    def decode(self, job: DecodeJob) -> Decoded:
        """Replace the encoded picture in its slot by its pixels."""
        data = bytes(self._slots.buffer(job.slot, job.size))
        problem = self._misfit(data, job)
        if problem is not None:
            return problem
        try:
            image, complaint = self._decode(data)
        except (cv2.error, MemoryError) as error:
            if "CV_IO_MAX_IMAGE" in str(error):
                return Decoded(
                    reason=Reason.TOO_LARGE, detail=f"a {job.encoding} of more pixels than a frame may have"
                )
            return _bad(f"{job.encoding} of {job.size} bytes refused: {' '.join(str(error).split())[:200]}")
        if image is None or complaint:
            return _bad(f"damaged {job.encoding}: {complaint or 'it ends early or makes no sense'}")
        return self._store(job, image)

    def _misfit(self, data: bytes, job: DecodeJob) -> Decoded | None:
        """What the picture's own head says against decoding it; None if nothing does.

        Heads are asked first because decoders do not tell what they ignored: a TIFF whose zero is white,
        for one, would come out inverted.
        """
        if sniff(data) != job.encoding:
            return _bad(f"not a {job.encoding}: it begins with {data[:8].hex(' ')}")
        try:
            head = read_head(data, job.encoding)
        except RecordingError as error:
            return _bad(str(error))
        if head.oddity or head.dtype is None:
            return _bad(f"{head.oddity or 'a pixel type that is none of ours'}; send plain grey or colour")
        size = head.height * head.width * head.samples * DTYPE_BYTES[head.dtype]
        if size > self._slots.slot_bytes:
            return Decoded(
                reason=Reason.TOO_LARGE,
                detail=f"{head.height}x{head.width} is {size} bytes, at most {self._slots.slot_bytes}",
            )
        return None

    def _decode(self, data: bytes) -> tuple[Any, str]:
        """The picture, and what libjpeg, libpng or libtiff said on stderr: they go on after damage, so
        their complaint is the only sign that pixels were made up."""
        with _Stderr(self._complaints) as heard:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return image, heard.text

    def _store(self, job: DecodeJob, image: Any) -> Decoded:
        dtypes: dict[str, DType] = {"uint8": "uint8", "uint16": "uint16", "float32": "float32"}
        if image.dtype.name not in dtypes:
            return _bad(f"pixels of type {image.dtype.name}; expected uint8, uint16 or float32")
        if image.ndim == 2:
            image = image[:, :, np.newaxis]
        channels = image.shape[2]
        if channels not in (1, 3):
            return _bad(f"{channels} channels; expected 1 (grey) or 3 (colour, without transparency)")
        if image.nbytes > self._slots.slot_bytes:
            return Decoded(
                reason=Reason.TOO_LARGE,
                detail=f"{image.nbytes} bytes of pixels, at most {self._slots.slot_bytes}",
            )
        target = np.frombuffer(self._slots.buffer(job.slot, image.nbytes), image.dtype).reshape(image.shape)
        np.copyto(target, image[:, :, ::-1])  # OpenCV decodes to blue, green, red
        height, width = image.shape[:2]
        return Decoded(shape=(height, width, channels), dtype=dtypes[image.dtype.name])


def _bad(detail: str) -> Decoded:
    return Decoded(reason=Reason.CORRUPT_FRAME, detail=detail)


class _Stderr:
    """Catches what C libraries write to descriptor 2."""

    def __init__(self, into: IO[bytes]) -> None:
        self._into = into
        self.text = ""

    def __enter__(self) -> _Stderr:
        sys.stderr.flush()
        self._saved = os.dup(2)
        self._into.seek(0)
        self._into.truncate()
        os.dup2(self._into.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._into.seek(0)
        lines = self._into.read(4096).decode("utf-8", "replace").split("\n")
        said = [_LOG_HEAD.sub("", line).strip() for line in lines]
        text = "; ".join(dict.fromkeys(line for line in said if line))[:200]
        self.text = "".join(c if c.isprintable() else "?" for c in text)


def main() -> None:
    """Entry point: decode, within limits, until the daemon closes the line."""
    connection, setup = children.enter()
    slots = SlotView(setup.shared_fd, setup.slots, setup.slot_bytes)
    confine(slots)
    decoder = PictureDecoder(slots)
    children.tell(connection, Decoded())
    children.serve(connection, DecodeJob, decoder.decode)


if __name__ == "__main__":
    main()

"""Frames in memory that the daemon and its child processes share.

One anonymous memory file (memfd) cut into equal slots. Children inherit its descriptor; nothing is
named in the file system, so a dying child cannot take the memory away from its parent.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt

from nii_edge.edge.jobs import JobFrame
from nii_edge.records import DType, Frame


class SlotView:
    """Read and write slots by number. Used on both sides of the process border."""

    def __init__(self, fd: int, slots: int, slot_bytes: int) -> None:
        self.fd = fd
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._map = mmap.mmap(fd, slots * slot_bytes)
        self._bytes = memoryview(self._map)

    def buffer(self, slot: int, size: int) -> memoryview:
        """The first `size` bytes of a slot. Raises ValueError when they do not fit."""
        if not (0 <= slot < self.slots and 0 <= size <= self.slot_bytes):
            raise ValueError(f"slot {slot} of {self.slots}, {size} of {self.slot_bytes} bytes")
        start = slot * self.slot_bytes
        return self._bytes[start : start + size]

    def pixels(self, slot: int, shape: Sequence[int], dtype: DType) -> npt.NDArray[np.generic]:
        """The slot's pixels, shape (height, width, channels), without a copy and read-only."""
        kind = np.dtype(dtype).newbyteorder("<")
        size = int(np.prod(shape)) * kind.itemsize
        array = np.frombuffer(self.buffer(slot, size), kind).reshape(tuple(shape))
        array.flags.writeable = False
        return array

    def frame(self, job: JobFrame) -> Frame:
        """A view as the detectors and people see it, its pixels still in their slot."""
        return Frame(
            view=job.view,
            view_name=job.view_name,
            channels=job.channels,
            pixels=self.pixels(job.slot, job.shape, job.dtype),
            full_scale=job.full_scale,
            opaque_below=job.opaque_below,
        )

    def close(self) -> None:
        """Unmap as soon as no array refers to the memory any more."""
        self._bytes.release()
        try:
            self._map.close()
        except BufferError:  # an array still looks at it; the memory goes with the process
            return


class SlotPool(SlotView):
    """The parent's side: also knows which slots are free. Thread-safe.

    A slot has holders: whoever needs it calls `hold`, and it is free again when the last `release`s. Beside
    its `slots` there may be `reserved` ones, which are never free: they are lent to nobody by `acquire`.
    """

    def __init__(self, slots: int, slot_bytes: int, reserved: int = 0) -> None:
        page = mmap.PAGESIZE
        slot_bytes = (slot_bytes + page - 1) // page * page
        fd = os.memfd_create("nii_edge frames", os.MFD_CLOEXEC)
        os.ftruncate(fd, (slots + reserved) * slot_bytes)
        super().__init__(fd, slots + reserved, slot_bytes)
        self.reserved = tuple(range(slots, slots + reserved))
        self._free = list(range(slots))[::-1]
        self._holders = [0] * slots + [1] * reserved
        self._lock = threading.Lock()

    def acquire(self) -> int | None:
        """A free slot with one holder, or None when all are taken."""
        with self._lock:
            if not self._free:
                return None
            slot = self._free.pop()
            self._holders[slot] = 1
            return slot

    def hold(self, slot: int) -> None:
        """One holder more."""
        with self._lock:
            if self._holders[slot] < 1:
                raise ValueError(f"slot {slot} is free and cannot be held")
            self._holders[slot] += 1

    def release(self, slot: int) -> None:
        """One holder less; the last one frees the slot."""
        with self._lock:
            if self._holders[slot] < 1:
                raise ValueError(f"slot {slot} was released more often than held")
            self._holders[slot] -= 1
            if self._holders[slot] == 0:
                self._free.append(slot)

    @property
    def free(self) -> int:
        """How many slots are free."""
        with self._lock:
            return len(self._free)

    def close(self) -> None:
        """Unmap and close the memory file."""
        super().close()
        os.close(self.fd)

    def __enter__(self) -> SlotPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

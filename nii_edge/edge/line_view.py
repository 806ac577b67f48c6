"""One view's lines on their way to cartons: copied and hashed as they arrive; and which chunks are done.

All calls come from the ingest thread.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from nii_edge.config import Format
from nii_edge.edge.admission import Admission
from nii_edge.edge.line_chunk import Chunk
from nii_edge.edge.lines import Begin, Cut, Cutter, End, Event, Flaw, Lines, Lost, Rows
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.records import Reason, ScanType
from nii_edge.wire import LinesMessage

BACK = 4
"""In longest cartons: a belt that runs back farther than this is an encoder that started over."""
JUMP = 100_000
"""Lines between neighbours of one chunk: more is an encoder that was misread."""


@dataclass(slots=True, eq=False)
class Piece:
    """One carton in one view. `rows` of its lines lie in `slot`, None if there was no room. `error`: why it
    cannot be looked at, beside its `flaw`."""

    view: int
    form: Format
    width: int
    scan_type: ScanType
    digest: xxhash.xxh3_128
    slot: int | None = None
    rows: int = 0
    first: int = 0
    last: int = 0
    flaw: Flaw | None = None
    error: FrameError | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the picture in its slot."""
        return self.rows, self.width, len(self.form.channels)


@dataclass(slots=True, eq=False)
class Claim:
    """Lines from this place on are still needed: a carton without a verdict, or a loss not on disk yet."""

    first: int


class Loss(NamedTuple):
    """A stretch of the belt that passed unseen: where it begins and how many lines it has; None if that is
    not known, `first` is the place behind it then."""

    first: int
    lines: int | None
    scan_type: ScanType


class _Taken(NamedTuple):
    """A chunk that is not done: its number, the highest place after it, its content."""

    chunk: int
    high: int
    crc32: int


@dataclass(slots=True)
class Store:
    """Where lines go: the lane's slots."""

    scanner: str
    slots: SlotPool
    admission: Admission

    def give_back(self, piece: Piece) -> None:
        """Free the slot of a piece that becomes no scan."""
        if piece.slot is not None:
            self.slots.release(piece.slot)
            self.admission.returned(self.scanner, 1)
            piece.slot = None


@dataclass(slots=True)
class LineView:
    """See the module. `next`: the chunk wanted next, 0 before the first. `done`: chunks that need not come
    again. `peer`: the connection its last chunk came over. `ended`, `lost`: called with each carton cut out
    and each stretch that passed unseen. `held_since`: since when its next chunk has found no room (monotonic
    seconds)."""

    view: int
    form: Format
    width: int
    cut: Cut
    store: Store
    ended: Callable[[Piece], None]
    lost: Callable[[int, Loss], None]
    next: int = 0
    done: int = 0
    peer: bytes = b""
    held_since: float | None = None
    claims: list[Claim] = field(default_factory=list)
    _cutter: Cutter = field(init=False)
    _taken: deque[_Taken] = field(default_factory=deque)
    _piece: Piece | None = None
    _first: int | None = None
    _last: int = 0
    _started_over: bool = False

    def __post_init__(self) -> None:
        self._cutter = Cutter(self.cut)

    @property
    def frontier(self) -> int:
        """No carton that has not ended yet begins before this place; 0 before the first line."""
        return 0 if self._cutter.high is None else self._cutter.frontier

    @property
    def open(self) -> bool:
        """A carton has begun and not ended."""
        return self._piece is not None

    def wanted(self, message: LinesMessage) -> int:
        """The chunk to take next, as far as its sender can still send it."""
        return max(self.next, message.oldest or message.chunk)

    def same_as_before(self, chunk: int, crc32: int) -> bool:
        """False if this chunk came already with other content; what is done is not remembered."""
        return all(taken.crc32 == crc32 for taken in self._taken if taken.chunk == chunk)

    def places(self, encoder: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The places on the belt of lines with these encoder counts."""
        return self._cutter.places(encoder)

    def check(self, encoder: npt.NDArray[np.int64]) -> None:
        """Can these counts come next? Raises FrameError(BAD_HEADER)."""
        places, high = self.places(encoder), self._cutter.high
        steps = np.diff(places)
        if len(steps) and int(steps.max()) > JUMP:
            raise FrameError(Reason.BAD_HEADER, f"the encoder jumps by {int(steps.max())} lines in one chunk")
        if high is None:
            high = int(places.max())
            anew = self._back_to_begin(places, int(places[0]), int(places[0]))
        else:
            anew = self._starts_over(places, high)
        if anew or high - int(places.min()) > BACK * self.cut.longest:
            raise FrameError(
                Reason.BAD_HEADER,
                f"the encoder went back by {high - int(places.min())} lines; if it started over, begin a "
                "new epoch: cartons at places seen before are not looked at",
            )

    def _starts_over(self, places: npt.NDArray[np.int64], high: int) -> bool:
        """Whether the encoder has begun anew, at once, where this epoch began; a belt that runs back passes
        all between, or may do so unseen, but hardly to there. So until a chunk ends with a new place."""
        if int(places[-1]) > high:
            self._started_over = False
        elif self._first is not None:
            self._started_over |= self._back_to_begin(places, self._first, self._last)
        return self._started_over

    def _back_to_begin(self, places: npt.NDArray[np.int64], begin: int, before: int) -> bool:
        """Whether a line after the place `before` steps back to where the epoch begins."""
        near = places < begin + self.cut.shortest
        return bool((near & (np.diff(places, prepend=before) < -self.cut.shortest)).any())

    def take(self, chunk: Chunk) -> None:
        """The next chunk."""
        message, lines = chunk.message, chunk.lines
        if self.next == 0:
            self.done = message.acked
            if self.wanted(message) > message.acked + 1:  # chunks before this one are lost for good
                first = int(self.places(lines.encoder[:1])[0])
                self.lost(self.view, Loss(first, None, message.scan_type))
        places = self.places(lines.encoder)
        self._first, self._last = int(places[0]) if self._first is None else self._first, int(places[-1])
        for event in self._cutter.feed(lines):
            self._on(event, message.scan_type)
        self.next = message.chunk + 1
        self._taken.append(_Taken(message.chunk, self._cutter.high or 0, chunk.crc32))

    def begins(self, lines: Lines) -> int:
        """At most so many cartons begin in these lines."""
        return self._cutter.begins(lines)

    def finish(self, why: str) -> None:
        """No line will follow."""
        for event in self._cutter.finish(why):
            self._on(event, ScanType.NON_OPERATIONAL if self._piece is None else self._piece.scan_type)

    def settle(self) -> bool:
        """Chunks of which nothing is needed any more are done. True if there are new ones."""
        needed = min((claim.first for claim in self.claims), default=self._cutter.needed)
        needed = min(needed, self._cutter.needed)
        before = self.done
        while self._taken and self._taken[0].high < needed:
            self.done = self._taken.popleft().chunk
        return self.done != before

    def drop(self) -> None:
        """Forget the carton that is still arriving."""
        if self._piece is not None:
            self.store.give_back(self._piece)
            self._piece = None

    # ---- parts

    def _on(self, event: Event, scan_type: ScanType) -> None:
        piece = self._piece
        match event:
            case Begin():
                self._piece = self._begin(scan_type)
            case Rows(pixels) if piece is not None:
                self._copy(piece, pixels, scan_type)
            case End(first, last, flaw) if piece is not None:
                piece.first, piece.last, piece.flaw = first, last, flaw
                self._piece = None
                self.ended(piece)
            case Lost(first, last):
                self.lost(self.view, Loss(first, last - first + 1, scan_type))

    def _begin(self, scan_type: ScanType) -> Piece:
        shape = f"lines {self.width} {self.form.channels} {self.form.dtype} {scan_type}"
        seeded = xxhash.xxh3_128(seed=zlib.crc32(shape.encode()))
        piece = Piece(self.view, self.form, self.width, scan_type, seeded)
        try:
            piece.slot = self.store.admission.acquire(self.store.scanner)
        except FrameError as error:
            piece.error = error
        return piece

    def _copy(self, piece: Piece, pixels: npt.NDArray[np.generic], scan_type: ScanType) -> None:
        """Lines to the slot and into the hash; those beyond the longest carton are only counted as seen."""
        if scan_type is not piece.scan_type:
            piece.scan_type = ScanType.OPERATIONAL  # if any line says so, it is a real carton
            piece.error = FrameError(Reason.BAD_HEADER, "scan_type differs between the lines of one carton")
        rows = pixels[: self.cut.rows - piece.rows]
        if not len(rows):
            return
        data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        piece.digest.update(data)
        if piece.slot is not None:
            start = piece.rows * rows[0].nbytes
            self.store.slots.buffer(piece.slot, start + len(data))[start:] = data
        piece.rows += len(rows)

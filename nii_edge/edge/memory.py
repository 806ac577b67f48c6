"""What consignments have taught, over a restart: each measured carton goes into a file of its own, a moment
after its verdict.

No verdict waits for it, and none is better for it: what is read from the file may make a carton look odd and
never like the others (`Oddities`). Without the file a restart forgets, and screening goes on.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from nii_edge.detect.anomaly import APART, MASS, TRAITS
from nii_edge.detect.heat import FEATURES, MOST_BLOCKS, Blocks
from nii_edge.edge.jobs import ViewBlocks
from nii_edge.edge.threads import TURN_S, GuardedThread
from nii_edge.policy import Circumstances
from nii_edge.ports import CartonRow, CartonStore, CartonTold, Clock
from nii_edge.records import ScanId, ScanType, recall_id
from nii_edge.telemetry import Metrics, logger

QUIET_H = 168.0
"""A master bill of which no carton passed for so long is done."""
FORGET_EVERY_S = 3_600.0
REOPEN_EVERY_S = 60.0
"""A file that could not be written is tried again after this."""
MOST_WAITING = 10_000
"""Cartons that wait for a disk that stands still: of more, the oldest are not kept."""
MOST_VIEWS = 16
HIGHEST = 1e6
"""A trait beyond this was not measured by us."""
_MAY_LACK = frozenset({MASS, APART[0]})
"""Traits that are NaN where nothing is declared, or no object detector looks."""

Name = Annotated[str, Meta(max_length=128)]


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One carton as the engine knew it, as in `CartonTraits`: `views` thinned, of those alone that others are
    compared with."""

    scan: ScanId
    scan_type: ScanType
    carton: Name
    master_bill: Name
    chapters: Annotated[tuple[Annotated[int, Meta(ge=0, le=99)], ...], Meta(max_length=100)]
    values: tuple[float, ...]
    size: tuple[float, float]
    declared: Annotated[str, Meta(max_length=1_000)] = ""
    views: Annotated[tuple[ViewBlocks, ...], Meta(max_length=MOST_VIEWS)] = ()

    @property
    def where(self) -> Circumstances:
        """As the policy sees it."""
        return Circumstances(self.scan.edge, self.scan.scanner, self.chapters)

    def blocks(self) -> tuple[Blocks, ...]:
        """Its views."""
        return tuple(view.blocks() for view in self.views)


class Resumed(NamedTuple):
    """A carton that passed before a restart, and whether it was an alarm or was recalled."""

    known: Known
    told: bool


def _name(known: Known) -> tuple[ScanType, str, str]:
    """Under which it is kept."""
    return known.scan_type, known.master_bill, known.carton


_decoder = msgspec.msgpack.Decoder(Known)


def checked(row: CartonRow, edge: str) -> Known:
    """What a row says. Raises ValueError if we cannot have written it."""
    known = _decoder.decode(row.body)
    if _name(known) != row[:3] or known.scan.edge != edge:
        raise ValueError("its name is another's")
    values = np.array(known.values)
    lacking = set(np.flatnonzero(np.isnan(values)).tolist())
    if len(values) != len(TRAITS) or not lacking <= _MAY_LACK or (np.abs(values) > HIGHEST).any():
        raise ValueError("traits that nobody measured")
    if not all(abs(each) <= HIGHEST for each in known.size):
        raise ValueError("a size that nobody measured")
    for view in known.views:
        rows, columns, features = view.shape
        whole = min(rows, columns) > 0 and rows * columns <= MOST_BLOCKS and features == FEATURES
        if (
            not whole
            or len(view.values) != rows * columns * features
            or not all(map(math.isfinite, view.box))
        ):
            raise ValueError("blocks that do not fit their shape")
    return known


class Memory:
    """`open_store` gives a store and what it had to set aside. `read` before `start`; `put` from one
    thread, `told` from any, once the recall is on disk."""

    def __init__(
        self, open_store: Callable[[], tuple[CartonStore, str]], edge: str, clock: Clock, metrics: Metrics
    ) -> None:
        self._open, self._edge, self._clock, self._metrics = open_store, edge, clock, metrics
        self._store: CartonStore | None = None
        self._opened_at = -math.inf
        self._forgot_at = -math.inf
        self._waiting: deque[CartonRow | CartonTold] = deque(maxlen=MOST_WAITING)
        self._full = threading.Lock()
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = GuardedThread("memory", self._run, lambda _: None)
        self._log = logger("memory")

    def read(self, recalled: Callable[[Collection[str]], set[str]]) -> list[Resumed]:
        """The cartons that passed before, in order; `recalled`: which of these recalls are known. Never
        raises: without them screening begins as it would for the first time."""
        rows: list[CartonRow] = []
        self._try(self._forget)
        unreadable: list[int] = []

        def read(store: CartonStore) -> None:
            found, passed_over = store.rows()
            rows.extend(found)
            unreadable.append(passed_over)

        self._try(read)
        found: list[Resumed] = []
        for row in rows:
            with suppress(ValueError, RecursionError):  # msgspec's errors are the former
                found.append(Resumed(checked(row, self._edge), row.told))
        refused = len(rows) - len(found) + sum(unreadable)
        self._count("refused", refused)
        self._count("resumed", len(found))
        if rows or refused:
            self._log.info("cartons that passed before", resumed=len(found), refused=refused)
        waiting = {recall_id(each.known.scan) for each in found if not each.told}
        done = recalled(waiting) if waiting else set()
        for place, each in enumerate(found):
            if recall_id(each.known.scan) in done:  # the file had not heard of it yet
                found[place] = each._replace(told=True)
                self.told(*_name(each.known))
        return found

    def put(self, known: Known, told: bool) -> None:
        """A carton was measured. Waits for nothing."""
        body = msgspec.msgpack.encode(known)
        self._queue(CartonRow(*_name(known), self._clock.wall_ns(), body, told))

    def told(self, scan_type: ScanType, master_bill: str, carton: str) -> None:
        """A carton was recalled. Waits for nothing."""
        self._queue(CartonTold(scan_type, master_bill, carton))

    def _queue(self, change: CartonRow | CartonTold) -> None:
        """Have it written soon; a full queue loses its first for it."""
        with self._full:
            if len(self._waiting) == MOST_WAITING:
                self._count("lost", 1)
            self._waiting.append(change)

    def nudge(self) -> None:
        """A verdict is on disk: now there is time."""
        if self._waiting:
            self._bell.set()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write the last ones and close."""
        self._stopping.set()
        self._bell.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._bell.wait(TURN_S)
            self._bell.clear()
            self._turn()
        self._turn()
        if self._store is not None:
            self._store.close()

    def _turn(self) -> None:
        changes: list[CartonRow | CartonTold] = []
        while self._waiting:
            changes.append(self._waiting.popleft())
        if changes and self._try(lambda store: store.write(changes)):
            self._count("kept", sum(isinstance(change, CartonRow) for change in changes))
        elif changes:
            room = MOST_WAITING - len(self._waiting)
            self._waiting.extendleft(reversed(changes[-room:] if room else []))
            self._count("lost", max(0, len(changes) - room))
        if self._clock.monotonic() - self._forgot_at >= FORGET_EVERY_S:
            self._try(self._forget)

    def _forget(self, store: CartonStore) -> None:
        self._forgot_at = self._clock.monotonic()
        store.forget(self._clock.wall_ns(), round(QUIET_H * 3_600e9))

    def _try(self, work: Callable[[CartonStore], None]) -> bool:
        """Have something done with the file, opened now if it is time for that; False if it was not done."""
        try:
            if self._store is None:
                if self._clock.monotonic() - self._opened_at < REOPEN_EVERY_S:
                    return False
                self._opened_at = self._clock.monotonic()
                self._store, set_aside = self._open()
                if set_aside:
                    self._count("set_aside", 1)
                    self._log.error("the file of cartons is not used; begun anew", what=set_aside)
            work(self._store)
        except Exception as error:  # noqa: BLE001 - whatever it is, screening goes on
            self._count("failed", 1)
            why = f"{type(error).__name__}: {error}"
            self._log.error("cartons are not remembered over a restart", why=why)
            if self._store is not None:
                self._store.close()
            self._store = None
            return False
        return True

    def _count(self, result: str, count: int) -> None:
        self._metrics.remembered.labels(result).inc(count)

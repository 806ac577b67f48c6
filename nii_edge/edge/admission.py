"""Who may have room for a frame: each lane its share of the slots, and what happens when there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nii_edge.config import Overload, Profile
from nii_edge.edge.slots import SlotPool
from nii_edge.errors import FrameError
from nii_edge.ports import Clock
from nii_edge.records import Reason, ScanId
from nii_edge.telemetry import Metrics
from nii_edge.xray.calibrate import Calibration

RETRY_S = 0.05
"""When a lane that was told to wait may try again."""
GIVEN_UP_S = 5.0
"""A scan that was told to wait and has not been heard of for this long holds its lane up no longer."""

MAX_WAITING = 10_000
"""Numbers remembered for each lane; a scanner that sends more without waiting may see holes."""


class Lane(NamedTuple):
    """One scanner: what it delivers, its policy when there is no room, and the calibrations that its counts
    are corrected with here, one for each view; none if it corrects them itself.

    `refer`: the scan is UNKNOWN(OVERLOAD) at once, the belt goes on and a person looks. `block`: the scan is
    not taken yet, the scanner holds its belt and tries again.
    """

    profile: Profile
    overload: Overload = "refer"
    detectors: tuple[Calibration, ...] = ()


@dataclass(slots=True)
class _Waiting:
    """The scans of one epoch that were turned away, and when the first of them last knocked."""

    epoch: int
    heard_at: float
    numbers: set[int] = field(default_factory=set)


class Admission:
    """Slots for frames. Not thread-safe; the assembler's thread acquires and gives back."""

    def __init__(self, lanes: Mapping[str, Lane], slots: SlotPool, clock: Clock, metrics: Metrics) -> None:
        self._lanes = dict(lanes)
        self._slots = slots
        self._clock = clock
        self._metrics = metrics
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, _Waiting] = {}
        self._promised: dict[ScanId, int] = {}

    def must_wait(self, scan: ScanId) -> bool:
        """True if this new scan is to be turned away for now: its lane blocks when there is no room. Those
        behind it wait too, lest it look like a hole in the numbers."""
        if self._lanes[scan.scanner].overload != "block":
            return False
        now = self._clock.monotonic()
        waiting = self._waiting.get(scan.scanner)
        if waiting is None or waiting.epoch != scan.epoch:
            waiting = self._waiting[scan.scanner] = _Waiting(scan.epoch, now)
        if waiting.numbers and now > waiting.heard_at + GIVEN_UP_S:
            waiting.numbers.discard(min(waiting.numbers))
            waiting.heard_at = now
        first = min(waiting.numbers, default=scan.seq)
        if scan.seq <= first:
            waiting.heard_at = now
        if scan.seq <= first and self._has_room(scan.scanner):
            waiting.numbers.discard(scan.seq)
            self._promised[scan] = self._views(scan.scanner)
            return False
        if len(waiting.numbers) < MAX_WAITING:
            waiting.numbers.add(scan.seq)
        self._metrics.overloads.labels(scan.scanner, "block").inc()
        return True

    def acquire(self, scanner: str, scan: ScanId | None = None) -> int:
        """A slot, if the lane may have one more: each other lane keeps room for a scan of its own, and each
        scan that a blocking lane let in (`must_wait`) has room for all of its views, whatever comes first.

        Raises:
            FrameError: OVERLOAD.
        """
        own = self._views(scanner) - self._held[scanner]
        if scan in self._promised:
            self._keep_word(scan)
        elif own <= 0 and self._slots.free - self._all_promised <= self._owed_to_others(scanner):
            self._metrics.overloads.labels(scanner, "refer").inc()
            raise FrameError(Reason.OVERLOAD, f"this lane holds {self._held[scanner]} frame slots, its share")
        slot = self._slots.acquire()
        if slot is None:
            self._metrics.overloads.labels(scanner, "refer").inc()
            raise FrameError(
                Reason.OVERLOAD, f"all {self._slots.slots - len(self._slots.reserved)} frame slots are taken"
            )
        self._held[scanner] += 1
        return slot

    def has_slots(self, scanner: str, count: int) -> bool:
        """True if `acquire` would find so many slots now."""
        own, free = self._views(scanner) - self._held[scanner], self._slots.free - self._all_promised
        return free >= count and (count <= own or free - self._owed_to_others(scanner) >= count)

    def returned(self, scanner: str, count: int) -> None:
        """So many slots of the lane's are given back."""
        self._held[scanner] -= count

    def forget(self, scan: ScanId) -> None:
        """It is over: what was kept for views of it that did not come is free for others."""
        self._promised.pop(scan, None)

    def _keep_word(self, scan: ScanId) -> None:
        self._promised[scan] -= 1
        if not self._promised[scan]:
            del self._promised[scan]

    @property
    def _all_promised(self) -> int:
        return sum(self._promised.values())

    def _has_room(self, scanner: str) -> bool:
        """Room for all views of a scan."""
        owed = self._owed_to_others(scanner) if self._held[scanner] else 0
        return self._slots.free - self._all_promised - owed >= self._views(scanner)

    def _owed_to_others(self, scanner: str) -> int:
        return sum(max(0, self._views(name) - self._held[name]) for name in self._lanes if name != scanner)

    def _views(self, scanner: str) -> int:
        return len(self._lanes[scanner].profile.views)

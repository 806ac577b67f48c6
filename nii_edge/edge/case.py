"""One scan on its way through the daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from nii_edge.edge.decide import Ruling
from nii_edge.edge.jobs import DecodeJob, JobFrame, JobScan
from nii_edge.errors import FrameError
from nii_edge.ports import Intend, StoredScan
from nii_edge.records import Gap, ScanId, ScanType
from nii_edge.wire import Buffer, FrameMessage, ToScanner, VerdictMessage


class Case(NamedTuple):
    """A scan as it is judged. `frames` are those whose pixels lie in shared memory; `slots` all slots
    the case holds, to be released by whoever concludes it.

    `arrived_at`: monotonic seconds of its last byte, or of its first while views are missing.
    `digests`: ``VIEW:HASH`` of each view's payload, where known.
    """

    scan: JobScan
    received_at_ns: int
    arrived_at: float
    slots: tuple[int, ...]
    digests: tuple[str, ...] = ()

    @property
    def id(self) -> ScanId:
        """Which scan."""
        return self.scan.id

    @property
    def scan_type(self) -> ScanType:
        """Operational or not."""
        return self.scan.scan_type

    @property
    def frames(self) -> tuple[JobFrame, ...]:
        """The views whose pixels can be looked at."""
        return self.scan.frames


class Effects(Protocol):
    """What assembling asks of the rest of the daemon. No call blocks or raises."""

    def intend(self, intent: Intend, gap: Gap | None) -> None:
        """Put the intent on disk, in one commit with the hole in the numbers that it revealed, if any;
        `Assembler.intended` is called when it is."""

    def look_up(self, scan: ScanId, then: Callable[[StoredScan | None], None]) -> None:
        """What the ledger knows of a scan; `then` runs in the assembler's thread."""

    def find_near(self, scan: ScanId, reach: int, then: Callable[[StoredScan | None], None]) -> None:
        """What the ledger knows of the scan whose number is nearest to this one and at most `reach` away,
        pruned only if no other is; `then` runs in the assembler's thread."""

    def miss(self, gap: Gap, then: Callable[[], None]) -> None:
        """Put a hole in the numbers on disk; `then` runs in the assembler's thread."""

    def decode(self, scan: ScanId, view: int, job: DecodeJob, until: float) -> None:
        """Decode the picture in a slot, unless it is later than `until` (monotonic seconds) by then;
        `Assembler.decoded` gets the result."""

    def submit(self, case: Case) -> None:
        """Have the detectors look."""

    def checked(self, scan: ScanId, digests: tuple[str, ...], error: FrameError | None) -> None:
        """The submitted scan's payloads were hashed and checked."""

    def conclude(self, case: Case, ruling: Ruling) -> None:
        """Give the verdict; `Assembler.concluded` is called once it is on disk."""

    def reply(self, peer: bytes, message: ToScanner) -> None:
        """Answer a scanner."""

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        """Show whoever taps the line a view that was cut out of lines; `pixels` are valid during the call."""

    def publish(self, message: VerdictMessage) -> None:
        """Tell the subscribers on site."""

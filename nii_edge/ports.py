"""The seams of the system: what each adapter must promise. No algorithms here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nii_edge.records import Finding, Gap, Preview, Report, Scan, ScanId
from nii_edge.wire import FrameMessage

Array = npt.NDArray[np.generic]


class Clock(Protocol):
    """Time. Decisions use `monotonic`; `wall_ns` is only an annotation."""

    def monotonic(self) -> float:
        """Seconds, never going back."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds; may jump."""


class Runtime(Protocol):
    """One loaded model. Not thread-safe. Raises DetectorFaultError when the run itself fails."""

    device: str
    """What it really runs on, for example `CPUExecutionProvider`."""

    def run(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """Outputs by name for an input of shape (batch, channels, height, width)."""

    def close(self) -> None:
        """Free the model. May be called twice."""


class Detector(Protocol):
    """Looks at scans. Runs in the inference process, does no I/O, keeps no state between calls."""

    name: str

    def not_applicable(self, scan: Scan) -> str | None:
        """Why this detector cannot look at such a scan, in words; None if it can."""

    def detect(self, scans: Sequence[Scan]) -> list[tuple[Finding, ...]]:
        """One tuple of findings for each scan. Raises DetectorFaultError."""


class SourceFrame(NamedTuple):
    """A frame as a source gives it: header and payload, not yet addressed to anyone.

    `header` holds the recorded (or made-up) scanner, epoch, seq and view; who sends it on replaces the
    first three. `log_time_ns` is when it was recorded; None for pictures, which know no pace.
    """

    header: FrameMessage
    payload: bytes
    log_time_ns: int | None


class FrameSource(Protocol):
    """Frames from a recording, a folder, or arrays, in order. May be iterated more than once."""

    problems: list[str]
    """What could not be read so far, in words, each naming its place. Filled while iterating."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """Frames, the views of one scan next to each other.

        Raises RecordingError when nothing can be read at all; damage further on is told by `problems`.
        """

    def __len__(self) -> int:
        """How many frames, for a progress bar; 0 if that is unknown."""


class StoredScan(NamedTuple):
    """What the ledger holds of a scan. `report` is None while it is in flight."""

    id: ScanId
    report: Report | None


class OutboxItem(NamedTuple):
    """Something the centre has not confirmed yet. `key` is an alert id, or a picture's SHA-256."""

    number: int
    key: str
    record: Report | Gap | Preview


class LedgerCounts(NamedTuple):
    """The balance of one scanner: received = clear + alarm + unknown + in flight."""

    scanner: str
    received: int
    clear: int
    alarm: int
    unknown: int
    in_flight: int
    missing: int


class Ledger(Protocol):
    """The edge's durable memory. One writer; every method may be called from any thread and blocks
    until the change is on disk. Several changes handed over together cost one commit.

    Every method raises LedgerError once writing has failed: the daemon must stop then.
    """

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all `changes` durable, in order, or none."""

    def find(self, scan: ScanId) -> StoredScan | None:
        """What is known of a scan; None if it was never received."""

    def high_water(self) -> dict[tuple[str, int], int]:
        """The highest seq received, by (scanner, epoch)."""

    def in_flight(self) -> list[ScanId]:
        """Scans received without a verdict: after a start, those a crash left behind."""

    def outbox(self, after: int, limit: int) -> list[OutboxItem]:
        """Unconfirmed items numbered above `after`, oldest first."""

    def counts(self) -> list[LedgerCounts]:
        """The balance, a row per scanner."""

    def close(self) -> None:
        """Finish and close. May be called twice."""


class Intend(NamedTuple):
    """A scan was received and will get a verdict."""

    scan: ScanId
    received_at_ns: int


class Conclude(NamedTuple):
    """A scan's verdict, and what the centre is to hear of it."""

    report: Report
    preview: Preview | None


class Miss(NamedTuple):
    """A scanner skipped numbers."""

    gap: Gap


class Confirm(NamedTuple):
    """The centre archived these: alert ids and SHA-256 of pictures."""

    keys: tuple[str, ...]


Change = Intend | Conclude | Miss | Confirm

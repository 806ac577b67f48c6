"""The seams of the system: what each adapter must promise. No algorithms here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nii_edge.papers import Papers
from nii_edge.records import Decision, Finding, Gap, Preview, Recall, Report, Scan, ScanId, ScanType
from nii_edge.wire import (
    Archived,
    Buffer,
    FetchManifestsMessage,
    FrameMessage,
    ManifestsMessage,
    Received,
)

Array = npt.NDArray[np.generic]


class Clock(Protocol):
    """Time. Decisions use `monotonic`; `wall_ns` is only an annotation."""

    def monotonic(self) -> float:
        """Seconds, never going back."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds; may jump."""


class Runtime(Protocol):
    """One loaded model; two threads may `run` it at once. Raises DetectorFaultError when a run fails."""

    device: str
    """What it really runs on, for example `CPUExecutionProvider`."""

    def run(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """Outputs by name for an input of shape (batch, channels, height, width)."""

    def ways(self) -> Sequence[Runtime]:
        """The ways a run may go (another number of threads, say), each as a runtime of its own that shares
        this one's life: each has to prove itself on the golden frames."""

    def close(self) -> None:
        """Free the model. May be called twice."""


class Detector(Protocol):
    """Looks at scans. Runs in the inference process, does no I/O, keeps no state between calls. Two threads
    may call `detect` at once."""

    name: str

    def not_applicable(self, scan: Scan) -> str | None:
        """Why this detector cannot look at such a scan, in words; None if it can."""

    def beside(self, scan: Scan) -> tuple[Finding, ...]:
        """What there is to tell of a scan that it cannot look at: of its papers, say. It stays uncovered."""

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
    """What the ledger holds of a scan. `report` is None while it is in flight, and when it is `pruned`: it
    had its verdict so long ago that only its number is remembered."""

    id: ScanId
    report: Report | None
    pruned: bool = False


OutboxKind = Literal["record", "preview", "parked"]
"""`record`: reports, gaps and recalls, in order. `preview`: pictures, which may wait. `parked`: records that
the centre refused for good."""


class OutboxItem(NamedTuple):
    """Something the centre has not confirmed yet. `key` is an alert id, or a picture's SHA-256.

    `number` grows in the order of commit.
    """

    number: int
    key: str
    record: Report | Gap | Recall | Preview


class LedgerCounts(NamedTuple):
    """The balance of one scanner and kind of scan: received = clear + alarm + unknown + in flight."""

    scanner: str
    scan_type: ScanType
    received: int
    clear: int
    alarm: int
    unknown: int
    in_flight: int
    missing: int


class LedgerStats(NamedTuple):
    """How much the ledger holds. Entries are reports, gaps and recalls; `pending` and `parked` those the
    centre has not confirmed, or refuses. `last_link` is the hex of the chain's end: whoever noted it can tell
    later whether anything before it was changed. `oldest_pending` is 0 if nothing waits. `pending_bytes`: of
    records and pictures that wait, as they are stored."""

    entries: int
    last_entry: int
    last_link: str
    pruned_to: int
    pending: int
    oldest_pending: int
    parked: int
    pictures: int
    pictures_pending: int
    picture_bytes: int
    pending_bytes: int
    file_bytes: int


class LedgerEntry(NamedTuple):
    """One entry of the journal. `state`: pending, archived or parked. `link`: hex of its chain link."""

    entry: int
    key: str
    state: str
    link: str
    record: Report | Gap | Recall


class Passed(NamedTuple):
    """A scan of a named carton that has its verdict, and when it was received (Unix ns)."""

    received_at_ns: int
    scan: ScanId
    scan_type: ScanType
    decision: Decision
    carton: str


class Audit(NamedTuple):
    """What a slice of verification found, in words, and where the next slice goes on; None at the end."""

    problems: tuple[str, ...]
    next: int | None


class Ledger(Protocol):
    """The edge's durable memory, used by one thread. A call returns when its change is on disk; several
    changes handed over together cost one commit.

    Every method raises LedgerError when the ledger cannot be trusted any more: the daemon must stop then.
    """

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all `changes` durable, in order, or none."""

    def find(self, scan: ScanId) -> StoredScan | None:
        """What is known of a scan; None if it was never received."""

    def high_water(self) -> dict[tuple[str, int], int]:
        """The highest seq received, by (scanner, epoch)."""

    def in_flight(self) -> list[Intend]:
        """Scans received without a verdict: after a start, those that a crash left behind."""

    def passed_since(self, received_ns: int, limit: int) -> list[Passed]:
        """Scans of named cartons, received at that time (Unix ns) or later, that have their verdict: the last
        `limit`, in the order of their verdicts. What another version wrote and this one cannot read is left
        out."""

    def known(self, alert_ids: Collection[str]) -> set[str]:
        """Which of these ids stand in the journal."""

    def outbox(self, kind: OutboxKind, after: int, limit: int) -> list[OutboxItem]:
        """Unconfirmed items of a kind, numbered above `after`, oldest first. What is parked is in no other
        kind but its own, which has no pictures: their format does not change."""

    def counts(self) -> list[LedgerCounts]:
        """The balance, a row per scanner and kind of scan."""

    def stats(self) -> LedgerStats:
        """How much there is of what."""

    def entries(self, after: int, limit: int) -> list[LedgerEntry]:
        """Journal entries numbered above `after`, in order: for export."""

    def verify(self, after: int, limit: int) -> Audit:
        """Check entries numbered above `after`, at most `limit` of them, so that verdicts need not wait for
        the whole; the last slice also checks the balance."""

    def settle(self) -> None:
        """Do now what was put off after commits. Raises LedgerError if the disk does not take it, which no
        commit may have said."""

    def close(self) -> None:
        """Finish and close. May be called twice."""


class Intend(NamedTuple):
    """A scan was received and will get a verdict."""

    scan: ScanId
    scan_type: ScanType
    received_at_ns: int
    carton: str | None = None


class Conclude(NamedTuple):
    """A scan's verdict, and what the centre is to hear of it."""

    report: Report
    preview: Preview | None


class Miss(NamedTuple):
    """A scanner skipped numbers."""

    gap: Gap


class Recalled(NamedTuple):
    """An earlier scan's carton should be looked at; a scan that is recalled already is left as it is."""

    recall: Recall


class Confirm(NamedTuple):
    """The centre archived these (alert ids and SHA-256 of pictures), at this edge's time."""

    keys: tuple[str, ...]
    archived_at_ns: int


class Park(NamedTuple):
    """The centre refuses this item for good; it is kept, and no longer sent with the others."""

    key: str
    reason: str


class Prune(NamedTuple):
    """Forget what the centre confirmed before a time (Unix ns), oldest first and only up to the first entry
    that must stay, those aside that it refused for good; and confirmed pictures beyond a budget in bytes.

    What was confirmed later than `now_ns`, by a clock that was ahead then, counts as confirmed now: else it,
    and all behind it, would stay until that time has come."""

    archived_before_ns: int
    picture_bytes: int
    now_ns: int = 2**63 - 1


Change = Intend | Conclude | Miss | Recalled | Confirm | Park | Prune


class Stored(NamedTuple):
    """What became of the items handed to `Archive.store`; all of it is on disk."""

    archived: int
    """Records and pictures that were new."""
    duplicates: int
    """Records and pictures that were there already, the same to the last byte."""
    conflicts: tuple[str, ...]
    """Alert ids that were there already with other content; the first one stands."""
    refused: tuple[str, ...]
    """SHA-256 claimed by pictures whose bytes have another; these were not stored."""


class Page(NamedTuple):
    """Records in order of number. ``after(next)`` goes on without skipping or repeating any."""

    items: tuple[Archived, ...]
    next: int


class ArchiveCounts(NamedTuple):
    """What the archive holds. `duplicates` and `conflicts` count since it was opened."""

    reports: Mapping[tuple[ScanType, Decision], int]
    gaps: int
    previews: int
    duplicates: int
    conflicts: int
    recalls: int = 0


class Archive(Protocol):
    """The collector's durable memory. One thread at a time. Numbers start at 1, never come twice, and
    their order is the order of commits: below the highest visible number nothing appears later.

    Every method may raise LedgerError. Once `store` has, the archive stays refused until opened again.
    """

    def store(self, items: Sequence[Report | Gap | Recall | Preview], archived_at_ns: int) -> Stored:
        """Make all `items` durable in one commit, or none. Blocks until they are on disk.

        `archived_at_ns` is the collector's Unix time in nanoseconds. Items may come again.
        """

    def after(
        self,
        number: int,
        limit: int,
        decisions: Sequence[Decision],
        scan_types: Sequence[ScanType],
        max_bytes: int,
    ) -> Page:
        """At most `limit` records above `number` of these kinds, oldest first.

        A gap counts as UNKNOWN, a recall as ALARM. Stops before the encoded records exceed `max_bytes`, but
        gives at least one if there is one. `next` is never below `number`, and is past everything that
        did not match. Ends before a damaged record; RecordDamagedError, with its number, if it is the first.
        """

    def last_number(self) -> int:
        """The highest number given so far; 0 for an empty archive."""

    def preview(self, sha256: str) -> Preview | None:
        """The picture with this digest; None if it is not there. Raises LedgerError if it is damaged."""

    def counts(self) -> ArchiveCounts:
        """How much it holds. Cheap: may be asked for every second."""

    def close(self) -> None:
        """Finish and close. May be called twice."""


class ScannerMessage(NamedTuple):
    """One message from a scanner's side: who sent it, and its parts.

    `sender`: the scanner whose key the connection has; empty if that key is not allowed (any more); None
    on a line without keys, where anyone may claim any name.
    """

    peer: bytes
    parts: Sequence[Buffer]
    sender: str | None = None


class ScannerSide(Protocol):
    """The daemon's face to scanners and to subscribers on site. Used by one thread; nothing blocks but
    `wait`."""

    def wait(self, wake_fd: int, timeout_s: float | None) -> None:
        """Until a message is there, `wake_fd` is readable, or the time is over."""

    def receive(self) -> ScannerMessage | None:
        """The next message, None if none waits. Also passes it on to whoever taps the line, unless it is one
        of lines."""

    def reply(self, peer: bytes, message: bytes) -> bool:
        """Send to one peer; False if it is gone or takes nothing: it will ask again."""

    def tap(self, message: FrameMessage, pixels: Buffer) -> None:
        """Show a frame that was cut out of lines to whoever taps the line."""

    def publish(self, topic: str, message: bytes) -> None:
        """Send to the subscribers on site; those that are slow miss it."""

    def close(self) -> None:
        """Send what waits, briefly, and close. May be called twice."""


class Place(NamedTuple):
    """How far a store of manifests was read: the store's id, and the highest number taken from it."""

    store: str
    number: int


class PaperRow(NamedTuple):
    """One carton in a store of manifests: `papers` are msgpack, and not decoded yet."""

    number: int
    barcode: str
    master_bill: str
    papers: bytes


class StoredPapers(NamedTuple):
    """How many cartons were `new`, `amended`, the `same` as before, or `moved` here from another master
    bill."""

    new: int
    amended: int
    same: int
    moved: int


class ManifestSource(Protocol):
    """The centre's store of manifests, read. Each carton has a number; an amended one gets a higher one.
    Every method may raise ManifestError."""

    def end(self) -> Place:
        """Which store it is, and the highest number in it."""

    def after(self, number: int, limit: int, max_bytes: int) -> list[PaperRow]:
        """At most `limit` cartons above `number`, in order; stops before their papers exceed `max_bytes`,
        but gives at least one if there is one."""


class PaperStore(Protocol):
    """An edge's own store of manifests, written. One thread. Every method may raise ManifestError."""

    def place(self) -> Place | None:
        """How far the centre's was taken; None: nothing of it yet."""

    def take(self, papers: Sequence[Papers], place: Place) -> StoredPapers:
        """Store the papers and the new place, both or neither."""

    def close(self) -> None:
        """Finish and close."""


class CartonRow(NamedTuple):
    """One carton of a master bill as it is remembered over a restart. `body`: what is known of it; `told`:
    whether it was an alarm when it passed, or was recalled."""

    scan_type: ScanType
    master_bill: str
    carton: str
    passed_ns: int
    body: bytes
    told: bool


class CartonTold(NamedTuple):
    """A carton that is remembered was recalled."""

    scan_type: ScanType
    master_bill: str
    carton: str


class CartonStore(Protocol):
    """The cartons that passed, on disk. One thread at a time. Every method may raise LedgerError."""

    def rows(self) -> tuple[list[CartonRow], int]:
        """All that can be read, in the order in which they passed, and no more than there may be; and how
        many others there were, which are deleted."""

    def write(self, changes: Sequence[CartonRow | CartonTold]) -> None:
        """Keep all or, if it raises, none; of a carton that passes twice the first, of too many the last."""

    def forget(self, now_ns: int, quiet_ns: int) -> None:
        """Forget the master bills of which no carton has passed for so long: they are done. Counted back from
        the last carton of all, or from now (Unix ns) if that is earlier."""

    def close(self) -> None:
        """Finish and close. May be called twice."""


class SinkReply(NamedTuple):
    """What the centre says of items by key: archived, or refused and why. Or a page of manifests."""

    archived: tuple[str, ...] = ()
    refused: str | None = None
    why: str = ""
    page: Received[ManifestsMessage] | None = None


class AlertSink(Protocol):
    """The line to the centre: one connection, which may take some seconds to come about. Used by one thread;
    nothing blocks but `wait`."""

    def broken(self) -> bool:
        """The connection is gone, or does not come: another sink is needed."""

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        """Until a reply is there, `wake_fd` is readable, the connection is gone, or the time is over."""

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        """Hand an item over; False if there is no connection or no room. True promises nothing."""

    def ask(self, question: FetchManifestsMessage) -> bool:
        """Ask for manifests; False as for `send`."""

    def replies(self) -> list[SinkReply]:
        """What the centre said since the last call."""

    def close(self) -> None:
        """Close at once; unconfirmed items stay in the ledger."""

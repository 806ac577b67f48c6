"""A scan between its first byte and its verdict on disk, and the messages it leads to."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import xxhash

from nii_edge.edge.admission import RETRY_S
from nii_edge.edge.case import Case
from nii_edge.edge.jobs import JobFrame, JobScan
from nii_edge.records import Report, ScanId
from nii_edge.wire import AckMessage, Belt, Buffer, BusyMessage, FrameMessage, VerdictMessage


@dataclass(slots=True)
class View:
    """One view: `frame` is None until its pixels are decoded, `digest` until they are hashed."""

    slot: int
    message: FrameMessage
    frame: JobFrame | None = None
    digest: str | None = None


@dataclass(slots=True)
class OpenScan:
    """A scan without a verdict on disk. `submitted`: the engine decides. `closing`: decided. `belt`: where
    it lies, if it was cut out of lines."""

    id: ScanId
    first: FrameMessage
    peer: bytes
    views_expected: int
    received_at_ns: int
    first_at: float
    complete_at: float | None = None
    views: dict[int, View] = field(default_factory=dict)
    intended: bool = False
    to_ack: list[tuple[bytes, int]] = field(default_factory=list)
    submitted: bool = False
    closing: bool = False
    belt: Belt | None = None

    @property
    def scale_kg(self) -> float | None:
        """What a scale weighed the carton with, in whichever view's header it stands; None if in none."""
        return next((view.message.scale_kg for view in self.views.values() if view.message.scale_kg), None)

    def case(self) -> Case:
        """The scan as it stands, views in order."""
        ordered = [self.views[v] for v in sorted(self.views)]
        return Case(
            scan=JobScan(
                id=self.id,
                scan_type=self.first.scan_type,
                carton=self.first.carton,
                frames=tuple(v.frame for v in ordered if v.frame is not None),
                scale_kg=self.scale_kg,
            ),
            received_at_ns=self.received_at_ns,
            arrived_at=self.first_at if self.complete_at is None else self.complete_at,
            slots=tuple(v.slot for v in ordered),
            digests=tuple(f"{v.message.view}:{v.digest}" for v in ordered if v.digest is not None),
        )


def digest(message: FrameMessage, payload: Buffer) -> str:
    """XXH3-128 of a payload and of what its header says of it: equal for a resend, not for other content.

    Not a proof against forgery; that is the transport's work.
    """
    shape = (
        f"{message.encoding} {message.height} {message.width} {message.channels} {message.dtype} "
        f"{message.scan_type} {message.carton}"
    )
    return xxhash.xxh3_128_hexdigest(payload, seed=zlib.crc32(shape.encode()))


def verdict_message(report: Report, belt: Belt | None = None) -> VerdictMessage:
    """A report as the scanner and the site hear it, and where the carton lies if it was cut out of lines."""
    verdict = report.verdict
    return VerdictMessage(
        scanner=verdict.id.scanner,
        epoch=verdict.id.epoch,
        seq=verdict.id.seq,
        decision=verdict.decision,
        scan_type=verdict.scan_type,
        report=report,
        belt=belt,
    )


def ack(scan: ScanId, view: int) -> AckMessage:
    """One view of a scan is safe."""
    return AckMessage(scanner=scan.scanner, epoch=scan.epoch, seq=scan.seq, view=view)


def busy(scan: ScanId, view: int) -> BusyMessage:
    """One view of a scan that finds no room yet."""
    retry_ms = round(1000 * RETRY_S)
    return BusyMessage(scanner=scan.scanner, epoch=scan.epoch, seq=scan.seq, view=view, retry_ms=retry_ms)

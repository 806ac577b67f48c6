"""What an edge sent, checked: a record to archive, or why not. Pure: no sockets, no archive."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from nii_edge.errors import WireError
from nii_edge.records import Gap, Name, Preview, Reason, Recall, Report, ScanId, gap_id, recall_id
from nii_edge.wire import (
    MAX_HEADER_BYTES,
    MAX_PREVIEW_BYTES,
    Buffer,
    FetchManifestsMessage,
    GapMessage,
    PreviewMessage,
    RecallMessage,
    ReportMessage,
    decode_to_collector,
)

MAX_RECORD_BYTES = MAX_HEADER_BYTES - 2_048
"""The largest record, encoded: it must fit, alone, into the header of the answer to a `fetch`."""

Item = Report | Gap | Recall | Preview


class _ReportName(msgspec.Struct, frozen=True):
    alert_id: str


class _GapName(msgspec.Struct, frozen=True):
    edge: Name
    scanner: Name
    epoch: int
    first: int


class _RecallName(msgspec.Struct, frozen=True):
    scan: ScanId


class _Named(msgspec.Struct, frozen=True):
    """What of a message names it: newer versions may have more, and other things, beside."""

    report: _ReportName | None = None
    gap: _GapName | None = None
    recall: _RecallName | None = None
    sha256: str | None = None


_names = msgspec.msgpack.Decoder(_Named)
_encoder = msgspec.msgpack.Encoder()


def accept(parts: Sequence[Buffer], sender: str | None = None) -> Item | FetchManifestsMessage:
    """The record or picture in one edge's message, or its question for manifests. `sender`: the edge whose
    key it came with, None if the line has no keys.

    Raises:
        WireError: it is not a message of this protocol, contradicts itself, is over a size limit, or speaks
            of another edge's scans.
    """
    message, payload = decode_to_collector(parts)
    if isinstance(message, FetchManifestsMessage):
        return message
    if isinstance(message, PreviewMessage):
        return _preview(message, payload)
    record, edge = _record_of(message)
    if sender is not None and edge != sender:
        raise WireError(Reason.NOT_ALLOWED, f"this key is {sender}'s, the record {edge}'s")
    if isinstance(record, Report):
        _check_report(record)
    elif isinstance(record, Gap) and record.last < record.first:
        raise WireError(Reason.MALFORMED, f"a gap from {record.first} to {record.last} ends before it begins")
    size = len(_encoder.encode(record))
    if size > MAX_RECORD_BYTES:
        raise WireError(Reason.TOO_LARGE, f"a record of {size} bytes, at most {MAX_RECORD_BYTES}")
    return record


def _record_of(message: ReportMessage | GapMessage | RecallMessage) -> tuple[Report | Gap | Recall, str]:
    """The record, and the edge whose scans it speaks of."""
    match message:
        case ReportMessage(report=report):
            return report, report.verdict.id.edge
        case GapMessage(gap=gap):
            return gap, gap.edge
        case RecallMessage(recall=recall):
            return recall, recall.scan.edge


def _check_report(report: Report) -> None:
    """Ids are hashes of the scan's identity: others would archive one scan under another's name."""
    scan = report.verdict.id
    if report.alert_id != scan.alert_id:
        raise WireError(
            Reason.MALFORMED, f"alert id {report.alert_id} of scan {scan}, expected {scan.alert_id}"
        )
    if report.report_id != scan.report_id:
        raise WireError(
            Reason.MALFORMED, f"report id {report.report_id!r} of scan {scan}, expected {scan.report_id}"
        )


def _preview(message: PreviewMessage, payload: Buffer) -> Preview:
    if len(payload) > MAX_PREVIEW_BYTES:
        raise WireError(Reason.TOO_LARGE, f"a picture of {len(payload)} bytes, at most {MAX_PREVIEW_BYTES}")
    found = hashlib.sha256(payload).hexdigest()
    if found != message.sha256:
        raise WireError(Reason.MALFORMED, f"the picture's SHA-256 is {found}, not {message.sha256}")
    return Preview(sha256=message.sha256, media_type=message.media_type, data=bytes(payload))


def key_of(item: Item) -> str:
    """What a receipt calls it: the alert id of a record, the SHA-256 of a picture."""
    return item.sha256 if isinstance(item, Preview) else item.alert_id


def claimed_key(parts: Sequence[Buffer]) -> str | None:
    """The id that a refused message gives itself, so that its sender knows which one; None if unreadable."""
    if not parts or len(parts[0]) > MAX_HEADER_BYTES:
        return None
    try:
        named = _names.decode(parts[0])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    key = named.report.alert_id if named.report else named.sha256
    if named.gap is not None:
        key = gap_id(named.gap.edge, named.gap.scanner, named.gap.epoch, named.gap.first)
    if named.recall is not None:
        key = recall_id(named.recall.scan)
    return key if key and len(key) <= 128 else None

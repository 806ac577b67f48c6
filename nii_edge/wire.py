"""Bytes to messages and back. No sockets here; docs/PROTOCOL.md says the same in prose.

Every message is a ZeroMQ multipart: a msgpack map, then, where the message carries a picture, one
part of bytes. Each map has `version` and `type`. Unknown fields are ignored, so a field can be added
within a version; a change of meaning gets a new version.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from nii_edge.errors import FrameError, WireError
from nii_edge.records import (
    Channel,
    Decision,
    DType,
    Encoding,
    Epoch,
    Gap,
    Hex,
    Name,
    Reason,
    Recall,
    Report,
    ScanType,
    Seq,
    ViewIndex,
)

VERSION = 1

MAX_HEADER_BYTES = 256 * 1024
"""The largest msgpack part of any message: a report with a few hundred findings fits."""
MAX_PREVIEW_BYTES = 256 * 1024
MAX_SIDE = 65_535
"""The largest height or width of a frame, in pixels."""
MAX_SCALE_KG = 10_000
"""The most that a scale may have weighed, in kg: ten times what any belt of cartons carries."""
MAX_LINES = 4_096
"""The most lines in one `lines` message."""
MAX_RECEIPTS = 1_024
"""The most ids in one receipt."""
MAX_FETCH = 1_000
"""The most archived records one `fetch` is answered with."""

MAX_MANIFESTS_BYTES = 200 * 1024
"""The largest page of manifests, compressed."""

DTYPE_BYTES: dict[DType, int] = {"uint8": 1, "uint16": 2, "float32": 4}

Buffer = bytes | bytearray | memoryview
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Archive = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**52)]
"""An encoder count, a number of a line, of a chunk or of a question."""
StoreId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""Which store of manifests: made when the store is."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all messages."""

    version: int = msgspec.field(default_factory=lambda: VERSION)


class Belt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a carton lies: the encoder counts at which its leading and its trailing edge pass the last
    view. `first` is None when only the trailing edge is known."""

    first: int | None = None
    last: int


class FrameMessage(Message, frozen=True, kw_only=True, tag="frame"):
    """Scanner to edge: one view of one carton; the pixels are the second part.

    Fields left out are taken from the scanner's profile: `views`, `channels`, `dtype`. `height` and
    `width` may be left out of encoded pictures only. `crc32` is zlib's CRC-32 of the second part. `belt` is
    the edge's own word, at the tap and in recordings: this frame was cut out of lines, there. `scale_kg`:
    the carton's weight by the belt's own scale, in kg; 0 is as good as left out.
    """

    scanner: Name
    epoch: Epoch
    seq: Seq
    view: ViewIndex = 0
    views: Annotated[int, Meta(ge=1, le=8)] | None = None
    channels: tuple[Channel, ...] | None = None
    dtype: DType | None = None
    height: Side | None = None
    width: Side | None = None
    encoding: Encoding = "raw"
    crc32: UInt32 | None = None
    captured_at_ns: int | None = None
    scan_type: ScanType = ScanType.OPERATIONAL
    belt: Belt | None = None
    carton: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] | None = None
    scale_kg: Annotated[float, Meta(ge=0, le=MAX_SCALE_KG)] | None = None

    def __post_init__(self) -> None:
        if self.scale_kg is not None and not math.isfinite(self.scale_kg):
            raise ValueError(f"`scale_kg` is {self.scale_kg}; leave it out if nothing was weighed")


class FrameIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a frame's header that must be right for the scan to be named in the ledger."""

    scanner: Name
    epoch: Epoch
    seq: Seq
    type: Literal["frame"] = "frame"
    view: Any = 0
    scan_type: Any = ScanType.OPERATIONAL.value

    @property
    def view_index(self) -> int:
        """The view as far as the header says a possible one; 0 otherwise."""
        possible = isinstance(self.view, int) and not isinstance(self.view, bool) and 0 <= self.view <= 7
        return self.view if possible else 0

    @property
    def is_test(self) -> bool:
        """True only if the header clearly says NON_OPERATIONAL."""
        return bool(self.scan_type == ScanType.NON_OPERATIONAL.value)


class LinesMessage(Message, frozen=True, kw_only=True, tag="lines"):
    """Scanner to edge: lines of one view as the belt moves; the pixels are the second part, raw, shape
    (lines, width, channels).

    `chunk` counts the messages of this view and epoch from 1. `acked`: up to which chunk the sender was
    told that all is done. `oldest`: the oldest chunk it can still send again; itself if left out.
    `first_line` counts the view's lines from 0; lost ones are counted too. `encoder`: the belt encoder's
    count at the first line, `step` more at each further one; or a count for every line. It never starts
    over within an epoch. `barrier`: one bit for each line, 1 where the light barrier is interrupted, the
    first line in the lowest bit of the first byte. `channels` and `dtype` as in `FrameMessage`.
    """

    scanner: Name
    epoch: Epoch
    chunk: Annotated[int, Meta(ge=1, le=2**52)]
    acked: Count = 0
    oldest: Annotated[int, Meta(ge=1, le=2**52)] | None = None
    view: ViewIndex = 0
    first_line: Count
    lines: Annotated[int, Meta(ge=1, le=MAX_LINES)]
    encoder: Count | Annotated[tuple[Count, ...], Meta(max_length=MAX_LINES)]
    step: Annotated[int, Meta(ge=0, le=2**31)] = 1
    width: Side
    channels: tuple[Channel, ...] | None = None
    dtype: DType | None = None
    barrier: Annotated[bytes, Meta(max_length=MAX_LINES // 8)] | None = None
    crc32: UInt32 | None = None
    scan_type: ScanType = ScanType.OPERATIONAL


class LinesIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a `lines` header that must be right for a refusal to name the chunk."""

    scanner: Name
    epoch: Epoch
    chunk: Annotated[int, Meta(ge=1, le=2**52)]
    type: Literal["lines"] = "lines"
    view: ViewIndex = 0


class LinesAckMessage(Message, frozen=True, kw_only=True, tag="lines_ack"):
    """Edge to scanner: the chunks of this view up to `chunk` are done with: every carton in them has its
    verdict on disk, and the verdict was sent before this. `next`: the chunk wanted next. `again`: chunks
    were missed; send from `next` on."""

    scanner: Name
    epoch: Epoch
    view: ViewIndex
    chunk: Count
    next: Count
    again: bool = False


class AckMessage(Message, frozen=True, kw_only=True, tag="ack"):
    """Edge to scanner: this view's scan is on disk; there will be a verdict."""

    scanner: Name
    epoch: Epoch
    seq: Seq
    view: ViewIndex


class VerdictMessage(Message, frozen=True, kw_only=True, tag="verdict"):
    """Edge to scanner, and to subscribers on site: the verdict of one scan. `belt`: of a carton that was
    cut out of a line scanner's lines."""

    scanner: Name
    epoch: Epoch
    seq: Seq
    decision: Decision
    scan_type: ScanType
    report: Report
    belt: Belt | None = None


class RefusedMessage(Message, frozen=True, kw_only=True, tag="refused"):
    """Edge or collector to its peer: a message was not accepted. The rest says which, if known."""

    reason: Reason
    detail: str
    scanner: str | None = None
    epoch: int | None = None
    seq: int | None = None
    view: int | None = None
    chunk: int | None = None
    alert_id: str | None = None
    supported: tuple[int, ...] | None = None


class BusyMessage(Message, frozen=True, kw_only=True, tag="busy"):
    """Edge to scanner: no room for this view yet; it was not taken. Hold the belt and send all views of the
    scan again after `retry_ms`; of a line scanner, this view's chunks from `chunk` on."""

    scanner: str
    epoch: int
    seq: int | None = None
    chunk: int | None = None
    view: int
    retry_ms: int


class ReportMessage(Message, frozen=True, kw_only=True, tag="report"):
    """Edge to collector: one scan's report."""

    report: Report


class GapMessage(Message, frozen=True, kw_only=True, tag="gap"):
    """Edge to collector: sequence numbers that a scanner skipped."""

    gap: Gap


RECALL_TOPIC = "recall/"
"""What topics of recalls begin with on site, so that none drives a diverter that waits for verdicts."""


class RecallMessage(Message, frozen=True, kw_only=True, tag="recall"):
    """Edge to collector and subscribers on site: an earlier scan's carton should be looked at after all."""

    recall: Recall


class PreviewMessage(Message, frozen=True, kw_only=True, tag="preview"):
    """Edge to collector, collector to subscriber: a picture, in the second part."""

    sha256: Hex
    media_type: Annotated[str, Meta(max_length=64)]


class ReceiptMessage(Message, frozen=True, kw_only=True, tag="receipt"):
    """Collector to edge: these records (alert ids) and pictures (SHA-256) are archived on disk."""

    ids: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(max_length=MAX_RECEIPTS)]


class FetchManifestsMessage(Message, frozen=True, kw_only=True, tag="fetch_manifests"):
    """Edge to collector: the papers of cartons numbered after `since` in the collector's store of this id.

    `ask` comes back with the answer. `store` is None before the first answer.
    """

    ask: Count
    store: StoreId | None = None
    since: Archive = 0


class ManifestsMessage(Message, frozen=True, kw_only=True, tag="manifests"):
    """Collector to edge: the answer to `fetch_manifests`; the papers are the second part (`manifest_pages`).

    Ask next with this `store` and ``since = next``. `last`: the highest number in the store; if it is `next`
    all was told. `crc32`: zlib's, of the second part. `store` None: the collector has no manifests.
    """

    ask: Count
    store: StoreId | None = None
    next: Archive = 0
    last: Archive = 0
    crc32: UInt32 = 0


class FetchMessage(Message, frozen=True, kw_only=True, tag="fetch"):
    """Subscriber to collector: records archived after number `since`, oldest first.

    Answered at once if there are any, else when one comes or after `wait_ms`. Empty `decisions` means
    all; by default ALARM, UNKNOWN, gaps and recalls of OPERATIONAL scans.
    """

    since: Archive
    limit: Annotated[int, Meta(ge=1, le=MAX_FETCH)] = 100
    wait_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    decisions: tuple[Decision, ...] = (Decision.ALARM, Decision.UNKNOWN)
    scan_types: tuple[ScanType, ...] = (ScanType.OPERATIONAL,)


class Archived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record as archived. Exactly one of `report`, `gap` and `recall` is set."""

    number: Archive
    archived_at_ns: int
    report: Report | None = None
    gap: Gap | None = None
    recall: Recall | None = None


class ArchivedMessage(Message, frozen=True, kw_only=True, tag="archived"):
    """Collector to subscriber: the answer to `fetch`. Ask next with ``since = next``."""

    items: tuple[Archived, ...]
    next: Archive


class FetchPreviewMessage(Message, frozen=True, kw_only=True, tag="fetch_preview"):
    """Subscriber to collector: the picture with this SHA-256."""

    sha256: Hex


FromScanner = FrameMessage | LinesMessage
ToScanner = AckMessage | VerdictMessage | RefusedMessage | BusyMessage | LinesAckMessage
ToCollector = ReportMessage | GapMessage | RecallMessage | PreviewMessage | FetchManifestsMessage
FromCollector = ReceiptMessage | RefusedMessage | ManifestsMessage
FromSubscriber = FetchMessage | FetchPreviewMessage
ToSubscriber = ArchivedMessage | PreviewMessage | RefusedMessage

Parts = list[bytes | Buffer]


class _Peek(msgspec.Struct, frozen=True):
    version: int
    type: str


class _Codec:
    encoder: ClassVar = msgspec.msgpack.Encoder()
    peek: ClassVar = msgspec.msgpack.Decoder(_Peek)
    identity: ClassVar = msgspec.msgpack.Decoder(FrameIdentity)
    lines_identity: ClassVar = msgspec.msgpack.Decoder(LinesIdentity)
    from_scanner: ClassVar[msgspec.msgpack.Decoder[FromScanner]] = msgspec.msgpack.Decoder(FromScanner)
    frame: ClassVar[msgspec.msgpack.Decoder[FrameMessage]] = msgspec.msgpack.Decoder(FrameMessage)
    to_scanner: ClassVar[msgspec.msgpack.Decoder[ToScanner]] = msgspec.msgpack.Decoder(ToScanner)
    to_collector: ClassVar[msgspec.msgpack.Decoder[ToCollector]] = msgspec.msgpack.Decoder(ToCollector)
    from_collector: ClassVar[msgspec.msgpack.Decoder[FromCollector]] = msgspec.msgpack.Decoder(FromCollector)
    from_subscriber: ClassVar[msgspec.msgpack.Decoder[FromSubscriber]] = msgspec.msgpack.Decoder(
        FromSubscriber
    )
    to_subscriber: ClassVar[msgspec.msgpack.Decoder[ToSubscriber]] = msgspec.msgpack.Decoder(ToSubscriber)


def encode(message: Message) -> bytes:
    """The msgpack part of `message`, `version` included."""
    if message.version != VERSION:
        raise ValueError(f"messages are written in version {VERSION}, not {message.version}")
    return _Codec.encoder.encode(message)


M = TypeVar("M")


class Received(NamedTuple, Generic[M]):
    """A decoded message and its payload part, empty if it has none."""

    message: M
    payload: Buffer


def _decode(parts: Sequence[Buffer], decoder: msgspec.msgpack.Decoder[M]) -> Received[M]:
    if not 1 <= len(parts) <= 2:
        raise WireError(Reason.MALFORMED, f"expected 1 or 2 message parts, found {len(parts)}")
    head = parts[0]
    if len(head) > MAX_HEADER_BYTES:
        raise WireError(Reason.TOO_LARGE, f"header of {len(head)} bytes, at most {MAX_HEADER_BYTES}")
    try:
        peek = _Codec.peek.decode(head)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise WireError(
            Reason.MALFORMED, f"header is not a msgpack map with version and type: {error}"
        ) from error
    if peek.version != VERSION:
        raise WireError(Reason.VERSION, f"message version {peek.version}, spoken here: {VERSION}")
    try:
        message = decoder.decode(head)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise WireError(Reason.MALFORMED, f"bad {peek.type!r} message: {error}") from error
    return Received(message, parts[1] if len(parts) == 2 else b"")


def decode_from_scanner(parts: Sequence[Buffer]) -> Received[FromScanner]:
    """A view, or lines, and the pixels. Raises WireError."""
    return _decode(parts, _Codec.from_scanner)


def is_lines(head: Buffer) -> bool:
    """Is this the header of a `lines` message? False if it cannot be read."""
    try:
        return _Codec.peek.decode(head).type == LinesMessage.__struct_config__.tag
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False


def decode_frame(parts: Sequence[Buffer]) -> Received[FrameMessage]:
    """A `FrameMessage` and its pixels. Raises WireError."""
    return _decode(parts, _Codec.frame)


def decode_to_scanner(parts: Sequence[Buffer]) -> Received[ToScanner]:
    """What an edge sends a scanner or a subscriber on site. Raises WireError."""
    return _decode(parts, _Codec.to_scanner)


def decode_to_collector(parts: Sequence[Buffer]) -> Received[ToCollector]:
    """What an edge sends the collector. Raises WireError."""
    return _decode(parts, _Codec.to_collector)


def decode_from_collector(parts: Sequence[Buffer]) -> Received[FromCollector]:
    """What a collector answers an edge. Raises WireError."""
    return _decode(parts, _Codec.from_collector)


def decode_from_subscriber(parts: Sequence[Buffer]) -> Received[FromSubscriber]:
    """What a subscriber asks. Raises WireError."""
    return _decode(parts, _Codec.from_subscriber)


def decode_to_subscriber(parts: Sequence[Buffer]) -> Received[ToSubscriber]:
    """What a collector answers a subscriber. Raises WireError."""
    return _decode(parts, _Codec.to_subscriber)


def identify(parts: Sequence[Buffer]) -> FrameIdentity | None:
    """Which scan a frame belongs to when the rest of its header is wrong; None if that is unreadable."""
    if not parts or len(parts[0]) > MAX_HEADER_BYTES:
        return None
    try:
        return _Codec.identity.decode(parts[0])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def identify_lines(parts: Sequence[Buffer]) -> LinesMessage | None:
    """Which chunk a `lines` message is when the rest of its header is wrong, as a message of one line; None
    if that is unreadable."""
    if not parts or len(parts[0]) > MAX_HEADER_BYTES:
        return None
    try:
        found = _Codec.lines_identity.decode(parts[0])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return LinesMessage(
        scanner=found.scanner, epoch=found.epoch, chunk=found.chunk, view=found.view,
        first_line=0, lines=1, encoder=0, width=1,
    )  # fmt: skip


def check_payload(message: FrameMessage, channels: int, dtype: DType, payload: Buffer, limit: int) -> None:
    """Hold the payload's size against header and limit. Its CRC is `check_crc`'s.

    Raises:
        FrameError: CORRUPT_FRAME for a wrong size, TOO_LARGE over `limit` bytes, BAD_HEADER when a raw
            frame lacks its height or width.
    """
    if message.height is not None and message.width is not None:
        pixel_bytes = message.height * message.width * channels * DTYPE_BYTES[dtype]
        if pixel_bytes > limit:
            raise FrameError(Reason.TOO_LARGE, f"{pixel_bytes} bytes of pixels, at most {limit}")
        if message.encoding == "raw" and len(payload) != pixel_bytes:
            raise FrameError(
                Reason.CORRUPT_FRAME,
                f"{len(payload)} bytes of pixels, expected {pixel_bytes} "
                f"({message.height}x{message.width}, {channels} x {dtype})",
            )
    elif message.encoding == "raw":
        raise FrameError(Reason.BAD_HEADER, "a raw frame needs height and width")
    if len(payload) > limit:
        raise FrameError(Reason.TOO_LARGE, f"{len(payload)} bytes of payload, at most {limit}")
    if not payload:
        raise FrameError(Reason.CORRUPT_FRAME, "no pixels: the second message part is missing or empty")


def check_lines(message: LinesMessage, channels: int, dtype: DType, payload: Buffer) -> None:
    """Hold a `lines` message together: as many pixels, encoder counts and barrier bits as it has lines.

    Raises:
        FrameError: CORRUPT_FRAME for a wrong payload size, BAD_HEADER for the rest.
    """
    pixel_bytes = message.lines * message.width * channels * DTYPE_BYTES[dtype]
    if len(payload) != pixel_bytes:
        raise FrameError(
            Reason.CORRUPT_FRAME,
            f"{len(payload)} bytes of pixels, expected {pixel_bytes} "
            f"({message.lines} lines of {message.width} pixels, {channels} x {dtype})",
        )
    if isinstance(message.encoder, tuple) and len(message.encoder) != message.lines:
        detail = f"{len(message.encoder)} encoder counts for {message.lines} lines"
        raise FrameError(Reason.BAD_HEADER, detail)
    if message.barrier is not None and len(message.barrier) != -(-message.lines // 8):
        detail = f"{len(message.barrier)} bytes of barrier bits for {message.lines} lines; one bit a line"
        raise FrameError(Reason.BAD_HEADER, detail)
    if not message.acked < (message.oldest or message.chunk) <= message.chunk:
        detail = f"acked {message.acked}, oldest {message.oldest}, chunk {message.chunk} are out of order"
        raise FrameError(Reason.BAD_HEADER, detail)


def check_crc(
    message: FrameMessage | LinesMessage, payload: Buffer, crc32: Callable[[Buffer], int] = zlib.crc32
) -> None:
    """Raises FrameError(CORRUPT_FRAME) if the header gives a CRC-32 and the payload has another. `crc32`:
    who has a faster one may bring it."""
    if message.crc32 is None:
        return
    found = crc32(payload)
    if found != message.crc32:
        raise FrameError(Reason.CORRUPT_FRAME, f"CRC-32 {found:08x}, the header says {message.crc32:08x}")

"""The wire, byte by byte: what is written here is what clients in other languages rely on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.errors import FrameError, WireError
from nii_edge.records import Box, Decision, Finding, Gap, Reason, Recall, Report, ScanId, ScanType, Verdict
from nii_edge.wire import (
    MAX_HEADER_BYTES,
    AckMessage,
    Archived,
    ArchivedMessage,
    BusyMessage,
    FetchManifestsMessage,
    FetchMessage,
    FetchPreviewMessage,
    FrameIdentity,
    FrameMessage,
    GapMessage,
    LinesAckMessage,
    LinesMessage,
    ManifestsMessage,
    Message,
    PreviewMessage,
    RecallMessage,
    ReceiptMessage,
    Received,
    RefusedMessage,
    ReportMessage,
    VerdictMessage,
    check_crc,
    check_lines,
    check_payload,
    decode_frame,
    decode_from_collector,
    decode_from_scanner,
    decode_from_subscriber,
    decode_to_collector,
    decode_to_scanner,
    decode_to_subscriber,
    encode,
    identify,
)

SCAN = ScanId(edge="e1", scanner="lane1", epoch=7, seq=42)
FINDING = Finding(
    detector="objects", kind="object", label="gun", category="PI", score=0.5, why="w",
    box=Box(view=0, x0=1.0, y0=2.0, x1=3.5, y1=4.0), area_px=9,
)  # fmt: skip
REPORT = Report(
    alert_id=SCAN.alert_id,
    report_id=SCAN.report_id,
    verdict=Verdict(id=SCAN, scan_type=ScanType.OPERATIONAL, decision=Decision.ALARM, findings=(FINDING,)),
    received_at_ns=1,
    decided_at_ns=2,
)
GAP = Gap(edge="e1", scanner="lane1", epoch=7, first=43, last=44, noticed_at_ns=3)
RECALL = Recall(
    scan=SCAN,
    scan_type=ScanType.OPERATIONAL,
    carton="c",
    because=ScanId(edge="e1", scanner="lane1", epoch=7, seq=46),
    finding=FINDING,
    noticed_at_ns=3,
)
NAMES: dict[str, Any] = {"scanner": "lane1", "epoch": 7, "seq": 42}

MESSAGES: tuple[Message, ...] = (
    FrameMessage(**NAMES, view=1, height=2, width=3, crc32=1),
    AckMessage(**NAMES, view=0),
    VerdictMessage(**NAMES, decision=Decision.ALARM, scan_type=ScanType.OPERATIONAL, report=REPORT),
    RefusedMessage(reason=Reason.VERSION, detail="d", supported=(1,)),
    ReportMessage(report=REPORT),
    GapMessage(gap=GAP),
    PreviewMessage(sha256="ab" * 32, media_type="image/png"),
    ReceiptMessage(ids=(SCAN.alert_id,)),
    FetchMessage(since=5, wait_ms=100),
    ArchivedMessage(items=(Archived(number=6, archived_at_ns=4, gap=GAP),), next=6),
    FetchPreviewMessage(sha256="ab" * 32),
    BusyMessage(**NAMES, view=1, retry_ms=50),
    LinesMessage(scanner="lane1", epoch=7, chunk=3, view=1, first_line=64, lines=2, encoder=70, width=3),
    LinesAckMessage(scanner="lane1", epoch=7, view=1, chunk=2, next=4),
    RecallMessage(recall=RECALL),
    FetchManifestsMessage(ask=3, store="ab" * 16, since=5),
    ManifestsMessage(ask=3, store="ab" * 16, next=6, last=9, crc32=1),
)
GOLDEN = (
    # FrameMessage
    (
        "de0009a474797065a56672616d65a776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a3736571"
        "2aa47669657701a668656967687402a5776964746803a5637263333201"
    ),
    # AckMessage
    (
        "86a474797065a361636ba776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a37365712aa47669"
        "657700"
    ),
    # VerdictMessage
    (
        "88a474797065a776657264696374a776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a3736571"
        "2aa86465636973696f6ea5414c41524da97363616e5f74797065ab4f5045524154494f4e414ca67265706f727485a861"
        "6c6572745f6964d9203663376166336539633135643261616337393337376436336664333135343262a97265706f7274"
        "5f6964b94e49492d444858462d375445312d424d4e412d525939512d5aa77665726469637484a2696484a465646765a2"
        "6531a77363616e6e6572a56c616e6531a565706f636807a37365712aa97363616e5f74797065ab4f5045524154494f4e"
        "414ca86465636973696f6ea5414c41524da866696e64696e67739188a86465746563746f72a76f626a65637473a46b69"
        "6e64a66f626a656374a56c6162656ca367756ea863617465676f7279a25049a573636f7265cb3fe0000000000000a377"
        "6879a177a3626f7885a47669657700a27830cb3ff0000000000000a27930cb4000000000000000a27831cb400c000000"
        "000000a27931cb4010000000000000a7617265615f707809ae72656365697665645f61745f6e7301ad64656369646564"
        "5f61745f6e7302"
    ),
    # RefusedMessage
    (
        "85a474797065a772656675736564a776657273696f6e01a6726561736f6ea756455253494f4ea664657461696ca164a9"
        "737570706f727465649101"
    ),
    # ReportMessage
    (
        "83a474797065a67265706f7274a776657273696f6e01a67265706f727485a8616c6572745f6964d92036633761663365"
        "39633135643261616337393337376436336664333135343262a97265706f72745f6964b94e49492d444858462d375445"
        "312d424d4e412d525939512d5aa77665726469637484a2696484a465646765a26531a77363616e6e6572a56c616e6531"
        "a565706f636807a37365712aa97363616e5f74797065ab4f5045524154494f4e414ca86465636973696f6ea5414c4152"
        "4da866696e64696e67739188a86465746563746f72a76f626a65637473a46b696e64a66f626a656374a56c6162656ca3"
        "67756ea863617465676f7279a25049a573636f7265cb3fe0000000000000a3776879a177a3626f7885a47669657700a2"
        "7830cb3ff0000000000000a27930cb4000000000000000a27831cb400c000000000000a27931cb4010000000000000a7"
        "617265615f707809ae72656365697665645f61745f6e7301ad646563696465645f61745f6e7302"
    ),
    # GapMessage
    (
        "83a474797065a3676170a776657273696f6e01a367617086a465646765a26531a77363616e6e6572a56c616e6531a565"
        "706f636807a566697273742ba46c6173742cad6e6f74696365645f61745f6e7303"
    ),
    # PreviewMessage
    (
        "84a474797065a770726576696577a776657273696f6e01a6736861323536d94061626162616261626162616261626162"
        "616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162"
        "aa6d656469615f74797065a9696d6167652f706e67"
    ),
    # ReceiptMessage
    (
        "83a474797065a772656365697074a776657273696f6e01a369647391d920366337616633653963313564326161633739"
        "3337376436336664333135343262"
    ),
    # FetchMessage
    ("84a474797065a56665746368a776657273696f6e01a573696e636505a7776169745f6d7364"),
    # ArchivedMessage
    (
        "84a474797065a86172636869766564a776657273696f6e01a56974656d739183a66e756d62657206ae61726368697665"
        "645f61745f6e7304a367617086a465646765a26531a77363616e6e6572a56c616e6531a565706f636807a56669727374"
        "2ba46c6173742cad6e6f74696365645f61745f6e7303a46e65787406"
    ),
    # FetchPreviewMessage
    (
        "83a474797065ad66657463685f70726576696577a776657273696f6e01a6736861323536d94061626162616261626162"
        "616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162"
        "616261626162"
    ),
    # BusyMessage
    (
        "87a474797065a462757379a776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a37365712aa476"
        "69657701a872657472795f6d7332"
    ),
    # LinesMessage
    (
        "de000aa474797065a56c696e6573a776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a5636875"
        "6e6b03a47669657701aa66697273745f6c696e6540a56c696e657302a7656e636f64657246a5776964746803"
    ),
    # LinesAckMessage
    (
        "87a474797065a96c696e65735f61636ba776657273696f6e01a77363616e6e6572a56c616e6531a565706f636807a476"
        "69657701a56368756e6b02a46e65787404"
    ),
    # RecallMessage
    (
        "83a474797065a6726563616c6ca776657273696f6e01a6726563616c6c86a47363616e84a465646765a26531a7736361"
        "6e6e6572a56c616e6531a565706f636807a37365712aa97363616e5f74797065ab4f5045524154494f4e414ca6636172"
        "746f6ea163a76265636175736584a465646765a26531a77363616e6e6572a56c616e6531a565706f636807a37365712e"
        "a766696e64696e6788a86465746563746f72a76f626a65637473a46b696e64a66f626a656374a56c6162656ca367756e"
        "a863617465676f7279a25049a573636f7265cb3fe0000000000000a3776879a177a3626f7885a47669657700a27830cb"
        "3ff0000000000000a27930cb4000000000000000a27831cb400c000000000000a27931cb4010000000000000a7617265"
        "615f707809ad6e6f74696365645f61745f6e7303"
    ),
    # FetchManifestsMessage
    (
        "85a474797065af66657463685f6d616e696665737473a776657273696f6e01a361736b03a573746f7265d92061626162"
        "61626162616261626162616261626162616261626162616261626162a573696e636505"
    ),
    # ManifestsMessage
    (
        "87a474797065a96d616e696665737473a776657273696f6e01a361736b03a573746f7265d92061626162616261626162"
        "61626162616261626162616261626162616261626162a46e65787406a46c61737409a5637263333201"
    ),
)

Decode = Callable[[Sequence[bytes]], Received[Any]]
DECODERS: tuple[tuple[Decode, tuple[type[Message], ...]], ...] = (
    (decode_from_scanner, (FrameMessage, LinesMessage)),
    (decode_frame, (FrameMessage,)),
    (decode_to_scanner, (AckMessage, VerdictMessage, RefusedMessage, BusyMessage, LinesAckMessage)),
    (
        decode_to_collector,
        (ReportMessage, GapMessage, RecallMessage, PreviewMessage, FetchManifestsMessage),
    ),
    (decode_from_collector, (ReceiptMessage, RefusedMessage, ManifestsMessage)),
    (decode_from_subscriber, (FetchMessage, FetchPreviewMessage)),
    (decode_to_subscriber, (ArchivedMessage, PreviewMessage, RefusedMessage)),
)
PAIRS = [(decode, m) for decode, kinds in DECODERS for m in MESSAGES if isinstance(m, kinds)]


def test_every_message_has_a_golden_vector() -> None:
    """No message type is without its golden bytes and its place in a direction."""
    kinds = {type(message) for message in MESSAGES}
    assert kinds == set(Message.__subclasses__())
    assert len(MESSAGES) == len(GOLDEN)
    assert kinds == {type(message) for _, message in PAIRS}


@pytest.mark.parametrize(("message", "golden"), list(zip(MESSAGES, GOLDEN, strict=True)))
def test_bytes_are_as_they_always_were(message: Message, golden: str) -> None:
    """Each message is encoded to exactly the bytes of version 1."""
    assert encode(message).hex() == golden


@pytest.mark.parametrize(("decode", "message"), PAIRS)
def test_round_trip(decode: Decode, message: Message) -> None:
    """What is encoded is decoded to the same message, its payload beside it."""
    assert decode([encode(message), b"payload"]) == (message, b"payload")
    assert decode([encode(message)]) == (message, b"")


@pytest.mark.parametrize(("decode", "message"), PAIRS)
def test_unknown_fields_are_ignored(decode: Decode, message: Message) -> None:
    """A field this version does not know changes nothing, so that one can be added."""
    tree = msgspec.msgpack.decode(encode(message))
    assert (
        decode([msgspec.msgpack.encode({"zz": [1, {"a": None}], **tree, "added_later": "x"})])[0] == message
    )


@pytest.mark.parametrize(("decode", "message"), PAIRS)
def test_truncation_is_noticed_at_every_byte(decode: Decode, message: Message) -> None:
    """A header cut anywhere is MALFORMED, never a shorter message."""
    whole = encode(message)
    for length in range(len(whole)):
        with pytest.raises(WireError) as caught:
            decode([whole[:length]])
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(("decode", "kinds"), DECODERS)
def test_messages_of_another_direction_are_refused(decode: Decode, kinds: tuple[type[Message], ...]) -> None:
    """A message that does not belong on this socket is MALFORMED."""
    for message in MESSAGES:
        if not isinstance(message, kinds):
            with pytest.raises(WireError) as caught:
                decode([encode(message)])
            assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("decode", [decode for decode, _ in DECODERS])
def test_another_version_is_named(decode: Decode) -> None:
    """Any other version is refused as VERSION, whatever else the message holds."""
    for version in (0, 2, 2**40):
        for kind in ("frame", "of the future"):
            with pytest.raises(WireError, match=f"message version {version}, spoken here: 1") as caught:
                decode([msgspec.msgpack.encode({"version": version, "type": kind})])
            assert caught.value.reason is Reason.VERSION


@pytest.mark.parametrize("decode", [decode for decode, _ in DECODERS])
def test_an_oversized_header_is_refused_unread(decode: Decode) -> None:
    """A header over the limit is TOO_LARGE; one of just the limit is read (and is no message)."""
    for size, reason in ((MAX_HEADER_BYTES + 1, Reason.TOO_LARGE), (MAX_HEADER_BYTES, Reason.MALFORMED)):
        with pytest.raises(WireError) as caught:
            decode([b"\x00" * size])
        assert caught.value.reason is reason


@pytest.mark.parametrize("decode", [decode for decode, _ in DECODERS])
def test_the_number_of_parts_is_bounded(decode: Decode) -> None:
    """No parts, and more than two, are MALFORMED."""
    for parts in ([], [encode(MESSAGES[0]), b"", b""]):
        with pytest.raises(WireError, match=f"found {len(parts)}") as caught:
            decode(parts)
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("scale_kg", [-1.0, 1e9, float("nan"), float("inf"), "12 kg"])
def test_a_scale_weight_that_is_none_is_refused(scale_kg: object) -> None:
    """The scan keeps its name, so that it gets its verdict; a weight of 0 passes for none."""
    tree = {"version": 1, "type": "frame", "scanner": "s", "epoch": 1, "seq": 2, "scale_kg": scale_kg}
    with pytest.raises(WireError) as raised:
        decode_frame([msgspec.msgpack.encode(tree)])
    assert raised.value.reason is Reason.MALFORMED
    assert "scale_kg" in raised.value.detail
    assert identify([msgspec.msgpack.encode(tree)]) is not None
    for weight in (0, 12, 12.5):
        head = msgspec.msgpack.encode({**tree, "scale_kg": weight})
        assert decode_frame([head]).message.scale_kg == weight


def test_only_this_version_is_written() -> None:
    """A message made for another version is not sent by mistake."""
    with pytest.raises(ValueError, match="version 1, not 2"):
        encode(FetchPreviewMessage(sha256="ab" * 32, version=2))


def test_a_verdict_without_its_reason_is_refused() -> None:
    """UNKNOWN without a reason, or a reason without UNKNOWN, is no message."""
    tree = msgspec.msgpack.decode(encode(ReportMessage(report=REPORT)))
    tree["report"]["verdict"]["decision"] = "UNKNOWN"
    with pytest.raises(WireError) as caught:
        decode_to_collector([msgspec.msgpack.encode(tree)])
    assert caught.value.reason is Reason.MALFORMED


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _decodes_or_refuses(parts: list[bytes]) -> None:
    for decode, kinds in DECODERS:
        try:
            message, _ = decode(parts)
        except WireError:
            continue
        assert isinstance(message, kinds)
    identify(parts)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_arbitrary_bytes_raise_nothing_but_wire_error(parts: list[bytes]) -> None:
    """Bytes of any kind are decoded or refused with WireError."""
    _decodes_or_refuses(parts)


@given(st.sampled_from(MESSAGES), st.data())
def test_altered_messages_raise_nothing_but_wire_error(message: Message, data: st.DataObject) -> None:
    """A message with fields replaced by junk, or bytes flipped, is decoded or refused with WireError."""
    tree = msgspec.msgpack.decode(encode(message))
    field = data.draw(st.sampled_from(sorted(tree)))
    tree[field] = data.draw(JUNK)
    _decodes_or_refuses([msgspec.msgpack.encode(tree)])
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    _decodes_or_refuses([bytes(raw)])


def test_text_that_is_not_utf8_is_refused() -> None:
    """A key, a type or a name that is not UTF-8 is MALFORMED; msgspec raises another error for these."""
    whole = encode(FULL)
    for word in (b"type", b"frame", b"version", b"scanner", b"lane1"):
        head = whole.replace(word, b"\xe6" * len(word))
        with pytest.raises(WireError) as caught:
            decode_from_scanner([head])
        assert caught.value.reason is Reason.MALFORMED
        identify([head])


@pytest.mark.parametrize("opener", [b"\x91", b"\x81\xa1a"], ids=["arrays", "maps"])
def test_deep_nesting_is_refused(opener: bytes) -> None:
    """A header nested a hundred thousand deep is refused, not a stack overflow."""
    head = b"\x83\xa7version\x01\xa4type\xa5frame\xa1x" + opener * (MAX_HEADER_BYTES // len(opener) - 99)
    _decodes_or_refuses([head])
    with pytest.raises(WireError):
        decode_from_scanner([head])


# ---- frames -----------------------------------------------------------------------------------


def test_a_scan_is_named_even_if_the_rest_is_wrong() -> None:
    """When identity is readable and nothing else is right, the scan is still known."""
    head = msgspec.msgpack.encode({"version": 1, "type": "frame", **NAMES, "view": 3, "dtype": "int77"})
    with pytest.raises(WireError):
        decode_from_scanner([head])
    assert identify([head]) == FrameIdentity(**NAMES, view=3)


@pytest.mark.parametrize(
    "change", [{"scanner": "../x"}, {"seq": 0}, {"epoch": -1}, {"seq": "1"}, {"seq": 2**53}]
)
def test_an_identity_out_of_bounds_is_none(change: dict[str, Any]) -> None:
    """A name or number outside its range is no identity, and no frame."""
    head = msgspec.msgpack.encode({"version": 1, "type": "frame", **NAMES, **change})
    assert identify([head]) is None
    with pytest.raises(WireError):
        decode_from_scanner([head])


def test_a_view_that_cannot_be_leaves_the_scan_known() -> None:
    """Which carton it is can be told though its view cannot: the scan is named, as if it were view 0."""
    for view in (8, -1, "top", None, True):
        found = identify([msgspec.msgpack.encode({"version": 1, "type": "frame", **NAMES, "view": view})])
        assert found is not None
        assert found.view_index == 0


def test_identify_takes_nothing_and_too_much() -> None:
    """No parts, or an oversized header, have no identity."""
    assert identify([]) is None
    assert identify([b"\x00" * (MAX_HEADER_BYTES + 1)]) is None


FULL = FrameMessage(**NAMES, height=2, width=3)
PNG = FrameMessage(**NAMES, encoding="png")


@pytest.mark.parametrize(
    ("message", "size", "limit", "reason"),
    [
        (FULL, 24, 24, None),
        (FULL, 23, 24, Reason.CORRUPT_FRAME),
        (FULL, 25, 25, Reason.CORRUPT_FRAME),
        (FULL, 0, 24, Reason.CORRUPT_FRAME),
        (FULL, 24, 23, Reason.TOO_LARGE),
        (FrameMessage(**NAMES, height=2), 24, 99, Reason.BAD_HEADER),
        (FrameMessage(**NAMES), 24, 99, Reason.BAD_HEADER),
        (PNG, 5, 99, None),
        (PNG, 100, 99, Reason.TOO_LARGE),
        (PNG, 0, 99, Reason.CORRUPT_FRAME),
        (FrameMessage(**NAMES, encoding="png", height=65_535, width=65_535), 5, 99, Reason.TOO_LARGE),
    ],
)
def test_payload_sizes(message: FrameMessage, size: int, limit: int, reason: Reason | None) -> None:
    """A payload must have the size its header gives, and neither may be over the limit."""
    if reason is None:
        check_payload(message, 2, "uint16", bytes(size), limit)
        return
    with pytest.raises(FrameError) as caught:
        check_payload(message, 2, "uint16", bytes(size), limit)
    assert caught.value.reason is reason


@given(st.binary(min_size=1, max_size=64), st.data())
def test_crc_notices_every_changed_byte(payload: bytes, data: st.DataObject) -> None:
    """The CRC-32 of the header fits its payload and no payload with one byte changed."""
    message = FrameMessage(**NAMES, crc32=zlib.crc32(payload))
    check_crc(message, payload)
    changed = bytearray(payload)
    changed[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError) as caught:
        check_crc(message, changed)
    assert caught.value.reason is Reason.CORRUPT_FRAME
    check_crc(FULL, changed)


LINES = {"scanner": "lane1", "epoch": 7, "chunk": 3, "first_line": 0, "lines": 9, "encoder": 5, "width": 4}


@pytest.mark.parametrize(
    ("changes", "size", "reason"),
    [
        ({}, 143, Reason.CORRUPT_FRAME),
        ({}, 0, Reason.CORRUPT_FRAME),
        ({"encoder": (1, 2)}, 144, Reason.BAD_HEADER),
        ({"barrier": b"1"}, 144, Reason.BAD_HEADER),
        ({"barrier": b"123"}, 144, Reason.BAD_HEADER),
        ({"acked": 3}, 144, Reason.BAD_HEADER),
        ({"acked": 1, "oldest": 1}, 144, Reason.BAD_HEADER),
        ({"oldest": 4}, 144, Reason.BAD_HEADER),
    ],
)
def test_lines_must_hold_together(changes: dict[str, Any], size: int, reason: Reason) -> None:
    """Pixels, encoder counts and barrier bits are as many as the lines, and the chunks are in order."""
    check_lines(LinesMessage(**LINES), 2, "uint16", bytes(144))
    with pytest.raises(FrameError) as caught:
        check_lines(LinesMessage(**{**LINES, **changes}), 2, "uint16", bytes(size))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "change",
    [
        {"lines": 0}, {"lines": 4097}, {"chunk": 0}, {"encoder": -1}, {"encoder": 2**60}, {"width": 0},
        {"width": 2**16}, {"view": 8}, {"encoder": [0] * 5000}, {"step": -1}, {"barrier": b"1" * 513},
        {"encoder": True}, {"encoder": 1.5}, {"acked": -1}, {"first_line": None}, {"scanner": "../x"},
    ],
)  # fmt: skip
def test_a_header_of_lines_beyond_its_limits_is_malformed(change: dict[str, Any]) -> None:
    """Every number is bounded before anything is made of it."""
    tree = {"version": 1, "type": "lines", **LINES}
    assert decode_from_scanner([msgspec.msgpack.encode(tree)]).message == LinesMessage(**LINES)
    with pytest.raises(WireError) as caught:
        decode_from_scanner([msgspec.msgpack.encode({**tree, **change})])
    assert caught.value.reason is Reason.MALFORMED

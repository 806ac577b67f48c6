"""The daemon as its users meet it: a real process, real sockets, a real model."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import sqlite3
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import zmq
from harness import Process, Site, alive, counts, dual, until

from nii_edge import wire
from nii_edge.client import Answer, Picture, ScannerClient
from nii_edge.records import Decision, Reason, ScanType, is_report_id
from nii_edge.subscriber import Subscriber
from nii_edge.wire import FrameMessage, RefusedMessage, VerdictMessage


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One daemon for all tests that leave it as they found it."""
    site = Site(tmp_path_factory.mktemp("shared"))
    yield site.edge()
    site.close()


@contextlib.contextmanager
def client(edge: Process, scanner: str = "lane-1", **options: object) -> Iterator[ScannerClient]:
    options = {"deadline_s": 10.0, **options}
    with ScannerClient(edge.endpoints["scanners"], scanner, **options) as made:  # type: ignore[arg-type]
        yield made


class Raw:
    """A peer that sends bytes as it likes, without the client's help, in an epoch of its own."""

    epochs = itertools.count(1000)

    def __init__(self, edge: Process) -> None:
        self.epoch = next(self.epochs)
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.connect(edge.endpoints["scanners"])

    def send(self, header: FrameMessage | bytes, payload: bytes | None = None) -> None:
        if isinstance(header, FrameMessage):
            header = wire.encode(msgspec.structs.replace(header, epoch=self.epoch))
        head = header
        self.socket.send_multipart([head] if payload is None else [head, payload])

    def hear(self, kind: type, seconds: float = 10) -> object:
        """The next message of a kind, others passed over."""
        end = time.monotonic() + seconds
        while self.socket.poll(max(0, int(1000 * (end - time.monotonic())))):
            message = wire.decode_to_scanner(self.socket.recv_multipart()).message
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__} within {seconds} s")

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def raw(edge: Process) -> Iterator[Raw]:
    made = Raw(edge)
    yield made
    made.close()


def header(**changes: object) -> FrameMessage:
    """A correct header for a pale 8x10 colour picture on the lane `replay`."""
    fields: dict[str, object] = {
        "scanner": "replay", "epoch": 7, "seq": 1, "height": 8, "width": 10,
        "channels": ("red", "green", "blue"), "dtype": "uint8",
    }  # fmt: skip
    return FrameMessage(**{**fields, **changes})  # type: ignore[arg-type]


_PALE = np.full((8, 10, 3), 255, np.uint8)
_PALE[2:6, 1:9] = 200
WHITE = _PALE.tobytes()
"""White, with something pale in it."""


def still_works(edge: Process) -> None:
    with client(edge, "replay") as scanner:
        answer = scanner.wait(scanner.send([Picture(WHITE, 8, 10, ("red", "green", "blue"), "uint8")]))
    assert answer.decision is Decision.CLEAR


def test_two_views_without_anything_are_clear_and_a_block_alarms_with_its_box(edge: Process) -> None:
    """The verdict follows what the views show, and a finding says where."""
    with client(edge) as scanner:
        clear = scanner.wait(scanner.send(dual(1)))
        alarm = scanner.wait(scanner.send(dual(2, block=True)))
    assert clear.decision is Decision.CLEAR
    assert alarm.decision is Decision.ALARM
    assert alarm.report is not None
    assert is_report_id(alarm.report.report_id)
    (finding,) = alarm.report.verdict.findings
    assert (finding.kind, finding.label) == ("shielding", "impenetrable_area")
    assert finding.box is not None
    assert finding.box.view == 1
    found = np.array([finding.box.x0, finding.box.y0, finding.box.x1, finding.box.y1])
    assert np.abs(found - [24, 16, 72, 48]).max() <= 6


def test_a_client_written_from_the_protocol_page_gets_its_verdict(edge: Process) -> None:
    """docs/PROTOCOL.md's own example works as printed, with nothing of this package."""
    page = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    code = code.replace("tcp://127.0.0.1:5555", edge.endpoints["scanners"])
    code = code.replace("import time, msgpack, zmq", "import time, zmq")
    msgpack = type("msgpack", (), {"packb": msgspec.msgpack.encode, "unpackb": msgspec.msgpack.decode})
    scope: dict[str, object] = {"msgpack": msgpack}
    exec(code, scope)  # noqa: S102 - our own page
    scope["scanner"].context.destroy(linger=0)  # type: ignore[attr-defined]
    answer = scope["answer"]
    assert isinstance(answer, dict)
    assert answer["type"] == "verdict"
    assert answer["decision"] == "CLEAR"


CORRUPT = [
    (header(height=9), WHITE, Reason.CORRUPT_FRAME),
    (header(height=None), WHITE, Reason.BAD_HEADER),
    (header(), b"", Reason.CORRUPT_FRAME),
    (header(), WHITE[:-1], Reason.CORRUPT_FRAME),
    (header(crc32=1), WHITE, Reason.CORRUPT_FRAME),
    (header(view=3), WHITE, Reason.BAD_HEADER),
    (header(views=2), WHITE, Reason.PROFILE_MISMATCH),
    (header(channels=("low", "high")), WHITE, Reason.PROFILE_MISMATCH),
    (header(dtype="float32"), WHITE * 4, Reason.PROFILE_MISMATCH),
    (header(height=60_000, width=60_000), WHITE, Reason.TOO_LARGE),
    (header(encoding="png", height=None, width=None), b"not a picture", Reason.CORRUPT_FRAME),
    (header(encoding="jpeg", height=None, width=None), b"\xff\xd8\xff\xe0 torn", Reason.CORRUPT_FRAME),
]


@pytest.mark.parametrize(("head", "payload", "reason"), CORRUPT)
def test_a_bad_frame_is_unknown_with_its_reason(
    edge: Process, raw: Raw, head: FrameMessage, payload: bytes, reason: Reason
) -> None:
    """What is wrong with a frame is named in an UNKNOWN verdict, and the daemon goes on."""
    raw.send(head, payload)
    message = raw.hear(VerdictMessage)
    assert isinstance(message, VerdictMessage)
    assert message.decision is Decision.UNKNOWN
    assert message.report.verdict.reason is reason
    assert message.report.verdict.detail
    still_works(edge)


def test_a_header_with_a_wrong_field_but_a_readable_name_is_unknown(edge: Process, raw: Raw) -> None:
    """A malformed header whose scan can be told does not vanish: UNKNOWN(BAD_HEADER)."""
    tree = {"version": 1, "type": "frame", "scanner": "replay", "epoch": raw.epoch, "seq": 1, "height": "8"}
    raw.send(msgspec.msgpack.encode(tree), WHITE)
    message = raw.hear(VerdictMessage)
    assert isinstance(message, VerdictMessage)
    assert message.report.verdict.reason is Reason.BAD_HEADER
    assert "height" in message.report.verdict.detail


REFUSED = [
    (b"\x00\xff garbage", Reason.MALFORMED),
    (b"", Reason.MALFORMED),
    (msgspec.msgpack.encode({"version": 1, "type": "frame", "scanner": "replay"}), Reason.MALFORMED),
    (msgspec.msgpack.encode({"version": 2, "type": "frame"}), Reason.VERSION),
    (wire.encode(header(scanner="lane-9")), Reason.UNKNOWN_SCANNER),
    (b"\x81" * 300_000, Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("head", "reason"), REFUSED)
def test_a_message_that_names_no_scan_of_ours_is_refused(
    edge: Process, raw: Raw, head: bytes, reason: Reason
) -> None:
    """The refusal names its reason, nothing enters the ledger, and the daemon goes on."""
    raw.send(head, WHITE)
    message = raw.hear(RefusedMessage)
    assert isinstance(message, RefusedMessage)
    assert message.reason is reason
    assert (message.supported == (wire.VERSION,)) == (reason is Reason.VERSION)
    still_works(edge)


def test_the_same_refusal_is_logged_once(edge: Process, raw: Raw) -> None:
    """A peer that keeps sending nonsense fills no disk: one log line for peer and reason."""
    for _ in range(20):
        raw.send(b"nonsense", b"")
        raw.hear(RefusedMessage)
    other = wire.encode(header(scanner="lane-of-its-own"))  # lines come in order, and some time later
    raw.send(other, b"")
    raw.hear(RefusedMessage)

    def last() -> list[str]:
        told = edge.events("message refused")
        peers = [line["peer"] for line in told if "lane-of-its-own" in line["detail"]]
        return [line["reason"] for line in told if peers and line["peer"] == peers[-1]]

    until(last)
    assert last() == [Reason.MALFORMED, Reason.UNKNOWN_SCANNER]


def test_nan_and_infinity_never_become_clear(site: Site, edge: Process) -> None:
    """Float frames that are not finite end as UNKNOWN(NOT_FINITE)."""
    pixels = np.random.default_rng(1).normal(0.9, 0.01, (2, 8, 10, 2)).astype(np.float32)
    pixels[:, 2:6, 1:9] *= 0.7
    pixels[1, 4, 5, 0] = np.nan
    views = [Picture(v.tobytes(), 8, 10, ("low", "high"), "float32") for v in pixels]
    with client(edge) as scanner:
        answer = scanner.wait(scanner.send(views))
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NOT_FINITE)


@pytest.mark.parametrize("overload", ["refer", "block"])
def test_a_lane_without_room_refers_or_blocks(tmp_path: Path, overload: str) -> None:
    """More scans at once than there are slots: `refer` gives up on some at once, `block` looks at all of
    them; both answer every scan, in order of sending, and count what found no room."""
    site = Site(tmp_path)
    lane = {"lane-1": {"profile": str(site.profiles["lane-1"]), "overload": overload}}
    try:
        edge = site.edge(scanners=lane, inference={"slots": 4}, deadline_ms=20_000)
        with client(edge, deadline_s=30.0) as scanner:
            sent = [scanner.send(dual(number)) for number in range(40)]
            answers: list[Answer] = []
            held = False
            while len(answers) < len(sent):
                answers += scanner.poll(0.01)
                held = held or scanner.busy
        reasons = {answer.reason for answer in answers}
        assert sorted(answer.seq for answer in answers) == sent
        assert held is (overload == "block")
        assert reasons == ({None} if overload == "block" else {None, Reason.OVERLOAD})
        assert edge.events("numbers missing") == []
    finally:
        site.close()


def test_an_equal_resend_gets_the_first_answer_and_other_content_is_refused(edge: Process, raw: Raw) -> None:
    """One number, one verdict: the recorded report comes again; other pixels do not change it."""
    raw.send(header(), WHITE)
    first = raw.hear(VerdictMessage)
    raw.send(header(), WHITE)
    assert raw.hear(VerdictMessage) == first
    raw.send(header(), bytes(240))
    refused = raw.hear(RefusedMessage)
    assert isinstance(refused, RefusedMessage)
    assert refused.reason is Reason.SEQ_REUSED
    raw.send(header(), WHITE)
    assert raw.hear(VerdictMessage) == first


def test_skipped_numbers_are_missing_and_a_late_one_still_gets_its_verdict(site: Site) -> None:
    """A hole is reported as a gap; a number from inside it that comes after all is judged."""
    collector = site.collector()
    edge = site.edge(collector)
    peer = Raw(edge)
    for seq in (1, 5, 3):
        peer.send(header(seq=seq), WHITE)
        message = peer.hear(VerdictMessage)
        assert isinstance(message, VerdictMessage)
        assert (message.seq, message.decision) == (seq, Decision.CLEAR)
    peer.close()
    with Subscriber(collector.endpoints["subscribers"], timeout_s=10) as subscriber:
        item = next(subscriber.follow())
    assert item.gap is not None
    assert (item.gap.first, item.gap.last) == (2, 4)


def test_a_missing_view_is_unknown_after_the_view_time(site: Site) -> None:
    """Half a scan is never judged, and never forgotten."""
    edge = site.edge(view_timeout_ms=200)
    with client(edge) as scanner:
        peer = Raw(edge)
        view = dual(1)[0]
        head = header(scanner="lane-1", height=64, width=96, channels=("low", "high"), dtype="uint16")
        peer.send(head, bytes(view.payload))
        message = peer.hear(VerdictMessage)
        assert isinstance(message, VerdictMessage)
        assert message.report.verdict.reason is Reason.MISSING_VIEW
        peer.close()
        assert scanner.wait(scanner.send(dual(3))).decision is Decision.CLEAR


def test_views_in_any_order_and_interleaved_scans_are_put_together(edge: Process, raw: Raw) -> None:
    """Frames belong to their scan by number, not by the order in which they come."""
    sent = [(seq, view) for view in (1, 0) for seq in (1, 2, 3)]
    for seq, view in sent:
        pixels = counts(10 * seq + view, block=(seq == 2 and view == 0))
        head = header(
            scanner="lane-1",
            seq=seq,
            view=view,
            height=64,
            width=96,
            channels=("low", "high"),
            dtype="uint16",
        )
        raw.send(head, pixels.tobytes())
    verdicts = {m.seq: m.decision for m in (raw.hear(VerdictMessage) for _ in range(3))}  # type: ignore[attr-defined]
    assert verdicts == {1: Decision.CLEAR, 2: Decision.ALARM, 3: Decision.CLEAR}


@pytest.mark.parametrize("kind", [".png", ".jpg", ".tiff"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_encoded_pictures_are_decoded(edge: Process, kind: str, depth: type) -> None:
    """PNG, JPEG and TIFF, 8 and 16 bit, grey: something pale is clear, a black square alarms."""
    if kind == ".jpg" and depth is np.uint16:
        pytest.skip("JPEG has 8 bits")
    white = np.full((96, 128), np.iinfo(depth).max, depth)
    white[8:88, 8:120] = 0.8 * np.iinfo(depth).max
    black = white.copy()
    black[20:70, 30:90] = 0
    answers = []
    with client(edge, "replay") as scanner:
        for image in (white, black):
            data = cv2.imencode(kind, image)[1].tobytes()
            encoding = {".png": "png", ".jpg": "jpeg", ".tiff": "tiff"}[kind]
            answers.append(scanner.wait(scanner.send([Picture(data, encoding=encoding)])))  # type: ignore[arg-type]
    assert [a.decision for a in answers] == [Decision.CLEAR, Decision.ALARM]


def test_colour_keeps_its_order_through_decoding(edge: Process) -> None:
    """Pure blue metal (0, 0, 255 as red, green, blue) is not black: it does not alarm as impenetrable."""
    image = np.full((96, 128, 3), 255, np.uint8)
    image[20:70, 30:90] = (255, 0, 0)  # OpenCV writes blue first
    with client(edge, "replay") as scanner:
        data = cv2.imencode(".png", image)[1].tobytes()
        answer = scanner.wait(scanner.send([Picture(data, encoding="png")]))
    assert answer.decision is Decision.CLEAR


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_damaged_picture_is_never_filled_in(edge: Process, share: float) -> None:
    """A picture cut or overwritten in the middle is UNKNOWN(CORRUPT_FRAME), in every format."""
    noise = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    with client(edge, "replay") as scanner:
        for kind, encoding in ((".png", "png"), (".jpg", "jpeg"), (".tiff", "tiff")):
            data = cv2.imencode(kind, noise)[1].tobytes()
            cut = data[: int(len(data) * share)]
            answer = scanner.wait(scanner.send([Picture(cut, encoding=encoding)]))  # type: ignore[arg-type]
            assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.CORRUPT_FRAME), kind


def test_a_picture_bomb_is_refused_and_the_daemon_lives(site: Site) -> None:
    """A small file that decodes to more than the frame limit is UNKNOWN, not an allocation."""
    edge = site.edge(max_frame_bytes=1_000_000)
    bomb = cv2.imencode(".png", np.zeros((4000, 4000), np.uint8))[1].tobytes()
    assert len(bomb) < 100_000
    with client(edge, "replay") as scanner:
        answer = scanner.wait(scanner.send([Picture(bomb, encoding="png")]))
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.TOO_LARGE)
    assert answer.detail.startswith("4000x4000 is 16000000 bytes"), "refused by its head, not decoded"
    still_works(edge)


def test_a_killed_daemon_leaves_no_scan_without_a_verdict(site: Site) -> None:
    """After kill -9 every acknowledged scan is UNKNOWN(CRASH) or has the verdict it was given."""
    collector = site.collector()
    edge = site.edge(collector, deadline_ms=60_000, view_timeout_ms=60_000)
    peer = Raw(edge)
    shape = {"scanner": "lane-1", "height": 64, "width": 96, "channels": ("low", "high"), "dtype": "uint16"}
    for seq in (1, 2):
        peer.send(header(seq=seq, **shape), counts(seq).tobytes())
        peer.hear(wire.AckMessage)
    inference = edge.child()
    edge.kill()
    until(lambda: not alive(inference), what="the child's death with its parent")
    epoch = peer.epoch
    peer.close()
    again = site.edge(collector)
    with Subscriber(collector.endpoints["subscribers"], timeout_s=10) as subscriber:
        follow = subscriber.follow()
        reports = [next(follow).report for _ in range(2)]
    assert {r.verdict.id.seq for r in reports if r is not None} == {1, 2}
    assert {r.verdict.reason for r in reports if r is not None} == {Reason.CRASH}
    peer = Raw(again)
    peer.epoch = epoch
    peer.send(header(seq=1, **shape), counts(1).tobytes())
    message = peer.hear(VerdictMessage)
    assert isinstance(message, VerdictMessage)
    assert message.report.verdict.reason is Reason.CRASH
    peer.close()


def test_sigterm_drains_and_exits_0(site: Site) -> None:
    """Scans in flight get their verdicts before the daemon goes; half scans become UNKNOWN(SHUTDOWN)."""
    edge = site.edge(view_timeout_ms=60_000)
    peer = Raw(edge)
    head = header(scanner="lane-1", height=64, width=96, channels=("low", "high"), dtype="uint16")
    peer.send(head, counts(1).tobytes())
    peer.hear(wire.AckMessage)
    assert edge.stop() == 0
    message = peer.hear(VerdictMessage)
    assert isinstance(message, VerdictMessage)
    assert message.report.verdict.reason is Reason.SHUTDOWN
    peer.close()
    with contextlib.closing(sqlite3.connect(site.edge_state / "ledger.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM scans WHERE entry IS NULL").fetchone() == (0,)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_an_inference_process_that_dies_or_hangs_costs_only_its_scans(
    site: Site, how: signal.Signals
) -> None:
    """Scans in flight are UNKNOWN by the deadline; a new process screens again; the daemon stays."""
    edge = site.edge(deadline_ms=500)
    victim = edge.child()
    os.kill(victim, how)
    with client(edge) as scanner:
        answers: list[Answer] = []
        while not answers or answers[-1].decision is not Decision.CLEAR:
            answers.append(scanner.wait(scanner.send(dual(len(answers)))))
            assert len(answers) < 60
    assert edge.child() != victim
    assert {a.reason for a in answers[:-1]} <= {Reason.TIMEOUT, Reason.MODEL_FAULT}
    assert all(a.latency_s < 2 for a in answers)
    if how is signal.SIGSTOP:
        assert answers[0].reason is Reason.MODEL_FAULT


def test_tests_never_pass_for_the_real_thing(site: Site) -> None:
    """NON_OPERATIONAL verdicts carry their own topic and reach only subscribers that ask for them."""
    collector = site.collector()
    edge = site.edge(collector)
    context = zmq.Context()
    heard = {}
    for topic in ("operational/", "non_operational/"):
        heard[topic] = context.socket(zmq.SUB)
        heard[topic].connect(edge.endpoints["verdicts"])
        heard[topic].subscribe(topic)
    time.sleep(0.3)
    with client(edge, scan_type=ScanType.NON_OPERATIONAL, epoch=1) as scanner:
        assert scanner.wait(scanner.send(dual(1, block=True))).decision is Decision.ALARM
    topic, body = heard["non_operational/"].recv_multipart()
    assert topic == b"non_operational/lane-1"
    assert wire.decode_to_scanner([body]).message.scan_type is ScanType.NON_OPERATIONAL  # type: ignore[union-attr]
    assert heard["operational/"].poll(300) == 0
    context.destroy(linger=0)
    endpoint = collector.endpoints["subscribers"]
    with Subscriber(endpoint, scan_types=(), timeout_s=10) as everything:
        assert next(everything.follow()).report is not None
    with Subscriber(endpoint, timeout_s=10) as operational:
        assert operational.fetch_once() == ()


def test_an_alarm_reaches_a_subscriber_with_its_picture(site: Site) -> None:
    """The alert at the centre is the scanner's report, and its preview is a JPEG of the right hash."""
    collector = site.collector()
    edge = site.edge(collector)
    with client(edge) as scanner:
        answer = scanner.wait(scanner.send(dual(4, block=True), carton="BOX 4"))
    with Subscriber(collector.endpoints["subscribers"], timeout_s=10) as subscriber:
        item = next(subscriber.follow())
        assert item.report == answer.report
        assert item.report is not None
        assert item.report.preview is not None
        reference = item.report.preview
        picture = until(lambda: _preview(subscriber, reference), what="the picture's arrival")
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    red = (image[:, :, 2].astype(int) - image[:, :, 1]) > 60
    assert red.sum() > 20, "the finding is drawn in red"


def _preview(subscriber: Subscriber, sha256: str) -> bytes | None:
    from nii_edge.errors import WireError

    try:
        return subscriber.preview(sha256).data
    except WireError:
        return None


def test_alerts_wait_for_a_collector_that_is_away(site: Site) -> None:
    """A dead network does not slow screening, and nothing is lost: the alerts arrive when it is back."""
    collector = site.collector()
    edges, subscribers = collector.endpoints["edges"], collector.endpoints["subscribers"]
    edge = site.edge(collector)
    collector.kill()
    with client(edge) as scanner:
        answers = [scanner.wait(scanner.send(dual(i, block=True))) for i in range(5)]
    assert {a.decision for a in answers} == {Decision.ALARM}
    site.collector(edges, subscribers)
    with Subscriber(subscribers, timeout_s=20) as subscriber:
        follow = subscriber.follow()
        archived = [next(follow).report for _ in range(5)]
    assert archived == [a.report for a in answers]


def test_no_verdict_without_a_row_and_the_daemon_stops_when_its_disk_fails(site: Site) -> None:
    """When the ledger cannot be written nothing is called clear, the status is 1, and a restart accounts."""
    edge = site.edge()
    with client(edge, deadline_s=3.0, epoch=5) as scanner:
        assert scanner.wait(scanner.send(dual(1))).decision is Decision.CLEAR
        log = (site.edge_state / "ledger.db-wal").stat().st_size
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (log, log))
        answer = scanner.wait(scanner.send(dual(2)))
        assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.NO_ANSWER)
    assert until(edge.ended, what="the daemon's end") == 1
    assert edge.events("stopping")
    with contextlib.closing(sqlite3.connect(site.edge_state / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT seq, entry IS NULL FROM scans").fetchall()
    assert rows == [(1, 0)], "the scan that was never acknowledged is not in the ledger"
    again = site.edge()
    with client(again, epoch=6) as scanner:
        assert scanner.wait(scanner.send(dual(2))).decision is Decision.CLEAR


def test_a_tiff_whose_zero_is_white_is_never_read_as_its_negative(edge: Process) -> None:
    """All-opaque in a MINISWHITE TIFF must not come out as air: it is refused by name."""
    data = bytearray(cv2.imencode(".tiff", np.full((48, 64), 65535, np.uint16))[1].tobytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    places = [directory + 2 + 12 * i for i in range(entries)]
    (photometric,) = [at for at in places if struct.unpack_from("<H", data, at) == (262,)]
    data[photometric + 8] = 0  # zero is white: the bright picture is now a black one
    with client(edge, "replay") as scanner:
        answer = scanner.wait(scanner.send([Picture(bytes(data), encoding="tiff")]))
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.CORRUPT_FRAME)


def test_a_hole_in_a_replay_is_no_missing_carton(site: Site) -> None:
    """A gap that a NON_OPERATIONAL scan reveals reaches only subscribers that ask for tests."""
    collector = site.collector()
    edge = site.edge(collector)
    peer = Raw(edge)
    peer.send(header(seq=5, scan_type=ScanType.NON_OPERATIONAL), WHITE)
    peer.hear(VerdictMessage)
    peer.close()
    endpoint = collector.endpoints["subscribers"]
    with Subscriber(endpoint, scan_types=(), timeout_s=10) as everything:
        assert next(everything.follow()).gap is not None
    with Subscriber(endpoint, timeout_s=10) as operational:
        assert operational.fetch_once() == ()


def test_a_used_number_with_another_carton_is_refused(edge: Process, raw: Raw) -> None:
    """Equal pixels under a used number do not pass for another carton, nor a test for the real thing."""
    raw.send(header(carton="A", scan_type=ScanType.NON_OPERATIONAL), WHITE)
    raw.hear(VerdictMessage)
    for change in ({"carton": "B", "scan_type": ScanType.NON_OPERATIONAL}, {"carton": "A"}):
        raw.send(header(**change), WHITE)
        refused = raw.hear(RefusedMessage)
        assert isinstance(refused, RefusedMessage)
        assert refused.reason is Reason.SEQ_REUSED


def test_a_stranger_at_the_verdict_port_does_not_stop_screening(edge: Process) -> None:
    """A flood of subscriptions, and unsubscriptions nobody asked for, change nothing for a scanner."""
    context = zmq.Context()
    flood = context.socket(zmq.XSUB)
    flood.connect(edge.endpoints["verdicts"])
    tap = context.socket(zmq.XSUB)
    tap.connect(edge.endpoints["tap"])
    for i in range(20_000):
        flood.send(b"\x01" + str(i).encode())
    for _ in range(10):
        tap.send(b"\x00never subscribed")
    listener = context.socket(zmq.SUB)
    listener.connect(edge.endpoints["tap"])
    listener.subscribe(b"")
    time.sleep(0.5)
    for _ in range(3):
        still_works(edge)
    assert listener.poll(2_000), "the tap still works"
    context.destroy(linger=0)

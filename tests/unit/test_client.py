"""A scanner's line to the daemon, against a daemon's socket played by the test."""

from __future__ import annotations

import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import zmq

from nii_edge import wire
from nii_edge.client import KEEP_ANSWERED, Answer, Picture, ScannerClient
from nii_edge.records import Decision, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.wire import AckMessage, BusyMessage, FrameMessage, Message, RefusedMessage, VerdictMessage

PATIENCE_S = 20.0
LONG_S = 60.0
SOON_S = 0.05
VIEW = Picture(b"\x01\x02\x03\x04\x05\x06", height=2, width=3, channels=("grey",), dtype="uint8")


class Heard(NamedTuple):
    """One view as the daemon's socket got it."""

    peer: bytes
    message: FrameMessage
    payload: bytes


class Daemon:
    """A ROUTER that says what the test tells it to."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self.endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")

    def waits(self) -> bool:
        return bool(self._socket.poll(0))

    def hear(self, client: ScannerClient, answers: list[Answer] | None = None) -> Heard:
        """The next view, while the client is kept polling; its answers go to `answers`."""
        end = time.monotonic() + PATIENCE_S
        while not self._socket.poll(5):
            assert time.monotonic() < end, "the client sent nothing"
            found = client.poll(0.005)
            assert answers is not None or not found, found
            (answers if answers is not None else []).extend(found)
        peer, *parts = self._socket.recv_multipart()
        message, payload = wire.decode_frame(parts)
        return Heard(peer, message, bytes(payload))

    def say(self, peer: bytes, message: Message) -> None:
        self._socket.send_multipart([peer, wire.encode(message)])

    def ack(self, heard: Heard) -> None:
        m = heard.message
        self.say(heard.peer, AckMessage(scanner=m.scanner, epoch=m.epoch, seq=m.seq, view=m.view))

    def verdict(self, heard: Heard, decision: Decision = Decision.CLEAR) -> VerdictMessage:
        """Give the scan of a view its verdict."""
        message = verdict_of(heard.message, decision)
        self.say(heard.peer, message)
        return message

    def stop(self) -> None:
        self._context.destroy(linger=0)


def verdict_of(frame: FrameMessage, decision: Decision) -> VerdictMessage:
    scan = ScanId(edge="e", scanner=frame.scanner, epoch=frame.epoch, seq=frame.seq)
    unknown = decision is Decision.UNKNOWN
    verdict = Verdict(
        id=scan,
        scan_type=frame.scan_type,
        decision=decision,
        reason=Reason.OVERLOAD if unknown else None,
        detail="no slot" if unknown else "",
    )
    report = Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=1, decided_at_ns=2
    )
    return VerdictMessage(
        scanner=frame.scanner, epoch=frame.epoch, seq=frame.seq, decision=decision,
        scan_type=frame.scan_type, report=report,
    )  # fmt: skip


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made = Daemon()
    yield made
    made.stop()


@pytest.fixture
def patient(daemon: Daemon) -> Iterator[ScannerClient]:
    """A client that neither gives up nor sends again during a test."""
    with ScannerClient(daemon.endpoint, "lane", epoch=7, deadline_s=LONG_S, resend_s=LONG_S) as made:
        yield made


def quick(endpoint: str, **options: object) -> ScannerClient:
    """A client that sends again soon."""
    chosen = {"epoch": 7, "deadline_s": LONG_S, "resend_s": SOON_S, **options}
    return ScannerClient(endpoint, "lane", **chosen)  # type: ignore[arg-type]


def poll(client: ScannerClient) -> list[Answer]:
    """The next answers, however long they take."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if answers := client.poll(0.2):
            return answers
    raise AssertionError("no answer")


def test_a_view_says_all_that_the_daemon_needs(daemon: Daemon, patient: ScannerClient) -> None:
    """Numbers from 1, views in order, sizes, checksum, carton and type are in each header."""
    assert patient.send([VIEW, VIEW._replace(payload=b"other!", captured_at_ns=5)], carton="BOX 1") == 1
    first, second = daemon.hear(patient), daemon.hear(patient)
    common = {
        "scanner": "lane", "epoch": 7, "seq": 1, "views": 2, "channels": ("grey",), "dtype": "uint8",
        "height": 2, "width": 3, "carton": "BOX 1", "scan_type": ScanType.OPERATIONAL,
    }  # fmt: skip
    assert first.message == FrameMessage(view=0, crc32=zlib.crc32(VIEW.payload), **common)  # type: ignore[arg-type]
    assert second.message == FrameMessage(view=1, crc32=zlib.crc32(b"other!"), captured_at_ns=5, **common)  # type: ignore[arg-type]
    assert (first.payload, second.payload) == (VIEW.payload, b"other!")
    assert patient.send([VIEW]) == 2


def test_a_scale_weight_goes_with_every_view(daemon: Daemon, patient: ScannerClient) -> None:
    """What no scale says is refused before it is sent."""
    patient.send([VIEW, VIEW], scale_kg=12.5)
    assert [daemon.hear(patient).message.scale_kg for _ in range(2)] == [12.5, 12.5]
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to"):
            patient.send([VIEW], scale_kg=wrong)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pixels_may_be_any_buffer(daemon: Daemon, patient: ScannerClient, kind: type) -> None:
    """What can be looked at as bytes is sent as such."""
    patient.send([VIEW._replace(payload=kind(VIEW.payload))])
    assert daemon.hear(patient).payload == VIEW.payload


@pytest.mark.parametrize("decision", list(Decision))
def test_the_verdict_is_the_answer(daemon: Daemon, patient: ScannerClient, decision: Decision) -> None:
    """Decision, reason, detail and the whole report come back, once."""
    seq = patient.send([VIEW])
    heard = daemon.hear(patient)
    daemon.ack(heard)
    told = daemon.verdict(heard, decision)
    (answer,) = poll(patient)
    verdict = told.report.verdict
    assert answer[:5] == (seq, decision, verdict.reason, verdict.detail, told.report)
    assert answer.latency_s >= 0
    assert patient.in_flight == 0
    daemon.verdict(heard, decision)
    assert patient.poll(SOON_S) == []


def test_views_without_an_acknowledgement_are_sent_again(daemon: Daemon) -> None:
    """Only what was not acknowledged comes again, the same to the last byte, until it is."""
    with quick(daemon.endpoint) as client:
        client.send([VIEW, VIEW._replace(payload=b"second")])
        first, second = daemon.hear(client), daemon.hear(client)
        daemon.ack(first)
        again = daemon.hear(client)
        while again.message.view == 0:  # it was on its way when the acknowledgement came
            again = daemon.hear(client)
        assert again == second
        assert daemon.hear(client) == second


def test_without_a_verdict_an_acknowledged_scan_is_asked_for(daemon: Daemon) -> None:
    """When all is acknowledged and no verdict comes, view 0 is sent again: its answer may have been lost."""
    with quick(daemon.endpoint) as client:
        client.send([VIEW, VIEW])
        heard = [daemon.hear(client), daemon.hear(client)]
        for each in heard:
            daemon.ack(each)
        seen = [daemon.hear(client) for _ in range(4)]
        assert [h.message.view for h in seen[-2:]] == [0, 0]
        daemon.verdict(seen[-1])
        assert poll(client)[0].decision is Decision.CLEAR


def test_a_restarted_daemon_hears_what_the_old_one_did_not_acknowledge(daemon: Daemon) -> None:
    """The client finds the daemon again at the same address, and the scan is not lost."""
    with quick(daemon.endpoint) as client:
        seq = client.send([VIEW])
        before = daemon.hear(client)
        daemon.stop()
        other = client.send([VIEW])
        again = Daemon(daemon.endpoint)
        try:
            heard: dict[int, Heard] = {}
            while set(heard) != {seq, other}:
                view = again.hear(client)
                heard[view.message.seq] = view
            assert heard[seq][1:] == before[1:]
            for view in heard.values():
                again.ack(view)
                again.verdict(view)
            answers = poll(client)
            while len(answers) < 2:
                answers += poll(client)
            assert {a.seq: a.decision for a in answers} == {seq: Decision.CLEAR, other: Decision.CLEAR}
        finally:
            again.stop()


def test_a_daemon_that_starts_later_gets_what_was_sent_before(daemon: Daemon) -> None:
    """Sending does not block without a daemon; what could not leave leaves when it can."""
    daemon.stop()
    with quick(daemon.endpoint) as client:
        client.send([VIEW])
        assert client.poll(0.01) == []
        late = Daemon(daemon.endpoint)
        try:
            assert late.hear(client).payload == VIEW.payload
        finally:
            late.stop()


def test_no_verdict_by_the_deadline_is_unknown_and_stays_so(daemon: Daemon) -> None:
    """UNKNOWN(NO_ANSWER) without a report; a CLEAR that comes later is not an answer any more."""
    with quick(daemon.endpoint, deadline_s=SOON_S, resend_s=LONG_S) as client:
        seq = client.send([VIEW])
        heard = daemon.hear(client, answers := [])
        daemon.ack(heard)
        (answer,) = answers or poll(client)
        assert answer[:3] == (seq, Decision.UNKNOWN, Reason.NO_ANSWER)
        assert "0.05 s" in answer.detail
        assert answer.report is None
        assert answer.latency_s >= SOON_S
        daemon.verdict(heard, Decision.CLEAR)
        assert client.poll(SOON_S) == []
        assert client.in_flight == 0


def test_a_late_clear_without_an_acknowledgement_does_not_count_either(daemon: Daemon) -> None:
    """Also a scan that is still being sent again keeps its UNKNOWN, and is not sent any more after that."""
    with quick(daemon.endpoint, deadline_s=SOON_S) as client:
        client.send([VIEW])
        heard = daemon.hear(client, answers := [])
        answers = answers or poll(client)
        assert answers[0].reason is Reason.NO_ANSWER
        again = daemon.hear(client, answers)
        assert again.message == heard.message, "the daemon is still to hear of it"
        daemon.verdict(again, Decision.CLEAR)
        end = time.monotonic() + PATIENCE_S
        while daemon.waits() or client._pending:
            assert time.monotonic() < end
            assert client.poll(SOON_S) == []
            if daemon.waits():
                daemon.verdict(daemon.hear(client, answers), Decision.CLEAR)
        assert len(answers) == 1


def test_without_any_daemon_there_is_an_answer_too(daemon: Daemon) -> None:
    """Nobody there: UNKNOWN(NO_ANSWER) at the deadline, for every scan."""
    daemon.stop()
    with quick(daemon.endpoint, deadline_s=SOON_S) as client:
        for _ in range(3):
            client.send([VIEW])
        answers = poll(client)
        while len(answers) < 3:
            answers += poll(client)
        assert {a.seq: a.reason for a in answers} == dict.fromkeys((1, 2, 3), Reason.NO_ANSWER)


def test_scans_nobody_acknowledges_do_not_pile_up(daemon: Daemon) -> None:
    """After their deadline only the newest are kept to be sent again; memory is bounded."""
    daemon.stop()
    with quick(daemon.endpoint, deadline_s=0.0) as client:
        for _ in range(2 * KEEP_ANSWERED):
            client.send([VIEW])
        answers = client.poll()
        assert len(answers) == 2 * KEEP_ANSWERED
        assert sorted(client._pending) == list(range(KEEP_ANSWERED + 1, 2 * KEEP_ANSWERED + 1))


@pytest.mark.parametrize("reason", [Reason.SEQ_REUSED, Reason.UNKNOWN_SCANNER])
def test_a_refusal_is_unknown_with_its_reason(daemon: Daemon, patient: ScannerClient, reason: Reason) -> None:
    """A refused scan has no verdict: the answer is UNKNOWN and says why, in the daemon's words."""
    seq = patient.send([VIEW])
    heard = daemon.hear(patient)
    daemon.say(
        heard.peer,
        RefusedMessage(reason=reason, detail="because", scanner="lane", epoch=7, seq=seq, view=0),
    )
    (answer,) = poll(patient)
    assert answer[:5] == (seq, Decision.UNKNOWN, reason, "because", None)
    assert patient.in_flight == 0


@pytest.mark.parametrize(
    ("scanner", "epoch", "seq"), [("lane", 8, 1), ("other", 7, 1), ("lane", 7, 99), (None, None, None)]
)
def test_what_is_said_of_another_scan_is_not_this_ones_answer(
    daemon: Daemon, patient: ScannerClient, scanner: str | None, epoch: int | None, seq: int | None
) -> None:
    """Another scanner, start or number, or none, changes nothing for a scan in flight."""
    patient.send([VIEW])
    heard = daemon.hear(patient)
    daemon.say(
        heard.peer,
        RefusedMessage(reason=Reason.MALFORMED, detail="x", scanner=scanner, epoch=epoch, seq=seq),
    )
    if scanner is not None and epoch is not None and seq is not None:
        daemon.say(
            heard.peer,
            verdict_of(FrameMessage(scanner=scanner, epoch=epoch, seq=seq), Decision.CLEAR),
        )
    daemon._socket.send_multipart([heard.peer, b"\xc1 not this protocol"])
    daemon.verdict(heard, Decision.ALARM)
    (answer,) = poll(patient)
    assert (answer.seq, answer.decision) == (1, Decision.ALARM)


def test_wait_keeps_the_answers_that_came_before(daemon: Daemon, patient: ScannerClient) -> None:
    """Waiting for the second scan leaves the first one's answer for `poll`."""
    patient.send([VIEW])
    second = patient.send([VIEW])
    for heard in [daemon.hear(patient), daemon.hear(patient)]:
        daemon.verdict(heard)
    assert patient.wait(second).seq == second
    assert [answer.seq for answer in patient.poll()] == [1]
    assert patient.poll() == []


def test_wait_keeps_the_answers_that_came_with_it(daemon: Daemon, patient: ScannerClient) -> None:
    """Answers read together with the one waited for are still there afterwards."""
    seqs = [patient.send([VIEW]) for _ in range(5)]
    for heard in [daemon.hear(patient) for _ in seqs]:
        daemon.verdict(heard)
    end = time.monotonic() + PATIENCE_S
    while len(patient._answers) < len(seqs):  # all of them in one reading
        assert time.monotonic() < end
        patient._line.wait(0.05)
        patient._read()
    got = [patient.wait(seq).seq for seq in (3, 1)] + [answer.seq for answer in patient.poll()]
    assert sorted(got) == seqs


@pytest.mark.timeout(3)
def test_waiting_for_what_is_not_in_flight_is_an_error(daemon: Daemon) -> None:
    """A number never sent, or whose answer was given already, is a KeyError and not an endless wait."""
    daemon.stop()
    with quick(daemon.endpoint, deadline_s=SOON_S) as client:
        with pytest.raises(KeyError, match="scan 1 is not in flight"):
            client.wait(1)
        seq = client.send([VIEW])
        assert client.wait(seq).reason is Reason.NO_ANSWER
        with pytest.raises(KeyError, match="scan 1 is not in flight"):
            client.wait(seq)


@pytest.mark.parametrize("count", [0, 9])
def test_a_scan_has_one_to_eight_views(patient: ScannerClient, count: int) -> None:
    """Anything else is the caller's mistake, said at once, and uses up no number."""
    with pytest.raises(ValueError, match="views"):
        patient.send([VIEW] * count)
    assert patient.send([VIEW]) == 1


def test_tests_say_that_they_are_tests(daemon: Daemon) -> None:
    """A client made for tests marks every view NON_OPERATIONAL."""
    with quick(daemon.endpoint, scan_type=ScanType.NON_OPERATIONAL) as client:
        client.send([VIEW])
        assert daemon.hear(client).message.scan_type is ScanType.NON_OPERATIONAL


def test_each_start_has_an_epoch_of_its_own(daemon: Daemon) -> None:
    """Without being told, a client numbers its start by Unix time in milliseconds."""
    before = time.time_ns() // 1_000_000
    with ScannerClient(daemon.endpoint, "lane") as client:
        assert before <= client.epoch <= time.time_ns() // 1_000_000


def test_it_needs_pyzmq_and_msgspec_only() -> None:
    """A scanner's computer need have neither NumPy nor OpenCV, nor anything else of the daemon's."""
    code = "import nii_edge.client, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.split(".")[0] for name in loaded.stdout.split()}
    assert {"zmq", "msgspec"} <= packages
    allowed = sys.stdlib_module_names | {"zmq", "msgspec", "nii_edge", "__main__"}
    probe = subprocess.run(
        [sys.executable, "-c", "import zmq, msgspec, sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    brought = {name.split(".")[0] for name in probe.stdout.split()}
    assert packages - allowed - brought == set()
    assert not packages & {"numpy", "cv2", "yaml", "structlog", "onnxruntime", "xxhash"}


def test_a_scan_that_finds_no_room_is_sent_again_in_order(daemon: Daemon) -> None:
    """`busy`: the client says that the belt should hold, keeps later scans back, and its deadline begins
    when the scan goes out again."""
    with ScannerClient(daemon.endpoint, "lane-1", resend_s=LONG_S, deadline_s=LONG_S) as client:
        client.send([VIEW])
        first = daemon.hear(client)
        m = first.message
        daemon.say(
            first.peer,
            BusyMessage(scanner=m.scanner, epoch=m.epoch, seq=m.seq, view=m.view, retry_ms=400),
        )
        until_busy = time.monotonic() + PATIENCE_S
        while not client.busy:
            assert client.poll(SOON_S) == []
            assert time.monotonic() < until_busy
        client.send([VIEW])
        client.poll()
        assert not daemon.waits(), "a later scan overtook one that waits for room"
        again, later = daemon.hear(client), daemon.hear(client)
        assert not client.busy
        assert [heard.message.seq for heard in (again, later)] == [1, 2]
        daemon.verdict(again)
        (answer,) = client.poll(PATIENCE_S)
        assert answer.decision is Decision.CLEAR

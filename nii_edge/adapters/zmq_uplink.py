"""ports.AlertSink over ZeroMQ: a DEALER to the collector's ROUTER."""

from __future__ import annotations

import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from nii_edge import wire
from nii_edge.adapters import zmq_transport
from nii_edge.adapters.zmq_transport import Context, Limits
from nii_edge.errors import WireError
from nii_edge.ports import SinkReply
from nii_edge.records import Gap, Preview, Reason, Recall, Report
from nii_edge.security import ClientKeys
from nii_edge.telemetry import logger
from nii_edge.wire import (
    FetchManifestsMessage,
    GapMessage,
    ManifestsMessage,
    PreviewMessage,
    RecallMessage,
    ReceiptMessage,
    Received,
    RefusedMessage,
    ReportMessage,
)

REPLIES_A_TURN = 256
UP_WITHIN_S = 5.0
"""A connection that is not there after so long does not come: of an unknown name ZeroMQ says nothing."""


class ZmqUplink:
    """See the module. One connection, made in the background: if ZeroMQ put another in its place, what it
    lost of the first would arrive after what it then sent."""

    def __init__(self, context: Context, endpoint: str, keys: ClientKeys | None = None) -> None:
        """With `keys` the line is encrypted and leads to the collector of that key alone."""
        limits = Limits(max_part_bytes=wire.MAX_HEADER_BYTES, queue=256, linger_ms=0, reconnect_ms=-1)
        self._socket = zmq_transport.connect(context, zmq.DEALER, endpoint, limits, keys, self._watch)
        self._up_by = time.monotonic() + UP_WITHIN_S
        self._broken = False
        self._told: set[tuple[Reason, str]] = set()
        self._log = logger("uplink")

    def _watch(self, made: zmq_transport.Socket) -> None:
        up, ended = zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        self._events = made.get_monitor_socket(up | ended)

    def broken(self) -> bool:
        """See `AlertSink.broken`."""
        while self._events.poll(0):
            if recv_monitor_message(self._events)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._up_by = float("inf")
            else:
                self._broken = True
        return self._broken or time.monotonic() > self._up_by

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        """Until a reply or news of the connection is there, `wake_fd` is readable, or the time is over."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._events, zmq.POLLIN)
        poller.register(wake_fd, zmq.POLLIN)
        poller.poll(max(0, round(timeout_s * 1000 + 0.5)))

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        """Hand an item over; False if there is no connection or no room."""
        return self._hand_over(_parts(record))

    def ask(self, question: FetchManifestsMessage) -> bool:
        """See `AlertSink.ask`."""
        return self._hand_over([wire.encode(question)])

    def _hand_over(self, parts: list[bytes]) -> bool:
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def replies(self) -> list[SinkReply]:
        """What the collector said since the last call. Nonsense is logged and passed over: the items it
        was about stay unconfirmed."""
        replies: list[SinkReply] = []
        for _ in range(REPLIES_A_TURN):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                received = wire.decode_from_collector(parts)
            except WireError as error:
                self._log.warning("the collector sent nonsense", error=str(error))
                continue
            message = received.message
            if isinstance(message, ManifestsMessage):
                replies.append(SinkReply(page=Received(message, received.payload)))
            elif isinstance(message, ReceiptMessage):
                replies.append(SinkReply(archived=message.ids))
            elif message.alert_id is not None and message.reason is not Reason.NOT_ALLOWED:
                replies.append(SinkReply(refused=message.alert_id, why=f"{message.reason}: {message.detail}"))
            else:
                self._complain(message)
        return replies

    def _complain(self, message: RefusedMessage) -> None:
        """What is refused for our key's sake, or for no item's, is sent again and not parked."""
        if (message.reason, message.detail) not in self._told:
            self._told = {*list(self._told)[-REPLIES_A_TURN:], (message.reason, message.detail)}
            self._log.warning("the collector refuses us", reason=message.reason, detail=message.detail)

    def close(self) -> None:
        """Close at once."""
        self._socket.disable_monitor()
        self._events.close(linger=0)
        self._socket.close(linger=0)


def _parts(record: Report | Gap | Recall | Preview) -> list[bytes]:
    match record:
        case Report():
            return [wire.encode(ReportMessage(report=record))]
        case Gap():
            return [wire.encode(GapMessage(gap=record))]
        case Recall():
            return [wire.encode(RecallMessage(recall=record))]
        case Preview():
            head = wire.encode(PreviewMessage(sha256=record.sha256, media_type=record.media_type))
            return [head, record.data]

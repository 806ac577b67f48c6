"""The line client against a daemon that has no room, on real sockets."""

from __future__ import annotations

import time

import pytest
import zmq

from nii_edge import wire
from nii_edge.line_client import LineChunk, LineClient
from nii_edge.wire import BusyMessage, LinesAckMessage, LinesMessage, Message

PATIENCE_S = 10.0
WIDTH, LINES = 8, 4


class Daemon:
    """A ROUTER that says what the test tells it to."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        self.peer = b""

    def hear(self, client: LineClient) -> LinesMessage:
        """The next chunk, while the client is kept polling."""
        end = time.monotonic() + PATIENCE_S
        while not self._socket.poll(5):
            assert time.monotonic() < end, "the client sent nothing"
            client.poll(0.005)
        self.peer, *parts = self._socket.recv_multipart()
        message = wire.decode_from_scanner(parts).message
        assert isinstance(message, LinesMessage)
        return message

    def waits(self) -> bool:
        return bool(self._socket.poll(0))

    def say(self, message: Message) -> None:
        self._socket.send_multipart([self.peer, wire.encode(message)])

    def stop(self) -> None:
        self._context.destroy(linger=0)


def chunk(number: int) -> LineChunk:
    """Four lines."""
    return LineChunk(
        pixels=bytes(LINES * WIDTH * 4), lines=LINES, width=WIDTH, encoder=LINES * number, step=1, view=0,
        channels=("low", "high"), dtype="uint16",
    )  # fmt: skip


def until(client: LineClient, wanted: bool) -> None:
    end = time.monotonic() + PATIENCE_S
    while client.busy is not wanted:
        client.poll(0.01)
        assert time.monotonic() < end, f"busy never became {wanted}"


@pytest.mark.parametrize("answers", [True, False])
def test_the_belt_holds_while_the_daemon_says_so_and_no_longer(answers: bool) -> None:
    """A chunk that found no room comes again first; a daemon that falls silent holds no belt for ever."""
    daemon = Daemon()
    try:
        with LineClient(daemon.endpoint, "lane-1", resend_s=0.3) as client:
            client.send(chunk(1))
            first = daemon.hear(client)
            held = BusyMessage(
                scanner=first.scanner, epoch=first.epoch, chunk=first.chunk, view=0, retry_ms=200
            )
            daemon.say(held)
            until(client, wanted=True)
            client.send(chunk(2))
            client.poll()
            assert not daemon.waits(), "lines overtook those that wait for room"
            assert daemon.hear(client).chunk == first.chunk
            if answers:
                assert daemon.hear(client).chunk == first.chunk + 1
                daemon.say(
                    LinesAckMessage(
                        scanner=first.scanner, epoch=first.epoch, view=0, chunk=0, next=first.chunk + 2
                    )
                )
            until(client, wanted=False)
    finally:
        daemon.stop()

"""A stranger who sends garbage to the scanners' port."""

from __future__ import annotations

import random

import zmq

from chaoslib import cartons
from chaoslib.books import Books


class Vandal:
    """Sends garbage at the scanners' port, each call over a connection of its own."""

    def __init__(self, endpoint: str, scanner: str, books: Books, seed: int) -> None:
        self._endpoint = endpoint
        self._scanner = scanner
        self._books = books
        self._random = random.Random(seed)  # noqa: S311 - not for secrets

    def rage(self, messages: int) -> None:
        """Send so many, and take whatever comes back."""
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDTIMEO, 500)
        socket.connect(self._endpoint)
        for _ in range(messages):
            try:
                socket.send_multipart(cartons.junk(self._random, self._scanner))
            except zmq.Again:
                break
            self._books.junk += 1
            while socket.poll(0):
                socket.recv_multipart()
        socket.poll(200)
        context.destroy(linger=0)

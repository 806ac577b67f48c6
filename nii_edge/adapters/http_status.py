"""A small HTTP server for health, metrics and the ledger's books. GET only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from nii_edge.errors import ConfigError, NiiEdgeError, QuestionError

REQUEST_TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """Status, media type, and the body in pieces."""

    status: int
    media_type: str
    body: Iterable[bytes]


Route = Callable[[Mapping[str, str]], Answer]
"""Takes the query's parameters. May raise QuestionError, which becomes status 400 and its words, or another
NiiEdgeError, which becomes 503."""


class HttpStatus:
    """Serves `routes` by path until closed."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Bind; port 0 takes a free one. Raises ConfigError."""
        try:
            self._server = _Server((host, port), _handler(routes))
        except OSError as error:
            raise ConfigError(f"http://{host}:{port}: cannot be bound: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it really listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16


def _answer_to(target: str, routes: Mapping[str, Route]) -> Answer:
    """What is said to a request for `target`. Raises NiiEdgeError."""
    try:
        url = urlsplit(target)
    except ValueError as error:
        raise QuestionError(f"{target[:80]!r}: {error}; expected one of {' '.join(routes)}") from error
    route = routes.get(url.path)
    if route is None:
        return _words(404, f"one of {' '.join(routes)}")
    return route({key: said[-1] for key, said in parse_qs(url.query, keep_blank_values=True).items()})


def _words(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", [f"{text}\n".encode()])


def _handler(routes: Mapping[str, Route]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "nii-edge"
        sys_version = ""

        def do_GET(self) -> None:
            try:
                answer = _answer_to(self.path, routes)
            except QuestionError as error:
                answer = _words(400, str(error))
            except (NiiEdgeError, ValueError) as error:
                answer = _words(503, str(error))
            self._answer(answer)

        def _answer(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in answer.body:
                self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Requests are not logged: they come every few seconds."""

    return Handler

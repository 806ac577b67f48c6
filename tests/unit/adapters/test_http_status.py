"""What the small HTTP server makes of what is asked, and of what its routes say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection

import pytest

from nii_edge.adapters.http_status import Answer, HttpStatus
from nii_edge.errors import LedgerError, QuestionError


def echo(query: Mapping[str, str]) -> Answer:
    if "odd" in query:
        raise QuestionError(f"odd: {query['odd']!r}, expected nothing")
    if "ill" in query:
        raise LedgerError("the ledger has stopped")
    return Answer(200, "text/plain", [repr(dict(query)).encode()])


@pytest.fixture
def server() -> Iterator[HttpStatus]:
    with closing(HttpStatus("127.0.0.1", 0, {"/echo": echo})) as made:
        made.start()
        yield made


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/echo?a=1&a=2&b=", 200, "{'a': '2', 'b': ''}"),
        ("/echo?odd=x", 400, "odd: 'x', expected nothing\n"),
        ("HTTP://[/echo", 400, "'HTTP://[/echo': Invalid IPv6 URL; expected one of /echo\n"),
        ("/none", 404, "one of /echo\n"),
        ("/echo?ill", 503, "the ledger has stopped\n"),
    ],
)
def test_who_asks_badly_is_told_apart_from_a_daemon_that_is_not_well(
    server: HttpStatus, target: str, status: int, words: str
) -> None:
    with closing(HTTPConnection(server.endpoint.removeprefix("http://"), timeout=10)) as line:
        line.request("GET", target)
        answer = line.getresponse()
        assert (answer.status, answer.read().decode()) == (status, words)

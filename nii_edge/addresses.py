"""What an endpoint says of who can reach it."""

from __future__ import annotations


def is_local(endpoint: str) -> bool:
    """True for ipc endpoints and TCP on the loopback."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0]
    return endpoint.startswith("ipc://") or host in ("127.0.0.1", "[::1]", "localhost")

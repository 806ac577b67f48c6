"""What an endpoint says of who can reach it."""

from __future__ import annotations

import re


def can_be_dialled(endpoint: str) -> bool:
    """True for tcp://HOST:PORT with a port from 1 to 65535, and for ipc://PATH."""
    found = re.fullmatch(r"tcp://[^/]+:([0-9]{1,5})|ipc://.+", endpoint)
    return found is not None and (found[1] is None or 0 < int(found[1]) <= 65_535)


def is_local(endpoint: str) -> bool:
    """True for ipc endpoints and TCP on the loopback."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0]
    return endpoint.startswith("ipc://") or host in ("127.0.0.1", "[::1]", "localhost")

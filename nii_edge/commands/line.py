"""The options of every command that connects to another process: our key and the server's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nii_edge.addresses import can_be_dialled
from nii_edge.errors import ConfigError
from nii_edge.security import ClientKeys, check_line_is_safe


class Line(NamedTuple):
    """`own`: our secret key file. `server`: the server's ``.pub`` file or public key."""

    own: Path | None = None
    server: str | None = None
    insecure: bool = False

    def keys(self, endpoints: Iterable[str]) -> ClientKeys | None:
        """The keys to connect with; None without. Raises ConfigError if they are wrong, or missing for one
        of `endpoints`."""
        if (self.own is None) != (self.server is None):
            raise ConfigError("--keys and --server-key go together: our secret key, the server's public one")
        keys = None if self.own is None or self.server is None else ClientKeys.read(self.own, self.server)
        for endpoint in endpoints:
            if not can_be_dialled(endpoint):
                raise ConfigError(
                    f"{endpoint!r} is no endpoint; expected tcp://HOST:PORT (1 to 65535) or ipc://PATH"
                )
            try:
                check_line_is_safe(endpoint, keys, self.insecure)
            except ValueError as error:
                raise ConfigError(f"{error}: --keys and --server-key, or --insecure") from error
        return keys

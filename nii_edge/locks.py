"""The keys a configuration names, read and checked."""

from __future__ import annotations

from pathlib import Path

from nii_edge import config as configuration
from nii_edge.adapters.zmq_security import Security
from nii_edge.allow_list import read_allow
from nii_edge.config import CollectorLink, EdgeConfig
from nii_edge.errors import ConfigError
from nii_edge.security import ClientKeys, Role, SecretKey, read_secret, read_server


def read_security(section: configuration.Security | None, here: Path, role: Role) -> Security | None:
    """The keys a configuration names, read and checked. Raises ConfigError."""
    if section is None:
        return None
    key = read_secret(here / section.key)
    if key.public.role != role:
        raise ConfigError(f"{here / section.key}: the key of a {key.public.role}; role {role} expected")
    read_allow(here / section.allow)
    return Security(key, here / section.allow, section.loopback == "open")


def link_keys(link: CollectorLink | None, here: Path, own: SecretKey | None) -> ClientKeys | None:
    """The keys for the line to the collector; None without. Raises ConfigError."""
    if link is None or link.server_key is None:
        return None
    mine = own if link.key is None else read_secret(here / link.key)
    if mine is None:
        raise ConfigError("`collector.server_key` needs a key of our own")
    return ClientKeys(mine, read_server(str(here / link.server_key), "collector"))


def who_may(config: EdgeConfig, security: Security | None, keys: ClientKeys | None) -> list[str]:
    """Who may connect, for people."""
    link = config.collector
    lines = [] if link is None or keys is None else [f"knows the collector by its key {keys.server}"]
    if security is None:
        return [*lines, "no keys: whoever reaches these addresses may send and listen"]
    allowed = read_allow(security.allow)
    holders = {
        role: sorted({public.name for public in allowed.values() if public.role == role})
        for role in ("scanner", "subscriber")
    }
    without = sorted(set(config.scanners) - set(holders["scanner"]))
    lines.append(f"own key {security.key.public.key}, allow-list {security.allow}")
    lines += [f"{role}s with a key: {', '.join(names) or 'none'}" for role, names in holders.items()]
    lines += [f"scanner {name} has no key: nobody can send as it" for name in without]
    if security.loopback_open:
        lines.append("sockets on the loopback are open")
    return lines

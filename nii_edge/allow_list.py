"""Who may connect: a text file of public lines, read, added to, taken from.

``ROLE NAME KEY``, one a line; what follows the third word is a remark. Empty lines and lines that begin
with ``#`` are passed over. (A key may hold a ``#``, so no YAML.)
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nii_edge.errors import ConfigError
from nii_edge.security import MAX_FILE_BYTES, Public, parse_public, replace_file

KEYS_A_NAME = 2
"""Keys valid at once for one name and role, so that a new one can be brought out before the old goes."""

AllowList = Mapping[str, Public]
"""By public key."""


def parse_allow(text: str, where: str) -> AllowList:
    """An allow-list. Raises ConfigError naming `where` and the line."""
    found: dict[str, Public] = {}
    count: Counter[tuple[str, str]] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        public = parse_public(words, f"{where}: line {number}")
        if public.key in found:
            raise ConfigError(f"{where}: line {number}: this key stands there already: one key, one name")
        found[public.key] = public
        count[public.role, public.name] += 1
        if count[public.role, public.name] > KEYS_A_NAME:
            raise ConfigError(
                f"{where}: line {number}: {public.role} {public.name} has more than {KEYS_A_NAME} keys; "
                "take the oldest out"
            )
    return found


def read_allow(path: Path) -> AllowList:
    """The allow-list in a file. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: more than {MAX_FILE_BYTES} bytes are no allow-list")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of public keys: {error}") from error
    return parse_allow(text, str(path))


def add_to_allow(path: Path, public: Public) -> Public | None:
    """Append a public line; the file is replaced as a whole. If the name has two keys already, the older
    line goes, and is returned.

    Raises:
        ConfigError: the file is wrong, or cannot be written.
    """
    text = _allow_text(path)
    same = [p for p in parse_allow(text, str(path)).values() if p[:2] == public[:2]]
    dropped = same[0] if len(same) >= KEYS_A_NAME else None
    if dropped is not None:
        text = _without(text, {dropped.key})
    if text and not text.endswith("\n"):
        text += "\n"
    _save_allow(path, text + public.line() + "\n")
    return dropped


def remove_from_allow(path: Path, name_or_key: str) -> list[Public]:
    """Take out the line of a key, or all lines of a name; what was taken out.

    Raises:
        ConfigError: nothing there to take out; the file is wrong or cannot be written.
    """
    text = _allow_text(path)
    gone = [p for p in parse_allow(text, str(path)).values() if name_or_key in (p.key, p.name)]
    if not gone:
        raise ConfigError(f"{path}: no key and no name {name_or_key!r} there")
    _save_allow(path, _without(text, {public.key for public in gone}))
    return gone


def _allow_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "# Who may connect, or sign models: ROLE NAME PUBLIC-KEY, one a line (nii-edge keys)\n"
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of public keys: {error}") from error


def _save_allow(path: Path, text: str) -> None:
    parse_allow(text, str(path))
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        replace_file(path, text, mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _without(text: str, keys: set[str]) -> str:
    kept = [line for line in text.splitlines() if len(line.split()) < 3 or line.split()[2] not in keys]
    return "".join(line + "\n" for line in kept)

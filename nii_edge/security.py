"""Keys as files, and a client's use of them. Needs pyzmq only, as clients do, but for keys that sign.

A *public line* is ``ROLE NAME KEY``, the key in Z85 (40 characters, https://rfc.zeromq.org/spec/32).
A *secret key file* holds the same three words and the secret, a line each, and must not be open to anyone
but its owner. docs/OPERATIONS.md tells people how to use them.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from nii_edge.addresses import is_local
from nii_edge.errors import ConfigError

Role = Literal["scanner", "edge", "collector", "subscriber", "signer"]
"""What a key is for: a `scanner` sends frames, an `edge` serves scanners and reports to a collector, a
`collector` serves edges, a `subscriber` hears verdicts, taps and archives. A `signer` talks to nobody: it
says which models may run (nii_edge.signing), and is an Ed25519 key where the others are of CURVE."""

HANDSHAKE_TROUBLE = (
    "the other side does not complete the handshake: is our key in its allow-list, in this role, and the "
    "server's public key the right one?"
)
MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")


class Public(NamedTuple):
    """The public half of a key and whose it is."""

    role: Role
    name: str
    key: str

    def line(self) -> str:
        """As it stands in an allow-list."""
        return f"{self.role} {self.name} {self.key}"


class SecretKey:
    """A key of our own. Never prints its secret."""

    __slots__ = ("public", "secret")

    def __init__(self, public: Public, secret: str) -> None:
        self.public = public
        self.secret = secret

    def __repr__(self) -> str:
        return f"SecretKey({self.public.line()!r})"


class ClientKeys:
    """What a client needs: its own key, and the public key of the server it means to talk to."""

    __slots__ = ("own", "server")

    def __init__(self, own: SecretKey, server: str) -> None:
        """`server`: the public key, 40 characters of Z85. Raises ConfigError if it is none."""
        self.own = own
        self.server = checked_key(server, "the server's public key")

    @classmethod
    def read(cls, own: Path, server: str) -> ClientKeys:
        """From our secret key file, and the server's ``.pub`` file or public key. Raises ConfigError."""
        return cls(read_secret(own), read_server(server))

    def apply(self, socket: Any) -> None:
        """Have a zmq socket that will connect use them."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.own.public.key.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.own.secret.encode())

    def __repr__(self) -> str:
        return f"ClientKeys({self.own!r}, server={self.server!r})"


class HandshakeWatch:
    """Whether a client's socket gets through the door. To be made before `connect`, closed before it."""

    EVENTS = (
        zmq.EVENT_CONNECTED
        | zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    )

    def __init__(self, socket: Any) -> None:
        where = f"inproc://handshake-{id(self)}-{id(socket)}"
        self._socket = socket
        self._failed = False
        self._monitor = socket.context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._monitor.setsockopt(zmq.RCVHWM, 0)  # libzmq's I/O thread waits for room: it must never have to
        socket.monitor(where, self.EVENTS)
        self._monitor.connect(where)

    def trouble(self) -> str | None:
        """Why nothing gets through, in words; None as far as is known."""
        while True:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
            except zmq.Again:
                return HANDSHAKE_TROUBLE if self._failed else None
            self._failed = event != zmq.EVENT_HANDSHAKE_SUCCEEDED  # connected counts for nothing yet

    def close(self) -> None:
        """Stop watching."""
        self._socket.disable_monitor()
        self._monitor.close()


def check_line_is_safe(endpoint: str, keys: ClientKeys | None, insecure: bool) -> None:
    """Raises ValueError if a client would talk to another machine without keys and without saying so:
    whoever answers there could call any carton CLEAR."""
    if keys is None and not insecure and not is_local(endpoint):
        raise ValueError(
            f"{endpoint} is another machine: give keys (docs/OPERATIONS.md), or say `insecure` if the "
            "network is yours alone"
        )


# ---- keys


def new_key(role: Role, name: str) -> SecretKey:
    """A fresh pair. Raises ConfigError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name: 1 to 64 letters, digits, dots, dashes, underscores")
    public, secret = _signing_pair() if role == "signer" else zmq.curve_keypair()
    return SecretKey(Public(role, name, public.decode()), secret.decode())


def checked_key(text: str, where: str) -> str:
    """`text` if it is a key in Z85. Raises ConfigError."""
    if not _KEY.fullmatch(text):
        raise ConfigError(f"{where}: {text[:60]!r} is no key: 40 characters of Z85 expected")
    return text


def key_bytes(text: str, where: str) -> bytes:
    """The 32 bytes of a key in Z85. Raises ConfigError."""
    try:
        return z85.decode(checked_key(text, where))
    except (struct.error, ValueError) as error:
        raise ConfigError(f"{where}: {text!r} is no key: it stands for more than 32 bytes") from error


def write_key(key: SecretKey, folder: Path) -> Path:
    """Write ``NAME.key`` (mode 0600) and ``NAME.pub``; the path of the first.

    Raises:
        ConfigError: one of them is there already, or they cannot be written.
    """
    path = folder / f"{key.public.name}.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, _secret_text(key), 0o600)
        replace_file(path.with_suffix(".pub"), key.public.line() + "\n", 0o644)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; `nii-edge keys rotate` makes a new one") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error
    return path


def replace_key(path: Path, key: SecretKey) -> None:
    """Put `key` into the files at `path` and beside it; the old secret stays as ``NAME.key.old``."""
    try:
        replace_file(path.with_name(path.name + ".old"), path.read_text(encoding="ascii"), 0o600)
        replace_file(path, _secret_text(key), 0o600)
        replace_file(path.with_suffix(".pub"), key.public.line() + "\n", 0o644)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def read_secret(path: Path) -> SecretKey:
    """A secret key file.

    Raises:
        ConfigError: it cannot be read, others than its owner may read or change it, or it is no key.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE_BYTES)
        text = data.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a secret key: {error}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            f"{path}: a secret key with mode {stat.S_IMODE(mode):04o}, which others may use: chmod 600 it, "
            "and if others could read it, make a new one (nii-edge keys rotate)"
        )
    fields = dict(line.split(maxsplit=1) for line in _lines(text) if len(line.split()) == 2)
    if set(fields) != {"role", "name", "public", "secret"}:
        raise ConfigError(f"{path}: not a secret key file; `nii-edge keys new` makes one")
    public = parse_public([fields["role"], fields["name"], fields["public"].strip()], str(path))
    secret = fields["secret"].strip()
    if not _KEY.fullmatch(secret) or _public_of(public.role, secret) != public.key:
        raise ConfigError(f"{path}: its secret and its public key do not belong together")
    return SecretKey(public, secret)


def read_server(text: str, role: Role | None = None) -> str:
    """A server's public key: the key itself, or a file that holds its one public line.

    Raises:
        ConfigError: neither, or a line of another role than `role`.
    """
    if _KEY.fullmatch(text):
        return text
    try:
        lines = _lines(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{text}: neither a public key nor a file with one: {error}") from error
    if len(lines) != 1:
        raise ConfigError(f"{text}: {len(lines)} public keys there, one expected: the server's")
    found = parse_public(lines[0].split(), text)
    if role is not None and found.role != role:
        raise ConfigError(f"{text}: the key of a {found.role}, {found.name}; one of role {role} expected")
    return found.key


def _signing_pair() -> tuple[bytes, bytes]:
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    return z85.encode(bytes(key.verify_key)), z85.encode(bytes(key))


def _public_of(role: Role, secret: str) -> str:
    if role != "signer":
        key_bytes(secret, "the secret")  # libzmq's own error names nothing
        return zmq.curve_public(secret.encode()).decode()
    from nacl.signing import SigningKey

    return z85.encode(bytes(SigningKey(key_bytes(secret, "the secret")).verify_key)).decode()


def _secret_text(key: SecretKey) -> str:
    public = key.public
    return (
        "# A secret key of nii-edge: for its owner's eyes alone.\n"
        f"role {public.role}\nname {public.name}\npublic {public.key}\nsecret {key.secret}\n"
    )


def parse_public(words: list[str], where: str) -> Public:
    """A public line, its words. Raises ConfigError naming `where`."""
    if len(words) < 3:
        raise ConfigError(f"{where}: {' '.join(words)[:80]!r}, expected ROLE NAME KEY")
    role, name, key = words[:3]
    for known in get_args(Role):
        if role == known:
            break
    else:
        raise ConfigError(f"{where}: role {role[:40]!r}, expected one of {', '.join(get_args(Role))}")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name[:80]!r} is no name")
    return Public(known, name, checked_key(key, where))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _write_new(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def replace_file(path: Path, text: str, mode: int) -> None:
    """Another file in its place, all at once: a reader sees the old or the new, never half."""
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(fresh).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        raise

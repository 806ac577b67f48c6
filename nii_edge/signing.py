"""Which models may run: folders whose files somebody has signed with Ed25519 (RFC 8032, by libsodium).

A signed folder holds `signature.txt`, beside a model bundle, a fit or what is normal::

    file SHA-256 NAME         for each file of the folder
    signer NAME KEY
    signature BASE64          of all lines before it

The key is one of role `signer` (nii_edge.security). docs/OPERATIONS.md tells people how to use it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from zmq.utils import z85

from nii_edge.errors import BundleError, ConfigError
from nii_edge.seal import SIGNATURE, Seal
from nii_edge.security import Public, SecretKey, parse_public, replace_file

MAX_BYTES = 1 << 20
MAX_FILES = 4_096
_LINE = re.compile(r"file ([0-9a-f]{64}) (\S.*)")

Signers = Collection[str] | None
"""Public keys of those whose models may run; None: anybody's."""


class Signature(NamedTuple):
    """Who vouches for which files: SHA-256 by name."""

    signer: Public
    files: Mapping[str, str]


def sign(folder: Path, key: SecretKey) -> Path:
    """Vouch for all files of `folder`, as they are now; the path of the signature.

    Raises:
        ConfigError: the key is for something else. BundleError: the folder holds nothing, links, too much,
            or it cannot be read or written.
    """
    if key.public.role != "signer":
        raise ConfigError(f"the key of a {key.public.role}; models are signed with one of role signer")
    lines = [f"file {digest} {name}" for name, digest in _digests(folder).items()]
    text = "".join(f"{line}\n" for line in (*lines, f"signer {key.public.name} {key.public.key}"))
    signature = SigningKey(z85.decode(key.secret)).sign(text.encode()).signature
    path = folder / SIGNATURE
    try:
        replace_file(path, f"{text}signature {base64.b64encode(signature).decode()}\n", 0o644)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error}") from error
    return path


def read_seal(path: Path, signers: Signers) -> Seal:
    """What is vouched for in a folder, or in the folder of a file, by one of the `signers`.

    Raises:
        BundleError: nobody has signed, somebody else has, or the signature is not good.
    """
    folder = path if path.is_dir() else path.parent
    if signers is None:
        return Seal(folder, None)
    signer, files = read_signature(folder)
    if signer.key not in signers:
        raise BundleError(
            f"{folder}: signed by {signer.name} ({signer.key}), whose models may not run here: the key is "
            "not among the `signers`"
        )
    return Seal(folder, files)


def read_signature(folder: Path) -> Signature:
    """What is vouched for in a folder, by whomever.

    Raises:
        BundleError: nobody has signed, or the signature is not good.
    """
    path = folder / SIGNATURE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise BundleError(f"{folder}: is not signed: no {SIGNATURE} there (nii-edge models sign)") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    body, _, last = data.rpartition(b"signature ")
    try:
        lines = body.decode().splitlines()
        signature = base64.b64decode(last.removesuffix(b"\n"), validate=True)
        matches = [_LINE.fullmatch(line) for line in lines[:-1]]
        files = {match[2]: match[1] for match in matches if match is not None}
        whole = body + b"signature " + base64.b64encode(signature) + b"\n"
        if len(files) != len(matches) or not lines or data != whole or len(data) > MAX_BYTES:
            raise BundleError(f"{path}: not a signature: {len(matches)} files expected, {len(files)} found")
        signer = parse_public(lines[-1].split(), str(path))
        VerifyKey(z85.decode(signer.key)).verify(body, signature)
    except BadSignatureError as error:
        raise BundleError(f"{path}: the signature does not belong to what stands there") from error
    except (ConfigError, UnicodeDecodeError, ValueError, TypeError, binascii.Error) as error:
        raise BundleError(f"{path}: not a signature: {error}") from error
    if signer.role != "signer":
        raise BundleError(f"{path}: signed with the key of a {signer.role}")
    return Signature(signer, files)


def check_folder(folder: Path) -> Signature:
    """Who vouches for a folder, after every file was held against the signature. Raises BundleError."""
    found = _digests(folder)
    signature = read_signature(folder)
    seal = Seal(folder, signature.files)
    for name, digest in found.items():
        seal.check_digest(folder / name, digest)
    gone = sorted(set(signature.files) - set(found))
    if gone:
        raise BundleError(f"{folder}: {', '.join(gone)} signed, but not there")
    return signature


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder but the signature, by name."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; expected one of a bundle, a fit, or what is normal")
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir() and path != folder / SIGNATURE]
    strange = [path for path in paths if path.is_symlink() or not path.is_file() or "\n" in path.name]
    if strange:
        raise BundleError(f"{strange[0]}: neither a file nor a folder; only those can be signed")
    if not 0 < len(paths) <= MAX_FILES:
        raise BundleError(f"{folder}: {len(paths)} files; expected 1 to {MAX_FILES}")
    try:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error}") from error

"""Which models may run: folders whose files somebody has signed with Ed25519 (RFC 8032, by libsodium).

A signed folder holds `signature.txt`, beside a model bundle, a fit or what is normal::

    nii-edge signature 1
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

from nii_edge.errors import BundleError, ConfigError
from nii_edge.seal import SIGNATURE, Seal
from nii_edge.security import Public, SecretKey, key_bytes, parse_public, replace_file

FIRST = "nii-edge signature 1"
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
        ConfigError: the key is for something else. BundleError: the folder holds nothing, links, names that
            cannot be listed, or too much, or it cannot be read or written.
    """
    if key.public.role != "signer":
        raise ConfigError(f"the key of a {key.public.role}; models are signed with one of role signer")
    files = _digests(folder)
    lines = [FIRST, *(f"file {digest} {name}" for name, digest in files.items())]
    text = "".join(f"{line}\n" for line in (*lines, f"signer {key.public.name} {key.public.key}"))
    signature = SigningKey(key_bytes(key.secret, "the secret")).sign(text.encode()).signature
    text += f"signature {base64.b64encode(signature).decode()}\n"
    path = folder / SIGNATURE
    if _parsed(path, text.encode()) != Signature(key.public, files):
        raise BundleError(f"{folder}: its file names cannot be listed one a line")
    try:
        replace_file(path, text, 0o644)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error}") from error
    return path


def read_seal(path: Path, signers: Signers) -> Seal:
    """What is vouched for in a folder, or in the folder of a file, by one of the `signers`.

    Raises:
        BundleError: there is no such file or folder, nobody has signed, somebody else has, or the signature
            is not good.
    """
    folder = path if path.is_dir() else path.parent
    if signers is None:
        return Seal(folder, None)
    if not path.exists():
        raise BundleError(f"{path}: no such file or folder")
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
    if not path.is_file():
        raise BundleError(f"{folder}: is not signed: no {SIGNATURE} there (nii-edge models sign)")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    return _parsed(path, data)


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


def _parsed(path: Path, data: bytes) -> Signature:
    body, _, last = data.rpartition(b"signature ")
    try:
        signature = base64.b64decode(last.removesuffix(b"\n"), validate=True)
        first, *lines, by, end = body.decode().split("\n")
        matches = [_LINE.fullmatch(line) for line in lines]
        files = {match[2]: match[1] for match in matches if match is not None}
        signer = parse_public(by.split(), str(path))
        VerifyKey(key_bytes(signer.key, str(path))).verify(body, signature)
    except BadSignatureError as error:
        raise BundleError(f"{path}: the signature does not belong to what stands there") from error
    except (ConfigError, UnicodeDecodeError, ValueError, TypeError, binascii.Error) as error:
        raise BundleError(f"{path}: not a signature: {error}") from error
    whole = body + b"signature " + base64.b64encode(signature) + b"\n"
    if (first, end) != (FIRST, "") or len(files) != len(matches) or data != whole or len(data) > MAX_BYTES:
        raise BundleError(f"{path}: not a signature: expected the lines that nii-edge models sign writes")
    if signer.role != "signer":
        raise BundleError(f"{path}: signed with the key of a {signer.role}")
    return Signature(signer, files)


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder but the signature, by name."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; expected one of a bundle, a fit, or what is normal")
    paths = [path for path in sorted(folder.rglob("*")) if path != folder / SIGNATURE]
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path}: neither a file nor a folder; only those can be signed")
        if not name.isprintable() or name != name.strip():
            raise BundleError(f"{folder}: the name {name!r} cannot stand in a line; give the file another")
    files = [path for path in paths if path.is_file()]
    if not 0 < len(files) <= MAX_FILES:
        raise BundleError(f"{folder}: {len(files)} files; expected 1 to {MAX_FILES}")
    try:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error}") from error

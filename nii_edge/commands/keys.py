"""`nii-edge keys`: make, rotate, list and revoke the keys that open a locked system."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nii_edge.allow_list import add_to_allow, read_allow, remove_from_allow
from nii_edge.errors import ConfigError
from nii_edge.security import (
    Public,
    Role,
    new_key,
    read_secret,
    replace_key,
    write_key,
)

app = typer.Typer(help="Keys: who may talk to whom (docs/OPERATIONS.md, Keys).", no_args_is_help=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
AllowOption = Annotated[
    Path | None, typer.Option("--allow", metavar="FILE", help="Append the public line to this allow-list.")
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The scanner, edge, collector, subscriber or signer.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where NAME.key and NAME.pub go.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the key is for.")]


@app.command("new", epilog="Example: nii-edge keys new lane-1 --role scanner --out keys/")
def new(name: Name, role: RoleOption, out: Out, allow: AllowOption = None, as_json: JsonFlag = False) -> None:
    """Make a key: DIR/NAME.key is secret and goes to its owner, the public line to whoever lets it in."""
    key = new_key(role, name)
    if allow is not None:
        _refuse_third(allow, key.public)
    path = write_key(key, out)
    if allow is not None:
        add_to_allow(allow, key.public)
    notes = [f"secret: {path} (mode 0600; move it to its owner, do not copy it)"]
    _say(as_json, key.public, notes, secret=path)


@app.command("rotate", epilog="Example: nii-edge keys rotate keys/lane-1.key --allow allowed.keys")
def rotate(
    key_file: Annotated[Path, typer.Argument(metavar="KEY", help="The secret key file to replace.")],
    allow: AllowOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new key for the same name. The old one stays valid until `revoke`, or the next rotation.

    The old secret is kept as KEY.old. Give the new one to its owner, restart it, then revoke the old key.
    """
    old = read_secret(key_file)
    key = new_key(old.public.role, old.public.name)
    dropped = add_to_allow(allow, key.public) if allow is not None else None
    replace_key(key_file, key)
    notes = [f"old public key: {old.public.key} (still valid where it is listed; nii-edge keys revoke)"]
    if dropped is not None:
        notes.append(f"no longer valid: {dropped.line()} (a name has two keys at most)")
    _say(as_json, key.public, notes, secret=key_file)


@app.command(
    "revoke",
    epilog="Example: nii-edge keys revoke lane-1 --allow allowed.keys",
    context_settings={"ignore_unknown_options": True},  # a key may begin with a dash
)
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME|KEY", help="All keys of a name, or one public key.")],
    allow: Annotated[Path, typer.Option("--allow", metavar="FILE", help="The allow-list.")],
    as_json: JsonFlag = False,
) -> None:
    """Take keys out of a list. A running daemon lets go of connections at once, of signers when it starts."""
    gone = remove_from_allow(allow, which)
    if as_json:
        _print({"revoked": [public._asdict() for public in gone]})
        return
    for public in gone:
        _print_line(f"revoked {public.line()}")


@app.command("list", epilog="Example: nii-edge keys list allowed.keys")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An allow-list, a .pub or a .key file.")],
    as_json: JsonFlag = False,
) -> None:
    """Print the public lines of a file. Of a secret key file, never the secret."""
    try:
        found = list(read_allow(file).values())
    except ConfigError:
        if file.suffix != ".key":
            raise
        found = [read_secret(file).public]
    if as_json:
        _print({"keys": [public._asdict() for public in found]})
        return
    for public in found:
        _print_line(public.line())


def _refuse_third(allow: Path, public: Public) -> None:
    """A new key must not push out an old one unasked: that is what `rotate` is for."""
    listed = read_allow(allow).values() if allow.exists() else ()
    if any(other[:2] == public[:2] for other in listed):
        raise ConfigError(
            f"{allow}: {public.role} {public.name} has a key there; `nii-edge keys rotate` adds a second"
        )


def _say(as_json: bool, public: Public, notes: list[str], secret: Path) -> None:
    if as_json:
        _print({**public._asdict(), "line": public.line(), "secret_file": str(secret)})
        return
    _print_line(public.line())
    for note in notes:
        sys.stderr.write(note + "\n")


def _print(value: object) -> None:
    _print_line(json.dumps(value))


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

"""`nii-edge models`: say which models may run, and see who says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nii_edge.allow_list import read_allow
from nii_edge.errors import BundleError
from nii_edge.security import read_secret
from nii_edge.signing import check_folder, sign

app = typer.Typer(
    help="Models: who vouches for them (docs/OPERATIONS.md, Who says which models may run).",
    no_args_is_help=True,
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A model bundle, a fit's folder, or what was learned as normal.")
]


@app.command("sign", epilog="Example: nii-edge models sign models/detector/0.5.0 --key keys/site.key")
def sign_folder(
    folder: Folder,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="A secret key of role signer.")],
    as_json: JsonFlag = False,
) -> None:
    """Vouch for all files of a folder, as they are now. Look at them first: golden frames, card, thresholds.

    Make the key with `nii-edge keys new NAME --role signer`, and keep it away from machines that run models.
    """
    path = sign(folder, read_secret(key))
    signer, files = check_folder(folder)
    for name in files if not as_json else ():
        sys.stderr.write(f"signed: {name}\n")
    _say(as_json, {"signature": str(path), "signer": signer.name, "key": signer.key, "files": len(files)})


@app.command("verify", epilog="Example: nii-edge models verify models/detector/0.5.0 --signers signers.keys")
def verify_folder(
    folder: Folder,
    signers: Annotated[
        Path | None, typer.Option("--signers", metavar="FILE", help="Public lines of those who may sign.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hold every file of a folder against its signature. Without --signers anybody may have signed."""
    signer, files = check_folder(folder)
    if signers is not None:
        listed = {public.key for public in read_allow(signers).values() if public.role == "signer"}
        if signer.key not in listed:
            raise BundleError(f"{folder}: signed by {signer.name} ({signer.key}), who is not in {signers}")
    _say(as_json, {"signer": signer.name, "key": signer.key, "files": len(files)})


def _say(as_json: bool, values: dict[str, object]) -> None:
    text = json.dumps(values) if as_json else ", ".join(f"{key} {value}" for key, value in values.items())
    sys.stdout.write(text + "\n")

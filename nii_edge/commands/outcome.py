"""Where a long command will write: asked before the work, so that nothing is lost at its end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nii_edge.errors import ConfigError


def check_bundle_place(out: Path) -> None:
    """Raises ConfigError if `out` is a bundle already, or no folder that can be written or made."""
    if (out / "bundle.yaml").exists():
        raise ConfigError(f"{out}: is a bundle already; name another folder")
    _check(out, out)


def check_file_place(file: Path) -> None:
    """Raises ConfigError if `file` could not be written."""
    if file.is_dir():
        raise ConfigError(f"{file}: is a folder; name a file")
    if file.exists() and not os.access(file, os.W_OK):
        raise ConfigError(f"{file}: is there and may not be written; name another file")
    _check(file, file.parent)


def _check(wanted: Path, folder: Path) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ConfigError(
            f"{wanted}: cannot be written: {there}: {error.strerror}; name another place"
        ) from error

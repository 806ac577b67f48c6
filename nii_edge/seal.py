"""What somebody vouches for: the files of a folder by SHA-256 (nii_edge.signing makes and reads such)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from nii_edge.errors import BundleError

SIGNATURE = "signature.txt"
"""The file that vouches for the others of its folder."""


class Seal(NamedTuple):
    """What is vouched for in `folder`: SHA-256 by file name; None where nobody asked."""

    folder: Path
    files: Mapping[str, str] | None

    def check(self, path: Path, data: bytes) -> None:
        """Raises BundleError if `data`, read from `path`, is not what was signed under that name."""
        self.check_digest(path, hashlib.sha256(data).hexdigest())

    def check_digest(self, path: Path, digest: str) -> None:
        """The same for data that has been digested already."""
        if self.files is None:
            return
        real, folder = path.resolve(), self.folder.resolve()
        if path.is_symlink() or not real.is_relative_to(folder):
            raise BundleError(f"{path}: a link, or out of the signed folder; put the file itself there")
        signed = self.files.get(real.relative_to(folder).as_posix())
        if signed is None:
            raise BundleError(f"{path}: is not among the files that {SIGNATURE} vouches for; sign again")
        if signed != digest:
            raise BundleError(
                f"{path}: altered since it was signed: its SHA-256 is {digest}, {SIGNATURE} says {signed}"
            )

    def check_all_there(self, subfolder: str, names: Collection[str]) -> None:
        """Raises BundleError if files of `subfolder` were signed that are not among `names`, those read."""
        signed = {name for name in self.files or () if name.rpartition("/")[0] == subfolder.strip("/")}
        gone = sorted(signed - {f"{subfolder.strip('/')}/{name}" for name in names})
        if gone:
            raise BundleError(f"{self.folder}: {', '.join(gone)} signed, but not there")

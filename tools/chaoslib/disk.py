"""A small disk that can be filled and emptied at once. Needs root: without it, a file size limit serves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOMY = "4g"
TRIES = 20
"""More may be written than was left, before there is no room for it."""


class SmallDisk:
    """A tmpfs at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "nii-edge-chaos", str(folder))

    def fill(self, left: int) -> None:
        """Leave room for about so many bytes."""
        for attempt in range(TRIES):
            found = os.statvfs(self._folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            try:
                _run("mount", "-o", f"remount,size={used + left}", str(self._folder))
            except subprocess.CalledProcessError:
                if attempt == TRIES - 1:
                    raise
            else:
                return

    def empty(self) -> None:
        """There is room again."""
        _run("mount", "-o", f"remount,size={ROOMY}", str(self._folder))

    def close(self) -> None:
        """Take it away, with all that is on it."""
        _run("umount", "-l", str(self._folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

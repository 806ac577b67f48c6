"""A power cut: after the process is killed, its files are what it had synced, and not what it had written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("power_cut.c")


def available() -> bool:
    """True if there is a C compiler to build the part that watches the writes."""
    return shutil.which("cc") is not None


class PowerCut:
    """Watches one process's files in `folder`; `lies`: syncs are not kept, for a control that must fail."""

    def __init__(self, folder: Path, *, lies: bool = False) -> None:
        self._folder = folder
        self._twins = folder.with_name(f"{folder.name}.synced")
        self._library = folder.with_name(f"{folder.name}.power_cut.so")
        folder.mkdir(parents=True, exist_ok=True)
        self._twins.mkdir()
        build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-ldl", "-pthread"]
        subprocess.run(build, check=True)
        self.environment = {
            "LD_PRELOAD": str(self._library),
            "NII_POWER_CUT_DIR": str(folder),
            "NII_POWER_CUT_TO": str(self._twins),
            **({"NII_POWER_CUT_LIES": "1"} if lies else {}),
        }

    def cut(self) -> None:
        """Put back what had been synced. The process must have ended."""
        for file in self._folder.glob("*.db*"):
            file.unlink()
        for twin in self._twins.glob("*.db*"):
            shutil.copyfile(twin, self._folder / twin.name)

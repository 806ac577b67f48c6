"""What the numbers were measured on."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnxruntime
import zmq

from nii_edge import __version__


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`cores`: those this process may use. `load`: the one-minute load average before the start, to which the
    benchmark itself adds nothing. `ledger_on`: the file system that holds the daemon's ledger."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    load: float
    ledger_on: str
    versions: dict[str, str]


def describe(folder: Path) -> Machine:
    """This machine, with the ledger in `folder`."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        system=platform.platform(),
        load=round(os.getloadavg()[0], 2),
        ledger_on=_file_system(folder),
        versions={
            "nii_edge": __version__,
            "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "libzmq": zmq.zmq_version(),
        },
    )


def cpu_seconds(pid: int) -> float:
    """CPU time spent so far by a process and those of its children that live."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(used for used, _ in _family(pid).values()) / ticks


class Others:
    """How much of the machine others use while we measure: more than a little, and the numbers are theirs."""

    def __init__(self) -> None:
        self._before = self._now()

    def cores(self) -> float:
        """Cores' worth of CPU time that went to others, other guests included, since the last call."""
        before, self._before = self._before, self._now()
        at, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, (busy - own) / at) if at > 0 else 0.0

    def _now(self) -> tuple[float, float, float]:
        fields = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:9]
        user, nice, system, _, _, irq, soft, steal = map(int, fields)
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, cpu_seconds(os.getpid())


def _family(pid: int) -> dict[int, tuple[int, int]]:
    """A process and its living descendants: pid to CPU ticks and parent."""
    found: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                found[int(entry.name)] = (int(fields[11]) + int(fields[12]), int(fields[1]))
    kept = {pid}
    while more := {child for child, (_, parent) in found.items() if parent in kept} - kept:
        kept |= more
    return {one: found[one] for one in kept if one in found}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that `folder` lies on: of its mount points, the longest counts."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    here = folder.resolve()
    return max(((where, kind) for where, kind in mounts if here.is_relative_to(where)), key=_depth)[1]


def _depth(mount: tuple[str, str]) -> int:
    return len(mount[0])

"""Commands that work on all cores and are killed: none of their workers stays behind."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import command

COMMANDS = {
    "simulate": ("simulate", "--out", "OUT/made", "--consignments", "50", "--luggage", "0", "--workers", "2"),
    "fit-cartons": (
        "fit-cartons", "--out", "OUT/fit.npz", "--consignments", "50", "--without-detector", "--workers", "2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_worker_outlives_a_command_that_was_killed(tmp_path: Path, name: str) -> None:
    """A worker would wait for work for ever, with all that it holds in memory."""
    words = [word.replace("OUT", str(tmp_path)) for word in COMMANDS[name]]
    with subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        workers = working(running.pid)
        running.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while any(is_worker(pid) for pid in workers):
        assert time.monotonic() < until, f"{workers} still work"
        time.sleep(0.1)


def working(parent: int) -> list[int]:
    """Two of its workers, which have begun: their work takes seconds."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = [pid for server in children(parent) for pid in children(server) if is_worker(pid)]
        if len(found) >= 2 and all(cpu_ticks(pid) > 100 for pid in found):
            return found
        time.sleep(0.1)
    raise AssertionError("no workers in two minutes")


def children(parent: int) -> list[int]:
    try:
        listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(pid) for pid in listed.split()]


def is_worker(pid: int) -> bool:
    """Forked from the process that has imported everything for them."""
    try:
        return b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def cpu_ticks(pid: int) -> int:
    """Hundredths of a second that it has worked (proc(5), utime)."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11])

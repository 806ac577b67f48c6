"""Memory and descriptors of the processes, over each life of theirs."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
WARM_S = 3.0
"""Age at which a process counts as warm: growth is measured from there."""


@dataclass(slots=True)
class Life:
    """One process. Resident memory in MB, open descriptors."""

    pid: int
    since: float
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    def growth(self) -> dict[str, float] | None:
        """From warm to the end; None if it was too short."""
        warm = [sample for sample in self.samples if sample[0] - self.since >= WARM_S]
        if len(warm) < 2:
            return None
        first, last = warm[0], warm[-1]
        return {
            "seconds": round(last[0] - first[0], 1),
            "rss_mb": round(last[1], 1),
            "rss_growth_mb": round(last[1] - first[1], 1),
            "fds": last[2],
            "fd_growth": last[2] - first[2],
        }


class Gauge:
    """Samples one service. Keeps its longest life and the largest values."""

    def __init__(self) -> None:
        self._life: Life | None = None
        self._longest: dict[str, float] = {}
        self._max_rss, self._max_fds = 0.0, 0

    def sample(self, pid: int) -> None:
        """Look at the process now."""
        if pid == 0:
            return
        now = time.monotonic()
        if self._life is None or self._life.pid != pid:
            self._close()
            self._life = Life(pid, now)
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            self._life.samples.append((now, pages * PAGE_MB, descriptors))
            self._max_rss, self._max_fds = (
                max(self._max_rss, pages * PAGE_MB),
                max(self._max_fds, descriptors),
            )

    def summary(self) -> dict[str, Any]:
        """For the report."""
        self._close()
        return {
            "max_rss_mb": round(self._max_rss, 1),
            "max_fds": self._max_fds,
            "longest_life": self._longest,
        }

    def _close(self) -> None:
        found = None if self._life is None else self._life.growth()
        if found is not None and found["seconds"] > self._longest.get("seconds", 0):
            self._longest = found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Count, median and maximum, in seconds."""
    if not values:
        return {"n": 0}
    return {"n": len(values), "p50": round(statistics.median(values), 2), "max": round(max(values), 2)}

"""ports.Clock of this machine."""

from __future__ import annotations

import time


class SystemClock:
    """ports.Clock of this machine."""

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

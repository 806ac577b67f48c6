"""Why nothing may be called CLEAR at the moment, if anything speaks against it."""

from __future__ import annotations

import threading

from nii_edge.edge.decide import Ruling, unknown
from nii_edge.records import Decision, Reason
from nii_edge.telemetry import logger


class ClearGate:
    """Open unless somebody closed it for a reason; then CLEAR becomes UNKNOWN of that reason. Thread-safe."""

    def __init__(self) -> None:
        self._closed: dict[Reason, str] = {}
        self._lock = threading.Lock()
        self._log = logger("gate")

    def close(self, reason: Reason, detail: str) -> None:
        """From now on nothing is CLEAR. Logged when it is news."""
        with self._lock:
            news = reason not in self._closed
            self._closed[reason] = detail
        if news:
            self._log.error("no CLEAR from now on", reason=reason.value, detail=detail)

    def open(self, reason: Reason) -> None:
        """This reason holds no more; others may."""
        with self._lock:
            news = self._closed.pop(reason, None) is not None
        if news:
            self._log.warning("CLEAR is possible again", reason=reason.value)

    def reasons(self) -> dict[Reason, str]:
        """Why it is closed; empty if it is open."""
        with self._lock:
            return dict(self._closed)

    def passed(self, ruling: Ruling) -> Ruling:
        """The ruling that may be given now."""
        closed = self.reasons() if ruling.decision is Decision.CLEAR else {}
        for reason, detail in closed.items():
            return unknown(reason, detail)
        return ruling

"""The line to a child process, over real sockets and processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nii_edge.edge.children import Child
from nii_edge.edge.jobs import Ready, Setup
from nii_edge.edge.slots import SlotPool

PATIENCE_S = 30


def test_an_answer_that_stops_in_its_midst_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it may hold a lock: it comes back, though the child is still there and silent."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with SlotPool(2, 4096) as pool:
        setup = Setup(shared_fd=pool.fd, slots=pool.slots, slot_bytes=pool.slot_bytes)
        child = Child("half_answer", setup)
        assert child.connection.poll(PATIENCE_S), "it never began"
        assert child.has_said_something()
        with pytest.raises(EOFError):
            child.receive(Ready)
        assert child.kill() == -9, "it had ended by itself: nothing was shown"

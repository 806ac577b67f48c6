"""Fixtures for all tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Site
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
"""Speed is measured in benchmarks; here a busy machine must not fail a test."""


os.environ.setdefault("OMP_NUM_THREADS", "1")
"""For torch, which is not loaded yet, and the processes that tests start. Small tensors on as many threads as
there are cores take ten times as long on a busy machine: each thread waits for one that has no core."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A folder for real processes, all of them ended afterwards."""
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """A test that leaves a thread running fails."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon]
    for thread in left:
        thread.join(2)
    assert not [t.name for t in left if t.is_alive()]

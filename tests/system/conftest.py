"""Which tests of the whole system need the machine to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

COMMANDS = frozenset({
    "test_commands", "test_evaluate_cartons", "test_learn_normal", "test_scanner_commands", "test_signers",
    "test_simulate", "test_torchvision_export", "test_training", "test_view", "test_workers",
})  # fmt: skip
"""Modules of commands that do their work and end. In all others daemons have deadlines to keep."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them `alone`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.stem not in COMMANDS:
            item.add_marker(pytest.mark.alone)

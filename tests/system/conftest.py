"""Which tests of the whole system need the machine to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

PATIENT = frozenset({
    "test_barcodes", "test_commands", "test_consignment", "test_evaluate_cartons", "test_layouts",
    "test_learn_normal", "test_manifest_lane", "test_recordings", "test_scanner_commands", "test_signers",
    "test_simulate", "test_tip_commands", "test_torchvision_export", "test_training", "test_view",
    "test_whole_cartons", "test_workers",
})  # fmt: skip
"""Modules of commands that do their work and end, and of daemons whose deadlines a busy machine keeps too. In
all others deadlines are kept or waited for, or what happens at what time is looked at."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them `alone`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.stem not in PATIENT:
            item.add_marker(pytest.mark.alone)

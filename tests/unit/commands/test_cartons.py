"""What is told of a simulated carton's truth beside its numbers."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.commands.cartons import deepest

LOW, HIGH = (0.0, 0.0, 0.0), (100.0, 80.0, 30.0)


def _moved(x: float, z: float) -> list[tuple[float, float, float]]:
    return [(a + x, b, c + z) for a, b, c in (LOW, HIGH)]


@pytest.mark.parametrize(
    ("boxes", "deep"),
    [
        ([], 0),
        ([_moved(0, 0)], 1),
        ([_moved(0, 0), _moved(100.5, 0), _moved(201, 0)], 1),
        ([_moved(0, 0), _moved(100.5, 0), _moved(5, 30)], 2),
        ([_moved(0, 0), _moved(-3, 60), _moved(5, 30)], 3),
    ],
)
def test_how_many_parcels_lie_over_one_another(
    boxes: list[list[tuple[float, float, float]]], deep: int
) -> None:
    assert deepest(np.array(boxes)) == deep

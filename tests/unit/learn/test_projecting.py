"""Simulated threats in somebody's own pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from nii_edge.errors import DataError
from nii_edge.learn import projecting
from nii_edge.learn.pool import Pool
from nii_edge.learn.readers import Problems


def test_pictures_that_cannot_be_read_cost_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the last one is broken: it had taken with it all since the last full shard."""
    pytest.importorskip("spekpy")
    monkeypatch.setattr(projecting, "SPRITES", 2)
    own = tmp_path / "own"
    own.mkdir()
    picture = np.full((120, 160, 3), 240, np.uint8)
    picture[30:90, 40:120] = (60, 140, 220)
    cv2.imwrite(str(own / "a.png"), picture)
    (own / "b.png").write_bytes(b"no picture")
    problems = Problems()
    made = projecting.project_into(own, ("knife",), tmp_path / "pool", 96, 1, problems)
    assert len(Pool([tmp_path / "pool"])) == made == projecting.PER_PICTURE
    assert problems.counts == {"picture to project into cannot be decoded (left out)": 1}
    (own / "a.png").unlink()
    with pytest.raises(DataError, match="not one picture can be read"):
        projecting.project_into(own, ("knife",), tmp_path / "none", 96, 1, Problems())

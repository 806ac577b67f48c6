"""A library of simulated threats: what projection takes, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nii_edge.adapters.threat_files import read_library
from nii_edge.commands.threats import USUAL, Request, write
from nii_edge.errors import ConfigError

ASKED = Request(Path(), ("gun", "lithium_pack"), 3, 160.0, 1.2, 7)


def test_the_same_seed_makes_the_same_library(tmp_path: Path) -> None:
    """Byte for byte; another seed makes other threats, and every one can be seen."""
    steps: list[tuple[int, int]] = []
    assert write(ASKED._replace(out=tmp_path / "a"), lambda done, of: steps.append((done, of))) == 6
    assert steps == [(number, 6) for number in range(1, 7)]
    write(ASKED._replace(out=tmp_path / "b"), lambda *_: None)
    write(ASKED._replace(out=tmp_path / "c", seed=8), lambda *_: None)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, other = read_library(tmp_path / "a"), read_library(tmp_path / "c")
    assert [threat.label for threat in first] == ["gun"] * 3 + ["lithium_pack"] * 3
    assert len({threat.provenance for threat in first if threat.label == "gun"}) == 3, "one family thrice"
    for threat in (*first, *other):
        assert threat.pitch_mm == 1.2
        low, high = np.moveaxis(threat.transmission, 2, 0)
        assert high.min() < 0.6
        assert (low <= high + 1e-3).all(), "matter lets less of the low energy through"
    assert not np.array_equal(first[0].transmission, other[0].transmission)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ("gun", "rocket")}, "rocket; there are gun, knife"),
        ({"labels": ()}, "none; there are gun"),
        ({"out": Path(__file__)}, "name a folder that is empty"),
        ({"out": Path(__file__).parent}, "name a folder that is empty"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        write(ASKED._replace(out=tmp_path / "x")._replace(**change), lambda *_: None)
    assert not (tmp_path / "x").exists()


def test_what_is_usual_is_prohibited_in_itself() -> None:
    assert {"gun", "knife"} < set(USUAL)
    assert not {"bottle", "inner_parcel"} & set(USUAL)

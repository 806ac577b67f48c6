"""Calibration files: what is written comes back, what is damaged is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polychromatic as model
import pytest

from nii_edge.adapters.calibration_files import MAGIC, read_calibration, read_wedges, write_calibration
from nii_edge.errors import CalibrationError, CalibrationFault, ConfigError
from nii_edge.xray.calibrate import Calibration, Origin, calibrate


def a_calibration() -> Calibration:
    rng = np.random.default_rng(4)
    dark, air = rng.normal(500, 5, (64, 40, 2)), rng.normal(40_000, 300, (64, 40, 2))
    air[:, 7] = dark[:, 7]
    return calibrate(dark, air, Origin("lane-1", 1, 123, "columns", ("low", "high")))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    """All arrays, numbers, wedges and the repair plan; nothing else is left in the folder."""
    path, calibration = tmp_path / "lane-1.cal", a_calibration()
    write_calibration(path, calibration, model.wedges())
    stored = read_calibration(path)
    assert stored.wedges == model.wedges()
    assert list(tmp_path.iterdir()) == [path]
    for name in Calibration._fields:
        one, two = getattr(calibration, name), getattr(stored.calibration, name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
        elif name == "repairs":
            for before, after in zip(one, two, strict=True):
                for left, right in zip(before, after, strict=True):
                    np.testing.assert_array_equal(left, right)
        else:
            assert one == two


@pytest.mark.parametrize("where", [0, len(MAGIC), len(MAGIC) + 40, -1])
def test_any_changed_byte_is_refused(tmp_path: Path, where: int) -> None:
    """In the head, the checksum or the body."""
    path = tmp_path / "a.cal"
    write_calibration(path, a_calibration())
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=r"a\.cal") as caught:
        read_calibration(path)
    assert caught.value.fault is CalibrationFault.DAMAGED


def test_short_and_absent_files_are_refused(tmp_path: Path) -> None:
    """Cut anywhere, empty, or not there."""
    path = tmp_path / "a.cal"
    write_calibration(path, a_calibration())
    data = path.read_bytes()
    for cut in (0, 5, len(MAGIC) + 10, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(CalibrationError):
            read_calibration(path)
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_calibration(tmp_path / "none.cal")


@pytest.mark.parametrize("name", ["offset", "gain", "air", "dark_noise", "air_noise"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, name: str) -> None:
    """Also in a file whose checksum fits: an older release wrote such files."""
    path, calibration = tmp_path / "a.cal", a_calibration()
    values = np.array(getattr(calibration, name))
    values.flat[0] = np.nan
    broken = values if name in ("offset", "gain") else tuple(float(value) for value in values)
    write_calibration(path, calibration._replace(**{name: broken}))
    with pytest.raises(CalibrationError, match=rf"a\.cal: `{name}` holds NaN or infinity") as caught:
        read_calibration(path)
    assert caught.value.fault is CalibrationFault.DAMAGED


def test_wedges_are_read_from_yaml(tmp_path: Path) -> None:
    """As a person writes them; a wrong key is named with its place."""
    text = (
        "version: 1\nwedges:\n  - name: PE\n    z: 5.44\n    density: 0.95\n    steps:\n"
        "      - {thickness_mm: 10, t_low: 0.80, t_high: 0.83}\n"
    )
    path = tmp_path / "wedges.yaml"
    path.write_text(text)
    (wedge,) = read_wedges(path)
    assert (wedge.name, wedge.density, wedge.steps[0].t_high) == ("PE", 0.95, 0.83)
    path.write_text(text.replace("t_low", "low"))
    with pytest.raises(ConfigError, match=r"\$\.wedges\[0\]\.steps\[0\]"):
        read_wedges(path)

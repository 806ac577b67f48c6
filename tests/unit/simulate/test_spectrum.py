"""Tube spectra: right in what is known of them, and the same from disk as freshly made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nii_edge.errors import SceneError
from nii_edge.simulate.spectrum import Tube, cache_folder, spectrum


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spectrum.cache_clear()


def test_a_spectrum_ends_at_the_tube_voltage_and_shows_the_lines_of_tungsten() -> None:
    found = spectrum(Tube(160.0))
    assert found.energies.max() <= 160
    assert found.photons[found.energies < 15].sum() < 1e-3 * found.photons.sum()
    line = found.photons[np.abs(found.energies - 59.3) < 0.5].max()
    beside = found.photons[np.abs(found.energies - 63) < 0.5].max()
    assert line > 2 * beside


def test_filters_take_away_soft_photons_first() -> None:
    thin, thick = (spectrum(Tube(140.0, 20.0, (("aluminium", mm),))) for mm in (2.0, 6.0))
    kept = thick.photons[thin.photons > 0] / thin.photons[thin.photons > 0]
    assert (np.diff(kept) >= 0).all()
    assert kept[-1] < 1


@pytest.mark.usefixtures("_own_cache")
def test_a_kept_spectrum_is_the_made_one_and_a_damaged_file_is_made_again() -> None:
    tube = Tube(121.0)
    made = spectrum(tube)
    (kept,) = cache_folder().iterdir()
    whole = kept.read_bytes()
    for content in (whole, whole[: len(whole) // 2], b"", np.zeros(3).tobytes()):
        kept.write_bytes(content)
        spectrum.cache_clear()
        again = spectrum(tube)
        np.testing.assert_array_equal(again.photons, made.photons)
        assert kept.read_bytes() == whole


@pytest.mark.usefixtures("_own_cache")
def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))
    assert spectrum(Tube(122.0)).photons.sum() > 0


@pytest.mark.parametrize("kilovolts", [0.0, 20.0, 6000.0, float("nan")])
def test_voltages_outside_the_model_are_refused(kilovolts: float) -> None:
    with pytest.raises(SceneError, match="expected 40 to 300 kV"):
        spectrum(Tube(kilovolts))

"""`nii-edge fit-cartons` and `evaluate-cartons` as their users meet them, on few cartons."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import ROOT, SHIELDING, command

from nii_edge.commands.measure_cartons import HISTORY_SEED, LEAST_HISTORY

KEYS = {
    "auroc_bank", "auroc_online", "master_carton_pd_at_pfa1", "count_ok", "mass_error_median",
    "fused_pd_at_pfa2", "ms_per_carton",
}  # fmt: skip
"""Plain numbers that others read."""


def run(*arguments: str | Path) -> dict[str, Any]:
    line = command(*map(str, arguments), "--json")
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(900)
def test_a_fit_of_few_cartons_is_measured_and_measures_the_same_twice(tmp_path: Path) -> None:
    """Every number that others read is there, is a rate or NaN where nothing says it, and its interval holds
    it; what was simulated is kept, and gives the same numbers again."""
    fit, data = tmp_path / "fit.npz", tmp_path / "data"
    # fitted on the very cartons that are the history afterwards: simulating is what takes the time
    made = run(
        "fit-cartons", "--out", fit, "--consignments", str(LEAST_HISTORY), "--without-detector",
        "--seed", str(8 + HISTORY_SEED), "--recipe", ROOT / "configs" / "simulate" / "test.yaml",
        "--data", data / "history",
    )  # fmt: skip
    assert made["cartons"] > made["lying"] > 0
    asked = ("evaluate-cartons", "--cartons", "60", "--seed", "8", "--fit", fit, "--data", data)
    found = run(*asked)
    assert found.keys() >= KEYS | {"intervals", "baselines", "per_lie"}
    assert found["cartons"] >= 60
    assert found["fit"] == made["sha256"][:12]
    for key in KEYS - {"ms_per_carton", "mass_error_median"}:
        value = found[key]
        assert value is None or math.isnan(value) or 0 <= value <= 1, key
    assert 0 < found["ms_per_carton"] < 10_000
    for key, (low, high) in found["intervals"].items():
        if all(isinstance(value, float) for value in (low, high, found[key])):
            assert low <= found[key] <= high or math.isnan(low), key
    again = run(*asked)
    for volatile in ("seconds", "ms_per_carton"):
        del found[volatile], again[volatile]
    assert json.dumps(again) == json.dumps(found)


def test_too_few_cartons_and_another_detector_are_named(tmp_path: Path) -> None:
    """No fit of cartons none of which lies, and none measured with a detector that it was not fitted with."""
    tree = yaml.safe_load((ROOT / "configs" / "simulate" / "train.yaml").read_text())
    tree["consignments"] |= {"stories": {"plain": 1}, "cartons": [3, 3], "litres": [8, 10]}
    recipe, honest = tmp_path / "honest.yaml", tmp_path / "honest"
    recipe.write_text(yaml.safe_dump(tree))
    run(
        "simulate", "--out", honest, "--recipe", recipe, "--consignments", "8", "--luggage", "0",
        "--no-pictures", "--seed", "5",
    )  # fmt: skip
    done = refused(
        "fit-cartons", "--out", str(tmp_path / "fit.npz"), "--from", str(honest), "--without-detector"
    )
    assert "24 cartons cannot be fitted to: none of 24 cartons lies" in done
    assert "Traceback" not in done
    assert "Warning" not in done
    assert not (tmp_path / "fit.npz").exists()
    other = refused("evaluate-cartons", "--cartons", "60", "--detector", str(SHIELDING))
    assert "was fitted with detector" in other


def refused(*arguments: str) -> str:
    """What a command that fails says."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    return done.stderr

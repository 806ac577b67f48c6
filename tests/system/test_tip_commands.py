"""What the commands say of a library of threats, and the one that makes a library."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import Site, command
from threat_library import library

from nii_edge.adapters.threat_files import INDEX


def test_check_names_the_library_and_refuses_a_bad_one(site: Site) -> None:
    """`check` says what would be projected where; a library that is wrong ends `check` and `run` by name."""
    threats = library(site.folder / "threats")
    config = site.edge_config(
        tip={"library": "threats", "rate": 0.02, "labels": {"block": ["impenetrable_area"]}}
    )

    def check() -> tuple[int, dict[str, Any]]:
        done = subprocess.run(command("check", str(config), "--json"), capture_output=True, check=False)
        return done.returncode, json.loads(done.stdout)

    status, said = check()
    assert status == 0, said
    (line,) = [line for line in said["would_run"] if "threats" in line]
    assert line == (
        f"projects threats into 2% of the operational scans of lane-1, from {threats}: block (1); "
        "not of replay: no counts, or no pixel pitch"
    )
    for labels, says in (({"gun": []}, "no threat 'gun'"), ({"block": ["gun"]}, "no detector finds 'gun'")):
        site.edge_config(tip={"library": "threats", "labels": labels})
        status, said = check()
        assert status == 1
        assert says in said["problems"][0]
    (threats / "block-1.npz").write_bytes(b"something else")
    site.edge_config(tip={"library": "threats"})
    status, said = check()
    assert status == 1
    assert "block-1.npz: altered" in said["problems"][0]
    started = subprocess.run(command("run", str(config)), capture_output=True, check=False, text=True)
    assert started.returncode == 1
    assert "block-1.npz: altered" in started.stderr
    (threats / INDEX).unlink()
    assert "no threats.yaml there" in check()[1]["problems"][0]
    assert "no threats" in " ".join(_would_run(site))


@pytest.mark.parametrize(
    ("through", "words"), [((0.4, 0.5), ""), ((0.5, 0.4), "threat block-1: ENERGIES_SWAPPED")]
)
def test_a_threat_with_exchanged_energies_is_refused(
    site: Site, through: tuple[float, float], words: str
) -> None:
    """No material lets more of the low energy through: how often it is found would say nothing."""
    library(site.folder / "threats", through)
    config = site.edge_config(tip={"library": "threats"})
    done = subprocess.run(command("check", str(config), "--json"), capture_output=True, check=False)
    assert (done.returncode == 1) == bool(words)
    assert words in " ".join(json.loads(done.stdout).get("problems", ()))


def _would_run(site: Site) -> list[str]:
    done = subprocess.run(
        command("check", str(site.edge_config()), "--json"), capture_output=True, check=False
    )
    lines: list[str] = json.loads(done.stdout)["would_run"]
    return lines


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1.5}, {"rates": 0.1}, {}])
def test_a_wrong_section_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    section = wrong if not wrong else {"library": "threats", **wrong}
    config = site.edge_config(tip=section)
    done = subprocess.run(command("check", str(config)), capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert "$.tip" in done.stdout


def test_simulated_threats_are_a_library(tmp_path: Path) -> None:
    """What `nii-edge threats` makes, `check` would project."""
    folder = tmp_path / "threats"
    made = subprocess.run(
        command("threats", "--out", str(folder), "--labels", "gun,shielding", "--each", "2", "--json"),
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert json.loads(made.stdout)["threats"] == 4
    tip_config = {"library": str(folder), "rate": 0.5, "labels": {"gun": ["impenetrable_area"]}}
    config = Site(tmp_path).edge_config(tip=tip_config)
    checked = subprocess.run(command("check", str(config)), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "gun (2), shielding (2)" in checked.stdout.replace("\n", " ")

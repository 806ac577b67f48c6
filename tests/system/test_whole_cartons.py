"""A lane that shows one carton a frame: cut ones and two at once are UNKNOWN, by name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cartons import SCANNER, consignment
from harness import Site, command

from nii_edge.adapters.calibration_files import write_calibration
from nii_edge.client import Picture, ScannerClient
from nii_edge.records import Decision, Reason
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.makes import SCANNERS

Views = list[np.ndarray]


def lane(site: Site, *, with_calibration: bool = True) -> dict[str, object]:
    unit = calibrated(SCANNERS[SCANNER])
    files = []
    for view, (detector, wedges) in enumerate(zip(unit.detectors, unit.wedges, strict=True)):
        files.append(str(site.folder / f"{view}.cal"))
        write_calibration(Path(files[-1]), detector, wedges)
    profile = msgspec.structs.replace(unit.profile, shows="carton")
    scanner: dict[str, object] = {"profile": str(site.write("scanner.yaml", msgspec.to_builtins(profile)))}
    if with_calibration:
        scanner |= {"calibration": files, "calibration_hours": 1e6}
    return {"scanners": {SCANNER: scanner}, "deadline_ms": 60_000}


def pictures(views: Views) -> list[Picture]:
    return [
        Picture(np.ascontiguousarray(v).tobytes(), v.shape[0], v.shape[1], ("low", "high"), "uint16")
        for v in views
    ]


@pytest.mark.timeout(120)
def test_only_whole_cartons_are_judged(tmp_path: Path) -> None:
    """Half of a carton, and two of them in one frame."""
    first, second = ([frame.pixels for frame in consignment().frames[n]] for n in range(2))
    assert consignment().lane.profile.belt_axis == "columns"
    half = [view[:, : view.shape[1] // 2] for view in first]
    both = [np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True)]
    site = Site(tmp_path)
    edge = site.edge(**lane(site))
    found = []
    with ScannerClient(edge.endpoints["scanners"], SCANNER, deadline_s=60) as scanner:
        for views in (first, half, both):
            answer = scanner.wait(scanner.send(pictures(views)))
            found.append((answer.decision, answer.reason))
    site.close()
    assert found[0][0] is not Decision.UNKNOWN
    assert found[1:] == [(Decision.UNKNOWN, Reason.CUT), (Decision.UNKNOWN, Reason.MERGED)]


@pytest.mark.timeout(60)
def test_without_a_calibration_nobody_can_tell(tmp_path: Path) -> None:
    site = Site(tmp_path)
    config = site.edge_config(**lane(site, with_calibration=False))
    done = subprocess.run(
        command("check", str(config), "--json"), capture_output=True, text=True, check=False, timeout=50
    )
    site.close()
    assert done.returncode == 1
    assert "shows: carton" in json.loads(done.stdout)["problems"][0]

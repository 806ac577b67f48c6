"""From a scanner's own dark, air and wedge scans to a daemon that reads its counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from harness import Site

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.client import Picture, ScannerClient
from nii_edge.records import Decision, Frame
from nii_edge.simulate import scan as virtual
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.materials import DENSITIES, effective_z
from nii_edge.simulate.scanner import steady
from nii_edge.xray.material import look_up, mass_grams
from nii_edge.xray.optics import planes_of

MAKE = SCANNERS["depot"]
WEDGES = {  # material, effective Z and density as engraved on the wedge, thicknesses in mm
    "polyethylene": (5.44, 0.94, (5, 15, 40, 90, 160, 260)),
    "water": (7.42, 1.0, (5, 15, 40, 90, 160, 260)),
    "aluminium": (13.0, 2.70, (1, 4, 10, 25, 50, 90)),
    "steel": (26.0, 7.87, (0.3, 1, 2.5, 6, 12, 20)),
}


class Files(NamedTuple):
    folder: Path
    profile: Path
    calibration: Path


def upright(lines: np.ndarray) -> np.ndarray:
    """Lines as a picture whose columns are lines, as the shipped profile has it."""
    return np.ascontiguousarray(lines.swapaxes(0, 1))


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "nii_edge", "scanner", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=110)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What an engineer records at a new scanner, and the calibration made of it."""
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(1)
    still = steady(MAKE)
    np.save(folder / "dark.npy", upright(virtual.dark_frames(MAKE, rng, 128, still)[0]))
    np.save(folder / "air.npy", upright(virtual.air_frames(MAKE, rng, 128, still)[0]))
    wedges = []
    for name, (z, density, thicknesses) in WEDGES.items():
        scans = virtual.wedge_scan(MAKE, name, thicknesses, rng, 48, still)[0]
        steps = []
        for mm, lines in zip(thicknesses, scans, strict=True):
            np.save(folder / f"{name}-{mm}.npy", upright(lines))
            steps.append({"thickness_mm": mm, "scan": f"{name}-{mm}.npy"})
        wedges.append({"name": name, "z": z, "density": density, "steps": steps})
    (folder / "wedges.yaml").write_text(yaml.safe_dump({"version": 1, "wedges": wedges}))
    profile = {
        "version": 1, "name": "depot", "views": ["only"], "pixel_pitch_mm": [MAKE.line_pitch, 0.8],
        "formats": [{"channels": ["low", "high"], "dtype": "uint16", "air": MAKE.electronics.full_scale}],
        "belt_axis": "columns", "palette": "none", "penetration_limit": 0.001, "black_level": 0.17,
    }  # fmt: skip
    (folder / "profile.yaml").write_text(yaml.safe_dump(profile))
    made = Files(folder, folder / "profile.yaml", folder / "only.cal")
    done = command(
        "calibrate", "lane-1", "--profile", made.profile, "--dark", folder / "dark.npy",
        "--air", folder / "air.npy", "--wedges", folder / "wedges.yaml", "--out", made.calibration,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 wedges" in done.stdout
    return made


def counts_of(material: str, mm: float, seed: int) -> np.ndarray:
    """A frame of a slab, on another day: the tube and the detector have drifted since the calibration."""
    rng = np.random.default_rng(seed)
    return upright(virtual.wedge_scan(MAKE, material, (mm,), rng, 96)[0][0])


@pytest.mark.parametrize(
    ("material", "mm"),
    [("polyethylene", 60), ("water", 100), ("pvc", 20), ("nylon", 80), ("glass", 12), ("sugar", 120),
     ("wood", 150), ("soap", 60)],
)  # fmt: skip
def test_mass_closes_within_ten_percent_on_its_own_wedges(files: Files, material: str, mm: float) -> None:
    """Non-metals, the simulator's own tables unseen: areal density within 10 %, Z within 1.5."""
    optics = read_optics(files.calibration, 0.001)
    assert optics.materials is not None
    frame = Frame(
        view=0, channels=("low", "high"), pixels=counts_of(material, mm, 7), full_scale=50_000.0,
        opaque_below=1e-3,
    )  # fmt: skip
    found = look_up(planes_of(frame, optics), optics.materials)
    area_cm2 = 0.08 * 0.08
    mass = mass_grams(found, area_cm2)
    truth = DENSITIES[material] * mm / 10 * area_cm2 * frame.pixels.shape[0] * frame.pixels.shape[1]
    assert mass.grams == pytest.approx(truth, rel=0.10)
    assert not mass.lower_bound
    assert float(np.nanmedian(found.z)) == pytest.approx(effective_z(material), abs=1.5)


def test_a_calibrated_lane_screens_raw_counts_and_wrong_calibrations_are_named(
    files: Files, tmp_path: Path
) -> None:
    """The daemon reads counts with dark offset and uneven gain; another lane's file is refused by name."""
    site = Site(tmp_path)
    lane = {"profile": str(files.profile), "calibration": [str(files.calibration)]}
    try:
        edge = site.edge(scanners={"lane-1": lane})
        pixels = counts_of("water", 60, 3)
        picture = Picture(pixels.tobytes(), *pixels.shape[:2], ("low", "high"), "uint16")
        with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10) as scanner:
            assert scanner.wait(scanner.send([picture])).decision is Decision.CLEAR
            narrow = np.ascontiguousarray(pixels[:-8])
            picture = Picture(narrow.tobytes(), *narrow.shape[:2], ("low", "high"), "uint16")
            answer = scanner.wait(scanner.send([picture]))
        assert answer.decision is Decision.UNKNOWN
        assert "WRONG_WIDTH" in answer.detail
        config = site.edge_config(scanners={"lane-2": lane})
    finally:
        site.close()
    line = [sys.executable, "-m", "nii_edge", "check", str(config), "--json"]
    checked = json.loads(subprocess.run(line, capture_output=True, text=True, check=False).stdout)
    assert not checked["ok"]
    assert "it is scanner lane-1's, not lane-2's" in checked["problems"][0]


def test_a_dark_tube_and_too_few_lines_make_no_calibration(files: Files, tmp_path: Path) -> None:
    """Refused in words, and no file is left behind."""
    air = np.load(files.folder / "air.npy")
    np.save(tmp_path / "dark-air.npy", np.load(files.folder / "dark.npy"))
    np.save(tmp_path / "few.npy", air[:, :8])
    for file, words in (("dark-air.npy", "NOT_AIR"), ("few.npy", "TOO_FEW_LINES")):
        done = command(
            "calibrate", "lane-1", "--profile", files.profile, "--dark", files.folder / "dark.npy",
            "--air", tmp_path / file, "--out", tmp_path / "bad.cal",
        )  # fmt: skip
        assert done.returncode == 1
        assert words in done.stderr
        assert not (tmp_path / "bad.cal").exists()


@pytest.mark.parametrize(
    ("name", "out", "words"),
    [("../lane 1", "x.cal", "expected the lane's name"), ("lane-1", ".", "expected a file to write"),
     ("lane-1", "no/such/x.cal", "in a folder that exists")],
)  # fmt: skip
def test_a_name_or_place_that_cannot_be_is_refused_before_anything_is_measured(
    files: Files, tmp_path: Path, name: str, out: str, words: str
) -> None:
    done = command(
        "calibrate", name, "--profile", files.profile, "--dark", files.folder / "dark.npy",
        "--air", files.folder / "air.npy", "--out", tmp_path / out,
    )  # fmt: skip
    assert done.returncode != 0
    assert words in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []

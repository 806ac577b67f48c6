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
from harness import ROOT, Site
from plate import plate

from nii_edge.adapters.calibration_files import read_optics, write_calibration
from nii_edge.client import Picture, ScannerClient
from nii_edge.commands import scanner_files
from nii_edge.commands.scanner_files import Lane
from nii_edge.errors import CalibrationError, CalibrationFault, ConfigError
from nii_edge.records import Decision, Frame
from nii_edge.simulate import scan as virtual
from nii_edge.simulate.calibrated import calibrated, profile_of
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
        "version": 1, "name": "depot", "views": ["only"],
        "pixel_pitch_mm": list(profile_of(MAKE).pixel_pitch_mm or ()),
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


def test_lines_that_are_turned_make_no_calibration(files: Files, tmp_path: Path) -> None:
    """As many lines as pixels would fit every frame, with the gain of a line for that of a pixel."""
    for name in ("dark", "air"):
        np.save(tmp_path / f"{name}.npy", np.load(files.folder / f"{name}.npy").swapaxes(0, 1))
    with pytest.raises(
        CalibrationError, match=r"the arrays are turned, or .* `belt_axis` \(columns\)"
    ) as caught:
        scanner_files.calibrate(
            "lane-1",
            0,
            files.profile,
            tmp_path / "dark.npy",
            tmp_path / "air.npy",
            None,
            tmp_path / "bad.cal",
        )
    assert caught.value.fault is CalibrationFault.PROFILE_MISMATCH
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


@pytest.mark.parametrize(
    ("wedge", "change", "words"),
    [(None, "thickness_mm", "wedge polyethylene"), (2, "thickness_mm", "wedge aluminium"),
     (3, "density", "wedge steel")],
)  # fmt: skip
def test_wedges_of_other_units_make_no_calibration(
    files: Files, tmp_path: Path, wedge: int | None, change: str, words: str
) -> None:
    """Centimetres for millimetres in all wedges or one, a density of an eighth: every mass would be wrong."""
    tree = yaml.safe_load((files.folder / "wedges.yaml").read_text())
    for index, entry in enumerate(tree["wedges"]):
        for step in entry["steps"]:
            step["scan"] = str(files.folder / step["scan"])
            step["thickness_mm"] *= 0.1 if change == "thickness_mm" and wedge in (None, index) else 1
        entry["density"] *= 0.13 if change == "density" and wedge == index else 1
    (tmp_path / "wedges.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(CalibrationError, match=rf"wedges.yaml: {words}.*thickness_mm \(in mm\)") as caught:
        scanner_files.calibrate(
            "lane-1", 0, files.profile, files.folder / "dark.npy", files.folder / "air.npy",
            tmp_path / "wedges.yaml", tmp_path / "bad.cal",
        )  # fmt: skip
    assert caught.value.fault is CalibrationFault.BAD_WEDGES
    assert not (tmp_path / "bad.cal").exists()


@pytest.fixture(scope="module")
def piece(files: Files) -> Path:
    """The test piece's layout without limits; beside it its scan, and that with channels exchanged."""
    tree = yaml.safe_load((ROOT / "configs" / "test-piece.yaml").read_text())
    del tree["limits"]
    (files.folder / "piece.yaml").write_text(yaml.safe_dump(tree))
    counts = upright(virtual.scan([plate()], MAKE, np.random.default_rng(5))[0].counts).astype(np.uint16)
    np.save(files.folder / "piece.npy", counts)
    np.save(files.folder / "exchanged.npy", counts[:, :, ::-1])
    return files.folder / "piece.yaml"


def test_a_self_test_names_swapped_energies(files: Files, piece: Path, tmp_path: Path) -> None:
    """A piece in order passes and says what it was calibrated with; exchanged channels fail by their name."""
    found = {}
    for name in ("piece", "exchanged"):
        done = command(
            "self-test", files.folder / f"{name}.npy", "--piece", piece, "--profile", files.profile,
            "--scanner", "lane-1", "--view", 0, "--calibration", files.calibration,
            "--history", tmp_path / "lane-1.jsonl", "--json",
        )  # fmt: skip
        found[name] = (done.returncode, json.loads(done.stdout))
    status, tree = found["piece"]
    assert (status, tree["grade"], tree["problem"]) == (0, "pass", "")
    assert "lane-1, view 0, made 0." in tree["calibration"]
    status, tree = found["exchanged"]
    assert (status, tree["grade"]) == (1, "fail")
    assert tree["problem"].startswith("ENERGIES_SWAPPED")
    assert len((tmp_path / "lane-1.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("lane", "changes", "fault", "words"),
    [
        (Lane("lane-2"), {}, CalibrationFault.PROFILE_MISMATCH, "it is scanner lane-1's, not lane-2's"),
        (Lane(view=1), {}, CalibrationFault.PROFILE_MISMATCH, "it is for view 0, not 1"),
        (Lane(hours=1e-6), {}, CalibrationFault.STALE, "make a new one"),
        (Lane(), {"belt_axis": "rows"}, CalibrationFault.PROFILE_MISMATCH, "its belt runs along columns"),
        (
            Lane(),
            {"geometry": [{"source_mm": [0, 1100], "detector_mm": [[-430, -80], [430, -80]], "pitch_mm": 2}]},
            CalibrationFault.WRONG_WIDTH,
            "the profile's `geometry` has room for 430",
        ),
    ],
)
def test_a_self_test_takes_no_calibration_that_a_daemon_refuses(
    files: Files, piece: Path, tmp_path: Path, lane: Lane, changes: dict[str, object],
    fault: CalibrationFault, words: str,
) -> None:  # fmt: skip
    """Another scanner's or view's, an old one, one of another belt or width; no history is written."""
    profile, history = tmp_path / "profile.yaml", tmp_path / "lane-1.jsonl"
    profile.write_text(yaml.safe_dump(yaml.safe_load(files.profile.read_text()) | changes))
    scan = files.folder / "piece.npy"
    with pytest.raises(CalibrationError, match=rf"only.cal: .*{words}") as caught:
        scanner_files.test_piece(scan, piece, profile, files.calibration, history, lane)
    assert caught.value.fault is fault
    assert not history.exists()


def test_a_self_test_takes_a_month_old_calibration_only_if_told_so(
    files: Files, piece: Path, tmp_path: Path
) -> None:
    """One of the turn of the year 2026 is STALE, whoever it belongs to; hours must be a number above 0."""
    write_calibration(tmp_path / "old.cal", calibrated(MAKE).detectors[0])
    scan, calibration = files.folder / "piece.npy", tmp_path / "old.cal"
    with pytest.raises(CalibrationError, match=r"old.cal: made .* h ago; at most 168.0 h are allowed"):
        scanner_files.test_piece(scan, piece, files.profile, calibration, None, Lane())
    tested = scanner_files.test_piece(scan, piece, files.profile, calibration, None, Lane(hours=800_000))
    assert "old.cal: depot, view 0, made " in tested.calibration
    for hours in (0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"--calibration-hours .*: expected above 0"):
            scanner_files.test_piece(scan, piece, files.profile, calibration, None, Lane(hours=hours))

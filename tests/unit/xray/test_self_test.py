"""The daily self-test: a good scanner passes, each way to get worse shows in its own number."""

from __future__ import annotations

from functools import cache

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import polychromatic as model
import pytest
from plate import plate

from nii_edge.records import Frame
from nii_edge.simulate.calibrated import calibrated, upright
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.scan import scan
from nii_edge.xray.calibrate import Noise
from nii_edge.xray.material import MaterialTable, build_table
from nii_edge.xray.measures import edge_resolution, wire_visibility
from nii_edge.xray.optics import planes_of
from nii_edge.xray.self_test import Edge, Limit, Patch, SelfTest, Step, TestPiece, Wire, run

PITCH = (0.8, 0.8)
GRID, MARGIN = 0.2, 40.0
"""Of the drawing, in mm."""
PIECE = TestPiece(
    name="plate",
    size_mm=(300, 200),
    steps=tuple(
        Step(steel_mm=mm, bar=(10 + 40 * i, 10, 24 + 40 * i, 40), beside=(28 + 40 * i, 10, 42 + 40 * i, 40))
        for i, mm in enumerate((4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0))
    ),
    wires=tuple(
        Wire(diameter_mm=mm, place=(10 + 30 * i, 55, 34 + 30 * i, 95), runs="down")
        for i, mm in enumerate((0.1, 0.2, 0.32, 0.5, 0.8))
    ),
    edges=(Edge(place=(20, 110, 50, 150), runs="down"), Edge(place=(60, 110, 100, 140), runs="across")),
    patches=(
        Patch(material="PE", z=5.44, place=(120, 110, 150, 140)),
        Patch(material="Al", z=13.0, place=(160, 110, 190, 140)),
        Patch(material="Fe", z=26.0, place=(200, 110, 230, 140)),
    ),
)
LIMITS = (
    Limit(metric="penetration_mm", warn=20, fail=16),
    Limit(metric="wire_mm", warn=0.32, fail=0.5),
    Limit(metric="resolution_across_lp_mm", warn=0.4, fail=0.3),
    Limit(metric="resolution_along_lp_mm", warn=0.4, fail=0.3),
    Limit(metric="material_separation", warn=5, fail=3),
    Limit(metric="z_error", warn=1.0, fail=2.0),
    Limit(metric="noise_percent", warn=2, fail=4),
    Limit(metric="size_error_percent", warn=3, fail=6),
)
TABLE = build_table(model.wedges(), Noise((1e-4, 1e-4), (0.011, 0.011)), 1e-3)


def drawn() -> dict[str, npt.NDArray[np.float32]]:
    """g/cm2 of each material on a grid of `GRID` mm, the piece `MARGIN` mm from the frame's corner."""
    height, width = round(280 / GRID), round(380 / GRID)
    grams = {name: np.zeros((height, width), np.float32) for name in ("PE", "Al", "Fe", "Pb")}

    def box(name: str, place: tuple[float, float, float, float], amount: float) -> None:
        x0, y0, x1, y1 = (round((mm + MARGIN) / GRID) for mm in place)
        grams[name][y0:y1, x0:x1] += amount

    box("PE", (0, 0, 300, 200), 0.6)
    for step in PIECE.steps:
        box("Fe", (step.bar[0] - 2, 8, step.beside[2] + 2, 44), step.steel_mm * 0.787)
        box("Pb", (step.bar[0] - 1, 8, step.bar[2] + 1, 44), 2.0)
    for wire in PIECE.wires:
        middle, wide = (wire.place[0] + wire.place[2]) / 2, max(wire.diameter_mm, GRID)
        area = np.pi / 4 * wire.diameter_mm**2 * 0.787  # g/cm2 times mm
        box("Fe", (middle - wide / 2, 50, middle + wide / 2, 100), area / wide)
    outlines = (
        ((35, 105), (53, 105), (53, 155), (31, 155)),
        ((55, 126), (105, 122), (105, 150), (55, 150)),
    )
    for outline in outlines:
        mask = np.zeros((height, width), np.uint8)
        at = np.array([[(x + MARGIN) / GRID, (y + MARGIN) / GRID] for x, y in outline], np.int32)
        cv2.fillPoly(mask, [at], 1)
        grams["Fe"] += 0.4 * mask
    for patch, amount in zip(PIECE.patches, (6.0, 4.0, 1.2), strict=True):
        x0, y0, x1, y1 = patch.place
        window = (x0 - 2, y0 - 2, x1 + 2, y1 + 2)
        box("PE", window, -0.6)
        box(patch.material, window, amount)
    return grams


@cache
def through() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What passes the drawn piece, low and high energy, without noise or blur."""
    grams = drawn()
    both = []
    for weights in (model.LOW, model.HIGH):
        passed = np.zeros(grams["PE"].shape, np.float32)
        for bin_, weight in enumerate(weights / weights.sum()):
            total = sum(np.float32(model.ATTENUATION[name][bin_]) * grams[name] for name in grams)
            passed += np.float32(weight) * np.exp(-total)
        both.append(passed)
    return both[0], both[1]


def scanned(
    photons: float = 8_000, blur_px: float = 0.5, stretch: float = 1.0, high_like_low: float = 0.0
) -> npt.NDArray[np.float32]:
    """The piece as a scanner of 0.8 mm pixels sees it."""
    rng = np.random.default_rng(1)
    low, high = through()
    size = (round(380 / 0.8 * stretch), round(280 / 0.8))
    planes = []
    for plane in (low, high * (1 - high_like_low) + low * high_like_low):
        seen = cv2.GaussianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), (0, 0), blur_px)
        planes.append(rng.poisson(seen * photons) / photons + rng.normal(0, 1e-4, seen.shape))
    return np.stack(planes).astype(np.float32)


def measured(planes: npt.NDArray[np.float32]) -> SelfTest:
    return run(planes, PIECE, PITCH, LIMITS, 1, TABLE)


def grades(result: SelfTest) -> dict[str, str]:
    return {measurement.metric: measurement.grade for measurement in result.measurements}


def values(result: SelfTest) -> dict[str, float]:
    return {measurement.metric: measurement.value for measurement in result.measurements}


GOOD = measured(scanned())


def test_a_good_scanner_passes_everything() -> None:
    """All eight numbers are there, all pass, and they are what the drawing says."""
    assert GOOD.problem == ""
    assert set(grades(GOOD)) == {limit.metric for limit in LIMITS}
    assert set(grades(GOOD).values()) == {"pass"}, values(GOOD)
    assert GOOD.grade == "pass"
    assert values(GOOD)["noise_percent"] == pytest.approx(100 / 8_000**0.5, rel=0.1)
    assert values(GOOD)["size_error_percent"] < 1


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"photons": 300}, "noise_percent"),
        ({"photons": 300}, "penetration_mm"),
        ({"photons": 120}, "wire_mm"),
        ({"blur_px": 2.0}, "resolution_across_lp_mm"),
        ({"blur_px": 2.0}, "resolution_along_lp_mm"),
        ({"stretch": 1.08}, "size_error_percent"),
        ({"high_like_low": 0.9}, "material_separation"),
        ({"high_like_low": 0.9}, "z_error"),
    ],
)
def test_each_way_to_get_worse_shows_in_its_number(changes: dict[str, float], metric: str) -> None:
    """Fewer photons, a blurred detector, a belt of the wrong speed, energies that no longer differ."""
    worse = measured(scanned(**changes))
    assert grades(worse)[metric] != "pass", values(worse)
    assert worse.grade != "pass"


def test_another_thing_on_the_belt_is_no_test_piece() -> None:
    """An empty belt and a carton are failures in words, without numbers."""
    empty = measured(np.ones((2, 350, 475), np.float32))
    assert (empty.grade, empty.measurements) == ("fail", ())
    assert "no test piece" in empty.problem
    carton = np.ones((2, 350, 475), np.float32)
    carton[:, 100:220, 100:220] = 0.5
    assert "measures 96 x 96 mm, the test piece plate 300 x 200 mm" in measured(carton).problem


@pytest.mark.parametrize("table", [TABLE, None])
def test_swapped_energies_are_named_with_wedges_or_without(table: MaterialTable | None) -> None:
    """Nothing else of the scan gave them away without wedges; with them only a wrong Z did."""
    swapped = run(scanned()[::-1], PIECE, PITCH, LIMITS, 1, table)
    assert (swapped.grade, swapped.measurements) == ("fail", ())
    assert swapped.problem.startswith("ENERGIES_SWAPPED: ")
    assert "ENERGIES_SWAPPED" not in run(scanned(), PIECE, PITCH, LIMITS, 1, table).problem


@pytest.mark.parametrize(
    ("changes", "table", "words"),
    [
        ({}, None, "z_error needs `patches` of the piece and a calibration with wedges"),
        ({"wires": (), "steps": ()}, TABLE, "penetration_mm needs `steps` of the piece; wire_mm needs"),
    ],
)
def test_a_limit_that_nothing_is_held_against_is_no_pass(
    changes: dict[str, tuple[()]], table: MaterialTable | None, words: str
) -> None:
    """A calibration made anew without wedges passed the limit of Z, since Z was not asked any more."""
    piece = msgspec.structs.replace(PIECE, **changes)
    tested = run(scanned(), piece, PITCH, LIMITS, 1, table)
    assert set(grades(tested).values()) == {"pass"}
    assert tested.grade == "fail"
    assert words in tested.problem
    asked = [limit for limit in LIMITS if limit.metric in grades(tested)]
    assert run(scanned(), piece, PITCH, asked, 1, table).grade == "pass"


@pytest.mark.parametrize("changes", [{"photons": 120}, {"high_like_low": 1.0}, {"blur_px": 2.0}])
def test_no_other_fault_is_taken_for_swapped_energies(changes: dict[str, float]) -> None:
    """Not even two energies that are the same."""
    assert measured(scanned(**changes)).problem == ""


@pytest.mark.parametrize("name", SCANNERS)
def test_every_virtual_scanner_tells_swapped_energies_from_its_test_piece(name: str) -> None:
    """In all views, drifted as usual since the calibration; also where the piece is seen on edge."""
    unit = calibrated(SCANNERS[name])
    for view, shot in enumerate(scan([plate()], unit.scanner, np.random.default_rng(1))):
        counts = upright(shot.counts).astype(np.uint16)
        problems = []
        for pixels in (counts, np.ascontiguousarray(counts[:, :, ::-1])):
            frame = Frame(
                view=view, channels=("low", "high"), pixels=pixels, opaque_below=1e-3,
                full_scale=unit.scanner.electronics.full_scale,
            )  # fmt: skip
            planes = planes_of(frame, unit.optics[view])
            problems.append(run(planes, PIECE, PITCH, LIMITS, 1).problem)
        assert "ENERGIES_SWAPPED" not in problems[0]
        assert "ENERGIES_SWAPPED" in problems[1]


@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.6, 2.5])
def test_edge_resolution_is_that_of_the_blur(sigma: float) -> None:
    """For a Gaussian, exp(-2 (pi f sigma)^2) is 0.2 at f = 0.2855 / sigma; pixels have a width too."""
    fine = np.zeros((60 * 8, 60 * 8), np.float32)
    for row in range(fine.shape[0]):
        fine[row, int(200 + row * 0.08) :] = 1.0
    edge = cv2.resize(cv2.GaussianBlur(fine, (0, 0), sigma * 8), (60, 60), interpolation=cv2.INTER_AREA)
    noisy = edge + np.random.default_rng(0).normal(0, 0.004, edge.shape).astype(np.float32)
    blur = np.hypot(sigma, 12**-0.5)
    expected = min((np.log(5) / 2) ** 0.5 / np.pi / blur, 0.5)
    assert edge_resolution(noisy) == pytest.approx(expected, rel=0.12)


def test_no_edge_and_no_wire_is_nothing() -> None:
    """Noise alone is not sharp, and is no wire; tiny areas say nothing."""
    noise = np.random.default_rng(0).normal(0.7, 0.01, (40, 40)).astype(np.float32)
    assert wire_visibility(noise) < 3.5
    assert wire_visibility(noise[:2]) == 0
    assert edge_resolution(noise[:4]) == 0


@pytest.mark.parametrize(
    ("limit", "value", "grade"),
    [
        ((20, 16), 21, "pass"),
        ((20, 16), 20, "pass"),
        ((20, 16), 18, "warn"),
        ((20, 16), 15, "fail"),
        ((2, 4), 1, "pass"),
        ((2, 4), 3, "warn"),
        ((2, 4), 5, "fail"),
        ((2, 4), float("nan"), "fail"),
        ((20, 16), float("nan"), "fail"),
        ((2, 4), float("inf"), "fail"),
    ],
)
def test_limits_know_which_way_is_worse(limit: tuple[float, float], value: float, grade: str) -> None:
    """Whichever of warn and fail is larger; what is no number fails."""
    assert Limit(metric="noise_percent", warn=limit[0], fail=limit[1]).grade(value) == grade

"""Cartons that a scanner cut in two or sent two at once are told from whole ones, on several makes."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest
from harness import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.config import Profile
from nii_edge.records import Frame, Reason
from nii_edge.simulate.calibrated import Calibrated, calibrated
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.produce import Job, produce
from nii_edge.simulate.recipe import load_recipe
from nii_edge.xray import whole

Counts = np.ndarray
MAKES = ("border", "depot", "sorter")


@cache
def scanned(make: str) -> tuple[Calibrated, list[tuple[Counts, ...]]]:
    """Its calibration and, with lines first, the views of three cartons."""
    recipe = load_recipe(ROOT / "configs" / "simulate" / ("test.yaml" if make == "border" else "train.yaml"))
    small = msgspec.structs.replace(
        recipe.consignments, stories={"mixed": 1.0}, cartons=(3, 3), litres=(8.0, 12.0)
    )
    made = produce(Job(msgspec.structs.replace(recipe, consignments=small), "consignment", 5, 0, make, False))
    unit = calibrated(SCANNERS[make])
    axis = 1 if unit.profile.belt_axis == "columns" else 0
    views = [tuple(np.moveaxis(shot.counts, axis, 0) for shot in scan.shots) for scan in made.scans]
    return unit, views


def said(unit: Calibrated, view: int, lines: Counts) -> Reason | None:
    """What is said of a view whose lines come first."""
    axis = 1 if unit.profile.belt_axis == "columns" else 0
    counts = np.ascontiguousarray(np.moveaxis(lines, 0, axis))
    found = whole.flaw(counts, unit.detectors[view])
    return None if found is None else found[0]


def content(unit: Calibrated, view: int, lines: Counts) -> tuple[int, int]:
    """First and last line of the carton."""
    cal = unit.detectors[view]
    through = (lines[:, :, -1].astype(np.float64) - cal.offset[-1]) * cal.gain[-1]
    through = through[:, through[0] < 2]  # without bad pixels
    groups = through[:, : through.shape[1] // 12 * 12].reshape(len(lines), -1, 12).mean(axis=2)
    groups /= np.quantile(groups, 0.9, axis=1, keepdims=True)
    dark = np.flatnonzero((groups < 0.96).any(axis=1))
    return int(dark[0]), int(dark[-1])


@pytest.mark.parametrize("make", MAKES)
def test_a_whole_carton_has_no_flaw(make: str) -> None:
    unit, cartons = scanned(make)
    assert [said(unit, view, lines) for views in cartons for view, lines in enumerate(views)] == [None] * sum(
        map(len, cartons)
    )


@pytest.mark.parametrize("make", MAKES)
@given(share=st.floats(0.1, 0.9), carton=st.integers(0, 2), lead=st.booleans())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_carton_cut_in_its_middle_is_cut(make: str, share: float, carton: int, lead: bool) -> None:
    """In one view at least, which is enough; how often it is missed says tools/cut_and_merge.py."""
    unit, cartons = scanned(make)
    found = []
    for view, lines in enumerate(cartons[carton]):
        first, last = content(unit, view, lines)
        at = int(first + share * (last - first))
        found.append(said(unit, view, lines[at:] if lead else lines[:at]))
    assert Reason.CUT in found


@pytest.mark.parametrize("make", MAKES)
@given(gap_mm=st.floats(15, 80), carton=st.integers(0, 1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_two_cartons_in_a_frame_are_merged(make: str, gap_mm: float, carton: int) -> None:
    """As near as a centimetre and a half, in one view at least."""
    unit, cartons = scanned(make)
    pitch = unit.profile.pixel_pitch_mm
    assert pitch is not None
    gap = round(gap_mm / pitch[0 if unit.profile.belt_axis == "columns" else 1])
    found = []
    for view, (one, other) in enumerate(zip(*cartons[carton : carton + 2], strict=True)):
        end, start = content(unit, view, one)[1] + 1, content(unit, view, other)[0]
        air = np.repeat(one[:6], -(-gap // 6), axis=0)[:gap]
        found.append(said(unit, view, np.concatenate([one[:end], air, other[start:]])))
    assert Reason.MERGED in found


@pytest.mark.parametrize("make", MAKES)
def test_a_little_belt_is_enough(make: str) -> None:
    """Eight lines of it; and an empty belt, however short, shows no carton at all."""
    unit, cartons = scanned(make)
    for views in cartons:
        for view, lines in enumerate(views):
            first, last = content(unit, view, lines)
            assert said(unit, view, lines[first - 8 : last + 9]) is None
            for few in (1, 2, 5, 8):
                assert said(unit, view, lines[:few]) is None


def test_lines_without_air_are_a_carton_however_even() -> None:
    """Goods over all of the detector let nothing be compared; what is opaque is even darker."""
    unit, cartons = scanned("depot")
    lines = cartons[0][0]
    offset = unit.detectors[0].offset.T
    for through in (0.5, 0.0):
        covered = lines[:40].copy()
        covered[:] = np.clip(offset + through * (covered - offset), 0, 65_535)
        assert said(unit, 0, np.concatenate([lines[:12], covered, lines[:12]])) is None
        assert said(unit, 0, np.concatenate([lines[:12], covered])) is Reason.CUT
        assert said(unit, 0, np.concatenate([covered, lines[:12], covered])) is Reason.CUT


def test_counts_that_no_calibration_is_for_are_refused_and_others_are_not_looked_at() -> None:
    """One energy where two were calibrated; a lane that shows stretches of belt."""
    unit, cartons = scanned("depot")
    axis = 1 if unit.profile.belt_axis == "columns" else 0
    pixels = np.ascontiguousarray(np.moveaxis(cartons[0][0][:, :, 1:], 0, axis))
    frame = Frame(view=0, pixels=pixels, channels=("high",), full_scale=50_000.0, opaque_below=0.001)
    shows = msgspec.structs.replace(unit.profile, shows="carton")
    found = whole.problem(frame, shows, unit.detectors[0])
    assert found is not None
    assert found[0] is Reason.PROFILE_MISMATCH
    assert whole.problem(frame, unit.profile, unit.detectors[0]) is None
    assert whole.problem(frame, shows, None) is None


def test_only_raw_counts_can_be_told_to_show_a_carton() -> None:
    profile = scanned("depot")[0].profile
    tree = msgspec.to_builtins(profile) | {"shows": "carton"}
    assert msgspec.convert(tree, Profile).shows == "carton"
    picture = {"channels": ["grey"], "dtype": "uint8", "air": None, "white": 255.0}
    with pytest.raises(msgspec.ValidationError, match="raw counts alone"):
        msgspec.convert(tree | {"formats": [*tree["formats"], picture]}, Profile)

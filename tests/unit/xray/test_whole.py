"""Cartons that a scanner cut in two or sent two at once are told from whole ones, on several makes."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest
from harness import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.records import Reason
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
    views = [tuple(np.moveaxis(shot.counts, axis, 0) for shot in carton.shots) for carton in made.cartons]
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
    dark = np.flatnonzero((through < 0.8 * np.median(through[:8], axis=0)).sum(axis=1) > 8)
    return int(dark[0]), int(dark[-1])


@pytest.mark.parametrize("make", MAKES)
def test_a_whole_carton_has_no_flaw(make: str) -> None:
    unit, cartons = scanned(make)
    assert [said(unit, view, lines) for views in cartons for view, lines in enumerate(views)] == [None] * sum(
        map(len, cartons)
    )


@pytest.mark.parametrize("make", MAKES)
@given(share=st.floats(0.1, 0.9), carton=st.integers(0, 2), lead=st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_carton_cut_anywhere_is_cut(make: str, share: float, carton: int, lead: bool) -> None:
    """In one view at least, which is enough."""
    unit, cartons = scanned(make)
    found = []
    for view, lines in enumerate(cartons[carton]):
        first, last = content(unit, view, lines)
        at = int(first + share * (last - first))
        found.append(said(unit, view, lines[at:] if lead else lines[:at]))
    assert Reason.CUT in found


@pytest.mark.parametrize("make", MAKES)
@given(gap=st.integers(24, 60), carton=st.integers(0, 1))
@settings(max_examples=12, deadline=None)
def test_two_cartons_in_a_frame_are_merged(make: str, gap: int, carton: int) -> None:
    """As near as three or four centimetres, in one view at least."""
    unit, cartons = scanned(make)
    found = []
    for view, (one, other) in enumerate(zip(*cartons[carton : carton + 2], strict=True)):
        end, start = content(unit, view, one)[1], content(unit, view, other)[0]
        air = one[:6].repeat(10, axis=0)[:gap]
        found.append(said(unit, view, np.concatenate([one[: end + 6], air, other[max(0, start - 6) :]])))
    assert Reason.MERGED in found


@pytest.mark.parametrize("make", MAKES)
def test_an_empty_belt_is_no_flaw_and_few_lines_are_no_crash(make: str) -> None:
    """Whether anything went by is for `quality` to say."""
    unit, cartons = scanned(make)
    for view, lines in enumerate(cartons[0]):
        first, _ = content(unit, view, lines)
        assert said(unit, view, lines[: max(first - 8, 4)]) is None
        for few in (1, 2, 5, 9):
            said(unit, view, lines[:few])

"""Average precision and the rates of cartons, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from nii_edge.learn.names import said
from nii_edge.learn.scoring import (
    Found,
    Wanted,
    alike,
    average_precision,
    calibration_error,
    detection_rate,
    matched_names,
    right_or_not,
    scaled,
)

NAMES = ("gun", "knife")
BOX = (10.0, 10.0, 50.0, 30.0)


def test_what_is_found_right_scores_one() -> None:
    scores = average_precision([(Wanted(BOX, 0),), ()], [(Found(BOX, 0, 0.9),), ()], NAMES)
    assert scores.map50 == pytest.approx(1)
    assert scores.per_class == {"gun": pytest.approx(1)}


def test_a_loose_box_counts_at_30_but_not_at_50() -> None:
    loose = (10.0, 10.0, 50.0, 60.0)  # IoU 0.4
    scores = average_precision([(Wanted(BOX, 1),)], [(Found(loose, 1, 0.9),)], NAMES)
    assert (scores.map50, scores.ap30) == (0, pytest.approx(1))


def test_a_surer_false_alarm_halves_the_precision() -> None:
    """One wrong detection before the right one: precision 1/2 at every recall."""
    found = (Found((60.0, 60.0, 90.0, 90.0), 0, 0.9), Found(BOX, 0, 0.8))
    assert average_precision([(Wanted(BOX, 0),)], [found], NAMES).map50 == pytest.approx(0.5)


def test_ignored_labels_neither_help_nor_hurt() -> None:
    wanted = (Wanted(BOX, 0), Wanted((60.0, 60.0, 90.0, 90.0), 0, ignored=True))
    found = (Found((60.0, 60.0, 90.0, 90.0), 0, 0.9), Found(BOX, 0, 0.8))
    assert average_precision([wanted], [found], NAMES).map50 == pytest.approx(1)
    assert right_or_not([wanted], [found]) == [(0.8, True)]


def test_nothing_found_is_no_error() -> None:
    assert average_precision([(Wanted(BOX, 0),)], [()], NAMES).map50 == 0
    assert average_precision([()], [()], NAMES).per_class == {}


def test_calibration_error_of_an_honest_and_of_a_boastful_model() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 1, 20_000)
    assert calibration_error(scores.tolist(), (rng.uniform(0, 1, 20_000) < scores).tolist()) < 0.02
    assert calibration_error([0.95] * 100, [False] * 50 + [True] * 50) == pytest.approx(0.45)


def test_names_match_whatever_their_dress() -> None:
    pairs, strange = matched_names(("gun", "lithium_pack"), ("Lithium Pack", "Guns", "umbrella"))
    assert pairs == {0: 1, 1: 0}
    assert strange == ["umbrella"]


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        (("Gun", "gun"), ("Gun", "gun"), {0: 0, 1: 1}),
        (("gun", "Gun"), ("Gun", "gun"), {0: 1, 1: 0}),
        (("gun",), ("Gun", "gun"), {1: 0}),  # the equal one, though it comes later
        (("gun",), ("Gun", "GUN"), {0: 0}),
        (("guns",), ("gun",), {0: 0}),
        (("gun",), ("guns",), {0: 0}),
        (("gun", "guns"), ("Guns", "Gun"), {0: 1, 1: 0}),
        (("glass",), ("gla",), {}),
        (("pressed_block",), ("Pressed-Block ",), {0: 0}),
        (("knife", "gun", "wrench"), ("Knives", "Guns", "Wrenches"), {0: 0, 1: 1, 2: 2}),
        (("scissors", "lithium_pack"), ("scissor", "Lithium  - Packs"), {0: 0, 1: 1}),
        (
            ("battery", "box", "glass", "shelf"),
            ("boxes", "Batteries", "shelves", "glasses"),
            {0: 1, 1: 0, 2: 3, 3: 2},
        ),
        (("gun",), ("Guns", "GUNS"), {0: 0}),
        (("knife",), ("Knives", "Knifes"), {}),  # either may be meant
        (("leaf", "leafe"), ("Leaves",), {}),
    ],
)
def test_equal_names_come_first_and_each_is_taken_once(
    ours: tuple[str, ...], theirs: tuple[str, ...], pairs: dict[int, int]
) -> None:
    found, strange = matched_names(ours, theirs)
    assert found == pairs
    assert strange == [name for index, name in enumerate(theirs) if index not in pairs]


@pytest.mark.parametrize(
    ("called", "theirs", "pairs"),
    [
        ({"class_0": ["\u5200"], "gun": ["gun"]}, ("gun", "\u5200"), {0: 1, 1: 0}),
        ({"class_0": ["\u5200"], "gun": ["gun"]}, ("class_0", "\u67aa"), {}),  # another's first class
        ({}, ("class_0",), {0: 0}),  # labels without names, as far as anyone knows
        (
            {"class_0": ["Se\u00e7a", "\u5200"]},
            ("\u5200", "Se\u00e7a", "x"),
            {0: 0, 1: 0},
        ),  # one was made of two
        ({"class_0": ["Caf\u00e9 (neu)"]}, ("cafe\u0301 (NEU)",), {0: 0}),
        ({"gun": ["Gun"], "class_0": ["gun"]}, ("gun",), {0: 0}),  # as they were, before as they are
    ],
)
def test_classes_are_known_by_what_their_labels_called_them(
    called: dict[str, list[str]], theirs: tuple[str, ...], pairs: dict[int, int]
) -> None:
    found, strange = matched_names(("class_0", "gun"), theirs, called)
    assert found == pairs
    assert strange == [name for index, name in enumerate(theirs) if index not in pairs]


def test_names_that_were_taken_for_others_are_said() -> None:
    """Not those that are equal, or that the labels which taught had."""
    ours, called = ("knife", "gun", "class_2"), {"class_2": ["\u5200"], "gun": ["Gun"]}
    theirs = ("Knives", "Gun", "\u5200", "umbrella")
    pairs, _ = matched_names(ours, theirs, called)
    assert said(ours, theirs, pairs, called) == ["took 'Knives' for knife"]
    assert said(ours, ("knife", "GUN"), {0: 0, 1: 1}, {}) == ["took 'GUN' for gun"]
    assert alike(("bottle", "inner_parcel"), ("Bottles", "knife")) == {"Bottles": "bottle"}


def test_detection_rate_keeps_false_alarms_below_what_is_allowed() -> None:
    honest = {f"h{k}": k / 100 for k in range(100)}
    lying = {"a": 0.985, "b": 0.5}
    rate, achieved, threshold = detection_rate(
        honest | lying, {key: key in lying for key in honest | lying}, 0.02
    )
    assert achieved <= 0.02
    assert rate == 0.5
    assert 0.97 < threshold < 0.985


def test_scaling_makes_a_boastful_model_honest() -> None:
    """Scores that are twice too sure in log-odds become shares of right ones, new ones too; where all are
    right there is nothing to learn from."""
    rng = np.random.default_rng(4)
    true = rng.uniform(0.02, 0.98, 20_000)
    right = (rng.uniform(0, 1, true.size) < true).tolist()
    odds = np.log(true / (1 - true))
    boast = 1 / (1 + np.exp(-(2 * odds + 1)))
    assert calibration_error(boast.tolist(), right) > 0.1
    half = true.size // 2
    made = scaled(boast[:half].tolist(), right[:half], boast[half:].tolist())
    assert calibration_error(made.tolist(), right[half:]) < 0.02
    assert scaled([0.5, 0.6], [True, True], [0.7]).tolist() == [0.7]

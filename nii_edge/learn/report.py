"""A training run as one page: its curves and the pictures on which the result is worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from nii_edge.learn.looking import Looked
from nii_edge.learn.page import _STYLE, _figure, _table, _worst, curve, listed
from nii_edge.learn.training import Progress


def write_report(
    path: Path, summary: msgspec.Struct, progress: Progress, looked: Sequence[Looked], names: Sequence[str]
) -> None:
    """Write the page."""
    tree: dict[str, Any] = msgspec.to_builtins(summary)
    last = max((row["minutes"] for row in progress.curve), default=1.0) or 1.0

    def line(key: str) -> list[tuple[float, float]]:
        return [(row["minutes"] / last, row[key]) for row in progress.curve if key in row]

    figures = [(key, value) for key, value in tree.items() if isinstance(value, int | float | str)]
    parts = [
        "<h1>Training</h1>",
        listed("Cautions", tree["cautions"]),
        _table(("", ""), figures),
        _table(("class", "in the labels", "AP50"), _by_class(tree)),
        _table(("class", "point", "threshold", "found", "right", "false alarms a picture"), _points(tree)),
        *(curve(line(key), "share of the time", name, _top(line(key))) for key, name in _CURVES),
        listed("Names", tree["taken_names"]),
        listed("Problems", tree["problems"]),
        "<h2>Worst validation pictures</h2><p>Red: labelled. Blue: found, with its score.</p>",
        *(_figure(one, names) for one in _worst(looked)),
    ]
    text = f"<!doctype html><html lang=en><meta charset=utf-8><title>Training</title><style>{_STYLE}</style>"
    path.write_text(text + "".join(parts) + "</html>", encoding="utf-8", errors="backslashreplace")


def _by_class(tree: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A row for each class: labels may call it what a bundle cannot."""
    return [
        (name, ", ".join(called), tree["per_class"].get(name, "-")) for name, called in tree["names"].items()
    ]


_CURVES = (("scores", "loss of scores"), ("boxes", "loss of boxes"), ("map50", "mAP50 on validation"))


def _points(tree: dict[str, Any]) -> list[tuple[Any, ...]]:
    """A row for each threshold to choose from."""
    return [
        (name, key, *("-" if point[what] is None else point[what] for what in _OF_POINTS))
        for name, own in tree["operating_points"].items()
        for key, point in own["points"].items()
    ]


_OF_POINTS = ("threshold", "recall", "precision", "false_alarms")


def _top(points: Sequence[tuple[float, float]]) -> float:
    return max((value for _, value in points), default=1.0) * 1.05 or 1.0

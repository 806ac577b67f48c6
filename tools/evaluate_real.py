"""Evaluate a detector on the 188 public pictures of real scanners, which nothing here was trained on.

    python tools/evaluate_real.py FOLDER [--bundle B] [--half open|locked|both] [--log FILE]

FOLDER holds `images/` and `annotations.json` (gun, knife, wrench; SIXray by way of two public repositories;
academic use only, not part of this project). Pictures of one bag belong together; half of the groups, drawn
by hash, are locked: look at them rarely, every run on them is logged. Intervals: 95 %, bootstrap over groups.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.bundle import load_bundle
from nii_edge.learn.looking import Eye, Looked, look_at, shipped_detector
from nii_edge.learn.readers import Dataset, read_dataset
from nii_edge.learn.scoring import average_precision, matched_names

Rgb = npt.NDArray[np.uint8]
SAME_BAG = (
    (42, 44, 49, 53, 55, 56, 59, 61, 73, 75), (50, 66), (40, 62), (57, 69), (25, 33), (4, 34), (87, 95),
    (100, 112), )  # fmt: skip
"""Numbers of pictures that show one bag, by eye and by likeness."""
NAMES = ("gun", "knife", "wrench")
RESAMPLES = 300
ALARM_AT = (0.3, 0.5, 0.7)


def group_of(name: str) -> str:
    """Which bag or item a picture shows; of normal items there are three views each, numbered in a row."""
    kind, number = Path(name).stem.split("_")
    if kind == "normal":
        return f"normal-{(int(number) - 120) // 3}"
    together = next((bags for bags in SAME_BAG if int(number) in bags), (int(number),))
    return f"{kind}-{together[0]}"


def locked(group: str) -> bool:
    """Whether a group is in the locked half."""
    return hashlib.sha256(group.encode()).digest()[0] < 128


def grey(rgb: Rgb) -> Rgb:
    """Without colour."""
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def recoloured(rgb: Rgb) -> Rgb:
    """Hues turned by a tenth of the circle, on a ground of light lilac."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int16) + 18) % 180
    ground = np.array((0.90, 0.85, 0.92), np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * ground, np.uint8)


LOOKS: dict[str, Callable[[Rgb], Rgb] | None] = {"as they are": None, "grey": grey, "recoloured": recoloured}


def class_scores(looked: Sequence[Looked], label: int, names: Sequence[str]) -> tuple[float, float]:
    """AP50 and AP30 of one class on its own pictures and the normal ones."""
    kept = [
        one for one in looked
        if one.picture.file.name.startswith("normal") or any(mark.label == label for mark in one.wanted)
    ]  # fmt: skip
    wanted = [tuple(mark for mark in one.wanted if mark.label == label) for one in kept]
    found = [tuple(f for f in one.found if f.label == label) for one in kept]
    scores = average_precision(wanted, found, names)
    return scores.map50, scores.ap30


def measured(looked: list[Looked], names: Sequence[str], seed: int) -> dict[str, Any]:
    """Per class and their mean, with intervals; false alarms by threshold."""
    labels = [names.index(name) for name in NAMES]
    groups: dict[str, list[Looked]] = {}
    for one in looked:
        groups.setdefault(group_of(one.picture.file.name), []).append(one)
    keys, rng = sorted(groups), np.random.default_rng(seed)
    values = [class_scores(looked, label, names) for label in labels]
    draws = []
    for _ in range(RESAMPLES):
        drawn = [one for k in rng.integers(0, len(keys), len(keys)) for one in groups[keys[int(k)]]]
        draws.append([class_scores(drawn, label, names)[0] for label in labels])
    spread = np.array(draws)
    tree: dict[str, Any] = {"pictures": len(looked), "groups": len(keys)}
    for index, name in enumerate(NAMES):
        low, high = np.percentile(spread[:, index], (2.5, 97.5))
        tree[name] = {
            "ap50": round(values[index][0], 3),
            "interval": [round(low, 3), round(high, 3)],
            "ap30": round(values[index][1], 3),
        }
    low, high = np.percentile(spread.mean(axis=1), (2.5, 97.5))
    tree["mean"] = {
        "ap50": round(float(np.mean([v[0] for v in values])), 3),
        "interval": [round(low, 3), round(high, 3)],
        "ap30": round(float(np.mean([v[1] for v in values])), 3),
    }
    for kind in ("normal", "belt"):
        own = [one for one in looked if one.picture.file.name.startswith(kind)]
        tree[f"false_alarms_per_{kind}"] = {
            str(at): round(
                sum(f.score >= at and names[f.label] in NAMES for one in own for f in one.found)
                / max(len(own), 1),
                3,
            )
            for at in ALARM_AT
        }
    return tree


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--half", choices=("open", "locked", "both"), default="open")
    parser.add_argument("--log", type=Path, default=Path("real-runs.jsonl"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    bundle = load_bundle(given.bundle or shipped_detector())
    names = tuple(label.name for label in bundle.manifest.labels)
    dataset: Dataset = read_dataset(given.folder / "annotations.json", given.folder / "images")
    pairs, _ = matched_names(names, dataset.names)
    rows = [
        row for row, picture in enumerate(dataset.pictures)
        if given.half == "both" or locked(group_of(picture.file.name)) == (given.half == "locked")
    ]  # fmt: skip
    result: dict[str, Any] = {"bundle": bundle.manifest.sha256[:12], "half": given.half, "seed": given.seed}
    for look, change in LOOKS.items():
        eye = Eye(bundle)
        looked = look_at(eye, dataset, rows, change=change)
        eye.close()
        ours = [
            one._replace(
                wanted=tuple(m._replace(label=pairs[m.label]) for m in one.wanted if m.label in pairs)
            )
            for one in looked
        ]
        result[look] = measured(ours, names, given.seed)
    if given.half != "open":
        with given.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%S"), **result}) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

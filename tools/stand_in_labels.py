"""A stand-in for pictures that somebody else labelled: five classes of cutters in bags, 416 pixels.

    sed -e 's/bags: .*/bags: [0.7, 0.3, 0.0, 0.0]/' -e 's/threat_rate: .*/threat_rate: 1.0/' \\
        -e 's/ {gun: 3.*/ {knife: 4, scissors: 1}/' configs/simulate/test.yaml > cutters.yaml
    nii-edge simulate --out C --consignments 0 --luggage 4000 --seed 77 --recipe cutters.yaml
    python tools/stand_in_labels.py C LABELS
    nii-edge train --annotations LABELS/train/annotations.json --out M --minutes 90
    nii-edge evaluate --bundle M --annotations LABELS/test/annotations.json --images LABELS/test/images --json

Scanner, display, bags and shapes are those held out from the shipped detector. What stands out by less than
six standard deviations is not labelled, as people label what they see, and boxes are a few per cent off.
Every tenth carton is kept for the test. Two views of a scan are two pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from nii_edge.errors import DataError

SIDE = 416
LEAST_SIGMA = 6.0
OFF = 0.03
"""Of a box's sides, as standard deviation."""
CLASSES = {
    "folding_knife": ("lockback", "butterfly"),
    "straight_knife": ("bowie", "leaf_thrower", "skinner", "plastic_sheathed"),
    "kitchen_knife": ("nakiri", "panga"),
    "razor": ("straight_razor",),
    "scissors": ("bandage", "all_metal_tailor"),
}
"""Held-out families of the simulator by class."""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("simulated", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=5, help="of how far boxes are off")
    given = parser.parse_args()
    coco = json.loads((given.simulated / "annotations.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(given.seed)
    names = list(CLASSES)
    class_of = {family: names.index(name) + 1 for name, own in CLASSES.items() for family in own}
    marks: dict[int, list[dict]] = {}  # type: ignore[type-arg]
    for mark in coco["annotations"]:
        if mark["family"] in class_of and mark["sigma"] >= LEAST_SIGMA:
            marks.setdefault(mark["image_id"], []).append(mark)
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    sets = {part: {"images": [], "annotations": [], "categories": categories} for part in ("train", "test")}
    for part in sets:
        (given.out / part / "images").mkdir(parents=True)
    for image in coco["images"]:
        part = "test" if int(image["carton"][1:]) % 10 == 0 else "train"
        picture = cv2.imread(str(given.simulated / "images" / image["file_name"]))
        if picture is None:
            raise DataError(f"{image['file_name']}: cannot be read as a picture")
        scale = SIDE / max(picture.shape[:2])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)
        height, width = small.shape[:2]
        cv2.imwrite(str(given.out / part / "images" / image["file_name"]), small)
        sets[part]["images"].append(
            {"id": image["id"], "file_name": image["file_name"], "height": height, "width": width}
        )
        for mark in marks.get(image["id"], []):
            x, y, w, h = (value * scale for value in mark["bbox"])
            off = rng.normal(0, OFF, 4)
            x0, y0 = max(0.0, x + off[0] * w), max(0.0, y + off[1] * h)
            x1, y1 = min(width, x + w * (1 + off[2])), min(height, y + h * (1 + off[3]))
            box = [round(float(value), 2) for value in (x0, y0, x1 - x0, y1 - y0)]
            sets[part]["annotations"].append(
                {
                    "id": mark["id"],
                    "image_id": image["id"],
                    "category_id": class_of[mark["family"]],
                    "bbox": box,
                }
            )
    for part, tree in sets.items():
        (given.out / part / "annotations.json").write_text(json.dumps(tree), encoding="utf-8")
        counts = np.bincount(
            np.array([one["category_id"] for one in tree["annotations"]], np.intp), minlength=6
        )[1:]
        said = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        sys.stdout.write(f"{part}: {len(tree['images'])} pictures; {said}\n")


if __name__ == "__main__":
    main()

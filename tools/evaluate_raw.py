"""Evaluate a detector on the raw counts of a simulated data set, by each scanner's own calibration.

    python tools/evaluate_raw.py FOLDER [--bundle B]

FOLDER is what `nii-edge simulate` wrote. The labels are those of the colour pictures; here the model sees
what the front end makes of `recording.mcap`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.bundle import load_bundle
from nii_edge.config import Profile, load
from nii_edge.errors import ConfigError
from nii_edge.learn.looking import Eye, shipped_detector
from nii_edge.learn.scoring import Found, Wanted, average_precision, matched_names
from nii_edge.records import Frame


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path)
    given = parser.parse_args()
    bundle = load_bundle(given.bundle or shipped_detector())
    names = tuple(label.name for label in bundle.manifest.labels)
    coco = json.loads((given.folder / "annotations.json").read_text(encoding="utf-8"))
    pairs, _ = matched_names(names, [category["name"] for category in coco["categories"]])
    labels = {category["id"]: pairs.get(index) for index, category in enumerate(coco["categories"])}
    images = {(image["scanner"], image["seq"], image["view"]): image for image in coco["images"]}
    marks: dict[int, list[dict]] = {}  # type: ignore[type-arg]
    for mark in coco["annotations"]:
        marks.setdefault(mark["image_id"], []).append(mark)
    profiles = {path.stem: load(path, Profile) for path in (given.folder / "scanners").glob("*.yaml")}
    optics = {
        (name, view): read_optics(given.folder / "scanners" / f"{name}-{view}.cal", profile.penetration_limit)
        for name, profile in profiles.items()
        for view in range(len(profile.views))
    }
    eye = Eye(bundle)
    wanted: list[tuple[Wanted, ...]] = []
    found: list[tuple[Found, ...]] = []
    for source in McapSource(given.folder / "recording.mcap"):
        header = source.header
        profile, image = profiles[header.scanner], images[header.scanner, header.seq, header.view]
        form = profile.format_for(header.channels, header.dtype)
        if form is None or form.air is None or header.height is None or header.width is None:
            raise ConfigError(f"{header.scanner}: its profile has no format for {header.channels}")
        pixels = np.frombuffer(source.payload, "<u2").reshape(header.height, header.width, -1)
        frame = Frame(
            view=header.view, channels=form.channels, pixels=pixels, full_scale=form.air,
            opaque_below=profile.penetration_limit,
        )  # fmt: skip
        found.append(eye.look(frame, optics[header.scanner, header.view]))
        scale_x, scale_y = header.width / image["width"], header.height / image["height"]
        own = []
        for mark in marks.get(image["id"], []):
            label = labels[mark["category_id"]]
            if label is not None:
                x, y, width, height = mark["bbox"]
                box = (x * scale_x, y * scale_y, (x + width) * scale_x, (y + height) * scale_y)
                own.append(Wanted(box, label, not mark["visible"]))
        wanted.append(tuple(own))
    scores = average_precision(wanted, found, names)
    tree = {"map50": scores.map50, "map": scores.map, "ap30": scores.ap30, "per_class": scores.per_class}
    sys.stdout.write(json.dumps({**tree, "frames": len(wanted)}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""A sheet of pictures of a simulation: the first of each story, and some luggage.

    nii-edge simulate --out sim --consignments 60 --luggage 7 --seed 41
    python tools/contact_sheet.py sim docs/pictures/simulated.jpg

Each tile says what it shows: the story, and whether that carton lies.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
WIDE, HIGH, WORDS = 300, 210, 22
"""Pixels of a tile, and of the line below it."""
ACROSS = 5


def chosen(folder: Path, luggage: int) -> list[tuple[str, Path]]:
    """What each tile says, and its picture: the first view of the first carton of each story, one that lies
    where there is a lie."""
    coco = json.loads((folder / "annotations.json").read_text("utf-8"))
    truth = {tree["barcode"]: tree for tree in json.loads((folder / "truth.json").read_text("utf-8"))}
    bags: list[tuple[str, Path]] = []
    cartons: dict[str, tuple[str, Path]] = {}
    for image in coco["images"]:
        file = folder / "images" / image["file_name"]
        story, tree = image["story"], truth[image["carton"]]
        if not file.exists():
            raise SystemExit(f"{folder}: has no pictures; simulate without --no-pictures")
        if image["view"] or image.get("shows", "whole") != "whole":
            continue
        if story == "luggage":
            bags.append((f"luggage, {image['scanner']}", file))
        elif story not in cartons or (tree["lie"] and not cartons[story][0].startswith("LIES")):
            cartons[story] = (_words(tree), file)
    return [*(cartons[story] for story in sorted(cartons)), *bags[:luggage]]


def _words(tree: dict[str, Any]) -> str:
    return f"{'LIES: ' if tree['lie'] else ''}{tree['story'].replace('_', ' ')}, {tree['scanner']}"


def sheet(tiles: list[tuple[str, Path]]) -> Rgb:
    """All of them, in rows."""
    rows = -(-len(tiles) // ACROSS)
    made: Rgb = np.full((rows * (HIGH + WORDS), ACROSS * WIDE, 3), 255, np.uint8)
    for number, (words, file) in enumerate(tiles):
        picture = cv2.imread(str(file))
        if picture is None:
            raise SystemExit(f"{file}: cannot be read")
        share = min((WIDE - 6) / picture.shape[1], (HIGH - 6) / picture.shape[0])
        small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        y, x = number // ACROSS * (HIGH + WORDS), number % ACROSS * WIDE
        top, left = y + (HIGH - small.shape[0]) // 2, x + (WIDE - small.shape[1]) // 2
        made[top : top + small.shape[0], left : left + small.shape[1]] = small
        place = (x + 6, y + HIGH + 14)
        cv2.putText(made, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return made


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of nii-edge simulate, with pictures")
    parser.add_argument("out", type=Path, help="the JPEG to write")
    parser.add_argument("--luggage", type=int, default=7, help="stretches of luggage (default: 7)")
    given = parser.parse_args()
    try:
        tiles = chosen(given.folder, given.luggage)
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{given.folder}: no simulation with pictures: {error}") from error
    if not tiles:
        raise SystemExit(f"{given.folder}: has no pictures")
    cv2.imwrite(str(given.out), sheet(tiles), [cv2.IMWRITE_JPEG_QUALITY, 80])
    sys.stdout.write(f"{given.out}: {len(tiles)} pictures\n")


if __name__ == "__main__":
    main()

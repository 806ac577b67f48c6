"""What the network that reads whole cartons makes of a maker's pictures: a look, not a measurement.

    python tools/read_pictures.py FOLDER [--glob 'normal_*.jpg'] [--views 3] [--longest-mm 500] [--json]

The network reads grams and millimetres, and pictures have neither. Here darkness stands for areal density,
hue for effective Z, and the longest side of what is shown for `--longest-mm`. No daemon does this: on a lane
of pictures the manifest verifier is not applicable. `--views` pictures in a row, by name, show one item; each
is read alone and all together.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.commands.measure_cartons import fit_file
from nii_edge.commands.sight import Eyes, Sight
from nii_edge.detect import parcels
from nii_edge.xray.carton import described_as
from nii_edge.xray.carton_map import MAP_MM, MOST_SQUARES, Map, hottest

CM2_PER_GRAM = 0.18
"""Mass attenuation of organic matter at about 100 keV (NIST XCOM: polyethylene and water 0.17, cellulose
0.16), and a little for the soft part of a tube's spectrum."""
DARKEST = 1 / 48
HUES, Z = (0.0, 30.0, 60.0, 120.0, 170.0, 215.0, 250.0, 360.0), (7.0, 7.0, 9.0, 13.0, 18.0, 24.0, 26.0, 26.0)
"""Of the usual palette, in degrees: orange, green, blue."""
ORGANIC_Z, METAL_Z = 10.0, 18.0
GREY = 0.08
"""Saturation below which hue says nothing."""
CONTENT = 0.03
"""g/cm2 from which something is shown."""
HEIGHT = 0.6
"""Of a carton, as a share of its shorter side: a picture does not say."""


def map_of(file: Path, longest_mm: float) -> Map:
    """(3, height, width) as `nii_edge.xray.carton_map.Map`, as far as a picture goes."""
    bgr = cv2.imread(str(file))
    if bgr is None:
        raise SystemExit(f"{file}: is no picture")
    rgb = bgr[:, :, ::-1].astype(np.float32) / 255
    ground = np.percentile(rgb.reshape(-1, 3), 97, axis=0)
    lit = np.clip(rgb / ground, DARKEST, 1)
    mass = -np.log(lit[:, :, :2].mean(axis=2)) / CM2_PER_GRAM
    hsv = cv2.cvtColor(lit.astype(np.float32), cv2.COLOR_RGB2HSV)
    z = np.where(hsv[:, :, 1] > GREY, np.interp(hsv[:, :, 0], HUES, Z), Z[0]).astype(np.float32)
    own = np.stack([mass, z, (z > METAL_Z) * (hsv[:, :, 1] > GREY)]).astype(np.float32)
    shown = mass > CONTENT
    rows, columns = (np.flatnonzero(shown.mean(axis=axis) > 0.02) for axis in (1, 0))
    if not len(rows) or not len(columns):
        raise SystemExit(f"{file}: shows nothing")
    own = own[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = longest_mm / MAP_MM / max(own.shape[1:])
    size = max(1, round(own.shape[2] * scale)), max(1, round(own.shape[1] * scale))
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in own])


def told(view: Map) -> npt.NDArray[np.float64]:
    """What the network is told besides, as far as a picture goes."""
    long, short = (float(side) * MAP_MM for side in sorted(view.shape[1:], reverse=True))
    mass, z, metal = view
    whole = max(float(mass.sum()), 1e-6)
    inorganic = (z > ORGANIC_Z) & (z <= METAL_Z)
    return described_as(
        (long, short, HEIGHT * short),
        long * short * HEIGHT * short / 1e6,
        whole * (MAP_MM / 10) ** 2,
        float((mass * metal).sum()) / whole,
        float((mass * inorganic).sum()) / whole,
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glob", default="normal_*.jpg")
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--longest-mm", type=float, default=500.0)
    parser.add_argument("--fit", type=Path, default=None, help="the shipped one if left out")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not 0 < given.longest_mm <= MOST_SQUARES * MAP_MM:
        parser.error(f"--longest-mm {given.longest_mm}: expected up to {MOST_SQUARES * MAP_MM:.0f}")
    files = sorted(given.folder.glob(given.glob))
    if not files:
        parser.error(f"{given.folder}: holds nothing that is called {given.glob}")
    read = Sight(Eyes(given.fit or fit_file(), None)).read
    found = []
    for first in range(0, len(files), given.views):
        own = files[first : first + given.views]
        maps = [map_of(file, given.longest_mm) for file in own]
        says = []
        for chosen in (*([each] for each in maps), maps):
            reading = read(chosen, np.mean([told(each) for each in chosen], axis=0))
            count = parcels.count(reading.parcels)
            view, place = hottest(reading.heat)
            says.append(
                {
                    "parcels": count.expected,
                    "from": count.low,
                    "to": count.high,
                    "chance": round(count.chance, 2),
                    "hidden": round(float(1 / (1 + np.exp(-reading.hidden))), 3),
                    "hottest": [view, *place],
                }
            )
        found.append({"item": [file.stem for file in own], "each": says[:-1], "together": says[-1]})
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for item in found:
        sys.stdout.write(f"{' '.join(item['item'])}\n")
        for name, says in zip([*item["item"], "together"], [*item["each"], item["together"]], strict=True):
            sys.stdout.write(
                f"  {name}: {says['parcels']:.0f} parcels ({says['from']:.0f} to {says['to']:.0f}, chance "
                f"{says['chance']}), hidden {says['hidden']}, hottest {says['hottest']}\n"
            )


if __name__ == "__main__":
    main()

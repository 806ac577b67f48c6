"""Count how often double walls are told of simulated cartons: honest ones, lined ones, and double walls.

    python tools/count_walls.py [--recipe FILE] [--stories NAME,NAME] [--consignments N] [--seed S] [--json]

Cartons are simulated and measured as the manifest verifier measures them, without the network. `--stories`
instead of those of the recipe. Shares come with 95 % intervals (Wilson), as if cartons were independent;
those of one consignment are alike, so the numbers of consignments are told, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from nii_edge.commands.cartons import frames_of
from nii_edge.intervals import wilson
from nii_edge.resources import shipped
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.produce import Job, Passed, produce
from nii_edge.simulate.recipe import Recipe, load_recipe
from nii_edge.simulate.walls import LINING, SLAB
from nii_edge.xray import walls
from nii_edge.xray.carton import locate

DEPTHS_MM = (0, 8, 15, 25, 60)
"""Between which slabs are counted together."""
SLACK_MM = 12.0
"""By how much a slab is shorter than its carton: two walls, and some slack."""
FACES = ("end", "side", "bottom or lid")


class Counted(NamedTuple):
    """One carton: what it counts as, in which consignment, whether a double wall was told, and how many ms
    that took."""

    groups: tuple[str, ...]
    consignment: int
    told: bool
    milliseconds: float


def looked_at(recipe: Recipe, seed: int, consignments: int) -> Iterator[Counted]:
    """All cartons."""
    for number in range(consignments):
        made = produce(Job(recipe, "consignment", seed, number, None, False, "nothing"))
        unit = calibrated(SCANNERS[made.scanner])
        for carton, passed in enumerate(made.cartons):
            located = locate(unit.profile, unit.optics, frames_of(made, carton))
            if located is None:
                continue
            began = time.process_time()
            wall = walls.find(located.maps, located.sights)
            spent = 1000 * (time.process_time() - began)
            told = wall is not None and wall.quality >= 1
            yield Counted(_groups(passed, made.scanner), number, told, spent)
        print(f"{number + 1} of {consignments}", file=sys.stderr)


def _groups(passed: Passed, scanner: str) -> tuple[str, ...]:
    """What a carton counts as."""
    slab = next((thing for thing in passed.truth if thing.label == SLAB), None)
    lining = next((thing for thing in passed.truth if thing.label == LINING), None)
    if slab is not None:
        carton = next(thing for thing in passed.truth if thing.role == "carton")
        face, depth = _lies(slab.box.astype(float), carton.box.astype(float))
        low = max(edge for edge in DEPTHS_MM if edge <= max(depth, 0.0))
        high = next((edge for edge in DEPTHS_MM if edge > low), DEPTHS_MM[-1])
        deep = f"{low} to {high} mm"
        return (
            "double wall", f"double wall, {face}", f"double wall, {scanner}",
            f"double wall, {scanner}, {face}",
            f"double wall, {slab.family}", f"double wall, {deep}", f"double wall, {slab.family}, {deep}",
        )  # fmt: skip
    if lining is not None:
        return "lined", f"lined, {lining.family}"
    if passed.lie or passed.faults:
        return "other lies", f"other lies, {passed.lie or 'faults'}"
    return "honest", f"honest, {scanner}"


def _lies(slab: np.ndarray, carton: np.ndarray) -> tuple[str, float]:
    """At which side a slab lies, and how thick it is, mm, from the boxes around both, (2, 3): of an upright
    one by the angle at which a carton that stands askew has these."""
    off = np.abs(slab.mean(axis=0) - carton.mean(axis=0)) / (carton[1] - carton[0])
    axis = int(off.argmax())
    x, y = (carton[1] - carton[0])[:2]
    sizes = slab[1] - slab[0]
    if axis == 2:
        return FACES[2], float(sizes[2])
    u, v = (sizes[0], sizes[1]) if axis == 0 else (sizes[1], sizes[0])
    along = (x, y) if axis == 0 else (y, x)
    best, thick = np.inf, float(u)
    for angle in np.radians(np.linspace(0, 10, 201)):
        turn = np.linalg.inv([[np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        (deep, long), (_, wide) = turn @ (u, v), turn @ along
        if abs(wide - long - SLACK_MM) < best:
            best, thick = abs(wide - long - SLACK_MM), float(deep)
    return FACES[axis], thick


def counted(cartons: list[Counted]) -> dict[str, dict[str, float | list[float]]]:
    """By group, how many there are, how many are told, and the share."""
    found: dict[str, dict[str, float | list[float]]] = {}
    for group in sorted({group for carton in cartons for group in carton.groups}):
        own = [carton for carton in cartons if group in carton.groups]
        told = sum(carton.told for carton in own)
        found[group] = {
            "cartons": len(own),
            "consignments": len({carton.consignment for carton in own}),
            "told": told,
            "consignments_told": len({carton.consignment for carton in own if carton.told}),
            "share": round(told / len(own), 3),
            "interval": [round(edge, 3) for edge in wilson(told, len(own))],
        }
    return found


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=shipped("configs") / "simulate" / "double_wall.yaml")
    parser.add_argument("--stories", default="")
    parser.add_argument("--consignments", type=int, default=60)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    recipe = load_recipe(args.recipe)
    if args.stories:
        only = msgspec.structs.replace(
            recipe.consignments, stories=dict.fromkeys(args.stories.split(","), 1.0)
        )
        recipe = msgspec.structs.replace(recipe, consignments=only)
    cartons = list(looked_at(recipe, args.seed, args.consignments))
    found = counted(cartons)
    if args.json:
        print(json.dumps(found))
        return 0
    for group, numbers in found.items():
        print("{}: {told} of {cartons}, {share} {interval}, in {consignments_told} of {consignments} "
              "consignments".format(group, **numbers))  # fmt: skip
    print(
        f"{np.median([carton.milliseconds for carton in cartons]):.2f} ms of processor time a carton, median"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

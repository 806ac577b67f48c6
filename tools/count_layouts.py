"""Count how often honest simulated cartons are packed alike: by chance under other goods, and within a lot.

    python tools/count_layouts.py [--cartons RECIPE CONSIGNMENTS SEED DIR]... [--nearer D]

Cartons are simulated and measured as `nii-edge evaluate-cartons` does it; DIR keeps them. Of honest ones, all
pairs of other master bills and of no common chapter are compared as the detector `layout` compares them, with
the shipped fit: what is nearer than D would be told falsely. Pairs of one master bill, packed alike, stand
for a shipment that is split.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from nii_edge.commands.carton_stock import Stock
from nii_edge.commands.measure_cartons import fit_file
from nii_edge.commands.sight import Eyes
from nii_edge.config import SameLayout
from nii_edge.detect import anomaly, mass
from nii_edge.detect.layout import Values, distances, layout
from nii_edge.inference_process import read_fit
from nii_edge.simulate.recipe import load_recipe


def layouts(
    recipe: Path, consignments: int, seed: int, folder: Path
) -> list[tuple[Values, str, frozenset[int | None]]]:
    """Of honest cartons: the layout, the master bill, the declared chapters."""
    fit = read_fit(fit_file(), None)[0]
    stock = Stock(load_recipe(recipe), seed, 0, folder, Eyes(fit_file(), None))
    found = []
    for carton in stock.take(consignments, lambda done, of: print(f"{done} of {of}", file=sys.stderr)):
        weighed = mass.weighed(fit.mass, carton.measures)
        traits = anomaly.traits(weighed, carton.papers, None)
        own = layout(traits, (weighed.grams / 1000, weighed.litres), fit.null.spread)
        if carton.honest and own is not None:
            chapters = frozenset(line.chapter for line in carton.papers.lines)
            found.append((own, carton.papers.master_bill, chapters))
    return found


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cartons", nargs=4, action="append", required=True)
    parser.add_argument("--nearer", type=float, default=SameLayout().nearer)
    args = parser.parse_args()
    found = [
        each
        for recipe, consignments, seed, folder in args.cartons
        for each in layouts(Path(recipe), int(consignments), int(seed), Path(folder))
    ]
    values = np.array([own for own, _, _ in found])
    bills = np.array([bill for _, bill, _ in found])
    away = np.array([distances(own, values) for own in values])
    same = bills[:, None] == bills[None]
    apart = np.array([[one.isdisjoint(other) for _, _, other in found] for _, _, one in found])
    once = np.triu(np.ones_like(same), 1)
    by_chance, of_lot = away[~same & apart & once], away[same & once]
    told = {
        "cartons": len(values),
        "consignments": len(set(bills.tolist())),
        "pairs_of_other_goods": by_chance.size,
        "told_falsely": int((by_chance < args.nearer).sum()),
        "nearest": np.sort(by_chance)[:5].round(3).tolist(),
        "pairs_of_a_lot": of_lot.size,
        "told": round(float((of_lot < args.nearer).mean()), 3),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Count what papers and a scale say of simulated cartons by themselves: of honest ones, and of lies.

    python tools/count_remarks.py [--recipe FILE] [--consignments N] [--seed S] [--data DIR] [--workers N]
        [--json]

Cartons are simulated, measured and weighed as `nii-edge evaluate-cartons` does it, with the shipped fit and
rules. The scale is made up: the true mass, off by 0.3 % (one standard deviation) and rounded to 10 g. Told is
how many cartons each label alarms for by the shipped policy. DIR keeps the cartons.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from stories import tell

from nii_edge.commands.carton_stock import Stock
from nii_edge.commands.cartons import Carton, regime
from nii_edge.commands.measure_cartons import fit_file
from nii_edge.commands.sight import Eyes
from nii_edge.config import ScaleCheck
from nii_edge.detect import mass, paper_rules, scale
from nii_edge.inference_process import read_fit
from nii_edge.regime import Regime
from nii_edge.resources import shipped
from nii_edge.simulate.recipe import load_recipe

SCALE_SD, SCALE_KG = 0.003, 0.01
"""Standard deviation of the made-up scale, as a share, and what it rounds to."""
ALARM_AT = 0.5
"""`default_alarm_at` of the shipped policy."""
HONEST = "honest"


def said(carton: Carton, model: mass.MassModel, rules: Regime, scale_kg: float) -> set[str]:
    """The labels that alarm."""
    limits, papers = ScaleCheck(), carton.papers
    found = [
        *paper_rules.remarks(papers.barcode, papers, rules),
        *scale.against_papers(scale_kg, papers, limits),
        *scale.against_xrays(scale_kg, mass.weighed(model, carton.measures), limits),
    ]
    return {remark.label for remark in found if remark.score >= ALARM_AT}


def count(cartons: Sequence[Carton], seed: int) -> dict[str, dict[str, int]]:
    """By story (`HONEST` for all that may pass), how many "cartons" there are and how many each label alarms
    for."""
    model, rules, rng = read_fit(fit_file(), None)[0].mass, regime(), np.random.default_rng(seed)
    found: dict[str, Counter[str]] = {}
    for carton in cartons:
        story = HONEST if carton.honest else carton.lie or "faults"
        kilograms = carton.grams / 1000 * rng.normal(1, SCALE_SD)
        labels = said(carton, model, rules, round(kilograms / SCALE_KG) * SCALE_KG)
        found.setdefault(story, Counter())["cartons"] += 1
        found[story].update(labels)
    return {story: dict(numbers) for story, numbers in sorted(found.items())}


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=shipped("configs") / "simulate" / "test.yaml")
    parser.add_argument("--consignments", type=int, default=70)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    eyes = Eyes(fit_file(), None)
    stock = Stock(load_recipe(args.recipe), args.seed, args.workers, args.data, eyes)
    cartons = stock.take(args.consignments, lambda done, of: print(f"{done} of {of}", file=sys.stderr))
    found = count(cartons, args.seed)
    tell(found, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Count what papers say against themselves, to try the rules of `regime.yaml` before a site uses them.

    python tools/count_papers.py MANIFESTS [--truth FILE] [--regime FILE] [--columns FILE] [--json]

MANIFESTS is what `nii-edge manifest import` takes; FILE of `--truth` the `truth.json` that `nii-edge
simulate` wrote beside it: then honest cartons and lies are counted apart. Told is of how many cartons each
label speaks, and one sentence of each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from stories import tell

from nii_edge.adapters.manifest_files import read_into
from nii_edge.adapters.manifest_rows import Collecting
from nii_edge.config import load
from nii_edge.detect import paper_rules
from nii_edge.errors import NiiEdgeError
from nii_edge.regime import Columns, Regime
from nii_edge.resources import shipped

NAMES_KEY = bytes(32)
"""Nothing is kept, so names need no secret."""


def stories(truth: Path | None) -> dict[str, str]:
    """By barcode, "honest" or how its carton lies; empty if nobody knows."""
    if truth is None:
        return {}
    trees: list[dict[str, Any]] = json.loads(truth.read_text("utf-8"))
    return {tree["barcode"]: tree["lie"] or ("with faults" if tree["faults"] else "honest") for tree in trees}


def count(
    manifests: Path, known: dict[str, str], regime: Regime, columns: Columns
) -> dict[str, dict[str, int]]:
    """By story, how many "cartons" there are and how many each label speaks against."""
    rows = Collecting(regime, columns, NAMES_KEY)
    read_into(manifests, columns, rows)
    found: dict[str, Counter[str]] = {}
    for papers in rows.papers():
        numbers = found.setdefault(known.get(papers.barcode, "all"), Counter())
        numbers["cartons"] += 1
        for remark in paper_rules.remarks(papers.barcode, papers, regime):
            if not numbers[remark.label]:
                print(f"{remark.label}: {remark.why}", file=sys.stderr)
            numbers[remark.label] += 1
    return {story: dict(numbers) for story, numbers in sorted(found.items())}


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifests", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--regime", type=Path, default=shipped("configs") / "regime.yaml")
    parser.add_argument("--columns", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        columns = Columns(version=1) if args.columns is None else load(args.columns, Columns)
        found = count(args.manifests, stories(args.truth), load(args.regime, Regime), columns)
    except (NiiEdgeError, OSError) as error:
        parser.error(str(error))
    tell(found, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

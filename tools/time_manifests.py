"""Time looking papers up by barcode, as the daemon does for each carton.

    python tools/time_manifests.py [--cartons N] [--lookups N] [--house-bills N] [--folder DIR] [--json]

A store of N cartons with some house bills each is made in DIR (a temporary folder if left out), then opened
as the daemon opens it. Look-ups come in a random order, a fifth of them for barcodes that are not there. Told
are the median and the 99th percentile by the clock, in microseconds; on a busy machine the latter is the
scheduler's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.papers import HouseBill, Line, Papers

AT_ONCE = 20_000
"""Cartons stored in one commit."""
PER_MASTER_BILL = 20
LOST = 0.2
"""Share of look-ups for a carton without papers."""


def papers_of(number: int, house_bills: int) -> Papers:
    """What a carton with so many house bills of one line each declares."""
    bills = tuple(
        HouseBill(
            number=f"H{number:07d}-{bill}", packages=1, shipper="0" * 32, consignee=f"{number + bill:032x}",
            lines=(Line(hs_code="610910", description="cotton t-shirts", quantity=2 + bill, weight_kg=0.5,
                        value_usd=9.5, origin="CN"),),
        )
        for bill in range(house_bills)
    )  # fmt: skip
    return Papers(
        barcode=barcode_of(number), master_bill=f"M{number // PER_MASTER_BILL:06d}",
        carton=number % PER_MASTER_BILL + 1, cartons=PER_MASTER_BILL, gross_kg=4.0, house_bills=bills,
    )  # fmt: skip


def barcode_of(number: int) -> str:
    """Of the carton with this number."""
    return f"418-{number:08d}"


def times_us(store: Path, cartons: int, lookups: int) -> list[float]:
    """The time of each look-up."""
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, cartons, lookups) + cartons * (rng.random(lookups) < LOST)
    reader = ManifestReader(store)
    taken = []
    for number in numbers.tolist():
        barcode = barcode_of(number)
        began = time.perf_counter()
        found = reader.find(barcode)
        taken.append(1e6 * (time.perf_counter() - began))
        assert (found is not None) == (number < cartons)
    reader.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cartons", type=int, default=200_000)
    parser.add_argument("--lookups", type=int, default=20_000)
    parser.add_argument("--house-bills", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "manifests.db"
        store = ManifestStore(path)
        for first in range(0, options.cartons, AT_ONCE):
            last = min(first + AT_ONCE, options.cartons)
            store.put([papers_of(number, options.house_bills) for number in range(first, last)])
        store.close()
        taken = times_us(path, options.cartons, options.lookups)
    result = {
        "cartons": options.cartons,
        "lookups": options.lookups,
        "us_p50": round(statistics.median(taken), 1),
        "us_p99": round(float(np.percentile(taken, 99)), 1),
    }
    text = (
        json.dumps(result) if options.json else ", ".join(f"{key} {value}" for key, value in result.items())
    )
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

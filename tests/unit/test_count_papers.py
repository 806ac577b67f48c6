"""tools/count_papers.py, as it is called."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

from harness import ROOT

ROWS = (
    {"barcode": "B-1", "hs_code": "610910", "description": "cotton shirts"},
    {"barcode": "B-2", "hs_code": "610910", "description": "power banks"},
)


def test_honest_cartons_and_lies_are_counted_apart(tmp_path: Path) -> None:
    """Both leave something out; one contradicts its code, too, and that sentence is shown."""
    table, truth = tmp_path / "papers.csv", tmp_path / "truth.json"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    lies = (("B-1", None), ("B-2", "swapped_goods"))
    truth.write_text(json.dumps([{"barcode": name, "lie": lie, "faults": []} for name, lie in lies]))
    tool = [sys.executable, str(ROOT / "tools" / "count_papers.py"), str(table), "--truth", str(truth)]
    done = subprocess.run([*tool, "--json"], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {
        "honest": {"cartons": 1, "not_declared": 1},
        "swapped_goods": {"cartons": 1, "not_declared": 1, "words_contradict_code": 1},
    }
    assert "speaks of power banks; chapter 61 has no such goods" in done.stderr
    plain = subprocess.run(tool, capture_output=True, text=True, check=True, timeout=60).stdout
    assert plain.splitlines()[0] == "honest: 1 cartons; not_declared 1"

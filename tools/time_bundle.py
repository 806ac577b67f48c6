"""How many inputs a second a bundle's network looks at, by itself: no picture is read, nothing is prepared.

    python tools/time_bundle.py models/detector/VERSION [--seconds N] [--json]

In one process with one and with two threads, one input at a time; ONNX Runtime on the CPU, as the daemon sets
it up. Medians over all inputs; noise of a fixed seed is what it sees.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

WARM = 5


def median_ms(model: Path, threads: int, seconds: float) -> float:
    """Milliseconds of one input."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    inputs = {given.name: np.random.default_rng(1).random(given.shape, np.float32)}
    times: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(times) < 2 * WARM:
        began = time.perf_counter()
        session.run(None, inputs)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM:])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="for each number of threads")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {}
    for threads in (1, 2):
        took = median_ms(given.bundle / "model.onnx", threads, given.seconds)
        found[f"{threads} threads" if threads > 1 else "1 thread"] = {
            "ms": round(took, 2),
            "inputs_per_s": round(1000 / took, 1),
        }
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, row in found.items():
        sys.stdout.write(f"{name}: {row['ms']:.1f} ms, {row['inputs_per_s']:.0f} inputs a second\n")


if __name__ == "__main__":
    main()

"""Time what a scan costs beside its inference: copy, CRC-32, XXH3, image quality, commit, flush.

    python tools/time_path.py [--rounds N] [--folder DIR] [--json]

One frame of 2 x 832 x 1024 uint16 from the benchmark's own, received over ipc as the daemon does. Between the
steps a block of 30 MB is walked, which leaves the caches as cold as an inference does. Medians in
milliseconds, of CPU time and by the clock. DIR is where ledger and flushed file lie: use the
disk that the daemon's state_dir is on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xxhash
import zmq
from isal import isal_zlib

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.bench.frames import HEIGHT, WIDTH, as_frame, shots
from nii_edge.edge.slots import SlotPool
from nii_edge.ports import Conclude, Intend
from nii_edge.records import Decision, Report, ScanId, ScanType, Verdict
from nii_edge.xray import quality

EVICTED_BYTES = 30_000_000
FLUSH_BYTES = 32_768


def conclusion(seq: int) -> tuple[Intend, Conclude]:
    """A scan with its verdict, as one commit of the daemon takes it."""
    scan = ScanId(edge="bench", scanner="lane-1", epoch=1, seq=seq)
    verdict = Verdict(id=scan, scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR, policy="bench")
    report = Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=0, decided_at_ns=0
    )
    return Intend(scan, ScanType.OPERATIONAL, 0), Conclude(report, None)


def measure(rounds: int, folder: Path) -> dict[str, float]:
    """Medians in ms by name."""
    took: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[..., object], *arguments: object) -> None:
        by_clock, by_cpu = time.perf_counter(), time.thread_time()
        work(*arguments)
        took[name].append(1000 * (time.thread_time() - by_cpu))
        took[f"{name}, by the clock"].append(1000 * (time.perf_counter() - by_clock))

    evicted, frames = np.zeros(EVICTED_BYTES, np.uint8), shots()
    context = zmq.Context()
    sender, receiver = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    endpoint = f"ipc://{folder / 'frames.ipc'}"
    sender.bind(endpoint)
    receiver.connect(endpoint)
    ledger = SqliteLedger(folder / "ledger.db", "bench")
    file = os.open(folder / "flushed", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, bytes(64 * FLUSH_BYTES), 0)
    os.fsync(file)
    with SlotPool(2, frames[0].pixels.nbytes) as pool:
        for number in range(rounds):
            sender.send(frames[number % len(frames)].payload, copy=False)
            payload = receiver.recv(copy=False).buffer
            evicted[::64] += 1
            slot = pool.buffer(0, len(payload))
            timed("copy", slot.__setitem__, slice(None), payload)
            timed("crc32", isal_zlib.crc32, payload)
            timed("xxh3", xxhash.xxh3_128_hexdigest, payload)
            frame = as_frame(pool.pixels(0, (HEIGHT, WIDTH, 2), "uint16").astype(np.uint16))
            evicted[::64] += 1
            timed("quality, cold", quality.problem, frame)
            timed("quality, warm", quality.problem, frame)
            timed("commit", ledger.commit, conclusion(number + 1))
            os.pwrite(file, bytes(FLUSH_BYTES), number % 64 * FLUSH_BYTES)
            timed("flush of 32 KiB", os.fdatasync, file)
    os.close(file)
    ledger.close()
    context.destroy(linger=0)
    return {name: round(statistics.median(values), 2) for name, values in took.items()}


def main() -> int:
    """Time it and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="default: the system's folder for temporary files")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        medians = measure(arguments.rounds, Path(folder))
    if arguments.json:
        sys.stdout.write(json.dumps(medians) + "\n")
        return 0
    for name, value in medians.items():
        sys.stdout.write(f"{name:32s} {value:6.2f} ms\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

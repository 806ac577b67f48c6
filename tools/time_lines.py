#!/usr/bin/env python3
"""How long after a carton's trailing edge a line lane has its verdict: the daemon as shipped, seeded cartons
of two views of 750 x 1152 at the belt's pace, over ipc.

    python tools/time_lines.py [--cartons 40] [--rate 1]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import yaml

from nii_edge.config import Profile, load
from nii_edge.line_replay import LineReplayer, LineSettings
from nii_edge.ports import FrameSource, SourceFrame
from nii_edge.records import ScanType
from nii_edge.replay import ReplaySettings, Summary
from nii_edge.wire import FrameMessage

ROOT = Path(__file__).resolve().parents[1]
PROFILE = ROOT / "configs" / "scanners" / "line-scan.yaml"
LINES, WIDTH, BELT_MM_S = 750, 1152, 500.0


class Cartons:
    """A FrameSource: cartons of even goods with denser things in them, photon noise on all. Made beforehand,
    since making them takes the belt's time."""

    problems: list[str]

    def __init__(self, cartons: int) -> None:
        self.problems = []
        rng = np.random.default_rng(5)
        self._frames = [_frame(seq, view, rng) for seq in range(1, cartons + 1) for view in (0, 1)]

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[SourceFrame]:
        return iter(self._frames)


def _frame(seq: int, view: int, rng: np.random.Generator) -> SourceFrame:
    through = np.ones((LINES, WIDTH, 2), np.float32)
    through[12:-12, 200:900] = rng.uniform(0.3, 0.7)
    for _ in range(30):
        y, x = rng.integers(20, 600), rng.integers(210, 800)
        through[y : y + 90, x : x + 80] *= rng.uniform(0.7, 1)
    counts = (rng.poisson(through * 8_000) * 6.1).clip(0, 65_535).astype("<u2")
    header = FrameMessage(
        scanner="lane-1", epoch=1, seq=seq, view=view, views=2, height=LINES, width=WIDTH,
        channels=("low", "high"), dtype="uint16",
    )  # fmt: skip
    return SourceFrame(header, counts.tobytes(), None)


def main() -> None:
    """Print one JSON object; exit status 1 unless every carton was CLEAR."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    wanted.add_argument("--cartons", type=int, default=40)
    wanted.add_argument("--rate", type=float, default=1.0, help="times a belt of 0.5 m/s")
    given = wanted.parse_args()
    source = Cartons(given.cartons)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoint = f"ipc://{folder}/scanners"
        edge = {
            "version": 1,
            "edge": "edge-1",
            "state_dir": "state",
            "listen": {"scanners": endpoint, "verdicts": f"ipc://{folder}/verdicts", "tap": None},
            "scanners": {"lane-1": {"profile": str(PROFILE)}},
            "detectors": {"shielding": {"bundle": str(ROOT / "models/shielding/1.0.0")}},
            "policy": str(ROOT / "configs/policy.yaml"),
            "health": None,
            "collector": None,
        }
        (folder / "edge.yaml").write_text(yaml.safe_dump(edge))
        line = [sys.executable, "-m", "nii_edge", "run", str(folder / "edge.yaml")]
        with (folder / "log").open("wb") as log, subprocess.Popen(line, stderr=log) as daemon:
            try:
                while not (folder / "state" / "endpoints.json").exists():
                    if daemon.poll() is not None:
                        sys.exit((folder / "log").read_text())
                    time.sleep(0.05)
                summary = replayed(endpoint, source, given.rate)
            finally:
                daemon.send_signal(signal.SIGTERM)
    tree = {**msgspec.to_builtins(summary), "load": os.getloadavg()[0]}
    print(json.dumps(tree))
    sys.exit(summary.verdicts["CLEAR"] != given.cartons)


def replayed(endpoint: str, source: FrameSource, rate: float) -> Summary:
    """What came of the cartons."""
    profile = load(PROFILE, Profile)
    pitch = 1.0 if profile.line_scan is None else profile.line_scan.line_pitch_mm
    settings = ReplaySettings(
        endpoint=endpoint,
        rate=rate * BELT_MM_S / pitch,
        scanner=None,
        scan_type=ScanType.OPERATIONAL,
        loop=False,
        deadline_s=5.0,
    )
    return LineReplayer(source, LineSettings(settings, profile, "rows"), lambda _: None).run()


if __name__ == "__main__":
    main()

"""How many lanes of cartons with papers a machine carries: all detectors, open-loop arrivals.

    nii-edge simulate --out sim --consignments 8 --luggage 0 --seed 5 --scanner border --recipe \
configs/simulate/test.yaml
    python tools/bench_cartons.py sim --lanes 8 [--per-hour 3000] [--seconds 60] [--without-shapes] [--json]

Cartons of the recording come on every lane at random times (Poisson), whatever was answered before. The
daemon has the shielding bundle, the manifest verifier with its detector of shapes, and the odd one out;
deadline 1 s. Latency is from the last byte handed over to the verdict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import yaml

from nii_edge.adapters.calibration_files import read_calibration, write_calibration
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.bench.columns import percentile_ms
from nii_edge.bench.lanes import Traffic, arrivals
from nii_edge.client import Answer, Picture, ScannerClient
from nii_edge.commands.measure_cartons import fit_file
from nii_edge.errors import ConfigError
from nii_edge.learn.looking import evidence_detector
from nii_edge.resources import shipped
from nii_edge.xray.calibrate import Origin, assemble

DEADLINE_S = 1.0
READY_S = 60.0

Carton = tuple[str, list[Picture]]


def cartons_of(folder: Path) -> tuple[str, list[Carton]]:
    """The scanner, and the cartons of its recording with their barcodes and views."""
    found: list[Carton] = []
    scanner = ""
    source = McapSource(folder / "recording.mcap")
    for _, frames in groupby(source, lambda each: (each.header.scanner, each.header.epoch, each.header.seq)):
        views = list(frames)
        head = views[0].header
        if head.carton is None:
            continue
        if scanner and head.scanner != scanner:
            raise ConfigError(f"{folder}: scans of {scanner} and {head.scanner}; simulate with --scanner")
        scanner = head.scanner
        pictures = [
            Picture(bytes(v.payload), v.header.height, v.header.width, v.header.channels, v.header.dtype)
            for v in views
        ]
        found.append((head.carton, pictures))
    if not found:
        raise ConfigError(f"{folder}: no cartons; nii-edge simulate --consignments N makes some")
    return scanner, found


def configure(folder: Path, work: Path, lanes: int, shapes: bool) -> Path:
    """An edge of so many lanes, each with the scanner's calibration under its own name."""
    scanner, _ = cartons_of(folder)
    profile = folder / "scanners" / f"{scanner}.yaml"
    views = len(yaml.safe_load(profile.read_text(encoding="utf-8"))["views"])
    entries = {}
    for lane in range(1, lanes + 1):
        files = []
        for view in range(views):
            stored = read_calibration(folder / "scanners" / f"{scanner}-{view}.cal")
            own = stored.calibration
            origin = Origin(f"lane-{lane}", view, own.made_at_ns, own.belt_axis, own.channels)
            made = assemble(origin, own.offset, own.gain, own.states, own.air, own.dark_noise, own.air_noise)
            files.append(str(work / f"lane-{lane}-{view}.cal"))
            write_calibration(Path(files[-1]), made, stored.wedges)
        entries[f"lane-{lane}"] = {
            "profile": str(profile.resolve()), "calibration": files, "calibration_hours": 1e6
        }  # fmt: skip
    policy = {
        "version": 1, "name": "bench", "default_alarm_at": 0.5,
        "required_for_clear": ["shielding", "manifest"],
    }  # fmt: skip
    (work / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    store = work / "manifests.db"
    subprocess.run(
        nii_edge("manifest", "import", str(folder / "manifests.json"), "--store", str(store), "--json"),
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    config = {
        "version": 1,
        "edge": "bench",
        "state_dir": str(work / "state"),
        "listen": {
            "scanners": f"ipc://{work}/scanners.ipc", "verdicts": f"ipc://{work}/verdicts.ipc", "tap": None
        },
        "scanners": entries,
        "detectors": {"shielding": {"bundle": str(shipped("models") / "shielding" / "1.0.0")}},
        "policy": "policy.yaml",
        "deadline_ms": int(1000 * DEADLINE_S),
        "inference": {"slots": max(32, 8 * lanes)},
        "health": None,
        "collector": None,
        "manifest": {
            "store": str(store),
            "regime": str(shipped("configs") / "regime.yaml"),
            "fit": str(fit_file()),
            "detector": str(evidence_detector()) if shapes else None,
        },
        "log": {"level": "warning"},
    }  # fmt: skip
    (work / "edge.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return work / "edge.yaml"


def nii_edge(*words: str) -> list[str]:
    """A command of this very installation."""
    return [sys.executable, "-m", "nii_edge", *words]


def send_all(endpoint: str, lanes: int, traffic: Traffic, cartons: Sequence[Carton]) -> list[Answer]:
    """Let the cartons come; every answer, in the order they came."""
    answers: list[Answer] = []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(ScannerClient(endpoint, f"lane-{lane + 1}", deadline_s=DEADLINE_S + 1))
            for lane in range(lanes)
        ]
        began, sent = time.monotonic(), 0
        for due, lane in arrivals(traffic):
            while (left := began + due - time.monotonic()) > 0:
                for client in clients:
                    answers += client.poll()
                time.sleep(min(left, 0.002))
            barcode, views = cartons[(sent * 7 + lane) % len(cartons)]
            clients[lane].send(views, carton=barcode)
            sent += 1
        end = time.monotonic() + DEADLINE_S + 2
        while len(answers) < sent and time.monotonic() < end:
            for client in clients:
                answers += client.poll(0.002)
    return answers


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what nii-edge simulate wrote, of one scanner")
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--per-hour", type=float, default=3000.0, help="cartons an hour on each lane")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--without-shapes", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    _, cartons = cartons_of(given.folder)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder)
        config = configure(given.folder, work, given.lanes, not given.without_shapes)
        daemon = stack.enter_context(subprocess.Popen(nii_edge("run", str(config))))
        stack.callback(daemon.terminate)
        end = time.monotonic() + READY_S
        while not (work / "state" / "endpoints.json").exists() and time.monotonic() < end:
            if daemon.poll() is not None:
                raise SystemExit("the daemon ended; its log says why")
            time.sleep(0.1)
        endpoint = json.loads((work / "state" / "endpoints.json").read_text())["scanners"]
        views = len(cartons[0][1])
        warm = Traffic(given.lanes, given.per_hour, views, 5.0, "poisson")
        send_all(endpoint, given.lanes, warm, cartons)
        answers = send_all(endpoint, given.lanes, warm._replace(seconds=given.seconds), cartons)
    latencies = [answer.latency_s for answer in answers]
    reasons = Counter(str(answer.reason.value) for answer in answers if answer.reason is not None)
    found = {
        "lanes": given.lanes,
        "cartons_per_hour": given.per_hour,
        "cartons": len(answers),
        "view_frames_per_s": round(len(answers) * views / given.seconds, 1),
        "p50_ms": percentile_ms(latencies, 50),
        "p99_ms": percentile_ms(latencies, 99),
        "max_ms": percentile_ms(latencies, 100),
        "verdicts": dict(Counter(answer.decision.value for answer in answers)),
        "reasons": dict(reasons),
    }
    sys.stdout.write(json.dumps(found, indent=None if given.json else 1) + "\n")


if __name__ == "__main__":
    main()

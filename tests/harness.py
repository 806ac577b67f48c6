"""Real processes for tests: an edge and a collector on free ports, in a folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import yaml

from nii_edge.client import Picture

ROOT = Path(__file__).resolve().parent.parent
FREE = "tcp://127.0.0.1:*"
SHIELDING = ROOT / "models" / "shielding" / "1.0.0"


def command(*arguments: str) -> list[str]:
    """A `nii-edge` command line."""
    return [sys.executable, "-m", "nii_edge", *arguments]


HURRY = """
import importlib, json, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    module = importlib.import_module(module)
    assert hasattr(module, constant), name
    setattr(module, constant, value)
from nii_edge.cli import main
main()
"""


def hurried(waits: Mapping[str, float], *arguments: str) -> list[str]:
    """A `nii-edge` command line that does more often what it does every few seconds: `waits` gives modules'
    constants, by their full names, other values. Nobody wants to wait for these in a test."""
    if not waits:
        return command(*arguments)
    return [sys.executable, "-c", HURRY, json.dumps(dict(waits)), *arguments]


def until(condition: Callable[[], Any], seconds: float = 20, what: str = "condition") -> Any:
    """The condition's first true value; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Process:
    """A running `nii-edge` command whose log lines can be read."""

    def __init__(
        self,
        name: str,
        config: Path,
        state: Path,
        environment: Mapping[str, str] | None = None,
        waits: Mapping[str, float] | None = None,
    ) -> None:
        """`environment`: variables beside those there are; `waits`: see `hurried`."""
        self._state = state
        self.log_path = config.with_suffix(f".{time.monotonic_ns()}.log")
        (state / "endpoints.json").unlink(missing_ok=True)
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                hurried(waits or {}, name, str(config)),
                stderr=log,
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        self.endpoints: dict[str, str] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self, seconds: float = 30) -> None:
        """Wait until it listens."""
        path = self._state / "endpoints.json"

        def listening() -> bool:
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}: {self.log_path.read_text()}")
            return path.exists()

        until(listening, seconds, "start")
        self.endpoints = json.loads(path.read_text())

    def log(self) -> list[dict[str, Any]]:
        """The log so far, an event a line."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line.get("event") == event]

    def kill(self) -> None:
        """SIGKILL, as a power failure would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def ended(self) -> int | None:
        """Its exit status once it has ended by itself."""
        return self._process.poll()

    def child(self, event: str = "inference ready") -> int:
        """The pid of the newest inference process; its log line may still be on its way."""
        until(lambda: self.events(event))
        return int(self.events(event)[-1]["pid"])


class Site:
    """A folder with an edge, and a collector unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.edge_state = folder / "edge"
        self.collector_state = folder / "collector"
        self._processes: list[Process] = []
        self.environment: dict[str, str] = {}
        """Of the processes it starts, beside the test's own."""
        self.waits: dict[str, float] = {}
        """Of the processes it starts: see `hurried`."""
        self.profiles = {"lane-1": ROOT / "configs/scanners/dual-energy.yaml"}
        self.profiles["replay"] = ROOT / "configs/scanners/display.yaml"

    def collector(self, edges: str = FREE, subscribers: str = FREE, **changes: Any) -> Process:
        tree = {
            "version": 1,
            "archive": "collector/archive.db",
            "edges": edges,
            "subscribers": subscribers,
            **changes,
        }
        config = self.write("collector.yaml", tree)
        return self._start("collect", config, self.collector_state)

    def edge(self, collector: Process | None = None, **changes: Any) -> Process:
        link = None if collector is None else {"endpoint": collector.endpoints["edges"]}
        return self._start("run", self.edge_config(collector=link, **changes), self.edge_state)

    def edge_config(self, **changes: Any) -> Path:
        tree = {
            "version": 1,
            "edge": "edge-t",
            "state_dir": "edge",
            "listen": {"scanners": FREE, "verdicts": FREE, "tap": FREE},
            "scanners": {name: {"profile": str(path)} for name, path in self.profiles.items()},
            "detectors": {"shielding": {"bundle": str(SHIELDING)}},
            "policy": str(ROOT / "configs" / "policy.yaml"),
            "deadline_ms": 5000,
            "health": {"port": 0},
            "ledger": {"ballast_mb": 1},
            **changes,
        }
        return self.write("edge.yaml", tree)

    def write(self, name: str, tree: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path

    def close(self) -> None:
        for process in reversed(self._processes):
            if process._process.poll() is None:
                process.kill()

    def _start(self, name: str, config: Path, state: Path) -> Process:
        process = Process(name, config, state, self.environment, self.waits)
        self._processes.append(process)
        process.ready()
        return process


def get(edge: Process, path: str) -> tuple[int, str]:
    """Status and body of the daemon's health port."""
    try:
        with urlopen(edge.endpoints["health"] + path, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def value(edge: Process, sample: str) -> float:
    """One sample of the daemon's metrics, by its name with its labels as they are scraped; NaN if there is
    none yet."""
    lines = get(edge, "/metrics")[1].splitlines()
    return float(next((line[len(sample) :] for line in lines if line.startswith(f"{sample} ")), "nan"))


def preloaded(source: Path, folder: Path) -> dict[str, str]:
    """The environment in which a process runs with the C file `source` before its libraries; built in
    `folder`."""
    library = folder / f"{source.stem}.so"
    build = ["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True)
    return {"LD_PRELOAD": str(library)}


def counts(seed: int, block: bool = False) -> np.ndarray:
    """A dual-energy view, (64, 96, 2) uint16 counts: a carton in air, with noise, and perhaps a block that
    nothing gets through."""
    rng = np.random.default_rng(seed)
    mean = np.full((64, 96, 2), 40_000.0)
    mean[6:58, 8:88] *= 0.8
    pixels = rng.normal(mean, 150).astype(np.uint16)
    if block:
        pixels[16:48, 24:72] = rng.integers(0, 12, (32, 48, 2))
    return pixels


def dual(seed: int, block: bool = False) -> list[Picture]:
    """Both views of a dual-energy carton for lane-1."""
    views = [counts(2 * seed), counts(2 * seed + 1, block)]
    return [
        Picture(v.tobytes(), height=64, width=96, channels=("low", "high"), dtype="uint16") for v in views
    ]


def alive(pid: int) -> bool:
    """True while the process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

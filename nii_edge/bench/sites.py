"""The processes under measurement: the echo, and a real `nii-edge run` with its ledger on disk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nii_edge.bench.frames import AIR, CHANNELS, PENETRATION_LIMIT
from nii_edge.bench.reference import ALARM_AT, NAME
from nii_edge.errors import NiiEdgeError
from nii_edge.resources import shipped

START_S = 90.0
STOP_S = 30.0
CLOSED_LOOP_DEADLINE_MS = 10_000
"""Closed loops measure speed; a pause of the machine must not end a scan."""


class Service(NamedTuple):
    """Where to send frames, and the process that takes them."""

    endpoint: str
    pid: int


@contextmanager
def echo(folder: Path, bundle: Path, threads: int) -> Iterator[Service]:
    """A running echo."""
    endpoint = f"ipc://{folder / 'echo.ipc'}"
    line = [sys.executable, "-m", "nii_edge.bench.echo", endpoint, str(bundle), str(threads)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise NiiEdgeError("the echo did not come up")
            yield Service(endpoint, process.pid)
        finally:
            process.kill()


@contextmanager
def edge(folder: Path, tree: Mapping[str, Any], *, collected: bool = False) -> Iterator[Service]:
    """A running daemon with this configuration, in `folder`."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        link = None
        if collected:
            link = {"endpoint": f"ipc://{folder / 'edges.ipc'}"}
            collector = {"version": 1, "archive": "archive/archive.db", "edges": link["endpoint"]}
            collector["subscribers"] = f"ipc://{folder / 'subscribers.ipc'}"
            stack.enter_context(_process("collect", folder, collector, folder / "archive"))
        own = {
            "version": 1,
            "edge": "bench",
            "state_dir": "state",
            "listen": {"scanners": f"ipc://{folder / 'lanes.ipc'}", "verdicts": f"ipc://{folder / 'v.ipc'}"},
            "collector": link,
            "health": {"port": 0},
        }
        pid = stack.enter_context(_process("run", folder, {**tree, **own}, folder / "state"))
        yield Service(f"ipc://{folder / 'lanes.ipc'}", pid)


def reference_edge(folder: Path, bundle: Path, threads: int, in_flight: int) -> dict[str, Any]:
    """The configuration of the daemon in the closed loops. Writes its profile and policy to `folder`."""
    return {
        "scanners": {"lane-1": {"profile": str(_profile(folder, 1))}},
        "detectors": {NAME: {"bundle": str(bundle)}},
        "policy": str(_policy(folder)),
        "deadline_ms": CLOSED_LOOP_DEADLINE_MS,
        "inference": {"threads": threads, "slots": max(32, 2 * in_flight)},
    }


def lanes_of_reference(folder: Path, bundle: Path, threads: int, lanes: int, views: int) -> dict[str, Any]:
    """The configuration of the open loop with the reference model and the shipped deadline."""
    return {
        **_lanes(folder, lanes, views),
        "detectors": {NAME: {"bundle": str(bundle)}},
        "policy": str(_policy(folder)),
        "inference": {"threads": threads, "slots": _slots(lanes, views)},
    }


def lanes_of_shipped(folder: Path, threads: int, lanes: int, views: int) -> dict[str, Any]:
    """The shipped `configs/edge.yaml` with its models and policy, for so many lanes."""
    configs = shipped("configs")
    tree: dict[str, Any] = yaml.safe_load((configs / "edge.yaml").read_text("utf-8"))
    bundles = {name: (configs / entry["bundle"]).resolve() for name, entry in tree["detectors"].items()}
    if shipped("models") != (configs / "../models").resolve():
        raise NiiEdgeError(f"the shipped models are not where {configs / 'edge.yaml'} says")
    return {
        **tree,
        **_lanes(folder, lanes, views),
        "detectors": {
            name: {**tree["detectors"][name], "bundle": str(where)} for name, where in bundles.items()
        },
        "policy": str((configs / tree["policy"]).resolve()),
        "inference": {**tree["inference"], "threads": threads, "slots": _slots(lanes, views)},
    }


def _slots(lanes: int, views: int) -> int:
    """Four cartons of every lane."""
    return max(32, 4 * lanes * views)


def _lanes(folder: Path, lanes: int, views: int) -> dict[str, Any]:
    profile = str(_profile(folder, views))
    return {"scanners": {f"lane-{n + 1}": {"profile": profile} for n in range(lanes)}}


def _profile(folder: Path, views: int) -> Path:
    tree = {
        "version": 1,
        "name": f"benchmark, {views} view(s)",
        "views": [f"view-{n}" for n in range(views)],
        "formats": [{"channels": list(CHANNELS), "dtype": "uint16", "air": AIR}],
        "pixel_pitch_mm": [0.8, 0.8],
        "belt_axis": "columns",
        "palette": "none",
        "penetration_limit": PENETRATION_LIMIT,
        "black_level": 0.17,
    }
    return _write(folder / f"profile-{views}.yaml", tree)


def _policy(folder: Path) -> Path:
    tree = {"version": 1, "name": "bench", "required_for_clear": [NAME], "default_alarm_at": ALARM_AT}
    return _write(folder / "policy.yaml", tree)


def _write(path: Path, tree: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(tree), sort_keys=False), encoding="utf-8")
    return path


@contextmanager
def _process(command: str, folder: Path, tree: Mapping[str, Any], state: Path) -> Iterator[int]:
    """The pid of a running `nii-edge COMMAND` that listens; held to an exit status of 0 when told to stop."""
    config = _write(folder / f"{command}.yaml", tree)
    log_path = folder / f"{command}.log"
    with log_path.open("wb") as log:
        line = [sys.executable, "-m", "nii_edge", command, str(config)]
        process = subprocess.Popen(line, stderr=log, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            _await(state / "endpoints.json", process, command, log_path)
            yield process.pid
        finally:
            process.terminate()
            try:
                code = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    if code != 0:
        raise NiiEdgeError(f"nii-edge {command} ended with status {code}: {_tail(log_path)}")


def _await(endpoints: Path, process: subprocess.Popen[bytes], command: str, log_path: Path) -> None:
    until = time.monotonic() + START_S
    while not endpoints.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise NiiEdgeError(f"nii-edge {command} did not come up: {_tail(log_path)}")
        time.sleep(0.02)


def _tail(log_path: Path) -> str:
    lines = log_path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

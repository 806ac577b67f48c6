"""The real processes, and a supervisor that starts again what ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from chaoslib.power_cut import PowerCut
from nii_edge.config import EdgeConfig

ROOT = Path(__file__).resolve().parents[2]
RESTART_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
KEEP_LOGS = 8
_LIBC = ctypes.CDLL(None)


class Service:
    """One `nii-edge` command. `wanted`: the supervisor keeps it running. `excused`: its next end is the
    work of a fault. `ends`: exit codes nobody caused, with the end of the log. `size_limit`: the largest
    file it may write, in bytes. `power`: watches what it syncs."""

    def __init__(self, command: str, config: Path, state: Path) -> None:
        self.command = command
        self.wanted = False
        self.excused = False
        self.starts = 0
        self.ends: list[str] = []
        self.size_limit: int | None = None
        self.power: PowerCut | None = None
        self.lock = threading.RLock()
        self._config = config
        self._endpoints = state / "endpoints.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: list[Path] = []
        self._pause = RESTART_PAUSE_S
        self._due = 0.0

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        process = self._process
        return 0 if process is None or process.poll() is not None else process.pid

    @property
    def ready(self) -> bool:
        """True once it listens."""
        return bool(self.pid) and self._endpoints.exists()

    def tend(self) -> None:
        """Note an end, and start it again when it is due."""
        with self.lock:
            if self._process is not None and self._process.poll() is not None:
                self._note_end(self._process.returncode)
                self._process = None
            if self.wanted and self._process is None and time.monotonic() >= self._due:
                self._start()

    def send(self, number: signal.Signals, excuse: bool = True) -> None:
        """Send a signal; its end is excused unless told otherwise."""
        with self.lock:
            self.excused = self.excused or excuse
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> None:
        """End it and keep it ended. Being deaf to SIGTERM, or any status but 0, is noted."""
        with self.lock:
            self.wanted = False
            if self._process is None:
                return
            self._process.send_signal(number)
            try:
                code = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.ends.append(f"{self.command} did not end within {seconds:g} s of {number.name}")
                self._process.kill()
                code = self._process.wait()
            if number == signal.SIGTERM and code != 0 and not self.excused:
                self.ends.append(f"{self.command} ended with {code} on SIGTERM: {self.log_tail()}")
            self._process = None
            self.excused = False

    def child(self, module: str) -> int:
        """The pid of its child process that runs `module`, 0 if there is none now."""
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                for pid in (task / "children").read_text().split():
                    if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                        return int(pid)
        return 0

    def log_tail(self) -> str:
        """The last lines of the newest log, without the canonical ones."""
        if not self._logs:
            return ""
        lines = self._logs[-1].read_text(errors="replace").splitlines()
        telling = [line for line in lines if '"event": "scan"' not in line]
        return " | ".join(telling[-6:])[-1500:]

    def _note_end(self, code: int) -> None:
        if not self.excused:
            self.ends.append(f"{self.command} ended with {code}: {self.log_tail()}")
        self.excused = False
        self._due = time.monotonic() + self._pause
        self._pause = min(LONGEST_PAUSE_S, self._pause * 2)

    def _start(self) -> None:
        self._endpoints.unlink(missing_ok=True)
        log_path = self._config.with_suffix(f".{time.monotonic_ns()}.log")
        self._logs.append(log_path)
        for old in self._logs[:-KEEP_LOGS]:
            old.unlink(missing_ok=True)
        del self._logs[:-KEEP_LOGS]
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nii_edge", self.command, str(self._config)],
                stderr=log,
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                cwd=ROOT,
                preexec_fn=_die_with_us,  # noqa: PLW1509 - one system call
            )
        self.limit_files()
        self.starts += 1

    def _environment(self) -> dict[str, str]:
        ours = {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        return {**os.environ, **ours, **({} if self.power is None else self.power.environment)}

    def limit_files(self) -> None:
        """Hold the running process to `size_limit` bytes a file; None: no limit."""
        limit = resource.RLIM_INFINITY if self.size_limit is None else self.size_limit
        with self.lock, contextlib.suppress(ProcessLookupError):
            if self.pid:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def cut_power(self) -> None:
        """kill -9, and its files fall back to what it had synced."""
        with self.lock:
            self.excused = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            if self.power is not None:
                self.power.cut()

    def calm(self) -> None:
        """It is back: the next restart may come at once."""
        self._pause = RESTART_PAUSE_S


class Supervisor(threading.Thread):
    """Looks after services every few milliseconds."""

    def __init__(self, services: list[Service]) -> None:
        super().__init__(name="supervisor")
        self._services = services
        self._end = threading.Event()

    def run(self) -> None:
        """The thread's body."""
        while not self._end.wait(0.01):
            for service in self._services:
                service.tend()

    def end(self) -> None:
        """End the thread, then every service."""
        self._end.set()
        self.join()
        for service in self._services:
            service.send(signal.SIGCONT)
            service.stop(signal.SIGKILL)


class Site:
    """A folder with an edge and a collector, and the ports between them: edge → proxy → collector."""

    def __init__(self, folder: Path, seed: int) -> None:
        ports = _free_ports(5, seed)
        self.scanners = f"tcp://127.0.0.1:{ports[0]}"
        self.subscribers = f"tcp://127.0.0.1:{ports[1]}"
        self.proxy_port, self.collector_port = ports[2], ports[3]
        self.ledger, self.archive = folder / "edge" / "ledger.db", folder / "collector" / "archive.db"
        self.edge = Service("run", _write(folder, "edge.yaml", self._edge(ports[4])), folder / "edge")
        self.collector = Service(
            "collect", _write(folder, "collector.yaml", self._collector()), folder / "collector"
        )

    def _collector(self) -> dict[str, Any]:
        return {
            "version": 1,
            "archive": "collector/archive.db",
            "edges": f"tcp://127.0.0.1:{self.collector_port}",
            "subscribers": self.subscribers,
        }

    def _edge(self, verdicts: int) -> dict[str, Any]:
        profiles = ROOT / "configs" / "scanners"
        dual, display = str(profiles / "dual-energy.yaml"), str(profiles / "display.yaml")
        tree = {
            "version": 1,
            "edge": "edge-chaos",
            "state_dir": "edge",
            "listen": {"scanners": self.scanners, "verdicts": f"tcp://127.0.0.1:{verdicts}"},
            "scanners": {
                "lane-1": {"profile": dual},
                "lane-2": {"profile": dual},
                "lane-3": {"profile": display},
                "lane-4": {"profile": dual},
                "lane-9": {"profile": dual},
            },
            "detectors": {"shielding": {"bundle": str(ROOT / "models" / "shielding" / "1.0.0")}},
            "policy": str(ROOT / "configs" / "policy.yaml"),
            "deadline_ms": 500,
            "view_timeout_ms": 400,
            "drain_ms": 2_000,
            "max_frame_bytes": 1 << 20,
            "inference": {"threads": 1},
            "collector": {"endpoint": f"tcp://127.0.0.1:{self.proxy_port}"},
            "health": {"port": 0},
            "ledger": {"ballast_mb": 1},
        }
        return {key: value for key, value in tree.items() if key in EdgeConfig.__struct_fields__}


def _die_with_us() -> None:
    """In the new process: end when the supervisor's thread does, so that nothing stays behind."""
    _LIBC.prctl(1, signal.SIGKILL)


def _write(folder: Path, name: str, tree: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def _free_ports(count: int, seed: int) -> list[int]:
    """Ports below those that the kernel gives to connections, so that a restart finds its own free."""
    random_ = random.Random(f"{seed} {os.getpid()}")  # noqa: S311 - not for secrets
    found: list[int] = []
    while len(found) < count:
        port = random_.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in found:
                found.append(port)
    return found

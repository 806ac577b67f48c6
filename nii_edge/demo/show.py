"""`nii-edge demo`: collector, daemon and replay as three processes, from a bundled recording."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from nii_edge.errors import NiiEdgeError
from nii_edge.records import Report
from nii_edge.resources import shipped
from nii_edge.subscriber import Subscriber

HERE = Path(__file__).parent
RECORDING = HERE / "demo.mcap"
RATE = "4"
"""Times the recorded pace."""
START_S = 60.0


class Numbers(msgspec.Struct, kw_only=True):
    """What `--json` prints. `lost`: scans sent without a report in the archive. `duplicates`: reports a
    subscriber saw twice. Latencies in milliseconds from last byte sent to verdict received."""

    scans_sent: int
    verdicts: dict[str, int]
    alerts_archived: int
    lost: int
    duplicates: int
    latency_ms: dict[str, float | None]
    seconds: float


class Result(NamedTuple):
    """The numbers, every report as a subscriber got it, and the folder of preview pictures."""

    numbers: Numbers
    reports: list[Report]
    previews: Path | None

    @property
    def well(self) -> bool:
        """True if every scan got its verdict and its one report."""
        n = self.numbers
        return (
            n.scans_sent > 0
            and n.lost == 0
            and n.duplicates == 0
            and sum(n.verdicts.values()) == n.scans_sent
        )


def demo(console: Console, *, keep: Path | None, show: Callable[[Result], None], stay: bool) -> Result:
    """Run it; `show` gets the result before the processes are told to stop, or with `stay`, are left running
    until Ctrl-C. Raises NiiEdgeError naming the process that did not do its part."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with _folder(keep) as folder:
        console.print("starting collector and daemon …", style="dim")
        collector_config = _write(folder / "collector.yaml", _collector_config())
        with _process("collect", collector_config, folder) as collector:
            where = _endpoints(folder / "collector", collector)
            edge_config = _write(folder / "edge.yaml", _edge_config(where["edges"]))
            with _process("run", edge_config, folder) as daemon:
                lanes = _endpoints(folder / "edge", daemon)
                console.print(f"replaying {RECORDING.name} …", style="dim")
                replayed = _replay(lanes["scanners"])
                reports, duplicates = _reports(where["subscribers"], replayed.scans_sent)
                previews = _previews(where["subscribers"], reports, keep)
                result = _result(replayed, reports, duplicates, previews, began)
                show(result)
                if stay:
                    _stay(console, lanes, where)
    return result


def _result(
    replayed: _Replayed, reports: list[Report], duplicates: int, previews: Path | None, began: float
) -> Result:
    numbers = Numbers(
        scans_sent=replayed.scans_sent,
        verdicts=replayed.verdicts,
        alerts_archived=sum(1 for report in reports if report.verdict.decision != "CLEAR"),
        lost=replayed.scans_sent - len(reports),
        duplicates=duplicates,
        latency_ms=replayed.latency_ms,
        seconds=round(time.monotonic() - began, 1),
    )
    return Result(numbers, reports, previews)


def table(result: Result, console: Console) -> None:
    """What was scanned, what alarmed and why, for a person."""
    rows = Table("carton and report", "verdict", "what it is", title="What was scanned", show_lines=True)
    truth = {entry["seq"]: entry for entry in json.loads((HERE / "demo.json").read_text("utf-8"))}
    colours = {"CLEAR": "green", "ALARM": "bold red", "UNKNOWN": "bold yellow"}
    for report in sorted(result.reports, key=lambda r: r.verdict.id.seq):
        verdict, known = report.verdict, truth[report.verdict.id.seq]
        why = max(verdict.findings, key=lambda f: f.score).why if verdict.findings else verdict.detail
        really = "as declared" if known["lie"] is None else "also " + ", ".join(known["hidden"])
        colour = colours[verdict.decision.value]
        rows.add_row(
            f"{known['carton']}\n{report.report_id}",
            f"[{colour}]{verdict.decision.value}[/]",
            "\n".join(
                line
                for line in (f"declared: {', '.join(known['declared'])}", f"in truth: {really}", why)
                if line
            ),
        )
    console.print(rows)
    n = result.numbers
    console.print(
        f"{n.scans_sent} cartons: {n.verdicts['CLEAR']} CLEAR, {n.verdicts['ALARM']} ALARM, "
        f"{n.verdicts['UNKNOWN']} UNKNOWN. {n.alerts_archived} alerts archived at the collector, "
        f"{n.lost} lost, {n.duplicates} twice."
    )
    console.print(f"last byte to verdict: p50 {n.latency_ms['p50']} ms, p99 {n.latency_ms['p99']} ms")
    if result.previews is not None:
        console.print(f"pictures of the alerts: {result.previews}", markup=False, highlight=False)


# ---- the three processes


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NiiEdgeError(f"--keep {keep}: no folder can be made there: {error.strerror}") from error
        if any((keep / part).exists() for part in ("edge", "collector")):
            raise NiiEdgeError(f"{keep} holds an earlier demo; name an empty folder")
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="nii-edge-demo-") as name:
        yield Path(name)


@contextmanager
def _process(command: str, config: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running `nii-edge COMMAND`; told to stop at the end, and held to an exit status of 0."""
    log_path = folder / f"{command}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            _command(command, str(config)), stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    if code != 0:
        raise NiiEdgeError(f"nii-edge {command} ended with status {code}: {_tail(log_path)}")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nii_edge", *arguments]


def _tail(log_path: Path) -> str:
    lines = log_path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _endpoints(folder: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Where a process listens, once it does. Raises NiiEdgeError if it ends or takes too long."""
    path = folder / "endpoints.json"
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if path.exists():
            found: dict[str, str] = json.loads(path.read_text("utf-8"))
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise NiiEdgeError(f"{' '.join(map(str, process.args[2:4]))} did not come up")  # type: ignore[index]


class _Replayed(msgspec.Struct):
    scans_sent: int
    verdicts: dict[str, int]
    latency_ms: dict[str, float | None]


def _replay(endpoint: str) -> _Replayed:
    done = subprocess.run(
        _command("replay", str(RECORDING), "--to", endpoint, "--rate", RATE, "--operational", "--json"),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise NiiEdgeError(f"the replay failed: {done.stderr.decode('utf-8', 'replace')[-500:]}")
    return msgspec.json.decode(done.stdout, type=_Replayed)


def _reports(endpoint: str, expected: int) -> tuple[list[Report], int]:
    """Every report in the archive, and how many came twice. Waits until the uplink has delivered."""
    seen: Counter[str] = Counter()
    reports: list[Report] = []
    with Subscriber(endpoint, decisions=(), timeout_s=10) as subscriber:
        until = time.monotonic() + 20
        while len(reports) < expected and time.monotonic() < until:
            for item in subscriber.fetch_once(1000):
                if item.report is not None:
                    seen[item.report.alert_id] += 1
                    reports.append(item.report)
            time.sleep(0.05)
    return reports, sum(count - 1 for count in seen.values())


def _previews(endpoint: str, reports: list[Report], keep: Path | None) -> Path | None:
    """Saves the alerts' pictures if a folder was named."""
    if keep is None:
        return None
    folder = keep / "previews"
    folder.mkdir(exist_ok=True)
    with Subscriber(endpoint, timeout_s=10) as subscriber:
        for report in reports:
            if report.preview is not None:
                picture = subscriber.preview(report.preview)
                (folder / f"{report.report_id}.jpg").write_bytes(picture.data)
    return folder


def _stay(console: Console, lanes: dict[str, str], where: dict[str, str]) -> None:
    console.print("Everything keeps running; Ctrl-C ends it. In another terminal:")
    console.print(f"  nii-edge subscribe {where['subscribers']}", highlight=False)
    console.print(f"  nii-edge replay FOLDER --to {lanes['scanners']} --scanner replay", highlight=False)
    console.print(
        f"  nii-edge record day.mcap --tap {lanes['tap']} --verdicts {lanes['verdicts']}", highlight=False
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")


# ---- their configurations: the shipped ones, on free ports, in a folder of their own


def _write(path: Path, tree: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _collector_config() -> dict[str, object]:
    free = "tcp://127.0.0.1:*"
    return {"version": 1, "archive": "collector/archive.db", "edges": free, "subscribers": free}


def _edge_config(collector: str) -> dict[str, object]:
    configs = shipped("configs")
    tree: dict[str, object] = yaml.safe_load((configs / "edge.yaml").read_text("utf-8"))
    free = "tcp://127.0.0.1:*"
    return {
        **tree,
        "state_dir": "edge",
        "listen": {"scanners": free, "verdicts": free, "tap": free},
        "scanners": {
            "lane-1": {
                "profile": str(HERE / "scanner.yaml"),
                "calibration": [str(HERE / f"scanner-{view}.cal") for view in (0, 1)],
                "calibration_hours": 1e6,  # a virtual scanner does not age
            },
            "replay": {"profile": str(configs / "scanners" / "display.yaml")},
        },
        "detectors": {"shielding": {"bundle": str(shipped("models") / "shielding" / "1.0.0")}},
        "policy": str(configs / "policy.yaml"),
        "health": {"port": 0},
        "ledger": {"ballast_mb": 1},
        "collector": {"endpoint": collector},
        "deadline_ms": 2000,
        "inference": {"threads": max(1, min(2, os.cpu_count() or 1))},
    }

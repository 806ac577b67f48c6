"""`nii-edge bench` for real, shorter than any number of it could be trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import onnx
import pytest
from harness import command

from nii_edge.adapters.onnx_format import check_self_contained
from nii_edge.bench import closed, frames, lanes, reference
from nii_edge.bench.columns import Timing
from nii_edge.bench.lanes import Traffic
from nii_edge.bench.machine import cpu_seconds

QUICK = ("--rounds", "1", "--seconds", "0.5", "--in-flight", "3", "--lanes", "2", "--minutes", "0.03")


def run(*more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command("bench", *QUICK, *more), capture_output=True, text=True, check=False)


def test_a_short_run_measures_every_column() -> None:
    """One JSON object with the promised keys; bare runtime, echo and daemon all really looked at frames, and
    the open loop answered every carton it sent."""
    done = run("--json", "--cartons-per-hour", "7200")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert {"ratio_to_echo", "ratio_to_bare", "overhead_ms", "rounds", "machine"} <= set(found)
    assert set(found["overhead_ms"]) == {"p50", "p99"}
    assert (found["rounds"], found["problems"]) == (1, [])
    columns = found["closed_loop"]["columns"]
    assert {name: set(cells) for name, cells in columns.items()} == {
        "bare": {"one"},
        "echo": {"one", "saturated"},
        "daemon": {"one", "saturated"},
    }
    assert all(cell["frames"] > 0 for cells in columns.values() for cell in cells.values())
    opened = found["open_loop"]
    assert opened["cartons"] == sum(opened["verdicts"].values()) > 0
    assert (opened["unknown"], opened["unanswered"]) == (0, 0)
    assert "shielding" in opened["models"]


def test_a_run_with_a_collector_and_the_reference_on_the_lanes_gives_tables() -> None:
    """Without --json a person reads the machine, the columns and the lanes; progress goes to stderr."""
    done = run("--with-collector", "--models", "reference", "--arrivals", "jittered")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("cores", "bare", "echo", "daemon", "open loop, reference"))
    assert "round 1 of 1" in done.stderr


def test_the_reference_model_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    """2.4 million weights, one file of standard operators, equal at every build, golden frame included."""
    bundle = reference.write_reference(tmp_path / "one")
    again = reference.write_reference(tmp_path / "two")
    assert bundle.model == again.model
    model = onnx.load_from_string(bundle.model)
    onnx.checker.check_model(model)
    check_self_contained(bundle.model)
    weights = sum(onnx.numpy_helper.to_array(tensor).size for tensor in model.graph.initializer)
    assert 2.3e6 < weights < 2.5e6
    (golden,) = bundle.golden
    assert golden.expected
    assert golden.frame.pixels.shape == (frames.HEIGHT, frames.WIDTH, 2)


def test_rounds_are_paired_and_every_column_goes_first() -> None:
    """Ratios and overheads are taken within a round, so a slow moment of the machine cancels out."""

    def at(fps: float, ms: float) -> Timing:
        return Timing(frames=10, fps=fps, p50=ms, p99=2 * ms, cpu=1)

    timings = {
        ("bare", 1): [at(100, 10), at(50, 20)],
        ("echo", 1): [at(90, 11), at(45, 22)],
        ("daemon", 1): [at(80, 12), at(40, 23)],
        ("echo", 8): [at(100, 80), at(50, 160)],
        ("daemon", 8): [at(90, 90), at(45, 180)],
    }
    found = closed.compare(timings, 8, [0.0, 0.5])
    assert (found.ratio_to_echo.min, found.ratio_to_echo.max) == (0.9, 0.9)
    assert (found.overhead_ms["p50"].median, found.overhead_ms["p99"].median) == (1, 2)
    assert found.columns["daemon"]["one"].frames == 20
    assert found.others_cores.max == 0.5
    orders = [closed.order(number, 8) for number in range(6)]
    assert {order[0][0] for order in orders} == {"bare", "echo", "daemon"}
    assert {order[3][0] for order in orders} == {"echo", "daemon"}


@pytest.mark.parametrize("pattern", ["poisson", "jittered"])
def test_cartons_arrive_in_order_and_about_as_often_as_asked(pattern: lanes.Pattern) -> None:
    """8 lanes of 3,000 cartons/h are 6.7 cartons a second, in order of time, and the same every time."""
    traffic = Traffic(lanes=8, per_hour=3000, views=2, seconds=600, pattern=pattern)
    times = list(lanes.arrivals(traffic))
    assert times == sorted(times) == list(lanes.arrivals(traffic))
    assert 0.95 < len(times) / 4000 < 1.05
    assert {lane for _, lane in times} == set(range(8))


def test_cpu_time_of_a_family_of_processes_counts_its_children() -> None:
    """What the daemon's inference process spends is the daemon's."""
    work = "import subprocess as s, sys; s.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([*command()[:1], "-c", work], start_new_session=True) as process:
        try:
            until = time.monotonic() + 20
            while cpu_seconds(process.pid) < 0.5 and time.monotonic() < until:
                time.sleep(0.05)
            assert cpu_seconds(process.pid) >= 0.5
        finally:
            os.killpg(process.pid, signal.SIGKILL)

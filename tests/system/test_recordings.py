"""Recording a running daemon, and playing recordings, folders and arrays to it, by the real commands."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import Process, Site, command, counts, until

DEMO = Path(__file__).parents[2] / "nii_edge" / "demo" / "demo.mcap"
CARTONS, CLEARS, ALARMS = 7, 5, 2
"""In the demo's recording, and what the shielding model says of them."""
SLOW_MS = 60_000
"""A deadline for machines that do other things as well: nothing here is about speed."""


@pytest.fixture(scope="module")
def demo_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A daemon whose lane is the scanner that the demo was recorded at, for all tests that play the demo."""
    site = Site(tmp_path_factory.mktemp("demo"))
    lane = {
        "profile": str(DEMO.with_name("scanner.yaml")),
        "calibration": [str(DEMO.with_name(f"scanner-{view}.cal")) for view in (0, 1)],
        "calibration_hours": 1e6,
    }
    yield site.edge(scanners={"lane-1": lane}, deadline_ms=SLOW_MS)
    site.close()


def replay(edge: Process, source: Path, *options: str, status: int = 0) -> dict[str, object]:
    """`nii-edge replay ... --json`, its one object; the exit status is checked."""
    done = subprocess.run(
        command(
            "replay", str(source), "--to", edge.endpoints["scanners"], "--deadline", "60", "--json", *options
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    (line,) = done.stdout.splitlines()
    summary: dict[str, object] = json.loads(line)
    return summary


def verdicts(clear: int, alarm: int, unknown: int = 0) -> dict[str, int]:
    return {"CLEAR": clear, "ALARM": alarm, "UNKNOWN": unknown}


def test_what_is_recorded_plays_again_with_the_same_verdicts(demo_edge: Process, tmp_path: Path) -> None:
    """Replay, record through the tap, replay the recording: every frame and every verdict is the same."""
    recording = tmp_path / "day.mcap"
    recorder = subprocess.Popen(
        command(
            "record", str(recording), "--tap", demo_edge.endpoints["tap"],
            "--verdicts", demo_edge.endpoints["verdicts"], "--json",
        ),
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    until(recording.exists, what="the recorder's start")
    time.sleep(0.5)  # subscriptions travel on their own; what was missed would show below
    first = replay(demo_edge, DEMO, "--rate", "max")
    assert first["verdicts"] == verdicts(CLEARS, ALARMS)
    time.sleep(0.5)
    recorder.send_signal(signal.SIGINT)
    out, _ = recorder.communicate(timeout=20)
    summary = json.loads(out)
    assert (summary["frames"], summary["verdicts"], summary["missed"]) == (2 * CARTONS, CARTONS, 0)
    again = replay(demo_edge, recording, "--rate", "max")
    assert (again["scans_sent"], again["verdicts"], again["problems"]) == (
        CARTONS,
        verdicts(CLEARS, ALARMS),
        [],
    )


def test_raw_counts_on_a_lane_without_a_calibration_hide_no_lead(site: Site) -> None:
    """The demo's counts have their detector's offset still in them, 2 % of air: on a lane that takes them for
    corrected, neither the cartons with lead in them nor a dense one are CLEAR."""
    profile = DEMO.parents[2] / "configs" / "scanners" / "dual-energy.yaml"
    edge = site.edge(scanners={"lane-1": {"profile": str(profile)}}, deadline_ms=SLOW_MS)
    summary = replay(edge, DEMO, "--rate", "max")
    assert summary["verdicts"] == verdicts(CLEARS - 1, 0, ALARMS + 1)
    assert summary["reasons"] == {"IMAGE_QUALITY": ALARMS + 1}


def test_the_pace_of_a_recording_is_kept_and_multiplied(demo_edge: Process) -> None:
    """At 8 times the recorded pace, seven cartons 1.2 s apart take at least an eighth of 7.2 s."""
    summary = replay(demo_edge, DEMO, "--rate", "8")
    assert summary["scans_sent"] == CARTONS
    assert isinstance(summary["seconds"], float)
    assert summary["seconds"] >= (CARTONS - 1) * 1.2 / 8


def test_a_cut_recording_plays_as_far_as_it_goes_and_says_what_is_missing(
    demo_edge: Process, tmp_path: Path
) -> None:
    """Half a file gives its whole scans their verdicts, names the damage, and the status is 1."""
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(DEMO.read_bytes()[: DEMO.stat().st_size // 2])
    summary = replay(demo_edge, cut, "--rate", "max", status=1)
    assert isinstance(summary["scans_sent"], int)
    assert 0 < summary["scans_sent"] < CARTONS
    assert summary["problems"]


def test_a_folder_of_pictures_plays_and_a_broken_one_is_unknown(site: Site, tmp_path: Path) -> None:
    """PNG, JPEG, TIFF of 8 and 16 bit become scans; a torn one and one that shows nothing are UNKNOWN; a text
    file is named."""
    edge = site.edge(deadline_ms=SLOW_MS)
    folder = tmp_path / "pictures"
    folder.mkdir()
    white = np.full((60, 80, 3), 255, np.uint8)
    white[8:52, 8:72] = 205
    cv2.imwrite(str(folder / "1.png"), white)
    cv2.imwrite(str(folder / "2.jpg"), white)
    cv2.imwrite(str(folder / "3.tiff"), white[:, :, 0].astype(np.uint16) * 257)
    plate = np.full((60, 80), 65535, np.uint16)
    plate[5:55, 5:75] = 0
    cv2.imwrite(str(folder / "4.png"), plate)
    cv2.imwrite(str(folder / "6.png"), np.zeros((60, 80), np.uint16))
    (folder / "5.jpg").write_bytes((folder / "2.jpg").read_bytes()[:200])
    (folder / "notes.txt").write_text("not a picture")
    summary = replay(edge, folder, status=1)
    assert summary["scans_sent"] == 6
    assert summary["verdicts"] == verdicts(3, 1, 2)
    assert summary["reasons"] == {"CORRUPT_FRAME": 1, "IMAGE_QUALITY": 1}
    assert isinstance(summary["problems"], list)
    (problem,) = summary["problems"]
    assert "notes.txt" in problem


def test_arrays_play_as_dual_energy_frames(site: Site, tmp_path: Path) -> None:
    """A .npy of two views with low and high counts is a scan of the dual-energy lane."""
    edge = site.edge(deadline_ms=SLOW_MS)
    file = tmp_path / "carton.npy"
    np.save(file, np.stack([counts(1), counts(2, block=True)]))
    summary = replay(edge, file, "--scanner", "lane-1")
    assert (summary["scans_sent"], summary["verdicts"]) == (1, verdicts(0, 1))


def test_a_replay_is_non_operational_unless_told_otherwise(demo_edge: Process) -> None:
    """Played scans are tests; only --operational makes them count as real cartons."""
    replay(demo_edge, DEMO, "--rate", "max")
    assert {e["scan_type"] for e in demo_edge.events("scan")} == {"NON_OPERATIONAL"}
    replay(demo_edge, DEMO, "--rate", "max", "--operational")
    assert [e["scan_type"] for e in demo_edge.events("scan")].count("OPERATIONAL") == CARTONS


def test_a_replay_to_nobody_answers_unknown(tmp_path: Path) -> None:
    """Without a daemon every scan is UNKNOWN(NO_ANSWER) by its deadline, and the status is 1."""
    np.save(tmp_path / "one.npy", counts(1))
    done = subprocess.run(
        command("replay", str(tmp_path), "--to", "tcp://127.0.0.1:1", "--deadline", "0.5", "--json"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["reasons"] == {"NO_ANSWER": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/nowhere/at/all", "--to", "tcp://127.0.0.1:1"], "nowhere"),
        (["{empty}", "--to", "tcp://127.0.0.1:1"], "an empty folder"),
        ([str(DEMO), "--to", "tcp://127.0.0.1:1", "--rate", "fast"], "--rate fast"),
        ([str(DEMO), "--to", "tcp://127.0.0.1:1", "--channels", "low,ultra"], "ultra"),
    ],
)
def test_wrong_sources_and_options_are_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    """The command says what it found wrong and exits with 1, without a traceback."""
    filled = [argument.format(empty=tmp_path) for argument in arguments]
    done = subprocess.run(command("replay", *filled), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr

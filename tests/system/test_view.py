"""`nii-edge view`: the demo's recording as pictures, by the real command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness import ROOT, command

from nii_edge.adapters.mcap_recording import McapSource, RecordingWriter

DEMO = ROOT / "nii_edge" / "demo"


def lanes(folder: Path, calibrated: bool = True) -> Path:
    """What is known of the demo's scanner, under the name that it has in the recording."""
    name = next(iter(McapSource(DEMO / "demo.mcap"))).header.scanner
    folder.mkdir()
    shutil.copy(DEMO / "scanner.yaml", folder / f"{name}.yaml")
    for view in (0, 1) if calibrated else ():
        shutil.copy(DEMO / f"scanner-{view}.cal", folder / f"{name}-{view}.cal")
    return folder


def drawn(
    lanes_: Path, out: Path, *more: str, status: int = 0, of: Path = DEMO / "demo.mcap"
) -> dict[str, Any]:
    done = subprocess.run(
        command("view", str(of), "--lanes", str(lanes_), "--out", str(out), "--json", *more),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
    return found


def test_each_view_of_a_carton_is_drawn_in_every_look(tmp_path: Path) -> None:
    """Greys are grey and the inverse is one; stripping takes colour away, and nothing else is added."""
    carton = next(iter(McapSource(DEMO / "demo.mcap"))).header.carton or ""
    known, seen = lanes(tmp_path / "lanes"), {}
    for look in ("colour", "organic_stripped", "metal_stripped", "grey", "inverse", "high_penetration"):
        out = tmp_path / look
        summary = drawn(known, out, "--as", look, "--carton", carton, "--longest", "300")
        assert (summary["scans"], summary["pictures"], summary["left_out"]) == (1, 2, {})
        files = sorted(out.glob("*.png"))
        pictures = [cv2.imread(str(file)) for file in files]
        assert all(picture is not None and max(picture.shape) <= 300 for picture in pictures)
        seen[look] = np.asarray(pictures[0]).astype(int)

    def coloured(look: str) -> int:
        return int((np.ptp(seen[look], axis=2) > 40).sum())

    assert coloured("colour") > max(coloured("organic_stripped"), coloured("metal_stripped")) > 0
    assert coloured("grey") == coloured("inverse") == coloured("high_penetration") == 0
    assert np.abs(seen["grey"] + seen["inverse"] - 255).max() <= 1
    assert (seen["high_penetration"] >= seen["grey"] - 1).all()


def test_what_cannot_be_drawn_is_named_and_counted(tmp_path: Path) -> None:
    """Without wedges there is nothing to strip, in grey there is; other lanes are not drawn at all."""
    bare = lanes(tmp_path / "bare", calibrated=False)
    summary = drawn(bare, tmp_path / "out", "--as", "metal_stripped", status=1)
    assert summary["pictures"] == 0
    assert summary["left_out"] == {"cannot_weigh": summary["scans"]}
    assert "wedges" in summary["examples"][0]
    assert drawn(bare, tmp_path / "grey", "--as", "grey", "--longest", "100")["pictures"] > 0
    (tmp_path / "other").mkdir()
    shutil.copy(DEMO / "scanner.yaml", tmp_path / "other" / "nobody.yaml")
    assert set(drawn(tmp_path / "other", tmp_path / "none", status=1)["left_out"]) == {"other_lane"}


def test_scans_that_the_daemon_would_not_judge_are_drawn_and_named(tmp_path: Path) -> None:
    """With exchanged energies metal looks like food: no screen shows that without a word."""
    frames = [frame for frame in McapSource(DEMO / "demo.mcap") if frame.header.seq == 1]
    writer = RecordingWriter(tmp_path / "exchanged.mcap")
    for frame in frames:
        counts = np.frombuffer(frame.payload, "<u2").reshape(-1, 2)
        writer.write_frame(frame.header, np.ascontiguousarray(counts[:, ::-1]).tobytes(), 1)
    writer.close()
    summary = drawn(lanes(tmp_path / "lanes"), tmp_path / "out", of=tmp_path / "exchanged.mcap")
    assert (summary["pictures"], summary["left_out"]) == (len(frames), {})
    assert summary["doubtful"] == {"PROFILE_MISMATCH": 1}
    assert "swapped?" in summary["examples"][0]
    assert drawn(tmp_path / "lanes", tmp_path / "sound", "--longest", "100")["doubtful"] == {}


def test_a_carton_that_is_not_in_the_recording_is_named(tmp_path: Path) -> None:
    """Rather than nothing drawn without a word."""
    summary = drawn(lanes(tmp_path / "lanes"), tmp_path / "out", "--carton", "nobody's", status=1)
    assert summary["scans"] == 0
    assert "--carton nobody's: no scan of the recording names it" in summary["problems"][0]


@pytest.mark.parametrize(
    ("more", "words"), [(("--as", "sepia"), "--as sepia: there are colour,"), ((), "no NAME.yaml")]
)
def test_wrong_options_are_refused_in_words(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    """A look that there is not, a folder without scanners."""
    folder = lanes(tmp_path / "lanes") if more else tmp_path
    assert words in drawn(folder, tmp_path / "out", *more, status=1)["error"]

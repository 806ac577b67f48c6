"""Models run only if somebody who may has signed them: the commands, `check`, and a daemon under attack."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, SHIELDING, Site, command, dual, until

from nii_edge.client import ScannerClient
from nii_edge.commands.measure_cartons import fit_file
from nii_edge.learn.looking import evidence_detector
from nii_edge.records import Decision


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = command(*map(str, arguments))
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


class Signed:
    """A site whose models are copies, and a key that may sign them."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.bundle = folder / "models" / "shielding"
        shutil.copytree(SHIELDING, self.bundle)
        self.signers = folder / "signers.keys"
        self.key = self._key("head-office", self.signers)
        self.other = self._key("somebody", folder / "others.keys")
        self.changes: dict[str, Any] = {
            "signers": "signers.keys", "detectors": {"shielding": {"bundle": str(self.bundle)}},
        }  # fmt: skip

    def _key(self, name: str, allow: Path) -> Path:
        done = run(
            "keys", "new", name, "--role", "signer", "--out", self.site.folder / "keys", "--allow", allow
        )
        assert done.returncode == 0, done.stderr
        return self.site.folder / "keys" / f"{name}.key"

    def problems(self, **changes: Any) -> list[str]:
        """What `check` finds wrong."""
        config = self.site.edge_config(**{**self.changes, **changes})
        found: list[str] = json.loads(run("check", config, "--json").stdout)["problems"]
        return found


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[Signed]:
    made = Signed(tmp_path)
    yield made
    made.site.close()


def test_check_and_verify_say_who_signed_what(signed: Signed) -> None:
    """Unsigned, signed by somebody else, altered since, a list without a signer: each is named by `check`,
    before a belt waits for it, and a daemon does not start with it."""
    assert "is not signed" in signed.problems()[0]
    assert run("models", "sign", signed.bundle, "--key", signed.other).returncode == 0
    assert "signed by somebody" in signed.problems()[0]
    wrong = run("models", "verify", signed.bundle, "--signers", signed.signers)
    assert wrong.returncode == 1
    assert "signed by somebody" in wrong.stderr
    done = run("models", "sign", signed.bundle, "--key", signed.key, "--json")
    assert json.loads(done.stdout)["signer"] == "head-office"
    told = run("models", "verify", signed.bundle, "--signers", signed.signers, "--json")
    assert json.loads(told.stdout)["files"] == json.loads(done.stdout)["files"] > 3
    assert signed.problems() == []
    manifest = signed.bundle / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace("threshold: 0.5", "threshold: 0.9"))
    assert "altered since it was signed" in signed.problems()[0]
    assert "altered since it was signed" in run("models", "verify", signed.bundle).stderr
    started = run("run", signed.site.edge_config(**signed.changes))
    assert started.returncode == 1
    assert "altered since it was signed" in started.stderr
    signed.signers.write_text("# nobody\n")
    assert "no key of role signer" in signed.problems()[0]


def test_fit_and_its_detector_are_held_against_signatures_too(signed: Signed) -> None:
    """The manifest verifier's files are models like any other."""
    assert run("models", "sign", signed.bundle, "--key", signed.key).returncode == 0
    copies = {name: signed.site.folder / "models" / name for name in ("carton", "detector")}
    for copy, shipped in zip(copies.values(), (fit_file().parent, evidence_detector()), strict=True):
        shutil.copytree(shipped, copy)
    store = signed.site.folder / "papers.db"
    manifest = {
        "store": str(store), "regime": str(ROOT / "configs" / "regime.yaml"),
        "fit": str(copies["carton"] / "fit.npz"), "detector": str(copies["detector"]),
    }  # fmt: skip
    link = {"endpoint": "tcp://127.0.0.1:1"}
    for name in ("carton", "detector"):
        problems = signed.problems(manifest=manifest, collector=link)
        assert [each for each in problems if "is not signed" in each and name in each], problems
        assert run("models", "sign", copies[name], "--key", signed.key).returncode == 0
    problems = signed.problems(manifest=manifest, collector=link)
    assert not [each for each in problems if "signed" in each], problems


def test_a_model_that_is_altered_under_a_running_daemon_never_clears(signed: Signed) -> None:
    """The inference process reads its model again when it is started again: with a file changed meanwhile it
    does not come back, scans are UNKNOWN, and once the file is put right, cartons are CLEAR again. Another
    model, signed too, is not the one that the daemon was started with."""
    assert run("models", "sign", signed.bundle, "--key", signed.key).returncode == 0
    edge = signed.site.edge(**signed.changes)
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10.0) as client:
        assert client.wait(client.send(dual(1))).decision is Decision.CLEAR
        manifest = signed.bundle / "bundle.yaml"
        good = manifest.read_bytes()
        manifest.write_bytes(good.replace(b"threshold: 0.5", b"threshold: 0.9"))
        os.kill(edge.child(), signal.SIGKILL)
        until(lambda: [e for e in edge.log() if "altered since it was signed" in str(e)], 30, "refusal")
        assert client.wait(client.send(dual(2))).decision is Decision.UNKNOWN
        manifest.write_bytes(good)
        until(lambda: client.wait(client.send(dual(3))).decision is Decision.CLEAR, 60, "screening")
        other = signed.site.folder / "models" / "other"
        shutil.copytree(evidence_detector(), other)
        assert run("models", "sign", other, "--key", signed.key).returncode == 0
        signed.bundle.rename(signed.site.folder / "models" / "shielding.old")
        other.rename(signed.bundle)
        os.kill(edge.child(), signal.SIGKILL)
        until(lambda: [e for e in edge.log() if "the daemon began with" in str(e)], 30, "refusal of others")
        assert client.wait(client.send(dual(4, block=True))).decision is Decision.UNKNOWN

"""Commands as people and scripts use them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from harness import ROOT, SHIELDING, Site, command, dual

from nii_edge.client import ScannerClient
from nii_edge.records import is_report_id


def run(*arguments: str, seconds: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=seconds)


def test_the_demo_loses_nothing_and_prints_one_object() -> None:
    """`nii-edge demo --json` prints exactly one JSON object: 7 cartons, 5 CLEAR, 2 ALARM, 0 lost."""
    done = run("demo", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    numbers = json.loads(line)
    assert numbers["scans_sent"] == 7
    assert numbers["verdicts"] == {"CLEAR": 5, "ALARM": 2, "UNKNOWN": 0}
    assert (numbers["alerts_archived"], numbers["lost"], numbers["duplicates"]) == (2, 0, 0)
    assert set(numbers["latency_ms"]) == {"p50", "p99"}


def test_the_demo_table_names_every_carton_and_saves_its_pictures(tmp_path: Path) -> None:
    """A person sees each carton with its verdict and report number; --keep leaves the alerts' pictures."""
    done = run("demo", "--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    truth = json.loads((ROOT / "nii_edge" / "demo" / "demo.json").read_text())
    assert all(entry["carton"] in done.stdout for entry in truth)
    pictures = list((tmp_path / "kept" / "previews").glob("*.jpg"))
    assert len(pictures) == sum(entry["alarms"] for entry in truth) == 2
    assert all(is_report_id(picture.stem) for picture in pictures)


def test_check_says_what_would_run() -> None:
    """The shipped configuration is right, and the answer names scanner, model, device and policy."""
    done = run("check", str(ROOT / "configs" / "edge.yaml"), "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert (found["ok"], found["problems"]) == (True, [])
    text = "\n".join(found["would_run"])
    assert all(word in text for word in ("lane-1", "shielding@1.0.0#", "CPUExecutionProvider", "default-3"))


def test_check_says_that_a_detector_of_colours_gets_grey(tmp_path: Path) -> None:
    """Of lanes that send it alone: what learned from colours may not know it."""
    site, said = Site(tmp_path), {}
    for name, channels in (("grey", ["grey"]), ("colour", ["red", "green", "blue"])):
        tree = yaml.safe_load((ROOT / "configs" / "scanners" / "display.yaml").read_text())
        tree["formats"] = [{"channels": channels, "dtype": "uint8", "air": None, "white": 255}]
        profile = site.write(f"{name}.yaml", tree)
        done = run("check", str(site.edge_config(
            scanners={"lane-1": {"profile": str(profile)}},
            detectors={
                "shielding": {"bundle": str(SHIELDING)},
                "shapes": {"bundle": str(ROOT / "models" / "detector" / "0.5.0")},
            },
        )), "--json")  # fmt: skip
        said[name] = done.stdout
    assert "of lane-1's grey pictures it gets the grey for all three colours" in said["grey"]
    assert "grey pictures" not in said["colour"]
    assert said["grey"].count("grey pictures") == 1, "the shielding detector is of grey anyway"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inference": {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}}, "CUDA"),
        ({"inference": {"runtime": "torch"}}, "allow_torch"),
        ({"detectors": {"other": {"bundle": str(ROOT / "models/shielding/1.0.0")}}}, "shielding"),
        ({"detectors": {"shielding": {"bundle": "nowhere"}}}, "nowhere"),
        ({"listen": {"scanners": "tcp://0.0.0.0:1", "verdicts": "tcp://127.0.0.1:*"}}, "insecure"),
        ({"speed": "high"}, "speed"),
        ({"collector": {"endpoint": "tcp://127.0.0.1:99999"}}, "collector: tcp://127.0.0.1:99999"),
    ],
)
def test_check_names_what_is_wrong(site: Site, change: dict[str, object], words: str) -> None:
    """A configuration that could not run is refused with the cause, and the status is 1."""
    done = run("check", str(site.edge_config(**change)), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["ok"]
    assert any(words in problem for problem in found["problems"]), found


def test_check_names_everything_that_is_wrong_at_once(site: Site, tmp_path: Path) -> None:
    """Not the first fault alone: a profile, a bundle, the policy, a folder."""
    config = site.edge_config(
        scanners={"lane-1": {"profile": "no-profile.yaml"}, "lane-2": {"profile": "none.yaml"}},
        detectors={"shielding": {"bundle": "no-bundle"}},
        policy="no-policy.yaml",
        state_dir=str(Path(__file__) / "state"),
    )
    done = run("check", str(config), "--json")
    assert done.returncode == 1
    problems = json.loads(done.stdout)["problems"]
    for words in ("no-profile.yaml", "none.yaml", "no-bundle", "no-policy.yaml", "state_dir"):
        assert sum(words in problem for problem in problems) == 1, (words, problems)


def test_subscribe_says_that_nobody_answers(tmp_path: Path) -> None:
    """It keeps asking, but not in silence; who only wants what is there gets a status of 1."""
    done = run("subscribe", f"ipc://{tmp_path / 'nobody.ipc'}", "--until-idle")
    assert done.returncode == 1
    assert "nothing answers" in done.stderr
    assert "no answer from the collector" in done.stderr
    assert "expected tcp://HOST:PORT (1 to 65535)" in run("subscribe", "tcp://127.0.0.1:99999").stderr


@pytest.mark.parametrize("text", ["", "Tracking Number,Description\n,shoes\n"])
def test_a_manifest_without_a_carton_is_no_success(tmp_path: Path, text: str) -> None:
    """A nightly job with the wrong file must not pass."""
    table = tmp_path / "today.csv"
    table.write_text(text)
    for more in ((), ("--json",)):
        done = run("manifest", "import", str(table), "--store", str(tmp_path / "m.db"), *more)
        assert done.returncode == 1, done.stdout


def test_subscribe_prints_an_alert_a_line_and_goes_on_from_a_number(site: Site, tmp_path: Path) -> None:
    """`--json-lines` gives one object a line; `--since N` begins after it; pictures are saved."""
    collector = site.collector()
    edge = site.edge(collector)
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=10) as scanner:
        for i in range(3):
            scanner.wait(scanner.send(dual(i, block=True)))
    assert edge.stop() == 0
    again = site.edge(collector)  # whatever was not confirmed at the stop is sent now
    endpoint = collector.endpoints["subscribers"]
    lines: list[dict[str, object]] = []
    for _ in range(50):
        done = run("subscribe", endpoint, "--json-lines", "--until-idle")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if len(lines) == 3:
            break
    assert [line["report"]["verdict"]["id"]["seq"] for line in lines] == [1, 2, 3]  # type: ignore[index]
    by_risk = run("subscribe", endpoint, "--until-idle", "--by-risk").stdout.splitlines()
    risks = [float(re.search(r"REVIEW risk (\d+)", line)[1]) for line in by_risk]  # type: ignore[index]
    assert len(risks) == 3
    assert risks == sorted(risks, reverse=True)
    assert "--by-risk needs --until-idle" in run("subscribe", endpoint, "--by-risk").stderr
    since = str(lines[1]["number"])
    rest = run("subscribe", endpoint, "--since", since, "--until-idle", "--previews", str(tmp_path / "p"))
    assert rest.returncode == 0, rest.stderr
    assert len(rest.stdout.splitlines()) == 1
    assert "ALARM" in rest.stdout
    assert again.stop() == 0
    assert collector.stop() == 0


@pytest.mark.parametrize(
    "name", ["run", "collect", "check", "replay", "record", "subscribe", "demo", "learn-normal"]
)
def test_help_shows_an_example(name: str) -> None:
    """Every command's --help ends with a line one can copy."""
    done = run(name, "--help")
    assert done.returncode == 0
    assert f"nii-edge {name}" in done.stdout.split("Example:")[1]


def test_two_daemons_do_not_share_a_ledger(site: Site) -> None:
    """A second daemon on the same state_dir is refused by name; the first goes on."""
    site.edge()
    config = site.edge_config()
    done = run("run", str(config))
    assert done.returncode == 1
    assert "another daemon" in done.stderr

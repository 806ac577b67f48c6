"""Configuration files: what ships is right and complete, what is wrong is refused by file and path."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec
import pytest
import yaml
from harness import ROOT, SHIELDING, Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nii_edge.addresses import is_local
from nii_edge.config import (
    BundleManifest,
    CollectorConfig,
    Config,
    EdgeConfig,
    Format,
    LineScan,
    Profile,
    load,
)
from nii_edge.errors import ConfigError
from nii_edge.policy import Policy
from nii_edge.regime import Columns, Regime

CONFIGS = ROOT / "configs"
SHIPPED: list[tuple[Path, type[Config]]] = [
    (CONFIGS / "edge.yaml", EdgeConfig),
    (CONFIGS / "collector.yaml", CollectorConfig),
    (CONFIGS / "policy.yaml", Policy),
    (CONFIGS / "regime.yaml", Regime),
    (CONFIGS / "manifest-columns.yaml", Columns),
    *[(path, Profile) for path in sorted((CONFIGS / "scanners").glob("*.yaml"))],
]


def records_of(kind: type[Config]) -> set[type[Config]]:
    """A configuration record and all those it is made of."""
    found: set[type[Config]] = set()

    def walk(hint: Any) -> None:
        if isinstance(hint, type) and issubclass(hint, Config):
            if hint not in found:
                found.add(hint)
                for inner in get_type_hints(hint).values():
                    walk(inner)
            return
        for inner in get_args(hint):
            walk(inner)

    walk(kind)
    return found


def write(folder: Path, text: str, name: str = "file.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def policy_tree(**changes: object) -> dict[str, object]:
    tree = {"version": 1, "name": "p", "required_for_clear": ["shielding"], "default_alarm_at": 0.5}
    return {**tree, **changes}


def edge_tree(**changes: object) -> dict[str, object]:
    return {
        "version": 1,
        "edge": "e",
        "state_dir": "state",
        "listen": {"scanners": "tcp://127.0.0.1:*", "verdicts": "ipc:///tmp/v"},
        "scanners": {"lane": {"profile": "p.yaml"}},
        "detectors": {"d": {"bundle": "b"}},
        "policy": "policy.yaml",
        **changes,
    }


def refused(folder: Path, tree: object, kind: type[Config]) -> str:
    """What is said of a wrong file, which must begin with its name."""
    path = write(folder, yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as raised:
        load(path, kind)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


# ---- what ships


@pytest.mark.parametrize(("path", "kind"), SHIPPED, ids=lambda value: getattr(value, "name", ""))
def test_what_ships_loads_and_mentions_every_key(path: Path, kind: type[Config]) -> None:
    """A shipped file is valid, and nobody need look elsewhere for what else could stand in it."""
    load(path, kind)
    text = path.read_text()
    elsewhere = {LineScan} if "line_scan: null" in text else set()
    missing = [
        f"{record.__name__}.{key}"
        for record in records_of(kind) - elsewhere
        for key in record.__struct_fields__
        if not re.search(rf"(^|[\s{{,]){key}:", text, re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize(("path", "kind"), SHIPPED, ids=lambda value: getattr(value, "name", ""))
def test_what_ships_shows_the_defaults(path: Path, kind: type[Config]) -> None:
    """A value that a shipped file gives for an optional setting is what leaving it out means."""
    shown = load(path, kind)
    for record in (shown, *[getattr(shown, f) for f in ("inference", "log") if hasattr(shown, f)]):
        for field in msgspec.structs.fields(record):
            if field.default is not msgspec.NODEFAULT and not isinstance(
                field.default, Config | tuple | type(None)
            ):
                assert getattr(record, field.name) == field.default, field.name


def test_the_files_that_ship_fit_each_other() -> None:
    """Every path named in edge.yaml is there and is what it should be."""
    edge = load(CONFIGS / "edge.yaml", EdgeConfig)
    load(CONFIGS / edge.policy, Policy)
    for lane in edge.scanners.values():
        load(CONFIGS / lane.profile, Profile)
    for detector in edge.detectors.values():
        load(CONFIGS / detector.bundle / "bundle.yaml", BundleManifest)


def test_the_walk_sees_every_record_of_an_edge() -> None:
    """The completeness test above looks into nested records, dictionaries and optional parts."""
    names = {record.__name__ for record in records_of(EdgeConfig)}
    assert names == {
        "EdgeConfig", "Listen", "ScannerEntry", "DetectorEntry", "Inference", "CollectorLink", "Log",
        "LedgerBudget", "HealthServer", "Security", "ThreatProjection", "ManifestCheck", "SelfTestDuty",
        "Barcodes", "ScaleCheck", "SameLayout",
    }  # fmt: skip


# ---- what is wrong

WRONG: list[tuple[str, type[Config], dict[str, object], str]] = [
    ("an unknown key", EdgeConfig, {"deadline": 5}, "unknown field `deadline`; did you mean deadline_ms"),
    (
        "an unknown key inside", EdgeConfig, {"inference": {"batchsize": 2}},
        "unknown field `batchsize` - at `$.inference`; did you mean batch",
    ),
    ("a wrong type", EdgeConfig, {"deadline_ms": "500"}, "Expected `int`, got `str` - at `$.deadline_ms`"),
    ("a number out of range", EdgeConfig, {"deadline_ms": 5}, "`$.deadline_ms`"),
    ("no lane", EdgeConfig, {"scanners": {}}, "at least one entry"),
    ("no detector", EdgeConfig, {"detectors": {}}, "at least one entry"),
    ("a lane's bad name", EdgeConfig, {"scanners": {"lane 1": {"profile": "p"}}}, "`$.scanners"),
    ("a lane's unknown key", EdgeConfig, {"scanners": {"l": {"profil": "p"}}}, "`$.scanners[...]`"),
    ("another version", EdgeConfig, {"version": 2}, "`$.version`"),
    ("an open bind", EdgeConfig, {"listen": {"scanners": "tcp://*:5", "verdicts": "ipc://v"}}, "insecure"),
    (
        "an open tap", EdgeConfig,
        {"listen": {"scanners": "ipc://s", "verdicts": "ipc://v", "tap": "tcp://0.0.0.0:5"}}, "tcp://0.0.0.0:5",
    ),
    (
        "a bad endpoint", EdgeConfig, {"listen": {"scanners": "udp://127.0.0.1:5", "verdicts": "ipc://v"}},
        "`$.listen.scanners`",
    ),
    ("an empty endpoint", EdgeConfig, {"collector": {"endpoint": "tcp://"}}, "`$.collector.endpoint`"),
    ("a threshold over 1", Policy, {"default_alarm_at": 1.5}, "`$.default_alarm_at`"),
    ("a threshold that is no number", Policy, {"default_alarm_at": math.nan}, "`$.default_alarm_at`"),
    ("a CLEAR for nothing", Policy, {"required_for_clear": []}, "CLEAR must be earned"),
    ("a CLEAR for nothing much", Policy, {"may_be_not_applicable": ["shielding"]}, "CLEAR must be earned"),
    (
        "a rule's bad label", Policy, {"alarms": [{"detector": "d", "label": "", "at": 1}]},
        "`$.alarms[0].label`",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "changes", "words"), [pytest.param(*case[1:], id=case[0]) for case in WRONG]
)
def test_what_is_wrong_is_named(
    tmp_path: Path, kind: type[Config], changes: dict[str, object], words: str
) -> None:
    """Each mistake is a ConfigError that names the file and the place in it."""
    tree = edge_tree(**changes) if kind is EdgeConfig else policy_tree(**changes)
    assert words in refused(tmp_path, tree, kind)


def test_the_trees_used_above_are_right_without_their_mistake(tmp_path: Path) -> None:
    """What is refused above is refused for its mistake alone."""
    load(write(tmp_path, yaml.safe_dump(edge_tree())), EdgeConfig)
    load(write(tmp_path, yaml.safe_dump(policy_tree())), Policy)


class Colour(Enum):
    """Some values."""

    RED, BLUE = "red", "blue"


class One(Config, frozen=True, kw_only=True, tag="one", tag_field="head"):
    """One of two."""


class Two(Config, frozen=True, kw_only=True, tag="two", tag_field="head"):
    """The other one."""


class Choices(Config, frozen=True, kw_only=True):
    """Few values, wherever they may stand."""

    letter: Literal["a", "b"] | None = None
    number: Literal[1, 2] = 1
    colour: Colour = Colour.RED
    several: tuple[Literal["c", "d"], ...] = ()
    by_name: dict[str, tuple[Colour, ...]] = {}  # noqa: RUF012 - never changed
    of: dict[Literal["e", "f"], int] = {}  # noqa: RUF012 - never changed
    head: One | Two | None = None
    inner: Choices | None = None
    any: str = ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("letter: none", "`$.letter`; expected a or b"),
        ("letter: no", "got `bool` - at `$.letter`; expected a or b"),
        ("number: 3", "`$.number`; expected 1 or 2"),
        ("colour: green", "`$.colour`; expected blue or red"),
        ("several: [c, x]", "`$.several[1]`; expected c or d"),
        ("by_name: {x.y: [red, green]}", "`$.by_name[...][1]`; expected blue or red"),
        ("of: {x: 1}", "`$.of`; expected e or f"),
        ("head: {head: three}", "`$.head.head`; expected one or two"),
        ("inner: {inner: {colour: green}}", "`$.inner.inner.colour`; expected blue or red"),
        ("any: 3", "got `int` - at `$.any`"),
    ],
)
def test_where_few_values_are_allowed_they_are_listed(tmp_path: Path, text: str, expected: str) -> None:
    """At any depth, in lists and mappings, for words, numbers, enumerations and kinds of record."""
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, text), Choices)
    assert str(error.value).endswith(expected)


def test_a_palette_that_there_is_not_is_told_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "scanner.yaml"
    text = (ROOT / "nii_edge" / "demo" / "scanner.yaml").read_text()
    path.write_text(re.sub("(?m)^palette: .*$", "palette: pink", text))
    with pytest.raises(ConfigError, match=r"'pink' .*`; expected one of grey, none, orange-green-blue$"):
        load(path, Profile)


@pytest.mark.parametrize(
    "key", sorted(f.encode_name for f in msgspec.structs.fields(EdgeConfig) if f.required)
)
def test_what_is_required_is_required(tmp_path: Path, key: str) -> None:
    """A missing required key is named."""
    tree = edge_tree()
    del tree[key]
    assert f"missing required field `{key}`" in refused(tmp_path, tree, EdgeConfig)


def test_an_open_bind_is_taken_when_it_is_asked_for(tmp_path: Path) -> None:
    """`insecure: true` permits it, for the edge and the collector."""
    listen = {"scanners": "tcp://*:5", "verdicts": "tcp://0.0.0.0:6", "insecure": True}
    load(write(tmp_path, yaml.safe_dump(edge_tree(listen=listen))), EdgeConfig)
    tree = {"version": 1, "archive": "a", "edges": "tcp://*:5", "subscribers": "ipc://s"}
    assert "insecure: true" in refused(tmp_path, tree, CollectorConfig)
    load(write(tmp_path, yaml.safe_dump({**tree, "insecure": True})), CollectorConfig)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("ipc:///run/x", True), ("tcp://127.0.0.1:5", True), ("tcp://[::1]:5", True),
        ("tcp://localhost:*", True), ("tcp://*:5", False), ("tcp://0.0.0.0:5", False),
        ("tcp://[::]:5", False), ("tcp://10.0.0.1:5", False), ("tcp://eth0:5", False),
        ("tcp://127.0.0.1.evil.example:5", False), ("tcp://eth0;127.0.0.1:5", False),
        ("tcp://localhost.evil.example:5", False), ("tcp://127.0.0.1:5:6", False),
    ],
)  # fmt: skip
def test_only_the_loopback_is_local(endpoint: str, local: bool) -> None:
    """Nothing that other machines can reach counts as local, however it is written."""
    assert is_local(endpoint) is local


@pytest.mark.parametrize(
    "form",
    [
        {"channels": ["low", "high"], "dtype": "uint16"},
        {"channels": ["low", "high"], "dtype": "uint16", "air": 1, "white": 1},
        {"channels": ["grey"], "dtype": "uint8", "air": 1},
        {"channels": ["grey"], "dtype": "uint8"},
        {"channels": ["high", "low"], "dtype": "uint16", "air": 1},
        {"channels": ["blue", "green", "red"], "dtype": "uint8", "white": 1},
        {"channels": [], "dtype": "uint8", "white": 1},
        {"channels": ["grey"], "dtype": "uint8", "white": 0},
        {"channels": ["low"], "dtype": "uint16", "air": math.nan},
        {"channels": ["grey"], "dtype": "int8", "white": 1},
    ],
)
def test_a_format_says_what_nothing_in_the_way_looks_like(tmp_path: Path, form: dict[str, object]) -> None:
    """A format in an order nobody sends, or without its own full scale, is refused: nothing is guessed."""
    assert refused(tmp_path, form, Format)


@pytest.mark.parametrize("changes", [{"views": []}, {"views": list("abcdefghi")}, {"formats": []}])
def test_a_profile_has_one_to_eight_views(tmp_path: Path, changes: dict[str, object]) -> None:
    """No view, nine views or no format is no scanner."""
    tree = yaml.safe_load((CONFIGS / "scanners" / "display.yaml").read_text())
    assert "1 to 8 views" in refused(tmp_path, {**tree, **changes}, Profile)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
)
BROKEN: dict[str, tuple[str, str]] = {
    "not YAML": ("version: [1", "not YAML"),
    "a tab": ("version:\n\t- 1", "not YAML"),
    "a NUL": ("version: \0", "not YAML"),
    "empty": ("", "Expected `object`, got `null`"),
    "only a comment": ("# nothing", "Expected `object`, got `null`"),
    "a list": ("- version: 1", "Expected `object`, got `array`"),
    "a text": ("hello", "Expected `object`, got `str`"),
    "two documents": ("version: 1\n---\nversion: 1", "not YAML"),
    "a key twice": ("version: 1\nname: a\nname: b", "line 3: key 'name' stands here a second time"),
    "a key twice, inside": ("version: 1\nalarms:\n  - {at: 1, at: 2}", "line 3: key 'at'"),
    "a list as a key": ("? [a]\n: b", "not a plain YAML mapping"),
    "a Python object": ("!!python/object/apply:os.system [true]", "not YAML"),
    "an undefined alias": ("version: *nothing", "not YAML"),
    "an alias to itself": ("version: &a [*a]", "$.version"),
    "a date that is none": ("version: 2001-99-99", "not a plain YAML mapping"),
    "an alias bomb": (BOMB, "unknown field `a`"),
    "a merge": ("a: &a {name: p}\n<<: *a", "not YAML"),
    "deep nesting": ("[" * 20_000, "not"),
    "deep nesting of maps": ("{a: " * 5_000, "not"),
    "a number without end": ("version: " + "9" * 10_000, "not a plain YAML mapping"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    """Whatever a file holds, the answer is one ConfigError that begins with its name, and soon."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(path, Policy)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert len(str(raised.value)) < 2_000


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    """Missing, a folder, or not UTF-8."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(ConfigError, match=re.escape(f"{path}: cannot be read")):
            load(path, Policy)


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!float ''", "!!timestamp never"])
def test_a_tag_that_does_not_fit_its_value_is_refused(tmp_path: Path, value: str) -> None:
    """A forced type with a value it cannot have is a ConfigError like any other mistake."""
    with pytest.raises(ConfigError):
        load(write(tmp_path, f"version: {value}"), Policy)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from(list("abn:1.-[]{},&*#?|>'\"%@! \n\t<=~")), max_size=40))
def test_no_text_does_more_than_be_refused(tmp_path: Path, text: str) -> None:
    """Any text made of YAML's own signs is a ConfigError, never another exception."""
    with pytest.raises(ConfigError):
        load(write(tmp_path, text), Policy)


# ---- the command

SPOIL: dict[str, tuple[dict[str, object], str]] = {
    "an unknown key": ({"deadline": 1}, "unknown field `deadline`"),
    "an open bind": (
        {"listen": {"scanners": "tcp://*:*", "verdicts": "tcp://127.0.0.1:*"}},
        "plain TCP that other machines can reach",
    ),
    "no such profile": ({"scanners": {"lane": {"profile": "nowhere.yaml"}}}, "nowhere.yaml: cannot be read"),
    "no such policy": ({"policy": "nowhere.yaml"}, "nowhere.yaml: cannot be read"),
    "a policy of other detectors": ({"policy": "other.yaml"}, "detector 'x-ray-eyes' is not in the edge's"),
    "a policy of other labels": ({"policy": "labels.yaml"}, "shielding has no label 'kitten'"),
    "a policy of other lanes": ({"policy": "lanes.yaml"}, "$.alarms[0].lanes: 'lane-9' is not in the edge's"),
    "goods nobody knows of": (
        {"policy": "goods.yaml"},
        "$.alarms[0].chapters: nobody knows",
    ),
    "no such bundle": ({"detectors": {"shielding": {"bundle": "nowhere"}}}, "no bundle.yaml there"),
    "an altered bundle": ({"detectors": {"shielding": {"bundle": "altered"}}}, "altered: its SHA-256"),
    "torch without leave": ({"inference": {"runtime": "torch"}}, "allow_torch"),
    "a provider that is not there": ({"inference": {"providers": ["NoSuchProvider"]}}, "NoSuchProvider"),
}


@pytest.mark.parametrize(("changes", "words"), SPOIL.values(), ids=SPOIL)
def test_run_refuses_what_is_wrong_before_it_opens_anything(
    site: Site, changes: dict[str, object], words: str
) -> None:
    """Exit status 1, one sentence on stderr, nothing on stdout, no traceback, and no socket was bound."""
    shutil.copytree(SHIELDING, site.folder / "altered")
    with (site.folder / "altered" / "model.onnx").open("ab") as model:
        model.write(b"\0")
    site.write("other.yaml", policy_tree(required_for_clear=["x-ray-eyes"]))
    rule = {"detector": "shielding", "label": "kitten", "at": 0.5}
    site.write("labels.yaml", policy_tree(alarms=[rule]))
    rule["label"] = "impenetrable_area"
    site.write("lanes.yaml", policy_tree(alarms=[rule | {"lanes": ["lane-9"]}]))
    site.write("goods.yaml", policy_tree(alarms=[rule | {"chapters": [64]}]))
    config = site.edge_config(log={"level": "error", "format": "json"}, **changes)
    ended = _run_watched(config)
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("nii-edge: ")
    assert words in lines[0]
    assert not (site.edge_state / "endpoints.json").exists()


def test_the_watch_for_sockets_sees_one(site: Site) -> None:
    """The test above can fail: the same watch does see what a collector binds."""
    tree = {"version": 1, "archive": "a.db", "edges": "tcp://127.0.0.1:*", "subscribers": "tcp://192.0.2.1:9"}
    config = site.write("collector.yaml", {**tree, "insecure": True})
    ended = _run_watched(config, command="collect")
    assert "a socket was bound" in ended.stderr


WATCHED = """
import sys, zmq
bind = zmq.Socket.bind
def watched(self, *arguments, **options):
    print("a socket was bound", file=sys.stderr)
    return bind(self, *arguments, **options)
zmq.Socket.bind = watched
from nii_edge.cli import main
main()
"""
"""The command with a witness: every bind is told on stderr, where one line only is allowed."""


def _run_watched(config: Path, command: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED, command, str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("changes", "scan", "said"),
    [
        ({}, {"view_offsets_mm": [0]}, "1 offsets for 2 views"),
        ({"belt_axis": "columns"}, {}, "`belt_axis` is rows"),
        ({}, {"margin_mm": 30}, "two margins"),
        ({}, {"debounce_lines": 40}, "two `debounce_lines`"),
        ({}, {"min_length_mm": 2}, "over `debounce_lines`"),
        ({}, {"min_length_mm": 1200}, "below `max_length_mm`"),
        ({}, {"max_length_mm": 60_000}, "65,535 lines"),
        ({}, {"threshold": 1.0}, "line_scan.threshold"),
        ({}, {"pitch": 1}, "pitch"),
    ],
)
def test_a_line_scan_that_cannot_work_is_refused(
    tmp_path: Path, changes: dict[str, object], scan: dict[str, object], said: str
) -> None:
    """Lengths that contradict each other are found at the start, not on the belt."""
    tree = yaml.safe_load((CONFIGS / "scanners" / "line-scan.yaml").read_text())
    assert said in refused(tmp_path, tree | changes | {"line_scan": tree["line_scan"] | scan}, Profile)

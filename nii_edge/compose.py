"""From configuration files to running parts. Only this and `inference_process` pick adapters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nii_edge.adapters import zmq_transport
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.adapters.zmq_scanners import ZmqScanners
from nii_edge.adapters.zmq_uplink import ZmqUplink
from nii_edge.bundle import Bundle, load_bundle
from nii_edge.collector.server import Collector
from nii_edge.config import CollectorConfig, EdgeConfig, Policy, Profile, load
from nii_edge.detect.model_detector import check_golden
from nii_edge.edge.daemon import Daemon, Parts
from nii_edge.errors import ConfigError, NiiEdgeError
from nii_edge.inference_process import model_id, open_detector
from nii_edge.telemetry import Metrics

ENDPOINTS_FILE = "endpoints.json"
"""Written beside the ledger and the archive when the sockets are bound: names to addresses."""


class EdgePlan(NamedTuple):
    """An edge's configuration, read and checked, with every path resolved."""

    config: EdgeConfig
    profiles: Mapping[str, Profile]
    policy: Policy
    bundles: Mapping[str, Bundle]
    state_dir: Path


def plan_edge(path: Path) -> EdgePlan:
    """Read and check everything `nii-edge run` needs. Raises ConfigError at the first thing wrong."""
    config = load(path, EdgeConfig)
    here = path.resolve().parent
    profiles = {name: load(here / lane.profile, Profile) for name, lane in config.scanners.items()}
    policy_path = here / config.policy
    policy = load(policy_path, Policy)
    bundles = {name: load_bundle(here / entry.bundle) for name, entry in config.detectors.items()}
    check_policy(policy, policy_path, bundles)
    if config.inference.runtime == "torch" and not config.inference.allow_torch:
        raise ConfigError(
            f"{path}: inference.runtime is torch, whose files can carry code; say `allow_torch: true` "
            "if you made the bundle yourself, or export it to ONNX"
        )
    views = sum(len(profile.views) for profile in profiles.values())
    if config.inference.slots < 2 * views:
        raise ConfigError(
            f"{path}: inference.slots is {config.inference.slots}; the lanes have {views} views together, "
            f"so {2 * views} slots are the least"
        )
    return EdgePlan(config, profiles, policy, bundles, here / config.state_dir)


def check_policy(policy: Policy, path: Path, bundles: Mapping[str, Bundle]) -> None:
    """Raises ConfigError if the policy speaks of detectors or labels that do not exist."""
    named = {*policy.required_for_clear, *policy.may_be_not_applicable, *(r.detector for r in policy.alarms)}
    for name in sorted(named - set(bundles)):
        raise ConfigError(
            f"{path}: detector {name!r} is not in the edge's `detectors` ({', '.join(sorted(bundles))})"
        )
    for rule in policy.alarms:
        labels = [label.name for label in bundles[rule.detector].manifest.labels]
        if rule.label not in labels:
            raise ConfigError(f"{path}: {rule.detector} has no label {rule.label!r}; it has {labels}")


def edge(plan: EdgePlan) -> Daemon:
    """A daemon that is not started yet."""
    config = plan.config
    context = zmq_transport.new_context()
    link = config.collector
    parts = Parts(
        config=config,
        profiles=plan.profiles,
        policy=plan.policy,
        bundles={name: str(bundle.folder) for name, bundle in plan.bundles.items()},
        open_ledger=lambda: SqliteLedger(plan.state_dir / "ledger.db", config.edge),
        open_side=lambda: ZmqScanners(context, config.listen, config.max_frame_bytes),
        open_sink=None if link is None else lambda: ZmqUplink(context, link.endpoint),
    )
    return Daemon(parts, SystemClock(), Metrics())


def collector(path: Path) -> tuple[CollectorConfig, SqliteArchive, Collector]:
    """A collector that is bound but does not serve yet. Raises ConfigError, LedgerError."""
    config = load(path, CollectorConfig)
    archive = SqliteArchive(path.resolve().parent / config.archive)
    try:
        return config, archive, Collector(config, archive, SystemClock())
    except BaseException:
        archive.close()
        raise


def write_endpoints(folder: Path, endpoints: Mapping[str, str]) -> None:
    """Say where we listen, for people and programs; replaced as a whole."""
    fresh = folder / (ENDPOINTS_FILE + ".new")
    fresh.write_text(json.dumps({**endpoints, "pid": os.getpid()}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / ENDPOINTS_FILE)


class Check(NamedTuple):
    """What `nii-edge check` found: what would run, line by line, and what is wrong."""

    would_run: list[str]
    problems: list[str]


def check_edge(path: Path) -> Check:
    """Everything `run` would do up to opening sockets; goes on after a problem where it can."""
    try:
        plan = plan_edge(path)
    except ConfigError as error:
        return Check([], [str(error)])
    config = plan.config
    would = [f"edge {config.edge}, ledger {plan.state_dir / 'ledger.db'}"]
    for name, profile in plan.profiles.items():
        formats = ", ".join(f"{'+'.join(f.channels)} {f.dtype}" for f in profile.formats)
        would.append(f"scanner {name}: {profile.name}; views {', '.join(profile.views)}; {formats}")
    problems: list[str] = []
    for name, bundle in plan.bundles.items():
        try:
            detector, runtime, _ = open_detector(name, bundle.folder, config.inference)
            failed = check_golden(detector, bundle)
            problems += [f"{bundle.folder}: golden frames: {problem}" for problem in failed]
            labels = ", ".join(label.name for label in bundle.manifest.labels)
            would.append(f"detector {name}: {model_id(bundle)} on {runtime.device}; finds {labels}")
            runtime.close()
        except NiiEdgeError as error:
            problems.append(str(error))
    would.append(f"policy {plan.policy.name}: CLEAR needs {', '.join(plan.policy.required_for_clear)}")
    listen = config.listen
    would.append(f"listens at {listen.scanners} (scanners), {listen.verdicts} (verdicts), {listen.tap} (tap)")
    where = "nowhere: reports stay in the ledger" if config.collector is None else config.collector.endpoint
    would.append(f"reports to {where}")
    return Check(would, problems)

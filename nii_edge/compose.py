"""From configuration files to running parts. Only this and `inference_process` pick adapters."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from prometheus_client import generate_latest

from nii_edge.adapters import calibration_files, ledger_rescue, zmq_transport
from nii_edge.adapters.http_status import Answer, HttpStatus, Route
from nii_edge.adapters.self_test_files import PieceFile, read_history
from nii_edge.adapters.sqlite_archive import SqliteArchive
from nii_edge.adapters.sqlite_cartons import Opened, open_cartons
from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.adapters.zmq_scanners import ZmqScanners
from nii_edge.adapters.zmq_security import REASONS, Doorkeeper, Security
from nii_edge.adapters.zmq_uplink import ZmqUplink
from nii_edge.addresses import can_be_dialled
from nii_edge.allow_list import read_allow
from nii_edge.bundle import Bundle, load_bundle
from nii_edge.collector.server import Collector
from nii_edge.config import Barcodes, CollectorConfig, EdgeConfig, Profile, load
from nii_edge.detect.anomaly import TRAITS
from nii_edge.detect.evidence import VERIFIER
from nii_edge.detect.fellows import ConsignmentFit
from nii_edge.detect.manifest import LABELS as MANIFEST_LABELS
from nii_edge.detect.model_detector import check_golden
from nii_edge.edge.daemon import Daemon, Parts
from nii_edge.edge.jobs import LaneFiles, ManifestSetup
from nii_edge.edge.layouts import DETECTOR as LAYOUT
from nii_edge.edge.layouts import LABEL as LAYOUT_LABEL
from nii_edge.edge.oddities import DETECTOR as ODDITY
from nii_edge.edge.oddities import LABEL as ODD_LABEL
from nii_edge.edge.passages import DETECTOR as BARCODE
from nii_edge.edge.passages import LABEL as TWICE
from nii_edge.edge.self_tests import Duty
from nii_edge.edge.tip import TipPlan
from nii_edge.errors import CalibrationError, ConfigError, ManifestError, NiiEdgeError, QuestionError
from nii_edge.inference_process import model_id, open_detector, open_manifest, read_fit
from nii_edge.locks import link_keys, read_security, who_may
from nii_edge.policy import AlarmRule, Policy
from nii_edge.ports import Ledger
from nii_edge.security import ClientKeys
from nii_edge.signing import Signers, read_seal
from nii_edge.telemetry import Metrics, logger
from nii_edge.tip_plan import plan_tip, tip_line
from nii_edge.xray.calibrate import check_fits
from nii_edge.xray.optics import Optics

ENDPOINTS_FILE = "endpoints.json"
"""Written beside the ledger and the archive when the sockets are bound: names to addresses."""


T = TypeVar("T")


class EdgePlan(NamedTuple):
    """An edge's configuration, read and checked, with every path resolved."""

    config: EdgeConfig
    profiles: Mapping[str, Profile]
    policy: Policy
    bundles: Mapping[str, Bundle]
    calibrations: Mapping[str, LaneFiles]
    optics: Mapping[str, tuple[Optics, ...]]
    state_dir: Path
    security: Security | None
    link_keys: ClientKeys | None
    tip: TipPlan | None
    manifest: ManifestSetup | None
    self_tests: Mapping[str, Duty]
    consignments: ConsignmentFit | None
    signers: tuple[str, ...] | None


def plan_edge(path: Path) -> EdgePlan:
    """Read and check everything `nii-edge run` needs. Raises ConfigError at the first thing wrong."""
    config = load(path, EdgeConfig)
    here = path.resolve().parent
    profiles = {name: load(here / lane.profile, Profile) for name, lane in config.scanners.items()}
    policy_path = here / config.policy
    policy = load(policy_path, Policy)
    signers = signers_of(config, here)
    bundles = {name: _bundle(here / entry.bundle, signers) for name, entry in config.detectors.items()}
    check_policy(policy, policy_path, labels_of(config, bundles), config)
    manifest = plan_manifest(config, here, profiles, signers)
    consignments = None if manifest is None else _consignments(Path(manifest.fit), signers)
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
    security = read_security(config.security, here, "edge")
    own = None if security is None else security.key
    keys = link_keys(config.collector, here, own)
    files = calibration_files_of(config, profiles, here)
    optics = read_calibrations(config, profiles, files)
    state_dir = here / config.state_dir
    tip = plan_tip(config, path, profiles, bundles, optics)
    duties = self_test_duties(config, here)
    return EdgePlan(
        config,
        profiles,
        policy,
        bundles,
        files,
        optics,
        state_dir,
        security,
        keys,
        tip,
        manifest,
        duties,
        consignments,
        signers,
    )


def _consignments(path: Path, signers: tuple[str, ...] | None) -> ConsignmentFit:
    fit, _ = read_fit(path, signers)
    return ConsignmentFit(fit.null, fit.fusion)


def signers_of(config: EdgeConfig, here: Path) -> tuple[str, ...] | None:
    """Public keys of those whose models may run; None: anybody's. Raises ConfigError."""
    if config.signers is None:
        return None
    path = here / config.signers
    keys = tuple(public.key for public in read_allow(path).values() if public.role == "signer")
    if not keys:
        raise ConfigError(f"{path}: no key of role signer there, so that no model could run")
    return keys


def _bundle(path: Path, signers: Signers) -> Bundle:
    return load_bundle(path, read_seal(path, signers))


def self_test_duties(config: EdgeConfig, here: Path) -> dict[str, Duty]:
    """By lane, when its self-test is due. Raises ConfigError: a piece or a history cannot be read."""
    duties = {}
    for name, lane in config.scanners.items():
        if lane.self_test is None:
            continue
        limits = () if lane.self_test.piece is None else load(here / lane.self_test.piece, PieceFile).limits
        histories = tuple(here / file for file in lane.self_test.histories)
        for history in histories:
            read_history(history)
        duties[name] = Duty(histories, lane.self_test.hours, limits)
    return duties


def plan_manifest(
    config: EdgeConfig, here: Path, profiles: Mapping[str, Profile], signers: tuple[str, ...] | None
) -> ManifestSetup | None:
    """What the manifest verifier is to be, its files read once to see that they can. Raises ConfigError."""
    entry = config.manifest
    if entry is None:
        return None
    setup = ManifestSetup(
        store=str(here / entry.store),
        regime=str(here / entry.regime),
        fit=str(here / entry.fit),
        prior=entry.prior,
        profiles=dict(profiles),
        normal=None if entry.normal is None else str(here / entry.normal),
        detector=None if entry.detector is None else str(here / entry.detector),
        signers=signers,
        scale=entry.scale,
        no_read=(config.barcodes or Barcodes()).no_read,
    )
    try:
        if takes_manifests(config) and not Path(setup.store).exists():  # it begins with what will come
            open_manifest(setup, {}, lambda _: None, config.inference)
            return setup
        with closing(ManifestReader(Path(setup.store))) as reader:
            open_manifest(setup, {}, reader.find, config.inference)
    except ManifestError as error:
        raise ConfigError(f"manifest.store: {error}") from error
    return setup


def takes_manifests(config: EdgeConfig) -> bool:
    """Whether the collector's manifests go into the edge's store."""
    return config.collector is not None and config.manifest is not None and config.manifest.from_collector


WITHOUT_BUNDLE: Mapping[str, tuple[str, ...]] = {
    VERIFIER: MANIFEST_LABELS, ODDITY: (ODD_LABEL,), LAYOUT: (LAYOUT_LABEL,), BARCODE: (TWICE,),
}  # fmt: skip
"""The labels of detectors that are part of the daemon."""


def labels_of(config: EdgeConfig, bundles: Mapping[str, Bundle]) -> dict[str, tuple[str, ...]]:
    """The labels of every detector, by its name."""
    found = {name: tuple(label.name for label in bundle.manifest.labels) for name, bundle in bundles.items()}
    own = {BARCODE} if config.barcodes is not None else set()
    if config.manifest is not None:
        own |= {VERIFIER, ODDITY} if config.manifest.same_layout is None else {VERIFIER, ODDITY, LAYOUT}
    found |= {name: WITHOUT_BUNDLE[name] for name in own}
    return found


def calibration_files_of(
    config: EdgeConfig, profiles: Mapping[str, Profile], here: Path
) -> dict[str, LaneFiles]:
    """The lanes that have calibrations. Raises ConfigError if there is not one for each view."""
    lanes = {}
    for name, lane in config.scanners.items():
        if lane.calibration is None:
            if profiles[name].shows == "carton":
                raise ConfigError(
                    f"scanners.{name}: its profile says `shows: carton`, and only with a `calibration` can "
                    "it be told whether a carton is whole; name one for each view, or leave `shows` out"
                )
            continue
        views = profiles[name].views
        if len(lane.calibration) != len(views):
            raise ConfigError(
                f"scanners.{name}.calibration: {len(lane.calibration)} files; the profile has {len(views)} "
                f"views ({', '.join(views)}), so one for each is needed, in this order"
            )
        files = tuple(str(here / file) for file in lane.calibration)
        lanes[name] = LaneFiles(files=files, penetration_limit=profiles[name].penetration_limit)
    return lanes


def read_calibrations(
    config: EdgeConfig, profiles: Mapping[str, Profile], lanes: Mapping[str, LaneFiles]
) -> dict[str, tuple[Optics, ...]]:
    """What the calibrations say. Raises CalibrationError, naming the file, if one is damaged, another
    scanner's or view's, or too old."""
    found: dict[str, tuple[Optics, ...]] = {}
    for name, lane in lanes.items():
        oldest_ns = round(config.scanners[name].calibration_hours * 3_600e9)
        views = []
        for view, file in enumerate(lane.files):
            optics = calibration_files.read_optics(Path(file), lane.penetration_limit)
            if optics.detector is not None:
                try:
                    check_fits(optics.detector, name, view, profiles[name], time.time_ns(), oldest_ns)
                except CalibrationError as error:
                    raise CalibrationError(error.fault, f"{file}: {error.detail}") from error
            views.append(optics)
        found[name] = tuple(views)
    return found


def waiting_rules(policy: Policy, config: EdgeConfig, known: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Rules of this site that can never alarm, since nobody looks for what they speak of, in words."""
    return [
        f"policy: alarms[{i}] waits: `{rule.detector}` is not configured, so nobody looks for {rule.label!r}"
        for i, rule in enumerate(policy.alarms)
        if rule.detector not in known and (not rule.sites or config.edge in rule.sites)
    ]


def no_label(rule: AlarmRule, known: Collection[str]) -> str:
    """In words, that a rule speaks of a label that its detector, which has the `known` ones, has not."""
    return f"{rule.detector} has no label {rule.label!r}; it has {list(known)}"


def check_policy(
    policy: Policy, path: Path, known: Mapping[str, tuple[str, ...]], config: EdgeConfig
) -> None:
    """Raises ConfigError if the policy speaks of detectors, labels or lanes that do not exist, or of goods
    that nobody can know of. Rules of other sites may speak of anything."""
    here = {i: r for i, r in enumerate(policy.alarms) if not r.sites or config.edge in r.sites}
    needed = {*policy.required_for_clear, *policy.may_be_not_applicable}
    may_speak_of = {**WITHOUT_BUNDLE, **known}  # a rule may wait for what is not configured yet
    spoken_of = {rule.detector for rule in here.values()} - set(may_speak_of)
    for name in sorted((needed - set(known)) | spoken_of):
        raise ConfigError(
            f"{path}: detector {name!r} is not in the edge's `detectors` ({', '.join(sorted(known))})"
        )
    for i, rule in here.items():
        if rule.label not in may_speak_of[rule.detector]:
            raise ConfigError(f"{path}: {no_label(rule, may_speak_of[rule.detector])}")
        for lane in sorted(set(rule.lanes) - set(config.scanners)):
            raise ConfigError(
                f"{path}: $.alarms[{i}].lanes: {lane!r} is not in the edge's `scanners` "
                f"({', '.join(sorted(config.scanners))}); a rule for another edge names it in `sites`"
            )
        if rule.chapters and config.manifest is None:
            raise ConfigError(
                f"{path}: $.alarms[{i}].chapters: nobody knows what is declared; the edge needs `manifest`"
            )


def edge(plan: EdgePlan) -> Daemon:
    """A daemon that is not started yet."""
    config = plan.config
    for line in waiting_rules(plan.policy, config, labels_of(config, plan.bundles)):
        logger("policy").warning(line)
    for name, bundle in plan.bundles.items():
        for line in _grey_lines(plan, bundle):
            logger("detector").warning(line, detector=name)
    context = zmq_transport.new_context()
    link = config.collector
    metrics = Metrics()
    metrics.expect(config.scanners, REASONS)

    def count(why: str) -> None:
        metrics.auth_rejected.labels(why).inc()

    def open_side(failed: Callable[[BaseException], None]) -> ZmqScanners:
        keeper = None
        if plan.security is not None:
            keeper = Doorkeeper(context, plan.security, count, failed)
        return ZmqScanners(context, config.listen, config.max_frame_bytes, keeper)

    parts = Parts(
        config=config,
        profiles=plan.profiles,
        policy=plan.policy,
        bundles={name: str(bundle.folder) for name, bundle in plan.bundles.items()},
        signers=plan.signers,
        calibrations=plan.calibrations,
        optics=plan.optics,
        state_dir=plan.state_dir,
        open_ledger=lambda: open_ledger(plan, metrics),
        open_side=open_side,
        open_sink=None if link is None else lambda: ZmqUplink(context, link.endpoint, plan.link_keys),
        tip=plan.tip,
        manifest=plan.manifest,
        self_tests=plan.self_tests,
        read_self_tests=read_history,
        consignments=plan.consignments,
        open_papers=papers_of(plan),
        open_cartons=cartons_of(plan),
    )
    return Daemon(parts, SystemClock(), metrics)


def papers_of(plan: EdgePlan) -> Callable[[], ManifestStore] | None:
    """How to open the store that the collector's manifests go into, made if it is not there; None if they are
    not wanted. Raises ManifestError."""
    if plan.manifest is None or not takes_manifests(plan.config):
        return None
    store = Path(plan.manifest.store)
    ManifestStore(store).close()
    return lambda: ManifestStore(store)


def cartons_of(plan: EdgePlan) -> Callable[[], Opened] | None:
    """How to open the file of the cartons that passed; None if none are compared. Those that were compared in
    other traits, or by another fit, say nothing of what comes."""
    if plan.consignments is None:
        return None
    digest = hashlib.sha256("\n".join(TRAITS).encode())
    for values in plan.consignments.null:
        digest.update(values.tobytes())
    return lambda: open_cartons(plan.state_dir / "cartons.db", digest.hexdigest())


def open_ledger(plan: EdgePlan, metrics: Metrics) -> Ledger:
    """The edge's ledger, verified; what was wrong with a damaged one is logged and counted."""
    opened = ledger_rescue.open_ledger(plan.state_dir / "ledger.db", plan.config.edge)
    for problem in opened.damage:
        metrics.chain_failures.inc()
        logger("ledger").error("the ledger was damaged", what=problem)
    return opened.ledger


class Centre(NamedTuple):
    """A collector, and how to close what it reads and writes once it has ended."""

    config: CollectorConfig
    collector: Collector
    close: Callable[[], None]


def collector(path: Path) -> Centre:
    """A collector that is bound but does not serve yet. Raises ConfigError, LedgerError, ManifestError."""
    config = load(path, CollectorConfig)
    here = path.resolve().parent
    security = read_security(config.security, here, "collector")
    with ExitStack() as opened:
        archive = SqliteArchive(here / config.archive)
        opened.callback(archive.close)
        manifests = None
        if config.manifests is not None:
            ManifestStore(here / config.manifests).close()  # makes it, or brings it to this version
            manifests = ManifestReader(here / config.manifests)
            opened.callback(manifests.close)
        made = Collector(config, archive, SystemClock(), security, manifests)
        return Centre(config, made, opened.pop_all().close)


def write_endpoints(folder: Path, endpoints: Mapping[str, str]) -> None:
    """Say where we listen, for people and programs; replaced as a whole."""
    text = json.dumps({**endpoints, "pid": os.getpid()}, indent=1) + "\n"
    fresh = folder / (ENDPOINTS_FILE + ".new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(folder / ENDPOINTS_FILE)
    except OSError as error:  # a convenience for others: no reason not to screen
        logger("run").error("endpoints file not written", error=str(error))


class Check(NamedTuple):
    """What `nii-edge check` found: what would run, line by line, and what is wrong."""

    would_run: list[str]
    problems: list[str]


def _port_problems(config: EdgeConfig) -> list[str]:
    listen = config.listen
    where = [("scanners", listen.scanners), ("verdicts", listen.verdicts), ("tap", listen.tap)]
    if config.health is not None:
        where.append(("health", f"tcp://{config.health.host}:{config.health.port}"))
    problems, taken = [], dict[str, str]()
    for name, endpoint in where:
        port = (endpoint or "").rpartition(":")[2]
        if endpoint is None or endpoint.startswith("ipc://") or port in ("*", "0"):
            continue
        if not (port.isdigit() and int(port) <= 65_535):
            problems.append(f"{name}: {endpoint}: port expected 0 to 65535, or *")
        elif endpoint in taken:
            problems.append(f"{name}: {endpoint} is taken by {taken[endpoint]} already")
        taken.setdefault(endpoint, name)
    if config.collector is not None and not can_be_dialled(config.collector.endpoint):
        expected = "expected tcp://HOST:PORT (1 to 65535) or ipc://PATH"
        problems.append(f"collector: {config.collector.endpoint}: {expected}")
    return problems


def _folder_problems(folder: Path) -> list[str]:
    """Whether the state could be kept there: the folder, or the nearest one that exists above it."""
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    if not there.is_dir():
        return [f"state_dir {folder}: {there} is not a folder"]
    if not os.access(there, os.W_OK | os.X_OK) or not os.statvfs(there).f_blocks:
        return [f"state_dir {folder}: {there} cannot be written"]
    return []


def _grey_lines(plan: EdgePlan, bundle: Bundle) -> list[str]:
    """Lanes of grey pictures before a detector that is given colours."""
    if not {"red", "green", "blue"} & set(bundle.manifest.input.channels):
        return []
    grey = [
        name
        for name, profile in plan.profiles.items()
        if any(form.channels == ("grey",) for form in profile.formats)
    ]
    return [
        f"of {name}'s grey pictures it gets the grey for all three colours: have it taught on such "
        "pictures, or measured on them (nii-edge evaluate)"
        for name in grey
    ]


def check_edge(path: Path) -> Check:
    """Everything `run` would do up to opening sockets; goes on after a problem where it can."""
    try:
        plan = plan_edge(path)
    except ConfigError as error:
        return Check([], _all_wrong(path, str(error)))
    config = plan.config
    would = [f"edge {config.edge}, ledger {plan.state_dir / 'ledger.db'}"]
    for name, profile in plan.profiles.items():
        formats = ", ".join(f"{'+'.join(f.channels)} {f.dtype}" for f in profile.formats)
        sends = "frames" if profile.line_scan is None else "lines"
        would.append(f"scanner {name}: {profile.name}; {sends}; views {', '.join(profile.views)}; {formats}")
        would += _calibration_lines(plan, name)
    problems = [*_port_problems(config), *_folder_problems(plan.state_dir)]
    for name, bundle in plan.bundles.items():
        try:
            detector, runtime, _ = open_detector(name, bundle.folder, config.inference, signers=plan.signers)
            failed = check_golden(detector, bundle)
            problems += [f"{bundle.folder}: golden frames: {problem}" for problem in failed]
            labels = ", ".join(label.name for label in bundle.manifest.labels)
            would.append(f"detector {name}: {model_id(bundle)} on {runtime.device}; finds {labels}")
            would += [f"  {line}" for line in _grey_lines(plan, bundle)]
            runtime.close()
        except NiiEdgeError as error:
            problems.append(str(error))
    if plan.manifest is not None:
        taught = "nothing learned of its goods yet" if plan.manifest.normal is None else plan.manifest.normal
        would.append(f"detector manifest: what is normal: {taught}")
        seen = plan.manifest.detector or "none; what is hidden is found by mass and material alone"
        would.append(f"detector manifest: shapes of prohibited things by: {seen}")
        problems += [f"{plan.manifest.detector}: golden frames: {each}" for each in _shapes_golden(plan)]
        would.append(f"detector manifest: papers from {plan.manifest.store}, rules {plan.manifest.regime}")
        if takes_manifests(config):
            would.append("  papers that the collector has are taken into it, too")
        would.append(f"detector {ODDITY}: cartons of one master bill are compared, early odd ones recalled")
        would += _layout_lines(config)
    if config.barcodes is not None:
        minutes = config.barcodes.twice_minutes
        would.append(f"detector {BARCODE}: a barcode that passes again within {minutes:g} minutes is told")
    models = "anybody's" if plan.signers is None else f"those signed by one of {len(plan.signers)} keys"
    would.append(f"models that may run: {models}")
    would.append(f"policy {plan.policy.name}: CLEAR needs {', '.join(plan.policy.required_for_clear)}")
    would += waiting_rules(plan.policy, config, labels_of(config, plan.bundles))
    listen = config.listen
    would.append(f"listens at {listen.scanners} (scanners), {listen.verdicts} (verdicts), {listen.tap} (tap)")
    where = "nowhere: reports stay in the ledger" if config.collector is None else config.collector.endpoint
    would.append(f"reports to {where}")
    would.append(tip_line(plan.tip, plan.profiles))
    would += who_may(config, plan.security, plan.link_keys)
    return Check(would, problems)


def _layout_lines(config: EdgeConfig) -> list[str]:
    """Whether cartons of other master bills are compared, for people."""
    rules = None if config.manifest is None else config.manifest.same_layout
    if rules is None:
        return []
    return [
        f"detector {LAYOUT}: one packed like any of the last {rules.remembered}, under other goods, is told"
    ]


def _shapes_golden(plan: EdgePlan) -> tuple[str, ...]:
    """What the golden frames say against the detector whose shapes are evidence."""
    if plan.manifest is None or plan.manifest.detector is None:
        return ()
    return open_manifest(plan.manifest, {}, lambda _: None, plan.config.inference).problems


def _all_wrong(path: Path, first: str) -> list[str]:
    """All that is wrong with the files that a configuration names; `first`: what stopped `plan_edge`."""
    found, here = [first], path.resolve().parent

    def tried(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ConfigError as error:
            found.append(str(error))
            return None

    config = tried(lambda: load(path, EdgeConfig))
    if config is None:
        return [first]
    known: dict[str, Profile] = {}
    for name, lane in config.scanners.items():
        profile = tried(partial(load, here / lane.profile, Profile))
        if profile is not None:
            known[name] = profile
    signers = tried(partial(signers_of, config, here))
    for entry in config.detectors.values():
        tried(partial(_bundle, here / entry.bundle, signers))
    tried(partial(load, here / config.policy, Policy))
    tried(partial(plan_manifest, config, here, known, signers))
    tried(partial(self_test_duties, config, here))
    tried(partial(read_security, config.security, here, "edge"))
    if len(known) == len(config.scanners):
        files = tried(partial(calibration_files_of, config, known, here))
        if files is not None:
            tried(partial(read_calibrations, config, known, files))
    return [*dict.fromkeys(found), *_port_problems(config), *_folder_problems(here / config.state_dir)]


def _calibration_lines(plan: EdgePlan, name: str) -> list[str]:
    """What a lane's counts are read with, for people."""
    if name not in plan.optics:
        return ["  no calibration: it corrects its counts itself, and nothing is said of materials"]
    lines = []
    for file, view in zip(plan.calibrations[name].files, plan.optics[name], strict=True):
        materials = "materials from its wedges" if view.materials is not None else "no wedges, no materials"
        if view.detector is not None:
            hours = (time.time_ns() - view.detector.made_at_ns) / 3_600e9
            made = f"{view.detector.width} pixels, made {hours:.1f} h ago, {materials}"
            lines.append(f"  view {view.detector.view}: {Path(file).name}, {made}")
    return lines


def status_server(daemon: Daemon, config: EdgeConfig) -> HttpStatus | None:
    """The daemon's health, metrics and books over HTTP, bound but not serving; None if not configured."""
    if config.health is None:
        return None
    return HttpStatus(config.health.host, config.health.port, status_routes(daemon))


def status_routes(daemon: Daemon) -> dict[str, Route]:
    """Path to what is answered there."""
    health, committer = daemon.health, daemon.committer

    def probe(problems: Callable[[], tuple[str, ...]]) -> Route:
        def answer(_: Mapping[str, str]) -> Answer:
            found = problems()
            text = "".join(f"{problem}\n" for problem in found) or "ok\n"
            return Answer(503 if found else 200, "text/plain; charset=utf-8", [text.encode()])

        return answer

    def verify(query: Mapping[str, str]) -> Answer:
        after = _number(query, "after", 0, _LAST_ENTRY)
        limit = max(1, min(_number(query, "limit", 2_000, _LAST_ENTRY), 10_000))
        audit = committer.answer(lambda ledger: ledger.verify(after, limit))
        daemon.metrics.chain_failures.inc(len(audit.problems))
        return _json(audit._asdict())

    def export(query: Mapping[str, str]) -> Answer:
        after = _number(query, "after", 0, _LAST_ENTRY)
        entries = committer.answer(lambda ledger: ledger.entries(after, 500))
        lines = [msgspec.json.encode(entry) + b"\n" for entry in entries]
        return Answer(200, "application/x-ndjson", lines)

    return {
        "/livez": probe(health.not_live),
        "/readyz": probe(health.not_ready),
        "/status": lambda _: _json(health.status()),
        "/metrics": lambda _: Answer(
            200, "text/plain; version=0.0.4; charset=utf-8", [generate_latest(daemon.metrics.registry)]
        ),
        "/ledger/stats": lambda _: _json(committer.answer(lambda ledger: ledger.stats())._asdict()),
        "/ledger/verify": verify,
        "/ledger/export": export,
    }


_LAST_ENTRY = 2**63 - 1
"""No ledger has more: SQLite counts so far."""


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A number that somebody asks for. Raises QuestionError: what the ledger cannot count to would end its
    thread, and with it the daemon."""
    said = query.get(name, str(default))
    if not (said.isascii() and said.isdecimal() and len(said) < 20 and int(said) <= most):
        raise QuestionError(f"{name}: {said[:40]!r}, expected a whole number from 0 to {most}")
    return int(said)


def _json(value: object) -> Answer:
    return Answer(200, "application/json", [msgspec.json.encode(value) + b"\n"])

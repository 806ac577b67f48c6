"""`nii-edge status` and `nii-edge ledger`: what a running daemon says over its health port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import msgspec
from rich.console import Console
from rich.table import Table

from nii_edge.compose import ENDPOINTS_FILE
from nii_edge.config import EdgeConfig, load
from nii_edge.edge.health import Status
from nii_edge.edge.manifests import PullReport
from nii_edge.edge.tip_score import TipReport
from nii_edge.edge.urgent import Bands
from nii_edge.errors import NiiEdgeError

TIMEOUT_S = 10.0


def endpoint_of(config_path: Path) -> str:
    """Where the daemon of this configuration serves its health. Raises NiiEdgeError if it does not run."""
    config = load(config_path, EdgeConfig)
    if config.health is None:
        raise NiiEdgeError(f"{config_path}: `health: null`; there is no port to ask")
    path = config_path.resolve().parent / config.state_dir / ENDPOINTS_FILE
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise NiiEdgeError(f"{path}: {error.strerror}; is the daemon running?") from error
    return str(found.get("health", ""))


def ask(endpoint: str) -> Status:
    """The daemon's status."""
    return msgspec.json.decode(_get(endpoint, "/status"), type=Status)


def ledger_stats(endpoint: str) -> dict[str, Any]:
    """How much the ledger holds."""
    stats: dict[str, Any] = json.loads(_get(endpoint, "/ledger/stats"))
    return stats


def ledger_verify(endpoint: str, console: Console, *, quiet: bool) -> list[str]:
    """All that a walk over the ledger finds wrong; slice by slice, so that screening goes on."""
    problems: list[str] = []
    after: int | None = 0
    with console.status("verifying") as progress:
        while after is not None:
            if not quiet and console.is_terminal:
                progress.update(f"verified up to entry {after}")
            audit = json.loads(_get(endpoint, f"/ledger/verify?after={after}"))
            problems += audit["problems"]
            after = audit["next"]
    return problems


def ledger_export(endpoint: str, since: int) -> Iterator[str]:
    """Entries as JSON lines, oldest first."""
    while lines := _get(endpoint, f"/ledger/export?after={since}").decode().splitlines():
        yield from lines
        since = json.loads(lines[-1])[0]


def show(status: Status, console: Console) -> None:
    """The status for a person."""
    word = "[green]ready[/]" if status.ready else "[red]not ready[/]"
    console.print(f"edge {status.edge}, version {status.version}, up {status.uptime_s:.0f} s: {word}")
    for problem in (*status.not_live, *status.not_ready):
        console.print(f"  wrong: {problem}", style="red", markup=False, highlight=False)
    for problem in status.degraded:
        console.print(f"  degraded: {problem}", style="yellow", markup=False, highlight=False)
    table = Table(title="scans on disk: received = clear + alarm + unknown + in flight")
    names = ("scanner", "scan_type", "received", "clear", "alarm", "unknown", "in_flight", "missing")
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name.startswith("scan") else "right")
    for row in status.balance:
        table.add_row(*(str(getattr(row, name)) for name in names))
    console.print(table)
    if status.bands is not None:
        show_bands(status.bands, console)
    console.print(f"models: {', '.join(status.models) or 'none'} on {status.device}", highlight=False)
    show_stats(status.ledger, console)
    for lane in status.self_tests:
        made = "never made" if lane.hours_ago is None else f"{lane.grade}, made {lane.hours_ago:.1f} h ago"
        console.print(f"self-test of {lane.scanner} ({lane.history}): {made}", markup=False, highlight=False)
    if status.manifests is not None:
        show_manifests(status.manifests, console)
    if status.tip is not None:
        show_tip(status.tip, console)


def show_bands(bands: Bands, console: Console) -> None:
    """What is to be done with the cartons, and with which first, for a person."""
    counts = ", ".join(f"{band} {count}" for band, count in bands.counts.items())
    console.print(f"bands since the start: {counts}", highlight=False)
    for alert in bands.urgent:
        carton = f", carton {alert.carton}" if alert.carton else ""
        urgency = f"{alert.band.value} {risk_words(alert.risk)}"
        text = f"  {urgency}  {alert.report_id}  {alert.scan}{carton}: {alert.rule}"
        console.print(text, markup=False, highlight=False)


def risk_words(risk: float | None) -> str:
    """A risk for a person."""
    return "risk unknown" if risk is None else f"risk {risk:.0f}"


def show_manifests(pull: PullReport, console: Console) -> None:
    """How far the collector's manifests were taken, for a person."""
    how_far = "none heard of yet" if pull.last is None else f"taken up to {pull.taken} of {pull.last}"
    text = f"manifests from the collector: {how_far}; {pull.refused} refused since the start"
    console.print(text, markup=False, highlight=False)


def show_tip(tip: TipReport, console: Console) -> None:
    """How many projected threats were found, for a person."""
    title = f"threats projected into copies of {100 * tip.rate:g}% of the scans, since the start: no alarms"
    table = Table(title=title)
    for name in ("threat", "shown", "hits", "Pd", "95% interval", "dropped", "not placed", "faults"):
        table.add_column(name, justify="left" if name == "threat" else "right")
    for name, rate in (*tip.labels.items(), ("all", tip.total)):
        pd = "" if rate.pd is None else f"{rate.pd:.3f}"
        interval = "" if rate.pd is None else f"{rate.pd_low:.3f}-{rate.pd_high:.3f}"
        counts = (rate.dropped, rate.not_placed, rate.faults)
        table.add_row(name, str(rate.shown), str(rate.hits), pd, interval, *map(str, counts))
    console.print(table)


def show_stats(stats: dict[str, Any], console: Console) -> None:
    """The ledger's size for a person."""
    console.print(
        f"ledger: {stats['entries']} entries, {stats['file_bytes'] / 1e6:.1f} MB; {stats['pending']} wait "
        f"for the collector, {stats['parked']} refused; {stats['pictures']} pictures, "
        f"{stats['pictures_pending']} of them wait",
        highlight=False,
    )
    console.print(f"chain: entry {stats['last_entry']}, {stats['last_link']}", highlight=False, markup=False)


def _get(endpoint: str, path: str) -> bytes:
    if not endpoint.startswith("http://"):
        raise NiiEdgeError(f"{endpoint!r} is no health endpoint; is the daemon of this version?")
    try:
        with urlopen(endpoint + path, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http only, see above
            body: bytes = answer.read()
            return body
    except HTTPError as error:
        raise NiiEdgeError(f"{endpoint}{path}: {error.read().decode('utf-8', 'replace').strip()}") from error
    except (URLError, OSError) as error:
        raise NiiEdgeError(f"{endpoint}: the daemon does not answer: {error}") from error

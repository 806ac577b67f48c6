"""`nii-edge subscribe`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console

from nii_edge.commands.line import Line
from nii_edge.commands.status import risk_words
from nii_edge.errors import ConfigError, NiiEdgeError, WireError
from nii_edge.policy import urgency
from nii_edge.records import Band, Decision, Gap, Recall, Report, ScanType
from nii_edge.subscriber import Subscriber
from nii_edge.wire import Archived

PAGE = 500
QUICK_MS = 500
LONG_MS = 5_000
GIVE_UP_S = 10.0
"""Who only wants what is there is told when nobody answers."""
PATIENCE_S = 30.0
"""How long a picture may stay behind its report."""


class Request(NamedTuple):
    """The command's options."""

    endpoint: str
    since: int
    json_lines: bool
    until_idle: bool
    by_risk: bool
    clear: bool
    non_operational: bool
    previews: Path | None
    line: Line


def subscribe(request: Request, out: Console, err: Console) -> None:
    """Print records until Ctrl-C, or until there are no more. Raises ConfigError: options that exclude each
    other; NiiEdgeError: with `until_idle`, nothing answers."""
    if request.by_risk and not request.until_idle:
        raise ConfigError("--by-risk needs --until-idle: what is still to come cannot be put in order")
    decisions = () if request.clear else (Decision.ALARM, Decision.UNKNOWN)
    scan_types = () if request.non_operational else (ScanType.OPERATIONAL,)
    if request.previews is not None:
        request.previews.mkdir(parents=True, exist_ok=True)
    with Subscriber(
        request.endpoint,
        since=request.since,
        decisions=decisions,
        scan_types=scan_types,
        keys=request.line.keys([request.endpoint]),
        insecure=request.line.insecure,
        timeout_s=GIVE_UP_S if request.until_idle else None,
        told=lambda trouble: err.print(trouble, style="red", markup=False, highlight=False),
    ) as subscriber:
        try:
            _print_all(subscriber, request, out, err)
        except TimeoutError as error:
            raise NiiEdgeError(f"{error}; is it the collector's `subscribers`, and does it run?") from error
        except KeyboardInterrupt:
            err.print(f"stopped; go on with --since {subscriber.since}")


def _print_all(subscriber: Subscriber, request: Request, out: Console, err: Console) -> None:
    pictures = _Pictures(subscriber, request.previews, err)
    held: list[Archived] = []
    while True:
        wait_ms = 0 if request.until_idle else QUICK_MS if pictures.waiting else LONG_MS
        items = subscriber.fetch_once(PAGE, wait_ms)
        for item in items:
            if request.by_risk:
                held.append(item)
            else:
                _print(item, request, out)
            pictures.want(item)
        pictures.fetch()
        if request.until_idle and not items:
            if not pictures.waiting:
                break
            time.sleep(QUICK_MS / 1000)
    for item in sorted(held, key=_urgency, reverse=True):
        _print(item, request, out)


def _print(item: Archived, request: Request, out: Console) -> None:
    if request.json_lines:
        sys.stdout.write(msgspec.json.encode(item).decode() + "\n")
        sys.stdout.flush()
    else:
        out.print(line(item), markup=False, highlight=False)


def _urgency(item: Archived) -> tuple[int, float]:
    """What records are ordered by. Cartons that nobody has seen come before all others that are to be looked
    at, and a recall is urgent as it says."""
    if item.report is not None:
        return urgency(item.report.verdict)
    band = None if item.recall is None else item.recall.band
    risk = None if item.recall is None else item.recall.risk
    return (band or Band.REVIEW).rank, 100.0 if risk is None else risk


class _Pictures:
    """Saves pictures of alerts. They may arrive at the collector some time after their report."""

    def __init__(self, subscriber: Subscriber, folder: Path | None, err: Console) -> None:
        self._subscriber = subscriber
        self._folder = folder
        self._err = err
        self.waiting: dict[str, tuple[Report, float]] = {}

    def want(self, item: Archived) -> None:
        """Note a record whose picture is to be saved."""
        if self._folder is not None and item.report is not None and item.report.preview is not None:
            self.waiting[item.report.preview] = (item.report, time.monotonic() + PATIENCE_S)

    def fetch(self) -> None:
        """Save those that are there now; give up on those that did not come for too long."""
        for sha256, (report, until) in list(self.waiting.items()):
            try:
                picture = self._subscriber.preview(sha256)
            except WireError as error:
                if time.monotonic() >= until:
                    self._err.print(f"{report.report_id}: no picture: {error}", markup=False)
                    del self.waiting[sha256]
                continue
            if self._folder is not None:
                (self._folder / f"{report.report_id}.jpg").write_bytes(picture.data)
            del self.waiting[sha256]


def line(item: Archived) -> str:
    """One record for a person, on one line."""
    if item.gap is not None:
        return f"{item.number:>6}  {_gap(item.gap)}"
    if item.recall is not None:
        return _printable(f"{item.number:>6}  {_recall(item.recall)}")
    report = item.report
    if report is None:
        return f"{item.number:>6}  empty record"
    verdict = report.verdict
    when = datetime.fromtimestamp(report.decided_at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    why = max(verdict.findings, key=lambda f: f.score).why if verdict.findings else verdict.detail
    reason = f"({verdict.reason.value})" if verdict.reason is not None else ""
    carton = f" carton {verdict.carton}" if verdict.carton else ""
    test = "" if verdict.scan_type is ScanType.OPERATIONAL else " [test]"
    band = _band(verdict.band, verdict.risk)
    return _printable(
        f"{item.number:>6}  {when}  {verdict.decision.value}{reason}{test}{band}  "
        f"{verdict.id.edge}/{verdict.id}{carton}  {report.report_id}  {why}"
    )


def _band(band: Band | None, risk: float | None) -> str:
    """Nothing for records of an edge that knew no bands."""
    return "" if band is None else f"  {band.value} {risk_words(risk)}"


def _printable(text: str) -> str:
    """Whatever an edge sent, it moves no cursor and begins no new line."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _recall(recall: Recall) -> str:
    when = datetime.fromtimestamp(recall.noticed_at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    carton = f" carton {recall.carton}" if recall.carton else ""
    test = "" if recall.scan_type is ScanType.OPERATIONAL else " [test]"
    return (
        f"{when}  RECALL{test}{_band(recall.band, recall.risk)}  {recall.scan.edge}/{recall.scan}{carton}  "
        f"{recall.scan.report_id}  {recall.finding.why}"
    )


def _gap(gap: Gap) -> str:
    count = gap.last - gap.first + 1
    return (
        f"MISSING  {gap.edge}/{gap.scanner}/{gap.epoch}  scans {gap.first} to {gap.last} "
        f"({count}) never arrived: cartons nobody has looked at"
    )

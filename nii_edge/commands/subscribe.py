"""`nii-edge subscribe`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console

from nii_edge.commands.line import Line
from nii_edge.errors import WireError
from nii_edge.records import Decision, Gap, Report, ScanType
from nii_edge.subscriber import Subscriber
from nii_edge.wire import Archived


class Request(NamedTuple):
    """The command's options."""

    endpoint: str
    since: int
    json_lines: bool
    until_idle: bool
    clear: bool
    non_operational: bool
    previews: Path | None
    line: Line


def subscribe(request: Request, out: Console, err: Console) -> None:
    """Print records until Ctrl-C, or until there are no more."""
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
        told=lambda trouble: err.print(trouble, style="red", markup=False, highlight=False),
    ) as subscriber:
        try:
            for item in _items(subscriber, request.until_idle):
                if request.json_lines:
                    sys.stdout.write(msgspec.json.encode(item).decode() + "\n")
                    sys.stdout.flush()
                else:
                    out.print(line(item), markup=False, highlight=False)
                if request.previews is not None and item.report is not None:
                    _save_preview(subscriber, item.report, request.previews, err)
        except KeyboardInterrupt:
            err.print(f"stopped; go on with --since {subscriber.since}")


def line(item: Archived) -> str:
    """One record for a person, on one line."""
    if item.gap is not None:
        return f"{item.number:>6}  {_gap(item.gap)}"
    report = item.report
    if report is None:
        return f"{item.number:>6}  empty record"
    verdict = report.verdict
    when = datetime.fromtimestamp(report.decided_at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    why = max(verdict.findings, key=lambda f: f.score).why if verdict.findings else verdict.detail
    reason = f"({verdict.reason.value})" if verdict.reason is not None else ""
    carton = f" carton {verdict.carton}" if verdict.carton else ""
    test = "" if verdict.scan_type is ScanType.OPERATIONAL else " [test]"
    return (
        f"{item.number:>6}  {when}  {verdict.decision.value}{reason}{test}  {verdict.id.edge}/{verdict.id}"
        f"{carton}  {report.report_id}  {why}"
    )


def _gap(gap: Gap) -> str:
    count = gap.last - gap.first + 1
    return (
        f"MISSING  {gap.edge}/{gap.scanner}/{gap.epoch}  scans {gap.first} to {gap.last} "
        f"({count}) never arrived: cartons nobody has looked at"
    )


def _items(subscriber: Subscriber, until_idle: bool) -> Iterable[Archived]:
    if not until_idle:
        yield from subscriber.follow()
        return
    while page := subscriber.fetch_once(1000):
        yield from page


def _save_preview(subscriber: Subscriber, report: Report, folder: Path, err: Console) -> None:
    if report.preview is None:
        return
    try:
        preview = subscriber.preview(report.preview)
    except WireError as error:
        err.print(f"{report.report_id}: no picture: {error}", markup=False)
        return
    (folder / f"{report.report_id}.jpg").write_bytes(preview.data)

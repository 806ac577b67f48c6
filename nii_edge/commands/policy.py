"""`nii-edge policy`: what a changed policy would have done."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.config import Policy, load
from nii_edge.edge.decide import alarm_at, decide_again
from nii_edge.errors import ConfigError
from nii_edge.records import Decision, Report

app = typer.Typer(help="How findings become verdicts.", no_args_is_help=True)
_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)

MOST_NAMED = 20
"""Scans of each change, and lines that cannot be read, that are named; all are counted."""


class Label(msgspec.Struct, kw_only=True):
    """One label: scans it was found in; of these, how many were an ALARM, and how many it alone would make
    one."""

    scans: int = 0
    alarms_before: int = 0
    alarms_after: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `changes`: how many scans would go from one decision to another, `ALARM>CLEAR`, and
    `named` some of their report numbers. `others`: gaps and recalls, which no policy touches. `unseen`: what
    the policy speaks of and no record does."""

    policy: str
    scans: int
    before: dict[str, int]
    after: dict[str, int]
    changes: dict[str, int]
    named: dict[str, list[str]]
    labels: dict[str, Label]
    unseen: list[str]
    others: int
    unreadable: int
    problems: list[str]


@app.command(
    "try",
    epilog="Example: nii-edge ledger export configs/edge.yaml > day.jsonl; "
    "nii-edge policy try configs/policy-2.yaml day.jsonl",
)
def try_(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy to try, a YAML file.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Verdicts as they were: lines of `ledger export` or `subscribe --json-lines`, or a .mcap.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a policy would have made of scans that have their verdict; nothing is changed.

    Findings below what a detector reports at all are not in the records: thresholds under that change nothing
    here.
    """
    problems = Problems()
    result = tried(load(policy, Policy), reports(source, problems), problems)
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(result)) + "\n")
    elif result.scans:
        show(result, _out)
    for problem in result.problems:
        _err.print(problem, style="red", markup=False, highlight=False)
    if not result.scans:
        raise ConfigError(f"{source}: holds no verdicts; `nii-edge ledger export CONFIG` prints some")
    if result.unreadable:
        raise typer.Exit(1)


class Problems:
    """What could not be read: all of it counted, some in words; `others`: records without a verdict."""

    def __init__(self) -> None:
        self.count, self.others = 0, 0
        self.words: list[str] = []

    def add(self, words: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= MOST_NAMED:
            self.words.append(words[:300])


def reports(source: Path, problems: Problems) -> Iterator[Report]:
    """The reports in a recording or in JSON lines."""
    if source.suffix == ".mcap":
        recording = McapSource(source)
        for message in recording.verdicts():
            yield message.report
        for words in recording.problems:
            problems.add(words)
        return
    try:
        with source.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _report_of(line, f"{source} line {number}", problems)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error


def _report_of(line: bytes, where: str, problems: Problems) -> Iterator[Report]:
    """The report of one exported line, if it holds one."""
    try:
        tree: Any = msgspec.json.decode(line)
        if isinstance(tree, list):  # of the ledger: entry, key, state, link, record
            tree = {"report" if "verdict" in tree[-1] else "other": tree[-1]}
        if "report" in tree:
            yield msgspec.convert(tree["report"], Report)
        elif set(tree) & {"other", "gap", "recall"}:
            problems.others += 1
        else:
            problems.add(f"{where}: holds no report; expected a line of `ledger export` or `subscribe`")
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
        problems.add(f"{where}: {error}; expected a line of `ledger export` or `subscribe --json-lines`")


def tried(policy: Policy, records: Iterable[Report], problems: Problems) -> Result:
    """Every scan once, by the verdict it had and by the one that `policy` would give."""
    before, after, changes = Counter[str](), Counter[str](), Counter[str]()
    named: dict[str, list[str]] = {}
    labels: dict[str, Label] = {}
    seen: set[str] = set()
    detectors: set[str] = set()
    for report in records:
        verdict = report.verdict
        if report.alert_id in seen:
            continue
        seen.add(report.alert_id)
        ruling = decide_again(policy, verdict)
        before[verdict.decision.value] += 1
        after[ruling.decision.value] += 1
        detectors |= {each.partition(": ")[0] for each in verdict.not_applicable}
        if ruling.decision is not verdict.decision:
            change = f"{verdict.decision.value}>{ruling.decision.value}"
            changes[change] += 1
            if changes[change] <= MOST_NAMED:
                named.setdefault(change, []).append(report.report_id)
        for name in {f"{f.detector}/{f.label}" for f in verdict.findings}:
            own = [f for f in verdict.findings if f"{f.detector}/{f.label}" == name]
            label = labels.setdefault(name, Label())
            label.scans += 1
            label.alarms_before += verdict.decision is Decision.ALARM
            label.alarms_after += any(not (f.score < alarm_at(policy, f)) for f in own)
    detectors |= {name.partition("/")[0] for name in labels}
    spoken_of = {*policy.required_for_clear, *policy.may_be_not_applicable}
    rules = {f"{rule.detector}/{rule.label}" for rule in policy.alarms}
    return Result(
        policy=policy.name,
        scans=len(seen),
        before={decision.value: before[decision.value] for decision in Decision},
        after={decision.value: after[decision.value] for decision in Decision},
        changes=dict(sorted(changes.items())),
        named=named,
        labels=dict(sorted(labels.items())),
        unseen=sorted((spoken_of - detectors) | (rules - set(labels))),
        others=problems.others,
        unreadable=problems.count,
        problems=problems.words,
    )


def show(result: Result, console: Console) -> None:
    """The result for a person."""
    table = Table(title=f"{result.scans} scans, as they were and by policy {result.policy}")
    for name in ("", "before", "after"):
        table.add_column(name, justify="left" if not name else "right")
    for decision in Decision:
        table.add_row(decision.value, str(result.before[decision.value]), str(result.after[decision.value]))
    console.print(table)
    table = Table(title="labels: scans, those that were an ALARM, those that the label alone would alarm")
    for name in ("label", "scans", "ALARM before", "ALARM after"):
        table.add_column(name, justify="left" if name == "label" else "right")
    for name, label in result.labels.items():
        table.add_row(name, str(label.scans), str(label.alarms_before), str(label.alarms_after))
    console.print(table)
    for change, count in result.changes.items():
        some = ", ".join(result.named[change][:3])
        console.print(f"{change.replace('>', ' to ')}: {count}, for example {some}", highlight=False)
    if not result.changes:
        console.print("no verdict would have been another")
    if result.unseen:
        console.print(f"the policy speaks of what no record does: {', '.join(result.unseen)}", style="yellow")
    if result.others:
        console.print(f"{result.others} gaps and recalls, which no policy touches")

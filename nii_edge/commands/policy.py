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
from nii_edge.compose import WITHOUT_BUNDLE, no_label
from nii_edge.config import load
from nii_edge.edge.decide import circumstances, decide_again
from nii_edge.errors import ConfigError
from nii_edge.policy import AlarmRule, Policy, grade, weigh
from nii_edge.records import Band, Decision, Report, Verdict

app = typer.Typer(help="How findings become verdicts.", no_args_is_help=True)
_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)

MOST_NAMED = 20
"""Scans of each change, and lines that cannot be read, that are named; all are counted."""


UNBANDED = "none"
"""The band of verdicts by an edge that knew no bands."""


class Label(msgspec.Struct, kw_only=True):
    """One label: scans it was found in; of these, how many were an ALARM, how many it alone would make one,
    and how many of those it would refer."""

    scans: int = 0
    alarms_before: int = 0
    alarms_after: int = 0
    refers_after: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `changes`: how many scans would go from one decision to another, `ALARM>CLEAR`, and
    `named` some of their report numbers. `others`: gaps and recalls, which no policy touches. `unseen`: what
    the policy speaks of and no record does. `never`: in words, rules that can never alarm, since there is no
    such label; `check` refuses them. `unseen_labels`: in words, of other labels that no record has, and those
    that records have of that detector. `bands_before`, `bands_after`, `band_changes`: bands instead.
    `rules`: how many scans would have their band by which rule. `goods_unknown`: scans whose goods do not all
    have a known chapter, which are held to the strictest of the rules by chapter."""

    policy: str
    scans: int
    before: dict[str, int]
    after: dict[str, int]
    changes: dict[str, int]
    bands_before: dict[str, int]
    bands_after: dict[str, int]
    band_changes: dict[str, int]
    rules: dict[str, int]
    goods_unknown: int
    named: dict[str, list[str]]
    labels: dict[str, Label]
    unseen: list[str]
    never: list[str]
    unseen_labels: list[str]
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
    """Say what a policy would have made of scans that have their verdict; nothing is changed. A policy with a
    rule that can never alarm is an error, as for `nii-edge check`.

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
    for words in result.unseen_labels:
        _err.print(words, style="yellow", markup=False, highlight=False)
    if result.never:
        raise ConfigError(f"{policy}: {'; '.join(result.never)}")
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
    decisions, bands = _Changes(), _Changes()
    labels: dict[str, Label] = {}
    rules: Counter[str] = Counter()
    seen: set[str] = set()
    detectors: set[str] = set()
    sites: set[str] = set()
    unknown = 0
    for report in records:
        verdict = report.verdict
        if report.alert_id in seen:
            continue
        seen.add(report.alert_id)
        sites.add(verdict.id.edge)
        where = circumstances(verdict)
        ruling = decide_again(policy, verdict)
        weight = weigh(policy, ruling.decision, ruling.findings, where)
        decisions.note(verdict.decision.value, ruling.decision.value, report.report_id)
        before = UNBANDED if verdict.band is None else verdict.band.value
        bands.note(before, weight.band.value, report.report_id)
        unknown += not where.goods_known
        rules[weight.by] += bool(weight.by)
        detectors |= {each.partition(": ")[0] for each in verdict.not_applicable}
        _note_labels(labels, policy, verdict)
    detectors |= {name.partition("/")[0] for name in labels}
    spoken_of = {*policy.required_for_clear, *policy.may_be_not_applicable}
    ruled = {f"{rule.detector}/{rule.label}" for rule in policy.alarms}
    here = [rule for rule in policy.alarms if not rule.sites or sites & set(rule.sites)]
    return Result(
        policy=policy.name,
        scans=len(seen),
        before={decision.value: decisions.before[decision.value] for decision in Decision},
        after={decision.value: decisions.after[decision.value] for decision in Decision},
        changes=dict(sorted(decisions.counts.items())),
        bands_before={band: bands.before[band] for band in (*map(str, Band), UNBANDED)},
        bands_after={band.value: bands.after[band.value] for band in Band},
        band_changes=dict(sorted(bands.counts.items())),
        rules=dict(sorted((+rules).items())),
        goods_unknown=unknown,
        named=decisions.named | bands.named,
        labels=dict(sorted(labels.items())),
        unseen=sorted((spoken_of - detectors) | (ruled - set(labels))),
        never=[
            no_label(rule, known)
            for rule in here
            if rule.label not in (known := WITHOUT_BUNDLE.get(rule.detector, (rule.label,)))
        ],
        unseen_labels=[
            _unseen(rule, labels)
            for rule in here
            if rule.detector not in WITHOUT_BUNDLE and f"{rule.detector}/{rule.label}" not in labels
        ],
        others=problems.others,
        unreadable=problems.count,
        problems=problems.words,
    )


def _unseen(rule: AlarmRule, labels: Iterable[str]) -> str:
    """In words, that no record has a rule's label, and what they have of its detector."""
    own = [name.partition("/")[2] for name in sorted(labels) if name.startswith(f"{rule.detector}/")]
    found = f"of {rule.detector} they have {', '.join(own)}" if own else f"nor anything of {rule.detector}"
    return (
        f"no record has {rule.detector}/{rule.label}, {found}: `nii-edge check` says whether there is such a "
        "label"
    )


class _Changes:
    """How many scans were one thing `before` and are another `after`; `named`: some of those that changed."""

    def __init__(self) -> None:
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.named: dict[str, list[str]] = {}

    def note(self, before: str, after: str, report_id: str) -> None:
        """One more scan."""
        self.before[before] += 1
        self.after[after] += 1
        if before not in (after, UNBANDED):
            change = f"{before}>{after}"
            self.counts[change] += 1
            if self.counts[change] <= MOST_NAMED:
                self.named.setdefault(change, []).append(report_id)


def _note_labels(labels: dict[str, Label], policy: Policy, verdict: Verdict) -> None:
    """One more scan for each label that was found in it."""
    where = circumstances(verdict)
    for name in {f"{f.detector}/{f.label}" for f in verdict.findings}:
        bands = [
            grade(policy, finding, where).band
            for finding in verdict.findings
            if f"{finding.detector}/{finding.label}" == name
        ]
        label = labels.setdefault(name, Label())
        label.scans += 1
        label.alarms_before += verdict.decision is Decision.ALARM
        label.alarms_after += any(band is not Band.CLEAR for band in bands)
        label.refers_after += Band.REFER in bands


def show(result: Result, console: Console) -> None:
    """The result for a person."""
    title = f"{result.scans} scans, as they were and by policy {result.policy}"
    _show_before_and_after(title, result.before, result.after, console)
    title = "bands: let it pass, look at the picture, open it"
    before = {band: count for band, count in result.bands_before.items() if count or band != UNBANDED}
    _show_before_and_after(title, before, result.bands_after, console)
    table = Table(title="labels: scans, those that were an ALARM, those that it alone would alarm, and refer")
    for name in ("label", "scans", "ALARM before", "ALARM after", "REFER after"):
        table.add_column(name, justify="left" if name == "label" else "right")
    for name, label in result.labels.items():
        counts = (label.scans, label.alarms_before, label.alarms_after, label.refers_after)
        table.add_row(name, *map(str, counts))
    console.print(table)
    for rule, count in result.rules.items():
        console.print(f"{count} would have their band by {rule}", markup=False, highlight=False)
    if result.goods_unknown and any("chapter" in rule for rule in result.rules):
        console.print(f"{result.goods_unknown} do not name all chapters: held to the strictest of any")
    for change, count in (result.changes | result.band_changes).items():
        some = ", ".join(result.named[change][:3])
        console.print(f"{change.replace('>', ' to ')}: {count}, for example {some}", highlight=False)
    _show_rest(result, console)


def _show_before_and_after(
    title: str, before: dict[str, int], after: dict[str, int], console: Console
) -> None:
    table = Table(title=title)
    for name in ("", "before", "after"):
        table.add_column(name, justify="left" if not name else "right")
    for name, count in before.items():
        table.add_row(name, str(count), str(after.get(name, "")))
    console.print(table)


def _show_rest(result: Result, console: Console) -> None:
    """What nothing was changed in."""
    if not result.changes and not result.band_changes:
        console.print("no verdict would have been another")
    if result.unseen:
        console.print(f"the policy speaks of what no record does: {', '.join(result.unseen)}", style="yellow")
    if result.others:
        console.print(f"{result.others} gaps and recalls, which no policy touches")

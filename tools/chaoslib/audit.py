"""Holds the books against ledger and archive: what is lost, what is there twice, what nobody accounts for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chaoslib.books import CLEAR, Books, Id, Row, Sent
from chaoslib.stores import Store

KEPT = 200
"""Findings kept in words."""


@dataclass(slots=True)
class Audit:
    """The outcome. `lost`: acknowledged or told, and not in ledger, archive or a subscriber's hands.
    `duplicates`: visible twice, or told two verdicts. `unaccounted`: a number for which nobody gives a
    verdict, a verdict that nobody sent a scan for, a skipped number without a range record. `wrong`: the
    verdict itself may not be (CLEAR for a hostile carton), or differs from place to place, or a store is
    damaged. `never_acknowledged`: sent, never acknowledged, not in the ledger: no promise was broken."""

    scans: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicates: int = 0
    unaccounted: int = 0
    wrong: int = 0
    hostile: int = 0
    hostile_clear: int = 0
    missing: int = 0
    never_acknowledged: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """True if nothing at all was found."""
        return not (self.lost or self.duplicates or self.unaccounted or self.wrong)

    def note(self, column: str, text: str) -> None:
        """Count a finding, and keep its words."""
        setattr(self, column, getattr(self, column) + 1)
        if len(self.findings) < KEPT:
            self.findings.append(f"{column}: {text}")


def audit(books: Books, ledger: Store, archive: Store) -> Audit:
    """All checks. The senders rest, the uplink has drained, and both processes have ended."""
    result = Audit()
    for scan in books.snapshot():
        _scan(result, scan, ledger, archive)
    for problem in ledger.problems + archive.problems:
        result.note("wrong", problem)
    for answer in books.second_answers:
        result.note("duplicates", f"the client answered beyond its one answer: {answer}")
    _strangers(result, books, ledger, archive)
    _numbers(result, books, ledger, archive)
    _subscriber(result, books, archive)
    return result


def _scan(result: Audit, scan: Sent, ledger: Store, archive: Store) -> None:
    result.scans += 1
    result.kinds[scan.kind] += 1
    result.hostile += scan.hostile
    for other in scan.contradictions:
        result.note("duplicates", f"{scan.id} was told {scan.told} and later {other}")
    row = ledger.verdicts.get(scan.id)
    if row is not None:
        _verdict(result, scan, row, archive.verdicts.get(scan.id))
    elif scan.id in ledger.open:
        result.note("unaccounted", f"{scan.id} ({scan.kind}) is in the ledger without a verdict")
    elif scan.acked or scan.told is not None:
        result.note("lost", f"{scan.id} ({scan.kind}) was acknowledged and is not in the ledger")
    else:
        result.never_acknowledged.append(str(scan.id))


def _verdict(result: Audit, scan: Sent, row: Row, archived: Row | None) -> None:
    """A scan with a verdict in the ledger: is it the same everywhere, and may it be?"""
    result.verdicts[row.decision] += 1
    if row.reason is not None:
        result.reasons[row.reason] += 1
    if archived is None:
        result.note("lost", f"{scan.id} ({scan.kind}, {row.decision}) is in the ledger and not archived")
    elif archived != row:
        result.note("wrong", f"{scan.id}: the ledger has {row}, the archive {archived}")
    if scan.told is None and not scan.abandoned:
        result.note("unaccounted", f"{scan.id} ({scan.kind}): its scanner asked and was never told")
    elif scan.told not in (None, row):
        result.note("wrong", f"{scan.id}: its scanner was told {scan.told}, the ledger has {row}")
    if row.decision not in scan.allowed:
        result.hostile_clear += scan.hostile and row.decision == CLEAR
        result.note("wrong", f"{scan.id} is {row.decision} ({row.reason}) and was {scan.kind}")
    if row.scan_type != scan.scan_type:
        result.note("wrong", f"{scan.id} was sent as {scan.scan_type} and filed as {row.scan_type}")


def _strangers(result: Audit, books: Books, ledger: Store, archive: Store) -> None:
    """Records of scans that nobody sent."""
    known = {scan.id for scan in books.snapshot()}
    for scan in (ledger.verdicts.keys() | ledger.open) - known:
        result.note("unaccounted", f"{scan} is in the ledger and was never sent")
    for scan in archive.verdicts.keys() - known:
        result.note("unaccounted", f"{scan} is in the archive and was never sent")
    for scan in (archive.verdicts.keys() & known) - ledger.verdicts.keys():
        result.note("lost", f"{scan} is archived and has no verdict in the ledger")


def _numbers(result: Audit, books: Books, ledger: Store, archive: Store) -> None:
    """Skipped numbers have a range record; range records cover no number without a reason."""
    for name, store in (("ledger", ledger), ("archive", archive)):
        covered: set[Id] = set()
        for hole in store.holes:
            covered |= {Id(hole.scanner, hole.epoch, seq) for seq in range(hole.first, hole.last + 1)}
        for scan in _noticed(books, ledger) - covered:
            result.note("unaccounted", f"{scan} was skipped; no range record in the {name} covers it")
        for scan in covered - books.skipped - books.sent.keys():
            result.note("unaccounted", f"{scan} is missing by the {name}, and was neither skipped nor sent")
    result.missing = len(_noticed(books, ledger))


def _noticed(books: Books, ledger: Store) -> set[Id]:
    """Skipped or vanished numbers below one that the daemon has: it must have noticed."""
    high: dict[tuple[str, int], int] = {}
    for scan in ledger.verdicts.keys() | ledger.open:
        lane = scan.scanner, scan.epoch
        high[lane] = max(high.get(lane, 0), scan.seq)
    have = ledger.verdicts.keys() | ledger.open
    absent = books.skipped | set(books.sent.keys() - have)
    return {scan for scan in absent if scan.seq < high.get((scan.scanner, scan.epoch), 0)}


def _subscriber(result: Audit, books: Books, archive: Store) -> None:
    times = Counter(seen.key for seen in books.seen)
    for key, count in times.items():
        if count > 1:
            result.note("duplicates", f"record {key} was given to the subscriber {count} times")
        if key not in archive.keys:
            result.note("lost", f"record {key} was given to the subscriber and is not in the archive")
    for key in archive.keys.keys() - times.keys():
        result.note("lost", f"record {archive.numbers[key]} ({key}) never reached the subscriber")
    last = 0
    for seen in books.seen:
        if seen.number <= last:
            result.note("duplicates", f"record {seen.number} came to the subscriber after {last}")
        last = seen.number
        if seen.id is not None and archive.verdicts.get(seen.id) not in (None, seen.row):
            result.note("wrong", f"{seen.id}: the subscriber saw {seen.row}, not what is archived")

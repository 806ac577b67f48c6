"""Time what the edge's ledger does beside its commits when there is much in it.

    python tools/time_ledger.py --folder DIR [--entries N] [--waiting SHARE] [--pictures N] [--json]
    python tools/time_ledger.py --folder /var/tmp/ledger --entries 600000 --pictures 20000

Makes a ledger of N verdicts, of which SHARE still wait for the collector, and pictures of 25 kB; then opens
it as the daemon does, and asks, forgets and commits as the daemon does. All of this happens in one thread:
what takes long here keeps verdicts waiting. Milliseconds: the median and the longest of the rounds. DIR
should be on the disk the ledger is to be on; 600,000 verdicts take 0.5 GB there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import track

from nii_edge.adapters.ledger_rescue import open_ledger
from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.errors import LedgerError
from nii_edge.ports import Change, Conclude, Confirm, Intend, Prune
from nii_edge.records import Decision, Preview, Report, ScanId, ScanType, Verdict

EDGE = "bench"
AT_ONCE = 500
ROUNDS = 20
PICTURE_BYTES = 25_000
DAY_NS = 86_400_000_000_000


def verdict(seq: int, picture: bool) -> list[Change]:
    """A scan and its verdict, with or without a picture."""
    scan = ScanId(edge=EDGE, scanner=f"lane-{seq % 4}", epoch=1, seq=seq)
    told = Verdict(id=scan, scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR, policy="bench")
    report = Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=told, received_at_ns=0, decided_at_ns=0
    )
    data = seq.to_bytes(8, "big") * (PICTURE_BYTES // 8)
    preview = (
        Preview(sha256=hashlib.sha256(data).hexdigest(), media_type="image/jpeg", data=data)
        if picture
        else None
    )
    return [Intend(scan, ScanType.OPERATIONAL, 0), Conclude(report, preview)]


def filled(entries: int, waiting: float, pictures: int) -> Iterator[list[Change]]:
    """Groups of changes that make the ledger: what does not wait was archived, in order, on two days."""
    every = max(entries // pictures, 1) if pictures else 0
    archived = round(entries * (1 - waiting))
    for first in range(1, entries + 1, AT_ONCE):
        made: list[Change] = []
        keys: list[str] = []
        for seq in range(first, min(first + AT_ONCE, entries + 1)):
            made += verdict(seq, bool(every) and seq % every == 0)
            if seq <= archived:
                last = made[-1]
                assert isinstance(last, Conclude)
                keys += [last.report.alert_id] + ([last.preview.sha256] if last.preview else [])
        if keys:
            made.append(Confirm(tuple(keys), DAY_NS if first <= archived // 2 else 2 * DAY_NS))
        yield made


def measure(path: Path, entries: int, picture_mb: int) -> dict[str, tuple[float, float]]:
    """Median and longest in ms, by what was done."""
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        times.setdefault(name, []).append((time.perf_counter() - began) * 1e3)

    opened: list[SqliteLedger] = []
    timed("open", lambda: opened.append(SqliteLedger(path, EDGE)))
    ledger = opened[0]
    for number in range(1, ROUNDS + 1):
        timed("counts", ledger.counts)
        timed("statistics", ledger.stats)
        timed("outbox", lambda: ledger.outbox("record", 0, 256))
        timed("pictures", lambda: ledger.outbox("preview", 0, 8))
        timed("forget nothing", lambda: ledger.commit([Prune(0, picture_mb << 20)]))
        timed("forget", lambda: ledger.commit([Prune(DAY_NS + 1, picture_mb << 20)]))
        changes = verdict(entries + number, False)
        timed("commit", lambda changes=changes: ledger.commit(changes))  # type: ignore[misc]
    after: int | None = 0
    while after is not None:
        began = time.perf_counter()
        audit = ledger.verify(after, 1_000)
        times.setdefault("verify a slice", []).append((time.perf_counter() - began) * 1e3)
        assert not audit.problems, audit.problems
        after = audit.next
    ledger.close()
    began = time.perf_counter()
    again = open_ledger(path, EDGE).ledger
    times["open and verify all"] = [(time.perf_counter() - began) * 1e3]
    again.close()
    return {name: (statistics.median(each), max(each)) for name, each in times.items()}


def main() -> int:
    """Make, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where to make the ledger; left empty")
    parser.add_argument("--entries", type=int, default=600_000, help="verdicts in it (600000)")
    parser.add_argument("--waiting", type=float, default=0.5, help="the share not yet archived (0.5)")
    parser.add_argument("--pictures", type=int, default=20_000, help="pictures of 25 kB in it (20000)")
    parser.add_argument("--picture-mb", type=int, default=2_048, help="the budget for pictures (2048)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    path = options.folder / "bench.ledger"
    if path.exists():
        parser.error(f"{path} exists; name another folder, or delete it")
    if not (options.entries > 0 and 0 <= options.waiting <= 1 and options.pictures >= 0):
        parser.error("--entries above 0, --waiting from 0 to 1 and --pictures from 0 on are expected")
    try:
        ledger = SqliteLedger(path, EDGE)
    except LedgerError as error:
        parser.error(f"--folder: {error}")
    groups = filled(options.entries, options.waiting, options.pictures)
    for changes in track(groups, "filling", -(-options.entries // AT_ONCE), disable=options.json):
        ledger.commit(changes)
    ledger.close()
    size = path.stat().st_size
    found = measure(path, options.entries, options.picture_mb)
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    if options.json:
        print(json.dumps({"entries": options.entries, "file_bytes": size, "ms": found}))
        return 0
    print(f"{options.entries} verdicts, {size / 1e6:.0f} MB")
    for name, (median, longest) in found.items():
        print(f"{name:22} median {median:9.2f} ms   longest {longest:9.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

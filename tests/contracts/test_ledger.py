"""What every edge ledger must do, whatever it is made of. A new adapter is one more line in `ADAPTERS`."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.errors import LedgerError
from nii_edge.ports import (
    Audit,
    Change,
    Conclude,
    Confirm,
    Intend,
    Ledger,
    LedgerCounts,
    Miss,
    OutboxKind,
    Park,
    Passed,
    Prune,
    Recalled,
    StoredScan,
)
from nii_edge.records import (
    Decision,
    Finding,
    Gap,
    Preview,
    Reason,
    Recall,
    Report,
    ScanId,
    ScanType,
    Verdict,
    preview_of,
)

Opener = Callable[[], Ledger]
ADAPTERS: dict[str, Callable[[Path, str], Ledger]] = {
    "sqlite": lambda folder, edge: SqliteLedger(folder / "ledger.db", edge),
}
LIVE, TEST = ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL


def scan(seq: int, scanner: str = "s", epoch: int = 1) -> ScanId:
    return ScanId(edge="e", scanner=scanner, epoch=epoch, seq=seq)


def intend(seq: int, scan_type: ScanType = LIVE, **where: object) -> Intend:
    return Intend(scan(seq, **where), scan_type, 1_000 + seq)  # type: ignore[arg-type]


def report(
    seq: int, decision: Decision = Decision.ALARM, scan_type: ScanType = LIVE, **where: object
) -> Report:
    which = scan(seq, **where)  # type: ignore[arg-type]
    verdict = Verdict(
        id=which,
        scan_type=scan_type,
        decision=decision,
        reason=Reason.TIMEOUT if decision is Decision.UNKNOWN else None,
    )
    return Report(
        alert_id=which.alert_id,
        report_id=which.report_id,
        verdict=verdict,
        received_at_ns=1_000 + seq,
        decided_at_ns=2_000 + seq,
        frames=("0:abc",),
    )


def conclude(seq: int, decision: Decision = Decision.ALARM, preview: Preview | None = None) -> Conclude:
    return Conclude(report(seq, decision), preview)


def gap(first: int, last: int, scanner: str = "s", scan_type: ScanType = LIVE) -> Gap:
    return Gap(
        edge="e", scanner=scanner, epoch=1, first=first, last=last, noticed_at_ns=9, scan_type=scan_type
    )


def recall(seq: int, scanner: str = "s") -> Recall:
    odd = Finding(
        detector="anomaly", kind="anomaly", label="odd_one_out", category="ANOMALY", score=0.6, why="w"
    )
    return Recall(
        scan=scan(seq, scanner), scan_type=LIVE, because=scan(9, scanner), finding=odd, noticed_at_ns=3
    )


def picture(text: str) -> Preview:
    return preview_of(text.encode(), "image/jpeg")


def waiting(ledger: Ledger, kind: OutboxKind = "record", after: int = 0, limit: int = 1_000) -> list[object]:
    """The records in the outbox, in order."""
    return [item.record for item in ledger.outbox(kind, after, limit)]


def everything(ledger: Ledger) -> tuple[object, ...]:
    """All that can be asked of a ledger."""
    return (
        ledger.high_water(),
        ledger.in_flight(),
        ledger.counts(),
        ledger.outbox("record", 0, 1_000),
        ledger.outbox("preview", 0, 1_000),
        [ledger.find(scan(seq)) for seq in range(1, 8)],
    )


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opener(adapter: str, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same ledger each time; what is open at the end is closed."""
    opened: list[Ledger] = []

    def open_again() -> Ledger:
        opened.append(ADAPTERS[adapter](tmp_path, "e"))
        return opened[-1]

    yield open_again
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(opener: Opener) -> Ledger:
    return opener()


# ---- scans


def test_an_intent_is_a_scan_without_a_verdict(ledger: Ledger) -> None:
    """What was received is found, is in flight and counts; what was not is not."""
    ledger.commit([intend(2)])
    assert ledger.find(scan(2)) == StoredScan(scan(2), None)
    assert [ledger.find(scan(1)), ledger.find(scan(2, "other")), ledger.find(scan(2, epoch=3))] == [None] * 3
    assert ledger.in_flight() == [intend(2)]
    assert ledger.counts() == [LedgerCounts("s", LIVE, 1, 0, 0, 0, 1, 0)]


@pytest.mark.parametrize("decision", list(Decision))
def test_a_verdict_ends_the_flight_and_comes_back_whole(ledger: Ledger, decision: Decision) -> None:
    """A concluded scan has its report to the last field, and is counted under its decision."""
    ledger.commit([intend(1), conclude(1, decision)])
    assert ledger.find(scan(1)) == StoredScan(scan(1), report(1, decision))
    assert ledger.in_flight() == []
    (row,) = ledger.counts()
    told = {Decision.CLEAR: row.clear, Decision.ALARM: row.alarm, Decision.UNKNOWN: row.unknown}
    assert told == {d: int(d is decision) for d in Decision}
    assert (row.received, row.in_flight) == (1, 0)


def test_every_verdict_is_a_report_for_the_centre(ledger: Ledger) -> None:
    """CLEAR ones too, in the order of their commit."""
    for seq, decision in enumerate(Decision, start=1):
        ledger.commit([intend(seq), conclude(seq, decision)])
    assert waiting(ledger) == [report(seq, decision) for seq, decision in enumerate(Decision, start=1)]


REFUSED: dict[str, list[Change]] = {
    "a second verdict": [conclude(1, Decision.CLEAR)],
    "the same verdict again": [conclude(1)],
    "a verdict without an intent": [conclude(3)],
    "a verdict of another scanner": [Conclude(report(2, scanner="other"), None)],
    "a verdict of another epoch": [Conclude(report(2, epoch=2), None)],
    "a second intent": [intend(2)],
    "an intent after the verdict": [intend(1)],
    "good ones before a bad one": [intend(3), Miss(gap(4, 5)), conclude(2), conclude(2), intend(6)],
    "confirmations before a bad one": [
        Confirm((scan(1).alert_id,), 5),
        Park(picture("p").sha256, "x"),
        intend(1),
    ],
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_a_commit_that_contradicts_the_ledger_changes_nothing(
    ledger: Ledger, opener: Opener, changes: list[Change]
) -> None:
    """LedgerError, nothing of the whole commit is there, and the first verdict stands, also later."""
    ledger.commit([intend(1), conclude(1, preview=picture("p")), intend(2)])
    before = everything(ledger)
    with pytest.raises(LedgerError):
        ledger.commit(changes)
    assert everything(ledger) == before
    ledger.close()
    assert everything(opener()) == before


def test_a_second_verdict_is_refused_in_words(ledger: Ledger) -> None:
    """The error names the scan and says what was tried."""
    ledger.commit([intend(1), conclude(1)])
    with pytest.raises(LedgerError, match="s/1/1 has no open intent: a verdict was to be given twice"):
        ledger.commit([conclude(1)])


def test_what_passed_since_a_time_is_told_in_order(ledger: Ledger, opener: Opener) -> None:
    """Named cartons with a verdict; of too many the last ones; after a restart as well."""
    named = [intend(seq)._replace(carton=f"B-{seq}") for seq in (1, 2, 3, 4, 5)]
    ledger.commit([*named, intend(6)])
    reports = {seq: report(seq) for seq in (2, 1, 4, 3, 6)}
    for seq, each in reports.items():
        verdict = msgspec.structs.replace(each.verdict, carton=None if seq == 6 else f"B-{seq}")
        ledger.commit([Conclude(msgspec.structs.replace(each, verdict=verdict), None)])
    ledger.close()
    ledger = opener()
    said = [Passed(1_000 + seq, scan(seq), LIVE, Decision.ALARM, f"B-{seq}") for seq in (2, 1, 4, 3)]
    assert ledger.passed_since(0, 9) == said
    assert ledger.passed_since(0, 2) == said[2:]
    assert ledger.passed_since(1_003, 9) == said[2:]


def test_which_ids_are_known(ledger: Ledger) -> None:
    """Of reports, gaps and recalls alike; of too many to be one question, too."""
    finding = Finding(detector="d", kind="k", label="l", category="ANOMALY", score=0.5, why="w")
    recall = Recall(scan=scan(1), scan_type=LIVE, because=scan(2), finding=finding, noticed_at_ns=1)
    ledger.commit([intend(1), conclude(1), Recalled(recall)])
    others = {f"{number:032x}" for number in range(40_000)}
    assert ledger.known({recall.alert_id, scan(1).alert_id, *others}) == {recall.alert_id, scan(1).alert_id}


def test_an_empty_commit_is_no_error(ledger: Ledger) -> None:
    """Nothing to do is done."""
    ledger.commit([])
    assert ledger.counts() == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2**63 - 1), st.integers(1, 2**53 - 1)),
        unique=True,
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None)
def test_high_water_is_the_highest_number_of_each_lane(keys: list[tuple[str, int, int]]) -> None:
    """By scanner and epoch, over the whole range of numbers, whatever the order of arrival."""
    for make in ADAPTERS.values():
        expected: dict[tuple[str, int], int] = {}
        with tempfile.TemporaryDirectory() as folder, closing(make(Path(folder), "e")) as ledger:
            for scanner, epoch, seq in keys:
                ledger.commit([intend(seq, scanner=scanner, epoch=epoch)])
                expected[scanner, epoch] = max(seq, expected.get((scanner, epoch), 0))
            assert ledger.high_water() == expected


def test_a_scan_that_turns_out_to_be_real_is_counted_as_real(ledger: Ledger) -> None:
    """A verdict of another type than its intent moves the scan to that type's balance."""
    ledger.commit([intend(1, TEST)])
    ledger.commit([Conclude(report(1, Decision.UNKNOWN, LIVE), None)])
    ledger.commit([intend(2, TEST), Conclude(report(2, Decision.UNKNOWN, LIVE), None)])
    rows = {row.scan_type: row for row in ledger.counts()}
    assert rows[LIVE] == LedgerCounts("s", LIVE, 2, 0, 0, 2, 0, 0)
    assert rows[TEST] == LedgerCounts("s", TEST, 0, 0, 0, 0, 0, 0)


@given(
    st.lists(st.sampled_from(Decision), min_size=1, max_size=12),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_how_changes_are_grouped_into_commits_makes_no_difference(
    decisions: list[Decision], data: st.DataObject
) -> None:
    """Intents with their verdicts in one commit, or each in its own: the same ledger."""
    changes: list[Change] = []
    open_scans: list[int] = []
    for seq in range(1, len(decisions) + 1):
        changes.append(intend(seq))
        open_scans.append(seq)
        while open_scans and data.draw(st.booleans()):
            done = open_scans.pop(data.draw(st.integers(0, len(open_scans) - 1)))
            changes.append(Conclude(report(done, decisions[done - 1]), None))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(changes)))) | {len(changes)})
    for make in ADAPTERS.values():
        seen = []
        for ends in (cuts, range(1, len(changes) + 1)):
            with tempfile.TemporaryDirectory() as folder, closing(make(Path(folder), "e")) as ledger:
                begin = 0
                for end in ends:
                    ledger.commit(changes[begin:end])
                    begin = end
                assert ledger.verify(0, 1000) == Audit((), None)
                seen.append(
                    (ledger.counts(), ledger.in_flight(), ledger.high_water(), ledger.entries(0, 1000))
                )
        assert seen[0] == seen[1]


# ---- gaps


def test_a_gap_is_told_to_the_centre_and_counted_as_missing(ledger: Ledger) -> None:
    """Both ends are missing, and none of it is received."""
    ledger.commit([Miss(gap(2, 4))])
    assert waiting(ledger) == [gap(2, 4)]
    assert ledger.counts() == [LedgerCounts("s", LIVE, 0, 0, 0, 0, 0, 3)]


def test_the_same_gap_again_is_counted_once(ledger: Ledger, opener: Opener) -> None:
    """A crash between a gap and the intent that revealed it makes it come again; the daemon must not stop
    over that."""
    ledger.commit([intend(1), Miss(gap(2, 4))])
    ledger.close()
    again = opener()
    again.commit([Miss(gap(2, 4)), intend(5)])
    assert waiting(again) == [gap(2, 4)]
    assert again.counts()[0].missing == 3


def test_a_gap_that_was_confirmed_is_not_sent_again(ledger: Ledger) -> None:
    """The centre has it; seeing it once more is no news."""
    ledger.commit([Miss(gap(2, 4)), Confirm((gap(2, 4).alert_id,), 5)])
    ledger.commit([Miss(gap(2, 4))])
    assert waiting(ledger) == []


def test_gaps_of_tests_are_counted_apart(ledger: Ledger) -> None:
    """A replay that skips numbers does not make real cartons missing."""
    ledger.commit([Miss(gap(2, 4, scan_type=TEST)), Miss(gap(1, 1, "other"))])
    assert [(row.scanner, row.scan_type, row.missing) for row in ledger.counts()] == [
        ("other", LIVE, 1),
        ("s", TEST, 3),
    ]


# ---- the outbox


def test_the_outbox_keeps_order_and_pages_without_skipping(ledger: Ledger) -> None:
    """Reports and gaps come in the order of commit; after a number only what is above it."""
    ledger.commit([intend(seq) for seq in range(1, 6)])
    ledger.commit([conclude(3), Miss(gap(6, 7)), conclude(1), conclude(5)])
    order = [report(3), gap(6, 7), report(1), report(5)]
    assert waiting(ledger) == order
    paged, number = [], 0
    while page := ledger.outbox("record", number, 2):
        assert len(page) <= 2
        assert all(item.number > number for item in page)
        paged += [item.record for item in page]
        number = page[-1].number
    assert paged == order


def test_items_are_keyed_as_the_centre_confirms_them(ledger: Ledger) -> None:
    """Records by alert id, pictures by SHA-256."""
    ledger.commit([intend(1), conclude(1, preview=picture("p")), Miss(gap(2, 2))])
    keys = [item.key for item in ledger.outbox("record", 0, 9)]
    assert keys == [report(1).alert_id, gap(2, 2).alert_id]
    assert [item.key for item in ledger.outbox("preview", 0, 9)] == [picture("p").sha256]


def test_pictures_and_records_are_apart(ledger: Ledger) -> None:
    """A picture is asked for by its own kind and comes back to the last byte."""
    ledger.commit([intend(1), conclude(1, preview=picture("p"))])
    assert waiting(ledger, "record") == [report(1)]
    assert waiting(ledger, "preview") == [picture("p")]


def test_equal_pictures_wait_once(ledger: Ledger) -> None:
    """Two black frames have one picture; both reports are sent."""
    ledger.commit([intend(1), intend(2), conclude(1, preview=picture("p"))])
    ledger.commit([conclude(2, preview=picture("p"))])
    assert waiting(ledger, "preview") == [picture("p")]
    assert waiting(ledger) == [report(1), report(2)]


def test_what_is_confirmed_goes_and_nothing_else(ledger: Ledger) -> None:
    """Only the keys named leave the outbox; the scan's own verdict stays; unknown keys harm nothing."""
    ledger.commit([intend(1), intend(2), conclude(1, preview=picture("p")), conclude(2), Miss(gap(3, 3))])
    ledger.commit([Confirm((report(1).alert_id, gap(3, 3).alert_id, "unknown"), 5), Confirm((), 5)])
    assert waiting(ledger) == [report(2)]
    assert waiting(ledger, "preview") == [picture("p")]
    assert ledger.find(scan(1)) == StoredScan(scan(1), report(1))
    ledger.commit([Confirm((report(1).alert_id,), 5)])
    assert waiting(ledger) == [report(2)]


def test_what_is_parked_is_kept_back_and_the_others_go_on(ledger: Ledger, opener: Opener) -> None:
    """An item that the centre refuses for good is not sent again, also after a restart."""
    ledger.commit([intend(1), intend(2), conclude(1, preview=picture("p")), conclude(2)])
    ledger.commit([Park(report(1).alert_id, "too large"), Park(picture("p").sha256, "odd"), Park("no", "")])
    assert waiting(ledger) == [report(2)]
    assert waiting(ledger, "preview") == []
    ledger.close()
    again = opener()
    assert waiting(again) == [report(2)]
    assert again.find(scan(1)) == StoredScan(scan(1), report(1))


def test_what_was_parked_can_be_asked_for_and_taken_in_the_end(ledger: Ledger) -> None:
    """Records alone, in their order, in pieces; one that is refused again stays parked."""
    ledger.commit([change for seq in (1, 2, 3) for change in (intend(seq), conclude(seq))])
    ledger.commit([intend(4), conclude(4, preview=picture("p")), Park(picture("p").sha256, "odd")])
    ledger.commit([Park(report(seq).alert_id, "a newer word") for seq in (1, 3)])
    assert waiting(ledger, "parked") == [report(1), report(3)]
    (first,) = ledger.outbox("parked", 0, 1)
    assert waiting(ledger, "parked", after=first.number) == [report(3)]
    assert waiting(ledger) == [report(2), report(4)]
    ledger.commit([Confirm((report(1).alert_id,), 6), Park(report(3).alert_id, "still")])
    assert waiting(ledger, "parked") == [report(3)]
    ledger.commit([Confirm(tuple(report(seq).alert_id for seq in (2, 3, 4)), 6), Prune(7, 10**9)])
    assert (ledger.stats().parked, ledger.stats().entries) == (0, 0)


def test_a_parked_picture_that_is_drawn_again_stays_parked(ledger: Ledger) -> None:
    """The centre has refused these very bytes: another scan with the same picture does not send them."""
    ledger.commit([intend(1), intend(2), conclude(1, preview=picture("p")), Park(picture("p").sha256, "odd")])
    ledger.commit([conclude(2, preview=picture("p"))])
    assert waiting(ledger, "preview") == []


def test_numbers_do_not_come_twice(ledger: Ledger, opener: Opener) -> None:
    """A number above all before it, also when the outbox was emptied and the ledger reopened: a cursor
    never skips what is new."""
    ledger.commit([intend(seq) for seq in range(1, 5)])
    ledger.commit([conclude(1), conclude(2)])
    last = ledger.outbox("record", 0, 9)[-1].number
    ledger.commit([Confirm((report(1).alert_id, report(2).alert_id), 5)])
    ledger.close()
    again = opener()
    again.commit([conclude(3)])
    assert [item.record for item in again.outbox("record", last, 9)] == [report(3)]


# ---- crashes, restarts, other processes


def test_everything_is_there_after_a_restart(ledger: Ledger, opener: Opener) -> None:
    """Closing and opening loses and changes nothing."""
    ledger.commit([intend(1), intend(2), conclude(1, preview=picture("p")), Miss(gap(3, 4)), intend(5, TEST)])
    before = everything(ledger)
    ledger.close()
    ledger.close()
    again = opener()
    assert everything(again) == before
    assert again.in_flight() == [intend(2), intend(5, TEST)]


def test_every_commit_survives_a_crash(adapter: str, ledger: Ledger, tmp_path: Path) -> None:
    """The files as they are after a commit, copied without closing, hold all of it."""
    steps: list[list[Change]] = [
        [intend(1)],
        [intend(2), Miss(gap(3, 4))],
        [conclude(1, preview=picture("p"))],
        [Confirm((report(1).alert_id,), 5), conclude(2)],
    ]
    for number, changes in enumerate(steps):
        ledger.commit(changes)
        copy = tmp_path / f"crash {number}"
        copy.mkdir()
        for file in tmp_path.iterdir():
            if file.is_file():
                shutil.copyfile(file, copy / file.name)
        with closing(ADAPTERS[adapter](copy, "e")) as survivor:
            assert everything(survivor) == everything(ledger)


def test_another_edges_ledger_is_refused(adapter: str, ledger: Ledger, tmp_path: Path) -> None:
    """The name of an edge is part of every scan: a ledger is one edge's for ever."""
    ledger.commit([intend(1)])
    ledger.close()
    with pytest.raises(LedgerError, match=r"ledger\.db is the ledger of edge 'e', .* says 'f'"):
        ADAPTERS[adapter](tmp_path, "f")
    with closing(ADAPTERS[adapter](tmp_path, "e")) as again:
        assert again.in_flight() == [intend(1)]


def test_a_second_process_is_refused_by_name(ledger: Ledger, tmp_path: Path) -> None:
    """Two daemons on one ledger: the second does not start, and is told which file; the first goes on."""
    code = (
        "import sys; from pathlib import Path; from nii_edge.adapters.sqlite_ledger import SqliteLedger\n"
        "from nii_edge.errors import LedgerError\n"
        "try: SqliteLedger(Path(sys.argv[1]), 'e')\n"
        "except LedgerError as error: print(error); sys.exit(3)"
    )
    path = tmp_path / "ledger.db"
    second = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert second.returncode == 3, second.stderr
    assert f"{path}: another daemon is using it" in second.stdout
    ledger.commit([intend(1)])
    assert ledger.in_flight() == [intend(1)]


def test_a_damaged_record_is_a_ledger_error(tmp_path: Path) -> None:
    """A stored report that is no report any more is said, never guessed or skipped."""
    path = tmp_path / "ledger.db"
    with closing(SqliteLedger(path, "e")) as ledger:
        ledger.commit([intend(1), conclude(1)])
    good = msgspec.msgpack.encode(report(1))
    for bad in (
        b"\xc1",
        b"",
        good[:-3],
        good.replace(b"ALARM", b"ALAAM"),
        good.replace(b"0:abc", b"\xff:abc"),
    ):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE journal SET body = ?", (bad,))
        with closing(SqliteLedger(path, "e")) as ledger, pytest.raises(LedgerError, match="is damaged"):
            ledger.find(scan(1))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no database" * 1_000, "not an SQLite file"), (None, "cannot be created|cannot be opened")],
)
def test_what_is_no_ledger_is_refused_in_words(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file of another kind, or a folder that cannot be made, is a LedgerError that names it."""
    path = tmp_path / "state" / "ledger.db"
    if content is None:
        path.parent.write_text("a file where the folder should be")
    else:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(LedgerError, match=words) as raised:
        SqliteLedger(path, "e")
    assert str(path) in str(raised.value)


# ---- any history

lanes = st.sampled_from(["a", "b"])
types = st.sampled_from([LIVE, TEST])
steps = st.lists(
    st.tuples(
        st.sampled_from(["intend", "conclude", "miss", "recall", "confirm", "park", "reopen"]),
        lanes,
        st.integers(1, 4),
        types,
        st.sampled_from(list(Decision)),
        st.booleans(),
    ),
    max_size=40,
)


class Model:
    """A ledger as plain dictionaries."""

    def __init__(self) -> None:
        self.intents: dict[ScanId, ScanType] = {}
        self.reports: dict[ScanId, Report] = {}
        self.gaps: dict[tuple[str, int], Gap] = {}
        self.told: set[str] = set()
        self.outbox: dict[str, object] = {}
        self.parked: set[str] = set()

    def apply(self, change: Change) -> bool:
        """False if the ledger must refuse it."""
        match change:
            case Intend(which, scan_type, _):
                if which in self.intents:
                    return False
                self.intents[which] = scan_type
            case Conclude(told, preview):
                return self._conclude(told, preview)
            case Miss(hole):
                if hole.alert_id not in self.told:
                    self.gaps[hole.scanner, hole.first] = hole
                self._tell(hole)
            case Recalled(back):
                self._tell(back)
            case Confirm(keys, _):
                for key in keys:
                    self.outbox.pop(key, None)
                    self.parked.discard(key)
            case Park(key, _):
                self.parked |= {key} & set(self.outbox)
        return True

    def _tell(self, record: Gap | Recall) -> None:
        """Once: the same again is nothing new."""
        if record.alert_id not in self.told:
            self.told.add(record.alert_id)
            self.outbox[record.alert_id] = record

    def _conclude(self, told: Report, preview: Preview | None) -> bool:
        which = told.verdict.id
        if which not in self.intents or which in self.reports:
            return False
        self.intents[which] = told.verdict.scan_type
        self.reports[which] = told
        self.outbox[told.alert_id] = told
        if preview is not None:
            self.outbox.setdefault(preview.sha256, preview)
        return True

    def counts(self) -> dict[tuple[str, ScanType], LedgerCounts]:
        rows: dict[tuple[str, ScanType], Counter[str]] = {}
        for which, scan_type in self.intents.items():
            row = rows.setdefault((which.scanner, scan_type), Counter())
            row["received"] += 1
            told = self.reports.get(which)
            row["in_flight" if told is None else told.verdict.decision.value.lower()] += 1
        for hole in self.gaps.values():
            row = rows.setdefault((hole.scanner, hole.scan_type), Counter())
            row["missing"] += hole.last - hole.first + 1
        names = ("received", "clear", "alarm", "unknown", "in_flight", "missing")
        return {key: LedgerCounts(*key, *(row[name] for name in names)) for key, row in rows.items()}

    def waiting(self, kind: type | tuple[type, ...]) -> list[object]:
        return [r for key, r in self.outbox.items() if key not in self.parked and isinstance(r, kind)]


def change_of(step: tuple[str, str, int, ScanType, Decision, bool], model: Model) -> Change | None:
    what, lane, seq, scan_type, decision, flag = step
    which = scan(seq, lane)
    match what:
        case "intend":
            return Intend(which, scan_type, seq)
        case "conclude":
            said = report(seq, decision, scan_type, scanner=lane)
            return Conclude(said, picture(f"{seq % 2}") if flag else None)
        case "miss":
            return Miss(gap(seq, seq + 1, lane, scan_type))
        case "recall":
            return Recalled(recall(seq, lane))
        case "confirm" | "park":
            keys = [*model.outbox, "unknown"]
            key = keys[seq % len(keys)]
            return Confirm((key,), 5) if what == "confirm" else Park(key, "why")
    return None


@pytest.mark.parametrize("name", ADAPTERS)
@settings(max_examples=60, deadline=None)
@given(history=steps)
def test_any_history_adds_up(
    name: str, history: list[tuple[str, str, int, ScanType, Decision, bool]]
) -> None:
    """After any changes and restarts the ledger is what plain dictionaries say, and the balance holds."""
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        ledger = ADAPTERS[name](Path(folder), "e")
        try:
            for step in history:
                change = change_of(step, model)
                if change is None:
                    ledger.close()
                    ledger = ADAPTERS[name](Path(folder), "e")
                elif model.apply(change):
                    ledger.commit([change])
                else:
                    with pytest.raises(LedgerError):
                        ledger.commit([change])
                _agree(ledger, model)
        finally:
            ledger.close()


def _agree(ledger: Ledger, model: Model) -> None:
    empty = (0,) * 6
    rows = {(row.scanner, row.scan_type): row for row in ledger.counts() if row[2:] != empty}
    assert rows == model.counts()
    for row in rows.values():
        assert row.received == row.clear + row.alarm + row.unknown + row.in_flight
    assert {i.scan for i in ledger.in_flight()} == set(model.intents) - set(model.reports)
    assert waiting(ledger) == model.waiting((Report, Gap, Recall))
    assert waiting(ledger, "preview") == model.waiting(Preview)
    refused = [model.outbox[key] for key in model.outbox if key in model.parked]
    assert waiting(ledger, "parked") == [record for record in refused if not isinstance(record, Preview)]
    highest: dict[tuple[str, int], int] = {}
    for which in model.intents:
        key = (which.scanner, which.epoch)
        highest[key] = max(which.seq, highest.get(key, 0))
    assert ledger.high_water() == highest

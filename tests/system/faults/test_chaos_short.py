"""A short run of the fault harness, and controls that must fail: it sees a loss when there is one."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tools"))

from chaoslib import power_cut  # noqa: E402 - tools is no package of ours
from chaoslib.audit import Audit, audit  # noqa: E402
from chaoslib.books import Books, Id  # noqa: E402
from chaoslib.proxy import Mode, Proxy  # noqa: E402
from chaoslib.run import Run  # noqa: E402
from chaoslib.stores import read_archive, read_ledger  # noqa: E402

POWER = ("power_cut", "collector_power_cut") if power_cut.available() else ()
SHORT = (
    "edge_kill", "collector_kill", "inference_kill", "decoder_kill", "partition", "hostile", "disk_full",
    *POWER,
)  # fmt: skip
KEYS = {"cycles", "scans", "verdicts", "lost", "duplicates", "unaccounted", "faults", "screening_back_s"}

needs_cc = pytest.mark.skipif(not POWER, reason="no C compiler to watch the writes with")


def chaos(*arguments: str) -> tuple[int, dict[str, object]]:
    """Exit status and summary of a run of the tool."""
    command = [sys.executable, str(ROOT / "tools" / "chaos.py"), "--json", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=110, check=False)
    return done.returncode, json.loads(done.stdout)


def test_every_kind_of_fault_once_and_nothing_is_lost() -> None:
    """Each acknowledged scan has one verdict, archived and seen once, also after kills and power cuts."""
    faults = [part for name in SHORT for part in ("--fault", name)]
    status, summary = chaos("--cycles", str(len(SHORT)), "--seed", "7", *faults)
    assert summary.keys() >= KEYS
    assert (status, summary["findings"], summary["stuck"], summary["unexpected_ends"]) == (0, [], [], [])
    assert summary["faults"] == dict.fromkeys(SHORT, 1)
    assert (summary["lost"], summary["duplicates"], summary["unaccounted"]) == (0, 0, 0)


@needs_cc
def test_a_disk_that_keeps_no_sync_is_found_out() -> None:
    """Control: without real syncs (as with synchronous=OFF) the same run reports losses and fails."""
    status, summary = chaos("--cycles", "1", "--fault", "power_cut", "--lying-disk")
    assert status == 1
    assert int(str(summary["lost"])) > 0


# ---- controls: a sound run, of which one thing is then broken


@pytest.fixture
def line() -> Iterator[tuple[Proxy, int]]:
    """A proxy before one who echoes what comes, and the proxy's port."""
    with socket.create_server(("127.0.0.1", 0)) as echo, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        proxy = Proxy(port, echo.getsockname()[1])
        proxy.start()
        threading.Thread(target=serve_echo, args=(echo,), daemon=True).start()
        yield proxy, port
        proxy.close()
        proxy.join()
        echo.shutdown(socket.SHUT_RDWR)


def serve_echo(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            end, _ = listener.accept()
            threading.Thread(target=echo_back, args=(end,), daemon=True).start()


def echo_back(end: socket.socket) -> None:
    with end, contextlib.suppress(OSError):
        while data := end.recv(100):
            end.sendall(data)


def answers(end: socket.socket) -> bool:
    end.sendall(b"?")
    return end.recv(1) == b"?"


@pytest.mark.parametrize(("mode", "meets"), [("refuse", ConnectionRefusedError), ("drop", TimeoutError)])
def test_a_cut_line_lets_nobody_in_until_it_heals(
    line: tuple[Proxy, int], mode: Mode, meets: type[OSError]
) -> None:
    """Whoever connects is refused, or hears nothing as from a network that swallows packets."""
    proxy, port = line
    address = ("127.0.0.1", port)
    for _ in range(2):
        with socket.create_connection(address, 10) as before:
            assert answers(before)
            proxy.set(mode)
            with pytest.raises(meets):
                socket.create_connection(address, 1)
            proxy.set("pass")
            with socket.create_connection(address, 10) as after:
                assert answers(after)
            if mode == "drop":  # what stood was only held up
                assert answers(before)


class Evidence:
    """The books and both files of one run that was sound."""

    def __init__(self, books: Books, ledger: Path, archive: Path) -> None:
        self.books, self.ledger, self.archive = books, ledger, archive

    def audit(self) -> Audit:
        return audit(self.books, read_ledger(self.ledger), read_archive(self.archive))

    def clear(self) -> Id:
        """A scan that was told CLEAR."""
        return next(scan.id for scan in self.books.snapshot() if scan.told and scan.told.decision == "CLEAR")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    run = Run(tmp_path_factory.mktemp("chaos"), seed=3)
    with run:
        run.cycle("edge_kill")
        assert run.check(go_on=False).findings == []
    site = run.rig.site
    return Evidence(run.books, site.ledger, site.archive)


@pytest.fixture
def evidence(sound: Evidence, tmp_path: Path) -> Iterator[Evidence]:
    """A copy to break. The books are put back afterwards."""
    copies = []
    for path in (sound.ledger, sound.archive):
        copies.append(tmp_path / path.name)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copies[-1])) as target:
            source.backup(target)
    made = Evidence(sound.books, *copies)
    sent, seen, skipped = dict(sound.books.sent), list(sound.books.seen), set(sound.books.skipped)
    told = {scan: (row.told, row.allowed) for scan, row in sent.items()}
    yield made
    sound.books.sent, sound.books.seen, sound.books.skipped = sent, seen, skipped
    for scan, (row, allowed) in told.items():
        sent[scan].told, sent[scan].allowed = row, allowed


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


def one_report(evidence: Evidence) -> int:
    """The entry of the ledger's report on a scan that was told CLEAR."""
    with closing(sqlite3.connect(evidence.ledger)) as db:
        found = db.execute(
            "SELECT entry FROM scans WHERE scanner = ? AND epoch = ? AND seq = ?", evidence.clear()
        )
        return int(found.fetchone()[0])


def test_the_unbroken_copy_is_sound(evidence: Evidence) -> None:
    """The controls below fail for what they break, not for the copying."""
    assert evidence.audit().findings == []
    assert evidence.audit().well


def test_a_sender_that_forgets_a_scan_is_seen(evidence: Evidence) -> None:
    """A verdict for a scan that the books do not know counts as unaccounted, in ledger and archive."""
    del evidence.books.sent[evidence.clear()]
    assert evidence.audit().unaccounted == 2


def test_a_verdict_missing_from_the_ledger_is_seen(evidence: Evidence) -> None:
    """A deleted journal row is a loss, and the chain and the balance break as well."""
    change(evidence.ledger, "DELETE FROM journal WHERE entry = ?", one_report(evidence))
    found = evidence.audit()
    assert found.lost >= 1
    assert found.wrong >= 1


def test_a_scan_missing_from_the_ledger_is_seen(evidence: Evidence) -> None:
    """An acknowledged scan without verdict or intent is a loss."""
    change(evidence.ledger, "DELETE FROM journal WHERE entry = ?", one_report(evidence))
    change(
        evidence.ledger, "DELETE FROM scans WHERE scanner = ? AND epoch = ? AND seq = ?", *evidence.clear()
    )
    assert evidence.audit().lost >= 1


def test_a_scan_without_a_verdict_is_seen(evidence: Evidence) -> None:
    """An intent that nobody concluded is unaccounted for."""
    scan = evidence.clear()
    change(evidence.ledger, "DELETE FROM journal WHERE entry = ?", one_report(evidence))
    change(
        evidence.ledger, "UPDATE scans SET entry = NULL WHERE scanner = ? AND epoch = ? AND seq = ?", *scan
    )
    assert evidence.audit().unaccounted >= 1


def test_a_record_missing_from_the_archive_is_seen(evidence: Evidence) -> None:
    """Archived means found in the archive, not receipted: a deleted row is a loss."""
    change(evidence.archive, "DELETE FROM records WHERE number = 2")
    assert evidence.audit().lost >= 1


def test_a_record_the_subscriber_never_got_is_seen(evidence: Evidence) -> None:
    """A record that stays in the archive is a loss for the central system."""
    del evidence.books.seen[3]
    assert evidence.audit().lost == 1


def test_a_record_given_twice_is_seen(evidence: Evidence) -> None:
    """A repeated record is a duplicate, and a number that runs backwards another."""
    evidence.books.seen.append(evidence.books.seen[3])
    assert evidence.audit().duplicates == 2


def test_a_flipped_bit_in_the_ledger_is_seen(evidence: Evidence) -> None:
    """A changed body no longer fits its CRC, the chain, and what the scanner was told."""
    entry = one_report(evidence)
    with closing(sqlite3.connect(evidence.ledger)) as db:
        body = bytearray(db.execute("SELECT body FROM journal WHERE entry = ?", (entry,)).fetchone()[0])
    at = body.rindex(b"default-3")
    body[at] ^= 1
    change(evidence.ledger, "UPDATE journal SET body = ? WHERE entry = ?", bytes(body), entry)
    assert evidence.audit().wrong >= 3


def test_a_verdict_told_otherwise_than_filed_is_seen(evidence: Evidence) -> None:
    """The scanner's word and the ledger's must be one."""
    scan = evidence.books.sent[evidence.clear()]
    assert scan.told is not None
    scan.told = scan.told._replace(decision="ALARM")
    assert evidence.audit().wrong == 1


def test_a_clear_for_a_hostile_carton_is_seen(evidence: Evidence) -> None:
    """If a CLEAR scan had been a hostile one, it would be counted."""
    evidence.books.sent[evidence.clear()].allowed = frozenset({"UNKNOWN"})
    found = evidence.audit()
    assert (found.wrong, found.hostile_clear) == (1, 1)


def test_a_skipped_number_without_a_range_record_is_seen(evidence: Evidence) -> None:
    """A number that the scanner skipped and nobody noticed is unaccounted for, in both stores."""
    scan = evidence.clear()
    del evidence.books.sent[scan]
    evidence.books.skipped.add(scan)
    change(evidence.ledger, "DELETE FROM journal WHERE entry = ?", one_report(evidence))
    change(evidence.ledger, "DELETE FROM scans WHERE scanner = ? AND epoch = ? AND seq = ?", *scan)
    assert evidence.audit().unaccounted >= 2

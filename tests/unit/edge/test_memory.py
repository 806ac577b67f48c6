"""Cartons over a restart: what comes back, what is refused, what becomes of a file that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import until

from nii_edge.adapters import sqlite_cartons
from nii_edge.adapters.sqlite_cartons import Opened, open_cartons
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.detect.anomaly import APART, MASS, TRAITS
from nii_edge.detect.heat import FEATURES
from nii_edge.edge import memory
from nii_edge.edge.jobs import ViewBlocks
from nii_edge.edge.memory import QUIET_H, Known, Memory, Resumed
from nii_edge.errors import LedgerError
from nii_edge.ports import CartonRow
from nii_edge.records import ScanId, ScanType
from nii_edge.telemetry import Metrics

VALUES = tuple(float(k) / 7 for k in range(len(TRAITS)))
VIEW = ViewBlocks(view=0, box=(0.0, 1.0, 2.0, 3.0), shape=(1, 2, FEATURES), values=bytes(2 * FEATURES))


def known(number: int, bill: str = "M", edge: str = "e") -> Known:
    return Known(
        scan=ScanId(edge=edge, scanner="s", epoch=1, seq=number), scan_type=ScanType.OPERATIONAL,
        carton=f"c{number}", master_bill=bill, chapters=(61, 85), values=VALUES, size=(4.0, 20.0),
        declared=f"line {number}", views=(VIEW,),
    )  # fmt: skip


def test_bodies_that_are_nothing_of_ours_are_refused(tmp_path: Path) -> None:
    """With a sound CRC-32: cut off, of another form, nested without end."""
    kept(tmp_path, known(1))
    store = open_cartons(tmp_path / "cartons.db", "fit").store
    good = msgspec.msgpack.encode(known(2))
    bodies = (b"", good[:-9], b"\xc1", b"\x91" * 60_000, b"\x81\xa4more" + b"\x91" * 60_000, good + b"\x00")
    store.write(
        [CartonRow(ScanType.OPERATIONAL, "M", f"x{k}", 1, body, False) for k, body in enumerate(bodies)]
    )
    store.close()
    found, life = again(tmp_path)
    assert [each.known for each in found] == [known(1)]
    assert life.count("refused") == len(bodies)


LIVES: list[Life] = []


@pytest.fixture(autouse=True)
def end_all() -> Iterator[None]:
    """A thread that runs on would keep the whole run from its end."""
    yield
    while LIVES:
        LIVES.pop().memory.stop()


class Life:
    """One life of a daemon's memory."""

    def __init__(self, folder: Path, stamp: str = "fit") -> None:
        self.metrics = Metrics()
        self.metrics.expect((), ())
        self.memory = Memory(
            lambda: open_cartons(folder / "cartons.db", stamp), "e", SystemClock(), self.metrics
        )

    def read(self) -> list[Resumed]:
        found = self.memory.read(lambda _: set())
        self.memory.start()
        LIVES.append(self)
        return found

    def count(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("nii_edge_cartons_remembered_total", {"result": result})


def kept(folder: Path, *cartons: Known, stamp: str = "fit") -> None:
    life = Life(folder, stamp)
    life.read()
    for each in cartons:
        life.memory.put(each, told=False)
    life.memory.stop()
    assert life.count("kept") == len(cartons)


def again(folder: Path, stamp: str = "fit") -> tuple[list[Resumed], Life]:
    life = Life(folder, stamp)
    found = life.read()
    life.memory.stop()
    return found, life


def test_cartons_come_back_as_they_were(tmp_path: Path) -> None:
    """In order, with what is not a number where it may be; of one that passed twice the first."""
    values = np.array(VALUES)
    values[[MASS, APART[0]]] = np.nan
    nameless = msgspec.structs.replace(known(3), values=tuple(values.tolist()))
    first = known(1)
    kept(tmp_path, first, known(2), nameless, msgspec.structs.replace(first, declared="later"))
    life = Life(tmp_path)
    found = life.read()
    life.memory.told(ScanType.OPERATIONAL, "M", "c2")
    life.memory.stop()
    assert found[:2] == [Resumed(first, told=False), Resumed(known(2), told=False)]
    assert np.array_equal(found[2].known.values, values, equal_nan=True)
    assert [each.told for each in again(tmp_path)[0]] == [False, True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"values": VALUES[:-1]}, {"values": (*VALUES[:-1], float("inf"))}, {"values": (1e30, *VALUES[1:])},
        {"values": (*VALUES[:3], float("nan"), *VALUES[4:])}, {"size": (float("nan"), 1.0)},
        {"size": (1.0, 1e9)}, {"views": (VIEW,) * 17},
        {"views": (msgspec.structs.replace(VIEW, shape=(2, 2, FEATURES)),)},
        {"views": (msgspec.structs.replace(VIEW, shape=(-1, -2, FEATURES)),)},
        {"views": (msgspec.structs.replace(VIEW, box=(0.0, 0.0, float("inf"), 1.0)),)},
        {"chapters": (100,)}, {"chapters": (1,) * 101}, {"declared": "x" * 1_001},
        {"scan": ScanId(edge="other", scanner="s", epoch=1, seq=1)},
    ],
)  # fmt: skip
def test_what_nobody_measured_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """One by one, with a sound CRC-32, and counted; the others come back."""
    kept(tmp_path, msgspec.structs.replace(known(1), **change), known(2))
    found, life = again(tmp_path)
    assert [each.known for each in found] == [known(2)]
    assert (life.count("resumed"), life.count("refused"), life.count("set_aside")) == (1, 1, 0)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cartons SET body = x'00' WHERE number = 1",
        "UPDATE cartons SET crc = crc + 1 WHERE number = 1",
        "UPDATE cartons SET body = zeroblob(10000000) WHERE number = 1",
        "UPDATE cartons SET body = 'text' WHERE number = 1",
        "UPDATE cartons SET master = 'other' WHERE number = 1",
        "UPDATE cartons SET carton = cast(x'ff' AS TEXT) WHERE number = 1",
        "UPDATE cartons SET carton = x'01' WHERE number = 1",
        "UPDATE cartons SET scan_type = 'SOME' WHERE number = 1",
        "UPDATE cartons SET body = x'80', passed_ns = (-9223372036854775807 - 1) * number",
    ],
)
def test_rows_that_are_damaged_are_left_out(tmp_path: Path, damage: str) -> None:
    """The file is used on."""
    kept(tmp_path, known(1), known(2))
    with closing(sqlite3.connect(tmp_path / "cartons.db", isolation_level=None)) as file:
        file.execute(damage)
    found, life = again(tmp_path)
    assert [each.known for each in found] == ([known(2)] if "WHERE" in damage else [])
    if "passed_ns" not in damage:  # so old that they are forgotten first
        assert life.count("refused") == 2 - len(found)
    kept(tmp_path, known(1))
    assert known(1) in [each.known for each in again(tmp_path)[0]], "its damaged row was in its place"
    assert life.count("set_aside") == life.count("failed") == 0


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000] + b"\xff" * 9_000)


def said(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute(statement)

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        torn,
        lambda path: path.write_bytes(b"no database " * 1_000),
        said("UPDATE meta SET value = '2' WHERE key = 'schema'"),
        said("UPDATE meta SET value = 'archive' WHERE key = 'purpose'"),
        said("CREATE TRIGGER t AFTER INSERT ON cartons BEGIN DELETE FROM cartons; END"),
        said("ALTER TABLE cartons ADD COLUMN more TEXT"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """Damaged, another version's, another program's or with tables of its own: named, counted, begun anew; of
    those that were set aside only the last is kept."""
    for _ in range(2):
        kept(tmp_path, known(1))
        spoil(tmp_path / "cartons.db")
        found, life = again(tmp_path)
        assert found == []
        assert (life.count("set_aside"), life.count("failed")) == (1, 0)
    kept(tmp_path, known(2))
    assert [each.known for each in again(tmp_path)[0]] == [known(2)]
    aside = {path.name for path in tmp_path.iterdir() if "damaged" in path.name}
    assert "cartons.damaged.db" in aside
    assert aside <= {f"cartons.damaged.db{ending}" for ending in ("", "-wal", "-shm")}


def test_whatever_a_store_raises_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    """Errors that nobody has thought of as well."""

    def broken() -> Opened:
        opened = open_cartons(tmp_path / "cartons.db", "fit")
        opened.store._db.text_factory = lambda _: 1 / 0
        return opened

    kept(tmp_path, known(1))
    metrics = Metrics()
    memory = Memory(broken, "e", SystemClock(), metrics)
    assert memory.read(lambda _: set()) == []
    assert metrics.registry.get_sample_value("nii_edge_cartons_remembered_total", {"result": "failed"}) == 1


def test_those_of_another_fit_say_nothing(tmp_path: Path) -> None:
    """They were compared in other things; that is no damage."""
    kept(tmp_path, known(1))
    found, life = again(tmp_path, stamp="another")
    assert found == []
    assert life.count("set_aside") == 0
    assert again(tmp_path)[0] == []


def test_no_file_at_all_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Its folder is not one: it is counted, and cartons that pass wait for nothing."""
    (tmp_path / "cartons.db").mkdir()
    life = Life(tmp_path)
    assert life.read() == []
    life.memory.put(known(1), told=False)
    life.memory.nudge()
    life.memory.stop()
    assert life.count("failed") == 1
    assert life.count("kept") == 0


def test_the_store_is_bounded_and_forgets_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many the last ones; master bills of which nothing has passed for a week, and no others."""
    monkeypatch.setattr(sqlite_cartons, "MOST_ROWS", 4)
    now, week = SystemClock().wall_ns(), round(QUIET_H * 3_600e9)
    store = open_cartons(tmp_path / "cartons.db", "fit").store
    for number, (bill, age) in enumerate([("A", 9), ("A", 9), ("B", 2), ("B", 0), ("C", 2), ("C", 2)], 1):
        each = known(number, bill)
        row = CartonRow(
            each.scan_type, bill, each.carton, now - age * week, msgspec.msgpack.encode(each), False
        )
        store.write([row])
    assert [row.carton for row in store.rows()[0]] == ["c3", "c4", "c5", "c6"]
    store.close()
    assert [each.known.carton for each in again(tmp_path)[0]] == ["c3", "c4"]


def test_a_clock_that_is_ahead_makes_nobody_forget(tmp_path: Path) -> None:
    """Or behind: what passed last is a week's measure."""
    kept(tmp_path, known(1), known(2, "other"))
    now, week = SystemClock().wall_ns(), round(QUIET_H * 3_600e9)
    store = open_cartons(tmp_path / "cartons.db", "fit").store
    for wrong in (now + 100 * week, now - 100 * week):
        store.forget(wrong, week)
        assert [row.carton for row in store.rows()[0]] == ["c1", "c2"]
    store.close()


def test_what_could_not_be_written_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the file for longer than is waited for it."""
    monkeypatch.setattr(memory, "REOPEN_EVERY_S", 0.0)
    life = Life(tmp_path)
    life.read()
    with closing(sqlite3.connect(tmp_path / "cartons.db", isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        for number in (1, 2):
            life.memory.put(known(number), told=False)
        life.memory.nudge()
        until(lambda: (life.count("failed") or 0) >= 1, what="that a write failed")
        file.execute("ROLLBACK")
    life.memory.stop()
    assert life.count("kept") == 2
    assert [each.known.carton for each in again(tmp_path)[0]] == ["c1", "c2"]


def test_a_file_that_fails_while_it_is_written_ends_nothing(tmp_path: Path) -> None:
    """The disk is full: counted once, and tried no more than once a minute."""

    def full() -> Opened:
        opened = open_cartons(tmp_path / "cartons.db", "fit")
        opened.store._db.execute("PRAGMA max_page_count = 5")
        return opened

    metrics = Metrics()
    memory = Memory(full, "e", SystemClock(), metrics)
    assert memory.read(lambda _: set()) == []
    memory.start()
    for number in range(200):
        memory.put(known(number + 1), told=False)
        memory.nudge()
    memory.stop()
    failed = metrics.registry.get_sample_value("nii_edge_cartons_remembered_total", {"result": "failed"})
    assert failed == 1
    with pytest.raises(LedgerError):
        full().store.write(
            [CartonRow(ScanType.OPERATIONAL, "M", f"d{k}", 1, bytes(9_000), False) for k in range(9)]
        )


def test_what_a_full_queue_pushes_out_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the disk; the first ones are lost, one by one, whatever came after them."""
    monkeypatch.setattr(memory, "MOST_WAITING", 3)
    life = Life(tmp_path)
    for number in range(1, 6):  # nothing is written before it is started
        life.memory.put(known(number), told=False)
    life.memory.told(ScanType.OPERATIONAL, "M", "c5")
    assert life.count("lost") == 3
    life.read()
    life.memory.stop()
    found, _ = again(tmp_path)
    assert [(each.known, each.told) for each in found] == [(known(4), False), (known(5), True)]

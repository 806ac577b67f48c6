"""Manifests: what ships imports as it is, what is wrong is named, counted and kept with its carton."""

from __future__ import annotations

import csv
import json
import math
import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import ROOT
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nii_edge.adapters.manifest_files import read_into
from nii_edge.adapters.manifest_rows import Collecting, number_of
from nii_edge.adapters.sqlite_manifests import ManifestReader, ManifestStore
from nii_edge.commands.manifest import Summary, app, import_file
from nii_edge.config import load
from nii_edge.detect import paper_rules
from nii_edge.errors import ManifestError
from nii_edge.papers import MAX_LINES, Line, PaperProblem, Papers, hash_name
from nii_edge.ports import Place
from nii_edge.regime import FIELDS, Columns, Field, Regime

REGIME = load(ROOT / "configs" / "regime.yaml", Regime)
KEY = bytes(32)
GOOD = {
    "barcode": "B-1", "master_bill": "M-1", "carton": "1", "gross_kg": "5.5", "house_bill": "H1",
    "packages": "1", "shipper": "Ann Sender", "consignee": "Bob Taker", "hs_code": "6109.10",
    "description": "cotton t-shirts", "quantity": "20", "weight_kg": "5", "value_usd": "100", "origin": "cn",
}  # fmt: skip


def write(path: Path, *rows: dict[str, str], fields: tuple[str, ...] = FIELDS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)
    return path


def collected(path: Path, columns: Columns | None = None) -> Collecting:
    naming = columns or Columns(version=1)
    rows = Collecting(REGIME, naming, KEY)
    read_into(path, naming, rows)
    return rows


def one(tmp_path: Path, *rows: dict[str, str]) -> Papers:
    (papers,) = collected(write(tmp_path / "m.csv", *rows)).papers()
    return papers


def test_a_row_becomes_papers_and_names_become_hashes(tmp_path: Path) -> None:
    """Nothing that was declared is lost, and no name is kept."""
    papers = one(tmp_path, GOOD)
    assert papers.problems == ()
    assert papers.lines == (
        Line(hs_code="610910", description="cotton t-shirts", quantity=20, weight_kg=5.0, value_usd=100.0,
             origin="CN"),
    )  # fmt: skip
    assert (papers.pieces, papers.packages, papers.net_kg, papers.gross_kg) == (20, 1, 5.0, 5.5)
    (bill,) = papers.house_bills
    assert bill.consignee == hash_name("  bob   TAKER ", KEY) != hash_name("bob taker", b"x" * 32)
    assert "bob" not in repr(papers).casefold()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weight_kg": "-3"}, PaperProblem.NEGATIVE),
        ({"weight_kg": "0"}, PaperProblem.NEGATIVE),
        ({"weight_kg": "0.0000001"}, PaperProblem.NEGATIVE),
        ({"weight_kg": "0,500"}, PaperProblem.BAD_NUMBER),
        ({"weight_kg": "1,250"}, PaperProblem.BAD_NUMBER),
        ({"quantity": "1 0"}, PaperProblem.BAD_NUMBER),
        ({"origin": "China"}, PaperProblem.BAD_ORIGIN),
        ({"origin": "?!"}, PaperProblem.BAD_ORIGIN),
        ({"quantity": "0"}, PaperProblem.NEGATIVE),
        ({"quantity": "2.5"}, PaperProblem.BAD_NUMBER),
        ({"weight_kg": "nan"}, PaperProblem.BAD_NUMBER),
        ({"weight_kg": "1e999"}, PaperProblem.BAD_NUMBER),
        ({"value_usd": "1_000"}, PaperProblem.BAD_NUMBER),
        ({"value_usd": "\u0661\u0662"}, PaperProblem.BAD_NUMBER),
        ({"hs_code": "770000"}, PaperProblem.UNKNOWN_HS),
        ({"hs_code": "61091"}, PaperProblem.UNKNOWN_HS),
        ({"hs_code": "shirts"}, PaperProblem.UNKNOWN_HS),
        ({"description": "=HYPERLINK(1)"}, PaperProblem.FORMULA),
        ({"description": "@SUM(A1)"}, PaperProblem.FORMULA),
        ({"description": "-cmd|calc"}, PaperProblem.FORMULA),
        ({"description": " =HYPERLINK(1)"}, PaperProblem.FORMULA),
        ({"description": "\x01=cmd|x"}, PaperProblem.FORMULA),
        ({"description": "\uff1dcmd()"}, PaperProblem.FORMULA),
        ({"description": "\tcmd()"}, PaperProblem.FORMULA),
        ({"barcode": "=cmd()"}, PaperProblem.FORMULA),
        ({"description": "x" * 100_000}, PaperProblem.TOO_LONG),
        ({"consignee": "Mickey  MOUSE"}, PaperProblem.FICTITIOUS_NAME),
    ],
)
def test_what_is_wrong_in_a_row_is_named_and_stays_with_its_carton(
    tmp_path: Path, change: dict[str, str], problem: PaperProblem
) -> None:
    """A bad field is left out or kept as text, and the carton's papers say so."""
    rows = collected(write(tmp_path / "m.csv", {**GOOD, **change}))
    (papers,) = rows.papers()
    assert papers.problems == (problem,)
    assert rows.count == {problem: 1}
    assert "m.csv row 1" in rows.examples[0]
    (line,) = papers.lines
    if problem in (PaperProblem.NEGATIVE, PaperProblem.BAD_NUMBER):
        assert getattr(line, next(iter(change))) is None
    assert len(line.description) <= 500


def testnumber_ofs_as_people_write_them(tmp_path: Path) -> None:
    """Thousands, decimal commas and pounds are read by what the columns file says."""
    path = write(tmp_path / "m.csv", {**GOOD, "value_usd": "1,234.50"})
    assert collected(path, Columns(version=1, thousands=",")).papers()[0].value_usd == 1234.5
    path = write(tmp_path / "m.csv", {**GOOD, "value_usd": "1.234,50", "weight_kg": "10"})
    papers = collected(path, Columns(version=1, decimal=",", thousands=".", unit="lb")).papers()[0]
    assert papers.value_usd == 1234.5
    assert papers.net_kg == pytest.approx(4.535924)


SIGNS = st.sampled_from([".", ",", " ", "'"])


@given(st.integers(0, 10**8), st.integers(0, 99), SIGNS, SIGNS, st.text("0123456789.,' ", max_size=12))
def test_anumber_of_is_read_as_it_was_written_or_not_at_all(
    whole: int, cents: int, decimal: str, thousands: str, junk: str
) -> None:
    """What the columns file says is read back exactly; whatever else is written becomes no number, or one
    that has all its digits and no other fraction."""
    assume(decimal in ".," and decimal != thousands)
    columns = Columns(version=1, decimal=decimal, thousands=thousands)
    grouped = f"{whole:,}".replace(",", thousands)
    assert number_of(f"{grouped}{decimal}{cents:02}", columns) == pytest.approx(whole + cents / 100)
    assert number_of(f"{whole}{decimal}{cents:02}", columns) == pytest.approx(whole + cents / 100)
    found = number_of(junk, columns)
    if not math.isnan(found):
        plain = junk.replace(thousands, "").replace(decimal, ".")
        assert float(plain) == found


def test_a_mapping_that_fits_no_column_is_refused(tmp_path: Path) -> None:
    """A misspelt header would leave the field out for every carton of the site."""
    columns = Columns(version=1, columns={"gross_kg": "Gross Weight", "origin": "origin"})
    with pytest.raises(ManifestError, match=r"no column for gross_kg \(Gross Weight\) among barcode"):
        collected(write(tmp_path / "m.csv", GOOD), columns)


@pytest.mark.parametrize(
    "change",
    [{"packages": ""}, {"packages": "", "house_bill": ""}, {"weight_kg": "0"}, {"gross_kg": "0"},
     {"description": ""}, {"hs_code": ""}, {"value_usd": ""}, {"origin": ""}, {"quantity": ""}],
)  # fmt: skip
def test_leaving_something_out_is_remarked_on(tmp_path: Path, change: dict[str, str]) -> None:
    """By the shipped rules, so that saying nothing is never better than saying what is wrong."""
    papers = one(tmp_path, {**GOOD, **change})
    assert paper_rules.remarks("B-1", papers, REGIME) != []
    assert papers.packages == 1


def test_rows_that_lost_their_place_mark_every_carton_they_may_mean(tmp_path: Path) -> None:
    """An unquoted comma moves the barcode; a house bill without lines is not just gone."""
    first = ["description", *[field for field in FIELDS if field != "description"]]
    path = tmp_path / "m.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([first, [GOOD[field] for field in first]])
        file.write("knives, forks," + ",".join(GOOD[field] for field in first[1:]) + "\r\n")
    (papers,) = collected(path).papers()
    assert papers.problems == (PaperProblem.BAD_ROW,)
    line = {field: GOOD[field] for field in ("hs_code", "description", "quantity", "weight_kg", "origin")}
    bill = {"carton": 0, "number": "H1", "packages": 7, "lines": [line]}
    for change in ({"lines": []}, {"lines": {}}):
        tree = {"number": "M", "barcodes": ["B-1"], "house_bills": [bill, {**bill, "number": "H2", **change}]}
        (tmp_path / "m.json").write_text(json.dumps([tree]))
        rows = collected(tmp_path / "m.json")
        (papers,) = rows.papers()
        assert papers.problems == (PaperProblem.BAD_ROW,)
        assert rows.count == {PaperProblem.BAD_ROW: 1}
    tree = {"number": "M", "barcodes": ["B-1"], "gross_kg": 12.5, "house_bills": [bill]}
    (tmp_path / "m.json").write_text(json.dumps([tree]))
    (papers,) = collected(tmp_path / "m.json").papers()
    assert papers.problems == (PaperProblem.BAD_ROW,)
    (tmp_path / "m.json").write_text(json.dumps([{**tree, "barcodes": "B-1"}]))
    rows = collected(tmp_path / "m.json")
    assert rows.papers() == []
    assert rows.count[PaperProblem.BAD_ROW] == 3


def of_json(path: Path, tree: Any) -> Collecting:
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return collected(path)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"cartons": 3, "gross_kg": [1, 2, 3], "barcodes": ["B2", "B3"]}, "2 barcodes, and cartons is '3'"),
        ({"cartons": 3, "gross_kg": [2, 3], "barcodes": ["B2", "B3"]}, "2 barcodes, and cartons is '3'"),
        ({"cartons": 2, "gross_kg": [1], "barcodes": ["B2", "B3"]}, "1 gross_kg of 2 barcodes"),
        ({"gross_kg": [], "barcodes": ["B2", "B3"]}, "0 gross_kg of 2 barcodes"),
        ({"gross_kg": [1, 2, 3], "barcodes": ["B2", "B3"]}, "3 gross_kg of 2 barcodes"),
        (
            {"cartons": True, "gross_kg": [1, 2], "barcodes": ["B2", "B3"]},
            "2 barcodes, and cartons is 'a bool'",
        ),
        (
            {"cartons": "two", "gross_kg": [1, 2], "barcodes": ["B2", "B3"]},
            "2 barcodes, and cartons is 'two'",
        ),
        (
            {"cartons": [2], "gross_kg": [1, 2], "barcodes": ["B2", "B3"]},
            "2 barcodes, and cartons is 'a list'",
        ),
    ],
)
def test_lists_of_unequal_length_shift_nothing(tmp_path: Path, lists: dict[str, Any], words: str) -> None:
    """No carton gets the weight or the number of another, and all of them are marked."""
    bill = {"carton": 0, "number": "H1", "packages": 1, "lines": [{"description": "socks"}]}
    bills = [bill, {**bill, "carton": 1, "number": "H2"}]
    rows = of_json(tmp_path / "m.json", [{"number": "M", **lists, "house_bills": bills}])
    assert words in rows.examples[0]
    for papers in rows.papers():
        assert papers.problems == (PaperProblem.BAD_ROW,)
        assert (papers.gross_kg, papers.carton) == (None, None)
    for cartons in (2, 2.0, "2", None):
        tree = {"number": "M", "cartons": cartons, "gross_kg": [1, 2], "barcodes": ["B2", "B3"]}
        rows = of_json(tmp_path / "m.json", [{**tree, "house_bills": bills}])
        assert [(each.gross_kg, each.carton, each.problems) for each in rows.papers()] == [
            (1, 1, ()),
            (2, 2, ()),
        ]


def test_a_number_that_is_no_text_costs_its_row_alone(tmp_path: Path) -> None:
    """Half of a character, in a list that is too short besides: the next master bill is taken, by a store
    too."""
    bill = {"number": "H1", "packages": 1, "lines": [{"description": "socks"}]}
    trees = [
        {"number": "M1", "cartons": 2, "barcodes": ["\ud800"], "house_bills": []},
        {"number": "M2", "cartons": 1, "barcodes": ["B7"], "house_bills": [{**bill, "carton": 0}]},
    ]
    rows = of_json(tmp_path / "m.json", trees)
    assert [papers.barcode for papers in rows.papers()] == ["B7"]
    assert rows.spoilt() == {}


@pytest.mark.parametrize(("field", "theirs"), [("house_bill", "House Bills"), ("barcode", "Barcodes")])
def test_a_flat_line_is_no_master_bill_for_a_name_that_the_columns_file_gives(
    tmp_path: Path, field: Field, theirs: str
) -> None:
    item = {(theirs if name == field else name): value for name, value in GOOD.items()}
    file = tmp_path / "m.json"
    file.write_text(json.dumps([item]))
    columns = Columns(version=1, columns={field: theirs})
    rows = Collecting(REGIME, columns, KEY)
    read_into(file, columns, rows)
    (papers,) = rows.papers()
    assert (papers.barcode, papers.house_bills[0].number, papers.problems) == ("B-1", "H1", ())


def test_true_and_false_are_no_numbers(tmp_path: Path) -> None:
    """Nor are lists: they are named, not taken for one and not dropped."""
    line = {"description": "socks", "quantity": True}
    bill = {"carton": True, "number": "H1", "packages": 1, "lines": [line]}
    tree = {"number": "M", "gross_kg": [1, False], "barcodes": ["B2", "B3"], "house_bills": [bill]}
    first, second = of_json(tmp_path / "m.json", [tree]).papers()
    assert first.house_bills == second.house_bills == ()
    assert (first.problems[0], second.gross_kg) == (PaperProblem.BAD_ROW, None)
    assert {PaperProblem.BAD_NUMBER, PaperProblem.BAD_ROW} <= set(second.problems)
    (tmp_path / "m.json").write_text(json.dumps([{**tree, "house_bills": [{**bill, "carton": 0}]}]))
    assert collected(tmp_path / "m.json").papers()[0].problems == (PaperProblem.BAD_NUMBER,)
    for field in ("carton", "gross_kg", "packages", "quantity", "weight_kg", "value_usd"):
        (papers,) = of_json(tmp_path / "m.json", [{**GOOD, field: True}]).papers()
        assert papers.problems == (PaperProblem.BAD_NUMBER,)
        (papers,) = of_json(tmp_path / "m.json", [{**GOOD, field: [5]}]).papers()
        assert papers.problems == (PaperProblem.BAD_NUMBER,)


def test_a_key_that_stands_twice_in_an_object_is_refused(tmp_path: Path) -> None:
    """The last one had counted."""
    with pytest.raises(
        ManifestError, match=r"m\.json: the object with barcode 'B-1' has the key 'gross_kg' twice"
    ):
        of_json(tmp_path / "m.json", '[{"barcode": "B-1", "gross_kg": 30, "gross_kg": 3}]')
    bills = '"house_bills": [{"carton": 0, "carton": 1, "lines": []}]'
    with pytest.raises(ManifestError, match=r"the object with carton, lines has the key 'carton' twice"):
        of_json(tmp_path / "m.json", '[{"number": "M", "barcodes": ["B-1", "B-2"], ' + bills + "}]")


def test_numbers_of_json_are_what_they_are(tmp_path: Path) -> None:
    """They have a point, whatever the columns file says of texts; and what it names must be there."""
    columns = Columns(version=1, decimal=",", thousands=".", columns={"gross_kg": "Gross"})
    item = {**GOOD, "weight_kg": 11.125, "value_usd": "1.234,50", "Gross": 12.345}
    (tmp_path / "m.json").write_text(json.dumps([item]))
    (papers,) = collected(tmp_path / "m.json", columns).papers()
    assert (papers.net_kg, papers.gross_kg, papers.value_usd) == (11.125, 12.345, 1234.5)
    assert papers.problems == ()
    (tmp_path / "m.json").write_text(json.dumps([GOOD]))
    with pytest.raises(ManifestError, match=r"no line has gross_kg \(Gross\)"):
        collected(tmp_path / "m.json", columns)


def test_papers_that_come_in_two_parts(tmp_path: Path) -> None:
    """A carton announced without its master bill and completed later contradicts nothing; one that is said to
    be under another master bill stays marked."""
    store = ManifestStore(tmp_path / "m.db")
    early = Papers(barcode="B-1", problems=(PaperProblem.NO_LINES,))
    late = one(tmp_path, GOOD)
    assert store.put([early]).new == 1
    assert store.put([late]).amended == 1
    assert store.put([msgspec.structs.replace(late, master_bill="")]).moved == 1
    assert store.put([msgspec.structs.replace(late, master_bill="M-2")]).amended == 1
    store.close()
    reader = ManifestReader(tmp_path / "m.db")
    found = reader.find("B-1")
    reader.close()
    assert found is not None
    assert found.problems == (PaperProblem.LISTED_TWICE,)


def test_a_customers_names_are_mapped(tmp_path: Path) -> None:
    """The shipped example of a columns file is complete: every field of ours has a name of theirs."""
    columns = load(ROOT / "configs" / "manifest-columns.yaml", Columns)
    assert set(columns.columns) == set(FIELDS)
    theirs = {columns.name(field): GOOD[field] for field in FIELDS}
    path = write(tmp_path / "m.csv", theirs, fields=tuple(theirs))
    assert collected(path, columns).papers() == [one(tmp_path, GOOD)]
    (tmp_path / "flat.json").write_text(json.dumps([theirs]))
    assert collected(tmp_path / "flat.json", columns).papers() == [one(tmp_path, GOOD)]


def in_capitals(field: str) -> str:
    return field.replace("_", "-", 1).title()


def test_columns_are_known_in_any_letters(tmp_path: Path) -> None:
    """Case, spaces and hyphens make no difference, in CSV and in JSON of both kinds; nothing is left."""
    for spelt in (str.upper, str.title, in_capitals, lambda field: f" {field.replace('_', ' ')} "):
        theirs = {spelt(field): GOOD[field] for field in FIELDS}
        rows = collected(write(tmp_path / "m.csv", theirs, fields=tuple(theirs)))
        assert rows.papers() == [one(tmp_path, GOOD)]
        (tmp_path / "m.json").write_text(json.dumps([theirs]))
        assert collected(tmp_path / "m.json").papers() == rows.papers()
        assert list(rows.unused) == []
    line = {"Description": "socks", "Weight KG": 2}
    bill = {"Carton": 0, "Number": "H1", "LINES": [line]}
    tree = {"Number": "M-1", "BARCODES": ["B-1"], "Gross-kg": [30], "House Bills": [bill]}
    (tmp_path / "m.json").write_text(json.dumps([tree]))
    rows = collected(tmp_path / "m.json")
    (papers,) = rows.papers()
    assert (papers.master_bill, papers.gross_kg, papers.net_kg) == ("M-1", 30.0, 2.0)
    assert (papers.problems, list(rows.unused)) == ((), [])


def test_columns_that_are_used_for_nothing_are_told_once(tmp_path: Path) -> None:
    """Whatever is not read of a file is named: a column of ours that the columns file has elsewhere, too."""
    theirs = {**GOOD, "Gros_KG": "30", "": "x"}
    path = write(tmp_path / "m.csv", theirs, {**theirs, "description": "socks"}, fields=tuple(theirs))
    assert imported(path, tmp_path / "m.db").unused == ["Gros_KG", "column 16 (no name)"]
    done = CliRunner().invoke(app, ["import", str(path), "--store", str(tmp_path / "m.db")])
    assert "used for nothing: Gros_KG, column 16 (no name)\n" in done.output
    mapped = Columns(version=1, columns={"gross_kg": "Gros_KG"})
    rows = collected(path, mapped)
    assert list(rows.unused) == ["gross_kg", "column 16 (no name)"]
    assert rows.papers()[0].gross_kg == 30.0
    bill = {"carton": 0, "Nr": "H1", "lines": [{"description": "socks", "note": "x"}]}
    trees = [
        GOOD,
        {**GOOD, "Kilos": 3},
        {"number": "M", "barcodes": ["B"], "date": "x", "house_bills": [bill]},
    ]
    (tmp_path / "m.json").write_text(json.dumps(trees))
    assert list(collected(tmp_path / "m.json").unused) == ["Kilos", "date", "house_bills.Nr", "lines.note"]


def test_two_columns_for_one_field_are_refused(tmp_path: Path) -> None:
    """Nobody can tell which of them counts, unless the columns file says."""
    theirs = {**GOOD, "Gross-KG": "30"}
    both = "'gross_kg' and 'Gross-KG' are both gross_kg"
    path = write(tmp_path / "m.csv", theirs, fields=tuple(theirs))
    with pytest.raises(ManifestError, match=both):
        collected(path)
    mapped = Columns(version=1, columns={"gross_kg": "Gross-KG"})
    assert collected(path, mapped).papers()[0].gross_kg == 30.0
    (tmp_path / "m.json").write_text(json.dumps([GOOD, theirs]))
    with pytest.raises(ManifestError, match=f"item 2: {both}"):
        collected(tmp_path / "m.json")
    tree = {"barcodes": ["B-1"], "gross_kg": [1], "Gross-KG": [30], "house_bills": []}
    (tmp_path / "m.json").write_text(json.dumps([tree]))
    with pytest.raises(ManifestError, match=f"item 1: {both}"):
        collected(tmp_path / "m.json")


def test_contradictions_between_rows(tmp_path: Path) -> None:
    """A carton under two master bills, twice the same row, two gross weights, two cartons of one number."""
    other = {**GOOD, "description": "socks"}
    assert one(tmp_path, GOOD, {**other, "master_bill": "M-2"}).problems == (PaperProblem.LISTED_TWICE,)
    assert one(tmp_path, GOOD, GOOD).problems == (PaperProblem.LISTED_TWICE,)
    assert one(tmp_path, GOOD, {**other, "gross_kg": "9"}).problems == (PaperProblem.CONTRADICTION,)
    assert one(tmp_path, GOOD, {**other, "packages": "9"}).problems == (PaperProblem.CONTRADICTION,)
    both = collected(write(tmp_path / "m.csv", GOOD, {**GOOD, "barcode": "B-2"})).papers()
    assert [papers.problems for papers in both] == [(PaperProblem.CONTRADICTION,)] * 2


def test_rows_that_nothing_can_be_made_of(tmp_path: Path) -> None:
    """They are counted; the carton they name, wherever in the file it stands, is marked."""
    path = write(tmp_path / "m.csv", {**GOOD, "barcode": " "}, {**GOOD, "barcode": "x" * 65})
    text = path.read_text() + "B-1,M-1,1\r\n"
    write(path, GOOD)
    path.write_text(text + path.read_text().split("\n", 1)[1])
    rows = collected(path)
    (papers,) = rows.papers()
    assert papers.problems == (PaperProblem.BAD_ROW,)
    assert rows.count == {PaperProblem.NO_BARCODE: 1, PaperProblem.BAD_BARCODE: 1, PaperProblem.BAD_ROW: 1}


def test_rows_without_a_barcode_are_told_with_their_line(tmp_path: Path) -> None:
    """Merged cells of a spreadsheet: the lines of a carton are left out, and whoever imports hears where they
    stand, though other problems came first."""
    bad = [{**GOOD, "description": f"two\nlines {k}", "quantity": "x"} for k in range(30)]
    path = write(tmp_path / "m.csv", *bad, {**GOOD, "barcode": ""}, {**GOOD, "barcode": " "})
    summary = imported(path, tmp_path / "m.db")
    assert summary.nameless == ["m.csv row 31 (line 62)", "m.csv row 32 (line 63)"]
    assert summary.problems[PaperProblem.NO_BARCODE] == 2
    assert not [example for example in summary.examples if "NO_BARCODE" in example]
    done = CliRunner().invoke(app, ["import", str(path), "--store", str(tmp_path / "m.db")])
    assert "left out, without a barcode: m.csv row 31 (line 62), m.csv row 32 (line 63)\n" in done.output
    write(path, GOOD, *[{**GOOD, "barcode": ""}] * 1_500)
    assert len(imported(path, tmp_path / "m.db").nameless) == 1_000
    done = CliRunner().invoke(app, ["import", str(path), "--store", str(tmp_path / "m.db")])
    assert "m.csv row 21 (line 22) and 1480 more (--json)\n" in done.output


def test_a_carton_that_is_only_announced(tmp_path: Path) -> None:
    """Its papers say that they say nothing."""
    assert one(tmp_path, {"barcode": "B-1", "master_bill": "M"}).problems == (PaperProblem.NO_LINES,)


@pytest.mark.timeout(60)  # it had taken hours
def test_a_million_digits_that_are_no_number(tmp_path: Path) -> None:
    """Nobody waits for them."""
    papers = one(tmp_path, {**GOOD, "quantity": "1" * 1_000_000 + "x", "gross_kg": "9" * 5_000})
    assert papers.problems == (PaperProblem.BAD_NUMBER,)
    assert (papers.pieces, papers.gross_kg) == (None, None)


@pytest.mark.parametrize("header", ["bar\x1b[2Jcode,x\x9b", "barcode,\x1b]0;a\x07,\x1b]0;a\x07"])
def test_a_header_writes_nothing_to_the_terminal_but_words(tmp_path: Path, header: str) -> None:
    """An error that names columns names them without what does not print."""
    path = tmp_path / "m.csv"
    path.write_text(f"{header}\nB,1,2\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        collected(path)
    assert str(caught.value).isprintable()


def test_ten_thousand_house_bills_in_one_carton(tmp_path: Path) -> None:
    """They are all kept; beyond the limit the rest is left out and the papers say so."""
    many = [{**GOOD, "house_bill": f"H{k}"} for k in range(10_000)]
    papers = one(tmp_path, *many)
    assert len(papers.house_bills) == papers.packages == 10_000
    assert papers.problems == ()
    store = ManifestStore(tmp_path / "m.db")
    store.put([papers])
    store.close()
    reader = ManifestReader(tmp_path / "m.db")
    assert reader.find("B-1") == papers
    reader.close()
    more = [{**GOOD, "house_bill": f"H{k}"} for k in range(MAX_LINES + 5)]
    papers = one(tmp_path, *more)
    assert papers.problems == (PaperProblem.TOO_MANY,)
    assert len(papers.lines) == MAX_LINES


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.csv", b"", "is empty"),
        ("m.csv", b"a,b\n1,2\n", "barcode"),
        ("m.csv", b"barcode,barcode\n1,2\n", "twice"),
        ("m.csv", b"barcode\n\xff\xfe\n", "byte 8"),
        ("m.csv", b'barcode\n"' + b"x" * 2_000_000, "field"),
        ("m.csv", b'barcode\na\n"x"y"\n', "line 3: not CSV"),
        ("m.csv", b"a," * 30_000 + b"\n", "30001 columns"),
        ("m.json", b"[" + b"9" * 5_000 + b"]", "not JSON"),
        ("m.json", b"{", "not JSON"),
        ("m.json", b"[" * 100_000, "not JSON"),
        ("m.json", b"3", "int"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_files_that_are_no_manifests(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    """One sentence says what is wrong."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ManifestError, match=words):
        collected(tmp_path / name)


def test_hostile_json(tmp_path: Path) -> None:
    """What is no object, or points at no carton, is counted, and every carton that it may mean is marked."""
    tree: list[Any] = [
        3,
        {"number": "M", "barcodes": ["B-1", None, "B-2"], "gross_kg": "x",
         "house_bills": [None, {"carton": 7}, {"carton": True, "lines": 5}, {"carton": 0, "lines": [1, {}]}]},
    ]  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(tree))
    rows = collected(tmp_path / "m.json")
    assert {papers.barcode for papers in rows.papers()} == {"B-1", "B-2"}
    assert all(PaperProblem.BAD_ROW in papers.problems for papers in rows.papers())
    assert rows.count[PaperProblem.BAD_ROW] >= 4
    assert rows.count[PaperProblem.NO_BARCODE] == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".json"]))
def test_any_bytes_are_papers_or_a_manifest_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    """Nothing else comes out of a file."""
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"barcode,description,quantity\n" * (suffix == ".csv") + data)
    try:
        rows = collected(path)
    except ManifestError:
        return
    for papers in rows.papers():
        assert papers.barcode


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.fixed_dictionaries(
        {
            field: st.text(max_size=30) | st.sampled_from(["-1", "1e5", "=1", "7", "", "610910"])
            for field in FIELDS
        }
    )
)
def test_no_field_can_make_more_than_was_declared(tmp_path: Path, values: dict[str, str]) -> None:
    """Numbers are finite and not negative, whatever stands in the fields."""
    path = tmp_path / "m.json"
    path.write_text(json.dumps([{**values, "barcode": "B"}]))
    (papers,) = collected(path).papers()
    for line in papers.lines:
        assert line.quantity is None or line.quantity >= 1
        assert line.weight_kg is None or 0 <= line.weight_kg < 1e10
        assert line.hs_code == "" or REGIME.knows(line.hs_code)


# ---- the store


def imported(path: Path, store: Path) -> Summary:
    return import_file(path, store, None, None, None)


def test_imports_again_amend_and_moving_between_master_bills_is_marked(tmp_path: Path) -> None:
    """The same is the same, a correction replaces, and a carton under a second master bill stays marked."""
    path, store = tmp_path / "m.csv", tmp_path / "var" / "m.db"
    assert imported(write(path, GOOD), store).new == 1
    assert imported(path, store).same == 1
    assert imported(write(path, {**GOOD, "quantity": "21"}), store).amended == 1
    assert imported(write(path, {**GOOD, "master_bill": "M-2"}), store).moved == 1
    assert imported(write(path, {**GOOD, "master_bill": "M-2", "quantity": "9"}), store).amended == 1
    reader = ManifestReader(store)
    papers = reader.find("B-1")
    assert papers is not None
    assert papers.problems == (PaperProblem.LISTED_TWICE,)
    assert papers.pieces == 9
    assert reader.find("B-2") is None
    assert reader.counts() == (1, 1)
    reader.close()
    assert stat.S_IMODE(os.stat(store.parent / "names.key").st_mode) == 0o600


def marked(store: Path) -> bool:
    reader = ManifestReader(store)
    papers = reader.find("B-1")
    reader.close()
    assert papers is not None
    assert not papers.repeated or PaperProblem.LISTED_TWICE in papers.problems
    return PaperProblem.LISTED_TWICE in papers.problems


def test_a_corrected_file_takes_back_a_row_that_stood_twice(tmp_path: Path) -> None:
    """Under the same master bill it replaces all that was said; the same again changes nothing."""
    path, store = tmp_path / "m.csv", tmp_path / "m.db"
    imported(write(path, GOOD, GOOD), store)
    assert marked(store)
    assert imported(path, store).same == 1
    assert imported(write(path, GOOD), store).amended == 1
    assert not marked(store)
    imported(write(path, GOOD, GOOD), store)
    assert marked(store)


@pytest.mark.parametrize("first", ["M-1", "M-2", ""])
def test_no_file_takes_back_that_two_master_bills_list_a_carton(tmp_path: Path, first: str) -> None:
    """Neither of the two, however often it is sent, alone or with a row twice, before or after."""
    path, store = tmp_path / "m.csv", tmp_path / "m.db"
    mine, other = GOOD, {**GOOD, "master_bill": "M-2", "house_bill": "H9"}
    clean, twice, both = [mine], [mine, mine], [mine, other]
    for number, start in enumerate(([twice, [other]], [clean, [other, other]], [both], [[mine, *both]])):
        store = tmp_path / f"{number}.db"
        for rows in start:
            imported(write(path, *rows), store)
        for rows in (clean, [{**mine, "master_bill": first}], twice, clean, [other], [other, other], [other]):
            imported(write(path, *rows), store)
            assert marked(store)


def test_a_mark_of_a_store_from_before_stays(tmp_path: Path) -> None:
    """It does not say whether two master bills listed the carton."""
    store = tmp_path / "m.db"
    writer = ManifestStore(store)
    writer.put([Papers(barcode="B-1", master_bill="M-1", problems=(PaperProblem.LISTED_TWICE,))])
    writer.close()
    imported(write(tmp_path / "m.csv", GOOD), store)
    assert marked(store)


def test_the_daemon_reads_while_an_import_writes(tmp_path: Path) -> None:
    """A reader that is open sees all of an import or nothing of it, and is never refused."""
    store = tmp_path / "m.db"
    writer = ManifestStore(store)
    writer.put([Papers(barcode=f"B{k}", gross_kg=0.0) for k in range(50)])
    reader = ManifestReader(store)
    done = threading.Event()
    wrong: list[str] = []

    def look() -> None:
        own = ManifestReader(store)
        while not done.is_set():
            first, last = own.find("B0"), own.find("B49")
            if first is None or last is None or (last.gross_kg or 0) < (first.gross_kg or 0):
                wrong.append(f"{first} {last}")
        own.close()

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(1, 20):
        writer.put([Papers(barcode=f"B{k}", gross_kg=float(turn)) for k in range(50)])
    done.set()
    thread.join()
    assert not wrong
    found = reader.find("B7")
    assert found is not None
    assert found.gross_kg == 19.0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM cartons")
    reader.close()
    writer.close()


def test_one_reader_serves_several_threads(tmp_path: Path) -> None:
    """The inference process prepares one job while it looks at another: both look up papers."""
    store = ManifestStore(tmp_path / "m.db")
    store.put([Papers(barcode=f"B{k}") for k in range(20)])
    store.close()
    reader = ManifestReader(tmp_path / "m.db")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda k: reader.find(f"B{k % 20}"), range(300)))
    assert [papers.barcode for papers in found if papers is not None] == [f"B{k % 20}" for k in range(300)]
    reader.close()


def test_files_that_are_no_store(tmp_path: Path) -> None:
    """A store that is missing, something else, or damaged is refused by name."""
    with pytest.raises(ManifestError, match="nii-edge manifest import"):
        ManifestReader(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("no database " * 200)
    with pytest.raises(ManifestError, match=r"text\.db"):
        ManifestReader(tmp_path / "text.db")
    with pytest.raises(ManifestError, match=r"text\.db"):
        ManifestStore(tmp_path / "text.db")
    store = ManifestStore(tmp_path / "m.db")
    store.put([Papers(barcode="B")])
    store.close()
    connection = sqlite3.connect(tmp_path / "m.db")
    connection.execute("UPDATE cartons SET papers = x'ff00'")
    connection.commit()
    connection.close()
    reader = ManifestReader(tmp_path / "m.db")
    with pytest.raises(ManifestError, match="damaged"):
        reader.find("B")
    reader.close()


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """Names are never hashed with half a key."""
    path = write(tmp_path / "m.csv", GOOD)
    for text in ("", "00", "zz"):
        (tmp_path / "names.key").write_text(text)
        with pytest.raises(ManifestError, match=r"names\.key"):
            imported(path, tmp_path / "m.db")


# ---- numbers, and what comes from a collector


def numbered(store: Path, after: int = 0, limit: int = 100, most: int = 1 << 20) -> list[tuple[int, str]]:
    reader = ManifestReader(store)
    rows = reader.after(after, limit, most)
    assert reader.end().number >= max([after, *(row.number for row in rows)])
    reader.close()
    return [(row.number, row.barcode) for row in rows]


def testnumber_ofs_rise_with_every_change_and_with_nothing_else(tmp_path: Path) -> None:
    """What is amended comes again after all others; what is the same keeps its number."""
    store = tmp_path / "m.db"
    writer = ManifestStore(store)
    writer.put([Papers(barcode=name) for name in ("A", "B", "C")])
    assert numbered(store) == [(1, "A"), (2, "B"), (3, "C")]
    writer.put([Papers(barcode="C", carton=1), Papers(barcode="A"), Papers(barcode="B", carton=2)])
    assert numbered(store) == [(1, "A"), (4, "C"), (5, "B")]
    writer.put([Papers(barcode="B", carton=3)])
    assert numbered(store, after=4) == [(6, "B")]
    assert numbered(store, after=6) == []
    writer.close()


def test_an_import_that_is_repeated_changes_no_marked_carton(tmp_path: Path) -> None:
    """A carton of two master bills is marked once; the same papers again are the same."""
    writer = ManifestStore(tmp_path / "m.db")
    writer.put([Papers(barcode="B", master_bill="M-1")])
    again = [Papers(barcode="B", master_bill="M-2")]
    assert writer.put(again).moved == 1
    assert writer.put(again).same == 1
    assert numbered(tmp_path / "m.db") == [(2, "B")]
    writer.close()


def test_a_look_after_anumber_of_is_bounded(tmp_path: Path) -> None:
    """In cartons and in bytes, but there is always one to go on with."""
    writer = ManifestStore(tmp_path / "m.db")
    writer.put([Papers(barcode=f"B{k}", master_bill="M" * 60) for k in range(10)])
    writer.close()
    reader = ManifestReader(tmp_path / "m.db")
    size = len(reader.after(0, 1, 1)[0].papers)
    reader.close()
    assert [number for number, _ in numbered(tmp_path / "m.db", 3, 2)] == [4, 5]
    assert [number for number, _ in numbered(tmp_path / "m.db", 3, 9, 3 * size)] == [4, 5, 6]
    assert [number for number, _ in numbered(tmp_path / "m.db", 3, 9, 1)] == [4]


def test_a_place_is_kept_with_its_papers_or_not_at_all(tmp_path: Path) -> None:
    """A page that cannot be stored leaves neither papers nor place."""
    path = tmp_path / "m.db"
    writer = ManifestStore(path)
    assert writer.place() is None
    assert writer.take([Papers(barcode="A")], Place("ab" * 16, 7)).new == 1
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON cartons WHEN NEW.barcode = 'C' "
            "BEGIN SELECT RAISE(ABORT, 'the disk says no'); END"
        )
    with pytest.raises(ManifestError, match="the disk says no"):
        writer.take([Papers(barcode="B"), Papers(barcode="C")], Place("ab" * 16, 9))
    writer.close()
    again = ManifestStore(path)
    assert again.place() == Place("ab" * 16, 7)
    again.close()
    assert [barcode for _, barcode in numbered(path)] == ["A"]


def test_a_collector_fills_a_store_only_so_far(tmp_path: Path) -> None:
    """Beyond its size nothing is taken; an import of one's own still is."""
    writer = ManifestStore(tmp_path / "m.db", max_bytes=100_000)

    def fill(writer: ManifestStore) -> None:
        for turn in range(50):
            many = [Papers(barcode=f"B{turn}-{k}", master_bill="M" * 64) for k in range(50)]
            writer.take(many, Place("ab" * 16, turn))

    with pytest.raises(ManifestError, match="move it aside"):
        fill(writer)
    assert 0 < len(numbered(tmp_path / "m.db", limit=9_999)) < 2_500
    assert writer.put([Papers(barcode="own")]).new == 1
    writer.close()


def test_a_store_of_the_first_schema_is_looked_up_and_brought_up_to_date(tmp_path: Path) -> None:
    """The daemon that only reads takes it as it is; the first import gives its cartons numbers."""
    path = tmp_path / "m.db"
    old = sqlite3.connect(path)
    old.executescript(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
        "INSERT INTO meta VALUES ('purpose', 'manifests'), ('schema', '1');"
        "CREATE TABLE cartons (barcode TEXT PRIMARY KEY, master TEXT NOT NULL, papers BLOB NOT NULL);"
        "CREATE INDEX cartons_by_master ON cartons (master);"
    )
    every = [Papers(barcode=f"B{k}", master_bill="M") for k in range(3)]
    rows = [(papers.barcode, "M", msgspec.msgpack.encode(papers)) for papers in every]
    with old:
        old.executemany("INSERT INTO cartons VALUES (?, ?, ?)", rows)
    old.close()
    reader = ManifestReader(path)
    assert reader.find("B1") == every[1]
    writer = ManifestStore(path)
    assert writer.put([*every, Papers(barcode="B9")])[:3] == (1, 0, 3)
    assert numbered(path) == [(1, "B0"), (2, "B1"), (3, "B2"), (4, "B9")]
    assert reader.find("B9") == Papers(barcode="B9")
    reader.close()
    writer.close()


def test_every_store_has_an_id_of_its_own(tmp_path: Path) -> None:
    """So that an edge knows when it is another one."""
    ids = set()
    for name in ("a.db", "b.db"):
        ManifestStore(tmp_path / name).close()
        for _ in range(2):
            reader = ManifestReader(tmp_path / name)
            ids.add(reader.end().store)
            reader.close()
    assert len(ids) == 2
    assert all(len(each) == 32 for each in ids)


def test_damaged_papers_are_replaced_by_an_import(tmp_path: Path) -> None:
    """What cannot be read any more stands in nobody's way."""
    path = tmp_path / "m.db"
    writer = ManifestStore(path)
    writer.put([Papers(barcode="B", master_bill="M")])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE cartons SET papers = x'ff00'")
    connection.close()
    assert writer.put([Papers(barcode="B", master_bill="M", carton=2)]).amended == 1
    writer.close()
    reader = ManifestReader(path)
    assert reader.find("B") == Papers(barcode="B", master_bill="M", carton=2)
    reader.close()


def test_a_correction_that_cannot_be_read_marks_what_the_store_has(tmp_path: Path) -> None:
    """What it was to put right does not stay in force without a word, and edges hear of it; the next file
    that can be read takes the mark back. Cartons that the row cannot mean stay as they are."""
    db, file = tmp_path / "m.db", tmp_path / "m.csv"
    imported(write(file, GOOD, {**GOOD, "barcode": "B-2", "carton": "2"}), db)
    with closing(ManifestReader(db)) as reader:
        before, end = reader.find("B-2"), reader.end()
    torn = write(tmp_path / "torn.csv", {**GOOD, "barcode": "B-3", "carton": "3"})
    torn.write_text(torn.read_text() + ",".join(["B-1", *list(GOOD.values())[1:], "one more"]) + "\n")
    summary = imported(torn, db)
    assert (summary.cartons, summary.new, summary.marked) == (1, 1, 1)
    assert imported(torn, db).marked == 1
    with closing(ManifestReader(db)) as reader:
        marked = reader.find("B-1")
        assert marked is not None
        assert marked.problems == (PaperProblem.BAD_ROW,)
        assert marked.lines != ()
        assert reader.find("B-2") == before
        assert [row.barcode for row in reader.after(end.number, 9, 1 << 20)] == ["B-1", "B-3"]
    imported(file, db)
    with closing(ManifestReader(db)) as reader:
        again = reader.find("B-1")
    assert again is not None
    assert again.problems == ()


def test_a_row_that_says_no_more_than_a_barcode_moves_no_carton(tmp_path: Path) -> None:
    """It replaces what was declared by nothing, which speaks against the carton, until its papers come again:
    no second master bill lists it."""
    store = tmp_path / "m.db"
    full, bare = write(tmp_path / "a.csv", GOOD), tmp_path / "b.csv"
    write(bare, {"barcode": GOOD["barcode"]})
    imported(full, store)
    imported(bare, store)
    with closing(ManifestReader(store)) as reader:
        papers = reader.find(GOOD["barcode"])
    assert papers is not None
    assert (papers.master_bill, papers.problems) == (GOOD["master_bill"], (PaperProblem.NO_LINES,))
    imported(full, store)
    with closing(ManifestReader(store)) as reader:
        papers = reader.find(GOOD["barcode"])
    assert papers is not None
    assert papers.lines
    assert not papers.problems


def test_a_barcode_with_a_byte_of_nothing_is_none(tmp_path: Path) -> None:
    """What stands for it in the file's text is not what a scanner would read."""
    path = write(tmp_path / "m.csv", {**GOOD, "barcode": "B\x002"})
    assert path.read_bytes().count(b"\x00") == 1
    rows = collected(path)
    assert rows.papers() == []
    assert rows.count == {PaperProblem.BAD_BARCODE: 1}

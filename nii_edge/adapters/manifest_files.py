"""Customers' manifests, CSV or JSON, as rows. One row is one line of a house bill.

JSON is a list: of flat objects with our fields (or the names that `Columns` gives them), or of master bills
as `nii-edge simulate` writes them: ``number``, ``gross_kg`` and ``barcodes`` by carton, ``house_bills``
with ``carton`` (from 0), ``number``, ``packages``, ``shipper``, ``consignee`` and ``lines``.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nii_edge.adapters.manifest_rows import Collecting, Row
from nii_edge.errors import ManifestError
from nii_edge.papers import PaperProblem
from nii_edge.regime import FIELDS, Columns, Field

MAX_FILE_BYTES = 1 << 30
"""The largest manifest that is read."""
MAX_FIELD = 1 << 20
"""Characters of one CSV field; a longer one ends the import, as the file is no manifest."""
MAX_COLUMNS = 1_000


def read_into(path: Path, columns: Columns, rows: Collecting) -> None:
    """Give every row of a file to `rows`.

    Raises:
        ManifestError: the file cannot be read at all: names the place and what to do.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error
    if size > MAX_FILE_BYTES:
        raise ManifestError(f"{path}: {size} bytes; at most {MAX_FILE_BYTES}: split it by master bill")
    try:
        if path.suffix.lower() == ".json":
            _read_json(path, columns, rows)
        else:
            _read_csv(path, columns, rows)
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path}: not {error.encoding} at byte {error.start}; say its `encoding` in a --columns file"
        ) from error
    except (LookupError, UnicodeError) as error:
        raise ManifestError(f"{path}: encoding {columns.encoding!r} is none that can be read") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error


def _read_csv(path: Path, columns: Columns, rows: Collecting) -> None:
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        with path.open(encoding=columns.encoding, newline="") as file:
            reader = csv.reader(_without_nul(file), delimiter=columns.delimiter, strict=True)
            try:
                _read_rows(path, reader, columns, rows)
            except csv.Error as error:
                told = f"not CSV with {columns.delimiter!r} between fields"
                raise ManifestError(f"{path}: line {reader.line_num}: {told}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _without_nul(lines: Iterator[str]) -> Iterator[str]:
    return (line.replace("\0", "\ufffd") for line in lines)


def _read_rows(path: Path, reader: Any, columns: Columns, rows: Collecting) -> None:
    header = next(reader, None)
    if header is None:
        raise ManifestError(f"{path}: is empty; expected a header and rows")
    names = [name.strip() for name in header]
    place = _places(path, names, columns)
    for number in itertools.count(1):
        values = next(reader, None)
        if values is None:
            return
        if not values:
            continue
        where = f"{path.name} row {number}"
        if len(values) != len(names):
            rows.complain(where, PaperProblem.BAD_ROW, f"{len(values)} fields; the header has {len(names)}")
            for value in values:  # fields may have moved: any of them may be the barcode
                rows.spoil(value, PaperProblem.BAD_ROW)
            continue
        rows.add(Row(where, {field: values[index] for field, index in place.items()}))


def _places(path: Path, names: list[str], columns: Columns) -> dict[Field, int]:
    """Where each of our fields stands. Raises ManifestError."""
    if len(names) > MAX_COLUMNS:
        told = f"is {columns.delimiter!r} what stands between fields?"
        raise ManifestError(f"{path}: {len(names)} columns, at most {MAX_COLUMNS}: {told}")
    twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twice:
        raise ManifestError(f"{path}: the header names {', '.join(twice)} twice")
    place = {field: names.index(columns.name(field)) for field in FIELDS if columns.name(field) in names}
    there = ", ".join(names)[:300]
    if "barcode" not in place:
        raise ManifestError(
            f"{path}: no column {columns.name('barcode')!r} among {there}; say in a --columns file which one "
            "is the barcode"
        )
    absent = [f"{field} ({theirs})" for field, theirs in columns.columns.items() if field not in place]
    if absent:
        raise ManifestError(
            f"{path}: no column for {', '.join(absent)} among {there}; what the --columns file names must be "
            "there: correct its name, or leave the field out"
        )
    return place


def _read_json(path: Path, columns: Columns, rows: Collecting) -> None:
    try:
        tree = json.loads(path.read_text(encoding=columns.encoding), parse_constant=str)
    except UnicodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not JSON: {error}") from error
    if isinstance(tree, dict):
        tree = [tree]
    if not isinstance(tree, list):
        raise ManifestError(f"{path}: a {type(tree).__name__}; expected a list of master bills or of lines")
    add_items(path.name, tree, columns, rows)


def add_items(name: str, items: list[Any], columns: Columns, rows: Collecting) -> None:
    """Give every row of the items of a JSON list to `rows`; `name` is the file's, for people.

    Raises:
        ManifestError: lines are given, and what the columns file names is in none of them.
    """
    flat = 0
    missing = dict(columns.columns)
    for number, item in enumerate(items, 1):
        where = f"{name} item {number}"
        if not isinstance(item, dict):
            rows.complain(where, PaperProblem.BAD_ROW, f"a {type(item).__name__}; expected an object")
        elif "house_bills" in item or "barcodes" in item:
            for row in _of_master(where, item, columns, rows):
                rows.add(row)
        else:
            flat += 1
            missing = {field: theirs for field, theirs in missing.items() if theirs not in item}
            rows.add(Row(where, {field: _text(item.get(columns.name(field)), columns) for field in FIELDS}))
    if flat and missing:
        absent = ", ".join(f"{field} ({theirs})" for field, theirs in missing.items())
        raise ManifestError(
            f"{name}: no line has {absent}; what the --columns file names must be there: correct its name, "
            "or leave the field out"
        )


def _of_master(where: str, tree: dict[str, Any], columns: Columns, rows: Collecting) -> Iterator[Row]:
    """The rows of one master bill: one that announces each carton, then one for each line."""
    _check_lists(where, tree, columns, rows)
    barcodes, gross = _list(tree.get("barcodes")), _list(tree.get("gross_kg"))
    master = _text(tree.get("number"), columns)
    about: list[dict[Field, str]] = []
    for index, barcode in enumerate(barcodes):
        kilos = _text(gross[index], columns) if index < len(gross) else ""
        about.append(
            {
                "barcode": _text(barcode, columns),
                "master_bill": master,
                "carton": str(index + 1),
                "gross_kg": kilos,
            }
        )
        yield Row(f"{where} carton {index + 1}", about[-1])
    for index, bill in enumerate(_list(tree.get("house_bills")), 1):
        place = f"{where} house bill {index}"
        carton = bill.get("carton") if isinstance(bill, dict) else None
        if not isinstance(carton, int) or not 0 <= carton < len(about):
            rows.complain(place, PaperProblem.BAD_ROW, f"carton {carton!r}; expected 0 to {len(about) - 1}")
            for each in about:  # it may be any of them
                rows.spoil(each["barcode"], PaperProblem.BAD_ROW)
            continue
        own: dict[Field, str] = {
            **about[carton],
            "house_bill": _text(bill.get("number"), columns),
            "packages": _text(bill.get("packages"), columns),
            "shipper": _text(bill.get("shipper"), columns),
            "consignee": _text(bill.get("consignee"), columns),
        }
        if not _list(bill.get("lines")):
            rows.complain(place, PaperProblem.BAD_ROW, "no lines; expected a list of what is in it")
            rows.spoil(own["barcode"], PaperProblem.BAD_ROW)
        for k, line in enumerate(_list(bill.get("lines")), 1):
            if not isinstance(line, dict):
                rows.complain(f"{place} line {k}", PaperProblem.BAD_ROW, "expected an object")
                rows.spoil(own["barcode"], PaperProblem.BAD_ROW)
                continue
            told = {name: _text(line.get(name), columns) for name in _LINE_FIELDS}
            yield Row(f"{place} line {k}", {**own, **told})


def _check_lists(where: str, tree: dict[str, Any], columns: Columns, rows: Collecting) -> None:
    """What must be lists: all that is in something else would be gone without a word."""
    for name in ("barcodes", "gross_kg", "house_bills"):
        if not isinstance(tree.get(name, []), list):
            kind = type(tree[name]).__name__
            rows.complain(where, PaperProblem.BAD_ROW, f"{name} is a {kind}; expected a list")
            for barcode in _list(tree.get("barcodes")):
                rows.spoil(_text(barcode, columns), PaperProblem.BAD_ROW)


_LINE_FIELDS: tuple[Field, ...] = (
    "hs_code", "description", "quantity", "weight_kg", "value_usd", "origin",
)  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, columns: Columns) -> str:
    """A JSON value as a CSV field would have it; what is neither text nor number is not declared. JSON's
    numbers have a point; only its texts are written as the columns file says."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict)):
        return ""
    return value if isinstance(value, str) else repr(value).replace(".", columns.decimal)

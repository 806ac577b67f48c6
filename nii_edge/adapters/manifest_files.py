"""Customers' manifests, CSV or JSON, as rows. One row is one line of a house bill.

JSON is a list: of flat objects with our fields (or the names that `Columns` gives them), or of master bills
as `nii-edge simulate` writes them: ``number``, ``gross_kg`` and ``barcodes`` by carton, ``house_bills``
with ``carton`` (from 0), ``number``, ``packages``, ``shipper``, ``consignee`` and ``lines``.

Our names are known in any case, with spaces or hyphens for underscores, unless the columns file maps them.
What is used for nothing is told, so that nothing is dropped without a word.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from nii_edge.adapters.manifest_rows import Collecting, Row, cleaned, number_of
from nii_edge.errors import ManifestError
from nii_edge.papers import PaperProblem
from nii_edge.regime import FIELDS, Columns, Field

MAX_FILE_BYTES = 1 << 30
"""The largest manifest that is read."""
MAX_FIELD = 1 << 20
"""Characters of one CSV field; a longer one ends the import, as the file is no manifest."""
MAX_COLUMNS = 1_000

Name = TypeVar("Name", bound=str)


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
    place = _places(path, names, columns, rows)
    for number in itertools.count(1):
        line = reader.line_num + 1
        values = next(reader, None)
        if values is None:
            return
        if not values:
            continue
        where = f"{path.name} row {number} (line {line})"
        if len(values) != len(names):
            rows.complain(where, PaperProblem.BAD_ROW, f"{len(values)} fields; the header has {len(names)}")
            for value in values:  # fields may have moved: any of them may be the barcode
                rows.spoil(value, PaperProblem.BAD_ROW)
            continue
        rows.add(Row(where, {field: values[index] for field, index in place.items()}))


def _places(path: Path, names: list[str], columns: Columns, rows: Collecting) -> dict[Field, int]:
    """Where each of our fields stands. Raises ManifestError."""
    if len(names) > MAX_COLUMNS:
        told = f"is {columns.delimiter!r} what stands between fields?"
        raise ManifestError(f"{path}: {len(names)} columns, at most {MAX_COLUMNS}: {told}")
    twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twice:
        raise ManifestError(f"{path}: the header names {cleaned(', '.join(twice))[:300]} twice")
    named = [name or f"column {number} (no name)" for number, name in enumerate(names, 1)]
    found = _match(str(path), named, FIELDS, columns.columns, rows)
    place = {field: named.index(theirs) for field, theirs in found.items()}
    there = cleaned(", ".join(names))[:300]
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


def _match(
    where: str,
    names: Collection[str],
    ours: tuple[Name, ...],
    mapped: Mapping[Name, str],
    rows: Collecting,
    inside: str = "",
) -> dict[Name, str]:
    """Our names that are there, with what the file calls them; what is used for nothing is told to `rows`.

    Raises:
        ManifestError: two of the file's names are the same one of ours.
    """
    plain: dict[str, Name] = {name: name for name in ours if name not in mapped}
    used = set(mapped.values())
    found = {our: theirs for our, theirs in mapped.items() if theirs in names}
    for name in names:
        our = plain.get(_tidy(name))
        if our is None:
            if name not in used:
                rows.ignore(inside + name)
            continue
        if our in found:
            raise ManifestError(
                f"{where}: {found[our]!r} and {name!r} are both {inside}{our}; expected one: take one out, "
                "or say in a --columns file which it is"
            )
        found[our] = name
    return found


@lru_cache(maxsize=1024)
def _tidy(name: str) -> str:
    """A name as ours are written: small letters, with underscores."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", name).strip().casefold())


def _read_json(path: Path, columns: Columns, rows: Collecting) -> None:
    try:
        text = path.read_text(encoding=columns.encoding)
        tree = json.loads(text, parse_constant=str, object_pairs_hook=_object)
    except _KeyTwiceError as error:
        raise ManifestError(f"{path}: {error}") from error
    except UnicodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not JSON: {error}") from error
    if isinstance(tree, dict):
        tree = [tree]
    if not isinstance(tree, list):
        raise ManifestError(f"{path}: a {type(tree).__name__}; expected a list of master bills or of lines")
    add_items(path.name, tree, columns, rows)


class _KeyTwiceError(Exception):
    """One object of a JSON file has a key twice; says which."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Of a key that stands in it twice nobody can tell which one counts."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        which = [
            f"{key} {tree[key]!r}"[:100] for key in ("number", "barcode") if isinstance(tree.get(key), str)
        ]
        beside = " and ".join(which) or cleaned(", ".join(tree))[:100]
        raise _KeyTwiceError(
            f"the object with {beside} has the key {name!r} twice; expected once: take one out"
        )
    return tree


def add_items(name: str, items: list[Any], columns: Columns, rows: Collecting) -> None:
    """Give every row of the items of a JSON list to `rows`; `name` is the file's, for people.

    Raises:
        ManifestError: lines are given, and what the columns file names is in none of them.
    """
    flat = 0
    missing, mapped = dict(columns.columns), set(columns.columns.values())
    for number, item in enumerate(items, 1):
        where = f"{name} item {number}"
        if not isinstance(item, dict):
            rows.complain(where, PaperProblem.BAD_ROW, f"a {type(item).__name__}; expected an object")
        elif not {"house_bills", "barcodes"}.isdisjoint(_tidy(name) for name in item if name not in mapped):
            for row in _of_master(where, item, columns, rows):
                rows.add(row)
        else:
            flat += 1
            missing = {field: theirs for field, theirs in missing.items() if theirs not in item}
            found = _match(where, item, FIELDS, columns.columns, rows)
            rows.add(Row(where, {our: _value(our, item[theirs], columns) for our, theirs in found.items()}))
    if flat and missing:
        absent = ", ".join(f"{field} ({theirs})" for field, theirs in missing.items())
        raise ManifestError(
            f"{name}: no line has {absent}; what the --columns file names must be there: correct its name, "
            "or leave the field out"
        )


def _of_master(where: str, tree: dict[str, Any], columns: Columns, rows: Collecting) -> Iterator[Row]:
    """The rows of one master bill: one that announces each carton, then one for each line."""
    tree = _renamed(where, tree, _OF_A_MASTER, rows)
    placed = _check_lists(where, tree, columns, rows)
    barcodes, gross = _list(tree.get("barcodes")), _list(tree.get("gross_kg"))
    master = _text(tree.get("number"), columns)
    about: list[dict[Field, str]] = []
    for index, barcode in enumerate(barcodes):
        about.append(
            {
                "barcode": _text(barcode, columns),
                "master_bill": master,
                "carton": str(index + 1) if placed else "",
                "gross_kg": _number(gross[index], columns) if placed and gross else "",
            }
        )
        yield Row(f"{where} carton {index + 1}", about[-1])
    for index, bill in enumerate(_list(tree.get("house_bills")), 1):
        yield from _of_bill(f"{where} house bill {index}", bill, about, columns, rows)


def _of_bill(
    where: str, tree: Any, about: list[dict[Field, str]], columns: Columns, rows: Collecting
) -> Iterator[Row]:
    """The rows of one house bill; `about`: what is said of each carton of its master bill."""
    bill = _renamed(where, tree, _OF_A_BILL, rows, "house_bills.") if isinstance(tree, dict) else {}
    carton = bill.get("carton")
    if not isinstance(carton, int) or isinstance(carton, bool) or not 0 <= carton < len(about):
        said = _number(carton, columns)
        rows.complain(where, PaperProblem.BAD_ROW, f"carton {said[:20]!r}; expected 0 to {len(about) - 1}")
        for each in about:  # it may be any of them
            rows.spoil(each["barcode"], PaperProblem.BAD_ROW)
        return
    own: dict[Field, str] = {
        **about[carton],
        "house_bill": _text(bill.get("number"), columns),
        "packages": _number(bill.get("packages"), columns),
        "shipper": _text(bill.get("shipper"), columns),
        "consignee": _text(bill.get("consignee"), columns),
    }
    if not _list(bill.get("lines")):
        rows.complain(where, PaperProblem.BAD_ROW, "no lines; expected a list of what is in it")
        rows.spoil(own["barcode"], PaperProblem.BAD_ROW)
    for k, line in enumerate(_list(bill.get("lines")), 1):
        place = f"{where} line {k}"
        if not isinstance(line, dict):
            rows.complain(place, PaperProblem.BAD_ROW, "expected an object")
            rows.spoil(own["barcode"], PaperProblem.BAD_ROW)
            continue
        found = _match(place, line, _OF_A_LINE, {}, rows, "lines.")
        yield Row(
            place, {**own, **{our: _value(our, line[theirs], columns) for our, theirs in found.items()}}
        )


def _renamed(
    where: str, tree: dict[str, Any], ours: tuple[str, ...], rows: Collecting, inside: str = ""
) -> dict[str, Any]:
    """An object with our names for its keys. Raises ManifestError."""
    return {our: tree[theirs] for our, theirs in _match(where, tree, ours, {}, rows, inside).items()}


def _check_lists(where: str, tree: dict[str, Any], columns: Columns, rows: Collecting) -> bool:
    """What must be lists: all that is in something else would be gone without a word. And whether their
    places can be trusted: one that is too short or too long may lack any carton, and shift all after it."""
    wrong = [
        f"{name} is a {type(tree[name]).__name__}; expected a list"
        for name in ("barcodes", "gross_kg", "house_bills")
        if not isinstance(tree.get(name, []), list)
    ]
    shifted = _shifted(tree, columns)
    for detail in [*wrong, *shifted]:
        rows.complain(where, PaperProblem.BAD_ROW, detail)
        for barcode in _list(tree.get("barcodes")):
            rows.spoil(_text(barcode, columns), PaperProblem.BAD_ROW)
    return not shifted


def _shifted(tree: dict[str, Any], columns: Columns) -> list[str]:
    """How the lists of a master bill disagree about how many cartons it has, in words."""
    barcodes, gross, cartons = tree.get("barcodes"), tree.get("gross_kg"), tree.get("cartons")
    if not isinstance(barcodes, list):
        return []
    told, count = "weights and numbers of its cartons are left out", len(barcodes)
    found = []
    said = _number(cartons, columns)
    if cartons is not None and number_of(said.strip(), columns) != count:
        found.append(f"{count} barcodes, and cartons is {said[:20]!r}; expected as many; {told}")
    if isinstance(gross, list) and len(gross) != count:
        found.append(f"{len(gross)} gross_kg of {count} barcodes; expected as many; {told}")
    return found


_OF_A_MASTER = ("number", "cartons", "gross_kg", "barcodes", "house_bills")
_OF_A_BILL = ("carton", "number", "packages", "shipper", "consignee", "lines")
_OF_A_LINE: tuple[Field, ...] = (
    "hs_code", "description", "quantity", "weight_kg", "value_usd", "origin",
)  # fmt: skip
_NUMBERS = frozenset({"carton", "gross_kg", "packages", "quantity", "weight_kg", "value_usd"})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any, columns: Columns) -> str:
    """A JSON value as a CSV field would have it; what is neither text nor number is not declared. JSON's
    numbers have a point; only its texts are written as the columns file says."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict)):
        return ""
    return value if isinstance(value, str) else repr(value).replace(".", columns.decimal)


def _number(value: Any, columns: Columns) -> str:
    """A JSON value where a number is expected: what cannot be one is named as a wrong number, not dropped."""
    kind = type(value).__name__
    return f"a {kind}" if isinstance(value, (bool, list, dict)) else _text(value, columns)


def _value(field: Field, value: Any, columns: Columns) -> str:
    return _number(value, columns) if field in _NUMBERS else _text(value, columns)

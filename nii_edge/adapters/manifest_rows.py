"""Rows of declarations to papers, carton by carton. Whatever is wrong is named, counted, and kept with the
carton it touches: a bad row never makes a carton look better than it is. No I/O.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from nii_edge.manifest_pages import shortened
from nii_edge.papers import (
    MAX_CODE,
    MAX_LINES,
    MAX_NUMBER,
    MAX_TEXT,
    ORIGIN,
    HouseBill,
    Line,
    PaperProblem,
    Papers,
    hash_name,
    normal_name,
)
from nii_edge.regime import Columns, Field, Regime

MAX_EXAMPLES = 20
"""Problems told in words; all are counted."""
MAX_DIGITS = 400
"""Characters of a number. Of a million of them it takes hours to tell that they are none."""
MAX_UNUSED = 1_000
"""Columns of one file that are told as used for nothing."""
MAX_NAMELESS = 1_000
"""Rows of one file without a barcode that are told with their place; all are counted."""

_KG = {"kg": 1.0, "g": 1e-3, "lb": 0.45359237}
_FORMULA, _CONTROL = frozenset("=+@"), frozenset("\t\r")
"""How a text begins, as it is kept or as it came, that spreadsheets take for a formula (OWASP, CSV
injection); a minus only before a letter or bracket, as negative numbers begin with it too."""


class Row(NamedTuple):
    """One line of a house bill as the file has it. `fields` by our names, as text; `where` for people."""

    where: str
    fields: Mapping[Field, str]


class _Bill:
    """A house bill whose lines are still coming."""

    def __init__(self, number: str, packages: int | None, shipper: str, consignee: str) -> None:
        self.number, self.packages, self.shipper, self.consignee = number, packages, shipper, consignee
        self.lines: list[Line] = []


def _is_barcode(text: str) -> bool:
    """Whether a scanner may read it; U+FFFD stands where a file had what is no character."""
    return len(text) <= MAX_CODE and text.isprintable() and "\ufffd" not in text


class _Carton:
    """A carton whose rows are still coming."""

    def __init__(self, master_bill: str, number: int | None, gross_kg: float | None) -> None:
        self.master_bill, self.number, self.gross_kg = master_bill, number, gross_kg
        self.bills: dict[str, _Bill] = {}
        self.problems: set[PaperProblem] = set()
        self.seen: set[int] = set()  # hashes of rows: those of a file together may be a gigabyte
        self.torn = False  # it stands under two master bills
        self.lines = 0


class Collecting:
    """Takes rows in any order and gives the papers of every carton that they speak of.

    `count` is by problem, `examples` the first few in words; `unused`: columns that became no field;
    `nameless`: where rows without a barcode stand.
    """

    def __init__(self, regime: Regime, columns: Columns, key: bytes) -> None:
        self._regime, self._columns, self._key = regime, columns, key
        self._nobody = {normal_name(name) for name in regime.nobody}
        self._hashes: dict[str, str] = {}
        self._cartons: dict[str, _Carton] = {}
        self.count: Counter[PaperProblem] = Counter()
        self.examples: list[str] = []
        self.nameless: list[str] = []
        self.unused: dict[str, None] = {}
        self._spoilt: dict[PaperProblem, set[str]] = {}
        self.rows = 0

    def complain(self, where: str, problem: PaperProblem, detail: str) -> None:
        """Count a problem that touches no carton we know."""
        self.count[problem] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{where}: {problem.value}: {detail}"[:300])

    def ignore(self, column: str) -> None:
        """Note, once, a column or key of the file that is used for nothing."""
        if len(self.unused) < MAX_UNUSED:
            self.unused[cleaned(column[:100])] = None

    def add(self, row: Row) -> None:
        """Take one row. Never raises for what it says."""
        self.rows += 1
        barcode = row.fields.get("barcode", "").strip()
        if not barcode:
            self.complain(row.where, PaperProblem.NO_BARCODE, "the row names no carton; it is left out")
            if len(self.nameless) < MAX_NAMELESS:
                self.nameless.append(row.where[:200])
            return
        if not _is_barcode(barcode):
            self.complain(
                row.where, PaperProblem.BAD_BARCODE, f"{barcode[:20]!r}: {len(barcode)} characters; at most "
                f"{MAX_CODE}, printable"
            )  # fmt: skip
            return
        self._add(row, barcode)

    def spoil(self, barcode: str, problem: PaperProblem) -> None:
        """Note with a carton, if it can be told which, a problem that was counted already."""
        barcode = barcode.strip()
        if barcode and _is_barcode(barcode):
            self._spoilt.setdefault(problem, set()).add(barcode)

    def papers(self) -> list[Papers]:
        """What is declared of each carton, in the order they came up."""
        self._check_numbers()
        for problem, barcodes in self._spoilt.items():
            for barcode in barcodes & self._cartons.keys():
                self._cartons[barcode].problems.add(problem)
        sizes = Counter(carton.master_bill for carton in self._cartons.values())
        return [
            self._finished(barcode, carton, sizes[carton.master_bill])
            for barcode, carton in self._cartons.items()
        ]

    def spoilt(self) -> dict[str, set[PaperProblem]]:
        """What is wrong with cartons that no whole row speaks of: what a store has of them may be what a row
        that cannot be read was to put right."""
        found: dict[str, set[PaperProblem]] = {}
        for problem, barcodes in self._spoilt.items():
            for barcode in barcodes - self._cartons.keys():
                found.setdefault(barcode, set()).add(problem)
        return found

    # ---- one row

    def _add(self, row: Row, barcode: str) -> None:
        bad: set[PaperProblem] = set()
        take = _Taking(self, row, bad)
        take.no_formula("barcode", barcode)
        master = take.code("master_bill")
        number = take.whole("carton")
        gross = take.weight("gross_kg")
        carton = self._cartons.get(barcode)
        if carton is None:
            carton = self._cartons[barcode] = _Carton(master, number, gross)
        elif master != carton.master_bill:
            carton.torn = True
            take.wrong(
                PaperProblem.LISTED_TWICE,
                f"carton {barcode} is under master bill {carton.master_bill!r} and {master!r}",
            )
        elif (number, gross) != (carton.number, carton.gross_kg):
            take.wrong(
                PaperProblem.CONTRADICTION,
                f"carton {barcode}: number and gross weight {number}, {gross}; before "
                f"{carton.number}, {carton.gross_kg}",
            )
        self._line(take, carton, barcode)
        carton.problems |= bad

    def _line(self, take: _Taking, carton: _Carton, barcode: str) -> None:
        told = tuple(take.row.fields.get(field, "") for field in _OF_A_LINE)
        if not any(text.strip() for text in told):
            return  # announces the carton alone
        if hash(told) in carton.seen:
            take.wrong(PaperProblem.LISTED_TWICE, f"carton {barcode}: the same row stands twice")
        carton.lines += 1
        if carton.lines > MAX_LINES:
            take.wrong(PaperProblem.TOO_MANY, f"carton {barcode}: over {MAX_LINES} lines")
            return
        carton.seen.add(hash(told))
        number, packages = take.code("house_bill"), take.whole("packages")
        shipper, consignee = take.name("shipper"), take.name("consignee")
        bill = carton.bills.get(number)
        if bill is None:
            bill = carton.bills[number] = _Bill(number, packages, shipper, consignee)
        elif (packages, shipper, consignee) != (bill.packages, bill.shipper, bill.consignee):
            take.wrong(
                PaperProblem.CONTRADICTION,
                f"house bill {number!r} of carton {barcode}: packages, shipper or consignee differ from row "
                "to row",
            )
        bill.lines.append(
            Line(
                hs_code=take.hs_code(self._regime),
                description=take.text("description"),
                quantity=take.whole("quantity"),
                weight_kg=take.weight("weight_kg"),
                value_usd=take.number("value_usd"),
                origin=take.origin(),
            )
        )

    def hashed(self, name: str) -> str:
        """The name's keyed hash; the same names come again and again."""
        if name not in self._hashes:
            if len(self._hashes) > 100_000:
                self._hashes.clear()
            self._hashes[name] = hash_name(name, self._key)
        return self._hashes[name]

    def is_nobody(self, name: str) -> bool:
        """Whether the regime lists a name as nobody's."""
        return normal_name(name) in self._nobody

    @property
    def columns(self) -> Columns:
        """How numbers are written."""
        return self._columns

    # ---- all rows

    def _check_numbers(self) -> None:
        """Two barcodes cannot be the same carton of one master bill."""
        owners: dict[tuple[str, int], str] = {}
        for barcode, carton in self._cartons.items():
            if carton.number is None or not carton.master_bill:
                continue
            first = owners.setdefault((carton.master_bill, carton.number), barcode)
            if first != barcode:
                self.complain(
                    f"master bill {carton.master_bill}", PaperProblem.CONTRADICTION,
                    f"cartons {first} and {barcode} are both number {carton.number}",
                )  # fmt: skip
                carton.problems.add(PaperProblem.CONTRADICTION)
                self._cartons[first].problems.add(PaperProblem.CONTRADICTION)

    def _finished(self, barcode: str, carton: _Carton, cartons: int) -> Papers:
        if not carton.bills:
            self.complain(f"carton {barcode}", PaperProblem.NO_LINES, "nothing is declared of its contents")
            carton.problems.add(PaperProblem.NO_LINES)
        papers = Papers(
            barcode=barcode,
            master_bill=carton.master_bill,
            carton=carton.number,
            cartons=cartons if carton.master_bill else None,
            gross_kg=carton.gross_kg,
            house_bills=tuple(
                HouseBill(
                    number=bill.number,
                    packages=bill.packages,
                    shipper=bill.shipper,
                    consignee=bill.consignee,
                    lines=tuple(bill.lines),
                )
                for bill in carton.bills.values()
            ),
            problems=tuple(sorted(carton.problems)),
            repeated=PaperProblem.LISTED_TWICE in carton.problems and not carton.torn,
        )
        short = shortened(papers)
        if short is not papers:
            told = f"its {len(papers.lines)} lines are more than go to an edge; {len(short.lines)} are kept"
            self.complain(f"carton {barcode}", PaperProblem.TOO_MANY, told)
        return short


_OF_A_LINE: tuple[Field, ...] = (
    "house_bill", "packages", "shipper", "consignee", "hs_code", "description", "quantity", "weight_kg",
    "value_usd", "origin",
)  # fmt: skip


_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def number_of(raw: str, columns: Columns) -> float:
    """A number as the columns file says that numbers are written; NaN if it is not written so."""
    if len(raw) > MAX_DIGITS:
        return math.nan
    plain = raw.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2019", "'")
    if columns.thousands and columns.thousands in plain:
        whole, dot, fraction = plain.partition(columns.decimal)
        groups = whole.lstrip("+-").split(columns.thousands)
        tidy = re.fullmatch(r"[1-9]\d{0,2}", groups[0], re.ASCII) and all(
            re.fullmatch(r"\d{3}", group, re.ASCII) for group in groups[1:]
        )
        if not tidy or columns.thousands in fraction:
            return math.nan
        plain = whole.replace(columns.thousands, "") + dot + fraction
    if columns.decimal == ",":
        if "." in plain:
            return math.nan
        plain = plain.replace(",", ".")
    return float(plain) if _PLAIN.fullmatch(plain) else math.nan


def cleaned(raw: str) -> str:
    """Without what does not print, and with single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in raw).split())


class _Taking:
    """Takes fields out of one row, noting in `bad` what is wrong with them."""

    def __init__(self, all_rows: Collecting, row: Row, bad: set[PaperProblem]) -> None:
        self._all, self.row, self._bad = all_rows, row, bad

    def wrong(self, problem: PaperProblem, detail: str) -> None:
        """Note a problem of this row's carton."""
        self._bad.add(problem)
        self._all.complain(self.row.where, problem, detail)

    def text(self, field: Field, most: int = MAX_TEXT) -> str:
        raw = self.row.fields.get(field, "")
        if len(raw) > most:
            self.wrong(PaperProblem.TOO_LONG, f"{field} has {len(raw)} characters, at most {most} are kept")
            raw = raw[:most]
        self.no_formula(field, raw)
        return cleaned(raw)

    def no_formula(self, field: Field, raw: str) -> None:
        text = unicodedata.normalize("NFKC", cleaned(raw[:MAX_TEXT]))
        dash = text[:1] == "-" and len(text) > 1 and not (text[1].isdigit() or text[1] in ".,")
        if raw[:1] in _CONTROL or text[:1] in _FORMULA or dash:
            self.wrong(PaperProblem.FORMULA, f"{field} is {text[:40]!r}; kept as text, never to be run")

    def code(self, field: Field) -> str:
        return self.text(field, MAX_CODE)

    def name(self, field: Field) -> str:
        name = self.text(field)
        if name and self._all.is_nobody(name):
            self.wrong(PaperProblem.FICTITIOUS_NAME, f"the {field} is nobody's name")
        return self._all.hashed(name)

    def origin(self) -> str:
        code = self.text("origin").upper()
        if code and not ORIGIN.fullmatch(code):
            self.wrong(
                PaperProblem.BAD_ORIGIN, f"{code[:40]!r}; expected two letters of ISO 3166, such as CN"
            )
            return ""
        return code

    def hs_code(self, regime: Regime) -> str:
        raw = self.text("hs_code", MAX_CODE)
        code = raw.replace(".", "").replace(" ", "")
        if not code:
            return ""
        if not regime.knows(code):
            lengths = ", ".join(str(digits) for digits in regime.hs_digits)
            self.wrong(PaperProblem.UNKNOWN_HS, f"{raw!r}; expected {lengths} digits of a chapter there is")
            return ""
        return code

    def number(self, field: Field) -> float | None:
        raw = self.row.fields.get(field, "").strip()
        if not raw:
            return None
        value = number_of(raw, self._all.columns)
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            decimal, thousands = self._all.columns.decimal, self._all.columns.thousands
            self.wrong(
                PaperProblem.BAD_NUMBER,
                f"{field} is {raw[:40]!r}; expected a number, with {decimal!r} before the fraction and "
                f"{thousands!r} between thousands (a --columns file may say otherwise)",
            )
            return None
        if value < 0:
            self.wrong(PaperProblem.NEGATIVE, f"{field} is {raw[:40]}; expected no less than 0")
            return None
        return value

    def weight(self, field: Field) -> float | None:
        value = self.number(field)
        if value is None:
            return None
        kilograms = round(value * _KG[self._all.columns.unit], 6)
        if kilograms <= 0:
            self.wrong(PaperProblem.NEGATIVE, f"{field} is {value:g}; expected more than nothing")
            return None
        return kilograms

    def whole(self, field: Field) -> int | None:
        value = self.number(field)
        if value is None:
            return None
        if value != int(value):
            self.wrong(PaperProblem.BAD_NUMBER, f"{field} is {value}; expected a whole number")
            return None
        if value < 1:
            self.wrong(PaperProblem.NEGATIVE, f"{field} is {value:g}; expected at least 1")
            return None
        return int(value)

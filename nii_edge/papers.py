"""What was declared of a carton: master bill, house bills, lines. Frozen records; they know no file format.

After the data elements of 90 FR 3048 (house bill, description, quantity, weight, value, origin) and ruling
HQ 114113 (one master bill with a house bill per inner parcel). What is not declared is None or empty, never
a guess. Names of people and firms are kept as keyed hashes alone (`hash_name`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

import msgspec

MAX_TEXT = 500
"""Characters of a description or name that are kept."""
MAX_CODE = 64
"""Characters of a barcode or bill number."""
MAX_LINES = 10_000
"""Lines of one carton that are kept."""
ORIGIN = re.compile(r"[A-Z]{2}")
"""An ISO 3166 alpha-2 code."""
MAX_NUMBER = 1e9
"""A quantity, weight or value beyond this is no such thing."""


class PaperProblem(StrEnum):
    """What can be wrong with a declaration itself. What touches a carton stays with its papers."""

    BAD_ROW = "BAD_ROW"  # more or fewer fields than the header has, or not an object
    NO_BARCODE = "NO_BARCODE"  # nobody can tell which carton is meant
    BAD_BARCODE = "BAD_BARCODE"  # too long, or not printable
    TOO_LONG = "TOO_LONG"  # a text over its limit; it was cut
    BAD_NUMBER = "BAD_NUMBER"  # a quantity, weight or value that is no number; left out
    NEGATIVE = "NEGATIVE"  # below zero, or a quantity or weight of zero; left out
    BAD_ORIGIN = "BAD_ORIGIN"  # not two letters, as ISO 3166 has them; left out
    UNKNOWN_HS = "UNKNOWN_HS"  # no code of the Harmonized System as the regime wants it
    LISTED_TWICE = "LISTED_TWICE"  # the same carton stands under two master bills, or a row stands twice
    CONTRADICTION = "CONTRADICTION"  # rows of one carton or bill disagree
    FORMULA = "FORMULA"  # a text that a spreadsheet would run; kept as text
    FICTITIOUS_NAME = "FICTITIOUS_NAME"  # a name that the regime lists as nobody's
    TOO_MANY = "TOO_MANY"  # more lines, or words in them, than one carton may have; the rest was left out
    NO_LINES = "NO_LINES"  # the carton is announced, its contents are not


class PaperRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all records here."""


class Line(PaperRecord, frozen=True, kw_only=True):
    """One line of a house bill. `hs_code`: digits only. `quantity` in pieces; `weight_kg` of the goods with
    their own packaging; `value_usd` of all pieces; `origin` as ISO 3166 alpha-2."""

    hs_code: str = ""
    description: str = ""
    quantity: int | None = None
    weight_kg: float | None = None
    value_usd: float | None = None
    origin: str = ""

    @property
    def chapter(self) -> int | None:
        """The chapter of the Harmonized System; None if no code was given."""
        return int(self.hs_code[:2]) if len(self.hs_code) >= 2 else None


class HouseBill(PaperRecord, frozen=True, kw_only=True):
    """One consignee's goods in one carton. `packages`: how many parcels of it are in the carton, 1 if the
    carton itself is the package. `shipper` and `consignee` are hashes."""

    number: str = ""
    packages: int | None = None
    shipper: str = ""
    consignee: str = ""
    lines: tuple[Line, ...] = ()


class Papers(PaperRecord, frozen=True, kw_only=True):
    """Everything declared of one carton. `carton`: its number within the master bill, from 1; `cartons`: how
    many the master bill has; `problems`: what the import found wrong with it, each once. `repeated`: it is
    LISTED_TWICE by rows of one master bill alone, so that a corrected file takes that back; nothing takes
    back that two master bills list it."""

    barcode: str
    master_bill: str = ""
    carton: int | None = None
    cartons: int | None = None
    gross_kg: float | None = None
    house_bills: tuple[HouseBill, ...] = ()
    problems: tuple[PaperProblem, ...] = ()
    repeated: bool = False

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, in order."""
        return tuple(line for bill in self.house_bills for line in bill.lines)

    @property
    def pieces(self) -> int | None:
        """Declared pieces; None if any line leaves them out or there is none."""
        counts = [line.quantity for line in self.lines]
        known = [count for count in counts if count is not None]
        return sum(known) if known and len(known) == len(counts) else None

    @property
    def packages(self) -> int | None:
        """Declared parcels; None if there is no house bill. A bill that leaves them out counts as one parcel:
        saying nothing must not be better than saying too few."""
        counts = [1 if bill.packages is None else bill.packages for bill in self.house_bills]
        return sum(counts) if counts else None

    @property
    def net_kg(self) -> float | None:
        """Declared weight of all goods; None if any line leaves it out or there is none."""
        weights = [line.weight_kg for line in self.lines]
        known = [weight for weight in weights if weight is not None]
        return sum(known) if known and len(known) == len(weights) else None

    @property
    def value_usd(self) -> float | None:
        """Declared value of all goods; None if any line leaves it out or there is none."""
        values = [line.value_usd for line in self.lines]
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None


class NoRead:
    """What readers say that read no barcode, in any case."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(barcode_of(word).casefold() for word in words)

    def barcode(self, carton: str | None) -> str | None:
        """The barcode that a scan names; None if it names none, or what a reader says that read none."""
        barcode = barcode_of(carton)
        return None if not barcode or barcode.casefold() in self._words else barcode


def barcode_of(carton: str | None) -> str:
    """What a scan names as its carton, without space around it."""
    return (carton or "").strip()


def hash_name(name: str, key: bytes) -> str:
    """32 hex digits that are the same for the same name, however spelt in case and spacing: HMAC-SHA-256, so
    that nobody without the key can find a name by trying. Empty for a name of nothing."""
    plain = normal_name(name)
    return hmac.new(key, plain.encode(), hashlib.sha256).hexdigest()[:32] if plain else ""


def normal_name(name: str) -> str:
    """A name without differences of case, width and spacing."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())

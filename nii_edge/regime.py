"""The rules of the entry regime, and how a customer's files name things: configuration, not code."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from nii_edge.config import Config

Field = Literal[
    "barcode", "master_bill", "carton", "gross_kg", "house_bill", "packages", "shipper", "consignee",
    "hs_code", "description", "quantity", "weight_kg", "value_usd", "origin",
]  # fmt: skip
"""What the import knows; one row is one line of a house bill."""
FIELDS: tuple[Field, ...] = Field.__args__  # type: ignore[attr-defined]

Chapter = Annotated[int, Meta(ge=1, le=99)]


Word = Annotated[str, Meta(pattern=r"[^\W\d_]")]
"""A word or a phrase: at least one letter, or it would be found everywhere."""


class Contradicting(Config, frozen=True, kw_only=True):
    """`words` that goods of these `chapters` of the Harmonized System are not described with: words or
    phrases, in any case; plurals are words of their own."""

    chapters: tuple[Chapter, ...]
    words: tuple[Word, ...]


class Regime(Config, frozen=True, kw_only=True):
    """What a low-value shipment must declare, and what its papers may not say.

    Attributes:
        required: fields that every line (or its bill) must have.
        hs_digits: how long a code of the Harmonized System may be.
        chapters: chapters there are.
        vague_words: descriptions made of nothing but these words, numbers and codes say nothing.
        nobody: names that are nobody's.
        value_limit_usd: the most one house bill may be worth; null: no limit.
        value_per_kg_usd: least and most that goods plausibly cost.
        net_over_gross: by what share the goods of a carton may be declared heavier than the carton.
        contradictions: words that contradict a code.
        beside: words beside which such a word may mean something else, so that nothing is said.
    """

    version: Literal[1]
    name: str
    required: tuple[Field, ...]
    hs_digits: tuple[Annotated[int, Meta(ge=2, le=12)], ...]
    chapters: tuple[Chapter, ...]
    vague_words: tuple[str, ...] = ()
    nobody: tuple[str, ...] = ()
    value_limit_usd: Annotated[float, Meta(gt=0)] | None = None
    value_per_kg_usd: tuple[Annotated[float, Meta(ge=0)], Annotated[float, Meta(gt=0)]] = (0.0, 1e6)
    net_over_gross: Annotated[float, Meta(ge=0, le=1)] = 0.05
    contradictions: tuple[Contradicting, ...] = ()
    beside: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        if self.value_per_kg_usd[0] >= self.value_per_kg_usd[1]:
            raise ValueError(f"`value_per_kg_usd` {self.value_per_kg_usd}: expected least, then most")

    def knows(self, hs_code: str) -> bool:
        """Whether a code (digits only) can be one of this regime's."""
        fits = hs_code.isascii() and hs_code.isdigit() and len(hs_code) in self.hs_digits
        return fits and int(hs_code[:2]) in self.chapters


class Columns(Config, frozen=True, kw_only=True):
    """How a customer's file is to be read. `columns`: our field to their column (CSV) or key (JSON); fields
    not listed keep our names. `unit`: of weights. `decimal`: what stands before the fraction; `thousands`:
    what stands between groups of three digits, empty if nothing does. A number that looks otherwise is
    none."""

    version: Literal[1]
    columns: dict[Field, str] = msgspec.field(default_factory=dict)
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8-sig"
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    unit: Literal["kg", "g", "lb"] = "kg"

    def __post_init__(self) -> None:
        if self.thousands == self.decimal:
            raise ValueError(f"`decimal` and `thousands` are both {self.decimal!r}; expected two characters")

    def name(self, field: Field) -> str:
        """What the file calls a field."""
        return self.columns.get(field, field)

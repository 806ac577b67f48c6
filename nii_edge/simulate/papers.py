"""What is declared: master bill, house bills and their lines; and what a carton's papers leave out.

After the data elements of 90 FR 3048 (house bill, description, quantity, weight, value, origin) and ruling
HQ 114113 (one master bill with a house bill per inner parcel).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Fault = Literal[
    "undeclared_parcels", "other_goods", "prohibited_object", "undeclared_material", "shielding", "weight",
    "count", "double_wall",
]  # fmt: skip
"""Why a carton may not pass, judged by what is in it and what its papers say."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a house bill. `quantity` in pieces; `weight_kg` of the goods with their own packaging;
    `value_usd` of all pieces; `origin` as ISO 3166 alpha-2."""

    hs_code: str
    description: str
    quantity: int
    weight_kg: float
    value_usd: float
    origin: str


class HouseBill(msgspec.Struct, frozen=True, kw_only=True):
    """One consignee's goods in one carton. `carton` counts from 0 within the master bill; `packages`: how
    many parcels of it are in the carton, 1 if the carton itself is the package."""

    number: str
    carton: int
    packages: int
    shipper: str
    consignee: str
    lines: tuple[Line, ...]


class MasterBill(msgspec.Struct, frozen=True, kw_only=True):
    """What one carrier moves for one forwarder. `gross_kg`: of each carton, as declared."""

    number: str
    cartons: int
    gross_kg: tuple[float, ...]
    house_bills: tuple[HouseBill, ...]

    def of_carton(self, carton: int) -> tuple[HouseBill, ...]:
        """The house bills that travel in one carton."""
        return tuple(bill for bill in self.house_bills if bill.carton == carton)

    def lines_of(self, carton: int) -> tuple[Line, ...]:
        """All lines of one carton in order: what `Placed.line` counts in."""
        return tuple(line for bill in self.of_carton(carton) for line in bill.lines)

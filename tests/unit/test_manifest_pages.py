"""Pages of manifests: what an import makes goes through whole, anything else is refused and nothing worse."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from harness import ROOT
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.adapters.manifest_rows import Collecting, Row
from nii_edge.config import load
from nii_edge.errors import ManifestError, WireError
from nii_edge.manifest_pages import (
    MAX_PAPERS_BYTES,
    MAX_WORDS,
    PAGE_BYTES,
    PAGE_CARTONS,
    Entry,
    checked,
    pack,
    readable,
    shortened,
    stand_in,
    unpack,
)
from nii_edge.papers import MAX_LINES, HouseBill, Line, PaperProblem, Papers
from nii_edge.ports import PaperRow
from nii_edge.records import Reason
from nii_edge.regime import FIELDS, Columns, Regime
from nii_edge.wire import MAX_MANIFESTS_BYTES, ManifestsMessage

REGIME = load(ROOT / "configs" / "regime.yaml", Regime)
encoded = msgspec.msgpack.encode


def head(payload: bytes, upto: int, last: int | None = None) -> ManifestsMessage:
    return ManifestsMessage(
        ask=1, store="0" * 32, next=upto, last=upto if last is None else last, crc32=zlib.crc32(payload)
    )


def rows(bodies: Sequence[bytes], first: int = 1) -> list[PaperRow]:
    return [PaperRow(number, f"B{number}", "M", body) for number, body in enumerate(bodies, first)]


def page(tree: object) -> bytes:
    return zlib.compress(encoded(tree))


def refusal(payload: bytes, message: ManifestsMessage, since: int = 0) -> WireError:
    with pytest.raises(WireError) as caught:
        unpack(message, payload, since)
    return caught.value


# ---- pages


@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(0, 2**62))
def test_a_page_comes_out_as_it_went_in(bodies: list[bytes], since: int) -> None:
    """Whatever the papers' bytes are, numbers and bytes arrive."""
    sent = rows(bodies, since + 1)
    payload = pack(sent)
    upto = sent[-1].number if sent else since
    assert unpack(head(payload, upto), payload, since) == [Entry(row.number, row.papers) for row in sent]


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_a_page_that_was_altered_anywhere_is_refused(bodies: list[bytes], data: st.DataObject) -> None:
    """One byte of it changed, or its end cut off."""
    payload = pack(rows(bodies))
    message = head(payload, len(bodies))
    at = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.integers(1, 255))
    changed = payload[:at] + bytes([payload[at] ^ other]) + payload[at + 1 :]
    assert refusal(changed, message).reason is Reason.MALFORMED
    assert refusal(payload[:at], message).reason is Reason.MALFORMED


@given(st.binary(max_size=100) | st.builds(zlib.compress, st.binary(max_size=100)))
def test_any_bytes_with_the_right_checksum_raise_nothing_but_wire_error(payload: bytes) -> None:
    """A hostile collector knows how to make a checksum."""
    try:
        found = unpack(head(payload, 0), payload, 0)
    except WireError:
        return
    assert found == []


@pytest.mark.parametrize(
    ("tree", "since", "upto", "last", "words"),
    [
        ([[5, b""], [5, b""]], 0, 5, 5, "carton 5 comes after 5"),
        ([[6, b""], [5, b""]], 0, 5, 5, "carton 5 comes after 6"),
        ([[5, b""]], 5, 5, 5, "carton 5 comes after 5"),
        ([[-1, b""]], 0, 0, 0, "carton -1 comes after 0"),
        ([[5, b""]], 0, 6, 6, "says next 6"),
        ([[5, b""]], 0, 5, 4, "last 4"),
        ([], 3, 4, 4, "up to carton 3 that says next 4"),
        ({"5": b""}, 0, 5, 5, "no list"),
        ([[5, "text"]], 0, 5, 5, "no list"),
        ([[2**64 - 1, b""]], 0, 5, 2**62, "next 5"),
    ],
)
def test_a_page_whose_numbers_do_not_hold_together_is_refused(
    tree: object, since: int, upto: int, last: int, words: str
) -> None:
    """Numbers rise from the one that was asked for to the one that the header says."""
    error = refusal(page(tree), head(page(tree), upto, last), since)
    assert error.reason is Reason.MALFORMED
    assert words in error.detail


def test_a_page_is_bounded_in_bytes_inflated_bytes_and_cartons() -> None:
    """Each limit by itself; a bomb is not inflated."""
    noise = random.Random(1).randbytes(MAX_MANIFESTS_BYTES + 1)
    assert refusal(noise, head(noise, 0)).reason is Reason.TOO_LARGE
    bomb = zlib.compress(bytes(50_000_000))
    assert len(bomb) < MAX_MANIFESTS_BYTES
    assert "once inflated" in refusal(bomb, head(bomb, 0)).detail
    many = page([[number, b""] for number in range(1, PAGE_CARTONS + 2)])
    assert f"{PAGE_CARTONS + 1} cartons" in refusal(many, head(many, PAGE_CARTONS + 1)).detail
    longer = zlib.compress(encoded([]))[:-5]
    assert "mid-stream" in refusal(longer, head(longer, 0)).detail


@pytest.mark.parametrize(
    "papers",
    [random.Random(2).randbytes(PAGE_BYTES + 50_000), bytes(MAX_PAPERS_BYTES + 1)],
    ids=["does not compress", "more than is packed at all"],
)
def test_papers_too_large_for_a_page_are_told_of_without_their_contents(papers: bytes) -> None:
    """They are still within the limits of who unpacks them, and speak against the carton."""
    payload = pack([PaperRow(7, "B-7", "M-1", papers)])
    (entry,) = unpack(head(payload, 7), payload, 0)
    assert checked(entry.papers) == Papers(
        barcode="B-7", master_bill="M-1", problems=(PaperProblem.NO_LINES, PaperProblem.TOO_MANY)
    )


def test_more_lines_than_go_by_the_line_are_cut_the_same_way_everywhere() -> None:
    """By the import, and by a collector whose store was filled before: some lines, and the same problem."""
    rng = random.Random(4)
    rows = [
        {
            "barcode": "B-1", "master_bill": "M", "house_bill": f"H{k}", "packages": "1", "hs_code": "610910",
            "shipper": f"{rng.getrandbits(90):x}", "consignee": f"{rng.getrandbits(90):x}", "quantity": "1",
            "description": f"shirts {rng.getrandbits(40):x}", "weight_kg": "0.1",
            "value_usd": "9", "origin": "CN",
        }
        for k in range(MAX_LINES)
    ]  # fmt: skip
    collecting = Collecting(REGIME, Columns(version=1), bytes(32))
    for row in rows:
        collecting.add(Row("row", row))  # type: ignore[arg-type]
    (papers,) = collecting.papers()
    assert papers.problems == (PaperProblem.TOO_MANY,)
    assert collecting.count == {PaperProblem.TOO_MANY: 1}
    assert f"its {MAX_LINES} lines are more than go to an edge; {len(papers.lines)} are kept" in str(
        collecting.examples
    )
    assert 2_000 < len(papers.lines) < MAX_LINES
    assert len(papers.house_bills) == len(papers.lines)
    payload = pack([PaperRow(7, "B-1", "M", encoded(papers))])
    (entry,) = unpack(head(payload, 7), payload, 0)
    assert checked(entry.papers) == papers

    bills = [HouseBill(consignee=f"{rng.getrandbits(128):032x}", lines=(Line(),)) for _ in range(9_999)]
    old = Papers(barcode="B-2", master_bill="M", house_bills=tuple(bills))
    payload = pack([PaperRow(8, "B-2", "M", encoded(old))])
    (entry,) = unpack(head(payload, 8), payload, 0)
    assert checked(entry.papers) == shortened(old)
    assert shortened(old).problems == (PaperProblem.TOO_MANY,)
    assert shortened(old).house_bills == old.house_bills[: len(shortened(old).lines)]
    empty = msgspec.structs.replace(
        old, house_bills=tuple(msgspec.structs.replace(bill, lines=()) for bill in bills)
    )
    payload = pack([PaperRow(9, "B-2", "M", encoded(empty))])
    (entry,) = unpack(head(payload, 9), payload, 0)
    assert checked(entry.papers).problems == (PaperProblem.NO_LINES, PaperProblem.TOO_MANY)


def test_words_of_one_carton_are_bounded() -> None:
    """However well they compress: the daemon reads them while other cartons wait."""
    bill = HouseBill(lines=(Line(description="shirts " * 70),) * MAX_LINES)
    short = shortened(Papers(barcode="B", house_bills=(bill,)))
    assert short.problems == (PaperProblem.TOO_MANY,)
    assert 0 < sum(len(line.description) for line in short.lines) <= MAX_WORDS
    assert shortened(short) is short


def test_the_largest_pages_that_are_packed_can_be_unpacked() -> None:
    """As many bytes as a page may have, and a carton as large as may go at all."""
    for bodies in ([random.Random(3).randbytes(PAGE_BYTES // 2)] * 2, [bytes(MAX_PAPERS_BYTES)]):
        payload = pack(rows(bodies))
        assert [entry.papers for entry in unpack(head(payload, len(bodies)), payload, 0)] == bodies


# ---- papers

GOOD = Papers(
    barcode="B-1",
    master_bill="M-1",
    carton=1,
    cartons=2,
    gross_kg=5.5,
    house_bills=(
        HouseBill(
            number="H1",
            packages=1,
            shipper="a" * 32,
            lines=(Line(hs_code="610910", description="shirts", quantity=2, weight_kg=1.0, origin="CN"),),
        ),
    ),
)


def changed(**what: Any) -> Papers:
    """GOOD with something else in its bill or line if it belongs there, else in the carton."""
    (bill,) = GOOD.house_bills
    (line,) = bill.lines
    of_line = {key: value for key, value in what.items() if key in Line.__struct_fields__}
    of_bill = {key: value for key, value in what.items() if key in HouseBill.__struct_fields__}
    rest = {key: value for key, value in what.items() if key not in of_line | of_bill}
    line = msgspec.structs.replace(line, **of_line)
    bill = msgspec.structs.replace(bill, **({"lines": (line,)} | of_bill))
    return msgspec.structs.replace(GOOD, **({"house_bills": (bill,)} | rest))


@pytest.mark.parametrize(
    "what",
    [
        {"barcode": ""}, {"barcode": " B"}, {"barcode": "x" * 65}, {"barcode": "B\x00"},
        {"master_bill": "x" * 65}, {"master_bill": "a\nb"}, {"carton": 0}, {"carton": 2**40},
        {"cartons": -1}, {"gross_kg": -1.0}, {"gross_kg": float("nan")}, {"gross_kg": float("inf")},
        {"number": "x" * 65}, {"packages": 0}, {"shipper": "Ann Sender"}, {"consignee": "A" * 32},
        {"consignee": "a" * 33}, {"hs_code": "=cmd()"}, {"hs_code": "6"}, {"hs_code": "\u0661\u0662"},
        {"hs_code": "1" * 13}, {"description": "x" * 501}, {"description": "a\x1b[2J"}, {"origin": "CHN"},
        {"quantity": 0}, {"quantity": -5}, {"weight_kg": 1e10}, {"value_usd": float("-inf")},
        {"lines": (Line(),) * (MAX_LINES + 1)}, {"house_bills": (HouseBill(),) * (MAX_LINES + 1)},
    ],
    ids=lambda what: ", ".join(f"{key} {str(value)[:20]!r}" for key, value in what.items()),
)  # fmt: skip
def test_papers_that_no_import_makes_are_refused(what: dict[str, Any]) -> None:
    """Each wrong field by itself is named."""
    assert checked(encoded(GOOD)) == GOOD
    with pytest.raises(ManifestError) as caught:
        checked(encoded(changed(**what)))
    (name,) = what
    words = {"number": "house_bill", "lines": "lines of", "house_bills": "house bills"}.get(name, name)
    assert words in str(caught.value)


@given(st.binary(max_size=60) | st.builds(encoded, st.dictionaries(st.text(max_size=9), st.integers(-9, 9))))
def test_any_bytes_are_papers_or_a_manifest_error(data: bytes) -> None:
    """Nothing else comes out of them; a map without a barcode is none."""
    with pytest.raises(ManifestError):
        checked(data)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                field: st.text(max_size=90) | st.sampled_from(["-1", "1e5", "=1", "7", "", "610910", "1e9"])
                for field in FIELDS
            }
        ),
        max_size=4,
    ),
    st.sampled_from(["kg", "g", "lb"]),
)
def test_whatever_an_import_makes_is_taken(every: list[dict[Any, str]], unit: Any) -> None:
    """Nothing that one edge would import is refused when it comes by the line."""
    collecting = Collecting(REGIME, Columns(version=1, unit=unit), bytes(32))
    for number, fields in enumerate(every):
        collecting.add(Row(f"row {number}", fields))
    for papers in collecting.papers():
        assert checked(encoded(papers)) == papers


# ---- what stands in for papers that are refused


@given(st.binary(max_size=100))
def test_what_stands_in_is_never_refused(body: bytes) -> None:
    """Whatever came, what is stored instead is what an import could have made."""
    made = stand_in(body)
    assert made is None or checked(encoded(made)) == made


@pytest.mark.parametrize(
    ("tree", "barcode", "master"),
    [
        ({"barcode": "B", "master_bill": "M", "carton": "x"}, "B", "M"),
        ({"barcode": " B ", "master_bill": "M" * 65}, "B", ""),
        ({"barcode": "B", "master_bill": 5}, "B", ""),
    ],
)
def test_refused_papers_say_which_carton_they_are_of(tree: object, barcode: str, master: str) -> None:
    """So that what an edge had of it counts no more."""
    problems = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
    assert stand_in(encoded(tree)) == Papers(barcode=barcode, master_bill=master, problems=problems)


@pytest.mark.parametrize("tree", [{"barcode": ""}, {"barcode": "x" * 65}, {"barcode": 5}, {}, [], "B"])
def test_refused_papers_that_name_no_carton(tree: object) -> None:
    """Nothing stands in for them."""
    assert stand_in(encoded(tree)) is None


def test_damaged_papers_are_sent_as_such_by_the_centre() -> None:
    """It knows which carton they are of; the edge could not tell."""
    good = encoded(Papers(barcode="B1", master_bill="M"))
    problems = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
    bad = encoded(Papers(barcode="B1", master_bill="M", problems=problems))
    (row,) = rows([good])
    assert readable(row) == row
    for body in (b"", b"\xff\x00", good[:-1], encoded(Papers(barcode="B2", master_bill="M"))):
        assert readable(row._replace(papers=body)) == row._replace(papers=bad)

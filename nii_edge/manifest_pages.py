"""Papers on their way from the collector to an edge: pages of them, packed, unpacked and checked. No I/O.

A page is a msgpack list of pairs of a carton's number and its papers, compressed by zlib. The papers are
bytes of their own, msgpack again, so that damaged ones spoil no others.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from nii_edge.errors import ManifestError, WireError
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
)
from nii_edge.ports import PaperRow
from nii_edge.records import Reason
from nii_edge.wire import MAX_MANIFESTS_BYTES, Buffer, ManifestsMessage

PAGE_CARTONS = 1_000
"""The most cartons of one page."""
PAGE_BYTES = 192 * 1024
"""Papers of one page, not compressed; a carton with more has a page of its own."""
MAX_PAPERS_BYTES = 4 << 20
"""The largest papers of one carton that go by the line, not compressed."""
MAX_WORDS = 1 << 20
"""Characters of all descriptions of one carton: read in some 0.2 s, while other cartons wait."""
_ROOM = 1_024
"""Bytes for what a store may add: that a carton is listed twice."""
_LARGEST = 2**63 - 1
_MOST = MAX_PAPERS_BYTES + PAGE_BYTES
_LEVEL = 3
_HASH = re.compile(r"([0-9a-f]{32})?")


class _Named(msgspec.Struct):
    """As much of papers as says which carton they are of."""

    barcode: str
    master_bill: object = ""


_encoder = msgspec.msgpack.Encoder()
_page = msgspec.msgpack.Decoder(list[tuple[int, bytes]])
_papers = msgspec.msgpack.Decoder(Papers)
_named = msgspec.msgpack.Decoder(_Named)


class Entry(NamedTuple):
    """One carton of a page: its number, and its papers as they came."""

    number: int
    papers: bytes


def pack(rows: Sequence[PaperRow]) -> bytes:
    """A page, at most `MAX_MANIFESTS_BYTES`, of rows that are within `PAGE_BYTES` together, or of one row.

    Papers too large for a page, of a store that was filled before imports made them fit, are `shortened`.
    """
    if sum(len(row.papers) for row in rows) <= MAX_PAPERS_BYTES:
        packed = _packed([(row.number, row.papers) for row in rows])
        if len(packed) <= MAX_MANIFESTS_BYTES:
            return packed
    return _packed([(row.number, _encoder.encode(_shortened(row))) for row in rows])


def shortened(papers: Papers) -> Papers:
    """The papers, without the last of their lines if they are more than an edge gets and looks at in time:
    marked TOO_MANY then. The import does so: a carton's papers are the same wherever they come from."""
    lines = keep = len(papers.lines)
    short = papers
    while keep and not _fits(short):
        keep = keep * 3 // 4
        short = _first_lines(papers, keep)
    if keep == lines:
        return papers
    problems = tuple(sorted({*papers.problems, PaperProblem.TOO_MANY}))
    return msgspec.structs.replace(short, problems=problems)


def _fits(papers: Papers) -> bool:
    if sum(len(line.description) for line in papers.lines) > MAX_WORDS:
        return False
    encoded = _encoder.encode(papers)
    if len(encoded) + _ROOM <= PAGE_BYTES:  # the usual case, and no page grows by being compressed
        return True
    return len(encoded) + _ROOM <= MAX_PAPERS_BYTES and len(_packed([(_LARGEST, encoded)])) + _ROOM <= (
        MAX_MANIFESTS_BYTES
    )


def _first_lines(papers: Papers, keep: int) -> Papers:
    bills = []
    for bill in papers.house_bills:
        if keep <= 0:
            break
        bills.append(msgspec.structs.replace(bill, lines=bill.lines[:keep]))
        keep -= len(bill.lines)
    return msgspec.structs.replace(papers, house_bills=tuple(bills))


def _shortened(row: PaperRow) -> Papers:
    try:
        short = shortened(_papers.decode(row.papers))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _announced(row)
    return short if _fits(short) else _announced(row)  # bills without number and lines


def _packed(pairs: list[tuple[int, bytes]]) -> bytes:
    return zlib.compress(_encoder.encode(pairs), _LEVEL)


def _announced(row: PaperRow, why: PaperProblem = PaperProblem.TOO_MANY) -> Papers:
    problems = tuple(sorted((PaperProblem.NO_LINES, why)))
    return Papers(barcode=row.barcode, master_bill=row.master_bill, problems=problems)


def readable(row: PaperRow) -> PaperRow:
    """The row or, if its papers are damaged or another carton's, one that says so of its carton: an edge
    could not tell from such papers which carton is meant, and would go on with the old ones."""
    try:
        if _papers.decode(row.papers).barcode == row.barcode:
            return row
    except (msgspec.DecodeError, RecursionError, ValueError):
        pass
    return row._replace(papers=_encoder.encode(_announced(row, PaperProblem.BAD_ROW)))


def unpack(message: ManifestsMessage, payload: Buffer, since: int) -> list[Entry]:
    """The cartons of a page that answers a question for what comes after `since`.

    Raises:
        WireError: TOO_LARGE, or MALFORMED: its checksum, compression, form or numbers are wrong.
    """
    if len(payload) > MAX_MANIFESTS_BYTES:
        raise WireError(Reason.TOO_LARGE, f"a page of {len(payload)} bytes, at most {MAX_MANIFESTS_BYTES}")
    found = zlib.crc32(payload)
    if found != message.crc32:
        raise WireError(
            Reason.MALFORMED, f"a page of CRC-32 {found:08x}, its header says {message.crc32:08x}"
        )
    entries = [Entry(*pair) for pair in _pairs(payload)]
    if len(entries) > PAGE_CARTONS:
        raise WireError(Reason.TOO_LARGE, f"a page of {len(entries)} cartons, at most {PAGE_CARTONS}")
    before = since
    for entry in entries:
        if entry.number <= before:
            raise WireError(Reason.MALFORMED, f"a page whose carton {entry.number} comes after {before}")
        before = entry.number
    if message.next != before or message.last < before:
        raise WireError(
            Reason.MALFORMED,
            f"a page up to carton {before} that says next {message.next}, last {message.last}",
        )
    return entries


def _pairs(payload: Buffer) -> list[tuple[int, bytes]]:
    inflating = zlib.decompressobj()
    try:
        plain = inflating.decompress(payload, _MOST)
    except zlib.error as error:
        raise WireError(Reason.MALFORMED, f"a page that is not compressed by zlib: {error}") from error
    if inflating.unconsumed_tail:
        raise WireError(Reason.TOO_LARGE, f"a page of more than {_MOST} bytes once inflated")
    if not inflating.eof:
        raise WireError(Reason.MALFORMED, "a page that ends in mid-stream")
    try:
        return _page.decode(plain)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise WireError(Reason.MALFORMED, f"a page that is no list of numbers and papers: {error}") from error


def checked(encoded: bytes) -> Papers:
    """Papers that the import could have made.

    Raises:
        ManifestError: they are damaged, or hold what no import lets through; names the carton if it can.
    """
    try:
        papers = _papers.decode(encoded)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ManifestError(f"not papers of this version: {error}") from error
    for wrong in _wrong(papers):
        raise ManifestError(f"carton {papers.barcode[:MAX_CODE]!r}: {wrong}")
    return papers


def stand_in(encoded: bytes) -> Papers | None:
    """What takes the place of papers that are refused, so that no older ones stay in force: the carton, as
    NO_LINES and BAD_ROW. None if they do not say which carton they are of."""
    try:
        named = _named.decode(encoded)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    barcode, master = named.barcode.strip(), named.master_bill
    if not barcode or [*_text("barcode", barcode, MAX_CODE)]:
        return None
    if not isinstance(master, str) or [*_text("master_bill", master, MAX_CODE)]:
        master = ""
    problems = (PaperProblem.BAD_ROW, PaperProblem.NO_LINES)
    return Papers(barcode=barcode, master_bill=master, problems=problems)


def _wrong(papers: Papers) -> Iterator[str]:
    """What no import lets through, in words."""
    if not papers.barcode or papers.barcode != papers.barcode.strip():
        yield "a barcode of nothing, or with space around it"
    yield from _text("barcode", papers.barcode, MAX_CODE)
    yield from _text("master_bill", papers.master_bill, MAX_CODE)
    yield from _whole("carton", papers.carton)
    yield from _whole("cartons", papers.cartons)
    yield from _weight("gross_kg", papers.gross_kg)
    lines = sum(len(bill.lines) for bill in papers.house_bills)
    if max(lines, len(papers.house_bills)) > MAX_LINES:
        yield f"{lines} lines of {len(papers.house_bills)} house bills, at most {MAX_LINES}"
        return
    for bill in papers.house_bills:
        yield from _wrong_bill(bill)
        for line in bill.lines:
            yield from _wrong_line(line)


def _wrong_bill(bill: HouseBill) -> Iterator[str]:
    yield from _text("house_bill", bill.number, MAX_CODE)
    yield from _whole("packages", bill.packages)
    for name, value in (("shipper", bill.shipper), ("consignee", bill.consignee)):
        if not _HASH.fullmatch(value):
            yield f"{name} of {len(value)} characters is no keyed hash; the import makes them"


def _wrong_line(line: Line) -> Iterator[str]:
    digits = line.hs_code.isascii() and line.hs_code.isdigit() and 2 <= len(line.hs_code) <= 12
    if line.hs_code and not digits:
        yield f"hs_code {line.hs_code[:20]!r}, expected 2 to 12 digits"
    yield from _text("description", line.description, MAX_TEXT)
    if line.origin and not ORIGIN.fullmatch(line.origin):
        yield f"origin {line.origin[:20]!r}, expected two letters A to Z"
    yield from _whole("quantity", line.quantity)
    yield from _weight("weight_kg", line.weight_kg)
    yield from _amount("value_usd", line.value_usd)


def _text(name: str, value: str, most: int) -> Iterator[str]:
    if len(value) > most or not value.isprintable():
        yield f"{name} of {len(value)} characters, expected at most {most}, printable"


def _whole(name: str, value: int | None) -> Iterator[str]:
    if value is not None and not 1 <= value <= MAX_NUMBER:
        yield f"{name} {value}, expected 1 to {MAX_NUMBER:g}"


def _weight(name: str, value: float | None) -> Iterator[str]:
    if value == 0:
        yield f"{name} 0, expected more"
    yield from _amount(name, value)


def _amount(name: str, value: float | None) -> Iterator[str]:
    if value is not None and not (math.isfinite(value) and 0 <= value <= MAX_NUMBER):
        yield f"{name} {value}, expected 0 to {MAX_NUMBER:g}"

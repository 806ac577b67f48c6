"""Identities are for ever: these values must never change."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.records import (
    Decision,
    Gap,
    Reason,
    ScanId,
    ScanType,
    Verdict,
    format_report_id,
    is_report_id,
    preview_of,
)

SCAN = ScanId(edge="e1", scanner="lane1", epoch=7, seq=42)
SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NUMBERS = st.integers(0, 2**80 - 1)


def test_ids_never_change() -> None:
    """Alert and report ids of a scan are those published in version 1."""
    assert SCAN.alert_id == "6c7af3e9c15d2aac79377d63fd31542b"
    assert SCAN.report_id == "NII-DHXF-7TE1-BMNA-RY9Q-Z"
    assert is_report_id(SCAN.report_id)


def test_a_gap_has_an_id_of_its_own() -> None:
    """A gap's id depends on its first number alone, so that a longer look at it stays one record."""
    gap = Gap(edge="e1", scanner="lane1", epoch=7, first=43, last=44, noticed_at_ns=3)
    assert gap.alert_id == "73c91df281d459b0abdda210516668b2"
    assert msgspec.structs.replace(gap, last=99, noticed_at_ns=4).alert_id == gap.alert_id
    same_number = ScanId(edge="e1", scanner="lane1", epoch=7, seq=43)
    assert gap.alert_id != same_number.alert_id


@given(st.lists(st.builds(
    ScanId, edge=st.sampled_from(["e", "e1"]), scanner=st.sampled_from(["s", "1s"]),
    epoch=st.integers(0, 12), seq=st.integers(1, 12),
), unique=True, max_size=50))  # fmt: skip
def test_different_scans_have_different_ids(scans: list[ScanId]) -> None:
    """No two identities share an id, however alike their digits run together."""
    assert len({scan.alert_id for scan in scans}) == len(scans)
    assert len({scan.report_id for scan in scans}) == len(scans)


@given(NUMBERS)
def test_report_ids_hold_all_80_bits(number: int) -> None:
    """A report id is well formed and its 16 symbols read back as the number."""
    text = format_report_id(number)
    assert is_report_id(text)
    assert is_report_id(text.lower())
    digits = text.removeprefix("NII-")[:-2].replace("-", "")
    value = 0
    for digit in digits:
        value = value * 32 + SYMBOLS.index(digit)
    assert (len(digits), value) == (16, number)


@given(NUMBERS, st.data())
def test_every_changed_symbol_is_noticed(number: int, data: st.DataObject) -> None:
    """One symbol, the check symbol included, changed to any other is noticed."""
    text = format_report_id(number)
    place = data.draw(st.integers(4, len(text) - 1).filter(lambda i: text[i] != "-"))
    symbol = data.draw(st.sampled_from(SYMBOLS.replace(text[place], "")))
    assert not is_report_id(text[:place] + symbol + text[place + 1 :])


@given(NUMBERS, st.integers(0, 15))
def test_swapped_neighbours_are_noticed(number: int, place: int) -> None:
    """Two neighbouring symbols exchanged are noticed, except 0 and Z, which Luhn's sum cannot tell apart."""
    symbols = list(format_report_id(number).removeprefix("NII-").replace("-", ""))
    pair = {symbols[place], symbols[place + 1]}
    symbols[place], symbols[place + 1] = symbols[place + 1], symbols[place]
    swapped = "NII-" + "-".join("".join(symbols[i : i + 4]) for i in range(0, 17, 4))
    assert is_report_id(swapped) == (len(pair) == 1 or pair == {"0", "Z"})


@given(st.text(max_size=30))
def test_other_texts_are_no_report_ids(text: str) -> None:
    """Any other text is answered with False, not with an exception."""
    assert not is_report_id(text)


@pytest.mark.parametrize("decision", list(Decision))
def test_a_reason_goes_with_unknown_and_only_with_it(decision: Decision) -> None:
    """UNKNOWN without a reason, and CLEAR or ALARM with one, cannot be made."""
    fitting = Reason.TIMEOUT if decision is Decision.UNKNOWN else None
    other = None if decision is Decision.UNKNOWN else Reason.TIMEOUT
    Verdict(id=SCAN, scan_type=ScanType.OPERATIONAL, decision=decision, reason=fitting)
    with pytest.raises(ValueError, match="a reason goes with UNKNOWN"):
        Verdict(id=SCAN, scan_type=ScanType.OPERATIONAL, decision=decision, reason=other)


def test_previews_are_named_by_their_bytes() -> None:
    """A preview's name is the SHA-256 of its data."""
    assert preview_of(b"x", "image/png").sha256 == hashlib.sha256(b"x").hexdigest()


def test_records_cannot_be_changed() -> None:
    """A record is immutable."""
    with pytest.raises(AttributeError):
        SCAN.seq = 1  # type: ignore[misc]

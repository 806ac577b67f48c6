"""What a refused message calls itself, so that its sender knows which one to keep back."""

from __future__ import annotations

import msgspec
import pytest

from nii_edge.collector.intake import claimed_key
from nii_edge.records import Finding, Gap, Recall, ScanId, ScanType

SCAN = ScanId(edge="e", scanner="s", epoch=1, seq=7)
GAP = Gap(edge="e", scanner="s", epoch=1, first=3, last=5, noticed_at_ns=1)
ODD = Finding(
    detector="anomaly", kind="anomaly", label="odd_one_out", category="ANOMALY", score=0.5, why="odd"
)
RECALL = Recall(scan=SCAN, scan_type=ScanType.OPERATIONAL, because=SCAN, noticed_at_ns=1, finding=ODD)


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ({"gap": GAP}, GAP.alert_id),
        ({"recall": RECALL}, RECALL.alert_id),
        ({"report": {"alert_id": SCAN.alert_id}}, SCAN.alert_id),
        ({"sha256": "ab" * 32}, "ab" * 32),
        ({"gap": {"edge": "e"}}, None),
        ({}, None),
    ],
)
def test_every_kind_of_record_names_itself(part: dict[str, object], key: str | None) -> None:
    """Also when a newer version says more in it, and other things beside."""
    tree = msgspec.to_builtins(part)
    for inner in tree.values():
        if isinstance(inner, dict):
            inner["of_a_newer_version"] = True
    assert claimed_key([msgspec.msgpack.encode({"type": "of_a_newer_version", "more": 1, **tree})]) == key

"""`nii-edge policy try`: the command itself, on lines as the ledger and the collector export them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import yaml
from harness import command

from nii_edge.ports import LedgerEntry
from nii_edge.records import Band, Decision, Finding, Gap, Reason, Report, ScanId, ScanType, Verdict
from nii_edge.wire import Archived

POLICY = {
    "version": 1, "name": "new-1", "required_for_clear": ["shielding"], "default_alarm_at": 0.9,
    "alarms": [{"detector": "manifest", "label": "no_papers", "at": 0.2}],
}  # fmt: skip


def report(
    seq: int,
    decision: Decision,
    *findings: tuple[str, str, float],
    band: Band | None = None,
    chapters: tuple[int, ...] = (),
) -> Report:
    scan = ScanId(edge="e", scanner="s", epoch=1, seq=seq)
    verdict = Verdict(
        id=scan, scan_type=ScanType.OPERATIONAL, decision=decision,
        reason=Reason.TIMEOUT if decision is Decision.UNKNOWN else None,
        findings=tuple(
            Finding(detector=who, kind="manifest", label=label, category="OTHER", score=score, why="w")
            for who, label, score in findings
        ),
        band=band, chapters=chapters,
    )  # fmt: skip
    return Report(
        alert_id=scan.alert_id, report_id=scan.report_id, verdict=verdict, received_at_ns=1, decided_at_ns=2
    )


REPORTS = (
    report(1, Decision.ALARM, ("shielding", "impenetrable_area", 0.6)),
    report(2, Decision.CLEAR, ("manifest", "no_papers", 0.3), ("manifest", "vague_words", 0.3)),
    report(3, Decision.CLEAR),
    report(4, Decision.UNKNOWN),
    report(5, Decision.ALARM, ("shielding", "impenetrable_area", 0.95)),
)
GAP = Gap(edge="e", scanner="s", epoch=1, first=6, last=7, noticed_at_ns=3)


def tried(folder: Path, lines: list[bytes], **changes: object) -> tuple[int, str, str]:
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY | changes))
    (folder / "day.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    done = subprocess.run(
        command("policy", "try", str(folder / "policy.yaml"), str(folder / "day.jsonl"), "--json"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_what_a_changed_policy_would_have_done(tmp_path: Path) -> None:
    """Each scan once, from both kinds of export; what is no report is counted, what is nonsense is named."""
    ledger = [msgspec.json.encode(LedgerEntry(n, "k", "pending", "l", r)) for n, r in enumerate(REPORTS, 1)]
    ledger.append(msgspec.json.encode(LedgerEntry(6, "k", "pending", "l", GAP)))
    centre = [msgspec.json.encode(Archived(number=9, archived_at_ns=1, report=REPORTS[0]))]
    status, out, _ = tried(tmp_path, ledger + centre)
    found = json.loads(out)
    assert status == 0
    assert found["before"] == {"CLEAR": 2, "ALARM": 2, "UNKNOWN": 1}
    assert found["after"] == {"CLEAR": 2, "ALARM": 2, "UNKNOWN": 1}
    assert found["changes"] == {"ALARM>CLEAR": 1, "CLEAR>ALARM": 1}
    assert found["named"]["CLEAR>ALARM"] == [REPORTS[1].report_id]
    assert found["labels"]["shielding/impenetrable_area"] == {
        "scans": 2, "alarms_before": 2, "alarms_after": 1, "refers_after": 0,
    }  # fmt: skip
    assert (found["scans"], found["others"], found["unseen"]) == (5, 1, [])

    status, out, err = tried(tmp_path, [ledger[0], b"{", b"[1,2]", b'{"report":{"alert_id":7}}'])
    assert status == 1
    assert json.loads(out)["unreadable"] == 3
    assert "day.jsonl line 2" in err
    status, _, err = tried(tmp_path, [ledger[-1]])
    assert status == 1
    assert "holds no verdicts" in err


def test_what_a_changed_policy_would_have_done_with_the_cartons(tmp_path: Path) -> None:
    """By band, and by which rule; scans that name no goods are counted and held to the strictest."""
    weight = ("manifest", "mass_differs", 0.5)
    day = [
        report(1, Decision.ALARM, weight, band=Band.REVIEW, chapters=(64,)),
        report(2, Decision.ALARM, weight, band=Band.REVIEW, chapters=(72,)),
        report(3, Decision.ALARM, weight, band=Band.REVIEW, chapters=(8,)),
        report(4, Decision.ALARM, weight, band=Band.REFER),
        report(5, Decision.UNKNOWN, band=Band.REVIEW),
    ]
    rule = {"detector": "manifest", "label": "mass_differs"}
    changes = {
        "default_alarm_at": 0.5,
        "alarms": [
            rule | {"at": 0.2, "refer_at": 0.4, "chapters": [64]},
            rule | {"at": 0.9, "chapters": [72]},
        ],
    }
    lines = [msgspec.json.encode(Archived(number=n, archived_at_ns=1, report=r)) for n, r in enumerate(day)]
    status, out, _ = tried(tmp_path, lines, **changes)
    found = json.loads(out)
    assert status == 0
    assert found["changes"] == {"ALARM>CLEAR": 1}
    assert found["bands_before"] == {"CLEAR": 0, "REVIEW": 4, "REFER": 1, "none": 0}
    assert found["bands_after"] == {"CLEAR": 1, "REVIEW": 2, "REFER": 2}
    assert found["band_changes"] == {"REVIEW>CLEAR": 1, "REVIEW>REFER": 1}
    assert found["named"]["REVIEW>REFER"] == [day[0].report_id]
    assert found["rules"] == {"alarms[0] (chapter 64)": 2, "default_alarm_at": 1, "unknown_band": 1}
    assert found["goods_unknown"] == 2
    assert found["labels"]["manifest/mass_differs"]["refers_after"] == 2


def test_labels_that_no_record_has_are_said(tmp_path: Path) -> None:
    """With those that there are; where there cannot be such a label it is an error, as for `check`, unless
    it is another site's."""
    lines = [msgspec.json.encode(Archived(number=1, archived_at_ns=1, report=one)) for one in REPORTS]
    wrong = {"detector": "manifest", "label": "no_paper", "at": 0.2}
    status, out, err = tried(tmp_path, lines, alarms=[wrong])
    assert status != 0
    assert "manifest has no label 'no_paper'; it has [" in err
    assert "'no_papers'" in err
    found = json.loads(out)
    assert (found["scans"], len(found["never"]), found["unseen"]) == (5, 1, ["manifest/no_paper"])
    status, out, err = tried(tmp_path, lines, alarms=[{**wrong, "sites": ["other"]}])
    assert (status, json.loads(out)["never"], err) == (0, [], "")
    rules = [
        {"detector": "shielding", "label": "impenetrable", "at": 0.2},
        {"detector": "object", "label": "gun", "at": 0.2},
        {"detector": "manifest", "label": "mass_differs", "at": 0.2},
    ]
    status, out, err = tried(tmp_path, lines, alarms=rules)
    assert status == 0
    assert "no record has shielding/impenetrable, of shielding they have impenetrable_area:" in err
    assert "no record has object/gun, nor anything of object:" in err
    assert json.loads(out)["unseen_labels"] == err.splitlines()

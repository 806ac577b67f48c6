"""Inside the inference process: scans in, what the detectors say out."""

from __future__ import annotations

from collections.abc import Sequence

from nii_edge.edge.jobs import Job, JobDone, JobScan
from nii_edge.edge.slots import SlotView
from nii_edge.errors import DetectorFaultError
from nii_edge.ports import Detector
from nii_edge.records import Finding, Outcome, Scan
from nii_edge.xray import quality


def look(job: Job, detectors: Sequence[Detector], slots: SlotView) -> JobDone:
    """Every detector's word on every scan of the job."""
    scans = [_scan(scan, slots) for scan in job.scans]
    bad = {i: problem for i, scan in enumerate(scans) if (problem := quality.problem(scan)) is not None}
    outcomes: list[list[Outcome]] = [[] for _ in scans]
    good = [i for i in range(len(scans)) if i not in bad]
    for detector in detectors:
        for i, outcome in zip(good, _ask(detector, [scans[i] for i in good]), strict=True):
            outcomes[i].append(outcome)
    return JobDone(number=job.number, outcomes=tuple(map(tuple, outcomes)), bad_frames=bad)


def _ask(detector: Detector, scans: Sequence[Scan]) -> list[Outcome]:
    """One detector's word on each scan. When it fails on several at once each is asked alone, so that one
    carton's frame cannot fault its neighbours."""
    skipped = [detector.not_applicable(scan) for scan in scans]
    todo = [scan for scan, why in zip(scans, skipped, strict=True) if why is None]
    found = iter(_detect(detector, todo))
    return [
        next(found) if why is None else Outcome(detector=detector.name, not_applicable=why) for why in skipped
    ]


def _detect(detector: Detector, scans: Sequence[Scan]) -> list[Outcome]:
    if not scans:
        return []
    try:
        found = detector.detect(scans)
        if len(found) != len(scans):
            raise DetectorFaultError(f"answered for {len(found)} scans, asked for {len(scans)}")
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it becomes the scan's fault
        if len(scans) > 1:
            return [outcome for scan in scans for outcome in _detect(detector, [scan])]
        return [Outcome(detector=detector.name, fault=f"{type(error).__name__}: {error}"[:300])]
    return [_checked(detector.name, findings) for findings in found]


def _checked(name: str, findings: tuple[Finding, ...]) -> Outcome:
    for finding in findings:
        if not 0 <= finding.score <= 1:
            return Outcome(detector=name, fault=f"score {finding.score} of {finding.label} is not in 0-1")
    return Outcome(detector=name, findings=findings)


def _scan(job: JobScan, slots: SlotView) -> Scan:
    frames = tuple(slots.frame(frame) for frame in job.frames)
    return Scan(id=job.id, scan_type=job.scan_type, carton=job.carton, frames=frames)

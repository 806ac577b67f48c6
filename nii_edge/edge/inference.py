"""Inside the inference process: scans in, what the detectors say out."""

from __future__ import annotations

from collections.abc import Sequence

from nii_edge.edge.jobs import Job, JobDone, JobScan
from nii_edge.edge.slots import SlotView
from nii_edge.errors import DetectorFaultError
from nii_edge.ports import Detector
from nii_edge.records import Finding, Outcome, Scan


def look(job: Job, detectors: Sequence[Detector], slots: SlotView) -> JobDone:
    """Every detector's word on every scan of the job."""
    scans = [_scan(scan, slots) for scan in job.scans]
    outcomes = [_ask(detector, scans) for detector in detectors]
    return JobDone(number=job.number, outcomes=tuple(zip(*outcomes, strict=True)) or ((),) * len(scans))


def _ask(detector: Detector, scans: Sequence[Scan]) -> list[Outcome]:
    """One detector's word on each scan. When it fails on several at once each is asked alone, so that one
    carton's frame cannot fault its neighbours."""
    skipped = [_skipped(detector, scan) for scan in scans]
    todo = [scan for scan, skip in zip(scans, skipped, strict=True) if skip is None]
    found = iter(_detect(detector, todo))
    return [next(found) if skip is None else skip for skip in skipped]


def _skipped(detector: Detector, scan: Scan) -> Outcome | None:
    """Why the detector does not look at a scan, and what it tells all the same; None if it looks."""
    try:
        why = detector.not_applicable(scan)
        findings = () if why is None else detector.beside(scan)
    except Exception as error:  # noqa: BLE001 - as in `_detect`: one carton's fault must not end the process
        return Outcome(detector=detector.name, fault=f"{type(error).__name__}: {error}"[:300])
    return None if why is None else _checked(detector.name, findings, why)


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


def _checked(name: str, findings: tuple[Finding, ...], not_applicable: str | None = None) -> Outcome:
    for finding in findings:
        if not 0 <= finding.score <= 1:
            return Outcome(detector=name, fault=f"score {finding.score} of {finding.label} is not in 0-1")
    return Outcome(detector=name, findings=findings, not_applicable=not_applicable)


def _scan(job: JobScan, slots: SlotView) -> Scan:
    frames = tuple(slots.frame(frame) for frame in job.frames)
    return Scan(id=job.id, scan_type=job.scan_type, carton=job.carton, frames=frames, scale_kg=job.scale_kg)

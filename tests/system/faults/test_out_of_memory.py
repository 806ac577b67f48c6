"""An inference process that gets no memory any more, as the kernel tells it: its allocations fail."""

from __future__ import annotations

import resource

import numpy as np
from harness import Site, alive, dual, until

from nii_edge.client import Picture, ScannerClient
from nii_edge.edge.engine import FAULTS_IN_A_ROW
from nii_edge.records import Decision, Reason


def large(seed: int) -> list[Picture]:
    """Both views of a carton that needs more memory than any before it."""
    height, width = 1600, 1200
    views = []
    for view in range(2):
        mean = np.full((height, width, 2), 40_000.0, np.float32)
        mean[60:-60, 80:-80] *= 0.8
        noise = np.random.default_rng(2 * seed + view).normal(0, 150, mean.shape)
        pixels = (mean + noise).astype(np.uint16).tobytes()
        views.append(Picture(pixels, height=height, width=width, channels=("low", "high"), dtype="uint16"))
    return views


def test_a_process_out_of_memory_faults_its_scans_and_is_replaced(site: Site) -> None:
    """Scans it cannot look at are UNKNOWN(MODEL_FAULT) and never CLEAR. If that goes on it is replaced, and
    the next one screens; the daemon stays."""
    edge = site.edge()
    starved = edge.child()
    with ScannerClient(edge.endpoints["scanners"], "lane-1", deadline_s=20) as scanner:
        assert scanner.wait(scanner.send(dual(1))).decision is Decision.CLEAR
        resource.prlimit(starved, resource.RLIMIT_DATA, (1, 1))
        faulted = [scanner.wait(scanner.send(large(seed))) for seed in range(FAULTS_IN_A_ROW)]
        assert {(a.decision, a.reason) for a in faulted} == {(Decision.UNKNOWN, Reason.MODEL_FAULT)}
        until(lambda: not alive(starved), what="the end of the starved process")
        until(lambda: scanner.wait(scanner.send(large(9))).decision is Decision.CLEAR, 60, "CLEAR again")
    (lost,) = edge.events("inference process lost")
    assert f"failed on {FAULTS_IN_A_ROW} scans in a row" in lost["why"]
    assert edge.child() != starved
    assert edge.stop() == 0

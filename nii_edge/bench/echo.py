"""The plain echo (``python -m nii_edge.bench.echo ENDPOINT BUNDLE THREADS``): what a capable engineer writes
in an afternoon around the same front end, runtime and head.

A ROUTER, one frame at a time, greedy, nothing checked, nothing kept. It prints ``ready`` when it listens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import zmq

from nii_edge import wire
from nii_edge.bench.frames import as_frame
from nii_edge.bench.reference import scan_of
from nii_edge.config import Inference
from nii_edge.detect.model_detector import ModelDetector
from nii_edge.inference_process import open_detector
from nii_edge.records import Decision, Finding, Report, ScanId, Verdict
from nii_edge.wire import FrameMessage, VerdictMessage


def serve(router: zmq.Socket[bytes], detector: ModelDetector) -> None:
    """Answer frames until killed."""
    while True:
        peer, *parts = router.recv_multipart(copy=False)
        message, payload = wire.decode_frame([part.buffer for part in parts])
        shape = (message.height or 0, message.width or 0, 2)
        scan = scan_of(as_frame(np.frombuffer(payload, "<u2").reshape(shape)))
        (findings,) = detector.detect([scan])
        router.send_multipart([peer.bytes, wire.encode(_answer(message, findings))])


def _answer(message: FrameMessage, findings: tuple[Finding, ...]) -> VerdictMessage:
    scan = ScanId(edge="echo", scanner=message.scanner, epoch=message.epoch, seq=message.seq)
    verdict = Verdict(id=scan, scan_type=message.scan_type, decision=Decision.CLEAR, findings=findings)
    return VerdictMessage(
        scanner=message.scanner,
        epoch=message.epoch,
        seq=message.seq,
        decision=verdict.decision,
        scan_type=message.scan_type,
        report=Report(
            alert_id="0" * 32, report_id="NII-ECHO", verdict=verdict, received_at_ns=0, decided_at_ns=0
        ),
    )


def main() -> None:
    """Entry point."""
    endpoint, bundle, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    cv2.setNumThreads(threads)
    detector, _, _ = open_detector("reference", bundle, Inference(threads=threads))
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind(endpoint)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serve(router, detector)


if __name__ == "__main__":
    main()

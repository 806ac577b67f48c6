"""The daemon's side of the decoder process: one picture at a time, killed when it takes too long."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import NamedTuple

from nii_edge.edge.children import Child
from nii_edge.edge.jobs import Decoded, DecodeJob, Setup
from nii_edge.edge.slots import SlotPool
from nii_edge.edge.threads import TURN_S, GuardedThread, OnFailure, ignore
from nii_edge.ports import Clock
from nii_edge.records import Reason, ScanId
from nii_edge.telemetry import Metrics, logger

DECODE_TIMEOUT_S = 2.0
LEAST_PATIENCE_S = 0.1
START_TIMEOUT_S = 10.0


class _Order(NamedTuple):
    scan: ScanId
    view: int
    job: DecodeJob
    until: float


class Decoding:
    """`decoded` is called in this thread with the scan, its view, and the result."""

    def __init__(
        self,
        setup: Setup,
        slots: SlotPool,
        decoded: Callable[[ScanId, int, Decoded], None],
        clock: Clock,
        metrics: Metrics,
        failed: OnFailure = ignore,
    ) -> None:
        self._setup = setup
        self._slots = slots
        self._decoded = decoded
        self._clock = clock
        self._metrics = metrics
        self._queue: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self.thread = GuardedThread("decoding", self._run, failed)
        self._child: Child | None = None
        self._log = logger("decoder")

    def start(self) -> None:
        """Begin, with a decoder process at hand so that the first picture need not wait for it."""
        self.thread.start()

    def decode(self, scan: ScanId, view: int, job: DecodeJob, until: float) -> None:
        """Queue a picture. Its slot is held until it is done; after `until` (monotonic) nobody wants it."""
        self._slots.hold(job.slot)
        self._queue.put(_Order(scan, view, job, until))

    def stop(self) -> None:
        """Finish what is queued, end the process and the thread."""
        self._queue.put(None)
        self.thread.join()

    def _run(self) -> None:
        self._ensure_child()
        while (order := self._next()) is not None:
            if self._clock.monotonic() < order.until:
                result = self._ask(order)
            else:
                result = Decoded(reason=Reason.TIMEOUT, detail="its pictures were not decoded in time")
            if result.reason is not None:
                self._metrics.decoder_failures.labels(result.reason.value).inc()
            self._slots.release(order.job.slot)
            self._decoded(order.scan, order.view, result)
        self._drop()

    def _next(self) -> _Order | None:
        """The next picture; None when told to end."""
        while True:
            self.thread.beat()
            try:
                return self._queue.get(timeout=TURN_S)
            except queue.Empty:
                continue

    def _ensure_child(self) -> Decoded:
        """A decoder that said it is up; `reason` is set if there is none."""
        if self._child is not None:
            return Decoded()
        try:
            self._child = Child("nii_edge.edge.decoder", self._setup)
        except OSError as error:
            return self._lost(f"not started: {error}")
        self._metrics.child_starts.labels("decoder").inc()
        if not self._child.connection.poll(START_TIMEOUT_S):
            return self._lost(f"not up within {START_TIMEOUT_S:g} s")
        return self._receive()

    def _ask(self, order: _Order) -> Decoded:
        problem = self._ensure_child()
        if problem.reason is not None or self._child is None:
            return problem
        self._child.send(order.job)
        # the next picture may be another lane's: a hung decoder is not given longer than this one has
        patience = min(DECODE_TIMEOUT_S, max(LEAST_PATIENCE_S, order.until - self._clock.monotonic()))
        if not self._child.connection.poll(patience):
            return self._lost(f"not decoded within {patience:.2f} s")
        return self._receive()

    def _receive(self) -> Decoded:
        if self._child is None:
            return self._lost("no decoder")
        try:
            answer = self._child.receive(Decoded)
        except EOFError as error:
            return self._lost(f"the decoder died{f': {error}' if str(error) else ''}", Reason.MODEL_FAULT)
        assert isinstance(answer, Decoded)  # noqa: S101 - receive() decodes nothing else
        return answer

    def _lost(self, why: str, reason: Reason = Reason.CORRUPT_FRAME) -> Decoded:
        status = self._drop()
        self._log.error("decoder process lost", why=why, status=status)
        return Decoded(reason=reason, detail=why)

    def _drop(self) -> int | None:
        """End the process; its exit status, negative for a signal."""
        child, self._child = self._child, None
        return None if child is None else child.kill()

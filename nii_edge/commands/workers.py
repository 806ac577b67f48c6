"""Simulated consignments on all cores: results in order, few under way, no worker left behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from typing import TypeVar

import cv2

from nii_edge.simulate.calibrated import Calibrated, know
from nii_edge.simulate.produce import Job

T = TypeVar("T")

LOOK_S = 0.2
"""How often is looked whether to stop."""
AHEAD = 4
"""Jobs per worker under way, so that none waits and memory stays bounded."""


_CONTEXT = get_context("forkserver")
"""Workers are forked from a process that has imported what they need once, and has no threads."""


class StoppedError(Exception):
    """Somebody said stop."""


def never() -> bool:
    """Nobody says stop."""
    return False


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def get_ready() -> None:
    """Begin to import what workers need, in a process of its own, while this one does something else."""
    _CONTEXT.set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # it would let Ctrl-C through again if it were started below
    with _uninterrupted(), _one_blas_thread():  # which workers inherit
        forkserver.ensure_running()


def in_order(
    call: Callable[[Job], T],
    work: Sequence[Job],
    units: Sequence[Calibrated],
    workers: int,
    stopped: Callable[[], bool] = never,
) -> Iterator[T]:
    """What `call`, which can be pickled, makes of each job; `units` are known to every worker.

    Raises:
        StoppedError: `stopped` said so. Whatever `call` raises.
    """
    get_ready()
    with ExitStack() as stack:
        pool = stack.enter_context(
            ProcessPoolExecutor(workers, mp_context=_CONTEXT, initializer=_prepare, initargs=(units,))
        )
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        waiting: list[Future[T]] = []
        for job in work:
            with _uninterrupted():  # which workers inherit: it is for us to end them
                waiting.append(pool.submit(call, job))
            if len(waiting) >= AHEAD * workers:
                yield _result(waiting.pop(0), stopped)
        while waiting:
            yield _result(waiting.pop(0), stopped)
        pool.shutdown()  # all is done: nothing of the pool may be left to end when this process does


def _result(job: Future[T], stopped: Callable[[], bool]) -> T:
    """What came of a job. Nothing is interrupted in its midst: a pool half started leaves workers behind."""
    while not stopped():
        if wait([job], LOOK_S).done:
            return job.result()
    raise StoppedError


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C has to wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """For processes started here, unless the user has said how many."""
    name = "OPENBLAS_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"  # it is read when NumPy is imported, before a worker can say anything
    try:
        yield
    finally:
        del os.environ[name]


def _prepare(units: Sequence[Calibrated]) -> None:
    """Workers are as many as cores: none may have threads beside, and none need calibrate again."""
    cv2.setNumThreads(1)
    know(units)
    gc.freeze()  # what was imported stays: looking through it again and again frees nothing
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

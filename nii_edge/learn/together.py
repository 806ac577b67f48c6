"""Several processes that learn one network together.

On a CPU, processes of one thread each learn quicker than one process of several threads (docs/TRAINING.md).
Each draws its own pictures; their gradients are averaged by torch.distributed.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from nii_edge.errors import DataError
from nii_edge.heap import keep_freed_memory

LEAST_BATCH = 8
"""Pictures a process and step: with fewer, its norms know too little of them."""
PATIENCE = timedelta(minutes=20)
"""How long a process waits for the others, who may be validating."""

ENDING_S = 5.0
"""How long a process may take to end."""


def processes_for(batch: int) -> int:
    """How many processes learn best here with so many pictures in a step."""
    return max(1, min(len(os.sched_getaffinity(0)), batch // LEAST_BATCH))


def rank() -> int:
    """Which of the processes this one is; 0 leads."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@contextmanager
def led(processes: int, follow: Callable[..., object], *given: Any) -> Iterator[None]:
    """This process leads; beside it `processes` - 1 others run ``follow(*given)``, which must be a function
    of a module and take part in the same steps.

    Raises:
        DataError: one of the others ended.
    """
    if processes == 1:
        yield
        return
    threads = torch.get_num_threads()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_follower, args=(number, processes, meeting, follow, given))
            for number in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            _join(0, processes, meeting)
            yield
        except RuntimeError as error:
            for other in others:
                other.join(ENDING_S)
            codes = [other.exitcode for other in others if other.exitcode]
            if not codes:
                raise
            raise DataError(
                f"a process that learns beside this one ended with {codes[0]}; what it said stands above. "
                "Start again: the run goes on from its last checkpoint"
            ) from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            torch.set_num_threads(threads)
            for other in others:
                other.join(ENDING_S)
                other.terminate()
                other.join()


def _follower(
    number: int, processes: int, meeting: Path, follow: Callable[..., object], given: tuple[Any, ...]
) -> None:
    keep_freed_memory()
    _join(number, processes, meeting)
    try:
        follow(*given)
    finally:
        dist.destroy_process_group()


def _join(number: int, processes: int, meeting: Path) -> None:
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=processes, timeout=PATIENCE
    )

"""Memory that is freed and needed again at once stays with the process."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -3, -4, -8
"""Parameters of mallopt(3)."""
_ALL = 2**31 - 1
_PAD_BYTES = 256 << 20
_MAPPED_BYTES = 32 << 20
"""Blocks from this size on are mapped by themselves; glibc takes no more."""
SERVICE_BYTES = 128 << 20
"""What a service keeps in each of its `_SERVICE_ARENAS` at most: some thirty views on their way."""
_SERVICE_ARENAS = 2


def keep_freed_memory(most: int | None = None) -> bool:
    """Ask glibc not to give freed memory back to the system, which clears every page before it is used again:
    thousands of page faults a step of training (tools/time_training.py), and some for every view in the
    daemon (docs/decisions/0009).

    Call it before anything large is allocated. `most`: bytes that are kept in each of two arenas, which all
    threads share; all bytes, in one arena, if left out. False where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = (
        ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _ALL), (_M_TOP_PAD, _PAD_BYTES))
        if most is None
        else (
            (_M_ARENA_MAX, _SERVICE_ARENAS),
            (_M_TRIM_THRESHOLD, most),
            (_M_MMAP_THRESHOLD, _MAPPED_BYTES),
        )
    )
    done = [mallopt(which, value) == 1 for which, value in wanted]
    return all(done)

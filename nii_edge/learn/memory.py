"""Memory that training frees and needs again at once stays with the process."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
"""Parameters of mallopt(3)."""
_KEPT = 2**31 - 1
_PAD_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """Ask glibc not to give memory back to the system between steps, which cost thousands of page faults each
    (tools/time_training.py). Call it before torch allocates anything large. False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _PAD_BYTES))
    done = [mallopt(which, value) == 1 for which, value in wanted]
    return all(done)

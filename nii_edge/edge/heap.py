"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3): free memory at the end of the heap beyond which it goes back to the kernel; size from which a
block is mapped by itself, and given back as soon as it is freed."""
KEPT_BYTES = 128 << 20
MAPPED_BYTES = 32 << 20
"""The most that glibc takes; views are smaller, as a rule."""


def keep_freed_memory() -> None:
    """Have blocks of a view's size reused rather than given back to the kernel, which clears each page anew:
    with 3.4 MB a view that costs 0.4 ms of CPU time a scan. At most `KEPT_BYTES` are kept. C libraries
    without these settings do as they like."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)

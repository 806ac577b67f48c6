"""A queue between threads whose reader can also wait on sockets and pipes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Many threads put, one takes. `fileno` is readable while something waits, so that the owner can
    poll it beside its sockets."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False
        self._lock = threading.Lock()

    def put(self, item: T) -> bool:
        """Append and wake the reader. False after `close`: nobody reads any more, the item is dropped."""
        with self._lock:
            if self._closed:
                return False
            self._items.append(item)
            os.eventfd_write(self._event, 1)
        return True

    def take(self) -> Iterator[T]:
        """Everything that waits, in order."""
        with contextlib.suppress(BlockingIOError):  # nothing new
            os.eventfd_read(self._event)
        while self._items:
            yield self._items.popleft()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._event

    def __len__(self) -> int:
        return len(self._items)

    def close(self) -> None:
        """Give the descriptor back; what is put later is dropped."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._event)

"""The mailbox between threads: order, wake-ups, and the end."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

import pytest

from nii_edge.edge.mailbox import Mailbox


@pytest.fixture
def box() -> Iterator[Mailbox[int]]:
    made: Mailbox[int] = Mailbox()
    yield made
    made.close()


def readable(box: Mailbox[int], seconds: float = 0) -> bool:
    return bool(select.select([box], [], [], seconds)[0])


def test_items_come_out_in_the_order_they_went_in(box: Mailbox[int]) -> None:
    """First in, first out, and each once."""
    for i in range(5):
        box.put(i)
    assert len(box) == 5
    assert list(box.take()) == [0, 1, 2, 3, 4]
    assert list(box.take()) == []
    assert len(box) == 0


def test_it_is_readable_while_something_waits_and_only_then(box: Mailbox[int]) -> None:
    """A reader that polls neither sleeps on mail nor spins without any."""
    assert not readable(box)
    box.put(1)
    box.put(2)
    assert readable(box)
    assert list(box.take()) == [1, 2]
    assert not readable(box)


def test_what_comes_while_taking_is_taken_or_wakes_again(box: Mailbox[int]) -> None:
    """An item put during `take` is not lost, whether or not the reader goes on taking."""
    box.put(1)
    taking = box.take()
    assert next(taking) == 1
    box.put(2)
    taking.close()  # type: ignore[attr-defined]
    assert readable(box)
    assert list(box.take()) == [2]


def test_many_writers_lose_nothing(box: Mailbox[int]) -> None:
    """Four threads' items all arrive, each thread's in its order, with the reader asleep between."""
    writers = [
        threading.Thread(target=lambda w=w: [box.put(1000 * w + i) for i in range(500)]) for w in range(4)
    ]
    for writer in writers:
        writer.start()
    got: list[int] = []
    while len(got) < 2000:
        assert readable(box, 10), f"asleep with {len(got)} of 2000"
        got.extend(box.take())
    for writer in writers:
        writer.join()
    for w in range(4):
        assert [g for g in got if g // 1000 == w] == [1000 * w + i for i in range(500)]


def test_after_close_mail_is_dropped_without_harm() -> None:
    """A late writer neither fails nor writes to a descriptor that is now someone else's."""
    box: Mailbox[int] = Mailbox()
    number = box.fileno()
    box.close()
    taken = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        os.dup2(taken, number)  # whoever opens a file next may get this number
        box.put(1)
        box.close()
        assert not select.select([number], [], [], 0)[0]
    finally:
        for fd in {taken, number}:
            os.close(fd)

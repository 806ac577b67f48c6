"""Shared memory for frames: who holds a slot, and what lies in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.edge.slots import SlotPool, SlotView


@pytest.fixture
def pool() -> Iterator[SlotPool]:
    with SlotPool(3, 4096) as made:
        yield made


@given(st.lists(st.tuples(st.sampled_from(["acquire", "hold", "release"]), st.integers(0, 2)), max_size=40))
def test_a_slot_is_free_exactly_when_nobody_holds_it(steps: list[tuple[str, int]]) -> None:
    """Any sequence of acquire, hold and release keeps count; what is not held cannot be held or released."""
    holders: Counter[int] = Counter()
    with SlotPool(3, 4096) as pool:
        for step, slot in steps:
            if step == "acquire":
                got = pool.acquire()
                assert (got is None) == (len(+holders) == 3)
                if got is not None:
                    assert holders[got] == 0
                    holders[got] = 1
            elif holders[slot] == 0:
                with pytest.raises(ValueError, match=f"slot {slot} "):
                    getattr(pool, step)(slot)
            else:
                getattr(pool, step)(slot)
                holders[slot] += 1 if step == "hold" else -1
            assert pool.free == 3 - len(+holders)


def test_slots_are_whole_pages_and_apart(pool: SlotPool) -> None:
    """What is written to one slot to its last byte is not seen in the next."""
    for slot in range(3):
        pool.buffer(slot, pool.slot_bytes)[:] = bytes([slot + 1]) * pool.slot_bytes
    for slot in range(3):
        assert set(bytes(pool.buffer(slot, pool.slot_bytes))) == {slot + 1}


def test_a_size_that_is_no_multiple_of_a_page_is_rounded_up() -> None:
    """A slot holds at least what was asked for, and begins on a page."""
    with SlotPool(2, 4097) as pool:
        assert pool.slot_bytes == 8192
        assert len(pool.buffer(1, 4097)) == 4097


@pytest.mark.parametrize(("slot", "size"), [(-1, 1), (3, 1), (0, -1), (0, 4097)])
def test_nothing_outside_a_slot_is_given_out(pool: SlotPool, slot: int, size: int) -> None:
    """A slot that does not exist or a size that does not fit is refused."""
    with pytest.raises(ValueError, match=f"slot {slot} of 3, {size} of 4096 bytes"):
        pool.buffer(slot, size)


def test_pixels_larger_than_a_slot_are_refused(pool: SlotPool) -> None:
    """A shape that needs more than a slot raises and does not show the neighbour's pixels."""
    with pytest.raises(ValueError, match="of 4096 bytes"):
        pool.pixels(0, (64, 64, 1), "uint16")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pixels_are_the_slots_bytes_little_endian_and_read_only(pool: SlotPool, dtype: str) -> None:
    """Pixels are a view of the memory, in the wire's byte order, and cannot be written through."""
    values = np.arange(24).reshape(2, 4, 3).astype(np.dtype(dtype).newbyteorder("<"))
    pool.buffer(1, values.nbytes)[:] = values.tobytes()
    pixels = pool.pixels(1, (2, 4, 3), dtype)  # type: ignore[arg-type]
    np.testing.assert_array_equal(pixels, values)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1
    pool.buffer(1, 1)[:] = b"\x07"
    assert pixels.tobytes()[:1] == b"\x07"


def test_a_child_sees_the_same_memory_and_its_death_does_not_take_it_away(pool: SlotPool) -> None:
    """A child that inherits the descriptor reads and writes the slots; they outlive it."""
    pool.buffer(2, 5)[:] = b"hello"
    code = (
        "import sys; from nii_edge.edge.slots import SlotView; v = SlotView(int(sys.argv[1]), 3, 4096); "
        "assert bytes(v.buffer(2, 5)) == b'hello'; v.buffer(0, 3)[:] = b'abc'; import os; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(pool.fd)], pass_fds=(pool.fd,), check=True)
    assert bytes(pool.buffer(0, 3)) == b"abc"
    assert bytes(pool.buffer(2, 5)) == b"hello"


def test_closing_gives_the_descriptor_back_though_an_array_still_looks() -> None:
    """Close does not raise while pixels are in use, they stay readable, and the memory file is closed."""
    pool = SlotPool(1, 4096)
    pool.buffer(0, 1)[:] = b"\x2a"
    pixels = pool.pixels(0, (1, 1, 1), "uint8")
    pool.close()
    assert pixels[0, 0, 0] == 42
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pool.fd)


def test_the_memory_has_no_name(pool: SlotPool) -> None:
    """Nothing of it stands in the file system, so nothing is left behind by a kill."""
    assert os.readlink(f"/proc/self/fd/{pool.fd}").startswith("/memfd:")


def test_a_view_of_the_wrong_size_is_refused(pool: SlotPool) -> None:
    """A process told of more slots than there are does not start with memory that is not there."""
    with pytest.raises(ValueError, match="greater than file size"):
        SlotView(pool.fd, 4, 4096)


def test_reserved_slots_are_lent_to_nobody() -> None:
    """They come on top of the others, can be held and released, and never become free."""
    with SlotPool(2, 4096, reserved=2) as pool:
        assert (pool.slots, pool.free, pool.reserved) == (4, 2, (2, 3))
        taken = {pool.acquire(), pool.acquire()}
        assert taken == {0, 1}
        assert pool.acquire() is None
        for slot in pool.reserved:
            pool.buffer(slot, 4096)[:] = bytes(4096)
            pool.hold(slot)
            pool.release(slot)
        assert pool.acquire() is None
        assert pool.free == 0

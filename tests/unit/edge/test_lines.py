"""The cutter alone, against a second one that sees all lines at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.edge.lines import Begin, Cut, Cutter, End, Event, Lines, Lost, Rows
from nii_edge.records import Reason

WIDTH = 16
AIR, DARK = 40_000, 9_000
CUT = Cut(
    counts=2, shift=0, skip=1, debounce=3, gap=12, margin=3, shortest=8, longest=60,
    level=36_000.0, dark_pixels=4, barrier=False,
)  # fmt: skip


class Carton(NamedTuple):
    """What came out: edges, flaw, and the number in the first pixel of each of its lines."""

    first: int
    last: int
    reason: Reason | None
    marks: tuple[int, ...]


@dataclass
class Heard:
    """The events of a cutter, gathered."""

    cartons: list[Carton]
    lost: list[Lost]


def belt(dark: list[int], first_mark: int = 0) -> np.ndarray:
    """Lines with so many dark pixels each; the last pixel says which line it is."""
    pixels = np.full((len(dark), WIDTH, 1), AIR, np.uint16)
    for line, count in enumerate(dark):
        pixels[line, :count] = DARK
        pixels[line, WIDTH - 1] = AIR + first_mark + line
    return pixels


def encoder(lines: int, first: int = 0) -> np.ndarray:
    return (first + np.arange(lines, dtype=np.int64)) * CUT.counts


def gather(events: list[Event], heard: Heard, marks: list[int]) -> None:
    for event in events:
        match event:
            case Begin():
                assert not marks
            case Rows(pixels):
                marks += (pixels[:, WIDTH - 1, 0].astype(int) - AIR).tolist()
            case End(first, last, flaw):
                heard.cartons.append(Carton(first, last, None if flaw is None else flaw[0], tuple(marks)))
                marks.clear()
            case Lost():
                heard.lost.append(event)


def cut(lines: Lines, sizes: list[int] | None = None, settings: Cut = CUT) -> Heard:
    """All of it through a cutter, in calls of these sizes (then one at a time), and finished."""
    cutter, heard, marks = Cutter(settings), Heard([], []), []
    start = 0
    sizes = list(sizes or [len(lines.encoder)])
    while start < len(lines.encoder):
        stop = start + (sizes.pop(0) if sizes else 1)
        part = Lines(*(None if x is None else x[start:stop] for x in lines))
        gather(cutter.feed(part), heard, marks)
        start = stop
    gather(cutter.finish("no more"), heard, marks)
    return heard


def runs(bits: np.ndarray, hole: int) -> list[tuple[int, int]]:
    """First and last of each run of set bits, holes of up to `hole` closed."""
    found: list[list[int]] = []
    for at in np.flatnonzero(bits).tolist():
        if found and at - found[-1][1] - 1 <= hole:
            found[-1][1] = at
        else:
            found.append([at, at])
    return [(first, last) for first, last in found]


def cut_at_once(dark: list[int]) -> list[tuple[int, int, Reason | None]]:
    """The edges and flaws of a whole belt whose lines all follow each other and that ends in air."""
    count = np.array(dark)
    firm = [r for r in runs(count >= CUT.dark_pixels, CUT.debounce) if r[1] - r[0] + 1 >= CUT.debounce]
    cartons: list[list] = []
    for first, last in runs(2 * count >= CUT.dark_pixels, CUT.debounce):
        sure = [f[0] + CUT.debounce - 1 for f in firm if first <= f[0] <= last]
        # the line with which the firm run becomes long enough: a hole may be just there
        sure = [next(x for x in range(s, last + 1) if dark[x] >= CUT.dark_pixels) for s in sure]
        if not sure:
            continue
        begin = max(first, sure[0] - CUT.gap)
        if cartons and begin - cartons[-1][1] - 1 < CUT.gap:
            cartons[-1][1], cartons[-1][2] = last, True
        else:
            cartons.append([begin, last, False])
    out = []
    for first, last, merged in cartons:
        length = last - first + 1
        reason = None
        if first <= CUT.debounce:
            reason = Reason.CUT
        elif merged or length > CUT.longest:
            reason = Reason.MERGED
        elif length < CUT.shortest:
            reason = Reason.CUT
        out.append((first + 1, last + 1, reason))
    return out


stretch = st.one_of(
    st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8]), st.integers(1, 40)),
    st.tuples(st.just(0), st.integers(10, 16)),
    st.tuples(st.just(8), st.integers(8, 30)),
)
belts = st.lists(stretch, min_size=1, max_size=14).map(
    lambda parts: [dark for dark, length in parts for _ in range(length)] + [0] * 30
)


@settings(deadline=None, max_examples=300)
@given(belts, st.lists(st.integers(1, 50), max_size=20))
def test_any_division_of_the_same_lines_gives_the_same_cartons_as_a_look_at_the_whole(
    dark: list[int], sizes: list[int]
) -> None:
    """Edges and flaws are those of the definition, and each picture is its lines with their margins."""
    lines = Lines(encoder(len(dark)), belt(dark))
    heard = cut(lines, sizes)
    assert heard == cut(lines)
    assert heard.lost == []
    if longest_run(dark) < 2 * CUT.longest:
        assert [c[:3] for c in heard.cartons] == cut_at_once(dark)
    for carton in heard.cartons:
        assert list(carton.marks) == list(range(carton.marks[0], carton.marks[-1] + 1))
        if carton.reason is not Reason.CUT:
            assert carton.marks[0] == max(0, carton.first - 1 - CUT.margin)
            assert carton.marks[-1] == carton.last - 1 + CUT.margin


def longest_run(dark: list[int]) -> int:
    found = cut_at_once(dark)
    return max((last - first + 1 for first, last, _ in found), default=0)


BOX = [0] * 20 + [8] * 20 + [0] * 30
"""A carton at places 21 to 40."""


def test_single_dark_pixels_and_single_dark_lines_are_no_carton() -> None:
    """A dead pixel, a line of noise in the air, or a light line inside a carton change nothing."""
    noisy = [max(1, dark) for dark in BOX]
    noisy[5] = noisy[60] = WIDTH - 1
    noisy[30] = 0
    for dark in (BOX, noisy):
        heard = cut(Lines(encoder(len(dark)), belt(dark)))
        assert [c[:3] for c in heard.cartons] == [(21, 40, None)]


def test_lines_of_a_belt_that_stands_or_runs_back_are_left_out() -> None:
    """The carton is the same, line by line, whether or not the belt stopped and rolled back in its middle."""
    pixels, counts = belt(BOX), encoder(len(BOX))
    steady = cut(Lines(counts, pixels))
    order = [*range(30), *[29] * 15, *range(29, 24, -1), *range(25, len(BOX))]
    assert cut(Lines(counts[order], pixels[order]), [7] * 9) == steady
    assert [c[:3] for c in steady.cartons] == [(21, 40, None)]


def test_one_line_that_the_belt_was_too_fast_for_is_filled_in_and_more_are_lost() -> None:
    """Up to `skip` places are filled with the line after them; a carton with more missing is CUT."""
    pixels, counts = belt(BOX), encoder(len(BOX))
    one = [i for i in range(len(BOX)) if i != 30]
    (carton,) = cut(Lines(counts[one], pixels[one])).cartons
    assert carton[:3] == (21, 40, None)
    assert carton.marks[30 - 17 : 32 - 17] == (31, 31)
    two = [i for i in range(len(BOX)) if i not in (30, 31)]
    heard = cut(Lines(counts[two], pixels[two]))
    assert heard.lost == [Lost(31, 32)]
    assert [c[:3] for c in heard.cartons] == [(21, 40, Reason.CUT)]


def test_a_carton_before_and_one_behind_a_long_loss_are_both_cut() -> None:
    """With room for a gap in the lost stretch nobody can say whether it is one carton or two."""
    dark = [0] * 20 + [8] * 50 + [0] * 30
    kept = [i for i in range(len(dark)) if not 35 <= i < 35 + CUT.gap]
    heard = cut(Lines(encoder(len(dark))[kept], belt(dark)[kept]))
    assert [c[:3] for c in heard.cartons] == [(21, 35, Reason.CUT), (36 + CUT.gap, 70, Reason.CUT)]


def test_what_never_ends_is_cut_again_and_again() -> None:
    """A stuck detector card makes cartons that a person must look at, not one that never comes out."""
    dark = [0] * 20 + [8] * (5 * CUT.longest)
    heard = cut(Lines(encoder(len(dark)), belt(dark)), [50] * 7)
    assert [c.reason for c in heard.cartons] == [Reason.CUT] * 3
    assert [c.first for c in heard.cartons[1:]] == [c.last + 1 for c in heard.cartons[:-1]]


def test_the_light_barrier_finds_what_the_picture_does_not_show() -> None:
    """A carton of foil-thin walls is one for the barrier; without it there is none."""
    dark = [0] * len(BOX)
    bits = np.array(BOX) > 0
    with_barrier = CUT._replace(barrier=True)
    lines = Lines(encoder(len(dark)), belt(dark), bits)
    assert [c[:3] for c in cut(lines, settings=with_barrier).cartons] == [(21, 40, None)]
    assert cut(lines).cartons == []
    seen = cut(Lines(encoder(len(BOX)), belt(BOX), np.zeros(len(BOX), bool)), settings=with_barrier)
    assert [c[:3] for c in seen.cartons] == [(21, 40, None)]  # what the beam missed is not let through


def test_a_resend_from_any_line_that_was_still_needed_gives_the_same_cartons() -> None:
    """Who starts again at `needed` cuts what is still to come in the same way."""
    dark = [0] * 20 + [8] * 20 + [0] * 15 + [2] * 3 + [8] * 9 + [0] * 14 + [3] * 30 + [5] * 10 + [0] * 30
    counts, pixels = encoder(len(dark)), belt(dark)
    whole = cut(Lines(counts, pixels)).cartons
    assert len(whole) == 3
    cutter = Cutter(CUT)
    for stop in range(1, len(dark)):
        cutter.feed(Lines(counts[stop - 1 : stop], pixels[stop - 1 : stop]))
        start = max(0, cutter.needed - 1)
        again = cut(Lines(counts[start:], pixels[start:])).cartons
        later = [c for c in whole if c.first >= cutter.needed]
        assert again[len(again) - len(later) :] == later

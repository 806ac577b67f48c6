"""The heat map: hot where a carton is unlike its fellows, cold where it is like them; nothing breaks it."""

from __future__ import annotations

import msgspec
import numpy as np
from cartons import consignment
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.detect.heat import (
    FEATURES,
    MOST_BLOCKS,
    TEACHERS,
    Blocks,
    Compared,
    blocks_of,
    heat_of,
    heats_of,
    thinned,
)  # fmt: skip
from nii_edge.edge.jobs import ViewBlocks
from nii_edge.records import Frame

BOX = (10.0, 20.0, 110.0, 220.0)


def blocks(seed: int, rows: int = 20, columns: int = 10, view: int = 0) -> Blocks:
    """Goods of two sorts with some noise."""
    rng = np.random.default_rng(seed)
    sort = rng.integers(0, 2, (rows, columns, 1))
    values = np.where(sort == 1, (150, 90, 20), (120, 160, 60)) + rng.normal(0, 3, (rows, columns, FEATURES))
    return Blocks(view, BOX, np.clip(np.round(values), 0, 255).astype(np.uint8))


def test_only_what_is_unlike_the_others_glows() -> None:
    """Another material in four blocks is hot there and nowhere else; an honest fellow stays cold."""
    others = [thinned(blocks(seed)) for seed in range(3)]
    odd = blocks(9)
    odd.values[5:7, 3:5] = (160, 240, 90)
    heat = heat_of(odd, others)
    assert heat is not None
    assert heat.speaks
    assert heat.box == BOX
    assert heat.values[5:7, 3:5].min() == 1
    cold = np.ones(heat.values.shape, bool)
    cold[5:7, 3:5] = False
    assert heat.values[cold].max() < 0.5
    honest = heat_of(blocks(10), others)
    assert honest is not None
    assert not honest.speaks


def test_walls_and_air_stay_cold() -> None:
    """What is much thinner than the goods is none of them, whatever material it seems to be."""
    odd = blocks(9)
    odd.values[0] = (5, 255, 255)
    heat = heat_of(odd, [blocks(seed) for seed in range(3)])
    assert heat is not None
    assert heat.values[0].max() == 0


def test_too_few_to_compare_with() -> None:
    """One carton cannot say what is usual; a view that no other carton shows has no heat map."""
    own = blocks(1)
    assert heat_of(own, [blocks(2)] * (TEACHERS - 1)) is None
    assert heats_of(Compared((own,), ())) == {}
    assert heats_of(Compared((blocks(1, view=1),), ((blocks(2),), (blocks(3),)))) == {}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 255), st.integers(0, 9))
def test_every_carton_has_a_map_of_its_own_size_between_0_and_1(
    rows: int, columns: int, level: int, seed: int
) -> None:
    """From one block up, all alike or not, whatever the others are."""
    own = blocks(seed, rows, columns)
    own.values[:, :, 0] = level
    flat = Blocks(0, BOX, np.full((1, 1, FEATURES), level, np.uint8))
    for others in ([flat, flat], [flat, thinned(own)], [blocks(seed + 1), blocks(seed + 2, 40, 40)]):
        heat = heat_of(own, others)
        assert heat is not None
        assert heat.values.shape == (rows, columns)
        assert np.isfinite(heat.values).all()
        assert 0 <= heat.values.min() <= heat.values.max() <= 1


def test_blocks_go_through_the_pipe_as_they_are_and_are_bounded() -> None:
    """Between processes nothing is lost; what is kept to compare with is small."""
    own = blocks(3, 60, 40)
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(ViewBlocks.of(own)), type=ViewBlocks).blocks()
    assert (sent.view, sent.box) == (own.view, own.box)
    assert np.array_equal(sent.values, own.values)
    assert thinned(own).values.shape == (1, MOST_BLOCKS, FEATURES)
    assert thinned(blocks(3, 2, 2)).values.shape == (1, 4, FEATURES)


def _with_steel(frame: Frame) -> tuple[Frame, tuple[int, int, int, int]]:
    """A plate in the carton, and where: x0, y0, x1, y1."""
    found = blocks_of(frame, consignment().lane.optics[frame.view])
    assert found is not None
    x0, y0, x1, y1 = found.box
    place = (int(0.6 * x0 + 0.4 * x1), int(0.6 * y0 + 0.4 * y1), int(0.4 * x0 + 0.6 * x1), int((y0 + y1) / 2))
    pixels = frame.pixels.copy()
    cut = pixels[place[1] : place[3], place[0] : place[2]]
    cut[:] = (cut * np.array([0.02, 0.08])).astype(np.uint16)
    return msgspec.structs.replace(frame, pixels=pixels), place


def test_a_plate_of_steel_in_a_simulated_carton_is_hot_at_its_place() -> None:
    """On frames of the simulator, by each view's own calibration; with two fellows that hold metal themselves
    not every view shows it."""
    made = consignment()
    spoke = 0
    for view, optics in enumerate(made.lane.optics):
        others = [found for n in (0, 1) if (found := blocks_of(made.frames[n][view], optics)) is not None]
        frame, (x0, y0, x1, y1) = _with_steel(made.frames[2][view])
        own = blocks_of(frame, optics)
        assert own is not None
        heat = heat_of(own, others)
        assert heat is not None
        if not heat.speaks:
            continue
        spoke += 1
        rows, columns = np.nonzero(heat.values >= 0.5)
        step_x = (heat.box[2] - heat.box[0]) / heat.values.shape[1]
        step_y = (heat.box[3] - heat.box[1]) / heat.values.shape[0]
        x, y = heat.box[0] + (columns + 0.5) * step_x, heat.box[1] + (rows + 0.5) * step_y
        inside = (x > x0 - step_x) & (x < x1 + step_x) & (y > y0 - step_y) & (y < y1 + step_y)
        assert inside.mean() > 0.6
    assert spoke


def test_without_materials_or_a_carton_there_are_no_blocks() -> None:
    """A colour picture, a lane without wedges, an empty belt."""
    made = consignment()
    frame, optics = made.frames[0][0], made.lane.optics[0]
    assert blocks_of(frame, optics._replace(materials=None)) is None
    single = msgspec.structs.replace(frame, channels=("high",), pixels=frame.pixels[:, :, 1:])
    assert blocks_of(single, optics) is None
    air = np.repeat(frame.pixels[:, :1], 200, axis=1)
    assert blocks_of(msgspec.structs.replace(frame, pixels=air), optics) is None

"""What lies between a carton's wall and a second one, and what honestly lies along its walls.

A double wall (or a false bottom, or a lid) hides something flat along one whole side. Its honest twins are
cartons that are lined: with foam, pads of corrugated board, a stiffening board, or printed matter that stands
along one side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from nii_edge.simulate.kit import Generator, Spread, draw, pick
from nii_edge.simulate.scene import Placed, Size
from nii_edge.simulate.shapes import box, merge, moved
from nii_edge.simulate.solids import Part, Thing

Face = Literal["front", "back", "left", "right", "bottom", "top"]
"""Of a carton before it is set down: towards -x, +x, -y, +y, -z, +z."""
FACES: tuple[Face, ...] = get_args(Face)

SLAB = "wall_slab"
"""`Thing.label` of what lies in a double wall."""
LINING = "lining"
"""`Thing.label` of what honestly lies along a wall."""
BOARD = (3.0, 5.0)
"""mm: the second wall, of corrugated board."""
_POWDERS = ("cocaine", "cocaine_hcl", "heroin", "heroin_hcl", "fentanyl_hcl", "tnt")
_METALS: dict[str, Spread] = {"aluminium": (3, 10), "steel": (1.5, 4), "lead": (0.8, 2)}


class Walled(NamedTuple):
    """What lies along the walls, around an inner room that stands on z = 0 about the z axis; the `room` of
    the carton around it all, and the `middle` (x, y, z of the floor) of that; mm."""

    things: list[Placed]
    room: Size
    middle: Size


class _Slab(NamedTuple):
    """Something flat: its family, how thick, and what of: meshes of (u, v, thickness) about the origin,
    `share` of the side that it covers each way."""

    family: str
    thickness: float
    material: str
    fill: float
    tile: tuple[float, float] | None = None
    gap: float = 0.0
    share: tuple[float, float] = (1.0, 1.0)


def double_wall(rng: Generator, room: Size) -> Walled:
    """Something flat in one side of a carton with this inner room, mm, and a second wall before it; the
    bottom twice as often as any other side."""
    face: Face = pick(rng, (*FACES, "bottom"))
    slab = pick(rng, tuple(SLABS.values()))(rng)
    wall = _Slab("second_wall", draw(rng, BOARD), "corrugated", draw(rng, (0.9, 1.4)))
    inside = _along(rng, bare(room), face, wall, Placed(Thing("second_wall", wall.family, ()), "fill"))
    return _along(rng, inside, face, slab, Placed(Thing(SLAB, slab.family, ()), "hidden"))


def lining(rng: Generator, room: Size) -> Walled:
    """An honest lining of one family along some sides of a carton with this inner room, mm."""
    make, sides = pick(rng, tuple(LININGS.values()))
    made = bare(room)
    for face in pick(rng, sides):
        slab = make(rng)
        made = _along(rng, made, face, slab, Placed(Thing(LINING, slab.family, ()), "fill"))
    return made


def bare(room: Size) -> Walled:
    """Nothing along the walls."""
    return Walled([], room, (0.0, 0.0, 0.0))


def _along(rng: Generator, inside: Walled, face: Face, slab: _Slab, what: Placed) -> Walled:
    """The same with one more layer outside of it, on one side."""
    axis, outward = divmod(FACES.index(face), 2)
    sign = 2 * outward - 1
    u, v = (k for k in range(3) if k != axis)
    middle, room = list(inside.middle), list(inside.room)
    centre = [middle[0], middle[1], middle[2] + room[2] / 2]
    slack = draw(rng, (0.5, 3.0))
    whole = [slab.share[0] * room[u] - slack, slab.share[1] * room[v] - slack]
    spare = [room[u] - slack - whole[0], room[v] - slack - whole[1]]
    deep = slab.thickness + 0.5
    centre[axis] += sign * (room[axis] / 2 + deep / 2)
    centre[u] += draw(rng, (-0.5, 0.5)) * spare[0]
    centre[v] += (draw(rng, (-0.5, 0.5)) if v != 2 else -0.5) * spare[1]  # what stands, stands on the floor
    meshes = []
    for (low_u, high_u), (low_v, high_v) in _tiles(whole, slab):
        size, at = [0.0] * 3, list(centre)
        size[axis], size[u], size[v] = slab.thickness, high_u - low_u, high_v - low_v
        at[u] += (low_u + high_u) / 2
        at[v] += (low_v + high_v) / 2
        meshes.append(moved(box(*size), *at))
    part = Part(merge(meshes), slab.material, slab.fill)
    room[axis] += deep
    if axis < 2:
        middle[axis] += sign * deep / 2
    elif sign < 0:
        middle[2] -= deep
    thing = what._replace(thing=what.thing._replace(parts=(part,)))
    return Walled([*inside.things, thing], (room[0], room[1], room[2]), (middle[0], middle[1], middle[2]))


_Span = tuple[float, float]


def _tiles(whole: list[float], slab: _Slab) -> list[tuple[_Span, _Span]]:
    """Where the packets lie that a slab is made of, about its middle; one without a `tile`."""
    along = [
        _cut(length, length if slab.tile is None else slab.tile[k], slab.gap)
        for k, length in enumerate(whole)
    ]
    return [(one, other) for one in along[0] for other in along[1]]


def _cut(length: float, tile: float, gap: float) -> list[_Span]:
    """`length` in equal tiles of about `tile` with a `gap` between them."""
    count = max(round(length / (tile + gap)), 1)
    each = (length + gap) / count
    return [(-length / 2 + k * each, -length / 2 + (k + 1) * each - gap) for k in range(count)]


def _pressed(rng: Generator) -> _Slab:
    return _Slab("pressed", draw(rng, (8, 50)), pick(rng, _POWDERS), draw(rng, (0.65, 0.95)))


def _packets(rng: Generator) -> _Slab:
    tile = draw(rng, (70, 160)), draw(rng, (70, 160))
    return _Slab(
        "packets", draw(rng, (8, 50)), pick(rng, _POWDERS), draw(rng, (0.55, 0.85)), tile, draw(rng, (0.5, 4))
    )


def _notes(rng: Generator) -> _Slab:
    fill = draw(rng, (0.75, 0.95))
    return _Slab("notes", draw(rng, (8, 40)), "banknote_paper", fill, (156.0, 66.0), draw(rng, (0.5, 3)))


def _tablets(rng: Generator) -> _Slab:
    tile = draw(rng, (80, 180)), draw(rng, (80, 180))
    return _Slab("tablets", draw(rng, (8, 40)), "tablets", draw(rng, (0.45, 0.65)), tile, draw(rng, (1, 5)))


def _plastic(rng: Generator) -> _Slab:
    return _Slab("plastic", draw(rng, (4, 15)), pick(rng, ("polyethylene", "pvc", "abs")), 1.0)


def _metal(rng: Generator) -> _Slab:
    material = pick(rng, tuple(_METALS))
    return _Slab("metal", draw(rng, _METALS[material]), material, 1.0)


SLABS: dict[str, Callable[[Generator], _Slab]] = {
    "pressed": _pressed, "packets": _packets, "notes": _notes, "tablets": _tablets, "plastic": _plastic,
    "metal": _metal,
}  # fmt: skip
"""What lies in double walls, by family (`Thing.family`)."""


def _foam(rng: Generator) -> _Slab:
    material, fill = pick(rng, (("eps", draw(rng, (0.8, 1.5))), ("polyurethane_foam", 1.0)))
    return _Slab("foam", draw(rng, (10, 40)), material, fill)


def _pads(rng: Generator) -> _Slab:
    return _Slab("pads", draw(rng, (4, 25)), "corrugated", draw(rng, (0.9, 1.5)))


def _stiffener(rng: Generator) -> _Slab:
    material, fill = pick(rng, (("wood", draw(rng, (0.8, 1.3))), ("cardboard", 1.0)))
    return _Slab("stiffener", draw(rng, (2, 6)), material, fill)


def _leaflets(rng: Generator) -> _Slab:
    share = draw(rng, (0.7, 0.98)), draw(rng, (0.6, 0.98))
    return _Slab("leaflets", draw(rng, (8, 40)), "paper", draw(rng, (0.9, 1.2)), share=share)


_ONE: tuple[tuple[Face, ...], ...] = tuple((face,) for face in FACES)
_ROUND: tuple[tuple[Face, ...], ...] = (("left", "right", "front", "back"), FACES, ("bottom", "top"))
LININGS: dict[str, tuple[Callable[[Generator], _Slab], tuple[tuple[Face, ...], ...]]] = {
    "foam": (_foam, (*_ONE, *_ROUND)), "pads": (_pads, (*_ONE, *_ROUND)),
    "stiffener": (_stiffener, (*_ONE, *_ROUND)), "leaflets": (_leaflets, _ONE),
}  # fmt: skip
"""What honestly lies along walls, by family, and along which sides together."""

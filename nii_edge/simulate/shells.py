"""What goes around things: the packaging of inner parcels, and metal around what is to stay unseen.

Families of shapes again: each is built around a room about the origin, in mm; some never occur in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from nii_edge.simulate.kit import Generator, draw, grouped, pick, pipe, rod
from nii_edge.simulate.scene import Size
from nii_edge.simulate.shapes import box, merge, moved, sheet, shell_box
from nii_edge.simulate.solids import Mesh, Part, Thing

Which = Literal["training", "held_out", "all"]
"""Which families: those training may see, those it may not, or both."""
Wrapped = Literal["training", "fitting", "held_out", "all"]
"""Which packaging of parcels: as `Which`; `fitting` are those that no network is trained with and no test
has. What is fitted to a network's answers on these knows how far to trust it on packaging that is new."""
Shell = Callable[[Generator, Size], tuple[Part, ...]]

PARCELS: dict[Wrapped, tuple[str, ...]] = {
    "training": (
        "carton",
        "carton",
        "tuck_carton",
        "mailer_box",
        "poly_bag",
        "padded_bag",
        "bubble_bag",
        "paper_wrap",
        *["made_up"] * 8,
    ),
    "fitting": ("book_wrap", "window_carton", "clamshell", "stretch_wrap"),
    "held_out": ("telescope_carton", "drawer_carton", "pleated_bag", "foam_bag"),
}
PARCELS["all"] = PARCELS["training"] + PARCELS["fitting"] + PARCELS["held_out"]
"""How parcels are packed; a name that stands twice is drawn twice as often."""
BAGS = frozenset(
    {"poly_bag", "padded_bag", "bubble_bag", "paper_wrap", "stretch_wrap", "pleated_bag", "foam_bag"}
)
"""Packaging without walls that stand by themselves."""
SHIELDS: dict[Which, tuple[str, ...]] = {
    "training": ("plate_box",),
    "held_out": ("capped_pipe", "foil_layers", "channel"),
}
SHIELDS["all"] = SHIELDS["training"] + SHIELDS["held_out"]
"""What prohibited things are shielded with."""


def parcel_shell(rng: Generator, family: str, room: Size) -> Thing:
    """A parcel's own packaging around a room.

    Raises:
        KeyError: no such family; `PARCELS` has them all.
    """
    return Thing("inner_parcel", family, _PARCEL_SHELLS[family](rng, room))


def shield(rng: Generator, family: str, room: Size) -> Thing:
    """Metal around a room.

    Raises:
        KeyError: no such family; `SHIELDS` has them all.
    """
    return Thing("shielding", family, _SHIELDS[family](rng, room))


def _carton(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A small carton with flaps top and bottom and a paper label."""
    x, y, z = room
    wall = draw(rng, (1.2, 3.0))
    outer = x + 2 * wall, y + 2 * wall, z + 4 * wall
    flaps = [moved(box(x, 0.92 * y, wall), z=s * (z / 2 + 0.5 * wall)) for s in (-1, 1)]
    label = Part(moved(box(0.5 * x, 0.5 * y, 0.3), z=z / 2 + 2.2 * wall), "paper")
    return Part(merge([shell_box(*outer, wall), *flaps]), "cardboard", 0.3), label


def _poly_bag(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A bag of film."""
    return (Part(merge(_films(rng, room, 0.14)), "polyethylene"),)


def _padded_bag(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A bag of thick paper."""
    return (Part(merge(_films(rng, room, 0.9)), "paper", 0.4),)


def _films(rng: Generator, room: Size, thick: float) -> list[Mesh]:
    x, y, z = room
    return [moved(sheet(rng, (x + 30, y + 18), thick, 1.6, 45, 14), z=s * (z / 2 + 3)) for s in (-1, 1)]


def _tuck_carton(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A folding carton of thin board: one glued seam along it, its ends tucked in."""
    x, y, z = room
    wall = draw(rng, (0.35, 0.9))
    shell = shell_box(x + 4 * wall, y + 2 * wall, z + 2 * wall, wall)
    seam = moved(box(x, wall, draw(rng, (10, 18))), y=y / 2 + 1.5 * wall, z=draw(rng, (-0.3, 0.3)) * z)
    tucks = [
        moved(box(draw(rng, (8, 20)), 0.95 * y, wall), s * (x / 2 - 8), z=z / 2 - 0.5 * wall) for s in (-1, 1)
    ]
    return (Part(merge([shell, seam, *tucks]), "cardboard", draw(rng, (0.8, 1.0))),)


def _mailer_box(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A box cut in one piece: double walls left and right, a lid with flaps that go down inside them."""
    x, y, z = room
    wall = draw(rng, (1.2, 2.6))
    sides = [moved(box(x, wall, z), y=s * (y / 2 + (k + 0.5) * wall)) for s in (-1, 1) for k in (0, 1, 2)]
    ends = [moved(box(wall, y + 6 * wall, z), s * (x / 2 + 0.5 * wall)) for s in (-1, 1)]
    flats = [moved(box(x + 2 * wall, y + 6 * wall, wall), z=s * (z / 2 + 0.5 * wall)) for s in (-1, 1)]
    front = moved(box(wall, 0.9 * y, 0.9 * z), x / 2 + 1.5 * wall)
    return (Part(merge([*sides, *ends, *flats, front]), "cardboard", draw(rng, (0.25, 0.45))),)


def _bubble_bag(rng: Generator, room: Size) -> tuple[Part, ...]:
    """Film with air in bubbles, wound around once or twice."""
    x, y, z = room
    thick, layers = draw(rng, (3, 6)), int(rng.integers(1, 3))
    films = [
        moved(sheet(rng, (x + 20, y + 14), thick, 1.5, 22, 20), z=s * (z / 2 + (k + 0.6) * thick))
        for k in range(layers)
        for s in (-1, 1)
    ]
    return (Part(merge(films), "polyethylene", draw(rng, (0.03, 0.07))),)


def _paper_wrap(rng: Generator, room: Size) -> tuple[Part, ...]:
    """Paper folded tight around it, in layers at the ends, held by tape."""
    x, y, z = room
    wall = draw(rng, (0.15, 0.5))
    shell = shell_box(x + 2 * wall, y + 2 * wall, z + 2 * wall, wall)
    ends = [moved(box(3 * wall, y, z), s * (x / 2 + 2.5 * wall)) for s in (-1, 1)]
    tape = moved(box(x, draw(rng, (38, 60)), 0.12), z=z / 2 + wall + 0.06)
    return Part(merge([shell, *ends]), "paper", 0.9), Part(tape, "polypropylene")


WRAPPINGS = {
    "cardboard": ((0.4, 2.6), (0.2, 1.0)),
    "paper": ((0.1, 1.2), (0.3, 1.0)),
    "polyethylene": ((0.06, 0.4), (1.0, 1.0)),
    "polypropylene": ((0.1, 0.6), (1.0, 1.0)),
    "polyester": ((0.1, 0.7), (1.0, 1.0)),
    "pvc": ((0.1, 0.6), (1.0, 1.0)),
    "eva_foam": ((1.0, 4.0), (0.2, 1.0)),
}
"""What packaging is made up of: how thick a layer is in mm, and how much of that is matter."""
HARD = ("cardboard", "polypropylene", "polyester", "pvc")
OF_BOX = 0.55
"""The share of what is made up that has walls; the rest is bags."""


def _made_up(rng: Generator, room: Size) -> tuple[Part, ...]:
    """No packaging that there is, but its parts put together at random: walls on most sides or a bag, more
    layers on some sides, rims and pads. A network that has seen many such looks for what they have in
    common."""
    parts = _random_walls(rng, room) if rng.random() < OF_BOX else [_random_bag(rng, room)]
    for _ in range(int(rng.integers(0, 3))):
        parts.append(_random_layer(rng, room))
    return grouped(parts)


def _random_walls(rng: Generator, room: Size) -> list[Part]:
    """Walls on all sides but perhaps one, and sometimes a rim all around."""
    x, y, z = room
    material = pick(rng, HARD)
    (thin, thick), fill = WRAPPINGS[material]
    wall = float(np.exp(draw(rng, (np.log(thin), np.log(thick)))))
    long, wide = x + 2 * wall, y + 2 * wall
    faces = [moved(box(long, wide, wall), z=s * (z / 2 + wall / 2)) for s in (-1, 1)]
    faces += [moved(box(long, wall, z), y=s * (y / 2 + wall / 2)) for s in (-1, 1)]
    faces += [moved(box(wall, y, z), s * (x / 2 + wall / 2)) for s in (-1, 1)]
    if rng.random() < 0.3:
        faces[int(rng.integers(1, 6))] = moved(box(0.3 * long, wide, wall), z=z / 2 + wall / 2)
    if rng.random() < 0.3:
        rim, high = draw(rng, (4, 18)), draw(rng, (-0.5, 0.5)) * z
        faces += [moved(box(long + 2 * rim, rim, wall), y=s * (wide + rim) / 2, z=high) for s in (-1, 1)]
        faces += [moved(box(rim, wide, wall), s * (long + rim) / 2, z=high) for s in (-1, 1)]
    return [Part(merge(faces), material, draw(rng, fill))]


def _random_bag(rng: Generator, room: Size) -> Part:
    """Sheets below and above, in one or more layers, that reach beyond what is in them."""
    x, y, z = room
    material = pick(rng, tuple(WRAPPINGS))
    (thin, thick), fill = WRAPPINGS[material]
    sheer = float(np.exp(draw(rng, (np.log(thin), np.log(thick)))))
    beyond, folds = draw(rng, (4, 40)), (draw(rng, (0.6, 2.0)), draw(rng, (25, 60)))
    sheets = [
        moved(sheet(rng, (x + beyond, y + 0.6 * beyond), sheer, *folds, 14), z=s * (z / 2 + 2 + k * sheer))
        for k in range(1 if sheer > 1 else int(rng.integers(1, 3)))
        for s in (-1, 1)
    ]
    return Part(merge(sheets), material, draw(rng, fill))


def _random_layer(rng: Generator, room: Size) -> Part:
    """A flap, a tape, a label or a pad on some part of one side."""
    x, y, z = room
    material = pick(rng, tuple(WRAPPINGS))
    (thin, thick), fill = WRAPPINGS[material]
    wall = draw(rng, (thin, thick))
    wide, long = (float(share) for share in rng.uniform(0.15, 1.0, 2))
    side = int(rng.integers(0, 3))
    at = (1 if rng.random() < 0.5 else -1) * (room[side] / 2 + wall)
    mesh = (
        moved(box(wall, wide * y, long * z), at),
        moved(box(wide * x, wall, long * z), y=at),
        moved(box(wide * x, long * y, wall), z=at),
    )[side]
    return Part(mesh, material, draw(rng, fill))


def _book_wrap(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A strip of corrugated board wound around it lengthwise, glued where it meets, with flat walls at the
    ends, beyond what is in it."""
    x, y, z = room
    wall, out = draw(rng, (1.2, 3.0)), draw(rng, (8, 22))
    long = x + 2 * out
    flats = [moved(box(long, y, wall), z=s * (z / 2 + 0.5 * wall)) for s in (-1, 1)]
    sides = [moved(box(long, wall, z + 2 * wall), y=s * (y / 2 + 0.5 * wall)) for s in (-1, 1)]
    ends = [moved(box(wall, y, z), s * (x / 2 + (k + 0.5) * wall)) for s in (-1, 1) for k in (0, 1)]
    flap = moved(box(long, draw(rng, (0.2, 0.6)) * y, wall), z=z / 2 + 1.5 * wall)
    return (Part(merge([*flats, *sides, *ends, flap]), "cardboard", draw(rng, (0.2, 0.4))),)


def _window_carton(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A folding carton whose face is a window of film in a frame of board, a formed tray inside."""
    x, y, z = room
    wall, frame = draw(rng, (0.35, 0.9)), draw(rng, (0.08, 0.2))
    board = [moved(box(x + 2 * wall, y + 2 * wall, wall), z=-z / 2 - 0.5 * wall), *_walls(room, wall, 0.0)]
    face = z / 2 + 0.5 * wall
    board += [moved(box(x, frame * y, wall), y=s * (1 - frame) / 2 * y, z=face) for s in (-1, 1)]
    board += [moved(box(frame * x, y, wall), s * (1 - frame) / 2 * x, z=face) for s in (-1, 1)]
    film = moved(box((1 - frame) * x, (1 - frame) * y, 0.15), z=z / 2 - 0.1)
    tray = moved(sheet(rng, (0.92 * x, 0.92 * y), draw(rng, (0.25, 0.5)), 2.0, 40, 12), z=-z / 2 + 3)
    parts = [Part(merge(board), "cardboard", draw(rng, (0.8, 1.0))), Part(merge([film, tray]), "polyester")]
    return grouped(parts)


def _clamshell(rng: Generator, room: Size) -> tuple[Part, ...]:
    """Two halves of formed plastic, pressed together along a rim."""
    x, y, z = room
    wall, rim = draw(rng, (0.3, 0.7)), draw(rng, (6, 16))
    halves = [moved(box(x + 2 * wall, y + 2 * wall, wall), z=s * (z / 2 + 0.5 * wall)) for s in (-1, 1)]
    halves += _walls((x, y, z), wall, 0.0)
    across = [moved(box(x + 2 * rim, rim, 2 * wall), y=s * (y / 2 + wall + rim / 2)) for s in (-1, 1)]
    along = [moved(box(rim, y + 2 * wall, 2 * wall), s * (x / 2 + wall + rim / 2)) for s in (-1, 1)]
    return (Part(merge([*halves, *across, *along]), pick(rng, ("polyester", "polypropylene", "pvc"))),)


def _stretch_wrap(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A flat tray of board below, and layers of film pulled tight around both."""
    x, y, z = room
    wall, film = draw(rng, (0.5, 1.5)), 0.02 * int(rng.integers(3, 9))
    high = draw(rng, (0.1, 0.35)) * z
    tray = [moved(box(x + 2 * wall, y + 2 * wall, wall), z=-z / 2 - 0.5 * wall)]
    tray += _walls((x, y, high), wall, -z / 2 + high / 2)
    skin = moved(shell_box(x + 4 * wall, y + 4 * wall, z + 4 * wall, film))
    return Part(merge(tray), "cardboard", draw(rng, (0.6, 1.0))), Part(skin, "polyethylene")


def _telescope_carton(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A tray and a lid that reaches down over it, of solid board, with tissue inside."""
    x, y, z = room
    wall, down = draw(rng, (0.8, 1.8)), draw(rng, (0.3, 0.95)) * z
    tray = _tray((x, y, z), wall)
    lid = [moved(box(x + 4.4 * wall, y + 4.4 * wall, wall), z=z / 2 + 0.5 * wall)]
    lid += _walls((x + 2.4 * wall, y + 2.4 * wall, down), wall, z / 2 - down / 2)
    tissue = moved(sheet(rng, (0.9 * x, 0.9 * y), 0.2, 2.0, 30, 12), z=z / 2 - 2.5)
    return grouped([Part(merge([*tray, *lid]), "cardboard", draw(rng, (0.6, 1.0))), Part(tissue, "paper")])


def _drawer_carton(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A tray pushed into a sleeve: two layers on four sides, one across the ends."""
    x, y, z = room
    wall = draw(rng, (0.8, 2.2))
    sleeve = [moved(box(x, y + 4.2 * wall, wall), z=s * (z / 2 + 0.6 * wall)) for s in (-1, 1)]
    sleeve += [moved(box(x, wall, z), y=s * (y / 2 + 1.6 * wall)) for s in (-1, 1)]
    return (Part(merge([*_tray((x, y, z - wall), wall), *sleeve]), "cardboard", draw(rng, (0.3, 0.8))),)


def _pleated_bag(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A bag of film with folded sides, its mouth rolled up at one end."""
    x, y, z = room
    thick = draw(rng, (0.06, 0.2))
    films = [moved(sheet(rng, (x + 8, y + 6), thick, 1.2, 30, 14), z=s * (z / 2 + 2)) for s in (-1, 1)]
    pleats = [moved(box(x, thick, z), y=s * (y / 2 + k)) for s in (-1, 1) for k in (0.5, 2.5)]
    mouth = moved(box(draw(rng, (8, 16)), 0.9 * y, 6 * thick), x / 2 + 8, z=draw(rng, (-0.3, 0.3)) * z)
    return (Part(merge([*films, *pleats, mouth]), pick(rng, ("polyethylene", "polypropylene"))),)


def _foam_bag(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A pouch of soft foam in a paper or film bag."""
    x, y, z = room
    foam = draw(rng, (2.0, 5.0))
    pads = [moved(sheet(rng, (x + 12, y + 10), foam, 1.0, 60, 12), z=s * (z / 2 + foam)) for s in (-1, 1)]
    skin = [moved(sheet(rng, (x + 24, y + 14), 0.2, 1.0, 60, 12), z=s * (z / 2 + 2 * foam)) for s in (-1, 1)]
    return Part(merge(pads), "eva_foam", 0.4), Part(merge(skin), pick(rng, ("paper", "polyethylene")))


def _tray(room: Size, wall: float) -> list[Mesh]:
    x, y, z = room
    return [moved(box(x + 2 * wall, y + 2 * wall, wall), z=-z / 2 - 0.5 * wall), *_walls(room, wall, 0.0)]


def _walls(room: Size, wall: float, height: float) -> list[Mesh]:
    """Four walls around a room whose middle is at this height."""
    x, y, z = room
    ends = [moved(box(wall, y + 2 * wall, z), s * (x / 2 + 0.5 * wall), z=height) for s in (-1, 1)]
    return ends + [moved(box(x, wall, z), y=s * (y / 2 + 0.5 * wall), z=height) for s in (-1, 1)]


def _plate_box(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A closed box of plates."""
    material, wall = pick(
        rng,
        (("lead", draw(rng, (0.8, 3))), ("steel", draw(rng, (3, 7))), ("aluminium", draw(rng, (6, 12)))),
    )
    x, y, z = (side + 2 * wall + 6 for side in room)
    return (Part(shell_box(x, y, z, wall), material),)


def _capped_pipe(rng: Generator, room: Size) -> tuple[Part, ...]:
    """A piece of pipe with a cap on either end."""
    material, wall = pick(rng, (("lead", draw(rng, (1, 3))), ("steel", draw(rng, (2.5, 6)))))
    x, y, z = room
    inner, half = np.hypot(y, z) / 2 + 2, x / 2 + 3
    body = pipe((-half, 0, 0), (half, 0, 0), inner + wall, inner, 28)
    caps = [rod((s * half, 0, 0), (s * (half + wall), 0, 0), inner + wall, 28) for s in (-1, 1)]
    return (Part(merge([body, *caps]), material),)


def _foil_layers(rng: Generator, room: Size) -> tuple[Part, ...]:
    """Foil wound around it again and again, rumpled."""
    material, thick = pick(rng, (("lead", draw(rng, (0.1, 0.25))), ("copper", draw(rng, (0.15, 0.4)))))
    x, y, z = room
    skins = [
        moved(sheet(rng, (x + 10 + k, y + 10 + k), thick, 1.0, 24, 22), z=s * (z / 2 + 3 + 1.2 * k))
        for k in range(int(rng.integers(4, 8)))
        for s in (-1, 1)
    ]
    sides = _walls((x + 6, y + 6, z + 4), len(skins) / 2 * thick, 0.0)
    return (Part(merge([*skins, *sides]), material),)


def _channel(rng: Generator, room: Size) -> tuple[Part, ...]:
    """Two bent plates pushed over each other, open at the ends."""
    material, wall = pick(rng, (("lead", draw(rng, (1, 3))), ("steel", draw(rng, (3, 7)))))
    x, y, z = room
    plates = [moved(box(x + 8, y + 8, wall), z=s * (z / 2 + 3 + wall / 2)) for s in (-1, 1)]
    sides = [moved(box(x + 8, wall / 2, z + 6), y=s * (y / 2 + 4 + wall / 4)) for s in (-1, 1)]
    return (Part(merge([*plates, *sides]), material),)


_PARCEL_SHELLS: dict[str, Shell] = {
    "carton": _carton,
    "poly_bag": _poly_bag,
    "padded_bag": _padded_bag,
    "tuck_carton": _tuck_carton,
    "mailer_box": _mailer_box,
    "bubble_bag": _bubble_bag,
    "paper_wrap": _paper_wrap,
    "made_up": _made_up,
    "book_wrap": _book_wrap,
    "window_carton": _window_carton,
    "clamshell": _clamshell,
    "stretch_wrap": _stretch_wrap,
    "telescope_carton": _telescope_carton,
    "drawer_carton": _drawer_carton,
    "pleated_bag": _pleated_bag,
    "foam_bag": _foam_bag,
}
_SHIELDS: dict[str, Shell] = {
    "plate_box": _plate_box,
    "capped_pipe": _capped_pipe,
    "foil_layers": _foil_layers,
    "channel": _channel,
}

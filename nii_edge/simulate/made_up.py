"""Virtual scanners that are made up from a number, so that nothing learns those of `makes` by heart.

Each is one that somebody might build: where tubes and detectors stand, pitches, voltages, filters, layers
and what smears and disturbs a picture are drawn from what is published of parcel scanners. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nii_edge.errors import SceneError
from nii_edge.simulate.detector import Layers
from nii_edge.simulate.geometry import Point, View
from nii_edge.simulate.scanner import Electronics, Optics, Stability, VirtualScanner, check_scanner
from nii_edge.simulate.spectrum import Tube

Generator = np.random.Generator
Tunnel = tuple[float, float]

FIRST_SERIAL = 1000
"""Serial numbers below are those of `makes`."""
SEED = 0x5CA
ONE_VIEW = 0.25
"""The share of scanners with a single view."""
FILTERS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("aluminium", 2.0),), (("aluminium", 3.0),), (("aluminium", 4.0),),
    (("aluminium", 2.0), ("copper", 0.2)), (("aluminium", 3.0), ("copper", 0.3)),
    (("aluminium", 2.0), ("polycarbonate", 6.0)),
)  # fmt: skip
TRIES = 50


def made_up_scanner(number: int) -> VirtualScanner:
    """The scanner of that number, 0 or more, the same every time; named `made-up-NUMBER`.

    Raises:
        SceneError: what is drawn with it never covers its tunnel.
    """
    rng = np.random.default_rng((SEED, number))
    for _ in range(TRIES):
        drawn = _drawn(rng, number)
        try:
            check_scanner(drawn)
        except SceneError:
            continue
        return drawn
    raise SceneError(f"made-up scanner {number}: none of {TRIES} covers its tunnel; take another number")


def _drawn(rng: Generator, number: int) -> VirtualScanner:
    tunnel = round(rng.uniform(520, 660)), round(rng.uniform(390, 490))
    kinds: list[Callable[[Generator, Tunnel], View]] = [_upright, _slanting, _sideways, _parallel]
    count = 1 if rng.random() < ONE_VIEW else 2
    chosen = [_upright] if count == 1 else [kinds[at] for at in rng.choice(len(kinds), 2, replace=False)]
    if count == 2 and rng.random() < 0.25:
        chosen = [_slanting, _slanting]  # two fans that cross, as many makes have
    views = [kind(rng, tunnel) for kind in chosen]
    if chosen == [_slanting, _slanting]:
        views[1] = _turned_over(views[0], tunnel[1])
    return VirtualScanner(
        name=f"made-up-{number}",
        tube=Tube(
            float(round(rng.uniform(135, 185))),
            float(round(rng.uniform(12, 25))),
            FILTERS[int(rng.integers(len(FILTERS)))],
        ),
        layers=Layers(
            round(rng.uniform(0.2, 0.4), 2), round(rng.uniform(0.4, 1.0), 2), round(rng.uniform(2.5, 5.0), 1)
        ),
        views=tuple(view._replace(name=f"view {place + 1}") for place, view in enumerate(views)),
        tunnel=(float(tunnel[0]), float(tunnel[1])),
        line_pitch=round(rng.uniform(0.8, 1.7), 2),
        photons=float(round(math.exp(rng.uniform(math.log(9000), math.log(28000))), -2)),
        optics=Optics(
            blur=(round(rng.uniform(0.3, 1.0), 2), round(rng.uniform(0.4, 1.1), 2)),
            crosstalk=round(rng.uniform(0.01, 0.045), 3),
            lag=round(rng.uniform(0, 0.04), 3),
            scatter=round(rng.uniform(0.01, 0.03), 3),
            scatter_reach=float(round(rng.uniform(60, 120))),
            registration=(round(rng.uniform(-0.4, 0.4), 2), round(rng.uniform(-0.4, 0.4), 2)),
        ),
        electronics=Electronics(
            full_scale=float(round(rng.uniform(42000, 60000), -2)),
            offset=float(round(rng.uniform(700, 2100), -1)),
            noise=round(rng.uniform(6, 12), 1),
            gain_spread=round(rng.uniform(0.03, 0.12), 3),
        ),
        stability=Stability(
            kilovolts=round(rng.uniform(0.4, 1.0), 2), belt=round(rng.uniform(0.005, 0.03), 3)
        ),
        serial=FIRST_SERIAL + number,
    )


def _view(rng: Generator, source: Point | None, detector: tuple[Point, ...]) -> View:
    corners = tuple((float(round(y)), float(round(z))) for y, z in detector)
    card, gap = int(rng.choice((32, 48, 64, 128))), round(rng.choice((0.0, 0.2, 0.4, 0.6)), 1)
    pitch = round(rng.uniform(1.0, 2.1), 2)
    at = None if source is None else (float(round(source[0])), float(round(source[1])))
    return View("", at, corners, pitch, card, gap)


def _upright(rng: Generator, tunnel: Tunnel) -> View:
    """From below or above on a flat detector across the belt."""
    width, height = tunnel
    source = rng.uniform(-0.25, 0.25) * width, -rng.uniform(200, 800)
    detector = height + rng.uniform(50, 180)
    ends = [_reached(source, (side * width / 2, 0.0), z=detector) for side in (-1, 1)]
    more = rng.uniform(20, 50)
    view = _view(rng, source, ((ends[0] - more, detector), (ends[1] + more, detector)))
    return view if rng.random() < 0.5 else _turned_over(view, height)


def _sideways(rng: Generator, tunnel: Tunnel) -> View:
    """From one side of the belt on an upright detector at the other."""
    width, height = tunnel
    source = -width / 2 - rng.uniform(250, 800), rng.uniform(0.1, 0.9) * height
    detector = width / 2 + rng.uniform(50, 180)
    ends = [_reached(source[::-1], (z, -width / 2), z=detector) for z in (0.0, height)]
    more = rng.uniform(20, 50)
    return _either_side(rng, _view(rng, source, ((detector, ends[0] - more), (detector, ends[1] + more))))


def _slanting(rng: Generator, tunnel: Tunnel) -> View:
    """From below a corner on a detector folded around the corner opposite."""
    width, height = tunnel
    source = -width / 2 - rng.uniform(20, 160), -rng.uniform(150, 450)
    top, side = height + rng.uniform(60, 200), width / 2 + rng.uniform(60, 180)
    more = rng.uniform(20, 50)
    left = _reached(source, (-width / 2, height), z=top) - more
    low = _reached(source[::-1], (0.0, width / 2), z=side) - more
    return _either_side(rng, _view(rng, source, ((left, top), (side, top), (side, low))))


def _parallel(rng: Generator, tunnel: Tunnel) -> View:
    """Parallel rays, what a far source comes near to, from above or the side."""
    width, height = tunnel
    if rng.random() < 0.5:
        return _view(rng, None, ((-width / 2 - 10, height + 60), (width / 2 + 10, height + 60)))
    return _view(rng, None, ((width / 2 + 60, -10), (width / 2 + 60, height + 10)))


def _reached(source: Point, by: Point, z: float) -> float:
    """y at which the ray through a point comes to a height."""
    return by[0] + (by[0] - source[0]) * (z - by[1]) / (by[1] - source[1])


def _either_side(rng: Generator, view: View) -> View:
    """The view, or its mirror picture across the belt."""
    if view.source is None or rng.random() < 0.5:
        return view
    y, z = view.source
    return view._replace(source=(-y, z), detector=tuple((-y, z) for y, z in view.detector))


def _turned_over(view: View, height: float) -> View:
    """The view, upside down in a tunnel of that height."""
    if view.source is None:
        return view
    y, z = view.source
    return view._replace(source=(y, height - z), detector=tuple((y, height - z) for y, z in view.detector))

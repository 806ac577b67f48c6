#!/usr/bin/env python3
"""Draws the cartons of the bundled demo recording: ``tools/draw_demo.py [FOLDER]``.

A first, simple drawing, not a simulator: parallel beams, and two single energies in place of a spectrum
(about the mean energies that the two layers of a 160 kV detector see). Each carton is a list of solids
in millimetres; a view adds up what every ray passes through and takes Beer and Lambert's exponential.

Writes ``demo.mcap`` (two views, low and high counts, uint16) and ``demo.json`` (what is in each carton,
and how many pixels of each view are impenetrable without noise). The same bytes each time.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.wire import FrameMessage

Image = npt.NDArray[np.float64]
Axis = Literal["x", "y", "z"]  # across the belt, up, along the belt

PITCH_MM = 0.8
TUNNEL_MM = {"x": 196.0, "y": 146.0}
MARGIN_MM = 10.0  # of belt before and behind the carton
AIR = 50_000.0  # counts with nothing in the beam
PHOTONS = 7_700.0  # behind AIR, per pixel and energy
ELECTRONIC = 8.0  # counts, standard deviation
OPAQUE = 1e-3  # transmission at the high energy
VIEWS: tuple[tuple[str, Axis, Axis], ...] = (("top", "y", "x"), ("side", "x", "y"))  # name, beam, columns
SCANNER, EPOCH = "lane-1", 1_767_603_600
START_NS, PACE_NS, VIEW_NS, READOUT_NS = EPOCH * 10**9, 1_200_000_000, 80_000_000, 40_000_000


class Material(NamedTuple):
    """Density in g/cm3, and mass attenuation in cm2/g at 60 and 97 keV (coherent scatter included):
    NIST XCOM, https://physics.nist.gov/PhysRefData/Xcom/, checked with xraydb 4.5.8."""

    density: float
    low: float
    high: float


MATERIALS = {
    "polyethylene": Material(0.95, 0.1970, 0.1733),
    "cellulose": Material(0.75, 0.1923, 0.1636),  # paper, powder, wood
    "cloth": Material(0.22, 0.1923, 0.1636),  # cotton, loosely packed
    "cardboard": Material(0.13, 0.1923, 0.1636),  # corrugated: about 0.05 g/cm2 a wall
    "water": Material(1.00, 0.2059, 0.1724),
    "aluminium": Material(2.70, 0.2778, 0.1739),
    "steel": Material(7.87, 1.2049, 0.3945),
    "lead": Material(11.35, 5.0197, 5.9947),
}


@dataclass(frozen=True)
class Solid:
    """A box, or a cylinder along `along` (the other two sizes are its diameters), about `centre` in mm;
    `share` -1 hollows out what lies around it; `folds` is how far its thickness wavers, 0 to 1."""

    material: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    along: Axis | None = None
    share: float = 1.0
    folds: float = 0.0


class Carton(NamedTuple):
    """Words for a person, the outer size in mm (x, y, z), and what is inside, about the middle."""

    what: str
    size: tuple[float, float, float]
    inside: list[Solid]


def hollow(solid: Solid, wall: float, filling: str | None = None) -> list[Solid]:
    """`solid` as a shell of `wall` mm, with another material inside, or nothing."""
    inner = (solid.size[0] - 2 * wall, solid.size[1] - 2 * wall, solid.size[2] - 2 * wall)
    shell = [solid, Solid(solid.material, solid.centre, inner, solid.along, share=-1.0)]
    return shell + ([Solid(filling, solid.centre, inner, solid.along)] if filling else [])


def bottles(radius: float, height: float, wall: str, wall_mm: float, spacing: float) -> list[Solid]:
    """Six standing bottles or cans of water, two by three."""
    places = [(x, z) for x in (-spacing / 2, spacing / 2) for z in (-spacing, 0.0, spacing)]
    size = (2 * radius, height, 2 * radius)
    return [s for x, z in places for s in hollow(Solid(wall, (x, 0, z), size, "y"), wall_mm, "water")]


def parcels(
    material: str, size: tuple[float, float, float], count: tuple[int, int], gap: float
) -> list[Solid]:
    """A layer of equal boxes of `material`, each in cardboard of its own."""
    xs, zs = ((np.arange(n) - (n - 1) / 2) * (side + gap) for n, side in zip(count, size[::2], strict=True))
    boxes = [Solid("cardboard", (float(x), 0, float(z)), size) for x in xs for z in zs]
    return [s for box in boxes for s in hollow(box, 3.0, material)]


def cloth(height: float, at: float = 0.0) -> Solid:
    """Folded cloth over most of a carton's floor, `height` mm thick, its middle `at` mm up."""
    return Solid("cloth", (0, at, 0), (150, height, 160), folds=0.35)


def cartons() -> list[Carton]:
    """The twelve, in the order in which they pass."""
    usual, flat = (176.0, 122.0, 190.0), (176.0, 76.0, 190.0)
    rods = [Solid("steel", (d, d, -30), (12, 12, 110), "z") for d in (-36.0, -12.0, 12.0, 36.0)]
    plate = Solid("steel", (10, -28, -8), (84, 13, 84))
    tools = [Solid("steel", (-40, -20, 0), (14, 4, 130)), Solid("steel", (30, -6, 20), (16, 3, 90))]
    safe = hollow(Solid("lead", (18, 0, 20), (62, 54, 70)), 2.0, "cellulose")
    lead = Solid("lead", (-20, 10, 12), (70, 2, 84))
    billet = Solid("steel", (-24, -20, 26), (54, 50, 60))
    slug = Solid("steel", (26, 0, -20), (58, 70, 58), "y")
    return [
        Carton("folded clothing", usual, [cloth(90)]),
        Carton("six bottles of water", usual, bottles(22, 96, "polyethylene", 1.5, 52)),
        Carton("six small parcels of powder", flat, parcels("cellulose", (74, 50, 54), (2, 3), 5)),
        Carton("a steel block among clothing", usual, [cloth(90), billet]),
        Carton("books", flat, [Solid("cellulose", (0, 0, z), (140, 44, 70)) for z in (-42.0, 42.0)]),
        Carton("six steel cans", usual, bottles(24, 90, "steel", 0.3, 54)),
        Carton("a lead plate over small parcels", usual,
               [*parcels("polyethylene", (74, 40, 54), (2, 3), 5), lead]),
        Carton("four steel rods and an aluminium block, all penetrable", usual,
               [*rods, Solid("aluminium", (46, -34, 60), (40, 34, 50))]),
        Carton("tools in cloth", flat, [cloth(46), *tools]),
        Carton("a steel plate lying flat: opaque from the side alone", usual, [cloth(60, 10), plate]),
        Carton("a lead-walled box between bottles", usual,
               [*bottles(14, 60, "polyethylene", 1.5, 64)[:6], *safe]),
        Carton("a steel cylinder, standing", usual, [*parcels("cellulose", (74, 30, 54), (2, 3), 5), slug]),
    ]  # fmt: skip


def path_mm(solid: Solid, beam: Axis, rows: Image, columns: Image, rng: np.random.Generator) -> Image:
    """Millimetres of `solid` along the beam, for z in `rows` and the view's other axis in `columns`."""
    across: Axis = "x" if beam == "y" else "y"
    centre, size = (dict(zip("xyz", values, strict=True)) for values in (solid.centre, solid.size))
    z, c = rows[:, None] - centre["z"], columns[None, :] - centre[across]
    inside = (np.abs(z) <= size["z"] / 2) & (np.abs(c) <= size[across] / 2)
    if solid.along == beam:  # a disc
        inside = (2 * z / size["z"]) ** 2 + (2 * c / size[across]) ** 2 <= 1
    path = np.where(inside, size[beam], 0.0)
    if solid.along not in (None, beam):  # a cylinder from the side: chords of its circle
        off = 2 * (c / size[across] if solid.along == "z" else z / size["z"])
        path = path * np.sqrt(np.clip(1 - off**2, 0, None))
    if solid.folds:
        path = path * (1 + solid.folds * waves(z, c, rng))
    return solid.share * path


def waves(z: Image, c: Image, rng: np.random.Generator) -> Image:
    """Something like folds: a few waves in random directions, between -1 and 1."""
    total = np.zeros(np.broadcast_shapes(z.shape, c.shape))
    for _ in range(6):
        kz, kc, phase = rng.uniform(-0.18, 0.18), rng.uniform(-0.18, 0.18), rng.uniform(0, 2 * np.pi)
        total += np.sin(kz * z + kc * c + phase) / 6
    return total


def transmissions(carton: Carton, view: int, rng: np.random.Generator) -> Image:
    """Noise-free transmission of one view, shape (rows, columns, 2): low and high energy."""
    _, beam, across = VIEWS[view]
    rows = np.arange(-carton.size[2] / 2 - MARGIN_MM, carton.size[2] / 2 + MARGIN_MM, PITCH_MM)
    columns = np.arange(-TUNNEL_MM[across] / 2, TUNNEL_MM[across] / 2, PITCH_MM)
    depth = np.zeros((len(rows), len(columns), 2))
    for solid in [*hollow(Solid("cardboard", (0, 0, 0), carton.size), 4.0), *carton.inside]:
        density, low, high = MATERIALS[solid.material]
        path_cm = path_mm(solid, beam, rows, columns, rng) / 10
        depth += path_cm[:, :, None] * density * np.array([low, high])
    return blurred(np.exp(-np.maximum(depth, 0)))


def blurred(image: Image) -> Image:
    """The spot's and the pixels' blur: (1, 2, 1) / 4 along rows and columns."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, here, after = (np.take(padded, np.arange(i, i + image.shape[axis]), axis) for i in range(3))
        image = (before + 2 * here + after) / 4
    return image


def counts(transmission: Image, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """What the detector reads. Photon noise is drawn as a normal of the same variance: how many random
    numbers that takes does not depend on the values, so the last bit of `exp` cannot shift the rest."""
    mean = AIR * transmission
    noise = rng.standard_normal(mean.shape) * np.sqrt(mean * AIR / PHOTONS + ELECTRONIC**2)
    return np.clip(np.rint(mean + noise), 0, 65_535).astype("<u2")


def header(seq: int, view: int, pixels: npt.NDArray[np.uint16], captured_ns: int) -> FrameMessage:
    """The frame header of one drawn view."""
    return FrameMessage(
        scanner=SCANNER,
        epoch=EPOCH,
        seq=seq,
        view=view,
        views=len(VIEWS),
        channels=("low", "high"),
        dtype="uint16",
        height=pixels.shape[0],
        width=pixels.shape[1],
        crc32=zlib.crc32(pixels.tobytes()),
        captured_at_ns=captured_ns,
        carton=f"DEMO{seq:08d}",
    )


def draw(folder: Path) -> None:
    """Write ``demo.mcap`` and ``demo.json`` into `folder`, replacing what is there."""
    recording = folder / "demo.mcap"
    recording.unlink(missing_ok=True)
    truth: list[dict[str, Any]] = []
    with RecordingWriter(recording) as writer:
        for seq, carton in enumerate(cartons(), start=1):
            opaque = {}
            for view, (name, _, _) in enumerate(VIEWS):
                rng = np.random.default_rng([seq, view])
                clean = transmissions(carton, view, rng)
                opaque[name] = int((clean[:, :, 1] < OPAQUE).sum())
                pixels = counts(clean, rng)
                time_ns = START_NS + seq * PACE_NS + view * VIEW_NS
                writer.write_frame(header(seq, view, pixels, time_ns - READOUT_NS), pixels.tobytes(), time_ns)
            truth.append({"seq": seq, "carton": f"DEMO{seq:08d}", "what": carton.what, "opaque_px": opaque})
    (folder / "demo.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Entry point."""
    package = Path(__file__).resolve().parent.parent / "nii_edge" / "demo"
    parser = argparse.ArgumentParser(
        description="Draw the demo's recording. The pixels are the same at every run.",
        epilog="Example: python tools/draw_demo.py",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=package, help="default: %(default)s")
    draw(parser.parse_args().folder)


if __name__ == "__main__":
    main()
